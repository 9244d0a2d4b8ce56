"""Transformers: the factories of their states."""

from __future__ import annotations

from neurallib.models.folding import check_fold
from neurallib.models.gru import gru_seq2seq
from neurallib.models.network import draw_weights
from neurallib.models.transformer_forward import (
    check_transformer,
    transformer_encoder_decoder_weight_shapes,
    transformer_seq2one_weight_shapes,
    transformer_seq2seq_weight_shapes,
)
from neurallib.names import helped_by, hinted
from neurallib.state import State, Steps, new_state


@hinted
@helped_by(gru_seq2seq)
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
    task: str = "regression",
    num_classes: int | None = 1,
    multi_label: bool = False,
    n_outputs: int | None = None,
    model_name: str = "Transformerseq2seq",
    fold: int = 1,
    steps: Steps | None = None,
    seed: int = 42,
) -> State:
    """Transformer that maps a signal [T, n_features] to one output per time step, [T, K], all steps at once.

    The encoder reads the projected signal; the decoder, whose queries are the same projected signal, attends to
    itself (all steps, not only the past) and to what the encoder made.

    Parameters
    ----------
    d_model : int
        Width of every layer; each signal step is projected to it and its position added.
    nhead : int
        Attention heads; divides d_model, into heads of at least 16 to be fast.
    num_encoder_layers, num_decoder_layers : int
        Layers of each stack.
    dim_feedforward : int
        Hidden units between the two linear layers that end every layer.
    dropout : float
        Dropout after every attention, and within and after every feed-forward part, in [0, 1). Attention weights
        are not dropped: torch's fused attention on a CPU cannot, and without it memory grows with T squared.
    (the rest as `gru_seq2seq` has it)

    Returns
    -------
    State
        An untrained state.

    Raises
    ------
    TypeError
        If a hyperparameter is of another type, such as a float for `nhead`.
    ValueError
        If one is out of its range, `nhead` does not divide `d_model`, or a regression has classes.

    See Also
    --------
    transformer_seq2one : one output per signal.
    train : learn from signals in memory.
    train_from_scratch : learn from folders of files.

    Notes
    -----
    The time of attention grows with T squared. CPU milliseconds of a training step of one signal with d_model=64 and
    nhead=4 on an Intel Xeon: 14 for T = 500, 41 for 1,000, 136 for 2,000, 913 for 5,400, where the published GRU
    detector takes 58; 23 with fold=8. Heads below 16 are slow: four
    signals of T = 1,000 take 107 with one head of size 64, 151 with four of 16, 272 with eight of 8.

    References
    ----------
    Vaswani et al., Attention is all you need, NIPS 2017: the layers, normalized after each part, and the sinusoidal
    positions. Weights have the names of torch's nn.TransformerEncoder and nn.TransformerDecoder.

    Examples
    --------
    >>> import neurallib as nl
    >>> state = nl.transformer_seq2seq(n_features=1, d_model=32, nhead=2, dim_feedforward=64)
    >>> state["weights"]["encoder.layers.0.linear1.weight"].shape
    torch.Size([64, 32])
    """
    hparams = check_transformer(dict(locals()))
    shapes = transformer_seq2seq_weight_shapes(check_fold(fold, False, hparams, steps))
    return new_state("Transformerseq2seq", hparams, draw_weights(shapes, seed), fold, steps)


@hinted
@helped_by(transformer_seq2seq)
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
    n_outputs: int | None = None,
    model_name: str = "Transformerseq2one",
    fold: int = 1,
    steps: Steps | None = None,
    seed: int = 42,
) -> State:
    """Transformer that maps a signal [T, n_features] to one output, [K].

    The encoder reads the projected signal with its positions; the mean of its outputs over the valid steps makes the
    model's output. `transformer_seq2seq` tells what T, heads and folding cost.

    Parameters
    ----------
    num_encoder_layers : int
        Layers of the encoder.
    fold : int
        How many consecutive samples the network takes for the features of one step: it has so many fewer steps. Kept in
        `preprocessing["fold"]`.
    (the rest as `transformer_seq2seq` has it)

    Returns
    -------
    State
        An untrained state.

    Raises
    ------
    TypeError
        If a hyperparameter is of another type, such as a float for `nhead`.
    ValueError
        If one is out of its range, `nhead` does not divide `d_model`, or a regression has classes.

    See Also
    --------
    transformer_seq2seq : one output per time step.
    train : learn from signals in memory.
    train_from_scratch : learn from folders of files.

    References
    ----------
    Vaswani et al., Attention is all you need, NIPS 2017: the layers, normalized after each part, and the sinusoidal
    positions. Weights have the names of torch's nn.TransformerEncoder.

    Examples
    --------
    >>> import numpy as np
    >>> import neurallib as nl
    >>> state = nl.transformer_seq2one(n_features=2, d_model=32, nhead=2, dim_feedforward=64, num_classes=3)
    >>> (output,) = nl.predict(state, [np.zeros((50, 2))])
    >>> output.shape
    (3,)
    """
    hparams = check_transformer(dict(locals()))
    shapes = transformer_seq2one_weight_shapes(check_fold(fold, True, hparams, steps))
    return new_state("Transformerseq2one", hparams, draw_weights(shapes, seed), fold, steps)


@hinted
@helped_by(transformer_seq2seq)
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
    n_outputs: int | None = None,
    model_name: str = "TransformerED",
    fold: int = 1,
    steps: Steps | None = None,
    seed: int = 42,
) -> State:
    """Transformer encoder whose outputs a causal decoder reads, to make the output signal [T, K] in order.

    It learns with teacher forcing (the decoder reads the target shifted right by one step, zeros first, through the
    signal's own projection, or one of its own where K is not C) and predicts by reading its own outputs, from the
    encoded signal alone. `transformer_seq2seq` tells what T, heads and folding cost.

    Parameters
    ----------
    (the rest as `transformer_seq2seq` has it)

    Returns
    -------
    State
        An untrained state; its task is regression.

    Raises
    ------
    TypeError
        If a hyperparameter is of another type, such as a float for `nhead`.
    ValueError
        If one is out of its range, `nhead` does not divide `d_model`.

    See Also
    --------
    gru_encoder_decoder : the same with GRUs.
    transformer_seq2seq : an output per time step, all steps at once.

    References
    ----------
    Vaswani et al., Attention is all you need, NIPS 2017: the layers, normalized after each part, and the sinusoidal
    positions. Weights have the names of torch's nn.TransformerEncoder and nn.TransformerDecoder.

    Examples
    --------
    >>> import numpy as np
    >>> import neurallib as nl
    >>> state = nl.transformer_encoder_decoder(n_features=1, d_model=16, nhead=1, dim_feedforward=32)
    >>> (output,) = nl.predict(state, [np.zeros((20, 1))])
    >>> output.shape
    (20, 1)
    """
    hparams = check_transformer(dict(locals()))
    shapes = transformer_encoder_decoder_weight_shapes(check_fold(fold, False, hparams, steps))
    return new_state("TransformerED", hparams, draw_weights(shapes, seed), fold, steps)
