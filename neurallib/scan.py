"""The GRU recurrence over padded batches: the one place that knows about devices and fast paths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from neurallib.sequences import at_last_step, flip_valid, zero_padding


class Direction(NamedTuple):
    """The weights of one direction of one GRU layer, in torch's layout: gates r, z, n."""

    weight_ih: Tensor  # [3H, C]
    weight_hh: Tensor  # [3H, H]
    bias_ih: Tensor  # [3H]
    bias_hh: Tensor  # [3H]


def gru_layer(
    x: Tensor, lengths: Tensor, directions: Sequence[Direction], h0: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Run one GRU layer, in one direction or both, over a right-padded batch.

    Parameters
    ----------
    x : Tensor
        [B, T, C].
    lengths : Tensor
        [B] int64.
    directions : sequence of Direction
        Forward, and reverse where there are two (D = 2). The reverse direction starts at each signal's own last step.
    h0 : Tensor, optional
        [D, B, H], the states to start from; zeros by default.

    Returns
    -------
    output : Tensor
        [B, T, D*H]; zero beyond a length.
    h_n : Tensor
        [D, B, H], the state of each direction after its last step.
    """
    outputs, last_states = [], []
    for d, direction in enumerate(directions):
        start = h0[d] if h0 is not None else x.new_zeros(len(x), direction.weight_hh.shape[1])
        signal = flip_valid(x, lengths) if d == 1 else x
        output = torch.gru(signal, start[None].contiguous(), list(direction), True, 1, 0.0, False, False, True)[0]
        last_states.append(at_last_step(output, lengths))
        outputs.append(flip_valid(output, lengths) if d == 1 else output)
    return zero_padding(torch.cat(outputs, dim=-1), lengths), torch.stack(last_states)


def gru_generate(
    layers: Sequence[Direction],
    fc_weight: Tensor | None,
    fc_bias: Tensor | None,
    h0: Tensor,
    lengths: Tensor,
    n_steps: int,
) -> Tensor:
    """Let a stack of GRU layers generate: each output is the next step's input, the first input is zeros.

    Parameters
    ----------
    layers : sequence of Direction
        The L layers, lowest first.
    fc_weight, fc_bias : Tensor or None
        [F, H] and [F]: the output layer. None: the top layer's state is the output.
    h0 : Tensor
        [L, B, H], each layer's first state.
    lengths : Tensor
        [B] int64.
    n_steps : int
        How many steps to generate.

    Returns
    -------
    Tensor
        [B, n_steps, F]; zero beyond a length. Carries no gradient.
    """
    with torch.no_grad():
        states = list(h0)
        value = h0.new_zeros(h0.shape[1], layers[0].weight_ih.shape[1])
        outputs = []
        for _ in range(n_steps):
            for i, layer in enumerate(layers):
                states[i] = torch.gru_cell(value if i == 0 else states[i - 1], states[i], *layer)
            value = states[-1] if fc_weight is None else torch.nn.functional.linear(states[-1], fc_weight, fc_bias)
            outputs.append(value)
        return zero_padding(torch.stack(outputs, dim=1), lengths)
