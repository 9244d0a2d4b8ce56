"""What is handed in against what a state was trained on: channels by name, units, and the sampling frequency."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from neurallib.checks import as_list, number
from neurallib.names import listing
from neurallib.signals.normalization import OWN
from neurallib.state import Preprocessing, State
from neurallib.steps import are_causal
from neurallib.tasks import describe
from neurallib.warn import warn

_log = logging.getLogger(__name__)
_BASES = {
    **dict.fromkeys(("V", "volt", "volts"), ("V", 1.0)),
    **dict.fromkeys(("m/s2", "m/s^2", "m/s²", "m/s**2", "m/(s^2)"), ("m/s2", 1.0)),
    **dict.fromkeys(("g", "G"), ("m/s2", 9.80665)),
    **dict.fromkeys(("S", "siemens"), ("S", 1.0)),
    **dict.fromkeys(("T", "tesla"), ("T", 1.0)),
    **dict.fromkeys(("A", "ampere"), ("A", 1.0)),
    **dict.fromkeys(("Ohm", "ohm", "Ohms", "ohms", "Ω"), ("Ohm", 1.0)),
    **dict.fromkeys(("deg/s", "°/s", "dps"), ("rad/s", math.pi / 180)),
    **dict.fromkeys(("1/min", "bpm", "rpm", "brpm"), ("Hz", 1 / 60)),
    **dict.fromkeys(("°C", "degC", "deg C", "Celsius", "celsius", "degrees Celsius", "Degrees Celsius"), ("°C", 1.0)),
    **dict.fromkeys(("%", "percent"), ("%", 1.0)),
    **dict.fromkeys(("L", "l", "liter", "liters", "litre", "litres"), ("L", 1.0)),
    **dict.fromkeys(("L/s", "l/s", "L/sec", "l/sec"), ("L/s", 1.0)),
    **dict.fromkeys(("L/min", "l/min", "lpm", "LPM"), ("L/s", 1 / 60)),
    **dict.fromkeys(("N", "newton", "newtons"), ("N", 1.0)),
    "Pa": ("Pa", 1.0), "mmHg": ("Pa", 133.322387415), "cmH2O": ("Pa", 98.0665),
    "rad/s": ("rad/s", 1.0), "Hz": ("Hz", 1.0),
}  # fmt: skip
_OF_ITS_OWN = {"nu", "n.u.", "au", "a.u.", "raw", "adc", "counts", "lsb", "no units", "no_units", "-"}  # of no measure
_COARSE = 8  # times slower than what a state learnt from: of most of its waves nothing is left
_PREFIXES = {"f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "µ": 1e-6, "μ": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6}
_WORDS = {"femto": "f", "pico": "p", "nano": "n", "micro": "u", "milli": "m", "kilo": "k", "mega": "M"}
_SAME = Fraction(1)


class Conversion(NamedTuple):
    """What makes a signal as it is handed in one that a state was trained on."""

    columns: list[int] | None  # of the channels that the state names
    factors: np.ndarray | None  # [C]
    rate: Fraction  # steps of the state's frequency for one that is handed in
    n_given: int | None  # channels that a signal has

    @property
    def resamples(self) -> bool:
        """Whether the network sees another number of steps than is handed in."""
        return self.rate is not _SAME and self.rate != 1

    def apply(self, x: np.ndarray) -> np.ndarray:
        """The signal [T, C] with the state's channels, in its units and at its frequency."""
        return self.converted(x if self.columns is None else x[:, self.columns])

    def converted(self, x: np.ndarray) -> np.ndarray:
        """The state's channels of a signal in its units and at its frequency."""
        if self.factors is not None:
            x = x * self.factors
        return resampled(x, self.rate) if self.resamples else x


class Handed(NamedTuple):
    """What is done with signals that are handed in, beside checking and normalizing them."""

    conversion: Conversion = Conversion(None, None, _SAME, None)
    window: int | None = None  # steps in which longer ones are taken
    goes_on: bool = False  # and whether they are one pass instead
    untold: bool = False  # whether nobody says at which rate they are, and the state knows its own


