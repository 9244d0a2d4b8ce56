"""What is handed on to Lightning: callbacks and loggers, checked, and the arguments of its Trainer."""

from __future__ import annotations

import datetime
import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import (
    BatchSizeFinder,
    Callback,
    DeviceStatsMonitor,
    LearningRateFinder,
    LearningRateMonitor,
    ModelPruning,
    Timer,
)
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins import CheckpointIO, LayerSync, Precision
from pytorch_lightning.plugins.environments import ClusterEnvironment  # type: ignore[attr-defined]

from neurallib.measures.metrics import Metrics
from neurallib.names import did_you_mean, listing
from neurallib.tasks import Task
from neurallib.training.isolation import isolated
from neurallib.training.replacements import plugins_of, replaced
from neurallib.training.trainer_options import check_trainer_options

TRAINER_ARGUMENTS = list(inspect.signature(pl.Trainer).parameters)
_PLAIN = (int, float, str, list, dict)
_LOGGING = (LearningRateMonitor, DeviceStatsMonitor)  # callbacks that do nothing but log
_OBJECTS = {"accelerator", "plugins", "profiler", "strategy"}  # which may be made for one Trainer alone


def check_given(given: Mapping[str, Any], function: Callable[..., Any]) -> None:
    """Raise unless what `function` was given for Lightning is something that it can do here."""
    check_callbacks(given["callbacks"], given["layer_learning_rates"])
    check_loggers(given["loggers"])
    check_trainer_options(given["trainer_options"], function, TRAINER_ARGUMENTS)
    check_time(given["trainer_options"].get("max_time"))
    for plugin in plugins_of(given["trainer_options"]):
        if not isinstance(plugin, (CheckpointIO, ClusterEnvironment, LayerSync, Precision)):
            raise TypeError(f"plugins holds {plugin!r}; expected objects of Lightning's plugins.")


def check_time(given: Any) -> None:
    """Raise unless it is a time in which something can be trained, as Lightning's Timer takes one."""
    expected = "expected a datetime.timedelta above 0, a dict such as {'hours': 8}, or 'DD:HH:MM:SS'"
    if not isinstance(given, (str, Mapping, datetime.timedelta, type(None))):
        raise TypeError(f"max_time={given!r} is a {type(given).__name__}; {expected}.")
    try:
        left = Timer(given).time_remaining()  # type: ignore[arg-type]
    except Exception as error:  # Lightning raises whatever timedelta raises
        raise ValueError(f"max_time={given!r}; {expected} ({error}).") from error
    if left is not None and left <= 0:
        raise ValueError(f"max_time={given!r}; {expected}.")


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


def check_watched(options: Mapping[str, Any], task: Task) -> None:
    """Raise ValueError where a callback needs a logger and there is none, or goes by a measure that a run has not."""
    known = {"train_loss", *(f"val_{name}" for name in ["loss", *Metrics(task).values(), *options["metrics"]])}
    logs_more = any(not type(each).__module__.startswith(pl.__name__) for each in options["callbacks"])
    for callback in options["callbacks"]:
        called, monitor = type(callback).__name__, getattr(callback, "monitor", None)
        if isinstance(callback, _LOGGING) and not (options["loggers"] or options["enable_tensorboard"]):
            way = "give loggers=[CSVLogger('logs')], or save=True and enable_tensorboard=True"
            raise ValueError(f"callbacks holds a {called}, which needs a logger: {way}.")
        if not (monitor is None or logs_more or monitor in known | {"epoch", "step"}):
            there = f"there is {listing(sorted(known), 40)}.{did_you_mean(monitor, known)}"
            raise ValueError(f"callbacks holds a {called} with monitor={monitor!r}; {there}")


def check_loggers(loggers: Any) -> None:
    """Raise unless these are Lightning's loggers, in a list."""
    if not isinstance(loggers, Sequence) or not all(isinstance(logger, Logger) for logger in loggers):
        came = f"a {type(loggers).__name__}" if not isinstance(loggers, Sequence) else repr(loggers)
        raise TypeError(f"loggers is {came}; expected a list of Lightning's loggers, such as [CSVLogger('logs')].")


def check_trainer(run: Mapping[str, Any], task: Task) -> None:
    """Raise ValueError unless Lightning can do what a run's options ask for: a Trainer is made of them."""
    check_watched(run, task)
    placement, options = run["placement"], run["trainer_options"]
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
