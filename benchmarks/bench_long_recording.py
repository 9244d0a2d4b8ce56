"""A day of ECG through a model: time, memory as the recording grows, and what windows cost in accuracy.

One lead at 360 Hz through the three-layer bidirectional GRU of 32, 64 and 64 units, read from a file and written into
one, each duration in a process of its own. Beside it half an hour in one pass, which is what windows are measured
against, in time and in what they answer. Run `python benchmarks/bench_long_recording.py --quick` for 1 and 6 hours.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import timing
import torch

import neurallib as nl

RATE = 360.0


class FromFile:
    """A .npy file of one column, read piece by piece: what is not read takes no memory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        mapped = np.load(path, mmap_mode="r")
        self.shape, self._offset = mapped.shape, mapped.offset

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: slice) -> np.ndarray:
        start, stop, _ = part.indices(len(self))
        values = np.fromfile(self._path, np.float32, stop - start, offset=self._offset + 4 * start)
        return values[:, None]


def model() -> nl.State:
    """Drawn weights compute as fast as trained ones; made three times as large, they hear from further away."""
    state = nl.gru_seq2seq(n_features=1, hid_dim=[32, 64, 64], n_layers=3, bidirectional=True)
    state["preprocessing"]["sampling_frequency"] = RATE
    return {**state, "weights": {name: 3 * weight for name, weight in state["weights"].items()}}  # type: ignore


def write_signal(path: Path, hours: float) -> None:
    """Ten minutes of synthetic ECG, again and again."""
    signal, _ = nl.synthetic_ecg(duration=600, sampling_frequency=RATE, seed=1)
    n_steps, piece = round(hours * 3600 * RATE), signal.reshape(-1, 1).astype(np.float32)
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (n_steps, 1)})
        for first in range(0, n_steps, len(piece)):
            file.write(piece[: n_steps - first].tobytes())


def one(path: Path, n_threads: int) -> dict[str, float]:
    """In this process: seconds, and the most memory beyond what a small recording takes."""
    torch.set_num_threads(n_threads)
    signal, state = FromFile(path), model()
    small = {"signal": signal[slice(0, 30_000)], "sampling_frequency": RATE}
    nl.predict_recording(state, small)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began, cpu = time.perf_counter(), time.process_time()
    nl.predict_recording(state, {"signal": signal, "sampling_frequency": RATE}, path=path.with_name("output.npy"))
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": took, "cpu_seconds": cpu, "mb": (peak - before) / 1024, "peak_mb": peak / 1024}


def against_one_pass(minutes: float) -> dict[str, Any]:
    """How far windows are from one pass, and how long both take."""
    state = model()
    signal, _ = nl.synthetic_ecg(duration=minutes * 60, sampling_frequency=RATE, seed=2)
    recording = {"signal": signal.reshape(-1, 1), "sampling_frequency": RATE}
    nl.predict_recording(state, recording)
    began = time.perf_counter()
    windows = nl.predict_recording(state, recording)["output"]
    ours, began = time.perf_counter() - began, time.perf_counter()
    (whole,) = nl.predict(state, [recording["signal"]])
    return {
        "minutes": minutes,
        "largest_difference": float(np.abs(windows - whole).max()),
        "windows_seconds": ours,
        "one_pass_seconds": time.perf_counter() - began,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, nargs="+", default=[1, 6, 24, 96])
    parser.add_argument("--quick", action="store_true", help="1 and 6 hours alone")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        timing.say(json.dumps(one(given.one, given.threads)))
        return
    torch.set_num_threads(given.threads)
    rows = []
    with tempfile.TemporaryDirectory() as root:
        for hours in [1.0, 6.0] if given.quick else given.hours:
            path = Path(root) / "signal.npy"
            write_signal(path, hours)
            command = [sys.executable, __file__, "--one", str(path), "--threads", str(given.threads)]
            told = json.loads(subprocess.check_output(command).splitlines()[-1])
            rows.append({"hours": hours, **told})
    timing.report(rows, benchmark="long_recording", windows=against_one_pass(30), **timing.machine("cpu"))


if __name__ == "__main__":
    main()