def resampled(x: np.ndarray, rate: Fraction) -> np.ndarray:
    """[ceil(T * rate), C] by a polyphase filter (scipy), the ends of the signal continued.

    An offset goes around the filter: its phases differ a little in what they do to a constant, which would be seen
    beside a small signal on a large one."""
    from scipy.signal import resample_poly

    x = np.array(x, dtype=np.float64)  # in place from here on, for a day of some channels is large
    x -= (offset := x.mean(axis=0))
    found = resample_poly(x, rate.numerator, rate.denominator, axis=0, padtype="edge")
    found += offset
    return np.asarray(found)


def handed_to(
    state: State,
    sampling_frequency: float | None = None,
    channels: Sequence[str] | None = None,
    units: Sequence[str] | str | None = None,
) -> Handed:
    """What a state that is applied does with signals of which this is said."""
    known = state["preprocessing"]
    n_features = describe(state).n_features
    made = conversion(known, n_features, sampling_frequency, channels, units)
    untold = sampling_frequency is None and known["sampling_frequency"] is not None
    return Handed(made, window_steps(known), goes_on(state) and not made.resamples, untold)


def goes_on(state: State) -> bool:
    """Whether the state can hear all that came before, step after step: a signal of any length is one pass."""
    known, one_way = state["preprocessing"], not any(state["hparams"].get("bidir_per_layer", [True]))
    by_itself = known["normalization"] in OWN or not are_causal(known["steps"]) or known["residual"]
    return state["architecture"] == "GRUseq2seq" and one_way and not by_itself


def window_steps(known: Preprocessing) -> int | None:
    """The steps of the windows that a state was trained on."""
    window = known["window"]
    return None if window is None else max(1, round(min(window * (known["sampling_frequency"] or 1), 2.0**53)))


def conversion(
    known: Preprocessing,
    n_features: int,
    sampling_frequency: float | None = None,
    channels: Sequence[str] | None = None,
    units: Sequence[str] | str | None = None,
) -> Conversion:
    """What has to be done to signals of this frequency, these channels and units for a state that knows its own, or an
    error where nothing can be; the log has which channels are picked and what units are converted."""
    names = _names("channels", channels, None)
    columns = _columns(known["channels"], names, n_features)
    n_given = n_features if names is None else len(names)
    given_units = _names("units", units, n_given)
    if columns is not None and given_units is not None:
        given_units = [given_units[column] for column in columns]
    rate, factors = _rate(known["sampling_frequency"], sampling_frequency), _factors(known["units"], given_units)
    if columns is not None:
        _log.info("channels are %s: %s are picked.", listing(names or ()), listing(known["channels"] or ()))
    if factors is not None:
        _log.info("units are %s: converted to %s.", listing(given_units or ()), listing(known["units"] or ()))
    return Conversion(columns, factors, rate, n_given)


def adopted(
    known: Preprocessing, n_features: int, channels: Sequence[str] | None, units: Sequence[str] | str | None
) -> Preprocessing:
    """The preprocessing that has taken over the names of the channels and the units which it did not know."""
    names = _names("channels", channels, None)
    given_units = _names("units", units, n_features if names is None else len(names))
    if names is not None and known["channels"] is None:
        if len(names) != n_features:
            raise ValueError(f"channels has {len(names)} names; expected {n_features}, one a feature.")
        known = known | {"channels": names}
    if given_units is not None and known["units"] is None:
        if names is not None and known["channels"] is not None and set(known["channels"]) <= set(names):
            given_units = [given_units[names.index(name)] for name in known["channels"]]
        known = known | {"units": given_units}
    return known


def _names(argument: str, given: Any, n: int | None) -> list[str] | None:
    """`given` as a list of names; one text stands for all `n`."""
    if given is None:
        return None
    names = [given] * n if isinstance(given, str) and n is not None else as_list(given)
    if isinstance(names, str) or not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"{argument}={given!r}; expected a list of names, one a channel.")
    if n is not None and len(names) != n:
        raise ValueError(f"{argument} has {len(names)} names; expected {n}, one a channel.")
    return list(names)


