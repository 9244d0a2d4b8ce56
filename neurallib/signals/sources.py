"""What users hand in as data, in any of its forms, as a sequence of signals or of pairs; and weights of them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader, Dataset, IterableDataset, Subset

from neurallib.names import did_you_mean, listing
from neurallib.signals.arrays import as_array, by_label, check_plain
from neurallib.signals.folders import SignalFolder, as_folder
from neurallib.state import Pair
from neurallib.warn import warn

Data = SignalFolder | Sequence[Pair] | Dataset[Any] | Iterable[Pair] | Pair
Signals = SignalFolder | Sequence[Any] | Dataset[Any] | Iterable[Any] | np.ndarray | Tensor
FORMS = "a list or Dataset of {}, arrays stacked along a first axis, or what open_folder returns"


def as_items(data: Any, name: str, n_features: int, has_targets: bool, *, keep: bool = True) -> Any:
    """What can be asked for its length and its items by number: pairs (signal, target), or signals; or an error, which
    calls it `name`.

    It comes as a sequence, a torch Dataset, anything with a length and items, or an iterable, which is read once, or
    handed back where it is not to `keep`. With targets also as one pair of arrays: (x [T, C], y) or, stacked,
    (x [N, T, C], y [N, ...]), where lists may stand for stacks. Without also as one signal [T, C], a stack [N, T, C],
    or items that have a target beside the signal. `n_features`, C, tells a signal from a stack [N, T] of one feature.
    """
    if type(data) is list and data and not (has_targets and _is_pair(data, name)):
        return data  # what it mostly is; asking whether it is a path or a mapping takes longer than all else here
    expected = FORMS.format("pairs (signal, target)" if has_targets else "signals")
    if isinstance(data, Mapping) and "signal" in data and not has_targets:
        raise TypeError(f"{name} is a recording; expected {expected}: predict_recording takes a recording.")
    if isinstance(data, (str, bytes, os.PathLike)):
        way = "open_folder reads folders, np.load files"
        raise TypeError(f"{name} is a path or text, {data!r}; expected {expected}: {way}.")
    for given in data if isinstance(data, tuple) else (data,):
        check_plain(given, name)
    if isinstance(data, DataLoader):
        raise TypeError(f"{name} is a DataLoader; expected the data before they are batched, such as loader.dataset.")
    if any(getattr(whole, "is_prepared", False) for whole in _wholes(data)):
        raise TypeError(
            f"{name} is what prepare(state, data) gives, normalized already: give the data themselves, which are "
            "prepared here. What is prepared is for make_loader."
        )
    if data is None or isinstance(data, Mapping):
        held = "" if data is None else f" of {listing(map(str, data))}"
        way = f": {'a pair (x, y) of them' if has_targets else 'list(signals.values())'}" if held else ""
        raise TypeError(f"{name} is a {type(data).__name__}{held}; expected {expected}{way}.")
    check_order(name, *(data if isinstance(data, tuple) else ()))
    whole, data = data, as_folder(without_frames(data))
    items = data
    if has_targets and _is_pair(data, name):
        items = _paired(data[0], data[1], name, n_features) or [(_one(whole[0], name), data[1])]
    elif _is_array(data):
        if has_targets:
            told = f"{name} is an array of shape {tuple(data.shape)}; expected {expected}"
            raise TypeError(f"{told}: it has no targets, which (x, y) has.")
        stacked = _is_stack(data, n_features)
        items = data if stacked else [_one(whole, name)]
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
    """Frames and columns of pandas as arrays: they give their columns where items are asked for. An array of arrays, as
    MATLAB's cells are, has one dimension."""
    if isinstance(data, tuple):
        return tuple(map(without_frames, data)) if len(data) == 2 else data
    data = as_array(data) if hasattr(data, "to_numpy") else data
    cells = isinstance(data, np.ndarray) and data.dtype == object and data.size and np.ndim(data.flat[0]) > 0
    return data.ravel() if cells else data


def check_order(name: str, *tables: Any) -> None:
    """Raise ValueError where two frames or columns of pandas have the same labels of rows in different orders."""
    labels = [list(each.index) for each in tables if hasattr(each, "to_numpy") and hasattr(each, "index")]
    if len(labels) == 2 and labels[0] != labels[1] and Counter(labels[0]) == Counter(labels[1]):
        raise ValueError(
            f"{name}: rows have the same labels in two orders, {listing(map(str, labels[0]), 3)}, then "
            f"{listing(map(str, labels[1]), 3)}. Give the second as second.loc[first.index], or both by to_numpy()."
        )


