"""The directory of a run: made, or taken up where a run was stopped, and held by one process while the run goes on."""

from __future__ import annotations

import contextlib
import datetime
import logging
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from neurallib.files import read_json, short, sweep, write_json
from neurallib.locks import held, holder
from neurallib.names import listing
from neurallib.state import changed
from neurallib.storage.checkpoints import files_beside
from neurallib.storage.directories import (
    LOCK,
    RUN,
    create_checkpoints_directory,
    existing,
    info_path,
    model_directory,
    results_path,
)
from neurallib.storage.hyperparameters import LOGGED, log_hparams
from neurallib.storage.training_info import FAILED, INFO, OUT_OF_TIME, RUNNING, read_training_information
from neurallib.training.description import description, differences
from neurallib.training.run import Run
from neurallib.training.saving import LAST
from neurallib.warn import dispensable, warn
from neurallib.weight_files import read_torch

_log = logging.getLogger(__name__)
LENGTHS = ("options.epochs", "trainer_options.max_steps")
UNFINISHED = (RUNNING, FAILED, "interrupted", OUT_OF_TIME)
Resume = bool | Path


class Opened(NamedTuple):
    """Where a run writes, and what it goes on from."""

    directory: Path | None = None  # None: nothing is written, or by another process
    checkpoint: Path | None = None  # None: the run begins
    step: int = 0  # of the optimizer, in the checkpoint
    finished: bool = False  # nothing is left to train


def check_resumable(run: Run, resume: Resume) -> None:
    """Raise ValueError, as `opened` does, if the run cannot go on in the directory that it is told."""
    if isinstance(resume, Path):
        _taken_up(_existing(resume), description(run), run)


@contextlib.contextmanager
def opened(run: Run, resume: Resume, first: bool) -> Iterator[Opened]:
    """A new directory for the run, or the one that it is resumed in, held within the block; `first` is whether this is
    the process that writes. ValueError if what is to be resumed began with something else; the differences are told.
    RuntimeError if another process trains in the directory."""
    if not run.save:
        yield Opened()
        return
    told = description(run)
    with contextlib.ExitStack() as stack:
        found = None
        if isinstance(resume, Path):
            if first:
                _hold(_existing(resume), stack)
            found = _taken_up(resume, told, run)
        elif resume:
            found = _newest_of_the_same(run, told, stack if first else None)
        if found is None and first:
            directory = create_checkpoints_directory(run.state, run.retraining, run.results_directory)
            _hold(directory, stack)
            found = Opened(directory)
        if first and found is not None and not found.finished:
            _begin(run, told, found)
        try:
            yield found or Opened()
        except Exception as error:
            if first and found is not None:
                _note(found.directory, error)
            raise


def _existing(directory: Path) -> Path:
    return existing(directory, "resume: directory", "find_unfinished(results_directory) tells those that can go on")


def _hold(directory: Path, stack: contextlib.ExitStack) -> None:
    """Hold a directory until the stack is left."""
    try:
        stack.enter_context(held(directory / LOCK, wait=False))
    except BlockingIOError:
        who = holder(directory / LOCK) or "another process"
        raise RuntimeError(f"{directory} is trained in by {who}; it can be resumed when that has ended.") from None


def _note(directory: Any, error: Exception) -> None:
    """Write down what has ended a run, where a file can be written."""
    with contextlib.suppress(OSError, ValueError):
        info = read_json(directory / INFO)
        if info.get("status") == RUNNING:
            write_json(directory / INFO, info | {"status": FAILED, "error": f"{type(error).__name__}: {short(error)}"})


def _begin(run: Run, told: Mapping[str, Any], found: Opened) -> None:
    """Write what there is to write before training: from now on whoever opens the directory knows what it is of."""
    directory: Any = found.directory
    sweep(directory)
    info: dict[str, Any] = {"retraining": run.retraining, "epochs": 0, "train_dataset": run.dataset_name}
    if (directory / INFO).is_file():
        info = read_training_information(directory / INFO)
        info.pop("error", None)
    writers = files_beside(changed(run.state, training_info=info | {"status": RUNNING}), directory)
    for name, write in writers.items():
        with dispensable(directory / name):
            write()
    with dispensable(directory / LOGGED):
        log_hparams(run.state, directory)
    with dispensable(directory / RUN):
        write_json(directory / RUN, told)


def _taken_up(directory: Path, told: Mapping[str, Any], run: Run) -> Opened:
    """The directory of a run that began with the same."""
    if not (directory / RUN).is_file():
        raise ValueError(
            f"{directory} has no {RUN}: it is not the directory of a run that can be resumed. To train on from its "
            "weights: retrain(None, ..., checkpoints_directory=...)."
        )
    began, info = _began(directory), read_training_information(info_path(directory))
    different, of_machine = _differences(began, told)
    if of_machine:
        _log.info("%s began on another machine: %s. The last digits may differ.", directory, listing(of_machine))
    others = different
    if _asks_for_more(began, told, run, info):
        others = {name: words for name, words in different.items() if name not in LENGTHS}
    if others:
        words = listing(list(others.values()), 8)
        raise ValueError(f"{directory} cannot be resumed with other things than it began with: {words}.")
    stopped_early = len(info.get("val_losses", [])) < began["options"]["epochs"]
    more = "trainer_options.max_steps" in different or ("options.epochs" in different and not stopped_early)
    finished = info.get("status") == "finished" and not more
    if finished or not (directory / LAST).is_file():
        return Opened(directory, finished=finished)
    return Opened(directory, directory / LAST, _step(directory / LAST, run))


