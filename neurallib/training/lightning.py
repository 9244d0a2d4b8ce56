"""The Lightning adapter: its Trainer runs the library's own steps."""

from __future__ import annotations

import inspect
import math
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    GradientAccumulationScheduler,
    LearningRateFinder,
    ProgressBar,
)
from torch import Tensor
from torch.utils.data import DataLoader

from neurallib.measures.losses import mean_loss
from neurallib.models.network import Network
from neurallib.models.registry import build_network
from neurallib.state import Batch
from neurallib.storage.hyperparameters import file_hparams
from neurallib.tasks import describe
from neurallib.training.callbacks import Recorder, optimizer_and_schedule
from neurallib.training.checkpointing import Checkpointing, cut_at
from neurallib.training.company import Company, company_of
from neurallib.training.divergence import Diverged
from neurallib.training.isolation import isolated
from neurallib.training.measuring import run_terms
from neurallib.training.optimization import build_optimizer, training_step
from neurallib.training.placing import calm_sigterm, seed_process
from neurallib.training.replacements import Bar, board, replaced
from neurallib.training.resuming import Opened
from neurallib.training.run import Fit, Run
from neurallib.training.schedules import build_schedule, is_each_step, set_rate_


class _Training(pl.LightningModule):
    """The library's pure steps under the names that Lightning calls, and the sums of an epoch's losses."""

    network: Network
    # Lightning sets the name of each hook, forty times a step; nn.Module would look for parameters in each of them.
    __setattr__ = object.__setattr__  # type: ignore[assignment]

    def __init__(self, run: Run, network: Network) -> None:
        super().__init__()
        self.save_hyperparameters(file_hparams(run.state))
        self.add_module("network", network)
        self.directory: Path | None = None
        self.company: Company | None = None  # of the processes that train together
        self._run, self._rate = run, float(run.state["hparams"]["learning_rate"])
        task = describe(run.state)
        self._terms = run_terms(run)
        self._n_steps = torch.zeros(())  # valid ones, of the optimizer step so far
        self.train_total = torch.zeros(2, dtype=torch.float64)  # of an epoch: the sum of losses, and what divides it
        self._n_batches = len(run.batches(True))  # of all processes
        steps = 1 if task.seq2one else sum(run.train_set.lengths) / len(run.train_set)
        self._unit = run.batch_size * steps * (1 if task.kind == "multiclass" else task.n_outputs)

    def setup(self, stage: str) -> None:
        # Processes that Lightning started for the other devices have no directory of their own.
        self.directory = self.trainer.strategy.broadcast(self.directory)
        self._rank, self._world_size = self.trainer.global_rank, self.trainer.world_size
        if self.company is not None:
            self.company.meet(self._rank, self._world_size, self.trainer.strategy.broadcast)
            seed_process(self._run.seed, self._rank)

    def train_dataloader(self) -> DataLoader[Batch]:
        return self._run.batches(True, self.trainer.global_rank, self.trainer.world_size)

    def val_dataloader(self) -> DataLoader[Batch]:
        # Every process validates on everything: the same val_loss everywhere, and no averaging of averages.
        return self._run.batches(False)

    def configure_optimizers(self) -> Any:
        # Lightning clips no gradients of an optimizer that could unscale them itself, which the fused one could.
        run, fused = self._run, not self.trainer.gradient_clip_val
        optimizer = build_optimizer(
            self.network, run.state["hparams"], run.layer_learning_rates, fused, run.optimizer
        )
        n_steps = self._n_updates()
        schedule = build_schedule(run.schedule, optimizer, n_steps, run.monitor.mode)
        if schedule is None:
            return optimizer
        interval = "step" if is_each_step(schedule, n_steps, self.trainer.max_epochs or 1) else "epoch"
        return [optimizer], [{"scheduler": schedule, "interval": interval, "monitor": run.monitor.key}]

    def _n_updates(self) -> int:
        """How often the optimizer will step: Lightning's estimate, which has no word for parts that change by epoch."""
        trainer = self.trainer
        parts = [callback for callback in self._run.callbacks if isinstance(callback, GradientAccumulationScheduler)]
        if not parts:
            return int(trainer.estimated_stepping_batches)
        trainer.fit_loop.setup_data()
        n_batches, n_epochs = int(trainer.num_training_batches), trainer.max_epochs or 1
        n = sum(math.ceil(n_batches / parts[0].get_accumulate_grad_batches(epoch)) for epoch in range(n_epochs))
        return n if trainer.max_steps == -1 else min(n, trainer.max_steps)

    def on_fit_start(self) -> None:
        self._take_rate()

    def _take_rate(self) -> None:
        """Begin anew at the rate that a LearningRateFinder has set, of which the schedule does not know."""
        rate = float(self.hparams["learning_rate"])
        if rate != self._rate:
            set_rate_(*optimizer_and_schedule(self.trainer), rate)
        self._rate = rate

    def on_train_epoch_start(self) -> None:
        self._take_rate()
        # Passes of Lightning's tuners are no epochs, and a run that goes on does not begin with the first.
        self.trainer.train_dataloader.batch_sampler.set_epoch(self.current_epoch)  # type: ignore[union-attr]
        self.train_total = torch.zeros(2, dtype=torch.float64, device=self.device)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        weight: Any = batch.get("weight")  # of a WeightedBatch

        def of_run(logits: Tensor, y: Tensor, lengths: Tensor) -> Tensor:
            total, count = self._terms(logits, y, lengths, weight)
            self._terms_of_batch = torch.stack([total.detach(), count])
            return mean_loss(total, count)

        loss = training_step(self.network, batch, of_run)
        if batch_idx * self._world_size + self._rank >= self._n_batches:
            self._terms_of_batch.zero_()  # another process has this batch: it is here to make their number the same
        self.train_total += self._terms_of_batch
        return loss

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Gradients of an optimizer step: those of one batch of all its signals, in however many parts they come.

        A part is weighed by its valid steps, in a unit that all processes know beforehand; the sum is divided by the
        valid steps of all parts once they are known. Lightning has divided the loss by the number of parts, and
        averages the processes.
        """
        trainer, n_parts = self.trainer, self.trainer.accumulate_grad_batches
        if n_parts == self._world_size == 1:
            super().backward(loss, *args, **kwargs)
            return
        batch_idx, count = trainer.fit_loop.batch_idx, self._terms_of_batch[1]
        self._n_steps = count + self._n_steps if batch_idx % n_parts else count.clone()
        super().backward(loss * (count * n_parts / self._unit), *args, **kwargs)
        last = trainer.is_last_batch or batch_idx + 1 == trainer.num_training_batches
        if last or (batch_idx + 1) % n_parts == 0:
            n_steps = trainer.strategy.reduce(self._n_steps.clone(), reduce_op="sum")
            # Where nothing is known, gradients are 0.
            scale = torch.where(n_steps > 0, self._unit * self._world_size / n_steps, 0.0)
            for parameter in self.network.parameters():
                if parameter.grad is not None:
                    parameter.grad.mul_(scale)

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        if gradient_clip_val:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def on_validation_epoch_start(self) -> None:
        self._val_total = torch.zeros(2, dtype=torch.float64, device=self.device)

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor:
        logits: Tensor = self.network(batch["x"], batch["lengths"])
        self._val_total += torch.stack(self._terms(logits, batch["y"], batch["lengths"]))
        return logits

    def take_over(self, rate: float, total: Tensor | None) -> None:
        """Go on at a learning rate, in an epoch whose losses so far sum up to `total`, in this process alone."""
        self.hparams["learning_rate"] = self._rate = rate
        if total is not None:
            self.train_total = total.to(self.device)

    def losses(self) -> tuple[float, float]:
        """Of the epoch's training and validation, over their valid steps."""
        total = self.trainer.strategy.reduce(self.train_total.clone(), reduce_op="sum")  # over the processes
        (train, n_train), (val, n_val) = total.tolist(), self._val_total.tolist()
        return train / n_train if n_train else float("nan"), val / n_val if n_val else float("nan")

    def on_train_end(self) -> None:
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, Recorder):
                callback.close(self.trainer, self)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}

    # Lightning asks three hooks for each batch, though there is only the one above.
    def _on_before_batch_transfer(self, batch: Any, dataloader_idx: int = 0) -> Any:
        return batch

    def _apply_batch_transfer_handler(
        self, batch: Any, device: torch.device | None = None, dataloader_idx: int = 0
    ) -> Any:
        return self.transfer_batch_to_device(batch, device or self.device, dataloader_idx)

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        return self.network.state_dict(*args, **kwargs)  # under the weights' own names, as the original's files

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        return self.network.load_state_dict(state_dict, *args, **kwargs)


