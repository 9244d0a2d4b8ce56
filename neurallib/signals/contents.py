"""What a file holds, as the reader of its format gives it, and what is asked for of it; signals read when sliced."""

from __future__ import annotations

import datetime
import math
import operator
import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache, partial
from typing import Any, NamedTuple, TypedDict

import numpy as np

from neurallib.checks import as_list, is_list
from neurallib.names import did_you_mean, listing
from neurallib.signals.arrays import bridged
from neurallib.signals.conversion import ratio_of, unit_factor

_MOST = 1e10  # Hz, and seconds
_REACH = 12  # samples at the lower of two rates that the filter hears on either side, and some more
Reader = Callable[[list[int], int, int], np.ndarray]  # columns, start, stop in samples -> [stop - start, C]


class Contents(NamedTuple):
    """What a file says of itself, channel by channel, and how its samples are read."""

    channels: list[str]
    units: list[str]  # "" where the file says none
    rates: list[float]  # Hz
    lengths: list[int]  # samples
    read: Reader  # of channels that share a rate; nan where the file marks no value
    events: list[tuple[float, str, float]] = []  # seconds from the first sample, symbol, seconds it lasts
    person: str | None = None
    start_time: str | None = None  # ISO 8601, as the recording's own clock tells
    notes: list[str] = []


class Events(TypedDict):
    """What is marked in a recording, in order of time.

    `sample` int64 [n] on the clock of the recording's signal; `symbol` [n], WFDB's symbol of a beat, else the text that
    was noted, such as "(AFIB" or "Sleep stage 2"; `duration` float64 [n] in seconds, 0 for a moment.
    """

    sample: np.ndarray
    symbol: list[str]
    duration: np.ndarray


class LazySignal:
    """A signal [T, C] float32 that stays in its file: slices of time are read, and `np.asarray` reads all."""

    dtype = np.dtype(np.float32)
    ndim = 2

    def __init__(self, read: Callable[[int, int], np.ndarray], n_steps: int, n_channels: int) -> None:
        self._read = read
        self.shape = (n_steps, n_channels)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        steps, *rest = key if isinstance(key, tuple) else (key,)
        if steps is Ellipsis:
            return np.asarray(self)[key]
        if isinstance(steps, slice):
            start, stop, step = steps.indices(len(self))
            if step > 0:
                part: tuple[Any, ...] = (slice(None, None, step), *rest)
                return self._read(start, stop)[part]
        elif isinstance(steps, (int, np.integer)):
            at = range(len(self))[operator.index(steps)]
            part = (0, *rest)
            return self._read(at, at + 1)[part]
        return np.asarray(self)[key]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("a lazily read signal has no array to share; expected copy=None or True.")
        values = self._read(0, len(self))
        return values if dtype is None else values.astype(dtype, copy=False)

    def __repr__(self) -> str:
        return f"LazySignal(shape={self.shape}, dtype=float32)"


def only(contents: Contents, columns: list[int]) -> Contents:
    """The contents of some columns alone: whatever is wrong with another does not matter."""
    kept: dict[str, Any] = {
        name: [getattr(contents, name)[column] for column in columns]
        for name in ("channels", "units", "rates", "lengths")
    }
    return contents._replace(read=partial(_of_columns, contents.read, columns), **kept)


def _of_columns(read: Reader, columns: list[int], asked: list[int], start: int, stop: int) -> np.ndarray:
    return read([columns[k] for k in asked], start, stop)


def at_one_rate(contents: Contents, rate: float) -> Contents:
    """The contents with all channels at one rate (Hz); still only what is asked for is read, and gaps stay gaps."""
    ratios = [ratio_of(rate, own, n) for own, n in zip(contents.rates, contents.lengths, strict=True)]
    lengths = [math.ceil(n * ratio) for n, ratio in zip(contents.lengths, ratios, strict=True)]
    read = partial(_resampled, contents.read, contents.lengths, ratios)
    moved = float(ratios[0]) * contents.rates[0] / rate  # what a filter leaves over, events go along with
    events = [(time * moved, symbol, duration * moved) for time, symbol, duration in contents.events]
    return contents._replace(rates=[rate] * len(ratios), lengths=lengths, read=read, events=events)


def _resampled(
    own: Reader, lengths: list[int], ratios: list[Fraction], columns: list[int], start: int, stop: int
) -> np.ndarray:
    return np.stack([_column_resampled(own, lengths[i], ratios[i], i, start, stop) for i in columns], axis=1)


