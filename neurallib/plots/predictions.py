"""A picture of a signal with its true and found peaks, and of the output beside its target."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from neurallib.checks import names_of, number
from neurallib.names import hinted
from neurallib.plots.drawing import BLUE, GREEN, INK, MUTED, ORANGE, draw, panels_of, saved
from neurallib.signals.arrays import as_array
from neurallib.signals.peaks import samples_within

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@hinted
def plot_prediction(
    signal: ArrayLike | Tensor,
    prediction: ArrayLike | Tensor | None = None,
    *,
    sampling_frequency: float | None = None,
    true_peaks: ArrayLike | None = None,
    found_peaks: ArrayLike | None = None,
    threshold: float | None = 0.5,
    title: str | None = None,
    signal_label: str = "signal",
    prediction_label: str = "probability",
    output_names: Sequence[str] | None = None,
    target: ArrayLike | Tensor | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """A signal with its true and found peaks and, below it, the model's output beside its target.

    Parameters
    ----------
    signal : array-like or Tensor
        [T] or [T, C].
    prediction : array-like or Tensor, optional
        [T] or [T, K], such as probabilities; by default the signal is alone.
    sampling_frequency : float, optional
        Hz; with it the time axis is in seconds, else in samples.
    true_peaks, found_peaks : array-like of int, optional
        Samples: rings and points on the signal's first channel.
    threshold : float, optional
        A dashed line over the prediction; None for none. There is none at 0.5 over values that are no probabilities.
    title : str, optional
        Above the signal.
    signal_label, prediction_label : str
        What the vertical axes say, such as a signal_label of "ECG (mV)"; "output" for "probability" over other values.
    output_names : sequence of str, optional
        Names of the prediction's columns [K], for a legend, such as `state["postprocessing"]["outputs"]`.
    target : array-like or Tensor, optional
        [T] or [T, K], what the prediction should be: lighter lines behind it, or alone; nan where it is not known.
    path : path, optional
        Write a picture there, of the kind that its ending names (.png, .pdf, .svg, ...), atomically.

    Returns
    -------
    matplotlib.figure.Figure
        Not shown: it belongs to no window. A notebook draws it where it is a cell's last value.

    Raises
    ------
    TypeError
        If `sampling_frequency` or `threshold` is no number, or another argument is of another type.
    ValueError
        If shapes do not fit each other, a peak lies outside the signal, or the ending names no kind of picture.

    See Also
    --------
    plot_recording : a strip chart of any length.
    test_on_test_set : predictions for a folder of signals.

    Examples
    --------
    >>> import neurallib as nl
    >>> signal, r_peaks = nl.synthetic_ecg(duration=5, sampling_frequency=100, seed=1)
    >>> figure = nl.plot_prediction(signal, nl.peak_labels(r_peaks, 500), sampling_frequency=100, true_peaks=r_peaks)
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['signal', 'probability']
    """
    values = _columns("signal", signal)
    n_steps = len(values)
    outputs = None if prediction is None else _columns("prediction", prediction)
    wanted = None if target is None else _columns("target", target)
    for name, given in (("prediction", outputs), ("target", wanted)):
        if given is not None and len(given) != n_steps:
            raise ValueError(f"{name} has {len(given)} steps; expected {n_steps}, as the signal has.")
    rate = 1.0 if sampling_frequency is None else number("sampling_frequency", sampling_frequency, 0, low_open=True)
    alone = outputs is None and wanted is None
    figure, panels = panels_of(1 if alone else 2, height=3.4 if alone else 4.6)
    top = panels[0]
    draw(top, values, rate, INK, 0.9)
    ring: dict[str, Any] = {"marker": "o", "markersize": 10, "markerfacecolor": "none", "markeredgecolor": GREEN}
    dot: dict[str, Any] = {"marker": "o", "markersize": 4.5, "color": ORANGE}
    for peaks, label, style in ((true_peaks, "true", ring), (found_peaks, "found", dot)):
        if peaks is not None:
            samples = samples_within(f"{label}_peaks", peaks, n_steps)
            top.plot(samples / rate, values[samples, 0], linestyle="none", label=f"{label} ({len(samples)})", **style)
    top.set_ylabel(signal_label)
    if not alone:
        if outputs is not None:
            draw(panels[1], outputs, rate, BLUE, 1.1)
        first = len(panels[1].lines)
        if wanted is not None:
            draw(panels[1], wanted, rate, BLUE, 2.5)
            for line in panels[1].lines[first:]:
                line.set(alpha=0.3, zorder=1)
        if output_names is not None:
            _name_lines(panels[1], panels[1].lines[: first or None], names_of("output_names", output_names))
        shown = [part for part in (outputs, wanted) if part is not None]
        probable = not any(np.fmin.reduce(part, axis=None) < 0 or np.fmax.reduce(part, axis=None) > 1 for part in shown)
        if threshold is not None and (number("threshold", threshold, -np.inf) != 0.5 or probable):
            panels[1].axhline(threshold, color=MUTED, linewidth=0.8, linestyle="--")
        if probable:
            panels[1].set_ylim(-0.03, 1.03)
        panels[1].set_ylabel("output" if prediction_label == "probability" and not probable else prediction_label)
    panels[-1].set_xlabel("samples" if sampling_frequency is None else "time (s)")
    margin = 0.01 * n_steps / rate  # so that a peak at either end is whole
    panels[-1].set_xlim(-margin, (n_steps - 1) / rate + margin)
    if title is not None:
        top.set_title(title, loc="left", fontsize=11, color=INK)
    if true_peaks is not None or found_peaks is not None:
        # Above the signal, where it hides no beat.
        top.legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1.0, 0.99), borderaxespad=0.1)
    return saved(figure, path)


def _name_lines(axes: Axes, lines: Sequence[Any], names: Sequence[str]) -> None:
    if len(names) != len(lines):
        raise ValueError(f"output_names={names}; expected {len(lines)}, one for each column of prediction.")
    axes.legend(lines, names, frameon=False, ncols=len(names), loc="lower right", bbox_to_anchor=(1.0, 0.99))


def _columns(name: str, values: Any) -> np.ndarray:
    """`values` as [T, C], T at least 1; a long signal is not copied."""
    if isinstance(values, Mapping):
        raise TypeError(f"{name} is a {type(values).__name__}; expected an array: plot_recording takes a recording.")
    array = as_array(values, name)
    try:
        array = array if array.dtype.kind in "fiu" else array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} holds {array.dtype}; expected an array of numbers.") from error
    if array.ndim not in (1, 2) or array.size == 0:
        raise ValueError(f"{name} has shape {array.shape}; expected [T] or [T, C], neither of them 0.")
    return array[:, None] if array.ndim == 1 else array