# Lightning asks for the step's arguments each step, which takes long unless the answer lies ready.
_Training.training_step.__signature__ = inspect.signature(_Training.training_step)  # type: ignore[attr-defined]


def fit(run: Run, opened: Opened) -> Fit:
    """Train a network from the run's state on, or from its checkpoint, and hand back its best weights by what it
    monitors; RuntimeError if no epoch ended with a finite value of it, KeyboardInterrupt if Ctrl-C came before one did.
    """
    module, recorder = _Training(run, build_network(run.state)), Recorder(run)
    module.directory = opened.directory
    interrupted, diverged, on_ctrl_c = False, None, signal.getsignal(signal.SIGINT)
    with isolated(run.seed):
        trainer = _trainer(run, opened, recorder)
        calm_sigterm(trainer)
        try:
            with company_of(trainer.world_size > 1) as module.company:
                trainer.fit(module, ckpt_path=opened.checkpoint, weights_only=True)
        except SystemExit as error:
            # Lightning makes this of Ctrl-C, and then ignores the next one. A scheduler's SIGTERM ends the program.
            if not isinstance(error.__context__, KeyboardInterrupt):
                error.code = 128 + signal.SIGTERM if error.code is None else error.code
                raise
            signal.signal(signal.SIGINT, on_ctrl_c)
            interrupted = True
        except Diverged as error:
            diverged = str(error)
    result = recorder.fit(module.directory, interrupted)._replace(
        diverged=diverged,
        cut_at=None if interrupted or diverged else cut_at(trainer, run.epochs),
        rank=trainer.global_rank,
        n_processes=trainer.world_size,
    )
    if not result.history.best_weights:
        if interrupted:
            raise KeyboardInterrupt  # there is nothing to keep, and a search is not to take it for a failed trial
        raise RuntimeError(result.why_nothing(run.monitor.name))
    return result


