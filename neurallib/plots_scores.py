"""A picture of scores: records, worst first, beside gross and average."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from neurallib.measures.tables import check_result, worst_first
from neurallib.names import hinted, listing
from neurallib.plots import BLUE, ORANGE, empty_figure, saved

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@hinted
def plot_record_scores(
    result: Mapping[str, Any],
    *,
    measure: str | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """The records of a result, worst first, beside gross and average with their 95 % intervals over people.

    Parameters
    ----------
    result : dict
        What `evaluate_recordings`, `class_scores` or `value_scores` gives.
    measure : str, optional
        Which; by default "f1" of events and intervals, "cohen_kappa" of classes, "snr_improvement_db" of denoising,
        "mae" of values (of the first output).
    path : path, optional
        Write a picture there, of the kind that its ending names (.png, .pdf, .svg, ...), atomically.

    Returns
    -------
    matplotlib.figure.Figure
        Not shown: it belongs to no window. A notebook draws it where it is a cell's last value.

    Raises
    ------
    TypeError
        If `result` is none.
    ValueError
        If it has no such measure, or the ending names no kind of picture.

    See Also
    --------
    evaluate_recordings : makes the result.

    Examples
    --------
    >>> import neurallib as nl
    >>> scores = nl.class_scores([[0, 1, 1, 0]] * 2, [[0, 1, 1, 0], [0, 1, 0, 1]], people=["ann", "ben"])
    >>> figure = nl.plot_record_scores(scores)
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['ben', 'ann', 'average', 'gross']
    """
    check_result("result", result)
    usual = {"events": "f1", "intervals": "f1", "classes": "cohen_kappa", "denoising": "snr_improvement_db"}
    if measure is None:
        wanted = usual.get(result["task"], "mae")
        measure = next(name for name in result["average"] if name.startswith(wanted))
    if measure not in result["average"]:
        raise ValueError(f"measure={measure!r}; this result has {listing(result['average'], 20)}.")
    records = worst_first(result["records"], measure)
    kinds = [kind for kind in ("average", "gross") if measure in result[kind]]
    figure = empty_figure(8, 1.2 + 0.22 * (len(records) + len(kinds)))
    axes = figure.subplots()
    values = [record[measure] for record in records]
    places = np.arange(len(records) + len(kinds))
    axes.plot(values, places[: len(records)], "o", color=BLUE, markersize=5)
    for place, kind in zip(places[len(records) :], kinds, strict=True):
        axes.plot(result["intervals"][kind][measure], [place, place], color=ORANGE, linewidth=2)
        axes.plot(result[kind][measure], place, "D", color=ORANGE, markersize=6)
    axes.set_yticks(places, [*(str(record["name"]) for record in records), *kinds], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel(measure)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    return saved(figure, path)
