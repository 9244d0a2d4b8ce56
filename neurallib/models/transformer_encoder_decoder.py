"""The Transformer that generates its output step by step: the factory of its states."""

from __future__ import annotations

from neurallib.models.folding import check_fold
from neurallib.models.network import draw_weights
from neurallib.models.transformer_forward import check_transformer, transformer_encoder_decoder_weight_shapes
from neurallib.names import hinted
from neurallib.state import State, Steps, new_state


@hinted
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
    n_features : int
        C, the channels of a signal.
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
    learning_rate : float
        The optimizer's learning rate, above 0, which its schedule changes.
    n_outputs : int, optional
        K of a regression; by default n_features.
    model_name : str
        Names the model's results directory.
    fold : int
        How many consecutive samples the network takes for the features of one step: it has so many fewer steps, and
        gives the outputs of all of them at once. Kept in `preprocessing["fold"]`.
    steps : sequence of dict, optional
        Filters that each signal, or window, goes through before it is normalized, in this order, each a dict with its
        "name" and its parameters (Hz, s): "highpass" and "lowpass" (frequency), "band" (low, high), "local_gain" (low,
        high, duration: the band divided by its own RMS over 2 s), "rectify" (absolute values, between a "band" and a
        "lowpass" for the envelope of EMG). One with "beside": True leaves the signal as it is
        and adds its result as further features of the network. They are Butterworth filters of "order" 2, applied
        forwards and backwards on a signal that is continued at its "ends" turned over ("odd", for what drifts) or
        mirrored ("even", for what has peaks); with "causal": True forwards alone, and the RMS is of the past
        (exponentially), so that streams can go through them. Kept in `preprocessing["steps"]`.
    seed : int
        Where the weights are drawn from; the global random state stays as it is.

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
