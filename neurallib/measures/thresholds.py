"""Yes or no by a threshold: one that is given, and what every one gives."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurallib.checks import as_list, is_list, number
from neurallib.measures.counts import yes_or_no
from neurallib.names import listing
from neurallib.tasks import Task

GROUPS = 1 << 11  # shares of the yes, and of the no, that thresholds tell apart


def as_thresholds(threshold: Any, task: Task) -> np.ndarray:
    """float64 [K], of one number for all outputs or of one for each, or an error where a task knows none."""
    if task.kind in ("multiclass", "regression"):
        if is_list(as_list(threshold)) or number("threshold", threshold, 0, 1) != 0.5:
            way = "of exclusive classes the most probable is found" if task.kind == "multiclass" else "these are values"
            raise ValueError(f"threshold={threshold} is of probabilities of yes; {way}.")
        return np.full(task.n_outputs, 0.5)
    given = as_list(threshold)
    given = given if is_list(given) else [given] * task.n_outputs
    if len(given) != task.n_outputs:
        expected = f"expected one number, or {task.n_outputs}, one for each of {listing(task.output_names)}"
        raise ValueError(f"threshold has {len(given)} numbers; {expected}.")
    return np.array([number("threshold", one, 0, 1) for one in given])


def at_thresholds(
    negatives: np.ndarray, positives: np.ndarray, lowest: np.ndarray, highest: np.ndarray
) -> dict[str, np.ndarray]:
    """Of counts [bins] by rising probability, the lowest and the highest of which stand beside them, the thresholds by
    rising, of which the first finds all and the last nothing, and the measures of what is above each.

    Of yes and no by themselves there is a threshold for each 2,048th at least, so that they are no more than twice as
    many. -inf is that which finds a probability of 0 as well.
    """
    some = negatives + positives > 0
    some[-1] |= not some.any()
    low, high = lowest[some], highest[some]
    middle = (high[:-1] + low[1:]) / 2
    between = np.where(middle < low[1:], middle, high[:-1])  # all of it float32, as it is compared with probabilities
    first = np.where(low[:1] > 0, low[:1] / 2, -np.inf)
    threshold = np.concatenate([first, between, high[-1:]], dtype=np.float64)
    tp, fp = (np.append(np.cumsum(side[some][::-1])[::-1], 0) for side in (positives, negatives))
    group = tp * GROUPS // max(tp[0], 1) + fp * GROUPS // max(fp[0], 1)
    kept = np.diff(group, append=-1) != 0
    kept[0] = True
    fn, tn = tp[0] - tp, fp[0] - fp
    return {"threshold": threshold[kept], **yes_or_no(tp[kept], fp[kept], fn[kept], tn[kept])}
