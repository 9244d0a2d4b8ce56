"""The options of a run, each checked before anything is trained or written: the library's own, and what is handed on
to Lightning: callbacks, loggers, options of its Trainer, among which there are this library's and misspelt ones."""

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
    LambdaCallback,
    LearningRateFinder,
    LearningRateMonitor,
    ModelPruning,
    Timer,
)
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins import CheckpointIO, LayerSync, Precision
from pytorch_lightning.plugins.environments import ClusterEnvironment  # type: ignore[attr-defined]
from pytorch_lightning.strategies import Strategy
from torch.optim.lr_scheduler import ReduceLROnPlateau

from neurallib.architectures import ARCHITECTURES
from neurallib.checks import as_folder, as_seed, boolean, integer, number, text
from neurallib.devices import configure_device
from neurallib.measures.metrics import Metrics
from neurallib.models.registry import build_network
from neurallib.names import did_you_mean, listing
from neurallib.signals.manifest import outputs_said
from neurallib.state import State, changed, new_postprocessing
from neurallib.tasks import Task, check_names, check_order, describe
from neurallib.training.isolation import isolated
from neurallib.training.monitoring import Metric, as_monitor
from neurallib.training.optimization import check_loss, make_optimizer
from neurallib.training.placing import placement
from neurallib.training.replacements import plugins_of, replaced
from neurallib.training.run import Run
from neurallib.warn import warn

_TRAINER_ARGUMENTS = list(inspect.signature(pl.Trainer).parameters)
_PLAIN = (int, float, str, list, dict)
_LOGGING = (LearningRateMonitor, DeviceStatsMonitor)  # callbacks that do nothing but log
_OBJECTS = {"accelerator", "plugins", "profiler", "strategy"}  # which may be made for one Trainer alone
_OWN = {
    "max_epochs": "give epochs",
    "logger": "give loggers, or enable_tensorboard",
    "enable_checkpointing": "give save, or call train_from_scratch",
    "enable_model_summary": "training_info tells efficiency_params",
    "num_sanity_val_steps": "all data are checked before training",
    "log_every_n_steps": "every step is logged",
    "use_distributed_sampler": "processes share the batches out already",
    "default_root_dir": "give results_directory",
    "check_val_every_n_epoch": "every epoch ends with validation",
    "val_check_interval": "every epoch ends with validation",
    "limit_test_batches": "training tests nothing; evaluate does",
    "limit_predict_batches": "training predicts nothing; predict does",
    "barebones": "what it leaves out is left out already",
}
_NOT_HERE = {
    "lr": "learning_rate is a hyperparameter: give it to the factory, or change state['hparams']['learning_rate']",
    "num_workers": "the process that trains prepares its own batches",
    "weight_decay": "give optimizer=, a function (network, hparams) that makes an optimizer of torch with it",
    "early_stopping": "give patience, the epochs to wait for a better one",
    "criterion": "give loss=, a function (logits, y, lengths) -> scalar",
    "shuffle": "training signals come in another order each epoch, drawn from seed",
    "sampler": "sample_weight= tells how much each signal counts",
    "collate_fn": "signals are padded to the longest of their batch; training_step is for a loop of one's own",
    "min_max_norm_sig": "it is the original's; normalization='minmax' normalizes each signal, and the state keeps it",
    "ckpt_path": "resume= goes on with a run, load_checkpoint gives the state of one",
}
_LEAST = {"accumulate_grad_batches": 1, "max_steps": -1}  # whole numbers
_NOT_NONE_OF = {
    "limit_train_batches": "there would be nothing to train on",
    "limit_val_batches": "weights are chosen by validation",
    "max_steps": "there would be no step of the optimizer",
}
_OF_A_STATE = {  # hyperparameters that can be changed where the weights are there
    name: f"of a state that is there it is state['hparams'][{name!r}]"
    for name in ("learning_rate", "dropout", "model_name")
} | dict.fromkeys(("task", "num_classes", "multi_label", "n_outputs"), "replace_head changes it of one that is there")


