"""Folders of .npy files: what is paired, what is cut into windows, and what is refused by name."""

import pickle
import resource
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from signal_files import one_feature, ramp, save_pair, write

import neurallib as nl
from neurallib.signals.folders import cut_windows


def test_files_are_paired_by_name_in_natural_order(tmp_path: Path) -> None:
    names = ["10.npy", "2.npy", "1.npy", "rec_3b.npy"]
    signals = {name: ramp(3) + i for i, name in enumerate(names)}
    folder = nl.open_folder(*write(tmp_path, signals, {name: x[:, 0] for name, x in signals.items()}))
    assert folder.names == ["1.npy", "2.npy", "10.npy", "rec_3b.npy"]
    for name, (x, y) in zip(folder.names, folder, strict=True):
        assert np.array_equal(x, signals[name]) and np.array_equal(y, signals[name][:, 0])
    assert (
        nl.open_folder(tmp_path / "x", tmp_path / "y", "train", all_samples=False, samples=2).names == folder.names[:2]
    )
    with pytest.warns(UserWarning, match="holds 4 files: all are used"):
        assert len(nl.open_folder(tmp_path / "x", tmp_path / "y", "train", all_samples=False, samples=9)) == 4


def test_endings_may_be_in_capitals_and_hidden_files_are_a_systems(tmp_path: Path) -> None:
    folders = write(tmp_path, {"1.npy": ramp(3), "2.npy": ramp(3)}, {"1.npy": ramp(3), "2.npy": ramp(3)})
    for side in ("x", "y"):
        (tmp_path / side / "train" / "._1.npy").write_bytes(b"\0\5\x16\7")  # of macOS
        (tmp_path / side / "train" / "2.npy").rename(tmp_path / side / "train" / "2.NPY")
    assert nl.open_folder(*folders).names == ["1.npy", "2.NPY"]


