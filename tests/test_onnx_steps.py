"""Models with filters as ONNX files: every step, both ways and causal, whole and in pieces; those that come along."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import FEW, Case, make_state
from onnx_files import assert_same_as_predict, normalizing, run, session_of, told

import neurallib as nl
from neurallib.storage.onnx_check import batches

RATE = 125.0
CAUSAL = {"causal": True}
HIGH: dict[str, Any] = {"name": "highpass", "frequency": 0.5}
LOW: dict[str, Any] = {"name": "lowpass", "frequency": 40.0}
BAND: dict[str, Any] = {"name": "band", "low": 5.0, "high": 30.0}
GAIN: dict[str, Any] = {"name": "local_gain", "low": 5.0, "high": 30.0, "duration": 0.5}
RECTIFY: dict[str, Any] = {"name": "rectify"}
LIMIT: dict[str, Any] = {"name": "slew_limit", "factor": 1.5, "duration": 0.5}  # for much of any signal
STEPS = [LIMIT, HIGH, LOW, BAND | {"beside": True}, GAIN | {"beside": True}, RECTIFY | {"beside": True}]
ONWARDS = [step | CAUSAL for step in STEPS]
EACH = [
    *(step | {"order": 4, "ends": "even"} for step in (HIGH, LOW, BAND)),
    *(step | {"order": 1, "ends": "odd"} for step in (HIGH, LOW, BAND)),
    HIGH, LOW, BAND, GAIN, RECTIFY, RECTIFY | CAUSAL, GAIN | {"order": 1, "duration": 3.0}, HIGH | {"frequency": 0.02},
    LIMIT, LIMIT | CAUSAL, *(step | CAUSAL | {"order": order} for step in (HIGH, LOW, BAND, GAIN) for order in (1, 4)),
]  # fmt: skip
LENGTHS = [700, 1, 2, 3, 64, 65, 250, 251]  # a period of 0.5 Hz is 250


def walk(lengths: list[int] = LENGTHS, seed: int = 0) -> list[np.ndarray]:
    """Signals [T, 2] that wander far from zero."""
    rng = np.random.default_rng(seed)
    return [(rng.standard_normal((n, 2)).cumsum(0) + [40, -300]).astype(np.float32) for n in lengths]


def known(state: nl.State, **preprocessing: Any) -> nl.State:
    """The state with more that it knows, 125 Hz among it."""
    told_of = state["preprocessing"] | {"sampling_frequency": RATE} | preprocessing
    return nl.State(**(state | {"preprocessing": told_of}))


def filtering(steps: Any) -> nl.State:
    """A state that says of a signal what its steps make of it: a silent network whose outputs are added to it."""
    state = nl.gru_seq2seq(n_features=2, hid_dim=2, n_layers=1, task="regression", residual=True, steps=steps)
    state["weights"] = {name: weight * 0 for name, weight in state["weights"].items()}
    return known(state)


@pytest.mark.parametrize("step", EACH, ids=lambda step: "-".join(map(str, step.values())))
def test_each_step_makes_the_same_of_signals_of_any_length(step: dict[str, Any], tmp_path: Path) -> None:
    state = filtering([step])
    path = nl.export_onnx(state, tmp_path / "filter.onnx")
    for row, expected in zip(run(path, walk()), nl.predict(state, walk()), strict=True):
        limit = 1e-6 * max(np.abs(expected).max(), 1e-3)
        np.testing.assert_allclose(row[: len(expected)], expected, rtol=0, atol=limit)
        assert not row[len(expected) :].any()


@pytest.mark.parametrize("steps", [[HIGH, GAIN], [GAIN], ONWARDS[:2], [GAIN | CAUSAL]], ids=str)
def test_a_flat_line_stays_one(steps: Any, tmp_path: Path) -> None:
    state = filtering(steps)
    flat = [np.full((n, 2), 0.1, np.float32) * [1, -3e4] for n in (300, 1)]
    np.testing.assert_allclose(
        run(nl.export_onnx(state, tmp_path / "f.onnx"), flat)[0, :-1], nl.predict(state, flat)[0], atol=1e-6
    )


@pytest.mark.parametrize("case", FEW, ids=str)
def test_steps_stand_before_every_network(case: Case, tmp_path: Path) -> None:
    state = known(make_state(case, steps=STEPS, fold=3), normalization="block")
    assert_same_as_predict(nl.export_onnx(state, tmp_path / "model.onnx"), state, walk([140, 2, 33]))


@pytest.mark.parametrize("steps", [ONWARDS, [BAND, *STEPS, LOW, HIGH | {"beside": True}]], ids=["causal", "mixed"])
def test_a_step_takes_all_that_there_is_and_one_beside_the_signals_own_channels(steps: Any, tmp_path: Path) -> None:
    state = known(nl.gru_seq2seq(n_features=2, hid_dim=4, n_layers=1, steps=steps))
    signals = [x - x.mean(axis=0) for x in walk([140, 2, 33])]
    assert_same_as_predict(nl.export_onnx(state, tmp_path / "model.onnx"), state, signals)


@pytest.mark.parametrize("normalization", ["dataset", "block"])
@pytest.mark.parametrize("fold", [1, 4])
def test_what_is_added_to_a_signal_is_in_its_units(normalization: str, fold: int, tmp_path: Path) -> None:
    state = nl.gru_seq2seq(
        n_features=2, hid_dim=4, n_layers=1, task="regression", residual=True, fold=fold, bidirectional=True,
        steps=[HIGH, BAND | {"beside": True}],
    )  # fmt: skip
    target = "signal" if normalization == "block" else "dataset"
    state = known(normalizing(state, normalization, target), x_shift=[1.0] * 4, x_scale=[2.0, 3.0, 4.0, 5.0])
    path = nl.export_onnx(state, tmp_path / "model.onnx")
    assert_same_as_predict(path, state, walk([300, 41, 2]))
    silent = nl.State(**(state | {"preprocessing": state["preprocessing"] | {"residual": None}}))
    assert np.abs(nl.predict(silent, walk([300]))[0] - nl.predict(state, walk([300]))[0]).max() > 1


@pytest.mark.parametrize("window", [None, 2.0])
@pytest.mark.filterwarnings("ignore:.* far from all else")
def test_blocks_are_those_of_a_window_where_a_signal_is_shorter(window: float | None, tmp_path: Path) -> None:
    state = known(normalizing(nl.gru_seq2seq(n_features=2, hid_dim=4, n_layers=1), "block"), window=window)
    path = nl.export_onnx(state, tmp_path / "model.onnx")
    signals = walk([250, 249, 140, 109, 50, 9, 8, 7, 3, 2, 1])
    signals[1][:230] = 0  # all but one of its blocks rest
    assert_same_as_predict(path, state, signals)


def zeros_of(session: Any, n_streams: int) -> dict[str, np.ndarray]:
    """What streams begin with."""
    kinds = {"tensor(float)": np.float32, "tensor(double)": np.float64}
    ports = session.get_inputs()[2:]
    return {port.name: np.zeros((n_streams, *port.shape[1:]), kinds[port.type]) for port in ports}


def test_pieces_of_streams_of_unlike_lengths_have_the_answers_of_the_whole(tmp_path: Path) -> None:
    network = nl.gru_seq2seq(n_features=2, hid_dim=[5, 4], n_layers=2, steps=ONWARDS)
    scales = {"x_shift": [0.0] * 8, "x_scale": [9.0, 9.0, 3.0, 3.0, 1.0, 1.0, 40.0, 300.0]}
    state = known(network, normalization="dataset", **scales)
    session = session_of(nl.export_onnx(state, tmp_path / "stream.onnx", stateful=True))
    states = zeros_of(session, 3)
    assert list(states) == ["h0", "h1", "f0", "f1", "f2", "f3", "f4", "f5"] and states["f2"].dtype == np.float64
    rng, signals = np.random.default_rng(0), walk([700, 523, 640])
    at, answers = np.zeros(3, int), [np.zeros((0, 1), np.float32) for _ in signals]
    while (left := np.array([len(x) for x in signals]) - at).any():
        lengths = np.clip(left, 1, rng.integers(1, 150, 3))
        x = np.full((3, lengths.max(), 2), np.nan, np.float32)
        for row, signal, start, n in zip(x, signals, at, lengths, strict=True):
            row[:n] = signal[start : start + n] if start < len(signal) else 0  # it has ended
        output, *after = session.run(None, {"x": x, "lengths": lengths, **states})
        states = dict(zip(states, after, strict=True))
        lengths = np.minimum(lengths, left)
        answers = [np.concatenate([a, row[:n]]) for a, row, n in zip(answers, output, lengths, strict=True)]
        at += lengths
    for found, expected in zip(answers, nl.predict(state, signals), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_a_stream_goes_on_as_if_a_piece_that_cannot_be_answered_had_not_been(tmp_path: Path) -> None:
    state = known(nl.gru_seq2seq(n_features=2, hid_dim=[5, 4], n_layers=2, steps=ONWARDS, fold=2))
    session = session_of(nl.export_onnx(state, tmp_path / "stream.onnx", stateful=True))
    states, signals = zeros_of(session, 4), np.stack(walk([160] * 4))
    signals[1, 3], signals[2, 50, 1], signals[2, 60:] = np.nan, np.inf, np.nan
    lengths = [np.array([20, 20, 20, 0 if piece == 4 else 20]) for piece in range(8)]
    outputs = []
    for piece, n in zip(np.split(signals, 8, axis=1), lengths, strict=True):
        output, *after = session.run(None, {"x": piece, "lengths": n, **states})
        states = dict(zip(states, after, strict=True))
        assert all(np.isfinite(each).all() for each in after)
        outputs.append(output)
    heard = [[*range(160)], [*range(20, 160)], [*range(40)], [*range(80), *range(100, 160)]]
    together = np.concatenate(outputs, axis=1)
    together[3, 80:100] = np.nan  # zero beyond a length
    for row, signal, steps in zip(together, signals, heard, strict=True):
        np.testing.assert_allclose(row[steps], nl.predict(state, [signal[steps]])[0], rtol=0, atol=1e-5)
        assert np.isnan(np.delete(row, steps, axis=0)).all()


def test_a_stream_of_what_is_added_to_a_signal(tmp_path: Path) -> None:
    nl.export_onnx(filtering([HIGH | CAUSAL]), tmp_path / "stream.onnx", stateful=True)  # which checks it


def ecg(rate: float, duration: float = 10) -> np.ndarray:
    signal, _ = nl.synthetic_ecg(duration=duration, sampling_frequency=int(rate), muscle_noise=0.05, seed=1)
    return signal[:, None].astype(np.float32)


@pytest.mark.parametrize("name", nl.list_pretrained())
def test_a_model_that_comes_along_says_the_same_from_a_file(name: str, tmp_path: Path) -> None:
    state = nl.load_pretrained(name)
    path = nl.export_onnx(state, tmp_path / "model.onnx")
    rate = json.loads(told(path)["preprocessing"])["sampling_frequency"]
    x = ecg(rate)
    flat = np.full_like(x, 0.7)
    assert_same_as_predict(path, state, [x, x[:401], -1000 * x[:64], x[:2], x[:1], flat])
    whole = nl.predict_recording(state, {"signal": x, "sampling_frequency": rate})["output"]
    np.testing.assert_allclose(run(path, [x])[0, :-1], whole, rtol=0, atol=1e-5 * np.ptp(whole))
    assert json.loads(told(path)["preprocessing"])["window"] == state["preprocessing"]["window"]
    assert json.loads(told(path)["postprocessing"])["events"] == state["postprocessing"]["events"]
    assert path.stat().st_size < 1.3 * sum(4 * weight.numel() for weight in state["weights"].values()) + 50_000


def test_the_stream_that_comes_along_goes_on_from_a_file_as_in_python(tmp_path: Path) -> None:
    state = nl.load_pretrained("ecg_r_peaks_stream")
    session = session_of(nl.export_onnx(state, tmp_path / "stream.onnx", stateful=True))
    states = zeros_of(session, 1)
    network, carry = nl.build_network(state).eval(), nl.init_stream(state)
    for piece in np.split(ecg(RATE), [2, 4, 10, 300, 306, 1000]):
        expected, carry = nl.stream_step(network, piece, carry)
        output, *after = session.run(None, {"x": piece[None], "lengths": np.array([len(piece)]), **states})
        states = dict(zip(states, after, strict=True))
        np.testing.assert_allclose(output[0], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("steps", "preprocessing", "options", "match"),
    [
        ([HIGH], {"sampling_frequency": None}, {}, "the sampling frequency is not known: give it in"),
        ([LOW], {"sampling_frequency": 50.0}, {}, "signals of 50 Hz hold what is below 25 Hz"),
        ([HIGH | CAUSAL, LOW], {}, {"stateful": True}, "hears what comes after.*'causal': True"),
        ([HIGH | CAUSAL], {"normalization": "block"}, {"stateful": True}, "'block'.*with normalization='dataset'"),
    ],
)
def test_what_cannot_be_is_told_with_the_way_out(
    steps: Any, preprocessing: Any, options: Any, match: str, tmp_path: Path
) -> None:
    state = known(nl.gru_seq2seq(n_features=2, hid_dim=4, n_layers=1, steps=steps), **preprocessing)
    with pytest.raises(ValueError, match=match):
        nl.export_onnx(state, tmp_path / "model.onnx", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_filter_that_disagrees_after_seconds_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurallib.storage.onnx_steps.MOST", 4)  # blocks of 64 samples that are remembered
    with pytest.raises(RuntimeError, match="differs from the state"):
        nl.export_onnx(filtering([HIGH | CAUSAL]), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_signals_that_are_handed_in_check_a_file_as_far_as_a_window_goes() -> None:
    for window, longest, n_given in ((None, 1500, 700), (2.0, 250, 250)):
        checked = batches(known(filtering([HIGH]), window=window), walk([700]))
        assert len(checked[-1][0]) == n_given and max(len(x) for batch in checked for x in batch) == longest
