"""Kernels kept on disk: for which processor and of which code they are, damaged files, interrupted compilations."""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recurrence_cases import run_script

import neurallib as nl

numba = pytest.importorskip("numba")
compiling = pytest.importorskip("neurallib.recurrence.compiling")
PACKAGE = Path(nl.__file__).parent
PATHS = os.pathsep.join([str(Path(__file__).parent), str(PACKAGE.parent)])

# Another machine: what LLVM says of this one's processor, without its wider vectors.
OLD_MACHINE = """
import llvmlite.binding as llvm
features = llvm.get_host_cpu_features
def without_avx():
    found = features()
    found.update((name, False) for name in found if name.startswith("avx"))
    return found
llvm.get_host_cpu_features = without_avx
"""
TRAIN = """
import os, torch
from neurallib.recurrence import kernel
from neurallib.recurrence.layer import Direction, gru_layer, use_path
torch.manual_seed(0)
torch.set_num_threads(int(os.environ.get("THREADS", "1")))
gru, x = torch.nn.GRU(5, 33, batch_first=True), torch.randn(7, 50, 5)
found = []
for path in ("numba", "torch"):
    with use_path(path):
        output, _ = gru_layer(x, torch.full((7,), 50), [Direction(*gru.parameters())])
    found.append([output, *torch.autograd.grad(output.square().sum(), list(gru.parameters()))])
for ours, theirs in zip(*found, strict=True):
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)
print(kernel.LANES, sum(sum(one.stats.cache_hits.values()) for one in (kernel.forward, kernel.backward)), end="")
"""
# A network's output layer: the quickest of the kernels to compile, in some seconds.
LINEAR = """
import os, signal, threading, torch
from neurallib.recurrence import kernel, layer
def right():
    torch.manual_seed(0)
    x, weight, bias = torch.randn(4, 3), torch.randn(2, 3), torch.randn(2)
    with torch.no_grad(), layer.use_path("numba"):
        found = layer.linear(x, weight, bias)
    return torch.allclose(found, torch.nn.functional.linear(x, weight, bias), atol=1e-5)
def hits():
    return sum(kernel.linear.stats.cache_hits.values())
"""


def double(x: Any) -> None:
    for i in range(len(x)):
        x[i] = 2 * x[i]


def kept_and_run(function: Callable[..., None] = double) -> int:
    """Compile it as a new process would, check what it does, and tell whether the compiled one was found."""
    x, dispatcher = np.ones(3, np.float32), compiling.kept(function)
    dispatcher(x)
    assert x.tolist() == [2, 2, 2]  # of both functions
    return sum(dispatcher.stats.cache_hits.values())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where this process keeps kernels for the time of a test."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    compiling._warn_once.cache_clear()
    yield tmp_path
    compiling._warn_once.cache_clear()


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def triple(x: Any) -> None:
    for i in range(len(x)):
        x[i] = 3 * x[i] - 1


@pytest.mark.skipif(not compiling._TARGET[0].startswith("x86"), reason="names features of x86")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_vectors_are_as_wide_as_those_that_numba_compiles_for() -> None:
    environments = [
        {"NUMBA_CPU_NAME": "generic"}, {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "+sse3,+avx2"},
        {"NUMBA_CPU_FEATURES": "+avx,+avx512f"}, {"NUMBA_CPU_FEATURES": "-avx,-avx512f"}, {"NUMBA_ENABLE_AVX": "0"},
    ]  # fmt: skip
    script = f"""
        import os, runpy, numba
        for environment in {environments}:
            if (child := os.fork()) == 0:  # before Numba has asked what it compiles for, which it does once
                os.environ.update(environment)
                numba.config.reload_config()
                found = runpy.run_path({compiling.__file__!r})
                print(found["LANES"], found["TALL"], flush=True)
                os._exit(0)
            os.waitpid(child, 0)
    """
    assert run_script(script, PYTHONWARNINGS="ignore").splitlines() == ["4 4", "8 4", "16 8", "4 4", "4 4"]


