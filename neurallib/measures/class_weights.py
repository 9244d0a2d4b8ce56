"""Weights of classes: as they are given, or counted so that rare classes weigh as much as common ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurallib.checks import choice
from neurallib.names import listing
from neurallib.tasks import Task
from neurallib.warn import warn


def class_weight_tensor(class_weight: Any, n_outputs: int) -> Tensor | None:
    """Class weights [K] as the losses take them: BCE's weight of positives, or cross entropy's weight of each class."""
    if class_weight is None:
        return None
    expected = f"class_weight={class_weight!r}; expected {n_outputs} finite weights of at least 0, or 'balanced'."
    try:
        weight = torch.as_tensor(class_weight).reshape(-1)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(expected) from error
    if weight.dtype == torch.bool or weight.is_complex():
        raise TypeError(expected)
    weight = weight.float()
    if len(weight) != n_outputs or not bool(torch.isfinite(weight).all()) or bool((weight < 0).any()):
        raise ValueError(expected)
    return weight


def decided_class_weight(class_weight: Any, task: Task, counts: np.ndarray) -> list[float] | None:
    """Class weights as plain numbers, of what `train` is given, such that classes balance where that is asked for;
    `counts` are the steps of the training data in which each class holds, and all steps, float64 [2, K]."""
    if class_weight is None:
        return None
    if task.kind == "regression":
        raise ValueError(f"class_weight={class_weight!r} is for classification; this state does regression.")
    if hasattr(class_weight, "index") and hasattr(class_weight, "to_dict"):  # of pandas, as of value_counts: by label
        class_weight = class_weight.to_dict()
    if isinstance(class_weight, Mapping):
        weights = {str(name): weight for name, weight in class_weight.items()}
        by_number = [str(i) for i in range(task.n_outputs)] if task.kind != "binary" else []
        order = next((names for names in (task.names, by_number) if names and weights.keys() == set(names)), None)
        if order is None:
            each = f"one for each of {listing(task.names or by_number)}, a list of them"
            expected = "the one weight of what is yes" if task.kind == "binary" else each
            raise TypeError(f"class_weight={class_weight!r} is a mapping; expected {expected}, or 'balanced'.")
        class_weight = [weights[name] for name in order]
    if not isinstance(class_weight, str):
        return class_weight_tensor(class_weight, task.n_outputs).tolist()  # type: ignore[union-attr]
    choice("class_weight", class_weight, ["balanced"])
    return _balanced(task, *counts)


def tell_absent(task: Task, counts: np.ndarray) -> None:
    """Warn of what no label of the training data is, or each of them, by their `counts`: it cannot be learnt."""
    if task.kind == "regression":
        return
    holds, known = counts
    names = np.array(("yes",) if task.kind == "binary" and task.names is None else task.output_names)
    sides = {"no": holds == 0, "every": (holds == known) & (known > 0)}
    if told := [f"{word} label of train_data is {listing(names[side])}" for word, side in sides.items() if side.any()]:
        one = task.kind == "multiclass" and sides["every"].any()
        way = " A label of -1 is one that is not known; of classes -1 and 1 give y > 0." if one else ""
        warn(f"{' and '.join(told)}: what is the same in all signals cannot be learnt from them.{way}")


def _balanced(task: Task, counts: np.ndarray, steps: np.ndarray) -> list[float]:
    k = task.n_outputs
    if task.kind == "multiclass":
        return [float(value) for value in steps / (k * counts.clip(min=1))]
    weight = np.where((counts > 0) & (counts < steps), (steps - counts) / counts.clip(min=1), 1.0)
    return [float(value) for value in weight]
