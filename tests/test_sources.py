"""Data in every form that is natural: lists, arrays, stacks, iterables, torch Datasets and classes like them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import CASES, Case, Mine, make_pairs, make_state, write_folders
from torch.utils.data import DataLoader, IterableDataset, Subset, TensorDataset

import neurallib as nl

QUIET: dict[str, Any] = {"enable_progress_bar": False}
each_case = pytest.mark.parametrize("case", CASES, ids=str)


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
    assert all(np.array_equal(a, b) for a, b in zip(nl.predict(state, stack), outputs, strict=True))
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
        ((np.zeros((3, 4, 2)), np.zeros((2, 4))), r"shape \(3, 4, 2\) and shape \(2, 4\).*as many targets as"),
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


def test_lists_of_signals_and_of_targets_are_pairs() -> None:
    state = make_state(Case("GRUseq2seq", "binary"))
    pairs = make_pairs(state, [6, 9, 4])
    xs, ys = [x for x, _ in pairs], [y for _, y in pairs]
    cells = [np.empty((1, 3), dtype=object) for _ in range(2)]  # as of MATLAB
    cells[0][0, :], cells[1][0, :] = xs, ys
    expected = nl.evaluate(state, pairs)
    for given in ((xs, ys), [xs, ys], (cells[0][0], ys), tuple(cells)):
        assert nl.evaluate(state, given) == expected
    with pytest.raises(ValueError, match="data is a pair of 3 in a list and 2 in a list; expected as many targets"):
        nl.evaluate(state, (xs, ys[:2]))
    with pytest.raises(ValueError, match="data is two lists of two"):  # x and y, or a pair each?
        nl.evaluate(state, (xs[:2], ys[:2]))


def test_objects_that_are_numbers_are_taken_and_others_are_named() -> None:
    state = make_state(Case("GRUseq2seq", "binary"))
    x = make_pairs(state, [6])[0][0]
    objects = x.astype(object)
    assert np.array_equal(nl.predict(state, objects)[0], nl.predict(state, x)[0])
    assert len(nl.predict(state, np.array([objects, objects]))) == 2
    objects[2, 1] = "off"
    with pytest.raises(TypeError, match=r"x of signals\[0\] holds 'off' at \[2, 1\]"):
        nl.predict(state, objects)
    with pytest.raises(TypeError, match="structured_to_unstructured"):
        nl.predict(state, np.zeros(6, dtype=[("ecg", "f4"), ("ppg", "f4")]))


def test_two_channels_to_a_model_of_one_are_told_to_be_taken_as_signals() -> None:
    state = nl.gru_seq2seq(n_features=1, hid_dim=2, n_layers=1)
    with pytest.warns(UserWarning, match=r"^signals is \[40, 2\], taken as 40 signals of 2 steps"):
        nl.predict(state, np.zeros((40, 2), np.float32))
    nl.predict(state, np.zeros((40, 10), np.float32))
    assert [len(output) for output in nl.predict(state, TensorDataset(torch.zeros(3, 8, 1)))] == [8] * 3


def test_signals_that_come_one_after_the_other_are_called_by_their_place_among_all() -> None:
    state = nl.gru_seq2seq(n_features=1, hid_dim=2, n_layers=1)
    signals = [*[np.ones((4, 1))] * 5, np.full((4, 1), np.nan)]
    for output in ("logits", "probabilities"):
        answers = nl.iter_predict(state, iter(signals), batch_size=2, output=output)
        found, expected = [next(answers) for _ in range(4)], nl.predict(state, signals[:4], output=output)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    with pytest.raises(ValueError, match=r"signals\[5\]"):
        list(answers)
