"""What is told not to be scored is, and what cannot be meant is told."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import neurallib as nl


def scored(**options: Any) -> int:
    """How many of six beats, one each ten seconds, are scored."""
    beats = np.arange(6) * 1000 + 500
    recording = {"name": "119", "signal": np.zeros((6000, 1)), "sampling_frequency": 100.0,
                 "events": {"sample": beats, "symbol": ["N"] * 6}}  # fmt: skip
    result = nl.evaluate_recordings(lambda _: [], [recording], n_bootstrap=1, **options)
    return int(result["records"][0]["false_negatives"])


def test_stretches_are_seconds_by_name_or_of_a_function() -> None:
    assert scored(skip={"119": [(0, 10), (50, 70)], "120": [(0, 60)]}) == 4
    assert scored(skip={"119": np.array([[0.0, 12.5]])}) == 5
    assert scored(skip=lambda recording: [(0, len(recording["signal"]) / 100)]) == 0
    assert scored(skip=lambda recording: zip([0, 30], [10, 40])) == 4, "any iterable, that is gone through once"
    assert scored(skip={}) == scored(skip={"119": []}) == 6


def test_what_is_skipped_is_no_part_of_a_denoised_signal_either() -> None:
    clean = np.sin(np.arange(6000) / 9)[:, None]
    r = {"name": "a", "signal": clean + 0.1, "sampling_frequency": 100.0}
    options: dict[str, Any] = {"task": "denoising", "target": lambda _: clean, "n_bootstrap": 1}
    wrong, before = np.where(np.arange(6000)[:, None] < 2000, 5, clean), r["signal"].copy()
    rows = [nl.evaluate_recordings(lambda _: wrong, [r], **options, **skip)["records"][0]
            for skip in ({"skip_start": 20}, {"skip": {"a": [(0, 20)]}}, {})]  # fmt: skip
    assert [row["rmse"] == 0 for row in rows] == [True, True, False]
    np.testing.assert_array_equal(r["signal"], before)


def test_flutter_is_skipped_from_its_begin_to_its_end_and_an_end_alone_is_none() -> None:
    """As of a recording that begins within flutter: it does not say since when."""
    symbols = {100: "]", 500: "N", 1500: "[", 1501: "N", 2500: "]", 3500: "N", 4500: "[", 5500: "N"}
    r = {"name": "119", "signal": np.zeros((6000, 1)), "sampling_frequency": 100.0,
         "events": {"sample": [*symbols, 2500, 2501], "symbol": [*symbols.values(), "N", "N"]}}  # fmt: skip
    row = nl.evaluate_recordings(lambda _: [], [r], n_bootstrap=1)["records"][0]
    assert row["false_negatives"] == 3 and row["hours"] == pytest.approx((6000 - 1001 - 1500) / 360_000)


@pytest.mark.parametrize(
    ("skip", "error", "words"),
    [
        ([(0, 10)], TypeError, r"skip=\[\(0, 10\)\]; expected \{name: \[\(from, to\)"),
        ({"119": (10, 20)}, TypeError, r"skip of 119 is \(10, 20\); expected pairs of seconds"),
        ({"119": [(10, 20, 30)]}, TypeError, "skip of 119 is .* expected pairs of seconds"),
        ({"119": [("a", "b")]}, TypeError, "skip of 119 is .* expected pairs of seconds"),
        ({"119": [(20, 10)]}, ValueError, "from 20 to 10 s; expected rising seconds within 60"),
        ({"119": [(-5, 10)]}, ValueError, "from -5 to 10 s"),
        ({"119": [(0, 10), (2100, 4300)]}, ValueError, "from 2100 to 4300 s; expected rising seconds within 60"),
        ({"119": [(0, float("nan"))]}, ValueError, "from 0 to nan s"),
    ],
)
def test_what_is_no_stretch_is_told(skip: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        scored(skip=skip)


def test_what_skips_nothing_is_told() -> None:
    with pytest.warns(UserWarning, match=r"skip names 119a, which no recording is called.*Did you mean '119'"):
        assert scored(skip={"119a": [(0, 10)]}) == 6
    with pytest.warns(UserWarning, match="skip_start=100: nothing of 119, which lasts 60 s, is scored"):
        assert scored(skip_start=100) == 0


def test_a_recording_of_which_a_part_is_annotated_is_told_where_beats_are_learnt_or_scored() -> None:
    beats = np.arange(50, 20_000, 100)
    part = {"name": "a", "signal": np.zeros((20_000, 1)), "sampling_frequency": 100.0,
            "events": {"sample": beats[:80], "symbol": ["N"] * 80}}  # fmt: skip
    with pytest.warns(UserWarning, match="are N: for more than a minute in a row there is none, which will be learnt"):
        nl.event_target(part)
    with pytest.warns(UserWarning, match="the events of a are N: for more than a minute .* what is found there counts"):
        nl.evaluate_recordings(lambda _: beats, [part])
    with warnings.catch_warnings():  # where nothing is found, as of a heart that stops, or nothing is scored
        warnings.simplefilter("error")
        nl.evaluate_recordings(lambda _: beats[:80], [part])
        nl.evaluate_recordings(lambda _: beats, [part], names=["N"])  # others may be rare
        assert nl.evaluate_recordings(lambda _: beats[::-1], [part], skip={"a": [(80, 200)]})["gross"]["f1"] == 1
