"""A picture of a recording: a strip chart of rows, with what was annotated and found."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from neurallib.checks import names_of, number
from neurallib.names import hinted
from neurallib.plots.drawing import BLUE, GREEN, INK, MUTED, ORANGE, draw, empty_figure, saved
from neurallib.signals.annotations import beats_in
from neurallib.signals.outputs import as_values, class_names, exclude_each_other, most_probable
from neurallib.signals.peaks import samples_within
from neurallib.signals.recording_parts import Recording, as_recording, name_of, of_each, rows_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_ROWS = 120
CLASSES = (BLUE, ORANGE, GREEN, "#7b4ea3", "#c2a400", MUTED, "#b03060", "#00808a")


@hinted
def plot_recording(
    recording: Recording,
    output: ArrayLike | Tensor | Mapping[str, Any] | None = None,
    *,
    true: ArrayLike | None = None,
    found: ArrayLike | None = None,
    start: float = 0.0,
    stop: float | None = None,
    seconds_per_row: float = 30.0,
    names: Sequence[str] | None = None,
    target: ArrayLike | Tensor | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """A recording as a strip chart: rows of seconds one below the other, its channels stacked, with names and units.

    Parameters
    ----------
    recording : dict
        In the form that `read_recording` gives; only what is shown is read.
    output : array-like, Tensor or dict, optional
        A model's, at the recording's rate: probabilities or values [T] or [T, 1] as a curve below the channels; classes
        [T] of whole numbers, or probabilities [T, K] of classes, 1 together, as a coloured band; values, or labels that
        may hold together, [T, K] as curves. Or what `predict_recording` gives, with its names; of one output a window
        each has the steps of its window.
    true, found : array-like of int, optional
        Samples: rings and points on the first channel. `true` is by default the annotated beats.
    start, stop : float, optional
        Seconds from where to where; by default all.
    seconds_per_row : float
        Of one row.
    names : sequence of str, optional
        Of the classes, such as `state["postprocessing"]["outputs"]`, for the legend, of yes and no that of yes; or of
        the K curves.
    target : array-like or Tensor, optional
        What the output should be, in a form of its own kind: grey curves, as high as the output's for the same values,
        or a band above the output's.
    path : path, optional
        Write a picture there, of the kind that its ending names (.png, .pdf, .svg, ...), atomically.

    Returns
    -------
    matplotlib.figure.Figure
        Not shown: it belongs to no window. A notebook draws it where it is a cell's last value.

    Raises
    ------
    TypeError
        If `recording` is none, or another argument is of another type.
    ValueError
        If lengths do not fit each other, an event lies outside the recording, the rows are too many, or the ending
        names no kind of picture.

    See Also
    --------
    plot_prediction : one signal with its output, at one glance.
    plot_record_scores : how well each of many recordings was answered.

    Examples
    --------
    >>> import neurallib as nl
    >>> signal, beats = nl.synthetic_ecg(duration=90, sampling_frequency=250, seed=1)
    >>> recording = {"signal": signal[:, None], "sampling_frequency": 250.0, "channels": ["II"], "units": ["mV"]}
    >>> figure = nl.plot_recording(recording, nl.peak_labels(beats, len(signal), 5), found=beats)
    >>> len(figure.axes), figure.legends[0].get_texts()[0].get_text()
    (3, 'found (90)')
    """
    recording = as_recording(recording)
    rate, n_steps = float(recording["sampling_frequency"]), len(recording["signal"])
    names = None if names is None else names_of("names", names)
    row = number("seconds_per_row", seconds_per_row, 0, low_open=True)
    low, high = _window(start, stop, rate, n_steps)
    starts = list(range(low, high, max(1, round(row * rate))))
    if len(starts) > MOST_ROWS:
        raise ValueError(
            f"{(high - low) / rate:g} s make {len(starts)} rows of {row:g} s; expected {MOST_ROWS} at the most: "
            "give start and stop, or more seconds_per_row."
        )
    marks = {
        "true": beats_in(recording) if true is None else samples_within("true", true, n_steps),
        "found": None if found is None else samples_within("found", found, n_steps),
    }
    tracks = _channels(recording, low, high)
    if isinstance(output, Mapping) and names is None:
        names = output.get("outputs")
    shown = {name: _by_step(name, given, n_steps) for name, given in (("target", target), ("output", output))
             if given is not None}  # fmt: skip
    tracks += _outputs(shown, low, high, names)
    total = sum(track.height for track in tracks)
    figure = empty_figure(12, 0.9 + 0.25 * total * len(starts))
    panels = list(figure.subplots(len(starts), 1, sharex=True, sharey=True, squeeze=False)[:, 0])
    for axes, first in zip(panels, starts, strict=True):
        _draw_row(axes, tracks, first, min(first + starts[1] - low, high) if starts[1:] else high, rate, marks)
        axes.set(xlim=(0, row), ylim=(-total, 0), yticks=[])
        axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
        axes.tick_params(bottom=axes is panels[-1])
        clock = _clock(first / rate) if starts[1:] or first else ""
        axes.set_ylabel(clock, rotation=0, ha="right", va="center", fontsize=7, color=INK)
    rows = f"seconds of a row, which begins in {name_of(recording)} at the time on its left"
    panels[-1].set_xlabel(rows if starts[1:] or starts[0] else f"seconds of {name_of(recording)}")
    _legend(figure, panels, marks, tracks, names)
    return saved(figure, path)


class _Track(NamedTuple):
    """A channel, a curve or a band of classes, of which rows are cut."""

    label: str
    height: float  # in units of a channel's
    cut: Any  # function of two samples, that gives values [n] or classes
    low: float
    high: float
    is_band: bool = False
    colour: str = INK


def _channels(recording: Recording, low: int, high: int) -> list[_Track]:
    """A track a channel, as high as nearly all of its samples need."""
    places = np.linspace(low, max(high - 2000, low), 200, dtype=int)
    some = np.concatenate([rows_of(recording, at, min(at + 2000, high)) for at in places])
    n = some.shape[1]
    names = of_each(recording, "channels", [f"channel {i}" for i in range(n)])
    units = of_each(recording, "units", [""] * n)
    tracks = []
    for i in range(n):
        known = some[np.isfinite(some[:, i]), i]
        bottom, top = np.quantile(known, [0.0001, 0.9999]) if len(known) else (0.0, 1.0)
        bottom, top = (bottom, top) if top > bottom else (bottom - 0.5, bottom + 0.5)
        label = f"{names[i]} ({top - bottom:.2g} {units[i]} high)" if units[i] else str(names[i])
        tracks.append(_Track(label, 1.0, lambda a, b, i=i: rows_of(recording, a, b)[:, i], float(bottom), float(top)))
    return tracks


def _by_step(name: str, given: Any, n_steps: int) -> np.ndarray:
    """An output or a target [T] or [T, K], K > 1."""
    windows = None
    if isinstance(given, Mapping) and "output" in given:
        windows, given = given.get("windows"), given["output"]
    values = as_values(given, name)
    if windows is not None and len(values) == len(windows) != n_steps:
        by_window, values = values, np.full((n_steps, *values.shape[1:]), np.nan)
        for (start, stop), value in zip(windows, by_window, strict=True):
            values[start:stop] = value
    values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    if values.ndim not in (1, 2) or len(values) != n_steps:
        raise ValueError(f"{name} has shape {values.shape}; expected {n_steps} steps, as the recording has.")
    return values


def _outputs(shown: Mapping[str, np.ndarray], low: int, high: int, names: Sequence[str] | None) -> list[_Track]:
    """A band of classes, or a curve a column, of target and output, which share the scale of each column."""
    curves: dict[tuple[str, int], np.ndarray] = {}
    tracks = []
    for name, values in shown.items():
        some = values[low:high]
        if some.ndim == 2 and not (some < 0).any() and exclude_each_other(some):
            some = most_probable(some)
        if some.ndim == 1 and some.dtype.kind in "iub":
            top = int(some.max(initial=0))
            tracks.append(_Track(name, 0.3, lambda a, b, of=some.astype(int): of[a - low : b - low], 0, top, True))
        else:
            curves |= {(name, k): column for k, column in enumerate(some.reshape(len(some), -1).T)}
    n_columns = 1 + max((k for _, k in curves), default=0)
    if curves and names is not None and n_columns > 1 and len(names) != n_columns:
        raise ValueError(f"names has {len(names)}; expected {n_columns}, one for each output.")
    for (name, k), column in sorted(curves.items(), key=lambda item: item[0][1]):
        both = np.concatenate([other for (_, i), other in curves.items() if i == k])
        known = both[np.isfinite(both)].astype(np.float64)
        ends = float(known.min(initial=0)), float(known.max(initial=1))
        told = k if names is None else names[k]
        label = name if n_columns == 1 and len(names or ()) != 1 else f"{name} {told}"
        if ends != (0, 1):
            ends = float(known.min()), float(known.max())
            label += f" ({ends[1] - ends[0]:.2g} high)"
        if ends[0] == ends[1]:
            ends = ends[0] - 0.5, ends[1] + 0.5
        colour = MUTED if name == "target" else BLUE
        tracks.append(_Track(label, 0.5, lambda a, b, of=column: of[a - low : b - low], *ends, False, colour))
    return tracks


def _draw_row(axes: Axes, tracks: list[_Track], first: int, last: int, rate: float, marks: Mapping[str, Any]) -> None:
    below = 0.0
    styles: dict[str, dict[str, Any]] = {
        "true": {"marker": "o", "markersize": 6, "markerfacecolor": "none", "markeredgecolor": GREEN},
        "found": {"marker": "o", "markersize": 2.5, "color": ORANGE},
    }
    for track in tracks:
        values, bottom = track.cut(first, last), -below - track.height
        if track.is_band:
            _band(axes, values, rate, bottom + 0.03, track.height - 0.06)
        else:
            level = bottom + 0.04 + (values - track.low) / (track.high - track.low) * (track.height - 0.08)
            draw(axes, level[:, None], rate, track.colour, 0.6)
        if below == 0:
            for name, samples in marks.items():
                if samples is not None and len(some := samples[(samples >= first) & (samples < last)] - first):
                    axes.plot(some / rate, level[some], linestyle="none", label=name, **styles[name])
        below += track.height
    for line in axes.lines:
        line.set_clip_on(False)  # the highest peaks reach into the row above


def _band(axes: Axes, classes: np.ndarray, rate: float, bottom: float, height: float) -> None:
    """Coloured bars of the runs of each class."""
    change = np.flatnonzero(np.diff(classes, prepend=-2))
    lengths, kinds = np.diff(change, append=len(classes)), classes[change]
    for kind in np.unique(kinds[kinds >= 0]):
        bars = [(change[i] / rate, lengths[i] / rate) for i in np.flatnonzero(kinds == kind)]
        axes.broken_barh(bars, (bottom, height), color=CLASSES[kind % len(CLASSES)], linewidth=0)


def _legend(
    figure: Figure, panels: list[Axes], marks: Mapping[str, Any], tracks: list[_Track], names: Sequence[str] | None
) -> None:
    """What the tracks are, beside the first row; what marks and colours mean, above it."""
    from matplotlib.patches import Patch

    at = 0.0
    for track in tracks:
        panels[0].text(1.004, -at - track.height / 2, track.label, transform=panels[0].get_yaxis_transform(),
                       va="center", fontsize=6, color=INK)  # fmt: skip
        at += track.height
    shown: dict[str, Any] = {}
    for name, samples in marks.items():
        lines = [line for axes in panels for line in axes.lines if line.get_label() == name]
        count = 0 if samples is None else sum(np.size(line.get_xdata()) for line in lines)
        if samples is not None and (lines or name == "found"):
            shown[f"{name} ({count})"] = lines[0] if lines else Patch(alpha=0)
    n_classes = 1 + max((int(track.high) for track in tracks if track.is_band), default=-1)
    known = [str(k) for k in range(n_classes)] if names is None else class_names(names)
    if names is not None and n_classes > len(known):
        raise ValueError(f"names has {len(names)}; expected {n_classes}, one for each class.")
    for k in range(n_classes):
        shown[str(known[k])] = Patch(color=CLASSES[k % len(CLASSES)])
    if shown:
        figure.legend(shown.values(), shown.keys(), loc="outside upper right", ncols=8, frameon=False, fontsize=8)


def _window(start: Any, stop: Any, rate: float, n_steps: int) -> tuple[int, int]:
    """The samples from which to which is shown."""
    low = round(number("start", start, 0) * rate)
    high = n_steps if stop is None else min(round(number("stop", stop, 0) * rate), n_steps)
    if low >= high:
        raise ValueError(f"from start={start} to stop={stop} there is nothing of {n_steps / rate:g} s.")
    return low, high


def _clock(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d} "
