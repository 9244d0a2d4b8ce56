"""Labels against the delay of a state's answers: whether they stand where events are, and not where it answers."""

from __future__ import annotations

import torch

from neurallib.checks import number
from neurallib.models.folding import forward_of
from neurallib.signals.prepared import PreparedData
from neurallib.state import State
from neurallib.warn import warn

_SIGNALS, _STEPS = 16, 10_000  # that are looked at, and of each


def check_delay(state: State, data: PreparedData) -> None:
    """A word where a state that answers later than its events gets labels that stand at the events."""
    late, rate = state["postprocessing"]["events"].get("delay"), state["preprocessing"]["sampling_frequency"]
    task = data.task
    if not late or rate is None or task.kind != "binary" or task.seq2one:
        return
    n, forward = round(number("delay", late, 0) * rate), forward_of(state)
    here = later = 0.0
    for i in range(min(len(data), _SIGNALS)):
        x, y = data.drawn(i, epoch=0)
        x = x[:_STEPS]
        with torch.inference_mode():
            logits = forward(state["weights"], state["hparams"], x[None], torch.tensor([len(x)]), None, False)[0]
        given = torch.arange(len(x)) / float(data.handed.conversion.rate)  # y has the steps that were given
        at = given.long().clamp(max=len(y) - 1)
        seen, labelled = torch.sigmoid(logits[:, 0]), y[at, 0] > 0.5
        here += float(seen[labelled].sum())
        later += float(seen[n:][labelled[: max(len(x) - n, 0)]].sum())
    if later > 2 * here:
        warn(
            f"the labels of {data.names[0].partition('[')[0]} stand where events are, and the state answers {late:g} s "
            "later, which is taken off what it finds (\"delay\" in state['postprocessing']['events']): move them so "
            f"much, {n} steps, later, as those were that it learnt from."
        )
