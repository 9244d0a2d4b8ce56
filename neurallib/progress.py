"""Progress bars of long work."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from neurallib.checks import boolean

T = TypeVar("T")

logger = logging.getLogger(__name__)


def progress(
    items: Sequence[T], enable: bool, text: str | None = None, *, unit: str = "it", delay: float = 0
) -> Iterable[T]:
    """The items, counted by a bar that vanishes at the end; none is made where it is not enabled.

    Here and everywhere disable=None: tqdm draws on a terminal and in a notebook, and nothing into a log file.
    """
    if not boolean("enable_progress_bar", enable):
        return items
    from tqdm.auto import tqdm

    bar: Iterable[T] = tqdm(items, text, delay=delay, unit=unit, leave=False, disable=None)
    return bar


def tell(text: str) -> None:
    """Say in the log, and beside the bars that are shown, Lightning's too, what takes a while now; "": no more."""
    if text:
        logger.info(text)
    bars = getattr(getattr(sys.modules.get("tqdm.std"), "tqdm", None), "_instances", ())
    for bar in list(bars):
        if not getattr(bar, "disable", True):
            bar.set_postfix_str(text)


def counter(unit: str) -> Any:
    """A bar to be moved by hand, which stays at the end; tqdm's, drawn at most ten times a second."""
    from tqdm.auto import tqdm

    return tqdm(unit=unit, mininterval=0.1, dynamic_ncols=True, disable=None)
