"""Models that come along in the package, their names and a state of one, without a network; names of published ones."""

from __future__ import annotations

import re
from pathlib import Path

from neurallib.checks import choice, text
from neurallib.state import State
from neurallib.storage.checkpoints import load_checkpoint
from neurallib.storage.hub_files import plain_errors

DIRECTORY = Path(__file__).parent.parent / "pretrained"
NEURALLIB_COLLECTION = (
    "novabiosignals/neurallib-deep-learning-models-for-biosignals-processing-6813ee129bc1bba8210b6948"
)


def list_pretrained() -> list[str]:
    """The names of the models that come along.

    Returns
    -------
    list of str
        Sorted; each is a directory of the package, with a card.

    See Also
    --------
    load_pretrained : a state of one.
    list_production_models : those on the Hugging Face hub.

    Examples
    --------
    >>> import neurallib as nl
    >>> nl.list_pretrained()
    ['ecg_denoiser', 'ecg_r_peaks', 'ecg_r_peaks_stream']
    """
    return sorted(path.parent.name for path in DIRECTORY.glob("*/hparams.yaml"))


def load_pretrained(name: str) -> State:
    """A model that comes along in the package, read from there: no network is needed.

    Parameters
    ----------
    name : str
        One of `list_pretrained`. "ecg_r_peaks": the probability of an R-peak at each step of one lead of ECG, for
        `find_r_peaks`. "ecg_r_peaks_stream": the same without the future, for `stream_step` at 125 Hz. "ecg_denoiser":
        one lead of ECG without wander, muscles, motion and hum, for `denoise_recording`, in the unit that it came in.
        All take any unit, and recordings of any rate.

    Returns
    -------
    State
        Its card, `pretrained/NAME/README.md` in the package, tells what it was trained on, how well it was measured to
        be, what it is not for, and the licence of the data.

    Raises
    ------
    ValueError
        If there is no such model; names those that there are.

    See Also
    --------
    find_r_peaks : what "ecg_r_peaks" is for.
    denoise_recording : what "ecg_denoiser" is for.
    init_stream : what "ecg_r_peaks_stream" is for.
    load_from_hub : a model of a repository.

    Examples
    --------
    >>> import neurallib as nl
    >>> signal, r_peaks = nl.synthetic_ecg(duration=10, sampling_frequency=250, seed=1)
    >>> recording = {"signal": signal[:, None], "sampling_frequency": 250.0}
    >>> found = nl.find_r_peaks(nl.load_pretrained("ecg_r_peaks"), recording)
    >>> nl.peak_scores(r_peaks, found, sampling_frequency=250)["f1"]
    1.0
    >>> denoised = nl.denoise_recording(nl.load_pretrained("ecg_denoiser"), recording)
    >>> denoised["signal"].shape
    (2500, 1)
    """
    choice("name", name, list_pretrained())
    state = load_checkpoint(DIRECTORY / name)
    state["training_info"].pop("checkpoints_directory", None)  # where the package lies is not what training tells
    return state


def list_production_models(collection: str = NEURALLIB_COLLECTION) -> list[str]:
    """The models in a collection on the hub, by default the published NeuralLib ones.

    Parameters
    ----------
    collection : str
        "owner/title-and-number", the end of the address of the collection's page.

    Returns
    -------
    list of str
        Their names, "owner/name", for `load_from_hub`.

    Raises
    ------
    FileNotFoundError
        If there is no such collection.
    TypeError, ValueError
        If it is no name of one.
    PermissionError
        If it is not for everyone.
    ConnectionError
        If the hub cannot be reached.

    See Also
    --------
    load_from_hub : one of them as a state.
    list_pretrained : models that come along, without a network.

    Examples
    --------
    >>> import neurallib as nl
    >>> names = nl.list_production_models()  # doctest: +SKIP
    """
    from huggingface_hub import get_collection

    if not re.fullmatch(r"[\w.-]+/[\w.-]+", text("collection", collection)):
        raise ValueError(f"collection={collection!r}; expected 'owner/title-and-number', the end of its address.")
    with plain_errors(f"collection {collection!r}"):
        return [item.item_id for item in get_collection(collection).items if item.item_type == "model"]
