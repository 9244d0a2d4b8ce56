"""Augmentations: what each does to a signal, and that what is said of the signal stays true."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from augmenting import RATE, beats, drawn
from cases import QUIET

import neurallib as nl
from neurallib.signals.augmenting import label_runs


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
        nl.augment_rhythm(RATE, (0.4, 2.5)),
        nl.augment_lead((-30, 30)),
        nl.augment_resampling(RATE, (60, 100)),
        nl.augment_pacing(RATE, (0.1, 0.2)),
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
    assert len(x) == 3000 and len(label_runs(0.6 * y)) == len(label_runs(beats()[1]))
    assert np.diff([top for _, top in tops(x, y)]).mean() == pytest.approx(1.5 * 97, rel=0.01)


@pytest.mark.parametrize("shape", [(2000,), (2000, 1), (2000, 3)])
def test_no_event_of_a_single_step_is_lost_where_time_goes_faster(shape: tuple[int, ...]) -> None:
    at, y = np.append(np.arange(40, 1950, 97), 1999), np.zeros(shape, np.float32)
    y[at] = np.eye(3)[np.arange(len(at)) % 3] if shape[1:] == (3,) else 1
    x = np.arange(2000.0)[:, None]
    rhythm = nl.augment_rhythm(RATE, (0.2, 0.9), irregularity=(1, 1), kept=0)
    for seed, augment in itertools.product(range(5), (nl.augment_stretch((0.2, 0.9)), rhythm)):
        shorter, labels = drawn(augment, seed, pair=(x, y))
        found = np.flatnonzero(labels.reshape(len(labels), -1).max(axis=1))
        off = np.abs(shorter[found, 0] - at)[:-1]  # the last step may be behind all that are left
        assert off.max() <= 0.5 + 0.5 * 1999 / (len(shorter) - 1) and (labels[found] == y[at]).all()


def test_what_is_not_known_stays_unknown() -> None:
    x, labels = beats()
    y = 0.2 + 0.6 * labels.astype(np.float32)
    y[300:500] = np.nan
    _, stretched = drawn(nl.augment_stretch((2, 2)), pair=(x, y))
    assert np.isnan(stretched).mean() == pytest.approx(0.1, abs=0.002) and len(np.unique(stretched)) == 3


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
    gains = [drawn(nl.augment_scale((0.01, 100)), seed, (x, x))[0][0, 0] for seed in range(50)]
    assert 0.25 < np.mean(np.less(gains, 1)) < 0.75, "as likely smaller as larger"
    drifting = drawn(nl.augment_scale((1, 1), drift=(0.2, 2)), pair=(x, x))[0]
    assert np.ptp(drifting) > 0.2 and 0.2 <= drifting.min() and drifting.max() <= 2
    assert np.abs(np.diff(drifting[:, 0])).max() < 0.02


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_another_rhythm_moves_beats_and_leaves_their_shape(factor: float) -> None:
    (x, y), kept = beats(), 0.12
    moved, labels = drawn(nl.augment_rhythm(RATE, (factor, factor), irregularity=(1, 1), kept=kept), pair=(x, y))
    before, after = ([top for _, top in tops(*pair)] for pair in ((x, y), (moved, labels)))
    around = 2 * round(kept * RATE) + 1
    assert len(after) == len(before)
    np.testing.assert_allclose(np.diff(after), around + factor * (97 - around), atol=1)
    assert {high - low for low, high in label_runs(labels)} <= {12, 13, 14}  # 13 before
    for old, new in zip(before, after, strict=True):
        shapes = [values[top - 6 : top + 7, 0] for values, top in ((x, old), (moved, new))]
        assert np.corrcoef(*shapes)[0, 1] > 0.97


def test_an_uneven_rhythm_has_a_distance_of_its_own_between_all_beats() -> None:
    y = drawn(nl.augment_rhythm(RATE, (1, 1), irregularity=(0.5, 2)))[1]
    distances = np.diff([low for low, _ in label_runs(y)])
    assert len(set(distances.tolist())) > 0.7 * len(distances) and np.ptp(distances) > 30


def test_beats_at_the_ends_and_no_beats_at_all_have_a_rhythm() -> None:
    augment, x = nl.augment_rhythm(RATE, (2, 2), irregularity=(1, 1)), np.zeros((300, 1))
    for at, n_steps in (([0, 299], 300 + 300 - 2 * 16 - 1), ([], 599), ([150], 599 - 31)):
        y = nl.peak_labels(np.array(at, dtype=int), 300, 3)[:, None]
        moved, labels = drawn(augment, pair=(x, y))
        assert len(moved) == len(labels) and len(labels) == pytest.approx(n_steps, abs=2)
        assert len(label_runs(labels)) == len(at)


def spikes(seed: int, pair: Any = None, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """What a pacemaker adds to the signal, and from each beat's middle to the spikes before it, in seconds."""
    x, y = pair or beats()
    paced, labels = drawn(nl.augment_pacing(RATE, (1, 1), **options), seed, (x, y))
    np.testing.assert_array_equal(labels, y)
    added = (paced - x)[:, 0]
    middles = [(low + high - 1) / 2 for low, high in label_runs(y)]
    return added, np.array([(middle - np.flatnonzero(np.abs(added) > 0.8)) / RATE for middle in middles], dtype=float)


