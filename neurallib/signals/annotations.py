"""What a recording's events say: beats, flutter, and classes by step."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import numpy as np

from neurallib.names import listing
from neurallib.signals.recording_parts import Recording, events_of, name_of
from neurallib.signals.wfdb_records import BEAT_SYMBOLS
from neurallib.warn import warn

_UNMARKED, _MANY = 60.0, 30  # s without an event, in which a heart would have stopped; what is found there by chance
_OVERLAP = 10  # experts who marked the same are fewer
_LONGEST = 2.0  # s, of a beat: what lasts longer and is called "N", "S" or "A" is a stage, a seizure or an apnoea
# What WFDB marks beside beats: rhythm, noise, waves, flutter, texts (physionet.org, "Annotations").
_OTHERS = frozenset("[!]x()ptu`'^|~+sT*D=\"@")
_BEAT = re.compile("beat|qrs|r.?peak")


class Looked(NamedTuple):
    """Which symbols were looked for in a recording, or a part of one, and what is to be told where none is there."""

    name: str
    wanted: frozenset[str]
    told: str
    symbols: frozenset[str] = frozenset()  # that it has, where what lasts is looked for


_WAY = "leave them out, or read what is noted elsewhere by labels= or annotator= of read_recording"
UNMARKED = f"none: that nothing is there will be learnt, which is right where somebody has looked. Else {_WAY}"
UNKNOWN = f"none, so nothing of them is known: {_WAY}"
_LOOKED: ContextVar[list[Looked] | None] = ContextVar("looked", default=None)


def annotated(recording: Recording) -> Recording:
    """The recording, which says something beside its signal."""
    if not len(events_of(recording)[0]):
        raise ValueError(f"{name_of(recording)} has no annotation; expected its truth, or target, which gives it.")
    return recording


def samples_of(recording: Recording, symbols: Iterable[str]) -> np.ndarray:
    """int64 [n], samples of what is annotated with one of some symbols, ascending."""
    (samples, names, _), wanted = events_of(recording), set(symbols)
    return np.sort(samples[np.array([name in wanted for name in names], dtype=bool)])


def mean_beats(symbols: Iterable[str]) -> bool:
    """Whether one of them is a beat's, of WFDB or in words."""
    return any(each in BEAT_SYMBOLS or _BEAT.search(each.lower()) for each in symbols)


def beats_in(recording: Recording) -> np.ndarray:
    """int64 [n], samples of the QRS complexes, ascending."""
    samples, symbols, duration = events_of(recording)
    return np.sort(samples[np.array([name in BEAT_SYMBOLS for name in symbols], bool) & (duration <= _LONGEST)])


def beats_of(recording: Recording) -> np.ndarray:
    """The same; an error where moments are marked with symbols of none."""
    found = beats_in(recording)
    _, symbols, duration = events_of(recording)
    unknown = {each for each, lasts in zip(symbols, duration, strict=True) if not lasts and each[:1] not in _OTHERS}
    if len(found) == 0 and unknown:
        raise ValueError(
            f"the {len(symbols)} events of {name_of(recording)} are {listing(sorted(unknown))}, no symbols of beats; "
            "expected 'N' of a beat, or to be told: symbols= of event_target, names= of evaluate_recordings."
        )
    return found


def flutter_of(recording: Recording) -> np.ndarray:
    """int64 [n, 2], the samples from each "[" to its "]", or to the end of the recording."""
    samples, symbols, _ = events_of(recording)
    found: list[tuple[int, int]] = []
    start: int | None = None
    for i in np.argsort(samples, kind="stable"):
        if symbols[i] == "[" and start is None:
            start = int(samples[i])
        elif symbols[i] == "]" and start is not None:
            found.append((start, int(samples[i]) + 1))
            start = None
    if start is not None:
        found.append((start, len(recording["signal"])))
    return np.array(found, np.int64).reshape(-1, 2)


def classes_of(recording: Recording, names: Sequence[str]) -> np.ndarray:
    """int64 [T], the class that is annotated at each sample, by the names of classes; -1 where none of them is. What
    is annotated beside them, such as apnoeas over stages or beats over rhythms, takes nothing from them. One without a
    duration goes on to the next class, or to what else has no duration and is no beat."""
    check_apart(recording, names)
    samples, symbols, duration = events_of(recording)
    n_steps, rate = len(recording["signal"]), recording["sampling_frequency"]
    found, order = np.full(n_steps, -1, np.int64), np.argsort(samples, kind="stable")
    ends = np.array([name in names or not lasts and name not in BEAT_SYMBOLS
                     for name, lasts in zip(symbols, duration, strict=True)])[order]  # fmt: skip
    following = np.append(samples[order][ends], n_steps)[np.cumsum(ends)]
    for i, end in zip(order, following, strict=True):
        if symbols[i] in names:
            stop = samples[i] + round(duration[i] * rate) if duration[i] > 0 else end
            found[max(samples[i], 0) : stop] = names.index(symbols[i])
    return found


def check_apart(recording: Recording, names: Collection[str]) -> None:
    """ValueError where events of some names last together many times as long as what they cover."""
    samples, symbols, duration = events_of(recording)
    chosen = np.array([symbol in names for symbol in symbols], bool) & (duration > 0)
    order = np.argsort(samples[chosen], kind="stable")
    start, lasts = samples[chosen][order], duration[chosen][order] * recording["sampling_frequency"]
    stop = np.clip(start + lasts, start, len(recording["signal"]))
    before = np.maximum.accumulate(np.append(0, stop))[:-1]
    covered = np.maximum(stop - np.maximum(start, before), 0).sum()
    if (stop - start).sum() > _OVERLAP * covered:
        raise ValueError(
            f"the {len(start)} events of {name_of(recording)} that are of classes overlap: together they last "
            f"{(stop - start).sum() / covered:.0f} times as long as what they cover; expected 'sample' in samples of "
            "its signal, and 'duration' in seconds, of classes that take over from each other until the next begins."
        )


