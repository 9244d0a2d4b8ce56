"""What a file is checked with before it is written: signals, what the state says of them and what ONNX Runtime does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from neurallib.checks import items
from neurallib.models.folding import fold_of, forward_of
from neurallib.sequences import pad
from neurallib.signals.arrays import as_numbers
from neurallib.signals.conversion import window_steps
from neurallib.signals.normalization import Scale, as_input, target_scale
from neurallib.state import State
from neurallib.tasks import activate, describe

LENGTHS = ((67,), (129, 40), (33, 17, 1))  # of the batches that a file is checked with
LONGER = (1500, 700)  # and of one for filters, which hear further


def batches(state: State, signals: Sequence[np.ndarray] | None, multiple: int = 1) -> list[list[np.ndarray]]:
    """What a file is checked with: noise as large as what the state was trained on, and the signals that were given,
    each a multiple of so many samples."""
    known, n_features, rng = state["preprocessing"], describe(state).n_features, np.random.default_rng(0)
    window, lengths = window_steps(known), LENGTHS + (LONGER,) * bool(known["steps"])
    rounded = [[-(-n // multiple) * multiple for n in batch] for batch in lengths]
    noise = [[rng.standard_normal((n, n_features))[:window] for n in batch] for batch in rounded]
    if known["normalization"] == "dataset":
        of_all = Scale(*(np.array(known[name])[:n_features] for name in ("x_shift", "x_scale")))
        noise = [[of_all.undo(x) for x in batch] for batch in noise]
    shape = getattr(signals, "shape", None)
    if shape is not None and len(shape) < 3:
        raise ValueError(f"signals has shape {tuple(shape)}; expected a sequence of them, such as [signal].")
    listed = () if signals is None else items("signals", signals, "arrays [T, C]")
    given = [as_numbers(x, "signals") for x in listed]
    given = [x[:, None] if x.ndim == n_features == 1 else x for x in given]
    for x in given:
        if x.ndim != 2 or x.shape[1] != n_features or not len(x):
            raise ValueError(f"signals holds one of shape {x.shape}; expected [T, {n_features}].")
    whole = [[x[: max(len(x) // multiple, 1) * multiple] for x in batch] for batch in noise]
    whole += [[x[: len(x) // multiple * multiple]] for x in (x[:window] for x in given) if len(x) >= multiple]
    return [[np.ascontiguousarray(x, dtype=np.float32) for x in batch] for batch in whole]


def answer(state: State, x: np.ndarray) -> np.ndarray:
    """What the state says of one signal [T, C], as `predict` has it."""
    known, task = state["preprocessing"], describe(state)
    made, own = as_input(x, known)
    given = torch.from_numpy(made)[None]
    with torch.inference_mode():
        logits = forward_of(state)(state["weights"], state["hparams"], given, torch.tensor([len(x)]), None, False)
    values: np.ndarray = activate(logits, task.kind)[0].numpy()
    scale = target_scale(own, known) if task.kind == "regression" else None
    return values if scale is None else scale.undo(values).astype(np.float32)


def answers_of(session: Any, state: State, batch: list[np.ndarray], stateful: bool) -> list[np.ndarray]:
    """What ONNX Runtime says of each signal of a padded batch; of a stateful file piece by piece."""
    x, lengths = pad([torch.from_numpy(part) for part in batch])
    if not stateful:
        output = session.run(["output"], {"x": x.numpy(), "lengths": lengths.numpy()})[0]
    else:
        output = _run_pieces(session, x.numpy(), lengths.numpy(), fold_of(state))
    return list(output) if describe(state).seq2one else [row[:n] for row, n in zip(output, lengths, strict=True)]


def _run_pieces(session: Any, x: np.ndarray, lengths: np.ndarray, fold: int) -> np.ndarray:
    """The output of a stateful file that gets the batch in pieces of 16 folds; of a signal that has ended a step."""
    names = [entry.name for entry in session.get_outputs()]
    states = {
        entry.name: np.zeros((len(x), *entry.shape[1:]), np.float64 if "double" in entry.type else np.float32)
        for entry in session.get_inputs()[2:]
    }
    outputs = []
    for start in range(0, x.shape[1], 16 * fold):
        piece = x[:, start : start + 16 * fold]
        left = np.clip(lengths - start, fold, piece.shape[1])
        output, *after = session.run(names, {"x": piece, "lengths": left, **states})
        outputs.append(output)
        states = dict(zip(states, after, strict=True))
    return np.concatenate(outputs, axis=1)


def difference(some: list[list[np.ndarray]], others: list[list[np.ndarray]]) -> float:
    pairs = [pair for one, two in zip(some, others, strict=True) for pair in zip(one, two, strict=True)]
    return float(max(np.abs(a.astype(np.float64) - b).max() for a, b in pairs))


def range_of(answers: list[list[np.ndarray]]) -> float:
    """Of all outputs; a share of the largest where they hardly differ, as float32 rounds values, not differences."""
    values = np.concatenate([part.ravel() for batch in answers for part in batch]).astype(np.float64)
    return float(max(np.ptp(values), 0.05 * np.abs(values).max(), np.finfo(np.float32).tiny))
