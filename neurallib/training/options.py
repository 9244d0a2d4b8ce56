"""The options of a run, each checked before anything is trained or written."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.optim.lr_scheduler import ReduceLROnPlateau

from neurallib.checks import as_folder, as_path, as_seed, boolean, integer, text
from neurallib.devices import configure_device
from neurallib.measures.metrics import Metrics
from neurallib.models.registry import build_network
from neurallib.signals.manifest import outputs_said
from neurallib.state import State, changed, new_postprocessing
from neurallib.tasks import Task, check_names, describe
from neurallib.training.isolation import isolated
from neurallib.training.monitoring import Metric, as_monitor
from neurallib.training.optimization import check_loss, make_optimizer
from neurallib.training.placing import placement
from neurallib.training.run import Run
from neurallib.warn import warn


def checked_options(state: State, given: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `train`'s arguments that a run keeps, under the run's names; TypeError or ValueError if one is wrong by
    itself, or cannot be used with the state."""
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
    return kept | checked | {"layer_learning_rates": rates, "device": device, "enable_tensorboard": logs}


def as_resume(value: Any) -> bool | Path:
    """What `train` is given as `resume`, or TypeError."""
    return value if isinstance(value, bool) else as_path("resume", value, "True, False or a run's directory")


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
    task = describe(state)
    if outputs is None and state["postprocessing"]["outputs"] is None:
        outputs = outputs_said(data, task.n_outputs)
    if outputs is None:
        return state
    unnamed = changed(state, postprocessing=new_postprocessing({**state["postprocessing"], "outputs": None}))
    names = list(check_names(outputs, describe(unnamed)))
    if (known := state["postprocessing"]["outputs"]) not in (None, names):
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
