"""What a recording is made of: channels, units, events, rows of its signal, and where it says nothing."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from unicodedata import normalize

import numpy as np
from torch import Tensor

from neurallib.checks import items, number
from neurallib.names import did_you_mean, listing
from neurallib.signals.arrays import as_array, check_plain
from neurallib.signals.contents import LazySignal
from neurallib.signals.conversion import unit_factor

Recording = Mapping[str, Any]
_PART = 1 << 20  # samples that are read together
_RISING = 50, 1 << 14  # samples, least and most, in which times and counters do nothing but rise
_PLAIN = {"channels", "units", "sampling_frequency"}  # numpy's arrays of them, as an .npz has them, are taken as well
_RATES = set("fs sr hz rate freq frequency sfreq fsamp sample_rate samplerate sampling_rate samplingrate".split())
# As PhysioNet and EDF name them, in lower case: standard, modified (MLII), chest (CM5, CC5, MCL1), of Holters (D3).
_LEAD = re.compile(
    "(lead|ecg|ekg)?(i{1,3}|av[rlf]|v(1[0-2]?|[2-9])r?)|d(i{1,3}|[1-4])|v[xyz]|ml(i{1,3}|[1-9])|mcl[1-6]|mv[1-9]"
    "|c[cm][1-6r]|cs12|(ecg|ekg|electrocardiogram)[0-9]{0,2}"
)
_LEAD_II = re.compile("(ecg|ekg)?(lead|ml|d)?ii|(ml|d)2")
_BESIDE_A_LEAD = set(  # and "lead" in some languages; electrodes, from which to which one is measured
    "lead mod modified mdc ref mv uv v raw filtered inverted signal channel ch chest pol la ra ll rl "
    "abl ableitung derivacion derivation derivazione derivacao afleiding avledning odprowadzenie".split()
)


def as_recording(recording: Any, what: str = "recording", rated: bool = True) -> dict[str, Any]:
    """The recording, or an error unless it is one: a dict with a signal [T, C] and, where it has to be `rated`, its
    sampling frequency. A tensor, a list or a DataFrame, whose columns are the channels, becomes an array."""
    if isinstance(recording, (str, os.PathLike)):
        raise TypeError(f"{what} is a path, {os.fspath(recording)!r}; expected a recording: read_recording reads one.")
    check_plain(recording, what)
    if not isinstance(recording, Mapping):
        expected = "expected a recording: {'signal': [T, C], 'sampling_frequency': Hz}, as read_recording gives it"
        raise TypeError(f"{what} is a {type(recording).__name__}; {expected}.")
    there = [str(key) for key, value in recording.items() if value is not None]
    if missing := [key for key in ("signal", "sampling_frequency")[: 1 + rated] if key not in there]:
        alike = [f" Is {key!r} its {missing[-1]}?" for key in there if key.lower() in _RATES]
        alike = alike if missing[-1] == "sampling_frequency" else []
        raise ValueError(f"{what} has no {listing(missing)}; it has {listing(there)}.{''.join(alike)}")
    told = {key: value.tolist() if hasattr(value, "tolist") and key in _PLAIN else value
            for key, value in recording.items()}  # fmt: skip
    rate: Any = recording.get("sampling_frequency")
    if math.prod(getattr(rate, "shape", (0,))) == 1:  # as .mat files hold it
        told["sampling_frequency"] = rate.item()
    if isinstance(several := told.get("sampling_frequency"), (list, tuple, Mapping)):
        way = "one rate: scipy.signal.resample_poly(values, 100, 50) brings 50 Hz to 100 Hz"
        raise TypeError(f"the sampling_frequency of {what}={several!r}; expected a number, as a recording has {way}.")
    if told.get("sampling_frequency") is not None:
        number(f"the sampling_frequency of {what}", told["sampling_frequency"], 0, low_open=True)
    if isinstance(told.get("units"), (list, tuple)):
        told["units"] = ["" if unit is None else unit for unit in told["units"]]
    if isinstance(told.get("channels"), (list, tuple)):  # numbers are names as well, as in a file without any
        told["channels"] = [str(name) if isinstance(name, (int, np.integer)) else name for name in told["channels"]]
    signal = told["signal"]
    if hasattr(signal, "columns") and told.get("channels") is None:  # a DataFrame of pandas
        names = list(signal.columns)
        told |= {"channels": names} if all(isinstance(name, str) for name in names) else {}
    told["signal"] = _as_signal(signal, f"the signal of {what}")
    check_signal(told["signal"], f"the signal of {what}", told.get("channels"))
    return told


def _as_signal(signal: Any, what: str) -> Any:
    """An array, or what is sliced like one."""
    if hasattr(signal, "toarray"):
        raise TypeError(f"{what} is a {type(signal).__name__}; expected an array [T, C]: signal.toarray().")
    if isinstance(signal, (list, tuple, Tensor)) or hasattr(signal, "to_numpy"):  # pandas, whose slices are columns
        try:
            signal = as_array(signal, what)
        except ValueError as error:
            raise TypeError(str(error)) from error
    try:
        return signal.astype(np.float64) if getattr(signal, "dtype", None) == object else signal
    except (TypeError, ValueError) as error:
        raise TypeError(f"{what} is no array of numbers [T, C]: {error}.") from error


def n_channels_of(signal: Any) -> int:
    """C of a signal [T, C], 1 of one [T]."""
    return int(signal.shape[1]) if len(signal.shape) == 2 else 1


def check_signal(signal: Any, what: str, channels: Any = None) -> None:
    """Raise unless it is numbers [T, C] or [T], time first, with as many channels as have names where some have."""
    if not hasattr(signal, "shape"):
        raise TypeError(f"{what} is a {type(signal).__name__}; expected an array [T, C], such as np.array(signal).")
    shape, dtype = tuple(signal.shape), getattr(signal, "dtype", None)
    if getattr(dtype, "kind", "f") not in "biufO":
        raise TypeError(f"{what} holds {dtype}; expected floating-point or integer numbers.")
    if len(shape) not in (1, 2) or 0 in shape:
        raise ValueError(f"{what} has shape {shape}; expected [T, C], neither of them 0.")
    n = n_channels_of(signal)
    named = len(channels) if isinstance(channels, (list, tuple)) else None
    if n != named if named else n > shape[0]:
        why = f"and channels names {named}" if named else "more channels than steps"
        turn = ": hand in its transpose, signal.T" if named in (None, shape[0]) else ""
        raise ValueError(f"{what} has shape {shape}, {why}; expected [T, C], time first{turn}.")


def complete(recording: Any, what: str = "recording") -> dict[str, Any]:
    """The recording with all that `read_recording` gives, of which one in memory needs only some."""
    recording = as_recording(recording, what)
    signal, (samples, symbols, duration) = recording["signal"], events_of(recording)
    n = n_channels_of(signal)
    said = {name: value for name, value in recording.items() if value is not None}
    unsaid: dict[str, Any] = {"person": None, "source": None, "start_time": None, "notes": []}
    found = {
        "signal": signal,
        "events": {"sample": samples, "symbol": symbols, "duration": duration},
        "channels": of_each(recording, "channels", list(map(str, range(n)))),
        "units": of_each(recording, "units", [""] * n),
    }
    return unsaid | said | found


def of_each(recording: Recording, key: str, unsaid: list[str]) -> list[str]:
    """What a recording says of each channel, "channels" or "units", or what stands for it where it says nothing."""
    given, n = recording.get(key), len(unsaid)
    if not isinstance(given, (str, type(None))):
        given = items(f"the {key} of {name_of(recording)}", given, "names")
    if not given:
        return unsaid
    if isinstance(given, str) and (n == 1 or key == "units"):
        return [given] * n
    if isinstance(given, str) or len(given) != n:
        raise ValueError(f"the {key} of {name_of(recording)} are {given!r}; expected a list of {n}, one a channel.")
    return given


def name_of(recording: Recording) -> str:
    """Its name, else "recording"."""
    return str(recording.get("name") or "recording")


def column_of(
    recording: Recording, channel: str | int | None, wanted: Sequence[str] | None = None, argument: str = "channel"
) -> int:
    """The column of a channel, by its name or number; by default the first of those that are wanted, else 0."""
    names, n_channels = _channel_names(recording), n_channels_of(recording["signal"])
    if channel is None:
        return next((names.index(name) for name in wanted or () if name in names), 0)
    if isinstance(channel, str):
        if channel not in names:
            hint = did_you_mean(channel, names)
            has = f"has {listing(names)}" if names else "says no channels"
            raise ValueError(f"{argument}={channel!r}; {name_of(recording)} {has}.{hint}")
        return names.index(channel)
    if isinstance(channel, bool) or not isinstance(channel, (int, np.integer)):
        raise TypeError(f"{argument}={channel!r} is a {type(channel).__name__}; expected a name or a number.")
    if not 0 <= channel < n_channels:
        raise ValueError(f"{argument}={channel}; {name_of(recording)} has {n_channels}, from 0 on.")
    return int(channel)


def ecg_leads(recording: Recording, unit: str | None = None) -> list[int]:
    """The columns with names of ECG leads, such as "II", "MLII", "aVR", "V5" or "ECG 1", that hold a value, in what can
    be converted to a unit; lead II before the others, as the one that rhythm is read from."""
    names, n = _channel_names(recording), n_channels_of(recording["signal"])
    units = of_each(recording, "units", [""] * n)
    named = [k for k, name in enumerate(names) if is_ecg_lead(name) and unit_factor(units[k], unit or "") is not None]
    named.sort(key=lambda k: _LEAD_II.fullmatch("".join(_lead_words(names[k]))) is None)
    return with_values(recording, named) if len(named) > 1 else named


def with_values(recording: Recording, columns: Sequence[int]) -> list[int]:
    """Those of some columns that hold a value, or the first where none does."""
    there = np.zeros(len(columns), dtype=bool)
    for low in range(0, len(recording["signal"]), _PART):
        there |= np.isfinite(rows_of(recording, low, low + _PART)[:, columns]).any(axis=0)
        if there.all():
            break
    return [column for column, holds in zip(columns, there, strict=True) if holds] or list(columns[:1])


def signals_of(recording: Recording) -> list[int]:
    """The columns but those that do nothing but rise, as times and counters do and no signal."""
    rows = rows_of(recording, 0, _RISING[1])
    rising = (rows[1:] > rows[:-1]).all(axis=0)
    columns: list[int] = np.flatnonzero(~rising | (len(rows) < _RISING[0])).tolist()
    return columns


def is_ecg_lead(name: str) -> bool:
    """Whether a channel's name is that of an ECG lead, and of nothing that is only made of one, as its quality."""
    leads = _lead_words(name)
    return len(leads) > 0 and all(map(_LEAD.fullmatch, leads))


