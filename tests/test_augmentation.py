"""Augmentation: what is drawn, when it comes, what a network then sees of it, and what is refused."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import FEW, QUIET, Case, data, make_pairs, make_state, same_weights, write_folders
from pytorch_lightning.callbacks import Callback
from torch.utils.data import Dataset
from watching import Watch, marked

import neurallib as nl
from neurallib.signals.augmenting import Augmentation
from neurallib.signals.conversion import Handed
from neurallib.signals.prepared import PreparedData
from neurallib.signals.preparing import prepare_training

GRU = Case("GRUseq2seq", "binary")
REGRESSION = Case("GRUseq2seq", "regression")
STILL = 1e-12  # a learning rate too small to change a float32
RUN: dict[str, Any] = {"epochs": 3, "batch_size": 3, "normalization": None} | QUIET


class Noted:
    """An augmentation that notes, by the mark of a signal, what it was given and what its generator drew."""

    def __init__(self, change: Any = lambda x, y, drawn: (x, y)) -> None:
        self.change = change
        self.draws: dict[int, list[float]] = {}
        self.given: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}

    def __call__(self, x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> tuple[Any, Any]:
        drawn, mark = generator.random(), int(x[0, 0])
        self.draws.setdefault(mark, []).append(drawn)
        self.given.setdefault(mark, []).append((x.copy(), y.copy()))
        return self.change(x, y, drawn)


class Batches(Callback):
    """The signals and targets of every training batch, without their padding."""

    def __init__(self) -> None:
        self.seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
        for x, y, n in zip(batch["x"], batch["y"], batch["lengths"], strict=True):
            self.seen.append((x[:n].clone(), y[:n].clone()))


def cropped(x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Some of the signal's steps, made louder; a target of the whole signal stays."""
    n = len(x)
    kept = max(1, n - int(generator.integers(0, 3)))
    x *= generator.uniform(0.5, 2.0)
    return x[:kept], y[:kept] if y.ndim and len(y) == n else y


def prepared(state: nl.State, pairs: list, function: Any, seed: int = 1) -> PreparedData:
    options: dict[str, Any] = {"memory_budget": 2**20, "enable_progress_bar": False, "handed": Handed()}
    return prepare_training(state, pairs, "data", augmentation=Augmentation(function, seed), **options)[1]


@pytest.mark.parametrize("case", FEW, ids=str)
def test_augmented_training_is_the_same_each_time_and_another_than_without(case: Case) -> None:
    state = make_state(case)
    pairs, options = data(state), {"epochs": 2, "batch_size": 3} | QUIET
    one, two = (nl.train(state, pairs, pairs[:3], augment=cropped, **options) for _ in range(2))
    assert same_weights(one, two) and not same_weights(one, nl.train(state, pairs, pairs[:3], **options))
    assert one["training_info"]["augment"] == "test_augmentation.cropped"


def test_what_is_drawn_is_decided_by_seed_epoch_and_signal_alone() -> None:
    state = make_state(GRU)
    pairs = marked(state, [4, 40, 7, 12, 9, 25, 5])

    def draws(**options: Any) -> dict[int, list[float]]:
        noted = Noted()
        nl.train(state, pairs, pairs[:2], augment=noted, **(RUN | options))
        return noted.draws

    drawn = draws()
    assert [len(drawn[i]) for i in range(7)] == [4, 3, 3, 3, 3, 3, 3]  # the first one tried before training as well
    assert drawn[0][0] == drawn[0][1] and len({value for values in drawn.values() for value in values}) == 7 * 3
    for options in ({"batch_size": 7}, {"bucketing": True}, {"memory_budget": 0}, {"accumulate_grad_batches": 2}):
        assert draws(**options) == drawn
    assert not {value for values in draws(seed=43).values() for value in values} & set(drawn[1] + drawn[2])


def test_seeds_epochs_and_places_are_not_taken_for_one_another() -> None:
    state = make_state(GRU)
    pairs, first = marked(state, [4] * 3), []
    for seed in (0, 1, 2, 2**32, 2**32 + 1):
        noted = Noted()
        whole = prepared(state, pairs, noted, seed)
        for epoch in (0, 1, 2):
            for place in range(3):
                whole.drawn(place, epoch)
        first += [value for i in range(3) for value in noted.draws[i][i == 0 :]]
    assert len(set(first)) == 5 * 3 * 3


