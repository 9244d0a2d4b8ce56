""".npy files and what users hand in as arrays of numbers: nothing that is pickled is ever loaded."""

from __future__ import annotations

import functools
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

MAPPED = 1 << 20  # bytes from which on a file is mapped: below, a mapping takes longer than reading it


def read_array(path: Path) -> np.ndarray:
    """Read an array of numbers; it cannot be written to.

    Raises
    ------
    ValueError
        If the file is not a whole .npy file of real numbers.
    """
    try:
        small = path.stat().st_size < MAPPED
        array = _whole(path.read_bytes()) if small else np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path} cannot be read as numbers (pickled, cut off or no .npy?): {error}") from error
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{path} is an archive (.npz); expected one array, as np.save writes it.")
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{path} holds {array.dtype}; expected floating-point or integer numbers.")
    return array


def array_shape(path: Path) -> tuple[int, ...]:
    """The shape of a file's array, of which nothing but the head is read; errors are those of `read_array`."""
    try:
        with open(path, "rb") as file:
            head = file.read(4096)
        width = 2 if head[6:7] == b"\1" else 4
        start = 8 + width + int.from_bytes(head[8 : 8 + width], "little")
        if head[:6] == b"\x93NUMPY" and start <= len(head):
            return _header(head[:start])[0]
    except (ValueError, OSError):
        pass
    return read_array(path).shape


def as_numbers(given: Any, name: str, *, gaps: bool = False) -> np.ndarray:
    """Anything that holds finite real numbers (or nan, as `gaps`) as an array, or an error that calls it `name`."""
    if isinstance(given, Tensor):
        given = given.detach().cpu()
        given = (given.float() if given.dtype == torch.bfloat16 else given).numpy()  # numpy knows no bfloat16
    try:
        array: np.ndarray = np.asarray(given)
    except ValueError as error:
        raise ValueError(f"{name} is no array of numbers: {error}") from error
    array = array.astype(np.uint8) if array.dtype.kind == "b" else array
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name} holds {array.dtype}; expected floating-point or integer numbers.")
    if array.dtype.kind == "f" and not (finite := ~np.isinf(array) if gaps else np.isfinite(array)).all():
        at = np.argwhere(~finite)[0].tolist()
        raise ValueError(f"{name} holds {array[tuple(at)]} at {at}; expected finite numbers. Repair or leave it out.")
    if array.dtype.kind == "f" and array.dtype.itemsize > 4 and array.size:
        largest = max(abs(float(end.reduce(array, axis=None))) for end in (np.fmin, np.fmax))
        if largest > float(np.finfo(np.float32).max):
            raise ValueError(f"{name} holds values up to {largest:g}, beyond the range of float32 (3.4e38).")
    return array


def _whole(content: bytes) -> np.ndarray:
    """The array of a file's bytes, without the bookkeeping of `np.load`."""
    if content[:2] == b"PK":
        raise ValueError("it is an archive (.npz); expected one array, as np.save writes it")
    width = 2 if content[6:7] == b"\1" else 4
    start = 8 + width + int.from_bytes(content[8 : 8 + width], "little")
    shape, fortran, dtype = _header(content[:start])
    if dtype.hasobject:
        raise ValueError("it holds pickled objects")
    if (size := math.prod(shape)) * dtype.itemsize > len(content) - start:
        raise ValueError(f"it promises {size} numbers of {dtype} and holds fewer")
    return np.frombuffer(content, dtype, size, start).reshape(shape, order="F" if fortran else "C")


@functools.lru_cache(maxsize=256)
def _header(head: bytes) -> tuple[tuple[int, ...], bool, np.dtype]:  # type: ignore[type-arg]
    """Shape, order and type that the head of a file tells; the files of a folder have few different ones."""
    file = io.BytesIO(head)
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(file)