def checked_options(state: State, given: Mapping[str, Any], function: Callable[..., Any]) -> dict[str, Any]:
    """Those of the arguments of `function`, which is `train`, that a run keeps, under the run's names; TypeError or
    ValueError if one is wrong by itself, cannot be used with the state, or is nothing that Lightning can do here."""
    _check_given(given, function)
    for name in ("bucketing", "save", "enable_tensorboard", "enable_progress_bar", "dry_run"):
        boolean(name, given[name])
    for name in ("dataset_name", "trained_for"):
        if given[name] is not None:
            text(name, given[name])
    if given["results_directory"] is not None:
        as_folder("results_directory", given["results_directory"])
    checked: dict[str, Any] = {name: integer(name, given[name]) for name in ("epochs", "batch_size")}
    checked["seed"] = as_seed(given["seed"])
    checked["patience"] = None if given["patience"] is None else integer("patience", given["patience"])
    _check_every(given["checkpoint_every"], given["save"])
    rates = {} if given["layer_learning_rates"] is None else given["layer_learning_rates"]
    device = configure_device(given["gpu_id"])
    where = {name: given[name] for name in ("devices", "num_nodes", "strategy", "gpu_id")}
    checked["placement"] = placement(**where, device=device)
    # A function is tried on a network of its own: what it gives is known to be an optimizer before a run begins.
    with isolated(checked["seed"]):
        _, schedule = make_optimizer(
            build_network(state), state["hparams"], layer_learning_rates=rates, optimizer=given["optimizer"],
            schedule=given["schedule"], n_steps=1,
        )  # fmt: skip
    if given["loss"] is not None:
        check_loss(given["loss"])
    for name in ("class_weight", "sample_weight"):
        if given["loss"] is not None and given[name] is not None:
            raise ValueError(f"{name} weighs the library's losses; a function given as loss weighs as it likes.")
    task = describe(state)
    metrics = _checked_metrics({} if given["metrics"] is None else given["metrics"], task)
    logs = given["enable_tensorboard"] and _can_log(given["save"])
    kept = {name: given[name] for name in Run._fields if name in given and name != "state"}
    monitor = as_monitor(given["monitor"], task, metrics)
    if callable(given["schedule"]) and isinstance(schedule, ReduceLROnPlateau) and schedule.mode != monitor.mode:
        came = f"a ReduceLROnPlateau of mode={schedule.mode!r}"
        raise ValueError(
            f"the function schedule gave {came}; expected mode={monitor.mode!r}, by which monitor={monitor.name!r} "
            "gets better."
        )
    kept |= {"metrics": metrics, "monitor": monitor}
    options = kept | checked | {"layer_learning_rates": rates, "device": device, "enable_tensorboard": logs}
    _check_watched(options, task)
    _check_trainer(options)
    return options


def _check_given(given: Mapping[str, Any], function: Callable[..., Any]) -> None:
    """Raise unless what `function` was given for Lightning is something that it can do here."""
    _check_callbacks(given["callbacks"], given["layer_learning_rates"])
    _check_loggers(given["loggers"])
    if not isinstance(strategy := given["strategy"], (str, Strategy)):
        raise TypeError(f"strategy={strategy!r}; expected 'auto', 'ddp' or an object of Lightning's Strategy.")
    check_trainer_options(given["trainer_options"], function)
    _check_time(given["trainer_options"].get("max_time"))
    for plugin in plugins_of(given["trainer_options"]):
        if not isinstance(plugin, (CheckpointIO, ClusterEnvironment, LayerSync, Precision)):
            raise TypeError(f"plugins holds {plugin!r}; expected objects of Lightning's plugins.")


def check_trainer_options(options: Mapping[str, Any], function: Callable[..., Any]) -> None:
    """Raise unless every option, which `function` was given beside its own arguments, is one of Lightning's Trainer
    that this library leaves to its users; the error names the nearest one, of its own too, or what to give instead."""
    known = [*inspect.signature(function).parameters, *(name for name in _TRAINER_ARGUMENTS if name not in _OWN)]
    for name in options:
        if name in _OWN:
            raise TypeError(f"{name!r} is set by this library: {_OWN[name]}.")
        if name in _LEAST:
            integer(name, options[name], _LEAST[name])
        if name in _NOT_NONE_OF and not isinstance(options[name], str) and options[name] == 0:
            raise ValueError(f"{name}={options[name]!r}: {_NOT_NONE_OF[name]}.")
        if name == "gradient_clip_val" and options[name] is not None:
            number(name, options[name], 0)
        if name in _NOT_HERE:
            raise TypeError(f"{function.__name__} has no option {name!r}: {_NOT_HERE[name]}.")
        if name == "profiler" and isinstance(options[name], str):
            raise TypeError(
                f"profiler={options[name]!r} tells its times in Lightning's log, which is silent here: give an object "
                "that writes a file, such as SimpleProfiler(dirpath='.', filename='times')."
            )
        if name not in known:
            if any(name in inspect.signature(entry.factory).parameters for entry in ARCHITECTURES.values()):
                way = _OF_A_STATE.get(name, "the weights of one that is there are made for its own")
                raise TypeError(f"{name!r} is a hyperparameter: give it to the factory that makes the state; {way}.")
            raise TypeError(
                f"{function.__name__} got an unknown option {name!r}: neither an argument of its own nor of "
                f"Lightning's Trainer.{did_you_mean(name, known)}"
            )


