"""Folding: a network that takes several consecutive samples for the features of one step, and gives the outputs of all;
and what is added to its signal.

Time costs a network its steps, a GRU one after the other and attention all with all; samples that come faster than what
they tell of changes need not be steps of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from neurallib.architectures import ARCHITECTURES, Forward, Shape
from neurallib.checks import boolean, integer
from neurallib.sequences import zero_padding
from neurallib.state import Hparams, State, Steps, Weights
from neurallib.steps import check_steps, n_inputs
from neurallib.tasks import n_outputs, task_kind


def check_fold(fold: int, seq2one: bool, hparams: Hparams, steps: Steps | None = None) -> Hparams:
    """The sizes that a network of these hyperparameters has inside: the features that steps make of a signal's and,
    when it folds, `fold` times these and, with an output at each sample, the outputs. TypeError or ValueError if `fold`
    is no integer of at least 1, or a step is wrong."""
    n_features = n_inputs(hparams["n_features"], check_steps(steps)) * integer("fold", fold)
    if n_features == hparams["n_features"]:
        return hparams
    k = n_outputs(hparams) * (1 if seq2one else fold)
    if task_kind(hparams) == "regression":
        return hparams | {"n_features": n_features, "n_outputs": k}
    return hparams | {"n_features": n_features} | ({"num_classes": k, "multi_label": True} if fold > 1 else {})


def weight_shapes(state: State) -> dict[str, Shape]:
    """The weights that a state's network has, by name."""
    return ARCHITECTURES[state["architecture"]].weight_shapes(_inside(state))


def input_hparams(state: State) -> Hparams:
    """The hyperparameters with as many features as the network is handed of each sample."""
    return state["hparams"] | {"n_features": n_inputs(state["hparams"]["n_features"], steps_of(state))}


def forward_of(state: State) -> Forward:
    """What a state's network computes: its architecture's forward function on folded samples."""
    entry, fold = ARCHITECTURES[state["architecture"]], fold_of(state)
    inside = _inside(state)
    if inside is state["hparams"] and not is_residual(state):
        return entry.forward
    k, scale = n_outputs(state["hparams"]), signal_scale_of(state)

    def forward(
        weights: Weights,
        hparams: Hparams,
        x: Tensor,
        lengths: Tensor,
        target: Tensor | None,
        training: bool,
        features: bool = False,
    ) -> Tensor:
        n_steps = x.shape[1]
        # What lies behind a signal's end would be features of its last step.
        signal, x = x, _folded(zero_padding(x, lengths), fold)
        if target is not None and not entry.seq2one:
            target = _folded(target if target.dim() == 3 else target[..., None], fold)
        more = (True,) if features else ()
        logits = entry.forward(weights, inside, x, (lengths + fold - 1) // fold, target, training, *more)
        if entry.seq2one or features:
            return logits  # features are those of the folded steps, [B, ceil(T / fold), H]
        unfolded = logits.reshape(len(logits), -1, k)[:, :n_steps]
        if scale is not None:
            unfolded = unfolded + signal[..., :k] * scale.to(signal)
        return zero_padding(unfolded, lengths)

    return forward


def _inside(state: State) -> Hparams:
    """The hyperparameters of the state's network, as `check_fold` gives them."""
    hparams, before = state["hparams"], state["preprocessing"]
    if before.get("fold") is None and before.get("steps") is None:
        return hparams
    return check_fold(fold_of(state), ARCHITECTURES[state["architecture"]].seq2one, hparams, steps_of(state))


def fold_of(state: State) -> int:
    """How many samples the state's network takes for one step."""
    return state["preprocessing"].get("fold") or 1


def steps_of(state: State) -> Steps | None:
    """The filters that stand before the state's network."""
    return state["preprocessing"].get("steps")


def is_residual(state: State) -> bool:
    """Whether the outputs of the state's network are added to its signal."""
    return bool(state["preprocessing"].get("residual"))


def signal_scale_of(state: State) -> Tensor | None:
    """What a residual network's signal is multiplied by before outputs are added to it, [K], which puts it into the
    units of outputs; None where nothing is added."""
    if not is_residual(state):
        return None
    known = state["preprocessing"]
    of_signal = known.get("target_normalization") == "signal" and known.get("y_scale") is not None
    return 1 / torch.tensor(known["y_scale"]) if of_signal else torch.ones(n_outputs(state["hparams"]))


def check_residual(residual: bool, hparams: Hparams) -> bool:
    """`residual`, or ValueError where there is no output of each step for each channel."""
    fits = task_kind(hparams) == "regression" and n_outputs(hparams) == hparams["n_features"]
    if boolean("residual", residual) and not fits:
        raise ValueError(
            f"residual=True adds outputs to the signal: it is for a regression with as many outputs as features; this "
            f"one is a {task_kind(hparams)} with {n_outputs(hparams)} for {hparams['n_features']}."
        )
    return residual


def folding(preprocessing: Mapping[str, Any]) -> Hparams:
    """The arguments of a factory beside hyperparameters, so that the network takes what a preprocessing makes; none
    for one without a word of it, which every factory takes."""
    return {name: preprocessing[name] for name in ("fold", "steps", "residual") if preprocessing.get(name)}


def _folded(x: Tensor, fold: int) -> Tensor:
    """[B, T, C] as [B, ceil(T / fold), fold * C], zeros behind the end."""
    x = pad(x, (0, 0, 0, -x.shape[1] % fold))
    return x.reshape(len(x), x.shape[1] // fold, fold * x.shape[2])
