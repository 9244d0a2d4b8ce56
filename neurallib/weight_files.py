"""Files of weights and of checkpoints: written whole, and read with no more trust than their bytes deserve."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neurallib.files import atomic_write, open_regular, short
from neurallib.names import listing
from neurallib.state import Weights, copy_weights


def write_weights(path: Path, weights: Weights) -> None:
    """Write weights as safetensors or, where the name ends in .pth, as torch.save does; atomically."""
    if path.suffix == ".pth":
        write_torch(path, dict(weights))
        return
    from safetensors.torch import save

    with atomic_write(path) as temporary:
        temporary.write_bytes(save(dict(weights)))


def write_torch(path: Path, value: Any) -> None:
    """Write what torch.save writes, atomically. It is made in memory: torch itself loses what the system says of a full
    disk, and writes the name of the file into it."""
    content = io.BytesIO()
    torch.save(value, content)
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        file.write(content.getbuffer())


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read weights from safetensors, .pth, or Lightning's .ckpt; nothing pickled but tensors is ever loaded. ValueError
    if the file is cut off, holds objects other than tensors or no weights, or promises more than its bytes hold."""
    size = _size(path)
    value: Any = _read_safetensors(path) if path.suffix == ".safetensors" else read_torch(path)
    weights = value.get("state_dict", value) if isinstance(value, dict) else None
    tensors = isinstance(weights, dict) and all(isinstance(weight, Tensor) for weight in weights.values())
    if not weights or not tensors or not all(isinstance(name, str) for name in weights):
        found = f"a {type(value).__name__}"
        if isinstance(value, dict):
            found = listing(name if isinstance(name, str) else f"a {type(name).__name__}" for name in value)
        raise ValueError(f"{path} holds {found}; expected tensors by name.")
    _check_tensors(path, weights, size)
    return dict(weights)


def check_twin(one: Path, first: Weights, other: Path) -> None:
    """Raise ValueError where a second file is there that ought to hold the same weights, and does not; tells the
    newer."""
    if not other.is_file():
        return
    second = read_weights(other)
    if different := different_weights(first, second):
        newer, older = sorted((one, other), key=lambda path: path.stat().st_mtime, reverse=True)
        raise ValueError(
            f"{newer} and {older.name} do not hold the same weights ({listing(different)}): the first is newer. Remove "
            "the one that is not to be used."
        )


def different_weights(first: Weights, second: Weights) -> list[str]:
    """The names of weights that one side alone has or, where there are none, whose numbers differ."""
    return sorted(first.keys() ^ second.keys()) or [
        name for name, weight in first.items() if not torch.equal(weight.float(), second[name].float())
    ]


def digest(weights: Weights) -> str:
    """What tells weights from all others: the SHA-256 of their names and numbers."""
    told = hashlib.sha256()
    for name, weight in sorted(copy_weights(weights).items()):
        told.update(f"{name} {tuple(weight.shape)}".encode())
        told.update(weight.numpy().tobytes())
    return told.hexdigest()


def read_torch(path: Path) -> Any:
    """What torch.save wrote, of plain values and tensors alone; ValueError names a file that holds or promises more."""
    size = _size(path)
    with _loading(path):
        _check_archive(path, size)
        return torch.load(path, map_location="cpu", weights_only=True)


def _size(path: Path) -> int:
    """The bytes of a regular file."""
    with open_regular(path) as file:
        return os.fstat(file.fileno()).st_size


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    with _loading(path):
        return load_file(path)


@contextlib.contextmanager
def _loading(path: Path) -> Iterator[None]:
    """What goes wrong within the block, in which safetensors and torch have errors of their own, as a ValueError."""
    try:
        yield
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path} holds more than weights, or is cut off; it is not loaded: {short(error)}") from error
    except Exception as error:
        raise ValueError(f"{path} cannot be read as weights (cut off?): {short(error)}") from error


def _check_archive(path: Path, size: int) -> None:
    """Raise ValueError where torch would unpack more than the file holds: what torch writes is not compressed."""
    with open(path, "rb") as file:
        if file.read(4) != b"PK\3\4":
            return  # as torch wrote before 1.6
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{entry.filename[:80]} in it is compressed, which torch never does")
        if (promised := sum(entry.file_size for entry in archive.infolist())) > size:
            raise ValueError(f"it promises {promised} bytes and has {size}")


def _check_tensors(path: Path, weights: Weights, size: int) -> None:
    """Raise ValueError unless these are plain tensors, not larger than what the file holds of them."""
    total = 0
    for name, weight in weights.items():
        if weight.layout != torch.strided or weight.device.type != "cpu" or weight.is_quantized:
            raise ValueError(f"{path} holds {name[:80]!r} in another form than numbers one after the other.")
        total += (n_bytes := weight.numel() * weight.element_size())
        if n_bytes > weight.untyped_storage().nbytes() or total > 2 * size:  # weights may share theirs, as tied ones do
            raise ValueError(f"{path} promises {total} bytes of weights up to {name[:80]!r}, and has {size}.")
