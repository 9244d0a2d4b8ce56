"""One training step and its optimizer: what Lightning runs, and what a loop of one's own is made of."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from neurallib.checks import boolean, number, takes, type_words
from neurallib.functions import function_name
from neurallib.measures.losses import Loss
from neurallib.names import did_you_mean, hinted, is_named, known_layers, listing
from neurallib.state import Batch, Hparams
from neurallib.training.schedules import SCHEDULES, Schedule, build_schedule

OPTIMIZERS: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "adam": (torch.optim.Adam, {"weight_decay": 1e-5}),
    "adamw": (torch.optim.AdamW, {"weight_decay": 1e-2}),
    "sgd": (torch.optim.SGD, {"momentum": 0.9}),
}
OptimizerChoice = str | Callable[..., torch.optim.Optimizer]


def training_step(network: nn.Module, batch: Batch, loss: Loss) -> Tensor:
    """The loss of one batch, ready for `backward()`.

    Parameters
    ----------
    network : Network
        From `build_network`; encoder-decoders are taught by the batch's target.
    batch : Batch
        From `collate_fn` or a loader of `make_loader`, on the network's device.
    loss : callable
        From `loss_function`.

    Returns
    -------
    Tensor
        Scalar.

    Raises
    ------
    TypeError, ValueError
        If `batch` is none, or does not fit the network or the loss, or `loss` gives no scalar.

    See Also
    --------
    make_optimizer : what steps after it.

    Examples
    --------
    >>> import neurallib as nl, torch
    >>> state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1)
    >>> network, loss = nl.build_network(state), nl.loss_function(state)
    >>> batch = nl.collate_fn([(torch.zeros(9, 1), torch.ones(9, 1)), (torch.zeros(5, 1), torch.zeros(5, 1))])
    >>> nl.training_step(network, batch, loss).backward()
    """
    if not isinstance(batch, Mapping) or not {"x", "y", "lengths"} <= batch.keys():
        what = listing(map(repr, batch)) if isinstance(batch, Mapping) else f"a {type(batch).__name__}"
        raise TypeError(f"batch is {what}; expected x, y and lengths by name, as collate_fn gives them.")
    if not callable(network):
        raise TypeError(f"network is a {type(network).__name__}; expected the Network that build_network gives.")
    logits = network(batch["x"], batch["lengths"], batch["y"])
    try:
        value = loss(logits, batch["y"], batch["lengths"])
    except Exception:
        check_loss(loss)
        raise
    if not isinstance(value, Tensor) or value.dim():
        raise TypeError(f"the function loss gave {loss_words(value)}; expected a scalar Tensor.")
    return value


def check_loss(loss: Any) -> None:
    """Raise TypeError unless a loss can be called as one is."""
    expected = "expected a function (logits, y, lengths) -> scalar Tensor"
    if isinstance(loss, type) or not callable(loss):
        raise TypeError(f"loss is {type_words(loss)}; {expected}.")
    try:
        signature = inspect.signature(getattr(loss, "forward", loss))
    except ValueError:  # it has none, as some that are written in C
        return
    try:
        signature.bind(None, None, None)
    except TypeError as error:
        why = "which leaves out the steps beyond a length and unknown labels, as nl.loss_function(state) does"
        raise TypeError(f"loss={function_name(loss)} takes {signature}; {expected}, {why}.") from error


def loss_words(value: Any) -> str:
    """What a loss gave, in words."""
    return f"a {type(value).__name__}{f' of shape {tuple(value.shape)}' if isinstance(value, Tensor) else ''}"


@hinted
def make_optimizer(
    network: nn.Module,
    hparams: Hparams,
    *,
    layer_learning_rates: Mapping[str, float] | None = None,
    fused: bool = True,
    optimizer: OptimizerChoice = "adam",
    schedule: Schedule = "step",
    n_steps: int | None = None,
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler | None]:
    """An optimizer of the parameters that learn, and the schedule of its learning rate.

    Parameters
    ----------
    network : nn.Module
        Parameters that need no gradient (frozen ones) are left out: no state, no weight decay.
    hparams : dict
        Its `learning_rate` is the first one.
    layer_learning_rates : mapping of str to float, optional
        Other first learning rates for some layers, by layer ("gru_layers.0"), weight or pattern; the first that fits.
    fused : bool
        Update all parameters in one kernel: a loop over them costs more than the arithmetic on small networks.
    optimizer : str or function
        "adam", with weight decay 1e-5; "adamw", with 1e-2; "sgd", with momentum 0.9; or a function (network, hparams)
        that gives a torch optimizer of the network's parameters. `layer_learning_rates` are handed to one that has an
        argument of that name, and refused with any other.
    schedule : str, function or None
        "step", a tenth of the rate every 10 epochs; "plateau", a tenth when 5 epochs have not brought a lower loss, to
        be stepped with it; "cosine", to be stepped after each step of the optimizer, up over the first 5 % of `n_steps`
        and down to 0 over the others; None; or a function of the optimizer that gives a torch scheduler.
    n_steps : int, optional
        How often the optimizer is to step in all, for "cosine".

    Returns
    -------
    optimizer, scheduler
        By default Adam and StepLR(10, 0.1), to be stepped once an epoch. No schedule is None.

    Raises
    ------
    TypeError, ValueError
        If no parameter is left to learn, a layer of `layer_learning_rates` has none, a rate is no positive number, a
        name is unknown, or a function gives something else than it should.

    See Also
    --------
    training_step : the loss whose gradients the optimizer uses.

    Examples
    --------
    >>> import neurallib as nl
    >>> state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1, learning_rate=0.01)
    >>> optimizer, scheduler = nl.make_optimizer(nl.build_network(state), state["hparams"])
    >>> optimizer.param_groups[0]["lr"]
    0.01
    """
    if not isinstance(network, nn.Module):
        raise TypeError(f"network is a {type(network).__name__}; expected the Network that build_network gives.")
    rates = {} if layer_learning_rates is None else layer_learning_rates
    made = build_optimizer(network, hparams, rates, fused, optimizer)
    _check_known("schedule", schedule, SCHEDULES, "optimizer -> torch scheduler")
    return made, build_schedule(schedule, made, n_steps)


def build_optimizer(
    network: nn.Module, hparams: Hparams, rates: Mapping[str, float], fused: bool, optimizer: OptimizerChoice
) -> torch.optim.Optimizer:
    """The optimizer of a name or a function; `make_optimizer` says which."""
    _check_known("optimizer", optimizer, OPTIMIZERS, "(network, hparams) -> torch optimizer")
    groups = _learning_groups(network, hparams, rates)
    if callable(optimizer):
        return _of_function(optimizer, network, hparams, rates)
    kind, settings = OPTIMIZERS[optimizer]
    more: dict[str, Any] = {"lr": hparams["learning_rate"], "fused": boolean("fused", fused)}
    return kind(groups, **settings, **more)


def _check_known(name: str, value: Any, known: Iterable[Any], function: str) -> None:
    """Raise unless `value` is one of the names, or may be a function of this kind."""
    known = list(known)
    if callable(value) and not (isinstance(value, type) and issubclass(value, torch.optim.Optimizer)):
        return
    expected = f"expected one of {listing(map(repr, known))}, or a function {function}"
    if not isinstance(value, (str, type(None))):
        raise TypeError(f"{name} is {type_words(value)}; {expected}.")
    if value not in known:
        raise ValueError(f"{name}={value!r}; {expected}.{did_you_mean(value, known)}")


def _of_function(
    function: Callable[..., Any], network: nn.Module, hparams: Hparams, rates: Mapping[str, float]
) -> torch.optim.Optimizer:
    more = {"layer_learning_rates": dict(rates)} if rates else {}
    if rates and "layer_learning_rates" not in inspect.signature(function).parameters:
        raise ValueError("layer_learning_rates with a function as optimizer, which has no argument of that name.")
    if not rates:
        takes("optimizer", function, 2, "(network, hparams) -> torch optimizer")
    made = function(network, dict(hparams), **more)
    if not isinstance(made, torch.optim.Optimizer):
        raise TypeError(f"the function optimizer gave a {type(made).__name__}; expected an optimizer of torch.")
    own = set(map(id, network.parameters()))
    if not own.issuperset(id(parameter) for group in made.param_groups for parameter in group["params"]):
        raise ValueError("the function optimizer gave one of other parameters than the network's that it was given.")
    return made


def _learning_groups(
    network: nn.Module, hparams: Hparams, layer_learning_rates: Mapping[str, float]
) -> list[dict[str, Any]]:
    """The parameters that learn, in torch's groups: those of each pattern of `layer_learning_rates`, and the others.
    TypeError or ValueError if there are none, a pattern has none, or a rate is no positive number."""
    if not isinstance(hparams, Mapping) or "learning_rate" not in hparams:
        raise ValueError("hparams has no learning_rate; expected a state's hyperparameters, state['hparams'].")
    if not isinstance(layer_learning_rates, Mapping) or not all(isinstance(each, str) for each in layer_learning_rates):
        came = layer_learning_rates if isinstance(layer_learning_rates, Mapping) else type_words(layer_learning_rates)
        raise TypeError(f"layer_learning_rates is {came}; expected rates by layer, such as {{'fc_out': 0.01}}.")
    learning = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    groups: dict[str, list[str]] = {}
    for name in learning:
        pattern = next((pattern for pattern in layer_learning_rates if is_named(name, pattern)), "others")
        groups.setdefault(pattern, []).append(name)
    if not groups:
        raise ValueError("every weight is frozen: nothing is left to train. Unfreeze a layer, or train a new one.")
    if idle := [pattern for pattern in layer_learning_rates if pattern not in groups]:
        those = known_layers(learning, idle[0])
        raise ValueError(f"layer_learning_rates names {listing(idle)}, where no weight is left to learn; of {those}")
    rates = {"others": hparams["learning_rate"]} | dict(layer_learning_rates)
    return [
        {"params": [learning[name] for name in group], "lr": number("learning rate", rates[pattern], 0, low_open=True)}
        | ({"name": pattern} if layer_learning_rates else {})
        for pattern, group in groups.items()
    ]
