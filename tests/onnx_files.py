"""ONNX files of tests: states to make them of, signals to run through them, and what `predict` says beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurallib as nl
from neurallib.tasks import describe

onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra onnx)")
pytest.importorskip("onnx", reason="onnx is not installed (extra onnx)")

LENGTHS = [23, 8, 1, 14]


def normalizing(state: nl.State, normalization: str | None, target: str | None = None) -> nl.State:
    known = state["preprocessing"] | {"normalization": normalization, "target_normalization": target}
    known |= {"x_shift": [1.0, -2.0], "x_scale": [0.5, 3.0], "y_shift": [10.0, -20.0], "y_scale": [2.0, 5.0]}
    known |= {"target_offset": True}
    return nl.State(**(state | {"preprocessing": known}))


def make_signals(lengths: list[int] = LENGTHS, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [(rng.standard_normal((n, 2)) * [0.5, 3] + [1, -2]).astype(np.float32) for n in lengths]


def session_of(path: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run(path: Path, signals: list[np.ndarray], padding: float = np.nan) -> np.ndarray:
    """The output for signals in one padded batch, a step longer than it needs to be."""
    x = np.full((len(signals), max(map(len, signals)) + 1, signals[0].shape[1]), padding, np.float32)
    for row, signal in zip(x, signals, strict=True):
        row[: len(signal)] = signal
    return session_of(path).run(["output"], {"x": x, "lengths": np.array([len(s) for s in signals], np.int64)})[0]


def assert_same_as_predict(path: Path, state: nl.State, signals: list[np.ndarray]) -> None:
    output, expected = run(path, signals), nl.predict(state, signals)
    limit = 1e-5 * max(np.ptp(np.concatenate([part.ravel() for part in expected])), 0.1)
    for row, wanted in zip(output, expected, strict=True):
        if describe(state).seq2one:
            np.testing.assert_allclose(row, wanted, rtol=0, atol=limit)
        else:
            np.testing.assert_allclose(row[: len(wanted)], wanted, rtol=0, atol=limit)
            assert not row[len(wanted) :].any(), "zero beyond a length"


def told(path: Path) -> dict[str, str]:
    return session_of(path).get_modelmeta().custom_metadata_map
