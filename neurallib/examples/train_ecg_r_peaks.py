"""How `ecg_r_peaks` was made: from the MIT-BIH Arrhythmia Database and its noise records to the shipped directory.

The records: `python -c "import wfdb; wfdb.dl_database('mitdb', 'mitdb'); wfdb.dl_database('nstdb', 'nstdb')"`, or
https://physionet.org/content/mitdb and https://physionet.org/content/nstdb (both ODC-By 1.0). Then
`python -m neurallib.examples.train_ecg_r_peaks --records mitdb --noise nstdb --out results`. Only the records of DS1
are looked at, the training side of the usual division between people (de Chazal et al. 2004). Models of the
cross-validation meet neither the people that they are measured on nor the last third of the noise. When it was stopped
or killed, the same command goes on where it was.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

import neurallib as nl
from neurallib.examples.recipes import (
    TWO_THIRDS, ds1_recordings, heard, high_passed, noise_records, other_shapes, recipe_parser, resampled, speak,
    trained_on,
)  # fmt: skip

SAMPLING_FREQUENCY = 125  # Hz
WINDOW = 10  # s
PIECE = 2 * WINDOW  # s, of which each epoch takes another window
HALF_WIDTH = 0.06  # s, of the label of a beat
EVENTS = {"threshold": 0.35, "min_distance": 0.2, "smoothing": 0.06, "snap": 0.0225, "doubt": 1.7}
STEPS = [
    {"name": "highpass", "frequency": 0.5},
    {"name": "band", "low": 5.0, "high": 30.0, "beside": True},
    {"name": "local_gain", "low": 5.0, "high": 30.0, "beside": True},  # for beats much smaller than those around them
]
BEATS = frozenset("NLRBAaJSVrFejnE/fQ?")
ORDINARY = frozenset("NLR/")
MANY = 100  # abnormal beats of a record

logger = logging.getLogger(__name__)


class Recorded(NamedTuple):
    """A record at the recipe's rate: signal [T, 2] in mV, labels [T, 1], and where its abnormal beats are, in steps."""

    name: str
    signal: np.ndarray
    labels: np.ndarray
    abnormal: np.ndarray


