"""Folders, windows, preparation and batches: what is read, what is corrected, and what is refused by name."""

import resource
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from cases import CASES, Case, make_pairs, make_state
from hypothesis import given, settings
from hypothesis import strategies as st

import neurallib as nl
from neurallib.signals.batches import BatchOrder
from neurallib.signals.folders import cut_windows
from neurallib.signals.normalization import normalize
from neurallib.signals.preparing import prepare_signals

BINARY = Case("GRUseq2seq", "binary")


def one_feature(**hparams) -> nl.State:
    return nl.gru_seq2seq(**({"n_features": 1, "hid_dim": 3, "n_layers": 1} | hparams))


def write(root: Path, signals: dict[str, np.ndarray], targets: dict[str, np.ndarray], part: str = "train") -> tuple:
    for side, arrays in (("x", signals), ("y", targets)):
        (root / side / part).mkdir(parents=True, exist_ok=True)
        for name, array in arrays.items():
            np.save(root / side / part / name, array)
    return root / "x", root / "y", part


def ramp(n: int, c: int = 1) -> np.ndarray:
    return np.arange(n * c, dtype=np.float32).reshape(n, c)


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
    for wrong in ({"all_samples": False}, {"all_samples": False, "samples": 0}, {"window_size": 0}, {"overlap": 1.0}):
        with pytest.raises(ValueError, match="samples|window_size|overlap"):
            nl.open_folder(*write(tmp_path / "ok", {"1.npy": ramp(3)}, {"1.npy": ramp(3)}), **wrong)


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


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (np.array([[0.0], [np.nan]]), [[0], [1]], r"x of data\[0\] holds nan at \[1, 0\]"),
        (np.array([[0.0], [np.inf]]), [[0], [1]], r"x of data\[0\] holds inf"),
        (ramp(3), [[0], [1]], r"y of data\[0\] has shape \(2, 1\), x 3 steps; seq2seq binary expects \(3, 1\)"),
        (ramp(2), [[0], [2]], "holds the label 2; binary .* from 0 to 1"),
        (ramp(2), [[0], [0.5]], "holds the label 0.5"),
        (ramp(2), [[0], [-1]], "holds the label -1"),
        (ramp(2, 2), [[0], [1]], r"x of data\[0\] has shape \(2, 2\); expected \(T, 1\)"),
        (np.zeros((0, 1)), np.zeros((0, 1)), "at least one step"),
        (np.zeros((2, 3, 1)), [[0], [1]], r"has shape \(2, 3, 1\)"),
        (np.array([["a"], ["b"]]), [[0], [1]], r"x of data\[0\] holds <U1"),
        (np.array([[1j], [0j]]), [[0], [1]], "holds complex"),
    ],
)
def test_a_signal_or_target_that_cannot_be_used_is_named(x: np.ndarray, y: list, words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        nl.prepare(one_feature(), [(x, np.asarray(y))])


def test_labels_of_a_multiclass_task_are_checked() -> None:
    state = one_feature(num_classes=3)
    with pytest.raises(ValueError, match="label 3; multiclass with num_classes=3 expects whole numbers from 0 to 2"):
        nl.prepare(state, [(ramp(2), np.array([0, 3]))])


def test_what_is_no_list_of_pairs_is_refused() -> None:
    state = one_feature()
    with pytest.raises(ValueError, match="train_data is empty"):
        nl.prepare(state, [], "train_data")
    with pytest.raises(TypeError, match="is a generator; expected a list of pairs"):
        nl.prepare(state, (pair for pair in []))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"data\[0\] is a ndarray; expected a pair"):
        nl.prepare(state, [ramp(3)])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="signals is a ndarray; expected a list of signals"):
        nl.predict(state, ramp(3))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, np.uint16, np.int64, bool])
def test_signals_of_any_number_type_become_float32(dtype: type) -> None:
    data = nl.prepare(one_feature(), [(np.array([[0], [1]], dtype=dtype), np.array([[0], [1]], dtype=dtype))])
    assert data[0][0].dtype == data[0][1].dtype == torch.float32
    assert data[0][0].tolist() == [[0.0], [1.0]]


def test_a_truth_value_is_a_class() -> None:
    state = make_state(Case("GRUseq2one", "multiclass"))
    assert nl.prepare(state, [(np.zeros((4, 2)), True), (np.zeros((4, 2)), np.False_)])[0][1].tolist() == 1


def test_a_number_of_samples_beside_all_samples_is_told(tmp_path: Path) -> None:
    folders = write(tmp_path, {"1.npy": ramp(3), "2.npy": ramp(3)}, {"1.npy": ramp(3), "2.npy": ramp(3)})
    with pytest.warns(UserWarning, match="samples=1 is for all_samples=False: all 2 files are used"):
        assert len(nl.open_folder(*folders, samples=1)) == 2


