"""Intervals of classes: `find_intervals`, for outputs of any length."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from neurallib.checks import LONG, names_of, number
from neurallib.names import hinted
from neurallib.signals.arrays import BRIDGED
from neurallib.signals.outputs import (
    PART, as_probabilities, as_values, class_names, exclude_each_other, half_width, most_probable, smoothed,
)  # fmt: skip

SHARE = 0.1  # of a recording, over which more is hardly averaged


@hinted
def find_intervals(
    output: ArrayLike | Tensor | Mapping[str, Any],
    sampling_frequency: float | None = None,
    *,
    threshold: float = 0.5,
    smoothing: float = 0.0,
    min_duration: float = 0.0,
    names: Sequence[str] | None = None,
) -> dict[str, Any]:
    """The intervals of one class each that classes or probabilities by step tell of, such as sleep stages.

    Parameters
    ----------
    output : array-like, Tensor or dict
        Probabilities [T, K], 1 together, of which the highest names the class; probabilities of yes, [T] or [T, 1] of
        floats, with the classes 0 and 1 (above `threshold`); or classes [T], whole numbers. nan and -1 are unknown:
        in no interval. Or what `predict_recording` gives, of a state with one output a window too, which it says the
        samples of: values that are missing for up to half a second, over which a line was heard, part no interval.
    sampling_frequency : float, optional
        Hz, of an output that is an array; what `predict_recording` gives says its own. Of windows that follow each
        other, by themselves, so many a second, such as 1 / 30.
    threshold : float
        In [0, 1], of probabilities of yes alone.
    smoothing : float
        Seconds over which probabilities are averaged first, or classes have a majority; 0 for none.
    min_duration : float
        Seconds. Of what is shorter, the shortest first becomes part of the longer interval beside it, of equally long
        ones the earlier; one that stands alone between unknown steps is left out.
    names : sequence of str, optional
        Of the classes [K], such as `state["postprocessing"]["outputs"]`, which what `predict_recording` gives says; of
        yes and no that of yes will do.

    Returns
    -------
    dict
        "onset" and "duration", float64 [n] in seconds, in the order of time; "class", int64 [n]; "name", list of str
        [n], from `names`, else the class as text; "sample", int64 [n], of the onset.

    Raises
    ------
    TypeError
        If an argument is no number, or `output` holds none.
    ValueError
        If an argument is out of its range, or not the rate that `output` says, `output` has another shape, or holds
        several labels that are not 1 together, or classes where a threshold is given, or a class has no name.

    See Also
    --------
    find_events : moments in place of intervals.
    interval_scores : how well intervals meet the true ones.
    class_scores : how well classes meet the true ones.

    Examples
    --------
    >>> import neurallib as nl
    >>> found = nl.find_intervals([0, 0, 0, 2, 0, 1, 1, 1], 1.0, min_duration=2, names=["wake", "light", "deep"])
    >>> found["name"], found["onset"], found["duration"]
    (['wake', 'light'], array([0., 5.]), array([5., 3.]))
    """
    told: Mapping[str, Any] = output if isinstance(output, Mapping) else {}
    if (own := told.get("sampling_frequency")) is not None and sampling_frequency not in (None, own):
        expected = f"expected the {own:g} Hz that output says its samples and windows are of, or nothing"
        raise ValueError(f"sampling_frequency={sampling_frequency!r}; {expected}.")
    rate = number("sampling_frequency", own if sampling_frequency is None else sampling_frequency, 0, low_open=True)
    least = int(np.ceil(number("min_duration", min_duration, 0) * rate - 1e-6))
    number("threshold", threshold, 0, 1)
    values = as_values(told["output"] if "output" in told else output)
    values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    if values.ndim == 1 and values.dtype.kind == "f" and np.fmax.reduce(values, initial=0) > 1 and _are_whole(values):
        values = np.where(np.isnan(values), -1, values).astype(np.int64)
    if values.ndim not in (1, 2):
        raise ValueError(f"output has shape {values.shape}; expected [T] or [T, K].")
    if values.ndim == 2 or values.dtype.kind == "f":
        as_probabilities(values)
    if values.ndim == 2 and not exclude_each_other(values):
        each = "of labels that may hold together, one at a time: find_intervals(output[:, 0], ...)"
        raise ValueError(f"the {values.shape[1]} columns of output are not 1 together, as classes are; {each}.")
    outputs = told.get("outputs")
    if names is None and outputs is not None and len(outputs) == (values.shape[1] if values.ndim == 2 else 1):
        names = outputs
    names = None if names is None else names_of("names", names)
    of_yes = values.ndim == 1 and values.dtype.kind == "f"
    if threshold != 0.5 and not of_yes:
        raise ValueError(f"threshold={threshold} is of probabilities of yes, [T] or [T, 1]; output holds classes.")
    length = np.max(told.get("windows", 0), initial=len(values)) / rate
    half = half_width(smoothing, rate, max(LONG, SHARE * length))  # of what lasts, over longer than of events
    runs = _runs(_of_steps(values, told, half, threshold), half, threshold)
    if told:
        runs = _going_on(*runs, int(BRIDGED * rate))
    runs = _without_short(*runs, least)
    starts, lengths, classes = (part[runs[2] >= 0] for part in runs)
    known = [] if names is None else class_names(names)
    if names is not None and classes.max(initial=-1) >= len(known):
        raise ValueError(f"output holds class {classes.max()}; names has {len(names)}: expected one for each class.")
    named = [str(k) if names is None else known[k] for k in classes]
    return {"onset": starts / rate, "duration": lengths / rate, "class": classes, "name": named, "sample": starts}


def _are_whole(values: np.ndarray) -> bool:
    """Whether floats [T] are classes, some of which may not be known."""
    parts = np.array_split(values, len(values) // PART + 1)
    return all((np.isnan(part) | np.isfinite(part) & (part == np.rint(part))).all() for part in parts)


def _of_steps(values: np.ndarray, told: Mapping[str, Any], half: int, threshold: float) -> np.ndarray:
    """What a recording's steps are where values are one a window [n, 2]: each step is as the window in whose middle it
    lies, and unknown where there is none."""
    windows = np.asarray(told.get("windows", np.zeros((0, 2))), np.int64)
    if not len(windows) or len(values) != len(windows) or windows[-1, 1] == len(values):
        return values
    values = values if half else _found(values, 0, len(values), 0, threshold)
    steps = np.full((windows[-1, 1], *values.shape[1:]), np.nan if values.dtype.kind == "f" else -1, values.dtype)
    own = windows.copy()
    overlap = windows[1:, 0] < windows[:-1, 1]
    own[1:, 0][overlap] = own[:-1, 1][overlap] = (windows[:-1, 1] + windows[1:, 0])[overlap] // 2
    for (start, stop), value in zip(own, values, strict=True):
        steps[start:stop] = value
    return steps


def _going_on(
    start: np.ndarray, length: np.ndarray, kind: np.ndarray, longest: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same runs where unknown steps between two of one class, no more of them than that, are of it as well."""
    short = np.flatnonzero((kind < 0) & (length <= longest))
    short = short[(short > 0) & (short < len(kind) - 1)]
    kind[short] = np.where(kind[short - 1] == kind[short + 1], kind[short - 1], -1)
    return _merged(start, kind, int(length.sum()))