def _differences(began: Mapping[str, Any], told: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """What a run that goes on does otherwise, but for the time that it is given, which it ends with as without; and the
    words for what is another machine's."""
    different = differences(began, told)
    of_machine = [different.pop(name) for name in list(different) if name.startswith("machine.")]
    return {n: words for n, words in different.items() if not n.startswith("trainer_options.max_time")}, of_machine


def _asks_for_more(began: Any, told: Any, run: Run, info: Mapping[str, Any]) -> bool:
    """Whether more epochs or steps are asked for, which a schedule that goes by their number has no answer to."""
    before, now = _lengths(began), _lengths(told)
    if before == now or any(now[name] < length for name, length in before.items()):
        return False
    one, other = (
        ", ".join(f"{name}={lengths[name]:g}" for name in before if before[name] != now[name])
        for lengths in (before, now)
    )
    if run.schedule == "cosine":
        raise ValueError(
            f"the run began with {one}, over which schedule='cosine' brought the rate down to 0: there is no going on "
            f"to {other}. 'step', 'plateau' and None allow it; retrain begins a schedule of its own."
        )
    if info.get("status") == "finished" and info.get("weights_of", "").startswith("callbacks"):
        raise ValueError(f"callbacks left the weights at the end of {one}: there is no going on to {other}.")
    return True


def _lengths(told: Any) -> dict[str, float]:
    """How long a description says that a run is at the most."""
    steps = float(told["trainer_options"].get("max_steps", -1))
    return {"epochs": told["options"]["epochs"], "max_steps": math.inf if steps == -1 else steps}


def _began(directory: Path) -> dict[str, Any]:
    """What the run of a directory began with."""
    began = read_json(directory / RUN)
    try:
        epochs = _lengths(began)["epochs"]
    except (AttributeError, LookupError, TypeError, ValueError):
        epochs = None
    if type(epochs) is not int:
        raise ValueError(f"{directory / RUN} does not tell what a run began with: this library did not write it.")
    return began


def _step(path: Path, run: Run) -> int:
    """How many steps the optimizer had taken at a checkpoint, which is one of this run's model."""
    checkpoint = read_torch(path)
    weights = checkpoint.get("state_dict") if isinstance(checkpoint, dict) else None
    shapes = {name: weight.shape for name, weight in run.state["weights"].items()}
    if (
        not isinstance(weights, dict)
        or {name: getattr(weight, "shape", None) for name, weight in weights.items()} != shapes
        or type(step := checkpoint.get("global_step")) is not int
        or not isinstance(checkpoint.get("neurallib"), dict)
    ):
        raise ValueError(f"{path} is no checkpoint that a run can be resumed from; expected one of this library.")
    return step


def _newest_of_the_same(run: Run, told: Mapping[str, Any], stack: contextlib.ExitStack | None) -> Opened | None:
    """The newest unfinished run that began with all the same and that nobody trains; it is held from then on. Where
    there is none, one that only other versions stand in the way of is told."""
    of_versions = ""
    home = model_directory(str(run.state["hparams"]["model_name"]), run.results_directory) / "checkpoints"
    for one in reversed(_unfinished(home)):
        directory = Path(one["directory"])
        others, _ = _differences(_began(directory), told)
        if others and not of_versions and all(name.startswith("versions.") for name in others):
            of_versions = f"{directory} is unfinished and not gone on with, for {listing(others.values())}"
        if not others:
            try:
                if stack is not None:
                    _hold(directory, stack)
            except RuntimeError:
                continue
            return _taken_up(directory, told, run)
    if of_versions and stack is not None:
        warn(f"{of_versions}: another run begins. With those versions it would go on.")
    return None


def find_unfinished(results_directory: str | Path | None = None) -> list[dict[str, Any]]:
    """The runs that have not come to their end, and that nobody trains just now.

    Parameters
    ----------
    results_directory : path, optional
        Where checkpoints directories are, by model name; by default $NEURALLIB_RESULTS_DIR, or ./results.

    Returns
    -------
    list of dict
        Oldest first. "directory", which `resume=` of `train_from_scratch`, `retrain` and `train` takes; "model_name";
        "epochs", finished ones, of "of_epochs"; "status": "running" of a run that was killed, "failed" of one that an
        error ended, which "error" tells, "interrupted" of one that Ctrl-C ended, "out of time" of one that `max_time`
        ended; "since", when something was last written.

    Raises
    ------
    TypeError, ValueError
        If `results_directory` is no path.

    See Also
    --------
    train_from_scratch : goes on with one.

    Examples
    --------
    >>> import tempfile
    >>> import neurallib as nl
    >>> with tempfile.TemporaryDirectory() as results:
    ...     nl.find_unfinished(results)
    []
    """
    homes = results_path(results_directory).glob("*/checkpoints")
    found = [one for home in homes for one in _unfinished(home)]
    return sorted(
        (one for one in found if holder(Path(one["directory"]) / LOCK) is None), key=lambda one: str(one["since"])
    )


def _unfinished(home: Path) -> list[dict[str, Any]]:
    """The runs of a model that have not come to their end, oldest first."""
    found = []
    for path in home.glob(f"*/{RUN}"):
        directory = path.parent
        try:
            of_epochs, info = _began(directory)["options"]["epochs"], read_training_information(directory / INFO)
            written = max(file.stat().st_mtime for file in directory.iterdir() if file.name != LOCK)
        except (OSError, ValueError):
            continue  # broken, or being removed
        if (status := info.get("status")) in UNFINISHED:
            since = datetime.datetime.fromtimestamp(written).isoformat(timespec="seconds")
            told = {"directory": str(directory), "model_name": home.parent.name, "epochs": info.get("epochs", 0)}
            found.append(told | {"of_epochs": of_epochs, "status": status, "error": info.get("error"), "since": since})
    return sorted(found, key=lambda one: str(one["since"]))
