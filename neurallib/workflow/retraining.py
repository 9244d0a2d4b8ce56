"""Retraining, on folders of .npy files, from a checkpoints directory or a repository on the hub."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from neurallib.architectures import check_state
from neurallib.measures.losses import Loss
from neurallib.signals.augmentation import Augment
from neurallib.state import State
from neurallib.training.monitoring import Metric
from neurallib.training.optimization import OptimizerChoice
from neurallib.training.schedules import Schedule
from neurallib.workflow.on_folders import PathLike, check_options, train_on_folders, validate_training_context
from neurallib.workflow.sources import source_of

if TYPE_CHECKING:
    from pytorch_lightning.callbacks import Callback
    from pytorch_lightning.loggers import Logger
    from pytorch_lightning.strategies import Strategy


def retrain(
    state: State | None,
    path_x: PathLike,
    path_y: PathLike,
    patience: int | None = 10,
    batch_size: int = 8,
    epochs: int = 100,
    gpu_id: int | None = None,
    all_samples: bool = False,
    samples: int | None = None,
    dataset_name: str | None = None,
    trained_for: str | None = None,
    classification: bool | None = None,
    enable_tensorboard: bool = False,
    checkpoints_directory: PathLike | None = None,
    hugging_face_model: str | None = None,
    window_size: int | None = None,
    overlap: float = 0.0,
    *,
    seed: int = 42,
    normalization: str | None = "auto",
    target_normalization: str | None = "auto",
    sampling_frequency: float | None = None,
    channels: Sequence[str] | None = None,
    units: Sequence[str] | str | None = None,
    outputs: Sequence[str] | None = None,
    class_weight: str | Sequence[float] | float | None = None,
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
    results_directory: PathLike | None = None,
    resume: bool | PathLike = False,
    checkpoint_every: int | datetime.timedelta | None = None,
    enable_progress_bar: bool = True,
    dry_run: bool = False,
    callbacks: Sequence[Callback] = (),
    loggers: Sequence[Logger] = (),
    devices: int | Sequence[int] | str | None = None,
    num_nodes: int = 1,
    strategy: str | Strategy = "auto",
    **trainer_options: Any,
) -> State:
    """Train on from a checkpoints directory or a Hugging Face repository, into a new checkpoints directory.

    Parameters
    ----------
    state : State or None
        None: architecture and hyperparameters come from the source. A state: its hyperparameters, such as another
        learning rate or dropout, with the source's weights; what it freezes, where it freezes something; what it says
        of its preprocessing where the source says nothing, for two that differ are an error; and its outputs' names and
        events, where it has some.
    path_x, path_y : path
        Folders that hold `train` and `val`, each with .npy files paired by name: signals [T, n_features] and targets.
    patience : int or None
        Stop after so many epochs without a better value of `monitor`; None: never.
    batch_size : int
        Signals a batch.
    epochs : int
        How many epochs at the most.
    gpu_id : int, optional
        Which GPU; by default one where there is one, else the CPU.
    all_samples : bool
        All files of each part, which is also what neither this nor `samples` means.
    samples : int, optional
        The first so many files of each part, in natural order.
    dataset_name, trained_for : str, optional
        What the model was trained on and what for, so that whoever finds its files can tell. Left out, they are
        recorded as "unknown", with a warning.
    classification : bool, optional
        What the original asked for; the state knows. Given, it is checked against the state's task: False, which the
        original means by saying nothing, with a warning alone.
    enable_tensorboard : bool
        Write TensorBoard logs into the checkpoints directory.
    checkpoints_directory : path, optional
        Where to read the weights and the training history; never written to.
    hugging_face_model : str, optional
        The same from a repository, "owner/name". With both, the local files win, with a warning.
    window_size : int, optional
        Cut signals longer than so many samples into windows; a target as long as its signal is cut with it.
    overlap : float
        The share of a window that the next one repeats, in [0, 1).
    seed : int
        For the order of the batches, dropout and augmentation. The same seed, data, machine and number of threads give
        bitwise the same weights.
    normalization : str or None
        Of the signals: "minmax", "zscore" or "robust", each by itself; "dataset", each channel by the median and the
        interquartile range of the training data; None, as they come. By default what the source says. Kept in the
        state, so that `evaluate` and `predict` do the same; the numbers of "dataset" stay unless it is asked for.
    target_normalization : str or None
        Of a regression's targets: "dataset", each output by mean and standard deviation of the training data;
        "signal", by what its signal is normalized with; None, as they come. `predict` undoes it, and `evaluate`
        measures in the target's own units. By default what the source says.
    sampling_frequency : float, optional
        Hz, of the signals; kept in the state. By default what the manifest of `make_dataset` says of a folder, as of
        its channels, units and window, else what the source says.
    channels : sequence of str, optional
        Names of the signals' channels; kept in the state. Of one that has names, its channels are picked by them.
    units : sequence of str or str, optional
        Of the signals' channels, or of all; kept in the state. Of one that has units, signals are converted to them.
    outputs : sequence of str, optional
        Names of the classes [K] (of a binary task one, of its positive class), or of a regression's quantities with
        their units ("heart rate (bpm)"); kept in the state. By default what the source says.
    class_weight : "balanced", or float or sequence of float, optional
        Weight of each class [K] (multiclass) or of each class's positives (binary and multi-label); "balanced" counts
        the training data's valid steps. Validation and `evaluate` weigh alike. Not taken over from the source, because
        other data may be balanced otherwise; a warning says so.
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
        The weights of the best value of `monitor`, the source's own where no epoch beat them (with a warning, and
        `training_info["best_epoch"]` 0); `training_info["checkpoints_directory"]` names where it was saved,
        `training_info["training_history"]` holds the source's training information.

    Raises
    ------
    TypeError, ValueError, FileNotFoundError
        If neither source is given, or an argument, a file or a signal is wrong; nothing has been trained or written
        then.
    PermissionError, ConnectionError
        If the hub refuses, or cannot be reached and its cache lacks a file.
    RuntimeError
        If training diverged before there was a finite validation loss.

    See Also
    --------
    train_from_scratch : the first run.
    train : the same on data in memory, from a state.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import neurallib as nl
    >>> state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1, model_name="peaks")
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for folder in ("x/train", "y/train", "x/val", "y/val"):
    ...         (Path(root) / folder).mkdir(parents=True)
    ...         np.save(Path(root) / folder / "1.npy", np.ones((50, 1)))
    ...     pairs = [(np.ones((50, 1)), np.ones((50, 1)))]
    ...     trained = nl.train(state, pairs, pairs, epochs=1, batch_size=1, enable_progress_bar=False)
    ...     directory = nl.save_checkpoint(trained, f"{root}/run")
    ...     state = nl.retrain(
    ...         None, f"{root}/x", f"{root}/y", epochs=1, checkpoints_directory=directory, dataset_name="ones",
    ...         trained_for="an example", results_directory=root, enable_progress_bar=False,
    ...     )
    >>> state["training_info"]["retraining"], state["training_info"]["training_history"]["epochs"]
    (True, 1)
    """
    given = dict(locals())
    check_options(retrain, trainer_options)
    validate_training_context(True, checkpoints_directory, hugging_face_model)
    if state is not None:
        state = check_state(state)
    source = source_of(state, checkpoints_directory, hugging_face_model)
    of_source = ("state", "checkpoints_directory", "hugging_face_model")
    return train_on_folders(source, **{name: given[name] for name in given if name not in of_source})
