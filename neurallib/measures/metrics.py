"""What `evaluate` reports beside the loss, by task, over valid steps alone and in bounded memory."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from neurallib.measures.auroc import Auroc
from neurallib.sequences import valid_mask
from neurallib.tasks import Task

if TYPE_CHECKING:
    from torchmetrics import Metric


class Metrics:
    """The metrics of a task, which see one batch after the other.

    Classification: accuracy, f1 (macro: the mean over classes; of a binary task over both) and auroc (macro; nan where
    only one class occurs). Regression: mse, mae and pearson (mean over outputs).
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._metrics = _torchmetrics(task)
        self._auroc = None if task.kind == "regression" else Auroc(task.n_outputs)

    def update(self, outputs: Tensor, y: Tensor, lengths: Tensor) -> None:
        """Take in a batch: probabilities or values [B, T, K] (or [B, K]), targets and lengths as in a batch."""
        if not self._task.seq2one:
            mask = valid_mask(lengths, outputs.shape[1])
            outputs, y = outputs[mask], y[mask]
        kind, k = self._task.kind, self._task.n_outputs
        if kind == "regression":
            y = y.reshape(outputs.shape)
            given = (outputs.squeeze(-1), y.squeeze(-1)) if k == 1 else (outputs, y)
        elif kind == "multiclass":
            y = y.reshape(-1).long()
            given, holds = (outputs.argmax(-1), y), torch.nn.functional.one_hot(y, k)
        else:
            y = y.reshape(outputs.shape).long()
            decided = (outputs > 0.5).long()
            given, holds = ((decided, y) if kind == "multilabel" else (decided.reshape(-1), y.reshape(-1))), y
        for metric in self._metrics.values():
            metric.update(*given)
        if self._auroc is not None:
            self._auroc.update(outputs.numpy(), holds.numpy())

    def values(self) -> dict[str, float]:
        """The metrics of all batches seen, as plain numbers."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torchmetrics warns of what the nan says
            values = {name: float(metric.compute().float().nanmean()) for name, metric in self._metrics.items()}
            if self._auroc is not None:
                values["auroc"] = float(np.nanmean(self._auroc.value()))
        return values


def _torchmetrics(task: Task) -> dict[str, Metric]:
    import torchmetrics.classification as tc
    import torchmetrics.regression as tr

    k = task.n_outputs
    if task.kind == "regression":
        pearson = tr.PearsonCorrCoef(num_outputs=k)
        return {"mse": tr.MeanSquaredError(), "mae": tr.MeanAbsoluteError(), "pearson": pearson}
    if task.kind == "multilabel":
        return {"accuracy": tc.MultilabelAccuracy(k, average="micro"), "f1": tc.MultilabelF1Score(k)}
    k = 2 if task.kind == "binary" else k
    return {
        "accuracy": tc.MulticlassAccuracy(k, average="micro"),
        "f1": tc.MulticlassF1Score(k, average="macro"),
    }
