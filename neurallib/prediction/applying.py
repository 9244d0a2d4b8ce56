"""A state applied to prepared data: signals whole or window by window, answers on the clock of what was handed in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from neurallib.measures.losses import LossTerms
from neurallib.models.folding import forward_of
from neurallib.models.registry import check_weights
from neurallib.prediction.certainty import check_rate, sums_of
from neurallib.prediction.windows import cut, mapped_back
from neurallib.progress import progress
from neurallib.sequences import pad
from neurallib.signals.batches import MAX_PADDED_STEPS, cut_batches
from neurallib.signals.normalization import Scale, as_inputs, by_window, target_scale
from neurallib.signals.prepared import PreparedData
from neurallib.state import State, Weights
from neurallib.steps import warm_up
from neurallib.tasks import Task, activate

Apply = Callable[[Tensor, Tensor], Tensor]


class AnsweredBatch(NamedTuple):
    """What a network says of some signals, as many steps as they were handed in with."""

    places: list[int]  # of the signals in the data
    logits: Tensor  # [B, T, K] or [B, K], on the device
    y: Tensor  # the targets of the same batch, normalized as the loss takes them
    truth: Tensor  # and in their own units, on the CPU
    lengths: Tensor  # [B]
    scale: Scale | None  # of the targets: [B, 1 or T, K] or [B, K]

    def outputs(self, task: Task) -> Tensor:
        """Probabilities, or values in the target's own units, on the CPU."""
        values = activate(self.logits, task.kind).cpu()
        return values if self.scale is None else torch.from_numpy(self.scale.undo(values.numpy())).float()


def applied(state: State, device: torch.device) -> Apply:
    """The state as a function (x [B, T, C], lengths [B]) -> logits, on the device.

    The architecture's pure forward function runs on the state's own weights: a network would be made, with copies of
    them, for each call, which takes longer than a short signal.
    """
    check_weights(state)
    forward, hparams = forward_of(state), state["hparams"]
    weights: Weights = state["weights"]
    if device.type != "cpu":
        weights = {name: weight.to(device) for name, weight in weights.items()}

    def apply(x: Tensor, lengths: Tensor) -> Tensor:
        with torch.inference_mode():  # left before anything is yielded: the mode would follow into the caller's code
            return forward(weights, hparams, x.to(device), lengths.to(device), None, False)

    return apply


def answers(
    state: State, data: PreparedData, batch_size: int, device: torch.device, enable_progress_bar: bool
) -> Iterator[AnsweredBatch]:
    """Batches of similar length, the longest first. A signal that is taken in windows comes by itself. Where nobody
    says their rate, a word at the end if it may be another."""
    apply, task = applied(state, device), data.task
    order = sorted(range(len(data.lengths)), key=lambda i: -data.lengths[i])
    long = [[i] for i in order if data.cut(i)]
    batches = long + cut_batches([i for i in order if not data.cut(i)], data.lengths, batch_size)
    sums, untold = np.zeros(3), data.handed.untold and "doubt" in state["postprocessing"]["events"]
    for places in progress(batches, enable_progress_bar, unit="batch"):
        if len(places) == 1 and (window := data.cut(places[0])):
            made = _in_windows(apply, data, places[0], window)
        else:
            made = _whole(apply, data, places)
        if untold:
            rows = zip(made.outputs(task).numpy(), made.lengths.tolist(), strict=True)
            sums += sums_of(np.concatenate([row[:n] for row, n in rows]))[:, 0]
        yield made
    if untold:
        check_rate(sums, data.preprocessing["sampling_frequency"])


def outputs_and_losses(
    batches: Iterable[AnsweredBatch], task: Task, raw: bool, terms: LossTerms | None = None
) -> tuple[list[np.ndarray], list[float]]:
    """The outputs for signals in their order, `raw` for logits; with `terms` also the loss of each that has a known
    label."""
    outputs: dict[int, np.ndarray] = {}
    losses: dict[int, float] = {}
    for some in batches:
        rows, lengths = (some.logits.cpu() if raw else some.outputs(task)).numpy(), some.lengths.tolist()
        cut = list(rows) if task.seq2one else [row[:n].copy() for row, n in zip(rows, lengths, strict=True)]
        outputs |= zip(some.places, cut, strict=True)
        if terms is not None:
            total, count = terms(some.logits, some.y, some.lengths)
            parts = zip(some.places, total.tolist(), count.tolist(), strict=True)
            losses |= {place: part / n for place, part, n in parts if n}
    return [outputs[i] for i in sorted(outputs)], [losses[i] for i in sorted(losses)]


