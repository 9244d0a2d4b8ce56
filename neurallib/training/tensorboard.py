"""What TensorBoard shows of a run beside its losses: the network's size, and example predictions as figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neurallib.architectures import ARCHITECTURES
from neurallib.checks import is_list
from neurallib.plots import plot_prediction
from neurallib.state import Hparams, State, count_parameters
from neurallib.tasks import Task

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


def table_row(state: State) -> Hparams:
    """Hyperparameters for the HPARAMS tab: those that may be a list are text, because a column has to be of one type
    for the tab to sort it."""
    texts = {name: state["hparams"][name] for name in ARCHITECTURES[state["architecture"]].per_layer}
    return state["hparams"] | {name: ", ".join(map(str, v)) if is_list(v) else str(v) for name, v in texts.items()}


def show_predictions(
    writer: SummaryWriter,
    task: Task,
    sampling_frequency: float | None,
    x: Tensor,
    y: Tensor,
    lengths: Tensor,
    outputs: Tensor,
    epoch: int,
) -> None:
    """Write figures of the first signals of a batch [B, T, C] with the outputs [B, T, K]; of a task with one output a
    signal, [B, K], the figure's title says it, and the target y."""
    label = "prediction" if task.kind == "regression" else "probability"
    for i in range(min(N_EXAMPLES, len(x))):
        n = int(lengths[i])
        figure = plot_prediction(
            x[i, :n].float().cpu().numpy(),
            None if task.seq2one else outputs[i, :n].numpy(),
            sampling_frequency=sampling_frequency,
            threshold=None if task.kind in ("regression", "multiclass") else 0.5,
            title=f"{label} {_numbers(outputs[i])}, target {_numbers(y[i])}" if task.seq2one else None,
            prediction_label=label,
            output_names=None if task.seq2one else task.names,
        )
        writer.add_figure(f"predictions/{i}", figure, epoch)


def _numbers(values: Tensor) -> str:
    return ", ".join(f"{value:.3g}" for value in values.reshape(-1).tolist())
