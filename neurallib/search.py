"""Grid search: one training a combination of hyperparameters, here or on the workers of an executor."""

from __future__ import annotations

import contextlib
import csv
import difflib
import functools
import hashlib
import inspect
import itertools
import json
import logging
import math
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Executor, as_completed
from pathlib import Path
from typing import Any, NamedTuple, TypedDict, cast

import numpy as np
import torch

from neurallib.checkpoints import model_directory
from neurallib.checks import choice, integer, listing
from neurallib.data import open_folder
from neurallib.files import as_plain, atomic_write, read_json, write_json
from neurallib.registry import ARCHITECTURES, validate_architecture_name
from neurallib.state import Hparams, State, count_parameters
from neurallib.training import train
from neurallib.workflow import train_from_scratch

logger = logging.getLogger(__name__)

LEADERBOARD = "leaderboard.csv"
_NOT_OF_THE_RESULT = ("enable_progress_bar", "gpu_id", "results_directory")  # where and how a trial runs


class TrialResult(TypedDict):
    """What a search knows of one trial."""

    trial: str  # a digest of all that it was made of
    status: str  # "finished" or "failed"; the leaderboard also has "impossible"
    hparams: Hparams
    validation_loss: float  # infinity where there is none
    best_epoch: int | None
    epochs: int | None
    n_weights: int | None
    training_time: float | None  # seconds
    checkpoints_directory: str | None
    error: str | None


class _Job(NamedTuple):
    """A trial as a worker gets it."""

    trial: str
    architecture: str
    hparams: Hparams
    train_params: dict[str, Any]
    n_threads: int
    record: Path  # where its result is written when it is finished


def grid_search(
    architecture: str,
    hparams_options: Mapping[str, Any],
    train_params: Mapping[str, Any],
    *,
    executor: Executor | None = None,
    on_error: str = "skip",
    threads_per_trial: int | None = None,
    enable_progress_bar: bool = True,
) -> list[TrialResult]:
    """Train every combination of hyperparameters from scratch, and rank them by their lowest validation loss.

    A search that was interrupted goes on where it stopped: finished trials of the same architecture, hyperparameters,
    training parameters and data files are not trained again. Failed ones are.

    Parameters
    ----------
    architecture : str
        "GRUseq2seq", ...; see `list_architectures`.
    hparams_options : mapping
        The factory's arguments. A list holds the options of one, anything else is its only option:
        {"n_features": 1, "n_layers": [1, 2], "hid_dim": [16, [32, 16]], "learning_rate": [0.01, 0.001]}.
    train_params : mapping
        The arguments of `train_from_scratch` beside the state: path_x, path_y, epochs, batch_size, patience, ...
    executor : Executor, optional
        Whatever has the interface of concurrent.futures: a ProcessPoolExecutor, Dask's `client.get_executor()`,
        joblib's loky. Its workers need the data and the results directory under the same paths. By default the trials
        run here, one after the other. Trials in threads of one process take turns.
    on_error : str
        "skip": a trial that fails is reported, and the search goes on. "raise": the first error stops it.
    threads_per_trial : int, optional
        Torch's threads for each trial, by default as many as here; cores divided by workers uses a machine best.
        Results are bitwise the same for the same number, whatever the executor.
    enable_progress_bar : bool
        Show the trials done and the best so far.

    Returns
    -------
    list of TrialResult
        Best first, failed trials last. The same, with the combinations that cannot be, is in
        {results}/{model_name}/grid_search/leaderboard.csv, written anew after every trial. `load_checkpoint` of a
        result's `checkpoints_directory` gives its model; with `enable_tensorboard=True` among `train_params`,
        TensorBoard's HPARAMS tab over {results}/{model_name} compares the trials.

    Raises
    ------
    TypeError, ValueError, FileNotFoundError
        If an argument is wrong or the data cannot be opened; nothing has been trained then. A combination that cannot
        be, such as a `hid_dim` list that does not match `n_layers`, is skipped with a warning; ValueError if none is
        left.
    """
    from tqdm.auto import tqdm

    validate_architecture_name(architecture)
    choice("on_error", on_error, ("skip", "raise"))
    n_threads = integer("threads_per_trial", threads_per_trial or torch.get_num_threads())
    options = _options(architecture, hparams_options)
    directory = _search_directory(architecture, options, train_params)
    possible, impossible = _combinations(architecture, options)
    jobs = _jobs(
        architecture, possible, _checked_train_params(next(iter(possible))[1], train_params), n_threads, directory
    )
    directory.mkdir(parents=True, exist_ok=True)

    results = [result for job in jobs if (result := _recorded(job)) is not None]
    done = {result["trial"] for result in results}
    with (
        tqdm(total=len(jobs), initial=len(done), unit="trial", disable=not enable_progress_bar) as bar,
        contextlib.closing(_outcomes([job for job in jobs if job.trial not in done], executor)) as outcomes,
    ):
        varied = [name for name, values in options.items() if len(values) > 1]
        while True:
            results.sort(key=lambda result: (result["status"] != "finished", result["validation_loss"]))
            _write_leaderboard(directory / LEADERBOARD, [*results, *impossible], varied)
            bar.set_postfix_str(_best_so_far(results, varied))
            if (found := next(outcomes, None)) is None:
                return results
            job, outcome = found
            try:
                results.append(outcome())
            except Exception as error:
                if on_error == "raise":
                    raise
                results.append(_result(job.trial, "failed", job.hparams, error=f"{type(error).__name__}: {error}"))
                warnings.warn(f"trial {_told(job.hparams, varied)} failed: {error}", stacklevel=2)
            bar.update()


