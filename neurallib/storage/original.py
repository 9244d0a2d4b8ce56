"""What the original NeuralLib makes of our files: which hyperparameters it has words for, and what it would not see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neurallib.architectures import ARCHITECTURES
from neurallib.files import write_yaml
from neurallib.names import listing
from neurallib.state import Hparams, State
from neurallib.warn import warn

READ = ("GRUseq2seq", "GRUseq2one")  # its loader counts GRU layers; its other networks are not those of the names here
# of the preprocessing, of which it applies nothing
UNSEEN = ("normalization", "target_normalization", "window", "steps", "fold", "residual")
LOGGED = "lightning_logs/version_0/hparams.yaml"  # where its retraining looks for hyperparameters, and nowhere else


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
    nothing: Any = (None, False, [], (), 1)  # a fold of 1; True, which is equal to it, is a residual
    unseen = [f"{key}={value!r}" for key, value in known.items() if value is True or value not in nothing]
    if lost or unseen:
        consequence = "cannot read this model" if lost else "takes signals as they are with this model"
        warn(f"the original NeuralLib {consequence}: it has no {listing(lost + unseen)}.")
