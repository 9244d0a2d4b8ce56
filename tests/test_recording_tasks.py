"""Classes by person, and denoising, on recordings: as `evaluate` and the DeepFilter benchmark measure them."""

import math
import re
import warnings
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from cases import Mine
from test_answers import known_detector
from test_recording_scores import recording

import neurallib as nl
from neurallib.measures.metrics import Metrics
from neurallib.tasks import describe


def test_classes_are_scored_by_person_as_evaluate_scores_them() -> None:
    rng = np.random.default_rng(0)
    true = [rng.integers(-1, 3, 400) for _ in range(4)]
    found = [np.where(rng.random(400) < 0.6, one, rng.integers(0, 3, 400)).clip(0) for one in true]
    scores = nl.class_scores(true, found, people=["a", "a", "b", "c"], names=["wake", "light", "deep"])
    state = nl.gru_seq2seq(n_features=1, hid_dim=2, n_layers=1, num_classes=3)
    for told, places in ((scores["gross"], range(4)), (scores["records"][0], (0, 1)), (scores["records"][1], (2,))):
        metrics = Metrics(describe(state))
        for i in places:
            outputs = torch.from_numpy(np.eye(3, dtype=np.float32)[found[i]])[None]
            metrics.update(outputs, torch.from_numpy(true[i])[None], torch.tensor([400]))
        values = metrics.values()
        for name in ("accuracy", "balanced_accuracy", "f1_macro", "cohen_kappa"):
            assert told[name] == pytest.approx(values[name])
        assert told["recall_deep"] == pytest.approx(values["recall_2"])
        assert told["precision_wake"] == pytest.approx(values["precision_0"])
    assert [row["name"] for row in scores["records"]] == ["a", "b", "c"]
    assert scores["confusion"].sum() == sum((one >= 0).sum() for one in true)
    kappas = [row["cohen_kappa"] for row in scores["records"]]
    assert scores["average"]["cohen_kappa"] == pytest.approx(np.mean(kappas))


def test_annotated_stages_are_the_truth_of_a_recording_and_the_rest_is_unknown() -> None:
    stages = {"sample": np.array([0, 2000, 3000, 4000]), "symbol": ["W", "N2", "?", "W"],
              "duration": np.array([20.0, 10.0, 10.0, 15.0])}  # fmt: skip
    r = recording("a", []) | {"events": stages}
    found = np.repeat([0, 1, 1, 0], [2500, 500, 1000, 2000])
    scores = nl.evaluate_recordings(lambda _: found, [r], task="classes", names=["W", "N2"])
    np.testing.assert_array_equal(scores["confusion"], [[3500, 0], [500, 500]])
    probabilities = np.eye(2)[found]
    again = nl.evaluate_recordings(lambda _: {"output": probabilities}, [r], task="classes", names=["W", "N2"],
                                   skip_start=5)  # fmt: skip
    np.testing.assert_array_equal(again["confusion"], [[3000, 0], [500, 500]])


def test_what_is_annotated_beside_classes_takes_nothing_from_them() -> None:
    """Apnoeas and arousals over stages, the beats of a rhythm."""
    marked = {"sample": np.array([0, 500, 1000, 3000, 3500, 4000, 5000]),
              "symbol": ["W", "apnoea", "N", "N2", "N", "arousal", "lights on"]}  # fmt: skip
    found = np.repeat([0, 1], [3000, 3000])
    for lasting, confusion in (([30, 20, 0, 20, 0, 3, 0], [[3000, 0], [0, 2000]]),
                               ([0, 20, 0, 0, 0, 3, 0], [[3000, 0], [0, 2000]]),
                               ([0, 0, 0, 0, 0, 0, 0], [[500, 0], [0, 1000]])):  # fmt: skip
        events = marked | {"duration": np.array(lasting, float)}
        r = recording("a", []) | {"events": events}
        scores = nl.evaluate_recordings(lambda _: found, [r], task="classes", names=["W", "N2"])
        np.testing.assert_array_equal(scores["confusion"], confusion)


