"""Training on several processes: 1 and 2 as measured here, 8 and 64 as what was measured of them predicts.

Each process takes batches of the same size, so that more of them see more signals in a step. One, two, and two apart,
each training by itself beside the other, take turns in the same processes, with as many threads each. A step of P
processes takes that of one of those apart, who share the machine's caches and memory, and what is said: five words
(whether all go on, whether the loss is finite, over how many steps), each through a tree of log2(P) rounds, and the
sum of the gradients, round a ring: 2 (P - 1) rounds of a P-th of the bytes. What a round and a byte take is measured
between two processes here; --latency and --bandwidth put a cluster's network in their place. Signals are equally long:
of unequal ones a step waits for the longest. Validation is done whole by every process and is not counted. Run
`python benchmarks/bench_scaling.py --quick`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import timing
import torch
import torch.distributed as dist
from pytorch_lightning.callbacks import Callback

import neurallib as nl

WORDS = 5  # collectives of a number in a step
WARM_UP = 2  # steps of a run that are not counted


class Clock(Callback):
    """The seconds from the end of each step to that of the next one."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, *_: Any) -> None:
        """Note the time."""
        self.ends.append(time.perf_counter())

    def seconds(self) -> list[float]:
        """Of the steps after the warm-up."""
        return np.diff(self.ends)[WARM_UP:].tolist()


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """What one of two processes measures; all of it is the same work in both, or the first one's alone."""
    torch.set_num_threads(arguments.threads)
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    state = nl.gru_seq2seq(n_features=1, hid_dim=arguments.hid_dim, n_layers=2, bidirectional=True)
    n, rng = arguments.batch_size * (arguments.steps + WARM_UP + 1), np.random.default_rng(0)
    pairs = [(x, x > 0) for x in rng.standard_normal((2 * n, arguments.length, 1)).astype(np.float32)]

    def step(side: str) -> float:
        clock, devices = Clock(), 2 if side == "2" else 1
        if rank == 0 or side != "1":
            nl.train(
                state, pairs[: n * devices], pairs[:1], epochs=1, batch_size=arguments.batch_size, devices=devices,
                accelerator="cpu", callbacks=[clock], enable_progress_bar=False,
            )  # fmt: skip
        slower = torch.tensor(statistics.median(clock.seconds() or [0.0]))
        dist.all_reduce(slower, op=dist.ReduceOp.MAX)
        return float(slower)

    n_bytes = 4 * sum(weight.numel() for weight in state["weights"].values())
    sides: dict[str, list[float]] = {"1": [], "apart": [], "2": []}
    for _ in range(arguments.repeats + 1):
        for side, times in sides.items():
            times.append(step(side))
    # The first time kernels are compiled.
    return {"steps": {side: statistics.median(times[1:]) for side, times in sides.items()}, **spoken(n_bytes)}


def spoken(n_bytes: int) -> dict[str, float]:
    """Seconds of one round, and of a byte, between two processes."""
    word, large = torch.zeros(1), torch.zeros(max(n_bytes // 4, 1_000_000))
    sides = {"word": lambda: dist.all_reduce(word), "large": lambda: dist.all_reduce(large)}
    for _ in range(5):
        [say() for say in sides.values()]
    times = timing.alternating(sides, 30, 0.0)  # as often in both
    byte = max(times["large"] - times["word"], 0.0) / (4 * large.numel())
    return {"round": times["word"] / 2, "byte": byte, "bytes": n_bytes}


def predicted(n: int, measured: dict[str, Any], latency: float | None, bandwidth: float | None) -> float:
    """Seconds of a step of `n` processes."""
    if n == 1:
        return float(measured["steps"]["1"])
    one_round = measured["round"] if latency is None else latency
    byte = measured["byte"] if bandwidth is None else 1 / bandwidth
    words = WORDS * 2 * one_round * math.ceil(math.log2(n))
    gradients = 2 * (n - 1) * (one_round + byte * measured["bytes"] / n)
    return float(measured["steps"]["apart"]) + words + gradients


def rows_of(measured: dict[str, Any], arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each number of processes: seconds of a step, and how many times the signals of one process a second."""
    rows = []
    for n in (1, 2, 8, 64):
        found = measured["steps"].get(str(n))
        step = predicted(n, measured, arguments.latency, arguments.bandwidth)
        row = {"processes": n, "measured s": found or "", "predicted s": step}
        first = measured["steps"]["1"]
        rows.append(row | {"ratio measured": n * first / found if found else "", "ratio predicted": n * first / step})
    return rows


def main() -> None:
    """Measure with two processes that torchrun starts, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer, shorter signals")
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument("--hid-dim", type=int, default=64)
    parser.add_argument("--length", type=int, help="steps of a signal; 2000, or 500 with --quick")
    parser.add_argument("--batch-size", type=int, default=8, help="of each process")
    parser.add_argument("--steps", type=int, help="of a run; 20, or 8 with --quick")
    parser.add_argument("--repeats", type=int, default=5, help="how often one and two take turns")
    parser.add_argument("--latency", type=float, help="seconds of a round of a cluster's network, such as 20e-6")
    parser.add_argument("--bandwidth", type=float, help="its bytes a second, such as 1e9")
    parser.add_argument("--told", type=Path, help=argparse.SUPPRESS)  # of the processes that torchrun starts
    arguments = parser.parse_args()
    arguments.length = arguments.length or (500 if arguments.quick else 2000)
    arguments.steps = arguments.steps or (8 if arguments.quick else 20)
    if arguments.told is not None:
        found = measure(arguments)
        if dist.get_rank() == 0:
            arguments.told.write_text(json.dumps(found))
        dist.destroy_process_group()
        return
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as directory:
        told = Path(directory) / "told.json"
        torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", __file__]
        environment = os.environ | {"OMP_NUM_THREADS": str(arguments.threads)}
        subprocess.run(
            [sys.executable, *torchrun, *sys.argv[1:], f"--told={told}"], check=True, env=environment
        )
        measured = json.loads(told.read_text())
    more = {name: measured[name] for name in ("round", "byte", "bytes")} | {"apart": measured["steps"]["apart"]}
    timing.report(rows_of(measured, arguments), benchmark="scaling", **more, **timing.machine("cpu"))


if __name__ == "__main__":
    main()
