"""A denoised lead of ECG, corrected by what beats that are alike have in common: `with_beat_averages`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from neurallib.signals.arrays import bridged

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
    from scipy.signal import butter, sosfiltfilt
    from scipy.signal.windows import tukey

    before, size = round(BEFORE * rate), round((BEFORE + AFTER) * rate)
    beats = _beats(denoised, rate, before, size)
    if len(beats) < LEAST:
        return denoised
    beat = bridged(denoised[:, None].astype(np.float64))[:, 0]
    lost = bridged((noisy - denoised.astype(np.float64))[:, None])[:, 0]
    lost = sosfiltfilt(butter(2, SLOWEST, "highpass", fs=rate, output="sos"), lost)
    taper = tukey(size, 2 * FADING / (BEFORE + AFTER))
    change, weight = np.zeros(len(beat)), np.zeros(len(beat))
    for first in range(0, len(beats), REACH):
        low = max(0, first - REACH)
        places = np.array(beats[low : first + 2 * REACH])[:, None] + np.arange(size)
        for i, changed in _changes(beat[places], lost[places], taper, range(first - low, len(places))[:REACH]):
            change[places[i]] += changed * taper
            weight[places[i]] += taper
    return np.asarray(denoised + change / np.maximum(weight, 1))


def _changes(
    beats: np.ndarray, lost: np.ndarray, taper: np.ndarray, own: Iterable[int]
) -> Iterator[tuple[int, np.ndarray]]:
    """What is added to each of `own` among beats [n, size] of which [n, size] was lost, where enough are like it."""
    from scipy.ndimage import uniform_filter1d

    def power(values: np.ndarray) -> np.ndarray:  # of a spectrum, and never 0
        return np.asarray(uniform_filter1d(values, 5, mode="nearest")) + np.finfo(float).tiny

    size = 1 << (len(taper) - 1).bit_length()
    spectra, spectra_lost = (np.fft.rfft(rows * taper, size) for rows in (beats, lost))
    about = beats - beats.mean(axis=1, keepdims=True)
    about /= np.sqrt((about**2).sum(axis=1, keepdims=True)) + np.finfo(float).tiny
    for i in own:
        nearest = np.argsort(np.abs(np.arange(len(beats)) - i), kind="stable")
        alike = nearest[about[nearest] @ about[i] > ALIKE][:MOST]
        if len(alike) < LEAST:
            continue
        mean, mean_lost = spectra[alike].mean(axis=0), spectra_lost[alike].mean(axis=0)
        noise = power(spectra_lost[alike].var(axis=0, ddof=1))
        of_each = power(spectra[alike].var(axis=0, ddof=1))
        put_back = np.maximum(1 - noise / len(alike) / power(np.abs(mean_lost) ** 2), 0) * mean_lost
        made_alike = (mean - spectra[i]) * noise / (of_each + noise)
        yield i, np.fft.irfft(put_back + made_alike, size)[: len(taper)]


def _beats(denoised: np.ndarray, rate: float, before: int, size: int) -> list[int]:
    """Where the beats begin that are whole and miss no value."""
    from scipy.ndimage import median_filter
    from scipy.signal import butter, find_peaks, sosfiltfilt

    missing = np.isnan(denoised)
    if len(denoised) < 2 * size or missing.all():
        return []
    band = butter(2, (BAND[0], min(BAND[1], 0.4 * rate)), "bandpass", fs=rate, output="sos")
    hanning = np.hanning(round(SMOOTHED * rate) + 3)
    height = np.convolve(np.abs(sosfiltfilt(band, bridged(denoised[:, None])[:, 0])), hanning / hanning.sum(), "same")
    blocks = np.arange(0, len(height), round(BLOCK * rate))
    usual = median_filter(np.maximum.reduceat(height, blocks), 7, mode="nearest")
    peaks, _ = find_peaks(height, distance=round(0.25 * rate))
    loud = height[peaks] > LOUD * np.interp(peaks, blocks + BLOCK * rate / 2, usual)
    n_missing = np.concatenate([[0], missing.cumsum()])
    starts = peaks[loud & (peaks >= before) & (peaks - before + size <= len(height))] - before
    return list(starts[n_missing[starts + size] == n_missing[starts]])
