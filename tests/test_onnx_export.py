"""Models as ONNX files: every architecture, task, normalization and fold through ONNX Runtime, and what cannot be."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import CASES, FEW, Case, make_state
from onnx_files import assert_same_as_predict, make_signals, normalizing, run, session_of, told

import neurallib as nl
from neurallib.storage import onnx_export
from neurallib.storage.onnx_check import batches
from neurallib.tasks import describe

CAUSAL: dict[str, Any] = {"n_features": 2, "hid_dim": [5, 4], "n_layers": 2}


WAYS = [(None, 3), ("minmax", 1), ("zscore", 3), ("robust", 1), ("block", 3), ("dataset", 1)]


@pytest.mark.parametrize(
    ("case", "normalization", "fold"),
    [*((case, None, 1) for case in CASES), *((case, *way) for case in FEW for way in WAYS)], ids=str,
)  # fmt: skip
def test_a_file_gives_what_predict_gives(case: Case, normalization: str | None, fold: int, tmp_path: Path) -> None:
    state = normalizing(make_state(case, fold=fold), normalization)
    path = nl.export_onnx(state, tmp_path / "model.onnx")
    assert_same_as_predict(path, state, make_signals())
    assert_same_as_predict(path, state, make_signals([70], seed=2))


@pytest.mark.parametrize("case", [case for case in CASES if case.kind == "regression"], ids=str)
@pytest.mark.parametrize(("normalization", "target"), [(None, "dataset"), ("dataset", "dataset"), ("zscore", "signal")])
def test_values_come_in_the_targets_own_units(
    case: Case, normalization: str | None, target: str, tmp_path: Path
) -> None:
    if target == "signal" and "seq2one" in case.architecture:
        target = "dataset"
    state = normalizing(make_state(case), normalization, target)
    path = nl.export_onnx(state, tmp_path / "model.onnx")
    assert_same_as_predict(path, state, make_signals())
    flat = [np.full((9, 2), 7, np.float32), np.array([[1.0, 2.0]] * 5 + [[1.0, 3.0]] * 20, np.float32)]
    assert_same_as_predict(path, state, flat)


@pytest.mark.parametrize("normalization", ["minmax", "zscore", "robust", "block"])
def test_a_channel_that_rests_or_is_far_from_zero_is_normalized_as_predict_does(
    normalization: str, tmp_path: Path
) -> None:
    state = normalizing(make_state(Case("GRUseq2seq", "binary")), normalization)
    path = nl.export_onnx(state, tmp_path / "model.onnx")
    resting = np.zeros((40, 2), np.float32)
    resting[::11] = [1, 2]  # more than half of it rests: its quartiles are equal
    far = make_signals([40])[0] + np.float32(10_000)
    assert_same_as_predict(path, state, [np.full((7, 2), 5, np.float32), resting, far])


@pytest.mark.parametrize("pooling", ["final", "last", "mean", "max"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_every_pooling(pooling: str, bidirectional: bool, tmp_path: Path) -> None:
    state = nl.gru_seq2one(**CAUSAL, bidirectional=bidirectional, pooling=pooling, num_classes=3, dropout=0.5)
    assert_same_as_predict(nl.export_onnx(state, tmp_path / "model.onnx"), state, make_signals())


@pytest.mark.parametrize("fc_out_bool", [False, True])
@pytest.mark.parametrize(("enc_layers", "dec_layers"), [(1, 2), (3, 1)])
def test_encoder_decoders_of_other_depths_and_heads(
    enc_layers: int, dec_layers: int, fc_out_bool: bool, tmp_path: Path
) -> None:
    sizes = {"enc_layers": enc_layers, "dec_layers": dec_layers, "fc_out_bool": fc_out_bool}
    state = nl.gru_encoder_decoder(n_features=2, n_outputs=3, enc_hid_dim=5, dec_hid_dim=3, **sizes)
    assert_same_as_predict(nl.export_onnx(state, tmp_path / "model.onnx"), state, make_signals())
    state = nl.transformer_encoder_decoder(
        n_features=2, n_outputs=3, d_model=6, nhead=3, num_encoder_layers=enc_layers, num_decoder_layers=dec_layers,
        dim_feedforward=8,
    )  # fmt: skip
    assert_same_as_predict(nl.export_onnx(state, tmp_path / "model.onnx"), state, make_signals())


@pytest.mark.parametrize("case", FEW, ids=str)
@pytest.mark.parametrize(("normalization", "fold"), [(None, 1), ("block", 3)])
def test_a_signal_that_cannot_be_answered_is_nan_and_moves_no_other(
    case: Case, normalization: str | None, fold: int, tmp_path: Path
) -> None:
    state = normalizing(make_state(case, fold=fold), normalization)
    x = np.stack(make_signals([23] * 6))
    x[1, 3, 1], x[2, 19, 0], x[3, 20, 0] = np.nan, -np.inf, np.nan  # the third is beyond its length
    feed = {"x": x, "lengths": np.array([23, 20, 20, 20, 0, 24])}
    (output,) = session_of(nl.export_onnx(state, tmp_path / "model.onnx")).run(["output"], feed)
    for row, expected in zip(output[[0, 3]], nl.predict(state, [x[0], x[3, :20]]), strict=True):
        np.testing.assert_allclose(row[: len(expected)], expected, rtol=1e-4, atol=1e-4)
    rows = output[[1, 2, 5]]
    assert np.isnan(rows if describe(state).seq2one else np.stack([row[:20] for row in rows])).all()
    assert np.isnan(output[4] if describe(state).seq2one else output[4, 0]).all()


@pytest.mark.parametrize("fold", [1, 4])
def test_a_stateful_file_goes_on_where_it_stopped(fold: int, tmp_path: Path) -> None:
    state = normalizing(nl.gru_seq2seq(**CAUSAL, num_classes=3, fold=fold), "dataset")
    path = nl.export_onnx(state, tmp_path / "stream.onnx", stateful=True)
    session = session_of(path)
    signal, states, outputs = make_signals([30])[0], [np.zeros((1, n), np.float32) for n in (5, 4)], []
    for piece in np.split(signal[:28], [4, 16]):
        feed = {"x": piece[None], "lengths": np.array([len(piece)]), "h0": states[0], "h1": states[1]}
        output, *last = session.run(["output", "h0_next", "h1_next"], feed)
        outputs.append(output[0])
        states = last
        feed |= {"x": piece[None, :3], "lengths": np.array([3]), "h0": states[0], "h1": states[1]}
        output, *last = session.run(["output", "h0_next", "h1_next"], feed)
        assert np.isnan(output).all() == (fold == 4), "a fold that is not whole is not taken for one"
        assert all(np.array_equal(a, b) == (fold == 4) for a, b in zip(states, last, strict=True))
    np.testing.assert_allclose(np.concatenate(outputs), nl.predict(state, [signal])[0][:28], rtol=0, atol=1e-5)


@pytest.mark.parametrize("architecture", ["GRUseq2seq", "GRUED"])
def test_int8_weights_make_a_smaller_file_and_tell_what_they_change(architecture: str, tmp_path: Path) -> None:
    sizes = {"hid_dim": 64} if architecture == "GRUseq2seq" else {"enc_hid_dim": 64, "dec_hid_dim": 64}
    state = make_state(Case(architecture, "regression"), **sizes)
    signals = make_signals()
    whole = nl.export_onnx(state, tmp_path / "whole.onnx")
    small = nl.export_onnx(state, tmp_path / "small.onnx", int8=True, signals=signals)
    assert small.stat().st_size < 0.4 * whole.stat().st_size
    change = json.loads(told(small)["int8_change"])
    assert 1e-5 < change < 0.1
    output, expected = run(small, signals), nl.predict(state, signals)
    moved = max(np.abs(row[: len(wanted)] - wanted).max() for row, wanted in zip(output, expected, strict=True))
    span = np.ptp(np.concatenate([part.ravel() for part in expected]))
    assert 0 < moved < 4 * change * span


def test_a_file_says_what_the_state_says(tmp_path: Path) -> None:
    state = make_state(Case("GRUseq2seq", "binary"), model_name="peaks", fold=2)
    known = {"sampling_frequency": 360.0, "channels": ["MLII", "V5"], "units": ["mV", "mV"], "window": 10.0}
    events = {"threshold": 0.4, "min_distance": 0.2}
    state = nl.State(**(state | {"preprocessing": state["preprocessing"] | known}))
    state["postprocessing"] = {"outputs": ["R-peak"], "events": events}
    held = told(nl.export_onnx(state, tmp_path / "model.onnx"))
    assert json.loads(held["preprocessing"]) == state["preprocessing"]
    assert json.loads(held["postprocessing"]) == state["postprocessing"]
    assert (held["architecture"], held["model_name"], held["task"]) == ("GRUseq2seq", "peaks", "seq2seq binary")
    assert 0 <= json.loads(held["difference"]) <= 1e-5


def test_a_file_that_disagrees_with_the_state_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a runtime would that takes the gates in another order."""
    state = make_state(Case("GRUseq2seq", "binary"))
    monkeypatch.setattr("neurallib.storage.onnx_networks._gates_in_order", lambda weight: weight)
    (tmp_path / "model.onnx").write_text("an older one")
    with pytest.raises(RuntimeError, match="differs from the state by .* is not written"):
        nl.export_onnx(state, tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert (tmp_path / "model.onnx").read_text() == "an older one"


BIDIRECTIONAL = make_state(Case("GRUseq2seq", "binary"))
WHOLE = normalizing(nl.gru_seq2seq(**CAUSAL), "zscore")


@pytest.mark.parametrize(
    ("state", "options", "error", "match"),
    [
        (BIDIRECTIONAL, {"stateful": True}, ValueError, "in one direction; this is a GRUseq2seq in both"),
        (make_state(Case("GRUED", "regression")), {"stateful": True}, ValueError, "this is a GRUED"),
        (WHOLE, {"stateful": True}, ValueError, "train with normalization='dataset'"),
        (make_state(Case("Transformerseq2one", "binary")), {"int8": True}, ValueError, "Transformerseq2one has none"),
        (WHOLE, {"signals": [np.zeros((4, 3))]}, ValueError, r"\(4, 3\); expected \[T, 2\]"),
        (WHOLE, {"signals": [np.zeros(4)]}, ValueError, r"\(4,\); expected \[T, 2\]"),
        (WHOLE, {"signals": np.zeros((4, 2))}, ValueError, r"shape \(4, 2\); expected a sequence of them"),
        (WHOLE, {"signals": 3}, TypeError, "signals=3 is a int; expected a list of arrays"),
        (WHOLE, {"signals": [np.zeros((0, 2))]}, ValueError, r"signals holds one of shape \(0, 2\); expected \[T, 2\]"),
        (WHOLE, {"int8": 1}, TypeError, "int8=1"),
    ],
)
def test_what_cannot_be_is_told_and_nothing_is_written(
    state: nl.State, options: dict[str, Any], error: type[Exception], match: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=match):
        nl.export_onnx(state, tmp_path / "model.onnx", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_named_as_one(tmp_path: Path) -> None:
    (tmp_path / "folder.onnx").mkdir()
    for name in ("model", "model.pt", "folder.onnx"):
        with pytest.raises(ValueError, match=rf"{name}'; expected a file that ends in .onnx"):
            nl.export_onnx(WHOLE, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.onnx"]


def test_signals_may_be_stacked(tmp_path: Path) -> None:
    assert nl.export_onnx(WHOLE, tmp_path / "model.onnx", signals=np.ones((2, 50, 2))).is_file()


def test_signals_of_one_channel_need_no_second_axis(tmp_path: Path) -> None:
    state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1)
    checked = batches(state, [np.arange(50)])[-1]
    assert [x.tolist() for x in checked] == [np.arange(50)[:, None].tolist()]
    signals = [np.ones(50, np.float32)[::-1], np.ones((9, 1))]
    assert nl.export_onnx(state, tmp_path / "model.onnx", signals=signals).is_file()


def test_without_onnx_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ModuleNotFoundError, match=r"'neurallib\[onnx\]'"):
        nl.export_onnx(WHOLE, tmp_path / "model.onnx")


def test_the_tolerance_is_the_contracts() -> None:
    assert onnx_export.TOLERANCE == 1e-5


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precision_and_numbers_of_numpy_are_taken(half: torch.dtype, tmp_path: Path) -> None:
    state = make_state(Case("GRUseq2seq", "binary"))
    weights: Any = {name: torch.nn.Parameter(weight.to(half)) for name, weight in state["weights"].items()}
    whole = {**state, "weights": {name: weight.detach().float() for name, weight in weights.items()}}
    state = {**state, "weights": weights}
    state["preprocessing"]["sampling_frequency"] = np.int64(100)  # type: ignore[typeddict-item]
    path = nl.export_onnx(state, tmp_path / "model.onnx", int8=True)
    assert json.loads(told(path)["preprocessing"])["sampling_frequency"] == 100
    assert_same_as_predict(nl.export_onnx(state, path), whole, make_signals())
    for one, other in zip(nl.predict(state, make_signals()), nl.predict(whole, make_signals()), strict=True):
        np.testing.assert_array_equal(one, other)
    assert state["weights"]["fc_out.bias"].dtype == half