def _lead_words(name: str) -> list[str]:
    """What a channel's name is made of, but for numbers and for what may stand beside a lead."""
    plain = normalize("NFKD", name.lower()).encode("ascii", "ignore").decode()  # "derivacion" of "Derivación"
    if numbered := re.fullmatch(r"lead[ _.-]*([1-3])", plain):
        return ["d" + numbered[1]]
    words = re.findall("[a-z]+[0-9]*|[0-9]+", plain)
    return [word for word in words if word not in _BESIDE_A_LEAD and not re.fullmatch("(ch|chan)?[0-9]+", word)]


def _channel_names(recording: Recording) -> list[str]:
    given = recording.get("channels")
    if given is None:
        return []
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(f"channels={given!r}; expected a list of names, one a channel.")
    return [str(name) for name in given]


def of_channel(recording: Recording, column: int) -> Recording:
    """The recording with one of its channels alone, whose signal is read as the recording's is."""
    if n_channels_of(recording["signal"]) == 1:
        return recording
    n_steps = len(recording["signal"])
    one = LazySignal(lambda start, stop: rows_of(recording, start, stop)[:, column : column + 1], n_steps, 1)
    named = {name: [recording[name][column]] for name in ("channels", "units") if recording.get(name)}
    return {**recording, "signal": one, **named}


