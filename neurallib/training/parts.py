"""The training and the validation data of a run, and the preprocessing that the state keeps of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from neurallib.checks import choice, number
from neurallib.measures.delays import check_delay
from neurallib.measures.losses import decided_class_weight, tell_absent
from neurallib.models.folding import fold_of
from neurallib.names import listing
from neurallib.signals.augmenting import Augmentation, as_augmentation
from neurallib.signals.conversion import Handed, adopted, conversion, goes_on, window_steps
from neurallib.signals.heart_rate import SLOW, SOME
from neurallib.signals.manifest import SAID, handed_at_rate, said_of, with_said
from neurallib.signals.normalization import NORMALIZATIONS, TARGET_NORMALIZATIONS, Scale, check_normalization
from neurallib.signals.prepared import PreparedData
from neurallib.signals.preparing import prepare_handed, prepare_training
from neurallib.signals.sources import as_items, sample_weights
from neurallib.state import Preprocessing, State, changed, new_preprocessing
from neurallib.tasks import describe
from neurallib.warn import warn

_LOOKED = 16  # signals, at the most, whose labels are looked at for where they are known
_log = logging.getLogger(__name__)
_SOME = 8  # signals that are looked at, of which each may be changed by chance or not
_DRAWS = 16  # of augment=, of which some may change nothing
_CHANCE = 0.05  # that as few were changed as were


def prepare_parts(state: State, options: Mapping[str, Any]) -> tuple[State, PreparedData, PreparedData]:
    """The state as a run begins with it, its preprocessing and class weights decided, the training and the validation
    data; `options` are `train`'s."""
    given = {name: options[name] for name in SAID}
    train_data, said = with_said(options["train_data"], given)
    options = {**options, "train_data": train_data} | said
    state = changed(state, preprocessing=wanted_preprocessing(state, options))
    known = state["preprocessing"]
    names = options["channels"], options["units"]
    n_features = describe(state).n_features
    handed = Handed(conversion(known, n_features, None, *names))
    reading = {name: options[name] for name in ("memory_budget", "enable_progress_bar")}
    reading["with_sums"] = options["save"]  # a run that leaves files can be resumed, with the same data
    augmentation = as_augmentation(options["augment"], options["seed"])
    items = as_items(options["train_data"], "train_data", handed.conversion.n_given or n_features, True)
    weights = sample_weights(options["sample_weight"], items, "train_data")
    state, train_set = prepare_training(
        state, items, "train_data", handed=handed, augmentation=augmentation, **reading
    )
    train_set.weights = weights
    check_beats(train_set, known["sampling_frequency"])
    check_delay(state, train_set)
    tell_absent(describe(state), train_set.class_counts)
    tell_targets(train_set)
    tell_places(train_set, fold_of(state))
    own = said_of(options["val_data"], given)
    if own not in (given, said):  # a folder made otherwise than the training data's
        handed = handed_at_rate(state, options["val_data"], "val_data", given)
    shared = {*train_set.told, "layout"}  # what holds of both is told once, and few signals tell little
    val_set = prepare_handed(state, options["val_data"], "val_data", True, handed, told=shared, **reading)
    check_delay(state, val_set)
    if augmentation is not None and describe(state).kind == "regression":
        tell_unchanged(augmentation, val_set)
    window = window_steps(known)
    if window is not None and max(train_set.lengths) > window:
        way = f"open_folder(..., window_size={window}) cuts them"
        warn(f"the state was trained on windows of {window} steps, these signals are longer, and taken whole: {way}.")
        state = changed(state, preprocessing=new_preprocessing({**state["preprocessing"], "window": None}))
    _log.info("%s", told(state))
    weight = known_class_weight(state, options["class_weight"], train_set)
    return changed(state, training_info={"class_weight": weight}), train_set, val_set


def check_beats(data: PreparedData, rate: float | None) -> None:
    """A word where R-peaks are labelled more seldom than a heart beats at this rate."""
    n, n_steps = data.beats.tolist()
    a_minute = 60 * n * (rate or np.inf) / max(n_steps, 1)
    if n >= SOME and a_minute < SLOW:
        warn(
            f"the signals are taken as of {rate:g} Hz, and {a_minute:.0f} R-peaks a minute are labelled: are "
            "they of another rate? sampling_frequency= tells which; what is later handed in is resampled to it."
        )


def tell_targets(data: PreparedData) -> None:
    """A word where targets are far from those that the state learnt on, as in another unit they are."""
    if (known := data.preprocessing)["target_normalization"] != "dataset":
        return
    mean, spread, shift = data.targets.scale().shift, np.sqrt(data.targets.variance()), np.array(known["y_shift"])
    own = Scale(shift, np.array(known["y_scale"])).undo(mean)
    small = (spread < 1 / 30) & (np.abs(mean) > 2) & (np.abs(own) < np.abs(shift) / 5)  # one person's only vary little
    if (far := (np.abs(mean) > 10) | (spread > 30) | small).any():
        warn(
            f"targets have the mean {_numbers(own[far].tolist())}, those that the state learnt on "
            f"{_numbers(shift[far].tolist())}: are they in another unit, or of something else? "
            "target_normalization='dataset' scales them by themselves."
        )


