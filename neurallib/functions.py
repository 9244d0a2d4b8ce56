"""Functions in words: where one can be found, and a sum of what it does, which changes with its code and its values."""

from __future__ import annotations

import dis
import enum
import functools
import inspect
import itertools
import os
import re
import sys
import sysconfig
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePath
from types import CellType, CodeType, FunctionType
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from neurallib.state import Weights

_DEEPEST = 20  # of values that hold values; what holds itself ends there
_MOST = 200_000  # values that are looked at one by one: seconds
_DOCUMENTED = getattr(inspect, "CO_HAS_DOCSTRING", inspect.CO_OPTIMIZED)  # before Python 3.13 all functions say it
_PLAIN = (int, float, complex, str, bytes, type(None), type(...), range, enum.Enum, PurePath)
_LIBRARIES = (f"{Path(__file__).parent}{os.sep}", f"{sysconfig.get_path('stdlib')}{os.sep}", "<frozen ")


class _Telling(NamedTuple):
    """What has been told so far."""

    functions: set[int]  # and classes, by their id; what calls itself ends there
    looks: Iterator[int]
    follows: bool  # what a function uses of its module, and what a class holds beside its methods


def function_name(function: Any) -> str:
    """Where a function can be found, module.qualname; of what wraps one or can be called the best there is."""
    function = getattr(function, "func", function)  # of functools.partial
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"


def described(function: Any, follows: bool = False) -> str:
    """A function in words that stay the same from process to process, and change with its code, the values that it
    holds and those that it was given beforehand; where it `follows`, with those of its module that it uses, functions
    too, some of which may change while it runs."""
    return f"{function_name(function)} {content_sum(function, follows)}"


def content_sum(value: Any, follows: bool = True) -> str:
    """A short sum of all that makes a value: numbers, texts, arrays, functions, and what holds them."""
    return text_sum(_told(value, _DEEPEST, _Telling(set(), itertools.count(), follows)))


def text_sum(text: str) -> str:
    """A short sum of a text."""
    return f"{zlib.crc32(text.encode(errors='backslashreplace')):08x}"


def array_sum(array: np.ndarray, start: int = 0) -> int:
    """A checksum of an array's numbers, which goes on from that of others."""
    return zlib.crc32(np.ascontiguousarray(array).data, start)


def weights_sum(weights: Weights) -> int:
    """A checksum of weights by their names, in whatever order; others hardly have it."""
    total = 0
    for name in sorted(weights):
        total = array_sum(weights[name].detach().cpu().numpy(), total)
    return total


def _told(value: Any, depth: int, telling: _Telling) -> str:
    """All that makes a value, as text without addresses."""
    if depth == 0 or next(telling.looks) >= _MOST:
        return "..."
    tell = functools.partial(_told, depth=depth - 1, telling=telling)
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    elif hasattr(value, "to_numpy") and not isinstance(value, type):  # of pandas
        value = value.to_numpy()
    if isinstance(value, (np.ndarray, np.generic)):
        mask = tell(np.ma.getmaskarray(value)) if isinstance(value, np.ma.MaskedArray) else ""
        numbers = array_sum(np.asarray(value)) if value.dtype.kind in "biufcSU" else tell(value.tolist())
        return f"{value.dtype}{value.shape}{numbers}{mask}"
    if isinstance(value, Mapping):
        return _joined(sorted(f"{name}: {tell(item)}" for name, item in value.items()))
    if isinstance(value, (list, tuple)):
        flat = all(type(item) in (int, float, str, bool) for item in value)  # at once, however long
        return text_sum(repr(list(value))) if flat else _joined([tell(item) for item in value])
    if isinstance(value, (set, frozenset)):
        return _joined(sorted(tell(item) for item in value))
    if isinstance(value, CodeType):
        said, may = value.co_consts, value.co_flags & _DOCUMENTED and not value.co_name.startswith("<")
        said = (None, *said[1:]) if may and isinstance(said[0], str) else said  # its docstring does nothing
        return f"{value.co_code.hex()}{value.co_names}{tell(said)}"
    if isinstance(value, re.Pattern):
        return f"{value.pattern!r}{value.flags}"
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, functools.partial):
        return tell([value.func, value.args, value.keywords])
    if inspect.ismethod(value):
        return tell([value.__func__, value.__self__])
    if callable(value):
        return _callable_told(value, tell, telling)
    own = _is_own(type(value)) and hasattr(value, "__dict__")
    return tell([type(value), vars(value)]) if own else f"{type(value).__module__}.{type(value).__qualname__}"


def _joined(told: list[str]) -> str:
    """Without quotes, which would be escaped anew at each depth."""
    return f"[{', '.join(told)}]"


def _callable_told(value: Any, tell: Callable[[Any], str], telling: _Telling) -> str:
    """A function, a class, or an object that can be called."""
    if id(value) in telling.functions:
        return function_name(value)
    telling.functions.add(id(value))
    held = [getattr(value, "__name__", None), getattr(value, "__wrapped__", None)]
    if isinstance(value, type):
        held += [value.__bases__, _members(value, telling.follows)] if _is_own(value) else []
    elif inspect.isfunction(value):
        held += [value.__code__, value.__defaults__, value.__kwdefaults__]
        if (own := _is_own(value)) or "<locals>" in value.__qualname__:  # what a library made for the user holds values
            held.append([cell.cell_contents for cell in value.__closure__ or () if cell != CellType()])
        held += [_used(value)] if own and telling.follows else []
    elif inspect.isbuiltin(value):
        held += [] if inspect.ismodule(value.__self__) else [value.__self__]
    elif held[1] is None:
        held += [type(value), getattr(value, "__dict__", None)]
    return function_name(value) + tell(held)


def _members(of: type, values: bool) -> dict[str, Any]:
    """What a class of the user's own says, without what Python keeps in it: its methods, and its values."""
    said = {name: item for name, item in vars(of).items() if inspect.isfunction(item) or not name.startswith("__")}
    said = {name: getattr(item, "__wrapped__", getattr(item, "fget", item)) for name, item in said.items()}
    return {name: item for name, item in said.items() if values or inspect.isfunction(item)}


def _used(function: FunctionType) -> dict[str, Any]:
    """What a function takes from its module, and from others of the user's own, by name."""
    used, codes = {}, [function.__code__]
    for code in codes:
        codes += [inner for inner in code.co_consts if isinstance(inner, CodeType)]
        steps = list(dis.get_instructions(code))
        for step, following in zip(steps, steps[1:], strict=False):
            if step.opname != "LOAD_GLOBAL" or step.argval not in function.__globals__:
                continue
            value = function.__globals__[step.argval]
            if not inspect.ismodule(value):
                used[step.argval] = value
            elif following.opname in ("LOAD_ATTR", "LOAD_METHOD") and _is_own(value):
                used[f"{step.argval}.{following.argval}"] = getattr(value, following.argval, None)
    return used


def _is_own(thing: Any) -> bool:
    """Whether a function, class or module is the user's own, and of no library."""
    if inspect.isfunction(thing):
        file = thing.__code__.co_filename
    else:
        name = thing.__name__ if inspect.ismodule(thing) else str(thing.__module__)
        if name in sys.builtin_module_names:
            return False
        file = getattr(sys.modules.get(name), "__file__", None) or ""  # a notebook has none
    return not (file.startswith(_LIBRARIES) or {"site-packages", "dist-packages"} & set(Path(file).parts))
