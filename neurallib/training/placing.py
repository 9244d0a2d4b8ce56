"""Where a run trains: on which devices of how many machines, one process each, however they were started."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from neurallib.checks import integer, is_list

_IN_PIECES = ("fsdp", "deepspeed", "model_parallel")
_ENDING = ("spawn", "fork", "notebook")


def placement(devices: Any, num_nodes: Any, strategy: Any, gpu_id: int | None, device: torch.device) -> dict[str, Any]:
    """The arguments of Lightning's Trainer for `train`'s, checked; `device` is the one of a process by itself.
    TypeError or ValueError if one is wrong, they contradict one another, or this program cannot be started once more
    for each device."""
    for word in (*_ENDING, *_IN_PIECES):
        if word in str(strategy):
            why = "in processes that end" if word in _ENDING else "in pieces, where a state is whole"
            raise ValueError(f"strategy={strategy!r} leaves the weights {why}; 'ddp' does not.")
    integer("num_nodes", num_nodes)
    if devices is None and dist.is_available() and dist.is_torchelastic_launched():
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        num_nodes = max(num_nodes, int(os.environ["WORLD_SIZE"]) // devices)
    one_gpu = device.type == "cuda" and devices is None
    if devices is None:
        devices = [device.index] if one_gpu else 1
    elif gpu_id is not None:
        raise ValueError(f"gpu_id={gpu_id} beside devices={devices!r}; expected one of them: devices=[{gpu_id}].")
    _check_devices(devices)
    placed = {"devices": devices, "num_nodes": num_nodes, "strategy": strategy}
    if is_distributed(placed):
        _check_started(devices)
        if strategy == "auto" and devices not in ("auto", -1):
            placed["strategy"] = "ddp"  # where Lightning would fork in a notebook, it says why that cannot be
    return {"accelerator": "gpu" if device.type == "cuda" else "cpu", **placed}


def _check_devices(devices: Any) -> None:
    expected = "expected how many, a list of GPUs' numbers, or 'auto' for all"
    if isinstance(devices, str) or (isinstance(devices, int) and devices == -1):
        if devices not in ("auto", -1):
            raise ValueError(f"devices={devices!r}; {expected}.")
    elif is_list(devices):
        if not devices or len({integer("a number of devices", device, minimum=0) for device in devices}) < len(devices):
            raise ValueError(f"devices={devices!r}; {expected}, each once.")
        if max(devices) >= (there := torch.cuda.device_count()):
            raise ValueError(f"devices={devices!r}, of {there} GPUs on this machine, which are numbered from 0.")
    else:
        integer("devices", devices)


def _check_started(devices: Any) -> None:
    """Raise unless the other processes are there, or Lightning can start them: as this program, from its file."""
    if {"LOCAL_RANK", "SLURM_NTASKS"} & os.environ.keys():
        return
    main = sys.modules["__main__"]
    if getattr(main, "__spec__", None) is None and not Path(sys.argv[0] or ".").is_file():
        raise ValueError(
            f"devices={devices!r} starts this program once more for each device, but it is in no file. Write it into "
            "a script, or start it with torchrun."
        )


def is_distributed(options: Mapping[str, Any]) -> bool:
    """Whether options of Lightning's Trainer ask for more than one process, or leave it to what there is."""
    return options.get("devices") in ("auto", -1) or n_processes(options, torch.device("cpu")) > 1


def n_processes(options: Mapping[str, Any], device: torch.device) -> int:
    """How many processes options of Lightning's Trainer ask for; all devices are all GPUs, or the one CPU."""
    devices, num_nodes = options.get("devices", 1), int(options.get("num_nodes", 1))
    if devices in ("auto", -1):
        devices = max(1, torch.cuda.device_count()) if device.type == "cuda" else 1
    return num_nodes * (len(devices) if is_list(devices) else int(devices))


def is_first(options: Mapping[str, Any]) -> bool:
    """Whether this is the process that writes. What variables tell of ranks is of other programs where a run is by
    itself, such as a worker of a grid search on Slurm."""
    names = ("RANK", "SLURM_PROCID", "LOCAL_RANK") if "LOCAL_RANK" in os.environ or "SLURM_NTASKS" in os.environ else ()
    rank = next((os.environ[name] for name in names if name in os.environ), "0")
    return not is_distributed(options) or (rank == "0" and os.environ.get("NODE_RANK", "0") == "0")


def seed_process(seed: int, rank: int) -> None:
    """Have each process draw its own dropout; the first draws what a run by itself does."""
    if rank:
        torch.manual_seed((seed + rank * 0x9E3779B97F4A7C15) % 2**64)


def calm_sigterm(trainer: Any) -> None:
    """Have SIGTERM noted and passed on alone. Lightning also waits for all processes within the handler: for those that
    wait for this one, as where one compiles, in vain. It looks at what is noted after each step."""
    connector = trainer._signal_connector

    def note(number: int, _: Any) -> None:
        if not connector.received_sigterm and (launcher := trainer.strategy.launcher) is not None:
            launcher.kill(number)
        connector.received_sigterm = True

    connector._sigterm_notifier_fn = note
