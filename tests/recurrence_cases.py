"""What the recurrence's tests share: torch's packed nn.GRU as the oracle, and scripts in processes of their own."""

import os
import subprocess
import sys
import textwrap

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from neurallib.recurrence.layer import Direction

LENGTHS = [11, 3, 1, 7, 11]


def directions_of(gru: nn.GRU) -> list[Direction]:
    weights = list(gru.parameters())
    return [Direction(*weights[i : i + 4]) for i in range(0, len(weights), 4)]


def packed(gru: nn.GRU, x: Tensor, lengths: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
    output, h_n = gru(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False), h0)
    return pad_packed_sequence(output, batch_first=True, total_length=x.shape[1])[0], h_n


def gradients(outputs: tuple[Tensor, Tensor], inputs: list[Tensor]) -> tuple[Tensor, ...]:
    """Of a weighted sum, so that every element counts in its own way."""
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(output.shape, generator=generator) for output in outputs]
    return torch.autograd.grad(outputs, inputs, weights)


def assert_near(ours: Tensor, theirs: Tensor, relative: float = 1e-4) -> None:
    assert (ours - theirs).norm() <= relative * theirs.norm() + 1e-6


def run_script(script: str, **environment: str) -> str:
    pytest.importorskip("numba")
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], env=os.environ | environment, capture_output=True, text=True,
        timeout=120, check=True,
    )  # fmt: skip
    return run.stdout + run.stderr
