"""What a state or a function answers of a recording, in the forms that are scored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neurallib.names import listing
from neurallib.prediction.denoised import denoise_recording
from neurallib.prediction.long_recordings import predict_recording
from neurallib.prediction.r_peaks import find_r_peaks
from neurallib.prediction.stream_events import event_settings
from neurallib.signals.event_finding import find_events
from neurallib.signals.peaks import as_samples
from neurallib.signals.recording_parts import Recording, n_channels_of, name_of
from neurallib.state import State
from neurallib.tasks import Task, describe

ANSWERED = ("events", "classes", "denoising")
TASKS = {"binary": ANSWERED[:2], "multiclass": ANSWERED[1:2], "regression": ANSWERED[2:]}


def tasks_of(known: Task) -> tuple[str, ...]:
    """What a state can be measured by, the usual first, or an error where it is made for something else."""
    if known.kind == "multilabel":
        one = "lambda r: (answer := nl.predict_recording(state, r)) | {'output': answer['output'][:, 0]}"
        options = f"with task='classes' and names={['no', known.output_names[0]]}"
        raise ValueError(f"this state is for {known}; expected one label at a time, of a function: {one}, {options}.")
    if known.kind == "regression" and (known.seq2one or known.n_outputs != known.n_features):
        gives = f"{known.n_outputs} a {'signal' if known.seq2one else 'step'} of {known.n_features} features"
        expected = "expected as many a step: evaluate and value_scores measure it"
        raise ValueError(f"this state's outputs, {gives}, are no denoised signal; {expected}.")
    return TASKS[known.kind][known.kind == "binary" and known.seq2one :]


def answer_of_state(state: State, task: str, gpu_id: int | None, recording: Recording) -> Any:
    """Of "events" their samples, else what `predict_recording` gives: with the classes of a binary state for its
    probabilities where classes are asked for; of a denoiser of one channel what `denoise_recording` makes of each."""
    if task == "events":
        return find_r_peaks(state, recording, gpu_id=gpu_id)
    known = describe(state)
    of_any = known.n_features == known.n_outputs == 1 and state["preprocessing"]["channels"] is None
    if task == "denoising" and of_any:
        only = [0] if n_channels_of(recording["signal"]) == 1 else None  # whatever its name
        return denoise_recording(state, recording, channels=only, gpu_id=gpu_id)["signal"]
    answer = predict_recording(state, recording, gpu_id=gpu_id)
    if task == "classes" and known.kind == "binary":
        output, threshold = answer["output"], event_settings(state)["threshold"]
        answer["output"] = np.where(np.isnan(output), -1, output > threshold)
    return answer


def values_of(answer: Any) -> np.ndarray:
    """The numbers of an answer."""
    if not isinstance(answer, Mapping):
        return np.asarray(answer)
    for name in ("output", "events"):  # of predict_recording
        if name in answer:
            return np.asarray(answer[name])
    raise TypeError(f"an answer is a dict of {listing(map(str, answer))}; expected an array, or a dict with 'output'.")


def columns_of(answer: Any) -> np.ndarray:
    """The same, float64 [T, C]."""
    values = values_of(answer)
    return (values[:, None] if values.ndim == 1 else values).astype(np.float64)


def as_events(answer: Any, recording: Recording) -> np.ndarray:
    """Events as sorted samples; probabilities become events first."""
    values = values_of(answer)
    if values.dtype.kind == "f" and len(values):
        if len(values) != len(recording["signal"]):
            expected = f"whole numbers of samples, or {len(recording['signal'])} probabilities"
            raise TypeError(f"the answer for {name_of(recording)} has {len(values)} floats; expected {expected}.")
        values = find_events(values, float(recording["sampling_frequency"]))
    elif len(values) == len(recording["signal"]) and len(values) > 2 and values.max() <= 1:
        raise ValueError(f"the answer for {name_of(recording)} is a mask of 0 and 1; expected samples: np.flatnonzero.")
    samples = np.sort(as_samples(f"the answer for {name_of(recording)}", values))
    if len(samples) and not 0 <= samples[0] <= samples[-1] <= len(recording["signal"]):
        least, most = samples[0], samples[-1]
        expected = f"expected samples of the recording, which has {len(recording['signal'])}, at its own rate"
        raise ValueError(f"the answer for {name_of(recording)} goes from {least} to {most}; {expected}.")
    return samples
