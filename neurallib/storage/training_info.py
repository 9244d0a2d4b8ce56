"""What a training run is remembered by, under the original's names, and what of it is for everyone."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neurallib.architectures import ARCHITECTURES, check_state
from neurallib.checks import as_path, boolean
from neurallib.files import read_json, write_json
from neurallib.formats import CHECKPOINT, check_format
from neurallib.state import Preprocessing, State, changed, count_parameters

_log = logging.getLogger(__name__)
INFO = "training_info.json"
FORMAT = "checkpoint_format"  # of a directory, told in this file of it; no part of a state
RUNNING = "running"  # the status of a run that has not ended, or was killed
FAILED = "failed"  # of one that an error ended, which "error" tells
OUT_OF_TIME = "out of time"  # of one that max_time ended before its epochs were done
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


def save_training_information(
    state: State,
    trainer: Any,
    optimizer: Any,
    train_dataset_name: str | None,
    trained_for: str | None,
    val_loss: float,
    total_training_time: float,
    gpu_model: str | None,
    retraining: bool,
    prev_training_history: Mapping[str, Any] | None = None,
    **more: Any,
) -> State:
    """A new state whose `training_info` tells of one training run, under the original's names.

    Parameters
    ----------
    state : State
        The trained state; stays as it is.
    trainer : Lightning Trainer or None
        Says how many epochs ran (its `current_epoch`); None where there is none, and `epochs` among `more` says it.
    optimizer : torch Optimizer or str
        What was used, with its settings; its first learning rate is told, or of a text the state's.
    train_dataset_name, trained_for : str or None
        What it was trained on, and what for.
    val_loss : float
        The lowest.
    total_training_time : float
        Seconds.
    gpu_model : str or None
        The GPU's name; None for the CPU.
    retraining : bool
        Whether the weights came from an earlier run.
    prev_training_history : mapping, optional
        The earlier run's training information: the history, nested, when retraining.
    **more
        Other values that JSON can hold, such as `epochs`; they come before what the arguments say.

    Returns
    -------
    State
        With the new `training_info`; all else is as in `state`.

    Raises
    ------
    TypeError, ValueError
        If `state` is no state, or `trainer` is neither None nor has a `current_epoch`.

    See Also
    --------
    train : calls it.
    save_training_information_to_file : writes it.

    Examples
    --------
    >>> import neurallib as nl
    >>> state = nl.save_training_information(
    ...     nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1), None, "Adam", "synthetic ECG", "R-peaks", val_loss=0.1,
    ...     total_training_time=60.0, gpu_model=None, retraining=False, epochs=20, note="by hand",
    ... )
    >>> state["training_info"]["task"], state["training_info"]["note"]
    ('R-peaks', 'by hand')
    """
    state = check_state(state)
    if trainer is not None and not hasattr(trainer, "current_epoch"):
        raise TypeError(f"trainer is a {type(trainer).__name__}; expected Lightning's Trainer, or None.")
    groups = getattr(optimizer, "param_groups", None) or [{"lr": state["hparams"]["learning_rate"]}]
    info: dict[str, Any] = {
        "architecture": state["architecture"],
        "model_name": state["hparams"]["model_name"],
        "train_dataset": train_dataset_name,
        "task": trained_for,
        "gpu_model": gpu_model,
        "epochs": None if trainer is None else trainer.current_epoch,
        "optimizer": str(optimizer),
        "learning_rate": groups[0].get("initial_lr", groups[0]["lr"]),  # a schedule has changed the other since
        "validation_loss": val_loss,
        "training_time": total_training_time,
        "retraining": boolean("retraining", retraining),
        "efficiency_flops": None,
        "efficiency_params": count_parameters(state["weights"]),
        **_beside_the_weights(state),
        **more,
    }
    if not isinstance(prev_training_history, (Mapping, type(None))):
        came = type(prev_training_history).__name__
        raise TypeError(f"prev_training_history is a {came}; expected a dict, as a state's training_info is.")
    if prev_training_history:
        info["training_history"] = dict(prev_training_history)
    elif retraining:
        _log.info("retraining without earlier training information: the history starts here.")
    return changed(state, training_info=info)


def save_training_information_to_file(state: State, directory: str | Path) -> Path:
    """Write training_info.json atomically; of an untrained state, what it needs to be loaded again.

    Parameters
    ----------
    state : State
        Stays as it is.
    directory : path
        Where; it must be there.

    Returns
    -------
    Path
        Of the file.

    Raises
    ------
    FileNotFoundError
        If the directory is missing.
    TypeError, ValueError
        If `state` is no state, `directory` no path, or the training information holds what JSON cannot.

    See Also
    --------
    save_checkpoint : writes the whole state.

    Examples
    --------
    >>> import tempfile
    >>> import neurallib as nl
    >>> state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = nl.save_training_information_to_file(state, folder)
    >>> path.name
    'training_info.json'
    """
    state = check_state(state)
    names = {"architecture": state["architecture"], "model_name": state["hparams"]["model_name"]}
    path = as_path("directory", directory) / INFO
    number = {FORMAT: CHECKPOINT}
    write_json(path, number | names | state["training_info"] | _beside_the_weights(state) | number)
    return path


def read_training_information(path: Path) -> dict[str, Any]:
    """What a training_info.json holds; ValueError where it is broken, or a later version wrote its directory."""
    info = read_json(path)
    check_format(info.get(FORMAT, 1), CHECKPOINT, path)
    return info


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


def _beside_the_weights(state: State) -> dict[str, Any]:
    """What a state holds that neither hparams.yaml nor the weights have a place for."""
    hparams, names = state["hparams"], ARCHITECTURES[state["architecture"]].new
    new = {name: hparams[name] for name in names if name in hparams}
    before = state["preprocessing"]
    always = {name: before.get(name) for name in ("sampling_frequency", "normalization")}
    return {**always, **{k: v for k, v in before.items() if v is not None}, **new, "frozen": list(state["frozen"])}
