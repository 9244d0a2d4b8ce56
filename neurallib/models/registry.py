"""The architectures by name, and what makes a network of a state and a state of a network or of files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from neurallib.architectures import (
    ARCHITECTURES, Architecture, Shape, check_state, hyperparameters, validate_architecture_name,
)  # fmt: skip
from neurallib.checks import is_list
from neurallib.devices import moved
from neurallib.models import gru, gru_forward, transformer, transformer_forward
from neurallib.models.folding import folding, forward_of, input_hparams, weight_shapes
from neurallib.models.gru_encoder_decoder import (
    gru_encoder_decoder,
    gru_encoder_decoder_forward,
    gru_encoder_decoder_weight_shapes,
)
from neurallib.models.network import Network, undrawn
from neurallib.names import bare, hinted, is_named, listing
from neurallib.state import Hparams, State, Weights, changed, copy_weights, new_state
from neurallib.warn import warn


def _gru_sizes(hparams: Hparams) -> str:
    return f"{_joined(hparams['hid_dim'])}hid_{hparams['n_layers']}l"


def _gru_encoder_decoder_sizes(hparams: Hparams) -> str:
    return f"{hparams['enc_hid_dim']}-{hparams['dec_hid_dim']}hid_{hparams['enc_layers']}-{hparams['dec_layers']}l"


def _transformer_sizes(hparams: Hparams) -> str:
    layers = [hparams[name] for name in ("num_encoder_layers", "num_decoder_layers") if name in hparams]
    return f"{hparams['d_model']}d_{hparams['nhead']}h_{_joined(layers)}l_{hparams['dim_feedforward']}ff"


def _gru_stack(hparams: Hparams) -> list[list[str]]:
    return [[f"gru_layers.{i}"] for i in range(hparams["n_layers"])]


def _encoder_stack(hparams: Hparams) -> list[list[str]]:
    return [["input_projection"] * (i == 0) + [f"encoder.layers.{i}"] for i in range(hparams["num_encoder_layers"])]


def _poolings_of_the_original(hparams: Hparams) -> list[str]:
    """The original takes the output at the last valid step, which in one direction is the last state."""
    one_direction = not hparams["bidir_per_layer"][-1]
    return ["pooling"] if hparams["pooling"] == "last" or (hparams["pooling"] == "final" and one_direction) else []


def _joined(value: Any) -> str:
    return "-".join(map(str, value)) if is_list(value) else str(value)


_STACKED_GRU: dict[str, Any] = {
    "weight_shapes": gru_forward.gru_weight_shapes,
    "sizes": _gru_sizes,
    "stack": _gru_stack,
    "per_layer": ("hid_dim", "dropout", "bidir_per_layer"),
    "implied": ("bidirectional",),
    "complete": gru_forward.read_off_weights,
    "optional": ("n_outputs",),
}
_TRANSFORMER: dict[str, Any] = {
    "sizes": _transformer_sizes,
    "stack": _encoder_stack,
    "optional": ("n_outputs",),
    "new": ("n_outputs",),
    "unused": ("pos_encoder.", "encoder_layer.", "decoder_layer."),
}
ARCHITECTURES |= {
    "GRUseq2seq": Architecture(
        gru.gru_seq2seq, forward=gru_forward.gru_seq2seq_forward, new=("n_outputs",), **_STACKED_GRU
    ),
    "GRUseq2one": Architecture(
        gru.gru_seq2one,
        forward=gru_forward.gru_seq2one_forward,
        seq2one=True,
        new=("pooling", "n_outputs"),
        unwritten=_poolings_of_the_original,
        file_defaults={"pooling": "last"},
        **_STACKED_GRU,
    ),
    "GRUED": Architecture(
        gru_encoder_decoder,
        gru_encoder_decoder_weight_shapes,
        gru_encoder_decoder_forward,
        sizes=_gru_encoder_decoder_sizes,
        optional=("n_outputs",),
        new=("n_outputs",),
    ),
    "Transformerseq2seq": Architecture(
        transformer.transformer_seq2seq,
        transformer_forward.transformer_seq2seq_weight_shapes,
        transformer_forward.transformer_seq2seq_forward,
        **_TRANSFORMER,
    ),
    "Transformerseq2one": Architecture(
        transformer.transformer_seq2one,
        transformer_forward.transformer_seq2one_weight_shapes,
        transformer_forward.transformer_seq2one_forward,
        seq2one=True,
        **_TRANSFORMER,
    ),
    "TransformerED": Architecture(
        transformer.transformer_encoder_decoder,
        transformer_forward.transformer_encoder_decoder_weight_shapes,
        transformer_forward.transformer_encoder_decoder_forward,
        **_TRANSFORMER,
    ),
}


@hinted
def build_network(state: State, device: str | torch.device = "cpu") -> Network:
    """A network that computes with copies of the state's weights; frozen ones get no gradient.

    Parameters
    ----------
    state : State
        Stays as it is.
    device : str or torch.device
        Where the network's parameters live.

    Returns
    -------
    Network
        In training mode, as torch's modules start; `network(x, lengths)` gives logits.

    Raises
    ------
    TypeError, ValueError
        If `state` is none, its weights are not those of its hyperparameters, or `device` is not there.

    See Also
    --------
    state_from_network : the way back, such as after a loop of one's own.

    Examples
    --------
    >>> import neurallib as nl, torch
    >>> network = nl.build_network(nl.gru_seq2seq(n_features=1, hid_dim=8, n_layers=1))
    >>> network(torch.zeros(2, 100, 1)).shape
    torch.Size([2, 100, 1])
    """
    state = check_state(state)
    check_weights(state)
    network = Network(state["weights"], input_hparams(state), forward_of(state))
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not any(is_named(name, pattern) for pattern in state["frozen"]))
    return moved(network, device)


def state_from_network(state: State, network: torch.nn.Module) -> State:
    """A new state with the network's present weights and all else as in `state`, such as after a custom loop.

    Parameters
    ----------
    state : State
        What the network was built from; stays as it is.
    network : nn.Module
        From `build_network`, trained since; also within torch.compile, or a wrapper's `module`, `model` or `network`.

    Returns
    -------
    State
        It shares no memory with the network.

    Raises
    ------
    TypeError, ValueError
        If `state` is none, or the network's weights are not those of its architecture, or not finite.

    See Also
    --------
    build_network : the way there.

    Examples
    --------
    >>> import neurallib as nl
    >>> state = nl.gru_seq2seq(n_features=1, hid_dim=8, n_layers=1)
    >>> network = nl.build_network(state)
    >>> trained = nl.state_from_network(state, network)
    >>> bool((trained["weights"]["fc_out.bias"] == state["weights"]["fc_out.bias"]).all())
    True
    """
    state = check_state(state)
    if not isinstance(network, torch.nn.Module):
        raise TypeError(f"network is a {type(network).__name__}; expected the Network that build_network gives.")
    shapes = weight_shapes(state)
    trained = changed(state, weights=copy_weights(_unwrapped(dict(network.named_parameters()), shapes)))
    check_weights(trained, "the network's weights")
    check_numbers(trained["weights"], "the network, whose training may have diverged")
    return trained


def state_from_files(
    architecture: str, hparams: Hparams, weights: Weights, source: str = "weights", before: Mapping[str, Any] = {}
) -> State:
    """An untrained state of hyperparameters and weights as files hold them, the original's files among them.

    What `hparams` leave out is read off the weights; `before`, a preprocessing, says of "steps", "fold" and "residual"
    what the network takes and gives. TypeError or ValueError, which calls the weights `source`, where a hyperparameter
    is wrong, or weights are not finite or do not match, both sides listed.
    """
    entry, given = ARCHITECTURES[architecture], factory_arguments(architecture, hparams, weights)
    inside = folding(before)
    try:
        with undrawn():
            checked = entry.factory(**given, **inside)["hparams"]
    except (TypeError, ArithmeticError) as error:
        raise ValueError(f"hyperparameters of {source} do not make a {architecture}: {error}") from error
    weights = _unwrapped(weights, entry.weight_shapes(checked))
    weights = {name: weight for name, weight in weights.items() if not name.startswith((*entry.unused, "n_averaged"))}
    state = new_state(architecture, checked, {}, **inside)
    check_weights(changed(state, weights=dict(weights)), source)  # before they are copied
    check_numbers(weights, source)
    state["weights"] = copy_weights(weights)
    return state


def check_numbers(weights: Weights, source: str) -> None:
    """Raise ValueError unless all weights are finite floating-point numbers; `source` is what the error calls them."""
    for name, weight in weights.items():
        if not weight.is_floating_point():
            raise ValueError(f"{source}: {name} holds {weight.dtype}; expected floating-point numbers.")
        if not weight.float().isfinite().all():
            raise ValueError(f"{source}: {name} holds nan or infinite numbers, or such as float32 has no room for.")


def factory_arguments(architecture: str, hparams: Hparams, weights: Weights) -> Hparams:
    """Hyperparameters as files hold them, completed to what makes the factory's network that of the weights; unknown
    ones are told. TypeError or ValueError if the architecture is not known."""
    validate_architecture_name(architecture)
    entry = ARCHITECTURES[architecture]
    known = hyperparameters(entry.factory)
    if unknown := sorted(hparams.keys() - known.keys()):
        warn(f"{architecture} has no hyperparameter {listing(unknown)}: left out.")
    given = dict(entry.file_defaults) | {name: hparams[name] for name in hparams if name in known}
    for name, value in given.items():
        if weights and name.endswith("layers") and isinstance(value, int) and value > len(weights):
            raise ValueError(f"{name}={value}, of a model that has {len(weights)} weights.")
    return entry.complete(given, {bare(name): weight for name, weight in weights.items()})


def _unwrapped(weights: Weights, shapes: Mapping[str, Shape]) -> Weights:
    """The weights without the prefixes of wrappers, save where the architecture itself has such names."""
    return {name if name in shapes else bare(name): weight for name, weight in weights.items()}


def check_weights(state: State, source: str = "the state's weights") -> None:
    """Raise ValueError that lists both sides unless the weights are those that the hyperparameters ask for, name by
    name and size by size; `source` is what the error calls them."""
    weights = state["weights"]
    try:
        shapes = weight_shapes(state)
    except (TypeError, ValueError, LookupError, ArithmeticError) as error:
        raise ValueError(f"state['hparams'] do not make a {state['architecture']}: {error!r}.") from error
    if {name: weight.shape for name, weight in weights.items()} == {name: shape.size for name, shape in shapes.items()}:
        return
    missing = sorted(shapes.keys() - weights.keys())
    extra = sorted(weights.keys() - shapes.keys())
    sizes = [
        f"{name} {tuple(weights[name].shape)} (expected {shape.size})"
        for name, shape in shapes.items()
        if name in weights and tuple(weights[name].shape) != shape.size
    ]
    raise ValueError(
        f"{source} do not match the hyperparameters. Missing: {listing(missing)}. Not expected: {listing(extra)}. "
        f"Of another size: {listing(sizes)}."
    )
