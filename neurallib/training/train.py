"""Training on data in memory or in opened folders: `train`, which checks everything before anything is trained."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurallib.architectures import check_state
from neurallib.checks import as_path, boolean
from neurallib.measures.losses import Loss
from neurallib.names import hinted
from neurallib.signals.augmenting import Augment
from neurallib.signals.sources import Data
from neurallib.state import State
from neurallib.storage.checkpoints import load_checkpoint
from neurallib.training.measuring import try_functions
from neurallib.training.monitoring import Metric
from neurallib.training.optimization import OptimizerChoice
from neurallib.training.parts import prepare_parts
from neurallib.training.placing import is_first
from neurallib.training.record import better_of, tell_of, trained_state
from neurallib.training.run import Run
from neurallib.training.schedules import Schedule

if TYPE_CHECKING:
    from pytorch_lightning.callbacks import Callback
    from pytorch_lightning.loggers import Logger
    from pytorch_lightning.strategies import Strategy

    from neurallib.training.resuming import Opened


@hinted
def train(
    state: State,
    train_data: Data,
    val_data: Data,
    *,
    epochs: int,
    batch_size: int,
    patience: int | None = None,
    seed: int = 42,
    gpu_id: int | None = None,
    normalization: str | None = "auto",
    target_normalization: str | None = "auto",
    sampling_frequency: float | None = None,
    channels: Sequence[str] | None = None,
    units: Sequence[str] | str | None = None,
    outputs: Sequence[str] | None = None,
    class_weight: str | Sequence[float] | Mapping[Any, float] | float | None = None,
    sample_weight: Sequence[float] | Mapping[str, float] | None = None,
    loss: Loss | None = None,
    metrics: Mapping[str, Metric] | None = None,
    monitor: str | tuple[str, str] = "loss",
    optimizer: OptimizerChoice = "adam",
    schedule: Schedule = "cosine",
    augment: Augment | None = None,
    layer_learning_rates: Mapping[str, float] | None = None,
    bucketing: bool = False,
    memory_budget: int = 2**30,
    save: bool = False,
    results_directory: str | Path | None = None,
    resume: bool | str | Path = False,
    checkpoint_every: int | datetime.timedelta | None = None,
    dataset_name: str | None = None,
    trained_for: str | None = None,
    enable_tensorboard: bool = False,
    enable_progress_bar: bool = True,
    dry_run: bool = False,
    callbacks: Sequence[Callback] = (),
    loggers: Sequence[Logger] = (),
    devices: int | Sequence[int] | str | None = None,
    num_nodes: int = 1,
    strategy: str | Strategy = "auto",
    **trainer_options: Any,
) -> State:
    """Train a state on pairs of signal and target, and return its best weights.

    Parameters
    ----------
    state : State
        Untrained or trained (then its training information becomes the new one's history); stays as it is.
    train_data, val_data : sequence of (x, y), torch Dataset, pair of arrays, or what `open_folder` returns
        Signals [T, n_features] and targets as the task asks, or a pair of them stacked ([N, T, n_features], [N, ...])
        or in lists; each checked before training starts. A label that is not known is -1 (multiclass) or nan (every
        other task).
    epochs : int
        How many epochs at the most.
    batch_size : int
        Signals a batch.
    patience : int, optional
        Stop after so many epochs without a better value of `monitor`.
    seed : int
        For the order of the batches, dropout and augmentation. The same seed, data, machine and number of threads give
        bitwise the same weights.
    gpu_id : int, optional
        Which GPU; by default one where there is one, else the CPU.
    normalization : str or None
        Of the signals: "minmax", "zscore", "robust" or "block" (by the median of what eight parts reach, as high as
        beats), each by itself; "dataset", each channel by the median and the interquartile range of the training data;
        None, as they come. By default what the state says; for an untrained one that says nothing the training data
        decide, "dataset" where the offsets and scales of signals tell something of their targets, else "zscore". Kept
        in the state, so that `evaluate` and `predict` do the same; the numbers of "dataset" stay when it is trained
        on, unless it is asked for.
    target_normalization : str or None
        Of a regression's targets: "dataset", each output by mean and standard deviation of the training data;
        "signal", by what its signal is normalized with; None, as they come. `predict` undoes it, and `evaluate`
        measures in the target's own units. By default what a trained state says; for an untrained one the training
        data decide, "signal" where an output per step follows the scale of its signal, else "dataset".
    sampling_frequency : float, optional
        Hz, of the signals; kept in the state. By default what the manifest of `make_dataset` says of a folder, as of
        its channels, units and window, else what the state says.
    channels : sequence of str, optional
        Names of the signals' channels; kept in the state. Of one that has names, its channels are picked by them.
    units : sequence of str or str, optional
        Of the signals' channels, or of all; kept in the state. Of one that has units, signals are converted to them.
    outputs : sequence of str, optional
        Names of the classes [K] (of a binary task one, of its positive class), or of a regression's quantities with
        their units ("heart rate (bpm)"); kept in the state. By default what the state says, else what the
        manifest says of a folder: its target's channels, classes, or the one symbol that is no beat's.
    class_weight : "balanced", or float, sequence of float or mapping, optional
        Weight of each class [K] (multiclass) or of each class's positives (binary and multi-label); a mapping, or a
        column of pandas, has them by class or name. "balanced" counts the training data's valid steps. Validation and
        `evaluate` weigh alike. Not taken over from a trained state, because other data may be balanced otherwise; a
        warning says so.
    sample_weight : sequence of float, or mapping, optional
        How much each training signal counts, at least 0, in the data's order; of a folder also by file names, which
        windows share. Loss and steps are multiplied by it: 2 is the signal twice, and 0 leaves it out of the batches.
        Validation does not weigh, nor does what the training data decide: normalization and class_weight="balanced".
    loss : function, optional
        (logits, y, lengths) -> scalar, as `loss_function` gives one, in place of the task's own, in training and
        validation. It gets what the network is taught with: logits [B, T, K] (or [B, K]), targets as they are
        normalized, and has to leave out what is beyond a length or unknown (-1 or nan). It is taken for a mean over the
        valid, known labels: by their number it is weighed where micro-batches, processes or batches come together.
        `evaluate` tells the task's own.
    metrics : mapping of str to function, optional
        (outputs, y) -> number, by name, of each validation: numpy arrays of probabilities or values in their own units
        [N, K] and of targets [N, K] (multiclass: [N]), of all N valid steps (or signals) with a known label, in the
        order of the data, in memory together. Where some of K labels are unknown, y is nan. Callbacks and loggers know
        "val_NAME".
    monitor : str or (str, str)
        The validation measure by which weights are chosen, best.ckpt is written, `patience` counts and "plateau"
        looks: "loss", one that `evaluate` gives, such as "f1" or "mae", whose better way is known, or one of `metrics`
        with its way, ("name", "max") or ("name", "min").
    optimizer : str or function
        "adam", with weight decay 1e-5; "adamw", with 1e-2; "sgd", with momentum 0.9; or a function (network, hparams)
        that gives a torch optimizer of the network's parameters. What is frozen stays as it is with each of them.
    schedule : str, function or None
        Of the learning rate: "cosine", up in a straight line over the first 5 % of the optimizer's steps and down to 0
        over all that follow, of `epochs` or of Lightning's `max_steps`; "step", the original's: a tenth every 10
        epochs; "plateau", a tenth when 5 epochs have not brought better weights; None, one rate; or a function of the
        optimizer that gives a torch scheduler, which goes on with each epoch; a CyclicLR, and a OneCycleLR of as many
        steps as the optimizer takes in all, with each step.
    augment : function, optional
        (x, y, generator) -> (x, y), of each training signal in each epoch, never in validation. x [T, n_features] is
        float32 or float64 in the signals' own units, y as the task asks, both free to be changed. What comes back is
        checked like data, may have another T, and is then normalized, by itself or as the training data without
        augmentation decide. The numpy Generator draws what seed, epoch and the signal's place in the data decide alone,
        whatever the batches and processes are; a function that draws from it alone gives the same run again.
    layer_learning_rates : mapping of str to float, optional
        Other first learning rates for some layers, by layer ("gru_layers.0"), weight or pattern. A function as
        `optimizer` gets them where it has an argument of that name.
    bucketing : bool
        Put signals of similar length in a batch, which saves padding.
    memory_budget : int
        Bytes of prepared signals kept in memory; what is beyond is read again each epoch.
    save : bool
        Write Lightning's checkpoints, the loss curve, the weights and the training information into a new checkpoints
        directory, named in `training_info["checkpoints_directory"]`. By default nothing is written.
    results_directory : path, optional
        Where checkpoints directories are made, by model name; by default $NEURALLIB_RESULTS_DIR, or ./results.
    resume : path or bool
        The directory of a run that was stopped or killed: it goes on where it was, within that directory, and ends with
        what it would have ended with, bit by bit on the same machine. Everything that it began with has to be the same,
        the data too, but for `max_time`, which counts from each start. A finished run goes on where more `epochs` or
        `max_steps` are asked for and its schedule allows that. True: the newest unfinished run of this model that began
        with all the same, if there is one, else a new one.
    checkpoint_every : int or timedelta, optional
        How often last.ckpt is written within an epoch: after so many steps of the optimizer, or so much time. By
        default between epochs alone, as often as that costs a small share of the time.
    dataset_name, trained_for : str, optional
        For the training information: what was trained on, and what for.
    enable_tensorboard : bool
        Write TensorBoard logs into the checkpoints directory; needs `save`.
    enable_progress_bar : bool
        Show the progress, on a terminal or in a notebook; in a log file `logging` has epochs, at its level INFO.
    dry_run : bool
        Check every argument, file and signal, train and write nothing, and return the state as it would start.
    callbacks : sequence of Lightning Callback
        Beside the library's own.
    loggers : sequence of Lightning Logger
        Beside TensorBoard's, such as CSVLogger: each step's and epoch's losses, the learning rate and all validation
        measures. These are computed, and in `training_info["val_metrics"]`, wherever there is a logger, a callback, one
        of `metrics`, or a `monitor` other than the loss.
    devices : int, sequence of int or "auto", optional
        How many devices of this machine train together, a process each, or which GPUs, or all; by default one (see
        `gpu_id`), and under torchrun one for each process that it started. Each takes its own batches of `batch_size`,
        and the optimizer's step is that of all of them as one batch. A program that torchrun or Slurm's srun did not
        start is started again for each further device. All processes return the same state, and the first alone writes.
    num_nodes : int
        How many machines, each with so many devices; torchrun or srun starts them.
    strategy : str or Lightning Strategy
        How Lightning trains on several devices: "auto" and "ddp" are the same, copies that share their gradients.
    **trainer_options
        Other arguments of Lightning's Trainer: max_steps and max_time, which may end a run before `epochs` do
        (max_steps finishes it, max_time leaves it to `resume`), precision, gradient_clip_val, ...

    Returns
    -------
    State
        A new state, with `training_info`; of a trained state the weights that it came with, with a warning, where no
        epoch beat them on `val_data`.

    Raises
    ------
    TypeError, ValueError
        If an argument or a signal is wrong; nothing has been trained or written then.
    RuntimeError
        If training diverged before there was a finite validation loss. Later a loss that is nan or infinite ends the
        run, with a warning that names step and signals, and the best weights are kept.
    OSError
        If a checkpoint cannot be written: raised at the end, after all else was saved, and the trained state is its
        attribute `state`. So it is of a warning about what was trained, where warnings are errors.

    See Also
    --------
    train_from_scratch : the same on folders, into a checkpoints directory.
    evaluate, predict : what to do with the state that this returns.

    Examples
    --------
    >>> import numpy as np
    >>> import neurallib as nl
    >>> rng = np.random.default_rng(0)
    >>> signals = [rng.standard_normal((60, 1)) for _ in range(4)]
    >>> pairs = [(x, x > 0) for x in signals]
    >>> state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1)
    >>> state = nl.train(state, pairs[:3], pairs[3:], epochs=2, batch_size=2, enable_progress_bar=False)
    >>> len(state["training_info"]["val_losses"])
    2
    """
    resume = resume if isinstance(resume, bool) else as_path("resume", resume, "True, False or a run's directory")
    save = boolean("save", save) or resume is not False
    given = dict(locals())
    from neurallib.training.options import checked_options, with_names
    from neurallib.training.resuming import check_resumable, opened

    start = with_names(check_state(state), outputs, train_data)
    options = checked_options(start, given, train)
    start, train_set, val_set = prepare_parts(start, given)
    run = Run(state=start, before=state["training_info"], train_set=train_set, val_set=val_set, **options)
    try_functions(run)
    if dry_run:
        check_resumable(run, resume)
        return start
    with opened(run, resume, is_first(run.placement)) as found:
        return _trained(run, found)


def _trained(run: Run, found: Opened) -> State:
    """The state that the run ends with."""
    from neurallib.training.lightning import fit
    from neurallib.training.saving import saved

    if found.finished:
        return load_checkpoint(found.directory or "")
    ended = fit(run, found)
    result = better_of(run, ended)
    trained = trained_state(run, result)
    try:
        try:
            return saved(trained, result)
        finally:  # so that nothing is lost where warnings are errors
            tell_of(run, ended, result)
    except Exception as error:
        error.state = trained  # type: ignore[attr-defined]
        raise
