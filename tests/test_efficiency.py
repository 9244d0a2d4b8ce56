"""What training_info.json says a model costs: its weights, and the operations of a pass over a signal."""

import pytest
import torch
from cases import QUIET, Case, make_pairs, make_state
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import neurallib as nl
from neurallib.architectures import ARCHITECTURES

N_STEPS = 60


def gru_flops(n_in: int, hidden: int, both: bool) -> int:
    """Of a step of one layer: a product with the input and one with the state for each of three gates."""
    return (1 + both) * 3 * (2 * hidden * n_in + 2 * hidden * hidden)


def counted(state: nl.State) -> int:
    """By torch's own counter where it sees every product; those of a GRU's recurrence by the sizes of cases.py."""
    h = state["hparams"]
    match state["architecture"]:
        case "GRUseq2seq":  # 2 features, 6 units both ways, 4 units one way, 2 outputs a step
            return N_STEPS * (gru_flops(2, 6, True) + gru_flops(12, 4, False) + 2 * 4 * 2)
        case "GRUseq2one":  # 2 features, 5 units both ways, twice; 2 outputs
            return N_STEPS * (gru_flops(2, 5, True) + gru_flops(10, 5, True)) + 2 * 10 * 2
        case "GRUED":  # 2 features, 3 units both ways, twice; 6 units, twice; 2 outputs a step
            encoder, decoder = gru_flops(2, 3, True) + gru_flops(6, 3, True), gru_flops(2, 6, False)
            return N_STEPS * (encoder + decoder + gru_flops(6, 6, False) + 2 * 6 * 2)
    x = torch.randn(1, N_STEPS, h["n_features"])
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        nl.build_network(state).eval()(x, None, x)
    return int(counter.get_total_flops())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_operations_are_those_of_the_products_of_a_pass_over_a_signal_of_mean_length(architecture: str) -> None:
    state = make_state(Case(architecture, "regression"))
    train, val = make_pairs(state, [N_STEPS - 10, N_STEPS + 10]), make_pairs(state, [7])
    info = nl.train(state, train, val, epochs=1, batch_size=2, **QUIET)["training_info"]
    # What is done once a signal counts as done at every step, which is little.
    assert info["efficiency_flops"] == pytest.approx(counted(state), rel=0.05)
    assert info["efficiency_params"] == sum(weight.numel() for weight in state["weights"].values())


@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name.startswith("Transformer")])
def test_operations_of_attention_grow_with_the_square_of_the_length(architecture: str) -> None:
    state = make_state(Case(architecture, "regression"))
    pairs = [make_pairs(state, [n_steps]) for n_steps in (1000, 2000)]
    short, long = (nl.train(state, p, p, epochs=1, batch_size=1, **QUIET)["training_info"] for p in pairs)
    assert 3.5 < long["efficiency_flops"] / short["efficiency_flops"] < 4
