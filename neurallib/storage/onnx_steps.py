"""Steps within an ONNX graph, as `neurallib.steps` does them: in float64, to each signal of a batch by itself.

Filters take a block of samples at a time by matrix products, exact but for rounding. What a filter makes of a block is
a sum of what it makes of the block's samples and of the state before it, and so is the state after it. The states
between blocks are sums over all blocks before, each times a power of one matrix.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from neurallib.state import Steps
from neurallib.steps import DURATION, FACTOR, FLOOR, HEARD, ROUNDING, kept_of_power, sections_of
from neurallib.storage.onnx_graph import DOUBLE, Graph, as_double, loop, n_steps
from neurallib.storage.onnx_networks import Batch

BLOCK = 64  # samples
NOTHING = 1e-40  # what is left of a state that is not heard any more
MOST = 1 << 24  # blocks, however slow a filter is
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
    if step["name"] == "slew_limit":
        return _limited(g, batch, kept_of_power(step, rate), step.get("factor", FACTOR), n_channels, held)
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


def _limited(g: Graph, batch: Batch, kept: float, factor: float, n_channels: int, held: Memories | None) -> str:
    """Changes from sample to sample held within so many times their RMS of late, one sample after the other: what a
    change may be depends on what became of those before it."""
    x = g("Unsqueeze", g("Transpose", batch.x, perm=[1, 0, 2]), [3])
    state = g("Pad", g("Gather", x, 0, axis=0), [0, 0, 0, 0, 0, 2], ZERO)  # last sample, mean square, how much it is of
    if held is not None:
        name = f"f{len(held)}"
        before, begun = g.several(2, "Split", name, [3, 1], axis=2)
        state = g("Where", g("Greater", begun, ZERO), before, state)

    def step(body: Graph, number: str, state: str) -> tuple[list[str], str]:
        last, power, heard = body.several(3, "Split", state, [1, 1, 1], axis=2)
        value = body("Gather", x, number, axis=0)
        change = body("Sub", value, last)
        limit = body("Mul", body("Sqrt", body("Div", power, heard)), np.array(factor))
        limit = body("Where", body("GreaterOrEqual", heard, np.array(HEARD)), limit, np.array(np.inf))
        held_in = body("Max", body("Min", change, limit), body("Neg", limit))
        value = body("Add", last, held_in)
        new = body("Concat", body("Mul", held_in, held_in), body("Abs", body("Sign", held_in)), axis=2)
        means = body("Mul", body("Concat", power, heard, axis=2), np.array(kept))
        means = body("Add", means, body("Mul", new, np.array(1 - kept)))
        state = body("Concat", value, means, axis=2)
        return [state], state

    states = loop(g, n_steps(g, batch.x), [state], [["batch", n_channels, 3]], step, DOUBLE)
    states = g("Transpose", states, perm=[1, 0, 2, 3])
    if held is not None:
        last = at(g, states, g("Sub", g("Unsqueeze", batch.lengths, [1]), 1))
        held[name] = Memory([n_channels, 4], _with_ones(g, g("Squeeze", last, [1])))
    return g("Squeeze", g("Slice", states, [0], [1], [3]), [3])


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


class Filter(NamedTuple):
    """A filter's D states after a constant 1, and its matrices, which stand before what they are multiplied with."""

    standing: np.ndarray  # [D]
    one: np.ndarray  # [D, D] the state after a sample of 0
    pushes: np.ndarray  # [BLOCK, D] the state after a block, by its samples
    states: np.ndarray  # [D, D] and by the state before it
    free: np.ndarray  # [D, BLOCK] a block's outputs by the state before it
    outputs: str  # [BLOCK, BLOCK] and by its samples


def filter_of(g: Graph, sections: np.ndarray, standing: np.ndarray) -> Filter:
    """The filter of second-order sections [n, 6], with its `standing` states [n, 2, ...]."""
    from scipy.signal import sosfilt

    n, size = len(sections), 2 * len(sections)
    every = np.eye(size).reshape(size, n, 2).transpose(1, 0, 2)
    free, states = sosfilt(sections, np.zeros((size, BLOCK)), zi=every)
    _, one = sosfilt(sections, np.zeros((size, 1)), zi=every)
    made, pushes = sosfilt(sections, np.eye(BLOCK), zi=np.zeros((n, BLOCK, 2)))
    states, one, pushes = (after.transpose(1, 0, 2).reshape(-1, size) for after in (states, one, pushes))
    outputs = g("Gather", np.concatenate([[0.0], made[0]]), _lags(g))
    return Filter(standing.reshape(size), one, pushes, states, free, outputs)


def standing(g: Graph, x: str, f: Filter) -> str:
    """The states [B, C, D] of who has heard nothing but the first sample of `x` [B, T, C]."""
    return g("Mul", g("Transpose", g("Slice", x, [0], [1], [1]), perm=[0, 2, 1]), f.standing)