def _trainer(run: Run, opened: Opened, recorder: Recorder) -> pl.Trainer:
    """Lightning's Trainer with the callbacks and the logger that the run asks for."""
    callbacks: list[Callback] = [Checkpointing(run, recorder), recorder, *run.callbacks]
    if opened.checkpoint is not None:  # which has the rate that was found
        callbacks = [callback for callback in callbacks if not isinstance(callback, LearningRateFinder)]
    if run.patience is not None:
        monitor, is_loss = run.monitor, run.monitor.name == "loss"  # others may be nan in an epoch, and better later
        given: Any = {"check_finite": is_loss, "check_on_train_epoch_end": False}  # max_steps may end one unvalidated
        callbacks.append(EarlyStopping(monitor.key, mode=monitor.mode, patience=run.patience, **given))
    if run.enable_progress_bar and not any(isinstance(callback, ProgressBar) for callback in callbacks):
        callbacks.append(Bar())
    loggers = list(run.loggers)
    if run.enable_tensorboard:
        loggers.append(board(opened.directory or Path("."), opened.step))
    return pl.Trainer(
        max_epochs=run.epochs,
        callbacks=callbacks,
        logger=loggers or False,
        enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in callbacks),
        enable_progress_bar=run.enable_progress_bar,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1 if run.callbacks else 0,  # for what callbacks log; it has the loggers flush each time
        use_distributed_sampler=False,
        default_root_dir=opened.directory,
        **replaced({**run.placement, **run.trainer_options}),
    )
