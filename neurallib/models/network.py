"""The one nn.Module: a thin shell around a pure forward function, for optimizers, compilers, DDP and exports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from neurallib.checks import integer
from neurallib.names import is_named
from neurallib.sequences import check_batch
from neurallib.state import Hparams, Weights, seeded_generator

Forward = Callable[[Weights, Hparams, Tensor, Tensor, "Tensor | None", bool], Tensor]


class Shape(NamedTuple):
    """A weight's size, and the interval center +/- bound from which it is drawn."""

    size: tuple[int, ...]
    bound: float
    center: float = 0.0


def linear_shapes(name: str, n_in: int, n_out: int) -> dict[str, Shape]:
    """Weight and bias of a linear layer, drawn as torch's nn.Linear draws them."""
    bound = n_in**-0.5
    return {f"{name}.weight": Shape((n_out, n_in), bound), f"{name}.bias": Shape((n_out,), bound)}


def draw_weights(shapes: Mapping[str, Shape], seed: int) -> dict[str, Tensor]:
    """Draw every weight uniformly from its interval, with a generator of its own.

    Raises
    ------
    TypeError, ValueError
        If `seed` is not an integer of at least 0.
    """
    generator = seeded_generator(integer("seed", seed, minimum=0))
    return {
        name: (torch.rand(shape.size, generator=generator, dtype=torch.float32) * 2 - 1) * shape.bound + shape.center
        for name, shape in shapes.items()
    }


def learns(weights: Weights, pattern: str) -> bool:
    """Whether a layer takes gradients; a frozen one does in training what it does outside it, without dropout."""
    return any(weight.requires_grad for name, weight in weights.items() if is_named(name, pattern))


class Network(nn.Module):
    """Parameters under their weight names, and the architecture's forward function over them.

    Built by `build_network`; never subclassed. `state_dict()` has the names of `state["weights"]`.
    """

    def __init__(self, weights: Weights, hparams: Hparams, forward: Forward) -> None:
        super().__init__()
        self._hparams = dict(hparams)
        self._forward = forward
        for name, weight in weights.items():
            *path, last = name.split(".")
            holder: nn.Module = self
            for part in path:
                if part not in dict(holder.named_children()):
                    holder.add_module(part, nn.Module())
                holder = holder.get_submodule(part)
            holder.register_parameter(last, nn.Parameter(weight.detach().clone()))

    def forward(self, x: Tensor, lengths: Tensor | None = None, target: Tensor | None = None) -> Tensor:
        """Logits of a padded batch.

        Parameters
        ----------
        x : Tensor
            [B, T, C] float32, or whatever dtype the network was moved to.
        lengths : Tensor, optional
            [B] int64; by default every signal fills the batch.
        target : Tensor, optional
            [B, T, K] float32, for teacher forcing. Only encoder-decoders look at it; without it they generate.

        Returns
        -------
        Tensor
            [B, T, K], zero beyond a length; [B, K] of an architecture with one output a signal.

        Raises
        ------
        ValueError
            If the shape of `x` or the lengths do not fit.
        TypeError
            If `x` is no tensor of the weights' dtype (autocast takes others), or the lengths are no whole numbers.
        """
        weights = dict(self.named_parameters())
        lengths = check_batch(x, lengths, self._hparams["n_features"], next(iter(weights.values())).dtype)
        return self._forward(weights, self._hparams, x, lengths, target, self.training)
