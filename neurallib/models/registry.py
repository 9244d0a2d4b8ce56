"""The architectures by name, and what makes a network of a state and a state of a network or of files."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch

from neurallib.models import gru, gru_forward, transformer, transformer_forward
from neurallib.models.gru_encoder_decoder import (
    gru_encoder_decoder,
    gru_encoder_decoder_forward,
    gru_encoder_decoder_weight_shapes,
)
from neurallib.models.network import Forward, Network, Shape
from neurallib.names import did_you_mean, is_named, listing
from neurallib.state import Hparams, State, Weights, changed, copy_weights, new_state


class Architecture(NamedTuple):
    """What the library knows of one architecture."""

    factory: Callable[..., State]
    weight_shapes: Callable[[Hparams], dict[str, Shape]]
    forward: Forward
    seq2one: bool = False  # one output a signal, not one a step
    file_defaults: Mapping[str, Any] = {}  # what a file of the original means by leaving a hyperparameter out
    complete: Callable[[Hparams, Weights], Hparams] = lambda hparams, weights: hparams
    unused: tuple[str, ...] = ()  # what the original stores beside the weights and never reads


_TRANSFORMER_UNUSED = ("pos_encoder.", "encoder_layer.", "decoder_layer.")

ARCHITECTURES: dict[str, Architecture] = {
    "GRUseq2seq": Architecture(
        gru.gru_seq2seq,
        gru_forward.gru_weight_shapes,
        gru_forward.gru_seq2seq_forward,
        complete=gru_forward.infer_bidir_per_layer,
    ),
    "GRUseq2one": Architecture(
        gru.gru_seq2one,
        gru_forward.gru_weight_shapes,
        gru_forward.gru_seq2one_forward,
        seq2one=True,
        file_defaults={"pooling": "last"},
        complete=gru_forward.infer_bidir_per_layer,
    ),
    "GRUED": Architecture(gru_encoder_decoder, gru_encoder_decoder_weight_shapes, gru_encoder_decoder_forward),
    "Transformerseq2seq": Architecture(
        transformer.transformer_seq2seq,
        transformer_forward.transformer_seq2seq_weight_shapes,
        transformer_forward.transformer_seq2seq_forward,
        unused=_TRANSFORMER_UNUSED,
    ),
    "Transformerseq2one": Architecture(
        transformer.transformer_seq2one,
        transformer_forward.transformer_seq2one_weight_shapes,
        transformer_forward.transformer_seq2one_forward,
        seq2one=True,
        unused=_TRANSFORMER_UNUSED,
    ),
    "TransformerED": Architecture(
        transformer.transformer_encoder_decoder,
        transformer_forward.transformer_encoder_decoder_weight_shapes,
        transformer_forward.transformer_encoder_decoder_forward,
        unused=_TRANSFORMER_UNUSED,
    ),
}


def list_architectures() -> list[str]:
    """The names of the architectures."""
    return list(ARCHITECTURES)


def validate_architecture_name(name: str) -> None:
    """Raise unless `name` is the name of an architecture.

    Raises
    ------
    TypeError
        If it is not a string, such as a class.
    ValueError
        If there is no such architecture.
    """
    valid = ", ".join(ARCHITECTURES)
    if not isinstance(name, str):
        kind = f"the class {name.__name__}" if isinstance(name, type) else f"a {type(name).__name__}"
        raise TypeError(f"architecture is {kind}; expected one of the names {valid}.")
    if name not in ARCHITECTURES:
        raise ValueError(f"architecture={name!r}; expected one of {valid}.{did_you_mean(name, ARCHITECTURES)}")


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
        If the architecture is not known, or the weights are not those of the hyperparameters.
    """
    validate_architecture_name(state["architecture"])
    architecture = ARCHITECTURES[state["architecture"]]
    check_weights(state["weights"], architecture.weight_shapes(state["hparams"]))
    network = Network(state["weights"], state["hparams"], architecture.forward)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not any(is_named(name, pattern) for pattern in state["frozen"]))
    return network.to(device)


def state_from_network(state: State, network: torch.nn.Module) -> State:
    """A new state with the network's present weights and all else as in `state`, such as after a custom loop.

    Raises
    ------
    ValueError
        If the network's weights are not those of the state's architecture.
    """
    weights = {name: parameter.detach() for name, parameter in network.named_parameters()}
    check_weights(weights, ARCHITECTURES[state["architecture"]].weight_shapes(state["hparams"]))
    return changed(state, weights=copy_weights(weights))


def state_from_files(architecture: str, hparams: Hparams, weights: Weights, source: str = "weights") -> State:
    """An untrained state of hyperparameters and weights as files hold them, the original's files among them.

    Parameters
    ----------
    architecture : str
        A key of ARCHITECTURES.
    hparams : dict
        As read from hparams.yaml; what the original leaves out is filled in from the weights.
    weights : mapping of str to Tensor
        By name.
    source : str
        What errors call the weights: their file.

    Raises
    ------
    TypeError, ValueError
        If the architecture is not known, a hyperparameter is wrong, or the weights do not match, both sides listed.
    """
    validate_architecture_name(architecture)
    entry = ARCHITECTURES[architecture]
    known = inspect.signature(entry.factory).parameters.keys() - {"seed"}
    if unknown := sorted(hparams.keys() - known):
        warnings.warn(f"{architecture} has no hyperparameter {listing(unknown)}: left out.", stacklevel=2)
    given = dict(entry.file_defaults) | {name: hparams[name] for name in hparams if name in known}
    try:
        checked = entry.factory(**entry.complete(given, weights))["hparams"]
    except TypeError as error:
        raise ValueError(f"hyperparameters of {source} do not make a {architecture}: {error}") from error
    weights = {name: weight for name, weight in weights.items() if not name.startswith(entry.unused or ("\0",))}
    check_weights(weights, entry.weight_shapes(checked), source)
    return new_state(architecture, checked, weights)


def check_weights(weights: Weights, shapes: Mapping[str, Shape], source: str = "weights") -> None:
    """Raise ValueError that lists both sides unless `weights` are the expected ones, name by name and size by size."""
    missing = sorted(shapes.keys() - weights.keys())
    extra = sorted(weights.keys() - shapes.keys())
    sizes = [
        f"{name} {tuple(weights[name].shape)} (expected {shape.size})"
        for name, shape in shapes.items()
        if name in weights and tuple(weights[name].shape) != shape.size
    ]
    if missing or extra or sizes:
        raise ValueError(
            f"{source} do not match the hyperparameters. Missing: {listing(missing)}. Not expected: {listing(extra)}. "
            f"Of another size: {listing(sizes)}."
        )
