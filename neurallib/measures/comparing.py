"""Whether one model is better than another on the same recordings: `compare_recordings`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from neurallib.measures.by_person import Gross, Scored, joined, paired
from neurallib.measures.classes import class_measures
from neurallib.measures.denoising import denoising_measures
from neurallib.measures.events import detection_measures
from neurallib.measures.intervals import interval_measures
from neurallib.measures.ranking import paired_ranking
from neurallib.measures.tables import check_result
from neurallib.measures.values import value_measures
from neurallib.names import hinted, listing
from neurallib.warn import warn


@hinted
def compare_recordings(
    a: Mapping[str, Any], b: Mapping[str, Any], *, n_resamples: int = 10_000, seed: int = 42
) -> dict[str, Any]:
    """The difference of two models on the same recordings, with intervals and tests that are paired by person.

    Parameters
    ----------
    a, b : dict
        What `evaluate_recordings`, `class_scores` or `value_scores` gives for each, of the same recordings and the
        same truth: where it is not, as of windows for one and of steps for the other, a warning says so.
    n_resamples : int
        How often people are drawn again for the intervals, and how many ways to swap a and b of people are tried where
        there are more of them.
    seed : int
        Of both.

    Returns
    -------
    dict
        "gross" and "average", for each measure: "a", "b", "difference" (a - b), its 95 % interval "low" and "high", and
        the "p_value" of a two-sided permutation test: how often a difference as large comes about where a and b of
        each person change places at random. "people", how many there are: with fewer than six no p is below 0.05.
        "table", a text in Markdown.

    Raises
    ------
    TypeError
        If one of the two is no result.
    ValueError
        If they are of different tasks, recordings or people.

    See Also
    --------
    evaluate_recordings : makes the two.

    References
    ----------
    Good, Permutation, Parametric and Bootstrap Tests of Hypotheses, 2005.

    Examples
    --------
    >>> import neurallib as nl
    >>> true = [[0, 1, 1, 0]] * 3
    >>> better = nl.class_scores(true, [[0, 1, 1, 0], [0, 1, 1, 0], [0, 1, 1, 1]])
    >>> worse = nl.class_scores(true, [[0, 1, 0, 0], [0, 0, 1, 0], [0, 1, 0, 1]])
    >>> compared = nl.compare_recordings(better, worse)
    >>> round(compared["gross"]["accuracy"]["difference"], 3), compared["gross"]["accuracy"]["p_value"]
    (0.25, 0.25)
    """
    for name, given in (("a", a), ("b", b)):
        check_result(name, given, "sums")
    if a["task"] != b["task"] or a.get("names") != b.get("names"):
        raise ValueError(f"a is of {a['task']} and b of {b['task']}; expected the same task, with the same classes.")
    keys = [[(row["name"], row["person"]) for row in side["records"]] for side in (a, b)]
    if sorted(keys[0]) != sorted(keys[1]) or len(set(keys[0])) < len(keys[0]):
        alone = sorted({name for name, _ in set(keys[0]) ^ set(keys[1])})
        raise ValueError(f"a and b are of different recordings: {listing(alone)} in one alone, or one comes twice.")
    place = {key: i for i, key in enumerate(keys[1])}
    order = [place[key] for key in keys[0]]
    gross = gross_of(a["task"], a.get("names"))
    _tell_if_unlike(a, b, order)
    both_rank = all(side.get("ranked") is not None for side in (a, b))
    told: dict[str, Any] = paired_ranking(a, b, n_resamples, seed) if both_rank else {}
    of_ranks = {name for name in a["average"] if name.startswith(("auroc", "average_precision"))}
    measures = [name for name in a["average"] if name in b["average"] and name not in of_ranks]
    sides = [_scored(a, range(len(order)), measures), _scored(b, order, measures)]
    told = joined(paired(sides[0], sides[1], gross, n_resamples, seed), told)
    return told | {"people": len(set(sides[0].people)), "table": _table(told)}


def gross_of(task: str, names: Any = None) -> Gross:
    """How the sums of a task become its measures; `names` are those of classes or values."""
    kinds: dict[str, Callable[[np.ndarray], Any]] = {
        "events": detection_measures, "intervals": interval_measures, "denoising": denoising_measures,
        "classes": partial(class_measures, names=names), "values": partial(value_measures, names=names),
    }  # fmt: skip
    return kinds[task]


def _tell_if_unlike(a: Mapping[str, Any], b: Mapping[str, Any], order: list[int]) -> None:
    """Warn where what is scored of a record is not the same for both, as windows for one and steps for the other."""
    ones, others = _truth(a), _truth(b)[order]
    if unlike := np.flatnonzero(~np.isclose(ones, others).all(axis=1)).tolist():
        i = unlike[0]
        name, (n, m) = a["records"][i]["name"], (side[i].sum() for side in (ones, others))
        words = {"classes": "steps", "denoising": "values", "values": "sums of values"}
        what = words.get(a["task"], a["task"])
        told = f"{len(unlike)} of {len(order)} records, of {name!r} on {n:g} and {m:g} {what}"
        warn(f"a and b are not scored on the same truth in {told}; expected the same target, windows and skip.")


def _truth(result: Mapping[str, Any]) -> np.ndarray:
    """How much there is to find in each record, [R, n]: steps of each class, events, intervals, or values and their
    sums."""
    sums = np.asarray(result["sums"])
    if result["task"] == "classes":
        k = len(result["names"])
        return np.asarray(sums.reshape(-1, k, k).sum(-1))
    if result["task"] == "values":
        return np.asarray(sums.reshape(len(sums), len(result["names"]), -1)[:, :, [0, 4]].reshape(len(sums), -1))
    return sums[:, [0]] + sums[:, [2]] if result["task"] in ("events", "intervals") else sums[:, [0]]


def _scored(result: Mapping[str, Any], order: Any, names: list[str]) -> Scored:
    rows = [result["records"][i] for i in order]
    own = {name: np.array([row[name] for row in rows], np.float64) for name in names}
    return Scored(np.asarray(result["sums"])[list(order)], own, [row["person"] for row in rows])


def _table(told: Mapping[str, Any]) -> str:
    lines = ["| | measure | a | b | a - b | 95 % interval | p |", "| --- | --- | ---: | ---: | ---: | ---: | ---: |"]
    for kind in ("gross", "average"):
        for name, row in told[kind].items():
            numbers = " | ".join(f"{row[key]:.4f}" for key in ("a", "b", "difference"))
            between = f"{row['low']:.4f} to {row['high']:.4f}"
            lines.append(f"| {kind} | {name} | {numbers} | {between} | {row['p_value']:.3f} |")
    return "\n".join(lines) + "\n"