def gated(**events: float) -> tuple[nl.State, dict]:
    """A binary state, and a recording of which it says yes, 0.88, from 20 to 40 s, and 0.5 elsewhere."""
    r = recording("a", [2000], symbols=["seizure"])
    r["events"]["duration"] = np.array([20.0])
    r["signal"][2000:4000] = 1
    state = known_detector(100.0, **events)
    state["weights"]["gru_layers.0.weight_ih_l0"] = torch.tensor([[0.0], [0.0], [0.18]])
    state["weights"]["gru_layers.0.bias_ih_l0"] = torch.tensor([0.0, -20.0, 0.0])
    return {**state, "postprocessing": {**state["postprocessing"], "outputs": ["seizure"]}}, r


@pytest.mark.parametrize("threshold, hit", [(None, 2000), (0.8, 2000), (0.95, 0)])
def test_a_binary_state_is_scored_as_two_classes_by_its_threshold(threshold: float | None, hit: int) -> None:
    state, r = gated(**({} if threshold is None else {"threshold": threshold}))
    y = partial(nl.interval_target, classes={"seizure": 1}, background=0)
    for options in ({"names": ["bg", "seizure"]}, {}):
        scores = nl.evaluate_recordings(state, [r], task="classes", target=y, **options)
        assert abs(scores["confusion"] - [[4000, 0], [2000 - hit, hit]]).max() <= 2
        assert scores["names"] == [options.get("names", ["no"])[0], "seizure"]
    with pytest.warns(UserWarning, match="no recording is annotated as bg, .* is not known, nor scored: target="):
        scores = nl.evaluate_recordings(state, [r], task="classes", names=["bg", "seizure"])
    assert scores["confusion"][0].sum() == 0, "what no annotation covers is unknown"
    gap = r | {"signal": np.where(np.arange(6000)[:, None] < 1000, np.nan, r["signal"])}
    assert nl.evaluate_recordings(state, [gap], task="classes", target=y, skip_gaps=False)["confusion"].sum() == 5000
    with pytest.raises(ValueError, match="names of the classes are not known; expected names.*: of a binary state two"):
        nl.evaluate_recordings(state, [r], task="classes")
    with pytest.raises(ValueError, match="the annotations are seizure: none is a name of the classes, a, b; expected"):
        nl.evaluate_recordings(state, [r], task="classes", names=["a", "b"])
    with pytest.raises(ValueError, match="names has 1; expected one for each of 2 classes"):
        nl.evaluate_recordings(state, [r], task="classes", names=["seizure"])


def test_a_truth_of_yes_and_no_is_not_scored_where_it_is_skipped() -> None:
    truth = np.arange(6000) < 3000
    options: dict[str, Any] = {"task": "classes", "names": ["no", "yes"], "skip_start": 10}
    for given in (truth, truth.astype(np.uint8)):
        scores = nl.evaluate_recordings(lambda _: truth, [recording("a", [])], target=lambda _: given, **options)
        assert scores["confusion"].tolist() == [[3000, 0], [0, 2000]]


@pytest.mark.parametrize(
    "factory, options, task, told",
    [
        (nl.gru_seq2seq, {"num_classes": 3, "multi_label": True}, None, "for seq2seq multilabel; expected one"),
        (nl.gru_seq2seq, {"num_classes": 3, "multi_label": True}, "classes", "for seq2seq multilabel; expected one"),
        (nl.gru_seq2one, {"task": "regression"}, None, "outputs, 1 a signal of 1 features, are no denoised"),
        (nl.gru_seq2seq, {"task": "regression", "n_outputs": 2}, None, "2 a step of 1 features, are no denoised"),
        (nl.gru_seq2seq, {"task": "regression"}, "classes", "for seq2seq regression: task='classes'; exp"),
        (nl.gru_seq2one, {}, "events", "for seq2one binary: task='events'; expected one of 'c"),
    ],
)
def test_a_state_is_measured_by_what_it_is_made_for(factory: Any, options: dict, task: str | None, told: str) -> None:
    state = factory(n_features=1, hid_dim=2, n_layers=1, **options)
    with pytest.raises(ValueError, match=told):
        nl.evaluate_recordings(state, [recording("a", [100])], task=task, names=["x", "y", "z"], target=nl.beats)


