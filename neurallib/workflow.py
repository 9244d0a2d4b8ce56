"""The specification's functions over directories: train from scratch, retrain, test on a test set or one signal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from neurallib.storage.checkpoints import load_checkpoint
from neurallib.checks import text
from neurallib.signals.folders import open_folder
from neurallib.prediction.evaluation import predict, predict_and_measure
from neurallib.files import atomic_write
from neurallib.models.registry import build_network
from neurallib.state import State, changed
from neurallib.training.train import train
from neurallib.storage.training_info import validate_training_context

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


def test_on_test_set(
    state: State | None,
    path_x: PathLike,
    path_y: PathLike,
    all_samples: bool = True,
    samples: int | None = None,
    checkpoints_dir: PathLike | None = None,
    gpu_id: int | None = None,
    save_predictions: bool = False,
    post_process_fn: Callable[[np.ndarray], Any] | None = None,
    batch_size: int = 32,
    enable_progress_bar: bool = False,
) -> tuple[list[Any], float]:
    """Predict the `test` part of a data folder and measure the loss.

    Parameters
    ----------
    state : State or None
        The model; None: the one in `checkpoints_dir`.
    path_x, path_y : path
        Folders that hold `test`, with .npy files paired by name.
    all_samples, samples : bool, int
        All files, or the first `samples` of them.
    checkpoints_dir : path, optional
        Load the model from there.
    gpu_id : int, optional
        Which GPU; by default one where there is one, else the CPU.
    save_predictions : bool
        Write each prediction as `predictions/NAME.npy`, under its signal's name, into the checkpoints directory.
    post_process_fn : callable, optional
        Applied to each prediction, such as `post_process_peaks_binary`.
    batch_size : int
        Signals a batch; the results do not depend on it.
    enable_progress_bar : bool
        Show the progress.

    Returns
    -------
    predictions : list
        One a file, in natural order: probabilities or values [T, K] (or [K]), post-processed where asked.
    average_test_loss : float
        The mean over signals of each one's own loss.

    Raises
    ------
    TypeError, ValueError, FileNotFoundError
        If an argument or a file is wrong.
    """
    state, directory = _tested_state(state, checkpoints_dir)
    if save_predictions and directory is None:
        raise ValueError("save_predictions=True needs a checkpoints_dir: this state has none of its own.")
    if save_predictions and directory is not None and not directory.is_dir():
        raise FileNotFoundError(f"save_predictions=True, but the checkpoints directory {directory} does not exist.")
    folder = open_folder(path_x, path_y, "test", all_samples=all_samples, samples=samples)
    outputs, losses = predict_and_measure(
        state, folder, batch_size=batch_size, gpu_id=gpu_id, enable_progress_bar=enable_progress_bar
    )
    predictions: list[Any] = outputs
    if post_process_fn is not None:
        predictions = [post_process_fn(output) for output in outputs]
    if save_predictions and directory is not None:
        arrays = [np.asarray(prediction) for prediction in predictions]
        if any(array.dtype == object for array in arrays):
            raise TypeError("save_predictions=True needs arrays of numbers; post_process_fn returns something else.")
        (directory / "predictions").mkdir(exist_ok=True)
        for name, array in zip(folder.names, arrays, strict=True):
            with atomic_write(directory / "predictions" / name) as path, open(path, "wb") as file:
                np.save(file, array, allow_pickle=False)
    return predictions, float(np.mean(losses))


def test_on_single_signal(
    state: State | None,
    X: np.ndarray | Tensor,
    checkpoints_dir: PathLike | None = None,
    gpu_id: int | None = None,
    post_process_fn: Callable[[np.ndarray], Any] | None = None,
) -> Any:
    """Predict one signal, or a batch of signals of one length.

    Parameters
    ----------
    state : State or None
        The model; None: the one in `checkpoints_dir`.
    X : array or Tensor
        [T] (when n_features is 1), [T, n_features] or [B, T, n_features].
    checkpoints_dir, gpu_id, post_process_fn
        As for `test_on_test_set`.

    Returns
    -------
    np.ndarray
        Probabilities or values: [T, K] (or [K]), with B in front where X had it. With `post_process_fn`, what it makes
        of each signal's: a list of B where X had it.

    Raises
    ------
    TypeError, ValueError, FileNotFoundError
        If an argument is wrong.
    """
    state, _ = _tested_state(state, checkpoints_dir)
    signal = X.detach().cpu().numpy() if isinstance(X, Tensor) else np.asarray(X)
    if signal.ndim not in (1, 2, 3):
        raise ValueError(f"X has shape {signal.shape}; expected [T], [T, n_features] or [B, T, n_features].")
    outputs = predict(state, list(signal) if signal.ndim == 3 else [signal], gpu_id=gpu_id)
    if post_process_fn is not None:
        processed = [post_process_fn(output) for output in outputs]
        return processed if signal.ndim == 3 else processed[0]
    return np.stack(outputs) if signal.ndim == 3 else outputs[0]


# What pytest would otherwise collect from a test file that imports these names.
test_on_test_set.__test__ = False  # type: ignore[attr-defined]
test_on_single_signal.__test__ = False  # type: ignore[attr-defined]


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


def _tested_state(state: State | None, checkpoints_dir: PathLike | None) -> tuple[State, Path | None]:
    if checkpoints_dir is not None:
        return load_checkpoint(checkpoints_dir), Path(checkpoints_dir)
    if state is None:
        raise ValueError("give a state, or a checkpoints_dir to load one from.")
    own = state["training_info"].get("checkpoints_directory")
    return state, Path(own) if own else None
