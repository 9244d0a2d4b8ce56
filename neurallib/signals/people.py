"""Who is who: recordings divided so that no person is in two parts, by shares, by counts, by name or into folds."""

from __future__ import annotations

import numbers
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from neurallib.checks import as_list, as_seed, integer, is_unordered, number
from neurallib.names import did_you_mean, hinted, listing
from neurallib.signals.arrays import by_label

ByName = Callable[[str], Any] | Mapping[str, Any] | Sequence[Any] | str
Size = float | Iterable[Any]
SHARES = {"val": 0.15, "test": 0.25}


@hinted
def split_people(
    recordings: Sequence[Any],
    *,
    person: ByName | None = None,
    val: Size | None = None,
    test: Size | None = None,
    folds: int | None = None,
    labels: ByName | None = None,
    seed: int = 42,
) -> dict[Any, Any]:
    """Divide recordings into "train", "val" and "test", or into folds, so that no person is in two parts.

    Parameters
    ----------
    recordings : sequence of str, or of dict
        Names, each once; or recordings, which have a "name" and may have a "person".
    person : function, mapping, sequence or str, optional
        Who a recording is of: a function of its name, a mapping from names (a column of pandas whose index are names is
        one), one value for each recording, or a regular expression whose one group finds the person in the name. By
        default what a recording says itself, and where it says nothing its name: each is a person of its own. Persons
        are text or whole numbers; 7, 7.0 and "7" are one.
    val, test : float, int, or iterable of persons, optional
        A share of the recordings, in (0, 1), which is met as nearly as the people allow and with one person at least;
        how many people; or which ones. 0 for none. By default 0.15 and 0.25.
    folds : int, optional
        So many folds in place of `val` and `test`: everyone is in the "val" of one and in the "train" of all others.
        For a test part as well, split it off first and give the rest.
    labels : function, mapping, sequence or str, optional
        A class for each recording, given as `person` is, or of labels that may hold together [K] of 0 and 1: parts get
        like shares of every class or label, as nearly as the people allow.
    seed : int
        Which people. The order of the recordings makes no difference.

    Returns
    -------
    dict
        What was given, sorted by name: {"train": [...], "val": [...], "test": [...]}; with `folds`
        {0: {"train": [...], "val": [...]}, 1: ...}.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another kind or out of its range, a name comes twice, a recording has no person, a person
        is unknown or listed for both parts, or there are fewer people than parts.

    See Also
    --------
    cross_validate : train and measure on folds.
    train : takes the parts.

    Examples
    --------
    >>> import neurallib as nl
    >>> names = ["anna_1", "anna_2", "ben_1", "cleo_1", "cleo_2", "dora_1"]
    >>> parts = nl.split_people(names, person=r"^([a-z]+)_", val=1, test=["cleo"])
    >>> parts["test"]
    ['cleo_1', 'cleo_2']
    >>> folds = nl.split_people(names, person=lambda name: name[:-2], folds=4)
    >>> sorted(fold["val"] for fold in folds.values())
    [['anna_1', 'anna_2'], ['ben_1'], ['cleo_1', 'cleo_2'], ['dora_1']]
    """
    items, names = _named(recordings)
    people = people_of(names, [_own(item) for item in items] if person is None else person)
    classes = None if labels is None else by_name(names, labels, "labels")
    order = sorted(range(len(items)), key=lambda i: (names[i], people[i]))
    if folds is None:
        parts = part_of(people, val, test, classes, seed)
        return {part: [items[i] for i in order if parts[i] == part] for part in ("train", "val", "test")}
    if val is not None or test is not None:
        raise ValueError("folds is given with val or test; expected one of the two: split a test part off first.")
    held_out = fold_of(people, folds, classes, seed)
    return {
        fold: {
            "train": [items[i] for i in order if held_out[i] != fold],
            "val": [items[i] for i in order if held_out[i] == fold],
        }
        for fold in range(folds)
    }


def people_of(names: Sequence[str], person: ByName, argument: str = "person") -> list[str]:
    """Who each of these names is of, as text."""
    given = by_name(names, person, argument)
    return [_identity(who, f"the person of {name!r}") for who, name in zip(given, names, strict=True)]


