"""Windows of a signal that is longer than those a state learnt on, and answers on the clock of what was handed in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from neurallib.signals.conversion import resampled
from neurallib.tasks import Task

_GAP = 1_000_000  # steps of a gap that are told together


class Window(NamedTuple):
    """A stretch of a signal, the steps within it whose answers are its own, and where what it is cut from begins."""

    start: int
    stop: int
    low: int
    high: int
    origin: int = 0

    def begin(self, warm_up: int, rate: Fraction = Fraction(1)) -> tuple[int, int]:
        """Where filters begin that need so many steps to warm up, and how many steps that is, where `rate` of them are
        one of the signal's."""
        least = rate.denominator  # as many steps of the signal as are a whole number of the others
        n = min(-(-warm_up // rate.numerator), (self.start - self.origin) // least)
        return self.start - n * least, n * rate.numerator


def cut(start: int, stop: int, size: int, stride: int) -> list[Window]:
    """The windows of `size` steps that cover a stretch, the last of which ends with it, each with the steps that lie
    nearer to its middle than to its neighbours'."""
    starts = [*range(start, stop - size, stride), max(start, stop - size)]
    ends = [(a + b + size) // 2 for a, b in zip(starts, starts[1:], strict=False)]
    lows, highs = [start, *ends], [*ends, stop]
    return [Window(a, min(a + size, stop), low, high, start) for a, low, high in zip(starts, lows, highs, strict=True)]


def mapped_back(values: np.ndarray, n_given: int, rate: Fraction, task: Task) -> np.ndarray:
    """Outputs [n, K] at a state's frequency as [n_given, K] at the one that was handed in, `rate` steps of the first
    for one of the second: a regression's by the filter that the signal went through, a classification's on the lines
    between them."""
    if rate == 1:
        return values
    if task.kind == "regression":
        return resampled(values, 1 / rate)[:n_given]
    at = np.arange(n_given) * float(rate)
    return np.stack([np.interp(at, np.arange(len(values)), column) for column in values.T], axis=1)


def silenced(
    parts: Iterable[tuple[Window, np.ndarray]], gaps: np.ndarray
) -> Iterator[tuple[Window, np.ndarray]]:
    """The same with nan in the gaps [n, 2]."""
    for own, rows in parts:
        first, last = np.searchsorted(gaps[:, 1], own.low), np.searchsorted(gaps[:, 0], own.high)
        for start, stop in gaps[first:last] - own.low:
            rows[max(start, 0) : stop] = np.nan
        yield own, rows


def without_holes(parts: Iterable[tuple[Window, np.ndarray]], n_steps: int, k: int) -> Iterator[np.ndarray]:
    """The rows of all steps in the order of time, nan where there is no answer, a part at a time."""
    at = 0
    for own, rows in parts:
        yield from _nothing(own.low - at, k)
        yield rows
        at = own.high
    yield from _nothing(n_steps - at, k)


def held_over(parts: Iterable[np.ndarray], most: int) -> Iterator[np.ndarray]:
    """The same rows [n, K] with the last value, hardly smaller, for so many steps where there is none: what goes on
    behind a short gap is not begun anew."""
    before: np.ndarray | None = None
    for rows in parts:
        whole = rows if before is None else np.concatenate([before, rows])
        place = np.arange(len(whole))[:, None]
        known = np.isfinite(whole)
        last = np.maximum.accumulate(np.where(known, place, -1), axis=0)
        held = np.take_along_axis(whole, np.maximum(last, 0), axis=0) * (1 - 1e-6)
        filled = np.where(known | (place - last > most), whole, held)
        yield filled[len(whole) - len(rows) :]
        before = whole[max(0, len(whole) - most) :]


def _nothing(n_steps: int, k: int) -> Iterator[np.ndarray]:
    for first in range(0, n_steps, _GAP):
        yield np.full((min(_GAP, n_steps - first), k), np.nan, np.float32)
