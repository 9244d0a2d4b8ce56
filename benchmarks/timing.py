"""What the benchmarks share: alternating timings, the machine's matrix-product peak, tables and one JSON line."""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch


def alternating(sides: Mapping[str, Callable[[], Any]], repeats: int, warm_up: float = 0.1) -> dict[str, float]:
    """Median seconds of each side; the sides take turns, so that a machine whose speed drifts is fair to all.

    Before a timed run its side runs for `warm_up` seconds, at least once; 0 is no warm-up at all. For some 40 ms after
    a side has run, its threads (OpenMP's, ONNX Runtime's) look for more work on cores that the next side needs.
    """
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, run in sides.items():
            warm = time.perf_counter() + warm_up
            while time.perf_counter() < warm:
                run()
                _wait()
            times[name].append(once(run))
    return {name: statistics.median(values) for name, values in times.items()}


def affordable(sides: Mapping[str, Callable[[], Any]], seconds: float = 20) -> dict[str, tuple[float, int]]:
    """Median seconds and number of runs of slow sides: one where a run takes longer than `seconds`, else 3 to 5.

    A side that takes less than a second runs once more before it is timed.
    """
    found = {}
    for name, run in sides.items():
        times = [once(run)]
        if times[0] < 1:
            times.clear()
        while len(times) < 3 or (len(times) < 5 and sum(times) < seconds):
            if times and times[0] > seconds:
                break
            times.append(once(run))
        found[name] = statistics.median(times), len(times)
    return found


def once(run: Callable[[], Any]) -> float:
    """Seconds of a single run."""
    began = time.perf_counter()
    run()
    _wait()
    return time.perf_counter() - began


def matrix_peak(device: str, sizes: Sequence[int] = (256, 512, 1024, 2048), repeats: int = 15) -> tuple[float, str]:
    """Floating-point operations a second of the fastest float32 matrix product here, and which it is.

    The median of each of torch's and NumPy's products of several sizes, because no library is the fastest everywhere.
    NumPy's are left out where torch has fewer threads than there are cores, for NumPy's library takes them all.
    """
    sides: dict[str, Callable[[], Any]] = {}
    work: dict[str, int] = {}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    for size in sizes:
        a, b = (torch.randn(size, size, device=device) for _ in range(2))
        c = torch.empty(size, size, device=device)
        products: dict[str, Callable[[], Any]] = {"torch.mm": partial(torch.mm, a, b, out=c)}
        if device == "cpu" and torch.get_num_threads() == cores:
            products["numpy.matmul"] = partial(np.matmul, a.numpy(), b.numpy(), out=c.numpy())
        for name, product in products.items():
            sides[f"{name} of {size} x {size}"], work[f"{name} of {size} x {size}"] = product, 2 * size**3
    rates = {name: work[name] / seconds for name, seconds in alternating(sides, repeats, 0.05).items()}
    best = max(rates, key=lambda name: rates[name])
    return rates[best], best


def machine(device: str) -> dict[str, Any]:
    """What the figures were measured on."""
    name = torch.cuda.get_device_name() if device == "cuda" else processor()
    return {"machine": name, "threads": torch.get_num_threads(), "torch": torch.__version__}


def processor() -> str:
    """The model of this machine's processor."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as text in columns; numbers with three significant digits."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    cells = [[_cell(row.get(column, "")) for column in columns] for row in rows]
    widths = [max(len(column), *(len(row[i]) for row in cells)) for i, column in enumerate(columns)]
    lines = [columns, ["-" * width for width in widths], *cells]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *rows])


def plain(value: Any) -> Any:
    """The same with six digits, and None for what JSON has no word for."""
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def say(text: str) -> None:
    """A line on the screen, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def report(rows: Sequence[Mapping[str, Any]], **more: Any) -> None:
    """The table, and one line of JSON with all of it."""
    say(table(rows))
    say(json.dumps(more | {"rows": [dict(row) for row in rows]}))


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
