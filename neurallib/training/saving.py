"""What a run leaves in its checkpoints directory while it goes on: Lightning's checkpoints, what makes a state of them,
and the loss curve."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from neurallib.files import write_torch, write_yaml
from neurallib.plots import plot_losses
from neurallib.storage.directories import HPARAMS
from neurallib.storage.original import file_hparams
from neurallib.storage.preprocessing import write_preprocessing
from neurallib.storage.training_info import save_training_information_to_file
from neurallib.training.record import trained_state
from neurallib.training.run import Fit, Run
from neurallib.training.seldom import Seldom


class Saving:
    """Writes best.ckpt, last.ckpt and the files beside them as often as that costs a small share of the time.

    The first weights to keep are written at once: from then on the directory can be loaded, however the run ends.
    """

    def __init__(self, run: Run, directory: Path) -> None:
        self._run, self._directory = run, directory
        self._files, self._plot = Seldom(), Seldom(wait=2.0)
        self._waiting: dict[str, Mapping[str, Any]] = {}
        self._has_best = False

    def epoch(self, checkpoint: Mapping[str, Any], fit: Fit, best: bool) -> None:
        """Take in what Lightning's checkpoint of an epoch holds, and the run up to it."""
        checkpoint = _copied(checkpoint)
        self._waiting |= {"last.ckpt": checkpoint} | ({"best.ckpt": checkpoint} if best else {})
        self._files(lambda: self._write(fit))
        if best and not self._has_best:
            self._files.finish()
            self._has_best = True
        self._plot(lambda: plot_losses(fit.train_losses, fit.val_losses, self._directory / "loss_plot.png"))

    def finish(self) -> None:
        """Write what has not been written yet."""
        self._files.finish()
        self._plot.finish()

    def _write(self, fit: Fit) -> None:
        for name, checkpoint in self._waiting.items():
            write_torch(self._directory / name, checkpoint)
        if "best.ckpt" in self._waiting:
            state = trained_state(self._run, fit)
            write_yaml(self._directory / HPARAMS, file_hparams(state))
            write_preprocessing(state, self._directory)
            save_training_information_to_file(state, self._directory)
        self._waiting = {}


def _copied(value: Any) -> Any:
    """The value with its tensors as copies on the CPU, because training goes on with the originals."""
    kind = type(value)
    if kind is dict:
        return {key: _copied(item) for key, item in value.items()}
    if kind is list or kind is tuple:
        return kind(map(_copied, value))
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    return value if kind in (int, float, bool, str, type(None)) else copy.deepcopy(value)
