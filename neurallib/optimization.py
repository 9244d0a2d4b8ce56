"""One training step and its optimizer: what Lightning runs, and what a loop of one's own is made of."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from neurallib.losses import Loss
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
    network: nn.Module, hparams: Hparams, *, fused: bool = True
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Adam over the parameters that learn, and its schedule: a tenth of the learning rate every 10 epochs.

    Parameters
    ----------
    network : nn.Module
        Parameters that need no gradient (frozen ones) are left out: no state, no weight decay.
    hparams : dict
        Its `learning_rate` is the first one.
    fused : bool
        Update all parameters in one kernel: a loop over them costs more than the arithmetic on small networks.

    Returns
    -------
    optimizer, scheduler
        Adam with weight decay 1e-5, and StepLR(10, 0.1), to be stepped once an epoch.

    Raises
    ------
    ValueError
        If no parameter is left to learn.
    """
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if not learning:
        raise ValueError("every weight is frozen: nothing is left to train. Unfreeze a layer, or train a new one.")
    optimizer = torch.optim.Adam(learning, lr=hparams["learning_rate"], weight_decay=1e-5, fused=fused)
    return optimizer, torch.optim.lr_scheduler.StepLR(optimizer, step_size=10, gamma=0.1)