def events_of(recording: Recording) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Samples int64 [n], symbols [n] and durations float64 [n] in seconds of what is annotated."""
    events = recording.get("events")
    events = {} if events is None else events
    expected = "expected a dict: {'sample': [n], 'symbol': [n]}, 'N' of a beat, and 'duration' in s of what lasts"
    if not isinstance(events, Mapping):
        raise TypeError(f"the events of {name_of(recording)} are a {type(events).__name__}; {expected}.")
    if events and "sample" not in events:
        raise ValueError(f"the events of {name_of(recording)} have {listing(map(str, events))}; {expected}.")
    samples = _as_samples(events.get("sample", ()), recording)
    symbols = [str(symbol) for symbol in events.get("symbol", ())]
    duration = np.asarray(events.get("duration", np.zeros(len(samples))), np.float64)
    if not len(samples) == len(symbols) == len(duration):
        n = f"{len(samples)} samples, {len(symbols)} symbols and {len(duration)} durations"
        raise ValueError(f"the events of {name_of(recording)} are {n}; expected as many of each, 'N' of a beat.")
    return samples, symbols, duration


def _as_samples(given: Any, recording: Recording) -> np.ndarray:
    """int64 [n], samples of the recording's signal; its end may be marked as well."""
    values, signal = np.asarray(given), recording.get("signal")
    if values.dtype.kind == "f" and (values == np.rint(values)).all():
        values = values.astype(np.int64)
    if values.dtype.kind not in "iu":
        raise TypeError(
            f"the events of {name_of(recording)} are at {listing(map(str, values.ravel()[:9]), 3)}; expected whole "
            "samples of its signal: seconds times its sampling_frequency, rounded."
        )
    n_steps = np.inf if signal is None else len(signal)
    if len(outside := values[(values < 0) | (values > n_steps)]):
        raise ValueError(
            f"{len(outside)} of {len(values)} events of {name_of(recording)} lie outside its {n_steps} samples, the "
            f"first at {outside[0]}: are they of another sampling_frequency, or was the signal cut without them?"
        )
    return values.astype(np.int64)


