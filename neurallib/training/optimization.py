"""One training step and its optimizer: what Lightning runs, and what a loop of one's own is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from neurallib.checks import number
from neurallib.measures.losses import Loss
from neurallib.names import is_named, listing
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
    """
    logits = network(batch["x"], batch["lengths"], batch["y"])
    return loss(logits, batch["y"], batch["lengths"])


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
    ValueError
        If no parameter is left to learn, or a layer of `layer_learning_rates` has none.
    """
    rates = dict(layer_learning_rates or {})
    groups: dict[str, list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        pattern = next((pattern for pattern in rates if is_named(name, pattern)), "others")
        if parameter.requires_grad:
            groups.setdefault(pattern, []).append(parameter)
    if not groups:
        raise ValueError("every weight is frozen: nothing is left to train. Unfreeze a layer, or train a new one.")
    if idle := [pattern for pattern in rates if pattern not in groups]:
        raise ValueError(f"layer_learning_rates names {listing(idle)}, where no weight is left to learn.")
    parameters: list[dict[str, Any]] = []
    for pattern, group in groups.items():
        rate = number("learning rate", rates.get(pattern, hparams["learning_rate"]), 0, low_open=True)
        parameters.append({"params": group, "lr": rate} | ({"name": pattern} if rates else {}))
    optimizer = torch.optim.Adam(parameters, lr=hparams["learning_rate"], weight_decay=1e-5, fused=fused)
    return optimizer, torch.optim.lr_scheduler.StepLR(optimizer, step_size=10, gamma=0.1)