@pytest.mark.nightly
def test_machines_may_share_a_folder_where_numba_compiles_for_what_they_have_in_common(tmp_path: Path) -> None:
    shared = {"NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_CPU_NAME": "generic"}
    lanes = "4" if compiling._TARGET[0].startswith("x86") else str(compiling.LANES)
    assert run_script(TRAIN, **shared) == f"{lanes} 0"
    assert run_script(OLD_MACHINE + TRAIN, **shared) == f"{lanes} 2"


def test_a_file_is_for_one_processor(folder: Path) -> None:
    script = """
        import test_kernel_cache
        print(test_kernel_cache.kept_and_run(), end="")
    """
    assert kept_and_run() == 0
    other = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(folder)}
    assert run_script(script, **other, PYTHONPATH=PATHS) == "0"
    assert kept_and_run() == 1 and len(files(folder)) == 2


@pytest.mark.nightly
def test_a_change_of_what_a_kernel_calls_is_compiled_anew(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "neurallib", ignore=shutil.ignore_patterns("__pycache__"))
    script = f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n{LINEAR}\nprint(right(), hits(), end='')"
    assert run_script(script, NUMBA_CACHE_DIR=str(tmp_path / "kept")) == "True 0"
    products = tmp_path / "neurallib" / "recurrence" / "products.py"
    code, line = products.read_text(), "panels[at + k * LANES] = weights["
    assert code.count(line) == 1
    products.write_text(code.replace(line, line.replace("weights", "-weights")))
    assert run_script(script, NUMBA_CACHE_DIR=str(tmp_path / "kept")) == "False 0"
    assert len(files(tmp_path / "kept")) == 1  # it took the old one's place


def test_a_kernel_is_known_by_all_files_that_are_compiled() -> None:
    recurrence = PACKAGE / "recurrence"
    using_numba = re.compile("^(from|import) numba", re.MULTILINE)
    compiled = [path.name for path in recurrence.glob("*.py") if using_numba.search(path.read_text())]
    assert sorted(compiling._SOURCES) == sorted(compiled)


def damage(content: bytes, how: str) -> bytes:
    middle = len(content) // 2
    changed = bytes([content[middle] ^ 1])
    forged = compiling._source() + b"no pickle"
    return {
        "empty": b"", "cut": content[:middle], "garbage": b"\x80garbage" * 40,
        "one bit": content[:middle] + changed + content[middle + 1 :],
        "no pickle": hashlib.sha256(forged).digest() + forged,
    }[how]  # fmt: skip


@pytest.mark.parametrize("how", ["empty", "cut", "garbage", "one bit", "no pickle"])
def test_a_damaged_file_is_made_anew_with_a_warning(folder: Path, how: str) -> None:
    assert kept_and_run() == 0 and kept_and_run() == 1
    (file,) = files(folder)
    file.write_bytes(damage(file.read_bytes(), how))
    with pytest.warns(UserWarning, match=f"Kernels in {re.escape(str(file.parent))} are damaged"):
        assert kept_and_run() == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert kept_and_run() == 1


def test_a_damaged_folder_is_told_once(folder: Path) -> None:
    kept_and_run(), kept_and_run(triple)
    for file in files(folder):
        file.write_bytes(b"")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        kept_and_run(), kept_and_run(triple)
    assert [str(one.message).split(":")[0] for one in caught] == [f"Kernels in {files(folder)[0].parent} are damaged"]


