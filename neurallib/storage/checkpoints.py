"""Checkpoint directories: a state as files, the original NeuralLib's among them."""

from __future__ import annotations

import datetime
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neurallib.architectures import ARCHITECTURES, check_state, validate_architecture_name
from neurallib.checks import as_path, is_list
from neurallib.files import read_json, read_weights, read_yaml, write_weights, write_yaml
from neurallib.models.registry import state_from_files
from neurallib.names import listing
from neurallib.signals.normalization import NORMALIZATIONS
from neurallib.state import Hparams, Preprocessing, State, copy_weights
from neurallib.storage.training_info import INFO, save_training_information_to_file
from neurallib.warn import warn

SAFETENSORS, PTH = "model_weights.safetensors", "model_weights.pth"
HPARAMS = "hparams.yaml"


def create_checkpoints_directory(state: State, retraining: bool, results_directory: str | Path | None = None) -> Path:
    """Make a new directory for a run of a model.

    Parameters
    ----------
    state : State
        Its model name, architecture and sizes make the directory's name.
    retraining : bool
        Whether the name says so.
    results_directory : path, optional
        By default $NEURALLIB_RESULTS_DIR, or ./results.

    Returns
    -------
    Path
        {results_directory}/{model_name}/checkpoints/NAME, where NAME is
        {architecture}_{sizes}_lr{learning_rate}_drop{dropout}_{timestamp}. A run that starts in the same second as
        another gets a number behind the timestamp.

    Raises
    ------
    ValueError
        If the model name is not the name of a directory.
    """
    hparams = check_state(state)["hparams"]
    root = model_directory(str(hparams["model_name"]), results_directory) / "checkpoints"
    dropout = hparams.get("dropout", 0.0)
    rates = f"lr{hparams['learning_rate']}_drop{'-'.join(map(str, dropout)) if is_list(dropout) else dropout}"
    sizes = f"{ARCHITECTURES[state['architecture']].sizes(hparams)}_{rates}"
    timestamp = datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    name = f"{state['architecture']}_{sizes}{'_retraining' if retraining else ''}_{timestamp}"
    root.mkdir(parents=True, exist_ok=True)
    attempt = 1
    while True:
        directory = root / (name if attempt == 1 else f"{name}-{attempt}")
        try:
            directory.mkdir()
            return directory
        except FileExistsError:
            attempt += 1


def model_directory(model_name: str, results_directory: str | Path | None = None) -> Path:
    """Where all of one model's results are: {results_directory}/{model_name}; not made.

    Raises
    ------
    ValueError
        If the model name is not the name of a directory.
    """
    if model_name != Path(model_name).name or model_name == "..":
        raise ValueError(f"model_name={model_name!r} names the results directory; it must not hold a path.")
    if results_directory is None:
        results_directory = os.environ.get("NEURALLIB_RESULTS_DIR") or "results"
    return as_path("results_directory", results_directory) / model_name


def save_checkpoint(state: State, directory: str | Path) -> Path:
    """Write a state into a directory, each file atomically.

    Parameters
    ----------
    state : State
        Stays as it is.
    directory : path
        Made where it is missing; files of the same names are replaced.

    Returns
    -------
    Path
        The directory. `load_checkpoint` gives the state again, bitwise; the original reads model_weights.pth,
        hparams.yaml and training_info.json.
    """
    state, directory = check_state(state), as_path("directory", directory)
    directory.mkdir(parents=True, exist_ok=True)
    weights = copy_weights(state["weights"])
    write_weights(directory / SAFETENSORS, weights)
    write_weights(directory / PTH, weights)
    write_yaml(directory / HPARAMS, file_hparams(state))
    save_training_information_to_file(state, directory)
    return directory


def load_checkpoint(directory: str | Path) -> State:
    """Read a state from a checkpoint directory, of this library or of the original.

    Parameters
    ----------
    directory : path
        Holds weights (model_weights.safetensors, else model_weights.pth, else a .ckpt), hyperparameters and
        training_info.json.

    Returns
    -------
    State
        The same as was saved; `training_info["checkpoints_directory"]` is where it was loaded from.

    Raises
    ------
    FileNotFoundError
        If the directory or one of its files is missing; what is there is listed.
    ValueError
        If a file is cut off or the weights are not those of the hyperparameters; both sides are listed.
    """
    directory = _existing(directory)
    own = directory / HPARAMS  # written with the weights; those of the logs are the original's only ones
    hparams = own if own.is_file() else _logged_hparams(directory)
    state = loaded_state(_info_path(directory), hparams, weights_path(directory))
    state["training_info"]["checkpoints_directory"] = str(directory.resolve())
    return state


