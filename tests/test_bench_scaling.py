"""The benchmark of several processes measures one and two, and predicts more of them from what it measured."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import neurallib as nl

BENCHMARK = Path(__file__).parent.parent / "benchmarks" / "bench_scaling.py"
TINY = ["--quick", "--repeats=1", "--steps=2", "--length=20", "--batch-size=1", "--hid-dim=4"]


@pytest.mark.nightly
def test_one_and_two_are_measured_and_more_predicted() -> None:
    run = subprocess.run(
        [sys.executable, str(BENCHMARK), *TINY, "--latency=1e-4", "--bandwidth=1e6"],
        env=os.environ | {"PYTHONPATH": str(Path(nl.__file__).parent.parent)}, capture_output=True, text=True,
        timeout=240, check=True,
    )  # fmt: skip
    told = json.loads(run.stdout.splitlines()[-1])
    assert [row["processes"] for row in told["rows"]] == [1, 2, 8, 64]
    assert [bool(row["measured s"]) for row in told["rows"]] == [True, True, False, False]
    for n, row in zip((8, 64), told["rows"][2:], strict=True):
        rounds = {8: 3, 64: 6}[n]
        said = 5 * 2 * 1e-4 * rounds + 2 * (n - 1) * (1e-4 + told["bytes"] / 1e6 / n)
        assert row["predicted s"] == pytest.approx(told["apart"] + said)
