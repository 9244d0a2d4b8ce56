"""The lines of a table of numbers: what separates them, whether names come first, and what columns hold."""

from __future__ import annotations

import codecs
import contextlib
import itertools
import re
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from neurallib.reading import told_by
from neurallib.signals.conversion import is_unit

EPOCH = 1e8  # seconds; a clock that shows more counts from 1970
CLOCKS = {"s": 1.0, "sec": 1.0, "seconds": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9, "min": 60.0}
MISSING = {"", "na", "n/a", "nan", "null", "none"}
_ELSE = "A package for its format may read it: {'signal': [T, C], 'sampling_frequency': Hz} is a recording as well."
_JSON = re.compile(r"""(\{\s*"|\[\s*[-\d\[{]).*[]}]""")  # all of it on one line, whose pieces are numbers


class Table(NamedTuple):
    """How the lines of a text are to be read."""

    path: Path
    names: list[str]  # [] where the first line is numbers
    n_columns: int
    separator: str | None  # None: blanks
    skipped: int  # lines before the numbers
    encoding: str
    rate: float | None = None  # Hz, where the lines before them say it
    began: float | None = None  # seconds since 1970, likewise


def layout(path: Path) -> Table:
    """What the first lines tell: the separator that cuts each into as many pieces, and whether names come first."""
    try:
        encoding = _encoding(path)
        with open(path, encoding=encoding) as file:
            lines = [(i, line.strip(" \r\n")) for i, line in enumerate(itertools.islice(file, 200))]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text, nor any other recording that is known: {error}. {_ELSE}") from error
    lines = [(i, line) for i, line in lines if line and not line.startswith("#")]
    lines = [] if lines and _JSON.fullmatch(lines[0][1]) else lines
    for separator in (";", "\t", ",", "|", None):
        rows = [_pieces(line, separator) for _, line in lines]
        width = Counter(map(len, rows)).most_common(1)[0][0] if rows else 0
        if width > 1 and not any(row[-1] for row in rows if len(row) == width):  # each line ends with a separator
            width, rows = width - 1, [row[: width - 1] if len(row) == width else row for row in rows]
        told = [len(row) == width and any(is_number(piece) for piece in row) for row in rows]
        empty = [len(row) == width and all(map(_is_missing, row)) for row in rows]
        if width < (1 if separator is None else 2) or not any(told) or sum(told) + sum(empty) < 0.5 * len(rows):
            continue
        begin = told.index(True)
        if separator is None and not all(is_number(piece) or _is_missing(piece) for piece in rows[begin]):
            continue  # prose
        while begin and empty[begin - 1]:
            begin -= 1
        heads = list(itertools.takewhile(lambda row: len(row) == width, rows[:begin][::-1]))[:2][::-1]
        if len(heads) == 2 and all(heads[0]) and 2 * sum(map(_is_unit, heads[1])) >= sum(map(bool, heads[1])):
            units = [unit if _in_brackets(unit) else f"({unit})" for unit in heads[1]]  # below the names
            heads = [[f"{name} {unit}" if unit != "()" else name for name, unit in zip(heads[0], units, strict=True)]]
        began = [] if heads or len(rows) < begin + 3 or not all(told[begin : begin + 2]) else rows[begin : begin + 2]
        at, rate = (float(row[0]) if len({*row}) == 1 else 0.0 for row in began or [[], []])
        if at > EPOCH and 0 < rate < 1e4:  # Empatica: when it began and at which rate, a line each
            return Table(path, [], width, separator, lines[begin + 2][0], encoding, rate, at)
        return Table(path, heads[-1] if heads else [], width, separator, lines[begin][0], encoding)
    raise ValueError(f"{path} is no table of numbers, nor any other recording that is known. {_ELSE}")


def _encoding(path: Path) -> str:
    """UTF-8, what Excel calls Unicode text, or what it writes as CSV in the west of Europe, where no byte tells that it
    is no text."""
    with open(path, "rb") as file:
        head = file.read(1 << 16)
    if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    with contextlib.suppress(UnicodeDecodeError):
        codecs.getincrementaldecoder("utf-8")().decode(head)
        return "utf-8-sig"
    return "utf-8-sig" if re.search(rb"[\0-\x08\x0e-\x1f]", head) else "cp1252"


def _pieces(line: str, separator: str | None) -> list[str]:
    return [_bare(piece) for piece in line.split(separator)]


def _is_unit(piece: str) -> bool:
    """Of time or anything that is measured, or how a clock's texts are written, "hh:mm:ss"."""
    piece = piece[1:-1].strip() if _in_brackets(piece) else piece
    return bool(piece) and (piece.lower() in CLOCKS or ":" in piece or is_unit(piece))


def _in_brackets(piece: str) -> bool:
    return piece[:1] + piece[-1:] in ("[]", "()")


def _is_missing(piece: str) -> bool:
    return piece.lower() in MISSING


def _bare(piece: str) -> str:
    return piece.strip().strip("\"'").strip()


def is_number(piece: str) -> bool:
    try:
        return bool(np.isfinite(float(piece.replace(",", "."))))
    except ValueError:
        return False


def _number(piece: str) -> float:
    piece = _bare(piece)
    return np.nan if _is_missing(piece) else float(piece.replace(",", "."))


def numbers_of(table: Table, columns: list[int]) -> np.ndarray:
    """Columns [T, C] of the table; nan where nothing stands."""
    with contextlib.suppress(ValueError):  # something is missing, is no number, or has a decimal comma
        return _loaded(table, columns)
    return _loaded(table, columns, converters=_number)


def steps_of(table: Table, column: int) -> np.ndarray:
    """From line to line; nan of a column of text."""
    try:
        return np.diff(numbers_of(table, [column])[:, 0])
    except ValueError:
        return np.array([np.nan])


def is_text(piece: str) -> bool:
    return not is_number(piece) and not _is_missing(piece)


def texts_of(table: Table, column: int) -> list[str]:
    return [_bare(text) for text in _loaded(table, [column], dtype=str)[:, 0].tolist()]


def _loaded(table: Table, columns: list[int], dtype: Any = np.float64, converters: Any = None) -> np.ndarray:
    with told_by(table.path, f"cannot be read (cut off?), lines counted from {table.skipped + 1}"):
        return np.loadtxt(
            table.path, dtype, "#", table.separator, converters, table.skipped, columns, ndmin=2,
            encoding=table.encoding, quotechar='"',
        )  # fmt: skip
