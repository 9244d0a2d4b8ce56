"""Recordings in EDF, EDF+ and BDF: headers, annotations, triggers, and samples straight from the file; gaps are nan."""

from __future__ import annotations

import contextlib
import datetime
import io
import re
import warnings
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from neurallib.extras import needed
from neurallib.reading import plain_text, told_by
from neurallib.signals.contents import Contents
from neurallib.warn import warn

MAGIC = {b"0       ": 2, b"\xffBIOSEMI": 3}  # how such files begin, and the bytes of a sample
ANNOTATIONS = {"EDF Annotations", "BDF Annotations"}
STATUS = "Status"  # of BDF: triggers in its lowest 16 bits, and above them what the amplifier says of itself


class _Records(NamedTuple):
    """What a header says of the data records."""

    path: Path
    header_bytes: int
    n: int
    width: int  # bytes of a sample
    labels: list[str]  # of all channels, annotations too: where in a data record they are follows from all
    per_record: list[int]  # samples of each
    starts: list[int]  # bytes from the begin of a data record, of each; behind them its size


class _Layout(NamedTuple):
    """Where the samples are: it travels to other processes."""

    records: _Records
    places: list[int]  # of the channels that are signals
    scales: list[tuple[float, float] | str]  # of these
    onsets: np.ndarray  # float64 [n], seconds from the first data record
    duration: float  # seconds of a data record


def _records_of(path: Path) -> tuple[bytes, _Records]:
    """How a file begins, with at least one data record, which tells fractions of a second; and what it says of all."""
    with open(path, "rb") as file:
        head = file.read(1 << 20)
    width = MAGIC[head[:8]]
    if len(head) < 256 or len(head) < (n_header := int(head[184:192])):
        raise ValueError(f"it ends after {len(head)} bytes, cut off")
    if (n := int(head[252:256])) < 1 or n_header != 256 * (1 + n):
        raise ValueError(f"it says {n_header} bytes for {n} channels; expected 256, and 256 a channel")
    n_records, labels, per_record = int(head[236:244]), _fields(head, 0, 16, str), _fields(head, 216, 8, int)
    if min(per_record) < 0:
        raise ValueError(f"it says {min(per_record)} samples a data record")
    starts = (np.cumsum([0, *per_record]) * width).tolist()
    return head, _Records(path, n_header, n_records, width, labels, per_record, starts)


def read_edf(path: Path) -> Contents:
    """What an EDF, EDF+ or BDF file holds; its events are the annotations."""
    with told_by(path):
        return _contents(path)


def _contents(path: Path) -> Contents:
    edfio = needed("EDF and BDF files", "edfio", "edf")
    try:
        head, records = _records_of(path)
        duration = float(head[244:252])
        if not duration > 0 and set(records.labels) - ANNOTATIONS:
            raise ValueError(f"a data record lasts {duration:g} s; expected more than 0")
        read = _parsed(edfio, head, records.width)
        aside = ANNOTATIONS | ({STATUS} if records.width == 3 else set())
        signals = [signal for signal in read.signals if signal.label not in aside]
        scales = [_scale(signal) for signal in signals]
        units = [signal.physical_dimension.strip() for signal in signals]
    except (ValueError, IndexError, UnicodeError, ArithmeticError) as error:
        raise ValueError(f"cannot read the header of {path}: {error}") from error
    if not signals:
        raise ValueError(f"{path} holds no signal, only annotations; name it as the annotator of its recording.")
    n_records = _whole_records(records)
    onsets, events = _annotations(records, n_records)
    if "+D" in read.reserved:
        onsets = _placed(path, onsets, n_records)
    elif len(onsets) != n_records or np.isnan(onsets).any():  # plain EDF
        onsets = np.arange(n_records) * duration
    if (np.diff(onsets) < 0.5 * duration).any():
        at = int(np.argmin(np.diff(onsets))) + 1
        raise ValueError(f"{path} goes back in time: data record {at} begins at {onsets[at]:g} s.")
    for i in (i for i, label in enumerate(records.labels) if label in aside - ANNOTATIONS):
        events = sorted([*events, *_triggers(records, i, onsets, duration)], key=lambda event: event[0])
    places = [i for i, label in enumerate(records.labels) if label not in aside]
    zero, lengths = float(onsets[0]), [records.per_record[i] for i in places]
    return Contents(
        channels=[signal.label or str(k) for k, signal in enumerate(signals)],
        units=units,
        rates=[n / duration for n in lengths],
        lengths=[round(float(onsets[-1] - zero) * (n / duration)) + n for n in lengths],
        read=partial(_read, _Layout(records, places, scales, onsets - zero, duration)),
        events=[(onset - zero, text, length) for onset, text, length in events],
        person=_person(read),
        start_time=_start_time(read),
        notes=_notes(read, signals),
    )