class Data(NamedTuple):
    """The recordings of DS1, as they are and by name at the recipe's rate; noise [n, 2] by name; and the folds."""

    recordings: list[nl.Recording]
    records: dict[str, Recorded]
    noise: dict[str, np.ndarray]
    folds: dict[Any, Any]


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Cross-validate over the people of DS1, train on all of them, and write the model; gives what
    `neurallib.evaluate_recordings` measured on people whom the model of their fold had never met."""
    arguments = recipe_parser(__doc__, epochs=45, fold_epochs=45).parse_args(argv)
    data = read(arguments)

    def of_fold(fold: int, taken: list[Recorded]) -> nl.State:
        directory = arguments.out / f"fold_{fold}"
        return trained(taken, heard(data.noise), directory, arguments.fold_epochs, arguments.seed, TWO_THIRDS)

    measured = cross_validated(data, of_fold)
    if arguments.epochs:
        everyone = list(data.records.values())
        trained(everyone, data.noise, arguments.out / "ecg_r_peaks", arguments.epochs, arguments.seed)
    return measured


def read(arguments: argparse.Namespace) -> Data:
    """What is learnt from; from here on the recipe says what it does, on as many threads as it was given."""
    speak(arguments.quiet)
    torch.set_num_threads(arguments.threads)
    recordings = ds1_recordings(arguments.records)
    records = {recording["name"]: recorded(recording) for recording in recordings}
    noise = {name: high_passed(record, SAMPLING_FREQUENCY)  # without its drift
             for name, record in noise_records(arguments.noise, SAMPLING_FREQUENCY).items()}  # fmt: skip
    folds: dict[Any, Any] = {}
    if arguments.folds:  # each with like shares of records that have many abnormal beats
        many = {name: len(record.abnormal) > MANY for name, record in records.items()}
        folds = nl.split_people(recordings, folds=arguments.folds, labels=many, seed=arguments.seed)
    return Data(recordings, records, noise, folds)


def cross_validated(data: Data, of_fold: Callable[[int, list[Recorded]], nl.State]) -> dict[str, Any]:
    """What `neurallib.evaluate_recordings` measured, of first leads, on people whom the model of their fold had never
    met; nothing without folds."""
    found: dict[str, np.ndarray] = {}
    measured: dict[str, Any] = {}
    for fold, part in data.folds.items():
        state = of_fold(fold, [data.records[recording["name"]] for recording in part["train"]])
        for recording in part["val"]:
            found[str(recording["name"])] = nl.find_r_peaks(state, recording, channel=0)
        held_out = [recording for recording in data.recordings if recording["name"] in found]
        measured = nl.evaluate_recordings(lambda recording: found[recording["name"]], held_out)
        logger.info("%d of %d folds\n%s", fold + 1, len(data.folds), measured["table"])
    return measured


def recorded(recording: nl.Recording) -> Recorded:
    """A record, resampled, with its labels: nan in ventricular flutter, which has no beats that anyone could name."""
    events, rate = recording["events"], SAMPLING_FREQUENCY / recording["sampling_frequency"]
    signal, symbols = resampled(recording, SAMPLING_FREQUENCY), np.array(events["symbol"])
    at = events["sample"] * rate
    labels = np.zeros((len(signal), 1), np.float32)
    reach = HALF_WIDTH * SAMPLING_FREQUENCY
    for beat in at[np.isin(symbols, list(BEATS))]:  # the first and the last step count by how much of them is meant
        steps = np.arange(max(0, int(beat - reach) - 1), min(len(labels), int(beat + reach) + 3))
        labels[steps, 0] = np.maximum(labels[steps, 0], np.clip(reach + 0.5 - np.abs(steps - beat), 0, 1))
    for start, stop in zip(at[symbols == "["], at[symbols == "]"], strict=True):
        labels[int(start) : int(stop) + 1] = np.nan
    abnormal = at[np.isin(symbols, list(BEATS - ORDINARY))].astype(int)
    return Recorded(recording["name"], signal, labels, abnormal)


def pieces(records: Sequence[Recorded]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pieces of every record: of the first lead all, of the second and of a lead between the two every other; those
    with abnormal beats once more between the two."""
    size, items, generator = PIECE * SAMPLING_FREQUENCY, [], np.random.default_rng(0)
    for record in records:
        heights = np.median([np.ptp(part, axis=0) for part in np.array_split(record.signal, 200)], axis=0)
        for k, start in enumerate(range(0, len(record.signal) - size + 1, size)):
            stop = start + size
            x, labels = record.signal[start:stop], record.labels[start:stop]
            if np.isnan(labels).all():
                continue
            angle = generator.uniform(0, np.pi)
            between = (x / heights @ [[np.cos(angle)], [np.sin(angle)]]).astype(np.float32)
            again = ((record.abnormal >= start) & (record.abnormal < stop)).any()
            leads = [x[:, :1], x[:, 1:] if k % 2 else between, *[between] * int(again)]
            items += [(lead, labels) for lead in leads]
    return items


def augmentation(noise: dict[str, np.ndarray]) -> Any:
    """What training does to a piece: a window of it, with another rhythm, faster or slower, as of another lead, another
    heart or a slower recorder, paced, noisy, upside down, with parts missing."""
    rate, both = SAMPLING_FREQUENCY, list(noise.values())
    size = WINDOW * rate
    disturbed = nl.compose_augmentations(
        (0.4, nl.augment_noise([noise["ma"]], snr=(-6, 20))),
        (0.3, nl.augment_noise([noise["bw"]], snr=(-6, 20))),
        (0.4, nl.augment_noise([noise["bw"]], snr=(-6, 20), speed=(2, 12))),
        (0.4, nl.augment_motion(rate, snr=(-6, 20))),
        (0.2, nl.augment_noise(both, snr=(-12, 14), speed=(1, 5), burst=True)),
        (0.15, nl.augment_hum(rate)),
        (0.2, nl.augment_noise(snr=(6, 30))),
    )
    return nl.compose_augmentations(
        (0.3, nl.augment_rhythm(rate, (0.3, 2.5), irregularity=(0.7, 1.4))),
        nl.augment_crop(round(1.25 * size)),
        (0.5, nl.augment_stretch((0.8, 1.25))),
        (0.3, nl.augment_lead((-60, 60))),
        nl.augment_crop(size),
        (0.2, lambda x, y, generator: (other_shapes(x, generator, 4, 0.7, (0.2, 1.2)), y)),
        (0.1, nl.augment_pacing(rate)),
        (0.2, nl.augment_scale((1, 1), drift=(0.1, 1.6))),
        (0.12, pause),
        (0.1, nl.augment_resampling(rate, (40, rate))),
        (0.75, disturbed),
        nl.augment_scale((1, 1), inversion=0.4),
        (0.03, nl.augment_dropout(rate)),
    )


