"""How `ecg_r_peaks_stream` was made: `ecg_r_peaks` without the future, for R-peaks while the signal comes in.

Records, augmentation and folds are those of `train_ecg_r_peaks`, which says where to get the records. What is not: the
network goes forwards alone, filters and scale are causal, and labels are late by what it may hear of a beat before it
answers. `python -m neurallib.examples.train_ecg_r_peaks_stream --records mitdb --noise nstdb --out results`; when it
was stopped or killed, the same command goes on where it was.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import neurallib as nl
from neurallib.examples.recipes import TWO_THIRDS, heard, recipe_parser, resampled
from neurallib.examples.train_ecg_r_peaks import SAMPLING_FREQUENCY, Recorded, cross_validated, learnt, read
from neurallib.examples.train_ecg_r_peaks import augmentation as augmentation_of_all

DELAY = 0.088  # s, by which labels are later than beats: something of a beat is heard before it is told
# An event is known when its run has ended, half a label and half a smoothing later, 0.2 s after its beat; no other one
# is waited for. Runs are highest a step after the middle of their label.
EVENTS = {
    "threshold": 0.5, "min_distance": 0.056, "smoothing": 0.048, "delay": DELAY + 0.008, "snap": 0.02, "doubt": 1.75,
}  # fmt: skip
# The signal and its QRS complexes, each divided by how large it was of late: no unit and no whole signal is needed.
STEPS = [
    {"name": "slew_limit", "duration": 4.0, "causal": True},  # a spike would make the gains deaf for a while
    {"name": "local_gain", "low": 0.5, "high": 40.0, "duration": 4.0, "causal": True},
    {"name": "local_gain", "low": 5.0, "high": 30.0, "duration": 4.0, "causal": True, "beside": True},
]
CHUNK, MINUTES = 0.04, 2  # s, and of each record: where it is measured how late beats are known

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Cross-validate over the people of DS1, train on all of them, and write the model; gives what
    `neurallib.evaluate_recordings` measured on people whom the model of their fold had never met, and "late", how many
    seconds after its R-peak each beat was known in a stream."""
    arguments = recipe_parser(__doc__, epochs=20, fold_epochs=20).parse_args(argv)
    data = read(arguments)
    states: dict[int, nl.State] = {}

    def of_fold(fold: int, taken: list[Recorded]) -> nl.State:
        directory = arguments.out / f"stream_fold_{fold}"
        states[fold] = trained(taken, heard(data.noise), directory, arguments.fold_epochs, arguments.seed, TWO_THIRDS)
        return states[fold]

    measured = cross_validated(data, of_fold)
    late = [each for fold, part in data.folds.items() for each in lateness(states[fold], part["val"])]
    if states:
        measured["late"] = late
    if late:
        times = np.percentile(late, [50, 99, 100])
        logger.info("known after %.3f s (median), %.3f s (99 of 100), %.3f s (all), chunks of %g s", *times, CHUNK)
    if arguments.epochs:
        everyone = list(data.records.values())
        trained(everyone, data.noise, arguments.out / "ecg_r_peaks_stream", arguments.epochs, arguments.seed)
    return measured


def later(x: np.ndarray, y: np.ndarray, generator: np.random.Generator | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Labels as late as answers are; what stands before them is of a time that was not heard."""
    n_steps = round(DELAY * SAMPLING_FREQUENCY)
    late = np.full_like(y, np.nan)
    late[n_steps:] = y[:-n_steps]
    return x, late


def augmentation(noise: dict[str, np.ndarray]) -> Any:
    """What `train_ecg_r_peaks` does to a piece, which looks at where its beats are; then the labels are moved."""
    return nl.compose_augmentations(augmentation_of_all(noise), later)


def trained(
    records: Sequence[Recorded], noise: dict[str, np.ndarray], directory: Path, epochs: int, seed: int, said: str = ""
) -> nl.State:
    """The model of some records, which is in the directory from then on."""
    state = nl.gru_seq2seq(
        n_features=1, hid_dim=64, n_layers=2, learning_rate=4e-3, model_name="ecg_r_peaks_stream", fold=2, steps=STEPS,
        seed=seed,
    )  # fmt: skip
    return learnt(
        state, records, directory, EVENTS, None, later, said, epochs=epochs, seed=seed, normalization=None,
        augment=augmentation(noise), trained_for="R-peak detection in streams",
    )  # fmt: skip


def lateness(state: nl.State, recordings: Sequence[nl.Recording]) -> list[float]:
    """Seconds from each beat that is found in the first minutes of the recordings until it is known, where they come
    chunk by chunk."""
    signals = [resampled(recording, SAMPLING_FREQUENCY)[:, :1] for recording in recordings]
    n_steps, size = min(60 * MINUTES * SAMPLING_FREQUENCY, *map(len, signals)), round(CHUNK * SAMPLING_FREQUENCY)
    together = np.stack([signal[:n_steps] for signal in signals])
    network, carry = nl.build_network(state).eval(), nl.init_stream(state, batch_size=len(recordings))
    late: list[float] = []
    for first in range(0, n_steps, size):
        _, carry = nl.stream_step(network, together[:, first : first + size], carry)
        known = torch.cat(carry["events"]["found"])
        late += ((carry["n_samples"] - known) / SAMPLING_FREQUENCY).tolist()
    return late


if __name__ == "__main__":
    main()
