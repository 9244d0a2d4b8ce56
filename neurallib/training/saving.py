"""What a run leaves in its checkpoints directory: while it goes on Lightning's checkpoints, what makes a state of the
best one, and the loss curve; at its end its state, written by the first of the processes that trained it."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from neurallib.plots.losses import plot_losses
from neurallib.processes import together
from neurallib.state import State, changed
from neurallib.storage.checkpoints import files_beside, write_checkpoint
from neurallib.storage.directories import CARD, LOSS_PLOT
from neurallib.storage.model_card import save_model_card
from neurallib.storage.training_info import RUNNING
from neurallib.training.record import trained_state
from neurallib.training.run import Fit, Run
from neurallib.training.seldom import Seldom
from neurallib.warn import dispensable, warn
from neurallib.weight_files import write_torch

LAST, BEST = "last.ckpt", "best.ckpt"


class Saving:
    """Writes best.ckpt, last.ckpt and the files beside them as often as that costs a small share of the time.

    The first weights to keep are written at once: from then on the directory can be loaded, however the run ends.
    `last.ckpt` is what a run is resumed from.
    """

    def __init__(self, run: Run, directory: Path, so_far: Callable[[], Fit]) -> None:
        self._run, self._directory, self._so_far = run, directory, so_far
        self._best, self._last, self._plot = Seldom(), Seldom(), Seldom(wait=2.0)
        self._waiting: dict[str, Mapping[str, Any]] = {}
        self._has_best = False
        self._failed: dict[str, OSError] = {}

    @property
    def failed(self) -> OSError | None:
        """Why a file could not be written, the last time that this was tried."""
        return next(iter(self._failed.values()), None)

    @property
    def wants_last(self) -> bool:
        """Whether it is time for a checkpoint to resume from."""
        return self._last.is_due

    def epoch(self, best: Mapping[str, Any] | None) -> None:
        """Take in that an epoch has been validated; where its weights are the best so far, what best.ckpt holds."""
        if best is not None:
            self._waiting[BEST] = best
            self._best(self._write)
            if not self._has_best:
                self._best.finish()
                self._has_best = True
        self._plot(self._draw)

    def last(self, checkpoint: Mapping[str, Any]) -> None:
        """Write what the run can be resumed from."""
        self._waiting[LAST] = checkpoint
        self._last.now(self._write)
        if LAST in self._waiting:
            self._waiting[LAST] = copied(checkpoint)

    def finish(self) -> None:
        """Write what has not been written yet."""
        self._best.finish()
        if self._failed:
            self._write()
        self._plot.finish()

    def _write(self) -> None:
        """Write each file that waits. One that cannot be written, as on a full disk, is told and tried again later."""
        was_best = BEST in self._waiting
        for name, checkpoint in list(self._waiting.items()):
            with self._noting(name):
                write_torch(self._directory / name, checkpoint)
                del self._waiting[name]
        if BEST not in self._waiting and (was_best or self._failed.keys() - {BEST, LAST}):
            state = trained_state(self._run, self._so_far(), RUNNING)
            for name, write in files_beside(state, self._directory).items():
                with self._noting(name):
                    write()

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

    def _draw(self) -> None:
        history = self._so_far().history
        with dispensable(path := self._directory / LOSS_PLOT):
            plot_losses(history.train_losses, history.val_losses, path, history=self._run.before)


def copied(value: Any) -> Any:
    """The value with its tensors as copies on the CPU, because training goes on with the originals."""
    kind = type(value)
    if kind is dict:
        return {key: copied(item) for key, item in value.items()}
    if kind is list or kind is tuple:
        return kind(map(copied, value))
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    return value if kind in (int, float, bool, str, type(None)) else copy.deepcopy(value)


def saved(trained: State, result: Fit) -> State:
    """The state, in its directory where it has one, written by the first process for all that trained together."""
    if result.n_processes == 1 or result.interrupted:  # Ctrl-C may have ended the other processes
        return trained if result.rank else _written(trained, result)

    def write() -> dict[str, Any]:
        return (trained if result.rank else _written(trained, result))["training_info"]

    return changed(trained, training_info=together("saving the trained state", write)[0])


def _written(trained: State, result: Fit) -> State:
    """The state, written; or the error that a checkpoint could not be written, after all else was."""
    error = result.unsaved
    if result.directory is not None:
        try:
            write_checkpoint(trained, result.directory)
        except OSError as last:
            error = last
        with dispensable(result.directory / CARD):
            save_model_card(trained, result.directory)
    if error is not None:
        raise error
    return trained