def test_a_folder_that_cannot_be_used_says_what_is_missing(tmp_path: Path) -> None:
    path_x, path_y, _ = write(tmp_path, {"1.npy": ramp(3), "2.npy": ramp(3)}, {"2.npy": ramp(3), "3.npy": ramp(3)})
    with pytest.raises(ValueError, match=r"1.npy \(no target in path_y\), 3.npy \(no signal in path_x\)"):
        nl.open_folder(path_x, path_y, "train")
    with pytest.raises(FileNotFoundError, match="path_x has no folder 'val'.*holds: train"):
        nl.open_folder(path_x, path_y, "val")
    with pytest.raises(FileNotFoundError, match="path_y has no folder.*is no directory"):
        nl.open_folder(path_x, tmp_path / "nowhere", "train")
    (tmp_path / "x" / "test").mkdir()
    (tmp_path / "y" / "test").mkdir()
    (tmp_path / "x" / "test" / "notes.txt").write_text("")
    with pytest.raises(FileNotFoundError, match="no .npy file in .*test.*notes.txt"):
        nl.open_folder(path_x, path_y, "test")
    for wrong in ({"all_samples": False, "samples": 0}, {"window_size": 0}, {"overlap": 1.0}):
        with pytest.raises(ValueError, match="samples|window_size|overlap"):
            nl.open_folder(*write(tmp_path / "ok", {"1.npy": ramp(3)}, {"1.npy": ramp(3)}), **wrong)


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_files_of_each_version_and_order_are_read_in_one_piece_or_mapped(
    version: tuple[int, int], order: Any, tmp_path: Path
) -> None:
    for n_steps in (100, 200_000):  # the second is mapped
        x = np.asarray(np.random.default_rng(0).standard_normal((n_steps, 2)).astype(np.float32), order=order)
        for side in "xy":
            (tmp_path / side / "train").mkdir(parents=True, exist_ok=True)
            with open(tmp_path / side / "train" / "1.npy", "wb") as file:
                np.lib.format.write_array(file, x, version=version)
        for window in (None, n_steps // 2):
            folder = nl.open_folder(tmp_path / "x", tmp_path / "y", "train", window_size=window)
            assert np.array_equal(np.concatenate([given for given, _ in folder]), x)


def broken_files() -> dict[str, bytes]:
    import io

    whole = io.BytesIO()
    np.save(whole, ramp(100))
    pickled = io.BytesIO()
    np.save(pickled, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    words, archive = io.BytesIO(), io.BytesIO()
    np.save(words, np.array(["a", "b"]))
    np.savez(archive, ramp(3))
    return {
        "cut off": whole.getvalue()[:-50],
        "empty": b"",
        "no npy": b"hello, this is text",
        "pickled": pickled.getvalue(),
        "words": words.getvalue(),
        "archive": archive.getvalue(),
    }


@pytest.mark.parametrize("kind", broken_files())
def test_a_file_that_holds_no_numbers_is_named(kind: str, tmp_path: Path) -> None:
    path_x, path_y, part = write(tmp_path, {"1.npy": ramp(5), "2.npy": ramp(5)}, {"1.npy": ramp(5), "2.npy": ramp(5)})
    (path_x / part / "2.npy").write_bytes(broken_files()[kind])
    with pytest.raises(ValueError, match="2.npy"):
        nl.prepare(one_feature(task="regression"), nl.open_folder(path_x, path_y, part))


def test_a_number_of_samples_beside_all_samples_is_told(tmp_path: Path) -> None:
    folders = write(tmp_path, {"1.npy": ramp(3), "2.npy": ramp(3)}, {"1.npy": ramp(3), "2.npy": ramp(3)})
    with pytest.warns(UserWarning, match="samples=1 is for all_samples=False: all 2 files are used"):
        assert len(nl.open_folder(*folders, samples=1)) == 2


@given(st.integers(1, 300), st.integers(1, 60), st.floats(0, 0.99))
@settings(max_examples=200)
def test_windows_cover_every_step_without_a_redundant_one(n_steps: int, window_size: int, overlap: float) -> None:
    windows = cut_windows(n_steps, window_size, overlap)
    assert windows[0][0] == 0 and windows[-1][1] == n_steps
    assert all(0 < stop - start <= window_size for start, stop in windows)
    for (start, stop), (next_start, next_stop) in zip(windows, windows[1:], strict=False):
        assert start < next_start <= stop < next_stop


@pytest.mark.parametrize("transposed", [False, True])
def test_windows_of_signal_and_target_lie_on_one_another(transposed: bool, tmp_path: Path) -> None:
    x = ramp(25, 2)
    y = x[:, 0] % 2
    paths = write(tmp_path, {"a.npy": x.T if transposed else x, "b.npy": x[:7]}, {"a.npy": y, "b.npy": y[:7]})
    folder = nl.open_folder(*paths, window_size=10, overlap=0.5)
    assert folder.names == ["a.npy[0:10]", "a.npy[5:15]", "a.npy[10:20]", "a.npy[15:25]", "b.npy"]
    got_x, got_y = folder[1]
    assert np.array_equal(got_x.T if transposed else got_x, x[5:15]) and np.array_equal(got_y, y[5:15])
    assert np.array_equal(folder[4][0], x[:7])


def test_windows_of_one_target_a_signal_share_it(tmp_path: Path) -> None:
    folder = nl.open_folder(*write(tmp_path, {"a.npy": ramp(25)}, {"a.npy": np.array(2)}), window_size=10)
    assert [(len(x), int(y)) for x, y in folder] == [(10, 2), (10, 2), (5, 2)]


def test_windows_of_a_day_are_read_without_loading_it(tmp_path: Path) -> None:
    n_steps = 24 * 3600 * 1000  # a day at 1 kHz: 345 MB of float32, of which a window touches a few pages
    for side in "xy":
        (tmp_path / side / "train").mkdir(parents=True)
        np.lib.format.open_memmap(tmp_path / side / "train" / "day.npy", "w+", np.float32, (n_steps, 1))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    folder = nl.open_folder(tmp_path / "x", tmp_path / "y", "train", window_size=3_600_000)
    assert len(folder) == 24
    assert float(folder[23][0][-1, 0]) == 0.0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KB


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
