"""The Lightning adapter, and the only import of pytorch_lightning: its Trainer runs the library's own steps."""

from __future__ import annotations

import contextlib
import inspect
import logging
import math
import os
import random
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, LearningRateMonitor, ModelCheckpoint
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor
from torch.utils.data import DataLoader

from neurallib.measures.losses import loss_function, loss_terms
from neurallib.measures.metrics import make_metrics, metric_values, update_metrics
from neurallib.models.network import Network
from neurallib.models.registry import ARCHITECTURES
from neurallib.names import did_you_mean
from neurallib.plots import plot_losses
from neurallib.state import Batch, State, copy_weights
from neurallib.tasks import activate, n_outputs, task_kind
from neurallib.training.optimization import make_optimizer, training_step
from neurallib.training.tensorboard import show_predictions, show_size, table_row

MakeLoader = Callable[[bool, int, int], "DataLoader[Batch]"]  # (training, rank, world_size) -> batches


_OWN_OPTIONS = {
    "max_epochs": "give epochs",
    "logger": "give enable_tensorboard",
    "enable_checkpointing": "give save, or call train_from_scratch",
    "enable_model_summary": "training_info tells efficiency_params",
    "num_sanity_val_steps": "all data are checked before training",
    "log_every_n_steps": "every step is logged",
    "use_distributed_sampler": "processes share the batches out already",
    "default_root_dir": "set NEURALLIB_RESULTS_DIR",
    "check_val_every_n_epoch": "every epoch ends with validation",
    "val_check_interval": "every epoch ends with validation",
}


class Fit(NamedTuple):
    """What a training run leaves behind."""

    best_weights: dict[str, Tensor]
    best_epoch: int  # counted from 1
    validation_loss: float
    train_losses: list[float]
    val_losses: list[float]
    interrupted: bool
    directory: Path | None


class _Training(pl.LightningModule):
    """The library's pure steps under the names that Lightning calls, and the history of their losses."""

    def __init__(
        self,
        network: Network,
        state: State,
        make_loader: MakeLoader,
        layer_learning_rates: Mapping[str, float] | None,
        directory: Path | None,
    ) -> None:
        super().__init__()
        self.network = network
        self.save_hyperparameters(state["hparams"])
        self._state = state
        self._loss, self._terms = loss_function(state), loss_terms(state)
        self._make_loader, self._layer_learning_rates = make_loader, layer_learning_rates
        self.directory = directory
        self.train_losses: list[float] = []
        self.val_losses: list[float] = []
        self.best_weights: dict[str, Tensor] = {}
        self.best_epoch = 0
        self._kind = task_kind(state["hparams"])
        self._metrics: Any = None  # of a validation epoch; only where there is a logger to show them
        self._metric_history: list[dict[str, float]] = []

    def setup(self, stage: str) -> None:
        # Processes that Lightning started for the other devices have no directory of their own.
        self.directory = self.trainer.strategy.broadcast(self.directory)

    def train_dataloader(self) -> DataLoader[Batch]:
        return self._make_loader(True, self.trainer.global_rank, self.trainer.world_size)

    def val_dataloader(self) -> DataLoader[Batch]:
        # Every process validates on everything: the same val_loss everywhere, and no averaging of averages.
        return self._make_loader(False, 0, 1)

    def configure_optimizers(self) -> Any:
        # Lightning clips no gradients of an optimizer that could unscale them itself, which the fused one could.
        fused = not self.trainer.gradient_clip_val
        optimizer, scheduler = make_optimizer(
            self.network, self._state["hparams"], layer_learning_rates=self._layer_learning_rates, fused=fused
        )
        return [optimizer], [scheduler]

    def on_train_start(self) -> None:
        if isinstance(self.logger, TensorBoardLogger):
            show_size(self.logger.experiment, self._state)

    def on_train_epoch_start(self) -> None:
        self._train_total = torch.zeros(2, dtype=torch.float64, device=self.device)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = training_step(self.network, batch, self._loss)
        steps = len(batch["x"])
        self._train_total += torch.stack([loss.detach().double() * steps, loss.new_tensor(steps).double()])
        # The progress bar shows its number at each step, for which the host would wait for a GPU.
        self.log("train_loss", loss, prog_bar=self.device.type == "cpu", batch_size=steps)
        return loss

    def on_validation_epoch_start(self) -> None:
        self._val_total = torch.zeros(2, dtype=torch.float64, device=self.device)
        if self.logger is not None:
            self._metrics = make_metrics(self._kind, n_outputs(self._state["hparams"]))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        logits = self.network(batch["x"], batch["lengths"])
        total, count = self._terms(logits, batch["y"], batch["lengths"])
        self._val_total += torch.stack([total.sum().double(), count.sum().double()])
        if self._metrics is not None:
            outputs, y, lengths = activate(logits.float(), self._kind).cpu(), batch["y"].cpu(), batch["lengths"].cpu()
            seq2one = ARCHITECTURES[self._state["architecture"]].seq2one
            update_metrics(self._metrics, self._kind, outputs, y, lengths, seq2one)
            if batch_idx == 0 and isinstance(self.logger, TensorBoardLogger):
                writer = self.logger.experiment
                show_predictions(writer, self._state, batch["x"], y, lengths, logits, self.current_epoch)

    def on_validation_epoch_end(self) -> None:
        train, val = self._train_total.tolist(), self._val_total.tolist()
        self.train_losses.append(train[0] / train[1])
        self.val_losses.append(val[0] / val[1])
        self.log("val_loss", self.val_losses[-1], prog_bar=True)
        if self._metrics is not None:
            self._metric_history.append({f"val_{name}": value for name, value in metric_values(self._metrics).items()})
            self.log_dict(self._metric_history[-1] | {"train_loss_epoch": self.train_losses[-1]})
        if self.val_losses[-1] < min(filter(math.isfinite, self.val_losses[:-1]), default=math.inf):
            self.best_weights = copy_weights(self.network.state_dict())
            self.best_epoch = len(self.val_losses)
        if self.directory is not None and self.trainer.is_global_zero:
            plot_losses(self.train_losses, self.val_losses, path=self.directory / "loss_plot.png")

    def on_train_end(self) -> None:
        if isinstance(self.logger, TensorBoardLogger) and self.best_epoch:
            best = {"val_loss": self.val_losses[self.best_epoch - 1]} | self._metric_history[self.best_epoch - 1]
            metrics = {f"best/{name}": value for name, value in best.items()}
            self.logger.log_hyperparams(table_row(self._state["hparams"]), metrics)

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        return self.network.state_dict(*args, **kwargs)  # under the weights' own names, as the original's files

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        return self.network.load_state_dict(state_dict, *args, **kwargs)


