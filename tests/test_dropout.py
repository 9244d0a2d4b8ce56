"""Dropout: where it stands, at which rate, and that it is drawn anew at every step and from every seed."""

from typing import Any

import pytest
import torch
from cases import QUIET, Case, make_pairs, make_state
from torch import Tensor
from watching import Watch

import neurallib as nl
from neurallib.models.registry import ARCHITECTURES
from neurallib.names import weights_named

each_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES)


def losses(state: nl.State, seed: int) -> list[float]:
    """Those of the steps of a run over one signal, again and again, whose weights stay as they are."""
    pair, watch = make_pairs(state, [9])[0], Watch()
    nl.train(state, [pair, pair], [pair], epochs=2, batch_size=1, seed=seed, callbacks=[watch], **QUIET)
    return [step.loss for steps in watch.epochs for step in steps]


@each_architecture
def test_dropout_is_drawn_anew_at_every_step_and_from_every_seed(architecture: str) -> None:
    state = make_state(Case(architecture, "regression"), dropout=0.5, learning_rate=1e-12)
    first, second = losses(state, 1), losses(state, 2)
    assert len({*first, *second}) == 8
    assert losses(state, 1) == first


@each_architecture
def test_without_dropout_nothing_is_drawn(architecture: str) -> None:
    state = make_state(Case(architecture, "regression"), dropout=0.0, learning_rate=1e-12)
    assert len({*losses(state, 1), *losses(state, 2)}) == 1


@each_architecture
def test_outside_training_dropout_does_nothing_at_any_rate(architecture: str) -> None:
    case, x = Case(architecture, "regression"), torch.randn(2, 9, 2)
    plain, dropping = (nl.build_network(make_state(case, dropout=rate)).eval() for rate in (0.0, 0.9))
    assert torch.equal(plain(x, None, x), dropping(x, None, x))


def dropped(network: nl.Network, x: Tensor, reader: str) -> float:
    """The share of its inputs that a layer did not get: at a single step they are the columns without a gradient."""
    network.zero_grad()
    network(x, None, x).sum().backward()
    return (network.get_parameter(reader).grad == 0).all(0).float().mean().item()


@pytest.mark.parametrize("architecture", ["GRUseq2seq", "GRUseq2one"])
@pytest.mark.parametrize("rates", [[0.0, 0.0, 0.8], [0.0, 0.8, 0.0], [0.8, 0.0, 0.0], [0.2, 0.4, 0.8], 0.6], ids=str)
def test_each_gru_layer_has_its_own_rate(architecture: str, rates: list[float] | float) -> None:
    sizes = {"hid_dim": [500, 400, 600], "n_layers": 3, "bidir_per_layer": [False, True, False]}
    network = nl.build_network(make_state(Case(architecture, "regression"), dropout=rates, **sizes))
    readers = ["gru_layers.1.weight_ih_l0", "gru_layers.2.weight_ih_l0", "fc_out.weight"]
    found = [dropped(network, torch.randn(1, 1, 2), reader) for reader in readers]
    assert found == pytest.approx(rates if isinstance(rates, list) else [rates] * 3, abs=0.1)
    assert dropped(network, torch.randn(1, 1, 2), "gru_layers.0.weight_ih_l0") == 0  # the signal itself is whole


def test_dropout_of_the_gru_encoder_decoder_stands_between_the_layers_of_each() -> None:
    sizes = {"enc_hid_dim": 500, "dec_hid_dim": 400, "enc_layers": 2, "dec_layers": 2, "bidirectional": False}
    network = nl.build_network(make_state(Case("GRUED", "regression"), dropout=0.6, **sizes))
    rates = {"encoder.weight_ih_l0": 0, "encoder.weight_ih_l1": 0.6, "decoder.weight_ih_l1": 0.6, "fc_out.weight": 0}
    for reader, rate in rates.items():
        assert dropped(network, torch.randn(1, 1, 2), reader) == pytest.approx(rate, abs=0.1)


LAYERS: dict[str, tuple[dict[str, Any], str, list[str]]] = {  # one that drops, and what else takes gradients
    "GRUseq2seq": ({"n_layers": 1, "hid_dim": 9, "bidir_per_layer": [True]}, "gru_layers.0", []),
    "GRUseq2one": ({"n_layers": 1, "hid_dim": 9}, "gru_layers.0", []),
    "GRUED": ({"enc_layers": 2, "dec_layers": 1}, "encoder.*_l0*", ["encoder.*_l1*"]),
    "GRUED ": ({"enc_layers": 1, "dec_layers": 2}, "decoder.*_l0", ["decoder.*_l1"]),
    "Transformerseq2one": ({"num_encoder_layers": 1}, "encoder.layers.0", []),
    "Transformerseq2seq": ({"num_encoder_layers": 1}, "*coder.layers.0", ["input_projection"]),
    "TransformerED": ({"num_decoder_layers": 1}, "*coder.layers.0", ["input_projection"]),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_drops_as_long_as_any_of_its_weights_learns(name: str) -> None:
    sizes, layer, others = LAYERS[name]
    state = make_state(Case(name.strip(), "regression"), **sizes, dropout=0.5)
    x = torch.randn(2, 6, 2)

    def draws(frozen: list[str]) -> bool:
        network = nl.build_network({**state, "frozen": frozen})
        return not torch.equal(network(x, None, x), network(x, None, x))

    whole = weights_named(state["weights"], layer)
    for frozen in ([], whole[1:], whole[:-1], *([one, "fc_out"] for one in others)):
        assert draws(frozen), frozen
    assert not draws([layer])


@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name.startswith("Transformer")])
def test_dropout_stands_within_the_feed_forward_part_and_behind_each_part(architecture: str) -> None:
    case, x = Case(architecture, "regression"), torch.randn(1, 1, 2)
    sizes = {"dim_feedforward": 400, "d_model": 256, "nhead": 4}
    plain, dropping = (nl.build_network(make_state(case, **sizes, dropout=rate)) for rate in (0.0, 0.6))
    for reader in (name for name in plain.state_dict() if name.endswith("linear2.weight")):
        silent = dropped(plain, x, reader)  # ReLU's
        assert dropped(dropping, x, reader) == pytest.approx(1 - 0.4 * (1 - silent), abs=0.12), reader
    behind = {name: bias.grad for name, bias in dropping.named_parameters() if name.endswith(("proj.bias", "r2.bias"))}
    for name in (each for each in behind if "in_proj" not in each and "projection" not in each):
        assert (behind[name] == 0).float().mean().item() == pytest.approx(0.6, abs=0.12), name


@each_architecture
def test_what_is_kept_makes_up_for_what_is_dropped(architecture: str) -> None:
    """Averaged over many draws, outputs are near those without dropout, and they spread more at a higher rate."""
    case, x = Case(architecture, "regression"), torch.randn(1, 6, 2).expand(3000, 6, 2)
    plain = nl.build_network(make_state(case))(x[:1], None, x[:1])
    spread = []
    for rate in (0.05, 0.4):
        drawn = nl.build_network(make_state(case, dropout=rate))(x, None, x).detach()
        spread.append(drawn.std(0).mean().item())
        torch.testing.assert_close(drawn.mean(0, keepdim=True), plain.detach(), rtol=0, atol=0.15)
    assert 0 < 2 * spread[0] < spread[1]
