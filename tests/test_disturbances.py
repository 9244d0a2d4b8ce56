"""Noise, hum, moving electrodes and gaps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from augmenting import RATE, beats, drawn

import neurallib as nl
from neurallib.signals import disturbances


def test_a_record_of_noise_may_be_shorter_than_the_signal_or_just_as_long() -> None:
    x, y = beats(400)
    for n in (50, 402):
        noisy, _ = drawn(nl.augment_noise([np.sin(np.arange(n))]), pair=(x, y))
        assert np.isfinite(noisy).all() and (noisy != x).any()


def test_a_quiet_stretch_of_a_record_is_quieter() -> None:
    x, y = beats(400)
    record = np.random.default_rng(0).standard_normal(20_000) * np.repeat([0.01, 1], 10_000)
    augment = nl.augment_noise([record], snr=(0, 0))
    loud = [(drawn(augment, seed, (x, y))[0] - x).std() for seed in range(20)]
    assert min(loud) < 0.1 * max(loud)


def test_a_silent_record_adds_nothing() -> None:
    x, y = beats(400)
    assert np.array_equal(drawn(nl.augment_noise([np.zeros(900)]), pair=(x, y))[0], x)


def test_each_channel_of_a_record_and_each_record_is_drawn_from() -> None:
    x, y = beats(400)
    flat, rise, fall = np.zeros(900), np.arange(900.0), np.sin(np.arange(900.0))
    augment = nl.augment_noise([np.stack([flat, rise], axis=1), fall])
    added = [(drawn(augment, seed, (x, y))[0] - x)[:, 0] for seed in range(40)]
    even = [np.ptp(np.diff(each, 2)) for each in added]  # nothing of a flat one and of one that rises
    assert any(np.ptp(each) == 0 for each in added), "the first channel"
    assert any(np.ptp(each) > 0 and bend < 1e-3 * np.ptp(each) for each, bend in zip(added, even, strict=True))
    assert any(bend > 1e-2 * np.ptp(each) for each, bend in zip(added, even, strict=True)), "the other record"


def test_a_quiet_channel_of_a_record_is_as_loud_as_the_ratio_says() -> None:
    x, y = beats(400)
    record = np.random.default_rng(0).standard_normal((900, 1)) * [1, 1000]
    loud = [(drawn(nl.augment_noise([record], snr=(0, 0)), seed, (x, y))[0] - x).std() for seed in range(10)]
    assert max(loud) < 1.5 * min(loud)


def test_recorded_noise_comes_either_side_up() -> None:
    x, y = beats(400)
    augment = nl.augment_noise([np.arange(900.0)])
    assert {np.sign(np.diff((drawn(augment, seed, (x, y))[0] - x)[:, 0]).sum()) for seed in range(20)} == {-1, 1}


def test_mains_hum_is_at_50_or_at_60_hz() -> None:
    x, y = beats(1250)
    hums = [(drawn(nl.augment_hum(RATE), seed, (x, y))[0] - x)[:, 0] for seed in range(20)]
    assert {int(np.abs(np.fft.rfft(hum)).argmax()) for hum in hums} == {500, 600}


def test_jumps_of_an_electrode_last() -> None:
    for seed in range(20):
        steps = disturbances._steps(1000, RATE, np.random.default_rng(seed))
        assert np.corrcoef(steps[3:], steps[:-3])[0, 1] > 0.4


def test_slow_waves_are_as_loud_where_the_signal_begins() -> None:
    first = [disturbances._rumble(500, RATE, np.random.default_rng(seed))[0] for seed in range(200)]
    assert np.std(first) > 0.5


def test_a_signal_of_one_step_has_no_motion() -> None:
    x = np.ones((1, 1))
    for seed in range(10):
        assert np.array_equal(drawn(nl.augment_motion(RATE), seed, (x, x))[0], x)


def test_gaps_do_not_count_in_how_high_beats_are() -> None:
    x, y = beats()
    x[::50] = np.nan
    assert np.isfinite(drawn(nl.augment_noise(), pair=(x, y))[0]).mean() == 0.98


def test_one_artefact_does_not_make_noise_louder() -> None:
    x, y = beats()
    loud = x * np.where(np.arange(len(x)) < 200, 100, 1)[:, None]
    one, other = (drawn(nl.augment_noise(), pair=(signal, y))[0] - signal for signal in (x, loud))
    np.testing.assert_allclose(one, other, rtol=1e-2, atol=1e-6)


def test_a_gap_holds_a_value_or_zero() -> None:
    x = np.arange(1.0, 101)[:, None]
    held = [drawn(nl.augment_dropout(RATE), seed, (x, x))[0].min() for seed in range(20)]
    assert 0 in held and 1 in held


def test_a_gap_longer_than_the_signal_takes_all_of_it() -> None:
    x, y = drawn(nl.augment_dropout(RATE, duration=(60, 60)))
    assert np.ptp(x) == 0 and not y.any()


def test_a_gap_takes_no_label_of_what_lasts_longer_and_no_value_of_a_regression() -> None:
    x, seizure = np.zeros((2000, 1)), np.zeros((2000, 2), np.float32)
    seizure[600:1400, 0] = 1
    seizure[::100, 1] = 1  # beats
    stages = np.repeat([1, 3, 2], [700, 700, 600])
    force = np.full((2000, 1), 40.0, np.float32)
    lost = nl.augment_dropout(RATE, duration=(2, 2))
    fewer = [drawn(lost, seed, (x, seizure))[1] for seed in range(20)]
    assert all((y[:, 0] == seizure[:, 0]).all() and 17 <= y[:, 1].sum() <= 18 for y in fewer)
    for y in (stages, force):
        assert all((drawn(lost, seed, (x, y))[1] == y).all() for seed in range(20))


def test_hum_that_a_recorder_would_not_let_through_is_left_out() -> None:
    x, y = np.sin(np.arange(1100) / 10)[:, None], np.zeros(1100)
    hums = [(drawn(nl.augment_hum(110), seed, (x, y))[0] - x)[:, 0] for seed in range(8)]
    assert {int(np.abs(np.fft.rfft(hum)).argmax()) for hum in hums} == {500}  # of 10 s: 50 Hz, never 60


@pytest.mark.parametrize(
    "make, told",
    [
        (lambda: nl.augment_dropout(RATE, duration=(300, 2500)), "duration=2500: it is in seconds"),
        (lambda: nl.augment_rhythm(RATE, kept=120), "kept=120: it is in seconds"),
        (lambda: nl.augment_pacing(RATE, atrial=(120, 220)), "atrial=220: it is in seconds"),
    ],
)
def test_milliseconds_are_told(make: Any, told: str) -> None:
    with pytest.warns(UserWarning, match=told):
        make()


MADE: dict[str, Callable[[], Any]] = {
    "channels": nl.augment_channels,
    "crop": lambda: nl.augment_crop(20),
    "dropout": lambda: nl.augment_dropout(RATE),
    "hum": lambda: nl.augment_hum(RATE),
    "lead": nl.augment_lead,
    "motion": lambda: nl.augment_motion(RATE),
    "noise": nl.augment_noise,
    "pacing": lambda: nl.augment_pacing(RATE),
    "resampling": lambda: nl.augment_resampling(RATE, (90, 100)),
    "rhythm": lambda: nl.augment_rhythm(RATE),
    "scale": nl.augment_scale,
    "stretch": nl.augment_stretch,
}
NUMBERS = np.random.default_rng(0)
WRONG_PAIRS: dict[str, tuple[Any, Any, Any, str]] = {
    "one channel [T]": (np.zeros(400), np.zeros(400), NUMBERS, r"x has shape \(400,\); expected \[T, C\].*\[:, None\]"),
    "a batch": (np.zeros((2, 400, 1)), np.zeros(400), NUMBERS, r"x has shape \(2, 400, 1\)"),
    "no step": (np.zeros((0, 1)), np.zeros(0), NUMBERS, r"x has shape \(0, 1\)"),
    "words": (np.full((400, 1), "a"), np.zeros(400), NUMBERS, "x holds <U1; expected"),
    "no target": (np.zeros((400, 1)), None, NUMBERS, "y is a NoneType; expected an array"),
    "no generator": (np.zeros((400, 1)), np.zeros(400), None, "generator is a NoneType; expected one, as np.random"),
    "a seed": (np.zeros((400, 1)), np.zeros(400), 3, "generator is a int"),
}


@pytest.mark.parametrize("what", WRONG_PAIRS)
@pytest.mark.parametrize("made", MADE)
def test_what_is_no_signal_with_target_and_generator_is_told(made: str, what: str) -> None:
    x, y, generator, words = WRONG_PAIRS[what]
    with pytest.raises((TypeError, ValueError), match=words):
        MADE[made]()(x, y, generator)


@pytest.mark.parametrize("made", MADE)
def test_lists_and_tensors_are_signals_too(made: str) -> None:
    x, y = beats(400)
    expected = drawn(MADE[made](), pair=(x, y))
    for as_given in (np.ndarray.tolist, lambda values: torch.from_numpy(values).requires_grad_(values is x)):
        given = MADE[made]()(as_given(x), as_given(y), np.random.default_rng(0))
        assert all(np.array_equal(a, b) for a, b in zip(given, expected, strict=True))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nl.augment_noise(np.zeros((60, 2))), r"one array of shape \(60, 2\); expected a list .* \[noise\]"),
        (lambda: nl.augment_noise("em.npy"), "noise is a str; expected a list of signals"),  # type: ignore[arg-type]
        (lambda: nl.augment_noise([]), "noise is empty; expected a list of signals, or None"),
        (lambda: nl.augment_noise(["em.npy"]), r"noise\[0\] is a path or text"),  # type: ignore[list-item]
        (lambda: nl.augment_noise([np.full(9, "a")]), r"noise\[0\] holds <U1"),
        (lambda: nl.augment_noise([{"signal": np.zeros(9), "sampling_frequency": 1.0}]),  # type: ignore[list-item]
         r"noise\[0\] is a recording; expected its signal"),
        (lambda: nl.augment_noise(reference=np.zeros(99)), "reference is a ndarray; expected one of"),  # type: ignore
        (lambda: nl.augment_hum(RATE, frequencies=50), "frequencies=50; expected a list"),  # type: ignore[arg-type]
        (lambda: nl.augment_noise([np.zeros((2, 900))]), r"noise\[0\] has shape \(2, 900\); .* time first"),
        (lambda: nl.augment_hum(100), r"frequencies=\(50.0, 60.0\); signals of 100 Hz hold what is below 50 Hz"),
        (lambda: nl.compose_augmentations([nl.augment_noise()]),  # type: ignore[arg-type]
         "part 0 is a list; .* compose_augmentations"),
        (lambda: nl.augment_hum(RATE, frequencies=[]), r"frequencies=\[\]; expected a list of numbers"),
        (lambda: nl.augment_hum(RATE, frequencies=[50, np.nan]), "frequencies=nan; expected a finite number"),
        (lambda: nl.augment_hum(RATE, frequencies=[-50]), "frequencies=-50; expected a finite number"),
        (lambda: nl.compose_augmentations(nl.augment_noise), "part 0=augment_noise .* made by a call"),  # type: ignore
        (lambda: nl.compose_augmentations((0.5, nl.augment_noise(), nl.augment_noise())),  # type: ignore[arg-type]
         "part 0 is a tuple; expected a function .* it\\)"),
        (lambda: drawn(nl.compose_augmentations(lambda x, y, _: x)), "what part 0 gave is a ndarray; expected a pair"),
    ],
)  # fmt: skip
def test_what_an_augmentation_cannot_be_made_of_is_told(make: Callable[[], Any], words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        make()
