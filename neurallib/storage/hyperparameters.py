"""Hyperparameters as files: written as the original NeuralLib reads them, and completed by what other files say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import Parameter
from pathlib import Path
from typing import Any

from neurallib.architectures import ARCHITECTURES, hyperparameters
from neurallib.files import read_yaml, write_yaml
from neurallib.models.folding import folding
from neurallib.models.registry import factory_arguments
from neurallib.names import listing
from neurallib.state import Hparams, State
from neurallib.storage.directories import existing, hparams_path, tell_if_running, weights_path
from neurallib.storage.training_info import INFO, read_training_information
from neurallib.warn import warn
from neurallib.weight_files import read_weights

READ = ("GRUseq2seq", "GRUseq2one")  # its loader counts GRU layers; its other networks are not those of the names here
# of the preprocessing, of which it applies nothing
UNSEEN = ("normalization", "target_normalization", "window", "steps", "fold", "residual")
LOGGED = "lightning_logs/version_0/hparams.yaml"  # where its retraining looks for hyperparameters, and nowhere else


def get_hparams_from_checkpoints(checkpoints_directory: str | Path) -> Hparams:
    """Hyperparameters from a checkpoint directory.

    Parameters
    ----------
    checkpoints_directory : path
        Holds hparams.yaml, as `save_checkpoint` wrote it beside the weights, or else in the newest version_N of
        lightning_logs or tensorboard_logs (version_10 is newer than version_9), which is where the original has it.

    Returns
    -------
    dict
        What the file holds, and what it leaves out because training_info.json or the weights say it: the
        architecture's factory(**hparams) makes the network that was saved.

    Raises
    ------
    FileNotFoundError
        If the directory is missing or has no such file; what is there is listed.
    TypeError, ValueError
        If `checkpoints_directory` is no path, or the file holds no mapping.

    See Also
    --------
    load_checkpoint : all of it as a state.

    Examples
    --------
    >>> import tempfile
    >>> import neurallib as nl
    >>> state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     nl.get_hparams_from_checkpoints(nl.save_checkpoint(state, folder))["hid_dim"]
    4
    """
    directory = existing(checkpoints_directory)
    tell_if_running(directory)
    hparams = read_yaml(hparams_path(directory))
    info = read_training_information(directory / INFO) if (directory / INFO).is_file() else {}
    return completed_hparams(info, hparams, lambda: weights_path(directory))


def completed_hparams(info: Mapping[str, Any], hparams: Hparams, weights: Callable[[], Path]) -> Hparams:
    """Hyperparameters of a file with what it leaves out, so that the factory makes the network of the weights, whose
    file is asked for only where it says more than the others."""
    if info.get("architecture") not in ARCHITECTURES:
        return hparams
    beside = folding(info)  # arguments of factories beside hyperparameters
    entry, told = ARCHITECTURES[info["architecture"]], with_what_info_holds(info, hparams)
    known = hyperparameters(entry.factory)
    missing = known.keys() - told.keys() - {*entry.file_defaults, *entry.optional}
    if any(known[name] is Parameter.empty for name in missing):  # no network is made of these
        return hparams
    return factory_arguments(info["architecture"], told, read_weights(weights()) if missing else {}) | beside


def with_what_info_holds(info: Mapping[str, Any], hparams: Hparams) -> Hparams:
    """See `file_hparams`."""
    return {name: info[name] for name in ARCHITECTURES[info["architecture"]].new if name in info} | hparams


def file_hparams(state: State) -> Hparams:
    """Hyperparameters as hparams.yaml holds them: without those that say what the original does, which has no word for
    them and could not read the file; training_info.json holds them."""
    unwritten = ARCHITECTURES[state["architecture"]].unwritten(state["hparams"])
    return {name: value for name, value in state["hparams"].items() if name not in unwritten}


def log_hparams(state: State, directory: Path) -> None:
    """Write the hyperparameters of a run where the original looks for them, with or without a logger of Lightning's."""
    (directory / LOGGED).parent.mkdir(parents=True, exist_ok=True)
    write_yaml(directory / LOGGED, file_hparams(state))


def warn_of_the_original(state: State) -> None:
    """Warn once of all that the original has no words for, if there is something."""
    name, written = state["architecture"], file_hparams(state)
    lost = [f"{new}={written[new]!r}" for new in ARCHITECTURES[name].new if new in written]
    if name not in READ:
        lost.insert(0, f"{name} of these layers")
    known = {key: value for key, value in state["preprocessing"].items() if key in UNSEEN}
    nothing: tuple[object, ...] = (None, False, [], (), 1)  # a fold of 1; True, which is equal to it, is a residual
    unseen = [f"{key}={value!r}" for key, value in known.items() if value is True or value not in nothing]
    if lost or unseen:
        consequence = "cannot read this model" if lost else "takes signals as they are with this model"
        warn(f"the original NeuralLib {consequence}: it has no {listing(lost + unseen)}.")
