"""Which normalization training data decide on, by task, and on which of the data."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import QUIET

import neurallib as nl
from neurallib.signals.normalization import IQR_OF_NORMAL
from neurallib.state import new_preprocessing

Data = list[tuple[np.ndarray, np.ndarray]]
STILL = {"epochs": 1, "batch_size": 64, "dry_run": True, **QUIET}  # decides, and trains nothing


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def by_numpy(values: np.ndarray) -> list[np.ndarray]:
    low, median, high = np.percentile(values, [25, 50, 75], axis=0)
    return [median, (high - low) / IQR_OF_NORMAL]


def signals(n: int, gains: np.ndarray, seed: int = 0, n_channels: int = 1) -> list[np.ndarray]:
    return [gain * rng(seed + i).normal(size=(60, n_channels)) for i, gain in zip(range(n), gains, strict=True)]


def state(kind: str = "binary", per_step: bool = False, n_features: int = 1, **more: Any) -> nl.State:
    tasks: dict[str, dict[str, Any]] = {
        "binary": {}, "multilabel": {"num_classes": 2, "multi_label": True}, "multiclass": {"num_classes": 3},
        "regression": {"task": "regression"},
    }  # fmt: skip
    factory = nl.gru_seq2seq if per_step else nl.gru_seq2one
    return factory(n_features=n_features, hid_dim=2, n_layers=1, **(tasks[kind] | more))


def decided(model: nl.State, data: Data, **options: Any) -> dict[str, Any]:
    return dict(nl.train(model, data, data[:2], **(STILL | options))["preprocessing"])


def labelled(kind: str, per_step: bool, loud: np.ndarray, xs: list[np.ndarray]) -> Data:
    """Targets that say how loud a signal is."""
    pairs = []
    for x, is_loud in zip(xs, loud, strict=True):
        labels = {"binary": [is_loud], "multilabel": [is_loud, 0], "multiclass": 2 * is_loud, "regression": [is_loud]}
        label = np.array(labels[kind])
        y = np.repeat(label[None], len(x), axis=0) if per_step else label
        pairs.append((x, y.astype(np.int64 if kind == "multiclass" else float)))
    return pairs


@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("kind", ["binary", "multilabel", "multiclass", "regression"])
def test_signals_keep_their_scale_where_it_tells_and_lose_it_where_it_does_not(kind: str, per_step: bool) -> None:
    loud = rng().integers(0, 2, 60)
    gains = np.exp(rng(1).normal(0, 1, 60))  # of the electrode
    model = state(kind, per_step, **({"n_outputs": 2} if kind == "regression" else {}))
    sizes = {"told": 1 + 4.0 * loud, "not": gains}
    pairs = {name: labelled(kind, per_step, loud, signals(60, size)) for name, size in sizes.items()}
    if kind == "regression":
        pairs = {name: [(x, np.concatenate([y, -y], -1)) for x, y in data] for name, data in pairs.items()}
    for name, expected in (("told", "dataset"), ("not", "zscore")):
        known = decided(model, pairs[name])
        assert known["normalization"] == expected
        assert known["target_normalization"] == ("dataset" if kind == "regression" else None)
    known = decided(model, pairs["told"])
    np.testing.assert_allclose(
        [known["x_shift"], known["x_scale"]], by_numpy(np.concatenate([x for x, _ in pairs["told"]])), rtol=1e-5
    )


def test_offsets_that_tell_are_kept_as_scales_are() -> None:
    label = rng().integers(0, 2, 40)
    xs = [x + 3 * one for x, one in zip(signals(40, np.exp(rng(1).normal(size=40))), label, strict=True)]
    assert decided(state(), labelled("binary", False, label, xs))["normalization"] == "dataset"


@pytest.mark.parametrize("spoilt", ["a flat signal", "a dead channel", "unknown labels"])
def test_what_tells_does_so_beside(spoilt: str) -> None:
    loud = rng().integers(0, 2, 60)
    xs = [g * x for g, x in zip(1 + 4 * loud, signals(60, np.ones(60), n_channels=2), strict=True)]
    pairs = labelled("binary", False, loud, xs)
    for i in range(60):
        if spoilt == "a dead channel":
            pairs[i][0][:, 1] = 0.7
        if spoilt == "a flat signal" and i < 2:
            pairs[i][0][:] = 0.7
        if spoilt == "unknown labels" and i % 3 == 0:
            pairs[i][1][:] = np.nan
    assert decided(state(n_features=2), pairs)["normalization"] == "dataset"


def test_what_people_have_by_chance_decides_nothing_where_it_is_known_who_they_are(tmp_path: Path) -> None:
    """Each of ten is as loud in all windows, and has one value: where nobody knows them apart, that tells."""
    who = rng(3).permutation(100) % 10
    loud, values = np.exp(rng(37).normal(size=10)), rng(38).normal(size=10)
    pairs = [(loud[k] * rng(i).normal(size=(60, 1)), values[k : k + 1]) for i, k in enumerate(who)]
    model, people = state("regression"), [f"p{k}" for k in who]
    told = nl.cross_validate(model, pairs, people, folds=2, epochs=1, batch_size=50, val=0, enable_progress_bar=False)
    assert [each["preprocessing"]["normalization"] for each in told["states"]] == ["zscore", "zscore"]
    recordings = {
        f"r{i}": {"signal": x, "sampling_frequency": 10.0, "person": people[i]} for i, (x, _) in enumerate(pairs)
    }
    target = {f"r{i}": y for i, (_, y) in enumerate(pairs)}
    made = nl.make_dataset(recordings, tmp_path, target=target, val=["p1"], test=0, enable_progress_bar=False)
    folder = nl.open_folder(made / "x", made / "y", "train")
    assert decided(model, folder)["normalization"] == "zscore"
    assert decided(model, list(folder))["normalization"] == "dataset"


def test_a_resting_channel_is_scaled_by_its_deviation() -> None:
    """Most of it is one value but for rounding: its quartiles are next to the same."""
    rest = 1 + 1e-6 * rng(1).normal(size=400)
    x = np.column_stack([rng().normal(2, 5, 400), np.where(np.arange(400) % 5 == 0, rng().normal(9, 2, 400), rest)])
    known = decided(state(n_features=2), [(x, np.array([1.0]))], normalization="dataset")
    middle, spread = by_numpy(x)
    assert 0 < spread[1] < 1e-5
    np.testing.assert_allclose(known["x_shift"], [middle[0], x[:, 1].mean()], rtol=1e-5)
    np.testing.assert_allclose(known["x_scale"], [spread[0], x[:, 1].std()], rtol=1e-5)


def test_a_channel_that_is_constant_in_all_data_stays_finite() -> None:
    x = np.column_stack([np.full(50, 3.0), rng().normal(size=50)])
    model = nl.train(state(n_features=2), [(x, [1.0])], [(x, [1.0])], **(STILL | {"normalization": "dataset"}))
    assert np.isfinite(nl.predict(model, [x, x + 1])).all()


def denoising(n: int, gains: np.ndarray) -> Data:
    clean = [np.sin(np.arange(80) / rng(i).uniform(2, 6))[:, None] for i in range(n)]
    noisy = [c + rng(i).normal(0, 0.5, c.shape) for i, c in enumerate(clean)]
    return [(g * x, g * y) for g, x, y in zip(gains, noisy, clean, strict=True)]


@pytest.mark.parametrize("offset_of", ["the noisy one", "both"])
def test_a_target_that_follows_its_signal_is_in_its_units_with_its_offset_or_without(offset_of: str) -> None:
    """A clean signal does not follow the wander of the noisy one; where both have the offset, it does."""
    gains = np.exp(rng().normal(size=30))
    pairs = [(x + 5 * i, y + 5 * i * (offset_of == "both")) for i, (x, y) in enumerate(denoising(30, gains))]
    known = decided(state("regression", True), pairs)
    assert (known["normalization"], known["target_normalization"]) == ("zscore", "signal")
    assert known["target_offset"] is (offset_of == "both")
    known = decided(state("regression", True, residual=True), pairs)
    assert known["target_offset"] and known["y_shift"] == [0], "outputs of 0 leave the signal where it is"


@pytest.mark.parametrize("normalization", ["zscore", "minmax", "robust"])
def test_a_signal_follows_itself_whichever_way_up_it_is(normalization: str) -> None:
    """Beats in numbers of a converter, which lie at the top or the bottom of what "minmax" goes by."""
    pulses = [1024 + 100 * gain * np.eye(20)[0].repeat(4)[:, None] for gain in (1, -1, 1.5, -1.5, 0.7, -0.7)]
    known = decided(state("regression", True), [(x, x) for x in pulses], normalization=normalization)
    assert known["target_normalization"] == "signal"


def test_a_target_that_follows_another_scale_is_normalized_over_the_data() -> None:
    gains, others = (np.exp(rng(seed).normal(size=30)) for seed in (0, 1))
    pairs = [(x, other * y / gain) for (x, y), gain, other in zip(denoising(30, gains), gains, others, strict=True)]
    pairs[3][1][10:40] = np.nan
    known = decided(state("regression", True), pairs)
    values = np.concatenate([y for _, y in pairs])
    assert (known["normalization"], known["target_normalization"]) == ("zscore", "dataset")
    np.testing.assert_allclose(known["y_shift"], np.nanmean(values, axis=0), rtol=1e-4)
    np.testing.assert_allclose(known["y_scale"], np.nanstd(values, axis=0), rtol=1e-4)


@pytest.mark.parametrize(("level", "power"), [(100, 0.3), (0, 0.05)])
def test_a_target_is_not_in_units_that_its_level_or_its_like_size_has_not(level: float, power: float) -> None:
    """Pressure in mmHg, from a pulse of any unit, is a little higher where the pulse is."""
    gains = np.exp(rng().normal(size=30))
    pairs = [(g * x, level + g**power * y) for g, (x, y) in zip(gains, denoising(30, np.ones(30)), strict=True)]
    assert decided(state("regression", True), pairs)["target_normalization"] == "dataset"


@pytest.mark.parametrize("per_step", [False, True])
def test_only_outputs_that_are_steps_of_a_signal_can_be_in_its_units(per_step: bool) -> None:
    pairs = denoising(30, np.exp(rng().normal(size=30)))
    data = [(x, np.hstack([y, y])) for x, y in pairs] if per_step else [(x, y.mean(0)) for x, y in pairs]
    model = state("regression", per_step, n_outputs=2 if per_step else None)
    assert decided(model, data)["target_normalization"] == "dataset"
    with pytest.raises(ValueError, match="'signal' puts y into its signal's units: it needs"):
        decided(model, data, target_normalization="signal")


def test_none_is_as_it_comes_and_what_is_asked_for_is_not_decided() -> None:
    pairs = denoising(30, np.exp(rng().normal(size=30)))
    model = state("regression", True)
    assert decided(model, pairs, normalization=None, target_normalization=None) == new_preprocessing()
    known = decided(model, pairs, normalization="minmax", target_normalization="dataset")
    assert (known["normalization"], known["target_normalization"]) == ("minmax", "dataset")
    known = decided(model, pairs, normalization=None)
    assert (known["normalization"], known["target_normalization"]) == (None, "dataset")
    labels = labelled("binary", False, np.ones(3, int), signals(3, np.ones(3)))
    with pytest.raises(ValueError, match="for a regression; this task is a seq2one binary"):
        decided(state(), labels, target_normalization="dataset")


@pytest.mark.parametrize("normalization", ["dataset", "zscore"])
@pytest.mark.filterwarnings("ignore:signals are about")
def test_validation_data_decide_nothing(normalization: str) -> None:
    pairs = denoising(30, np.exp(rng().normal(size=30)))
    options = STILL | {"normalization": normalization, "dry_run": True}
    first, second = (
        nl.train(state("regression", True), pairs, val, **options)["preprocessing"]
        for val in (pairs[:3], [(1e6 * x + 7, -1e6 * y) for x, y in pairs])
    )
    assert first == second


def test_statistics_are_those_of_whatever_form_the_data_have(tmp_path_factory: pytest.TempPathFactory) -> None:
    """In memory, in a folder, cut into windows that do not overlap, beyond the budget, or out of one buffer."""
    root = tmp_path_factory.mktemp("data")
    pairs = denoising(12, np.exp(rng().normal(size=12)))
    for part in ("train", "val"):
        for side in "xy":
            (root / side / part).mkdir(parents=True)
        for i, pair in enumerate(pairs):
            for side, array in zip("xy", pair, strict=True):
                np.save(root / side / part / f"{i}.npy", array)

    class OneBuffer:
        buffer = np.zeros((80, 1))

        def __len__(self) -> int:
            return len(pairs)

        def __getitem__(self, i: int) -> tuple[np.ndarray, np.ndarray]:
            self.buffer[:] = pairs[i][0]
            return self.buffer, pairs[i][1]

    folder = nl.open_folder(root / "x", root / "y", "train")
    options: dict[str, Any] = {"normalization": "dataset", "target_normalization": "dataset"}
    expected = decided(state("regression", True), pairs, **options)
    assert expected["x_shift"] is not None
    for data in (folder, nl.open_folder(root / "x", root / "y", "train", window_size=20), OneBuffer()):
        known = nl.train(state("regression", True), data, pairs[:2], **(STILL | options))
        for name in ("x_shift", "x_scale", "y_shift", "y_scale"):
            assert known["preprocessing"][name] == pytest.approx(expected[name], rel=1e-6)
    assert decided(state("regression", True), pairs, memory_budget=700, **options) == expected


def test_what_is_read_is_trained_on_though_it_waits_for_what_the_data_decide() -> None:
    """A Dataset may hand out one buffer again and again."""
    pairs = denoising(3, np.array([1.0, 2, 3]))
    buffer = np.zeros((80, 1))

    class OneBuffer:
        def __len__(self) -> int:
            return 3

        def __getitem__(self, i: int) -> tuple[np.ndarray, np.ndarray]:
            buffer[:] = pairs[i][0]
            return buffer, pairs[i][1]

    losses = [
        nl.train(state("regression", True), data, pairs, epochs=1, batch_size=3, **QUIET)["training_info"]
        for data in (pairs, OneBuffer())
    ]
    losses = [info["train_losses"] for info in losses]
    assert losses[0] == losses[1]
