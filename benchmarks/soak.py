"""What a long-lived process gathers: memory, open files and threads over rounds of everything a model goes through.

A round trains in this process and in a child that is killed in the middle, resumes the child's run (or, where training
cannot, begins it again) and compares the weights bitwise, evaluates, exports, predicts, takes a recording from a file
and into one, streams, and removes the runs. Four models take turns, one of another size each time. After each round
memory (RSS), open files, threads, children and files left over are counted. Something grows where the slope over the
rounds after the warm-up is above what is allowed by more than two standard errors; the exit status is 1 then. On Linux.

    OMP_NUM_THREADS=1 python benchmarks/soak.py --minutes 60
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib.util
import inspect
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import timing
import torch

import neurallib as nl

RATE, EPOCHS = 100.0, 12  # Hz; of a training
WARM_UP, LEAST = 0.25, 10  # the share of the rounds that is left out; rounds that tell something
MOST = {"memory (MB)": 10.0, "open files": 0.5, "threads": 0.5, "children": 0.5, "files": 0.5}  # growth an hour allowed
RESUMES = "resume" in inspect.signature(nl.train_from_scratch).parameters


def model(number: int) -> nl.State:
    """One in each direction, one in both, an attention and one of another size each time."""
    shared: dict[str, Any] = {"n_features": 1, "model_name": f"soak{number}"}
    kind, size = number % 4, 8 + 4 * (number // 4 % 8)
    if kind == 0:
        return nl.gru_seq2seq(hid_dim=[16, 24], n_layers=2, dropout=0.1, **shared)
    if kind == 1:
        return nl.gru_seq2seq(hid_dim=16, n_layers=2, bidirectional=True, **shared)
    if kind == 2:
        sizes = {"d_model": 16, "nhead": 1, "dim_feedforward": 32}
        return nl.transformer_seq2seq(**sizes, task="classification", **shared)
    return nl.gru_seq2seq(hid_dim=size, n_layers=1, **shared)


def train(folder: Path, number: int, directory: Path | None = None) -> nl.State:
    """The same run in whatever process, resumed where there is a directory to resume and a way to."""
    resume = {} if directory is None or not RESUMES else {"resume": directory}
    return nl.train_from_scratch(
        model(number), folder / "data/x", folder / "data/y", epochs=EPOCHS, batch_size=4, patience=None, seed=number,
        normalization="dataset", dataset_name="synthetic ECG", trained_for="R-peaks", enable_progress_bar=False,
        results_directory=folder / "results", **resume,
    )  # fmt: skip


def child(folder: Path, number: int) -> subprocess.Popen[bytes]:
    """A process that trains once it is told to: what it imports is imported beside what is done here."""
    command = [sys.executable, __file__, "--child", str(number), "--folder", str(folder)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def killed(folder: Path, process: subprocess.Popen[bytes], wait: float) -> tuple[Path | None, bool]:
    """The directory of a child's run, killed so many seconds after it began; whether that was in its middle."""
    begun: list[Path] = []
    with process:
        assert process.stdin is not None
        process.stdin.close()  # which it waits for
        while not begun and process.poll() is None:
            time.sleep(0.02)
            begun = [path.parent for path in (folder / "results").glob("*/checkpoints/*/training_info.json")]
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(wait)
        process.kill()
    return (begun[0] if begun else None), process.returncode == -signal.SIGKILL


def same(a: nl.State, b: nl.State) -> bool:
    return all(torch.equal(weight, b["weights"][name]) for name, weight in a["weights"].items())


def use(folder: Path, number: int, state: nl.State) -> None:
    """All that is done with a trained model."""
    test = nl.open_folder(folder / "data/x", folder / "data/y", "test")
    nl.evaluate(state, test)
    nl.predict(state, [x for x, _ in test])
    recording = nl.read_recording(folder / "recordings" / f"{number % 3}.npz")
    answer = nl.predict_recording(state, recording, path=folder / "answer.npy", window=5.0 + number % 3)
    nl.find_events(answer["output"], recording["sampling_frequency"])
    if importlib.util.find_spec("onnx") and importlib.util.find_spec("onnxruntime"):
        nl.export_onnx(state, folder / "model.onnx", stateful=number % 4 in (0, 3))
    if number % 4 != 2:
        ahead = {"look_ahead": 0.2} if number % 4 == 1 else {}
        network, carry = nl.build_network(state).eval(), nl.init_stream(state, **ahead)
        for chunk in np.array_split(np.asarray(recording["signal"][:1000]), 40):
            _, carry = nl.stream_step(network, chunk, carry)


