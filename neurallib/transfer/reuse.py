"""Transfer learning: layers of one model in another, and a new model on old layers."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from neurallib.architectures import ARCHITECTURES, check_state, validate_architecture_name
from neurallib.checks import integer, items, per_layer
from neurallib.models.folding import fold_of, folding, steps_of
from neurallib.models.registry import check_weights
from neurallib.names import as_patterns, known_layers, listing, matching
from neurallib.state import (
    Hparams,
    Preprocessing,
    State,
    Weights,
    changed,
    copy_weights,
    count_parameters,
    new_preprocessing,
)
from neurallib.steps import n_inputs
from neurallib.warn import warn

_TOLD = (  # of a source's training information
    "checkpoints_directory", "train_dataset", "task", "validation_loss", "training_history", "transfer",
)  # fmt: skip


def reuse_layers(target: State, source: State, layers: Iterable[str] | Mapping[str, str]) -> State:
    """The target with the source's weights in some of its layers.

    Parameters
    ----------
    target, source : State
        Stay as they are.
    layers : iterable of str, or mapping of str to str
        Names of layers, such as "gru_layers.0", of single weights, or patterns ("encoder.*_l0"), that mean the same in
        both; or, for layers that change their place, the target's name to the source's.

    Returns
    -------
    State
        A new state, as yet untrained, which shares no memory with either. Its `training_info["transfer"]` holds the
        `share` of its weights that came from elsewhere, the `sources` (each with its share and layers) and what the
        `rest` was, if the target was trained; `train` keeps it. Where the target does not know of sampling frequency
        or normalization, the source's hold: its layers have seen such signals.

    Raises
    ------
    TypeError, ValueError
        If `target` or `source` is no state, a layer is in one of the two only, or weights differ in name or size:
        both sides are listed.

    See Also
    --------
    transfer_hparams : a target whose first layers are as large as the source's.
    freezing_plan : which reused layers learn.

    Examples
    --------
    >>> import neurallib as nl
    >>> denoiser = nl.gru_seq2seq(n_features=1, hid_dim=[8, 4], n_layers=2, task="regression")
    >>> detector = nl.gru_seq2seq(n_features=1, hid_dim=[8, 6], n_layers=2)
    >>> state = nl.reuse_layers(detector, denoiser, ["gru_layers.0"])
    >>> state["training_info"]["transfer"]["sources"][0]["layers"]
    {'gru_layers.0': 'gru_layers.0'}
    """
    target, source = check_state(target, "target"), check_state(source, "source")
    inside = [(fold_of(state), steps_of(state)) for state in (target, source)]
    pairs = _pair_weights(target["weights"], source["weights"], layers, alike=inside[0] == inside[1])
    origin = {name: source["weights"][partner].to(target["weights"][name].dtype) for name, partner in pairs.weights}
    return changed(
        target,
        weights=copy_weights({**target["weights"], **origin}),
        preprocessing=_preprocessing(target["preprocessing"], source["preprocessing"]),
        training_info={"transfer": _report(target, source, pairs)},
    )


def transfer_hparams(
    source: State,
    reuse_n_layers: int | None = None,
    extra_hid_dims: Sequence[int] = (),
    *,
    architecture: str | None = None,
    bidir_per_layer: Sequence[bool] | None = None,
    dropout: float | Sequence[float] = 0.0,
    task: str = "classification",
    num_classes: int | None = 1,
    multi_label: bool = False,
    fc_out_bool: bool = True,
    learning_rate: float = 1e-3,
    model_name: str | None = None,
    **more: Any,
) -> Hparams:
    """Hyperparameters of a GRU whose first layers are as large as the source's, for its factory.

    Parameters
    ----------
    source : State
        A GRUseq2seq or GRUseq2one.
    reuse_n_layers : int, optional
        How many of its first layers; by default all.
    extra_hid_dims : sequence of int
        Hidden units of the new layers after them; by default there are none.
    architecture : str, optional
        "GRUseq2seq" or "GRUseq2one"; by default the source's.
    bidir_per_layer : sequence of bool, optional
        For every layer, the reused ones as in the source; by default new layers are as the source's `bidirectional`.
    dropout : float or sequence of float
        Dropout after every layer, reused ones included, or after each, in [0, 1).
    task : str
        "classification" or "regression".
    num_classes : int or None
        K of a classification; 1 is binary. Of a regression leave this out, or give None.
    multi_label : bool
        Whether classes may hold together, each its own yes or no, rather than exclude each other.
    fc_out_bool : bool
        Whether a linear layer makes the outputs. Without it (regression only) they are the last layer's own.
    learning_rate : float
        The optimizer's learning rate, above 0, which its schedule changes.
    model_name : str, optional
        By default the source's with "Transfer" behind it.
    **more
        What else the factory takes: `n_outputs`, `pooling`, `fold` and `steps` (by default the source's where it has
        some) and `seed`.

    Returns
    -------
    dict
        Checked, with the `fold` and `steps` where there are some; `factory(**hparams)` makes the state that
        `reuse_layers` fills.

    Raises
    ------
    TypeError
        If an argument is of another type, or the factory has none of the name.
    ValueError
        If the source is no state, no stack of GRU layers or has fewer than are reused, or an argument is out of its
        range or does not fit the others.

    See Also
    --------
    reuse_layers : put the source's layers into the new state.

    Examples
    --------
    >>> import neurallib as nl
    >>> denoiser = nl.gru_seq2seq(n_features=1, hid_dim=[16, 8], n_layers=2, task="regression", model_name="Denoiser")
    >>> hparams = nl.transfer_hparams(denoiser, 1, [32])
    >>> hparams["hid_dim"], hparams["model_name"]
    ([16, 32], 'DenoiserTransfer')
    >>> state = nl.reuse_layers(nl.gru_seq2seq(**hparams), denoiser, ["gru_layers.0"])
    """
    source = check_state(source, "source")
    check_weights(source, "the source's weights")
    architecture = source["architecture"] if architecture is None else architecture
    validate_architecture_name(architecture)
    for name, role in ((source["architecture"], "source"), (architecture, "architecture")):
        if name not in ("GRUseq2seq", "GRUseq2one"):
            raise ValueError(f"{role} is a {name}; expected GRUseq2seq or GRUseq2one.")
    old = source["hparams"]
    n = old["n_layers"] if reuse_n_layers is None else integer("reuse_n_layers", reuse_n_layers)
    if n > old["n_layers"]:
        raise ValueError(f"reuse_n_layers={n}; the source has {old['n_layers']} layers.")
    new = [integer("an entry of extra_hid_dims", units) for units in items("extra_hid_dims", extra_hid_dims, "sizes")]
    if source["architecture"] == architecture == "GRUseq2one":
        more.setdefault("pooling", old["pooling"])
    before = source["preprocessing"]
    more = folding({"fold": before["fold"], "steps": before["steps"]}) | more  # what the first layer reads
    reused = list(old["bidir_per_layer"][:n])
    both = reused + [old["bidirectional"]] * len(new)
    if bidir_per_layer is not None:
        both = items("bidir_per_layer", bidir_per_layer, "True or False, one for each layer")
        if len(both) != n + len(new) or both[:n] != reused:
            raise ValueError(
                f"bidir_per_layer={both}; expected {n + len(new)} values that begin with the reused layers' {reused}."
            )
    state = ARCHITECTURES[architecture].factory(
        n_features=old["n_features"],
        hid_dim=[*per_layer("hid_dim", old["hid_dim"], old["n_layers"])[:n], *new],
        n_layers=n + len(new),
        dropout=dropout,
        learning_rate=learning_rate,
        bidirectional=old["bidirectional"],
        bidir_per_layer=both,
        task=task,
        num_classes=num_classes,
        multi_label=multi_label,
        fc_out_bool=fc_out_bool,
        model_name=f"{old['model_name']}Transfer" if model_name is None else model_name,
        **more,
    )
    return state["hparams"] | folding(state["preprocessing"])


class _Pairs(NamedTuple):
    layers: dict[str, str]  # as they were asked for, the target's name to the source's
    weights: list[tuple[str, str]]  # name by name


def _pair_weights(
    target: Weights, source: Weights, layers: Iterable[str] | Mapping[str, str], alike: bool
) -> _Pairs:
    """Which weight of the source goes where, or everything that does not fit in one error; `alike` is whether the same
    stands before both networks."""
    if isinstance(layers, Mapping):
        wanted = dict(zip(as_patterns(layers.keys()), as_patterns(layers.values()), strict=True))
    else:
        wanted = {name: name for name in as_patterns(layers)}
    if not wanted:
        raise ValueError("layers is empty; expected the names of the layers to reuse.")
    pairs: list[tuple[str, str]] = []
    wrong: list[str] = []
    for layer, old in wanted.items():
        own = {name: _partner(name, layer, old) for name in matching(target, layer)}
        theirs = matching(source, old)
        for side, name, names, found in (("target", layer, target, own), ("source", old, source, theirs)):
            if not found:
                wrong.append(f"the {side} has no {name!r}, but {known_layers(names, name)}")
        if not own or not theirs:
            continue
        alone = [name for name, partner in own.items() if partner not in theirs]
        extra = [name for name in theirs if name not in own.values()]
        if alone or extra:
            wrong.append(
                f"{layer!r} is not made like the source's {old!r}. Only in the target: {listing(alone)}. "
                f"Only in the source: {listing(extra)}."
            )
        sizes = [
            f"{name} {tuple(target[name].shape)} (source: {partner} {tuple(source[partner].shape)})"
            for name, partner in own.items()
            if partner in theirs and target[name].shape != source[partner].shape
        ]
        if sizes:
            wrong.append(f"{layer!r} is of another size than the source's {old!r}: {listing(sizes)}.")
            if not alike:
                wrong.append("First layers read what fold= and steps= of a factory make; these are not the source's.")
        pairs += own.items()
    twice = sorted({name for name, _ in pairs if sum(name == other for other, _ in pairs) > 1})
    if twice:
        wrong.append(f"asked for more than once: {listing(twice)}.")
    if wrong:
        raise ValueError("layers cannot be reused: " + " ".join(wrong))
    return _Pairs(wanted, pairs)


def _report(target: State, source: State, pairs: _Pairs) -> dict[str, Any]:
    """Where the weights of the new state came from, in values that JSON can hold."""
    weights, names = target["weights"], {name for name, _ in pairs.weights}
    trained = "architecture" in target["training_info"]
    earlier = {} if trained else target["training_info"].get("transfer", {})
    sources = [old | {"layers": _without(old["layers"], names, weights)} for old in earlier.get("sources", [])] + [
        _about(source) | {"layers": pairs.layers}
    ]
    total = count_parameters(weights)
    for entry in sources:
        entry["share"] = sum(weights[name].numel() for layer in entry["layers"] for name in matching(weights, layer))
        entry["share"] /= total
    sources = [entry for entry in sources if entry["layers"]]
    rest = _about(target) if trained else earlier.get("rest")
    return {"share": sum(entry["share"] for entry in sources), "sources": sources, "rest": rest}


def _without(layers: Mapping[str, str], taken: set[str], names: Iterable[str]) -> dict[str, str]:
    """Layers of an earlier source, less the weights that another took the place of."""
    kept: dict[str, str] = {}
    for layer, old in layers.items():
        held = matching(names, layer)
        left = {name: _partner(name, layer, old) for name in held if name not in taken}
        kept |= {layer: old} if len(left) == len(held) else left
    return kept


def _about(state: State) -> dict[str, Any]:
    known = {name: copy.deepcopy(state["training_info"][name]) for name in _TOLD if name in state["training_info"]}
    return {"architecture": state["architecture"], "model_name": state["hparams"]["model_name"], **known}


def _preprocessing(target: Preprocessing, source: Preprocessing) -> Preprocessing:
    """The target's, with what the source's layers have seen where the target does not know: x alone, not the target's
    y."""
    known: dict[str, Any] = dict(new_preprocessing(target))
    for name in ("sampling_frequency", "channels", "units", "window", "steps", "normalization"):
        own, theirs = target.get(name), source.get(name)
        if own is not None and theirs is not None and own != theirs:
            warn(f"the target's {name} is {own!r}, the source's layers learnt with {theirs!r}.")
        known[name] = theirs if own is None else own
    if target.get("steps") is None and n_inputs(1, known["steps"]) > 1:
        known["steps"] = None  # the target's first layer does not read so many features
    if known["normalization"] == "dataset" and known["x_shift"] is None:
        known |= {"x_shift": source["x_shift"], "x_scale": source["x_scale"]}
    return new_preprocessing(known)


def _partner(name: str, layer: str, old: str) -> str:
    return name if layer == old else old + name.removeprefix(layer)
