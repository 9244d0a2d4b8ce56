"""What a run leaves in its checkpoints directory while it goes on: Lightning's checkpoints, what makes a state of them,
and the loss curve."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from neurallib.files import write_torch, write_yaml
from neurallib.plots import plot_losses
from neurallib.storage.directories import HPARAMS
from neurallib.storage.original import file_hparams
from neurallib.storage.preprocessing import PREPROCESSING, write_preprocessing
from neurallib.storage.training_info import INFO, save_training_information_to_file
from neurallib.training.record import trained_state
from neurallib.training.run import Fit, Run
from neurallib.training.seldom import Seldom
from neurallib.warn import dispensable, warn


class Saving:
    """Writes best.ckpt, last.ckpt and the files beside them as often as that costs a small share of the time.

    The first weights to keep are written at once: from then on the directory can be loaded, however the run ends.
    """

    def __init__(self, run: Run, directory: Path) -> None:
        self._run, self._directory = run, directory
        self._files, self._plot = Seldom(), Seldom(wait=2.0)
        self._waiting: dict[str, Mapping[str, Any]] = {}
        self._has_best = False
        self._failed: dict[str, OSError] = {}
        self._fit: Fit | None = None

    @property
    def failed(self) -> OSError | None:
        """Why a file could not be written, the last time that this was tried."""
        return next(iter(self._failed.values()), None)

    def epoch(self, checkpoint: Mapping[str, Any], fit: Fit, best: bool) -> None:
        """Take in what Lightning's checkpoint of an epoch holds, and the run up to it."""
        checkpoint = _copied(checkpoint)
        self._waiting |= {"last.ckpt": checkpoint} | ({"best.ckpt": checkpoint} if best else {})
        self._fit = fit
        self._files(lambda: self._write(fit))
        if best and not self._has_best:
            self._files.finish()
            self._has_best = True
        self._plot(lambda: self._draw(fit))

    def finish(self) -> None:
        """Write what has not been written yet."""
        self._files.finish()
        if self._failed and self._fit is not None:
            self._write(self._fit)
        self._plot.finish()

    def _write(self, fit: Fit) -> None:
        """Write each file that waits. One that cannot be written, as on a full disk, is told and tried again later."""
        was_best = "best.ckpt" in self._waiting
        for name, checkpoint in list(self._waiting.items()):
            with self._noting(name):
                write_torch(self._directory / name, checkpoint)
                del self._waiting[name]
        if "best.ckpt" not in self._waiting and (was_best or self._failed.keys() & {HPARAMS, PREPROCESSING, INFO}):
            state, directory = trained_state(self._run, fit), self._directory
            with self._noting(HPARAMS):
                write_yaml(directory / HPARAMS, file_hparams(state))
            with self._noting(PREPROCESSING):
                write_preprocessing(state, directory)
            with self._noting(INFO):
                save_training_information_to_file(state, directory)

    @contextlib.contextmanager
    def _noting(self, name: str) -> Iterator[None]:
        """Note whether a file could be written; training goes on, for a run is more than its files."""
        try:
            yield
            self._failed.pop(name, None)
        except OSError as error:
            if name not in self._failed:
                warn(f"{self._directory / name} is not written: {error.strerror or error}. Training goes on.")
            self._failed[name] = error

    def _draw(self, fit: Fit) -> None:
        with dispensable(path := self._directory / "loss_plot.png"):
            plot_losses(fit.train_losses, fit.val_losses, path)


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
