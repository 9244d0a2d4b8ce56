"""The files of one recording of a data set: pieces without gaps, resampled, with their targets."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from neurallib.functions import array_sum, described, text_sum
from neurallib.signals.arrays import write_array
from neurallib.signals.conversion import ratio_of, resampled
from neurallib.signals.lazy import events_between, in_units, picked
from neurallib.signals.recording_parts import runs_where
from neurallib.signals.recordings import Recording, read_recording

Target = Callable[[Recording], Any] | Mapping[str, Any]
LEAST = 1.0  # seconds: a shorter piece between two gaps is left out


class Job(NamedTuple):
    """What is needed to make the files of one recording, in this process or another."""

    root: Path
    name: str
    source: Any
    person: str
    part: str
    target: Target
    settings: dict[str, Any]  # all that makes a difference, the recording's stamp too
    reading: dict[str, Any]


def make_files(job: Job) -> dict[str, Any]:
    """Write the files of a recording; what the manifest says of it.

    Raises
    ------
    ValueError
        If the recording cannot be read, or its target does not fit; names it.
    """
    recording = _read(job)
    own, rate = recording["sampling_frequency"], job.settings["sampling_frequency"] or recording["sampling_frequency"]
    recording["signal"] = signal = _as_signal(recording["signal"], job.name)
    files: dict[str, list[float]] = {}
    stretches = runs_where(signal, lambda rows: np.isfinite(rows).all(axis=1)).tolist()
    for start, stop in stretches:
        if len(stretches) > 1 and stop - start < LEAST * own:
            continue
        piece = at_rate(cut_recording(recording, start, stop), rate)
        for a, b, y in _windows(job, piece):
            single = len(stretches) == 1 and job.settings["window"] is None
            file = f"{job.name}.npy" if single else f"{job.name}_{len(files):05d}.npy"
            write_array(job.root / "x" / job.part / file, piece["signal"][a:b])
            write_array(job.root / "y" / job.part / file, y)
            files[file] = [start / own + a / rate, start / own + b / rate]
    source = recording["source"]
    return {
        "source": None if source is None else os.fspath(source),
        "person": job.person,
        "part": job.part,
        "sampling_frequency": rate,
        "channels": recording["channels"],
        "units": recording["units"],
        "target": job.settings["target"],
        "window": job.settings["window"],
        "says_person": recording["person"],
        "made_from": job.settings,
        "files": files,
    }


def is_made(job: Job, entry: Any) -> bool:
    """Whether a recording's files are there, and would be the same."""
    if not entry or [entry["made_from"], entry["person"], entry["part"]] != [job.settings, job.person, job.part]:
        return False
    return all((job.root / side / job.part / file).is_file() for side in "xy" for file in entry["files"])


def target_words(target: Target) -> str:
    """A target maker in words that stay the same from run to run, and change with its code."""
    if isinstance(target, Mapping):
        return f"by name, {text_sum(repr(sorted(target.items())))}"
    return described(target)


