"""Normalization of a signal by itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from signal_files import one_feature

import neurallib as nl
from neurallib.signals.normalization import normalize


@pytest.mark.parametrize("name", ["minmax", "zscore"])
def test_each_signal_is_normalized_by_itself_and_the_callers_array_stays(name: str) -> None:
    state = one_feature()
    state["preprocessing"]["normalization"] = name
    x = np.random.default_rng(0).normal(5, 3, (50, 1))
    before = x.copy()
    got = nl.prepare(state, [(x, np.zeros((50, 1))), (100 * x, np.zeros((50, 1)))])
    assert np.array_equal(x, before)
    expected = (x - x.min()) / np.ptp(x) if name == "minmax" else (x - x.mean()) / x.std()
    for item in got:
        np.testing.assert_allclose(item[0], expected, rtol=1e-5, atol=1e-6)
    assert not normalize(np.full((4, 1), 0.1), name).any()


@given(st.integers(1, 2000), st.sampled_from([0.1, 1 / 3, 1e6 + 0.1, -7.7]), st.sampled_from(["minmax", "zscore"]))
@settings(max_examples=60)
def test_a_constant_channel_becomes_zero_however_its_mean_rounds(n_steps: int, value: float, name: str) -> None:
    assert not normalize(np.full((n_steps, 1), value), name).any()


@pytest.mark.parametrize("name", ["minmax", "zscore"])
def test_a_small_signal_on_a_large_offset_keeps_its_shape(name: str) -> None:
    wave = np.sin(np.arange(100.0))[:, None]
    np.testing.assert_allclose(normalize(1e6 + wave, name), normalize(wave, name), atol=1e-5)
