"""The recordings of a data set: by name, as they are asked for, with channels and units as the first has them."""

from __future__ import annotations

import bisect
import itertools
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from neurallib.checks import as_list, as_path
from neurallib.functions import content_sum
from neurallib.names import listing
from neurallib.reading import is_file_name
from neurallib.signals.arrays import check_plain
from neurallib.signals.contents import SeveralRates, events_between, in_units, later, picked
from neurallib.signals.conversion import ratio_of, resampled
from neurallib.signals.recording_parts import complete
from neurallib.signals.recordings import Recording, list_recordings, read_recording
from neurallib.warn import warn


class First(NamedTuple):
    """What the first recording says of its signal, which the others are to be like."""

    name: str
    channels: list[str]
    units: list[str]
    rate: float


def named_sources(recordings: Any) -> dict[str, Any]:
    """The recordings by their names; paths stay paths, so that one is in memory at a time."""
    if isinstance(recordings, (str, os.PathLike)):
        recordings = list_recordings(recordings)
    recordings = as_list(recordings)
    check_plain(recordings, "recordings")
    if isinstance(recordings, Mapping):
        if "signal" in recordings:
            raise TypeError("recordings is one recording; expected a list of them.")
        pairs = list(recordings.items())
    elif isinstance(recordings, Sequence):
        pairs = [(_name(item, i), item) for i, item in enumerate(recordings)]
    else:
        raise TypeError(f"recordings is a {type(recordings).__name__}; expected a folder, or a list of recordings.")
    if not pairs:
        raise ValueError("recordings is empty; expected some.")
    names = [name for name, _ in pairs]
    if twice := sorted(str(name) for name, n in Counter(names).items() if n > 1):
        raise ValueError(f"recordings holds {listing(twice)} twice; give them by names of their own: {{name: path}}.")
    if wrong := [name for name in names if not isinstance(name, str) or name[:1] == "." or not is_file_name(name)]:
        raise ValueError(f"recordings has the name {wrong[0]!r}; expected one that a file can have.")
    return {name: complete(item, f"recording {name!r}") if isinstance(item, Mapping) else item for name, item in pairs}


def _name(item: Any, i: int) -> str:
    if isinstance(item, Mapping) and isinstance(item.get("name"), str):
        return str(item["name"])
    check_plain(item, f"recordings[{i}]")
    if not isinstance(item, (str, os.PathLike)):
        raise TypeError(f"recordings[{i}] is a {type(item).__name__}; expected a path, or a recording with a name.")
    path = as_path("recordings", item)
    return path.stem if path.is_file() else path.name


def first_of(sources: Mapping[str, Any], reading: Mapping[str, Any], rate: float | None) -> First:
    """What the first of some recordings says of its signal, as it is asked for; the signal itself is not read."""
    unread = [option for option in reading if option not in ("channels", "units")]
    if unread and all(isinstance(source, Mapping) for source in sources.values()):
        raise ValueError(f"read_options has {listing(unread)}; recordings in memory are read already: leave it out.")
    name, source = next(iter(sources.items()))
    if isinstance(source, Mapping):
        read = read_source(name, {**source, "signal": source["signal"][:1]}, reading, rate)
    else:
        read = read_source(name, source, {**reading, "lazy": True}, rate)
    return First(name, read["channels"], read["units"], float(read["sampling_frequency"]))


def read_source(name: str, source: Any, reading: Mapping[str, Any], rate: float | None) -> Recording:
    """The recording with the channels and units that are asked for, where they have several rates at the one (Hz) that
    is wanted."""
    if isinstance(source, Mapping):
        return _of_memory(name, source, reading)
    try:
        return read_recording(source, **reading)
    except SeveralRates:
        if rate is None:
            raise
        return read_recording(source, **{**reading, "sampling_frequency": rate})


def _of_memory(name: str, source: Mapping[str, Any], reading: Mapping[str, Any]) -> Recording:
    columns, names = picked(reading.get("channels"), list(source["channels"]), name)
    units, factors = in_units([source["units"][column] for column in columns], reading.get("units"), name)
    signal = source["signal"][:]
    signal = (signal[:, None] if signal.ndim == 1 else signal)[:, columns]
    signal = signal if factors is None else signal * factors
    return cast(Recording, {**source, "signal": signal, "units": units, "channels": names})


