"""What is bounded: the padded steps of a batch, and the memory of pictures and peaks of long signals."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import CASES, Case, make_pairs, make_state

import neurallib as nl
from neurallib.signals import batches
from neurallib.signals.batches import BatchOrder, cut_batches

LENGTHS = [3, 50, 4, 4, 120, 7, 3, 60, 9, 3, 3, 5]


def padded(places: list[int], lengths: list[int]) -> int:
    return len(places) * max(lengths[place] for place in places)


def test_a_batch_holds_no_more_padded_steps_than_one_long_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MAX_PADDED_STEPS", 100)
    for order in (range(12), sorted(range(12), key=LENGTHS.__getitem__)):
        cut = cut_batches(order, LENGTHS, 5)
        assert [place for batch in cut for place in batch] == list(order)
        assert all(len(batch) <= 5 and (len(batch) == 1 or padded(batch, LENGTHS) <= 100) for batch in cut)
        for one, other in zip(cut, cut[1:], strict=False):  # none could have held the next one's first
            assert len(one) == 5 or padded([*one, other[0]], LENGTHS) > 100


@pytest.mark.parametrize("world_size", [1, 2])
def test_buckets_are_bounded_and_equally_many_in_every_epoch(
    world_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "MAX_PADDED_STEPS", 100)
    options: dict[str, Any] = {"shuffle": True, "bucketing": True, "seed": 0, "world_size": world_size}
    orders = [BatchOrder(LENGTHS, 4, rank=rank, **options) for rank in range(world_size)]
    for _ in range(5):
        epoch = [list(order) for order in orders]
        assert all(len(own) == len(order) for own, order in zip(epoch, orders, strict=True))
        cut = [batch for own in epoch for batch in own]
        assert {place for batch in cut for place in batch} == set(range(12))
        assert all(len(batch) == 1 or padded(batch, LENGTHS) <= 1.3 * 100 for batch in cut)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_bounded_batches_give_the_same_measures_and_outputs(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    state = make_state(case)
    pairs = make_pairs(state, LENGTHS)
    signals = [x for x, _ in pairs]
    measured, outputs = nl.evaluate(state, pairs), nl.predict(state, signals)
    monkeypatch.setattr(batches, "MAX_PADDED_STEPS", 30)
    assert nl.evaluate(state, pairs) == pytest.approx(measured, rel=1e-4, nan_ok=True)
    for a, b in zip(nl.predict(state, signals), outputs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def peak(work: Callable[[], Any]) -> float:
    """The most bytes that a piece of work holds at a time."""
    work()
    tracemalloc.start()
    work()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


def test_a_picture_of_a_long_signal_is_no_larger_and_shows_its_extremes(tmp_path: Path) -> None:
    signal = np.zeros((2_000_000, 1), np.float32)
    signal[1_234_567], signal[1_234_890] = 5, -3
    assert peak(lambda: nl.plot_prediction(signal)) < 0.5 * signal.nbytes
    line = nl.plot_prediction(signal, sampling_frequency=100).axes[0].lines[0]
    x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata())
    assert len(y) < 10_000 and y.max() == 5 and y.min() == -3
    assert abs(x[y.argmax()] - 12345.67) < 15 and x[-1] == pytest.approx(20_000, abs=15)


def test_gaps_of_a_long_signal_stay_gaps_in_its_picture() -> None:
    signal = np.ones((100_000, 1))
    signal[40_000:60_000] = np.nan
    y = np.asarray(nl.plot_prediction(signal).axes[0].lines[0].get_ydata())
    assert 0.15 < np.isnan(y).mean() < 0.25
    signal[:40_000:2] = np.nan  # between which it is seen
    y = np.asarray(nl.plot_prediction(signal).axes[0].lines[0].get_ydata())
    assert 0.15 < np.isnan(y).mean() < 0.25


def test_peaks_of_a_long_output_take_little_beside_it() -> None:
    output = np.zeros(3_000_000, np.float32)
    output[100::300] = 0.9
    assert peak(lambda: nl.post_process_peaks_binary(output, filter_peaks=True)) < 2.5 * output.nbytes
    assert np.array_equal(nl.post_process_peaks_binary(output, filter_peaks=True), np.arange(100, len(output), 300))


def test_a_threshold_is_compared_as_it_is_said() -> None:
    output = np.array([0.3, 0.1, 0.3], np.float32)  # which is a little more than 0.3
    assert nl.post_process_peaks_binary(output, threshold=0.3).tolist() == [0, 2]


def test_loading_draws_no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = nl.save_checkpoint(make_state(Case("Transformerseq2seq", "binary")), tmp_path)
    monkeypatch.setattr(torch, "rand", lambda *size, **options: pytest.fail("drawn"))
    nl.load_checkpoint(directory)
    with pytest.raises(pytest.fail.Exception):
        make_state(Case("Transformerseq2seq", "binary"))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_outputs_come_one_by_one_as_they_are_asked_for(case: Case) -> None:
    state = make_state(case)
    signals = [x for x, _ in make_pairs(state, LENGTHS)]
    read: list[int] = []
    outputs = nl.iter_predict(state, (read.append(i) or x for i, x in enumerate(signals)), batch_size=4)
    assert read == []
    first = next(outputs)
    assert read == [0, 1, 2, 3], "no more than a batch is read ahead"
    for a, b in zip([first, *outputs], nl.predict(state, signals), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_a_wrong_signal_is_named_by_its_own_number_and_wrong_arguments_at_once() -> None:
    state = make_state(CASES[0])
    outputs = nl.iter_predict(state, iter([np.zeros((3, 2))] * 5 + [np.zeros((3, 7))]), batch_size=2)
    with pytest.raises(ValueError, match=r"x of signals\[5\] has shape \(3, 7\)"):
        list(outputs)
    with pytest.raises(ValueError, match="batch_size=0"):
        nl.iter_predict(state, [], batch_size=0)
    with pytest.raises(TypeError, match="state is None"):
        nl.iter_predict(None, [])  # type: ignore[arg-type]


def test_memory_does_not_grow_with_the_number_of_signals() -> None:
    state = nl.gru_seq2seq(n_features=1, hid_dim=2, n_layers=1)

    def predict(n: int) -> int:
        return sum(len(output) for output in nl.iter_predict(state, (np.zeros((5000, 1)) for _ in range(n))))

    use = [peak(lambda: predict(100)), peak(lambda: predict(400))]
    assert use[1] < 1.2 * use[0]
