"""A state as an ONNX file for devices: from a signal in its own units to probabilities or values in theirs."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from neurallib.architectures import check_state
from neurallib.checks import as_path, boolean
from neurallib.extras import missing
from neurallib.files import atomic_write
from neurallib.models.folding import check_fold, fold_of, forward_of
from neurallib.models.registry import check_weights
from neurallib.names import hinted, listing
from neurallib.sequences import pad
from neurallib.signals.arrays import as_numbers
from neurallib.signals.conversion import window_steps
from neurallib.signals.normalization import OWN, Scale, check_normalization, signal_scale, target_scale
from neurallib.state import State, changed
from neurallib.storage.onnx_graph import Graph, model_of, n_steps
from neurallib.storage.onnx_networks import NETWORKS, Batch, batch_of, quantized
from neurallib.storage.onnx_scales import in_units, normalized, own_scale
from neurallib.tasks import activate, describe
from neurallib.version import __version__

logger = logging.getLogger(__name__)

TOLERANCE = 1e-5  # of the range of the outputs
LENGTHS = ((67,), (129, 40), (33, 17, 1))  # of the batches that a file is checked with


@hinted
def export_onnx(
    state: State,
    path: str | Path,
    *,
    stateful: bool = False,
    int8: bool = False,
    signals: Sequence[np.ndarray] | None = None,
) -> Path:
    """Write a model as an ONNX file, once ONNX Runtime has run it and said what the state says.

    The graph takes `x` [batch, time, C] float32, a padded batch in the signal's own units at the state's sampling
    frequency, and `lengths` [batch] int64; batch and time may be any. It gives `output` [batch, time, K] (zero beyond a
    length) or [batch, K]: what `predict` gives. Normalization, folding, the sigmoid or softmax and the target's units
    are inside. A state that was trained on windows is to be run on signals no longer than those.

    Parameters
    ----------
    state : State
        Of any of the library's six architectures; stays as it is.
    path : str or Path
        The file, `.onnx`, in a folder that is there.
    stateful : bool
        For streams, of a `gru_seq2seq` in one direction: the graph also takes the hidden states `h0`, `h1`, ..., one
        [batch, H] a layer (zeros at the start of a signal), and gives `h0_next`, ..., to go on with. Of a state that
        folds each piece but the last is to be a multiple of `fold` samples.
    int8 : bool
        Keep the weight matrices of GRUs in 8 bits, a scale a row: a file of about a quarter of the size, not a faster
        one. How far that moves the outputs is measured and told, by logging and in the file.
    signals : sequence of np.ndarray, optional
        Some [T, C] of the model's own kind, in their own units, to check and measure with beside noise.

    Returns
    -------
    Path
        The file. Its metadata hold, as JSON: "architecture", "task", "preprocessing" (with the sampling frequency,
        channels and units), "postprocessing" (with the names of outputs and the settings of events),
        "neurallib_version", "difference" (to `predict`, as a share of the outputs' range) and, with int8=True,
        "int8_change" (likewise, to the float32 weights).

    Raises
    ------
    ModuleNotFoundError
        If onnx or onnxruntime is not installed (extra `onnx`).
    TypeError, ValueError
        If `state` is none, an argument is wrong, or the model cannot be exported in this way, such as one with filters
        (`preprocessing["steps"]`), as those that come along have; nothing is written.
    RuntimeError
        If ONNX Runtime says otherwise than the state, by more than 1e-5 of the outputs' range; nothing is written.

    See Also
    --------
    stream_step : the same in Python, piece by piece.

    Examples
    --------
    >>> import tempfile
    >>> import neurallib as nl
    >>> state = nl.gru_seq2seq(n_features=1, hid_dim=8, n_layers=1, bidirectional=True)
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     path = nl.export_onnx(state, f"{directory}/peaks.onnx")
    ...     path.name
    'peaks.onnx'
    """
    onnx, onnxruntime = _packages()
    state, path = check_state(state), as_path("path", path)
    _check_exportable(state, boolean("stateful", stateful), boolean("int8", int8))
    model = _model(state, stateful, int8)
    checked = _batches(state, signals)
    wanted = [[_answer(state, x) for x in batch] for batch in checked]
    limit = _range(wanted)
    told = {}
    if int8:
        rounded = _rounded(state)
        exact, wanted = wanted, [[_answer(rounded, x) for x in batch] for batch in checked]
        told["int8_change"] = _difference(wanted, exact) / limit
        logger.info("int8 weights move the outputs by %.2g of their range", told["int8_change"])
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # more would look for work on others' cores for some time after each run
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    given = [_run(session, state, batch, stateful) for batch in checked]
    told["difference"] = _difference(given, wanted) / limit
    if not told["difference"] <= TOLERANCE:
        raise RuntimeError(
            f"ONNX Runtime {onnxruntime.__version__} differs from the state by {told['difference']:.2g} of the range "
            f"of the outputs; at most {TOLERANCE:g} was expected. {path} is not written."
        )
    for name, value in told.items():
        model.metadata_props.add(key=name, value=json.dumps(value))
    with atomic_write(path) as temporary:
        onnx.save(model, temporary)
    return path


def _packages() -> tuple[Any, Any]:
    try:
        import onnx
        import onnxruntime
    except ModuleNotFoundError as error:
        raise missing("ONNX files", str(error.name), "onnx") from error
    return onnx, onnxruntime


def _check_exportable(state: State, stateful: bool, int8: bool) -> None:
    check_weights(state)
    name, known, hparams = state["architecture"], state["preprocessing"], state["hparams"]
    check_normalization(known, describe(state))
    if name not in NETWORKS:
        raise ValueError(f"architecture={name!r} cannot be exported; those that can are {listing(NETWORKS, 10)}.")
    if known["steps"]:
        raise ValueError(
            f"preprocessing['steps']={known['steps']!r} cannot be part of a graph. Train on signals that are filtered "
            "beforehand, without steps, and filter alike on the device."
        )
    if known["residual"]:
        raise ValueError("preprocessing['residual'], outputs added to the signal, cannot be part of a graph.")
    if known["normalization"] == "block":
        raise ValueError("normalization='block' cannot be part of a graph: divide by the size of blocks before it.")
    if int8 and not any(map(_is_gru_matrix, state["weights"])):
        raise ValueError(f"int8=True is for the weights of GRUs; {name} has none.")
    if stateful and (name != "GRUseq2seq" or any(hparams["bidir_per_layer"])):
        raise ValueError(
            f"stateful=True is for a gru_seq2seq in one direction; this is a {name}"
            f"{' in both' if name == 'GRUseq2seq' else ''}: what it says of a step depends on what comes after it."
        )
    if stateful and known["normalization"] in OWN:
        raise ValueError(
            f"stateful=True, but the state normalizes each signal by all of it ({known['normalization']!r}), which "
            "a stream does not have: train with normalization='dataset'."
        )


def _model(state: State, stateful: bool, int8: bool) -> Any:
    g, known, task, fold = Graph(), state["preprocessing"], describe(state), fold_of(state)
    hparams = check_fold(fold, task.seq2one, state["hparams"])
    weights = {name: weight.numpy() for name, weight in state["weights"].items()}
    batch = batch_of(g, "x", "lengths")
    own = own_scale(g, batch, str(known["normalization"])) if known["normalization"] in OWN else None
    inside = _folded(g, batch._replace(x=normalized(g, batch, own, known)), fold, task.n_features)
    sizes = [len(weights[f"gru_layers.{i}.weight_hh_l0"]) // 3 for i in range(hparams["n_layers"])] if stateful else []
    states = [f"h{i}" for i in range(len(sizes))]
    value, after = NETWORKS[state["architecture"]](g, weights, hparams, inside, int8, states)
    if fold > 1 and not task.seq2one:
        value = g("Reshape", value, [0, -1, task.n_outputs])
        value = g("Slice", value, [0], g("Shape", "x", start=1, end=2), [1])
    if task.kind != "regression":
        value = g("Softmax", value, axis=-1) if task.kind == "multiclass" else g("Sigmoid", value)
    value = in_units(g, value, own, known)
    value = value if task.seq2one else g("Where", batch.mask, value, 0.0)
    shape: list[Any] = ["batch", task.n_outputs] if task.seq2one else ["batch", "time", task.n_outputs]
    inputs: dict[str, list[Any]] = {"x": ["batch", "time", task.n_features], "lengths": ["batch"]}
    inputs |= {name: ["batch", size] for name, size in zip(states, sizes, strict=True)}
    outputs = {"output": (value, shape)}
    if stateful:
        told = zip(states, after, sizes, strict=True)
        outputs |= {f"{name}_next": (last, ["batch", size]) for name, last, size in told}
    return model_of(g, inputs, outputs, _metadata(state))


def _metadata(state: State) -> dict[str, str]:
    told: dict[str, Any] = {"architecture": state["architecture"], "model_name": state["hparams"]["model_name"]}
    told |= {"task": str(describe(state)), "preprocessing": state["preprocessing"]}
    told |= {"postprocessing": state["postprocessing"], "neurallib_version": __version__}
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in told.items()}


def _folded(g: Graph, batch: Batch, fold: int, n_features: int) -> Batch:
    """The batch with `fold` samples as the features of one step."""
    if fold == 1:
        return batch
    missing = g("Mod", g("Neg", n_steps(g, batch.x)), fold)
    pads = g("Concat", [0, 0, 0, 0], g("Unsqueeze", missing, [0]), [0], axis=0)
    x = g("Reshape", g("Pad", batch.x, pads), [0, -1, fold * n_features])
    return batch_of(g, x, g("Div", g("Add", batch.lengths, fold - 1), fold))


def _is_gru_matrix(name: str) -> bool:
    return ".weight_ih" in name or ".weight_hh" in name


def _rounded(state: State) -> State:
    """The state with the GRU matrices that a file in int8 has."""
    weights = {name: weight.clone() for name, weight in state["weights"].items()}
    for name in filter(_is_gru_matrix, weights):
        whole, scale = quantized(weights[name].numpy())
        weights[name] = torch.from_numpy(whole * scale[:, None])
    return changed(state, weights=weights)


def _batches(state: State, signals: Sequence[np.ndarray] | None) -> list[list[np.ndarray]]:
    """What a file is checked with: noise as large as what the state was trained on, and the signals that were given."""
    known, n_features, rng = state["preprocessing"], describe(state).n_features, np.random.default_rng(0)
    window = window_steps(known) or max(map(max, LENGTHS))
    noise = [[rng.standard_normal((min(n, window), n_features)) for n in lengths] for lengths in LENGTHS]
    if known["normalization"] == "dataset":
        of_all = Scale(np.array(known["x_shift"]), np.array(known["x_scale"]))
        noise = [[of_all.undo(x) for x in batch] for batch in noise]
    given = [as_numbers(x, "signals") for x in signals or ()]
    for x in given:
        if x.ndim != 2 or x.shape[1] != n_features or not len(x):
            raise ValueError(f"signals holds one of shape {x.shape}; expected [T, {n_features}].")
    return [[np.asarray(x, dtype=np.float32) for x in batch] for batch in noise + [[x[:window]] for x in given]]


def _answer(state: State, x: np.ndarray) -> np.ndarray:
    """What the state says of one signal [T, C], as `predict` has it."""
    known, task = state["preprocessing"], describe(state)
    own = signal_scale(x, known)
    given = torch.from_numpy(x if own is None else own.apply(x))[None]
    with torch.inference_mode():
        logits = forward_of(state)(state["weights"], state["hparams"], given, torch.tensor([len(x)]), None, False)
    values: np.ndarray = activate(logits, task.kind)[0].numpy()
    scale = target_scale(own, known) if task.kind == "regression" else None
    return values if scale is None else scale.undo(values).astype(np.float32)


def _run(session: Any, state: State, batch: list[np.ndarray], stateful: bool) -> list[np.ndarray]:
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
    states = {entry.name: np.zeros((len(x), entry.shape[1]), np.float32) for entry in session.get_inputs()[2:]}
    outputs = []
    for start in range(0, x.shape[1], 16 * fold):
        piece = x[:, start : start + 16 * fold]
        left = np.clip(lengths - start, 1, piece.shape[1])
        output, *after = session.run(names, {"x": piece, "lengths": left, **states})
        outputs.append(output)
        states = dict(zip(states, after, strict=True))
    return np.concatenate(outputs, axis=1)


def _difference(some: list[list[np.ndarray]], others: list[list[np.ndarray]]) -> float:
    pairs = [pair for one, two in zip(some, others, strict=True) for pair in zip(one, two, strict=True)]
    return float(max(np.abs(a.astype(np.float64) - b).max() for a, b in pairs))


def _range(answers: list[list[np.ndarray]]) -> float:
    """Of all outputs; a share of the largest where they hardly differ, as float32 rounds values, not differences."""
    values = np.concatenate([part.ravel() for batch in answers for part in batch]).astype(np.float64)
    return float(max(np.ptp(values), 0.05 * np.abs(values).max(), np.finfo(np.float32).tiny))
