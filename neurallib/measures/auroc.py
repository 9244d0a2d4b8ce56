"""The areas under the ROC curve and under precision by recall, of any number of outputs, in bounded memory."""

from __future__ import annotations

import numpy as np

EXACT = 1 << 20  # outputs a class that are kept and ranked one by one; beyond, they are counted in bins
_MANTISSA = 13  # bits of the distance from 0 or 1 that tell bins apart: 1 part in 8192
_LOWEST = 2.0**-63  # nearer to 0 or 1 all is one bin
_FIRST = int(np.float32(_LOWEST).view(np.int32)) >> (23 - _MANTISSA)
_HALF = (int(np.float32(0.5).view(np.int32)) >> (23 - _MANTISSA)) - _FIRST + 1  # bins from 0 to 0.5


class Auroc:
    """Sees probabilities batch by batch; areas are exact for up to EXACT of them, then off by less than 1e-3.

    Bins are as fine relative to the distance from 0 or from 1, whichever is nearer: detectors of rare events put
    nearly all of their outputs there.
    """

    def __init__(self, n_classes: int) -> None:
        self._kept: list[tuple[np.ndarray, np.ndarray]] = []
        self._n_kept = 0
        self._counts = np.zeros((n_classes, 2, 0), dtype=np.int64)  # [K, negatives and positives, bins]

    def update(self, probabilities: np.ndarray, positive: np.ndarray) -> None:
        """Take in probabilities [N, K] float32 and whether each class holds, [N, K]: 1, 0 or, where unknown, -1."""
        self._kept.append((np.ascontiguousarray(probabilities, dtype=np.float32), positive.astype(np.int8)))
        self._n_kept += len(probabilities)
        if self._n_kept > EXACT:
            self._bin()

    def add(self, other: Auroc) -> None:
        """Take in what another has seen."""
        self._kept += other._kept
        self._n_kept += other._n_kept
        if self._counts.shape[2] or other._counts.shape[2] or self._n_kept > EXACT:
            self._bin()
            self._counts += other._counts if other._counts.shape[2] else 0

    def sides(self) -> list[np.ndarray]:
        """For each class the negatives and positives [2, bins] by rising probability, for `area`."""
        if self._counts.shape[2]:
            self._bin()
            return list(self._counts)
        if self._kept:
            probabilities, positive = (np.concatenate(part) for part in zip(*self._kept, strict=True))
            return [_ranked(probabilities[:, k], positive[:, k]) for k in range(probabilities.shape[1])]
        return [np.zeros((2, 1), dtype=np.int64)] * len(self._counts)

    def levels(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each class the lowest and the highest probability of each bin of `sides`, float32 [bins]."""
        if self._counts.shape[2]:
            return [_edges()] * len(self._counts)
        if self._kept:
            probabilities = np.concatenate([part for part, _ in self._kept])
            return [(values, values) for values in map(np.unique, probabilities.T)]
        return [(np.zeros(1, np.float32), np.zeros(1, np.float32))] * len(self._counts)

    def _bin(self) -> None:
        """Move what is kept into the bins."""
        if not self._counts.shape[2]:
            self._counts = np.zeros((*self._counts.shape[:2], 2 * _HALF), dtype=np.int64)
        for probabilities, positive in self._kept:
            for k, counts in enumerate(self._counts):
                bins, holds = _bins(probabilities[:, k]), positive[:, k]
                for side in (0, 1):
                    counts[side] += np.bincount(bins[holds == side], minlength=counts.shape[1])
        self._kept, self._n_kept = [], 0


def area(negatives: np.ndarray, positives: np.ndarray) -> np.ndarray:
    """Of counts [..., bins] the share of pairs of a positive and a negative in which the positive ranks higher; ties
    count half. nan where only one side occurs."""
    n_pairs = negatives.sum(-1, dtype=np.float64) * positives.sum(-1, dtype=np.float64)
    below = np.cumsum(negatives, axis=-1) - negatives / 2
    higher = (positives * below).sum(-1)
    return np.asarray(np.where(n_pairs > 0, higher / np.where(n_pairs > 0, n_pairs, 1), np.nan))


def average_precision(negatives: np.ndarray, positives: np.ndarray) -> np.ndarray:
    """Of counts [..., bins] the mean over the positives of the precision at their probability; nan where there is
    none."""
    found = np.cumsum(positives[..., ::-1], axis=-1)
    precision = found / np.maximum(found + np.cumsum(negatives[..., ::-1], axis=-1), 1)
    n = found[..., -1]
    total = (positives[..., ::-1] * precision).sum(-1)
    return np.asarray(np.where(n > 0, total / np.where(n > 0, n, 1), np.nan))


def _bins(probabilities: np.ndarray) -> np.ndarray:
    low = probabilities < 0.5
    distance = np.where(low, probabilities, np.float32(1) - probabilities).astype(np.float32)
    bins: np.ndarray = np.clip((distance.view(np.int32) >> (23 - _MANTISSA)) - _FIRST, 0, _HALF - 1)
    return np.where(low, bins, 2 * _HALF - 1 - bins).astype(np.int64)


def _edges() -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest probability of each bin."""
    distance = (np.arange(_FIRST, _FIRST + _HALF + 1, dtype=np.int32) << (23 - _MANTISSA)).view(np.float32)
    distance[0] = 0
    far = 1 - distance[::-1].astype(np.float64)
    up_to = far.astype(np.float32)
    up_to = np.where(up_to > far, np.nextafter(up_to, np.float32(0)), up_to)  # the last one so far from 1
    lowest = np.clip(np.nextafter(up_to[:-1], np.float32(2)), np.float32(0.5), np.float32(1))
    highest = np.nextafter(distance[1:], np.float32(0))
    return np.concatenate([distance[:-1], lowest]), np.concatenate([highest, up_to[1:]])


def _ranked(probabilities: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Negatives and positives [2, distinct probabilities] in rising order."""
    _, place = np.unique(probabilities, return_inverse=True)
    return np.stack([np.bincount(place[positive == side], minlength=place.max() + 1) for side in (0, 1)])
