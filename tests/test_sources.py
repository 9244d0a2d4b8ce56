"""Data in every form that is natural: lists, arrays, stacks, iterables, torch Datasets and classes like them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import CASES, Case, make_pairs, make_state, write_folders
from torch.utils.data import ConcatDataset, DataLoader, Dataset, IterableDataset, Subset, TensorDataset

import neurallib as nl

QUIET: dict[str, Any] = {"enable_progress_bar": False}
each_case = pytest.mark.parametrize("case", CASES, ids=str)


class Mine(Dataset):  # type: ignore[type-arg]
    def __init__(self, pairs: list[Any]) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, i: int) -> Any:
        return self.pairs[i]


class Stream(IterableDataset):  # type: ignore[type-arg]
    def __init__(self, pairs: list[Any]) -> None:
        self.pairs = pairs

    def __iter__(self) -> Iterator[Any]:
        return iter(self.pairs)


class Counted(Stream):
    def __len__(self) -> int:
        return len(self.pairs)


class Plain:
    """No Dataset, but what has a length and items."""

    def __init__(self, pairs: list[Any]) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, i: int) -> Any:
        return self.pairs[i]


def forms(pairs: list[Any]) -> dict[str, Any]:
    """The same signals with the same targets, in every form; all signals are equally long."""
    x, y = (np.stack([np.asarray(pair[side]) for pair in pairs]) for side in (0, 1))
    tensors = [(torch.from_numpy(a), torch.as_tensor(b)) for a, b in pairs]
    return {
        "tuple": tuple(pairs),
        "lists": [list(pair) for pair in pairs],
        "tensors": tensors,
        "own Dataset": Mine(pairs),
        "Dataset of tensors": Mine(tensors),
        "TensorDataset": TensorDataset(torch.from_numpy(x), torch.from_numpy(y)),
        "Subset": Subset(Mine([*pairs, pairs[0]]), range(len(pairs))),
        "IterableDataset": Stream(pairs),
        "IterableDataset with a length": Counted(pairs),
        "class with items": Plain(pairs),
        "generator": (pair for pair in pairs),
        "stacked arrays": (x, y),
        "stacked tensors": [torch.from_numpy(x), torch.from_numpy(y)],
    }


@each_case
def test_every_form_of_data_is_measured_and_predicted_alike(case: Case) -> None:
    state = make_state(case)
    pairs = make_pairs(state, [6] * 4)
    expected, outputs = nl.evaluate(state, pairs), nl.predict(state, [x for x, _ in pairs])
    for name, data in forms(pairs).items():
        assert nl.evaluate(state, data) == pytest.approx(expected, nan_ok=True), name
    for name, data in forms(pairs).items():
        if not name.startswith(("stacked", "lists")):
            got = nl.predict(state, data)
            assert all(np.array_equal(a, b) for a, b in zip(got, outputs, strict=True)), name


@pytest.mark.parametrize("name", list(forms(make_pairs(make_state(CASES[0]), [6] * 2))))
def test_every_form_of_data_is_trained_on_alike(name: str) -> None:
    state = make_state(Case("GRUseq2seq", "binary"))
    pairs = make_pairs(state, [6] * 4)
    expected = nl.train(state, pairs, pairs, epochs=1, batch_size=2, **QUIET)
    trained = nl.train(state, forms(pairs)[name], forms(pairs)[name], epochs=1, batch_size=2, **QUIET)
    assert all(torch.equal(trained["weights"][key], weight) for key, weight in expected["weights"].items())


@each_case
def test_one_array_is_one_signal_and_a_stack_is_several(case: Case) -> None:
    state = make_state(case)
    pairs = make_pairs(state, [6] * 3)
    outputs = nl.predict(state, [x for x, _ in pairs])
    (single,) = nl.predict(state, pairs[0][0])
    assert np.array_equal(single, nl.predict(state, [pairs[0][0]])[0])
    stack = np.stack([x for x, _ in pairs])
    for given in (stack, torch.from_numpy(stack), iter(stack)):
        assert all(np.array_equal(a, b) for a, b in zip(nl.predict(state, given), outputs, strict=True))
    assert nl.evaluate(state, pairs[0]) == pytest.approx(nl.evaluate(state, [pairs[0]]), nan_ok=True)


def test_signals_of_one_feature_may_lack_its_axis() -> None:
    state = nl.gru_seq2seq(n_features=1, hid_dim=3, n_layers=1)
    stack = np.random.default_rng(0).standard_normal((3, 7)).astype(np.float32)
    outputs = nl.predict(state, stack[:, :, None])
    with pytest.warns(UserWarning, match=r"x is \[T\]"):
        assert all(np.array_equal(a, b) for a, b in zip(nl.predict(state, stack), outputs, strict=True))
    with pytest.warns(UserWarning, match=r"x is \[T\]"):
        assert np.array_equal(nl.predict(state, stack[0])[0], outputs[0])
    assert len(nl.predict(state, stack[0][:, None])) == 1
    ragged = np.empty(2, dtype=object)
    ragged[:] = [stack[0][:4, None], stack[1][:, None]]
    assert [len(output) for output in nl.predict(state, ragged)] == [4, 7]


def test_a_folder_gives_its_signals_and_its_targets(tmp_path: Path) -> None:
    state = make_state(Case("GRUseq2seq", "binary"))
    folder = nl.open_folder(*write_folders(tmp_path, state), "test")
    assert len(nl.predict(state, folder)) == len(folder) and nl.evaluate(state, folder)["loss"] > 0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("data/x", r"data is a path or text, 'data/x'.*open_folder"),
        (Path("data/x"), "data is a path or text.*open_folder"),
        (None, "data is a NoneType; expected a list or Dataset of pairs"),
        ({"x": 1}, "data is a dict"),
        (3, "data is a int without a length"),
        (DataLoader(TensorDataset(torch.zeros(2, 3, 2))), r"DataLoader.*loader\.dataset"),
        (np.zeros((3, 4, 2)), r"array of shape \(3, 4, 2\).*it has no targets"),
        (np.zeros((4, 2)), "it has no targets"),
        ([np.zeros((4, 2))], r"data\[0\] is a ndarray; expected a pair"),
        ([(np.zeros((4, 2)),)], r"data\[0\] is a tuple of 1; expected a pair"),
        ([(np.zeros((4, 2)), np.zeros(4), 1)], r"data\[0\] is a tuple of 3; expected a pair"),
        ((np.zeros((3, 4, 2)), np.zeros((2, 4))), r"shapes \(3, 4, 2\) and \(2, 4\).*as many targets as signals, 3"),
        ([], "data is empty"),
        (iter([]), "data is empty"),
    ],
)
def test_what_is_no_data_is_told_with_what_is(given: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        nl.evaluate(make_state(Case("GRUseq2seq", "binary")), given)


@pytest.mark.parametrize("given", ["data/x", None, {"x": 1}, 3, [], np.zeros((0, 4, 2))])
def test_what_is_no_signals_is_told(given: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="^signals is"):
        nl.predict(make_state(Case("GRUseq2seq", "binary")), given)


class Drawing(Mine):
    """A Dataset that adds noise of its own to what it is asked for; of `only`, to that item alone."""

    def __init__(self, pairs: list[Any], only: int | None = None, side: int = 0) -> None:
        super().__init__(pairs)
        self.rng, self.only, self.side, self.reads = np.random.default_rng(0), only, side, 0

    def __getitem__(self, i: int) -> Any:
        self.reads += 1
        pair = list(self.pairs[i])
        if self.only in (None, i):
            pair[self.side] = pair[self.side] + self.rng.normal(size=pair[self.side].shape).astype(np.float32)
        return pair


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("only", [None, 0, 3])
@pytest.mark.parametrize("options", [{}, {"normalization": None, "target_normalization": None}])
def test_items_that_change_when_read_again_are_noticed_and_told_once(
    side: int, only: int | None, options: dict[str, Any]
) -> None:
    state = make_state(Case("GRUseq2seq", "regression"))
    pairs = make_pairs(state, [6] * 6)
    run: dict[str, Any] = {"epochs": 1, "batch_size": 3, **QUIET, **options}
    with pytest.warns(UserWarning, match="otherwise when read again: .* train's augment= is for") as told:
        nl.train(state, Drawing(pairs, only, side), pairs, **run)
    assert sum("read again" in str(warning.message) for warning in told) == 1
    with pytest.warns(UserWarning, match=rf"data\[{only or 0}\].* came out otherwise when read again"):
        nl.prepare(state, Drawing(pairs, only, side))


def test_items_that_stay_or_are_read_each_epoch_are_not_told_to_change(tmp_path: Path) -> None:
    state = make_state(Case("GRUseq2seq", "binary"))
    pairs = make_pairs(state, [6] * 6)
    pairs[3] = (pairs[3][0], np.full_like(pairs[3][1], np.nan))  # unknown labels are not other labels
    run: dict[str, Any] = {"epochs": 2, "batch_size": 3, **QUIET}
    nl.train(state, Mine(pairs), pairs, **run)
    nl.train(state, Drawing(pairs), pairs, memory_budget=0, **run)
    kept = Drawing(pairs, only=-1)
    nl.train(state, kept, pairs, **run)
    assert kept.reads == 6 + 2


class Frame:
    """What of a frame of pandas matters here: its items are columns, and `to_numpy` gives rows."""

    def __init__(self, values: np.ndarray) -> None:
        self._values, self.shape = values, values.shape

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, column: str) -> Any:
        raise KeyError(column)

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        return self._values

    def to_numpy(self) -> np.ndarray:
        return self._values


def test_a_frame_is_one_signal_and_a_pair_of_them_one_pair() -> None:
    state = make_state(Case("GRUseq2seq", "binary"))
    x, y = make_pairs(state, [9])[0]
    assert np.array_equal(nl.predict(state, Frame(x))[0], nl.predict(state, x)[0])
    assert nl.evaluate(state, (Frame(x), Frame(y))) == nl.evaluate(state, (x, y))


def test_two_channels_to_a_model_of_one_are_told_to_be_taken_as_signals() -> None:
    state = nl.gru_seq2seq(n_features=1, hid_dim=2, n_layers=1)
    with pytest.warns(UserWarning, match=r"^signals is \[40, 2\], taken as 40 signals of 2 steps"):
        with pytest.warns(UserWarning, match="taken as .T, 1., in 40 of 40 signals"):
            nl.predict(state, np.zeros((40, 2), np.float32))


class Buffered(Mine):
    """Items in one piece of memory, which the next one fills again."""

    def __init__(self, pairs: list[Any]) -> None:
        super().__init__(pairs)
        self.x, self.y = (np.empty_like(part) for part in pairs[0])

    def __getitem__(self, i: int) -> Any:
        self.x[:], self.y[:] = self.pairs[i]
        return self.x, self.y


@pytest.mark.parametrize("as_tensors", [False, True])
def test_items_that_come_in_the_memory_of_the_one_before_are_kept_as_they_were(as_tensors: bool) -> None:
    state = make_state(Case("GRUseq2seq", "binary"))
    pairs = make_pairs(state, [6] * 5)

    def read() -> Iterator[Any]:
        held = Buffered(pairs)
        for x, y in (held[i] for i in range(len(held))):
            yield (torch.from_numpy(x), torch.from_numpy(y)) if as_tensors else (x, y)

    assert nl.evaluate(state, read()) == nl.evaluate(state, pairs)
    expected = nl.predict(state, [x for x, _ in pairs])
    for given in (read(), (x for x, _ in read()), Buffered(pairs)):
        np.testing.assert_allclose(list(nl.iter_predict(state, given)), expected, rtol=1e-5)
    np.testing.assert_allclose(nl.predict(state, read()), expected, rtol=1e-5)


def test_what_is_prepared_is_noticed_within_parts_that_are_put_together() -> None:
    state = make_state(Case("GRUseq2seq", "binary"))
    prepared = nl.prepare(state, pairs := make_pairs(state, [6] * 4))
    with pytest.raises(TypeError, match="data is what prepare.state, data. gives, normalized already"):
        nl.evaluate(state, ConcatDataset([Mine(pairs), Subset(prepared, [0, 1])]))


@pytest.mark.skipif(not hasattr(Exception, "add_note"), reason="errors have notes from Python 3.11 on")
def test_an_error_of_a_dataset_says_which_item_was_asked_for() -> None:
    state = make_state(Case("GRUseq2seq", "binary"))
    pairs = make_pairs(state, [6] * 4)
    short = Mine(pairs[:])
    short.__class__ = type("Short", (Mine,), {"__len__": lambda self: 5})
    with pytest.raises(IndexError, match="out of range") as told:
        nl.train(state, pairs, short, epochs=1, batch_size=2, **QUIET)
    assert told.value.__notes__ == ["val_data[4] was asked for."]


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({"ecg": [0.0], "label": 1}, "a dict of 'ecg', 'label'; expected a pair .signal, target., such as"),
        ({"signal": [0.0], "label": 1}, "a dict of 'signal', 'label'; expected a pair .signal, target., such as"),
        ({"signal": [0.0], "sampling_frequency": 1}, "expected a pair .signal, target., which make_dataset makes"),
        (([0.0], 1, "anna"), "a tuple of 3; expected a pair"),
    ],
)
def test_rows_that_are_no_pairs_are_told_by_what_they_hold(item: Any, words: str) -> None:
    state = make_state(Case("GRUseq2seq", "binary"))
    with pytest.raises(TypeError, match=words):
        nl.evaluate(state, [item])
    with pytest.raises(TypeError, match=words.split(", such")[0].split(", which")[0]):
        nl.collate_fn([item])
