"""Optimizers and schedules by name and by function: what runs, what is told, and what is refused."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import QUIET, Case, data, make_pairs, make_state, names_in, same_weights
from pytorch_lightning.callbacks import Callback, GradientAccumulationScheduler, LearningRateFinder
from torch.optim.lr_scheduler import CyclicLR, ExponentialLR, OneCycleLR, ReduceLROnPlateau

import neurallib as nl

GRU = Case("GRUseq2seq", "binary")


class Rates(Callback):
    """The learning rate of every step of the optimizer."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: Any) -> None:
        self.seen.append(optimizer.param_groups[0]["lr"])

def rates_of(*callbacks: Callback, n_signals: int = 8, **options: Any) -> tuple[list[float], nl.State]:
    state, rates = make_state(GRU, learning_rate=0.01), Rates()
    given = {"epochs": 4, "batch_size": 2, "callbacks": [rates, *callbacks]} | QUIET | options
    return rates.seen, nl.train(state, data(state, n_signals), data(state, 3), **given)


def cosine(n_steps: int, rate: float = 0.01) -> list[float]:
    """Up over the first twentieth, then half a cosine down to 0, of which the next step would be."""
    n_up = n_steps // 20
    up = [rate * (i + 1) / (n_up + 1) for i in range(n_up)]
    return up + [rate * (1 + math.cos(math.pi * i / (n_steps - n_up))) / 2 for i in range(n_steps - n_up)]


@pytest.mark.parametrize(
    ("options", "n_steps"),
    [
        ({"epochs": 10}, 40),
        ({"epochs": 10, "accumulate_grad_batches": 3}, 20),  # four batches are two steps
        ({"epochs": 10, "max_steps": 27}, 27),
        ({"epochs": 10, "max_steps": 1000}, 40),
        ({"epochs": 10, "limit_train_batches": 2}, 20),
        ({"epochs": 1, "batch_size": 8}, 1),
        ({"epochs": 5, "callbacks": [GradientAccumulationScheduler({0: 1, 2: 3})]}, 14),
        ({"epochs": 5, "callbacks": [GradientAccumulationScheduler({0: 1, 2: 3})], "max_steps": 9}, 9),
    ],
    ids=names_in,
)
def test_by_default_the_rate_warms_up_and_falls_to_nothing_over_all_steps(options: dict, n_steps: int) -> None:
    options = dict(options)
    rates, state = rates_of(*options.pop("callbacks", []), **options)
    assert rates == pytest.approx(cosine(n_steps))
    assert state["training_info"]["schedule"] == f"WarmUpCosine(n_steps={n_steps}, n_warm_up={n_steps // 20})"
    assert state["training_info"]["learning_rate"] == state["hparams"]["learning_rate"] == 0.01


def test_the_cosine_of_a_loop_of_ones_own_is_the_same() -> None:
    state = make_state(GRU, learning_rate=0.01)
    network = nl.build_network(state)
    rates = {"fc_out": 0.5}
    optimizer, scheduler = nl.make_optimizer(
        network, state["hparams"], optimizer="sgd", schedule="cosine", n_steps=60, layer_learning_rates=rates
    )
    seen = []
    for _ in range(65):
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    others, of_layer = zip(*seen[:60], strict=True)
    assert others == pytest.approx(cosine(60)) and of_layer == pytest.approx(cosine(60, 0.5))
    assert seen[60:] == [[0, 0]] * 5


@pytest.mark.parametrize("schedule", ["cosine", "step", None])
def test_a_schedule_starts_from_the_rate_that_a_sweep_has_found(schedule: str | None) -> None:
    finder = LearningRateFinder(min_lr=1e-4, max_lr=1.0, num_training_steps=30)
    rates, state = rates_of(finder, epochs=12, batch_size=1, schedule=schedule)
    found = state["training_info"]["learning_rate"]
    assert found == state["hparams"]["learning_rate"] != 0.01
    assert f"initial_lr: {found}\n" in state["training_info"]["optimizer"]
    own = rates[-96:]  # those before are the sweep's, if anything saw them
    steps = {"cosine": cosine(96, found), "step": [found] * 80 + [found / 10] * 16, None: [found] * 96}
    assert own == pytest.approx(steps[schedule])


