"""Folding: a network that takes several consecutive samples for the features of one step, and gives the outputs of all.

Time costs a network its steps, a GRU one after the other and attention all with all; samples that come faster than what
they tell of changes need not be steps of their own.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import pad

from neurallib.architectures import ARCHITECTURES, Forward, Shape
from neurallib.checks import integer
from neurallib.sequences import zero_padding
from neurallib.state import Hparams, State, Weights
from neurallib.tasks import n_outputs, task_kind


def check_fold(fold: int, seq2one: bool, hparams: Hparams) -> Hparams:
    """The sizes that a network of these hyperparameters has inside when it folds: `fold` times the features and, with
    an output at each sample, the outputs.

    Raises
    ------
    TypeError, ValueError
        If `fold` is no integer of at least 1.
    """
    if integer("fold", fold) == 1:
        return hparams
    k = n_outputs(hparams) * (1 if seq2one else fold)
    of_task = {"n_outputs": k} if task_kind(hparams) == "regression" else {"num_classes": k, "multi_label": True}
    return hparams | {"n_features": hparams["n_features"] * fold} | of_task


def weight_shapes(state: State) -> dict[str, Shape]:
    """The weights that a state's network has, by name."""
    entry = ARCHITECTURES[state["architecture"]]
    return entry.weight_shapes(check_fold(fold_of(state), entry.seq2one, state["hparams"]))


def forward_of(state: State) -> Forward:
    """What a state's network computes: its architecture's forward function on folded samples."""
    entry, fold = ARCHITECTURES[state["architecture"]], fold_of(state)
    if fold == 1:
        return entry.forward

    def forward(
        weights: Weights,
        hparams: Hparams,
        x: Tensor,
        lengths: Tensor,
        target: Tensor | None,
        training: bool,
        features: bool = False,
    ) -> Tensor:
        inside, n_steps = check_fold(fold, entry.seq2one, hparams), x.shape[1]
        # What lies behind a signal's end would be features of its last step.
        x = _folded(zero_padding(x, lengths), fold)
        if target is not None and not entry.seq2one:
            target = _folded(target if target.dim() == 3 else target[..., None], fold)
        more = (True,) if features else ()
        logits = entry.forward(weights, inside, x, (lengths + fold - 1) // fold, target, training, *more)
        if entry.seq2one or features:
            return logits  # features are those of the folded steps, [B, ceil(T / fold), H]
        unfolded = logits.reshape(len(logits), -1, n_outputs(hparams))
        return zero_padding(unfolded[:, :n_steps], lengths)

    return forward


def fold_of(state: State) -> int:
    """How many samples the state's network takes for one step."""
    return state["preprocessing"].get("fold") or 1


def folding(fold: int) -> Hparams:
    """The argument of a factory that makes a network fold; none for one that does not, which every factory takes."""
    return {"fold": fold} if fold != 1 else {}


def _folded(x: Tensor, fold: int) -> Tensor:
    """[B, T, C] as [B, ceil(T / fold), fold * C], zeros behind the end."""
    x = pad(x, (0, 0, 0, -x.shape[1] % fold))
    return x.reshape(len(x), x.shape[1] // fold, fold * x.shape[2])
