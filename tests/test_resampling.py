"""Drawing and swapping people: as often as is asked for, by the seed, and with what definitions say."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import neurallib as nl

RNG = np.random.default_rng(0)
TRUE = RNG.integers(0, 2, (12, 30))
FOUND = [np.where(RNG.random(TRUE.shape) < RNG.uniform(0.5, 1, (12, 1)), TRUE, 1 - TRUE) for _ in range(2)]
BEATS = [
    {"name": str(i), "signal": np.zeros((6000, 1)), "sampling_frequency": 100.0,
     "events": {"sample": (at := np.arange(50, 5900, 90)), "symbol": ["N"] * len(at)}} for i in range(12)
]  # fmt: skip
SEEN = {str(i): np.arange(50, 5900, 90)[RNG.random(65) < RNG.uniform(0.5, 1)] for i in range(12)}


def as_classes(recording: Any) -> np.ndarray:
    return FOUND[0][int(recording["name"])]


def intervals(**options: Any) -> list[dict[str, Any]]:
    """Of each function that draws people."""
    of_classes = [{"name": str(i), "signal": np.zeros((30, 1)), "sampling_frequency": 1.0} for i in range(12)]
    told = [
        nl.class_scores(TRUE, FOUND[0], **options),
        nl.evaluate_recordings(lambda r: SEEN[r["name"]], BEATS, **options),
        nl.evaluate_recordings(
            as_classes, of_classes, task="classes", names=["a", "b"], target=lambda r: TRUE[int(r["name"])], **options
        ),
    ]
    measures = ("accuracy", "f1", "accuracy")
    return [one["intervals"]["gross"][name] for one, name in zip(told, measures, strict=True)]


def compared(**options: Any) -> dict[str, float]:
    a, b = (nl.class_scores(TRUE, found, n_bootstrap=9) for found in FOUND)
    row: dict[str, float] = nl.compare_recordings(a, b, **options)["gross"]["accuracy"]
    return row


def test_the_seed_decides_what_is_drawn() -> None:
    first, again, other = (intervals(seed=seed, n_bootstrap=50) for seed in (1, 1, 2))
    assert first == again and all(one != another for one, another in zip(first, other, strict=True))
    first, again, other = (compared(seed=seed, n_resamples=2000) for seed in (1, 1, 2))
    assert first == again and all(first[name] != other[name] for name in ("high", "p_value"))


def test_people_are_drawn_as_often_as_is_asked_for() -> None:
    assert all(low == high for low, high in intervals(n_bootstrap=1))
    assert compared(n_resamples=1)["low"] == compared(n_resamples=1)["high"]
    assert all(low < high for low, high in intervals())
    assert compared(n_resamples=99)["p_value"] * 100 == pytest.approx(round(compared(n_resamples=99)["p_value"] * 100))


def test_an_interval_holds_what_19_of_20_draws_tell() -> None:
    """Of a mean over people the normal distribution's, 1.96 standard errors to either side."""
    own = RNG.uniform(0.2, 0.9, 60)
    true = np.ones((60, 1000), int)
    scores = nl.class_scores(true, np.arange(1000) < 1000 * own[:, None], n_bootstrap=4000)
    low, high = scores["intervals"]["average"]["accuracy"]
    assert high - low == pytest.approx(2 * 1.96 * own.std() / 60**0.5, rel=0.08)


def test_as_many_ways_to_swap_as_are_asked_for_are_all_tried() -> None:
    sides = [nl.class_scores(TRUE[:5], found[:5], n_bootstrap=9) for found in FOUND]
    p = [nl.compare_recordings(*sides, n_resamples=n)["gross"]["f1_macro"]["p_value"] for n in (32, 10_000)]
    assert p[0] == p[1] and (p[0] * 32).is_integer()


@pytest.mark.parametrize("alone", [lambda row: row, lambda row: 1 - row])
def test_who_tells_nothing_of_a_class_has_no_part_in_its_test(alone: Callable[[np.ndarray], np.ndarray]) -> None:
    """Three of four people have the class, and are found better by one of two: two of eight ways are as far."""
    true = [np.array([0, 1, 1, 0])] * 3 + [np.zeros(4, int)]
    better, worse = ([alone(np.array(row)) for row in found] for found in (true, [[0, 1, 0, 0]] * 3 + [true[3]]))
    sides = [nl.class_scores([alone(row) for row in true], np.array(found)) for found in (better, worse)]
    name = f"recall_{alone(np.array(1))}"
    row = nl.compare_recordings(*sides)["average"][name]
    assert row["difference"] == 0.5 and row["p_value"] == 0.25
