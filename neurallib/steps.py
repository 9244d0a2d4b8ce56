"""Named steps: filters that stand before a network's normalization, applied to each signal, or window, by itself."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from neurallib.checks import boolean, choice, integer, is_list, number
from neurallib.names import did_you_mean, listing

ENDS = ("odd", "even")
FLOOR = 0.05  # of a signal's own size: what a local gain divides a stretch of silence by
_ORDER, DURATION = 2, 2.0
ROUNDING = 1e-9  # of a signal: what has no shape beside its offset is not blown up
FACTOR = 30.0  # times the usual change from sample to sample: both leads of all of DS1 go to 24, artefacts included
HEARD = 0.2  # of a slew limit's duration, in which a signal has to have changed before it is limited
_SETTLED = 1e-3  # what is left of where a causal filter began, once it is warm
_LONGEST = 100_000  # steps to warm one up, however slow it is
_FEW, _MANY = 64, 4096  # steps that a slew limit looks at together, behind one that it changed and elsewhere
_SAID = ("name", "causal", "beside")  # of a step, beside its parameters

Held = list[list[np.ndarray]]  # what causal steps carry on: the states of each one's filters, none of others


def _highpass(x: np.ndarray, rate: float, frequency: float, order: int = _ORDER, ends: str = "odd") -> np.ndarray:
    return _filtered(x, rate, "highpass", (frequency,), order, ends)


def _lowpass(x: np.ndarray, rate: float, frequency: float, order: int = _ORDER, ends: str = "odd") -> np.ndarray:
    return _filtered(x, rate, "lowpass", (frequency,), order, ends)


def _band(x: np.ndarray, rate: float, low: float, high: float, order: int = _ORDER, ends: str = "odd") -> np.ndarray:
    return _filtered(x, rate, "bandpass", (low, high), order, ends)


def _local_gain(
    x: np.ndarray, rate: float, low: float, high: float, duration: float = DURATION, order: int = _ORDER
) -> np.ndarray:
    """The band divided by its own RMS over `duration` seconds around each step."""
    from scipy.ndimage import uniform_filter1d

    band = _band(x, rate, low, high, order)
    power = uniform_filter1d(band**2, 2 * round(duration * rate / 2) + 1, axis=0, mode="nearest")
    size = np.sqrt(np.maximum(power, 0)) + FLOOR * np.sqrt((band**2).mean(axis=0))
    gained: np.ndarray = band / np.where(size > 0, size, 1.0)
    return gained


def _slew_limit(x: np.ndarray, rate: float, factor: float = FACTOR, duration: float = DURATION) -> np.ndarray:
    return _limited(x, rate, {"factor": factor, "duration": duration}, None)[0]


def _rectify(x: np.ndarray, rate: float) -> np.ndarray:
    size: np.ndarray = np.abs(x)
    return size


# Each takes a signal [T, C] float64, its rate in Hz and parameters, and gives [T, C]: what it is without "causal".
STEPS: dict[str, Callable[..., np.ndarray]] = {
    "highpass": _highpass,
    "lowpass": _lowpass,
    "band": _band,
    "local_gain": _local_gain,
    "slew_limit": _slew_limit,
    "rectify": _rectify,
}


def check_steps(steps: Any) -> list[dict[str, Any]]:
    """Steps as a state keeps them, each a dict with its "name", its parameters, "causal" where it hears nothing of what
    comes after, and "beside" where its result stands beside the signal; TypeError or ValueError if they are no list of
    dicts, or a name or a parameter is wrong or missing."""
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


def are_causal(steps: Sequence[Mapping[str, Any]] | None) -> bool:
    """Whether a stream can go through them."""
    return all(step.get("causal") or step["name"] == "rectify" for step in steps or ())


def apply_steps(x: np.ndarray, steps: Sequence[Mapping[str, Any]] | None, rate: float | None) -> np.ndarray:
    """The signal [T, C] as steps make it, [T, n_inputs] float64; as it comes where there are none. ValueError if the
    sampling frequency is not known, or too low for a filter.

    A step replaces all that there is, one `beside` takes the signal's own channels and comes after all others.
    """
    if not steps:
        return x
    if rate is None:
        raise ValueError(
            "state['preprocessing']['steps'] has filters, and the sampling frequency is not known: give it in "
            "state['preprocessing']['sampling_frequency'], or to train."
        )
    return steps_going_on(x, steps, rate)[0]


def steps_going_on(
    x: np.ndarray, steps: Sequence[Mapping[str, Any]], rate: float, held: Held | None = None
) -> tuple[np.ndarray, Held]:
    """The next piece [..., T, C] of signals, with a sample at least, as `apply_steps` makes it of the whole where all
    steps are causal; and what the piece after it needs. `held` is what the one before gave, None for the first."""
    n_features, after = x.shape[-1], Held()
    x = np.asarray(x, dtype=np.float64)
    for i, step in enumerate(steps):
        given = x[..., :n_features] if step.get("beside") else x
        if _has_memory(step):
            made, states = _forwards(given, rate, step, held[i] if held else None)
        else:
            parameters = {name: value for name, value in step.items() if name not in _SAID}
            made, states = STEPS[step["name"]](given, rate, **parameters), []
        x = np.concatenate([x, made], axis=-1) if step.get("beside") else made
        after.append(states)
    return x, after


def warm_up(steps: Sequence[Mapping[str, Any]] | None, rate: float | None) -> int:
    """How many samples before a piece causal steps have to hear until where they began is not seen any more."""
    n_steps = 0.0
    for step in steps or ():
        if _has_memory(step) and step["name"] != "slew_limit" and rate is not None:  # which touches artefacts alone
            sections, _ = sections_of(step, rate)
            poles = [max(np.abs(np.roots(section[3:])).max() for section in sections)]
            poles += [kept_of_power(step, rate)] * (step["name"] == "local_gain")
            n_steps += sum(math.log(_SETTLED) / min(math.log(pole + 1e-300), -1e-9) for pole in poles)
    return min(math.ceil(n_steps), _LONGEST)


def _has_memory(step: Mapping[str, Any]) -> bool:
    """Whether a step is a filter that carries what it heard on."""
    return bool(step.get("causal")) and step["name"] != "rectify"


def _check_step(where: str, step: Mapping[str, Any]) -> dict[str, Any]:
    choice(f"{where}['name']", step.get("name"), STEPS)
    known = dict(list(inspect.signature(STEPS[step["name"]]).parameters.items())[2:])
    if step.get("causal"):
        known.pop("ends", None)  # of a signal that is gone through both ways
    given = {name: value for name, value in step.items() if name not in _SAID}
    for name in given:
        if name not in known:
            raise ValueError(
                f"{where} has {name!r}; {step['name']!r} has {listing([*known, *_SAID[1:]])}."
                f"{did_you_mean(name, [*known, *_SAID[1:]])}"
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
    said = {name: True for name in _SAID[1:] if boolean(f"{where}[{name!r}]", step.get(name, False))}
    return {"name": step["name"], **given, **said}


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
    period of the lowest frequency, or as far as the signal goes."""
    from scipy.signal import sosfiltfilt

    sections, _ = _sections(kind, frequencies, order, rate)
    beyond = min(len(x) - 1, round(rate / frequencies[0]))
    return _without_rounding(sosfiltfilt(sections, x, axis=0, padtype=ends, padlen=beyond), x)


