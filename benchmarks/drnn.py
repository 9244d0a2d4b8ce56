"""A network for comparison in bench_denoising.py: the recurrent denoiser of Antczak (2018), trained by a plain loop.

One LSTM of 64 units, two dense layers of 64 with ReLU and one of a single unit, on windows of 512 samples at 360 Hz;
mean squared error and Adam at 1e-3, on ECG of other people with the kinds of noise that it is measured on, from -8 to
20 dB. The paper trains on far more; here it gets minutes of one core, and the number of its steps is told beside it.

K. Antczak, Deep Recurrent Neural Networks for ECG Signal Denoising, arXiv:1807.11551, 2018.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

RATE, SIZE, BATCH = 360.0, 512, 32
SNR = (-8.0, 20.0)  # dB
Noise = Callable[[str, int, np.random.Generator], np.ndarray]  # a kind, so many samples at RATE -> [n]


class Drnn(nn.Module):
    """Windows [B, T, 1] -> [B, T, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(1, 64, batch_first=True)
        self.dense = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Each window by itself, from its first sample on."""
        denoised: Tensor = self.dense(self.lstm(x)[0])
        return denoised


def trained(signals: Sequence[np.ndarray], noise: Noise, minutes: float, seed: int = 0) -> tuple[Drnn, int]:
    """The network after so many CPU minutes on clean signals [T, 1] at RATE, and how many steps these were."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = Drnn()
    optimizer, generator = torch.optim.Adam(network.parameters(), lr=1e-3), np.random.default_rng(seed)
    n_steps, began = 0, time.process_time()
    while time.process_time() - began < 60 * minutes:
        x, y = (torch.from_numpy(part) for part in batch(signals, noise, generator))
        optimizer.zero_grad()
        nn.functional.mse_loss(network(x), y).backward()
        optimizer.step()
        n_steps += 1
    return network.eval(), n_steps


def batch(
    signals: Sequence[np.ndarray], noise: Noise, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Noisy and clean windows [B, T, 1] float32, divided by the noisy one's size."""
    noisy = np.empty((BATCH, SIZE, 1), np.float32)
    clean = np.empty_like(noisy)
    for i in range(BATCH):
        signal = signals[generator.integers(len(signals))]
        start = generator.integers(0, len(signal) - SIZE + 1)
        y = signal[start : start + SIZE, 0]
        added = noise(str(generator.choice(["bw", "ma", "em", "mixed"])), SIZE, generator)
        power = max(signal.var(), 1e-12) / 10 ** (generator.uniform(*SNR) / 10)
        x = y + np.sqrt(power / max(added.var(), 1e-12)) * added
        scale = size_of(x)
        noisy[i, :, 0], clean[i, :, 0] = x / scale, y / scale
    return noisy, clean


def size_of(x: np.ndarray) -> float:
    """What a window [T] is divided by."""
    return float(x.std()) or 1.0


def denoised(network: Drnn, recording: Mapping[str, Any]) -> np.ndarray:
    """The signal [T, 1] of a recording at RATE without its noise, window by window, each half over the last one: of
    each its second half is taken, which has heard what came before."""
    signal = np.asarray(recording["signal"], np.float64)[:, 0]
    half = SIZE // 2
    padded = np.pad(signal, (half, half + -len(signal) % half))
    windows = np.lib.stride_tricks.sliding_window_view(padded, SIZE)[::half]
    scales = np.array([size_of(window) for window in windows])[:, None]
    with torch.inference_mode():
        outputs = network(torch.from_numpy((windows / scales).astype(np.float32))[:, :, None])[:, half:, 0].numpy()
    return np.asarray((outputs * scales).reshape(-1)[: len(signal), None])
