"""Warnings that point at the line which the caller can change."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from types import FrameType


def warn(message: str) -> None:
    """Issue a UserWarning for the line of the caller's code that called the library, however deep inside this is."""
    level = outside = 2  # the caller of this function
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if _is_ours(frame):
            outside = level + 1
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=outside)


@contextlib.contextmanager
def dispensable(path: str | os.PathLike[str]) -> Iterator[None]:
    """A warning that names a file, instead of an error, where it cannot be written and nothing hangs on it."""
    try:
        yield
    except OSError as error:
        warn(f"{os.fspath(path)} is not written: {error.strerror or error}.")


@contextlib.contextmanager
def noted(note: str) -> Iterator[None]:
    """A note, from Python 3.11 on, beside whatever is raised within the block by code of the caller's own."""
    try:
        yield
    except Exception as error:
        if hasattr(error, "add_note"):
            error.add_note(note)
        raise


def _is_ours(frame: FrameType) -> bool:
    name = str(frame.f_globals.get("__name__", ""))
    return name.startswith("neurallib.") and not name.startswith("neurallib.examples.")
