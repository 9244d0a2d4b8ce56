"""Heart rate from PPG: a regression in beats a minute from windows of 8 s, on a recording with gaps.

Writes windows and rates of synthetic recordings as a data set, learns from them, and follows a recording whose sensor
lost the skin twice. Run `python -m neurallib.examples.heart_rate_from_ppg`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

import neurallib as nl
from neurallib.examples.recipes import make_parser, start

RATE, WINDOW = 64, 8  # Hz and s

logger = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> dict[str, float]:
    """Run the example, and return "mae" and "baseline" (bpm) on the recording, of the model and of a constant."""
    parser = make_parser(__doc__, epochs=20, signals=24)
    arguments = start(parser, argv)
    rng = np.random.default_rng(0)
    recordings = [ppg(f"ppg_{i:02d}", 120, rng.uniform(50, 120), seed=i) for i in range(arguments.signals)]
    made = nl.make_dataset(
        recordings, arguments.out / "heart_rate_from_ppg", target=heart_rate, window=WINDOW, each_window=True,
        enable_progress_bar=not arguments.quiet,
    )  # fmt: skip
    state = nl.gru_seq2one(
        n_features=1, hid_dim=24, n_layers=2, bidirectional=True, task="regression", pooling="mean",
        learning_rate=0.01, model_name="HeartRateFromPPG",
    )  # fmt: skip
    state = nl.train_from_scratch(
        state, made / "x", made / "y", epochs=arguments.epochs, outputs=["heart rate (bpm)"],
        dataset_name="synthetic PPG", trained_for="heart rate", enable_progress_bar=not arguments.quiet,
    )  # fmt: skip
    measured = nl.evaluate(state, nl.open_folder(made / "x", made / "y", "test"))
    logger.info("test part: mean absolute error %.1f bpm", measured["mae"])

    recording = ppg("new", 300, 75, seed=1000, gaps=[(60, 75), (180, 240)])
    answer = nl.predict_recording(state, recording)  # windows of 8 s, none of them with a gap in it
    beats, rows = nl.beats(recording), []
    for (first, last), (found,) in zip(answer["windows"], answer["output"], strict=True):
        rows.append((first / RATE, last / RATE, rate_of(beats[(beats >= first) & (beats < last)]), found))
    path = arguments.out / "heart_rate_from_ppg.csv"
    np.savetxt(path, rows, fmt="%.1f", delimiter=",", header="from_seconds,to_seconds,bpm,found_bpm", comments="")
    true, said = np.array(rows)[:, 2:].T
    scores = {"mae": float(np.abs(said - true).mean()), "baseline": float(np.abs(true - true.mean()).mean())}
    logger.info("%d windows around %d gaps: mean absolute error %.1f bpm", len(rows), len(answer["gaps"]),
                scores["mae"])  # fmt: skip
    logger.info("heart rates: %s, model: %s", path, state["training_info"]["checkpoints_directory"])
    return scores


def heart_rate(window: nl.Recording) -> np.ndarray:
    """The target of a window, bpm; nan, which is unknown, where it has not two beats."""
    return np.array(rate_of(nl.beats(window)), dtype=np.float32)


def rate_of(beats: np.ndarray) -> float:
    """The mean rate of these beats (samples), bpm."""
    rr = nl.rr_intervals(beats, RATE)["rr"]
    return float(60 / rr.mean()) if len(rr) else np.nan


def ppg(name: str, seconds: float, rate: float, seed: int, gaps: Sequence[tuple[int, int]] = ()) -> nl.Recording:
    """A pulse and its reflected wave 0.2 s after each beat, breathing, and noise; nan from and to each gap (s)."""
    rng = np.random.default_rng(seed)
    n_steps = round(seconds * RATE)
    _, beats = nl.synthetic_ecg(duration=seconds, sampling_frequency=RATE, heart_rate=rate, heart_rate_std=5, seed=seed)
    times = np.arange(RATE) / RATE
    pulse = np.exp(-(((times - 0.2) / 0.08) ** 2)) + 0.4 * np.exp(-(((times - 0.45) / 0.1) ** 2))
    signal = np.convolve(np.bincount(beats, minlength=n_steps), pulse)[:n_steps] * rng.uniform(0.5, 2)
    signal += 0.3 * np.sin(2 * np.pi * 0.25 * np.arange(n_steps) / RATE) + 0.1 * rng.standard_normal(n_steps)
    for first, last in gaps:
        signal[first * RATE : last * RATE] = np.nan
    return {
        "name": name, "person": None, "signal": signal[:, None].astype(np.float32), "sampling_frequency": RATE,
        "channels": ["PPG"], "units": ["NU"], "start_time": None, "source": None, "notes": [],
        "events": {"sample": beats, "symbol": ["N"] * len(beats), "duration": np.zeros(len(beats))},
    }  # fmt: skip


if __name__ == "__main__":
    main()
