"""Synthetic ECG against the published model: its equation, its waves, and how its beats differ."""

import numpy as np
import pytest
from scipy.integrate import cumulative_trapezoid
from scipy.interpolate import PchipInterpolator
from test_synthetic import QUIET, power_between

from neurallib import synthetic_ecg

# P, Q, R, S, T: angles and widths (rad) of ECGSYN, and heights of a lead II; then those of a ventricular ectopic beat.
ANGLES, WIDTHS, HEIGHTS = [-70, -15, 0, 15, 100], [0.25, 0.1, 0.1, 0.1, 0.4], [0.12, -0.12, 1, -0.22, 0.27]
ECTOPIC = [-70, -60, 0, 60, 115], [0.25, 0.2, 0.27, 0.25, 0.4], [0, -0.1, 1.25, -0.3, -0.35]


def driving_events(times: np.ndarray, r_times: np.ndarray, ectopic: np.ndarray) -> np.ndarray:
    """The Gaussian events of all beats [T], each around its angle of the phase, moved and widened by the rate."""
    course = PchipInterpolator(r_times, np.arange(len(r_times)))
    events = np.zeros(len(times))
    for beat, rate in enumerate(course(r_times, 1)):
        angles, widths, heights = ECTOPIC if ectopic[beat] else (ANGLES, WIDTHS, HEIGHTS)
        for wave in range(5):
            stretch = np.sqrt(rate) if wave in (0, 4) else rate
            angle = 2 * np.pi * (course(times) - beat) - np.deg2rad(angles[wave]) * stretch
            events += heights[wave] * np.exp(-0.5 * (angle / (widths[wave] * stretch)) ** 2)
    return events


@pytest.mark.parametrize(("heart_rate", "ectopic_fraction"), [(60, 0.0), (130, 0.0), (75, 0.4)])
def test_the_clean_signal_solves_the_equation_of_the_model(heart_rate: float, ectopic_fraction: float) -> None:
    rate = 20_000  # Hz: R-peaks are told to the nearest sample
    signal, r_peaks = synthetic_ecg(
        duration=12, sampling_frequency=rate, seed=2, heart_rate=heart_rate, ectopic_fraction=ectopic_fraction,
        **QUIET | {"amplitude": 1.0},
    )  # fmt: skip
    early = np.diff(r_peaks, prepend=r_peaks[0] - 60 * rate / heart_rate) < 0.8 * 60 * rate / heart_rate
    assert early.any() == (ectopic_fraction > 0)
    inside = slice(r_peaks[3], r_peaks[-4])
    times, z = np.arange(len(signal))[inside] / rate, signal[inside].astype(np.float64)
    # z' = events' - z / 1 s, so this does not change in time.
    constant = z + cumulative_trapezoid(z, dx=1 / rate, initial=0) - driving_events(times, r_peaks / rate, early)
    assert np.ptp(constant) < 0.004  # mV


def test_half_of_the_heights_variation_is_respiration() -> None:
    signal, r_peaks = synthetic_ecg(
        duration=1000, sampling_frequency=250, seed=0, **QUIET | {"amplitude": 1.0, "amplitude_variation": 0.1}
    )
    heights = signal[r_peaks].astype(np.float64)
    assert power_between(heights, 1, 0.249, 0.251) == pytest.approx(0.5, abs=0.05)  # 0.25 Hz, a beat a second
    even = synthetic_ecg(duration=10, sampling_frequency=250, seed=0, **QUIET | {"amplitude": 1.0})
    assert heights.mean() == pytest.approx(even[0][even[1][5]], abs=0.01)
    spread = np.sort(heights - heights.mean())
    assert abs(spread[10] + spread[-10]) < 0.1 * spread[-10]  # as far up as down


@pytest.mark.parametrize("step", [0.001, 0.1, 1.0])
def test_relaxation_is_exact_where_events_are_straight_lines(step: float) -> None:
    from neurallib.signals.synthetic import _relaxation

    times = step * np.arange(10)
    events = 2 + 0.5 * times
    start = events[: round(3 / step)].mean()  # the steady state of the first three seconds
    exact = 2 + 0.5 * (times - 1) + (start - 1.5) * np.exp(-times)  # u' = events - u
    np.testing.assert_allclose(_relaxation(events, step), exact, rtol=1e-9)


def test_a_seed_means_the_same_signal_in_every_version() -> None:
    signal, r_peaks = synthetic_ecg(duration=10, sampling_frequency=250, seed=1, ectopic_fraction=0.2)
    assert r_peaks.tolist() == [102, 339, 568, 820, 1079, 1315, 1547, 1802, 2066, 2308]
    np.testing.assert_allclose(signal[[0, 500, 1000, 2499]], [-0.12624, 0.05862, -0.05912, 0.07248], atol=1e-4)
