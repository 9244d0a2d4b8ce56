"""Testing on files: a data folder's test set, or one signal, with a state or a checkpoints directory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from neurallib.architectures import check_state
from neurallib.checks import as_path, boolean, takes
from neurallib.measures.losses import loss_terms
from neurallib.names import helped_by, hinted
from neurallib.prediction.applying import outputs_and_losses
from neurallib.prediction.evaluation import evaluate, predict
from neurallib.prediction.sharing import of_each_share
from neurallib.processes import place, together
from neurallib.signals.arrays import as_numbers, write_array
from neurallib.signals.folders import open_folder
from neurallib.state import State
from neurallib.storage.checkpoints import load_checkpoint
from neurallib.tasks import describe
from neurallib.warn import dispensable

PathLike = str | Path


@hinted
@helped_by(evaluate)
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
    sampling_frequency: float | None = None,
    channels: Sequence[str] | None = None,
    units: Sequence[str] | str | None = None,
) -> tuple[list[Any], float]:
    """Predict the `test` part of a data folder and measure the loss.

    Parameters
    ----------
    state : State or None
        The model; None: the one in `checkpoints_dir`.
    path_x, path_y : path
        Folders that hold `test`, with .npy files paired by name.
    all_samples : bool
        All files, which is also what neither this nor `samples` means.
    samples : int, optional
        With all_samples=False: the first so many files, in natural order.
    checkpoints_dir : path, optional
        Load the model from there, whatever `state` is.
    save_predictions : bool
        Write each prediction as `predictions/NAME.npy`, under its signal's name, into the checkpoints directory.
    post_process_fn : callable, optional
        Applied to each prediction [T, K] (or [K]), such as `post_process_peaks_binary`.
    batch_size : int
        Signals a batch; the results do not depend on it.
    sampling_frequency : float, optional
        Hz, of the signals; by default, as of channels and units, what the manifest of `make_dataset` says of them.
        Where the state was trained at another, they are resampled, and the answers are for their own steps.
    (the rest as `evaluate` has it)

    Returns
    -------
    predictions : list
        One a file, in natural order: probabilities, or values in the target's own units, [T, K] (or [K]);
        post-processed where asked.
    average_test_loss : float
        The mean over signals of each one's own loss (of a regression, of targets as the state normalizes them); those
        without a known label are left out.

    Raises
    ------
    TypeError, ValueError, FileNotFoundError
        If an argument or a file is wrong.

    See Also
    --------
    evaluate : the measures of the task.
    test_on_single_signal : one signal that is in memory.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import neurallib as nl
    >>> state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1, model_name="peaks")
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for folder in ("x/test", "y/test"):
    ...         (Path(root) / folder).mkdir(parents=True)
    ...         np.save(Path(root) / folder / "1.npy", np.ones((50, 1)))
    ...     predictions, loss = nl.test_on_test_set(state, f"{root}/x", f"{root}/y")
    >>> predictions[0].shape
    (50, 1)
    """
    state, directory = _tested_state(state, checkpoints_dir, post_process_fn)
    if boolean("save_predictions", save_predictions) and directory is None:
        raise ValueError("save_predictions=True needs a checkpoints_dir: this state has none of its own.")
    if save_predictions and directory is not None and not directory.is_dir():
        raise FileNotFoundError(f"save_predictions=True, but the checkpoints directory {directory} does not exist.")
    folder = open_folder(path_x, path_y, "test", all_samples=all_samples, samples=samples)
    parts = of_each_share(
        "testing", state, folder, True,
        partial(outputs_and_losses, task=describe(state), raw=False, terms=loss_terms(state)), batch_size=batch_size,
        gpu_id=gpu_id, enable_progress_bar=enable_progress_bar, sampling_frequency=sampling_frequency,
        channels=channels, units=units,
    )  # fmt: skip
    predictions: list[Any] = [one for outputs, _ in parts for one in outputs]
    if post_process_fn is not None:
        predictions = list(map(post_process_fn, predictions))
    if save_predictions and directory is not None:
        arrays = [np.asarray(prediction) for prediction in predictions]
        if any(array.dtype == object for array in arrays):
            raise TypeError("save_predictions=True needs arrays of numbers; post_process_fn returns something else.")
        together("saving predictions", partial(_write, directory / "predictions", folder.names, arrays))
    return predictions, float(np.mean([one for _, losses in parts for one in losses]))


def _write(directory: Path, names: Sequence[str], arrays: Sequence[np.ndarray]) -> None:
    if place()[0] != 0:  # of several processes the first writes
        return
    with dispensable(directory):
        directory.mkdir(exist_ok=True)
    for name, array in zip(names, arrays, strict=True):
        with dispensable(directory / name):
            write_array(directory / name, array)


@hinted
@helped_by(test_on_test_set)
def test_on_single_signal(
    state: State | None,
    X: np.ndarray | Tensor,
    checkpoints_dir: PathLike | None = None,
    gpu_id: int | None = None,
    post_process_fn: Callable[[np.ndarray], Any] | None = None,
    sampling_frequency: float | None = None,
    channels: Sequence[str] | None = None,
    units: Sequence[str] | str | None = None,
) -> Any:
    """Predict one signal, or a batch of signals of one length.

    Parameters
    ----------
    X : array or Tensor
        [T] (when n_features is 1), [T, n_features] or [B, T, n_features].
    post_process_fn : callable, optional
        Applied to each signal's prediction [T, K] (or [K]), such as `post_process_peaks_binary`.
    sampling_frequency : float, optional
        Hz, of the signal. Where the state was trained at another, it is resampled, and the answer is for its own steps.
    channels : sequence of str, optional
        Names of its channels: the state's are picked by their names.
    units : sequence of str or str, optional
        Of its channels, or of all: converted to the state's.
    (the rest as `test_on_test_set` has it)

    Returns
    -------
    np.ndarray
        Probabilities, or values in the target's own units: [T, K] (or [K]), with B in front where X had it. With
        `post_process_fn`, what it makes of each signal's: a list of B where X had it.

    Raises
    ------
    TypeError, ValueError, FileNotFoundError
        If an argument or a file of the directory is wrong.

    See Also
    --------
    predict : signals of different lengths.

    Examples
    --------
    >>> import neurallib as nl, numpy as np
    >>> state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1)
    >>> nl.test_on_single_signal(state, np.zeros((100, 1))).shape
    (100, 1)
    """
    state, _ = _tested_state(state, checkpoints_dir, post_process_fn)
    signal = as_numbers(X, "X")
    if signal.ndim not in (1, 2, 3):
        raise ValueError(f"X has shape {signal.shape}; expected [T], [T, n_features] or [B, T, n_features].")
    said: dict[str, Any] = {"sampling_frequency": sampling_frequency, "channels": channels, "units": units}
    outputs = predict(state, list(signal) if signal.ndim == 3 else [signal], gpu_id=gpu_id, **said)
    if post_process_fn is not None:
        processed = [post_process_fn(output) for output in outputs]
        return processed if signal.ndim == 3 else processed[0]
    return np.stack(outputs) if signal.ndim == 3 else outputs[0]


# What pytest would otherwise collect from a test file that imports these names.
test_on_test_set.__test__ = False  # type: ignore[attr-defined]
test_on_single_signal.__test__ = False  # type: ignore[attr-defined]


def _tested_state(
    state: State | None, checkpoints_dir: PathLike | None, post_process_fn: Any
) -> tuple[State, Path | None]:
    """The model that is tested, and the directory that is its own."""
    if post_process_fn is not None:
        if not callable(post_process_fn):
            raise TypeError(f"post_process_fn={post_process_fn!r} is no function; expected one of a prediction [T, K].")
        takes("post_process_fn", post_process_fn, 1, "of a prediction [T, K]")
    if state is not None:
        state = check_state(state)
    if checkpoints_dir is not None:
        return load_checkpoint(checkpoints_dir), as_path("checkpoints_dir", checkpoints_dir)
    if state is None:
        raise ValueError("give a state, or a checkpoints_dir to load one from.")
    own = state["training_info"].get("checkpoints_directory")
    return state, Path(own) if own else None
