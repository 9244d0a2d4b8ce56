"""Augmentations: what each does to a signal, and that what is said of the signal stays true."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import QUIET

import neurallib as nl
from neurallib.signals.augmentation import label_runs

RATE = 125.0


def beats(n_steps: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Spikes whose tops lie in the middle of the labels."""
    at = np.arange(50, n_steps - 20, 97)
    x = np.exp(-0.5 * ((np.arange(n_steps)[:, None] - at) / 3.0) ** 2).sum(axis=1)[:, None]
    return x, nl.peak_labels(at, n_steps, 6)[:, None]


def drawn(augment: Any, seed: int = 0, pair: Any = None) -> tuple[np.ndarray, np.ndarray]:
    x, y = pair or beats()
    return augment(x.copy(), y.copy(), np.random.default_rng(seed))


def tops(x: np.ndarray, y: np.ndarray) -> list[tuple[float, int]]:
    """The middle of each whole label, and where the signal is highest within it."""
    runs = [run for run in label_runs(y) if 0 < run[0] and run[1] < len(y)]
    return [((low + high - 1) / 2, low + int(np.abs(x[low:high, 0]).argmax())) for low, high in runs]


@pytest.mark.parametrize(
    "augment",
    [
        nl.augment_stretch((0.7, 1.4)),
        nl.augment_crop(700),
        nl.augment_scale((0.5, 2.0), inversion=0.5),
        nl.augment_dropout(RATE, duration=(1, 3)),
        nl.compose_augmentations(nl.augment_crop(1500), nl.augment_stretch((0.8, 1.25)), nl.augment_crop(900)),
    ],
)
def test_events_stay_on_their_peaks(augment: Any) -> None:
    for seed in range(10):
        x, y = drawn(augment, seed)
        assert len(x) == len(y) and len(tops(x, y)) > 3
        assert all(abs(middle - top) <= 1 for middle, top in tops(x, y))


def test_a_stretched_signal_has_as_many_events_farther_apart() -> None:
    x, y = drawn(nl.augment_stretch((1.5, 1.5)))
    assert len(x) == 3000 and len(label_runs(y)) == len(label_runs(beats()[1]))
    assert np.diff([top for _, top in tops(x, y)]).mean() == pytest.approx(1.5 * 97, rel=0.01)


@pytest.mark.parametrize("shape", [(2000,), (2000, 1), (2000, 3)])
def test_no_event_of_a_single_step_is_lost_where_time_goes_faster(shape: tuple[int, ...]) -> None:
    at, y = np.arange(40, 2000, 97), np.zeros(shape, np.float32)
    y[at] = np.eye(3)[np.arange(len(at)) % 3] if shape[1:] == (3,) else 1
    x = np.arange(2000.0)[:, None]
    for seed in range(5):
        shorter, labels = drawn(nl.augment_stretch((0.2, 0.9)), seed, pair=(x, y))
        found = np.flatnonzero(labels.reshape(len(labels), -1).max(axis=1))
        assert len(found) == len(at) and np.abs(shorter[found, 0] - at).max() <= 0.5 + 0.5 * 1999 / (len(shorter) - 1)
        assert (labels[found] == y[at]).all()


def test_what_is_not_known_stays_unknown() -> None:
    x, labels = beats()
    y = labels.astype(np.float32)
    y[300:500] = np.nan
    _, stretched = drawn(nl.augment_stretch((2, 2)), pair=(x, y))
    assert np.isnan(stretched).mean() == pytest.approx(0.1, abs=0.002)


def test_what_is_lost_has_no_events_and_all_others_stay() -> None:
    before = label_runs(beats()[1])
    for seed in range(10):
        x, y = drawn(nl.augment_dropout(RATE, duration=(2, 2)), seed)
        flat = np.flatnonzero(np.diff(x[:, 0], n=2) == 0)
        flat = flat[np.abs(np.diff(beats()[0][:, 0], n=2)[flat]) > 0]  # not flat before
        kept = [run for run in before if not flat[0] - 1 <= (run[0] + run[1] - 1) / 2 <= flat[-1] + 2]
        assert label_runs(y) == kept and 0 < len(before) - len(kept) < 5


@pytest.mark.parametrize("reference", ["beats", "signal"])
@pytest.mark.parametrize(
    "make",
    [
        lambda **more: nl.augment_noise(**more),
        lambda **more: nl.augment_hum(RATE, frequencies=[10.0], **more),
        lambda **more: nl.augment_motion(RATE, **more),
    ],
)
def test_noise_has_the_ratio_that_was_asked_for(make: Any, reference: str) -> None:
    x, y = beats(20_000)
    power = {"beats": 1.0 / 8, "signal": x.var()}[reference]
    for snr in (-6.0, 12.0):
        noisy, same = drawn(make(snr=(snr, snr), reference=reference), pair=(x, y))
        assert 10 * np.log10(power / (noisy - x).var()) == pytest.approx(snr, abs=0.2)
        np.testing.assert_array_equal(same, y)


