"""Peaks as samples: the target of a model that is to find them, and what users hand in as such."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from neurallib.checks import integer
from neurallib.names import hinted, listing
from neurallib.signals.arrays import as_array


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
