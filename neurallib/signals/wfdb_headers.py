"""Headers of WFDB records: read by wfdb once they are known to name files beside them, and what it leaves out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from neurallib.extras import needed
from neurallib.names import listing
from neurallib.reading import is_file_name, plain_text

_MAX = 1 << 22  # bytes
_FORMATS = set("0 8 16 24 32 80 160 212 310 311 508 516 524".split())  # that wfdb reads; 0 is of no file


def read_header(stem: Path) -> Any:
    """What wfdb makes of a record's header, whose signals it can read."""
    wfdb = load_wfdb()
    check_files(stem)
    try:
        header = wfdb.rdheader(str(stem))
    except Exception as error:  # wfdb's parser raises whatever its parts raise
        raise ValueError(f"cannot read {hea(stem)}: {error}") from error
    if odd := set(getattr(header, "fmt", None) or ()) - _FORMATS:
        raise ValueError(f"{hea(stem)} has signals in format {listing(sorted(odd))}, which wfdb does not read.")
    if not header.sig_name and not hasattr(header, "seg_name"):
        way = "annotations alone are the annotator= of the recording that they are of"
        raise ValueError(f"{hea(stem)} names no signal; expected one: {way}.")
    return header


def check_files(stem: Path) -> None:
    """Raise where a header names a file of another folder, or one that is not there: wfdb would read whatever it is."""
    file = there(hea(stem))
    with open(file, "rb") as header:
        content = header.read(_MAX + 1)
    head, *lines = _words(content) or [[""]]
    own = head[0].partition("/")[0].encode("ascii", "ignore").decode()
    if not re.fullmatch(r"[-\w]+", own):
        raise ValueError(f"{file} calls its record {own[:200]!r}; expected letters, digits, - and _ as its first word.")
    _check_head(file, head, len(lines))
    for name in {line[0] for line in lines} - {"~"}:
        if not is_file_name(name) or len(content) > _MAX:
            raise ValueError(f"{file} names {name[:200]!r}; expected a file beside it.")
        if "/" not in head[0] and not name.startswith("~"):  # of a record of several pieces they are records
            there(stem.with_name(name))
    if "/" not in head[0]:
        _check_gains(file, ["".join(line[2:3]) for line in lines])


def _check_head(file: Path, head: list[str], n_lines: int) -> None:
    """Raise ValueError where the first line says other things than those that follow, or what wfdb would pass over and
    take its own default for: 250 Hz."""
    n_pieces, n_signals = head[0].partition("/")[2], "".join(head[1:2])
    told, what = (n_pieces, "pieces") if n_pieces else (n_signals, "signals")
    if told.isdecimal() and (int(told) != n_lines or n_pieces == "0"):
        raise ValueError(f"{file} tells of {told} {what} and describes {n_lines}: cut off?")
    rate = "".join(head[2:3])
    known = re.fullmatch(r"(\d+\.?\d*|\.\d+)(/(-?\d+\.?\d*)?)?(\(-?\d+\.?\d*\))?|", rate)
    if not known or float(known[1] or 1) == 0:
        raise ValueError(f"{file} says {rate!r} for its sampling frequency; expected it in Hz, such as 360 or 99.5.")


def _check_gains(file: Path, gains: list[str]) -> None:
    """Raise ValueError where one is no number, of which wfdb would take the digits."""
    for gain in gains:
        told = re.fullmatch(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|)(?:\(-?\d*\)?)?(?:/\S*)?", gain)
        if not told or float(told[1] or 0) and not 1e-30 < abs(float(told[1])) < 1e30:
            raise ValueError(f"{file} says {gain[:200]!r} for a gain; expected such as 200, 200/mV or 200(1024)/mV.")


def names_of(stem: Path, header: Any) -> list[str]:
    """What the signals are called, of which wfdb drops what is not ASCII; a number where a header does not say it."""
    names = []
    for k, (line, name) in enumerate(zip(_lines(stem), header.sig_name or (), strict=False)):
        told = plain_text(line).split(None, 8)[8:]
        whole = bool(told) and told[0].encode("ascii", "ignore").decode().strip() == name
        names.append(told[0].strip() if whole else name or str(k))
    return names


def units_of(stem: Path, units: list[str], columns: list[int] | None = None) -> list[str]:
    """The units of a header; wfdb drops what is not ASCII, and would take µV for V."""
    micro = [bool(re.search(rb"/(\xb5|\xc2\xb5|\xce\xbc)V\b", line)) for line in _lines(stem)]
    columns = list(range(len(units))) if columns is None else columns
    return ["uV" if micro[k] else unit for k, unit in zip(columns, units, strict=True)]


def notes_of(stem: Path, header: Any) -> list[str]:
    """The comments of a header, and whether it says what a step is worth; 0 is WFDB's word for that it does not."""
    lines = plain_text(hea(stem).read_bytes()).splitlines()
    notes = [line.strip().strip("# \t") for line in lines if line.strip().startswith("#")]
    signals = [] if hasattr(header, "seg_name") else _lines(stem)
    gains = [re.match(rb"[-+]?(\d+\.?\d*|\.\d+)", b"".join(line.split()[2:3])) for line in signals]
    untold = [str(k) for k, gain in enumerate(gains) if gain is None or float(gain[0]) == 0]
    says = [f"no gain of channels {listing(untold)} is told: 200 steps are taken for a unit"] if untold else []
    return [note for note in notes if note] + says


def segment_names(header: Path) -> set[str]:
    """The records that are parts of this one, layouts too; none of a record of one piece."""
    head, *lines = _words(header.read_bytes()) or [[""]]
    return {line[0] for line in lines} if "/" in head[0] else set()


def _words(content: bytes) -> list[list[str]]:
    """The words of each line of a header that is no comment."""
    lines = [line.split() for line in content.decode("utf-8", "replace").splitlines()]
    return [line for line in lines if line and not line[0].startswith("#")]


def _lines(stem: Path) -> list[bytes]:
    """What a header says of each signal."""
    return [line for line in hea(stem).read_bytes().splitlines() if line.strip() and line[:1] != b"#"][1:]


def hea(stem: Path) -> Path:
    """The header of a record."""
    return stem.with_name(f"{stem.name}.hea")


def there(file: Path) -> Path:
    """The file, or FileNotFoundError."""
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing.")
    return file


def load_wfdb() -> Any:
    """The package."""
    return needed("WFDB records", "wfdb", "wfdb")