@pytest.mark.parametrize("factory", [nl.gru_seq2one, nl.gru_seq2seq])
def test_what_an_error_says_of_several_labels_measures_the_first(factory: Any) -> None:
    state = factory(n_features=1, hid_dim=2, n_layers=1, num_classes=2, multi_label=True)
    state["preprocessing"]["sampling_frequency"] = 100.0
    r = recording("a", [100])
    with pytest.raises(ValueError) as error:
        nl.evaluate_recordings(state, [r])
    one = re.search(r"of a function: (lambda .*\}), with task='classes' and names=\['no', '0'\]\.$", str(error.value))
    model = eval(one[1], {"nl": nl, "state": state}) if one else None
    scores = nl.evaluate_recordings(model, [r], task="classes", names=["no", "0"], target=lambda _: 1)
    found = nl.predict_recording(state, r)["output"][:, 0] > 0.5
    assert scores["confusion"][1].tolist() == [(~found).sum(), found.sum()]


def test_probabilities_of_yes_are_classes() -> None:
    y = np.array([0, 1, 1, 0, 1, -1])
    p = np.array([0.1, 0.7, 0.4, 0.5, np.nan, 0.9], np.float32)
    for found in (p, p[:, None]):
        assert nl.class_scores([y], [found])["confusion"].tolist() == [[2, 0], [1, 1]]
    for true, found in ((y, p + 1), (p, y), (y, p - 0.5)):
        with pytest.raises(ValueError, match="no whole numbers; expected one class a step, or of what is found prob"):
            nl.class_scores([true], [found])
    assert nl.class_scores([[0, 1, 2]], [[0.0, np.nan, 2.0]])["confusion"].tolist() == [[1, 0, 0], [0] * 3, [0, 0, 1]]


def test_labels_that_may_hold_together_are_no_classes_of_steps() -> None:
    y = np.array([[1, 0, 1], [0, 0, 1], [1, 1, 0]])
    with pytest.raises(ValueError, match="0 and 1 of 3 labels that may hold together; expected one at a time"):
        nl.class_scores(y, y * 0.8, names=["MI", "CD", "HYP"])
    one = nl.class_scores(y[:, [0]], y[:, [0]] * 0.8, names=["no", "MI"], people=["a", "b", "b"])
    assert one["confusion"].tolist() == [[1, 0], [0, 2]] and one["gross"]["f1_MI"] == 1


def test_a_recording_without_a_beat_is_told_of_other_tasks() -> None:
    state, r = gated()
    with pytest.warns(UserWarning, match="no recording has a beat among its annotations; expected beats, task='classe"):
        nl.evaluate_recordings(lambda r: nl.predict_recording(state, r), [r])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nl.evaluate_recordings(lambda _: [5], [r, recording("b", [100])])
        nl.evaluate_recordings(lambda _: [5], [r], target=nl.beats)
        nl.evaluate_recordings(lambda _: [5], [recording("b", [100])], skip_start=2)


@pytest.mark.parametrize("num_classes", [1, 3])
def test_one_class_a_window_is_scored_by_what_takes_most_of_the_window(num_classes: int) -> None:
    rng = np.random.default_rng(0)
    r = recording("a", []) | {"signal": rng.standard_normal((6000, 1))}
    y = np.repeat(rng.integers(-1, max(2, num_classes), 60), 100)
    state = nl.gru_seq2one(n_features=1, hid_dim=4, n_layers=1, num_classes=num_classes)
    state["preprocessing"] |= {"sampling_frequency": 100.0, "window": 1.3}
    answer = nl.predict_recording(state, r)
    p, windows = answer["output"], answer["windows"]
    found = (p[:, 0] > 0.5).astype(int) if num_classes == 1 else p.argmax(axis=1)
    share = [[(y[a:b] == k).mean() for k in range(3)] for a, b in windows]
    true = np.where(np.max(share, axis=1) >= 0.5, np.argmax(share, axis=1), -1)
    assert (true < 0).any() and len(windows) == 47
    names = ["x", "y", "z"][: max(2, num_classes)]
    expected = nl.class_scores([true], [found], names=names)["confusion"].tolist()
    for task in ("classes", None):
        scores = nl.evaluate_recordings(state, [r], task=task, target=lambda _: y, names=names)
        assert scores["confusion"].tolist() == expected
    scores = nl.evaluate_recordings(lambda _: answer, [r], task="classes", target=lambda _: true, names=names)
    assert scores["confusion"].tolist() == expected, "a truth of each window does as well"
    scores = nl.evaluate_recordings(state, [r], task="classes", target=lambda _: 1, names=names, skip_start=13)
    counts = np.zeros((len(names), len(names)), int)
    counts[1] = np.bincount(found[10:], minlength=len(names))
    np.testing.assert_array_equal(scores["confusion"], counts)  # and one class for all


