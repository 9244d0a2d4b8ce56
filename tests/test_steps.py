"""steps: filters that stand before a network's normalization, in every way that a state is trained and applied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import CASES, FEW, QUIET, Case, data, make_pairs, make_state, same_state
from scipy.signal import butter, sosfiltfilt

import neurallib as nl
from neurallib.architectures import ARCHITECTURES
from neurallib.steps import FLOOR, apply_steps, check_steps, n_inputs

RATE = 125.0
HIGH, BAND = {"name": "highpass", "frequency": 0.5}, {"name": "band", "low": 5.0, "high": 30.0, "beside": True}
GAIN = {"name": "local_gain", "low": 5.0, "high": 30.0, "beside": True}
each_case = pytest.mark.parametrize("case", CASES, ids=str)


def stepping(case: Case = Case("GRUseq2seq", "binary"), steps: Any = (HIGH, BAND), **more: Any) -> nl.State:
    """A state of two channels whose steps are known to run at 125 Hz."""
    state = make_state(case, steps=steps, **more)
    state["preprocessing"]["sampling_frequency"] = RATE
    return state


def noise(n_steps: int = 700, n_channels: int = 2, seed: int = 0) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).standard_normal((n_steps, n_channels)), axis=0) / 10


def test_filters_are_those_of_scipy_and_move_nothing_in_time() -> None:
    x = noise(5000)
    expected = sosfiltfilt(butter(2, 0.5, "highpass", fs=RATE, output="sos"), x, axis=0)
    made = apply_steps(x, [HIGH], RATE)
    np.testing.assert_allclose(made[500:-500], expected[500:-500], atol=1e-3)
    pulse = np.zeros((1001, 1))
    pulse[500] = 1
    for step in (BAND, {"name": "lowpass", "frequency": 20.0}, GAIN):
        answer = apply_steps(pulse, [step], RATE)[:, -1]
        assert np.abs(answer).argmax() == 500
        np.testing.assert_allclose(answer, answer[::-1], atol=1e-6)


def test_the_envelope_of_a_muscle_follows_how_loud_it_is() -> None:
    loud = 2 + np.sin(2 * np.pi * np.arange(4000) / 1000)[:, None]
    emg = 300 + loud * np.random.default_rng(0).standard_normal((4000, 1))
    steps = [BAND | {"high": 60.0, "beside": False}, {"name": "rectify"}, {"name": "lowpass", "frequency": 1.0}]
    envelope = apply_steps(emg, check_steps(steps), RATE)
    assert np.corrcoef(envelope[:, 0], loud[:, 0])[0, 1] > 0.95 and envelope.min() > 0


@pytest.mark.parametrize("ends", ["odd", "even"])
@pytest.mark.parametrize("n_steps", [1, 2, 50, 700])
def test_ends_are_continued_as_scipy_does(ends: Any, n_steps: int) -> None:
    x = noise(n_steps)
    for step, kind, at in ((HIGH, "highpass", 0.5), (BAND | {"beside": False}, "bandpass", [5.0, 30.0])):
        beyond = min(n_steps - 1, round(RATE / np.min(at)))
        sections = butter(2, at, kind, fs=RATE, output="sos")
        expected = sosfiltfilt(sections, x, axis=0, padtype=ends, padlen=beyond)
        np.testing.assert_allclose(apply_steps(x, [step | {"ends": ends}], RATE), expected, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(apply_steps(x, [HIGH], RATE), apply_steps(x, [HIGH | {"ends": "odd"}], RATE))


@pytest.mark.parametrize("causal", [{}, {"causal": True}], ids=["both ways", "causal"])
@pytest.mark.parametrize("n_steps", [1, 300])
def test_a_flat_line_has_no_rounding_that_is_scaled_up(n_steps: int, causal: Any) -> None:
    flat = np.full((n_steps, 1), 0.1) * [1, -3e4]
    steps = [step | causal for step in (HIGH, GAIN | {"beside": False})]
    assert not apply_steps(flat, steps, RATE).any() and not apply_steps(flat, steps[1:], RATE).any()


def test_a_window_that_begins_on_a_peak_has_no_step_there_where_ends_are_even() -> None:
    whole = np.zeros((2000, 1))
    whole[5::100] = 1
    expected = apply_steps(whole, [HIGH], RATE)[505:1505]
    part = whole[505:1505]
    odd, even = (apply_steps(part, [HIGH | {"ends": ends}], RATE) - expected for ends in ("odd", "even"))
    assert np.abs(even).max() < 0.05 < 0.5 < np.abs(odd).max()


def test_what_stands_beside_the_signal_is_of_the_signal_as_it_was_made() -> None:
    x = noise()
    whole = apply_steps(x, [HIGH, BAND, GAIN], RATE)
    high = apply_steps(x, [HIGH], RATE)
    assert whole.shape == (700, 6) and n_inputs(2, [HIGH, BAND, GAIN]) == 6
    np.testing.assert_array_equal(whole[:, :2], high)
    for step, columns in ((BAND, slice(2, 4)), (GAIN, slice(4, 6))):
        np.testing.assert_array_equal(whole[:, columns], apply_steps(high, [{**step, "beside": False}], RATE))


def test_a_local_gain_makes_loud_and_quiet_stretches_alike() -> None:
    x = np.random.default_rng(0).standard_normal((4000, 1))
    x[2000:] *= 50
    made = apply_steps(x, [{**GAIN, "beside": False}], RATE)[:, 0]
    assert made[300:1500].std() > 0.25 * made[2500:].std()
    assert not apply_steps(np.zeros((50, 1)), [GAIN], RATE).any()


@pytest.mark.parametrize("order", [2, 4])
def test_a_local_gain_is_the_band_over_its_own_rms_around_each_step(order: int) -> None:
    x, known = noise(300) * [1, 100], {"low": 5.0, "high": 30.0, "order": order}
    band = apply_steps(x, [{"name": "band"} | known], RATE)
    around = np.pad(band**2, ((25, 25), (0, 0)), mode="edge")  # of 0.4 s, half on either side
    power = np.lib.stride_tricks.sliding_window_view(around, 51, axis=0).mean(axis=-1)
    expected = band / (np.sqrt(power) + FLOOR * np.sqrt((band**2).mean(axis=0)))
    np.testing.assert_allclose(apply_steps(x, [{"name": "local_gain", "duration": 0.4} | known], RATE), expected)


def test_steps_are_those_that_were_given_and_what_is_no_yes_is_no() -> None:
    given: dict[str, Any] = {"name": "highpass", "frequency": 0.5, "beside": False, "causal": False}
    state, plain = stepping(steps=[given]), stepping(steps=[HIGH])
    given["frequency"] = 20.0
    assert nl.build_network(state)(torch.zeros(1, 5, 2)).shape == (1, 5, 1)
    np.testing.assert_array_equal(nl.predict(state, [noise()])[0], nl.predict(plain, [noise()])[0])


@pytest.mark.parametrize("case", FEW, ids=str)
def test_a_state_with_steps_trains_and_comes_back_from_its_files(case: Case, tmp_path: Path) -> None:
    state = stepping(case, fold=2)
    assert state["hparams"]["n_features"] == 2 and "steps" not in state["hparams"]
    trained = nl.train(state, data(state), data(state, seed=1), epochs=1, batch_size=3, normalization="block", **QUIET)
    loaded = nl.load_checkpoint(nl.save_checkpoint(trained, tmp_path / "saved"))
    for one in (loaded, trained):
        one["training_info"].pop("checkpoints_directory")
    assert same_state(loaded, trained) and loaded["preprocessing"]["steps"] == [HIGH, BAND]
    signals = [x for x, _ in make_pairs(state, [90, 40, 7])]
    for a, b in zip(nl.predict(trained, signals), nl.predict(loaded, signals), strict=True):
        np.testing.assert_array_equal(a, b)
    made = ARCHITECTURES[case.architecture].factory(**nl.get_hparams_from_checkpoints(tmp_path / "saved"))
    assert {name: w.shape for name, w in made["weights"].items()} == {n: w.shape for n, w in trained["weights"].items()}


@each_case
def test_predict_is_the_network_on_what_was_made_by_hand(case: Case) -> None:
    state, x = stepping(case), noise(150)
    made = torch.from_numpy(apply_steps(x, [HIGH, BAND], RATE).astype(np.float32))[None]
    logits = nl.build_network(state).eval()(made)[0].detach()
    (output,) = nl.predict(state, [x], output="logits")
    np.testing.assert_allclose(output, logits.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("normalization", ["zscore", "block", "dataset", None])
def test_windows_are_filtered_one_by_one_wherever_they_are_cut(normalization: str | None) -> None:
    state = stepping()
    pairs = [(noise(250, seed=i), np.zeros((250, 1))) for i in range(4)]
    state = nl.train(state, pairs, pairs, epochs=1, batch_size=4, normalization=normalization, **QUIET)
    state["preprocessing"]["window"] = 2.0
    x = noise(250 * 3)
    found = nl.predict_recording(state, {"signal": x, "sampling_frequency": RATE}, overlap=0.5)["output"]
    (whole,) = nl.predict(state, [x])
    (first,) = nl.predict(state, [x[:250]])
    np.testing.assert_allclose(found, whole, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[:100], first[:100], rtol=1e-5, atol=1e-6)


def test_data_of_a_dataset_normalization_decide_on_what_steps_made() -> None:
    pairs = [(noise(300, seed=i) + 1000, np.zeros((300, 1))) for i in range(4)]
    state = nl.train(stepping(), pairs, pairs, epochs=1, batch_size=2, normalization="dataset", **QUIET)
    shift, scale = (state["preprocessing"][name] for name in ("x_shift", "x_scale"))
    assert shift is not None and scale is not None and len(shift) == len(scale) == 4
    assert np.abs(shift).max() < 1  # the high-pass took 1000 off


def test_a_denoiser_gives_back_the_units_of_its_own_channels() -> None:
    pairs = [(noise(200, seed=i), noise(200, seed=i)) for i in range(6)]
    state = stepping(Case("GRUseq2seq", "regression"))
    options: dict[str, Any] = {"normalization": "block", "target_normalization": "signal", **QUIET}
    state = nl.train(state, pairs, pairs, epochs=1, batch_size=2, **options)
    small, large = nl.predict(state, [pairs[0][0], 1000 * pairs[0][0]])
    np.testing.assert_allclose(large, 1000 * small, rtol=1e-3)


def test_block_scale_is_the_size_of_most_parts_and_not_of_one_artefact() -> None:
    from neurallib.signals.normalization import own_scale

    x = np.sin(np.arange(8000) / 20)[:, None]
    before = own_scale(x, "block").scale
    x[100:120] += 50
    assert before == pytest.approx(1, rel=0.02) and own_scale(x, "block").scale == pytest.approx(before, rel=0.02)
    assert not own_scale(np.ones((9, 1)), "block").apply(np.ones((9, 1))).any()


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([{"name": "higpass", "frequency": 1.0}], "Did you mean 'highpass'"),
        ([{"name": "band", "low": 5.0}], r"steps\[0\] lacks high"),
        ([HIGH, {"name": "band", "low": 30.0, "high": 5.0}], r"steps\[1\] goes from"),
        ([{"name": "highpass", "frequncy": 1.0}], "Did you mean 'frequency'"),
        ([{"name": "highpass", "frequency": 0}], r"frequency.*\(0, inf\)"),
        ([{"name": "band", "low": 5.0, "high": 5.0}], r"steps\[0\] goes from"),
        ([{"name": "highpass", "frequency": 1.0, "order": 11}], "order.*at most 10"),
        ([{"name": "highpass", "frequency": 1.0, "beside": 1}], "beside"),
        ([{"name": "highpass", "frequency": 1.0, "ends": "evn"}], "Did you mean 'even'"),
        ("highpass", "expected a list of dicts"),
    ],
)
def test_a_wrong_step_is_told(steps: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make_state(Case("GRUseq2one", "binary"), steps=steps)


def test_filters_need_a_rate_that_holds_their_frequencies() -> None:
    state = make_state(Case("GRUseq2seq", "binary"), steps=[BAND])
    with pytest.raises(ValueError, match="sampling frequency is not known"):
        nl.predict(state, [noise()])
    for rate in (50.0, 60.0):
        state["preprocessing"]["sampling_frequency"] = rate
        with pytest.raises(ValueError, match=f"at 30 Hz; signals of {rate:g} Hz"):
            nl.predict(state, [noise()])


def test_a_network_without_the_step_does_not_fit() -> None:
    state = stepping()
    state["preprocessing"]["steps"] = [HIGH]
    with pytest.raises(ValueError, match="weight_ih_l0.*expected"):
        nl.predict(state, [noise()])


def test_a_slew_limit_is_that_of_its_definition_and_no_flat_line_makes_it_narrow() -> None:
    limit = {"name": "slew_limit", "factor": 1.5, "duration": 0.5}
    x = np.cumsum(np.random.default_rng(0).standard_normal((600, 2)), axis=0)
    x[300:420, 0], x[500] = x[300, 0], 1e6
    kept, made, last, power, heard = np.exp(-1 / (0.5 * 125.0)), [], x[0], np.zeros(2), np.zeros(2)
    for row in x:
        most = np.where(heard >= 0.2, 1.5 * np.sqrt(power / np.maximum(heard, 1e-9)), np.inf)
        change = np.clip(row - last, -most, most)
        last = last + change
        power, heard = (kept * mean + (1 - kept) * new for mean, new in ((power, change**2), (heard, change != 0)))
        made.append(last)
    np.testing.assert_allclose(apply_steps(x, [limit], 125.0), made, atol=1e-9)
    assert (np.abs(x - made) > 0.1).any(axis=1).sum() > 50, "or nothing was limited"


def test_one_sample_far_off_costs_no_beat_of_a_stream_and_ordinary_ecg_stays_as_it_is() -> None:
    x, r_peaks = nl.synthetic_ecg(duration=60, sampling_frequency=125, seed=1)
    state, spiked, found = nl.load_pretrained("ecg_r_peaks_stream"), x.copy(), []
    steps = state["preprocessing"]["steps"] or []
    np.testing.assert_array_equal(apply_steps(x[:, None], steps[:1], 125.0)[:, 0], x)
    spiked[2500] = 1e5
    beside = np.stack([np.where(np.arange(len(x)) % 50 == 7, 1e5, x), x], axis=1)
    np.testing.assert_array_equal(apply_steps(beside, steps[:1], 125.0)[:, 1], x)
    for some in (steps, steps[1:]):
        state["preprocessing"]["steps"] = some
        _, carry = nl.stream_step(nl.build_network(state).eval(), spiked, nl.init_stream(state))
        scores = nl.peak_scores(r_peaks[:-2], carry["events"]["found"][0], sampling_frequency=125)
        found.append(scores["sensitivity"])
    assert found[0] == 1 and found[1] < 0.7
