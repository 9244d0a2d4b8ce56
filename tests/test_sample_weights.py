"""Weights of training signals: two is the signal twice, nothing is leaving it out, and nobody else weighs by them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import CASES, FEW, QUIET, Case, data, make_pairs, make_state, same_weights, write_folders
from test_batch_invariance import gradients
from watching import Watch, marked

import neurallib as nl

GRU = Case("GRUseq2seq", "binary")
STILL = 1e-12  # a learning rate too small to change a float32
AS_GIVEN: dict[str, Any] = {"normalization": None, "target_normalization": None}
LENGTHS = [20, 4, 30, 25, 8, 50]
each_case = pytest.mark.parametrize("case", CASES, ids=str)


def assert_same_steps(steps: list[dict[str, torch.Tensor]], others: list[dict[str, torch.Tensor]]) -> None:
    assert len(steps) == len(others)
    for one, other in zip(steps, others, strict=True):
        for name, gradient in one.items():
            scale = max(float(gradient.abs().max()), 1e-3)
            torch.testing.assert_close(other[name] / scale, gradient / scale, rtol=1e-5, atol=1e-5)


@each_case
def test_a_signal_that_weighs_two_is_the_signal_twice(case: Case) -> None:
    state = make_state(case, learning_rate=STILL)
    pairs = make_pairs(state, LENGTHS)
    class_weight = [3.0, 0.5, 1.0] if case.kind == "multiclass" else None
    options = {"batch_size": 9, "class_weight": class_weight} | AS_GIVEN
    twice, told_twice = gradients(state, [*pairs, pairs[1], pairs[3]], **options)
    weighed, told = gradients(state, pairs, sample_weight=[1, 2, 1, 2, 1, 1], **options)
    assert_same_steps(weighed, twice)
    assert told["train_losses"] == pytest.approx(told_twice["train_losses"], rel=1e-5)
    with pytest.raises(AssertionError):
        assert_same_steps(gradients(state, pairs, **options)[0], twice)


@pytest.mark.parametrize("options", [{}, {"bucketing": True}, {"batch_size": 3}], ids=str)
def test_a_signal_that_weighs_nothing_is_left_out(options: dict[str, Any]) -> None:
    state, watch = make_state(GRU), Watch()
    pairs, weight = marked(state, LENGTHS), [1.0, 0.0, 1.0, 1.0, 0.0, 1.0]
    run: dict[str, Any] = {"epochs": 2, "batch_size": 1} | QUIET | AS_GIVEN | options
    weighed = nl.train(state, pairs, pairs, sample_weight=weight, callbacks=[watch], **run)
    left = [pair for pair, w in zip(pairs, weight, strict=True) if w]
    assert same_weights(weighed, nl.train(state, left, pairs, **run))
    assert [sorted(order) for order in watch.orders()] == [[0, 2, 3, 5]] * 2


@pytest.mark.parametrize("case", FEW, ids=str)
def test_weighted_gradients_are_the_same_in_however_many_parts(case: Case) -> None:
    state = make_state(case, learning_rate=STILL)
    pairs, weight = make_pairs(state, LENGTHS), torch.tensor([0.5, 3.0, 1.0, 0.1, 2.0, 7.0])
    whole, told = gradients(state, pairs, batch_size=4, sample_weight=weight)
    for batch_size in (1, 2):
        options: dict[str, Any] = {"batch_size": batch_size, "accumulate_grad_batches": 4 // batch_size}
        parts, told_of_parts = gradients(state, pairs, sample_weight=weight, **options)
        assert_same_steps(whole, parts)
        assert told_of_parts["train_losses"] == pytest.approx(told["train_losses"], rel=1e-5)


@pytest.mark.parametrize("parts", [1, 2])
def test_only_the_ratios_of_weights_count(parts: int) -> None:
    state = make_state(GRU, learning_rate=STILL)
    pairs, options = make_pairs(state, LENGTHS), {"batch_size": 4 // parts, "accumulate_grad_batches": parts}
    steps = [
        gradients(state, pairs, sample_weight=np.array([1, 2, 3, 4, 5, 6]) * factor, **options)[0]
        for factor in (1, 1e-60, 1e60)
    ]
    assert_same_steps(steps[0], steps[1])
    assert_same_steps(steps[0], steps[2])
    alike = gradients(state, pairs, sample_weight=[7] * 6, **options)[0]
    assert_same_steps(gradients(state, pairs, **options)[0], alike)


def test_signals_of_hardly_any_weight_still_give_the_gradient_of_their_step() -> None:
    state = make_state(GRU, learning_rate=STILL)
    pairs = make_pairs(state, LENGTHS[:2])
    for parts in (1, 2):
        options: dict[str, Any] = {"batch_size": 1, "accumulate_grad_batches": parts, "seed": 1}
        light = gradients(state, [*pairs, *pairs], sample_weight=[1e-12, 1e-12, 1, 1], **options)[0]
        assert all(float(step["fc_out.weight"].abs().max()) > 1e-4 for step in light)


def test_neither_validation_nor_what_the_data_decide_weighs() -> None:
    state, regression = make_state(GRU, learning_rate=STILL), make_state(Case("GRUseq2seq", "regression"))
    pairs, weight = data(state), [0.0, 5.0, 1.0, 1.0, 2.0, 1.0, 0.3, 1.0]
    run: dict[str, Any] = {"epochs": 1, "batch_size": 3} | QUIET
    plain, weighed = (
        nl.train(state, pairs, pairs, class_weight="balanced", sample_weight=w, **run)["training_info"]
        for w in (None, weight)
    )
    assert weighed["val_losses"] == pytest.approx(plain["val_losses"], rel=1e-6)
    assert weighed["train_losses"] != pytest.approx(plain["train_losses"], rel=1e-6)
    assert weighed["class_weight"] == plain["class_weight"]
    assert plain["sample_weight"] is None and weighed["sample_weight"] == {"min": 0.0, "max": 5.0}
    pairs = data(regression)
    scales = {"normalization": "dataset", "target_normalization": "dataset", "dry_run": True} | run
    known = [nl.train(regression, pairs, pairs, sample_weight=w, **scales)["preprocessing"] for w in (None, weight)]
    assert known[0] == known[1]


WRONG: dict[str, tuple[Any, type[Exception], str]] = {
    "few": ([1.0, 2.0], ValueError, r"sample_weight has shape \(2,\); expected \(4,\)"),
    "one": (2.0, ValueError, r"sample_weight has shape \(\)"),
    "negative": ([1, 1, -1, 1], ValueError, r"sample_weight of train_data\[2\] is -1"),
    "not a number": ([1, float("nan"), 1, 1], ValueError, r"sample_weight of train_data\[1\] is nan"),
    "infinite": ([float("inf"), 1, 1, 1], ValueError, r"sample_weight of train_data\[0\] is inf"),
    "nothing": ([0, 0, 0, 0], ValueError, "sample_weight is 0 for all 4 signals"),
    "words": (["a", "b", "c", "d"], TypeError, "sample_weight is a list that holds no numbers"),
    "names": ({"a": 1}, TypeError, "only files have names"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_are_no_weights_is_refused_before_training(what: str, results: Path) -> None:
    given, error, words = WRONG[what]
    state = make_state(GRU)
    pairs = make_pairs(state, [6] * 4)
    with pytest.raises(error, match=words):
        nl.train(state, pairs, pairs, sample_weight=given, epochs=1, batch_size=2, save=True, **QUIET)
    assert not results.exists()


def test_files_have_weights_by_name_which_their_windows_share(tmp_path: Path) -> None:
    state = make_state(GRU)
    folders = write_folders(tmp_path, state)  # 1.npy .. 6.npy of 7, 8, 9, 10, 7 and 8 steps: two windows of 5 each
    options: dict[str, Any] = {"epochs": 1, "dataset_name": "ones", "trained_for": "a test", "window_size": 5} | QUIET
    names = {"1.npy": 1.0, "2": 2.0, "3": 0.0, "4.npy": 4.0, "5": 1.0, "6.npy": 6.0, "another": 9.0}
    by_name = nl.train_from_scratch(state, *folders, sample_weight=names, **options)
    by_place = nl.train_from_scratch(state, *folders, sample_weight=np.repeat([1, 2, 0, 4, 1, 6], 2), **options)
    assert same_weights(by_name, by_place) and by_name["training_info"]["sample_weight"] == {"min": 0.0, "max": 6.0}
    assert not same_weights(by_name, nl.train_from_scratch(state, *folders, **options))
    column = pytest.importorskip("pandas", reason="comes with the extra wfdb").Series(names)[::-1]
    assert same_weights(by_name, nl.train_from_scratch(state, *folders, sample_weight=column, **options))
    del names["4.npy"]
    source = by_name["training_info"]["checkpoints_directory"]
    with pytest.raises(ValueError, match="sample_weight has nothing for 4.npy; expected every file"):
        nl.retrain(None, *folders, checkpoints_directory=source, sample_weight=names, **options)
    names["4"] = 1.0
    again = nl.retrain(None, *folders, checkpoints_directory=source, sample_weight=names, **options)
    assert again["training_info"]["sample_weight"] == {"min": 0.0, "max": 6.0}


def test_folds_weigh_the_signals_that_they_train_on() -> None:
    state = make_state(GRU)
    pairs, people, weight = data(state, 8), [1, 1, 2, 2, 3, 3, 4, 4], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    run: dict[str, Any] = {"folds": 4, "epochs": 1, "batch_size": 4, "val": 0} | QUIET
    told = nl.cross_validate(state, pairs, people, sample_weight=weight, **run)
    for fold, trained in enumerate(told["states"]):
        own = [w for w, held_out in zip(weight, told["fold"], strict=True) if held_out != fold]
        assert trained["training_info"]["sample_weight"] == {"min": min(own), "max": max(own)}
    with pytest.raises(ValueError, match="sample_weight is 0 for all signals that fold [0-3] trains on"):
        nl.cross_validate(state, pairs, people, sample_weight=[1, 0, 0, 0, 0, 0, 0, 0], **run)
    with pytest.raises(ValueError, match=r"sample_weight has shape \(7,\)"):
        nl.cross_validate(state, pairs, people, sample_weight=weight[:7], **run)
