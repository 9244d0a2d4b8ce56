"""Weights of signals: how much each training signal counts in the loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from neurallib.names import did_you_mean, listing
from neurallib.signals.arrays import by_label
from neurallib.signals.folders import SignalFolder


def sample_weights(given: Any, items: Any, name: str) -> np.ndarray | None:
    """The weight of each item, float64 [N], of what `train` is given as `sample_weight` for data called `name`."""
    if given is None:
        return None
    names = [f"{name}[{i}]" for i in range(len(items))]
    if isinstance(items, SignalFolder):
        names = items.names
        given = by_label(given, *zip(*((path.name, path.stem) for path in items.paths_x), strict=True))
    values = _of_files(given, items) if isinstance(given, Mapping) else given
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


def _of_files(given: Mapping[Any, Any], items: Any) -> list[Any]:
    """The weights of files, by their names with or without the ending; windows have that of their file."""
    if not isinstance(items, SignalFolder):
        raise TypeError("sample_weight is a mapping, but only files have names; expected a list, one for each signal.")
    found = [given.get(path.name, given.get(path.stem)) for path in items.paths_x]
    if missing := [path.name for path, value in zip(items.paths_x, found, strict=True) if value is None]:
        hint = did_you_mean(missing[0], given)
        raise ValueError(f"sample_weight has nothing for {listing(dict.fromkeys(missing))}; expected every file.{hint}")
    return found
