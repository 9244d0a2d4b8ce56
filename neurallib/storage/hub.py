"""The Hugging Face hub: models pulled and pushed. huggingface_hub is imported only when one of these runs."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neurallib.architectures import check_state
from neurallib.checks import as_path, boolean, text
from neurallib.files import read_yaml
from neurallib.names import hinted, listing
from neurallib.plots.losses import plot_losses
from neurallib.state import Hparams, State, changed
from neurallib.storage.checkpoints import load_checkpoint, loaded_state, save_checkpoint
from neurallib.storage.directories import CARD, HPARAMS, LOSS_PLOT, PTH, SAFETENSORS, check_links
from neurallib.storage.hub_files import OPTIONAL, as_token, check_name, fetch, plain_errors
from neurallib.storage.hyperparameters import completed_hparams, warn_of_the_original
from neurallib.storage.model_card import check_card, for_repository, save_model_card
from neurallib.storage.preprocessing import PREPROCESSING
from neurallib.storage.pretrained import list_pretrained
from neurallib.storage.training_info import INFO, published, read_training_information, without_local_paths
from neurallib.version import __version__
from neurallib.warn import warn

WEIGHTS = (SAFETENSORS, PTH)  # the first one that a repository has is read


@hinted
def load_from_hub(
    repo_id: str, *, revision: str | None = None, token: str | None = None, local_dir: str | Path | None = None
) -> State:
    """A state from a repository that `push_to_hub` or the original NeuralLib wrote.

    Downloads the weights, hparams.yaml, training_info.json and, where there is one, preprocessing.json of one commit,
    and those alone; what the cache has is not downloaded again. Without a connection, or with HF_HUB_OFFLINE=1, the
    cache alone is used.

    Parameters
    ----------
    repo_id : str
        "owner/name".
    revision : str, optional
        A branch, tag or commit; by default the main branch.
    token : str, optional
        For private repositories; by default the one of `hf auth login` or HF_TOKEN.
    local_dir : path, optional
        Put the files there instead of into the cache.

    Returns
    -------
    State
        The same as was published, without paths of the machine that it was trained on.

    Raises
    ------
    FileNotFoundError
        If there is no such repository or revision, or it lacks a file; what is there is listed.
    PermissionError
        If the repository is gated or the token refused.
    ConnectionError
        If the hub cannot be reached and the cache lacks a file.
    TypeError, ValueError
        If the name is none, `local_dir` no path, a file is broken, or the weights do not match the hyperparameters.

    See Also
    --------
    load_checkpoint : a state from a directory.
    list_production_models : published models.

    Examples
    --------
    >>> import neurallib as nl
    >>> state = nl.load_from_hub("marianaagdias/ECGPeakDetector")  # doctest: +SKIP
    """
    if isinstance(repo_id, str) and repo_id in list_pretrained():
        raise ValueError(f"repo_id={repo_id!r} comes along with this library: load_pretrained({repo_id!r}).")
    wanted = ((INFO,), (HPARAMS,), WEIGHTS, (PREPROCESSING, OPTIONAL))
    info, hparams, weights, *_ = fetch(repo_id, *wanted, revision=revision, token=token, local_dir=local_dir)
    state = loaded_state(info, hparams, weights)
    return changed(state, training_info=without_local_paths(state["training_info"]))


@hinted
def get_weights_and_info_from_hugging(
    hugging_face_model: str, local_dir: str | Path | None = None
) -> tuple[Path, dict[str, Any]]:
    """The weights file (safetensors, else .pth) and the training information of a repository.

    Parameters
    ----------
    hugging_face_model : str
        "owner/name".
    local_dir : path, optional
        Put the files there instead of into the cache.

    Returns
    -------
    path : Path
        Of the weights on this machine.
    info : dict
        What the repository's training_info.json holds.

    Raises
    ------
    FileNotFoundError, PermissionError, ConnectionError
        If there is no such repository, it lacks a file or is gated, or the hub is out of reach and the cache lacks one.
    TypeError, ValueError
        If the name is none, `local_dir` no path, or training_info.json is broken.

    See Also
    --------
    load_from_hub : all of it as a state.

    Examples
    --------
    >>> import neurallib as nl
    >>> path, info = nl.get_weights_and_info_from_hugging("marianaagdias/ECGPeakDetector")  # doctest: +SKIP
    """
    info, weights = fetch(hugging_face_model, (INFO,), WEIGHTS, local_dir=local_dir, argument="hugging_face_model")
    return weights, read_training_information(info)


def get_hparams_from_hugging(hugging_face_model: str) -> Hparams:
    """The hyperparameters of a repository, for its architecture's factory.

    Parameters
    ----------
    hugging_face_model : str
        "owner/name".

    Returns
    -------
    dict
        What the repository's hparams.yaml holds, and what it leaves out because the weights say it (downloaded only
        then): the architecture's factory(**hparams) makes the network; `load_from_hub` gives all of it as a state.

    Raises
    ------
    FileNotFoundError, PermissionError, ConnectionError
        If there is no such repository, it lacks a file or is gated, or the hub is out of reach and the cache lacks one.
    ValueError
        If the name is none, or a file is broken.

    See Also
    --------
    load_from_hub : all of a model, as a state.
    get_weights_and_info_from_hugging : its weights and training information.
    get_hparams_from_checkpoints : of a directory on this machine.

    Examples
    --------
    >>> import neurallib as nl
    >>> hparams = nl.get_hparams_from_hugging("marianaagdias/ECGPeakDetector")  # doctest: +SKIP
    """
    path, hparams = fetch(hugging_face_model, (INFO,), (HPARAMS,), argument="hugging_face_model")
    info = read_training_information(path)
    return completed_hparams(info, read_yaml(hparams), lambda: fetch(hugging_face_model, WEIGHTS)[0])


@hinted
def push_to_hub(
    state_or_directory: State | str | Path,
    repo_id: str,
    *,
    token: str | None = None,
    private: bool = True,
    revision: str | None = None,
    commit_message: str | None = None,
    license: str | None = None,
    datasets: Sequence[str] | None = None,
    base_model: str | None = None,
    description: str | None = None,
) -> str:
    """Publish a model in one commit: what `save_checkpoint` writes, the loss plot and a model card.

    The original NeuralLib reads the same repository; a warning names what it has no words for. Paths of this machine
    and training information of your own, which `save_training_information` takes, are left out of what is published.

    Parameters
    ----------
    state_or_directory : State or path
        A state, or a checkpoint directory, whose README.md and loss_plot.png go along where it has them.
    repo_id : str
        "owner/name"; made where it is missing.
    token : str, optional
        With write access; by default the one of `hf auth login` or HF_TOKEN.
    private : bool
        Of a new repository. One that is there keeps what it is, with a warning where it is public.
    revision : str, optional
        A branch, made where it is missing; by default the main branch.
    commit_message : str, optional
        By default says which model and version of neurallib.
    license, datasets, base_model, description : optional
        Of the card that is written here, as `save_model_card` takes them. A directory's own card goes along as it is.

    Returns
    -------
    str
        The address of the model's page.

    Raises
    ------
    TypeError, ValueError, FileNotFoundError
        If it is neither a state nor a directory that `load_checkpoint` reads, one of its files is a link out of it, or
        the name is none; or it has a card of its own and what a card says is given, or one that was written for other
        weights. Nothing has been published then.
    PermissionError
        If the token may not write there.
    ConnectionError
        If the hub cannot be reached.

    See Also
    --------
    save_model_card : a card with measured results, to go along.
    load_from_hub : read it again.

    Examples
    --------
    >>> import neurallib as nl
    >>> state = nl.load_checkpoint("results/RPeaks/checkpoints/GRUseq2seq_...")  # doctest: +SKIP
    >>> nl.push_to_hub(state, "me/RPeaks")  # doctest: +SKIP
    'https://huggingface.co/me/RPeaks'
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    boolean("private", private)
    check_name(repo_id, revision)
    token = as_token(token)
    if commit_message is not None:
        text("commit_message", commit_message)
    with tempfile.TemporaryDirectory() as temporary, plain_errors(f"repository {repo_id!r}", revision, writing=True):
        folder = Path(temporary)
        said = {"license": license, "datasets": datasets, "base_model": base_model, "description": description}
        name = _write_repository(state_or_directory, folder, **{k: v for k, v in said.items() if v is not None})
        api = HfApi(token=token)
        url = api.create_repo(repo_id, private=private, exist_ok=True)
        there = api.model_info(url.repo_id)
        if private and there.private is False:
            warn(f"{url.repo_id} is there already and is public: what is pushed is public too.")
        if revision is not None:
            api.create_branch(url.repo_id, branch=revision, exist_ok=True)
            there = api.model_info(url.repo_id, revision=revision)
        card = folder / CARD
        card.write_text(for_repository(card.read_text(encoding="utf-8"), url.repo_id), encoding="utf-8")
        changes: list[Any] = [CommitOperationAdd(path.name, path) for path in sorted(folder.iterdir())]
        if not (folder / LOSS_PLOT).exists() and LOSS_PLOT in [file.rfilename for file in there.siblings or []]:
            changes.append(CommitOperationDelete(LOSS_PLOT))  # of the model that stood there before
        message = commit_message or f"{name}, by neurallib {__version__}"
        api.create_commit(url.repo_id, changes, commit_message=message, revision=revision)
    return str(url) if revision is None else f"{url}/tree/{revision}"


