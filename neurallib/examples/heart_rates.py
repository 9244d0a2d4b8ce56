"""The small data set of the other examples: five seconds of synthetic ECG, and the heart rate in them."""

from __future__ import annotations

import argparse
import logging
import os
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


def make_parser(description: str | None, epochs: int, signals: int = 128) -> argparse.ArgumentParser:
    """The arguments that all examples take; each may add its own."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    results = Path(os.environ.get("NEURALLIB_RESULTS_DIR") or "results")
    parser.add_argument("--out", type=Path, default=results, help=f"folder for data and results [{results}]")
    parser.add_argument("--signals", type=int, default=signals, help=f"signals to train on [{signals}]")
    parser.add_argument("--epochs", type=int, default=epochs, help=f"epochs of training [{epochs}]")
    parser.add_argument("--quiet", action="store_true", help="say nothing but warnings, and draw no progress bars")
    return parser


def start(parser: argparse.ArgumentParser, argv: list[str] | None) -> argparse.Namespace:
    """The arguments' values; from here on the example tells what it does, and writes where it was told to."""
    given = parser.parse_args(argv)
    given.out.mkdir(parents=True, exist_ok=True)  # what cannot be written to is told before anything is done
    speak(given.quiet)
    os.environ["NEURALLIB_RESULTS_DIR"] = str(given.out)  # where checkpoint directories are made
    return given


def speak(quiet: bool) -> None:
    """Say what the example and the library do, not what other packages do; when quiet, nothing but warnings."""
    handler = logging.StreamHandler()
    handler.addFilter(lambda said: said.levelno > logging.INFO or said.name.startswith(("__main__", "neurallib")))
    logging.basicConfig(level=logging.WARNING if quiet else logging.INFO, format="%(message)s", handlers=[handler])
