"""Class weights: what balanced means, and what losses make of weights."""

import re
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from cases import CASES, QUIET, Case, data, make_pairs, make_state, same_weights

import neurallib as nl
from neurallib.architectures import ARCHITECTURES
from neurallib.measures.losses import decided_class_weight
from neurallib.tasks import describe

GRU = Case("GRUseq2seq", "binary")
each_classification = pytest.mark.parametrize("case", [c for c in CASES if c.kind != "regression"], ids=str)
LENGTHS = [5, 2, 7]


def weighted_loss(case: Case, logits: np.ndarray, y: np.ndarray, weight: list[float]) -> float:
    """Of logits [N, K] and targets [N] or [N, K], by the definitions: cross entropy is divided by the weights of the
    true classes; of yes and no, the weight is on yes alone, and the mean is over all."""
    w = np.asarray(weight)
    if case.kind == "multiclass":
        log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        labels = y.astype(int)
        return float(-(w[labels] * log_p[np.arange(len(y)), labels]).sum() / w[labels].sum())
    p = 1 / (1 + np.exp(-logits))
    return float(np.mean(-(w * y * np.log(p) + (1 - y) * np.log(1 - p))))


def targets(case: Case, pairs: list) -> np.ndarray:
    """Of all steps, or of all signals: [N] or [N, K]."""
    stack = np.stack if ARCHITECTURES[case.architecture].seq2one else np.concatenate
    return stack([y for _, y in pairs])


def balanced(case: Case, y: np.ndarray) -> list[float]:
    """Such that all classes weigh alike in sum, and on average 1; of yes and no, the noes that come on a yes."""
    if case.kind == "multiclass":
        return list(len(y) / (3 * np.bincount(y, minlength=3)))
    return list((1 - y).sum(0) / y.sum(0))


@each_classification
def test_a_weight_is_on_its_own_class_alone(case: Case) -> None:
    state, rng = make_state(case), np.random.default_rng(0)
    k = 1 if case.kind == "binary" else 3
    weight = [5.0, 0.25, 2.0][:k]
    seq2one = ARCHITECTURES[case.architecture].seq2one
    shape = (3,) if seq2one else (3, max(LENGTHS))
    logits = rng.normal(size=(*shape, k))
    y = rng.integers(0, 3, shape) if case.kind == "multiclass" else rng.integers(0, 2, (*shape, k)).astype(np.float32)
    state["training_info"]["class_weight"] = weight
    got = nl.loss_function(state)(torch.from_numpy(logits), torch.from_numpy(y), torch.tensor(LENGTHS))
    valid = np.ones(3, bool) if seq2one else np.arange(max(LENGTHS)) < np.array(LENGTHS)[:, None]
    assert got.item() == pytest.approx(weighted_loss(case, logits[valid], y[valid], weight), rel=1e-5)


def test_a_class_may_weigh_nothing_but_not_less() -> None:
    case, logits, y = Case("GRUseq2one", "multiclass"), torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2])

    def loss(weight: list[float]) -> float:
        state = make_state(case)
        state["training_info"]["class_weight"] = weight
        return nl.loss_function(state)(logits, y, torch.ones(6, dtype=torch.int64)).item()

    expected = weighted_loss(case, logits.numpy(), y.numpy(), [1.0, 0.0, 2.0])
    assert loss([1.0, 0.0, 2.0]) == pytest.approx(expected, rel=1e-5)
    for wrong in ([1.0, -0.1, 2.0], [1.0, np.inf, 2.0], [1.0, np.nan, 2.0], [1.0, 2.0]):
        with pytest.raises(ValueError, match="expected 3 finite weights of at least 0"):
            loss(wrong)
    for no_numbers in ([True, False, True], [1j, 1, 1], ["a", "b", "c"]):
        with pytest.raises(TypeError, match="expected 3 finite weights of at least 0"):
            loss(no_numbers)  # type: ignore[arg-type]