def _write_repository(state_or_directory: State | str | Path, folder: Path, **said: Any) -> str:
    """Write all that a repository holds, a card with what is said; the model's name."""
    own: dict[str, Path] = {}  # of a directory, what goes along as it is
    if isinstance(state_or_directory, (str, os.PathLike)):
        state = load_checkpoint(directory := as_path("state_or_directory", state_or_directory))
        check_links(directory, (*WEIGHTS, HPARAMS, INFO, PREPROCESSING, LOSS_PLOT, CARD))
        own = {name: path for name in (CARD, LOSS_PLOT) if (path := directory / name).is_file()}
    else:
        state = check_state(state_or_directory, "state_or_directory")
    if said and CARD in own:
        raise ValueError(
            f"{own[CARD]} is there and goes along as it is: give {listing(said)} to save_model_card, which writes it "
            "anew, or put it there by hand."
        )
    if CARD in own:
        check_card(own[CARD], state)
    info, left_out = published(without_local_paths(state["training_info"]))
    if left_out:
        warn(f"training_info holds {listing(left_out)} of your own: not published.")
    save_checkpoint(changed(state, training_info=info), folder)
    warn_of_the_original(state)
    for name, path in own.items():
        shutil.copyfile(path, folder / name)
    if LOSS_PLOT not in own and info.get("val_losses"):
        before = info.get("training_history")
        plot_losses(info.get("train_losses", []), info["val_losses"], folder / LOSS_PLOT, history=before)
    if CARD not in own:
        save_model_card(changed(state, training_info=info), folder, **said)
    return str(state["hparams"]["model_name"])