def test_a_plateau_is_of_the_validation_loss(results: Path) -> None:
    rates, state = rates_of(epochs=9, schedule="plateau", optimizer="sgd", layer_learning_rates={"*": 1e-7})
    losses = state["training_info"]["val_losses"]
    assert max(losses) - min(losses) < 1e-5  # nothing is learnt at such a rate
    assert rates == pytest.approx([1e-7] * 28 + [1e-8] * 8, rel=1e-6, abs=0)  # after the sixth epoch without better
    assert state["training_info"]["schedule"].startswith("ReduceLROnPlateau(factor=0.1")


def test_a_schedule_of_ones_own_goes_on_with_each_epoch() -> None:
    rates, state = rates_of(schedule=lambda optimizer: ExponentialLR(optimizer, 0.5))
    assert rates == pytest.approx([0.01 * 0.5**epoch for epoch in range(4) for _ in range(4)])
    assert state["training_info"]["schedule"] == "ExponentialLR(gamma=0.5)"
    never: dict[str, Any] = {"factor": 0.5, "patience": 0, "threshold": 10, "threshold_mode": "abs"}
    rates, _ = rates_of(schedule=lambda optimizer: ReduceLROnPlateau(optimizer, **never))
    assert rates == pytest.approx([0.01] * 8 + [0.005] * 4 + [0.0025] * 4)  # the loss falls by less than 10


