"""The one nn.Module: a thin shell around a pure forward function, for optimizers, compilers, DDP and exports."""

from __future__ import annotations

import contextlib
import contextvars
import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from neurallib.architectures import Forward, Shape
from neurallib.checks import as_seed, integer
from neurallib.forks import check_threads
from neurallib.names import is_named, listing
from neurallib.sequences import check_batch
from neurallib.state import Hparams, Weights, seeded_generator
from neurallib.warn import warn


def linear_shapes(name: str, n_in: int, n_out: int) -> dict[str, Shape]:
    """Weight and bias of a linear layer, drawn as torch's nn.Linear draws them."""
    bound = n_in**-0.5
    return {f"{name}.weight": Shape((n_out, n_in), bound), f"{name}.bias": Shape((n_out,), bound)}


def size(name: str, value: Any) -> int:
    """One of a model's sizes as int, or an error; the names of more layers than a thousand would fill the memory."""
    return integer(name, value, maximum=1000 if name.endswith("layers") else None)


_drawing = contextvars.ContextVar("neurallib_drawing", default=True)


@contextlib.contextmanager
def undrawn() -> Iterator[None]:
    """Within the block factories check hyperparameters and draw no weights: for a state that gets a file's."""
    token = _drawing.set(False)
    try:
        yield
    finally:
        _drawing.reset(token)


def is_drawing() -> bool:
    """Whether a factory makes a new model, not the state of one that is read."""
    return _drawing.get()


def draw_weights(shapes: Mapping[str, Shape], seed: int) -> dict[str, Tensor]:
    """Draw every weight uniformly from its interval, with a generator of its own; TypeError or ValueError if `seed` is
    not an integer of at least 0, or the system grants no memory for so many weights."""
    generator = seeded_generator(as_seed(seed))
    if not _drawing.get():
        return {}
    weights = {}
    try:
        n_weights = sum(math.prod(shape.size) for shape in shapes.values())
        torch.empty(n_weights, dtype=torch.float32, device="cpu")  # refused before a page of it is touched
        for name, shape in shapes.items():
            drawn = torch.rand(shape.size, generator=generator, dtype=torch.float32, device="cpu") * 2 - 1
            weights[name] = drawn * shape.bound + shape.center
    except (RuntimeError, TypeError) as error:  # of torch's allocator, or no size that it can read
        largest = max(shapes, key=lambda name: math.prod(shapes[name].size))
        told = f"the largest, {largest}, is {shapes[largest].size}"
        raise ValueError(f"hyperparameters ask for more weights than this machine holds: {told}.") from error
    return weights


def learns(weights: Weights, pattern: str) -> bool:
    """Whether a layer takes gradients; a frozen one does in training what it does outside it, without dropout."""
    return any(weight.requires_grad for name, weight in weights.items() if is_named(name, pattern))


def taught(x: Tensor, target: Tensor, n_outputs: int) -> Tensor:
    """The target of an encoder-decoder, [B, T, K], shifted right by one step: what its decoder reads when it learns.
    Values that are not known (nan) it reads as 0. ValueError if it is not as long as `x`, or has other features."""
    wanted = (*x.shape[:2], n_outputs)
    if [size for size in target.shape if size != 1] != [size for size in wanted if size != 1]:
        raise ValueError(f"target has shape {tuple(target.shape)}; teacher forcing expects {wanted}, as x is long.")
    return pad(target.to(x.dtype).masked_fill(target.isnan(), 0).reshape(wanted), (0, 0, 1, -1))


_INSTEAD = (
    "it holds parameters, of which the network computes by itself. network(x, lengths, features=True) gives what its "
    "head, fc_out, reads; hooks of the whole network and of its parameters are called."
)


