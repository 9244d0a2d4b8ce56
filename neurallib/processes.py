"""Processes that work together: which of them this is, its share of the work, and what they gather of one another."""

from __future__ import annotations

import contextlib
import functools
import os
import pickle
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, TypeVar

import torch.distributed as dist

T = TypeVar("T")
_ALONE: ContextVar[bool] = ContextVar("alone", default=False)


def place() -> tuple[int, int]:
    """Which of how many processes this is, counted from 0: of torch's process group, where there is one."""
    if _ALONE.get() or not dist.is_available() or not dist.is_initialized():
        return 0, 1
    return dist.get_rank(), dist.get_world_size()


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Within the block this process works by itself: what a callback of a training calls, others may never call."""
    token = _ALONE.set(True)
    try:
        yield
    finally:
        _ALONE.reset(token)


def local_rank() -> int:
    """Which of the processes on this machine this is, as torchrun, Lightning and, for a process group, Slurm tell."""
    told = os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0") if place()[1] > 1 else "0")
    return int(told) if told.isdigit() else 0


def share(n: int) -> range:
    """The places, of `n`, that are this process's to work on: consecutive ones, so that results come in order."""
    rank, size = place()
    return range(n * rank // size, n * (rank + 1) // size)


def together(what: str, work: Callable[[], T]) -> list[T]:
    """What the work of each process gives, which can be pickled, process by process, in all of them.

    `what` is the work in words; every process has to say the same. Raised in all processes is what the first of them
    raised whose work failed, and RuntimeError if one ended, or does something else.
    """
    rank, size = place()
    if size == 1:
        return [work()]
    failed: Exception | None = None
    result: Any = None
    try:
        result = work()
    except Exception as error:  # which the others would wait for
        failed = error
    told: list[Any] = [None] * size
    try:
        dist.all_gather_object(told, (what, result, failed and _sent(failed)), group=_group())
    except RuntimeError as cut:
        raise RuntimeError(
            f"process {rank} of {size} waited in vain for the others to end {what}: one of them ended, or does "
            f"something else ({str(cut).splitlines()[0]}). All processes of a group have to do it."
        ) from (failed or cut)
    if others := sorted({str(words) for words, *_ in told} - {what}):
        raise RuntimeError(f"process {rank} of {size} is at {what}, others at {', '.join(others)}; expected the same.")
    for i, (*_, raised) in enumerate(told):
        if raised is not None:
            raise failed if i == rank and failed is not None else raised
    return [value for _, value, _ in told]


def _sent(error: Exception) -> Exception:
    """The error, or one that says the same, as it comes out at another process."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _group() -> Any:
    """What arrays on the CPU travel through: the process group itself, or one of gloo beside that of GPUs."""
    return None if dist.get_backend() == "gloo" else _beside(dist.group.WORLD)


@functools.lru_cache(maxsize=1)
def _beside(world: Any) -> Any:
    return dist.new_group(backend="gloo")