@pytest.mark.parametrize("bucketing", [False, True])
def test_processes_share_what_one_would_draw_and_any_epoch_can_be_asked_for(bucketing: bool) -> None:
    state = make_state(GRU)
    whole = prepared(state, make_pairs(state, [9, 14, 7, 12, 10, 25]), cropped)

    def epochs(*, rank: int = 0, world_size: int = 1) -> list[list[nl.Batch]]:
        options: dict[str, Any] = {"shuffle": True, "bucketing": bucketing, "rank": rank, "world_size": world_size}
        loader = nl.make_loader(whole, batch_size=2, **options)
        return [list(loader) for _ in range(3)]

    alone, shares = epochs(), [epochs(rank=rank, world_size=3) for rank in range(3)]
    for epoch in range(3):
        for rank in range(3):
            (got,), expected = shares[rank][epoch], alone[epoch][rank]
            assert torch.equal(got["x"], expected["x"]) and torch.equal(got["lengths"], expected["lengths"])
    loader = nl.make_loader(whole, batch_size=2, shuffle=True, bucketing=bucketing)
    loader.batch_sampler.set_epoch(2)  # type: ignore[union-attr]
    assert all(torch.equal(one["x"], other["x"]) for one, other in zip(loader, alone[2], strict=True))


class GoesOn(Callback):
    """A run that begins with its third epoch."""

    def on_train_start(self, trainer: Any, module: Any) -> None:
        progress = trainer.fit_loop.epoch_progress.current
        progress.ready = progress.started = progress.processed = progress.completed = 2


def test_a_run_that_goes_on_draws_and_orders_what_its_epoch_decides() -> None:
    state = make_state(GRU)
    pairs, seen = marked(state, [6] * 8), []
    for callbacks in ([], [GoesOn()]):
        noted, watch = Noted(), Watch()
        nl.train(state, pairs, pairs, augment=noted, callbacks=[*callbacks, watch], **RUN)
        seen.append((watch.orders()[-1], [values[-1] for _, values in sorted(noted.draws.items())]))
    assert len(watch.orders()) == 1 and seen[0] == seen[1]


class OneBuffer(Dataset):  # type: ignore[type-arg]
    """Signals that are read into the same array, one after the other."""

    def __init__(self, pairs: list) -> None:
        self.pairs, self.buffer, self.reads = pairs, pairs[0][0].copy(), 0

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, i: int) -> Any:
        self.reads += 1
        self.buffer[:] = self.pairs[i][0]
        return self.buffer, self.pairs[i][1]


@pytest.mark.parametrize("normalization", [None, "dataset"])
def test_signals_are_kept_as_they_were_read_within_the_memory_budget(normalization: str | None) -> None:
    state = make_state(GRU)
    pairs, given, reads = marked(state, [6] * 8), [], []
    for memory_budget in (2**20, 3 * 6 * 4 * 3, 0):  # all, three of x [6, 2] and y [6, 1], none
        source, noted = OneBuffer(pairs), Noted()
        options = RUN | {"memory_budget": memory_budget, "normalization": normalization}
        nl.train(state, source, pairs, augment=noted, **options)
        given.append([[x.tolist() for x, _ in signals] for _, signals in sorted(noted.given.items())])
        reads.append(source.reads)
    assert given[0] == given[1] == given[2] and given[0][3] == [pairs[3][0].tolist()] * 3
    # To check all eight, and the two that are kept once more; in three epochs; the one that is tried.
    assert reads == [8 + 2, 8 + 1 + 3 * 5, 8 + 3 * 8 + 1]


@pytest.mark.parametrize("memory_budget", [0, 2**20])
def test_each_epoch_begins_with_the_signal_as_it_was_handed_in_and_the_callers_arrays_stay(memory_budget: int) -> None:
    def overwrite(x: np.ndarray, y: np.ndarray, drawn: float) -> tuple[np.ndarray, np.ndarray]:
        x[1:] += 5
        y[:] = 1 - y
        return x, y

    state, noted = make_state(GRU), Noted(overwrite)
    pairs = [(x, y) for x, y in marked(state, [6] * 4)]
    pairs[1] = (pairs[1][0].astype(np.float64), pairs[1][1])
    pairs[2] = (np.round(pairs[2][0]).astype(np.int16), pairs[2][1])
    before = [(x.copy(), y.copy()) for x, y in pairs]
    nl.train(state, pairs, pairs[:1], augment=noted, **(RUN | {"memory_budget": memory_budget}))
    for i, (x, y) in enumerate(before):
        assert np.array_equal(pairs[i][0], x) and np.array_equal(pairs[i][1], y)
        assert all(np.array_equal(given, x) and np.array_equal(target, y) for given, target in noted.given[i])
        assert noted.given[i][0][0].dtype == (np.float64 if i == 1 else np.float32)


