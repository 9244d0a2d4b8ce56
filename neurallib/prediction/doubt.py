"""How undecided a state is of the events that it sees, and a word where arrays without a rate may be of another."""

from __future__ import annotations

import numpy as np

from neurallib.warn import warn

# Of signals together: ECG with muscle noise 6 dB louder has 0.6, at worst 1.1; that of 500 Hz taken as of 125 has 1.6.
UNTOLD = 1.2


def sums_of(probabilities: np.ndarray) -> np.ndarray:
    """[3, K], of steps [n, K]: how many there are, how much of an event they see, and how undecided they are."""
    told = np.isfinite(probabilities)
    p = np.where(told, probabilities, 0.0)
    return np.stack([told.sum(axis=0), p.sum(axis=0), (2 * np.minimum(p, 1 - p)).sum(axis=0)])


def doubt_of(sums: np.ndarray) -> np.ndarray:
    """How undecided a state is for each step of an event that it sees, of sums [3, ...]: much where it hears noise,
    little where it sees no event and is sure of that."""
    n, seen, undecided = np.maximum(sums[0], 1), *sums[1:]
    return np.asarray((undecided / n + 1e-4) / (seen / n + 1e-3))


def check_rate(sums: np.ndarray, rate: float | None) -> None:
    """A word where a state that tells events from noise hears noise in signals of which nobody told the rate."""
    if doubt_of(sums) > UNTOLD:
        warn(
            f"the signals are taken as of {rate:g} Hz, the state's, and what is found cannot be told from noise: are "
            "they of another rate? sampling_frequency= tells which."
        )
