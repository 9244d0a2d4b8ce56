"""Between outputs and events: peaks to targets, probabilities to peaks, and how well found peaks meet the true ones."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from neurallib.checks import boolean, integer, number


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
    TypeError, ValueError
        If an argument is out of its range, or `output` has another shape or values that are no probabilities.

    Examples
    --------
    >>> post_process_peaks_binary(np.array([0.9, 0.1, 0.7, 0.8, 0.6]))
    array([0, 2, 3, 4])
    >>> post_process_peaks_binary(np.array([0.9, 0.1, 0.7, 0.8, 0.6]), filter_peaks=True, min_distance=2)
    array([0, 3])
    """
    number("threshold", threshold, 0, 1)
    boolean("filter_peaks", filter_peaks)
    integer("min_distance", min_distance)
    probability = _probabilities(output)
    if not filter_peaks:
        return np.flatnonzero(probability > threshold).astype(np.int64)
    from scipy.signal import find_peaks

    # A lower step before and after: find_peaks sees no peak, and no plateau, at the ends of a signal.
    above = np.pad(np.where(probability > threshold, probability, -1.0), 1, constant_values=-1.0)
    peaks: np.ndarray = find_peaks(above, distance=min_distance)[0] - 1
    return peaks.astype(np.int64)


def peak_labels(peaks: ArrayLike, n_steps: int, half_width: int = 0) -> np.ndarray:
    """The target of a binary seq2seq model that is to find peaks: 1 around each, 0 elsewhere.

    Parameters
    ----------
    peaks : array-like of int
        [n] samples, each from 0 to n_steps - 1.
    n_steps : int
        T, the length of the signal.
    half_width : int
        Samples on either side of a peak that are 1 as well.

    Returns
    -------
    np.ndarray
        float32 [T].

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> peak_labels([0, 5], n_steps=7, half_width=1)
    array([1., 1., 0., 0., 1., 1., 1.], dtype=float32)
    """
    n_steps = integer("n_steps", n_steps)
    half_width = integer("half_width", half_width, minimum=0)
    samples = _samples("peaks", peaks)
    outside = samples[(samples < 0) | (samples >= n_steps)]
    if len(outside):
        raise ValueError(f"peaks holds {outside[0]}; expected samples from 0 to {n_steps - 1} (n_steps={n_steps}).")
    near = samples[:, None] + np.arange(-half_width, half_width + 1)
    labels = np.zeros(n_steps, dtype=np.float32)
    labels[near[(near >= 0) & (near < n_steps)]] = 1
    return labels


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
    TypeError, ValueError
        If peaks are not whole numbers in one dimension, or the tolerance is negative.

    Notes
    -----
    Exact. On a line some best matching never crosses, so dynamic programming over the pairs within the tolerance of
    each other finds one; time and memory grow with their number. Pairs without a rival skip it.

    Examples
    --------
    >>> match_peaks([100, 200, 300], [103, 196, 204, 420], tolerance=10)
    (array([0, 1]), array([0, 1]))
    """
    number("tolerance", tolerance, 0)
    true_samples, found_samples = _samples("true", true), _samples("found", found)
    true_order, found_order = np.argsort(true_samples, kind="stable"), np.argsort(found_samples, kind="stable")
    t, f = true_samples[true_order], found_samples[found_order]
    # No farther than any two peaks are apart: a boundless tolerance must not overflow.
    reach = min(math.floor(tolerance), int(np.ptp(np.concatenate([t, f]))) if len(t) + len(f) else 0)
    first, last = np.searchsorted(f, t - reach, "left"), np.searchsorted(f, t + reach, "right")
    rivals = np.searchsorted(t, f + reach, "right") - np.searchsorted(t, f - reach, "left")
    alone = last - first == 1
    alone[alone] = rivals[first[alone]] == 1
    contested = np.flatnonzero(~alone & (last > first))
    chosen, partners = _match_contested(t[contested], f, first[contested], last[contested], reach)
    i = np.concatenate([np.flatnonzero(alone), contested[chosen]])
    j = np.concatenate([first[alone], partners])
    order = np.argsort(i)
    return true_order[i[order]], found_order[j[order]]


def peak_scores(
    true: ArrayLike, found: ArrayLike, *, sampling_frequency: float, tolerance: float = 0.150
) -> dict[str, float]:
    """How well found peaks meet the true ones, by `match_peaks`.

    Parameters
    ----------
    true, found : array-like of int
        [n] and [m] samples.
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
    TypeError, ValueError
        As `match_peaks`, or if the sampling frequency is not positive.

    References
    ----------
    ANSI/AAMI EC57, Testing and reporting performance results of cardiac rhythm and ST segment measurement algorithms.

    Examples
    --------
    >>> scores = peak_scores([100, 460, 820], [104, 458], sampling_frequency=360)
    >>> round(scores["sensitivity"], 3), scores["positive_predictive_value"], round(scores["f1"], 3)
    (0.667, 1.0, 0.8)
    """
    number("sampling_frequency", sampling_frequency, 0, low_open=True)
    number("tolerance", tolerance, 0)
    true_samples, found_samples = _samples("true", true), _samples("found", found)
    # 0.29 s at 100 Hz are 29 samples, though the product of the floats is a little less.
    i, j = match_peaks(true_samples, found_samples, tolerance * sampling_frequency + 1e-6)
    hits, false_negatives, false_positives = len(i), len(true_samples) - len(i), len(found_samples) - len(i)
    errors = np.abs(true_samples[i] - found_samples[j]) * (1000 / sampling_frequency)
    return {
        "sensitivity": _ratio(hits, hits + false_negatives),
        "positive_predictive_value": _ratio(hits, hits + false_positives),
        "f1": _ratio(2 * hits, 2 * hits + false_positives + false_negatives),
        "true_positives": hits,
        "false_positives": false_positives,
        "false_negatives": false_negatives,
        "mean_absolute_error_ms": float(errors.mean()) if hits else math.nan,
    }


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


def _probabilities(output: Any) -> np.ndarray:
    """`output` as float64 [T]."""
    values = output.detach().cpu().double().numpy() if isinstance(output, Tensor) else np.asarray(output)
    if values.dtype.kind not in "fiub":
        raise TypeError(f"output has dtype {values.dtype}; expected probabilities.")
    shape = values.shape
    if len(shape) == 3 and shape[0] == 1:
        values = values[0]
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise ValueError(
            f"output has shape {shape}; expected [T], [T, 1] or [1, T, 1]: one signal, one probability a step."
        )
    values = values.astype(np.float64)
    if not bool(((values >= 0) & (values <= 1)).all()):
        raise ValueError(
            f"output goes from {values.min():g} to {values.max():g}; expected probabilities in [0, 1]. "
            "Logits become probabilities through a sigmoid, which predict applies by itself."
        )
    return values


def _samples(name: str, peaks: ArrayLike) -> np.ndarray:
    """`peaks` as int64 [n]."""
    values = np.asarray(peaks)
    if values.ndim != 1:
        raise ValueError(f"{name} has shape {values.shape}; expected one dimension of samples.")
    if len(values) and values.dtype.kind not in "iu":
        raise TypeError(f"{name} has dtype {values.dtype}; expected whole numbers of samples.")
    return values.astype(np.int64)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
