"""Events at the extremum of the signal: of which side, above which baseline, and never beyond the recording."""

from __future__ import annotations

import numpy as np

from neurallib.prediction.r_peaks import snapped

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


def test_no_event_leaves_the_recording() -> None:
    signal = np.zeros(500)
    signal[[0, -1]] = 1
    assert found(signal, np.array([1, 498])).tolist() == [0, 499]
