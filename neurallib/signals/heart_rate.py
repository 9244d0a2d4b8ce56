"""From beats to heart rate: `rr_intervals`."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from neurallib.checks import number, seconds
from neurallib.names import hinted
from neurallib.signals.arrays import as_array, runs_of
from neurallib.signals.peaks import as_samples
from neurallib.warn import warn

SLOW = 30.0  # beats a minute: no heart has less for long
SOME = 5  # beats, of which it is told how fast they come
LONG = 5  # times the median interval: beats are missing, or the heart stood still


@hinted
def rr_intervals(
    peaks: ArrayLike, sampling_frequency: float, *, gaps: ArrayLike | None = None, max_gap: float | None = None
) -> dict[str, np.ndarray]:
    """The times from beat to beat, and the heart rate of each.

    Parameters
    ----------
    peaks : array-like of int
        [n] samples of the beats, in any order.
    sampling_frequency : float
        Hz.
    gaps : array-like, optional
        Where the signal says nothing: bool [T], or from where (included) to where (not included), int [g, 2] samples.
        An interval that such a gap lies in is nan.
    max_gap : float, optional
        Seconds; a longer interval is nan, since beats may be missing in it. Left out, intervals of more than 5 times
        the median stay, and a warning tells of them.

    Returns
    -------
    dict of str to np.ndarray
        "rr", float64 [n - 1] in seconds, nan across gaps; "bpm", 60 / rr; "time", in seconds, of the beat that ends
        each interval.

    Raises
    ------
    TypeError
        If peaks or gaps are not whole numbers, or another argument is no number.
    ValueError
        If two peaks are on one sample, `gaps` has another shape or ends before it begins, or an argument is out of its
        range.

    See Also
    --------
    find_r_peaks : the beats of a recording.

    Examples
    --------
    >>> import neurallib as nl
    >>> beats = nl.rr_intervals([0, 250, 550, 1450], 250, gaps=[[600, 1000]])
    >>> beats["rr"], beats["bpm"].round(), beats["time"]
    (array([1. , 1.2, nan]), array([60., 50., nan]), array([1. , 2.2, 5.8]))
    """
    rate = number("sampling_frequency", sampling_frequency, 0, low_open=True)
    samples = np.sort(as_samples("peaks", peaks))
    rr = np.diff(samples) / rate
    if (rr == 0).any():
        raise ValueError(f"peaks holds {samples[1:][rr == 0][0]} twice; expected each beat once.")
    if gaps is not None:
        start, stop = _gaps(gaps).T
        # gaps that begin before a beat but do not end before the one ahead of it
        begun = np.searchsorted(np.sort(start), samples[1:], "left")
        ended = np.searchsorted(np.sort(stop), samples[:-1], "right")
        rr[begun > ended] = np.nan
    if max_gap is not None:
        number("max_gap", max_gap, 0, low_open=True)
        rr[rr > seconds("max_gap", max_gap, long=100)] = np.nan
    elif len(told := rr[np.isfinite(rr)]) and (long := rr > LONG * np.median(told)).any():
        longest = int(np.nanargmax(rr))
        warn(
            f"{long.sum()} of {len(rr)} intervals are more than {LONG} times as long as their median of "
            f"{np.median(told):.2g} s, the longest {rr[longest]:.3g} s from {samples[longest] / rate:.6g} s on: beats "
            "may be missing there. max_gap= makes longer ones nan, gaps= those across what is no signal."
        )
    return {"rr": rr, "bpm": 60 / rr, "time": samples[1:] / rate}


def _gaps(gaps: ArrayLike) -> np.ndarray:
    """int64 [g, 2], gaps that hold something."""
    values = as_array(gaps, "gaps")
    if values.dtype == bool and values.ndim == 1:
        return runs_of(values)
    if values.size == 0:
        return np.zeros((0, 2), np.int64)
    if values.ndim != 2 or values.shape[1] != 2:
        raise ValueError(f"gaps has shape {values.shape}; expected bool [T], or samples [g, 2].")
    values = np.stack([as_samples("gaps", side) for side in values.T], axis=1)
    if (back := values[:, 1] < values[:, 0]).any():
        start, stop = values[back][0]
        raise ValueError(f"gaps has one from {start} to {stop}; expected where each ends behind where it begins.")
    return values[values[:, 1] > values[:, 0]]
