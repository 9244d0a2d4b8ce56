"""What beats that are alike have in common, put back into what a denoiser made of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from neurallib.prediction import beat_averages
from neurallib.prediction.beat_averages import with_beat_averages

RATE = 200.0


def waves(centers: np.ndarray, n: int, spread: float, height: float = 1.0) -> np.ndarray:
    """[n], a Gaussian wave of so many seconds at each of some samples."""
    steps = np.arange(n)
    return sum((height * np.exp(-0.5 * ((steps - c) / (spread * RATE)) ** 2) for c in centers), np.zeros(n))


def ecg(seconds: float, noise: float, interval: int = 170) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """R-peaks, a lead without and with noise, and the small wave of each beat."""
    rng, n = np.random.default_rng(0), int(seconds * RATE)
    beats = np.cumsum(rng.integers(interval - 15, interval + 15, n // (interval - 15)))
    beats = beats[beats < n - 150]
    small = waves(beats + 30, n, 0.02, 0.1)
    clean = waves(beats, n, 0.012) + waves(beats + 55, n, 0.04, 0.25) + small
    return beats, clean, clean + noise * rng.standard_normal(n), small


def error(found: np.ndarray, clean: np.ndarray) -> float:
    return float(np.sqrt(np.mean((found - clean) ** 2)))


@pytest.mark.parametrize(("seconds", "interval"), [(20, 170), (300, 170), (60, 85)])  # of the last windows overlap
def test_a_wave_that_was_taken_off_every_beat_comes_back(seconds: float, interval: int) -> None:
    beats, clean, noisy, small = ecg(seconds, 0.05, interval)
    denoised = clean - small
    found = with_beat_averages(noisy, denoised, RATE)
    assert found.dtype == np.float32
    each = [error(found[b + 20 : b + 40], clean[b + 20 : b + 40]) for b in beats]
    left = [error(denoised[b + 20 : b + 40], clean[b + 20 : b + 40]) for b in beats]
    assert np.max(np.array(each) / np.array(left)) < 0.6  # of the first, the last and all between them
    assert error(found, clean) < 0.6 * error(denoised, clean)


def test_a_few_beats_without_noise_are_enough() -> None:
    beats, clean, noisy, small = ecg(8, noise=0.001)
    assert 4 <= len(beats) <= 8
    found, denoised = with_beat_averages(noisy, clean - small, RATE), clean - small
    assert all(error(found[b:][:60], clean[b:][:60]) < 0.2 * error(denoised[b:][:60], clean[b:][:60]) for b in beats)


def test_beats_become_alike_in_noise_and_stay_as_they_are_without() -> None:
    rng = np.random.default_rng(1)
    _, clean, noisy, _ = ecg(120, noise=0.4)
    wrong = 0.05 * gaussian_filter1d(rng.standard_normal(len(clean)), 2) / 0.38
    found = with_beat_averages(noisy, clean + wrong, RATE)
    assert error(found, clean) < 0.75 * error(clean + wrong, clean)
    own = clean * (1 + 0.2 * np.sin(np.arange(len(clean)) / RATE))  # beats that differ, and hardly any noise
    found = with_beat_averages(own + 0.005 * rng.standard_normal(len(own)), own, RATE)
    assert error(found, own) < 0.003


def test_what_comes_back_has_no_step_at_the_ends_of_a_beat() -> None:
    beats, clean, _, _ = ecg(60, noise=0)
    wide = waves(beats, len(clean), 0.25, 0.1)
    change = with_beat_averages(clean, clean - wide, RATE) - (clean - wide)
    assert np.abs(change).max() > 0.02
    assert np.abs(np.diff(change)).max() < 0.15 * np.abs(change).max()


def test_a_beat_unlike_the_others_is_left_alone() -> None:
    beats, clean, noisy, small = ecg(60, noise=0.02)
    odd = int(beats[20])
    steps = slice(odd - 60, odd + 90)
    n = len(clean)
    for signal in (clean, noisy):
        signal[steps] = (0.5 * waves(np.array([odd + 40]), n, 0.05) - 1.5 * waves(np.array([odd]), n, 0.05))[steps]
    denoised = clean - small
    denoised[steps] = clean[steps]
    found = with_beat_averages(noisy + 3, denoised + 3, RATE) - 3
    np.testing.assert_allclose(found[odd - 20 : odd + 40], denoised[odd - 20 : odd + 40], atol=1e-6)
    assert error(found, clean) < 0.4 * error(denoised, clean)


def test_stretches_of_a_long_recording_are_as_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    _, clean, noisy, small = ecg(400, noise=0.1)
    expected = with_beat_averages(noisy, clean - small, RATE)
    monkeypatch.setattr(beat_averages, "STRETCH", 33.3)
    np.testing.assert_allclose(with_beat_averages(noisy, clean - small, RATE), expected, atol=1e-6)


def test_beats_are_of_any_size_and_polarity() -> None:
    _, clean, noisy, small = ecg(30, noise=0.05)
    expected = with_beat_averages(noisy, clean - small, RATE)
    for scale in (1e-6, -1.0, 1e6):
        found = with_beat_averages(scale * noisy + 3 * scale, scale * (clean - small), RATE)
        np.testing.assert_allclose(found / scale, expected, atol=2e-5)


def test_gaps_stay_and_what_is_no_beat_is_as_it_was() -> None:
    beats, clean, noisy, small = ecg(60, noise=0.05)
    denoised = clean - small
    gap = slice(int(beats[10]) - 100, int(beats[10]) - 20)
    noisy[gap] = denoised[gap] = np.nan
    found = with_beat_averages(noisy, denoised, RATE)
    assert np.flatnonzero(np.isnan(found)).tolist() == list(range(gap.start, gap.stop))
    after = slice(gap.stop, int(beats[11]) - 65)  # of the beat that the gap cut
    np.testing.assert_array_equal(found[after], denoised[after].astype(np.float32))
    assert error(found[: gap.start], clean[: gap.start]) < 0.5 * error(denoised[: gap.start], clean[: gap.start])


@pytest.mark.parametrize("n", [0, 1, 100, 600, 8000])
@pytest.mark.parametrize("rate", [1.0, 29.0, 200.0])
def test_signals_without_beats_are_as_they_were(n: int, rate: float) -> None:
    beats, clean, noisy, _ = ecg(3.5, noise=0.05)
    assert len(beats) < 4
    flat = np.zeros(n, np.float32)
    for x, y in ((flat, flat), (noisy[:n], clean[:n].astype(np.float32)), (flat * np.nan, flat * np.nan)):
        np.testing.assert_array_equal(with_beat_averages(x, y, rate), y)