def test_recorded_noise_is_played_faster_and_in_bursts() -> None:
    record = np.sin(2 * np.pi * np.arange(50_000) / 500)
    x, y = beats(4000)

    def added(**more: Any) -> np.ndarray:
        return drawn(nl.augment_noise([record], snr=(0, 0), **more), pair=(x, y))[0][:, 0] - x[:, 0]

    for speed, cycles in ((1.0, 8), (3.0, 24)):
        assert np.abs(np.fft.rfft(added(speed=(speed, speed)))).argmax() == cycles
    size = np.sort(np.abs(added(burst=True)).reshape(16, -1).max(axis=1))
    assert size[0] < 0.3 * size[-1]


def test_an_electrode_is_turned_round_and_a_gain_drifts() -> None:
    x = np.ones((1000, 1))
    turned = [drawn(nl.augment_scale((2, 2), inversion=0.5), seed, (x, x))[0][0, 0] for seed in range(20)]
    assert set(turned) == {-2.0, 2.0}
    drifting = drawn(nl.augment_scale((1, 1), drift=(0.2, 2)), pair=(x, x))[0]
    assert np.ptp(drifting) > 0.2 and 0.2 <= drifting.min() and drifting.max() <= 2
    assert np.abs(np.diff(drifting[:, 0])).max() < 0.02


def test_channels_are_lost_and_turned_and_one_is_always_left() -> None:
    x = np.arange(1.0, 9)[None].repeat(5, axis=0)
    lost = [drawn(nl.augment_channels(dropout=0.99), seed, (x, x))[0] for seed in range(20)]
    assert all((one != 0).any() for one in lost) and any((one == 0).sum() == 35 for one in lost)
    turned = {tuple(drawn(nl.augment_channels(dropout=0, rotation=2), seed, (x, x))[0][0]) for seed in range(40)}
    assert turned == {tuple(np.roll(x[0], k)) for k in range(-2, 3)}


def test_a_part_is_applied_as_often_as_was_said() -> None:
    augment = nl.compose_augmentations((0.3, lambda x, y, generator: (x + 1, y)), lambda x, y, generator: (2 * x, y))
    values = [drawn(augment, seed, (np.zeros((1, 1)), np.zeros(1)))[0].item() for seed in range(500)]
    assert set(values) == {0.0, 2.0} and np.mean(values) == pytest.approx(0.6, abs=0.1)


def test_a_target_of_the_whole_signal_stays_as_it_is() -> None:
    for augment in (nl.augment_crop(100), nl.augment_stretch((0.5, 0.5)), nl.augment_dropout(RATE)):
        assert drawn(augment, pair=(np.ones((400, 2)), np.array([3.0])))[1] == 3.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nl.augment_noise(snr=(10, 0)), "lower number first"),
        (lambda: nl.augment_noise(snr=3), "two numbers"),
        (lambda: nl.augment_noise([np.full(9, np.nan)]), r"noise\[0\]"),
        (lambda: nl.augment_noise(reference="peak"), "reference='peak'"),
        (lambda: nl.augment_stretch((0, 1)), "factor=0"),
        (lambda: nl.augment_crop(0), "n_steps=0"),
        (lambda: nl.compose_augmentations((1.5, nl.augment_crop(3))), "probability of part 0"),
        (lambda: nl.compose_augmentations("crop"), "part 0 is 'crop'"),
    ],
)
def test_what_cannot_be_is_told(make: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make()


def test_train_takes_what_is_composed_and_the_signals_stay_as_they_are() -> None:
    pairs = [beats(600) for _ in range(4)]
    copies = [(x.copy(), y.copy()) for x, y in pairs]
    augment = nl.compose_augmentations(
        nl.augment_crop(500), (0.5, nl.augment_stretch((0.8, 1.2))), (0.5, nl.augment_dropout(RATE, duration=(0.2, 1))),
        nl.augment_noise(snr=(0, 20)), nl.augment_scale(inversion=0.5),
    )  # fmt: skip
    state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1)
    a, b = (nl.train(state, pairs, pairs, epochs=1, batch_size=2, augment=augment, **QUIET) for _ in range(2))
    assert a["training_info"]["train_losses"] == b["training_info"]["train_losses"]
    for pair, copy in zip(pairs, copies, strict=True):
        np.testing.assert_array_equal(pair[0], copy[0]), np.testing.assert_array_equal(pair[1], copy[1])
