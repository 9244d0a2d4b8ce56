"""The README's figures, written from the runs that benchmarks/results keeps: `python benchmarks/figures.py`.

A block of the README from `<!-- figures: NAME -->` to `<!-- end -->` is what a function here makes of those files; a
test compares them. `python benchmarks/keep.py bench_NAME.py ...` makes the files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from timing import markdown

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
    words = {"neurallib": "neurallib", "packed": "packed `nn.GRU`", "padded": "padded `nn.GRU`", "onnx": "ONNX Runtime"}
    sides = [side for side in words if any(side in times for _, times in shown)]
    table = markdown(
        ["seconds at 5,400 time steps", *(words[side] for side in sides)],
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
    """Detectors of R-peaks on annotated records, clean and in noise: ours beside those of others."""
    found = kept(results, "r_peaks")
    if not found:
        return missing("bench_r_peaks.py --cross-validated results/fold_0 results/fold_1")
    (path, about), *_ = found
    told = about["told"]
    labels = told["labels"] | {
        "neurallib": f"neurallib's `ecg_r_peaks`, {told['ours']}", "neurallib, all leads": "the same, of both leads"
    }  # fmt: skip
    rows = [row for row in told["rows"] if row["kind"] == "clean"]
    columns = ["R-peaks", "F1 within 150 ms", "F1 within 50 ms", "SD of the time (ms)", "false positives an hour",
               "CPU seconds an hour of signal"]  # fmt: skip
    table = markdown(columns, [clean_row(row, labels[row["detector"]]) for row in rows])
    head = (
        f"MIT-BIH Arrhythmia Database, {told['records']} records of DS1 ({told['people']} people), the first lead "
        "where nothing else is said, with intervals of 95 % over people."
    )
    said = " ".join(ahead(rows, labels, f"f1_{within}", within) for within in (150, 50))
    noisy = in_noise(told, labels, [row["detector"] for row in rows])
    versions = f"With {', '.join(told['versions'])}; one thread: {source(path, about, timed=True)}."
    return "\n\n".join(part for part in (head, table, said, noisy, versions) if part.strip())


def clean_row(row: dict[str, Any], label: str) -> list[str]:
    """What is told of a detector on clean records."""
    f1 = [with_interval(row[name], row["intervals"][name]) for name in ("f1_150", "f1_50")]
    rest = (row["timing_sd_ms"], row["false_positives_per_hour"], row["seconds_per_hour"])
    return [label, *f1, *("" if value is None else f"{value:.2g}" if value < 10 else f"{value:.0f}" for value in rest)]


def ahead(rows: list[dict[str, Any]], labels: dict[str, str], measure: str, within: int) -> str:
    """By how much ours is ahead of the best of the others, and whether that is sure."""
    others = [row for row in rows if row.get("against", {}).get(measure, {}).get("low") is not None]
    if not others:
        return ""
    best = max(others, key=lambda row: row[measure])
    found = best["against"][measure]
    sure = "" if found["low"] > 0 or found["high"] < 0 else "; these records do not tell which is better"
    between = f"{found['difference']:+.4f} ({found['low']:+.4f} to {found['high']:+.4f})"
    other = f"{labels[best['detector']]}, the best of the others"
    return f"F1 within {within} ms less that of {other}, paired by person: {between}{sure}."


def in_noise(told: dict[str, Any], labels: dict[str, str], detectors: list[str]) -> str:
    """F1 by kind and level of noise."""
    noisy = {(row["kind"], row["snr"], row["detector"]): row for row in told["rows"] if row["kind"] != "clean"}
    levels = list(dict.fromkeys((kind, snr) for kind, snr, _ in noisy))
    if not levels:
        return ""
    head = [f"{NOISES.get(kind, kind)}, {snr:g} dB" for kind, snr in levels]
    rows = [[labels[name], *(f"{noisy[(*level, name)]['f1_150'] or 0:.3f}" for level in levels)] for name in detectors]
    of = f"The first {told['minutes']:g} minutes of each record, F1 within 150 ms in noise"
    known = ["these records of noise"] * told["noise_met"]
    known += ["motion that the same function simulates"] * any(kind == "em (simulated)" for kind, _ in levels)
    met = f"; ours was trained with {' and with '.join(known)}" if known else ""
    return f"{of}{met}:\n\n{markdown(['', *head], rows)}"


NOISES = {"ma": "muscles", "bw": "wander", "em": "motion", "em (simulated)": "simulated motion", "mixed": "all three"}


def with_interval(value: float | None, interval: Sequence[float | None]) -> str:
    """A figure, with its interval where there is one."""
    low, high = interval
    between = "" if low is None or high is None else f" ({low:.4f} to {high:.4f})"
    return "" if value is None else f"{value:.4f}{between}"


def denoising(results: Path) -> str:
    """By how many decibels noise is less, by kind and level: ours, and the best filters that hindsight finds."""
    found = kept(results, "denoising")
    if not found:
        return missing("--busy bench_denoising.py --drnn 1.5 --cross-validated FOLD_0 FOLD_1")
    (path, about), *_ = found
    told = about["told"]
    rows = {(row["noise"], row["method"], row["snr"]): row for row in told["rows"]}
    noises, levels = (list(dict.fromkeys(key[i] for key in rows if key[0] != "clean")) for i in (0, 2))
    shown = [[NOISES.get(noise, noise), label.format(**row), *(decibels(rows[noise, method, snr]) for snr in levels)]
             for noise in noises for method, label in METHODS.items()
             if (row := rows.get((noise, method, levels[0])))]  # fmt: skip
    table = markdown(["noise", "improvement (dB)", *(f"at {snr:g} dB" for snr in levels)], shown)
    errors = [f"{-row['snr_after_db']:.1f} dB ({METHODS[method].format(**row)})"
              for (noise, method, _), row in rows.items() if noise == "clean" and method in METHODS]  # fmt: skip
    held_out = "--cross-validated" in about["command"]
    met = "cross-validated, with noise that no model met" if held_out else "which ours was trained on"
    clean = f" Clean ECG comes out with an error of {', '.join(errors)}." if errors else ""
    return (
        f"The first {told['minutes']:g} min of each of the same records, {met}; means over records with intervals of "
        "95 % over people; filters have the best setting for each kind and level.\n\n"
        f"{table}\n\n{clean.strip()} FIR filters and wavelets are in the file: {source(path, about)}."
    )


METHODS = {
    "neurallib": "neurallib's `ecg_denoiser`", "best Butterworth": "best Butterworth band-pass",
    "DRNN-like LSTM": "an LSTM like DRNN ({settings})",
}  # fmt: skip


def transfer(results: Path) -> str:
    """What layers of the detector are worth to who has few labels."""
    found = kept(results, "transfer")
    if not found:
        return missing("--busy bench_transfer.py")
    (path, about), *_ = found
    rows = about["told"]["rows"]
    scores = {(row["example"], row["way"]): row["F1"].partition(";")[0] + ")" for row in rows}
    ways = list(dict.fromkeys(row["way"] for row in rows))
    heads = {"fine_tuning": "beats three times as fast", "beat_classes": "N, S and V beats"}
    table = markdown(
        ["", *heads.values()], [[way, *(scores.get((example, way), "") for example in heads)] for way in ways]
    )
    n = f"mean, lowest and highest of {about['told']['seeds']} seeds, each with other people"
    return f"{table}\n\nF1 within 50 ms, and macro F1; {n}: {source(path, about)}."


def decibels(row: dict[str, Any]) -> str:
    """The improvement of the signal-to-noise ratio with its interval."""
    low, high = row["interval"]
    return f"{row['snr_improvement_db']:+.1f} ({low:+.1f} to {high:+.1f})"


def missing(options: str) -> str:
    """What stands where nothing was kept."""
    return f"*Not measured yet: `python benchmarks/keep.py {options}`.*"


BLOCKS: dict[str, Callable[[Path], str]] = {
    "recurrence": recurrence, "r_peaks": r_peaks, "denoising": denoising, "transfer": transfer
}  # fmt: skip

if __name__ == "__main__":
    README.write_text(written(README.read_text(encoding="utf-8"), HERE / "results"), encoding="utf-8")
