"""What another heart, another lead or another recorder would have made of a signal: for `augment` of `train`."""

from __future__ import annotations

import numpy as np

from neurallib.checks import interval, number, seconds
from neurallib.signals.augmenting import (
    Augment, at_places, between, heights, is_per_step, label_runs, makes_augmentation,
)  # fmt: skip
from neurallib.state import Pair


@makes_augmentation
def augment_rhythm(
    sampling_frequency: float,
    factor: tuple[float, float] = (0.4, 2.5),
    *,
    irregularity: tuple[float, float] = (0.8, 1.25),
    kept: float = 0.12,
) -> Augment:
    """What lies between events becomes longer or shorter, and events stay as they are: slow, fast and uneven hearts.

    A heart that beats twice as fast does not make its QRS complexes half as long, as `augment_stretch` would. Each step
    takes the label of the nearest moment, and no event is lost. A signal whose target is not of each step stays as it
    is.

    Parameters
    ----------
    sampling_frequency : float
        Hz, of the signals.
    factor : (float, float)
        How many times as long all stretches between events become; drawn on a scale of ratios.
    irregularity : (float, float)
        Between which each stretch has a further factor of its own.
    kept : float
        Seconds on either side of an event's middle that stay as they are.

    See Also
    --------
    augment_stretch : all of it faster or slower.

    Examples
    --------
    >>> import neurallib as nl, numpy as np
    >>> augment = nl.augment_rhythm(100.0, (2, 2), irregularity=(1, 1), kept=0.1)
    >>> y = nl.peak_labels(np.array([50, 150]), 200, 5)[:, None]
    >>> x, y = augment(np.zeros((200, 1)), y, np.random.default_rng(0))
    >>> np.flatnonzero(np.diff(y[:, 0]))  # events of 11 steps as before, 179 steps apart instead of 100
    array([ 84,  95, 263, 274])
    """
    rate = number("sampling_frequency", sampling_frequency, 0, low_open=True)
    interval("factor", factor, 0)
    interval("irregularity", irregularity, 0)
    reach = round(seconds("kept", kept) * rate)

    def augment(x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> Pair:
        if not is_per_step(x, y) or len(x) < 2:
            return x, y
        all_of_them, low = between(factor, generator), 0
        step = np.ones(len(x))  # how long each becomes
        for start, stop in [*label_runs(y), (len(x) + reach, len(x) + reach + 1)]:
            middle = (start + stop - 1) // 2
            step[low : max(middle - reach, low)] = all_of_them * between(irregularity, generator)
            low = max(low, middle + reach + 1)
        place = np.cumsum(step) - step
        return at_places(x, y, np.interp(np.arange(int(place[-1]) + 1), place, np.arange(len(x))))

    return augment


@makes_augmentation
def augment_lead(turn: tuple[float, float] = (-60.0, 60.0), *, mix: float = 1.0) -> Augment:
    """Another lead of the same heart: channels are mixed with one another, and the shape of waves is turned.

    The phase of all frequencies is turned alike, so that a wave of one peak becomes one of two, as from R to RS or QR,
    and stays where it was. Of several channels each becomes a mixture of all, as a lead is of others.

    Parameters
    ----------
    turn : (float, float)
        Degrees, between which the phase is turned; 180 is upside down.
    mix : float
        How much of the other channels there is in each, in [0, 1]; each is first brought to the size of the one.

    See Also
    --------
    augment_scale : an electrode the other way round.

    Examples
    --------
    >>> import neurallib as nl, numpy as np
    >>> x = np.exp(-0.5 * ((np.arange(1000) - 500) / 4.0) ** 2)[:, None]
    >>> turned, _ = nl.augment_lead((90, 90))(x, np.zeros(1), np.random.default_rng(0))
    >>> int(turned.argmin()), int(turned.argmax())  # a wave of two peaks, its middle where the one was
    (495, 505)
    """
    interval("turn", turn, -np.inf)
    number("mix", mix, 0, 1)

    def augment(x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> Pair:
        size = x.std(axis=0)
        others = mix * generator.uniform(-1, 1, (x.shape[1], x.shape[1])) * size / np.where(size > 0, size, 1)[:, None]
        np.fill_diagonal(others, 1)
        mixed = x if x.shape[1] == 1 else x @ others
        angle = np.deg2rad(generator.uniform(*turn))
        spectrum = np.fft.rfft(np.concatenate([mixed, mixed[::-1]]), axis=0)  # mirrored: its ends meet
        spectrum[1:] *= np.exp(-1j * angle)
        return np.fft.irfft(spectrum, n=2 * len(x), axis=0)[: len(x)], y

    return augment


@makes_augmentation
def augment_pacing(
    sampling_frequency: float,
    size: tuple[float, float] = (0.1, 2.0),
    *,
    ventricular: tuple[float, float] = (0.02, 0.07),
    atrial: tuple[float, float] = (0.12, 0.22),
) -> Augment:
    """The spikes of a pacemaker before events: of the ventricle, of the atrium or of both, some of them in vain.

    A spike is one sample, or shared between two neighbours, and the electrode may need some hundredths of a second to
    come back from it. Half of the signals have spikes of the ventricle, a quarter of the atrium and a quarter of both.
    In three of ten only some events are paced; in two of ten two spikes stand anywhere, without an event. Labels stay
    as they are; a signal without an event, or whose target is not of each step, stays as it is.

    Parameters
    ----------
    sampling_frequency : float
        Hz, of the signals.
    size : (float, float)
        Of a spike, in heights of its channel (the median of what eight parts have from peak to peak), upwards or
        downwards; drawn on a scale of ratios.
    ventricular, atrial : (float, float)
        Seconds from a spike to the middle of its event, drawn for each signal.

    See Also
    --------
    augment_rhythm : slow, fast and uneven hearts.

    Examples
    --------
    >>> import neurallib as nl, numpy as np
    >>> augment = nl.augment_pacing(100.0, (1, 1), ventricular=(0.05, 0.05), atrial=(0.05, 0.05))
    >>> y = nl.peak_labels(np.array([100]), 200, 5)[:, None]
    >>> x, _ = augment(np.sin(np.arange(200.0))[:, None], y, np.random.default_rng(1))
    >>> int(np.abs(x[:, 0]).argmax())  # 0.05 s before the event
    95
    """
    rate = number("sampling_frequency", sampling_frequency, 0, low_open=True)
    interval("size", size, 0)
    for name, lag in (("ventricular", ventricular), ("atrial", atrial)):
        interval(name, lag, -np.inf)
        seconds(name, max(0, lag[1]))

    def augment(x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> Pair:
        runs = label_runs(y) if is_per_step(x, y) else []
        beats = np.array([(start + stop - 1) / 2 for start, stop in runs])
        if len(beats) == 0:
            return x, y
        height = heights(x) * between(size, generator) * generator.choice([-1, 1], x.shape[1])
        chambers = ([ventricular], [atrial], [ventricular, atrial])[generator.choice(3, p=[0.5, 0.25, 0.25])]
        paced = generator.random(len(beats)) < (1.0 if generator.random() < 0.7 else 0.6)
        places = [beats[paced] - generator.uniform(*lag) * rate for lag in chambers]
        if generator.random() < 0.2:
            places.append(generator.uniform(0, len(x), 2))
        spike = np.bincount(*_between_steps(np.concatenate(places), len(x)), minlength=len(x))
        share, seconds = generator.uniform(0, 0.3), generator.uniform(0.008, 0.05)
        after = np.exp(-np.arange(1, 1 + int(0.25 * rate)) / (seconds * rate))
        back = np.convolve(spike, np.concatenate([[0.0], after]))[: len(x)]
        return x + ((spike - share * back)[:, None] * height).astype(x.dtype), y

    return augment


def _between_steps(places: np.ndarray, n_steps: int) -> tuple[np.ndarray, np.ndarray]:
    """The steps on either side of places within a signal, and how much of each place falls to them."""
    places = places[(places >= 0) & (places < n_steps - 1)]
    low = places.astype(np.int64)
    return np.concatenate([low, low + 1]), np.concatenate([1 - (places - low), places - low])


@makes_augmentation
def augment_resampling(sampling_frequency: float, rate: tuple[float, float]) -> Augment:
    """As a slower recorder would have had it: fewer samples, with lines between them.

    Parameters
    ----------
    sampling_frequency : float
        Hz, of the signals, which keep it.
    rate : (float, float)
        Hz, between which the recorder's rate is drawn on a scale of ratios.

    See Also
    --------
    augment_stretch : faster or slower.

    Examples
    --------
    >>> import neurallib as nl, numpy as np
    >>> augment = nl.augment_resampling(100.0, (50, 50))
    >>> x, _ = augment((np.arange(100.0) % 2)[:, None], np.zeros(100), np.random.default_rng(0))
    >>> bool(np.ptp(x) < 1)  # what was as fast as the samples is gone
    True
    """
    own = number("sampling_frequency", sampling_frequency, 0, low_open=True)
    interval("rate", rate, 0)

    def augment(x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> Pair:
        steps, every = np.arange(len(x)), own / between(rate, generator)
        at = np.arange(-generator.random() * every, len(x) - 1 + every, every)
        return np.stack([np.interp(steps, at, np.interp(at, steps, column)) for column in x.T], axis=1), y

    return augment
