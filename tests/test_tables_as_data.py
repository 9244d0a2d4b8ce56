"""Tables of pandas as signals: rows and columns in another order, several signals in one."""

import numpy as np
import pytest
from cases import QUIET, Case, make_pairs, make_state

import neurallib as nl


def test_tables_whose_rows_or_columns_are_in_other_orders_are_refused() -> None:
    pd = pytest.importorskip("pandas", reason="comes with the extra wfdb")
    state = make_state(Case("GRUseq2seq", "binary"))
    pairs = [(pd.DataFrame(x, columns=["left", "right"]), pd.DataFrame(y)) for x, y in make_pairs(state, [6] * 4)]
    x, y = pairs[0]
    with pytest.raises(ValueError, match="data: rows have the same labels in two orders, 0, 1, 2 and 3 more, then 5"):
        nl.evaluate(state, (x, y[::-1]))
    with pytest.raises(ValueError, match="true and found: rows have the same labels"):
        nl.class_scores(pd.Series([0, 1]), pd.Series([0, 1])[::-1])
    trained = nl.train(state, pairs, pairs, epochs=1, batch_size=2, **QUIET)
    assert trained["preprocessing"]["channels"] == ["left", "right"]
    for attempt in (
        lambda turned: nl.predict(trained, turned),
        lambda turned: nl.evaluate(state, [(x, y), (turned, y)]),
        lambda turned: nl.train(state, pairs, [(turned, y)], epochs=1, batch_size=2, **QUIET),
    ):
        with pytest.raises(ValueError, match="columns right, left; expected them in the order left, right"):
            attempt(x[["right", "left"]])


def test_a_table_of_several_signals_is_told_how_to_be_cut() -> None:
    pd = pytest.importorskip("pandas", reason="comes with the extra wfdb")
    state = make_state(Case("GRUseq2seq", "binary"))
    frames = [pd.DataFrame(x, columns=["left", "right"]) for x, _ in make_pairs(state, [6, 5])]
    whole = pd.concat(frames, keys=["a", "b"])
    with pytest.raises(ValueError, match="signals is a DataFrame with 2 labels a row.*groupby"):
        nl.predict(state, whole)
    with pytest.raises(TypeError, match="is asked of a DataFrameGroupBy, which has no item 0"):
        nl.predict(state, whole.groupby(level=0))
    missing = frames[0].astype("Float64")
    assert np.array_equal(nl.predict(state, missing)[0], nl.predict(state, frames[0])[0])
    missing.iloc[3, 1] = pd.NA
    with pytest.raises(ValueError, match=r"holds nan at \[3, 1\]"):
        nl.predict(state, missing)
