"""What is added to a signal on its way: recorded and simulated noise, as functions (x, y, generator) -> (x, y)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from neurallib.checks import boolean, choice, interval, number, several
from neurallib.names import helped_by
from neurallib.signals.arrays import as_numbers, is_recording, kind_of
from neurallib.signals.augmenting import Augment, heights, makes_augmentation
from neurallib.state import Pair

REFERENCES = ("beats", "signal")


@makes_augmentation
def augment_noise(
    noise: Sequence[np.ndarray] | None = None,
    *,
    snr: tuple[float, float] = (-6.0, 18.0),
    reference: str = "beats",
    speed: tuple[float, float] = (1.0, 1.0),
    burst: bool = False,
) -> Augment:
    """Noise that was recorded, or white noise, at a signal-to-noise ratio.

    Recorded noise keeps half of how loud it is here and there: a quiet stretch of a record is quieter than the ratio
    says, a loud one louder. Played faster, the slow wander of a baseline has the shape of what a moving electrode does.

    Parameters
    ----------
    noise : sequence of np.ndarray, optional
        Records [n] or [n, C] at the sampling frequency of the signals, such as muscle noise; each signal and channel
        gets a piece of one, either side up. By default white noise.
    snr : (float, float)
        dB, between which the signal-to-noise ratio is drawn anew for each signal.
    reference : str
        What counts as the signal's power: "beats", an eighth of the square of its height from peak to peak (the
        median of eight parts), as the MIT-BIH Noise Stress Test Database has it; "signal", its variance. Each channel
        has its own.
    speed : (float, float)
        How many times faster the record is played.
    burst : bool
        Let the noise swell and fade, in a bell that is wide 3 to 30 % of the signal (SD).

    See Also
    --------
    augment_motion : noise of electrodes without a record of it.
    augment_hum : of mains.

    Examples
    --------
    >>> import neurallib as nl, numpy as np
    >>> augment = nl.augment_noise(snr=(10, 10), reference="signal")
    >>> x = np.sin(np.arange(20_000) / 50)[:, None]
    >>> noisy, _ = augment(x, np.zeros(20_000), np.random.default_rng(0))
    >>> round(float(10 * np.log10(x.var() / (noisy - x).var())), 1)
    10.0
    """
    records = None if noise is None else _records(noise)
    loudness = [record.std(axis=0) for record in records or ()]  # of the whole, which takes longer than a piece
    interval("snr", snr, -np.inf)
    interval("speed", speed, 0)
    choice("reference", reference, REFERENCES)
    boolean("burst", burst)

    def augment(x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> Pair:
        columns = [_noise(records, loudness, len(x), generator.uniform(*speed), generator) for _ in range(x.shape[1])]
        added = np.stack(columns, axis=1)
        if burst:
            middle, width = generator.uniform(0, len(x)), generator.uniform(0.03, 0.3) * len(x)
            added *= np.exp(-0.5 * ((np.arange(len(x)) - middle) / width) ** 2)[:, None]
        return x + added * _gain(x, generator.uniform(*snr), reference), y

    return augment


@helped_by(augment_noise)
@makes_augmentation
def augment_motion(
    sampling_frequency: float, *, snr: tuple[float, float] = (-6.0, 18.0), reference: str = "beats"
) -> Augment:
    """The motion of an electrode, from random numbers alone.

    Either slow waves (up to 1 to 13 Hz) that may be loud and quiet in turn or spiky, and are easily taken for ectopic
    beats, or one to three jumps that decay within 0.05 to 2 seconds.

    Parameters
    ----------
    sampling_frequency : float
        Hz, of the signals, at least 30.

    See Also
    --------
    augment_noise : recorded noise.

    Examples
    --------
    >>> import neurallib as nl, numpy as np
    >>> augment = nl.augment_motion(125.0, snr=(0, 0), reference="signal")
    >>> x = np.sin(np.arange(1250) / 10)[:, None]
    >>> moved, _ = augment(x, np.zeros(1250), np.random.default_rng(0))
    >>> round(float((moved - x).var() / x.var()), 2)
    1.0
    """
    rate = number("sampling_frequency", sampling_frequency, 30)
    interval("snr", snr, -np.inf)
    choice("reference", reference, REFERENCES)

    def augment(x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> Pair:
        make = _rumble if generator.random() < 0.6 else _steps
        added = np.stack([make(len(x), rate, generator) for _ in range(x.shape[1])], axis=1)
        return x + added * _gain(x, generator.uniform(*snr), reference), y

    return augment


@helped_by(augment_noise)
@makes_augmentation
def augment_hum(
    sampling_frequency: float,
    *,
    frequencies: Sequence[float] = (50.0, 60.0),
    snr: tuple[float, float] = (4.0, 30.0),
    reference: str = "beats",
) -> Augment:
    """The hum of mains.

    Parameters
    ----------
    sampling_frequency : float
        Hz, of the signals.
    frequencies : sequence of float
        Hz, of which one is drawn for each signal; those from half the sampling frequency on are left out.

    See Also
    --------
    augment_noise : recorded and white noise.

    Examples
    --------
    >>> import neurallib as nl, numpy as np
    >>> augment = nl.augment_hum(500.0, frequencies=[50.0], snr=(0, 0), reference="signal")
    >>> x = np.sin(np.arange(5000) / 100)[:, None]
    >>> hum = augment(x, np.zeros(5000), np.random.default_rng(0))[0] - x
    >>> int(np.abs(np.fft.rfft(hum[:, 0])).argmax() * 500 / 5000)
    50
    """
    rate = number("sampling_frequency", sampling_frequency, 0, low_open=True)
    hums = several("frequencies", frequencies, 0)
    interval("snr", snr, -np.inf)
    choice("reference", reference, REFERENCES)
    heard = [each for each in hums if each < rate / 2]
    if not heard:
        raise ValueError(f"frequencies={frequencies!r}; signals of {rate:g} Hz hold what is below {rate / 2:g} Hz.")

    def augment(x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> Pair:
        phase = 2 * np.pi * generator.choice(heard) / rate * np.arange(len(x)) + generator.uniform(0, 2 * np.pi)
        return x + np.sqrt(2) * np.sin(phase)[:, None] * _gain(x, generator.uniform(*snr), reference), y

    return augment


def _records(noise: Any) -> list[np.ndarray]:
    if isinstance(noise, (str, Mapping)) or not isinstance(noise, Iterable) or getattr(noise, "ndim", 3) < 3:
        came = f"one array of shape {tuple(noise.shape)}" if hasattr(noise, "shape") else kind_of(noise)
        way = "[noise] of one, list(noise) of a stack [N, n]"
        raise TypeError(f"noise is {came}; expected a list of signals [n] or [n, C]: {way}.")
    records = [_record(i, one) for i, one in enumerate(noise)]
    if not records:
        raise ValueError("noise is empty; expected a list of signals, or None, which is white noise.")
    return records


def _record(i: int, noise: Any) -> np.ndarray:
    if is_recording(noise):
        raise TypeError(f"noise[{i}] is a recording; expected its signal, at the sampling frequency of the signals.")
    values = as_numbers(noise, f"noise[{i}]").astype(np.float64)
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or len(values) < 2 or not 0 < values.shape[1] <= len(values):
        expected = "expected [n] or [n, C] of the signals' rate, time first"
        raise ValueError(f"noise[{i}] has shape {values.shape}; {expected}.")
    return values


def _gain(x: np.ndarray, snr: float, reference: str) -> np.ndarray:
    """What noise of unit power is multiplied by, for each channel [C]."""
    power = x.var(axis=0) if reference == "signal" else heights(x) ** 2 / 8
    return np.sqrt(power / 10 ** (snr / 10))


def _noise(
    records: list[np.ndarray] | None,
    loudness: list[np.ndarray],
    n_steps: int,
    speed: float,
    generator: np.random.Generator,
) -> np.ndarray:
    """A piece of noise [T] of about unit power: recorded noise keeps half of how loud it was there and then."""
    if records is None:
        return generator.standard_normal(n_steps)
    which = generator.integers(len(records))
    channel = generator.integers(records[which].shape[1])
    column = records[which][:, channel]
    wanted = min(int(n_steps * speed) + 2, len(column))
    start = int(generator.integers(0, len(column) - wanted + 1))
    piece = column[start : start + wanted]
    piece = np.interp(np.linspace(0, wanted - 1, n_steps), np.arange(wanted), piece)
    piece = piece - piece.mean()
    loud = 0.5 * piece.std() + 0.5 * float(loudness[which][channel])
    return np.asarray(piece * generator.choice([-1.0, 1.0]) / (loud if loud > 0 else 1.0))


def _rumble(n_steps: int, rate: float, generator: np.random.Generator) -> np.ndarray:
    """Slow waves that look like beats, loud and quiet in turn."""
    from scipy.signal import butter, sosfilt

    high = min(10 ** generator.uniform(0.0, 1.1) + 0.4, 0.45 * rate)
    sections = butter(int(generator.integers(1, 3)), [0.6, high], "bandpass", fs=rate, output="sos")
    lead_in = round(2 * rate)
    waves = sosfilt(sections, generator.standard_normal(n_steps + lead_in))[lead_in:]
    if generator.random() < 0.5:
        loudness = 10 ** generator.uniform(-1, 0.3, 8)
        waves = waves * np.interp(np.arange(n_steps), np.linspace(0, n_steps, 8), loudness)
    if generator.random() < 0.3:  # spikes
        waves = np.sign(waves) * np.abs(waves) ** generator.uniform(1.2, 2)
    return _of_unit_power(waves)


def _steps(n_steps: int, rate: float, generator: np.random.Generator) -> np.ndarray:
    """Jumps that decay, as an electrode moves."""
    steps = np.zeros(n_steps)
    for _ in range(generator.integers(1, 4)):
        start = int(generator.integers(0, n_steps))
        t = np.arange(n_steps - start) / rate
        decay, rise = 10 ** generator.uniform(-1.3, 0.3), 10 ** generator.uniform(-2, -0.7)
        steps[start:] += generator.uniform(-1, 1) * np.exp(-t / decay) * (1 - np.exp(-t / rise))
    return _of_unit_power(steps)


def _of_unit_power(values: np.ndarray) -> np.ndarray:
    size = values.std()
    return values / size if size > 0 else values
