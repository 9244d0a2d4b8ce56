"""Pictures of scores: records, worst first, beside gross and average; and how far values agree with the true ones."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from neurallib.checks import choice
from neurallib.measures.tables import check_result, worst_first
from neurallib.names import hinted, listing
from neurallib.plots.drawing import BLUE, INK, MUTED, ORANGE, empty_figure, put_on_grid, saved

_LINES = {"bias": "bias", "+1.96 sd": "agreement_high", "-1.96 sd": "agreement_low"}
MANY = 5000  # values, of more than which a point each hides how many there are

if TYPE_CHECKING:
    from matplotlib.axes import Axes
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
    plot_agreement : each value beside the true one.

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
    choice("measure", measure, result["average"])
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
    put_on_grid(axes, "x")
    return saved(figure, path)


@hinted
def plot_agreement(result: Mapping[str, Any], *, path: str | os.PathLike[str] | None = None) -> Figure:
    """How far values agree with the true ones, after Bland and Altman: differences by size, bias and limits.

    Parameters
    ----------
    result : dict
        What `value_scores` gives; each output has a panel.
    path : path, optional
        Write a picture there, of the kind that its ending names (.png, .pdf, .svg, ...), atomically.

    Returns
    -------
    matplotlib.figure.Figure
        Not shown: it belongs to no window. A notebook draws it where it is a cell's last value. The lines are "bias",
        "agreement_low" and "agreement_high" of `result["gross"]`; of more than 5,000 values their density is drawn.

    Raises
    ------
    TypeError
        If the result is none of `value_scores`.
    ValueError
        If the ending names no kind of picture.

    See Also
    --------
    value_scores : makes the result.
    plot_record_scores : people, worst first.

    References
    ----------
    Bland, Altman, Statistical methods for assessing agreement between two methods of clinical measurement, Lancet
    327:307-310, 1986.

    Examples
    --------
    >>> import neurallib as nl
    >>> figure = nl.plot_agreement(nl.value_scores([[60, 64, 80, 90]], [[62, 66, 79, 93]]))
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['bias 1.5', '+1.96 sd 4.89', '-1.96 sd -1.89']
    """
    if not isinstance(result, Mapping) or "pairs" not in result:
        of = isinstance(result, Mapping)
        came = f"holds {listing(map(str, result), 4)}" if of else f"is a {type(result).__name__}"
        raise TypeError(f"result {came} and no pairs of values; expected what value_scores gives.")
    true, found = (np.concatenate(side) for side in zip(*result["pairs"], strict=True))
    names = result["names"]
    columns = min(len(names), 3)
    rows = -(-len(names) // columns)
    figure = empty_figure(1 + 5 * columns, 3.6 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    for k, (axes, name) in enumerate(zip(panels, names, strict=False)):
        behind = f"_{name}" if len(names) > 1 else ""
        lines = {what: result["gross"][measure + behind] for what, measure in _LINES.items()}
        _agreement(axes, true[:, k], found[:, k], lines)
        axes.set_title(name if name != "0" or len(names) > 1 else "", fontsize=10, color=INK, parse_math=False)
    for axes in panels[len(names) :]:
        axes.remove()
    return saved(figure, path)


def _agreement(axes: Axes, true: np.ndarray, found: np.ndarray, lines: Mapping[str, float]) -> None:
    mean, difference = (true + found) / 2, found - true
    known = ~np.isnan(difference)
    if known.sum() > MANY:
        axes.hexbin(mean[known], difference[known], gridsize=80, bins="log", mincnt=1, cmap="Blues", linewidths=0.1)
    else:
        axes.plot(mean[known], difference[known], "o", color=BLUE, markersize=3, alpha=0.5, markeredgewidth=0)
    axes.axhline(0, color=MUTED, linewidth=0.8)
    for what, value in lines.items():
        if np.isfinite(value):
            axes.axhline(value, color=ORANGE, linewidth=1.2, linestyle="-" if what == "bias" else "--")
            axes.text(1.01, value, f"{what} {value:.3g}", transform=axes.get_yaxis_transform(), va="center", fontsize=8)
    axes.set(xlabel="mean of true and found", ylabel="found - true")
    axes.spines[["top", "right"]].set_visible(False)
