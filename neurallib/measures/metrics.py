"""What `evaluate` reports beside the loss, by task, computed by torchmetrics over valid steps alone."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from neurallib.sequences import valid_mask
from neurallib.tasks import Task

if TYPE_CHECKING:
    from torchmetrics import MetricCollection


def make_metrics(task: Task) -> MetricCollection:
    """Metrics of a task that see one batch after the other.

    Returns
    -------
    MetricCollection
        Classification: accuracy, f1 (macro: the mean over classes; of a binary task over both) and auroc (macro; nan
        where only one class occurs). Regression: mse, mae and pearson (mean over outputs).
    """
    import torchmetrics.classification as tc
    import torchmetrics.regression as tr
    from torchmetrics import MetricCollection

    kind, n_outputs = task.kind, task.n_outputs
    if kind == "regression":
        return MetricCollection(
            {
                "mse": tr.MeanSquaredError(),
                "mae": tr.MeanAbsoluteError(),
                "pearson": tr.PearsonCorrCoef(num_outputs=n_outputs),
            }
        )
    if kind == "multilabel":
        return MetricCollection(
            {
                "accuracy": tc.MultilabelAccuracy(n_outputs, average="micro"),
                "f1": tc.MultilabelF1Score(n_outputs),
                "auroc": tc.MultilabelAUROC(n_outputs, average="none"),
            }
        )
    n_classes = 2 if kind == "binary" else n_outputs
    auroc = tc.BinaryAUROC() if kind == "binary" else tc.MulticlassAUROC(n_classes, average="none")
    return MetricCollection(
        {
            "accuracy": tc.MulticlassAccuracy(n_classes, average="micro"),
            "f1": tc.MulticlassF1Score(n_classes, average="macro"),
            "auroc": auroc,
        },
        compute_groups=False,
    )


def update_metrics(metrics: MetricCollection, task: Task, outputs: Tensor, y: Tensor, lengths: Tensor) -> None:
    """Show one batch to the metrics.

    Parameters
    ----------
    metrics : MetricCollection
        From `make_metrics`; changed.
    task : Task
        From `describe`.
    outputs : Tensor
        [B, T, K] or [B, K]: probabilities, or values of a regression.
    y, lengths : Tensor
        As in a batch.
    """
    if not task.seq2one:
        mask = valid_mask(lengths, outputs.shape[1])
        outputs, y = outputs[mask], y[mask]
    if task.kind == "regression":
        y = y.reshape(outputs.shape)
        if outputs.shape[-1] == 1:
            outputs, y = outputs.squeeze(-1), y.squeeze(-1)
        metrics.update(outputs, y)
    elif task.kind == "multilabel":
        metrics.update(outputs, y.reshape(outputs.shape).long())
    elif task.kind == "multiclass":
        metrics.update(outputs, y.reshape(-1).long())
    else:
        positive, truth = outputs.reshape(-1), y.reshape(-1).long()
        decided = (positive > 0.5).long()
        metrics["auroc"].update(positive, truth)
        for name in ("accuracy", "f1"):
            metrics[name].update(decided, truth)


def metric_values(metrics: MetricCollection) -> dict[str, float]:
    """The metrics of all batches seen, as plain numbers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchmetrics warns of what the nan says
        values = {name: metric.compute().float() for name, metric in metrics.items()}
    if "auroc" in values:
        values["auroc"] = values["auroc"].reshape(-1).masked_fill(~_both_occur(metrics["auroc"]), torch.nan)
    return {name: float(value.nanmean()) for name, value in values.items()}


def _both_occur(auroc: Any) -> Tensor:
    """For each class [K], whether there are signals with it and without it; no ROC curve exists where not."""
    truth = torch.cat(list(auroc.target))
    if (n_classes := getattr(auroc, "num_classes", None)) is not None:
        truth = torch.nn.functional.one_hot(truth, n_classes)
    share = truth.reshape(len(truth), -1).float().mean(0)
    return (share > 0) & (share < 1)
