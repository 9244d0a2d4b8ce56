"""The manifest of a folder that `make_dataset` made: what it says of the signals, to training and to testing alike."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from neurallib.files import as_plain, atomic_write, read_json
from neurallib.formats import DATASET, check_format
from neurallib.names import listing
from neurallib.reading import is_file_name
from neurallib.signals.conversion import Handed, conversion, handed_to, ratio_of
from neurallib.signals.folders import SignalFolder, as_folder
from neurallib.state import State
from neurallib.tasks import describe

MANIFEST = "manifest.json"
PARTS = ("train", "val", "test")
_LARGEST = 1 << 27  # bytes: a window is about 45
SAID = ("sampling_frequency", "channels", "units")


def entries_in(root: Path) -> dict[str, Any]:
    """What the manifest of a folder says of each recording, None where it is not finished; nothing without one.
    ValueError where it is none that `make_dataset` wrote, or a later version of it did."""
    file = root / MANIFEST
    if not file.is_file():
        return {}
    held = read_json(file, _LARGEST)
    check_format(held.get("format", 1), DATASET, file)
    entries = held.get("recordings")
    if not isinstance(entries, dict):
        raise ValueError(f"{file} holds no recordings by name: make_dataset did not write it.")
    for name, entry in entries.items():
        if entry is not None and not _is_entry(entry):
            raise ValueError(f"{file} says of {name!r} what make_dataset never does: remove it, or make a new folder.")
    return entries


def write_manifest(root: Path, entries: Mapping[str, Any], names: Iterable[str]) -> None:
    """Write it, atomically, a line a recording; None stands for each of some names that is not finished."""
    said = dict.fromkeys(names) | dict(entries)
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(entry, default=as_plain)}" for name, entry in said.items())
    with atomic_write(root / MANIFEST) as temporary:
        temporary.write_text(f'{{"format": {DATASET}, "recordings": {{\n{lines}\n}}}}\n', encoding="utf-8")


def said_of(data: Any, told: Mapping[str, Any]) -> dict[str, Any]:
    """What is told of signals by name, and where that is None what the manifest of their folder says that all of its
    signals share: "sampling_frequency", "channels", "units", and "window" in steps."""
    entries = [entry for of_one in _entries_of(data).values() for entry in of_one]
    for name in ("sampling_frequency", "channels"):  # of which those of one folder have the same
        values = dict.fromkeys(repr(entry[name]) for entry in entries)
        if told.get(name, "") is None and len(values) > 1:
            raise ValueError(f"the folders that were put together have {name} {listing(values)}; expected the same.")
    said = _shared(entries)
    return {name: said.get(name) if value is None else value for name, value in told.items()}


def with_said(data: Any, told: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """What is to be trained on, which knows its window, and what is told of it as `said_of` tells it."""
    window = getattr(data := as_folder(data), "window", None)
    said = said_of(data, {name: told.get(name) for name in SAID} | {"window": window})
    window = said.pop("window")
    if isinstance(data, SignalFolder):
        data = data[:]
        data.window = window
    return data, said


def outputs_said(data: Any, n_outputs: int) -> list[str]:
    """What the manifest of a folder says that outputs are called, if it does; of two classes one output may be all."""
    said = [entry.get("outputs") for entries in _entries_of(data).values() for entry in entries]
    names = list(said[0] or ()) if said and said.count(said[0]) == len(said) else []
    return names[1:] if len(names) == 2 and n_outputs == 1 else names


def handed_of(
    state: State,
    data: Any,
    sampling_frequency: float | None = None,
    channels: Sequence[str] | None = None,
    units: Sequence[str] | str | None = None,
) -> Handed:
    """What a state that is applied does with data of which this is said; by default what their manifest says."""
    said = said_of(data, dict(zip(SAID, (sampling_frequency, channels, units), strict=True)))
    if state["preprocessing"]["sampling_frequency"] is None:  # then there is nothing to hold a manifest's against
        said["sampling_frequency"] = sampling_frequency
    return handed_to(state, **said)


def handed_at_rate(state: State, data: Any, name: str, told: Mapping[str, Any]) -> Handed:
    """What is done with data of which this is told and which are not resampled, for their targets are not either:
    ValueError where their rate is told and is not the state's."""
    said, own = said_of(data, told), state["preprocessing"]["sampling_frequency"]
    rate = said["sampling_frequency"]
    if rate is not None and own is not None and ratio_of(own, rate) != 1:
        raise ValueError(f"{name} are of {rate:g} Hz, as the manifest of their folder says; expected {own:g} Hz.")
    n_features = describe(state).n_features
    return Handed(conversion(state["preprocessing"], n_features, None, said["channels"], said["units"]))


def people_said(data: Any) -> list[str] | None:
    """The person of each item of a folder, as its manifest says, of a file that it does not name the file's own; of
    data in memory what they say themselves; None where nobody says it."""
    told = {
        (parent, Path(file).stem): entry["person"]
        for parent, entries in _entries_of(data).items()
        for entry in entries
        for file in entry["files"]
    }
    if not told:
        return getattr(data, "people_of_items", None)
    return [told.get((path.parent, path.stem), path.stem) for path in as_folder(data).paths_x]


def _entries_of(data: Any) -> dict[Path, list[dict[str, Any]]]:
    """What the manifest of an opened folder, or of each that was put together, says of every recording that has files,
    by where its signals lie; nothing where one has none, or of data of another kind."""
    if not isinstance(folder := as_folder(data), SignalFolder):
        return {}
    parents = dict.fromkeys(path.parent for path in folder.paths_x)
    held = {parent: entries_in(parent.absolute().parents[1]).values() for parent in parents}
    said = {parent: [entry for entry in entries if entry and entry["files"]] for parent, entries in held.items()}
    return said if all(said.values()) else {}


def _shared(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    said = {name: [entry[name] for entry in entries] for name in (*SAID, "window") if entries}
    shared = {name: values[0] for name, values in said.items() if all(value == values[0] for value in values)}
    if not all(shared.get("units") or [""]):
        shared.pop("units", None)
    window, rate = shared.pop("window", None), shared.get("sampling_frequency")
    return shared | ({"window": round(window * rate)} if window and rate else {})


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
