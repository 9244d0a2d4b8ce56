"""Recordings in WFDB format (PhysioNet): segments, samples of every channel's own rate, annotations."""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from neurallib.checks import as_path
from neurallib.names import listing
from neurallib.reading import told_by
from neurallib.signals.contents import Contents
from neurallib.signals.conversion import unit_factor
from neurallib.signals.wfdb_headers import (
    check_files, hea, load_wfdb, names_of, notes_of, read_header, there, units_of,
)  # fmt: skip
from neurallib.warn import warn

BEAT_SYMBOLS = frozenset("NLRBAaJSVrFejnE/fQ?")  # annotations that mark a QRS; the others mark rhythm, noise, waves
# Who is who in the MIT-BIH databases, all at 360 Hz: records 201 and 202 are of one man, and the records of the noise
# stress test are 118 and 119 with noise added.
MIT_BIH = re.compile(r"(20[12]|11[89])(?:e_?\d+)?")


class _Segment(NamedTuple):
    """A piece of a record: files of its own, or none where nothing was recorded."""

    stem: Path | None
    start: int  # frames
    n_frames: int
    told: bool = True  # by the header


class _Record(NamedTuple):
    """What reading the samples needs: it travels to other processes."""

    segments: list[_Segment]
    channels: list[str]
    units: list[str]
    per_frame: list[int]
    by_name: bool  # each segment has channels of its own, which are found by their names
    rate: float  # frames a second


def read_wfdb(stem: Path, annotator: str | os.PathLike[str] | None = None) -> Contents:
    """What a WFDB record holds; `annotator` is the ending of its annotations, by default .atr where there is one."""
    given = None if annotator is None else as_path("annotator", annotator)
    with told_by(stem):
        header = read_header(stem)
        record = _layout(stem, header)
        rate, n_frames = float(header.fs), sum(segment.n_frames for segment in record.segments)
        return Contents(
            channels=record.channels,
            units=record.units,
            rates=[rate * n for n in record.per_frame],
            lengths=[n_frames * n for n in record.per_frame],
            read=partial(_read, record),
            events=_events(stem, given, rate, n_frames),
            person=_person(stem.name, rate),
            start_time=header.base_datetime.isoformat() if header.base_datetime else None,
            notes=notes_of(stem, header),
        )


def wfdb_stem(path: Path) -> Path:
    """Folder and name of a record, without an ending, of one of its files."""
    return path.with_suffix("") if path.suffix in {".hea", ".dat", ".mat"} else path


def _layout(stem: Path, header: Any) -> _Record:
    """The segments of a record, one where it is of one piece, and what its channels are called."""
    if not hasattr(header, "seg_name"):
        whole = _Segment(stem, 0, _n_frames(stem, header), bool(header.sig_len))
        return _of_header(stem, header, [whole], by_name=False)
    segments, start = [], 0
    for name, length in zip(header.seg_name, header.seg_len, strict=True):
        if length:
            segments.append(_Segment(None if name == "~" else stem.with_name(name), start, int(length)))
            start += int(length)
    variable = header.seg_len[0] == 0
    first = stem.with_name(next((name for name in header.seg_name if name != "~"), "~"))
    for segment in segments:
        if segment.stem is not None:
            there(hea(segment.stem))
    return _of_header(first, read_header(first), segments, by_name=variable)


def _of_header(stem: Path, header: Any, segments: list[_Segment], by_name: bool) -> _Record:
    if hasattr(header, "seg_name"):
        raise ValueError(f"{hea(stem)} is a piece of a record and has pieces itself; expected one with signals.")
    names, per_frame = names_of(stem, header), [int(n or 1) for n in header.samps_per_frame]
    return _Record(segments, names, units_of(stem, header.units), per_frame, by_name, float(header.fs))


def _n_frames(stem: Path, header: Any) -> int:
    if header.sig_len:
        return int(header.sig_len)
    if header.sig_len == 0:
        raise ValueError(f"{hea(stem)} says that there are 0 samples; expected how many, or none if it is not known.")
    try:  # the header does not say: as long as its files are
        return int(load_wfdb().rdrecord(str(stem), channels=[0], physical=False).sig_len)
    except Exception as error:
        raise ValueError(f"cannot read the signals of {hea(stem)}: {error}") from error


def _read(record: _Record, columns: list[int], start: int, stop: int) -> np.ndarray:
    """Samples [stop - start, C] of channels that have as many a frame; nan in gaps and where a segment lacks one."""
    n = record.per_frame[columns[0]]
    values = np.full((stop - start, len(columns)), np.nan)
    for segment in record.segments:
        first, last = max(start, segment.start * n), min(stop, (segment.start + segment.n_frames) * n)
        if segment.stem is None or first >= last:
            continue
        offset = segment.start * n
        begin, end = (first - offset) // n, -(-(last - offset) // n)
        with told_by(hea(segment.stem)):
            inside, theirs = _columns_of(record, segment.stem, columns)
            if inside:
                read = _segment_values(record, segment, [columns[k] for k in inside], theirs, begin, end)
                skipped = first - offset - begin * n
                values[first - start : last - start, inside] = read[skipped : skipped + last - first]
    return values


