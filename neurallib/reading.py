"""Reading files of anyone: whatever goes wrong is told as an error that names the file, and names lead nowhere else."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


def is_file_name(name: str) -> bool:
    """Whether it can be a file of a folder, and nothing that leads out of it."""
    return name == Path(name).name and name not in ("", ".", "..") and "\0" not in name and len(name) <= 200


def plain_text(content: bytes) -> str:
    """Text in UTF-8, else in Latin-1, in which devices write what should be ASCII."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")


@contextlib.contextmanager
def told_by(path: str | os.PathLike[str], what: str = "cannot be read (cut off?)") -> Iterator[None]:
    """What goes wrong within the block as a ValueError that names the file: other packages raise whatever their parts
    raise. Errors of one's own, which name it, that it is missing, that a package is, and warnings that are errors, stay
    as they are."""
    try:
        yield
    except (FileNotFoundError, ModuleNotFoundError, Warning):
        raise
    except Exception as error:
        own = isinstance(error, (TypeError, ValueError)) and os.fspath(path) in str(error)
        if own or (isinstance(error, OSError) and error.filename is not None):
            raise
        told = str(error)[:1000] or type(error).__name__
        raise ValueError(f"{os.fspath(path)} {what}: {told}") from error
