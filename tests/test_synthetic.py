"""Synthetic ECG: what was asked for is what the signal measurably holds."""

import numpy as np
import pytest

from neurallib import synthetic_ecg

CLEAN = {"baseline_wander": 0.0, "muscle_noise": 0.0, "mains_hum": 0.0}
QUIET = {"heart_rate_std": 0.0, "amplitude_variation": 0.0, "morphology_variation": 0.0} | CLEAN


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def power_between(signal: np.ndarray, sampling_frequency: float, low: float, high: float) -> float:
    """The share of a signal's power between two frequencies in Hz."""
    power = np.abs(np.fft.rfft(signal - signal.mean())) ** 2
    frequency = np.fft.rfftfreq(len(signal), 1 / sampling_frequency)
    return float(power[(frequency >= low) & (frequency <= high)].sum() / power.sum())


@pytest.mark.parametrize("sampling_frequency", [125, 360, 1000])
@pytest.mark.parametrize("heart_rate, ectopic_fraction", [(45, 0.0), (75, 0.2), (150, 0.0)])
def test_r_peaks_are_the_tops_of_the_clean_signal(
    sampling_frequency: int, heart_rate: float, ectopic_fraction: float
) -> None:
    near = round(0.05 * sampling_frequency)
    for seed in range(5):
        signal, r_peaks = synthetic_ecg(
            duration=20, sampling_frequency=sampling_frequency, seed=seed, heart_rate=heart_rate,
            ectopic_fraction=ectopic_fraction, **CLEAN,
        )  # fmt: skip
        whole = r_peaks[(r_peaks >= near) & (r_peaks < len(signal) - near)]
        tops = np.array([np.argmax(signal[r - near : r + near + 1]) - near for r in whole])
        assert np.abs(tops).max() / sampling_frequency <= 0.004 + 0.5 / sampling_frequency
        assert (signal[whole] > 0.5).all()


def test_no_beat_of_the_clean_signal_is_without_its_r_peak() -> None:
    from scipy.signal import find_peaks

    signal, r_peaks = synthetic_ecg(duration=60, sampling_frequency=360, seed=3, heart_rate=80, **CLEAN)
    found, _ = find_peaks(signal, height=0.5)
    inside = r_peaks[(r_peaks > 5) & (r_peaks < len(signal) - 5)]
    assert len(found) == len(inside)
    assert np.abs(found - inside).max() <= 1


@pytest.mark.parametrize("heart_rate", [40, 72, 160])
def test_mean_and_variation_of_the_heart_rate_are_those_asked_for(heart_rate: float) -> None:
    _, r_peaks = synthetic_ecg(duration=600, sampling_frequency=250, seed=7, heart_rate=heart_rate, heart_rate_std=4)
    rate = 60 * 250 / np.diff(r_peaks)
    assert rate.mean() == pytest.approx(heart_rate, rel=0.02)
    assert rate.std() == pytest.approx(4, rel=0.35)


def test_heart_rate_oscillates_with_respiration_and_mayer_waves() -> None:
    def spectrum(lf_hf_ratio: float) -> tuple[float, float]:
        _, r_peaks = synthetic_ecg(
            duration=1200, sampling_frequency=500, seed=1, heart_rate=80, lf_hf_ratio=lf_hf_ratio
        )
        times = r_peaks[1:] / 500
        even = np.interp(np.arange(times[0], times[-1], 0.25), times, np.diff(r_peaks))
        return power_between(even, 4, 0.06, 0.14), power_between(even, 4, 0.2, 0.3)

    low, high = spectrum(0.5)
    assert low + high > 0.9
    assert low / high == pytest.approx(0.5, rel=0.4)
    assert spectrum(0.0)[0] < 0.02


def test_without_variation_every_beat_is_alike() -> None:
    signal, r_peaks = synthetic_ecg(duration=20, sampling_frequency=360, seed=0, **QUIET)
    assert set(np.diff(r_peaks)) == {360}
    beats = np.stack([signal[r - 100 : r + 200] for r in r_peaks[4:-1]])  # the first seconds still settle
    np.testing.assert_allclose(beats, np.broadcast_to(beats[0], beats.shape), atol=0.02)


def test_a_beat_has_its_five_waves_and_the_height_asked_for() -> None:
    signal, r_peaks = synthetic_ecg(duration=20, sampling_frequency=1000, seed=0, amplitude=2.0, **QUIET)
    r = r_peaks[5]
    level = np.median(signal[r + 400 : r + 600])
    p, q, s, t = signal[r - 250 : r - 100].max(), signal[r - 80 : r].min(), signal[r : r + 80].min(), (
        signal[r + 150 : r + 400].max()
    )
    assert signal[r] - level == pytest.approx(2.0, rel=0.05)
    assert q < level - 0.1 and s < q and p > level + 0.1 and t > p


def test_voltage_relaxes_to_its_baseline_of_zero() -> None:
    signal, _ = synthetic_ecg(duration=120, sampling_frequency=250, seed=0, heart_rate=90, **QUIET)
    assert abs(signal.mean()) < 0.005  # the waves by themselves have a mean of 0.1 mV


