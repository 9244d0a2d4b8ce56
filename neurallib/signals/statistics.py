"""What training data decide: shifts and scales over all their valid steps, and which of them a target takes."""

from __future__ import annotations

import numpy as np

from neurallib.signals.normalization import OWN, Scale, own_scale
from neurallib.state import Preprocessing, new_preprocessing
from neurallib.tasks import Task

_STEPS = 100_000  # that moments wait for: small signals are counted many at once


class Moments:
    """Mean and standard deviation of each column over values [n, C] that come piece by piece; nan is not counted."""

    def __init__(self, n_columns: int) -> None:
        self._count, self._mean, self._squares = (np.zeros(n_columns) for _ in range(3))
        self._waiting: list[np.ndarray] = []
        self._n_waiting = 0

    def add(self, values: np.ndarray) -> None:
        """Take in values [n, C]; they are looked at later, and must stay as they are."""
        for first in range(0, len(values), _STEPS):
            self._waiting.append(values[first : first + _STEPS])
            self._n_waiting += len(self._waiting[-1])
            if self._n_waiting >= _STEPS:
                self._count_in()

    def scale(self) -> Scale:
        """Mean and standard deviation [C]; 1 for the deviation of a column that is constant."""
        self._count_in()
        deviation = np.sqrt(self._squares / np.maximum(self._count, 1))
        return Scale(self._mean, np.where(deviation <= 1e-7 * np.abs(self._mean), 1.0, deviation))

    def _count_in(self) -> None:
        if not self._waiting:
            return
        values = np.concatenate(self._waiting, dtype=np.float64)
        self._waiting, self._n_waiting = [], 0
        known = ~np.isnan(values)
        count = known.sum(axis=0)
        mean = np.where(known, values, 0.0).sum(axis=0) / np.maximum(count, 1)
        squares = (np.where(known, values - mean, 0.0) ** 2).sum(axis=0)
        both = np.maximum(self._count + count, 1)  # Chan, Golub and LeVeque 1983: two samples' moments together
        squares += (mean - self._mean) ** 2 * self._count * count / both
        self._mean, self._squares = self._mean + (mean - self._mean) * count / both, self._squares + squares
        self._count = self._count + count


class Statistics:
    """What a state's preprocessing leaves open, "dataset" without its numbers or a target's "auto", told by data.

    Parameters
    ----------
    task : Task
        A regression's target may be normalized.
    wanted : dict
        Preprocessing as asked for. `normalization` "dataset" without `x_shift`, and any `target_normalization` without
        `y_shift`, are decided.
    """

    def __init__(self, task: Task, wanted: Preprocessing) -> None:
        self._wanted = wanted
        target = wanted["target_normalization"] if wanted["y_shift"] is None else None
        per_step = not task.seq2one and task.n_outputs == task.n_features and wanted["normalization"] in OWN
        self._x = Moments(task.n_features) if _is_open(wanted) else None
        self._y = Moments(task.n_outputs) if target in ("auto", "dataset") else None
        self._y_of_signal = Moments(task.n_outputs) if target == "signal" or (target == "auto" and per_step) else None
        self._spreads: list[np.ndarray] = []

    @property
    def anything(self) -> bool:
        """Whether something is left to decide."""
        return any(part is not None for part in (self._x, self._y, self._y_of_signal))

    def add(self, x: np.ndarray, y: np.ndarray) -> None:
        """Take in a signal [T, C] and its target [T, K] or [K]."""
        if self._x is not None:
            self._x.add(x)
        if self._y is not None:
            self._y.add(y.reshape(-1, y.shape[-1]))
        if self._y_of_signal is not None:
            own = own_scale(x, str(self._wanted["normalization"]))
            self._y_of_signal.add((y - own.shift) / own.scale)
            if self._wanted["target_normalization"] == "auto":
                self._spreads.append(np.stack([np.nanstd(x, axis=0), _spread(y)]))

    def decided(self) -> Preprocessing:
        """The preprocessing with nothing left open."""
        known = new_preprocessing(self._wanted)
        if self._x is not None:
            scale = self._x.scale()
            known |= {"x_shift": scale.shift.tolist(), "x_scale": scale.scale.tolist()}
        follows = self._y is None or (self._y_of_signal is not None and rise_together(np.array(self._spreads)))
        moments = self._y_of_signal if follows else self._y
        if moments is not None:
            scale = moments.scale()
            known |= {"y_shift": scale.shift.tolist(), "y_scale": scale.scale.tolist()}
            known["target_normalization"] = "signal" if follows else "dataset"
        return known


def rise_together(spreads: np.ndarray) -> bool:
    """Whether signals' and targets' own scales [N, 2, C] go together: either their quotients vary less than the
    target's scales do by themselves, or the two are correlated beyond what chance gives so many signals."""
    x, y = spreads[:, 0].reshape(-1), spreads[:, 1].reshape(-1)
    x, y = (np.log(side[(x > 0) & (y > 0)]) for side in (x, y))
    if len(x) < 2:
        return False
    if np.std(y - x) <= np.std(y):
        return True
    return bool(np.corrcoef(x, y)[0, 1] > max(0.3, 2 / len(x) ** 0.5))


def _spread(y: np.ndarray) -> np.ndarray:
    """The standard deviation of each output's known steps; 0 where there are none."""
    known = ~np.isnan(y)
    return np.array([column[there].std() if there.any() else 0.0 for column, there in zip(y.T, known.T, strict=True)])


def _is_open(wanted: Preprocessing) -> bool:
    return wanted["normalization"] == "dataset" and wanted["x_shift"] is None
