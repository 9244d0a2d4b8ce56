"""A warning points at the caller's own line, however deep inside the library it is issued."""

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cases import Case, make_pairs, make_state

import neurallib as nl

GRU = make_state(Case("GRUseq2seq", "binary"))
FAR = [(np.where(x == x.max(), -32768.0, x), y) for x, y in make_pairs(GRU, [500, 600])]  # marks of lost samples
CALLS: dict[str, Callable[[], Any]] = {
    "evaluate": lambda: nl.evaluate(GRU, FAR),
    "predict": lambda: nl.predict(GRU, FAR[0][0]),
    "train": lambda: nl.train(GRU, FAR, FAR, epochs=1, batch_size=2, dry_run=True),
    "a factory": lambda: nl.gru_seq2seq(n_features=1, hid_dim=2, n_layers=2, bidir_per_layer=[True]),
    "class weights": lambda: nl.train(
        GRU, [(np.zeros((5, 2)), np.zeros(5))], FAR, epochs=1, batch_size=2, class_weight="balanced", dry_run=True
    ),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_warning_names_the_callers_line(call: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        CALLS[call]()
    lines, first = inspect.getsourcelines(CALLS[call])
    assert caught
    for warning in caught:
        assert warning.filename == __file__ and first <= warning.lineno < first + len(lines)
