"""Training on folders: which files, and which windows of them, a run sees."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import AS_IT_COMES, QUIET, Case, make_state
from torch.utils.data import ConcatDataset, Subset
from watching import Watch

import neurallib as nl

LENGTHS = {"train": [20, 9, 14, 6], "val": [17, 8, 3], "test": [12]}


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Signals whose every sample says where it is: 100 times the number of its file and the number of its step."""
    for part, lengths in LENGTHS.items():
        for side in "xy":
            (tmp_path / side / part).mkdir(parents=True)
        for i, n_steps in enumerate(lengths, 1):
            x = 100 * i + np.arange(n_steps, dtype=np.float32)
            np.save(tmp_path / "x" / part / f"{i}.npy", np.stack([x, -x], 1))
            np.save(tmp_path / "y" / part / f"{i}.npy", x[:, None] % 2)
    return tmp_path / "x", tmp_path / "y"


def runs(folders: tuple[Path, Path], **options: Any) -> list[tuple[dict[str, Any], Watch]]:
    """The same training from scratch and as a retraining: what is told of it, and what it saw."""
    state = make_state(Case("GRUseq2seq", "binary"))
    given = {"epochs": 1, "batch_size": 2, "dataset_name": "d", "trained_for": "t", **AS_IT_COMES, **QUIET} | options
    first, second = Watch(), Watch()
    trained = nl.train_from_scratch(state, *folders, callbacks=[first], **given)["training_info"]
    source = trained["checkpoints_directory"]
    again = nl.retrain(None, *folders, checkpoints_directory=source, callbacks=[second], **given)["training_info"]
    return [(trained, first), (again, second)]


def windows(lengths: list[int], size: int, stride: int) -> list[tuple[int, int]]:
    """The first sample of each window and its length, by going through each signal step by step."""
    found = []
    for i, n_steps in enumerate(lengths, 1):
        start = 0
        while start == 0 or start - stride + size < n_steps:
            found.append((100 * i + start, min(size, n_steps - start)))
            start += stride
    return found


@pytest.mark.parametrize("options", [{"all_samples": True}, {}], ids=str)
def test_all_files_are_seen_whole(folders: tuple[Path, Path], options: dict[str, Any]) -> None:
    for info, watch in runs(folders, **options):
        assert (info["n_train_signals"], info["n_val_signals"], info["train_steps"]) == (4, 3, 12)  # half are longer
        seen = [pair for step in watch.epochs[0] for pair in zip(step.signals, step.lengths, strict=True)]
        assert sorted(seen) == [(100, 20), (200, 9), (300, 14), (400, 6)]


def test_the_first_samples_of_each_part_are_seen(folders: tuple[Path, Path]) -> None:
    for info, watch in runs(folders, samples=2):
        assert (info["n_train_signals"], info["n_val_signals"]) == (2, 2)
        assert sorted(watch.orders()[0]) == sorted(watch.validated[0]) == [100, 200]


@pytest.mark.parametrize(("overlap", "stride"), [(0.0, 8), (0.5, 4), (0.75, 2)])
def test_windows_are_cut_of_both_parts(folders: tuple[Path, Path], overlap: float, stride: int) -> None:
    for info, watch in runs(folders, window_size=8, overlap=overlap):
        train, val = windows(LENGTHS["train"], 8, stride), windows(LENGTHS["val"], 8, stride)
        assert (info["n_train_signals"], info["n_val_signals"]) == (len(train), len(val))
        seen = [pair for step in watch.epochs[0] for pair in zip(step.signals, step.lengths, strict=True)]
        assert sorted(seen) == sorted(train)
        assert sorted(watch.validated[0]) == sorted(start for start, _ in val)


def test_windows_of_the_first_samples(folders: tuple[Path, Path]) -> None:
    for info, _ in runs(folders, samples=1, window_size=8):
        assert (info["n_train_signals"], info["n_val_signals"]) == (3, 3)


def test_what_a_model_was_trained_on_and_for_is_told_and_unknown_where_it_was_left_out(
    folders: tuple[Path, Path],
) -> None:
    for info, _ in runs(folders, dataset_name="mine", trained_for="peaks"):
        assert (info["train_dataset"], info["task"]) == ("mine", "peaks")
    with pytest.warns(UserWarning, match="dataset_name and trained_for left out: recorded as unknown") as told:
        first, second = runs(folders, dataset_name=None, trained_for=None)
    assert sum("left out" in str(warning.message) for warning in told) == 2  # one for each run
    assert all((info["train_dataset"], info["task"]) == ("unknown", "unknown") for info, _ in (first, second))


def test_options_of_train_reach_it(folders: tuple[Path, Path]) -> None:
    options = {
        "seed": 5, "normalization": "minmax", "sampling_frequency": 50, "class_weight": [2.0], "batch_size": 3,
        "layer_learning_rates": {"fc_out": 0.25}, "patience": 1, "epochs": 2,
    }  # fmt: skip
    for info, watch in runs(folders, **options):
        expected = {"seed": 5, "normalization": "minmax", "sampling_frequency": 50.0, "class_weight": [2.0]}
        assert {name: info[name] for name in expected} == expected
        assert 0.25 in watch.epochs[0][0].rates and [len(step.signals) for step in watch.epochs[0]] == [3, 1]
    (_, other), _ = runs(folders, seed=6)
    (_, same), _ = runs(folders, seed=5)
    assert sorted(other.orders()[0]) == sorted(same.orders()[0]) and other.orders() != same.orders()


