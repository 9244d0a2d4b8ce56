"""Losses by task, over valid steps with a known label alone, the weights of classes in them, and what a constant answer
reaches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss

from neurallib.architectures import check_state
from neurallib.checks import choice
from neurallib.names import listing
from neurallib.recurrence.torch_state import is_transformed
from neurallib.sequences import as_lengths, valid_mask
from neurallib.signals.prepared import PreparedData
from neurallib.signals.targets import check_labels
from neurallib.state import State
from neurallib.tasks import Task, describe
from neurallib.warn import warn

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
LossTerms = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def loss_function(state: State) -> Loss:
    """The task's loss: BCE with logits, cross entropy or MSE, averaged over the valid, known labels of a batch.

    Class weights that the state was trained with (`training_info["class_weight"]`) weigh here as well.

    Parameters
    ----------
    state : State
        Names the task.

    Returns
    -------
    callable
        loss(logits, y, lengths) -> scalar Tensor, for logits [B, T, K] (or [B, K]), y of the same batch, lengths [B].
        Steps beyond a length have no part in it, nor have labels that are not known: -1 (multiclass) or nan. Without
        any known label it is 0, and so is its gradient. It raises ValueError or TypeError where shapes or lengths do
        not fit, or a label is none that the task has.

    Raises
    ------
    TypeError, ValueError
        If `state` is no state, or its class weights are not one for each output, finite and at least 0.

    See Also
    --------
    training_step : this loss of a network's output, for a loop of one's own.
    evaluate : loss and metrics of a state on data.

    Examples
    --------
    >>> import torch
    >>> import neurallib as nl
    >>> loss = nl.loss_function(nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1))
    >>> logits, y = torch.zeros(2, 5, 1), torch.ones(2, 5, 1)
    >>> logits[1, 3:] = -100.0  # beyond the second signal's length
    >>> loss(logits, y, torch.tensor([5, 3]))
    tensor(0.6931)
    """
    terms = loss_terms(check_state(state), unchecked=True)

    def loss(logits: Tensor, y: Tensor, lengths: Tensor) -> Tensor:
        total, count = terms(logits, y, lengths)
        return mean_loss(total.sum(), count.sum())

    return loss


def mean_loss(total: Tensor, count: Tensor) -> Tensor:
    """A sum of losses over what divides it; 0 where that is nothing, such as classes that weigh nothing."""
    return total / count.clamp(min=torch.finfo(count.dtype).tiny)


def loss_terms(state: State, unchecked: bool = False) -> LossTerms:
    """The loss of a state's task, with the class weights that it was trained with: (logits, y, lengths) ->
    (total [B], count [B]): for each signal the sum over its valid, known labels, and the weight that divides it (how
    many they are; of a multiclass task with class weights, the weights of their classes).

    Their sums over any batches give the loss of all signals together, whatever the batches; their quotient gives the
    loss of each signal. Labels are those of prepared data, which were checked there, unless they come `unchecked`.
    """
    task = describe(state)
    kind, weight = task.kind, class_weight_tensor(state["training_info"].get("class_weight"), task.n_outputs)

    def terms(logits: Tensor, y: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        logits, y = logits.float(), _fitting(y, logits, task)
        class_weight = weight.to(logits.device) if weight is not None else None
        known = known_labels(y, task, None if task.seq2one else as_lengths(lengths, logits))
        # Before the loss: its gradient of nan is nan, masked or not.
        y = (y if kind == "multiclass" else y.to(logits.dtype)).masked_fill(~known, 0)
        if unchecked:
            _check_possible(y, task)
        if kind == "multiclass":
            y = y.long()
            values = cross_entropy(logits.movedim(-1, 1), y, class_weight, reduction="none")
            counts = torch.ones_like(values) if class_weight is None else class_weight[y]
        elif kind == "regression":
            values = mse_loss(logits, y, reduction="none")
            counts = torch.ones_like(values)
        else:
            values = binary_cross_entropy_with_logits(logits, y, reduction="none", pos_weight=class_weight)
            counts = torch.ones_like(values)
        values, counts = values.masked_fill(~known, 0), counts.masked_fill(~known, 0)
        return values.reshape(len(values), -1).sum(1), counts.reshape(len(counts), -1).sum(1)

    return terms


def known_labels(y: Tensor, task: Task, lengths: Tensor | None = None) -> Tensor:
    """Which labels are known, bool in the shape of `y`: not -1 (multiclass), not nan (every other task), and where
    lengths are given within them."""
    known = y >= 0 if task.kind == "multiclass" else ~y.isnan()
    if lengths is None:
        return known
    return known & valid_mask(lengths, y.shape[1]).reshape(*y.shape[:2], *(1,) * (y.dim() - 2))


def _check_possible(y: Tensor, task: Task) -> None:
    """Raise ValueError where a classification has none such labels; on another device they are trusted, as lengths
    are, and within a transform of torch.func, where they cannot be looked at."""
    if task.kind == "regression" or y.device.type != "cpu" or torch.compiler.is_compiling():
        return
    if not is_transformed([y]):
        check_labels((y.detach().float() if y.is_floating_point() else y).numpy(), task, "the batch")


def _fitting(y: Tensor, logits: Tensor, task: Task) -> Tensor:
    """The target in the shape that the loss wants, which may differ from what came by axes of size 1 alone."""
    if not isinstance(y, Tensor):
        raise TypeError(f"y is a {type(y).__name__}; expected a Tensor, as in a batch of collate_fn.")
    wanted = logits.shape[:-1] if task.kind == "multiclass" else logits.shape
    if logits.dim() != 3 - task.seq2one or logits.shape[-1] != task.n_outputs:
        expected = f"[batch, {'' if task.seq2one else 'time, '}{task.n_outputs}]"
        raise ValueError(f"logits have shape {tuple(logits.shape)}; {task} expects {expected}.")
    if [size for size in y.shape if size != 1] != [size for size in wanted if size != 1]:
        shapes = f"y has shape {tuple(y.shape)}, logits {tuple(logits.shape)}"
        raise ValueError(f"{shapes}; {task} expects y {tuple(wanted)}.")
    return y.reshape(wanted)


def constant_loss(data: PreparedData, task: Task, class_weight: Any) -> float:
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
    if hasattr(class_weight, "to_dict") and len(class_weight) > 1:  # of pandas, as of value_counts: by label
        class_weight = class_weight.to_dict()
    if isinstance(class_weight, Mapping):
        weights = {
            f"{name:g}" if isinstance(name, (float, np.floating)) else str(name): weight  # "0" of 0.0
            for name, weight in class_weight.items()
        }
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
        if task.kind == "binary" and sides["every"].any():
            way = " background=0 of interval_target makes what nobody annotated no."
        warn(f"{' and '.join(told)}: what is the same in all signals cannot be learnt from them.{way}")


def _balanced(task: Task, counts: np.ndarray, steps: np.ndarray) -> list[float]:
    k = task.n_outputs
    if task.kind == "multiclass":
        return [float(value) for value in steps / (k * counts.clip(min=1))]
    weight = np.where((counts > 0) & (counts < steps), (steps - counts) / counts.clip(min=1), 1.0)
    return [float(value) for value in weight]
