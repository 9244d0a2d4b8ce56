"""A process with its own settings of huggingface_hub, which reads them once, when it is imported."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from forking import forking, settle

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
        self._settings = SETTINGS | {"HF_ENDPOINT": address, "HF_HOME": str(home)} | settings
        self._pool: ProcessPoolExecutor | None = None

    def __call__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self._pool is None:
            given = (dict(os.environ) | self._settings,)
            self._pool = ProcessPoolExecutor(1, forking(), initializer=settle, initargs=given)
        return pickle.loads(self._pool.submit(_pickled, function, args, kwargs).result(timeout=600))

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()


def _pickled(function: Callable[..., Any], args: Any, kwargs: Any) -> bytes:
    """Plain bytes: tensors would otherwise travel in shared memory that ends with the process."""
    return pickle.dumps(function(*args, **kwargs))
