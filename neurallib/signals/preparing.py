"""From what files and users hold to what a network takes: each signal and target checked, shaped and normalized."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from neurallib.architectures import check_state
from neurallib.checks import integer
from neurallib.names import hinted, listing
from neurallib.progress import progress
from neurallib.signals.arrays import as_numbers
from neurallib.signals.conversion import AS_GIVEN, Conversion, Handed
from neurallib.signals.folders import SignalFolder
from neurallib.signals.normalization import OWN, Scale, check_normalization, signal_scale, target_scale
from neurallib.signals.sources import Data, as_items, signal_of
from neurallib.signals.statistics import Moments, Statistics
from neurallib.signals.targets import as_target, check_known, class_counts
from neurallib.state import Preprocessing, State, changed
from neurallib.tasks import Task, describe
from neurallib.warn import warn

Item = tuple[Tensor, Tensor]


class PreparedData(Dataset[Item]):
    """Items (x [T, C] float32, y) ready to be collated; made by `prepare`, which has checked every one.

    A regression's y is normalized as the state says; `scales` undoes it.

    Attributes
    ----------
    names : list of str
        What errors call the items.
    lengths : list of int
        T of each, at the state's sampling frequency.
    given_lengths : list of int
        T of each as it was handed in.
    class_counts : np.ndarray
        float64 [2, K]: the steps (or signals) in which each class holds, and those in which it is known whether.
    targets : Moments
        Of a regression's targets, normalized as the state that `prepare` was given says.
    """

    def __init__(
        self, source: Any, names: list[str], task: Task, preprocessing: Preprocessing, has_targets: bool, handed: Handed
    ) -> None:
        self._source, self._task, self._has_targets, self._handed = source, task, has_targets, handed
        self.preprocessing = preprocessing
        self.names = names
        self.lengths: list[int] = []
        self.given_lengths: list[int] = []
        self.class_counts = np.zeros((2, task.n_outputs))
        self.targets = Moments(task.n_outputs)
        self._kept: dict[int, Item] = {}
        self._own: dict[int, Scale] = {}  # of the signals by which targets are normalized
        self._unscaled: dict[int, Tensor] = {}  # targets of signals without a shape, which nothing scales back

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int) -> Item:
        return self._kept[i] if i in self._kept else self._item(i, *self._read(i)[:2])

    @property
    def rate(self) -> Fraction:
        """Steps that the network sees for one that was handed in."""
        return self._handed.conversion.rate

    def cut(self, i: int) -> int | None:
        """The steps of the windows in which a state that learnt on windows takes the item; None: it is taken whole."""
        window = self._handed.window
        return window if window is not None and self.lengths[i] > window else None

    def scales(self, places: Sequence[int]) -> Scale | None:
        """What undoes the normalization of the targets of some items: shift and scale [B, K]."""
        if self._task.kind != "regression" or self.preprocessing["target_normalization"] is None:
            return None
        each = [target_scale(self._own.get(i), self.preprocessing) for i in places]
        return Scale(*(np.stack(parts) for parts in zip(*filter(None, each), strict=True)))

    def in_units(self, values: Tensor, places: Sequence[int]) -> Tensor:
        """Normalized outputs or targets of some items, [B, T, K] or [B, K] on the CPU, in the target's own units."""
        if (scale := self.scales(places)) is None:
            return values
        return torch.from_numpy(scale.over_steps(values.dim()).undo(values.numpy())).float()

    def truth(self, y: Tensor, places: Sequence[int]) -> Tensor:
        """Normalized targets of some items, as `in_units`, in the target's own units."""
        values = self.in_units(y, places)
        for row, i in enumerate(places):
            if i in self._unscaled:
                values[row, : len(self._unscaled[i])] = self._unscaled[i]
        return values

    def check(self, memory_budget: int, enable_progress_bar: bool, statistics: Statistics | None = None) -> None:
        """Read every item once: keep those that fit the budget, count, and warn once of each correction. What
        `statistics` leave open is decided before anything is normalized."""
        corrected: dict[str, list[str]] = {}
        waiting: dict[int, tuple[np.ndarray, Tensor]] = {}
        is_regression = self._has_targets and self._task.kind == "regression"
        for i in progress(range(len(self)), enable_progress_bar, "checking signals", delay=2):
            x, y, corrections = self._read(i)
            if statistics is not None:
                x = np.array(x)  # what is looked at later may be a mapped file, or a buffer that is filled again
            self.lengths.append(len(x))
            for correction in corrections:
                corrected.setdefault(correction, []).append(self.names[i])
            if self._has_targets:
                self.class_counts += class_counts(y, self._task)
            fits = 4 * x.size + y.nbytes <= memory_budget
            memory_budget -= (4 * x.size + y.nbytes) * fits
            if statistics is not None:
                statistics.add(x, y.numpy())
                if fits:
                    waiting[i] = x, y
            elif fits or is_regression:
                item = self._item(i, x, y)
                if is_regression:
                    self.targets.add(item[1].numpy().reshape(-1, self._task.n_outputs))
                if fits:
                    self._kept[i] = item
        for correction, names in corrected.items():
            warn(f"{correction} in {len(names)} of {len(self)} signals: {listing(names, 3)}.")
        if statistics is not None:
            self.preprocessing = statistics.decided()
            while waiting:
                i, (x, y) = waiting.popitem()
                self._kept[i] = self._item(i, x, y)

    def _read(self, i: int) -> tuple[np.ndarray, Tensor, list[str]]:
        """An item checked and shaped, in its own numbers."""
        given, name = self._source[i], self.names[i]
        if not self._has_targets:
            x, corrections = _signal(signal_of(given), self._handed.conversion, self._task, name)
            return self._converted(i, x), torch.empty(0), corrections
        if isinstance(given, (str, bytes)) or not isinstance(given, Sequence) or len(given) != 2:
            raise TypeError(f"{name} is a {type(given).__name__}; expected a pair (signal, target).")
        x, corrections = _signal(given[0], self._handed.conversion, self._task, name)
        y, more = as_target(given[1], len(x), self._task, name)
        return self._converted(i, x), y, corrections + more

    def _converted(self, i: int, x: np.ndarray) -> np.ndarray:
        if len(self.given_lengths) == i:
            self.given_lengths.append(len(x))
        return self._handed.conversion.apply(x)

    def _item(self, i: int, x: np.ndarray, y: Tensor) -> Item:
        """An item normalized. A long signal that is taken in windows is not, where each window is by itself; neither
        is its target, where that goes by the window."""
        cut = self.cut(i) is not None
        own = None if cut and self.preprocessing["normalization"] in OWN else signal_scale(x, self.preprocessing)
        kind = self.preprocessing["target_normalization"]
        if self._task.kind == "regression" and kind is not None and not (cut and kind == "signal"):
            if kind == "signal" and own is not None:
                self._own[i] = own
            scale = target_scale(own, self.preprocessing)
            if self._has_targets and scale is not None:
                if np.isinf(scale.scale).any():
                    self._unscaled[i] = y
                y = torch.from_numpy(scale.apply(y.numpy()))
        values = np.array(x, dtype=np.float32) if own is None else own.apply(x)
        return torch.from_numpy(np.ascontiguousarray(values)), y


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
        warning, one value more or less in brackets, and transposed. Any float, integer or bool dtype. A label that is
        not known is -1 (multiclass) or nan (every other task); those of binary and multi-label tasks may be soft, any
        value from 0 to 1.
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
        If `state` or `data` is none, there is no signal or no known label, or a signal is not finite, of a wrong shape
        or dtype, or its target does not fit the signal or the task; the file is named.

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
    return _checked(check_state(state), data, name, True, memory_budget, enable_progress_bar, AS_GIVEN)


