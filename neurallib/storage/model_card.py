"""Model cards: the README.md of a checkpoint directory and of a repository on the Hugging Face hub."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from neurallib.architectures import check_state
from neurallib.checks import as_path, text
from neurallib.files import atomic_write
from neurallib.names import hinted
from neurallib.state import Preprocessing, State, count_parameters
from neurallib.storage.original import file_hparams
from neurallib.tasks import describe

if TYPE_CHECKING:
    from huggingface_hub import ModelCardData

CARD, LOSS_PLOT = "README.md", "loss_plot.png"
_HUB_METRICS = {"auroc": "roc_auc", "pearson": "pearsonr"}  # where huggingface.co/metrics calls them otherwise


@hinted
def save_model_card(
    state: State,
    directory: str | Path,
    *,
    metrics: Mapping[str, float] | None = None,
    measured_on: str | None = None,
) -> Path:
    """Write README.md into a checkpoint directory: what the model is, was trained on and for, and code that uses it.

    Parameters
    ----------
    state : State
        What the directory holds.
    directory : path
        Where `save_checkpoint` wrote the state; its loss_plot.png is shown where there is one.
    metrics : mapping of str to float, optional
        Measured results by name, such as what `evaluate` gives; by default the card has none.
    measured_on : str, optional
        The data that they were measured on; required with `metrics`.

    Returns
    -------
    Path
        Of the README.md, written atomically. `push_to_hub` takes it along, with its code loading from the repository.

    Raises
    ------
    FileNotFoundError
        If the directory is missing.
    TypeError, ValueError
        If `state` is no state, `directory` no path, or `metrics` come without `measured_on`.

    See Also
    --------
    evaluate : the metrics of a state.
    push_to_hub : publish the model with its card.

    Examples
    --------
    >>> import tempfile
    >>> import neurallib as nl
    >>> state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1, model_name="RPeaks")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     card = nl.save_model_card(state, folder, metrics={"auroc": 0.99}, measured_on="synthetic ECG").read_text()
    >>> "# RPeaks" in card, "| auroc | 0.99 |" in card
    (True, True)
    """
    state, directory = check_state(state), as_path("directory", directory)
    path = directory / CARD
    card = model_card(state, directory, metrics=metrics, measured_on=measured_on)
    with atomic_write(path) as temporary:
        temporary.write_text(card, encoding="utf-8")
    return path


def model_card(
    state: State, directory: Path, *, metrics: Mapping[str, float] | None = None, measured_on: str | None = None
) -> str:
    """The text that `save_model_card` writes."""
    from huggingface_hub import ModelCard

    if metrics is not None and not isinstance(metrics, Mapping):
        raise TypeError(f"metrics is a {type(metrics).__name__}; expected numbers by name, as `evaluate` gives them.")
    if metrics:
        if measured_on is None:
            raise ValueError("measured_on is missing: metrics say nothing without the data they were measured on.")
        text("measured_on", measured_on)
    sections = [
        f"# {_line(state['hparams']['model_name'])}",
        _description(state),
        f"## Use\n\n```python\n{_code(state, directory)}```",
        _results(metrics or {}, measured_on),
        _training(state["training_info"]),
        f"![Loss by epoch]({LOSS_PLOT})" if (directory / LOSS_PLOT).is_file() else "",
        f"## Hyperparameters\n\n```yaml\n{yaml.safe_dump(file_hparams(state), sort_keys=False)}```",
    ]
    body = "\n\n".join(section for section in sections if section)
    data = _metadata(state, metrics or {}, measured_on)
    return str(ModelCard(f"---\n{data.to_yaml()}\n---\n\n{body}\n"))


def for_repository(card: str, repo_id: str) -> str:
    """A directory's card with its code loading from a repository instead; all else, such as notes by hand, stays."""
    card = card.replace("from neurallib.checkpoints import load_checkpoint", "import neurallib as nl")  # cards of 0.1
    return re.sub(r'(nl\.)?load_checkpoint\("[^\n]*"\)', lambda _: f"nl.load_from_hub({json.dumps(repo_id)})", card)


