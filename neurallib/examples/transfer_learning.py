"""Transfer learning: find R-peaks with the layers of a denoiser, frozen, fine-tuned, and against a start from scratch.

Run `python -m neurallib.examples.transfer_learning`; see `--help`. The picture shows what each way is worth where
labels are few.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

import neurallib as nl
from neurallib.examples.recipes import laid_apart, make_parser, start

logger = logging.getLogger(__name__)

SAMPLING_FREQUENCY = 100  # Hz
SECONDS = 5
LABEL_HALF_WIDTH = 3  # samples
SHARES = (0.05, 0.2, 1.0)  # of the labelled signals
NOISES = ("baseline_wander", "muscle_noise", "mains_hum")


def main(argv: list[str] | None = None) -> dict[str, list[float]]:
    """Run the example, and return the F1 of each way for each share of the data."""
    arguments = start(make_parser(__doc__, epochs=20), argv)
    n = arguments.signals
    noisy, clean, _ = zip(*(noisy_ecg(seed) for seed in range(n)), strict=True)
    labelled, val = ([with_labels(seed) for seed in seeds] for seeds in (range(n, 2 * n), range(-8, 0)))
    test = [(x, peaks) for x, _, peaks in map(noisy_ecg, range(-40, -8))]
    options: dict[str, Any] = {
        "batch_size": 8, "sampling_frequency": SAMPLING_FREQUENCY, "enable_progress_bar": False
    }  # fmt: skip

    # What costs no labels: noisy signals to clean ones.
    denoiser = nl.gru_seq2seq(
        n_features=1, hid_dim=24, n_layers=2, bidirectional=True, task="regression", learning_rate=0.01,
        model_name="Denoiser",
    )  # fmt: skip
    pairs = list(zip(noisy, clean, strict=True))
    held_out = max(1, n // 8)
    denoiser = nl.train(
        denoiser, pairs[held_out:], pairs[:held_out], epochs=arguments.epochs, dataset_name="synthetic ECG",
        trained_for="denoising", **options,
    )  # fmt: skip
    logger.info("denoiser: mean squared error %.4f mV^2", denoiser["training_info"]["validation_loss"])

    hparams = nl.transfer_hparams(denoiser, task="classification", learning_rate=0.01, model_name="RPeaks")
    scratch = nl.gru_seq2seq(**hparams)
    reused = nl.reuse_layers(scratch, denoiser, ["gru_layers.0", "gru_layers.1"])
    ways = {
        "frozen": nl.freeze(reused, nl.freezing_plan(reused, 2, "new_only")),
        "fine-tuned": nl.freeze(reused, nl.freezing_plan(reused, 2, "all")),
        "from scratch": scratch,
    }
    scores: dict[str, list[float]] = {name: [] for name in ways}
    for share in SHARES:
        few = labelled[: max(1, round(share * n))]
        for name, state in ways.items():
            # As many steps whatever the share, until the validation loss no longer falls.
            epochs = round(arguments.epochs / share)
            trained = nl.train(state, few, val, epochs=epochs, patience=max(5, epochs // 2), **options)
            scores[name].append(f1(trained, test))
            logger.info("%3.0f %% of the labels, %s: F1 %.3f", 100 * share, name, scores[name][-1])
    logger.info("picture: %s", draw(scores, n, arguments.out / "transfer_learning.png"))
    return scores


def noisy_ecg(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A signal [T, 1] in mV full of noise, the same heart without it, and its R-peaks [n]."""
    rng = np.random.default_rng(seed + 1000)
    heart: dict[str, Any] = {
        "duration": SECONDS, "sampling_frequency": SAMPLING_FREQUENCY, "seed": seed + 1000,
        "heart_rate": rng.uniform(45, 140), "amplitude": rng.uniform(0.4, 2.0), "ectopic_fraction": 0.1,
    }  # fmt: skip
    clean, peaks = nl.synthetic_ecg(**heart | dict.fromkeys(NOISES, 0.0))
    noisy, _ = nl.synthetic_ecg(**heart | dict(zip(NOISES, rng.uniform(0, [0.5, 0.4, 0.2]), strict=True)))
    return noisy[:, None], clean[:, None], peaks


def with_labels(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A noisy signal [T, 1], and 1 where an R-peak is near [T, 1]."""
    noisy, _, peaks = noisy_ecg(seed)
    return noisy, nl.peak_labels(peaks, len(noisy), LABEL_HALF_WIDTH)[:, None]


def f1(state: nl.State, test: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """The F1 of the R-peaks found in all test signals."""
    outputs = nl.predict(state, [x for x, _ in test])
    found = [nl.post_process_peaks_binary(output, filter_peaks=True, min_distance=20) for output in outputs]
    at = [laid_apart(peaks, SECONDS * SAMPLING_FREQUENCY) for peaks in ([peaks for _, peaks in test], found)]
    measured = nl.peak_scores(*at, sampling_frequency=SAMPLING_FREQUENCY)
    return float(np.nan_to_num(measured["f1"]))


def draw(scores: dict[str, list[float]], n_signals: int, path: Path) -> Path:
    """F1 against the number of labelled signals, a line for each way."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.add_subplot()
    for name, values in scores.items():
        axes.semilogx([max(1, round(share * n_signals)) for share in SHARES], values, "o-", label=name)
    axes.set(xlabel="labelled signals", ylabel="F1 of R-peaks in test signals", title="Layers of a denoiser")
    axes.set_xticks([max(1, round(share * n_signals)) for share in SHARES])
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return path


if __name__ == "__main__":
    main()
