""".npy files and what users hand in as arrays of numbers: nothing that is pickled is ever loaded."""

from __future__ import annotations

import contextlib
import functools
import io
import math
import numbers
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurallib.files import atomic_write, open_regular
from neurallib.names import listing
from neurallib.reading import told_by

MAPPED = 1 << 20  # bytes from which on a file is mapped: below, a mapping takes longer than reading it
_NUMBERS = "cannot be read as numbers (pickled, cut off or no .npy?)"
BRIDGED = 0.5  # s: over a gap no longer than this a state hears a straight line, and what is around it as one
HEAD = 1 << 14  # bytes within which a head ends: numpy reads none of more than 10,000


def read_array(path: Path) -> np.ndarray:
    """An array of numbers, which cannot be written to, of a whole .npy file; ValueError of any other."""
    with told_by(path, _NUMBERS), open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(HEAD if size >= MAPPED else -1)
        start, shape, fortran, dtype = _head(content, size)
        order: Any = "F" if fortran else "C"
        if size >= MAPPED:
            return np.memmap(path, dtype, "r", start, shape, order)
        return np.frombuffer(content, dtype, math.prod(shape), start).reshape(shape, order=order)


def array_shape(path: Path) -> tuple[int, ...]:
    """The shape of a file's array, of which nothing but the head is read; errors are those of `read_array`."""
    with told_by(path, _NUMBERS), open_regular(path) as file:
        return _head(file.read(HEAD), os.fstat(file.fileno()).st_size)[1]


def write_array(path: Path, values: np.ndarray, synced: bool = True) -> None:
    """Write an array of numbers as a .npy file, atomically."""
    with atomic_write(path, synced) as temporary, open(temporary, "wb") as file:
        np.save(file, values, allow_pickle=False)


def as_array(given: Any, name: str = "what came") -> np.ndarray:
    """Anything as an array, a Tensor wherever it lies among them; what is masked is nan, and an array is not copied.
    ValueError, which calls it `name`, of what is none, such as lists of different lengths or a tensor without numbers.
    """
    try:
        if isinstance(given, Tensor):
            given = given.detach().cpu().resolve_conj()
            given = (given.float() if given.dtype == torch.bfloat16 else given).numpy()  # numpy knows no bfloat16
        if np.ma.is_masked(given) and given.dtype.kind in "biuf":
            given = given.astype(given.dtype if given.dtype.kind == "f" else np.float64).filled(np.nan)
        array: np.ndarray = np.asarray(given.to_numpy() if hasattr(given, "to_numpy") else given)
        if array.dtype == object and hasattr(given, "to_numpy"):
            with contextlib.suppress(TypeError, ValueError):  # of pandas' own types, whose missing values are no floats
                array = given.to_numpy(dtype=np.float64, na_value=np.nan)
        return array
    except (TypeError, ValueError, RuntimeError) as error:  # of numpy, torch and pandas
        raise ValueError(f"{name} is no array of numbers: {str(error).partition(chr(10))[0]}") from error


def is_recording(given: Any) -> bool:
    """Whether what came in the place of an array or a pair is a recording, and no row of another kind of table."""
    return isinstance(given, Mapping) and {"signal", "sampling_frequency"} <= given.keys()


def check_plain(given: Any, name: str) -> None:
    """Raise TypeError where `given` is no array but has one to give, [N, C, T] or [C, T], as MNE-Python's objects."""
    if callable(getattr(given, "get_data", None)) and hasattr(given, "ch_names"):
        raise TypeError(
            f"{name} is a {type(given).__name__}; expected arrays: of epochs np.swapaxes(x.get_data(), 1, 2), which is "
            "[N, T, C], of a raw recording x {'signal': x.get_data().T, 'sampling_frequency': x.info['sfreq'], "
            "'channels': x.ch_names, 'units': 'V'}."
        )


def kind_of(given: Any) -> str:
    """What came in the place of an array or a pair, in words."""
    if isinstance(given, Mapping) and given and not is_recording(given):
        return f"a {type(given).__name__} of {listing(map(repr, given))}"
    return f"a {type(given).__name__}{f' of {len(given)}' if isinstance(given, (tuple, list)) else ''}"


