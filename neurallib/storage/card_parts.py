"""The sections of a model card, each from what a state holds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from neurallib.signals.conversion import goes_on
from neurallib.state import State, count_parameters
from neurallib.tasks import describe


def facts(state: State, license: str | None, datasets: Sequence[str] | None, base_model: str | None) -> str:
    """What the model is, a fact a line."""
    info = state["training_info"]
    trained, transfer = _is_trained(info), info.get("transfer") or {}
    said = {
        "Trained for": info.get("task") or "not recorded" if trained else "nothing yet: the weights are as they came",
        "Trained on": info.get("train_dataset") or "not recorded" if trained else "nothing yet",
        **{f"Layers of {source['model_name']}": _origin(source) for source in transfer.get("sources", [])},
        **({"Datasets": ", ".join(datasets)} if datasets else {}),
        **({"Base model": base_model} if base_model else {}),
        "Architecture": f"{state['architecture']}, {count_parameters(state['weights']):,} weights",
        "Output": _output(state),
        **_scales(state),
        "Licence": license or "not stated",
    }
    return "\n".join(f"- **{name}:** {line(value)}" for name, value in said.items())


def _scales(state: State) -> dict[str, str]:
    """What stands between a recording and the answer, in words."""
    known = state["preprocessing"]
    frequency, channels, units = known["sampling_frequency"], known["channels"], known["units"]
    names = channels or [f"channel {i}" for i in range(len(units or ()))]
    named = zip(names, units or ["unit not recorded"] * len(names))
    rate, window = "not recorded", ""
    if frequency is not None:
        rate = f"{frequency:g} Hz; with `sampling_frequency` given, `predict` resamples others"
    if known["window"] is not None:
        how = "heard in one pass" if goes_on(state) else "taken in windows that overlap by half"
        window = f"{known['window']:g} {'samples' if frequency is None else 's'}: longer signals are {how}"
    of_signals = {
        None: "not recorded",
        "dataset": f"each channel by {_numbers(known['x_shift'], known['x_scale'])}, which `predict` applies",
    }
    of_targets = {
        None: "",
        "dataset": f"by {_numbers(known['y_shift'], known['y_scale'])}, which `predict` undoes",
        "signal": "by what their signals are normalized with, which `predict` undoes",
    }
    own = f"{known['normalization']} of each signal, which `predict` applies"
    said = {
        "Channels": ", ".join(f"{name} ({unit})" for name, unit in named) or "not recorded, nor their units",
        "Sampling frequency": rate,
        "Normalization": of_signals.get(known["normalization"], own),
        "Filters before it, which `predict` applies": ", then ".join(map(_step, known["steps"] or ())),
        "Targets": of_targets[known["target_normalization"]],
        "Window": window,
    }
    return {name: fact for name, fact in said.items() if fact}


def _step(step: Mapping[str, Any]) -> str:
    """One of the steps, as "band (low 5, high 30, beside)"."""
    said = ", ".join(key if value is True else f"{key} {value}" for key, value in step.items() if key != "name")
    return f"{step['name']} ({said})"


def _numbers(*shift_and_scale: list[float] | None) -> str:
    shift, scale = (", ".join(f"{value:.4g}" for value in values or []) for values in shift_and_scale)
    return f"shift {shift} and scale {scale} of the training data"


def _origin(source: Mapping[str, Any]) -> str:
    """Which share of a model is another's, and what that one learnt."""
    learnt = [f"{word} {source[name]}" for word, name in (("on", "train_dataset"), ("for", "task")) if source.get(name)]
    share = f"{source['share']:.0%} of the weights started as its {', '.join(source['layers'].values())}"
    return f"{share}; it was trained {' '.join(learnt)}" if learnt else share


def _is_trained(info: Mapping[str, Any]) -> bool:
    return bool(info.keys() - {"transfer", "class_weight", "checkpoints_directory"})


def _output(state: State) -> str:
    task = describe(state)
    k = task.n_outputs
    what = {
        "binary": "the probability of one class",
        "multilabel": f"the probability of each of {k} classes, which may hold together",
        "multiclass": f"the probabilities of {k} classes, which exclude each other",
        "regression": f"{k} value{'s' if k > 1 else ''}",
    }[task.kind]
    names = f": {', '.join(task.names)}" if task.names else "; what it means is not recorded"
    return f"{what}, {'once a signal' if task.seq2one else 'at each sample'}{names}"


