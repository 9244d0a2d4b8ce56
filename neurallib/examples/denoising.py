"""Take noise off ECG: clean synthetic ECG in mV, with noise mixed in at known signal-to-noise ratios.

The noise is that of a recording where --noise names one, such as nstdb/ma, else synthetic; the last fifth of it is kept
for the test. Run `python -m neurallib.examples.denoising --noise nstdb/ma`.
"""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

import numpy as np

import neurallib as nl
from neurallib.examples.recipes import make_parser, resampled, start

RATE, SECONDS = 125, 8  # Hz and s
SNR = (-3, 9)  # dB, from and to

Pair = tuple[np.ndarray, np.ndarray]  # noisy and clean [T, 1], mV

logger = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> dict[str, float]:
    """Run the example, and return the mean of `denoising_scores` over the signals of the test."""
    parser = make_parser(__doc__, epochs=20)
    parser.add_argument("--noise", type=Path, help="a recording of nothing but noise [synthetic noise]")
    arguments = start(parser, argv)
    noise = synthetic_noise(1800) if arguments.noise is None else recorded_noise(arguments.noise)
    learnt, kept = noise[: len(noise) * 4 // 5], noise[len(noise) * 4 // 5 :]
    n_val = max(1, arguments.signals // 5)
    pairs, test = mixed(arguments.signals + n_val, learnt, seed=0), mixed(2 * n_val, kept, seed=1)

    state = nl.gru_seq2seq(
        n_features=1, hid_dim=32, n_layers=2, bidirectional=True, task="regression", learning_rate=0.01,
        model_name="Denoiser",
    )  # fmt: skip
    state = nl.train(
        state, pairs[n_val:], pairs[:n_val], epochs=arguments.epochs, batch_size=8, sampling_frequency=RATE,
        units="mV", outputs=["ECG (mV)"], save=True, dataset_name="synthetic ECG", trained_for="denoising",
        enable_progress_bar=not arguments.quiet,
    )  # fmt: skip
    logger.info("the data chose target_normalization=%r", state["preprocessing"]["target_normalization"])

    denoised = nl.predict(state, [noisy for noisy, _ in test])
    rows = [nl.denoising_scores(clean, noisy, found) for (noisy, clean), found in zip(test, denoised, strict=True)]
    scores = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    logger.info("%d test signals: SNR %.1f dB before, %.1f dB after; error %.3f mV, cosine similarity %.3f", len(test),
                scores["snr_before_db"], scores["snr_after_db"], scores["rmse"],
                scores["cosine_similarity"])  # fmt: skip
    picture = arguments.out / "denoising.png"
    nl.plot_prediction(
        test[0][0], np.concatenate([denoised[0], test[0][1]], axis=1), sampling_frequency=RATE, threshold=None,
        output_names=["denoised", "clean"], signal_label="noisy ECG (mV)", prediction_label="ECG (mV)", path=picture,
    )  # fmt: skip
    logger.info("picture: %s, model: %s", picture, state["training_info"]["checkpoints_directory"])
    return scores


def mixed(n_signals: int, noise: np.ndarray, seed: int) -> list[Pair]:
    """Clean ECG, and the same with a stretch of noise as strong as its ratio asks for."""
    rng, pairs = np.random.default_rng(seed), []
    for _ in range(n_signals):
        clean, _ = nl.synthetic_ecg(
            duration=SECONDS, sampling_frequency=RATE, seed=int(rng.integers(2**31)), heart_rate=rng.uniform(50, 130),
            amplitude=rng.uniform(0.5, 2), morphology_variation=0.2, baseline_wander=0, muscle_noise=0, mains_hum=0,
        )  # fmt: skip
        first = rng.integers(len(noise) - len(clean) + 1)
        added = noise[first : first + len(clean)]
        ratio = clean.std() / added.std() * 10 ** (-rng.uniform(*SNR) / 20)
        pairs.append(((clean + ratio * added)[:, None], clean[:, None]))
    return pairs


def recorded_noise(path: Path) -> np.ndarray:
    """The first channel [T] of a recording, at the rate of the signals."""
    return resampled(nl.read_recording(path, channels=[0]), RATE)[:, 0]


def synthetic_noise(seconds: float) -> np.ndarray:
    """What is between two ECGs of one heart, one recorded in a bad way: wander, muscles and hum [T]."""
    ecg = partial(nl.synthetic_ecg, duration=seconds, sampling_frequency=RATE, seed=0)
    noisy, _ = ecg(baseline_wander=0.3, muscle_noise=0.15, mains_hum=0.05)
    clean, _ = ecg(baseline_wander=0, muscle_noise=0, mains_hum=0)
    return np.asarray(noisy - clean)


if __name__ == "__main__":
    main()
