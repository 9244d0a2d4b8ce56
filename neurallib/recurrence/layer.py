"""The GRU recurrence over padded batches: the one place that knows about devices and fast paths.

On a CPU in float32 the kernels of `kernel.py` run (extra `fast`); torch's own GRU without packing on a GPU, in
other dtypes, while exporting, tracing or under torch.func, and where it is faster. Training keeps per step, unit (their
number rounded up to a whole vector) and direction the gates r, z, n and W_hn h + b_hn, 16 bytes, beside the output, 4
bytes, and the input; inference keeps nothing.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import types
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from neurallib.checks import choice
from neurallib.extras import install
from neurallib.recurrence import sizes, threads, torch_state
from neurallib.recurrence.threads import Direction
from neurallib.sequences import at_last_step, flip_valid, zero_padding
from neurallib.warn import warn

__all__ = ["Direction", "gru_generate", "gru_layer", "use_path"]

_path = contextvars.ContextVar("neurallib_recurrence_path", default="auto")


@contextlib.contextmanager
def use_path(name: str) -> Iterator[None]:
    """Force the path of the recurrence within a `with` block, in this thread or task; for tests and benchmarks.

    "auto": the kernels wherever they can run and are faster. "numba": the kernels, or a RuntimeError that says why they
    cannot run. "torch": torch's own GRU.
    """
    choice("name", name, ("auto", "numba", "torch"))
    token = _path.set(name)
    try:
        yield
    finally:
        _path.reset(token)


def gru_layer(
    x: Tensor, lengths: Tensor, directions: Sequence[Direction], h0: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Run one GRU layer, in one direction or both (D = 2), over a right-padded batch [B, T, C].

    The reverse direction starts at each signal's own last step; `h0` [D, B, H] holds the states to start from, zeros by
    default. Gives the output [B, T, D*H], zero beyond a length and float32 under autocast on a CPU, and the state of
    each direction after its last step [D, B, H]; ValueError or TypeError where sizes or lengths do not fit.
    """
    if torch.compiler.is_dynamo_compiling() and not getattr(torch.compiler, "is_exporting", lambda: True)():
        output, h_n = _uncompiled_layer(x, lengths, directions, h0)  # compiled, every step would be unrolled
        return output, h_n
    sizes.check_layer(x, lengths, directions, h0)
    if h0 is None:
        h0 = x.new_zeros(len(directions), x.shape[0], directions[0].weight_hh.shape[1])
    tensors = [x, h0, *(weight for direction in directions for weight in direction)]
    kernel = _kernel_for(tensors)
    learning = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    if kernel is None or (_path.get() == "auto" and not learning and _outgrows_a_core(x, directions)):
        return _torch_layer(x, lengths, directions, h0)
    x, h0, *weights = (tensor.float() for tensor in tensors)
    if learning:
        output, h_n = _Layer.apply(kernel, lengths, x, h0, *weights)  # type: ignore[no-untyped-call]
        return output, h_n
    return threads.forward(kernel, x, lengths, _directions(weights), h0, keep=False)[:2]


@torch_state.uncompiled
def _uncompiled_layer(*args: Any) -> tuple[Tensor, Tensor]:
    return gru_layer(*args)