def part_of(
    people: Sequence[str], val: Size | None, test: Size | None, classes: Sequence[Any] | None, seed: int
) -> list[Hashable]:
    """The part of each signal: "train", "val" or "test"."""
    everyone, asked = sorted(set(people)), {"val": val, "test": test}
    asked = {part: SHARES[part] if given is None else given for part, given in asked.items()}
    wanted: dict[Hashable, _Wanted] = {part: _wanted(part, given, everyone) for part, given in asked.items()}
    if both := wanted["val"].people & wanted["test"].people:
        raise ValueError(f"val and test both list {listing(sorted(both))}; expected a person in one of them alone.")
    listed = wanted["val"].people | wanted["test"].people
    free = sum(who not in listed for who in people) / len(people)  # the share of signals that are still to be divided
    n_free = len(everyone) - len(listed)
    shares = {
        part: size.share / max(free, 1e-9) if size.share else size.least / max(n_free, 1)
        for part, size in wanted.items()
    }
    if sum(shares.values()) >= 1 and any(shares.values()):
        raise ValueError(f"val={asked['val']} and test={asked['test']} leave none of {n_free} people for training.")
    wanted = {part: size._replace(share=shares[part]) for part, size in wanted.items()}
    rest = _Wanted(1 - sum(shares.values()), 1, len(everyone))
    return _divide(people, {"train": rest, **wanted}, classes, seed)


def fold_of(people: Sequence[str], folds: int, classes: Sequence[Any] | None, seed: int) -> list[Hashable]:
    """The fold, from 0, that each signal is held out in."""
    n_people = len(set(people))
    if integer("folds", folds, minimum=2) > n_people:
        raise ValueError(f"folds={folds}, but there are {n_people} people; expected one a fold at least.")
    return _divide(people, {fold: _Wanted(1 / folds, 1, n_people) for fold in range(folds)}, classes, seed)


def by_name(names: Sequence[str], given: Any, argument: str) -> list[Any]:
    """A value for each name: of a function or mapping, one by one, or found by a pattern in the name."""
    if isinstance(given, str):
        return _found(names, given, argument)
    given = by_label(given, names)
    if isinstance(given, Mapping):
        if missing := [name for name in names if name not in given]:
            hint = did_you_mean(missing[0], given)
            raise ValueError(f"{argument} has nothing for {listing(missing)}; expected a value for every name.{hint}")
        return [given[name] for name in names]
    if callable(given):
        return [given(name) for name in names]
    if not hasattr(given, "__len__") or getattr(given, "shape", 0) == () or is_unordered(given):
        expected = "a function of the name, a mapping, one value for each, or a regular expression"
        raise TypeError(f"{argument} is a {type(given).__name__}; expected {expected}.")
    if len(given) != len(names):
        raise ValueError(f"{argument} has {len(given)} values; expected one for each of {len(names)}.")
    return list(as_list(given))


class _Wanted(NamedTuple):
    """What is asked of a part."""

    share: float  # of the signals
    least: int  # people
    most: int
    people: frozenset[str] = frozenset()  # those who are in it for certain


def _wanted(part: str, given: Any, everyone: Sequence[str]) -> _Wanted:
    if isinstance(given, (numbers.Real, str)) or not isinstance(given, Iterable) or getattr(given, "shape", 0) == ():
        if isinstance(given, numbers.Integral) and not isinstance(given, bool):
            count = integer(part, given, minimum=0)
            return _Wanted(0, count, count)
        if isinstance(given, bool) or not isinstance(given, numbers.Real):
            expected = "a share of the recordings, a number of people or a list of them"
            raise TypeError(f"{part}={given!r} is a {type(given).__name__}; expected {expected}.")
        share = number(part, given, 0, 1, high_open=True)
        return _Wanted(share, int(share > 0), len(everyone) if share else 0)
    listed = frozenset(_identity(who, f"a person of {part}") for who in given)
    if unknown := sorted(listed - set(everyone)):
        hint = did_you_mean(unknown[0], everyone)
        raise ValueError(f"{part} lists {listing(unknown)}; the people are {listing(everyone)}.{hint}")
    return _Wanted(0, 0, 0, listed)


def _divide(
    people: Sequence[str], wanted: Mapping[Hashable, _Wanted], classes: Sequence[Any] | None, seed: int
) -> list[Hashable]:
    """The part of each signal. The people with the most signals, roughly, choose first, and each goes where what is
    held comes nearest to what is wanted: in all signals, and in those of each class."""
    place = {who: part for part, size in wanted.items() for who in size.people}
    free = sorted(set(people) - place.keys())
    sizes = list(wanted.values())
    least, most = np.array([size.least for size in sizes]), np.array([size.most for size in sizes])
    if len(free) < least.sum():
        told = f"{len(set(people))} people" + (f", of whom {len(place)} are listed" if place else "")
        needs = listing(f"{size.least} for {part}" for part, size in wanted.items() if size.least)
        raise ValueError(f"recordings are of {told}; expected at least {len(place) + least.sum()}: {needs}.")
    weights = _weights(people, free, classes)
    share = np.maximum([size.share for size in sizes], 1e-9)
    held, members = np.zeros((len(sizes), weights.shape[1])), np.zeros(len(sizes), dtype=np.int64)
    wobble = np.random.default_rng(as_seed(seed)).uniform(0.5, 1.0, len(free))
    for left, i in zip(range(len(free), 0, -1), np.argsort(-weights.sum(1) * wobble, kind="stable"), strict=True):
        lacking = np.maximum(least - members, 0)
        is_open = lacking > 0 if left <= lacking.sum() else members < most
        # By how much the squares of (held - wanted) / wanted, weighed by what is wanted, grow.
        cost = (weights[i] * (weights[i] + 2 * (held - share[:, None]))).sum(1) / share
        chosen = int(np.argmin(np.where(is_open, cost, np.inf)))
        held[chosen] += weights[i]
        members[chosen] += 1
        place[free[i]] = list(wanted)[chosen]
    return [place[who] for who in people]


