"""Events: true and found ones matched one to one, and how well they meet, also without the stretches of a recording
that are not to be scored."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from neurallib.checks import number, seconds
from neurallib.measures.by_person import Measures
from neurallib.measures.counts import found_measures
from neurallib.names import hinted
from neurallib.signals.peaks import as_samples

# What the sums of a recording hold: pairs, found without a true one, true without a found one, hours, the pairs' timing
# errors (ms) and their squares.
SUMS = ("true_positives", "false_positives", "false_negatives", "hours", "errors", "squared_errors")


def match_peaks(true: ArrayLike, found: ArrayLike, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """Pair true with found peaks, each at most once: as many pairs as there can be, then the least total distance.

    Parameters
    ----------
    true, found : array-like of int
        [n] and [m] samples, in any order.
    tolerance : float
        Samples; the farthest that two peaks of a pair may be apart.

    Returns
    -------
    true_indices, found_indices : np.ndarray
        int64 [k], the places in `true` and in `found` of each pair, earliest pair first.

    Raises
    ------
    TypeError
        If peaks are not whole numbers, or `tolerance` is no number.
    ValueError
        If peaks are not in one dimension, or `tolerance` is negative.

    See Also
    --------
    peak_scores : sensitivity, positive predictive value and timing error of the pairs.

    Notes
    -----
    Exact. On a line some best matching never crosses, so dynamic programming over the pairs within the tolerance of
    each other finds one; time and memory grow with their number. Pairs without a rival skip it.

    Examples
    --------
    >>> import neurallib as nl
    >>> nl.match_peaks([100, 200, 300], [103, 196, 204, 420], tolerance=10)
    (array([0, 1]), array([0, 1]))
    """
    number("tolerance", tolerance, 0)
    true_samples, found_samples = as_samples("true", true), as_samples("found", found)
    true_order, found_order = np.argsort(true_samples, kind="stable"), np.argsort(found_samples, kind="stable")
    t, f = true_samples[true_order], found_samples[found_order]
    # No farther than any two peaks are apart: a boundless tolerance must not overflow.
    reach = min(math.floor(tolerance), int(np.ptp(np.concatenate([t, f]))) if len(t) + len(f) else 0)
    first, last = np.searchsorted(f, t - reach, "left"), np.searchsorted(f, t + reach, "right")
    rivals = np.searchsorted(t, f + reach, "right") - np.searchsorted(t, f - reach, "left")
    alone = last - first == 1
    alone[alone] = rivals[first[alone]] == 1
    contested = np.flatnonzero(~alone & (last > first))
    chosen, partners = _match_groups(t[contested], f, first[contested], last[contested], reach)
    i = np.concatenate([np.flatnonzero(alone), contested[chosen]])
    j = np.concatenate([first[alone], partners])
    order = np.argsort(i)
    return true_order[i[order]], found_order[j[order]]


@hinted
def peak_scores(
    true: ArrayLike, found: ArrayLike, *, sampling_frequency: float, tolerance: float = 0.150
) -> dict[str, float]:
    """How well found peaks meet the true ones, by `match_peaks`.

    Parameters
    ----------
    true, found : array-like of int
        [n] and [m] samples, in any order.
    sampling_frequency : float
        Hz.
    tolerance : float
        Seconds; 150 ms is the window of the standard for testing beat detectors.

    Returns
    -------
    dict of str to float
        "sensitivity" TP / (TP + FN), "positive_predictive_value" TP / (TP + FP), "f1" 2 TP / (2 TP + FP + FN), each
        nan where it would divide by zero; "true_positives", "false_positives", "false_negatives"; and
        "mean_absolute_error_ms", the timing error of the pairs, nan without any.

    Raises
    ------
    TypeError
        If peaks are not whole numbers, or another argument is no number.
    ValueError
        If peaks are not in one dimension, the sampling frequency is not positive, or the tolerance is negative.

    See Also
    --------
    match_peaks : the pairs themselves.
    post_process_peaks_binary : peaks from the probabilities of a model.

    References
    ----------
    ANSI/AAMI EC57, Testing and reporting performance results of cardiac rhythm and ST segment measurement algorithms.

    Examples
    --------
    >>> import neurallib as nl
    >>> scores = nl.peak_scores([100, 460, 820], [104, 458], sampling_frequency=360)
    >>> round(scores["sensitivity"], 3), scores["positive_predictive_value"], round(scores["f1"], 3)
    (0.667, 1.0, 0.8)
    """
    number("sampling_frequency", sampling_frequency, 0, low_open=True)
    seconds("tolerance", tolerance)
    true_samples, found_samples = as_samples("true", true), as_samples("found", found)
    # 0.29 s at 100 Hz are 29 samples, though the product of the floats is a little less.
    i, j = match_peaks(true_samples, found_samples, tolerance * sampling_frequency + 1e-6)
    counts = len(i), len(found_samples) - len(i), len(true_samples) - len(i)
    errors = np.abs(true_samples[i] - found_samples[j]) * (1000 / sampling_frequency)
    return {
        **{name: float(value) for name, value in found_measures(*counts).items()},
        **counts_of(counts),
        "mean_absolute_error_ms": float(errors.mean()) if len(i) else math.nan,
    }


def counts_of(sums: Iterable[float]) -> dict[str, int]:
    """Of sums that begin with them the pairs, what was found for none, and what was not found, by their names."""
    return {name: int(n) for name, n in zip(SUMS[:3], sums, strict=False)}


def detection_sums(
    true: np.ndarray, found: np.ndarray, rate: float, n_steps: int, skip: np.ndarray, tolerances: Sequence[float]
) -> np.ndarray:
    """The sums of one recording for each tolerance in seconds, float64 [n, 6].

    `skip` holds samples [g, 2] from where to where nothing is scored. All are matched first: a true event in there and
    what was found for it do not count, nor does what was found there for none.
    """
    edges = _edges(skip, n_steps)
    hours = (n_steps - np.diff(edges.reshape(-1, 2), axis=1).sum()) / rate / 3600
    true_out, found_out = _inside(true, edges), _inside(found, edges)
    rows = []
    for tolerance in tolerances:
        # 0.29 s at 100 Hz are 29 samples, though the product of the floats is a little less.
        i, j = match_peaks(true, found, tolerance * rate + 1e-6)
        alone = found_out.copy()
        alone[j] = True
        i, j = i[~true_out[i]], j[~true_out[i]]
        errors = (found[j] - true[i]) * (1000 / rate)
        missed = (~true_out).sum() - len(i)
        rows.append([len(i), (~alone).sum(), missed, hours, errors.sum(), (errors**2).sum()])
    return np.array(rows, np.float64)


def detection_measures(sums: np.ndarray) -> Measures:
    """Sensitivity, positive predictive value, F1, false positives an hour, bias and SD of the timing error (ms, found
    minus true), of sums [..., 6]; nan where it would divide by zero."""
    tp, fp, fn, hours, errors, squared = np.moveaxis(np.asarray(sums), -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        bias = errors / np.where(tp > 0, tp, np.nan)
        spread = np.sqrt(np.maximum(squared / np.where(tp > 0, tp, np.nan) - bias**2, 0))
    return found_measures(tp, fp, fn, hours) | {"timing_bias_ms": bias, "timing_sd_ms": spread}


def merged(stretches: np.ndarray, distance: float) -> np.ndarray:
    """Stretches [n, 2] in the order of their starts, those that overlap, or begin less than `distance` behind what was
    before, as one."""
    if not len(stretches):
        return stretches
    reach = np.maximum.accumulate(stretches[:, 1])
    new = np.append(True, stretches[1:, 0] - reach[:-1] >= distance)
    return np.stack([stretches[new, 0], reach[np.append(np.flatnonzero(new)[1:] - 1, len(reach) - 1)]], axis=1)


def _match_groups(
    t: np.ndarray, f: np.ndarray, first: np.ndarray, last: np.ndarray, reach: int
) -> tuple[np.ndarray, np.ndarray]:
    """The same pairs as of `_match_contested`, group by group of true peaks that share candidates: memory grows with
    the largest group. A true peak that shares none takes the nearest."""
    starts = np.flatnonzero(np.concatenate([[True], first[1:] >= last[:-1]])) if len(t) else np.zeros(0, np.int64)
    sizes = np.diff(np.append(starts, len(t)))
    single = starts[sizes == 1]
    after = np.searchsorted(f, t[single]).clip(first[single], last[single] - 1)
    before = (after - 1).clip(first[single])
    nearest = np.where(t[single] - f[before] <= np.abs(f[after] - t[single]), before, after)
    chosen, partners = [single], [np.maximum(np.searchsorted(f, f[nearest]), first[single])]  # the first of equal ones
    for start, size in zip(starts[sizes > 1], sizes[sizes > 1], strict=True):
        group = slice(start, start + size)
        low = first[start]
        own, theirs = _match_contested(t[group], f[low : last[group][-1]], first[group] - low, last[group] - low, reach)
        chosen.append(own + start)
        partners.append(theirs + low)
    return np.concatenate(chosen), np.concatenate(partners)


def _match_contested(
    t: np.ndarray, f: np.ndarray, first: np.ndarray, last: np.ndarray, reach: int
) -> tuple[np.ndarray, np.ndarray]:
    """Indices into sorted `t` and `f` of the best pairs, where t[i] may have any of f[first[i]:last[i]].

    Row i holds, for every j from first[i] to last[i], the best value of t[:i + 1] against f[:j]. A value counts pairs
    in units so large that no total distance outweighs one. Beyond last[i] the value stays what it is there.
    """
    unit = len(t) * reach + 1
    rows: list[np.ndarray] = []
    before, before_first, before_last = np.zeros(1, dtype=np.int64), 0, 0
    for i in range(len(t)):
        j = np.arange(first[i], last[i] + 1)
        before = before[np.minimum(j, before_last) - before_first]
        row = before.copy()
        row[1:] = np.maximum(row[1:], before[:-1] + unit - np.abs(t[i] - f[first[i] : last[i]]))
        before, before_first, before_last = np.maximum.accumulate(row), int(first[i]), int(last[i])
        rows.append(before)

    chosen: list[int] = []
    partners: list[int] = []
    i, end = len(t) - 1, len(f)
    while i >= 0:
        end = min(end, int(last[i]))
        if end > first[i]:
            value = rows[i][end - first[i]]
            without = rows[i - 1][min(end, int(last[i - 1])) - first[i - 1]] if i else 0
            if value != without:
                if value == rows[i][end - 1 - first[i]]:
                    end -= 1
                    continue
                end -= 1
                chosen.append(i)
                partners.append(end)
        i -= 1
    return np.array(chosen, dtype=np.int64), np.array(partners, dtype=np.int64)


def scored_of(samples: np.ndarray, skip: np.ndarray, n_steps: int) -> np.ndarray:
    """Those of samples [n] that lie in none of the stretches [g, 2]."""
    return np.asarray(samples[~_inside(samples, _edges(skip, n_steps))])


def _edges(skip: np.ndarray, n_steps: int) -> np.ndarray:
    """Stretches of steps as rising edges [2 n], those that overlap or touch as one."""
    skip = np.clip(np.asarray(skip, np.int64).reshape(-1, 2), 0, n_steps)
    skip = skip[skip[:, 1] > skip[:, 0]]
    return merged(skip[np.argsort(skip[:, 0], kind="stable")], 1).reshape(-1)


def _inside(samples: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.asarray(np.searchsorted(edges, samples, "right") % 2 == 1)
