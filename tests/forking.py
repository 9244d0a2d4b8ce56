"""Processes that start at once: forks of a server that has imported what takes each of them seconds.

`forking` is their context, for a function; `Program` and `run` are subprocess's `Popen` and `run`, for a Python
program: its file, its module or its text. They do not tell what Python does before a program's first line: tests of
imports, or of settings that are read then, start `sys.executable` instead.
"""

import atexit
import io
import multiprocessing
import multiprocessing.forkserver
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import types
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from multiprocessing.context import ForkServerContext
from pathlib import Path

# scipy is first: its threads, which a fork does not need, are no reason for the library to refuse one. Those of
# onnxruntime would be; huggingface_hub and numba read their settings when they are imported.
PRELOADED = [
    "scipy.signal", "test_harm", "test_killed", "neurallib.training.lightning", "torchmetrics",
    "torch.utils.tensorboard", "matplotlib.figure", "matplotlib.backends.backend_agg", "onnx", "wfdb",
]  # fmt: skip


@cache
def forking() -> ForkServerContext:
    """The context whose processes these are. A server that cannot import what it is told to says nothing and lets each
    child do it, which takes seconds; and it looks in PYTHONPATH alone, not where this process looks."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    try:
        multiprocessing.forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    return context


class Program:
    """`python *command`, begun: a file, `-m` and a module, or `-c` and its text, and what it is told."""

    def __init__(
        self, command: Sequence[str | Path], env: Mapping[str, str] | None = None,
        stdout: str | Path = os.devnull, stderr: str | Path = os.devnull,
    ) -> None:  # fmt: skip
        told = (list(map(str, command)), dict(os.environ if env is None else env), os.getcwd(), stdout, stderr)
        self._process = forking().Process(target=_begin, args=told)
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("a fork", timeout or 0.0)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None and self.pid:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run(
    command: Sequence[str | Path], env: Mapping[str, str] | None = None, timeout: float = 600, check: bool = False
) -> "subprocess.CompletedProcess[str]":
    """What `python *command` prints and says, and how it ends."""
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
        program = Program(command, env, *(f"/proc/{os.getpid()}/fd/{file.fileno()}" for file in (stdout, stderr)))
        try:
            code = program.wait(timeout)
        finally:
            program.kill()
        for file in (stdout, stderr):
            file.seek(0)
        done = subprocess.CompletedProcess(list(command), code, stdout.read(), stderr.read())
    if check:
        done.check_returncode()
    return done


def _begin(command: list[str], env: dict[str, str], cwd: str, stdout: str | Path, stderr: str | Path) -> None:
    """Be that program, in a process that has just been forked."""
    for path, number in ((stdout, 1), (stderr, 2)):
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.dup2(file, number)
        os.close(file)
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(io.FileIO(number, "w", closefd=False), write_through=True, errors="backslashreplace")
        for number in (1, 2)
    )
    os.chdir(cwd)
    settle(env)
    code = 1
    try:
        _execute(command, [path for path in env.get("PYTHONPATH", "").split(os.pathsep) if path])
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if end.code is not None and not isinstance(end.code, int):
            sys.stderr.write(f"{end.code}\n")
    except BaseException as error:  # as the interpreter ends a program
        sys.excepthook(type(error), error, error.__traceback__)
        if isinstance(error, KeyboardInterrupt):
            sys.stderr.flush()
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()  # which a process of multiprocessing leaves out
    sys.exit(code)


def settle(env: Mapping[str, str]) -> None:
    """Take on an environment, and what Python and torch take from it as they start: a fork has the server's."""
    os.environ.clear()
    os.environ.update(env)
    warnings.resetwarnings()
    sys.warnoptions[:] = [given for given in env.get("PYTHONWARNINGS", "").split(",") if given]
    warnings._processoptions(sys.warnoptions)  # type: ignore[attr-defined]
    # Where transformers is installed torchmetrics imports it, and it this: it reads its settings once more.
    for name in [name for name in sys.modules if name.partition(".")[0] == "huggingface_hub"]:
        del sys.modules[name]
    if n_threads := env.get("OMP_NUM_THREADS"):
        import torch

        torch.set_num_threads(int(n_threads))


def _execute(command: list[str], paths: list[str]) -> None:
    first, *arguments = command
    if first == "-m":
        sys.argv, sys.path[:0] = ["-m", *arguments[1:]], [os.getcwd(), *paths]
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
        return
    main = types.ModuleType("__main__")
    sys.modules["__main__"], sys.argv = main, [first, *arguments]
    if first == "-c":
        text, name = textwrap.dedent(arguments[0]), "<string>"
        sys.argv, sys.path[:0] = ["-c", *arguments[1:]], ["", *paths]
    else:
        text, name = Path(first).read_text(), first
        main.__file__ = first
        sys.path[:0] = [str(Path(first).resolve().parent), *paths]
    exec(compile(text, name, "exec"), main.__dict__)