def _weights(people: Sequence[str], free: Sequence[str], classes: Sequence[Any] | None) -> np.ndarray:
    """Each free person's share of the free people's signals, of all and of every class, [P, 1 + classes]."""
    rows = {who: i for i, who in enumerate(free)}
    row_of = np.array([rows.get(who, -1) for who in people])
    signals, row_of = np.flatnonzero(row_of >= 0), row_of[row_of >= 0]
    if (labels := _several(classes)) is None:
        of_each = [""] * len(people) if classes is None else [str(kind) for kind in classes]
        kinds, column_of = np.unique(of_each, return_inverse=True)
        counts = np.zeros((len(free), len(kinds)))
        np.add.at(counts, (row_of, column_of[signals]), 1)
    else:
        counts = np.zeros((len(free), labels.shape[1]))
        np.add.at(counts, row_of, labels[signals])
    counts = np.concatenate([np.bincount(row_of, minlength=len(free))[:, None], counts], axis=1)
    return np.asarray(counts / np.maximum(counts.sum(0), 1))


def _several(classes: Sequence[Any] | None) -> np.ndarray | None:
    """Labels that may hold together, [N, K] of 0 and 1 (0 where nan), where that is what is given; else None."""
    try:
        labels = np.nan_to_num(np.asarray(classes, np.float64))
    except (TypeError, ValueError):
        return None
    return labels if labels.ndim == 2 and np.isin(labels, [0, 1]).all() else None


def _named(recordings: Any) -> tuple[list[Any], list[str]]:
    """What was given, and the names of it."""
    expected = "a list of names, or of recordings with a name"
    if hasattr(recordings, "columns") or isinstance(recordings, (str, Mapping)) or not isinstance(recordings, Iterable):
        came = f"one text, {recordings!r}" if isinstance(recordings, str) else f"a {type(recordings).__name__}"
        raise TypeError(f"recordings is {came}; expected {expected}.")
    items = list(recordings)
    names = []
    for i, item in enumerate(items):
        name = item.get("name") if isinstance(item, Mapping) else item
        if not isinstance(name, str):
            way = ": read_recording(path), which knows its person, or path.stem" if isinstance(item, Path) else ""
            raise TypeError(f"recordings[{i}] is {_short(item)}; expected {expected}{way}.")
        names.append(name)
    if not names:
        raise ValueError(f"recordings is empty; expected {expected}.")
    given = Counter(name for name, item in zip(names, items, strict=True) if isinstance(item, str))
    if twice := sorted(name for name, n in given.items() if n > 1):
        raise ValueError(f"recordings holds {listing(twice)} twice; expected names, such as str(i), and person=.")
    return items, names


def _own(item: Any) -> Any:
    """The person that a recording says it is of, else its name."""
    if isinstance(item, str):
        return item
    return item["name"] if item.get("person") is None else item["person"]


def _identity(who: Any, whose: str) -> str:
    """A person as text, so that a number read from a table is the one that was typed."""
    text = who.strip() if isinstance(who, str) else ""
    if isinstance(who, (int, float, np.integer, np.floating)) and not isinstance(who, bool) and who == who // 1:
        text = str(int(who))
    if not text:
        raise ValueError(f"{whose} is {_short(who)}; expected a text that is not blank, or a whole number.")
    return text


def _found(names: Sequence[str], pattern: str, argument: str) -> list[str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{argument}={pattern!r} is no regular expression: {error}.") from error
    if compiled.groups != 1:
        raise ValueError(f"{argument}={pattern!r} has {compiled.groups} groups; expected one, such as '^([a-z]+)_'.")
    found = [compiled.search(name) for name in names]
    if missing := [name for name, match in zip(names, found, strict=True) if match is None or match[1] is None]:
        raise ValueError(f"{argument}={pattern!r} finds nothing in {listing(missing)}; expected a match in every name.")
    return [match[1] for match in found if match is not None]


def _short(value: Any) -> str:
    told = repr(value)
    return told if len(told) <= 60 else f"a {type(value).__name__}"
