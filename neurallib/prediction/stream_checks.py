"""What streams are refused: states that cannot be run on one, signals that are not the state's, and a carry, which may
come out of a file and is looked at before a step believes it."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from neurallib.checks import number, seconds
from neurallib.formats import STREAM, check_format
from neurallib.models.registry import check_weights
from neurallib.names import listing
from neurallib.prediction.stream_events import Waiting
from neurallib.signals.conversion import conversion
from neurallib.signals.normalization import OWN, check_normalization
from neurallib.state import State
from neurallib.steps import are_causal, check_steps, n_inputs, steps_going_on
from neurallib.tasks import TaskKind, describe

NEAR = 0.05  # of a rate: as far as another is taken for it
_MOST = 1 << 40  # samples of a stream, or of a setting


def check_streamable(state: State, look_ahead: float | None) -> None:
    """Raise ValueError, with the way out, unless the state can answer without what comes after."""
    check_weights(state)
    known, name = state["preprocessing"], state["architecture"]
    check_normalization(known, describe(state))
    if name != "GRUseq2seq":
        raise ValueError(f"a stream needs an output for each sample and a memory of the past: gru_seq2seq, not {name}.")
    if not are_causal(known["steps"]):
        raise ValueError(
            f"preprocessing['steps']={known['steps']!r} hears what comes after, which a stream does not have: train "
            "with 'causal': True in each step, as load_pretrained(\"ecg_r_peaks_stream\") was."
        )
    if known["residual"]:
        raise ValueError(
            "preprocessing['residual'], outputs added to the signal, is not done to a stream: train with "
            "residual=False, or take what export_onnx(..., stateful=True) writes."
        )
    if known["normalization"] in OWN:
        raise ValueError(
            f"the state normalizes each signal or window by all of it ({known['normalization']!r}), which a stream "
            "does not have: train with normalization='dataset'."
        )
    both = any(state["hparams"]["bidir_per_layer"])
    if both and look_ahead is None:
        raise ValueError(
            "the state reads signals in both directions: give look_ahead, the seconds that it may hear before it "
            "answers, or train with bidirectional=False."
        )
    if look_ahead is not None:
        if not both:
            raise ValueError(f"look_ahead={look_ahead!r} is for a state in both directions; this one answers at once.")
        if known["sampling_frequency"] is None:
            raise ValueError("look_ahead is in seconds, and state['preprocessing']['sampling_frequency'] is None.")
        if round(seconds("look_ahead", look_ahead) * known["sampling_frequency"]) < 1:
            rate = known["sampling_frequency"]
            raise ValueError(f"look_ahead={look_ahead!r} s is less than a sample at {rate:g} Hz.")


def check_said(
    state: State,
    sampling_frequency: float | None,
    channels: Sequence[str] | None,
    units: Sequence[str] | str | None,
) -> None:
    """Raise ValueError where signals of which this is said are none of the state's; says how they become its own."""
    known, n_features = state["preprocessing"], describe(state).n_features
    made = conversion(known, n_features, sampling_frequency, channels, units)
    if made.columns is not None:
        own = listing(known["channels"] or ())
        raise ValueError(f"channels are {listing(channels or ())}: hand in {own}, chunk[..., {made.columns}].")
    if made.factors is not None:
        own, given = listing(known["units"] or ()), units if isinstance(units, str) else listing(units or ())
        raise ValueError(f"units are {given}: hand in {own}, chunk * {made.factors.tolist()}.")
    if (rate := sampling_frequency) is None or (own_rate := known["sampling_frequency"]) is None:
        return
    if not _is_near(rate, own_rate):
        n = round(rate / own_rate)
        means = f"means of {n} samples ({rate / max(n, 1):g} Hz), chunk.reshape(-1, {n}, {n_features}).mean(axis=1)"
        way = means if n > 1 and _is_near(rate / n, own_rate) else f"resampled by the device, or train at {rate:g} Hz"
        raise ValueError(
            f"sampling_frequency={rate:g}, and a stream is not resampled: hand in {own_rate:g} Hz, within 5 %, {way}."
        )


def _is_near(rate: float, own: float) -> bool:
    return abs(rate - own) <= NEAR * own


def check_carry(carry: Any, weights: Mapping[str, Tensor]) -> None:
    """Raise unless it is a carry of the network that has these weights: TypeError if it is no mapping, else ValueError,
    which names what of it cannot be."""
    if not isinstance(carry, Mapping):
        raise TypeError(f"carry is a {type(carry).__name__}; expected what init_stream or the last step gave.")
    check_format(carry.get("format", 1), STREAM, "carry")
    wrong = _wrong(carry, weights)
    if wrong is not None:
        told = repr(carry.get(wrong))
        raise ValueError(f"carry[{wrong!r}] is {told[:100]}, which no stream of this network has.")


