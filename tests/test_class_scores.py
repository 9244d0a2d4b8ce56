"""Scores that say little: classes that are never found, windows of several, results that are not to be compared."""

import contextlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurallib as nl


def test_a_class_that_occurs_and_is_never_found_has_no_precision_and_one_that_is_not_there_none_to_tell() -> None:
    scores = nl.class_scores([[0, 0, 1, 1]], [[0, 0, 0, 0]], names=["a", "b", "c"])["gross"]
    assert scores["precision_b"] == scores["recall_b"] == scores["f1_b"] == 0 and scores["precision_a"] == 0.5
    assert all(math.isnan(scores[f"{name}_c"]) for name in ("precision", "recall", "f1"))


def test_a_window_has_the_class_of_half_of_its_steps_at_least() -> None:
    truth = np.array([1, 1, 1, 1, 0, 0, 0, -1, 1, 1, 1, 0, 0, -1, -1, -1])
    r = {"name": "a", "signal": np.zeros((16, 1)), "sampling_frequency": 1.0}
    answer = {"output": np.array([1, 1]), "windows": np.array([[0, 8], [8, 16]])}
    options: dict[str, Any] = {"task": "classes", "names": ["no", "yes"], "target": lambda _: truth}
    assert nl.evaluate_recordings(lambda _: answer, [r], **options)["confusion"].tolist() == [[0, 0], [0, 1]]


def test_results_of_other_classes_or_of_a_record_twice_are_not_compared() -> None:
    a = nl.class_scores([[0, 1], [1, 1]], [[0, 1], [1, 0]], names=["a", "b"])
    with pytest.raises(ValueError, match="expected the same task, with the same classes"):
        nl.compare_recordings(a, nl.class_scores([[0, 1], [1, 1]], [[0, 1], [1, 0]], names=["a", "c"]))
    twice = a | {"records": a["records"] * 2, "sums": np.concatenate([a["sums"]] * 2)}
    with pytest.raises(ValueError, match="or one comes twice"):
        nl.compare_recordings(twice, twice)


def test_the_order_of_records_is_no_difference_of_truth(recwarn: pytest.WarningsRecorder) -> None:
    true, found = [[0, 1], [1, 1, 1]], [[0, 0], [1, 1, 0]]
    a, b = (nl.class_scores(true[::way], found[::way], people=["p", "q"][::way]) for way in (1, -1))
    row = nl.compare_recordings(a, b)["gross"]["accuracy"]
    assert row["low"] == row["difference"] == row["high"] == 0
    assert not [str(each.message) for each in recwarn if "truth" in str(each.message)]


@pytest.mark.parametrize("apart, hit", [(29, 1), (30, 0)])
def test_an_event_as_far_away_as_the_tolerance_is_found(apart: int, hit: int) -> None:
    """0.29 s at 100 Hz, which as a product of floats is a little less than 29."""
    r = {"name": "a", "signal": np.zeros((600, 1)), "sampling_frequency": 100.0,
         "events": {"sample": [100], "symbol": ["N"]}}  # fmt: skip
    result = nl.evaluate_recordings(lambda _: [100 + apart], [r], tolerance=0.29, tolerances=[0.29])
    scores = nl.peak_scores([100], [100 + apart], sampling_frequency=100, tolerance=0.29)
    assert result["gross"]["sensitivity"] == result["tolerance_curve"][0]["sensitivity"] == scores["sensitivity"] == hit


def test_labels_that_may_hold_together_are_told_from_recordings_of_few_steps() -> None:
    rng = np.random.default_rng(0)
    true, found = rng.integers(0, 2, (30, 3)), rng.random((30, 3))
    for given, people in ((found, None), (found.round(), None), (found, ["a", "b", "c"] * 10)):
        words = r"30 recordings of 3 steps, as list.true. says. Of 3 labels .* true\[:, \[k\]\] and found"
        with pytest.warns(UserWarning, match=words):
            nl.class_scores(true, given, people=people)
    with pytest.raises(ValueError, match=r"true is one-hot, 1 for one of 3 classes"):
        nl.class_scores(np.eye(3)[true.argmax(axis=1)], np.eye(3)[found.argmax(axis=1)])
    nl.class_scores(rng.integers(0, 2, (30, 40)), rng.random((30, 40)))  # and no warning
    nl.class_scores(rng.integers(0, 3, (30, 3)), rng.integers(0, 3, (30, 3)))
    nl.class_scores(list(true), found)
    nl.class_scores(true[:4, :2], found[:4, :2])  # which may well be four recordings
    once = np.eye(9)[rng.integers(0, 9, 30)]
    nl.class_scores(list(once), list(np.roll(once, 1, axis=1)))  # 30 recordings with one event each
    nl.class_scores(true[:, [0]], found[:, [0]])


