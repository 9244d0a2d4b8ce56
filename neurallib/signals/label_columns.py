"""Columns of labels, a text a sample, as events: runs of one value, or of yes in each of several columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neurallib.names import listing

MISSING = {"", "na", "n/a", "nan", "null", "none"}


def label_events(
    columns: Sequence[tuple[str, list[str]]], times: np.ndarray, period: float, source: str
) -> list[tuple[float, str, float]]:
    """Events (s, symbol, s it lasts) of columns, each with its name and a text a line, at `times` [T]: the runs of one
    value of one column; of several the runs of 1 of each, by its name, or ValueError where they hold more than 0 and 1.
    """
    if len(columns) == 1:
        return _runs(columns[0][1], times, period)
    found = [event for name, texts in columns for event in _runs(_named(name, texts, source), times, period)]
    return sorted(found, key=lambda event: event[0])


def _named(name: str, texts: list[str], source: str) -> list[str]:
    """The name of a column where it says yes, else nothing."""
    said = {text: _yes(text.lower()) for text in set(texts)}
    if wrong := sorted(text for text, yes in said.items() if yes is None):
        raise ValueError(
            f"the column {name!r} of {source} holds {listing(map(repr, wrong))}; several labels are columns of 0 and 1 "
            "that may hold together: expected these, or labels= one column, whose values are the labels."
        )
    return [name if said[text] else "" for text in texts]


def _yes(word: str) -> bool | None:
    """Yes or no, no where nothing stands; None of what is neither."""
    if word in ("true", "false") or word in MISSING:
        return word == "true"
    try:
        return {0.0: False, 1.0: True}.get(float(word.replace(",", ".")))
    except ValueError:
        return None


def _runs(labels: list[str], times: np.ndarray, period: float) -> list[tuple[float, str, float]]:
    """Each run of one label as an event: when it begins, the label, how long it lasts."""
    begins = [i for i, label in enumerate(labels) if i == 0 or label != labels[i - 1]]
    ends = [float(times[i]) for i in begins[1:]] + [float(times[-1]) + period]
    return [
        (float(times[i]), labels[i], end - float(times[i])) for i, end in zip(begins, ends, strict=True) if labels[i]
    ]
