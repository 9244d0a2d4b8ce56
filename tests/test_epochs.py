"""What a run does epoch by epoch: the order of the signals, the learning rate, and which losses are told and kept."""

from pathlib import Path

import pytest
import torch
from cases import AS_IT_COMES, CASES, QUIET, Case, make_pairs, make_state
from watching import Watch, marked

import neurallib as nl
from neurallib.models.registry import ARCHITECTURES

GRU = Case("GRUseq2seq", "binary")
each_case = pytest.mark.parametrize("case", CASES, ids=str)
each_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES)
STILL = 1e-12  # a learning rate too small to change a float32


def watched(state: nl.State, train: list, val: list, **options: object) -> tuple[nl.State, Watch]:
    watch = Watch()
    given = {"epochs": 3, "batch_size": 3, "callbacks": [watch]} | AS_IT_COMES | QUIET | options
    return nl.train(state, train, val, **given), watch  # type: ignore[arg-type]


def test_training_sees_every_signal_once_an_epoch_in_an_order_that_seed_and_epoch_decide() -> None:
    state = make_state(GRU)
    train, val = marked(state, [6] * 16), marked(state, [6] * 7, first=100)
    orders = {seed: watched(state, train, val, seed=seed)[1].orders() for seed in (1, 2)}
    assert watched(state, train, val, seed=1)[1].orders() == orders[1]
    seen = [tuple(order) for seed in orders for order in orders[seed]]
    assert all(sorted(order) == list(range(16)) for order in seen)
    assert len({*seen, tuple(range(16))}) == 7  # none twice, and none as given
    assert {frozenset(order[:3]) for order in seen} != {frozenset(seen[0][:3])}  # other batches too, not only places


def test_validation_sees_every_signal_every_epoch() -> None:
    state = make_state(GRU)
    _, watch = watched(state, marked(state, [6] * 4), marked(state, [6] * 7, first=100))
    assert [sorted(signals) for signals in watch.validated] == [list(range(100, 107))] * 3


@pytest.mark.parametrize("bucketing", [False, True])
def test_bucketing_puts_similar_lengths_together_where_it_is_asked_for(bucketing: bool) -> None:
    state = make_state(GRU)
    lengths = [5, 50, 6, 60, 7, 70, 8, 80, 9, 90, 4, 40]
    _, watch = watched(state, marked(state, lengths), marked(state, [6]), bucketing=bucketing, batch_size=6)
    mixed = [step for steps in watch.epochs for step in steps if max(step.lengths) > 4 * min(step.lengths)]
    assert bool(mixed) != bucketing
    assert any(max(one.lengths) > max(other.lengths) for one, other in watch.epochs)  # in any order
    assert all(len(step.signals) == 6 for steps in watch.epochs for step in steps)


def test_the_learning_rate_falls_to_a_tenth_after_every_ten_epochs() -> None:
    state = make_state(GRU, learning_rate=0.01)
    rates = {"fc_out": 0.5}
    _, watch = watched(state, marked(state, [4] * 3), marked(state, [4]), epochs=25, batch_size=2,
                       schedule="step", layer_learning_rates=rates)  # fmt: skip
    assert len(watch.epochs) == 25
    for epoch, steps in enumerate(watch.epochs):
        assert len(steps) == 2
        for step in steps:
            assert step.rates == pytest.approx([0.01 * 0.1 ** (epoch // 10), 0.5 * 0.1 ** (epoch // 10)])


@each_case
def test_the_training_loss_is_that_of_all_signals_weighted_by_class(case: Case) -> None:
    state = make_state(case, learning_rate=STILL)
    pairs = make_pairs(state, [6, 9, 8, 5])
    weight = {"binary": [4.0], "multilabel": [4.0, 0.5, 2.0], "multiclass": [4.0, 0.5, 2.0], "regression": None}
    trained = nl.train(state, pairs, pairs[:1], epochs=2, batch_size=4, class_weight=weight[case.kind], **QUIET)
    if case.architecture.endswith("ED"):  # taught in training, generating in `evaluate`
        batch = nl.collate_fn(list(nl.prepare(trained, pairs)))
        expected = nl.training_step(nl.build_network(trained), batch, nl.loss_function(trained)).item()
    else:
        expected = nl.evaluate(trained, pairs)["loss"]
    assert trained["training_info"]["train_losses"] == pytest.approx([expected] * 2, rel=1e-5)


@each_architecture
def test_a_small_last_batch_counts_for_its_own_signals_alone(architecture: str) -> None:
    state = make_state(Case(architecture, "regression"), learning_rate=STILL)
    pairs = make_pairs(state, [6] * 5)
    pairs[0] = (pairs[0][0], pairs[0][1] + 10)  # so that it matters which batch it is in
    whole, parts = (nl.train(state, pairs, pairs, epochs=3, batch_size=n, **QUIET)["training_info"] for n in (5, 4))
    for name in ("train_losses", "val_losses"):
        assert parts[name] == pytest.approx(whole[name], rel=1e-5)


@each_architecture
def test_best_is_chosen_by_the_validation_loss(architecture: str) -> None:
    """Validation asks for what the untrained network says, training for something else: what is learnt is worse."""
    state = make_state(Case(architecture, "regression"), learning_rate=0.03)
    signals = [x for x, _ in make_pairs(state, [6, 9, 8, 5])]
    outputs = nl.predict(state, signals)
    train, val = ([(x, y + shift) for x, y in zip(signals, outputs, strict=True)] for shift in (3, 0))
    trained = nl.train(state, train, val, epochs=3, batch_size=4, save=True, **AS_IT_COMES, **QUIET)
    info = trained["training_info"]
    assert info["train_losses"] == sorted(info["train_losses"], reverse=True)
    if not architecture.endswith("ED"):  # which are taught in training, and generate in `evaluate`
        assert nl.evaluate(trained, train)["loss"] == pytest.approx(info["train_losses"][1], rel=1e-5)  # of the second
    assert info["val_losses"] == sorted(info["val_losses"]) and info["validation_loss"] == info["val_losses"][0]
    best = torch.load(Path(info["checkpoints_directory"]) / "best.ckpt", weights_only=True)
    assert info["best_epoch"] == best["epoch"] + 1 == 1  # Lightning counts from 0
    assert all(torch.equal(best["state_dict"][name], weight) for name, weight in trained["weights"].items())
    assert nl.evaluate(trained, val)["loss"] == pytest.approx(info["validation_loss"], rel=1e-5)


def test_last_ckpt_is_of_the_last_epoch() -> None:
    state = make_state(GRU, learning_rate=0.5)
    train = make_pairs(state, [6, 9, 8, 5])
    trained = nl.train(state, train, [(x, 1 - y) for x, y in train], epochs=3, batch_size=4, save=True, **QUIET)
    directory = Path(trained["training_info"]["checkpoints_directory"])
    last, best = (torch.load(directory / f"{name}.ckpt", weights_only=True) for name in ("last", "best"))
    assert (trained["training_info"]["best_epoch"], best["epoch"], last["epoch"]) == (1, 0, 2)
    assert any(not torch.equal(last["state_dict"][name], weight) for name, weight in trained["weights"].items())
