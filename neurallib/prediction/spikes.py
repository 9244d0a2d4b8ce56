"""Spikes that no heart makes, as of pacemakers, taken out at a recording's own rate: `without_spikes`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from neurallib.signals.arrays import bridged
from neurallib.signals.contents import LazySignal
from neurallib.signals.recording_parts import Recording, n_channels_of, rows_of

FINER = 1.5  # times a state's rate: from there on spikes can be told from waves
BLOCK, BLOCKS = 2.0, 9  # s of which it is told how far a signal goes, and of how many the median counts
# Times as high as that is a spike, and as nine tenths of all that is as narrow: of DS1 at 190 to 1,000 Hz, also played
# up to twice as fast, and of muscle noise at most 1.4 where the other is 5.
TALL, RARE = 1.5, 5.0
JUMP = 0.15  # of a spike: where a signal has changed by more behind it, its electrode comes back slowly: it is heard
_PART = 600.0  # s that are looked at together


def without_spikes(recording: Recording, columns: Sequence[int], rate_of_state: float | None) -> Recording:
    """The recording with a straight line in some channels where a spike is no wider than a step of a state, which
    learnt of no wave so narrow, and much higher than all else goes; as it is where there is none, or where it is hardly
    finer than the state."""
    rate = float(recording["sampling_frequency"])
    if rate_of_state is None or rate < FINER * rate_of_state:
        return recording
    half = math.ceil(rate / rate_of_state - 1e-6)
    found = _places(recording, columns, rate, half)
    if not any(map(len, found.values())):
        return recording
    beside = 4 * half + 4  # two spikes, with what is between them

    def read(start: int, stop: int) -> np.ndarray:
        first = max(start - beside, 0)
        rows = np.array(rows_of(recording, first, stop + beside))
        for column, places in found.items():
            spikes = places[np.searchsorted(places, first) : np.searchsorted(places, first + len(rows))] - first
            if len(spikes):
                line = rows[:, column].copy()
                line[spikes] = np.nan
                rows[spikes, column] = bridged(line[:, None])[spikes, 0]
        return rows[start - first :][: stop - start]

    n_steps = len(recording["signal"])
    return {**recording, "signal": LazySignal(read, n_steps, n_channels_of(recording["signal"]))}


def _places(recording: Recording, columns: Sequence[int], rate: float, half: int) -> dict[int, np.ndarray]:
    """The samples of the spikes of some channels, with as many on either side as a spike may be wide; each part of the
    recording is read once."""
    block = round(BLOCK * rate)
    size, beside, n_steps = round(_PART / BLOCK) * block, BLOCKS * block, len(recording["signal"])
    found = {column: [np.zeros(0, np.int64)] for column in columns}
    for low in range(0, n_steps, size):
        first = max(low - beside, 0)
        rows = rows_of(recording, first, low + size + beside)
        for column, parts in found.items():
            places = first + _spikes(rows[:, column], half, block)
            parts.append(places[(places >= low) & (places < low + size)])
    return {column: np.concatenate(parts) for column, parts in found.items()}


def _spikes(x: np.ndarray, half: int, block: int) -> np.ndarray:
    """The samples of what in x [n] is no wider than so many samples and far higher, or lower, than all else."""
    from scipy.ndimage import maximum_filter1d, median_filter

    if not np.isfinite(x).any():
        return np.zeros(0, np.int64)
    x = bridged(x[:, None])[:, 0]
    smooth = median_filter(x, 2 * half + 1, mode="nearest")
    narrow, starts = np.abs(x - smooth), np.arange(0, len(x), block)
    goes = np.maximum.reduceat(smooth, starts) - np.minimum.reduceat(smooth, starts)
    goes = np.maximum(maximum_filter1d(goes, 3), median_filter(goes, BLOCKS, mode="nearest"))
    usual = np.array([np.quantile(part, 0.9) for part in np.split(narrow, starts[1:])])
    least = np.where(goes > 0, np.maximum(TALL * goes, RARE * usual), np.inf)
    tops = np.flatnonzero(narrow > np.repeat(least, block)[: len(x)])
    if not len(tops):
        return tops
    found = [tops[:0]]
    for one in np.split(tops, np.flatnonzero(np.diff(tops) > half + 1) + 1):
        before, after = max(one[0] - half - 2, 0), min(one[-1] + half + 2, len(x) - 1)
        if abs(x[after] - x[before]) <= JUMP * narrow[one].max():
            found.append(np.arange(before + 1, after))
    return np.concatenate(found)