def tell_unchanged(augmentation: Augmentation, data: PreparedData) -> None:
    """A word where a model learns to give signals back as they were before they are changed, and validates on such as
    are not: leaving all as it is would be best there."""
    looked = [data.in_own_numbers(i) for i in range(min(len(data), _SOME))]
    if not looked or not all(_alike(x, y) for x, y in looked):
        return
    kept = 0
    for k in range(_DRAWS):
        x, y = looked[i := k % len(looked)]
        changed_x, wanted = augmentation.draw(x, y, place=i, epoch=k, task=data.task, name=data.names[i])
        kept += _alike(changed_x, wanted)
    if (kept / _DRAWS) ** len(looked) < _CHANCE:  # else they may have been changed too, and by chance were not
        warn(
            "val_data asks for its signals as they are, which augment= changes in training alone: what leaves all "
            "as it is has the lowest validation loss, by which the weights are chosen. Validate with changed ones "
            "too: [augment(x.copy(), x.copy(), np.random.default_rng(i)) for i, x in enumerate(signals)]."
        )


def _alike(x: np.ndarray, y: Tensor) -> bool:
    """The same but for rounding, which what changes both leaves in each."""
    wanted = y.numpy()
    return x.shape == wanted.shape and bool(np.abs(x - wanted).max() <= 1e-5 * np.abs(wanted).max())


def tell_places(data: PreparedData, fold: int) -> None:
    """A word where labels are known at some of the places of each fold alone, which all have their own weights."""
    known, n = np.zeros(fold, np.int64), 0 if fold == 1 or data.task.seq2one else min(len(data), _LOOKED)
    for i in range(n):
        y = data.drawn(i, 0)[1].numpy()
        steps = y >= 0 if data.task.kind == "multiclass" else ~np.isnan(y)
        known += np.bincount(np.flatnonzero(steps.reshape(len(y), -1).any(axis=1)) % fold, minlength=fold)
        if known.all():
            break
    told = n == len(data) or known.sum() >= _LOOKED * fold  # of fewer, others may lie at other places by chance
    if told and known.any() and not known.all():
        warn(
            f"fold={fold}, and labels are known at {(known > 0).sum()} of the {fold} places of a fold alone: what is "
            "answered at the others is never learnt. Label every sample, such as by np.repeat, or take fold=1."
        )


def known_class_weight(state: State, given: Any, data: PreparedData) -> list[float] | None:
    """The weights of classes of a run, which are not taken over from the one before."""
    weight = decided_class_weight(given, describe(state), data.class_counts)
    if weight is None and (before := state["training_info"].get("class_weight")):
        warn(f"the state was trained with class_weight={before}; this run weighs all alike.")
    return weight


def wanted_preprocessing(state: State, options: Mapping[str, Any]) -> Preprocessing:
    """The preprocessing as the state has it and the options change it; what the training data are to decide is open: a
    target's normalization "auto", and "dataset" without its numbers."""
    task, info = describe(state), state["training_info"]
    known: Any = dict(adopted(state["preprocessing"], task.n_features, options["channels"], options["units"]))
    frequency = options["sampling_frequency"]
    if frequency is not None:
        number("sampling_frequency", frequency, 0, low_open=True)
        if known["sampling_frequency"] not in (None, frequency):
            before = f"{known['sampling_frequency']:g}"
            way = f": what it learnt at {before} Hz fits no longer; make_dataset(..., sampling_frequency={before}) "
            way += "brings signals and labels to its own rate instead"
            warn(f"sampling_frequency changes from {before} to {frequency:g} Hz{way if info else ''}.")
        if known["window"] is not None and known["sampling_frequency"] is None:  # in samples so far
            known["window"] /= frequency
        known["sampling_frequency"] = float(frequency)
    if isinstance(window := getattr(options["train_data"], "window", None), int):  # of an opened folder, or a part
        known["window"] = window / (known["sampling_frequency"] or 1)
    for name, side, options_there in (
        ("normalization", "x", NORMALIZATIONS),
        ("target_normalization", "y", TARGET_NORMALIZATIONS),
    ):
        given, own = options[name], known.get(name)
        if given is not None:
            choice(name, given, ("auto", *options_there))
        if given == "auto":
            # Reused layers have seen signals as their source had them, but the outputs are new.
            trained = bool(info if side == "x" else info.keys() - {"transfer"})
            if own is not None or trained:
                continue
            given = "auto" if side == "x" or task.kind == "regression" else None
        elif own not in (None, given):
            warn(f"{name} changes from {own!r} to {given!r}: without it what the state learnt with stays.")
            if known["target_normalization"] == "signal":  # whose numbers are in units of what signals are divided by
                known |= {"y_shift": None, "y_scale": None}
        known |= {name: given, f"{side}_shift": None, f"{side}_scale": None}
    check_normalization(known, task, to_decide=True)
    return new_preprocessing(known)


def told(state: State) -> str:
    """What stands before the network and behind it, in words."""
    known, task = state["preprocessing"], describe(state)
    words = {
        None: "signals are taken as they come",
        "dataset": f"signals are scaled by the middle {_numbers(known['x_shift'])} and the spread "
        f"{_numbers(known['x_scale'])} of the training data",
    }
    parts = [words.get(known["normalization"], f"each signal is scaled by itself ({known['normalization']})")]
    if task.kind == "regression":
        of_target = {
            None: "targets as they come",
            "dataset": f"targets by mean {_numbers(known['y_shift'])} and standard deviation "
            f"{_numbers(known['y_scale'])}, which predict undoes",
            "signal": "targets as their signals, which predict undoes",
        }
        parts.append(of_target[known["target_normalization"]])
    if known["window"] is not None and not goes_on(state):
        unit = "s" if known["sampling_frequency"] else "samples"
        parts.append(f"longer ones in windows of {known['window']:g} {unit}")
    return ", ".join(parts) + "."


def _numbers(values: list[float] | None) -> str:
    return listing([f"{value:.4g}" for value in values or []], 3)
