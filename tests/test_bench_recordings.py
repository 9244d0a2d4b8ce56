"""Benchmarks on recordings: they run on any folder of annotated records, and say why where there is none."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import neurallib as nl

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def told(script: str, *options: str) -> str:
    run = subprocess.run(
        [sys.executable, str(BENCHMARKS / script), *options], capture_output=True, text=True, check=True,
        env=os.environ | {"NEURALLIB_DATA": "", "PYTHONPATH": str(Path(nl.__file__).parent.parent)},
    )  # fmt: skip
    return run.stdout


@pytest.mark.parametrize("script", ["bench_r_peaks.py", "bench_denoising.py"])
def test_without_records_a_benchmark_is_skipped_and_says_so(script: str, tmp_path: Path) -> None:
    assert told(script, "--data", str(tmp_path)).startswith("skipped: no WFDB records")


def test_detectors_are_compared_on_annotated_records(tmp_path: Path) -> None:
    wfdb = pytest.importorskip("wfdb")
    for i in range(3):
        signal, beats = nl.synthetic_ecg(duration=60, sampling_frequency=360, seed=i)
        wfdb.wrsamp(f"{i}", 360, ["mV"], ["MLII"], signal[:, None].astype(float), fmt=["16"], write_dir=str(tmp_path))
        wfdb.wrann(f"{i}", "atr", np.asarray(beats), ["N"] * len(beats), write_dir=str(tmp_path))
    lines = told("bench_r_peaks.py", "--data", str(tmp_path), "--detectors", "find_peaks").splitlines()
    result = json.loads(lines[-1])
    assert result["detectors"]["find_peaks"]["gross"]["sensitivity"] > 0.9
    assert [line.split(" ")[1] for line in lines if line.startswith(("| 0", "| 1", "| 2"))].count("0") == 1
