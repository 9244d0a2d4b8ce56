"""What looks as if signals were not what they are taken for: marks of lost samples, another unit, [C, T] for [T, C]."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neurallib.names import listing
from neurallib.signals.arrays import runs_of
from neurallib.signals.normalization import IQR_OF_NORMAL
from neurallib.warn import warn

Far = Counter[tuple[str, float, str]]  # samples by channel, value and the signal that they are in
# As many times as far from the middle as all else: of MIT-BIH recordings, whole or in parts of 2 s, no value that is
# held is beyond 1.1, and none beyond 1.4.
_APART, _ALONE = 2.0, 20.0
_HELD = 8  # samples in a row
_LEAST, _KINDS, _SHARE = 64, 16, 0.25  # samples, and of all else kinds and a share of them: codes are no signal
_SOME = 4096  # of which the middle is told
_GLANCE = 256  # samples
_FEW = 16  # features, of which nothing is told
_SIGNALS, _VALUES = 64, 2_000_000  # that are looked at, at the most
_SHORT, _LONG = 0.1, 0.5  # s: less is no recording of so many channels, and features that are moments last more
_NEAR, _NEAR_STEPS, _ALIKE = 0.4, 0.2, 4.0  # mean of the neighbours' z, and over its deviation from pair to pair
_LEVELS = 0.2  # of the variance between features: frequencies have more, and moments of many signals less
_BINS, _ROW, _BEGIN = 50, 100, 7200.0  # a second; beats that are looked at together; s in which they are
_MOVED = 0.15  # s: of MIT-BIH recordings 0.06 at the most, and with 100 ppm 0.17 in their half an hour
_SIZES = 100.0  # times, which no person's signals are as large as another's; units differ by 1,000


def far_values(rows: np.ndarray, channels: Sequence[str], name: str) -> Far:
    """What of a signal [n, C] lies far from all else of its channel: its lowest or highest value, held for some samples
    or, where it is very far, in a single one."""
    found = Far()
    for channel, column in zip(channels, np.ascontiguousarray(rows.T), strict=True):
        if len(column) < _LEAST or _is_near(column, column.min(), column.max()):
            continue
        column = column[np.isfinite(column)] if column.dtype.kind == "f" else column
        if len(column) < _LEAST:
            continue
        ends = column.min(), column.max()
        rest = column[(column > ends[0]) & (column < ends[1])]
        some = rest[:: len(rest) // _SOME + 1]
        if len(rest) < _SHARE * len(column) or len(np.unique(some)) < _KINDS:
            continue
        middle = float(np.median(some))
        reach = max(float(rest.max()) - middle, middle - float(rest.min()))
        for end in ends:
            apart = abs(float(end) - middle) / reach
            if apart > _ALONE or apart > _APART and np.diff(runs_of(column == end)).max() >= _HELD:
                found[channel, float(end), name] += int(np.count_nonzero(column == end))
    return found


def _is_near(column: np.ndarray, low: np.generic, high: np.generic) -> bool:
    """Whether a glance at some of a channel tells that neither of its ends is far from all else: most have none."""
    some = np.sort(column[:: len(column) // _GLANCE + 1])
    some = some[np.searchsorted(some, low, "right") : np.searchsorted(some, high, "left")]
    if len(some) < _KINDS:
        return False
    bottom, top = float(some[0]), float(some[-1])
    # Wherever the middle of all else is, an end that is no further beyond it than this is at the most _APART as far.
    return max(float(high) - top, bottom - float(low)) <= (_APART - 1) / 2 * (top - bottom)


def tell_far(found: Far, way: str, told: set[str] | None = None) -> None:
    """A word about such values, where there are any and it is not `told` already, and the way out."""
    told = set() if told is None else told
    values: dict[tuple[str, float], Far] = {}
    for key, n in found.items():
        values.setdefault(key[:2], Far())[key] = n
    if values and "far" not in told:
        told.add("far")
        each = listing(
            (f"{channel} is {value:.6g} in {(n := sum(where.values()))} sample{'s' * (n > 1)} of "
             f"{listing([key[2] for key in where], 3)}" for (channel, value), where in values.items()), 3,
        )  # fmt: skip
        warn(
            f"{each}, far from all else: a mark of lost samples, padding, a spike, or an amplifier at its rail? It is "
            f"taken as signal, and what is around it may come out wrong. {way}"
        )


def drift_of(signal: np.ndarray, beats: np.ndarray, rate: float) -> float:
    """Seconds a second by which beats move against what they mark in a signal [T, C], as where another device with a
    clock of its own timed them; 0 where that is little, or not clear."""
    beats, width, clear = beats[beats < min(len(signal), _BEGIN * rate)], max(1, round(rate / _BINS)), []
    lags = np.arange(-(reach := round(2 * rate / width)), reach + 1)  # up to 2 s before and behind
    enough = len(beats) >= 5 * _ROW and np.ptp(beats) > 10 * rate
    for first in np.linspace(0, len(beats) - _ROW, 40).astype(int) if enough else ():
        own = beats[first : first + _ROW]
        low = max(0, own[0] - reach * width)
        rows = signal[low : own[-1] + reach * width]
        rows = rows[: len(rows) // width * width]
        steep = np.nan_to_num(np.abs(np.diff(rows, axis=0, prepend=rows[:1]))).reshape(-1, width, rows.shape[1])
        steep = (steep.mean(axis=1) / np.maximum(steep.mean(axis=(0, 1)), 1e-30)).sum(axis=1)
        at = (own - low) // width
        at = at[(at >= reach) & (at < len(steep) - reach)]
        if len(at) < _ROW / 2:
            continue
        around = np.minimum(steep, np.percentile(steep, 99))[at[:, None] + lags].mean(axis=0)
        if around.max() > 2 * np.median(around):
            clear.append((own[len(own) // 2] / rate, lags[around.argmax()] * width / rate))
    if len(clear) < 20:
        return 0.0
    times, lag = np.array(clear).T
    line = np.polyfit(times, lag, 1)
    moved = line[0] * np.ptp(times)
    return float(line[0]) if abs(moved) > _MOVED and np.median(np.abs(lag - np.polyval(line, times))) < 0.03 else 0.0


def tell_drift(drifts: Mapping[str, float]) -> None:
    """A word about recordings whose beats do so."""
    ways = {name: (1e6 * abs(drift), "early" if drift > 0 else "late") for name, drift in drifts.items() if drift}
    if ways:
        each = listing([f"{name} ({ppm:.0f} ppm {way})" for name, (ppm, way) in ways.items()], 3)
        warn(
            f"beats of {len(ways)} of {len(drifts)} recordings drift away from their signal: {each}, as where two "
            "devices have clocks of their own. Give each signal the rate that it has by the clock of its beats: "
            'help("neurallib.signals") says how.'
        )


def spread_of(x: np.ndarray, preprocessing: Mapping[str, Any]) -> float:
    """How far most channels of a signal [T, C] go that is normalized by the scale of the training data, of some of its
    steps: about 1, as that scale is an interquartile range; 0 of what is constant. What is steady about a level of its
    own, as a temperature, or mostly rests is not small where it is as far from the training data's middle."""
    x = x[:: -(-len(x) // 1024)]
    if 1 / _SIZES < (usual := float(np.median(x.std(axis=0)))) < _SIZES:
        return usual
    low, high = np.percentile(x, [25, 75], axis=0) / IQR_OF_NORMAL
    level = np.divide(preprocessing["x_shift"], preprocessing["x_scale"])
    own = np.minimum(np.sqrt(np.square(x + level).mean(axis=0)), 1.0)
    return float(np.median(np.where(np.ptp(x, axis=0) > 0, np.maximum(high - low, own), 0.0)))


def tell_size(sizes: Sequence[float], told: set[str]) -> None:
    """A word where all signals that are normalized as the training data were are far larger, or several far smaller:
    one may be silent. `sizes` are what `spread_of` gives of each; what is `told` already is not told again."""
    there = [size for size in sizes if size > 0]
    is_far = there and (min(there) >= _SIZES or len(there) > 1 and max(there) <= 1 / _SIZES)
    if is_far and "size" not in told:
        told.add("size")
        warn(
            f"signals are about {np.median(there):.1g} times as large as those that the state learnt on: are they in "
            "another unit? units=, of a recording its \"units\", says which, where it was said in training too."
        )


class Layout:
    """Which axis of signals with no more steps than features may be time: some lie on their side, [C, T].

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