def _column_resampled(own: Reader, n_steps: int, ratio: Fraction, column: int, start: int, stop: int) -> np.ndarray:
    """Samples start to stop of one channel at the other rate, `ratio` of them for one of its own."""
    if ratio == 1:
        return own([column], start, stop)[:, 0]
    reach, block = _REACH * max(1, math.ceil(1 / ratio)), ratio.denominator
    first = max(0, math.floor(start / ratio) - reach) // block * block  # where a sample of both rates is
    values = np.asarray(own([column], first, min(n_steps, math.ceil(stop / ratio) + reach)), np.float64)
    there, begin = np.isfinite(values[:, 0]), int(first * ratio)
    if not there.any():
        return np.full(stop - start, np.nan)
    found = _filtered(bridged(values), ratio)[start - begin : stop - begin]
    place = np.arange(start - begin, stop - begin) / float(ratio)
    beside = [np.minimum(round_(place).astype(int), len(values) - 1) for round_ in (np.floor, np.ceil)]
    return np.where(there[beside[0]] & there[beside[1]], found, np.nan)


def _filtered(x: np.ndarray, ratio: Fraction) -> np.ndarray:
    """A channel [T, 1] by a polyphase filter, over what it makes of a constant: no mean is needed, as `resampled` takes
    it, which would be another of each piece."""
    from scipy.signal import resample_poly

    both = np.hstack([x, np.ones_like(x)])
    filter_ = _filter(max(ratio.numerator, ratio.denominator)).astype(both.dtype)
    found, one = resample_poly(both, ratio.numerator, ratio.denominator, axis=0, window=filter_, padtype="edge").T
    return np.asarray(found / one)


@lru_cache(maxsize=4)
def _filter(longest: int) -> np.ndarray:
    """What `resample_poly` designs itself, anew in each call: of a clock that is a little off it is long."""
    from scipy.signal import firwin

    return np.asarray(firwin(20 * longest + 1, 1 / longest, window=("kaiser", 5.0)))


def lazy_signal(contents: Contents, start: int, stop: int, factors: np.ndarray | None = None) -> LazySignal:
    """The samples `start` to `stop`, multiplied by `factors`, as a signal of its own."""
    n_channels = len(contents.channels)
    return LazySignal(partial(_part, contents.read, n_channels, start, factors), stop - start, n_channels)


def _part(read: Reader, n_channels: int, offset: int, factors: np.ndarray | None, start: int, stop: int) -> np.ndarray:
    if stop <= start:
        return np.zeros((0, n_channels), dtype=np.float32)
    values = read(list(range(n_channels)), offset + start, offset + stop)
    return np.asarray(values if factors is None else values * factors, dtype=np.float32)


def picked(
    channels: Sequence[Any] | str | int | None, known: list[str], source: str, argument: str = "channels"
) -> tuple[list[int], list[str]]:
    """The columns that are asked for, by name, by number, or the first of several names that is there, and what they
    are called: of several names by the first, so that recordings that name it otherwise are alike. An error where a
    channel is not there, or its name occurs twice."""
    if channels is None:
        return list(range(len(known))), list(known)
    asked = [channels] if isinstance(channels, (str, int)) else as_list(channels)
    if not isinstance(asked, Sequence) or not len(asked):
        raise TypeError(f"{argument}={channels!r}; expected a list of names or of numbers from 0.")
    columns = [_column(each, known, source, argument) for each in asked]
    firsts = [each[0] if isinstance(each, (tuple, list)) else None for each in asked]
    return columns, [
        first if isinstance(first, str) else known[column] for first, column in zip(firsts, columns, strict=True)
    ]


def _column(asked: Any, known: list[str], source: str, argument: str) -> int:
    alternatives = list(asked) if isinstance(asked, (tuple, list)) else [asked]
    for each in alternatives or [asked]:
        if isinstance(each, (int, np.integer)) and not isinstance(each, bool):
            if 0 <= each < len(known):
                return int(each)
        elif not isinstance(each, str):
            raise TypeError(f"{argument} asks for {each!r}; expected a name, a number, or a tuple of names.")
        elif (count := known.count(each)) == 1:
            return known.index(each)
        elif count:
            at = listing(str(i) for i, name in enumerate(known) if name == each)
            raise ValueError(f"{source} has {count} channels named {each!r}; ask for one by its number: {at}.")
    wanted = " or ".join(map(repr, alternatives))
    hint = did_you_mean(first := alternatives[0], known)
    with_it = [name for name in known if str(first).lower() in re.split(r"[\W_]+", name.lower())]
    if with_it and not hint:
        hint = f" Is it {with_it[0]!r}? A tuple asks for the first of several names: ({first!r}, {with_it[0]!r})."
    column = "channel " if argument == "channels" else f"column {argument}="
    raise ValueError(f"{source} has no {column}{wanted}; there are {len(known)}: {listing(known)}.{hint}")


