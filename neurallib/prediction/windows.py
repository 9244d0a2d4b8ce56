"""Windows of a signal that is longer than those a state learnt on, and answers on the clock of what was handed in."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np

from neurallib.signals.conversion import resampled
from neurallib.tasks import Task


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


def starts_of(n_steps: int, size: int, stride: int) -> list[int]:
    """Where windows of `size` steps begin that cover a signal, the last one with the signal's end."""
    if n_steps <= size:
        return [0]
    return [*range(0, n_steps - size, stride), n_steps - size]


def cut(start: int, stop: int, size: int, stride: int) -> list[Window]:
    """The windows of a stretch, each with the steps that lie nearer to its middle than to its neighbours'."""
    starts = [start + first for first in starts_of(stop - start, size, stride)]
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
