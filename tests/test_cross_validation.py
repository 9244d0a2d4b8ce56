"""Cross-validation: each signal is predicted by a state that has not met its person, and told truthfully."""

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import QUIET, Case, data, make_state, same_state, same_weights
from pytorch_lightning.callbacks import Callback
from torch.utils.data import Subset, TensorDataset

import neurallib as nl

DATA = Path(__file__).parent.parent.parent / "shared" / "data"
SHORT: dict[str, Any] = {"epochs": 2, "batch_size": 4, **QUIET}
STATE = nl.gru_seq2one(n_features=1, hid_dim=4, n_layers=1, learning_rate=0.02)


def of_people(n_people: int, signals_each: int) -> tuple[list[tuple[np.ndarray, np.ndarray]], list[int]]:
    """Signals that tell their person by their length and their value, of both classes."""
    people = np.repeat(np.arange(n_people), signals_each).tolist()
    return [(np.full((5 + who, 1), float(who)), np.full(1, i % 2)) for i, who in enumerate(people)], people


@pytest.mark.parametrize("val", [0.2, 0])
def test_what_is_trained_does_not_depend_on_who_is_held_out(val: float) -> None:
    pairs, people = of_people(6, 2)
    options = SHORT | {"folds": 2, "val": val, "class_weight": "balanced"}
    told = nl.cross_validate(STATE, pairs, people, **options)
    held_out = told["fold"] == 1
    assert len({who for who, out in zip(people, held_out, strict=True) if out}) == 3 and held_out.sum() == 6
    other = [(-7 * x, 1 - y) if out else (x, y) for (x, y), out in zip(pairs, held_out, strict=True)]
    again = nl.cross_validate(STATE, other, people, **options)
    assert [same_weights(*states) for states in zip(told["states"], again["states"], strict=True)] == [False, True]
    losses = [run["states"][1]["training_info"]["val_losses"] for run in (told, again)]
    assert losses[0] == losses[1]


class Watch(Callback):
    """Whose signals each run trains on and validates with."""

    runs: list[dict[str, set[int]]] = []

    def on_train_start(self, trainer: Any, module: Any) -> None:
        self.runs.append({"train": set(), "val": set()})

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
        self.runs[-1]["train"].update((batch["lengths"] - 5).tolist())

    def on_validation_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int, _: int = 0) -> None:
        self.runs[-1]["val"].update((batch["lengths"] - 5).tolist())


@pytest.mark.parametrize(("val", "n_validate"), [(0.2, 1), (3, 3), (0, 0)])
def test_nobody_is_in_two_parts_of_a_fold(val: float, n_validate: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Watch, "runs", runs := [])
    pairs, people = of_people(9, 2)
    told = nl.cross_validate(STATE, pairs, people, folds=3, val=val, **SHORT, callbacks=[Watch()])
    for fold, run in enumerate(runs):
        held_out = {who for who, of in zip(people, told["fold"], strict=True) if of == fold}
        assert len(held_out) == 3 and run["train"] | run["val"] == set(range(9)) - held_out
        assert len(run["val"]) == (n_validate or 6)
        assert run["train"] == run["val"] if val == 0 else not run["train"] & run["val"]
    assert len(runs) == 3


def test_folds_are_those_of_seed_and_labels() -> None:
    pairs, people = of_people(12, 1)
    labels = [who % 4 == 0 for who in people]  # of three people, one a fold
    names = [f"{who:02d}" for who in people]
    for seed in (1, 2):
        fold = nl.cross_validate(STATE, pairs, names, folds=3, labels=labels, seed=seed, **SHORT)["fold"]
        said = nl.split_people(names, folds=3, labels=labels, seed=seed)
        assert [sorted(said[k]["val"]) for k in said] == [[names[i] for i in np.flatnonzero(fold == k)] for k in said]


