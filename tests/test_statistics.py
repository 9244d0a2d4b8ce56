"""Moments and quartiles over pieces, and whether scales of signals tell something or go with those of targets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neurallib as nl
from neurallib.signals import statistics
from neurallib.signals.normalization import IQR_OF_NORMAL
from neurallib.signals.statistics import Moments, Quartiles, Statistics, rise_together, tells
from neurallib.signals.targets import meaning
from neurallib.state import new_preprocessing
from neurallib.tasks import describe

cuts = st.lists(st.integers(0, 500), max_size=6)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def pieces(values: np.ndarray, places: list[int]) -> list[np.ndarray]:
    return np.split(values, sorted(places))


@given(cuts)
def test_moments_are_numpys_however_the_values_are_cut(places: list[int]) -> None:
    values = rng().normal([0, 1e4, -3], [1e-3, 1, 50], (500, 3))
    moments = Moments(3)
    for piece in pieces(values, places):
        moments.add(piece)
    np.testing.assert_allclose(moments.scale().shift, values.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(moments.scale().scale, values.std(axis=0), rtol=1e-6)


def test_moments_of_more_values_than_wait_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "_STEPS", 16)
    values = rng().normal(5, 2, (499, 2))
    for size in (1, 7, 16, 50, 499):
        moments = Moments(2)
        for first in range(0, 499, size):
            moments.add(values[first : first + size])
        np.testing.assert_allclose(moments.scale(), [values.mean(axis=0), values.std(axis=0)], rtol=1e-9)


@given(cuts)
def test_what_is_not_known_has_no_part_in_moments(places: list[int]) -> None:
    values = rng().normal(3, 2, (500, 2))
    values[rng(1).random((500, 2)) < 0.4] = np.nan
    values[100:300, 0] = np.nan  # whole pieces of nothing among them
    moments = Moments(2)
    for piece in pieces(values, places):
        moments.add(piece)
    np.testing.assert_allclose(moments.scale(), [np.nanmean(values, 0), np.nanstd(values, 0)], rtol=1e-9)


def test_a_column_without_a_value_or_without_a_shape_is_left_in_its_units() -> None:
    moments, rounded = Moments(4), (1e6 + rng().normal(0, 0.05, 50)).astype(np.float32)
    moments.add(np.column_stack([np.full(50, np.nan), np.full(50, 0.1), np.zeros(50), rounded]))
    np.testing.assert_allclose(moments.scale().shift, [0, 0.1, 0, 1e6], rtol=1e-7)
    assert moments.scale().scale.tolist() == [1, 1, 1, 1]


def by_numpy(values: np.ndarray) -> list[np.ndarray]:
    low, median, high = np.percentile(values, [25, 50, 75], axis=0)
    return [median, (high - low) / IQR_OF_NORMAL]


@given(cuts)
def test_quartiles_of_few_values_are_exact_however_they_are_cut(places: list[int]) -> None:
    values = rng().normal([0, 7], [1, 30], (500, 2)).astype(np.float32)
    quartiles = Quartiles()
    for piece in pieces(values, places):
        quartiles.add(piece)
    np.testing.assert_allclose(quartiles.scale(), by_numpy(values), rtol=1e-9)


@pytest.mark.parametrize("size", [1, 13, 640, 5000, 20_000])
def test_quartiles_of_many_values_are_near_and_those_of_every_kth_row(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "_SAMPLE", 2000)
    values = rng().normal([0, 7], [1, 30], (20_000, 2)).astype(np.float32)
    quartiles = Quartiles()
    for first in range(0, len(values), size):
        quartiles.add(values[first : first + size])
    np.testing.assert_allclose(quartiles.scale(), by_numpy(values[::16]), rtol=1e-9)
    np.testing.assert_allclose(quartiles.scale().scale, values.std(axis=0), rtol=0.05)
    assert quartiles.scale().shift == pytest.approx([0, 7], abs=2)


def test_what_tells_does_so_over_many_channels_and_in_few_signals_nothing_tells() -> None:
    loud = rng().integers(0, 2, 40).astype(float)
    levels = np.column_stack([rng(1).normal(size=(40, 30)), loud[:, None] + rng(2).normal(0, 0.1, (40, 30))])
    assert tells(levels, loud[:, None])
    assert not tells(rng(3).normal(size=(40, 60)), loud[:, None])
    assert not tells(levels[:19], loud[:19, None])
    assert not tells(np.ones((40, 2)), loud[:, None]) and not tells(levels, np.ones((40, 1)))
    assert tells(np.column_stack([rng(4).normal(size=40), np.full(40, np.nan)]), loud[:, None]), "all are flat"


def test_what_is_not_known_of_a_signal_means_nothing() -> None:
    classes, binary = (describe(nl.gru_seq2seq(n_features=1, hid_dim=2, n_layers=1, num_classes=n)) for n in (3, 1))
    assert np.isnan(meaning(np.full(9, -1), classes)).all() and np.isnan(meaning(np.full((9, 1), np.nan), binary)).all()


def test_chance_tells_nothing_of_many_classes() -> None:
    found = [tells(rng(i).normal(size=(60, 8)), rng(99 + i).integers(0, 2, (60, 4)).astype(float)) for i in range(50)]
    assert sum(found) <= 3


def of_people(n: int, n_columns: int, seed: int, each: int = 9) -> np.ndarray:
    """Numbers of windows [n * each, n_columns] that are mostly those of their people."""
    own = rng(seed).normal(size=(n, n_columns))
    return np.repeat(own, each, axis=0) + rng(seed + 1).normal(0, 0.2, (n * each, n_columns))


@pytest.mark.parametrize("n_channels", [1, 4])
@pytest.mark.parametrize("n", [6, 10, 20])
def test_what_few_people_have_by_chance_tells_nothing(n: int, n_channels: int) -> None:
    """However many windows of each there are, and whether they come one after the other or mixed."""
    order = rng(99).permutation(9 * n)
    people = np.repeat([f"p{i}" for i in range(n)], 9)
    by_itself, mixed, both = 0, 0, 0
    for seed in range(0, 90, 3):
        levels, values = of_people(n, 2 * n_channels, seed), of_people(n, 1, seed + 1000)
        by_itself += tells(levels, values, ["one"] * 9 * n)  # as where nobody is known
        mixed += tells(levels[order], values[order], people[order])
        both += rise_together(np.exp(np.stack([2 * levels[:, :1], values], axis=1)), people)
    assert max(by_itself, mixed, both) <= 6, "of 30"


def test_what_is_alike_in_all_people_tells_beside_what_is_their_own() -> None:
    loud = np.tile(np.arange(2.0).repeat(5), 9)[:, None]  # as rest and a fist of each
    levels = of_people(9, 4, seed=0, each=10) * 0.5 + 2 * loud
    people = np.repeat([f"p{i}" for i in range(9)], 10)
    assert tells(levels, loud) and tells(levels, loud, people)
    by_class = np.argsort(loud[:, 0], kind="stable")
    assert tells(levels[by_class], loud[by_class])
    classes = np.eye(8)[np.arange(160) // 20]  # sorted: some blocks of neighbours hold all of a class
    loudest = classes @ rng(1).normal(size=(8, 4)) + rng(2).normal(0, 0.3, (160, 4))
    assert tells(loudest, classes[:, 4:5]) and tells(loudest, classes)


@pytest.mark.parametrize("apart, expected", [(0.5, True), (9, False)])
def test_sizes_do_not_tell_where_offsets_that_tell_nothing_would_drown_them(apart: float, expected: bool) -> None:
    """As artefacts do of pulses, whose offset is the sensor's; a channel without such offsets beside them tells."""
    loud, offset = rng().integers(0, 2, 60).astype(float)[:, None], apart * rng(1).normal(size=(60, 1))
    assert tells(np.hstack([offset, loud]), loud) is expected
    assert tells(np.hstack([offset + 2 * apart * loud, loud]), loud)
    assert tells(np.hstack([offset, 0 * offset, loud, loud]), loud)


