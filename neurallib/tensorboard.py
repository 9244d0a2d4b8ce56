"""What TensorBoard shows of a run beside its losses: the network's size, and example predictions as figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neurallib.plots import plot_prediction
from neurallib.registry import ARCHITECTURES
from neurallib.state import State, count_parameters
from neurallib.tasks import activate, task_kind

if TYPE_CHECKING:
    from torch import Tensor
    from torch.utils.tensorboard import SummaryWriter

N_EXAMPLES = 2


def show_size(writer: SummaryWriter, state: State) -> None:
    """Write how many weights the network has, in all and tensor by tensor."""
    rows = [f"| {name} | {tuple(weight.shape)} | {weight.numel():,} |" for name, weight in state["weights"].items()]
    n_weights = count_parameters(state["weights"])
    writer.add_scalar("size/weights", n_weights)
    table = "\n".join(["| weight | size | numbers |", "| --- | --- | --- |", *rows])
    writer.add_text("network", f"{state['architecture']}, {n_weights:,} weights\n\n{table}")


def show_predictions(
    writer: SummaryWriter, state: State, x: Tensor, lengths: Tensor, logits: Tensor, epoch: int
) -> None:
    """Write figures of the first signals of a batch [B, T, C] with the outputs that logits [B, T, K] make.

    An architecture with one output a signal has no picture of it.
    """
    if ARCHITECTURES[state["architecture"]].seq2one:
        return
    kind = task_kind(state["hparams"])
    outputs = activate(logits, kind)
    for i in range(min(N_EXAMPLES, len(x))):
        n = int(lengths[i])
        figure = plot_prediction(
            x[i, :n].float().cpu().numpy(),
            outputs[i, :n].float().cpu().numpy(),
            sampling_frequency=state["preprocessing"]["sampling_frequency"],
            threshold=None if kind in ("regression", "multiclass") else 0.5,
            prediction_label="prediction" if kind == "regression" else "probability",
        )
        writer.add_figure(f"predictions/{i}", figure, epoch)
