"""What each threshold gives, the one that is chosen, and pictures of both: all of it as `evaluate` measures it."""

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import torch
from cases import Case, data, make_state
from scipy.integrate import trapezoid

import neurallib as nl
from neurallib.measures import auroc, counts
from neurallib.measures.metrics import Metrics
from neurallib.tasks import Task, TaskKind

MEASURES = ("recall", "specificity", "precision", "f1", "accuracy", "balanced_accuracy")


def seen(kind: TaskKind, k: int, n: int = 500, threshold: object = 0.5, never: int | None = None) -> Metrics:
    """Metrics of drawn probabilities, some of them alike, 0 or 1, of labels of which some are not known."""
    rng = np.random.default_rng(0)
    metrics = Metrics(Task(kind, 1, k, True, tuple(f"name {i}" for i in range(k))), threshold)
    if kind == "multiclass":
        y = rng.integers(0, k, n).astype(np.float32)
        p = np.exp(rng.standard_normal((n, k)) + 2 * (y[:, None] == np.arange(k)))
        p, y[:50] = p / p.sum(axis=1, keepdims=True), -1
        y[y == never] = -1
    else:
        y = (rng.random((n, k)) < 0.3).astype(np.float32)
        p = 1 / (1 + np.exp(-2 * rng.standard_normal((n, k)) - 2 * y + 1))
        p[: n // 5] = rng.integers(0, 5, (n // 5, k)) / 4
        if never is not None:
            y[:, never] = 0
        y[-50:] = np.nan
    metrics.update(torch.from_numpy(p.astype(np.float32)), torch.from_numpy(y), torch.empty(0))
    return metrics


@pytest.mark.parametrize("exact", [0, 1 << 20])
def test_a_curve_tells_what_its_thresholds_give(exact: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auroc, "EXACT", exact)
    curve = seen("binary", 1).curves()["curves"]["name 0"]
    assert curve["threshold"][0] == -np.inf and curve["threshold"][-1] == 1 and (np.diff(curve["threshold"]) > 0).all()
    for i in range(1, len(curve["threshold"]), 41):
        values = seen("binary", 1, threshold=curve["threshold"][i]).values()
        assert {name: curve[name][i] for name in MEASURES} == {name: values[name] for name in MEASURES}


def test_bins_know_the_lowest_and_the_highest_of_what_they_hold() -> None:
    near = np.exp(np.random.default_rng(0).uniform(-40, -0.7, 20_000)).astype(np.float32)
    p = np.concatenate([near, 1 - near, np.array([0, 0.5, 1], np.float32)])
    bins, (low, high) = auroc._bins(p), auroc._edges()
    assert (low[bins] <= p).all() and (p <= high[bins]).all()
    for end, beyond in ((low, 0), (high, 1)):
        assert (auroc._bins(end[bins]) == bins).all()
        outside = np.nextafter(end[bins], np.float32(beyond))
        assert ((auroc._bins(outside) != bins) | (outside == end[bins])).all()


@pytest.mark.parametrize("kind, k", [("binary", 1), ("multilabel", 3), ("multiclass", 4)])
def test_curves_enclose_the_areas_that_are_told(kind: TaskKind, k: int) -> None:
    metrics = seen(kind, k, never=1 if k > 1 else None)
    told, values = metrics.curves(), metrics.values()
    assert told["names"] == list(told["curves"]) == [f"name {i}" for i in range(k)] and told["kind"] == kind
    for name, curve in told["curves"].items():
        assert curve["auroc"] == pytest.approx(values["auroc" if k == 1 else f"auroc_{name}"], nan_ok=True, rel=1e-15)
        if np.isnan(curve["auroc"]):
            assert name == "name 1" and np.isnan(curve["recall"]).all()
            continue
        roc = [1, *curve["recall"]], [0, *curve["specificity"]]
        assert trapezoid(*roc) == pytest.approx(curve["auroc"], rel=1e-12)
        steps = -np.diff(curve["recall"]) * curve["precision"][:-1]
        assert steps.sum() == pytest.approx(curve["average_precision"], rel=1e-12)
    if kind != "multilabel":
        (bins,) = told["calibration"].values()
        filled = bins["n"] > 0
        gap = np.abs(bins["probability"] - bins["share"])[filled] @ bins["n"][filled] / bins["n"].sum()
        assert gap == pytest.approx(values["calibration_error"]) and bins["calibration_error"] == pytest.approx(gap)


def test_many_outputs_leave_few_thresholds_which_tell_the_same() -> None:
    curve = seen("binary", 1, 100_000).curves()["curves"]["name 0"]
    assert counts.GROUPS < len(curve["threshold"]) <= 2 * counts.GROUPS + 1
    assert np.sort(-np.diff(curve["recall"]))[-6] < 1 / counts.GROUPS + 2e-5  # but for the five that are alike
    values = seen("binary", 1, 100_000, threshold=curve["threshold"][999]).values()
    assert {name: curve[name][999] for name in MEASURES} == {name: values[name] for name in MEASURES}


@pytest.mark.parametrize("kind", ["binary", "multilabel", "multiclass"])
@pytest.mark.parametrize("architecture", ["GRUseq2seq", "GRUseq2one"])
def test_curves_of_a_state_are_of_the_steps_that_evaluate_measures(architecture: str, kind: TaskKind) -> None:
    state = make_state(Case(architecture, kind))
    pairs = data(state)
    told, values = nl.threshold_curves(state, pairs, batch_size=3), nl.evaluate(state, pairs)
    for name, curve in told["curves"].items():
        expected = values["auroc" if kind == "binary" else f"auroc_{name}"]
        assert curve["auroc"] == pytest.approx(expected, nan_ok=True, abs=1e-9)
    with pytest.raises(ValueError, match="this state does regression"):
        nl.threshold_curves(make_state(Case(architecture, "regression")), pairs)


def test_the_chosen_threshold_is_the_best_of_those_that_reach_what_is_wanted() -> None:
    told = seen("binary", 1).curves()
    every = np.linspace(0, 1, 301)
    values = [seen("binary", 1, threshold=each).values() for each in every]
    best = seen("binary", 1, threshold=nl.choose_threshold(told)).values()
    assert best["f1"] >= max(value["f1"] for value in values) > values[150]["f1"]
    for wanted in ({"recall": 0.9}, {"recall": 0.6, "precision": 0.45}):
        threshold = nl.choose_threshold(told, measure="specificity", **wanted)
        got = seen("binary", 1, threshold=threshold).values()
        able = [value["specificity"] for value in values if all(value[k] >= v for k, v in wanted.items())]
        assert all(got[name] >= least for name, least in wanted.items()) and got["specificity"] >= max(able)
    low, high, higher = np.nextafter(np.float32(0.3), [0, 0.3, 1], dtype=np.float32)  # no number is between two of them
    for p in ([low, high], [high, higher]):
        assert (np.array(p) > nl.choose_threshold(nl.class_scores([[0, 1]], [p]))).tolist() == [False, True]
    told_so = r"'name 0' reaches recall 0.9 and precision 0.99; precision is 0\.\d+ at the most with recall 0.9\."
    with pytest.raises(ValueError, match=told_so):
        nl.choose_threshold(told, recall=0.9, precision=0.99)
    with pytest.raises(ValueError, match="measure='f2'; expected one of 'f1'"):
        nl.choose_threshold(told, measure="f2")
    with pytest.raises(TypeError, match="argument 'sensitivity'. Did you mean 'recall'?"):
        nl.choose_threshold(told, sensitivity=0.9)  # type: ignore[call-arg]


def test_each_label_has_a_threshold_of_its_own_and_one_without_yes_keeps_a_half() -> None:
    told = seen("multilabel", 3, never=1).curves()
    with pytest.warns(UserWarning, match="of 'name 1' the data hold yes alone or no alone: the threshold stays 0.5"):
        chosen = nl.choose_threshold(told)
    assert isinstance(chosen, np.ndarray) and chosen.shape == (3,) and chosen[1] == 0.5
    values, usual = (seen("multilabel", 3, threshold=each, never=1).values() for each in (chosen, 0.5))
    assert values["f1_name 0"] > usual["f1_name 0"] and values["f1_name 2"] > usual["f1_name 2"]
    with pytest.raises(ValueError, match="of 'name 0' the data hold yes alone"):
        nl.choose_threshold(seen("binary", 1, never=0).curves())
    with pytest.raises(ValueError, match="name 0, name 1, name 2 exclude each other"):
        nl.choose_threshold(seen("multiclass", 3).curves())


def test_perfect_probabilities_are_parted_in_the_middle() -> None:
    assert nl.choose_threshold(nl.class_scores([[0, 0, 1, 1]], [[0.1, 0.2, 0.8, 0.9]])) == pytest.approx(0.5)


def test_probabilities_that_are_nan_have_no_threshold() -> None:
    state = make_state(Case("GRUseq2seq", "binary"))
    state["weights"] = {name: weight * np.nan for name, weight in state["weights"].items()}
    with pytest.raises(ValueError, match="there are probabilities of '0' that are nan"):
        nl.choose_threshold(nl.threshold_curves(state, data(state)))


def test_measures_and_tables_are_of_the_threshold_that_is_given() -> None:
    state = make_state(Case("GRUseq2seq", "multilabel"))
    pairs = data(state)
    above = np.array([0.3, 0.5, 0.52])
    y = np.concatenate([np.asarray(labels, float).reshape(-1, 3) for _, labels in pairs])
    found = np.concatenate(nl.predict(state, [x for x, _ in pairs])) > above
    expected = [[((y[:, k] == i) & (found[:, k] == j)).sum() for i in (0, 1) for j in (0, 1)] for k in range(3)]
    table = nl.confusion_matrix(state, pairs, threshold=above)
    np.testing.assert_array_equal(table.reshape(3, 4), expected)
    assert nl.evaluate(state, pairs, threshold=above)["recall_0"] == table[0, 1, 1] / table[0, 1].sum() == 1
    wrongs = ([0.5, 0.5], "threshold has 2 numbers; expected one number, or 3"), (1.5, "number in .0, 1.")
    for wrong, message in wrongs:
        with pytest.raises(ValueError, match=message):
            nl.evaluate(state, pairs, threshold=wrong)
    with pytest.raises(ValueError, match="threshold=0.4 is of probabilities of yes; of exclusive classes the most"):
        nl.confusion_matrix(make_state(Case("GRUseq2seq", "multiclass")), pairs, threshold=0.4)


def test_class_scores_take_a_threshold_of_two_classes() -> None:
    p = np.array([0.1, 0.3, 0.35, 0.6])
    for found in (p, p[:, None], np.stack([1 - p, p], axis=1)):
        scores = nl.class_scores([[0, 0, 1, 1]], [found], threshold=0.32)
        assert scores["confusion"].tolist() == [[2, 0], [0, 2]] and scores["gross"]["auroc"] == 1
    certain = nl.class_scores([[0, 0, 1, 1]], [np.array([0.0, 1.0, 1.0, 1.0])], threshold=0.32)
    assert certain["confusion"].tolist() == [[1, 1], [0, 2]]
    for found in ([0, 1, 1, 1], np.eye(3)[[0, 1, 2, 1]] * 0.7 + 0.1):
        with pytest.raises(ValueError, match="threshold=0.32 is of probabilities of two classes"):
            nl.class_scores([[0, 0, 1, 2][: len(found)]], [found], threshold=0.32)


def texts(axes: object) -> list[str]:
    return [text.get_text() for text in axes.texts]  # type: ignore[attr-defined]


def test_a_confusion_matrix_is_drawn_with_its_counts_and_names(tmp_path: Path) -> None:
    table = [[3, 1, 0], [0, 0, 0], [0, 0, 5]]
    (axes,) = nl.plot_confusion(table, names=["a", "b", "_$c$"], path=tmp_path / "c.png").axes
    assert texts(axes) == ["3\n75 %", "1\n25 %", "0", "0", "0", "5\n100 %"]  # the second does not occur
    assert [text.get_color() for text in axes.texts] == ["white", "#222222", *["#8a8a8a"] * 3, "white"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a (4)", "b (0)", "_$c$ (5)"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("found", "true")
    assert matplotlib.image.imread(tmp_path / "c.png").std() > 0
    scores = nl.class_scores([[0, 1, 1]], [[0, 1, 0]], names=["apnoea"])
    assert [label.get_text() for label in nl.plot_confusion(scores).axes[0].get_xticklabels()] == ["no", "apnoea"]
    panels = nl.plot_confusion(np.arange(20).reshape(5, 2, 2), names=list("abcde")).axes
    assert [panel.get_title() for panel in panels] == list("abcde") and texts(panels[4])[3] == "19\n51 %"
    assert panels[0].figure.get_size_inches().tolist() == [4 * 3.2, 2 * 3.0], "four beside each other"
    many = nl.plot_confusion(np.eye(90, dtype=int))
    assert not texts(many.axes[0]) and many.get_size_inches().max() < 30, "cells too small for numbers"


@pytest.mark.parametrize(
    "table, names, message",
    [
        (np.ones((2, 3), int), None, r"table has shape \(2, 3\); expected \[K, K\]"),
        (np.ones((3, 3), int), ["a", "b"], "names is a, b; expected 3"),
        (np.ones((2, 2), int), "ab", "names is one text, 'ab'; expected a list"),
        (np.ones((2, 2)), None, "table holds float64; expected whole numbers"),
        (nl.value_scores([[1, 2]], [[1, 3]]), None, "table holds task, records, .* and no confusion matrix"),
    ],
)
def test_what_is_no_confusion_matrix_is_told(table: object, names: list[str] | None, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        nl.plot_confusion(table, names=names)  # type: ignore[arg-type]


def legend(axes: object) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]  # type: ignore[attr-defined]


def test_pictures_of_curves_tell_the_measures_and_mark_thresholds(tmp_path: Path) -> None:
    metrics = seen("multilabel", 3, never=1)
    told, values = metrics.curves(), metrics.values()
    roc, precise, calibrated = nl.plot_curves(told, threshold=[0.3, 0.5, 0.6], path=tmp_path / "c.png").axes
    names = ("name 0", "name 1", "name 2")
    assert legend(roc) == [
        f"{values['auroc_name 0']:.3f}  name 0", "above 0.3", "nan  name 1", f"{values['auroc_name 2']:.3f}  name 2",
        "above 0.6",
    ]  # fmt: skip
    assert legend(precise)[0] == f"{values['average_precision_name 0']:.3f}  name 0"
    assert legend(calibrated) == [f"{values[f'calibration_error_{name}']:.3f}  {name}" for name in names]
    at = seen("multilabel", 3, threshold=[0.3, 0.5, 0.6], never=1).values()
    for axes, expected in (
        (roc, [(1 - at[f"specificity_{name}"], at[f"recall_{name}"]) for name in names[::2]]),
        (precise, [(at[f"recall_{name}"], at[f"precision_{name}"]) for name in names[::2]]),
    ):
        marks = [line.get_xydata()[0] for line in axes.lines if line.get_marker() == "o"]
        np.testing.assert_allclose(marks, expected)
    assert matplotlib.image.imread(tmp_path / "c.png").std() > 0
    scores = nl.class_scores([[0, 1, 0]], [[0.2, 0.9, 0.4]])
    for threshold, point in ((0.01, [1, 1]), (nl.choose_threshold(scores), [0, 1])):  # all are found; one of its own
        one, precise, calibrated = nl.plot_curves(scores, threshold=threshold).axes
        assert [line.get_xydata().tolist() for line in one.lines if line.get_marker() == "o"] == [[point]]
    assert precise.lines[0].get_xydata()[-1].tolist() == [0, 1], "what finds nothing has no precision"
    assert len(calibrated.lines[0].get_xydata()) == 3 and calibrated.collections[0].get_sizes().tolist() == [62] * 3


def test_scores_of_probabilities_are_drawn_as_a_states_are() -> None:
    rng = np.random.default_rng(0)
    y, p = rng.integers(-1, 3, 200), rng.dirichlet(np.ones(3), 200)
    scores = nl.class_scores([y[:90], y[90:]], [p[:90], p[90:]], names=["_a", "b", "c"])
    roc, _, calibrated = nl.plot_curves(scores, threshold=0.5).axes  # which is none of exclusive classes
    assert legend(roc) == [f"{scores['gross'][f'auroc_{name}']:.3f}  {name}" for name in ("_a", "b", "c")]
    assert legend(calibrated)[0].endswith("  the class that is found")
    for other in (nl.class_scores([[0, 1]], [[0, 1]]), nl.value_scores([[1, 2]], [[1, 3]]), {"f1": 0.5}, [[1, 0]]):
        with pytest.raises(TypeError, match="and no probabilities; expected what threshold_curves gives"):
            nl.plot_curves(other)  # type: ignore[arg-type]


@pytest.mark.parametrize("n", [40, 6000])
def test_agreement_is_drawn_with_bias_and_limits_of_the_scores(n: int) -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(60, 5, (n, 2))
    found = true + rng.normal(1, [2, 3], (n, 2))
    found[3] = np.nan
    scores = nl.value_scores([true[:9], true[9:]], [found[:9], found[9:]], names=["rate", "age"])
    panels = nl.plot_agreement(scores).axes
    assert [panel.get_title() for panel in panels] == ["rate", "age"]
    for k, (panel, name) in enumerate(zip(panels, ("rate", "age"), strict=True)):
        gross = [scores["gross"][f"{measure}_{name}"] for measure in ("bias", "agreement_high", "agreement_low")]
        assert [line.get_ydata()[0] for line in panel.lines[-3:]] == gross
        assert texts(panel)[0] == f"bias {gross[0]:.3g}"
        if n == 40:
            drawn = panel.lines[0].get_xydata()
            np.testing.assert_allclose(drawn[:3], np.stack([(true + found) / 2, found - true], -1)[:3, k])
            assert len(drawn) == 39
        else:
            assert panel.collections[0].get_array().sum() == n - 1
    with pytest.raises(TypeError, match="and no pairs of values; expected what value_scores gives"):
        nl.plot_agreement(nl.class_scores([[0, 1]], [[0, 1]]))
