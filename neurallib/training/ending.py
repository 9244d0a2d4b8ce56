"""The end of a run: its state, written by the first of the processes that trained it, and the same in all of them."""

from __future__ import annotations

from typing import Any

from neurallib.processes import together
from neurallib.state import State, changed
from neurallib.storage.checkpoints import write_checkpoint
from neurallib.storage.directories import CARD
from neurallib.storage.model_card import save_model_card
from neurallib.training.run import Fit
from neurallib.warn import dispensable


def saved(trained: State, result: Fit) -> State:
    """The state, in its directory where it has one, written by the first process for all that trained together."""
    if result.n_processes == 1 or result.interrupted:  # Ctrl-C may have ended the other processes
        return trained if result.rank else _written(trained, result)

    def write() -> dict[str, Any]:
        return (trained if result.rank else _written(trained, result))["training_info"]

    return changed(trained, training_info=together("saving the trained state", write)[0])


def _written(trained: State, result: Fit) -> State:
    """The state, written; or the error that a checkpoint could not be written, after all else was."""
    error = result.unsaved
    if result.directory is not None:
        try:
            write_checkpoint(trained, result.directory)
        except OSError as last:
            error = last
        with dispensable(result.directory / CARD):
            save_model_card(trained, result.directory)
    if error is not None:
        raise error
    return trained
