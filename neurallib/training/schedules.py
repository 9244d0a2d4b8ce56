"""How the learning rate goes over a run: the schedules that have names, and those of a function of one's own."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CyclicLR, LRScheduler, OneCycleLR, ReduceLROnPlateau, StepLR

from neurallib.checks import integer, takes

SCHEDULES = ("cosine", "step", "plateau", None)
Schedule = str | Callable[[Optimizer], LRScheduler] | None


class WarmUpCosine(LRScheduler):
    """Up in a straight line over the first twentieth of a run's steps, then down to 0 in half a cosine."""

    def __init__(self, optimizer: Optimizer, n_steps: int) -> None:
        self.n_steps, self.n_warm_up = n_steps, n_steps // 20
        super().__init__(optimizer)

    def get_lr(self) -> list[float | Any]:
        """The rate of each group at the step that comes next."""
        return [rate * self._share(self.last_epoch) for rate in self.base_lrs]

    def _share(self, step: int) -> float:
        if step < self.n_warm_up:
            return (step + 1) / (self.n_warm_up + 1)
        done = (step - self.n_warm_up) / (self.n_steps - self.n_warm_up)
        return 0.5 + 0.5 * math.cos(math.pi * min(done, 1.0))


def build_schedule(
    schedule: Schedule, optimizer: Optimizer, n_steps: int | None, mode: str = "min"
) -> LRScheduler | None:
    """The schedule of a name or a function, for a run of `n_steps` steps; `mode` says which way a plateau looks.
    TypeError or ValueError if "cosine" has no number of steps, or a function gives no schedule of this optimizer."""
    if schedule is None:
        return None
    if schedule == "cosine":
        if n_steps is None:
            raise ValueError("schedule='cosine' needs n_steps: how often the optimizer steps, epochs * len(batches).")
        return WarmUpCosine(optimizer, integer("n_steps", n_steps))
    if schedule == "step":
        return StepLR(optimizer, step_size=10, gamma=0.1)
    if schedule == "plateau":
        return ReduceLROnPlateau(optimizer, mode=mode, factor=0.1, patience=5)  # type: ignore[arg-type]
    takes("schedule", function := cast(Any, schedule), 1, "optimizer -> torch scheduler")
    made = function(optimizer)
    if not isinstance(made, LRScheduler):
        raise TypeError(f"the function schedule gave a {type(made).__name__}; expected a scheduler of torch.")
    if made.optimizer is not optimizer:
        raise ValueError("the function schedule gave a scheduler of another optimizer than it was given.")
    return made


def is_each_step(scheduler: LRScheduler | None, n_steps: int, epochs: int) -> bool:
    """Whether a schedule goes on with each step of the optimizer, of which a run takes `n_steps`, not with each epoch:
    so torch says of the two that count batches. A OneCycleLR of as many steps as there are epochs goes by these; one of
    fewer steps than the run, which torch would end there, is a ValueError."""
    if not isinstance(scheduler, OneCycleLR):
        return isinstance(scheduler, (WarmUpCosine, CyclicLR))
    if scheduler.total_steps != epochs and scheduler.total_steps < n_steps:
        raise ValueError(
            f"the function schedule gave a OneCycleLR of total_steps={scheduler.total_steps}; this run takes {n_steps} "
            f"steps of the optimizer, in {epochs} epochs: give {n_steps}, or {epochs} for a step each epoch."
        )
    return bool(scheduler.total_steps != epochs)


def set_rate_(optimizer: Optimizer, scheduler: Any, rate: float) -> None:
    """Let a run go on as if the optimizer had begun with this rate, wherever its schedule is."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] = rate
    if hasattr(scheduler, "base_lrs"):
        scheduler.base_lrs = [rate] * len(optimizer.param_groups)
    if isinstance(scheduler, WarmUpCosine):
        for group, now in zip(optimizer.param_groups, scheduler.get_lr(), strict=True):
            group["lr"] = now


def schedule_words(scheduler: Any) -> str:
    """A schedule of learning rates as text: its kind, and the plain settings that it has."""
    if scheduler is None:
        return "none"
    settings = {
        name: value
        for name, value in scheduler.state_dict().items()
        if name not in ("last_epoch", "base_lrs", "verbose", "best", "num_bad_epochs", "cooldown_counter")
        and not name.startswith("_")
        and isinstance(value, (int, float, str))
    }
    return f"{type(scheduler).__name__}({', '.join(f'{name}={value}' for name, value in settings.items())})"
