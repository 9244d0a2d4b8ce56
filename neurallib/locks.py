"""Locks that a process holds on what it writes, and that the system frees when it ends, however it ends."""

from __future__ import annotations

import contextlib
import datetime
import errno
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from neurallib.warn import warn

try:
    import fcntl as _fcntl
except ImportError:  # on Windows, which has locks of bytes, and removes no file that is open
    fcntl: Any = None
else:
    fcntl = _fcntl

_BEYOND = 1 << 30  # the byte that Windows locks: nobody else may read or write one that is


def lock(file: BinaryIO, wait: bool = False) -> None:
    """Lock an open file until it is closed. Without `wait` BlockingIOError where somebody else holds it; OSError of a
    file system without locks."""
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    import msvcrt

    windows: Any = msvcrt
    file.seek(_BEYOND)
    try:
        while not _is_locked(windows, file):
            if not wait:
                raise BlockingIOError(errno.EAGAIN, "somebody else holds it")
            time.sleep(0.1)
    finally:
        file.seek(0)


def _is_locked(windows: Any, file: BinaryIO) -> bool:
    """Whether Windows has locked the byte where the file is."""
    try:
        windows.locking(file.fileno(), windows.LK_NBLCK, 1)
    except PermissionError:
        return False
    return True


@contextlib.contextmanager
def held(path: Path, wait: bool = True) -> Iterator[None]:
    """Within the block nobody else holds the file `path`, which is made, tells who does, and is removed after it.
    Without `wait` BlockingIOError where somebody else holds it."""
    file = _locked(path, wait)
    try:
        told = f"process {os.getpid()} on {socket.gethostname()} since {datetime.datetime.now():%Y-%m-%d %H:%M:%S}"
        with contextlib.suppress(OSError):  # a full disk: it is held all the same
            file.truncate(0)
            file.write(told.encode())
            file.flush()
        yield
    finally:
        if fcntl is None:
            file.close()
        with contextlib.suppress(OSError):  # on Windows who waits has opened it
            path.unlink(missing_ok=True)
        file.close()


def holder(path: Path) -> str | None:
    """Who holds the file, in words; None where nobody does."""
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        try:
            lock(file)
        except BlockingIOError:
            return file.read(200).decode(errors="replace") or "another process"
        except OSError:  # of a file system without locks
            return None
    return None


def _locked(path: Path, wait: bool) -> BinaryIO:
    """The file opened and locked; anew where who held it before has removed it meanwhile."""
    while True:
        file = open(path, "ab")
        try:
            lock(file, wait)
        except BlockingIOError:
            file.close()
            raise
        except OSError as error:
            told = f"the file system of {path.parent} has no locks ({error.strerror})"
            try:
                warn(f"{told}: who else works there at the same time is not noticed.")
            except BaseException:  # an error where warnings are
                file.close()
                raise
            return file
        if fcntl is None or path.exists() and os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
            return file
        file.close()
