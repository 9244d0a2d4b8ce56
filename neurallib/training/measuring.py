"""What validation measures: the loss, the task's metrics, and functions of one's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurallib.measures.losses import Loss, known_labels, loss_terms
from neurallib.measures.metrics import Metrics
from neurallib.models.registry import build_network
from neurallib.sequences import valid_mask, zero_padding
from neurallib.signals.batches import collate_fn
from neurallib.tasks import Task, activate, describe
from neurallib.training.isolation import isolated
from neurallib.training.optimization import build_optimizer, loss_words
from neurallib.training.placing import is_distributed
from neurallib.training.run import Run
from neurallib.training.schedules import build_schedule, is_each_step
from neurallib.warn import warn

BatchTerms = Callable[..., tuple[Tensor, Tensor]]


def run_terms(run: Run) -> BatchTerms:
    """The run's loss of a batch in two parts: a sum, and what divides it, both with a weight for each signal where they
    have one. A loss of one's own is taken for the mean over the known labels."""
    task, loss = describe(run.state), run.loss
    if loss is None:
        terms = loss_terms(run.state)

        def of_batch(
            logits: Tensor, y: Tensor, lengths: Tensor, weight: Tensor | None = None
        ) -> tuple[Tensor, Tensor]:
            total, count = terms(logits, y, lengths)
            return (total.sum(), count.sum()) if weight is None else (weight @ total, weight @ count)

        return of_batch

    def own(logits: Tensor, y: Tensor, lengths: Tensor, weight: None = None) -> tuple[Tensor, Tensor]:
        # Copies: what it changes in place is not what is measured.
        value = loss(logits.clone(), y.clone(), lengths)
        count = _known(logits, y, lengths, task)[1].sum().to(value.dtype)
        return value * count, count

    return own


