"""Events of probabilities: `find_events`, for outputs of any length."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from neurallib.checks import number, seconds
from neurallib.names import hinted
from neurallib.signals.arrays import runs_of
from neurallib.signals.smoothing import PART, as_column, half_width, least_distance, smoothed


@hinted
def find_events(
    output: ArrayLike | Tensor,
    sampling_frequency: float,
    *,
    threshold: float = 0.5,
    min_distance: float = 0.2,
    smoothing: float = 0.0,
    delay: float = 0.0,
) -> np.ndarray:
    """The events that probabilities tell of, such as R-peaks: one for each run above the threshold.

    Parameters
    ----------
    output : array-like or Tensor
        Probabilities in [0, 1], [T] or [T, 1]. nan is a gap: it ends a run, and no mean is taken across it.
    sampling_frequency : float
        Hz, of the output.
    threshold : float
        In [0, 1]; an event's probability is above it.
    min_distance : float
        Seconds, at least 0. Of two events that are nearer the more probable stays, of equal ones the earlier.
    smoothing : float
        Seconds over which probabilities are averaged first, around each step; 0 for none. At the ends of the output
        and at gaps the mean is of the steps that there are.
    delay : float
        Seconds by which the output is later than what it tells of, at least 0: that of a state that looks back alone,
        such as "ecg_r_peaks_stream", stands with the other three in `state["postprocessing"]["events"]`.

    Returns
    -------
    np.ndarray
        int64 [n], ascending samples of the output: where each run is highest, of several equal steps the middle one;
        less the delay, without those before the first sample.

    Raises
    ------
    TypeError
        If an argument is no number, or `output` holds none.
    ValueError
        If an argument is out of its range, or `output` has another shape or values that are no probabilities.

    See Also
    --------
    find_r_peaks : of a recording, at the extremum of its signal.
    find_intervals : of classes.
    peak_scores : how well events meet the true ones.

    Notes
    -----
    Vectorised, in memory that does not grow with the output but for the events themselves.

    Examples
    --------
    >>> import neurallib as nl, numpy as np
    >>> output = np.array([0.9, 0.1, 0.1, 0.1, 0.1, 0.7, 0.8, 0.8, 0.8, 0.1])
    >>> nl.find_events(output, sampling_frequency=10, min_distance=0.3)
    array([0, 7])
    """
    rate = number("sampling_frequency", sampling_frequency, 0, low_open=True)
    number("threshold", threshold, 0, 1)
    distance = least_distance(min_distance, rate)
    half = half_width(smoothing, rate)
    late = round(seconds("delay", delay, rate=rate) * rate)
    values = as_column(output)
    runs = _joined(values, half, [_runs(values, low, half, threshold) for low in range(0, len(values), PART)])
    found: np.ndarray = runs.place[_apart(runs.place, runs.top, distance)] - late
    return found[found >= 0]


class _Runs(NamedTuple):
    """Runs above a threshold: steps start to stop, the highest value, how often it is there, and the middle of them."""

    start: np.ndarray
    stop: np.ndarray
    top: np.ndarray
    times: np.ndarray
    place: np.ndarray


def _runs(values: np.ndarray, low: int, half: int, threshold: float) -> _Runs:
    """Those of one part, which may be cut at its ends."""
    level = smoothed(values, low, min(low + PART, len(values)), half)
    above = level > threshold
    start, stop = runs_of(above).T
    inside, lengths = np.flatnonzero(above), stop - start
    first = np.cumsum(lengths) - lengths
    top = np.maximum.reduceat(level[inside], first) if len(start) else np.zeros(0)
    run = np.repeat(np.arange(len(start)), lengths)
    highest = level[inside] == top[run]
    count = np.bincount(run[highest], minlength=len(start))
    place = inside[highest][np.cumsum(count) - count + (count - 1) // 2] if len(start) else start
    return _Runs(start + low, stop + low, top, count, place + low)


def _joined(values: np.ndarray, half: int, parts: list[_Runs]) -> _Runs:
    """The runs of all parts, those that go on from one part to the next as one."""
    if not parts:
        return _Runs(*(np.zeros(0, np.int64) for _ in _Runs._fields))
    runs = _Runs(*(np.concatenate(side) for side in zip(*parts, strict=True)))
    goes_on = np.flatnonzero(runs.start[1:] == runs.stop[:-1])  # two runs of one part are never that near
    for last in goes_on[np.diff(goes_on, append=-1) != 1]:
        first = last
        while first and runs.start[first] == runs.stop[first - 1]:
            first -= 1
        pieces = slice(first, last + 2)
        counts = np.where(runs.top[pieces] == runs.top[pieces].max(), runs.times[pieces], 0)
        middle = (counts.sum() - 1) // 2
        piece = int(np.searchsorted(np.cumsum(counts), middle, "right"))
        low, high = int(runs.start[first + piece]), int(runs.stop[first + piece])
        level = smoothed(values, low, high, half)
        runs.place[first] = low + np.flatnonzero(level == level.max())[middle - counts[:piece].sum()]
        runs.top[first] = level.max()
    whole = np.ones(len(runs.start), bool)
    whole[goes_on + 1] = False
    return _Runs(*(side[whole] for side in runs))


def _apart(places: np.ndarray, heights: np.ndarray, distance: int) -> np.ndarray:
    """Which events stay where the highest goes first and takes away those nearer than `distance`, round by round: in
    each stay all that nothing left beside them is higher than."""
    if distance <= 1:
        return np.ones(len(places), bool)
    kept = np.zeros(len(places), bool)
    rank = np.empty(len(places), np.int64)
    rank[np.lexsort((-np.arange(len(places)), heights))] = np.arange(len(places))
    left = np.arange(len(places))
    while len(left):
        at = places[left]
        reach = np.searchsorted(at, at - distance, "right"), np.searchsorted(at, at + distance, "left")
        best = np.maximum.reduceat(np.append(rank[left], -1), np.stack(reach, axis=1).reshape(-1))[::2]
        chosen = rank[left] == best
        kept[left[chosen]] = True
        winners = at[chosen]
        after = np.searchsorted(winners, at).clip(max=len(winners) - 1)
        left = left[np.minimum(np.abs(winners[after] - at), np.abs(at - winners[(after - 1).clip(0)])) >= distance]
    return kept
