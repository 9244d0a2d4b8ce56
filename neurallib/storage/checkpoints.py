"""Checkpoint directories: a state as files, the original NeuralLib's among them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from neurallib.architectures import check_state, validate_architecture_name
from neurallib.checks import as_folder, boolean, choice
from neurallib.files import as_json, read_yaml, short, sweep, write_yaml
from neurallib.models.registry import check_numbers, check_weights, state_from_files
from neurallib.names import hinted, listing, weights_named
from neurallib.signals.normalization import check_normalization
from neurallib.state import Hparams, State, copy_weights
from neurallib.storage.directories import (
    CARD, HPARAMS, LOSS_PLOT, PTH, RUN, SAFETENSORS, existing, hparams_path, info_path, tell_if_running, weights_path,
)  # fmt: skip
from neurallib.storage.hyperparameters import file_hparams, with_what_info_holds
from neurallib.storage.preprocessing import PREPROCESSING, read_preprocessing, write_preprocessing
from neurallib.storage.training_info import (
    FORMAT, INFO, read_training_information, save_training_information_to_file,
)  # fmt: skip
from neurallib.tasks import describe
from neurallib.warn import warn
from neurallib.weight_files import check_twin, different_weights, read_weights, write_weights


def save_checkpoint(state: State, directory: str | Path) -> Path:
    """Write a state into a directory, each file atomically.

    Parameters
    ----------
    state : State
        Stays as it is.
    directory : path
        Made where it is missing; files of the same names are replaced. Where it is that of a run, the state has to have
        the weights that are there; where a card or loss plot of other weights is there, a warning says so.

    Returns
    -------
    Path
        The directory. `load_checkpoint` gives the state again, bitwise; the original reads model_weights.pth,
        hparams.yaml and training_info.json, and takes signals as they are. `push_to_hub` warns of what it cannot read.

    Raises
    ------
    OSError
        If the directory cannot be made or written.
    TypeError, ValueError
        If `state` is no state, its weights are not finite or not those of its hyperparameters, `directory` no path, a
        file or the run's of another model, or the training information holds what JSON cannot.

    See Also
    --------
    load_checkpoint : read it again.
    push_to_hub : publish it.

    Examples
    --------
    >>> import tempfile
    >>> import neurallib as nl
    >>> state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sorted(path.name for path in nl.save_checkpoint(state, folder).iterdir())
    ['hparams.yaml', 'model_weights.pth', 'model_weights.safetensors', 'preprocessing.json', 'training_info.json']
    """
    state, directory = check_state(state), as_folder("directory", directory)
    check_weights(state)
    check_numbers(state["weights"], "the state's weights")
    try:
        as_json(state["training_info"])
    except (TypeError, ValueError) as error:
        raise type(error)(f"state['training_info'] cannot be saved: {error}") from error
    directory.mkdir(parents=True, exist_ok=True)
    _check_leftovers(state, directory)
    return write_checkpoint(state, directory)


def write_checkpoint(state: State, directory: Path) -> Path:
    """What `save_checkpoint` does, whatever the directory holds, which is there."""
    sweep(directory)
    weights = copy_weights(state["weights"])
    write_weights(directory / SAFETENSORS, weights)
    write_weights(directory / PTH, weights)
    for write in files_beside(state, directory).values():
        write()
    return directory


def files_beside(state: State, directory: Path) -> dict[str, Callable[[], object]]:
    """What writes each of a state's files into a directory, by their names."""
    return {
        HPARAMS: partial(write_yaml, directory / HPARAMS, file_hparams(state)),
        PREPROCESSING: partial(write_preprocessing, state, directory),
        INFO: partial(save_training_information_to_file, state, directory),
    }


@hinted
def load_checkpoint(directory: str | Path, *, task: str | None = None, multi_label: bool = False) -> State:
    """Read a state from a checkpoint directory, of this library or of the original.

    Parameters
    ----------
    directory : path
        Holds weights (model_weights.safetensors, else model_weights.pth, else a .ckpt), hyperparameters and
        training_info.json. Prefixes of wrappers ("module.", "_orig_mod.", "model.", "network.") come off the weights.
    task : str, optional
        "classification" or "regression", of a directory that the original's transfer learning wrote: it has no
        hyperparameters, and the sizes of GRUs are read off the weights. Of all others the files say it.
    multi_label : bool
        Whether such a classification's several classes may hold together.

    Returns
    -------
    State
        The same as was saved; `training_info["checkpoints_directory"]` is where it was loaded from.

    Raises
    ------
    FileNotFoundError
        If the directory or one of its files is missing; what is there is listed.
    TypeError, ValueError
        If `directory` is no path, a file is cut off or of a later version's format, the weights are not those of the
        hyperparameters (both sides are listed), two files of weights disagree, or `task` is missing or another.

    See Also
    --------
    save_checkpoint : write a directory.
    load_from_hub : read a state from a repository.

    Examples
    --------
    >>> import tempfile
    >>> import neurallib as nl
    >>> state = nl.freeze(nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1), "fc_out")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     again = nl.load_checkpoint(nl.save_checkpoint(state, folder))
    >>> again["hparams"] == state["hparams"], again["frozen"]
    (True, ['fc_out'])
    """
    directory = existing(directory)
    boolean("multi_label", multi_label)
    choice("task", task, ("classification", "regression", None))
    said = {} if task is None else {"task": task, "multi_label": multi_label}
    state = loaded_state(info_path(directory), hparams_path(directory), weights_path(directory), directory, said)
    state["training_info"]["checkpoints_directory"] = str(directory.resolve())
    tell_if_running(directory)
    return state