class _Layer(nn.Module):
    """The parameters of a layer, under its name; who wants to call it, or to be told when it is called, is told."""

    def forward(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError(f"a layer of a network cannot be called: {_INSTEAD}")

    def register_forward_hook(self, hook: Any, *given: Any, **more: Any) -> Any:
        _tell_of(hook)
        return super().register_forward_hook(hook, *given, **more)

    def register_forward_pre_hook(self, hook: Any, *given: Any, **more: Any) -> Any:
        _tell_of(hook)
        return super().register_forward_pre_hook(hook, *given, **more)

    def register_full_backward_hook(self, hook: Any, *given: Any, **more: Any) -> Any:
        _tell_of(hook)
        return super().register_full_backward_hook(hook, *given, **more)


def _tell_of(hook: Any) -> None:
    if not type(hook).__module__.startswith("torch.nn.utils."):  # pruning: weights_of tells of that
        warn(f"a hook of a layer is never called: {_INSTEAD}")


class Network(nn.Module):
    """Parameters under their weight names, and the architecture's forward function over them.

    Built by `build_network`; never subclassed. `state_dict()` has the names of `state["weights"]`.

    Parameters
    ----------
    weights : mapping of str to Tensor
        By name; the network computes with copies of them.
    hparams : dict
        The state's hyperparameters.
    forward : callable
        The architecture's forward(weights, hparams, x, lengths, target, training, features=False) -> logits.

    See Also
    --------
    build_network : the network of a state.
    state_from_network : a state with a network's weights.

    Examples
    --------
    >>> import torch
    >>> import neurallib as nl
    >>> state = nl.transformer_seq2seq(n_features=1, d_model=8, nhead=2, dim_feedforward=16)
    >>> network = nl.build_network(state).eval()
    >>> isinstance(network, nl.Network)
    True
    >>> logits = network(torch.zeros(2, 5, 1), torch.tensor([5, 3]))
    >>> logits.shape
    torch.Size([2, 5, 1])
    >>> network(torch.zeros(2, 5, 1), torch.tensor([5, 3]), features=True).shape
    torch.Size([2, 5, 8])
    """

    def __init__(self, weights: Weights, hparams: Hparams, forward: Forward) -> None:
        super().__init__()
        self._hparams = dict(hparams)
        self._forward = forward
        self._names = tuple(weights)
        for name, weight in weights.items():
            *path, last = name.split(".")
            holder: nn.Module = self
            for part in path:
                if part not in dict(holder.named_children()):
                    holder.add_module(part, _Layer())
                holder = holder.get_submodule(part)
            holder.register_parameter(last, nn.Parameter(weight.detach().clone()))

    def forward(
        self, x: Tensor, lengths: Tensor | None = None, target: Tensor | None = None, features: bool = False
    ) -> Tensor:
        """Logits of a padded batch, or the features that they are made of.

        Parameters
        ----------
        x : Tensor
            [B, T, C] float32, or whatever dtype the network was moved to.
        lengths : Tensor, optional
            [B] int64, the valid steps of each signal, from 1 to T; by default every signal fills the batch.
        target : Tensor, optional
            [B, T, K] float32, for teacher forcing. Only encoder-decoders look at it; without it they generate.
        features : bool
            Stop before the head (`fc_out`), which makes logits of features.

        Returns
        -------
        Tensor
            [B, T, K], zero beyond a length; [B, K] of an architecture with one output a signal. Of features K is the
            width of what the head reads.

        Raises
        ------
        ValueError
            If the shape of `x`, its device, the lengths or, for an encoder-decoder, the target do not fit, or something
            has renamed parameters, as pruning and weight norm do.
        TypeError
            If `x` is no tensor of the weights' dtype (autocast takes others), or the lengths are no whole numbers.
        """
        check_threads()
        weights = weights_of(self)
        lengths = check_batch(x, lengths, self._hparams["n_features"], next(iter(weights.values())))
        more = (True,) if features else ()  # so that an architecture of one's own need not know of features
        return self._forward(weights, self._hparams, x, lengths, target, self.training, *more)


def weights_of(network: Network) -> dict[str, Tensor]:
    """The parameters of a network by name, or ValueError where one of its names is gone: an architecture would take
    that for a weight which the model does not have."""
    weights: dict[str, Tensor] = dict(network.named_parameters())
    if missing := [name for name in network._names if name not in weights]:
        others = listing(sorted(set(weights).difference(network._names)))
        raise ValueError(
            f"network has no parameter {listing(missing)}, and has {others} beside its own: pruning, weight norm and "
            "other parametrizations rename them. torch.nn.utils.prune.remove or parametrize.remove_parametrizations "
            "gives the name back, and torch.func.functional_call(network, weights, (x, lengths)) with another network "
            "of build_network takes weights made in any way."
        )
    return weights
