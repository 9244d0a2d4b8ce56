"""Data prepared and answered, which processes share among them: each answers its own part, and all get the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

from neurallib.checks import boolean, integer
from neurallib.devices import configure_device
from neurallib.functions import weights_sum
from neurallib.measures.delays import check_delay
from neurallib.prediction.applying import AnsweredBatch, answers
from neurallib.processes import place, share, together
from neurallib.signals.folders import SignalFolder
from neurallib.signals.manifest import handed_of, outputs_said
from neurallib.signals.preparing import prepare_handed
from neurallib.signals.sources import Part, as_items
from neurallib.signals.targets import check_known
from neurallib.state import State
from neurallib.tasks import check_order, describe

T = TypeVar("T")


def of_each_share(
    what: str,
    state: State,
    data: Any,
    has_targets: bool,
    work: Callable[[Iterator[AnsweredBatch]], T],
    *,
    batch_size: int,
    gpu_id: int | None,
    enable_progress_bar: bool,
    sampling_frequency: float | None,
    channels: Sequence[str] | None,
    units: Sequence[str] | str | None,
    **reading: Any,
) -> list[T]:
    """What `work` makes of the answers for data: for all of them, or, in a process group, for each process's share, in
    order.

    `what` is the caller's name, `work` a function of the batches of answers that gives what can be pickled; all else is
    as `evaluate` and `prepare_handed` take it, in all processes the same state, and as many data. Raised in all
    processes is what preparing or `work` raised, of the first signals where it did, and RuntimeError if a process
    ended, or was given another state or other data.
    """
    integer("batch_size", batch_size)
    device, handed = configure_device(gpu_id), handed_of(state, data, sampling_frequency, channels, units)
    (rank, size), name = place(), "data" if has_targets else "signals"
    if has_targets and (names := describe(state).names):
        check_order("the state's outputs", names, name, outputs_said(data, len(names)))
    bar = boolean("enable_progress_bar", enable_progress_bar) and rank == 0

    def of_prepared(some: Any, **more: Any) -> tuple[Any, T]:
        prepared = prepare_handed(state, some, name, has_targets, handed, enable_progress_bar=bar, **more, **reading)
        if has_targets:
            check_delay(state, prepared)
        return prepared.class_counts, work(answers(state, prepared, batch_size, device, bar))

    if size == 1:
        return [of_prepared(data)[1]]

    def of_share() -> tuple[tuple[int, int], Any, list[T]]:
        items = as_items(data, name, handed.conversion.n_given or describe(state).n_features, has_targets)
        own, mark = share(len(items)), (len(items), weights_sum(state["weights"]))
        if not own:
            return mark, 0, []
        counts, made = of_prepared(_cut(items, own), first=own.start, whole=False)
        return mark, counts, [made]

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
