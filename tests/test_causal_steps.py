"""Causal steps: the same values of a signal whole, in windows or piece by piece, and nothing of what comes after."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import FEW, QUIET, Case, data, make_state
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import butter, resample_poly, sosfilt, sosfilt_zi

import neurallib as nl
from neurallib.steps import apply_steps, check_steps, steps_going_on, warm_up

RATE = 125.0
HIGH: dict[str, Any] = {"name": "highpass", "frequency": 0.5, "causal": True}
LOW: dict[str, Any] = {"name": "lowpass", "frequency": 40.0, "order": 3, "causal": True}
BAND: dict[str, Any] = {"name": "band", "low": 5.0, "high": 30.0, "causal": True}
GAIN: dict[str, Any] = {"name": "local_gain", "low": 5.0, "high": 30.0, "duration": 1.0, "causal": True}
LIMIT: dict[str, Any] = {"name": "slew_limit", "factor": 1.5, "duration": 0.5, "causal": True}  # for much of any signal
STEPS = [LIMIT, HIGH, LOW, BAND | {"beside": True}, GAIN | {"beside": True}, {"name": "rectify", "beside": True}]
each_step = pytest.mark.parametrize("step", [HIGH, LOW, BAND, GAIN, LIMIT], ids=lambda step: step["name"])


def make(known: Any = (), events: Any = (), **hparams: Any) -> nl.State:
    options: dict[str, Any] = {"n_features": 2, "hid_dim": [6, 4], "n_layers": 2, "steps": STEPS}
    state = nl.gru_seq2seq(**(options | hparams))
    state["preprocessing"] |= {"sampling_frequency": RATE} | dict(known)  # type: ignore[typeddict-item]
    state["postprocessing"] |= {"events": dict(events)}
    return state


def signal_of(n_steps: int = 700, seed: int = 0) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).standard_normal((n_steps, 2)), axis=0) + [40, -300]


def streamed(state: nl.State, signal: np.ndarray, cuts: list[int], **options: Any) -> np.ndarray:
    """The answers to signals [..., T, 2], along time."""
    network, carry = nl.build_network(state).eval(), nl.init_stream(state, **options)
    outputs = []
    for chunk in [*np.split(signal, cuts, axis=-2), None]:
        output, carry = nl.stream_step(network, chunk, carry)
        outputs.append(output.reshape(*signal.shape[:-2], -1, output.shape[-1]))
    return np.concatenate(outputs, axis=-2)


@pytest.mark.parametrize(("step", "kind", "at"), [(HIGH, "highpass", 0.5), (BAND, "bandpass", [5, 30])])
def test_a_causal_filter_is_scipys_forwards_alone_from_where_it_had_settled(step: Any, kind: str, at: Any) -> None:
    x = signal_of()
    sections = butter(2, at, kind, fs=RATE, output="sos")
    for column, made in zip(x.T, apply_steps(x, [step], RATE).T, strict=True):
        expected, _ = sosfilt(sections, column, zi=sosfilt_zi(sections) * column[0])
        np.testing.assert_allclose(made, expected, atol=1e-9)


@each_step
def test_a_causal_step_hears_nothing_of_what_comes_after(step: dict[str, Any]) -> None:
    x, other = signal_of(), signal_of()
    other[400:] += 1e4 * np.random.default_rng(1).standard_normal((300, 2))
    made, changed = (apply_steps(values, [step], RATE) for values in (x, other))
    np.testing.assert_array_equal(made[:400], changed[:400])
    assert np.abs(made[400:] - changed[400:]).max() > 1


@each_step
def test_an_offset_gives_no_jump_where_a_signal_begins(step: dict[str, Any]) -> None:
    flat = np.full((300, 1), 1000.0)
    expected = flat if step["name"] in ("lowpass", "slew_limit") else 0 * flat
    np.testing.assert_allclose(apply_steps(flat, [step], RATE), expected, atol=1e-6)


def test_a_causal_local_gain_is_the_band_over_its_own_rms_of_late_in_any_unit() -> None:
    x = np.random.default_rng(0).standard_normal((4000, 1))
    x[2000:] *= 50
    made, band = apply_steps(x, [GAIN], RATE), apply_steps(x, [BAND], RATE)
    assert made[1000:2000].std() == pytest.approx(1, rel=0.05) == made[3000:].std()
    np.testing.assert_allclose(apply_steps(1000 * x, [GAIN], RATE), made, rtol=1e-6, atol=1e-9)
    weights = np.exp(-np.arange(1501)[::-1] / RATE)  # as long ago as duration counts 1 / e
    size = np.sqrt((weights * band[:1501, 0] ** 2).sum() / weights.sum())
    assert made[1500, 0] == pytest.approx(band[1500, 0] / size)
    assert not apply_steps(np.zeros((50, 1)), [GAIN], RATE).any()


@given(cuts=st.lists(st.integers(1, 299), max_size=8, unique=True))
@settings(max_examples=30, deadline=None)
def test_pieces_go_through_steps_bit_for_bit_as_the_whole_does(cuts: list[int]) -> None:
    x, held, made = np.stack([signal_of(300, seed) for seed in range(3)]), None, []
    for piece in np.split(x, sorted(cuts), axis=1):
        values, held = steps_going_on(piece, STEPS, RATE, held)
        made.append(values)
    expected = np.stack([apply_steps(one, STEPS, RATE) for one in x])
    np.testing.assert_array_equal(np.concatenate(made, axis=1), expected)


DATASET = {"normalization": "dataset", "x_shift": [0.0, 1.0] * 4, "x_scale": [2.0, 9.0] * 4}


@pytest.mark.parametrize("cuts", [[], [0, 0, 3, 4, 5, 699], list(range(20, 700, 20))], ids=["whole", "odd", "even"])
@pytest.mark.parametrize("fold", [1, 4])
@pytest.mark.parametrize("known", [{}, DATASET], ids=["as it comes", "dataset"])
def test_a_stream_has_the_answers_of_the_whole_signal_whatever_the_cutting(known: Any, fold: int, cuts: Any) -> None:
    state, signals = make(known, fold=fold), [signal_of(seed=seed) for seed in range(3)]
    together = streamed(state, np.stack(signals), cuts, batch_size=3)
    for signal, row, expected in zip(signals, together, nl.predict(state, signals), strict=True):
        np.testing.assert_allclose(row, expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(streamed(state, signal, cuts), expected, rtol=1e-5, atol=1e-5)


def test_a_stream_with_a_look_ahead_goes_through_steps_once() -> None:
    state, signal = make(bidirectional=True), signal_of()
    output = streamed(state, signal, list(range(13, 700, 13)), look_ahead=10.0)
    np.testing.assert_allclose(output, nl.predict(state, [signal])[0], atol=1e-5)


def test_filters_go_on_from_a_file_and_a_carry_stays_as_it_was(tmp_path: Path) -> None:
    state, signal = make(fold=2), signal_of()
    network, carry = nl.build_network(state).eval(), nl.init_stream(state)
    outputs = []
    for chunk in [signal[:0], *np.split(signal, [33, 400]), None]:
        torch.save(carry, tmp_path / "carry.pt")
        nl.stream_step(network, chunk, carry)
        output, carry = nl.stream_step(network, chunk, carry)
        again, carry = nl.stream_step(network, chunk, torch.load(tmp_path / "carry.pt", weights_only=True))
        np.testing.assert_array_equal(output, again)
        outputs.append(output)
    np.testing.assert_allclose(np.concatenate(outputs), nl.predict(state, [signal])[0], atol=1e-5)


def test_a_recording_is_one_pass_from_gap_to_gap() -> None:
    state, x = make(fold=2), signal_of(12_000)
    x[1000:1100] = np.nan
    answer = nl.predict_recording(state, {"signal": x, "sampling_frequency": RATE})
    assert answer["windows"].tolist() == [[0, 1000], [1100, 12_000]], "a minute is 7,500"
    for part in (slice(0, 1000), slice(1100, 12_000)):
        np.testing.assert_allclose(answer["output"][part], nl.predict(state, [x[part]])[0], atol=1e-5)
    in_windows = nl.predict_recording(state, {"signal": x, "sampling_frequency": RATE}, window=2.0)["output"]
    assert np.isnan(in_windows).any(axis=1).sum() == 100, "no filter warms up across a gap"


@pytest.mark.parametrize("architecture", ["GRUseq2seq", "Transformerseq2seq"])
@pytest.mark.parametrize("rate", [RATE, 2 * RATE])
def test_filters_are_warm_where_a_window_begins(
    rate: float, architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = make_state(Case(architecture, "binary"), steps=[HIGH, GAIN])
    state["preprocessing"]["sampling_frequency"] = RATE
    x = signal_of(6000)
    seen: list[np.ndarray] = []

    def apply(x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:  # the network's place: what it would be handed
        seen.extend(row[:n].numpy() for row, n in zip(x, lengths.tolist(), strict=True))
        return torch.zeros(len(x), x.shape[1], 1)

    for module in ("long_recordings", "applying"):
        monkeypatch.setattr(f"neurallib.prediction.{module}.applied", lambda state, device: apply)
    windows = nl.predict_recording(state, {"signal": x, "sampling_frequency": rate}, window=2.0)["windows"].tolist()
    state["preprocessing"]["window"] = 2.0
    nl.predict(state, [x], sampling_frequency=rate)
    windows += [[round(start * rate / RATE), 0] for start in range(0, len(seen[len(windows) :]) * 125, 125)]
    assert len(seen) == len(windows) > 30
    made = apply_steps(x if rate == RATE else resample_poly(x, 1, 2, padtype="edge"), [HIGH, GAIN], RATE)
    for (start, _), values in zip(windows, seen, strict=True):
        first = round(start * RATE / rate)
        np.testing.assert_allclose(values, made[first : first + len(values)], atol=0.03)


def test_a_warm_filter_has_forgotten_where_it_began() -> None:
    for steps in ([HIGH], [GAIN], STEPS):
        n, x = warm_up(steps, RATE), signal_of(6000)
        made = apply_steps(x, steps, RATE)[-500:]
        np.testing.assert_allclose(apply_steps(x[-500 - n :], steps, RATE)[n:], made, atol=5e-3 * np.abs(made).max())
    assert warm_up([{"name": "slew_limit", "causal": True}], RATE) == 0, "what it holds back is no ordinary signal"
    assert warm_up([{"name": "highpass", "frequency": 0.5}], RATE) == 0, "what hears both ways begins with its window"
    assert warm_up([HIGH | {"frequency": 1e-4}], RATE) == 100_000, "memory has a bound"


@pytest.mark.parametrize("case", FEW, ids=str)
def test_a_state_with_causal_steps_trains_and_comes_back_from_its_files(case: Case, tmp_path: Path) -> None:
    state = make_state(case, steps=STEPS)
    state["preprocessing"]["sampling_frequency"] = RATE
    trained = nl.train(state, data(state), data(state, seed=1), epochs=1, batch_size=3, **QUIET)
    loaded = nl.load_checkpoint(nl.save_checkpoint(trained, tmp_path / "saved"))
    assert loaded["preprocessing"]["steps"] == STEPS == check_steps(STEPS)


def test_training_sees_what_a_stream_does() -> None:
    state, x = make(), signal_of()
    (made, _), *_ = nl.prepare(state, [(x, np.zeros((700, 1)))])
    np.testing.assert_array_equal(made.numpy(), steps_going_on(x, STEPS, RATE)[0].astype(np.float32))


def test_causal_is_yes_or_no_and_has_no_ends() -> None:
    with pytest.raises(TypeError, match=r"steps\[0\]\['causal'\]"):
        make(steps=[HIGH | {"causal": "yes"}])
    with pytest.raises(ValueError, match=r"steps\[0\] has 'ends'; 'highpass' has frequency, order, causal, bes"):
        make(steps=[HIGH | {"ends": "even"}])
    assert check_steps([HIGH | {"causal": False}]) == [{"name": "highpass", "frequency": 0.5}]


@pytest.mark.parametrize(
    ("rate", "steps", "match"),
    [
        (None, [HIGH], "sampling frequency is not known"),
        (50.0, [LOW], "signals of 50 Hz"),
        (RATE, [HIGH, {"name": "lowpass", "frequency": 30.0}], "hears what comes after.* 'causal': True"),
    ],
)
def test_what_no_stream_can_go_through_is_told_with_the_way_out(rate: Any, steps: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        nl.init_stream(make({"sampling_frequency": rate}, steps=steps))


WRONG: list[Any] = [
    None,
    {"named": None},
    {"named": []},
    {"named": [HIGH, LOW]},
    {"named": [HIGH | {"frequency": -1.0}]},
    {"named": [{"name": "highpass", "frequency": 0.5}, *STEPS[1:]]},
    {"named": torch.zeros(2)},
    {"rate": "125"},
    {"rate": 1.0},
    {"held": None},
    {"held": []},
    {"held": [[torch.zeros(1, 1, 2, 2)]] * 4},
    {"held": torch.zeros(3)},
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_filters_that_no_stream_has_are_refused_by_name(wrong: Any) -> None:
    network, carry = nl.build_network(make()).eval(), nl.init_stream(make())
    _, carry = nl.stream_step(network, signal_of(30), carry)
    broken = carry | {"steps": wrong if wrong is None else carry["steps"] | wrong}
    with pytest.raises(ValueError, match=r"(?s)carry\['steps'\] is .*, which no stream of this network has"):
        nl.stream_step(network, signal_of(3), broken)


def test_a_carry_of_steps_that_hear_both_ways_is_refused_before_anything_came() -> None:
    network, carry = nl.build_network(make()).eval(), nl.init_stream(make())
    both = [{name: value for name, value in step.items() if name != "causal"} for step in STEPS]
    with pytest.raises(ValueError, match=r"carry\['steps'\]"):
        nl.stream_step(network, signal_of(3), carry | {"steps": carry["steps"] | {"named": both}})


def test_a_delay_is_taken_off_events_wherever_they_are_found() -> None:
    events = {"threshold": 0.5, "min_distance": 0.1}
    state, x = make(events=events), signal_of(2000)
    state["weights"]["fc_out.weight"] *= 30
    logits = nl.predict(state, [x], output="logits")[0]
    state["weights"]["fc_out.bias"] -= torch.from_numpy(np.median(logits, axis=0))
    at = nl.find_events(nl.predict(state, [x])[0], RATE, min_distance=0.1)
    assert len(at) > 20
    expected = [place - 25 for place in at.tolist() if place >= 25]
    state["postprocessing"]["events"] = events | {"delay": 0.2}
    recording = {"signal": x, "sampling_frequency": RATE}
    assert nl.predict_recording(state, recording, output="events")["events"].tolist() == expected
    assert nl.find_r_peaks(state, recording, snap=0).tolist() == expected
    assert nl.find_events(nl.predict(state, [x])[0], RATE, **state["postprocessing"]["events"]).tolist() == expected
    network, carry = nl.build_network(state).eval(), nl.init_stream(state)
    found = []
    for chunk in [*np.split(x, 40), None]:
        _, carry = nl.stream_step(network, chunk, carry)
        found += carry["events"]["found"][0].tolist()
    assert found == expected


@pytest.mark.parametrize("late", [0, 12])
@pytest.mark.parametrize("rate", [125, 250])
def test_labels_that_are_not_as_late_as_answers_are_told(late: int, rate: int) -> None:
    state, factor = nl.load_pretrained("ecg_r_peaks_stream"), rate // 125
    ecg = [nl.synthetic_ecg(duration=20, sampling_frequency=rate, seed=seed) for seed in range(2)]
    moved = [(x, r_peaks[r_peaks < len(x) - 12 * factor] + late * factor) for x, r_peaks in ecg]
    pairs = [(x[:, None], nl.peak_labels(places, len(x), 4)[:, None]) for x, places in moved]
    told = "labels of .*data stand where events are, and the state answers 0.096 s later, .* 12 steps, later"
    with pytest.warns(UserWarning, match=told) if late == 0 else nullcontext():
        nl.evaluate(state, pairs, sampling_frequency=rate)
    with pytest.warns(UserWarning, match=told) if late == 0 else nullcontext():
        nl.confusion_matrix(state, pairs, sampling_frequency=rate)
    if rate == 125:
        with pytest.warns(UserWarning, match=told) if late == 0 else nullcontext():
            nl.train(state, pairs, pairs, epochs=1, batch_size=2, dry_run=True, **QUIET)
