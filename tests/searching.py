"""A small grid search, and what it leaves behind."""

import csv
from pathlib import Path
from typing import Any

import neurallib as nl

OPTIONS = {"n_features": 2, "hid_dim": [3, 5], "n_layers": 1, "learning_rate": [0.01, 0.001], "dropout": 0.5}


def search(params: dict[str, Any], options: dict[str, Any] = OPTIONS, **more: Any) -> list[Any]:
    return nl.grid_search("GRUseq2seq", options, params, enable_progress_bar=False, **more)


def leaderboard(results: Path) -> list[dict[str, str]]:
    with open(results / "GRUseq2seq" / "grid_search" / "leaderboard.csv", newline="") as file:
        return list(csv.DictReader(file))


def n_runs(results: Path) -> int:
    return len(list((results / "GRUseq2seq" / "checkpoints").iterdir()))
