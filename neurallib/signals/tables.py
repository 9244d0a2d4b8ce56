"""Recordings as tables of numbers: CSV and other text, with or without names and a time column; .npy and .npz."""

from __future__ import annotations

import datetime
import re
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from neurallib.checks import choice
from neurallib.names import listing
from neurallib.reading import told_by
from neurallib.signals.arrays import read_array
from neurallib.signals.lazy import Contents, picked
from neurallib.signals.one_rate import at_one_rate
from neurallib.signals.table_lines import (
    CLOCKS, EPOCH, Table, is_text, label_events, layout, numbers_of, steps_of, texts_of,
)  # fmt: skip
from neurallib.signals.uneven import of_packets, on_a_grid
from neurallib.warn import warn

TIMES = re.compile(
    r".*time ?stamp.*|t|ms|secs?|seconds?|date|utc|(unix ?|elapsed ?|seconds? ?)?(date ?)?(time|elapsed)( ?elapsed)?"
)
COUNTS = re.compile(r"|#|n|i|idx|row|line|index|unnamed.*|samples?( ?(#|no|number|index))?", re.IGNORECASE)
WITH_UNIT = re.compile(r"(.+?)\s*[(\[]\s*((?:[^()\[\]]|\([^()]*\))*?)\s*[)\]]")
SLOW = 0.5  # Hz: below, a clock that says no unit perhaps counts no seconds
_LOGGED = (30, 60, 300, 600, 900, 1800, 3600)  # seconds, as between epochs of sleep or values of glucose
OF_DAY = re.compile(r"(\d+:)?\d+:\d+(\.\d+)?")  # hours, minutes and seconds, or the last two
_INFLATED, _TIMES = 1 << 26, 200  # bytes of an archive's arrays, and that to its own, beyond which it is no recording


def read_table(
    path: Path, sampling_frequency: float | None, time: Any = None, labels: Any = None, channels: Any = None
) -> Contents:
    """What a text of numbers holds: a line a sample, a column a channel; events are the runs of the column `labels`, or
    of the ones of several. Only `channels` are read, the others are nan."""
    table = layout(path)
    told = table.rate or sampling_frequency
    heads = [_name_and_unit(name) for name in table.names] or [(str(i), "") for i in range(table.n_columns)]
    names = [name for name, _ in heads]
    label_columns = [] if labels is None else picked(labels, names, str(path))
    clocks, clock = _clock_columns(table, heads, time, guess=told is None)
    if not clocks and told is None:
        raise ValueError(f"{path} has no time column that is known as one: give sampling_frequency, or time=its name.")
    columns = [i for i in range(table.n_columns) if i not in clocks + label_columns]
    if not columns:
        raise ValueError(f"{path} holds no signal beside its time.")
    columns = [i for i in columns if not _counts_lines(table, names, i)] or columns
    asked = picked(channels, [names[i] for i in columns], str(path))
    signal, start_time = _signal(table, names, [columns[k] for k in asked]), None
    values = np.full((len(signal), len(columns)), np.nan)
    values[:, asked] = signal
    if clocks:
        with told_by(path, "cannot be read"):
            times, start_time = _seconds(table, clocks[0], clock)
            times = of_packets(signal, times)
            values, rate = on_a_grid(values, times, sampling_frequency, str(path))
        is_odd = rate < SLOW and round(1 / rate, 2) not in _LOGGED
        if is_odd and clock is None and sampling_frequency is None and start_time is None:
            name, unit = names[clocks[0]], next((each for each in ("ms", "us") if rate > SLOW * CLOCKS[each]), "ns")
            warn(f"{path} is read as {rate:.3g} Hz: {name!r} says no unit of time. Is it time=({name!r}, {unit!r})?")
        times = times - times[0]
    else:
        rate = float(told or 0)
        start_time = None if table.began is None else _since_1970(table.began)
        times = np.arange(len(values)) / rate
    contents = Contents(
        channels=[names[k] for k in columns],
        units=[heads[k][1] for k in columns],
        rates=[rate] * len(columns),
        lengths=[len(values)] * len(columns),
        read=partial(_of_array, values, 0),
        events=label_events([(names[i], texts_of(table, i)) for i in label_columns], times, 1 / rate, str(path)),
        start_time=start_time,
    )
    if sampling_frequency is not None and rate != sampling_frequency:
        return at_one_rate(contents, float(sampling_frequency))
    return contents


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
        read=partial(_of_array, path if isinstance(signal, np.memmap) else signal, axis),
        events=[(float(s) / rate, str(t), float(d)) for s, t, d in zip(samples, symbols, durations, strict=True)],
        person=str(said["person"]) if "person" in said else None,
        start_time=str(said["start_time"]) if "start_time" in said else None,
    )


