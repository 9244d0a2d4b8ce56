"""The targets of a data set, channels of the recordings themselves among them: what they are in words, and that they
fit the signals that they are written beside."""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple, cast

import numpy as np

from neurallib.checks import takes
from neurallib.functions import content_sum, described
from neurallib.names import listing
from neurallib.signals.annotations import mean_beats
from neurallib.signals.contents import picked
from neurallib.signals.dataset_sources import cut_recording, first_of
from neurallib.signals.event_targets import beats, class_of_each, event_target, interval_target, label_target
from neurallib.signals.recordings import Recording
from neurallib.warn import noted

Target = Callable[[Recording], Any] | Mapping[str, Any]
_OUTPUTS = 100  # a list of more values is no vector of outputs; one that is has the shape [1, K]


class TargetChannels(NamedTuple):
    """A target: the last channels of a recording, which are no input."""

    outputs: list[str]  # what a model's are called

    def __call__(self, recording: Recording) -> np.ndarray:
        """float32 [T, K]."""
        return np.asarray(recording["signal"][:, -len(self.outputs) :])

    def __str__(self) -> str:
        return f"channels {listing(self.outputs)}"


def channels_of(
    target: Any, sources: Mapping[str, Any], reading: dict[str, Any], rate: float | None
) -> tuple[TargetChannels | None, dict[str, Any]]:
    """The channels that a target names, None where it is none of names, and how recordings are read: these behind those
    that are asked for, by default all others. ValueError where the first recording has no such channels, or no others.
    """
    asked = [target] if isinstance(target, str) else target
    if not isinstance(asked, (list, tuple)) or not asked or not all(isinstance(each, (str, tuple)) for each in asked):
        return None, reading
    channels, units = reading["channels"], reading["units"]
    way = "expected others beside it, or for the signal itself lambda recording: recording['signal']"
    if channels is None:
        first = first_of(sources, {**reading, "units": None}, rate)
        taken, _ = picked(list(asked), first.channels, repr(first.name))
        channels = [name for column, name in enumerate(first.channels) if column not in taken]
        if not channels:
            raise ValueError(f"target={target!r} is all that {first.name!r} has; {way}.")
    channels = [channels] if isinstance(channels, (str, int)) else list(channels)
    first = first_of(sources, {**reading, "channels": [*channels, *asked], "units": None}, rate)
    own = list(zip(first.channels, first.units, strict=True))[len(channels) :]
    if both := [name for name, _ in own if name in first.channels[: len(channels)]]:
        raise ValueError(f"target={target!r}, but channels has {listing(map(repr, both))} as well; {way}.")
    if units is not None:
        units = [*([units] * len(channels) if isinstance(units, str) else units), *(unit for _, unit in own)]
    outputs = [f"{name} ({unit})" if unit else name for name, unit in own]
    return TargetChannels(outputs), {**reading, "channels": [*channels, *asked], "units": units}


class Place(NamedTuple):
    """Where the samples that a target is asked for lie in the recording that they come from."""

    start: int  # of the piece without gaps, in the recording
    stop: int
    ratio: Fraction  # samples as they are written for one of the recording
    n_source: int  # samples of the recording
    first: int = 0  # of what is asked for, as it is written, in the piece
    n_windows: int | None = None  # that share one target

    def rows(self, n_steps: int) -> np.ndarray:
        """The samples of the recording that are nearest to so many as they are written."""
        rows = self.start + np.rint((self.first + np.arange(n_steps)) / float(self.ratio)).astype(np.int64)
        return np.minimum(rows, self.stop - 1)


def check_target(target: Any, names: Iterable[str]) -> None:
    """Raise unless it is a function of a recording, or has something for each of some names."""
    if callable(target):
        takes("target", target, 1, "of a recording")
        if target is beats:
            expected = "expected what a model is to say of each sample: event_target and peak_labels mark events"
            raise ValueError(f"target=beats gives the samples of beats; {expected}.")
    elif not isinstance(target, Mapping):
        expected = "expected a function of a recording, a mapping from names, or channels"
        raise TypeError(f"target is a {type(target).__name__}; {expected}.")
    elif missing := [name for name in names if name not in target]:
        raise ValueError(f"target has nothing for {listing(map(repr, missing))}; expected a value for every recording.")


def target_words(target: Target, names: Iterable[str]) -> dict[str, str]:
    """The target of each recording in words that stay the same from run to run, and change with its code or values."""
    if isinstance(target, Mapping):
        return {name: f"by name, {content_sum(_as_given(target.get(name)))}" for name in names}
    return dict.fromkeys(names, str(target) if isinstance(target, TargetChannels) else described(target, follows=True))


def _as_given(values: Any) -> Any:
    return np.asarray(values) if hasattr(values, "__array__") else values


