"""Recordings scored one by one, each by what it is to be: events, intervals, classes, or a signal without noise; and
what of them is not scored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from neurallib.measures.classes import confusion, known_pairs
from neurallib.measures.denoising import denoising_scores, denoising_sums
from neurallib.measures.events import counts_of, detection_sums, scored_of
from neurallib.measures.intervals import Rules, interval_sums
from neurallib.names import did_you_mean, listing
from neurallib.prediction.answered import as_events, columns_of, intervals_of, true_intervals, values_of
from neurallib.signals.annotations import (
    annotated, beats_of, classes_of, flutter_of, samples_of, tell_if_none, tell_if_unmarked,
)  # fmt: skip
from neurallib.signals.people import people_of
from neurallib.signals.recording_parts import Recording, column_of, events_of, gaps_of, name_of, rows_of
from neurallib.warn import warn

Function = Callable[[Recording], Any]
Stretches = Iterable[tuple[float, float]]  # seconds, from and to
Skip = Mapping[str, Stretches] | Callable[[Recording], Stretches]


class Row(NamedTuple):
    """What one recording tells."""

    told: dict[str, Any]  # name, person, and what is told of the recording
    sums: np.ndarray  # of events for each tolerance, [n, S]; of intervals [S]; of classes the confusion matrix
    n_true: int = 0  # events or intervals, also where they are skipped
    symbols: Sequence[str] = ()  # of what is annotated
    found: Sequence[str] = ()  # names of the intervals that were found, where they have some


class Judge(NamedTuple):
    """What scores one recording."""

    answer: Function
    target: Function | None
    skipped: Callable[[Recording], np.ndarray]
    tolerances: list[float]
    names: Sequence[str] | None
    channels: Sequence[str] | None  # that the answer is of
    rules: Rules  # of intervals
    finding: Mapping[str, float]  # options of find_intervals for answers that are none yet
    outputs: Sequence[str] | None  # of the state

    def events(self, recording: Recording) -> Row:
        """True and found events matched."""
        given = self.target
        if given is not None:
            true = as_events(given(recording), recording)
        elif self.names:
            tell_if_none(recording, self.names, "names")
            true = samples_of(annotated(recording), self.names)
        else:
            true = beats_of(annotated(recording))
        found, skipped = as_events(self.answer(recording), recording), self.skipped(recording)
        rate, n_steps = float(recording["sampling_frequency"]), len(recording["signal"])
        if given is None and not self.names:
            tell_if_unmarked(recording, scored_of(found, skipped, n_steps))
        sums = detection_sums(true, found, rate, n_steps, skipped, self.tolerances)
        told = _who(recording) | counts_of(sums[0]) | {"hours": float(sums[0, 3])}
        return Row(told, sums, len(true), symbols=events_of(recording)[1])

    def intervals(self, recording: Recording) -> Row:
        """True and found intervals by their overlap."""
        names, rate, given = self.names, float(recording["sampling_frequency"]), self.target
        length, answer = len(recording["signal"]) / rate, self.answer(recording)
        if given is not None:
            true = intervals_of(given(recording), recording, names, self.outputs, {}, "truth of")
        elif names:
            true = true_intervals(recording, names)
        else:
            expected = "expected names=, the symbols of annotations that count, or target=, which gives the true ones"
            raise ValueError(f"names of the intervals are not known; {expected}.")
        found = intervals_of(answer, recording, names, self.outputs, self.finding)
        sums = interval_sums(true, found, length, self.skipped(recording) / rate, self.rules)
        told = _who(recording) | counts_of(sums) | {"hours": float(sums[3])}
        said = answer.get("name", ()) if isinstance(answer, Mapping) else ()
        return Row(told, sums, len(true), found=said)

    def classes(self, recording: Recording) -> Row:
        """Classes by sample, or by window of a state that has one output for each."""
        if not self.names:
            expected = "expected names, as the annotations have them: of a binary state two, of no and of yes"
            raise ValueError(f"names of the classes are not known; {expected}.")
        names = list(self.names)
        given = self.target
        true = np.array(classes_of(annotated(recording), names) if given is None else values_of(given(recording)))
        true = true.astype(np.int64) if true.dtype.kind in "bu" else true  # which hold no -1
        if true.ndim == 0:
            true = np.full(len(recording["signal"]), true)
        for start, stop in self.skipped(recording):
            true[start:stop] = -1
        answer = self.answer(recording)
        windows = answer.get("windows") if isinstance(answer, Mapping) else None
        pair = known_pairs(true, values_of(answer), name_of(recording), windows)
        return Row(_who(recording), confusion(*pair, len(names)), symbols=events_of(recording)[1])

    def denoising(self, recording: Recording) -> Row:
        """The signal against the clean one."""
        if self.target is None:
            raise ValueError("target is not given; expected a function that gives the clean signal of a recording.")
        clean, found = (columns_of(of(recording), recording) for of in (self.target, self.answer))
        noisy = np.array(rows_of(recording, 0, len(recording["signal"])))  # which may be the recording's own
        if self.channels and recording.get("channels"):
            noisy = noisy[:, [column_of(recording, name) for name in self.channels]]
        for start, stop in self.skipped(recording):
            noisy[start:stop] = np.nan
        scores = denoising_scores(clean, noisy, found)
        return Row(_who(recording) | scores, denoising_sums(clean, noisy, found).sum(axis=0))


def _who(recording: Recording) -> dict[str, Any]:
    name = name_of(recording)
    who = recording.get("person")
    return {"name": name, "person": name if who is None else people_of([name], [who])[0]}


def check_skip(skip: Any) -> None:
    """Raise unless it says by name, or as a function, what is not scored."""
    if not (skip is None or isinstance(skip, Mapping) or callable(skip)):
        expected = "expected {name: [(from, to), ...]} in seconds, or a function of the recording that gives the pairs"
        raise TypeError(f"skip={skip!r}; {expected}.")


def skipped_of(recording: Recording, start: float, flutter: bool, gaps: bool, skip: Skip | None) -> np.ndarray:
    """Samples int64 [n, 2] from where to where nothing is scored."""
    rate, name = float(recording["sampling_frequency"]), name_of(recording)
    duration = len(recording["signal"]) / rate
    if start >= duration:
        warn(f"skip_start={start:g}: nothing of {name}, which lasts {duration:g} s, is scored.")
    seconds: Any = skip(recording) if callable(skip) else (skip or {}).get(name, ())
    try:
        given = list(seconds)
        pairs = np.asarray(given, dtype=np.float64).reshape(len(given), 2)
    except (TypeError, ValueError) as error:
        raise TypeError(f"skip of {name} is {seconds!r}; expected pairs of seconds, such as [(60, 90)].") from error
    wrong = ~((pairs[:, 0] >= 0) & (pairs[:, 0] < pairs[:, 1]) & (pairs[:, 0] < duration))
    if wrong.any():
        low, high = pairs[wrong][0]
        raise ValueError(f"skip of {name} is from {low:g} to {high:g} s; expected rising seconds within {duration:g}.")
    stretches = [[[0, round(start * rate)]], np.rint(pairs * rate).astype(np.int64).tolist()]
    stretches += [flutter_of(recording).tolist()] if flutter else []
    stretches += [gaps_of(recording).tolist()] if gaps else []
    return np.array([pair for some in stretches for pair in some], np.int64).reshape(-1, 2)


def check_skipped_names(skip: Skip | None, names: list[str]) -> None:
    """A warning if what is to be skipped is of other recordings altogether."""
    if isinstance(skip, Mapping) and skip and not set(skip) & set(names):
        hint = did_you_mean(str(next(iter(skip))), names)
        warn(f"skip names {listing(map(str, skip))}, which no recording is called: nothing is skipped.{hint}")
