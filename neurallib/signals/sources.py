"""What users hand in as data, in any of its forms, as one kind of thing: a sequence of signals or of pairs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader, Dataset, IterableDataset, Subset

from neurallib.signals.folders import SignalFolder, as_folder
from neurallib.state import Pair
from neurallib.warn import warn

Data = SignalFolder | Sequence[Pair] | Dataset[Any] | Iterable[Pair] | Pair
Signals = SignalFolder | Sequence[Any] | Dataset[Any] | Iterable[Any] | np.ndarray | Tensor
FORMS = "a list or Dataset of {}, arrays stacked along a first axis, or what open_folder returns"


def as_items(data: Any, name: str, n_features: int, has_targets: bool, *, keep: bool = True) -> Any:
    """What can be asked for its length and its items by number: pairs (signal, target), or signals.

    Parameters
    ----------
    data : Data or Signals
        A sequence, a torch Dataset, anything with a length and items, or an iterable, which is read once and kept.
        With targets also one pair of arrays: (x [T, C], y) or, stacked, (x [N, T, C], y [N, ...]). Without also one
        signal [T, C], a stack [N, T, C], or items that have a target beside the signal.
    name : str
        What errors call the data.
    n_features : int
        C, which tells a signal from a stack of signals with one feature, [N, T].
    has_targets : bool
        Whether the items are pairs.
    keep : bool
        Whether an iterable is read and kept; else it is handed back as it is.

    Raises
    ------
    TypeError, ValueError
        If it is nothing of the kind, empty, or the arrays of a pair are not equally long.
    """
    if type(data) is list and data and not (has_targets and _is_pair(data)):
        return data  # what it mostly is; asking whether it is a path or a mapping takes longer than all else here
    expected = FORMS.format("pairs (signal, target)" if has_targets else "signals")
    if isinstance(data, Mapping) and "signal" in data and not has_targets:
        raise TypeError(f"{name} is a recording; expected {expected}: predict_recording takes a recording.")
    if isinstance(data, (str, bytes, os.PathLike)):
        raise TypeError(f"{name} is a path or text, {data!r}; expected {expected}: open_folder reads folders.")
    if isinstance(data, DataLoader):
        raise TypeError(f"{name} is a DataLoader; expected the data before they are batched, such as loader.dataset.")
    if any(getattr(whole, "is_prepared", False) for whole in _wholes(data)):
        raise TypeError(
            f"{name} is what prepare(state, data) gives, normalized already: give the data themselves, which are "
            "prepared here. What is prepared is for make_loader."
        )
    if data is None or isinstance(data, Mapping):
        raise TypeError(f"{name} is a {type(data).__name__}; expected {expected}.")
    data = items = as_folder(without_frames(data))
    if has_targets and _is_pair(data):
        items = _paired(data[0], data[1], name, n_features)
    elif _is_array(data):
        if has_targets:
            raise TypeError(f"{name} is an array of shape {tuple(data.shape)}; expected {expected}: it has no targets.")
        stacked = _is_stack(data, n_features)
        items = data if stacked else [data]
        if stacked and data.ndim == 2 and len(data) > 16 * data.shape[1]:  # more likely [T, C] of other channels
            n, n_steps = data.shape
            warn(f"{name} is [{n}, {n_steps}], taken as {n} signals of {n_steps} steps: the state takes one channel.")
    elif not is_numbered(data):
        if not isinstance(data, Iterable) or (isinstance(data, Dataset) and not hasattr(type(data), "__iter__")):
            raise TypeError(f"{name} is a {type(data).__name__} without a length; expected {expected}.")
        if not keep:
            return data
        items = list(map(_kept, data))
    if len(items) == 0:
        raise ValueError(f"{name} is empty; expected at least one signal.")
    return items


class Part(Dataset[Any]):
    """Some of the items, read when they are asked for."""

    def __init__(self, items: Any, places: Sequence[int]) -> None:
        self._items, self._places = items, places
        self.window = getattr(items, "window", None)  # of an opened folder, which the state keeps

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, i: int) -> Any:
        return self._items[self._places[i]]


def is_numbered(data: Any) -> bool:
    """Whether items can be asked for by number: the iteration of a Dataset that only has numbers may never end, and one
    that is there to be iterated has none, whatever it inherits."""
    return hasattr(data, "__len__") and hasattr(data, "__getitem__") and not isinstance(data, IterableDataset)


def in_blocks(items: Any, size: int) -> Iterator[Any]:
    """So many items at a time, of a folder (which keeps their names), a sequence, a Dataset or an iterable."""
    if isinstance(items, SignalFolder):
        yield from (items[i : i + size] for i in range(0, len(items), size))
        return
    rest = map(_kept, (items[i] for i in range(len(items))) if is_numbered(items) else items)
    while block := list(islice(rest, size)):
        yield block


def signal_of(item: Any) -> Any:
    """The signal of an item that may have a target beside it, as those of a Dataset have."""
    is_pair = isinstance(item, tuple) and len(item) in (1, 2) and np.ndim(item[0]) > 0
    return item[0] if is_pair else item


def without_frames(data: Any) -> Any:
    """Frames and columns of pandas as arrays: they give their columns where items are asked for."""
    if isinstance(data, tuple):
        return tuple(map(without_frames, data)) if len(data) == 2 else data
    return data.to_numpy() if hasattr(data, "to_numpy") else data


def _wholes(data: Any) -> list[Any]:
    """The data that torch's Subset, such as random_split makes, and ConcatDataset take or put together."""
    if isinstance(data, (Subset, ConcatDataset)):
        return sum(map(_wholes, data.datasets if isinstance(data, ConcatDataset) else [data.dataset]), [])
    return [data]


def _kept(item: Any) -> Any:
    """An item whose arrays stay as they are when the next one is read, perhaps into the same memory."""
    if isinstance(item, tuple):
        return tuple(map(_kept, item))
    if isinstance(item, Tensor):
        return item.clone()
    return item.copy() if isinstance(item, np.ndarray) and not isinstance(item, np.memmap) else item


def _paired(x: Any, y: Any, name: str, n_features: int) -> list[tuple[Any, Any]]:
    if not _is_stack(x, n_features):
        return [(x, y)]
    if np.ndim(y) == 0 or len(x) != len(y):
        raise ValueError(
            f"{name} is a pair of arrays of shapes {tuple(x.shape)} and {tuple(y.shape)}; expected as many targets as "
            f"signals, {len(x)}."
        )
    return list(zip(x, y, strict=True))


def _is_stack(x: Any, n_features: int) -> bool:
    """Whether an array holds several signals: [N, T, C], [N, T] of one feature, or arrays of unequal lengths."""
    if isinstance(x, np.ndarray) and x.dtype == object:
        return True
    return x.ndim == 3 or (x.ndim == 2 and n_features == 1 and 1 not in x.shape)


def _is_pair(data: Any) -> bool:
    """Whether data are one pair of arrays, of which the second may be a single number."""
    of_two = isinstance(data, (tuple, list)) and len(data) == 2
    return of_two and _is_array(data[0]) and (_is_array(data[1]) or np.ndim(data[1]) == 0)


def _is_array(value: Any) -> bool:
    return isinstance(value, (np.ndarray, Tensor))