def test_predictions_are_those_of_each_signals_own_fold_in_the_order_of_the_data() -> None:
    state = make_state(Case("GRUseq2seq", "multiclass"))
    pairs, people = data(state, 9), [*"aabbccdde"]
    told = nl.cross_validate(state, pairs, people, folds=3, **SHORT)
    assert len(told["predictions"]) == 9 and told["fold"].dtype == np.int64
    for (x, _), fold, found in zip(pairs, told["fold"], told["predictions"], strict=True):
        np.testing.assert_allclose(found, nl.predict(told["states"][fold], [x])[0], rtol=1e-5, atol=1e-6)
    for fold, measured in enumerate(told["measures"]):
        held_out = [pair for pair, of in zip(pairs, told["fold"], strict=True) if of == fold]
        assert measured == pytest.approx(nl.evaluate(told["states"][fold], held_out), nan_ok=True)


def test_mean_and_interval_are_students_over_the_folds_without_those_that_do_not_know() -> None:
    from scipy import stats

    rng = np.random.default_rng(0)
    pairs = [(rng.standard_normal((8, 1)), np.full(1, i in (0, 3, 6, 7))) for i in range(10)]  # one class in some folds
    told = nl.cross_validate(STATE, pairs, list(range(10)), folds=5, **SHORT)
    for name in ("loss", "auroc"):
        values = np.array([measured[name] for measured in told["measures"]])
        values = values[np.isfinite(values)]
        assert (len(values) < 5) == (name == "auroc")
        assert told["mean"][name] == pytest.approx(values.mean())
        if len(values) > 1:
            expected = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
            assert told["interval"][name] == pytest.approx(np.clip(expected, 0, 1 if name == "auroc" else np.inf))


def test_one_fold_that_knows_gives_no_interval() -> None:
    from neurallib.workflow.cross_validation import _mean_and_interval

    mean, interval = _mean_and_interval([math.nan, 2.0])
    assert mean == 2 and all(map(math.isnan, interval))
    assert all(map(math.isnan, [_mean_and_interval([math.nan])[0], *_mean_and_interval([math.nan])[1]]))


def test_every_fold_starts_from_the_given_state_which_stays_as_it_is() -> None:
    pairs, people = of_people(4, 2)
    before = copy.deepcopy(STATE)
    told = nl.cross_validate(STATE, pairs, people, folds=2, val=0, **SHORT)
    assert same_state(STATE, before)
    for fold, trained in enumerate(told["states"]):
        part = [pair for pair, of in zip(pairs, told["fold"], strict=True) if of != fold]
        assert same_weights(trained, nl.train(STATE, part, part, **SHORT))
    again = nl.cross_validate(STATE, pairs[::-1], people[::-1], folds=2, val=0, **SHORT)
    assert again["fold"].tolist() == told["fold"].tolist()[::-1]


class Counting(Callback):
    """Stops at its third epoch, for good."""

    epochs = 0

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        self.epochs += 1
        trainer.should_stop = self.epochs >= 3


def test_each_fold_has_its_own_copy_of_callbacks() -> None:
    (pairs, people), callback = of_people(4, 2), Counting()
    options = SHORT | {"epochs": 5, "callbacks": [callback]}
    told = nl.cross_validate(STATE, pairs, people, folds=2, val=0, **options)
    assert [trained["training_info"]["epochs"] for trained in told["states"]] == [3, 3] and callback.epochs == 0


def written(root: Path, n_people: int = 4) -> nl.SignalFolder:
    """Two long files a person, opened as windows."""
    rng = np.random.default_rng(0)
    for side in "xy":
        (root / side / "all").mkdir(parents=True)
    for person in range(n_people):
        for i in range(2):
            x = rng.standard_normal((30, 1)).astype(np.float32)
            np.save(root / "x" / "all" / f"p{person}-{i}.npy", x)
            np.save(root / "y" / "all" / f"p{person}-{i}.npy", (x > 0).astype(np.float32))
    return nl.open_folder(root / "x", root / "y", "all", window_size=10)


@pytest.mark.parametrize("people", ["^(p.)-", lambda name: name[:2], {f"p{p}-{i}": p for p in range(4) for i in "01"}])
def test_files_of_a_folder_are_told_apart_by_their_names(people: Any, tmp_path: Path) -> None:
    folder = written(tmp_path)
    state = nl.gru_seq2seq(n_features=1, hid_dim=3, n_layers=1)
    told = nl.cross_validate(state, folder, people, folds=4, **SHORT)
    folds = {name[:2]: set() for name in folder.names}  # type: dict[str, set[int]]
    for name, fold in zip(folder.names, told["fold"].tolist(), strict=True):
        folds[name[:2]].add(fold)
    assert sorted(folds.values(), key=min) == [{0}, {1}, {2}, {3}]
    assert [len(found) for found in told["predictions"]] == [10] * 24