def gru_generate(
    layers: Sequence[Direction],
    fc_weight: Tensor | None,
    fc_bias: Tensor | None,
    h0: Tensor,
    lengths: Tensor,
    n_steps: int,
) -> Tensor:
    """Let a stack of L GRU layers generate [B, n_steps, F], zero beyond a length, without gradient: each output is the
    next step's input, the first input is zeros.

    `h0` [L, B, H] holds each layer's first state; fc_weight [F, H] and fc_bias [F] are the output layer, without which
    the top layer's state is the output (F = H). ValueError or TypeError where sizes or lengths do not fit.
    """
    sizes.check_generation(layers, fc_weight, fc_bias, h0, lengths, n_steps)
    output_layer = [weight for weight in (fc_weight, fc_bias) if weight is not None]
    kernel = _kernel_for([h0, *output_layer, *(weight for layer in layers for weight in layer)])
    with torch.no_grad():
        if kernel is None:
            return _torch_generate(layers, fc_weight, fc_bias, h0, lengths, n_steps)
        layers = [Direction(*(weight.float() for weight in layer)) for layer in layers]
        fc_weight, fc_bias = (None if weight is None else weight.float() for weight in (fc_weight, fc_bias))
        return threads.generate(kernel, layers, fc_weight, fc_bias, h0.float(), lengths, n_steps)


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A linear layer [..., H] -> [..., K] beside the recurrence, such as a model's output layer; ValueError where sizes
    do not fit.

    Without gradients it runs in the kernels: torch's own starts threads that look for more work for some milliseconds
    after it, on cores that the next recurrence needs (measured at batch 1: a quarter of an inference).
    """
    sizes.check_linear(x, weight, bias)
    kernel = None
    if not torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu"):
        kernel = _kernel_for([x, weight, bias])
    if kernel is None:
        return torch.nn.functional.linear(x, weight, bias)
    return threads.linear(kernel, x.float(), weight.float(), bias.float())


def _outgrows_a_core(x: Tensor, directions: Sequence[Direction]) -> bool:
    """Whether torch infers faster, because it shares the units among threads: a few signals in one direction with
    weights beyond a second-level cache of 2 MB (measured with two threads: up to 2.7 times at H = 512)."""
    n_units = directions[0].weight_hh.shape[1]
    return len(directions) == 1 and n_units > 418 and x.shape[0] <= n_units // 128


def _torch_layer(
    x: Tensor, lengths: Tensor, directions: Sequence[Direction], h0: Tensor
) -> tuple[Tensor, Tensor]:
    outputs, last_states = [], []
    learning = torch.is_grad_enabled()  # without being told, cuDNN keeps nothing that gradients are made of
    for d, direction in enumerate(directions):
        signal = flip_valid(x, lengths) if d == 1 else x
        start = h0[d : d + 1].contiguous()
        weights = _in_one_piece(direction) if x.is_cuda else list(direction)
        output = torch.gru(signal, start, weights, True, 1, 0.0, learning, False, True)[0]
        last_states.append(at_last_step(output, lengths))
        outputs.append(flip_valid(output, lengths) if d == 1 else output)
    return zero_padding(torch.cat(outputs, dim=-1), lengths), torch.stack(last_states)


def _in_one_piece(direction: Direction) -> list[Tensor]:
    """The weights one behind the other in memory, as cuDNN has them: it copies others at every call, and warns."""
    piece = torch.cat([weight.flatten() for weight in direction])
    parts = torch.split(piece, [weight.numel() for weight in direction])
    return [part.view_as(weight) for part, weight in zip(parts, direction, strict=True)]


def _torch_generate(
    layers: Sequence[Direction],
    fc_weight: Tensor | None,
    fc_bias: Tensor | None,
    h0: Tensor,
    lengths: Tensor,
    n_steps: int,
) -> Tensor:
    states, value, outputs = list(h0), h0.new_zeros(h0.shape[1], layers[0].weight_ih.shape[1]), []
    for _ in range(n_steps):
        for i, layer in enumerate(layers):
            states[i] = torch.gru_cell(value if i == 0 else states[i - 1], states[i], *layer)
        value = states[-1] if fc_weight is None else torch.nn.functional.linear(states[-1], fc_weight, fc_bias)
        outputs.append(value)
    return zero_padding(torch.stack(outputs, dim=1), lengths)


def _kernel_for(tensors: Sequence[Tensor]) -> types.ModuleType | None:
    """The kernels, or None where torch's own GRU is to run."""
    if torch.compiler.is_compiling() or torch_state.is_tracing(tensors):
        return None
    path = _path.get()
    if path == "torch":
        return None
    obstacle = _obstacle(tensors)
    kernel = _load_kernel() if obstacle is None else None
    if path == "numba" and kernel is None:
        raise RuntimeError(f"use_path('numba') is in force, but {obstacle or 'numba is not installed'}.")
    return kernel


def _obstacle(tensors: Sequence[Tensor]) -> str | None:
    autocast = torch.is_autocast_enabled("cpu")
    for tensor in tensors:
        if tensor.device.type != "cpu":
            return f"a tensor is on {tensor.device}"
        if tensor.dtype != torch.float32 and not (autocast and tensor.dtype in (torch.bfloat16, torch.float16)):
            return f"a tensor is {tensor.dtype}"
        if type(tensor) not in (Tensor, torch.nn.Parameter):
            return f"a tensor is a {type(tensor).__name__}"
    if torch_state.is_transformed(tensors) or torch_state.is_forward_mode(tensors):
        return "a torch.func transform or forward-mode differentiation is active"
    return None


@functools.cache
def _load_kernel() -> types.ModuleType | None:
    try:
        import numba

        if getattr(numba.config, "DISABLE_JIT", False):
            return None
        import scipy.linalg  # noqa: F401  numba does at its first call, where denormals are zeros: numpy 1 warns

        from neurallib.recurrence import kernel
    except ImportError:
        warn(f"numba is not installed: GRUs on the CPU run up to 100 times slower. {install('fast')}")
        return None
    return kernel


class _Layer(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, kernel: Any, lengths: Tensor, x: Tensor, h0: Tensor, *weights: Tensor) -> Any:
        output, h_n, saved = threads.forward(kernel, x, lengths, _directions(weights), h0, keep=True)
        ctx.kernel = kernel
        ctx.save_for_backward(lengths, x, h0, output, saved, *weights)
        return output, h_n

    @staticmethod
    def backward(ctx: Any, *d_outputs: Tensor) -> Any:
        lengths, x, h0, output, saved, *weights = ctx.saved_tensors
        needed = ctx.needs_input_grad[2:]
        if torch.is_grad_enabled():  # create_graph: these gradients will be differentiated again
            return None, None, *_differentiable_gradients(lengths, x, h0, weights, d_outputs, needed)
        d_output, d_h_n = d_outputs
        return None, None, *threads.backward(
            ctx.kernel, x, lengths, _directions(weights), h0, output, saved, d_output, d_h_n, needed
        )  # fmt: skip


def _differentiable_gradients(
    lengths: Tensor,
    x: Tensor,
    h0: Tensor,
    weights: Sequence[Tensor],
    d_outputs: Sequence[Tensor],
    needed: Sequence[bool],
) -> list[Tensor | None]:
    outputs = _torch_layer(x, lengths, _directions(weights), h0)
    wanted = [tensor for tensor, need in zip((x, h0, *weights), needed, strict=True) if need]
    found = iter(torch.autograd.grad(outputs, wanted, d_outputs, create_graph=True))
    return [next(found) if need else None for need in needed]


def _directions(weights: Sequence[Tensor]) -> list[Direction]:
    return [Direction(*weights[i : i + 4]) for i in range(0, len(weights), 4)]
