"""What a run has come to: the losses of its epochs, and the weights that were measured best."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

from neurallib.training.monitoring import Monitor


@dataclass
class History:
    """The epochs of a run so far; `add` takes one in."""

    monitor: Monitor = Monitor()
    train_losses: list[float] = field(default_factory=list)
    val_losses: list[float] = field(default_factory=list)
    metrics: list[dict[str, float]] = field(default_factory=list)
    measured: dict[str, Tensor] = field(default_factory=dict)  # the weights that the last validation loss is of
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    best_metrics: dict[str, float] = field(default_factory=dict)
    best_epoch: int = 0  # counted from 1
    validation_loss: float = math.nan  # of the best weights
    value: float = math.nan  # what is monitored, of them

    def add(
        self, train_loss: float, val_loss: float, weights: dict[str, Tensor], metrics: Mapping[str, float] | None = None
    ) -> bool:
        """Take in an epoch, with copies of the weights that were validated; whether it is the best so far."""
        value = {"val_loss": val_loss, **(metrics or {})}[self.monitor.key]
        best = math.isfinite(val_loss) and self.monitor.is_better(value, self.value)
        self.train_losses.append(train_loss)
        self.val_losses.append(val_loss)
        self.metrics.append({"val_loss": val_loss, **(metrics or {})})
        self.measured = weights
        if best:
            self.take(val_loss, weights, self.metrics[-1])
        return best

    def as_plain(self) -> dict[str, Any]:
        """All of it but the monitor, in values that a checkpoint can hold."""
        return {item.name: getattr(self, item.name) for item in fields(self) if item.name != "monitor"}

    def take_over(self, plain: Mapping[str, Any]) -> None:
        """Be what `as_plain` gave."""
        for name, value in plain.items():
            setattr(self, name, value)

    def take(self, val_loss: float, weights: dict[str, Tensor], metrics: dict[str, float]) -> None:
        """Hand these weights over in the end, unless better ones come."""
        self.best_metrics, self.value = metrics, metrics[self.monitor.key]
        self.best_weights, self.best_epoch, self.validation_loss = weights, len(self.val_losses), val_loss


def differ(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether two sets of float32 weights are not the same, bit by bit (nan is nan)."""
    first, second = ({name: w.view(torch.int32) for name, w in weights.items()} for weights in (one, other))
    return first.keys() != second.keys() or any(not torch.equal(first[name], second[name]) for name in first)
