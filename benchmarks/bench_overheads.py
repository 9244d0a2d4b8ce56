"""What surrounds the network: one call, files, steps, epochs, measures, pictures, peaks, the import, the first use.

Each row has two sizes of the work and another side that does the same, or the least that must be done, in the same run;
the exponent is that of our time in the size, the ratio of more that of what the larger work takes beyond the smaller,
such as one more epoch. Run `python benchmarks/bench_overheads.py --quick`.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import timing
import torch

import neurallib as nl

Side = Callable[[], Any]
RNG = np.random.default_rng(0)


def one_call(n_steps: int, hid_dim: Sequence[int] = (32, 64, 64)) -> tuple[Side, Side]:
    """`predict` of one short signal, and the bare network."""
    state = nl.gru_seq2seq(n_features=1, hid_dim=[*hid_dim], n_layers=len(hid_dim), bidirectional=True)
    signal = RNG.standard_normal((n_steps, 1)).astype(np.float32)
    network, x = nl.build_network(state).eval(), torch.from_numpy(signal)[None]

    def bare() -> None:
        with torch.inference_mode():
            network(x)

    return lambda: nl.predict(state, [signal]), bare


def long_among_short(n_steps: int) -> tuple[Side, Side]:
    """`predict` of a long signal among a hundred short ones, and of the long one alone."""
    state = nl.gru_seq2seq(n_features=1, hid_dim=32, n_layers=1)
    signals = [RNG.standard_normal((n, 1)).astype(np.float32) for n in (n_steps, *[300] * 100)]
    return lambda: nl.predict(state, signals), lambda: nl.predict(state, signals[:1])


def files(n_files: int, root: Path) -> tuple[Side, Side]:
    """`prepare` of a folder of short files, and reading their bytes."""
    folder = root / str(n_files)
    for side in "xy":
        (folder / side / "train").mkdir(parents=True)
        for i in range(n_files):
            np.save(folder / side / "train" / f"{i}.npy", np.zeros((200, 1), np.float32))
    state, paths = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1), list(folder.rglob("*.npy"))
    data = nl.open_folder(folder / "x", folder / "y", "train")
    return lambda: nl.prepare(state, data), lambda: [path.read_bytes() for path in paths]


def beyond_memory(n_files: int, root: Path) -> tuple[Side, Side]:
    """An epoch's training steps on files that do not fit the memory budget, and on kept ones."""
    folder = root / f"beyond {n_files}"
    for side in "xy":
        (folder / side / "train").mkdir(parents=True)
        for i in range(n_files):
            np.save(folder / side / "train" / f"{i}.npy", np.ones((200, 1), np.float32))
    state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1)
    data = nl.open_folder(folder / "x", folder / "y", "train")
    network, loss = nl.build_network(state), nl.loss_function(state)

    def epoch(loader: Iterable[Any]) -> None:
        for batch in loader:
            _step(network, batch, loss)

    beyond, kept = (
        nl.make_loader(nl.prepare(state, data, memory_budget=bytes_), batch_size=8, shuffle=True)
        for bytes_ in (0, 2**30)
    )
    return lambda: epoch(beyond), lambda: epoch(kept)


def attention(n_steps: int) -> tuple[Side, Side]:
    """A training step of a Transformer on eight times as many samples with fold=8, and of one on so many samples."""
    sizes: dict[str, Any] = {"n_features": 1, "d_model": 64, "nhead": 4, "dim_feedforward": 128}
    sides = []
    for fold in (8, 1):
        state, n = nl.transformer_seq2seq(**sizes, fold=fold), n_steps * fold
        network, loss = nl.build_network(state), nl.loss_function(state)
        batch = nl.collate_fn([(RNG.standard_normal((n, 1)).astype(np.float32), np.ones((n, 1), np.float32))])
        sides.append(partial(_step, network, batch, loss))
    return sides[0], sides[1]


def _step(network: Any, batch: Any, loss: Any) -> None:
    nl.training_step(network, batch, loss).backward()


def first_use(n_steps: int, root: Path) -> tuple[Side, Side]:
    """A process's first training step with no kernel kept, and with kept ones."""
    code = (
        "import torch, neurallib as nl; state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1);"
        f"batch = nl.collate_fn([(torch.zeros({n_steps}, 1), torch.zeros({n_steps}, 1))]);"
        "nl.training_step(nl.build_network(state), batch, nl.loss_function(state)).backward()"
    )

    def run(folder: Path) -> None:
        subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"NUMBA_CACHE_DIR": str(folder)})

    run(root / "kept")
    return lambda: run(Path(tempfile.mkdtemp(dir=root))), lambda: run(root / "kept")


def steps(n_signals: int) -> tuple[Side, Side]:
    """Two epochs of `train` of a small network, and the same steps in a plain loop."""
    state = nl.gru_seq2seq(n_features=1, hid_dim=16, n_layers=1)
    pairs = [(x, x > 0) for x in RNG.standard_normal((n_signals, 200, 1))]
    batches, loss = nl.make_loader(nl.prepare(state, pairs), batch_size=4, shuffle=True), nl.loss_function(state)

    def plain() -> None:
        network = nl.build_network(state)
        optimizer, _ = nl.make_optimizer(network, state["hparams"])
        for _ in range(2):
            for batch in batches:
                optimizer.zero_grad()
                nl.training_step(network, batch, loss).backward()
                optimizer.step()

    options = {"epochs": 2, "batch_size": 4, "enable_progress_bar": False}
    return lambda: nl.train(state, pairs, pairs[:1], **options), plain


