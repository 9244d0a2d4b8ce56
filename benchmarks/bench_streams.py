"""Streams: a chunk of 36 samples (0.1 s at 360 Hz) through `stream_step`, and through torch's nn.GRU by hand.

Both keep the hidden states from chunk to chunk, take turns within one process, and are told as the median of a chunk.
Then a model in both directions: what it costs to run it again over what it has heard, and how far its answers are from
those of the whole signal, by the look-ahead. It is trained on synthetic ECG first, to find R-peaks. Run
`python benchmarks/bench_streams.py --quick`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
import timing
import torch
from torch import nn

import neurallib as nl

RATE, CHUNK = 360, 36
CHUNKS = 20  # in a row, a run


class ByHand(nn.Module):
    """The plain way: one nn.GRU a layer, its states kept."""

    def __init__(self, hidden: Sequence[int]) -> None:
        super().__init__()
        sizes = [1, *hidden]
        self.gru_layers = nn.ModuleList(nn.GRU(a, b, batch_first=True) for a, b in zip(sizes, hidden))
        self.fc_out = nn.Linear(hidden[-1], 1)

    def forward(self, x: torch.Tensor, states: list[Any]) -> tuple[torch.Tensor, list[Any]]:
        after = []
        for gru, state in zip(self.gru_layers, states, strict=True):
            x, last = gru(x, state)
            after.append(last)
        return self.fc_out(x).sigmoid(), after


def one_direction(hidden: list[int], n_streams: int, repeats: int) -> dict[str, Any]:
    """One row: milliseconds a chunk."""
    state = nl.gru_seq2seq(n_features=1, hid_dim=hidden, n_layers=len(hidden))
    network, plain = nl.build_network(state).eval(), ByHand(hidden).eval()
    plain.load_state_dict(state["weights"])
    chunks = np.random.default_rng(0).standard_normal((CHUNKS, n_streams, CHUNK, 1)).astype(np.float32)

    def ours() -> None:
        carry = nl.init_stream(state, batch_size=n_streams)
        for chunk in chunks:
            _, carry = nl.stream_step(network, chunk, carry)

    def by_hand() -> None:
        states: list[Any] = [None] * len(hidden)
        with torch.inference_mode():
            for chunk in chunks:
                _, states = plain(torch.from_numpy(chunk), states)

    seconds = timing.alternating({"stream_step": ours, "nn.GRU": by_hand}, repeats)
    row: dict[str, Any] = {"hidden": "-".join(map(str, hidden)), "streams": n_streams}
    row |= {f"{name}, ms": 1000 * value / CHUNKS for name, value in seconds.items()}
    return row | {"nn.GRU/ours": seconds["nn.GRU"] / seconds["stream_step"]}


def peak_finder(n_signals: int, epochs: int) -> tuple[nl.State, np.ndarray]:
    """A model in both directions that finds R-peaks in synthetic ECG, and a minute that it has not seen."""

    def signal(seed: int, seconds: int) -> tuple[np.ndarray, np.ndarray]:
        rate = 50 + 7 * (seed % 10)
        x, peaks = nl.synthetic_ecg(duration=seconds, sampling_frequency=RATE, heart_rate=rate, seed=seed)
        return x[:, None], nl.peak_labels(peaks, len(x), half_width=5)[:, None]

    pairs = [signal(seed, 10) for seed in range(n_signals)]
    state = nl.gru_seq2seq(n_features=1, hid_dim=[16, 32], n_layers=2, bidirectional=True, learning_rate=0.01)
    state = nl.train(
        state, pairs[4:], pairs[:4], epochs=epochs, batch_size=4, normalization="dataset", sampling_frequency=RATE,
        enable_progress_bar=False,
    )  # fmt: skip
    state["postprocessing"]["events"] = {"threshold": 0.5, "min_distance": 0.2}
    return state, signal(1000, 60)[0]


def both_directions(state: nl.State, signal: np.ndarray, look_ahead: float, whole: np.ndarray) -> dict[str, Any]:
    """One row: milliseconds a chunk, and how far from the whole signal's the answers are."""
    network = nl.build_network(state).eval()
    outputs: list[np.ndarray] = []

    def run() -> None:
        outputs.clear()
        carry = nl.init_stream(state, look_ahead=look_ahead)
        for start in range(0, len(signal), CHUNK):
            output, carry = nl.stream_step(network, signal[start : start + CHUNK], carry)
            outputs.append(output)
        outputs.append(nl.stream_step(network, None, carry)[0])

    seconds = timing.alternating({"stream_step": run}, 3, warm_up=0)["stream_step"]
    streamed = np.concatenate(outputs)
    found, wanted = (nl.post_process_peaks_binary(o, filter_peaks=True, min_distance=72) for o in (streamed, whole))
    scores = nl.peak_scores(wanted, found, sampling_frequency=RATE, tolerance=0.02)
    return {
        "look-ahead, s": look_ahead,
        "stream_step, ms": 1000 * seconds * CHUNK / len(signal),
        "largest difference": float(np.abs(streamed - whole).max()),
        "mean difference": float(np.abs(streamed - whole).mean()),
        "F1 of the peaks against the whole's": scores["f1"],
    }


def main() -> None:
    """Measure, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer repeats, a shorter training")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    repeats = 11 if arguments.quick else 31
    grid: list[tuple[list[int], int]] = [(hidden, n) for hidden in ([64], [32, 64, 64]) for n in (1, 64)]
    rows = [one_direction(hidden, n, repeats) for hidden, n in grid]
    timing.say(timing.table(rows))
    state, signal = peak_finder(*((24, 8) if arguments.quick else (64, 20)))
    whole = nl.predict(state, [signal])[0]
    late = [both_directions(state, signal, seconds, whole) for seconds in (0.1, 0.25, 0.5, 1.0, 2.0)]
    timing.report(late, benchmark="streams", **timing.machine("cpu"), one_direction=rows)


if __name__ == "__main__":
    main()