def _columns_of(record: _Record, stem: Path, columns: list[int]) -> tuple[list[int], list[int]]:
    """Which of the columns this segment has, and where it has them."""
    if not record.by_name:
        return list(range(len(columns))), columns
    names = names_of(stem, read_header(stem))
    inside = [k for k, column in enumerate(columns) if record.channels[column] in names]
    return inside, [names.index(record.channels[columns[k]]) for k in inside]


def _segment_values(
    record: _Record, segment: _Segment, columns: list[int], theirs: list[int], begin: int, end: int
) -> np.ndarray:
    """Frames `begin` to `end` of a segment in the units of the record, checked against what its header says."""
    stem = segment.stem
    assert stem is not None
    check_files(stem)
    try:
        asked = {"channels": theirs, "physical": False, "smooth_frames": False}
        range_ = {"sampfrom": begin, "sampto": end} if segment.told else {}  # wfdb takes none of an unknown length
        read = load_wfdb().rdrecord(str(stem), **range_, **asked)
        if begin and segment.told and "8" in read.fmt:  # differences: from the first sample on they add up
            range_.pop("sampfrom")
            read = load_wfdb().rdrecord(str(stem), **range_, **asked)
        wrong = _wrong_sums(read)
        read.dac(expanded=True, inplace=True)
        physical = np.stack(read.e_p_signal, axis=1)
        if "sampfrom" not in range_:
            physical = physical[begin * read.samps_per_frame[0] : end * read.samps_per_frame[0]]
    except Exception as error:  # wfdb raises whatever its parts raise
        raise ValueError(f"cannot read the signals of {hea(stem)} (cut off?): {error}") from error
    for name in wrong:
        warn(f"channel {name!r} of {stem} does not fit the checksum of its header: other data, or a wrong byte.")
    names, found = [record.channels[column] for column in columns], list(map(str, read.sig_name))
    if read.fs != record.rate or any(a != b and a in record.channels for a, b in zip(found, names, strict=True)):
        own, told = f"{listing(found)} at {read.fs:g} Hz", f"{listing(names)} at {record.rate:g} Hz"
        raise ValueError(f"{hea(stem)} has {own} where its record has {told}.")
    wanted = [record.units[column] for column in columns]
    factors = [unit_factor(*pair) for pair in zip(units_of(stem, read.units, theirs), wanted, strict=True)]
    if None in factors:
        own, told = (listing(map(str, units)) for units in (read.units, wanted))
        raise ValueError(f"{hea(stem)} has units {own}; its record has {told}.")
    return np.asarray(np.multiply(physical, np.array(factors, dtype=float), out=physical))


def _wrong_sums(read: Any) -> list[str]:
    """The channels whose samples have another sum than their header says; of a part wfdb makes it anew."""
    told = read.checksum or [None] * len(read.sig_name)
    return [
        name
        for name, values, total, skew in zip(read.sig_name, read.e_d_signal, told, read.skew, strict=True)
        if total is not None and not skew and (int(values.sum(dtype=np.int64)) - total) % 65536
    ]


def _events(stem: Path, annotator: Path | None, rate: float, n_frames: int) -> list[tuple[float, str, float]]:
    given = annotator or Path("atr")
    elsewhere = given.parent != Path() or (given.suffix and given.is_file())
    file = given if elsewhere else stem.with_name(f"{stem.name}.{given.name.rpartition('.')[2]}")
    if annotator is None and not file.is_file():
        return []
    try:
        read = load_wfdb().rdann(str(there(file).with_suffix("")), file.suffix[1:])
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"cannot read {file}: {error}") from error
    if not all(isinstance(text, str) for text in [*read.symbol, *read.aux_note]):
        raise ValueError(f"cannot read {file}: it has annotations of no kind that is known.")
    clock = float(read.fs or rate)  # an annotation file may count on a clock of its own
    texts = [text.strip("\0 ") for text in read.aux_note]
    both = zip(read.symbol, texts, strict=True)
    symbols = [text if text and symbol not in BEAT_SYMBOLS else symbol for symbol, text in both]
    times = np.asarray(read.sample, dtype=np.float64) / clock
    return list(zip(times.tolist(), symbols, _durations(times, symbols, n_frames / rate), strict=True))


def _durations(times: np.ndarray, symbols: list[str], end: float) -> list[float]:
    """A rhythm lasts until the next one, flutter from its "[" until its "]"; everything else is a moment."""
    durations, rhythm, flutter = [0.0] * len(symbols), end, end
    for i in reversed(range(len(symbols))):
        if symbols[i].startswith("(") and len(symbols[i]) > 1:
            durations[i], rhythm = max(0.0, rhythm - times[i]), times[i]
        elif symbols[i] == "]":
            flutter = times[i]
        elif symbols[i] == "[":
            durations[i] = max(0.0, flutter - times[i])
    return [float(duration) for duration in durations]


def _person(name: str, rate: float) -> str | None:
    known = MIT_BIH.fullmatch(name) if rate == 360 else None
    return None if known is None else "201" if known[1] == "202" else known[1]
