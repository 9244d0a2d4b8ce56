"""What a run is remembered by: the trained state, with the training information that goes into its files."""

from __future__ import annotations

import datetime
import math
import statistics
from dataclasses import replace
from typing import Any

from neurallib.devices import gpu_name
from neurallib.functions import function_name
from neurallib.measures.losses import constant_loss
from neurallib.names import is_named
from neurallib.state import State, changed
from neurallib.storage.training_info import OUT_OF_TIME, save_training_information
from neurallib.tasks import describe
from neurallib.training.description import versions
from neurallib.training.measuring import measured
from neurallib.training.monitoring import History
from neurallib.training.run import Fit, Run
from neurallib.warn import warn

_LITTLE = 0.25  # of the training targets' variance: a model with less error than that has learnt something
_ALIKE = 0.1  # of it: answers that differ by less tell nothing of a model, such as those of one person


def trained_state(run: Run, fit: Fit, status: str | None = None) -> State:
    """The run's state with the best weights, and the training information of the run; its status is "finished",
    "interrupted", "out of time" or "diverged", unless another is given."""
    start, given, history = run.state, run.train_set.weights, fit.history
    weights = {  # frozen ones bitwise as they were: a half precision would have rounded them
        name: start["weights"][name] if any(is_named(name, pattern) for pattern in start["frozen"]) else weight
        for name, weight in history.best_weights.items()
    }
    hparams = start["hparams"] | {"learning_rate": fit.learning_rate}  # which a sweep may have found
    ended = "finished" if fit.cut_at is None else OUT_OF_TIME
    return save_training_information(
        changed(start, weights=weights, hparams=hparams),
        None,
        fit.optimizer,
        run.dataset_name,
        run.trained_for,
        history.validation_loss,
        fit.training_time,
        gpu_name(run.device),
        run.retraining,
        run.before if run.retraining else None,
        epochs=len(history.val_losses),
        efficiency_flops=count_flops(start, round(sum(run.train_set.lengths) / len(run.train_set))),
        **{name: run.before[name] for name in ("transfer",) if name in run.before},
        schedule=fit.schedule,
        learning_rate=fit.first_rate,
        loss=None if run.loss is None else function_name(run.loss),
        monitor={**run.monitor._asdict(), "value": history.value},
        trainer_options={name: _plain(value) for name, value in run.trainer_options.items()},
        callbacks=[type(callback).__name__ for callback in run.callbacks],
        loggers=[type(logger).__name__ for logger in run.loggers],
        best_epoch=history.best_epoch,
        weights_of=_weights_of(fit),
        status=status or ("diverged" if fit.diverged else "interrupted" if fit.interrupted else ended),
        interrupted=fit.interrupted,
        diverged=fit.diverged,
        seed=run.seed,
        batch_size=run.batch_size,
        n_processes=fit.n_processes,
        class_weight=start["training_info"]["class_weight"],
        sample_weight=None if given is None else {"min": float(given.min()), "max": float(given.max())},
        augment=None if run.train_set.augmentation is None else function_name(run.train_set.augmentation.function),
        n_train_signals=len(run.train_set),
        train_steps=round(statistics.median(run.train_set.lengths)),
        n_val_signals=len(run.val_set),
        train_losses=history.train_losses,
        val_losses=history.val_losses,
        val_metrics=_by_name(history.metrics),
        finished=datetime.datetime.now().isoformat(timespec="seconds"),
        versions=versions(),
        checkpoints_directory=str(fit.directory.resolve()) if fit.directory is not None else None,
    )


def _by_name(epochs: list[dict[str, float]]) -> dict[str, list[float | None]]:
    """The measures of each epoch beside its loss, as JSON holds them: nan is None."""
    names = [name for name in (epochs[0] if epochs else ()) if name != "val_loss"]
    return {
        name.removeprefix("val_"): [values[name] if math.isfinite(values[name]) else None for values in epochs]
        for name in names
    }


def _weights_of(fit: Fit) -> str:
    if fit.history.best_epoch == 0:
        return "the source"
    return "callbacks at the end of training" if fit.handed_over else "the best epoch"


def _plain(value: Any) -> Any:
    """An option of Lightning's as JSON can hold it: numbers, words, lists of them; anything else as its text."""
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (int, float, str, bool, type(None))) else str(value)


def better_of(run: Run, fit: Fit) -> Fit:
    """What retraining left behind, or the weights that it began with where none of its epochs was better on its own
    validation data. Measured here, on weights that are in the run still: one pass, and the same to the bit."""
    parts = {"limit_val_batches", "fast_dev_run"} & run.trainer_options.keys()  # epochs were measured on less
    if not run.retraining or parts:
        return fit
    before, monitor = measured(run), run.monitor
    value = before[monitor.name]
    if monitor.is_better(fit.history.value, value):
        return fit
    weights = dict(run.state["weights"])
    kept = replace(fit.history, best_weights=weights, best_epoch=0, validation_loss=before["loss"], value=value)
    return fit._replace(history=kept)