def test_a_full_disk_is_told_and_does_not_stop_the_work(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(compiling.os, "replace", full)
    with pytest.warns(UserWarning, match=f"cannot be kept in {re.escape(str(folder))}.*No space left"):
        assert kept_and_run() == 0
    assert files(folder) == []


def in_fork(work: Callable[[], Any]) -> int:
    """Do it in a process of its own, and tell that one's number; it ends with 0 if the work ends well."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return child


def ending(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_process_killed_while_it_writes_leaves_nothing_that_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as dying:
        dying.setattr(compiling.os, "replace", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        assert ending(in_fork(kept_and_run)) == -signal.SIGKILL
    (left,) = files(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert kept_and_run() == 0 and kept_and_run() == 1
        assert left.suffix == ".tmp" and left.exists()  # for all that is known, another process is writing it
        os.utime(left, (0, 0))
        assert kept_and_run(triple) == 0 and not left.exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_processes_may_compile_into_one_folder_at_the_same_time(folder: Path) -> None:
    children = [in_fork(lambda: [kept_and_run(), kept_and_run(triple)]) for _ in range(4)]
    assert [ending(child) for child in children] == [0] * 4
    assert len(files(folder)) == 2 and kept_and_run() == kept_and_run(triple) == 1


@pytest.mark.nightly
def test_a_compilation_killed_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    script, kept = f"{LINEAR}\n{killing('SIGKILL')}\nprint(right())", {"NUMBA_CACHE_DIR": str(tmp_path)}
    command, env = [sys.executable, "-c", script], os.environ | kept
    run = subprocess.run(command, env=env, capture_output=True, timeout=120, check=False)
    assert run.returncode == -signal.SIGKILL and files(tmp_path) == []
    assert run_script(f"{LINEAR}\nprint(right(), hits(), end='')", **kept) == "True 0"


@pytest.mark.nightly
def test_an_interrupted_compilation_can_be_taken_up_again(tmp_path: Path) -> None:
    again = """
signal.signal(signal.SIGINT, signal.default_int_handler)  # even where a shell's background job ignores it
try:
    print(right())
except KeyboardInterrupt:
    print(right(), hits(), end="")
"""
    assert run_script(LINEAR + killing("SIGINT") + again, NUMBA_CACHE_DIR=str(tmp_path)) == "True 0"
    assert [file.suffix for file in files(tmp_path)] == [".nbc"]


def killing(name: str) -> str:
    """A line that sends its process a signal, half a second into a compilation that takes some."""
    return f"threading.Timer(0.5, os.kill, (os.getpid(), signal.{name})).start()\n"


def test_without_a_folder_for_the_cache_it_warns_and_compiles() -> None:
    script = """
        import numba.core.caching as caching
        caching.CacheImpl._locator_classes = []  # as where neither the package nor the user's folder can be written
        import test_kernel_cache
        from neurallib.recurrence import kernel
        print(kernel.linear.stats.cache_path, test_kernel_cache.kept_and_run())
    """
    output = run_script(script, PYTHONPATH=PATHS, PYTHONWARNINGS="default")  # which are read below
    assert "None 0" in output and output.count("Numba finds no folder for its cache: kernels") == 1


@pytest.mark.parametrize("name", ["CompileResultCacheImpl", "dispatcher"])
def test_a_numba_that_keeps_kernels_in_another_way_compiles_them(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "dispatcher":  # one without the private attribute
        call = lambda _, x: numba.njit(double)(x)
        plain = lambda function: type("Dispatcher", (), {"stats": numba.njit(function).stats, "__call__": call})()
        monkeypatch.setattr(compiling, "_outermost", plain)
    else:
        monkeypatch.delattr(numba.core.caching, name)
    with pytest.warns(UserWarning, match=f"Numba {numba.__version__} cannot keep kernels .*: kernels are compiled"):
        assert kept_and_run() == 0
    assert files(folder) == []


def test_the_target_is_found_where_numba_does_not_tell_it(monkeypatch: pytest.MonkeyPatch) -> None:
    told = compiling._target()
    monkeypatch.setattr(compiling, "compiled", lambda function: function)
    assert compiling._target() == told
    monkeypatch.setattr(numba.config, "CPU_NAME", "generic")
    monkeypatch.setattr(numba.config, "CPU_FEATURES", "+sse3")
    assert compiling._target() == (told[0], "generic", "+sse3")
