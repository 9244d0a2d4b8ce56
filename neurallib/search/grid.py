"""Grid search: one training a combination of hyperparameters, here or on the workers of an executor."""

from __future__ import annotations

import contextlib
import functools
import inspect
import itertools
import json
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurallib.architectures import ARCHITECTURES, validate_architecture_name
from neurallib.checks import as_path, boolean, choice, integer, type_words
from neurallib.files import as_plain, sweep
from neurallib.forks import LostThreadsError
from neurallib.names import did_you_mean, hinted, listing
from neurallib.search.trials import (
    Trial,
    TrialResult,
    is_held,
    make_result,
    make_trials,
    recorded,
    run_trial,
    write_leaderboard,
)
from neurallib.state import Hparams
from neurallib.storage.directories import model_directory
from neurallib.warn import warn
from neurallib.workflow.from_scratch import train_from_scratch

LEADERBOARD = "leaderboard.csv"
_ASKED_EACH = 0.5  # seconds


@hinted
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
    training parameters and data files are not trained again. Failed ones are. Searches that run at the same time in the
    same directory share their trials. Files are known by name, size and time, which `cp -p` and `rsync -a` keep where
    each job copies the data.

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
        joblib's loky, or submitit's, which makes a Slurm job of each trial. Its workers need the data and the results
        directory under the same paths. By default the trials run here, one after the other. Trials in threads of one
        process take turns.
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
        {results}/{model_name}/grid_search/leaderboard.csv, written anew after every trial; below them what earlier
        searches left there. `load_checkpoint` of a result's `checkpoints_directory` gives its model; with
        `enable_tensorboard=True` among `train_params`, TensorBoard's HPARAMS tab over {results}/{model_name} compares
        the trials.

    Raises
    ------
    TypeError, ValueError, FileNotFoundError
        If an argument, a file or a signal is wrong; nothing has been trained then. A combination that cannot be, such
        as a `hid_dim` list that does not match `n_layers`, is skipped with a warning; ValueError if none is left.
    RuntimeError
        If the executor broke, such as a pool of which a process was killed, or forks after torch has used threads.

    See Also
    --------
    train_from_scratch : one training.
    list_architectures : what can be searched.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import neurallib as nl
    >>> options = {"n_features": 1, "d_model": [16, 32], "nhead": 1, "dim_feedforward": 8}
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for folder in ("x/train", "y/train", "x/val", "y/val"):
    ...         (Path(root) / folder).mkdir(parents=True)
    ...         np.save(Path(root) / folder / "1.npy", np.ones((20, 1)))
    ...     training = {
    ...         "path_x": f"{root}/x", "path_y": f"{root}/y", "patience": None, "batch_size": 1, "epochs": 1,
    ...         "all_samples": True, "dataset_name": "ones", "trained_for": "an example", "results_directory": root,
    ...     }
    ...     results = nl.grid_search("Transformerseq2seq", options, training, enable_progress_bar=False)
    >>> sorted((result["hparams"]["d_model"], result["status"]) for result in results)
    [(16, 'finished'), (32, 'finished')]
    """
    from tqdm.auto import tqdm

    validate_architecture_name(architecture)
    choice("on_error", on_error, ("skip", "raise"))
    boolean("enable_progress_bar", enable_progress_bar)
    n_threads = (
        torch.get_num_threads() if threads_per_trial is None else integer("threads_per_trial", threads_per_trial)
    )
    for name, given in (("hparams_options", hparams_options), ("train_params", train_params)):
        if not isinstance(given, Mapping) or not all(isinstance(key, str) for key in given):
            raise TypeError(f"{name}={given!r} is {type_words(given)}; expected a mapping of names to values.")
    if executor is not None and not hasattr(executor, "submit"):
        raise TypeError(f"executor={executor!r}; expected a ProcessPoolExecutor or what has its `submit`.")
    if missing := sorted({"path_x", "path_y"} - train_params.keys()):
        raise TypeError(f"train_params lacks {listing(missing)}; expected the arguments of train_from_scratch.")
    if own := sorted({"state", "dry_run"} & train_params.keys()):
        raise TypeError(f"train_params holds {listing(own)}, which the search gives each trial itself.")
    options = _options(architecture, hparams_options)
    varied = [name for name, values in options.items() if len(values) > 1]
    directory = _search_directory(architecture, options, train_params)
    possible, impossible = _combinations(architecture, options)
    trials = make_trials(
        architecture, possible, _checked(architecture, possible[0][0], train_params), n_threads, directory
    )
    directory.mkdir(parents=True, exist_ok=True)
    sweep(directory)

    results = [result for trial in trials if (result := recorded(trial)) is not None]
    done = {result["trial"] for result in results}
    with (
        _told_if_broken(trials, results),
        tqdm(total=len(trials), initial=len(done), unit="trial", disable=None if enable_progress_bar else True) as bar,
        contextlib.closing(_outcomes([trial for trial in trials if trial.digest not in done], executor)) as outcomes,
    ):
        while True:
            results.sort(key=lambda result: (result["status"] != "finished", result["validation_loss"]))
            write_leaderboard(directory / LEADERBOARD, [*results, *impossible], varied)
            bar.set_postfix_str(_best_so_far(results, varied))
            if (found := next(outcomes, None)) is None:
                return results
            trial, outcome = found
            try:
                results.append(outcome())
            except (BrokenExecutor, LostThreadsError):  # which every trial of it would raise
                raise
            except Exception as error:
                if on_error == "raise":
                    raise
                failed = f"{type(error).__name__}: {error}"
                results.append(make_result("failed", trial.hparams, trial=trial.digest, error=failed))
                warn(f"trial {_told(trial.hparams, varied)} failed: {error}")
            bar.update()


def _options(architecture: str, hparams_options: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The options of each hyperparameter, plain values all."""
    known = list(inspect.signature(ARCHITECTURES[architecture].factory).parameters)
    options = {}
    for name, given in hparams_options.items():
        if name not in known:
            hint = did_you_mean(name, known) or f" It has: {listing(known, 20)}."
            raise TypeError(f"hparams_options: {architecture} has no hyperparameter {name!r}.{hint}")
        values = given.tolist() if isinstance(given, (np.ndarray, Tensor)) else given
        several = isinstance(values, Sequence) and not isinstance(values, str)
        options[name] = [_plain(f"hparams_options[{name!r}]", value) for value in (values if several else [values])]
        if not options[name]:
            raise ValueError(f"hparams_options[{name!r}] is empty; expected at least one option.")
    if len(options.get("model_name", [""])) > 1:
        raise ValueError("hparams_options['model_name'] names the directory of the search; expected one name.")
    return options


