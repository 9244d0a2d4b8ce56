"""A run by itself: one at a time, with a random state of its own, and without Lightning's tips."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from neurallib.processes import alone

_DEFAULTS: list[tuple[Callable[[], Any], Callable[[Any], Any]]] = [
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.get_default_device, lambda was: torch.set_default_device(None if was.type == "cpu" else was)),
    (torch.get_num_threads, torch.set_num_threads),
    (torch.is_grad_enabled, torch.set_grad_enabled),
]
_ONE_AT_A_TIME = threading.RLock()  # the threads of a process share the random state and the log levels


@contextlib.contextmanager
def isolated(seed: int) -> Iterator[None]:
    """Within the block no other run of this process trains, the global generators are seeded, Lightning is quiet, and
    what callbacks evaluate is not shared among processes; after it everything is as it was."""
    with _ONE_AT_A_TIME, alone(), _quiet(), _random_state_of_its_own(seed):
        yield


def random_state() -> dict[str, Any]:
    """The global generators as they are, in values that torch.load takes for plain."""
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    numpy = _plain(np.random.get_state(legacy=False))
    return {"torch": torch.get_rng_state(), "gpus": gpus, "numpy": numpy, "python": random.getstate()}


def set_random_state(state: Mapping[str, Any]) -> None:
    """Let the global generators go on from what `random_state` gave."""
    torch.set_rng_state(state["torch"])
    if state["gpus"]:
        torch.cuda.set_rng_state_all(state["gpus"])
    np.random.set_state(state["numpy"])
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))


def _plain(value: Any) -> Any:
    """What numpy's generators of any kind tell of themselves, as plain values."""
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Lightning without its tips and its warnings about loaders with few workers."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*(does not have many workers|exists and is not empty).*")
            # It puts a schedule of its own in the place of the one that it says this of.
            warnings.filterwarnings("ignore", message="SWA is currently only supported every epoch")
            # Of as many steps as epochs it is meant to.
            warnings.filterwarnings("ignore", message="A `OneCycleLR` scheduler is using 'interval': 'epoch'")
            # They do say where they are: `set_epoch`.
            warnings.filterwarnings("ignore", message=".*your dataloader is not resumable.*")
            warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")  # of one column
            warnings.filterwarnings("ignore", message="get_state and legacy can only")  # of others
            warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # torch's word to Lightning, not to our users
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def _random_state_of_its_own(seed: int) -> Iterator[None]:
    """The global generators (dropout draws from torch's) seeded inside, and as they were after; so are the settings
    that Lightning's options `deterministic` and `benchmark` change, and torch's defaults, which a callback may."""
    before = random_state()
    deterministic, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    defaults = [(own, own[0]()) for own in _DEFAULTS]
    benchmark, workspace = torch.backends.cudnn.benchmark, os.environ.get("CUBLAS_WORKSPACE_CONFIG")
    torch.manual_seed(seed)
    try:
        yield
    finally:
        set_random_state(before)
        for (value, change), was in defaults:
            if value() != was:
                change(was)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.backends.cudnn.benchmark = benchmark
        if workspace is None:
            os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)
