"""Measures of recordings: against wfdb, against loops over people, and by what they must not depend on."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_answers import known_detector

import neurallib as nl
from neurallib.measures import by_person
from neurallib.measures.events import detection_sums

RATE = 100.0


def recording(name: str, true: np.ndarray, person: str | None = None, symbols: list[str] | None = None, n: int = 6000):
    events = {"sample": np.asarray(true), "symbol": ["N"] * len(true) if symbols is None else symbols}
    return {"name": name, "person": person, "signal": np.zeros((n, 1), np.float32), "sampling_frequency": RATE,
            "events": events}  # fmt: skip


def detections(seed: int, missed: float = 0.1) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Eight recordings of five people, and what a detector that misses and invents finds in each."""
    rng = np.random.default_rng(seed)
    recordings, found = [], {}
    for i in range(8):
        true = np.cumsum(rng.integers(60, 110, 60))
        true = true[true < 5900]
        kept = true[rng.random(len(true)) > missed] + rng.integers(-8, 12)
        found[f"r{i}"] = np.unique(np.append(kept, rng.integers(0, 6000, 3)))
        recordings.append(recording(f"r{i}", true, f"p{i % 5}"))
    return recordings, found


def test_matching_agrees_with_wfdb_where_its_own_is_one_to_one() -> None:
    processing = pytest.importorskip("wfdb.processing")
    rng, compared = np.random.default_rng(0), 0
    for _ in range(20):
        true = np.cumsum(rng.integers(120, 400, 300))
        found = true[rng.random(300) > 0.1] + rng.integers(-50, 51)
        extra = rng.choice(true[:-1], 20, replace=False) + 60  # between beats, no rival of any within the window
        found = np.unique(np.append(found, extra[np.abs(extra[:, None] - found).min(1) > 54]))
        theirs = processing.compare_annotations(true, found, 55)
        if len(set(theirs.matched_test_inds)) < theirs.tp:
            continue
        ours = nl.peak_scores(true, found, sampling_frequency=360, tolerance=54 / 360)
        counts = [ours[name] for name in ("true_positives", "false_positives", "false_negatives")]
        assert counts == [theirs.tp, theirs.fp, theirs.fn]
        compared += 1
    assert compared >= 10


def test_records_gross_and_average_are_what_they_say() -> None:
    recordings, found = detections(1)
    result = nl.evaluate_recordings(lambda r: found[r["name"]], iter(recordings))
    each = [
        nl.peak_scores(r["events"]["sample"], found[r["name"]], sampling_frequency=RATE, tolerance=0.15)
        for r in recordings
    ]
    for row, scores in zip(result["records"], each, strict=True):
        for name in ("sensitivity", "positive_predictive_value", "f1", "true_positives", "false_negatives"):
            assert row[name] == scores[name]
        assert row["false_positives_per_hour"] == pytest.approx(scores["false_positives"] * 60)
    hits, missed = (sum(scores[name] for scores in each) for name in ("true_positives", "false_negatives"))
    assert result["gross"]["sensitivity"] == hits / (hits + missed)
    assert result["average"]["f1"] == pytest.approx(np.mean([scores["f1"] for scores in each]))
    low, high = result["intervals"]["gross"]["f1"]
    assert low < result["gross"]["f1"] < high


def test_timing_error_is_found_minus_true_in_milliseconds() -> None:
    true = np.arange(100, 5000, 100)
    found = true + np.resize([1, 5], len(true))
    gross = nl.evaluate_recordings(lambda _: found, [recording("a", true)])["gross"]
    errors = (found - true) * 10
    assert gross["timing_bias_ms"] == pytest.approx(errors.mean())
    assert gross["timing_sd_ms"] == pytest.approx(errors.std())


