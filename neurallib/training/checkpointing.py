"""The callback that a run can be resumed by: when a checkpoint is taken, what Lightning's own lacks, and the way back.

A checkpoint is taken between two steps, before any other callback has a part in the next one: when an epoch begins, and
within epochs where `checkpoint_every` asks for it. There the random state is taken, and there it is set again. One that
SIGTERM leaves within a validation is of its beginning: weights do not change there, and it is done again.
"""

from __future__ import annotations

import datetime
import time
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, Timer
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
        self._validated_with: dict[str, Any] | None = None  # the random state that a validation began with
        self._part: dict[str, Any] | None = None  # the checkpoint of an epoch that was ended before its last batch

    def on_save_checkpoint(self, trainer: pl.Trainer, module: Any, checkpoint: dict[str, Any]) -> None:
        """Add what Lightning has no word for."""
        total = trainer.strategy.reduce(module.train_total.clone(), reduce_op="sum")  # over the processes
        checkpoint["neurallib"] = {
            "train_total": total,
            "learning_rate": float(module.hparams["learning_rate"]),
            "random": _of_all_processes(
                (trainer.validating and self._validated_with) or random_state(), trainer.world_size
            ),
            "should_stop": bool(trainer.should_stop) and not _out_of_time(trainer),
            "recorder": self._recorder.as_plain(),
        }
        for timer in (callback for callback in trainer.callbacks if isinstance(callback, Timer)):  # type: ignore
            checkpoint["callbacks"].pop(timer.state_key, None)  # it measures from each start of the run

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
        for name, wanted in (("optimizer_states", True), ("lr_schedulers", self._run.schedule is not None)):
            if wanted and not checkpoint[name]:
                raise KeyError(name)
        for held in checkpoint["optimizer_states"]:
            moments = any(group.get("betas") or group.get("momentum") for group in held["param_groups"])
            if checkpoint["global_step"] and moments and not held["state"]:
                raise KeyError("optimizer_states[0]['state']")
        loop.load_state_dict(checkpoint.pop("loops")["fit_loop"])
        epoch: Any = loop.epoch_progress.current
        within = epoch.started > epoch.completed
        for part in (loop, loop.epoch_loop, loop.epoch_loop.val_loop):
            part._restarting = within  # its own setter says that a run with max_steps always is
        validation: Any = loop.epoch_loop.val_loop.batch_progress
        validating = within and validation.current.ready > 0 and not validation.is_last_batch
        if validating:
            validation.reset()
            validation.total.ready = validation.total.started = 1  # Lightning's sign that no batch is to come before
        loop.epoch_loop._batches_that_stepped = checkpoint["global_step"] - validating  # it counts after validation
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
            self._go_on(trainer, module)
        elif batch_idx and self._run.checkpoint_every is not None and _between_updates(trainer, batch_idx):
            self._save(trainer, module, self._is_time(trainer))

    def on_validation_start(self, trainer: pl.Trainer, module: Any) -> None:
        if self._done:  # no batch has come before
            self._go_on(trainer, module)
        self._validated_with = random_state()
        if trainer.should_stop and trainer.strategy.broadcast(_out_of_time(trainer)):
            self._keep_part(trainer, module)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        if trainer.global_step == trainer.max_steps:  # which Lightning does not validate after
            self._keep_part(trainer, module)

    def _keep_part(self, trainer: pl.Trainer, module: Any) -> None:
        """A run that is given more time or steps does the rest of its epoch. Where gradients wait for an update, it
        goes on from the checkpoint before."""
        n_batches = trainer.fit_loop.epoch_loop.batch_progress.current.completed
        if n_batches < trainer.num_training_batches and module.directory is not None:
            self._part = copied(_checkpoint(trainer)) if _between_updates(trainer, n_batches) else {}

    def on_train_end(self, trainer: pl.Trainer, module: Any) -> None:
        if module.directory is None:
            return
        if self._part is None and not trainer.strategy.broadcast(_out_of_time(trainer)):
            self._recorder.at_end = copied(_checkpoint(trainer))
            return
        checkpoint = _checkpoint(trainer) if self._part is None else self._part
        if checkpoint and self._recorder.saving is not None:  # as it would go on, whatever callbacks leave at this end
            self._recorder.saving.last(checkpoint)

    def on_exception(self, trainer: pl.Trainer, module: Any, exception: BaseException) -> None:
        """A scheduler's SIGTERM comes between two steps, or two batches of a validation. Of several processes it may
        have come to one alone."""
        batches: Any = trainer.fit_loop.epoch_loop.batch_progress.current
        between = batches.started == batches.completed and _between_updates(trainer, batches.completed)
        ends = trainer.validating and trainer.fit_loop.done  # with this validation, which it would not do again
        if isinstance(exception, SIGTERMException) and trainer.world_size == 1 and between and not ends:
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

    def _go_on(self, trainer: pl.Trainer, module: Any) -> None:
        """Lightning does not begin the epoch again: those who do something then would not have done it. Nor would it
        have "plateau" look at the end of the epoch."""
        self._done = 0
        trainer.fit_loop._restarting = False
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if callback is not self:
                callback.on_train_epoch_start(trainer, module)
        self._set_random()

    def _set_random(self) -> None:
        if self._random is not None:
            set_random_state(self._random)
        self._random = None


def cut_at(trainer: pl.Trainer, epochs: int) -> int | None:
    """How many whole epochs there were when `max_time` ended a run; None where it ended by itself."""
    if not _out_of_time(trainer):
        return None
    done = int(trainer.fit_loop.epoch_loop.batch_progress.total.completed // trainer.num_training_batches)
    return None if done >= epochs or trainer.global_step == trainer.max_steps else done


def _out_of_time(trainer: pl.Trainer) -> bool:
    """Whether Lightning's `max_time` is over, and early stopping has not ended the run."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    left = [callback.time_remaining() for callback in callbacks if isinstance(callback, Timer)]
    stopped = any(isinstance(callback, EarlyStopping) and callback.stopped_epoch for callback in callbacks)
    return not stopped and any(seconds is not None and seconds <= 0 for seconds in left)


def _between_updates(trainer: pl.Trainer, n_batches: int) -> bool:
    """Whether the optimizer has taken a step of all batches so far: their gradients are in no checkpoint."""
    return n_batches % trainer.accumulate_grad_batches == 0 or n_batches == trainer.num_training_batches


def _checkpoint(trainer: pl.Trainer) -> dict[str, Any]:
    """Lightning's checkpoint, in which what is about to begin has not, an epoch or a batch; between epochs no batch has
    been."""
    checkpoint: dict[str, Any] = trainer._checkpoint_connector.dump_checkpoint(weights_only=False)
    loops = checkpoint["loops"]["fit_loop"]
    epoch, batch = loops["epoch_progress"], loops["epoch_loop.batch_progress"]
    for part in (epoch["total"], epoch["current"], batch["total"], batch["current"]):
        part["processed"] = part["completed"]  # not yet so where an epoch ends
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
