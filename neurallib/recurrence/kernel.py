"""The GRU recurrence over blocks of signals, compiled by Numba: matrix products and scans over time.

A task is one direction of one layer over a block of signals, sorted by falling length, so that the signals still
running at a step are always the block's first rows. The rows of a task are its (step, signal) pairs in that order;
padding has none. A chunk of rows (a few hundred) is copied to scratch memory that stays in the second-level cache,
projected, scanned and copied out before the next.

Units are padded to whole vectors: U = H rounded up to LANES. Padded units have zero weights, and no unit reads
what they hold.
The right factor of a product lies in panels [vectors, depth, LANES], one vector of columns after the other.
All arrays are flat and contiguous, float32 or int64; weights come in torch's layout.
"""
# mypy: disable-error-code="no-untyped-def,call-arg"

from __future__ import annotations

from numba import types

from neurallib.recurrence.compiling import LANES, kept
from neurallib.recurrence.products import (
    DEPTH_BLOCK,
    add_outer,
    chunk_steps,
    gather,
    pack_columns,
    pack_rows,
    product,
    row_starts,
    scatter,
    scratch,
    zero_padding,
)
from neurallib.recurrence.vectors import copy, gates, gates_and_keep, gates_backward


@kept
def forward(x, sizes, members, lengths, reverse, w_ih, w_hh, b_ih, b_hh, h0, output, column, h_n, saved):
    """Run one task forward.

    Parameters
    ----------
    x : [B * T * C] float32
    sizes : (T, C, H, width of an output step)
    members, lengths : [S] int64
        The signals' places in the batch and their lengths, longest first.
    reverse : bool
    w_ih, w_hh, b_ih, b_hh : [3H * C], [3H * H], [3H], [3H]
    h0 : [B * H]
    output : [B * T * width]
        Columns column..column + H are written, zeros beyond a length.
    h_n : [B * H]
    saved : [rows * 4U], or empty when nothing is to be kept for the backward.
    """
    n_steps, n_inputs, n_units, wide = sizes
    signals, units = len(members), (n_units + LANES - 1) // LANES * LANES
    from_x, from_h = scratch(3 * units * n_inputs), scratch(3 * units * n_units)
    bias_x, bias_h = scratch(3 * units), scratch(3 * units)
    pack_columns(w_ih, 0, 3, n_units, units, n_inputs, from_x, 0)
    pack_columns(w_hh, 0, 3, n_units, units, n_units, from_h, 0)
    pack_columns(b_ih, 0, 3, n_units, units, 1, bias_x, 0)
    pack_columns(b_hh, 0, 3, n_units, units, 1, bias_h, 0)
    starts = row_starts(lengths)
    steps = chunk_steps(lengths, n_inputs + 4 * units)
    x_rows, projected = scratch(steps * signals * n_inputs), scratch(steps * signals * 3 * units)
    states = scratch((steps + 1) * signals * units)  # those before the chunk, then one row for each of its rows
    recurrent = scratch(signals * 3 * units)
    for i in range(signals):
        copy(h0, members[i] * n_units, states, i * units, n_units)
    for first in range(0, lengths[0], steps):
        last = min(first + steps, lengths[0])
        rows = starts[last] - starts[first]
        gather(x, n_inputs, 0, n_inputs, n_steps, members, lengths, reverse, starts, first, last, x_rows, n_inputs)
        product(
            rows, 3 * units // LANES, x_rows, 0, n_inputs, 1, from_x, 0, n_inputs * LANES, LANES, n_inputs,
            bias_x, 0, 0, projected, 0, 3 * units,
        )  # fmt: skip
        before = 0
        for step in range(first, last):
            running = starts[step + 1] - starts[step]
            row = starts[step] - starts[first]
            after = (signals + row) * units
            product(
                running, 3 * units // LANES, states, before, units, 1, from_h, 0, n_units * LANES, LANES, n_units,
                bias_h, 0, 0, recurrent, 0, 3 * units,
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
        scatter(
            states[signals * units :], units, output, n_units, column, wide, n_steps, members, lengths, reverse,
            starts, first, last,
        )  # fmt: skip
        carried = (starts[last] - starts[last - 1]) * units
        copy(states, before, states, 0, carried)
    zero_padding(output, n_units, column, wide, n_steps, members, lengths)
    for i in range(signals):
        time = 0 if reverse else lengths[i] - 1
        copy(output, (members[i] * n_steps + time) * wide + column, h_n, members[i] * n_units, n_units)


@kept
def backward(
    x, sizes, members, lengths, reverse, w_ih, w_hh, mask, h0, output, column, saved, d_output, d_h_n,
    d_x, d_h0, d_w_ih, d_w_hh, d_bias,
):  # fmt: skip
    """Run one task backward.

    Parameters as in `forward`, and
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
    to_h = scratch(units * 3 * units)
    pack_rows(w_hh, n_units, units, n_units, 2, to_h)  # gates n, r, z, as d_gates has them
    to_x = scratch(input_vectors * LANES * 3 * units if len(d_x) else 0)
    if len(d_x):
        pack_rows(w_ih, n_units, units, n_inputs, 0, to_x)
    starts = row_starts(lengths)
    steps = chunk_steps(lengths, 2 * n_inputs + 6 * units)
    size = steps * signals
    x_rows, d_x_rows = scratch(size * n_inputs), scratch(size * input_vectors * LANES)
    d_out, before, d_gates = scratch(size * units), scratch(size * units), scratch(size * 4 * units)
    d_state, nothing = scratch(signals * units), scratch(input_vectors * LANES)
    nothing[:] = 0
    for i in range(signals):
        copy(d_h_n, members[i] * n_units, d_state, i * units, n_units)
    n_chunks = (lengths[0] + steps - 1) // steps
    for chunk in range(n_chunks - 1, -1, -1):
        first = chunk * steps
        last = min(first + steps, lengths[0])
        rows = starts[last] - starts[first]
        gather(d_output, n_units, column, wide, n_steps, members, lengths, reverse, starts, first, last, d_out, units)
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
            product(
                running, units // LANES, d_gates, row * 4 * units, 4 * units, 1, to_h, 0, 3 * units * LANES, LANES,
                3 * units, d_state, 0, units, d_state, 0, units,
            )  # fmt: skip
        for row in range(rows):
            for j in range(4 * units):
                d_bias[j] += d_gates[row * 4 * units + j]
        if len(d_w_hh):
            add_outer(rows, before, units, n_units, d_gates, types.int64(0), units, d_w_hh)
        if len(d_w_ih):
            gather(x, n_inputs, 0, n_inputs, n_steps, members, lengths, reverse, starts, first, last, x_rows, n_inputs)
            add_outer(rows, x_rows, n_inputs, n_inputs, d_gates, units, units, d_w_ih)
        if len(d_x):
            product(
                rows, input_vectors, d_gates, units, 4 * units, 1, to_x, 0, 3 * units * LANES, LANES, 3 * units,
                nothing, 0, 0, d_x_rows, 0, input_vectors * LANES,
            )  # fmt: skip
            scatter(
                d_x_rows, input_vectors * LANES, d_x, n_inputs, 0, n_inputs, n_steps, members, lengths, reverse,
                starts, first, last,
            )  # fmt: skip
    if len(d_x):
        zero_padding(d_x, n_inputs, 0, n_inputs, n_steps, members, lengths)
    for i in range(signals):
        copy(d_state, i * units, d_h0, members[i] * n_units, n_units)


@kept
def generate(sizes, members, lengths, w_ih, w_hh, b_ih, b_hh, fc_weight, fc_bias, h0, output):
    """Let a stack of layers generate for one block of signals, every output the next step's input.

    Parameters
    ----------
    sizes : (steps, F, H, L)
    members, lengths : as in `forward`
    w_ih, w_hh, b_ih, b_hh : as in `forward`, layer after layer; the first layer has F inputs
    fc_weight, fc_bias : [F * H] and [F], or empty: the top state is the output
    h0 : [L * B * H]
    output : [B * steps * F], zeros beyond a length
    """
    n_steps, n_features, n_units, n_layers = sizes
    signals, units = len(members), (n_units + LANES - 1) // LANES * LANES
    batch = len(h0) // n_layers // n_units
    width = (n_features + LANES - 1) // LANES * LANES
    # the weights of all layers, one after the other
    n_inputs = n_features + (n_layers - 1) * n_units
    from_x, from_h = scratch(3 * units * n_inputs), scratch(3 * units * n_layers * n_units)
    bias_x, bias_h = scratch(3 * units * n_layers), scratch(3 * units * n_layers)
    to_value, bias_value = scratch(width * n_units), scratch(width)
    for layer in range(n_layers):
        depth, below = (n_units, n_features + (layer - 1) * n_units) if layer else (n_features, 0)
        unit = layer * n_units
        pack_columns(w_ih, 3 * n_units * below, 3, n_units, units, depth, from_x, 3 * units * below)
        pack_columns(w_hh, 3 * n_units * unit, 3, n_units, units, n_units, from_h, 3 * units * unit)
        pack_columns(b_ih, 3 * unit, 3, n_units, units, 1, bias_x, 3 * units * layer)
        pack_columns(b_hh, 3 * unit, 3, n_units, units, 1, bias_h, 3 * units * layer)
    if len(fc_weight):
        pack_columns(fc_weight, 0, 1, n_features, width, n_units, to_value, 0)
        pack_columns(fc_bias, 0, 1, n_features, width, 1, bias_value, 0)
    starts = row_starts(lengths)
    value, states = scratch(signals * width), scratch(n_layers * signals * units)
    projected, recurrent = scratch(signals * 3 * units), scratch(signals * 3 * units)
    value[:] = 0
    for layer in range(n_layers):
        for i in range(signals):
            copy(h0, (layer * batch + members[i]) * n_units, states, (layer * signals + i) * units, n_units)
    for step in range(lengths[0]):
        running = starts[step + 1] - starts[step]
        for layer in range(n_layers):
            own = layer * signals * units
            if layer == 0:
                product(
                    running, 3 * units // LANES, value, 0, width, 1, from_x, 0, n_features * LANES, LANES,
                    n_features, bias_x, 0, 0, projected, 0, 3 * units,
                )  # fmt: skip
            else:
                at = 3 * units * (n_features + (layer - 1) * n_units)
                product(
                    running, 3 * units // LANES, states, own - signals * units, units, 1, from_x, at, n_units * LANES,
                    LANES, n_units, bias_x, 3 * units * layer, 0, projected, 0, 3 * units,
                )  # fmt: skip
            product(
                running, 3 * units // LANES, states, own, units, 1, from_h, 3 * units * layer * n_units,
                n_units * LANES, LANES, n_units, bias_h, 3 * units * layer, 0, recurrent, 0, 3 * units,
            )  # fmt: skip
            for i in range(running):
                for j in range(0, units, LANES):
                    p0, s0 = i * 3 * units + j, own + i * units + j
                    gates(projected, p0, recurrent, p0, units, states, s0, states, s0, states, 0)
        top = (n_layers - 1) * signals * units
        if len(fc_weight):
            product(
                running, width // LANES, states, top, units, 1, to_value, 0, n_units * LANES, LANES, n_units,
                bias_value, 0, 0, value, 0, width,
            )  # fmt: skip
        else:
            for i in range(running):
                copy(states, top + i * units, value, i * units, n_units)
        for i in range(running):
            copy(value, i * width, output, (members[i] * n_steps + step) * n_features, n_features)
    zero_padding(output, n_features, 0, n_features, n_steps, members, lengths)


@kept
def linear(x, first, last, depth, weight, bias, output):
    """Rows first..last - 1 of output [N, K] = x [N, depth] weight [K, depth]^T + bias [K], all flat."""
    n_out = len(bias)
    vectors = (n_out + LANES - 1) // LANES
    wide = vectors * LANES
    panels, start, rows = scratch(wide * depth), scratch(wide), scratch(DEPTH_BLOCK * wide)
    pack_columns(weight, 0, 1, n_out, wide, depth, panels, 0)
    start[:n_out] = bias
    for block in range(first, last, DEPTH_BLOCK):
        count = min(DEPTH_BLOCK, last - block)
        product(
            count, vectors, x, block * depth, depth, 1, panels, 0, depth * LANES, LANES, depth,
            start, 0, 0, rows, 0, wide,
        )  # fmt: skip
        for i in range(count):
            for j in range(n_out):
                output[(block + i) * n_out + j] = rows[i * wide + j]
