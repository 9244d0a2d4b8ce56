"""Models that come along in the package: their names, and a state of one, without a network."""

from __future__ import annotations

from pathlib import Path

from neurallib.checks import choice
from neurallib.state import State
from neurallib.storage.checkpoints import load_checkpoint

DIRECTORY = Path(__file__).parent.parent / "pretrained"


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