def _merged(start: np.ndarray, kind: np.ndarray, n_steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Starts, lengths and classes [n] of runs that go to the end; neighbours of one class as one."""
    new = np.diff(kind, prepend=-2) != 0
    return start[new], np.diff(start[new], append=n_steps), kind[new]


def _runs(values: np.ndarray, half: int, threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Starts, lengths and classes [n] of the runs of one class; of unknown steps the class is -1."""
    starts, classes = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for low in range(0, len(values), PART):
        found = _found(values, low, min(low + PART, len(values)), half, threshold)
        change = np.concatenate([[0], np.flatnonzero(np.diff(found)) + 1])
        starts.append(change + low)
        classes.append(found[change])
    return _merged(np.concatenate(starts), np.concatenate(classes), len(values))


def _found(values: np.ndarray, low: int, high: int, half: int, threshold: float) -> np.ndarray:
    """The classes, int64, of steps low to high; -1 where they are unknown."""
    if values.ndim == 1 and values.dtype.kind in "iub":
        begin = max(low - half, 0)
        some = np.maximum(values[begin : high + half].astype(np.int64), -1)
        if not half or some.max() < 0:
            return some[low - begin : high - begin]
        columns: Iterator[np.ndarray] = (np.where(some < 0, np.nan, some == k) for k in range(some.max() + 1))
        low, high = low - begin, high - begin
    elif values.ndim == 1:
        level = smoothed(values, low, high, half)
        return np.where(np.isnan(level), -1, level > threshold).astype(np.int64)
    else:
        columns = (values[:, k] for k in range(values.shape[1]))
    return most_probable(np.stack([smoothed(column, low, high, half) for column in columns], axis=1))


def _without_short(
    start: np.ndarray, length: np.ndarray, kind: np.ndarray, least: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Runs of which none that is known is shorter than `least` steps: the shortest goes first."""
    lengths, kinds, n = length.tolist(), kind.tolist(), len(length)
    before, after = list(range(-1, n - 1)), list(range(1, n + 1))

    def take(i: int, into: int) -> None:
        """Run i becomes part of the one beside it."""
        lengths[into] += lengths[i]
        lengths[i] = 0
        if into > i:
            start[into] = start[i]
        if before[i] >= 0:
            after[before[i]] = after[i]
        if after[i] < n:
            before[after[i]] = before[i]

    short = [(lengths[i], i) for i in range(n) if kinds[i] >= 0 and lengths[i] < least]
    heapq.heapify(short)
    while short:
        size, i = heapq.heappop(short)
        if lengths[i] != size:
            continue
        beside = [j for j in (before[i], after[i]) if 0 <= j < n and kinds[j] >= 0]
        if not beside:
            kinds[i] = -1
            continue
        into = max(beside, key=lambda j: lengths[j])
        take(i, into)
        for j in (before[into], after[into]):
            if 0 <= j < n and kinds[j] == kinds[into]:
                take(j, into)
        if lengths[into] < least:
            heapq.heappush(short, (lengths[into], into))
    rest = [i for i in range(n) if lengths[i]]
    return start[rest], np.array([lengths[i] for i in rest], np.int64), np.array([kinds[i] for i in rest], np.int64)
