"""Steps within an ONNX graph, as `neurallib.steps` does them: in float64, to each signal of a batch by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from neurallib.state import Steps
from neurallib.steps import DURATION, FLOOR, ROUNDING, kept_of_power, sections_of
from neurallib.storage.onnx_filters import Filter, both_ways, filter_of, filtered, nearest, standing
from neurallib.storage.onnx_graph import Graph, as_double
from neurallib.storage.onnx_networks import Batch

ZERO = np.array(0.0)


class Memory(NamedTuple):
    """The states of a causal filter: an input of the graph that comes out as another."""

    size: list[int]  # [C, D + 1]; the last is 1 once the signal has begun, 0 before
    after: str


Memories = dict[str, Memory]


def stepped(
    g: Graph, batch: Batch, steps: Steps | None, rate: float | None, n_features: int, stateful: bool
) -> tuple[Batch, Memories]:
    """The batch as steps make it, [B, T, n_inputs] float64, zero beyond the lengths; and what causal filters carry on,
    where the batch is a piece of signals."""
    held: Memories | None = {} if stateful else None
    if not steps or rate is None:
        return batch, {}
    x = own = as_double(g, batch.x)
    n_channels = n_features
    for step in steps:
        beside = bool(step.get("beside"))
        given = batch._replace(x=own if beside else x)
        n_given = n_features if beside else n_channels
        made = _made(g, given, step, rate, n_given, held)
        if beside:
            x, n_channels = g("Concat", x, made, axis=2), n_channels + n_features
        else:
            x = made
            own = x if n_channels == n_features else g("Slice", x, [0], [n_features], [2])
    return batch._replace(x=g("Where", batch.mask, x, ZERO)), held or {}


def _made(g: Graph, batch: Batch, step: Mapping[str, Any], rate: float, n_channels: int, held: Memories | None) -> str:
    if step["name"] == "rectify":
        return g("Abs", batch.x)
    sections, ones = sections_of(step, rate)
    f, gain = filter_of(g, sections, ones), step["name"] == "local_gain"
    if step.get("causal"):
        made = _without_rounding(g, _going_on(g, batch, f, n_channels, held), batch.x)
        return _causal_gain(g, batch, made, kept_of_power(step, rate), n_channels, held) if gain else made
    lowest = step["low"] if "low" in step else step["frequency"]
    made = both_ways(g, batch.x, batch.lengths, f, round(rate / lowest), step.get("ends", "odd"))
    made = _without_rounding(g, made, batch.x)
    return _local_gain(g, batch, made, round(step.get("duration", DURATION) * rate / 2)) if gain else made


def _going_on(g: Graph, batch: Batch, f: Filter, n_channels: int, held: Memories | None) -> str:
    """Through a filter forwards, as if the first sample had been there for ever, or on from where a stream's was."""
    first = standing(g, batch.x, f)
    if held is None:
        return filtered(g, batch.x, f, first)[0]
    name, size = f"f{len(held)}", len(f.standing)
    before, begun = g.several(2, "Split", name, [size, 1], axis=2)
    first = g("Where", g("Greater", begun, ZERO), before, first)
    made, after = filtered(g, batch.x, f, first, batch.lengths)
    held[name] = Memory([n_channels, size + 1], _with_ones(g, after))
    return made


def _causal_gain(g: Graph, batch: Batch, band: str, kept: float, n_channels: int, held: Memories | None) -> str:
    """The band divided by the root of its mean power of late; another channel of ones tells how much has come."""
    f = filter_of(g, np.array([[1 - kept, 0, 0, 1, -kept, 0]]), np.zeros(2))
    power = _going_on(g, batch._replace(x=_with_ones(g, g("Mul", band, band))), f, n_channels + 1, held)
    power, come = g.several(2, "Split", power, [n_channels, 1], axis=2)
    size = g("Sqrt", g("Div", power, come))
    return g("Div", band, g("Where", _is_heard(g, size, batch.x), size, np.array(np.inf)))


def _local_gain(g: Graph, batch: Batch, band: str, half: int) -> str:
    """The band divided by its own RMS over `half` samples to both sides, with a share of that of the whole signal."""
    power = g("Where", batch.mask, g("Mul", band, band), ZERO)
    whole = g("Div", g("ReduceSum", power, [1]), g("Unsqueeze", as_double(g, batch.lengths), [1, 2]))
    sums = g("CumSum", g("Pad", nearest(g, power, batch.lengths, half), [0, 1, 0, 0, 0, 0], ZERO), 1)
    span, far = 2 * half + 1, np.iinfo(np.int64).max
    sums = g("Sub", g("Slice", sums, [span], [far], [1]), g("Slice", sums, [0], [-span], [1]))
    around = g("Max", g("Div", sums, np.array(float(span))), ZERO)
    size = g("Add", g("Sqrt", around), g("Mul", g("Sqrt", whole), np.array(FLOOR)))
    return g("Div", band, g("Where", g("Greater", size, ZERO), size, np.array(1.0)))


def _without_rounding(g: Graph, made: str, x: str) -> str:
    return g("Where", _is_heard(g, g("Abs", made), x), made, ZERO)


def _is_heard(g: Graph, size: str, x: str) -> str:
    """Where there is more than rounding beside the signal."""
    return g("Greater", size, g("Mul", g("Abs", x), np.array(ROUNDING)))


def _with_ones(g: Graph, x: str) -> str:
    """`x` [B, T, C] and a channel of ones."""
    return g("Pad", x, [0, 0, 0, 0, 0, 1], np.array(1.0))
