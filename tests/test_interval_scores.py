"""What lasts, scored by overlap: against masks and against every pairing, and of recordings."""

import math
import re
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_recording_scores import recording
from test_recording_tasks import gated

import neurallib as nl

COUNTS = ("true_positives", "false_positives", "false_negatives")
SIDES = st.lists(st.integers(0, 300), max_size=14, unique=True).map(lambda s: np.sort(s)[: len(s) // 2 * 2])
SIDE = SIDES.map(lambda edges: edges.reshape(-1, 2) / 2)


def whole(side: np.ndarray, least: float, longest: float) -> np.ndarray:
    """Intervals put together where they are near, then cut, one by one."""
    joined: list[list[float]] = []
    for start, stop in side.tolist():
        if joined and start - joined[-1][1] < least:
            start = joined.pop()[0]
        joined.append([start, stop])
    cut = []
    for start, stop in joined:
        while stop - start > longest:
            cut.append([start, start + longest])
            start += longest
        cut.append([start, stop])
    return np.array(cut).reshape(-1, 2)


@given(SIDE, SIDE, st.sampled_from([0, 3]), st.sampled_from([10, 1000]), st.sampled_from([None, (0, 0), (5, 20)]))
def test_any_overlap_is_what_masks_of_half_seconds_tell(true, found, least: float, longest: float, tolerance) -> None:
    """As SzCORE does it: with a tolerance a found interval has to lie within those around what was found."""
    options = {"min_distance": least, "max_duration": longest, "tolerance": tolerance}
    told = nl.interval_scores(true, found, duration=200, **options)
    ones, others = (whole(side, least, longest) for side in (true, found))
    before, after = (0, 0) if tolerance is None else tolerance
    seen, fine, hits = np.zeros(500, bool), np.zeros(500, bool), 0
    for start, stop in others:
        seen[round(2 * start) + 50 : round(2 * stop) + 50] = True
    for start, stop in ones:
        around = slice(round(2 * (start - before)) + 50, round(2 * (stop + after)) + 50)
        hits += seen[around].any()
        fine[around] |= seen[around].any()
    inside = np.any if tolerance is None else np.all
    false = sum(not inside(fine[round(2 * start) + 50 : round(2 * stop) + 50]) for start, stop in others)
    assert [told[name] for name in COUNTS] == [hits, false, len(ones) - hits]
    assert told["false_positives_per_hour"] == pytest.approx(false * 18)


@given(SIDE, SIDE, st.sampled_from([0, 0.1, 0.3, 0.6]))
def test_pairs_by_iou_are_as_many_as_an_assignment_finds(true, found, iou: float) -> None:
    from scipy.optimize import linear_sum_assignment

    from neurallib.measures.intervals import _matched

    both = np.minimum(true[:, None, 1], found[:, 1]) - np.maximum(true[:, None, 0], found[:, 0])
    share = both / (np.maximum(true[:, None, 1], found[:, 1]) - np.minimum(true[:, None, 0], found[:, 0]))
    worth = np.where((both > 0) & (share >= iou), 100 + share, 0)
    best = worth[linear_sum_assignment(worth, maximize=True)]
    assert worth[_matched(true, found, iou)].sum() == pytest.approx(best.sum())
    n = np.count_nonzero(best)
    assert [nl.interval_scores(true, found, iou=iou)[name] for name in COUNTS] == [n, len(found) - n, len(true) - n]


def test_one_found_over_two_finds_both_and_by_iou_one() -> None:
    two, one = [(10, 20), (25, 60)], [(10, 60)]
    assert nl.interval_scores(two, one)["f1"] == nl.interval_scores(one, two)["f1"] == 1
    assert nl.interval_scores(two, one, iou=0.2)["sensitivity"] == 0.5
    assert nl.interval_scores(two, [(10, 30), (20, 60)])["true_positives"] == 2  # that overlap are one


def test_a_found_one_that_reaches_beyond_the_tolerance_is_false_too() -> None:
    for found, told in (([(70, 130)], [1, 0, 0]), ([(69, 130)], [1, 1, 0]), ([(75, 95)], [1, 0, 0]),
                        ([(150, 171)], [1, 1, 0]), ([(161, 170)], [0, 1, 1])):  # fmt: skip
        scores = nl.interval_scores([(100, 130)], found, tolerance=(30, 30))
        assert [scores[name] for name in COUNTS] == told


def test_events_and_what_find_intervals_gives_are_taken_as_they_come() -> None:
    events = {"sample": np.array([100, 150, 400, 700]), "symbol": ["OA", "N", "H", "OA"], "duration": [10.0, 0, 20, 0]}
    found = nl.find_intervals(np.repeat([0.1, 0.9, 0.1], [45, 5, 50]), 1.0, names=["apnoea"])
    scores = nl.interval_scores(events, found, names=["OA", "H", "apnoea"], sampling_frequency=10, duration=100)
    assert [scores[name] for name in COUNTS] == [1, 0, 1]
    assert math.isnan(nl.interval_scores([], found, names=["apnoea"])["false_positives_per_hour"])
    with pytest.warns(UserWarning, match="found has intervals of apnoea, no: none of them is one of names, seizure"):
        assert nl.interval_scores([(1, 2)], found, names=["seizure"])["sensitivity"] == 0
    for names in (["1"], [1], np.array([1])):
        assert nl.interval_scores([(1, 2)], nl.find_intervals([0, 1], 1.0), names=names)["f1"] == 1


def test_frames_of_pandas_are_taken_as_their_columns() -> None:
    pd = pytest.importorskip("pandas", reason="comes with the extra wfdb")
    frame = pd.DataFrame({"sample": [100, 150], "symbol": ["OA", "N"], "duration": [10.0, 0]})
    for table in (frame, pd.DataFrame({"onset": [10.0], "duration": [10.0], "name": ["OA"]}, index=["a"])):
        assert nl.interval_scores(table, [(12, 13)], names=["OA"], sampling_frequency=10)["f1"] == 1
    assert nl.interval_scores(pd.DataFrame([[12, 13]]), [(12, 13)])["f1"] == 1


@pytest.mark.parametrize(
    "call, error, told",
    [
        (lambda e: nl.interval_scores(e, [], names=["OA"]), ValueError, "expected its sampling_frequency"),
        (lambda e: nl.interval_scores(e, [], sampling_frequency=10), ValueError, "of N, OA; expected names="),
        (lambda e: nl.interval_scores(e, [], names=["N"], sampling_frequency=10), ValueError, "1 events of N of true"),
        (lambda e: nl.interval_scores([], e, names="OA"), TypeError, "names is one text, 'OA'"),
        (lambda e: nl.interval_scores({"events": e}, []), TypeError, "true is a dict of events; expected onset"),
        (lambda e: nl.interval_scores({"onset": [1], "duration": [2]}, []), TypeError, "a dict of onset, duration"),
        (lambda e: nl.interval_scores([1, 2], []), TypeError, r"true has shape \(2,\) of int64; expected \[n, 2\]"),
        (lambda e: nl.interval_scores([(5, 2)], []), ValueError, "from 5 to 2 s; expected one that ends after"),
        (lambda e: nl.interval_scores([], [(5, 90)], duration=60), ValueError, "last interval ends at 90 s"),
        (lambda e: nl.interval_scores([], [], iou=0.2, tolerance=3), ValueError, "expected one of them"),
        (lambda e: nl.interval_scores([], [], tolerance=(1, 2, 3)), ValueError, "expected seconds, or seconds before"),
        (lambda e: nl.interval_scores([], [], iou=2), ValueError, "iou=2"),
        (lambda e: nl.interval_scores([], nl.find_intervals([0, 1], 1.0), names=["a"]), ValueError,
         re.escape("found has intervals of 0, 1, without names: find_intervals(..., names=)")),
    ],
)  # fmt: skip
def test_what_cannot_be_scored_is_named(call, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        call({"sample": [10, 30], "symbol": ["OA", "N"], "duration": [5.0, 0.0]})


def night(name: str, person: str, apnoeas: list[tuple[float, float]]) -> dict:
    """Ten minutes of zeros at 10 Hz."""
    events = {"sample": [int(10 * start) for start, _ in apnoeas], "symbol": ["apnoea"] * len(apnoeas),
              "duration": [stop - start for start, stop in apnoeas]}  # fmt: skip
    return recording(name, [], person, n=6000) | {"sampling_frequency": 10.0, "events": events}


def test_recordings_are_scored_by_their_intervals_over_people() -> None:
    nights = [night("a1", "a", [(20, 40), (100, 130)]), night("a2", "a", []), night("b", "b", [(300, 315)])]
    found = {"a1": [(15, 30), (200, 210)], "a2": [(5, 50)], "b": [(310, 330), (400, 420)]}
    options = {"task": "intervals", "names": ["apnoea"]}
    told = nl.evaluate_recordings(lambda r: found[r["name"]], nights, **options)
    assert [[row[name] for name in COUNTS] for row in told["records"]] == [[1, 1, 1], [0, 1, 0], [1, 1, 0]]
    assert told["gross"]["f1"] == 4 / 8 and told["gross"]["false_positives_per_hour"] == 6
    assert told["average"]["sensitivity"] == 0.75 and "sensitivity" in told["intervals"]["gross"]
    assert told["table"].splitlines()[2].startswith("| a2") and "FP/h" in told["table"]
    strict = nl.evaluate_recordings(
        lambda r: found[r["name"]], nights, interval_options={"tolerance": (5, 15)}, skip={"a2": [(2, 30)]}, **options
    )
    assert [[row[name] for name in COUNTS] for row in strict["records"]] == [[1, 1, 1], [0, 0, 0], [1, 1, 0]]
    assert strict["records"][1]["hours"] == pytest.approx(572 / 3600)
    compared = nl.compare_recordings(told, nl.evaluate_recordings(lambda r: [], nights, **options))
    assert compared["gross"]["sensitivity"]["a"] == 2 / 3 and compared["people"] == 2
    assert np.isnan(compared["gross"]["positive_predictive_value"]["p_value"]), "of nothing that was found"
    assert nl.plot_record_scores(told).axes[0].get_xlabel() == "f1"


def test_an_answer_may_be_intervals_steps_or_windows() -> None:
    true = night("a", "a", [(20, 40), (100, 130)])
    steps = np.zeros(6000)
    steps[250:380] = steps[5000:5100] = 0.9
    steps[300:303] = np.nan
    windows = {"output": (np.arange(20) % 17 == 1)[:, None] * 0.8, "outputs": ["yes"],
               "windows": np.stack([np.arange(20) * 300, np.arange(20) * 300 + 300], 1)}  # fmt: skip
    several = np.stack([1 - np.nan_to_num(steps), np.nan_to_num(steps)], axis=1)
    answers = (steps, steps[:, None], (steps > 0.5).astype(int), torch.from_numpy(steps), {"output": steps}, windows,
               nl.find_intervals(steps, 10.0, names=["apnoea"]), [(20, 30), (500, 510)],
               {"output": several, "outputs": ["none", "apnoea"]},
               {"output": 2 * (steps > 0.5), "outputs": ["none", "arousal", "apnoea"]},
               true["events"] | {"sample": [250, 5000]})  # fmt: skip
    for answer in answers:
        told = nl.evaluate_recordings(lambda r, a=answer: a, [true], task="intervals", names=["apnoea"])
        assert [told["records"][0][name] for name in COUNTS] == [1, 1, 1]
    target = partial(nl.interval_target, classes={"apnoea": 1}, background=0)
    told = nl.evaluate_recordings(lambda r: r["events"], [true], task="intervals", names=["apnoea"], target=target)
    assert told["gross"]["f1"] == 1


@pytest.mark.parametrize("threshold, hit", [(0.5, 1), (0.95, 0)])
def test_a_binary_state_finds_intervals_of_its_output(threshold: float, hit: int) -> None:
    state, r = gated(threshold=threshold)
    told = nl.evaluate_recordings(state, [r], task="intervals", interval_options={"iou": 0.9})
    assert [told["records"][0][name] for name in COUNTS] == [hit, 0, 1 - hit]
    nameless = state | {"postprocessing": {**state["postprocessing"], "outputs": None}}
    with pytest.raises(ValueError, match="names of the intervals are not known; expected names="):
        nl.evaluate_recordings(nameless, [r], task="intervals")


def test_which_of_several_classes_the_intervals_are_has_to_be_said() -> None:
    state = nl.gru_seq2seq(n_features=1, hid_dim=2, n_layers=1, num_classes=3)
    state["postprocessing"]["outputs"] = ["N", "AFIB", "AFL"]
    state["preprocessing"]["sampling_frequency"] = 10.0
    state["weights"]["fc_out.bias"] = torch.tensor([0.0, 9.0, 0.0])
    r = night("a", "a", [(0, 300)]) | {"events": {"sample": [0], "symbol": ["AFIB"], "duration": [300.0]}}
    for names in (None, ["AF"]):
        with pytest.raises(ValueError, match="expected which of the state's outputs are the intervals: N, AFIB, AFL"):
            nl.evaluate_recordings(state, [r], task="intervals", names=names)
    told = nl.evaluate_recordings(state, [r], task="intervals", names=["AFIB"], interval_options={"iou": 0.5})
    assert told["gross"]["f1"] == 1
    score = partial(nl.evaluate_recordings, state, [r], task="intervals", names=["AFIB"])
    assert score(target=lambda r: np.repeat([1, 2], 3000), interval_options={"iou": 0.5})["gross"]["f1"] == 1
    r["events"]["symbol"] = ["AFL"]
    for model in (state, partial(nl.predict_recording, state)):  # that nothing of it is found was told as a wrong name
        told = nl.evaluate_recordings(model, [r], task="intervals", names=["AFL"])
        assert [told["records"][0][name] for name in COUNTS] == [0, 0, 1]


def test_what_is_no_answer_of_intervals_and_options_of_another_task_are_told() -> None:
    r = night("a", "a", [(20, 40)])
    score = partial(nl.evaluate_recordings, recordings=[r], task="intervals", names=["apnoea"])
    with pytest.raises(ValueError, match=r"answer for a has an interval that ends at 4000 s; expected seconds"):
        score(lambda r: [(200, 4000), (20, 30)])
    with pytest.raises(ValueError, match=r"answer for a has 20 values; expected 6000, or intervals \[n, 2\] in sec"):
        score(lambda r: np.zeros(20))
    with pytest.raises(ValueError, match=r"tolerance .* task='intervals'; expected interval_options=\{'tolerance'"):
        score(lambda r: [], tolerance=30)
    with pytest.raises(ValueError, match="interval_options is of intervals, and task='events'"):
        nl.evaluate_recordings(lambda r: [], [r], interval_options={"iou": 0.2})
    with pytest.raises(ValueError, match="interval_options, which names='IoU'; expected one of 'iou', .* mean 'iou'"):
        score(lambda r: [], interval_options={"IoU": 0.2})
    with pytest.raises(TypeError, match="interval_options=0.2; expected a mapping"):
        score(lambda r: [], interval_options=0.2)
    with pytest.raises(ValueError, match="a says no events, not even that there are none"):
        nl.evaluate_recordings(lambda r: [], [r | {"events": None}], task="intervals", names=["apnoea"])
    with pytest.warns(UserWarning) as told:
        score(lambda r: nl.find_intervals([0, 1], 1.0, names=["wake", "sleep"]), names=["apnea"])
    texts = " ".join(str(each.message) for each in told)
    assert "the events of a are apnoea: none of them is one of names, apnea" in texts
    assert "the intervals that were found are sleep, wake: none is one of names, apnea" in texts
    assert "no recording has apnea among its annotations; expected names=, as" in texts


def test_what_flickers_is_found_as_options_say() -> None:
    """It had been scored as many short ones, of which none is large enough by iou."""
    state, r = gated()
    r["signal"][2000:4000:100] = 0
    on = np.where(r["signal"][:, 0] > 0, 0.9, 0.1)
    score = partial(nl.evaluate_recordings, recordings=[r], task="intervals", names=["seizure"])
    two = {"output": np.stack([1 - on, on], 1), "outputs": ["none", "seizure"]}
    for model in (state, lambda _: on, lambda _: two):
        assert score(model, interval_options={"iou": 0.9})["gross"]["f1"] == 0
        for option in ({"min_duration": 1.0}, {"smoothing": 0.2}):
            told = score(model, interval_options={"iou": 0.9, **option})
            assert [told["records"][0][name] for name in COUNTS] == [1, 0, 0]
    short = {"interval_options": {"iou": 0.9, "min_duration": 99.0}, "target": lambda _: on}
    assert score(lambda _: on, **short)["records"][0]["false_negatives"] == 20, "the truth stays as it is given"
    with pytest.raises(ValueError, match="has min_duration, and the answer for a has intervals already; expected them"):
        score(lambda _: [(20, 40)], interval_options={"min_duration": 1.0})
    with pytest.raises(ValueError, match="min_duration=-1; expected"):
        score(state, interval_options={"min_duration": -1})


def test_samples_and_seconds_that_were_mixed_up_are_told() -> None:
    """A night scored in epochs, whose moments are seconds, or whose durations are samples."""
    epochs, rate = np.arange(0, 60, 3), 100
    wake = {"names": ["wake"]}
    for sample, duration in ((epochs, 3.0), (epochs * rate, 3.0 * rate)):
        events = {"sample": sample, "symbol": ["wake"] * 20, "duration": np.full(20, duration)}
        r = recording("a", []) | {"events": events}
        for score in (lambda r: nl.interval_target(r, ["wake"]),
                      lambda r: nl.evaluate_recordings(lambda _: np.zeros(6000, int), [r], task="classes", **wake),
                      lambda r: nl.evaluate_recordings(lambda _: [], [r], task="intervals", **wake)):  # fmt: skip
            with pytest.raises(ValueError, match="events of a that are of .* overlap: .* times as .* until the next"):
                score(r)


def test_flutter_is_scored_where_it_is_what_is_looked_for() -> None:
    r = recording("a", [0, 2000, 2001, 4000], symbols=["(N", "(VFL", "[", "]"])
    r["events"]["duration"] = np.array([20.0, 40.0, 20.0, 0.0])
    told = nl.evaluate_recordings(lambda r: [(25, 30)], [r], task="intervals", names=["(VFL"])
    assert told["gross"]["sensitivity"] == 1
    found = np.repeat([0, 1], [2000, 4000])
    classes = nl.evaluate_recordings(lambda r: found, [r], task="classes", names=["(N", "(VFL"])
    assert classes["confusion"].tolist() == [[2000, 0], [0, 4000]]


def test_events_of_other_names_than_beats_are_the_truth_where_names_are_given() -> None:
    """As breaths, or the ventricular ones among beats; they had been all beats, whatever was asked for."""
    r = recording("a", [500, 1000, 1500, 2000], symbols=["N", "V", "breath", "breath"])
    for names, counts in ((None, [2, 2, 0]), (["V"], [1, 3, 0]), (["breath"], [2, 2, 0]), (["breath", "V"], [3, 1, 0])):
        told = nl.evaluate_recordings(lambda r: [500, 1000, 1500, 2000], [r], names=names)
        assert [told["records"][0][name] for name in COUNTS] == counts
    with pytest.warns(UserWarning, match="no recording has Breath among its annotations; expected names="):
        with pytest.warns(UserWarning, match="N, V, breath: none of them is one of names, Breath"):
            nl.evaluate_recordings(lambda r: [], [r], names=["Breath"])
    with pytest.raises(TypeError, match="names is one text, 'V'; expected a list of names"):
        nl.evaluate_recordings(lambda r: [], [r], names="V")
