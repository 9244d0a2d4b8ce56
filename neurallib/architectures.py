"""The table of architectures, which the models fill (models/registry.py), and what makes a dict a state of one."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from neurallib.checks import boolean, choice, integer, is_list, items, names_of, number, text, type_words
from neurallib.names import as_patterns, did_you_mean, listing, weights_named
from neurallib.state import (
    Hparams, Postprocessing, Preprocessing, State, Weights, new_postprocessing, new_preprocessing,
)  # fmt: skip

Forward = Callable[..., Tensor]
_MAPPING, _SEQUENCE = (dict, Mapping), (list, Sequence)  # what it mostly is comes first: abstract classes are slow


class Shape(NamedTuple):
    """A weight's size, and the interval center +/- bound from which it is drawn."""

    size: tuple[int, ...]
    bound: float
    center: float = 0.0


def _sizes(hparams: Hparams) -> str:
    return "_".join(f"{value}{name}" for name, value in hparams.items() if type(value) is int)


class Architecture(NamedTuple):
    """All that the library knows of one architecture: its one entry in ARCHITECTURES.

    Its hyperparameters are the factory's arguments but for `fold`, `steps` and `seed`; `model_name`, `n_features` and
    `learning_rate` are among them, and `task`, `num_classes` and `multi_label` unless it does regression alone.

    Attributes
    ----------
    factory : callable
        factory(**hyperparameters, fold, steps, seed) -> State, untrained.
    weight_shapes : callable
        weight_shapes(hparams) -> dict of str to Shape, the weights by name.
    forward : callable
        forward(weights, hparams, x [B, T, C], lengths [B], target or None, training) -> logits [B, T, K] or [B, K];
        with one more True the features before the head, [B, T, H] or [B, H].
    seq2one : bool
        Whether there is one output a signal, not one a step.
    sizes : callable
        sizes(hparams) -> str, what the name of a checkpoints directory says of them, such as "32-64hid_2l".
    stack : callable
        stack(hparams) -> list of list of str, the layers on each other, lowest first, each by its names.
    optional : tuple of str
        Hyperparameters that a state may leave out.
    per_layer : tuple of str
        Hyperparameters that may be a list, a value for each of `n_layers`.
    implied : tuple of str
        Hyperparameters that say what others say.
    new : tuple of str
        Hyperparameters that the original has no word for; training_info.json holds them as well.
    unwritten : callable
        unwritten(hparams) -> names of `new` that say what the original does without them: hparams.yaml leaves them out.
    file_defaults : mapping
        What a file of the original means by leaving a hyperparameter out.
    complete : callable
        complete(hparams, weights) -> hparams, what a file leaves out read off its weights.
    unused : tuple of str
        How the names begin of what the original stores beside the weights and never reads.

    Examples
    --------
    >>> import neurallib as nl
    >>> entry = nl.ARCHITECTURES["GRUseq2seq"]
    >>> isinstance(entry, nl.Architecture), entry.sizes({"hid_dim": [32, 64], "n_layers": 2})
    (True, '32-64hid_2l')
    """

    factory: Callable[..., State]
    weight_shapes: Callable[[Hparams], dict[str, Shape]]
    forward: Forward
    seq2one: bool = False
    sizes: Callable[[Hparams], str] = _sizes
    stack: Callable[[Hparams], list[list[str]]] = lambda hparams: []
    optional: tuple[str, ...] = ()
    per_layer: tuple[str, ...] = ()
    implied: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    unwritten: Callable[[Hparams], Sequence[str]] = lambda hparams: ()
    file_defaults: Mapping[str, Any] = {}
    complete: Callable[[Hparams, Weights], Hparams] = lambda hparams, weights: hparams
    unused: tuple[str, ...] = ()


ARCHITECTURES: dict[str, Architecture] = {}


def list_architectures() -> list[str]:
    """The names of the architectures.

    Returns
    -------
    list of str
        Keys of ARCHITECTURES, as `state["architecture"]` holds them.

    See Also
    --------
    validate_architecture_name : raise unless a name is one of them.

    Examples
    --------
    >>> import neurallib as nl
    >>> nl.list_architectures()[:2]
    ['GRUseq2seq', 'GRUseq2one']
    """
    return list(ARCHITECTURES)


