"""What a state or a function answers of a recording, in the forms that are scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neurallib.measures.intervals import as_intervals
from neurallib.names import listing
from neurallib.prediction.denoised import denoise_recording
from neurallib.prediction.long_recordings import predict_recording
from neurallib.prediction.r_peaks import find_r_peaks
from neurallib.prediction.stream_events import event_settings
from neurallib.signals.annotations import check_apart, mean_beats, tell_if_none
from neurallib.signals.dataset_targets import outputs_of
from neurallib.signals.event_finding import find_events
from neurallib.signals.intervals import find_intervals
from neurallib.signals.outputs import as_values
from neurallib.signals.peaks import as_samples
from neurallib.signals.recording_parts import Recording, events_of, n_channels_of, name_of
from neurallib.state import Preprocessing, State, changed
from neurallib.tasks import EVENTS_OF_ONE, Task, check_order, describe
from neurallib.warn import warn

ANSWERED = ("events", "classes", "intervals", "denoising")
TASKS = {"binary": ANSWERED[:3], "multiclass": ANSWERED[1:3], "regression": ANSWERED[3:]}
_FAR = 3.0  # times as far as both spread: of a pressure from its pulse wave, not of a signal from what disturbs it


def tasks_of(state: State, known: Task) -> tuple[str, ...]:
    """What a state can be measured by, the usual first, or an error where it is made for something else."""
    if known.kind == "multilabel":
        one = "lambda r: (answer := nl.predict_recording(state, r)) | {'output': answer['output'][:, 0]}"
        options = f"with task='classes' and names={['no', known.output_names[0]]}"
        events = "" if known.seq2one else f"events of lambda r: {EVENTS_OF_ONE}, or classes "
        expected = f"expected one label at a time, {events}of a function: {one}, {options}"
        raise ValueError(f"this state is for {known}; {expected}.")
    if known.kind == "regression" and (known.seq2one or known.n_outputs != known.n_features):
        gives = f"{known.n_outputs} a {'signal' if known.seq2one else 'step'} of {known.n_features} features"
        expected = "expected as many a step: evaluate and value_scores measure it"
        raise ValueError(f"this state's outputs, {gives}, are no denoised signal; {expected}.")
    if _on_a_scale_of_their_own(state["preprocessing"]):
        warn(
            "this state learnt targets on a scale of their own, as of rates or pressures; they are scored as a "
            "denoised signal is, against the signal without noise. evaluate and value_scores measure other values."
        )
    return TASKS[known.kind][known.kind == "binary" and known.seq2one :]


def _on_a_scale_of_their_own(scales: Preprocessing) -> bool:
    """Whether targets were scaled by all of them and their signals each by itself, or by levels far from theirs."""
    if scales["target_normalization"] != "dataset" or scales["normalization"] != "dataset":
        return scales["target_normalization"] == "dataset"
    level, size = np.array(scales["y_shift"]), np.array(scales["y_scale"])
    n = len(level)  # of signals what stands before the filtered ones beside them
    away = np.abs(level - np.array(scales["x_shift"])[:n])
    return bool((away > _FAR * (size + np.array(scales["x_scale"])[:n])).any())


def scored_names(known: Task, task: str, names: Sequence[str] | None, target: Any) -> Sequence[str] | None:
    """Of the classes, or of the intervals that count, by default the state's outputs."""
    if task == "intervals" and known.kind == "binary":
        return known.names if names is None else names
    if task == "intervals" and (names is None or not set(names) & set(known.output_names)):
        expected = f"expected which of the state's outputs are the intervals: {listing(known.output_names)}"
        raise ValueError(f"names={names!r}; {expected}.")
    if task == "events":
        return names  # by default beats, whatever the output is called
    if names is None and known.kind == "binary":  # its output is yes alone
        names = ["no", *(known.names or ["yes"])] if target is not None else None
    elif names is None:
        names = known.output_names
    if task != "classes":
        return names
    if names is not None and len(names) < max(known.n_outputs, 2):
        raise ValueError(f"names has {len(names)}; expected one for each of {max(known.n_outputs, 2)} classes.")
    for what, said in (("names", names or ()), ("the classes of target", outputs_of(target) or ())):
        first = ["no"] if known.kind == "binary" and len(said) == 2 else []
        check_order(what, said, "the state", [*first, *(known.names or ())])
    return names


def answer_of_state(
    state: State, task: str, names: Sequence[str] | None, gpu_id: int | None, finding: Mapping[str, float],
    recording: Recording,
) -> Any:  # fmt: skip
    """Of "events" their samples, which are no R-peaks where the state's output, or without a name of its own `names`,
    is something else. Or what `predict_recording` gives: with the classes of a binary state for its probabilities where
    classes are asked for; with options `finding` of `find_intervals` what it makes of it where intervals are; of a
    denoiser of one channel what `denoise_recording` makes of each."""
    if task == "events":
        post = state["postprocessing"]
        if post["outputs"] is None and names and not mean_beats(names):
            state = changed(state, weights=state["weights"], postprocessing={**post, "outputs": [names[0]]})
        return find_r_peaks(state, recording, gpu_id=gpu_id)
    known = describe(state)
    of_any = known.n_features == known.n_outputs == 1 and state["preprocessing"]["channels"] is None
    if task == "denoising" and of_any:
        only = [0] if n_channels_of(recording["signal"]) == 1 else None  # whatever its name
        return denoise_recording(state, recording, channels=only, gpu_id=gpu_id)["signal"]
    answer = predict_recording(state, recording, gpu_id=gpu_id)
    if task == "intervals":
        said = state["postprocessing"]["events"] if known.kind == "binary" else {}
        settings = {name: said[name] for name in ("threshold", "smoothing") if name in said} | dict(finding)
        found = find_intervals(answer, names=known.names, **settings)
        return found if known.kind != "binary" else _pairs(found, found["class"] == 1)
    if task == "classes" and known.kind == "binary":
        output, threshold = answer["output"], event_settings(state)["threshold"]
        answer["output"] = np.where(np.isnan(output), -1, output > threshold)
    return answer


