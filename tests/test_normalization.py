"""Normalization of a signal by itself."""

import numpy as np
import pytest
import torch
from cases import Case, make_state
from hypothesis import given, settings
from hypothesis import strategies as st
from signal_files import one_feature

import neurallib as nl
from neurallib.signals.normalization import OWN, as_input, as_inputs, signal_scale
from neurallib.signals.statistics import Statistics
from neurallib.state import new_preprocessing
from neurallib.tasks import describe

each_normalization = pytest.mark.parametrize("name", OWN)


def normalize(x: np.ndarray, name: str | None) -> np.ndarray:
    return as_input(x, new_preprocessing({"normalization": name}))[0]


def channels(n_steps: int = 40) -> np.ndarray:
    """Three that have neither size nor offset in common."""
    return np.random.default_rng(0).normal([0, 100, -3], [1, 0.01, 50], (n_steps, 3))


@each_normalization
def test_each_channel_is_normalized_as_if_it_were_alone(name: str) -> None:
    for x in (channels(3), channels()):
        alone = [normalize(x[:, i : i + 1], name) for i in range(3)]
        np.testing.assert_allclose(normalize(x, name), np.hstack(alone), rtol=1e-6)
    state = nl.gru_seq2seq(n_features=3, hid_dim=2, n_layers=1)
    state["preprocessing"]["normalization"] = name
    prepared = nl.prepare(state, [(x, np.zeros((40, 1)))])[0][0]
    np.testing.assert_allclose(prepared, np.hstack(alone), rtol=1e-6)


def test_what_normalized_means() -> None:
    x = normalize(channels(), "minmax")
    np.testing.assert_array_equal([x.min(0), x.max(0)], [[0] * 3, [1] * 3])
    z = normalize(channels(), "zscore")
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(z.std(0), 1, rtol=1e-5)
    np.testing.assert_array_equal(normalize(channels(), None), channels().astype(np.float32))


@each_normalization
@given(scale=st.floats(1e-3, 1e3), offset=st.floats(-1e3, 1e3))
def test_neither_scale_nor_offset_of_a_recording_reaches_the_network(name: str, scale: float, offset: float) -> None:
    x = channels()[:, :1]
    np.testing.assert_allclose(normalize(scale * x + offset, name), normalize(x, name), atol=1e-6)


@each_normalization
def test_normalization_of_the_state_stands_before_everything_that_reads_signals(name: str) -> None:
    state = make_state(Case("GRUseq2seq", "binary"), n_features=3)
    normalized = make_state(Case("GRUseq2seq", "binary"), n_features=3)
    normalized["preprocessing"]["normalization"] = name
    x, y = channels(), (channels()[:, :1] > 0).astype(np.float32)
    ready = normalize(x, name)
    np.testing.assert_allclose(nl.predict(normalized, [x])[0], nl.predict(state, [ready])[0], rtol=1e-5)
    assert nl.evaluate(normalized, [(x, y)]) == pytest.approx(nl.evaluate(state, [(ready, y)]), rel=1e-5)
    np.testing.assert_allclose(nl.test_on_single_signal(normalized, x), nl.predict(state, [ready])[0], rtol=1e-5)
    options = {"epochs": 1, "batch_size": 1, "enable_progress_bar": False}
    runs = ((normalized, x, "auto"), (state, ready, None), (state, x, name))
    trained = [nl.train(s, [(a, y)], [(a, y)], normalization=how, **options) for s, a, how in runs]
    for weights in zip(*(run["weights"].values() for run in trained), strict=True):
        torch.testing.assert_close(weights[0], weights[1])
        torch.testing.assert_close(weights[0], weights[2])


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


def test_a_window_that_mostly_rests_is_as_large_as_those_beside_it() -> None:
    known = nl.gru_seq2seq(n_features=2, hid_dim=2, n_layers=1)["preprocessing"] | {"normalization": "block"}
    beats, rest = np.zeros((80, 2)), 0.01 * np.sin(np.arange(80.0))[:, None].repeat(2, axis=1)
    beats[::10] = 2.0, 8.0
    one_beat, burst, half = rest.copy(), beats.copy(), 0.5 * beats
    one_beat[40], burst[40] = (2.0, 0.01), 50.0  # of one channel alone; something that is no beat
    windows = [beats, beats, one_beat, rest, burst, half, beats, 10 * beats]
    made = as_inputs([(np.concatenate([x[:3], x]), 3) for x in windows], known)
    assert [float(x[40, 0]) for x, _ in made] == pytest.approx([1, 1, 1, rest[40, 0] / 0.01, 25, 1, 1, 1], rel=0.02)
    assert made[2][1].scale.tolist() == pytest.approx([2.0, 0.01], rel=0.01)
    for normalization in ("zscore", None):
        known["normalization"] = normalization
        for (x, own), window in zip(as_inputs([(x, 0) for x in windows], known), windows, strict=True):
            np.testing.assert_array_equal(x, as_input(window, known)[0])
            assert (own is None) == (normalization is None)


def test_blocks_of_a_short_stretch_are_as_long_as_those_of_a_window() -> None:
    x = np.zeros((80, 1))
    x[::20] = np.arange(1.0, 5)[:, None]  # a peak in every second block of a window of 80 steps
    known = nl.gru_seq2seq(n_features=1, hid_dim=2, n_layers=1)["preprocessing"] | {"normalization": "block"}

    def size(signal: np.ndarray, window: float | None) -> float:
        scale = signal_scale(signal, known | {"window": window, "sampling_frequency": 10.0})
        assert scale is not None
        return float(scale.scale[0])

    assert size(x[:20], None) == 1, "a signal by itself: eight blocks, most of them empty, and so the highest"
    assert size(x[20:60], 8.0) == 1, "the median of four blocks of ten steps, of which two hold the peaks 2 and 3"
    assert size(x[40:60], 8.0) == 1.5 and size(x[40:50], 8.0) == 3
    assert size(x, 8.0) == size(x, 4.0) == size(x, None)
    wanted = known | {"window": 8.0, "sampling_frequency": 10.0}
    task = describe(make_state(Case("GRUseq2seq", "binary"), n_features=1))
    learnt = Statistics(task, wanted).add(x[40:60], x[40:60])
    assert learnt is not None and learnt.scale == 1.5, "and so in training"
