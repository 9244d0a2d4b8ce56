"""What GRUs with one output per step or per signal compute: their weights by name, and their forward functions."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import dropout as drop

from neurallib.architectures import Shape
from neurallib.checks import integer, per_layer
from neurallib.models.network import learns, linear_shapes
from neurallib.recurrence.layer import Direction, gru_layer, linear
from neurallib.sequences import at_last_step, valid_mask, zero_padding
from neurallib.state import Hparams, Weights
from neurallib.tasks import n_outputs


def gru_weight_shapes(hparams: Hparams) -> dict[str, Shape]:
    """The weights of `gru_seq2seq` and `gru_seq2one`, by name."""
    shapes: dict[str, Shape] = {}
    n_in = hparams["n_features"]
    directions = per_layer("bidir_per_layer", hparams["bidir_per_layer"], hparams["n_layers"])
    units = per_layer("hid_dim", hparams["hid_dim"], hparams["n_layers"])
    for i, (hidden, both) in enumerate(zip(units, directions, strict=True)):
        shapes |= direction_shapes(f"gru_layers.{i}.", "_l0", n_in, hidden, both)
        n_in = hidden * (1 + both)
    if hparams["fc_out_bool"]:
        shapes |= linear_shapes("fc_out", n_in, n_outputs(hparams))
    return shapes


def gru_seq2seq_forward(
    weights: Weights,
    hparams: Hparams,
    x: Tensor,
    lengths: Tensor,
    target: Tensor | None,
    training: bool,
    features: bool = False,
) -> Tensor:
    """Logits [B, T, K] of a padded batch [B, T, C], or the features [B, T, H] they are made of; `target` is not looked
    at."""
    x, _ = _gru_stack(weights, hparams, x, lengths, training)
    x = _drop_after(weights, hparams, hparams["n_layers"] - 1, x, training)
    return zero_padding(x if features else output_layer(weights, x), lengths)


def gru_seq2one_forward(
    weights: Weights,
    hparams: Hparams,
    x: Tensor,
    lengths: Tensor,
    target: Tensor | None,
    training: bool,
    features: bool = False,
) -> Tensor:
    """Logits [B, K] of a padded batch [B, T, C], or the features [B, H] they are made of; `target` is not looked at."""
    x, h_n = _gru_stack(weights, hparams, x, lengths, training)
    match hparams["pooling"]:
        case "final":
            pooled = torch.cat(list(h_n), dim=-1)
        case "last":
            pooled = at_last_step(x, lengths)
        case "mean":
            pooled = x.sum(dim=1) / lengths[:, None]
        case _:
            pooled = x.masked_fill(~valid_mask(lengths, x.shape[1])[:, :, None], -torch.inf).amax(dim=1)
    pooled = _drop_after(weights, hparams, hparams["n_layers"] - 1, pooled, training)
    return pooled if features else output_layer(weights, pooled)


def gru_going_on(weights: Weights, x: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Logits [B, T, K] of the next piece [B, T, C] of signals, for a stack in one direction that has come to `states`,
    [1, B, H] of each layer; and the states it comes to."""
    lengths = torch.full((len(x),), x.shape[1])
    after = []
    for i, state in enumerate(states):
        x, last = gru_layer(x, lengths, directions(weights, f"gru_layers.{i}.", "_l0", False), state)
        after.append(last)
    return output_layer(weights, x), after


def read_off_weights(hparams: Hparams, weights: Weights) -> Hparams:
    """`hparams` with the directions, and all sizes where there are none, read off the names and sizes of `weights`."""
    if "n_features" not in hparams and "gru_layers.0.weight_ih_l0" in weights:
        hidden = [len(weight) // 3 for name, weight in weights.items() if name.endswith(".bias_hh_l0")]
        n_features = weights["gru_layers.0.weight_ih_l0"].shape[1]
        sizes = {"n_features": n_features, "hid_dim": hidden, "n_layers": len(hidden)}
        sizes["fc_out_bool"] = "fc_out.bias" in weights
        last = sum(hidden[-1:]) * (1 + (f"gru_layers.{len(hidden) - 1}.bias_hh_l0_reverse" in weights))
        k = len(weights["fc_out.bias"]) if sizes["fc_out_bool"] else last
        if hparams.get("task") != "regression":
            sizes["num_classes"] = k
        elif k != n_features:
            sizes["n_outputs"] = k
        hparams = sizes | hparams
    if hparams.get("bidir_per_layer") is not None:
        return hparams
    n_layers = integer("n_layers", hparams.get("n_layers"))
    return hparams | {"bidir_per_layer": [f"gru_layers.{i}.weight_ih_l0_reverse" in weights for i in range(n_layers)]}


@functools.lru_cache(typed=True)
def direction_shapes(prefix: str, suffix: str, n_in: int, hidden: int, both: bool) -> Mapping[str, Shape]:
    """The weights of one GRU layer, under torch's names and drawn as torch draws them."""
    sizes = {
        "weight_ih": (3 * hidden, n_in),
        "weight_hh": (3 * hidden, hidden),
        "bias_ih": (3 * hidden,),
        "bias_hh": (3 * hidden,),
    }
    return {
        f"{prefix}{name}{suffix}{reverse}": Shape(size, hidden**-0.5)
        for reverse in ("", "_reverse")[: 1 + both]
        for name, size in sizes.items()
    }


def directions(weights: Weights, prefix: str, suffix: str, both: bool) -> list[Direction]:
    """One GRU layer's weights, found by name."""
    return [
        Direction(*(weights[f"{prefix}{name}{suffix}{reverse}"] for name in Direction._fields))
        for reverse in ("", "_reverse")[: 1 + both]
    ]


def output_layer(weights: Weights, x: Tensor) -> Tensor:
    """`x` through `fc_out`, where the model has one."""
    return linear(x, weights["fc_out.weight"], weights["fc_out.bias"]) if "fc_out.weight" in weights else x


def _gru_stack(weights: Weights, hparams: Hparams, x: Tensor, lengths: Tensor, training: bool) -> tuple[Tensor, Tensor]:
    """The last layer's output and last states; dropout stands between layers, not after the last."""
    for i, both in enumerate(hparams["bidir_per_layer"]):
        x = _drop_after(weights, hparams, i - 1, x, training) if i else x
        x, h_n = gru_layer(x, lengths, directions(weights, f"gru_layers.{i}.", "_l0", both))
    return x, h_n


def _drop_after(weights: Weights, hparams: Hparams, i: int, x: Tensor, training: bool) -> Tensor:
    """The dropout of layer `i`, on its output."""
    rate = per_layer("dropout", hparams["dropout"], hparams["n_layers"])[i]
    return drop(x, rate, training and learns(weights, f"gru_layers.{i}"))
