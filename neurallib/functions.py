"""Functions in words: where one can be found, and a sum of what it does, which changes with its code and its values."""

from __future__ import annotations

import functools
import inspect
import zlib
from collections.abc import Mapping
from types import CodeType
from typing import Any

import numpy as np
from torch import Tensor

from neurallib.state import Weights

_DEEPEST = 20  # of functions that hold functions; what holds itself ends there


def function_name(function: Any) -> str:
    """Where a function can be found, module.qualname; of what wraps one or can be called the best there is."""
    function = getattr(function, "func", function)  # of functools.partial
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"


def described(function: Any) -> str:
    """A function in words that stay the same from process to process, and change with its code, the values that it
    holds and those that it was given beforehand."""
    return f"{function_name(function)} {text_sum(_told(function, _DEEPEST))}"


def text_sum(text: str) -> str:
    """A short sum of a text."""
    return f"{zlib.crc32(text.encode()):08x}"


def array_sum(array: np.ndarray, start: int = 0) -> int:
    """A checksum of an array's numbers, which goes on from that of others."""
    return zlib.crc32(np.ascontiguousarray(array).data, start)


def weights_sum(weights: Weights) -> int:
    """A checksum of weights by their names, in whatever order; others hardly have it."""
    total = 0
    for name in sorted(weights):
        total = array_sum(weights[name].detach().cpu().numpy(), total)
    return total


def _told(value: Any, depth: int) -> str:
    """All that makes a value, as text without addresses."""
    if depth == 0:
        return "..."
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{value.shape}{array_sum(value)}"
    if isinstance(value, Mapping):
        return str(sorted((str(name), _told(item, depth - 1)) for name, item in value.items()))
    if isinstance(value, (list, tuple)):
        return str([_told(item, depth - 1) for item in value])
    if isinstance(value, (set, frozenset)):
        return str(sorted(_told(item, depth - 1) for item in value))
    if isinstance(value, CodeType):
        return f"{value.co_code.hex()}{value.co_names}{_told(value.co_consts, depth - 1)}"
    if isinstance(value, functools.partial):
        return _told([value.func, value.args, value.keywords], depth - 1)
    if callable(value) and not isinstance(value, type):
        code = getattr(inspect.unwrap(value), "__code__", None)
        cells = [cell.cell_contents for cell in getattr(value, "__closure__", None) or ()]
        held = [code, getattr(value, "__defaults__", None), getattr(value, "__kwdefaults__", None), cells]
        own = getattr(value, "__self__", None) if code is not None else value  # of a method, or an object
        held.append(vars(own) if hasattr(own, "__dict__") and not inspect.ismodule(own) else own is not value and own)
        return function_name(value) + _told(held, depth - 1)
    plain = isinstance(value, (int, float, complex, str, bytes, bool, type(None), type(...)))
    return repr(value) if plain else f"{type(value).__module__}.{type(value).__qualname__}"
