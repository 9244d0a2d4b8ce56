"""Find heart beats while the signal comes in: a recording read as from a device, 0.1 s at a time.

Learns to find R-peaks in synthetic ECG with a GRU that looks back alone, then takes a recording chunk by chunk, keeps
what carries on in a file once, and tells how late each beat was known. Run `python -m neurallib.examples.stream`, or
with `--record PATH` on a recording of your own (such as a WFDB record with its beats; extra `wfdb`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

import neurallib as nl
from neurallib.examples.recipes import make_parser, start

RATE = 125  # Hz, of the synthetic recording
CHUNK = 0.1  # s, what the device sends at once
LATE = 0.08  # s from an R-peak to the middle of its label: a model that looks back alone has to see the peak first
HALF_WIDTH = 0.024  # s of a label on either side

logger = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> dict[str, float]:
    """Run the example, and return how well the beats were found and how late, "delay" (s, the mean)."""
    parser = make_parser(__doc__, epochs=8)
    parser.add_argument("--minutes", type=float, default=2, help="length of the recording [2]")
    parser.add_argument("--record", type=Path, help="a recording with its beats, in place of synthetic ECG")
    arguments = start(parser, argv)
    ecg, r_peaks, rate = read(arguments.record, arguments.minutes)
    state = train(rate, arguments.signals, arguments.epochs)

    network, carry = nl.build_network(state).eval(), nl.init_stream(state)
    found: list[int] = []
    delays: list[float] = []
    for i, chunk in enumerate(device(ecg, rate)):
        _, carry = nl.stream_step(network, chunk, carry)
        for event in carry["events"]["found"][0].tolist():
            found.append(event)
            delays.append((carry["n_samples"] - found[-1]) / rate)
        if i == 10:  # as when the program is stopped, and goes on
            carry = kept_in_a_file(carry, arguments.out / "carry.pt")
    _, carry = nl.stream_step(network, None, carry)
    found += carry["events"]["found"][0].tolist()

    scores = nl.peak_scores(r_peaks, found, sampling_frequency=rate)
    delay, latest = (float(np.mean(delays)), max(delays)) if delays else (np.nan, np.nan)
    logger.info("%d of %d beats found, %d too many", scores["true_positives"], len(r_peaks), scores["false_positives"])
    logger.info("a beat was known %.2f s after its R-peak in the mean, %.2f s at the latest", delay, latest)
    logger.info("the carry, as it was kept once: %s", arguments.out / "carry.pt")
    return scores | {"delay": delay}


def read(path: Path | None, minutes: float) -> tuple[np.ndarray, np.ndarray, float]:
    """A recording [T, 1] in mV, its R-peaks and its rate in Hz."""
    if path is None:
        signal, r_peaks = nl.synthetic_ecg(duration=60 * minutes, sampling_frequency=RATE, heart_rate=75, seed=1)
        return signal[:, None], r_peaks, RATE
    recording = nl.read_recording(path, channels=[0], stop=60 * minutes, units="mV")
    return np.asarray(recording["signal"]), nl.beats(recording), recording["sampling_frequency"]


def train(rate: float, n_signals: int, epochs: int) -> nl.State:
    """A model in one direction, with the normalization of all its training data: a stream has no whole signal."""
    rng, pairs = np.random.default_rng(0), []
    for seed in range(n_signals):
        signal, r_peaks = nl.synthetic_ecg(
            duration=10, sampling_frequency=rate, seed=seed, heart_rate=rng.uniform(50, 130),
            amplitude=rng.uniform(0.6, 1.6),
        )  # fmt: skip
        labelled = r_peaks + round(LATE * rate)
        labels = nl.peak_labels(labelled[labelled < len(signal)], len(signal), round(HALF_WIDTH * rate))
        pairs.append((signal[:, None], labels[:, None]))
    n_val = max(1, n_signals // 5)
    state = nl.gru_seq2seq(n_features=1, hid_dim=[16, 32], n_layers=2, learning_rate=0.01, model_name="StreamedBeats")
    state = nl.train(
        state, pairs[n_val:], pairs[:n_val], epochs=epochs, batch_size=8, normalization="dataset",
        sampling_frequency=rate, enable_progress_bar=False,
    )  # fmt: skip
    events = {"threshold": 0.4, "min_distance": 0.25, "smoothing": 0.05, "delay": LATE}  # s; LATE is taken off again
    state["postprocessing"]["events"] = events  # travels along
    return state


def device(signal: np.ndarray, rate: float) -> Iterator[np.ndarray]:
    """The recording [T, 1] as a device sends it; a driver's callback or a socket would stand here."""
    size = round(CHUNK * rate)
    for first in range(0, len(signal), size):
        yield signal[first : first + size]


def kept_in_a_file(carry: dict[str, Any], path: Path) -> dict[str, Any]:
    """The carry as it comes back from a file: it is tensors and numbers alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(carry, path)
    back: dict[str, Any] = torch.load(path, weights_only=True)
    return back


if __name__ == "__main__":
    main()
