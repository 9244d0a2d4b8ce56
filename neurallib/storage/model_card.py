"""Model cards: the README.md of a checkpoint directory and of a repository on the Hugging Face hub."""

from __future__ import annotations

import json
import math
import numbers
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from neurallib.architectures import check_state
from neurallib.checks import as_list, as_path, is_list, names_of, text
from neurallib.files import atomic_write
from neurallib.names import hinted
from neurallib.state import State
from neurallib.storage.card_parts import code, facts, limits_of, line, results, training
from neurallib.storage.directories import CARD, LOSS_PLOT
from neurallib.storage.hyperparameters import file_hparams
from neurallib.tasks import describe
from neurallib.weight_files import digest

if TYPE_CHECKING:
    from huggingface_hub import ModelCardData

DIGEST = "weights_sha256"  # of the weights that a card is of, in its head
_HUB_METRICS = {"auroc": "roc_auc", "pearson": "pearsonr"}  # where huggingface.co/metrics calls them otherwise


@hinted
def save_model_card(
    state: State,
    directory: str | Path,
    *,
    metrics: Mapping[str, float] | None = None,
    measured_on: str | None = None,
    intervals: Mapping[str, Sequence[float]] | None = None,
    limits: str | None = None,
    license: str | None = None,
    datasets: Sequence[str] | None = None,
    base_model: str | None = None,
    description: str | None = None,
) -> Path:
    """Write README.md into a checkpoint directory: what the model is, was trained on and for, and code that uses it.

    Channels, units, rate, scales and what outputs mean are what the state says of itself: `sampling_frequency=`,
    `channels=`, `units=` and `outputs=` of training, or of the recordings that it learnt from.

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
    intervals : mapping of str to (low, high), optional
        Of metrics by their names, 95 %; those of others are left out. `evaluate_recordings` gives both: "gross" or
        "average", and "intervals" of each.
    limits : str, optional
        What the model is not for and where it fails, in a sentence or more, beside what every card says.
    license : str, optional
        Of the weights, by its short name, such as "mit" or "cc-by-4.0"; by default the card says that none is stated.
    datasets : sequence of str, optional
        The data that it learnt from, by their names, on the hub where they are there: the hub lists the model by them.
    base_model : str, optional
        The model whose weights it started from, by its name on the hub.
    description : str, optional
        What the model does and for whom, in a sentence or more, below its name.

    Returns
    -------
    Path
        Of the README.md, written atomically. `push_to_hub` takes it along, with its code loading from the repository.

    Raises
    ------
    FileNotFoundError
        If the directory is missing.
    TypeError, ValueError
        If `state` is no state, `directory` no path, another argument is of another type, or `metrics` come without
        `measured_on`.

    See Also
    --------
    evaluate, evaluate_recordings : the metrics of a state, the second with intervals over people.
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
    from huggingface_hub import ModelCard

    state, directory = check_state(state), as_path("directory", directory)
    if metrics is not None and not isinstance(metrics, Mapping):
        raise TypeError(f"metrics is a {type(metrics).__name__}; expected numbers by name, as `evaluate` gives them.")
    if intervals is not None and not isinstance(intervals, Mapping):
        raise TypeError(f"intervals is a {type(intervals).__name__}; expected (low, high) by the name of a metric.")
    _check_measured(metrics or {}, intervals or {})
    if metrics:
        if measured_on is None:
            raise ValueError("measured_on is missing: metrics say nothing without the data they were measured on.")
        text("measured_on", measured_on)
    given = {"limits": limits, "license": license, "base_model": base_model, "description": description}
    for name, said in given.items():
        if said is not None:
            text(name, said)
    named = names_of("datasets", () if datasets is None else datasets)
    datasets = [text(f"datasets[{i}]", name) for i, name in enumerate(named)]
    sections = [
        f"# {line(state['hparams']['model_name'])}",
        (description or "").strip(),
        facts(state, license, datasets, base_model),
        f"## Use\n\n```python\n{code(state, directory)}```",
        limits_of(state, limits),
        results(metrics or {}, measured_on, intervals),
        training(state["training_info"]),
        f"![Loss by epoch]({LOSS_PLOT})" if (directory / LOSS_PLOT).is_file() else "",
        f"## Hyperparameters\n\n```yaml\n{yaml.safe_dump(file_hparams(state), sort_keys=False)}```",
    ]
    body = "\n\n".join(section for section in sections if section)
    data = _metadata(state, metrics or {}, measured_on)
    data[DIGEST] = digest(state["weights"])
    data.license, data.base_model = (None if name is None else str(name) for name in (license, base_model))
    data.datasets = datasets or None
    with atomic_write(path := directory / CARD) as temporary:  # a path need not be UTF-8
        temporary.write_text(str(ModelCard(f"---\n{data.to_yaml()}\n---\n\n{body}\n")), "utf-8", "replace")
    return path


def _check_measured(metrics: Mapping[str, Any], intervals: Mapping[str, Any]) -> None:
    """Raise TypeError unless metrics are numbers, and intervals pairs of them."""
    way = "of evaluate_recordings give result['gross'] and result['intervals']['gross']"
    for name, value in metrics.items():
        if isinstance(value, str) or not isinstance(value, numbers.Real) and getattr(value, "shape", None) != ():
            raise TypeError(f"metrics[{name!r}] is a {type(value).__name__}; expected a number: {way}.")
    for name, pair in intervals.items():
        pair = as_list(pair)
        if not is_list(pair) or len(pair) != 2 or not all(isinstance(side, numbers.Real) for side in pair):
            raise TypeError(f"intervals[{name!r}] is a {type(pair).__name__}; expected (low, high): {way}.")


def check_card(path: Path, state: State) -> None:
    """Raise ValueError if a card says that it is of other weights than a state's; one by hand says nothing of them."""
    said = re.search(rf"^{DIGEST}: '?([0-9a-f]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    if said and said[1] != digest(state["weights"]):
        raise ValueError(
            f"{path} was written for other weights than those beside it: save_model_card(state, directory) writes it "
            f"anew. If all it says is true of these too, take its line {DIGEST} out."
        )


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
        tags=["biosignals", "time-series", task, state["architecture"], *([line(biosignal)] if biosignal else [])],
        metrics=[_HUB_METRICS.get(name, name) for name in metrics] or ["validation_loss"],
        model_name=line(hparams["model_name"]),
        eval_results=results or None,
    )
