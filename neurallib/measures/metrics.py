"""What `evaluate` and validation report beside the loss, by task, over valid, known labels alone, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from neurallib.measures.auroc import Auroc, area, average_precision
from neurallib.measures.counts import as_thresholds, at_thresholds, by_class, f1, mean_told, yes_or_no
from neurallib.measures.losses import known_labels
from neurallib.sequences import valid_mask
from neurallib.tasks import Task

_Named = dict[str, Any]  # of all outputs, numbers; of each one, arrays [K]
BINS = 15  # of confidences, for the calibration error
_RANGES = {  # of what does not lie from 0 to 1
    **dict.fromkeys(("loss", "mse", "mae", "baseline_mse"), (0.0, np.inf)),
    "r2": (-np.inf, 1.0), "pearson": (-1.0, 1.0), "cohen_kappa": (-1.0, 1.0),
}  # fmt: skip


def range_of(measure: str) -> tuple[float, float]:
    """Between which values a measure lies that `evaluate` gives, of all outputs or of one."""
    return next((ends for name, ends in _RANGES.items() if is_of(measure, [name])), (0.0, 1.0))


def is_of(measure: str, kinds: Iterable[str]) -> bool:
    """Whether it is one of these measures, or that of one class or output, whose name is behind."""
    return any(f"{measure}_".startswith(f"{kind}_") for kind in kinds)


class Metrics:
    """The metrics of a task, which see one batch after the other; values do not depend on how they were batched.

    Labels that are not known (-1 or nan) are left out. Soft labels count as yes from 0.5 on, but for the calibration
    error, which takes them as they are. A value that nothing can be said of (the recall of a class that does not
    occur) is nan, and has no part in a mean over classes.
    """

    def __init__(self, task: Task, threshold: Any = 0.5) -> None:
        above = as_thresholds(threshold, task)
        kinds: dict[str, Any] = {"regression": _Values, "multiclass": _Classes}
        self._task, self._seen = task, kinds[task.kind](task.n_outputs) if task.kind in kinds else _Labels(above)

    def update(self, outputs: Tensor, y: Tensor, lengths: Tensor) -> None:
        """Take in a batch: probabilities or values [B, T, K] (or [B, K]), targets and lengths as in a batch."""
        y = y.reshape(outputs.shape[:-1] if self._task.kind == "multiclass" else outputs.shape)
        if not self._task.seq2one:
            valid = valid_mask(lengths, outputs.shape[1])
            outputs, y = outputs[valid], y[valid]
        known = known_labels(y, self._task)
        if self._task.kind == "multiclass":
            outputs, y = outputs[known], y[known]
        self._seen.update(outputs.float().numpy(), y.numpy(), known.numpy())

    def add(self, other: Metrics) -> None:
        """Take in what another has seen, of the same task."""
        self._seen.add(other._seen)

    def values(self) -> dict[str, float]:
        """The metrics of all batches seen, as plain numbers: of all outputs, then of each one under its name."""
        with np.errstate(divide="ignore", invalid="ignore"):
            whole, each = self._seen.values()
        named = {
            f"{metric}_{name}": float(value)
            for metric, values in each.items()
            for name, value in zip(self._task.output_names, values, strict=True)
        }
        total = {name: float(value) for name, value in whole.items()}
        return total | named | total  # a class called "macro" does not take the place of f1_macro

    def confusion(self) -> np.ndarray:
        """Of a classification, int64: rows are the truth, columns what was found; [K, K] of a multiclass task, [2, 2]
        (no, yes) of a binary one, [K, 2, 2] of several labels."""
        table: np.ndarray = self._seen.table
        return table[0] if self._task.kind == "binary" else table

    def curves(self) -> dict[str, Any]:
        """Of a classification, what `threshold_curves` gives."""
        seen, names, kind = self._seen, self._task.output_names, self._task.kind
        ranks: Auroc = seen.auroc
        curves = {
            name: at_thresholds(sides[0], sides[1], *levels) | _areas(sides)
            for name, sides, levels in zip(names, ranks.sides(), ranks.levels(), strict=True)
        }
        of = ["the class that is found"] if kind == "multiclass" else names
        calibration = dict(zip(of, seen.calibration.by_bin(), strict=True))
        return {"kind": kind, "names": list(names), "curves": curves, "calibration": calibration}


class _Labels:
    """One or several labels, each its own yes or no."""

    def __init__(self, threshold: np.ndarray) -> None:
        self._threshold, k = threshold, len(threshold)
        self.table = np.zeros((k, 2, 2), np.int64)  # [label, truth, found]
        self.auroc, self.calibration = Auroc(k), _Calibration(k)

    def update(self, outputs: np.ndarray, y: np.ndarray, known: np.ndarray) -> None:
        """Take in probabilities, labels and which of them are known, each [N, K]."""
        found, yes = outputs > self._threshold, y >= 0.5  # an unknown label is no yes
        truths = np.stack([(known & ~yes).sum(0), yes.sum(0)], -1)
        positive = np.stack([(found & known & ~yes).sum(0), (found & yes).sum(0)], -1)
        self.table += np.stack([truths - positive, positive], -1)
        self.auroc.update(outputs, np.where(known, yes, -1) if not known.all() else yes)
        self.calibration.update(outputs, y, known)

    def add(self, other: _Labels) -> None:
        self.table += other.table
        self.auroc.add(other.auroc)
        self.calibration.add(other.calibration)

    def values(self) -> tuple[_Named, _Named]:
        (tn, fp), (fn, tp) = np.moveaxis(self.table, 0, -1)
        each = yes_or_no(tp, fp, fn, tn)
        areas = [_areas(pair) for pair in self.auroc.sides()]
        each |= {name: np.array([one[name] for one in areas]) for name in areas[0]}
        each |= {"calibration_error": self.calibration.value()}
        whole = {name: mean_told(values) for name, values in each.items()}
        whole["accuracy"] = (tp + tn).sum() / self.table.sum()
        whole["baseline_accuracy"] = self.table.sum(2).max(1).sum() / self.table.sum()
        if len(tp) == 1:
            whole["f1_macro"] = mean_told([*f1(tp, fp, fn), *f1(tn, fn, fp)])
            return whole, {}
        return {"f1_macro" if name == "f1" else name: value for name, value in whole.items()}, each


class _Classes:
    """Classes of which one holds."""

    def __init__(self, k: int) -> None:
        self.table = np.zeros((k, k), np.int64)  # [truth, found]
        self.auroc, self.calibration = Auroc(k), _Calibration(1)

    def update(self, outputs: np.ndarray, y: np.ndarray, known: np.ndarray) -> None:
        """Take in probabilities [N, K] and classes [N], all of them known."""
        k, y, found = outputs.shape[1], y.astype(np.int64), outputs.argmax(1)
        self.table += np.bincount(y * k + found, minlength=k * k).reshape(k, k)
        self.auroc.update(outputs, y[:, None] == np.arange(k))
        right = (found == y)[:, None]
        self.calibration.update(outputs.max(1, keepdims=True), right, np.ones_like(right))

    def add(self, other: _Classes) -> None:
        self.table += other.table
        self.auroc.add(other.auroc)
        self.calibration.add(other.calibration)

    def values(self) -> tuple[_Named, _Named]:
        whole, each = by_class(self.table)
        each["auroc"] = np.array([area(*pair) for pair in self.auroc.sides()])
        return whole | {
            "auroc": mean_told(each["auroc"]),
            "calibration_error": self.calibration.value()[0],
            "baseline_accuracy": self.table.sum(1).max() / self.table.sum(),
        }, each


class _Values:
    """A regression's outputs: sums of deviations from the running means, merged batch by batch (Chan et al., 1979)."""

    def __init__(self, k: int) -> None:
        self._n, self._absolute, self._squared = np.zeros((3, k))
        self._means = np.zeros((2, k))  # of outputs and targets
        self._products = np.zeros((3, k))  # of the deviations of outputs, of targets, and of one by the other

    def update(self, outputs: np.ndarray, y: np.ndarray, known: np.ndarray) -> None:
        """Take in outputs, targets and which of them are known, each [N, K]."""
        known = np.ascontiguousarray(known.T)  # an output a row: rows are summed far faster than columns
        pair = np.where(known, np.array([outputs.T, y.T], np.float64, order="C"), 0)
        n, error = known.sum(1), np.abs(pair[0] - pair[1])
        self._absolute += error.sum(1)
        self._squared += np.einsum("kn,kn->k", error, error)
        means = pair.sum(2) / np.maximum(n, 1)
        a, b = np.where(known, pair - means[:, :, None], 0)
        self._add_products(n, means, [np.einsum("kn,kn->k", p, q) for p, q in ((a, a), (b, b), (a, b))])

    def add(self, other: _Values) -> None:
        self._absolute += other._absolute
        self._squared += other._squared
        self._add_products(other._n, other._means, other._products)

    def _add_products(self, n: np.ndarray, means: np.ndarray, products: Sequence[np.ndarray] | np.ndarray) -> None:
        total = np.maximum(self._n + n, 1)
        da, db = means - self._means
        weight = self._n * n / total
        for own, more, d in zip(self._products, products, (da * da, db * db, da * db), strict=True):
            own += more + d * weight
        self._means += (means - self._means) * n / total
        self._n += n

    def values(self) -> tuple[_Named, _Named]:
        n, (aa, bb, ab) = self._n, self._products
        varied, target_varied = self._products[:2] > 1e-28 * n * self._means**2  # by more than a constant's rounding
        each = {
            "mse": self._squared / n,
            "mae": self._absolute / n,
            "r2": np.where(target_varied, 1 - self._squared / bb, np.nan),
            "pearson": np.where(varied & target_varied, ab / np.sqrt(aa * bb), np.nan),
            "baseline_mse": bb / n,
        }
        whole = {name: (values * n)[n > 0].sum() / n.sum() for name, values in each.items()}
        whole |= {name: mean_told(each[name]) for name in ("r2", "pearson")}
        return whole, each if len(n) > 1 else {}