def code(state: State, directory: Path) -> str:
    """A program that runs as it stands: noise in, the output, and what answers are made of it."""
    task = describe(state)
    n_features, k, seq2one = task.n_features, task.n_outputs, task.seq2one
    frequency = state["preprocessing"]["sampling_frequency"]
    shape = f"[{k}]" if seq2one else f"[500, {k}]"
    return (
        "import numpy as np\n"
        "\n"
        "import neurallib as nl\n"
        "\n"
        f"state = nl.load_checkpoint({json.dumps(str(directory.resolve()), ensure_ascii=False)})\n"
        f"# your signal [T, {n_features}]{'' if frequency is None else f', at {frequency:g} Hz,'} in place of noise\n"
        f"signal = np.random.default_rng(0).standard_normal((500, {n_features}))\n"
        f"(output,) = nl.predict(state, [signal])\n"
        f"{_answers(state)}"
        f"print(output.shape)  # {shape}\n"
    )


def _answers(state: State) -> str:
    """How an output becomes events, intervals or a class; nothing of a regression."""
    task = describe(state)
    names = list(task.output_names)
    rate = state["preprocessing"]["sampling_frequency"]
    hertz, said = (f"{rate:g}", "") if rate is not None else ("250", "; your signal's Hz in place of 250")
    if task.kind == "regression":
        return ""
    if task.seq2one:
        taken = f"{names}[output.argmax()]" if task.kind == "multiclass" else "output > 0.5"
        return f"answer = {taken}\n"
    if task.kind == "multiclass":
        return f"intervals = nl.find_intervals(output, {hertz}, names={names})  # in seconds{said}\n"
    held = state["postprocessing"]["events"]
    known = {key: held.get(key) for key in ("threshold", "min_distance", "smoothing", "delay")}
    settings = "".join(f", {key}={value:g}" for key, value in known.items() if isinstance(value, (int, float)))
    which = "" if task.kind == "binary" else f", of {line(names[0])}"
    return f"events = nl.find_events(output[:, 0], {hertz}{settings})  # samples{which}{said}\n"


def limits_of(state: State, more: str | None) -> str:
    """What the model is not for, as far as its state tells, and what its author adds."""
    info, hparams = state["training_info"], state["hparams"]
    told = ["It is no medical device: not for diagnosis, nor to watch over patients."]
    if _is_trained(info):
        data = info.get("train_dataset") or "data that are not recorded"
        told.append(f"It learnt from {line(data)}: how it does on other people and devices has to be measured there.")
    if hparams.get("bidirectional"):
        told.append("An answer depends on what comes after it: it is not for streams.")
    if more:
        told.append(more.strip())
    return "\n".join(["## Limits\n", *(f"- {each}" for each in told)])


def results(
    metrics: Mapping[str, float], measured_on: str | None, intervals: Mapping[str, Sequence[float]] | None
) -> str:
    """What was measured, with intervals where they are known."""
    if not metrics:
        return ""
    known = {
        name: f"{low:.4g} to {high:.4g}" for name, (low, high) in (intervals or {}).items()
        if name in metrics and math.isfinite(low) and math.isfinite(high)
    }  # fmt: skip
    head = ["| metric | value |" + " 95 % interval |" * bool(known), "| --- | --- |" + " --- |" * bool(known)]
    rows = [
        f"| {line(name)} | {value:.4g} |" + f" {known.get(name, '')} |" * bool(known) for name, value in metrics.items()
    ]
    return "\n".join([f"## Results\n\nOn {line(measured_on)}:\n", *head, *rows])


def training(info: Mapping[str, Any]) -> str:
    """The runs that made the weights, the first one first."""
    runs = []
    while isinstance(info, Mapping) and _is_trained(info):
        runs.append(info)
        info = info.get("training_history") or {}
    columns = {"trained on": "train_dataset", "for": "task", "epochs": "epochs", "validation loss": "validation_loss"}
    rows = [
        f"| {i} | " + " | ".join(line(run.get(name, "")) for name in columns.values()) + " |"
        for i, run in enumerate(reversed(runs), start=1)
    ]
    head = ["| run | " + " | ".join(columns) + " |", "| --- |" + " --- |" * len(columns)]
    return "\n".join(["## Training\n", *head, *rows]) if rows else ""


def line(value: Any) -> str:
    """A value within one line and one cell of a table; published files hold some of many lines."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return " ".join(str(value).split()).replace("|", "\\|")
