"""From probabilities to peaks."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neurallib import peak_labels, post_process_peaks_binary

PEAKS = st.lists(st.integers(0, 30), max_size=6)


def test_without_filter_every_index_above_the_threshold_is_given() -> None:
    found = post_process_peaks_binary(np.array([0.5, 0.6, 0.9, 0.2, 0.51]))
    np.testing.assert_array_equal(found, [1, 2, 4])
    assert found.dtype == np.int64


def test_filter_keeps_the_most_probable_of_two_runs_that_are_too_close() -> None:
    output = np.zeros(100)
    output[[10, 11, 12]] = 0.6, 0.8, 0.7
    output[[45, 46, 47]] = 0.7, 0.9, 0.6
    np.testing.assert_array_equal(post_process_peaks_binary(output, filter_peaks=True), [46])
    np.testing.assert_array_equal(post_process_peaks_binary(output, filter_peaks=True, min_distance=35), [11, 46])


def test_filter_keeps_peaks_at_the_first_and_last_step() -> None:
    output = np.zeros(100)
    output[0], output[-1] = 0.9, 0.8
    np.testing.assert_array_equal(post_process_peaks_binary(output, filter_peaks=True), [0, 99])


@pytest.mark.parametrize("start, middle", [(0, 2), (30, 32), (95, 97)])
def test_filter_gives_the_middle_of_equal_probabilities(start: int, middle: int) -> None:
    output = np.zeros(100)
    output[start : start + 5] = 1
    np.testing.assert_array_equal(post_process_peaks_binary(output, filter_peaks=True), [middle])


@given(st.lists(st.integers(0, 10), max_size=60), st.integers(1, 8), st.integers(0, 9))
def test_filter_leaves_no_two_peaks_too_close_and_no_summit_uncovered(
    levels: list[int], min_distance: int, threshold: int
) -> None:
    p = np.array(levels, dtype=float) / 10
    found = post_process_peaks_binary(p, threshold / 10, filter_peaks=True, min_distance=min_distance)
    assert (np.diff(found) >= min_distance).all() and (p[found] > threshold / 10).all()
    if (p > threshold / 10).any():
        assert p[found].max() == p.max()


@given(PEAKS, st.integers(0, 3))
def test_peaks_come_back_from_their_labels(peaks: list[int], half_width: int) -> None:
    apart = sorted({10 * peak + 5 for peak in peaks})
    labels = peak_labels(apart, 310, half_width)
    assert labels.sum() == len(apart) * (2 * half_width + 1)
    np.testing.assert_array_equal(post_process_peaks_binary(labels, filter_peaks=True, min_distance=5), apart)


def test_any_kind_and_shape_of_one_output_gives_the_same_peaks() -> None:
    p = np.random.default_rng(0).random(200)
    expected = post_process_peaks_binary(p, 0.9)
    tensor = torch.tensor(p, requires_grad=True)
    for output in (p[:, None], p[None, :, None], tensor, tensor[:, None], tensor[None, :, None]):
        np.testing.assert_array_equal(post_process_peaks_binary(output, 0.9), expected)
    assert len(post_process_peaks_binary(np.zeros(0), filter_peaks=True)) == 0
    np.testing.assert_array_equal(post_process_peaks_binary(torch.tensor([0.1, 0.9]).bfloat16()), [1])


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((np.array([-3.0, 2.0]),), r"from -3 to 2; expected probabilities in \[0, 1\]. Logits"),
        ((np.array([0.1, np.nan]),), "output holds nan, as of gaps; .* find_events takes gaps"),
        (([np.zeros(5), np.zeros(4)],), "output is no array of numbers"),
        ((np.zeros((5, 2)),), r"shape \(5, 2\); expected \[T\]"),
        ((np.zeros((2, 5, 1)),), r"shape \(2, 5, 1\)"),
        ((np.array(0.5),), r"shape \(\); expected \[T\]"),
        ((np.array(["a"]),), "dtype"),
        ((np.zeros(5), 1.5), "threshold=1.5"),
        ((np.zeros(5), 0.5, 1), "filter_peaks=1"),
        ((np.zeros(5), 0.5, True, 0), "min_distance=0"),
    ],
)
def test_bad_output_or_setting_is_named(arguments: tuple, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        post_process_peaks_binary(*arguments)


def test_a_single_number_is_no_output() -> None:
    with pytest.raises(ValueError, match=r"output has shape \(\); expected \[T\]"):
        post_process_peaks_binary(np.float64(0.7))  # type: ignore[arg-type]


def test_samples_that_are_infinite_are_told() -> None:
    for peaks in ([1, np.inf], torch.tensor([1.0, np.nan]), np.ma.masked_array([1, 2], mask=[True, False])):
        with pytest.raises(TypeError, match="peaks has dtype float(64|32); expected whole numbers"):
            peak_labels(peaks, 9)