class _Calibration:
    """How far confidence is from being right, on average: the expected calibration error, in 15 bins of confidence."""

    def __init__(self, k: int) -> None:
        self._sums = np.zeros((3, k, BINS))  # how many, their confidences, how often they were right

    def update(self, confidence: np.ndarray, right: np.ndarray, known: np.ndarray) -> None:
        """Take in confidences, whether (or how far) they were right and which are known, each [N, K]."""
        places = np.fmin(confidence * BINS, BINS - 1).astype(np.int64)  # of nan as well: networks diverge
        places += np.arange(confidence.shape[1]) * BINS
        places, n = places[known], self._sums[0].size
        for sums, weights in zip(self._sums, (None, confidence[known], right[known]), strict=True):
            sums += np.bincount(places, weights, n).reshape(sums.shape)

    def add(self, other: _Calibration) -> None:
        self._sums += other._sums

    def value(self) -> np.ndarray:
        """Of each column [K]; nan of one that nothing is known of."""
        n, confidence, right = self._sums
        error: np.ndarray = np.abs(confidence - right).sum(1) / n.sum(1)
        return error

    def by_bin(self) -> list[dict[str, Any]]:
        """Of each column its bins [15]: the mean confidence, how often that was right, and how many; and the error."""
        with np.errstate(invalid="ignore"):
            means = self._sums[1:] / self._sums[0]
        parts = zip(*means, self._sums[0].astype(np.int64), self.value(), strict=True)
        names = ("probability", "share", "n", "calibration_error")
        return [dict(zip(names, (*bins, float(error)), strict=True)) for *bins, error in parts]


def _areas(sides: np.ndarray) -> dict[str, float]:
    """Of negatives and positives [2, bins]."""
    return {"auroc": float(area(*sides)), "average_precision": float(average_precision(*sides))}
