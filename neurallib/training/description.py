"""What a run is made of, in words and sums that stay the same from process to process: it is resumed with the same."""

from __future__ import annotations

import functools
import json
import platform
import zlib
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from neurallib.files import as_plain
from neurallib.functions import array_sum, described, weights_sum
from neurallib.signals.prepared import PreparedData
from neurallib.training.placing import n_processes
from neurallib.training.run import Run
from neurallib.version import __version__

N_NAMED = 1000  # signals of a part that are told one by one
PACKAGES = ("torch", "pytorch-lightning", "numpy", "numba")


def description(run: Run) -> dict[str, Any]:
    """All that the result of a run depends on, as JSON holds it."""
    state, options, weights = run.state, run.trainer_options, run.train_set.weights
    together = n_processes(run.placement, run.device)
    of_model = {name: state[name] for name in ("architecture", "hparams", "preprocessing", "frozen")}  # type: ignore
    told = {
        "model": of_model | {"weights": weights_sum(state["weights"])},
        "options": {
            "epochs": run.epochs,
            "signals_a_step": run.batch_size * together,
            "patience": run.patience,
            "seed": run.seed,
            "bucketing": run.bucketing and [run.batch_size, together],
            "loss": run.loss and described(run.loss),
            "metrics": {name: described(metric) for name, metric in run.metrics.items()},
            "monitor": run.monitor._asdict(),
            "optimizer": described(run.optimizer) if callable(run.optimizer) else run.optimizer,
            "schedule": described(run.schedule) if callable(run.schedule) else run.schedule,
            "layer_learning_rates": dict(run.layer_learning_rates),
            "class_weight": state["training_info"]["class_weight"],
            "sample_weight": None if weights is None else array_sum(weights),
            "augment": run.train_set.augmentation and described(run.train_set.augmentation.function),
            "callbacks": [callback.state_key for callback in run.callbacks],
            "device": run.device.type,
            "dataset_name": run.dataset_name,
            "trained_for": run.trained_for,
        },
        "trainer_options": {name: str(value) for name, value in options.items() if name != "accelerator"},
        "data": {"train": _data(run.train_set), "val": _data(run.val_set)},
        "versions": versions() | {name: _version(name) for name in PACKAGES},
        "machine": {"processor": _processor(), "threads": torch.get_num_threads()},
    }
    plain: dict[str, Any] = json.loads(json.dumps(told, default=as_plain))
    return plain


def differences(began: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, str]:
    """What two descriptions do not have in common, by dotted names, with the words for it."""
    there, here = (dict(_flat(description)) for description in (began, now))
    names = dict.fromkeys([*there, *here])
    pairs = {name: (there.get(name, "nothing"), here.get(name, "nothing")) for name in names}
    return {name: f"{name} was {one}, is {other}" for name, (one, other) in pairs.items() if one != other}


def versions() -> dict[str, Any]:
    """Of this library and of what its results hang on."""
    return {"neurallib": __version__, "python": platform.python_version()} | {
        name: _version(name) for name in PACKAGES[:2]
    }


def _data(data: PreparedData) -> dict[str, Any]:
    sums = data.sums or []
    each = zip(data.names[:N_NAMED], data.given_lengths, sums, strict=False)
    return {
        "signals": len(data),
        "steps": sum(data.given_lengths),
        "sum": array_sum(np.array(sums, np.uint32), zlib.crc32("\n".join(data.names).encode())),
        "first": {name: f"{steps} steps, checksum {told:08x}" for name, steps, told in each},
    }


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """The leaves of nested mappings by their dotted names, as text."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}" if name else str(key))
    else:
        yield name, json.dumps(value)


@functools.cache
def _version(package: str) -> str | None:
    """Asked once: importlib.metadata keeps what it finds in sys.path each time that a folder of it has changed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    """What the system calls its processor: kernels are compiled for it, and add in another order on another one."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:  # not on Linux
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
