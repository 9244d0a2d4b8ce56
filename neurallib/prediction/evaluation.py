"""Measuring a state and predicting with it: `evaluate` and `predict`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from neurallib.architectures import check_state
from neurallib.checks import choice, integer
from neurallib.devices import configure_device
from neurallib.measures.losses import loss_terms
from neurallib.measures.metrics import Metrics
from neurallib.models.registry import check_weights
from neurallib.names import helped_by, hinted
from neurallib.prediction.applying import AnsweredBatch, answers, outputs_and_losses
from neurallib.prediction.sharing import of_each_share
from neurallib.signals.manifest import handed_of
from neurallib.signals.preparing import prepare_handed
from neurallib.signals.sources import Data, Signals, as_items, in_blocks
from neurallib.state import State
from neurallib.tasks import describe


@hinted
def evaluate(
    state: State,
    data: Data,
    *,
    batch_size: int = 32,
    gpu_id: int | None = None,
    memory_budget: int = 2**27,
    enable_progress_bar: bool = False,
    sampling_frequency: float | None = None,
    channels: Sequence[str] | None = None,
    units: Sequence[str] | str | None = None,
    threshold: ArrayLike = 0.5,
) -> dict[str, float]:
    """The loss of a state on data, and the metrics of its task.

    In a process group of torch's (torchrun, or after training on several devices) all processes call it, with the same
    state and data: each answers a share of the signals, and all get the whole. In a callback each works by itself.

    Parameters
    ----------
    state : State
        Stays as it is. What its preprocessing says is done to the signals, and undone in the answers; one that was
        trained on windows takes longer signals in windows, unless it goes on as `predict_recording` says.
    data : sequence of (x, y), torch Dataset, pair of arrays, or what `open_folder` returns
        Signals [T, n_features] and their targets; also an iterable of them, one pair of arrays (x, y), or a pair of
        stacked ones ([N, T, n_features], [N, ...]).
    batch_size : int
        Signals a batch; the numbers do not depend on it.
    gpu_id : int, optional
        Which GPU; by default one where there is one, else the CPU.
    memory_budget : int
        Bytes of prepared signals kept in memory; what is beyond is read again when its batch comes.
    enable_progress_bar : bool
        Show the progress.
    sampling_frequency : float, optional
        Hz, of the signals; by default, as of channels and units, what the manifest of `make_dataset` says of a folder.
        Where the state was trained at another, they are resampled, and the answers are for their own steps.
    channels : sequence of str, optional
        Names of their channels: the state's are picked by their names.
    units : sequence of str or str, optional
        Of their channels, or of all: converted to the state's.
    threshold : float or array-like
        In [0, 1]: yes is a probability above it. Of several labels also one for each [K], as `choose_threshold` gives.

    Returns
    -------
    dict of str to float
        "loss", over all valid, known labels (of a regression, of targets as the state normalizes them); the measures of
        the task, in the target's own units, which help("neurallib.measures") lists, such as "accuracy" and (of a binary
        task's positive class) "f1"; those of each class, label or output by its name or number, such as "f1_2"; and
        "baseline_accuracy" or "baseline_mse", of the best constant. Soft labels count as yes from 0.5 on; nan is what
        the data do not tell.

    Raises
    ------
    TypeError, ValueError
        If `state` is none, another argument or a signal is wrong, or no label is known.

    See Also
    --------
    predict : the outputs themselves.
    threshold_curves : what other thresholds would give.
    class_scores, value_scores : the same and more of outputs by person, with intervals over people.
    test_on_test_set : the same for a data folder's test set.

    Examples
    --------
    >>> import neurallib as nl, numpy as np
    >>> state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1)
    >>> measured = nl.evaluate(state, [(np.zeros((100, 1)), np.arange(100)[:, None] % 2)])
    >>> sorted(measured)[:6]
    ['accuracy', 'auroc', 'average_precision', 'balanced_accuracy', 'baseline_accuracy', 'calibration_error']
    """
    state = check_state(state)
    task = describe(state)
    terms, metrics = loss_terms(state), Metrics(task, threshold)

    def measured(batches: Iterator[AnsweredBatch]) -> tuple[Tensor, Metrics]:
        sums = torch.zeros(2, dtype=torch.float64)
        for some in batches:
            sums += torch.stack([part.sum().double().cpu() for part in terms(some.logits, some.y, some.lengths)])
            metrics.update(some.outputs(task), some.truth, some.lengths.cpu())
        return sums, metrics

    (sums, metrics), *others = of_each_share(
        "evaluate", state, data, True, measured, batch_size=batch_size, gpu_id=gpu_id, memory_budget=memory_budget,
        enable_progress_bar=enable_progress_bar, sampling_frequency=sampling_frequency, channels=channels, units=units,
    )  # fmt: skip
    for more, other in others:
        sums = sums + more
        metrics.add(other)
    return {"loss": float(sums[0] / sums[1])} | metrics.values()


@hinted
@helped_by(evaluate)
def predict(
    state: State,
    signals: Signals,
    *,
    batch_size: int = 32,
    output: str = "probabilities",
    gpu_id: int | None = None,
    enable_progress_bar: bool = False,
    sampling_frequency: float | None = None,
    channels: Sequence[str] | None = None,
    units: Sequence[str] | str | None = None,
) -> list[np.ndarray]:
    """Outputs for signals of any lengths, without padding, in the order given.

    In a process group of torch's (torchrun, or after training on several devices) all processes call it, with the same
    state and data: each answers a share of the signals, and all get the whole. In a callback each works by itself.

    Parameters
    ----------
    signals : sequence of array or Tensor, torch Dataset, array, or what `open_folder` returns
        Each [T, n_features], or [T] when n_features is 1; also an iterable of them, one such array by itself, or a
        stack [N, T, n_features]. Targets beside the signals are not looked at.
    batch_size : int
        Signals a batch; the outputs do not depend on it.
    output : str
        "probabilities" (of a regression: values in the target's own units), or "logits", as the network gives them.
    (the rest as `evaluate` has it)

    Returns
    -------
    list of np.ndarray
        float32, [T, K] a signal; [K] of an architecture with one output a signal. A list of one for one array.

    Raises
    ------
    TypeError, ValueError
        If `state` is none, or another argument or a signal is wrong.

    See Also
    --------
    evaluate : how good the outputs are.
    post_process_peaks_binary : peaks of probabilities.

    Examples
    --------
    >>> import neurallib as nl, numpy as np
    >>> state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1)
    >>> [output.shape for output in nl.predict(state, [np.zeros((100, 1)), np.zeros((80, 1))])]
    [(100, 1), (80, 1)]
    """
    choice("output", output, ("probabilities", "logits"))
    state = check_state(state)
    parts = of_each_share(
        "predict", state, signals, False, partial(outputs_and_losses, task=describe(state), raw=output == "logits"),
        batch_size=batch_size, gpu_id=gpu_id, enable_progress_bar=enable_progress_bar,
        sampling_frequency=sampling_frequency, channels=channels, units=units,
    )  # fmt: skip
    return [one for outputs, _ in parts for one in outputs]


@hinted
@helped_by(predict)
def iter_predict(
    state: State,
    signals: Signals,
    *,
    batch_size: int = 32,
    output: str = "probabilities",
    gpu_id: int | None = None,
    sampling_frequency: float | None = None,
    channels: Sequence[str] | None = None,
    units: Sequence[str] | str | None = None,
) -> Iterator[np.ndarray]:
    """Outputs one by one, for more signals than fit into memory: neither they nor the outputs pile up.

    Parameters
    ----------
    signals : iterable of array or Tensor, torch Dataset, array, or what `open_folder` returns
        Each [T, n_features], or [T] when n_features is 1; a generator is read as outputs are asked for. Targets
        beside the signals are not looked at.
    batch_size : int
        Signals a batch; so many are read ahead at the most.
    (the rest as `predict` has it)

    Returns
    -------
    iterator of np.ndarray
        float32, [T, K] for each signal in the order given; [K] of an architecture with one output a signal.

    Raises
    ------
    TypeError, ValueError
        If `state` is none or another argument is wrong, at once; if a signal is, when its turn comes.

    See Also
    --------
    predict : all outputs in a list.

    Examples
    --------
    >>> import neurallib as nl, numpy as np
    >>> state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1)
    >>> outputs = nl.iter_predict(state, (np.zeros((n, 1)) for n in (100, 80)))
    >>> next(outputs).shape
    (100, 1)
    """
    choice("output", output, ("probabilities", "logits"))
    integer("batch_size", batch_size)
    device, state = configure_device(gpu_id), check_state(state)
    check_weights(state)
    handed, task = handed_of(state, signals, sampling_frequency, channels, units), describe(state)
    items = as_items(signals, "signals", handed.conversion.n_given or task.n_features, False, keep=False)

    def one_by_one() -> Iterator[np.ndarray]:
        first, told = 0, set[str]()
        for block in in_blocks(items, batch_size):
            prepared = prepare_handed(state, block, "signals", False, handed, first=first, told=told)
            batches = answers(state, prepared, batch_size, device, False)
            yield from outputs_and_losses(batches, task, output == "logits")[0]
            first += len(block)

    return one_by_one()