def check_annotated(names: Sequence[str], symbols: Iterable[str]) -> None:
    """Raise where none of the names of classes is among the annotations of recordings; warn of those that are not."""
    symbols = set(symbols)
    missing = [name for name in names if name not in symbols]
    way = "target=functools.partial(interval_target, classes={symbol: class}, background=class)"
    if len(missing) == len(names):
        raise ValueError(
            f"the annotations are {listing(sorted(symbols))}: none is a name of the classes, {listing(names)}; "
            f"expected names=, as the annotations have them, or {way}."
        )
    if missing:
        warn(
            f"no recording is annotated as {listing(missing)}, and what is annotated as nothing is not known, nor "
            f"scored: {way} says what it is."
        )


def tell_if_none(
    recording: Recording, wanted: Iterable[str], argument: str, *, moments: bool = False, unknown: bool = False,
    lasting: bool = False,
) -> None:  # fmt: skip
    """Warn of events of which none is wanted, as where a symbol is misspelt; within `looked_for` it waits, and tells of
    recordings without any event too, where `moments` are wanted or all else is `unknown`. Whose beats are annotated may
    have none of a kind; nor has every night an apnoea: of what is `lasting` nothing is told where another recording
    that has what is wanted has all other events too."""
    wanted, symbols = list(wanted), set(events_of(recording)[1])
    known = set(wanted) <= BEAT_SYMBOLS and all(
        each in BEAT_SYMBOLS or each[:1] in _OTHERS and not each[1:].islower() for each in symbols  # "(AFIB", not "pvc"
    )
    there = set(wanted) & symbols or known and len(beats_in(recording))
    told = "" if there else f"none of them is one of {argument}, {listing(wanted)}"
    _tell(recording, wanted, told, UNMARKED if moments else UNKNOWN if unknown else "", lasting)


def tell_if_no_beat(recording: Recording, beats: np.ndarray) -> None:
    """The same where beats are looked for."""
    way = "interval_target marks what lasts, and symbols= says which other moments count"
    _tell(recording, ["beats"], "" if len(beats) else f"none of them is a beat; {way}", UNMARKED)


def tell_if_unmarked(recording: Recording, found: np.ndarray | None = None) -> None:
    """The same of a minute without any event, where beats are learnt, or where many are `found` (samples int64 [n])."""
    samples, n_steps = events_of(recording)[0], len(recording["signal"])
    edges = np.unique([0, *samples, n_steps])
    at = int(np.diff(edges).argmax())
    start, stop = edges[at], edges[at + 1]
    if len(samples) == 0 or stop - start <= _UNMARKED * recording["sampling_frequency"]:
        return
    if found is None:
        way = "which will be learnt as no beats. Give what is annotated alone, by start= and stop= of read_recording"
    elif ((found > start) & (found < stop)).sum() < _MANY:
        return
    else:
        way = "and what is found there counts as false. Leave out by skip= what nobody has annotated"
    _tell(recording, ["beats throughout"], f"for more than a minute in a row there is none, {way}")


def _tell(recording: Recording, wanted: list[str], told: str, empty: str = "", lasting: bool = False) -> None:
    name, symbols = name_of(recording), set(events_of(recording)[1])
    if not symbols and not (empty and _LOOKED.get() is not None):
        return
    told = told and (f"{listing(sorted(symbols))}: {told}" if symbols else empty)
    one = Looked(name, frozenset(wanted), told, frozenset(symbols if lasting else ()))
    if (waiting := _LOOKED.get()) is not None:
        waiting.append(one)
    elif told:  # without its name: in a loop of one's own Python shows what is alike once
        tell_unwanted({told: ["a recording"]})


@contextmanager
def looked_for() -> Iterator[list[Looked]]:
    """What `tell_if_none` is asked within, instead of a warning of each recording."""
    looked = list[Looked]()
    token = _LOOKED.set(looked)
    try:
        yield looked
    finally:
        _LOOKED.reset(token)


def unwanted(looked: Iterable[Looked]) -> dict[str, list[str]]:
    """What is to be told, of which recordings: nothing where another part of one has what is wanted."""
    looked, told = list(looked), dict[str, list[str]]()
    there = {(one.name, one.wanted) for one in looked if not one.told}
    known = symbols_of(one for one in looked if not one.told)
    empty = (UNMARKED, UNKNOWN)
    others = {one.name for one in looked if one.told not in ("", *empty)}  # which has events, elsewhere
    for one in looked:
        usual = one.symbols and one.symbols <= known or one.told in empty and one.name in others
        if one.told and (one.name, one.wanted) not in there and not usual:
            told.setdefault(one.told, []).append(one.name)
    return told


def symbols_of(looked: Iterable[Looked]) -> set[str]:
    """All that recordings have in which what lasts was looked for."""
    return set[str]().union(*(one.symbols for one in looked))


def tell_unwanted(told: Mapping[str, Iterable[str]]) -> None:
    """One warning of all recordings that lack the same, whatever else they have."""
    alike = dict[str, tuple[list[str], list[str]]]()
    for what, names in told.items():
        symbols, _, lack = what.partition(": ")
        there, of = alike.get(lack, ([], []))
        alike[lack] = [*there, symbols], [*of, *names]
    for lack, (there, of) in alike.items():
        others = " and others" * (len(there) > 1)
        warn(f"the events of {listing(dict.fromkeys(of))} are {there[0]}{others}: {lack}.")