def test_the_tolerance_curve_matches_anew_at_each_tolerance() -> None:
    true = np.arange(100, 5000, 100)
    result = nl.evaluate_recordings(lambda _: true + np.resize([2, 5, 14, 16], len(true)), [recording("a", true)])
    curve = {row["tolerance"]: row["sensitivity"] for row in result["tolerance_curve"]}
    assert list(curve) == [0.025, 0.05, 0.075, 0.1, 0.125, 0.15]
    assert curve[0.025] == pytest.approx(13 / 49) and curve[0.05] == pytest.approx(25 / 49)
    assert curve[0.15] == pytest.approx(37 / 49) == result["gross"]["sensitivity"]


@given(
    st.lists(st.integers(0, 300), max_size=12), st.lists(st.integers(0, 300), max_size=12),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400)), max_size=3),
)  # fmt: skip
def test_what_is_skipped_counts_neither_as_true_nor_as_found(true: list, found: list, skip: list) -> None:
    out = np.zeros(302, bool)
    for low, high in skip:
        out[low:high] = True
    tp, fp, fn, hours, *_ = detection_sums(np.array(sorted(true), int), np.array(sorted(found), int), 10.0, 301,
                                           np.array(skip, int).reshape(-1, 2), [0.5])[0]  # fmt: skip
    i, j = nl.match_peaks(sorted(true), sorted(found), 5)
    scored = [k for k in i if not out[sorted(true)[k]]]
    assert (tp, fn) == (len(scored), sum(not out[k] for k in true) - len(scored))
    assert fp == sum(not out[sorted(found)[k]] for k in set(range(len(found))) - set(j.tolist()))
    assert hours == pytest.approx((301 - out[:301].sum()) / 36000)


def test_learning_time_flutter_gaps_and_named_stretches_are_not_scored() -> None:
    true = np.array([500, 1500, 2000, 2500, 3500, 4500, 5500])
    r = recording("a", true, symbols=["N", "N", "[", "!", "]", "N", "N"])
    r["signal"][5400:5600] = np.nan

    def missed(**options) -> int:
        return nl.evaluate_recordings(lambda _: [5], [r], **options)["records"][0]["false_negatives"]

    assert missed(skip_flutter=False, skip_gaps=False) == 4  # "[", "]" and "!" are no beats
    r["events"]["symbol"][3] = "V"
    assert missed(skip_flutter=False, skip_gaps=False) == 5
    assert missed(skip_gaps=False) == 4
    assert missed() == 3
    assert missed(skip_start=10) == 2
    assert missed(skip_start=10, skip={"a": [(40.0, 46.0)], "b": [(0, 60)]}) == 1
    assert missed(skip=lambda recording: [(0.0, 60.0)]) == 0
    r["events"]["symbol"][4] = "N"
    assert missed() == 2  # flutter that does not end goes on to the end
    hours = nl.evaluate_recordings(lambda _: [5], [r], skip_start=3)["records"][0]["hours"]
    assert hours == pytest.approx(17 / 3600)


def test_intervals_come_from_drawing_people_with_all_their_recordings() -> None:
    recordings, found = detections(3)
    result = nl.evaluate_recordings(lambda r: found[r["name"]], recordings, n_bootstrap=4000)
    counts = {row["name"]: np.array([row["true_positives"], row["false_negatives"]]) for row in result["records"]}
    everyone = [f"p{k}" for k in range(5)]
    means = []
    for drawn in itertools.product(everyone, repeat=5):
        tp, fn = sum(counts[r["name"]] for who in drawn for r in recordings if r["person"] == who)
        means.append(tp / (tp + fn))
    low, high = result["intervals"]["gross"]["sensitivity"]
    np.testing.assert_allclose((low, high), np.quantile(means, [0.025, 0.975]), atol=0.004)
    alone = nl.evaluate_recordings(lambda r: found[r["name"]], recordings[:1])
    assert all(math.isnan(end) for end in alone["intervals"]["gross"]["f1"])


