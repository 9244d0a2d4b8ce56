"""What training from scratch and retraining share: where weights come from, whose option is whose, the folders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from neurallib.checks import boolean, text
from neurallib.signals.folders import open_folder
from neurallib.state import State
from neurallib.tasks import describe
from neurallib.training.train import train
from neurallib.warn import warn

PathLike = str | Path
FOLDER = ("path_x", "path_y", "all_samples", "samples", "window_size", "overlap")


def validate_training_context(
    retraining: bool, checkpoints_directory: PathLike | None, hugging_face_model: str | None
) -> None:
    """Check where weights are to come from.

    Parameters
    ----------
    retraining : bool
        Whether a run starts from weights of an earlier one.
    checkpoints_directory : path or None
        A source of weights on this machine.
    hugging_face_model : str or None
        A source of weights on the hub, "owner/name".

    Raises
    ------
    ValueError
        If training from scratch is given a source, or retraining none. With both sources, a warning says that the
        local files win.

    See Also
    --------
    train_from_scratch, retrain : check it themselves.

    Examples
    --------
    >>> import neurallib as nl
    >>> nl.validate_training_context(True, "results/peaks/checkpoints/RUN", None)
    """
    boolean("retraining", retraining)
    given = [name for name in (checkpoints_directory, hugging_face_model) if name is not None and str(name)]
    if not retraining and given:
        raise ValueError(f"training from scratch takes no weights, but {given[0]!r} was given: call retrain.")
    if retraining and not given:
        raise ValueError(
            "retraining needs weights: give checkpoints_directory or hugging_face_model. A trained state's own is "
            "state['training_info']['checkpoints_directory']; train goes on from a state itself."
        )
    if retraining and len(given) == 2:
        warn(
            f"both checkpoints_directory and hugging_face_model are given: the local files of "
            f"{str(checkpoints_directory)!r} are used.",
        )


def check_options(function: Callable[..., State], trainer_options: Mapping[str, Any]) -> None:
    """Raise unless what `function` was given beside its own arguments is for Lightning's Trainer."""
    from neurallib.training.options import check_trainer_options

    sources = ("checkpoints_directory", "hugging_face_model")  # which validate_training_context tells of
    options = {name: value for name, value in trainer_options.items() if name not in sources}
    check_trainer_options(options, function)


def train_on_folders(
    state: State,
    dataset_name: str | None,
    trained_for: str | None,
    classification: bool | None,
    trainer_options: Mapping[str, Any],
    **options: Any,
) -> State:
    """Open the folders and train on them, into a new checkpoints directory."""
    folder = {name: options.pop(name) for name in FOLDER}
    folder["all_samples"] = boolean("all_samples", folder["all_samples"]) or folder["samples"] is None
    if classification is not None:
        boolean("classification", classification)
    names = {"dataset_name": dataset_name, "trained_for": trained_for}
    if unknown := [name for name, value in names.items() if value is None]:
        consequence = "recorded as unknown, so that nobody can tell it from the files"
        warn(f"{' and '.join(unknown)} left out: {consequence}.")
    told: dict[str, Any] = {name: text(name, "unknown" if value is None else value) for name, value in names.items()}
    is_classification = describe(state).kind != "regression"
    if classification is not None and classification != is_classification:
        task = "classification" if is_classification else "regression"
        words = f"classification={classification}; this state's task is {task!r}"
        if classification:
            raise ValueError(f"{words}.")
        warn(f"{words}, which is what it is trained for.")  # False is what the original means by saying nothing
    train_data, val_data = (open_folder(part=part, **folder) for part in ("train", "val"))
    return train(state, train_data, val_data, save=True, **told, **options, **trainer_options)
