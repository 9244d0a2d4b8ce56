"""The Lightning adapter, and the only import of pytorch_lightning: its Trainer runs the library's own steps."""

from __future__ import annotations

import inspect
import math
import signal
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, LearningRateMonitor, ModelCheckpoint
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor
from torch.utils.data import DataLoader

from neurallib.measures.losses import loss_function, loss_terms
from neurallib.measures.metrics import Metrics
from neurallib.models.network import Network
from neurallib.models.registry import build_network
from neurallib.plots import plot_losses
from neurallib.state import Batch, copy_weights
from neurallib.storage.directories import create_checkpoints_directory
from neurallib.storage.original import file_hparams, log_hparams
from neurallib.tasks import activate, describe
from neurallib.training.isolation import isolated
from neurallib.training.optimization import make_optimizer, training_step
from neurallib.training.run import Fit, Run
from neurallib.training.seldom import Seldom
from neurallib.training.tensorboard import show_predictions, show_size, table_row
from neurallib.warn import warn

TRAINER_ARGUMENTS = list(inspect.signature(pl.Trainer).parameters)


class _Training(pl.LightningModule):
    """The library's pure steps under the names that Lightning calls, and the history of their losses."""

    def __init__(self, run: Run, network: Network) -> None:
        super().__init__()
        self.save_hyperparameters(file_hparams(run.state))
        self.network = network
        self.directory: Path | None = None
        self._run, self._task = run, describe(run.state)
        self._loss = loss_function(run.state)
        self._terms = loss_terms(self._task, run.state["training_info"].get("class_weight"))
        # Lightning clips no gradients of an optimizer that could unscale them itself, which the fused one could.
        fused = not run.trainer_options.get("gradient_clip_val")
        rates = run.layer_learning_rates
        self._optimizer, self._schedule = make_optimizer(
            network, run.state["hparams"], layer_learning_rates=rates, fused=fused
        )
        self.train_losses: list[float] = []
        self.val_losses: list[float] = []
        self.best_weights: dict[str, Tensor] = {}
        self.best_epoch = 0
        self._metrics: Metrics | None = None  # of a validation epoch; only where there is a logger to show them
        self._loss_plot, self._figures, self._bar = Seldom(), Seldom(), Seldom()
        self._metric_history: list[dict[str, float]] = []

    def setup(self, stage: str) -> None:
        # Processes that Lightning started for the other devices have no directory of their own.
        self.directory = self.trainer.strategy.broadcast(self.directory)

    def train_dataloader(self) -> DataLoader[Batch]:
        return self._run.batches(True, self.trainer.global_rank, self.trainer.world_size)

    def val_dataloader(self) -> DataLoader[Batch]:
        # Every process validates on everything: the same val_loss everywhere, and no averaging of averages.
        return self._run.batches(False)

    def configure_optimizers(self) -> Any:
        return [self._optimizer], [self._schedule]

    def on_train_start(self) -> None:
        self.optimizer = str(self.trainer.optimizers[0])  # the one that runs, with its first learning rates
        if isinstance(self.logger, TensorBoardLogger):
            show_size(self.logger.experiment, self._run.state)

    def on_train_epoch_start(self) -> None:
        self._train_total = torch.zeros(2, dtype=torch.float64, device=self.device)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = training_step(self.network, batch, self._loss)
        steps = len(batch["x"])
        self._train_total += torch.stack([loss.detach().double() * steps, loss.new_tensor(steps).double()])
        # A call of log takes longer than a small network's step. On the bar it shows a number, for which the host would
        # wait for a GPU.
        on_bar = self._run.enable_progress_bar and self.device.type == "cpu"
        log = partial(self.log, "train_loss", loss, prog_bar=on_bar, batch_size=steps)
        if self._run.callbacks or self.logger is not None:
            log()
        elif on_bar:
            self._bar(log)
        return loss

    def on_validation_epoch_start(self) -> None:
        self._val_total = torch.zeros(2, dtype=torch.float64, device=self.device)
        if self.logger is not None:
            self._metrics, self._n_seen = Metrics(self._task), 0

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        logits = self.network(batch["x"], batch["lengths"])
        total, count = self._terms(logits, batch["y"], batch["lengths"])
        self._val_total += torch.stack([total.sum().double(), count.sum().double()])
        if self._metrics is not None:
            first = self._n_seen  # validation signals come in their order
            self._n_seen += len(batch["x"])
            places = range(first, self._n_seen)
            outputs = self._run.val_set.in_units(activate(logits.float(), self._task.kind).cpu(), places)
            y, lengths = self._run.val_set.in_units(batch["y"].cpu(), places), batch["lengths"].cpu()
            self._metrics.update(outputs, y, lengths)
            if batch_idx == 0 and isinstance(self.logger, TensorBoardLogger):
                frequency = self._run.state["preprocessing"]["sampling_frequency"]
                shown = (batch["x"], y, lengths, outputs, self.current_epoch)
                self._figures(partial(show_predictions, self.logger.experiment, self._task, frequency, *shown))

    def on_validation_epoch_end(self) -> None:
        train, val = self._train_total.tolist(), self._val_total.tolist()
        self.train_losses.append(train[0] / train[1])
        self.val_losses.append(val[0] / val[1])
        self.log("val_loss", self.val_losses[-1], prog_bar=True)
        if self._metrics is not None:
            self._metric_history.append({f"val_{name}": value for name, value in self._metrics.values().items()})
            self.log_dict(self._metric_history[-1] | {"train_loss_epoch": self.train_losses[-1]})
        if self.val_losses[-1] < min(filter(math.isfinite, self.val_losses[:-1]), default=math.inf):
            self.best_weights = copy_weights(self.network.state_dict())
            self.best_epoch = len(self.val_losses)
        if self.directory is not None and self.trainer.is_global_zero:
            path = self.directory / "loss_plot.png"
            self._loss_plot(partial(plot_losses, self.train_losses, self.val_losses, path))

    def on_exception(self, exception: BaseException) -> None:
        self._loss_plot.finish()

    def on_train_end(self) -> None:
        self._loss_plot.finish()
        self._figures.finish()
        if isinstance(self.logger, TensorBoardLogger) and self.best_epoch:
            best = {"val_loss": self.val_losses[self.best_epoch - 1]} | self._metric_history[self.best_epoch - 1]
            metrics = {f"best/{name}": value for name, value in best.items()}
            self.logger.log_hyperparams(table_row(self._run.state), metrics)

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        return self.network.state_dict(*args, **kwargs)  # under the weights' own names, as the original's files

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        return self.network.load_state_dict(state_dict, *args, **kwargs)