def epochs(n_epochs: int, root: Path, **options: Any) -> tuple[Side, Side]:
    """`train` that writes a checkpoints directory, and the same that writes nothing."""
    state = nl.gru_seq2seq(n_features=1, hid_dim=16, n_layers=1)
    pairs = [(x, x > 0) for x in RNG.standard_normal((128, 400, 1))]

    def run(**more: Any) -> None:
        nl.train(state, pairs, pairs[:32], epochs=n_epochs, batch_size=8, enable_progress_bar=False, **more)

    return lambda: run(save=True, results_directory=root, **options), run


def measures(n_steps: int) -> tuple[Side, Side]:
    """`evaluate` of long signals with AUROC among its measures, and `predict` alone."""
    state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1)
    signals = RNG.standard_normal((n_steps // 10_000, 10_000, 1)).astype(np.float32)
    pairs = [(x, x > 1) for x in signals]
    return lambda: nl.evaluate(state, pairs), lambda: nl.predict(state, signals)


def picture(n_steps: int) -> tuple[Side, Side]:
    """A picture of a long signal, and of 1,000 steps of it."""
    signal = RNG.standard_normal((n_steps, 1), dtype=np.float32)
    return lambda: nl.plot_prediction(signal, signal), lambda: nl.plot_prediction(signal[:1000], signal[:1000])


def peaks(n_steps: int) -> tuple[Side, Side]:
    """Peaks of a long output, and a look at each of its values."""
    output = np.zeros(n_steps, np.float32)
    output[100::300] = 0.9
    return lambda: nl.post_process_peaks_binary(output, filter_peaks=True), lambda: np.flatnonzero(output > 0.5)


def matching(n_beats: int) -> tuple[Side, Side]:
    """Beats matched with five found ones each, and those sorted."""
    true = np.arange(n_beats) * 300 + 1000
    found = (true[:, None] + RNG.integers(-40, 40, (n_beats, 5))).ravel()
    return lambda: nl.match_peaks(true, found, 54), lambda: np.sort(found)


def imported(_: int) -> tuple[Side, Side]:
    """A process that imports torch and the library, and one that imports torch and NumPy."""

    def run(code: str) -> None:
        subprocess.run([sys.executable, "-c", code], check=True)

    return lambda: run("import torch, numpy, neurallib"), lambda: run("import torch, numpy")


def main() -> None:
    """Measure, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    scale, rows = 1 if arguments.quick else 10, []
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        work: dict[str, tuple[Callable[[int], tuple[Side, Side]], tuple[int, int]]] = {
            "one call": (one_call, (100, 1000)),
            "one call, tiny": (lambda n: one_call(n, [4]), (100, 1000)),
            "long among short": (long_among_short, (20_000 * scale, 40_000 * scale)),
            "files": (lambda n: files(n, root), (500 * scale, 1000 * scale)),
            "beyond memory": (lambda n: beyond_memory(n, root), (100 * scale, 200 * scale)),
            "steps": (steps, (100 * scale, 200 * scale)),
            "saved epochs": (lambda n: epochs(n, root), (5 * scale, 10 * scale)),
            "TensorBoard": (lambda n: epochs(n, root, enable_tensorboard=True), (5 * scale, 10 * scale)),
            "measures": (measures, (300_000 * scale, 600_000 * scale)),
            "picture": (picture, (300_000 * scale, 3_000_000 * scale)),
            "peaks": (peaks, (300_000 * scale, 3_000_000 * scale)),
            "matching": (matching, (10_000 * scale, 100_000 * scale)),
            "attention": (attention, (100, 200)),
            "import": (imported, (1, 1)),
            "first use": (lambda n: first_use(n, root), (10, 10)),
        }
        for what, (make, sizes) in work.items():
            seconds = []
            for size in sizes:
                ours, other = make(size)
                repeats, warm_up = (1, 0.0) if what == "first use" else (5, 0.02)
                seconds.append(timing.alternating({"ours": ours, "other": other}, repeats, warm_up))
                ratio = seconds[-1]["ours"] / seconds[-1]["other"]
                rows.append({"what": what, "size": size, **seconds[-1], "ratio": ratio})
            if sizes[1] > sizes[0]:
                growth = math.log(seconds[1]["ours"] / seconds[0]["ours"]) / math.log(sizes[1] / sizes[0])
                rows[-1]["exponent"] = growth
                more = {side: seconds[1][side] - seconds[0][side] for side in ("ours", "other")}
                rows[-1]["ratio of more"] = more["ours"] / more["other"]
            timing.say(timing.table(rows[-2:]))
    timing.report(rows, benchmark="overheads", **timing.machine("cpu"))


if __name__ == "__main__":
    main()
