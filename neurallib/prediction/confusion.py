"""Which classes a state takes for which: `confusion_matrix`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neurallib.architectures import check_state
from neurallib.checks import integer
from neurallib.devices import configure_device
from neurallib.measures.delays import check_delay
from neurallib.measures.metrics import Metrics
from neurallib.names import hinted
from neurallib.prediction.applying import answers
from neurallib.prediction.sharing import of_each_share
from neurallib.signals.manifest import handed_of
from neurallib.signals.prepared import PreparedData
from neurallib.signals.sources import Data
from neurallib.state import State
from neurallib.tasks import describe


@hinted
def confusion_matrix(
    state: State,
    data: Data,
    *,
    batch_size: int = 32,
    gpu_id: int | None = None,
    enable_progress_bar: bool = False,
    sampling_frequency: float | None = None,
    channels: Sequence[str] | None = None,
    units: Sequence[str] | str | None = None,
) -> np.ndarray:
    """How often each class of a classification is taken for each, over valid, known labels.

    Parameters
    ----------
    state : State
        Stays as it is; what its preprocessing says is done to the signals.
    data : sequence of (x, y), torch Dataset, pair of arrays, or what `open_folder` returns
        Signals [T, n_features] and their targets, whose labels may be unknown.
    batch_size : int
        Signals a batch; the numbers do not depend on it.
    gpu_id : int, optional
        Which GPU; by default one where there is one, else the CPU.
    enable_progress_bar : bool
        Show the progress.
    sampling_frequency : float, optional
        Hz, of the signals, where it may be another than the state's; by default, as of channels and units, what the
        manifest of `make_dataset` says of a folder.
    channels : sequence of str, optional
        Names of their channels: the state's are picked by their names, with a warning.
    units : sequence of str or str, optional
        Of their channels, or of all: converted to the state's, with a warning.

    Returns
    -------
    np.ndarray
        int64; rows are the truth, columns what was found: [K, K] of a multiclass task, [2, 2] (no, yes) of a binary
        one, [K, 2, 2] of several labels. Yes is a probability above 0.5, and a soft label from 0.5 on. The classes'
        names are `state["postprocessing"]["outputs"]`, where it has them.

    Raises
    ------
    TypeError, ValueError
        If `state` is none or does regression, another argument or a signal is wrong, or no label is known.

    See Also
    --------
    evaluate : the measures that are made of it.

    Examples
    --------
    >>> import neurallib as nl, numpy as np
    >>> state = nl.gru_seq2one(n_features=1, hid_dim=4, n_layers=1, num_classes=3)
    >>> nl.confusion_matrix(state, [(np.ones((9, 1)), np.array(label)) for label in (0, 1, 2, 2)]).sum(axis=1)
    array([1, 1, 2])
    """
    integer("batch_size", batch_size)
    device, state = configure_device(gpu_id), check_state(state)
    task = describe(state)
    if task.kind == "regression":
        raise ValueError("this state does regression; expected a classification, which has classes to confuse.")

    def table(prepared: PreparedData, bar: bool) -> np.ndarray:
        check_delay(state, prepared)
        metrics = Metrics(task)
        for some in answers(state, prepared, batch_size, device, bar):
            metrics.update(some.outputs(task), some.y.cpu(), some.lengths.cpu())
        return metrics.confusion()

    handed = handed_of(state, data, sampling_frequency, channels, units)
    tables = of_each_share(
        "confusion_matrix", state, data, "data", True, handed, table, enable_progress_bar=enable_progress_bar
    )
    return np.asarray(sum(tables))
