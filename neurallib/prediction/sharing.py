"""Data that processes share among them: each prepares and answers its own part, and all get the whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

from neurallib.checks import boolean
from neurallib.functions import weights_sum
from neurallib.processes import place, share, together
from neurallib.signals.conversion import Handed
from neurallib.signals.folders import SignalFolder
from neurallib.signals.prepared import PreparedData
from neurallib.signals.preparing import prepare_handed
from neurallib.signals.sources import Part, as_items
from neurallib.signals.targets import check_known
from neurallib.state import State
from neurallib.tasks import describe

T = TypeVar("T")


def of_each_share(
    what: str,
    state: State,
    data: Any,
    name: str,
    has_targets: bool,
    handed: Handed,
    work: Callable[[PreparedData, bool], T],
    *,
    enable_progress_bar: bool = False,
    **reading: Any,
) -> list[T]:
    """What `work` makes of prepared data: of all of them, or, in a process group, of each process's share, in order.

    `what` is the caller's name, `work` a function (prepared, enable_progress_bar) -> what can be pickled; all else is
    as `prepare_handed` takes it, in all processes the same state, and as many data. Raised in all processes is what
    preparing or `work` raised, of the first signals where it did, and RuntimeError if a process ended, or was given
    another state or other data.
    """
    rank, size = place()
    bar = boolean("enable_progress_bar", enable_progress_bar) and rank == 0
    if size == 1:
        return [work(prepare_handed(state, data, name, has_targets, handed, enable_progress_bar=bar, **reading), bar)]

    def of_share() -> tuple[tuple[int, int], Any, list[T]]:
        items = as_items(data, name, handed.conversion.n_given or describe(state).n_features, has_targets)
        own, mark = share(len(items)), (len(items), weights_sum(state["weights"]))
        if not own:
            return mark, 0, []
        prepared = prepare_handed(
            state, _cut(items, own), name, has_targets, handed, enable_progress_bar=bar, first=own.start, whole=False,
            **reading,
        )  # fmt: skip
        return mark, prepared.class_counts, [work(prepared, bar)]

    marks, counts, results = zip(*together(what, of_share), strict=True)
    if len(set(marks)) > 1:
        told = ", ".join(f"{i}: {n} signals, weights {mark:08x}" for i, (n, mark) in enumerate(marks))
        raise RuntimeError(f"{what} was given other data or another state in each process ({told}); expected the same.")
    if has_targets:
        check_known(np.sum([part for part in counts if np.ndim(part)], axis=0), name)
    return [result for part in results for result in part]


def _cut(items: Any, places: range) -> Any:
    if isinstance(items, SignalFolder):
        return items[places.start : places.stop]
    if isinstance(items, (list, tuple, np.ndarray, Tensor)):
        return list(items[places.start : places.stop])
    return Part(items, places)
