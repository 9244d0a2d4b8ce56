"""Named steps: filters that stand before a network's normalization, applied to each signal, or window, by itself."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from neurallib.checks import boolean, choice, integer, is_list, number
from neurallib.names import did_you_mean, listing

ENDS = ("odd", "even")
_FLOOR = 0.05  # of a signal's own size: what a local gain divides a stretch of silence by


def _highpass(x: np.ndarray, rate: float, frequency: float, order: int = 2, ends: str = "odd") -> np.ndarray:
    return _filtered(x, rate, "highpass", (frequency,), order, ends)


def _lowpass(x: np.ndarray, rate: float, frequency: float, order: int = 2, ends: str = "odd") -> np.ndarray:
    return _filtered(x, rate, "lowpass", (frequency,), order, ends)


def _band(x: np.ndarray, rate: float, low: float, high: float, order: int = 2, ends: str = "odd") -> np.ndarray:
    return _filtered(x, rate, "bandpass", (low, high), order, ends)


def _local_gain(
    x: np.ndarray, rate: float, low: float, high: float, duration: float = 2.0, order: int = 2
) -> np.ndarray:
    """The band divided by its own RMS over `duration` seconds around each step."""
    from scipy.ndimage import uniform_filter1d

    band = _band(x, rate, low, high, order)
    power = uniform_filter1d(band**2, 2 * round(duration * rate / 2) + 1, axis=0, mode="nearest")
    size = np.sqrt(np.maximum(power, 0)) + _FLOOR * np.sqrt((band**2).mean(axis=0))
    gained: np.ndarray = band / np.where(size > 0, size, 1.0)
    return gained


# Each takes a signal [T, C] float64, its rate in Hz and parameters, and gives [T, C]. None of them is causal.
STEPS: dict[str, Callable[..., np.ndarray]] = {
    "highpass": _highpass,
    "lowpass": _lowpass,
    "band": _band,
    "local_gain": _local_gain,
}


def check_steps(steps: Any) -> list[dict[str, Any]]:
    """Steps as a state keeps them, each a dict with its "name", its parameters and, of one whose result stands beside
    the signal, "beside".

    Raises
    ------
    TypeError, ValueError
        If they are no list of dicts, or a name or a parameter is wrong or missing.
    """
    if steps is None:
        return []
    if not is_list(steps) or not all(isinstance(step, Mapping) for step in steps):
        raise TypeError(f"steps={steps!r}; expected a list of dicts, such as {{'name': 'highpass', 'frequency': 0.5}}.")
    return [_check_step(f"steps[{i}]", step) for i, step in enumerate(steps)]


def n_inputs(n_features: int, steps: Sequence[Mapping[str, Any]] | None) -> int:
    """The features that a network takes of a signal with so many: each step beside it adds as many."""
    if not steps:
        return n_features
    return n_features * (1 + sum(bool(step.get("beside")) for step in steps or ()))


def apply_steps(x: np.ndarray, steps: Sequence[Mapping[str, Any]] | None, rate: float | None) -> np.ndarray:
    """The signal [T, C] as steps make it, [T, n_inputs] float64; as it comes where there are none.

    A step replaces all that there is, one `beside` takes the signal's own channels and comes after all others.

    Raises
    ------
    ValueError
        If the sampling frequency is not known, or too low for a filter.
    """
    if not steps:
        return x
    if rate is None:
        raise ValueError(
            "state['preprocessing']['steps'] has filters, and the sampling frequency is not known: give it in "
            "state['preprocessing']['sampling_frequency'], or to train."
        )
    n_features = x.shape[1]
    x = np.asarray(x, dtype=np.float64)
    for step in steps:
        parameters = {name: value for name, value in step.items() if name not in ("name", "beside")}
        beside = bool(step.get("beside"))
        made = STEPS[step["name"]](x[:, :n_features] if beside else x, rate, **parameters)
        x = np.concatenate([x, made], axis=1) if beside else made
    return x


def _check_step(where: str, step: Mapping[str, Any]) -> dict[str, Any]:
    choice(f"{where}['name']", step.get("name"), STEPS)
    known = dict(list(inspect.signature(STEPS[step["name"]]).parameters.items())[2:])
    given = {name: value for name, value in step.items() if name not in ("name", "beside")}
    for name in given:
        if name not in known:
            raise ValueError(
                f"{where} has {name!r}; {step['name']!r} has {listing(known)}.{did_you_mean(name, known)}"
            )
    if missing := [name for name in known if name not in given and known[name].default is inspect.Parameter.empty]:
        raise ValueError(f"{where} lacks {listing(missing)}; {step['name']!r} has {listing(known)}.")
    for name, value in given.items():
        if name == "order":
            integer(f"{where}[{name!r}]", value, maximum=10)
        elif name == "ends":
            choice(f"{where}[{name!r}]", value, ENDS)
        else:
            number(f"{where}[{name!r}]", value, 0, low_open=True)
    if "low" in given and given["low"] >= given["high"]:
        raise ValueError(f"{where} goes from low={given['low']} to high={given['high']} Hz; expected low below high.")
    beside = {"beside": True} if boolean(f"{where}['beside']", step.get("beside", False)) else {}
    return {"name": step["name"], **given, **beside}


@functools.lru_cache(maxsize=64)
def _sections(kind: str, frequencies: tuple[float, ...], order: int, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """The filter, and where it stands when it has heard nothing but ones."""
    from scipy.signal import butter, sosfilt_zi

    if frequencies[-1] >= rate / 2:
        raise ValueError(
            f"a step filters at {frequencies[-1]:g} Hz; signals of {rate:g} Hz hold what is below {rate / 2:g} Hz."
        )
    at = frequencies if len(frequencies) > 1 else frequencies[0]
    sections: np.ndarray = butter(order, at, kind, fs=rate, output="sos")
    return sections, sosfilt_zi(sections)[:, :, None]


def _filtered(
    x: np.ndarray, rate: float, kind: str, frequencies: tuple[float, ...], order: int, ends: str
) -> np.ndarray:
    """Through a Butterworth filter forwards and backwards, which moves nothing in time; each end is continued by a
    period of the lowest frequency, or as far as the signal goes. SciPy's `sosfiltfilt`, which would find where the
    filter stands anew for each window."""
    from scipy.signal import sosfilt

    sections, ones = _sections(kind, frequencies, order, rate)
    n = min(len(x) - 1, round(rate / frequencies[0]))
    before, after = x[n:0:-1], x[-2 : -n - 2 : -1]
    if ends == "odd":
        before, after = 2 * x[:1] - before, 2 * x[-1:] - after
    filtered: np.ndarray = np.concatenate([before, x, after])
    for _ in range(2):
        filtered = sosfilt(sections, filtered, axis=0, zi=ones * filtered[0])[0][::-1]
    return filtered[n : len(filtered) - n]
