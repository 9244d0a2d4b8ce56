"""Normalization within an ONNX graph, as `neurallib.signals.normalization` does it: over valid steps, in float64."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from neurallib.signals.normalization import IQR_OF_NORMAL, N_BLOCKS, Scale
from neurallib.storage.onnx_graph import FLOAT, INT64, Graph, Value, as_double, n_steps
from neurallib.storage.onnx_networks import Batch


class Own(NamedTuple):
    """Of each signal by itself what is taken off and what then divides it; an infinite scale makes a channel 0."""

    shift: str  # [B, 1, C] float64
    scale: str


def own_scale(g: Graph, batch: Batch, preprocessing: Mapping[str, Any]) -> Own:
    """The scale of each signal by itself, of a normalization of `neurallib.signals.normalization.OWN`."""
    x, name = as_double(g, batch.x), preprocessing["normalization"]
    n = g("Unsqueeze", as_double(g, batch.lengths), [1, 2])
    if name == "minmax":
        shift = g("ReduceMin", g("Where", batch.mask, x, np.array(np.inf)), [1])
        scale = g("Sub", g("ReduceMax", g("Where", batch.mask, x, np.array(-np.inf)), [1]), shift)
    else:
        shift = g("Div", g("ReduceSum", x, [1]), n)
        off = g("Where", batch.mask, g("Sub", x, shift), np.array(0.0))
        scale = g("Sqrt", g("Div", g("ReduceSum", g("Mul", off, off), [1]), n))
    if name == "block":
        shift = _quantile(g, _rising(g, g("Where", batch.mask, x, np.array(np.inf))), n, 0.5)
        scale = _block_size(g, batch, x, shift, _n_blocks(g, batch, preprocessing))
    if name == "robust":
        ordered = _rising(g, g("Where", batch.mask, x, np.array(np.inf)))
        low, shift, high = (_quantile(g, ordered, n, q) for q in (0.25, 0.5, 0.75))
        spread = g("Div", g("Sub", high, low), np.array(IQR_OF_NORMAL))
        scale = g("Where", _flat(g, spread, x), scale, spread)
    return Own(shift, g("Where", _flat(g, scale, x), np.array(np.inf), scale))


def normalized(g: Graph, batch: Batch, own: Own | None, preprocessing: Mapping[str, Any]) -> str:
    """The signals [B, T, C] as the network takes them, zero beyond the lengths."""
    if preprocessing["normalization"] is None:
        return g("Cast", batch.x, to=FLOAT)
    shift, scale = own or (np.array(preprocessing["x_shift"]), np.array(preprocessing["x_scale"]))
    scaled = g("Cast", g("Div", g("Sub", as_double(g, batch.x), shift), scale), to=FLOAT)
    return g("Where", batch.mask, scaled, 0.0)


def in_units(g: Graph, value: str, own: Own | None, preprocessing: Mapping[str, Any]) -> str:
    """Outputs [..., K] in the target's own units."""
    if preprocessing["target_normalization"] is None:
        return value
    of_all = Scale(np.array(preprocessing["y_shift"]), np.array(preprocessing["y_scale"]))
    factor: Value = of_all.factor
    shift: Value = of_all.shift
    if preprocessing["target_normalization"] == "signal" and own is not None:
        offset, size = (g("Slice", part, [0], [len(of_all.scale)], [2]) for part in own)  # of the signal's own channels
        size = g("Where", g("IsInf", size), np.array(0.0), size)
        factor, shift = g("Mul", size, of_all.factor), g("Mul", size, of_all.shift)
        shift = g("Add", shift, offset) if preprocessing["target_offset"] else shift
    return g("Cast", g("Add", g("Mul", as_double(g, value), factor), shift), to=FLOAT)


def _n_blocks(g: Graph, batch: Batch, preprocessing: Mapping[str, Any]) -> str:
    """How many blocks each signal has, [B, 1, 1]: as long ones as a window, where it is a short one."""
    n, window = g("Unsqueeze", batch.lengths, [1, 2]), preprocessing["window"]
    if window is None:
        return g("Min", n, N_BLOCKS)
    share = g("Div", as_double(g, n), np.array(window * (preprocessing["sampling_frequency"] or 1)))
    n_blocks = g("Round", g("Mul", g("Min", share, np.array(1.0)), np.array(float(N_BLOCKS))))
    return g("Min", n, g("Max", g("Cast", n_blocks, to=INT64), 1))


def _block_size(g: Graph, batch: Batch, x: str, shift: str, n_blocks: str) -> str:
    """The median over blocks [B, 1, 1] of how far values go from `shift`, or the furthest where they mostly rest."""
    off = g("Where", batch.mask, g("Abs", g("Sub", x, shift)), np.array(-1.0))
    n, number = g("Unsqueeze", batch.lengths, [1, 2]), np.arange(N_BLOCKS + 1)[:, None]
    # As np.array_split: the first blocks are a step longer where they cannot all be of the same length.
    bounds = g("Add", g("Mul", number, g("Div", n, n_blocks)), g("Min", number, g("Mod", n, n_blocks)))  # [B, 9, 1]
    before = g("Unsqueeze", g("Less", g("Range", 0, n_steps(g, x), 1), bounds), [2])  # [B, 9, 1, T]
    yet_to_come, unfinished = (g("Slice", before, [k], [N_BLOCKS + k], [1]) for k in (0, 1))
    values = g("Unsqueeze", g("Transpose", off, perm=[0, 2, 1]), [1])  # time comes last, where it is quick
    values = g("Where", g("And", g("Not", yet_to_come), unfinished), values, np.array(-1.0))
    highest = g("Where", g("Less", number[:-1], n_blocks), g("ReduceMax", values, [3], keepdims=0), np.array(np.inf))
    size = _quantile(g, _rising(g, highest), as_double(g, n_blocks), 0.5)
    return g("Where", _flat(g, size, x), g("ReduceMax", off, [1]), size)


def _rising(g: Graph, x: str) -> str:
    """Values [B, T, C] in rising order of each channel."""
    return g.several(2, "TopK", x, g("Shape", x, start=1, end=2), axis=1, largest=0)[0]


def _quantile(g: Graph, ordered: str, n: str, q: float) -> str:
    """Of values [B, T, C] in rising order, the first `n` of which count, by a line between the two nearest."""
    place = g("Mul", g("Sub", n, np.array(1.0)), np.array(q))
    below = g("Floor", place)
    above = g("Min", g("Add", below, np.array(1.0)), g("Sub", n, np.array(1.0)))
    low, high = (_at(g, ordered, step) for step in (below, above))
    return g("Add", low, g("Mul", g("Sub", high, low), g("Sub", place, below)))


def _at(g: Graph, values: str, step: str) -> str:
    """Of values [B, T, C] those at each signal's own step [B, 1, 1]: [B, 1, C]."""
    n_batch, n_channels = g("Shape", values, start=0, end=1), g("Shape", values, start=2, end=3)
    size = g("Concat", n_batch, [1], n_channels, axis=0)
    return g("GatherElements", values, g("Expand", g("Cast", step, to=INT64), size), axis=1)


def _flat(g: Graph, scale: str, x: str) -> str:
    """Which channels are constant but for rounding."""
    return g("LessOrEqual", scale, g("Mul", g("ReduceMax", g("Abs", x), [1]), np.array(1e-12)))
