"""The small data set of the other examples: five seconds of synthetic ECG, and the heart rate in them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

import neurallib as nl

SAMPLING_FREQUENCY = 100  # Hz
SECONDS = 5


def write_heart_rates(directory: Path, n_signals: int, seed: int = 0) -> tuple[Path, Path]:
    """Write x/PART/NAME.npy [T, 1] in mV and y/PART/NAME.npy [1], the mean rate in beats a second; both folders."""
    rng = np.random.default_rng(seed)
    shutil.rmtree(directory, ignore_errors=True)
    whole, directory = directory, directory.with_name(f"{directory.name}.unfinished")
    shutil.rmtree(directory, ignore_errors=True)
    for part, n in {"train": n_signals, "val": max(1, n_signals // 4), "test": max(1, n_signals // 4)}.items():
        for side in "xy":
            (directory / side / part).mkdir(parents=True)
        for i in range(n):
            signal, r_peaks = nl.synthetic_ecg(
                duration=SECONDS, sampling_frequency=SAMPLING_FREQUENCY, heart_rate=rng.uniform(50, 140),
                seed=int(rng.integers(2**31)),
            )  # fmt: skip
            rate = SAMPLING_FREQUENCY * (len(r_peaks) - 1) / (r_peaks[-1] - r_peaks[0])
            np.save(directory / "x" / part / f"{i}.npy", signal[:, None])
            np.save(directory / "y" / part / f"{i}.npy", np.array([rate], np.float32))
    directory.rename(whole)  # whole or not there
    return whole / "x", whole / "y"
