"""Matching found events to true ones: known cases, and every small case against brute force."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurallib import match_peaks, peak_labels, peak_scores
from neurallib.measures.events import merged

PEAKS = st.lists(st.integers(0, 30), max_size=6)


def best_by_trying_all(true: list[int], found: list[int], tolerance: int) -> tuple[int, int]:
    """The most pairs, and the least total distance with so many."""
    shorter, longer = sorted((true, found), key=len)
    best = (0, 0)
    for partners in itertools.permutations(longer, len(shorter)):
        distances = [abs(a - b) for a, b in zip(shorter, partners, strict=True) if abs(a - b) <= tolerance]
        best = max(best, (len(distances), -sum(distances)))
    return best[0], -best[1]


@given(PEAKS, PEAKS, st.integers(0, 12))
def test_matching_is_as_good_as_the_best_of_all_matchings(true: list[int], found: list[int], tolerance: int) -> None:
    i, j = match_peaks(true, found, tolerance)
    distances = [abs(true[a] - found[b]) for a, b in zip(i, j, strict=True)]
    assert len(set(i.tolist())) == len(i) and len(set(j.tolist())) == len(j)
    assert max(distances, default=0) <= tolerance
    assert (len(distances), sum(distances)) == best_by_trying_all(true, found, tolerance)


@given(st.lists(st.integers(0, 400), max_size=60), st.lists(st.integers(0, 400), max_size=60), st.integers(0, 25))
def test_matching_is_as_good_as_linear_sum_assignment(true: list[int], found: list[int], tolerance: int) -> None:
    from scipy.optimize import linear_sum_assignment

    distance = np.abs(np.subtract.outer(np.array(true, dtype=int), np.array(found, dtype=int)))
    cost = np.where(distance <= tolerance, distance - 10_000, 0)
    rows, columns = linear_sum_assignment(cost)
    i, j = match_peaks(true, found, tolerance)
    assert (distance[i, j] - 10_000).sum() == cost[rows, columns].sum()


def test_matching_gives_up_a_short_distance_for_one_more_pair() -> None:
    i, j = match_peaks([10, 16], [4, 11], tolerance=6)
    assert list(zip(i, j, strict=True)) == [(0, 0), (1, 1)]


def test_a_peak_at_the_tolerance_counts_and_one_beyond_does_not() -> None:
    assert len(match_peaks([100], [154], 54)[0]) == 1
    assert len(match_peaks([100], [155], 54.9)[0]) == 0


def test_a_boundless_tolerance_pairs_as_many_as_there_are() -> None:
    i, j = match_peaks([500, 0, 900], [10**6, 3], tolerance=1e300)
    np.testing.assert_array_equal([i, j], [[1, 2], [1, 0]])


def test_hours_of_beats_with_rivals_everywhere_is_matched_to_the_nearest() -> None:
    true = np.arange(20_000) * 300
    found = np.sort(np.concatenate([true + 3, true + 40]))
    i, j = match_peaks(true, found, 54)
    np.testing.assert_array_equal(i, np.arange(20_000))
    np.testing.assert_array_equal(found[j] - true, 3)


def test_scores_of_a_known_case() -> None:
    scores = peak_scores([100, 200, 300, 400], [101, 203, 260, 900], sampling_frequency=100, tolerance=0.1)
    assert scores["sensitivity"] == scores["positive_predictive_value"] == scores["f1"] == 0.5
    assert (scores["true_positives"], scores["false_positives"], scores["false_negatives"]) == (2, 2, 2)
    assert scores["mean_absolute_error_ms"] == pytest.approx(20)


def test_scores_tell_missed_from_invented_peaks() -> None:
    missed = peak_scores([100, 500], [100], sampling_frequency=100)
    invented = peak_scores([100], [100, 500], sampling_frequency=100)
    assert (missed["sensitivity"], missed["positive_predictive_value"]) == (0.5, 1)
    assert (invented["sensitivity"], invented["positive_predictive_value"]) == (1, 0.5)


def test_scores_that_would_divide_by_zero_are_nan() -> None:
    nothing = peak_scores([], [], sampling_frequency=100)
    assert all(math.isnan(nothing[name]) for name in ("sensitivity", "positive_predictive_value", "f1"))
    missed = peak_scores([5], [], sampling_frequency=100)
    assert missed["sensitivity"] == missed["f1"] == 0
    assert math.isnan(missed["positive_predictive_value"]) and math.isnan(missed["mean_absolute_error_ms"])


@pytest.mark.parametrize("tolerance, sampling_frequency, samples", [(0.29, 100, 29), (0.15, 360, 54), (0.15, 128, 19)])
def test_tolerance_in_seconds_is_not_lost_to_rounding(tolerance: float, sampling_frequency: int, samples: int) -> None:
    for distance, hits in ((samples, 1), (samples + 1, 0)):
        scores = peak_scores([0], [distance], sampling_frequency=sampling_frequency, tolerance=tolerance)
        assert scores["true_positives"] == hits


def test_bad_peaks_are_named() -> None:
    with pytest.raises(ValueError, match="peaks holds 10; expected samples from 0 to 9"):
        peak_labels([3, 10], 10)
    with pytest.raises(ValueError, match=r"peaks has shape \(\)"):
        peak_labels(3, 10)
    with pytest.raises(TypeError, match=r"n_steps=array\(10\) is a ndarray; .* such as n_steps.item\(\)"):
        peak_labels([3], np.array(10))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="found has dtype float64"):
        match_peaks([1], [1.5], 3)
    assert match_peaks(np.array([1.0, 7.0]), [1, 7], 0)[0].tolist() == [0, 1], "whole ones, as MATLAB has them"
    with pytest.raises(ValueError, match=r"true has shape \(1, 1\)"):
        match_peaks([[1]], [1], 3)
    with pytest.raises(ValueError, match="tolerance=-1"):
        match_peaks([1], [1], -1)
    with pytest.raises(ValueError, match="sampling_frequency=0"):
        peak_scores([1], [1], sampling_frequency=0)


@pytest.mark.parametrize("found", [[8, 12], [8, 8, 8]])
def test_of_equally_near_peaks_the_earlier_is_taken(found: list[int]) -> None:
    assert match_peaks([10], found, 5)[1].tolist() == [0]


def test_stretches_that_overlap_or_touch_are_one_and_a_step_between_them_is_scored() -> None:
    assert merged(np.array([[0, 5], [2, 3], [5, 7], [8, 10]]), 1).tolist() == [[0, 7], [8, 10]]
