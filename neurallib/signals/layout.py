"""Signals that lie on their side, [C, T] where [T, C] is expected, told by which of their axes is like time."""

from __future__ import annotations

import numpy as np

from neurallib.warn import warn

_FEW = 16  # features, of which nothing is told
_SIGNALS, _VALUES = 64, 2_000_000  # that are looked at, at the most
_SHORT, _LONG = 0.1, 0.5  # s: less is no recording of so many channels, and features that are moments last more
_NEAR, _NEAR_STEPS, _ALIKE = 0.4, 0.2, 4.0  # mean of the neighbours' z, and over its deviation from pair to pair
_LEVELS = 0.2  # of the variance between features: frequencies have more, and moments of many signals less


class Layout:
    """Which axis of signals with no more steps than features may be time.

    Neighbouring moments are alike, and each pair of them as much as another; features are so only where they are
    points of an axis, such as the scales of a wavelet. Steps that are alike in this way are time; so are features that
    have levels of their own no moments, as those of spectra. Some signals are looked at, from first to last; at a
    `rate` (Hz), which those are given that are no pieces, they may be too short.
    """

    def __init__(self, n_signals: int, rate: float | None = None) -> None:
        self._rate = rate
        self._every = -(-n_signals // _SIGNALS)
        self._some: list[np.ndarray] | None = []
        self._room = _VALUES
        self._n_steps = 0

    def add(self, i: int, x: np.ndarray) -> None:
        """Take in the signal [T, C] of place `i`; none is looked at any more where one has more steps than features, or
        another number of steps: on their side all have as many as there are channels."""
        others = self._n_steps not in (0, len(x))
        if self._some is None or others or x.shape[1] < _FEW or len(x) > x.shape[1]:
            self._some = None
            return
        self._n_steps = len(x)
        if i % self._every == 0 and x.size <= self._room:
            self._some.append(np.array(x, dtype=np.float64))
            self._room -= x.size

    def tell(self) -> None:
        """A word where the signals seem to lie on their side."""
        if not self._some:
            return
        n, k = self._n_steps, self._some[0].shape[1]
        if self._rate is not None and n < _SHORT * self._rate and k >= max(2 * n, _LONG * self._rate):
            why = f"at {self._rate:g} Hz they last {n / self._rate:.2g} s"
        elif len(self._some) > 1 and _on_its_side(self._some):  # of one alone it can hardly be told
            why = "their features go together as moments do, not their steps"
        else:
            return
        way = f"np.swapaxes(x, 1, 2) makes [N, T, C] of a stack, for a state with n_features={n}"
        if len(self._some) == 1 and n > 1:
            way = f"signal.T is one with n_features={n}; rows that are signals of one channel want n_features=1"
        steps = f"{n} step{'s' * (n > 1)}"
        warn(
            f"signals of {steps} and {k} features seem to lie on their side: {why}. Time is the first axis of a "
            f"signal, [T, C]: {way}. Features of {steps}, such as a spectrum of each, may stay as they are."
        )


def _on_its_side(signals: list[np.ndarray]) -> bool:
    rows = np.concatenate(signals)
    if rows.mean(axis=0).var() > max(_LEVELS, 2 / len(rows)) * rows.var():
        return False
    rows = _standardised(rows)
    shared = rows.mean(axis=1, keepdims=True)  # what all features of a step go along with tells nothing of their order
    near, alike = _neighbours(_standardised(rows - shared))
    if near < _NEAR or alike < _ALIKE:
        return False
    if len(signals[0]) < 4:  # too few pairs of steps
        return True
    stack = rows.reshape(len(signals), len(signals[0]), -1)
    near, alike = _neighbours(_standardised(np.concatenate(stack.swapaxes(1, 2))))
    return near < _NEAR_STEPS or alike < _ALIKE


def _standardised(columns: np.ndarray) -> np.ndarray:
    """[n, K] with mean 0 and deviation 1 in each column; one that is constant is 0."""
    columns = columns - columns.mean(axis=0)
    deviation = columns.std(axis=0)
    return columns / np.where(deviation > 0, deviation, 1.0)


def _neighbours(columns: np.ndarray) -> tuple[float, float]:
    """How much neighbouring columns correlate, as Fisher's z, in the mean and over its deviation."""
    r = np.mean(columns[:, 1:] * columns[:, :-1], axis=0)
    z = np.arctanh(np.clip(r, -0.9999, 0.9999))
    return float(z.mean()), float(z.mean() / max(z.std(), 1e-9))
