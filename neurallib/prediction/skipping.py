"""What of a recording is not scored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from neurallib.names import did_you_mean, listing
from neurallib.signals.annotations import flutter_of
from neurallib.signals.recording_parts import Recording, gaps_of, name_of
from neurallib.warn import warn

Stretches = Iterable[tuple[float, float]]  # seconds, from and to
Skip = Mapping[str, Stretches] | Callable[[Recording], Stretches]


def check_skip(skip: Any) -> None:
    """Raise unless it says by name, or as a function, what is not scored."""
    if not (skip is None or isinstance(skip, Mapping) or callable(skip)):
        expected = "expected {name: [(from, to), ...]} in seconds, or a function of the recording that gives the pairs"
        raise TypeError(f"skip={skip!r}; {expected}.")


def skipped_of(recording: Recording, start: float, flutter: bool, gaps: bool, skip: Skip | None) -> np.ndarray:
    """Samples int64 [n, 2] from where to where nothing is scored."""
    rate, name = float(recording["sampling_frequency"]), name_of(recording)
    duration = len(recording["signal"]) / rate
    if start >= duration:
        warn(f"skip_start={start:g}: nothing of {name}, which lasts {duration:g} s, is scored.")
    seconds: Any = skip(recording) if callable(skip) else (skip or {}).get(name, ())
    try:
        given = list(seconds)
        pairs = np.asarray(given, dtype=np.float64).reshape(len(given), 2)
    except (TypeError, ValueError) as error:
        raise TypeError(f"skip of {name} is {seconds!r}; expected pairs of seconds, such as [(60, 90)].") from error
    wrong = ~((pairs[:, 0] >= 0) & (pairs[:, 0] < pairs[:, 1]) & (pairs[:, 0] < duration))
    if wrong.any():
        low, high = pairs[wrong][0]
        raise ValueError(f"skip of {name} is from {low:g} to {high:g} s; expected rising seconds within {duration:g}.")
    stretches = [[[0, round(start * rate)]], np.rint(pairs * rate).astype(np.int64).tolist()]
    stretches += [flutter_of(recording).tolist()] if flutter else []
    stretches += [gaps_of(recording).tolist()] if gaps else []
    return np.array([pair for some in stretches for pair in some], np.int64).reshape(-1, 2)


def check_skipped_names(skip: Skip | None, names: list[str]) -> None:
    """A warning if what is to be skipped is of other recordings altogether."""
    if isinstance(skip, Mapping) and skip and not set(skip) & set(names):
        hint = did_you_mean(str(next(iter(skip))), names)
        warn(f"skip names {listing(map(str, skip))}, which no recording is called: nothing is skipped.{hint}")
