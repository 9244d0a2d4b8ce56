"""Sizes, lengths and dtypes that do not fit are told before a kernel reads or writes memory by them."""

from typing import Any

import numpy as np
import pytest
import torch
from cases import names_in
from recurrence_cases import directions_of
from torch import Tensor, nn

import neurallib as nl
from neurallib.recurrence.layer import Direction, gru_generate, gru_layer, linear


@pytest.mark.parametrize("shape", [(0, 4, 2), (2, 0, 2)])
def test_empty_batches_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        gru_layer(torch.zeros(shape), torch.zeros(shape[0], dtype=torch.int64), directions_of(nn.GRU(2, 3)))


@pytest.mark.parametrize(
    ("lengths", "h0", "words"),
    [
        ([6, 2], (1, 2, 3), r"lengths=\[6, 2\]; expected each between 1 and 5"),
        ([0, 2], (1, 2, 3), r"lengths=\[0, 2\]"),
        ([5], (1, 2, 3), r"lengths has shape \(1,\); expected one length for each of 2 signals"),
        ([5, 2], (1, 1, 3), r"h0 \(1, 1, 3\) do not fit the weights; expected 4 features and h0 \(1, 2, 3\)"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(lengths: list[int], h0: tuple[int, ...], words: str) -> None:
    layer = [Direction(*nn.GRU(4, 3).parameters())]
    with pytest.raises(ValueError, match=words):
        gru_layer(torch.randn(2, 5, 4), torch.tensor(lengths), layer, torch.zeros(h0))


def test_weights_that_do_not_fit_each_other_are_refused() -> None:
    weights = list(nn.GRU(4, 3).parameters())
    with pytest.raises(ValueError, match=r"weights are \[\(9, 4\), \(9, 3\), \(6,\), \(9,\)\]; expected"):
        gru_layer(
            torch.randn(2, 5, 4), torch.tensor([5, 2]),
            [Direction(*weights), Direction(*weights[:2], weights[2][:6], weights[3])],
        )  # fmt: skip


@pytest.mark.parametrize(("n_inputs", "n_units"), [(0, 3), (4, 0)])
def test_a_layer_without_inputs_or_units_is_refused(n_inputs: int, n_units: int) -> None:
    rows = 3 * n_units
    empty = Direction(torch.zeros(rows, n_inputs), torch.zeros(rows, n_units), torch.zeros(rows), torch.zeros(rows))
    with pytest.raises(ValueError, match=rf"weights are \[\({rows}, {n_inputs}\).*; expected"):
        gru_layer(torch.zeros(2, 5, n_inputs), torch.tensor([5, 2]), [empty])
    with pytest.raises(ValueError, match=rf"weights are \[\({rows}, {n_inputs}\).*; expected"):
        generate(layers=[empty])


@pytest.mark.parametrize("count", [0, 3])
def test_a_layer_has_one_direction_or_two(count: int) -> None:
    layer = directions_of(nn.GRU(4, 3)) * count
    with pytest.raises(ValueError, match=f"directions has {count}; expected one, or two: forward and reverse"):
        gru_layer(torch.randn(2, 5, 4), torch.tensor([5, 2]), layer)


@pytest.mark.parametrize("lengths", [torch.tensor([5.0, 2.0]), torch.tensor([5, 2], dtype=torch.int32)])
def test_lengths_of_another_dtype_are_refused_by_a_layer(lengths: Tensor) -> None:
    with pytest.raises(TypeError, match=f"lengths has dtype {lengths.dtype}; expected torch.int64"):
        gru_layer(torch.randn(2, 5, 4), lengths, directions_of(nn.GRU(4, 3)))


def generate(**changed: Any) -> Tensor:
    lower, upper = (directions_of(nn.GRU(n_inputs, 3).requires_grad_(False))[0] for n_inputs in (4, 3))
    fitting = {
        "layers": [lower, upper], "fc_weight": torch.randn(4, 3), "fc_bias": torch.randn(4),
        "h0": torch.randn(2, 2, 3), "lengths": torch.tensor([5, 2]), "n_steps": 5,
    }  # fmt: skip
    return gru_generate(**(fitting | changed))


LOWER, UPPER, WIDE = (directions_of(nn.GRU(n_inputs, n_units))[0] for n_inputs, n_units in ((4, 3), (3, 3), (4, 5)))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"layers": []}, "layers is empty"),
        ({"layers": [LOWER, LOWER]}, r"layer 1's weights are \[\(9, 4\).*expected \[\(9, 3\)"),
        ({"layers": [LOWER, WIDE]}, r"layer 1's weights are \[\(15, 4\)"),
        ({"layers": [LOWER, UPPER._replace(bias_hh=torch.zeros(8))]}, r"layer 1's weights are .*\(8,\)\]; expected"),
        ({"layers": [UPPER, UPPER]}, r"weight \(4, 3\) and bias \(4,\) do not fit 3 inputs and 3 outputs"),
        ({"fc_weight": torch.randn(2, 3)}, r"weight \(2, 3\) and bias \(4,\) do not fit 3 inputs and 4 outputs"),
        ({"fc_weight": torch.randn(4, 2)}, r"weight \(4, 2\) .*; expected \(4, 3\) and \(4,\)"),
        ({"fc_bias": torch.randn(3)}, r"bias \(3,\) do not fit"),
        ({"fc_weight": None}, "without fc_weight the top layer's 3 units are the next step's 4 features"),
        ({"fc_weight": None, "fc_bias": None}, "without fc_weight the top layer's 3 units"),
        ({"h0": torch.randn(1, 2, 3)}, r"h0 has shape \(1, 2, 3\); expected \(2, batch, 3\)"),
        ({"h0": torch.randn(2, 2, 5)}, r"h0 has shape \(2, 2, 5\)"),
        ({"h0": torch.randn(2, 3)}, r"h0 has shape \(2, 3\)"),
        ({"h0": torch.randn(2, 0, 3)}, "at least one signal"),
        ({"h0": torch.randn(2, 1, 3)}, "lengths has shape .* expected one length for each of 1 signals"),
        ({"lengths": torch.tensor([6, 2])}, r"lengths=\[6, 2\]; expected each between 1 and 5"),
        ({"lengths": torch.tensor([5, -1])}, r"lengths=\[5, -1\]"),
        ({"n_steps": 0}, "n_steps=0; expected an integer of at least 1"),
    ],
    ids=names_in,
)
def test_a_generation_of_sizes_that_do_not_fit_is_refused(changed: dict[str, Any], words: str) -> None:
    assert generate().shape == (2, 5, 4) and generate(fc_bias=None).shape == (2, 5, 4)
    with pytest.raises(ValueError, match=words):
        generate(**changed)