def stamp_of(source: Any) -> str:
    """What changes when a recording does: sizes and times of its files, or the numbers of one in memory."""
    if isinstance(source, Mapping):
        signal, events = source["signal"], [np.asarray(value).tolist() for value in source["events"].values()]
        in_memory = isinstance(signal, np.ndarray)
        numbers = array_sum(signal) if in_memory else source["source"]
        return f"{tuple(signal.shape)} {numbers} {text_sum(repr(events))} {source['sampling_frequency']}"
    path = Path(source)
    stem = path.stem if path.is_file() else path.name
    there = sorted(path.parent.iterdir()) if path.parent.is_dir() else []
    files = [file for file in there if file.name.startswith(f"{stem}.")]
    return "; ".join(f"{file.name} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files)


def cut_recording(recording: Recording, start: int, stop: int) -> Recording:
    """The samples `start` to `stop`, with their events, as a recording of its own."""
    rate, events = recording["sampling_frequency"], recording["events"]
    listed = [
        (float(sample) / rate, symbol, float(duration))
        for sample, symbol, duration in zip(events["sample"], events["symbol"], events["duration"], strict=True)
    ]
    inside = events_between(listed, rate, start, stop)
    return {**recording, "signal": recording["signal"][start:stop], "events": inside}


def at_rate(recording: Recording, rate: float) -> Recording:
    """The recording, which has no gaps, resampled (polyphase), its events on the new clock."""
    ratio = ratio_of(rate, recording["sampling_frequency"])
    if ratio == 1:
        return recording
    signal = resampled(recording["signal"], ratio).astype(np.float32)
    samples = np.rint(recording["events"]["sample"] * float(ratio)).astype(np.int64)
    events = {**recording["events"], "sample": np.minimum(samples, len(signal) - 1)}
    resampled_: Any = {**recording, "signal": signal, "sampling_frequency": float(rate), "events": events}
    made: Recording = resampled_
    return made


def _read(job: Job) -> Recording:
    """The recording with the channels and units that are asked for."""
    if not isinstance(job.source, Mapping):
        return read_recording(job.source, **job.reading)
    recording: Any = dict(job.source)
    columns = picked(job.reading.get("channels"), list(recording["channels"]), job.name)
    own = [recording["units"][column] for column in columns]
    units, factors = in_units(own, job.reading.get("units"), job.name)
    signal = recording["signal"][:]
    signal = (signal[:, None] if signal.ndim == 1 else signal)[:, columns]
    recording |= {"signal": signal if factors is None else signal * factors, "units": units}
    read: Recording = recording | {"channels": [recording["channels"][column] for column in columns]}
    return read


def _as_signal(signal: Any, name: str) -> np.ndarray:
    """float32 [T, C]; nan where it is masked."""
    values: np.ndarray = np.asarray(np.ma.filled(np.ma.asarray(signal, dtype=np.float32), np.nan))
    if values.ndim != 2 or not values.size:
        raise ValueError(f"the signal of {name!r} has shape {values.shape}; expected [time, channels].")
    return values


def _windows(job: Job, piece: Recording) -> Iterator[tuple[int, int, np.ndarray]]:
    """From, to, and the target of each file that a piece without gaps gives."""
    n_steps, rate = len(piece["signal"]), piece["sampling_frequency"]
    window, whole = job.settings["window"], None
    size = n_steps if window is None else max(1, round(window * rate))
    stride = max(1, round(size * (1 - job.settings["overlap"])))
    for start in range(0, n_steps - size + 1, stride):
        stop = start + size
        if job.settings["each_window"]:
            y = _target(job, cut_recording(piece, start, stop))
        else:
            whole = _target(job, piece) if whole is None else whole
            y = whole[start:stop] if whole.ndim and len(whole) == n_steps else whole
        # What is no class has an axis of outputs, as training expects it.
        yield start, stop, y[..., None] if y.dtype.kind == "f" and y.shape in ((), (size,)) else y


def _target(job: Job, recording: Recording) -> np.ndarray:
    if isinstance(job.target, Mapping):
        if job.name not in job.target:
            raise ValueError(f"target has nothing for {job.name!r}; expected a value for every recording.")
        values = np.asarray(job.target[job.name])
    else:
        values = np.asarray(job.target(recording))
    if values.dtype.kind not in "fiub" or not values.size:
        raise ValueError(f"the target of {job.name!r} is {values.dtype} of shape {values.shape}; expected numbers.")
    if _are_samples(values, len(recording["signal"])):
        raise ValueError(
            f"the target of {job.name!r} is {len(values)} ascending samples of {len(recording['signal'])}, as of beats;"
            " expected what a model is to say of each sample: event_target and peak_labels mark events."
        )
    return values


def _are_samples(values: np.ndarray, n_steps: int) -> bool:
    """Whether they can hardly be anything but moments of a signal."""
    few = values.ndim != 1 or len(values) < 8 or len(values) == n_steps or values.dtype.kind not in "iu"
    return not few and 0 <= values[0] and values[-1] < n_steps and bool((np.diff(values.astype(np.int64)) > 0).all())
