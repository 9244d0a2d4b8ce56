"""What reaches a network whatever the arrays look like, and what of it stays bounded, shared out and picklable."""

import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import neurallib as nl
from neurallib.signals.batches import BatchOrder
from neurallib.signals.folders import cut_windows
from neurallib.signals.normalization import normalize


def save_pair(root: Path, x: np.ndarray, y: np.ndarray, name: str = "a.npy") -> tuple[Path, Path, str]:
    for side, array in (("x", x), ("y", y)):
        (root / side / "train").mkdir(parents=True, exist_ok=True)
        np.save(root / side / "train" / name, array)
    return root / "x", root / "y", "train"


@given(st.lists(st.integers(1, 50), min_size=1, max_size=8), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
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


@pytest.mark.parametrize("bucketing", [False, True])
def test_processes_see_no_batch_of_one_another_when_they_divide(bucketing: bool) -> None:
    options = {"shuffle": True, "bucketing": bucketing, "seed": 0, "world_size": 2}
    shares = [{i for b in BatchOrder(range(1, 13), 3, rank=rank, **options) for i in b} for rank in (0, 1)]
    assert shares[0].isdisjoint(shares[1]) and shares[0] | shares[1] == set(range(12))


def test_an_order_leaves_every_global_generator_as_it_is() -> None:
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    list(BatchOrder([3] * 9, 2, shuffle=True, bucketing=True, seed=5))
    assert torch.equal(torch_before, torch.get_rng_state()) and np.array_equal(numpy_before, np.random.get_state()[1])


@given(st.integers(1, 2000), st.sampled_from([0.1, 1 / 3, 1e6 + 0.1, -7.7]), st.sampled_from(["minmax", "zscore"]))
@settings(max_examples=60, deadline=None)
def test_a_constant_channel_becomes_zero_however_its_mean_rounds(n_steps: int, value: float, name: str) -> None:
    assert not normalize(np.full((n_steps, 1), value), name).any()


@pytest.mark.parametrize("name", ["minmax", "zscore"])
def test_a_small_signal_on_a_large_offset_keeps_its_shape(name: str) -> None:
    wave = np.sin(np.arange(100.0))[:, None]
    np.testing.assert_allclose(normalize(1e6 + wave, name), normalize(wave, name), atol=1e-5)


@pytest.mark.parametrize(("shape", "target"), [((50, 2), (2,)), ((2, 50), (2,)), ((50, 3), (1, 3))])
def test_a_target_as_long_as_there_are_channels_does_not_turn_windows_off(
    shape: tuple, target: tuple, tmp_path: Path
) -> None:
    folder = nl.open_folder(*save_pair(tmp_path, np.zeros(shape), np.zeros(target)), window_size=20)
    assert folder.names == ["a.npy[0:20]", "a.npy[20:40]", "a.npy[40:50]"]
    assert [max(x.shape) for x, _ in folder] == [20, 20, 10] and all(y.shape == target for _, y in folder)


def test_more_channels_than_steps_are_windowed_along_the_axis_that_the_target_shares(tmp_path: Path) -> None:
    folder = nl.open_folder(*save_pair(tmp_path, np.zeros((30, 64)), np.zeros(30)), window_size=20)
    assert [x.shape for x, _ in folder] == [(20, 64), (10, 64)]


def test_a_target_of_another_length_does_not_pass_for_that_of_each_window(tmp_path: Path) -> None:
    paths = save_pair(tmp_path, np.zeros((40, 1)), np.zeros((20, 1)))
    with pytest.raises(ValueError, match=r"y/train/a.npy has shape \(20, 1\), as long as a window, but .* 40 steps"):
        nl.open_folder(*paths, window_size=20)


@pytest.mark.parametrize("wrong", [(10, 0), (10, 4, 1.0), (10, 4, -0.1), (-1, 4)])
def test_windows_that_cannot_be_cut_are_refused(wrong: tuple) -> None:
    with pytest.raises(ValueError, match="window_size|overlap|n_steps"):
        cut_windows(*wrong)


@pytest.mark.parametrize("part", ["", 3, None])
def test_a_part_is_a_name(part: object, tmp_path: Path) -> None:
    path_x, path_y, _ = save_pair(tmp_path, np.zeros(3), np.zeros(3))
    with pytest.raises((TypeError, ValueError), match="part"):
        nl.open_folder(path_x, path_y, part)  # type: ignore[arg-type]


def test_a_folder_names_its_files_and_survives_pickling(tmp_path: Path) -> None:
    paths = save_pair(tmp_path, np.arange(9.0), np.arange(9), "\u00b21.npy")  # a superscript is no number to sort by
    folder = nl.open_folder(*paths, window_size=5)
    again = pickle.loads(pickle.dumps(folder))
    assert again.names == folder.names == ["\u00b21.npy[0:5]", "\u00b21.npy[5:9]"]
    assert folder.paths_x == [paths[0] / "train" / "\u00b21.npy"] * 2 and np.array_equal(again[1][0], folder[1][0])


def test_preparing_the_windows_of_a_day_allocates_for_one_window_at_a_time(tmp_path: Path) -> None:
    n_steps, window_size = 24 * 3600 * 250, 900_000  # a day at 250 Hz, 86 MB of float32
    for side in "xy":
        (tmp_path / side / "train").mkdir(parents=True)
        np.lib.format.open_memmap(tmp_path / side / "train" / "day.npy", "w+", np.float32, (n_steps, 1))
    tracemalloc.start()
    folder = nl.open_folder(tmp_path / "x", tmp_path / "y", "train", window_size=window_size)
    data = nl.prepare(nl.gru_seq2seq(n_features=1, hid_dim=2, n_layers=1), folder, memory_budget=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert data.lengths == [window_size] * 24
    assert peak < 10 * 4 * window_size  # bytes: a few copies of one window, less than half of the day
