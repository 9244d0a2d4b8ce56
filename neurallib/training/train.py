"""Training on data in memory or in opened folders: `train`, which checks everything before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurallib.architectures import check_state
from neurallib.checks import as_path, as_seed, boolean, choice, integer, number, text
from neurallib.devices import configure_device
from neurallib.measures.class_weights import decided_class_weight
from neurallib.models.registry import check_weights
from neurallib.names import matching
from neurallib.signals.normalization import NORMALIZATIONS
from neurallib.signals.preparing import PreparedData, prepare
from neurallib.signals.sources import Data
from neurallib.state import Preprocessing, State, changed
from neurallib.storage.checkpoints import save_checkpoint
from neurallib.storage.model_card import save_model_card
from neurallib.tasks import describe
from neurallib.training.optimization import learning_groups
from neurallib.training.record import trained_state
from neurallib.training.run import Run
from neurallib.training.trainer_options import check_trainer_options
from neurallib.warn import warn

if TYPE_CHECKING:
    from pytorch_lightning.callbacks import Callback


def train(
    state: State,
    train_data: Data,
    val_data: Data,
    *,
    epochs: int,
    batch_size: int,
    patience: int | None = None,
    seed: int = 42,
    gpu_id: int | None = None,
    normalization: str | None = None,
    sampling_frequency: float | None = None,
    class_weight: str | Sequence[float] | float | None = None,
    layer_learning_rates: Mapping[str, float] | None = None,
    bucketing: bool = False,
    memory_budget: int = 2**30,
    save: bool = False,
    results_directory: str | Path | None = None,
    dataset_name: str | None = None,
    trained_for: str | None = None,
    enable_tensorboard: bool = False,
    enable_progress_bar: bool = True,
    dry_run: bool = False,
    callbacks: Sequence[Callback] = (),
    **trainer_options: Any,
) -> State:
    """Train a state on pairs of signal and target, and return the weights of the lowest validation loss.

    Parameters
    ----------
    state : State
        Untrained or trained (then its training information becomes the new one's history); stays as it is.
    train_data, val_data : sequence of (x, y), torch Dataset, pair of arrays, or what `open_folder` returns
        Signals [T, n_features] and targets as the task asks, or a pair of them stacked ([N, T, n_features], [N, ...]);
        each checked before training starts.
    epochs : int
        How many epochs at the most.
    batch_size : int
        Signals a batch.
    patience : int, optional
        Stop after so many epochs without a lower validation loss.
    seed : int
        For the order of the batches and for dropout. The same seed, data and machine give bitwise the same weights.
    gpu_id : int, optional
        Which GPU; by default one where there is one, else the CPU.
    normalization : str, optional
        "minmax" or "zscore", of each signal by itself; by default what the state says. Kept in the state, so that
        `evaluate` and `predict` do the same.
    sampling_frequency : float, optional
        Hz, of the signals; kept in the state. By default what the state says.
    class_weight : "balanced", or float or sequence of float, optional
        Weight of each class [K] (multiclass) or of each class's positives (binary and multi-label); "balanced" counts
        the training data's valid steps. Validation and `evaluate` weigh alike. Not taken over from a trained state,
        because other data may be balanced otherwise; a warning says so.
    layer_learning_rates : mapping of str to float, optional
        Other first learning rates for some layers, by layer ("gru_layers.0"), weight or pattern.
    bucketing : bool
        Put signals of similar length in a batch, which saves padding.
    memory_budget : int
        Bytes of prepared signals kept in memory; what is beyond is read again each epoch.
    save : bool
        Write Lightning's checkpoints, the loss curve, the weights and the training information into a new checkpoints
        directory, named in `training_info["checkpoints_directory"]`. By default nothing is written.
    results_directory : path, optional
        Where checkpoints directories are made, by model name; by default $NEURALLIB_RESULTS_DIR, or ./results.
    dataset_name, trained_for : str, optional
        For the training information: what was trained on, and what for.
    enable_tensorboard : bool
        Write TensorBoard logs into the checkpoints directory; needs `save`.
    enable_progress_bar : bool
        Show the progress.
    dry_run : bool
        Check every argument, file and signal, train and write nothing, and return the state as it would start.
    callbacks : sequence of Lightning Callback
        Beside the library's own.
    **trainer_options
        Other arguments of Lightning's Trainer: precision, gradient_clip_val, accumulate_grad_batches, devices, ...

    Returns
    -------
    State
        A new state, with `training_info`; of a trained state the weights that it came with, with a warning, where no
        epoch beat them on `val_data`.

    Raises
    ------
    TypeError, ValueError
        If an argument or a signal is wrong; nothing has been trained or written then.
    RuntimeError
        If training diverged before there was a finite validation loss.

    See Also
    --------
    train_from_scratch : the same on folders, into a checkpoints directory.
    evaluate, predict : what to do with the state that this returns.

    Examples
    --------
    >>> import numpy as np
    >>> import neurallib as nl
    >>> rng = np.random.default_rng(0)
    >>> signals = [rng.standard_normal((60, 1)) for _ in range(4)]
    >>> pairs = [(x, x > 0) for x in signals]
    >>> state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1)
    >>> state = nl.train(state, pairs[:3], pairs[3:], epochs=2, batch_size=2, enable_progress_bar=False)
    >>> len(state["training_info"]["val_losses"])
    2
    """
    given = dict(locals())
    from neurallib.training.lightning import TRAINER_ARGUMENTS, check_callbacks, fit

    start = check_state(state)
    _check_plain_options(given)
    check_callbacks(callbacks)
    check_trainer_options(trainer_options, train, TRAINER_ARGUMENTS)
    epochs, batch_size = integer("epochs", epochs), integer("batch_size", batch_size)
    seed, patience = as_seed(seed), None if patience is None else integer("patience", patience)
    device, rates = configure_device(gpu_id), layer_learning_rates or {}
    start = _with_preprocessing(start, normalization, sampling_frequency)
    learning_groups(_learning(start), start["hparams"], rates)
    enable_tensorboard = enable_tensorboard and _can_log(save)
    train_set, val_set = (
        prepare(start, data, name, memory_budget=memory_budget, enable_progress_bar=enable_progress_bar)
        for data, name in ((train_data, "train_data"), (val_data, "val_data"))
    )
    start = changed(start, training_info={"class_weight": _class_weight(start, class_weight, train_set)})
    check_weights(start)
    if dry_run:
        return start
    run = Run(
        state=start, before=state["training_info"], train_set=train_set, val_set=val_set, epochs=epochs,
        batch_size=batch_size, patience=patience, seed=seed, bucketing=bucketing, layer_learning_rates=rates,
        device=device, save=save, results_directory=results_directory, dataset_name=dataset_name,
        trained_for=trained_for, enable_tensorboard=enable_tensorboard, enable_progress_bar=enable_progress_bar,
        callbacks=callbacks, trainer_options=trainer_options,
    )  # fmt: skip
    result = fit(run)
    trained = trained_state(run, result)
    if result.directory is not None:
        save_checkpoint(trained, result.directory)
        save_model_card(trained, result.directory)
    return trained


def _check_plain_options(given: Mapping[str, Any]) -> None:
    for name in ("bucketing", "save", "enable_tensorboard", "enable_progress_bar", "dry_run"):
        boolean(name, given[name])
    for name in ("dataset_name", "trained_for"):
        if given[name] is not None:
            text(name, given[name])
    if given["results_directory"] is not None:
        as_path("results_directory", given["results_directory"])


def _with_preprocessing(state: State, normalization: str | None, sampling_frequency: float | None) -> State:
    known = state["preprocessing"]
    if normalization is not None:
        choice("normalization", normalization, NORMALIZATIONS)
        if known["normalization"] not in (None, normalization):
            warn(f"normalization changes from {known['normalization']!r} to {normalization!r}.")
    if sampling_frequency is not None:
        number("sampling_frequency", sampling_frequency, 0, low_open=True)
        if known["sampling_frequency"] not in (None, sampling_frequency):
            warn(f"sampling_frequency changes from {known['sampling_frequency']:g} to {sampling_frequency:g} Hz.")
    preprocessing = Preprocessing(
        sampling_frequency=known["sampling_frequency"] if sampling_frequency is None else float(sampling_frequency),
        normalization=normalization or known["normalization"],
    )
    return changed(state, preprocessing=preprocessing)


def _learning(state: State) -> list[str]:
    """The weights that are not frozen."""
    frozen = {name for pattern in state["frozen"] for name in matching(state["weights"], pattern)}
    return [name for name in state["weights"] if name not in frozen]


def _class_weight(state: State, given: Any, data: PreparedData) -> list[float] | None:
    weight = decided_class_weight(given, describe(state), data.class_counts)
    if weight is None and (before := state["training_info"].get("class_weight")):
        warn(f"the state was trained with class_weight={before}; this run weighs all alike.")
    return weight


def _can_log(save: bool) -> bool:
    if not save:
        raise ValueError("enable_tensorboard=True needs save=True: its logs go into the checkpoints directory.")
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError:
        warn("tensorboard is not installed: training goes on without its logs.")
        return False
    return True
