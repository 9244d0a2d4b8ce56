"""What Transformers compute: their hyperparameters, their weights by name, and their forward functions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from neurallib.architectures import Shape
from neurallib.checks import number, text
from neurallib.models.attention import decode, encode, generate, key_mask, positions, target_projection
from neurallib.models.network import is_drawing, linear_shapes, size, taught
from neurallib.sequences import zero_padding
from neurallib.state import Hparams, Weights
from neurallib.tasks import check_outputs, check_task, n_outputs
from neurallib.warn import warn

SIZES = ("n_features", "d_model", "nhead", "num_encoder_layers", "num_decoder_layers", "dim_feedforward")


def transformer_seq2one_weight_shapes(hparams: Hparams) -> dict[str, Shape]:
    """The weights of `transformer_seq2one`, by name."""
    return _weight_shapes(hparams, {"encoder": ["self_attn"]})


def transformer_seq2seq_weight_shapes(hparams: Hparams) -> dict[str, Shape]:
    """The weights of `transformer_seq2seq`, by name."""
    return _weight_shapes(hparams, {"encoder": ["self_attn"], "decoder": ["self_attn", "multihead_attn"]})


def transformer_encoder_decoder_weight_shapes(hparams: Hparams) -> dict[str, Shape]:
    """The weights of `transformer_encoder_decoder`, by name."""
    shapes, k = transformer_seq2seq_weight_shapes(hparams), n_outputs(hparams)
    return shapes | (linear_shapes("target_projection", k, hparams["d_model"]) if k != hparams["n_features"] else {})


def transformer_seq2seq_forward(
    weights: Weights,
    hparams: Hparams,
    x: Tensor,
    lengths: Tensor,
    target: Tensor | None,
    training: bool,
    features: bool = False,
) -> Tensor:
    """Logits [B, T, K] of a padded batch [B, T, C], or the features [B, T, D] they are made of; `target` is not looked
    at."""
    mask, nhead, dropout = key_mask(lengths, x.shape[1]), hparams["nhead"], _rate(hparams, training)
    x = _embed(weights, x)
    memory = encode(weights, x, mask, nhead, dropout)
    return _output(weights, decode(weights, x, memory, mask, nhead, dropout), lengths, features)


def transformer_seq2one_forward(
    weights: Weights,
    hparams: Hparams,
    x: Tensor,
    lengths: Tensor,
    target: Tensor | None,
    training: bool,
    features: bool = False,
) -> Tensor:
    """Logits [B, K] of a padded batch [B, T, C], or the features [B, D] they are made of; `target` is not looked at."""
    mask = key_mask(lengths, x.shape[1])
    x = encode(weights, _embed(weights, x), mask, hparams["nhead"], _rate(hparams, training))
    mean = zero_padding(x, lengths).sum(dim=1) / lengths[:, None]
    return mean if features else linear(mean, weights["fc_out.weight"], weights["fc_out.bias"])


def transformer_encoder_decoder_forward(
    weights: Weights,
    hparams: Hparams,
    x: Tensor,
    lengths: Tensor,
    target: Tensor | None,
    training: bool,
    features: bool = False,
) -> Tensor:
    """Outputs [B, T, K]: taught by `target` [B, T, K] where it is given, generated (without gradient) where not; or the
    features [B, T, D] that they are made of."""
    mask, nhead, dropout = key_mask(lengths, x.shape[1]), hparams["nhead"], _rate(hparams, training)
    if target is None:
        with torch.no_grad():
            memory = encode(weights, _embed(weights, x), mask, nhead, dropout)
            target = zero_padding(generate(weights, memory, mask, nhead, dropout), lengths)
        if not features:
            return target  # read as a target, they lead the decoder through the same features
    memory = encode(weights, _embed(weights, x), mask, nhead, dropout)
    y = _embed(weights, taught(x, target, n_outputs(hparams)), target_projection(weights))
    return _output(weights, decode(weights, y, memory, mask, nhead, dropout, causal=True), lengths, features)


def _embed(weights: Weights, x: Tensor, projection: str = "input_projection") -> Tensor:
    x = linear(x, weights[f"{projection}.weight"], weights[f"{projection}.bias"])
    return x + positions(x.shape[1], x)


def _output(weights: Weights, x: Tensor, lengths: Tensor, features: bool) -> Tensor:
    return zero_padding(x if features else linear(x, weights["fc_out.weight"], weights["fc_out.bias"]), lengths)


def _rate(hparams: Hparams, training: bool) -> float:
    return float(hparams["dropout"]) if training else 0.0


def _weight_shapes(hparams: Hparams, stacks: dict[str, list[str]]) -> dict[str, Shape]:
    """Under torch's names and drawn as torch draws them; `stacks` names the attentions in a layer of each stack."""
    d, hidden = hparams["d_model"], hparams["dim_feedforward"]
    shapes = linear_shapes("input_projection", hparams["n_features"], d)
    for stack, attentions in stacks.items():
        for i in range(hparams[f"num_{stack}_layers"]):
            layer = f"{stack}.layers.{i}."
            for name in attentions:
                shapes[f"{layer}{name}.in_proj_weight"] = Shape((3 * d, d), (6 / (4 * d)) ** 0.5)
                shapes[f"{layer}{name}.in_proj_bias"] = Shape((3 * d,), 0)
                shapes[f"{layer}{name}.out_proj.weight"] = Shape((d, d), d**-0.5)
                shapes[f"{layer}{name}.out_proj.bias"] = Shape((d,), 0)
            shapes |= linear_shapes(f"{layer}linear1", d, hidden) | linear_shapes(f"{layer}linear2", hidden, d)
            for k in range(1, len(attentions) + 2):
                shapes[f"{layer}norm{k}.weight"] = Shape((d,), 0, 1)
                shapes[f"{layer}norm{k}.bias"] = Shape((d,), 0)
    return shapes | linear_shapes("fc_out", d, n_outputs(hparams))


def check_transformer(given: dict[str, Any]) -> Hparams:
    """The hyperparameters that a factory was given, in the order of their table, each checked."""
    hparams: Hparams = {"model_name": text("model_name", given["model_name"])}
    hparams |= {name: size(name, given[name]) for name in SIZES if name in given}
    if hparams["d_model"] % hparams["nhead"]:
        raise ValueError(f"nhead={hparams['nhead']} does not divide d_model={hparams['d_model']}.")
    _warn_of_small_heads(hparams["d_model"], hparams["nhead"])
    hparams["dropout"] = number("dropout", given["dropout"], 0, 1, high_open=True)
    hparams["learning_rate"] = number("learning_rate", given["learning_rate"], 0, low_open=True)
    if "task" in given:
        hparams |= check_task(given["task"], given["num_classes"], given["multi_label"])
    return hparams | check_outputs(given["n_outputs"], hparams)


def _warn_of_small_heads(d_model: int, nhead: int) -> None:
    if d_model < 16 * nhead and is_drawing():
        fewer = [f"nhead={n}" for n in range(d_model // 16, 0, -1) if d_model % n == 0][:1]
        choose = " or ".join([*fewer, f"d_model={16 * nhead}"])
        made = f"d_model={d_model} in nhead={nhead} makes heads of size {d_model // nhead}"
        warn(f"{made}, slow below 16: choose {choose}.")
