"""What takes the place of Lightning's own: a bar and a logger that cost little and end no run, no profiler, and no
cluster where a run is by itself."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.plugins.environments import LightningEnvironment  # type: ignore[attr-defined]
from pytorch_lightning.profilers import PassThroughProfiler

from neurallib.progress import counter
from neurallib.training.placing import is_distributed
from neurallib.warn import dispensable

_LOGGED_EACH = 10.0  # seconds
_log = logging.getLogger(__name__)


class Bar(ProgressBar):
    """One line that counts the batches; Lightning's own bars take longer than a small network's step. Where no bar is
    drawn, as in a job's log file, epochs are told to `logging`."""

    def __init__(self) -> None:
        super().__init__()
        self._shown, self._bar, self._due, self._words = True, None, 0.0, ""
        self._logged = -_LOGGED_EACH

    def enable(self) -> None:
        self._shown = True

    def disable(self) -> None:
        self._shown = False

    def on_train_epoch_start(self, trainer: pl.Trainer, module: Any) -> None:
        if self._shown and self._bar is None:
            self._bar = counter("batch")
        self._due = 0.0

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._show("", batch_idx + 1, trainer.num_training_batches)

    def on_validation_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._show(", validating", batch_idx + 1, self.total_val_batches)

    def on_validation_end(self, trainer: pl.Trainer, module: Any) -> None:
        now, last = time.monotonic(), trainer.current_epoch + 1 == trainer.max_epochs
        if self._bar is not None and self._bar.disable and (last or now - self._logged >= _LOGGED_EACH):
            self._logged, of = now, self._numbers()  # among them "v_num", whose version may be a text
            told = ", ".join(f"{name} {value:.4g}" for name, value in of.items() if isinstance(value, float))
            _log.info("epoch %d of %s: %s", trainer.current_epoch + 1, trainer.max_epochs, told)

    def teardown(self, trainer: pl.Trainer, module: Any, stage: str) -> None:
        self._due = 0.0
        if self._bar is not None:
            self._bar.set_postfix(self._numbers(), refresh=True)
            self._bar.close()
        self._bar = None

    def _show(self, what: str, done: int, total: float) -> None:
        if self._bar is None or time.monotonic() < self._due:
            return
        self._due = time.monotonic() + 0.1
        words = f"epoch {self.trainer.current_epoch + 1}{what}"
        if words != self._words:  # its rate is counted anew
            self._bar.reset(total)
            self._bar.set_description(words, refresh=False)
            self._words = words
        self._bar.n = done
        self._bar.set_postfix(self._numbers(), refresh=True)

    def _numbers(self) -> dict[str, Any]:
        return dict(self.get_metrics(self.trainer, self.trainer.lightning_module))


class Board(TensorBoardLogger):
    """Lightning's logger, which ends no run where its files cannot be written."""

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        with dispensable(self.log_dir):
            super().log_hyperparams(*args, **kwargs)

    def save(self) -> None:
        with dispensable(self.log_dir):
            super().save()

    def finalize(self, status: str) -> None:
        with dispensable(self.log_dir):
            super().finalize(status)


def board(directory: Path, step: int) -> Board:
    """The logger of a run's directory; of one that goes on, in the files that it has, what was logged from `step` on
    anew."""
    settings: dict[str, Any] = {"default_hp_metric": False, "max_queue": 1000, "flush_secs": 10}
    if step:
        settings |= {"version": 0, "purge_step": step}
    return Board(directory, "tensorboard_logs", **settings)


def replaced(options: Mapping[str, Any]) -> dict[str, Any]:
    """The Trainer's arguments for what takes the place of its own, where `options`, placement among them, have none;
    several tasks of a Slurm job are others' where a run is by itself."""
    others = not is_distributed(options) and os.environ.get("SLURM_NTASKS", "1") != "1"
    plugins = {"plugins": [LightningEnvironment(), *plugins_of(options)]} if others else {}
    return {"profiler": NoProfiler(), **options, **plugins}


def plugins_of(options: Mapping[str, Any]) -> list[Any]:
    """Lightning's plugins among its Trainer's arguments, which takes one or a list of them."""
    given = options.get("plugins") or ()
    return list(given) if isinstance(given, (list, tuple)) else [given]


class NoProfiler(PassThroughProfiler):
    """Lightning asks for a profile of thirty things a step."""

    def profile(self, action_name: str) -> Any:
        return _NOTHING


_NOTHING = contextlib.nullcontext()
