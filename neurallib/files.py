"""Files that are whole or absent: atomic writes, and reads that say which file is broken and how.

What is read may come from anyone: a size that it tells is compared with the file's own before anything of it is made.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import yaml
from torch import Tensor

from neurallib.locks import lock

TEMPORARY, YOUNG = ".writing", 10.0  # how temporary names end; seconds after which one that is not locked is old
MAX_JSON, MAX_YAML = 1 << 24, 1 << 18  # bytes of a file, and characters of YAML with its aliases written out
MAX_DEPTH, MAX_DIGITS = 200, 308  # of lists within lists, and of a number: float64 ends there


def open_regular(path: Path) -> BinaryIO:
    """A file opened for reading; ValueError where it is none of bytes: a pipe would block, a device never ends."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # Windows has no such pipes
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError(f"{path} is no regular file.")
    return open(descriptor, "rb")


@contextlib.contextmanager
def atomic_write(path: str | Path, synced: bool = True) -> Iterator[Path]:
    """A temporary path beside `path`, which takes its place when the block ends well and vanishes when it does not.

    A reader sees the old file or the new one, never half of one, also after a power cut where it is `synced`: the file
    before it takes its place, and the folder after. While it is written the temporary file is locked, so that `sweep`
    knows those of processes that have ended; its name ends as no file does that anyone looks for.

    Raises
    ------
    OSError
        If it cannot be written: the error names `path` and the cause.
    """
    path = Path(path)
    if not path.parent.is_dir():
        wrong = f"{path.parent} is no folder" if path.parent.exists() else f"the folder {path.parent} does not exist"
        raise FileNotFoundError(f"{path} cannot be written: {wrong}.")
    temporary = path
    _swept(path.parent.resolve())
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem[:60]}.", suffix=TEMPORARY)
        temporary = Path(name)
        try:
            with open(handle, "rb") as file:
                with contextlib.suppress(OSError):  # of a file system without locks
                    lock(file)
                yield temporary
                if synced:
                    os.fsync(file.fileno())
                os.chmod(temporary, 0o666 & ~_umask())
                os.utime(temporary)  # young, for who sweeps while it is locked no more
            os.replace(temporary, path)  # Windows moves and removes no file that is open
            if synced:
                _sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        others = error.filename not in (None, str(temporary)) and temporary != path  # one that is read meanwhile
        if error.errno is None or others:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def sweep(directory: Path) -> None:
    """Remove what writes of processes that were killed have left in a directory."""
    for path in directory.glob(f".*{TEMPORARY}"):
        with contextlib.suppress(OSError):  # somebody writes it, or has swept it
            with open_regular(path) as file:
                lock(file)
                if time.time() - os.fstat(file.fileno()).st_mtime <= YOUNG:
                    continue
            path.unlink()


@functools.lru_cache(maxsize=1024)
def _swept(directory: Path) -> None:
    """Sweep a directory before the first file that this process writes there."""
    sweep(directory)


def _sync(directory: Path) -> None:
    """Have a directory remember a new name whatever comes, where the file system can; one that nobody may open, as on
    Windows, is left alone."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def as_json(value: Mapping[str, Any]) -> str:
    """A mapping as JSON; single numbers of numpy or torch as numbers, paths as text; TypeError of what it cannot hold.
    """
    return json.dumps(value, indent=4, default=as_plain) + "\n"


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a mapping as JSON, atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(as_json(value), encoding="utf-8")


def read_json(path: Path, most: int = MAX_JSON) -> dict[str, Any]:
    """Read a mapping from JSON of at most so many bytes; ValueError names a file that does not hold one."""
    text = _text(path, most)
    try:
        value = json.loads(text, parse_int=_whole_number)
        _check_depth(value)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON (cut off?): {short(error)}") from error
    return _mapping(path, value)


def write_yaml(path: Path, value: Mapping[str, Any]) -> None:
    """Write a mapping as YAML, atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(yaml.safe_dump(dict(value), sort_keys=False), encoding="utf-8")


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a mapping from YAML of plain values; ValueError names a file that does not hold one."""
    text = _text(path, MAX_YAML)
    try:
        _check_yaml(text)
        value = yaml.safe_load(text)
        _check_numbers(value)
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError) as error:  # of its dates and numbers
        raise ValueError(f"{path} is not valid YAML of plain values: {short(error)}") from error
    return _mapping(path, value)


def as_plain(value: Any) -> Any:
    """What JSON can hold in place of a number of numpy or torch, or of a path; TypeError for anything else."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, np.generic) or isinstance(value, Tensor) and value.numel() == 1:
        return value.item()
    raise TypeError(f"{value!r} is a {type(value).__name__}, which JSON cannot hold.")


def short(error: object) -> str:
    """What an error says, which may repeat what a file holds, or its kind where it says nothing."""
    told = str(error) or type(error).__name__
    return told if len(told) <= 2000 else f"{told[:2000]} ..."


def _text(path: Path, most: int) -> str:
    """The text of a file of at most so many bytes."""
    with open_regular(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"{path} has more than {most} bytes, which no file of this kind needs.")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not valid text (cut off?): {error}") from error


def _mapping(path: Path, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"{path} holds a {type(value).__name__}; expected names with values.")
    return value


def _whole_number(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"it holds a number of {len(digits)} digits, beyond float64")
    return int(digits)


def _check_depth(value: Any) -> None:
    """Raise ValueError where a value nests so deep that nothing can copy it."""
    level = [value]
    for _ in range(MAX_DEPTH):
        nested = [item.values() if isinstance(item, dict) else item for item in level if isinstance(item, (dict, list))]
        level = [item for items in nested for item in items]
    if level:
        raise ValueError(f"it nests more than {MAX_DEPTH} deep")


def _check_numbers(value: Any) -> None:
    """The same of YAML, which writes numbers in many ways."""
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, (list, tuple)):
        for item in value:
            _check_numbers(item)
    elif isinstance(value, int) and value.bit_length() > 1023:
        raise ValueError(f"it holds a number of {value.bit_length()} bits, beyond float64")


def _check_yaml(text: str) -> None:
    """Raise ValueError where YAML nests deep, refers to itself or is long with its aliases written out: a few lines can
    stand for a billion values. Nothing of it is made."""
    sizes: dict[str | None, int] = {}  # of what aliases stand for
    opened: list[tuple[str | None, int]] = [(None, 0)]
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            opened.append((event.anchor, 1))
            if len(opened) > MAX_DEPTH:
                raise ValueError(f"it nests more than {MAX_DEPTH} deep")
            continue
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise ValueError(f"its alias {str(event.anchor)[:40]!r} stands for nothing, or for itself")
            anchor, size = None, sizes[event.anchor]
        elif isinstance(event, yaml.ScalarEvent):
            anchor, size = event.anchor, 1 + len(event.value)
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, size = opened.pop()
        else:
            continue
        sizes[anchor] = size
        opened[-1] = (opened[-1][0], opened[-1][1] + size)
        if opened[-1][1] > MAX_YAML:
            raise ValueError(f"it is longer than {MAX_YAML} characters with its aliases written out")


def _umask() -> int:
    """The process's file mode mask; mkstemp ignores it and makes files that only their owner can read."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
