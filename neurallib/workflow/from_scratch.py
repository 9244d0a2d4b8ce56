"""Training from scratch, on folders of .npy files."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from neurallib.architectures import check_state
from neurallib.measures.losses import Loss
from neurallib.names import helped_by
from neurallib.signals.augmenting import Augment
from neurallib.state import State
from neurallib.training.monitoring import Metric
from neurallib.training.optimization import OptimizerChoice
from neurallib.training.schedules import Schedule
from neurallib.training.train import train
from neurallib.workflow.on_folders import PathLike, check_options, train_on_folders, validate_training_context

if TYPE_CHECKING:
    from pytorch_lightning.callbacks import Callback
    from pytorch_lightning.loggers import Logger
    from pytorch_lightning.strategies import Strategy


@helped_by(train)
def train_from_scratch(
    state: State,
    path_x: PathLike,
    path_y: PathLike,
    patience: int | None = 10,
    batch_size: int = 8,
    epochs: int = 100,
    gpu_id: int | None = None,
    all_samples: bool = False,
    samples: int | None = None,
    dataset_name: str | None = None,
    trained_for: str | None = None,
    classification: bool | None = None,
    enable_tensorboard: bool = False,
    window_size: int | None = None,
    overlap: float = 0.0,
    *,
    seed: int = 42,
    normalization: str | None = "auto",
    target_normalization: str | None = "auto",
    sampling_frequency: float | None = None,
    channels: Sequence[str] | None = None,
    units: Sequence[str] | str | None = None,
    outputs: Sequence[str] | None = None,
    class_weight: str | Sequence[float] | Mapping[Any, float] | float | None = None,
    sample_weight: Sequence[float] | Mapping[str, float] | None = None,
    loss: Loss | None = None,
    metrics: Mapping[str, Metric] | None = None,
    monitor: str | tuple[str, str] = "loss",
    optimizer: OptimizerChoice = "adam",
    schedule: Schedule = "cosine",
    augment: Augment | None = None,
    layer_learning_rates: Mapping[str, float] | None = None,
    bucketing: bool = False,
    memory_budget: int = 2**30,
    results_directory: PathLike | None = None,
    resume: bool | PathLike = False,
    checkpoint_every: int | datetime.timedelta | None = None,
    enable_progress_bar: bool = True,
    dry_run: bool = False,
    callbacks: Sequence[Callback] = (),
    loggers: Sequence[Logger] = (),
    devices: int | Sequence[int] | str | None = None,
    num_nodes: int = 1,
    strategy: str | Strategy = "auto",
    **trainer_options: Any,
) -> State:
    """Train an untrained state on folders of .npy files, into a new checkpoints directory.

    Parameters
    ----------
    state : State
        From a factory; stays as it is.
    path_x, path_y : path
        Folders that hold `train` and `val`, each with .npy files paired by name: signals [T, n_features] and targets.
    patience : int or None
        Stop after so many epochs without a better value of `monitor`; None: never.
    batch_size : int
        Signals a batch.
    all_samples : bool
        All files of each part, which is also what neither this nor `samples` means.
    samples : int, optional
        The first so many files of each part, in natural order.
    dataset_name, trained_for : str, optional
        What the model was trained on and what for, so that whoever finds its files can tell. Left out, they are
        recorded as "unknown", with a warning.
    classification : bool, optional
        What the original asked for; the state knows. Given, it is checked against the state's task: False, which the
        original means by saying nothing, with a warning alone.
    enable_tensorboard : bool
        Write TensorBoard logs into the checkpoints directory.
    window_size : int, optional
        Cut signals longer than so many samples into windows; a target as long as its signal is cut with it.
    overlap : float
        The share of a window that the next one repeats, in [0, 1).
    (the rest as `train` has it)

    Returns
    -------
    State
        The weights of the best value of `monitor`; `training_info["checkpoints_directory"]` names where it was saved.

    Raises
    ------
    TypeError, ValueError, FileNotFoundError
        If an argument or a file is wrong; nothing has been trained or written then.
    RuntimeError
        If training diverged before there was a finite validation loss.

    See Also
    --------
    retrain : train on from what this saved.
    test_on_test_set : predictions and loss of the folder's test part.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import neurallib as nl
    >>> state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1, model_name="peaks")
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for folder in ("x/train", "y/train", "x/val", "y/val"):
    ...         (Path(root) / folder).mkdir(parents=True)
    ...         np.save(Path(root) / folder / "1.npy", np.ones((50, 1)))
    ...     state = nl.train_from_scratch(
    ...         state, f"{root}/x", f"{root}/y", epochs=2, dataset_name="ones", trained_for="an example",
    ...         results_directory=f"{root}/results", enable_progress_bar=False,
    ...     )
    ...     directory = Path(state["training_info"]["checkpoints_directory"])
    ...     sorted(path.suffix for path in directory.glob("model_weights.*"))
    ['.pth', '.safetensors']
    """
    given = dict(locals())
    check_options(train_from_scratch, trainer_options)
    sources = (trainer_options.get(name) for name in ("checkpoints_directory", "hugging_face_model"))
    validate_training_context(False, *sources)
    if "architecture" in check_state(state)["training_info"]:
        way = "go on by train(state, open_folder(path_x, path_y, 'train'), open_folder(path_x, path_y, 'val'), ...)"
        raise ValueError(f"state is trained already: {way}, or by retrain with its checkpoints directory.")
    return train_on_folders(**given)