def test_validation_is_never_augmented() -> None:
    state, noted = make_state(GRU, learning_rate=STILL), Noted(lambda x, y, drawn: (x * 9, 1 - y))
    pairs, val = marked(state, [6] * 4), marked(state, [6] * 3, first=100)
    plain, augmented = (nl.train(state, pairs, val, augment=each, **RUN)["training_info"] for each in (None, noted))
    assert augmented["val_losses"] == plain["val_losses"] and augmented["train_losses"] != plain["train_losses"]
    assert sorted(noted.draws) == [0, 1, 2, 3]


def test_what_was_augmented_is_then_normalized_as_the_data_without_it_decide() -> None:
    state, seen = make_state(REGRESSION), Batches()
    pairs = [(4 + 3 * x, 100 + 10 * y) for x, y in make_pairs(state, [30] * 5)]
    options = RUN | {"epochs": 1, "batch_size": 1, "target_normalization": "dataset", "normalization": "dataset"}
    plain = nl.train(state, pairs, pairs, **options)
    augmented = nl.train(state, pairs, pairs, augment=lambda x, y, _: (2 * x, y + 7), callbacks=[seen], **options)
    known = augmented["preprocessing"]
    assert known == plain["preprocessing"]
    expected = {tuple((2 * x[0] - known["x_shift"]) / known["x_scale"]) for x, _ in pairs}
    targets = {tuple((y[0] + 7 - known["y_shift"]) / known["y_scale"]) for _, y in pairs}
    for got, wanted in (([x for x, _ in seen.seen], expected), ([y for _, y in seen.seen], targets)):
        np.testing.assert_allclose(sorted(row[0].tolist() for row in got), sorted(map(list, wanted)), rtol=1e-4)


def test_a_signal_that_is_normalized_by_itself_is_so_after_it_was_augmented() -> None:
    state = make_state(GRU)
    pairs, options = make_pairs(state, [30] * 5), RUN | {"normalization": "zscore"}
    plain, louder = (nl.train(state, pairs, pairs, augment=f, **options) for f in (None, lambda x, y, _: (8 * x, y)))
    for name, weight in plain["weights"].items():
        torch.testing.assert_close(louder["weights"][name], weight, rtol=1e-4, atol=1e-6)


def test_another_length_is_padded_as_it_came() -> None:
    state, seen = make_state(GRU), Batches()
    pairs = marked(state, [4, 20, 9])
    doubled = nl.train(state, pairs, pairs, augment=lambda x, y, _: (np.repeat(x, 2, 0), np.repeat(y, 2, 0)),
                       callbacks=[seen], **(RUN | {"epochs": 1}))  # fmt: skip
    by_mark = {int(x[0, 0]): (x, y) for x, y in seen.seen}
    for i, (x, y) in enumerate(pairs):
        assert np.array_equal(by_mark[i][0], np.repeat(x, 2, 0)) and np.array_equal(by_mark[i][1], np.repeat(y, 2, 0))
    assert doubled["training_info"]["epochs"] == 1


