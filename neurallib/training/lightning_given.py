"""What is handed on to Lightning: callbacks and loggers, checked, and the arguments of its Trainer."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import BatchSizeFinder, Callback, LearningRateFinder, ModelPruning
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins import CheckpointIO, LayerSync, Precision
from pytorch_lightning.plugins.environments import ClusterEnvironment  # type: ignore[attr-defined]

from neurallib.training.isolation import isolated
from neurallib.training.replacements import plugins_of, replaced
from neurallib.training.trainer_options import check_trainer_options

TRAINER_ARGUMENTS = list(inspect.signature(pl.Trainer).parameters)
_PLAIN = (int, float, str, list, dict)
_OBJECTS = {"accelerator", "plugins", "profiler", "strategy"}  # which may be made for one Trainer alone


def check_given(given: Mapping[str, Any], function: Callable[..., Any]) -> None:
    """Raise unless what `function` was given for Lightning is something that it can do here."""
    check_callbacks(given["callbacks"], given["layer_learning_rates"])
    check_loggers(given["loggers"])
    check_trainer_options(given["trainer_options"], function, TRAINER_ARGUMENTS)
    for plugin in plugins_of(given["trainer_options"]):
        if not isinstance(plugin, (CheckpointIO, ClusterEnvironment, LayerSync, Precision)):
            raise TypeError(f"plugins holds {plugin!r}; expected objects of Lightning's plugins.")


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


def check_trainer(placement: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Raise ValueError unless Lightning can make a Trainer of a run's placement and options: one is made."""
    if not options and placement["strategy"] in ("auto", "ddp"):
        return
    given = {**placement, **options, "plugins": None}
    plain = replaced({name: given[name] for name in given if name not in _OBJECTS or isinstance(given[name], _PLAIN)})
    plain |= dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    try:
        with isolated(0), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pl.Trainer(**plain)
    except Exception as error:
        raise ValueError(f"Lightning's Trainer: {error}") from error
