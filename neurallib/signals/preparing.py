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
from neurallib.signals.folders import SignalFolder
from neurallib.signals.normalization import NORMALIZATIONS, normalize
from neurallib.signals.sources import Data, Signals, as_items, signal_of
from neurallib.state import State
from neurallib.tasks import Task, describe
from neurallib.warn import warn

Item = tuple[Tensor, Tensor]
_Shape = tuple[int, ...]


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
            self._count(item[1])
            size = sum(part.nbytes for part in item)
            if size <= memory_budget:
                self._kept[i], memory_budget = item, memory_budget - size
        for correction, names in corrected.items():
            warn(f"{correction} in {len(names)} of {len(self)} signals: {listing(names, 3)}.")

    def _count(self, y: Tensor) -> None:
        kind, k = self._task.kind, self._task.n_outputs
        if self._has_targets and kind != "regression":
            steps = y.numpy().reshape(-1) if kind == "multiclass" else y.numpy().reshape(-1, k)
            holds = np.bincount(steps, minlength=k) if kind == "multiclass" else steps.sum(0, dtype=np.float64)
            self.class_counts += np.stack([holds, np.full(k, len(steps))])

    def _prepare(self, i: int) -> tuple[Item, list[str]]:
        given, name = self._source[i], self.names[i]
        if not self._has_targets:
            x, corrections = _signal(signal_of(given), self._task, self._normalization, name)
            return (x, x.new_empty(0)), corrections
        if isinstance(given, (str, bytes)) or not isinstance(given, Sequence) or len(given) != 2:
            raise TypeError(f"{name} is a {type(given).__name__}; expected a pair (signal, target).")
        x, corrections = _signal(given[0], self._task, self._normalization, name)
        y, more = _target(given[1], len(x), self._task, name)
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
    x, corrections = _numbers(given, f"x of {name}"), []
    n = task.n_features
    if x.ndim == 1 and n == 1:
        x, corrections = x[:, None], ["x is [T], taken as [T, 1],"]
    elif x.ndim == 2 and x.shape[1] != n and x.shape[0] == n:
        x, corrections = x.T, [f"x is [{n}, T], transposed to [T, {n}],"]
    if x.ndim != 2 or x.shape[1] != n or len(x) == 0:
        raise ValueError(f"x of {name} has shape {np.shape(given)}; expected (T, {n}) with at least one step.")
    return torch.from_numpy(np.ascontiguousarray(normalize(x, normalization))), corrections


def _target(given: Any, n_steps: int, task: Task, name: str) -> tuple[Tensor, list[str]]:
    y = _numbers(given, f"y of {name}")
    k = task.n_outputs
    wanted, quiet, others = _target_shapes(n_steps, task)
    if y.shape != wanted and y.shape not in (*quiet, *others):
        expected = " or ".join(str(shape) for shape in dict.fromkeys((wanted, *quiet, *others)))
        raise ValueError(f"y of {name} has shape {y.shape}, x {n_steps} steps; {task} expects {expected}.")
    corrections = []
    if y.shape != wanted and y.shape not in quiet:
        corrections = [f"y is {_shape_words(y.shape, n_steps)}, taken as {_shape_words(wanted, n_steps)},"]
    y = y.T if y.ndim == 2 and y.shape == (k, n_steps) != wanted else y.reshape(wanted)
    if task.kind != "regression":
        top = 1 if task.kind != "multiclass" else k - 1
        wrong = y[(y != np.floor(y)) | (y < 0) | (y > top)]
        if wrong.size:
            raise ValueError(
                f"y of {name} holds the label {wrong.flat[0]:g}; {task.kind} with num_classes={k} expects whole "
                f"numbers from 0 to {top}."
            )
    dtype = np.int64 if task.kind == "multiclass" else np.float32
    return torch.from_numpy(np.array(y, dtype=dtype, order="C")), corrections


def _target_shapes(n_steps: int, task: Task) -> tuple[_Shape, list[_Shape], list[_Shape]]:
    """The shape of a target, those that are as good, and those that are corrected with a warning."""
    k = task.n_outputs
    if task.kind == "multiclass":
        return ((), [], [(1,), (1, 1)]) if task.seq2one else ((n_steps,), [], [(n_steps, 1), (1, n_steps)])
    scalar: list[_Shape] = [() if task.seq2one else (n_steps,)]
    single = scalar if k == 1 else []
    return ((k,), [(1, k)], single) if task.seq2one else ((n_steps, k), [], [*single, (k, n_steps)])


def _numbers(given: Any, name: str) -> np.ndarray:
    if isinstance(given, Tensor):
        given = given.detach().cpu()
        given = (given.float() if given.dtype == torch.bfloat16 else given).numpy()  # numpy knows no bfloat16
    try:
        array: np.ndarray = np.asarray(given)
    except ValueError as error:
        raise ValueError(f"{name} is no array of numbers: {error}") from error
    array = array.astype(np.uint8) if array.dtype.kind == "b" else array
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name} holds {array.dtype}; expected floating-point or integer numbers.")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        at = np.argwhere(~np.isfinite(array))[0].tolist()
        raise ValueError(f"{name} holds {array[tuple(at)]} at {at}; expected finite numbers. Repair or leave it out.")
    if array.dtype.kind == "f" and array.dtype.itemsize > 4 and array.size:
        largest = max(abs(float(array.min())), abs(float(array.max())))
        if largest > float(np.finfo(np.float32).max):
            raise ValueError(f"{name} holds values up to {largest:g}, beyond the range of float32 (3.4e38).")
    return array


def _shape_words(shape: tuple[int, ...], n_steps: int) -> str:
    return f"[{', '.join('T' if n == n_steps else str(n) for n in shape)}]" if shape else "a scalar"
