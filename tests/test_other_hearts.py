"""Pacemakers, other leads and slower recorders."""

from __future__ import annotations

import numpy as np
import pytest
from augmenting import RATE, beats, drawn

import neurallib as nl
from neurallib.signals.augmenting import heights


def spikes(seed: int, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """What pacing adds to a signal of height 1, and its labels."""
    x, y = beats()
    x = x / np.ptp(x)
    augment = nl.augment_pacing(RATE, (1, 1), ventricular=(seconds, seconds), atrial=(seconds, seconds))
    return (drawn(augment, seed, (x, y))[0] - x)[:, 0], y


def test_some_spikes_of_a_pacemaker_are_in_vain() -> None:
    in_vain = 0
    for seed in range(60):
        added, y = spikes(seed, 0)
        in_vain += (np.abs(added[y[:, 0] == 0]) > 0.45).any()
    assert 4 < in_vain < 24, "in two of ten signals, or so"


def test_an_electrode_comes_back_from_a_spike() -> None:
    back = []
    for seed in range(40):
        added, _ = spikes(seed, 0.048)
        top = int(np.abs(added).argmax())
        back.append(-added[top + 1] / added[top])
    assert np.mean(back) > 0.05


def test_a_spike_on_the_last_step_is_left_out() -> None:
    x, y = np.sin(np.arange(100.0))[:, None], np.zeros((100, 1))
    y[99] = 1
    augment = nl.augment_pacing(RATE, ventricular=(0, 0), atrial=(0, 0))
    assert all(len(drawn(augment, seed, (x, y))[0]) == 100 for seed in range(10))


def test_a_turned_slope_does_not_ring_at_its_ends() -> None:
    x = np.arange(1000.0)[:, None]
    turned = drawn(nl.augment_lead((30, 30)), pair=(x, x))[0]
    assert np.abs(np.diff(turned[:20, 0])).max() < 100


def test_a_slower_recorder_goes_on_to_the_end() -> None:
    x = np.arange(200.0)[:, None]
    for seed in range(10):
        assert (np.diff(drawn(nl.augment_resampling(RATE, (12, 12)), seed, (x, x))[0][:, 0]) > 0).all()


def test_a_slower_recorder_begins_anywhere() -> None:
    x, y = beats()
    one, other = (drawn(nl.augment_resampling(RATE, (50, 50)), seed, (x, y))[0] for seed in (0, 1))
    assert not np.allclose(one, other)


def test_a_short_event_of_a_shortened_signal_is_where_its_middle_was() -> None:
    x, y = np.arange(100.0)[:, None], np.zeros((100, 1))
    y[47:55] = 1
    x, y = drawn(nl.augment_stretch((0.1, 0.1)), pair=(x, y))
    assert x[y[:, 0] > 0].ravel().tolist() == pytest.approx([50], abs=5)
    assert len(drawn(nl.augment_stretch((0.1, 0.1)), pair=(np.ones((3, 1)), np.ones(3)))[0]) == 1


def test_the_events_of_all_outputs_have_a_rhythm() -> None:
    x, y = beats()
    augment = nl.augment_rhythm(RATE, (2, 2))
    one, two = (drawn(augment, pair=(x, labels))[1] for labels in (y, np.hstack([np.zeros_like(y), y])))
    np.testing.assert_array_equal(two[:, 1:], one)


def test_the_height_of_beats_is_that_of_most_parts_of_a_signal_however_short_it_is() -> None:
    x = np.tile([0.0, 1.0], 400)[:, None] * [1, 3]
    x[37], x[100:350] = 50, np.nan
    assert heights(x).tolist() == [1, 3] and heights(x[:3]).tolist() == [0, 0]
