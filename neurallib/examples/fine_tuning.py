"""Adapt the R-peak detector that comes along to hearts that it does not know, with a few labelled minutes.

Run `python -m neurallib.examples.fine_tuning --records mitdb`, with records of the MIT-BIH Arrhythmia Database, which
are played three times as fast: beats as frequent and narrow as those of a small animal. Some minutes of some people are
labelled; the detector is used as it comes, learns on with its layers frozen or with all of it, and a network of the
same size learns from scratch. All are measured on other people; each seed takes others. The detector met the records of
DS1 at their own speed when it learnt; `--checkpoint` takes another one.
"""

from __future__ import annotations

import copy
import logging

import numpy as np

import neurallib as nl
from neurallib.examples.recipes import detector_to_adapt, over_seeds, resampled

FASTER = 3
WINDOW = 10  # s
REACH = 0.02  # s, on either side of a beat, that are labelled
EVENTS = {"threshold": 0.5, "min_distance": 0.07, "smoothing": 0.02, "snap": 0.01, "doubt": 2}  # none is left out
TESTED = 120  # s of each record

logger = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> dict[str, list[float]]:
    """Run the example, and return the gross F1 within 50 ms on people that were not learnt from, one a seed, of each
    way."""
    arguments, detector = detector_to_adapt(__doc__, 60, 4, "of whom a minute each is labelled", argv)
    recordings = [fast(nl.read_recording(path)) for path in nl.list_recordings(arguments.records)]
    people = sorted({str(recording["person"]) for recording in recordings})
    scores: dict[str, list[float]] = {"as it comes": [], "frozen": [], "fine-tuned": [], "from scratch": []}
    for seed in range(arguments.seeds):
        chosen = set(np.random.default_rng(seed).permutation(people)[: arguments.people])
        windows = [pair for recording in recordings if recording["person"] in chosen
                   for pair in windows_of(recording, detector)]  # fmt: skip
        others = [part(recording, TESTED) for recording in recordings if recording["person"] not in chosen]
        for name, state in ways(detector, seed).items():
            if name != "as it comes":
                state = nl.train(
                    state, [pair for i, pair in enumerate(windows) if i % 3 < 2], windows[2::3],
                    epochs=arguments.epochs, batch_size=4, seed=seed, gradient_clip_val=1.0, normalization="block",
                    sampling_frequency=detector["preprocessing"]["sampling_frequency"], enable_progress_bar=False,
                    dataset_name="mitdb, three times as fast", trained_for="R-peak detection",
                )  # fmt: skip
            state["preprocessing"]["window"] = WINDOW
            state["postprocessing"] = {"outputs": ["R-peak"], "events": EVENTS}
            scores[name].append(nl.evaluate_recordings(state, others, tolerance=0.05, n_bootstrap=1)["gross"]["f1"])
            logger.info("seed %d, %s: F1 %.4f", seed, name, scores[name][-1])
    for name, values in scores.items():
        logger.info("%s: %s", name, over_seeds(values))
    return scores


def ways(detector: nl.State, seed: int) -> dict[str, nl.State]:
    """The states that are compared, as they start."""
    known, hparams = detector["preprocessing"], detector["hparams"] | {"learning_rate": 3e-3}
    scratch = nl.gru_seq2seq(**hparams, fold=known["fold"] or 1, steps=known["steps"], seed=seed)
    layers = [f"gru_layers.{i}" for i in range(hparams["n_layers"])]
    reused = nl.reuse_layers(scratch, detector, [*layers, "fc_out"])
    return {
        "as it comes": copy.deepcopy(detector),
        "frozen": nl.freeze(reused, layers),
        "fine-tuned": reused,
        "from scratch": scratch,
    }


def fast(recording: nl.Recording) -> nl.Recording:
    """The first lead, as a recording of a heart that beats faster."""
    return recording | {
        "signal": np.asarray(recording["signal"])[:, :1], "channels": recording["channels"][:1],
        "units": recording["units"][:1], "sampling_frequency": FASTER * recording["sampling_frequency"],
        "person": str(recording["person"] or recording["name"]),
    }  # fmt: skip


def part(recording: nl.Recording, seconds: float) -> nl.Recording:
    """The last seconds of a recording."""
    signal, events = recording["signal"], recording["events"]
    first = max(0, len(signal) - round(seconds * recording["sampling_frequency"]))
    kept = np.flatnonzero(np.asarray(events["sample"]) >= first)
    cut = recording.copy()
    cut["signal"] = signal[first:]
    cut["events"] = {
        "sample": np.asarray(events["sample"])[kept] - first, "symbol": [events["symbol"][i] for i in kept],
        "duration": np.zeros(len(kept)),
    }  # fmt: skip
    return cut


def windows_of(recording: nl.Recording, detector: nl.State) -> list[tuple[np.ndarray, np.ndarray]]:
    """The windows [T, 1] of a minute, with 1 where a beat is near."""
    rate = float(detector["preprocessing"]["sampling_frequency"] or 125)
    minute = part(recording, 60)
    signal, size = resampled(minute, rate), round(WINDOW * rate)
    beats = np.rint(nl.beats(minute) * rate / minute["sampling_frequency"]).astype(np.int64)
    labels = nl.peak_labels(beats[beats < len(signal)], len(signal), round(REACH * rate))[:, None]
    starts = range(0, len(signal) - size + 1, size)
    return [(signal[start : start + size], labels[start : start + size]) for start in starts]


if __name__ == "__main__":
    main()
