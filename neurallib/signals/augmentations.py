"""What happens to a signal on its way: functions (x, y, generator) -> (x, y) that compose, for `augment` of `train`."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurallib.checks import integer, interval, number, seconds
from neurallib.signals.augmenting import (
    Augment, are_labels, as_part, at_places, between, is_per_step, label_runs, makes_augmentation,
)  # fmt: skip
from neurallib.state import Pair


def compose_augmentations(*parts: Augment | tuple[float, Augment]) -> Augment:
    """One augmentation after the other, each always or at times.

    Parameters
    ----------
    *parts : callable, or (float, callable)
        Augmentations in their order; with a probability, how often one is applied.

    Returns
    -------
    callable
        (x, y, generator) -> (x, y), for `augment` of `train`, and for `compose_augmentations`.

    Raises
    ------
    TypeError, ValueError
        If a part is no function, or its probability not in [0, 1].

    See Also
    --------
    train : takes the result as `augment`.

    Examples
    --------
    >>> import neurallib as nl, numpy as np
    >>> augment = nl.compose_augmentations(nl.augment_crop(500), (0.5, nl.augment_noise(snr=(0, 20))))
    >>> x, y = augment(np.ones((900, 1)), np.zeros((900, 1)), np.random.default_rng(0))
    >>> x.shape, y.shape
    ((500, 1), (500, 1))
    """
    functions = [as_part(i, part) for i, part in enumerate(parts)]

    def augment(x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> Any:
        for probability, function in functions:
            if probability == 1 or generator.random() < probability:
                x, y = function(x, y, generator)
        return x, y

    return augment


@makes_augmentation
def augment_scale(
    factor: tuple[float, float] = (0.5, 2.0), *, drift: tuple[float, float] | None = None, inversion: float = 0.0
) -> Augment:
    """Another gain, one that drifts, or an electrode the other way round.

    A normalization of each signal takes off a gain, not one that drifts.

    Parameters
    ----------
    factor : (float, float)
        Between which the gain is drawn, on a scale of ratios.
    drift : (float, float), optional
        Between which a further gain is drawn at five moments, and goes from one to the next.
    inversion : float
        How often the signal is turned upside down, in [0, 1].

    See Also
    --------
    compose_augmentations : with others.

    Examples
    --------
    >>> import neurallib as nl, numpy as np
    >>> augment = nl.augment_scale((3, 3), inversion=1.0)
    >>> augment(np.ones((2, 1)), np.zeros(2), np.random.default_rng(0))[0]
    array([[-3.],
           [-3.]])
    """
    interval("factor", factor, 0)
    number("inversion", inversion, 0, 1)
    if drift is not None:
        interval("drift", drift, 0)

    def augment(x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> Pair:
        gain = np.full((len(x), 1), between(factor, generator))
        if drift is not None:
            knots = [np.log(between(drift, generator)) for _ in range(5)]
            gain *= np.exp(np.interp(np.arange(len(x)), np.linspace(0, len(x), 5), knots))[:, None]
        if generator.random() < inversion:
            gain = -gain
        return x * gain, y

    return augment


@makes_augmentation
def augment_stretch(factor: tuple[float, float] = (0.8, 1.25)) -> Augment:
    """Time goes faster or slower, and what is said of each step goes with it: other heart rates.

    Parameters
    ----------
    factor : (float, float)
        How many times as long a signal becomes; drawn between the two on a scale of ratios. Each step takes the label
        of the nearest moment, and an event that falls between two steps is on the nearer one; values of a regression
        that are no whole numbers and go beyond 0 to 1 are stretched as the signal is; a target of the whole signal
        stays as it is.

    See Also
    --------
    augment_crop : back to one length.

    Examples
    --------
    >>> import neurallib as nl, numpy as np
    >>> augment = nl.augment_stretch((2, 2))
    >>> x, y = augment(np.arange(4.0)[:, None], np.array([0, 0, 1, 0]), np.random.default_rng(0))
    >>> len(x), y
    (8, array([0, 0, 0, 0, 1, 1, 0, 0]))
    """
    interval("factor", factor, 0)

    def augment(x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> Pair:
        n_steps = max(1, round(len(x) * between(factor, generator)))
        return at_places(x, y, np.linspace(0, len(x) - 1, n_steps))

    return augment


@makes_augmentation
def augment_dropout(sampling_frequency: float, *, duration: tuple[float, float] = (0.3, 2.5)) -> Augment:
    """The signal is lost for a while, and with it the events of which half or more lies in the gap.

    The gap holds the last value before it, or 0. What lasts longer, such as a seizure or a stage of sleep, keeps its
    labels, and so does each value of a regression whose targets go beyond 0 to 1.

    Parameters
    ----------
    sampling_frequency : float
        Hz, of the signals.
    duration : (float, float)
        Seconds, between which the length of the gap is drawn.

    See Also
    --------
    augment_channels : whole channels are lost.

    Examples
    --------
    >>> import neurallib as nl, numpy as np
    >>> augment = nl.augment_dropout(100.0, duration=(0.5, 0.5))
    >>> x, y = augment(np.arange(1.0, 101)[:, None], np.ones((100, 1)), np.random.default_rng(1))
    >>> int((np.diff(x[:, 0]) != 1).sum())
    50
    """
    rate = number("sampling_frequency", sampling_frequency, 0, low_open=True)
    interval("duration", duration, 0)
    seconds("duration", duration[1], long=100)

    def augment(x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> Pair:
        size = min(len(x), max(1, round(generator.uniform(*duration) * rate)))
        start = int(generator.integers(0, len(x) - size + 1))
        x, y = x.copy(), y.copy()
        x[start : start + size] = x[start] if generator.random() < 0.5 else 0
        for column in y.reshape(len(y), -1).T if is_per_step(x, y) and are_labels(y) else ():
            for low, high in label_runs(column):
                lost = min(high, start + size) - max(low, start)
                if start <= (low + high - 1) / 2 < start + size and 2 * lost >= high - low:
                    column[low:high] = 0
        return x, y

    return augment


@makes_augmentation
def augment_crop(n_steps: int) -> Augment:
    """A part of the signal, anew each time.

    Parameters
    ----------
    n_steps : int
        How long; a shorter signal stays whole. Of a target of each step the same part.

    See Also
    --------
    augment_stretch : faster or slower.

    Examples
    --------
    >>> import neurallib as nl, numpy as np
    >>> x, y = nl.augment_crop(3)(np.arange(9.0)[:, None], np.arange(9), np.random.default_rng(0))
    >>> len(x), bool((x[:, 0] == y).all())
    (3, True)
    """
    size = integer("n_steps", n_steps)

    def augment(x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> Pair:
        start = int(generator.integers(0, max(len(x) - size, 0) + 1))
        kept = slice(start, start + size)
        return x[kept], y[kept] if is_per_step(x, y) else y

    return augment


@makes_augmentation
def augment_channels(*, dropout: float = 0.1, rotation: int = 0) -> Augment:
    """Channels are lost, or an armband or cap of electrodes is turned.

    Parameters
    ----------
    dropout : float
        How often each channel is 0, in [0, 1); one is always left.
    rotation : int
        By how many places at the most channels move round, either way.

    See Also
    --------
    augment_dropout : all channels are lost for a while.

    Examples
    --------
    >>> import neurallib as nl, numpy as np
    >>> augment = nl.augment_channels(dropout=0.9)
    >>> x, _ = augment(np.ones((1, 8)), np.zeros(1), np.random.default_rng(0))
    >>> int(x.sum())
    1
    """
    number("dropout", dropout, 0, 1, high_open=True)
    integer("rotation", rotation, minimum=0)

    def augment(x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> Pair:
        x = np.roll(x, int(generator.integers(-rotation, rotation + 1)), axis=1)
        kept = np.asarray(generator.random(x.shape[1]) >= dropout)
        kept[generator.integers(x.shape[1])] = True  # one is left
        return np.where(kept, x, 0), y

    return augment