def prepare_training(
    state: State, data: Data, name: str, *, memory_budget: int, enable_progress_bar: bool, handed: Handed
) -> tuple[State, PreparedData]:
    """The training data, and the state with all of its preprocessing decided on them, in one pass over them."""
    prepared = _checked(state, data, name, True, memory_budget, enable_progress_bar, handed, decide=True)
    return changed(state, preprocessing=prepared.preprocessing), prepared


def prepare_handed(
    state: State,
    data: Any,
    name: str,
    has_targets: bool,
    handed: Handed,
    *,
    memory_budget: int = 2**27,
    enable_progress_bar: bool = False,
    first: int = 0,
) -> PreparedData:
    """Data for a state that is applied: windows as it was trained on, and what the caller says of the signals. Without
    targets y is empty. Errors count from `first`."""
    return _checked(state, data, name, has_targets, memory_budget, enable_progress_bar, handed, first)


def _checked(
    state: State,
    data: Any,
    name: str,
    has_targets: bool,
    memory_budget: int,
    enable_progress_bar: bool,
    handed: Handed,
    first: int = 0,
    decide: bool = False,
) -> PreparedData:
    task, known = describe(state), state["preprocessing"]
    check_normalization(known, task, decide)
    items = as_items(data, name, handed.conversion.n_given or task.n_features, has_targets)
    names = [f"{name}[{i}]" for i in range(first, first + len(items))]
    if isinstance(data, SignalFolder):
        names = [f"{path.parent.name}/{file}" for path, file in zip(data.paths_x, data.names, strict=True)]
    statistics = Statistics(task, known) if decide else None
    prepared = PreparedData(items, names, task, known, has_targets, handed)
    prepared.check(
        integer("memory_budget", memory_budget, minimum=0),
        enable_progress_bar,
        statistics if statistics is not None and statistics.anything else None,
    )
    if has_targets:
        check_known(prepared.class_counts, name)
    return prepared


def _signal(given: Any, handed: Conversion, task: Task, name: str) -> tuple[np.ndarray, list[str]]:
    x, corrections = as_numbers(given, f"x of {name}"), []
    n = handed.n_given or task.n_features
    if x.ndim == 1 and n == 1:
        x, corrections = x[:, None], ["x is [T], taken as [T, 1],"]
    elif x.ndim == 2 and x.shape[1] != n and x.shape[0] == n:
        x, corrections = x.T, [f"x is [{n}, T], transposed to [T, {n}],"]
    if x.ndim != 2 or x.shape[1] != n or len(x) == 0:
        raise ValueError(f"x of {name} has shape {np.shape(given)}; expected (T, {n}) with at least one step.")
    return x, corrections
