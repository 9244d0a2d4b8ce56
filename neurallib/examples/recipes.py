"""What examples share: arguments, and of the recipes of models that come along the records and rates."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

import neurallib as nl

HEARD = 2 / 3  # of the noise, from its beginning: what models of a cross-validation are trained with
TWO_THIRDS = "of which two thirds"  # and what their files say of it
# The training side of the usual division of the MIT-BIH Arrhythmia Database between people (de Chazal et al. 2004).
DS1 = "101 106 108 109 112 114 115 116 118 119 122 124 201 203 205 207 208 209 215 220 223 230".split()


def ds1_recordings(folder: Path) -> list[nl.Recording]:
    """The records of DS1 that a folder has."""
    return [nl.read_recording(path) for path in nl.list_recordings(folder) if path.stem in DS1]


def noise_records(folder: Path, rate: float) -> dict[str, np.ndarray]:
    """Wander and muscles [n, 2] by name, at a rate in Hz."""
    return {name: resampled(nl.read_recording(folder / f"{name}.hea"), rate) for name in ("bw", "ma")}


def resampled(recording: nl.Recording, rate: float) -> np.ndarray:
    """The signal [T, C] float32 at a rate in Hz; where a record marks no value, its median."""
    from scipy.signal import resample_poly

    signal = np.asarray(recording["signal"], np.float64)
    signal = np.where(np.isnan(signal), np.nanmedian(signal, axis=0), signal)
    ratio = Fraction(rate / recording["sampling_frequency"]).limit_denominator(1000)
    values: np.ndarray = resample_poly(signal, ratio.numerator, ratio.denominator, axis=0, padtype="line")
    return values.astype(np.float32)


def high_passed(signal: np.ndarray, rate: float) -> np.ndarray:
    """Without what is slower than 0.5 Hz, and not delayed."""
    from scipy.signal import butter, sosfiltfilt

    return np.asarray(sosfiltfilt(butter(2, 0.5, "highpass", fs=rate, output="sos"), signal, axis=0))


def other_shapes(
    x: np.ndarray, generator: np.random.Generator, reach: int, loudness: float, spread: tuple[float, float]
) -> np.ndarray:
    """Waves such as other hearts and electrodes give: the signal [T, 1] with one to three echoes of itself, up to so
    many steps away and so many times as large, and a little smoother."""
    echoes = np.zeros(2 * reach + 1)
    echoes[reach] = 1
    for _ in range(generator.integers(1, 4)):
        echoes[generator.integers(len(echoes))] += generator.uniform(-loudness, loudness)
    filtered = smooth(np.convolve(x[:, 0], echoes / np.abs(echoes).max(), "same"), generator.uniform(*spread))
    return filtered[:, None]


def smooth(x: np.ndarray, spread: float) -> np.ndarray:
    """A signal [T] through a Gaussian of so many samples."""
    reach = int(4 * spread) + 1
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / spread) ** 2)
    return np.convolve(x, weights / weights.sum(), "same")


def heard(noise: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The noise that models of a cross-validation are trained with."""
    return {name: record[: round(HEARD * len(record))] for name, record in noise.items()}


def kept(noise: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The rest, which they may be measured with."""
    return {name: record[round(HEARD * len(record)) :] for name, record in noise.items()}


def trained_on(names: Iterable[str], said: str = "") -> str:
    """What a model was trained on, as its file says; benchmarks read off it which people and which noise it has met."""
    return f"mitdb {' '.join(names)}; nstdb bw ma {said}".strip()


def laid_apart(peaks: Iterable[np.ndarray], n_steps: int) -> np.ndarray:
    """The peaks of signals of so many steps one after the other, so far apart that none matches a neighbour's."""
    return np.concatenate([found + 2 * i * n_steps for i, found in enumerate(peaks)])


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


def recipe_parser(description: str | None, epochs: int, fold_epochs: int) -> argparse.ArgumentParser:
    """The arguments that all recipes take."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--records", type=Path, required=True, metavar="DIR", help="of the MIT-BIH Arrhythmia Database")
    add("--noise", type=Path, required=True, metavar="DIR", help="of the Noise Stress Test Database")
    add("--out", type=Path, default=Path("results"), help="folder for the models [results]")
    add("--folds", type=int, default=2, help="of the cross-validation; 0 for none [2]")
    add("--fold-epochs", type=int, default=fold_epochs, help=f"of each fold's training [{fold_epochs}]")
    add("--epochs", type=int, default=epochs, help=f"of the training on all; 0 for none [{epochs}]")
    add("--threads", type=int, default=2, help="of the computation [2]")
    add("--seed", type=int, default=3, help="for folds, weights and training [3]")
    add("--quiet", action="store_true", help="say nothing but warnings")
    return parser


def detector_to_adapt(
    description: str | None, epochs: int, people: int, labelled: str, argv: list[str] | None
) -> tuple[argparse.Namespace, nl.State]:
    """What the examples are given that adapt a detector to a few people, of whom so much is labelled; the detector."""
    parser = make_parser(description, epochs)
    parser.add_argument("--records", type=Path, required=True, help="of the MIT-BIH Arrhythmia Database")
    parser.add_argument("--checkpoint", type=Path, help="directory of a detector [ecg_r_peaks]")
    parser.add_argument("--people", type=int, default=people, help=f"{labelled} [{people}]")
    parser.add_argument("--seeds", type=int, default=3, help="each with other people and weights [3]")
    given = start(parser, argv)
    place = given.checkpoint
    return given, nl.load_pretrained("ecg_r_peaks") if place is None else nl.load_checkpoint(place)


def over_seeds(values: Sequence[float]) -> str:
    """The mean of what some seeds gave, the lowest and the highest."""
    return f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f}; {len(values)} seeds)"