@pytest.mark.parametrize(
    ("schedule", "n_steps"),
    [
        (lambda optimizer: OneCycleLR(optimizer, 0.1, total_steps=16), 16),
        (lambda optimizer: CyclicLR(optimizer, 0.01, 0.1, step_size_up=3, cycle_momentum=False), 16),
        (lambda optimizer: OneCycleLR(optimizer, 0.1, total_steps=4), 4),  # as many as there are epochs
    ],
    ids=["one cycle", "cycles", "one cycle of epochs"],
)
def test_a_schedule_that_counts_batches_goes_on_with_each_step(schedule: Any, n_steps: int) -> None:
    rates, _ = rates_of(schedule=schedule)
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=0.01)
    alone, expected = schedule(optimizer), []
    for _ in range(n_steps):
        expected += [optimizer.param_groups[0]["lr"]] * (16 // n_steps)
        optimizer.step()
        alone.step()
    assert rates == pytest.approx(expected)


@pytest.mark.parametrize(
    ("n_steps", "options"),
    [(16, {}), (8, {"accumulate_grad_batches": 3}), (7, {"max_steps": 7}), (8, {"limit_train_batches": 2})],
    ids=["all", "micro-batches", "max_steps", "some batches"],
)
def test_a_cycle_that_would_end_before_the_run_is_told_before_it_begins(
    n_steps: int, options: dict[str, Any], results: Path
) -> None:
    told = f"total_steps={n_steps - 1}; this run takes {n_steps} steps .* in 4 epochs: give {n_steps}, or 4"
    with pytest.raises(ValueError, match=told):
        rates_of(schedule=lambda optimizer: OneCycleLR(optimizer, 0.1, total_steps=n_steps - 1), save=True, **options)
    assert not results.exists() or "limit_train_batches" in options  # of which Lightning alone knows how many they are


def sgd(network: torch.nn.Module, hparams: dict) -> torch.optim.Optimizer:
    return torch.optim.SGD(network.parameters(), lr=10 * hparams.pop("learning_rate"), weight_decay=0.1)


@pytest.mark.parametrize(
    ("optimizer", "words"),
    [
        ("adam", ["Adam (", "weight_decay: 1e-05", "initial_lr: 0.01"]),
        ("adamw", ["AdamW (", "weight_decay: 0.01"]),
        ("sgd", ["SGD (", "momentum: 0.9"]),
        (sgd, ["SGD (", "weight_decay: 0.1", "initial_lr: 0.1"]),
    ],
)
def test_an_optimizer_learns_is_told_and_leaves_frozen_layers_alone(optimizer: Any, words: list[str]) -> None:
    state = nl.freeze(make_state(GRU, learning_rate=0.01), "gru_layers.0")
    trained = nl.train(state, data(state), data(state, 3), epochs=3, batch_size=2, optimizer=optimizer, **QUIET)
    info = trained["training_info"]
    assert all(word in info["optimizer"] for word in words)
    assert info["learning_rate"] == (0.1 if callable(optimizer) else 0.01) and trained["hparams"] == state["hparams"]
    assert info["train_losses"][2] < info["train_losses"][0]
    for name, weight in trained["weights"].items():
        assert torch.equal(weight, state["weights"][name]) == name.startswith("gru_layers.0")


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_named_optimizers_are_torchs_with_a_rate_for_each_layer(name: str) -> None:
    kinds: dict[str, Any] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    settings = {"adam": {"weight_decay": 1e-5}, "adamw": {"weight_decay": 1e-2}, "sgd": {"momentum": 0.9}}
    state = make_state(GRU, learning_rate=0.01)
    one, other = nl.build_network(state), nl.build_network(state)
    rates = {"fc_out": 0.5}
    optimizer, _ = nl.make_optimizer(one, state["hparams"], optimizer=name, layer_learning_rates=rates)
    groups = [{"params": other.gru_layers.parameters()}, {"params": other.fc_out.parameters(), "lr": 0.5}]
    theirs = kinds[name](groups, lr=0.01, **settings[name])
    for _ in range(3):
        for a, b in zip(one.parameters(), other.parameters(), strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        optimizer.step()
        theirs.step()
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_a_function_that_takes_layer_learning_rates_gets_them() -> None:
    seen = []

    def own(network: torch.nn.Module, hparams: dict, layer_learning_rates: Any = None) -> torch.optim.Optimizer:
        seen.append(dict(layer_learning_rates))
        layer_learning_rates.clear()  # which are its own
        return torch.optim.Adam(network.parameters(), lr=hparams["learning_rate"])

    rates = {"fc_out": 0.5}
    rates_of(optimizer=own, layer_learning_rates=rates)
    assert seen == [rates] * 2 == [{"fc_out": 0.5}] * 2  # once to see what it gives, once to train


STATE = make_state(GRU)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"optimizer": "adm"}, ValueError, "optimizer='adm'; expected one of 'adam', .* Did you mean 'adam'?"),
        ({"optimizer": None}, ValueError, "optimizer=None; expected one of 'adam'"),
        ({"optimizer": torch.optim.SGD}, TypeError, r"optimizer is the class SGD; .* a function \(network, hparams\)"),
        ({"optimizer": sgd(nl.build_network(STATE), {"learning_rate": 1})}, TypeError, "optimizer is a SGD; expected"),
        ({"optimizer": lambda network, hparams: None}, TypeError, "the function optimizer gave a NoneType"),
        ({"optimizer": lambda parameters: None}, TypeError, r"optimizer=<lambda> is no function \(netw.*many"),
        ({"schedule": ExponentialLR}, TypeError, "schedule=ExponentialLR is no function .*: missing a .*'gamma'"),
        ({"optimizer": lambda n, h: sgd(nl.build_network(STATE), h)}, ValueError, "of other parameters than the net"),
        ({"optimizer": sgd, "layer_learning_rates": {"fc_out": 1}}, ValueError, "no argument of that name"),
        ({"schedule": "cosin"}, ValueError, "schedule='cosin'; expected one of .* Did you mean 'cosine'?"),
        ({"schedule": 3}, TypeError, "schedule is a int; expected one of 'cosine', 'step', 'plateau', None, or a func"),
        ({"schedule": lambda optimizer: optimizer}, TypeError, "the function schedule gave a Adam"),
        (
            {"schedule": lambda _: ExponentialLR(sgd(nl.build_network(STATE), {"learning_rate": 1}), 0.5)},
            ValueError, "of another optimizer",
        ),
    ],
    ids=lambda value: str(list(value)) if isinstance(value, dict) else None,
)  # fmt: skip
def test_what_is_no_optimizer_or_schedule_is_told_before_training(
    options: dict, error: type, words: str, results: Path
) -> None:
    with pytest.raises(error, match=words):
        nl.train(STATE, data(STATE), data(STATE, 3), epochs=1, batch_size=2, save=True, **options, **QUIET)
    assert not results.exists()
    with pytest.raises(error, match=words):
        nl.make_optimizer(nl.build_network(STATE), STATE["hparams"], **options)