def as_numbers(given: Any, name: str, *, gaps: bool = False) -> np.ndarray:
    """Anything that holds finite real numbers (or nan, as `gaps`) as an array, or an error that calls it `name`."""
    if isinstance(given, (str, bytes, os.PathLike)):
        raise TypeError(f"{name} is a path or text, {str(given)!r}; expected an array of numbers.")
    if isinstance(given, Mapping):
        way = ": predict_recording takes a recording" if is_recording(given) else ""
        raise TypeError(f"{name} is {kind_of(given)}; expected an array of numbers{way}.")
    array = as_array(given, name)
    if array.dtype == object and not array.ndim:
        raise TypeError(f"{name} is a {type(given).__name__}; expected an array of numbers.")
    array = _of_objects(array, name) if array.dtype == object else array
    array = array.astype(np.uint8) if array.dtype.kind == "b" else array
    if array.dtype.kind not in "fiu":
        way = ": numpy.lib.recfunctions.structured_to_unstructured(x)" if array.dtype.names else ""
        raise TypeError(f"{name} holds {array.dtype}; expected floating-point or integer numbers{way}.")
    finite = None if array.dtype.kind != "f" else ~np.isinf(array) if gaps else np.isfinite(array)
    if finite is not None and np.count_nonzero(finite) < array.size:
        at = np.argwhere(~finite)[0].tolist()
        padded = array.ndim == 2 and 0 < at[0] and not finite[at[0] :].any()
        way = f"Take off what pads it, x[:{at[0]}], and give signals in a list" if padded else "Repair or leave it out"
        raise ValueError(f"{name} holds {array[tuple(at)]} at {at}; expected finite numbers. {way}.")
    if array.dtype.kind == "f" and array.dtype.itemsize > 4 and array.size:
        largest = max(abs(float(end.reduce(array, axis=None))) for end in (np.fmin, np.fmax))
        if largest > float(np.finfo(np.float32).max):
            raise ValueError(f"{name} holds values up to {largest:g}, beyond the range of float32 (3.4e38).")
    return array


def _of_objects(array: np.ndarray, name: str) -> np.ndarray:
    """An array of any objects as float64, None being nan; an error tells the first that is no number."""
    for at, value in np.ndenumerate(array):
        if value is not None and not isinstance(value, numbers.Real):
            held = f"{value!r:.40}" if np.ndim(value) == 0 else f"a {type(value).__name__}"
            raise TypeError(f"{name} holds {held} at {list(at)}; expected floating-point or integer numbers.")
    return array.astype(np.float64)


def by_label(given: Any, *names: Iterable[str]) -> Any:
    """A column or frame of pandas whose labels are names, in one of several ways to name the same, as a mapping from
    them to its values or rows; any other as a list; what is none, as it is. Labels that count the rows from 0, which
    nobody gave, are no names."""
    if not hasattr(given, "to_numpy"):
        return given
    rows: list[Any] = given.to_numpy().tolist()
    labels = list(getattr(given, "index", ()))
    known, texts = set(map(str, labels)), {label for label in labels if isinstance(label, str)}
    named = any(set(wanted) <= known or not texts.isdisjoint(wanted) for wanted in names)
    if not named or known == set(map(str, range(len(labels)))):
        return rows
    return dict(zip(map(str, labels), rows, strict=True))


def _head(content: bytes, size: int) -> tuple[int, tuple[int, ...], bool, np.dtype]:  # type: ignore[type-arg]
    """Where a file's numbers start, their shape, order and type, of its first bytes and its size."""
    if content[:2] == b"PK":
        raise ValueError("it is an archive (.npz); expected one array, as np.save writes it")
    width = 2 if content[6:7] == b"\1" else 4
    start = 8 + width + int.from_bytes(content[8 : 8 + width], "little")
    shape, fortran, dtype = _header(content[:start])
    if dtype.kind not in "fiub":
        raise ValueError(f"it holds {dtype}; expected floating-point or integer numbers")
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize > size - start:
        raise ValueError(f"it promises numbers of {dtype} in shape {shape} and holds fewer")
    return start, shape, fortran, dtype


@functools.lru_cache(maxsize=256)
def _header(head: bytes) -> tuple[tuple[int, ...], bool, np.dtype]:  # type: ignore[type-arg]
    """Shape, order and type that the head of a file tells; the files of a folder have few different ones."""
    file = io.BytesIO(head)
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(file)


def bridged(rows: np.ndarray) -> np.ndarray:
    """Rows [n, C] with a straight line where a value is missing, and the nearest value at either end."""
    there = np.isfinite(rows)
    if there.all():
        return rows
    at = np.arange(len(rows))
    lines = [np.interp(at, at[told], column[told]) for column, told in zip(rows.T, there.T, strict=True)]
    return np.stack(lines, axis=1).astype(rows.dtype)


def runs_of(there: np.ndarray) -> np.ndarray:
    """int64 [n, 2], from where (included) to where (not included) bool [T] is true."""
    return np.flatnonzero(np.diff(there, prepend=False, append=False)).reshape(-1, 2)


def joined(segments: list[tuple[int, int]], longest: int) -> list[tuple[int, int]]:
    """The segments that are heard as one: those between which no more than so many steps are missing."""
    told: list[tuple[int, int]] = []
    for start, stop in segments:
        if told and start - told[-1][1] <= longest:
            start = told.pop()[0]
        told.append((start, stop))
    return told