def validate_architecture_name(name: str) -> None:
    """Raise unless `name` is the name of an architecture.

    Parameters
    ----------
    name : str
        Such as "GRUseq2seq".

    Raises
    ------
    TypeError, ValueError
        Lists the valid names and, where one is near, names it.

    See Also
    --------
    list_architectures : the names.

    Examples
    --------
    >>> import neurallib as nl
    >>> nl.validate_architecture_name("GRUseq2seq")
    """
    valid = ", ".join(ARCHITECTURES)
    if not isinstance(name, str):
        raise TypeError(f"architecture is {type_words(name)}; expected one of the names {valid}.")
    if name not in ARCHITECTURES:
        raise ValueError(f"architecture={name!r}; expected one of {valid}.{did_you_mean(name, ARCHITECTURES)}")


def check_state(state: Any, name: str = "state") -> State:
    """Return what a caller gave for a state, its weights in float32 on the CPU, detached, where they are not, or raise
    TypeError or ValueError, which calls it `name` and says what is none about it and how to get one.

    That is a key of a state, a hyperparameter or another name that is missing or not known, a weight that is no Tensor
    of floating-point numbers, a rate, window, channels, units or outputs that cannot be such, and a pattern of `frozen`
    that names no weight.
    """
    if not isinstance(state, _MAPPING):
        raise TypeError(f"{name} is {_what_instead(state)}")
    keys = State.__annotations__
    if missing := [key for key in keys if key not in state and key != "postprocessing"]:  # which is newer than states
        raise ValueError(f"{name} lacks {listing(missing)}; {_which_mapping(state)}")
    _only(f"{name} has", state, keys)
    validate_architecture_name(state["architecture"])
    for key in ("hparams", "weights", "preprocessing", "postprocessing", "training_info"):
        if not isinstance(state.get(key, {}), _MAPPING):
            raise TypeError(f"{name}[{key!r}] is a {type(state[key]).__name__}; expected a dict.")
    entry = ARCHITECTURES[state["architecture"]]
    known = hyperparameters(entry.factory)
    _only(f"{name}: {state['architecture']} has no hyperparameter", state["hparams"], known)
    if missing := [key for key in known if key not in state["hparams"] and key not in entry.optional]:
        raise ValueError(f"{name}['hparams'] lacks {listing(missing)}; {state['architecture']}'s factory sets all.")
    other = {key: weight for key, weight in state["weights"].items() if not _is_weight(weight)}
    weights = {key: _as_weight(f"{name}['weights'][{key!r}]", weight) for key, weight in other.items()}
    _only(f"{name}['preprocessing'] has", state["preprocessing"], Preprocessing.__annotations__)
    if isinstance(state["frozen"], str) or not isinstance(state["frozen"], _SEQUENCE):
        raise TypeError(f"{name}['frozen'] is {state['frozen']!r}; expected a list of names, as `freeze` makes it.")
    for pattern in as_patterns(state["frozen"]) if state["frozen"] else ():
        weights_named(state["weights"], pattern)
    before, behind = state["preprocessing"], state.get("postprocessing", {})
    _only(f"{name}['postprocessing'] has", behind, Postprocessing.__annotations__)
    if behind.get("outputs") is not None:
        names_of(f"{name}['postprocessing']['outputs']", behind["outputs"])
    if not isinstance(behind.get("events") or {}, _MAPPING):
        raise TypeError(f"{name}['postprocessing']['events'] is {behind['events']!r}; expected a dict of settings.")
    _check_hparams(f"{name}['hparams']", state["hparams"])
    _check_values(f"{name}['preprocessing']", before, state["hparams"]["n_features"])
    if weights:
        state = {**state, "weights": {**state["weights"], **weights}}  # by hand
    if len(before) < len(Preprocessing.__annotations__) or len(behind) < len(Postprocessing.__annotations__):
        whole = {"preprocessing": new_preprocessing(before), "postprocessing": new_postprocessing(behind)}
        return cast(State, {**state, **whole})  # of an older version, or by hand
    return cast(State, state)


@functools.cache
def hyperparameters(factory: Callable[..., State]) -> dict[str, Any]:
    """The hyperparameters that a factory takes, each with its default (`inspect.Parameter.empty` where it has none)."""
    parameters = inspect.signature(factory).parameters
    beside = ("fold", "steps", "residual", "seed")  # of the preprocessing
    return {name: parameter.default for name, parameter in parameters.items() if name not in beside}


def _is_weight(weight: Any) -> bool:
    plain = isinstance(weight, Tensor) and weight.dtype == torch.float32 and weight.is_cpu
    return plain and not weight.requires_grad and weight.layout is torch.strided


