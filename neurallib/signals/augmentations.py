"""What happens to biosignals on their way: functions (x, y, generator) -> (x, y) that compose, for `augment=` of train."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from neurallib.checks import choice, integer, number
from neurallib.signals.augmentation import Augment

Range = tuple[float, float]
Pair = tuple[np.ndarray, np.ndarray]
REFERENCES = ("beats", "signal")
_BLOCKS = 8  # of a signal, whose median size is that of its beats


def compose_augmentations(*parts: Augment | tuple[float, Augment]) -> Augment:
    functions = [_part(i, part) for i, part in enumerate(parts)]

    def augment(x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> Any:
        for probability, function in functions:
            if probability == 1 or generator.random() < probability:
                x, y = function(x, y, generator)
        return x, y

    return augment


def augment_noise(
    noise: Sequence[np.ndarray] | None = None,
    *,
    snr: Range = (-6.0, 18.0),
    reference: str = "beats",
    speed: Range = (1.0, 1.0),
    burst: bool = False,
) -> Augment:
    records = None if noise is None else [_record(i, one) for i, one in enumerate(noise)]
    _range("snr", snr, -np.inf), _range("speed", speed, 0)
    choice("reference", reference, REFERENCES)

    def augment(x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> Pair:
        columns = [_noise(records, len(x), generator.uniform(*speed), generator) for _ in range(x.shape[1])]
        added = np.stack(columns, axis=1)
        if burst:
            middle, width = generator.uniform(0, len(x)), generator.uniform(0.03, 0.3) * len(x)
            added *= np.exp(-0.5 * ((np.arange(len(x)) - middle) / width) ** 2)[:, None]
        return x + added * _gain(x, generator.uniform(*snr), reference), y

    return augment


def augment_motion(sampling_frequency: float, *, snr: Range = (-6.0, 18.0), reference: str = "beats") -> Augment:
    rate = number("sampling_frequency", sampling_frequency, 30)
    _range("snr", snr, -np.inf)
    choice("reference", reference, REFERENCES)

    def augment(x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> Pair:
        make = _rumble if generator.random() < 0.6 else _steps
        added = np.stack([make(len(x), rate, generator) for _ in range(x.shape[1])], axis=1)
        return x + added * _gain(x, generator.uniform(*snr), reference), y

    return augment


def augment_hum(
    sampling_frequency: float,
    *,
    frequencies: Sequence[float] = (50.0, 60.0),
    snr: Range = (4.0, 30.0),
    reference: str = "beats",
) -> Augment:
    rate = number("sampling_frequency", sampling_frequency, 0, low_open=True)
    _range("snr", snr, -np.inf)
    choice("reference", reference, REFERENCES)

    def augment(x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> Pair:
        phase = 2 * np.pi * generator.choice(frequencies) / rate * np.arange(len(x)) + generator.uniform(0, 2 * np.pi)
        return x + np.sqrt(2) * np.sin(phase)[:, None] * _gain(x, generator.uniform(*snr), reference), y

    return augment


def augment_scale(
    factor: Range = (0.5, 2.0), *, drift: Range | None = None, inversion: float = 0.0
) -> Augment:
    _range("factor", factor, 0)
    number("inversion", inversion, 0, 1)
    if drift is not None:
        _range("drift", drift, 0)

    def augment(x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> Pair:
        gain = np.full((len(x), 1), _between(factor, generator))
        if drift is not None:
            knots = [np.log(_between(drift, generator)) for _ in range(5)]
            gain *= np.exp(np.interp(np.arange(len(x)), np.linspace(0, len(x), 5), knots))[:, None]
        if generator.random() < inversion:
            gain = -gain
        return x * gain, y

    return augment


def augment_stretch(factor: Range = (0.8, 1.25)) -> Augment:
    _range("factor", factor, 0)

    def augment(x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> Pair:
        n_steps = max(1, round(len(x) * _between(factor, generator)))
        at = np.linspace(0, len(x) - 1, n_steps)
        stretched = np.stack([np.interp(at, np.arange(len(x)), column) for column in x.T], axis=1)
        return stretched, y[np.rint(at).astype(np.int64)] if _is_per_step(x, y) else y

    return augment


def augment_dropout(sampling_frequency: float, *, duration: Range = (0.3, 2.5)) -> Augment:
    rate = number("sampling_frequency", sampling_frequency, 0, low_open=True)
    _range("duration", duration, 0)

    def augment(x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> Pair:
        size = min(len(x), max(1, round(generator.uniform(*duration) * rate)))
        start = int(generator.integers(0, len(x) - size + 1))
        x, y = x.copy(), y.copy()
        x[start : start + size] = x[start] if generator.random() < 0.5 else 0
        if _is_per_step(x, y):
            for low, high in _events(y):
                if start <= (low + high - 1) / 2 < start + size:
                    y[low:high] = 0
        return x, y

    return augment


def augment_crop(n_steps: int) -> Augment:
    size = integer("n_steps", n_steps)

    def augment(x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> Pair:
        start = int(generator.integers(0, max(len(x) - size, 0) + 1))
        kept = slice(start, start + size)
        return x[kept], y[kept] if _is_per_step(x, y) else y

    return augment


def augment_channels(*, dropout: float = 0.1, rotation: int = 0) -> Augment:
    number("dropout", dropout, 0, 1, high_open=True)
    integer("rotation", rotation, minimum=0)

    def augment(x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> Pair:
        x = np.roll(x, int(generator.integers(-rotation, rotation + 1)), axis=1)
        lost = generator.random(x.shape[1]) < dropout
        lost[generator.integers(x.shape[1])] = False  # one is left
        return np.where(lost, 0, x), y

    return augment


def label_runs(y: np.ndarray) -> list[tuple[int, int]]:
    """From where to where a target of yes and no [T] or [T, 1] is above a half: its events."""
    above = np.zeros(len(y) + 2, np.int8)
    above[1:-1] = (y if y.ndim == 1 else np.nan_to_num(y).max(axis=1)) > 0.5
    change = np.diff(above)
    return list(zip(np.flatnonzero(change == 1).tolist(), np.flatnonzero(change == -1).tolist(), strict=True))


_events = label_runs


def _part(i: int, part: Any) -> tuple[float, Augment]:
    probability, function = part if isinstance(part, tuple) and len(part) == 2 else (1.0, part)
    if not callable(function):
        raise TypeError(f"part {i} is {part!r}; expected a function (x, y, generator) -> (x, y), or (probability, it).")
    return number(f"the probability of part {i}", probability, 0, 1), function


def _range(name: str, value: Any, low: float) -> None:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        raise TypeError(f"{name}={value!r}; expected two numbers, from which to which it is drawn.")
    first, last = (number(name, side, low, low_open=True) for side in value)
    if first > last:
        raise ValueError(f"{name}={value!r}; expected the lower number first.")


def _record(i: int, noise: Any) -> np.ndarray:
    values: np.ndarray = np.asarray(noise, dtype=np.float64)
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or len(values) < 2 or not np.isfinite(values).all():
        raise ValueError(f"noise[{i}] has shape {values.shape}; expected [n] or [n, C], finite, of the signals' rate.")
    return values


def _between(factor: Range, generator: np.random.Generator) -> float:
    """A factor, as likely above as below the middle of its range on a scale of ratios."""
    return float(np.exp(generator.uniform(*np.log(factor))))


def _is_per_step(x: np.ndarray, y: np.ndarray) -> bool:
    return y.ndim > 0 and len(y) == len(x)


def _gain(x: np.ndarray, snr: float, reference: str) -> np.ndarray:
    """What noise of unit power is multiplied by, for each channel [C]."""
    if reference == "signal":
        power = x.var(axis=0)
    else:
        parts = np.array_split(x, min(_BLOCKS, len(x)))
        power = np.median([np.ptp(part, axis=0) for part in parts], axis=0) ** 2 / 8
    gain: np.ndarray = np.sqrt(power / 10 ** (snr / 10))
    return gain


def _noise(
    records: list[np.ndarray] | None, n_steps: int, speed: float, generator: np.random.Generator
) -> np.ndarray:
    """A piece of noise [T] of about unit power: recorded noise keeps half of how loud it was there and then."""
    if records is None:
        return generator.standard_normal(n_steps)
    record = records[generator.integers(len(records))]
    column = record[:, generator.integers(record.shape[1])]
    wanted = min(int(n_steps * speed) + 2, len(column))
    start = int(generator.integers(0, len(column) - wanted + 1))
    piece = column[start : start + wanted]
    piece = np.interp(np.linspace(0, wanted - 1, n_steps), np.arange(wanted), piece)
    piece = piece - piece.mean()
    loudness = 0.5 * piece.std() + 0.5 * column.std()
    return piece * generator.choice([-1.0, 1.0]) / (loudness if loudness > 0 else 1.0)


def _rumble(n_steps: int, rate: float, generator: np.random.Generator) -> np.ndarray:
    """Slow waves that look like beats, loud and quiet in turn."""
    from scipy.signal import butter, sosfilt

    high = min(10 ** generator.uniform(0.0, 1.1) + 0.4, 0.45 * rate)
    sections = butter(int(generator.integers(1, 3)), [0.6, high], "bandpass", fs=rate, output="sos")
    lead_in = round(2 * rate)
    waves = sosfilt(sections, generator.standard_normal(n_steps + lead_in))[lead_in:]
    if generator.random() < 0.5:
        waves = waves * np.interp(
            np.arange(n_steps), np.linspace(0, n_steps, 8), 10 ** generator.uniform(-1, 0.3, 8)
        )
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