def test_denoising_measures_are_those_of_the_benchmark() -> None:
    rng = np.random.default_rng(0)
    y, x, found = rng.standard_normal((3, 512)) + [[0.3], [0.5], [0.2]]
    scores = nl.denoising_scores(y, x, found)
    assert scores["ssd"] == pytest.approx(sum((a - b) ** 2 for a, b in zip(y, found)))
    assert scores["mad"] == pytest.approx(max(abs(a - b) for a, b in zip(y, found)))
    assert scores["prd"] == pytest.approx(100 * math.sqrt(scores["ssd"] / sum((b - y.mean()) ** 2 for b in found)))
    assert scores["cosine_similarity"] == pytest.approx(y @ found / np.linalg.norm(y) / np.linalg.norm(found))
    assert scores["rmse"] == pytest.approx(math.sqrt(scores["ssd"] / 512))
    assert scores["snr_before_db"] == pytest.approx(10 * math.log10(y.var() / (x - y).var()))
    improvement = 10 * math.log10((x - y).var() / (found - y).var())
    assert scores["snr_improvement_db"] == pytest.approx(improvement)
    two = nl.denoising_scores(np.stack([y, y], 1), np.stack([x, x], 1), np.stack([found, y + 1e-3 * x], 1))
    assert two["ssd"] < scores["ssd"] and two["mad"] < scores["mad"]


def test_steps_without_a_value_have_no_part_in_denoising_measures() -> None:
    y, x, found = np.random.default_rng(1).standard_normal((3, 200))
    cut = [side.copy() for side in (y, x, found)]
    for side, i in zip(cut, (3, 50, 99), strict=True):
        side[i] = np.nan
    keep = np.setdiff1d(np.arange(200), [3, 50, 99])
    assert nl.denoising_scores(*cut) == pytest.approx(nl.denoising_scores(y[keep], x[keep], found[keep]))


def test_peaks_that_a_denoiser_loses_and_adds_are_told() -> None:
    y = np.zeros((1000, 2))
    y[[100, 300, 500, 700]] = 1
    found = y.copy()
    found[[300, 800, 900], 0] = 0, 1, 1
    detector = lambda signal: np.flatnonzero(signal > 0.5)
    by_function = nl.denoising_scores(y, y + 0.1, found, peaks=detector, sampling_frequency=100)
    assert (by_function["peaks_kept"], by_function["peaks_added"]) == (0.75, 0.4)
    given_ones = nl.denoising_scores(y, y + 0.1, found, peaks=([100, 300], [101]), sampling_frequency=100)
    assert (given_ones["peaks_kept"], given_ones["peaks_added"]) == (0.5, 0)


def test_denoisers_are_scored_on_recordings_and_compared() -> None:
    rng = np.random.default_rng(0)
    clean = {f"r{i}": np.sin(np.arange(6000) / (5 + i))[:, None] for i in range(6)}
    recordings = [recording(name, []) | {"signal": y + 0.5 * rng.standard_normal(y.shape)} for name, y in clean.items()]

    def shrunk(by: float):
        return lambda r: clean[r["name"]] + by * (r["signal"] - clean[r["name"]])

    a, b = (nl.evaluate_recordings(shrunk(by), recordings, task="denoising", target=lambda r: clean[r["name"]])
            for by in (0.1, 0.5))  # fmt: skip
    assert a["gross"]["snr_improvement_db"] == pytest.approx(20) == a["average"]["snr_improvement_db"]
    compared = nl.compare_recordings(a, b)
    assert compared["average"]["mad"]["difference"] < 0
    assert compared["gross"]["rmse"]["p_value"] == pytest.approx(2 / 64)
    nl.evaluate_recordings(shrunk(0.5), recordings, task="denoising", target=lambda r: clean[r["name"]], skip_start=10)
    assert all(np.isfinite(r["signal"]).all() for r in recordings), "what is skipped stays in the recording"


