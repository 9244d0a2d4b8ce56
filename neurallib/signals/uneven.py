"""Samples that were taken unevenly, as those of phones, on an even grid."""

from __future__ import annotations

import math

import numpy as np

from neurallib.warn import warn

_MOST, _TIMES = 1 << 22, 20  # samples of a grid, and that to those that are there, beyond which it is mostly a gap
GAP = 3.5  # samples: neighbours that are further apart have a gap between them
_OFTEN = 0.9  # of the moments: where so many hold as many rows, they are packets
_TICKS, _TICK = 10, 0.6  # moments that are told again, and of a tick, by which rounding may be off
_NEAR = 0.1  # by which a signal's rate may be above the one that is asked for, and be it but for its clock
_SOME, _UNEVEN = 8, 0.25  # steps, of which less than that share are of other lengths, that a rate shows by
_FEW = 0.05  # of the rows: so many that tell a moment again are left out without a word


def of_packets(values: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Times [T] (s) of which nearly each is told n times, as by a device that sends n samples together, with the rows
    of each spread evenly to the next; those of a clock that is coarser than even samples on their line. Others stay as
    they are, also where rows [T, C] are told twice."""
    first = np.flatnonzero(np.diff(times, prepend=-np.inf))
    counts, gaps = np.diff(first, append=len(times)), np.diff(times[first])
    if len(first) == len(times) or len(gaps) < 2 or not (gaps > 0).all():
        return times
    if _of_other_channels(values, first) or np.array_equal(
        values, np.repeat(values[first], counts, axis=0), equal_nan=True
    ):
        return times
    inner, usual = counts[1:-1], np.median(gaps)  # packets at the ends may be cut
    n = np.median(inner)
    regular = (inner == n).mean() if n >= 2 else 0
    line, again = _on_lines(times, GAP * usual), len(times) - len(first)
    off = np.abs(times - line).max()
    if again <= _FEW * len(times):  # a clock that is a little too coarse tells a moment twice as often as any other
        return line if again >= _TICKS and off < _TICK * usual else times
    if regular < 1 and off < usual:
        return line
    if regular < _OFTEN:
        return times
    room = np.append(np.where(gaps < 1.5 * usual, gaps, usual), usual)  # behind a packet that is lost is a gap
    place = np.arange(len(times)) - np.repeat(first, counts)
    place[: counts[0]] += max(0, int(n) - counts[0])  # what is left of the first one is its end
    return np.asarray(times + place * np.repeat(room / np.maximum(counts, n), counts))


def _on_lines(times: np.ndarray, gap: float) -> np.ndarray:
    """Times on straight lines of one slope, a line from one gap to the next."""
    piece = np.cumsum(np.diff(times, prepend=times[0]) > gap)
    n = np.bincount(piece)
    centred = [row - (np.bincount(piece, row) / n)[piece] for row in (np.arange(len(times)), times)]
    slope = (centred[0] * centred[1]).sum() / max((centred[0] ** 2).sum(), 1)
    return np.asarray(times - centred[1] + slope * centred[0])


def on_a_grid(
    values: np.ndarray, times: np.ndarray, sampling_frequency: float | None, source: str
) -> tuple[np.ndarray, float]:
    """Values [T, C] of moments `times` [T] (s) as even samples, and their rate: interpolated between neighbours, nan
    where neighbours are more than a few samples apart. Of channels of several rates, which most rows say nothing of,
    each between its own moments. Where much less is asked for than the signal's own rate, the rate is the multiple of
    it from which a filter has to go down. ValueError where time is no time of a recording."""
    steps = np.diff(times)
    if not (steps >= 0).all():
        at = int(np.flatnonzero(~(steps >= 0))[0]) + 1
        raise ValueError(f"the time column of {source} goes back, or says nothing, at sample {at}.")
    values, times = _together(values, times)
    n_rows = len(values)
    times, first = np.unique(times, return_index=True)  # phones tell some moments twice
    if len(times) < 2:
        raise ValueError(f"the time column of {source} does not move on; expected at least two moments.")
    if (dropped := n_rows - len(times)) > _FEW * n_rows:
        warn(
            f"{dropped} of {n_rows} rows of {source} are left out, as they tell the time of the row before them; "
            f"expected a time of its own for each row, or as many rows at each time."
        )
    values, times = values[first], times - times[0]
    rows, periods = _channels(values, times)
    own_rate = _round_rate(1 / min(filter(None, periods)), float(times[-1]))
    rate = own_rate
    if sampling_frequency is not None:
        rate = sampling_frequency * max(1, math.ceil(own_rate / sampling_frequency - _NEAR))
    # An even clock of which the last decimals are cut off is even.
    index = np.rint(times * rate)
    if (np.diff(index) > 0).all() and np.abs(times - index / rate).max() <= max(0.02 / rate, 0.51 * _last_place(times)):
        times = index / rate
    if (n := times[-1] * rate) > max(_MOST, _TIMES * len(times)):
        raise ValueError(
            f"the time column of {source} spans {times[-1]:g} s, {n:.3g} samples at {rate:g} Hz, of which {len(times)} "
            f"are there: a wrong moment, or parts that are better cut into files of their own."
        )
    grid = np.arange(int(times[-1] * rate + 1e-6) + 1) / rate
    columns = zip(values.T, rows, periods, strict=True)
    even = np.stack([_lines(grid, times[own], column[own], period) for column, own, period in columns], axis=1)
    return even, float(rate)


def _lines(grid: np.ndarray, times: np.ndarray, values: np.ndarray, period: float) -> np.ndarray:
    """Values [T] of moments on a grid; nan across gaps, and beyond the first and last one."""
    if len(times) < 2:
        return np.full(len(grid), np.nan)
    after = np.clip(np.searchsorted(times, grid), 1, len(times) - 1)
    apart = np.diff(times)[after - 1] > GAP * period
    gap = apart & (grid != times[after]) & (grid != times[after - 1])
    gap |= (grid < times[0] - period) | (grid > times[-1] + period)
    return np.where(gap, np.nan, np.interp(grid, times, values))


def _together(values: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows that tell one moment, each of other channels, as one."""
    first = np.flatnonzero(np.diff(times, prepend=-np.inf))
    if len(first) == len(times) or not _of_other_channels(values, first):
        return values, times
    told = np.isfinite(values)
    whole = np.add.reduceat(np.where(told, values, 0), first, axis=0)
    return np.where(np.logical_or.reduceat(told, first, axis=0), whole, np.nan), times[first]


def _of_other_channels(values: np.ndarray, first: np.ndarray) -> bool:
    """Whether the rows from each of `first` to the next tell of no channel twice."""
    return bool((np.add.reduceat(np.isfinite(values), first, axis=0, dtype=np.int64) <= 1).all())


def _channels(values: np.ndarray, times: np.ndarray) -> tuple[list[np.ndarray], list[float]]:
    """The rows that tell of each channel, and how far apart they are (s): all rows, unless some channel has a rate of
    its own, being slower, or uneven by the rows of others alone; 0 of one that then has none, such as a few marks."""
    told = [np.flatnonzero(np.isfinite(column)) for column in values.T]
    every = [len(own) > 1 and np.median(np.diff(own)) == 1 for own in told]
    uneven = [_unevenness(times[own]) for own in told]
    most = [0.5 * _unevenness(times) if each else _UNEVEN for each in every]
    if not any(off < limit for off, limit in zip(uneven, most, strict=True)):
        return [np.arange(len(values))] * len(told), [_period(times)] * len(told)
    has_rate = [each or off < _UNEVEN for each, off in zip(every, uneven, strict=True)]
    return told, [_period(times[own]) if has else 0.0 for has, own in zip(has_rate, told, strict=True)]


def _unevenness(times: np.ndarray) -> float:
    """The share of steps that are not about as long as most; 1 of too few to tell."""
    steps = np.diff(times)
    return float((np.abs(steps / np.median(steps) - 1) > 0.5).mean()) if len(steps) >= _SOME else 1.0


def _period(times: np.ndarray) -> float:
    """From moment to moment: the median alone takes 360 Hz in whole milliseconds for 333, the mean alone lost samples
    for longer ones."""
    steps = np.diff(times)
    near = steps[steps <= GAP * np.median(steps)]
    return float(near.sum() / np.maximum(np.rint(near / np.median(near)), 1).sum())


def _round_rate(rate: float, span: float) -> float:
    """The rate, or the round number that cannot be told from it: within half a sample over the whole span."""
    near = (float(round(rate, digits)) for digits in (0, 1, 2))
    return next((each for each in near if each > 0 and abs(each - rate) * span < 0.5), rate)


def _last_place(times: np.ndarray) -> float:
    """The unit of the last decimal that a clock shows, down to microseconds."""
    return next((10.0**-k for k in range(1, 7) if np.abs(np.round(times, k) - times).max() < 1e-9), 0.0)
