"""The manifest of a folder that `make_dataset` made: what it says of the signals, to training and to testing alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from neurallib.files import read_json, write_json
from neurallib.formats import DATASET, check_format
from neurallib.reading import is_file_name
from neurallib.signals.conversion import Handed, conversion, handed_to, ratio_of
from neurallib.signals.folders import SignalFolder
from neurallib.state import State
from neurallib.tasks import describe

MANIFEST = "manifest.json"
PARTS = ("train", "val", "test")
SAID = ("sampling_frequency", "channels", "units")


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


def write_manifest(file: Path, recordings: Mapping[str, Any]) -> None:
    """Write it, atomically."""
    write_json(file, {"format": DATASET, "recordings": dict(recordings)})


def said_of(data: Any, told: Mapping[str, Any]) -> dict[str, Any]:
    """What is told of signals by name, and where that is None what the manifest of their folder says that all of its
    signals share: "sampling_frequency", "channels", "units", and "window" in steps."""
    said = _shared(_entries_of(data))
    return {name: said.get(name) if value is None else value for name, value in told.items()}


def with_said(data: Any, told: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """What is to be trained on, which knows its window, and what is told of it as `said_of` tells it."""
    window = getattr(data, "window", None)
    said = said_of(data, {name: told.get(name) for name in SAID} | {"window": window})
    window = said.pop("window")
    if isinstance(data, SignalFolder):
        data = data[:]
        data.window = window
    return data, said


def outputs_said(data: Any, n_outputs: int) -> list[str] | None:
    """What the manifest of a folder says that so many outputs are called, if it does."""
    said = [entry.get("outputs") for entry in _entries_of(data)]
    return said[0] if said and said[0] and len(said[0]) == n_outputs and said.count(said[0]) == len(said) else None


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
    """What is done with data of which this is told and which are not resampled, for their targets are not either.

    Raises
    ------
    ValueError
        If their rate is told, and is not the state's.
    """
    said, own = said_of(data, told), state["preprocessing"]["sampling_frequency"]
    rate = said["sampling_frequency"]
    if rate is not None and own is not None and ratio_of(own, rate) != 1:
        raise ValueError(f"{name} are of {rate:g} Hz, as the manifest of their folder says; expected {own:g} Hz.")
    n_features = describe(state).n_features
    return Handed(conversion(state["preprocessing"], n_features, None, said["channels"], said["units"]))


def people_said(data: Any) -> list[str] | None:
    """The person of each item of a folder, as its manifest says, of a file that it does not name the file's own; of
    data in memory what they say themselves; None where nobody says it."""
    told = {Path(file).stem: entry["person"] for entry in _entries_of(data) for file in entry["files"]}
    return [told.get(path.stem, path.stem) for path in data.paths_x] if told else getattr(data, "people_of_items", None)


def _entries_of(data: Any) -> list[dict[str, Any]]:
    """What the manifest of an opened folder says of each recording that has files; nothing of data of another kind."""
    if not isinstance(data, SignalFolder) or len(data) == 0:
        return []
    path_x = data.paths_x[0].absolute().parents[1]
    return [entry for entry in entries_in(path_x.parent).values() if entry and entry["files"]]


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