def _plain(name: str, value: Any) -> Any:
    """The value as JSON gives it back, so that a trial is recognized, and told to a worker, by what it says."""

    def plain(part: Any) -> Any:
        return part.tolist() if isinstance(part, (np.ndarray, Tensor)) else as_plain(part)

    try:
        return json.loads(json.dumps(value, default=plain))
    except TypeError as error:
        expected = "A trial is told by plain values: numbers, text, lists, paths"
        raise TypeError(f"{name}: {error} {expected}; functions are for train_from_scratch.") from error


def _search_directory(architecture: str, options: Mapping[str, list[Any]], train_params: Mapping[str, Any]) -> Path:
    factory = inspect.signature(ARCHITECTURES[architecture].factory)
    model_name = options.get("model_name", [factory.parameters["model_name"].default])[0]
    return model_directory(str(model_name), train_params.get("results_directory")).resolve() / "grid_search"


def _combinations(
    architecture: str, options: Mapping[str, list[Any]]
) -> tuple[list[tuple[Hparams, Hparams]], list[TrialResult]]:
    """Combinations that make a state, as asked for and as the state has them, and those that cannot be, with why."""
    possible, impossible = [], []
    for values in itertools.product(*options.values()):
        asked = dict(zip(options, values, strict=True))
        try:
            possible.append((asked, ARCHITECTURES[architecture].factory(**asked)["hparams"]))
        except (TypeError, ValueError) as error:
            impossible.append(make_result("impossible", asked, error=str(error)))
    reasons = listing(dict.fromkeys(str(result["error"]) for result in impossible), 3)
    if not possible:
        raise ValueError(f"none of the {len(impossible)} combinations of hparams_options can be: {reasons}")
    if impossible:
        counted = f"{len(impossible)} of {len(impossible) + len(possible)} combinations cannot be and are skipped"
        warn(f"{counted}: {reasons}")
    return possible, impossible


