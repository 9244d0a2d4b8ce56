"""Predictions of several people scored together: what is handed in, and what may be said of people."""

import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch

import neurallib as nl

PEOPLE = [*"aabbccdd"]


def drawn(k: int, n: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Classes [n] of eight people, each with all of them, and probabilities [n, k] that know something of them."""
    rng = np.random.default_rng(seed)
    true = np.arange(n) % k
    p = rng.dirichlet(np.ones(k), n) + 0.5 * np.eye(k)[true] * rng.random((n, 1))
    return true, p / p.sum(axis=1, keepdims=True), [f"p{i // 5}" for i in range(n)]


@pytest.mark.parametrize("form", ["tensors", "a column", "a list of tensors", "masked"])
def test_classes_come_as_tensors_columns_and_masked_arrays(form: str) -> None:
    true, p, people = drawn(3)
    forms: dict[str, tuple[Any, Any]] = {
        "tensors": (torch.from_numpy(true), torch.from_numpy(p)),
        "a column": (true[:, None], p),
        "a list of tensors": ([torch.tensor(each) for each in true], [torch.from_numpy(each) for each in p]),
        "masked": (np.ma.masked_array(np.append(true, 2), [*[False] * 40, True]), np.append(p, p[:1], axis=0)),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        given = forms[form]
        scores = nl.class_scores(*given, people=[*people, "p0"][: len(given[0])])
    np.testing.assert_equal(scores["gross"], nl.class_scores(true, p, people=people)["gross"])


def test_one_hot_truth_beside_probabilities_is_not_scored_step_by_step() -> None:
    true, p, people = drawn(3)
    with pytest.raises(ValueError, match=r"true is one-hot, 1 for one of 3 classes .* true.argmax\(axis=1\)"):
        nl.class_scores(np.eye(3)[true], p, people=people)
    steps = [[0, 1], [1, 0]]  # two recordings of two steps each
    assert nl.class_scores(steps, [[0.2, 0.7], [0.6, 0.1]])["gross"]["accuracy"] == 1
    assert nl.class_scores(steps, np.array(steps, float))["gross"]["accuracy"] == 1


def test_a_person_with_one_class_says_nothing_of_telling_classes_apart() -> None:
    """Else always saying no would be right by more than chance, the more people have nothing."""
    true, never = [[0, 1], [0, 1], [0, 0], [0, 0]], [[0, 0]] * 4
    scores = nl.class_scores(true, never)
    assert scores["average"]["balanced_accuracy"] == scores["gross"]["balanced_accuracy"] == 0.5
    assert scores["average"]["f1_macro"] == pytest.approx(1 / 3) and scores["average"]["cohen_kappa"] == 0
    assert scores["average"]["accuracy"] == 0.75 and scores["average"]["recall_0"] == 1
    alone = scores["records"][2]
    assert all(math.isnan(alone[name]) for name in ("balanced_accuracy", "f1_macro", "cohen_kappa"))
