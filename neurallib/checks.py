"""The wording of every argument error: what came, what was expected and, where there is one, the way out."""

from __future__ import annotations

import contextlib
import inspect
import math
import numbers
import os
from collections.abc import Callable, Iterable, KeysView, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from neurallib.names import did_you_mean
from neurallib.warn import warn

_INT64 = 2**63 - 1
_AGES = 1e9  # s, 30 years: no recording is as long
_LONGEST_NAME, _LONGEST_PATH = 255, 4095  # bytes, that systems take
LONG = 10.0  # s: of what is about one event, more is hardly meant


def type_words(value: Any) -> str:
    """What a value is, in words; a class that nobody called by its name."""
    return f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"


def _given(name: str, value: Any) -> str:
    """What came, of a wrong type; in full where that is short."""
    shown = repr(value)
    return f"{name}{f'={shown}' if len(shown) <= 80 else ''} is a {type(value).__name__}"


def _came(name: str, value: Any) -> str:
    """What came, of which the type need not be wrong."""
    return f"{name}={value!r}" if isinstance(value, str) or len(repr(value)) <= 80 else _given(name, value)


def _item(name: str, value: Any) -> str:
    """The way out where it is an array of one number, as files hold them."""
    return f", such as {name}.item()" if math.prod(getattr(value, "shape", (0,))) == 1 else ""


def choice(name: str, value: Any, options: Iterable[Any]) -> None:
    """Raise ValueError unless `value` is one of `options`."""
    options = list(options)
    if not isinstance(value, (str, type(None))) or value not in options:  # an array cannot say whether it is one
        known = ", ".join(map(repr, options))
        raise ValueError(f"{_came(name, value)}; expected one of {known}.{did_you_mean(value, options)}")


def integer(name: str, value: Any, minimum: int = 1, maximum: int | None = None) -> int:
    """Return `value` as int, or raise unless it is a whole number from `minimum` to `maximum`, by default that of an
    int64: more than that torch and numpy cannot count, and nobody waits for."""
    expected = f"expected an integer of at least {minimum}{'' if maximum is None else f' and at most {maximum}'}"
    if isinstance(value, bool) or not isinstance(value, (int, numbers.Integral)):
        raise TypeError(f"{_given(name, value)}; {expected}{_item(name, value)}.")
    whole = int(value)
    if maximum is None and whole > _INT64:
        raise ValueError(f"{name}={value}; {expected} and at most {_INT64}.")
    if whole < minimum or (maximum is not None and whole > maximum):
        raise ValueError(f"{name}={value}; {expected}.")
    return whole


def as_seed(value: Any) -> int:
    """Return a seed as int, or raise unless it is one that torch's generators take, from 0 to 2**64 - 1."""
    return integer("seed", value, minimum=0, maximum=2**64 - 1)


def number(
    name: str, value: Any, low: float, high: float = math.inf, *, low_open: bool = False, high_open: bool = False
) -> float:
    """Return `value` as float, or raise unless it is a finite number between `low` and `high`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{_given(name, value)}; expected a number{_item(name, value)}.")
    result: float = float(value)
    too_low = result <= low if low_open else result < low
    too_high = result >= high if high_open else result > high
    if not math.isfinite(result) or too_low or too_high:
        interval = f"{'(' if low_open else '['}{low:g}, {high:g}{')' if high_open or high == math.inf else ']'}"
        raise ValueError(f"{name}={value!r}; expected a finite number in {interval}.")
    return result


def seconds(name: str, value: Any, long: float = LONG, rate: float = math.inf) -> float:
    """Return `value` as float, or raise unless it is a number from 0 on; warn where it looks like milliseconds, which
    would be a sample at least at `rate`."""
    result = number(name, value, 0, _AGES)
    if result > long and result * rate >= 1000:
        warn(f"{name}={value!r}: it is in seconds; {value!r} ms are {result / 1000:g}.")
    return result


def interval(name: str, value: Any, low: float) -> None:
    """Raise unless `value` is two finite numbers above `low`, the lower one first."""
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        raise TypeError(f"{_came(name, value)}; expected two numbers, from which to which it is drawn.")
    first, last = (number(name, side, low, low_open=True) for side in value)
    if first > last:
        raise ValueError(f"{name}={value!r}; expected the lower number first.")


def several(name: str, value: Any, low: float) -> list[float]:
    """Return `value` as floats, or raise unless it is a list of finite numbers above `low`, one at least."""
    values = as_list(value)
    if not is_list(values) or not values:
        raise TypeError(f"{_came(name, value)}; expected a list of numbers.")
    return [number(name, each, low, low_open=True) for each in values]


def boolean(name: str, value: Any) -> bool:
    """Return `value`, or raise TypeError unless it is True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{_given(name, value)}; expected True or False{_item(name, value)}.")
    return value