def fit(
    network: Network,
    state: State,
    make_loader: MakeLoader,
    *,
    epochs: int,
    patience: int | None,
    seed: int,
    layer_learning_rates: Mapping[str, float] | None,
    device: torch.device,
    make_directory: Callable[[], Path] | None,
    enable_tensorboard: bool,
    enable_progress_bar: bool,
    callbacks: Sequence[Callback],
    trainer_options: Mapping[str, Any],
) -> Fit:
    """Train `network` in place and hand back its best weights by validation loss.

    Raises
    ------
    RuntimeError
        If no epoch ended with a finite validation loss.
    """
    directory = make_directory() if make_directory is not None and _is_first_process() else None
    module = _Training(network, state, make_loader, layer_learning_rates, directory)
    stopping: list[Callback] = [EarlyStopping("val_loss", patience=patience)] if patience is not None else []
    saving: list[Callback] = []
    if make_directory is not None:
        saving = [ModelCheckpoint(directory, filename="best", monitor="val_loss", save_last=True)]
    logger: TensorBoardLogger | bool = False
    if enable_tensorboard:
        logger = TensorBoardLogger(directory or ".", name="tensorboard_logs", default_hp_metric=False)
        saving.append(LearningRateMonitor(logging_interval="epoch"))
    placed = {"accelerator": "gpu", "devices": [device.index]} if device.type == "cuda" else {"accelerator": "cpu"}
    options = {"devices": 1} | placed | dict(trainer_options)
    interrupted, on_ctrl_c = False, signal.getsignal(signal.SIGINT)
    with _ONE_AT_A_TIME, _quiet(), _random_state_of_its_own(seed):
        trainer = pl.Trainer(
            max_epochs=epochs,
            callbacks=[*saving, *stopping, *(callbacks or ())],
            logger=logger,
            enable_checkpointing=bool(saving),
            enable_progress_bar=enable_progress_bar,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            use_distributed_sampler=False,
            default_root_dir=directory,
            **options,
        )
        try:
            trainer.fit(module)
        except SystemExit as error:
            # Lightning makes this of Ctrl-C, and then ignores the next one. A scheduler's SIGTERM ends the program.
            if not isinstance(error.__context__, KeyboardInterrupt):
                error.code = 128 + signal.SIGTERM if error.code is None else error.code
                raise
            signal.signal(signal.SIGINT, on_ctrl_c)
            interrupted = True
    if not module.best_weights:
        reason = "diverged in its first epoch" if module.val_losses else "ended before its first validation"
        raise RuntimeError(f"training {reason}: no validation loss was finite, so there are no weights to keep.")
    return Fit(
        module.best_weights,
        module.best_epoch,
        module.val_losses[module.best_epoch - 1],
        module.train_losses,
        module.val_losses,
        interrupted,
        module.directory,
    )


def check_trainer_options(options: Mapping[str, Any]) -> None:
    """Raise TypeError that names the nearest option unless Lightning's Trainer has every one of `options`."""
    known = list(inspect.signature(pl.Trainer).parameters)
    for name in options:
        if name in _OWN_OPTIONS:
            raise TypeError(f"{name!r} is set by this library: {_OWN_OPTIONS[name]}.")
        if name == "strategy" and any(word in str(options[name]) for word in ("spawn", "fork", "notebook")):
            raise ValueError(f"strategy={options[name]!r} leaves the weights in processes that end; 'ddp' does not.")
        if name not in known:
            raise TypeError(
                f"unknown option {name!r}: neither an argument of this function nor of Lightning's Trainer."
                + did_you_mean(name, known)
            )


def _is_first_process() -> bool:
    return getattr(rank_zero_only, "rank", 0) == 0


_ONE_AT_A_TIME = threading.RLock()  # the threads of a process share the random state and the log levels


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Lightning without its tips and its warnings about loaders with few workers."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*(does not have many workers|exists and is not empty).*")
            warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # torch's word to Lightning, not to our users
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def _random_state_of_its_own(seed: int) -> Iterator[None]:
    """The global generators (dropout draws from torch's) seeded inside, and as they were after; so are the settings
    that Lightning's options `deterministic` and `benchmark` change."""
    python, legacy = random.getstate(), np.random.get_state()
    deterministic, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    benchmark, workspace = torch.backends.cudnn.benchmark, os.environ.get("CUBLAS_WORKSPACE_CONFIG")
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy)
            torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
            torch.backends.cudnn.benchmark = benchmark
            if workspace is None:
                os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)
