"""Sleep stages from EDF: nights of synthetic EEG are written as EDF+ files, read back, and scored in epochs of 30 s.

A sequence of epochs gives a sequence of stages; epochs that nobody scored are unknown, and left out everywhere. Run
`python -m neurallib.examples.sleep_stages` (extra `edf`).
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np

import neurallib as nl
from neurallib.examples.recipes import make_parser, start

RATE, EPOCH = 64, 30  # Hz and s
BANDS = [(0.5, 2), (2, 4), (4, 8), (8, 12), (12, 16), (16, 30)]  # Hz
STAGES = ["Sleep stage W", "Sleep stage N1", "Sleep stage N2", "Sleep stage N3", "Sleep stage R"]
UNKNOWN = "Sleep stage ?"
SIZES = np.array([  # of a stage's waves in each band, relative to each other
    [10, 8, 8, 22, 8, 12], [12, 10, 16, 10, 8, 8], [22, 18, 12, 8, 14, 6], [55, 35, 12, 6, 6, 4], [14, 12, 16, 8, 6, 8],
])  # fmt: skip
NEXT = np.array([  # the chance of each stage after each
    [90, 10, 0, 0, 0], [5, 75, 20, 0, 0], [2, 3, 85, 7, 3], [1, 0, 7, 92, 0], [3, 2, 3, 0, 92],
]) / 100  # fmt: skip

logger = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Run the example, and return what `class_scores` says of the people that it was tested on."""
    arguments = start(make_parser(__doc__, epochs=30, signals=40), argv)
    folder = arguments.out / "sleep_stages"
    write_nights(folder, arguments.signals)

    nights = [nl.read_recording(path) for path in nl.list_recordings(folder)]
    parts = nl.split_people(nights)  # two nights a person, as the files say
    pairs = {part: [(features(night), stages(night)) for night in members] for part, members in parts.items()}
    state = nl.gru_seq2seq(
        n_features=len(BANDS), hid_dim=16, n_layers=1, bidirectional=True, task="classification",
        num_classes=len(STAGES), learning_rate=0.01, model_name="SleepStages",
    )  # fmt: skip
    state = nl.train(
        state, pairs["train"], pairs["val"], epochs=arguments.epochs, batch_size=4, outputs=STAGES, save=True,
        sampling_frequency=1 / EPOCH, dataset_name="synthetic EEG", trained_for="sleep stages",
        enable_progress_bar=not arguments.quiet,
    )  # fmt: skip

    found = nl.predict(state, [x for x, _ in pairs["test"]])
    people = [night["person"] for night in parts["test"]]
    scores = nl.class_scores([y for _, y in pairs["test"]], found, people=people, names=STAGES)
    for record in scores["records"]:
        logger.info("%s: kappa %.3f in %d epochs", record["name"], record["cohen_kappa"], record["steps"])
    low, high = scores["intervals"]["average"]["cohen_kappa"]
    logger.info("kappa %.3f on average over people (95 %% interval %.3f to %.3f)",
                scores["average"]["cohen_kappa"], low, high)  # fmt: skip
    logger.info("nights: %s, model: %s", folder, state["training_info"]["checkpoints_directory"])
    return scores


def features(night: nl.Recording) -> np.ndarray:
    """The logarithm of the EEG's power in each band [epochs, bands]."""
    size = round(EPOCH * night["sampling_frequency"])
    n_epochs = len(night["signal"]) // size
    epochs = np.asarray(night["signal"])[: n_epochs * size, 0].reshape(n_epochs, size)
    power = np.abs(np.fft.rfft(epochs)) ** 2
    at = np.fft.rfftfreq(size, 1 / night["sampling_frequency"])
    bands = [power[:, (at >= low) & (at < high)].mean(axis=1) for low, high in BANDS]
    return np.log(np.stack(bands, axis=1) + 1e-9).astype(np.float32)


def stages(night: nl.Recording) -> np.ndarray:
    """The stage in the middle of each epoch [epochs], -1 where it is unknown."""
    size = round(EPOCH * night["sampling_frequency"])
    return nl.interval_target(night, STAGES)[size // 2 :: size]


def write_nights(folder: Path, n_nights: int, n_epochs: int = 120) -> None:
    """EDF+ files of one EEG channel, with their stages as annotations and the person in the header."""
    try:
        import edfio
    except ModuleNotFoundError as error:
        raise SystemExit("this example writes EDF files with edfio: pip install 'neurallib[edf]'") from error
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    at = np.fft.rfftfreq(EPOCH * RATE, 1 / RATE)
    for i in range(n_nights):
        person = np.random.default_rng(i // 2).lognormal(0, 0.2, SIZES.shape[1])  # one's own brain
        stage, eeg, annotations = 0, [], []
        for epoch in range(n_epochs):
            stage = rng.choice(len(STAGES), p=NEXT[stage])
            sizes = sum(size * ((at >= low) & (at < high)) for size, (low, high) in zip(
                SIZES[stage] * person * rng.lognormal(0, 0.3, len(BANDS)), BANDS, strict=True))  # fmt: skip
            eeg.append(np.fft.irfft(sizes * np.exp(2j * np.pi * rng.random(len(at)))) * np.sqrt(len(at)))
            scored = rng.random() < 0.9
            annotations.append(edfio.EdfAnnotation(EPOCH * epoch, EPOCH, STAGES[stage] if scored else UNKNOWN))
        signal = edfio.EdfSignal(
            np.clip(np.concatenate(eeg), -500, 500), RATE, label="EEG Fpz-Cz", physical_dimension="uV",
            physical_range=(-500, 500),
        )  # fmt: skip
        patient = edfio.Patient(code=f"P{i // 2:02d}")
        edfio.Edf([signal], patient=patient, annotations=annotations).write(folder / f"night_{i:02d}.edf")


if __name__ == "__main__":
    main()
