"""True and found of several recordings in the forms that they are handed in, and whose they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from neurallib.checks import items
from neurallib.signals.arrays import as_array
from neurallib.signals.folders import SignalFolder
from neurallib.signals.manifest import people_said
from neurallib.signals.people import people_of
from neurallib.signals.sources import check_order, without_frames


class Sides(NamedTuple):
    """Of each recording what is true and found, as arrays in which what is masked is nan."""

    true: list[np.ndarray]
    found: list[np.ndarray]
    which: list[str]  # what errors call it
    people: list[str]


def as_sides(true: Any, found: Any, people: Any) -> Sides:
    """Both sides; with people they may be one of each recording, which becomes a recording of one step."""
    if isinstance(people, SignalFolder):
        people = people_said(people) or [path.stem for path in people.paths_x]
    check_order("true and found", true, found)
    check_order("true and people", true, people)
    of_true, of_found = _each("true", true), _each("found", found)
    n, m = len(of_true), len(of_found)
    if n != m or not n:
        raise ValueError(f"true has {n} recordings and found {m}; expected as many, one at least.")
    if people is not None and all(each.size == 1 for each in of_true):
        of_true = [each.reshape(1) for each in of_true]
        of_found = [each.reshape(1, -1) if each.ndim < 2 else each for each in of_found]
    which = [f"recording {i}" for i in range(n)]
    whose = [str(i) for i in range(n)] if people is None else people_of(which, people, "people")
    return Sides(of_true, of_found, which, whose)


def in_order(people: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Each person once, in the order that they come in, and the place of each recording's, int64 [R]."""
    everyone = list(dict.fromkeys(people))
    place = {who: i for i, who in enumerate(everyone)}
    return everyone, np.array([place[who] for who in people], np.int64)


def _each(name: str, given: Any) -> list[np.ndarray]:
    given = without_frames(given)
    given = items(name, as_array(given, name) if hasattr(given, "shape") else given, "one array for each recording")
    return [as_array(one, f"{name}[{i}]") for i, one in enumerate(given)]
