"""The GRU recurrence over blocks of signals, compiled by Numba: matrix products and scans over time.

A task is one direction of one layer over a block of signals, sorted by falling length, so that the signals still
running at a step are always the block's first rows. The rows of a task are its (step, signal) pairs in that order;
padding has none. A chunk of rows (a few hundred) is copied to scratch memory that stays in the second-level cache,
projected, scanned and copied out before the next.

Units are padded to whole vectors: U = H rounded up to LANES. Padded units have zero weights and stay at zero.
Matrices come as panels [vectors, depth, LANES], one column of vectors after the other (see `recurrence._panels`).
All arrays are flat and contiguous, float32 or int64.
"""
# mypy: disable-error-code="no-untyped-def,call-arg"

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types

from neurallib.vectors import LANES, TALL, address, copy, gates, gates_and_keep, gates_backward, make_tile

VECTORS = "def4aad723c78196"  # SHA-256 of vectors.py, first 16 digits: see there
_CHUNK_FLOATS = 1 << 17  # scratch of a chunk: 512 KB, within the second-level cache beside the weights
_DEPTH_BLOCK = 128  # rows summed at a time into a weight gradient, so that they stay in the first-level cache

# fastmath without nnan and ninf: NaN and infinity must come out as they do in torch
_OPTIONS: dict[str, Any] = {
    "nogil": True, "cache": True, "error_model": "numpy", "fastmath": {"contract", "reassoc", "arcp", "nsz"},
}  # fmt: skip
_compiled = njit(**_OPTIONS)


def _make_strips(rows: int, widest: int) -> Any:
    """Strips of `rows` rows of A with all columns of B, in tiles of up to `widest` vectors."""
    wide, double, single = (make_tile(rows, vectors) for vectors in (widest, 2, 1))

    @_compiled
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


@_compiled
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


@njit(forceinline=True, **_OPTIONS)
def _product(rows, vectors, a, a0, a_m, a_k, b, b0, b_v, b_k, depth, start, s0, s_m, c, c0, c_m):
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


@_compiled
def _scratch(size):
    """Uninitialized float32 memory that starts at a cache line, as whole-vector loads want it."""
    memory = np.empty(size + 16, np.float32)
    shift = (-(memory.ctypes.data >> 2)) & 15
    return memory[shift : shift + size]


@_compiled
def _row_starts(lengths):
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