def _metadata(state: State, metrics: Mapping[str, float], measured_on: str | None) -> ModelCardData:
    from huggingface_hub import EvalResult, ModelCardData

    hparams, info = state["hparams"], state["training_info"]
    task = "time-series-regression" if describe(state).kind == "regression" else "time-series-classification"
    results = [
        EvalResult(
            task_type=task,
            dataset_type=re.sub(r"[^a-z0-9]+", "-", str(measured_on).lower()).strip("-") or "data",
            dataset_name=str(measured_on),
            metric_type=_HUB_METRICS.get(name, name),
            metric_name=name,
            metric_value=float(value),
        )
        for name, value in metrics.items()
        if math.isfinite(value)  # an AUROC of one class is nan, which the hub's index cannot hold
    ]
    biosignal = info.get("biosignal")
    return ModelCardData(
        library_name="neurallib",
        # the hub knows no pipeline of signals in, labels or signals out: forecasting is its only one of time series
        pipeline_tag="other",
        tags=["biosignals", "time-series", task, state["architecture"], *([_line(biosignal)] if biosignal else [])],
        metrics=[_HUB_METRICS.get(name, name) for name in metrics] or ["validation_loss"],
        model_name=_line(hparams["model_name"]),
        eval_results=results or None,
    )


def _description(state: State) -> str:
    info, preprocessing = state["training_info"], state["preprocessing"]
    trained, transfer = _is_trained(info), info.get("transfer") or {}
    facts = {
        "Trained for": info.get("task") or "not recorded" if trained else "nothing yet: the weights are as they came",
        "Trained on": info.get("train_dataset") or "not recorded" if trained else "nothing yet",
        **{f"Layers of {source['model_name']}": _origin(source) for source in transfer.get("sources", [])},
        "Architecture": f"{state['architecture']}, {count_parameters(state['weights']):,} weights",
        "Output": _output(state),
        **_scales(preprocessing),
    }
    return "\n".join(f"- **{name}:** {_line(value)}" for name, value in facts.items())


def _scales(known: Preprocessing) -> dict[str, str]:
    """What stands between a recording and the answer, in words."""
    frequency, window, channels, units = known["sampling_frequency"], known["window"], known["channels"], known["units"]
    words = {
        None: "not recorded",
        "dataset": f"each channel by {_numbers(known['x_shift'], known['x_scale'])}, which `predict` applies",
    }
    own = f"{known['normalization']} of each signal, which `predict` applies"
    of_target = {
        "dataset": f"by {_numbers(known['y_shift'], known['y_scale'])}, which `predict` undoes",
        "signal": "by what their signals are normalized with, which `predict` undoes",
    }
    facts = {"Sampling frequency": "not recorded", "Normalization": words.get(known["normalization"], own)}
    if frequency is not None:
        facts["Sampling frequency"] = f"{frequency:g} Hz; with `sampling_frequency` given, `predict` resamples others"
    if known["target_normalization"] is not None:
        facts["Targets"] = of_target[known["target_normalization"]]
    if window is not None:
        unit = "samples" if frequency is None else "s"
        facts["Window"] = f"{window:g} {unit}: longer signals are taken in windows that overlap by half"
    if both := channels or units:
        names = channels or [f"channel {i}" for i in range(len(both))]
        named = zip(names, units or ["unit not recorded"] * len(both))
        facts["Channels"] = ", ".join(f"{name} ({unit})" for name, unit in named)
    return facts


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
    names = f": {', '.join(task.names)}" if task.names else ""
    return f"{what}, {'once a signal' if task.seq2one else 'at each sample'}{names}"


def _code(state: State, directory: Path) -> str:
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
        f"print(output.shape)  # {shape}\n"
    )


def _results(metrics: Mapping[str, float], measured_on: str | None) -> str:
    if not metrics:
        return ""
    rows = [f"| {_line(name)} | {value:.4g} |" for name, value in metrics.items()]
    return "\n".join([f"## Results\n\nOn {_line(measured_on)}:\n", "| metric | value |", "| --- | --- |", *rows])


def _training(info: Mapping[str, Any]) -> str:
    """The runs that made the weights, the first one first."""
    runs = []
    while isinstance(info, Mapping) and _is_trained(info):
        runs.append(info)
        info = info.get("training_history") or {}
    columns = {"trained on": "train_dataset", "for": "task", "epochs": "epochs", "validation loss": "validation_loss"}
    rows = [
        f"| {i} | " + " | ".join(_line(run.get(name, "")) for name in columns.values()) + " |"
        for i, run in enumerate(reversed(runs), start=1)
    ]
    head = ["| run | " + " | ".join(columns) + " |", "| --- |" + " --- |" * len(columns)]
    return "\n".join(["## Training\n", *head, *rows]) if rows else ""


def _line(value: Any) -> str:
    """A value within one line and one cell of a table; published files hold some of many lines."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return " ".join(str(value).split()).replace("|", "\\|")
