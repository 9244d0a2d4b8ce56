"""The first use of the kernels: what is told while they are compiled, and what killed processes have left."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from recurrence_cases import run_script

from neurallib.progress import progress
from neurallib.recurrence import ahead

pytest.importorskip("numba")
import test_kernel_cache as cache  # noqa: E402
from test_kernel_cache import TRAIN, compiling, files, kept_and_run, triple  # noqa: E402

folder = cache.folder


def test_what_a_killed_process_left_half_written_is_swept_in_time(folder: Path) -> None:
    assert kept_and_run() == 0
    (file,) = files(folder)
    abandoned, fresh = (file.with_name(f"{file.name}.{name}.tmp") for name in ("abandoned", "fresh"))
    abandoned.write_bytes(b"half")
    os.utime(abandoned, (0, 0))
    fresh.write_bytes(b"another process is about it")
    kept_and_run(triple)
    assert fresh.is_file() and not abandoned.exists()


def test_compiling_is_told_in_the_log_and_beside_a_bar(
    folder: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    caplog.set_level("INFO", "neurallib")
    for _ in progress([1], True, "working"):
        assert kept_and_run() == 0 and kept_and_run() == 1
    assert [record.getMessage() for record in caplog.records] == ["compiling kernels (once)"]
    shown = capsys.readouterr().err
    assert "working" in shown and "compiling kernels (once)" in shown


@pytest.mark.nightly
def test_the_clock_of_a_trial_starts_when_all_is_imported_and_compiled(tmp_path: Path) -> None:
    script = """
        import sys
        from pathlib import Path
        import torch
        from neurallib.search import trials
        from neurallib.recurrence import kernel
        def train(*_, **__):
            used = (kernel.forward, kernel.backward, kernel.linear)
            print("pytorch_lightning" in sys.modules, [len(one.signatures) for one in used], end="")
            raise SystemExit
        trials.train_from_scratch = train
        hparams = {"n_features": 2, "hid_dim": 3, "n_layers": 1, "dropout": 0.5}
        before = torch.get_rng_state()
        try:
            trials.run_trial(trials.Trial("digest", "GRUseq2seq", hparams, {}, 1, Path("RECORD")))
        finally:
            assert torch.equal(before, torch.get_rng_state())
    """
    assert run_script(script.replace("RECORD", str(tmp_path / "record"))) == "True [1, 1, 1]"


@pytest.mark.nightly
def test_the_way_back_is_compiled_in_a_process_beside_where_there_is_a_core_for_it(tmp_path: Path) -> None:
    assert run_script(TRAIN, NUMBA_CACHE_DIR=str(tmp_path), THREADS="2") == f"{compiling.LANES} 1"
    assert sorted(file.name.split("-")[0] for file in files(tmp_path)) == ["kernel.backward", "kernel.forward"]


@pytest.mark.nightly
def test_a_step_does_not_hang_on_the_process_beside(tmp_path: Path) -> None:
    hanging = """
import time
from neurallib.recurrence import ahead
ahead._CODE, ahead.PATIENCE = "import time; time.sleep(1000)", 0
"""
    assert run_script(hanging + TRAIN, NUMBA_CACHE_DIR=str(tmp_path), THREADS="2") == f"{compiling.LANES} 0"


@pytest.fixture
def beside() -> Iterator[subprocess.Popen[str]]:
    """A process that has begun another, and told its number; both for ever."""
    script = """
import time
from neurallib.recurrence import ahead
ahead._CODE = ahead._CODE[: ahead._CODE.index("package =")] + "import time; time.sleep(1000)"
ahead.want()
ahead.begin()
print(ahead._process[0].pid, flush=True)
time.sleep(1000)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks /proc what a process does")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL"])
def test_a_killed_process_leaves_none_beside(beside: subprocess.Popen[str], name: str) -> None:
    assert beside.stdout is not None
    number = int(beside.stdout.readline())
    assert is_running(number)
    beside.send_signal(getattr(signal, name))
    until = time.monotonic() + 60
    while is_running(number) and time.monotonic() < until:
        time.sleep(0.05)
    assert not is_running(number)


def is_running(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_only_a_python_is_started_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/opt/program/with-python-inside")
    monkeypatch.setattr(ahead, "_wanted", True)
    ahead.begin()
    assert ahead._process is None
