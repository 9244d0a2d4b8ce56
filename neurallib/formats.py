"""Format numbers: which form a file is in, so that what a later version wrote is told from what is broken.

A number goes up when a file changes so that versions before would take it for something else. `tests/kept` holds files
of every format, which every later version reads.
"""

from __future__ import annotations

from typing import Any

from neurallib.version import __version__

# What this version writes. It reads all from 1 on, which are without a number.
CHECKPOINT, DATASET, STREAM = 2, 2, 2


def check_format(number: Any, newest: int, source: Any) -> None:
    """Raise ValueError, which tells the file, its format and those that are read, unless this version reads what a
    file, or a saved value, says to be the format of."""
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise ValueError(f"{source} has the format {str(number)[:40]!r}; expected a whole number from 1.")
    if number > newest:
        raise ValueError(
            f"{source} is of format {str(number)[:40]}, which a later version of neurallib wrote; {__version__} reads "
            f"formats 1 to {newest}. Upgrade it: pip install --upgrade neurallib."
        )
