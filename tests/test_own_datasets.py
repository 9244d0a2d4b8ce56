"""Datasets of one's own: what they keep in memory, what is prepared within them, and errors that they raise."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from cases import QUIET, Case, Mine, make_pairs, make_state
from torch.utils.data import ConcatDataset, Subset

import neurallib as nl


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


def test_a_dataset_may_have_a_method_of_any_name() -> None:
    class Helped(Mine):
        def get_data(self, i: int) -> Any:
            return self.pairs[i]

        def __getitem__(self, i: int) -> Any:
            return self.get_data(i)

    state = make_state(Case("GRUseq2seq", "binary"))
    pairs = make_pairs(state, [6] * 4)
    assert nl.evaluate(state, Helped(pairs)) == nl.evaluate(state, pairs)


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


class Epochs:
    """As MNE-Python has them: what is iterated over are arrays [C, T], what is asked for by number are epochs."""

    def __init__(self, x: np.ndarray) -> None:
        self.x = x

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> "Epochs":
        return Epochs(self.x[i : i + 1])

    ch_names = ("C3", "C4")

    def get_data(self) -> np.ndarray:
        return self.x


def test_objects_that_keep_their_arrays_are_told_how_to_give_them() -> None:
    state = make_state(Case("GRUseq2seq", "binary"))
    epochs, y = Epochs(np.zeros((3, 2, 9))), np.zeros((3, 9))
    calls: list[Callable[[], Any]] = [
        lambda: nl.evaluate(state, epochs),
        lambda: nl.evaluate(state, (epochs, y)),
        lambda: nl.predict(state, epochs),
        lambda: nl.predict(state, [epochs]),
        lambda: nl.predict_recording(state, epochs),  # type: ignore[arg-type]
        lambda: nl.make_dataset(epochs, "data", target=nl.beats),  # type: ignore[arg-type]
        lambda: nl.make_dataset([epochs], "data", target=nl.beats),  # type: ignore[list-item]
    ]
    for call in calls:
        with pytest.raises(TypeError, match=r"is a Epochs; expected arrays: of epochs np\.swapaxes\(x\.get_data"):
            call()


def test_what_an_array_has_too_much_is_told() -> None:
    state = make_state(Case("GRUseq2one", "binary"))
    y, padded = np.zeros((3, 1)), np.zeros((9, 2))
    with pytest.raises(ValueError, match=r"np\.squeeze\(x, 1\) takes an axis of 1 away, as of \[N, 1, C, T\]"):
        nl.prepare(state, (np.zeros((3, 1, 2, 9)), y))
    padded[5:] = np.nan
    with pytest.raises(ValueError, match=r"holds nan at \[5, 0\]; .* Take off what pads it, x\[:5\], and"):
        nl.prepare(state, [(padded, [0])])
    padded[8] = 0
    with pytest.raises(ValueError, match="Repair or leave it out"):
        nl.prepare(state, [(padded, [0])])
    with pytest.raises(ValueError, match=r"Signals \[T\] of one channel are for a state of n_features=1"):
        nl.prepare(state, list(zip(np.zeros((3, 9)), y, strict=True)))