WRONG = {
    "no pair": (lambda x, y, _: x, TypeError, r"\[0\] as augment gave it in epoch 1 is a ndarray"),
    "channels": (lambda x, y, _: (x[:, :1], y), ValueError, r"x of train_data\[0\] as augment .* shape \(6, 1\)"),
    "no step": (lambda x, y, _: (x[:0], y[:0]), ValueError, r"one step at least"),
    "no axis": (lambda x, y, _: (x[:, 0], y), ValueError, r"x of train_data\[0\] as augment .* shape \(6,\)"),
    "not finite": (lambda x, y, _: (x * np.nan, y), ValueError, r"x of train_data\[0\] as augment .* holds nan"),
    "label": (lambda x, y, _: (x, y + 3), ValueError, r"y of train_data\[0\] as augment .* label"),
    "shorter": (lambda x, y, _: (x[:3], y), ValueError, r"y of train_data\[0\] as augment .* shape \(6, 1\), x 3"),
    "turned": (lambda x, y, _: (x, y.T), ValueError, r"y of .* as augment .* shape \(1, 6\); expected \(6, 1\)"),
    "words": (lambda x, y, _: (x, ["a"] * 6), TypeError, r"y of train_data\[0\] as augment"),
    "no function": ("noise", TypeError, r"augment is a str; expected a function"),
    "two arguments": (lambda x, y: (x, y), TypeError, r"augment=<lambda> is no function \(x \[T, C\], y, generator\)"),
    "not called": (nl.augment_noise, TypeError, r"augment=augment_noise is .* such as nl.augment_noise\(\)"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_signal_is_refused_before_training_and_named(what: str, results: Path) -> None:
    function, error, words = WRONG[what]
    state = make_state(GRU)
    pairs = make_pairs(state, [6] * 3)
    with pytest.raises(error, match=words):
        nl.train(state, pairs, pairs, augment=function, save=True, **RUN)  # type: ignore[arg-type]
    assert not results.exists()


def test_what_goes_wrong_later_names_signal_and_epoch() -> None:
    state = make_state(GRU)
    pairs = marked(state, [6] * 3)
    late = Noted(lambda x, y, drawn: (x * (np.inf if int(x[0, 0]) == 2 and len(late.draws[2]) == 2 else 1), y))
    with pytest.raises(ValueError, match=r"x of train_data\[2\] as augment gave it in epoch 2 holds"):
        nl.train(state, pairs, pairs, augment=late, **RUN)


def test_folders_folds_and_retraining_augment_and_tell_it(tmp_path: Path) -> None:
    state, noted = make_state(GRU), Noted()
    folders = write_folders(tmp_path, state)
    options: dict[str, Any] = {"epochs": 1, "dataset_name": "ones", "trained_for": "a test", "window_size": 5} | QUIET
    first = nl.train_from_scratch(state, *folders, augment=functools.partial(cropped), **options)
    assert first["training_info"]["augment"] == "test_augmentation.cropped"
    source = first["training_info"]["checkpoints_directory"]
    again = nl.retrain(None, *folders, augment=noted, checkpoints_directory=source, **options)
    assert again["training_info"]["augment"] == "test_augmentation.Noted"
    assert again["training_info"]["training_history"]["augment"] == "test_augmentation.cropped"
    assert sum(len(values) for values in noted.draws.values()) == 12 + 1  # windows; one was tried before
    with pytest.raises(ValueError, match=r"x of train/1.npy\[0:5\] as augment gave it"):
        nl.train_from_scratch(state, *folders, augment=lambda x, y, _: (x * np.inf, y), **options)
    with pytest.raises(TypeError, match="train_params.'augment'.: .*functions are for train_from_scratch"):
        params = {"path_x": folders[0], "path_y": folders[1], "augment": cropped} | options
        nl.grid_search("GRUseq2seq", {"n_features": 2, "hid_dim": 2, "n_layers": 1}, params)
    pairs, noted = marked(state, [6] * 4), Noted()
    nl.cross_validate(state, pairs, [1, 2, 3, 4], folds=4, augment=noted, **(RUN | {"epochs": 1}))
    assert sorted(noted.draws) == [0, 1, 2, 3]


def test_augmentation_leaves_the_global_random_state_as_it_is() -> None:
    state = make_state(GRU)
    pairs = data(state)
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    nl.train(state, pairs, pairs, augment=cropped, **RUN)
    assert torch.equal(torch_before, torch.get_rng_state()) and np.array_equal(numpy_before, np.random.get_state()[1])


def test_a_target_that_is_the_signal_is_stretched_as_the_signal() -> None:
    x, stretch = np.random.default_rng(0).standard_normal((50, 2)).astype(np.float32), nl.augment_stretch((0.7, 0.7))
    np.testing.assert_array_equal(*stretch(x, x.copy(), np.random.default_rng(1)))
    counts = np.repeat([4.0, 9.0], 25)[:, None]  # whole numbers stay such
    assert {*stretch(x, counts, np.random.default_rng(1))[1].flat} == {4.0, 9.0}