def test_a_pacemaker_spikes_before_beats_of_one_chamber_or_of_both() -> None:
    x, y = beats()
    pair, kinds, shares = (x / np.ptp(x), y), set(), []
    for seed in range(60):  # lags of whole samples, so that a spike is one
        added, lags = spikes(seed, pair, ventricular=(0.048, 0.048), atrial=(0.176, 0.176))
        chambers = {lag for lag in (0.048, 0.176) if (np.abs(lags - lag) < 1e-6).any()}
        kinds.add(tuple(sorted(chambers)))
        paced = [any(np.abs(of_beat - lag).min() < 1e-6 for lag in chambers) for of_beat in lags]
        shares.append(np.mean(paced))
        loud = np.abs(added) > 0.8
        assert (np.abs(added[loud]) < 1.2).all() and loud.sum() <= 2 * len(lags) + 2
        assert 0.3 <= shares[-1] <= 1
    assert kinds == {(0.048,), (0.176,), (0.048, 0.176)}
    assert 0.4 < np.mean(np.array(shares) > 0.9) < 0.95  # of most signals all beats, of the others some


def test_spikes_point_either_way_and_have_a_size_for_each_channel() -> None:
    x, y = beats()
    both = np.concatenate([x, 10 * x], axis=1)
    ways = set()
    for seed in range(20):
        added = drawn(nl.augment_pacing(RATE, (1, 1)), seed, (both, y))[0] - both
        assert np.abs(added[:, 1]).max() == pytest.approx(10 * np.abs(added[:, 0]).max(), rel=1e-6)
        ways.add(tuple(np.sign(added[np.abs(added[:, 0]).argmax()])))
    assert ways == {(1, 1), (1, -1), (-1, 1), (-1, -1)}


def test_without_events_there_is_nothing_to_pace() -> None:
    x, _ = beats()
    for y in (np.zeros((len(x), 1)), np.full((len(x), 1), np.nan), np.array([1.0])):
        assert np.array_equal(drawn(nl.augment_pacing(RATE), pair=(x, y))[0], x)


def test_a_turned_lead_has_other_waves_in_the_same_place() -> None:
    x, y = beats()
    turned = {angle: drawn(nl.augment_lead((angle, angle)), pair=(x, y))[0] for angle in (0, 90, 180, -90)}
    np.testing.assert_allclose(turned[0], x, atol=1e-12)
    np.testing.assert_allclose(turned[180] - turned[180].mean(), x.mean() - x, atol=1e-12)
    np.testing.assert_allclose(turned[90] + turned[-90], 2 * x.mean(), atol=1e-12)
    for low, high in label_runs(y)[1:-1]:
        part = turned[90][low - 20 : high + 20, 0]
        ends = np.sort([part.argmin(), part.argmax()])
        assert ends.mean() == pytest.approx((len(part) - 1) / 2, abs=1) and 4 < np.ptp(ends) < 12


def test_a_lead_is_a_mixture_of_all_of_them_and_as_large() -> None:
    x = np.random.default_rng(0).standard_normal((3000, 3)) * [1, 10, 100]
    for mix in (0.0, 0.3, 1.0):
        largest = np.zeros(3)
        for seed in range(10):
            mixed, _ = drawn(nl.augment_lead((0, 0), mix=mix), seed, (x, x))
            shares, *_ = np.linalg.lstsq(x, mixed, rcond=None)
            np.testing.assert_allclose(np.diag(shares), 1)
            others = np.abs(shares * x.std(axis=0)[:, None] / x.std(axis=0)) - np.eye(3)
            largest = np.maximum(largest, others.max(axis=0))
        assert (largest <= mix + 1e-9).all() and (largest >= 0.6 * mix).all()
    assert not drawn(nl.augment_lead(), pair=(np.zeros((50, 2)), np.zeros(50)))[0].any()


def test_a_slower_recorder_loses_what_is_fast_and_keeps_what_is_slow() -> None:
    t = np.arange(4000) / RATE
    slow, fast = (np.sin(2 * np.pi * f * t)[:, None] for f in (1.0, 45.0))
    augment = nl.augment_resampling(RATE, (50, 50))
    assert np.abs(drawn(augment, pair=(slow, slow))[0] - slow)[5:-5].max() < 0.01
    kept = np.abs(np.fft.rfft(drawn(augment, pair=(fast, fast))[0][:, 0]))[round(45 * 4000 / RATE)] / 2000
    assert kept < 0.5


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
    for augment in (nl.augment_crop(100), nl.augment_stretch((0.5, 0.5)), nl.augment_dropout(RATE),
                    nl.augment_rhythm(RATE), nl.augment_lead(), nl.augment_pacing(RATE),
                    nl.augment_resampling(RATE, (50, 60))):  # fmt: skip
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
        (lambda: nl.augment_rhythm(RATE, (0, 1)), "factor=0"),
        (lambda: nl.augment_rhythm(RATE, irregularity=2), "irregularity=2"),
        (lambda: nl.augment_rhythm(-1), "sampling_frequency=-1"),
        (lambda: nl.augment_pacing(RATE, (0, 1)), "size=0"),
        (lambda: nl.augment_pacing(RATE, atrial=(0.2, 0.1)), "lower number first"),
        (lambda: nl.augment_lead((60, -60)), "lower number first"),
        (lambda: nl.augment_lead(mix=2), "mix=2"),
        (lambda: nl.augment_resampling(RATE, (0, 50)), "rate=0"),
        (lambda: nl.compose_augmentations((1.5, nl.augment_crop(3))), "probability of part 0"),
        (lambda: nl.compose_augmentations("crop"), "part 0 is a str; expected a function"),
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


def test_the_last_part_is_drawn_as_well() -> None:
    x = np.arange(4.0)[:, None]
    assert {drawn(nl.augment_crop(3), seed, (x, x))[0][0, 0] for seed in range(20)} == {0, 1}


def test_events_are_lost_where_another_label_is_not_known() -> None:
    x, y = beats()
    y = np.concatenate([y.astype(float), np.full_like(y, np.nan, dtype=float)], axis=1)
    lost = drawn(nl.augment_dropout(RATE, duration=(60, 60)), pair=(x, y))[1]
    assert not np.nanmax(lost[:, 0])
