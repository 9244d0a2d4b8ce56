"""Normalization of a signal by itself, so that prediction can apply what training did."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def _minmax(x: np.ndarray) -> np.ndarray:
    low = x.min(axis=0, keepdims=True)
    return _divide(x - low, x.max(axis=0, keepdims=True) - low, x)


def _zscore(x: np.ndarray) -> np.ndarray:
    return _divide(x - x.mean(axis=0, keepdims=True), x.std(axis=0, keepdims=True), x)


NORMALIZATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"minmax": _minmax, "zscore": _zscore}


def normalize(x: np.ndarray, name: str | None) -> np.ndarray:
    """Normalize each channel of a signal over its time steps.

    Parameters
    ----------
    x : np.ndarray
        [T, C], any real dtype; stays as it is.
    name : str or None
        "minmax": to 0..1. "zscore": to mean 0 and standard deviation 1. None: as it is. A constant channel becomes 0.

    Returns
    -------
    np.ndarray
        [T, C] float32; computed in float64.
    """
    if name is None:
        return np.array(x, dtype=np.float32)
    return NORMALIZATIONS[name](np.asarray(x, dtype=np.float64)).astype(np.float32)


def _divide(centred: np.ndarray, scale: np.ndarray, x: np.ndarray) -> np.ndarray:
    # A channel that is constant but for rounding has no shape to blow up; rounding is measured against the signal.
    flat = scale <= 1e-12 * np.abs(x).max(axis=0, keepdims=True, initial=0)
    return np.where(flat, 0.0, centred / np.where(flat, 1.0, scale))
