"""Class weights: what balanced means, and what losses make of weights."""

import numpy as np
import pytest
import torch
from cases import QUIET, Case, data, make_state, same_weights

import neurallib as nl

GRU = Case("GRUseq2seq", "binary")


@pytest.mark.parametrize("kind", ["binary", "multilabel", "multiclass"])
def test_balanced_class_weights_count_valid_steps_and_are_evaluated_alike(kind: str) -> None:
    state = make_state(Case("GRUseq2seq", kind))  # type: ignore[arg-type]
    pairs = data(state)
    trained = nl.train(state, pairs, pairs, epochs=1, batch_size=3, class_weight="balanced", **QUIET)
    labels = np.concatenate([y for _, y in pairs])
    if kind == "multiclass":
        expected = len(labels) / (3 * np.bincount(labels, minlength=3))
    else:
        expected = (len(labels) - labels.sum(0)) / labels.sum(0)
    np.testing.assert_allclose(trained["training_info"]["class_weight"], np.atleast_1d(expected), rtol=1e-6)
    assert nl.evaluate(trained, pairs)["loss"] == pytest.approx(trained["training_info"]["validation_loss"], rel=1e-5)
    plain = nl.train(state, pairs, pairs, epochs=1, batch_size=3, **QUIET)
    assert not same_weights(plain, trained)


def test_weighted_cross_entropy_is_torchs_own() -> None:
    state = make_state(Case("GRUseq2seq", "multiclass"))
    state["training_info"]["class_weight"] = [1.0, 2.0, 0.5]
    logits, y, lengths = torch.randn(2, 4, 3), torch.randint(0, 3, (2, 4)), torch.tensor([4, 2])
    mask = nl.valid_mask(lengths, 4)
    expected = torch.nn.functional.cross_entropy(logits[mask], y[mask], torch.tensor([1.0, 2.0, 0.5]))
    torch.testing.assert_close(nl.loss_function(state)(logits, y, lengths), expected)


def test_class_weights_of_one_sided_labels_warn_and_stay_finite() -> None:
    state = make_state(GRU)
    pairs = [(x, np.ones_like(y)) for x, y in data(state)]
    with pytest.warns(UserWarning, match=r"every step of the training data is of class \[0\]"):
        trained = nl.train(state, pairs, pairs, epochs=1, batch_size=4, class_weight="balanced", **QUIET)
    assert trained["training_info"]["class_weight"] == [1.0]
    with pytest.warns(UserWarning, match=r"trained with class_weight=\[1.0\]; this run weighs all alike"):
        nl.train(trained, pairs, pairs, epochs=1, batch_size=4, **QUIET)
