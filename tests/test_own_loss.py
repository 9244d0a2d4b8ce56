"""A loss of one's own: it may change what it is given, and is told where it counts padding."""

from typing import Any

import numpy as np
import pytest
import torch
from cases import QUIET, Case, data, make_pairs, make_state
from torch.nn.functional import binary_cross_entropy_with_logits

import neurallib as nl

STATE = make_state(Case("GRUseq2seq", "binary"), learning_rate=0.01)


def trained(loss: Any, pairs: Any, **options: Any) -> dict[str, Any]:
    given = {"epochs": 1, "batch_size": 4, "metrics": {"mean": lambda outputs, y: outputs.mean()}} | QUIET | options
    return nl.train(STATE, pairs, pairs, loss=loss, **given)["training_info"]


def unmasked(logits: torch.Tensor, y: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    return binary_cross_entropy_with_logits(logits, y)


def masked(logits: torch.Tensor, y: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    valid = nl.valid_mask(lengths, logits.shape[1])[:, :, None]
    return binary_cross_entropy_with_logits(logits[valid], y[valid])


def drawing(logits: torch.Tensor, y: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    return masked(logits, y, lengths) * torch.rand(())


def test_a_loss_that_counts_padding_is_told() -> None:
    with pytest.warns(UserWarning, match="the function loss counts what lies beyond a signal's length, .*valid_mask"):
        trained(unmasked, data(STATE))


@pytest.mark.parametrize(
    ("loss", "lengths", "batch_size"),
    [(masked, [6, 9, 8, 5], 4), (drawing, [6, 9, 8, 5], 4), (unmasked, [7] * 4, 4), (unmasked, [6, 9, 8, 5], 1)],
    ids=["masked", "drawing", "of one length", "each by itself"],
)
def test_a_loss_that_cannot_count_padding_is_not(loss: Any, lengths: list[int], batch_size: int) -> None:
    trained(loss, make_pairs(STATE, lengths), batch_size=batch_size)  # a warning would be an error


def test_windows_of_longer_signals_are_of_one_length_too() -> None:
    longer, windows = make_pairs(STATE, [20] * 4), make_pairs(STATE, [8] * 4)
    cut = nl.augment_crop(8)
    nl.train(STATE, longer, windows, epochs=1, batch_size=4, augment=cut, loss=unmasked, **QUIET)


def test_what_a_loss_changes_in_place_is_not_what_is_measured() -> None:
    def in_place(logits: torch.Tensor, y: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        value = masked(logits, y, lengths)
        logits.zero_()
        y.fill_(torch.nan)
        return value

    one, other = (trained(loss, data(STATE), monitor="auroc")["val_metrics"] for loss in (masked, in_place))
    assert one == other and np.isfinite(one["auroc"]).all()
