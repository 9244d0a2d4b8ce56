"""Retraining, on folders of .npy files: what it begins with, a checkpoints directory or a repository on the hub, and
what a state beside that changes of it."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neurallib.architectures import ARCHITECTURES, check_state
from neurallib.measures.losses import Loss
from neurallib.models.registry import check_weights
from neurallib.names import helped_by
from neurallib.signals.augmenting import Augment
from neurallib.state import Postprocessing, Preprocessing, State, changed, new_postprocessing, new_preprocessing
from neurallib.storage.checkpoints import load_checkpoint
from neurallib.tasks import task_kind
from neurallib.training.monitoring import Metric
from neurallib.training.optimization import OptimizerChoice
from neurallib.training.schedules import Schedule
from neurallib.warn import warn
from neurallib.workflow.from_scratch import train_from_scratch
from neurallib.workflow.on_folders import PathLike, check_options, train_on_folders, validate_training_context

if TYPE_CHECKING:
    from pytorch_lightning.callbacks import Callback
    from pytorch_lightning.loggers import Logger
    from pytorch_lightning.strategies import Strategy

_ARGUMENTS = ("sampling_frequency", "channels", "units", "normalization", "target_normalization")  # of retrain


@helped_by(train_from_scratch)
def retrain(
    state: State | None,
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
    checkpoints_directory: PathLike | None = None,
    hugging_face_model: str | None = None,
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
    """Train on from a checkpoints directory or a Hugging Face repository, into a new checkpoints directory.

    Parameters
    ----------
    state : State or None
        None: architecture and hyperparameters come from the source. A state: its hyperparameters, such as another
        learning rate or dropout, with the source's weights; what it freezes, where it freezes something; what it says
        of its preprocessing where the source says nothing, for two that differ are an error; and its outputs' names and
        events, where it has some.
    checkpoints_directory : path, optional
        Where to read the weights and the training history; never written to.
    hugging_face_model : str, optional
        The same from a repository, "owner/name". With both, the local files win, with a warning.
    (the rest as `train_from_scratch` has it)

    Returns
    -------
    State
        The weights of the best value of `monitor`, the source's own where no epoch beat them (with a warning, and
        `training_info["best_epoch"]` 0); `training_info["checkpoints_directory"]` names where it was saved,
        `training_info["training_history"]` holds the source's training information.

    Raises
    ------
    TypeError, ValueError, FileNotFoundError
        If neither source is given, or an argument, a file or a signal is wrong; nothing has been trained or written
        then.
    PermissionError, ConnectionError
        If the hub refuses, or cannot be reached and its cache lacks a file.
    RuntimeError
        If training diverged before there was a finite validation loss.

    See Also
    --------
    train_from_scratch : the first run.
    train : the same on data in memory, from a state.

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
    ...     pairs = [(np.ones((50, 1)), np.ones((50, 1)))]
    ...     trained = nl.train(state, pairs, pairs, epochs=1, batch_size=1, enable_progress_bar=False)
    ...     directory = nl.save_checkpoint(trained, f"{root}/run")
    ...     state = nl.retrain(
    ...         None, f"{root}/x", f"{root}/y", epochs=1, checkpoints_directory=directory, dataset_name="ones",
    ...         trained_for="an example", results_directory=root, enable_progress_bar=False,
    ...     )
    >>> state["training_info"]["retraining"], state["training_info"]["training_history"]["epochs"]
    (True, 1)
    """
    given = dict(locals())
    check_options(retrain, trainer_options)
    validate_training_context(True, checkpoints_directory, hugging_face_model)
    if state is not None:
        state = check_state(state)
    source = _source(checkpoints_directory, hugging_face_model)
    of_source = ("state", "checkpoints_directory", "hugging_face_model")
    options = {name: given[name] for name in given if name not in of_source}
    return train_on_folders(source if state is None else _with_hparams_of(state, source), **options)


def _source(checkpoints_directory: PathLike | None, hugging_face_model: str | None) -> State:
    if checkpoints_directory is not None:
        return load_checkpoint(checkpoints_directory)
    from neurallib.storage.hub import load_from_hub

    return load_from_hub(str(hugging_face_model))


def _with_hparams_of(state: State, source: State) -> State:
    """The source's weights and history under another state's hyperparameters, which must fit the weights."""
    of_state, of_source = (
        f"{each['architecture']} for {'regression' if task_kind(each['hparams']) == 'regression' else 'classification'}"
        for each in (state, source)
    )
    if of_state != of_source:
        way = "train_from_scratch(reuse_layers(state, load_checkpoint(...), layers), ...) begins with its layers"
        raise ValueError(f"state is a {of_state}, its source a {of_source}: {way}.")
    merged = changed(
        source,
        hparams=dict(state["hparams"]),
        frozen=list(state["frozen"] or source["frozen"]),
        preprocessing=_preprocessing_of(state, source),
        postprocessing=_postprocessing_of(state, source),
    )
    check_weights(merged, "the source's weights")
    for name in ARCHITECTURES[state["architecture"]].implied:
        said, layers = merged["hparams"][name], merged["hparams"]["bidir_per_layer"]
        if said != source["hparams"][name] and said not in layers:
            raise ValueError(
                f"state['hparams'][{name!r}]={said}, its source's is {source['hparams'][name]}: the weights are "
                f"of bidir_per_layer={layers}."
            )
    return merged


def _preprocessing_of(state: State, source: State) -> Preprocessing:
    """The source's preprocessing, and the state's where the source says nothing."""
    known, own = copy.deepcopy((dict[str, Any](source["preprocessing"]), dict[str, Any](state["preprocessing"])))
    for name, said in own.items():
        if known[name] is None and name != "residual":  # without which nothing was added
            known[name] = said
        elif said is not None and not np.array_equal(known[name], said):
            way = "Leave it None in the state" + "; what is to change is an argument of retrain" * (name in _ARGUMENTS)
            raise ValueError(
                f"state['preprocessing'][{name!r}]={repr(said)[:80]}, its source's is {repr(known[name])[:80]}: the "
                f"weights learnt with that. {way}."
            )
    return new_preprocessing(known)


def _postprocessing_of(state: State, source: State) -> Postprocessing:
    """The source's postprocessing, and the state's where it says something; a warning tells where both do."""
    known, own = copy.deepcopy((dict[str, Any](source["postprocessing"]), dict[str, Any](state["postprocessing"])))
    for name, said in own.items():
        if said and known[name] and said != known[name]:
            warn(f"{name} of the state are taken, {repr(said)[:80]}; its source's are {repr(known[name])[:80]}.")
    return new_postprocessing(known | {name: said for name, said in own.items() if said})