def like_first(recording: Recording, name: str, first: First, asked: bool) -> Recording:
    """The recording with its channels in the order of the first one's, unless they are `asked` for, and in the first
    one's units where both say theirs; ValueError where it has others."""
    names, order = recording["channels"], list(range(len(recording["channels"])))
    if not asked and names != first.channels:
        if sorted(names) != sorted(first.channels) or len(set(names)) < len(names):
            raise ValueError(
                f"{name!r} has the channels {listing(names)}, {first.name!r} has {listing(first.channels)}. Say which "
                "with channels=, one of several names as a tuple: channels=[('EEG C3', 'C3'), 'C4']."
            )
        order = [names.index(each) for each in first.channels]
    units, factors = [recording["units"][column] for column in order], None
    if len(units) == len(first.units):
        wanted = [its if its and own else own for own, its in zip(units, first.units, strict=True)]
        try:
            units, factors = in_units(units, wanted, f"{name!r}")
        except ValueError as error:
            raise ValueError(f"{error} {first.name!r}, the first, has {listing(first.units)}.") from None
    signal = recording["signal"] if order == sorted(order) else recording["signal"][:][:, order]
    signal = signal if factors is None else signal[:] * factors
    ordered = [names[column] for column in order]
    return cast(Recording, {**recording, "signal": signal, "channels": ordered, "units": units})


def check_units(entries: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise ValueError where the units that recordings say differ, of which the first says none; warn where some say
    none."""
    unsaid: dict[str, str] = {}
    for k, channel in enumerate(next(iter(entries.values()))["channels"]):
        units = {name: entry["units"][k] for name, entry in entries.items()}
        said = {unit: name for name, unit in units.items() if unit}
        if len(said) > 1:
            told = listing(f"{unit} in {name!r}" for unit, name in said.items())
            raise ValueError(f"the units of channel {channel!r} differ: {told}. Say which with units=.")
        unsaid |= {name: unit for name, unit in units.items() if said and not unit}
    if unsaid:
        warn(
            f"{len(unsaid)} of {len(entries)} recordings say no unit where others do: {listing(unsaid)}. They are "
            "taken as they come, and what is trained knows no units; units= says which they are."
        )


def stamps_of(sources: Mapping[str, Any]) -> dict[str, str]:
    """What changes when a recording does, by name: sizes and times of its files, or all that one in memory says."""
    listed: dict[Path, list[str]] = {}  # what folders hold, each looked into once
    return {name: _stamp(source, listed) for name, source in sources.items()}


def _stamp(source: Any, listed: dict[Path, list[str]]) -> str:
    if isinstance(source, Mapping):
        signal, beside = source["signal"], {key: value for key, value in source.items() if key != "signal"}
        in_file = None if isinstance(signal, np.ndarray) else source["source"]
        numbers = content_sum(signal) if in_file is None else _stamp(in_file, listed)
        return f"{tuple(signal.shape)} {numbers} {content_sum(beside)}"
    path = as_path("recordings", source)
    if (folder := path.parent) not in listed:
        listed[folder] = sorted(os.listdir(folder)) if folder.is_dir() else []
    begins, names = f"{path.stem if path.is_file() else path.name}.", listed[folder]
    at = bisect.bisect_left(names, begins)
    files = [folder / name for name in itertools.takewhile(lambda name: name.startswith(begins), names[at:])]
    return "; ".join(f"{file.name} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files)


def as_signal(signal: Any, name: str) -> np.ndarray:
    """float32 [T, C]; nan where it is masked."""
    values: np.ndarray = np.asarray(np.ma.filled(np.ma.asarray(signal, dtype=np.float32), np.nan))
    if values.ndim != 2 or not values.size:
        raise ValueError(f"the signal of {name!r} has shape {values.shape}; expected [time, channels].")
    return values


def cut_recording(recording: Recording, start: int, stop: int) -> Recording:
    """The samples `start` to `stop`, with their events, as a recording of its own, whose "onset" says in seconds where
    it begins in the whole."""
    rate, events = recording["sampling_frequency"], recording["events"]
    samples, lasting = events["sample"], events["duration"] * rate
    near = np.flatnonzero((samples < stop) & (samples + lasting > start - 1)).tolist()  # a window is one of thousands
    listed = [(float(samples[i]) / rate, events["symbol"][i], float(events["duration"][i])) for i in near]
    inside = events_between(listed, rate, start, stop)
    whole: Any = recording
    begin = {"onset": whole["onset"] + start / rate, "start_time": later(recording["start_time"], start / rate)}
    return cast(Recording, {**whole, **begin, "signal": recording["signal"][start:stop], "events": inside})


def at_rate(recording: Recording, rate: float) -> Recording:
    """The recording, which has no gaps, resampled (polyphase), its events on the new clock."""
    ratio = ratio_of(rate, recording["sampling_frequency"])
    if ratio == 1:
        return recording
    signal = resampled(recording["signal"], ratio).astype(np.float32)
    samples = np.rint(recording["events"]["sample"] * float(ratio)).astype(np.int64)
    events = {**recording["events"], "sample": np.minimum(samples, len(signal) - 1)}
    return cast(Recording, {**recording, "signal": signal, "sampling_frequency": float(rate), "events": events})
