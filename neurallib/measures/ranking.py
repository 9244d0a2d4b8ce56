"""How well probabilities rank over people: the areas under ROC and precision by recall, of sums that people add to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from neurallib.measures.auroc import Auroc, area, average_precision
from neurallib.measures.by_person import Gross, Measures, Scored, paired, summary
from neurallib.measures.counts import mean_told
from neurallib.signals.outputs import exclude_each_other

GROUPS = 1 << 8  # of those with a class, and of those without, that are told apart where people are drawn again


class Ranked(NamedTuple):
    """Probabilities of all known steps, of whom they are, and which class holds."""

    p: np.ndarray  # float32 [N, K]; of two classes the second's alone, [N, 1]
    holds: np.ndarray  # bool, as p
    place: np.ndarray  # int64 [N], of the person
    people: list[str]  # [P]
    names: Sequence[str]  # of the classes [K], or of both

    def in_order(self, people: Sequence[str]) -> Ranked:
        """The same with the people in another order."""
        number = {who: i for i, who in enumerate(people)}
        place = np.array([number[who] for who in self.people], np.int64)[self.place]
        return self._replace(place=place, people=list(people))


def ranked(
    true: Sequence[np.ndarray], found: Sequence[np.ndarray], place: np.ndarray, people: list[str], names: Sequence[str]
) -> Ranked | None:
    """Of each recording the classes, [T] or [T, 1], and what was found; None where that is no probabilities of them:
    [T, K], 1 together, or of the second of two classes [T] or [T, 1]."""
    rows = [one[:, None] if one.ndim == 1 else one for one in found]
    k = rows[0].shape[1]
    if {row.shape[1] for row in rows} != {k} or k not in ({1, 2} if len(names) == 2 else {len(names)}):
        return None
    p, classes = np.concatenate(rows), np.concatenate([one.reshape(-1) for one in true])
    known = (classes >= 0) & ~np.isnan(p).any(axis=1)  # nan is no class either
    p = p[known]
    if not len(p) or not ((p > 0) & (p < 1)).any() or p.min() < 0 or (k > 1 and not exclude_each_other(p)):
        return None
    p = p[:, 1:] if k == 2 else p
    yes = np.arange(p.shape[1]) if p.shape[1] > 1 else np.array([1])
    whose = np.repeat(place, [len(row) for row in rows])[known]
    return Ranked(p.astype(np.float32), classes[known][:, None] == yes, whose, people, names)


def ranking(whole: Ranked, n_bootstrap: int, seed: int) -> tuple[Measures, dict[str, dict[str, Any]]]:
    """Each person's own measures, and what `summary` gives of all of them."""
    by_person = np.argsort(whole.place, kind="stable")
    ends = np.cumsum(np.bincount(whole.place, minlength=len(whole.people)))[:-1]
    each = [_measures(whole.p[rows], whole.holds[rows], whole.names) for rows in np.split(by_person, ends)]
    own = {name: np.array([one[name] for one in each]) for name in each[0]}
    sums, gross = _counts(whole)
    told = summary(Scored(sums, own, whole.people), gross, n_bootstrap, seed)
    return own, told | {"gross": {k: float(v) for k, v in _measures(whole.p, whole.holds, whole.names).items()}}


def paired_ranking(a: Mapping[str, Any], b: Mapping[str, Any], n_resamples: int, seed: int) -> dict[str, Any]:
    """`paired` of what probabilities of the same people rank, of two results."""
    one, other = a["ranked"], b["ranked"].in_order(a["ranked"].people)
    sides = []
    for result, whole, beside in ((a, one, other), (b, other, one)):
        sums, gross = _counts(whole, beside)
        rows = {row["name"]: row for row in result["records"]}
        measures = gross(np.zeros(sums.shape[1]))
        own = {name: np.array([rows[who][name] for who in whole.people], np.float64) for name in measures}
        sides.append(Scored(sums, own, whole.people))
    told = paired(sides[0], sides[1], gross, n_resamples, seed)
    for name, row in told["gross"].items():
        exact = a["gross"][name], b["gross"][name]
        row |= {"a": exact[0], "b": exact[1], "difference": exact[0] - exact[1]}
    return told


def _measures(p: np.ndarray, holds: np.ndarray, names: Sequence[str]) -> Measures:
    """Of probabilities and which of their classes hold, [N, K] each."""
    seen = Auroc(p.shape[1])
    seen.update(p, holds)
    return _told(seen.sides(), names)


def _told(sides: Sequence[Any], names: Sequence[str]) -> Measures:
    """The measures of negatives and positives [..., bins] of each column."""
    each = np.stack([area(*side) for side in sides], axis=-1)
    if len(sides) == 1:
        return {"auroc": each[..., 0], "average_precision": average_precision(*sides[0])}
    with np.errstate(invalid="ignore"):
        mean = mean_told(each, -1)
    return {"auroc": mean} | {f"auroc_{name}": each[..., i] for i, name in enumerate(names)}


def _counts(whole: Ranked, beside: Ranked | None = None) -> tuple[Any, Gross]:
    """How often each person has a probability with and without its class, sparse [P, S], and how such sums become
    measures; `beside` holds other probabilities of the same people, which then have the same places in the sums."""
    from scipy.sparse import csr_array

    n, k = whole.p.shape
    sizes, columns = [], np.zeros((n, k), np.int64)
    for i in range(k):
        sides = [(side.p[:, i], side.holds[:, i]) for side in (whole, beside) if side is not None]
        p, holds = (np.concatenate(part) for part in zip(*sides, strict=True))
        values, place = np.unique(p, return_inverse=True)
        group = np.zeros(len(values), np.int64)
        for which in (holds, ~holds):  # those that come with none of either in between are one
            count = np.cumsum(np.bincount(place[which], minlength=len(values)))
            group += count * GROUPS // max(int(count[-1]), 1)
        group = np.unique(group, return_inverse=True)[1]
        sizes.append(int(group[-1]) + 1)
        columns[:, i] = group[place[:n]]
    first = np.concatenate([[0], 2 * np.cumsum(sizes)])
    columns += first[:-1] + np.where(whole.holds, sizes, 0)
    ones = np.ones(n * k), (np.repeat(whole.place, k), columns.reshape(-1))

    def gross(some: np.ndarray) -> Measures:
        parts = [some[..., low : low + 2 * size] for low, size in zip(first, sizes, strict=False)]
        halves = [(part[..., : part.shape[-1] // 2], part[..., part.shape[-1] // 2 :]) for part in parts]
        return _told(halves, whole.names)

    return csr_array(ones, shape=(len(whole.people), int(first[-1]))), gross
