"""Locks and writing where there is no fcntl, as on Windows: a stand-in of its msvcrt, with which no file that is open
is moved or removed, and no directory opened; and where the file system has no locks."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

import neurallib as nl
from neurallib import locks

# Python's own and torch know the system before it is made to look like another one.
WINDOWS = """
import errno, fcntl, os, sys, tempfile, threading, types
import torch

def locking(descriptor, mode, n):
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise PermissionError(errno.EACCES, "Permission denied") from None

def closed(real, n):
    def call(*paths, **more):
        files = [os.path.join("/proc/self/fd", name) for name in os.listdir("/proc/self/fd")]
        links = {os.readlink(file) for file in files if os.path.islink(file)}
        for path in paths[:n]:
            if os.path.realpath(path) in links:
                raise PermissionError(errno.EACCES, "used by another process", str(path))
        return real(*paths, **more)
    return call

def opened(path, flags, *more, real=os.open, **others):
    if os.path.isdir(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))
    return real(path, flags, *more, **others)

sys.modules |= {"fcntl": None, "msvcrt": types.SimpleNamespace(LK_NBLCK=2, locking=locking)}
os.replace, os.unlink, os.open = closed(os.replace, 2), closed(os.unlink, 1), opened
for name in ("O_NONBLOCK", "O_DIRECTORY", "register_at_fork", "fork"):
    delattr(os, name)

import time
from pathlib import Path
import neurallib as nl
from neurallib import files, locks
root = Path(sys.argv[1])
"""
PROGRAM = """
with locks.held(root / "lock"):
    assert locks.holder(root / "lock").startswith(f"process {os.getpid()} on ")
    try:
        with locks.held(root / "lock", wait=False):
            sys.exit("two hold it")
    except BlockingIOError:
        pass
    def wait():
        with locks.held(root / "lock"):
            order.append("second")
    order, second = [], threading.Thread(target=wait)
    second.start()
    time.sleep(0.3)
    order.append("first")
second.join()
assert order == ["first", "second"] and list(root.iterdir()) == []

state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1)
for _ in range(2):
    nl.load_checkpoint(nl.save_checkpoint(state, root / "run"))
left = root / "run" / ".x.abc.writing"
with files.atomic_write(root / "run" / "x") as written:
    os.utime(written, (0, 0))
    files.sweep(root / "run")
    assert written.exists()
left.write_text("")
os.utime(left, (0, 0))
files.sweep(root / "run")
assert not [path for path in root.rglob(".*")]
recordings = [{"name": f"r{i}", "signal": torch.rand(500).numpy(), "sampling_frequency": 100} for i in range(4)]
for value in (0.0, 1.0):
    nl.make_dataset(recordings, root / "data", target=lambda r: value, enable_progress_bar=False)
assert nl.open_folder(root / "data/x", root / "data/y", "train")[0][1] == 1
"""


@pytest.mark.nightly
def test_files_are_locked_and_written_where_there_is_no_fcntl(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WINDOWS + PROGRAM, str(tmp_path)]
    environment = {"PYTHONPATH": str(Path(nl.__file__).parents[1])}
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert run.returncode == 0, run.stderr


def test_a_file_system_without_locks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(locks.fcntl, "flock", without)
    with pytest.warns(UserWarning, match=f"file system of {tmp_path} has no locks .No locks available.: who else"):
        with locks.held(tmp_path / "lock", wait=False):
            assert locks.holder(tmp_path / "lock") is None
    assert list(tmp_path.iterdir()) == []