class Measuring:
    """The measures of one validation, batch by batch in the order of the data."""

    def __init__(self, run: Run) -> None:
        self._val_set, self._task, self._own = run.val_set, describe(run.state), run.metrics
        self._metrics, self._n_seen = Metrics(self._task), 0
        self._seen: list[tuple[np.ndarray, np.ndarray]] = []

    def update(self, logits: Tensor, y: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Take in a batch; its outputs and targets in their own units and its lengths, on the CPU, come back."""
        places = range(self._n_seen, self._n_seen + len(lengths))
        self._n_seen += len(lengths)
        outputs = self._val_set.in_units(activate(logits.float(), self._task.kind).cpu(), places)
        y = y.float() if y.is_floating_point() else y  # of a precision that numpy does not know
        y, lengths = self._val_set.truth(y.cpu(), places), lengths.cpu()
        self._metrics.update(outputs, y, lengths)
        if self._own:
            self._seen.append(_pooled(outputs, y, lengths, self._task))
        return outputs, y, lengths

    def values(self) -> dict[str, float]:
        """The task's metrics, then those of one's own."""
        return self._metrics.values() | own_values(self._own, self._seen)


def own_values(metrics: Mapping[str, Any], seen: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """What functions give of the outputs and targets of all batches together; TypeError if one gives no number, or
    cannot do with numpy arrays."""
    if not metrics:
        return {}
    outputs, y = (np.concatenate(parts) for parts in zip(*seen, strict=True))
    values = {}
    for name, function in metrics.items():
        try:
            value = function(outputs.copy(), y.copy())
        except (AttributeError, TypeError) as error:
            shapes = f"{outputs.shape} and {y.shape}"
            raise TypeError(f"the metric {name!r}, given numpy arrays of shapes {shapes}: {error}") from error
        try:
            values[name] = float(value)
        except (TypeError, ValueError) as error:
            raise TypeError(f"the metric {name!r} gave a {type(value).__name__}; expected a number.") from error
    return values


def measured(run: Run) -> dict[str, float]:
    """Loss and measures of a run's first weights on its validation data, as every epoch of it is measured."""
    network = build_network(run.state, run.device).eval()
    terms, measuring = run_terms(run), Measuring(run)
    sums = torch.zeros(2, dtype=torch.float64)
    with torch.inference_mode():
        for batch in run.batches(False):
            x, y, lengths = (part.to(run.device) for part in (batch["x"], batch["y"], batch["lengths"]))
            logits = network(x, lengths)
            sums += torch.stack([part.double().cpu() for part in terms(logits, y, lengths)])
            if run.monitor.name != "loss":
                measuring.update(logits, y, lengths)
    return {"loss": float(sums[0] / sums[1])} | (measuring.values() if run.monitor.name != "loss" else {})


def try_functions(run: Run) -> None:
    """Call the loss and the metrics of one's own once, on what outputs may look like, before anything is trained, and
    see that a schedule of one's own is long enough and that the validation data tell what is monitored; the global
    random state stays as it is, whatever they draw. TypeError or ValueError if one does not give what it should, or the
    monitored measure is nan; what they raise themselves comes through."""
    with isolated(run.seed):
        if callable(run.schedule):
            _try_schedule(run)
        _try_measures(run)


def _try_measures(run: Run) -> None:
    task, generator = describe(run.state), torch.Generator().manual_seed(0)
    if run.loss is not None:
        batch = collate_fn([run.val_set[i] for i in range(min(2, len(run.val_set)))])
        logits = _made_up(batch["y"], task, generator).requires_grad_()
        value = run.loss(logits.clone(), batch["y"].clone(), batch["lengths"])
        if not isinstance(value, Tensor) or value.dim() or not value.requires_grad:
            came = loss_words(value)
            raise TypeError(f"the function loss gave {came}; expected a scalar Tensor with a gradient by the logits.")
        uneven = any(len({*part.lengths}) > 1 for part in (run.train_set, run.val_set))
        if uneven and run.batch_size > 1 and not task.seq2one:
            _tell_if_padding_counts(run.loss, logits, batch["y"], (batch["lengths"] - 1).clamp(min=1))
    name = run.monitor.name
    if run.metrics or name != "loss":
        measuring = Measuring(run)
        for batch in run.batches(False):
            measuring.update(_made_up(batch["y"], task, generator), batch["y"], batch["lengths"])
            if not run.metrics and not np.isnan(measuring.values()[name]):
                return  # what some of the data tell all of them do
        values = {"loss": 0.0} | measuring.values()
        if np.isnan(values[name]) and name not in run.metrics:
            way = "validate with data of every class, or monitor the loss"
            raise ValueError(f"monitor={name!r}: val_data lacks labels that {name} needs, which would be nan; {way}.")


def _try_schedule(run: Run) -> None:
    """Raise ValueError where a schedule is too short for the run, whose steps its numbers alone decide; of others
    Lightning says how many they are when it begins."""
    from pytorch_lightning.callbacks import GradientAccumulationScheduler

    options = run.trainer_options
    others = any(isinstance(callback, GradientAccumulationScheduler) for callback in run.callbacks)
    others |= not options.keys().isdisjoint({"limit_train_batches", "overfit_batches", "fast_dev_run"})
    if others or is_distributed(run.placement):
        return
    n_steps = run.epochs * math.ceil(len(run.batches(True)) / options.get("accumulate_grad_batches", 1))
    if (most := options.get("max_steps", -1)) != -1:
        n_steps = min(n_steps, most)
    network, hparams = build_network(run.state), run.state["hparams"]
    optimizer = build_optimizer(network, hparams, run.layer_learning_rates, True, run.optimizer)
    is_each_step(build_schedule(run.schedule, optimizer, n_steps), n_steps, run.epochs)


def _tell_if_padding_counts(loss: Loss, logits: Tensor, y: Tensor, lengths: Tensor) -> None:
    """Warn of a loss that changes with logits beyond the lengths, where it gives the same for the same."""
    padding, y = ~valid_mask(lengths, logits.shape[1])[:, :, None], zero_padding(y, lengths)
    there, again, other = (
        loss(given.clone(), y.clone(), lengths).item()
        for given in (logits, logits, torch.where(padding, 1 + logits, logits))
    )
    if there == again and not math.isclose(there, other, rel_tol=1e-6):
        warn(
            "the function loss counts what lies beyond a signal's length, which is padding: what is learnt hangs on "
            "which signals share a batch. nl.valid_mask(lengths, logits.shape[1]) tells what to leave out."
        )


def _made_up(y: Tensor, task: Task, generator: torch.Generator) -> Tensor:
    """Logits at random, of the shape that targets go with."""
    leading = y.shape[:1] if task.seq2one else y.shape[:2]
    return torch.randn(*leading, task.n_outputs, generator=generator)


def _known(logits: Tensor, y: Tensor, lengths: Tensor, task: Task) -> tuple[Tensor, Tensor]:
    """The labels in the shape that the loss wants, and which of them are known and within their signals."""
    y = y.reshape(logits.shape[:-1] if task.kind == "multiclass" else logits.shape)
    return y, known_labels(y, task, None if task.seq2one else lengths)


def _pooled(outputs: Tensor, y: Tensor, lengths: Tensor, task: Task) -> tuple[np.ndarray, np.ndarray]:
    """The steps (or signals) of which a label is known, one after the other: [N, K], and y [N, K] or [N]."""
    y, known = _known(outputs, y, lengths, task)
    some = known if task.kind == "multiclass" else known.any(-1)
    return outputs[some].numpy(), y[some].numpy()
