"""What lasts, such as apnoeas, seizures and episodes of a rhythm, scored by overlap: `interval_scores`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from neurallib.checks import names_of, number
from neurallib.measures.counts import found_measures
from neurallib.measures.events import counts_of, merged
from neurallib.names import hinted, listing
from neurallib.signals.arrays import as_array, as_numbers
from neurallib.signals.recording_parts import events_of
from neurallib.warn import warn

Intervals = Mapping[str, Any] | ArrayLike
_LEAST = 1e-6  # s: intervals that share less only touch


class Rules(NamedTuple):
    """What makes an interval found, in seconds."""

    iou: float | None
    tolerance: tuple[float, float] | None
    min_distance: float
    max_duration: float | None


@hinted
def interval_scores(
    true: Intervals,
    found: Intervals,
    *,
    names: Sequence[str] | None = None,
    sampling_frequency: float | None = None,
    duration: float | None = None,
    iou: float | None = None,
    tolerance: float | tuple[float, float] | None = None,
    min_distance: float = 0.0,
    max_duration: float | None = None,
) -> dict[str, float]:
    """How well found intervals, such as apnoeas, seizures or episodes of a rhythm, meet the true ones of a recording.

    By default a true one is found where a found one overlaps it, however little, and a found one that overlaps none is
    a false positive.

    Parameters
    ----------
    true, found : dict or array-like
        What `find_intervals` gives or a frame of pandas with these columns, the events of a recording, of which those
        count that last, or [n, 2] seconds from and to. What overlaps on one side is one interval.
    names : sequence of str, optional
        Which intervals count, by name or symbol, all as one kind; needed where a dict says names.
    sampling_frequency : float, optional
        Hz, of the samples of events.
    duration : float, optional
        Seconds of the recording, for false positives an hour.
    iou : float, optional
        In [0, 1], the least intersection over union. Intervals are then matched one to one, as many as can be, then
        with the largest overlap: 0.2 is usual for spindles of sleep.
    tolerance : float or (float, float), optional
        Seconds before and after a true interval. What is found there finds it, and a found interval that reaches
        further out is a false positive too, even where it finds one. By default it does not matter how far it reaches.
    min_distance : float
        Seconds; of one side what is nearer to each other is one interval.
    max_duration : float, optional
        Seconds; what is longer, once it is put together, is cut into intervals of so long.

    Returns
    -------
    dict of str to float
        "sensitivity" TP / (TP + FN), "positive_predictive_value" TP / (TP + FP), "f1" 2 TP / (2 TP + FP + FN), each
        nan where it would divide by zero; "false_positives_per_hour", nan without `duration`; "true_positives", of true
        intervals, "false_positives", "false_negatives".

    Raises
    ------
    TypeError
        If intervals are no numbers or a dict of other things.
    ValueError
        If an argument is out of its range, an interval does not end after it begins, or intervals that have names are
        given without `names`, or none of them lasts.

    See Also
    --------
    evaluate_recordings : with task="intervals" the same of many recordings, with intervals over people.
    find_intervals : makes the found ones.
    peak_scores : of moments.

    Notes
    -----
    Seizures are scored as SzCORE has it with tolerance=(30, 60), min_distance=90, max_duration=300, and 24 times the
    false positives an hour are those of a day. Any overlap at all is also what OVLP means. By `iou` spindles, arousals
    and other events of sleep are scored.

    References
    ----------
    Dan et al., SzCORE: Seizure Community Open-Source Research Evaluation framework for the validation of
    electroencephalography-based automated seizure detection algorithms, Epilepsia, 2024.
    Warby et al., Sleep-spindle detection: crowdsourcing and evaluating performance of experts, non-experts and
    automated methods, Nature Methods 11:385-392, 2014.
    Chambon et al., DOSED: a deep learning approach to detect multiple sleep micro-events in EEG signal, Journal of
    Neuroscience Methods 321:64-78, 2019.

    Examples
    --------
    >>> import neurallib as nl
    >>> found = nl.find_intervals([0, 0, 1, 1, 1, 0, 0, 1, 0, 0], 0.1, names=["apnoea"])
    >>> scores = nl.interval_scores([(25, 48)], found, names=["apnoea"], duration=100)
    >>> scores["sensitivity"], scores["positive_predictive_value"], scores["false_positives_per_hour"]
    (1.0, 0.5, 36.0)
    >>> nl.interval_scores([(25, 48)], [(20, 30), (40, 50)], iou=0.3)["f1"]
    0.6666666666666666
    """
    rules = rules_of(iou=iou, tolerance=tolerance, min_distance=min_distance, max_duration=max_duration)
    if sampling_frequency is not None:
        number("sampling_frequency", sampling_frequency, 0, low_open=True)
    length = np.nan if duration is None else number("duration", duration, 0, low_open=True)
    a, b = (as_intervals(given, what, names, sampling_frequency) for what, given in (("true", true), ("found", found)))
    if (last := max(side.max(initial=0.0) for side in (a, b))) > length + 1:
        raise ValueError(f"duration={duration!r}; the last interval ends at {last:g} s: expected all of the recording.")
    sums = interval_sums(a, b, length, np.zeros((0, 2)), rules)
    return {name: float(value) for name, value in found_measures(*sums).items()} | counts_of(sums)


def rules_of(
    *, iou: Any = None, tolerance: Any = None, min_distance: Any = 0.0, max_duration: Any = None
) -> Rules:
    """The options of `interval_scores` that say what is found."""
    if iou is not None:
        number("iou", iou, 0, 1)
        if tolerance is not None:
            raise ValueError(f"iou={iou!r} and tolerance={tolerance!r}: expected one of them.")
    if tolerance is not None:
        both = tuple(tolerance) if isinstance(tolerance, (tuple, list, np.ndarray)) else (tolerance, tolerance)
        if len(both) != 2:
            raise ValueError(f"tolerance={tolerance!r}; expected seconds, or seconds before and after.")
        tolerance = tuple(number("tolerance", side, 0) for side in both)
    number("min_distance", min_distance, 0)
    if max_duration is not None:
        number("max_duration", max_duration, 0, low_open=True)
    return Rules(iou, tolerance, min_distance, max_duration)


def as_intervals(given: Any, what: str, names: Sequence[str] | None, rate: float | None) -> np.ndarray:
    """float64 [n, 2], seconds from and to, in the order of time, of the intervals that count."""
    names = None if names is None else names_of("names", names, in_order=False)
    if {"onset", "sample"} & set(getattr(given, "columns", ())):  # a frame of pandas, as of a file of annotations
        given = dict(given)
    if not isinstance(given, Mapping):
        pairs = as_array(given, what)
        pairs = pairs.reshape(0, 2) if pairs.size == 0 else pairs
        if pairs.dtype.kind not in "iuf" or pairs.ndim != 2 or pairs.shape[1] != 2:
            expected = "expected [n, 2], seconds from and to, what find_intervals gives, or the events of a recording"
            raise TypeError(f"{what} has shape {pairs.shape} of {pairs.dtype}; {expected}.")
    elif {"onset", "duration", "name"} <= set(given):
        pairs = _of_names(given, names_of(f"the names of {what}", given["name"]), what, names)
    else:
        if "sample" not in given:
            expected = "expected onset, duration and name, as find_intervals gives them, or recording['events']"
            raise TypeError(f"{what} is a dict of {listing(map(str, given))}; {expected}.")
        samples, symbols, lasts = events_of({"name": what, "events": given})
        if rate is None:
            raise ValueError(f"{what} are samples of a recording; expected its sampling_frequency.")
        pairs = _of_names({"onset": samples / rate, "duration": lasts}, symbols, what, names)
    pairs = pairs.astype(np.float64)
    if (wrong := ~((pairs[:, 0] >= 0) & (pairs[:, 1] > pairs[:, 0]))).any():
        low, high = pairs[wrong][0]
        raise ValueError(f"{what} has an interval from {low:g} to {high:g} s; expected one that ends after it begins.")
    in_order: np.ndarray = pairs[np.argsort(pairs[:, 0], kind="stable")]
    return in_order


def _of_names(given: Mapping[str, Any], own: list[str], what: str, names: Sequence[str] | None) -> np.ndarray:
    """Of intervals those that have one of the names; a warning where none has, but others than "no"."""
    starts, lasts = (as_numbers(given[key], f"{key} of {what}", gaps=True) for key in ("onset", "duration"))
    if starts.ndim != 1 or not starts.shape == lasts.shape == (len(own),):
        held = f"onset of shape {starts.shape}, duration of {lasts.shape} and {len(own)} names"
        raise ValueError(f"{what} has {held}; expected one of each for each interval.")
    if own and names is None:
        raise ValueError(f"{what} has intervals of {listing(sorted(set(own)))}; expected names=, of those that count.")
    chosen = np.array([name in (names or ()) for name in own], bool) if own else np.ones(len(starts), bool)
    if own and not chosen.any() and set(own) != {"no"} and not any(name.isdecimal() for name in names or ()):
        if set(own) == {str(k) for k in given.get("class", ())}:
            way = "find_intervals(..., names=) names its classes"
            raise ValueError(f"{what} has intervals of {listing(sorted(set(own)))}, without names: {way}.")
        told = f"none of them is one of names, {listing(names or ())}"
        warn(f"{what} has intervals of {listing(sorted(set(own)))}: {told}.")
    if chosen.any() and not (lasts[chosen] > 0).any():
        expected = "expected seconds in its 'duration'"
        raise ValueError(f"the {chosen.sum()} events of {listing(names or ())} of {what} do not last; {expected}.")
    chosen &= lasts > 0
    pairs: np.ndarray = np.stack([starts, starts + lasts], axis=1)[chosen]
    return pairs


def interval_sums(true: np.ndarray, found: np.ndarray, length: float, skip: np.ndarray, rules: Rules) -> np.ndarray:
    """True positives, false positives, false negatives and hours of one recording of so many seconds, float64 [4].

    `skip` holds seconds [g, 2] from where to where nothing is scored: an interval of which at least half lies there
    does not count, nor does what was found for it.
    """
    true, found = (_whole(side, rules) for side in (true, found))
    edges = merged(skip[np.argsort(skip[:, 0], kind="stable")], _LEAST).reshape(-1)
    past = np.cumsum(np.diff(edges, prepend=0.0) * (np.arange(len(edges)) % 2))  # what was skipped until each edge
    true_out, found_out = (_out(side, edges, past) for side in (true, found))
    if rules.iou is not None:
        i, j = _matched(true, found, rules.iou)
        hit, false = np.zeros(len(true), bool), np.ones(len(found), bool)
        hit[i], false[j] = True, False
    elif rules.tolerance is None:
        hit, false = _touched(true, found), ~_touched(found, true)
    else:
        before, after = rules.tolerance
        reach = true + [-before, after]
        hit = _touched(reach, found)
        blocks = merged(reach, _LEAST)
        at = np.searchsorted(blocks[:, 0], found[:, 0] + _LEAST) - 1
        false = np.ones(len(found), bool)
        false[at >= 0] = blocks[at[at >= 0], 1] < found[at >= 0, 1] - _LEAST
    hours = (length - (past[-1] if len(past) else 0.0)) / 3600
    counts = [(hit & ~true_out).sum(), (false & ~found_out).sum(), (~hit & ~true_out).sum()]
    return np.array([*counts, hours], np.float64)


def interval_measures(sums: np.ndarray) -> dict[str, np.ndarray]:
    """Sensitivity, positive predictive value, F1 and false positives an hour, of sums [..., 4]."""
    return found_measures(*np.moveaxis(np.asarray(sums), -1, 0))


def _whole(intervals: np.ndarray, rules: Rules) -> np.ndarray:
    """Intervals in the order of time, those that are near put together, those that are long cut."""
    intervals = merged(intervals, rules.min_distance - _LEAST)
    if rules.max_duration is None or not len(intervals):
        return intervals
    n = np.maximum(np.ceil((intervals[:, 1] - intervals[:, 0]) / rules.max_duration - _LEAST), 1).astype(np.int64)
    place = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
    start, stop = np.repeat(intervals, n, axis=0).T
    start = start + place * rules.max_duration
    last = place == np.repeat(n, n) - 1
    return np.stack([start, np.where(last, stop, start + rules.max_duration)], axis=1)


def _out(intervals: np.ndarray, edges: np.ndarray, past: np.ndarray) -> np.ndarray:
    """Of which intervals at least half lies between edges."""
    if not len(edges):
        return np.zeros(len(intervals), bool)
    skipped = np.diff(np.interp(intervals, edges, past), axis=1)[:, 0]
    return np.asarray(skipped >= 0.5 * (intervals[:, 1] - intervals[:, 0]))


def _within(ones: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first of the others that overlaps each, and the first behind those that do; the others are in order and
    apart."""
    first = np.searchsorted(others[:, 1], ones[:, 0] + _LEAST)
    return first, np.maximum(np.searchsorted(others[:, 0], ones[:, 1] - _LEAST), first)


