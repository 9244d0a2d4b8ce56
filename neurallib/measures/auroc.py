"""The area under the ROC curve of any number of outputs, in bounded memory."""

from __future__ import annotations

import numpy as np

EXACT = 1 << 20  # outputs a class that are kept and ranked one by one; beyond, they are counted in bins
_MANTISSA = 13  # bits of the distance from 0 or 1 that tell bins apart: 1 part in 8192
_LOWEST = 2.0**-63  # nearer to 0 or 1 all is one bin
_FIRST = int(np.float32(_LOWEST).view(np.int32)) >> (23 - _MANTISSA)
_HALF = (int(np.float32(0.5).view(np.int32)) >> (23 - _MANTISSA)) - _FIRST + 1  # bins from 0 to 0.5


class Auroc:
    """Sees probabilities batch by batch; exact for up to EXACT of them, then off by less than 1e-3.

    Bins are as fine relative to the distance from 0 or from 1, whichever is nearer: detectors of rare events put
    nearly all of their outputs there.
    """

    def __init__(self, n_classes: int) -> None:
        self._kept: list[tuple[np.ndarray, np.ndarray]] = []
        self._n_kept = 0
        self._counts = np.zeros((n_classes, 2, 0), dtype=np.int64)  # [K, negatives and positives, bins]

    def update(self, probabilities: np.ndarray, positive: np.ndarray) -> None:
        """Take in probabilities [N, K] float32 and whether each class holds, [N, K] bool."""
        self._kept.append((np.ascontiguousarray(probabilities, dtype=np.float32), positive.astype(bool)))
        self._n_kept += len(probabilities)
        if self._n_kept > EXACT:
            self._bin()

    def value(self) -> np.ndarray:
        """The area of each class [K]; nan where only one side occurs."""
        if self._counts.shape[2]:
            self._bin()
            counts = list(self._counts)
        elif self._kept:
            probabilities, positive = (np.concatenate(part) for part in zip(*self._kept, strict=True))
            counts = [_ranked(probabilities[:, k], positive[:, k]) for k in range(probabilities.shape[1])]
        else:
            counts = [np.zeros((2, 1), dtype=np.int64)] * len(self._counts)
        return np.array([_area(*pair) for pair in counts])

    def _bin(self) -> None:
        """Move what is kept into the bins."""
        if not self._counts.shape[2]:
            self._counts = np.zeros((*self._counts.shape[:2], 2 * _HALF), dtype=np.int64)
        for probabilities, positive in self._kept:
            for k, counts in enumerate(self._counts):
                bins, holds = _bins(probabilities[:, k]), positive[:, k]
                counts[1] += np.bincount(bins[holds], minlength=counts.shape[1])
                counts[0] += np.bincount(bins[~holds], minlength=counts.shape[1])
        self._kept, self._n_kept = [], 0


def _bins(probabilities: np.ndarray) -> np.ndarray:
    low = probabilities < 0.5
    distance = np.where(low, probabilities, np.float32(1) - probabilities).astype(np.float32)
    bins: np.ndarray = np.maximum((distance.view(np.int32) >> (23 - _MANTISSA)) - _FIRST, 0)
    return np.where(low, bins, 2 * _HALF - 1 - bins).astype(np.int64)


def _ranked(probabilities: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Negatives and positives [2, distinct probabilities] in rising order."""
    _, place = np.unique(probabilities, return_inverse=True)
    return np.stack([np.bincount(place[positive == side], minlength=place.max() + 1) for side in (False, True)])


def _area(negatives: np.ndarray, positives: np.ndarray) -> float:
    """The share of pairs of a positive and a negative in which the positive ranks higher; ties count half."""
    n_pairs = float(negatives.sum()) * float(positives.sum())
    below = np.cumsum(negatives) - negatives / 2
    return float((positives * below).sum() / n_pairs) if n_pairs else float("nan")
