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
    optimizer : str
        What was used, with its settings.
    train_dataset, trained_for : str or None
        What it was trained on, and what for.
    validation_loss : float
        The lowest.
    training_time : float
        Seconds.
    gpu_model : str or None
        The GPU's name; None for the CPU.
    epochs : int
        Epochs run.
    retraining : bool
        Whether the weights came from an earlier run.
    efficiency_params : int
        Number of weights.
    efficiency_flops : int, optional
        Operations of a forward pass over a signal of mean length; None where not counted.
    previous_training_info : mapping, optional
        The earlier run's training information: the history, nested, when retraining. Without it there is a warning.
    **more
        Other values that JSON can hold.

    Returns
    -------
    State
        With the new `training_info`; all else is as in `state`.

    Raises
    ------
    TypeError, ValueError
        If `state` is no state.

    See Also
    --------
    train : calls it.
    save_training_information_to_file : writes it.

    Examples
    --------
    >>> import neurallib as nl
    >>> state = nl.save_training_information(
    ...     nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1), optimizer="Adam", train_dataset="synthetic ECG",
    ...     trained_for="R-peaks", validation_loss=0.1, training_time=60.0, gpu_model=None, epochs=20, retraining=False,
    ...     efficiency_params=89, note="by hand",
    ... )
    >>> state["training_info"]["task"], state["training_info"]["note"]
    ('R-peaks', 'by hand')
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
    write_json(path, names | state["training_info"] | _beside_the_weights(state))
    return path


def _beside_the_weights(state: State) -> dict[str, Any]:
    """What a state holds that neither hparams.yaml nor the weights have a place for."""
    hparams, names = state["hparams"], ARCHITECTURES[state["architecture"]].new
    new = {name: hparams[name] for name in names if name in hparams}
    before = state["preprocessing"]
    always = {name: before.get(name) for name in ("sampling_frequency", "normalization")}
    return {**always, **{k: v for k, v in before.items() if v is not None}, **new, "frozen": list(state["frozen"])}
