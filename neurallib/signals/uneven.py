"""Samples that were taken unevenly, as those of phones, on an even grid."""

from __future__ import annotations

import numpy as np

from neurallib.warn import warn

_MOST, _TIMES = 1 << 22, 20  # samples of a grid, and that to those that are there, beyond which it is mostly a gap
GAP = 3.5  # samples: neighbours that are further apart have a gap between them
_OFTEN = 0.9  # of the moments: where so many hold as many rows, they are packets
_TICKS, _TICK = 10, 0.6  # moments that are told again, and of a tick, by which rounding may be off
_FEW = 0.05  # of the rows: so many that tell a moment again are left out without a word


def of_packets(values: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Times [T] (s) of which nearly each is told n times, as by a device that sends n samples together, with the rows
    of each spread evenly to the next; those of a clock that is coarser than even samples on their line. Others stay as
    they are, also where rows [T, C] are told twice."""
    first = np.flatnonzero(np.diff(times, prepend=-np.inf))
    counts, gaps = np.diff(first, append=len(times)), np.diff(times[first])
    if len(first) == len(times) or len(gaps) < 2 or not (gaps > 0).all():
        return times
    if np.array_equal(values, np.repeat(values[first], counts, axis=0), equal_nan=True):
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
    where neighbours are more than a few samples apart.

    Raises
    ------
    ValueError
        If time goes back or is not known, does not move on, or leaps far beyond all that is there.
    """
    steps = np.diff(times)
    if not (steps >= 0).all():
        at = int(np.flatnonzero(~(steps >= 0))[0]) + 1
        raise ValueError(f"the time column of {source} goes back, or says nothing, at sample {at}.")
    times, first = np.unique(times, return_index=True)  # phones tell some moments twice
    if len(times) < 2:
        raise ValueError(f"the time column of {source} does not move on; expected at least two moments.")
    if (dropped := len(values) - len(times)) > _FEW * len(values):
        warn(
            f"{dropped} of {len(values)} rows of {source} are left out, as they tell the time of the row before them; "
            f"expected a time of its own for each row, or as many rows at each time."
        )
    values, times, steps = values[first], times - times[0], np.diff(times)
    # The median alone takes 360 Hz in whole milliseconds for 333, the mean alone lost samples for longer ones.
    near = steps[steps <= GAP * np.median(steps)]
    period = float(near.sum() / np.maximum(np.rint(near / np.median(near)), 1).sum())
    rate = sampling_frequency or _round_rate(1 / period, float(times[-1]))
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
    after = np.clip(np.searchsorted(times, grid), 1, len(times) - 1)
    apart = np.diff(times)[after - 1] > GAP * period
    gap = apart & (grid != times[after]) & (grid != times[after - 1])
    even = np.stack([np.interp(grid, times, column) for column in values.T], axis=1)
    even[gap] = np.nan
    return even, float(rate)


def _round_rate(rate: float, span: float) -> float:
    """The rate, or the round number that cannot be told from it: within half a sample over the whole span."""
    near = (float(round(rate, digits)) for digits in (0, 1, 2))
    return next((each for each in near if each > 0 and abs(each - rate) * span < 0.5), rate)


def _last_place(times: np.ndarray) -> float:
    """The unit of the last decimal that a clock shows, down to microseconds."""
    return next((10.0**-k for k in range(1, 7) if np.abs(np.round(times, k) - times).max() < 1e-9), 0.0)
