"""Processes side by side: a fork that would hang is refused, searches share trials, a killed one holds nothing."""

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from cases import Case, make_state, write_folders
from forking import Program
from searching import OPTIONS, n_runs, search

import neurallib as nl
from neurallib import forks

FORKED = """
    import multiprocessing, os, sys, warnings
    from concurrent.futures import ProcessPoolExecutor
    warnings.simplefilter("ignore")
    import torch
    from cases import QUIET, Case, data, make_state
    import neurallib as nl
    from searching import OPTIONS, search

    def work(how):
        if how == "one thread":
            torch.set_num_threads(1)
        return nl.predict(make_state(Case("GRUseq2seq", "binary")), [torch.zeros(9, 2)])[0].shape

    torch.set_num_threads(2)
    torch.ones(10**6).add_(1)  # as any training does sooner or later
    for how in ("two threads", "one thread"):
        with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
            try:
                sys.stdout.write(f"{how}: {pool.submit(work, how).result(100)}\\n")
            except RuntimeError as error:
                sys.stdout.write(f"{how}: {type(error).__name__}: {error}\\n")
    x, y, results = sys.argv[1:]
    params = {"path_x": x, "path_y": y, "epochs": 1, "batch_size": 4, "results_directory": results}
    with ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool:
        try:
            search(params, executor=pool)
        except RuntimeError as error:
            sys.stdout.write(f"search: {error}\\n")
"""
SEARCHING = """
    import sys, warnings
    warnings.simplefilter("ignore")
    from searching import search

    x, y, results = sys.argv[1:]
    params = {"path_x": x, "path_y": y, "epochs": 10, "batch_size": 4, "results_directory": results}
    assert [result["status"] for result in search(params)] == ["finished"] * 4
"""


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    return write_folders(tmp_path, make_state(Case("GRUseq2seq", "binary")))


def start(script: str, *arguments: Path) -> subprocess.Popen[str]:
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"PYTHONPATH": paths},
    )  # fmt: skip


def test_what_a_fork_has_lost_stays_lost_and_one_thread_needs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "_used", False)
    monkeypatch.setattr(forks, "_lost", False)
    for n_more, lost in ((0, False), (1, True), (0, True)):  # threads of torch's own at each fork
        monkeypatch.setattr(forks, "_n_native", lambda n=n_more: forks._AT_FIRST + n)
        forks._before_fork()
        forks._after_fork()
        assert forks._lost is lost
    forks.check_threads(1)
    with pytest.raises(forks.LostThreadsError, match="get_context"):
        forks.check_threads(2)


@pytest.mark.nightly
def test_a_fork_after_torch_has_used_threads_is_refused_with_the_way_out(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    told, errors = start(FORKED, *folders, tmp_path / "results").communicate(timeout=200)
    lines = dict(line.split(": ", 1) for line in told.splitlines())
    assert lines["two threads"].startswith("LostThreadsError: this process was forked after"), errors
    assert "get_context('spawn')" in lines["two threads"] and lines["one thread"] == "(9, 1)"
    assert lines["search"].startswith("this process was forked after") and "threads_per_trial=1" in lines["search"]


@pytest.mark.parametrize("killed", [False, True])
def test_two_searches_in_one_directory_share_their_trials(
    killed: bool, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    results = tmp_path / "results"
    said = [tmp_path / "stderr 0", tmp_path / "stderr 1"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    searches = [Program(["-c", SEARCHING, *folders, results], environment, stderr=file) for file in said]
    if killed:
        while not list(results.glob("GRUseq2seq/checkpoints/*")):
            time.sleep(0.01)
        victim = searches.pop(0)
        victim.kill()
        victim.wait(60)
    for one in searches:
        assert one.wait(300) == 0, [file.read_text() for file in said]
    assert n_runs(results) == 4 if not killed else 4 <= n_runs(results) <= 5
    directory = results / "GRUseq2seq" / "grid_search"
    assert len(list(directory.glob("*.json"))) == len(OPTIONS["hid_dim"]) * len(OPTIONS["learning_rate"])
    assert not list(directory.glob(".*.lock")) or killed


def test_a_search_goes_on_beside_a_lock_that_a_killed_one_left(folders: tuple[Path, Path], tmp_path: Path) -> None:
    params = {
        "path_x": str(folders[0]), "path_y": str(folders[1]), "epochs": 1, "batch_size": 4,
        "results_directory": str(tmp_path / "results"), "dataset_name": "noise", "trained_for": "tests",
    }  # fmt: skip
    first = search(params)
    directory = tmp_path / "results" / "GRUseq2seq" / "grid_search"
    for result in first:
        (directory / f"{result['trial']}.json").unlink()
        (directory / f".{result['trial']}.lock").touch()
    assert all(result["status"] == "finished" for result in search(params))
    assert n_runs(tmp_path / "results") == 8 and nl.load_checkpoint(first[0]["checkpoints_directory"])
