"""The GRU encoder-decoder: its factory, weights and forward function."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import dropout as drop
from torch.nn.functional import linear

from neurallib.architectures import Shape
from neurallib.checks import boolean, number, text
from neurallib.models.folding import check_fold
from neurallib.models.gru import gru_seq2seq
from neurallib.models.gru_forward import direction_shapes, directions, output_layer
from neurallib.models.network import draw_weights, learns, linear_shapes, size, taught
from neurallib.names import helped_by, hinted
from neurallib.recurrence.layer import gru_generate, gru_layer
from neurallib.sequences import zero_padding
from neurallib.state import Hparams, State, Steps, Weights, new_state
from neurallib.tasks import check_outputs
from neurallib.tasks import n_outputs as count_outputs


@hinted
@helped_by(gru_seq2seq)
def gru_encoder_decoder(
    *,
    n_features: int,
    enc_hid_dim: int,
    dec_hid_dim: int,
    enc_layers: int = 1,
    dec_layers: int = 1,
    dropout: float = 0.0,
    learning_rate: float = 3e-3,
    bidirectional: bool = False,
    fc_out_bool: bool = True,
    n_outputs: int | None = None,
    model_name: str = "GRUED",
    fold: int = 1,
    steps: Steps | None = None,
    seed: int = 42,
) -> State:
    """GRU encoder whose last states start a GRU decoder, which makes the output signal [T, K] step by step.

    It learns with teacher forcing (the decoder reads the target shifted right by one step, zeros first) and predicts
    by reading its own outputs, from the encoded signal alone.

    Parameters
    ----------
    enc_hid_dim, dec_hid_dim : int
        Hidden units of encoder and decoder. Where the decoder's differ from what an encoder layer hands over
        (enc_hid_dim, twice that when bidirectional), a linear layer with tanh (`bridge`) stands between them.
    enc_layers, dec_layers : int
        Layers of each. Counted from the top, a decoder layer starts from the encoder layer beside it; decoder layers
        below the encoder's lowest start from that one.
    dropout : float
        Dropout between the layers of each, in [0, 1).
    bidirectional : bool
        Whether the encoder reads the signal in both directions.
    fc_out_bool : bool
        Whether a linear layer makes the outputs. Without it they are the decoder's states: dec_hid_dim is K.
    n_outputs : int, optional
        K, the channels of the output; by default n_features.
    (the rest as `gru_seq2seq` has it)

    Returns
    -------
    State
        An untrained state; its task is regression. Its weights have torch's names: `encoder` and `decoder`, each an
        nn.GRU, and `bridge.{k}` and `fc_out`.

    Raises
    ------
    TypeError
        If a hyperparameter is of another type, such as a list for `enc_hid_dim`.
    ValueError
        If one is out of its range, or without `fc_out` dec_hid_dim is not K.

    See Also
    --------
    transformer_encoder_decoder : the same with attention.
    gru_seq2seq : an output per time step, made from the signal directly.

    Examples
    --------
    >>> import neurallib as nl
    >>> state = nl.gru_encoder_decoder(n_features=1, enc_hid_dim=8, dec_hid_dim=16, bidirectional=True)
    >>> [name for name in state["weights"] if name.startswith("bridge")]  # none: 2 * 8 units meet 16
    []
    """
    sizes = {
        "n_features": n_features,
        "enc_hid_dim": enc_hid_dim,
        "dec_hid_dim": dec_hid_dim,
        "enc_layers": enc_layers,
        "dec_layers": dec_layers,
    }
    hparams: Hparams = {"model_name": text("model_name", model_name)}
    hparams |= {name: size(name, value) for name, value in sizes.items()}
    hparams["dropout"] = number("dropout", dropout, 0, 1, high_open=True)
    hparams["learning_rate"] = number("learning_rate", learning_rate, 0, low_open=True)
    hparams["bidirectional"] = boolean("bidirectional", bidirectional)
    hparams["fc_out_bool"] = boolean("fc_out_bool", fc_out_bool)
    hparams |= check_outputs(n_outputs, hparams)
    inside = check_fold(fold, False, hparams, steps)
    if not fc_out_bool and dec_hid_dim != (k := count_outputs(inside)):
        raise ValueError(
            f"fc_out_bool=False makes the decoder's state the output: dec_hid_dim={dec_hid_dim}; expected {k}, as many "
            "as outputs (n_outputs, by default n_features)."
        )
    shapes = gru_encoder_decoder_weight_shapes(inside)
    return new_state("GRUED", hparams, draw_weights(shapes, seed), fold, steps)


def gru_encoder_decoder_weight_shapes(hparams: Hparams) -> dict[str, Shape]:
    """The weights of `gru_encoder_decoder`, by name."""
    n_features, k_outputs = hparams["n_features"], count_outputs(hparams)
    encoded, hidden = hparams["enc_hid_dim"] * (1 + hparams["bidirectional"]), hparams["dec_hid_dim"]
    shapes: dict[str, Shape] = {}
    for k in range(hparams["enc_layers"]):
        n_in = encoded if k else n_features
        shapes |= direction_shapes("encoder.", f"_l{k}", n_in, hparams["enc_hid_dim"], hparams["bidirectional"])
    for k in range(hparams["dec_layers"]):
        shapes |= direction_shapes("decoder.", f"_l{k}", hidden if k else k_outputs, hidden, False)
    if encoded != hidden:
        for k in range(hparams["dec_layers"]):
            shapes |= linear_shapes(f"bridge.{k}", encoded, hidden)
    if hparams["fc_out_bool"]:
        shapes |= linear_shapes("fc_out", hidden, k_outputs)
    return shapes


def gru_encoder_decoder_forward(
    weights: Weights,
    hparams: Hparams,
    x: Tensor,
    lengths: Tensor,
    target: Tensor | None,
    training: bool,
    features: bool = False,
) -> Tensor:
    """Outputs [B, T, K]: taught by `target` [B, T, K] where it is given, generated where not; or the decoder's states
    [B, T, H] that they are made of."""
    states = []
    for k in range(hparams["enc_layers"]):
        x = drop(x, hparams["dropout"], training and learns(weights, f"encoder.*_l{k - 1}*")) if k else x
        x, h_n = gru_layer(x, lengths, directions(weights, "encoder.", f"_l{k}", hparams["bidirectional"]))
        states.append(torch.cat(list(h_n), dim=-1))
    first = hparams["enc_layers"] - hparams["dec_layers"]
    h0 = torch.stack([_bridge(weights, k, states[max(0, first + k)]) for k in range(hparams["dec_layers"])])
    layers = [directions(weights, "decoder.", f"_l{k}", False)[0] for k in range(hparams["dec_layers"])]
    if target is None:
        output = weights.get("fc_out.weight"), weights.get("fc_out.bias")
        target = gru_generate(layers, *output, h0, lengths, x.shape[1])
        if not features:
            return target  # read as a target, they lead the decoder through the same states
    y = taught(x, target, count_outputs(hparams))
    for k, layer in enumerate(layers):
        y = drop(y, hparams["dropout"], training and learns(weights, f"decoder.*_l{k - 1}")) if k else y
        y, _ = gru_layer(y, lengths, [layer], h0[k : k + 1])
    return zero_padding(y if features else output_layer(weights, y), lengths)


def _bridge(weights: Weights, k: int, state: Tensor) -> Tensor:
    if f"bridge.{k}.weight" not in weights:
        return state
    return linear(state, weights[f"bridge.{k}.weight"], weights[f"bridge.{k}.bias"]).tanh()
