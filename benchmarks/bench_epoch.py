"""An epoch from files to weights: `train` against a plain loop in the original's manner.

The plain loop reads each file again, pads a batch as given, packs it, and steps Adam. Both see the same signals of
mixed lengths; then 10,000 short files, ours alone. The share is that of the network's forward and backward, measured on
the same batches by themselves, in our epoch's wall time. Run `python benchmarks/bench_epoch.py --quick`.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import timing
import torch
from bench_recurrence import PUBLISHED, PlainStack

import neurallib as nl


def write_signals(root: Path, lengths: list[int]) -> nl.SignalFolder:
    """Noise, and whether it is positive."""
    rng = np.random.default_rng(0)
    for side in "xy":
        (root / side / "train").mkdir(parents=True)
    for i, n in enumerate(lengths):
        x = rng.standard_normal((n, 1)).astype(np.float32)
        np.save(root / "x" / "train" / f"{i}.npy", x)
        np.save(root / "y" / "train" / f"{i}.npy", (x > 0).astype(np.float32))
    return nl.open_folder(root / "x", root / "y", "train")


def read_recordings(directory: Path, minutes: float, seconds: float = 15) -> list[tuple[np.ndarray, np.ndarray]]:
    """Windows of WFDB records with their R-peaks."""
    pairs = []
    for path in nl.list_recordings(directory):
        recording = nl.read_recording(path, channels=[0], stop=60 * minutes, units="mV")
        signal = recording["signal"]
        labels = nl.peak_labels(nl.beats(recording), len(signal), 9)[:, None]
        size = int(seconds * recording["sampling_frequency"])
        pairs += [(signal[i : i + size], labels[i : i + size]) for i in range(0, len(labels) - size + 1, size)]
    return pairs


def measure(
    data: Any, lengths: list[int], hidden: tuple[int, ...], batch_size: int, repeats: int, plain: bool, more: int = 4
) -> dict[str, Any]:
    """An epoch of each side: ours the first, which reads and checks the files, and the mean of `more` after it."""
    state = nl.gru_seq2seq(n_features=1, hid_dim=list(hidden), n_layers=len(hidden), bidirectional=True)
    network, loss = nl.build_network(state), nl.loss_function(state)
    batches = list(nl.make_loader(nl.prepare(state, data), batch_size=batch_size, shuffle=True, bucketing=True))

    def ours(epochs: int) -> None:
        options = {"batch_size": batch_size, "bucketing": True, "enable_progress_bar": False}
        nl.train(state, data, data[:1], epochs=epochs, **options)

    def bare() -> None:
        for batch in batches * more:
            network.zero_grad()
            nl.training_step(network, batch, loss).backward()

    def original() -> None:
        stack = PlainStack(hidden, packed=True)
        optimizer = torch.optim.Adam(stack.parameters(), weight_decay=1e-5)
        for start in range(0, len(data), batch_size):
            items = sorted(
                (data[i] for i in range(start, min(start + batch_size, len(data)))), key=lambda p: -len(p[0])
            )
            batch = nl.collate_fn(items)
            optimizer.zero_grad()
            loss(stack(batch["x"], batch["lengths"]), batch["y"], batch["lengths"]).backward()
            optimizer.step()

    sides = {"first": lambda: ours(1), "all": lambda: ours(1 + more), "bare": bare}
    seconds = timing.alternating(sides, repeats, warm_up=0.1 if repeats > 1 else 0)
    epoch = (seconds["all"] - seconds["first"]) / more
    row: dict[str, Any] = {"signals": len(data), "steps": sum(lengths), "hidden": "-".join(map(str, hidden))}
    row |= {"first epoch": seconds["first"], "epoch": epoch, "forward+backward": seconds["bare"] / more}
    row["share"] = seconds["bare"] / more / epoch
    if plain:
        row["plain epoch"] = timing.alternating({"plain": original}, 1, warm_up=0)["plain"]
        row["plain/ours"] = row["plain epoch"] / row["epoch"]
    return row


def main() -> None:
    """Measure, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter signals")
    parser.add_argument("--device", default="cpu", choices=("cpu",))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--records", type=Path, metavar="DIR", help="WFDB records, for windows of 15 s of each")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rng = np.random.default_rng(1)
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        lengths = rng.integers(300, 1800 if arguments.quick else 5400, 32 if arguments.quick else 256).tolist()
        folder = write_signals(Path(directory) / "mixed", lengths)
        rows.append(measure(folder, lengths, PUBLISHED, 8, 3, plain=True))
        short = rng.integers(100, 400, 10_000).tolist()
        folder = write_signals(Path(directory) / "short", short)
        rows.append(measure(folder, short, PUBLISHED, 32, 1, plain=False, more=2))
    if arguments.records is not None:
        pairs = read_recordings(arguments.records, minutes=0.5 if arguments.quick else 5)
        rows.append(measure(pairs, [len(x) for x, _ in pairs], PUBLISHED, 8, 3, plain=False))
    timing.report(rows, benchmark="epoch", **timing.machine(arguments.device))


if __name__ == "__main__":
    main()
