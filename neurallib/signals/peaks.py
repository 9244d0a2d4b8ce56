"""Peaks: from samples to the target of a model, and from its probabilities to samples."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from neurallib.checks import boolean, integer, number
from neurallib.names import hinted, listing
from neurallib.signals.arrays import as_array
from neurallib.signals.smoothing import PART, as_column


@hinted
def post_process_peaks_binary(
    output: np.ndarray | Tensor, threshold: float = 0.5, filter_peaks: bool = False, min_distance: int = 40
) -> np.ndarray:
    """Where the peaks are in the output of a binary seq2seq model.

    Parameters
    ----------
    output : array or Tensor
        Probabilities in [0, 1], of shape [T], [T, 1] or [1, T, 1]: what `predict` gives, not logits.
    threshold : float
        In [0, 1]; a peak's probability is above it.
    filter_peaks : bool
        False: every index above the threshold. True: one index a peak, the most probable of all within
        `min_distance`; of equally probable neighbours the middle one.
    min_distance : int
        Samples, at least 1, between the peaks that `filter_peaks` leaves. The default is for 360 Hz (111 ms).

    Returns
    -------
    np.ndarray
        int64 [n], ascending indices into T.

    Raises
    ------
    TypeError
        If an argument is of another type, or `output` holds no numbers.
    ValueError
        If an argument is out of its range, or `output` has another shape or values that are no probabilities.

    See Also
    --------
    peak_scores : how well they meet the true peaks.
    peak_labels : from peaks to the target of a model.

    Examples
    --------
    >>> import neurallib as nl, numpy as np
    >>> nl.post_process_peaks_binary(np.array([0.9, 0.1, 0.7, 0.8, 0.6]))
    array([0, 2, 3, 4])
    >>> nl.post_process_peaks_binary(np.array([0.9, 0.1, 0.7, 0.8, 0.6]), filter_peaks=True, min_distance=2)
    array([0, 3])
    """
    number("threshold", threshold, 0, 1)
    boolean("filter_peaks", filter_peaks)
    integer("min_distance", min_distance)
    probability = as_column(output, stacked=True)
    if np.isnan(probability).any():
        raise ValueError("output holds nan, as of gaps; expected probabilities: find_events takes gaps as well.")
    above = _above(probability, threshold)
    if not filter_peaks or len(above) == 0:
        return above
    from scipy.signal import find_peaks

    # What is not above the threshold is left out, but for as many steps as keep peaks apart, and one before and after:
    # find_peaks sees no peak, and no plateau, at the ends of a signal.
    places = 1 + np.cumsum(np.minimum(np.diff(above, prepend=above[0]), min_distance + 1))
    short = np.full(places[-1] + 2, -1.0)
    short[places] = probability[above]
    return np.asarray(above[np.searchsorted(places, find_peaks(short, distance=min_distance)[0])])


@hinted
def peak_labels(peaks: ArrayLike, n_steps: int, half_width: int = 0) -> np.ndarray:
    """The target of a binary seq2seq model that is to find peaks: 1 around each, 0 elsewhere.

    Parameters
    ----------
    peaks : array-like of int
        [n] samples, each from 0 to n_steps - 1.
    n_steps : int
        T, the length of the signal.
    half_width : int
        Samples on either side of a peak that are 1 as well.

    Returns
    -------
    np.ndarray
        float32 [T].

    Raises
    ------
    TypeError
        If an argument does not hold whole numbers.
    ValueError
        If a peak lies outside the signal, or an argument is out of its range.

    See Also
    --------
    post_process_peaks_binary : from the probabilities of a model to peaks.

    Examples
    --------
    >>> import neurallib as nl
    >>> nl.peak_labels([0, 5], n_steps=7, half_width=1)
    array([1., 1., 0., 0., 1., 1., 1.], dtype=float32)
    """
    n_steps = integer("n_steps", n_steps)
    half_width = integer("half_width", half_width, minimum=0)
    samples = samples_within("peaks", peaks, n_steps)
    near = samples[:, None] + np.arange(-half_width, half_width + 1)
    labels = np.zeros(n_steps, dtype=np.float32)
    labels[near[(near >= 0) & (near < n_steps)]] = 1
    return labels


def as_samples(name: str, peaks: ArrayLike) -> np.ndarray:
    """`peaks` as int64 [n]."""
    if isinstance(peaks, Mapping):
        raise TypeError(f"{name} is a dict of {listing(map(str, peaks))}; expected samples, such as its 'sample'.")
    values = as_array(peaks, name)
    if values.ndim != 1:
        raise ValueError(f"{name} has shape {values.shape}; expected one dimension of samples.")
    if values.dtype.kind == "f" and (np.isfinite(values) & (values == np.rint(values))).all():
        values = values.astype(np.int64)
    if len(values) and values.dtype.kind not in "iu":
        raise TypeError(f"{name} has dtype {values.dtype}; expected whole numbers of samples.")
    return values.astype(np.int64)


def samples_within(name: str, peaks: ArrayLike, n_steps: int) -> np.ndarray:
    """The same, of a signal of so many steps."""
    samples = as_samples(name, peaks)
    outside = samples[(samples < 0) | (samples >= n_steps)]
    if len(outside):
        raise ValueError(f"{name} holds {outside[0]}; expected samples from 0 to {n_steps - 1}.")
    return samples


def _above(values: np.ndarray, threshold: float) -> np.ndarray:
    """The indices, int64, of the values above the threshold; compared in float64, a part at a time."""
    parts = ((i, values[i : i + PART].astype(np.float64)) for i in range(0, max(len(values), 1), PART))
    return np.concatenate([np.flatnonzero(part > threshold) + i for i, part in parts]).astype(np.int64)
