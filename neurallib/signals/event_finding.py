"""Events of probabilities: `find_events`, for outputs of any length, and `post_process_peaks_binary`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from neurallib.checks import boolean, integer, number, seconds
from neurallib.names import hinted
from neurallib.signals.arrays import runs_of
from neurallib.signals.outputs import PART, as_column, half_width, least_distance, smoothed


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


@hinted
def post_process_peaks_binary(
    output: np.ndarray | Tensor, threshold: float = 0.5, filter_peaks: bool = False, min_distance: int = 40
) -> np.ndarray:
    """Where the peaks are in the output of a binary seq2seq model.

    Parameters
    ----------
    output : array or Tensor
        Probabilities in [0, 1], of shape [T], [T, 1] or [1, T, 1]: what `predict` gives, not logits.
    threshold : float
        In [0, 1]; a peak's probability is above it.
    filter_peaks : bool
        False: every index above the threshold. True: one index a peak, the most probable of all within
        `min_distance`; of equally probable neighbours the middle one.
    min_distance : int
        Samples, at least 1, between the peaks that `filter_peaks` leaves. The default is for 360 Hz (111 ms).

    Returns
    -------
    np.ndarray
        int64 [n], ascending indices into T.

    Raises
    ------
    TypeError
        If an argument is of another type, or `output` holds no numbers.
    ValueError
        If an argument is out of its range, or `output` has another shape or values that are no probabilities.

    See Also
    --------
    peak_scores : how well they meet the true peaks.
    peak_labels : from peaks to the target of a model.

    Examples
    --------
    >>> import neurallib as nl, numpy as np
    >>> nl.post_process_peaks_binary(np.array([0.9, 0.1, 0.7, 0.8, 0.6]))
    array([0, 2, 3, 4])
    >>> nl.post_process_peaks_binary(np.array([0.9, 0.1, 0.7, 0.8, 0.6]), filter_peaks=True, min_distance=2)
    array([0, 3])
    """
    number("threshold", threshold, 0, 1)
    boolean("filter_peaks", filter_peaks)
    integer("min_distance", min_distance)
    probability = as_column(output, stacked=True)
    if np.isnan(probability).any():
        raise ValueError("output holds nan, as of gaps; expected probabilities: find_events takes gaps as well.")
    above = _above(probability, threshold)
    if not filter_peaks or len(above) == 0:
        return above
    from scipy.signal import find_peaks

    # What is not above the threshold is left out, but for as many steps as keep peaks apart, and one before and after:
    # find_peaks sees no peak, and no plateau, at the ends of a signal.
    places = 1 + np.cumsum(np.minimum(np.diff(above, prepend=above[0]), min_distance + 1))
    short = np.full(places[-1] + 2, -1.0)
    short[places] = probability[above]
    return np.asarray(above[np.searchsorted(places, find_peaks(short, distance=min_distance)[0])])


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


def _above(values: np.ndarray, threshold: float) -> np.ndarray:
    """The indices, int64, of the values above the threshold; compared in float64, a part at a time."""
    parts = ((i, values[i : i + PART].astype(np.float64)) for i in range(0, max(len(values), 1), PART))
    return np.concatenate([np.flatnonzero(part > threshold) + i for i, part in parts]).astype(np.int64)
