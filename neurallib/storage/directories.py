"""Checkpoints directories: how a new one is called, and which files one has, the original NeuralLib's among them."""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Iterable
from pathlib import Path

from neurallib.architectures import ARCHITECTURES, check_state
from neurallib.checks import as_folder, as_path, boolean, is_list
from neurallib.files import read_json, short
from neurallib.locks import holder
from neurallib.names import hinted, listing
from neurallib.state import State
from neurallib.storage.training_info import FAILED, INFO, RUNNING
from neurallib.warn import warn

SAFETENSORS, PTH = "model_weights.safetensors", "model_weights.pth"
HPARAMS = "hparams.yaml"
CARD, LOSS_PLOT = "README.md", "loss_plot.png"
RUN = "run.json"  # what a run began with
LOCK = ".run.lock"  # held by the process that trains in a directory
PUBLISHED = "load_pretrained(name) gives one that comes along, load_from_hub('owner/name') a published one"


@hinted
def create_checkpoints_directory(state: State, retraining: bool, results_directory: str | Path | None = None) -> Path:
    """Make a new directory for a run of a model.

    Parameters
    ----------
    state : State
        Its model name, architecture and sizes make the directory's name.
    retraining : bool
        Whether the name says so.
    results_directory : path, optional
        By default $NEURALLIB_RESULTS_DIR, or ./results.

    Returns
    -------
    Path
        {results_directory}/{model_name}/checkpoints/NAME, where NAME is
        {architecture}_{sizes}_lr{learning_rate}_drop{dropout}_{timestamp}. A run that starts in the same second as
        another gets a number behind the timestamp.

    Raises
    ------
    TypeError, ValueError
        If `state` is no state, its model name not the name of a directory, or `results_directory` no path.

    See Also
    --------
    train : makes one with save=True.
    save_checkpoint : write a state into it.

    Examples
    --------
    >>> import tempfile
    >>> import neurallib as nl
    >>> state = nl.gru_seq2seq(n_features=1, hid_dim=[32, 64], n_layers=2, model_name="RPeaks")
    >>> with tempfile.TemporaryDirectory() as results:
    ...     directory = nl.create_checkpoints_directory(state, retraining=False, results_directory=results)
    >>> directory.parent.parent.name, directory.name[:41]
    ('RPeaks', 'GRUseq2seq_32-64hid_2l_lr0.003_drop0.0_20')
    """
    hparams = check_state(state)["hparams"]
    boolean("retraining", retraining)
    root = model_directory(str(hparams["model_name"]), results_directory) / "checkpoints"
    dropout = hparams.get("dropout", 0.0)
    rates = f"lr{hparams['learning_rate']}_drop{'-'.join(map(str, dropout)) if is_list(dropout) else dropout}"
    sizes = f"{ARCHITECTURES[state['architecture']].sizes(hparams)}_{rates}"
    timestamp = datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    name = f"{state['architecture']}_{sizes}{'_retraining' if retraining else ''}_{timestamp}"
    root.mkdir(parents=True, exist_ok=True)
    attempt = 1
    while True:
        directory = root / (name if attempt == 1 else f"{name}-{attempt}")
        try:
            directory.mkdir()
            return directory
        except FileExistsError:
            attempt += 1


def model_directory(model_name: str, results_directory: str | Path | None = None) -> Path:
    """Where all of one model's results are: {results_directory}/{model_name}; not made."""
    if model_name != as_path("model_name", model_name).name or model_name == "..":
        raise ValueError(f"model_name={model_name!r} names the results directory; it must not hold a path.")
    return results_path(results_directory) / model_name


def results_path(results_directory: str | Path | None = None) -> Path:
    """Where results of all models are; not made."""
    if results_directory is None:
        results_directory = os.environ.get("NEURALLIB_RESULTS_DIR") or "results"
    return as_folder("results_directory", results_directory)


def existing(directory: str | Path, name: str = "checkpoints directory", way: str = PUBLISHED) -> Path:
    """The directory as a path, or FileNotFoundError, which tells another `way` of what may be no path."""
    directory = as_path(name, directory)
    if not directory.is_dir():
        own = any((directory.parent / file).is_file() for file in (INFO, HPARAMS))
        way_out = f"give its directory, {directory.parent}" if own else "expected one that save_checkpoint wrote"
        kind = f"is a file; {way_out}" if directory.exists() else "does not exist"
        if not directory.exists() and not directory.is_absolute() and len(directory.parts) < 3:  # maybe no path
            kind += f": {way}"
        raise FileNotFoundError(f"{name} {directory} {kind}.")
    return directory


def weights_path(directory: Path) -> Path:
    """The weights that a directory is loaded with; FileNotFoundError lists what is there where there are none."""
    ckpts = sorted(directory.glob("*.ckpt"), key=lambda ckpt: (ckpt.name.startswith("last"), ckpt.name))
    whole = [directory / SAFETENSORS, directory / PTH]  # of the end of a run
    for path in [*ckpts, *whole] if is_running(directory) else [*whole, *ckpts]:
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"{directory} has no weights: expected {SAFETENSORS}, {PTH} or a .ckpt; it holds: {_contents(directory)}."
    )


def is_running(directory: Path) -> bool:
    """Whether the run of a directory has not come to its end: it goes on, was killed, or an error ended it."""
    return (directory / INFO).is_file() and read_json(directory / INFO).get("status") in (RUNNING, FAILED)


def tell_if_running(directory: Path) -> bool:
    """Warn where a directory's weights are those of a run that has not come to its end; whether they are."""
    if not is_running(directory):
        return False
    who, so_far = holder(directory / LOCK), "its best weights so far are taken"
    if who is None:
        error = read_json(directory / INFO).get("error")
        why = f" ({short(error)})" if error else ""
        warn(f"the run of {directory} did not finish{why}: {so_far}. It goes on with resume={str(directory)!r}.")
    else:
        warn(f"the run of {directory} has not finished, it is trained by {who}: {so_far}.")
    return True


def info_path(directory: Path) -> Path:
    """The training information of a directory; FileNotFoundError lists what is there where there is none."""
    if not (directory / INFO).is_file():
        raise FileNotFoundError(f"{directory} has no {INFO}; it holds: {_contents(directory)}.")
    return directory / INFO


def hparams_path(directory: Path) -> Path:
    """Hyperparameters of the directory itself, written with the weights, or else of the newest version of the logs, the
    original's only ones; or FileNotFoundError."""
    if (directory / HPARAMS).is_file():
        return directory / HPARAMS
    versions = {
        int(number[1]): path
        for logs in ("tensorboard_logs", "lightning_logs")
        for path in directory.glob(f"{logs}/version_*")
        if (number := re.fullmatch(r"version_(\d+)", path.name)) and (path / HPARAMS).is_file()
    }
    if not versions:
        raise FileNotFoundError(
            f"{directory} has no {HPARAMS}, nor one in lightning_logs/version_N or tensorboard_logs/version_N; "
            f"it holds: {_contents(directory)}."
        )
    return versions[max(versions)] / HPARAMS


def check_links(directory: Path, names: Iterable[str]) -> None:
    """Raise ValueError where one of a directory's files is a link out of it or, in huggingface_hub's cache, out of the
    repository's folder of that."""
    home = directory.resolve()
    home = home.parent.parent if home.parent.name == "snapshots" else home
    for path in (directory / name for name in names):
        if path.is_symlink() and not path.resolve().is_relative_to(home):
            raise ValueError(f"{path} is a link to {path.resolve()}, outside the directory: it is not published.")


def _contents(directory: Path) -> str:
    return listing(sorted(path.name for path in directory.iterdir()))
