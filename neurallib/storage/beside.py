"""The files that make a state of weights: hyperparameters, preprocessing and training information."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from neurallib.files import write_yaml
from neurallib.state import State
from neurallib.storage.directories import HPARAMS
from neurallib.storage.original import file_hparams
from neurallib.storage.preprocessing import PREPROCESSING, write_preprocessing
from neurallib.storage.training_info import INFO, save_training_information_to_file


def files_beside(state: State, directory: Path) -> dict[str, Callable[[], object]]:
    """What writes each of a state's files into a directory, by their names."""
    return {
        HPARAMS: partial(write_yaml, directory / HPARAMS, file_hparams(state)),
        PREPROCESSING: partial(write_preprocessing, state, directory),
        INFO: partial(save_training_information_to_file, state, directory),
    }
