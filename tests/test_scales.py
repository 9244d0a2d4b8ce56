"""Scales travel: what signals and targets are normalized by is kept, applied and undone, whatever their units."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import AS_IT_COMES, QUIET
from signal_files import write
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import neurallib as nl
from neurallib.state import new_preprocessing

Data = list[tuple[np.ndarray, np.ndarray]]
STILL = 1e-12  # a learning rate too small to change a float32


def pulses(n: int = 12, size: float = 1.0) -> Data:
    """Pulse waves and their rates, from 45 to 180 a minute."""
    rates = np.linspace(45, 180, n)
    return [(size * np.sin(np.arange(60 + i) * rate / 200)[:, None], np.array([rate])) for i, rate in enumerate(rates)]


def noisy(n: int = 6, size: float = 1.0, offset: float = 0.0) -> Data:
    """Waves of different sizes with noise and, where asked for, offsets that both sides have; and without."""
    rng, pairs = np.random.default_rng(0), []
    for i in range(n):
        clean = np.exp(rng.normal()) * np.sin(np.arange(40 + 3 * i) / 4)[:, None] + offset * i
        pairs.append((size * (clean + rng.normal(0, 0.3, clean.shape)), size * clean))
    return pairs


def trained(of: str, size: float = 1.0, learning_rate: float = 1e-3, **options: Any) -> tuple[nl.State, Data]:
    """A model of a rate in bpm, or of a clean signal in the units of the noisy one."""
    shape: dict[str, Any] = {"n_features": 1, "hid_dim": 4, "n_layers": 1, "task": "regression"}
    shape |= {"learning_rate": learning_rate}
    given: dict[str, Any] = {"epochs": 2, "batch_size": 4, **QUIET}
    if of == "bpm":
        state, pairs = nl.gru_seq2one(**shape), pulses(size=size)
    else:
        state, pairs = nl.gru_seq2seq(**shape), noisy(size=size, offset=5.0 if of == "signal and offset" else 0.0)
        given |= {"normalization": "zscore", "target_normalization": of.partition(" ")[0]}
    state = nl.train(state, pairs, pairs[:3], **(given | options))
    return state, pairs


each_scale = pytest.mark.parametrize("of", ["bpm", "dataset", "signal", "signal and offset"])


def undone(state: nl.State, x: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """The network's output in the target's own units, by hand."""
    known = state["preprocessing"]
    values = logits.astype(np.float64) * known["y_scale"] + known["y_shift"]
    if known["target_normalization"] == "signal":
        values = values * x.std() + (x.mean() if known["target_offset"] else 0.0)
    return values


@each_scale
def test_predictions_are_in_the_targets_own_units(of: str, tmp_path: Path) -> None:
    state, pairs = trained(of)
    signals = [x for x, _ in pairs]
    outputs = nl.predict(state, signals)
    for x, output, logits in zip(signals, outputs, nl.predict(state, signals, output="logits"), strict=True):
        assert output.dtype == np.float32
        np.testing.assert_allclose(output, undone(state, x, logits), rtol=1e-5, atol=1e-5)
    names = [f"{i}.npy" for i in range(len(pairs))]
    files = [dict(zip(names, side, strict=True)) for side in zip(*pairs, strict=True)]
    folder = write(tmp_path, files[0], files[1], "test")
    found: dict[str, list] = {"a folder's": nl.test_on_test_set(state, *folder[:2])[0]}
    found["single ones"] = [nl.test_on_single_signal(state, x) for x in signals]
    for size in (1, 5):
        found |= {f"by {size}": nl.predict(state, signals, batch_size=size)}
        found |= {f"one by one, {size}": list(nl.iter_predict(state, iter(signals), batch_size=size))}
    for name, others in found.items():
        for other, output in zip(others, outputs, strict=True):
            np.testing.assert_allclose(other, output, rtol=1e-4, atol=1e-4, err_msg=name)


@each_scale
def test_measures_are_of_predictions_in_those_units_and_the_loss_of_normalized_ones(of: str) -> None:
    state, pairs = trained(of, batch_size=1, monitor="mse")
    y = np.concatenate([target for _, target in pairs])
    outputs, raw = (nl.predict(state, [x for x, _ in pairs], output=kind) for kind in ("probabilities", "logits"))
    error = np.concatenate(outputs) - y
    expected = {"mse": (error**2).mean(), "mae": np.abs(error).mean(), "r2": 1 - (error**2).mean() / y.var()}
    ends = ([undone(state, x, np.full(r.shape, end)) for (x, _), r in zip(pairs, raw, strict=True)] for end in (1, 0))
    scale = np.subtract(*map(np.concatenate, ends))
    expected |= {"baseline_mse": y.var(), "loss": ((error / scale) ** 2).mean()}
    for options in ({"batch_size": 1}, {"batch_size": 5}, {"batch_size": 32, "memory_budget": 0}):
        measured = nl.evaluate(state, pairs, **options)
        assert {name: measured[name] for name in expected} == pytest.approx(expected, rel=1e-4), options
    in_training = state["training_info"]["monitor"]["value"]
    assert in_training == pytest.approx(nl.evaluate(state, pairs[:3])["mse"], rel=1e-4)


@each_scale
def test_what_is_logged_and_drawn_is_in_those_units(of: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from neurallib.training import tensorboard

    drawn: list[tuple] = []
    monkeypatch.setattr(tensorboard, "show_predictions", lambda *given: drawn.append(given))
    state, pairs = trained(of, save=True, enable_tensorboard=True, results_directory=tmp_path, memory_budget=300)
    measured = nl.evaluate(state, pairs[:3])
    (logs,) = Path(state["training_info"]["checkpoints_directory"]).glob("tensorboard_logs/version_0")
    events = EventAccumulator(str(logs)).Reload()
    for name in ("mse", "mae", "baseline_mse"):
        assert events.Scalars(f"best/val_{name}")[0].value == pytest.approx(measured[name], rel=1e-4)
    assert measured["loss"] == pytest.approx(state["training_info"]["validation_loss"], rel=1e-5)
    best = state["training_info"]["best_epoch"]  # of two, which are both drawn
    *_, y, lengths, outputs, _ = next(given for given in drawn if given[-1] + 1 == best)
    for (x, target), row, output, n in zip(pairs[:3], y, outputs, lengths, strict=True):
        row, output = (row, output) if of == "bpm" else (row[:n], output[:n])
        np.testing.assert_allclose(row, target, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(output, nl.predict(state, [x])[0], rtol=1e-4, atol=1e-5)


def test_the_loss_is_told_in_units_of_the_targets_variance() -> None:
    state, pairs = trained("bpm", learning_rate=STILL, epochs=1, batch_size=12)
    rates = np.concatenate([y for _, y in pairs])
    (loss,) = state["training_info"]["train_losses"]
    assert loss == pytest.approx(nl.evaluate(state, pairs)["mse"] / rates.var(), rel=1e-4)
    state["weights"] = {name: torch.zeros_like(weight) for name, weight in state["weights"].items()}
    assert nl.evaluate(state, pairs)["loss"] == pytest.approx(1, rel=1e-5)
    np.testing.assert_allclose(nl.predict(state, [pairs[0][0]])[0], rates.mean(), rtol=1e-5)


@pytest.mark.parametrize("of", ["bpm", "dataset", "signal", "signal and offset", "by default"])
@pytest.mark.parametrize("size", [1e-3, 1e3])
def test_units_make_no_difference_to_the_weights_and_come_back_in_the_answers(of: str, size: float) -> None:
    options: dict[str, Any] = {"epochs": 5}
    options |= {"normalization": "auto", "target_normalization": "auto"} if of == "by default" else {}
    (state, pairs), (other, scaled) = (trained(of, factor, **options) for factor in (1.0, size))
    for name, weight in state["weights"].items():
        torch.testing.assert_close(other["weights"][name], weight, rtol=1e-4, atol=1e-4)
    outputs, others = (nl.predict(s, [x for x, _ in data]) for s, data in ((state, pairs), (other, scaled)))
    for output, changed in zip(outputs, others, strict=True):
        np.testing.assert_allclose(changed, output * (1 if of == "bpm" else size), rtol=1e-3, atol=1e-3 * size)


def test_a_rate_is_learnt_in_beats_a_minute() -> None:
    shape: dict[str, Any] = {"n_features": 1, "hid_dim": 12, "n_layers": 1, "pooling": "mean"}
    model = nl.gru_seq2one(**shape, task="regression", learning_rate=0.03)
    pairs = pulses(24)
    options = {"epochs": 10, "batch_size": 2, **QUIET}
    assert nl.evaluate(nl.train(model, pairs, pairs, **options), pairs)["mae"] < 10
    assert nl.evaluate(nl.train(model, pairs, pairs, **options, **AS_IT_COMES), pairs)["mae"] > 40


@each_scale
def test_scales_stay_on_retraining_unless_they_are_asked_for(of: str) -> None:
    state, pairs = trained(of)
    known = copy.deepcopy(state["preprocessing"])
    other = [(100 * x, 3 * y) for x, y in pairs]
    assert decided(state, other) == known == state["preprocessing"]
    if of in ("bpm", "dataset"):
        anew = decided(state, other, target_normalization="dataset")
        for name in ("y_shift", "y_scale"):
            assert anew[name] == pytest.approx([3 * value for value in known[name]], rel=1e-5)  # type: ignore
        with pytest.warns(UserWarning, match="normalization changes from 'zscore' to 'dataset'"):
            first = decided(state, pairs, normalization="dataset")
        state["preprocessing"] = first
        second = decided(state, other, normalization="dataset")
        assert decided(state, other) == first and second["x_scale"] == pytest.approx([100 * first["x_scale"][0]])
    else:  # numbers in units of what signals are divided by, which is another now
        with pytest.warns(UserWarning, match="normalization changes from 'zscore' to 'minmax'"):
            anew = decided(state, pairs, normalization="minmax")
        assert anew == trained(of, normalization="minmax")[0]["preprocessing"]


def test_targets_in_another_unit_than_those_learnt_on_are_told_where_they_are_not_scaled_anew() -> None:
    state, pairs = trained("bpm")
    for factor, offset in ((1 / 60, 0), (1e6, 0), (1.0, 273.15 * 3)):
        others = [(x, factor * y + offset) for x, y in pairs]
        with pytest.warns(UserWarning, match=r"mean .*, those that the state learnt on 112\.5: are they"):
            decided(state, others)
        decided(state, others, target_normalization="dataset")  # and no warning
    decided(state, [(x, 0.5 * y) for x, y in pairs])
    for rate in (170, 230):
        decided(state, [(x, 0 * y + rate) for x, y in pairs])  # one person


def decided(state: nl.State, data: Data, **options: Any) -> Any:
    return nl.train(state, data, data, epochs=1, batch_size=4, dry_run=True, **QUIET, **options)["preprocessing"]


def test_a_trained_state_that_knows_no_scale_gets_none() -> None:
    state, pairs = trained("bpm", **AS_IT_COMES)
    assert decided(state, pairs) == state["preprocessing"] == new_preprocessing()


def test_new_outputs_on_reused_layers_get_a_scale_of_their_own_and_signals_that_of_the_layers() -> None:
    source, pairs = trained("signal", normalization="dataset", target_normalization="dataset")
    target = nl.gru_seq2one(n_features=1, hid_dim=4, n_layers=1, task="regression")
    state = nl.reuse_layers(target, source, ["gru_layers.0"])
    rates = pulses()
    known = decided(state, rates)
    for name in ("x_shift", "x_scale"):
        assert known[name] == source["preprocessing"][name]  # type: ignore[literal-required]
    assert known["y_shift"] == pytest.approx([np.mean([y for _, y in rates])])
    raw = nl.reuse_layers(target, trained("bpm", **AS_IT_COMES)[0], ["gru_layers.0"])
    known = decided(raw, rates)
    assert (known["normalization"], known["target_normalization"]) == (None, "dataset")


def test_a_signal_without_a_shape_is_measured_against_its_true_target() -> None:
    state, pairs = trained("signal and offset")
    flat = (np.full((30, 1), 2.0), np.full((30, 1), 5.0))
    np.testing.assert_allclose(nl.predict(state, [flat[0]])[0], 2)
    assert nl.evaluate(state, [flat])["mse"] == pytest.approx(9)
    both, alone, rest = (nl.evaluate(state, data)["mse"] for data in ([flat, *pairs], [flat], pairs))
    n = sum(len(x) for x, _ in pairs)
    assert both == pytest.approx((30 * alone + n * rest) / (30 + n), rel=1e-5)
    state = nl.gru_seq2seq(n_features=2, hid_dim=2, n_layers=1, task="regression")
    scale = {"target_normalization": "signal", "target_offset": True, "y_shift": [0.0, 0.0], "y_scale": [1.0, 1.0]}
    state["preprocessing"] |= {"normalization": "zscore", **scale}  # type: ignore[typeddict-item]
    x, y = (np.hstack([pairs[0][k], np.full_like(pairs[0][k], level)]) for k, level in enumerate((2.0, 5.0)))
    error = nl.predict(state, [x])[0] - y
    assert (error[:, 1] == -3).all() and nl.evaluate(state, [(x, y)])["mse"] == pytest.approx((error**2).mean())


def test_a_target_that_is_partly_unknown_is_normalized_and_measured_where_it_is_known() -> None:
    state, pairs = trained("signal")
    gaps = [(x, np.where(np.arange(len(y))[:, None] % 3 == 0, np.nan, y)) for x, y in pairs]
    outputs = nl.predict(state, [x for x, _ in pairs])
    error = np.concatenate([output - y for output, (_, y) in zip(outputs, gaps, strict=True)])
    assert nl.evaluate(state, gaps)["mse"] == pytest.approx(np.nanmean(error**2), rel=1e-4)


def test_a_state_of_an_older_version_is_read_as_one_that_knows_nothing_more() -> None:
    state, pairs = trained("bpm", **AS_IT_COMES)
    old: Any = state | {"preprocessing": {"sampling_frequency": None, "normalization": None}}
    old.pop("postprocessing")
    for a, b in zip(*(nl.predict(s, [x for x, _ in pairs]) for s in (state, old)), strict=True):
        assert np.array_equal(a, b)
    assert nl.evaluate(old, pairs) == nl.evaluate(state, pairs)


WRONG: list[tuple[str, Callable[[dict], object], str]] = [
    ("a scale of nothing", lambda known: known.update(y_scale=[0.0]), r"y_scale=\[0.0\]; expected 1 numb"),
    ("a number by itself", lambda known: known.update(y_shift=1.0), "y_shift=1.0 and .*expected 1 numbers each"),
    ("one number too many", lambda known: known["y_shift"].append(1.0), r"y_shift=\[.*expected 1 numbers each"),
    ("no numbers", lambda known: known.update(y_scale=None), "y_scale=None; expected 1 numbers"),
    ("no such name", lambda known: known.update(normalization="zsore"), "normalization='zsore'.*zscore"),
    ("no such target", lambda known: known.update(target_normalization="minmax"), "target_normalization='minmax'"),
    ("undecided", lambda known: known.update(normalization="auto"), "normalization='auto'"),
]


@pytest.mark.parametrize(("change", "words"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_scales_that_do_not_fit_are_named(change: Callable[[dict], object], words: str) -> None:
    state, pairs = trained("bpm")
    change(state["preprocessing"])  # type: ignore[arg-type]
    for use in (nl.evaluate, nl.prepare, lambda state, pairs: nl.predict(state, [pairs[0][0]])):
        with pytest.raises(ValueError, match=words):
            use(state, pairs)


def test_signals_in_another_unit_than_those_learnt_on_are_told() -> None:
    (state, pairs), (by_itself, _) = (trained("bpm", normalization=kind) for kind in ("dataset", "zscore"))
    signals = [x for x, _ in pairs]
    for factor, told in ((1e-3, r"0\.001"), (1e6, r"1e\+06")):
        others = [factor * x for x in signals]
        words = rf"signals are about {told} times as large .* in another unit\? units="
        with pytest.warns(UserWarning, match=words):
            nl.predict(state, others)
        with pytest.warns(UserWarning, match=words):
            nl.predict_recording(state, {"signal": np.concatenate(others)}, window=2 * len(others[0]))
        nl.predict(by_itself, others)  # and no warning
        with pytest.warns() as caught:  # once of all blocks
            list(nl.iter_predict(state, others, batch_size=3))
        assert [str(each.message)[:11] for each in caught] == ["signals are"]
    for factor in (0.0, 0.05, 20.0):
        nl.predict(state, [factor * x for x in signals])
        nl.predict_recording(state, {"signal": factor * np.concatenate(signals)}, window=50)
    nl.predict(state, [1e-4 * signals[0]])  # one electrode that was off
    many = [np.resize(x, (4096, *x.shape[1:])) for x in signals]
    nl.predict(state, [np.where(np.arange(4096)[:, None] < 1024, 1e-4 * x, x) for x in many])  # or all, for a while


def test_what_is_steady_or_taken_in_windows_is_in_the_unit_that_was_learnt_on() -> None:
    rng = np.random.default_rng(0)
    steady = [(36 + i / 10 + 0.005 * rng.normal(size=(60, 1)), np.array([i])) for i in range(10)]
    one: dict[str, Any] = {"n_features": 1, "hid_dim": 4, "n_layers": 1, "task": "regression"}
    learn: dict[str, Any] = {"epochs": 1, "batch_size": 4, "normalization": "dataset", **QUIET}
    nl.evaluate(nl.train(nl.gru_seq2one(**one), steady, steady, **learn), steady)  # and no warning
    high = [{"name": "highpass", "frequency": 0.5}]
    state = nl.gru_seq2seq(**one, steps=high)
    waves = [(300 * rng.normal(size=(n, 1)), np.zeros((n, 1))) for n in (200, 900)]
    state = nl.train(state, waves[:1], waves[:1], **learn, sampling_frequency=100.0)
    state["preprocessing"]["window"] = 2.0
    nl.predict(state, [x for x, _ in waves])
    bursts = [(1e-3 * rng.normal(size=(200, 1)) + (np.arange(200)[:, None] < 20), np.zeros((200, 1))) for _ in range(5)]
    nl.evaluate(nl.train(nl.gru_seq2seq(**one), bursts, bursts, **learn), bursts)
