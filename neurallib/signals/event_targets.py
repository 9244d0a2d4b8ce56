"""From the events of a recording to the target of a model: an output a sample, or one for the whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from neurallib.checks import boolean, choice, integer, names_of, number, seconds
from neurallib.names import hinted, listing
from neurallib.signals.annotations import (
    beats_of, check_apart, samples_of, tell_if_no_beat, tell_if_none, tell_if_unmarked,
)  # fmt: skip
from neurallib.signals.recording_parts import as_recording, events_of, name_of
from neurallib.signals.recordings import Recording

Classes = Sequence[str | int] | Mapping[Any, int]


def beats(recording: Recording) -> np.ndarray:
    """The samples of the QRS complexes that a recording's events mark.

    Parameters
    ----------
    recording : Recording
        With WFDB's symbols of beats: N L R B A a J S V r F e j n E / f Q ?. What lasts more than 2 s is none.

    Returns
    -------
    np.ndarray
        int64 [n], ascending, on the clock of the recording's signal.

    Raises
    ------
    TypeError, ValueError
        If `recording` is none, or its events are no dict of samples and as many symbols, or moments of which none has a
        symbol of a beat.

    See Also
    --------
    event_target : a target with them.

    Examples
    --------
    >>> import numpy as np
    >>> import neurallib as nl
    >>> events = {"sample": np.array([3, 90, 460]), "symbol": ["(AFIB", "N", "V"], "duration": np.zeros(3)}
    >>> nl.beats({"events": events})
    array([ 90, 460])
    """
    return beats_of(_marked(recording, whole=False))


@hinted
def event_target(
    recording: Recording, *, symbols: Iterable[str] | None = None, width: float = 0.0, shape: str = "window"
) -> np.ndarray:
    """The target of a model that is to find moments: 1 at each, 0 elsewhere.

    Parameters
    ----------
    recording : Recording
        Its events.
    symbols : iterable of str, optional
        The events that count; by default beats.
    width : float
        Seconds: of the whole window that is 1; of a Gaussian its standard deviation. 0: one sample.
    shape : str
        "window", or "gaussian": values fall off from 1 to either side.

    Returns
    -------
    np.ndarray
        float32 [T].

    Raises
    ------
    TypeError, ValueError
        If an argument is of another kind or out of its range.

    See Also
    --------
    interval_target : of what lasts.
    make_dataset : takes this as `target`, with options as functools.partial(nl.event_target, width=0.1).

    Examples
    --------
    >>> import numpy as np
    >>> import neurallib as nl
    >>> events = {"sample": np.array([2, 7]), "symbol": ["N", "V"], "duration": np.zeros(2)}
    >>> recording = {"signal": np.zeros((10, 1)), "sampling_frequency": 10.0, "events": events}
    >>> nl.event_target(recording, width=0.3)
    array([0., 1., 1., 1., 0., 0., 1., 1., 1., 0.], dtype=float32)
    >>> nl.event_target(recording, symbols=["V"], width=0.1, shape="gaussian").round(2)[5:]
    array([0.14, 0.61, 1.  , 0.61, 0.14], dtype=float32)
    """
    choice("shape", shape, ("window", "gaussian"))
    names = None if symbols is None else names_of("symbols", symbols, "symbols", in_order=False)
    marked = _marked(recording)
    steps = seconds("width", width) * marked["sampling_frequency"]
    samples = beats_of(marked) if names is None else samples_of(marked, names)
    if names is None:
        tell_if_no_beat(marked, samples)
        tell_if_unmarked(marked)
    else:
        tell_if_none(marked, names, "symbols", moments=True)
    n_steps = len(marked["signal"])
    target = np.zeros(n_steps, dtype=np.float32)
    reach = int(4 * steps) if shape == "gaussian" else int(steps / 2)
    for shift in range(-reach, reach + 1):
        at = samples + shift
        at = at[(at >= 0) & (at < n_steps)]
        height = np.exp(-0.5 * (shift / steps) ** 2) if shape == "gaussian" and shift else 1.0
        target[at] = np.maximum(target[at], height)
    return target


@hinted
def interval_target(
    recording: Recording, classes: Classes, *, background: int | None = None, binary: bool = False
) -> np.ndarray:
    """The target of a model that is to say what each sample belongs to: sleep stages, rhythms, gestures.

    Parameters
    ----------
    recording : Recording
        Its events that last; a later one takes over from one before, and one that is to be unknown, such as an artefact
        over several stages, from all. Of labels that may hold together a target each:
        np.stack([nl.interval_target(recording, [each], background=0, binary=True) for each in labels], axis=1).
    classes : list of str, or mapping from str to int
        The symbols in order of their classes, or the class of each symbol; -1 for one that is to be unknown.
    background : int, optional
        The class of samples that no such event covers; by default they are unknown. A mapping may give it to a symbol
        as well, a list not: beside a background of 0 say {"spindle": 1, "artefact": 2}, or {"wake": 0, "sleep": 1}.
    binary : bool
        Whether the two classes are those of a binary task: float32, with nan for unknown. A list of one symbol means
        that it is the 1.

    Returns
    -------
    np.ndarray
        int64 [T] with -1 for unknown, or float32 [T] with nan.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another kind, `classes` is empty, the background alone or, of a binary target, more than
        two, or no event of them lasts.

    See Also
    --------
    label_target : one class for the whole.
    event_target : of moments.

    Examples
    --------
    >>> import numpy as np
    >>> import neurallib as nl
    >>> events = {"sample": np.array([1, 4]), "symbol": ["rest", "fist"], "duration": np.array([0.3, 0.2])}
    >>> recording = {"name": "a", "signal": np.zeros((8, 1)), "sampling_frequency": 10.0, "events": events}
    >>> nl.interval_target(recording, ["rest", "fist"])
    array([-1,  0,  0,  0,  1,  1, -1, -1])
    """
    target = _class_steps(recording, classes, background, binary)
    return np.where(target < 0, np.nan, target).astype(np.float32) if binary else target


@hinted
def label_target(
    recording: Recording, classes: Classes, *, least: float = 0.5, background: int | None = None, binary: bool = False
) -> np.ndarray:
    """The one class of a recording, or of a window: the one that takes most of its time.

    Parameters
    ----------
    recording : Recording
        Its events that last.
    classes : list of str, or mapping from str to int
        The symbols in order of their classes, or the class of each symbol.
    least : float
        The share of time, in [0, 1], that this class has to take; with less it is unknown.
    background : int, optional
        The class of time that no such event covers; by default it is unknown.
    binary : bool
        Whether the two classes are those of a binary task: float32, with nan for unknown. A list of one symbol means
        that it is the 1.

    Returns
    -------
    np.ndarray
        A scalar: int64 with -1 for unknown, or float32 with nan.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another kind or out of its range.

    See Also
    --------
    interval_target : a class for each sample.
    make_dataset : with each_window=True asks for one a window.

    Examples
    --------
    >>> import numpy as np
    >>> import neurallib as nl
    >>> events = {"sample": np.array([0, 2]), "symbol": ["rest", "fist"], "duration": np.array([0.2, 0.6])}
    >>> recording = {"name": "a", "signal": np.zeros((8, 1)), "sampling_frequency": 10.0, "events": events}
    >>> nl.label_target(recording, ["rest", "fist"])
    array(1)
    """
    number("least", least, 0, 1)
    steps = _class_steps(recording, classes, background, binary)
    counts = np.bincount(steps[steps >= 0], minlength=1)
    best = int(counts.argmax())
    known = counts[best] > 0 and counts[best] >= least * len(steps)
    if binary:
        return np.array(best if known else np.nan, dtype=np.float32)
    return np.array(best if known else -1, dtype=np.int64)


def _marked(recording: Any, whole: bool = True) -> Any:
    """The recording, with its signal and rate where it has to be `whole`; an error where it is none, or says nothing of
    events, not even that there are none."""
    known = as_recording(recording) if whole or not isinstance(recording, Mapping) else recording
    if "events" not in known:
        raise ValueError(f"{name_of(known)} has no 'events'; expected them, {{}} where nothing is marked.")
    return known


def _class_steps(recording: Recording, classes: Classes, background: int | None, binary: bool) -> np.ndarray:
    """int64 [T], the class of each sample, -1 where it is unknown; a warning where no event is of any."""
    class_of = class_of_each(classes, boolean("binary", binary))
    recording = _marked(recording)
    two = {"maximum": 1} if binary else {}
    if background is not None:
        integer("background", background, minimum=-1, **two)
    for symbol, value in class_of.items():
        integer(f"the class of {symbol!r}", value, minimum=-1, **two)
    if set(class_of.values()) == {background}:
        raise ValueError(f"background={background} is the class of {listing(class_of)} as well; expected another.")
    if not isinstance(classes, Mapping) and background in class_of.values():
        own, two = ({name: i + k for i, name in enumerate(class_of)} for k in (1, 0))
        said = f"background={background} is the class of one of {listing(class_of)} as well, which a list counts from 0"
        raise ValueError(f"{said}; expected {own}, or {two} where that is meant.")
    n_steps, rate = len(recording["signal"]), recording["sampling_frequency"]
    target = np.full(n_steps, -1 if background is None else background, dtype=np.int64)
    marked = [event for event in sorted(zip(*events_of(recording), strict=True)) if event[1] in class_of]
    if marked and not any(duration > 0 for *_, duration in marked):
        said = f"the {len(marked)} events of {name_of(recording)} that are of classes have no duration"
        raise ValueError(f"{said}; expected how long each lasts, in seconds, in recording['events']['duration'].")
    for start, symbol, duration in sorted(marked, key=lambda event: class_of[event[1]] == -1):
        if duration > 0:
            target[start : max(start, round(start + duration * rate))] = class_of[symbol]
    check_apart(recording, class_of)
    tell_if_none(recording, class_of, "classes", unknown=background is None, lasting=background is not None)
    return target


def class_of_each(classes: Classes, binary: bool) -> dict[str, int]:
    """The class of each symbol, as text, which symbols are."""
    if isinstance(classes, Mapping):
        given = {str(symbol): value for symbol, value in classes.items()}
    else:
        symbols = names_of("classes", classes, "symbols, or a mapping from them")
        given = {symbol: i for i, symbol in enumerate(symbols, int(binary and len(symbols) == 1))}
    if not given:
        raise ValueError("classes is empty; expected the symbols of events.")
    return given
