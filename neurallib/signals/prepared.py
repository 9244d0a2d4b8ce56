"""Prepared data: items checked, kept within a budget or read again, normalized, and the way back to their own units."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from neurallib.forks import check_threads
from neurallib.functions import array_sum
from neurallib.names import listing
from neurallib.progress import progress
from neurallib.signals.arrays import as_numbers, check_plain, is_recording, kind_of
from neurallib.signals.augmenting import Augmentation, as_floats
from neurallib.signals.conversion import Conversion, Handed
from neurallib.signals.folders import SignalFolder
from neurallib.signals.normalization import OWN, Scale, as_input, by_window, target_scale
from neurallib.signals.plausibility import Far, Layout, far_values, spread_of, tell_far, tell_size
from neurallib.signals.sources import signal_of
from neurallib.signals.statistics import Moments, Statistics
from neurallib.signals.targets import as_target, class_counts, events_in
from neurallib.state import Preprocessing
from neurallib.tasks import R_PEAK, Task
from neurallib.warn import noted, warn

_log = logging.getLogger(__name__)

Item = tuple[Tensor, Tensor]
_NONE = torch.empty(0)  # what stands for a target where there is none
_CUT = "Cut padding off, signals in a list may be of any length; leave others out, as make_dataset does of nan."
_PLAIN = (list, tuple, np.ndarray, Tensor, SignalFolder)  # what gives the same items whenever it is asked


class PreparedData(Dataset[Item]):
    """Items (x [T, C] float32, y) ready to be collated; made by `prepare`, which has checked every one.

    A regression's y is normalized as the state says; `scales` undoes it.

    Attributes
    ----------
    task : Task
        Of the state.
    names : list of str
        What errors call the items.
    lengths : list of int
        T of each, at the state's sampling frequency.
    given_lengths : list of int
        T of each as it was handed in.
    class_counts : np.ndarray
        float64 [2, K]: the steps (or signals) in which each class holds, and those in which it is known whether.
    beats : np.ndarray
        int64 [2], where R-peaks are to be found: those that are labelled, and the steps of the signals that have some.
    targets : Moments
        Of a regression's targets, normalized as the state that `prepare` was given says.
    sums : list of int or None
        A checksum of each item as it was read, where they are asked for.
    """

    is_prepared = True  # and not to be prepared once more

    def __init__(
        self,
        source: Any,
        names: list[str],
        task: Task,
        preprocessing: Preprocessing,
        has_targets: bool,
        handed: Handed,
        augmentation: Augmentation | None = None,
    ) -> None:
        check_threads()
        self._source, self.task, self._has_targets, self.handed = source, task, has_targets, handed
        self.preprocessing, self.augmentation = preprocessing, augmentation
        self.weights: np.ndarray | None = None  # of the signals in a training loss, float64 [N]
        self.names = names
        self.lengths, self.given_lengths = list[int](), list[int]()
        self.class_counts, self.beats = np.zeros((2, task.n_outputs)), np.zeros(2, np.int64)
        self.targets = Moments(task.n_outputs)
        self.sums: list[int] | None = None
        self.told, self._far = set[str](), Far()  # what is not told once more; values that may be no signal
        self.layout: Layout | None = None  # which looks whether they lie on their side
        self._kept: dict[int, Item] = {}
        self._raw: dict[int, tuple[np.ndarray, Tensor]] = {}  # checked, and not yet normalized
        self._own: dict[int, Scale] = {}  # of the signals by which targets are normalized
        self._unscaled: dict[int, Tensor] = {}  # targets of signals without a shape, which nothing scales back
        picked = handed.conversion.columns is not None  # of signals whose channels are in another order
        self.columns: list[str] | None = None if picked else preprocessing["channels"]  # names, in order

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int) -> Item:
        return self._kept[i] if i in self._kept else self._item(i, *self.in_own_numbers(i))

    def drawn(self, i: int, epoch: int) -> Item:
        """An item as training sees it in an epoch, from 0: augmented, where that is asked for, and then normalized."""
        if self.augmentation is None:
            return self[i]
        x, y = self.in_own_numbers(i)
        return self._item(i, *self.augmentation.draw(x, y, place=i, epoch=epoch, task=self.task, name=self.names[i]))

    def cut(self, i: int) -> int | None:
        """The steps of the windows in which a state that learnt on windows takes the item; None: it is taken whole."""
        window = None if self.handed.goes_on else self.handed.window
        return window if window is not None and self.lengths[i] > window else None

    def scales(self, places: Sequence[int]) -> Scale | None:
        """What undoes the normalization of the targets of some items: shift and scale [B, K]."""
        if self.task.kind != "regression" or self.preprocessing["target_normalization"] is None:
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
        """Read every item once: keep those that fit the budget, count, and log each correction once. What
        `statistics` leave open is decided before anything is normalized."""
        corrected: dict[str, list[str]] = {}
        twice = {0, len(self) // 2} if self._has_targets and not isinstance(self._source, _PLAIN) else ()
        owns: dict[int, Scale | None] = {}  # which statistics have found already
        drawn, sizes = list[str](), list[float]()  # what reading draws anew; by the scale of the training data
        is_regression = self._has_targets and self.task.kind == "regression"
        for i in progress(range(len(self)), enable_progress_bar, "checking signals", delay=2):
            x, y, corrections = self._read(i)
            if self.augmentation is not None:
                x = as_floats(x)
            elif statistics is not None or i in twice:
                x = np.array(x)  # what is looked at later may be a mapped file, or a buffer that is filled again
            self.lengths.append(len(x))
            if self.layout is not None:
                self.layout.add(i, x)
            if self.sums is not None:
                self.sums.append(array_sum(y.numpy(), array_sum(x)))
            for correction in corrections:
                corrected.setdefault(correction, []).append(self.names[i])
            if self._has_targets:
                self.class_counts += class_counts(y, self.task)
                if self.task.names == (R_PEAK,) and not self.task.seq2one:
                    self.beats += events_in(y)
            fits = (size := (x.nbytes if self.augmentation is not None else 4 * x.size) + y.nbytes) <= memory_budget
            memory_budget -= size * fits
            if fits and i in twice and not _same((x, y), self._read(i)[:2]):
                drawn.append(self.names[i])
            own = statistics.add(x, y.numpy()) if statistics is not None else None
            if statistics is not None or self.augmentation is not None:
                if fits:
                    self._raw[i], owns[i] = (x, y), own
            elif fits or is_regression:
                item = self._item(i, x, y)
                whole = self.cut(i) is None or not by_window(self.preprocessing)  # else it is no input yet
                if whole and self.preprocessing["normalization"] == "dataset":
                    sizes.append(spread_of(item[0].numpy(), self.preprocessing))
                if is_regression:
                    self.targets.add(item[1].numpy().reshape(-1, self.task.n_outputs))
                if fits:
                    self._kept[i] = item
        for correction, names in corrected.items():
            if correction not in self.told:
                _log.info("%s in %d of %d signals: %s.", correction, len(names), len(self), listing(names, 3))
        self.told.update(corrected)
        tell_size(sizes, self.told)
        tell_far(self._far, _CUT, self.told)
        if self.layout is not None:
            self.layout.tell()
            self.layout = None
        if drawn:
            warn(
                f"{listing(drawn)} came out otherwise when read again: what reading draws is drawn once and kept for "
                "all epochs, as far as memory_budget reaches. To draw anew each epoch is what train's augment= is for."
            )
        if statistics is not None:
            self.preprocessing = statistics.decided()
        by_itself = self.preprocessing["normalization"] in OWN
        while self._raw and self.augmentation is None:
            i, (x, y) = self._raw.popitem()
            self._kept[i] = self._item(i, x, y, owns[i] if by_itself else None)

    def in_own_numbers(self, i: int) -> tuple[np.ndarray, Tensor]:
        return self._raw[i] if i in self._raw else self._read(i)[:2]

    def _read(self, i: int) -> tuple[np.ndarray, Tensor, list[str]]:
        """An item checked and shaped, in its own numbers."""
        name = self.names[i]
        try:
            with noted(f"{name} was asked for."):
                given = self._source[i]
        except KeyError as error:
            told = f"a {type(self._source).__name__}, which has no item {i}; expected a list of arrays, or a Dataset"
            raise TypeError(f"{name} is asked of {told}.") from error
        is_pair = isinstance(given, Sequence) and not isinstance(given, (str, bytes)) and len(given) == 2
        if self._has_targets and not is_pair:
            way = "which make_dataset makes of a recording" if is_recording(given) else "such as those of zip(x, y)"
            raise TypeError(f"{name} is {kind_of(given)}; expected a pair (signal, target), {way}.")
        signal = given[0] if self._has_targets else signal_of(given)
        x, corrections = _signal(self._ordered(signal, name), self.handed.conversion, self.task, name)
        y, more = as_target(given[1], len(x), self.task, name) if self._has_targets else (_NONE, [])
        return self._converted(i, x), y, corrections + more

    def _ordered(self, given: Any, name: str) -> Any:
        """A signal whose columns, where they have names, are in the order of the state's channels or the first's."""
        check_plain(given, name)
        columns = list(getattr(given, "columns", ()))
        if columns and all(isinstance(column, str) for column in columns):
            self.columns = self.columns or columns
            if columns != self.columns and sorted(columns) == sorted(self.columns):
                raise ValueError(
                    f"x of {name} has the columns {listing(columns)}; expected them in the order "
                    f"{listing(self.columns)}: frame[{self.columns}]."
                )
        return given

    def _converted(self, i: int, x: np.ndarray) -> np.ndarray:
        if len(self.given_lengths) == i:
            self.given_lengths.append(len(x))
            self._far.update(far_values(x, [f"channel {k}" for k in range(x.shape[1])], self.names[i]))
        return self.handed.conversion.apply(x)

    def _item(self, i: int, x: np.ndarray, y: Tensor, own: Scale | None = None) -> Item:
        """An item normalized, by the signal's own scale where that is known. A long signal that is taken in windows is
        not, where each window is by itself; neither is its target, where that goes by the window."""
        cut = self.cut(i) is not None
        if cut and by_window(self.preprocessing):
            values, own = np.array(x, dtype=np.float32), None
        else:
            values, own = as_input(x, self.preprocessing, own)
        kind = self.preprocessing["target_normalization"]
        if self.task.kind == "regression" and kind is not None and not (cut and kind == "signal"):
            if kind == "signal" and own is not None:
                self._own[i] = own
            scale = target_scale(own, self.preprocessing)
            if self._has_targets and scale is not None:
                if np.isinf(scale.scale).any():
                    self._unscaled[i] = y
                y = torch.from_numpy(scale.apply(y.numpy()))
        return torch.from_numpy(np.ascontiguousarray(values)), y


def _signal(given: Any, handed: Conversion, task: Task, name: str) -> tuple[np.ndarray, list[str]]:
    x, corrections = as_numbers(given, f"x of {name}"), []
    n = handed.n_given or task.n_features
    if x.ndim == 1 and n == 1:
        x, corrections = x[:, None], ["x is [T], taken as [T, 1],"]
    elif x.ndim == 2 and x.shape[1] != n and x.shape[0] == n:
        x, corrections = x.T, [f"x is [{n}, T], transposed to [T, {n}],"]
    if x.ndim != 2 or x.shape[1] != n or len(x) == 0:
        one = " One signal is an array, such as np.array(signal)." if x.shape in ((), (n,)) else ""
        one += " Signals [T] of one channel are for a state of n_features=1." if x.ndim == 1 and len(x) > 1 else ""
        stack = " A stack [N, T, C] is handed in by itself, not within a list"
        one = one if x.ndim < 3 else f"{stack}; np.squeeze(x, 1) takes an axis of 1 away, as of [N, 1, C, T]."
        raise ValueError(f"x of {name} has shape {np.shape(given)}; expected (T, {n}) with at least one step.{one}")
    return x, corrections


def _same(one: tuple[np.ndarray, Tensor], other: tuple[np.ndarray, Tensor]) -> bool:
    (x, y), (again, target) = one, other
    return np.array_equal(x, again.astype(x.dtype)) and np.array_equal(y.numpy(), target.numpy(), equal_nan=True)