def test_windows_of_a_file_stay_together_where_every_file_is_a_person(tmp_path: Path) -> None:
    folder = written(tmp_path)
    told = nl.cross_validate(nl.gru_seq2seq(n_features=1, hid_dim=3, n_layers=1), folder, None, folds=4, **SHORT)
    assert told["fold"].reshape(8, 3).std(axis=1).max() == 0
    assert [trained["preprocessing"]["window"] for trained in told["states"]] == [10] * 4


def made(directory: Path, **more: Any) -> nl.SignalFolder:
    """A data set of eight recordings of four people, ten windows each."""
    rng = np.random.default_rng(0)
    recordings = [
        {"name": f"r{i}", "person": f"P{i % 4}", "signal": rng.standard_normal((100, 2)), "sampling_frequency": 10.0,
         "channels": ["a", "b"], "units": ["mV", "mV"]} | more
        for i in range(8)
    ]  # fmt: skip
    labels = {f"r{i}": i // 4 for i in range(8)}
    root = nl.make_dataset(recordings, directory, target=labels, window=1, val=0, test=0, enable_progress_bar=False)
    return nl.open_folder(root / "x", root / "y", "train")


def test_windows_of_a_person_stay_together_where_a_manifest_says_who_is_who(tmp_path: Path) -> None:
    folder, state = made(tmp_path), nl.gru_seq2one(n_features=2, hid_dim=3, n_layers=1, num_classes=2)
    told = nl.cross_validate(state, folder, None, folds=4, **SHORT)
    person = [int(name[1]) % 4 for name in folder.names]
    assert len(folder) == 80 and len({*zip(person, told["fold"].tolist(), strict=True)}) == 4
    (tmp_path / "manifest.json").unlink()
    told = nl.cross_validate(state, folder, None, folds=4, **SHORT)
    assert len({*zip(person, told["fold"].tolist(), strict=True)}) == 16


@pytest.mark.filterwarnings("ignore:channels are b, a")
def test_folds_are_trained_and_measured_with_what_is_said_of_the_signals(tmp_path: Path) -> None:
    folder, other = made(tmp_path / "1"), made(tmp_path / "2", channels=["b", "a"])
    state = nl.gru_seq2one(n_features=2, hid_dim=3, n_layers=1, num_classes=2)
    known = nl.cross_validate(state, folder, None, folds=2, **SHORT)["states"][0]
    said = [known["preprocessing"][name] for name in ("sampling_frequency", "channels", "units", "window")]
    assert said == [10.0, ["a", "b"], ["mV", "mV"], 1.0]
    people = [int(name[1]) for name in folder.names]
    flipped = [(x[:, ::-1], y) for x, y in other]
    one = nl.cross_validate(known, other, None, folds=2, **SHORT)
    two = nl.cross_validate(known, list(other), people, folds=2, **SHORT, channels=["b", "a"])
    for told, pairs in ((one, other), (two, list(other))):
        for trained, fold in zip(told["states"], range(2), strict=True):
            places = np.flatnonzero(told["fold"] == fold)
            expected = nl.predict(trained, [flipped[i][0] for i in places])
            np.testing.assert_allclose([told["predictions"][i] for i in places], expected, rtol=1e-4)
            measured = nl.evaluate(trained, [flipped[i] for i in places])
            assert told["measures"][fold] == pytest.approx(measured, nan_ok=True)


def test_data_come_in_every_form() -> None:
    x, people = np.random.default_rng(0).standard_normal((8, 6, 1)).astype(np.float32), [*"aabbccdd"]
    y = (x.mean(axis=1) > 0).astype(np.float32)
    dataset = TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    forms: list[Any] = [
        (x, y), dataset, Subset(dataset, range(8)), [[*pair] for pair in zip(x, y, strict=True)],
        iter(list(zip(x, y, strict=True))),
    ]  # fmt: skip
    results = [nl.cross_validate(STATE, form, people, folds=2, labels=[*"xyxyxyxy"], **SHORT) for form in forms]
    for told in results:
        np.testing.assert_array_equal(told["predictions"], results[0]["predictions"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"people": "^(.)"}, "people is a str, but only files have names; expected a list, one for each of 8"),
        ({"people": None}, "people is a NoneType, but only files have names"),
        ({"people": {"a": 1}}, "people is a dict, but only files have names"),
        ({"labels": len}, "labels is a builtin_function_or_method, but only files have names"),
        ({"people": [1, 2]}, "people has 2 values; expected one for each of 8"),
        ({"people": [*"aabbccd", None]}, r"the person of 'data\[7\]' is None"),
        ({"people": [*"aaaabbbb"], "folds": 2}, "val=0.15, but a fold trains on a single person; .* or val=0"),
        ({"folds": 5}, "folds=5, but there are 4 people"),
        ({"val": ["a"]}, "val lists a; the people are"),
        ({"dry_run": True}, "cross_validate got dry_run"),
        ({"resume": "run"}, "resume='run' is a str; expected True or False"),
        ({"val_data": []}, "cross_validate got val_data"),
        ({"patiance": 3}, "Did you mean 'patience'"),
        ({"enable_progress_bar": 1}, "enable_progress_bar=1 is a int"),
    ],
)
def test_what_cannot_be_is_named_before_anything_is_trained(options: dict[str, Any], message: str) -> None:
    pairs = [(np.ones((5, 1)), np.full(1, i % 2)) for i in range(8)]
    given = {"people": [*"aabbccdd"], "folds": 2, **SHORT, **options}
    with pytest.raises((TypeError, ValueError), match=message):
        nl.cross_validate(STATE, pairs, **given)


