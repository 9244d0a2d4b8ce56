"""Filters within an ONNX graph, in float64: a block of samples at a time by matrix products, exact but for rounding.

What a filter makes of a block is a sum of what it makes of the block's samples and of the state before it, and so is
the state after it. The states between blocks are sums over all blocks before, each times a power of one matrix.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from neurallib.storage.onnx_graph import Graph, n_steps

BLOCK = 64  # samples
NOTHING = 1e-40  # what is left of a state that is not heard any more
MOST = 1 << 24  # blocks, however slow a filter is


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
    blocks = g("Reshape", g("Pad", x, pads, np.array(0.0)), [0, 0, -1, BLOCK])
    before = _before_blocks(g, f, g("Concat", g("Unsqueeze", state, [2]), g("MatMul", blocks, f.pushes), axis=2))
    made = g("Add", g("MatMul", blocks, f.outputs), g("MatMul", before, f.free))
    made = g("Transpose", g("Slice", g("Reshape", made, [0, 0, -1]), [0], n, [2]), perm=[0, 2, 1])
    return made, _states_at(g, f, blocks, before, lengths) if lengths else ""


def _before_blocks(g: Graph, f: Filter, pushes: str) -> str:
    """The states before each block, [B, C, N, D], of what adds to them [B, C, 1 + N, D]: the first and each block.

    A parallel prefix sum (Hillis and Steele, Communications of the ACM 29:1170-1183, 1986): what the last block has
    left, then the last two, the last four, until nothing is left of what was longer ago.
    """
    states = g("Pad", pushes, [0, 0, 1, 0, 0, 0, 0, 0], np.array(0.0))
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
