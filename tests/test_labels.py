"""Labels that are not known (-1 or nan) have no part in anything; soft ones count by how far they hold."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import CASES, QUIET, Case, make_batch, make_pairs, make_state, write_folders
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss

import neurallib as nl
from neurallib.models.registry import ARCHITECTURES

each_case = pytest.mark.parametrize("case", CASES, ids=str)
LENGTHS = [9, 1, 5, 12]
SEQ2SEQ, SEQ2ONE = Case("GRUseq2seq", "binary"), Case("GRUseq2one", "binary")


def unknown(y: np.ndarray) -> np.ndarray:
    """A target of the same form that says nothing."""
    return np.full_like(y, -1 if y.dtype.kind == "i" else np.nan)


def with_gaps(case: Case, pairs: list, seed: int = 0) -> list:
    """The same pairs, with a third of the labels not known; of one label a signal, those of every third signal."""
    rng, seq2one, given = np.random.default_rng(seed), ARCHITECTURES[case.architecture].seq2one, []
    for i, (x, y) in enumerate(pairs):
        gaps = np.full(y.shape, i % 3 == 1) if seq2one else rng.random(y.shape) < 1 / 3
        given.append((x, np.where(gaps, unknown(y), y)))
    return given


def as_batch(pairs: list) -> nl.Batch:
    return nl.collate_fn([(torch.from_numpy(x), torch.as_tensor(y)) for x, y in pairs])


@each_case
def test_the_loss_is_the_mean_over_known_labels_and_unknown_ones_get_no_gradient(case: Case) -> None:
    state = make_state(case)
    batch = as_batch(with_gaps(case, make_pairs(state, LENGTHS)))
    shape = nl.build_network(state).eval()(batch["x"], batch["lengths"]).shape
    logits = torch.randn(shape, requires_grad=True)
    y = batch["y"]
    known = y >= 0 if case.kind == "multiclass" else ~y.isnan()
    if not ARCHITECTURES[case.architecture].seq2one:
        valid = nl.valid_mask(batch["lengths"], max(LENGTHS))
        known = known & (valid if y.dim() == 2 else valid[:, :, None])
    reference = {"regression": mse_loss, "multiclass": cross_entropy}.get(case.kind, binary_cross_entropy_with_logits)
    loss = nl.loss_function(state)(logits, y, batch["lengths"])
    torch.testing.assert_close(loss, reference(logits[known], y[known]))
    loss.backward()
    assert bool((logits.grad[~known] == 0).all()) and bool((logits.grad[known] != 0).all())


def test_the_loss_takes_lengths_in_the_forms_that_a_network_takes() -> None:
    state = make_state(SEQ2SEQ)
    loss, batch = nl.loss_function(state), make_batch(state, LENGTHS)
    logits = torch.randn(batch["y"].shape)
    told = loss(logits, batch["y"], batch["lengths"])
    assert loss(logits, batch["y"], LENGTHS) == loss(logits, batch["y"], np.array(LENGTHS)) == told  # type: ignore
    whole = torch.full((len(LENGTHS),), max(LENGTHS))
    assert loss(logits, batch["y"], None) == loss(logits, batch["y"], whole) != told  # type: ignore[arg-type]


@each_case
def test_gradients_stay_finite_where_labels_are_not_known(case: Case) -> None:
    state = make_state(case)
    loss, batch = nl.loss_function(state), as_batch(with_gaps(case, make_pairs(state, LENGTHS)))
    network = nl.build_network(state)
    nl.training_step(network, batch, loss).backward()
    gradients = [parameter.grad for parameter in network.parameters()]
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)
    assert any(bool(gradient.any()) for gradient in gradients)


@each_case
def test_a_batch_without_a_known_label_has_a_loss_and_gradients_of_zero(case: Case) -> None:
    state = make_state(case)
    network, batch = nl.build_network(state), make_batch(state, LENGTHS)
    batch["y"] = torch.as_tensor(unknown(batch["y"].numpy()))
    loss = nl.training_step(network, batch, nl.loss_function(state))
    loss.backward()
    assert loss.item() == 0 and not any(bool(parameter.grad.any()) for parameter in network.parameters())


@each_case
def test_signals_without_a_label_change_no_measure_and_no_training_ends_in_nan(case: Case) -> None:
    state = make_state(case)
    pairs = make_pairs(state, LENGTHS)
    silent = [(x, unknown(y)) for x, y in make_pairs(state, [8, 3], seed=1)]
    got, expected = nl.evaluate(state, silent[:1] + pairs + silent[1:], batch_size=1), nl.evaluate(state, pairs)
    assert got == pytest.approx(expected, rel=1e-4, nan_ok=True)
    trained = nl.train(state, pairs + silent, pairs + silent, epochs=2, batch_size=1, **QUIET)
    assert all(bool(weight.isfinite().all()) for weight in trained["weights"].values())
    assert np.isfinite(trained["training_info"]["val_losses"] + trained["training_info"]["train_losses"]).all()


def test_a_step_in_parts_without_a_known_label_and_an_epoch_of_such_end_in_no_nan() -> None:
    state = make_state(SEQ2SEQ)
    pairs = make_pairs(state, [5])
    silent = [(x, unknown(y)) for x, y in make_pairs(state, [6] * 5)]
    options: dict[str, Any] = {"epochs": 1, "batch_size": 1, "accumulate_grad_batches": 2, **QUIET}
    for part in ({}, {"limit_train_batches": 2}):  # also where all of an epoch is such
        trained = nl.train(state, pairs + silent, pairs, **options, **part)
        assert all(bool(weight.isfinite().all()) for weight in trained["weights"].values())
    assert np.isnan(trained["training_info"]["train_losses"]).all()


@each_case
def test_data_without_any_known_label_are_refused_by_name(case: Case) -> None:
    state = make_state(case)
    pairs = make_pairs(state, LENGTHS)
    silent = [(x, unknown(y)) for x, y in pairs]
    for parts, name in (((silent, pairs), "train_data"), ((pairs, silent), "val_data")):
        with pytest.raises(ValueError, match=f"{name} holds no known label, only nan or -1"):
            nl.train(state, *parts, epochs=1, batch_size=2, **QUIET)


@pytest.mark.parametrize("case", [c for c in CASES if c.kind != "regression"], ids=str)
def test_balanced_class_weights_count_known_labels_alone(case: Case) -> None:
    state = make_state(case)
    pairs = with_gaps(case, make_pairs(state, [20, 30, 25] * 8))
    trained = nl.train(state, pairs, pairs, epochs=1, batch_size=8, class_weight="balanced", **QUIET)
    k = 1 if case.kind == "binary" else 3
    if case.kind == "multiclass":
        y = np.concatenate([y.reshape(-1) for _, y in pairs])
        y = y[y >= 0]
        expected = len(y) / (3 * np.bincount(y, minlength=3))
    else:
        y = np.concatenate([y.reshape(-1, k) for _, y in pairs])
        expected = np.nansum(1 - y, 0) / np.nansum(y, 0)
    assert trained["training_info"]["class_weight"] == pytest.approx(list(expected), rel=1e-6)


def test_a_signal_of_the_test_set_without_a_label_is_predicted_and_not_measured(tmp_path: Path) -> None:
    state = make_state(Case("GRUseq2one", "regression"))
    path_x, path_y = write_folders(tmp_path, state)
    predictions, _ = nl.test_on_test_set(state, path_x, path_y)
    losses = [np.mean((p - np.load(path_y / "test" / f"{i}.npy")) ** 2) for i, p in enumerate(predictions, start=1)]
    np.save(path_y / "test" / "2.npy", np.full(2, np.nan))
    again, loss = nl.test_on_test_set(state, path_x, path_y)
    assert len(again) == len(predictions)
    assert loss == pytest.approx(np.mean(losses[:1] + losses[2:]), rel=1e-5)


def test_soft_labels_weigh_the_loss_and_count_as_yes_from_a_half_on() -> None:
    state = make_state(SEQ2SEQ)
    x, soft = np.random.default_rng(0).normal(size=(4, 2)), np.array([0.0, 0.4, 0.5, 1.0])
    logits = nl.predict(state, [x], output="logits")[0][:, 0].astype(float)
    p = 1 / (1 + np.exp(-logits))
    got = nl.evaluate(state, [(x, soft[:, None])])
    assert got["loss"] == pytest.approx(-np.mean(soft * np.log(p) + (1 - soft) * np.log(1 - p)), rel=1e-5)
    assert got["accuracy"] == np.mean((p > 0.5) == [False, False, True, True])
    assert got["baseline_accuracy"] == 0.5


@pytest.mark.parametrize(
    "case, label, words",
    [
        (SEQ2SEQ, 1.5, r"the label 1.5; binary with num_classes=1 expects values from 0 to 1, or nan where it is not"),
        (SEQ2SEQ, -1, r"the label -1; binary"),
        (Case("GRUseq2seq", "multilabel"), 2, r"the label 2; multilabel with num_classes=3 expects values from 0 to 1"),
        (Case("GRUseq2seq", "multiclass"), 3, r"the label 3; .* whole numbers from 0 to 2, or -1 where it is not"),
        (Case("GRUseq2seq", "multiclass"), 769, r"the label 769; .*y = np\.unique\(codes, return_inverse=True\)"),
        (Case("GRUseq2seq", "multiclass"), -100, "the label -100; "),
        (Case("GRUseq2seq", "multiclass"), 0.5, r"the label 0.5; .* not known\.$"),
        (Case("GRUseq2seq", "multiclass"), np.nan, "the label nan; .* or -1 where it is not known"),
        (Case("GRUseq2seq", "regression"), np.inf, "holds inf at .*expected finite numbers"),
        (SEQ2SEQ, np.inf, "holds inf at .*expected finite numbers"),
    ],
)
def test_a_label_out_of_range_is_named_with_its_file_and_what_is_expected(
    case: Case, label: float, words: str, tmp_path: Path
) -> None:
    state = make_state(case)
    path_x, path_y = write_folders(tmp_path, state)
    y = np.load(path_y / "val" / "3.npy").astype(float)
    y.flat[1] = label
    np.save(path_y / "val" / "3.npy", y)
    with pytest.raises(ValueError, match=words) as told:
        nl.prepare(state, nl.open_folder(path_x, path_y, "val"))
    assert told.match("y of val/3.npy")


@pytest.mark.parametrize(
    ("case", "y", "words"),
    [
        (Case("GRUseq2one", "multiclass"), "wake", "is a path or text, 'wake'; .*whole numbers from 0, such as na"),
        (Case("GRUseq2seq", "multiclass"), np.full(9, "wake"), "holds <U4; .*whole numbers from 0, such as names"),
        (Case("GRUseq2one", "binary"), None, "is a NoneType; expected an array of numbers. Classes are whole numbers"),
        (Case("GRUseq2one", "multiclass"), np.eye(3)[1], "one-hot labels the classes are y.argmax"),
        (Case("GRUseq2seq", "multiclass"), np.eye(3)[[1] * 9], "one-hot labels the classes are y.argmax"),
        (Case("GRUseq2seq", "multiclass"), np.zeros((9, 2)), r"expects \(9,\) or \(9, 1\) or \(1, 9\)\.$"),
        (Case("GRUseq2seq", "regression"), np.zeros((8, 2)), r"shape \(8, 2\), x 9 steps; .*\.$(?<!there are\.)"),
        (Case("GRUseq2seq", "regression"), np.zeros((9, 3)), "n_outputs=2 says how many values there are"),
        (Case("GRUseq2one", "binary"), np.eye(2)[1], r"one-hot labels of no and yes that of yes is y\[\.\.\., 1\]"),
        (Case("GRUseq2one", "multiclass"), np.arange(9) % 3, "is what gru_seq2seq learns; if x is 9 signals of one"),
        (Case("GRUseq2one", "regression"), np.ones((9, 1)), "is what gru_seq2seq learns"),
        (Case("GRUseq2seq", "multiclass"), 1, r"is what gru_seq2one gives; a label a step is np\.full\(9, y\)"),
        (Case("GRUseq2seq", "multiclass"), [0, 1, 2], r"y\[np.arange\(9\) \* 3 // 9\]"),
        (Case("GRUseq2seq", "regression"), np.ones((4, 2)), r"np.arange\(4\) \* 2\.25, y\) of each"),
    ],
    ids=["text", "texts", "None", "one-hot", "one-hot by step", "two columns", "fewer steps", "more outputs",
         "one-hot of two", "a label a row", "a value a row", "a label a signal",
         "labels at another rate", "values at another rate"],
)  # fmt: skip
def test_a_target_of_another_form_is_told_what_to_do(case: Case, y: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        nl.prepare(make_state(case), [(np.zeros((9, 2)), y)])


def test_a_masked_label_is_not_known() -> None:
    x, y = np.zeros((9, 2), np.float32), np.ones((9, 1))
    y[4] = np.nan
    masked = np.ma.masked_array(np.ones((9, 1), np.int64), mask=np.isnan(y))
    state = make_state(Case("GRUseq2seq", "binary"))
    assert nl.evaluate(state, [(x, masked)]) == pytest.approx(nl.evaluate(state, [(x, y)]), nan_ok=True)
    np.testing.assert_array_equal(nl.collate_fn([(x, masked)])["y"], nl.collate_fn([(x, y)])["y"])
    assert masked.data.dtype == np.int64 and masked.data.all()
