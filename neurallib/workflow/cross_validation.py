"""Cross-validation over people: a state a fold, each measured on people whom it has never met."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neurallib.architectures import check_state
from neurallib.checks import boolean
from neurallib.measures.metrics import range_of
from neurallib.names import hinted, listing
from neurallib.prediction.evaluation import evaluate, predict
from neurallib.progress import progress
from neurallib.signals.conversion import handed_to
from neurallib.signals.folders import SignalFolder
from neurallib.signals.manifest import people_said, with_said
from neurallib.signals.people import ByName, by_name, fold_of, part_of, people_of
from neurallib.signals.preparing import prepare_handed
from neurallib.signals.sources import Data, Part, as_items, sample_weights
from neurallib.state import State
from neurallib.tasks import describe
from neurallib.training.train import train

_WITH_A_MEMORY = {"callbacks", "loggers"}


@hinted
def cross_validate(
    state: State,
    data: Data,
    people: ByName | None,
    *,
    folds: int = 5,
    epochs: int,
    batch_size: int,
    val: float = 0.15,
    labels: ByName | None = None,
    seed: int = 42,
    gpu_id: int | None = None,
    enable_progress_bar: bool = True,
    **training_options: Any,
) -> dict[str, Any]:
    """Train one state a fold, and measure each on the people of its fold, who had no part in its training.

    Neither the weights nor the choice of the epoch nor what a normalization takes from data has seen the people that a
    state is measured on: some of the other people are set aside for `train` to validate with.

    Parameters
    ----------
    state : State
        What every fold starts from; stays as it is. A trained one should not have met these people.
    data : sequence of (x, y), torch Dataset, pair of arrays, or what `open_folder` returns
        Signals [T, n_features] and their targets, of all people: of `make_dataset(..., val=0, test=0)` all are in
        "train".
    people : sequence, or of a folder also function, mapping, str or None
        Who each signal is of, in the order of `data`. Of a folder also a function of the file's name without its
        ending, a mapping from such names, or a regular expression whose one group finds the person in it; None: whom
        the manifest of `make_dataset` names, and without one each file is of a person of its own. Windows of a file are
        of one person in any case but a sequence.
    folds : int
        How many, at least 2; everyone is held out in one of them, and alone in as many as there are people.
    epochs : int
        How many epochs at the most, of each fold.
    batch_size : int
        Signals a batch.
    val : float or int
        Of the people who are not held out, those whom `train` validates with: a share of the signals, or how many
        people. 0: none, and the epoch is chosen by the loss on the training signals.
    labels : sequence, or of a folder also function, mapping or str, optional
        A class for each signal, or of labels that may hold together [K] of 0 and 1: folds get like shares of every
        class or label, as nearly as the people allow.
    seed : int
        For who is in which fold, and for each training.
    gpu_id : int, optional
        Which GPU; by default one where there is one, else the CPU.
    enable_progress_bar : bool
        Show the folds done.
    **training_options
        Other options of `train`: patience, normalization, class_weight, ... Each fold has its own copies of callbacks
        and loggers, and of `sample_weight`, one for each signal of `data`, those of the signals that it trains on.

    Returns
    -------
    dict
        "predictions": what `predict` gives for each signal by the state that did not know its person, in the order of
        `data`; "fold": which fold that was, int64 [N]; "states": the state of each fold; "measures": what `evaluate`
        gives for each on its held-out people; of every measure "mean", over the folds, and "interval", (low, high), in
        which that mean lies with 95 % confidence by Student's t, cut off where no value can be, such as above 1 of an
        accuracy (nan of a single fold). Folds in which a measure is nan are left out of both. Folds share training
        signals, which makes the interval somewhat narrow [1]_.

    Raises
    ------
    TypeError, ValueError
        If an argument or a signal is wrong, a signal has no person, or there are too few people; nothing has been
        trained then.
    RuntimeError
        If a training diverged before there was a finite validation loss.

    See Also
    --------
    split_people : who is in which fold.
    class_scores, value_scores : all predictions by person, with intervals over people instead of folds.
    train : what runs in each fold.

    References
    ----------
    .. [1] C. Nadeau and Y. Bengio, "Inference for the generalization error", Machine Learning 52, 239-281, 2003.

    Examples
    --------
    >>> import neurallib as nl, numpy as np
    >>> rng = np.random.default_rng(0)
    >>> signals = [rng.standard_normal((50, 1)) for _ in range(8)]
    >>> pairs = [(x, x > 0) for x in signals]
    >>> people = ["anna", "anna", "ben", "cleo", "cleo", "cleo", "dora", "dora"]
    >>> state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1, learning_rate=0.05)
    >>> told = nl.cross_validate(state, pairs, people, folds=4, epochs=8, batch_size=2, enable_progress_bar=False)
    >>> len(told["states"]), len(told["predictions"]), told["fold"][:2].tolist() == [told["fold"][0]] * 2
    (4, 8, True)
    >>> low, high = told["interval"]["accuracy"]
    >>> bool(low < told["mean"]["accuracy"] < high)
    True
    """
    boolean("enable_progress_bar", enable_progress_bar)
    if refused := sorted({"dry_run", "val_data", "train_data"} & training_options.keys()):
        raise TypeError(f"cross_validate got {listing(refused)}: it makes the parts itself, and trains on them.")
    boolean("resume", training_options.get("resume", False))  # each fold has a directory of its own
    data, said = with_said(data, training_options)
    handed = handed_to(check_state(state), None, said["channels"], said["units"])
    items = as_items(data, "data", handed.conversion.n_given or describe(state).n_features, True)
    who, classes = _who_is_who(items, people, labels)
    held_out = np.array(fold_of(who, folds, classes, seed), dtype=np.int64)
    parts = [_training_parts(held_out != fold, who, val, classes, seed) for fold in range(folds)]
    weights = _weights(training_options.get("sample_weight"), items, [training for training, _ in parts])
    prepare_handed(state, items, "data", True, handed, memory_budget=0)  # all are looked at before any training

    states, measures, predictions = [], [], dict[int, np.ndarray]()
    for fold in progress(range(folds), enable_progress_bar, "folds", unit="fold"):
        places = np.flatnonzero(held_out == fold).tolist()
        own: dict[str, Any] = {"sample_weight": weights[fold]}
        own |= {name: copy.deepcopy(training_options[name]) for name in _WITH_A_MEMORY & training_options.keys()}
        trained = train(
            state, *(_Pairs(items, part, who) for part in parts[fold]), epochs=epochs, batch_size=batch_size, seed=seed,
            gpu_id=gpu_id, enable_progress_bar=False, **(training_options | said | own),
        )  # fmt: skip
        if trained["training_info"]["interrupted"]:
            raise KeyboardInterrupt  # train has kept what it had; whoever pressed Ctrl-C wants no further fold
        states.append(trained)
        held = _Pairs(items, places, who)
        measures.append(evaluate(trained, held, gpu_id=gpu_id, **said))
        predictions |= zip(places, predict(trained, held, gpu_id=gpu_id, **said), strict=True)
    told = {
        name: _mean_and_interval([measured[name] for measured in measures], *range_of(name)) for name in measures[0]
    }
    return {
        "predictions": [predictions[i] for i in range(len(items))],
        "fold": held_out,
        "states": states,
        "measures": measures,
        "mean": {name: mean for name, (mean, _) in told.items()},
        "interval": {name: interval for name, (_, interval) in told.items()},
    }


class _Pairs(Part):
    """A part of pairs, in whatever form these are, of people."""

    def __init__(self, items: Any, places: Sequence[int], who: Sequence[str]) -> None:
        super().__init__(items, places)
        self.people_of_items = [who[i] for i in places]

    def __getitem__(self, i: int) -> Any:
        x, y = super().__getitem__(i)
        return x, y


def _who_is_who(items: Any, people: Any, labels: Any) -> tuple[list[str], list[Any] | None]:
    """The person of each item, and its class where there are labels."""
    if isinstance(items, SignalFolder):
        names = [path.stem for path in items.paths_x]
        if people is None:
            people = people_said(items) or names
    else:
        names = [f"data[{i}]" for i in range(len(items))]
        for argument, given in (("people", people), ("labels", labels)):
            missing = given is None and argument == "people"
            if missing or isinstance(given, (str, Mapping)) or callable(given):
                came = f"{argument} is a {type(given).__name__}"
                raise TypeError(f"{came}, but only files have names; expected a list, one for each of {len(names)}.")
    return people_of(names, people, "people"), None if labels is None else by_name(names, labels, "labels")


def _training_parts(
    known: np.ndarray, who: Sequence[str], val: Any, classes: Sequence[Any] | None, seed: int
) -> tuple[list[int], list[int]]:
    """The places of the signals to train on, and of those to validate with."""
    places = np.flatnonzero(known).tolist()
    if val and len({who[i] for i in places}) < 2:
        raise ValueError(
            f"val={val}, but a fold trains on a single person; expected more people, or val=0, which chooses the epoch "
            "by the training signals' loss."
        )
    inner = None if classes is None else [classes[i] for i in places]
    parts = part_of([who[i] for i in places], val, 0, inner, seed)
    training = [i for i, part in zip(places, parts, strict=True) if part == "train"]
    validating = [i for i, part in zip(places, parts, strict=True) if part == "val"]
    return training, validating or training


def _weights(given: Any, items: Any, parts: Sequence[Sequence[int]]) -> list[list[float] | None]:
    """The weights of the signals that each fold trains on."""
    if (weights := sample_weights(given, items, "data")) is None:
        return [None] * len(parts)
    if idle := [fold for fold, places in enumerate(parts) if not weights[places].any()]:
        raise ValueError(f"sample_weight is 0 for all signals that fold {idle[0]} trains on; expected one at least.")
    return [weights[places].tolist() for places in parts]


def _mean_and_interval(
    values: Sequence[float], low: float = -math.inf, high: float = math.inf
) -> tuple[float, tuple[float, float]]:
    """The mean of the values that are finite, and its interval of 95 % by Student's t, as far as it is possible."""
    from scipy.special import stdtrit

    finite = [float(value) for value in values if math.isfinite(value)]
    if not finite:
        return math.nan, (math.nan, math.nan)
    mean, n = float(np.mean(finite)), len(finite)
    half = float(stdtrit(n - 1, 0.975) * np.std(finite, ddof=1) / math.sqrt(n)) if n > 1 else math.nan
    return mean, (max(mean - half, low), min(mean + half, high))
