"""Recordings in WFDB format (PhysioNet): signals in mV with their reference beats, and splits by person."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from neurallib.checks import as_path, as_seed, integer, number
from neurallib.names import hinted, listing

BEAT_SYMBOLS = frozenset("NLRBAaJSVrFejnE/fQ?")  # annotations that mark a QRS; the others mark rhythm, noise, waves
MILLIVOLTS = {"mV": 1.0, "uV": 1e-3, "µV": 1e-3, "V": 1e3}
SAME_PERSON = {"202": "201"}  # of the MIT-BIH Arrhythmia Database (its directory, record 201)


class Record(NamedTuple):
    """A recording with its reference beats, as `read_record` gives it.

    Attributes
    ----------
    name : str
        Of the record, such as "100".
    signal : np.ndarray
        float32 [T, C], mV; nan where the recording marks a sample as invalid.
    channels : list of str
        [C], such as "MLII".
    sampling_frequency : float
        Hz.
    beats : np.ndarray
        int64 [n], samples of the QRS complexes, ascending.
    symbols : list of str
        [n], the kind of each beat, such as "N" or "V".

    Examples
    --------
    >>> import neurallib as nl
    >>> signal, r_peaks = nl.synthetic_ecg(duration=10, sampling_frequency=360, seed=1)
    >>> record = nl.Record("r1", signal[:, None], ["MLII"], 360.0, r_peaks, ["N"] * len(r_peaks))
    >>> record.signal.shape
    (3600, 1)
    """

    name: str
    signal: np.ndarray
    channels: list[str]
    sampling_frequency: float
    beats: np.ndarray
    symbols: list[str]


@hinted
def read_record(
    path: str | os.PathLike[str],
    *,
    channel: int | None = None,
    minutes: float | None = None,
    annotator: str | None = "atr",
) -> Record:
    """Read a WFDB record and its reference beats.

    Parameters
    ----------
    path : path
        Folder and name of the record, without an ending (or with .hea).
    channel : int, optional
        One channel, counted from 0; by default all.
    minutes : float, optional
        Only the beginning, so long; by default all.
    annotator : str, optional
        Ending of the annotation file, "atr" for reference beats; None reads none, and there are no beats.

    Returns
    -------
    Record
        A header's gain of 0 (uncalibrated) counts as 200 units per mV, as everywhere in WFDB.

    Raises
    ------
    ModuleNotFoundError
        If wfdb is not installed.
    FileNotFoundError
        If the header, or a signal or annotation file is missing; names it.
    TypeError
        If `path` is no path, `channel` no integer or `minutes` no number.
    ValueError
        If a channel does not exist or is no voltage, or a file cannot be read.

    See Also
    --------
    list_records : the records of a folder.
    split_records : which of them are for training.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import wfdb
    >>> import neurallib as nl
    >>> signal, r_peaks = nl.synthetic_ecg(duration=10, sampling_frequency=360, seed=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     wfdb.wrsamp("r1", 360, ["mV"], ["MLII"], signal[:, None].astype(float), fmt=["16"], write_dir=folder)
    ...     wfdb.wrann("r1", "atr", r_peaks, ["N"] * len(r_peaks), write_dir=folder)
    ...     record = nl.read_record(f"{folder}/r1")
    >>> record.signal.shape, record.channels, record.sampling_frequency
    ((3600, 1), ['MLII'], 360.0)
    >>> bool((record.beats == r_peaks).all())
    True
    """
    wfdb = _wfdb()
    path = as_path("path", path)
    stem = path.with_suffix("") if path.suffix == ".hea" else path
    header_file = _there(stem.with_name(f"{stem.name}.hea"))
    try:
        header = wfdb.rdheader(str(stem))
        names, rate, n_steps = list(header.sig_name or []), float(header.fs), header.sig_len
        files = set(header.file_name or [])
    except Exception as error:  # wfdb's parser raises whatever its parts raise
        raise ValueError(f"cannot read {header_file}: {error}") from error
    if not names:
        raise ValueError(f"{header_file} names no signal.")
    for file in sorted(files - {"~"}):
        _there(stem.with_name(file))
    if channel is not None and integer("channel", channel, minimum=0) >= len(names):
        raise ValueError(f"channel={channel}; {stem.name} has {len(names)}: {listing(names)}.")
    if minutes is not None:
        wanted = max(1, round(number("minutes", minutes, 0, low_open=True) * 60 * rate))
        n_steps = min(n_steps or wanted, wanted)
    picked = list(range(len(names))) if channel is None else [channel]
    try:
        record = wfdb.rdrecord(str(stem), channels=picked, sampto=n_steps)
    except Exception as error:
        raise ValueError(f"cannot read the signals of {header_file}: {error}") from error
    # wfdb drops what is not ASCII, and would take the µV of a header for V
    lines = [line for line in header_file.read_bytes().splitlines() if line.strip() and line[:1] != b"#"][1:]
    micro = [bool(re.search(rb"/(\xb5|\xc2\xb5|\xce\xbc)V\b", line)) for line in lines[: len(names)]]
    units = ["uV" if micro[k] else unit for k, unit in zip(picked, record.units, strict=True)]
    scale = [_millivolts(stem.name, *each) for each in zip(record.sig_name, units, strict=True)]
    beats, symbols = _beats(wfdb, stem, annotator, len(record.p_signal))
    return Record(
        name=stem.name,
        signal=(record.p_signal * scale).astype(np.float32),
        channels=list(record.sig_name),
        sampling_frequency=rate,
        beats=beats,
        symbols=symbols,
    )


def list_records(directory: str | os.PathLike[str]) -> list[str]:
    """Names of the WFDB records in a folder (of its .hea files), sorted.

    Parameters
    ----------
    directory : path
        The folder; those within it are not looked at.

    Returns
    -------
    list of str
        Such as ["100", "101"].

    Raises
    ------
    FileNotFoundError
        If the folder is missing or holds no record.
    TypeError, ValueError
        If `directory` is no path, or an empty one.

    See Also
    --------
    read_record : one of them.
    split_records : which of them are for training.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import neurallib as nl
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for file in ("101.hea", "101.dat", "100.hea", "100.dat"):
    ...         Path(folder, file).touch()
    ...     nl.list_records(folder)
    ['100', '101']
    """
    folder = as_path("directory", directory)
    names = sorted(file.stem for file in folder.glob("*.hea"))
    if not names:
        raise FileNotFoundError(
            f"no WFDB record (.hea) in {folder}{'' if folder.is_dir() else ', which is no folder'}."
        )
    return names


@hinted
def split_records(
    names: Sequence[str], *, val: float = 0.15, test: float = 0.25, seed: int = 42
) -> dict[str, list[str]]:
    """Divide records into "train", "val" and "test" so that no person is in two of them.

    Parameters
    ----------
    names : sequence of str
        Record names. Each is a person of its own, except that 201 and 202 of MIT-BIH are one.
    val, test : float
        Shares of the people, each in (0, 1) and together less than 1; every part gets one person at least.
    seed : int
        Which people. The order of `names` makes no difference.

    Returns
    -------
    dict of str to list of str
        Sorted names by part.

    Raises
    ------
    TypeError
        If a share is no number or `seed` no integer.
    ValueError
        If a share is out of its range, a name comes twice, or there are fewer than three people.

    See Also
    --------
    list_records : the names of a folder.

    Examples
    --------
    >>> import neurallib as nl
    >>> nl.split_records(["100", "101", "103", "105", "201", "202"], val=0.2, test=0.2)
    {'train': ['100', '101', '105'], 'val': ['103'], 'test': ['201', '202']}
    """
    for name, share in (("val", val), ("test", test)):
        number(name, share, 0, 1, low_open=True, high_open=True)
    if isinstance(names, str):
        raise TypeError(f"names is one text, {names!r}; expected a list of names.")
    if val + test >= 1:
        raise ValueError(f"val={val} and test={test} leave nothing for training; expected a sum below 1.")
    if len(set(names)) < len(names):
        raise ValueError(
            f"names holds {listing(sorted({name for name in names if list(names).count(name) > 1}))} twice."
        )
    people = sorted({SAME_PERSON.get(name, name) for name in names})
    if len(people) < 3:
        raise ValueError(f"names holds {len(people)} people; expected at least 3, one a part.")
    shuffled = [people[i] for i in np.random.default_rng(as_seed(seed)).permutation(len(people))]
    n_test = min(max(1, round(test * len(people))), len(people) - 2)
    n_val = min(max(1, round(val * len(people))), len(people) - 1 - n_test)
    parts = {
        "train": shuffled[n_test + n_val :],
        "val": shuffled[n_test : n_test + n_val],
        "test": shuffled[:n_test],
    }
    return {
        part: sorted(name for name in names if SAME_PERSON.get(name, name) in members)
        for part, members in parts.items()
    }


def _beats(wfdb: Any, stem: Path, annotator: str | None, n_steps: int) -> tuple[np.ndarray, list[str]]:
    if annotator is None:
        return np.zeros(0, dtype=np.int64), []
    file = _there(stem.with_name(f"{stem.name}.{annotator}"))
    try:
        annotation = wfdb.rdann(str(stem), annotator)
    except Exception as error:
        raise ValueError(f"cannot read {file}: {error}") from error
    samples = np.asarray(annotation.sample, dtype=np.int64)
    is_beat = np.array([symbol in BEAT_SYMBOLS for symbol in annotation.symbol], dtype=bool)
    keep = np.flatnonzero(is_beat & (samples >= 0) & (samples < n_steps))
    return samples[keep], [annotation.symbol[i] for i in keep]


def _millivolts(record: str, channel: str, unit: str) -> float:
    """What a value in `unit` is multiplied by."""
    if unit not in MILLIVOLTS:
        raise ValueError(f"channel {channel!r} of {record} is in {unit!r}; expected one of {listing(MILLIVOLTS)}.")
    return MILLIVOLTS[unit]


def _there(file: Path) -> Path:
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing.")
    return file


def _wfdb() -> Any:
    try:
        import wfdb
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "WFDB records need the package wfdb: pip install neurallib[wfdb]", name="wfdb"
        ) from error
    return wfdb
