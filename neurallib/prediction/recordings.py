"""Measuring a state, or any function, on recordings: `evaluate_recordings`."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, cast

import numpy as np

from neurallib.architectures import check_state
from neurallib.checks import as_list, as_seed, boolean, choice, integer, items, names_of, number, seconds, takes
from neurallib.devices import configure_device
from neurallib.measures.by_person import Scored, summary, with_own
from neurallib.measures.classes import class_result
from neurallib.measures.comparing import gross_of
from neurallib.measures.events import SUMS, detection_measures
from neurallib.measures.intervals import Rules, rules_of
from neurallib.measures.tables import markdown
from neurallib.names import hinted, listing
from neurallib.prediction.answered import ANSWERED, answer_of_state, scored_names, tasks_of
from neurallib.prediction.judging import Function, Judge, Row, Skip, check_skip, check_skipped_names, skipped_of
from neurallib.progress import progress
from neurallib.signals.annotations import check_annotated, looked_for, mean_beats, tell_unwanted, unwanted
from neurallib.signals.recording_parts import Recording, as_recording
from neurallib.state import State
from neurallib.tasks import describe
from neurallib.warn import warn

FINDING = ("min_duration", "smoothing")  # of find_intervals
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
    interval_options: Mapping[str, Any] | None = None,
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
        probabilities [T] for `find_events`; of "intervals" what `find_intervals` gives or takes, or [n, 2] seconds; of
        "classes" one a sample [T], or probabilities [T, K]; of "denoising" the signal [T, C]. What `predict_recording`
        gives will do as well. A state's events are the R-peaks of the leads that `find_r_peaks` hears by itself, or
        where its output, or without one `names`, is something else, such as breaths, what `find_events` finds; for
        others give a function. Of a binary state classes and intervals are of what is above the threshold of
        its events, else 0.5; of one with one output a signal they are of windows.
    recordings : iterable of dict
        In the form that `read_recording` gives, one at a time: a generator is read as it goes. Those of one person
        say so.
    task : str, optional
        "events", "intervals" (what lasts, such as apnoeas, by overlap), "classes" or "denoising"; by default what the
        state is for (a binary one of each step finds events), or "events".
    target : function, optional
        Gives the truth of a recording, in the form that `model` gives its answer, or one class for all of it. By
        default the beats of its annotations, or those whose symbol is one of `names`; of "intervals" those with such a
        symbol that last, of which a recording may have none; of "classes" the annotated intervals with such a symbol,
        whatever else is annotated over them, all else being unknown: what is a class there is told by
        functools.partial(interval_target, classes={"seizure": 1}, background=0). A window has the class of half of its
        steps or more. "denoising" needs it: the clean signal [T, C]; the recording's own is the noisy one, both with
        as many channels as the answer.
    tolerance : float
        Seconds that a found event may be away from a true one; of "events" alone.
    tolerances : sequence of float
        Those of the curve.
    skip_start : float
        Seconds at the beginning of each recording that are not scored; the standard allows 300, to learn.
    skip_flutter, skip_gaps : bool
        Not to score ventricular flutter (annotated from "[" to "]") where beats are, and where no channel has a value.
        Of an interval at least half of which is not scored nothing counts.
    skip : mapping or function, optional
        What else not to score, in seconds (from, to): by the recording's name, or by a function of the recording.
    names : sequence of str, optional
        Of the classes; by default the state's outputs, of a binary one with a `target` "no" before its own. Of
        events and intervals the symbols of those that count, all as one kind, by default beats, and of intervals the
        output of a binary state.
    interval_options : mapping, optional
        "iou", "tolerance", "min_distance" and "max_duration" of `interval_scores`; "min_duration" and "smoothing" of
        `find_intervals`, without which answers by step may flicker, which costs most by "iou".
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
        of the gross measures by tolerance; of intervals the first four and the counts; of the other tasks what
        `class_scores` and `denoising_scores` give.

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
    for role, function in {"model": model if callable(model) else None, "target": target}.items():
        if function is not None:
            takes(role, function, 1, "of a recording")
    state = None if callable(model) else check_state(model)
    known = None if state is None else describe(state)
    _check_run(state, gpu_id, n_bootstrap, seed)
    tasks = ANSWERED if state is None or known is None else tasks_of(state, known)
    task = str(tasks[0] if task is None else task)
    choice("task" if known is None else f"this state is for {known}: task", task, tasks)
    names = None if names is None else names_of("names", names, in_order=task == "classes")
    names = names if known is None else scored_names(known, task, names, target)
    check_skip(skip)
    skipped = partial(
        skipped_of,
        start=seconds("skip_start", skip_start, math.inf),
        flutter=boolean("skip_flutter", skip_flutter) and task == "events",
        gaps=boolean("skip_gaps", skip_gaps),
        skip=skip,
    )
    rules, finding = _rules(task, {} if interval_options is None else interval_options)
    answer = cast(Function, model if state is None else partial(answer_of_state, state, task, names, gpu_id, finding))
    tolerances = items("tolerances", as_list(tolerances), "seconds")
    if task != "events" and (tolerance, *tolerances) != (0.150, *TOLERANCES):
        way = "interval_options={'tolerance': (before, after)}" if task == "intervals" else "none of them"
        raise ValueError(f"tolerance and tolerances are of events, and task={task!r}; expected {way}.")
    curve = [seconds("tolerance", tolerance), *(seconds("tolerances", each) for each in tolerances)]
    channels, outputs = None if state is None else state["preprocessing"]["channels"], known and known.names
    judge = Judge(answer, target, skipped, curve, names, channels, rules, {} if state else finding, outputs)
    with looked_for() as looked:
        rows = [getattr(judge, task)(recording) for recording in _checked(recordings, enable_progress_bar)]
    tell_unwanted(unwanted(looked))
    if not rows:
        raise ValueError("recordings is empty; expected one recording at least.")
    check_skipped_names(skip, [str(row.told["name"]) for row in rows])
    if task == "classes":
        if target is None:
            check_annotated(list(names or ()), chain.from_iterable(row.symbols for row in rows))
        people = [row.told["person"] for row in rows]
        return class_result([row.sums for row in rows], people, list(names or ()), n_bootstrap, seed)
    _tell(task, rows, names, outputs, target is not None)
    return _result(task, rows, curve, n_bootstrap, seed)


def _check_run(state: State | None, gpu_id: Any, n_bootstrap: Any, seed: Any) -> None:
    """Raise before any recording is read where these cannot be."""
    if state is None and gpu_id is not None:
        raise ValueError(f"gpu_id={gpu_id!r} says where a state runs, and model is a function; expected gpu_id=None.")
    configure_device(gpu_id), as_seed(seed), integer("n_bootstrap", n_bootstrap)


def _tell(
    task: str, rows: list[Row], names: Sequence[str] | None, outputs: Sequence[str] | None, has_target: bool
) -> None:
    """Warn where no recording has anything of what is looked for, or what was found is called otherwise."""
    found = set(chain.from_iterable(row.found for row in rows)) - {"no"}
    if task == "intervals" and names and found and not (found | set(outputs or ())) & set(names):
        warn(f"the intervals that were found are {listing(sorted(found))}: none is one of names, {listing(names)}.")
    other = [each for each in outputs or () if not mean_beats([each]) and any(each in row.symbols for row in rows)]
    if other and task == "events" and not names and not has_target:
        warn(f"scored against beats, and the state finds what is annotated as {other[0]}: that is names={other}.")
    elif not has_target and task in ("events", "intervals") and not any(row.n_true for row in rows):
        beats = "a beat", "beats, task='classes' or 'intervals' and names= for what lasts"
        what, expected = (listing(names), "names=, as the annotations have them") if names else beats
        warn(
            f"no recording has {what} among its annotations; expected {expected}, or target=, which gives what is to "
            "be found."
        )


def _rules(task: str, options: Any) -> tuple[Rules, dict[str, float]]:
    """What makes an interval found, and options of `find_intervals`, checked."""
    if not isinstance(options, Mapping):
        expected = "expected a mapping of options of interval_scores, such as {'iou': 0.2}"
        raise TypeError(f"interval_options={options!r}; {expected}.")
    if options and task != "intervals":
        raise ValueError(f"interval_options is of intervals, and task={task!r}; expected task='intervals'.")
    for name in options:
        choice("interval_options, which names", name, (*Rules._fields, *FINDING))
    finding = {name: number(name, options[name], 0) for name in FINDING if name in options}
    return rules_of(**{name: value for name, value in options.items() if name not in finding}), finding


def _result(task: str, rows: list[Row], curve: list[float], n_bootstrap: int, seed: int) -> dict[str, Any]:
    gross = gross_of(task)
    everything = np.stack([row.sums for row in rows])
    records = [row.told for row in rows]
    if task in ("events", "intervals"):
        sums = everything[:, 0] if task == "events" else everything
        own = gross(sums)
        records = with_own(records, own)
        shown = [*SUMS[:3], *own]
    else:
        sums = everything
        shown = [name for name in records[0] if name not in ("name", "person")]
        own = {name: np.array([row[name] for row in records]) for name in shown}
    scored = Scored(sums, own, [row["person"] for row in records])
    result = {"task": task, "records": records} | summary(scored, gross, n_bootstrap, seed) | {"sums": sums}
    result["table"] = markdown(result, shown, "snr_improvement_db" if task == "denoising" else "f1")
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
    goes_on = isinstance(recordings, Iterable) or hasattr(recordings, "__getitem__")  # such as PyTorch's Datasets
    if not goes_on or getattr(recordings, "shape", None) == ():
        raise TypeError(f"recordings is a {type(recordings).__name__}; expected a list of recordings.")
    seen: set[str] = set()
    shown = cast(Sequence[Recording], recordings)  # a generator's length is not known, nor needed
    for i, recording in enumerate(progress(shown, enable_progress_bar, unit="recording")):
        recording = as_recording(recording, f"recordings[{i}]")
        if (name := str(recording.get("name") or i)) in seen:
            raise ValueError(f"recordings holds {name!r} twice; expected each name once.")
        seen.add(name)
        yield {**recording, "name": name}
