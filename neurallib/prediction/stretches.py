"""What there is of a recording to be answered: its signal, read piece by piece, and its stretches without a gap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neurallib.names import listing
from neurallib.signals.arrays import bridged
from neurallib.signals.conversion import Handed, handed_to
from neurallib.signals.plausibility import Far, far_values, tell_far
from neurallib.signals.recording_parts import name_of, n_channels_of, of_each, runs_where, signal_rows
from neurallib.state import State


def signal_of(state: State, recording: Mapping[str, Any]) -> tuple[Any, Handed]:
    """The recording's signal, as something to slice, and what has to be done to it."""
    signal = recording["signal"]
    said = {name: recording.get(name) for name in ("sampling_frequency", "channels", "units")}
    handed = handed_to(state, **said)
    n = n_channels_of(signal)
    if n != (expected := handed.conversion.n_given):
        pick = ": read_recording picks them by channels=" if n > (expected or 0) else ""
        raise ValueError(f"recording['signal'] has {n} channels; expected {expected}{pick}.")
    return signal, handed


def picked_rows(signal: Any, start: int, stop: int, handed: Handed) -> np.ndarray:
    """Samples of the recording, [n, C], with the state's channels."""
    return _picked(signal_rows(signal, start, stop), handed)


def over_holes(column: np.ndarray, longest: int) -> np.ndarray:
    """A channel [n] with a straight line where no more than so many values in a row are missing, and nan elsewhere."""
    there, at = np.isfinite(column), np.arange(len(column))
    if there.all() or not there.any():
        return np.where(there, column, np.nan)
    before = np.maximum.accumulate(np.where(there, at, -len(at)))
    after = np.minimum.accumulate(np.where(there, at, 2 * len(at))[::-1])[::-1]
    short = there | ((after - before <= longest + 1) & (before >= 0) & (after < len(at)))
    return np.where(short, bridged(column[:, None])[:, 0], np.nan)


def segments_of(recording: Mapping[str, Any], handed: Handed) -> list[tuple[int, int]]:
    """From where to where every channel that the state takes has a value; a word where some are far from all others."""
    signal, far = recording["signal"], Far()
    numbers = range(n_channels_of(signal))
    names = of_each(recording, "channels", [f"channel {k}" for k in numbers])
    taken = [names[k] for k in handed.conversion.columns or numbers]

    def are_there(rows: np.ndarray) -> np.ndarray:
        rows = _picked(rows, handed)
        far.update(far_values(rows, taken, name_of(recording)))
        return np.asarray(np.isfinite(rows).all(axis=1))

    found = runs_where(signal, are_there).tolist()
    tell_far(far, "nan in its place says that nothing is known: np.where(np.isclose(signal, value), np.nan, signal).")
    if not found:

        def is_empty(k: int) -> bool:
            return len(runs_where(signal, lambda rows: np.isfinite(rows[:, k]))) == 0

        empty = [names[k] for k in handed.conversion.columns or numbers if is_empty(k)]
        which = listing(empty) if empty else "some channel"
        raise ValueError(f"recording['signal'] holds no value: every step is nan, or infinite, in {which}.")
    return [(start, stop) for start, stop in found]


def gaps_between(segments: list[tuple[int, int]], n_steps: int) -> np.ndarray:
    """int64 [n, 2], from where to where there is none of the segments."""
    ends = [0, *(end for segment in segments for end in segment), n_steps]
    gaps = [pair for pair in zip(ends[::2], ends[1::2], strict=True) if pair[0] < pair[1]]
    return np.array(gaps, dtype=np.int64).reshape(-1, 2)


def _picked(rows: np.ndarray, handed: Handed) -> np.ndarray:
    return rows if handed.conversion.columns is None else rows[:, handed.conversion.columns]
