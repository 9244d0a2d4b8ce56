"""The soak: a round of everything a model goes through leaves nothing, and what grows is told from what does not."""

import importlib
import json
import mmap
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurallib as nl

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
ONCE: dict[str, Any] = {"epochs": 1, "batch_size": 4, "normalization": "dataset", "enable_progress_bar": False}
STILL = {"memory (MB)": 600.0, "open files": 10.0, "threads": 2.0, "children": 0.0, "files": 100.0}


@pytest.fixture
def soak(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script as a module."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("soak")


def folders(root: Path) -> Any:
    return nl.open_folder(root / "data/x", root / "data/y", "test")


def growing(soak: Any, changes: dict[str, np.ndarray]) -> list[str]:
    """What is said to grow over an hour of rounds in which some counts change and the others stay."""
    hours = np.linspace(0, 1, 80)
    counts = [STILL | {name: float(values[i]) for name, values in changes.items()} for i in range(80)]
    return [row["what"] for row in soak.judged(list(hours), counts) if row["grows"]]


@pytest.mark.nightly
def test_a_round_is_killed_goes_on_to_the_same_weights_and_leaves_nothing() -> None:
    run = subprocess.run(
        [sys.executable, str(BENCHMARKS / "soak.py"), "--rounds", "1"], capture_output=True, text=True, check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(nl.__file__).parent.parent)},
    )  # fmt: skip
    told = json.loads(run.stdout.splitlines()[-1])
    rows = {row["what"]: row for row in told["rows"]}
    assert told["rounds"] == 1 and told["different"] == 0
    assert told["children"] == [] and rows["children"]["last"] == 0
    assert rows["memory (MB)"]["last"] > 0 and rows["threads"]["last"] > 0
    assert not any(row.get("grows") for row in rows.values())  # one round tells nothing


@pytest.mark.nightly
def test_using_and_training_a_model_again_keeps_nothing_open(soak: Any, tmp_path: Path) -> None:
    soak.write_data(tmp_path)
    rate = {"sampling_frequency": soak.RATE}
    states = [nl.train(soak.model(i), *[folders(tmp_path)] * 2, **rate, **ONCE) for i in range(4)]
    counts = []
    for _ in range(2):
        for i, state in enumerate(states):
            soak.use(tmp_path, i, state)
            nl.train(state, *[folders(tmp_path)] * 2, **ONCE)
        counts.append({name: value for name, value in soak.counted(tmp_path).items() if name != "memory (MB)"})
    assert counts[0] == counts[1]


def test_what_is_counted_is_what_is_there(soak: Any, tmp_path: Path) -> None:
    before, waiting = soak.counted(tmp_path), threading.Event()
    thread = threading.Thread(target=waiting.wait)
    thread.start()
    daemon = subprocess.Popen(["orted", "60"], executable="sleep")
    with open(tmp_path / "one", "w"), subprocess.Popen(["sleep", "60"]) as child, daemon:
        held = mmap.mmap(-1, 80_000_000)  # an array may come of what was freed and stayed
        held.write(b"1" * 80_000_000)
        after = soak.counted(tmp_path)
        assert "sleep 60" in soak.children()
        child.kill()
        daemon.kill()
    waiting.set()
    thread.join()
    for name in ("open files", "threads", "children", "files"):
        assert after[name] == before[name] + 1, name
    assert after["memory (MB)"] - before["memory (MB)"] > 60 and len(held) == 80_000_000


def test_what_goes_up_and_down_or_grows_at_first_alone_does_not_grow(soak: Any) -> None:
    rng = np.random.default_rng(0)
    still = {name: np.full(80, value) for name, value in STILL.items()}
    assert growing(soak, still) == []
    warming = np.minimum(np.arange(80), 15)
    assert growing(soak, {"memory (MB)": 600 + 20 * warming + rng.normal(0, 5, 80), "threads": 2.0 + warming}) == []


@pytest.mark.parametrize(
    "what, rising",
    [("memory (MB)", 0.4), ("open files", 0.05), ("threads", 0.05), ("children", 0.05), ("files", 0.05)],
)
def test_what_rises_with_the_rounds_grows(soak: Any, what: str, rising: float) -> None:
    noise = np.random.default_rng(0).normal(0, 1, 80) if what == "memory (MB)" else 0
    values = STILL[what] + rising * np.arange(80) + noise
    assert growing(soak, {what: values if what == "memory (MB)" else np.floor(values)}) == [what]
