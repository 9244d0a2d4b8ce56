"""Which classes a state takes for which, and what each threshold gives: `confusion_matrix`, `threshold_curves`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from neurallib.architectures import check_state
from neurallib.measures.metrics import Metrics
from neurallib.names import helped_by, hinted
from neurallib.prediction.applying import AnsweredBatch
from neurallib.prediction.evaluation import evaluate
from neurallib.prediction.sharing import of_each_share
from neurallib.signals.sources import Data
from neurallib.state import State
from neurallib.tasks import describe


@hinted
@helped_by(evaluate)
def confusion_matrix(
    state: State,
    data: Data,
    *,
    batch_size: int = 32,
    gpu_id: int | None = None,
    enable_progress_bar: bool = False,
    sampling_frequency: float | None = None,
    channels: Sequence[str] | None = None,
    units: Sequence[str] | str | None = None,
    threshold: ArrayLike = 0.5,
) -> np.ndarray:
    """How often each class of a classification is taken for each, over valid, known labels.

    Parameters
    ----------
    state : State
        Stays as it is; what its preprocessing says is done to the signals.
    data : sequence of (x, y), torch Dataset, pair of arrays, or what `open_folder` returns
        Signals [T, n_features] and their targets, whose labels may be unknown.
    sampling_frequency : float, optional
        Hz, of the signals, where it may be another than the state's; by default, as of channels and units, what the
        manifest of `make_dataset` says of a folder.
    (the rest as `evaluate` has it)

    Returns
    -------
    np.ndarray
        int64; rows are the truth, columns what was found: [K, K] of a multiclass task, [2, 2] (no, yes) of a binary
        one, [K, 2, 2] of several labels. A soft label is a yes from 0.5 on. The classes' names
        are `state["postprocessing"]["outputs"]`, where it has them.

    Raises
    ------
    TypeError, ValueError
        If `state` is none or does regression, another argument or a signal is wrong, or no label is known.

    See Also
    --------
    evaluate : the measures that are made of it.
    plot_confusion : a picture of it.

    Examples
    --------
    >>> import neurallib as nl, numpy as np
    >>> state = nl.gru_seq2one(n_features=1, hid_dim=4, n_layers=1, num_classes=3)
    >>> nl.confusion_matrix(state, [(np.ones((9, 1)), np.array(label)) for label in (0, 1, 2, 2)]).sum(axis=1)
    array([1, 1, 2])
    """
    return _metrics("confusion_matrix", **dict(locals())).confusion()


@hinted
@helped_by(confusion_matrix)
def threshold_curves(
    state: State,
    data: Data,
    *,
    batch_size: int = 32,
    gpu_id: int | None = None,
    enable_progress_bar: bool = False,
    sampling_frequency: float | None = None,
    channels: Sequence[str] | None = None,
    units: Sequence[str] | str | None = None,
) -> dict[str, Any]:
    """How good a classification's probabilities are: what each threshold gives, and how often they come true.

    Parameters
    ----------
    (the rest as `confusion_matrix` has it)

    Returns
    -------
    dict
        "kind" ("binary", "multilabel" or "multiclass"); "names" of the outputs [K], or their numbers; "curves", for
        each of these a dict of float64 [n]: "threshold", rising, and of what is above it "recall" (sensitivity),
        "specificity", "precision" (positive predictive value), "f1", "accuracy" and "balanced_accuracy", and the
        numbers "auroc" and "average_precision", as `evaluate` has them; of exclusive classes each against the others.
        There are 4,097 thresholds at the most, and -inf where the lowest probability is 0, so that it finds all.
        "calibration", for each output, or the class that is found of exclusive ones, a dict of 15 bins of probability:
        the mean "probability" and the "share" of those that hold, nan of an empty bin, "n", how many they are, and the
        number "calibration_error". nan is what the data do not tell.

    Raises
    ------
    TypeError, ValueError
        If `state` is none or does regression, another argument or a signal is wrong, or no label is known.

    See Also
    --------
    plot_curves : a picture of it.
    choose_threshold : the best one of it.
    class_scores : AUROC and average precision with intervals over people.

    Examples
    --------
    >>> import neurallib as nl, numpy as np
    >>> state, pairs = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1), [(np.eye(9)[:, :1], np.eye(9)[:, :1])]
    >>> curves = nl.threshold_curves(state, pairs)
    >>> curves["curves"]["0"]["auroc"] == nl.evaluate(state, pairs)["auroc"]
    True
    """
    return _metrics("threshold_curves", **dict(locals())).curves()


def _metrics(what: str, state: State, data: Data, threshold: ArrayLike = 0.5, **options: Any) -> Metrics:
    """What the metrics of a classification have seen of data."""
    state = check_state(state)
    task = describe(state)
    if task.kind == "regression":
        raise ValueError("this state does regression; expected a classification, which has classes to confuse.")
    metrics = Metrics(task, threshold)

    def seen(batches: Iterator[AnsweredBatch]) -> Metrics:
        for some in batches:
            metrics.update(some.outputs(task), some.y.cpu(), some.lengths.cpu())
        return metrics

    metrics, *others = of_each_share(what, state, data, True, seen, **options)
    for other in others:
        metrics.add(other)
    return metrics
