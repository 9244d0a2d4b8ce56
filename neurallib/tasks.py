"""What a model is asked for, described once: its task's kind, its outputs, and the rules between hyperparameters."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from torch import Tensor

from neurallib.architectures import ARCHITECTURES
from neurallib.checks import boolean, choice, integer
from neurallib.state import Hparams, State

TaskKind = Literal["binary", "multilabel", "multiclass", "regression"]
NOT_APPLICABLE = (None, "NA")  # what published files of regression models hold for num_classes


class Task(NamedTuple):
    """What a state's network takes and gives."""

    kind: TaskKind
    n_features: int  # C
    n_outputs: int  # K
    seq2one: bool  # one output a signal [K], not one a step [T, K]

    def __str__(self) -> str:
        return f"{'seq2one' if self.seq2one else 'seq2seq'} {self.kind}"


def describe(state: State) -> Task:
    """The task of a state, to be handed on to whoever needs to know of it."""
    hparams = state["hparams"]
    seq2one = ARCHITECTURES[state["architecture"]].seq2one
    return Task(task_kind(hparams), int(hparams["n_features"]), n_outputs(hparams), seq2one)


def check_task(task: Any, num_classes: Any, multi_label: Any) -> Hparams:
    """The hyperparameters that name a task, checked against each other.

    Parameters
    ----------
    task : str
        "classification" or "regression".
    num_classes : int
        1 for binary classification. For regression it is not applicable: None, "NA" or the default 1.
    multi_label : bool
        Whether classes may hold together (each its own yes or no) rather than exclude each other.

    Raises
    ------
    TypeError, ValueError
        If a value is out of its range or two of them exclude each other.
    """
    choice("task", task, ("classification", "regression"))
    boolean("multi_label", multi_label)
    if task == "regression":
        if multi_label:
            raise ValueError("multi_label=True is for task='classification'; this task is 'regression'.")
        if num_classes not in (*NOT_APPLICABLE, 1):
            raise ValueError(f"num_classes={num_classes!r} is for task='classification'; leave it out for regression.")
        return {"task": task, "num_classes": None, "multi_label": False}
    k = integer("num_classes", num_classes)
    # One class by itself is multi-label, whatever was said: without the word the original takes a softmax of it, 1.0.
    return {"task": task, "num_classes": k, "multi_label": multi_label or k == 1}


def task_kind(hparams: Hparams) -> TaskKind:
    """Which of the four kinds of task `hparams` describe; encoder-decoders, which name no task, do regression."""
    if hparams.get("task", "regression") == "regression":
        return "regression"
    if hparams["num_classes"] == 1:
        return "binary"
    return "multilabel" if hparams["multi_label"] else "multiclass"


def n_outputs(hparams: Hparams) -> int:
    """K, the number of outputs a step (or a signal): the classes, or for regression the features."""
    return int(hparams["n_features"] if task_kind(hparams) == "regression" else hparams["num_classes"])


def activate(logits: Tensor, kind: TaskKind) -> Tensor:
    """Probabilities of a classification [..., K], the values themselves of a regression."""
    if kind == "multiclass":
        return logits.softmax(-1)
    return logits if kind == "regression" else logits.sigmoid()
