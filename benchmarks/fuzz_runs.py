"""What fuzz_files.py mutates of a run that was stopped: what it began with, and what it is resumed from."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
from pytorch_lightning.callbacks import Callback

import neurallib as nl


class Stop(Callback):
    """Ends a run in its third epoch, unless another is said."""

    def __init__(self, epoch: int = 3) -> None:
        self.epoch = epoch

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        if trainer.current_epoch + 1 == self.epoch:
            raise RuntimeError("stopped")


def write_run(folder: Path) -> None:
    """A directory, run, of a run that was stopped."""
    with contextlib.suppress(RuntimeError):
        train_on(folder, callbacks=[Stop()])
    next(folder.glob("*/checkpoints/*")).rename(folder / "run")


def read_run(folder: Path, name: str) -> None:
    train_on(folder, resume=folder / "run", callbacks=[Stop(0)])


def train_on(folder: Path, **options: Any) -> None:
    x = np.linspace(-1, 1, 12, dtype=np.float32)[:, None]
    options |= {"results_directory": folder, "save": True, "enable_progress_bar": False}
    state, pairs = nl.gru_seq2seq(n_features=1, hid_dim=3, n_layers=1), [(x, x > 0), (-x, x < 0)]
    nl.train(state, pairs, pairs, epochs=4, batch_size=1, checkpoint_every=1, **options)
