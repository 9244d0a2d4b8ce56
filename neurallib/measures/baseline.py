"""What a constant answer reaches: a model that is no better has learnt nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurallib.signals.prepared import PreparedData
from neurallib.tasks import Task


def constant_loss(data: PreparedData, task: Task, class_weight: Any = None) -> float:
    """The lowest loss that one and the same answer reaches on all known labels of data: of a classification the entropy
    of its classes, weighed as in the loss, of a regression the variance of its targets."""
    if task.kind == "regression":
        variance, known = data.targets.variance(), data.targets.count
        return float((known * variance).sum() / known.sum())
    holds, known = data.class_counts
    weight = np.ones(task.n_outputs) if class_weight is None else np.broadcast_to(class_weight, task.n_outputs)
    if task.kind == "multiclass":
        return float(_surprise(holds * weight, (holds * weight).sum()).sum() / (holds * weight).sum())
    yes, no = holds * weight, known - holds
    return float((_surprise(yes, yes + no) + _surprise(no, yes + no)).sum() / known.sum())


def _surprise(part: np.ndarray, whole: Any) -> np.ndarray:
    """part * -log(part / whole), 0 where there is none."""
    return part * -np.log(np.where(part > 0, part, 1) / np.where(part > 0, whole, 1))
