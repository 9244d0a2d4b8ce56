"""Normalization: the shift and scale of a signal by itself or of a data set, applied before a network and undone after.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from neurallib.checks import choice
from neurallib.steps import apply_steps, n_inputs
from neurallib.tasks import Task


class Scale(NamedTuple):
    """What is taken off each channel and what then divides it; an infinite scale makes a channel without a shape 0."""

    shift: np.ndarray  # [C] float64
    scale: np.ndarray

    def apply(self, x: np.ndarray) -> np.ndarray:
        """[..., C] float32, computed in float64."""
        scaled: np.ndarray = (np.asarray(x, dtype=np.float64) - self.shift) / self.scale
        return scaled.astype(np.float32)

    def over_steps(self, n_dims: int) -> Scale:
        """Of signals, [B, K], for values [B, K] or [B, T, K]."""
        return self if n_dims == 2 else Scale(self.shift[:, None], self.scale[:, None])

    @property
    def factor(self) -> np.ndarray:
        """What undoing multiplies by, [C]: without a shape there is nothing but the shift."""
        return np.where(np.isinf(self.scale), 0.0, self.scale)

    def undo(self, y: np.ndarray) -> np.ndarray:
        """[..., C] float64 in the units that `apply` was given."""
        values: np.ndarray = np.asarray(y, dtype=np.float64) * self.factor + self.shift
        return values


N_BLOCKS = 8  # of a signal, whose highest values are its size: beats, and not what rarely exceeds them
USUAL = 0.75  # the share of windows that are no larger than the usual one: some rest
RESTS = 3.0  # times smaller than that is a window that mostly rests: of DS1 pauses, flutter that halts, lost electrodes
IQR_OF_NORMAL = 1.349  # interquartile range of a normal distribution of deviation 1


def _minmax(x: np.ndarray) -> Scale:
    columns = np.ascontiguousarray(x.T)  # whose ends numpy finds many times as fast as those of rows
    low = columns.min(axis=1)
    return Scale(low, columns.max(axis=1) - low)


def _zscore(x: np.ndarray) -> Scale:
    # As x.mean and x.std, to the bit, without their bookkeeping, which takes longer than a short signal's numbers.
    mean = np.add.reduce(x, axis=0) / len(x)
    centred = x - mean
    return Scale(mean, np.sqrt(np.add.reduce(centred * centred, axis=0) / len(x)))


def _robust(x: np.ndarray) -> Scale:
    low, median, high = np.percentile(x, [25, 50, 75], axis=0)
    spread = (high - low) / IQR_OF_NORMAL
    return Scale(median, np.where(_flat(spread, x), x.std(axis=0), spread))  # as of a signal that mostly rests


def _block(x: np.ndarray, n_blocks: int = N_BLOCKS) -> Scale:
    median = np.median(x, axis=0)
    highest = np.stack([part.max(axis=0) for part in np.array_split(np.abs(x - median), min(n_blocks, len(x)))])
    size = np.median(highest, axis=0)
    return Scale(median, np.where(_flat(size, x), highest.max(axis=0), size))


OWN: dict[str, Callable[[np.ndarray], Scale]]
OWN = {"minmax": _minmax, "zscore": _zscore, "robust": _robust, "block": _block}
NORMALIZATIONS = (*OWN, "dataset")
TARGET_NORMALIZATIONS = ("dataset", "signal")


def check_normalization(known: Mapping[str, Any], task: Task, to_decide: bool = False) -> None:
    """Raise ValueError unless a state's preprocessing names normalizations that there are, that fit the task, and,
    but where they are to be decided, whose numbers are known."""
    normalization, of_target = known["normalization"], known["target_normalization"]
    if normalization is not None:
        choice("normalization", normalization, (*NORMALIZATIONS, *["auto"][:to_decide]))
    if of_target is not None and task.kind != "regression":
        raise ValueError(f"target_normalization={of_target!r} is for a regression; this task is a {task}.")
    if of_target is not None:
        choice("target_normalization", of_target, (*TARGET_NORMALIZATIONS, *["auto"][:to_decide]))
    by_itself = normalization in (*OWN, "auto")
    if of_target == "signal" and (task.seq2one or task.n_outputs != task.n_features or not by_itself):
        raise ValueError(
            f"target_normalization='signal' puts y into its signal's units: it needs a normalization of each signal "
            f"({', '.join(OWN)}; here {normalization!r}) and as many outputs a step as features; {task} has "
            f"{task.n_outputs} for {task.n_features}."
        )
    n_x = n_inputs(task.n_features, known["steps"])
    for name, n, used in (("x", n_x, normalization == "dataset"), ("y", task.n_outputs, of_target)):
        shift, scale = known[f"{name}_shift"], known[f"{name}_scale"]
        if not used or (to_decide and shift is None and scale is None):
            continue
        there = np.shape(shift) == np.shape(scale) == (n,)
        if not there or not np.isfinite(shift).all() or not np.greater(scale, 0).all():
            raise ValueError(
                f"state['preprocessing'] has {name}_shift={shift!r} and {name}_scale={scale!r}; expected {n} numbers "
                "each, the scales above 0. Training with normalization='dataset' finds them."
            )


def own_scale(x: np.ndarray, name: str, preprocessing: Mapping[str, Any] | None = None) -> Scale:
    """The scale of a signal [T, C] by itself; `name` is a key of OWN. Where a state's preprocessing tells of windows,
    "block" takes of a shorter signal as long blocks as of a window."""
    x = np.asarray(x, dtype=np.float64)
    if name == "block" and preprocessing is not None and preprocessing["window"] is not None:
        n_steps = preprocessing["window"] * (preprocessing["sampling_frequency"] or 1)
        shift, scale = _block(x, max(1, round(min(1.0, len(x) / n_steps) * N_BLOCKS)))
    else:
        shift, scale = OWN[name](x)
    return Scale(shift, np.where(_flat(scale, x), np.inf, scale))


def as_input(
    x: np.ndarray, preprocessing: Mapping[str, Any], own: Scale | None = None, before: int = 0
) -> tuple[np.ndarray, Scale | None]:
    """What a network is handed of the signal [T, C]: through the steps of a state's preprocessing and normalized,
    [T, n_inputs] float32; and what the signal's own channels were normalized with, `own` where that is known. Its first
    samples, as many as `before`, only warm up the filters."""
    stepped = apply_steps(x, preprocessing["steps"], preprocessing["sampling_frequency"])[before:]
    scale = signal_scale(stepped, preprocessing) if own is None or preprocessing["steps"] else own
    return _scaled(stepped, scale, x.shape[1])


def as_inputs(
    windows: Sequence[tuple[np.ndarray, int]], preprocessing: Mapping[str, Any]
) -> list[tuple[np.ndarray, Scale | None]]:
    """The same of windows of one signal that follow each other, each with how many samples are `before` it. One that
    mostly rests and in which something is about as high as in most others has their "block": what beats beside a pause
    would else be as large as nothing that was learnt."""
    steps, rate = preprocessing["steps"], preprocessing["sampling_frequency"]
    stepped = [apply_steps(x, steps, rate)[before:] for x, before in windows]
    by_block = preprocessing["normalization"] == "block"
    scales = _beside(stepped, preprocessing) if by_block else [signal_scale(x, preprocessing) for x in stepped]
    n_features = windows[0][0].shape[1]
    return [_scaled(x, own, n_features) for x, own in zip(stepped, scales, strict=True)]


def _beside(windows: list[np.ndarray], preprocessing: Mapping[str, Any]) -> Sequence[Scale | None]:
    """Of each window its "block", or the usual one."""
    scales = [own_scale(x, "block", preprocessing) for x in windows]
    usual = np.sort([own.scale for own in scales], axis=0)[int(USUAL * (len(scales) - 1))]
    rests = [
        (own.scale < usual / RESTS) & (np.abs(x - own.shift).max(axis=0) > usual / RESTS)
        for x, own in zip(windows, scales, strict=True)
    ]
    return [own._replace(scale=np.where(rest, usual, own.scale)) for own, rest in zip(scales, rests, strict=True)]


def _scaled(x: np.ndarray, scale: Scale | None, n_features: int) -> tuple[np.ndarray, Scale | None]:
    values = np.array(x, dtype=np.float32) if scale is None else scale.apply(x)
    return values, None if scale is None else Scale(scale.shift[:n_features], scale.scale[:n_features])


def by_window(preprocessing: Mapping[str, Any]) -> bool:
    """Whether a signal that is taken in windows is made an input window by window."""
    return preprocessing["normalization"] in OWN or bool(preprocessing["steps"])


def signal_scale(x: np.ndarray, preprocessing: Mapping[str, Any]) -> Scale | None:
    """What a state's preprocessing normalizes the signal [T, C] with; None: it stays as it comes."""
    match preprocessing["normalization"]:
        case None:
            return None
        case "dataset":
            return Scale(np.array(preprocessing["x_shift"]), np.array(preprocessing["x_scale"]))
        case name:
            return own_scale(x, name, preprocessing)


def target_scale(own: Scale | None, preprocessing: Mapping[str, Any]) -> Scale | None:
    """What a regression's target [..., K] is normalized with; `own` is its signal's scale."""
    if preprocessing["target_normalization"] is None:
        return None
    of_all = Scale(np.array(preprocessing["y_shift"]), np.array(preprocessing["y_scale"]))
    if preprocessing["target_normalization"] == "dataset" or own is None:
        return of_all
    offset = own.shift if preprocessing["target_offset"] else 0.0
    return Scale(offset + own.factor * of_all.shift, own.scale * of_all.scale)


def _flat(scale: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Which channels are constant but for rounding, and have no shape to blow up; rounding is measured against x."""
    flat: np.ndarray = scale <= 1e-12 * np.abs(np.ascontiguousarray(x.T)).max(axis=1, initial=0)
    return flat