def tell_of(run: Run, ended: Fit, result: Fit) -> None:
    """Warn of how a run ended, and of what it ended with, where that is the `better_of` it and its source."""
    _tell_end(run, ended)
    if result is not ended:
        best, before = ended.history, result.history
        warn(
            f"retraining never beat its source: its {run.monitor.best_words} is {best.value:.6g} (epoch "
            f"{best.best_epoch}), the source's {before.value:.6g}. The source's weights are what comes back."
        )
    _tell_if_constant(run, result)
    _tell_if_alike(run, result.history)


def _tell_end(run: Run, ended: Fit) -> None:
    """Warn of a run that ended otherwise than after its last epoch."""
    from pytorch_lightning.callbacks import StochasticWeightAveraging

    history = ended.history
    if any(isinstance(callback, StochasticWeightAveraging) for callback in run.callbacks) and not ended.handed_over:
        reason = "hands its weights over after the last epoch, which this run did not reach"
        warn(f"StochasticWeightAveraging {reason}: the best epoch's weights are kept, not averaged ones.")
    if ended.diverged:
        warn(f"training diverged: {ended.diverged}. The best weights before (epoch {history.best_epoch}) are kept.")
    if ended.interrupted:
        best = f"the best weights so far (epoch {history.best_epoch}) are kept"
        warn(f"training was interrupted in epoch {len(history.val_losses) + 1}: {best}.")
    if ended.cut_at is not None:
        more = "; resume= goes on from there" if run.save else ""
        warn(f"max_time ended training at {ended.cut_at} of {run.epochs} epochs{more}.")


def _tell_if_constant(run: Run, fit: Fit) -> None:
    """Warn of a model that answers no better than one and the same answer would."""
    if "limit_val_batches" in run.trainer_options or run.loss is not None or run.monitor.name != "loss":
        return
    task, loss = describe(run.state), fit.history.validation_loss
    constant = constant_loss(run.val_set, task, run.state["training_info"]["class_weight"])
    of_training = task.kind == "regression" and run.state["preprocessing"]["target_normalization"] == "dataset"
    if constant < 1e-12:
        warn(
            "the best model is no better than a constant: val_data has one and the same answer throughout, which tells "
            "neither what was learnt nor which epoch was best. Validate with signals, and people, whose answers differ."
        )
    elif loss < constant:
        return
    elif of_training and (loss < _LITTLE or constant < _ALIKE):
        warn(
            "the best model is no better than a constant on val_data alone, whose answers differ too little to tell "
            f"how good it is: their variance is {constant:.2g} of the training targets', its loss, in the same unit, "
            f"{loss:.2g}. Validate with more people."
        )
    else:
        told = f"{loss:.4g}, always giving the same answer has {constant:.4g}"
        warn(f"the best model is no better than a constant{_and_what_to_do(run, fit, told)}")


def _and_what_to_do(run: Run, fit: Fit, told: str) -> str:
    """What follows where the loss, and that of one answer, are as is told."""
    n_epochs, best = len(fit.history.val_losses), fit.history.best_epoch
    rate, epochs = f"learning_rate than {fit.first_rate:g}", f"more epochs than {n_epochs}"
    if 1 < n_epochs == best:
        return (
            f" by its validation loss, which still fell in the last epoch: it is {told}. Try {epochs}, or a higher "
            f"{rate}; where events are rare it falls for long."
        )
    if run.patience is not None and 0 < best <= n_epochs - run.patience and n_epochs < run.epochs:
        ended = f"which ended the run after {n_epochs} of {run.epochs} epochs"
        epochs = f"a larger patience than {run.patience}, {ended}"
    return (
        f": its validation loss is {told}. Try another {rate}, {epochs}, another normalization or architecture, and "
        "look at the data as the network gets them: prepare(state, data). Do targets lie where signals tell of them, "
        "as by two clocks they may not?"
    )


def _tell_if_alike(run: Run, history: History) -> None:
    """Warn of weights that were chosen by a measure which no epoch changed, as where a rare class is never found."""
    name, values = run.monitor.name, [of_epoch[run.monitor.key] for of_epoch in history.metrics]
    told = {f"{value:.6g}" for value in values}
    if name != "loss" and len(values) > 1 and len(told - {"nan"}) == 1:
        warn(
            f"monitor={name!r} was {' or '.join(sorted(told))} in each of {len(values)} epochs, which tells none from "
            f"another: the weights are those of epoch {history.best_epoch}, and patience counted from there. Monitor "
            "the loss or another measure, or validate with data in which it can change."
        )


def count_flops(state: State, n_steps: int) -> int:
    """Floating-point operations of one forward pass over a signal of `n_steps` steps: two a weight and step, and the
    scores and sums of attention, quadratic in the steps."""
    matrices = [weight for weight in state["weights"].values() if weight.dim() == 2]
    attentions = [weight for name, weight in state["weights"].items() if name.endswith("in_proj_weight")]
    return sum(2 * weight.numel() * n_steps for weight in matrices) + sum(
        4 * weight.shape[1] * n_steps**2 for weight in attentions
    )
