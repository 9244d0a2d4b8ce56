"""Options that are meant for Lightning's Trainer: those it has, those that are this library's, and misspelt ones."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from neurallib.architectures import ARCHITECTURES
from neurallib.checks import integer, number
from neurallib.names import did_you_mean

_OWN = {
    "max_epochs": "give epochs",
    "logger": "give loggers, or enable_tensorboard",
    "enable_checkpointing": "give save, or call train_from_scratch",
    "enable_model_summary": "training_info tells efficiency_params",
    "num_sanity_val_steps": "all data are checked before training",
    "log_every_n_steps": "every step is logged",
    "use_distributed_sampler": "processes share the batches out already",
    "default_root_dir": "give results_directory",
    "check_val_every_n_epoch": "every epoch ends with validation",
    "val_check_interval": "every epoch ends with validation",
    "limit_test_batches": "training tests nothing; evaluate does",
    "limit_predict_batches": "training predicts nothing; predict does",
    "barebones": "what it leaves out is left out already",
}
_NOT_HERE = {
    "lr": "learning_rate is a hyperparameter: give it to the factory, or change state['hparams']['learning_rate']",
    "num_workers": "the process that trains prepares its own batches",
    "weight_decay": "give optimizer=, a function (network, hparams) that makes an optimizer of torch with it",
    "early_stopping": "give patience, the epochs to wait for a better one",
    "criterion": "give loss=, a function (logits, y, lengths) -> scalar",
    "shuffle": "training signals come in another order each epoch, drawn from seed",
    "sampler": "sample_weight= tells how much each signal counts",
    "collate_fn": "signals are padded to the longest of their batch; training_step is for a loop of one's own",
    "ckpt_path": "resume= goes on with a run, load_checkpoint gives the state of one",
}
_LEAST = {"accumulate_grad_batches": 1, "max_steps": -1}  # whole numbers
_NOT_NONE_OF = {
    "limit_train_batches": "there would be nothing to train on",
    "limit_val_batches": "weights are chosen by validation",
    "max_steps": "there would be no step of the optimizer",
}
_OF_A_STATE = {  # hyperparameters that can be changed where the weights are there
    name: f"of a state that is there it is state['hparams'][{name!r}]"
    for name in ("learning_rate", "dropout", "model_name")
} | dict.fromkeys(("task", "num_classes", "multi_label", "n_outputs"), "replace_head changes it of one that is there")
_OF_THE_ORIGINAL = {
    "min_max_norm_sig": "normalization='minmax' normalizes each signal, and the state remembers it",
}


def check_trainer_options(options: Mapping[str, Any], function: Callable[..., Any], trainer: Iterable[str]) -> None:
    """Raise unless every option is one of Lightning's Trainer that this library leaves to its users.

    Parameters
    ----------
    options : mapping
        What a function was given beside its own arguments.
    function : callable
        That function; a misspelt argument of its own is told by its name.
    trainer : iterable of str
        The arguments of Lightning's Trainer.

    Raises
    ------
    TypeError, ValueError
        Names the option, and the nearest one or what to give instead.
    """
    known = [*inspect.signature(function).parameters, *(name for name in trainer if name not in _OWN)]
    for name in options:
        if name in _OWN:
            raise TypeError(f"{name!r} is set by this library: {_OWN[name]}.")
        if name in _LEAST:
            integer(name, options[name], _LEAST[name])
        if name in _NOT_NONE_OF and not isinstance(options[name], str) and options[name] == 0:
            raise ValueError(f"{name}={options[name]!r}: {_NOT_NONE_OF[name]}.")
        if name == "gradient_clip_val" and options[name] is not None:
            number(name, options[name], 0)
        if name in _NOT_HERE:
            raise TypeError(f"{function.__name__} has no option {name!r}: {_NOT_HERE[name]}.")
        if name == "profiler" and isinstance(options[name], str):
            raise TypeError(
                f"profiler={options[name]!r} tells its times in Lightning's log, which is silent here: give an object "
                "that writes a file, such as SimpleProfiler(dirpath='.', filename='times')."
            )
        if name in _OF_THE_ORIGINAL:
            raise TypeError(f"{name!r} is an argument of the original NeuralLib; here {_OF_THE_ORIGINAL[name]}.")
        if name not in known:
            if any(name in inspect.signature(entry.factory).parameters for entry in ARCHITECTURES.values()):
                way = _OF_A_STATE.get(name, "the weights of one that is there are made for its own")
                raise TypeError(f"{name!r} is a hyperparameter: give it to the factory that makes the state; {way}.")
            raise TypeError(
                f"{function.__name__} got an unknown option {name!r}: neither an argument of its own nor of "
                f"Lightning's Trainer.{did_you_mean(name, known)}"
            )
