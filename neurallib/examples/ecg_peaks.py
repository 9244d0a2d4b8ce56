"""Learn to find R-peaks in ECG: make (or read) a data set, train, retrain, test, and draw the result.

Run `python -m neurallib.examples.ecg_peaks`, or on WFDB recordings with `--records DIR --minutes 5`; see `--help`.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import neurallib as nl
from neurallib.examples.recipes import laid_apart, make_parser, resampled, start

SAMPLING_FREQUENCY = 125  # Hz: R-peaks to the nearest 8 ms, with a third of the steps of 360 Hz
SECONDS = {"train": 5, "val": 5, "test": 10}  # of a signal of each part
LABEL_HALF_WIDTH = 5  # samples: the label covers a QRS complex, 88 ms
THRESHOLD = 0.3  # less than half, for a QRS complex of which the network is sure of a part only
MIN_DISTANCE = 25  # samples, 200 ms: heart beats are not closer

Example = tuple[str, str, np.ndarray, np.ndarray]  # part, name, signal [T] in mV, R-peaks [n] in samples

logger = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> dict[str, float]:
    """Run the job, and return what it reached on the test part: `neurallib.peak_scores` of all its signals."""
    parser = make_parser(__doc__, epochs=8, signals=192)
    parser.add_argument(
        "--records", type=Path, metavar="DIR", help="WFDB records with beats, in place of synthetic ECG"
    )
    parser.add_argument("--minutes", type=float, default=5, help="how much of each record [5]")
    parser.add_argument("--retrain-epochs", type=int, default=2, help="of retraining [2]")
    parser.add_argument("--batch-size", type=int, default=16, help="[16]")
    parser.add_argument("--seed", type=int, default=42, help="for data, weights and the order of training [42]")
    arguments = start(parser, argv)
    data = arguments.out / "ecg_peaks_data"
    if arguments.records is None:
        source, examples = "synthetic ECG", synthetic_examples(arguments.signals, arguments.seed)
    else:
        source = f"{arguments.records.resolve().name}, {arguments.minutes:g} min of each record"
        recordings = read(arguments.records, arguments.minutes)
        examples = recorded_examples(recordings, arguments.seed)
    write_folders(examples, data)

    paths = {"path_x": data / "x", "path_y": data / "y"}
    options: dict[str, Any] = paths | {
        "patience": 3, "batch_size": arguments.batch_size, "all_samples": True, "dataset_name": source,
        "trained_for": "R-peak detection", "normalization": "zscore", "sampling_frequency": SAMPLING_FREQUENCY,
        "seed": arguments.seed, "enable_progress_bar": not arguments.quiet,
    }  # fmt: skip
    state = nl.gru_seq2seq(
        n_features=1, hid_dim=32, n_layers=2, bidirectional=True, learning_rate=0.01, model_name="ecg_peaks",
        seed=arguments.seed,
    )  # fmt: skip
    state = nl.train_from_scratch(state, epochs=arguments.epochs, **options)
    logger.info("Trained on %s: validation loss %.4f", source, state["training_info"]["validation_loss"])

    slower: nl.State = {**state, "hparams": state["hparams"] | {"learning_rate": 0.001}}
    trained_in = state["training_info"]["checkpoints_directory"]
    state = nl.retrain(slower, epochs=arguments.retrain_epochs, checkpoints_directory=trained_in, **options)
    logger.info("Retrained: validation loss %.4f", state["training_info"]["validation_loss"])

    directory = Path(state["training_info"]["checkpoints_directory"])
    found, loss = nl.test_on_test_set(state, **paths, checkpoints_dir=directory, post_process_fn=find_r_peaks)
    test_part = nl.open_folder(**paths, part="test")
    true = [np.load(data / "peaks" / "test" / name) for name in test_part.names]
    at = [laid_apart(peaks, SECONDS["test"] * SAMPLING_FREQUENCY) for peaks in (true, found)]
    scores = nl.peak_scores(*at, sampling_frequency=SAMPLING_FREQUENCY)
    logger.info("Test part: loss %.4f, sensitivity %.4f, positive predictive value %.4f, F1 %.4f, timing error %.1f ms",
                loss, scores["sensitivity"], scores["positive_predictive_value"], scores["f1"],
                scores["mean_absolute_error_ms"])  # fmt: skip

    signal = test_part[0][0]
    probability = nl.test_on_single_signal(state, signal)
    nl.plot_prediction(
        signal, probability, sampling_frequency=SAMPLING_FREQUENCY, true_peaks=true[0], found_peaks=found[0],
        title=f"{source}: F1 {scores['f1']:.3f} on the test part", signal_label="ECG (mV)", threshold=THRESHOLD,
        path=directory / "ecg_peaks.png",
    )  # fmt: skip
    logger.info("Model and picture: %s", directory)
    return scores


def synthetic_examples(n_signals: int, seed: int) -> Iterator[Example]:
    """`n_signals` hearts for training and a quarter as many for validation and for testing, no two alike."""
    rng = np.random.default_rng(seed)
    for part, n in {"train": n_signals, "val": max(1, n_signals // 4), "test": max(1, n_signals // 4)}.items():
        for i in range(n):
            heart_rate = rng.uniform(45, 140)
            signal, r_peaks = nl.synthetic_ecg(
                duration=SECONDS[part], sampling_frequency=SAMPLING_FREQUENCY, seed=int(rng.integers(2**31)),
                heart_rate=heart_rate, heart_rate_std=heart_rate * rng.uniform(0.01, 0.1),
                ectopic_fraction=rng.choice([0, 0.1]), amplitude=rng.uniform(0.4, 2.0),
                amplitude_variation=rng.uniform(0.02, 0.15), morphology_variation=0.2,
                baseline_wander=rng.uniform(0, 0.3), muscle_noise=rng.uniform(0, 0.1),
                mains_hum=rng.uniform(0, 0.05), mains_frequency=rng.choice([50, 60]),
            )  # fmt: skip
            yield part, f"{i}", signal, r_peaks


def read(directory: Path, minutes: float) -> list[nl.Recording]:
    """The first minutes of every record, its first lead."""
    options: dict[str, Any] = {"channels": [0], "stop": 60 * minutes, "units": "mV"}
    return [nl.read_recording(path, **options) for path in nl.list_recordings(directory)]


def recorded_examples(recordings: Sequence[nl.Recording], seed: int) -> Iterator[Example]:
    """Records resampled and cut: each part has people of its own."""
    for part, members in nl.split_people(recordings, seed=seed).items():
        size = SECONDS[part] * SAMPLING_FREQUENCY
        for recording in members:
            signal = resampled(recording, SAMPLING_FREQUENCY)[:, 0]
            beats = np.rint(nl.beats(recording) * (SAMPLING_FREQUENCY / recording["sampling_frequency"])).astype(int)
            for first in range(0, len(signal) - size + 1, size):
                inside = beats[(beats >= first) & (beats < first + size)] - first
                yield part, f"{recording['name']}_{first // size}", signal[first : first + size], inside


def find_r_peaks(probability: np.ndarray) -> np.ndarray:
    """R-peaks [n] in the network's output [T, 1]: where a window as wide as a label holds most of it."""
    # The output is flat over a label; its mean has its top in the middle: 4 ms off in real ECG, in place of 17.
    padded = np.pad(probability[:, 0], LABEL_HALF_WIDTH, mode="edge")
    mean = np.lib.stride_tricks.sliding_window_view(padded, 2 * LABEL_HALF_WIDTH + 1).mean(axis=1)
    return nl.post_process_peaks_binary(mean, threshold=THRESHOLD, filter_peaks=True, min_distance=MIN_DISTANCE)


def write_folders(examples: Iterator[Example], directory: Path) -> None:
    """Write x/PART/NAME.npy, y/PART/NAME.npy and the R-peaks beside them, in place of what an earlier run left."""
    shutil.rmtree(directory, ignore_errors=True)
    for part, name, signal, r_peaks in examples:
        labels = nl.peak_labels(r_peaks, len(signal), LABEL_HALF_WIDTH)
        for kind, values in (("x", signal[:, None]), ("y", labels[:, None]), ("peaks", r_peaks)):
            folder = directory / kind / part
            folder.mkdir(parents=True, exist_ok=True)
            np.save(folder / f"{name}.npy", values)


if __name__ == "__main__":
    main()