FORMS = [
    ("GRUseq2seq", "binary", (5, 1), [(5,), (1, 5)], []),
    ("GRUseq2seq", "multilabel", (5, 3), [(3, 5)], []),
    ("GRUseq2seq", "multiclass", (5,), [(5, 1), (1, 5)], []),
    ("GRUseq2seq", "regression", (5, 2), [(2, 5)], []),
    ("GRUseq2one", "binary", (1,), [()], [(1, 1)]),
    ("GRUseq2one", "multilabel", (3,), [], [(1, 3)]),
    ("GRUseq2one", "multiclass", (), [(1,), (1, 1)], []),
    ("GRUseq2one", "regression", (2,), [], [(1, 2)]),
]


@pytest.mark.parametrize(("architecture", "kind", "wanted", "corrected", "quiet"), FORMS)
def test_targets_come_in_every_form_of_the_original(
    architecture: str, kind: str, wanted: tuple, corrected: list, quiet: list
) -> None:
    state = make_state(Case(architecture, kind))  # type: ignore[arg-type]
    x = np.zeros((5, 2))
    values = np.arange(np.prod(wanted, dtype=int)).reshape(wanted) % 2
    for form in (wanted, *quiet, *corrected):
        transposed = len(form) == 2 and len(wanted) == 2 and form == wanted[::-1]
        given = values.T if transposed else values.reshape(form)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            y = nl.prepare(state, [(x, given)] * 3)[2][1]
        assert y.tolist() == values.tolist() and tuple(y.shape) == wanted
        assert y.dtype == (torch.int64 if kind == "multiclass" else torch.float32)
        assert len(caught) == (form in corrected)  # one for all three
        assert not caught or "in 3 of 3 signals" in str(caught[0].message)


def test_signals_are_shaped_with_one_warning_a_folder(tmp_path: Path) -> None:
    wide = {f"{i}.npy": ramp(6, 2).T for i in range(4)}
    folder = nl.open_folder(*write(tmp_path, wide, {name: np.zeros((6, 1)) for name in wide}))
    state = nl.gru_seq2seq(n_features=2, hid_dim=3, n_layers=1)
    with pytest.warns(UserWarning, match="x is .2, T., transposed to .T, 2., in 4 of 4 signals: train/0.npy") as caught:
        data = nl.prepare(state, folder)
    assert len(caught) == 1
    assert np.array_equal(data[1][0], ramp(6, 2))
    with pytest.warns(UserWarning, match=r"x is \[T\], taken as \[T, 1\]"):
        assert nl.prepare(one_feature(), [(ramp(4)[:, 0], np.zeros((4, 1)))])[0][0].shape == (4, 1)


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


def test_signals_beyond_the_budget_are_read_again_and_equal(tmp_path: Path) -> None:
    signals = {f"{i}.npy": np.random.default_rng(i).normal(size=(20, 1)) for i in range(5)}
    folder = nl.open_folder(*write(tmp_path, signals, {name: (x > 0).astype(int) for name, x in signals.items()}))
    kept, read = nl.prepare(one_feature(), folder), nl.prepare(one_feature(), folder, memory_budget=300)
    assert len(kept._kept) == 5 and len(read._kept) == 1
    for a, b in zip(kept, read, strict=True):
        assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])


def test_a_long_signal_beyond_the_budget_leaves_it_to_the_others() -> None:
    pairs = [(ramp(n), np.zeros((n, 1))) for n in (1000, 10, 10)]
    assert sorted(nl.prepare(one_feature(), pairs, memory_budget=200)._kept) == [1, 2]


@given(st.integers(1, 300), st.integers(1, 60), st.floats(0, 0.99))
@settings(max_examples=200, deadline=None)
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


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30), st.integers(1, 7), st.booleans(), st.booleans())
@settings(max_examples=60, deadline=None)
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


def test_processes_share_the_batches_out_evenly() -> None:
    shares = [
        [i for b in BatchOrder(range(1, 15), 3, shuffle=True, bucketing=False, seed=0, rank=r, world_size=2) for i in b]
        for r in (0, 1)
    ]
    assert set(shares[0]) | set(shares[1]) == set(range(14))
    orders = [BatchOrder([5] * 14, 3, shuffle=True, bucketing=False, seed=0, rank=r, world_size=2) for r in (0, 1)]
    assert len(list(orders[0])) == len(list(orders[1])) == len(orders[0]) == 3


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_loader_gives_batches_and_draws_nothing_from_the_global_generator(case: Case) -> None:
    state = make_state(case)
    loader = nl.make_loader(nl.prepare(state, make_pairs(state, [4, 6, 5])), batch_size=2, shuffle=True)
    before = torch.get_rng_state()
    assert sum(len(batch["x"]) for batch in loader) == 3
    assert torch.equal(before, torch.get_rng_state())


def test_signals_without_targets_are_prepared_alike(tmp_path: Path) -> None:
    state = one_feature()
    x = ramp(6)
    folder = nl.open_folder(*write(tmp_path, {"1.npy": x}, {"1.npy": np.zeros((6, 1))}))
    for signals in ([x], [torch.from_numpy(x)], folder, x[None]):
        assert torch.equal(prepare_signals(state, signals)[0][0], torch.from_numpy(x))