def test_weights_by_class_are_read_by_their_labels() -> None:
    """A column of pandas such as 1 / value_counts() is in the order of its counts."""
    pd = pytest.importorskip("pandas", reason="comes with the extra wfdb")
    three = nl.gru_seq2one(n_features=1, hid_dim=2, n_layers=1, num_classes=3)
    task, counts = describe(three), np.ones((2, 3))
    named = task._replace(names=("W", "N", "R"))
    for given in ({2: 3.0, 0: 1.0, 1: 2.0}, pd.Series([3.0, 1.0, 2.0], index=[2.0, 0.0, 1.0])):
        assert decided_class_weight(given, task, counts) == decided_class_weight(given, named, counts) == [1, 2, 3]
    assert decided_class_weight(pd.Series([3.0, 1.0, 2.0], index=[*"RWN"]), named, counts) == [1, 2, 3]
    assert decided_class_weight({0: 3, 1: 2, 2: 1}, task._replace(names=("2", "1", "0")), counts) == [1, 2, 3]
    others: list[Any] = [{}, dict.fromkeys(range(2), 1.0), dict.fromkeys(range(4), 1.0), dict.fromkeys("WNR", 1.0)]
    for wrong in (*others, pd.Series([1.0, 2.0, 3.0], index=[1, 2, 3])):
        with pytest.raises(TypeError, match="is a mapping; expected one for each of 0, 1, 2, a list of them"):
            decided_class_weight(wrong, task, counts)
    yes = describe(make_state(GRU))
    assert decided_class_weight(pd.Series([3.0]), yes, counts) == [3.0]  # the one weight of what is yes
    for binary in ({0: 1.0, 1: 3.0}, {0: 1.0}):  # as of two classes: which of them is yes, nothing tells
        with pytest.raises(TypeError, match="is a mapping; expected the one weight of what is yes"):
            decided_class_weight(binary, task._replace(kind="binary", n_outputs=1), counts)


@each_classification
def test_evaluation_weighs_as_training_did(case: Case) -> None:
    state = make_state(case, learning_rate=1e-12)
    pairs, weight = make_pairs(state, LENGTHS), [5.0, 0.25, 2.0][: 1 if case.kind == "binary" else 3]
    trained = nl.train(state, pairs, pairs, epochs=1, batch_size=2, class_weight=weight, **QUIET)
    assert trained["training_info"]["class_weight"] == weight
    logits = nl.predict(trained, [x for x, _ in pairs], output="logits")
    flat = np.concatenate([np.atleast_2d(rows) for rows in logits]).astype(np.float64)
    expected = weighted_loss(case, flat, targets(case, pairs), weight)
    assert nl.evaluate(trained, pairs)["loss"] == pytest.approx(expected, rel=1e-5)
    assert trained["training_info"]["validation_loss"] == pytest.approx(expected, rel=1e-5)


@each_classification
def test_balanced_class_weights_count_the_training_data_alone(case: Case) -> None:
    state = make_state(case)
    pairs, others = data(state, 16), data(state, 9, seed=1)
    trained = nl.train(state, pairs, others, epochs=1, batch_size=3, class_weight="balanced", **QUIET)
    expected = balanced(case, targets(case, pairs))
    assert trained["training_info"]["class_weight"] == pytest.approx(expected, rel=1e-6)
    assert expected != pytest.approx(balanced(case, targets(case, others)), rel=1e-2)
    plain = nl.train(state, pairs, others, epochs=1, batch_size=3, **QUIET)
    assert not same_weights(plain, trained)


def test_class_weights_of_one_sided_labels_stay_finite() -> None:
    state = make_state(GRU)
    pairs = [(x, np.ones_like(y)) for x, y in data(state)]
    trained = nl.train(state, pairs, pairs, epochs=1, batch_size=4, class_weight="balanced", **QUIET)
    assert trained["training_info"]["class_weight"] == [1.0]
    with pytest.warns(UserWarning, match=r"trained with class_weight=\[1.0\]; this run weighs all alike"):
        nl.train(trained, pairs, pairs, epochs=1, batch_size=4, **QUIET)


@pytest.mark.parametrize(
    ("case", "labels", "told"),
    [
        (GRU, [[0.0]], "no label of train_data is yes: "),
        (GRU, [[1.0], [1.0], [np.nan]], "every label of train_data is yes: .* background=0 of interval_target"),
        (Case("GRUseq2one", "multiclass"), [0, 2, -1], "no label of train_data is b: "),
        (Case("GRUseq2one", "multilabel"), [[0, 1, 0], [0, 1, 1]], "no label .* a and every .* b: what .* them\\.$"),
        (Case("GRUseq2one", "multilabel"), [[np.nan, 1, 0], [np.nan, 0, 1]], "no label of train_data is a: "),
        (GRU, [[0.0], [1.0]], None),
        (Case("GRUseq2one", "multiclass"), [0, 2, 1], None),
    ],
)  # fmt: skip
def test_what_training_labels_never_or_always_are_is_told(case: Case, labels: list, told: str | None) -> None:
    state = make_state(case)
    one_each = ARCHITECTURES[case.architecture].seq2one
    pairs = [(np.zeros((4, 2)), np.array(label if one_each else [label] * 4)) for label in labels]
    names = {"outputs": ["a", "b", "c"]} if case.kind != "binary" else {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        nl.train(state, pairs, pairs, epochs=1, batch_size=2, dry_run=True, normalization=None, **names, **QUIET)
    words = [str(warning.message) for warning in caught]
    assert len(words) == (told is not None)
    assert told is None or re.match(told, words[0])
