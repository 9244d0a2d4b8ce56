"""Measuring a state, or any function, on recordings: `evaluate_recordings`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, NamedTuple, cast

import numpy as np

from neurallib.architectures import check_state
from neurallib.checks import boolean, choice, number, seconds
from neurallib.measures.by_person import Scored, summary
from neurallib.measures.classes import class_result, confusion, known_pairs
from neurallib.measures.comparing import gross_of
from neurallib.measures.denoising import denoising_scores, denoising_sums
from neurallib.measures.detection import SUMS, detection_measures, detection_sums
from neurallib.measures.tables import markdown
from neurallib.names import hinted
from neurallib.prediction.answered import ANSWERED, answer_of_state, as_events, columns_of, tasks_of, values_of
from neurallib.prediction.skipping import Skip, check_skip, check_skipped_names, skipped_of
from neurallib.progress import progress
from neurallib.signals.annotations import (
    annotated, beats_of, check_annotated, classes_of, looked_for, tell_unwanted, unwanted,
)  # fmt: skip
from neurallib.signals.people import people_of
from neurallib.signals.recording_parts import (
    Recording, as_recording, column_of, events_of, name_of, rows_of,
)  # fmt: skip
from neurallib.state import State
from neurallib.tasks import describe
from neurallib.warn import warn

Function = Callable[[Recording], Any]
TOLERANCES = (0.025, 0.05, 0.075, 0.1, 0.125, 0.15)


@hinted
def evaluate_recordings(
    model: State | Function,
    recordings: Iterable[Recording],
    *,
    task: str | None = None,
    target: Function | None = None,
    tolerance: float = 0.150,
    tolerances: Sequence[float] = TOLERANCES,
    skip_start: float = 0.0,
    skip_flutter: bool = True,
    skip_gaps: bool = True,
    skip: Skip | None = None,
    names: Sequence[str] | None = None,
    n_bootstrap: int = 1000,
    seed: int = 42,
    gpu_id: int | None = None,
    enable_progress_bar: bool = False,
) -> dict[str, Any]:
    """How good a model is on recordings: each one, all together, on average, and how sure that is over people.

    Parameters
    ----------
    model : State or function
        A state, or a function that is given a recording and gives its answer: of "events" their samples, or
        probabilities [T] for `find_events`; of "classes" one a sample [T], or probabilities [T, K]; of "denoising" the
        signal [T, C]. What `predict_recording` gives will do as well. A state's events are the R-peaks of the leads
        that `find_r_peaks` hears by itself; where others are meant, give a function. Of a binary state the classes are
        0 and 1, above the threshold of its events, else 0.5; of one with one output a signal they are of windows.
    recordings : iterable of dict
        In the form that `read_recording` gives, one at a time: a generator is read as it goes. Those of one person
        say so.
    task : str, optional
        "events", "classes" or "denoising"; by default what the state is for (a binary one of each step finds events),
        or "events".
    target : function, optional
        Gives the truth of a recording, in the form that `model` gives its answer, or one class for all of it. By
        default the beats of its annotations; of "classes" the annotated intervals whose symbol is one of `names`,
        whatever else is annotated over them, all else being unknown: what is a class there is told by
        functools.partial(interval_target, classes={"seizure": 1}, background=0). A window has the class of half of its
        steps or more. "denoising" needs it: the clean signal [T, C]; the recording's own is the noisy one, both with
        as many channels as the answer.
    tolerance : float
        Seconds that a found event may be away from a true one.
    tolerances : sequence of float
        Those of the curve.
    skip_start : float
        Seconds at the beginning of each recording that are not scored; the standard allows 300, to learn.
    skip_flutter, skip_gaps : bool
        Not to score ventricular flutter (annotated from "[" to "]"), and where no channel has a value.
    skip : mapping or function, optional
        What else not to score, in seconds (from, to): by the recording's name, or by a function of the recording.
    names : sequence of str, optional
        Of the classes; by default the state's outputs, of a binary one with a `target` "no" before its own.
    n_bootstrap : int
        How often people are drawn again for the 95 % intervals.
    seed : int
        Of these draws.
    gpu_id : int, optional
        Which GPU; by default one where there is one, else the CPU.
    enable_progress_bar : bool
        Show the progress.

    Returns
    -------
    dict
        "records", a dict a recording with its "name", "person" and measures (of "classes" a dict a person); "gross",
        the measures of all together; "average", their means over the records; "intervals", for both of these (low,
        high) of each measure; "table", a text in Markdown, worst record first; "task" and "sums", for
        `compare_recordings`. Of events "sensitivity", "positive_predictive_value", "f1", "false_positives_per_hour",
        "timing_bias_ms" and "timing_sd_ms" (found minus true), counts with each record, and "tolerance_curve", a list
        of the gross measures by tolerance; of the other tasks what `class_scores` and `denoising_scores` give.

    Raises
    ------
    TypeError
        If `model` is no state nor a function, or a recording or an answer is none.
    ValueError
        If there is no recording, a name comes twice, a state is for another task or none of these, such as several
        labels that may hold together, or a recording has no truth of the task.

    See Also
    --------
    compare_recordings : two models on the same recordings.
    plot_record_scores : the records, worst first, as a picture.
    evaluate : loss and metrics by step.

    Notes
    -----
    Events are matched one to one, as many as can be, then the nearest (`match_peaks`). Matching comes before skipping:
    a true event that is not scored takes the one found for it along. Intervals are percentiles of bootstrap samples of
    people, each with all of its recordings.

    References
    ----------
    ANSI/AAMI EC57, Testing and reporting performance results of cardiac rhythm and ST segment measurement algorithms.

    Examples
    --------
    >>> import neurallib as nl
    >>> def recording(i):
    ...     signal, beats = nl.synthetic_ecg(duration=20, sampling_frequency=250, seed=i)
    ...     events = {"sample": beats, "symbol": ["N"] * len(beats)}
    ...     return {"name": f"r{i}", "signal": signal[:, None], "sampling_frequency": 250.0, "events": events}
    >>> late = lambda recording: recording["events"]["sample"][:-1] + 2
    >>> scores = nl.evaluate_recordings(late, map(recording, range(4)))
    >>> round(scores["gross"]["sensitivity"], 2), scores["gross"]["timing_bias_ms"]
    (0.95, 8.0)
    """
    state = None if callable(model) else check_state(model)
    known = None if state is None else describe(state)
    tasks = ANSWERED if known is None else tasks_of(known)
    task = tasks[0] if task is None else task
    choice("task" if known is None else f"this state is for {known}: task", task, tasks)
    if state is not None and known is not None and names is None:
        names = known.output_names
        if known.kind == "binary":  # its output is yes alone
            names = None if target is None else ["no", *(known.names or ["yes"])]
    if task == "classes" and known is not None and names is not None and len(names) < max(known.n_outputs, 2):
        raise ValueError(f"names has {len(names)}; expected one for each of {max(known.n_outputs, 2)} classes.")
    check_skip(skip)
    skipped = partial(
        skipped_of,
        start=number("skip_start", skip_start, 0),
        flutter=boolean("skip_flutter", skip_flutter),
        gaps=boolean("skip_gaps", skip_gaps),
        skip=skip,
    )
    answer = model if state is None else partial(answer_of_state, state, str(task), gpu_id)
    curve = [seconds("tolerance", tolerance), *(seconds("tolerances", each) for each in tolerances)]
    channels = None if state is None else state["preprocessing"]["channels"]
    judge = _Judge(cast(Function, answer), target, skipped, curve, names, channels)
    score = {"events": judge.events, "classes": judge.classes, "denoising": judge.denoising}[str(task)]
    with looked_for() as looked:
        rows = [score(recording) for recording in _checked(recordings, enable_progress_bar)]
    tell_unwanted(unwanted(looked))
    if not rows:
        raise ValueError("recordings is empty; expected one recording at least.")
    check_skipped_names(skip, [str(row.told["name"]) for row in rows])
    if task == "classes":
        if target is None:
            check_annotated(list(names or ()), chain.from_iterable(row.symbols for row in rows))
        people = [row.told["person"] for row in rows]
        return class_result([row.sums for row in rows], people, list(names or ()), n_bootstrap, seed)
    if task == "events" and target is None and not any(row.n_true for row in rows):
        warn(
            "no recording has a beat among its annotations; expected beats, task='classes' and names= for what lasts, "
            "or target=, which gives the samples of other events."
        )
    return _result(str(task), rows, curve, n_bootstrap, seed)


class _Row(NamedTuple):
    told: dict[str, Any]  # name, person, and what is told of the recording
    sums: np.ndarray  # of events for each tolerance, [n, S]; of classes the confusion matrix
    n_true: int = 0  # events, also where they are skipped
    symbols: Sequence[str] = ()  # of what is annotated


class _Judge(NamedTuple):
    """What scores one recording."""

    answer: Function
    target: Function | None
    skipped: Callable[[Recording], np.ndarray]
    tolerances: list[float]
    names: Sequence[str] | None
    channels: Sequence[str] | None  # that the answer is of

    def events(self, recording: Recording) -> _Row:
        """True and found events matched."""
        given = self.target
        true = beats_of(annotated(recording)) if given is None else as_events(given(recording), recording)
        found = as_events(self.answer(recording), recording)
        rate, n_steps = float(recording["sampling_frequency"]), len(recording["signal"])
        sums = detection_sums(true, found, rate, n_steps, self.skipped(recording), self.tolerances)
        counts = {name: int(sums[0, i]) for i, name in enumerate(SUMS[:3])} | {"hours": float(sums[0, 3])}
        return _Row(_who(recording) | counts, sums, len(true))

    def classes(self, recording: Recording) -> _Row:
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
        return _Row(_who(recording), confusion(*pair, len(names)), symbols=events_of(recording)[1])

    def denoising(self, recording: Recording) -> _Row:
        """The signal against the clean one."""
        if self.target is None:
            raise ValueError("target is not given; expected a function that gives the clean signal of a recording.")
        clean, found = (columns_of(of(recording)) for of in (self.target, self.answer))
        noisy = np.array(rows_of(recording, 0, len(recording["signal"])))  # which may be the recording's own
        if self.channels and recording.get("channels"):
            noisy = noisy[:, [column_of(recording, name) for name in self.channels]]
        for start, stop in self.skipped(recording):
            noisy[start:stop] = np.nan
        scores = denoising_scores(clean, noisy, found)
        return _Row(_who(recording) | scores, denoising_sums(clean, noisy, found).sum(axis=0))


def _result(task: str, rows: list[_Row], curve: list[float], n_bootstrap: int, seed: int) -> dict[str, Any]:
    gross = gross_of({"task": task})
    everything = np.stack([row.sums for row in rows])
    records = [row.told for row in rows]
    if task == "events":
        sums, own = everything[:, 0], detection_measures(everything[:, 0])
        records = [row | {name: float(own[name][i]) for name in own} for i, row in enumerate(records)]
        shown = [*SUMS[:3], *own]
    else:
        sums = everything
        shown = [name for name in records[0] if name not in ("name", "person")]
        own = {name: np.array([row[name] for row in records]) for name in shown}
    scored = Scored(sums, own, [row["person"] for row in records])
    result = {"task": task, "records": records} | summary(scored, gross, n_bootstrap, seed) | {"sums": sums}
    result["table"] = markdown(result, shown, "f1" if task == "events" else "snr_improvement_db")
    if task == "events":
        total = detection_measures(everything[:, 1:].sum(axis=0))
        result["tolerance_curve"] = [
            {"tolerance": each} | {name: float(values[i]) for name, values in total.items()}
            for i, each in enumerate(curve[1:])
        ]
    return result


def _checked(recordings: Iterable[Recording], enable_progress_bar: bool) -> Iterator[Recording]:
    if isinstance(recordings, Mapping):
        raise TypeError("recordings is one recording; expected a list of them.")
    if isinstance(recordings, (str, os.PathLike)):
        way = "map(neurallib.read_recording, neurallib.list_recordings(folder))"
        raise TypeError(f"recordings is a path, {os.fspath(recordings)!r}; expected recordings, such as {way}.")
    seen: set[str] = set()
    shown = cast(Sequence[Recording], recordings)  # a generator's length is not known, nor needed
    for i, recording in enumerate(progress(shown, enable_progress_bar, unit="recording")):
        recording = as_recording(recording, f"recordings[{i}]")
        if (name := str(recording.get("name") or i)) in seen:
            raise ValueError(f"recordings holds {name!r} twice; expected each name once.")
        seen.add(name)
        yield {**recording, "name": name}


def _who(recording: Recording) -> dict[str, Any]:
    name = name_of(recording)
    who = recording.get("person")
    return {"name": name, "person": name if who is None else people_of([name], [who])[0]}
