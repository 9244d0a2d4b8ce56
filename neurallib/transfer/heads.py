"""Another head on the same layers: a trained model's features for a new task."""

from __future__ import annotations

from neurallib.architectures import ARCHITECTURES, check_state, hyperparameters
from neurallib.checks import text
from neurallib.models.folding import folding, weight_shapes
from neurallib.names import hinted, is_named, layer_names, listing, matching
from neurallib.state import State, changed
from neurallib.transfer.freezing import unfreeze
from neurallib.transfer.reuse import reuse_layers

_TASK = ("task", "num_classes", "multi_label", "n_outputs")


@hinted
def replace_head(
    state: State,
    *,
    task: str | None = None,
    num_classes: int | None = None,
    multi_label: bool | None = None,
    n_outputs: int | None = None,
    seed: int = 42,
) -> State:
    """A new state for another task on the layers of this one: their weights are kept, the head's are drawn anew.

    Parameters
    ----------
    state : State
        Stays as it is.
    task : str, optional
        "classification" or "regression"; by default the state's own.
    num_classes : int, optional
        K of a classification; by default the state's, or 1 (binary) where it did regression.
    multi_label : bool, optional
        Whether its classes may hold together; by default not, or as in the state where nothing else is asked for.
    n_outputs : int, optional
        K of a regression; by default what its factory takes, or of the same task the state's.
    seed : int
        Where the head's weights are drawn from; the global random state stays as it is.

    Returns
    -------
    State
        As yet untrained. Its `training_info["transfer"]` tells which share of its weights came from which model, as
        `reuse_layers` does; sampling frequency and normalization hold on, and what was frozen stays frozen but for the
        head. A model without a head (`fc_out_bool=False`) gets one. Weights that read outputs, such as an
        encoder-decoder's, are drawn anew as well where K changes their size.

    Raises
    ------
    TypeError, ValueError
        If `state` is no state, its architecture has no such argument (encoder-decoders do regression alone), or the
        arguments do not fit each other.

    See Also
    --------
    reuse_layers : layers of one model in another.
    freeze : keep the layers as they are while the head learns.

    Examples
    --------
    >>> import neurallib as nl
    >>> denoiser = nl.gru_seq2seq(n_features=1, hid_dim=8, n_layers=2, task="regression")
    >>> state = nl.replace_head(denoiser, task="classification", num_classes=5)
    >>> state["weights"]["fc_out.weight"].shape
    torch.Size([5, 8])
    >>> state["training_info"]["transfer"]["sources"][0]["layers"]
    {'gru_layers.0': 'gru_layers.0', 'gru_layers.1': 'gru_layers.1'}
    """
    state = check_state(state)
    entry, old = ARCHITECTURES[state["architecture"]], state["hparams"]
    given = {"task": task, "num_classes": num_classes, "multi_label": multi_label, "n_outputs": n_outputs}
    asked = {name: value for name, value in given.items() if value is not None}
    if unknown := [name for name in asked if name not in hyperparameters(entry.factory)]:
        raise ValueError(f"{state['architecture']} has no {listing(unknown)}.")
    if task is not None:
        text("task", task)
    same_task = task in (None, old.get("task"))
    same = same_task and set(asked) <= {"task"}
    kept = _TASK if same else _TASK[:2] if same_task else ()
    words = {name: old[name] for name in kept if name in old} | asked
    body = {name: value for name, value in old.items() if name not in _TASK}
    body |= {"fc_out_bool": True} if "fc_out_bool" in old else {}
    inside = folding(state["preprocessing"])
    if not same:  # other outputs are not of the signal
        inside.pop("residual", None)
    new = entry.factory(**body, **words, **inside, seed=seed)
    named = layer_names(weight_shapes(new))
    head = "fc_out" if "fc_out" in named else named[-1]
    left = [
        name
        for name, weight in new["weights"].items()
        if not is_named(name, head)
        and name in state["weights"]
        and weight.shape == state["weights"][name].shape
    ]
    layers: list[str] = []
    for layer in layer_names(left):
        names = matching(new["weights"], layer)
        if set(left) >= set(names):
            layers.append(layer)
            left = [name for name in left if name not in names]
    layers += left
    frozen = unfreeze(state, head)["frozen"] if matching(state["weights"], head) else list(state["frozen"])
    return changed(reuse_layers(new, state, layers), frozen=frozen)
