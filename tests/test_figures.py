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
    told = figures.recurrence(tmp_path)  # a side that nothing is told of has no column
    assert "| training step, batch 1 | 0.25 | 4 (16x) |  |" in told and "packed" not in told
    (tmp_path / "recurrence_other.json").write_text(recurrence(step=0.125, runs=1))
    assert figures.written(README, tmp_path).count("training step, batch 1") == 2


def detector(name: str, f1: float, kind: str = "clean", snr: float | None = None, low: float = 0.001) -> dict[str, Any]:
    row = {"kind": kind, "snr": snr, "detector": name, "f1_150": f1, "f1_50": f1 - 0.1, "timing_sd_ms": 4.26,
           "false_positives_per_hour": 31.7, "seconds_per_hour": 0.123}  # fmt: skip
    row["intervals"] = {"f1_150": [f1 - 0.01, f1 + 0.005], "f1_50": [None, None]}
    if name != "neurallib":
        row["against"] = {f"f1_{within}": {"difference": 0.99 - f1, "low": low, "high": 0.5} for within in (150, 50)}
    return row


def r_peaks(low: float, **more: Any) -> str:
    rows = [detector("neurallib", 0.99), detector("old", 0.9, low=low), detector("older", 0.8, low=low)]
    rows += [detector(name, f1, "ma", snr) for snr in (6.0, -6.0) for name, f1 in (("neurallib", 0.98), ("old", 0.5))]
    rows += [detector("older", 0.25, "ma", snr) for snr in (6.0, -6.0)]
    labels = {"neurallib": "neurallib, cross-validated", "old": "Old", "older": "Older"}
    told = {"records": 22, "people": 21, "ours": "cross-validated", "noise_met": False, "minutes": 5.0, "rows": rows}
    return about(benchmark="r_peaks", labels=labels, versions=["old 1.2"], **(told | more))


def test_the_table_of_r_peaks_is_of_the_kept_run_alone(figures: Any, tmp_path: Path) -> None:
    file = tmp_path / "r_peaks.json"
    file.write_text(r_peaks(low=0.001))
    block = figures.r_peaks(tmp_path)
    ours = "neurallib's `ecg_r_peaks`, cross-validated"
    assert f"| {ours} | 0.9900 (0.9800 to 0.9950) | 0.8900 | 4.3 | 32 | 0.12 |" in block
    assert "| Old | 0.9000 (0.8900 to 0.9050) | 0.8000 |" in block and "With old 1.2; one thread" in block
    assert "|  | muscles, 6 dB | muscles, -6 dB |" in block and f"| {ours} | 0.980 | 0.980 |" in block
    assert block.count("| Old |") == 2, "clean, and in noise"
    assert "| Older | 0.250 | 0.250 |" in block and "trained with" not in block and "22 records" in block
    assert "that of Old, the best of the others, paired by person: +0.0900 (+0.0010 to +0.5000)." in block
    assert "do not tell" not in block and "Abacus" in block

    file.write_text(r_peaks(low=-0.001, noise_met=True, ours="trained on these"))
    block = figures.r_peaks(tmp_path)
    assert block.count("; these records do not tell which is better.") == 2, "the interval holds zero"
    assert "`ecg_r_peaks`, trained on these |" in block and "ours was trained with these records of noise" in block
    file.unlink()
    assert figures.r_peaks(tmp_path).startswith("*Not measured yet: `python benchmarks/keep.py bench_r_peaks.py")


def keep(*options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(BENCHMARKS / "keep.py"), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_table_of_denoising_has_every_level_and_says_what_ours_had_met(figures: Any, tmp_path: Path) -> None:
    rows = [
        {"noise": noise, "snr": snr, "method": method, "settings": "1-20", "snr_improvement_db": gain + (snr or 0),
         "interval": [gain - 1, gain + 1], "snr_after_db": 30.25}
        for noise, snr in (("ma", -6.0), ("ma", 6.0), ("clean", None))
        for method, gain in (("none", 0.0), ("best Butterworth", 7.04), ("neurallib", 9.5))
    ]  # fmt: skip
    kept = json.loads(about(benchmark="denoising", minutes=2.0, rows=rows))
    for more, told in ((" --cross-validated a b", "cross-validated, with noise that no"), ("", "trained on")):
        (tmp_path / "denoising.json").write_text(json.dumps(kept | {"command": kept["command"] + more}))
        block = figures.denoising(tmp_path)
        assert told in block and "The first 2 min" in block
    assert "| muscles | best Butterworth band-pass | +1.0 (+6.0 to +8.0) | +13.0 (+6.0 to +8.0) |" in block
    assert "| muscles | neurallib's `ecg_denoiser` | +3.5 (+8.5 to +10.5) | +15.5 (+8.5 to +10.5) |" in block
    assert "an error of -30.2 dB (best Butterworth band-pass), -30.2 dB (neurallib's" in block and "none" not in block


def test_the_table_of_transfer_has_both_examples(figures: Any, tmp_path: Path) -> None:
    rows = [{"example": "fine_tuning", "way": "frozen", "F1": "0.800 (0.770 to 0.842; 3 seeds)"},
            {"example": "fine_tuning", "way": "as it comes", "F1": "0.7 (0.6 to 0.8; 3 seeds)"},
            {"example": "beat_classes", "way": "frozen", "F1": "0.500 (0.400 to 0.600; 3 seeds)"}]  # fmt: skip
    (tmp_path / "transfer.json").write_text(about(benchmark="transfer", seeds=3, rows=rows))
    block = figures.transfer(tmp_path)
    assert "| frozen | 0.800 (0.770 to 0.842) | 0.500 (0.400 to 0.600) |\n| as it comes | 0.7 (0.6 to 0.8) |  |" in (
        block
    )
    assert "3 seeds, each with other people" in block


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
