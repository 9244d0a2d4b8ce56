"""What a training run is remembered by, under the original's names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neurallib.architectures import ARCHITECTURES, check_state
from neurallib.checks import as_path
from neurallib.files import write_json
from neurallib.state import State, changed
from neurallib.warn import warn

INFO = "training_info.json"


def save_training_information(
    state: State,
    *,
    optimizer: str,
    train_dataset: str | None,
    trained_for: str | None,
    validation_loss: float,
    training_time: float,
    gpu_model: str | None,
    epochs: int,
    retraining: bool,
    efficiency_params: int,
    efficiency_flops: int | None = None,
    previous_training_info: Mapping[str, Any] | None = None,
    **more: Any,
) -> State:
    """A new state whose `training_info` tells of one training run, under the original's names.

    Parameters
    ----------
    state : State
        The trained state; stays as it is.
    optimizer, train_dataset, trained_for, gpu_model : str or None
        What was used, and what for.
    validation_loss, training_time : float
        The lowest loss, and seconds.
    epochs, efficiency_params, efficiency_flops : int
        Epochs run, number of weights, and operations of a forward pass over a signal of mean length.
    retraining : bool
        Whether the weights came from an earlier run.
    previous_training_info : mapping, optional
        That run's training information: the history, nested, when retraining.
    **more
        Other values that JSON can hold.

    Returns
    -------
    State
        With the new `training_info`.
    """
    state = check_state(state)
    info: dict[str, Any] = {
        "architecture": state["architecture"],
        "model_name": state["hparams"]["model_name"],
        "train_dataset": train_dataset,
        "task": trained_for,
        "gpu_model": gpu_model,
        "epochs": epochs,
        "optimizer": optimizer,
        "learning_rate": state["hparams"]["learning_rate"],
        "validation_loss": validation_loss,
        "training_time": training_time,
        "retraining": retraining,
        "efficiency_flops": efficiency_flops,
        "efficiency_params": efficiency_params,
        **_beside_the_weights(state),
        **more,
    }
    if previous_training_info:
        info["training_history"] = dict(previous_training_info)
    elif retraining:
        warn("retraining without earlier training information: the history starts here.")
    return changed(state, training_info=info)


def save_training_information_to_file(state: State, directory: str | Path) -> Path:
    """Write training_info.json atomically; of an untrained state, what it needs to be loaded again."""
    state = check_state(state)
    names = {"architecture": state["architecture"], "model_name": state["hparams"]["model_name"]}
    path = as_path("directory", directory) / INFO
    write_json(path, names | state["training_info"] | _beside_the_weights(state))
    return path


def _beside_the_weights(state: State) -> dict[str, Any]:
    """What a state holds that neither hparams.yaml nor the weights have a place for."""
    new = {name: state["hparams"][name] for name in ARCHITECTURES[state["architecture"]].new}
    return {**state["preprocessing"], **new, "frozen": list(state["frozen"])}
