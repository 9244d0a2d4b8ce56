"""Channels of several rates, as those of a night in a sleep laboratory, brought to one as they are read."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import partial

import numpy as np

from neurallib.signals.arrays import bridged
from neurallib.signals.conversion import ratio_of
from neurallib.signals.lazy import Contents, Reader

_REACH = 12  # samples at the lower of two rates that the filter hears on either side, and some more


def at_one_rate(contents: Contents, rate: float) -> Contents:
    """The contents with all channels at one rate (Hz); still only what is asked for is read, and gaps stay gaps."""
    ratios = [ratio_of(rate, own, n) for own, n in zip(contents.rates, contents.lengths, strict=True)]
    lengths = [math.ceil(n * ratio) for n, ratio in zip(contents.lengths, ratios, strict=True)]
    read = partial(_read, contents.read, contents.lengths, ratios)
    return contents._replace(rates=[rate] * len(ratios), lengths=lengths, read=read)


def _read(
    own: Reader, lengths: list[int], ratios: list[Fraction], columns: list[int], start: int, stop: int
) -> np.ndarray:
    return np.stack([_column(own, lengths[i], ratios[i], i, start, stop) for i in columns], axis=1)


def _column(own: Reader, n_steps: int, ratio: Fraction, column: int, start: int, stop: int) -> np.ndarray:
    """Samples start to stop of one channel at the other rate, `ratio` of them for one of its own."""
    if ratio == 1:
        return own([column], start, stop)[:, 0]
    reach, block = _REACH * max(1, math.ceil(1 / ratio)), ratio.denominator
    first = max(0, math.floor(start / ratio) - reach) // block * block  # where a sample of both rates is
    values = own([column], first, min(n_steps, math.ceil(stop / ratio) + reach))
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
    found, one = resample_poly(both, ratio.numerator, ratio.denominator, axis=0, padtype="edge").T
    return np.asarray(found / one)
