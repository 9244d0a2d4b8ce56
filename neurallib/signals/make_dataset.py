"""From recordings to the x / y folders that training reads: parts by person, and a manifest of what each file is."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from neurallib.checks import as_folder, boolean, integer, number
from neurallib.files import sweep
from neurallib.names import hinted, listing
from neurallib.signals.annotations import Looked, tell_unwanted, unwanted
from neurallib.signals.arrays import BRIDGED, by_label
from neurallib.signals.conversion import ratio_of
from neurallib.signals.dataset_files import LEAST, Job, is_made, made
from neurallib.signals.dataset_sources import check_units, first_of, named_sources, read_source, stamps_of
from neurallib.signals.dataset_targets import Target, channels_of, check_target, target_words
from neurallib.signals.manifest import MANIFEST, PARTS, entries_in, write_manifest
from neurallib.signals.people import ByName, Size, people_of, split_people
from neurallib.signals.plausibility import Far, tell_drift, tell_far
from neurallib.signals.recordings import Recording
from neurallib.warn import warn

_SECONDS = 5.0  # between two times that a manifest is written
Source = str | os.PathLike[str] | Recording | Mapping[str, Any]


@hinted
def make_dataset(
    recordings: str | os.PathLike[str] | Sequence[Source] | Mapping[str, Source],
    directory: str | os.PathLike[str],
    *,
    target: Target | str | Sequence[str],
    window: float | None = None,
    overlap: float = 0.0,
    each_window: bool = False,
    sampling_frequency: float | None = None,
    channels: Sequence[Any] | str | int | None = None,
    units: Sequence[str] | str | None = None,
    val: Size | None = None,
    test: Size | None = None,
    person: ByName | None = None,
    seed: int = 42,
    read_options: Mapping[str, Any] | None = None,
    n_workers: int = 1,
    enable_progress_bar: bool = True,
) -> Path:
    """Write recordings and their targets as the folders that training reads: directory/x/PART/NAME.npy, and y.

    No person is in two parts. A file lies between two gaps (nan); over half a second and less a line is drawn, as by
    `predict_recording`. What is there and would be the same is not made again: a run that was stopped goes on. What is
    no longer wanted is taken away.

    Parameters
    ----------
    recordings : path, sequence or mapping
        A folder; or paths and recordings, by themselves or by the names that they are to have. A recording in memory
        needs its "signal" and "sampling_frequency", and a "name" where it is not given by one. Of a folder for each
        class or person: {f"{path.parent.name}_{path.stem}": path for path in Path("data").glob("*/*.npy")}.
    directory : path
        Where to write; a new or empty folder, or one that this function made.
    target : function, mapping, str or list of str
        Of a recording, as it is written (resampled, without gaps): its target, an output a sample [T] or [T, K], or one
        for all of it, a number, [K] or [1, K]; classes of all samples of the source are cut and resampled with it.
        `event_target`, `interval_target` or `label_target`, with options as
        functools.partial(nl.event_target, width=0.1), or a function of your own. A mapping: one for each name, as a
        column or frame of pandas has whose index are the names. Names: channels, such as "ABP", which are no input.
    window : float, optional
        Seconds; files are windows of so long, and what is left at the end of a recording is left out. By default whole.
    overlap : float
        The share of a window that the next one repeats, in [0, 1).
    each_window : bool
        Whether `target` is asked about each window, as about a recording of its own, whose "onset" says in seconds
        where it begins in the whole, and with which arrays are cut that say something of each sample. What is in the
        file beside `channels`: read_recording(w["source"], channels="ABP", start=w["onset"], stop=w["onset"] + window).
    sampling_frequency : float, optional
        Hz, of what is written, to which channels of different rates are brought too; by default the recordings' own,
        which has to be one.
    channels : list of str, int or tuple, optional
        Which, and in which order; a tuple of names takes the first that is there, and is called by its first name:
        [("MLII", "II"), "V1"]. By default all, which have to have the same names; in the order of the first recording.
    units : str or list of str, optional
        What to convert them to; by default to those of the first recording.
    val, test : float, int, or iterable of persons, optional
        A share of the recordings, how many people, or which ones, as `split_people` takes them: where one is left out,
        its own default of 0.15 (val) and 0.25 (test).
    person : function, mapping, sequence or str, optional
        Who a recording is of, by its name; by default what the recording says, and else each is a person of its own.
    seed : int
        Which people.
    read_options : mapping, optional
        More for `read_recording`, such as {"labels": "gesture"}, or the "sampling_frequency" of files that say none.
    n_workers : int
        Processes; of several a script needs `if __name__ == "__main__":`, and `target` is no lambda.
    enable_progress_bar : bool
        Show the progress.

    Returns
    -------
    Path
        The folder. `manifest.json` in it says of each recording its source, person, part, rate, channels, units, target
        and the range in seconds of each file. Training takes rate, channels, units and window from it, and testing
        all but the window.

    Raises
    ------
    FileNotFoundError, ModuleNotFoundError
        If a recording is missing, or the package that reads it.
    TypeError, ValueError
        If an argument is wrong, a recording cannot be read, lacks a channel or has another rate, other channels or
        units of something else than the first, a name comes twice, a target does not fit, nothing could be written, or
        the folder holds what this function did not make.
    RuntimeError
        If one of several processes ended.

    See Also
    --------
    read_recording : what a recording is.
    split_people : how the parts are found.
    train_from_scratch : takes the folders.

    Examples
    --------
    >>> import functools, tempfile
    >>> import neurallib as nl, numpy as np
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for i in range(4):
    ...         signal, r_peaks = nl.synthetic_ecg(duration=20, sampling_frequency=250, seed=i)
    ...         beats = {"sample": r_peaks, "symbol": ["N"] * len(r_peaks)}
    ...         np.savez(f"{root}/{i}.npz", signal=signal, sampling_frequency=250, **beats)
    ...     target = functools.partial(nl.event_target, width=0.1)
    ...     made = nl.make_dataset(
    ...         root, f"{root}/data", target=target, window=5, sampling_frequency=125, enable_progress_bar=False
    ...     )
    ...     folder = nl.open_folder(made / "x", made / "y", "train")
    ...     [(x.shape, y.shape) for x, y in folder][:2], len(folder)
    ([((625, 1), (625, 1)), ((625, 1), (625, 1))], 8)
    """
    root = as_folder("directory", directory)
    sources = named_sources(recordings)
    if not isinstance(read_options, (Mapping, type(None))):
        raise TypeError(f"read_options={read_options!r}; expected options of read_recording by their names.")
    reading = {"channels": channels, "units": units, **(read_options or {})}
    beside, reading = channels_of(target, sources, reading, sampling_frequency)
    wanted: Any = by_label(target, sources) if beside is None else beside
    check_target(wanted, sources)
    first = first_of(sources, reading, sampling_frequency)
    _check_options(wanted, window, overlap, each_window, sampling_frequency, first.rate, n_workers, enable_progress_bar)
    old, words = _old(root), target_words(wanted, sources)
    settings = {
        "first": [first.channels, first.units], "window": window, "overlap": overlap, "each_window": each_window,
        "sampling_frequency": sampling_frequency, "bridged": BRIDGED, "reading": {k: repr(reading[k]) for k in reading},
    }  # fmt: skip
    stamps = stamps_of(sources)
    people = _people(sources, person, reading, sampling_frequency, old, stamps)
    divided = split_people(
        [{"name": name, "person": who} for name, who in people.items()], val=val, test=test, seed=seed
    )
    parts = {item["name"]: part for part, items in divided.items() for item in items}
    jobs = [
        Job(root, name, source, people[name], parts[name], wanted,
            settings | {"stamp": stamps[name], "target": words[name]}, reading, first)
        for name, source in sources.items()
    ]  # fmt: skip
    manifest = {job.name: old[job.name] for job in jobs if is_made(job, old.get(job.name))}
    outdated = _outdated(root, {*old, *sources}, keep=manifest)
    _check_case(root, sources)
    # First: who is killed in between leaves no file under an earlier one's name.
    write_manifest(root, manifest, sources)
    for file in outdated:
        file.unlink()
    waiting = [job for job in jobs if job.name not in manifest]
    try:
        _make(waiting, manifest, n_workers, enable_progress_bar)
    finally:
        write_manifest(root, manifest, sources)
    _check_made(root, manifest)
    return root


def _check_options(
    target: Any, window: Any, overlap: Any, each_window: Any, rate: Any, own: float, n_workers: Any, bar: Any
) -> None:
    if window is not None:
        number("window", window, 0, low_open=True)
    if number("overlap", overlap, 0, 1, high_open=True) and window is None:
        raise ValueError(f"overlap={overlap!r} is of windows: give window, or leave it out.")
    if boolean("each_window", each_window) and window is None:
        raise ValueError("each_window=True, but there is no window: give its seconds.")
    if each_window and isinstance(target, Mapping):
        way = "expected a function: lambda window: labels[window['name']][round(window['onset'] / seconds)]"
        raise ValueError(f"each_window=True, and target says one of each recording, whatever the window; {way}.")
    if rate is not None:
        ratio_of(number("sampling_frequency", rate, 0, low_open=True), own)
    integer("n_workers", n_workers)
    boolean("enable_progress_bar", bar)


def _people(
    sources: Mapping[str, Any], person: Any, reading: Mapping[str, Any], rate: float | None, old: Mapping[str, Any],
    stamps: Mapping[str, str],
) -> dict[str, str]:
    """Who each recording is of; files are opened where nobody else says it."""
    names = list(sources)
    if person is not None:
        return dict(zip(names, people_of(names, person), strict=True))
    own = []
    for name, source in sources.items():
        before = old.get(name) or {}
        if isinstance(source, Mapping):
            who = source.get("person")
        elif before and before["made_from"]["stamp"] == stamps[name]:
            who = before["says_person"]
        else:
            who = read_source(name, source, {"lazy": True, **reading}, rate)["person"]
        own.append(name if who is None else who)
    return dict(zip(names, people_of(names, own), strict=True))


def _old(root: Path) -> dict[str, Any]:
    """The entries of an earlier run; what else there is, is not to be touched."""
    there = [path for side in "xy" for path in (root / side).rglob("*") if path.is_file()]
    if there and not (root / MANIFEST).is_file():
        raise ValueError(f"{root} holds {there[0].relative_to(root)} and no {MANIFEST}; expected a new folder.")
    return entries_in(root)


def _outdated(root: Path, known: set[str], keep: Mapping[str, Any]) -> list[Path]:
    """The files of recordings that are made anew or no longer wanted; the folders are made."""
    outdated = []
    root.mkdir(parents=True, exist_ok=True)
    sweep(root)
    for side, part in itertools.product("xy", PARTS):
        folder = root / side / part
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        wanted = {file for entry in keep.values() if entry["part"] == part for file in entry["files"]}
        for file in folder.glob("[!.]*"):  # hidden ones are a system's, or are being written
            name = file.stem if file.stem in known else file.stem.rpartition("_")[0]
            if name not in known:
                raise ValueError(f"{file} is of no recording that make_dataset wrote here: move it away.")
            if file.name not in wanted:
                outdated.append(file)
    return outdated


def _check_case(root: Path, names: Mapping[str, Any]) -> None:
    """Raise ValueError where names differ in case alone and the file system takes them for one."""
    if not (root / "X").exists():
        return
    known: dict[str, str] = {}
    for name in names:
        if (other := known.setdefault(name.lower(), name)) != name:
            raise ValueError(f"recordings has {other!r} and {name!r}, whose files would be the same in {root}.")


def _make(jobs: list[Job], manifest: dict[str, Any], n_workers: int, bar: bool) -> None:
    """Make the files of each recording, and write down each that is finished."""
    written = time.monotonic()
    for job, entry in made(jobs, n_workers, bar):
        manifest[job.name] = entry
        if time.monotonic() - written > _SECONDS:
            write_manifest(job.root, manifest, [each.name for each in jobs])
            written = time.monotonic()


def _check_made(root: Path, manifest: Mapping[str, Any]) -> None:
    lacking = {name: entry.get("missing", {}) for name, entry in manifest.items() if not entry["files"]}
    empty = sorted(
        name + "".join(f" (of {channel} {share:.0%} are missing)" for channel, share in shares.items())
        for name, shares in lacking.items()
    )
    if len(empty) == len(manifest):
        least = manifest[min(manifest)]["window"] or LEAST
        raise ValueError(f"no recording has {least:g} s without gaps: {listing(empty)}.")
    if empty:
        warn(f"{len(empty)} of {len(manifest)} recordings gave no file, being too short or all gaps: {listing(empty)}.")
    if mixed := sorted(name for name, entry in manifest.items() if entry.get("mixed")):
        warn(
            f"{len(mixed)} of {len(manifest)} recordings have several labels or values, and each of their windows has "
            f"that of the whole: {listing(mixed)}. With each_window=True each has its own."
        )
    looked = [Looked(name, frozenset(), told, frozenset(entry.get("symbols", ())))
              for name, entry in manifest.items() for told in entry.get("unwanted") or [""]]  # fmt: skip
    tell_unwanted(unwanted(looked))
    far = Far({tuple(key): n for entry in manifest.values() for *key, n in entry.get("far", ())})
    tell_far(far, "read_recording, then nan in its place, leaves it out.")
    tell_drift({name: entry.get("drift", 0.0) for name, entry in manifest.items()})
    check_units(manifest)
    if len(shapes := {(e["sampling_frequency"], len(e["channels"])) for e in manifest.values() if e["files"]}) > 1:
        said = listing(f"{rate:g} Hz with {n} channels" for rate, n in sorted(shapes))
        raise ValueError(f"{root / MANIFEST}: rates or channels differ: {said}. Give sampling_frequency and channels.")
