"""Processes that start at once: forks of a server that has imported torch, the library and tests that ask for it."""

import multiprocessing
import multiprocessing.forkserver
import os
from functools import cache
from multiprocessing.context import ForkServerContext
from pathlib import Path

PRELOADED = ["test_harm", "test_killed"]


@cache
def forking() -> ForkServerContext:
    """The context whose processes these are. A server that cannot import what it is told to says nothing and lets each
    child do it, which takes seconds; and it looks in PYTHONPATH alone, not where this process looks."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *([before] if before else [])])
    try:
        multiprocessing.forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    return context