def gaps_of(recording: Recording) -> np.ndarray:
    """int64 [n, 2], from where to where no channel has a value."""
    return runs_where(recording["signal"], lambda rows: np.isnan(rows).all(axis=1))


def runs_where(signal: Any, holds: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """int64 [n, 2], from where to where something holds of a signal's rows, which are read a part at a time."""
    edges = [np.zeros(0, np.int64)]
    before = False
    for low in range(0, len(signal), _PART):
        there = holds(signal_rows(signal, low, low + _PART))
        edges.append(low + np.flatnonzero(np.diff(there, prepend=before)))
        before = bool(there[-1])
    ends = np.concatenate([*edges, [len(signal)] if before else []]).astype(np.int64)
    return ends.reshape(-1, 2)


def rows_of(recording: Recording, start: int, stop: int) -> np.ndarray:
    """Samples start to stop of a recording, [n, C], as `signal_rows`."""
    return signal_rows(recording["signal"], start, stop)


def signal_rows(signal: Any, start: int, stop: int) -> np.ndarray:
    """Samples start to stop, [n, C], of a signal that may be read only now; nan for what is masked or no number."""
    rows = np.ma.filled(np.ma.asarray(signal[start:stop]).astype(np.float64, copy=False), np.nan)
    return rows[:, None] if rows.ndim == 1 else rows
