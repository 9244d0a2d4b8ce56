"""Recordings as tables of numbers: CSV and other text, whose columns are channels, clocks, or labels, their events."""

from __future__ import annotations

import datetime
import itertools
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from neurallib.checks import choice
from neurallib.names import listing
from neurallib.reading import told_by
from neurallib.signals.contents import Contents, at_one_rate, picked
from neurallib.signals.numpy_files import of_array
from neurallib.signals.table_lines import (
    CLOCKS, EPOCH, MISSING, Table, is_number, is_text, layout, numbers_of, steps_of, texts_of,
)  # fmt: skip
from neurallib.signals.uneven import of_packets, on_a_grid
from neurallib.warn import warn

TIMES = re.compile(
    r".*time ?stamp.*|t|ms|secs?|seconds?|date|utc|(unix ?|elapsed ?|seconds? ?)?(date ?)?(time|elapsed)( ?elapsed)?"
)
UNITS = "(ms|us|ns|s|sec|seconds)"  # behind a clock's name
COUNTS = re.compile(r"|#|n|i|idx|row|line|index|unnamed.*|samples?( ?(#|no|number|index))?", re.IGNORECASE)
WITH_UNIT = re.compile(r"(.+?)\s*[(\[]\s*((?:[^()\[\]]|\([^()]*\))*?)\s*[)\]]")
SLOW = 0.5  # Hz: below, a clock that says no unit perhaps counts no seconds
_NOTES = 500  # lines; a signal has as many in some seconds
_LOGGED = (30, 60, 300, 600, 900, 1800, 3600, 86400)  # seconds, as between epochs of sleep or values of glucose
OF_DAY = re.compile(r"(\d+:)?\d+:\d+(\.\d+)?")  # hours, minutes and seconds, or the last two


def read_table(
    path: Path, sampling_frequency: float | None, time: Any = None, labels: Any = None, channels: Any = None
) -> Contents:
    """What a text of numbers holds: a line a sample, a column a channel; events are the runs of the column `labels`, or
    of the ones of several. Only `channels` are read, the others are nan."""
    table = layout(path)
    told = table.rate or sampling_frequency
    heads = [_name_and_unit(name) for name in table.names] or [(str(i), "") for i in range(table.n_columns)]
    names = [name for name, _ in heads]
    label_columns = [] if labels is None else picked(labels, names, str(path), "labels")[0]
    clocks, clock = _clock_columns(table, heads, time, guess=told is None)
    if not clocks and told is None:
        raise ValueError(f"{path} has no time column that is known as one: give sampling_frequency, or time=its name.")
    columns = [i for i in range(table.n_columns) if i not in clocks + label_columns]
    if not columns:
        raise ValueError(f"{path} holds no signal beside its time.")
    columns = [i for i in columns if not _counts_lines(table, names, i)] or columns
    asked, _ = picked(channels, [names[i] for i in columns], str(path))
    signal, start_time = _signal(table, names, [columns[k] for k in asked]), None
    if not table.names and len(signal) < len(columns):
        expected = "expected a line a sample, a column a channel: hand in its transpose, numpy.loadtxt(...).T"
        raise ValueError(f"{path} has more columns than lines, {table.n_columns} and {len(signal)}; {expected}.")
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
        read=partial(of_array, values, 0),
        events=_label_events([(names[i], texts_of(table, i)) for i in label_columns], times, 1 / rate, str(path)),
        start_time=start_time,
    )
    if sampling_frequency is not None and rate != sampling_frequency:
        return at_one_rate(contents, float(sampling_frequency))
    return contents


def is_table(path: Path, n_recordings: int = 0) -> bool:
    """Whether a text file looks like a table of numbers, and beside recordings has more lines than such as tell of
    these, of labels, people or events."""
    least = n_recordings + _NOTES if n_recordings else 0
    try:
        with open(path, "rb") as file:  # first, as it takes a fraction of the time
            return sum(1 for _ in itertools.islice(file, least + 1)) > least and bool(layout(path))
    except (ValueError, OSError):
        return False


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
    plain = [re.sub(r"[_\s-]+", " ", re.sub(rf"[_ ]{UNITS}$", "", name.lower())).strip() for name in names]
    known = [i for i, name in enumerate(plain) if table.names and TIMES.fullmatch(name)]
    known.sort(key=lambda i: plain[i] == "date")  # beside a clock of the day it does not move on
    unit = None
    if time is not None:
        time, unit = time if isinstance(time, tuple) and len(time) == 2 else (time, None)
        (first,), _ = picked([time], names, str(table.path), "time")
        known = [first, *(i for i in known if i != first)]
    elif not table.names and guess and table.n_columns > 1:
        steps = steps_of(table, 0)
        known = [0] if (steps > 0).all() and (steps != 1).any() else []  # a clock; lines go up by 1
    if unit is None and known:
        said = re.search(rf"(?:^|[_ ]){UNITS}$", names[known[0]].lower())
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


def _label_events(
    columns: Sequence[tuple[str, list[str]]], times: np.ndarray, period: float, source: str
) -> list[tuple[float, str, float]]:
    """Events (s, symbol, s it lasts) of columns, each with its name and a text a line, at `times` [T]: the runs of one
    value of one column; of several the runs of 1 of each, by its name, or ValueError where they hold more than 0 and 1.
    """
    if len(columns) == 1:
        return _label_runs(columns[0][1], times, period)
    found = [event for name, texts in columns for event in _label_runs(_named(name, texts, source), times, period)]
    return sorted(found, key=lambda event: event[0])


def _named(name: str, texts: list[str], source: str) -> list[str]:
    """The name of a column where it says yes, else nothing."""
    said = {text: _yes(text.lower()) for text in set(texts)}
    if wrong := sorted(text for text, yes in said.items() if yes is None):
        raise ValueError(
            f"the column {name!r} of {source} holds {listing(map(repr, wrong))}; several labels are columns of 0 and 1 "
            "that may hold together: expected these, or labels= one column, whose values are the labels."
        )
    return [name if said[text] else "" for text in texts]


def _yes(word: str) -> bool | None:
    """Yes or no, no where nothing stands; None of what is neither."""
    if word in ("true", "false") or word in MISSING:
        return word == "true"
    try:
        return {0.0: False, 1.0: True}.get(float(word.replace(",", ".")))
    except ValueError:
        return None


def _whole(text: str) -> str:
    """"1" of "1.000e+00" and "1,0", as tables write classes among other numbers."""
    value = float(text.replace(",", ".")) if re.search("[.,]", text) and is_number(text) else np.nan
    return f"{value:.0f}" if value.is_integer() else text


def _label_runs(labels: list[str], times: np.ndarray, period: float) -> list[tuple[float, str, float]]:
    """Each run of one label as an event: when it begins, the label, how long it lasts."""
    said = {text: _whole(text) for text in set(labels)}
    labels = [said[text] for text in labels]
    begins = [i for i, label in enumerate(labels) if i == 0 or label != labels[i - 1]]
    ends = [float(times[i]) for i in begins[1:]] + [float(times[-1]) + period]
    return [
        (float(times[i]), labels[i], end - float(times[i])) for i, end in zip(begins, ends, strict=True) if labels[i]
    ]
