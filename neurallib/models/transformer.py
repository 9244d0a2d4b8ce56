"""Transformers: their factories, weights and forward functions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear, pad

from neurallib.checks import integer, number, text
from neurallib.models.attention import decode, encode, generate, key_mask, positions
from neurallib.models.network import Shape, draw_weights, linear_shapes
from neurallib.sequences import zero_padding
from neurallib.state import Hparams, State, Weights, new_state
from neurallib.tasks import check_task, n_outputs

SIZES = ("n_features", "d_model", "nhead", "num_encoder_layers", "num_decoder_layers", "dim_feedforward")


def transformer_seq2seq(
    *,
    n_features: int,
    d_model: int,
    nhead: int,
    num_encoder_layers: int = 1,
    num_decoder_layers: int = 1,
    dim_feedforward: int,
    dropout: float = 0.0,
    learning_rate: float = 1e-3,
    task: str = "classification",
    num_classes: int | None = 1,
    multi_label: bool = False,
    model_name: str = "Transformerseq2seq",
    seed: int = 42,
) -> State:
    """Transformer that maps a signal [T, n_features] to one output per time step, [T, K], all steps at once.

    The encoder reads the projected signal; the decoder, whose queries are the same projected signal, attends to
    itself (all steps, not only the past) and to what the encoder made.

    Parameters
    ----------
    n_features : int
        C, the channels of a signal.
    d_model : int
        Width of every layer; each signal step is projected to it and its position added.
    nhead : int
        Attention heads; divides d_model.
    num_encoder_layers, num_decoder_layers : int
        Layers of each.
    dim_feedforward : int
        Hidden units between the two linear layers that end every layer.
    dropout : float
        Dropout after every attention, and within and after every feed-forward part, in [0, 1). Attention weights
        are not dropped: torch's fused attention on a CPU cannot, and without it memory grows with T squared.
    learning_rate : float
        Adam's first learning rate.
    task : str
        "classification" or "regression" (K = n_features).
    num_classes : int
        K for classification; 1 is binary.
    multi_label : bool
        Whether classes may hold together.
    model_name : str
        Names the model's results directory.
    seed : int
        Where the weights are drawn from; the global random state stays as it is.

    Returns
    -------
    State
        An untrained state.

    Raises
    ------
    TypeError, ValueError
        If a hyperparameter is out of its range or does not fit another.

    References
    ----------
    Vaswani et al., Attention is all you need, NIPS 2017: the layers, normalized after each part, and the sinusoidal
    positions. Weights have the names of torch's nn.TransformerEncoder and nn.TransformerDecoder.

    Examples
    --------
    >>> state = transformer_seq2seq(n_features=1, d_model=32, nhead=4, dim_feedforward=64)
    >>> state["weights"]["encoder.layers.0.linear1.weight"].shape
    torch.Size([64, 32])
    """
    hparams = _check_transformer(dict(locals()))
    return new_state("Transformerseq2seq", hparams, draw_weights(transformer_seq2seq_weight_shapes(hparams), seed))


def transformer_seq2one(
    *,
    n_features: int,
    d_model: int,
    nhead: int,
    num_encoder_layers: int = 1,
    dim_feedforward: int,
    dropout: float = 0.0,
    learning_rate: float = 1e-3,
    num_classes: int | None = 1,
    task: str = "classification",
    multi_label: bool = False,
    model_name: str = "Transformerseq2one",
    seed: int = 42,
) -> State:
    """Transformer that maps a signal [T, n_features] to one output, [K].

    The encoder reads the projected signal with its positions; the mean of its outputs over the valid steps makes the
    model's output. Parameters, errors and reference are those of `transformer_seq2seq`.

    Returns
    -------
    State
        An untrained state.
    """
    hparams = _check_transformer(dict(locals()))
    return new_state("Transformerseq2one", hparams, draw_weights(transformer_seq2one_weight_shapes(hparams), seed))


def transformer_encoder_decoder(
    *,
    n_features: int,
    d_model: int,
    nhead: int,
    num_encoder_layers: int = 1,
    num_decoder_layers: int = 1,
    dim_feedforward: int,
    dropout: float = 0.0,
    learning_rate: float = 1e-3,
    model_name: str = "TransformerED",
    seed: int = 42,
) -> State:
    """Transformer encoder whose outputs a causal decoder reads, to make the output signal [T, n_features] in order.

    It learns with teacher forcing (the decoder reads the target shifted right by one step, zeros first, through the
    signal's own projection) and predicts by reading its own outputs, from the encoded signal alone. Parameters,
    errors and reference are those of `transformer_seq2seq`.

    Returns
    -------
    State
        An untrained state; its task is regression.
    """
    hparams = _check_transformer(dict(locals()))
    shapes = transformer_encoder_decoder_weight_shapes(hparams)
    return new_state("TransformerED", hparams, draw_weights(shapes, seed))


def transformer_seq2one_weight_shapes(hparams: Hparams) -> dict[str, Shape]:
    """The weights of `transformer_seq2one`, by name."""
    return _weight_shapes(hparams, {"encoder": ["self_attn"]})


def transformer_seq2seq_weight_shapes(hparams: Hparams) -> dict[str, Shape]:
    """The weights of `transformer_seq2seq`, by name."""
    return _weight_shapes(hparams, {"encoder": ["self_attn"], "decoder": ["self_attn", "multihead_attn"]})


transformer_encoder_decoder_weight_shapes = transformer_seq2seq_weight_shapes


def transformer_seq2seq_forward(
    weights: Weights, hparams: Hparams, x: Tensor, lengths: Tensor, target: Tensor | None, training: bool
) -> Tensor:
    """Logits [B, T, K] of a padded batch [B, T, C]; `target` is not looked at."""
    mask, nhead, dropout = key_mask(lengths, x.shape[1]), hparams["nhead"], _rate(hparams, training)
    x = _embed(weights, x)
    memory = encode(weights, x, mask, nhead, dropout)
    return _output(weights, decode(weights, x, memory, mask, nhead, dropout), lengths)


def transformer_seq2one_forward(
    weights: Weights, hparams: Hparams, x: Tensor, lengths: Tensor, target: Tensor | None, training: bool
) -> Tensor:
    """Logits [B, K] of a padded batch [B, T, C]; `target` is not looked at."""
    mask = key_mask(lengths, x.shape[1])
    x = encode(weights, _embed(weights, x), mask, hparams["nhead"], _rate(hparams, training))
    mean = zero_padding(x, lengths).sum(dim=1) / lengths[:, None]
    return linear(mean, weights["fc_out.weight"], weights["fc_out.bias"])


def transformer_encoder_decoder_forward(
    weights: Weights, hparams: Hparams, x: Tensor, lengths: Tensor, target: Tensor | None, training: bool
) -> Tensor:
    """Outputs [B, T, C]: taught by `target` [B, T, C] where it is given, generated (without gradient) where not."""
    mask, nhead, dropout = key_mask(lengths, x.shape[1]), hparams["nhead"], _rate(hparams, training)
    if target is None:
        with torch.no_grad():
            memory = encode(weights, _embed(weights, x), mask, nhead, dropout)
            return zero_padding(generate(weights, memory, mask, nhead, dropout), lengths)
    memory = encode(weights, _embed(weights, x), mask, nhead, dropout)
    y = _embed(weights, pad(target, (0, 0, 1, -1)))
    return _output(weights, decode(weights, y, memory, mask, nhead, dropout, causal=True), lengths)


def _embed(weights: Weights, x: Tensor) -> Tensor:
    x = linear(x, weights["input_projection.weight"], weights["input_projection.bias"])
    return x + positions(x.shape[1], x)


def _output(weights: Weights, x: Tensor, lengths: Tensor) -> Tensor:
    return zero_padding(linear(x, weights["fc_out.weight"], weights["fc_out.bias"]), lengths)


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


def _check_transformer(given: dict[str, Any]) -> Hparams:
    """The hyperparameters that a factory was given, in the order of their table, each checked."""
    hparams: Hparams = {"model_name": text("model_name", given["model_name"])}
    hparams |= {name: integer(name, given[name]) for name in SIZES if name in given}
    if hparams["d_model"] % hparams["nhead"]:
        raise ValueError(f"nhead={hparams['nhead']} does not divide d_model={hparams['d_model']}.")
    hparams["dropout"] = number("dropout", given["dropout"], 0, 1, high_open=True)
    hparams["learning_rate"] = number("learning_rate", given["learning_rate"], 0, low_open=True)
    if "task" in given:
        hparams |= check_task(given["task"], given["num_classes"], given["multi_label"])
    return hparams