def read_edf_annotations(path: Path, recording: Path) -> list[tuple[float, str, float]]:
    """The annotations of an EDF+ or BDF+ file, with or without signals, in seconds from the start of a recording."""
    with told_by(path):
        try:
            head, records = _records_of(path)
        except KeyError:
            way = "of a table give recording['events'] = {'sample': [n], 'symbol': [n], 'duration': [n] in s}"
            raise ValueError(f"{path} is no EDF+ or BDF+ file; expected one of {recording}, or {way}.") from None
        except (ValueError, IndexError) as error:
            raise ValueError(f"cannot read the header of {path}: {error}") from error
        with open(recording, "rb") as file:
            shift = _seconds_between(file.read(184), head)
        own = _annotations(records, _whole_records(records))[1]
        events = [(onset + shift, text, duration) for onset, text, duration in own]
        if shift and (last := max((onset + duration for onset, _, duration in events), default=1)) <= 0:
            told = f"by the start times of their headers {path} ends {-last:g} s before {recording} begins"
            raise ValueError(f"{told}; expected annotations of it: is one of these times wrong?")
        return events


def holds_signals(path: Path) -> bool:
    """Whether there is more in a file than annotations."""
    with open(path, "rb") as file, contextlib.suppress(ValueError):  # reading it tells what is wrong
        return bool(set(_fields(file.read(1 << 16), 0, 16, str)) - ANNOTATIONS)
    return True


def _seconds_between(head: bytes, later: bytes) -> float:
    """From one header's start to another's; 0 where one says none."""
    try:
        texts = [re.sub(r"\D", ".", h[168:184].decode("latin-1")) for h in (head, later)]  # some write 01/02/20
        moments = [datetime.datetime.strptime(text, "%d.%m.%y%H.%M.%S") for text in texts]
    except ValueError:
        return 0.0
    return (moments[1] - moments[0]).total_seconds()


def _parsed(edfio: Any, head: bytes, width: int) -> Any:
    """The header's fields, read by edfio from the begin of the file."""
    own = head[: int(head[184:192])]
    encoding = "utf-8" if plain_text(own).encode() == own else "latin-1"  # µ, where the format demands ASCII
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there are fewer data records than the header says
        function = edfio.read_edf if width == 2 else edfio.read_bdf
        return function(io.BytesIO(head), header_encoding=encoding)


def _fields(head: bytes, column: int, size: int, kind: Any) -> list[Any]:
    """A field of every channel's header, annotations too."""
    at = 256 + (n := int(head[252:256])) * column
    return [kind(head[at + i * size : at + (i + 1) * size].decode("latin-1").strip()) for i in range(n)]


def _scale(signal: Any) -> tuple[float, float] | str:
    """(gain, shift): a physical value is gain * digital + shift; or what is wrong, as with channels that are not in
    use."""
    low, high = signal.digital_min, signal.digital_max
    if low >= high or not abs(signal.physical_max - signal.physical_min) > 0:  # nan too
        maps = f"maps {low}..{high} to {signal.physical_min:g}..{signal.physical_max:g}"
        return f"channel {signal.label!r} {maps}, which is no scale; ask for others with channels="
    gain = (signal.physical_max - signal.physical_min) / (high - low)
    return gain, signal.physical_min - gain * low


def _whole_records(records: _Records) -> int:
    """How many data records there are; -1 in a header stands for a recording that was not closed."""
    path, told, record_bytes = records.path, records.n, records.starts[-1]
    there = (path.stat().st_size - records.header_bytes) // record_bytes if record_bytes else 0
    words = f"its header tells of {told} data records, and {max(there, 0)} are there"
    if told > there or there < 1:
        keep = ": edfio.read_edf(path).write(another) makes a file of them" if there > 0 else ""
        raise ValueError(f"{path} is cut: {words}{keep}.")
    if 0 <= told < there:
        warn(f"{path} may not have been closed: {words}, which are read.")
    return there


def _annotations(records: _Records, n_records: int) -> tuple[np.ndarray, list[tuple[float, str, float]]]:
    """When each data record begins (none in plain EDF; nan where one does not say so), and the annotations (onset,
    text, duration); in seconds."""
    onsets: list[float] = []
    events: list[tuple[float, str, float]] = []
    starts = records.starts
    rows = np.memmap(records.path, np.uint8, "r", records.header_bytes, (n_records, starts[-1]))
    for i in (channels := [i for i, label in enumerate(records.labels) if label in ANNOTATIONS]):
        for row in np.ascontiguousarray(rows[:, starts[i] : starts[i + 1]]):
            stamp = i == channels[0]  # the first list of the first annotation channel tells the time
            onsets += [np.nan] * stamp
            for entry in row.tobytes().split(b"\0"):
                when, *texts = entry.split(b"\x14")
                if not when:
                    continue
                onset, _, duration = when.partition(b"\x15")
                try:
                    seconds, lasts = float(onset), float(duration or 0)
                except ValueError as error:
                    raise ValueError(f"{records.path} holds an annotation at {when!r}, which is no time.") from error
                if stamp:
                    onsets[-1] = seconds
                    stamp = False
                events += [(seconds, plain_text(text).strip(), lasts) for text in texts if text.strip()]
    events.sort(key=lambda event: event[0])
    return np.array(onsets), events


