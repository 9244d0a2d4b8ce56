"""The callback that a run can be resumed by: when a checkpoint is taken, what Lightning's own lacks, and the way back.

A checkpoint is taken between two steps, before any other callback has a part in the next one: when an epoch begins, and
within epochs where `checkpoint_every` asks for it. There the random state is taken, and there it is set again.
"""

from __future__ import annotations

import datetime
import time
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities.exceptions import SIGTERMException

from neurallib.training.callbacks import Recorder
from neurallib.training.isolation import random_state, set_random_state
from neurallib.training.run import Run
from neurallib.training.saving import copied


class Checkpointing(Callback):
    """Takes checkpoints, and lets a run go on from one; the first of the callbacks."""

    def __init__(self, run: Run, recorder: Recorder) -> None:
        self._run, self._recorder = run, recorder
        self._saved_at, self._saved = 0, 0.0  # the step of the optimizer, and when
        self._random: dict[str, Any] | None = None  # of a checkpoint that the run goes on from
        self._done = 0  # batches of the epoch within which it goes on

    def on_save_checkpoint(self, trainer: pl.Trainer, module: Any, checkpoint: dict[str, Any]) -> None:
        """Add what Lightning has no word for."""
        total = trainer.strategy.reduce(module.train_total.clone(), reduce_op="sum")  # over the processes
        checkpoint["neurallib"] = {
            "train_total": total,
            "learning_rate": float(module.hparams["learning_rate"]),
            "random": _of_all_processes(random_state(), trainer.world_size),
            "should_stop": bool(trainer.should_stop),
            "recorder": self._recorder.as_plain(),
        }

    def on_load_checkpoint(self, trainer: pl.Trainer, module: Any, checkpoint: dict[str, Any]) -> None:
        """Go on from there."""
        try:
            self._take_up(trainer, module, checkpoint)
        except (KeyError, IndexError, TypeError, AttributeError, RuntimeError) as error:
            what = "is no checkpoint that a run can be resumed from"
            raise ValueError(f"{trainer.ckpt_path} {what}: {error!r}") from error

    def _take_up(self, trainer: pl.Trainer, module: Any, checkpoint: dict[str, Any]) -> None:
        """Lightning takes an epoch that has not begun for one that has ended: it is told."""
        own, loop = checkpoint["neurallib"], trainer.fit_loop
        loop.load_state_dict(checkpoint.pop("loops")["fit_loop"])
        epoch: Any = loop.epoch_progress.current
        loop.restarting = within = epoch.started > epoch.completed
        states = own["random"]
        if within and len(states) != trainer.world_size:
            raise ValueError(
                f"the checkpoint lies within an epoch that {len(states)} processes share, here are "
                f"{trainer.world_size}; expected as many, or a checkpoint between two epochs."
            )
        self._done = loop.epoch_loop.batch_progress.current.completed if within else 0
        self._random = states[trainer.global_rank] if len(states) == trainer.world_size else None
        module.take_over(own["learning_rate"], own["train_total"] if trainer.is_global_zero else None)
        trainer.should_stop = own["should_stop"]
        self._recorder.take_over(own["recorder"])

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        self._saved_at, self._saved = trainer.global_step, time.monotonic()
        if self._done:
            draws: Any = trainer.train_dataloader.batch_sampler  # type: ignore[union-attr]
            draws.set_epoch(trainer.current_epoch, skip=self._done)

    def on_train_epoch_start(self, trainer: pl.Trainer, module: Any) -> None:
        if self._random is not None:
            self._set_random()
        elif trainer.global_step > self._saved_at:
            saving = self._recorder.saving
            self._save(trainer, module, saving is not None and saving.wants_last)

    def on_train_batch_start(self, trainer: pl.Trainer, module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx and batch_idx == self._done:
            # Lightning does not begin the epoch again: those who do something then would not have done it.
            self._done = 0
            for callback in trainer.callbacks:  # type: ignore[attr-defined]
                if callback is not self:
                    callback.on_train_epoch_start(trainer, module)
            self._set_random()
        elif batch_idx and self._run.checkpoint_every is not None and _between_updates(trainer, batch_idx):
            self._save(trainer, module, self._is_time(trainer))

    def on_train_end(self, trainer: pl.Trainer, module: Any) -> None:
        if module.directory is not None:
            self._recorder.at_end = copied(_checkpoint(trainer))

    def on_exception(self, trainer: pl.Trainer, module: Any, exception: BaseException) -> None:
        """A scheduler's SIGTERM comes between two steps. Of several processes it may have come to one alone."""
        batches: Any = trainer.fit_loop.epoch_loop.batch_progress.current
        between = batches.started == batches.completed and _between_updates(trainer, batches.completed)
        if isinstance(exception, SIGTERMException) and trainer.world_size == 1 and between:
            self._save(trainer, module, True)

    def _is_time(self, trainer: pl.Trainer) -> bool:
        every = self._run.checkpoint_every
        if isinstance(every, datetime.timedelta):
            return time.monotonic() - self._saved >= every.total_seconds()
        return every is not None and trainer.global_step - self._saved_at >= every

    def _save(self, trainer: pl.Trainer, module: Any, wanted: bool) -> None:
        """Take a checkpoint, in all processes where the first one wants it."""
        if module.directory is None or not trainer.strategy.broadcast(wanted):
            return
        checkpoint = _checkpoint(trainer)
        if self._recorder.saving is not None:
            self._recorder.saving.last(checkpoint)
        self._saved_at, self._saved = trainer.global_step, time.monotonic()

    def _set_random(self) -> None:
        if self._random is not None:
            set_random_state(self._random)
        self._random = None


def _between_updates(trainer: pl.Trainer, n_batches: int) -> bool:
    """Whether the optimizer has taken a step of all batches so far: their gradients are in no checkpoint."""
    return n_batches % trainer.accumulate_grad_batches == 0


def _checkpoint(trainer: pl.Trainer) -> dict[str, Any]:
    """Lightning's checkpoint, in which what is about to begin has not, an epoch or a batch; between epochs no batch has
    been."""
    checkpoint: dict[str, Any] = trainer._checkpoint_connector.dump_checkpoint(weights_only=False)
    loops = checkpoint["loops"]["fit_loop"]
    epoch, batch = loops["epoch_progress"], loops["epoch_loop.batch_progress"]
    for part in (epoch["total"], epoch["current"], batch["total"], batch["current"]):
        if part["started"] == part["completed"]:
            part["ready"] = part["completed"]
    if epoch["current"]["started"] == epoch["current"]["completed"]:
        batch["current"].update(dict.fromkeys(batch["current"], 0))
        batch["is_last_batch"] = False
        checkpoint["epoch"] -= 1  # the one that it is of, as when Lightning takes one at its end
    return checkpoint


def _of_all_processes(value: Any, n: int) -> list[Any]:
    if n == 1:
        return [value]
    values: list[Any] = [None] * n
    torch.distributed.all_gather_object(values, value)
    return values
