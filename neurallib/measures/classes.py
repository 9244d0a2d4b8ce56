"""Classes by step, such as sleep stages and gestures, scored by person: `class_scores`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from neurallib.checks import names_of, number
from neurallib.measures.by_person import Measures, Scored, joined, summary, with_own
from neurallib.measures.counts import by_class
from neurallib.measures.ranking import Ranked, ranked, ranking
from neurallib.measures.sides import Sides, as_sides, in_order
from neurallib.measures.tables import lines_of, markdown
from neurallib.names import hinted, listing
from neurallib.signals.arrays import as_array
from neurallib.signals.folders import SignalFolder
from neurallib.signals.outputs import class_names, exclude_each_other, most_probable
from neurallib.warn import warn

_FEW = 4  # recordings, that may be of few steps
_FEW_STEPS = 20
_CODES = 10  # a lowest class from which on classes are no numbers from 0


@hinted
def class_scores(
    true: Sequence[ArrayLike],
    found: Sequence[ArrayLike],
    *,
    people: Sequence[str] | SignalFolder | None = None,
    names: Sequence[str] | None = None,
    n_bootstrap: int = 1000,
    seed: int = 42,
    threshold: float = 0.5,
) -> dict[str, Any]:
    """How well found classes meet the true ones: by person, of all steps, and on average over people.

    Parameters
    ----------
    true, found : sequence of array-like
        Of each recording the classes [T] as whole numbers from 0; `found` may hold probabilities [T, K], or of
        the second of two classes [T] or [T, 1]. With `people` also one class for each recording [N], found [N] or
        [N, K]. Steps whose true class is -1 or nan, or whose found class is, are left out. Of labels that may
        hold together give one at a time: true[:, [k]], found[:, [k]].
    people : sequence of str, or what `open_folder` returns, optional
        Who each recording is of, of a folder as its manifest says; by default each is a person of its own.
    names : sequence of str, optional
        Of the classes [K], or of yes and no that of yes; by default their numbers.
    n_bootstrap : int
        How often people are drawn again for the 95 % intervals.
    seed : int
        Of these draws.
    threshold : float
        In [0, 1], of probabilities of two classes: the second is found above it, as `choose_threshold` gives it.

    Returns
    -------
    dict
        "records", a dict a person with its "name", "person", "steps", "confusion" and measures; "gross", the measures
        of all steps together; "average", their means over people; "intervals" of both, {measure: (low, high)};
        "confusion", int64 [K, K], rows the truth, columns what was found; "names"; "table", a text in Markdown;
        "task", "sums" and "ranked", for `compare_recordings`. Measures are "accuracy", "balanced_accuracy" (the mean
        recall), "f1_macro", "cohen_kappa", and of each class its "precision", "recall" and "f1" with its name behind.
        Of probabilities also "auroc", of more than two classes the mean of each against the others, which have their
        names behind, and of two "average_precision". nan is what the data do not tell, as what tells classes apart of
        a person who has one class alone.

    Raises
    ------
    TypeError
        If classes are no numbers.
    ValueError
        If lengths do not fit each other, a class has no name, no class is known, classes are codes such as 769 and
        770, they are labels that may hold together, or a threshold is given of something else than probabilities of
        two classes.

    See Also
    --------
    evaluate_recordings : the same of a state or function on recordings.
    plot_confusion, plot_curves : pictures of them.
    value_scores : of values, such as heart rates.
    compare_recordings : whether one model is better than another.

    References
    ----------
    Cohen, A coefficient of agreement for nominal scales, Educational and Psychological Measurement 20(1), 1960.

    Examples
    --------
    >>> import neurallib as nl
    >>> scores = nl.class_scores([[0, 0, 1, 1], [0, 1, 1, -1]], [[0, 0, 1, 0], [0, 1, 1, 1]], names=["wake", "sleep"])
    >>> scores["confusion"], round(scores["gross"]["cohen_kappa"], 3), scores["average"]["accuracy"]
    (array([[3, 0],
           [1, 3]]), 0.72, 0.875)
    """
    sides = as_sides(true, found, people)
    names = None if names is None else names_of("names", names)
    is_stack = people is not None or hasattr(true, "shape")  # a list is of recordings
    if is_stack and len(sides.true) > 1 and _is_one_hot(sides, people is not None):
        expected = "expected the class of each, true.argmax(axis=1), and people="
        raise ValueError(f"true is one-hot, 1 for one of {len(sides.true[0])} classes of each recording; {expected}.")
    number("threshold", threshold, 0, 1)
    pairs = [known_pairs(a, b, name, threshold=threshold) for a, b, name in zip(*sides[:3], strict=True)]
    _check_codes(sides, pairs, names)
    k = max(int(side.max(initial=0)) for pair in pairs for side in pair) + 1
    whole = [*sides.true, *sides.found]
    if names is not None and len(names) > 2 >= k and all(each.shape == (len(names),) for each in whole):
        one = "one at a time, true[:, [k]] and found[:, [k]], with names=['no', names[k]]"
        raise ValueError(f"true and found are 0 and 1 of {len(names)} labels that may hold together; expected {one}.")
    n = whole[0].size if hasattr(true, "shape") else 0
    if k == 2 and n in range(2, _FEW_STEPS) and _are_many_rows(sides, n):
        warn(
            f"true and found are taken as {len(sides.true)} recordings of {n} steps, as list(true) says. Of {n} labels "
            "of each, which may hold together, give one at a time: true[:, [k]] and found[:, [k]]."
        )
    names = [str(i) for i in range(k)] if names is None else class_names(names)
    tables = [confusion(*pair, len(names)) for pair in pairs]
    everyone, place = in_order(sides.people)
    order = ranked(sides.true, sides.found, place, everyone, names)
    soft = all(one.dtype.kind == "f" and (one.ndim < 2 or one.shape[1] <= 2) for one in sides.found)
    if threshold != 0.5 and not (soft and len(names) <= 2):
        raise ValueError(f"threshold={threshold} is of probabilities of two classes; found holds something else.")
    return class_result(tables, sides.people, names, n_bootstrap, seed, order)


def _check_codes(sides: Sides, pairs: Sequence[tuple[np.ndarray, np.ndarray]], names: Any) -> None:
    """Raise ValueError where classes are codes, such as 769 and 770 or -1 and 1, and no whole numbers from 0."""
    lowest = min((int(side.min()) for pair in pairs for side in pair if side.size), default=0)
    if names is None and lowest >= _CODES:
        made = "np.unique(codes, return_inverse=True)[1]"
        raise ValueError(f"classes begin with {lowest}; expected whole numbers from 0, as {made} makes them of codes.")
    signs = [(side == 1) | (side == -1) for side in (*sides.true, *sides.found)]
    both = all(any((side == -1).any() for side in some) for some in (sides.true, sides.found))
    if both and all(sign.all() for sign in signs):
        raise ValueError("classes are -1 and 1, where -1 is one not known; expected 0 and 1: true > 0, found > 0.")


def _are_many_rows(sides: Sides, n: int) -> bool:
    """Whether there are more recordings than steps, `n` in each of them."""
    return len(sides.true) > max(n, _FEW) and {each.shape for each in (*sides.true, *sides.found)} == {(n,)}


def _is_one_hot(sides: Sides, of_people: bool) -> bool:
    """Whether each has a row of one 1 for its class, and as many probabilities that exclude each other, or a 1."""
    if sides.true[0].size < 2 or {each.shape for each in [*sides.true, *sides.found]} != {(len(sides.true[0]),)}:
        return False
    rows, probabilities = np.stack(sides.true), np.stack(sides.found)
    one = rows.dtype.kind in "iufb" and np.isin(rows, (0, 1)).all() and (rows.sum(axis=1) == 1).all()
    soft = of_people and probabilities.dtype.kind == "f" and (probabilities % 1 != 0).any()
    shared = (probabilities >= 0).all() and (soft or _are_many_rows(sides, rows.shape[1]))
    return bool(one and shared and exclude_each_other(probabilities))


def known_pairs(
    true: ArrayLike, found: ArrayLike, which: str, windows: np.ndarray | None = None, threshold: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """True and found classes, int64 [n], of the steps where both are known; or of windows [n, 2], from and to which
    step, where these are what was found."""
    sides = []
    for name, given in (("true", true), ("found", found)):
        values = as_array(given, f"the {name} classes of {which}")
        if values.dtype.kind not in "iufb":
            way = ", such as names.index(label)" if values.dtype.kind in "UO" else ""
            raise TypeError(f"the {name} classes of {which} have dtype {values.dtype}; expected whole numbers{way}.")
        if values.ndim == 2 and values.shape[1] > 1 and name == "found":
            values = values[:, 1] if values.shape[1] == 2 and threshold != 0.5 else most_probable(values)
        values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
        if values.ndim != 1:
            one = ": of a single recording [true]; with people= one class for each recording"
            way = {0: one, 2: ": of several labels one, [:, 0]"}.get(values.ndim, "")
            raise ValueError(f"the {name} classes of {which} have shape {values.shape}; expected [T]{way}.")
        whole = np.where(np.isnan(values), -1, values)
        if name == "found" and (whole <= 1).all() and ((whole == -1) | (whole >= 0)).all():
            whole = np.where(whole < 0, -1, whole > threshold)
        if (whole != np.floor(whole)).any():
            expected = "expected one class a step, or of what is found probabilities of yes"
            raise ValueError(f"the {name} classes of {which} are no whole numbers; {expected}.")
        sides.append(whole.astype(np.int64))
    if windows is not None and len(sides[1]) == len(windows) != len(sides[0]):
        sides[0] = np.array([_most(sides[0][start:stop]) for start, stop in windows], np.int64)
    if len(sides[0]) != len(sides[1]):
        raise ValueError(f"{which} has {len(sides[0])} true and {len(sides[1])} found classes; expected as many.")
    known = (sides[0] >= 0) & (sides[1] >= 0)
    return sides[0][known], sides[1][known]


def _most(classes: np.ndarray) -> int:
    """The class of half of the steps at least that most of them have; -1 where none is that often."""
    counts = np.bincount(classes[classes >= 0], minlength=1)
    return int(counts.argmax()) if 2 * counts.max() >= len(classes) else -1


def confusion(true: np.ndarray, found: np.ndarray, k: int) -> np.ndarray:
    """int64 [K, K], rows the truth."""
    if max(true.max(initial=0), found.max(initial=0)) >= k:
        raise ValueError(f"there is a class {max(true.max(), found.max())}; expected classes below {k}, one a name.")
    return np.bincount(true * k + found, minlength=k * k).reshape(k, k)


def class_result(
    tables: Sequence[np.ndarray], people: Sequence[str], names: list[str], n_bootstrap: int, seed: int,
    order: Ranked | None = None,
) -> dict[str, Any]:  # fmt: skip
    """What `class_scores` gives, of a confusion matrix a recording, and of probabilities where there are any."""
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"names holds {listing(twice)} twice; expected another name for each class.")
    everyone, place = in_order(people)
    counts = np.zeros((len(everyone), len(names), len(names)), np.int64)
    np.add.at(counts, place, np.stack(tables))
    if not counts.sum():
        raise ValueError("no step has a known class; expected one at least.")
    sums = counts.reshape(len(everyone), -1).astype(np.float64)
    own = class_measures(sums, names)
    of_one = (counts.sum(axis=2) > 0).sum(axis=1) < 2
    own |= {name: np.where(of_one, np.nan, own[name]) for name in ("balanced_accuracy", "f1_macro", "cohen_kappa")}
    told = summary(Scored(sums, own, everyone), lambda some: class_measures(some, names), n_bootstrap, seed)
    shown = ["steps", "accuracy", "balanced_accuracy", "f1_macro", "cohen_kappa"]
    if order is not None:
        of_order, more = ranking(order, n_bootstrap, seed)
        own |= of_order
        told = joined(told, more)
        shown.append("auroc")
    rows = [
        {"name": who, "person": who, "steps": int(table.sum()), "confusion": table}
        for who, table in zip(everyone, counts, strict=True)
    ]
    whole = counts.sum(axis=0)
    result: dict[str, Any] = {"task": "classes", "records": with_own(rows, own), **told}
    result |= {"confusion": whole, "names": list(names), "sums": sums, "ranked": order}
    cells = [["true \\ found", *names], ["---", *["---:"] * len(names)]]
    cells += [[name, *map(str, row)] for name, row in zip(names, whole, strict=True)]
    result["table"] = markdown(result, shown, "cohen_kappa") + "\n" + lines_of(cells)
    return result


def class_measures(sums: np.ndarray, names: Sequence[str]) -> Measures:
    """The measures of confusion matrices, flat in the last axis [..., K * K]."""
    k = len(names)
    table = np.asarray(sums).reshape(*np.shape(sums)[:-1], k, k)
    whole, each = by_class(table)
    return whole | {f"{kind}_{name}": of[..., i] for kind, of in each.items() for i, name in enumerate(names)}
