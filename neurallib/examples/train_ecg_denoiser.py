"""How `ecg_denoiser` was made: from the MIT-BIH Arrhythmia Database and its noise records to the shipped directory.

Where to get the records says `train_ecg_r_peaks`. Then
`python -m neurallib.examples.train_ecg_denoiser --records mitdb --noise nstdb --out results`. Only the records of DS1
are looked at. Models of the cross-validation meet neither the people nor the last third of the noise that they are
measured on. What was finished before it was stopped is not trained again, and a training that was stopped in the middle
goes on where it was: `runs` within `--out` holds what is on the way.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import neurallib as nl
from neurallib.examples.recipes import (
    TWO_THIRDS, ds1_recordings, heard, high_passed, kept, noise_records, other_shapes, recipe_parser, resampled,
    speak, trained_on,
)  # fmt: skip
from neurallib.examples.unusual_beats import SAMPLING_FREQUENCY, flutter, other_beats, ventricular_beats, wide_waves

WINDOW = 10  # s, that a recording is taken in, and that each epoch takes of a piece anew: scaled alike, each by itself
PIECE = 20  # s
SNR = (-8.0, 20.0)  # dB, of each kind of noise
FOLD = 8  # samples to a step of the network
HIDDEN = 96
FLOOR = 1e-3  # of the loss, of a signal's power
# How it learns, in order: a share of the epochs, the learning rate, and how often a signal is as few hearts have it.
PHASES: tuple[tuple[float, float, dict[Any, float]], ...] = (
    (1.0, 4e-3, {}),
    (0.1, 1e-3, {wide_waves: 0.2}),
    (0.2, 1e-3, {wide_waves: 0.1, ventricular_beats: 0.1, flutter: 0.1}),
)
MEASURED = (-6, 0, 6, 12, 18)  # dB, of what folds are measured at
MINUTES = 5  # of each record that they are measured on
# Ends that mirror the signal: one that begins within a QRS would have a step there otherwise.
STEPS = [
    {"name": "highpass", "frequency": 0.35, "ends": "even"},
    {"name": "band", "low": 1.0, "high": 25.0, "ends": "even", "beside": True},
    {"name": "band", "low": 5.0, "high": 30.0, "ends": "even", "beside": True},
]

# What counts as clean, in dB of a piece's height (the median of what sixteen parts have from peak to peak): in most
# eighths of a second, which are none of a QRS, hardly anything above 25 Hz; little between 0.5 and 1.2 Hz; and no part
# that is much higher than the others. The latter two are wide enough for slow and for ventricular beats, without which
# a model takes these for noise.
QUIET, STEADY, EVEN = -38.0, -20.0, 4.0

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> dict[int, dict[str, Any]]:
    """Cross-validate over the people of DS1, train on all of them, and write the model; gives for each ratio in dB what
    `neurallib.evaluate_recordings` measured of mixed noise on people whom the model of their fold had never met."""
    arguments = recipe_parser(__doc__, epochs=45, fold_epochs=60).parse_args(argv)
    speak(arguments.quiet)
    torch.set_num_threads(arguments.threads)
    recordings = ds1_recordings(arguments.records)
    noise = noise_records(arguments.noise, SAMPLING_FREQUENCY)
    states: dict[str, nl.State] = {}  # by the name of the record that it never met
    measured: dict[int, dict[str, Any]] = {}
    folds = nl.split_people(recordings, folds=arguments.folds, seed=arguments.seed) if arguments.folds else {}
    for fold, part in folds.items():
        directory = arguments.out / f"denoiser_fold_{fold}"
        state = trained(part["train"], heard(noise), directory, arguments.fold_epochs, arguments.seed, TWO_THIRDS)
        states |= {recording["name"]: state for recording in part["val"]}
    for snr in MEASURED if folds else ():
        measured[snr] = measure(states, recordings, kept(noise), snr)
        logger.info("mixed noise, %d dB: %+.2f dB", snr, measured[snr]["average"]["snr_improvement_db"])
    if arguments.epochs:
        trained(recordings, noise, arguments.out / "ecg_denoiser", arguments.epochs, arguments.seed)
    return measured


def trained(
    recordings: Sequence[nl.Recording], noise: dict[str, np.ndarray], directory: Path, epochs: int, seed: int,
    said: str = "",
) -> nl.State:  # fmt: skip
    """The model of some records, which is in the directory from then on. What the last phase learns costs some of what
    was known before: the mean of the weights before and after it keeps most of both (Wortsman et al., CVPR 2022)."""
    if (directory / "training_info.json").is_file():
        return nl.load_checkpoint(directory)
    runs = directory.parent / "runs"
    items = [(piece, piece) for recording in recordings for piece in clean_pieces(recording)]
    state = nl.gru_seq2seq(
        n_features=1, hid_dim=HIDDEN, n_layers=2, bidirectional=True, task="regression", model_name="ecg_denoiser",
        fold=FOLD, steps=STEPS, residual=True, seed=seed,
    )  # fmt: skip
    for k, (share, learning_rate, unusual) in enumerate(PHASES, 1):
        before, place = state["weights"], runs / f"{directory.name}_{k}"
        if not (place / "training_info.json").is_file():
            state["hparams"]["learning_rate"] = learning_rate
            n, noisy = max(1, round(share * epochs)), augmentation(noise, unusual)
            told = trained_on((recording["name"] for recording in recordings), said)
            state = learnt(state, items, noisy, n, seed, told, runs)
            logger.info("%s: loss %.3f", place, state["training_info"]["validation_loss"])
            nl.save_checkpoint(state, place)
        state = nl.load_checkpoint(place)
        del state["training_info"]["checkpoints_directory"]
    state["weights"] = {name: (weight + before[name]) / 2 for name, weight in state["weights"].items()}
    state["training_info"]["weights_of"] = "the mean of those before and after the last training"
    state["preprocessing"]["window"] = WINDOW
    nl.save_checkpoint(state, directory)
    return state


def learnt(
    state: nl.State, items: list[tuple[np.ndarray, np.ndarray]], noisy: Any, epochs: int, seed: int, told: str,
    runs: Path,
) -> nl.State:  # fmt: skip
    """The state after so many epochs on pieces, which `noisy` changes."""
    generator = np.random.default_rng(seed)
    watched = [noisy(x, y, generator) for x, y in items[::10]]
    state = nl.train(
        state, items, watched, epochs=epochs, batch_size=16, normalization="block", target_normalization="signal",
        loss=decibels, sampling_frequency=SAMPLING_FREQUENCY, optimizer="adamw", augment=noisy, seed=seed,
        outputs=["ECG"], gradient_clip_val=1.0, enable_progress_bar=False, trained_for="denoising of ECG",
        dataset_name=told, resume=True, results_directory=runs,
    )  # fmt: skip
    del state["training_info"]["checkpoints_directory"]  # what is kept is kept elsewhere
    return state


def decibels(logits: Tensor, y: Tensor, lengths: Tensor) -> Tensor:
    """The error's share of each signal's power, as a logarithm, so that 1 dB is worth the same in loud noise and in
    little; far below FLOOR it hardly counts any more. Windows are of one length."""
    error = ((logits - y.reshape(logits.shape)) ** 2).mean(dim=(1, 2))
    power = y.reshape(logits.shape).var(dim=(1, 2))
    return torch.log(error / (power + 1e-9) + FLOOR).mean()


def clean_pieces(recording: nl.Recording) -> list[np.ndarray]:
    """The stretches [T, 1] of both leads that hold ECG and hardly anything else, and of leads between the two."""
    signal, size = high_passed(resampled(recording, SAMPLING_FREQUENCY), SAMPLING_FREQUENCY), PIECE * SAMPLING_FREQUENCY
    pieces = []
    for start in range(0, len(signal) - size + 1, size):
        leads = [lead for lead in signal[start : start + size].T if is_clean(lead)]
        if len(leads) == 2:  # and one in between, as another heart has it
            first, second = (lead / np.abs(lead).max() for lead in leads)
            angle = start / size * 2.4
            leads.append(np.cos(angle) * first + np.sin(angle) * second)
        pieces += [lead[:, None].astype(np.float32) for lead in leads]
    return pieces


def is_clean(piece: np.ndarray) -> bool:
    """Whether a stretch [T] counts as clean."""
    from scipy.signal import butter, sosfiltfilt

    filtered = {
        kind: sosfiltfilt(butter(2, frequency, kind, fs=SAMPLING_FREQUENCY, output="sos"), piece)
        for kind, frequency in (("highpass", 25), ("lowpass", 1.2))
    }
    heights = [np.ptp(part) for part in np.array_split(piece, 16)]
    height = float(np.median(heights))
    fast = float(np.median([part.std() for part in np.array_split(filtered["highpass"], 8 * PIECE)]))
    loud = [20 * np.log10(size / height + 1e-9) if height > 0 else 0.0 for size in (fast, filtered["lowpass"].std())]
    return bool(loud[0] < QUIET and loud[1] < STEADY and max(heights) < EVEN * height)


def augmentation(noise: dict[str, np.ndarray], unusual: dict[Any, float]) -> Any:
    """What training does to a clean piece: a window of it, faster or slower, upside down, and so often what few hearts
    do; and then noise."""
    rate, bw, ma = SAMPLING_FREQUENCY, [noise["bw"]], [noise["ma"]]
    size = WINDOW * rate
    add = partial(nl.augment_noise, snr=SNR, reference="signal")
    disturbed = nl.compose_augmentations(
        (0.5, add(ma)),
        (0.35, add(bw)),
        (0.3, add(bw, speed=(2, 12))),
        (0.3, nl.augment_motion(rate, snr=SNR, reference="signal")),
        (0.12, add(ma + bw, snr=(-12, 12), speed=(1, 4), burst=True)),
        (0.12, nl.augment_hum(rate, snr=(0, 25), reference="signal")),
        (0.12, add(None, snr=(5, 30))),
    )
    return nl.compose_augmentations(
        nl.augment_crop(round(1.43 * size)),
        (0.4, nl.augment_stretch((0.7, 1.4))),
        nl.augment_crop(size),
        (0.3, lambda x, y, generator: (other_shapes(x, generator, 16, 0.8, (0.3, 3.0)), y)),
        (0.2, other_beats),
        *((share, change) for change, share in unusual.items()),
        (0.15, nl.augment_scale((1, 1), drift=(0.5, 2))),
        nl.augment_scale((1, 1), inversion=0.5),
        lambda x, y, generator: (x, x.copy()),  # what is to be found: the signal as it is so far
        (0.88, disturbed),
    )


def measure(
    states: dict[str, nl.State], recordings: Sequence[nl.Recording], noise: dict[str, np.ndarray], snr: float
) -> dict[str, Any]:
    """What the states make of the first lead in equal parts of wander, muscles and simulated motion. `python
    benchmarks/bench_denoising.py --cross-validated` measures more, beside filters."""
    generator, clean, noisy = np.random.default_rng(0), {}, []
    for recording in recordings:
        x = high_passed(resampled(recording, SAMPLING_FREQUENCY), SAMPLING_FREQUENCY)[:, :1]
        x = x[: min(len(x), MINUTES * 60 * SAMPLING_FREQUENCY, *map(len, noise.values()))]
        kinds = [nl.augment_noise([record], snr=(0, 0)) for record in noise.values()]
        parts = [kind(x, x, generator)[0] - x for kind in kinds] + [motion(len(x), generator)]
        added = np.sum([part / part.std() for part in parts], axis=0)
        added *= np.sqrt(x.var() / added.var() / 10 ** (snr / 10))
        name = str(recording["name"])
        clean[name] = x
        noisy.append({"name": name, "person": recording["person"], "signal": x + added,
                      "sampling_frequency": float(SAMPLING_FREQUENCY)})  # fmt: skip
    return nl.evaluate_recordings(
        lambda one: nl.denoise_recording(states[str(one["name"])], one)["signal"], noisy, task="denoising",
        target=lambda one: clean[str(one["name"])],
    )  # fmt: skip


def motion(n_steps: int, generator: np.random.Generator) -> np.ndarray:
    """Simulated motion of an electrode [n, 1], another one every window."""
    one = nl.augment_motion(SAMPLING_FREQUENCY, snr=(0, 0))
    wave = np.sin(np.arange(WINDOW * SAMPLING_FREQUENCY))[:, None]
    moved = [one(wave, wave, generator)[0] - wave for _ in range(n_steps // len(wave) + 1)]
    return np.concatenate(moved)[:n_steps]


if __name__ == "__main__":
    main()
