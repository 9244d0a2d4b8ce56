"""Recordings as numpy's files: .npy, and .npz that may say more."""

from __future__ import annotations

import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from neurallib.names import listing
from neurallib.reading import told_by
from neurallib.signals.arrays import read_array
from neurallib.signals.contents import Contents

_INFLATED, _TIMES = 1 << 26, 200  # bytes of an archive's arrays, and that to its own, beyond which it is no recording


def read_numpy(path: Path, sampling_frequency: float | None, is_array: bool) -> Contents:
    """What a .npy (where it `is_array`) or .npz holds: numbers [time], [time, channels] or [channels, time], the longer
    axis being time. A .npz has them as "signal", or as its only array, and may say "sampling_frequency", "channels",
    "units", "person", "start_time" and the events' "sample", "symbol" and "duration"."""
    with told_by(path):
        said = {"signal": read_array(path)} if is_array else _archive(path)
        return _of_arrays(path, said, sampling_frequency)


def _of_arrays(path: Path, said: dict[str, Any], sampling_frequency: float | None) -> Contents:
    signal = said["signal"]
    if signal.ndim not in (1, 2) or not signal.size or signal.dtype.kind not in "fiub":
        found = f"{signal.dtype} of shape {signal.shape}"
        raise ValueError(f"{path} holds {found}; expected numbers [time] or [time, channels].")
    told = np.ravel(said.get("sampling_frequency", said.get("fs", sampling_frequency or 0)))
    if told.size != 1 or told.dtype.kind not in "fiub":
        raise ValueError(f"{path} says {told.size} sampling frequencies ({told[:3]}); expected one, in Hz.")
    if (rate := float(told[0])) <= 0:
        raise ValueError(f"{path} does not say its sampling frequency: give sampling_frequency.")
    axis = int(np.argmax(signal.shape))
    n_channels = signal.size // signal.shape[axis]
    channels = [str(name) for name in np.ravel(said.get("channels", range(n_channels)))]
    units = [str(unit) for unit in np.ravel(said.get("units", [""] * n_channels))]
    if not len(channels) == len(units) == n_channels:
        raise ValueError(f"{path} names {len(channels)} channels and {len(units)} units for {n_channels} columns.")
    samples = np.ravel(said.get("sample", []))
    if samples.dtype.kind == "f" and len(cut := samples[np.isfinite(samples) & (samples != np.rint(samples))]):
        expected = "expected whole samples of its signal: seconds times sampling_frequency, rounded"
        raise ValueError(f"{path} has an event at sample {cut[0]:g}; {expected}.")
    symbols = np.ravel(said.get("symbol", [""] * len(samples)))
    durations = np.ravel(said.get("duration", np.zeros(len(samples))))
    if not len(samples) == len(symbols) == len(durations):
        n = f"{len(samples)} samples, {len(symbols)} symbols and {len(durations)} durations"
        raise ValueError(f"{path} has events of {n}; expected as many of each.")
    return Contents(
        channels=channels,
        units=units,
        rates=[rate] * n_channels,
        lengths=[signal.shape[axis]] * n_channels,
        read=partial(of_array, path if isinstance(signal, np.memmap) else signal, axis),
        events=[(float(s) / rate, str(t), float(d)) for s, t, d in zip(samples, symbols, durations, strict=True)],
        person=str(said["person"]) if "person" in said else None,
        start_time=str(said["start_time"]) if "start_time" in said else None,
    )


def of_array(source: np.ndarray | Path, axis: int, columns: list[int], start: int, stop: int) -> np.ndarray:
    """Samples of an array, or of one in a file, whose time is this axis."""
    values = read_array(source) if isinstance(source, Path) else source
    values = values[:, None] if values.ndim == 1 else values.T if axis == 1 else values
    values = values[start:stop, columns]
    return np.asarray(values, dtype=np.float32 if values.dtype.kind == "f" and values.itemsize <= 4 else np.float64)


def _archive(path: Path) -> dict[str, Any]:
    with told_by(path, "cannot be read (pickled, or cut off?)"):
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > _INFLATED and size > _TIMES * path.stat().st_size:
            raise ValueError(f"its {path.stat().st_size} bytes inflate to {size}")
        with np.load(path, allow_pickle=False) as arrays:
            said = {name: np.asarray(arrays[name]) for name in arrays.files}
    if "signal" not in said:
        signals = [name for name, array in said.items() if array.dtype.kind in "fiu" and array.size > 1]
        if len(signals) != 1:
            raise ValueError(f"{path} holds {listing(said)}; expected an array 'signal'.")
        said["signal"] = said.pop(signals[0])
    return said
