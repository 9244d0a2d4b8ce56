"""What pictures share: empty figures and their panels, grids, lines of long signals, colours, and the file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

import numpy as np

from neurallib.checks import as_path
from neurallib.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 2160  # two for each of the picture's columns of pixels
INK, MUTED, BLUE, ORANGE, GREEN = "#222222", "#8a8a8a", "#1f5fa8", "#d95f02", "#1b8a5a"


def panels_of(n_panels: int, height: float) -> tuple[Figure, list[Axes]]:
    """Panels one below the other on a common time axis; the lower of two is the smaller."""
    figure = empty_figure(9, height)
    ratios = [2, 1][:n_panels]
    panels = list(figure.subplots(n_panels, 1, sharex=True, squeeze=False, height_ratios=ratios)[:, 0])
    for axes in panels:
        put_on_grid(axes, "y")
    figure.align_ylabels(panels)
    return figure, panels


def put_on_grid(axes: Axes, lines: Literal["x", "y", "both"]) -> None:
    """Take the box away, and draw lines behind what is shown."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=lines, color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)


def empty_figure(width: float, height: float) -> Figure:
    """A figure of so many inches, which belongs to no window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def draw(axes: Axes, values: np.ndarray, rate: float, first: str, linewidth: float) -> None:
    """Draw each channel of [T, C]; of a signal with many more steps than the picture has columns of pixels, the lowest
    and the highest value of each column, which look the same."""
    size = -(-len(values) // COLUMNS)
    steps = np.arange(0, len(values), size)
    for channel, colour in zip(values.T, _colours(values.shape[1], first), strict=True):
        if size > 2:
            ends = [end.reduceat(channel, steps) for end in (np.fmin, np.fmax)]  # a column of gaps alone is a gap
            axes.plot(np.repeat(steps / rate, 2), np.stack(ends, 1).reshape(-1), color=colour, linewidth=linewidth)
        else:
            axes.plot(np.arange(len(values)) / rate, channel, color=colour, linewidth=linewidth)


def saved(figure: Figure, path: str | os.PathLike[str] | None) -> Figure:
    """`figure`, written where a path is given."""
    if path is None:
        return figure
    target = as_path("path", path)
    kind = target.suffix.lstrip(".").lower()
    kinds = figure.canvas.get_supported_filetypes()
    if kind not in kinds:
        raise ValueError(f"path={str(target)!r} ends in {target.suffix!r}; expected one of {', '.join(sorted(kinds))}.")
    with atomic_write(target) as temporary:
        figure.savefig(temporary, format=kind)
    return figure


def _colours(n: int, first: str) -> list[str]:
    palette = list(dict.fromkeys([first, BLUE, ORANGE, GREEN, "#7b4ea3", MUTED]))
    return [palette[i % len(palette)] for i in range(n)]
