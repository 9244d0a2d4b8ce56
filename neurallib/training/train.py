"""Training on data in memory or in opened folders: `train`, and what a run is remembered by."""

from __future__ import annotations

import datetime
import logging
import platform
import time
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from neurallib.checks import choice, integer, number
from neurallib.devices import configure_device, gpu_name
from neurallib.measures.losses import class_weight_tensor
from neurallib.models.registry import build_network
from neurallib.names import is_named
from neurallib.signals.batches import make_loader
from neurallib.signals.normalization import NORMALIZATIONS
from neurallib.signals.preparing import Data, PreparedData, prepare
from neurallib.state import Preprocessing, State, changed, count_parameters
from neurallib.storage.checkpoints import create_checkpoints_directory, save_checkpoint
from neurallib.storage.model_card import save_model_card
from neurallib.storage.training_info import save_training_information
from neurallib.tasks import n_outputs, task_kind
from neurallib.training.optimization import make_optimizer
from neurallib.version import __version__

if TYPE_CHECKING:
    from pytorch_lightning.callbacks import Callback

logger = logging.getLogger(__name__)


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
    train_data, val_data : sequence of (x, y), or what `open_folder` returns
        Signals [T, n_features] and targets as the task asks; each checked before training starts.
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
        A new state, with `training_info`.

    Raises
    ------
    TypeError, ValueError
        If an argument or a signal is wrong; nothing has been trained or written then.
    RuntimeError
        If training diverged, or was interrupted, before there was a finite validation loss.
    """
    from neurallib.training.lightning import check_trainer_options, fit

    epochs, batch_size = integer("epochs", epochs), integer("batch_size", batch_size)
    seed = integer("seed", seed, minimum=0)
    patience = integer("patience", patience) if patience is not None else None
    check_trainer_options(trainer_options)
    device = configure_device(gpu_id)
    start = _with_preprocessing(state, normalization, sampling_frequency)
    if enable_tensorboard:
        enable_tensorboard = _can_log(save)
    train_set = prepare(
        start, train_data, "train_data", memory_budget=memory_budget, enable_progress_bar=enable_progress_bar
    )
    val_set = prepare(start, val_data, "val_data", memory_budget=memory_budget, enable_progress_bar=enable_progress_bar)
    weight = _class_weight(start, train_set, class_weight)
    start = changed(start, training_info={"class_weight": weight})

    def make_batches(training: bool, rank: int, world_size: int) -> Any:
        return make_loader(
            train_set if training else val_set,
            batch_size=batch_size,
            shuffle=training,
            bucketing=bucketing and training,
            seed=seed,
            rank=rank,
            world_size=world_size,
        )

    retraining = "architecture" in state["training_info"]
    network = build_network(start)
    optimizer, _ = make_optimizer(network, start["hparams"], layer_learning_rates=layer_learning_rates)
    if dry_run:
        return start
    began = time.perf_counter()
    result = fit(
        network,
        start,
        make_batches,
        epochs=epochs,
        patience=patience,
        seed=seed,
        layer_learning_rates=layer_learning_rates,
        device=device,
        make_directory=(lambda: create_checkpoints_directory(start, retraining, results_directory)) if save else None,
        enable_tensorboard=enable_tensorboard,
        enable_progress_bar=enable_progress_bar,
        callbacks=callbacks,
        trainer_options=trainer_options,
    )
    if result.interrupted:
        warnings.warn(
            f"training was interrupted in epoch {len(result.val_losses) + 1}: the best weights so far "
            f"(epoch {result.best_epoch}) are kept.",
            stacklevel=2,
        )
    weights = {  # frozen ones bitwise as they were: a half precision would have rounded them
        name: start["weights"][name] if any(is_named(name, pattern) for pattern in start["frozen"]) else weight
        for name, weight in result.best_weights.items()
    }
    trained = save_training_information(
        changed(start, weights=weights),
        optimizer=str(optimizer),
        train_dataset=dataset_name,
        trained_for=trained_for,
        validation_loss=result.validation_loss,
        training_time=time.perf_counter() - began,
        gpu_model=gpu_name(device),
        epochs=len(result.val_losses),
        efficiency_params=count_parameters(start["weights"]),
        efficiency_flops=count_flops(start, round(sum(train_set.lengths) / len(train_set))),
        retraining=retraining,
        previous_training_info=state["training_info"] if retraining else None,
        **{name: state["training_info"][name] for name in ("transfer",) if name in state["training_info"]},
        best_epoch=result.best_epoch,
        interrupted=result.interrupted,
        seed=seed,
        batch_size=batch_size,
        class_weight=weight,
        n_train_signals=len(train_set),
        n_val_signals=len(val_set),
        train_losses=result.train_losses,
        val_losses=result.val_losses,
        finished=datetime.datetime.now().isoformat(timespec="seconds"),
        versions={
            "neurallib": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "pytorch-lightning": version("pytorch-lightning"),
        },
        checkpoints_directory=str(result.directory.resolve()) if result.directory is not None else None,
    )
    if result.directory is not None:
        save_checkpoint(trained, result.directory)
        save_model_card(trained, result.directory)
    return trained


def _with_preprocessing(state: State, normalization: str | None, sampling_frequency: float | None) -> State:
    known = state["preprocessing"]
    if normalization is not None:
        choice("normalization", normalization, NORMALIZATIONS)
        if known["normalization"] not in (None, normalization):
            warnings.warn(f"normalization changes from {known['normalization']!r} to {normalization!r}.", stacklevel=3)
    if sampling_frequency is not None:
        number("sampling_frequency", sampling_frequency, 0, low_open=True)
        if known["sampling_frequency"] not in (None, sampling_frequency):
            warnings.warn(
                f"sampling_frequency changes from {known['sampling_frequency']:g} to {sampling_frequency:g} Hz.",
                stacklevel=3,
            )
    preprocessing = Preprocessing(
        sampling_frequency=known["sampling_frequency"] if sampling_frequency is None else float(sampling_frequency),
        normalization=normalization or known["normalization"],
    )
    return changed(state, preprocessing=preprocessing)


def _can_log(save: bool) -> bool:
    if not save:
        raise ValueError("enable_tensorboard=True needs save=True: its logs go into the checkpoints directory.")
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError:
        warnings.warn("tensorboard is not installed: training goes on without its logs.", stacklevel=3)
        return False
    return True


def _class_weight(state: State, data: PreparedData, class_weight: Any) -> list[float] | None:
    """Class weights as plain numbers, counted over the valid steps of the training data where they are to balance."""
    kind, n_out = task_kind(state["hparams"]), n_outputs(state["hparams"])
    if class_weight is None:
        if before := state["training_info"].get("class_weight"):
            warnings.warn(f"the state was trained with class_weight={before}; this run weighs all alike.", stacklevel=3)
        return None
    if kind == "regression":
        raise ValueError(f"class_weight={class_weight!r} is for classification; this state does regression.")
    if isinstance(class_weight, Mapping):
        raise TypeError(
            f"class_weight={class_weight!r} is a mapping; expected a list of {n_out} weights, or 'balanced'."
        )
    if not isinstance(class_weight, str):
        return class_weight_tensor(class_weight, n_out).tolist()  # type: ignore[union-attr]
    choice("class_weight", class_weight, ["balanced"])
    counts, steps = torch.zeros(n_out, dtype=torch.float64), 0
    for i in range(len(data)):
        y = data[i][1]
        steps += y.numel() if kind == "multiclass" else y.numel() // n_out
        counts += (
            torch.bincount(y.reshape(-1), minlength=n_out) if kind == "multiclass" else y.reshape(-1, n_out).sum(0)
        )
    if not bool((counts > 0).all()):
        absent = [k for k in range(n_out) if counts[k] == 0]
        warnings.warn(f"class_weight='balanced': the training data has no step of class {absent}.", stacklevel=3)
    if kind == "multiclass":
        return [float(value) for value in steps / (n_out * counts.clamp(min=1))]
    if full := [k for k in range(n_out) if counts[k] == steps]:
        warnings.warn(f"class_weight='balanced': every step of the training data is of class {full}.", stacklevel=3)
    weight = torch.where((counts > 0) & (counts < steps), (steps - counts) / counts.clamp(min=1), 1.0)
    return [float(value) for value in weight]


def count_flops(state: State, n_steps: int) -> int:
    """Floating-point operations of one forward pass over a signal of `n_steps` steps: two a weight and step, and the
    scores and sums of attention, quadratic in the steps."""
    matrices = [weight for weight in state["weights"].values() if weight.dim() == 2]
    attentions = [weight for name, weight in state["weights"].items() if name.endswith("in_proj_weight")]
    return sum(2 * weight.numel() * n_steps for weight in matrices) + sum(
        4 * weight.shape[1] * n_steps**2 for weight in attentions
    )
