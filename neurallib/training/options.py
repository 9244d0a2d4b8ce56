"""The options of a run, each checked before anything is trained or written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neurallib.checks import as_path, as_seed, boolean, integer, text
from neurallib.devices import configure_device
from neurallib.models.registry import build_network
from neurallib.state import State, changed, new_postprocessing
from neurallib.tasks import check_names, describe
from neurallib.training.optimization import make_optimizer
from neurallib.training.run import Run
from neurallib.warn import warn


def checked_options(state: State, given: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `train`'s arguments that a run keeps, under the run's names.

    Raises
    ------
    TypeError, ValueError
        If one is wrong by itself, or cannot be used with the state.
    """
    for name in ("bucketing", "save", "enable_tensorboard", "enable_progress_bar", "dry_run"):
        boolean(name, given[name])
    for name in ("dataset_name", "trained_for"):
        if given[name] is not None:
            text(name, given[name])
    if given["results_directory"] is not None:
        as_path("results_directory", given["results_directory"])
    checked: dict[str, Any] = {name: integer(name, given[name]) for name in ("epochs", "batch_size")}
    checked["seed"] = as_seed(given["seed"])
    checked["patience"] = None if given["patience"] is None else integer("patience", given["patience"])
    rates = given["layer_learning_rates"] or {}
    device = configure_device(given["gpu_id"])
    # A function is tried on a network of its own: what it gives is known to be an optimizer before a run begins.
    make_optimizer(
        build_network(state), state["hparams"], layer_learning_rates=rates, optimizer=given["optimizer"],
        schedule=given["schedule"], n_steps=1,
    )  # fmt: skip
    logs = given["enable_tensorboard"] and _can_log(given["save"])
    kept = {name: given[name] for name in Run._fields if name in given and name != "state"}
    return kept | checked | {"layer_learning_rates": rates, "device": device, "enable_tensorboard": logs}


def with_names(state: State, outputs: Any) -> State:
    """A new state whose outputs have these names, checked; None: those that it has."""
    if outputs is None:
        return state
    unnamed = changed(state, postprocessing=new_postprocessing({**state["postprocessing"], "outputs": None}))
    names = list(check_names("outputs", outputs, describe(unnamed)))
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