def _checked(architecture: str, hparams: Hparams, train_params: Mapping[str, Any]) -> dict[str, Any]:
    """The training parameters as plain values with absolute paths, after a training of the first model but for the
    training itself: every argument, file and signal has been looked at."""
    plain = {name: _plain(f"train_params[{name!r}]", value) for name, value in train_params.items()}
    several = sorted({"devices", "num_nodes", "strategy"} & plain.keys())
    if several:
        raise ValueError(f"train_params holds {listing(several)}: a trial trains in one process. Give an executor.")
    boolean("resume in train_params", plain.get("resume", True))  # each trial has a directory of its own
    plain["devices"] = 1  # also of a search that torchrun started
    train_from_scratch(ARCHITECTURES[architecture].factory(**hparams), **plain, dry_run=True)
    return plain | {name: str(as_path(name, plain[name]).resolve()) for name in ("path_x", "path_y")}


@contextlib.contextmanager
def _told_if_broken(trials: Sequence[Trial], results: Sequence[TrialResult]) -> Iterator[None]:
    """A broken executor as a RuntimeError with the way out, whether it broke before or after it was given trials."""
    try:
        yield
    except BrokenExecutor as error:
        raise RuntimeError(
            f"the executor broke with {len(trials) - len(results)} of {len(trials)} trials to do ({error}). "
            "Call grid_search again with another one: it goes on with those. A script makes processes under "
            "`if __name__ == \"__main__\":`, for each of them imports it."
        ) from error


def _outcomes(trials: Sequence[Trial], executor: Executor | None) -> Generator[tuple[Trial, Callable[[], TrialResult]]]:
    """Each trial, when it can be asked for its result; what has not begun when nobody asks any more is cancelled."""
    if executor is None:
        waiting = list(trials)
        while waiting:  # what another search trains comes last, and is done by then
            trial = next((trial for trial in waiting if not is_held(trial)), waiting[0])
            waiting.remove(trial)
            yield trial, functools.partial(run_trial, trial)
        return
    futures = {executor.submit(run_trial, trial): trial for trial in trials}
    try:
        yield from ((futures[future], future.result) for future in _as_they_end(futures))
    finally:
        for future in futures:
            future.cancel()


def _as_they_end(futures: Iterable[Any]) -> Iterator[Any]:
    """The futures, each when it is done; those of submitit are asked, for they tell nobody."""
    waiting = list(futures)
    if all(isinstance(future, Future) for future in waiting):
        yield from as_completed(waiting)
        return
    while waiting:
        for future in [future for future in waiting if future.done()]:
            waiting.remove(future)
            yield future
        time.sleep(_ASKED_EACH)


def _best_so_far(results: Sequence[TrialResult], varied: Sequence[str]) -> str:
    if not results or results[0]["status"] != "finished":
        return ""
    return f"best {results[0]['validation_loss']:.4g}: {_told(results[0]['hparams'], varied)}"


def _told(hparams: Hparams, varied: Sequence[str]) -> str:
    return ", ".join(f"{name}={hparams[name]}" for name in varied) or "of the only combination"
