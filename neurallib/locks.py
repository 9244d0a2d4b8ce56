"""Locks that a process holds on what it writes, and that the system frees when it ends, however it ends."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def held(path: Path, wait: bool = True) -> Iterator[None]:
    """Within the block nobody else holds the file `path`, which is made, tells who does, and is removed after it.

    Raises
    ------
    BlockingIOError
        Without `wait`, where somebody else holds it.
    """
    with _locked(path, wait) as file:
        told = f"process {os.getpid()} on {socket.gethostname()} since {datetime.datetime.now():%Y-%m-%d %H:%M:%S}"
        with contextlib.suppress(OSError):  # a full disk: it is held all the same
            file.truncate(0)
            file.write(told.encode())
            file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def holder(path: Path) -> str | None:
    """Who holds the file, in words; None where nobody does."""
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
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
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise
        except OSError:  # of a file system without locks
            return file
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
            return file
        file.close()
