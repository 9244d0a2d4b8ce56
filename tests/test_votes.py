"""Whose places the events of several leads have, where the probabilities of each lead are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import neurallib as nl
from neurallib.prediction import leads, long_recordings
from neurallib.prediction.windows import Window

RATE, N_STEPS = 100.0, 30_000
BEATS = np.arange(100, N_STEPS - 100, 100)
LATE = 5  # steps, of what the second lead shows


def probabilities(places: Sequence[int] | np.ndarray, height: float = 0.99) -> np.ndarray:
    """[n], with a triangle on each place."""
    steps = np.abs(np.arange(N_STEPS)[:, None] - np.asarray(places)).min(axis=1)
    return np.maximum(height * (1 - steps / 15), 0.001)


@pytest.fixture(autouse=True)
def known_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A state that says what the signal is."""

    def answers_of(state: Any, recording: Any, *_: Any) -> long_recordings.Answers:
        rows = np.asarray(recording["signal"][0:N_STEPS])
        return long_recordings.Answers(iter([(Window(0, N_STEPS, 0, N_STEPS), rows)]), N_STEPS, {})

    monkeypatch.setattr(leads, "answers_of", answers_of)


def found(*columns: np.ndarray) -> tuple[np.ndarray, int]:
    given = {"signal": np.stack(columns, axis=1), "sampling_frequency": RATE}
    state = nl.gru_seq2seq(n_features=1, hid_dim=2, n_layers=1)
    settings = {"threshold": 0.3, "min_distance": 0.2}  # so that a beat which one of two shows is found
    return leads.events_of_leads(state, given, range(len(columns)), settings, None, None, False, False)


def test_places_are_those_of_the_first_lead_that_has_them() -> None:
    places, column = found(probabilities(BEATS), probabilities(BEATS + LATE))
    assert column == 0 and places.tolist() == BEATS.tolist()


def test_a_lead_that_misses_many_tells_no_places() -> None:
    some = np.delete(BEATS, slice(None, None, 4))
    places, column = found(probabilities(some), probabilities(BEATS + LATE))
    assert column == 1 and np.isin(some + LATE, places).all()


def test_a_lead_that_has_many_others_tells_no_places() -> None:
    doubled = np.maximum(probabilities(BEATS), probabilities(BEATS + 50, 0.9))
    places, column = found(doubled, probabilities(BEATS + LATE))
    assert column == 1 and places.tolist() == (BEATS + LATE).tolist()


def test_where_the_lead_is_off_a_single_event_of_it_moves_nothing() -> None:
    off = np.delete(BEATS, [*range(100, 108), *range(109, 116)])
    places, column = found(probabilities(off), probabilities(BEATS + LATE))
    assert column == 0 and BEATS[99] in places and BEATS[108] not in places
    assert np.abs(places[100:116] - BEATS[100:116]).max() <= LATE
