"""Signals as arrays and as files, for tests of folders, preparation and batches."""

from pathlib import Path

import numpy as np

import neurallib as nl


def one_feature(**hparams) -> nl.State:
    return nl.gru_seq2seq(**({"n_features": 1, "hid_dim": 3, "n_layers": 1} | hparams))


def ramp(n: int, c: int = 1) -> np.ndarray:
    return np.arange(n * c, dtype=np.float32).reshape(n, c)


def write(root: Path, signals: dict[str, np.ndarray], targets: dict[str, np.ndarray], part: str = "train") -> tuple:
    for side, arrays in (("x", signals), ("y", targets)):
        (root / side / part).mkdir(parents=True, exist_ok=True)
        for name, array in arrays.items():
            np.save(root / side / part / name, array)
    return root / "x", root / "y", part


def save_pair(root: Path, x: np.ndarray, y: np.ndarray, name: str = "a.npy") -> tuple[Path, Path, str]:
    for side, array in (("x", x), ("y", y)):
        (root / side / "train").mkdir(parents=True, exist_ok=True)
        np.save(root / side / "train" / name, array)
    return root / "x", root / "y", "train"
