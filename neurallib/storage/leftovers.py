"""What a directory still holds of a model that was in it before."""

from __future__ import annotations

from pathlib import Path

from neurallib.names import listing
from neurallib.state import State
from neurallib.storage.directories import CARD, LOSS_PLOT, RUN, weights_path
from neurallib.warn import warn
from neurallib.weight_files import different_weights, read_weights


def check_leftovers(state: State, directory: Path) -> None:
    """Whether what a directory holds beside a state's files, a run, a card or a plot, is of the state's weights: a
    warning names a card or a plot that may not be.

    Raises
    ------
    ValueError
        If it is the directory of another model's run, which resuming would bring back.
    """
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
