"""Fused attention that can be differentiated twice."""

import pytest
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch_transformer import LENGTHS, SIZES, lively, make_state

from neurallib.models.attention import _attend, key_mask
from neurallib.models.registry import build_network

each_architecture = pytest.mark.parametrize("architecture", SIZES)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("lengths", [[7, 3], [7, 7]], ids=["mixed", "equal"])
def test_attention_has_second_derivatives(lengths: list[int], causal: bool) -> None:
    tensors = [torch.randn(2, 2, 7, 4, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    mask = None if causal else key_mask(torch.tensor(lengths), 7)

    def attend(*heads: Tensor) -> Tensor:
        return _attend(*heads, mask, causal)

    assert torch.autograd.gradgradcheck(attend, tensors)
    once, again = (torch.autograd.grad(attend(*tensors).sum(), tensors, create_graph=twice) for twice in (False, True))
    torch.testing.assert_close(once, again)


def test_attention_that_one_tensor_learns_through_gives_torchs_gradient() -> None:
    query, key, value = torch.randn(3, 2, 2, 7, 4)
    mask = key_mask(torch.tensor([7, 3]), 7)
    found = []
    for attend in (_attend, torch.nn.functional.scaled_dot_product_attention):
        learning = value.clone().requires_grad_()
        loss = attend(query, key, learning, mask).square().sum()
        found += [torch.autograd.grad(loss, learning, retain_graph=again)[0] for again in (True, False)]
    assert all(torch.equal(found[0], other) for other in found[1:])


@each_architecture
def test_a_gradient_penalty_is_learned_from_as_through_plain_attention(
    architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = build_network(lively(make_state(architecture, n_features=1)))
    x, target = torch.randn(2, 4, 11, 1)
    x.requires_grad_()

    def penalty() -> tuple[Tensor, ...]:
        (slope,) = torch.autograd.grad(network(x, LENGTHS, target).sum(), x, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), list(network.parameters()), allow_unused=True)

    def plain(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool = False) -> Tensor:
        with sdpa_kernel(SDPBackend.MATH):
            return torch.nn.functional.scaled_dot_product_attention(query, key, value, mask, is_causal=causal)

    ours = penalty()
    monkeypatch.setattr("neurallib.models.attention._attend", plain)
    torch.testing.assert_close(ours, penalty(), rtol=1e-4, atol=1e-4)