def test_steps_without_a_noisy_value_count_in_no_measure() -> None:
    clean = np.sin(np.arange(100) / 5)
    noisy, denoised = clean + 0.1, clean + 0.01
    noisy[7], denoised[7] = np.nan, 5
    assert nl.denoising_scores(clean, noisy, denoised)["mad"] == pytest.approx(0.01)


def test_peaks_are_kept_within_the_tolerance_alone() -> None:
    x, peaks = np.sin(np.arange(300.0)), ([100], [110])
    for tolerance, kept in ((0.05, 0), (0.1, 1)):
        scores = nl.denoising_scores(x, x + 1, x + 1, peaks=peaks, sampling_frequency=100, tolerance=tolerance)
        assert scores["peaks_kept"] == kept


@pytest.mark.filterwarnings("error")
def test_noise_where_there_was_none_is_infinitely_worse() -> None:
    x = np.sin(np.arange(300.0))[:, None]
    given = [{"name": name, "signal": x, "sampling_frequency": 100.0} for name in "abc"]
    worse = nl.evaluate_recordings(lambda r: 2 * r["signal"], given, task="denoising", target=lambda r: r["signal"])
    assert worse["average"]["snr_improvement_db"] == -np.inf
    assert worse["intervals"]["average"]["snr_improvement_db"] == (-np.inf, -np.inf)


def test_answers_are_taken_as_they_come_and_what_is_none_is_told() -> None:
    signal, beats = nl.synthetic_ecg(duration=20, sampling_frequency=250, seed=5)
    r = recording("a", beats) | {"signal": np.stack([signal, signal], 1), "sampling_frequency": 250.0}
    assert nl.evaluate_recordings(lambda r: {"events": beats, "gaps": []}, Mine([r]))["gross"]["f1"] == 1
    with pytest.raises(TypeError, match="an answer is a dict of ECG_R_Peaks; expected an array"):
        nl.evaluate_recordings(lambda r: {"ECG_R_Peaks": beats}, [r])
    with pytest.raises(TypeError, match="an answer for a has dtype <U5; expected numbers"):
        nl.evaluate_recordings(lambda r: "clean", [r], task="denoising", target=lambda r: r["signal"])
    with pytest.raises(TypeError, match="target=str is no function of a recording"):
        nl.evaluate_recordings(lambda r: beats, [r], target="N")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="recordings is a int; expected a list of recordings"):
        nl.evaluate_recordings(lambda r: beats, 3)  # type: ignore[arg-type]
    mask = np.zeros(len(signal), int)
    mask[beats] = 1
    with pytest.raises(ValueError, match="the answer for a is a mask of 0 and 1; expected samples: np.flatnonzero"):
        nl.evaluate_recordings(lambda r: mask, [r])


def test_a_denoiser_of_one_channel_is_scored_on_each_of_several() -> None:
    state = nl.gru_seq2seq(n_features=1, hid_dim=2, n_layers=1, task="regression")
    state["preprocessing"]["sampling_frequency"] = 250.0
    signal = np.random.default_rng(0).standard_normal((500, 2))
    r = {"name": "a", "signal": signal, "sampling_frequency": 250.0, "channels": ["I", "II"], "units": ["mV", "mV"]}
    scores = nl.evaluate_recordings(state, [r], target=lambda r: 0.5 * signal)
    by_hand = nl.denoising_scores(0.5 * signal, signal, nl.denoise_recording(state, r)["signal"])
    assert scores["records"][0]["prd"] == pytest.approx(by_hand["prd"])
