"""From what files and users hold to what a network takes: each signal and target checked, shaped and normalized."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from neurallib.architectures import check_state
from neurallib.checks import choice, integer
from neurallib.names import hinted, listing
from neurallib.progress import progress
from neurallib.signals.arrays import as_numbers
from neurallib.signals.folders import SignalFolder
from neurallib.signals.normalization import NORMALIZATIONS, normalize
from neurallib.signals.sources import Data, Signals, as_items, signal_of
from neurallib.signals.targets import as_target, class_counts
from neurallib.state import State
from neurallib.tasks import Task, describe
from neurallib.warn import warn

Item = tuple[Tensor, Tensor]


class PreparedData(Dataset[Item]):
    """Items (x [T, C] float32, y) ready to be collated; made by `prepare`, which has checked every one.

    Attributes
    ----------
    names : list of str
        What errors call the items.
    lengths : list of int
        T of each.
    class_counts : np.ndarray
        float64 [2, K] of a classification: the steps (or signals) in which each class holds, and all of them.
    """

    def __init__(
        self, source: Any, names: list[str], task: Task, normalization: str | None, has_targets: bool
    ) -> None:
        self._source, self._task, self._normalization, self._has_targets = source, task, normalization, has_targets
        self.names = names
        self.lengths: list[int] = []
        self.class_counts = np.zeros((2, task.n_outputs))
        self._kept: dict[int, Item] = {}

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int) -> Item:
        return self._kept[i] if i in self._kept else self._prepare(i)[0]

    def check(self, memory_budget: int, enable_progress_bar: bool) -> None:
        """Prepare every item once: keep those that fit the budget, warn once of each correction."""
        corrected: dict[str, list[str]] = {}
        for i in progress(range(len(self)), enable_progress_bar, "checking signals", delay=2):
            item, corrections = self._prepare(i)
            self.lengths.append(len(item[0]))
            for correction in corrections:
                corrected.setdefault(correction, []).append(self.names[i])
            if self._has_targets:
                self.class_counts += class_counts(item[1], self._task)
            size = sum(part.nbytes for part in item)
            if size <= memory_budget:
                self._kept[i], memory_budget = item, memory_budget - size
        for correction, names in corrected.items():
            warn(f"{correction} in {len(names)} of {len(self)} signals: {listing(names, 3)}.")

    def _prepare(self, i: int) -> tuple[Item, list[str]]:
        given, name = self._source[i], self.names[i]
        if not self._has_targets:
            x, corrections = _signal(signal_of(given), self._task, self._normalization, name)
            return (x, x.new_empty(0)), corrections
        if isinstance(given, (str, bytes)) or not isinstance(given, Sequence) or len(given) != 2:
            raise TypeError(f"{name} is a {type(given).__name__}; expected a pair (signal, target).")
        x, corrections = _signal(given[0], self._task, self._normalization, name)
        y, more = as_target(given[1], len(x), self._task, name)
        return (x, y), corrections + more


@hinted
def prepare(
    state: State,
    data: Data,
    name: str = "data",
    *,
    memory_budget: int = 2**30,
    enable_progress_bar: bool = False,
) -> PreparedData:
    """Check and shape signals and targets for a state's network, and normalize them as the state says.

    Parameters
    ----------
    state : State
        Names features, task and normalization.
    data : sequence of (x, y), torch Dataset, pair of arrays, or what `open_folder` returns
        Pairs of signal and target, or one pair of stacked arrays ([N, T, n_features], [N, ...]). x: [T, n_features];
        also [T] (one feature) and [n_features, T], each with one warning for all of them. y, for one output a step:
        [T, K], [T] for multiclass; for one output a signal: [K] or [1, K], a scalar for multiclass; also, with a
        warning, one value more or less in brackets, and transposed. Any float, integer or bool dtype.
    name : str
        What errors call the data.
    memory_budget : int
        Bytes of prepared signals to keep in memory; what is beyond is read and prepared again when asked for.
    enable_progress_bar : bool
        Show the progress where checking takes more than two seconds.

    Returns
    -------
    PreparedData
        For `make_loader`. x: float32 [T, n_features]; y: float32 [T, K] or [K], int64 [T] or [] for multiclass.

    Raises
    ------
    TypeError, ValueError
        If `state` or `data` is none, there is no signal, or one is not finite, of a wrong shape or dtype, or its
        target does not fit the signal or the task; the file is named.

    See Also
    --------
    make_loader : batches of what this returns.

    Examples
    --------
    >>> import neurallib as nl, numpy as np
    >>> state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1)
    >>> prepared = nl.prepare(state, [(np.zeros((100, 1)), np.zeros((100, 1))), (np.ones((80, 1)), np.ones((80, 1)))])
    >>> prepared.lengths
    [100, 80]
    """
    return _checked(state, data, name, True, memory_budget, enable_progress_bar)


def prepare_signals(
    state: State,
    signals: Signals,
    name: str = "signals",
    *,
    memory_budget: int = 2**30,
    enable_progress_bar: bool = False,
    first: int = 0,
) -> PreparedData:
    """The same for signals without targets, or those of an opened folder; y is empty. Errors count from `first`."""
    return _checked(state, signals, name, False, memory_budget, enable_progress_bar, first)


def _checked(
    state: State,
    data: Any,
    name: str,
    has_targets: bool,
    memory_budget: int,
    enable_progress_bar: bool,
    first: int = 0,
) -> PreparedData:
    task, normalization = describe(check_state(state)), state["preprocessing"]["normalization"]
    if normalization is not None:
        choice("state['preprocessing']['normalization']", normalization, NORMALIZATIONS)
    items = as_items(data, name, task.n_features, has_targets)
    names = [f"{name}[{i}]" for i in range(first, first + len(items))]
    if isinstance(data, SignalFolder):
        names = [f"{path.parent.name}/{file}" for path, file in zip(data.paths_x, data.names, strict=True)]
    prepared = PreparedData(items, names, task, normalization, has_targets)
    prepared.check(integer("memory_budget", memory_budget, minimum=0), enable_progress_bar)
    return prepared


def _signal(given: Any, task: Task, normalization: str | None, name: str) -> tuple[Tensor, list[str]]:
    x, corrections = as_numbers(given, f"x of {name}"), []
    n = task.n_features
    if x.ndim == 1 and n == 1:
        x, corrections = x[:, None], ["x is [T], taken as [T, 1],"]
    elif x.ndim == 2 and x.shape[1] != n and x.shape[0] == n:
        x, corrections = x.T, [f"x is [{n}, T], transposed to [T, {n}],"]
    if x.ndim != 2 or x.shape[1] != n or len(x) == 0:
        raise ValueError(f"x of {name} has shape {np.shape(given)}; expected (T, {n}) with at least one step.")
    return torch.from_numpy(np.ascontiguousarray(normalize(x, normalization))), corrections
