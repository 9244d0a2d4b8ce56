"""Measuring a state and predicting with it: `evaluate` and `predict`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurallib.architectures import ARCHITECTURES, check_state
from neurallib.checks import choice, integer
from neurallib.devices import configure_device
from neurallib.measures.losses import LossTerms, loss_terms
from neurallib.measures.metrics import Metrics
from neurallib.models.registry import check_weights
from neurallib.names import hinted
from neurallib.progress import progress
from neurallib.signals.batches import collate_fn, cut_batches
from neurallib.signals.folders import SignalFolder
from neurallib.signals.preparing import PreparedData, prepare, prepare_signals
from neurallib.signals.sources import Data, Signals, as_items, is_numbered
from neurallib.state import Batch, State
from neurallib.tasks import TaskKind, activate, describe


@hinted
def evaluate(
    state: State,
    data: Data,
    *,
    batch_size: int = 32,
    gpu_id: int | None = None,
    memory_budget: int = 2**30,
    enable_progress_bar: bool = False,
) -> dict[str, float]:
    """The loss of a state on data, and the metrics of its task.

    Parameters
    ----------
    state : State
        Stays as it is; its normalization is applied to the signals.
    data : sequence of (x, y), torch Dataset, pair of arrays, or what `open_folder` returns
        Signals [T, n_features] and their targets; also an iterable of them, one pair of arrays (x, y), or a pair of
        stacked ones ([N, T, n_features], [N, ...]).
    batch_size : int
        Signals a batch; the numbers do not depend on it.
    gpu_id : int, optional
        Which GPU; by default one where there is one, else the CPU.
    memory_budget : int
        Bytes of prepared signals kept in memory; what is beyond is read again when its batch comes.
    enable_progress_bar : bool
        Show the progress.

    Returns
    -------
    dict of str to float
        "loss", averaged over all valid steps of all signals; for classification "accuracy", "f1" (macro) and "auroc"
        (macro; nan where only one class occurs); for regression "mse", "mae" and "pearson".

    Raises
    ------
    TypeError, ValueError
        If `state` is none, or another argument or a signal is wrong.

    See Also
    --------
    predict : the outputs themselves.
    test_on_test_set : the same for a data folder's test set.

    Examples
    --------
    >>> import neurallib as nl, numpy as np
    >>> state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1)
    >>> measured = nl.evaluate(state, [(np.zeros((100, 1)), np.arange(100)[:, None] % 2)])
    >>> sorted(measured)
    ['accuracy', 'auroc', 'f1', 'loss']
    """
    integer("batch_size", batch_size)
    device, state = configure_device(gpu_id), check_state(state)
    prepared = prepare(state, data, memory_budget=memory_budget, enable_progress_bar=enable_progress_bar)
    task = describe(state)
    terms, metrics = loss_terms(task, state["training_info"].get("class_weight")), Metrics(task)
    sums = torch.zeros(2, dtype=torch.float64)
    for _, batch, logits in _run(state, prepared, batch_size, device, enable_progress_bar):
        sums += torch.stack([part.sum().double().cpu() for part in terms(logits, batch["y"], batch["lengths"])])
        outputs = activate(logits, task.kind).cpu()
        metrics.update(outputs, batch["y"].cpu(), batch["lengths"].cpu())
    return {"loss": float(sums[0] / sums[1])} | metrics.values()


@hinted
def predict(
    state: State,
    signals: Signals,
    *,
    batch_size: int = 32,
    output: str = "probabilities",
    gpu_id: int | None = None,
    enable_progress_bar: bool = False,
) -> list[np.ndarray]:
    """Outputs for signals of any lengths, without padding, in the order given.

    Parameters
    ----------
    state : State
        Stays as it is; its normalization is applied to the signals.
    signals : sequence of array or Tensor, torch Dataset, array, or what `open_folder` returns
        Each [T, n_features], or [T] when n_features is 1; also an iterable of them, one such array by itself, or a
        stack [N, T, n_features]. Targets beside the signals are not looked at.
    batch_size : int
        Signals a batch; the outputs do not depend on it.
    output : str
        "probabilities" (of a regression: its values), or "logits", as the network gives them.
    gpu_id : int, optional
        Which GPU; by default one where there is one, else the CPU.
    enable_progress_bar : bool
        Show the progress.

    Returns
    -------
    list of np.ndarray
        float32, [T, K] a signal; [K] of an architecture with one output a signal. A list of one for one array.

    Raises
    ------
    TypeError, ValueError
        If `state` is none, or another argument or a signal is wrong.

    See Also
    --------
    evaluate : how good the outputs are.
    post_process_peaks_binary : peaks of probabilities.

    Examples
    --------
    >>> import neurallib as nl, numpy as np
    >>> state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1)
    >>> [output.shape for output in nl.predict(state, [np.zeros((100, 1)), np.zeros((80, 1))])]
    [(100, 1), (80, 1)]
    """
    choice("output", output, ("probabilities", "logits"))
    prepared = prepare_signals(state, signals)
    return _predict(state, prepared, batch_size, output == "logits", gpu_id, enable_progress_bar)[0]


@hinted
def iter_predict(
    state: State,
    signals: Signals,
    *,
    batch_size: int = 32,
    output: str = "probabilities",
    gpu_id: int | None = None,
) -> Iterator[np.ndarray]:
    """Outputs one by one, for more signals than fit into memory: neither they nor the outputs pile up.

    Parameters
    ----------
    state : State
        Stays as it is; its normalization is applied to the signals.
    signals : iterable of array or Tensor, torch Dataset, array, or what `open_folder` returns
        Each [T, n_features], or [T] when n_features is 1; a generator is read as outputs are asked for. Targets
        beside the signals are not looked at.
    batch_size : int
        Signals a batch; so many are read ahead at the most.
    output : str
        "probabilities" (of a regression: its values), or "logits", as the network gives them.
    gpu_id : int, optional
        Which GPU; by default one where there is one, else the CPU.

    Returns
    -------
    iterator of np.ndarray
        float32, [T, K] for each signal in the order given; [K] of an architecture with one output a signal.

    Raises
    ------
    TypeError, ValueError
        If `state` is none or another argument is wrong, at once; if a signal is, when its turn comes.

    See Also
    --------
    predict : all outputs in a list.

    Examples
    --------
    >>> import neurallib as nl, numpy as np
    >>> state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1)
    >>> outputs = nl.iter_predict(state, (np.zeros((n, 1)) for n in (100, 80)))
    >>> next(outputs).shape
    (100, 1)
    """
    choice("output", output, ("probabilities", "logits"))
    integer("batch_size", batch_size)
    configure_device(gpu_id)
    check_weights(check_state(state))
    items = as_items(signals, "signals", describe(state).n_features, False, keep=False)
    return _one_by_one(state, _blocks(items, batch_size), batch_size, output == "logits", gpu_id)


def _one_by_one(
    state: State, blocks: Iterator[Any], batch_size: int, raw: bool, gpu_id: int | None
) -> Iterator[np.ndarray]:
    first = 0
    for block in blocks:
        prepared = prepare_signals(state, block, first=first)
        yield from _predict(state, prepared, batch_size, raw, gpu_id, False)[0]
        first += len(block)


def _blocks(items: Any, size: int) -> Iterator[Any]:
    """So many items at a time, of a folder (which keeps their names), a sequence, a Dataset or an iterable."""
    if isinstance(items, SignalFolder):
        yield from (items[i : i + size] for i in range(0, len(items), size))
        return
    rest = (items[i] for i in range(len(items))) if is_numbered(items) else iter(items)
    while block := list(islice(rest, size)):
        yield block


def predict_and_measure(
    state: State, data: Data, *, batch_size: int = 32, gpu_id: int | None = None, enable_progress_bar: bool = False
) -> tuple[list[np.ndarray], list[float]]:
    """What `predict` gives for the signals of `data`, and the loss of each one by itself, in the order given."""
    prepared = prepare(state, data, enable_progress_bar=enable_progress_bar)
    terms = loss_terms(describe(state), state["training_info"].get("class_weight"))
    return _predict(state, prepared, batch_size, False, gpu_id, enable_progress_bar, terms)


def _predict(
    state: State,
    data: PreparedData,
    batch_size: int,
    raw: bool,
    gpu_id: int | None,
    enable_progress_bar: bool,
    terms: LossTerms | None = None,
) -> tuple[list[np.ndarray], list[float]]:
    integer("batch_size", batch_size)
    device = configure_device(gpu_id)
    kind: TaskKind = "regression" if raw else describe(state).kind
    outputs: dict[int, np.ndarray] = {}
    losses: dict[int, float] = {}
    for places, batch, logits in _run(state, data, batch_size, device, enable_progress_bar):
        rows, lengths = activate(logits, kind).cpu().numpy(), batch["lengths"].tolist()
        cut = [row[:n].copy() for row, n in zip(rows, lengths, strict=True)] if logits.dim() == 3 else list(rows)
        outputs |= zip(places, cut, strict=True)
        if terms is not None:
            total, count = terms(logits, batch["y"], batch["lengths"])
            losses |= zip(places, (total / count).tolist(), strict=True)
    return [outputs[i] for i in range(len(data))], [losses[i] for i in sorted(losses)]


def _run(
    state: State, data: PreparedData, batch_size: int, device: torch.device, enable_progress_bar: bool
) -> Iterator[tuple[list[int], Batch, Tensor]]:
    """Batches of similar length, the longest first, with the places of their signals and the network's logits.

    The architecture's pure forward function runs on the state's own weights: a network would be made, with copies of
    them, for each call, which takes longer than a short signal.
    """
    check_weights(state)
    forward, hparams = ARCHITECTURES[state["architecture"]].forward, state["hparams"]
    weights = {name: weight.to(device) for name, weight in state["weights"].items()}
    order = sorted(range(len(data)), key=lambda i: -data.lengths[i])
    batches = cut_batches(order, data.lengths, batch_size)
    for places in progress(batches, enable_progress_bar, unit="batch"):
        batch = collate_fn([data[i] for i in places])
        batch = Batch(x=batch["x"].to(device), y=batch["y"].to(device), lengths=batch["lengths"].to(device))
        with torch.inference_mode():  # left before the yield: the mode would follow into the caller's code
            logits = forward(weights, hparams, batch["x"], batch["lengths"], None, False)
        yield places, batch, logits
