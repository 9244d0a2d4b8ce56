"""What training data decide: shifts and scales over all their valid steps, and which of them a target takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neurallib.signals.normalization import IQR_OF_NORMAL, OWN, Scale, own_scale
from neurallib.signals.targets import meaning
from neurallib.state import Preprocessing, new_preprocessing
from neurallib.steps import apply_steps, n_inputs
from neurallib.tasks import Task
from neurallib.warn import warn

_STEPS = 100_000  # that moments wait for: small signals are counted many at once
_SAMPLE = 1_000_000  # rows at the most that quartiles are taken of
_LEAST = 20  # signals that something can be told of
_FAR = 2.0  # times as large as signals are, of the spread of their offsets
_ALIKE = 0.1  # of the logarithms of targets' sizes: by so little that one scale is as good
_PARTS, _BLOCKS = 10, 3  # at the most, of known people; of neighbours few, for a person is seldom longer than one


class Moments:
    """Mean and standard deviation of each column over values [n, C] that come piece by piece; nan is not counted."""

    def __init__(self, n_columns: int) -> None:
        self.count, self._mean, self._squares = (np.zeros(n_columns) for _ in range(3))
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
        deviation = np.sqrt(self.variance())
        return Scale(self._mean, np.where(self.rests(), 1.0, deviation))

    def rests(self) -> np.ndarray:
        """Which columns are constant but for rounding, or without a value, [C]."""
        deviation = np.sqrt(self.variance())
        return np.asarray(deviation <= 1e-7 * np.abs(self._mean))

    def variance(self) -> np.ndarray:
        """[C]; 0 of a column without a value."""
        self._count_in()
        return self._squares / np.maximum(self.count, 1)

    def _count_in(self) -> None:
        if not self._waiting:
            return
        values = np.concatenate(self._waiting, dtype=np.float64)
        self._waiting, self._n_waiting = [], 0
        known = ~np.isnan(values)
        count = known.sum(axis=0)
        mean = np.where(known, values, 0.0).sum(axis=0) / np.maximum(count, 1)
        squares = (np.where(known, values - mean, 0.0) ** 2).sum(axis=0)
        both = np.maximum(self.count + count, 1)  # Chan, Golub and LeVeque 1983: two samples' moments together
        squares += (mean - self._mean) ** 2 * self.count * count / both
        self._mean, self._squares = self._mean + (mean - self._mean) * count / both, self._squares + squares
        self.count = self.count + count


class Quartiles:
    """Median and interquartile range of each column over values [n, C] that come piece by piece: of every k-th row, k
    being doubled as often as more than `_SAMPLE` rows would be held."""

    def __init__(self) -> None:
        self._held: list[np.ndarray] = []
        self._n, self._k, self._n_seen = 0, 1, 0

    def add(self, values: np.ndarray) -> None:
        """Take in values [n, C]."""
        rows = values[-self._n_seen % self._k :: self._k].astype(np.float32)
        self._n_seen += len(values)
        self._held.append(rows)
        self._n += len(rows)
        while self._n > _SAMPLE:
            rows = np.concatenate(self._held)[::2]
            self._held, self._n, self._k = [rows], len(rows), 2 * self._k

    def scale(self) -> Scale:
        """Median, and interquartile range over that of a normal distribution of deviation 1; 0 of one that rests."""
        low, median, high = np.percentile(np.concatenate(self._held).astype(np.float64), [25, 50, 75], axis=0)
        return Scale(median, (high - low) / IQR_OF_NORMAL)


class Statistics:
    """What a state's preprocessing, as it is `wanted`, leaves open, told by the training data in one pass.

    Open are a `normalization` "auto", a "dataset" without `x_shift`, and any `target_normalization` without `y_shift`,
    "auto" among them. `people` says who each signal is of, where that is known.
    """

    def __init__(self, task: Task, wanted: Preprocessing, people: Sequence[str] | None = None) -> None:
        self._task, self._wanted, self._people = task, wanted, people
        self._own = "zscore" if wanted["normalization"] == "auto" else wanted["normalization"]
        target = wanted["target_normalization"] if wanted["y_shift"] is None else None
        per_step = not task.seq2one and task.n_outputs == task.n_features and self._own in OWN
        is_open = wanted["normalization"] == "auto" or (self._own == "dataset" and wanted["x_shift"] is None)
        self._x = (Moments(n_inputs(task.n_features, wanted["steps"])), Quartiles()) if is_open else None
        self._y = Moments(task.n_outputs) if target in ("auto", "dataset") else None
        by_signal = target == "signal" or (target == "auto" and per_step)
        # With what its signal is normalized by taken off and without: a clean signal does not follow the wander of the
        # noisy one.
        self._y_of_signal = (Moments(task.n_outputs), Moments(task.n_outputs)) if by_signal else None
        self._sizes: list[np.ndarray] = []
        self._levels: list[np.ndarray] = []
        self._meanings: list[np.ndarray] = []

    @property
    def anything(self) -> bool:
        """Whether something is left to decide."""
        return any(part is not None for part in (self._x, self._y, self._y_of_signal))

    def add(self, x: np.ndarray, y: np.ndarray) -> Scale | None:
        """Take in a signal [T, C] and its target, as `as_target` gives it; back comes the scale that is its own."""
        n_features = x.shape[1]
        x = apply_steps(x, self._wanted["steps"], self._wanted["sampling_frequency"])
        for part in self._x or ():
            part.add(x)
        if self._y is not None:
            self._y.add(y.reshape(-1, y.shape[-1]))
        if self._own not in OWN:
            return None
        own = own_scale(x[:, :n_features], str(self._own), self._wanted)
        if self._y_of_signal is not None:
            for moments, shift in zip(self._y_of_signal, (own.shift, 0.0), strict=True):
                moments.add((y - shift) / own.scale)
            levels = x[:, :n_features].mean(axis=0), meaning(y, self._task)
            self._sizes.append(np.stack([own.factor, _spread(y), *levels]))
        if self._wanted["normalization"] == "auto":
            size = np.log(np.where(own.factor > 0, own.factor, np.nan))  # nan: a flat channel has none
            self._levels.append(np.concatenate([own.shift, size]))
            self._meanings.append(meaning(y, self._task))
        return own

    def decided(self) -> Preprocessing:
        """The preprocessing with nothing left open."""
        known = dict(self._wanted)
        follows = self._y_of_signal is not None and (self._y is None or follow(np.array(self._sizes), self._people))
        if known["normalization"] == "auto":
            matters = not follows and tells(np.array(self._levels), np.array(self._meanings), self._people)
            known["normalization"] = "dataset" if matters else "zscore"
        if self._x is not None and known["normalization"] == "dataset":
            of_all, of_most = (part.scale() for part in self._x)
            rests = of_most.scale <= 1e-3 * of_all.scale
            shift, scale = (np.where(rests, *sides) for sides in zip(of_all, of_most, strict=True))
            known |= {"x_shift": shift.tolist(), "x_scale": scale.tolist()}
        of_y = None
        if follows and self._y_of_signal is not None:
            with_shift, without = (moments.scale() for moments in self._y_of_signal)
            offset = bool(with_shift.scale.sum() <= without.scale.sum())
            of_y = with_shift if offset else without
            if known["residual"]:  # outputs of 0 are to leave the signal where it is, too
                offset, of_y = True, Scale(np.zeros_like(with_shift.shift), with_shift.scale)
            known |= {"target_normalization": "signal", "target_offset": offset}
        elif self._y is not None:
            of_y = self._y.scale()
            known["target_normalization"] = "dataset"
            _tell_alike(self._y, self._task)
        if of_y is not None:
            known |= {"y_shift": of_y.shift.tolist(), "y_scale": of_y.scale.tolist()}
        return new_preprocessing(known)


def tells(levels: np.ndarray, meanings: np.ndarray, people: Sequence[str] | None = None) -> bool:
    """Whether the own offsets and scales of signals [N, 2 C] say something of what is asked of them [N, K], so that
    taking them off would lose it: a quarter of the variance of some output in a line through those of other people,
    which for muscles is half and for heart beats, whose size is the electrode's, a tenth. The size of a channel whose
    offsets lie far apart is not asked: left with them it is next to nothing. Of signals that are mostly flat nothing
    else would be left."""
    offsets, sizes = np.hsplit(levels, 2)
    flat = np.isnan(sizes)
    alive = ~flat.all(axis=0)  # a dead channel says nothing, whatever is done to it
    if flat[:, alive].mean() > 0.5 if alive.any() else True:
        return True
    far = offsets.std(axis=0) > _FAR * np.exp(np.nanmedian(np.where(alive, sizes, 0.0), axis=0))
    levels = np.hstack([offsets, np.where(far, 0.0, sizes)])
    parts = _parts(len(levels), people)
    for column in meanings.T:
        known = np.isfinite(column)
        if _told_by(levels[known], column[known], parts[known]) > 0.25:
            return True
    return False


def _parts(n: int, people: Sequence[str] | None) -> np.ndarray:
    """A number for each of n signals, by which those that may have more in common than chance are together: signals of
    one person, or where nobody says who they are of, neighbours, which windows of one recording are."""
    if people is None or len(set(people)) < 2:
        return np.arange(n) * _BLOCKS // max(n, 1)
    return np.asarray(np.unique(list(people), return_inverse=True)[1] % _PARTS)


def _told_by(levels: np.ndarray, values: np.ndarray, parts: np.ndarray) -> float:
    """The share of the variance of `values` [N] that `levels` [N, 2 C] tell of each part by the best line through the
    others: at most 1, and below 0 where the mean tells more; 0 of few. A few people have levels and values that lie on
    some line by chance, however many windows each has."""
    n = len(levels)
    if n < _LEAST or np.ptp(values) == 0:
        return 0.0
    known = np.isfinite(levels)
    mean = np.where(known, levels, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    levels = np.where(known, levels, mean)
    if n < 5 * levels.shape[1]:  # too many channels for so few signals: their mean
        levels = levels.reshape(n, 2, -1).mean(axis=2)
    levels = levels[:, np.ptp(levels, axis=0) > 0]
    lines = np.column_stack([np.ones(n), (levels - levels.mean(axis=0)) / levels.std(axis=0)])
    if len(kinds := np.unique(parts)) < 2 or any(np.ptp(values[parts != k]) == 0 for k in kinds):
        parts, kinds = np.arange(n) % _BLOCKS, np.arange(_BLOCKS)  # a class that one of them alone has
    rest = values.astype(np.float64)
    for k in kinds:
        others = parts != k
        rest[~others] -= lines[~others] @ np.linalg.lstsq(lines[others], values[others], rcond=None)[0]
    return float(1 - (rest @ rest) / (n * values.var()))


def follow(sizes: np.ndarray, people: Sequence[str] | None = None) -> bool:
    """Whether targets follow their signals, of which `sizes` [N, 4, C] are the scale, the target's scale, the level
    and the target's level: scales rise together, and divided by them no target's levels lie further apart than before,
    as those of pressures in mmHg would."""
    for column in sizes.transpose(2, 1, 0):
        scale, spread, own, level = column[:, (column[0] > 0) & np.isfinite(column[3])]
        if len(level) and _apart(level, spread) + 0.1 < min(
            _apart((level - known) / scale, spread / scale) for known in (0.0, own)
        ):
            return False
    return rise_together(sizes[:, :2], people)


def _apart(levels: np.ndarray, spreads: np.ndarray) -> float:
    """The share of the variance of signals with such levels and spreads [N] that is between them."""
    between, within = levels.var(), np.square(spreads).mean()
    return float(between / max(between + within, np.finfo(float).tiny))


def rise_together(spreads: np.ndarray, people: Sequence[str] | None = None) -> bool:
    """Whether signals' and targets' own scales [N, 2, C] go together: either their quotients vary less than the
    target's scales do by themselves, or the two are correlated beyond what chance gives so many signals, and in some
    people as in others."""
    x, y = spreads[:, 0].reshape(-1), spreads[:, 1].reshape(-1)
    there = (x > 0) & (y > 0)
    parts = np.repeat(_parts(len(spreads), people), spreads.shape[2])[there]
    x, y = np.log(x[there]), np.log(y[there])
    if len(x) < 2:
        return False
    if np.std(y - x) <= np.std(y):
        return True
    if np.std(y) < _ALIKE:
        return False
    correlated = np.corrcoef(x, y)[0, 1] > max(0.3, 2 / len(x) ** 0.5)
    return bool(correlated and (len(x) < _LEAST or _told_by(x[:, None], y, parts) > 0))


def _tell_alike(y: Moments, task: Task) -> None:
    """Warn of outputs whose targets are all the same, or unknown."""
    columns = zip(task.output_names, y.count, y.scale().shift, y.rests(), strict=True)
    told = [
        (f"every label of train_data is {value:.6g}" if n else "no label of train_data is known")
        + (f" ({name})" if task.n_outputs > 1 else "")
        for name, n, value, rests in columns
        if rests
    ]
    if told:
        warn(f"{' and '.join(told)}: what is the same in all signals cannot be learnt from them.")


def _spread(y: np.ndarray) -> np.ndarray:
    """The standard deviation of each output's known steps; 0 where there are none."""
    known = ~np.isnan(y)
    return np.array([column[there].std() if there.any() else 0.0 for column, there in zip(y.T, known.T, strict=True)])