def test_codes_are_no_classes() -> None:
    true, found, people = np.array([0, 1] * 4), np.array([0, 1, 1, 1] * 2), [*"aabbccdd"]
    with pytest.raises(ValueError, match=r"classes begin with 769; .* np\.unique\(codes, return_inverse=True\)\[1\]"):
        nl.class_scores(true + 769, found + 769, people=people)
    with pytest.raises(ValueError, match="classes are -1 and 1, where -1 is one not known; .* true > 0"):
        nl.class_scores(2 * true - 1, 2 * found - 1, people=people)
    assert nl.class_scores(true + 1, found + 1, people=people)["gross"]["accuracy"] == 0.75
    assert nl.class_scores([[1, 1, -1]], [[1, -1, 0]])["gross"]["accuracy"] == 1


def test_a_folder_tells_whose_its_windows_are(tmp_path: Path) -> None:
    recordings = [{"name": f"{who}_{i}", "signal": np.zeros((40, 1)), "sampling_frequency": 1.0, "person": who}
                  for who in "abc" for i in (1, 2)]  # fmt: skip
    options: dict[str, Any] = {"window": 10, "each_window": True, "val": 0, "test": 0, "enable_progress_bar": False}
    made = nl.make_dataset(recordings, tmp_path / "made", target=lambda r: float(r["person"] == "a"), **options)
    folder = nl.open_folder(made / "x", made / "y", "train")
    true = [y for _, y in folder]
    for score in (nl.value_scores, nl.class_scores):
        told = score(true, true, people=folder)
        assert [row.get("values", row.get("steps")) for row in told["records"]] == [8] * 3
    (made / "manifest.json").unlink()
    told = nl.value_scores(true, true, people=nl.open_folder(made / "x", made / "y", "train"))
    assert len(told["records"]) == 24 and told["records"][0]["person"].startswith("a_1_0")


def test_events_that_overlap_as_they_should_are_taken() -> None:
    """In any order, of some experts, and going on where a recording was cut; not many within one."""
    seconds = np.arange(12.0)
    inner = np.repeat(seconds, 2) + np.tile([0, 0.5], 12)
    for start, duration, wrong in (
        (seconds[::-1] * 4, np.full(12, 4.0), False),
        (np.zeros(8), np.full(8, 4.0), False),
        (seconds + 48, np.full(12, 600.0), False),
        (np.append(0, inner), np.append(48, np.tile([46, 0.1], 12)), True),
    ):
        events = {"sample": start * 100, "symbol": ["wake"] * len(start), "duration": duration}
        r = {"name": "a", "signal": np.zeros((6000, 1)), "sampling_frequency": 100.0, "events": events}
        with pytest.raises(ValueError, match="overlap: together") if wrong else contextlib.nullcontext():
            nl.interval_target(r, ["wake"])


def test_a_night_without_an_apnoea_is_told_where_no_other_has_apnoeas_beside_the_same() -> None:
    def night(*symbols: str) -> Any:
        events = {"sample": np.arange(len(symbols)) * 10, "symbol": symbols, "duration": np.ones(len(symbols))}
        return {"name": "".join(symbols), "signal": np.zeros((60, 1)), "sampling_frequency": 1.0, "events": events}

    for others, told in ((["arousal"], False), (["arousal", "hypopnoea"], True)):
        with pytest.warns(UserWarning, match="none of them is one of names") if told else contextlib.nullcontext():
            nights = [night("apnoea", "arousal"), night(*others)]
            nl.evaluate_recordings(lambda _: [(0, 1)], nights, task="intervals", names=["apnoea"])