def _touched(ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    first, last = _within(ones, others)
    return np.asarray(last > first)


def _matched(true: np.ndarray, found: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of an intersection over union of at least so much: as many as there can be, then the largest in sum.

    Intervals of one side are apart, so pairs that overlap never cross: in order, a pair has rivals among its
    neighbours alone, and the best of the first k is the best of those before it, or it and the best of its non-rivals.
    """
    first, last = _within(true, found)
    i = np.repeat(np.arange(len(true)), last - first)
    j = np.arange(len(i)) - np.repeat(np.cumsum(last - first) - last, last - first)
    both = np.minimum(true[i, 1], found[j, 1]) - np.maximum(true[i, 0], found[j, 0])
    share = both / (np.ptp(true, axis=1)[i] + np.ptp(found, axis=1)[j] - both)
    i, j, share = (part[share >= least - 1e-9] for part in (i, j, share))
    apart = np.minimum(np.searchsorted(i, i), np.searchsorted(j, j)).tolist()  # pairs before that share no side
    worth, best = (len(i) + 1 + share).tolist(), [0.0]
    for k, before in enumerate(apart):
        best.append(max(best[k], best[before] + worth[k]))
    chosen, k = [], len(i)
    while k:
        if best[k] == best[k - 1]:
            k -= 1
        else:
            chosen.append(k - 1)
            k = apart[k - 1]
    return i[chosen], j[chosen]
