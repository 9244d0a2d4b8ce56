"""Waves of a signal around events, and events whose waves are none of a heart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from neurallib.prediction.stretches import over_holes
from neurallib.signals.arrays import BRIDGED
from neurallib.signals.recording_parts import Recording, rows_of
from neurallib.warn import warn

_AROUND = 0.15  # seconds on either side of an event whose median is its baseline
_SPAN = 1 << 17  # samples whose events are looked at together
_WAVES = 0.06  # seconds on either side of an event within which its waves are measured
_TINY = 1 / 16  # of the waves of its neighbours: smaller ones are of no beat (51,000 of DS1: at least 1 / 14)
_COMPARED = 31  # events, itself in their middle but for the first and the last of a recording
_ONE = 1.01  # steps of the signal's numbers: waves that are no larger are of its converter
_SOME, _BESIDE = 16, 1 << 13  # events, and samples on either side, that tell this step


def levels(recording: Recording, events: np.ndarray, reach: int, column: int) -> Iterator[np.ndarray]:
    """The signal above its baseline, [n, 2 * reach + 1] around each of some events after the others."""
    for block in np.split(events, np.flatnonzero(np.diff(events // _SPAN)) + 1):
        yield _around(recording, block, reach, column)


def beside_neighbours(recording: Recording, events: np.ndarray, columns: Sequence[int]) -> np.ndarray:
    """Events but those whose waves are next to nothing beside their neighbours' in each of some channels: what a filter
    that makes silence as large as beats, as a local gain does, lets a state hear in a pause or while a lead is off; and
    those, with a word, that are the last digit of the signal's numbers going up and down."""
    from scipy.ndimage import median_filter

    reach, tiny = round(_WAVES * float(recording["sampling_frequency"])), np.ones(len(events), dtype=bool)
    coarse = tiny.copy()
    for column in columns:
        if not (tiny | coarse).any():
            break
        blocks = levels(recording, events, reach, column)
        size = np.concatenate([np.fmax.reduce(level, axis=1) - np.fmin.reduce(level, axis=1) for level in blocks])
        told = np.isfinite(size)
        coarse &= size <= _ONE * _step_of(recording, events, column)
        tiny &= told
        n, half = told.sum(), _COMPARED // 2
        if n > 2 * half:
            usual = median_filter(size[told], _COMPARED)[np.clip(np.arange(n), half, n - 1 - half)]
        else:
            usual = np.median(size[told]) if n else np.inf
        tiny[told] &= size[told] < _TINY * usual
    if (coarse := coarse & ~tiny).any():
        warn(
            f"{coarse.sum()} of the {len(events)} that were found are no larger than a step of the signal's numbers, "
            "and are left out: a lead that is off, or a signal that was rounded too coarsely? doubt=2 leaves them in."
        )
    return np.asarray(events[~tiny & ~coarse])


def _step_of(recording: Recording, events: np.ndarray, column: int) -> float:
    """The least that a channel changes by from one sample to the next, about some of the events: of what was made whole
    numbers a step of these, of what was filtered hardly anything."""
    parts = [rows_of(recording, max(int(at) - _BESIDE, 0), int(at) + _BESIDE)[:, column]
             for at in events[:: -(-len(events) // _SOME)]]  # fmt: skip
    changes = np.concatenate([np.abs(np.diff(part)) for part in parts])
    return float(changes[(changes > 0) & np.isfinite(changes)].min(initial=np.inf))


def _around(recording: Recording, events: np.ndarray, reach: int, column: int) -> np.ndarray:
    """The signal above its baseline [n, 2 * reach + 1] around events, averaged over a triangle of some 20 ms; nan where
    there is none."""
    rate = float(recording["sampling_frequency"])
    soft = round(0.008 * rate)
    wide = max(round(_AROUND * rate), reach + soft)
    low, n_steps = max(int(events[0]) - wide, 0), len(recording["signal"])
    part = over_holes(rows_of(recording, low, int(events[-1]) + wide + 1)[:, column], int(BRIDGED * rate))
    places = events[:, None] + np.arange(-wide, wide + 1)
    windows = part[np.clip(places, low, n_steps - 1) - low]
    gap = np.isnan(windows)
    outside = (places < 0) | (places >= n_steps)
    ordered = np.sort(np.where(gap, np.inf, windows), axis=1)  # the median of what is no gap, without a warning
    known = (~gap).sum(axis=1)
    baseline = ordered[np.arange(len(events)), np.maximum(known - 1, 0) // 2]
    weights = soft + 1.0 - np.abs(np.arange(-soft, soft + 1))
    middle = np.arange(wide - reach, wide + reach + 1)[:, None] + np.arange(-soft, soft + 1)
    level = (windows[:, middle] * (weights / weights.sum())).sum(axis=2)
    level[outside[:, middle[:, soft]]] = np.nan
    told = np.isfinite(baseline)
    level[~told] = np.nan
    return np.asarray(level - np.where(told, baseline, 0)[:, None])
