"""One training step and its optimizer: what Lightning runs, and what a loop of one's own is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from neurallib.checks import number
from neurallib.measures.losses import Loss
from neurallib.names import hinted, is_named, listing
from neurallib.state import Batch, Hparams


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
        If `batch` is none, or does not fit the network or the loss.

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
    logits = network(batch["x"], batch["lengths"], batch["y"])
    return loss(logits, batch["y"], batch["lengths"])


@hinted
def make_optimizer(
    network: nn.Module,
    hparams: Hparams,
    *,
    layer_learning_rates: Mapping[str, float] | None = None,
    fused: bool = True,
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Adam over the parameters that learn, and its schedule: a tenth of the learning rate every 10 epochs.

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

    Returns
    -------
    optimizer, scheduler
        Adam with weight decay 1e-5, and StepLR(10, 0.1), to be stepped once an epoch.

    Raises
    ------
    TypeError, ValueError
        If no parameter is left to learn, a layer of `layer_learning_rates` has none, or a rate is no positive number.

    See Also
    --------
    training_step : the loss whose gradients the optimizer uses.

    Examples
    --------
    >>> import neurallib as nl
    >>> state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1)
    >>> optimizer, scheduler = nl.make_optimizer(nl.build_network(state), state["hparams"])
    >>> optimizer.param_groups[0]["lr"]
    0.001
    """
    if not isinstance(network, nn.Module):
        raise TypeError(f"network is a {type(network).__name__}; expected the Network that build_network gives.")
    learning = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    parameters: list[dict[str, Any]] = []
    for group in learning_groups(learning, hparams, layer_learning_rates or {}):
        named = {"name": group.pattern} if layer_learning_rates else {}
        parameters.append({"params": [learning[name] for name in group.names], "lr": group.rate} | named)
    optimizer = torch.optim.Adam(parameters, lr=hparams["learning_rate"], weight_decay=1e-5, fused=fused)
    return optimizer, torch.optim.lr_scheduler.StepLR(optimizer, step_size=10, gamma=0.1)


class Group(NamedTuple):
    """Weights that learn at one rate."""

    pattern: str
    names: list[str]
    rate: float


def learning_groups(names: Iterable[str], hparams: Hparams, layer_learning_rates: Mapping[str, float]) -> list[Group]:
    """The weights that learn, by name, in groups: those of each pattern of `layer_learning_rates`, and the others.

    Raises
    ------
    TypeError, ValueError
        If there are none, a pattern has none, or a rate is no positive number.
    """
    if not isinstance(hparams, Mapping) or "learning_rate" not in hparams:
        raise ValueError("hparams has no learning_rate; expected a state's hyperparameters, state['hparams'].")
    if not isinstance(layer_learning_rates, Mapping):
        kind = type(layer_learning_rates).__name__
        raise TypeError(f"layer_learning_rates is a {kind}; expected rates by layer, such as {{'fc_out': 0.01}}.")
    groups: dict[str, list[str]] = {}
    for name in names:
        pattern = next((pattern for pattern in layer_learning_rates if is_named(name, pattern)), "others")
        groups.setdefault(pattern, []).append(name)
    if not groups:
        raise ValueError("every weight is frozen: nothing is left to train. Unfreeze a layer, or train a new one.")
    if idle := [pattern for pattern in layer_learning_rates if pattern not in groups]:
        raise ValueError(f"layer_learning_rates names {listing(idle)}, where no weight is left to learn.")
    rates = {"others": hparams["learning_rate"]} | dict(layer_learning_rates)
    return [
        Group(pattern, group, number("learning rate", rates[pattern], 0, low_open=True))
        for pattern, group in groups.items()
    ]


def schedule_words(scheduler: Any) -> str:
    """A schedule of learning rates as text: its kind, and the plain settings that it has."""
    if scheduler is None:
        return "none"
    state = {"last_epoch": 0, "base_lrs": 0} | scheduler.state_dict()
    settings = {
        name: value
        for name, value in state.items()
        if name not in ("last_epoch", "base_lrs", "verbose", "best", "num_bad_epochs", "cooldown_counter")
        and not name.startswith("_")
        and isinstance(value, (int, float, str))
    }
    return f"{type(scheduler).__name__}({', '.join(f'{name}={value}' for name, value in settings.items())})"
