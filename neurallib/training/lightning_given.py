"""What is handed on to Lightning: callbacks and loggers, checked, and the arguments of its Trainer."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import BatchSizeFinder, Callback, LearningRateFinder, ModelPruning
from pytorch_lightning.loggers import Logger

from neurallib.training.trainer_options import check_trainer_options

TRAINER_ARGUMENTS = list(inspect.signature(pl.Trainer).parameters)


def check_given(given: Mapping[str, Any], function: Callable[..., Any]) -> None:
    """Raise unless what `function` was given for Lightning is something that it can do here."""
    check_callbacks(given["callbacks"], given["layer_learning_rates"])
    check_loggers(given["loggers"])
    check_trainer_options(given["trainer_options"], function, TRAINER_ARGUMENTS)


def check_callbacks(callbacks: Any, layer_learning_rates: Any = None) -> None:
    """Raise unless these are Lightning's callbacks, in a list, and such as can do here what they are for."""
    if not isinstance(callbacks, Sequence) or isinstance(callbacks, str):
        raise TypeError(f"callbacks is a {type(callbacks).__name__}; expected a list of Lightning's callbacks.")
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise TypeError(f"callbacks holds {callback!r}; expected objects of Lightning's Callback.")
        if isinstance(callback, BatchSizeFinder):
            raise ValueError("callbacks holds a BatchSizeFinder: batch_size is what the run trains with; give that.")
        if isinstance(callback, ModelPruning):
            raise ValueError("callbacks holds a ModelPruning: it renames weights, which no state can follow.")
        if isinstance(callback, LearningRateFinder) and layer_learning_rates:
            raise ValueError("callbacks holds a LearningRateFinder: it sets one rate, layer_learning_rates several.")


def check_loggers(loggers: Any) -> None:
    """Raise unless these are Lightning's loggers, in a list."""
    if not isinstance(loggers, Sequence) or not all(isinstance(logger, Logger) for logger in loggers):
        came = f"a {type(loggers).__name__}" if not isinstance(loggers, Sequence) else repr(loggers)
        raise TypeError(f"loggers is {came}; expected a list of Lightning's loggers, such as [CSVLogger('logs')].")