def _columns(known: list[str] | None, given: list[str] | None, n_features: int) -> list[int] | None:
    if given is None or given == known:
        return None
    if known is None:
        if len(given) != n_features:
            way = ": hand those in alone, which read_recording picks by channels=" if len(given) > n_features else ""
            raise ValueError(f"channels names {listing(given)}; the state takes {n_features} and knows no names{way}.")
        return None
    if missing := [name for name in known if name not in given]:
        raise ValueError(
            f"channels lacks {listing(missing)}: the state was trained on {listing(known)}, given are {listing(given)}."
            f" Where {missing[0]!r} has another name, call it so, as read_recording(..., "
            f"channels=[({missing[0]!r}, its name)]) does."
        )
    return [given.index(name) for name in known]


def _factors(known: list[str] | None, given: list[str] | None) -> np.ndarray | None:
    if known is None or given is None:
        return None
    factors = [unit_factor(theirs, own) for theirs, own in zip(given, known, strict=True)]
    if None in factors:
        at = factors.index(None)
        came = f"units={given[at]!r}; the state was trained on {known[at]!r}"
        raise ValueError(f"{came}, and nothing converts one to the other.")
    return None if all(factor == 1 for factor in factors) else np.array(factors)


def unit_factor(given: str, wanted: str) -> float | None:
    """What values in `given` are multiplied by to be in `wanted`; None where nothing converts one to the other."""
    given, wanted = given.strip(), wanted.strip()
    if given == wanted or not given or not wanted:  # "" is a recording's word for a unit that it does not say
        return 1.0
    (dimension, size), (other, own) = _measure(given), _measure(wanted)
    return size / own if dimension == other else None


def is_unit(text: str) -> bool:
    """Whether a text is a unit that is known, be it one of no measure, such as "a.u."."""
    name = text.strip()
    return name.lower() in _OF_ITS_OWN or _measure(name)[0] in {dimension for dimension, _ in _BASES.values()}


def _measure(unit: str) -> tuple[str, float]:
    """What a unit measures, and in how many of the base unit; of an unknown one itself."""
    name = unit.strip()
    for word, letter in _WORDS.items():
        if name.lower().startswith(word):
            name = letter + name[len(word) :]
    if name in _BASES:
        return _BASES[name]
    if name[:1] in _PREFIXES and name[1:] in _BASES:
        dimension, size = _BASES[name[1:]]
        return dimension, size * _PREFIXES[name[0]]
    return name, 1.0


def ratio_of(wanted: float, given: float, n_steps: int = 0) -> Fraction:
    """Steps at one frequency for one at another, as a filter can make them, or an error where it cannot. What is left
    over makes up less than half a step in `n_steps`, or is as little as a filter ten times as long leaves."""
    exact = Fraction(float(wanted)) / Fraction(float(given))
    ratio = exact.limit_denominator(10_000)
    if abs(ratio - exact) * n_steps >= 0.5:
        ratio = exact.limit_denominator(100_000)
    if not 0 < ratio < 10_000:
        raise ValueError(f"sampling_frequency: {given:g} Hz for {wanted:g} Hz, too far from it to be resampled.")
    return ratio


def _rate(known: float | None, given: float | None) -> Fraction:
    if given is None:
        return _SAME
    number("sampling_frequency", given, 0, low_open=True)
    if known is None:
        raise ValueError(
            f"sampling_frequency={given:g}, but the state does not know at which frequency it was trained: give it in "
            "state['preprocessing']['sampling_frequency'], or to train."
        )
    rate = ratio_of(known, given)
    if rate >= _COARSE:
        warn(
            f"sampling_frequency={given:g} Hz, and the state learnt at {known:g} Hz: signals hold nothing above "
            f"{given / 2:g} Hz of what it looks for. Is it given in Hz, and that of these signals?"
        )
    return rate
