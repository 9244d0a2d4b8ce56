"""The trials of a search: what tells them apart, how one runs on a worker, and the record that it leaves."""

from __future__ import annotations

import csv
import hashlib
import inspect
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypedDict, cast

import torch

from neurallib.architectures import ARCHITECTURES
from neurallib.checks import per_layer
from neurallib.files import atomic_write, read_json, write_json
from neurallib.forks import check_threads
from neurallib.locks import held, holder
from neurallib.models.folding import input_hparams
from neurallib.models.registry import build_network
from neurallib.signals.folders import open_folder
from neurallib.state import Hparams, State, count_parameters
from neurallib.storage.directories import weights_path
from neurallib.tasks import n_outputs
from neurallib.training.optimization import make_optimizer
from neurallib.warn import dispensable, warn
from neurallib.workflow.from_scratch import train_from_scratch
from neurallib.workflow.on_folders import FOLDER

# Where and how a trial runs; its files are told apart by their names, sizes and times instead of by their folder.
_NOT_OF_THE_RESULT = {
    "state", "path_x", "path_y", "gpu_id", "results_directory", "memory_budget", "enable_progress_bar",
    "classification", "dry_run", "resume", "checkpoint_every", "devices", "num_nodes", "strategy",
}  # fmt: skip


class TrialResult(TypedDict):
    """What a search knows of one trial.

    Attributes
    ----------
    trial : str
        A digest of all that it was made of.
    status : str
        "finished" or "failed"; the leaderboard also has "impossible" and "earlier".
    hparams : dict
        The factory's arguments, as they were asked for.
    validation_loss : float
        Of the weights that were kept: the lowest, unless another `monitor` chose them; infinity where there is none.
    best_epoch : int or None
        The epoch that had it, from 1.
    epochs : int or None
        How many epochs were run.
    n_weights : int or None
        How many numbers the model holds.
    training_time : float or None
        Seconds.
    checkpoints_directory : str or None
        Where the model is; `load_checkpoint` reads it.
    error : str or None
        Why it failed, or cannot be.

    See Also
    --------
    grid_search : gives a list of them.

    Examples
    --------
    >>> import neurallib as nl
    >>> result = nl.TrialResult(
    ...     trial="3f2a9c01b7de", status="finished", hparams={"hid_dim": 8}, validation_loss=0.2, best_epoch=3,
    ...     epochs=5, n_weights=297, training_time=1.5, checkpoints_directory=None, error=None,
    ... )
    >>> f"{result['validation_loss']} in epoch {result['best_epoch']}"
    '0.2 in epoch 3'
    """

    trial: str
    status: str
    hparams: Hparams
    validation_loss: float
    best_epoch: int | None
    epochs: int | None
    n_weights: int | None
    training_time: float | None
    checkpoints_directory: str | None
    error: str | None


class Trial(NamedTuple):
    """A trial as a worker gets it."""

    digest: str
    architecture: str
    hparams: Hparams  # as they were asked for, the seed among them
    train_params: Mapping[str, Any]
    n_threads: int
    record: Path  # {results}/{model_name}/grid_search/{digest}.json, written when it is finished


def make_trials(
    architecture: str,
    combinations: Iterable[tuple[Hparams, Hparams]],
    train_params: Mapping[str, Any],
    n_threads: int,
    directory: Path,
) -> list[Trial]:
    """The trials of combinations (as asked for, as checked), each once, whatever words lead to it."""
    shared = json.dumps([architecture, _training(train_params)], sort_keys=True)
    params = {"enable_progress_bar": False, **train_params, "results_directory": str(directory.parent.parent)}
    factory = inspect.signature(ARCHITECTURES[architecture].factory)
    trials = {}
    for asked, hparams in combinations:
        seed = asked.get("seed", factory.parameters["seed"].default)
        folds = [fold] if (fold := asked.get("fold", 1)) != 1 else []
        more = [asked[name] for name in ("steps", "residual") if asked.get(name)]
        own = json.dumps([_model(architecture, hparams), seed, *folds, *more], sort_keys=True)
        digest = hashlib.sha256((shared + own).encode()).hexdigest()[:12]
        trials[digest] = Trial(digest, architecture, asked, params, n_threads, directory / f"{digest}.json")
    return list(trials.values())


def run_trial(trial: Trial) -> TrialResult:
    """Train one trial, in whatever process this is, and record its result; or wait for another search that does, and
    read its record."""
    check_threads(trial.n_threads)
    with held(_lock_path(trial)):  # who waits for it looks for the record first
        return recorded(trial) or _train(trial)


def is_held(trial: Trial) -> bool:
    """Whether another process, or another thread of this one, trains the trial just now."""
    return holder(_lock_path(trial)) is not None


def _lock_path(trial: Trial) -> Path:
    return trial.record.with_name(f".{trial.record.stem}.lock")


