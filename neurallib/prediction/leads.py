"""Events of several leads of one recording, which a state that hears one of them hears one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from neurallib.prediction.long_recordings import answers_of, without_holes
from neurallib.prediction.stream_events import events_of
from neurallib.signals.recording_parts import Recording, of_channel
from neurallib.state import State

MOST = 6.0  # of a logit: beyond it a lead is not believed more, or one of them would outvote the others
SEEN = 0.5  # a lead whose probability stays below it for a while may be off, and has no vote
AROUND = 4.0  # seconds, twice of which at least are a while
NEAR = 0.1  # seconds within which an event of all leads is the same as one of the first
NEIGHBOURS = 5  # events on either side, of most of which this has to be true


def events_of_leads(
    state: State, recording: Recording, columns: Sequence[int], settings: Mapping[str, Any], gpu_id: int | None
) -> np.ndarray:
    """int64 [n], samples of the recording: events of the mean logit of its leads, in memory that does not grow with it.

    Leads do not peak at the same moment. Where the first lead has events of its own beside most of these, its places
    are the ones that count.
    """
    from scipy.ndimage import uniform_filter1d

    rate = float(recording["sampling_frequency"])
    leads = [answers_of(state, of_channel(recording, column), None, None, False, gpu_id) for column in columns]
    rows, n_steps = [without_holes(lead.parts, lead.n_steps, 1) for lead in leads], leads[0].n_steps
    found, own = events_of(together(rows, max(1, round(AROUND * rate))), n_steps, settings, rate, 2)
    if len(own) == 0 or len(found) == 0:
        return found
    after = np.searchsorted(own, found)
    low, high = own[np.maximum(after - 1, 0)], own[np.minimum(after, len(own) - 1)]
    nearest = np.where(np.abs(low - found) <= np.abs(high - found), low, high)
    beside = np.abs(nearest - found) <= NEAR * rate
    most = uniform_filter1d(beside.astype(float), 2 * NEIGHBOURS + 1) > 0.5
    return np.unique(np.where(beside & most, nearest, found))


def together(leads: Sequence[Iterable[np.ndarray]], size: int) -> Iterator[np.ndarray]:
    """Probabilities [n, 2] of all leads together and of the first, of the [n, 1] of each, which are cut as they like;
    `size` steps and their neighbours decide which leads have a vote."""
    before: np.ndarray = np.zeros(len(leads), dtype=bool)
    here = before
    last: np.ndarray | None = None
    for parts in zip(*(_in_blocks(lead, size) for lead in leads), strict=True):
        now = np.concatenate(parts, axis=1)
        seen = np.asarray((now > SEEN).any(axis=0))
        if last is not None:
            yield _voted(last, before | here | seen)
        last, before, here = now, here, seen
    if last is not None:
        yield _voted(last, before | here)


def _voted(probabilities: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Those of steps [n, L], where the leads that see something vote; where none does, or has a value, all do."""
    told = np.isfinite(probabilities)
    voting = told & seen
    voting = np.where(voting.any(axis=1, keepdims=True), voting, told)
    least = 1 / (1 + np.exp(MOST))
    p = np.clip(np.where(voting, probabilities, 0.5), least, 1 - least)
    n = voting.sum(axis=1)
    mean = np.log(p / (1 - p)).sum(axis=1) / np.maximum(n, 1)
    return np.stack([np.where(n > 0, 1 / (1 + np.exp(-mean)), np.nan), probabilities[:, 0]], axis=1)


def _in_blocks(parts: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """The same rows, `size` at a time, and what is left."""
    waiting = np.zeros((0, 1))
    for rows in parts:
        waiting = np.concatenate([waiting, rows])
        whole = len(waiting) // size * size
        yield from (waiting[low : low + size] for low in range(0, whole, size))
        waiting = waiting[whole:]
    if len(waiting):
        yield waiting
