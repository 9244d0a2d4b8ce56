"""What of a directory and of training information is for everyone: nothing that lies elsewhere or is a user's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from neurallib.architectures import ARCHITECTURES
from neurallib.state import Preprocessing, State

# What the library and the original write into it. Anything else is a user's own, which is not for everyone.
PUBLISHED = {
    *Preprocessing.__annotations__, *State.__annotations__, "model_name", "train_dataset", "task", "gpu_model",
    "epochs", "optimizer", "schedule", "learning_rate", "validation_loss", "training_time", "retraining",
    "efficiency_flops", "efficiency_params", "training_history", "transfer", "trainer_options", "callbacks",
    "best_epoch", "weights_of", "interrupted", "diverged", "seed", "batch_size", "class_weight", "augment",
    "n_train_signals", "n_val_signals", "train_losses", "val_losses", "finished", "versions", "pooling", "n_outputs",
    "biosignal", "checkpoint_format", "loss", "monitor", "loggers", "sample_weight", "train_steps", "val_metrics",
    "status", "n_processes",
}  # fmt: skip


def check_links(directory: Path, names: Iterable[str]) -> None:
    """Raise ValueError where one of a directory's files is a link out of it or, in huggingface_hub's cache, out of the
    repository's folder of that."""
    home = directory.resolve()
    home = home.parent.parent if home.parent.name == "snapshots" else home
    for path in (directory / name for name in names):
        if path.is_symlink() and not path.resolve().is_relative_to(home):
            raise ValueError(f"{path} is a link to {path.resolve()}, outside the directory: it is not published.")


def published(info: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """What is published of training information, and the names of what is not: what a user has put there."""
    new = {name for entry in ARCHITECTURES.values() for name in entry.new}
    known = {name: value for name, value in info.items() if name in PUBLISHED | new}
    left_out = [name for name in info if name not in PUBLISHED | new]
    if isinstance(before := known.get("training_history"), Mapping):
        known["training_history"], more = published(before)
        left_out += [name for name in more if name not in left_out]
    return known, left_out


def without_local_paths(info: Any) -> Any:
    """Training information, and what is nested in it, without directories that only one machine has."""
    if isinstance(info, Mapping):
        return {name: without_local_paths(value) for name, value in info.items() if name != "checkpoints_directory"}
    return [without_local_paths(value) for value in info] if isinstance(info, list) else info
