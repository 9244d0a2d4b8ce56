"""Values that stand far from all else of a channel: what is written for lost samples, an amplifier at its rail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from neurallib.names import listing
from neurallib.signals.arrays import runs_of
from neurallib.warn import warn

Far = Counter[tuple[str, float, str]]  # samples by channel, value and the signal that they are in
# As many times as far from the middle as all else: of MIT-BIH recordings, whole or in parts of 2 s, no value that is
# held is beyond 1.1, and none beyond 1.4.
_APART, _ALONE = 2.0, 20.0
_HELD = 8  # samples in a row
_LEAST, _VALUES, _SHARE = 64, 16, 0.25  # samples, and of all else kinds and a share of them: codes are no signal
_SOME = 4096  # of which the middle is told
_GLANCE, _NEAR = 256, 1.9  # samples, and times as far as these: what goes no further has nothing that is far


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
        if len(rest) < _SHARE * len(column) or len(np.unique(some)) < _VALUES:
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
    if len(some) < _VALUES:
        return False
    bottom, middle, top = map(float, some[[0, len(some) // 2, -1]])
    return max(float(high) - middle, middle - float(low)) < _NEAR * max(top - middle, middle - bottom)


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
