"""A Lightning callback that notes what a run does, step by step, and signals that it can tell apart."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from cases import make_pairs
from pytorch_lightning.callbacks import Callback

from neurallib.state import State


class Step(NamedTuple):
    signals: list[int]  # the marks of the batch
    lengths: list[int]
    loss: float
    rates: list[float]  # the learning rate of each group


class Watch(Callback):
    """For `callbacks`: the steps of every epoch, and the marks of every epoch's validation."""

    def __init__(self) -> None:
        self.epochs: list[list[Step]] = []
        self.validated: list[list[int]] = []

    def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
        self.epochs.append([])

    def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: Any) -> None:
        self.rates = [group["lr"] for group in optimizer.param_groups]

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.epochs[-1].append(Step(marks(batch["x"]), batch["lengths"].tolist(), float(outputs["loss"]), self.rates))

    def on_validation_epoch_start(self, trainer: Any, module: Any) -> None:
        self.validated.append([])

    def on_validation_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.validated[-1] += marks(batch["x"])

    def orders(self) -> list[list[int]]:
        """The marks of each epoch's training, in order."""
        return [[signal for step in steps for signal in step.signals] for steps in self.epochs]


def marked(state: State, lengths: list[int], first: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs whose signals begin with a number of their own: `first`, `first` + 1, ..."""
    pairs = make_pairs(state, lengths)
    for i, (x, _) in enumerate(pairs, first):
        x[0, 0] = i
    return pairs


def marks(x: Any) -> list[int]:
    return [int(mark) for mark in x[:, 0, 0].tolist()]
