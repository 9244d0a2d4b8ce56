"""Outputs of a model: what users hand in as such, the classes they tell of, and means over steps that stop at gaps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neurallib.checks import LONG, seconds
from neurallib.names import listing
from neurallib.signals.arrays import as_array

PART = 1 << 20  # steps that are looked at together
ROUNDED = 0.05  # that probabilities may be away from 1 together, when they are told in few digits
_UNIT = 2.0**36  # probabilities are summed as whole numbers of its inverse: equal ones have equal means


def smoothed(values: np.ndarray, low: int, high: int, half: int) -> np.ndarray:
    """Steps low to high of [T], float64, each the mean of those up to `half` steps away on its side of gaps."""
    if half == 0:
        return np.asarray(values[low:high], np.float64)
    begin, end = max(low - half, 0), min(high + half, len(values))
    part = np.asarray(values[begin:end], np.float64)
    gap = np.isnan(part)
    total = np.concatenate([[0], np.cumsum(np.rint(np.where(gap, 0, part) * _UNIT).astype(np.int64))])
    steps = np.arange(low - begin, high - begin)
    first, last = np.maximum(steps - half, 0), np.minimum(steps + half + 1, len(part))
    if gap.any():
        place = np.arange(len(part))
        first = np.maximum(first, np.maximum.accumulate(np.where(gap, place + 1, 0))[steps])
        last = np.minimum(last, np.minimum.accumulate(np.where(gap, place, len(part))[::-1])[::-1][steps])
    mean = (total[last] - total[first]) / ((last - first) * _UNIT)
    return np.where(gap[steps], np.nan, mean)


def half_width(smoothing: float, rate: float, long: float = LONG) -> int:
    """The steps on either side that a mean over `smoothing` seconds takes; more than `long` are hardly meant."""
    return round(seconds("smoothing", smoothing, long) * rate) // 2


def least_distance(min_distance: float, rate: float) -> int:
    """The steps that events are apart at least, where that is `min_distance` seconds; nearer ones are of one event."""
    return math.ceil(seconds("min_distance", min_distance, rate=rate) * rate - 1e-6)


def as_values(output: Any, name: str = "output") -> np.ndarray:
    """`output` as an array of numbers; a long one is not copied."""
    if isinstance(output, Mapping):
        raise TypeError(f"{name} is a dict of {listing(map(str, output))}; expected an array, such as its 'output'.")
    values = as_array(output, name)
    if values.dtype.kind not in "fiub":
        raise TypeError(f"{name} has dtype {values.dtype}; expected numbers.")
    return values


def as_column(output: Any, *, stacked: bool = False) -> np.ndarray:
    """Probabilities [T], [T, 1] or, where they may be `stacked`, [1, T, 1] as [T]; a long output is not copied."""
    given = values = as_values(output)
    values = values[0] if stacked and values.ndim == 3 and len(values) == 1 else values
    values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    if values.ndim != 1:
        shapes = "[T], [T, 1] or [1, T, 1]: one signal," if stacked else "[T] or [T, 1]:"
        way = ", of several labels one at a time, output[:, 0]" if given.ndim == 2 else ""
        raise ValueError(f"output has shape {given.shape}; expected {shapes} one probability a step{way}.")
    return as_probabilities(values)


def as_probabilities(values: np.ndarray) -> np.ndarray:
    """`values`, all of which lie in [0, 1] or are nan; none is copied."""
    if values.size:
        low, high = (end.reduce(values, axis=None) for end in (np.fmin, np.fmax))
        if low < 0 or high > 1:
            raise ValueError(
                f"output goes from {low:g} to {high:g}; expected probabilities in [0, 1]. "
                "Logits become probabilities through a sigmoid or softmax, which predict applies by itself."
            )
    return values


def most_probable(values: np.ndarray) -> np.ndarray:
    """int64 [T], the class of which probabilities [T, K] are the highest; -1 where one is nan."""
    unknown = np.isnan(values).any(axis=1)
    return np.where(unknown, -1, np.where(unknown[:, None], 0, values).argmax(axis=1)).astype(np.int64)


def class_names(names: Sequence[str]) -> list[str]:
    """The names of classes; a single one is that of yes, as a binary state has it, and stands behind "no"."""
    return ["no", *names] if len(names) == 1 else list(names)


def exclude_each_other(values: np.ndarray) -> bool:
    """Whether probabilities [T, K] are those of classes of which one holds at a time: 1 together, where none is nan."""
    sums = (np.sum(values[low : low + PART], axis=1, dtype=np.float64) for low in range(0, len(values), PART))
    return not any((abs(each - 1) > ROUNDED).any() for each in sums)
