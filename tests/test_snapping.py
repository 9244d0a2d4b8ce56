"""Events at the extremum of the signal: of which side, above which baseline, and never beyond the recording."""

from typing import Any

import numpy as np
import pytest
from answer_cases import ecg_recording, heart_recording, known_detector

import neurallib as nl
from neurallib.prediction.r_peaks import snapped
from neurallib.prediction.stretches import over_holes

RATE = 250.0
BEATS = np.arange(250, 5000, 250)


def found(signal: np.ndarray, events: np.ndarray = BEATS) -> np.ndarray:
    return snapped({"signal": signal[:, None], "sampling_frequency": RATE}, events, 0.05, "auto", 0)


def beats(up: np.ndarray, down: np.ndarray) -> np.ndarray:
    """A wave so high 4 samples before each event, and one so deep 4 samples after it."""
    signal, t = np.zeros(5250), np.arange(-25, 26)
    for at, high, low in zip(BEATS, up, down, strict=True):
        signal[at + t] = high * np.exp(-0.5 * ((t + 4) / 1.5) ** 2) - low * np.exp(-0.5 * ((t - 4) / 1.5) ** 2)
    return signal


def test_a_beat_goes_the_other_way_than_the_others_where_that_is_clear() -> None:
    up, down = np.ones(len(BEATS)), np.full(len(BEATS), 0.5)
    down[3], down[5] = 1.25, 2.0
    moves = found(beats(up, down)) - BEATS
    assert moves.tolist() == [4 if k == 5 else -4 for k in range(len(BEATS))]


def test_one_artefact_does_not_turn_the_other_beats() -> None:
    up, down = np.ones(len(BEATS)), np.full(len(BEATS), 0.8)
    down[7] = 100
    moves = found(beats(up, down)) - BEATS
    assert np.delete(moves, 7).tolist() == [-4] * (len(BEATS) - 1)


def test_the_baseline_is_that_of_the_beat() -> None:
    signal = beats(np.zeros(len(BEATS)), np.ones(len(BEATS)))
    signal[BEATS[6] - 60 : BEATS[6] + 60] += 10  # a jump of an electrode, and back
    assert (found(signal) - BEATS).tolist() == [4] * len(BEATS)


def test_two_events_of_one_extremum_are_one() -> None:
    signal = np.exp(-0.5 * (np.arange(500.0) - 250) ** 2)
    assert found(signal, np.array([248, 251])).tolist() == [250]


def test_no_event_leaves_the_recording() -> None:
    signal = np.zeros(500)
    signal[[0, -1]] = 1
    assert found(signal, np.array([1, 498])).tolist() == [0, 499]


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_snapped_events_lie_at_the_extremum_of_the_larger_deflection(sign: float) -> None:
    recording, r_peaks = ecg_recording(sign)
    moved = np.clip(r_peaks + np.resize([-5, 0, 7, 3], len(r_peaks)), 0, 7499)
    found = snapped(recording, moved, 0.05, "auto", 1)
    assert np.abs(found - r_peaks).max() <= 1
    other = snapped(recording, moved, 0.05, "negative" if sign > 0 else "positive", 1)
    assert np.abs(other - r_peaks).mean() > 3
    recording["signal"][:] = np.nan
    np.testing.assert_array_equal(snapped(recording, moved, 0.05, "auto", 1), moved)


def test_a_sharp_wave_is_met_at_its_top_and_a_broad_one_hardly_moves_an_event() -> None:
    t = np.arange(1000)
    for width, low, high in ((2.0, 0, 1), (60.0, 5, 8)):  # samples of 4 ms; the event is 8 of them from the top
        wave = np.exp(-0.5 * ((t - 500) / width) ** 2)[:, None]
        recording: Any = {"signal": wave, "sampling_frequency": 250.0, "channels": ["II"]}
        (found,) = snapped(recording, np.array([508]), 0.05, "auto", 0)
        assert low <= found - 500 <= high


def test_a_beat_that_points_the_other_way_is_met_at_its_own_extremum() -> None:
    t = np.arange(3000)
    peaks = np.arange(100, 2900, 200)
    size = np.where(np.arange(len(peaks)) == 7, -1.0, 1.0)
    waves = np.exp(-0.5 * ((t[:, None] - peaks) / 3) ** 2) - 0.4 * np.exp(-0.5 * ((t[:, None] - peaks - 9) / 3) ** 2)
    for sign in (1, -1):
        signal = (sign * waves * size).sum(axis=1)[:, None]
        recording: Any = {"signal": signal, "sampling_frequency": 250.0, "channels": ["II"]}
        assert np.abs(snapped(recording, peaks + 4, 0.05, "auto", 0) - peaks).max() <= 1
        one_way = snapped(recording, peaks + 4, 0.05, "positive" if sign > 0 else "negative", 0)
        assert np.flatnonzero(np.abs(one_way - peaks) > 1).tolist() == [7]


