"""Targets: each checked and shaped as the task asks, and its classes counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurallib.signals.arrays import as_numbers
from neurallib.tasks import Task

_Shape = tuple[int, ...]


def as_target(given: Any, n_steps: int, task: Task, name: str) -> tuple[Tensor, list[str]]:
    """The target of a signal of `n_steps` as the loss takes it, and what was corrected; errors call it `name`."""
    y = as_numbers(given, f"y of {name}")
    k = task.n_outputs
    wanted, quiet, others = _shapes(n_steps, task)
    if y.shape != wanted and y.shape not in (*quiet, *others):
        expected = " or ".join(str(shape) for shape in dict.fromkeys((wanted, *quiet, *others)))
        raise ValueError(f"y of {name} has shape {y.shape}, x {n_steps} steps; {task} expects {expected}.")
    corrections = []
    if y.shape != wanted and y.shape not in quiet:
        corrections = [f"y is {_shape_words(y.shape, n_steps)}, taken as {_shape_words(wanted, n_steps)},"]
    y = y.T if y.ndim == 2 and y.shape == (k, n_steps) != wanted else y.reshape(wanted)
    if task.kind != "regression":
        top = 1 if task.kind != "multiclass" else k - 1
        wrong = y[(y != np.floor(y)) | (y < 0) | (y > top)]
        if wrong.size:
            raise ValueError(
                f"y of {name} holds the label {wrong.flat[0]:g}; {task.kind} with num_classes={k} expects whole "
                f"numbers from 0 to {top}."
            )
    dtype = np.int64 if task.kind == "multiclass" else np.float32
    return torch.from_numpy(np.array(y, dtype=dtype, order="C")), corrections


def class_counts(y: Tensor, task: Task) -> np.ndarray:
    """float64 [2, K]: the steps (or signals) of a target in which each class holds, and all of them."""
    kind, k = task.kind, task.n_outputs
    if kind == "regression":
        return np.zeros((2, k))
    steps = y.numpy().reshape(-1) if kind == "multiclass" else y.numpy().reshape(-1, k)
    holds = np.bincount(steps, minlength=k) if kind == "multiclass" else steps.sum(0, dtype=np.float64)
    return np.stack([holds, np.full(k, len(steps))]).astype(np.float64)


def meaning(y: np.ndarray, task: Task) -> np.ndarray:
    """What a target says of its signal as a whole, [K]: how much of it is in each class, or its mean; nan of what is
    not known."""
    if task.kind == "multiclass":
        known = y[y >= 0].reshape(-1)
        return np.bincount(known, minlength=task.n_outputs) / (len(known) or np.nan)
    rows = y.reshape(-1, task.n_outputs).astype(np.float64)
    known = ~np.isnan(rows)
    n_known = known.sum(axis=0)
    mean: np.ndarray = np.where(known, rows, 0.0).sum(axis=0) / np.where(n_known > 0, n_known, np.nan)
    return mean


def _shapes(n_steps: int, task: Task) -> tuple[_Shape, list[_Shape], list[_Shape]]:
    """The shape of a target, those that are as good, and those that are corrected with a warning."""
    k = task.n_outputs
    if task.kind == "multiclass":
        return ((), [], [(1,), (1, 1)]) if task.seq2one else ((n_steps,), [], [(n_steps, 1), (1, n_steps)])
    scalar: list[_Shape] = [() if task.seq2one else (n_steps,)]
    single = scalar if k == 1 else []
    return ((k,), [(1, k)], single) if task.seq2one else ((n_steps, k), [], [*single, (k, n_steps)])


def _shape_words(shape: tuple[int, ...], n_steps: int) -> str:
    return f"[{', '.join('T' if n == n_steps else str(n) for n in shape)}]" if shape else "a scalar"
