"""A process with its own settings of huggingface_hub, which reads them once, when it is imported."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

SETTINGS = {
    "HF_HUB_DISABLE_XET": "1",  # the server speaks the older protocol for large files
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "NO_PROXY": "127.0.0.1,localhost",
    "no_proxy": "127.0.0.1,localhost",
    "OMP_NUM_THREADS": "1",
}


class Client:
    """Calls functions in one process of its own, started at the first call: `client(function, *args)`."""

    def __init__(self, address: str, home: Path, **settings: str) -> None:
        environment = SETTINGS | {"HF_ENDPOINT": address, "HF_HOME": str(home)} | settings
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(1, context, initializer=_settle, initargs=(environment,))

    def __call__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return pickle.loads(self._pool.submit(_pickled, function, args, kwargs).result(timeout=600))

    def close(self) -> None:
        self._pool.shutdown()


def _settle(environment: dict[str, str]) -> None:
    os.environ.update(environment)


def _pickled(function: Callable[..., Any], args: Any, kwargs: Any) -> bytes:
    """Plain bytes: tensors would otherwise travel in shared memory that ends with the process."""
    return pickle.dumps(function(*args, **kwargs))
