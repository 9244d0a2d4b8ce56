"""Annotated records for the benchmarks on recordings: as they are, with noise, and which state has met which of them.

Noise is taken from the last third of its records, so that a recipe can be trained with the rest. Electrode motion is
recorded (`em`) where the folder has it, else simulated.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from filters import without_baseline

import neurallib as nl

ROOT = Path(__file__).resolve().parent.parent
SAME_PERSON = {"202": "201"}  # of the MIT-BIH Arrhythmia Database
HELD_OUT = 2 / 3  # of the noise, which recipes' folds are trained with
PARTS = {"mixed": ("bw", "ma", "em"), "clean": ()}  # other kinds of noise are one record

Recording = dict[str, Any]
Noises = dict[str, "Recording | None"]


def data_folder(given: Path | None, name: str) -> Path | None:
    """The folder that is given, else one of $NEURALLIB_DATA or of a `shared/data` beside or above the repository."""
    shared = [place / "shared" / "data" / name for place in (ROOT, ROOT.parent, ROOT.parent.parent)]
    named = [Path(os.environ["NEURALLIB_DATA"]) / name] if os.environ.get("NEURALLIB_DATA") else []
    return next((folder for folder in ([given] if given else [*named, *shared]) if any(folder.glob("*.hea"))), None)


def person_of(name: str) -> str:
    """Whose record it is."""
    return SAME_PERSON.get(name, name)


def recordings(folder: Path, minutes: float | None, all_leads: bool = False) -> Iterator[Recording]:
    """The records of a folder, their first channel or all that are voltages, in mV, with all annotations."""
    for path in nl.list_recordings(folder):
        units = nl.read_recording(path, stop=1)["units"] if all_leads else []
        channels = [k for k, unit in enumerate(units) if unit.endswith("V")] or 0
        recording = nl.read_recording(path, channels=channels, stop=minutes and minutes * 60, units="mV")
        yield recording | {"person": person_of(recording["name"])}


def states_of(
    pretrained: str, checkpoint: Path | None = None, cross_validated: Sequence[Path] | None = None
) -> Callable[[str], nl.State]:
    """Which state is for the record of a name: of several directories the first that never met its person."""
    if not cross_validated:
        state = nl.load_pretrained(pretrained) if checkpoint is None else nl.load_checkpoint(checkpoint)
        return lambda name: state
    states = [nl.load_checkpoint(directory) for directory in cross_validated]

    def one(name: str) -> nl.State:
        for state in states:
            if not has_met(state, name):
                return state
        raise ValueError(f"every state of --cross-validated was trained on {name}; expected one that was not.")

    return one


def has_met(state: nl.State, name: str) -> bool:
    """Whether a state was trained on a record of this person, by the names in its training information."""
    names = str(state["training_info"].get("train_dataset", "")).replace(";", " ").split()
    return person_of(name) in {person_of(each) for each in names}


def has_met_noise(state: nl.State) -> bool:
    """Whether a state was trained with the last third of the noise as well, by the same names."""
    said = str(state["training_info"].get("train_dataset", ""))
    return "nstdb" in said and "of which two thirds" not in said


def read_noises(folder: Path | None) -> tuple[Noises, Noises]:
    """The first two thirds of the noise records that are there, for training, and the last; None: it is simulated."""
    first: Noises = {"em": None}
    last: Noises = {"em": None}
    for kind in ("bw", "ma", "em"):
        if folder is not None and (folder / f"{kind}.hea").is_file():
            noise = nl.read_recording(folder / f"{kind}.hea")
            signal = np.asarray(noise["signal"], np.float64)
            cut = round(HELD_OUT * len(signal))
            first[kind], last[kind] = noise | {"signal": signal[:cut]}, noise | {"signal": signal[cut:]}
    return first, last


def at_rate(noise: Recording, rate: float) -> np.ndarray:
    """A noise record [n, 2] at a record's rate in Hz."""
    from scipy.signal import resample_poly

    signal, ratio = noise["signal"], Fraction(rate / noise["sampling_frequency"]).limit_denominator(1000)
    return signal if ratio == 1 else np.asarray(resample_poly(signal, ratio.numerator, ratio.denominator, axis=0))


def absent(noises: Noises, kind: str) -> list[str]:
    """The noise records that a kind of noise needs and that are not there."""
    return [one for one in PARTS.get(kind, (kind,)) if one not in noises]


def motion(n_steps: int, rate: float, generator: np.random.Generator) -> np.ndarray:
    """Simulated electrode motion [n], another one every ten seconds, louder and quieter."""
    augment, size = nl.augment_motion(rate, snr=(0, 0), reference="signal"), round(10 * rate)
    wave = np.sin(np.arange(size))[:, None]
    parts = [augment(wave, wave, generator)[0] - wave for _ in range(n_steps // size + 1)]
    return np.concatenate([part[:, 0] * 10 ** generator.uniform(-0.25, 0.25) for part in parts])[:n_steps]


def noise_of(
    noises: Noises, kind: str, n_steps: int, rate: float, generator: np.random.Generator, n_leads: int = 1
) -> np.ndarray:
    """Noise of a kind [n, L], from a place of its own; "mixed" is equal parts of three. Leads have the channels of a
    noise record at the same time; simulated motion is of each by itself."""
    if missing := absent(noises, kind):
        raise ValueError(f"{kind} noise needs the noise record {missing[0]!r}, which is not there.")
    added = np.zeros((n_steps, n_leads))
    for one in PARTS.get(kind, (kind,)):
        noise = noises[one]
        if noise is None:
            piece = np.stack([motion(n_steps, rate, generator) for _ in range(n_leads)], axis=1)
        else:
            record = at_rate(noise, rate)
            start, n_columns = generator.integers(0, max(1, len(record) - n_steps + 1)), record.shape[1]
            columns = (generator.integers(n_columns) + np.arange(n_leads)) % n_columns
            piece = np.resize(record[start : start + n_steps, columns], (n_steps, n_leads))
        size = piece.std(axis=0)
        added += (piece - piece.mean(axis=0)) / np.where(size > 0, size, 1.0)  # electrodes may rest for a second
    return added


def cleaned(recording: Recording) -> np.ndarray:
    """What counts as clean [T, L]: the recording without its baseline."""
    return without_baseline(np.nan_to_num(recording["signal"]), recording["sampling_frequency"])


def noisy(
    folder: Path, noises: Noises, kind: str, snr: float, minutes: float, all_leads: bool = False
) -> list[tuple[Recording, np.ndarray]]:
    """Each record with noise of the given SNR in dB, of the variance of each whole lead, and what it was without."""
    generator, pairs = np.random.default_rng(0), []
    for recording in recordings(folder, minutes, all_leads):
        clean = cleaned(recording)
        added = noise_of(noises, kind, len(clean), recording["sampling_frequency"], generator, clean.shape[1])
        size = added.var(axis=0)
        gain = np.sqrt(clean.var(axis=0) / np.where(size > 0, size, np.inf) / 10 ** (snr / 10))
        pairs.append((recording | {"signal": (clean + gain * added).astype(np.float32)}, clean))
    return pairs
