"""Compiled parts of the kernels: matrix products from tiles, packing of weights, rows in and out of padded batches.

What `kernel.py` says of units, panels and rows holds here too.
"""
# mypy: disable-error-code="no-untyped-def,call-arg"

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from neurallib.recurrence.compiling import LANES, TALL, compiled, inlined
from neurallib.recurrence.vectors import TILES, Emitter, copy, make_tiles

_CHUNK_FLOATS = 1 << 17  # scratch of a chunk: 512 KB, within the second-level cache beside the weights
_TALL_WIDEST, _FOUR_WIDEST = TILES[TALL][0], TILES[4][0]
DEPTH_BLOCK = 128  # rows summed at a time into a weight gradient, so that they stay in the first-level cache


def _make_product(adjacent: bool) -> Any:
    """C = start + A B for `rows` rows and `vectors` vectors of columns; `adjacent` as in `make_tiles`."""
    tiles = make_tiles(adjacent)

    @compiled
    def in_strips(rows, vectors, a, a_m, a_k, b, b_v, b_k, depth, start, s_m, c, c_m):
        """Strips of as many rows as a tile has, with all columns of B."""
        while rows > 0:
            if rows >= TALL:
                height, widest, strips = TALL, _TALL_WIDEST, rows // TALL
            elif rows >= 4:
                height, widest, strips = 4, _FOUR_WIDEST, 1
            else:
                height, widest, strips = min(rows, 2), 6, 1
            v = 0
            while v < vectors:
                left = vectors - v
                # a strip's weights stay in the first-level cache for the next strip, so columns are the outer loop
                width = widest if left == widest or left >= widest + 2 else min(left, 2)  # rarely 1, the slowest
                tiles(
                    height, width, strips, a, a_m, a_k, b + 4 * v * b_v, b_v, b_k, depth, start + 4 * v * LANES, s_m,
                    c + 4 * v * LANES, c_m,
                )  # fmt: skip
                v += width
            done = strips * height
            a, start, c, rows = a + 4 * done * a_m, start + 4 * done * s_m, c + 4 * done * c_m, rows - done

    @intrinsic
    def product(typing, rows, vectors, a, a0, a_m, a_k, b, b0, b_v, b_k, depth, start, s0, s_m, c, c0, c_m):
        """Takes arrays, offsets and strides, and passes addresses: arrays as arguments are seven words each."""
        inner = typing.resolve_value_type(in_strips)
        inner_signature = inner.get_call_type(typing, (types.int64,) * 13, {})

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            emit = Emitter(context, builder, signature, args)
            rows, vectors, a, a0, a_m, a_k, b, b0, b_v, b_k, depth, start, s0, s_m, c, c0, c_m = emit.args
            a, b, start, c = emit.address(a, a0), emit.address(b, b0), emit.address(start, s0), emit.address(c, c0)
            own = (rows, vectors, a, a_m, a_k, b, b_v, b_k, depth, start, s_m, c, c_m)
            context.get_function(inner, inner_signature)(builder, own)
            return context.get_dummy_value()

        return types.void(rows, vectors, a, a0, a_m, a_k, b, b0, b_v, b_k, depth, start, s0, s_m, c, c0, c_m), codegen

    return product


product, _product_by_steps = _make_product(adjacent=True), _make_product(adjacent=False)


@inlined
def add_outer(rows, left, stride, n_left, d_gates, offset, units, total):
    """Add left^T d_gates, summed over rows: left [rows, n_left], d_gates [rows, offset..offset + 3U of 4U]."""
    for row in range(0, rows, DEPTH_BLOCK):
        depth = min(DEPTH_BLOCK, rows - row)
        _product_by_steps(
            n_left, 3 * units // LANES, left, row * stride, 1, stride, d_gates, row * 4 * units + offset, LANES,
            4 * units, depth, total, 0, 3 * units, total, 0, 3 * units,
        )  # fmt: skip


@compiled
def scratch(size):
    """Uninitialized float32 memory that starts at a cache line, as whole-vector loads want it."""
    memory = np.empty(size + 16, np.float32)
    shift = (-(memory.ctypes.data >> 2)) & 15
    return memory[shift : shift + size]


@inlined
def pack_columns(weights, w0, parts, n_rows, padded, depth, panels, p0):
    """Panels of the transpose of weights [parts * n_rows, depth]; each part's rows are padded to `padded`."""
    for i in range(parts * padded * depth):
        panels[p0 + i] = 0
    for part in range(parts):
        for row in range(n_rows):
            column = part * padded + row
            at = p0 + column // LANES * depth * LANES + column % LANES
            for k in range(depth):
                panels[at + k * LANES] = weights[w0 + (part * n_rows + row) * depth + k]


@inlined
def pack_rows(weights, n_units, units, width, first_gate, panels):
    """Panels of weights [3H, width] itself, its gates in cyclic order from `first_gate`."""
    panels[:] = 0
    for part in range(3):
        for unit in range(n_units):
            row = ((first_gate + part) % 3 * n_units + unit) * width
            for j in range(width):
                panels[(j // LANES * 3 * units + part * units + unit) * LANES + j % LANES] = weights[row + j]


@inlined
def chunk_steps(lengths, floats_per_row):
    """How many steps make a chunk of rows; `lengths` fall."""
    return min(lengths[0], max(1, _CHUNK_FLOATS // floats_per_row // len(lengths)))


@compiled
def row_starts(lengths):
    """The first row of each step, and the number of rows at the end; `lengths` fall."""
    starts = np.empty(lengths[0] + 1, np.int64)
    running, row = len(lengths), 0
    for step in range(lengths[0]):
        while lengths[running - 1] <= step:
            running -= 1
        starts[step] = row
        row += running
    starts[lengths[0]] = row
    return starts


@inlined
def gather(source, width, offset, wide, n_steps, members, lengths, reverse, starts, first, last, rows, to):
    """Copy steps first..last - 1 from [B, T, wide] (columns offset..offset + width) to rows of width `to`."""
    for step in range(first, last):
        begin = starts[step]
        for i in range(starts[step + 1] - begin):
            time = lengths[i] - 1 - step if reverse else step
            at = (members[i] * n_steps + time) * wide + offset
            row = (begin - starts[first] + i) * to
            copy(source, at, rows, row, width)


@inlined
def scatter(rows, to, target, width, offset, wide, n_steps, members, lengths, reverse, starts, first, last):
    """The way back of `gather`."""
    for step in range(first, last):
        begin = starts[step]
        for i in range(starts[step + 1] - begin):
            time = lengths[i] - 1 - step if reverse else step
            at = (members[i] * n_steps + time) * wide + offset
            row = (begin - starts[first] + i) * to
            copy(rows, row, target, at, width)


@inlined
def zero_padding(target, width, offset, wide, n_steps, members, lengths):
    for i in range(len(members)):
        for time in range(lengths[i], n_steps):
            at = (members[i] * n_steps + time) * wide + offset
            for j in range(width):
                target[at + j] = 0
