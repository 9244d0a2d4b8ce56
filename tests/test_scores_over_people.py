"""Predictions of several people scored together: what is handed in, and what may be said of people."""

import itertools
import math
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torchmetrics.functional.classification as tc

import neurallib as nl
from neurallib.measures import ranking
from neurallib.measures.tables import worst_first


def drawn(k: int, n: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Classes [n] of eight people, each with all of them, and probabilities [n, k] that know something of them."""
    rng = np.random.default_rng(seed)
    true = np.arange(n) % k
    p = rng.dirichlet(np.ones(k), n) + 0.5 * np.eye(k)[true] * rng.random((n, 1))
    return true, p / p.sum(axis=1, keepdims=True), [f"p{i // 5}" for i in range(n)]


@pytest.mark.parametrize("form", ["tensors", "a column", "a list of tensors", "masked"])
def test_classes_come_as_tensors_columns_and_masked_arrays(form: str) -> None:
    true, p, people = drawn(3)
    forms: dict[str, tuple[Any, Any]] = {
        "tensors": (torch.from_numpy(true), torch.from_numpy(p)),
        "a column": (true[:, None], p),
        "a list of tensors": ([torch.tensor(each) for each in true], [torch.from_numpy(each) for each in p]),
        "masked": (np.ma.masked_array(np.append(true, 2), [*[False] * 40, True]), np.append(p, p[:1], axis=0)),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        given = forms[form]
        scores = nl.class_scores(*given, people=[*people, "p0"][: len(given[0])])
    np.testing.assert_equal(scores["gross"], nl.class_scores(true, p, people=people)["gross"])


def test_one_hot_truth_beside_probabilities_is_not_scored_step_by_step() -> None:
    true, p, people = drawn(3)
    with pytest.raises(ValueError, match=r"true is one-hot, 1 for one of 3 classes .* true.argmax\(axis=1\)"):
        nl.class_scores(np.eye(3)[true], p, people=people)
    steps = [[0, 1], [1, 0]]  # two recordings of two steps each
    assert nl.class_scores(steps, [[0.2, 0.7], [0.6, 0.1]])["gross"]["accuracy"] == 1
    assert nl.class_scores(steps, np.array(steps, float))["gross"]["accuracy"] == 1


def test_a_person_with_one_class_says_nothing_of_telling_classes_apart() -> None:
    """Else always saying no would be right by more than chance, the more people have nothing."""
    true, never = [[0, 1], [0, 1], [0, 0], [0, 0]], [[0, 0]] * 4
    scores = nl.class_scores(true, never)
    assert scores["average"]["balanced_accuracy"] == scores["gross"]["balanced_accuracy"] == 0.5
    assert scores["average"]["f1_macro"] == pytest.approx(1 / 3) and scores["average"]["cohen_kappa"] == 0
    assert scores["average"]["accuracy"] == 0.75 and scores["average"]["recall_0"] == 1
    alone = scores["records"][2]
    assert all(math.isnan(alone[name]) for name in ("balanced_accuracy", "f1_macro", "cohen_kappa"))


def of_two(n_people: int, each: int, seed: int = 0, better: float = 1.0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Yes or no of people, and probabilities with ties that know something of them."""
    rng = np.random.default_rng(seed)
    true = rng.random((n_people, each)) < 0.3
    logits = rng.normal(size=true.shape) + better * true + rng.normal(size=(n_people, 1)) / 2
    people = np.repeat([f"p{i}" for i in range(n_people)], each).tolist()
    return true.reshape(-1).astype(int), np.round(1 / (1 + np.exp(-logits.reshape(-1))), 2), people


def auroc(true: np.ndarray, p: np.ndarray) -> float:
    return float(tc.binary_auroc(torch.tensor(p), torch.tensor(true)))


@pytest.mark.parametrize("form", [lambda p: p, lambda p: p[:, None], lambda p: np.stack([1 - p, p], axis=1)])
def test_probabilities_of_yes_are_ranked_over_all_and_by_person(form: Any) -> None:
    true, p, people = of_two(6, 30)
    scores = nl.class_scores(true, form(p), people=people)
    assert scores["gross"]["auroc"] == pytest.approx(auroc(true, p), abs=1e-6)
    expected = float(tc.binary_average_precision(torch.tensor(p), torch.tensor(true)))
    assert scores["gross"]["average_precision"] == pytest.approx(expected, abs=1e-6)
    own = [auroc(true[i : i + 30], p[i : i + 30]) for i in range(0, 180, 30)]
    assert [row["auroc"] for row in scores["records"]] == pytest.approx(own, abs=1e-6)
    assert scores["average"]["auroc"] == pytest.approx(np.mean(own), abs=1e-6)
    assert "auroc" in scores["table"] and "auroc" not in nl.class_scores(true, p > 0.5, people=people)["gross"]


def test_probabilities_of_several_classes_are_ranked_each_against_the_others() -> None:
    true, p, people = drawn(3)
    p, unknown = np.where(np.arange(40)[:, None] == 7, np.nan, p), np.where(np.arange(40) == 9, -1, true)
    scores = nl.class_scores(unknown, p, people=people, names=["wake", "light", "deep"])
    known = np.delete(np.arange(40), [7, 9])
    each = [auroc(true[known] == k, p[known, k]) for k in range(3)]
    told = [scores["gross"][f"auroc_{name}"] for name in ("wake", "light", "deep")]
    assert told == pytest.approx(each, abs=1e-6) and scores["gross"]["auroc"] == pytest.approx(np.mean(each), abs=1e-6)
    steps = nl.class_scores(unknown.reshape(8, 5), p.reshape(8, 5, 3), names=["wake", "light", "deep"])
    assert steps["gross"] == scores["gross"]
    assert "auroc" not in nl.class_scores(true, 5 * p, people=people)["gross"]  # which are no probabilities


@pytest.mark.parametrize("groups", [256, 40])
def test_intervals_of_a_ranking_draw_people(groups: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against torchmetrics on the same draws, also where probabilities are put together to be drawn."""
    monkeypatch.setattr(ranking, "GROUPS", groups)
    (true, p, people), (_, other, _) = of_two(5, 40), of_two(5, 40, better=0.5)
    by_person = np.arange(200).reshape(5, 40)
    draws = [by_person[np.array(d)].reshape(-1) for d in itertools.combinations_with_replacement(range(5), 5)]
    weights = [math.factorial(5) / np.prod([math.factorial(c) for c in np.bincount(d // 40, minlength=5) // 40])
               for d in (draw.reshape(5, 40)[:, :1].repeat(40, axis=1).reshape(-1) for draw in draws)]  # fmt: skip
    a, b = (nl.class_scores(true, one, people=people, n_bootstrap=4000) for one in (p, other))
    values = np.array([[auroc(true[d], one[d]) for one in (p, other)] for d in draws])
    compared = nl.compare_recordings(a, b, n_resamples=4000)["gross"]["auroc"]
    for drawn_values, interval in (
        (values[:, 0], a["intervals"]["gross"]["auroc"]),
        (values[:, 0] - values[:, 1], (compared["low"], compared["high"])),
    ):
        all_ways = np.repeat(drawn_values, np.round(weights).astype(int))
        np.testing.assert_allclose(interval, np.quantile(all_ways, [0.025, 0.975]), atol=0.006)
    assert compared["difference"] == pytest.approx(auroc(true, p) - auroc(true, other), abs=1e-6)
    assert 0 < compared["p_value"] <= 1 and (compared["p_value"] * 32) % 1 == 0


def test_models_that_rank_alike_do_not_differ_however_people_are_ordered() -> None:
    true, p, people = of_two(6, 20)
    a = nl.class_scores(true, p, people=people)
    b = nl.class_scores(true[::-1], p[::-1], people=people[::-1])
    compared = nl.compare_recordings(a, b)
    for kind in ("gross", "average"):
        row = compared[kind]["auroc"]
        assert (row["difference"], row["low"], row["high"], row["p_value"]) == pytest.approx((0, 0, 0, 1), abs=1e-12)
    hard = nl.compare_recordings(a, nl.class_scores(true, p > 0.5, people=people))
    assert "auroc" not in hard["gross"] and "auroc" not in hard["average"]


def rates(n_people: int = 6, each: int = 10, spread: float = 4.0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """True and found heart rates, and whose."""
    rng = np.random.default_rng(0)
    true = rng.normal(70, 10, n_people * each)
    found = true + np.repeat(rng.normal(1, 2, n_people), each) + np.random.default_rng(1).normal(0, spread, len(true))
    return true, found, np.repeat([f"p{i}" for i in range(n_people)], each).tolist()


def by_scipy(true: np.ndarray, found: np.ndarray) -> dict[str, float]:
    from scipy import stats

    error = found - true
    bias, sd = error.mean(), error.std(ddof=1)
    return {
        "mae": np.abs(error).mean(), "rmse": math.sqrt((error**2).mean()), "bias": bias, "sd": sd,
        "agreement_low": bias - 1.96 * sd, "agreement_high": bias + 1.96 * sd,
        "r2": 1 - (error**2).sum() / ((true - true.mean()) ** 2).sum(), "pearson": stats.pearsonr(true, found)[0],
    }  # fmt: skip


@pytest.mark.parametrize("offset", [0, 1e4])
def test_values_are_scored_over_all_and_by_person(offset: float) -> None:
    true, found, people = rates()
    true, found = true + offset, found + offset
    scores = nl.value_scores(true, found[:, None], people=people)
    assert scores["gross"] == pytest.approx(by_scipy(true, found), rel=1e-6)
    own = [by_scipy(true[i : i + 10], found[i : i + 10]) for i in range(0, 60, 10)]
    for row, expected in zip(scores["records"], own, strict=True):
        assert {name: row[name] for name in expected} == pytest.approx(expected, rel=1e-6) and row["values"] == 10
    assert scores["average"]["mae"] == pytest.approx(np.mean([one["mae"] for one in own]))
    low, high = scores["intervals"]["gross"]["bias"]
    by_people = np.array([one["bias"] for one in own])
    draws = by_people[np.random.default_rng(5).integers(0, 6, (20_000, 6))].mean(axis=1)
    np.testing.assert_allclose((low, high), np.quantile(draws, [0.025, 0.975]), atol=0.15)
    steps = nl.value_scores(true.reshape(6, 10), list(found.reshape(6, 10, 1)))
    assert steps["gross"] == pytest.approx(scores["gross"])


def test_outputs_with_names_are_scored_each_and_unknown_values_left_out() -> None:
    true, found, people = rates()
    both, too = np.stack([true, true + 50], axis=1), np.stack([found, found + 55], axis=1)
    both[3, 0] = too[4, 1] = np.nan
    scores = nl.value_scores(both, too, people=people, names=["diastolic", "systolic"])
    for k, name in enumerate(("diastolic", "systolic")):
        kept = np.delete(np.arange(60), 3 + k)
        expected = by_scipy(both[kept, k], too[kept, k])
        assert {each: scores["gross"][f"{each}_{name}"] for each in expected} == pytest.approx(expected, rel=1e-6)
    assert nl.value_scores(both, list(too), names=scores["names"])["gross"] == pytest.approx(scores["gross"])
    figure = nl.plot_record_scores(scores)
    assert figure.axes[0].get_xlabel() == "mae_diastolic"


def test_values_that_do_not_vary_tell_no_r2_and_one_tells_no_spread() -> None:
    scores = nl.value_scores([70, 70, 70], [71, 72, 70], people=["a", "a", "b"])
    assert math.isnan(scores["gross"]["r2"]) and math.isnan(scores["gross"]["pearson"])
    assert scores["gross"]["mae"] == 1 and math.isnan(scores["records"][1]["sd"])


def test_two_models_of_values_are_compared_by_person() -> None:
    true, found, people = rates()
    a, b = (nl.value_scores(true, one, people=people) for one in (found, rates(spread=9)[1]))
    row = nl.compare_recordings(a, b)["average"]["mae"]
    own = np.array([one["mae"] - other["mae"] for one, other in zip(a["records"], b["records"], strict=True)])
    signs = np.array(list(itertools.product([1, -1], repeat=6)))
    p_value = (np.abs(signs @ own) >= abs(own.sum()) - 1e-12).mean()
    assert row["p_value"] == pytest.approx(p_value) and row["difference"] == pytest.approx(own.mean())
    assert row["low"] < row["difference"] < row["high"]
    with pytest.warns(UserWarning, match="not scored on the same truth in 6 of 6"):
        nl.compare_recordings(a, nl.value_scores(true / 60, found / 60, people=people))


@pytest.mark.parametrize(
    "given, error, message",
    [
        (([70, 71], [70, 72], {}), ValueError, "with people= one value for each recording"),
        ((np.ones((4, 2)), np.ones((4, 2)), {}), ValueError, "2 numbers, which may be 2 outputs or 2"),
        (([[1, 2]], [[1, 2, 3]], {}), ValueError, r"has true \(2,\) and found \(3,\)"),
        (([["a"]], [[1]], {}), TypeError, "true of recording 0 holds <U1"),
        (([[math.nan]], [[1]], {}), ValueError, "no value is known on both sides"),
        ((np.ones((4, 2)), np.ones((4, 2)), {"people": "aabb", "names": ["a", "a"]}), ValueError, "expected 2 differ"),
    ],
)
def test_values_that_cannot_be_scored_are_named(given: Any, error: type[Exception], message: str) -> None:
    true, found, options = given
    if "people" in options:
        options = options | {"people": list(options["people"])}
    with pytest.raises(error, match=message):
        nl.value_scores(true, found, **options)


def test_the_worst_has_the_largest_bias_either_way() -> None:
    scores = nl.value_scores([[[70], [80]]] * 3, [[[71], [81]], [[60], [70]], [[75], [85]]])
    assert [row["name"] for row in worst_first(scores["records"], "bias")] == ["1", "2", "0"]
    assert [row["name"] for row in worst_first(scores["records"], "mae")] == ["1", "2", "0"]


RATES = {"true": [60.0, 64.0, 80.0], "found": [62.0, 66.0, 79.0], "people": ["a", "b", "c"]}
STAGES = {"true": [np.array([0, 1, 1])] * 2, "found": [np.array([0, 1, 0])] * 2}
TIMES = {"onset": [0.0, 5.0], "duration": [2.0, 3.0], "name": ["AF", "AF"]}
AF = {"true": TIMES, "found": TIMES, "names": ["AF"], "duration": 20.0}
NO_LIST = {"n": {1, 2, 3}, "x": None, "d": {0: 1.0, 1: 2.0, 2: 3.0}, "t": "abc", "i": 3}
UNREADABLE = [torch.zeros(3, device="meta"), torch.zeros(3).to_sparse(), [[1.0], [2.0, 3.0]]]


@pytest.mark.parametrize("side", ["true", "found"])
@pytest.mark.parametrize("score", [partial(nl.value_scores, **RATES), partial(nl.class_scores, **STAGES)])
@pytest.mark.parametrize("what", NO_LIST)
def test_recordings_that_have_no_order_are_told(score: Any, side: str, what: str) -> None:
    with pytest.raises(TypeError, match=f"^{side}.*; expected a list of one array for each recording"):
        score(**{side: NO_LIST[what]})


def test_people_that_have_no_order_are_told() -> None:
    with pytest.raises(TypeError, match="people is a set; expected"):
        nl.value_scores(**RATES | {"people": {"a", "b", "c"}})


@pytest.mark.parametrize(
    "score",
    [
        partial(nl.value_scores, **RATES),  # type: ignore[arg-type]
        partial(nl.class_scores, **STAGES),  # type: ignore[arg-type]
        partial(nl.interval_scores, **AF),  # type: ignore[arg-type]
        partial(nl.find_intervals, [0, 1, 1], 1.0),
        partial(nl.evaluate_recordings, lambda _: [], []),
    ],
)
@pytest.mark.parametrize("names", ["AF", 3, {"a": 1}, ["a", None], [["a"], "b"], [True, False], np.array(3)])
def test_names_that_are_no_list_of_texts_are_told(score: Any, names: Any) -> None:
    with pytest.raises(TypeError, match="^(a name in )?names.*; expected a (list of names|text)"):
        score(names=names)


@pytest.mark.parametrize("given", UNREADABLE, ids=["meta", "sparse", "ragged"])
def test_what_cannot_be_read_as_an_array_is_called_by_its_argument(given: Any) -> None:
    calls: dict[str, Callable[[], Any]] = {
        r"true\[0\]": lambda: nl.class_scores([given], [[0, 1]]),
        r"found\[0\]": lambda: nl.value_scores([[0.0, 1.0]], [given]),
        "output": lambda: nl.find_events(given, 1.0),
        "peaks": lambda: nl.rr_intervals(given, 1.0),
        "gaps": lambda: nl.rr_intervals([1, 2, 3], 1.0, gaps=given),
        "true": lambda: nl.interval_scores(given, [], duration=20.0),
        r"x of signals\[0\]": lambda: nl.predict(nl.gru_seq2seq(n_features=1, hid_dim=2, n_layers=1), [given]),
    }
    for name, call in calls.items():
        with pytest.raises(ValueError, match=f"^{name} is no array of numbers: "):
            call()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"onset": [0.0]}, r"onset of shape \(1,\), duration of \(2,\) and 2 names"),
        ({"duration": 3.0}, r"duration of \(\) and 2 names"),
        ({"name": []}, "and 0 names; expected one of each"),
        ({"onset": ["a", "b"]}, "onset of true holds <U1"),
        ({"name": None}, "the names of true=None is a NoneType"),
    ],
)
def test_intervals_that_do_not_say_all_of_each_are_told(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        nl.interval_scores(**AF | {"true": TIMES | wrong})