def test_a_paired_test_swaps_people_in_every_way() -> None:
    (recordings, good), (_, bad) = detections(3), detections(3, missed=0.3)
    a, b = (nl.evaluate_recordings(lambda r, f=found: f[r["name"]], recordings) for found in (good, bad))
    compared = nl.compare_recordings(a, b)
    assert compared["people"] == 5

    def rows(result: dict) -> np.ndarray:
        return np.array([[row[name] for name in ("true_positives", "false_positives", "false_negatives")]
                         for row in result["records"]])  # fmt: skip

    def f1(sums: np.ndarray) -> float:
        return 2 * sums[0] / (2 * sums[0] + sums[1] + sums[2])

    people = np.array([i % 5 for i in range(8)])
    differences, means = [], []
    for swap in itertools.product([False, True], repeat=5):
        turned = np.array(swap)[people][:, None]
        first, second = np.where(turned, rows(b), rows(a)), np.where(turned, rows(a), rows(b))
        differences.append(f1(first.sum(0)) - f1(second.sum(0)))
        means.append(np.mean([f1(one) - f1(other) for one, other in zip(first, second, strict=True)]))
    row = compared["gross"]["f1"]
    assert row["difference"] == pytest.approx(differences[0]) == pytest.approx(a["gross"]["f1"] - b["gross"]["f1"])
    assert row["p_value"] == pytest.approx((np.abs(differences) >= abs(differences[0]) - 1e-12).mean())
    assert row["low"] < row["difference"] < row["high"]
    p_value = (np.abs(means) >= abs(means[0]) - 1e-12).mean()
    assert compared["average"]["f1"]["p_value"] == pytest.approx(p_value)
    assert compared["average"]["f1"]["difference"] == pytest.approx(a["average"]["f1"] - b["average"]["f1"])
    turned_order = nl.evaluate_recordings(lambda r: bad[r["name"]], recordings[::-1])
    assert nl.compare_recordings(a, turned_order)["gross"]["f1"] == pytest.approx(row)
    same = nl.compare_recordings(a, a)
    assert {value["p_value"] for kind in ("gross", "average") for value in same[kind].values()} == {1.0}


def test_two_models_that_are_scored_on_other_truths_are_told() -> None:
    """One by windows and one by steps, or with other things to find: the difference is not theirs alone."""
    true = [np.repeat([0, 1, 0], 20), np.repeat([1, 0, 1], 20)]
    by_step, by_window = (nl.class_scores([one[::n] for one in true], [one[::n] for one in true]) for n in (1, 20))
    r = recording("a", [100, 300])
    found = [nl.evaluate_recordings(lambda _: [100], [r], target=lambda _, t=true: t) for true in ([100], [100, 300])]
    for a, b, told in ((by_step, by_window, "2 of 2 records, of '0' on 60 and 3 steps"),
                       (*found, "1 of 1 records, of 'a' on 1 and 2 events")):  # fmt: skip
        with pytest.warns(UserWarning, match=f"not scored on the same truth in {told}; expected the same target"):
            nl.compare_recordings(a, b)
        nl.compare_recordings(a, a)


