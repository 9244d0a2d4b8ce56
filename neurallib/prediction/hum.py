"""Mains hum that is as loud as the heart in a lead, taken out: `without_hum`."""

from __future__ import annotations

import numpy as np

from neurallib.signals.arrays import bridged

LOWEST = 35.0  # Hz: no narrow line of a heart is as high
HEARD = 1.0  # Hz: what is slower is wander, however large
STRETCH, BESIDE = 60.0, 5.0  # s that are decided together, and that are filtered on either side
SPECTRUM = 4.0  # s
NEAR, QUALITY = 1.0, 30.0  # Hz about a line that are its own, and the frequency by the width of what is cut out
MOST = 4  # a line and its harmonics
LOUD = 0.5  # of the power of all else: of DS1, with recorded noise or without, no minute has more than 0.25


def without_hum(x: np.ndarray, rate: float) -> tuple[np.ndarray, list[float]]:
    """A lead [T] at `rate` (Hz), nan in gaps, without lines above 35 Hz that have half as much power as all else above
    1 Hz, or more, float64; and the frequencies of these, the same x and none where there are none."""
    size, beside, found, heard = round(STRETCH * rate), round(BESIDE * rate), x, list[float]()
    for low in range(0, len(x), size):
        first = max(0, low - beside)
        part, lines = _notched(x[first : low + size + beside], rate)
        if lines:
            found = np.array(x, np.float64) if found is x else found
            found[low : low + size] = part[low - first :][:size]
            heard += lines
    return found, heard


def _notched(x: np.ndarray, rate: float) -> tuple[np.ndarray, list[float]]:
    from scipy.signal import filtfilt, iirnotch, welch

    missing, lines = np.isnan(x), list[float]()
    if missing.all() or len(x) < rate:
        return x, lines
    whole = bridged(x[:, None].astype(np.float64))[:, 0]
    while len(lines) < MOST:
        frequency, power = welch(whole, rate, nperseg=min(len(x), round(SPECTRUM * rate)))
        high = np.where((frequency >= LOWEST) & (frequency < 0.49 * rate), power, 0)
        near = np.abs(frequency - frequency[high.argmax()]) <= NEAR
        if high[near].sum() <= LOUD * power[~near & (frequency >= HEARD)].sum():
            break
        lines.append(float(np.average(frequency[near], weights=high[near])))
        whole = filtfilt(*iirnotch(lines[-1], QUALITY, rate), whole)
    return np.where(missing, np.nan, whole), lines
