"""Targets: each checked and shaped as the task asks, and its known labels counted.

A label that is not known is -1 (multiclass) or nan (every other task); those of yes and no may be soft, from 0 to 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurallib.signals.arrays import as_numbers, runs_of
from neurallib.tasks import Task

_Shape = tuple[int, ...]
_CLASSES = "Classes are whole numbers from 0, such as names.index(label); outputs=names tells what they are called."


def as_target(given: Any, n_steps: int, task: Task, name: str) -> tuple[Tensor, list[str]]:
    """The target of a signal of `n_steps` as the loss takes it, and what was corrected; errors call it `name`."""
    try:
        y = as_numbers(given, f"y of {name}", gaps=True)
    except TypeError as error:
        raise TypeError(f"{error} {_CLASSES}" if task.kind != "regression" else str(error)) from error
    k = task.n_outputs
    wanted, quiet, others = _shapes(n_steps, task)
    if y.shape != wanted and y.shape not in (*quiet, *others):
        expected = " or ".join(str(shape) for shape in dict.fromkeys((wanted, *quiet, *others)))
        hint = _hint(y.shape, wanted, task, n_steps)
        raise ValueError(f"y of {name} has shape {y.shape}, x {n_steps} steps; {task} expects {expected}.{hint}")
    corrections = []
    if y.shape != wanted and y.shape not in quiet:
        corrections = [f"y is {_shape_words(y.shape, n_steps)}, taken as {_shape_words(wanted, n_steps)},"]
    y = y.T if y.ndim == 2 and y.shape == (k, n_steps) != wanted else y.reshape(wanted)
    check_labels(y, task, name)
    dtype = np.int64 if task.kind == "multiclass" else np.float32
    return torch.from_numpy(np.array(y, dtype=dtype, order="C")), corrections


def class_counts(y: Tensor, task: Task) -> np.ndarray:
    """float64 [2, K]: the steps (or signals) of a target in which each class holds (soft labels hold in part; of a
    regression, 0), and those whose label of it is known."""
    k = task.n_outputs
    if task.kind == "multiclass":
        holds = np.bincount(y.numpy().reshape(-1) + 1, minlength=k + 1)[1:]
        return np.stack([holds, np.full(k, holds.sum())]).astype(np.float64)
    labels = y.numpy().reshape(-1, k)
    known = ~np.isnan(labels)
    yes = np.sum(labels, 0, np.float64, where=known) if task.kind != "regression" else np.zeros(k)
    return np.stack([yes, known.sum(0)]).astype(np.float64)


def events_in(y: Tensor) -> np.ndarray:
    """int64 [2], of labels [T, 1] of yes and no: runs of yes, and T, or 0 where there is none."""
    n = len(runs_of(y.numpy()[:, 0] > 0.5))
    return np.array([n, len(y) if n else 0])


def check_known(counts: np.ndarray, name: str) -> None:
    """Raise ValueError where `class_counts` of all of the data `name` hold no known label."""
    if not counts[1].any():
        raise ValueError(f"{name} holds no known label, only nan or -1; expected one at least.")


def check_labels(y: np.ndarray, task: Task, name: str) -> None:
    """Raise ValueError that names the first label that a classification cannot use."""
    if task.kind == "regression":
        return
    if task.kind == "multiclass":
        top = task.n_outputs - 1
        wrong, expected = (y != np.floor(y)) | (y < -1) | (y > top), f"whole numbers from 0 to {top}, or -1"
    else:
        wrong, expected = (y < 0) | (y > 1), "values from 0 to 1, or nan"
    if wrong.any():
        whole = not (y != np.floor(y)).any()
        way = " Of other codes: names, y = np.unique(codes, return_inverse=True)." if whole else ""
        raise ValueError(
            f"y of {name} holds the label {y[wrong].flat[0]:g}; {task.kind} with num_classes={task.n_outputs} expects "
            f"{expected} where it is not known.{way}"
        )


def meaning(y: np.ndarray, task: Task) -> np.ndarray:
    """What a target says of its signal as a whole, [K]: how much of it is in each class, or its mean; nan of what is
    not known."""
    if task.kind == "multiclass":
        known = y[y >= 0].reshape(-1)
        return np.bincount(known, minlength=task.n_outputs) / (len(known) or np.nan)
    rows = y.reshape(-1, task.n_outputs).astype(np.float64)
    known = ~np.isnan(rows)
    n_known = known.sum(axis=0)
    return np.asarray(np.where(known, rows, 0.0).sum(axis=0) / np.where(n_known > 0, n_known, np.nan))


def _hint(shape: _Shape, wanted: _Shape, task: Task, n_steps: int) -> str:
    """What to do about a target of another shape."""
    if task.kind == "multiclass" and shape == (*wanted, task.n_outputs):
        several = "of labels that may hold together the factory takes multi_label=True"
        return f" Of one-hot labels the classes are y.argmax(axis=-1); {several}."
    if task.kind == "binary" and shape == (*wanted[:-1], 2):
        return " Of one-hot labels of no and yes that of yes is y[..., 1]."
    if task.seq2one and shape in ((n_steps,), (n_steps, 1)):
        others = f"if x is {n_steps} signals of one channel, they are for a state of n_features=1"
        return f" A label a step is what gru_seq2seq learns; {others}."
    if not task.seq2one and shape in ((), (1,)):
        return f" One output a signal is what gru_seq2one gives; a label a step is np.full({n_steps}, y)."
    if not task.seq2one and 1 < shape[0] <= n_steps // 2 and shape[1:] in ((), wanted[1:]):
        n, at = shape[0], f"np.arange({n_steps})"
        if task.kind != "regression":
            return f" Of labels at another rate those of the steps are y[{at} * {n} // {n_steps}]."
        between = f"np.interp({at}, np.arange({n}) * {n_steps / n:g}, y)"
        return f" Of a target at another rate that of the steps is {between}{' of each column' * (task.n_outputs > 1)}."
    if task.kind == "regression" and (task.seq2one or len(shape) == 2 and shape[0] == wanted[0]):
        return f" The factory's n_outputs={task.n_outputs} says how many values there are."
    return ""


def _shapes(n_steps: int, task: Task) -> tuple[_Shape, list[_Shape], list[_Shape]]:
    """The shape of a target, those that are as good, and those that are corrected, as the log tells."""
    k = task.n_outputs
    if task.kind == "multiclass":
        return ((), [(1,)], [(1, 1)]) if task.seq2one else ((n_steps,), [], [(n_steps, 1), (1, n_steps)])
    single: list[_Shape] = [] if k > 1 else [()] if task.seq2one else [(n_steps,)]
    return ((k,), [(1, k), *single], []) if task.seq2one else ((n_steps, k), single, [(k, n_steps)])


def _shape_words(shape: tuple[int, ...], n_steps: int) -> str:
    return f"[{', '.join('T' if n == n_steps else str(n) for n in shape)}]" if shape else "a scalar"
