"""The loss curve of a run and of those before it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neurallib.names import hinted
from neurallib.plots.drawing import BLUE, INK, MUTED, ORANGE, panels_of, saved

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@hinted
def plot_losses(
    train_losses: Sequence[float],
    val_losses: Sequence[float],
    path: str | os.PathLike[str] | None = None,
    *,
    history: Mapping[str, Any] | None = None,
) -> Figure:
    """Training and validation loss by epoch, with the epoch of the lowest validation loss marked.

    Parameters
    ----------
    train_losses, val_losses : sequence of float
        One value an epoch, from epoch 1; either may be empty or a few shorter. A value that is not finite is a gap.
    path : path, optional
        Write a picture there, of the kind that its ending names (.png, .pdf, .svg, ...), atomically.
    history : mapping, optional
        `training_info["training_history"]` of a retrained state: the runs before this one are drawn before it, the
        first one first, and epochs are counted on. What tells no losses is left out. Runs on other data or with
        another loss are not comparable, so that the mark is of this run alone; where another metric is monitored, or
        retraining never beat its source, the weights that were kept are not of the marked epoch.

    Returns
    -------
    matplotlib.figure.Figure
        Not shown: it belongs to no window. A notebook draws it where it is a cell's last value.

    Raises
    ------
    TypeError
        If `history` is no mapping.
    ValueError
        If a loss is not a list of numbers, or the ending names no kind of picture.

    See Also
    --------
    train : draws it as loss_plot.png into the directory of a run.
    plot_prediction : a signal with what was found in it.

    Examples
    --------
    >>> import neurallib as nl
    >>> figure = nl.plot_losses([0.9, 0.5, 0.4], [0.8, 0.6, 0.7])
    >>> [line.get_label() for line in figure.axes[0].lines]
    ['training', 'validation', 'lowest: 0.6 in epoch 2']
    """
    if history is not None and not isinstance(history, Mapping):
        raise TypeError(
            f"history is a {type(history).__name__}; expected a mapping, such as training_info['training_history']."
        )
    runs = [*_before(history), (_series("train_losses", train_losses), _series("val_losses", val_losses))]
    figure, (axes,) = panels_of(1, height=4.0)
    n_epochs = [max(map(len, run)) for run in runs]
    few, done = sum(n_epochs) <= 30, 0
    for number, (run, n) in enumerate(zip(runs, n_epochs, strict=True), start=1):
        last = number == len(runs)
        for values, label, colour in zip(run, ("training", "validation"), (MUTED, BLUE), strict=True):
            axes.plot(
                done + np.arange(1, len(values) + 1), values, color=colour, label=label if last else None,
                marker="o" if few else None, markersize=3.5,
            )  # fmt: skip
        if not last:
            done += n
            axes.axvline(done + 0.5, color=INK, linewidth=0.8, linestyle=":")
    val = runs[-1][1]
    if np.isfinite(val).any():
        low = int(np.nanargmin(np.where(np.isfinite(val), val, np.nan)))
        label = f"lowest: {val[low]:.4g} in epoch {low + 1}" + (f" of run {len(runs)}" if runs[1:] else "")
        axes.plot(done + low + 1, val[low], "o", color=ORANGE, markersize=8, zorder=3, label=label)
    _ticks(axes, np.concatenate([values for run in runs for values in run]))
    axes.set(xlabel="epoch" + (f" of {len(runs)} runs" if runs[1:] else ""), ylabel="loss")
    axes.set_xlim(0.5, done + max(n_epochs[-1], 1) + 0.5)
    axes.legend(frameon=False)
    return saved(figure, path)


def _before(history: Mapping[str, Any] | None) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and validation losses of earlier runs, the first one first; a file of others may hold anything."""
    runs = []
    while isinstance(history, Mapping):
        try:
            train, val = (_series(name, history.get(name) or []) for name in ("train_losses", "val_losses"))
        except (TypeError, ValueError):
            train = val = np.empty(0)
        if len(train) or len(val):
            runs.append((train, val))
        history = history.get("training_history")
    return runs[::-1]


def _ticks(axes: Axes, values: np.ndarray) -> None:
    """Whole epochs, and powers of ten by ones, twos and fives where losses fall to a tenth."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter

    finite = values[np.isfinite(values)]
    if len(finite) and finite.min() > 0 and finite.max() > 10 * finite.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _series(name: str, losses: Sequence[float]) -> np.ndarray:
    try:
        values = np.asarray(losses, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is a {type(losses).__name__}; expected one number an epoch.") from error
    if values.ndim != 1:
        raise ValueError(f"{name} has shape {values.shape}; expected one number an epoch.")
    return values
