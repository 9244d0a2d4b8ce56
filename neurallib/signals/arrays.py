""".npy files as arrays: small ones read at once, large ones mapped, and nothing that is pickled ever loaded."""

from __future__ import annotations

import functools
import io
import math
from pathlib import Path

import numpy as np

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