class SeveralRates(ValueError):
    """Channels of different rates that nobody asked for at one."""


def common_rate(contents: Contents, source: str) -> float:
    rates: dict[float, list[str]] = {}
    for rate, name in zip(contents.rates, contents.channels, strict=True):
        rates.setdefault(rate, []).append(name)
    if len(rates) > 1:
        groups = listing(f"{rate:g} Hz ({', '.join(names)})" for rate, names in rates.items())
        way = f"ask for channels that share one, or for all at one: sampling_frequency={max(rates):g}"
        raise SeveralRates(f"channels of {source} have different rates: {groups}; {way}.")
    return next(iter(rates))


def in_units(own: list[str], wanted: Sequence[str] | str | None, source: str) -> tuple[list[str], np.ndarray | None]:
    """The units of the signal, and what its channels are multiplied by."""
    if wanted is None:
        return own, None
    given = [wanted] * len(own) if isinstance(wanted, str) else as_list(wanted)
    if not is_list(given) or not all(isinstance(name, (str, type(None))) for name in given):
        raise TypeError(f"units={wanted!r}; expected a list of names, one a channel, or one for all.")
    if len(given) != len(own):
        raise ValueError(f"units has {len(given)} names; expected {len(own)}, one a channel, or one for all.")
    names = [str(name or unit) for unit, name in zip(own, given, strict=True)]  # "" and None ask for none
    factors = [unit_factor(unit, name) for unit, name in zip(own, names, strict=True)]
    if None in factors:
        at = factors.index(None)
        raise ValueError(f"{source} has a channel in {own[at]!r}; nothing converts it to {names[at]!r}.")
    scale = np.array(factors, dtype=np.float64)
    return names, None if (scale == 1).all() else scale


def check_contents(contents: Contents, source: str) -> None:
    """Raise ValueError where a file tells of rates, lengths or moments that no recording has."""
    if wrong := [rate for rate in contents.rates if not 0 < rate < _MOST]:
        raise ValueError(f"{source} says {wrong[0]:g} Hz; expected a sampling frequency above 0.")
    if wrong := [n for n, rate in zip(contents.lengths, contents.rates, strict=True) if not 0 <= n / rate < _MOST]:
        raise ValueError(f"{source} tells of {wrong[0]:g} samples, which is no length of a recording.")
    for time, symbol, duration in contents.events:
        if not (abs(time) < _MOST and 0 <= duration < _MOST):
            raise ValueError(f"{source} has {symbol!r} at {time:g} s for {duration:g} s, which is no moment.")


def check_events(contents: Contents, seconds: float, source: str) -> None:
    """An event at the end itself marks the end; one beyond it belongs to another signal."""
    slack = 1 / min(contents.rates)
    beyond = [(time, symbol) for time, symbol, _ in contents.events if time > seconds + slack]
    if beyond:
        time, symbol = beyond[0]
        raise ValueError(
            f"{source} lasts {seconds:g} s, but {len(beyond)} of its {len(contents.events)} events come later, the "
            f"first ({symbol!r}) at {time:g} s: a signal that is cut, or events of another. With stop={seconds:g} they "
            "are left out."
        )


def events_between(events: list[tuple[float, str, float]], rate: float, begin: int, end: int) -> Events:
    """The events between two samples; one that lasts into them begins with them, and ends with them at the latest."""
    kept = []
    for time, symbol, duration in events:
        sample, last = round(time * rate), (time + duration) * rate
        if begin <= sample < end or (sample < begin < last):
            inside = max(sample, begin)
            kept.append((inside - begin, symbol, max(0.0, min(last, end) - inside) / rate if duration else 0.0))
    return {
        "sample": np.array([sample for sample, _, _ in kept], dtype=np.int64),
        "symbol": [symbol for _, symbol, _ in kept],
        "duration": np.array([duration for _, _, duration in kept], dtype=np.float64),
    }


def later(start_time: str | None, seconds: float) -> str | None:
    if start_time is None or not seconds:
        return start_time
    try:
        return (datetime.datetime.fromisoformat(str(start_time)) + datetime.timedelta(seconds=seconds)).isoformat()
    except ValueError:
        return None