def is_table(path: Path) -> bool:
    """Whether a text file looks like a table of numbers."""
    try:
        return bool(layout(path))
    except (ValueError, OSError):
        return False


def _of_array(source: np.ndarray | Path, axis: int, columns: list[int], start: int, stop: int) -> np.ndarray:
    values = read_array(source) if isinstance(source, Path) else source
    values = values[:, None] if values.ndim == 1 else values.T if axis == 1 else values
    return np.asarray(values[start:stop, columns], dtype=np.float64)


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


def _signal(table: Table, names: list[str], columns: list[int]) -> np.ndarray:
    """The same of channels; an error that tells which of them hold text, where some do."""
    try:
        return numbers_of(table, columns)
    except ValueError as error:
        texts = [(names[i], text) for i in columns if (text := next(filter(is_text, texts_of(table, i)), None))]
        if not texts:
            raise
        held = listing(f"{name!r} ({text!r})" for name, text in texts)
        raise ValueError(
            f"{table.path} holds text in {held}; expected numbers: channels= names the columns that are signals, "
            "labels= one that holds labels."
        ) from error


def _name_and_unit(name: str) -> tuple[str, str]:
    """("ECG", "mV") of "ECG (mV)"."""
    found = WITH_UNIT.fullmatch(name)
    return (found[1], found[2]) if found else (name, "")


def _counts_lines(table: Table, names: list[str], column: int) -> bool:
    """Whether a column is the number of the line, as pandas writes one and as many recorders do."""
    named = COUNTS.fullmatch(names[column]) if table.names else column == 0
    return bool(named) and bool((steps_of(table, column) == 1).all())


def _clock_columns(table: Table, heads: list[tuple[str, str]], time: Any, guess: bool) -> tuple[list[int], str | None]:
    """The columns that are clocks, the one that is used first, and the unit of that one where it is known."""
    names = [name for name, _ in heads]
    plain = [re.sub(r"[_\s-]+", " ", re.sub(r"[_ ](ms|us|ns|s)$", "", name.lower())).strip() for name in names]
    known = [i for i, name in enumerate(plain) if table.names and TIMES.fullmatch(name)]
    known.sort(key=lambda i: plain[i] == "date")  # beside a clock of the day it does not move on
    unit = None
    if time is not None:
        time, unit = time if isinstance(time, tuple) else (time, None)
        first = picked([time], names, str(table.path))[0]
        known = [first, *(i for i in known if i != first)]
    elif not table.names and guess and table.n_columns > 1:
        steps = steps_of(table, 0)
        known = [0] if (steps > 0).all() and (steps != 1).any() else []  # a clock; lines go up by 1
    if unit is None and known:
        said = re.search(r"(?:^|[_ ])(ms|us|ns|s|sec|seconds)$", names[known[0]].lower())
        unit = heads[known[0]][1] or (said[1] if said else None)
        unit = None if unit and ":" in unit else unit  # "hh:mm:ss" is how its texts are written
    if unit is not None:
        choice(f"the unit of the time column of {table.path}", unit.lower(), CLOCKS)
    return known, unit


def _seconds(table: Table, column: int, unit: str | None) -> tuple[np.ndarray, str | None]:
    """A clock in seconds, and the date and time of its begin where it tells them."""
    try:
        times = numbers_of(table, [column])[:, 0]
    except ValueError as error:
        told = texts_of(table, column)
        if all(map(OF_DAY.fullmatch, told)):
            parts = [text.split(":") for text in told]
            times = np.array([sum(float(part) * 60.0**k for k, part in enumerate(row[::-1])) for row in parts])
            round_ = 24 * 3600.0 if len(parts[0]) == 3 else 3600.0  # midnight, or the full hour, is no way back
            return times - times[0] + round_ * np.cumsum(np.diff(times, prepend=times[0]) < -round_ / 2), None
        texts = [re.sub(r"\s*(Z|UTC|[+-]\d\d:?\d\d)$", "", text) for text in told]
        try:
            moments = np.array(texts, dtype="datetime64[ns]")
        except ValueError:
            strange = next((text for text in told if is_text(text)), told[0])
            expected = "numbers, hours:minutes:seconds, or a date as in 2024-05-31 13:59:50.25"
            raise ValueError(f"its time column holds {strange!r}; expected {expected}.") from error
        return (moments - moments[0]).astype(np.int64) * 1e-9, str(moments[0].astype("datetime64[ms]"))
    # A clock that counts from 1970 shows its unit by its size.
    by_size = next((size for least, size in ((1e17, 1e-9), (1e14, 1e-6), (1e11, 1e-3)) if times[0] > least), 1.0)
    scale = by_size if unit is None else CLOCKS[unit.lower()]
    start = None
    if times[0] * scale > EPOCH:
        start = _since_1970(times[0] * scale)
    return (times - times[0]) * scale, start


def _since_1970(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).isoformat()
