"""Streams: any cutting gives the answers of the whole signal, events come as they do from it, the carry is plain."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import TASKS, Case, make_state
from hypothesis import given, settings
from hypothesis import strategies as st

import neurallib as nl
from neurallib.prediction.stream_events import new_events, next_events

CAUSAL: dict[str, Any] = {"n_features": 2, "hid_dim": [6, 4], "n_layers": 2, "dropout": 0.3}
RATE = 50.0


def make(known: Mapping[str, Any] | None = None, events: Mapping[str, Any] | None = None, **hparams: Any) -> nl.State:
    state = nl.gru_seq2seq(**(CAUSAL | hparams))
    state["preprocessing"] |= {"sampling_frequency": RATE} | dict(known or {})  # type: ignore[typeddict-item]
    state["postprocessing"] |= {"events": dict(events or {})}
    return state


def signal_of(n_steps: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n_steps, 2)) * [0.5, 3] + [1, -2]


def run(state: nl.State, signal: np.ndarray, cuts: list[int], **options: Any) -> tuple[np.ndarray, list[int]]:
    """The outputs of all steps along time, and all events of the first stream."""
    network, carry = nl.build_network(state).eval(), nl.init_stream(state, **options)
    outputs, found = [], []
    for chunk in [*np.split(signal, cuts, axis=signal.ndim - 2), None]:
        output, carry = nl.stream_step(network, chunk, carry)
        outputs.append(output)
        if carry["events"] is not None:
            found += carry["events"]["found"][0].tolist()
    rows = [output.reshape(*signal.shape[:-2], -1, output.shape[-1]) for output in outputs]
    return np.concatenate(rows, axis=signal.ndim - 2), found


DATASET = {"normalization": "dataset", "x_shift": [1.0, -2.0], "x_scale": [0.5, np.inf]}
TARGET = {"target_normalization": "dataset", "y_shift": [5.0, 6.0], "y_scale": [2.0, 9.0]}


@pytest.mark.parametrize("cuts", [[], [1], [36, 72], [0, 0, 3, 4, 5, 99], list(range(1, 100))], ids=str)
@pytest.mark.parametrize(
    ("kind", "known", "fold"),
    [("binary", DATASET, 4), ("multilabel", {}, 1), ("multiclass", {}, 4), ("regression", DATASET, 1)],
    ids=["binary", "multilabel", "multiclass", "regression"],
)
def test_any_cutting_gives_the_answers_of_the_whole_signal(
    kind: Any, known: dict[str, Any], fold: int, cuts: list[int]
) -> None:
    state = make(known | (TARGET if kind == "regression" else {}), fold=fold, **TASKS[kind])
    signal = signal_of(99)
    output, _ = run(state, signal, cuts)
    np.testing.assert_allclose(output, nl.predict(state, [signal])[0], rtol=1e-5, atol=1e-5)


def test_without_a_linear_layer_and_with_one_channel() -> None:
    state = make(n_features=1, hid_dim=1, n_layers=1, task="regression", fc_out_bool=False, dropout=0.0)
    network, carry = nl.build_network(state).eval(), nl.init_stream(state)
    first, carry = nl.stream_step(network, torch.ones(7), carry)
    second, carry = nl.stream_step(network, np.ones((3, 1), np.int16), carry)
    assert first.dtype == np.float32 and (first.shape, second.shape) == ((7, 1), (3, 1))
    expected = nl.predict(state, [np.ones((10, 1))])[0]
    np.testing.assert_allclose(np.concatenate([first, second]), expected, atol=1e-6)


def test_many_streams_go_on_together_each_by_itself() -> None:
    state = make(DATASET, fold=2)
    signals = [signal_of(61, seed) for seed in range(5)]
    together, _ = run(state, np.stack(signals), [10, 25, 26], batch_size=5)
    for row, expected in zip(together, nl.predict(state, signals), strict=True):
        np.testing.assert_allclose(row, expected, atol=1e-5)


def test_where_it_folds_answers_come_for_whole_folds_and_the_last_at_the_end() -> None:
    state = make(fold=4)
    network, carry, sizes = nl.build_network(state).eval(), nl.init_stream(state), []
    for n in (3, 3, 10, None):
        output, carry = nl.stream_step(network, None if n is None else signal_of(n), carry)
        sizes.append(len(output))
    assert sizes == [0, 4, 12, 0]
    assert (carry["n_samples"], carry["n_answered"], carry["ended"]) == (16, 16, True)
    with pytest.raises(ValueError, match="has ended"):
        nl.stream_step(network, signal_of(3), carry)


@pytest.mark.parametrize("fold", [1, 4])
def test_in_both_directions_answers_are_late_by_the_look_ahead_and_near_those_of_the_whole(fold: int) -> None:
    state = make(DATASET, bidirectional=True, fold=fold)
    network, carry = nl.build_network(state).eval(), nl.init_stream(state, look_ahead=0.4)
    signal, kept = signal_of(300), []
    for start in range(0, 299, 13):
        _, carry = nl.stream_step(network, signal[start : start + 13], carry)
        assert carry["n_answered"] == max(0, start + 13 - 20)
        kept.append(carry["kept"].shape[1])
    assert max(kept) <= 2 * 20 + fold, "memory does not grow"
    expected = nl.predict(state, [signal])[0]
    errors = []
    for look_ahead in (0.04, 0.4, 10.0):
        output, _ = run(state, signal, list(range(13, 300, 13)), look_ahead=look_ahead)
        errors.append(np.abs(output - expected).max())
    assert errors[0] > errors[1] > errors[2] and errors[2] < 1e-6, "all of the signal is heard in the end"
    assert errors[1] < 0.02


def test_the_carry_goes_through_a_file_and_is_not_changed(tmp_path: Path) -> None:
    state = make(DATASET, {"threshold": 0.5, "smoothing": 0.1}, fold=2)
    signal, expected = signal_of(80), run(state, signal_of(80), [33, 50])
    network, carry = nl.build_network(state).eval(), nl.init_stream(state)
    outputs, found = [], []
    for chunk in [*np.split(signal, [33, 50]), None]:
        torch.save(carry, tmp_path / "carry.pt")
        before = copy.deepcopy(carry)
        again, _ = nl.stream_step(network, chunk, carry)
        assert plain(carry) == plain(before)
        output, carry = nl.stream_step(network, chunk, torch.load(tmp_path / "carry.pt", weights_only=True))
        np.testing.assert_array_equal(output, again)
        outputs.append(output)
        found += carry["events"]["found"][0].tolist()
    np.testing.assert_array_equal(np.concatenate(outputs), expected[0])
    assert found == expected[1]


def plain(value: Any) -> Any:
    """A carry as lists and numbers, to be compared."""
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, list) else getattr(value, "tolist", lambda: value)()


LEVELS = np.array([0, 1e-12, 3e-9, 1e-7, 0.1, 0.3, 0.3, 0.4, 0.6, 0.9, 1], np.float32)  # tiny ones make sums inexact


@given(
    values=st.lists(st.integers(0, 10), min_size=1, max_size=90),
    cuts=st.lists(st.integers(0, 90), max_size=8),
    distance=st.integers(0, 9),
    half=st.integers(0, 3),
)
@settings(max_examples=300, deadline=None)
def test_events_are_those_of_the_whole_output_in_order(
    values: list[int], cuts: list[int], distance: int, half: int
) -> None:
    probabilities = LEVELS[values]
    words = {"threshold": 0.3, "min_distance": distance / RATE, "smoothing": 2 * half / RATE}
    events = new_events(words, RATE, 1)
    found, at = list[int](), 0
    for part in np.split(probabilities, sorted(min(cut, len(values)) for cut in cuts)):
        events = next_events(events, part[None], at, False)
        at += len(part)
        found += events["found"][0].tolist()
    found += next_events(events, np.zeros((1, 0), np.float32), at, True)["found"][0].tolist()
    assert found == nl.find_events(probabilities, RATE, **words).tolist()


def test_events_come_as_soon_as_nothing_can_take_them_away() -> None:
    events = new_events({"threshold": 0.5, "min_distance": 0.1}, RATE, 2)
    quiet, peak = np.zeros((2, 5), np.float32), np.zeros((2, 5), np.float32)
    peak[0, 2] = 0.9
    events = next_events(events, peak, 0, False)
    assert [len(places) for places in events["found"]] == [0, 0]
    events = next_events(events, quiet, 5, False)
    assert [places.tolist() for places in events["found"]] == [[2], []]
    for n in range(10, 3000, 5):
        events = next_events(events, quiet, n, False)
    assert plain(events["waiting"][0]) == plain(new_events({}, RATE, 1)["waiting"][0]), "nothing is kept of the past"


def test_a_stream_finds_what_the_whole_output_has() -> None:
    known = {"normalization": "dataset", "x_shift": [1.0, -2.0], "x_scale": [0.5, 3.0]}
    state = make(known, {"threshold": 0.5, "min_distance": 0.1, "smoothing": 0.06})
    signal = signal_of(400)
    state["weights"]["fc_out.weight"] *= 20
    logits = nl.predict(state, [signal], output="logits")[0]
    state["weights"]["fc_out.bias"] -= torch.from_numpy(np.median(logits, axis=0))
    output, found = run(state, signal, list(range(7, 400, 7)))
    assert len(found) > 5 and found == nl.find_events(output, RATE, min_distance=0.1, smoothing=0.06).tolist()


MULTICLASS = make(events={"threshold": 0.5}, num_classes=3)


def test_events_are_of_binary_models_that_name_them() -> None:
    assert nl.init_stream(make())["events"] is None
    assert nl.init_stream(MULTICLASS)["events"] is None


@pytest.mark.parametrize(
    ("state", "options", "match"),
    [
        (make({"normalization": "zscore"}), {}, "train with normalization='dataset'"),
        (make({"sampling_frequency": 100.0}, steps=[{"name": "lowpass", "frequency": 30.0}]), {}, "'causal': True"),
        (make(bidirectional=True), {}, "give look_ahead, .* bidirectional=False"),
        (make(task="regression", residual=True), {}, "residual=False, or take what export_onnx"),
        (make(), {"look_ahead": 1.0}, "answers at once"),
        (make({"sampling_frequency": None}, bidirectional=True), {"look_ahead": 1.0}, "sampling_frequency"),
        (make(bidirectional=True), {"look_ahead": 0}, "look_ahead=0 s is less than a sample"),
        (make(bidirectional=True), {"look_ahead": 0.001}, "look_ahead=0.001 s is less than a sample"),
        (make({"sampling_frequency": None}, {"threshold": 0.5}), {}, "sampling_frequency"),
        (make(), {"batch_size": 0}, "batch_size=0"),
        (make_state(Case("GRUseq2one", "binary")), {}, "not GRUseq2one"),
        (make_state(Case("Transformerseq2seq", "binary")), {}, "not Transformerseq2seq"),
    ],
)
def test_what_cannot_be_a_stream_is_told_with_the_way_out(state: nl.State, options: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        nl.init_stream(state, **options)


NAMED: dict[str, Any] = {"channels": ["II", "V5"], "units": ["mV", "mV"]}


def test_what_is_said_of_a_stream_and_is_the_state_s_own_changes_nothing() -> None:
    said = {"sampling_frequency": 0.96 * RATE, "channels": ["II", "V5"], "units": "mV"}
    assert plain(nl.init_stream(make(NAMED), **said)) == plain(nl.init_stream(make(NAMED)))
    assert nl.init_stream(make(), units="V", channels=["a", "b"])["x_scale"] is None, "the state says nothing of them"


@pytest.mark.parametrize(
    ("said", "match"),
    [
        ({"sampling_frequency": 3.1 * RATE}, r"hand in 50 Hz, within 5 %, means of 3 samples \(51.6667 Hz\), "
                                             r"chunk.reshape\(-1, 3, 2\).mean\(axis=1\)"),
        ({"sampling_frequency": 1.4 * RATE}, "hand in 50 Hz, .* resampled by the device, or train at 70 Hz"),
        ({"sampling_frequency": 0.5 * RATE}, "hand in 50 Hz, .* resampled by the device, or train at 25 Hz"),
        ({"channels": ["V5", "I", "II"]}, r"channels are V5, I, II: hand in II, V5, chunk\[..., \[2, 0\]\]"),
        ({"units": "V"}, r"units are V: hand in mV, mV, chunk \* \[1000.0, 1000.0\]"),
        ({"units": "Pa"}, "nothing converts one to the other"),
    ],
)  # fmt: skip
def test_what_a_stream_would_have_to_convert_is_told_with_what_to_do(said: dict[str, Any], match: str) -> None:
    with warnings.catch_warnings(), pytest.raises(ValueError, match=match):
        warnings.simplefilter("error")  # nothing says that it is converted
        nl.init_stream(make(NAMED), **said)


@pytest.mark.parametrize(
    ("chunk", "error", "match"),
    [
        (np.zeros((4, 3)), ValueError, r"\(4, 3\); expected \[n, 2\] or \[1, n, 2\]"),
        (np.zeros(4), ValueError, r"\(4,\); expected"),
        (np.array([[1.0, np.nan]]), ValueError, "nan"),
        ("abc", TypeError, "chunk"),
        ([np.zeros((4, 2)), np.zeros((5, 2))], ValueError, "chunk is no array of numbers"),
    ],
)
def test_a_wrong_chunk_is_told(chunk: Any, error: type[Exception], match: str) -> None:
    network = nl.build_network(make()).eval()
    with pytest.raises(error, match=match):
        nl.stream_step(network, chunk, nl.init_stream(make()))


def test_what_the_error_of_a_missing_value_says_makes_a_stream_go_on() -> None:
    state, chunk = make(), signal_of(20)
    network, last = nl.build_network(state).eval(), chunk[0]
    held, chunk[5:8, 1] = chunk.copy(), np.nan
    held[5:8, 1] = held[4, 1]
    with pytest.raises(ValueError, match="nan at") as told:
        nl.stream_step(network, chunk, nl.init_stream(state))
    said = {"np": np, "chunk": chunk, "last": last}
    exec(str(told.value).rpartition("row before the chunk, ")[2].rstrip("."), said)  # noqa: S102
    np.testing.assert_array_equal(said["chunk"], held)
    nl.stream_step(network, said["chunk"], nl.init_stream(state))
    with pytest.raises(ValueError, match="Of each stream by itself, .* for row in one"):
        nl.stream_step(network, np.stack([chunk, chunk]), nl.init_stream(state, batch_size=2))


def test_a_network_that_trains_or_is_none_is_told() -> None:
    with pytest.raises(ValueError, match="training mode"):
        nl.stream_step(nl.build_network(make()), signal_of(3), nl.init_stream(make()))
    with pytest.raises(TypeError, match="build_network"):
        nl.stream_step(make(), signal_of(3), nl.init_stream(make()))  # type: ignore[arg-type]