def test_up_or_down_is_told_by_the_deflection_and_not_by_how_far_it_is() -> None:
    t, peaks = np.arange(3000)[:, None], np.arange(100, 2900, 200)
    waves = np.exp(-0.5 * ((t - peaks) / 3) ** 2) - 1.2 * np.exp(-0.5 * ((t - peaks - 9) / 3) ** 2)
    recording: Any = {"signal": waves.sum(axis=1)[:, None], "sampling_frequency": 250.0, "channels": ["II"]}
    assert np.abs(snapped(recording, peaks + 2, 0.05, "auto", 0) - peaks - 9).max() <= 2
    assert np.abs(snapped(recording, peaks + 2, 0.05, "positive", 0) - peaks).max() <= 2


def test_events_of_no_extremum_stay_unless_they_are_asked_to_move() -> None:
    t, feet = np.arange(3000)[:, None], np.arange(100, 2900, 200)
    signal = np.exp(-0.5 * ((t - feet - 30) / 8) ** 2).sum(axis=1)[:, None]  # a pulse rises for 0.1 s from its foot
    recording: Any = {"signal": signal, "sampling_frequency": 250.0, "channels": ["PPG"]}
    with pytest.warns(UserWarning, match="on no extremum of the signal but some 0.05 s or more before one"):
        np.testing.assert_array_equal(snapped(recording, feet, 0.05, "auto", 0, asked=False), feet)
    assert (snapped(recording, feet, 0.05, "auto", 0) - feet).min() > 9
    late_by = {"threshold": 0.9, "min_distance": 0.3, "delay": 0.12}
    for given, said in (({"snap": 0.05}, {}), ({}, {"snap": 0.05})):
        state = known_detector(250.0, **late_by, **said)
        state["postprocessing"]["outputs"] = ["pulse foot"]
        assert (nl.find_r_peaks(state, recording, **given) - nl.find_r_peaks(state, recording, snap=0)).min() > 9
    recording["signal"] = np.exp(-0.5 * ((t - feet) / 2) ** 2).sum(axis=1)[:, None]
    late = feet + 10  # than the tops, as of a model that looks back alone
    there = snapped(recording, late, 0.05, "auto", 0)
    np.testing.assert_array_equal(snapped(recording, late, 0.05, "auto", 0, False), there)


def test_events_of_another_name_are_not_moved() -> None:
    one, state = heart_recording(), known_detector(250.0, threshold=0.9, min_distance=0.3)
    raw = nl.find_r_peaks(state, one, snap=0)
    assert (nl.find_r_peaks(state, one) != raw).any()
    feet = {**state, "postprocessing": {**state["postprocessing"], "outputs": ["pulse foot"]}}
    np.testing.assert_array_equal(nl.find_r_peaks(feet, one), raw)
    unnamed = {**state, "postprocessing": {**state["postprocessing"], "outputs": None}}
    for symbol, moved in (("pulse foot", False), ("QRS", True), ("N", True)):
        there = one | {"events": {"sample": raw, "symbol": [symbol] * len(raw)}}
        scores = nl.evaluate_recordings(unnamed, [there], names=[symbol])["gross"]
        assert (scores["timing_sd_ms"] > 0) == moved, symbol
    assert nl.evaluate_recordings(unnamed, [one], target=lambda _: raw)["gross"]["timing_sd_ms"] > 0
    both = one | {"events": {"sample": np.repeat(raw, 2), "symbol": ["N", "pulse foot"] * len(raw)}}
    with pytest.warns(UserWarning, match=r"against beats, .* annotated as pulse foot: that is names=\['pulse foot'\]"):
        nl.evaluate_recordings(feet, [both])
    nl.evaluate_recordings(feet, [both], names=["pulse foot"])
    nl.evaluate_recordings(state, [both])


def test_beats_with_lost_samples_are_met_at_their_tops() -> None:
    one, state = heart_recording(), known_detector(250.0, threshold=0.9, min_distance=0.3)
    whole = nl.find_r_peaks(state, one)
    lost = one["signal"].copy()
    lost[np.random.default_rng(0).random(len(lost)) < 0.1] = np.nan
    found = nl.find_r_peaks(state, one | {"signal": lost})
    assert np.abs(found[:, None] - whole).min(axis=1).max() <= 2


def test_holes_are_bridged_up_to_their_longest_and_within_the_signal_alone() -> None:
    column = np.arange(24.0)
    column[[0, *range(3, 8), *range(10, 16), 23]], column[20] = np.nan, np.inf
    made = over_holes(column, 5)
    assert np.flatnonzero(np.isnan(made)).tolist() == [0, *range(10, 16), 23]
    np.testing.assert_array_equal(made[np.isfinite(made)], np.arange(24)[np.isfinite(made)])
    assert np.isnan(over_holes(np.full(3, np.inf), 5)).all()


def test_r_peaks_of_a_recording_are_found_and_moved_to_the_signal() -> None:
    recording, r_peaks = ecg_recording()
    one = recording | {"signal": recording["signal"][:, 1:], "channels": ["II"]}
    state = known_detector(250.0, threshold=0.9, min_distance=0.3)
    found = nl.find_r_peaks(state, one)
    assert nl.peak_scores(r_peaks, found, sampling_frequency=250, tolerance=0.012)["f1"] == 1
    assert len(nl.find_r_peaks(state, one, threshold=1.0)) == 0
    raw = nl.find_r_peaks(state, one, snap=0)
    np.testing.assert_array_equal(raw, nl.find_events(nl.predict(state, [one["signal"]])[0], 250, threshold=0.9,
                                                      min_distance=0.3))  # fmt: skip
