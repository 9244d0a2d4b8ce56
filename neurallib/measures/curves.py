"""A threshold chosen by what each would give: `choose_threshold`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from neurallib.checks import choice, names_of, number
from neurallib.measures.metrics import Metrics
from neurallib.measures.ranking import Ranked
from neurallib.names import hinted, listing
from neurallib.tasks import Task, TaskKind
from neurallib.warn import warn

MEASURES = ("f1", "balanced_accuracy", "accuracy", "precision", "recall", "specificity")
SUMMARIES = ("auroc", "average_precision")


@hinted
def choose_threshold(
    curves: Mapping[str, Any],
    *,
    measure: str = "f1",
    recall: float = 0.0,
    specificity: float = 0.0,
    precision: float = 0.0,
) -> float | np.ndarray:
    """The threshold with the highest value of a measure, or of those that reach some recall, specificity or precision.

    Choose it on validation data and measure it on others: on those that it was chosen on it looks better than it is.

    Parameters
    ----------
    curves : dict
        What `threshold_curves` gives of a binary task or of several labels, or `class_scores` of probabilities of two
        classes.
    measure : str
        "f1", "balanced_accuracy" (the highest has the highest Youden's index), "accuracy", "precision", "recall" or
        "specificity".
    recall, specificity, precision : float
        What has to be reached at least, in [0, 1]: `measure="specificity", recall=0.95` is the most specific threshold
        whose sensitivity is 95 %.

    Returns
    -------
    float or np.ndarray
        In [0, 1]; of several labels float64 [K], one for each, so that `probabilities > threshold` is what is found.
        `evaluate`, `confusion_matrix`, `find_intervals`, `find_events` and others take it as `threshold`, and
        `state["postprocessing"]["events"]["threshold"]` keeps that of a binary state, by which `evaluate_recordings`
        and streams go. It is of steps, or signals: where events are matched, another may find them better. Of a label
        that has no yes or no no, it is 0.5, with a warning.

    Raises
    ------
    TypeError
        If `curves` is something else, or what has to be reached no number.
    ValueError
        If no threshold reaches it, or only yes or only no is there, or classes exclude each other, so that the most
        probable is found.

    See Also
    --------
    threshold_curves : what each threshold gives.
    plot_curves : a picture of it.
    evaluate : takes a threshold.

    References
    ----------
    Youden, Index for rating diagnostic tests, Cancer 3(1):32-35, 1950.

    Examples
    --------
    >>> import neurallib as nl
    >>> scores = nl.class_scores([[0, 0, 1, 0, 1, 1]], [[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]])
    >>> [round(nl.choose_threshold(scores, **wanted), 3) for wanted in ({}, {"precision": 1})]
    [0.25, 0.45]
    """
    told = curves_of(curves)
    choice("measure", measure, MEASURES)
    wanted = {"recall": recall, "specificity": specificity, "precision": precision}
    wanted = {name: least for name, given in wanted.items() if (least := number(name, given, 0, 1)) > 0}
    if told["kind"] == "multiclass":
        expected = "the most probable is found, whatever it has; expected a binary task, or several labels"
        raise ValueError(f"classes {listing(told['names'])} exclude each other: {expected}.")
    without = [name for name, curve in told["curves"].items() if np.isnan(curve["auroc"])]
    if len(without) == len(told["names"]):
        raise ValueError(f"of {listing(map(repr, without))} the data hold yes alone or no alone; expected both.")
    if without:
        warn(f"of {listing(map(repr, without))} the data hold yes alone or no alone: the threshold stays 0.5.")
    found = [
        0.5 if name in without else _best(name, curve, measure, wanted) for name, curve in told["curves"].items()
    ]
    return found[0] if told["kind"] == "binary" else np.array(found)


def _best(name: str, curve: Mapping[str, Any], measure: str, wanted: Mapping[str, float]) -> float:
    if np.isnan(curve["threshold"]).any():
        raise ValueError(f"there are probabilities of {name!r} that are nan; expected numbers from 0 to 1.")
    reached = np.isfinite(curve["threshold"])
    for of, least in wanted.items():
        most = np.nanmax(curve[of][reached])
        reached = reached & (curve[of] >= least)
        if not reached.any():
            aims = [f"{each} {value:g}" for each, value in wanted.items()]
            others = aims[: list(wanted).index(of)]
            at_most = f"{of} is {most:.4g} at the most" + (f" with {' and '.join(others)}" if others else "")
            raise ValueError(f"no threshold of {name!r} reaches {' and '.join(aims)}; {at_most}.")
    values = np.where(reached & ~np.isnan(curve[measure]), curve[measure], -1)
    best = np.flatnonzero(values == values.max())
    return float(curve["threshold"][best[np.abs(curve["threshold"][best] - 0.5).argmin()]])


def curves_of(given: Any) -> Mapping[str, Any]:
    """What `threshold_curves` gives, also of the probabilities of what `class_scores` gives."""
    if isinstance(given, Mapping) and "curves" in given:
        return _checked(given)
    ranked = given.get("ranked") if isinstance(given, Mapping) else None
    if not isinstance(ranked, Ranked):
        came = f"holds {listing(map(str, given), 4)}" if isinstance(given, Mapping) else f"is a {type(given).__name__}"
        expected = "expected what threshold_curves gives, or class_scores of probabilities"
        raise TypeError(f"curves {came} and no probabilities; {expected}.")
    k = ranked.p.shape[1]
    kind: TaskKind = "binary" if k == 1 else "multiclass"
    names = ranked.names[1:] if k == 1 else ranked.names
    holds = ranked.holds[:, 0] if k == 1 else ranked.holds.argmax(axis=1)
    metrics = Metrics(Task(kind, 1, k, True, tuple(names)))
    metrics.update(torch.from_numpy(ranked.p), torch.from_numpy(holds.astype(np.float32)), torch.empty(0))
    return metrics.curves()


def _checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """The same as arrays, which a file may have kept as lists, or an error where it was changed to what cannot be."""
    try:
        names = names_of("names", given["names"])
        curves = {name: _told(given["curves"][name], ("threshold", *MEASURES), SUMMARIES) for name in names}
        bins = ("probability", "share", "n"), ("calibration_error",)
        calibration = {name: _told(of_one, *bins) for name, of_one in given["calibration"].items()}
        choice("kind", given["kind"], ("binary", "multiclass", "multilabel"))
        if not names or not calibration or len(names) > 1 and given["kind"] == "binary":
            raise ValueError(f"kind={given['kind']!r} of {len(names)} names")
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        told = f"has no {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"curves is not what threshold_curves gives, changed by hand or a file: {told}") from error
    return {**given, "names": names, "curves": curves, "calibration": calibration}


def _told(given: Mapping[str, Any], rows: Sequence[str], numbers: Sequence[str]) -> dict[str, Any]:
    """Arrays of one length, float64, and numbers."""
    found = {name: np.asarray(given[name], np.float64) for name in rows}
    if len(shapes := {found[name].shape for name in rows}) > 1 or not next(iter(shapes)):
        raise ValueError(f"{listing(rows)} have shapes {listing(sorted(map(str, shapes)))}")
    return found | {name: float(given[name]) for name in numbers}
