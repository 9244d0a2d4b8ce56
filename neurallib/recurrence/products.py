"""Compiled parts of the kernels: matrix products from tiles, packing of weights, rows in and out of padded batches.

What `kernel.py` says of units, panels and rows holds here too.
"""
# mypy: disable-error-code="no-untyped-def,call-arg"

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from neurallib.recurrence.compiling import LANES, TALL, compiled, inlined
from neurallib.recurrence.vectors import address, copy, make_tile

_CHUNK_FLOATS = 1 << 17  # scratch of a chunk: 512 KB, within the second-level cache beside the weights
DEPTH_BLOCK = 128  # rows summed at a time into a weight gradient, so that they stay in the first-level cache


def _make_strips(rows: int, widest: int) -> Any:
    """Strips of `rows` rows of A with all columns of B, in tiles of up to `widest` vectors."""
    wide, double, single = (make_tile(rows, vectors) for vectors in (widest, 2, 1))

    @compiled
    def strips(count, vectors, a, a_m, a_k, b, b_v, b_k, depth, start, s_m, c, c_m):
        v = 0
        while v < vectors:
            left = vectors - v
            at_a, at_b, at_s, at_c = a, b + 4 * v * b_v, start + 4 * v * LANES, c + 4 * v * LANES
            # a strip's weights stay in the first-level cache for the next strip, so columns are the outer loop
            width = widest if left == widest or left >= widest + 2 else min(left, 2)  # rarely 1, which is the slowest
            for _ in range(count):
                if width == widest:
                    wide(at_a, a_m, a_k, at_b, b_v, b_k, depth, at_s, s_m, at_c, c_m)
                elif width == 2:
                    double(at_a, a_m, a_k, at_b, b_v, b_k, depth, at_s, s_m, at_c, c_m)
                else:
                    single(at_a, a_m, a_k, at_b, b_v, b_k, depth, at_s, s_m, at_c, c_m)
                at_a, at_s, at_c = at_a + 4 * rows * a_m, at_s + 4 * rows * s_m, at_c + 4 * rows * c_m
            v += width

    return strips


_tall_strips, _four_rows, _two_rows, _one_row = (
    _make_strips(TALL, 3), _make_strips(4, 4 if TALL == 8 else 3), _make_strips(2, 6), _make_strips(1, 6)
)  # fmt: skip


@compiled
def _product_at(rows, vectors, a, a_m, a_k, b, b_v, b_k, depth, start, s_m, c, c_m):
    count = rows // TALL
    if count:
        _tall_strips(count, vectors, a, a_m, a_k, b, b_v, b_k, depth, start, s_m, c, c_m)
    done = count * TALL
    a, start, c = a + 4 * done * a_m, start + 4 * done * s_m, c + 4 * done * c_m
    if rows - done >= 4:
        _four_rows(types.int64(1), vectors, a, a_m, a_k, b, b_v, b_k, depth, start, s_m, c, c_m)
        a, start, c, done = a + 16 * a_m, start + 16 * s_m, c + 16 * c_m, done + 4
    if rows - done >= 2:
        _two_rows(types.int64(1), vectors, a, a_m, a_k, b, b_v, b_k, depth, start, s_m, c, c_m)
        a, start, c, done = a + 8 * a_m, start + 8 * s_m, c + 8 * c_m, done + 2
    if rows > done:
        _one_row(types.int64(1), vectors, a, a_m, a_k, b, b_v, b_k, depth, start, s_m, c, c_m)


@inlined
def product(rows, vectors, a, a0, a_m, a_k, b, b0, b_v, b_k, depth, start, s0, s_m, c, c0, c_m):
    """C = start + A B for `rows` rows and `vectors` vectors of columns: arrays, offsets and strides (see `make_tile`).

    Inlined, so that a call passes addresses: arrays as arguments are seven words each. The casts spare a compilation
    for each constant argument.
    """
    _product_at(
        types.int64(rows), types.int64(vectors),
        address(a, a0), types.int64(a_m), types.int64(a_k),
        address(b, b0), types.int64(b_v), types.int64(b_k), types.int64(depth),
        address(start, s0), types.int64(s_m), address(c, c0), types.int64(c_m),
    )  # fmt: skip


@compiled
def add_outer(rows, left, stride, n_left, d_gates, offset, units, total):
    """Add left^T d_gates, summed over rows: left [rows, n_left], d_gates [rows, offset..offset + 3U of 4U]."""
    for row in range(0, rows, DEPTH_BLOCK):
        depth = min(DEPTH_BLOCK, rows - row)
        product(
            n_left, 3 * units // LANES, left, row * stride, 1, stride, d_gates, row * 4 * units + offset, LANES,
            4 * units, depth, total, 0, 3 * units, total, 0, 3 * units,
        )  # fmt: skip


@compiled
def scratch(size):
    """Uninitialized float32 memory that starts at a cache line, as whole-vector loads want it."""
    memory = np.empty(size + 16, np.float32)
    shift = (-(memory.ctypes.data >> 2)) & 15
    return memory[shift : shift + size]


@compiled
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


@compiled
def pack_rows(weights, n_units, units, width, first_gate, panels):
    """Panels of weights [3H, width] itself, its gates in cyclic order from `first_gate`."""
    panels[:] = 0
    for part in range(3):
        for unit in range(n_units):
            row = ((first_gate + part) % 3 * n_units + unit) * width
            for j in range(width):
                panels[(j // LANES * 3 * units + part * units + unit) * LANES + j % LANES] = weights[row + j]


@compiled
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


@compiled
def gather(source, width, offset, wide, n_steps, members, lengths, reverse, starts, first, last, rows, to):
    """Copy steps first..last - 1 from [B, T, wide] (columns offset..offset + width) to rows of width `to`."""
    for step in range(first, last):
        begin = starts[step]
        for i in range(starts[step + 1] - begin):
            time = lengths[i] - 1 - step if reverse else step
            at = (members[i] * n_steps + time) * wide + offset
            row = (begin - starts[first] + i) * to
            copy(source, at, rows, row, width)


@compiled
def scatter(rows, to, target, width, offset, wide, n_steps, members, lengths, reverse, starts, first, last):
    """The way back of `gather`."""
    for step in range(first, last):
        begin = starts[step]
        for i in range(starts[step + 1] - begin):
            time = lengths[i] - 1 - step if reverse else step
            at = (members[i] * n_steps + time) * wide + offset
            row = (begin - starts[first] + i) * to
            copy(rows, row, target, at, width)


@compiled
def zero_padding(target, width, offset, wide, n_steps, members, lengths):
    for i in range(len(members)):
        for time in range(lengths[i], n_steps):
            at = (members[i] * n_steps + time) * wide + offset
            for j in range(width):
                target[at + j] = 0
