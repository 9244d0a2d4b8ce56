"""Augmenting: training signals as functions change them anew each epoch, and what all such functions share."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, ParamSpec

import numpy as np
from torch import Tensor

from neurallib.checks import number, takes
from neurallib.names import hinted
from neurallib.signals.arrays import as_numbers, runs_of
from neurallib.signals.targets import as_target
from neurallib.state import Pair
from neurallib.tasks import Task
from neurallib.warn import noted

_PARTS = 8  # of a signal, whose median size is that of its beats
_HELP = """\
Returns
-------
callable
    (x, y, generator) -> (x, y), for `augment` of `train`, and for `compose_augmentations`.

Raises
------
TypeError, ValueError
    If an argument is of another kind or out of its range.

"""
Augment = Callable[[np.ndarray, np.ndarray, np.random.Generator], tuple[Any, Any]]
P = ParamSpec("P")


class Augmentation(NamedTuple):
    """A function of a signal [T, C], its target and a generator, and the seed of what the generator draws."""

    function: Augment
    seed: int

    def draw(
        self, x: np.ndarray, y: Tensor, *, place: int, epoch: int, task: Task, name: str
    ) -> tuple[np.ndarray, Tensor]:
        """The signal at `place` in the data as it is in an epoch, or an error where the function, which gets arrays of
        its own, gives no signal with a target."""
        # Seed, epoch and place in one list would be ambiguous: numpy takes (7, 1) and (7, 1, 0) for the same.
        generator = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(epoch, place)))
        with noted(f"augment was given {name} in epoch {epoch + 1}."):
            given = self.function(as_floats(x), y.numpy().copy(), generator)
        what = f"{name} as augment gave it in epoch {epoch + 1}"
        given = as_pair(given, what)
        new_x = as_numbers(given[0], f"x of {what}")
        if new_x.ndim != 2 or new_x.shape[1] != x.shape[1] or len(new_x) == 0:
            raise ValueError(f"x of {what} has shape {new_x.shape}; expected (T, {x.shape[1]}), one step at least.")
        new_y, corrections = as_target(given[1], len(new_x), task, what)
        if corrections:
            raise ValueError(f"y of {what} has shape {np.shape(given[1])}; expected {tuple(new_y.shape)}.")
        return new_x, new_y


def as_augmentation(function: Any, seed: int) -> Augmentation | None:
    """What `train` is given as `augment`, or TypeError."""
    return None if function is None else Augmentation(as_function("augment", function), seed)


def as_function(name: str, function: Any, more: str = "") -> Augment:
    """A function that augments, or TypeError; `more` is expected as well."""
    expected = "(x [T, C], y, generator) -> (x, y)"
    if not callable(function):
        way = ": compose_augmentations(*them) makes one of several" if isinstance(function, (list, tuple)) else ""
        raise TypeError(f"{name} is a {type(function).__name__}; expected a function {expected}{more}{way}.")
    try:
        takes(name, function, 3, expected)
    except TypeError as error:
        raise TypeError(f"{error} Those of the library are made by a call, such as nl.augment_noise().") from error
    made: Augment = function
    return made


def as_part(i: int, part: Any) -> tuple[float, Augment]:
    """How often one of several augmentations is applied, and the augmentation."""
    probability, function = part if isinstance(part, tuple) and len(part) == 2 else (1.0, part)
    known = as_function(f"part {i}", function, ", or (probability, it)")

    @functools.wraps(known)
    def augment(x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> tuple[Any, Any]:
        return as_pair(known(x, y, generator), f"what part {i} gave")

    return number(f"the probability of part {i}", probability, 0, 1), augment


def as_pair(given: Any, what: str) -> tuple[Any, Any]:
    """What an augmentation gave, or TypeError."""
    if not isinstance(given, (tuple, list)) or len(given) != 2:
        raise TypeError(f"{what} is a {type(given).__name__}; expected a pair (x, y).")
    return given[0], given[1]


def makes_augmentation(factory: Callable[P, Augment]) -> Callable[P, Augment]:
    """The function, what it makes being checked, and its help telling what all such functions give and raise."""
    known = hinted(factory)

    @functools.wraps(known)
    def make(*args: P.args, **kwargs: P.kwargs) -> Augment:
        return _checked(known(*args, **kwargs))

    if said := inspect.getdoc(factory):  # none under python -OO
        make.__doc__ = said.replace("See Also\n", f"{_HELP}See Also\n", 1)
    return make


def _checked(function: Augment) -> Augment:
    """An augmentation that tells what is no signal [T, C] with a target and a generator, where numpy would make
    something of it."""

    @functools.wraps(function)
    def augment(x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> tuple[Any, Any]:
        signal, target = as_numbers(x, "x", gaps=True), as_numbers(y, "y", gaps=True)
        if signal.ndim != 2 or signal.size == 0:
            way = ": x[:, None] of a signal [T]" if signal.ndim == 1 else ""
            raise ValueError(f"x has shape {signal.shape}; expected [T, C], neither of them 0{way}.")
        if not isinstance(generator, np.random.Generator):
            raise TypeError(f"generator is a {type(generator).__name__}; expected one, as np.random.default_rng(0) is.")
        return function(signal, target, generator)

    return augment


def as_floats(x: np.ndarray) -> np.ndarray:
    """A copy in float32, or in float64 where that would lose something."""
    double = np.result_type(x.dtype, np.float32).itemsize > 4
    return np.array(x, dtype=np.float64 if double else np.float32, order="C")


def between(factor: tuple[float, float], generator: np.random.Generator) -> float:
    """A factor, as likely above as below the middle of its range on a scale of ratios."""
    return float(np.exp(generator.uniform(*np.log(factor))))


def heights(x: np.ndarray) -> np.ndarray:
    """How high the beats of each channel are [C]: the median of what parts of a signal [T, C] have from peak to peak,
    gaps left out."""
    parts = np.array_split(x, min(_PARTS, len(x)))
    return np.asarray(np.nanmedian([np.fmax.reduce(part) - np.fmin.reduce(part) for part in parts], axis=0))


def is_per_step(x: np.ndarray, y: np.ndarray) -> bool:
    """Whether a target says something of each step of its signal."""
    return y.ndim > 0 and len(y) == len(x)


def label_runs(y: np.ndarray) -> list[tuple[int, int]]:
    """From where to where a target of yes and no [T] or [T, 1] is above a half: its events."""
    above = (y if y.ndim == 1 else np.nan_to_num(y).max(axis=1)) > 0.5
    return [(start, stop) for start, stop in runs_of(above).tolist()]


def at_places(x: np.ndarray, y: np.ndarray, places: np.ndarray) -> Pair:
    """A signal [T, C] at ascending places between its steps, and where its target is of each step, that too."""
    moved = _between(x, places)
    if not is_per_step(x, y):
        return moved, y
    if are_labels(y) or bool(((y == np.rint(y)) | np.isnan(y)).all()):
        return moved, _labels_at(y, np.rint(places).astype(np.int64))
    return moved, _between(y.reshape(len(y), -1), places).reshape(-1, *y.shape[1:])


def are_labels(y: np.ndarray) -> bool:
    """Whether a target may tell of events: classes, or yes and no from 0 to 1."""
    return y.dtype.kind != "f" or bool(((y >= 0) & (y <= 1) | np.isnan(y)).all())


def _between(x: np.ndarray, places: np.ndarray) -> np.ndarray:
    return np.stack([np.interp(places, np.arange(len(x)), column) for column in x.T], axis=1)


def _labels_at(y: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Labels [T] or [T, K] at ascending steps; what is above a half nowhere but between two of them is on the nearer
    one, as the label of a single step has to be where a signal is shortened."""
    labels: np.ndarray = y[taken]
    for column in y.reshape(len(y), -1).T:
        for low, high in label_runs(column):
            after = int(np.searchsorted(taken, low))
            if after == len(taken) or taken[after] >= high:
                middle = (low + high - 1) // 2
                labels[np.abs(taken - middle).argmin()] = y[middle]
    return labels