def _triggers(records: _Records, column: int, onsets: np.ndarray, duration: float) -> list[tuple[float, str, float]]:
    """Each stretch in which the lowest 16 bits of a channel stay another number than 0: an event of that name."""
    n, at, places, codes, before = records.per_record[column], records.starts[column], list[int](), list[int](), 0
    rows = np.memmap(records.path, np.uint8, "r", records.header_bytes, (len(onsets), records.starts[-1]))
    for low in range(0, len(rows), 256):
        values = _digital(rows[low : low + 256, at : at + n * records.width], records.width) & 0xFFFF
        change = np.flatnonzero(np.diff(values, prepend=before))
        places, codes, before = places + (low * n + change).tolist(), codes + values[change].tolist(), values[-1]
    last = np.array([*places[1:], len(rows) * n]) - 1  # of each stretch
    begins, ends = (onsets[k // n] + k % n * duration / n for k in (np.array(places, int), last))
    lasts = (ends - begins + duration / n).tolist()
    return [told for told in zip(begins.tolist(), map(str, codes), lasts, strict=True) if told[1] != "0"]


def _placed(path: Path, onsets: np.ndarray, n_records: int) -> np.ndarray:
    """When the data records of a file with gaps begin, without those of its end that are padding and say nothing."""
    n = int(np.flatnonzero(~np.isnan(onsets)).max(initial=-1)) + 1
    if n == 0 or (unsaid := int(np.isnan(onsets[:n]).sum())):
        unsaid = n_records if n == 0 else unsaid
        raise ValueError(f"{path} has gaps, but {unsaid} data records do not say when they begin.")
    if n < n_records:
        warn(f"{path} has gaps, and its last {n_records - n} data records do not say when they begin: left out.")
    return onsets[:n]


def _read(layout: _Layout, columns: list[int], start: int, stop: int) -> np.ndarray:
    """Samples [stop - start, C] of channels that have as many a data record; nan where data records are apart."""
    told = layout.records
    n = told.per_record[layout.places[columns[0]]]
    places = np.rint(layout.onsets * n / layout.duration).astype(np.int64)  # told in decimals: below 1 is no gap
    apart = np.abs(np.diff(layout.onsets) - layout.duration) * n / layout.duration > 1
    runs = np.concatenate([[0], np.flatnonzero(apart) + 1, [len(places)]])
    values = np.full((stop - start, len(columns)), np.nan)
    records = np.memmap(told.path, np.uint8, "r", told.header_bytes, (len(places), told.starts[-1]))
    for i, j in zip(runs[:-1].tolist(), runs[1:].tolist(), strict=True):
        begin = int(places[i])
        first, last = max(start, begin), min(stop, begin + (j - i) * n)
        if first >= last:
            continue
        low, high = i + (first - begin) // n, i - (-(last - begin) // n)
        skipped = first - begin - (low - i) * n
        for k, column in enumerate(columns):
            if isinstance(scale := layout.scales[column], str):
                raise ValueError(f"{told.path}: {scale}.")
            at = told.starts[layout.places[column]]
            digital = _digital(records[low:high, at : at + n * told.width], told.width)
            gain, shift = scale
            values[first - start : last - start, k] = digital[skipped : skipped + last - first] * gain + shift
    return values


def _digital(raw: np.ndarray, width: int) -> np.ndarray:
    """Little-endian whole numbers of two or three bytes."""
    flat = np.ascontiguousarray(raw).reshape(-1)
    if width == 2:
        return flat.view("<i2")
    parts = flat.reshape(-1, 3)
    high = parts[:, 2].astype(np.int8).astype(np.int32)  # the third byte has the sign
    return parts[:, 0].astype(np.int32) | parts[:, 1].astype(np.int32) << 8 | high << 16


def _person(read: Any) -> str | None:
    """The patient's code, or name, where the file is EDF+ and says one; X is anonymous."""
    if "+" not in read.reserved:
        return None
    said = [*read.local_patient_identification.split(), "X", "X", "X", "X"]
    return next((who for who in (said[0], said[3]) if who != "X"), None)


def _start_time(read: Any) -> str | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the two dates of a header may differ: that of EDF+ counts
        try:
            return datetime.datetime.combine(read.startdate, read.starttime).isoformat()
        except (ValueError, IndexError):  # anonymous, or blank
            return None


def _notes(read: Any, signals: list[Any]) -> list[str]:
    """What the header says besides: who and how, and of each channel its sensor and filters."""
    said = [f"patient: {read.local_patient_identification}", f"recording: {read.local_recording_identification}"]
    for signal in signals:
        said += [f"{signal.label}: {text.strip()}" for text in (signal.transducer_type, signal.prefiltering)]
    return [text for text in said if not text.rstrip().endswith(":")]
