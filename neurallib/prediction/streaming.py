"""Streams: a model applied to signals piece by piece as they come, with all that must carry on in one plain dict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurallib.architectures import check_state
from neurallib.checks import integer
from neurallib.formats import STREAM
from neurallib.models.folding import fold_of
from neurallib.models.gru_forward import gru_going_on
from neurallib.models.network import Network, weights_of
from neurallib.names import hinted
from neurallib.prediction.stream_checks import check_carry, check_said, check_streamable
from neurallib.prediction.stream_events import new_events, next_events
from neurallib.signals.arrays import as_numbers
from neurallib.signals.normalization import Scale, signal_scale, target_scale
from neurallib.state import State
from neurallib.steps import apply_steps, check_steps, n_inputs, steps_going_on
from neurallib.tasks import activate, describe

Carry = dict[str, Any]


@hinted
def init_stream(
    state: State,
    *,
    batch_size: int = 1,
    look_ahead: float | None = None,
    sampling_frequency: float | None = None,
    channels: Sequence[str] | None = None,
    units: Sequence[str] | str | None = None,
) -> Carry:
    """What a stream starts with; `stream_step` takes it on.

    A `gru_seq2seq` in one direction keeps its hidden states and answers every sample at once, and exactly. One in both
    directions hears `look_ahead` seconds more before it answers, and as many before: the network runs again over what
    is kept of the signal, so that a step takes so much longer, and answers differ from those of the whole signal the
    less the longer it is.

    Parameters
    ----------
    state : State
        Of `gru_seq2seq`, with normalization "dataset" or None and no steps but causal ones; stays as it is. Events
        are found where it is binary and its `postprocessing["events"]` is not empty, by the rule of `find_events`.
    batch_size : int
        B, streams that go on together, of one rate.
    look_ahead : float, optional
        Seconds; only for a state in both directions, which needs it.
    sampling_frequency : float, optional
        Hz, of what will come; no more than 5 % from the state's, which it is taken for. Of other rates, channels and
        units an error says what is to be done to pieces: a stream resamples and converts nothing.
    channels, units : sequence of str (units also str), optional
        Of what will come.

    Returns
    -------
    dict
        The carry: numbers, text and tensors alone, so that `torch.save` keeps it and
        `torch.load(path, weights_only=True)` gives it back. It does not grow.

    Raises
    ------
    TypeError, ValueError
        If `state` is none or cannot be run on a stream, with the way out; an argument is wrong, or says that signals
        are none of the state's.

    See Also
    --------
    stream_step : the next piece of the signals.
    export_onnx : the same without Python, with stateful=True.

    Notes
    -----
    `benchmarks/bench_streams.py` trains a model in both directions to find R-peaks and measures how far its answers are
    from those of the whole signal. In two trainings probabilities were at most 0.03 off with a look-ahead of 0.25 s,
    0.006 with 0.5 s and 0.0003 with 1 s; the R-peaks were the same.

    A device of 360 Hz gives "ecg_r_peaks_stream" the means of 3 samples, 120 Hz for its 125: on the first 5 minutes of
    22 records of the MIT-BIH Arrhythmia Database F1 was 0.9946 (within 150 ms; 0.9948 at 125 Hz), and from 0.9946 to
    0.9948 at 119, 128 and 130 Hz. As it comes, at 360 Hz, it was 0.99, 0.86 and 0.86 on the first 2 minutes of three
    records, instead of 1.00, 1.00 and 1.00.

    Examples
    --------
    >>> import neurallib as nl
    >>> state = nl.gru_seq2seq(n_features=1, hid_dim=8, n_layers=1)
    >>> carry = nl.init_stream(state, batch_size=64)
    >>> carry["hidden"][0].shape
    torch.Size([1, 64, 8])
    """
    state = check_state(state)
    integer("batch_size", batch_size)
    check_streamable(state, look_ahead)
    check_said(state, sampling_frequency, channels, units)
    known, task = state["preprocessing"], describe(state)
    rate, hidden = known["sampling_frequency"], []
    if look_ahead is None:
        sizes = (weight.shape[1] for name, weight in state["weights"].items() if name.endswith("weight_hh_l0"))
        hidden = [torch.zeros(1, batch_size, size) for size in sizes]
    events = None
    if task.kind == "binary" and state["postprocessing"]["events"]:
        events = new_events(state["postprocessing"]["events"], rate, batch_size)
    carry: Carry = {
        "format": STREAM,
        "kind": task.kind,
        "n_outputs": task.n_outputs,
        "fold": fold_of(state),
        "look_ahead": None if look_ahead is None or rate is None else round(look_ahead * rate),  # samples
        "x_scale": _numbers(signal_scale(np.zeros((0, task.n_features)), known)),
        "y_scale": _numbers(target_scale(None, known)),
        "hidden": hidden,
        # Samples as the network takes them, those that are needed once more.
        "kept": torch.zeros(batch_size, 0, n_inputs(task.n_features, known["steps"])),
        "n_samples": 0,  # that came
        "n_answered": 0,
        "ended": False,
        "events": events,
    }
    if known["steps"]:
        named = check_steps(known["steps"])
        apply_steps(np.zeros((1, task.n_features)), named, rate)  # raises where the rate does not do
        carry["steps"] = {"named": named, "rate": rate, "held": None}
    return carry


@hinted
def stream_step(
    network: Network, chunk: np.ndarray | Tensor | None, carry: Mapping[str, Any]
) -> tuple[np.ndarray, Carry]:
    """Take the next piece of the signals, of any length, and give the answers that are ready.

    Cut into whatever pieces, a signal has the answers of `predict` for the whole of it, where the network is of one
    direction. Of one in both directions they are late by the look-ahead; where `fold` is above 1, they come for whole
    folds. The last come when the stream is ended by `chunk=None`.

    Parameters
    ----------
    network : Network
        `build_network(state).eval()`, on any device.
    chunk : array, Tensor or None
        [n, C] (or [n] where C is 1) of one stream, or [B, n, C], in the signal's own units and at the state's sampling
        frequency. None ends the streams.
    carry : dict
        What `init_stream` or the step before gave; stays as it is.

    Returns
    -------
    output : np.ndarray
        float32 [n, K], or [B, n, K] where there are several streams or the chunk had three dimensions: probabilities,
        or values in their own units, of the samples from `carry["n_answered"]` on.
    carry : dict
        For the next step. Its "events", of a model that finds them, tells in "found" those that became certain in this
        step: a tensor int64 [n] a stream, in samples since its start. An event is certain once its probability has
        fallen and no other may come within `min_distance`. Where the state's events say a "delay", by which answers
        are later than what they are about, it is taken off.

    Raises
    ------
    TypeError, ValueError
        If the network is none or is training, the carry is none of this network's or a later version's, the chunk does
        not fit it or is not finite, or the stream has ended.

    See Also
    --------
    init_stream : the first carry.
    predict : whole signals.

    Notes
    -----
    Where samples are missing, hand in the last value before them: left out, they would not be counted. With 96 ms lost
    in each 2 s, of 2 minutes of 22 records, F1 was 0.976 so, 0.980 with a straight line across, as `predict_recording`
    hears, and 0.994 without losses. On five records
    of the MIT-BIH Arrhythmia Database, with a lead held so for 0.1 to 50 s, "ecg_r_peaks_stream" missed no more beats
    outside than without, and found none inside. Its "slew_limit" keeps spikes from making its "local_gain" deaf: one
    sample (8 ms) of up to 100 V cost no beat on eleven records, 24 ms at most 4 (69 without). What stays for longer is
    let in, as a new offset is: 96 ms of 50 mV cost up to 11 beats, of 1 V 35.

    Examples
    --------
    >>> import neurallib as nl, numpy as np
    >>> state = nl.gru_seq2seq(n_features=1, hid_dim=8, n_layers=1)
    >>> network, carry = nl.build_network(state).eval(), nl.init_stream(state)
    >>> signal, answers = np.random.default_rng(0).standard_normal((100, 1)), []
    >>> for chunk in np.split(signal, [36, 72]):
    ...     output, carry = nl.stream_step(network, chunk, carry)
    ...     answers.append(output)
    >>> bool(np.allclose(np.concatenate(answers), nl.predict(state, [signal])[0], atol=1e-5))
    True
    """
    if not isinstance(network, Network):
        raise TypeError(f"network is a {type(network).__name__}; expected build_network(state).eval().")
    if network.training:
        raise ValueError("network is in training mode; a stream needs build_network(state).eval().")
    weights = weights_of(network)
    if (dtype := next(iter(weights.values())).dtype) != torch.float32:
        raise ValueError(f"network is in {dtype}; a stream goes through one in float32: network.float().")
    check_carry(carry, weights)
    if carry["ended"]:
        raise ValueError("the stream has ended (chunk=None was its last); init_stream starts another.")
    given = None if chunk is None else as_numbers(chunk, "chunk", gaps=True)
    n_streams, single = len(carry["kept"]), given is None or given.ndim < 3
    device = weights["gru_layers.0.weight_ih_l0"].device
    with torch.no_grad():
        told, x = {**carry, "ended": chunk is None}, carry["kept"]
        if given is not None:
            new, changes = _as_input(given, carry)
            told, x = told | changes, torch.cat([x, new], dim=1)
        if carry["look_ahead"] is None:
            logits, told["kept"], told["hidden"] = _going_on(weights, x.to(device), carry, chunk is None)
        else:
            logits, told["kept"] = _again(network, x.to(device), told)
        values = activate(logits, carry["kind"]).cpu()
        if carry["y_scale"] is not None:
            values = torch.from_numpy(Scale(*carry["y_scale"].numpy()).undo(values.numpy())).float()
    output: np.ndarray = values.numpy()
    told["n_answered"] = carry["n_answered"] + output.shape[1]
    if carry["events"] is not None:
        told["events"] = next_events(carry["events"], output[:, :, 0], carry["n_answered"], chunk is None)
    return (output[0] if single and n_streams == 1 else output), told


def _going_on(
    weights: Mapping[str, Tensor], x: Tensor, carry: Mapping[str, Any], ended: bool
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Logits of the whole folds of `x` (at the end of all), what is left of it, and the states after them."""
    (n_streams, n_steps, n_features), fold = x.shape, carry["fold"]
    n_whole = n_steps - (0 if ended else n_steps % fold)
    left, x = x[:, n_whole:].cpu(), x[:, :n_whole]
    if n_whole == 0:
        return x.new_zeros(n_streams, 0, carry["n_outputs"]), left, carry["hidden"]
    x = torch.nn.functional.pad(x, (0, 0, 0, -n_whole % fold)) if fold > 1 else x
    hidden = [state.to(x.device) for state in carry["hidden"]]
    logits, hidden = gru_going_on(weights, x.reshape(n_streams, -1, fold * n_features), hidden)
    logits = logits.reshape(n_streams, -1, logits.shape[2] // fold)[:, :n_whole]
    return logits, left.clone(), hidden


def _again(network: Network, x: Tensor, told: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Logits of the samples of `x`, the last that came, that have heard the look-ahead; and what is kept of it."""
    begin, ahead, fold = told["n_samples"] - x.shape[1], told["look_ahead"], told["fold"]
    first = told["n_answered"]
    last = told["n_samples"] if told["ended"] else max(first, told["n_samples"] - ahead)
    if last == first:
        return x.new_zeros(len(x), 0, told["n_outputs"]), x.cpu()
    logits = network(x)[:, first - begin : last - begin]
    keep_from = max(0, last - ahead) // fold * fold  # where a fold begins
    return logits, x[:, keep_from - begin :].cpu().clone()


def _as_input(given: np.ndarray, carry: Mapping[str, Any]) -> tuple[Tensor, dict[str, Any]]:
    """The chunk as the network takes it, [B, n, n_inputs], and what of the carry has changed."""
    steps = carry.get("steps")
    if given.dtype.kind == "f" and np.isnan(given).any():
        at = np.argwhere(np.isnan(given))[0].tolist()
        which = "chunk" if given.ndim < 3 else "one"  # of several streams each by itself
        raise ValueError(
            f"chunk holds nan at {at}; expected a number: the last one before it, where it is missing. "
            f"{'Of each stream by itself, w' if given.ndim > 2 else 'W'}ith the last row before the chunk, "
            f"{which} = np.stack([last := np.where(np.isnan(row), last, row) for row in {which}])."
        )
    n_streams, _, n_features = carry["kept"].shape
    n_features //= n_inputs(1, steps and steps["named"])
    x = given[:, None] if given.ndim == 1 and n_features == 1 else given
    x = x[None] if x.ndim == 2 and n_streams == 1 else x
    if x.ndim != 3 or x.shape[0] != n_streams or x.shape[2] != n_features:
        one = f"[n, {n_features}] or " if n_streams == 1 else ""
        raise ValueError(f"chunk has shape {given.shape}; expected {one}[{n_streams}, n, {n_features}].")
    changes: dict[str, Any] = {"n_samples": carry["n_samples"] + x.shape[1]}
    if steps and x.shape[1]:
        held = steps["held"] and [[state.numpy() for state in states] for states in steps["held"]]
        x, after = steps_going_on(x, steps["named"], steps["rate"], held)
        changes["steps"] = {**steps, "held": [[torch.from_numpy(state) for state in states] for states in after]}
    elif steps:
        x = np.zeros((n_streams, 0, carry["kept"].shape[2]))
    if carry["x_scale"] is not None:
        x = Scale(*carry["x_scale"].numpy()).apply(x)
    return torch.from_numpy(np.array(x, dtype=np.float32)), changes


def _numbers(scale: Scale | None) -> Tensor | None:
    """Shift and scale, [2, C] float64."""
    return None if scale is None else torch.from_numpy(np.stack(scale).astype(np.float64))
