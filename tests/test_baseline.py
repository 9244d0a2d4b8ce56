"""What one and the same answer reaches: known by its definition, and a word where a model is no better."""

from typing import Any

import numpy as np
import pytest
import torch
from cases import CASES, QUIET, Case, data, make_state

import neurallib as nl
from neurallib.measures.losses import constant_loss
from neurallib.signals.batches import collate_fn
from neurallib.tasks import describe

WEIGHTS: dict[str, Any] = {"binary": [3.0], "multilabel": [3.0, 0.5, 1.0], "multiclass": [3.0, 0.5, 1.0]}


def unknown_at_times(case: Case, y: np.ndarray, i: int) -> np.ndarray:
    """Of several outputs as many labels as differ, so that each of them counts by its own."""
    y = np.array(y)
    if case.kind == "multiclass":
        return np.where(y == i % 5, -1, y)
    y[..., : i % 3] = np.nan
    return y


@pytest.mark.parametrize("weighed", [False, True])
@pytest.mark.parametrize("case", [case for case in CASES if not case.architecture.startswith("T")], ids=str)
def test_no_constant_has_a_lower_loss(case: Case, weighed: bool) -> None:
    options = {"n_outputs": 2} if case.kind == "regression" else {}
    state = make_state(case, **options)
    weight = WEIGHTS.get(case.kind) if weighed else None
    pairs = [(x, unknown_at_times(case, y, i)) for i, (x, y) in enumerate(data(state))]
    prepared = nl.prepare(state, pairs)
    batch = collate_fn([prepared[i] for i in range(len(prepared))])
    task = describe(state)
    state["training_info"]["class_weight"] = weight
    loss = nl.loss_function(state)
    constant = torch.zeros(task.n_outputs, requires_grad=True)
    shape = batch["x"].shape[: 1 if task.seq2one else 2]
    optimizer = torch.optim.LBFGS([constant], max_iter=200, tolerance_grad=1e-9, tolerance_change=1e-12)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        value = loss(constant.expand(*shape, -1), batch["y"], batch["lengths"])
        value.backward()
        return value

    optimizer.step(closure)
    assert constant_loss(prepared, task, weight) == pytest.approx(closure().item(), rel=1e-4)


def test_a_model_that_is_no_better_is_told_and_one_that_is_is_not(recwarn: pytest.WarningsRecorder) -> None:
    rng = np.random.default_rng(0)
    pairs = [(x, (x[:, :1] > 0).astype(np.float32)) for x in rng.standard_normal((8, 40, 1))]
    nothing = [(x, rng.permutation(y)) for x, y in pairs]
    state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1, learning_rate=0.05)
    nl.train(state, pairs, pairs, epochs=10, batch_size=2, class_weight=[4.0], **QUIET)
    state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1, learning_rate=1e-6)
    other = lambda logits, y, lengths: 9 + logits.mean()
    for options in ({"limit_val_batches": 1}, {"monitor": "accuracy"}, {"loss": other}):  # not to be set beside it
        nl.train(state, nothing, nothing, epochs=1, batch_size=4, schedule=None, **options, **QUIET)
    assert not [w for w in recwarn if "no better than a constant" in str(w.message)]
    constant = r"always giving the same answer has 1\.\d+\. Try another learning_rate than 1e-06, more epochs than 1"
    with pytest.warns(UserWarning, match=f"no better than a constant: its validation loss is .*, {constant}"):
        nl.train(state, nothing, nothing, epochs=9, batch_size=8, class_weight=[4.0], schedule=None, max_steps=1,
                 patience=5, **QUIET)  # fmt: skip
    state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1, learning_rate=1.0)  # whose first epoch is the best
    with pytest.warns(UserWarning, match="a larger patience than 1, which ended the run after [2-8] of 9 epochs"):
        ended = nl.train(state, nothing, nothing, epochs=9, batch_size=8, patience=1, schedule=None, **QUIET)
    n = ended["training_info"]["epochs"]
    with pytest.warns(UserWarning, match=f"more epochs than {n}, another normalization"):  # patience cut nothing off
        nl.train(state, nothing, nothing, epochs=n, batch_size=8, patience=1, schedule=None, **QUIET)


def test_a_loss_that_still_falls_is_told_otherwise_than_one_that_does_not() -> None:
    pairs = [(x, (x[:, :1] > 2).astype(np.float32)) for x in np.random.default_rng(0).standard_normal((8, 400, 1))]
    state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1, learning_rate=0.003)
    with pytest.warns(UserWarning, match="still fell .* more epochs than 2, or a higher learning_rate than 0.003;"):
        nl.train(state, pairs, pairs, epochs=2, batch_size=2, **QUIET)


def test_targets_that_are_all_the_same_or_unknown_are_told_and_so_is_what_validates_on_such() -> None:
    rng = np.random.default_rng(0)
    pairs = [(x, np.array([72.1, np.nan])) for x in rng.standard_normal((4, 10, 1))]
    options: dict[str, Any] = {"epochs": 1, "batch_size": 4, "outputs": ["rate", "age"], **QUIET}
    state = nl.gru_seq2one(n_features=1, hid_dim=4, n_layers=1, task="regression", n_outputs=2)
    told = r"every label of train_data is 72\.1 \(rate\) and no label of train_data is known \(age\): what is the same"
    with pytest.warns(UserWarning, match=told):
        nl.train(state, pairs, pairs, dry_run=True, **options)
    various = [(x, np.array([70.0 + i, 3.0 - i])) for i, (x, _) in enumerate(pairs)]
    with pytest.warns(UserWarning, match="val_data has one and the same answer throughout") as caught:
        nl.train(state, various, various[:1], **options)
    assert len(caught) == 1
    # Also where they are far from what was learnt, or all but as well told as it.
    cases = (71.5, 0.1, 0.001, r"0\.[12]"), (74.5, 0.1, 0.001, "[1-9]"), (71, 1.1, 0.12, "0")
    for rate, apart, variance, loss in cases:
        alike = [(x, np.array([rate + apart * i, 1.5])) for i, (x, _) in enumerate(various[:2])]
        told = rf"answers differ too little .* variance is {variance} of .*, {loss}"
        with pytest.warns(UserWarning, match=told) as caught:
            nl.train(state, various, alike, **options)
        assert len(caught) == 1
