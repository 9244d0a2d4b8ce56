"""The recurrence's values and gradients against torch's own nn.GRU on packed sequences."""

import pytest
import torch
from recurrence_cases import LENGTHS, assert_near, directions_of, gradients, packed
from torch import Tensor, nn

from neurallib.recurrence import layer
from neurallib.recurrence.layer import Direction, gru_generate, gru_layer, use_path


@pytest.mark.parametrize("path", ["numba", "torch"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(
    ("n_inputs", "n_units", "lengths"),
    [
        (1, 1, [4]),
        (1, 32, [19]),
        (3, 5, LENGTHS),
        (2, 16, LENGTHS[:2]),
        (20, 33, LENGTHS * 5),
        (64, 64, [40, 600, 599] + [1] * 6),
        (5, 299, [12] * 11),
    ],
)
def test_layer_equals_packed_gru(
    path: str, bidirectional: bool, n_inputs: int, n_units: int, lengths: list[int]
) -> None:
    gru = nn.GRU(n_inputs, n_units, bidirectional=bidirectional, batch_first=True)
    x = torch.randn(len(lengths), max(lengths) + 2, n_inputs, requires_grad=True)
    h0 = torch.randn(1 + bidirectional, len(lengths), n_units, requires_grad=True)
    inputs = [x, h0, *gru.parameters()]
    theirs = packed(gru, x, torch.tensor(lengths), h0)
    with use_path(path):
        ours = gru_layer(x, torch.tensor(lengths), directions_of(gru), h0)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-5)
    for mine, other in zip(gradients(ours, inputs), gradients(theirs, inputs), strict=True):
        assert_near(mine, other)
    with use_path(path), torch.no_grad():
        inference = gru_layer(x, torch.tensor(lengths), directions_of(gru), h0)
    for mine, other in zip(inference, ours, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-6)


def test_gradients_of_a_long_signal_stay_accurate() -> None:
    gru = nn.GRU(2, 16, bidirectional=True, batch_first=True)
    x, h0 = torch.randn(1, 5400, 2, requires_grad=True), torch.zeros(2, 1, 16)
    inputs = [x, *gru.parameters()]
    exact = gru.double()(x.double(), h0.double())
    expected = gradients(exact, inputs)
    gru.float()
    with use_path("numba"):
        ours = gru_layer(x, torch.tensor([5400]), directions_of(gru), h0)
    torch.testing.assert_close(ours[0], exact[0].float(), rtol=0, atol=1e-5)
    for mine, other in zip(gradients(ours, [x, *gru.parameters()]), expected, strict=True):
        assert_near(mine, other.float())


@pytest.mark.parametrize(("gate", "bias"), [(0, -12.0), (0, 8.0), (1, -12.0), (1, -40.0), (1, 6.0)])
def test_gradients_of_a_gate_that_is_nearly_closed_are_as_accurate_as_torchs(gate: int, bias: float) -> None:
    pytest.importorskip("numba")
    gru = nn.GRU(4, 32, batch_first=True)
    rows = slice(32 * gate, 32 * gate + 32)
    with torch.no_grad():
        gru.bias_ih_l0[rows] = bias
    x, out_weights = torch.randn(4, 50, 4), torch.randn(4, 50, 32)

    def gradient(path: str, dtype: torch.dtype) -> torch.Tensor:
        weights = [parameter.detach().to(dtype).requires_grad_() for parameter in gru.parameters()]
        with use_path(path):
            output = gru_layer(x.to(dtype), torch.full((4,), 50), [Direction(*weights)])[0]
        return torch.autograd.grad((output * out_weights.to(dtype)).sum(), weights[1])[0][rows].double()

    exact = gradient("torch", torch.float64)
    errors = [(gradient(path, torch.float32) - exact).norm() / exact.norm() for path in ("torch", "numba")]
    assert errors[1] < 3 * errors[0] + 1e-6


def test_float64_passes_gradcheck() -> None:
    gru = nn.GRU(2, 3, bidirectional=True, batch_first=True).double()
    x = torch.randn(3, 5, 2, dtype=torch.float64, requires_grad=True)
    h0 = torch.randn(2, 3, 3, dtype=torch.float64, requires_grad=True)
    weights = [weight.detach().requires_grad_() for weight in gru.parameters()]

    def run(x: Tensor, h0: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
        return gru_layer(x, torch.tensor([5, 1, 3]), [Direction(*weights[:4]), Direction(*weights[4:])], h0)

    assert torch.autograd.gradcheck(run, (x, h0, *weights))


def test_kernel_gradients_can_be_differentiated_again() -> None:
    gru = nn.GRU(2, 3, batch_first=True)
    x, lengths = torch.randn(2, 4, 2, requires_grad=True), torch.tensor([4, 2])
    penalties = []
    for path in ("numba", "torch"):
        with use_path(path):
            output, _ = gru_layer(x, lengths, directions_of(gru))
            (slope,) = torch.autograd.grad(output.square().sum(), x, create_graph=True)
            penalties.append(torch.autograd.grad(slope.square().sum(), [x, gru.weight_hh_l0]))
    for mine, other in zip(*penalties, strict=True):
        assert_near(mine, other)


def test_backward_twice_through_one_graph_gives_the_same() -> None:
    gru = nn.GRU(2, 3, batch_first=True)
    with use_path("numba"):
        output, _ = gru_layer(torch.randn(2, 4, 2), torch.tensor([4, 2]), directions_of(gru))
    loss = output.square().sum()
    first = torch.autograd.grad(loss, list(gru.parameters()), retain_graph=True)
    torch.testing.assert_close(torch.autograd.grad(loss, list(gru.parameters())), first, rtol=0, atol=0)


def test_only_the_gradients_asked_for_are_given() -> None:
    gru = nn.GRU(2, 3, batch_first=True, bidirectional=True)
    frozen = gru.weight_ih_l0, gru.weight_hh_l0_reverse
    for weight in frozen:
        weight.requires_grad_(False)
    x, learning = torch.randn(2, 4, 2), [weight for weight in gru.parameters() if weight.requires_grad]
    with use_path("numba"):
        gru_layer(x, torch.tensor([4, 2]), directions_of(gru))[0].sum().backward()
    assert all(tensor.grad is None for tensor in (x, *frozen))
    found = [weight.grad for weight in learning]
    gru.zero_grad()
    packed(gru, x, torch.tensor([4, 2]), torch.zeros(2, 2, 3))[0].sum().backward()
    for weight, gradient in zip(learning, found, strict=True):
        assert gradient is not None and weight.grad is not None
        assert_near(gradient, weight.grad)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_nan_and_infinity_come_out_as_they_do_in_torch(value: float) -> None:
    gru = nn.GRU(2, 13, batch_first=True)  # 13 units: the padded ones of a last vector must not spread what they get
    x = torch.randn(3, 6, 2)
    x[1, 2, 0] = value
    h0, lengths = torch.zeros(1, 3, 13, requires_grad=True), torch.tensor([6, 6, 6])
    theirs = packed(gru, x, lengths, h0)
    with use_path("numba"):
        ours = gru_layer(x, lengths, directions_of(gru), h0)
    torch.testing.assert_close(ours[0], theirs[0], rtol=0, atol=1e-5, equal_nan=True)
    inputs = [h0, gru.weight_hh_l0, gru.bias_hh_l0]
    for mine, other in zip(gradients(ours, inputs), gradients(theirs, inputs), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-5, equal_nan=True)


def test_values_in_the_padding_do_not_matter() -> None:
    gru = nn.GRU(2, 4, bidirectional=True, batch_first=True)
    x, lengths = torch.randn(5, 11, 2), torch.tensor(LENGTHS)
    spoilt = x.clone()
    for row, length in zip(spoilt, LENGTHS, strict=True):
        row[length:] = float("nan")
    with use_path("numba"):
        torch.testing.assert_close(
            gru_layer(spoilt, lengths, directions_of(gru)), gru_layer(x, lengths, directions_of(gru)), rtol=0, atol=0
        )


def test_non_contiguous_tensors_work() -> None:
    gru = nn.GRU(3, 4, bidirectional=True, batch_first=True)
    x, h0 = torch.randn(11, 3, 5).permute(2, 0, 1), torch.randn(5, 2, 4).transpose(0, 1).requires_grad_()
    with use_path("numba"):
        ours = gru_layer(x, torch.tensor(LENGTHS), directions_of(gru), h0)
    theirs = packed(gru, x, torch.tensor(LENGTHS), h0.contiguous())
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    found, expected = (
        torch.autograd.grad(output.transpose(0, 1).square().sum() + h_n.sum(), [h0, gru.weight_hh_l0])
        for output, h_n in (ours, theirs)
    )
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("path", ["numba", "torch"])
@pytest.mark.parametrize(
    ("n_layers", "n_features", "n_units", "linear"), [(1, 4, 4, ""), (3, 20, 9, "with a bias"), (2, 3, 20, "without")]
)
def test_generation_equals_stepping_gru(path: str, n_layers: int, n_features: int, n_units: int, linear: str) -> None:
    grus = [nn.GRU(n_units if i else n_features, n_units, batch_first=True) for i in range(n_layers)]
    fc_out = nn.Linear(n_units, n_features, bias=linear == "with a bias") if linear else None
    h0, n_steps = torch.randn(n_layers, len(LENGTHS), n_units), max(LENGTHS)
    states, value, steps = [h[None] for h in h0], torch.zeros(len(LENGTHS), 1, n_features), []
    for _ in range(n_steps):
        for i, gru in enumerate(grus):
            value, states[i] = gru(value, states[i])
        value = fc_out(value) if fc_out else value
        steps.append(value)
    expected = torch.cat(steps, dim=1)
    for row, length in zip(expected, LENGTHS, strict=True):
        row.data[length:] = 0
    layers = [directions_of(gru)[0] for gru in grus]
    weights = (fc_out.weight, fc_out.bias) if fc_out else (None, None)
    with use_path(path):
        output = gru_generate(layers, *weights, h0, torch.tensor(LENGTHS), n_steps)
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-5)
    assert not output.requires_grad


@pytest.mark.parametrize(("shape", "n_out"), [((1, 5401, 128), 1), ((3, 7, 5), 20), ((4, 3), 2), ((1, 1, 1), 1)])
def test_linear_layer_without_gradients_equals_torchs(shape: tuple[int, ...], n_out: int) -> None:
    x, weight, bias = torch.randn(shape), torch.randn(n_out, shape[-1]), torch.randn(n_out)
    torch.set_num_threads(2)
    expected = torch.nn.functional.linear(x, weight, bias)
    with torch.no_grad(), use_path("numba"):
        torch.testing.assert_close(layer.linear(x, weight, bias), expected, rtol=1e-5, atol=1e-5)
    with torch.no_grad(), torch.autocast("cpu"):
        assert layer.linear(x, weight, bias).dtype == torch.bfloat16
    weight.requires_grad_()
    assert layer.linear(x, weight, bias).requires_grad