def loaded_state(
    info_path: Path, hparams_path: Path, weights_path: Path, directory: Path | None = None, said: Hparams | None = None
) -> State:
    """The state that training_info.json, hparams.yaml, a file of weights and, where the directory has one,
    preprocessing.json hold together; `said` is the task, where they do not hold one."""
    info = read_training_information(info_path)
    info.pop(FORMAT, None)
    if "architecture" not in info:
        raise ValueError(f"{info_path} names no architecture; it holds: {listing(info)}.")
    with _said_by(info_path):
        validate_architecture_name(info["architecture"])
    hparams, weights = read_yaml(hparams_path), read_weights(weights_path)
    hparams = with_what_info_holds(info, hparams) if hparams else _of_transfer_learning(info, hparams_path, said or {})
    if said and hparams.get("task", "regression") != said["task"]:
        raise ValueError(f"task={said['task']!r}; {hparams_path} says {hparams.get('task', 'regression')!r}.")
    before, behind = read_preprocessing(directory or info_path.parent, info, info_path)
    with _said_by(hparams_path):
        state = state_from_files(info["architecture"], hparams, weights, str(weights_path), before)
    own = (directory or info_path.parent) / PREPROCESSING
    with _said_by(own if own.is_file() else info_path):
        check_normalization(before, describe(state))
    state["preprocessing"], state["postprocessing"] = before, behind
    state["frozen"] = _frozen(info, state, info_path)
    untrained = {"transfer": info["transfer"]} if "transfer" in info else {}
    state["training_info"] = dict(info) if "validation_loss" in info else untrained
    if directory is not None and weights_path.name == SAFETENSORS:
        check_twin(weights_path, weights, directory / PTH)
    return state


def get_weights_and_info_from_checkpoints(prev_checkpoints_dir: str | Path) -> tuple[Path, dict[str, Any]]:
    """The weights file (.pth, made from the other files where there is none) and the training information.

    Parameters
    ----------
    prev_checkpoints_dir : path
        A checkpoint directory, of this library or of the original.

    Returns
    -------
    path : Path
        Of model_weights.pth within the directory; torch.load gives its tensors by name.
    info : dict
        What training_info.json holds.

    Raises
    ------
    FileNotFoundError
        If the directory or one of its files is missing; what is there is listed.
    TypeError, ValueError
        If `prev_checkpoints_dir` is no path, or a file is broken.

    See Also
    --------
    load_checkpoint : all of it as a state.

    Examples
    --------
    >>> import tempfile
    >>> import neurallib as nl
    >>> state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path, info = nl.get_weights_and_info_from_checkpoints(nl.save_checkpoint(state, folder))
    >>> path.name, info["architecture"]
    ('model_weights.pth', 'GRUseq2seq')
    """
    directory = existing(prev_checkpoints_dir)
    info = read_training_information(info_path(directory))
    path, weights = directory / PTH, weights_path(directory)
    if tell_if_running(directory) or not path.is_file():
        write_weights(path, read_weights(weights))
    return path, info


def _check_leftovers(state: State, directory: Path) -> None:
    """Raise ValueError where a directory is of another model's run, which resuming would bring back; warn of a card or
    plot that may not be of the state's weights."""
    held = [name for name in (RUN, CARD, LOSS_PLOT) if (directory / name).is_file()]
    if not held or _are_there(state, directory):
        return
    if RUN in held:
        raise ValueError(
            f"{directory} is of a run with other weights than the state's: its {listing(held)}, logs and .ckpt would "
            "tell of another model, and resuming it would bring that back. Save into another directory."
        )
    warn(f"{directory} held other weights: its {listing(held)} may tell of those. save_model_card writes a card anew.")


def _are_there(state: State, directory: Path) -> bool:
    """Whether a directory's weights are a state's; where it has none, whether a run there can be the state's own."""
    try:
        return not different_weights(read_weights(weights_path(directory)), state["weights"])
    except FileNotFoundError:
        own = state["training_info"].get("checkpoints_directory") == str(directory.resolve())
        return own or not (directory / RUN).is_file()
    except ValueError:  # of a file that is broken
        return False


def _frozen(info: Mapping[str, Any], state: State, info_path: Path) -> list[str]:
    """The patterns of weights that training information calls frozen, each of which there is."""
    frozen = info.get("frozen")
    if not isinstance(frozen, list):  # published files hold "NA"
        return []
    if not all(isinstance(pattern, str) for pattern in frozen):
        raise ValueError(f"{info_path} has frozen={repr(frozen)[:80]}; expected a list of names of weights or layers.")
    with _said_by(info_path):
        for pattern in frozen:
            weights_named(state["weights"], pattern)
    return list(frozen)


@contextlib.contextmanager
def _said_by(path: Path) -> Iterator[None]:
    """What is wrong within the block as a ValueError that names the file which says so."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise ValueError(f"{short(error)} So says {path}.") from error


def _of_transfer_learning(info: Mapping[str, Any], path: Path, said: Hparams) -> Hparams:
    """What training information and the caller say of a model whose hparams.yaml is empty."""
    if not said:
        raise ValueError(
            f"{path} holds no hyperparameters, as the original's transfer learning leaves it. Sizes are read off the "
            "weights, the task is not: load_checkpoint(directory, task='classification'), or 'regression'."
        )
    return {name: info[name] for name in ("model_name", "learning_rate") if name in info} | said