def filtered(g: Graph, x: str, f: Filter, state: str, lengths: str | None = None) -> tuple[str, str]:
    """`x` [B, T, C] through a filter, from its states [B, C, D]; and those after each signal's length, if it is given.
    """
    x = g("Transpose", x, perm=[0, 2, 1])
    n = g("Shape", x, start=2, end=3)
    pads = g("Concat", [0, 0, 0, 0, 0], g("Mod", g("Neg", n), BLOCK), axis=0)
    blocks = g("Reshape", g("Pad", x, pads, ZERO), [0, 0, -1, BLOCK])
    before = _before_blocks(g, f, g("Concat", g("Unsqueeze", state, [2]), g("MatMul", blocks, f.pushes), axis=2))
    made = g("Add", g("MatMul", blocks, f.outputs), g("MatMul", before, f.free))
    made = g("Transpose", g("Slice", g("Reshape", made, [0, 0, -1]), [0], n, [2]), perm=[0, 2, 1])
    return made, _states_at(g, f, blocks, before, lengths) if lengths else ""


def _before_blocks(g: Graph, f: Filter, pushes: str) -> str:
    """The states before each block, [B, C, N, D], of what adds to them [B, C, 1 + N, D]: the first and each block.

    A parallel prefix sum (Hillis and Steele, Communications of the ACM 29:1170-1183, 1986): what the last block has
    left, then the last two, the last four, until nothing is left of what was longer ago.
    """
    states = g("Pad", pushes, [0, 0, 1, 0, 0, 0, 0, 0], ZERO)
    place = g("Range", 0, g("Squeeze", g("Shape", states, start=2, end=3)), 1)
    pole, power, n_blocks = np.abs(np.linalg.eigvals(f.states)).max(), f.states, 1
    while pole**n_blocks > NOTHING and n_blocks < MOST:
        left = g("Gather", g("MatMul", states, power), g("Max", g("Sub", place, n_blocks), 0), axis=2)
        states, power, n_blocks = g("Add", states, left), power @ power, 2 * n_blocks
    return g("Slice", states, [1], [-1], [2])


def at(g: Graph, x: str, places: str) -> str:
    """Of `x` [B, T, C] each signal's own `places` [B, N]: [B, N, C]."""
    return g("GatherND", x, g("Unsqueeze", places, [2]), batch_dims=1)


def both_ways(g: Graph, x: str, lengths: str, f: Filter, beyond: int, ends: str) -> str:
    """`x` [B, T, C] forwards and backwards, as scipy's `sosfiltfilt`: each end is continued by `beyond` samples turned
    round, at "odd" `ends` about the last value too, or by as many as there are."""
    last = g("Sub", g("Unsqueeze", lengths, [1]), 1)
    n_beyond = g("Min", last, beyond)
    n_given = n_steps(g, x)
    given, continued = (g("Range", 0, n, 1) for n in (n_given, g("Add", n_given, 2 * beyond)))
    place = g("Sub", continued, n_beyond)
    mirrored = at(g, x, _inside(g, g("Sub", last, g("Abs", g("Sub", last, g("Abs", place)))), last))
    if ends == "odd":
        mirrored = g("Sub", g("Mul", at(g, x, _inside(g, place, last)), np.array(2.0)), mirrored)
    forwards, _ = filtered(g, mirrored, f, standing(g, mirrored, f))
    end = g("Add", last, n_beyond)
    turned = at(g, forwards, g("Max", g("Sub", g("Add", end, n_beyond), continued), 0))
    backwards, _ = filtered(g, turned, f, standing(g, turned, f))
    return at(g, backwards, g("Max", g("Sub", end, given), 0))


def nearest(g: Graph, x: str, lengths: str, beyond: int) -> str:
    """Signals of `x` [B, T, C] with their first and last values held `beyond` samples more."""
    place = g("Range", -beyond, g("Add", n_steps(g, x), beyond), 1)
    return at(g, x, _inside(g, place, g("Sub", g("Unsqueeze", lengths, [1]), 1)))


def _inside(g: Graph, place: str, last: str) -> str:
    return g("Max", g("Min", place, last), 0)


def _states_at(g: Graph, f: Filter, blocks: str, before: str, lengths: str) -> str:
    """The states [B, C, D] after so many samples of blocks [B, C, N, BLOCK] with the states before each."""
    last = g("Unsqueeze", g("Sub", lengths, 1), [1])
    number, within = g("Div", last, BLOCK), g("Mod", last, BLOCK)
    block, state = (at(g, g("Transpose", v, perm=[0, 2, 1, 3]), number) for v in (blocks, before))  # [B, 1, C, ...]
    powers = np.stack([np.linalg.matrix_power(f.one, k + 1) for k in range(BLOCK)])
    lags = np.concatenate([np.zeros((1, len(f.one))), f.pushes[::-1]])
    # Not the other way round: ONNX Runtime 1.18 takes MatMul of a Transpose for one that it does not have in float64.
    pushes = g("Gather", lags, g("Gather", g("Transpose", _lags(g), perm=[1, 0]), within))  # [B, 1, BLOCK, D]
    after = g("Add", g("MatMul", block, pushes), g("MatMul", state, g("Gather", powers, within)))
    return g("Squeeze", after, [1])


def _lags(g: Graph) -> str:
    """How long ago a block's samples (rows) are at each of its steps (columns), from 1 on; 0 where they are to come."""
    steps = g("Range", 0, BLOCK, 1)
    return g("Max", g("Add", g("Sub", g("Unsqueeze", steps, [0]), g("Unsqueeze", steps, [1])), 1), 0)
