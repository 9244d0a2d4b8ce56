"""Processes forked after torch has used its threads, which do not live on in them: refused before they hang."""

from __future__ import annotations

import multiprocessing
import os
import threading

import torch


class LostThreadsError(RuntimeError):
    """This process was forked from one whose threads torch would wait for in vain."""


def _n_native() -> int:
    """How many threads of this process are not Python's own: torch's, once it has used them."""
    try:
        return len(os.listdir("/proc/self/task")) - threading.active_count()
    except OSError:  # not on Linux
        return 0


_AT_FIRST = _n_native()
_used = _lost = False


def _before_fork() -> None:
    global _used
    _used = _n_native() > _AT_FIRST


def _after_fork() -> None:
    global _lost
    _lost = _lost or _used


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork)


def check_threads(n_threads: int | None = None) -> None:
    """Raise LostThreadsError where torch would wait for threads that a fork has lost; one thread needs no other."""
    if _lost and (torch.get_num_threads() if n_threads is None else n_threads) > 1:
        raise LostThreadsError(
            "this process was forked after torch had used its threads, and would wait for them for ever. Start it with "
            "multiprocessing.get_context('spawn'), such as ProcessPoolExecutor(mp_context=...), or give it one thread: "
            "torch.set_num_threads(1), in a search threads_per_trial=1."
        )


def end_with_parent() -> None:
    """Have a worker process end as soon as the one that started it has: killed, it would leave workers that go on to
    write beside those of the next call."""

    def watch() -> None:
        if (parent := multiprocessing.parent_process()) is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