def fit(run: Run) -> Fit:
    """Train a network from the run's state on, and hand back its best weights by validation loss.

    Raises
    ------
    RuntimeError
        If no epoch ended with a finite validation loss.
    KeyboardInterrupt
        If Ctrl-C came before one did.
    """
    began = time.perf_counter()
    module = _Training(run, build_network(run.state))
    if run.save and getattr(rank_zero_only, "rank", 0) == 0:
        module.directory = create_checkpoints_directory(run.state, run.retraining, run.results_directory)
        log_hparams(run.state, module.directory)
    interrupted, on_ctrl_c = False, signal.getsignal(signal.SIGINT)
    with isolated(run.seed):
        trainer = _trainer(run, module.directory)
        try:
            trainer.fit(module)
        except SystemExit as error:
            # Lightning makes this of Ctrl-C, and then ignores the next one. A scheduler's SIGTERM ends the program.
            if not isinstance(error.__context__, KeyboardInterrupt):
                error.code = 128 + signal.SIGTERM if error.code is None else error.code
                raise
            signal.signal(signal.SIGINT, on_ctrl_c)
            interrupted = True
    if interrupted and not module.best_weights:
        raise KeyboardInterrupt  # there is nothing to keep, and a search is not to take it for a failed trial
    if not module.best_weights:
        reason = "diverged in its first epoch" if module.val_losses else "ended before its first validation"
        raise RuntimeError(f"training {reason}: no validation loss was finite, so there are no weights to keep.")
    if interrupted:
        epoch, best = len(module.val_losses) + 1, f"the best weights so far (epoch {module.best_epoch}) are kept"
        warn(f"training was interrupted in epoch {epoch}: {best}.")
    return Fit(
        best_weights=module.best_weights,
        best_epoch=module.best_epoch,
        validation_loss=module.val_losses[module.best_epoch - 1],
        train_losses=module.train_losses,
        val_losses=module.val_losses,
        optimizer=module.optimizer,
        training_time=time.perf_counter() - began,
        interrupted=interrupted,
        directory=module.directory,
    )


def check_callbacks(callbacks: Any) -> None:
    """Raise TypeError unless these are Lightning's callbacks, in a list."""
    if not isinstance(callbacks, Sequence) or isinstance(callbacks, str):
        raise TypeError(f"callbacks is a {type(callbacks).__name__}; expected a list of Lightning's callbacks.")
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise TypeError(f"callbacks holds {callback!r}; expected objects of Lightning's Callback.")


def _trainer(run: Run, directory: Path | None) -> pl.Trainer:
    """Lightning's Trainer with the callbacks and the logger that the run asks for."""
    callbacks: list[Callback] = []
    logger: TensorBoardLogger | bool = False
    if run.save:
        callbacks.append(ModelCheckpoint(directory, filename="best", monitor="val_loss"))
        # Its own save_last would write the last one with the best alone.
        callbacks.append(ModelCheckpoint(directory, filename="last", enable_version_counter=False))
    if run.enable_tensorboard:
        logger = TensorBoardLogger(directory or ".", name="tensorboard_logs", default_hp_metric=False)
        callbacks.append(LearningRateMonitor(logging_interval="epoch"))
    if run.patience is not None:
        callbacks.append(EarlyStopping("val_loss", patience=run.patience))
    on_gpu = run.device.type == "cuda"
    placed = {"accelerator": "gpu", "devices": [run.device.index]} if on_gpu else {"accelerator": "cpu", "devices": 1}
    return pl.Trainer(
        max_epochs=run.epochs,
        callbacks=[*callbacks, *run.callbacks],
        logger=logger,
        enable_checkpointing=run.save,
        enable_progress_bar=run.enable_progress_bar,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        use_distributed_sampler=False,
        default_root_dir=directory,
        **(placed | dict(run.trainer_options)),
    )
