"""Events of several leads of one recording, which a state that hears one of them hears one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from neurallib.prediction.certainty import doubt_of, in_blocks, part_steps, sums_of, sure_events
from neurallib.prediction.long_recordings import answers_of
from neurallib.prediction.windows import without_holes
from neurallib.signals.outputs import least_distance
from neurallib.signals.recording_parts import Recording, of_channel
from neurallib.state import State

MOST = 6.0  # of a logit: beyond it a lead is not believed more
SURE = 0.1  # of the doubt of a lead: below it none is believed much more than another
REACH = 1.0  # seconds on either side, within which a lead that sees no beat that another is sure of may be off
DEAF = 0.01  # of steps: a lead has to be sure of beats in more than that for others to be off
HEARS = 0.5  # of what the surest lead is sure of: who is sure of less has the less weight
NEAR = 0.1  # seconds within which an event of all leads is the same as one of a single lead
NEIGHBOURS = 5  # events on either side, of most of which this has to be true
AS_GOOD = 0.95  # of the best lead's agreement with what was found: the first lead that has it tells the places


def events_of_leads(
    state: State, recording: Recording, columns: Sequence[int], settings: Mapping[str, Any], doubt: float | None,
    gpu_id: int | None, beats: bool, bar: bool,
) -> tuple[np.ndarray, int]:  # fmt: skip
    """int64 [n], samples of the recording: events of what its leads say together, told from noise, in memory that does
    not grow with it; and the column whose places they have.

    Leads do not peak at the same moment. Of those that have nearly all of these events as their own the first tells
    their places, but where it has not.
    """
    rate = float(recording["sampling_frequency"])
    leads = [  # heard side by side: the progress of one is that of all
        answers_of(state, of_channel(recording, column), gpu_id, bar and column == columns[0])
        for column in columns
    ]
    rows, n_steps = [without_holes(lead.parts, lead.n_steps, 1) for lead in leads], leads[0].n_steps
    found, *own = sure_events(together(rows, rate), n_steps, settings, rate, doubt, 1 + len(leads), beats)
    if len(found) == 0:
        return found, columns[0]
    nearest = [_nearest(found, events) for events in own]
    beside = [np.abs(places - found) <= NEAR * rate for places in nearest]
    agreement = [2 * same.sum() / (len(found) + len(events)) for same, events in zip(beside, own, strict=True)]
    first = next(k for k, share in enumerate(agreement) if share >= AS_GOOD * max(agreement))
    distance = least_distance(settings["min_distance"], rate)
    return _moved(found, nearest[first], beside[first], distance), columns[first]


def together(leads: Sequence[Iterable[np.ndarray]], rate: float) -> Iterator[np.ndarray]:
    """Probabilities [n, 1 + L]: of all leads together, and of each, of the [n, 1] of each, which are cut as they like.
    The vote of a lead has the more weight the surer it is of what it hears in a part and in those before and after it,
    and hardly any where it sees no beat for a second around which another is sure of some: it is off there.
    """
    nothing, reach = np.zeros((3, len(leads))), max(1, round(REACH * rate))
    before = last = np.zeros((0, len(leads)))
    sums = deque([nothing] * 3, maxlen=3)
    for parts in zip(*(in_blocks(lead, part_steps(rate)) for lead in leads), strict=True):
        now = np.concatenate(parts, axis=1)
        sums.append(sums_of(now))
        yield _voted(before, last, now, sum(sums, nothing), reach)
        before, last = last, now
    sums.append(nothing)
    yield _voted(before, last, last[:0], sum(sums, nothing), reach)


def _voted(before: np.ndarray, now: np.ndarray, after: np.ndarray, sums: np.ndarray, reach: int) -> np.ndarray:
    """Those of steps [n, L], with those beside them, with the mean of their logits before them."""
    told = np.isfinite(now)
    voting = told * _hearing(before, now, after, reach) / (doubt_of(sums) + SURE) ** 2
    least = 1 / (1 + np.exp(MOST))
    p = np.clip(np.where(told, now, 0.5), least, 1 - least)
    total = voting.sum(axis=1)
    mean = (np.log(p / (1 - p)) * voting).sum(axis=1) / np.where(total > 0, total, 1)
    return np.column_stack([np.where(total > 0, 1 / (1 + np.exp(-mean)), np.nan), now])


def _hearing(before: np.ndarray, now: np.ndarray, after: np.ndarray, reach: int) -> np.ndarray:
    """Weights [n, L], 1 of a lead that is about as sure of beats within `reach` steps as the one that is surest."""
    from scipy.ndimage import uniform_filter1d

    around = np.concatenate([before[-reach:], now, after[:reach]])
    sure = np.maximum(2 * np.nan_to_num(around) - 1, 0)
    sure = uniform_filter1d(sure, 2 * reach + 1, axis=0, mode="constant")[min(len(before), reach) :][: len(now)] + DEAF
    return np.asarray(np.minimum(sure / (HEARS * sure.max(axis=1, keepdims=True)), 1) ** 2)


def _nearest(found: np.ndarray, own: np.ndarray) -> np.ndarray:
    """The event of a lead's own that is nearest to each that was found; far away where it has none."""
    if len(own) == 0:
        return np.full(len(found), np.iinfo(np.int32).min, dtype=np.int64)
    after = np.searchsorted(own, found)
    low, high = own[np.maximum(after - 1, 0)], own[np.minimum(after, len(own) - 1)]
    return np.where(np.abs(low - found) <= np.abs(high - found), low, high)


def _moved(found: np.ndarray, nearest: np.ndarray, beside: np.ndarray, distance: int) -> np.ndarray:
    """Events at a lead's own places where most of their neighbours have one, and never nearer than the distance."""
    from scipy.ndimage import uniform_filter1d

    moves = beside & (uniform_filter1d(beside.astype(float), 2 * NEIGHBOURS + 1) > 0.5)
    while True:
        places = np.where(moves, nearest, found)
        near = np.diff(places) < max(distance, 1)
        crowded = (np.append(near, False) | np.append(False, near)) & moves
        if not crowded.any():
            return places
        moves &= ~crowded
