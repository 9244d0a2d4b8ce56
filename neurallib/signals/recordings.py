"""Recordings: a plain dict, whatever file it comes from; which reader a file takes, and which files of a folder are
recordings."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from neurallib.checks import as_path, boolean, number, unasked
from neurallib.names import did_you_mean, hinted, listing
from neurallib.signals import edf, numpy_files, tables, wfdb_headers, wfdb_records
from neurallib.signals.contents import (
    Contents, Events, at_one_rate, check_contents, check_events, common_rate, events_between, in_units, later,
    lazy_signal, only, picked,
)  # fmt: skip
from neurallib.signals.folders import natural
from neurallib.warn import warn

_log = logging.getLogger(__name__)
LONG = 1 << 24  # values from which on a signal is read lazily: 64 MB, 13 hours of one channel at 360 Hz


class Recording(TypedDict):
    """A recording, as `read_recording` gives it.

    Attributes
    ----------
    name : str
        Of the record, or of the file without its ending.
    person : str or None
        Who it is of, where the file says: an EDF+ patient code; of MIT-BIH, where 201 and 202 are one man.
    signal : array
        [T, C] float32, nan where the file marks no value; where it is long an object that is read when it is sliced,
        with `shape`, `dtype` and `np.asarray`.
    sampling_frequency : float
        Hz, of this signal.
    channels : list of str
        [C] names.
    units : list of str
        [C], such as "mV"; "" where the file says none.
    events : dict
        "sample" int64 [n], "symbol" [n] str and "duration" float64 [n] in seconds.
    source : str or None
        The file.
    start_time : str or None
        Date and time of the first sample (ISO 8601), as the file tells them.
    notes : list of str
        What the file says besides, such as age, diagnoses, filters.

    Examples
    --------
    >>> import neurallib as nl, numpy as np
    >>> signal, r_peaks = nl.synthetic_ecg(duration=10, sampling_frequency=360, seed=1)
    >>> beats = {"sample": r_peaks, "symbol": ["N"] * len(r_peaks), "duration": np.zeros(len(r_peaks))}
    >>> recording: nl.Recording = {
    ...     "name": "a1", "person": "a", "signal": signal[:, None], "sampling_frequency": 360.0, "channels": ["MLII"],
    ...     "units": ["mV"], "events": beats, "source": None, "start_time": None, "notes": [],
    ... }
    >>> recording["signal"].shape
    (3600, 1)
    """

    name: str
    person: str | None
    signal: Any
    sampling_frequency: float
    channels: list[str]
    units: list[str]
    events: Events
    source: str | None
    start_time: str | None
    notes: list[str]


@hinted
def read_recording(
    path: str | os.PathLike[str],
    *,
    channels: Sequence[Any] | str | int | None = None,
    start: float = 0.0,
    stop: float | None = None,
    sampling_frequency: float | None = None,
    units: Sequence[str] | str | None = None,
    annotator: str | os.PathLike[str] | None = None,
    time: Any = None,
    labels: Sequence[str | int] | str | int | None = None,
    lazy: bool | None = None,
) -> Recording:
    """Read a recording: WFDB (extra `wfdb`), EDF, EDF+ or BDF (extra `edf`), text such as CSV, .npy or .npz.

    Annotations of EDF+, and triggers of a BDF's "Status" by their number, are events; neither is a channel.

    Parameters
    ----------
    path : path
        The file; of a WFDB record also without an ending. What it is, is read from its content.
    channels : list of str, int or tuple, optional
        Which, by name or by number from 0; a tuple of names takes the first that is there, and it is called by the
        first of them: [("MLII", "II"), "V1"]. By default all. They have to share a rate, as the channels of EDF and
        WFDB need not, or to be brought to one. Of text no other column has to hold numbers.
    start, stop : float, optional
        Seconds from the beginning; only what lies between is read. By default all.
    sampling_frequency : float, optional
        Hz, where the file does not say: text without a time column, .npy. Of a file that does, such as channels with
        different rates, the rate to bring them to: a lower one by a filter, uneven samples between their moments. It
        does not correct a rate: recording["sampling_frequency"] = 250 does, where a file says a wrong one.
    units : str or list of str, optional
        Of the signal that is given back, one for all channels or one each: voltages, pressures, flows and the like are
        converted; where the file says no unit, this is what it is. By default the file's own.
    annotator : str or path, optional
        WFDB: the ending of the annotation file, by default .atr where there is one, or a file of another folder. EDF:
        another file that holds the annotations, as the hypnograms of Sleep-EDF do.
    time : str, int or tuple, optional
        Text: the column that is the clock, by name or number, or with its unit ("tick", "ms"). By default one that is
        called so, or the first of a file without names, where no sampling_frequency is given and it goes up all the
        time. Uneven samples are interpolated, gaps are nan; where nearly every time is that of n samples, as those of a
        packet are, they are spread evenly to the next; of channels of several rates, whose cells are empty in the rows
        of others, each is read at its own, and together at the highest. A column that counts the lines is no channel.
    labels : str, int or list, optional
        Text: the column of which each run of one value is an event; or several columns of 0 and 1 that may hold
        together, of which each run of 1 is an event by the column's name.
    lazy : bool, optional
        Whether "signal" is an object that reads slices when they are asked for; by default from 64 MB on. The numbers
        of a text file are in memory all the same.

    Returns
    -------
    Recording
        A dict; see there.

    Raises
    ------
    FileNotFoundError
        If there is no such file, or one that it needs is missing.
    ModuleNotFoundError
        If the package for the format is not installed; names the extra.
    TypeError
        If an argument is of another kind.
    ValueError
        If the file is cut or no recording, a channel is not there, channels have different rates, a unit cannot be
        converted, the rate is not known, an event lies beyond the end, or an option is for other files; names it.

    See Also
    --------
    list_recordings : the recordings of a folder.
    make_dataset : from recordings to the folders that training reads.

    Examples
    --------
    >>> import tempfile
    >>> import neurallib as nl, numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = f"{folder}/walk.csv"
    ...     np.savetxt(path, np.ones((500, 2)), delimiter=",", header="left (mV),right (mV)", comments="")
    ...     recording = nl.read_recording(path, sampling_frequency=100, channels=["right"], stop=2)
    >>> recording["signal"].shape, recording["channels"], recording["units"]
    ((200, 1), ['right'], ['mV'])
    """
    path = as_path("path", path)
    first, last = number("start", start, 0), None if stop is None else number("stop", stop, start, low_open=True)
    number("sampling_frequency", 1 if sampling_frequency is None else sampling_frequency, 0, low_open=True)
    boolean("lazy", lazy is None or lazy)
    if path.name.startswith("._"):
        raise ValueError(f"{path} is what macOS keeps about a file, not the file: read {path.name[2:]}.")
    contents, name, source = _contents(path, sampling_frequency, annotator, time, labels, channels)
    columns, called = picked(channels, contents.channels, source)
    contents = only(contents, columns)
    check_contents(contents, source)
    own = set(contents.rates)
    if sampling_frequency is not None and any(abs(rate - sampling_frequency) > 1e-6 * rate for rate in own):
        contents = at_one_rate(contents, float(sampling_frequency))
        if len(own) == 1:
            _log.info("%s says %g Hz: it is resampled to %g.", source, own.pop(), sampling_frequency)
    rate, n_steps = common_rate(contents, source), min(contents.lengths)
    if (begin := round(first * rate)) >= n_steps:
        raise ValueError(f"start={start:g}, but {source} lasts {n_steps / rate:g} s.")
    end = n_steps if last is None else min(n_steps, max(round(last * rate), begin + 1))
    names, factors = in_units(contents.units, units, source)
    signal = lazy_signal(contents, begin, end, factors)
    check_events(contents, n_steps / rate if stop is None else np.inf, source)
    lazy = signal.shape[0] * signal.shape[1] >= LONG if lazy is None else lazy
    return {
        "name": name,
        "person": contents.person,
        "signal": signal if lazy and signal[:1].size and signal[-1:].size else signal[:],  # a cut file says so now
        "sampling_frequency": rate,
        "channels": called,
        "units": names,
        "events": events_between(contents.events, rate, begin, end),
        "source": source,
        "start_time": later(contents.start_time, begin / rate),
        "notes": contents.notes,
    }


def list_recordings(directory: str | os.PathLike[str]) -> list[Path]:
    """The recordings of a folder, as `read_recording` takes them, in natural order.

    Parameters
    ----------
    directory : path
        The folder; those within it are not looked at.

    Returns
    -------
    list of Path
        WFDB records without an ending, and without those that are segments of others; EDF and BDF files that hold
        signals; .npy and .npz; text files that are tables of numbers, where there are none of the others: else a
        warning names those that are too long to tell of recordings, such as whose they are, or of their events.

    Raises
    ------
    FileNotFoundError
        If the folder is missing or holds no recording.
    TypeError, ValueError
        If `directory` is no path, or an empty one.

    See Also
    --------
    read_recording : one of them.
    split_people : which of them are for training.

    Examples
    --------
    >>> import tempfile
    >>> import neurallib as nl, numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("night10", "night2"):
    ...         np.savez(f"{folder}/{name}.npz", signal=np.zeros(1000), sampling_frequency=100)
    ...     [path.name for path in nl.list_recordings(folder)]
    ['night2.npz', 'night10.npz']
    """
    folder = as_path("directory", directory)
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    files = [path for path in inside if path.is_file() and not path.name.startswith(".")]  # macOS leaves ._ files
    headers = [path for path in files if path.suffix.lower() == ".hea"]
    parts = set().union(*map(wfdb_headers.segment_names, headers))
    found = [path.with_suffix("") for path in headers if path.stem not in parts]
    found += [path for path in files if path.suffix.lower() in {".edf", ".bdf"} and edf.holds_signals(path)]
    found += [path for path in files if path.suffix.lower() in {".npy", ".npz"}]
    text = [path for path in files if path.suffix.lower() in {".csv", ".tsv", ".txt"}]
    text = [path for path in text if tables.is_table(path, len(found))]
    if found and text:
        way = "as tables beside recordings; give their paths where they are some"
        warn(f"{listing([path.name for path in text], 3)} of {folder} are left out, {way}.")
    found = found or text
    if not found:
        within = [path.name for path in inside if path.is_dir()]
        missing = f", whose folders, {listing(within)}, are not looked into" if within else ""
        missing = missing if folder.is_dir() else ", which is no folder"
        raise FileNotFoundError(f"no recording (WFDB, EDF, BDF, .npy, .npz, text) in {folder}{missing}.")
    return sorted(found, key=lambda path: natural(path.name))


def _contents(
    path: Path, sampling_frequency: float | None, annotator: Any, time: Any, labels: Any, channels: Any
) -> tuple[Contents, str, str]:
    """What a file holds, by what it is, and what it is called."""
    stem = wfdb_records.wfdb_stem(path)
    beside = bool(stem.name) and stem.with_name(f"{stem.name}.hea").is_file()
    if path.is_dir() and not beside:
        raise ValueError(f"{path} is a folder; expected a file: list_recordings gives those of a folder.")
    if path.suffix == ".hea" or beside and (stem != path or not path.is_file()):
        unasked(path, time=time, labels=labels)
        return wfdb_records.read_wfdb(stem, annotator), stem.name, str(stem)
    if not path.is_file():
        if path.is_symlink():
            raise FileNotFoundError(f"{path} is a link to {os.readlink(path)}, which is missing.")
        near = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        told = f"{path} is missing, and {path.name}.hea is missing too.{did_you_mean(path.name, near)}"
        raise FileNotFoundError(told)
    with open(path, "rb") as file:
        if not (head := file.read(8)):
            raise ValueError(f"{path} is empty.")
    if head in edf.MAGIC:
        unasked(path, time=time, labels=labels)
        contents = edf.read_edf(path)
        if annotator is not None:
            contents = contents._replace(events=edf.read_edf_annotations(as_path("annotator", annotator), path))
    elif head[:6] == b"\x93NUMPY" or head[:2] == b"PK":
        unasked(path, annotator=annotator, time=time, labels=labels)
        contents = numpy_files.read_numpy(path, sampling_frequency, head[:2] != b"PK")
    else:
        unasked(path, annotator=annotator)
        contents = tables.read_table(path, sampling_frequency, time, labels, channels)
    return contents, path.stem, str(path)
