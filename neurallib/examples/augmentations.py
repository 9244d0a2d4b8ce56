"""What augmentation makes of a signal: one stretch of ECG with its beats, as it is and as each function changes it.

Look at your own signals so before training with `augment=`: is the beat still under its mark, would you still find it?
Run `python -m neurallib.examples.augmentations --recording mitdb/119 --noise nstdb/ma`; synthetic without.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

import neurallib as nl
from neurallib.examples.recipes import make_parser, resampled, start

SECONDS, AT = 6, 60  # shown, and where in a recording they begin

logger = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Run the example, and return by name what each augmentation gave: signal [T, 1] and labels [T, 1]."""
    parser = make_parser(__doc__, epochs=0, signals=1)
    parser.add_argument("--recording", type=Path, help="ECG with annotated beats [synthetic]")
    parser.add_argument("--noise", type=Path, help="a recording of nothing but noise [white noise]")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn [0]")
    arguments = start(parser, argv)
    signal, beats, rate = synthetic() if arguments.recording is None else recorded(arguments.recording)
    noise = None if arguments.noise is None else [resampled(nl.read_recording(arguments.noise), rate)]
    labels = np.zeros((len(signal), 1), np.float32)
    labels[beats] = 1
    found = {
        name: augment(signal, labels, np.random.default_rng(arguments.seed))
        for name, augment in augmentations(rate, noise).items()
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    picture = arguments.out / "augmentations.png"
    draw(found, rate, picture)
    logger.info("%d augmentations of %d s with %d beats; picture: %s", len(found) - 1, SECONDS, len(beats), picture)
    return found


def augmentations(rate: float, noise: list[np.ndarray] | None) -> dict[str, Any]:
    """Each by what it imitates."""
    return {
        "as it is": nl.compose_augmentations(),
        "another gain, upside down": nl.augment_scale((2, 2), inversion=1),
        "a gain that drifts": nl.augment_scale((1, 1), drift=(0.3, 2)),
        "another heart rate": nl.augment_stretch((0.6, 0.6)),
        "an uneven rhythm": nl.augment_rhythm(rate, (0.5, 0.5), irregularity=(0.5, 2)),
        "a pacemaker": nl.augment_pacing(rate, (0.6, 0.6)),
        "another lead": nl.augment_lead((60, 60)),
        "a slower recorder": nl.augment_resampling(rate, (40, 40)),
        "noise, 6 dB": nl.augment_noise(noise, snr=(6, 6)),
        "noise played six times as fast": nl.augment_noise(noise, snr=(6, 6), speed=(6, 6)),
        "a burst of noise": nl.augment_noise(noise, snr=(-6, -6), burst=True),
        "motion of an electrode": nl.augment_motion(rate, snr=(0, 0)),
        "mains hum": nl.augment_hum(rate, snr=(10, 10)),
        "no contact for a while": nl.augment_dropout(rate),
        "the beginning missing": nl.augment_crop(round(0.7 * SECONDS * rate)),
    }


def draw(found: dict[str, tuple[np.ndarray, np.ndarray]], rate: float, path: Path) -> None:
    """A row each, over one axis of seconds; marks where the labels say that a beat is."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.1 * len(found)), layout="constrained")
    rows = figure.subplots(len(found), sharex=True)
    for axes, (name, (x, y)) in zip(rows, found.items(), strict=True):
        seconds, beats = np.arange(len(x)) / rate, np.flatnonzero(y[:, 0] == 1)
        axes.plot(seconds, x[:, 0], color="#1f5fa8", linewidth=0.8)
        axes.plot(beats / rate, x[beats, 0], "o", color="#d95f02", markersize=4, fillstyle="none")
        axes.set_title(name, fontsize=9, loc="left", pad=2)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    rows[-1].set_xlabel("seconds")
    figure.savefig(path, dpi=110)


def synthetic() -> tuple[np.ndarray, np.ndarray, float]:
    """A signal [T, 1] in mV, its beats in samples, its rate in Hz."""
    signal, beats = nl.synthetic_ecg(duration=SECONDS, sampling_frequency=250, heart_rate=66, seed=3)
    return signal[:, None], beats, 250.0


def recorded(path: Path) -> tuple[np.ndarray, np.ndarray, float]:
    """The same of a recording's first channel."""
    recording = nl.read_recording(path, start=AT, stop=AT + SECONDS)
    return recording["signal"][:, :1], nl.beats(recording), recording["sampling_frequency"]


if __name__ == "__main__":
    main()
