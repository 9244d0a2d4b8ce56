"""The files of one recording of a data set: pieces without gaps, resampled, with their targets."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from neurallib.files import read_json, write_json
from neurallib.formats import DATASET, check_format
from neurallib.reading import is_file_name
from neurallib.signals.arrays import write_array
from neurallib.signals.conversion import ratio_of
from neurallib.signals.dataset_sources import First, as_signal, at_rate, cut_recording, like_first, read_source
from neurallib.signals.dataset_targets import Place, Target, has_labels, target_of
from neurallib.signals.recording_parts import runs_where
from neurallib.signals.recordings import Recording

MANIFEST = "manifest.json"
PARTS = ("train", "val", "test")
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
    first: First


def make_files(job: Job) -> dict[str, Any]:
    """Write the files of a recording; what the manifest says of it.

    Raises
    ------
    ValueError
        If the recording cannot be read, or its target does not fit; names it.
    """
    recording = read_source(job.name, job.source, job.reading)
    recording = like_first(recording, job.name, job.first, asked=job.reading.get("channels") is not None)
    own, rate = recording["sampling_frequency"], job.settings["sampling_frequency"] or recording["sampling_frequency"]
    recording["signal"] = signal = as_signal(recording["signal"], job.name)
    files: dict[str, list[float]] = {}
    one_label, mixed = job.settings["window"] is not None and not job.settings["each_window"], False
    stretches = runs_where(signal, lambda rows: np.isfinite(rows).all(axis=1)).tolist()
    for start, stop in stretches:
        if len(stretches) > 1 and stop - start < LEAST * own:
            continue
        piece = at_rate(cut_recording(recording, start, stop), rate)
        mixed = mixed or one_label and has_labels(job.target, piece)
        for a, b, y in _windows(job, piece, Place(start, stop, ratio_of(rate, own), len(signal))):
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
        "mixed": mixed,  # its windows have one label, and it has several
        "says_person": recording["person"],
        "made_from": job.settings,
        "files": files,
    }


def entries_in(root: Path) -> dict[str, Any]:
    """What the manifest of a folder says of each recording, None where it is not finished; nothing without one.

    Raises
    ------
    ValueError
        If it is none that `make_dataset` wrote, or a later version of it did; names the file.
    """
    file = root / MANIFEST
    if not file.is_file():
        return {}
    held = read_json(file)
    check_format(held.get("format", 1), DATASET, file)
    entries = held.get("recordings")
    if not isinstance(entries, dict):
        raise ValueError(f"{file} holds no recordings by name: make_dataset did not write it.")
    for name, entry in entries.items():
        if entry is not None and not _is_entry(entry):
            raise ValueError(f"{file} says of {name!r} what make_dataset never does: remove it, or make a new folder.")
    return entries


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or not {"says_person", "made_from", "window", "files"} <= entry.keys():
        return False
    files, window = entry["files"], entry["window"]
    if not isinstance(files, dict) or not isinstance(entry["made_from"], dict) or "stamp" not in entry["made_from"]:
        return False
    texts = (entry.get("channels"), entry.get("units"), [entry.get("person")], list(files))
    numbers = (entry.get("sampling_frequency"), 1 if window is None else window)
    return (
        all(isinstance(some, list) and all(isinstance(text, str) for text in some) for some in texts)
        and all(isinstance(number, (int, float)) and 0 < number < 1e10 for number in numbers)
        and all(map(is_file_name, files))
        and entry.get("part") in PARTS
    )


def is_made(job: Job, entry: Any) -> bool:
    """Whether a recording's files are there, and would be the same."""
    if not entry or [entry["made_from"], entry["person"], entry["part"]] != [job.settings, job.person, job.part]:
        return False
    return all((job.root / side / job.part / file).is_file() for side in "xy" for file in entry["files"])


def dataset_said(path_x: Path) -> dict[str, Any]:
    """What the manifest beside a folder x says that all its signals share: "sampling_frequency", "channels", "units",
    and "window" in steps; nothing where there is none."""
    entries = [entry for entry in entries_in(path_x.parent).values() if entry and entry["files"]]
    names = ("sampling_frequency", "channels", "units", "window")
    said = {name: [entry[name] for entry in entries] for name in names if entries}
    shared = {name: values[0] for name, values in said.items() if all(value == values[0] for value in values)}
    if not all(shared.get("units") or [""]):
        shared.pop("units", None)
    window, rate = shared.pop("window", None), shared.get("sampling_frequency")
    return shared | ({"window": round(window * rate)} if window and rate else {})


def write_manifest(file: Path, recordings: Mapping[str, Any]) -> None:
    """Write it, atomically."""
    write_json(file, {"format": DATASET, "recordings": dict(recordings)})


def _windows(job: Job, piece: Recording, place: Place) -> Iterator[tuple[int, int, np.ndarray]]:
    """From, to, and the target of each file that a piece without gaps gives."""
    n_steps, rate = len(piece["signal"]), piece["sampling_frequency"]
    window, whole = job.settings["window"], None
    size = n_steps if window is None else max(1, round(window * rate))
    stride = max(1, round(size * (1 - job.settings["overlap"])))
    starts = range(0, n_steps - size + 1, stride)
    for start in starts:
        stop = start + size
        if job.settings["each_window"]:
            y = target_of(job.target, job.name, cut_recording(piece, start, stop), place._replace(first=start))
        else:
            if whole is None:
                whole = target_of(job.target, job.name, piece, place._replace(n_windows=len(starts)))
            y = whole[start:stop] if whole.ndim and len(whole) == n_steps else whole
        # What is no class has an axis of outputs, as training expects it.
        yield start, stop, y[..., None] if y.dtype.kind == "f" and y.shape in ((), (size,)) else y
