"""Gestures from the muscles of a forearm: eight channels of surface EMG, split by session and by person.

Reads --data, folders PERSON-SESSION of text files with a line a sample: eight channels, and the gesture. Learns a class
a sample with a GRU that looks back alone, tells what is taken for what, and follows a recording as it comes in.
Run `python -m neurallib.examples.emg_gestures --data myo_emg`.
"""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import neurallib as nl
from neurallib.examples.recipes import make_parser, start

RATE = 200  # Hz, of a Myo armband, whose files do not say it
WINDOW = 2  # s
CLASSES = list("01234567")  # as the files name them
GESTURES = ["rest", "flexion", "extension", "radial", "ulnar", "pronation", "supination", "fist"]

logger = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> dict[str, dict[str, float]]:
    """Run the example, and return what `evaluate` measured on each split."""
    parser = make_parser(__doc__, epochs=10)
    parser.add_argument("--data", type=Path, default=Path("myo_emg"), help="folder of the recordings [myo_emg]")
    arguments = start(parser, argv)
    files = {f"{path.parent.name}_{path.stem}": path for path in sorted(arguments.data.glob("*-*/*.txt"))}
    if not files:
        raise SystemExit(f"no recordings PERSON-SESSION/NAME.txt in {arguments.data}: say with --data where they are.")

    sessions = sorted({path.parent.name for path in files.values()})
    of: dict[str, list[str]] = {session.split("-")[0]: [] for session in sessions}
    for session in sessions:
        of[session.split("-")[0]].append(session)
    first, *others = of.values()
    splits = {  # sessions to choose the best epoch by, and to test on; all others are learnt from
        "by session": ([first[-2]], [member[-1] for member in of.values()]),
        "by person": ([first[-1]], sum(others, [])),
    }
    measured = {}
    for name, (val, test) in splits.items():
        made = nl.make_dataset(
            files, arguments.out / "emg_gestures" / name.replace(" ", "_"), window=WINDOW,
            target=partial(nl.interval_target, classes=CLASSES), person=r"^(.*)_", val=val,
            test=test, read_options={"sampling_frequency": RATE, "labels": 8}, enable_progress_bar=not arguments.quiet,
        )  # fmt: skip
        state = train(made, arguments.epochs, not arguments.quiet)
        tested = nl.open_folder(made / "x", made / "y", "test")
        measured[name] = nl.evaluate(state, tested)
        logger.info("%s: accuracy %.2f (%.2f by always saying rest), kappa %.2f\n%s", name,
                    measured[name]["accuracy"], measured[name]["baseline_accuracy"], measured[name]["cohen_kappa"],
                    table(nl.confusion_matrix(state, tested)))  # fmt: skip
        follow(state, files[max(files)])
        logger.info("model: %s", state["training_info"]["checkpoints_directory"])
    return measured


def train(made: Path, epochs: int, enable_progress_bar: bool) -> nl.State:
    """A model in one direction; the sizes of the channels tell the gesture, so that the data choose "dataset"."""
    state = nl.gru_seq2seq(
        n_features=8, hid_dim=32, n_layers=2, task="classification", num_classes=8, learning_rate=0.005,
        model_name="Gestures",
    )  # fmt: skip
    options: dict[str, Any] = {"dataset_name": "Myo armband", "trained_for": "gestures from EMG", "outputs": GESTURES}
    return nl.train_from_scratch(
        state, made / "x", made / "y", epochs=epochs, batch_size=16, enable_progress_bar=enable_progress_bar, **options
    )


def follow(state: nl.State, path: Path) -> None:
    """A recording in pieces of 0.1 s, as the armband sends them, with the gesture at the end of each."""
    recording = nl.read_recording(path, sampling_frequency=RATE, labels=8)
    true = nl.interval_target(recording, CLASSES)
    network, carry = nl.build_network(state).eval(), nl.init_stream(state)
    told, size = [], RATE // 10
    for i in range(0, len(true) - size + 1, size):
        output, carry = nl.stream_step(network, recording["signal"][i : i + size], carry)
        told.append(output[-1].argmax() == true[i + size - 1])
    logger.info("stream of %s: %d pieces, %.2f of them told right", path, len(told), np.mean(told))


def table(confusion: np.ndarray) -> str:
    """A row a true gesture, in percent of its samples."""
    percent = 100 * confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    rows = [("", [name[:4] for name in GESTURES])]
    rows += [(name, [f"{value:.0f}" for value in row]) for name, row in zip(GESTURES, percent, strict=True)]
    return "\n".join(f"{name:>12}" + "".join(f"{text:>5}" for text in texts) for name, texts in rows)


if __name__ == "__main__":
    main()