def _options(architecture: str, hparams_options: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The options of each hyperparameter, plain values all."""
    known = list(inspect.signature(ARCHITECTURES[architecture].factory).parameters)
    options = {}
    for name, given in hparams_options.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else f" It has: {listing(known, 20)}."
            raise TypeError(f"hparams_options: {architecture} has no hyperparameter {name!r}.{hint}")
        values = given.tolist() if isinstance(given, np.ndarray) else given
        several = isinstance(values, Sequence) and not isinstance(values, str)
        options[name] = [_plain(f"hparams_options[{name!r}]", value) for value in (values if several else [values])]
        if not options[name]:
            raise ValueError(f"hparams_options[{name!r}] is empty; expected at least one option.")
    if len(options.get("model_name", [""])) > 1:
        raise ValueError("hparams_options['model_name'] names the directory of the search; expected one name.")
    return options


def _plain(name: str, value: Any) -> Any:
    """The value as JSON gives it back, so that a trial is recognized, and told to a worker, by what it says."""
    try:
        return json.loads(json.dumps(value, default=as_plain))
    except TypeError as error:
        raise TypeError(f"{name}: {error} A trial is told by plain values: numbers, text, lists, paths.") from error


def _search_directory(architecture: str, options: Mapping[str, list[Any]], train_params: Mapping[str, Any]) -> Path:
    factory = inspect.signature(ARCHITECTURES[architecture].factory)
    model_name = options.get("model_name", [factory.parameters["model_name"].default])[0]
    return model_directory(str(model_name), train_params.get("results_directory")).resolve() / "grid_search"


def _combinations(
    architecture: str, options: Mapping[str, list[Any]]
) -> tuple[list[tuple[Hparams, State]], list[TrialResult]]:
    """Combinations that make a state, with it, and those that cannot be, with the reason."""
    possible, impossible = [], []
    for values in itertools.product(*options.values()):
        hparams = dict(zip(options, values, strict=True))
        try:
            possible.append((hparams, ARCHITECTURES[architecture].factory(**hparams)))
        except (TypeError, ValueError) as error:
            impossible.append(_result("", "impossible", hparams, error=str(error)))
    reasons = listing(dict.fromkeys(str(result["error"]) for result in impossible), 3)
    if not possible:
        raise ValueError(f"none of the {len(impossible)} combinations of hparams_options can be: {reasons}")
    if impossible:
        counted = f"{len(impossible)} of {len(impossible) + len(possible)} combinations cannot be and are skipped"
        warnings.warn(f"{counted}: {reasons}", stacklevel=3)
    return possible, impossible


def _checked_train_params(state: State, train_params: Mapping[str, Any]) -> dict[str, Any]:
    """The training parameters as plain values, after opening the data once and binding every name."""
    from neurallib.lightning import check_trainer_options

    plain = {name: _plain(f"train_params[{name!r}]", value) for name, value in train_params.items()}
    bound = inspect.signature(train_from_scratch).bind(state, **plain)
    bound.apply_defaults()
    others = bound.arguments["options"]
    ours = inspect.signature(train).parameters
    check_trainer_options({name: value for name, value in others.items() if name not in ours})
    names = ("path_x", "path_y", "all_samples", "samples", "window_size", "overlap")
    folders = [open_folder(part=part, **{name: bound.arguments[name] for name in names}) for part in ("train", "val")]
    for name in ("path_x", "path_y"):
        plain[name] = str(Path(plain[name]).resolve())
    logger.info("%d signals to train on, %d to validate on", *map(len, folders))
    return plain


def _jobs(
    architecture: str,
    possible: Sequence[tuple[Hparams, State]],
    train_params: Mapping[str, Any],
    n_threads: int,
    directory: Path,
) -> list[_Job]:
    """The trials, each once, whatever the combinations that lead to it."""
    kept = {name: value for name, value in train_params.items() if name not in _NOT_OF_THE_RESULT}
    shared = json.dumps([architecture, kept, _files(train_params)], sort_keys=True)
    jobs = {}
    for hparams, state in possible:
        own = json.dumps([state["hparams"], hparams.get("seed")], sort_keys=True, default=as_plain)
        trial = hashlib.sha256((shared + own).encode()).hexdigest()[:12]
        params = {"enable_progress_bar": False, **train_params, "results_directory": str(directory.parent.parent)}
        jobs[trial] = _Job(trial, architecture, hparams, params, n_threads, directory / f"{trial}.json")
    return list(jobs.values())


def _files(train_params: Mapping[str, Any]) -> list[tuple[str, int, int]]:
    """Name, size and time of every file trained on: other data makes other trials."""
    folders = (Path(train_params[path]) / part for path in ("path_x", "path_y") for part in ("train", "val"))
    files = (file for folder in folders for file in sorted(folder.glob("*.npy")))
    return [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]


def _outcomes(jobs: Sequence[_Job], executor: Executor | None) -> Generator[tuple[_Job, Callable[[], TrialResult]]]:
    """Each job, when it can be asked for its result; what has not begun when nobody asks any more is cancelled."""
    if executor is None:
        yield from ((job, functools.partial(_run_trial, job)) for job in jobs)
        return
    futures = {executor.submit(_run_trial, job): job for job in jobs}
    try:
        yield from ((futures[future], future.result) for future in as_completed(futures))
    finally:
        for future in futures:
            future.cancel()


def _run_trial(job: _Job) -> TrialResult:
    """Train one trial, in whatever process this is, and record its result."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(job.n_threads)
    try:
        state = train_from_scratch(ARCHITECTURES[job.architecture].factory(**job.hparams), **job.train_params)
    finally:
        torch.set_num_threads(n_threads)
    info = state["training_info"]
    if info["interrupted"]:
        raise KeyboardInterrupt  # `train` has kept the best weights so far; the search is not to go on
    told = {name: info[name] for name in ("validation_loss", "best_epoch", "epochs", "training_time")}
    result = _result(
        job.trial, "finished", job.hparams, **told, n_weights=count_parameters(state["weights"]),
        checkpoints_directory=info["checkpoints_directory"],
    )  # fmt: skip
    write_json(job.record, result)
    return result


def _result(trial: str, status: str, hparams: Hparams, **more: Any) -> TrialResult:
    unknown = dict.fromkeys(TrialResult.__annotations__) | {"validation_loss": math.inf}
    known = {"trial": trial, "status": status, "hparams": dict(hparams)}
    return cast(TrialResult, unknown | known | more)


def _recorded(job: _Job) -> TrialResult | None:
    """The result of a trial that was finished before, as long as its model is there."""
    if not job.record.is_file():
        return None
    result = read_json(job.record) | {"hparams": job.hparams}  # which may say the same in other words
    return cast(TrialResult, result) if Path(result["checkpoints_directory"]).is_dir() else None


def _write_leaderboard(path: Path, results: Sequence[TrialResult], varied: Sequence[str]) -> None:
    """Best first: what varied, then what came of it."""
    others = [name for name in TrialResult.__annotations__ if name not in ("hparams", "status", "validation_loss")]
    with atomic_write(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["rank", "status", "validation_loss", *varied, *others])
        for rank, result in enumerate(results, 1):
            finished = result["status"] == "finished"
            head = [rank, "finished", result["validation_loss"]] if finished else ["", result["status"], ""]
            hparams = [result["hparams"][name] for name in varied]
            writer.writerow([*head, *hparams, *(result[name] for name in others)])  # type: ignore[literal-required]


def _best_so_far(results: Sequence[TrialResult], varied: Sequence[str]) -> str:
    if not results or results[0]["status"] != "finished":
        return ""
    return f"best {results[0]['validation_loss']:.4g}: {_told(results[0]['hparams'], varied)}"


def _told(hparams: Hparams, varied: Sequence[str]) -> str:
    return ", ".join(f"{name}={hparams[name]}" for name in varied) or "of the only combination"
