"""The measures of evaluate and of validation, against torchmetrics and against their definitions."""

import math
import sys
import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch
import torchmetrics.functional as tf
import torchmetrics.functional.classification as tc
from cases import CASES, Case, make_pairs, make_state

import neurallib as nl
from neurallib.measures import auroc
from neurallib.measures.metrics import Metrics, range_of
from neurallib.tasks import Task, TaskKind
from neurallib.workflow.cross_validation import _mean_and_interval

N = 4000
RNG = np.random.default_rng(0)


def drawn(kind: TaskKind, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs [N, K] and targets that they know something of, some outputs on the very edge of a bin."""
    if kind == "multiclass":
        y = torch.from_numpy(RNG.choice(k, N, p=np.arange(1, k + 1) / np.arange(1, k + 1).sum()))
        return (torch.randn(N, k) + 1.5 * torch.nn.functional.one_hot(y, k)).softmax(-1), y
    if kind == "regression":
        y = torch.randn(N, k) * torch.arange(1.0, k + 1) + 100
        return y + torch.randn(N, k), y
    y = torch.from_numpy((RNG.random((N, k)) < np.linspace(0.1, 0.4, k)).astype(np.float32))
    p = (torch.randn(N, k) + 2 * y - 1).sigmoid()
    p[: N // 10] = torch.from_numpy(RNG.integers(0, 4, (N // 10, k)) / 4).float()
    return p, y


def measured(
    kind: TaskKind, outputs: torch.Tensor, y: torch.Tensor, batch: int = 700, lengths: bool = True
) -> dict[str, float]:
    metrics = Metrics(Task(kind, 1, outputs.shape[1], seq2one=not lengths))
    for i in range(0, len(outputs), batch):
        part, labels = outputs[i : i + batch], y[i : i + batch]
        n = torch.tensor([len(part)])
        metrics.update(*((part[None], labels[None]) if lengths else (part, labels)), n)
    return metrics.values()


def mean(values: Any) -> float:
    return float(torch.as_tensor(values).double().mean())


def binary(p: torch.Tensor, y: torch.Tensor) -> dict[str, float]:
    y = y.int()
    values = {
        "accuracy": tc.binary_accuracy(p, y), "precision": tc.binary_precision(p, y), "recall": tc.binary_recall(p, y),
        "specificity": tc.binary_specificity(p, y), "f1": tc.binary_f1_score(p, y), "auroc": tc.binary_auroc(p, y),
        "average_precision": tc.binary_average_precision(p, y), "calibration_error": tc.binary_calibration_error(p, y),
    }  # fmt: skip
    numbers = {name: float(value) for name, value in values.items()}
    return numbers | {"balanced_accuracy": (numbers["recall"] + numbers["specificity"]) / 2}


@pytest.mark.parametrize("lengths", [True, False])
@pytest.mark.parametrize("batch", [1, 333, N])
def test_yes_or_no_is_measured_as_torchmetrics_does(batch: int, lengths: bool) -> None:
    p, y = drawn("binary", 1)
    found = (p > 0.5).int()
    expected = binary(p[:, 0], y[:, 0])
    expected["f1_macro"] = float(tc.multiclass_f1_score(found[:, 0], y[:, 0].int(), 2, average="macro"))
    expected["baseline_accuracy"] = 1 - mean(y)
    assert measured("binary", p, y, batch, lengths) == pytest.approx(expected, abs=1e-6)


def test_several_labels_are_measured_each_and_in_the_mean() -> None:
    p, y = drawn("multilabel", 3)
    each = [binary(*pair) for pair in zip(p.T.contiguous(), y.T, strict=True)]
    expected = {f"{name}_{k}": value for k, values in enumerate(each) for name, value in values.items()}
    expected |= {"f1_macro" if name == "f1" else name: mean([one[name] for one in each]) for name in each[0]}
    expected["baseline_accuracy"] = float((1 - y).mean())
    assert measured("multilabel", p, y) == pytest.approx(expected, abs=1e-6)


def test_classes_are_measured_as_torchmetrics_does() -> None:
    p, y = drawn("multiclass", 4)
    expected = {
        "accuracy": tc.multiclass_accuracy(p, y, 4, average="micro"),
        "balanced_accuracy": tc.multiclass_recall(p, y, 4, average="macro"),
        "f1_macro": tc.multiclass_f1_score(p, y, 4, average="macro"),
        "cohen_kappa": tc.multiclass_cohen_kappa(p, y, 4),
        "auroc": tc.multiclass_auroc(p, y, 4),
        "calibration_error": tc.multiclass_calibration_error(p, y, 4),
        "baseline_accuracy": (y == 3).double().mean(),
    }
    for name, function in {
        "precision": tc.multiclass_precision, "recall": tc.multiclass_recall, "f1": tc.multiclass_f1_score,
        "auroc": tc.multiclass_auroc,
    }.items():  # fmt: skip
        expected |= {f"{name}_{k}": value for k, value in enumerate(function(p, y, 4, average=None))}
    got = measured("multiclass", p, y)
    assert got == pytest.approx({name: float(value) for name, value in expected.items()}, abs=1e-6)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("batch", [1, 333, N])
def test_values_are_measured_as_torchmetrics_does(k: int, batch: int) -> None:
    p, y = (side.double() for side in drawn("regression", k))
    each = {
        "mse": ((p - y) ** 2).mean(0),
        "mae": (p - y).abs().mean(0),
        "r2": [tf.r2_score(p[:, i], y[:, i]) for i in range(k)],
        "pearson": [tf.pearson_corrcoef(p[:, i], y[:, i]) for i in range(k)],
        "baseline_mse": y.var(0, correction=0),
    }
    expected = {name: mean(values) for name, values in each.items()}
    if k > 1:
        expected |= {f"{name}_{i}": float(value) for name, values in each.items() for i, value in enumerate(values)}
    assert measured("regression", p.float(), y.float(), batch) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("kind, k", [("binary", 1), ("multilabel", 3), ("multiclass", 4), ("regression", 1)])
def test_unknown_labels_leave_the_measures_of_the_others_as_they_are(kind: TaskKind, k: int) -> None:
    p, y = drawn(kind, k)
    hidden = y.clone()
    hidden[::3] = -1 if kind == "multiclass" else math.nan
    kept = torch.arange(N) % 3 > 0
    assert measured(kind, p, hidden) == pytest.approx(measured(kind, p[kept], y[kept], batch=N), rel=1e-9)


@pytest.mark.parametrize("kind", ["multilabel", "regression"])
def test_a_label_that_is_unknown_leaves_the_others_of_its_step(kind: TaskKind) -> None:
    p, y = drawn(kind, 3)
    hidden = y.clone()
    hidden[: N // 2, 1] = math.nan
    got, alone = measured(kind, p, hidden), measured(kind, p, y)
    half = measured(kind, p[N // 2 :], y[N // 2 :])
    for name in [name for name in got if name.endswith(("_0", "_1", "_2"))]:
        assert got[name] == pytest.approx((half if name.endswith("_1") else alone)[name], rel=1e-9), name


def test_a_detector_that_finds_nothing_scores_no_f1() -> None:
    got = measured("binary", torch.full((100, 1), 0.01), (torch.arange(100) % 10 == 0).float()[:, None])
    assert got["f1"] == got["recall"] == got["precision"] == 0 and got["specificity"] == 1
    assert got["accuracy"] == got["baseline_accuracy"] == 0.9 and got["balanced_accuracy"] == 0.5


def test_what_the_data_do_not_tell_is_nan_and_spoils_no_mean() -> None:
    y = torch.tensor([0, 0, 1, 1])
    p = torch.tensor([[0.8, 0.1, 0.1], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.8, 0.1, 0.1]])
    got = measured("multiclass", p, y)
    assert all(math.isnan(got[f"{name}_2"]) for name in ("precision", "recall", "f1", "auroc"))
    assert got["balanced_accuracy"] == 0.75 and got["f1_macro"] == pytest.approx((0.8 + 2 / 3) / 2)
    no = measured("binary", torch.zeros(4, 1), torch.zeros(4, 1))
    assert no["accuracy"] == no["balanced_accuracy"] == no["specificity"] == 1
    assert all(math.isnan(no[name]) for name in ("f1", "recall", "precision", "auroc", "average_precision"))
    constant = measured("regression", torch.randn(500, 1), torch.full((500, 1), 0.1), batch=7)
    assert math.isnan(constant["r2"]) and math.isnan(constant["pearson"]) and constant["baseline_mse"] < 1e-15
    nothing = measured("regression", torch.randn(3, 1), torch.full((3, 1), math.nan))
    assert all(math.isnan(value) for value in nothing.values())


@pytest.mark.parametrize("kind, k", [("binary", 1), ("multilabel", 2), ("multiclass", 3), ("regression", 2)])
def test_outputs_of_a_network_that_diverged_are_measured(
    kind: TaskKind, k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neurallib.measures.auroc.EXACT", 1000)
    p, y = drawn(kind, k)
    got = measured(kind, torch.full_like(p, math.nan), y)
    assert math.isnan(got["mse" if kind == "regression" else "calibration_error"])


def test_small_deviations_around_a_large_mean_are_told() -> None:
    y = torch.from_numpy(RNG.normal(size=(N, 1))).float() + 5000
    p = y + 1
    got = measured("regression", p, y, batch=1)
    assert got["baseline_mse"] == pytest.approx(float(y.double().var(correction=0)), rel=1e-9)
    assert got["r2"] == pytest.approx(1 - 1 / got["baseline_mse"], rel=1e-9)
    assert got["pearson"] == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("kind, k", [("binary", 1), ("multilabel", 2), ("multiclass", 3), ("regression", 2)])
def test_memory_does_not_grow_with_the_number_of_labels(
    kind: TaskKind, k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neurallib.measures.auroc.EXACT", 10_000)
    p, y = drawn(kind, k)
    metrics, peaks = Metrics(Task(kind, 1, k, seq2one=True)), []
    for n_batches in (10, 40):
        tracemalloc.start()
        for _ in range(n_batches):
            metrics.update(p, y, torch.ones(N))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


def test_a_confusion_matrix_has_the_truth_in_its_rows() -> None:
    p, y = drawn("multiclass", 3)
    metrics = Metrics(Task("multiclass", 1, 3, seq2one=True))
    metrics.update(p, y, torch.ones(N))
    assert metrics.confusion().tolist() == tc.multiclass_confusion_matrix(p, y, 3).tolist()
    p, y = drawn("multilabel", 2)
    metrics = Metrics(Task("multilabel", 1, 2, seq2one=True))
    metrics.update(p, y, torch.ones(N))
    assert metrics.confusion().tolist() == tc.multilabel_confusion_matrix(p, y.int(), 2).tolist()


@pytest.mark.parametrize("case", [case for case in CASES if case.kind != "regression"], ids=str)
def test_a_confusion_matrix_counts_every_known_label_in_its_place(case: Case) -> None:
    state = make_state(case)
    pairs = make_pairs(state, [20, 11, 7])
    pairs[1] = (pairs[1][0], np.full_like(pairs[1][1], -1 if case.kind == "multiclass" else math.nan))
    got = nl.confusion_matrix(state, pairs, batch_size=2)
    known = [pairs[0], pairs[2]]
    k = 1 if case.kind == "binary" else 3
    outputs = np.concatenate([output.reshape(-1, k) for output in nl.predict(state, [x for x, _ in known])])
    if case.kind == "multiclass":
        y, found = np.concatenate([y.reshape(-1) for _, y in known]), outputs.argmax(1)
        expected = [[((y == a) & (found == b)).sum() for b in range(3)] for a in range(3)]
    else:
        y = np.concatenate([y.reshape(-1, k) for _, y in known])
        hits, yes = outputs > 0.5, y == 1
        expected = [
            [[((yes == a) & (hits == b))[:, i].sum() for b in (False, True)] for a in (False, True)] for i in range(k)
        ]
        expected = expected[0] if case.kind == "binary" else expected
    assert got.tolist() == np.array(expected).tolist() and got.dtype == np.int64


@pytest.mark.parametrize("wanted", [True, False])
def test_a_confusion_matrix_shows_its_progress_where_it_is_asked_to(
    wanted: bool, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    nl.confusion_matrix(state := make_state(CASES[0]), make_pairs(state, [5]), enable_progress_bar=wanted)
    assert ("batch" in capsys.readouterr().err) is wanted


def test_a_regression_has_no_confusion_matrix() -> None:
    state = make_state(Case("GRUseq2seq", "regression"))
    with pytest.raises(ValueError, match="does regression; expected a classification"):
        nl.confusion_matrix(state, make_pairs(state, [5]))


@pytest.mark.parametrize("exact", [1 << 20, N // 2, N // 8, 1])  # all is ranked, or counted in bins sooner or later
@pytest.mark.parametrize("kind, k", [("binary", 1), ("multilabel", 3), ("multiclass", 4), ("regression", 2)])
def test_what_several_have_seen_counts_as_what_one_has(
    kind: TaskKind, k: int, exact: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (p, y), expected = (given := drawn(kind, k)), measured(kind, *given)
    monkeypatch.setattr(auroc, "EXACT", exact)
    ends = [0, N // 10, N // 2, N]
    seen = [Metrics(Task(kind, 1, k, seq2one=True)) for _ in range(3)]
    for one, low, high in zip(seen, ends, ends[1:], strict=False):
        one.update(p[low:high], y[low:high], torch.ones(high - low))
    seen[0].add(seen[1])
    seen[0].add(seen[2])
    assert seen[0].values() == pytest.approx(expected, rel=1e-6, abs=2e-3 if exact < N else 1e-9)


@pytest.mark.parametrize(
    ("name", "values", "low", "high"),
    [("accuracy", [0.8, 1, 1], 0.646, 1), ("f1_2", [0, 0, 0.3], 0, 0.531), ("cohen_kappa", [0.9, -0.8], -1, 1),
     ("mae_hr", [0.1, 9], 0, 61.1), ("loss", [0, 1], 0, 6.85), ("r2", [-9, 1], -67.5, 1)],
)  # fmt: skip
def test_an_interval_holds_nothing_that_a_measure_cannot_be(
    name: str, values: list[float], low: float, high: float
) -> None:
    assert _mean_and_interval(values, *range_of(name))[1] == pytest.approx((low, high), rel=0.01)