@pytest.mark.filterwarnings("ignore:the best model is no better than a constant")
def test_train_takes_from_an_opened_folder_what_its_manifest_says(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    recordings = [
        {"name": name, "signal": rng.standard_normal((1000, 1)), "sampling_frequency": 100.0, "channels": ["II"],
         "units": ["mV"], "events": {"sample": np.arange(50, 1000, 100), "symbol": ["N"] * 10}}
        for name in "abcd"
    ]  # fmt: skip
    made = nl.make_dataset(recordings, tmp_path, target=nl.event_target, window=5, val=1, test=0)
    train, val = (nl.open_folder(made / "x", made / "y", part) for part in ("train", "val"))
    state = nl.gru_seq2seq(n_features=1, hid_dim=2, n_layers=1)
    options: dict[str, Any] = {"epochs": 1, "batch_size": 4, "enable_progress_bar": False}
    halves = [Subset(train, range(3)), Subset(Subset(train, [3, 4, 5]), [2, 1])]
    for data in (train, train[:4], *halves, ConcatDataset(halves)):
        known = nl.train(state, data, val, **options)["preprocessing"]
        said = [known[name] for name in ("sampling_frequency", "channels", "units", "window")]
        assert said == [100.0, ["II"], ["mV"], 5.0] and train.window is None, "what was handed in stays as it is"
    known = nl.train(state, train, val, **options, sampling_frequency=50.0, channels=["V5"])["preprocessing"]
    assert (known["sampling_frequency"], known["channels"], known["units"]) == (50.0, ["V5"], ["mV"])
    known = nl.train(state, list(train), val, **options)["preprocessing"]
    assert known["sampling_frequency"] is None and known["window"] is None


@pytest.mark.filterwarnings("ignore:channels are V5, II")
def test_validation_data_are_what_their_own_manifest_says(tmp_path: Path) -> None:
    signals = np.random.default_rng(0).standard_normal((2, 1000, 2))

    def made(directory: str, signals: np.ndarray, channels: list[str], rate: float = 100.0) -> list[nl.SignalFolder]:
        recordings = [
            {"name": f"r{i}", "signal": signal, "sampling_frequency": rate, "channels": channels, "units": ["mV"] * 2,
             "events": {"sample": np.arange(50, 1000, 100), "symbol": ["N"] * 10}} for i, signal in enumerate(signals)
        ]  # fmt: skip
        root = nl.make_dataset(recordings, tmp_path / directory, target=nl.event_target, val=["r1"], test=0)
        return [nl.open_folder(root / "x", root / "y", part) for part in ("train", "val")]

    train, val = made("own", signals, ["II", "V5"])
    _, other = made("other", signals[:, :, ::-1], ["V5", "II"])
    _, faster = made("faster", signals, ["II", "V5"], 200.0)
    state = nl.gru_seq2seq(n_features=2, hid_dim=2, n_layers=1)
    options: dict[str, Any] = {"epochs": 1, "batch_size": 4, **QUIET}
    losses = [nl.train(state, train, data, **options)["training_info"]["val_losses"] for data in (val, other)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    told = nl.train(state, train, other, **options, channels=["V5", "II"])["training_info"]["val_losses"]
    flipped = nl.train(state, train, list(other), **options)["training_info"]["val_losses"]
    assert told == pytest.approx(flipped, rel=1e-6) and told != pytest.approx(losses[0], rel=1e-4)
    with pytest.raises(ValueError, match="val_data are of 200 Hz, as the manifest of their folder says; expected 100"):
        nl.train(state, train, faster, **options)
    nl.train(state, train, faster, **options, sampling_frequency=100.0)
    with pytest.raises(ValueError, match="put together have sampling_frequency 100.0, 200.0; expected the same"):
        nl.train(state, ConcatDataset([train, faster]), val, **options)
    nl.train(state, ConcatDataset([train, faster]), val, **options, sampling_frequency=100.0)


def test_parts_that_torch_takes_of_a_folder_are_read_as_the_same_parts_of_it(folders: tuple[Path, Path]) -> None:
    train = nl.open_folder(*folders, "train", window_size=6)
    state = nl.gru_seq2seq(n_features=2, hid_dim=2, n_layers=1)
    places = [4, 0, 3, 6]
    part = Subset(ConcatDataset([train, nl.open_folder(*folders, "val", window_size=6)]), [*places, len(train)])
    names = [f"train/{train.names[i]}" for i in places]
    prepared = nl.prepare(state, part)
    assert prepared.names == [*names, "val/1.npy[0:6]"]
    for i, (x, _) in enumerate(part):
        assert np.array_equal(prepared[i][0], x)
    weights = {"1": 1.0, "2": 0.0, "3": 2.0, "4": 0.0}
    options: dict[str, Any] = {"epochs": 1, "batch_size": 4, **QUIET}
    one, other = (
        nl.train(state, data, part, sample_weight=given, **options)["training_info"]["train_losses"]
        for data, given in ((part, weights), ([*part], [weights[name.split("/")[1][0]] for name in prepared.names]))
    )
    assert one == other
