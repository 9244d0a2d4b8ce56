"""A signal to be augmented, and how."""

from __future__ import annotations

from typing import Any

import numpy as np

import neurallib as nl

RATE = 125.0


def beats(n_steps: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Spikes whose tops lie in the middle of the labels."""
    at = np.arange(50, n_steps - 20, 97)
    x = np.exp(-0.5 * ((np.arange(n_steps)[:, None] - at) / 3.0) ** 2).sum(axis=1)[:, None]
    return x, nl.peak_labels(at, n_steps, 6)[:, None]


def drawn(augment: Any, seed: int = 0, pair: Any = None) -> tuple[np.ndarray, np.ndarray]:
    """What an augmentation makes of a signal and its target, which it leaves as they are."""
    x, y = pair or beats()
    before = x.copy(), y.copy()
    made = augment(x, y, np.random.default_rng(seed))
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(y, before[1])
    return made
