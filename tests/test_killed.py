"""Processes that are killed at any moment of a long job: the file is the old one or the new one, and who calls again
gets what an undisturbed call gives."""

import contextlib
import functools
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import Case, make_state
from forking import forking
from searching import search

import neurallib as nl

GRU = Case("GRUseq2seq", "binary")
N_KILLS = int(os.environ.get("NEURALLIB_N_KILLS", 3))  # of each job


def make_dataset(root: Path, n_workers: int = 1, width: float = 0.1) -> None:
    recordings = []
    for i in range(6):
        signal, peaks = nl.synthetic_ecg(duration=30, sampling_frequency=250, seed=i)
        beats = {"sample": peaks, "symbol": ["N"] * len(peaks), "duration": np.zeros(len(peaks))}
        recordings.append(
            {"name": f"r{i}", "person": f"p{i}", "signal": signal[:, None], "sampling_frequency": 250.0,
             "units": ["mV"], "channels": ["II"], "events": beats, "source": None, "start_time": None, "notes": []}
        )  # fmt: skip
    target = functools.partial(nl.event_target, width=width)
    options: Any = {"sampling_frequency": 125, "n_workers": n_workers, "enable_progress_bar": False}
    nl.make_dataset(recordings, root, target=target, window=3, **options)


def predict_recording(root: Path) -> None:
    state = make_state(GRU)
    state["preprocessing"]["sampling_frequency"] = 100.0
    signal = np.random.default_rng(0).standard_normal((400_000, 2))
    nl.predict_recording(state, {"signal": signal, "sampling_frequency": 100.0}, path=root / "answer.npy")


def export_onnx(root: Path) -> None:
    pytest.importorskip("onnxruntime", reason="pip install neurallib[onnx]")
    nl.export_onnx(make_state(GRU), root / "model.onnx")


JOBS: dict[str, Callable[[Path], None]] = {
    "make_dataset": make_dataset, "predict_recording": predict_recording, "export_onnx": export_onnx
}  # fmt: skip


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def run(job: str, root: Path, **options: Any) -> multiprocessing.process.BaseProcess:
    child = forking().Process(target=JOBS[job], args=(root,), kwargs=options)
    child.start()
    return child


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.filterwarnings("ignore")
def test_a_job_that_is_killed_is_whole_when_it_is_called_again(job: str, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "out").mkdir()
    run(job, tmp_path / "whole").join()  # kernels are compiled
    began = time.monotonic()
    run(job, tmp_path / "out").join()
    lasts, whole, rng = time.monotonic() - began, contents(tmp_path / "whole"), random.Random(0)
    assert contents(tmp_path / "out") == whole
    for i in range(N_KILLS):
        root = tmp_path / f"{i}"
        root.mkdir()
        child = run(job, root)
        time.sleep(rng.uniform(0, lasts))
        child.kill()
        child.join()
        for name, content in contents(root).items():
            unfinished = name == "manifest.json" or Path(name).name.startswith(".")
            assert unfinished or content == whole[name]
        JOBS[job](root)
        made = contents(root)
        left = {name for name in made if name.endswith(".writing")}  # too young to be sure that nobody writes it
        assert {name: made[name] for name in made.keys() - left} == whole


def test_a_data_set_that_is_made_otherwise_and_killed_is_never_taken_for_the_one_before(tmp_path: Path) -> None:
    make_dataset(tmp_path / "out")
    whole, rng = contents(tmp_path / "out"), random.Random(1)
    for i in range(N_KILLS):
        child = run("make_dataset", tmp_path / "out", width=0.5, n_workers=1 + i % 2)
        deadline = time.monotonic() + 60
        with contextlib.suppress(FileNotFoundError):  # of what is taken away while it is read
            while contents(tmp_path / "out") == whole and time.monotonic() < deadline:  # until it has begun
                time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.3))
        child.kill()
        child.join()
        time.sleep(0.5)  # workers of a pool end when they find its end
        make_dataset(tmp_path / "out")
        made = contents(tmp_path / "out")
        assert {name: made[name] for name in made if not name.endswith(".writing")} == whole


def kill_in_a_trial(records: str, runs: str, pid: int) -> None:
    """Kill a process when one trial is finished and the next has weights to keep."""
    while not list(Path(records).glob("*.json")) or len(list(Path(runs).glob("*/best.ckpt"))) < 2:
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore:.*did not finish")
def test_a_worker_that_is_killed_in_a_trial_costs_that_trial_alone(params: dict[str, Any], results: Path) -> None:
    records = results / "GRUseq2seq" / "grid_search"
    params = params | {"epochs": 12, "patience": None}
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        pid = pool.submit(os.getpid).result()
        told = (str(records), str(records.parent / "checkpoints"), pid)
        watcher = forking().Process(target=kill_in_a_trial, args=told, daemon=True)
        watcher.start()
        with pytest.raises(RuntimeError, match="executor broke with [123] of 4 trials to do.*goes on with those"):
            search(params, executor=pool)
        watcher.join(60)
    finished = {path: path.stat().st_mtime_ns for path in records.glob("*.json")}
    assert 1 <= len(finished) < 4
    found = search(params)
    assert [trial["status"] for trial in found] == ["finished"] * 4
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    again = search(params | {"results_directory": results / "undisturbed"})
    one, other = ([(trial["hparams"], trial["validation_loss"]) for trial in some] for some in (found, again))
    assert one == other
