"""What torch tells only under private names, each with another way to find it out where a torch lacks the name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor
from torch.autograd import forward_ad

P = ParamSpec("P")
R = TypeVar("R")


def uncompiled(function: Callable[P, R]) -> Callable[P, R]:
    """The function, left as it is by `torch.compile`. What torch offers in public for it imports the whole compiler at
    once, which takes a second."""
    disable = getattr(getattr(torch, "_compile", None), "_disable_dynamo", torch.compiler.disable)
    left: Callable[P, R] = disable(function)
    return left


def is_tracing(tensors: Sequence[Tensor]) -> bool:
    """Whether `torch.jit.trace` records what is done to `tensors`."""
    ask = getattr(torch._C, "_is_tracing", None)
    return isinstance(tensors[0].size(0), Tensor) if ask is None else bool(ask())  # then sizes are recorded, too


def is_transformed(tensors: Sequence[Tensor]) -> bool:
    """Whether a transform of torch.func is active, and reaches one of `tensors`."""
    ask = getattr(torch._C, "_are_functorch_transforms_active", None)
    return not all(map(_has_memory, tensors)) if ask is None else bool(ask())


def is_forward_mode(tensors: Sequence[Tensor]) -> bool:
    """Whether forward-mode differentiation is active, and reaches one of `tensors`."""
    level = getattr(forward_ad, "_current_level", None)
    if level is None:
        unpacked = [forward_ad.unpack_dual(tensor, level=0) for tensor in tensors]  # type: ignore[no-untyped-call]
        return any(dual.tangent is not None for dual in unpacked)
    return bool(level >= 0)


def _has_memory(tensor: Tensor) -> bool:
    """Whether a tensor is one of its own; what a transform wraps it in has no memory."""
    try:
        tensor.data_ptr()
    except RuntimeError:
        return False
    return True
