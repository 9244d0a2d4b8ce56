"""The kernel of the way back, compiled by a second process while this one compiles that of the way there.

A first training step needs both, and Numba compiles one at a time in a process. Nothing depends on the second process:
what it has not put into the kernels' files is compiled here.
"""

from __future__ import annotations

import atexit
import subprocess
import sys
import time
from pathlib import Path

# The package stands there as an empty one: its own imports torch, which takes a second and no kernel needs. Whatever
# becomes of the process that waits, its end closes the pipe. The signature is what `threads.backward` calls with.
_CODE = """
import sys
sys.path[:] = sys.argv[2:]
import os, threading, types
threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
package = types.ModuleType("neurallib")
package.__path__ = [sys.argv[1]]
sys.modules["neurallib"] = package
from neurallib.recurrence.kernel import backward, types
floats, integers, one = types.float32[::1], types.int64[::1], types.int64
sizes, members = types.UniTuple(one, 4), (integers, integers)
backward.compile((floats, sizes, *members, types.boolean, *[floats] * 5, one, *[floats] * 8))
os._exit(0)
"""

PATIENCE = 5.0  # seconds for what a process does before it compiles, on a busy machine too
_wanted = False
_process: tuple[subprocess.Popen[bytes], float] | None = None  # and when it began


def want() -> None:
    """The way back will be needed, and there is a core for it: it is begun if the way there is not kept either."""
    global _wanted
    _wanted = True


def begin() -> None:
    """Start the process where it is wanted; the way there is about to be compiled here."""
    global _process, _wanted
    is_python = Path(sys.executable or "").name.startswith("python") and not getattr(sys, "frozen", False)
    if not _wanted or not is_python:  # a program that Python is built into would be started anew
        return
    _wanted = False
    command = [sys.executable, "-c", _CODE, str(Path(__file__).parents[1]), *sys.path]
    silent = subprocess.DEVNULL
    try:
        _process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=silent, stderr=silent), time.monotonic()
    except OSError:  # no process more for this user, or no memory
        return
    atexit.register(end)


def end(patience: float = 0.0) -> None:
    """Let the process end by itself within so many seconds, or end it; there may be none."""
    global _process
    if _process is None:
        return
    (process, _), _process = _process, None
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    finally:
        if process.stdin is not None:
            process.stdin.close()


def wait() -> None:
    """Until the process is done, if there is one; one that takes far longer than this one took is ended."""
    if _process is not None:
        end(PATIENCE + 2 * (time.monotonic() - _process[1]))