def values_of(answer: Any) -> np.ndarray:
    """The numbers of an answer."""
    if answer is None:
        raise TypeError("an answer is None; expected an array, or a dict with 'output': does the function return it?")
    if not isinstance(answer, Mapping):
        return np.asarray(answer)
    for name in ("output", "events"):  # of predict_recording
        if name in answer:
            return np.asarray(answer[name])
    raise TypeError(f"an answer is a dict of {listing(map(str, answer))}; expected an array, or a dict with 'output'.")


def columns_of(answer: Any, recording: Recording) -> np.ndarray:
    """The same, float64 [T, C]."""
    values = as_values(values_of(answer), f"an answer for {name_of(recording)}")
    return (values[:, None] if values.ndim == 1 else values).astype(np.float64)


def true_intervals(recording: Recording, names: Sequence[str]) -> np.ndarray:
    """float64 [n, 2], seconds from and to, of what is annotated with one of the names, of which a recording may have
    none."""
    if recording.get("events") is None:
        raise ValueError(f"{name_of(recording)} says no events, not even that there are none; expected its truth.")
    tell_if_none(recording, names, "names", lasting=True)
    check_apart(recording, names)
    samples, symbols, duration = events_of(recording)
    chosen = np.array([symbol in names for symbol in symbols], bool)
    wanted = {"sample": samples[chosen], "symbol": np.array(symbols)[chosen], "duration": duration[chosen]}
    return as_intervals(wanted, name_of(recording), names, float(recording["sampling_frequency"]))


def intervals_of(
    answer: Any, recording: Recording, names: Sequence[str] | None, outputs: Sequence[str] | None,
    finding: Mapping[str, float], what: str = "answer for",
) -> np.ndarray:  # fmt: skip
    """float64 [n, 2], seconds from and to, of an answer of intervals, or of classes or probabilities by step or window,
    which `finding` says options of `find_intervals` for, those of a yes or with one of the names."""
    n_steps, rate = len(recording["signal"]), float(recording["sampling_frequency"])
    said, what = answer if isinstance(answer, Mapping) else {}, f"the {what} {name_of(recording)}"
    values = None if said and "output" not in said else np.atleast_1d(as_values(said.get("output", answer), what))
    if values is None or not said and (values.size == 0 or values.ndim == 2 and len(values) != n_steps):
        if finding:
            expected = "expected them without: find_intervals, which gave them, takes both"
            raise ValueError(f"interval_options has {listing(finding)}, and {what} has intervals already; {expected}.")
        if "name" in said:
            chosen = np.array([name in (names or said["name"]) for name in said["name"]], bool)
            pairs = _pairs(said, chosen)
        else:
            pairs = as_intervals(answer, what, names, rate)
    else:
        if len(values) not in (n_steps, len(said.get("windows", ()))):
            raise ValueError(f"{what} has {len(values)} values; expected {n_steps}, or intervals [n, 2] in seconds.")
        one = values.ndim == 1 or values.shape[1] == 1
        yes = one and (values.dtype.kind == "f" or values.max() <= 1)
        told = said.get("outputs") or outputs
        held = {"sampling_frequency": rate, **said, "output": values}
        found = find_intervals(held, names=None if yes else told, **finding)
        if yes or set(names or ()) & set(told or ()):
            pairs = _pairs(found, found["class"] == 1 if yes else np.isin(found["name"], list(names or ())))
        else:
            pairs = as_intervals(found, what, names, rate)
    if len(pairs) and pairs[-1, 1] > n_steps / rate + 1:
        length = f"expected seconds of the recording, which lasts {n_steps / rate:g} s"
        raise ValueError(f"{what} has an interval that ends at {pairs[-1, 1]:g} s; {length}.")
    return pairs


def _pairs(found: Mapping[str, Any], chosen: np.ndarray) -> np.ndarray:
    start = np.asarray(found["onset"], np.float64)[chosen]
    return np.stack([start, start + np.asarray(found["duration"], np.float64)[chosen]], axis=1)


def as_events(answer: Any, recording: Recording) -> np.ndarray:
    """Events as sorted samples; probabilities become events first."""
    values, n_steps = np.atleast_1d(values_of(answer)), len(recording["signal"])
    what = f"the answer for {name_of(recording)}"
    if values.dtype.kind == "f" and len(values):
        if len(values) != n_steps:
            expected = f"whole numbers of samples, or {n_steps} probabilities"
            raise TypeError(f"{what} has {len(values)} floats; expected {expected}.")
        values = find_events(values, float(recording["sampling_frequency"]))
    elif len(values) == n_steps and len(values) > 2 and values.max() <= 1:
        raise ValueError(f"{what} is a mask of 0 and 1; expected samples: np.flatnonzero.")
    samples = np.sort(as_samples(what, values))
    if len(samples) and not 0 <= samples[0] <= samples[-1] <= n_steps:
        expected = f"expected samples of the recording, which has {n_steps}, at its own rate"
        raise ValueError(f"{what} goes from {samples[0]} to {samples[-1]}; {expected}.")
    return samples
