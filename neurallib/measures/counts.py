"""The measures of counts: of yes and no by one threshold or by each, of a confusion matrix, and of what was found."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurallib.checks import as_list, is_list, number
from neurallib.names import listing
from neurallib.tasks import Task

GROUPS = 1 << 11  # shares of the yes, and of the no, that thresholds tell apart


def yes_or_no(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray, tn: np.ndarray) -> dict[str, np.ndarray]:
    """The measures of true and false positives and negatives; nan is what they do not tell."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "accuracy": (tp + tn) / (tp + tn + fp + fn),
            "balanced_accuracy": mean_told([tp / (tp + fn), tn / (tn + fp)]),
            "precision": precision(tp, fp, fn),
            "recall": tp / (tp + fn),
            "specificity": tn / (tn + fp),
            "f1": f1(tp, fp, fn),
        }


def as_thresholds(threshold: Any, task: Task) -> np.ndarray:
    """float64 [K], of one number for all outputs or of one for each, or an error where a task knows none."""
    if task.kind in ("multiclass", "regression"):
        if is_list(as_list(threshold)) or number("threshold", threshold, 0, 1) != 0.5:
            way = "of exclusive classes the most probable is found" if task.kind == "multiclass" else "these are values"
            raise ValueError(f"threshold={threshold} is of probabilities of yes; {way}.")
        return np.full(task.n_outputs, 0.5)
    given = as_list(threshold)
    given = given if is_list(given) else [given] * task.n_outputs
    if len(given) != task.n_outputs:
        expected = f"expected one number, or {task.n_outputs}, one for each of {listing(task.output_names)}"
        raise ValueError(f"threshold has {len(given)} numbers; {expected}.")
    return np.array([number("threshold", one, 0, 1) for one in given])


def at_thresholds(
    negatives: np.ndarray, positives: np.ndarray, lowest: np.ndarray, highest: np.ndarray
) -> dict[str, np.ndarray]:
    """Of counts [bins] by rising probability, the lowest and the highest of which stand beside them, the thresholds by
    rising, of which the first finds all and the last nothing, and the measures of what is above each.

    Of yes and no by themselves there is a threshold for each 2,048th at least, so that they are no more than twice as
    many. -inf is that which finds a probability of 0 as well.
    """
    some = negatives + positives > 0
    some[-1] |= not some.any()
    low, high = lowest[some], highest[some]
    middle = (high[:-1] + low[1:]) / 2
    between = np.where(middle < low[1:], middle, high[:-1])  # all of it float32, as it is compared with probabilities
    first = np.where(low[:1] > 0, low[:1] / 2, -np.inf)
    threshold = np.concatenate([first, between, high[-1:]], dtype=np.float64)
    tp, fp = (np.append(np.cumsum(side[some][::-1])[::-1], 0) for side in (positives, negatives))
    group = tp * GROUPS // max(tp[0], 1) + fp * GROUPS // max(fp[0], 1)
    kept = np.diff(group, append=-1) != 0
    kept[0] = True
    fn, tn = tp[0] - tp, fp[0] - fp
    return {"threshold": threshold[kept], **yes_or_no(tp[kept], fp[kept], fn[kept], tn[kept])}


def by_class(table: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The measures of confusion matrices [..., K, K], rows the truth: of all classes [...], and of each [..., K]."""
    right, true, found = np.diagonal(table, axis1=-2, axis2=-1), table.sum(-1), table.sum(-2)
    n = true.sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        counts = right, found - right, true - right
        each = {"precision": precision(*counts), "recall": right / true, "f1": f1(*counts)}
        agreed, by_chance = right.sum(-1) / n, (true / n[..., None] * (found / n[..., None])).sum(-1)
        whole = {
            "accuracy": agreed,
            "balanced_accuracy": mean_told(each["recall"], -1),
            "f1_macro": mean_told(each["f1"], -1),
            "cohen_kappa": (agreed - by_chance) / (1 - by_chance),
        }
    return whole, each


def found_measures(tp: Any, fp: Any, fn: Any, hours: Any = None) -> dict[str, np.ndarray]:
    """Sensitivity, positive predictive value, F1 and, of so many hours, false positives an hour; nan where it would
    divide by zero."""
    measures = {
        "sensitivity": tp / np.where(tp + fn > 0, tp + fn, np.nan),
        "positive_predictive_value": tp / np.where(tp + fp > 0, tp + fp, np.nan),
        "f1": 2 * tp / np.where(2 * tp + fp + fn > 0, 2 * tp + fp + fn, np.nan),
    }
    if hours is not None:
        measures["false_positives_per_hour"] = fp / np.where(hours > 0, hours, np.nan)
    return measures


def precision(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray) -> np.ndarray:
    """0 where a class that occurs is never found."""
    return np.where((tp + fp == 0) & (fn > 0), 0.0, tp / (tp + fp))


def f1(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray) -> np.ndarray:
    """nan where a class neither occurs nor is found."""
    return np.asarray(2 * tp / (2 * tp + fp + fn))


def mean_told(values: np.ndarray | list[np.ndarray], axis: int = 0) -> np.ndarray:
    """Over an axis, of what can be told."""
    values = np.asarray(values)
    told = ~np.isnan(values)
    return np.asarray(np.where(told, values, 0).sum(axis) / told.sum(axis))