def _as_weight(name: str, weight: Any) -> Tensor:
    if not isinstance(weight, Tensor):
        raise TypeError(f"{name} is a {type(weight).__name__}; expected a Tensor.")
    if not weight.is_floating_point() or weight.layout is not torch.strided or weight.is_meta:
        raise TypeError(
            f"{name} holds {weight.dtype} ({weight.layout}, {weight.device}); expected floating-point numbers, dense."
        )
    return weight.detach().to("cpu", torch.float32)


def _check_values(name: str, before: Mapping[str, Any], n_features: int) -> None:
    """What a hand may have put into a preprocessing and nothing would stumble over, or only what knows no names."""
    for key in ("sampling_frequency", "window"):
        if before.get(key) is not None:
            number(f"{name}[{key!r}]", before[key], 0, low_open=True)
    for key in ("channels", "units"):
        told = before.get(key)
        if told is not None and len(names_of(f"{name}[{key!r}]", told)) != n_features:
            raise ValueError(f"{name}[{key!r}] is {list(told)}; expected one for each of {n_features} channels.")
    of_steps = f"{name}['steps']"
    steps = before.get("steps")
    if steps and not all(isinstance(step, _MAPPING) for step in items(of_steps, steps, "dicts")):
        raise TypeError(f"{of_steps} is {before['steps']!r}; expected a list of dicts, as a factory makes it.")
    for key in ("normalization", "target_normalization"):
        if not isinstance(before.get(key), (str, type(None))):
            text(f"{name}[{key!r}]", before[key])


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "model_name": text, "n_features": integer, "bidirectional": boolean, "fc_out_bool": boolean,
    "learning_rate": functools.partial(number, low=0, low_open=True),
}  # fmt: skip


def _check_hparams(name: str, hparams: Hparams) -> None:
    """The same of hyperparameters, where weights of other shapes would not tell."""
    for key, check in _CHECKS.items():
        if key in hparams:
            check(f"{name}[{key!r}]", hparams[key])
    if hparams.get("task", "regression") != "regression":
        choice(f"{name}['task']", hparams["task"], ("classification", "regression"))
        integer(f"{name}['num_classes']", hparams["num_classes"])
        boolean(f"{name}['multi_label']", hparams["multi_label"])
    both = f"{name}['bidir_per_layer']"
    for each in items(both, hparams.get("bidir_per_layer", ()), "True or False"):
        boolean(f"a value of {both}", each)
    dropout = hparams.get("dropout", 0.0)
    for each in dropout if is_list(dropout) else [dropout]:
        number(f"{name}['dropout']", each, 0, 1, high_open=True)


def _only(text: str, given: Mapping[Any, Any], known: Mapping[str, Any]) -> None:
    """Raise ValueError unless all of the names are known."""
    if not given.keys() <= known.keys():
        name = next(name for name in given if name not in known)
        hint = did_you_mean(name, known) or f" It has: {listing(known, 20)}."
        raise ValueError(f"{text} {name!r}.{hint}")


def _what_instead(given: Any) -> str:
    """The end of an error about what is no dict: what it is, and which function makes a state of it."""
    if given is None:
        return "None; a factory such as gru_seq2seq makes a state, load_checkpoint(directory) loads one."
    if isinstance(given, (str, os.PathLike)):
        return (
            f"a name or path ({os.fspath(given)!r}); expected a state: load_checkpoint(directory) gives one, "
            "load_pretrained(name) one that comes along, load_from_hub('owner/name') one that is published."
        )
    if isinstance(given, nn.Module):
        return f"a {type(given).__name__}; expected a state: state_from_network(state, network) gives one."
    if callable(given) and hasattr(given, "__name__"):
        return f"the function {given.__name__}; expected a state: {given.__name__}(...) may give one."
    return f"a {type(given).__name__}; expected a state: the dict that factories, train and load_checkpoint give."


def _which_mapping(given: Mapping[Any, Any]) -> str:
    """The end of an error about a dict that lacks keys of a state: what it looks like."""
    if given and all(isinstance(value, Tensor) for value in given.values()):
        return "it holds weights alone: put them into state['weights'] of a state with the same hyperparameters."
    if "n_features" in given:
        return "it holds hyperparameters: the architecture's factory makes a state of them, factory(**hparams)."
    if wrong := [key for key in given if key not in State.__annotations__]:
        return f"it has {listing(map(repr, wrong))}." + did_you_mean(wrong[0], State.__annotations__)
    return "the dict that factories, train and load_checkpoint give has them all."
