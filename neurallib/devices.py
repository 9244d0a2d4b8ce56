"""Where a network runs."""

from __future__ import annotations

from typing import TypeVar

import torch

from neurallib.checks import integer
from neurallib.processes import local_rank

Module = TypeVar("Module", bound=torch.nn.Module)


def configure_device(gpu_id: int | None = None) -> torch.device:
    """The device to run on: the GPU asked for, else a GPU when there is one, else the CPU.

    Of processes that torchrun, Lightning or Slurm started together on a machine, each has a GPU of its own.

    Parameters
    ----------
    gpu_id : int, optional
        Index of a CUDA device; by default the first one (of several processes, each its own), or the CPU where there
        is none.

    Returns
    -------
    torch.device
        The process's current device stays as it is.

    Raises
    ------
    TypeError
        If `gpu_id` is no integer.
    ValueError
        If this machine has no such GPU; those it has are listed.

    See Also
    --------
    train : `gpu_id=` and `devices=` of the training functions.
    build_network : a network on a device.

    Examples
    --------
    >>> import neurallib as nl
    >>> nl.configure_device().type in ("cuda", "cpu")
    True
    """
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    if gpu_id is None:
        return torch.device("cuda", local_rank() % len(names)) if names else torch.device("cpu")
    if integer("gpu_id", gpu_id, minimum=0) >= len(names):
        there = ", ".join(f"{i}: {name}" for i, name in enumerate(names)) or "none"
        raise ValueError(f"gpu_id={gpu_id}; GPUs on this machine: {there}. Leave gpu_id out to run on what there is.")
    return torch.device("cuda", gpu_id)


def moved(network: Module, device: str | torch.device) -> Module:
    """The network on a device; ValueError where it cannot be used."""
    try:
        return network.to(device)
    except TypeError as error:
        raise TypeError(f"device={device!r:.60}; expected a device of torch, such as 'cpu' or 'cuda:0'.") from error
    except (AssertionError, RuntimeError) as error:  # torch's, of a device that is not there
        raise ValueError(f"device={device!r} cannot be used on this machine: {error}") from error


def gpu_name(device: torch.device) -> str | None:
    """The model name of a GPU; None for the CPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else None
