"""What a model is asked for, described once: its task's kind, its outputs, and the rules between hyperparameters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from torch import Tensor

from neurallib.architectures import ARCHITECTURES
from neurallib.checks import as_list, boolean, choice, integer, is_list
from neurallib.state import Hparams, State

TaskKind = Literal["binary", "multilabel", "multiclass", "regression"]
R_PEAK = "R-peak"  # what a state calls its output that may be asked of any lead of ECG
_SAID_OTHERWISE = {
    "binary": "num_classes=1, as by default",
    "multiclass": "num_classes=K",
    **dict.fromkeys(("multilabel", "multi-label", "multi_label"), "num_classes=K, multi_label=True"),
}
EVENTS_OF_ONE = "nl.find_events(nl.predict_recording(state, r)['output'][:, 0], r['sampling_frequency'])"  # of labels
NOT_APPLICABLE = (None, "NA")  # what published files of regression models hold for num_classes


class Task(NamedTuple):
    """What a state's network takes and gives."""

    kind: TaskKind
    n_features: int  # C
    n_outputs: int  # K
    seq2one: bool  # one output a signal [K], not one a step [T, K]
    names: tuple[str, ...] | None = None  # of the outputs, [K]; None where unknown

    @property
    def output_names(self) -> tuple[str, ...]:
        """What the K outputs are called; by their numbers where they have no names."""
        return self.names or tuple(map(str, range(self.n_outputs)))

    def __str__(self) -> str:
        return f"{'seq2one' if self.seq2one else 'seq2seq'} {self.kind}"


def describe(state: State) -> Task:
    """The task of a state, to be handed on to whoever needs to know of it; TypeError or ValueError if
    `state["postprocessing"]["outputs"]` is not one name of its own for each output."""
    hparams, names = state["hparams"], state.get("postprocessing", {}).get("outputs")
    seq2one = ARCHITECTURES[state["architecture"]].seq2one
    task = Task(task_kind(hparams), int(hparams["n_features"]), n_outputs(hparams), seq2one)
    return task if names is None else task._replace(names=check_names(names, task))


def check_names(names: Any, task: Task) -> tuple[str, ...]:
    """The names of a task's outputs, of binary classes one, that of the positive; TypeError or ValueError if they are
    not as many different texts as there are outputs."""
    expected = f"outputs={names!r}; {task} expects a list of {task.n_outputs} different names"
    names = as_list(names)
    if not is_list(names) or not all(isinstance(entry, str) for entry in names):
        raise TypeError(f"{expected}.")
    if len(names) != task.n_outputs or len(set(names)) != len(names) or not all(entry.strip() for entry in names):
        raise ValueError(f"{expected}.")
    return tuple(names)


def check_order(what: str, names: Iterable[str], whose: str, known: Iterable[str]) -> None:
    """ValueError where what is known has one of the names in another place, so that one would be taken for another."""
    names, known = list(names), list(known)
    if any(name in names and names.index(name) != k for k, name in enumerate(known)):
        raise ValueError(f"{what}={names}; {whose} has them in another order, {known}: expected that one.")


def check_task(task: Any, num_classes: Any, multi_label: Any) -> Hparams:
    """The hyperparameters that name a task, checked against each other; TypeError or ValueError if a value is out of
    its range or two of them exclude each other. For regression `num_classes` is not applicable: None, "NA" or the
    default 1."""
    if is_list(task):
        way = "a model has one: make one for each, of which replace_head gives a second the layers of the first"
        raise ValueError(f"task={task!r}; {way}.")
    if isinstance(task, str) and task in _SAID_OTHERWISE:
        raise ValueError(f"task={task!r}; that is task='classification', {_SAID_OTHERWISE[task]}.")
    choice("task", task, ("classification", "regression"))
    boolean("multi_label", multi_label)
    if task == "regression":
        if multi_label:
            raise ValueError("multi_label=True is for task='classification'; this task is 'regression'.")
        left_out = num_classes is None or isinstance(num_classes, str) and num_classes in NOT_APPLICABLE
        if not left_out and integer("num_classes", num_classes) != 1:
            raise ValueError(f"num_classes={num_classes!r} is for task='classification'; leave it out for regression.")
        return {"task": task, "num_classes": None, "multi_label": False}
    k = integer("num_classes", num_classes)
    # One class by itself is multi-label, whatever was said: without the word the original takes a softmax of it, 1.0.
    return {"task": task, "num_classes": k, "multi_label": multi_label or k == 1}


def check_outputs(n_outputs: Any, hparams: Hparams) -> Hparams:
    """The hyperparameter `n_outputs`, checked against the others: K of a regression, left out where it is n_features.
    TypeError or ValueError if it is no number of at least 1, or says otherwise than `num_classes` of a classification.
    """
    if n_outputs is None:
        return {}
    k, regression = integer("n_outputs", n_outputs), task_kind(hparams) == "regression"
    if not regression and k != hparams["num_classes"]:
        classes = f"this classification has num_classes={hparams['num_classes']} outputs"
        raise ValueError(f"n_outputs={k} is for task='regression'; {classes}.")
    return {"n_outputs": k} if regression and k != hparams["n_features"] else {}


def task_kind(hparams: Hparams) -> TaskKind:
    """Which of the four kinds of task `hparams` describe; encoder-decoders, which name no task, do regression."""
    if hparams.get("task", "regression") == "regression":
        return "regression"
    if hparams["num_classes"] == 1:
        return "binary"
    return "multilabel" if hparams["multi_label"] else "multiclass"


def n_outputs(hparams: Hparams) -> int:
    """K, the number of outputs a step (or a signal): the classes; for regression n_outputs, which is n_features where
    they do not say."""
    if task_kind(hparams) == "regression":
        return int(hparams.get("n_outputs") or hparams["n_features"])
    return int(hparams["num_classes"])


def activate(logits: Tensor, kind: TaskKind) -> Tensor:
    """Probabilities of a classification [..., K], the values themselves of a regression."""
    if kind == "multiclass":
        return logits.softmax(-1)
    return logits if kind == "regression" else logits.sigmoid()