def _whole(apply: Apply, data: PreparedData, places: list[int]) -> AnsweredBatch:
    task = data.task
    xs, ys = zip(*(data[i] for i in places), strict=True)
    # One by itself needs no copy, nor torch's way to make a tensor of a list: a tenth of what a short signal takes.
    x, lengths = pad(xs) if len(xs) > 1 else (xs[0][None], torch.full((1,), data.lengths[places[0]]))
    given = [data.given_lengths[i] for i in places]
    logits = apply(x, lengths)
    if not task.seq2one and data.handed.conversion.resamples:
        rows = [_given_steps(row[:n], m, data) for row, n, m in zip(logits, lengths, given, strict=True)]
        logits, lengths = pad(rows)
    if len(ys) == 1:
        y = ys[0][None]
    else:
        y = torch.stack(ys) if task.seq2one or not ys[0].numel() else pad(ys)[0]
    if (scale := data.scales(places)) is not None:
        scale = scale.over_steps(logits.dim())
    truth = data.truth(y, places) if y.numel() else y
    return AnsweredBatch(places, logits, y.to(logits.device), truth, lengths.to(logits.device), scale)


def _in_windows(apply: Apply, data: PreparedData, i: int, window: int) -> AnsweredBatch:
    """Windows that overlap by half, each normalized as in training; every step has the answer of the window in whose
    middle it lies, and a model of one output a signal the mean of all."""
    (x, y), task, known = data[i], data.task, data.preprocessing
    of_window = known["target_normalization"] == "signal"
    windows = cut(0, len(x), window, max(1, window // 2))
    warm = warm_up(known["steps"], known["sampling_frequency"])
    parts: list[Tensor] = []
    scales: list[Scale] = []
    size = max(1, MAX_PADDED_STEPS // window)
    for first in range(0, len(windows), size):
        some = windows[first : first + size]
        made: list[tuple[np.ndarray, Scale | None]] = []
        if by_window(known):
            starts = [one.begin(warm) for one in some]
            given = [(x[a : one.stop].numpy(), before) for one, (a, before) in zip(some, starts, strict=True)]
            made = as_inputs(given, known)
        xs = [values for values, _ in made] or [x[one.start : one.stop].numpy() for one in some]
        logits = apply(torch.from_numpy(np.stack(xs)), torch.full((len(some),), window))
        for k, (one, rows) in enumerate(zip(some, logits, strict=True)):
            parts.append(rows if task.seq2one else rows[one.low - one.start : one.high - one.start])
            if of_window and (scale := target_scale(made[k][1], known)):
                scales.append(Scale(*(np.broadcast_to(part, parts[-1].shape) for part in scale)))
    logits = torch.stack(parts).mean(dim=0) if task.seq2one else torch.cat(parts)
    n_given = data.given_lengths[i]
    scale = data.scales([i])
    truth = data.truth(y[None], [i]) if y.numel() and not of_window else y[None]
    if scales:
        scale = Scale(*(_at_steps(np.concatenate(side), n_given)[None] for side in zip(*scales, strict=True)))
        y = torch.from_numpy(scale.apply(y.numpy()[None])[0]) if y.numel() else y
    elif scale is not None:
        scale = scale.over_steps(1 + logits.dim())
    if not task.seq2one and data.handed.conversion.resamples:
        logits = _given_steps(logits, n_given, data)
    lengths = torch.tensor([n_given], device=logits.device)
    return AnsweredBatch([i], logits[None], y[None].to(logits.device), truth, lengths, scale)


def _given_steps(logits: Tensor, n_given: int, data: PreparedData) -> Tensor:
    """Logits [n, K] for the steps that were handed in."""
    values = mapped_back(logits.cpu().numpy(), n_given, data.handed.conversion.rate, data.task)
    return torch.from_numpy(values.astype(np.float32)).to(logits.device)


def _at_steps(values: np.ndarray, n: int) -> np.ndarray:
    """Values [m, K], constant but for a few steps, at `n` steps of the same time."""
    return values if len(values) == n else values[np.minimum(np.arange(n) * len(values) // n, len(values) - 1)]
