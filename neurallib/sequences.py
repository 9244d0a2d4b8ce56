"""Sequences of different lengths in one padded batch: lengths, masks, padding and the length-aware flip."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def valid_mask(lengths: Tensor, n_steps: int) -> Tensor:
    """Where a padded batch holds signal.

    Parameters
    ----------
    lengths : Tensor
        [B] int64, the number of valid steps of each signal.
    n_steps : int
        T, the number of steps of the padded batch.

    Returns
    -------
    Tensor
        [B, T] bool, True on valid steps.

    See Also
    --------
    collate_fn : pads signals into a batch.
    flip_valid : reverse each signal within its own length.

    Examples
    --------
    >>> import torch
    >>> import neurallib as nl
    >>> nl.valid_mask(torch.tensor([3, 1]), 3)
    tensor([[ True,  True,  True],
            [ True, False, False]])
    """
    if not isinstance(lengths, Tensor) or lengths.dim() != 1:
        raise TypeError(f"lengths={lengths!r:.60}; expected a tensor [B], the steps of each signal.")
    return torch.arange(n_steps, device=lengths.device) < lengths[:, None]


def zero_padding(x: Tensor, lengths: Tensor) -> Tensor:
    """`x` [B, T, ...] with zeros at every step beyond its signal's length."""
    mask = valid_mask(lengths, x.shape[1])
    return x.masked_fill(~mask.reshape(mask.shape + (1,) * (x.dim() - 2)), 0)


def flip_valid(x: Tensor, lengths: Tensor) -> Tensor:
    """Reverse each signal in time within its own length; padding stays where it is.

    Parameters
    ----------
    x : Tensor
        [B, T, ...], any dtype.
    lengths : Tensor
        [B] int64, the number of valid steps of each signal.

    Returns
    -------
    Tensor
        Of the shape of `x`. Flipped once more it is `x` again.

    See Also
    --------
    valid_mask : which steps are a signal's.

    Examples
    --------
    >>> import torch
    >>> import neurallib as nl
    >>> x = torch.tensor([[1, 2, 3], [4, 5, 0]])[:, :, None]
    >>> nl.flip_valid(x, torch.tensor([3, 2])).squeeze(-1)
    tensor([[3, 2, 1],
            [5, 4, 0]])
    """
    for name, given, least in (("x", x, 2), ("lengths", lengths, 1)):
        if not isinstance(given, Tensor) or given.dim() < least:
            raise TypeError(f"{name}={given!r:.60}; expected tensors, x [B, T, ...] and lengths [B].")
    steps = torch.arange(x.shape[1], device=x.device)
    mirrored = lengths[:, None] - 1 - steps
    index = torch.where(mirrored >= 0, mirrored, steps)
    return x.gather(1, index.reshape(index.shape + (1,) * (x.dim() - 2)).expand_as(x))


def at_last_step(x: Tensor, lengths: Tensor) -> Tensor:
    """The value of `x` [B, T, C] at each signal's last valid step, [B, C]."""
    index = (lengths - 1)[:, None, None].expand(-1, 1, x.shape[2])
    return x.gather(1, index).squeeze(1)


def pad(signals: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Stack signals [T_i, ...] into one batch [B, max T_i, ...], right-padded with zeros, in the order given; and their
    lengths, [B] int64."""
    lengths = torch.tensor([len(signal) for signal in signals], dtype=torch.int64)
    # Row by row: torch fills a large batch with all threads, which on a busy machine wait milliseconds for each other.
    dtype = functools.reduce(torch.promote_types, {signal.dtype for signal in signals})  # whole numbers cut others off
    batch = signals[0].new_empty((len(signals), int(lengths.max()), *signals[0].shape[1:]), dtype=dtype)
    for i, signal in enumerate(signals):
        batch[i, : len(signal)] = signal
        batch[i, len(signal) :] = 0
    return batch, lengths


def check_batch(x: Tensor, lengths: Tensor | None, n_features: int, weight: Tensor) -> Tensor:
    """Return the lengths of a padded batch for a network with such a weight, or raise ValueError or TypeError that says
    what does not fit."""
    dtype = weight.dtype
    if not isinstance(x, Tensor):
        raise TypeError(f"x is a {type(x).__name__}; expected a tensor: torch.as_tensor(x, dtype={dtype}).")
    if x.dtype != dtype and not (x.dtype in _AUTOCAST and torch.is_autocast_enabled(x.device.type)):
        raise TypeError(f"x is a tensor of {x.dtype}; expected {dtype}, as the weights are: x.to({dtype}).")
    if x.device != weight.device:
        way = f"{{name: tensor.to({str(weight.device)!r}) for name, tensor in batch.items()}}"
        raise ValueError(f"x is on {x.device}; expected {weight.device}, where the weights are, as after {way}.")
    check_shape(x, n_features)
    return as_lengths(lengths, x)


def as_lengths(lengths: Any, x: Tensor) -> Tensor:
    """The lengths of a padded batch [B, T, ...] as int64 on its device, None being all of T; or ValueError or TypeError
    that says what does not fit."""
    if lengths is None:
        return torch.full((x.shape[0],), x.shape[1], dtype=torch.int64, device=x.device)
    try:
        given = torch.as_tensor(lengths)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"lengths={lengths!r}; expected a whole number for each signal, [B] int64.") from error
    given = given.to(torch.int64) if given.dtype in _INTEGERS else given
    check_lengths(given, x.shape[0], x.shape[1])
    return given.to(x.device)


_AUTOCAST = (torch.float32, torch.bfloat16, torch.float16)
_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32)


def check_shape(x: Tensor, n_features: int) -> None:
    """Raise ValueError unless `x` is a padded batch [B, T, n_features] that holds something."""
    if x.dim() != 3 or x.shape[0] == 0 or x.shape[1] == 0 or x.shape[2] != n_features:
        raise ValueError(
            f"x has shape {tuple(x.shape)}; expected [batch, time, {n_features}] with at least one signal and one step."
        )


def check_lengths(lengths: Tensor, n_signals: int, n_steps: int) -> None:
    """Raise ValueError unless there is a length for each signal, from 1 to `n_steps`; TypeError unless in int64.

    Those on another device are trusted by value, because a look at them would make the host wait for the device.
    """
    if lengths.shape != (n_signals,):
        shape = tuple(lengths.shape)
        raise ValueError(f"lengths has shape {shape}; expected one length for each of {n_signals} signals.")
    if lengths.dtype != torch.int64:
        raise TypeError(f"lengths has dtype {lengths.dtype}; expected torch.int64.")
    if lengths.device.type == "cpu" and not torch.compiler.is_compiling():
        if int(lengths.min()) < 1 or int(lengths.max()) > n_steps:
            raise ValueError(f"lengths={lengths.tolist()}; expected each between 1 and {n_steps}, the steps of x.")
