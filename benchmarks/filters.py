"""Filters that bench_denoising.py sets beside a network: zero-phase band-passes, wavelets, medians.

Each takes a signal [T, 1], its rate in Hz and settings, and gives [T, 1].
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np


def butterworth(signal: np.ndarray, rate: float, low: float, high: float) -> np.ndarray:
    """Of second order, forwards and backwards."""
    return _both_ways(signal, rate, "band", low, high)


def without_baseline(signal: np.ndarray, rate: float) -> np.ndarray:
    """Without what is slower than 0.5 Hz."""
    return _both_ways(signal, rate, "high", 0.5)


def _both_ways(signal: np.ndarray, rate: float, kind: str, *frequencies: float) -> np.ndarray:
    """Ends mirror the signal for a period of the lowest frequency: turned over, as is usual, one that lies within a QRS
    would be a step, and what is left of it would count as ECG."""
    from scipy.signal import butter, sosfiltfilt

    at = frequencies if len(frequencies) > 1 else frequencies[0]
    sections, beyond = butter(2, at, kind, fs=rate, output="sos"), min(len(signal) - 1, round(rate / frequencies[0]))
    return np.asarray(sosfiltfilt(sections, signal, axis=0, padtype="even", padlen=beyond))


@lru_cache
def _taps(rate: float, low: float, high: float) -> np.ndarray:
    from scipy.signal import firwin

    return np.asarray(firwin(2 * round(rate) + 1, [low, high], pass_zero=False, fs=rate))


def fir(signal: np.ndarray, rate: float, low: float, high: float) -> np.ndarray:
    """Two seconds of taps (Hamming) around each sample, so that nothing is delayed."""
    from scipy.signal import oaconvolve

    taps = _taps(rate, low, high)
    reach = len(taps) // 2
    longer = np.pad(signal, ((reach, reach), (0, 0)), mode="reflect")
    return np.asarray(oaconvolve(longer, taps[:, None], mode="valid", axes=0))


def wavelets(signal: np.ndarray, rate: float, limit: float) -> np.ndarray:
    """Soft threshold of the details (sym8; Donoho and Johnstone 1994), in spreads of the finest ones, and without what
    is slower than 0.35 to 0.7 Hz."""
    import pywt

    slow, *details = pywt.wavedec(signal[:, 0], "sym8", level=round(math.log2(rate / 0.5)) - 1)
    spread = np.median(np.abs(details[-1])) / 0.6745
    kept = [pywt.threshold(part, limit * spread, "soft") for part in details]
    return np.asarray(pywt.waverec([np.zeros_like(slow), *kept], "sym8")[: len(signal), None])


def medians(signal: np.ndarray, rate: float) -> np.ndarray:
    """Less the baseline that medians over 200 and 600 ms leave (de Chazal et al., 2004)."""
    from scipy.ndimage import median_filter

    baseline = signal
    for seconds in (0.2, 0.6):
        baseline = median_filter(baseline, (2 * round(seconds * rate / 2) + 1, 1))
    return signal - baseline