@pytest.mark.parametrize(
    ("x", "weight", "bias"), [((2, 3), (5, 4), (5,)), ((2, 4), (5, 4), (6,)), ((2, 4), (20,), (5,)), ((), (5, 4), (5,))]
)
@pytest.mark.parametrize("learning", [False, True])
def test_a_linear_layer_of_sizes_that_do_not_fit_is_refused(
    x: tuple[int, ...], weight: tuple[int, ...], bias: tuple[int, ...], learning: bool
) -> None:
    with torch.set_grad_enabled(learning), pytest.raises(ValueError, match="do not fit .* inputs and .* outputs"):
        linear(torch.zeros(x), torch.zeros(weight), torch.zeros(bias))


@pytest.mark.parametrize("name", ["gru_seq2seq", "gru_encoder_decoder"])
@pytest.mark.parametrize(("weight", "bias"), [((1, 3), (1,)), ((1, 500), (1,)), ((1, 4), (90,)), ((90, 4), (1,))])
def test_a_network_whose_output_layer_was_resized_tells_it(
    name: str, weight: tuple[int, ...], bias: tuple[int, ...]
) -> None:
    sizes = {"hid_dim": 4, "n_layers": 1} if name == "gru_seq2seq" else {"enc_hid_dim": 4, "dec_hid_dim": 4}
    network = nl.build_network(getattr(nl, name)(n_features=1, **sizes))
    network.fc_out.weight.data, network.fc_out.bias.data = torch.zeros(weight), torch.zeros(bias)
    with torch.no_grad(), pytest.raises(ValueError, match="do not fit"):
        network(torch.zeros(2, 6, 1))


@pytest.fixture
def network() -> nn.Module:
    return nl.build_network(nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1))


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (torch.zeros(2, 6, 1, dtype=torch.float64), r"x is a tensor of torch.float64; expected torch.float32.*x\.to\("),
        (torch.zeros(2, 6, 1, dtype=torch.int64), "x is a tensor of torch.int64; expected torch.float32"),
        (torch.zeros(2, 6, 1, dtype=torch.bfloat16), "x is a tensor of torch.bfloat16; expected torch.float32"),
        (np.zeros((2, 6, 1), np.float32), r"x is a ndarray; expected a tensor: torch\.as_tensor\("),
        ([[[0.0]]], "x is a list; expected a tensor"),
    ],
    ids=["float64", "int64", "bfloat16", "numpy", "list"],
)
def test_a_network_takes_tensors_of_its_own_dtype_alone(network: nn.Module, x: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        network(x)


def test_a_network_on_another_device_says_how_a_batch_gets_there(network: nn.Module) -> None:
    with pytest.raises(ValueError, match=r"x is on cpu; expected meta, where .*\.to\('meta'\)"):
        network.to("meta")(torch.zeros(2, 6, 1))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_network_moved_to_another_dtype_takes_that(network: nn.Module, dtype: torch.dtype) -> None:
    x, lengths = torch.randn(2, 6, 1), torch.tensor([6, 3])
    expected = network(x, lengths)
    output = network.to(dtype)(x.to(dtype), lengths)
    assert output.dtype == dtype
    torch.testing.assert_close(output.float(), expected, rtol=0, atol=0.05)
    with pytest.raises(TypeError, match=f"x is a tensor of torch.float32; expected {dtype}"):
        network(x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_under_autocast_a_network_takes_every_dtype_of_it(network: nn.Module, dtype: torch.dtype) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert network(torch.randn(2, 6, 1).to(dtype)).isfinite().all()
        with pytest.raises(TypeError, match="x is a tensor of torch.float64"):
            network(torch.randn(2, 6, 1).double())


@pytest.mark.parametrize("lengths", [torch.tensor([6.0, 2.9]), [6.0, 2.9], np.array([6.0, 2.9]), [True, True]], ids=str)
def test_a_network_does_not_round_lengths(network: nn.Module, lengths: Any) -> None:
    with pytest.raises(TypeError, match=r"lengths has dtype torch\.\w+; expected torch.int64"):
        network(torch.randn(2, 6, 1), lengths)


@pytest.mark.parametrize(
    "lengths", [[6, 2], np.array([6, 2], np.int32), torch.tensor([6, 2], dtype=torch.uint8)], ids=str
)
def test_a_network_takes_whole_lengths_in_any_form(network: nn.Module, lengths: Any) -> None:
    x = torch.randn(2, 6, 1)
    assert torch.equal(network(x, lengths), network(x, torch.tensor([6, 2])))