def _train(trial: Trial) -> TrialResult:
    n_threads = torch.get_num_threads()
    torch.set_num_threads(trial.n_threads)
    try:
        state = ARCHITECTURES[trial.architecture].factory(**trial.hparams)
        _warm_up(state)
        state = train_from_scratch(state, **{**trial.train_params, "resume": True})  # where it was killed
    finally:
        torch.set_num_threads(n_threads)
    info = state["training_info"]
    if info["interrupted"]:
        raise KeyboardInterrupt  # `train` has kept the best weights so far; the search is not to go on
    told = {name: info[name] for name in ("validation_loss", "best_epoch", "epochs", "training_time")}
    result = make_result(
        "finished", trial.hparams, trial=trial.digest, **told, n_weights=count_parameters(state["weights"]),
        checkpoints_directory=info["checkpoints_directory"],
    )  # fmt: skip
    within = Path(os.path.relpath(info["checkpoints_directory"], trial.train_params["results_directory"])).as_posix()
    with dispensable(trial.record):
        write_json(trial.record, {**result, "checkpoints_directory": within})  # the results may be moved together
    return result


def _warm_up(state: State) -> None:
    """Import the loop and compile or load the kernels, which a process does once: no trial's `training_time` has it."""
    from neurallib.training import lightning  # noqa: F401

    network, lengths = build_network(state).eval(), torch.tensor([2])  # nothing is drawn
    optimizer, _ = make_optimizer(network, state["hparams"])
    x, y = (torch.zeros(1, 2, size) for size in (input_hparams(state)["n_features"], n_outputs(state["hparams"])))
    network(x, lengths, y).sum().backward()
    optimizer.step()
    with torch.no_grad():
        network(x, lengths)


def recorded(trial: Trial) -> TrialResult | None:
    """The result of a trial that was finished before, as long as its model is there."""
    found = _read_record(trial.record) if trial.record.is_file() else None
    return found and cast(TrialResult, {**found, "hparams": trial.hparams})  # which may say the same in other words


def make_result(status: str, hparams: Hparams, **more: Any) -> TrialResult:
    """A result of which all is unknown but what is given."""
    unknown = dict.fromkeys(TrialResult.__annotations__) | {"validation_loss": math.inf}
    return cast(TrialResult, unknown | {"status": status, "hparams": dict(hparams)} | more)


def write_leaderboard(path: Path, results: Sequence[TrialResult], varied: Sequence[str]) -> None:
    """Results in their order, what varied first; then what earlier searches left in the same directory."""
    here = {result["trial"] for result in results}
    records = (_read_record(record) for record in sorted(path.parent.glob("*.json")) if record.stem not in here)
    earlier = [cast(TrialResult, {**record, "status": "earlier"}) for record in records if record is not None]
    others = [name for name in TrialResult.__annotations__ if name not in ("hparams", "status", "validation_loss")]
    with (
        dispensable(path),
        atomic_write(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["rank", "status", "validation_loss", *varied, *others, "hparams"])
        for rank, result in enumerate([*results, *earlier], 1):
            loss = result["validation_loss"] if result["status"] in ("finished", "earlier") else ""
            hparams = [result["hparams"].get(name, "") for name in varied]
            told = [result[name] for name in others]  # type: ignore[literal-required]
            head = [rank if result["status"] == "finished" else "", result["status"], loss]
            writer.writerow([*head, *hparams, *told, json.dumps(result["hparams"])])


def _training(train_params: Mapping[str, Any]) -> list[Any]:
    """All that makes a training beside the model: every argument, given or by default, and every file."""
    bound = inspect.signature(train_from_scratch).bind(None, **train_params)
    bound.apply_defaults()
    known = bound.arguments | bound.arguments.pop("trainer_options")
    folders = [open_folder(part=part, **{name: known[name] for name in FOLDER}) for part in ("train", "val")]
    files = dict.fromkeys(path for folder in folders for path in [*folder.paths_x, *folder.paths_y])
    stats = [(path.parent.name, path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return [{name: known[name] for name in known if name not in _NOT_OF_THE_RESULT}, stats]


def _model(architecture: str, hparams: Hparams) -> Hparams:
    """Hyperparameters in one form: a value for each layer, and what others imply left out."""
    entry = ARCHITECTURES[architecture]
    lists = {name: per_layer(name, hparams[name], hparams["n_layers"]) for name in entry.per_layer}
    return {name: value for name, value in (hparams | lists).items() if name not in entry.implied}


def _read_record(path: Path) -> TrialResult | None:
    """A finished trial with an absolute path; None, with a warning where it is broken, if it cannot be used."""
    try:
        record = read_json(path)
        results = path.parent.parent.parent
        directory = results / record["checkpoints_directory"]
        if not directory.resolve().is_relative_to(results.resolve()):
            raise ValueError(f"its model is in {directory}, outside {results}")
        weights_path(directory)
        missing = TrialResult.__annotations__.keys() - record.keys()
        if missing:
            raise KeyError(*missing)
        if not isinstance(record["hparams"], dict) or type(record["validation_loss"]) not in (int, float):
            raise TypeError("it has no hyperparameters by name, or no validation loss")
    except FileNotFoundError:
        return None  # its model was deleted
    except (KeyError, TypeError, ValueError, OSError) as error:
        warn(f"{path} is no record of a trial ({error!r}): it counts as not done.")
        return None
    return cast(TrialResult, {**record, "checkpoints_directory": str(directory)})
