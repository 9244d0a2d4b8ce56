"""fold: several consecutive samples as the features of one step, for every architecture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import CASES, QUIET, TASKS, Case, data, make_batch, make_pairs, make_state, same_state

import neurallib as nl
from neurallib.architectures import ARCHITECTURES
from neurallib.tasks import describe

each_case = pytest.mark.parametrize("case", CASES, ids=str)
each_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES)
FOLD = 3


def unfolded(case: Case, **more: Any) -> nl.State:
    """The network that is inside a folding one: features and, with an output at each sample, outputs FOLD times."""
    state = make_state(case)
    k = describe(state).n_outputs * (1 if ARCHITECTURES[case.architecture].seq2one else FOLD)
    outputs = {"n_outputs": k} if case.kind == "regression" else {"num_classes": k, "multi_label": True}
    return make_state(case, n_features=2 * FOLD, **outputs, **more)


@each_case
def test_folding_is_what_reshaping_by_hand_is(case: Case) -> None:
    state = make_state(case, fold=FOLD)
    inside = unfolded(case)
    inside["weights"] = {name: weight.clone() for name, weight in state["weights"].items()}
    x = torch.randn(2, 4 * FOLD, 2)
    by_hand = nl.build_network(inside).eval()(x.reshape(2, 4, 2 * FOLD))
    k = describe(state).n_outputs
    by_hand = by_hand if by_hand.dim() == 2 else by_hand.reshape(2, 4 * FOLD, k)
    torch.testing.assert_close(nl.build_network(state).eval()(x), by_hand, rtol=1e-6, atol=1e-6)


@each_case
def test_lengths_that_fold_does_not_divide_and_padding_change_nothing(case: Case) -> None:
    state = make_state(case, fold=4)
    batch = make_batch(state, [9, 4, 7, 1])
    network, loss = nl.build_network(state).eval(), nl.loss_function(state)
    together = network(batch["x"], batch["lengths"])
    junk = batch["x"].clone()
    for i, n in enumerate(batch["lengths"].tolist()):
        junk[i, n:] = 1e3
        alone = network(batch["x"][i : i + 1, :n])[0]
        row = together[i] if together.dim() == 2 else together[i, :n]
        torch.testing.assert_close(row, alone, rtol=1e-5, atol=1e-6)
        assert together.dim() == 2 or not together[i, n:].any(), "zero beyond a length"
    torch.testing.assert_close(network(junk, batch["lengths"]), together, rtol=1e-5, atol=1e-6)
    assert torch.isfinite(loss(together, batch["y"], batch["lengths"]))


@each_architecture
def test_teacher_forcing_folds_the_target(architecture: str) -> None:
    one = nl.build_network(make_state(Case(architecture, "regression"), fold=4, n_outputs=1)).eval()
    x, y = torch.randn(2, 9, 2), torch.randn(2, 9)
    assert torch.equal(one(x, None, y), one(x, None, y[..., None]))
    state = make_state(Case(architecture, "regression"), fold=4)
    batch, network = make_batch(state, [9, 6]), nl.build_network(state).eval()
    logits = network(batch["x"], batch["lengths"], batch["y"])
    for i, n in enumerate([9, 6]):
        target = batch["y"][i : i + 1] if logits.dim() == 2 else batch["y"][i : i + 1, :n]
        alone = network(batch["x"][i : i + 1, :n], None, target)[0]
        torch.testing.assert_close(logits[i] if logits.dim() == 2 else logits[i, :n], alone, rtol=1e-5, atol=1e-6)


@each_case
def test_a_folding_state_trains_and_comes_back_from_its_files(case: Case, tmp_path: Path) -> None:
    state = make_state(case, fold=FOLD)
    assert state["preprocessing"]["fold"] == FOLD and "fold" not in state["hparams"]
    trained = nl.train(state, data(state), data(state, seed=1), epochs=1, batch_size=3, **QUIET)
    signals = [x for x, _ in make_pairs(state, [9, 4, 7])]
    directory = nl.save_checkpoint(trained, tmp_path / "saved")
    loaded = nl.load_checkpoint(directory)
    loaded["training_info"].pop("checkpoints_directory"), trained["training_info"].pop("checkpoints_directory")
    assert same_state(loaded, trained)
    for a, b in zip(nl.predict(trained, signals), nl.predict(loaded, signals), strict=True):
        np.testing.assert_array_equal(a, b)
    made = ARCHITECTURES[case.architecture].factory(**nl.get_hparams_from_checkpoints(directory))
    assert {name: w.shape for name, w in made["weights"].items()} == {n: w.shape for n, w in trained["weights"].items()}


@each_architecture
def test_features_and_another_head_of_a_folding_model(architecture: str) -> None:
    state = make_state(Case(architecture, "regression"), fold=4)
    seq2one = ARCHITECTURES[architecture].seq2one
    features = nl.build_network(state).eval()(torch.randn(1, 9, 2), features=True)
    assert features.shape[:-1] == ((1,) if seq2one else (1, 3))
    words = {} if architecture.endswith("ED") else TASKS["multiclass"]
    new = nl.replace_head(state, **words)
    assert new["preprocessing"]["fold"] == 4
    (output,) = nl.predict(new, [np.ones((9, 2))])
    assert output.shape == (() if seq2one else (9,)) + ((2,) if architecture.endswith("ED") else (3,))


@pytest.mark.parametrize(("fold", "error"), [(0, ValueError), (-2, ValueError), (2.0, TypeError), (True, TypeError)])
@each_architecture
def test_a_wrong_fold_is_told(architecture: str, fold: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="fold="):
        make_state(Case(architecture, "regression"), fold=fold)


def test_weights_of_another_fold_do_not_fit() -> None:
    state = make_state(Case("GRUseq2seq", "binary"), fold=4)
    state["preprocessing"]["fold"] = 2
    with pytest.raises(ValueError, match="weight_ih_l0.*expected"):
        nl.build_network(state)


@pytest.mark.parametrize(("every", "told"), [(10, True), (6, True), (7, False), (1, False)])
def test_labels_at_some_places_of_each_fold_alone_are_told(
    every: int, told: bool, recwarn: pytest.WarningsRecorder
) -> None:
    x = np.random.default_rng(0).standard_normal((4, 70, 1))
    y = np.where(np.arange(70)[:, None] % every == 0, x > 0, np.nan)
    pairs = list(zip(x, y, strict=True))
    nl.train(nl.gru_seq2seq(n_features=1, hid_dim=3, n_layers=1, fold=2), pairs, pairs, epochs=1, batch_size=4, **QUIET)
    assert any("labels are known at 1 of the 2 places of a fold" in str(one.message) for one in recwarn) == told


def test_labels_that_lie_at_other_places_in_other_signals_or_epochs_are_not_told(
    recwarn: pytest.WarningsRecorder
) -> None:
    x, state = np.ones((40, 80, 1)), nl.gru_seq2seq(n_features=1, hid_dim=3, n_layers=1, fold=20)
    y = np.where(np.arange(80)[:, None] == np.arange(40)[:, None, None], 1.0, np.nan)  # one label a signal
    options: dict[str, Any] = {"epochs": 1, "batch_size": 40, "dry_run": True, **QUIET}
    nl.train(state, list(zip(x, y, strict=True)), list(zip(x, y, strict=True)), **options)
    pairs = [(x[0], np.where(np.arange(80)[:, None] % 20 < 5, 1.0, np.nan))] * 16

    def shifted(x: np.ndarray, y: np.ndarray, drawn: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        return x, np.roll(y, drawn.integers(20), axis=0)

    nl.train(state, pairs, pairs, augment=shifted, **options)
    assert not any("places of a fold" in str(one.message) for one in recwarn)
