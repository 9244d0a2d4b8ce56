"""What learns and what stays: freezing by the names of layers and weights, and the plans of transfer learning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from neurallib.architectures import ARCHITECTURES, Architecture, check_state
from neurallib.checks import choice, integer
from neurallib.names import as_patterns, hinted, matching, weights_named
from neurallib.state import Hparams, State, changed

STRATEGIES = ("all", "last_only", "gradual", "new_only")


def freeze(state: State, patterns: str | Iterable[str]) -> State:
    """A new state of which `train` leaves some weights as they are: no gradient, no optimizer state, no weight decay.

    Parameters
    ----------
    state : State
        Stays as it is.
    patterns : str or iterable of str
        Layers ("gru_layers.0"), weights ("fc_out.bias") or patterns ("encoder.*norm*"); beside what is frozen already.

    Returns
    -------
    State
        Its `frozen` holds the patterns; all else is as in `state`.

    Raises
    ------
    TypeError, ValueError
        If `state` is no state, or `patterns` are no names of its weights; the nearest names are told.

    See Also
    --------
    unfreeze : let them learn again.
    freezing_plan : what to freeze of a model on reused layers.

    Examples
    --------
    >>> import neurallib as nl
    >>> state = nl.freeze(nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=2), "gru_layers.0")
    >>> state["frozen"]
    ['gru_layers.0']
    >>> network = nl.build_network(state)
    >>> sorted({name.rpartition(".")[0] for name, weight in network.named_parameters() if weight.requires_grad})
    ['fc_out', 'gru_layers.1']
    """
    state, patterns = check_state(state), as_patterns(patterns)
    for pattern in patterns:
        weights_named(state["weights"], pattern)
    return changed(state, frozen=list(dict.fromkeys([*state["frozen"], *patterns])))


@hinted
def unfreeze(state: State, patterns: str | Iterable[str] = "*") -> State:
    """A new state in which these weights learn again, by default all; what else was frozen stays frozen.

    Parameters
    ----------
    state : State
        Stays as it is.
    patterns : str or iterable of str
        Layers ("gru_layers.0"), weights ("fc_out.bias") or patterns ("encoder.*norm*"); "*" is every weight.

    Returns
    -------
    State
        Its `frozen` lacks what the patterns mean; of a frozen layer that learns again in part, the other weights stay
        frozen by their own names. All else is as in `state`.

    Raises
    ------
    TypeError, ValueError
        If `state` is no state, or `patterns` are no names of its weights; the nearest names are told.

    See Also
    --------
    freeze : keep them as they are.

    Examples
    --------
    >>> import neurallib as nl
    >>> state = nl.freeze(nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=2), ["gru_layers.*", "fc_out"])
    >>> nl.unfreeze(state, "fc_out")["frozen"]
    ['gru_layers.*']
    >>> nl.unfreeze(state)["frozen"]
    []
    """
    state = check_state(state)
    learning = {name for pattern in as_patterns(patterns) for name in weights_named(state["weights"], pattern)}
    frozen: list[str] = []
    for pattern in state["frozen"]:
        held = matching(state["weights"], pattern)
        kept = [name for name in held if name not in learning]
        frozen += [pattern] if kept == held else kept
    return changed(state, frozen=list(dict.fromkeys(frozen)))


@hinted
def freezing_plan(target: State | Hparams, reuse_n_layers: int, strategy: str, depth: int | None = None) -> list[str]:
    """What to `freeze` of a model whose first layers are reused, by the four strategies of NeuralLib.

    Parameters
    ----------
    target : State or dict
        A stack of GRU layers or of Transformer encoder layers, or its hyperparameters.
    reuse_n_layers : int
        How many of its first layers are reused. The layers after them, and `fc_out`, always learn.
    strategy : str
        "all": every reused layer learns; "last_only": the last one alone; "gradual": the last `depth`; "new_only":
        none.
    depth : int, optional
        For "gradual": 0 to reuse_n_layers, by default 1. Raise it between calls of `train` to thaw layer by layer.

    Returns
    -------
    list of str
        Patterns for `freeze`.

    Raises
    ------
    TypeError
        If `reuse_n_layers` or `depth` is no integer.
    ValueError
        If there are fewer layers than are reused, an argument is out of its range, or `target` has no such stack, or
        is no state.

    See Also
    --------
    reuse_layers : put a trained model's layers into a new one.
    freeze, unfreeze : carry the plan out.

    Examples
    --------
    >>> import neurallib as nl
    >>> state = nl.gru_seq2seq(n_features=1, hid_dim=8, n_layers=3)
    >>> nl.freezing_plan(state, 2, "last_only")
    ['gru_layers.0']
    >>> nl.freezing_plan(state, 2, "new_only")
    ['gru_layers.0', 'gru_layers.1']
    """
    choice("strategy", strategy, STRATEGIES)
    stack = _stack(target)
    reused = stack[: integer("reuse_n_layers", reuse_n_layers)]
    if reuse_n_layers > len(stack):
        raise ValueError(f"reuse_n_layers={reuse_n_layers}; the model has {len(stack)} layers.")
    if depth is not None and strategy != "gradual":
        raise ValueError(f"depth={depth} is for strategy='gradual'; this one is {strategy!r}.")
    depth = 1 if depth is None else integer("depth", depth, minimum=0)
    if depth > reuse_n_layers:
        raise ValueError(f"depth={depth}; only reuse_n_layers={reuse_n_layers} are there to learn.")
    n_learning = {"all": reuse_n_layers, "last_only": 1, "gradual": depth, "new_only": 0}[strategy]
    return [name for names in reused[: reuse_n_layers - n_learning] for name in names]


def _stack(target: State | Hparams) -> list[list[str]]:
    """The layers of a model that are stacked on each other, each with the names that belong to it."""
    if not isinstance(target, Mapping) or "hparams" in target:
        state = check_state(target, "target")
        stack = ARCHITECTURES[state["architecture"]].stack(state["hparams"])
    else:
        stack = next(filter(None, (_counted(entry, target) for entry in ARCHITECTURES.values())), [])
    if not stack:
        raise ValueError("target is no stack of layers to count, such as gru_layers: name what to freeze yourself.")
    return stack


def _counted(entry: Architecture, hparams: Hparams) -> list[list[str]]:
    try:
        return entry.stack(hparams)
    except KeyError:  # hyperparameters of another architecture
        return []
