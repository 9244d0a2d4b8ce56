"""What must fit before a recurrence runs: the kernels read and write memory where sizes and lengths say."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from neurallib.recurrence.threads import Direction
from neurallib.sequences import check_lengths, check_shape


def check_layer(x: Tensor, lengths: Tensor, directions: Sequence[Direction], h0: Tensor | None) -> None:
    """Raise ValueError or TypeError unless the arguments of `gru_layer` fit each other."""
    if len(directions) not in (1, 2):
        raise ValueError(f"directions has {len(directions)}; expected one, or two: forward and reverse.")
    n_inputs, n_units = _sizes(directions[0])
    for direction in directions:
        _check_weights("a direction", direction, n_inputs, n_units)
    check_shape(x, n_inputs)
    states = (len(directions), x.shape[0], n_units)
    if h0 is not None and h0.shape != states:
        sizes = f"x {tuple(x.shape)} and h0 {tuple(h0.shape)}"
        raise ValueError(f"{sizes} do not fit the weights; expected {n_inputs} features and h0 {states}.")
    check_lengths(lengths, x.shape[0], x.shape[1])


def check_generation(
    layers: Sequence[Direction],
    fc_weight: Tensor | None,
    fc_bias: Tensor | None,
    h0: Tensor,
    lengths: Tensor,
    n_steps: int,
) -> None:
    """Raise ValueError or TypeError unless the arguments of `gru_generate` fit each other."""
    if not layers:
        raise ValueError("layers is empty; expected at least one.")
    n_features, n_units = _sizes(layers[0])
    for i, layer in enumerate(layers):
        _check_weights(f"layer {i}", layer, n_units if i else n_features, n_units)
    if fc_weight is None:
        if fc_bias is not None or n_features != n_units:
            raise ValueError(
                f"without fc_weight the top layer's {n_units} units are the next step's {n_features} features; "
                "expected as many, and no fc_bias."
            )
    else:
        _check_linear(fc_weight, fc_bias, n_units, n_features)
    if h0.dim() != 3 or h0.shape[1] == 0 or h0.shape != (len(layers), h0.shape[1], n_units):
        raise ValueError(
            f"h0 has shape {tuple(h0.shape)}; expected ({len(layers)}, batch, {n_units}) with at least one signal."
        )
    if n_steps < 1:
        raise ValueError(f"n_steps={n_steps}; expected an integer of at least 1.")
    check_lengths(lengths, h0.shape[1], n_steps)


def check_linear(x: Tensor, weight: Tensor, bias: Tensor) -> None:
    """Raise ValueError unless the arguments of `linear` fit each other."""
    _check_linear(weight, bias, _last(x), weight.shape[0] if weight.dim() else 0)


def _check_linear(weight: Tensor, bias: Tensor | None, n_inputs: int, n_outputs: int) -> None:
    shapes = tuple(weight.shape), (n_outputs,) if bias is None else tuple(bias.shape)
    if shapes != (expected := ((n_outputs, n_inputs), (n_outputs,))):
        raise ValueError(
            f"a linear layer's weight {shapes[0]} and bias {shapes[1]} do not fit {n_inputs} inputs and {n_outputs} "
            f"outputs; expected {expected[0]} and {expected[1]}."
        )


def _sizes(direction: Direction) -> tuple[int, int]:
    """Inputs and units of a layer, by its matrices; at least one, or nothing fits."""
    return max(1, _last(direction.weight_ih)), max(1, _last(direction.weight_hh))


def _last(tensor: Tensor) -> int:
    return tensor.shape[-1] if tensor.dim() else 0


def _check_weights(whose: str, direction: Direction, n_inputs: int, n_units: int) -> None:
    expected = [(3 * n_units, n_inputs), (3 * n_units, n_units), (3 * n_units,), (3 * n_units,)]
    if (shapes := [tuple(weight.shape) for weight in direction]) != expected:
        raise ValueError(f"{whose}'s weights are {shapes}; expected {expected}.")