def target_of(target: Target, name: str, recording: Recording, place: Place) -> np.ndarray:
    """The target of a recording as it is written, or of a part of it; ValueError where it is none, or of another
    length."""
    if isinstance(target, Mapping):
        values = np.asarray(target[name])
    else:
        with noted(f"target was given {name!r}."):
            values = np.asarray(target(recording))
    if values.dtype.kind not in "fiub" or not values.size:
        way = ": of names that may hold together [float(name in said) for name in names]" if values.ndim else ""
        raise ValueError(f"the target of {name!r} is {values.dtype} of shape {values.shape}; expected numbers{way}.")
    n_steps = len(recording["signal"])
    if values.ndim and len(values) == place.n_source != n_steps and (place.ratio == 1 or _are_classes(values)):
        values = values[place.rows(n_steps)]
    if _are_samples(values, n_steps, recording["events"]["sample"]):
        raise ValueError(
            f"the target of {name!r} is {len(values)} ascending samples of {n_steps}, as of beats;"
            " expected what a model is to say of each sample: event_target and peak_labels mark events."
        )
    if values.ndim > 2 or values.ndim and len(values) != n_steps and not _is_one(values, place):
        raise ValueError(
            f"the target of {name!r} has shape {values.shape}, beside {n_steps} samples; expected an output a sample, "
            f"[{n_steps}] or [{n_steps}, K], or one for all of it: a number, or [1, K]. {_cause(values, place)}"
        )
    return values


def window_of(piece: Recording, start: int, stop: int, place: Place) -> Recording:
    """A window of a piece as a recording of its own; arrays that say something of each sample of the whole are cut with
    it, and classes resampled."""
    rows = place._replace(first=start).rows(stop - start)
    said = {key: np.asarray(value) for key, value in piece.items() if key != "signal" and hasattr(value, "__array__")}
    cut = {
        key: values[rows] if _are_classes(values) else values[rows[0] : rows[-1] + 1]
        for key, values in said.items()
        if values.shape[:1] == (place.n_source,)
    }
    return cast(Recording, {**cut_recording(piece, start, stop), **cut})


def _is_one(values: np.ndarray, place: Place) -> bool:
    """Whether it can be one target for all: a number or a vector of outputs, and no list of labels."""
    of_windows = len(values) == place.n_windows and values.dtype.kind in "iub"
    return len(values) == 1 or values.ndim == 1 and len(values) <= _OUTPUTS and not of_windows


def _cause(values: np.ndarray, place: Place) -> str:
    if len(values) == place.n_source:
        return "The recording was resampled, and its numbers, being no classes, are not: resample them with it."
    if len(values) == place.n_windows:
        return "A target for each window: each_window=True asks `target` about each."
    before = f"It is of {place.n_source} samples before it is resampled, gaps are left out and windows cut"
    return f"{before}; values at another rate become one a sample first, as by np.interp."


def _are_classes(values: np.ndarray) -> bool:
    """Whether each is a class, or unknown."""
    return values.dtype.kind != "f" or np.array_equal(values, np.rint(values), equal_nan=True)


def has_labels(target: Target, recording: Recording, window: Recording, y: np.ndarray) -> bool:
    """Whether `target` gives one label to a recording that has several, or stretches of one, or something else than
    `y`, which is of all of it, to a window of it."""
    if not isinstance(target, functools.partial) or target.func is not label_target or "classes" not in target.keywords:
        if isinstance(target, (Mapping, TargetChannels)) or y.ndim and len(y) == len(window["signal"]):
            return False
        with contextlib.suppress(Exception), warnings.catch_warnings():  # of what need not make sense
            warnings.simplefilter("ignore")
            own, whole = np.ravel(target(window)).astype(np.float64), np.ravel(y)
            return bool((np.abs(own - whole) > 1e-3 * np.abs(whole)).any())
        return False
    said = {name: value for name, value in target.keywords.items() if name != "least"}
    classes = interval_target(recording, **said)
    changes = np.flatnonzero(np.diff(classes, prepend=-1))
    return int((classes[changes] >= 0).sum()) > 1


def outputs_of(target: Target) -> list[str] | None:
    """What the outputs of a model that learns it are called, where it has a name for each. Beats, which are R-peaks,
    have none."""
    if isinstance(target, TargetChannels):
        return target.outputs
    if not isinstance(target, functools.partial):
        return None
    said = target.keywords
    if target.func is event_target:
        symbols = list(map(str, said.get("symbols") or ()))
        return symbols if len(symbols) == 1 and not mean_beats(symbols) else None
    if target.func not in (interval_target, label_target) or "classes" not in said:
        return None
    binary, background = said.get("binary", False), said.get("background")
    named: dict[int, list[str]] = {}
    for symbol, k in class_of_each(said["classes"], binary).items():
        named.setdefault(k, []).append(symbol)
    if background is not None:
        named.setdefault(background, ["background"])
    wanted = [1] if binary else range(max(named) + 1)
    return [named[k][0] for k in wanted] if all(len(named.get(k, ())) == 1 for k in wanted) else None


def _are_samples(values: np.ndarray, n_steps: int, events: np.ndarray) -> bool:
    """Whether they can hardly be anything but moments of a signal, such as those of its events."""
    no_list = values.ndim != 1 or len(values) in (1, n_steps) or values.dtype.kind not in "iu"
    few = no_list or len(values) < 8 and not np.isin(values, events).all()
    return not few and 0 <= values[0] and values[-1] < n_steps and bool((np.diff(values.astype(np.int64)) > 0).all())
