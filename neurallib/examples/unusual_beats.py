"""What few hearts do, made of the signals of others: augmentations of the denoiser's recipe, whose model would take it
for noise otherwise. Signals are [T, 1]; targets stay as they are."""

from __future__ import annotations

import numpy as np

from neurallib.examples.recipes import smooth

SAMPLING_FREQUENCY = 180  # Hz
Pair = tuple[np.ndarray, np.ndarray]


def other_beats(x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> Pair:
    """One to four beats unlike the others in the signal, as ventricular ones are: wider, or the wave's slope in its
    place, of another size, either side up."""
    wide = _wider(x, generator, (0.02, 0.07))
    size, half = generator.choice([-1.0, 1.0]) * generator.uniform(0.7, 2.0), SAMPLING_FREQUENCY // 2
    wide *= size
    width, share = generator.uniform(0.12, 0.25) * SAMPLING_FREQUENCY, np.zeros(len(x))
    for place in generator.integers(0, len(x), generator.integers(1, 5)):
        first = max(0, place - half)
        peak = first + int(np.abs(x[first : place + half, 0]).argmax())
        share = np.maximum(share, np.exp(-0.5 * ((np.arange(len(x)) - peak) / width) ** 4))
    return ((1 - share) * x[:, 0] + share * wide)[:, None], y


def wide_waves(x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> Pair:
    """A signal with wide waves alone, as of a ventricle that beats by itself."""
    return _wider(x, generator, (0.03, 0.09))[:, None], y


def ventricular_beats(x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> Pair:
    """Wide beats of one shape, anywhere or at one distance from every first to third beat: up to four waves, each of
    which comes and goes at a pace of its own."""
    beat = np.arange(-SAMPLING_FREQUENCY // 2, SAMPLING_FREQUENCY)
    seconds = beat / SAMPLING_FREQUENCY
    middle, rise, fall = generator.uniform((0, 0.008, 0.008), (0.05, 0.06, 0.06))
    shape = _wave(seconds, middle, rise, fall)
    for _ in range(generator.integers(1, 4)):
        middle += generator.uniform(0.03, 0.2)
        shape += generator.uniform(-1.2, 1.2) * _wave(seconds, middle, *generator.uniform((0.01, 0.03), (0.12, 0.2)))
    shape *= generator.choice([-1, 1]) * generator.uniform(0.5, 2) * np.abs(x).max() / np.abs(shape).max()
    share = np.exp(-0.5 * ((seconds - 0.15) / generator.uniform(0.2, 0.35)) ** 4)
    places = generator.integers(0, len(x), generator.integers(1, 7))
    if generator.random() < 0.5:
        slope = np.abs(np.gradient(x[:, 0]))
        steep = np.flatnonzero(slope > 0.5 * slope.max())
        beats = steep[np.diff(steep, prepend=-len(x)) > 0.3 * SAMPLING_FREQUENCY]
        places = beats[:: generator.integers(1, 4)] + round(generator.uniform(0.3, 0.7) * SAMPLING_FREQUENCY)
    changed = x[:, 0].copy()
    for place in places:
        within = (beat + place >= 0) & (beat + place < len(x))
        at = (beat + place)[within]
        changed[at] += share[within] * (generator.uniform(0.9, 1.1) * shape[within] - changed[at])
    return changed[:, None], y


def flutter(x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> Pair:
    """A stretch of 2 to 12 s in which the ventricle flutters or fibrillates: one and a half to six waves a second, of
    which rate, size and shape are hardly steady."""
    steps = np.arange(len(x))
    seconds, half = steps / SAMPLING_FREQUENCY, SAMPLING_FREQUENCY // 2
    knots = np.arange(0, len(x) + half, half)

    def unsteady(spread: float) -> np.ndarray:
        return np.interp(steps, knots, generator.normal(0, spread, len(knots)))

    phase = 2 * np.pi * np.cumsum(generator.uniform(1.5, 6) * np.exp(unsteady(0.12))) / SAMPLING_FREQUENCY
    shape, wave = (0.3 if generator.random() < 0.5 else 0.0), np.zeros(len(x))
    for harmonic, size in enumerate((1, *generator.uniform(0, (0.6, 0.35, 0.2))), 1):
        wave += size * np.cos(harmonic * phase + generator.uniform(0, 2 * np.pi) + unsteady(shape))
    wave *= np.exp(unsteady(generator.uniform(0, 0.5)))
    wave *= generator.uniform(0.3, 1.5) * np.abs(x).max() / np.abs(wave).max()
    length = generator.uniform(2, 12)
    start = generator.uniform(-length / 2, seconds[-1] - length / 2)
    fading = np.minimum(seconds - start, start + length - seconds) / generator.uniform(0.05, 0.3)
    share = np.clip(fading, 0, 1)
    return ((1 - share) * x[:, 0] + share * wave)[:, None], y


def _wider(x: np.ndarray, generator: np.random.Generator, spread: tuple[float, float]) -> np.ndarray:
    """The signal [T], smoothed by so many seconds, or its slope, as high as it was."""
    wide = smooth(x[:, 0], generator.uniform(*spread) * SAMPLING_FREQUENCY)
    if generator.random() < 0.5:
        wide = np.gradient(wide)
    return np.asarray(wide * (np.abs(x).max() / (np.abs(wide).max() or 1.0)))


def _wave(seconds: np.ndarray, middle: float, rise: float, fall: float) -> np.ndarray:
    return np.asarray(np.exp(-0.5 * ((seconds - middle) / np.where(seconds < middle, rise, fall)) ** 2))
