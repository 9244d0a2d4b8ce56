"""A training that is stopped at a given step, and what it is compared by."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import QUIET, Case, make_pairs, make_state
from pytorch_lightning.callbacks import Callback

import neurallib as nl

GRU = Case("GRUseq2seq", "binary")
UNTOLD = {"training_time", "finished", "checkpoints_directory"}  # what two runs of the same need not share


class Stop(Callback):
    """Ends a run within a step, as an error of a user's own would; `steps` counts those that were begun."""

    at: tuple[int, int] | None = None
    steps = 0

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
        if (trainer.current_epoch, batch_idx) == Stop.at:
            Stop.at = None
            raise RuntimeError("stopped")
        Stop.steps += 1


def louder(x: np.ndarray, y: np.ndarray, generator: np.random.Generator, factor: float) -> tuple[Any, Any]:
    return x * generator.uniform(1, factor), y


def run(results: Path, state: nl.State | None = None, **options: Any) -> nl.State:
    state = make_state(GRU, dropout=0.3) if state is None else state
    given: dict[str, Any] = {
        "epochs": 5, "batch_size": 2, "patience": 4, "augment": functools.partial(louder, factor=2.0), "save": True,
        "callbacks": [Stop()], "results_directory": results, **QUIET,
    }  # fmt: skip
    pairs = make_pairs(state, [6, 9, 8, 5, 12, 7, 10])
    return nl.train(state, pairs, make_pairs(state, [7, 9, 11], seed=3), **(given | options))


def stopped(at: tuple[int, int], results: Path, state: nl.State | None = None, **options: Any) -> Path:
    """The directory of a run that was stopped before a batch of an epoch."""
    Stop.at = at
    with pytest.raises(RuntimeError, match="stopped"):
        run(results, state, **options)
    return Path(nl.find_unfinished(results)[0]["directory"])


def assert_same(one: nl.State, other: nl.State) -> None:
    assert one["weights"].keys() == other["weights"].keys()
    for name, weight in one["weights"].items():
        assert torch.equal(weight, other["weights"][name]), name
    first, second = (state["training_info"] for state in (one, other))
    assert {name for name in first if first[name] != second.get(name)} <= UNTOLD
