"""Slow work beside a fast loop: done as often as it costs a small share of the time."""

from __future__ import annotations

import time
from collections.abc import Callable


class Seldom:
    """Does the first piece of work it is given, then the newest one whenever work took at most `share` of the time.

    What was left undone last is kept, and done by `finish`. With `wait`, the first piece is done after so many seconds.
    """

    def __init__(self, share: float = 0.01, wait: float = 0.0) -> None:
        self._share, self._due = share, time.monotonic() + wait
        self._left: Callable[[], object] | None = None

    @property
    def is_due(self) -> bool:
        """Whether work would be done now."""
        return time.monotonic() >= self._due

    def __call__(self, work: Callable[[], object]) -> None:
        """Do the work now, or keep it in place of what was kept before."""
        self._left = work
        if self.is_due:
            self.finish()

    def finish(self) -> None:
        """Do what is left, if anything is."""
        if self._left is not None:
            self.now(self._left)

    def now(self, work: Callable[[], object]) -> None:
        """Do the work whatever it costs, in place of what was kept."""
        self._left, began = None, time.monotonic()
        work()
        self._due = began + (time.monotonic() - began) / self._share
