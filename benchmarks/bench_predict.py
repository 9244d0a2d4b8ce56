"""Prediction over a folder of recordings of mixed lengths: `predict` against the bare network, and packed one by one.

Run `python benchmarks/bench_predict.py --quick`.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import timing
import torch
from bench_recurrence import PUBLISHED, PlainStack

import neurallib as nl


def write_recordings(root: Path, lengths: list[int]) -> nl.SignalFolder:
    """A folder of noise, with targets that `open_folder` asks for and `predict` does not read."""
    rng = np.random.default_rng(0)
    for side in "xy":
        (root / side / "test").mkdir(parents=True)
    for i, n in enumerate(lengths):
        np.save(root / "x" / "test" / f"{i}.npy", rng.standard_normal((n, 1)).astype(np.float32))
        np.save(root / "y" / "test" / f"{i}.npy", np.zeros((n, 1), np.float32))
    return nl.open_folder(root / "x", root / "y", "test")


def main() -> None:
    """Measure, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer recordings")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    n = 64 if arguments.quick else 512
    lengths = np.random.default_rng(1).integers(1000, 5400, n).tolist()
    state = nl.gru_seq2seq(n_features=1, hid_dim=list(PUBLISHED), n_layers=3, bidirectional=True)
    network = nl.build_network(state, arguments.device).eval()
    packed = PlainStack(PUBLISHED, packed=True).to(arguments.device).eval()
    packed.load_state_dict(state["weights"])
    with tempfile.TemporaryDirectory() as directory:
        folder = write_recordings(Path(directory), lengths)
        by_length = sorted(range(n), key=lambda i: -lengths[i])
        ready = [nl.collate_fn([folder[i] for i in by_length[k : k + 32]]) for k in range(0, n, 32)]
        ready = [{name: part.to(arguments.device) for name, part in batch.items()} for batch in ready]

        def bare() -> None:
            with torch.inference_mode():
                for batch in ready:
                    network(batch["x"], batch["lengths"])

        def one_by_one() -> None:
            with torch.inference_mode():
                for x, _ in folder:
                    packed(torch.from_numpy(np.array(x))[None].to(arguments.device), torch.tensor([len(x)]))

        gpu_id = 0 if arguments.device == "cuda" else None
        ours = {"predict": lambda: nl.predict(state, folder, gpu_id=gpu_id), "bare network": bare}
        seconds = timing.alternating(ours, 5 if arguments.quick else 9)
        seconds |= timing.alternating({"packed one by one": one_by_one}, 1, warm_up=0)
    steps = sum(lengths)
    rows = [{"side": name, "seconds": value, "steps/s": steps / value} for name, value in seconds.items()]
    timing.report(
        rows,
        benchmark="predict",
        **timing.machine(arguments.device),
        **{
            "share of the bare network's throughput": seconds["bare network"] / seconds["predict"],
            "packed/ours": seconds["packed one by one"] / seconds["predict"],
        },
    )


if __name__ == "__main__":
    main()