def test_draws_in_blocks_tell_what_all_at_once_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of the thousands of people of a large study, for whom memory would not do."""
    rng = np.random.default_rng(0)
    true = rng.integers(0, 3, (30, 9))
    found = [np.where(rng.random(true.shape) < share, true, rng.integers(0, 3, true.shape)) for share in (0.6, 0.5)]
    told = []
    for size in (1 << 22, 30 * 7, 1):
        monkeypatch.setattr(by_person, "BLOCK", size)
        a, b = (nl.class_scores(true, one, n_bootstrap=50) for one in found)
        compared = nl.compare_recordings(a, b, n_resamples=99)
        for kind in ("gross", "average"):
            told.append([[*a["intervals"][kind][name], *row.values()] for name, row in compared[kind].items()])
    np.testing.assert_allclose(told[2:], told[:2] * 2, rtol=1e-9, atol=1e-12)  # but for the rounding of sums


def test_random_swaps_tell_nearly_what_all_swaps_tell() -> None:
    (recordings, good), (_, bad) = detections(5), detections(5, missed=0.12)
    a, b = (nl.evaluate_recordings(lambda r, f=found: f[r["name"]], recordings) for found in (good, bad))
    exact, drawn = nl.compare_recordings(a, b, n_resamples=9000), nl.compare_recordings(a, b, n_resamples=31)
    assert exact["gross"]["f1"]["p_value"] * 32 == pytest.approx(round(exact["gross"]["f1"]["p_value"] * 32))
    assert drawn["gross"]["f1"]["p_value"] == pytest.approx(exact["gross"]["f1"]["p_value"], abs=0.25)


def test_a_p_value_of_random_swaps_is_never_zero() -> None:
    true = [[0, 1, 0, 1]] * 40
    right, wrong = (nl.class_scores(true, [answer] * 40) for answer in ([0, 1, 0, 1], [1, 0, 0, 1]))
    assert nl.compare_recordings(right, wrong, n_resamples=99)["gross"]["accuracy"]["p_value"] == 0.01


def test_the_table_has_the_worst_record_first_and_ends_with_gross_and_average() -> None:
    recordings, found = detections(1)
    result = nl.evaluate_recordings(lambda r: found[r["name"]], recordings)
    first = [line.split(" | ")[0].strip("| *") for line in result["table"].splitlines()]
    by_f1 = sorted(result["records"], key=lambda row: row["f1"])
    assert first == ["record", "---", *(row["name"] for row in by_f1), "gross", "average"]
    assert " to " in result["table"].splitlines()[-2]


def test_a_state_and_probabilities_are_scored_as_their_events() -> None:
    signal, r_peaks = nl.synthetic_ecg(duration=30, sampling_frequency=250, seed=3)
    r = {"name": "a", "signal": signal[:, None], "sampling_frequency": 250.0,
         "events": {"sample": r_peaks, "symbol": ["N"] * len(r_peaks)}}  # fmt: skip
    state = known_detector(250.0, threshold=0.9, min_distance=0.3)
    assert nl.evaluate_recordings(state, [r], tolerance=0.012)["gross"]["f1"] == 1
    labels = nl.peak_labels(r_peaks, len(signal), 3)
    for answer in (labels, {"output": labels[:, None]}, r_peaks[::-1]):
        assert nl.evaluate_recordings(lambda _, a=answer: a, [r], tolerance=0.005)["gross"]["f1"] == 1
    moved = nl.evaluate_recordings(lambda _: [*r_peaks, 7499], [r], target=lambda _: [*(r_peaks + 1), 7500])
    assert moved["gross"]["timing_bias_ms"] == pytest.approx(-4)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda r, f: nl.evaluate_recordings(f, []), ValueError, "recordings is empty"),
        (lambda r, f: nl.evaluate_recordings(f, [r, r]), ValueError, "holds 'a' twice"),
        (lambda r, f: nl.evaluate_recordings(f, r), TypeError, "recordings is one recording"),
        (lambda r, f: nl.evaluate_recordings(f, [3]), TypeError, r"recordings\[0\] is a int"),
        (lambda r, f: nl.evaluate_recordings(lambda _: [1.5], [r]), TypeError, "answer for a has 1 floats"),
        (lambda r, f: nl.evaluate_recordings(lambda _: None, [r]), TypeError, "an answer is None; expected an array"),
        (lambda r, f: nl.evaluate_recordings(lambda _: 3.5, [r]), TypeError, "answer for a has 1 floats"),
        (lambda r, f: nl.evaluate_recordings(f, [r], task="beats"), ValueError, "task='beats'; expected one of"),
        (lambda r, f: nl.evaluate_recordings(f, [r], task="denoising"), ValueError, "target is not given"),
        (lambda r, f: nl.evaluate_recordings(f, [r], task="classes"), ValueError, "names of the classes"),
        (lambda r, f: nl.evaluate_recordings(f, [r | {"events": None}]), ValueError, "a has no annotation"),
        (lambda r, f: nl.evaluate_recordings(f, [r | {"events": {"sample": [0.5, 1.0], "symbol": "NN"}}]), TypeError,
         "the events of a are at 0.5, 1.0; expected whole samples"),
        (lambda r, f: nl.evaluate_recordings(f, [r | {"events": {"sample": [9, 7000], "symbol": "NN"}}]), ValueError,
         "1 of 2 events of a lie outside its 6000 samples, the first at 7000"),
        (lambda r, f: nl.evaluate_recordings(lambda _: [9, 7000], [r]), ValueError, "answer for a goes from 9 to 7000"),
        (lambda r, f: nl.evaluate_recordings(lambda _: [-9, 70], [r]), ValueError, "answer for a goes from -9 to 70"),
        (lambda r, f: nl.compare_recordings({}, {}), TypeError, "a is a dict; expected what evaluate_recordings"),
        (lambda r, f: nl.compare_recordings(*(nl.evaluate_recordings(f, [r | {"name": n}]) for n in "ab")), ValueError,
         "a and b are of different recordings: a, b"),
        (lambda r, f: nl.class_scores([[0, 1]], [[0]]), ValueError, "has 2 true and 1 found classes"),
        (lambda r, f: nl.class_scores([[0, 5]], [[0, 1]], names=["x"]), ValueError, "there is a class 5"),
        (lambda r, f: nl.class_scores([[-1]], [[1]]), ValueError, "no step has a known class"),
        (lambda r, f: nl.class_scores([["N"]], [["V"]]), TypeError, "<U1; expected whole numbers, such as"),
        (lambda r, f: nl.class_scores([[0]], [[1]], names=[*"aba"]), ValueError, "names holds a twice"),
        (lambda r, f: nl.class_scores([[0]], [[1]], people=[math.nan]), ValueError, "person of 'recording 0' is nan"),
        (lambda r, f: nl.evaluate_recordings(f, [r | {"person": math.nan}]), ValueError, "person of 'a' is nan"),
        (lambda r, f: nl.denoising_scores(np.ones(3), np.ones(3), np.ones(4)), ValueError, r"denoised \(4, 1\)"),
        (lambda r, f: nl.denoising_scores(*[np.ones(3)] * 3, peaks=len), ValueError, "without a sampling_frequency"),
    ],
)  # fmt: skip
def test_what_cannot_be_measured_is_named(call, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(recording("a", np.array([100])), lambda _: np.array([100]))


def test_one_class_for_each_recording_is_scored_by_person() -> None:
    """As seq2one answers: a list, an array or a column of classes, found as classes or as probabilities."""
    pd = pytest.importorskip("pandas", reason="comes with the extra wfdb")
    rng, people = np.random.default_rng(0), [7, "7", 8.0, 9, 9]
    true, p = np.array([0, 2, 1, -1, 0]), rng.dirichlet(np.ones(3), 5)
    expected = nl.class_scores([true[[0, 1]], true[[2]], true[[3, 4]]], [p[[0, 1]], p[[2]], p[[3, 4]]])
    for found in (p, list(p), p.argmax(1), pd.Series(p.argmax(1)), pd.DataFrame(p)):
        scores = nl.class_scores(pd.Series(true) if found is p else true, found, people=people)
        assert [row["person"] for row in scores["records"]] == ["7", "8", "9"]
        for kind in ("gross", "average"):
            np.testing.assert_equal(scores[kind], {name: expected[kind][name] for name in scores[kind]})
    yes = nl.class_scores([0, 1, 1], np.array([[0.2], [0.7], [0.4]]), people=list("abc"))
    assert yes["confusion"].tolist() == [[1, 0], [1, 1]]


def test_classes_without_names_are_called_by_their_numbers() -> None:
    assert nl.class_scores([[0, 0]], [[0, 0]])["names"] == ["0"]
    assert nl.class_scores([[0, 1]], [[0, 0]])["names"] == ["0", "1"]
    assert nl.class_scores([[0, 0]], [[0, 0]], names=["seizure"])["names"] == ["no", "seizure"]
