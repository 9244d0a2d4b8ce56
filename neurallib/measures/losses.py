"""Losses by task, over valid steps alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss

from neurallib.models.registry import ARCHITECTURES
from neurallib.sequences import valid_mask
from neurallib.state import State
from neurallib.tasks import n_outputs, task_kind

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
LossTerms = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def loss_function(state: State) -> Loss:
    """The task's loss: BCE with logits, cross entropy or MSE, averaged over the valid steps of a batch.

    Class weights that the state was trained with (`training_info["class_weight"]`) weigh here as well.

    Parameters
    ----------
    state : State
        Names the task.

    Returns
    -------
    callable
        loss(logits, y, lengths) -> scalar Tensor, for logits [B, T, K] (or [B, K]), y of the same batch, lengths [B].
        Steps beyond a length have no part in it.

    Raises
    ------
    ValueError
        If the state's class weights are not one for each output, finite and at least 0.

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
    terms = loss_terms(state)

    def loss(logits: Tensor, y: Tensor, lengths: Tensor) -> Tensor:
        total, count = terms(logits, y, lengths)
        return total.sum() / count.sum().clamp(min=torch.finfo(count.dtype).tiny)  # all of classes that weigh nothing

    return loss


def loss_terms(state: State) -> LossTerms:
    """The same loss in two parts for each signal: the sum over its valid steps, and the weight that divides it.

    Their sums over any batches give the loss of all signals together, whatever the batches; their quotient gives the
    loss of each signal.

    Returns
    -------
    callable
        terms(logits, y, lengths) -> (total [B], count [B]).
    """
    kind, n_out = task_kind(state["hparams"]), n_outputs(state["hparams"])
    seq2one = ARCHITECTURES[state["architecture"]].seq2one
    weight = class_weight_tensor(state["training_info"].get("class_weight"), n_out)

    def terms(logits: Tensor, y: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        logits = logits.float()
        class_weight = weight.to(logits.device) if weight is not None else None
        if kind == "multiclass":
            y = y.reshape(logits.shape[:-1]).long()
            values = cross_entropy(logits.movedim(-1, 1), y, class_weight, reduction="none")
            counts = torch.ones_like(values) if class_weight is None else class_weight[y]
        else:
            y = y.reshape(logits.shape).to(logits.dtype)
            if kind == "regression":
                values = mse_loss(logits, y, reduction="none")
            else:
                values = binary_cross_entropy_with_logits(logits, y, reduction="none", pos_weight=class_weight)
            counts = torch.ones_like(values)
        if not seq2one:
            invalid = ~valid_mask(lengths, logits.shape[1])
            invalid = invalid if values.dim() == 2 else invalid[:, :, None]
            values, counts = values.masked_fill(invalid, 0), counts.masked_fill(invalid, 0)
        return values.reshape(len(values), -1).sum(1), counts.reshape(len(counts), -1).sum(1)

    return terms


def class_weight_tensor(class_weight: Any, n_out: int) -> Tensor | None:
    """Class weights [K] as the losses take them: BCE's weight of positives, or cross entropy's weight of each class."""
    if class_weight is None:
        return None
    weight = torch.as_tensor(class_weight, dtype=torch.float32).reshape(-1)
    if len(weight) != n_out or not bool(torch.isfinite(weight).all()) or bool((weight < 0).any()):
        expected = f"{n_out} finite weights of at least 0, or 'balanced'"
        raise ValueError(f"class_weight={class_weight!r}; expected {expected}.")
    return weight
