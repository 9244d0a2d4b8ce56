"""A model that was trained on windows is applied on windows: half-overlapping, stitched in their middles."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import QUIET
from signal_files import write

import neurallib as nl
from neurallib.prediction import applying
from neurallib.training.parts import told

W = 20
TASKS: dict[str, dict[str, Any]] = {
    "binary": {}, "multiclass": {"num_classes": 3}, "regression": {"task": "regression"},
    "regression by signal": {"task": "regression"},
}  # fmt: skip
CASES = [(task, per_step) for task in TASKS for per_step in (True, False) if per_step or task != "regression by signal"]
each_case = pytest.mark.parametrize(("task", "per_step"), CASES)


def signals(lengths: list[int], seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.cumsum(rng.normal(size=(n, 1)), axis=0) for n in lengths]


def targets(task: str, per_step: bool, xs: list[np.ndarray]) -> list[np.ndarray]:
    """Of each step its sign, size or smoothed value; of a signal the same of its mean."""
    values = [x if per_step else x.mean(axis=0) for x in xs]
    if task == "multiclass":
        return [np.digitize(value[..., 0], [-1, 1]) for value in values]
    return [(value > 0).astype(float) if task == "binary" else 5 * value + 2 for value in values]


def trained(
    task: str, per_step: bool, root: Path, frequency: float | None = None, normalization: str = "zscore"
) -> nl.State:
    """A model that learnt on windows of W samples, through folders."""
    factory = nl.gru_seq2seq if per_step else nl.gru_seq2one
    state = factory(n_features=1, hid_dim=3, n_layers=1, bidirectional=True, **TASKS[task])
    xs = signals([50, 70, 33])
    for part in ("train", "val"):
        named = [{f"{i}.npy": a for i, a in enumerate(s)} for s in (xs, targets(task, per_step, xs))]
        write(root, named[0], named[1], part)
    of_target = {"regression": "dataset", "regression by signal": "signal"}.get(task)
    return nl.train_from_scratch(
        state, root / "x", root / "y", window_size=W, overlap=0.5, epochs=1, batch_size=8, normalization=normalization,
        target_normalization=of_target, sampling_frequency=frequency, dataset_name="walks", trained_for="a test",
        results_directory=root, **QUIET,
    )  # fmt: skip


def whole(state: nl.State) -> nl.State:
    """The state as if it had learnt on whole signals."""
    return nl.State(**(state | {"preprocessing": state["preprocessing"] | {"window": None}}))


def by_hand(state: nl.State, x: np.ndarray, per_step: bool) -> np.ndarray:
    """The windows one by one; each step from the one in whose middle it is nearest, a signal's one output the mean of
    the outputs before the softmax or sigmoid."""
    starts = [*range(0, len(x) - W, W // 2), len(x) - W]
    parts = [x[start : start + W] for start in starts]
    if not per_step:
        raw = np.mean(nl.predict(whole(state), parts, output="logits"), axis=0)
        return undone(state, raw)
    outputs, answer = nl.predict(whole(state), parts), []
    for step in range(len(x)):
        distance = [abs(start + W / 2 - (step + 0.5)) for start in starts]
        window = int(np.argmin(np.array(distance)[::-1]))  # the later one of two that are as near
        window = len(starts) - 1 - window
        answer.append(outputs[window][step - starts[window]])
    return np.array(answer)


def undone(state: nl.State, raw: np.ndarray) -> np.ndarray:
    known = state["preprocessing"]
    if state["hparams"]["task"] == "regression":
        return raw * known["y_scale"] + known["y_shift"]
    logits = torch.from_numpy(raw)
    return (logits.softmax(-1) if len(raw) > 1 else logits.sigmoid()).numpy()


@each_case
@pytest.mark.parametrize("normalization", ["zscore", "dataset"])
def test_long_signals_are_taken_in_windows_and_others_whole(
    task: str, per_step: bool, normalization: str, tmp_path: Path
) -> None:
    if task == "regression by signal" and normalization == "dataset":
        return
    state = trained(task, per_step, tmp_path, normalization=normalization)
    assert state["preprocessing"]["window"] == W
    xs = signals([W + 1, 75, 90, 20, 7, 75], seed=1)
    outputs = nl.predict(state, xs)
    for x, output in zip(xs, outputs, strict=True):
        expected = by_hand(state, x, per_step) if len(x) > W else nl.predict(whole(state), [x])[0]
        np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)
    for size in (1, 2):
        for output, other in zip(outputs, nl.iter_predict(state, iter(xs), batch_size=size), strict=True):
            np.testing.assert_allclose(other, output, rtol=1e-4, atol=1e-5)
    assert not np.allclose(outputs[1], nl.predict(whole(state), [xs[1]])[0], atol=1e-5)
    loaded = nl.load_checkpoint(state["training_info"]["checkpoints_directory"])
    assert np.array_equal(nl.predict(loaded, [xs[2]])[0], outputs[2])


@each_case
def test_measures_of_long_signals_are_those_of_their_predictions(task: str, per_step: bool, tmp_path: Path) -> None:
    state = trained(task, per_step, tmp_path / "run")
    xs = signals([75, 8, 90, 20, 41], seed=1)
    ys = targets(task, per_step, xs)
    measured = nl.evaluate(state, list(zip(xs, ys, strict=True)))
    outputs = nl.predict(state, xs)
    if TASKS[task].get("task") == "regression":
        error = np.concatenate(outputs) - np.concatenate(ys)
        expected = {"mse": (error**2).mean(), "mae": np.abs(error).mean(), "baseline_mse": np.concatenate(ys).var()}
        if task == "regression":
            expected["loss"] = (error**2).mean() / np.square(state["preprocessing"]["y_scale"]).item()
    elif task == "binary":
        p, y = np.concatenate(outputs), np.concatenate(ys)
        expected = {"accuracy": ((p > 0.5) == y).mean(), "loss": -np.log(np.where(y == 1, p, 1 - p)).mean()}
    else:
        p, y = np.concatenate(np.atleast_2d(*outputs)), np.concatenate(np.atleast_1d(*ys))
        expected = {"accuracy": (p.argmax(1) == y).mean(), "loss": -np.log(p[np.arange(len(y)), y]).mean()}
    assert {name: measured[name] for name in expected} == pytest.approx(expected, rel=1e-4)
    named = [{f"{i}.npy": a for i, a in enumerate(side)} for side in (xs, ys)]
    folder = write(tmp_path / "long", named[0], named[1], "test")
    tested, loss = nl.test_on_test_set(state, *folder[:2])
    for output, other in zip(outputs, tested, strict=True):
        np.testing.assert_allclose(other, output, rtol=1e-5, atol=1e-6)
    alone = [nl.evaluate(state, [pair])["loss"] for pair in zip(xs, ys, strict=True)]
    assert loss == pytest.approx(np.mean(alone), rel=1e-4)


@pytest.mark.parametrize("steps", [None, [{"name": "highpass", "frequency": 0.5, "causal": True}]], ids=str)
def test_a_gru_of_one_direction_goes_on_in_one_pass_wherever_it_is_applied(steps: Any) -> None:
    state = nl.gru_seq2seq(n_features=1, hid_dim=3, n_layers=2, fold=2, steps=steps)
    state["preprocessing"].update(window=W / 50, sampling_frequency=50.0)
    (x,) = signals([90])
    pairs = [(x, targets("binary", True, [x])[0])]
    (output,) = nl.predict(state, [x])
    assert np.array_equal(output, nl.predict(whole(state), [x])[0]) and "windows" not in told(state)
    assert nl.evaluate(state, pairs) == nl.evaluate(whole(state), pairs)
    recording = {"signal": x, "sampling_frequency": 50.0}
    np.testing.assert_allclose(output, nl.predict_recording(state, recording)["output"], atol=1e-6)
    network, carry = nl.build_network(state).eval(), nl.init_stream(state)
    np.testing.assert_allclose(output, nl.stream_step(network, x, carry)[0], atol=1e-6)


@pytest.mark.parametrize(
    ("options", "preprocessing", "rate"),
    [
        ({"bidirectional": True}, {}, 50.0),
        ({}, {"normalization": "zscore"}, 50.0),
        ({"steps": [{"name": "highpass", "frequency": 0.5}]}, {}, 50.0),
        ({"residual": True, "task": "regression"}, {}, 50.0),
        ({}, {}, 100.0),
    ],
)  # fmt: skip
def test_what_hears_by_window_is_no_one_pass(options: Any, preprocessing: Any, rate: float) -> None:
    state = nl.gru_seq2seq(n_features=1, hid_dim=3, n_layers=1, **options)
    state["preprocessing"].update(window=W / 50, sampling_frequency=50.0, **preprocessing)
    (x,) = signals([200])
    outputs = [nl.predict(one, [x], sampling_frequency=rate)[0] for one in (state, whole(state))]
    assert not np.allclose(*outputs, atol=1e-6)
    assert rate != 50.0 or "longer ones in windows of 0.4 s" in told(state)


def test_an_answer_of_windows_is_near_that_of_the_whole_where_memory_is_short(tmp_path: Path) -> None:
    """Steps see at least a quarter of a window on either side, and a network that forgets within it loses nothing."""
    state = trained("regression", True, tmp_path, normalization="dataset")
    weights = {name: weight / 30 if "weight_hh" in name else weight for name, weight in state["weights"].items()}
    for name, bias in weights.items():
        if "bias_hh" in name:
            bias[3:6] = -8  # the update gate: what is new is taken over
    state["weights"] = weights
    (x,) = signals([300], seed=2)
    inner, outer = nl.predict(state, [x])[0], nl.predict(whole(state), [x])[0]
    bare = np.concatenate(nl.predict(whole(state), [x[start : start + W] for start in range(0, 300, W)]))
    assert np.abs(inner - outer).max() < 1e-5 * np.abs(outer).max() < np.abs(bare - outer).max() / 10


def test_a_window_is_in_seconds_where_the_rate_is_known_and_in_samples_where_it_is_not(tmp_path: Path) -> None:
    states = [trained("binary", True, tmp_path / str(i), frequency) for i, frequency in enumerate((None, 50.0))]
    assert [state["preprocessing"]["window"] for state in states] == [W, W / 50]
    (x,) = signals([90], seed=1)
    for state in states:
        np.testing.assert_allclose(nl.predict(state, [x])[0], by_hand(state, x, True), rtol=1e-4, atol=1e-5)
    xs = signals([15, 18])
    pairs = list(zip(xs, targets("binary", True, xs), strict=True))
    options = {"epochs": 1, "batch_size": 2, "dry_run": True, **QUIET}
    for state in states:  # is kept by training on what is no longer than it, and the samples become seconds
        again = nl.train(state, pairs, pairs, sampling_frequency=50.0, **options)
        assert again["preprocessing"]["window"] == pytest.approx(W / 50)


def test_a_state_that_goes_on_with_whole_signals_is_applied_to_whole_signals(tmp_path: Path) -> None:
    state = trained("binary", True, tmp_path)
    xs = signals([15, 60])
    pairs = list(zip(xs, targets("binary", True, xs), strict=True))
    with pytest.warns(UserWarning, match=r"windows of 20 steps, .*window_size=20\) cuts"):
        again = nl.train(state, pairs, pairs, epochs=1, batch_size=2, dry_run=True, **QUIET)
    assert again["preprocessing"]["window"] is None and state["preprocessing"]["window"] == W


def test_a_data_set_with_a_window_of_its_own_says_nothing_of_ours() -> None:
    class Windowed:
        window = "hann"

        def __len__(self) -> int:
            return 3

        def __getitem__(self, i: int) -> tuple[np.ndarray, np.ndarray]:
            return signals([30])[0], np.ones((30, 1))

    state = nl.gru_seq2seq(n_features=1, hid_dim=3, n_layers=1)
    known = nl.train(state, Windowed(), Windowed(), epochs=1, batch_size=2, dry_run=True, **QUIET)  # type: ignore
    assert known["preprocessing"]["window"] is None


def test_windows_of_a_long_signal_are_run_some_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = trained("regression by signal", True, tmp_path)
    (x,) = signals([333], seed=1)
    (expected,) = nl.predict(state, [x])
    seen: list[tuple[int, ...]] = []
    made = applying.forward_of

    def watched(state: nl.State) -> Callable[..., torch.Tensor]:
        forward = made(state)

        def run(weights: Any, hparams: Any, x: torch.Tensor, *rest: Any) -> torch.Tensor:
            seen.append(tuple(x.shape))
            return forward(weights, hparams, x, *rest)

        return run

    monkeypatch.setattr(applying, "forward_of", watched)
    monkeypatch.setattr(applying, "MAX_PADDED_STEPS", 5 * W)
    np.testing.assert_allclose(nl.predict(state, [x])[0], expected, rtol=1e-4, atol=1e-5)
    assert sum(shape[0] for shape in seen) == 33 and set(seen) == {(5, W, 1), (3, W, 1)}


def test_outputs_are_given_whatever_is_said_of_events_where_no_rate_is_known() -> None:
    state = nl.gru_seq2seq(n_features=1, hid_dim=2, n_layers=1, bidirectional=False)
    state["postprocessing"]["events"] = {"threshold": 0.5, "min_distance": 0.3}
    signal = np.random.default_rng(0).standard_normal((50, 1))
    answer = nl.predict_recording(state, {"signal": signal})["output"]
    np.testing.assert_allclose(answer, nl.predict(state, [signal])[0], rtol=1e-5)