def _wrong(carry: Mapping[str, Any], weights: Mapping[str, Tensor]) -> str | None:
    """The first entry that cannot be."""
    for name in ("n_outputs", "fold", "n_samples", "n_answered"):
        if not _is_count(carry.get(name), name in ("n_outputs", "fold")):
            return name
    fold, ahead, n_samples = carry["fold"], carry.get("look_ahead"), carry["n_samples"]
    if "fc_out.bias" in weights and len(weights["fc_out.bias"]) != fold * carry["n_outputs"]:
        return "n_outputs"
    if carry.get("kind") not in get_args(TaskKind) or "look_ahead" not in carry:
        return "kind" if "look_ahead" in carry else "look_ahead"
    if not (ahead is None or _is_count(ahead)) or (ahead is None) == any("_reverse" in name for name in weights):
        return "look_ahead"
    if not isinstance(carry.get("ended"), bool):
        return "ended"
    kept: Any = carry.get("kept")
    n_features = weights["gru_layers.0.weight_ih_l0"].shape[1] // fold
    if "steps" in carry and not _are_steps(carry["steps"], carry.get("kept"), n_samples):
        return "steps"
    if not _is(kept, 3) or len(kept) < 1 or kept.shape[2] != n_features:
        return "kept"
    begin = n_samples - kept.shape[1]
    if begin < 0 or begin % fold or carry["n_answered"] > n_samples or (ahead is None and kept.shape[1] >= fold):
        return "n_samples"
    if begin > carry["n_answered"]:
        return "n_answered"
    sizes = [] if ahead is not None else [w.shape[1] for n, w in weights.items() if n.endswith("weight_hh_l0")]
    hidden = carry.get("hidden")
    if not isinstance(hidden, list) or len(hidden) != len(sizes):
        return "hidden"
    if not all(_is(h, 3) and tuple(h.shape) == (1, len(kept), n) for h, n in zip(hidden, sizes, strict=True)):
        return "hidden"
    for name, n in (("x_scale", n_features), ("y_scale", carry["n_outputs"])):
        scale: Any = carry.get(name, False)
        if scale is not None and not (_is(scale, 2, torch.float64) and tuple(scale.shape) in ((2, 1), (2, n))):
            return name
    return None if _are_events(carry.get("events", False), len(kept)) else "events"


def _are_steps(steps: Any, kept: Any, n_samples: int) -> bool:
    """Whether a stream whose signals are `kept` as steps made them could have gone through these."""
    if not isinstance(steps, Mapping) or not _is(kept, 3) or len(kept) < 1:
        return False
    try:
        expected = _held_sizes(json.dumps(steps.get("named")), steps.get("rate"), len(kept), kept.shape[2])
    except (TypeError, ValueError):
        return False
    held = steps.get("held", False)
    if held is None or n_samples == 0:
        return held is None and n_samples == 0
    if not isinstance(held, list) or not all(isinstance(each, list) for each in held):
        return False
    if not all(_is(state, 4, torch.float64) for each in held for state in each):
        return False
    return [[tuple(state.shape) for state in each] for each in held] == expected


@functools.lru_cache(maxsize=16)
def _held_sizes(named: str, rate: Any, n_streams: int, n_features: int) -> list[list[tuple[int, ...]]]:
    """Of what steps hold, as JSON has them; a stream's step has not the time to look at them each time. Raises where
    there are no such steps."""
    steps = check_steps(json.loads(named))
    n_given, left = divmod(n_features, n_inputs(1, steps))
    if left or not steps or not n_given or not are_causal(steps):
        raise ValueError
    states = steps_going_on(np.zeros((n_streams, 1, n_given)), steps, number("rate", rate, 0, low_open=True))[1]
    return [[state.shape for state in each] for each in states]


def _are_events(events: Any, n_streams: int) -> bool:
    if events is None:
        return True
    if not isinstance(events, Mapping) or not isinstance(events.get("threshold"), (int, float)):
        return False
    waiting = events.get("waiting")
    counts = all(_is_count(events.get(name)) for name in ("distance", "half")) and _is_count(events.get("delay", 0))
    if not counts or not isinstance(waiting, list) or len(waiting) != n_streams:
        return False
    return all(isinstance(one, Mapping) and one.keys() == set(Waiting._fields) and _waits(one) for one in waiting)


def _waits(one: Mapping[str, Any]) -> bool:
    kinds = {"values": torch.float64, "places": torch.int64, "events": torch.int64, "heights": torch.float64}
    if not all(_is(one[name], 1, kind) for name, kind in kinds.items()):
        return False
    start = one["start"]
    begun = type(start) is int and (start == -1 or _is_count(start) and len(one["places"]) > 0)
    return begun and isinstance(one["top"], float) and len(one["events"]) == len(one["heights"])


def _is(value: Any, n_axes: int, kind: torch.dtype = torch.float32) -> bool:
    return isinstance(value, Tensor) and value.ndim == n_axes and value.dtype == kind and value.layout == torch.strided


def _is_count(value: Any, least_one: bool = False) -> bool:
    return type(value) is int and least_one <= value < _MOST
