"""The README's figures, written from the runs that benchmarks/results keeps: `python benchmarks/figures.py`.

A block of the README from `<!-- figures: NAME -->` to `<!-- end -->` is what a function here makes of those files; a
test compares them. `python benchmarks/keep.py bench_NAME.py ...` makes the files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
BLOCK = re.compile(r"(<!-- figures: (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
ENOUGH = 3  # runs that a median of time needs


def written(readme: str, results: Path) -> str:
    """The README with its blocks as the kept files have them."""
    return BLOCK.sub(lambda block: f"{block[1]}{BLOCKS[block[2]](results).strip()}\n{block[4]}", readme)


def kept(results: Path, name: str) -> list[tuple[Path, dict[str, Any]]]:
    """The files of a benchmark, one a machine: NAME.json and NAME_MACHINE.json."""
    paths = sorted([*results.glob(f"{name}.json"), *results.glob(f"{name}_*.json")])
    return [(path, json.loads(path.read_text(encoding="utf-8"))) for path in paths]


def source(path: Path, about: dict[str, Any], timed: bool = False) -> str:
    """Where a block's figures come from; on which machine, where they are of time."""
    on = about["machine"]
    busy = "" if on["load"] <= 0.5 else f", beside other work (load {on['load']:.1f})"
    place = f" on {on['processor']}, {on['cores']} cores{busy}" if timed else ""
    where = f"[all of it](benchmarks/results/{path.name})"
    return f"`{about['command']}`{place}, {about['date']}, commit {about['commit'][:7]} ({where})"


def recurrence(results: Path) -> str:
    """Training steps and inference of the published shape beside torch's and ONNX Runtime's, for each machine."""
    found = kept(results, "recurrence")
    if not found:
        return missing("bench_recurrence.py --quick --plot benchmarks/recurrence.png")
    return "\n\n".join(one_recurrence(path, about) for path, about in found)


def one_recurrence(path: Path, about: dict[str, Any]) -> str:
    """The table of one machine, and what it tells beside."""
    told = about["told"]
    rows = [row for row in told["rows"] if row["hidden"] == "32-64-64" and row["T"] == 5400]
    shown = []
    for row in rows:
        times = {"neurallib": f"{row['step']:.2g}"}
        for side in ("packed", "padded"):
            if row.get(f"{side} runs", 0) >= ENOUGH:
                times[side] = against(row[f"step {side}"], row["step"])
        shown.append([f"training step, batch {row['B']}", times])
    for row in rows:
        times = {"neurallib": f"{row['infer']:.2g}"}
        times |= {side: against(row[f"infer {side}"], row["infer"]) for side in ("packed", "padded", "onnx")
                  if f"infer {side}" in row}  # fmt: skip
        shown.append([f"inference, batch {row['B']}", times])
    sides = ("neurallib", "packed", "padded", "onnx")
    table = markdown(
        ["seconds at 5,400 time steps", "neurallib", "packed `nn.GRU`", "padded `nn.GRU`", "ONNX Runtime"],
        [[name, *(times.get(side, "") for side in sides)] for name, times in shown],
    )
    fastest = max(told["rows"], key=lambda row: row["GFLOP/s"])
    return (
        "The shape is that of the published ECG peak detector, three bidirectional layers, 1-32-64-64; medians, on "
        f"{told['threads']} threads, torch {told['torch']}; what took longer than 20 s a run is left out. "
        f"{source(path, about, timed=True)}.\n\n{table}\n\n"
        f"Time grows with the number of steps to the power of {told['exponent in T, step']:.2f} in training and "
        f"{told['exponent in T, inference']:.2f} in inference. The fastest training step, {fastest['hidden']} at batch "
        f"{fastest['B']}, does {fastest['GFLOP/s']:.0f} GFLOP/s; the machine's fastest matrix product, "
        f"{told['matrix product']}, {told['matrix-product peak, GFLOP/s']:.0f}."
    )