def _check_watched(options: Mapping[str, Any], task: Task) -> None:
    """Raise ValueError where a callback needs a logger and there is none, or goes by a measure that a run has not."""
    known = {"train_loss", *(f"val_{name}" for name in ["loss", *Metrics(task).values(), *options["metrics"]])}
    logs_more = any(
        isinstance(each, (LambdaCallback, LearningRateMonitor)) or not type(each).__module__.startswith(pl.__name__)
        for each in options["callbacks"]
    )
    for callback in options["callbacks"]:
        called, monitor = type(callback).__name__, getattr(callback, "monitor", None)
        if isinstance(callback, _LOGGING) and not (options["loggers"] or options["enable_tensorboard"]):
            way = "give loggers=[CSVLogger('logs')], or save=True and enable_tensorboard=True"
            raise ValueError(f"callbacks holds {called}, which needs a logger: {way}.")
        may_lack = logs_more or not getattr(callback, "strict", True)
        if not (monitor is None or may_lack or monitor in known | {"epoch", "step"}):
            there = f"there is {listing(sorted(known), 40)}.{did_you_mean(monitor, known)}"
            raise ValueError(f"callbacks holds {called} with monitor={monitor!r}; {there}")


def _check_trainer(run: Mapping[str, Any]) -> None:
    """Raise ValueError unless Lightning can do what a run's options ask for: a Trainer is made of them."""
    placed, options = run["placement"], run["trainer_options"]
    if not options and placed["strategy"] in ("auto", "ddp"):
        return
    given = {**placed, **options, "plugins": None}
    plain = replaced({name: given[name] for name in given if name not in _OBJECTS or isinstance(given[name], _PLAIN)})
    plain |= dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    try:
        with isolated(0), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pl.Trainer(**plain)
    except Exception as error:
        raise ValueError(f"Lightning's Trainer: {error}") from error


def _check_callbacks(callbacks: Any, layer_learning_rates: Any) -> None:
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


def _check_loggers(loggers: Any) -> None:
    """Raise unless these are Lightning's loggers, in a list."""
    if not isinstance(loggers, Sequence) or not all(isinstance(logger, Logger) for logger in loggers):
        came = f"a {type(loggers).__name__}" if not isinstance(loggers, Sequence) else repr(loggers)
        raise TypeError(f"loggers is {came}; expected a list of Lightning's loggers, such as [CSVLogger('logs')].")


def _check_time(given: Any) -> None:
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


def _check_every(every: Any, save: bool) -> None:
    if every is None:
        return
    if not isinstance(every, datetime.timedelta):
        integer("checkpoint_every", every)
    elif every < datetime.timedelta(0):
        raise ValueError(f"checkpoint_every={every!r}; expected a time of at least 0.")
    if not save:
        raise ValueError("checkpoint_every needs save=True: last.ckpt lies in the checkpoints directory.")


def _checked_metrics(metrics: Any, task: Task) -> dict[str, Metric]:
    expected = "expected functions (outputs, y) -> number by name"
    if not isinstance(metrics, Mapping):
        raise TypeError(f"metrics is a {type(metrics).__name__}; {expected}.")
    taken = {"loss", *Metrics(task).values()}
    for name, function in metrics.items():
        if not isinstance(text("a name of metrics", name), str) or not callable(function):
            raise TypeError(f"metrics[{name!r}] is a {type(function).__name__}; {expected}.")
        if name in taken:
            raise ValueError(f"metrics[{name!r}] has the name of a measure that there is already; choose another.")
    return dict(metrics)


def with_names(state: State, outputs: Any, data: Any) -> State:
    """A new state whose outputs have these names, checked; None: those that it has, else what the manifest of the data
    calls them."""
    known, k = state["postprocessing"]["outputs"], describe(state).n_outputs
    said = outputs_said(data, k)
    own = said if known is None and len(said) == k else known
    if (outputs := own if outputs is None else outputs) is None:
        return state
    unnamed = changed(state, postprocessing=new_postprocessing({**state["postprocessing"], "outputs": None}))
    names = list(check_names(outputs, describe(unnamed)))
    check_order("outputs", names, "train_data", said)
    if known not in (None, names):
        warn(f"outputs change from {known} to {names}.")
    return changed(unnamed, postprocessing=new_postprocessing({**state["postprocessing"], "outputs": names}))


def _can_log(save: bool) -> bool:
    if not save:
        raise ValueError("enable_tensorboard=True needs save=True: its logs go into the checkpoints directory.")
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError:
        warn("tensorboard is not installed: training goes on without its logs.")
        return False
    return True