def _forwards(
    x: np.ndarray, rate: float, step: Mapping[str, Any], held: Sequence[np.ndarray] | None
) -> tuple[np.ndarray, list[np.ndarray]]:
    """A causal step of the next piece [..., T, C], and the states of its filters [sections, ..., 2, C]: through the
    same Butterworth filter forwards alone, which begins as if the first sample had been there for ever. A local gain's
    RMS is of all that came, the less of it the longer ago."""
    from scipy.signal import sosfilt

    if step["name"] == "slew_limit":
        return _limited(x, rate, step, held)
    sections, ones = sections_of(step, rate)
    if held is None:
        start = ones.reshape(len(ones), *(1,) * (x.ndim - 2), 2, 1) * x[..., :1, :]
        held = [start, np.zeros((1, *x.shape[:-2], 2, x.shape[-1] + 1))]
    made, after = sosfilt(sections, x, axis=-2, zi=held[0])
    made = _without_rounding(made, x)
    if step["name"] != "local_gain":
        return made, [after]
    kept = kept_of_power(step, rate)
    power = np.concatenate([made**2, np.ones_like(made[..., :1])], axis=-1)  # the last tells how much has come
    power, of_power = sosfilt([[1 - kept, 0, 0, 1, -kept, 0]], power, axis=-2, zi=held[1])
    size = np.sqrt(power[..., :-1] / power[..., -1:])
    return made / np.where(size > ROUNDING * np.abs(x), size, np.inf), [after, of_power]


