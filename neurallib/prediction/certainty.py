"""Events told from noise: how sure a state is of them, part by part of a recording, and a word where it is not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from neurallib.prediction.stream_events import events_of
from neurallib.prediction.windows import held_over
from neurallib.signals.arrays import BRIDGED
from neurallib.signals.heart_rate import SLOW, SOME
from neurallib.signals.outputs import least_distance
from neurallib.warn import warn

PART = 4.0  # seconds, of each of which it is told how sure a state is
BESIDE = 3  # parts on either side, which count with each
# How much a state may be undecided for each step that it takes for one of an event. Half a minute of noise alone, or of
# a signal of another kind, has 1.7 to 2; ECG seldom has 1.5, even with muscle noise 6 dB louder than its beats.
DOUBT = 1.7
# Of signals together: ECG with muscle noise 6 dB louder has 0.6, at worst 1.1; that of 500 Hz taken as of 125 has 1.6.
UNTOLD = 1.2
MUCH = 0.1  # of a recording
PAIR = 0.33  # seconds: no heart of DS1 has every second interval shorter than this, of eight beats or more
LONGER = 1.2  # times as long are the others at the least
FAST = 1.5  # times the least distance: beats that are mostly nearer are as near as they may be


def sums_of(probabilities: np.ndarray) -> np.ndarray:
    """[3, K], of steps [n, K]: how many there are, how much of an event they see, and how undecided they are."""
    told = np.isfinite(probabilities)
    p = np.where(told, probabilities, 0.0)
    return np.stack([told.sum(axis=0), p.sum(axis=0), (2 * np.minimum(p, 1 - p)).sum(axis=0)])


def doubt_of(sums: np.ndarray) -> np.ndarray:
    """How undecided a state is for each step of an event that it sees, of sums [3, ...]: much where it hears noise,
    little where it sees no event and is sure of that."""
    n, seen, undecided = np.maximum(sums[0], 1), *sums[1:]
    return np.asarray((undecided / n + 1e-4) / (seen / n + 1e-3))


def check_rate(sums: np.ndarray, rate: float | None) -> None:
    """A word where a state that tells events from noise hears noise in signals of which nobody told the rate."""
    if doubt_of(sums) > UNTOLD:
        warn(
            f"the signals are taken as of {rate:g} Hz, the state's, and what is found cannot be told from noise: are "
            "they of another rate? sampling_frequency= tells which."
        )


def part_steps(rate: float) -> int:
    """The steps of a part."""
    return max(1, round(PART * rate))


def in_blocks(parts: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """The same rows [n, K], `size` at a time, and what is left."""
    waiting: list[np.ndarray] = []
    for rows in parts:
        rows = np.concatenate([*waiting, rows])
        whole = len(rows) // size * size
        yield from (rows[low : low + size] for low in range(0, whole, size))
        waiting = [rows[whole:]]
    yield from (rows for rows in waiting if len(rows))


def listened(parts: Iterable[np.ndarray], rate: float, heard: list[np.ndarray]) -> Iterator[np.ndarray]:
    """The same rows, and on the way the sums of their first output, a part after the other, into `heard`."""
    for rows in in_blocks(parts, part_steps(rate)):
        heard.append(sums_of(rows[:, :1])[:, 0])
        yield rows


def sure_events(
    parts: Iterable[np.ndarray], n_steps: int, settings: Mapping[str, Any], rate: float, doubt: float | None,
    n_outputs: int = 1, beats: bool = False,
) -> list[np.ndarray]:  # fmt: skip
    """As `events_of`, with what goes on behind a gap that a state hears a line across; those of the first output told
    from noise, and a word where they are `beats` and there are none, or as many as no heart has."""
    heard: list[np.ndarray] = []
    parts = listened(held_over(parts, round(BRIDGED * rate)), rate, heard)
    found, *others = events_of(parts, n_steps, settings, rate, n_outputs)
    sure = told_from_noise(found, heard, rate, doubt)
    if beats and (len(sure) or not len(found)):  # where all were left out a word has told it
        check_beats(sure, n_steps, least_distance(settings["min_distance"], rate), rate)
    return [sure, *others]


def check_beats(found: np.ndarray, n_steps: int, distance: int, rate: float) -> None:
    """A word where some seconds have no beat, or most beats come more slowly than those of any heart, as fast as events
    may come that are so many steps apart, or in pairs."""
    if len(found) == 0 and n_steps > part_steps(rate):
        warn(
            f"no R-peak is found in {n_steps / rate:.4g} s: a flat line, as of a lead that is off, a channel that is "
            "no ECG, a wrong sampling_frequency, or a model that has learnt little?"
        )
    elif len(found) >= SOME and _in_pairs(found / rate):
        warn(
            f"every second of the R-peaks that are found comes within {PAIR:g} s of the one before: very early beats, "
            "or T waves as narrow as beats? Another lead, or a model such as \"ecg_r_peaks\", may tell them apart."
        )
    elif len(found) >= SOME:
        a_minute = 60 * rate / float(np.median(np.diff(found)))
        is_fast = a_minute * FAST * distance > 60 * rate
        if a_minute < SLOW or is_fast:
            way = f" Of a heart so fast min_distance={distance / rate:g} s leaves beats out." * is_fast
            warn(f"R-peaks are found {a_minute:.0f} times a minute: is sampling_frequency={rate:g} right?{way}")


def _in_pairs(seconds: np.ndarray) -> bool:
    """Whether nearly every second interval is as short as from a beat to its T wave, and the others are longer by more
    than where a sample of a fast heart happens to lie."""
    intervals = np.diff(seconds)
    short = intervals < PAIR
    if abs(short.mean() - 0.5) >= 0.1 or np.diff(short).mean() <= 0.8:
        return False
    return bool(np.median(intervals[~short]) > LONGER * np.median(intervals[short]))


def told_from_noise(events: np.ndarray, heard: Sequence[np.ndarray], rate: float, doubt: float | None) -> np.ndarray:
    """The events but those amid more doubt than this, of which a warning tells; where none is given all of them, and a
    warning if many could be noise."""
    sums = np.stack([np.convolve(row, np.ones(2 * BESIDE + 1))[BESIDE:-BESIDE] for row in np.transpose(heard)])
    unsure = doubt_of(sums) > (DOUBT if doubt is None else doubt)
    there = unsure[np.minimum(events // part_steps(rate), len(unsure) - 1)]
    if there.any() if doubt is not None else unsure.mean() >= MUCH:
        told = f"{there.sum()} of the {len(events)} that were found lie there"
        if doubt is not None:
            told = f"the {there.sum()} that might be some are left out (rr_intervals(..., max_gap=3) goes across none)"
        warn(
            f"in {unsure.mean():.0%} of the recording, from {unsure.argmax() * PART:g} s on, beats cannot be told from "
            f"noise: {told}. Up to {BESIDE * PART + PART / 2:g} s beside it some may be none either. An electrode that "
            "was off, a channel that is no ECG, a wrong sampling_frequency, ventricular flutter, or a model that has "
            "learnt little?"
        )
    return events if doubt is None else events[~there]
