"""Files that are whole or absent: atomic writes, and reads that say which file is broken and how."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from neurallib.names import listing
from neurallib.state import Weights


@contextlib.contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path`, which takes its place when the block ends well and vanishes when it does not.

    A reader sees the old file or the new one, never half of one.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: the folder {path.parent} does not exist.")
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a mapping as JSON, atomically; single numbers of numpy or torch as numbers, paths as text."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(value, indent=4, default=as_plain) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read a mapping from JSON; ValueError names a file that does not hold one."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON (cut off?): {error}") from error
    return _mapping(path, value)


def write_yaml(path: Path, value: Mapping[str, Any]) -> None:
    """Write a mapping as YAML, atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(yaml.safe_dump(dict(value), sort_keys=False), encoding="utf-8")


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a mapping from YAML of plain values; ValueError names a file that does not hold one."""
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid YAML of plain values: {error}") from error
    return _mapping(path, value)


def write_weights(path: Path, weights: Weights) -> None:
    """Write weights as safetensors or, where the name ends in .pth, as torch.save does; atomically."""
    with atomic_write(path) as temporary:
        if path.suffix == ".pth":
            torch.save(dict(weights), temporary)
        else:
            from safetensors.torch import save_file

            save_file(dict(weights), temporary)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read weights from safetensors, .pth, or Lightning's .ckpt; nothing pickled but tensors is ever loaded.

    Raises
    ------
    ValueError
        If the file is cut off, holds objects other than tensors, or no weights.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        value = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path} holds more than weights, or is cut off; it is not loaded: {error}") from error
    except Exception as error:  # safetensors and torch raise errors of their own for files that are cut off
        raise ValueError(f"{path} cannot be read as weights (cut off?): {error}") from error
    weights = value.get("state_dict", value) if isinstance(value, dict) else None
    if not weights or not all(isinstance(weight, Tensor) for weight in weights.values()):
        found = listing(map(str, value)) if isinstance(value, dict) else f"a {type(value).__name__}"
        raise ValueError(f"{path} holds {found}; expected tensors by name.")
    return dict(weights)


def as_plain(value: Any) -> Any:
    """What JSON can hold in place of a number of numpy or torch, or of a path; TypeError for anything else."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, (np.generic, Tensor)):
        return value.item()
    raise TypeError(f"{value!r} is a {type(value).__name__}, which JSON cannot hold.")


def _mapping(path: Path, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds a {type(value).__name__}; expected names with values.")
    return value


def _umask() -> int:
    """The process's file mode mask; mkstemp ignores it and makes files that only their owner can read."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