def pause(x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A pause of some beats, perhaps with P waves that are not conducted."""
    labels = (y[:, 0] > 0.5).astype(np.int8)
    starts = np.flatnonzero(np.diff(labels) == 1)
    if len(starts) < 7 or np.isnan(y).any():
        return x, y
    first = int(generator.integers(0, len(starts) - 3))
    last = int(generator.integers(first + 2, min(first + 7, len(starts))))
    between = starts[first + 1] - starts[first]
    low = starts[first] + round(min(0.65 * between, 0.6 * SAMPLING_FREQUENCY))
    high = starts[last] - round(generator.uniform(0.05, 0.12) * SAMPLING_FREQUENCY)
    n = high - low
    if n < 60:
        return x, y
    height = np.median([np.ptp(part) for part in np.array_split(x, 8)])
    t = np.arange(n)
    rest = np.interp(t, [0, n - 1], x[[low, high - 1], 0]) * 0.5 ** (np.minimum(t, n - 1 - t) / 25)
    rest += height * 10 ** generator.uniform(-2.8, -1.5) * generator.standard_normal(n)
    if generator.random() < 0.7:
        every, width = generator.uniform(0.45, 1.2) * SAMPLING_FREQUENCY, generator.uniform(2.5, 6)
        size = height * 10 ** generator.uniform(-1.8, -0.8) * generator.choice([1, 1, -1])
        for at in np.arange(generator.uniform(0, every), n, every):
            rest += size * np.exp(-0.5 * ((t - at) / width) ** 2)
    x, y = x.copy(), y.copy()
    x[low:high, 0], y[low:high] = rest, 0
    return x, y


def trained(
    records: Sequence[Recorded], noise: dict[str, np.ndarray], directory: Path, epochs: int, seed: int, said: str = ""
) -> nl.State:
    """The model of some records, which is in the directory from then on."""
    state = nl.gru_seq2seq(
        n_features=1, hid_dim=64, n_layers=2, bidirectional=True, dropout=0.1, learning_rate=4e-3,
        model_name="ecg_r_peaks", fold=2, steps=STEPS, seed=seed,
    )  # fmt: skip
    return learnt(
        state, records, directory, EVENTS, WINDOW, lambda x, y: (x, y), said, epochs=epochs, seed=seed,
        normalization="block", augment=augmentation(noise), trained_for="R-peak detection",
    )  # fmt: skip


def learnt(
    state: nl.State, records: Sequence[Recorded], directory: Path, events: dict[str, float], window: float | None,
    asked: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]], said: str, **options: Any,
) -> nl.State:  # fmt: skip
    """The state after training on pieces of some records, saved into the directory, unless that was done before;
    `asked` makes of a piece what training asks for."""
    if (directory / "training_info.json").is_file():
        return nl.load_checkpoint(directory)
    items = pieces(records)
    # The schedule decides when training ends; what is watched here is that it learns.
    watched = [asked(x[: len(x) // 2], y[: len(y) // 2]) for x, y in items[::10]]
    state = nl.train(
        state, items, [pair for pair in watched if not np.isnan(pair[1]).all()], batch_size=32,
        sampling_frequency=SAMPLING_FREQUENCY, optimizer="adamw", gradient_clip_val=1.0, enable_progress_bar=False,
        dataset_name=trained_on((record.name for record in records), said),
        results_directory=directory.parent / "runs", resume=True, **options,
    )  # fmt: skip
    state["training_info"]["checkpoints_directory"] = None  # the run's, which nothing needs from here on
    state["preprocessing"]["window"] = window
    state["postprocessing"] = {"outputs": ["R-peak"], "events": events}
    info = state["training_info"]
    logger.info("%s: loss %.4f after %.0f s", directory, info["validation_loss"], info["training_time"])
    nl.save_checkpoint(state, directory)
    return state


if __name__ == "__main__":
    main()
