"""Events of a stream: found as probabilities come, those that `find_events` has of the whole, in constant memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

from neurallib.checks import number
from neurallib.signals.outputs import half_width, least_distance, smoothed
from neurallib.state import State

DEFAULTS = {"threshold": 0.5, "min_distance": 0.2, "smoothing": 0.0, "delay": 0.0}  # find_events', and no delay


class Waiting(NamedTuple):
    """What one stream knows and has not told."""

    values: np.ndarray  # the last probabilities, those that a mean still needs
    start: int  # where the run above the threshold began that is going on; -1 without one
    top: float  # its highest value so far
    places: np.ndarray  # int64, where that is
    events: np.ndarray  # int64, runs that ended and may have a higher neighbour still to come
    heights: np.ndarray  # of these


def new_events(settings: Mapping[str, Any], sampling_frequency: float | None, batch_size: int) -> dict[str, Any]:
    """The part of a stream's carry that belongs to events; TypeError or ValueError if a setting is wrong, or the
    sampling frequency is not known."""
    if sampling_frequency is None:
        raise ValueError(
            "state['postprocessing']['events'] is in seconds, and the state's sampling_frequency is not known: give it "
            "in state['preprocessing'], or to train."
        )
    known = DEFAULTS | dict(settings)
    nothing = Waiting(np.zeros(0), -1, 0.0, *(np.zeros(0, np.int64),) * 2, np.zeros(0))
    return {
        "threshold": number("threshold", known["threshold"], 0, 1),
        "distance": least_distance(known["min_distance"], sampling_frequency),
        "half": half_width(known["smoothing"], sampling_frequency),
        "delay": round(number("delay", known["delay"], 0) * sampling_frequency),
        "found": [torch.zeros(0, dtype=torch.int64)] * batch_size,
        "waiting": [_kept(nothing)] * batch_size,
    }


def next_events(events: Mapping[str, Any], probabilities: np.ndarray, n_before: int, ended: bool) -> dict[str, Any]:
    """The same after more probabilities [B, n], which stand behind `n_before` samples; "found" are the events that are
    certain now."""
    found, waiting, late = [], [], events.get("delay", 0)
    above = (probabilities.astype(np.float64) > events["threshold"]).any(axis=1)
    for row, old, has_some in zip(probabilities, events["waiting"], above, strict=True):
        if not (has_some or ended or old["start"] >= 0 or len(old["events"]) or events["half"]):
            places, new = torch.zeros(0, dtype=torch.int64), old
        else:
            at, state = _next(_taken_up(old), row.astype(np.float64), n_before, ended, events)
            places, new = torch.from_numpy(at[at >= late] - late), _kept(state)
        found.append(places)
        waiting.append(new)
    return {**events, "found": found, "waiting": waiting}


def event_settings(state: State) -> dict[str, float]:
    """How a state's probabilities become events: as it says, else as DEFAULTS do."""
    held = state["postprocessing"]["events"]
    return DEFAULTS | {name: held[name] for name in DEFAULTS if held.get(name) is not None}


def events_of(
    parts: Iterable[np.ndarray], n_steps: int, settings: Mapping[str, Any], rate: float | None, n_outputs: int = 1
) -> list[np.ndarray]:
    """The events int64 [n] of each of some outputs, of which [n, K] come in the order of time, as `find_events` has
    them of the whole."""
    found: list[list[np.ndarray]] = [[np.zeros(0, np.int64)] for _ in range(n_outputs)]
    waiting, at = new_events(settings, rate, n_outputs), 0
    for rows in parts:
        at += len(rows)
        waiting = next_events(waiting, rows.T, at - len(rows), at == n_steps)
        for places, new in zip(found, waiting["found"], strict=True):
            places.append(new.numpy())
    return [np.concatenate(places) for places in found]


def _next(
    old: Waiting, values: np.ndarray, n_before: int, ended: bool, events: Mapping[str, Any]
) -> tuple[np.ndarray, Waiting]:
    level, first, values = _smoothed(old.values, values, n_before, ended, events["half"])
    state = _with_runs(old._replace(values=values), level, first, events["threshold"], ended)
    certain = first + len(level) if state.start < 0 else state.start  # no event comes before this any more
    return _decided(state, math.inf if ended else certain, events["distance"])


def _smoothed(
    before: np.ndarray, values: np.ndarray, n_before: int, ended: bool, half: int
) -> tuple[np.ndarray, int, np.ndarray]:
    """Means over `half` steps on either side, the place of the first of them, and the values that later ones need."""
    whole = np.concatenate([before, values])
    origin = n_before - len(before)  # of `whole`
    first = max(0, n_before - half)
    last = max(first, n_before + len(values) - (0 if ended else half))
    return smoothed(whole, first - origin, last - origin, half), first, whole[max(0, last - half - origin) :]


def _with_runs(state: Waiting, level: np.ndarray, first: int, threshold: float, ended: bool) -> Waiting:
    """With the runs above the threshold that end within `level`, each an event at its highest step, the middle one of
    several; and with the one that goes on."""
    above = np.concatenate([[state.start >= 0], level > threshold, [False] * ended]).astype(np.int8)
    change = np.diff(above)
    begins, ends = (np.flatnonzero(change == way).tolist() for way in (1, -1))
    start, top, places = state.start, state.top, state.places
    events, heights = list(state.events), list(state.heights)
    if start >= 0:
        begins.insert(0, 0)
    for k, begin in enumerate(begins):
        if not (k == 0 and state.start >= 0):
            start, top, places = first + begin, 0.0, places[:0]
        part = level[begin : ends[k] if k < len(ends) else None]
        if len(part) and (highest := float(part.max())) >= top:
            here = first + begin + np.flatnonzero(part == highest)
            places = np.concatenate([places, here]) if highest == top else here
            top = highest
        if k < len(ends):
            events.append(int(places[(len(places) - 1) // 2]))
            heights.append(top)
            start, top, places = -1, 0.0, places[:0]
    return state._replace(
        start=start, top=top, places=places, events=np.array(events, np.int64), heights=np.array(heights)
    )


def _decided(state: Waiting, certain: float, distance: int) -> tuple[np.ndarray, Waiting]:
    """Events that stay whatever comes: none nearer than `distance` that has not lost itself is higher; from the left,
    so that of equal ones the earlier stays. One that waits for another on its right is decided together with it: events
    come in order."""
    events, heights, kept = state.events, state.heights, list[int]()
    decided = True
    while decided:
        decided = False
        for place, height in zip(events, heights, strict=True):
            near = np.abs(events - place) < max(distance, 1)
            if place + distance <= certain and not (heights[near] > height).any():
                kept.append(int(place))
                events, heights, decided = events[~near], heights[~near], True
                break
    return np.array(sorted(kept), np.int64), state._replace(events=events, heights=heights)


def _kept(state: Waiting) -> dict[str, Any]:
    """As plain tensors and numbers, which `torch.save` and `torch.load(weights_only=True)` take."""
    return {
        name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value
        for name, value in state._asdict().items()
    }


def _taken_up(kept: Mapping[str, Any]) -> Waiting:
    values: list[Any] = [kept[name] for name in Waiting._fields]
    return Waiting._make(value.numpy() if isinstance(value, torch.Tensor) else value for value in values)
