"""Every architecture with every task it allows, small; and signals with targets for each."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from neurallib.models.registry import ARCHITECTURES
from neurallib.signals.batches import collate_fn
from neurallib.state import Batch, State
from neurallib.tasks import TaskKind, n_outputs, task_kind

N_FEATURES = 2
SIZES: dict[str, dict[str, Any]] = {
    "GRUseq2seq": {"hid_dim": [6, 4], "n_layers": 2, "bidir_per_layer": [True, False]},
    "GRUseq2one": {"hid_dim": 5, "n_layers": 2, "bidirectional": True},
    "GRUED": {"enc_hid_dim": 3, "dec_hid_dim": 6, "enc_layers": 2, "dec_layers": 2, "bidirectional": True},
    "Transformerseq2seq": {
        "d_model": 8, "nhead": 2, "num_encoder_layers": 2, "num_decoder_layers": 1, "dim_feedforward": 16
    },
    "Transformerseq2one": {"d_model": 8, "nhead": 2, "num_encoder_layers": 2, "dim_feedforward": 16},
    "TransformerED": {
        "d_model": 8, "nhead": 2, "num_encoder_layers": 1, "num_decoder_layers": 2, "dim_feedforward": 16
    },
}  # fmt: skip
TASKS: dict[TaskKind, dict[str, Any]] = {
    "binary": {"task": "classification", "num_classes": 1},
    "multilabel": {"task": "classification", "num_classes": 3, "multi_label": True},
    "multiclass": {"task": "classification", "num_classes": 3},
    "regression": {"task": "regression"},
}


class Case(NamedTuple):
    architecture: str
    kind: TaskKind

    def __str__(self) -> str:
        return f"{self.architecture}-{self.kind}"


QUIET = {"enable_progress_bar": False}
AS_IT_COMES: dict[str, Any] = {"normalization": None, "target_normalization": None}  # of training
CASES = [
    Case(name, kind) for name in ARCHITECTURES for kind in TASKS if kind == "regression" or not name.endswith("ED")
]

FEW = [  # where what is tested does not depend on both: every architecture, and every task
    Case("GRUseq2seq", "multilabel"), Case("GRUseq2one", "multiclass"), Case("GRUED", "regression"),
    Case("Transformerseq2seq", "regression"), Case("Transformerseq2one", "binary"), Case("TransformerED", "regression"),
]  # fmt: skip


def names_in(value: Any) -> str | None:
    """For the names of tests, which have to be the same in every run: the keys of a dict, what is in a set."""
    if isinstance(value, dict | set):
        return " ".join(sorted(value))
    return str(value) if isinstance(value, Case) else None


def make_state(case: Case, **hparams: Any) -> State:
    task = {} if case.architecture.endswith("ED") else TASKS[case.kind]
    sizes = {"n_features": N_FEATURES} | SIZES[case.architecture]
    return ARCHITECTURES[case.architecture].factory(**(sizes | task | hparams))


def make_pairs(state: State, lengths: list[int], seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Signals with targets that can be learnt from them, in the forms of the design's table."""
    rng = np.random.default_rng(seed)
    n_features, kind, k = state["hparams"]["n_features"], task_kind(state["hparams"]), n_outputs(state["hparams"])
    pairs = []
    for n_steps in lengths:
        x = rng.standard_normal((n_steps, n_features)).astype(np.float32)
        if ARCHITECTURES[state["architecture"]].seq2one:
            x += rng.choice([-1.0, 0.0, 1.0])
            driver = x.mean(axis=0, keepdims=True)
        else:
            driver = x
        y: np.ndarray
        if kind == "regression":
            y = (0.5 * driver[:, np.arange(k) % n_features]).astype(np.float32)
        elif kind == "multiclass":
            y = np.digitize(driver[:, 0], [-0.5, 0.5]).astype(np.int64)
        else:
            y = (driver[:, :1] > np.linspace(-0.5, 0.5, k) if k > 1 else driver[:, :1] > 0).astype(np.float32)
        if ARCHITECTURES[state["architecture"]].seq2one:
            y = y[0]
        pairs.append((x, y))
    return pairs


def data(state: State, n: int = 8, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """A few pairs of different lengths."""
    return make_pairs(state, [6 + i % 5 for i in range(n)], seed)


def make_batch(state: State, lengths: list[int], seed: int = 0) -> Batch:
    return collate_fn([(torch.from_numpy(x), torch.as_tensor(y)) for x, y in make_pairs(state, lengths, seed)])


def write_folders(root: Path, state: State, n: int = 6) -> tuple[Path, Path]:
    """A data folder in the form of the design: x/PART/NAME.npy and y/PART/NAME.npy."""
    for k, part in enumerate(("train", "val", "test")):
        for side in "xy":
            (root / side / part).mkdir(parents=True)
        for i, (x, y) in enumerate(make_pairs(state, [7 + j % 4 for j in range(n)], seed=k)):
            np.save(root / "x" / part / f"{i + 1}.npy", x)
            np.save(root / "y" / part / f"{i + 1}.npy", y)
    return root / "x", root / "y"


def as_loaded(state: State, directory: Path) -> State:
    """The state as `load_checkpoint` gives it, which knows where it was read from."""
    told = state["training_info"] | {"checkpoints_directory": str(directory.resolve())}
    return State(**(state | {"training_info": told}))


def same_weights(a: State, b: State) -> bool:
    return all(torch.equal(a["weights"][name], b["weights"][name]) for name in a["weights"])


def same_state(a: State, b: State) -> bool:
    """Bitwise, and in all that stands beside the weights."""
    return (
        a["weights"].keys() == b["weights"].keys()
        and same_weights(a, b)
        and all(a[key] == b[key] for key in a if key != "weights")  # type: ignore[literal-required]
    )


class Mine(Dataset):  # type: ignore[type-arg]
    """A torch Dataset of one's own, over a list."""

    def __init__(self, pairs: list[Any]) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, i: int) -> Any:
        return self.pairs[i]
