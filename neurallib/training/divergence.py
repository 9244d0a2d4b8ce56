"""Numbers that go wrong: a loss that is nan or infinite ends a run before its step is taken, with where it was."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from neurallib.names import listing
from neurallib.training.run import Run


class Diverged(RuntimeError):
    """A training loss is no finite number."""


class _Step(NamedTuple):
    loss: Tensor
    step: int  # of the optimizer, from 1
    epoch: int  # from 0
    batch: int  # of the epoch, from 0


class Watch:
    """Looks at the loss of each step before its gradients are taken; on a GPU at the loss of the step before, which the
    host need not wait for."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._last: _Step | None = None

    def __call__(self, trainer: Any, module: Any, loss: Tensor) -> None:
        """Raise `Diverged`, in all processes alike, if the loss is nan or infinite in one of them."""
        now = _Step(loss.detach(), trainer.global_step + 1, trainer.current_epoch, trainer.fit_loop.batch_idx)
        looked, self._last = (now if loss.device.type == "cpu" else self._last), now
        if looked is None:
            return
        if trainer.world_size > 1:
            finite = trainer.strategy.reduce(looked.loss.isfinite().float(), reduce_op="sum") == trainer.world_size
        else:
            finite = math.isfinite(looked.loss.item())  # torch takes 20 us for it
        if not finite:
            parameters = [parameter for parameter in module.network.parameters() if parameter.requires_grad]
            gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
            norm = math.hypot(*(float(gradient.norm()) for gradient in gradients if gradient is not None))
            raise Diverged(
                f"the loss of step {looked.step} (epoch {looked.epoch + 1}) is {float(looked.loss):g}, its gradient "
                f"norm {norm:g}, on the signals {self._signals(looked, trainer)}"
            )

    def _signals(self, looked: _Step, trainer: Any) -> str:
        """The names of the signals of a batch, whose order is a function of seed and epoch."""
        draws: Any = self._run.batches(True, trainer.global_rank, trainer.world_size).batch_sampler
        draws.set_epoch(looked.epoch)
        batch = list(draws)[looked.batch]
        return listing([self._run.train_set.names[place] for _, place in batch])