def test_scales_rise_together_or_do_not() -> None:
    gain = np.exp(rng().normal(size=(40, 1)))
    other = np.exp(rng(1).normal(size=(40, 1)))
    assert rise_together(np.stack([gain, 3 * gain * np.exp(rng(2).normal(0, 0.3, (40, 1)))], axis=1))
    assert not rise_together(np.stack([gain, other], axis=1))
    assert not rise_together(np.stack([gain, 1 / gain], axis=1))
    few = np.exp(np.array([[-2, -2, -2, -2, 2, 2, 2, 2.0], [-1, -1, -1, 1, 1, 1, 1, -1]]))  # 0.5 correlated
    assert not rise_together(few.T[:, :, None])
    assert not rise_together(np.stack([gain, 0 * gain], axis=1))  # targets without a shape say nothing


def test_nothing_is_looked_at_where_nothing_is_open() -> None:
    model = nl.gru_seq2seq(n_features=1, hid_dim=2, n_layers=1, task="regression")
    assert not Statistics(describe(model), new_preprocessing()).anything
    known = new_preprocessing({"normalization": "zscore", "target_normalization": "signal"})
    assert Statistics(describe(model), known).anything
    known |= {"y_shift": [0.0], "y_scale": [1.0]}
    assert not Statistics(describe(model), known).anything
