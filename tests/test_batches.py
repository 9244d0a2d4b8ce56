"""Batches: what reaches a network whatever the arrays look like, in which order, and shared out among processes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import FEW, Case, make_pairs, make_state
from hypothesis import given, settings
from hypothesis import strategies as st
from signal_files import ramp, save_pair
from watching import marked, marks

import neurallib as nl
from neurallib.signals.batches import BatchOrder, cut_batches


def test_collate_pads_with_zeros_in_the_order_given() -> None:
    items = [(ramp(n) + 1, (ramp(n)[:, 0] % 3).astype(np.int64)) for n in (3, 5, 2)]
    batch = nl.collate_fn(items)
    assert batch["lengths"].tolist() == [3, 5, 2]
    assert batch["x"].shape == (3, 5, 1) and batch["x"].dtype == torch.float32
    assert batch["y"].shape == (3, 5) and batch["y"].dtype == torch.int64
    for row, target, (x, y) in zip(batch["x"], batch["y"], items, strict=True):
        assert np.array_equal(row[: len(x)], x) and np.array_equal(target[: len(y)], y)
        assert not row[len(x) :].any() and not target[len(y) :].any()
    assert nl.collate_fn([(ramp(3), np.array([0.0, 1.0])), (ramp(4), np.array([1.0, 0.0]))])["y"].shape == (2, 2)
    assert nl.collate_fn([(ramp(3), np.array(1)), (ramp(4), np.array(2))])["y"].tolist() == [1, 2]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=8), st.integers(1, 3))
@settings(max_examples=60)
def test_a_batch_holds_each_signal_and_zeros_after_it(lengths: list[int], n_features: int) -> None:
    rng = np.random.default_rng(0)
    items = [(rng.normal(size=(n, n_features)), rng.normal(size=(n, 1))) for n in lengths]
    batch = nl.collate_fn(items)
    assert batch["lengths"].tolist() == lengths and batch["x"].shape == (len(lengths), max(lengths), n_features)
    for i, (x, y) in enumerate(items):
        assert np.array_equal(batch["x"][i, : len(x)], x.astype(np.float32)) and not batch["x"][i, len(x) :].any()
        assert np.array_equal(batch["y"][i, : len(y)], y.astype(np.float32)) and not batch["y"][i, len(y) :].any()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=">f4"),
        np.arange(6, dtype=">i2"),
        np.arange(6, dtype=np.float16),
        np.arange(6, dtype=np.longdouble),
        np.arange(6, dtype=np.uint16),
        np.arange(6)[::-1],
        np.arange(12)[::2],
    ],
    ids=["big-endian float", "big-endian int", "half", "long double", "unsigned", "reversed", "strided"],
)
def test_raw_arrays_of_any_layout_are_collated_without_a_warning(array: np.ndarray) -> None:
    batch = nl.collate_fn([(array, array)])
    assert batch["x"].dtype == torch.float32 and batch["x"][0, :, 0].tolist() == array.tolist()
    assert batch["y"].dtype == (torch.float32 if array.dtype.kind == "f" else torch.int64)


def test_gradients_go_through_a_batch_to_its_signals() -> None:
    xs = [torch.ones(n, 1, requires_grad=True) for n in (3, 5)]
    (nl.collate_fn([(x, torch.zeros(len(x))) for x in xs])["x"] ** 2).sum().backward()
    assert all(x.grad is not None and torch.equal(x.grad, torch.full_like(x, 2.0)) for x in xs)


def test_whole_labels_beside_soft_ones_cut_none_off() -> None:
    batch = nl.collate_fn([(np.zeros(3), np.array([0, 1, 0])), (np.zeros(2), np.array([0.25, 0.5]))])
    assert batch["y"].tolist() == [[0, 1, 0], [0.25, 0.5, 0]]


@pytest.mark.filterwarnings("error")
def test_items_of_a_folder_are_collated_without_a_warning_and_the_files_stay(tmp_path: Path) -> None:
    folder = nl.open_folder(*save_pair(tmp_path, np.ones((4, 1), np.float32), np.zeros(4)))
    batch = nl.collate_fn([folder[0]])
    batch["x"].zero_()
    assert np.array_equal(folder[0][0], np.ones((4, 1)))


def test_what_cannot_be_collated_is_refused() -> None:
    with pytest.raises(ValueError, match="items is empty"):
        nl.collate_fn([])
    with pytest.raises(TypeError, match="complex128"):
        nl.collate_fn([(np.array([1j]), np.array([0]))])


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30), st.integers(1, 7), st.booleans(), st.booleans())
@settings(max_examples=60)
def test_every_signal_comes_once_an_epoch(lengths: list[int], batch_size: int, shuffle: bool, bucketing: bool) -> None:
    order = BatchOrder(lengths, batch_size, shuffle=shuffle, bucketing=bucketing, seed=1)
    batches = list(order)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert len(batches) == len(order) and all(1 <= len(batch) <= batch_size for batch in batches)
    if not shuffle and not bucketing:
        assert [i for batch in batches for i in batch] == list(range(len(lengths)))


def test_the_order_is_decided_by_seed_and_epoch() -> None:
    def epoch(seed: int, number: int, **options: bool) -> list:
        order = BatchOrder(range(1, 31), 4, **({"shuffle": True, "bucketing": False} | options), seed=seed)
        order.set_epoch(number)
        return list(order)

    for options in ({}, {"bucketing": True}):
        assert epoch(1, 0, **options) == epoch(1, 0, **options)
        assert epoch(1, 0, **options) != epoch(1, 1, **options) != epoch(2, 1, **options)
    twice = BatchOrder(range(1, 31), 4, shuffle=True, bucketing=False, seed=1)
    assert [list(twice), list(twice)] == [epoch(1, 0), epoch(1, 1)]


def test_bucketing_saves_padding() -> None:
    lengths = np.random.default_rng(0).integers(10, 1000, 200).tolist()

    def padded(bucketing: bool) -> int:
        order = BatchOrder(lengths, 8, shuffle=True, bucketing=bucketing, seed=0)
        return sum(len(batch) * max(lengths[i] for i in batch) for batch in order)

    assert padded(True) < 1.2 * sum(lengths) < 1.5 * sum(lengths) < padded(False)


def buckets(lengths: list[int], **options: bool) -> list[set[frozenset[int]]]:
    """Which signals share a batch, in each of ten epochs."""
    order = BatchOrder(lengths, 4, **({"shuffle": True, "bucketing": True} | options), seed=0)
    return [{frozenset(batch) for batch in order} for _ in range(10)]


def test_signals_within_a_tenth_in_length_change_their_buckets_from_epoch_to_epoch() -> None:
    near = buckets(list(range(100, 108)))
    assert len({frozenset(epoch) for epoch in near}) > 5
    assert buckets([round(100 * 1.12**i) for i in range(8)]) == [{frozenset(range(4)), frozenset(range(4, 8))}] * 10


def test_buckets_in_order_are_sorted_by_length_ties_as_they_came() -> None:
    order = BatchOrder([7, 101, 100, 7, 102, 99], 2, shuffle=False, bucketing=True, seed=0)
    assert list(order) == list(order) == [[0, 3], [5, 2], [1, 4]]


def test_processes_share_the_batches_out_evenly() -> None:
    shares = [
        [i for b in BatchOrder(range(1, 15), 3, shuffle=True, bucketing=False, seed=0, rank=r, world_size=2) for i in b]
        for r in (0, 1)
    ]
    assert set(shares[0]) | set(shares[1]) == set(range(14))
    orders = [BatchOrder([5] * 14, 3, shuffle=True, bucketing=False, seed=0, rank=r, world_size=2) for r in (0, 1)]
    assert len(list(orders[0])) == len(list(orders[1])) == len(orders[0]) == 3


@pytest.mark.parametrize("bucketing", [False, True])
def test_processes_see_no_batch_of_one_another_when_they_divide(bucketing: bool) -> None:
    options = {"shuffle": True, "bucketing": bucketing, "seed": 0, "world_size": 2}
    shares = [{i for b in BatchOrder(range(1, 13), 3, rank=rank, **options) for i in b} for rank in (0, 1)]
    assert shares[0].isdisjoint(shares[1]) and shares[0] | shares[1] == set(range(12))


@given(st.integers(1, 40), st.integers(1, 6), st.integers(1, 4), st.booleans(), st.booleans())
def test_processes_together_see_what_one_process_would(
    n: int, batch_size: int, world_size: int, shuffle: bool, bucketing: bool
) -> None:
    lengths, options = range(1, n + 1), {"shuffle": shuffle, "bucketing": bucketing, "seed": 3}
    alone = list(BatchOrder(lengths, batch_size, **options))
    orders = [BatchOrder(lengths, batch_size, rank=r, world_size=world_size, **options) for r in range(world_size)]
    shares = [list(order) for order in orders]
    assert {len(share) for share in shares} == {len(orders[0])} == {-(-len(alone) // world_size)}
    taken_in_turn = [batch for turn in zip(*shares, strict=True) for batch in turn]
    assert taken_in_turn[: len(alone)] == alone  # what is more fills the last turn
    assert taken_in_turn[len(alone) :] == [alone[i % len(alone)] for i in range(len(taken_in_turn) - len(alone))]


@pytest.mark.parametrize("case", FEW, ids=str)
def test_a_loader_gives_each_process_its_own_batches_in_the_order_of_seed_and_epoch(case: Case) -> None:
    state = make_state(case)
    data = nl.prepare(state, marked(state, [4] * 12))

    def epochs(**options: Any) -> list[list[list[int]]]:
        loader = nl.make_loader(data, **({"batch_size": 2, "shuffle": True, "seed": 1} | options))
        return [[marks(batch["x"]) for batch in loader] for _ in range(2)]

    whole, shares = epochs(), [epochs(rank=rank, world_size=3) for rank in range(3)]
    for epoch in range(2):
        assert [share[epoch] for share in shares] == [whole[epoch][rank::3] for rank in range(3)]
        assert sorted(i for batch in whole[epoch] for i in batch) == list(range(12))
    assert whole[0] != whole[1] and whole == epochs() and whole != epochs(seed=2)
    assert epochs(shuffle=False) == [[[2 * i, 2 * i + 1] for i in range(6)]] * 2


def test_a_loader_puts_similar_lengths_together_where_it_is_asked_to() -> None:
    state = make_state(Case("GRUseq2seq", "binary"))
    data = nl.prepare(state, marked(state, [5, 50, 6, 60, 7, 70, 8, 80]))
    for bucketing in (True, False):
        batches = list(nl.make_loader(data, batch_size=4, shuffle=True, bucketing=bucketing))
        assert all(batch["lengths"].max() < 5 * batch["lengths"].min() for batch in batches) == bucketing


def test_an_order_leaves_every_global_generator_as_it_is() -> None:
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    list(BatchOrder([3] * 9, 2, shuffle=True, bucketing=True, seed=5))
    assert torch.equal(torch_before, torch.get_rng_state()) and np.array_equal(numpy_before, np.random.get_state()[1])


@pytest.mark.parametrize("case", FEW, ids=str)
def test_a_loader_gives_batches_and_draws_nothing_from_the_global_generator(case: Case) -> None:
    state = make_state(case)
    loader = nl.make_loader(nl.prepare(state, make_pairs(state, [4, 6, 5])), batch_size=2, shuffle=True)
    before = torch.get_rng_state()
    assert sum(len(batch["x"]) for batch in loader) == 3
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"world_size": 0}, "world_size=0"),
        ({"rank": -1}, "rank=-1"),
        ({"rank": 2, "world_size": 2}, "rank=2; expected less than world_size=2"),
    ],
)
def test_a_loader_refuses_a_share_that_does_not_exist(wrong: dict, words: str) -> None:
    data = nl.prepare(nl.gru_seq2seq(n_features=1, hid_dim=2, n_layers=1), [(np.ones((3, 1)), np.zeros((3, 1)))])
    with pytest.raises(ValueError, match=words):
        nl.make_loader(data, **({"batch_size": 1} | wrong))


@pytest.mark.parametrize(
    ("lengths", "batches"),
    [
        ([50, 50, 1], [[0, 1], [2]]),  # 2 * 50 steps are as many as may be, 3 * 50 are more
        ([51, 51], [[0], [1]]),
        ([300, 20, 20, 20, 20, 20], [[0], [1, 2, 3, 4], [5]]),  # the long one is no measure of what comes after it
        ([10, 20, 50], [[0, 1], [2]]),
    ],
)
def test_a_batch_is_cut_by_what_it_holds_with_its_padding(lengths: list[int], batches: list[list[int]]) -> None:
    assert cut_batches(range(len(lengths)), lengths, 4, most=100) == batches
