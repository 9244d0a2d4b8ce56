"""Names: patterns of those of weights, how an error lists some and finds the nearest one, and arguments by theirs."""

from __future__ import annotations

import difflib
import functools
import inspect
import re
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Any, ParamSpec, TypeVar

_CALLED = dict.fromkeys(("fs", "sr", "rate", "hz", "sample_rate", "sampling_rate", "srate"), "sampling_frequency") | {
    "lr": "learning_rate", "device": "gpu_id", "n_jobs": "n_workers", "verbose": "enable_progress_bar",
    **dict.fromkeys(("groups", "subjects", "patients", "persons", "person"), "people person"),
    **dict.fromkeys(("n_folds", "n_splits", "cv"), "folds"), "y_true": "true", "y_pred": "found",
    "validation_data": "val_data", "train_dataset": "train_data", "val_dataset": "val_data",
    "sensitivity": "recall", "metric": "measure", "plot_roc": "plot_curves", "plot_roc_curve": "plot_curves",
    "plot_calibration": "plot_curves", "plot_bland_altman": "plot_agreement", "plot_confusion_matrix": "plot_confusion",
}  # fmt: skip  # what other libraries call it
WRAPPERS = ("module.", "model.", "network.")
P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])


def listing(names: Iterable[str], limit: int = 8) -> str:
    """Names for an error: the first few in order, then how many more."""
    names = list(map(str, names))
    shown = ", ".join(names[:limit])
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown or "none"


def did_you_mean(given: Any, known: Iterable[Any], n: int = 1) -> str:
    """The end of an error: the `n` known names at the most that a wrong one is near to, whatever its case."""
    by_lower = {str(name).lower(): str(name) for name in known}
    for called in _CALLED.get(str(given).lower(), "").split():
        if called in by_lower:
            return f" Did you mean {called!r}?"
    near = difflib.get_close_matches(str(given).lower(), by_lower, n=n, cutoff=0.55)
    return f" Did you mean {' or '.join(repr(by_lower[name]) for name in near)}?" if near else ""


def hinted(function: Callable[P, R]) -> Callable[P, R]:
    """The function, which tells a misspelt argument by its right name, as Python itself does from 3.13 on; where it
    takes any, one that other libraries call so."""
    known = inspect.signature(function).parameters
    open_ended = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in known.values())

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        for name in kwargs:
            if name not in known and (name in _CALLED or not open_ended):
                hint = did_you_mean(name, known)
                if open_ended and not hint:
                    continue
                raise TypeError(f"{function.__name__}() got an unexpected keyword argument {name!r}.{hint}")
        return function(*args, **kwargs)

    return call


def helped_by(other: Callable[..., Any]) -> Callable[[F], F]:
    """Makes the help of a function tell of the arguments that it leaves out what that of another one tells of them, all
    in the order of its signature."""

    def helped(function: F) -> F:
        if said := inspect.getdoc(function):  # none under python -OO
            told = _arguments_told(inspect.getdoc(other) or "") | _arguments_told(said)
            paragraphs = dict.fromkeys(told[name] for name in inspect.signature(function).parameters)
            function.__doc__ = _ARGUMENTS.sub(lambda found: found[1] + "".join(paragraphs) + "\n", said, count=1)
        return function

    return helped


_ARGUMENTS = re.compile(r"(^Parameters\n-+\n)((?:.*\n)*?)\n(?=\w.*\n---)", re.MULTILINE)


def _arguments_told(said: str) -> dict[str, str]:
    """The paragraph that a docstring has for each argument; one of several stands for each of them."""
    section = _ARGUMENTS.search(said)
    found = re.findall(r"^(\**\w.*\n(?: {4}.*\n)+)", section[2] if section else "", re.MULTILINE)
    return {name: one for one in found for name in re.findall(r"\w+", re.split(r" : |\n", one)[0])}


def is_named(name: str, pattern: str) -> bool:
    """Whether a weight's name is what a pattern means: a weight ("fc_out.bias"), a layer ("gru_layers.0"), or with
    wildcards any of them ("encoder.*norm*")."""
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")


def matching(names: Iterable[str], pattern: str) -> list[str]:
    """The names that a pattern means, of weights or of layers that hold them."""
    return [name for name in names if is_named(name, pattern)]


def weights_named(names: Iterable[str], pattern: str) -> list[str]:
    """The same, or ValueError where there are none; the nearest names are told."""
    names = list(names)
    if found := matching(names, pattern):
        return found
    raise ValueError(f"no weight is named {pattern!r}; there are {known_layers(names, pattern)}")


def known_layers(names: Iterable[str], pattern: str) -> str:
    """The end of an error about a pattern that means no weight: the layers there are, and the nearest names."""
    layers = layer_names(names := list(names))
    return f"{listing(layers)}.{did_you_mean(pattern, [*layers, *names], 2)}"


def layer_names(names: Iterable[str]) -> list[str]:
    """The layers that hold the weights of these names."""
    return list(dict.fromkeys(name.rpartition(".")[0] for name in names))


def bare(name: str) -> str:
    """A weight's name without what wrappers put before it: compilers, averages, processes, Lightning's modules."""
    name = name.replace("_orig_mod.", "")
    while name.startswith(WRAPPERS):
        name = name.partition(".")[2]
    return name


def as_patterns(patterns: str | Iterable[str]) -> list[str]:
    """One pattern or several, as a list; TypeError if they are anything else."""
    found: list[Any] = [patterns]
    if not isinstance(patterns, str) and isinstance(patterns, Iterable) and getattr(patterns, "shape", None) != ():
        found = list(patterns)
    if not all(isinstance(pattern, str) for pattern in found):
        raise TypeError(f"{patterns!r} names no layers; expected a name such as 'gru_layers.0', or a list of them.")
    return found
