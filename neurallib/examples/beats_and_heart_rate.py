"""Beats and heart rate of a recording: a file that `nl.read_recording` reads, or synthetic ECG.

The model comes from --checkpoint, or learns on synthetic ECG first. Writes the beats as CSV, and a strip chart. Run
`python -m neurallib.examples.beats_and_heart_rate --recording mitdb/100 --channel MLII`.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

import neurallib as nl
from neurallib.examples.recipes import make_parser, start

RATE = 125  # Hz, of what the model learns on; recordings have any

logger = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> dict[str, float]:
    """Run the example, and return "beats", "bpm" (the median) and, where beats are annotated, how they were met."""
    parser = make_parser(__doc__, epochs=8)
    parser.add_argument("--recording", type=Path, help="WFDB, EDF, BDF, CSV or .npy file [synthetic ECG]")
    parser.add_argument("--channel", help="its name [all are read]")
    parser.add_argument("--minutes", type=float, default=2, help="how much of it [2]")
    parser.add_argument("--checkpoint", type=Path, help="directory of a trained model [one is trained]")
    arguments = start(parser, argv)
    folder = arguments.out / "beats_and_heart_rate"
    folder.mkdir(parents=True, exist_ok=True)

    if arguments.recording is None:
        recording = synthetic(60 * arguments.minutes)
    else:
        recording = nl.read_recording(arguments.recording, channels=arguments.channel, stop=60 * arguments.minutes)
    if arguments.checkpoint is None:
        state = train(arguments.signals, arguments.epochs, not arguments.quiet)
    else:
        state = nl.load_checkpoint(arguments.checkpoint)

    peaks = nl.find_r_peaks(state, recording)
    rhythm = nl.rr_intervals(peaks, recording["sampling_frequency"], max_gap=3)
    told = {"beats": len(peaks), "bpm": float(np.nanmedian(rhythm["bpm"])) if len(peaks) > 1 else np.nan}
    logger.info("%s: %d beats, median heart rate %.0f bpm", recording["name"], told["beats"], told["bpm"])
    true = nl.beats(recording)
    if len(true):
        told |= nl.peak_scores(true, peaks, sampling_frequency=recording["sampling_frequency"])
        logger.info("of %d annotated beats %d found, %d too many", len(true), told["true_positives"],
                    told["false_positives"])  # fmt: skip

    seconds = peaks / recording["sampling_frequency"]
    rr, bpm = (np.concatenate([[np.nan] * min(1, len(peaks)), rhythm[name]]) for name in ("rr", "bpm"))
    np.savetxt(
        folder / "beats.csv", np.stack([peaks, seconds, rr, bpm], axis=1), fmt=["%d", "%.4f", "%.4f", "%.1f"],
        delimiter=",", header="sample,seconds,rr_seconds,bpm", comments="",
    )  # fmt: skip
    nl.plot_recording(recording, found=peaks, path=folder / "beats.png")
    logger.info("beats: %s, picture: %s, model: %s", folder / "beats.csv", folder / "beats.png",
                state["training_info"]["checkpoints_directory"])  # fmt: skip
    return told


def train(n_signals: int, epochs: int, enable_progress_bar: bool) -> nl.State:
    """A model that finds R-peaks, from synthetic hearts of many rates and sizes."""
    rng, pairs = np.random.default_rng(0), []
    for seed in range(n_signals):
        signal, r_peaks = nl.synthetic_ecg(
            duration=10, sampling_frequency=RATE, seed=seed, heart_rate=rng.uniform(45, 140), ectopic_fraction=0.05,
            amplitude=rng.uniform(0.4, 2), morphology_variation=0.2, muscle_noise=rng.uniform(0, 0.1),
        )  # fmt: skip
        pairs.append((signal[:, None], nl.peak_labels(r_peaks, len(signal), 5)[:, None]))
    n_val = max(1, n_signals // 5)
    state = nl.gru_seq2seq(
        n_features=1, hid_dim=32, n_layers=2, bidirectional=True, learning_rate=0.01, model_name="Beats"
    )
    state["postprocessing"]["events"] = {"threshold": 0.3, "min_distance": 0.25, "smoothing": 0.08}  # s, travels along
    return nl.train(
        state, pairs[n_val:], pairs[:n_val], epochs=epochs, batch_size=8, sampling_frequency=RATE, units="mV",
        save=True, dataset_name="synthetic ECG", trained_for="R-peaks", enable_progress_bar=enable_progress_bar,
    )  # fmt: skip


def synthetic(seconds: float) -> nl.Recording:
    """A recording in the form that `read_recording` gives, with its true beats as events."""
    signal, r_peaks = nl.synthetic_ecg(duration=seconds, sampling_frequency=360, heart_rate=75, seed=1000)
    return {
        "name": "synthetic", "person": None, "signal": signal[:, None], "sampling_frequency": 360.0,
        "channels": ["II"], "units": ["mV"], "source": None, "start_time": None, "notes": [],
        "events": {"sample": r_peaks, "symbol": ["N"] * len(r_peaks), "duration": np.zeros(len(r_peaks))},
    }  # fmt: skip


if __name__ == "__main__":
    main()