@_compiled
def _chunk_steps(lengths, floats_per_row):
    return min(lengths[0], max(1, _CHUNK_FLOATS // floats_per_row // len(lengths)))


@_compiled
def _gather(source, width, offset, wide, n_steps, members, lengths, reverse, starts, first, last, rows, to):
    """Copy steps first..last - 1 from [B, T, wide] (columns offset..offset + width) to rows of width `to`."""
    for step in range(first, last):
        begin = starts[step]
        for i in range(starts[step + 1] - begin):
            time = lengths[i] - 1 - step if reverse else step
            at = (members[i] * n_steps + time) * wide + offset
            row = (begin - starts[first] + i) * to
            copy(source, at, rows, row, width)


@_compiled
def _scatter(rows, to, target, width, offset, wide, n_steps, members, lengths, reverse, starts, first, last):
    """The way back of `_gather`."""
    for step in range(first, last):
        begin = starts[step]
        for i in range(starts[step + 1] - begin):
            time = lengths[i] - 1 - step if reverse else step
            at = (members[i] * n_steps + time) * wide + offset
            row = (begin - starts[first] + i) * to
            copy(rows, row, target, at, width)


@_compiled
def _zero_padding(target, width, offset, wide, n_steps, members, lengths):
    for i in range(len(members)):
        for time in range(lengths[i], n_steps):
            at = (members[i] * n_steps + time) * wide + offset
            for j in range(width):
                target[at + j] = 0


@_compiled
def _add_outer(rows, left, stride, n_left, d_gates, offset, units, total):
    """Add left^T d_gates, summed over rows: left [rows, n_left], d_gates [rows, offset..offset + 3U of 4U]."""
    for row in range(0, rows, _DEPTH_BLOCK):
        depth = min(_DEPTH_BLOCK, rows - row)
        _product(
            n_left, 3 * units // LANES, left, row * stride, 1, stride, d_gates, row * 4 * units + offset, LANES,
            4 * units, depth, total, 0, 3 * units, total, 0, 3 * units,
        )  # fmt: skip


@_compiled
def forward(x, sizes, members, lengths, reverse, w_ih, w_hh, b_ih, b_hh, h0, output, column, h_n, saved):
    """Run one task forward.

    Parameters
    ----------
    x : [B * T * C] float32
    sizes : (T, C, H, width of an output step)
    members, lengths : [S] int64
        The signals' places in the batch and their lengths, longest first.
    reverse : bool
    w_ih, w_hh : panels [3U / LANES, C or H, LANES], flat
    b_ih, b_hh : [3U]
    h0 : [B * H]
    output : [B * T * width]
        Columns column..column + H are written, zeros beyond a length.
    h_n : [B * H]
    saved : [rows * 4U], or empty when nothing is to be kept for the backward.
    """
    n_steps, n_inputs, n_units, wide = sizes
    signals, units = len(members), len(b_hh) // 3
    starts = _row_starts(lengths)
    steps = _chunk_steps(lengths, n_inputs + 4 * units)
    x_rows, projected = _scratch(steps * signals * n_inputs), _scratch(steps * signals * 3 * units)
    states = _scratch((steps + 1) * signals * units)  # those before the chunk, then one row for each of its rows
    recurrent = _scratch(signals * 3 * units)
    states[: signals * units] = 0
    for i in range(signals):
        copy(h0, members[i] * n_units, states, i * units, n_units)
    for first in range(0, lengths[0], steps):
        last = min(first + steps, lengths[0])
        rows = starts[last] - starts[first]
        _gather(x, n_inputs, 0, n_inputs, n_steps, members, lengths, reverse, starts, first, last, x_rows, n_inputs)
        _product(
            rows, 3 * units // LANES, x_rows, 0, n_inputs, 1, w_ih, 0, n_inputs * LANES, LANES, n_inputs,
            b_ih, 0, 0, projected, 0, 3 * units,
        )  # fmt: skip
        before = 0
        for step in range(first, last):
            running = starts[step + 1] - starts[step]
            row = starts[step] - starts[first]
            after = (signals + row) * units
            _product(
                running, 3 * units // LANES, states, before, units, 1, w_hh, 0, n_units * LANES, LANES, n_units,
                b_hh, 0, 0, recurrent, 0, 3 * units,
            )  # fmt: skip
            for i in range(running):
                p0, q0, s0 = (row + i) * 3 * units, i * 3 * units, i * units
                v0 = (starts[step] + i) * 4 * units
                if len(saved):
                    for j in range(0, units, LANES):
                        gates_and_keep(
                            projected, p0 + j, recurrent, q0 + j, units, states, before + s0 + j,
                            states, after + s0 + j, saved, v0 + j,
                        )  # fmt: skip
                else:
                    for j in range(0, units, LANES):
                        gates(
                            projected, p0 + j, recurrent, q0 + j, units, states, before + s0 + j,
                            states, after + s0 + j, saved, 0,
                        )  # fmt: skip
            before = after
        _scatter(
            states[signals * units :], units, output, n_units, column, wide, n_steps, members, lengths, reverse,
            starts, first, last,
        )  # fmt: skip
        carried = (starts[last] - starts[last - 1]) * units
        copy(states, before, states, 0, carried)
    _zero_padding(output, n_units, column, wide, n_steps, members, lengths)
    for i in range(signals):
        time = 0 if reverse else lengths[i] - 1
        copy(output, (members[i] * n_steps + time) * wide + column, h_n, members[i] * n_units, n_units)


@_compiled
def backward(
    x, sizes, members, lengths, reverse, w_ih, w_hh, mask, h0, output, column, saved, d_output, d_h_n,
    d_x, d_h0, d_w_ih, d_w_hh, d_bias,
):  # fmt: skip
    """Run one task backward.

    Parameters as in `forward`, and
    w_ih : panels [ceil(C / LANES), 3U, LANES], rows of gates r, z, n; empty when d_x is
    w_hh : panels [U / LANES, 3U, LANES], rows of gates n, r, z
    mask : [U] float32 whose bits are all ones for the H real units, zero for the others
    d_output : [B * T * width]; d_h_n : [B * H]
    d_x : [B * T * C], written; empty when not asked for
    d_h0 : [B * H], written
    d_w_ih : [C, 3U] flat, gates r, z, n; d_w_hh : [H, 3U] flat, gates n, r, z; added to; empty when not asked for
    d_bias : [4U], added to: the derivatives by b_hn, and by the biases of r, z and n
    """
    n_steps, n_inputs, n_units, wide = sizes
    signals, units = len(members), len(mask)
    input_vectors = (n_inputs + LANES - 1) // LANES
    starts = _row_starts(lengths)
    steps = _chunk_steps(lengths, 2 * n_inputs + 6 * units)
    size = steps * signals
    x_rows, d_x_rows = _scratch(size * n_inputs), _scratch(size * input_vectors * LANES)
    d_out, before, d_gates = _scratch(size * units), _scratch(size * units), _scratch(size * 4 * units)
    d_state, nothing = _scratch(signals * units), _scratch(input_vectors * LANES)
    d_out[:] = 0
    before[:] = 0
    d_state[:] = 0
    nothing[:] = 0
    for i in range(signals):
        copy(d_h_n, members[i] * n_units, d_state, i * units, n_units)
    n_chunks = (lengths[0] + steps - 1) // steps
    for chunk in range(n_chunks - 1, -1, -1):
        first = chunk * steps
        last = min(first + steps, lengths[0])
        rows = starts[last] - starts[first]
        _gather(d_output, n_units, column, wide, n_steps, members, lengths, reverse, starts, first, last, d_out, units)
        for step in range(first, last):  # the state before each row
            for i in range(starts[step + 1] - starts[step]):
                row = (starts[step] - starts[first] + i) * units
                if step == 0:
                    copy(h0, members[i] * n_units, before, row, n_units)
                else:
                    time = lengths[i] - step if reverse else step - 1
                    copy(output, (members[i] * n_steps + time) * wide + column, before, row, n_units)
        for step in range(last - 1, first - 1, -1):
            running = starts[step + 1] - starts[step]
            row = starts[step] - starts[first]
            for i in range(running):
                v0, r0, s0, g0 = (starts[step] + i) * 4 * units, (row + i) * units, i * units, (row + i) * 4 * units
                for j in range(0, units, LANES):
                    gates_backward(
                        saved, v0 + j, units, mask, j, before, r0 + j, d_out, r0 + j, d_state, s0 + j,
                        d_gates, g0 + j,
                    )  # fmt: skip
            _product(
                running, units // LANES, d_gates, row * 4 * units, 4 * units, 1, w_hh, 0, 3 * units * LANES, LANES,
                3 * units, d_state, 0, units, d_state, 0, units,
            )  # fmt: skip
        for row in range(rows):
            for j in range(4 * units):
                d_bias[j] += d_gates[row * 4 * units + j]
        if len(d_w_hh):
            _add_outer(rows, before, units, n_units, d_gates, types.int64(0), units, d_w_hh)
        if len(d_w_ih):
            _gather(x, n_inputs, 0, n_inputs, n_steps, members, lengths, reverse, starts, first, last, x_rows, n_inputs)
            _add_outer(rows, x_rows, n_inputs, n_inputs, d_gates, units, units, d_w_ih)
        if len(d_x):
            _product(
                rows, input_vectors, d_gates, units, 4 * units, 1, w_ih, 0, 3 * units * LANES, LANES, 3 * units,
                nothing, 0, 0, d_x_rows, 0, input_vectors * LANES,
            )  # fmt: skip
            _scatter(
                d_x_rows, input_vectors * LANES, d_x, n_inputs, 0, n_inputs, n_steps, members, lengths, reverse,
                starts, first, last,
            )  # fmt: skip
    if len(d_x):
        _zero_padding(d_x, n_inputs, 0, n_inputs, n_steps, members, lengths)
    for i in range(signals):
        copy(d_state, i * units, d_h0, members[i] * n_units, n_units)


@_compiled
def generate(sizes, members, lengths, w_ih, w_hh, b_ih, b_hh, fc_weight, fc_bias, h0, output):
    """Let a stack of layers generate for one block of signals, every output the next step's input.

    Parameters
    ----------
    sizes : (steps, F, H, L)
    members, lengths : as in `forward`
    w_ih, w_hh, b_ih, b_hh : as in `forward`, layer after layer; the first layer has F inputs
    fc_weight, fc_bias : panels [ceil(F / LANES), H, LANES] and [F rounded up], or empty: the top state is the output
    h0 : [L * B * H]
    output : [B * steps * F], zeros beyond a length
    """
    n_steps, n_features, n_units, n_layers = sizes
    signals, units = len(members), len(b_hh) // n_layers // 3
    batch = len(h0) // n_layers // n_units
    feature_vectors = (n_features + LANES - 1) // LANES
    value_width = max(feature_vectors * LANES, units)
    starts = _row_starts(lengths)
    value, states = _scratch(signals * value_width), _scratch(n_layers * signals * units)
    projected, recurrent = _scratch(signals * 3 * units), _scratch(signals * 3 * units)
    value[:] = 0
    states[:] = 0
    for layer in range(n_layers):
        for i in range(signals):
            copy(h0, (layer * batch + members[i]) * n_units, states, (layer * signals + i) * units, n_units)
    for step in range(lengths[0]):
        running = starts[step + 1] - starts[step]
        for layer in range(n_layers):
            own = layer * signals * units
            if layer == 0:
                _product(
                    running, 3 * units // LANES, value, 0, value_width, 1, w_ih, 0, n_features * LANES, LANES,
                    n_features, b_ih, 0, 0, projected, 0, 3 * units,
                )  # fmt: skip
            else:
                at = 3 * units * (n_features + (layer - 1) * n_units)
                _product(
                    running, 3 * units // LANES, states, own - signals * units, units, 1, w_ih, at, n_units * LANES,
                    LANES, n_units, b_ih, layer * 3 * units, 0, projected, 0, 3 * units,
                )  # fmt: skip
            _product(
                running, 3 * units // LANES, states, own, units, 1, w_hh, layer * 3 * units * n_units, n_units * LANES,
                LANES, n_units, b_hh, layer * 3 * units, 0, recurrent, 0, 3 * units,
            )  # fmt: skip
            for i in range(running):
                for j in range(0, units, LANES):
                    p0, s0 = i * 3 * units + j, own + i * units + j
                    gates(projected, p0, recurrent, p0, units, states, s0, states, s0, states, 0)
        top = (n_layers - 1) * signals * units
        if len(fc_weight):
            _product(
                running, feature_vectors, states, top, units, 1, fc_weight, 0, n_units * LANES, LANES, n_units,
                fc_bias, 0, 0, value, 0, value_width,
            )  # fmt: skip
        else:
            for i in range(running):
                copy(states, top + i * units, value, i * value_width, n_units)
        for i in range(running):
            copy(value, i * value_width, output, (members[i] * n_steps + step) * n_features, n_features)
    _zero_padding(output, n_features, 0, n_features, n_steps, members, lengths)