def text(name: str, value: Any) -> str:
    """Return `value`, or raise unless it is a string that is not blank."""
    if not isinstance(value, str):
        raise TypeError(f"{_given(name, value)}; expected a string.")
    if not value.strip():
        raise ValueError(f"{name} is empty; expected a name.")
    return str(value)  # YAML knows none of numpy's


def as_path(name: str, value: Any, expected: str = "a path") -> Path:
    """Return `value` as Path, "~" as the home directory, or raise unless it is one that is not empty: "" would be the
    current directory."""
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{_given(name, value)}; expected {expected}.")
    if not os.fspath(value).strip():
        raise ValueError(f"{name} is empty; expected a path.")
    if "\0" in str(value):
        raise ValueError(f"{name}={str(value)!r} holds a null character; expected a path.")
    if "://" in str(value):
        raise ValueError(f"{name}={str(value)!r} is an address; expected a path on this machine.")
    path = Path(value)
    if len(os.fsencode(path)) > _LONGEST_PATH or any(len(os.fsencode(part)) > _LONGEST_NAME for part in path.parts):
        most = f"a name in a path has at most {_LONGEST_NAME} bytes, and all of it {_LONGEST_PATH}"
        raise ValueError(f"{name}='{str(path)[:60]}...' of {len(os.fsencode(path))} bytes is too long: {most}.")
    return path.expanduser() if path.parts[:1] == ("~",) else path


def as_folder(name: str, value: Any) -> Path:
    """Return `value` as the path of a folder, there or not, or raise where that, or what it is to be in, is a file."""
    path = as_path(name, value)
    there = next((folder for folder in (path, *path.parents) if os.path.lexists(folder)), path.parent)
    if os.path.lexists(there) and not os.path.isdir(there):
        which = "is" if there == path else f"is in {os.fspath(there)!r}, which is"
        kind = "a file" if os.path.isfile(there) else "no folder, nor a link to one"
        raise ValueError(f"{name}={os.fspath(path)!r} {which} {kind}; expected a folder, there or not.")
    return path


def per_layer(name: str, value: Any, n_layers: int) -> list[Any]:
    """`value` for each of `n_layers`: repeated when it is one, checked for its length when it is a list."""
    if not is_list(value):
        return [value] * n_layers
    if len(value) != n_layers:
        raise ValueError(f"{name}={list(value)} has {len(value)} values; expected n_layers={n_layers} of them, or one.")
    return list(value)


def takes(name: str, function: Callable[..., Any], n: int, expected: str) -> None:
    """Raise TypeError where a function cannot be called with `n` arguments; what is written in C does not tell."""
    with contextlib.suppress(ValueError):
        try:
            inspect.signature(function).bind(*(None,) * n)
        except TypeError as error:
            called = getattr(function, "__name__", type(function).__name__)
            raise TypeError(f"{name}={called} is no function {expected}: {error}.") from error


def unasked(path: Path, **given: Any) -> None:
    """Raise ValueError where one of these is given, none of which is for such a file."""
    if wrong := [name for name, value in given.items() if value is not None]:
        known = "annotator= is for WFDB and EDF, time= and labels= are for text; of several formats read each by itself"
        raise ValueError(f"{wrong[0]}={given[wrong[0]]!r} is not for {path}: {known}.")


def items(name: str, value: Any, expected: str) -> list[Any]:
    """Return what `value` holds in its order, or raise TypeError: texts, mappings and sets are no lists."""
    if isinstance(value, str):
        raise TypeError(f"{name} is one text, {value!r}; expected a list of {expected}.")
    if isinstance(value, (bytes, Mapping)) or is_unordered(value) or not isinstance(value, Iterable):
        raise TypeError(f"{_given(name, value)}; expected a list of {expected}.")
    if getattr(value, "shape", (1,)) == ():
        raise TypeError(f"{name} is one value of no length; expected a list of {expected}.")
    return list(value)


def names_of(name: str, value: Any, expected: str = "names", *, in_order: bool = True) -> list[str]:
    """Return several names as texts, or raise unless they are a list of texts or whole numbers; a set where their order
    says nothing."""
    listed = sorted(value, key=str) if is_unordered(value) and not in_order else as_list(value)
    names = items(name, listed, expected)
    for each in names:
        if isinstance(each, bool) or not isinstance(each, (str, numbers.Integral)):
            raise TypeError(f"{_given(f'a name in {name}', each)}; expected a text.")
    return list(map(str, names))


def as_list(value: Any) -> Any:
    """An array or a column of pandas, such as np.unique(labels), as a list; anything else as it is."""
    return value.tolist() if getattr(value, "ndim", None) == 1 and hasattr(value, "tolist") else value


def is_unordered(value: Any) -> bool:
    """Whether `value` is a set; the keys of a mapping have an order."""
    return isinstance(value, Set) and not isinstance(value, KeysView)


def is_list(value: Any) -> bool:
    """Whether `value` gives one setting a layer rather than one for all."""
    return isinstance(value, (list, tuple, Sequence)) and not isinstance(value, str)