def test_a_faulty_signal_of_any_fold_is_found_before_the_first_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurallib.workflow.cross_validation.train", lambda *args, **options: pytest.fail("trained"))
    for place in range(8):
        pairs = [(np.full((5, 1), np.nan if i == place else 1.0), np.zeros(1)) for i in range(8)]
        with pytest.raises(ValueError, match=rf"x of data\[{place}\] holds nan"):
            nl.cross_validate(STATE, pairs, [*"aabbccdd"], folds=4, **SHORT)


class CtrlC(Callback):
    def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
        if trainer.current_epoch == 1:
            raise KeyboardInterrupt


@pytest.mark.filterwarnings("ignore:training was interrupted")
def test_ctrl_c_ends_all_folds() -> None:
    pairs, people = of_people(4, 2)
    with pytest.raises(KeyboardInterrupt):
        nl.cross_validate(STATE, pairs, people, folds=2, val=0, **SHORT, callbacks=[CtrlC()])


@pytest.mark.skipif(not (DATA / "myo_emg").is_dir(), reason=f"no recordings in {DATA}")
def test_gestures_of_one_person_are_recognized_from_the_other() -> None:
    gestures, pairs, people = (0, 7), [], []
    for session in sorted((DATA / "myo_emg").glob("*-[12]")):
        for file in sorted(session.glob("[01].txt")):
            table = np.loadtxt(file, delimiter=",", dtype=np.float32)
            for label, gesture in enumerate(gestures):
                emg = np.abs(table[table[:, 8] == gesture, :8]) / 50
                for start in range(0, min(len(emg), 1000) - 99, 100):
                    pairs.append((emg[start : start + 100], np.full(1, label)))
                    people.append(session.name[:5])
    state = nl.gru_seq2one(n_features=8, hid_dim=8, n_layers=1, pooling="mean", learning_rate=0.02)
    told = nl.cross_validate(state, pairs, people, folds=2, epochs=6, batch_size=8, val=0, labels=[
        int(y[0]) for _, y in pairs
    ], **QUIET)  # fmt: skip
    assert {(who, fold) for who, fold in zip(people, told["fold"].tolist(), strict=True)} in (
        {("12345", 0), ("21547", 1)}, {("12345", 1), ("21547", 0)}
    )  # fmt: skip
    assert told["mean"]["accuracy"] > 0.9
