"""Models as the original NeuralLib publishes them, with random weights, and the plain torch that computes them."""

from __future__ import annotations

import io
import json
from typing import Any

import torch
import yaml
from torch import Tensor, nn

THREE = ["hparams.yaml", "model_weights.pth", "training_info.json"]
# What the two published models hold (novabiosignals/NeuralLib, hugging_prodmodels), but for the weights.
DENOISER = {
    "bidirectional": True, "dropout": 0, "hid_dim": [64, 1], "learning_rate": 0.005, "model_name": "ECGDenoiser",
    "multi_label": False, "n_features": 1, "n_layers": 2, "num_classes": "NA", "task": "regression",
    "fc_out_bool": False,
}  # fmt: skip
PEAK_DETECTOR = {
    "bidirectional": True, "dropout": 0, "hid_dim": [32, 64, 64], "learning_rate": 0.001,
    "model_name": "ECGPeakDetector", "multi_label": True, "n_features": 1, "n_layers": 3, "num_classes": 1,
    "task": "classification",
}  # fmt: skip
INFO = {
    "architecture": "GRUseq2seq", "train_dataset": "PTB-XL", "biosignal": "ECG", "sampling_frequency": 360,
    "task": "denoising", "gpu_model": "GPU", "epochs": 200, "optimizer": "Adam (\nParameter Group 0\n)",
    "learning_rate": 0.005, "validation_loss": 0, "training_time": 0, "retraining": False, "efficiency_flops": 0,
    "efficiency_params": 26121,
}  # fmt: skip


class Stack(nn.Module):
    """The original's layers, of torch's own parts."""

    def __init__(self, hparams: dict[str, Any], directions: list[bool]) -> None:
        super().__init__()
        self.gru_layers = nn.ModuleList()
        n_in = hparams["n_features"]
        for hidden, both in zip(hparams["hid_dim"], directions, strict=True):
            self.gru_layers.append(nn.GRU(n_in, hidden, bidirectional=both, batch_first=True))
            n_in = hidden * (1 + both)
        self.fc_out = nn.Linear(n_in, 1) if hparams.get("fc_out_bool", True) else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        for gru in self.gru_layers:
            x = gru(x)[0]
        return self.fc_out(x)


def published(hparams: dict[str, Any], directions: list[bool], **info: Any) -> tuple[dict[str, bytes], Stack]:
    """A repository's files as the original writes them, and its network."""
    stack = Stack(hparams, directions)
    weights = io.BytesIO()
    torch.save(stack.state_dict(), weights)
    return {
        "README.md": b"---\nlibrary_name: pytorch\n---\n# Model card\n",
        "hparams.yaml": yaml.safe_dump(hparams).encode(),
        "model_weights.pth": weights.getvalue(),
        "training_info.json": json.dumps(INFO | {"model_name": hparams["model_name"]} | info).encode(),
    }, stack
