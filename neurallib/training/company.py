"""Processes that train one model together, and end together: each learns at once that another one has ended.

A process that is killed in a step, while kernels are compiled or while files are written leaves the others waiting for
it, for half an hour and more. So all of them hold a line to the first one, which the system cuts when a process ends.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from neurallib.training.divergence import Diverged
from neurallib.warn import warn

GRACE = 20.0  # seconds in which a process may end by itself: write what it has, and raise what its caller sees
_MEETING = 60.0  # seconds until all lines are there
_KEEP_ALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4}  # a lost machine is missed in 35 s
_GOODBYE, _LOST = b"goodbye", b"lost"
LAUNCHER = "NEURALLIB_LAUNCHER"  # the process id of the one that started the others of its machine


class LostProcessError(RuntimeError):
    """Another of the processes that train together has ended."""


class Company:
    """The lines to the other processes of a run, and the thread that listens to them until the run is left."""

    def __init__(self) -> None:
        self.lost = ""  # who has ended, in words
        self._lines: dict[socket.socket, str] = {}
        self._selector = selectors.DefaultSelector()
        self._found, self._left = threading.Event(), threading.Event()
        launcher = os.environ.pop(LAUNCHER, "")  # it is not that of the processes which this one may start
        self._launcher = int(launcher) if launcher.isdigit() else None
        threading.Thread(target=self._listen, daemon=True, name="neurallib-company").start()

    def meet(self, rank: int, size: int, broadcast: Callable[[Any], Any]) -> None:
        """Make the lines: all processes call this, with what hands the first one's value to all of them."""
        os.environ.pop(LAUNCHER, None)  # all that Lightning starts are there
        try:
            if rank == 0:
                self._await_others(size, broadcast)
            else:
                port, token = broadcast(None)
                line = socket.create_connection((os.environ["MASTER_ADDR"], port), timeout=_MEETING)
                line.sendall(token + rank.to_bytes(4, "big"))
                self._add(line, "process 0")
        except OSError as error:
            warn(f"process {rank} has no line to the others ({error}): if one ends, it may wait for it for long.")

    def _await_others(self, size: int, broadcast: Callable[[Any], Any]) -> None:
        token = secrets.token_bytes(16)
        dual = socket.has_dualstack_ipv6()
        family = {"family": socket.AF_INET6, "dualstack_ipv6": True} if dual else {}
        with socket.create_server(("", 0), backlog=size, **family) as server:  # type: ignore[arg-type]
            broadcast((server.getsockname()[1], token))
            until = time.monotonic() + _MEETING
            while len(self._lines) < size - 1:
                server.settimeout(max(0.01, until - time.monotonic()))
                line, _ = server.accept()
                line.settimeout(5)
                with contextlib.suppress(OSError):
                    said = line.recv(20, socket.MSG_WAITALL)
                    if said[:16] == token:  # not some stranger who looks for open ports
                        self._add(line, f"process {int.from_bytes(said[16:], 'big')}")

    def _add(self, line: socket.socket, name: str) -> None:
        line.settimeout(5)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEP_ALIVE.items():
            if hasattr(socket, option):  # not everywhere
                line.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        self._lines[line] = name
        self._selector.register(line, selectors.EVENT_READ)

    def _listen(self) -> None:
        while not self._left.is_set():
            for key, _ in self._selector.select(timeout=0.5) if self._lines else [(None, self._left.wait(0.5))]:
                self._hear(key.fileobj if key is not None else None)  # type: ignore[arg-type]
                if self.lost:
                    break
            if self.lost and not self._left.wait(GRACE):
                sys.stderr.write(f"neurallib: {self.lost} has ended while it trained with this one, which ends too.\n")
                sys.stderr.flush()
                os._exit(1)  # the main thread waits in a collective or a compiler, where no exception reaches it

    def _hear(self, line: socket.socket | None) -> None:
        if line is None:
            if self._launcher is not None and os.getppid() != self._launcher:
                self._lose("the process that started this one")
            return
        if line not in self._lines:
            return
        try:
            said = line.recv(64)
        except OSError:
            said = b""
        if said == _GOODBYE:
            with contextlib.suppress(OSError, ValueError, KeyError):  # the run is left just now
                self._selector.unregister(line)
            self._lines.pop(line, None)
            line.close()
        elif not self._left.is_set():
            words = said.removeprefix(_LOST).decode(errors="replace") if said.startswith(_LOST) else ""
            self._lose(words or self._lines.get(line, "another process"))

    def _lose(self, who: str) -> None:
        self.lost = who
        self._found.set()
        self._say(_LOST + who.encode())

    def _say(self, words: bytes) -> None:
        """A last word to all."""
        for line in list(self._lines):
            with contextlib.suppress(OSError, ValueError, KeyError):
                self._selector.unregister(line)
            with contextlib.suppress(OSError):
                line.sendall(words)
            line.close()
        self._lines.clear()

    def leave(self, well: bool) -> None:
        """End the lines; those that are left without a goodbye end their processes too."""
        self._left.set()
        self._say(_GOODBYE if well else b"")

    def has_lost(self, seconds: float) -> bool:
        """Whether a process has ended, so far or within some seconds."""
        return bool(self._found.wait(seconds) and self.lost)


@contextlib.contextmanager
def company_of(distributed: bool) -> Iterator[Company | None]:
    """Within the block the processes of a run hold together; what ends it in one of them ends it in all."""
    if not distributed:
        yield None
        return
    company = Company()
    if "LOCAL_RANK" not in os.environ:  # Lightning starts the others, unless somebody has
        os.environ[LAUNCHER] = str(os.getpid())
    try:
        yield company
    except Diverged:  # in all processes alike
        company.leave(well=True)
        raise
    except BaseException as error:
        os.environ.pop(LAUNCHER, None)
        waits = isinstance(error, RuntimeError) and company.has_lost(2.0)
        company.leave(well=False)
        if waits:
            raise LostProcessError(
                f"{company.lost} has ended while it trained with this one, which cannot go on by itself."
            ) from error
        raise
    company.leave(well=True)
