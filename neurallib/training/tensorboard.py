"""What loggers are told of a run: its losses and measures; TensorBoard also of the network's size and of examples."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from neurallib.architectures import ARCHITECTURES
from neurallib.checks import is_list
from neurallib.plots.predictions import plot_prediction
from neurallib.state import Hparams, State, count_parameters
from neurallib.tasks import Task, describe
from neurallib.training.seldom import Seldom
from neurallib.warn import warn

if TYPE_CHECKING:
    from pytorch_lightning.loggers import Logger
    from torch import Tensor
    from torch.optim import Optimizer
    from torch.utils.tensorboard import SummaryWriter

N_EXAMPLES = 2


class Logs:
    """A run's loggers, told the loss of each step and what each epoch measured.

    Lightning's own way, `log`, takes longer than a small network's step, and flushes every logger's files each time.
    """

    def __init__(self, loggers: Sequence[Logger], state: State) -> None:
        self._state = state
        self._loggers: Sequence[Logger] = loggers
        self._writers: list[SummaryWriter] = []
        self._steps: list[tuple[int, Tensor]] = []
        self._curve, self._files, self._figures = Seldom(), Seldom(), Seldom()
        with self._spared():
            self._writers = [getattr(logger, "experiment") for logger in loggers if _is_tensorboard(logger)]
            for writer in self._writers:
                show_size(writer, state)

    @contextlib.contextmanager
    def _spared(self) -> Iterator[None]:
        """Logs that cannot be written are told of, and no more are: they end no run."""
        try:
            yield
        except (OSError, ValueError) as error:
            cause = error.__cause__ if isinstance(error, ValueError) else error  # Lightning takes it for a wrong value
            if not isinstance(cause, OSError):
                raise
            warn(f"the logs are not written any more: {cause}.")
            self._loggers, self._writers = [], []

    def step(self, loss: Tensor, step: int) -> None:
        """The loss of a step, counted from 0."""
        self._steps.append((step, loss))
        with self._spared():
            self._curve(self._write_steps)

    def epoch(self, values: Mapping[str, float], step: int, epoch: int) -> None:
        """What an epoch ended with."""
        with self._spared():
            self._curve.finish()
            for logger in self._loggers:
                logger.log_metrics(dict(values) | {"epoch": epoch}, step)
            self._files(self._save)

    def examples(self, x: Tensor, y: Tensor, lengths: Tensor, outputs: Tensor, epoch: int) -> None:
        """The first signals of the validation data, as TensorBoard's figures."""
        frequency = self._state["preprocessing"]["sampling_frequency"]
        for writer in self._writers:
            shown = (writer, describe(self._state), frequency, x, y, lengths, outputs, epoch)
            with self._spared():
                self._figures(partial(show_predictions, *shown))

    def finish(self, best: Mapping[str, float]) -> None:
        """Write what has not been written yet, and what the best weights reached."""
        with self._spared():
            for work in (self._curve, self._figures):
                work.finish()
            for logger in self._loggers if best else ():
                row: dict[str, Any] = table_row(self._state)
                if _is_tensorboard(logger):
                    logger.log_hyperparams(row, {f"best/{name}": value for name, value in best.items()})  # type: ignore
            self._save()

    def _write_steps(self) -> None:
        steps, self._steps = self._steps, []
        for step, loss in steps:
            for logger in self._loggers:
                logger.log_metrics({"train_loss": float(loss)}, step)

    def _save(self) -> None:
        for logger in self._loggers:
            logger.save()


def _is_tensorboard(logger: Logger) -> bool:
    return any(kind.__name__ == "TensorBoardLogger" for kind in type(logger).__mro__)


def learning_rates(optimizer: Optimizer) -> dict[str, float]:
    """The rate of each group, under the names that Lightning's LearningRateMonitor gives them."""
    name, groups = f"lr-{type(optimizer).__name__}", optimizer.param_groups
    if len(groups) == 1:
        return {name: groups[0]["lr"]}
    return {f"{name}/{group.get('name', f'pg{i}')}": group["lr"] for i, group in enumerate(groups, 1)}


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
            target=None if task.seq2one else _wanted(y[i, :n], task),
        )
        writer.add_figure(f"predictions/{i}", figure, epoch)


def _wanted(y: Tensor, task: Task) -> np.ndarray:
    """A target of an output per step as its outputs should be, [T, K]; nan where it is not known."""
    if task.kind != "multiclass":
        return y.float().numpy()
    holds: np.ndarray = np.eye(task.n_outputs, dtype=np.float32)[y.clamp(min=0).numpy()]
    return np.where((y >= 0).numpy()[:, None], holds, np.nan)


def _numbers(values: Tensor) -> str:
    return ", ".join(f"{value:.3g}" for value in values.reshape(-1).tolist())