def _limited(
    x: np.ndarray, rate: float, step: Mapping[str, Any], held: Sequence[np.ndarray] | None
) -> tuple[np.ndarray, list[np.ndarray]]:
    """The next piece [..., T, C] of signals that change from sample to sample by no more than so many times the RMS of
    their changes of late, and what goes on, [1, ..., 3, C]: the last sample, the mean square of the changes, and how
    much of late was no flat line, which tells nothing of a signal's size."""
    from scipy.signal import lfilter

    kept, factor = kept_of_power(step, rate), step.get("factor", FACTOR)
    x = np.array(x)
    first = np.concatenate([x[..., :1, :], np.zeros_like(x[..., :1, :]), np.zeros_like(x[..., :1, :])], axis=-2)
    last, *means = np.moveaxis(first if held is None else held[0][0], -2, 0)
    mean, begin, size = np.stack(means), 0, _MANY
    while begin < x.shape[-2]:
        part, size = x[..., begin : begin + size, :], min(2 * size, _MANY)
        change = np.diff(part, axis=-2, prepend=last[..., None, :])
        new = np.stack([change**2, change != 0])
        after, _ = lfilter([1 - kept], [1, -kept], new, axis=-2, zi=kept * mean[..., None, :])
        power, heard = np.concatenate([mean[..., None, :], after[..., :-1, :]], axis=-2)
        limit = factor * np.sqrt(np.divide(power, heard, out=np.full_like(power, np.inf), where=heard >= HEARD))
        beyond = np.abs(change) > limit
        n = part.shape[-2]
        if beyond.any():  # the first, where all streams stop
            n, size = int(np.moveaxis(beyond, -2, 0).reshape(n, -1).any(axis=1).argmax()) + 1, _FEW
            at = np.s_[..., n - 1, :]
            change[at] = np.clip(change[at], -limit[at], limit[at])
            before = part[..., n - 2, :] if n > 1 else last
            part[at] = np.where(beyond[at], before + change[at], part[at])
            new = np.stack([change[at] ** 2, change[at] != 0])
            after[at] = kept * np.stack([power[at], heard[at]]) + (1 - kept) * new
        last, mean, begin = part[..., n - 1, :], after[..., n - 1, :], begin + n
    return x, [np.stack([last, *mean], axis=-2)[None]]


def _without_rounding(made: np.ndarray, x: np.ndarray) -> np.ndarray:
    """What a filter made of a signal, 0 where that is nothing beside it: a flat line has no noise to be scaled up."""
    return np.where(np.abs(made) > ROUNDING * np.abs(x), made, 0.0)


def kept_of_power(step: Mapping[str, Any], rate: float) -> float:
    """The share of a mean power of late that a sample leaves of what was before it."""
    return math.exp(-1 / max(step.get("duration", DURATION) * rate, 1.0))


def sections_of(step: Mapping[str, Any], rate: float) -> tuple[np.ndarray, np.ndarray]:
    """The sections of a step's filter, and their states after a constant 1."""
    frequencies = tuple(step[name] for name in ("frequency", "low", "high") if name in step)
    kind = step["name"] if len(frequencies) == 1 else "bandpass"
    return _sections(kind, frequencies, step.get("order", _ORDER), rate)
