"""What the benchmarks share: alternating timings, the machine's matrix-product peak, tables and one JSON line."""

from __future__ import annotations

import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

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
            began = time.perf_counter()
            run()
            _wait()
            times[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in times.items()}


def matrix_peak(device: str, size: int = 1024) -> float:
    """Floating-point operations a second of a float32 matrix product, the median of 15."""
    a = torch.randn(size, size, device=device)
    b = torch.randn(size, size, device=device)
    return 2 * size**3 / alternating({"mm": lambda: a @ b}, 15)["mm"]


def machine(device: str) -> dict[str, Any]:
    """What the figures were measured on."""
    name = torch.cuda.get_device_name() if device == "cuda" else _processor()
    return {"machine": name, "threads": torch.get_num_threads(), "torch": torch.__version__}


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as text in columns; numbers with three significant digits."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    cells = [[_cell(row.get(column, "")) for column in columns] for row in rows]
    widths = [max(len(column), *(len(row[i]) for row in cells)) for i, column in enumerate(columns)]
    lines = [columns, ["-" * width for width in widths], *cells]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


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


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
