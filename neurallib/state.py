"""The model state: the plain dict that factories make, `train` returns and checkpoints hold."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, cast

import numpy as np
import torch
from torch import Tensor

Hparams = dict[str, Any]
Weights = Mapping[str, Tensor]
Steps = Sequence[Mapping[str, Any]]


class Preprocessing(TypedDict):
    """What stood between a signal and the network's input, and between its output and the answer; None where unknown
    or nothing."""

    sampling_frequency: float | None  # Hz
    channels: list[str] | None  # names of x's, [C]
    units: list[str] | None  # of x's channels, [C]
    window: float | None  # seconds (samples where the frequency is unknown) of what longer signals were cut into
    steps: list[dict[str, Any]] | None  # named filters applied before normalization, with their parameters
    fold: int | None  # consecutive samples that the network takes for the features of one step
    residual: bool | None  # whether the network's outputs are added to its signal
    normalization: str | None  # one of neurallib.signals.normalization.NORMALIZATIONS
    x_shift: list[float] | None  # [C], of normalization "dataset"
    x_scale: list[float] | None
    target_normalization: str | None  # of a regression: "dataset" or "signal"
    target_offset: bool | None  # of "signal": whether y has its signal's shift too, or its scale alone
    y_shift: list[float] | None  # [K]
    y_scale: list[float] | None


class Postprocessing(TypedDict):
    """What turns outputs into answers."""

    outputs: list[str] | None  # names of classes, or of quantities with their units, [K]; None where unknown
    events: dict[str, Any]  # how probabilities become these: threshold, min_distance, smoothing, delay, snap (s), doubt


class State(TypedDict):
    """A model: nothing but values, so that it can be copied, compared, pickled and sent.

    Attributes
    ----------
    architecture : str
        A key of neurallib.ARCHITECTURES.
    hparams : dict
        What the factory was given, checked; YAML can hold it, and hparams.yaml does.
    weights : dict of str to Tensor
        float32 on the CPU, detached, sharing memory with nothing.
    preprocessing : dict
        What stood before the network's input: "sampling_frequency" (Hz), "channels" and "units" of x, "window" (what
        longer signals were cut into), "steps", "fold", "residual", "normalization" and, of "dataset", its "x_shift" and
        "x_scale";
        and what a regression's target was normalized by, "target_normalization", "target_offset" (whether its signal's
        shift was taken off it), "y_shift" and "y_scale". None where unknown.
    postprocessing : dict
        What turns outputs into answers: "outputs", the names of classes or quantities [K] (None where unknown), and
        "events", how probabilities become events (empty where they do not): arguments of `find_events` and
        `find_r_peaks`, and the "delay" in seconds by which probabilities are later than events.
    frozen : list of str
        Names and patterns of weights that `train` leaves untouched.
    training_info : dict
        Empty until trained; what training_info.json holds.

    Examples
    --------
    >>> import neurallib as nl
    >>> state: nl.State = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1)
    >>> state["architecture"], state["hparams"]["task"], state["training_info"]
    ('GRUseq2seq', 'classification', {})
    """

    architecture: str
    hparams: Hparams
    weights: dict[str, Tensor]
    preprocessing: Preprocessing
    postprocessing: Postprocessing
    frozen: list[str]
    training_info: dict[str, Any]


class Batch(TypedDict):
    """Signals of different lengths, right-padded with zeros, in the order given.

    Attributes
    ----------
    x : Tensor
        [B, T, C] float32.
    y : Tensor
        [B, T, K] or [B, K] float32; [B, T] or [B] int64 for multiclass.
    lengths : Tensor
        [B] int64, each from 1 to T.

    Examples
    --------
    >>> import numpy as np
    >>> import neurallib as nl
    >>> batch: nl.Batch = nl.collate_fn([(np.zeros((5, 1)), np.zeros((5, 1))), (np.zeros((3, 1)), np.zeros((3, 1)))])
    >>> batch["x"].shape, batch["lengths"]
    (torch.Size([2, 5, 1]), tensor([5, 3]))
    """

    x: Tensor
    y: Tensor
    lengths: Tensor


Pair = tuple[np.ndarray, np.ndarray]  # one signal and its target, as numpy reads them


def new_state(
    architecture: str,
    hparams: Hparams,
    weights: Weights,
    fold: int = 1,
    steps: Steps | None = None,
    residual: bool = False,
) -> State:
    """An untrained state that holds copies of `weights` on the CPU."""
    copied = [dict(step) for step in steps or ()]
    inside = {"fold": fold if fold > 1 else None, "steps": copied or None, "residual": residual or None}
    return State(
        architecture=architecture,
        hparams=hparams,
        weights=copy_weights(weights),
        preprocessing=new_preprocessing(inside),
        postprocessing=new_postprocessing(),
        frozen=[],
        training_info={},
    )


def new_preprocessing(known: Mapping[str, Any] | None = None) -> Preprocessing:
    """All keys of a state's preprocessing, None where `known` has no word for one."""
    return cast(Preprocessing, dict.fromkeys(Preprocessing.__annotations__) | dict(known or {}))


def new_postprocessing(known: Mapping[str, Any] | None = None) -> Postprocessing:
    """Both keys of a state's postprocessing, nothing where `known` has no word for one."""
    return cast(Postprocessing, {"outputs": None, "events": {}} | dict(known or {}))


def changed(state: State, **changes: Any) -> State:
    """A new state with some of its values changed; `state` stays as it is, and shares nothing with it. Weights that are
    given are taken as they are."""
    given = {name: changes.pop(name) for name in ("weights",) if name in changes}
    copied = copy.deepcopy({name: value for name, value in {**state, **changes}.items() if name not in given})
    return cast(State, {**state, **copied, **given})


def copy_weights(weights: Weights) -> dict[str, Tensor]:
    """Detached, contiguous float32 copies on the CPU that share memory with nothing."""
    return {name: weight.detach().to("cpu", torch.float32, copy=True).contiguous() for name, weight in weights.items()}


def count_parameters(weights: Weights) -> int:
    """How many numbers `weights` holds."""
    return sum(weight.numel() for weight in weights.values())


def seeded_generator(seed: int) -> torch.Generator:
    """A CPU generator of its own, so that the global one stays as it is."""
    return torch.Generator().manual_seed(seed)
