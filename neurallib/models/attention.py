"""Transformer stacks over padded batches: positions, encoder, decoder and step-by-step generation.

Layers are those of torch's nn.TransformerEncoderLayer and nn.TransformerDecoderLayer (ReLU, normalized after each
part), save that attention weights are not dropped. No [T, T] matrix is ever made: on a CPU torch's fused attention
takes a mask of keys, but falls back to one that makes the matrix as soon as it has to drop weights. Second derivatives
alone, which fused attention does not have, are those of the plain formula with its matrix.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import dropout as drop
from torch.nn.functional import layer_norm, linear, scaled_dot_product_attention

from neurallib.models.network import learns
from neurallib.recurrence import torch_state
from neurallib.sequences import valid_mask
from neurallib.state import Weights


def positions(n_steps: int, like: Tensor) -> Tensor:
    """Sinusoidal position encoding [T, D] of any length, of the width, dtype and device of `like` [..., D].

    Pairs of sine and cosine with wavelengths from 2 pi to 10000 * 2 pi steps (Vaswani et al., Attention is all you
    need, NIPS 2017, section 3.5). An odd width ends on a sine.
    """
    # float64: in float32 the angle of step 100,000 would be off by up to 0.004 rad
    step = torch.arange(n_steps, dtype=torch.float64, device=like.device)
    channel = torch.arange(like.shape[-1], device=like.device)
    rate = 10000.0 ** (-2 * (channel // 2).double() / like.shape[-1])
    return torch.sin(step[:, None] * rate + channel % 2 * (torch.pi / 2)).to(like.dtype)


def key_mask(lengths: Tensor, n_steps: int) -> Tensor | None:
    """Which steps may be attended to, [B, 1, 1, T] bool; None where lengths on the CPU are all T.

    Lengths on another device are not looked at: the host would have to wait for it.
    """
    if lengths.device.type == "cpu" and not torch.compiler.is_compiling() and int(lengths.min()) == n_steps:
        return None
    return valid_mask(lengths, n_steps)[:, None, None, :]


def encode(weights: Weights, x: Tensor, mask: Tensor | None, nhead: int, dropout: float) -> Tensor:
    """`x` [B, T, D] through the encoder's layers; `mask` as `key_mask` gives it, `dropout` 0 outside training. What
    stands beyond a length means nothing."""
    for layer in _layers(weights, "encoder"):
        rate = dropout if learns(layer, "*") else 0.0
        x = _add_norm(layer, 1, x, _self_attention(layer, x, mask, nhead), rate)
        x = _add_norm(layer, 2, x, _feed_forward(layer, x, rate), rate)
    return x


def decode(
    weights: Weights,
    y: Tensor,
    memory: Tensor,
    mask: Tensor | None,
    nhead: int,
    dropout: float,
    causal: bool = False,
) -> Tensor:
    """`y` [B, T, D] through the decoder's layers, all steps at once, with the encoder's output `memory` [B, T, D];
    `causal`: a step of `y` sees only itself and the past. All else is as for `encode`."""
    for layer in _layers(weights, "decoder"):
        rate = dropout if learns(layer, "*") else 0.0
        y = _add_norm(layer, 1, y, _self_attention(layer, y, mask, nhead, causal), rate)
        (query,) = _heads(_linear(layer, "query", y), 1, nhead)
        key, value = _heads(_linear(layer, "memory", memory), 2, nhead)
        attended = _attend(query, key, value, mask)
        y = _add_norm(layer, 2, y, _linear(layer, "multihead_attn.out_proj", _merge(attended)), rate)
        y = _add_norm(layer, 3, y, _feed_forward(layer, y, rate), rate)
    return y


def generate(weights: Weights, memory: Tensor, mask: Tensor | None, nhead: int, dropout: float) -> Tensor:
    """Let the causal decoder generate [B, T, C] of the encoder's output [B, T, D]: each output is the next step's
    input, the first input is zeros. What stands beyond a length means nothing.

    Gives what `decode` gives when it reads these outputs. Keys and values of the past are kept, so that the work of a
    step grows with T alone. To be called under `torch.no_grad()`, because it writes them in place.
    """
    n_batch, n_steps, _ = memory.shape
    layers = []
    for layer in _layers(weights, "decoder"):
        # time last: for one query at a time that is up to 2.8 times as fast as the fused attention on a CPU
        keys, values = _heads(_linear(layer, "memory", memory), 2, nhead)
        keys, values = (part.flatten(0, 1).transpose(1, 2).contiguous() for part in (keys, values))  # [B*H, D, T]
        layers.append((layer, torch.empty_like(keys), torch.empty_like(values), keys, values))
    no_bias = bias = memory.new_zeros(1, 1, 1)
    if mask is not None:
        bias = no_bias.where(mask, -torch.inf).expand(-1, nhead, -1, -1).flatten(0, 1)
    heads = (3, n_batch * nhead, -1)
    projection = target_projection(weights)
    start = positions(n_steps, memory) + weights[f"{projection}.bias"]
    value = memory.new_zeros(n_batch, weights["fc_out.weight"].shape[0])
    outputs = []
    for t in range(n_steps):
        y = start[t] + linear(value, weights[f"{projection}.weight"])
        for layer, past_keys, past_values, keys, values in layers:
            projected = _linear(layer, "self_attn.in_proj", y).view(n_batch, 3, -1).transpose(0, 1)
            query, past_keys[:, :, t], past_values[:, :, t] = projected.reshape(heads)
            attended = _attend_once(query, past_keys[:, :, : t + 1], past_values[:, :, : t + 1], no_bias)
            y = _add_norm(layer, 1, y, _linear(layer, "self_attn.out_proj", attended.view_as(y)), dropout)
            attended = _attend_once(_linear(layer, "query", y).view_as(query), keys, values, bias)
            y = _add_norm(layer, 2, y, _linear(layer, "multihead_attn.out_proj", attended.view_as(y)), dropout)
            y = _add_norm(layer, 3, y, _feed_forward(layer, y, dropout), dropout)
        value = _linear(weights, "fc_out", y)
        outputs.append(value)
    return torch.stack(outputs, dim=1)


def target_projection(weights: Weights) -> str:
    """Which layer an encoder-decoder's decoder reads outputs through: the signal's own where they are as many."""
    return "target_projection" if "target_projection.weight" in weights else "input_projection"


def _layers(weights: Weights, stack: str) -> list[dict[str, Tensor]]:
    """The weights of each layer of a stack as linear layers, by their names within the layer.

    Of a cross-attention's input projection the first third makes queries, the others keys and values of the memory.
    """
    layers: dict[int, dict[str, Tensor]] = {}
    for name, weight in weights.items():
        if name.startswith(f"{stack}.layers."):
            _, _, i, rest = name.replace("in_proj_", "in_proj.").split(".", 3)
            layer = layers.setdefault(int(i), {})
            if rest.startswith("multihead_attn.in_proj."):
                kind, third = rest.rpartition(".")[2], len(weight) // 3
                layer[f"query.{kind}"], layer[f"memory.{kind}"] = weight[:third], weight[third:]
            else:
                layer[rest] = weight
    return [layers[i] for i in sorted(layers)]


def _self_attention(layer: Weights, x: Tensor, mask: Tensor | None, nhead: int, causal: bool = False) -> Tensor:
    query, key, value = _heads(_linear(layer, "self_attn.in_proj", x), 3, nhead)
    # padding is on the right, so the past of a valid step is valid: causal attention needs no second mask
    mask = None if causal else mask
    attended = _attend(query, key, value, mask, causal)
    return _linear(layer, "self_attn.out_proj", _merge(attended))


def _attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool = False) -> Tensor:
    """Fused attention [B, H, T, D], which can be differentiated twice."""
    tensors = (query, key, value)
    learning = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    watched = torch.compiler.is_compiling() or torch_state.is_tracing(tensors) or torch_state.is_transformed(tensors)
    if not learning or watched or torch_state.is_forward_mode(tensors):
        return scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=causal)
    attended: Tensor = _Attention.apply(query, key, value, mask, causal)  # type: ignore[no-untyped-call]
    return attended


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool) -> Any:
        ctx.causal = causal
        with torch.enable_grad():  # torch's own backward, to be called by ours
            inner = q, k, v = [tensor.detach().requires_grad_() for tensor in (query, key, value)]
            attended = scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
        ctx.save_for_backward(query, key, value, mask, attended, *inner)
        return attended.detach()

    @staticmethod
    def backward(ctx: Any, *d_outputs: Tensor) -> Any:
        query, key, value, mask, attended, *inner = ctx.saved_tensors
        if not torch.is_grad_enabled():
            return *torch.autograd.grad(attended, inner, d_outputs, retain_graph=True), None, None
        # create_graph: these gradients will be differentiated again
        scores = query @ key.mT * query.shape[-1] ** -0.5
        seen = torch.ones_like(scores, dtype=torch.bool).tril() if ctx.causal else mask
        scores = scores if seen is None else scores.masked_fill(~seen, -torch.inf)
        plain = (scores.softmax(dim=-1) @ value).to(attended.dtype)
        tensors = [tensor for tensor in (query, key, value) if tensor.requires_grad]
        found = iter(torch.autograd.grad(plain, tensors, d_outputs, create_graph=True))
        return *(next(found) if tensor.requires_grad else None for tensor in (query, key, value)), None, None


def _attend_once(query: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
    """Attention [B*H, 1, D] of one query [B*H, D] to keys and values, both [B*H, D, T]."""
    scores = torch.baddbmm(bias, query[:, None], keys, alpha=query.shape[-1] ** -0.5)
    return torch.bmm(scores.softmax(dim=-1), values.transpose(1, 2))


def _feed_forward(layer: Weights, x: Tensor, dropout: float) -> Tensor:
    return _linear(layer, "linear2", drop(_linear(layer, "linear1", x).relu(), dropout))


def _add_norm(layer: Weights, k: int, x: Tensor, update: Tensor, dropout: float) -> Tensor:
    return layer_norm(x + drop(update, dropout), x.shape[-1:], layer[f"norm{k}.weight"], layer[f"norm{k}.bias"])


def _linear(weights: Weights, name: str, x: Tensor) -> Tensor:
    return linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])


def _heads(x: Tensor, n: int, nhead: int) -> tuple[Tensor, ...]:
    """`n` tensors [B, H, T, D] of one [B, T, n*H*D]."""
    return x.reshape(*x.shape[:2], n, nhead, -1).permute(2, 0, 3, 1, 4).unbind()


def _merge(x: Tensor) -> Tensor:
    """[B, T, H*D] of [B, H, T, D]."""
    return x.transpose(1, 2).flatten(2)
