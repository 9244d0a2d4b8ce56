"""A denoised lead of ECG, corrected by what beats that are alike have in common: `with_beat_averages`."""

from __future__ import annotations

import numpy as np

from neurallib.signals.arrays import bridged
from neurallib.steps import apply_steps

BEFORE, AFTER, FADING = 0.3, 0.45, 0.08  # s of a beat, and of these at either end, where its correction fades
ALIKE = 0.7  # the least correlation of two denoised beats
REACH, MOST, LEAST = 100, 60, 4  # beats on either side that are looked at, and how many of the nearest make a mean
SLOWEST = 0.4  # Hz: what is slower is no part of a beat
BAND, SMOOTHED = (5.0, 25.0), 0.06  # Hz, s: where QRS stand out
BLOCK, LOUD = 2.0, 0.3  # s, and the share of the blocks' usual peak from which on one is a beat's
LOWEST = 30.0  # Hz: of slower signals nothing is asked
STRETCH, BESIDE = 600.0, 120.0  # s that are corrected together, and that are heard on either side


def with_beat_averages(noisy: np.ndarray, denoised: np.ndarray, rate: float) -> np.ndarray:
    """A denoised lead [T], nan in gaps, at `rate` (Hz): its beats with what all that are alike lost, and in much noise
    with less of what sets them apart.

    What a denoiser takes off is noise, and waves that it does not know. These are in every beat, and so in the mean of
    what was taken off beats that are alike; at each frequency as much of that mean is put back as is above its
    standard error (Wiener's filter). What sets a denoised beat apart from their mean counts by its share of that and of
    the noise.
    """
    if rate < LOWEST:
        return denoised
    size, beside = round(STRETCH * rate), round(BESIDE * rate)
    found = denoised.astype(np.float32)
    for low in range(0, len(found), size):
        first, stop = max(0, low - beside), low + size + beside
        found[low : low + size] = _corrected(noisy[first:stop], denoised[first:stop], rate)[low - first :][:size]
    return found


def _corrected(noisy: np.ndarray, denoised: np.ndarray, rate: float) -> np.ndarray:
    from scipy.signal.windows import tukey

    before, size = round(BEFORE * rate), round((BEFORE + AFTER) * rate)
    missing = np.isnan(denoised)
    if len(denoised) < 2 * size or missing.all():
        return denoised
    whole = bridged(denoised[:, None].astype(np.float64))[:, 0]
    beats = _beats(whole, missing, rate, before, size)
    if len(beats) < LEAST:
        return denoised
    lost = bridged((noisy - denoised.astype(np.float64))[:, None])
    lost = apply_steps(lost, [{"name": "highpass", "frequency": SLOWEST}], rate)[:, 0]
    taper = tukey(size, 2 * FADING / (BEFORE + AFTER))
    change, weight = np.zeros(len(whole)), np.zeros(len(whole))
    for first in range(0, len(beats), REACH):
        low = max(0, first - REACH)
        places = beats[low : first + 2 * REACH, None] + np.arange(size)
        own = np.arange(first - low, min(first - low + REACH, len(places)))
        changed, shares = _changes(whole[places], lost[places], taper, own)
        np.add.at(change, places[own], changed)
        np.add.at(weight, places[own], shares)
    return np.asarray(denoised + change / np.maximum(weight, 1))


def _changes(
    beats: np.ndarray, lost: np.ndarray, taper: np.ndarray, own: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What is added to the beats `own` among beats [n, size] of which [n, size] was lost, and how much it counts:
    nothing where few are alike."""
    from scipy.ndimage import uniform_filter1d

    def power(values: np.ndarray) -> np.ndarray:  # of spectra, and never 0
        return np.asarray(uniform_filter1d(np.maximum(values, 0), 5, mode="nearest")) + np.finfo(float).tiny

    size, alike = 1 << (len(taper) - 1).bit_length(), _alike(beats, own)
    n = np.maximum(alike.sum(axis=1, keepdims=True), LEAST)
    spectra = [np.fft.rfft(rows * taper, size) for rows in (beats, lost)]
    mean, mean_lost = (alike @ rows / n for rows in spectra)
    of_each, noise = (
        power((alike @ np.abs(rows) ** 2 / n - np.abs(middle) ** 2) * n / (n - 1))
        for rows, middle in zip(spectra, (mean, mean_lost), strict=True)
    )
    put_back = np.maximum(1 - noise / n / power(np.abs(mean_lost) ** 2), 0) * mean_lost
    made_alike = (mean - spectra[0][own]) * noise / (of_each + noise)
    counts = taper * alike.any(axis=1, keepdims=True)
    return np.fft.irfft(put_back + made_alike, size)[:, : len(taper)] * counts, counts


def _alike(beats: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Which of the beats [n, size] each of `own` is compared with, [len(own), n]: the nearest that are alike, if enough
    are."""
    about = beats - beats.mean(axis=1, keepdims=True)
    about /= np.sqrt((about**2).sum(axis=1, keepdims=True)) + np.finfo(float).tiny
    alike = about[own] @ about.T > ALIKE
    nearest = np.argsort(np.abs(own[:, None] - np.arange(len(beats))), axis=1, kind="stable")
    some = np.take_along_axis(alike, nearest, axis=1)
    np.put_along_axis(alike, nearest, some & (some.cumsum(axis=1) <= MOST), axis=1)
    return np.asarray(alike & (alike.sum(axis=1, keepdims=True) >= LEAST))


def _beats(whole: np.ndarray, missing: np.ndarray, rate: float, before: int, size: int) -> np.ndarray:
    """Where the beats of a signal [T] begin that are within it and miss no value."""
    from scipy.ndimage import median_filter
    from scipy.signal import find_peaks

    band = {"name": "band", "low": BAND[0], "high": min(BAND[1], 0.4 * rate)}
    hanning = np.hanning(round(SMOOTHED * rate) + 3)
    height = np.abs(apply_steps(whole[:, None], [band], rate)[:, 0])
    height = np.convolve(height, hanning / hanning.sum(), "same")
    blocks = np.arange(0, len(height), round(BLOCK * rate))
    usual = median_filter(np.maximum.reduceat(height, blocks), 7, mode="nearest")
    peaks, _ = find_peaks(height, distance=round(0.25 * rate))
    loud = height[peaks] > LOUD * np.interp(peaks, blocks + BLOCK * rate / 2, usual)
    n_missing = np.concatenate([[0], missing.cumsum()])
    starts = peaks[loud & (peaks >= before) & (peaks - before + size <= len(height))] - before
    return np.asarray(starts[n_missing[starts + size] == n_missing[starts]])
