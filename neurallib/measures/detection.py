"""Detectors of events on recordings: matched one to one, without the stretches that are not to be scored."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neurallib.measures.by_person import Measures
from neurallib.measures.counts import found_measures
from neurallib.measures.events import match_peaks

# What the sums of a recording hold: pairs, found without a true one, true without a found one, hours, the pairs' timing
# errors (ms) and their squares.
SUMS = ("true_positives", "false_positives", "false_negatives", "hours", "errors", "squared_errors")


def detection_sums(
    true: np.ndarray, found: np.ndarray, rate: float, n_steps: int, skip: np.ndarray, tolerances: Sequence[float]
) -> np.ndarray:
    """The sums of one recording for each tolerance in seconds, float64 [n, 6].

    `skip` holds samples [g, 2] from where to where nothing is scored. All are matched first: a true event in there and
    what was found for it do not count, nor does what was found there for none.
    """
    edges = _edges(skip, n_steps)
    hours = (n_steps - np.diff(edges.reshape(-1, 2), axis=1).sum()) / rate / 3600
    true_out, found_out = _inside(true, edges), _inside(found, edges)
    rows = []
    for tolerance in tolerances:
        # 0.29 s at 100 Hz are 29 samples, though the product of the floats is a little less.
        i, j = match_peaks(true, found, tolerance * rate + 1e-6)
        alone = found_out.copy()
        alone[j] = True
        i, j = i[~true_out[i]], j[~true_out[i]]
        errors = (found[j] - true[i]) * (1000 / rate)
        missed = (~true_out).sum() - len(i)
        rows.append([len(i), (~alone).sum(), missed, hours, errors.sum(), (errors**2).sum()])
    return np.array(rows, np.float64)


def detection_measures(sums: np.ndarray) -> Measures:
    """Sensitivity, positive predictive value, F1, false positives an hour, bias and SD of the timing error (ms, found
    minus true), of sums [..., 6]; nan where it would divide by zero."""
    tp, fp, fn, hours, errors, squared = np.moveaxis(np.asarray(sums), -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        bias = errors / np.where(tp > 0, tp, np.nan)
        spread = np.sqrt(np.maximum(squared / np.where(tp > 0, tp, np.nan) - bias**2, 0))
    return found_measures(tp, fp, fn, hours) | {"timing_bias_ms": bias, "timing_sd_ms": spread}


def merged(stretches: np.ndarray, distance: float) -> np.ndarray:
    """Stretches [n, 2] in the order of their starts, those that overlap, or begin less than `distance` behind what was
    before, as one."""
    if not len(stretches):
        return stretches
    reach = np.maximum.accumulate(stretches[:, 1])
    new = np.append(True, stretches[1:, 0] - reach[:-1] >= distance)
    return np.stack([stretches[new, 0], reach[np.append(np.flatnonzero(new)[1:] - 1, len(reach) - 1)]], axis=1)


def scored_of(samples: np.ndarray, skip: np.ndarray, n_steps: int) -> np.ndarray:
    """Those of samples [n] that lie in none of the stretches [g, 2]."""
    return np.asarray(samples[~_inside(samples, _edges(skip, n_steps))])


def _edges(skip: np.ndarray, n_steps: int) -> np.ndarray:
    """Stretches of steps as rising edges [2 n], those that overlap or touch as one."""
    skip = np.clip(np.asarray(skip, np.int64).reshape(-1, 2), 0, n_steps)
    skip = skip[skip[:, 1] > skip[:, 0]]
    return merged(skip[np.argsort(skip[:, 0], kind="stable")], 1).reshape(-1)


def _inside(samples: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.asarray(np.searchsorted(edges, samples, "right") % 2 == 1)