def write_data(folder: Path) -> None:
    """The recordings, as files, and what training reads of them."""
    (folder / "recordings").mkdir()
    for i in range(8):
        signal, peaks = nl.synthetic_ecg(duration=30.0 + i, sampling_frequency=RATE, seed=i)
        events = {"sample": peaks, "symbol": ["N"] * len(peaks)}
        np.savez(folder / "recordings" / f"{i}.npz", signal=signal[:, None], sampling_frequency=RATE, **events)
    target = partial(nl.event_target, width=0.1)
    nl.make_dataset(folder / "recordings", folder / "data", target=target, window=5.0, enable_progress_bar=False)


def children() -> list[str]:
    """The commands of this process's children, those too that multiprocessing or torch keep for themselves; not Open
    MPI's daemon, which comes with the first import of mpi4py, by Lightning where that is installed, and stays."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # of a process that ends meanwhile
            if int((path / "stat").read_text().rpartition(")")[2].split()[1]) == os.getpid():
                found.append((path / "cmdline").read_text().replace("\0", " ").strip())
    return [command for command in found if not command.startswith("orted ")]


def counted(folder: Path) -> dict[str, float]:
    """What this process holds, and how many files there are in the folder."""
    gc.collect()
    return {
        "memory (MB)": int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6,
        "open files": len(os.listdir("/proc/self/fd")) - 1,
        "threads": len(os.listdir("/proc/self/task")),
        "children": len(children()),
        "files": sum(path.is_file() for path in folder.rglob("*")),
    }


def slope(hours: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """Growth an hour by least squares, and its standard error, to which values that stay where they were add less."""
    x, y = np.asarray(hours) - np.mean(hours), np.asarray(values) - np.mean(values)
    growth = float(x @ y / (x @ x))
    left = y - growth * x
    alike = float(np.clip(left[1:] @ left[:-1] / max(left @ left, 1e-12), 0, 0.95))  # from one round to the next
    error = np.sqrt(left @ left / (len(x) - 2) / (x @ x) * (1 + alike) / (1 - alike))
    return growth, float(error)


def judged(hours: Sequence[float], counts: Sequence[dict[str, float]]) -> list[dict[str, Any]]:
    """A row for each thing that was counted: what there was, and whether it grows."""
    first, rows = round(WARM_UP * len(counts)), []
    for name, most in MOST.items():
        values = [count[name] for count in counts]
        row: dict[str, Any] = {"what": name, "first": values[0], "after warm-up": values[first], "last": values[-1]}
        row["most"] = max(values)
        if len(values) - first >= LEAST:
            growth, error = slope(hours[first:], values[first:])
            row |= {"an hour": growth, "+-": 2 * error, "grows": growth - 2 * error > most}
        rows.append(row)
    return rows


def soak(folder: Path, minutes: float, rounds: int | None, seed: int) -> dict[str, Any]:
    """Rounds until the time is over, or so many; what came of them."""
    rng, began = random.Random(seed), time.monotonic()
    hours: list[float] = []
    counts: list[dict[str, float]] = []
    told: dict[str, Any] = {"killed": 0, "different": 0}
    write_data(folder)
    while len(counts) != rounds and (rounds is not None or time.monotonic() - began < 60 * minutes):
        number = len(counts)
        process = child(folder, number)
        whole = train(folder, number)
        shutil.rmtree(folder / "results")
        left, in_time = killed(folder, process, rng.uniform(0.0, 0.6))
        state = train(folder, number, left)
        told["killed"] += in_time
        told["different"] += not same(state, whole)
        use(folder, number, state)
        shutil.rmtree(folder / "results")
        del state, whole
        hours.append((time.monotonic() - began) / 3600)
        counts.append(counted(folder))
        if rounds is None and len(counts) % 10 == 1:
            timing.say(f"{60 * hours[-1]:5.1f} min, round {len(counts):3d}: " + str(counts[-1]))
    told |= {"rounds": len(counts), "minutes": 60 * hours[-1], "children": children()}
    return {"rows": judged(hours, counts), **told, "counts": counts}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, help="so many rounds, however long they take")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="write the counts of each round into this file")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.child is not None:
        sys.stdin.read()
        train(options.folder, options.child)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TMPDIR"] = tempfile.tempdir = f"{folder}/temporary"  # what is left there is counted, too
        Path(tempfile.tempdir).mkdir()
        told = soak(Path(folder), options.minutes, options.rounds, options.seed)
    tempfile.tempdir = None
    rows, counts = told.pop("rows"), told.pop("counts")
    if options.keep is not None:
        options.keep.write_text(json.dumps(counts))
    timing.report(rows, **told, resumes=RESUMES, **timing.machine("cpu"))
    return 1 if told["different"] or any(row.get("grows") for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