def against(theirs: float, ours: float) -> str:
    """Seconds, and how many times ours."""
    ratio = theirs / ours
    return f"{theirs:.2g} ({ratio:.0f}x)" if ratio >= 10 else f"{theirs:.2g} ({ratio:.1f}x)"


def r_peaks(results: Path) -> str:
    """Detectors of R-peaks on annotated records: those that need no training, and the recipe of what comes along."""
    found = kept(results, "r_peaks")
    card = files("neurallib").joinpath("pretrained/ecg_r_peaks/README.md").read_text(encoding="utf-8")
    ours = dict(re.findall(r"^\| (.+?) \| ([\d.]+ \| .*?) \|$", card, re.MULTILINE))
    rows = [["neurallib's `ecg_r_peaks`, cross-validated", *(of_card(ours[name]) for name in CARD)]]
    sources = "The first row is of the [card](neurallib/pretrained/ecg_r_peaks/README.md), with its command."
    for path, about in found:
        for name, scores in about["told"]["detectors"].items():
            intervals = scores["intervals"]
            rows.append([NAMES.get(name, name), *(with_interval(scores["gross"][m], intervals.get(m)) for m in GROSS)])
        sources += f" The others: {source(path, about)}."
        best = max(about["told"]["detectors"].values(), key=lambda scores: scores["gross"]["f1"])
        low = float(re.findall(r"[\d.]+", ours[CARD[0]])[1])
        if low <= best["intervals"]["f1"][1]:
            sources += " Where intervals overlap, these records do not tell which is better."
    table = markdown(["R-peaks within 150 ms", "F1", "sensitivity", "positive predictive value"], rows)
    more = "" if found else "\n\n" + missing("--busy bench_r_peaks.py")
    head = "MIT-BIH Arrhythmia Database, the 22 records of DS1, first lead, with intervals of 95 % over people."
    return f"{head}\n\n{table}\n\n{sources}{more}"


CARD = ("F1 within 150 ms", "sensitivity", "positive predictive value")
GROSS = ("f1", "sensitivity", "positive_predictive_value")
NAMES = {"xqrs": "XQRS of wfdb", "gqrs": "GQRS of wfdb", "find_peaks": "band-pass and `find_peaks` of SciPy"}


def of_card(cells: str) -> str:
    """A figure of a card with its interval in the next cell."""
    value, _, interval = (part.strip() for part in cells.partition("|"))
    return f"{value} ({interval})" if interval else value


def with_interval(value: float, interval: Sequence[float] | None) -> str:
    """A figure, with its interval where there is one."""
    return f"{value:.4f}" + (f" ({interval[0]:.4f} to {interval[1]:.4f})" if interval else "")


def denoising(results: Path) -> str:
    """By how many decibels recorded noise is less, with intervals over people."""
    found = kept(results, "denoising")
    if not found:
        return missing("--busy bench_denoising.py")
    (path, about), *_ = found
    rows = [
        [row["noise"], f"{row['method']} {row.get('settings', '')}".strip(), decibels(row)]
        for row in about["told"]["rows"]
        if row["snr"] == 6
    ]
    table = markdown(["recorded noise at 6 dB", "method", "improvement (dB)"], rows)
    said = f"{about['told']['minutes']:g} minutes of each record, with intervals of 95 % over people"
    return f"{table}\n\n{said}: {source(path, about)}."


def decibels(row: dict[str, Any]) -> str:
    """The improvement of the signal-to-noise ratio with its interval."""
    low, high = row["interval"]
    return f"{row['snr_improvement_db']:+.1f} ({low:+.1f} to {high:+.1f})"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def missing(options: str) -> str:
    """What stands where nothing was kept."""
    return f"*Not measured yet: `python benchmarks/keep.py {options}`.*"


BLOCKS: dict[str, Callable[[Path], str]] = {"recurrence": recurrence, "r_peaks": r_peaks, "denoising": denoising}

if __name__ == "__main__":
    README.write_text(written(README.read_text(encoding="utf-8"), HERE / "results"), encoding="utf-8")
