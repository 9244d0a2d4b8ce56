"""The measures of counts: of yes and no, of a confusion matrix, and of what was found."""

from __future__ import annotations

from typing import Any

import numpy as np


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
