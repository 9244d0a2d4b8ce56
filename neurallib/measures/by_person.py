"""How sure a measure is over people: intervals and paired tests that keep each person's recordings together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from neurallib.checks import as_seed, integer

Measures = dict[str, np.ndarray]
Gross = Callable[[np.ndarray], Measures]  # sums [..., S] that recordings add up to, to measures [...]
BLOCK = 1 << 22  # numbers of draws that are in memory at a time


class Scored(NamedTuple):
    """What recordings add to the sums, and each one's own measures."""

    sums: Any  # float64 [R, S], an array or one of scipy's sparse ones
    own: Measures  # each [R]; nan where nothing can be said
    people: Sequence[str]  # [R]

    def average(self) -> Measures:
        """The mean of each measure over the recordings that tell it."""
        return _averages(np.ones((1, len(self.people))), self.own)


def summary(scored: Scored, gross: Gross, n_bootstrap: int, seed: int) -> dict[str, dict[str, Any]]:
    """"gross", of the sums of all recordings, and "average", the mean over recordings, of each measure; and the 95 %
    intervals of both, (low, high), by resampling people with all their recordings (nan of a single person).

    References
    ----------
    Efron, Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13: percentile intervals.
    """
    whole = gross(scored.sums.sum(axis=0))
    told = {"gross": _plain(whole), "average": _plain(scored.average())}
    place, n_people = _places(scored.people)
    sums = _by_person(scored.sums, place)
    again = _concatenated(
        {"gross": gross(draws @ sums), "average": _averages(draws[:, place], scored.own)}
        for draws in _draws(n_people, integer("n_bootstrap", n_bootstrap), seed, sums.shape[1])
    )
    return told | {"intervals": {kind: _limits(values, n_people) for kind, values in again.items()}}


def with_own(rows: Iterable[Mapping[str, Any]], own: Measures) -> list[dict[str, Any]]:
    """Rows of recordings or people, each with its own measures behind."""
    return [{**row, **{name: float(values[i]) for name, values in own.items()}} for i, row in enumerate(rows)]


