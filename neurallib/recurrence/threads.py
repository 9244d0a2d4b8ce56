"""Runs the kernels on tensors: deals signals to threads, adds up their gradients."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from neurallib.recurrence import ahead


class Direction(NamedTuple):
    """The weights of one direction of one GRU layer, in torch's layout: gates r, z, n."""

    weight_ih: Tensor  # [3H, C]
    weight_hh: Tensor  # [3H, H]
    bias_ih: Tensor  # [3H]
    bias_hh: Tensor  # [3H]


def forward(
    kernel: Any, x: Tensor, lengths: Tensor, directions: Sequence[Direction], h0: Tensor, keep: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Output [B, T, D*H] and last states [D, B, H] of a layer, and with `keep` the gates for `backward`."""
    (n_signals, n_steps, n_inputs), (n_directions, _, n_units) = x.shape, h0.shape
    width = n_directions * n_units
    tasks = _tasks(lengths, n_directions)
    saved = _empty(tasks[-1].rows.stop if keep else 0, 4 * _round_up(n_units, kernel.LANES))
    output, h_n = _empty(n_signals, n_steps, width), torch.empty_like(h0, memory_format=torch.contiguous_format)
    weights = [tuple(map(_flat, direction)) for direction in directions]
    flat_x, flat_output = _flat(x), _flat(output)
    if keep and not kernel.forward.overloads and torch.get_num_threads() > 1:
        ahead.want()
    _run([
        functools.partial(
            kernel.forward, flat_x, (n_steps, n_inputs, n_units, width), task.members, task.lengths, task.d == 1,
            *weights[task.d], _flat(h0[task.d]), flat_output, task.d * n_units, _flat(h_n[task.d]),
            _flat(saved[task.rows]),
        )
        for task in tasks
    ])  # fmt: skip
    return output, h_n, saved


def backward(
    kernel: Any,
    x: Tensor,
    lengths: Tensor,
    directions: Sequence[Direction],
    h0: Tensor,
    output: Tensor,
    saved: Tensor,
    d_output: Tensor,
    d_h_n: Tensor,
    needed: Sequence[bool],
) -> list[Tensor | None]:
    """Gradients by x, h0 and the four weights of each direction; None where not `needed`."""
    (n_steps, n_inputs), (n_directions, _, n_units) = x.shape[1:], h0.shape
    units = _round_up(n_units, kernel.LANES)
    empty = x.new_empty(0)
    d_h0 = torch.empty_like(h0, memory_format=torch.contiguous_format)
    d_x = [_empty(*x.shape) if needed[0] else empty for _ in directions]  # added up after the threads are done
    weights = [(_flat(direction.weight_ih), _flat(direction.weight_hh)) for direction in directions]
    real_units = torch.zeros(units, dtype=torch.int32, device=x.device)
    real_units[:n_units] = -1
    tasks = _tasks(lengths, n_directions)
    sums = []
    for task in tasks:
        needs_ih, needs_hh = needed[2 + 4 * task.d : 4 + 4 * task.d]
        rows = (n_inputs if needs_ih else 0, n_units if needs_hh else 0)
        sums.append((x.new_zeros(rows[0], 3, units), x.new_zeros(rows[1], 3, units), x.new_zeros(4, units)))
    sizes = (n_steps, n_inputs, n_units, n_directions * n_units)
    shared = [_flat(tensor) for tensor in (x, real_units.view(torch.float32), output, d_output)]
    _run([
        functools.partial(
            kernel.backward, shared[0], sizes, task.members, task.lengths, task.d == 1, *weights[task.d], shared[1],
            _flat(h0[task.d]), shared[2], task.d * n_units, _flat(saved[task.rows]), shared[3],
            _flat(d_h_n[task.d]), _flat(d_x[task.d]), _flat(d_h0[task.d]), *map(_flat, total),
        )
        for task, total in zip(tasks, sums, strict=True)
    ])  # fmt: skip
    for other in d_x[1:]:
        d_x[0] += other
    gradients = [d_x[0], d_h0]
    for d in range(n_directions):
        parts = zip(*(total for task, total in zip(tasks, sums, strict=True) if task.d == d), strict=True)
        d_ih, d_hh, bias = (functools.reduce(torch.add, part)[..., :n_units] for part in parts)
        gradients.append(d_ih.permute(1, 2, 0).flatten(0, 1))
        gradients.append(d_hh[:, [1, 2, 0]].permute(1, 2, 0).flatten(0, 1))  # the kernel has gates n, r, z there
        gradients += [bias[1:].flatten(), bias[[1, 2, 0]].flatten()]
    return [gradient if need else None for gradient, need in zip(gradients, needed, strict=True)]


def generate(
    kernel: Any,
    layers: Sequence[Direction],
    fc_weight: Tensor | None,
    fc_bias: Tensor | None,
    h0: Tensor,
    lengths: Tensor,
    n_steps: int,
) -> Tensor:
    """Output [B, n_steps, F] of a stack of layers that is fed its own output."""
    (n_layers, n_signals, n_units), n_features = h0.shape, layers[0].weight_ih.shape[1]
    output, flat_h0 = _empty(n_signals, n_steps, n_features), _flat(h0)
    weights = [np.concatenate([_flat(weight) for weight in kind]) for kind in zip(*layers, strict=True)]
    fc_weight = h0.new_empty(0) if fc_weight is None else fc_weight
    fc_bias = fc_weight.new_zeros(n_features) if fc_bias is None else fc_bias
    weights += [_flat(fc_weight), _flat(fc_bias)]
    sizes, flat_output = (n_steps, n_features, n_units, n_layers), _flat(output)
    _run([
        functools.partial(kernel.generate, sizes, task.members, task.lengths, *weights, flat_h0, flat_output)
        for task in _tasks(lengths, 1)
    ])
    return output


def linear(kernel: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """[..., K] of x [..., H], in equal shares of rows; a small product by one thread, which is done before another has
    begun."""
    depth = x.shape[-1]
    output = _empty(*x.shape[:-1], len(bias))
    n_rows, n_jobs = x.numel() // depth, min(torch.get_num_threads(), 1 + (x.numel() * len(bias) >> 18))
    bounds = [n_rows * job // n_jobs for job in range(n_jobs + 1)]
    arrays = [_flat(tensor) for tensor in (x, weight, bias, output)]
    _run([
        functools.partial(kernel.linear, arrays[0], first, last, depth, *arrays[1:])
        for first, last in zip(bounds, bounds[1:], strict=False)
    ])  # fmt: skip
    return output


class _Task(NamedTuple):
    """One direction over one block of signals."""

    d: int
    members: np.ndarray  # [S] int64, places in the batch
    lengths: np.ndarray  # [S] int64, falling
    rows: slice  # its part of the kept gates


def _tasks(lengths: Tensor, n_directions: int) -> list[_Task]:
    """Deal the signals, longest first, to as few blocks as keep all threads busy; few blocks make large products."""
    n_blocks = min(len(lengths), -(-torch.get_num_threads() // n_directions))
    known = lengths.numpy()
    by_length = np.argsort(-known, kind="stable")
    tasks, row = [], 0
    for d in range(n_directions):
        for block in range(n_blocks):
            members = np.ascontiguousarray(by_length[block::n_blocks])
            own = known[members]
            n_rows = int(own.sum())
            tasks.append(_Task(d, members, own, slice(row, row + n_rows)))
            row += n_rows
    return tasks


def _run(jobs: Sequence[functools.partial[None]]) -> None:
    """Run the jobs at the same time, on as many threads as torch has, this one among them."""
    threads, futures, here = _threads(os.getpid(), torch.get_num_threads() - 1), [], list(jobs)
    if here and not here[0].func.overloads:  # type: ignore[attr-defined]
        _compile(here.pop())
    if threads is not None:
        with contextlib.suppress(RuntimeError):  # the program is ending: no new threads
            while len(here) > 1:
                futures.append(threads.submit(_flushing, here[-1]))
                here.pop()
    try:
        for job in here:
            _flushing(job)
    finally:  # the arrays must outlive the jobs, whatever happens here
        for future in futures:
            future.result()


def _compile(job: Callable[[], None]) -> None:
    """Run a kernel for the first time, in a thread of its own.

    Ctrl-C reaches the main thread alone; there it would leave Numba with half a compilation. So it acts at the end.
    """
    with ThreadPoolExecutor(1) as thread:
        try:
            future = thread.submit(_flushing, job)
        except RuntimeError:  # the program is ending: no new threads
            _flushing(job)
        else:
            future.result()


def _flushing(job: Callable[[], None]) -> None:
    """Run a job with denormal numbers as zeros in this thread, which is then as it was.

    States and gradients that die away pass through them, and a sum of them takes up to 60 times as long.
    """
    flushes = _SMALLEST * 0.01 == 0
    torch.set_flush_denormal(True)
    try:
        job()
    finally:
        torch.set_flush_denormal(flushes)


_SMALLEST = sys.float_info.min  # of the normal numbers


@functools.lru_cache(maxsize=1)
def _threads(process: int, n_threads: int) -> ThreadPoolExecutor | None:
    """Threads for the kernels, which release the lock; per process, because threads do not survive a fork.

    Another number's threads end when the last who uses them lets go: an executor that nobody holds stops by itself,
    and unlike a call of `shutdown` that never waits for a fork's lost threads nor stops what another thread began.
    """
    return ThreadPoolExecutor(n_threads, thread_name_prefix="neurallib-recurrence") if n_threads else None


def _round_up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple


def _flat(tensor: Tensor) -> np.ndarray:
    return tensor.detach().numpy().ravel()  # of a contiguous one, as all that is written to are, the memory itself


_SMALL = 1 << 16  # numbers; so few have no huge page, and torch's memory starts at a cache line


def _empty(*shape: int) -> Tensor:
    """float32 memory from NumPy, which asks for huge pages: first touches of small ones cost a quarter of a step."""
    size = math.prod(shape)
    if size < _SMALL:
        return torch.empty(shape, dtype=torch.float32, device="cpu")
    memory = np.empty(size + 16, np.float32)
    start = (-memory.ctypes.data // 4) % 16  # at a cache line, as whole-vector stores want it
    return torch.from_numpy(memory[start : start + size]).view(shape)
