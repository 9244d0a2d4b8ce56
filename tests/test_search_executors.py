"""Grid search on executors: the same results whoever runs the trials, and a stop that loses nothing."""

import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import forking
import pytest
import torch
from searching import OPTIONS, search

import neurallib as nl


def die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("broken", [False, True], ids=["breaks", "is broken"])
def test_a_worker_that_is_killed_stops_the_search_which_can_go_on(broken: bool, params: dict[str, Any]) -> None:
    with process_pool() as pool:
        death = pool.submit(die)
        if broken:  # before the search gives it anything
            wait([death])
        with pytest.raises(RuntimeError, match="executor broke with 4 of 4 trials to do.*goes on with those"):
            search(params, executor=pool)
    assert len(search(params)) == 4


KILLED = """
    import signal, sys
    import neurallib as nl
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job's children start with it ignored
    params = {"path_x": sys.argv[1], "path_y": sys.argv[2], "epochs": 2, "batch_size": 4, "patience": 3,
              "all_samples": True, "dataset_name": "made up", "trained_for": "sign detection"}
    options = {"n_features": 2, "hid_dim": [3, 5], "n_layers": 1, "learning_rate": [0.01, 0.001], "dropout": 0.5}
    nl.grid_search("GRUseq2seq", options, params)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_search_that_was_stopped_goes_on(number: int, params: dict[str, Any], results: Path, tmp_path: Path) -> None:
    process = forking.Program(["-c", KILLED, params["path_x"], params["path_y"]])
    records, deadline = results / "GRUseq2seq" / "grid_search", time.monotonic() + 120
    # One trial is finished, and the next has weights to keep.
    while len(list(results.glob("GRUseq2seq/checkpoints/*/best.ckpt"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    assert process.wait(60) != 0
    finished = list(records.glob("*.json"))
    assert 1 <= len(finished) < 4
    before = {path: path.stat().st_mtime_ns for path in finished}
    found = search(params)
    assert len(found) == 4 and {trial["status"] for trial in found} == {"finished"}
    assert {path: path.stat().st_mtime_ns for path in finished} == before


@contextmanager
def process_pool(n_workers: int = 2) -> Iterator[Executor]:
    with ProcessPoolExecutor(n_workers, multiprocessing.get_context("spawn")) as pool:
        yield pool


@contextmanager
def dask_cluster() -> Iterator[Executor]:
    distributed = pytest.importorskip("distributed", reason="pip install neurallib[cluster]")
    with (
        distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
        client.get_executor() as executor,
    ):
        yield executor


@contextmanager
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


@contextmanager
def submitit_jobs() -> Iterator[Any]:
    """As on Slurm, but for Slurm: each job is a process of its own that gets its work from a file."""
    submitit = pytest.importorskip("submitit", reason="pip install neurallib[cluster]")
    with tempfile.TemporaryDirectory() as folder:
        executor = submitit.AutoExecutor(folder, cluster="local")
        executor.update_parameters(timeout_min=5)
        yield executor


@pytest.mark.parametrize(
    "workers",
    [process_pool, threads, *(pytest.param(one, marks=pytest.mark.nightly) for one in (dask_cluster, submitit_jobs))],
)
def test_results_do_not_depend_on_the_executor(workers: Any, params: dict[str, Any], tmp_path: Path) -> None:
    # A job of submitit imports all anew: two show that each gets its own.
    options = OPTIONS | {"hid_dim": 3} if workers is submitit_jobs else OPTIONS
    here = search(params | {"results_directory": tmp_path / "here"}, options, threads_per_trial=1)
    n_threads, random_state = torch.get_num_threads(), torch.get_rng_state()
    with workers() as executor:
        params |= {"results_directory": tmp_path / "there"}
        there = search(params, options, threads_per_trial=1, executor=executor)
    assert torch.get_num_threads() == n_threads and torch.equal(torch.get_rng_state(), random_state)
    assert [trial["hparams"] for trial in there] == [trial["hparams"] for trial in here]
    for a, b in zip(here, there, strict=True):
        assert a["validation_loss"] == b["validation_loss"] and a["trial"] == b["trial"]
        assert (tmp_path / "there") in Path(b["checkpoints_directory"]).parents
        one, other = (nl.load_checkpoint(trial["checkpoints_directory"])["weights"] for trial in (a, b))
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_an_error_of_a_worker_is_reported_or_raised(params: dict[str, Any]) -> None:
    options = OPTIONS | {"hid_dim": 3, "learning_rate": [1e38, 0.01]}
    params = params | {"epochs": 3, "batch_size": 1}
    with process_pool(1) as pool:
        with pytest.raises(RuntimeError, match="diverged"):
            search(params, options, executor=pool, on_error="raise")
        with pytest.warns(UserWarning, match="failed: training diverged"):
            found = search(params, options, executor=pool)
    assert [trial["status"] for trial in found] == ["finished", "failed"]
