"""Harm done to the files that a piece of code writes: real files, at a place of one's choice, in this process.

Every file that is opened for writing below a folder goes through `_Raw`, which may write less than it is given, fail or
end the process; so may making a temporary file, syncing, renaming and syncing the folder. Each of these is a step; they
are counted, and harm is done at one of them.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import io
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

ENDED = 77  # the exit status of a process that harm has ended
# what may happen where: the error that the system gives, "short" (some of the bytes, as write(2) may) or "end"
HARMS: dict[str, tuple[Any, ...]] = {
    "make": (errno.EACCES, errno.ENOSPC),
    "write": (errno.ENOSPC, errno.EIO, "short", "end"),
    "sync": (errno.EIO, "end"),  # of the file, before it takes its place
    "rename": (errno.EIO, errno.EACCES, "end"),
    "sync folder": (errno.EIO, "end"),  # the new file is in its place
}


class Step(NamedTuple):
    """A moment of a write at which harm can be done."""

    what: str  # a key of HARMS
    path: str


class Harm:
    """The steps that were taken so far, and what is to happen at one of them."""

    def __init__(self, root: Path, at: int | None, kind: Any) -> None:
        self.root, self.at, self.kind = root.resolve(), at, kind
        self.steps: list[Step] = []

    def concerns(self, path: Any) -> bool:
        if str(path).endswith(".lock"):  # a lock is no file that anyone reads
            return False
        return isinstance(path, (str, os.PathLike)) and Path(path).resolve().is_relative_to(self.root)

    def step(self, what: str, path: Any, *names: Any) -> bool:
        """Take a step; True where it is to be a short one. `names` are those that the system's error has."""
        self.steps.append(Step(what, str(path)))
        if self.at != len(self.steps) - 1:
            return False
        if self.kind == "end":
            os._exit(ENDED)
        if self.kind != "short":
            raise OSError(self.kind, os.strerror(self.kind), *names)
        return True

    @property
    def is_next(self) -> bool:
        return self.at == len(self.steps)


class _Raw(io.RawIOBase):
    """A real file whose writes are steps. It has no descriptor, or numpy would write past it."""

    def __init__(self, file: io.FileIO, harm: Harm, path: Any) -> None:
        self._file, self._harm, self._path = file, harm, path

    def write(self, content: Any) -> int:
        content = memoryview(content).cast("B")
        if self._harm.is_next and self._harm.kind is not None:  # what fits on a disk before it is full
            written = self._file.write(content[: max(1, len(content) // 2)])
        if self._harm.step("write", self._path):
            return written or 0
        return self._file.write(content) or 0

    def readinto(self, buffer: Any) -> int:
        return self._file.readinto(buffer) or 0

    def readable(self) -> bool:
        return self._file.readable()

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def truncate(self, size: int | None = None) -> int:
        return self._file.truncate(size)

    def close(self) -> None:
        super().close()
        self._file.close()


@contextlib.contextmanager
def harmed(root: Path, at: int | None = None, kind: Any = None) -> Iterator[Harm]:
    """Within the block what is written below `root` is counted, and harmed at step `at`."""
    harm = Harm(root, at, kind)
    whole: dict[tuple[Any, str], Any] = {}

    def put(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        whole[owner, name] = getattr(owner, name)
        setattr(owner, name, make(getattr(owner, name)))

    put(builtins, "open", lambda real: _opening(real, harm))
    put(io, "open", lambda real: _opening(real, harm))
    put(tempfile, "mkstemp", lambda real: _making(real, harm))
    put(os, "fsync", lambda real: _syncing(real, harm))
    put(os, "replace", lambda real: _renaming(real, harm))
    try:
        yield harm
    finally:
        for (owner, name), real in whole.items():
            setattr(owner, name, real)


def _opening(real: Any, harm: Harm) -> Any:
    def opened(file: Any, mode: str = "r", buffering: int = -1, *args: Any, **more: Any) -> Any:
        if not set(mode) & set("wax+") or not harm.concerns(file):
            return real(file, mode, buffering, *args, **more)
        binary = mode.replace("t", "").replace("b", "")
        raw = _Raw(io.FileIO(file, binary), harm, file)
        both = "+" in mode
        buffered: Any = io.BufferedRandom(raw) if both else io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, *args, **more)

    return opened


def _making(real: Any, harm: Harm) -> Any:
    def made(*args: Any, **more: Any) -> Any:
        if harm.concerns(more.get("dir")):
            name = Path(more["dir"]) / f"{more.get('prefix')}abc{more.get('suffix')}"
            harm.step("make", name, str(name))
        return real(*args, **more)

    return made


def _syncing(real: Any, harm: Harm) -> Any:
    def synced(descriptor: Any) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").resolve()
        if harm.concerns(path):
            harm.step("sync folder" if path.is_dir() else "sync", path)
        real(descriptor)

    return synced


def _renaming(real: Any, harm: Harm) -> Any:
    def renamed(source: Any, target: Any, **more: Any) -> None:
        if harm.concerns(target):
            harm.step("rename", target, str(source), None, str(target))
        real(source, target, **more)

    return renamed
