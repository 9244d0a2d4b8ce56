"""From what files and users hold to what a network takes: each signal and target checked, shaped and normalized."""

from __future__ import annotations

from typing import Any

from neurallib.architectures import check_state
from neurallib.checks import integer
from neurallib.names import hinted
from neurallib.signals.augmenting import Augmentation
from neurallib.signals.conversion import Handed
from neurallib.signals.folders import SignalFolder
from neurallib.signals.manifest import SAID, handed_at_rate, people_said
from neurallib.signals.normalization import check_normalization
from neurallib.signals.plausibility import Layout
from neurallib.signals.prepared import PreparedData
from neurallib.signals.sources import Data, as_items
from neurallib.signals.statistics import Statistics
from neurallib.signals.targets import check_known
from neurallib.state import State, changed, new_preprocessing
from neurallib.tasks import describe


@hinted
def prepare(
    state: State, data: Data, name: str = "data", *, memory_budget: int = 2**30, enable_progress_bar: bool = False
) -> PreparedData:
    """Check and shape signals and targets for a state's network, and normalize them as the state says.

    Parameters
    ----------
    state : State
        Names features, task and normalization. One that has never been trained has none: `train` with dry_run=True
        gives it back with what the data decide.
    data : sequence of (x, y), torch Dataset, pair of arrays, or what `open_folder` returns
        Pairs of signal and target, or one pair of stacked arrays ([N, T, n_features], [N, ...]). x: [T, n_features];
        also [T] (one feature) and [n_features, T], each with one warning for all of them. y, for one output a step:
        [T, K], [T] for multiclass; for one output a signal: [K] or [1, K], a scalar for multiclass; also, with a
        warning, one value more or less in brackets, and transposed. Any float, integer or bool dtype. A label that is
        not known is -1 (multiclass) or nan (every other task); those of binary and multi-label tasks may be soft, any
        value from 0 to 1. Of a folder that `make_dataset` made the state's channels are picked by their names, units
        are converted, and its rate has to be the state's.
    name : str
        What errors call the data.
    memory_budget : int
        Bytes of prepared signals to keep in memory; what is beyond is read and prepared again when asked for.
    enable_progress_bar : bool
        Show the progress where checking takes more than two seconds.

    Returns
    -------
    PreparedData
        For `make_loader`. x: float32 [T, n_features]; y: float32 [T, K] or [K], int64 [T] or [] for multiclass. Both as
        the state normalizes them; long signals stay whole.

    Raises
    ------
    TypeError, ValueError
        If `state` or `data` is none, there is no signal or no known label, or a signal is not finite, of a wrong shape
        or dtype, or its target does not fit the signal or the task; the file is named.

    See Also
    --------
    make_loader : batches of what this returns.

    Examples
    --------
    >>> import neurallib as nl, numpy as np
    >>> state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1)
    >>> prepared = nl.prepare(state, [(np.zeros((100, 1)), np.zeros((100, 1))), (np.ones((80, 1)), np.ones((80, 1)))])
    >>> prepared.lengths
    [100, 80]
    """
    handed = handed_at_rate(check_state(state), data, name, dict.fromkeys(SAID))
    reading: dict[str, Any] = {"memory_budget": memory_budget, "enable_progress_bar": enable_progress_bar}
    return prepare_handed(state, data, name, True, handed, **reading)


def prepare_training(
    state: State, data: Data, name: str, *, handed: Handed, augmentation: Augmentation | None = None, **reading: Any
) -> tuple[State, PreparedData]:
    """The training data, and the state with all of its preprocessing decided on them, in one pass over them.

    What is to be augmented is decided on and counted as it is, and augmented when it is asked for, epoch by epoch.
    """
    prepared = prepare_handed(state, data, name, True, handed, decide=True, augmentation=augmentation, **reading)
    if augmentation is not None:
        prepared.drawn(0, epoch=0)  # a function that cannot be used is told before anything is trained
    known = prepared.preprocessing
    if known["channels"] is None and len(prepared.columns or ()) > 1:
        known = new_preprocessing({**known, "channels": prepared.columns})
    return changed(state, preprocessing=known), prepared


def prepare_handed(
    state: State,
    data: Any,
    name: str,
    has_targets: bool,
    handed: Handed,
    *,
    memory_budget: int = 2**27,
    enable_progress_bar: bool = False,
    first: int = 0,
    with_sums: bool = False,
    whole: bool = True,
    told: set[str] | None = None,
    decide: bool = False,
    augmentation: Augmentation | None = None,
) -> PreparedData:
    """Data as a state takes them, of which the caller says how they are handed in; without targets y is empty. Errors
    count from `first`; a label has to be known where this is the `whole` of the data. Of parts that share `told` what
    is true of several is told once. What the preprocessing leaves open is to be known, unless it is to `decide`."""
    task, known = describe(state), state["preprocessing"]
    check_normalization(known, task, decide)
    items = as_items(data, name, handed.conversion.n_given or task.n_features, has_targets)
    names = [f"{name}[{i}]" for i in range(first, first + len(items))]
    if isinstance(items, SignalFolder):
        names = [f"{path.parent.name}/{file}" for path, file in zip(items.paths_x, items.names, strict=True)]
    statistics = Statistics(task, known, people_said(data)) if decide else None
    budget = integer("memory_budget", memory_budget, minimum=0)
    prepared = PreparedData(items, names, task, known, has_targets, handed, augmentation)
    prepared.sums, prepared.told = [] if with_sums else None, set() if told is None else told
    learnt = state["training_info"].get("train_steps")
    was_told = isinstance(learnt, int) and learnt <= task.n_features  # when it learnt on such
    if not was_told and "layout" not in prepared.told:
        prepared.layout = Layout(len(items), known["sampling_frequency"] if learnt is None else None)
    prepared.check(budget, enable_progress_bar, statistics if statistics and statistics.anything else None)
    if has_targets and whole:
        check_known(prepared.class_counts, name)
    return prepared
