"""Tell normal, supraventricular and ventricular beats apart with the layers of the R-peak detector that comes along.

Run `python -m neurallib.examples.beat_classes --records mitdb`, with records of the MIT-BIH Arrhythmia Database. Of
some people whose beats are labelled it learns in three ways, from the detector's layers (frozen, or fine-tuned) and
from scratch, and is measured on all other people; each seed takes other people. The detector met the records of DS1
when it learnt, with their R-peaks, not with their classes; `--checkpoint` takes another one.
"""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

import numpy as np

import neurallib as nl
from neurallib.examples.recipes import detector_to_adapt, over_seeds, resampled

NAMES = ["N", "S", "V"]
CLASSES = {symbol: k for k, symbols in enumerate(["NLRej", "AaJS", "VE"]) for symbol in symbols}  # as AAMI groups them
WINDOW = 10  # s
REACH = 0.06  # s, on either side of a beat, that have its label; the other steps have none

logger = logging.getLogger(__name__)


class Beats(NamedTuple):
    """A record at the detector's rate: its first lead [T, 1], and the steps and classes of its beats."""

    name: str
    person: str
    signal: np.ndarray
    steps: np.ndarray
    classes: np.ndarray


def main(argv: list[str] | None = None) -> dict[str, list[float]]:
    """Run the example, and return the macro F1 over the beats of people that were not learnt from, one a seed, of
    each way."""
    arguments, detector = detector_to_adapt(__doc__, 8, 8, "whose beats are labelled", argv)
    rate = float(detector["preprocessing"]["sampling_frequency"] or 125)
    records = [beats_of(nl.read_recording(path), rate) for path in nl.list_recordings(arguments.records)]
    scores: dict[str, list[float]] = {"frozen": [], "fine-tuned": [], "from scratch": []}
    for seed in range(arguments.seeds):
        learnt, others = parts(records, arguments.people, seed)
        windows = [pair for record in learnt for pair in windows_of(record, rate)]
        taught = [pair for i, pair in enumerate(windows) if i % 5 < 4]
        for name, state in ways(detector, seed).items():
            state = nl.train(
                state, taught, windows[4::5], epochs=arguments.epochs, batch_size=16, class_weight="balanced",
                outputs=NAMES, seed=seed, sampling_frequency=rate, normalization="block", gradient_clip_val=1.0,
                enable_progress_bar=False, dataset_name="mitdb", trained_for="classes of beats",
            )  # fmt: skip
            measured = nl.class_scores(
                [record.classes for record in others], [found(state, record, rate) for record in others],
                people=[record.person for record in others], names=NAMES,
            )  # fmt: skip
            scores[name].append(float(measured["gross"]["f1_macro"]))
            logger.info("seed %d, %s: macro F1 %.3f, of each class %s", seed, name, scores[name][-1],
                        [round(measured["gross"][f"f1_{which}"], 3) for which in NAMES])  # fmt: skip
    for name, values in scores.items():
        logger.info("%s: %s", name, over_seeds(values))
    return scores


def ways(detector: nl.State, seed: int) -> dict[str, nl.State]:
    """The states that learn, as yet with a head that knows nothing."""
    reused = nl.replace_head(detector, task="classification", num_classes=len(NAMES), seed=seed)
    known, hparams = detector["preprocessing"], reused["hparams"]
    scratch = nl.gru_seq2seq(**hparams, fold=known["fold"] or 1, steps=known["steps"], seed=seed)
    frozen = nl.freeze(reused, nl.freezing_plan(reused, hparams["n_layers"], "new_only"))
    return {"frozen": frozen, "fine-tuned": reused, "from scratch": scratch}


def parts(records: list[Beats], n_people: int, seed: int) -> tuple[list[Beats], list[Beats]]:
    """The records of some people, who have beats of all classes among them, and those of all others."""
    people, generator = sorted({record.person for record in records}), np.random.default_rng(seed)
    for _ in range(1000):
        chosen = set(generator.permutation(people)[:n_people])
        sides = [[record for record in records if (record.person in chosen) is inside] for inside in (True, False)]
        counts = [np.bincount(np.concatenate([r.classes for r in side]), minlength=3) for side in sides if side]
        if len(counts) == 2 and all((count >= 5).all() for count in counts):
            return sides[0], sides[1]
    raise ValueError(f"no {n_people} of {len(people)} people have five beats of every class, and the others too.")


def beats_of(recording: nl.Recording, rate: float) -> Beats:
    """A record's beats of the three classes."""
    events = recording["events"]
    kept = [i for i, symbol in enumerate(events["symbol"]) if symbol in CLASSES]
    steps = np.rint(np.asarray(events["sample"])[kept] * rate / recording["sampling_frequency"]).astype(np.int64)
    classes = np.array([CLASSES[events["symbol"][i]] for i in kept], np.int64)
    signal = resampled(recording, rate)[:, :1]
    inside = steps < len(signal)
    person = str(recording["person"] or recording["name"])
    return Beats(str(recording["name"]), person, signal, steps[inside], classes[inside])


def windows_of(record: Beats, rate: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Windows [T, 1] with the class of each step, -1 where no beat is near."""
    labels, reach, size = np.full(len(record.signal), -1, np.int64), round(REACH * rate), round(WINDOW * rate)
    for step, which in zip(record.steps, record.classes, strict=True):
        labels[max(0, step - reach) : step + reach + 1] = which
    cuts = [slice(start, start + size) for start in range(0, len(labels) - size + 1, size)]
    return [(record.signal[cut], labels[cut]) for cut in cuts if (labels[cut] >= 0).any()]


def found(state: nl.State, record: Beats, rate: float) -> np.ndarray:
    """The probabilities [n, 3] of each beat: their means over the steps around it."""
    recording: dict[str, Any] = {"signal": record.signal, "sampling_frequency": rate}
    output, reach = nl.predict_recording(state, recording, window=WINDOW)["output"], round(REACH * rate)
    return np.stack([output[max(0, step - reach) : step + reach + 1].mean(axis=0) for step in record.steps])


if __name__ == "__main__":
    main()