def joined(one: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Two results of the same people as one: of each kind, however deep, the measures of both."""
    told = {**one, **more}
    return {name: joined(one[name], more[name]) if name in one and name in more else told[name] for name in told}


def paired(
    a: Scored, b: Scored, gross: Gross, n_resamples: int, seed: int
) -> dict[str, dict[str, dict[str, float]]]:
    """For "gross" and "average" and each measure: "a", "b", their "difference" a - b with its 95 % interval "low" and
    "high" by resampling people, and "p_value" of a two-sided test that swaps a and b of a person: every way to do it
    where there are at most `n_resamples`, else so many at random.

    References
    ----------
    Good, Permutation, Parametric and Bootstrap Tests of Hypotheses, 2005.
    """
    place, n_people = _places(a.people)
    both = [_by_person(side.sums, place) for side in (a, b)]
    known = {name: ~np.isnan(a.own[name] + b.own[name]) for name in a.own}
    a_own, b_own = ({k: np.where(known[k], side.own[k], np.nan) for k in known} for side in (a, b))
    now = [_averages(np.ones((1, len(place))), own) for own in (a_own, b_own)]
    unequal = {k: np.where(known[k], a_own[k] - b_own[k], 0) for k in known}

    def of_draws(draws: np.ndarray) -> dict[str, Measures]:
        by_gross = _less(*(gross(draws @ side) for side in both))
        return {"gross": by_gross, "average": _less(*(_averages(draws[:, place], own) for own in (a_own, b_own)))}

    def of_swaps(swaps: np.ndarray) -> dict[str, Measures]:
        change, turned = swaps @ (both[1] - both[0]), 1 - 2 * swaps[:, place]
        swapped = _less(gross(both[0].sum(axis=0) + change), gross(both[1].sum(axis=0) - change))
        with np.errstate(invalid="ignore"):
            return {"gross": swapped, "average": {k: turned @ unequal[k] / known[k].sum() for k in known}}

    width = both[0].shape[1]
    drawn = _concatenated(map(of_draws, _draws(n_people, integer("n_resamples", n_resamples), seed, width)))
    by_chance = _concatenated(map(of_swaps, _swaps(n_people, n_resamples, seed, width)))
    whole = {"gross": [gross(side.sums.sum(axis=0)) for side in (a, b)], "average": now}
    return {kind: _tests(whole[kind], drawn[kind], by_chance[kind], n_people) for kind in whole}


def _tests(
    now: list[Measures], drawn: Measures, swapped: Measures, n_people: int
) -> dict[str, dict[str, float]]:
    limits, found = _limits(drawn, n_people), {}
    for name in now[0]:
        a, b = (float(side[name].reshape(-1)[0]) for side in now)
        by_chance = np.abs(swapped[name])
        by_chance = by_chance[~np.isnan(by_chance)]
        # the ways to swap hold the way it is; of random ones it is one more. Equal but for rounding counts as equal.
        as_far = (by_chance >= abs(a - b) * (1 - 1e-9) - 1e-15).mean() if len(by_chance) else np.nan
        low, high = limits[name]
        p_value = float(as_far) if not np.isnan(a - b) else np.nan
        found[name] = {"a": a, "b": b, "difference": a - b, "low": low, "high": high, "p_value": p_value}
    return found


def _swaps(n_people: int, n_resamples: int, seed: int, width: int) -> Iterator[np.ndarray]:
    """Whether each person's a and b change places, [ways, P], some ways at a time; the first is that none do."""
    if n_people < 63 and 2**n_people <= n_resamples:
        ways = np.arange(2**n_people)[:, None] >> np.arange(n_people) & 1
        first = 0
        for n in _blocks(len(ways), max(n_people, width)):
            yield ways[first : first + n].astype(np.float64)
            first += n
        return
    generator = np.random.default_rng([as_seed(seed), 1])
    for i, n in enumerate(_blocks(n_resamples + 1, max(n_people, width))):
        swaps = generator.integers(0, 2, (n, n_people)).astype(np.float64)
        swaps[: i == 0] = 0
        yield swaps


def _draws(n_people: int, n: int, seed: int, width: int) -> Iterator[np.ndarray]:
    """How often each person is drawn, float64 [n, P], some draws at a time, of which `width` sums are made."""
    generator = np.random.default_rng(as_seed(seed))
    for some in _blocks(n, max(n_people, width)):
        drawn = generator.multinomial(n_people, np.full(n_people, 1 / n_people), some)
        yield drawn.astype(np.float64)


def _blocks(n: int, width: int) -> Iterator[int]:
    """n rows of so many numbers in blocks that fit into memory."""
    size = max(1, BLOCK // width)
    for first in range(0, n, size):
        yield min(size, n - first)


def _concatenated(blocks: Iterable[dict[str, Measures]]) -> dict[str, Measures]:
    """The measures of all blocks, of "gross" and "average"."""
    parts = list(blocks)
    return {
        kind: {name: np.concatenate([part[kind][name] for part in parts]) for name in measures}
        for kind, measures in parts[0].items()
    }


def _less(a: Measures, b: Measures) -> Measures:
    """a - b, of each measure."""
    with np.errstate(invalid="ignore"):
        return {name: a[name] - b[name] for name in a}


def _places(people: Sequence[str]) -> tuple[np.ndarray, int]:
    """Which person each recording is of, int64 [R], and how many people there are."""
    names, place = np.unique(np.array(people, dtype=str), return_inverse=True)
    return place, len(names)


def _by_person(sums: Any, place: np.ndarray) -> Any:
    """What the recordings of each person add up to, [P, S]."""
    if not isinstance(sums, np.ndarray):
        from scipy.sparse import csr_array

        one = np.ones(len(place)), (place, np.arange(len(place)))
        return csr_array(one, shape=(place.max() + 1, len(place))) @ sums
    total = np.zeros((place.max() + 1, sums.shape[1]))
    np.add.at(total, place, sums)
    return total


def _averages(weights: np.ndarray, own: Measures) -> Measures:
    """Means of each measure [n], of recordings that weigh [n, R]."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            name: (weights @ np.where(np.isnan(values), 0, values)) / (weights @ ~np.isnan(values))
            for name, values in own.items()
        }


def _limits(values: Mapping[str, np.ndarray], n_people: int) -> dict[str, tuple[float, float]]:
    found = {}
    for name, draws in values.items():
        known = draws[~np.isnan(draws)]
        low = high = np.nan
        if len(known) and n_people > 1:  # between two draws lies nothing where one is infinite
            between: Literal["linear", "lower"] = "linear" if np.isfinite(known).all() else "lower"
            low, high = np.quantile(known, [0.025, 0.975], method=between)
        found[name] = (float(low), float(high))
    return found


def _plain(values: Mapping[str, np.ndarray]) -> dict[str, float]:
    return {name: float(np.asarray(value).reshape(-1)[0]) for name, value in values.items()}
