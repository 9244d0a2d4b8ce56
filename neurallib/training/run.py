"""A run: all that `fit` trains with, as one value, and what it leaves behind."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.utils.data import DataLoader

from neurallib.measures.losses import Loss
from neurallib.signals.batches import make_loader
from neurallib.signals.prepared import PreparedData
from neurallib.state import Batch, State
from neurallib.training.monitoring import History, Metric, Monitor
from neurallib.training.optimization import OptimizerChoice
from neurallib.training.schedules import Schedule

if TYPE_CHECKING:
    from pytorch_lightning.callbacks import Callback
    from pytorch_lightning.loggers import Logger


class Run(NamedTuple):
    """What a training run is made of, each part checked."""

    state: State  # as it starts: with its preprocessing, and the class weights in its training information
    before: dict[str, Any]  # the training information of the state that was given; {} of an untrained one
    train_set: PreparedData
    val_set: PreparedData
    epochs: int
    batch_size: int
    patience: int | None
    seed: int
    bucketing: bool
    loss: Loss | None
    metrics: Mapping[str, Metric]
    monitor: Monitor
    optimizer: OptimizerChoice
    schedule: Schedule
    layer_learning_rates: Mapping[str, float]
    device: torch.device  # of this process
    placement: dict[str, Any]  # accelerator, devices, num_nodes and strategy of Lightning's Trainer
    save: bool  # whether it writes into a checkpoints directory of its own
    results_directory: str | Path | None
    checkpoint_every: int | datetime.timedelta | None  # within an epoch: steps of the optimizer, or time
    dataset_name: str | None
    trained_for: str | None
    enable_tensorboard: bool
    enable_progress_bar: bool
    callbacks: Sequence[Callback]
    loggers: Sequence[Logger]
    trainer_options: Mapping[str, Any]  # of Lightning's Trainer

    def __deepcopy__(self, _: dict[int, Any]) -> Run:
        """Itself: Lightning's callbacks that average weights copy all that hangs on a module, the data with it."""
        return self

    @property
    def retraining(self) -> bool:
        """Whether the weights come from an earlier run."""
        return "architecture" in self.before

    def batches(self, training: bool, rank: int = 0, world_size: int = 1) -> DataLoader[Batch]:
        """The batches of the training data, in another order each epoch, or of the validation data."""
        return make_loader(
            self.train_set if training else self.val_set,
            batch_size=self.batch_size,
            shuffle=training,
            bucketing=self.bucketing and training,
            seed=self.seed,
            rank=rank,
            world_size=world_size,
        )


class Fit(NamedTuple):
    """What a training run leaves behind."""

    history: History
    optimizer: str  # the one that ran, with its settings
    schedule: str  # of its learning rate
    learning_rate: float  # the model's, as hyperparameter
    first_rate: float  # the one that the optimizer began with, which a function may have set otherwise
    handed_over: bool  # whether the weights are those that callbacks left at the end, not those of the best epoch
    training_time: float  # seconds
    interrupted: bool
    directory: Path | None
    cut_at: int | None = None  # how many whole epochs there were when max_time ended it
    diverged: str | None = None  # where a loss became nan or infinite, which ended the run
    unsaved: OSError | None = None  # why one of the checkpoints could not be written
    rank: int = 0  # of the process, of how many that trained together
    n_processes: int = 1

    def why_nothing(self, monitored: str) -> str:
        """What is said where there are no weights to keep."""
        if not self.history.val_losses and not self.diverged:
            return "training ended before its first validation, so there are no weights to keep."
        reason = "diverged" if monitored == "loss" or self.diverged else "has no weights to choose"
        told = f" {self.diverged[0].upper()}{self.diverged[1:]}." if self.diverged else ""
        if not told and monitored != "loss":
            told = f" Does val_data have the labels that {monitored} needs?"
        return f"training {reason}: no validation {monitored} was finite, so there are no weights to keep.{told}"
