"""The optimizer against Adam written by hand, its schedule, and the step that a run makes with it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from cases import AS_IT_COMES, CASES, QUIET, Case, make_batch, make_pairs, make_state
from pytorch_lightning.callbacks import Callback

import neurallib as nl

GRU = Case("GRUseq2seq", "regression")
each_case = pytest.mark.parametrize("case", CASES, ids=str)
Arrays = dict[str, np.ndarray]


class Adam:
    """Adam as Kingma and Ba (2015) give it, with the weight decay of its L2 form, in double precision."""

    def __init__(self, weights: Mapping[str, torch.Tensor], rates: Mapping[str, float]) -> None:
        self.weights = {name: weight.double().numpy() for name, weight in weights.items()}
        self.rates, self.t = rates, 0
        self.m, self.v = ({name: np.zeros_like(w) for name, w in self.weights.items()} for _ in range(2))

    def step(self, gradients: Arrays, decay: float = 1e-5, b1: float = 0.9, b2: float = 0.999) -> None:
        self.t += 1
        for name, rate in self.rates.items():
            g = gradients[name] + decay * self.weights[name]
            self.m[name] = b1 * self.m[name] + (1 - b1) * g
            self.v[name] = b2 * self.v[name] + (1 - b2) * g**2
            m, v = self.m[name] / (1 - b1**self.t), self.v[name] / (1 - b2**self.t)
            self.weights[name] = self.weights[name] - rate * m / (np.sqrt(v) + 1e-8)


@pytest.mark.parametrize("fused", [False, True])
def test_steps_are_those_of_adam_with_weight_decay_and_a_rate_for_each_layer(fused: bool) -> None:
    state = make_state(GRU, learning_rate=1e-2)
    state = nl.freeze(state, "gru_layers.0.bias_ih_l0")
    network = nl.build_network(state)
    optimizer, _ = nl.make_optimizer(network, state["hparams"], layer_learning_rates={"fc_out": 0.3}, fused=fused)
    learning = [name for name in state["weights"] if name not in state["frozen"]]
    by_hand = Adam(state["weights"], {name: 0.3 if name.startswith("fc_out") else 1e-2 for name in learning})
    sizes = [3.0, 1e-3, 1e-6, 1e-8, 0.0]  # down to gradients that the decay, and Adam's epsilon, are felt beside
    for size in sizes:
        gradients = {}
        for name, parameter in network.named_parameters():
            if name in learning:
                parameter.grad = size * torch.randn_like(parameter)
                gradients[name] = parameter.grad.double().numpy()
        optimizer.step()
        by_hand.step(gradients)
    for name, parameter in network.named_parameters():
        np.testing.assert_allclose(parameter.detach(), by_hand.weights[name], rtol=1e-4, atol=1e-6, err_msg=name)
        assert torch.equal(parameter, state["weights"][name]) == (name in state["frozen"])


def test_without_gradients_weights_decay_and_nothing_else_happens() -> None:
    """Adam's first step is the learning rate against the sign of what is left: the decay."""
    state = make_state(GRU, learning_rate=1e-3)
    network = nl.build_network(state)
    optimizer, _ = nl.make_optimizer(network, state["hparams"])
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in network.named_parameters():
        weight = state["weights"][name]
        decay = 1e-5 * weight
        torch.testing.assert_close(parameter.detach(), weight - 1e-3 * decay / (decay.abs() + 1e-8), msg=name)


def test_the_schedule_is_a_tenth_of_the_rate_every_ten_epochs() -> None:
    state = make_state(GRU, learning_rate=0.02)
    optimizer, scheduler = nl.make_optimizer(
        nl.build_network(state), state["hparams"], layer_learning_rates={"fc_out": 0.5}
    )
    for epoch in range(35):
        rates = {group["name"]: group["lr"] for group in optimizer.param_groups}
        expected = {"others": 0.02 * 0.1 ** (epoch // 10), "fc_out": 0.5 * 0.1 ** (epoch // 10)}
        assert rates == pytest.approx(expected)
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize("options", [{}, {"gradient_clip_val": 0.5}], ids=str)
def test_the_optimizer_that_is_told_is_the_one_that_ran(options: dict[str, float]) -> None:
    ran: list[str] = []

    class Spy(Callback):
        def on_train_start(self, trainer: Any, module: Any) -> None:
            ran.append(str(trainer.optimizers[0]))

    state = make_state(GRU, learning_rate=0.02)
    pairs = make_pairs(state, [5, 6])
    info = nl.train(state, pairs, pairs, epochs=1, batch_size=2, callbacks=[Spy()], **options, **QUIET)["training_info"]
    assert [info["optimizer"]] == ran and "lr: 0.02" in ran[0]
    assert ("fused: True" in ran[0]) != bool(options)  # Lightning clips no gradients of a fused optimizer


@each_case
def test_an_epoch_of_one_batch_is_one_step_of_adam(case: Case) -> None:
    state = make_state(case, learning_rate=0.01)
    lengths = [7, 5, 9]
    network = nl.build_network(state)
    nl.training_step(network, make_batch(state, lengths), nl.loss_function(state)).backward()
    by_hand = Adam(state["weights"], dict.fromkeys(state["weights"], 0.01))
    by_hand.step({name: parameter.grad.double().numpy() for name, parameter in network.named_parameters()})
    pairs = make_pairs(state, lengths)
    trained = nl.train(state, pairs, pairs[:1], epochs=1, batch_size=3, **AS_IT_COMES, **QUIET)
    for name, parameter in network.named_parameters():
        # Where a gradient is next to nothing, its sign, which is all that Adam's first step knows, is rounding.
        clear = parameter.grad.abs().numpy() > 1e-6
        got, expected = trained["weights"][name].numpy(), by_hand.weights[name]
        np.testing.assert_allclose(got[clear], expected[clear], rtol=1e-4, atol=1e-5, err_msg=name)
