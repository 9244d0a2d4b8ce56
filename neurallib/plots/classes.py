"""Pictures of a classification: which classes are taken for which, and how good its probabilities are."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from neurallib.checks import names_of
from neurallib.measures.counts import as_thresholds
from neurallib.measures.curves import curves_of
from neurallib.names import hinted, listing
from neurallib.plots.drawing import INK, MUTED, empty_figure, put_on_grid, saved
from neurallib.signals.arrays import as_array
from neurallib.signals.outputs import class_names
from neurallib.tasks import Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MANY = 30  # classes, of more than which the cells are too small for numbers
WIDE = 24  # letters, at which a name goes on in another line


@hinted
def plot_confusion(
    table: ArrayLike | Mapping[str, Any],
    *,
    names: Sequence[str] | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Which classes are taken for which: how often, and coloured by the share of each true class.

    Parameters
    ----------
    table : array-like of int or dict
        What `confusion_matrix` gives: [K, K], rows the truth, columns what was found; of several labels [K, 2, 2]. Or
        what `class_scores`, or `evaluate_recordings` of classes, gives.
    names : sequence of str, optional
        Of the classes or labels [K], such as `state["postprocessing"]["outputs"]`; of yes and no that of yes will do.
        By default as the result says, or their numbers.
    path : path, optional
        Write a picture there, of the kind that its ending names (.png, .pdf, .svg, ...), atomically.

    Returns
    -------
    matplotlib.figure.Figure
        Not shown: it belongs to no window. A notebook draws it where it is a cell's last value. A row without a number
        is of a class that does not occur.

    Raises
    ------
    TypeError
        If `table` holds no whole numbers, or is a result of something else than classes.
    ValueError
        If it has another shape or does not fit the names, or the ending names no kind of picture.

    See Also
    --------
    confusion_matrix : makes the table.
    plot_curves : other thresholds, and how often probabilities come true.

    Examples
    --------
    >>> import neurallib as nl
    >>> figure = nl.plot_confusion([[7, 1], [2, 5]], names=["wake", "sleep"])
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['wake (8)', 'sleep (7)']
    """
    counts, names = _counts(table, names)
    if counts.ndim == 2:
        k, longest = len(counts), max(len(line) for name in names for line in _folded(name).splitlines())
        side = k * (1.1 if k < 5 else 0.66 if k <= MANY else 0.66 * MANY / k)
        figure = empty_figure(side + 1.2 + 0.07 * longest, side + 0.9 + 0.05 * longest)
        _cells(figure.subplots(), counts, names, 9 if k < 9 else 7)
        return saved(figure, path)
    columns = min(len(counts), 4)
    rows = -(-len(counts) // columns)
    figure = empty_figure(3.2 * columns, 3.0 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    for axes, one, name in zip(panels, counts, names, strict=False):
        _cells(axes, one, ["no", "yes"], 9)
        axes.set_title(_folded(name), fontsize=9, color=INK, parse_math=False)
    for axes in panels[len(counts) :]:
        axes.remove()
    return saved(figure, path)


@hinted
def plot_curves(
    curves: Mapping[str, Any],
    *,
    threshold: ArrayLike | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """How good probabilities are: ROC, precision by recall, and how often they come true (calibration).

    Parameters
    ----------
    curves : dict
        What `threshold_curves` gives, or `class_scores` of probabilities. Of exclusive classes each is drawn against
        the others.
    threshold : float or array-like, optional
        Marked on the first two; of several labels also one for each [K], as `choose_threshold` gives.
    path : path, optional
        Write a picture there, of the kind that its ending names (.png, .pdf, .svg, ...), atomically.

    Returns
    -------
    matplotlib.figure.Figure
        Not shown: it belongs to no window. A notebook draws it where it is a cell's last value. The legends tell AUROC,
        average precision and calibration error as `evaluate` does. The larger a point of the third panel, the more
        probabilities it is of; on the dashed line as many come true as they say.

    Raises
    ------
    TypeError
        If `curves` is something else.
    ValueError
        If a threshold is none from 0 to 1, or not one for each label, or the ending names no kind of picture.

    See Also
    --------
    threshold_curves : makes the curves.
    choose_threshold : the best threshold of them.
    plot_confusion : which classes are taken for which.

    Examples
    --------
    >>> import neurallib as nl
    >>> scores = nl.class_scores([[0, 0, 1, 0, 1, 1]], [[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]], names=["apnoea"])
    >>> figure = nl.plot_curves(scores)
    >>> [axes.get_legend().get_texts()[0].get_text() for axes in figure.axes]
    ['0.889  apnoea', '0.917  apnoea', '0.383  apnoea']
    """
    told = curves_of(curves)
    names, k = told["names"], len(told["names"])
    above = None
    if threshold is not None:
        above = as_thresholds(threshold, Task(told["kind"], 1, k, True, tuple(names)))
        above = None if told["kind"] == "multiclass" else above
    lines = sum(len(_folded(name).splitlines()) for name in names) + (k if above is not None else 0)
    figure = empty_figure(13, 4.7 + 0.15 * lines + 0.07 * k)
    roc, precise, calibrated = figure.subplots(1, 3)
    styles = [{"color": f"C{i % 10}", "linestyle": ("-", "--", ":")[i // 10 % 3]} for i in range(k)]
    for i, (name, style) in enumerate(zip(names, styles, strict=True)):
        curve = told["curves"][name]
        recall, false = curve["recall"], 1 - curve["specificity"]
        roc.plot([1, *false, 0], [1, *recall, 0], label=_told(curve["auroc"], name), linewidth=1.4, **style)
        found = slice(0, -1)  # the last threshold finds nothing
        precise.plot(
            [*recall[found], 0], [*curve["precision"][found], curve["precision"][found][-1]], drawstyle="steps-pre",
            label=_told(curve["average_precision"], name), linewidth=1.4, **style,
        )  # fmt: skip
        if above is not None and not np.isnan(curve["auroc"]):
            at = max(0, np.searchsorted(curve["threshold"], above[i], side="right") - 1)  # the first finds all
            for axes, point in ((roc, (false, recall)), (precise, (recall, curve["precision"]))):
                axes.plot(point[0][at], point[1][at], "o", color=style["color"], markersize=7, zorder=3,
                          label=f"above {above[i]:.3g}")  # fmt: skip
    for i, (name, bins) in enumerate(told["calibration"].items()):
        known = bins["n"] > 0
        style = styles[i] if len(styles) == len(told["calibration"]) else {"color": INK}
        calibrated.plot(bins["probability"][known], bins["share"][known], linewidth=1, **style,
                        label=_told(bins["calibration_error"], name))  # fmt: skip
        share = bins["n"][known] / max(bins["n"].sum(), 1)
        calibrated.scatter(bins["probability"][known], bins["share"][known], 12 + 150 * share, color=style["color"])
    roc.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle="--")
    calibrated.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle="--")
    words = (
        (roc, "1 - specificity", "recall (sensitivity)", "AUROC"),
        (precise, "recall (sensitivity)", "precision (positive predictive value)", "average precision"),
        (calibrated, "mean probability", "share that comes true", "calibration error"),
    )
    for axes, x, y, measure in words:
        _unit_square(axes, x, y, measure)
    return saved(figure, path)


def _unit_square(axes: Axes, x: str, y: str, measure: str) -> None:
    axes.set(xlabel=x, ylabel=y, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    put_on_grid(axes, "both")
    legend = axes.legend(
        title=measure, frameon=False, fontsize=8, title_fontsize=9, alignment="left", loc="upper center",
        bbox_to_anchor=(0.5, -0.14),
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)


def _counts(table: Any, names: Sequence[str] | None) -> tuple[np.ndarray, list[str]]:
    """int64 [K, K] or [K, 2, 2], and K names."""
    if isinstance(table, Mapping):
        if "confusion" not in table:
            expected = "expected what confusion_matrix or class_scores gives"
            raise TypeError(f"table holds {listing(map(str, table), 4)} and no confusion matrix; {expected}.")
        names = table.get("names") if names is None else names
        table = table["confusion"]
    counts = as_array(table, "table")
    if counts.dtype.kind not in "iu":
        raise TypeError(f"table holds {counts.dtype}; expected whole numbers, how often each is taken for each.")
    k = len(counts) if counts.ndim else 0
    if not k or counts.shape not in ((k, k), (k, 2, 2)):
        raise ValueError(f"table has shape {counts.shape}; expected [K, K], or of several labels [K, 2, 2].")
    known = [str(i) for i in range(k)] if names is None else names_of("names", names)
    known = class_names(known) if counts.shape == (2, 2) else known
    if len(known) != k:
        raise ValueError(f"names is {listing(known)}; expected {k}, as table has shape {counts.shape}.")
    return counts, known


def _cells(axes: Axes, counts: np.ndarray, names: Sequence[str], size: float) -> None:
    """A cell for each pair of classes, with its number and the share of its row."""
    k, of_row = len(counts), counts.sum(axis=1, keepdims=True)
    share = counts / np.maximum(of_row, 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")  # the layout keeps room for names then
    for i, j in np.ndindex(counts.shape) if k <= MANY else ():
        if of_row[i, 0]:
            text = f"{counts[i, j]}\n{100 * share[i, j]:.0f} %" if counts[i, j] else "0"
            colour = "white" if share[i, j] > 0.5 else INK if counts[i, j] else MUTED
            axes.text(j, i, text, ha="center", va="center", fontsize=size, color=colour)
    folded = [_folded(name) for name in names]
    turned: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if k > 2 else {}
    rows = [f"{name} ({n})" for name, n in zip(folded, of_row[:, 0], strict=True)]
    axes.set_xticks(range(k), folded, fontsize=8, parse_math=False, **turned)
    axes.set_yticks(range(k), rows, fontsize=8, parse_math=False)
    axes.set(xlabel="found", ylabel="true")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _folded(name: str) -> str:
    return textwrap.fill(name, WIDE) or name


def _told(value: float, name: str) -> str:
    return f"{value:.3f}  {_folded(name)}"