def loaded_state(info_path: Path, hparams_path: Path, weights_path: Path) -> State:
    """The state that training_info.json, hparams.yaml and a file of weights hold together."""
    info = read_json(info_path)
    if "architecture" not in info:
        raise ValueError(f"{info_path} names no architecture; it holds: {listing(info)}.")
    validate_architecture_name(info["architecture"])
    hparams, weights = read_yaml(hparams_path), read_weights(weights_path)
    new = ARCHITECTURES[info["architecture"]].new
    hparams = {name: info[name] for name in new if name in info} | hparams  # see file_hparams
    try:
        state = state_from_files(info["architecture"], hparams, weights, str(weights_path))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{error} The hyperparameters are those of {hparams_path}.") from error
    normalization, frozen = info.get("normalization"), info.get("frozen")
    if normalization not in (None, *NORMALIZATIONS):
        known = f"none of {listing(NORMALIZATIONS)}: signals are taken as they are"
        warn(f"{info_path} has normalization={normalization!r}, {known}.")
        normalization = None
    state["preprocessing"] = Preprocessing(sampling_frequency=_frequency(info), normalization=normalization)
    state["frozen"] = list(frozen) if isinstance(frozen, list) else []
    untrained = {"transfer": info["transfer"]} if "transfer" in info else {}
    state["training_info"] = dict(info) if "validation_loss" in info else untrained
    return state


def get_weights_and_info_from_checkpoints(prev_checkpoints_dir: str | Path) -> tuple[Path, dict[str, Any]]:
    """The weights file (.pth, made from the other files where there is none) and the training information.

    Raises
    ------
    FileNotFoundError, ValueError
        If a file is missing or broken.
    """
    directory = _existing(prev_checkpoints_dir)
    info = read_json(_info_path(directory))
    path = directory / PTH
    if not path.is_file():
        write_weights(path, read_weights(weights_path(directory)))
    return path, info


def get_hparams_from_checkpoints(checkpoints_directory: str | Path) -> Hparams:
    """Hyperparameters from a checkpoint directory.

    Parameters
    ----------
    checkpoints_directory : path
        Holds hparams.yaml in the newest version_N of lightning_logs or tensorboard_logs (version_10 is newer than
        version_9), which is where the original has it, or else itself.

    Returns
    -------
    dict
        As in the file.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it holds no mapping.
    """
    return read_yaml(_logged_hparams(_existing(checkpoints_directory)))


def file_hparams(state: State) -> Hparams:
    """Hyperparameters as hparams.yaml holds them: without those that say what the original does, which has no word for
    them and could not read the file; training_info.json holds them."""
    unwritten = ARCHITECTURES[state["architecture"]].unwritten(state["hparams"])
    return {name: value for name, value in state["hparams"].items() if name not in unwritten}


def weights_path(directory: Path) -> Path:
    """The weights that a directory is loaded with; FileNotFoundError lists what is there where there are none."""
    ckpts = sorted(directory.glob("*.ckpt"), key=lambda ckpt: (ckpt.name.startswith("last"), ckpt.name))
    for path in (directory / SAFETENSORS, directory / PTH, *ckpts):
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"{directory} has no weights: expected {SAFETENSORS}, {PTH} or a .ckpt; it holds: {_contents(directory)}."
    )


def _info_path(directory: Path) -> Path:
    if not (directory / INFO).is_file():
        raise FileNotFoundError(f"{directory} has no {INFO}; it holds: {_contents(directory)}.")
    return directory / INFO


def _logged_hparams(directory: Path) -> Path:
    """In the newest version of the logs, or else in the directory itself."""
    versions = {
        int(number[1]): path
        for logs in ("tensorboard_logs", "lightning_logs")
        for path in directory.glob(f"{logs}/version_*")
        if (number := re.fullmatch(r"version_(\d+)", path.name)) and (path / HPARAMS).is_file()
    }
    path = (versions[max(versions)] if versions else directory) / HPARAMS
    if not path.is_file():
        raise FileNotFoundError(
            f"{directory} has no {HPARAMS}, nor one in lightning_logs/version_N or tensorboard_logs/version_N; "
            f"it holds: {_contents(directory)}."
        )
    return path


def _existing(directory: str | Path) -> Path:
    directory = as_path("checkpoints directory", directory)
    if not directory.is_dir():
        kind = "is a file" if directory.exists() else "does not exist"
        raise FileNotFoundError(f"checkpoints directory {directory} {kind}.")
    return directory


def _contents(directory: Path) -> str:
    return listing(sorted(path.name for path in directory.iterdir()))


def _frequency(info: Mapping[str, Any]) -> float | None:
    """The `sampling_frequency` of a published file, where it is a number."""
    value = info.get("sampling_frequency")
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < math.inf:
        return None
    return float(value)