@pytest.mark.parametrize(("monitor", "mode"), [("loss", "min"), ("f1", "max")])
def test_a_plateau_of_ones_own_has_to_look_the_way_in_which_the_monitor_gets_better(monitor: str, mode: str) -> None:
    def plateau(mode: Any) -> Any:
        return lambda optimizer: ReduceLROnPlateau(optimizer, mode=mode)

    rates_of(schedule=plateau(mode), monitor=monitor, epochs=1)
    wrong = {"min": "max", "max": "min"}[mode]
    with pytest.raises(ValueError, match=f"ReduceLROnPlateau of mode='{wrong}'; expected mode='{mode}', by which"):
        rates_of(schedule=plateau(wrong), monitor=monitor, epochs=1)


def test_a_cosine_without_its_number_of_steps_is_refused() -> None:
    with pytest.raises(ValueError, match="schedule='cosine' needs n_steps"):
        nl.make_optimizer(nl.build_network(STATE), STATE["hparams"], schedule="cosine")


def test_no_schedule_is_one_rate() -> None:
    rates, state = rates_of(schedule=None)
    assert rates == [0.01] * 16 and state["training_info"]["schedule"] == "none"
    assert nl.make_optimizer(nl.build_network(STATE), STATE["hparams"], schedule=None)[1] is None


def test_gru_factories_and_transformers_have_rates_of_their_own() -> None:
    rates = {name: make_state(Case(name, "regression"))["hparams"]["learning_rate"] for name in nl.list_architectures()}
    assert rates == {name: 0.003 if name.startswith("GRU") else 0.001 for name in rates}


def test_a_state_of_the_originals_files_trains_as_a_plain_loop_to_the_last_digit(tmp_path: Path) -> None:
    made = make_state(Case("GRUseq2seq", "regression"), learning_rate=0.02)
    directory = nl.save_checkpoint(made, tmp_path / "run")
    for name in ("model_weights.safetensors", "preprocessing.json"):  # which the original does not write
        (directory / name).unlink(missing_ok=True)
    state = nl.load_checkpoint(directory)
    pairs = make_pairs(state, [7, 5, 9, 6, 8])
    as_given: dict[str, Any] = {"normalization": None, "target_normalization": None}
    trained = nl.train(
        state, pairs, pairs, epochs=12, batch_size=2, optimizer="adam", schedule="step", **as_given, **QUIET
    )
    network, loss = nl.build_network(state).train(), nl.loss_function(state)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02, weight_decay=1e-5, fused=True)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=10, gamma=0.1)
    batches = nl.make_loader(nl.prepare(state, pairs), batch_size=2, shuffle=True)
    for _ in range(12):
        for batch in batches:
            optimizer.zero_grad()
            loss(network(batch["x"], batch["lengths"]), batch["y"], batch["lengths"]).backward()
            optimizer.step()
        schedule.step()
    assert trained["training_info"]["best_epoch"] == 12
    assert same_weights(trained, nl.state_from_network(state, network))
    assert "StepLR(step_size=10, gamma=0.1)" == trained["training_info"]["schedule"]
