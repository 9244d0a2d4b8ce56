"""The README's figures are those of the runs that are kept, and a run is kept with what it was measured on."""

import datetime
import importlib
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
BENCHMARKS = ROOT / "benchmarks"
RESULTS = BENCHMARKS / "results"
README = (ROOT / "README.md").read_text()
KEPT = sorted(RESULTS.glob("*.json"))


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("figures")


def test_the_readmes_figures_are_those_of_the_kept_runs(figures: Any) -> None:
    assert set(re.findall(r"<!-- figures: (\w+) -->", README)) == set(figures.BLOCKS)
    assert figures.written(README, RESULTS) == README, "run `python benchmarks/figures.py`"


@pytest.mark.parametrize("heading", ["Measured on real recordings", "Speed"])
def test_no_figure_stands_beside_them(heading: str, figures: Any) -> None:
    section = README.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    said = re.sub(r"^\| `python .*", "", figures.BLOCK.sub("", section), flags=re.MULTILINE)
    assert section and not re.search(r"\d", said), said


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.name)
def test_a_kept_run_says_what_ran_where_and_when(path: Path) -> None:
    about = json.loads(path.read_text())
    assert re.fullmatch("[0-9a-f]{40}", about["commit"]), "measured on sources that are no commit"
    assert datetime.date.fromisoformat(about["date"]) <= datetime.date.today() + datetime.timedelta(days=1)
    assert {"processor", "cores", "system", "load"} <= about["machine"].keys()
    assert (ROOT / about["command"].split()[1]).is_file()
    assert path.stem.startswith(about["told"]["benchmark"])


def about(**told: Any) -> str:
    on = {"processor": "Abacus", "cores": 2, "system": "Linux", "load": 0.1}
    command = "python benchmarks/bench_recurrence.py --quick"
    return json.dumps({"date": "2026-01-02", "commit": "a" * 40, "machine": on, "command": command, "told": told})


def recurrence(step: float, runs: int) -> str:
    row = {"hidden": "32-64-64", "B": 1, "T": 5400, "step": step, "step packed": 8.0, "packed runs": runs,
           "step padded": 4.0, "padded runs": 3, "infer": 0.01, "infer onnx": 0.03, "GFLOP/s": 40.0}  # fmt: skip
    rest = {"exponent in T, step": 0.7, "exponent in T, inference": 0.8, "matrix-product peak, GFLOP/s": 90.0}
    return about(benchmark="recurrence", threads=2, torch="2", rows=[row], **rest, **{"matrix product": "torch.mm"})


def test_another_figure_makes_another_readme_and_single_runs_are_left_out(figures: Any, tmp_path: Path) -> None:
    file = tmp_path / "recurrence.json"
    file.write_text(recurrence(step=0.5, runs=3))
    told = figures.written(README, tmp_path)
    assert "| training step, batch 1 | 0.5 | 8 (16x) | 4 (8.0x) |  |" in told and "Abacus, 2 cores, 2026-01-02" in told
    file.write_text(recurrence(step=0.25, runs=1))
    assert "| training step, batch 1 | 0.25 |  | 4 (16x) |  |" in figures.written(README, tmp_path)
    (tmp_path / "recurrence_other.json").write_text(recurrence(step=0.125, runs=1))
    assert figures.written(README, tmp_path).count("training step, batch 1") == 2


def keep(*options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(BENCHMARKS / "keep.py"), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_run_is_kept_with_its_command_and_machine(tmp_path: Path) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("no git checkout: a run is kept with its commit")
    script = tmp_path / "bench_small.py"
    script.write_text('import sys\nprint("a line")\nprint(\'{"benchmark": "small", "given": "%s"}\' % sys.argv[1])\n')
    run = keep("--busy", "--folder", str(tmp_path), str(script), "--quick")
    assert run.returncode == 0 and "a line\n" in run.stdout, run.stderr
    found = json.loads((tmp_path / "small.json").read_text())
    assert found["told"] == {"benchmark": "small", "given": "--quick"}
    assert found["command"].endswith("bench_small.py --quick") and found["machine"]["cores"] >= 1


def test_what_tells_nothing_is_not_kept(tmp_path: Path) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("no git checkout: a run is kept with its commit")
    (tmp_path / "bench_small.py").write_text('print("skipped: no records")\n')
    run = keep("--busy", "--folder", str(tmp_path), str(tmp_path / "bench_small.py"))
    assert run.returncode == 2 and "did not end with a line of JSON" in run.stderr
    assert list(tmp_path.glob("*.json")) == []


@pytest.fixture
def timing(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("timing")


def test_a_slow_side_runs_once_and_says_so_a_quick_one_after_a_run_that_does_not_count(timing: Any) -> None:
    runs: list[int] = []
    (_, counted) = timing.affordable({"side": lambda: runs.append(1)}, seconds=1e9)["side"]
    assert counted == 5 and len(runs) == 6
    assert timing.affordable({"side": lambda: time.sleep(0.01)}, seconds=0.001)["side"][1] == 1


def test_the_limit_is_the_fastest_of_several_products_and_says_which(timing: Any) -> None:
    rate, product = timing.matrix_peak("cpu", sizes=(2, 128), repeats=3)
    assert rate > 0 and re.fullmatch(r"(torch\.mm|numpy\.matmul) of 128 x 128", product)
