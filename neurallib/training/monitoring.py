"""The value that a run goes by: which one, which way is better, and what its epochs have come to."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from neurallib.checks import choice, is_list
from neurallib.measures.metrics import Metrics, is_of
from neurallib.names import did_you_mean, listing
from neurallib.tasks import Task

Metric = Callable[[np.ndarray, np.ndarray], float]
WAYS = {
    "max": "accuracy balanced_accuracy precision recall specificity f1 auroc average_precision cohen_kappa r2 pearson",
    "min": "loss mse mae calibration_error",
}


class Monitor(NamedTuple):
    """A measure of validation by which weights are chosen."""

    name: str = "loss"
    mode: str = "min"  # or "max"

    @property
    def key(self) -> str:
        """What callbacks, loggers and Lightning know it by."""
        return f"val_{self.name}"

    def is_better(self, value: float, than: float) -> bool:
        """Whether a value is a gain; anything finite is one over nan."""
        gain = value < than if self.mode == "min" else value > than
        return math.isfinite(value) and (gain or math.isnan(than))

    @property
    def best_words(self) -> str:
        """What its best value is called."""
        return f"{'lowest' if self.mode == 'min' else 'highest'} validation {self.name}"


@dataclass
class History:
    """The epochs of a run so far; `add` takes one in."""

    monitor: Monitor
    train_losses: list[float] = field(default_factory=list)
    val_losses: list[float] = field(default_factory=list)
    metrics: list[dict[str, float]] = field(default_factory=list)
    measured: dict[str, Tensor] = field(default_factory=dict)  # the weights that the last validation loss is of
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    best_metrics: dict[str, float] = field(default_factory=dict)
    best_epoch: int = 0  # counted from 1
    validation_loss: float = math.nan  # of the best weights
    value: float = math.nan  # what is monitored, of them

    def add(self, train_loss: float, weights: dict[str, Tensor], metrics: dict[str, float]) -> bool:
        """Take in an epoch, with copies of the weights that were validated and what was measured, "val_loss" too;
        whether it is the best so far."""
        best = math.isfinite(metrics["val_loss"]) and self.monitor.is_better(metrics[self.monitor.key], self.value)
        self.train_losses.append(train_loss)
        self.val_losses.append(metrics["val_loss"])
        self.metrics.append(metrics)
        self.measured = weights
        if best:
            self.take(weights, metrics)
        return best

    def as_plain(self) -> dict[str, Any]:
        """All of it but the monitor, in values that a checkpoint can hold."""
        return {item.name: getattr(self, item.name) for item in fields(self) if item.name != "monitor"}

    def take_over(self, plain: Mapping[str, Any]) -> None:
        """Be what `as_plain` gave."""
        for name, value in plain.items():
            setattr(self, name, value)

    def take(self, weights: dict[str, Tensor], metrics: dict[str, float]) -> None:
        """Hand these weights over in the end, unless better ones come."""
        self.best_metrics, self.value = metrics, metrics[self.monitor.key]
        self.best_weights, self.best_epoch, self.validation_loss = weights, len(self.val_losses), metrics["val_loss"]


def as_monitor(given: Any, task: Task, metrics: Mapping[str, Metric]) -> Monitor:
    """The monitor that `train` is asked for: a name of which the way is known, or a name and a way. TypeError or
    ValueError if there is no such measure, or its way is to be said; what there is, is listed."""
    name, mode = given if is_list(given) and len(given) == 2 else (given, None)
    if not isinstance(name, str):
        raise TypeError(f"monitor={given!r}; expected a measure's name, or ('name', 'max' or 'min').")
    ways = {measure: way(measure) for measure in ["loss", *Metrics(task).values()]} | dict.fromkeys(metrics)
    known = [measure for measure in ways if measure in metrics or ways[measure] is not None]
    name = name.removeprefix("val_") if name not in known else name  # as callbacks call it
    if name not in known:
        raise ValueError(f"monitor={name!r}; there is {listing(known, 40)}.{did_you_mean(name, known)}")
    if mode is None and ways[name] is None:
        raise ValueError(f"monitor={name!r} does not say which way is better: give ({name!r}, 'max') or 'min' there.")
    if mode is not None:
        choice("the way of monitor", mode, WAYS)
        if ways[name] not in (None, mode):
            raise ValueError(f"monitor={given!r} would choose the worst: of {name!r} {ways[name]!r} is better.")
    return Monitor(name, mode or str(ways[name]))


def way(measure: str) -> str | None:
    """Whether more ("max") or less ("min") of a measure is better, of one class's as well; None of a baseline."""
    return next((mode for mode, names in WAYS.items() if is_of(measure, names.split())), None)
