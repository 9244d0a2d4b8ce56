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
from neurallib.extras import needed
from neurallib.files import as_plain, atomic_write
from neurallib.models.folding import check_fold, fold_of, signal_scale_of
from neurallib.models.registry import check_numbers, check_weights
from neurallib.names import hinted, listing
from neurallib.signals.normalization import OWN, check_normalization
from neurallib.state import State, changed
from neurallib.steps import apply_steps, are_causal, n_inputs
from neurallib.storage.onnx_check import answer, answers_of, batches, difference, range_of
from neurallib.storage.onnx_graph import BOOL, DOUBLE, FLOAT, INT32, INT64, Graph, Port, model_of, n_steps
from neurallib.storage.onnx_networks import NETWORKS, Batch, Net, batch_of, quantized
from neurallib.storage.onnx_scales import in_units, normalized, own_scale
from neurallib.storage.onnx_steps import stepped
from neurallib.tasks import describe
from neurallib.version import __version__

logger = logging.getLogger(__name__)

TOLERANCE = 1e-5  # of the range of the outputs


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
    frequency, and `lengths` [batch] int64 from 1 to time; batch and time may be any. It gives `output` [batch, time, K]
    (zero beyond a length) or [batch, K]: what `predict` gives. A signal with a value that is not finite within its
    length, which `predict` refuses, or with no such length has nan for all of its outputs.

    Steps (filters), normalization, folding, what is added to a signal, the sigmoid or softmax and the target's units
    are inside; resampling, the choice of events and windows are not. A state that was trained on windows is to be run
    on signals no longer than those: windows that overlap by a fifth, each step answered by the one in whose middle it
    lies, are what `predict_recording` takes.

    Parameters
    ----------
    state : State
        Of any of the library's six architectures; stays as it is.
    path : str or Path
        The file, `.onnx`, in a folder that is there.
    stateful : bool
        For streams, of a `gru_seq2seq` in one direction with causal steps or none: the graph also takes the hidden
        states `h0`, `h1`, ..., one [batch, H] a layer, float32, and those of filters `f0`, `f1`, ..., [batch, C, n]
        float64, all zeros at the start of a signal, and gives `h0_next`, ..., `f0_next`, ..., to go on with. A piece
        that is answered by nan gives the states that it was given: the stream goes on as if it had not been. Of a
        state that folds so is a piece that is no multiple of `fold` samples: hand in what is over with the next one.
    int8 : bool
        Keep the weight matrices of GRUs in 8 bits, a scale a row: a file of about a quarter of the size, not a faster
        one. How far that moves the outputs is measured and told, by logging and in the file.
    signals : sequence of np.ndarray, optional
        Some [T, C] (or [T] where C is 1) of the model's own kind, in their own units, to check and measure with beside
        noise.

    Returns
    -------
    Path
        The file. Its metadata hold as text "architecture", "model_name", "task" and "neurallib_version", and as JSON
        "preprocessing" (with the sampling frequency, channels, units, the window in seconds and the fold),
        "postprocessing" (with the names of outputs and the settings of events: threshold and, in seconds, smoothing and
        min_distance, by which `find_events` finds them; the delay, which is then taken off; snap and doubt, which are
        for `find_r_peaks` and no part of the graph), "difference" (to `predict`, as a share of the outputs' range)
        and, with int8=True, "int8_change" (likewise, to the float32 weights).

    Raises
    ------
    ModuleNotFoundError
        If onnx or onnxruntime is not installed (extra `onnx`).
    TypeError, ValueError
        If `state` is none, an argument is wrong, or the model cannot be exported in this way, such as to a stream what
        hears the future; nothing is written.
    RuntimeError
        If ONNX Runtime says otherwise than the state, by more than 1e-5 of the outputs' range; nothing is written.

    See Also
    --------
    stream_step : the same in Python, piece by piece.
    load_pretrained : models that can go to a device as they are.

    Examples
    --------
    >>> import tempfile
    >>> import neurallib as nl, numpy as np, onnxruntime
    >>> signal, _ = nl.synthetic_ecg(duration=10, sampling_frequency=125, seed=1)
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     path = nl.export_onnx(nl.load_pretrained("ecg_r_peaks"), f"{directory}/ecg_r_peaks.onnx")
    ...     session = onnxruntime.InferenceSession(path)  # on the device, without neurallib
    >>> x = signal[None, :, None].astype(np.float32)
    >>> (output,) = session.run(["output"], {"x": x, "lengths": np.array([len(signal)])})
    >>> output.shape
    (1, 1250, 1)
    """
    onnx, onnxruntime = (needed("ONNX files", package, "onnx") for package in ("onnx", "onnxruntime"))
    state, path = check_state(state), as_path("path", path)
    if path.suffix != ".onnx" or path.is_dir():
        raise ValueError(f"path={str(path)!r}; expected a file that ends in .onnx.")
    _check_exportable(state, boolean("stateful", stateful), boolean("int8", int8))
    model = _model(state, stateful, int8)
    checked = batches(state, signals, fold_of(state) if stateful else 1)
    wanted = [[answer(state, x) for x in batch] for batch in checked]
    limit = range_of(wanted)
    told = {}
    if int8:
        rounded = _rounded(state)
        exact, wanted = wanted, [[answer(rounded, x) for x in batch] for batch in checked]
        told["int8_change"] = difference(wanted, exact) / limit
        logger.info("int8 weights move the outputs by %.2g of their range", told["int8_change"])
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # more would look for work on others' cores for some time after each run
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    given = [answers_of(session, state, batch, stateful) for batch in checked]
    told["difference"] = difference(given, wanted) / limit
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


def _check_exportable(state: State, stateful: bool, int8: bool) -> None:
    check_weights(state)
    check_numbers(state["weights"], "the state's weights")
    name, known, hparams = state["architecture"], state["preprocessing"], state["hparams"]
    check_normalization(known, describe(state))
    if name not in NETWORKS:
        raise ValueError(f"architecture={name!r} cannot be exported; those that can are {listing(NETWORKS, 10)}.")
    # Raises where the rate does not do.
    apply_steps(np.zeros((1, hparams["n_features"])), known["steps"], known["sampling_frequency"])
    if int8 and not any(map(_is_gru_matrix, state["weights"])):
        raise ValueError(f"int8=True is for the weights of GRUs; {name} has none.")
    if stateful and (name != "GRUseq2seq" or any(hparams["bidir_per_layer"])):
        raise ValueError(
            f"stateful=True is for a gru_seq2seq in one direction; this is a {name}"
            f"{' in both' if name == 'GRUseq2seq' else ''}: what it says of a step depends on what comes after it."
        )
    if stateful and not are_causal(known["steps"]):
        raise ValueError(
            f"stateful=True, but preprocessing['steps']={known['steps']!r} hears what comes after, which a stream does "
            "not have: train with 'causal': True in each step, as load_pretrained(\"ecg_r_peaks_stream\") was."
        )
    if stateful and known["normalization"] in OWN:
        raise ValueError(
            f"stateful=True, but the state normalizes each signal by all of it ({known['normalization']!r}), which "
            "a stream does not have: train with normalization='dataset'."
        )


def _model(state: State, stateful: bool, int8: bool) -> Any:
    g, known, task, fold = Graph(), state["preprocessing"], describe(state), fold_of(state)
    hparams = check_fold(fold, task.seq2one, state["hparams"], known["steps"])
    weights = {name: weight.numpy() for name, weight in state["weights"].items()}
    batch, unheard = _given(g, "x", "lengths", fold if stateful else 1)
    each_step = g("Unsqueeze", unheard, [2])
    batch, filters = stepped(g, batch, known["steps"], known["sampling_frequency"], task.n_features, stateful)
    own = own_scale(g, batch, known) if known["normalization"] in OWN else None
    batch = batch._replace(x=normalized(g, batch, own, known))
    inside = _folded(g, batch, fold, n_inputs(task.n_features, known["steps"]))
    sizes = [len(weights[f"gru_layers.{i}.weight_hh_l0"]) // 3 for i in range(hparams["n_layers"])] if stateful else []
    states = [f"h{i}" for i in range(len(sizes))]
    value, after = NETWORKS[state["architecture"]](Net(g, weights, hparams, int8), inside, states)
    if fold > 1 and not task.seq2one:
        value = g("Reshape", value, [0, -1, task.n_outputs])
        value = g("Slice", value, [0], g("Shape", "x", start=1, end=2), [1])
    if (scale := signal_scale_of(state)) is not None:
        value = g("Add", value, g("Mul", g("Slice", batch.x, [0], [task.n_outputs], [2]), scale.numpy()))
    if task.kind != "regression":
        value = g("Softmax", value, axis=-1) if task.kind == "multiclass" else g("Sigmoid", value)
    value = in_units(g, value, own, known)
    value = g("Where", unheard if task.seq2one else each_step, np.nan, value)
    value = value if task.seq2one else g("Where", batch.mask, value, 0.0)
    shape: list[Any] = ["batch", task.n_outputs] if task.seq2one else ["batch", "time", task.n_outputs]
    inputs = {"x": Port(["batch", "time", task.n_features]), "lengths": Port(["batch"], INT64)}
    outputs = {"output": Port(shape, value=value)}
    ports = {name: Port(["batch", n], value=last) for name, n, last in zip(states, sizes, after, strict=False)}
    ports |= {name: Port(["batch", *held.size], DOUBLE, held.after) for name, held in filters.items()}
    for name, port in ports.items():  # what cannot be answered leaves no trace
        kept = g("Where", unheard if port.kind == FLOAT else each_step, name, port.value)
        outputs[f"{name}_next"] = port._replace(value=kept)
    return model_of(g, inputs | ports, outputs, _metadata(state))


def _metadata(state: State) -> dict[str, str]:
    told: dict[str, Any] = {"architecture": state["architecture"], "model_name": state["hparams"]["model_name"]}
    told |= {"task": str(describe(state)), "preprocessing": state["preprocessing"]}
    told |= {"postprocessing": state["postprocessing"], "neurallib_version": __version__}
    return {
        name: value if isinstance(value, str) else json.dumps(value, default=as_plain) for name, value in told.items()
    }


def _given(g: Graph, x: str, lengths: str, multiple: int) -> tuple[Batch, str]:
    """The batch of a graph's inputs, and which of its signals cannot be answered, [B, 1] bool: those with a value that
    is not finite, here 0, which can be sorted, or a length that is not from 1 to T, here the nearest that is, or no
    multiple of what it has to be of."""
    n = g("Max", g("Min", lengths, n_steps(g, x)), 1)
    batch = batch_of(g, x, n)
    finite = g("Less", g("Abs", batch.x), np.inf)
    all_finite = g("ReduceMin", g("Cast", finite, to=INT32), [1, 2], keepdims=0)
    heard = g("And", g("Cast", all_finite, to=BOOL), g("Equal", n, lengths))
    if multiple > 1:
        heard = g("And", heard, g("Equal", g("Mod", n, multiple), 0))
    return batch._replace(x=g("Where", finite, batch.x, 0.0)), g("Unsqueeze", g("Not", heard), [1])


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
