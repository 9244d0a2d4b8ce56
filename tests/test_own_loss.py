"""A loss of one's own: it may change what it is given, and is told where it counts padding."""

from typing import Any

import numpy as np
import pytest
import torch
from cases import CASES, QUIET, Case, data, make_batch, make_pairs, make_state
from torch.func import functional_call, grad
from torch.nn.functional import binary_cross_entropy_with_logits

import neurallib as nl

STATE = make_state(Case("GRUseq2seq", "binary"), learning_rate=0.01)


def trained(loss: Any, pairs: Any, **options: Any) -> dict[str, Any]:
    given = {"epochs": 1, "batch_size": 4, "metrics": {"mean": lambda outputs, y: outputs.mean()}} | QUIET | options
    return nl.train(STATE, pairs, pairs, loss=loss, **given)["training_info"]


def unmasked(logits: torch.Tensor, y: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    return binary_cross_entropy_with_logits(logits, y)


def masked(logits: torch.Tensor, y: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    valid = nl.valid_mask(lengths, logits.shape[1])[:, :, None]
    return binary_cross_entropy_with_logits(logits[valid], y[valid])


def drawing(logits: torch.Tensor, y: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    return masked(logits, y, lengths) * torch.rand(())


@pytest.mark.parametrize("validation", [[6, 9, 8, 5], [8]], ids=str)
def test_a_loss_that_counts_padding_is_told(validation: list[int]) -> None:
    options: dict[str, Any] = {"epochs": 1, "batch_size": 4, "loss": unmasked, "dry_run": True, **QUIET}
    with pytest.warns(UserWarning, match="the function loss counts what lies beyond a signal's length, .*valid_mask"):
        nl.train(STATE, data(STATE), make_pairs(STATE, validation), **options)


def test_functions_of_ones_own_are_tried_beside_the_global_random_state() -> None:
    before, torchs = str(np.random.get_state()), torch.get_rng_state()
    metrics = {"drawn": lambda outputs, y: np.random.random()}
    options: dict[str, Any] = {"loss": drawing, "metrics": metrics, "epochs": 1, "batch_size": 4, **QUIET}
    nl.train(STATE, data(STATE), data(STATE), dry_run=True, **options)
    assert before == str(np.random.get_state()) and torch.equal(torchs, torch.get_rng_state())


def test_a_metric_gets_steps_of_which_one_of_several_labels_is_known() -> None:
    state, seen = make_state(Case("GRUseq2seq", "multilabel")), []
    pairs = make_pairs(state, [6, 9])
    for _, y in pairs:
        y[2:, 0], y[4, :] = np.nan, np.nan
    metrics = {"n": lambda outputs, y: seen.append((outputs.shape, y.shape)) or 0}
    nl.train(state, pairs, pairs, epochs=1, batch_size=2, metrics=metrics, dry_run=True, **QUIET)
    assert seen == [((13, 3), (13, 3))]


@pytest.mark.parametrize(
    ("loss", "lengths", "batch_size"),
    [(masked, [6, 9, 8, 5], 4), (drawing, [6, 9, 8, 5], 4), (unmasked, [7] * 4, 4), (unmasked, [6, 9, 8, 5], 1)],
    ids=["masked", "drawing", "of one length", "each by itself"],
)
def test_a_loss_that_cannot_count_padding_is_not(loss: Any, lengths: list[int], batch_size: int) -> None:
    trained(loss, make_pairs(STATE, lengths), batch_size=batch_size)  # a warning would be an error


def test_windows_of_longer_signals_are_of_one_length_too() -> None:
    longer, windows = make_pairs(STATE, [20] * 4), make_pairs(STATE, [8] * 4)
    cut = nl.augment_crop(8)
    nl.train(STATE, longer, windows, epochs=1, batch_size=4, augment=cut, loss=unmasked, **QUIET)


def test_what_a_loss_or_a_metric_changes_in_place_is_not_what_is_measured() -> None:
    def in_place(logits: torch.Tensor, y: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        value = masked(logits, y, lengths)
        logits.zero_()
        y.fill_(torch.nan)
        return value

    metrics = {"spoiling": lambda outputs, y: outputs.fill(0) or y.fill(0) or 0, "mean": lambda *given: np.sum(given)}
    options: dict[str, Any] = {"monitor": "auroc", "metrics": metrics}
    one, other = (trained(loss, data(STATE), **options)["val_metrics"] for loss in (masked, in_place))
    assert one == other and np.isfinite(one["auroc"]).all() and one["mean"][0] > 0


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (torch.nn.BCEWithLogitsLoss(), r"BCEWithLogitsLoss takes .*expected a function \(logits, y, lengths\) ->"),
        (lambda logits, y: masked, r"takes \(logits, y\); expected a function"),
        (torch.nn.BCEWithLogitsLoss, "loss is the class BCEWithLogitsLoss; expected a function"),
        ("bce", "loss is a str; expected a function"),
        (None, "loss is a NoneType; expected a function"),
        (lambda logits, y, lengths: (logits - y) ** 2, r"gave a Tensor of shape \(2, 7, 1\); expected a scalar Tensor"),
        (lambda logits, y, lengths: 0.5, "gave a float; expected a scalar Tensor"),
    ],
)
def test_a_step_of_ones_own_loop_says_what_a_loss_has_to_be(loss: Any, words: str) -> None:
    network, batch = nl.build_network(STATE), nl.collate_fn(make_pairs(STATE, [5, 7]))
    with pytest.raises(TypeError, match=words):
        nl.training_step(network, batch, loss)


def test_a_step_wants_a_network_and_leaves_a_losss_own_errors_as_they_are() -> None:
    batch = nl.collate_fn(make_pairs(STATE, [5, 7]))
    given: Any = STATE
    with pytest.raises(TypeError, match="network is a dict; expected the Network that build_network gives"):
        nl.training_step(given, batch, masked)
    with pytest.raises(TypeError, match="network is a dict; expected the Network that build_network gives"):
        nl.state_from_network(STATE, given)
    with pytest.raises(TypeError, match="of my own"):
        nl.training_step(nl.build_network(STATE), batch, failing)


def failing(logits: torch.Tensor, y: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    raise TypeError("of my own")


@pytest.mark.parametrize("case", [case for case in CASES if case.architecture == "GRUseq2seq"], ids=str)
def test_a_transform_of_torch_func_gives_the_gradients_of_backward(case: Case) -> None:
    state = make_state(case)
    network, loss, batch = nl.build_network(state), nl.loss_function(state), make_batch(state, [5, 7])
    weights = {name: weight.detach() for name, weight in network.named_parameters()}

    def of_weights(weights: Any) -> torch.Tensor:
        logits = functional_call(network, weights, (batch["x"], batch["lengths"]))
        return loss(logits, batch["y"], batch["lengths"])

    nl.training_step(network, batch, loss).backward()
    found = grad(of_weights)(weights)
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad)