def sample_weights(given: Any, items: Any, name: str) -> np.ndarray | None:
    """The weight of each item, float64 [N], of what `train` is given as `sample_weight` for data called `name`."""
    if given is None:
        return None
    names = [f"{name}[{i}]" for i in range(len(items))]
    if isinstance(items, SignalFolder):
        names = items.names
        given = by_label(given, *zip(*((path.name, path.stem) for path in items.paths_x), strict=True))
    values = _weights_of_files(given, items) if isinstance(given, Mapping) else given
    try:
        weights = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"sample_weight is a {type(given).__name__} that holds no numbers: {error}") from error
    if weights.shape != (len(names),):
        raise ValueError(f"sample_weight has shape {weights.shape}; expected ({len(names)},), one for each signal.")
    if (wrong := ~(np.isfinite(weights) & (weights >= 0))).any():
        i = int(np.argmax(wrong))
        raise ValueError(f"sample_weight of {names[i]} is {weights[i]:g}; expected a finite number of at least 0.")
    if not weights.any():
        raise ValueError(f"sample_weight is 0 for all {len(names)} signals; expected one at least to learn from.")
    return weights


def _weights_of_files(given: Mapping[Any, Any], items: Any) -> list[Any]:
    """The weights of files, by their names with or without the ending; windows have that of their file."""
    if not isinstance(items, SignalFolder):
        raise TypeError("sample_weight is a mapping, but only files have names; expected a list, one for each signal.")
    found = [given.get(path.name, given.get(path.stem)) for path in items.paths_x]
    if missing := [path.name for path, value in zip(items.paths_x, found, strict=True) if value is None]:
        hint = did_you_mean(missing[0], given)
        raise ValueError(f"sample_weight has nothing for {listing(dict.fromkeys(missing))}; expected every file.{hint}")
    return found


def _one(given: Any, name: str) -> Any:
    """What is one signal; a frame stays one, for its columns have names."""
    if (n := getattr(getattr(given, "index", None), "nlevels", 1)) > 1:
        raise ValueError(
            f"{name} is a {type(given).__name__} with {n} labels a row; expected the rows of one signal, or several "
            "signals: [rows for _, rows in frame.groupby(level=0)]."
        )
    return given


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


def _paired(x: Any, y: Any, name: str, n_features: int) -> list[tuple[Any, Any]] | None:
    """Signals with their targets; None where `x` is a single signal."""
    if _is_array(x) and not _is_stack(x, n_features):
        return None
    if (_is_array(y) and not y.ndim) or not hasattr(y, "__len__") or len(x) != len(y):
        shapes = " and ".join(f"shape {tuple(a.shape)}" if _is_array(a) else f"{len(a)} in a list" for a in (x, y))
        raise ValueError(f"{name} is a pair of {shapes}; expected as many targets as signals, {len(x)}.")
    return list(zip(x, y, strict=True))


def _is_stack(x: Any, n_features: int) -> bool:
    """Whether an array holds several signals: [N, T, C], [N, T] of one feature, or arrays of unequal lengths."""
    if isinstance(x, np.ndarray) and x.dtype == object and x.ndim == 1:
        return True
    return x.ndim == 3 or (x.ndim == 2 and n_features == 1 and 1 not in x.shape)


def _is_pair(data: Any, name: str) -> bool:
    """Whether data are one pair of arrays or lists, of which the second may be a single number; two lists of two may as
    well be two pairs, as lists in a list are."""
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        return False
    if _is_array(data[0]):
        return _is_array(data[1]) or isinstance(data[1], (list, tuple)) or np.ndim(data[1]) == 0
    if not isinstance(data[0], list) or not isinstance(data[1], (list, np.ndarray, Tensor)):
        return False
    if len(data[0]) != 2 or _is_array(data[1]):
        return True
    if isinstance(data, tuple) and len(data[1]) == 2:
        raise ValueError(
            f"{name} is two lists of two: pairs are (signal, target), and of signals x and targets y list(zip(x, y))."
        )
    return False


def _is_array(value: Any) -> bool:
    return isinstance(value, (np.ndarray, Tensor))