def test_amplitude_varies_as_asked() -> None:
    signal, r_peaks = synthetic_ecg(
        duration=300, sampling_frequency=500, seed=0, heart_rate_std=0, amplitude_variation=0.1, **CLEAN
    )
    heights = signal[r_peaks]
    assert heights.std() / heights.mean() == pytest.approx(0.1, rel=0.2)


def test_ectopic_beats_are_early_wide_and_followed_by_a_pause() -> None:
    signal, r_peaks = synthetic_ecg(
        duration=120, sampling_frequency=500, seed=2, heart_rate=75, ectopic_fraction=0.1, **QUIET
    )
    intervals = np.diff(r_peaks)
    early = np.flatnonzero(intervals < 0.8 * 400)
    assert 8 <= len(early) <= 22
    np.testing.assert_allclose(intervals[early] + intervals[np.minimum(early + 1, len(intervals) - 1)], 800, atol=2)
    width = np.array([(signal[r - 50 : r + 51] > signal[r] / 2).sum() for r in r_peaks[2:-2]])
    is_early = np.isin(np.arange(2, len(r_peaks) - 2), early + 1)
    assert width[is_early].min() > 1.8 * width[~is_early].max()


@pytest.mark.parametrize(
    "noise, low, high", [("baseline_wander", 0.04, 0.55), ("muscle_noise", 18, 152), ("mains_hum", 49.9, 50.1)]
)
def test_each_noise_has_the_level_and_the_band_asked_for(noise: str, low: float, high: float) -> None:
    settings = {"duration": 100, "sampling_frequency": 360, "seed": 5}
    clean, _ = synthetic_ecg(**settings, **CLEAN)
    noisy, _ = synthetic_ecg(**settings, **CLEAN | {noise: 0.2})
    difference = noisy.astype(np.float64) - clean
    assert rms(difference) == pytest.approx(0.2, rel=1e-3)
    assert power_between(difference, 360, low, high) > 0.98


def test_hum_of_a_sixty_hertz_grid_is_at_sixty_hertz() -> None:
    signal, _ = synthetic_ecg(
        duration=20, sampling_frequency=360, seed=0, **CLEAN | {"mains_hum": 5.0}, mains_frequency=60
    )
    assert power_between(signal, 360, 59.9, 60.1) > 0.98


def test_hum_above_half_the_sampling_frequency_is_left_out() -> None:
    settings = {"duration": 5, "sampling_frequency": 90, "seed": 0}
    loud, quiet = (synthetic_ecg(**settings, **CLEAN | {"mains_hum": level})[0] for level in (1.0, 0.0))
    np.testing.assert_array_equal(loud, quiet)


def test_noise_does_not_change_the_heart() -> None:
    settings = {"duration": 10, "sampling_frequency": 360, "seed": 8, "ectopic_fraction": 0.1}
    loud = synthetic_ecg(**settings, baseline_wander=1, muscle_noise=1, mains_hum=1)
    np.testing.assert_array_equal(loud[1], synthetic_ecg(**settings, **CLEAN)[1])


def test_same_seed_same_signal_other_seed_other_signal_and_global_state_untouched() -> None:
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    (a, peaks_a), (b, peaks_b), (c, _) = (
        synthetic_ecg(duration=5, sampling_frequency=250, seed=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(peaks_a, peaks_b)
    assert not np.array_equal(a, c)
    np.testing.assert_array_equal(before, np.random.get_state()[1])


@pytest.mark.parametrize("duration, sampling_frequency", [(0.004, 250), (0.3, 125), (33.3, 128), (5, 2000.5)])
def test_any_duration_gives_finite_float32_and_peaks_inside(duration: float, sampling_frequency: float) -> None:
    for heart_rate in (20, 200):
        signal, r_peaks = synthetic_ecg(
            duration=duration, sampling_frequency=sampling_frequency, seed=0, heart_rate=heart_rate,
            heart_rate_std=heart_rate / 5, ectopic_fraction=0.5,
        )  # fmt: skip
        assert signal.dtype == np.float32 and r_peaks.dtype == np.int64
        assert signal.shape == (round(duration * sampling_frequency),) and np.isfinite(signal).all()
        assert (np.diff(r_peaks) > 0).all() and ((r_peaks >= 0) & (r_peaks < len(signal))).all()


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"duration": 0}, "duration=0"),
        ({"duration": 0.001}, "less than one sample"),
        ({"sampling_frequency": 20}, "sampling_frequency=20"),
        ({"heart_rate": 300}, "heart_rate=300"),
        ({"heart_rate": 60, "heart_rate_std": 20}, "heart_rate_std=20"),
        ({"lf_hf_ratio": -1}, "lf_hf_ratio=-1"),
        ({"ectopic_fraction": 0.9}, "ectopic_fraction=0.9"),
        ({"amplitude": 0}, "amplitude=0"),
        ({"amplitude_variation": 2}, "amplitude_variation=2"),
        ({"morphology_variation": 1}, "morphology_variation=1"),
        ({"muscle_noise": -0.1}, "muscle_noise=-0.1"),
        ({"mains_hum": float("nan")}, "mains_hum=nan"),
        ({"mains_frequency": 0}, "mains_frequency=0"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": None}, "seed=None"),
    ],
)
def test_argument_out_of_range_is_named(wrong: dict, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        synthetic_ecg(**{"duration": 5, "sampling_frequency": 250, "seed": 0} | wrong)
