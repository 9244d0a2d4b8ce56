"""From outputs to answers: events, intervals, heart rates and R-peaks, against plain loops over single steps."""

import functools
import math
import re

import numpy as np
import pytest
import torch
from answer_cases import ecg_recording, known_detector
from hypothesis import given
from hypothesis import strategies as st

import neurallib as nl
from neurallib.signals import event_finding, intervals, outputs

LEVELS = st.lists(st.sampled_from([math.nan, 0.0, 0.3, 0.6, 0.6, 0.7, 0.9, 1.0]), max_size=80)
CLASSES = st.lists(st.integers(-1, 2), max_size=50)


def mean_around(values: np.ndarray, half: int) -> np.ndarray:
    """Each step's mean over those up to `half` away that no gap lies before, one by one."""
    found = np.full(len(values), np.nan)
    for i in np.flatnonzero(~np.isnan(values)):
        low, high = i, i
        while low > max(i - half, 0) and not np.isnan(values[low - 1]):
            low -= 1
        while high < min(i + half, len(values) - 1) and not np.isnan(values[high + 1]):
            high += 1
        found[i] = values[low : high + 1].mean()
    return found


def events_one_by_one(values: np.ndarray, threshold: float, distance: int) -> list[int]:
    events, i = [], 0
    while i < len(values):
        j = i
        while j < len(values) and values[j] > threshold:
            j += 1
        if j > i:
            highest = [k for k in range(i, j) if values[k] == values[i:j].max()]
            events.append(highest[(len(highest) - 1) // 2])
        i = max(j, i + 1)
    kept: list[int] = []
    for event in sorted(events, key=lambda k: (-values[k], k)):
        if all(abs(event - other) >= distance for other in kept):
            kept.append(event)
    return sorted(kept)


@given(LEVELS, st.integers(0, 12), st.sampled_from([7, 1 << 20]))
def test_events_are_those_of_a_loop_over_steps_however_the_output_is_cut(
    levels: list[float], distance: int, part: int
) -> None:
    values = np.array(levels, dtype=float)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(event_finding, "PART", part)
        found = nl.find_events(values, 10.0, threshold=0.5, min_distance=distance / 10)
    assert found.tolist() == events_one_by_one(values, 0.5, distance) and found.dtype == np.int64


@given(LEVELS, st.integers(0, 9), st.sampled_from([7, 1 << 20]))
def test_smoothed_probabilities_are_means_that_stop_at_gaps(levels: list[float], half: int, part: int) -> None:
    values = np.array(levels, dtype=float)
    parts = [outputs.smoothed(values, low, min(low + part, len(values)), half) for low in range(0, len(values), part)]
    got = np.concatenate([*parts, []])
    np.testing.assert_allclose(got, mean_around(values, half), atol=1e-9)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(event_finding, "PART", part)
        found = nl.find_events(values, 10.0, smoothing=half / 5, min_distance=0.5)
    assert found.tolist() == events_one_by_one(got, 0.5, 5)


def test_an_event_at_the_first_and_at_the_last_sample_is_found() -> None:
    output = np.zeros(100)
    output[0], output[-2:] = 0.9, (0.7, 0.8)
    assert nl.find_events(output, 100).tolist() == [0, 99]
    assert nl.find_events(np.ones(9), 100).tolist() == [4]
    assert len(nl.find_events(np.zeros(0), 100)) == 0


def test_the_smoothed_top_of_a_box_is_its_middle() -> None:
    output = np.zeros((60, 1), np.float32)
    output[20:31] = 1.0
    for seconds in (0, 0.05, 0.2):
        assert nl.find_events(output, 100, smoothing=seconds).tolist() == [25]
    whole = outputs.smoothed(output[:, 0], 0, 60, 5)
    np.testing.assert_array_equal(outputs.smoothed(output[:, 0], 12, 30, 5), whole[12:30])


def test_of_two_near_events_the_higher_stays_and_a_gap_keeps_two_runs_apart() -> None:
    output = np.zeros(100)
    output[[10, 20, 60, 61, 62]] = 0.7, 0.9, 0.8, np.nan, 0.8
    assert nl.find_events(output, 100, min_distance=0.11).tolist() == [20, 60]
    assert nl.find_events(output, 100, min_distance=0.10).tolist() == [10, 20, 60]
    assert nl.find_events(output, 100, min_distance=0).tolist() == [10, 20, 60, 62]


def test_a_distance_in_seconds_is_not_lost_to_rounding() -> None:
    output = np.zeros(20)
    output[[0, 7]] = 0.9
    assert nl.find_events(output, 100, min_distance=0.07).tolist() == [0, 7]  # the product is a little more than 7
    assert nl.find_events(output, 100, min_distance=0.08).tolist() == [0]
    assert nl.find_intervals(np.repeat([0, 1, 0], [9, 7, 9]), 100, min_duration=0.07)["sample"].tolist() == [0, 9, 16]


def test_tensors_and_files_on_disk_are_outputs(tmp_path) -> None:
    output = np.zeros((40, 1), np.float32)
    output[7] = 0.8
    np.save(tmp_path / "o.npy", output)
    for given_as in (output[:, 0], torch.from_numpy(output), np.load(tmp_path / "o.npy", mmap_mode="r")):
        assert nl.find_events(given_as, 40).tolist() == [7]


def absorbed_one_by_one(classes: list[int], least: int) -> list[tuple[int, int, int]]:
    """(start, length, class) of known runs, the shortest joined to the longer beside it until none is short."""
    runs: list[list[int]] = []
    for k in classes:
        if runs and runs[-1][1] == k:
            runs[-1][0] += 1
        else:
            runs.append([1, k])
    while short := [(n, i) for i, (n, k) in enumerate(runs) if k >= 0 and n < least]:
        _, i = min(short)
        beside = [j for j in (i - 1, i + 1) if 0 <= j < len(runs) and runs[j][1] >= 0]
        runs[i][1] = runs[max(beside, key=lambda j: runs[j][0])][1] if beside else -2
        joined: list[list[int]] = []
        for n, k in runs:
            if joined and joined[-1][1] == k:
                joined[-1][0] += n
            else:
                joined.append([n, k])
        runs = joined
    starts = np.cumsum([0] + [n for n, _ in runs])
    return [(int(start), n, k) for start, (n, k) in zip(starts, runs) if k >= 0]


@given(CLASSES, st.integers(0, 6), st.sampled_from([7, 1 << 20]))
def test_intervals_are_those_of_a_loop_however_the_output_is_cut(classes: list[int], least: int, part: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intervals, "PART", part)
        found = nl.find_intervals(np.array(classes, dtype=int), 10.0, min_duration=least / 10)
    rows = zip(found["sample"], (found["duration"] * 10).round(), found["class"], strict=True)
    assert [tuple(map(int, row)) for row in rows] == absorbed_one_by_one(classes, least)


def test_intervals_of_probabilities_are_named_and_smoothed() -> None:
    probabilities = np.zeros((100, 3))
    probabilities[:50, 0] = probabilities[50:, 2] = 1
    probabilities[20] = 0, 1, 0
    probabilities[90:] = np.nan
    plain = nl.find_intervals(probabilities, 10, names=["wake", "light", "deep"])
    assert plain["name"] == ["wake", "light", "wake", "deep"]
    smooth = nl.find_intervals(torch.from_numpy(probabilities), 10, smoothing=0.5, names=["wake", "light", "deep"])
    assert smooth["name"] == ["wake", "deep"]
    np.testing.assert_allclose((smooth["onset"], smooth["duration"]), [[0, 5], [5, 4]])
    yes = nl.find_intervals(np.array([0.2, 0.9, 0.8, 0.1]), 1)
    assert yes["class"].tolist() == [0, 1, 0] and yes["name"] == ["0", "1", "0"]
    sure = nl.find_intervals([[0.2], [0.9], [0.7], [0.1]], 1, threshold=0.8, names=["seizure"])
    assert sure["sample"].tolist() == [0, 1, 2] and sure["name"] == ["no", "seizure", "no"]
    unknown = nl.find_intervals([0.0, 2.0, 2.0, np.nan, 1.0], 1)
    assert unknown["class"].tolist() == [0, 2, 1] and unknown["sample"].tolist() == [0, 1, 4]


@pytest.mark.parametrize("kind", [float, int])
def test_the_one_name_of_a_binary_state_is_that_of_yes(kind: type) -> None:
    for output in (np.array([0, 0, 1, 1, 0], kind), np.zeros(5, kind)):
        found = nl.find_intervals(output[:, None] if kind is float else output, 1.0, names=["artefact"])
        assert found["name"] == [["no", "artefact"][k] for k in found["class"]]
        scores = nl.class_scores([[0, 0, 1, 1, 0]], [output], names=["artefact"])
        assert scores["names"] == ["no", "artefact"]


def test_intervals_of_windows_lie_where_the_windows_do() -> None:
    """As `predict_recording` gives them of a state with one output: the last window ends with the recording, and none
    lies in a gap. By themselves they are no seconds of the recording."""
    state = nl.gru_seq2one(n_features=1, hid_dim=2, n_layers=1)
    state["preprocessing"]["sampling_frequency"] = 10.0
    signal = np.zeros((1_050, 1))
    signal[405:500] = np.nan
    recording = {"signal": signal, "sampling_frequency": 10.0}
    answer = nl.predict_recording(state, recording, window=10)
    assert answer["windows"].tolist()[3:6] == [[300, 400], [305, 405], [500, 600]]
    answer["output"][:] = np.array([0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 1])[:, None]
    found = nl.find_intervals(answer, names=["apnoea"])
    assert found["name"] == ["no", "apnoea", "no", "apnoea", "no", "apnoea"]
    assert nl.find_intervals({**answer, "outputs": ["apnoea"]})["name"] == found["name"]  # as a state with names gives
    assert nl.find_intervals({**answer, "outputs": ["apnoea", "other"]})["name"][:2] == ["0", "1"]  # one label of two
    assert found["onset"].tolist() == [0, 10, 30, 50, 70, 97.5]  # nearer to its own middle
    assert found["duration"].tolist() == [10, 20, 10.5, 20, 27.5, 7.5]
    assert nl.find_intervals(answer, 10.0, min_duration=12)["onset"].tolist() == [0, 50, 70]
    assert nl.find_intervals(answer, smoothing=8)["onset"].tolist() == found["onset"].tolist()
    with pytest.raises(ValueError, match=r"sampling_frequency=0.1; expected the 10 Hz that output says its samples"):
        nl.find_intervals(answer, 0.1)


def test_lost_samples_part_no_interval_of_what_heard_a_line_over_them() -> None:
    output = np.repeat([0.1, 0.9], 500)
    output[[50, 51, 700]] = output[800:804] = output[900:910] = output[498:502] = output[998:] = np.nan
    answer = {"output": output[:, None], "sampling_frequency": 10.0, "gaps": np.zeros((0, 2)), "windows": [[0, 1000]]}
    found = nl.find_intervals(answer)
    assert found["onset"].tolist() == [0, 50.2, 91] and found["duration"].tolist() == [49.8, 39.8, 8.8]
    assert len(nl.find_intervals(output, 10.0)["onset"]) == 6


def test_stages_may_be_smoothed_over_longer_than_events() -> None:
    """The suite's warnings are errors: 90 s of a night are no milliseconds, those of a minute are."""
    assert nl.find_intervals(np.repeat([0, 1], 1000), 1.0, smoothing=90)["onset"].tolist() == [0, 1000]
    with pytest.warns(UserWarning, match="smoothing=90: it is in seconds"):
        nl.find_intervals(np.repeat([0, 1], 30), 1.0, smoothing=90)


def test_smoothed_classes_are_those_of_the_majority() -> None:
    classes = np.repeat([0, 2, 0, 1], [20, 2, 20, 20])
    whole = nl.find_intervals(classes, 10, smoothing=0.7)
    assert whole["class"].tolist() == [0, 1]
    for part in (7, 44):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(intervals, "PART", part)
            assert nl.find_intervals(classes, 10, smoothing=0.7)["sample"].tolist() == whole["sample"].tolist()
    unknown = nl.find_intervals([-1] * 9, 10, smoothing=0.7)
    assert len(unknown["onset"]) == len(nl.find_intervals([-1] * 9, 10)["onset"])


def test_heart_rates_are_nan_across_gaps_alone() -> None:
    peaks = [0, 100, 200, 300, 400]
    for gaps in ([[150, 160]], [[150, 160], [155, 170]], [[150.0, 160.0], [50.0, 50.0]]):
        np.testing.assert_array_equal(nl.rr_intervals(peaks, 100, gaps=gaps)["rr"], [1, np.nan, 1, 1])
    mask = np.zeros(500, bool)
    mask[[150, 450]] = True
    np.testing.assert_array_equal(nl.rr_intervals(peaks[::-1], 100, gaps=mask)["bpm"], [60, np.nan, 60, 60])
    for gaps, rr in (
        ([[100, 150]], [1, np.nan, 1, 1]),  # from a beat on
        ([[150, 200]], [1, np.nan, 1, 1]),  # up to the next
        ([[250, 260], [50, 60]], [np.nan, 1, np.nan, 1]),
        ([[50, 390], [150, 160]], [np.nan, np.nan, np.nan, np.nan]),
    ):
        np.testing.assert_array_equal(nl.rr_intervals(peaks, 100, gaps=gaps)["rr"], rr)
    np.testing.assert_array_equal(nl.rr_intervals([0, 100, 400], 100, max_gap=2.0)["rr"], [1, np.nan])
    np.testing.assert_array_equal(nl.rr_intervals([0, 100, 400], 100, max_gap=3.0)["rr"], [1, 3])
    assert len(nl.rr_intervals([5], 100)["rr"]) == 0


def test_an_interval_that_beats_are_missing_in_is_told() -> None:
    beats = [*range(0, 1000, 100), *range(4000, 5000, 100)]
    with pytest.warns(UserWarning, match="1 of 19 intervals are .* their median of 1 s, the longest 31 s from 9 s"):
        assert nl.rr_intervals(beats, 100)["bpm"].min() < 2
    nl.rr_intervals(beats, 100, max_gap=40)
    nl.rr_intervals(beats, 100, gaps=[[1000, 3900]])
    nl.rr_intervals([0, 100, 200, 700], 100)  # a pause of five
    nl.rr_intervals([0, 900], 100)
    with pytest.warns(UserWarning, match="max_gap=3000: it is in seconds; 3000 ms are 3"):
        nl.rr_intervals(beats, 100, max_gap=3000)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: nl.find_events(np.full(5, 1.1), 10), ValueError, "output goes from 1.1 to 1.1; expected probab"),
        (lambda: nl.find_events(np.full(5, -0.1), 10), ValueError, "output goes from -0.1 to -0.1; expected"),
        (lambda: nl.find_events(np.zeros((5, 2)), 10), ValueError, r"output has shape \(5, 2\)"),
        (lambda: nl.find_events(np.zeros((1, 5, 1)), 10), ValueError, r"\(1, 5, 1\); expected \[T\] or \[T, 1\]: o"),
        (lambda: nl.find_events(["a"], 10), TypeError, "output has dtype"),
        (lambda: nl.find_events([0.5], 0), ValueError, "sampling_frequency=0"),
        (lambda: nl.find_intervals([0.2, 2.0], 10), ValueError, "output goes from 0.2 to 2; expected probabilities"),
        (lambda: nl.find_intervals([0, 1], 10, names="yes"), TypeError, "names is one text, 'yes'"),
        (lambda: nl.find_events([[0.1], [0.1, 0.2]], 10), ValueError, "output is no array of numbers"),
        (lambda: nl.find_intervals([0, 2], 10, names=["a"]), ValueError, "output holds class 2; names has 1"),
        (lambda: nl.find_intervals([[0.3, 0.3]] * 2, 10), ValueError, "2 columns of output are not 1 together"),
        (lambda: nl.find_intervals([0, 1], 10, threshold=0.3), ValueError, "threshold=0.3 .* output holds classes"),
        (lambda: nl.find_intervals([0.1], 10, threshold=3), ValueError, "threshold=3"),
        (lambda: nl.find_intervals([0.0, 2.0, np.inf], 10), ValueError, "output goes from 0 to inf"),
        (lambda: nl.find_intervals([0, 1], 0), ValueError, "sampling_frequency=0; expected"),
        (lambda: nl.find_intervals(np.zeros((2, 2, 2)), 10), ValueError, r"output has shape \(2, 2, 2\)"),
        (lambda: nl.rr_intervals([4, 4], 10), ValueError, "peaks holds 4 twice"),
        (lambda: nl.rr_intervals([4, 9], 10, gaps=[[8, 5]]), ValueError, "gaps has one from 8 to 5; expected where"),
        (lambda: nl.rr_intervals([4, 9], 10, gaps=[[0.5, 0.8]]), TypeError, "gaps has dtype float64; expected whole"),
        (lambda: nl.rr_intervals([4, 9], 10, gaps=[3, 4]), ValueError, r"gaps has shape \(2,\)"),
        (lambda: nl.find_r_peaks(known_detector(10.0), {"name": "a"}), ValueError, "recording has no signal"),
        (lambda: nl.find_r_peaks(known_detector(10.0), ecg_recording()[0], channel="MLI"), ValueError, "has V, II"),
        (lambda: nl.find_r_peaks(known_detector(10.0), ecg_recording()[0], channel=-1), ValueError, "has 2, from 0 on"),
        (lambda: nl.find_r_peaks(nl.gru_seq2one(n_features=1, hid_dim=2, n_layers=1), {}), ValueError, "of each step"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_named(call, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_the_events_of_one_of_several_labels_are_found_as_errors_say() -> None:
    state = nl.gru_seq2seq(n_features=1, hid_dim=2, n_layers=1, num_classes=2, multi_label=True)
    state["preprocessing"]["sampling_frequency"] = 10.0
    recording = {"signal": np.ones(50), "sampling_frequency": 10.0}
    with pytest.raises(ValueError, match=r"of several labels one at a time, output\[:, 0\]"):
        nl.find_events(np.ones((9, 2)), 10)
    for call in (nl.find_r_peaks, functools.partial(nl.predict_recording, output="events"), nl.evaluate_recordings):
        with pytest.raises(ValueError, match="label") as error:
            call(state, [recording] if call is nl.evaluate_recordings else recording)
        (way,) = re.findall(r"nl\.find_events\(.*?'sampling_frequency'\]\)", str(error.value))
        assert eval(way, {"nl": nl, "state": state, "r": recording}).dtype == np.int64
