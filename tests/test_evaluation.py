"""Evaluation and prediction: the same numbers whatever the batches, and metrics against their definitions."""

import math

import numpy as np
import pytest
import torch
from cases import CASES, Case, make_pairs, make_state

import neurallib as nl
from neurallib.models.registry import ARCHITECTURES

LENGTHS = [9, 3, 12, 1, 7, 7, 2]
each_case = pytest.mark.parametrize("case", CASES, ids=str)


@each_case
def test_batches_of_any_size_give_the_same_numbers(case: Case) -> None:
    state = make_state(case)
    pairs = make_pairs(state, LENGTHS)
    one, three, all_at_once = (nl.evaluate(state, pairs, batch_size=n) for n in (1, 3, 100))
    assert one.keys() == three.keys()
    for name, value in one.items():
        assert three[name] == pytest.approx(value, rel=1e-4, nan_ok=True)
        assert all_at_once[name] == pytest.approx(value, rel=1e-4, nan_ok=True)
    signals = [x for x, _ in pairs]
    for a, b in zip(nl.predict(state, signals, batch_size=1), nl.predict(state, signals, batch_size=4), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@each_case
def test_predictions_are_the_activated_logits_without_padding(case: Case) -> None:
    state = make_state(case)
    signals = [x for x, _ in make_pairs(state, LENGTHS)]
    before = [x.copy() for x in signals]
    network = nl.build_network(state).eval()
    for x, raw, output in zip(
        signals, nl.predict(state, signals, output="logits"), nl.predict(state, signals), strict=True
    ):
        logits = network(torch.from_numpy(x)[None])[0].detach()
        np.testing.assert_allclose(raw, logits, rtol=1e-4, atol=1e-6)
        expected = {"regression": logits, "multiclass": logits.softmax(-1)}.get(case.kind, logits.sigmoid())
        np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-6)
        assert output.dtype == np.float32
    assert all(np.array_equal(a, b) for a, b in zip(signals, before, strict=True))


def columns(state: nl.State, pairs: list) -> tuple[np.ndarray, np.ndarray]:
    """All valid steps (or signals) one below the other: outputs [N, K] and targets [N, ...]."""
    outputs = nl.predict(state, [x for x, _ in pairs])
    stack = np.stack if ARCHITECTURES[state["architecture"]].seq2one else np.concatenate
    return stack(outputs).astype(np.float64), stack([y for _, y in pairs]).astype(np.float64)


def rank_auroc(score: np.ndarray, truth: np.ndarray) -> float:
    """The share of pairs, one with and one without the class, that the score puts in order; ties count half."""
    with_class, without = score[truth == 1][:, None], score[truth == 0][None]
    return float((with_class > without).mean() + 0.5 * (with_class == without).mean())


def f1(found: np.ndarray, truth: np.ndarray) -> float:
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))


@each_case
def test_metrics_follow_their_definitions(case: Case) -> None:
    state = make_state(case)
    pairs = make_pairs(state, [20, 11, 30] * 5)
    got = nl.evaluate(state, pairs)
    outputs, y = columns(state, pairs)
    if case.kind == "regression":
        y = y.reshape(outputs.shape)
        expected = {"mse": ((outputs - y) ** 2).mean(), "mae": np.abs(outputs - y).mean()}
        expected["pearson"] = np.mean([np.corrcoef(outputs[:, k], y[:, k])[0, 1] for k in range(y.shape[1])])
        assert got["loss"] == pytest.approx(got["mse"], rel=1e-5)
    elif case.kind == "multiclass":
        found, y = outputs.argmax(1), y.reshape(-1)
        expected = {
            "accuracy": (found == y).mean(),
            "f1_macro": np.mean([f1(found == k, y == k) for k in range(3)]),
            "auroc": np.mean([rank_auroc(outputs[:, k], y == k) for k in range(3)]),
        }
    else:
        y = y.reshape(outputs.shape)
        found = outputs > 0.5
        both = [False, True] if case.kind == "binary" else [True]
        expected = {
            "accuracy": (found == (y == 1)).mean(),
            "f1_macro": np.mean([f1(found[:, k] == b, (y[:, k] == 1) == b) for b in both for k in range(y.shape[1])]),
            "auroc": np.mean([rank_auroc(outputs[:, k], y[:, k]) for k in range(y.shape[1])]),
        }
    for name, value in expected.items():
        assert got[name] == pytest.approx(value, rel=1e-3, abs=1e-4, nan_ok=True), name


def test_metrics_of_one_output_are_those_of_the_column() -> None:
    state = make_state(Case("GRUED", "regression"), n_features=1)
    pairs = make_pairs(state, [20, 11, 30, 1])
    outputs, y = (side[:, 0] for side in columns(state, pairs))
    for batch_size in (1, 4):
        got = nl.evaluate(state, pairs, batch_size=batch_size)
        assert got["mse"] == pytest.approx(((outputs - y) ** 2).mean(), rel=1e-3)
        assert got["mae"] == pytest.approx(np.abs(outputs - y).mean(), rel=1e-3)
        assert got["pearson"] == pytest.approx(np.corrcoef(outputs, y)[0, 1], rel=1e-3)


def test_auroc_of_one_class_alone_is_nan_not_a_number_that_misleads() -> None:
    state = make_state(Case("GRUseq2seq", "binary"))
    measured = nl.evaluate(state, [(x, np.zeros_like(y)) for x, y in make_pairs(state, LENGTHS)])
    assert math.isnan(measured["auroc"]) and not math.isnan(measured["accuracy"])


def test_evaluation_leaves_grad_mode_and_generators_alone() -> None:
    state = make_state(Case("GRUseq2seq", "binary"), dropout=0.5)
    before = torch.get_rng_state()
    first = nl.evaluate(state, make_pairs(state, LENGTHS))
    assert first == nl.evaluate(state, make_pairs(state, LENGTHS))
    assert torch.equal(before, torch.get_rng_state()) and torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize(
    ("options", "words"), [({"output": "probs"}, "output='probs'"), ({"batch_size": 0}, "batch_size=0")]
)
def test_a_wrong_option_is_named(options: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        nl.predict(make_state(Case("GRUseq2seq", "binary")), [np.zeros((3, 2))], **options)


def test_what_changed_within_a_state_is_noticed_at_the_next_call() -> None:
    state, x = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1, task="regression"), np.arange(20.0)[:, None]
    (before,) = nl.predict(state, [x])
    state["weights"]["fc_out.bias"] += 1
    np.testing.assert_allclose(nl.predict(state, [x])[0], before + 1, rtol=1e-5)
    state["preprocessing"]["normalization"] = "zscore"
    (normalized,) = nl.predict(state, [x])
    assert np.abs(normalized - before - 1).max() > 1e-3
    state["preprocessing"]["fold"] = 2
    with pytest.raises(ValueError, match="do not match the hyperparameters"):
        nl.predict(state, [x])
    state["preprocessing"]["fold"] = None
    state["hparams"]["hid_dim"] = [5]
    with pytest.raises(ValueError, match="do not match the hyperparameters"):
        nl.predict(state, [x])
    state["hparams"]["hid_dim"] = [4]
    np.testing.assert_array_equal(nl.predict(state, [x])[0], normalized)
    state["weights"]["fc_out.bias"].data = torch.zeros(2)
    with pytest.raises(ValueError, match=r"fc_out.bias \(2,\) \(expected \(1,\)\)"):
        nl.predict(state, [x])
