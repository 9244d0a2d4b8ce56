"""Channels of the recordings themselves as the target of a data set: a pressure beside a pulse, a clean lead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from neurallib.names import listing
from neurallib.signals.dataset_sources import first_of
from neurallib.signals.lazy import picked
from neurallib.signals.recordings import Recording


class TargetChannels(NamedTuple):
    """A target: the last channels of a recording, which are no input."""

    outputs: list[str]  # what a model's are called

    def __call__(self, recording: Recording) -> np.ndarray:
        """float32 [T, K]."""
        return np.asarray(recording["signal"][:, -len(self.outputs) :])

    def __str__(self) -> str:
        return f"channels {listing(self.outputs)}"


def channels_of(
    target: Any, sources: Mapping[str, Any], reading: dict[str, Any], rate: float | None
) -> tuple[TargetChannels | None, dict[str, Any]]:
    """The channels that a target names, None where it is none of names, and how recordings are read: these behind those
    that are asked for, by default all others.

    Raises
    ------
    ValueError
        If the first recording has no such channels, or no others.
    """
    asked = [target] if isinstance(target, str) else target
    if not isinstance(asked, (list, tuple)) or not asked or not all(isinstance(each, (str, tuple)) for each in asked):
        return None, reading
    channels, units = reading["channels"], reading["units"]
    if channels is None:
        first = first_of(sources, {**reading, "units": None}, rate)
        taken = picked(list(asked), first.channels, repr(first.name))
        channels = [name for column, name in enumerate(first.channels) if column not in taken]
        if not channels:
            way = "expected others beside it, or for the signal itself lambda recording: recording['signal']"
            raise ValueError(f"target={target!r} is all that {first.name!r} has; {way}.")
    channels = [channels] if isinstance(channels, (str, int)) else list(channels)
    first = first_of(sources, {**reading, "channels": [*channels, *asked], "units": None}, rate)
    own = list(zip(first.channels, first.units, strict=True))[len(channels) :]
    if units is not None:
        units = [*([units] * len(channels) if isinstance(units, str) else units), *(unit for _, unit in own)]
    outputs = [f"{name} ({unit})" if unit else name for name, unit in own]
    return TargetChannels(outputs), {**reading, "channels": [*channels, *asked], "units": units}
