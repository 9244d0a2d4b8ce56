"""The callback that notes what a run has come to, and has it written."""

from __future__ import annotations

import itertools
import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from neurallib.state import copy_weights
from neurallib.training.description import versions
from neurallib.training.divergence import Watch
from neurallib.training.measuring import Measuring
from neurallib.training.monitoring import History
from neurallib.training.run import Fit, Run
from neurallib.training.saving import Saving
from neurallib.training.schedules import schedule_words
from neurallib.training.tensorboard import Logs, learning_rates
from neurallib.warn import warn

_KEPT = (  # of a run that is resumed, beside its history
    "measured_at", "n_steps", "handed_over", "rates", "best_at", "optimizers", "schedules", "learning_rate",
    "first_rate",
)  # fmt: skip


class Recorder(Callback):
    """What a run has come to, noted epoch by epoch.

    It stands before a user's callbacks, so that they see this epoch's losses, and measured weights are copied before
    one of them changes any. While Lightning's tuners try things no callback is there: their passes are no training.
    """

    def __init__(self, run: Run) -> None:
        self.history = History(run.monitor)
        self.optimizers: list[str] = []
        self.schedules: list[str] = []
        self.learning_rate = self.first_rate = float("nan")
        self._ran: tuple[Any, Any] = (None, None)
        self.measured_at = self.n_steps = 0  # steps of the optimizer, and those that loggers were told of
        self.handed_over = False
        self.rates: dict[str, float] = {}  # of the epoch, when it began
        self.best_at: dict[str, int] = {}  # where best.ckpt is of
        self._run, self._began = run, time.perf_counter()
        self._measuring: Measuring | None = None  # of a validation epoch
        self._watch = Watch(run)
        self.saving: Saving | None = None
        self.at_end: dict[str, Any] | None = None  # the checkpoint of the end, before callbacks have changed weights
        self._logs: Logs | None = None
        self._on_bar = run.enable_progress_bar and run.device.type == "cpu"  # the host would wait for a GPU

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        if self.optimizers:  # of a run that goes on
            self._ran = optimizer_and_schedule(trainer)
        if trainer.loggers and trainer.is_global_zero:
            self._logs = Logs(trainer.loggers, self._run.state)
        if module.directory is not None and trainer.is_global_zero:
            self.saving = Saving(self._run, module.directory, lambda: self.fit(module.directory, interrupted=True))
            if self.best_at:  # it may be of a part of an epoch that is now done whole
                self.saving.epoch(self._best_checkpoint(module))

    def on_train_batch_start(self, trainer: pl.Trainer, module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == 0:
            self.rates = learning_rates(trainer.optimizers[0])
            self._tell(trainer, module)

    def on_before_backward(self, trainer: pl.Trainer, module: Any, loss: Tensor) -> None:
        self._watch(trainer, module, loss)

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = outputs["loss"]
        if self._run.callbacks:
            trainer.callback_metrics["train_loss"] = loss  # what `log` would do, in a hundredth of its time
        if self._on_bar:
            trainer.progress_bar_metrics["train_loss"] = float(loss)
        if self._logs is not None and trainer.global_step > self.n_steps:
            self._logs.step(loss, self.n_steps)
            self.n_steps = trainer.global_step

    def on_validation_epoch_start(self, trainer: pl.Trainer, module: Any) -> None:
        run = self._run  # measuring takes time: it is done where somebody looks
        asked = trainer.loggers or run.callbacks or run.metrics or run.monitor.name != "loss"
        self._measuring = Measuring(run) if asked else None

    def on_validation_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if self._measuring is not None:
            outputs, y, lengths = self._measuring.update(outputs, batch["y"], batch["lengths"])
            if batch_idx == 0 and self._logs is not None:  # the first signals of the data
                self._logs.examples(batch["x"], y, lengths, outputs, trainer.current_epoch)

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        train, val = module.losses()
        values = self._values(val)
        self.measured_at = trainer.global_step
        self._is_best = self.history.add(train, copy_weights(module.network.state_dict()), values)
        trainer.callback_metrics.update({name: torch.tensor(value) for name, value in values.items()})
        key = self._run.monitor.key
        trainer.progress_bar_metrics.update({"val_loss": val, key: values[key]})
        if self._logs is not None:
            told = values | {"train_loss_epoch": train} | self.rates
            self._logs.epoch(told, trainer.global_step - 1, trainer.current_epoch)

    def _values(self, loss: float) -> dict[str, float]:
        metrics = {} if self._measuring is None else self._measuring.values()
        return {"val_loss": loss} | {f"val_{name}": value for name, value in metrics.items()}

    def on_validation_end(self, trainer: pl.Trainer, module: Any) -> None:
        if self._is_best:
            self.best_at = {"epoch": trainer.current_epoch, "global_step": trainer.global_step}
        if self.saving is not None:
            self.saving.epoch(self._best_checkpoint(module) if self._is_best else None)

    def _best_checkpoint(self, module: Any) -> dict[str, Any]:
        """What Lightning's ModelCheckpoint(save_weights_only=True) would write of the best weights."""
        told = {"pytorch-lightning_version": versions()["pytorch-lightning"], "hyper_parameters": dict(module.hparams)}
        return self.best_at | told | {"state_dict": self.history.best_weights}

    def on_train_end(self, trainer: pl.Trainer, module: Any) -> None:
        self._trained = copy_weights(module.network.state_dict())

    def close(self, trainer: pl.Trainer, module: Any) -> None:
        """Measure what is not measured yet, and write what is left, after all callbacks have ended.

        Weights that a callback leaves at the end, such as averaged ones, are what it was asked for: they are handed
        over. Steps after the last validation are a last, shorter epoch.
        """
        weights = copy_weights(module.network.state_dict())
        changed = differ(weights, self._trained) and differ(weights, self.history.measured)
        if (changed or trainer.global_step > self.measured_at) and any(trainer.num_val_batches):
            self._measure(trainer, module)
            if changed:
                self._hand_over(module, weights)
            else:
                self.on_validation_epoch_end(trainer, module)
            self.on_validation_end(trainer, module)
        if self.saving is not None and self.at_end is not None:
            self.at_end["neurallib"]["recorder"] = self.as_plain()
            self.saving.last(self.at_end)
        self._finish(self.history.best_metrics)

    def on_exception(self, trainer: pl.Trainer, module: Any, exception: BaseException) -> None:
        self._finish({})

    def _finish(self, best: dict[str, float]) -> None:
        if self.saving is not None:
            self.saving.finish()
        if self._logs is not None:
            self._logs.finish(best)

    def _measure(self, trainer: pl.Trainer, module: Any) -> None:
        module.eval()
        self.on_validation_epoch_start(trainer, module)
        module.on_validation_epoch_start()
        n = min(trainer.num_val_batches[0], sys.maxsize)
        with torch.no_grad():
            for i, batch in enumerate(itertools.islice(module.val_dataloader(), int(n))):
                batch = trainer.precision_plugin.convert_input(batch)
                batch = module.transfer_batch_to_device(batch, module.device, 0)
                with trainer.precision_plugin.val_step_context():
                    outputs = module.validation_step(batch, i)
                self.on_validation_batch_end(trainer, module, outputs, batch, i)
        module.train()

    def _hand_over(self, module: Any, weights: dict[str, Tensor]) -> None:
        (_, loss), history, monitor = module.losses(), self.history, self._run.monitor
        values = self._values(loss)
        value, what = values[monitor.key], f"a validation {monitor.name} of"
        if not (math.isfinite(loss) and math.isfinite(value)):
            warn(f"the weights that callbacks left have {what} {value}: the best epoch's are kept.")
            self._is_best = False
            return
        if monitor.is_better(history.value, value):
            told = f"{value:.4g}; those of epoch {history.best_epoch} had {history.value:.4g}"
            warn(f"the weights that callbacks left, such as averaged ones, have {what} {told}.")
        history.measured = weights
        history.take(weights, values)
        self._is_best = self.handed_over = True

    def _tell(self, trainer: pl.Trainer, module: Any) -> None:
        """Note the optimizer and the schedule that run, with their first learning rates; callbacks may change them."""
        optimizer, schedule = optimizer_and_schedule(trainer)
        if not self.optimizers:
            self.learning_rate, group = float(module.hparams["learning_rate"]), trainer.optimizers[0].param_groups[0]
            own = callable(self._run.optimizer)
            self.first_rate = float(group.get("initial_lr", group["lr"])) if own else self.learning_rate
        later = f" from epoch {trainer.current_epoch + 1} on" if self.optimizers else ""
        for running, told, words in (
            (optimizer, self.optimizers, str(optimizer)),
            (schedule, self.schedules, schedule_words(schedule)),
        ):
            changed = all(running is not ran for ran in self._ran)
            if not told or (changed and told[-1].split(" from epoch ")[0] != words):
                told.append(f"{words}{later}")
        self._ran = optimizer, schedule

    def as_plain(self) -> dict[str, Any]:
        """What the run has come to, in values that a checkpoint can hold."""
        kept = {name: getattr(self, name) for name in _KEPT}
        return {"history": self.history.as_plain(), "seconds": self._seconds(), **kept}

    def take_over(self, plain: dict[str, Any]) -> None:
        """Go on from what `as_plain` gave."""
        state = dict(plain)
        self.history.take_over(state.pop("history"))
        self._began -= state.pop("seconds")
        for name, value in state.items():
            setattr(self, name, value)

    def _seconds(self) -> float:
        return time.perf_counter() - self._began

    def fit(self, directory: Path | None, interrupted: bool) -> Fit:
        """The run so far."""
        return Fit(
            history=self.history,
            optimizer="; ".join(self.optimizers),
            schedule="; ".join(self.schedules),
            learning_rate=self.learning_rate,
            first_rate=self.first_rate,
            handed_over=self.handed_over,
            training_time=self._seconds(),
            interrupted=interrupted,
            directory=directory,
            unsaved=None if self.saving is None else self.saving.failed,
        )


def optimizer_and_schedule(trainer: pl.Trainer) -> tuple[Any, Any]:
    """The optimizer and the schedule, None where there is none."""
    schedules = [config.scheduler for config in trainer.lr_scheduler_configs]
    return trainer.optimizers[0], schedules[0] if schedules else None


def differ(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether two sets of float32 weights are not the same, bit by bit (nan is nan)."""
    first, second = ({name: w.view(torch.int32) for name, w in weights.items()} for weights in (one, other))
    return first.keys() != second.keys() or any(not torch.equal(first[name], second[name]) for name in first)
