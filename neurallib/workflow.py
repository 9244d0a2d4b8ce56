"""The specification's functions over directories: train from scratch, or retrain from what was saved or published."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from neurallib.checks import text
from neurallib.models.registry import build_network
from neurallib.signals.folders import open_folder
from neurallib.state import State, changed
from neurallib.storage.checkpoints import load_checkpoint
from neurallib.training.train import train

PathLike = str | Path


def train_from_scratch(
    state: State,
    path_x: PathLike,
    path_y: PathLike,
    patience: int | None,
    batch_size: int,
    epochs: int,
    gpu_id: int | None = None,
    all_samples: bool = False,
    samples: int | None = None,
    dataset_name: str | None = None,
    trained_for: str | None = None,
    classification: bool | None = None,
    enable_tensorboard: bool = False,
    window_size: int | None = None,
    overlap: float = 0.0,
    **options: Any,
) -> State:
    """Train an untrained state on folders of .npy files, into a new checkpoints directory.

    Parameters
    ----------
    state : State
        From a factory; stays as it is.
    path_x, path_y : path
        Folders that hold `train` and `val`, each with .npy files paired by name: signals [T, n_features] and targets.
    patience : int or None
        Stop after so many epochs without a lower validation loss.
    batch_size, epochs : int
        Signals a batch, and how many epochs at the most.
    gpu_id : int, optional
        Which GPU; by default one where there is one, else the CPU.
    all_samples, samples : bool, int
        All files of each part, or the first `samples` of them.
    dataset_name, trained_for : str
        Required: what the model was trained on and what for, so that whoever finds its files can tell.
    classification : bool, optional
        What the original asked for; the state knows. Given, it is checked against the state's task.
    enable_tensorboard : bool
        Write TensorBoard logs into the checkpoints directory.
    window_size, overlap : int, float
        Cut longer signals into windows, as `open_folder` does.
    **options
        What else `train` takes: seed, normalization, class_weight, bucketing, callbacks, Trainer options.

    Returns
    -------
    State
        The weights of the lowest validation loss; `training_info["checkpoints_directory"]` names where it was saved.

    Raises
    ------
    TypeError, ValueError, FileNotFoundError
        If an argument or a file is wrong; nothing has been trained or written then.
    """
    validate_training_context(
        False, options.pop("checkpoints_directory", None), options.pop("hugging_face_model", None)
    )
    if "architecture" in state["training_info"]:
        raise ValueError("state is trained already: call retrain with its checkpoints directory, or train.")
    return _train_on_folders(
        state, path_x, path_y, all_samples, samples, window_size, overlap, classification, dataset_name, trained_for,
        patience=patience, batch_size=batch_size, epochs=epochs, gpu_id=gpu_id,
        enable_tensorboard=enable_tensorboard, **options,
    )  # fmt: skip


def retrain(
    state: State | None,
    path_x: PathLike,
    path_y: PathLike,
    patience: int | None,
    batch_size: int,
    epochs: int,
    gpu_id: int | None = None,
    all_samples: bool = False,
    samples: int | None = None,
    dataset_name: str | None = None,
    trained_for: str | None = None,
    classification: bool | None = None,
    enable_tensorboard: bool = False,
    checkpoints_directory: PathLike | None = None,
    hugging_face_model: str | None = None,
    window_size: int | None = None,
    overlap: float = 0.0,
    **options: Any,
) -> State:
    """Train on from a checkpoints directory or a Hugging Face repository, into a new checkpoints directory.

    Parameters are those of `train_from_scratch`, and:

    Parameters
    ----------
    state : State or None
        None: architecture and hyperparameters come from the source. A state: its hyperparameters, such as another
        learning rate or dropout, with the source's weights; and what it freezes, where it freezes something.
    checkpoints_directory : path, optional
        Where to read the weights and the training history; never written to.
    hugging_face_model : str, optional
        The same from a repository, "owner/name". With both, the local files win, with a warning.

    Returns
    -------
    State
        As `train_from_scratch`; `training_info["training_history"]` holds the source's training information.

    Raises
    ------
    TypeError, ValueError, FileNotFoundError
        If neither source is given, or an argument, a signal or a file is wrong.
    """
    validate_training_context(True, checkpoints_directory, hugging_face_model)
    if checkpoints_directory is not None:
        source = load_checkpoint(checkpoints_directory)
    else:
        from neurallib.storage.hub import load_from_hub

        source = load_from_hub(str(hugging_face_model))
    if state is not None:
        source = _with_hparams_of(state, source)
    return _train_on_folders(
        source, path_x, path_y, all_samples, samples, window_size, overlap, classification, dataset_name, trained_for,
        patience=patience, batch_size=batch_size, epochs=epochs, gpu_id=gpu_id,
        enable_tensorboard=enable_tensorboard, **options,
    )  # fmt: skip


def validate_training_context(
    retraining: bool, checkpoints_directory: str | Path | None, hugging_face_model: str | None
) -> None:
    """Check where weights are to come from.

    Raises
    ------
    ValueError
        If training from scratch is given a source, or retraining none. With both sources, a warning says that the
        local files win.
    """
    given = [name for name in (checkpoints_directory, hugging_face_model) if name]
    if not retraining and given:
        raise ValueError(f"training from scratch takes no weights, but {given[0]!r} was given: call retrain.")
    if retraining and not given:
        raise ValueError("retraining needs weights: give checkpoints_directory or hugging_face_model.")
    if retraining and len(given) == 2:
        warnings.warn(
            f"both checkpoints_directory and hugging_face_model are given: the local files of "
            f"{str(checkpoints_directory)!r} are used.",
            stacklevel=3,
        )


def _train_on_folders(
    state: State,
    path_x: PathLike,
    path_y: PathLike,
    all_samples: bool,
    samples: int | None,
    window_size: int | None,
    overlap: float,
    classification: bool | None,
    dataset_name: str | None,
    trained_for: str | None,
    **options: Any,
) -> State:
    for name, value in (("dataset_name", dataset_name), ("trained_for", trained_for)):
        if value is None:
            raise ValueError(f"{name} is missing: training_info.json needs it, so that models can be told apart.")
        text(name, value)
    task = state["hparams"].get("task", "regression")
    if classification is not None and classification != (task == "classification"):
        raise ValueError(f"classification={classification}; this state's task is {task!r}.")
    if not all_samples and samples is None:
        raise ValueError("all_samples=False needs samples, how many files of each part to use; or all_samples=True.")
    parts = {
        part: open_folder(
            path_x, path_y, part, all_samples=all_samples, samples=samples, window_size=window_size, overlap=overlap
        )
        for part in ("train", "val")
    }
    return train(
        state, parts["train"], parts["val"], dataset_name=dataset_name, trained_for=trained_for, save=True, **options
    )


def _with_hparams_of(state: State, source: State) -> State:
    """The source's weights and history under another state's hyperparameters, which must fit the weights."""
    if state["architecture"] != source["architecture"]:
        raise ValueError(f"state is a {state['architecture']}, its source a {source['architecture']}.")
    merged = changed(source, hparams=dict(state["hparams"]), frozen=list(state["frozen"] or source["frozen"]))
    build_network(merged)
    return merged
