"""R-peaks told from noise: none in noise alone, all in noisy ECG, and a word where it is not sure."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import neurallib as nl
from neurallib.prediction.certainty import check_beats, told_from_noise
from neurallib.prediction.spikes import without_spikes

RATE = 250.0
MODELS = ("ecg_r_peaks", "ecg_r_peaks_stream")
each_model = pytest.mark.parametrize("name", MODELS)


def noise(kind: str, seconds: float = 60) -> np.ndarray:
    n, rng = round(seconds * RATE), np.random.default_rng(0)
    white = rng.standard_normal(n)
    if kind == "white":
        return white
    if kind == "pink":
        frequencies = np.fft.rfft(white)
        return np.asarray(np.fft.irfft(frequencies / np.sqrt(np.arange(len(frequencies)) + 1.0), n))
    return np.asarray(white * (1 + np.sin(np.arange(n) / 300)))  # as of a muscle that comes and goes


def heart(noise: float = 0.05, seconds: float = 60) -> tuple[np.ndarray, np.ndarray]:
    return nl.synthetic_ecg(duration=seconds, sampling_frequency=RATE, muscle_noise=noise, heart_rate=75, seed=1)


def found(state: nl.State, *columns: np.ndarray, **options: Any) -> np.ndarray:
    names = ["II", "V1", "V5"][: len(columns)]
    given = {"signal": np.stack(columns, axis=1), "sampling_frequency": RATE, "channels": names}
    return nl.find_r_peaks(state, given, **options)


@each_model
@pytest.mark.parametrize("kind", ["white", "pink", "muscle"])
def test_noise_alone_has_no_r_peaks_and_is_told(name: str, kind: str) -> None:
    state, x = nl.load_pretrained(name), noise(kind)
    assert len(found(state, x, doubt=2)) > 5, "what would be taken for beats"
    with pytest.warns(UserWarning, match=r"in 100% of the recording, from 0 s on, .* might be some are left out"):
        assert len(found(state, x)) == 0
    with pytest.warns(UserWarning, match="beats cannot be told from noise"):
        assert len(found(state, x[:2500])) == 0, "ten seconds tell as much"
    with pytest.warns(UserWarning, match="beats cannot be told from noise"):
        assert len(found(state, x, x[::-1])) == 0, "nor do two leads have any"


@each_model
def test_noisy_ecg_keeps_its_r_peaks(name: str) -> None:
    signal, true = heart(noise=0.3)
    state = nl.load_pretrained(name)
    for given in ((signal,), (signal, -signal), (signal, noise("white"))):
        assert nl.peak_scores(true, found(state, *given), sampling_frequency=RATE)["f1"] > 0.97


@each_model
def test_beats_stay_where_an_electrode_was_off_for_a_while(name: str) -> None:
    signal, true = heart(seconds=120)
    signal[10_000:22_500] = noise("white", 50)
    with pytest.warns(UserWarning, match=r"in \d\d% of the recording, from (44|48|52) s on, .*electrode that was off"):
        peaks = found(nl.load_pretrained(name), signal)
    assert ((peaks > 13_500) & (peaks < 19_000)).sum() == 0
    for start, stop in ((0, 9_500), (23_000, 30_000)):
        there, all_there = ((values >= start) & (values < stop) for values in (peaks, true))
        assert abs(there.sum() - all_there.sum()) <= 2


@pytest.mark.parametrize("start", [0, 5500, 12_500])
def test_no_beat_is_found_in_a_pause_whose_noise_is_nothing_beside_beats(start: int) -> None:
    signal, true = heart()
    state, stop = nl.load_pretrained("ecg_r_peaks"), start + 2500
    pause = signal.copy()
    pause[start:stop] = signal[start] + 0.01 * np.random.default_rng(0).standard_normal(2500)
    inside = slice(start + 50 * (start > 0), stop - 50 * (stop < len(signal)))
    for leads in ((pause,), (pause, -0.5 * pause)):
        there, doubted = (np.isin(np.arange(len(signal))[inside], found(state, *leads, **options)).sum()
                          for options in ({}, {"doubt": 2}))  # fmt: skip
        assert there == 0
        assert start == 5500 or doubted > 0, "of 10 s between beats every window knows how large these are"
    both = found(state, pause, 0.5 * signal)
    assert nl.peak_scores(true, both, sampling_frequency=RATE)["f1"] > 0.98, "another lead shows that there are beats"


def test_beats_beside_long_pauses_are_as_large_as_others() -> None:
    signal, true = heart(noise=0.005)
    cuts = true[9:-1:10] + 125  # half a second behind every tenth
    pauses = [np.full(2000, signal[at]) for at in cuts]
    paused = np.concatenate([part for pair in zip(np.split(signal, cuts), [*pauses, []], strict=True) for part in pair])
    paused += 0.004 * np.random.default_rng(0).standard_normal(len(paused))
    beats = true + 2000 * np.searchsorted(cuts, true)
    scores = nl.peak_scores(beats, found(nl.load_pretrained("ecg_r_peaks"), paused), sampling_frequency=RATE)
    assert scores["f1"] == 1, "in windows that mostly rest noise had been as large as beats"


@each_model
def test_the_last_digit_of_a_flat_line_has_no_beats_and_is_told(name: str) -> None:
    state, rng = nl.load_pretrained(name), np.random.default_rng(0)
    flat = 1000.0 + (rng.random(15_000) < 0.01)
    assert len(found(state, flat, doubt=2)) > 30, "what would be taken for beats"
    for leads in ((flat.astype(np.int16),), (0.005 * flat, 0.005 * flat[::-1])):
        with pytest.warns(UserWarning, match=r"(\d+) of the \1 that were found are no larger than a step"):
            assert len(found(state, *leads)) == 0
    signal, true = heart()
    for lsb in (0.01, 0.1):  # the R-peaks are 1 mV
        coarse = np.round(signal / lsb).astype(np.int16)
        for leads in ((coarse,), (flat, coarse)):
            assert nl.peak_scores(true, found(state, *leads), sampling_frequency=RATE)["f1"] > 0.97


def test_t_waves_that_are_taken_for_beats_are_told() -> None:
    steps, beats = np.arange(7500) / RATE, np.arange(0.5, 29, 0.8)
    both = [sum((size * np.exp(-0.5 * ((steps - beat - late) / width) ** 2) for beat in beats), np.zeros(7500))
            for size, late, width in ((1, 0, 0.011), (1.2, 0.26, 0.03))]  # fmt: skip
    stream = nl.load_pretrained("ecg_r_peaks_stream")
    with pytest.warns(UserWarning, match=r"every second of the R-peaks .* within 0\.33 s .* T waves"):
        assert len(found(stream, both[0] + both[1])) > 1.9 * len(beats)
    found(stream, both[0])
    with warnings.catch_warnings():  # nor is a bigeminus one, nor a newborn's heart, whose 0.33 s lie between samples
        warnings.simplefilter("error")
        check_beats(np.cumsum([500, 1100] * 20), 40_000, 56, 1000.0)
        check_beats(np.cumsum([41, 42] * 20), 1700, 7, 125.0)


def test_beats_that_become_much_smaller_stay() -> None:
    signal, _ = heart(noise=0.0)
    signal[7500:] /= 30
    state = nl.load_pretrained("ecg_r_peaks")
    peaks = found(state, signal)
    assert (peaks > 8000).sum() > 30 and np.array_equal(peaks, found(state, signal, doubt=2))


def test_a_state_that_sets_no_limit_finds_all_and_a_word_tells_of_noise() -> None:
    state = nl.load_pretrained("ecg_r_peaks")
    del state["postprocessing"]["events"]["doubt"]
    x = noise("white")
    wanted = found(nl.load_pretrained("ecg_r_peaks"), x, doubt=2)
    with pytest.warns(UserWarning, match=f"noise: {len(wanted)} of the {len(wanted)} that were found lie there"):
        assert np.array_equal(found(state, x), wanted)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found(state, heart()[0])


def test_a_part_counts_with_three_on_either_side() -> None:
    sure, unsure = np.array([1000, 100.0, 10.0]), np.array([1000, 100.0, 200.0])
    events = np.array([1, 4000, 8000, 12_000, 16_000, 20_000, 24_000])  # at 1 kHz, one in each part of 4 s
    for heard, left_out in (([unsure] * 7, 7), ([sure] * 3 + [unsure] * 4, 1), ([sure, unsure, sure] * 2 + [sure], 0)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert len(told_from_noise(events, heard, 1000.0, 1.65)) == 7 - left_out


@pytest.mark.parametrize(("undecided", "told"), [(150.0, 0), (180.0, 1)])
def test_a_word_is_said_of_a_tenth_that_could_be_noise_and_of_events_that_are_left_out(
    undecided: float, told: int
) -> None:
    heard = [np.array([1000, 100.0, 5.0])] * 60 + [np.array([1000, 100.0, undecided])] * 13
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for n, words in ((len(heard), told), (45, 0)):  # a seventh of it, and nothing
            told_from_noise(np.array([100]), heard[:n], 1000.0, None)
            assert len(said) == words
            said.clear()
        told_from_noise(np.array([100]), heard, 1000.0, 1.7)
        assert not said, "nothing was left out"


@pytest.mark.parametrize("value", [0.0, -3.2, 32767.0])
def test_a_line_that_is_flat_all_the_time_is_told(value: float) -> None:
    state = nl.load_pretrained("ecg_r_peaks")
    with pytest.warns(UserWarning, match="no R-peak is found in 60 s: a flat line"):
        assert len(found(state, np.full(15_000, value))) == 0
    with pytest.warns(UserWarning, match="no R-peak is found in 60 s: a flat line"):
        assert len(found(state, np.full(15_000, value), np.full(15_000, value))) == 0
    assert len(found(state, np.full(750, value))) == 0, "a heart may pause for three seconds"
    assert len(found(state, np.full(15_000, value), threshold=0.4)) == 0, "whoever looks for a threshold knows"


def test_a_rate_that_makes_beats_too_slow_or_too_fast_is_told() -> None:
    state = nl.load_pretrained("ecg_r_peaks")
    signal, true = heart()  # 75 a minute
    slow, fast = "found 26 times a minute: is sampling_frequency=83", "found 2.. times a minute: .*=700 right.*so fast"
    for times, words in ((1 / 3, slow), (2.8, fast)):
        given = {"signal": signal[:, None], "sampling_frequency": times * RATE}
        with pytest.warns(UserWarning, match=words):
            assert len(nl.find_r_peaks(state, given)) > 0.9 * len(true)
    nl.find_r_peaks(state, given, min_distance=0.1)  # is for a heart so fast
    for times in (0.45, 1.0, 2.4):
        assert len(nl.find_r_peaks(state, given | {"sampling_frequency": times * RATE})) > 0.9 * len(true)
    state["postprocessing"]["outputs"] = ["breath"]
    nl.find_r_peaks(state, given | {"sampling_frequency": RATE / 3})


def faster(times: int, late: float = 0.0) -> list[tuple[np.ndarray, np.ndarray]]:
    """A minute of signal [T, 1] and labels [T, 1] with so many steps for one of the rate that the detectors have."""
    signal, true = nl.synthetic_ecg(duration=60, sampling_frequency=125.0 * times, heart_rate=70, seed=1)
    return [(signal[:, None], nl.peak_labels(true + round(late * 125 * times), len(signal), 2)[:, None])]


@each_model
def test_arrays_without_a_rate_in_which_a_detector_hears_noise_are_told(name: str) -> None:
    state = nl.load_pretrained(name)
    late = state["postprocessing"]["events"].get("delay", 0.0)  # where the labels are that it learnt from
    fast = faster(8, late)
    for call in (nl.predict, nl.evaluate, lambda state, pairs: list(nl.iter_predict(state, [pairs[0][0]]))):
        with pytest.warns(UserWarning, match="taken as of 125 Hz, the state's, and what is found cannot be told from"):
            call(state, fast)
        call(state, faster(1, late))
    nl.predict(state, [fast[0][0]], sampling_frequency=1000)
    del state["postprocessing"]["events"]["doubt"]
    nl.evaluate(state, fast)  # who does not say what is noise is not doubted


@pytest.mark.filterwarnings("ignore:the state was trained on windows", "ignore:sampling_frequency changes")
def test_labels_of_beats_that_come_too_slowly_for_a_heart_are_told_where_a_detector_is_trained() -> None:
    state, options = nl.load_pretrained("ecg_r_peaks"), {"epochs": 1, "batch_size": 1, "dry_run": True}
    fast, none = faster(4), [(np.zeros((10_000, 1)), np.zeros((10_000, 1)))]
    with pytest.warns(UserWarning, match="taken as of 125 Hz, and 1[78] R-peaks a minute are labelled"):
        nl.train(state, fast + none, fast, **options)
    nl.train(state, fast, fast, sampling_frequency=500, **options)
    nl.train(state, faster(1) + 3 * none, faster(1), **options)  # signals without a beat are no slow hearts
    state["postprocessing"]["outputs"] = ["breath"]
    nl.train(state, fast, fast, **options)


def test_what_finds_no_beats_is_not_held_against_the_sureness_of_beats() -> None:
    state, given = nl.load_pretrained("ecg_r_peaks"), {"signal": noise("pink")[:, None], "sampling_frequency": RATE}
    del state["postprocessing"]["events"]["doubt"]
    with pytest.warns(UserWarning, match="beats cannot be told from noise"):
        unsure = nl.find_r_peaks(state, given, snap=0)
    state["postprocessing"]["outputs"] = ["K-complex"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(nl.find_r_peaks(state, given, snap=0), unsure)
        nl.find_r_peaks(state, {**given, "signal": given["signal"][:200]})


@pytest.mark.parametrize(("doubt", "error"), [(-0.1, ValueError), (2.1, ValueError), ("much", TypeError)])
def test_a_wrong_limit_is_told(doubt: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="doubt"):
        found(nl.load_pretrained("ecg_r_peaks"), heart()[0], doubt=doubt)


def paced(rate: float, size: float, wide: int = 1, back: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A minute of ECG, without and with spikes that have nothing to do with its beats, and its beats; `back` of a spike
    is left behind it for some hundredths of a second."""
    signal, true = nl.synthetic_ecg(duration=60, sampling_frequency=rate, muscle_noise=0.02, seed=2)
    spikes = np.zeros(len(signal))
    spikes[round(rate / 3) :: round(0.47 * rate)] = size
    spikes[round(rate / 3) - 1 :: round(0.47 * rate)] = 0.1 * size  # the filter of the recorder
    after = np.concatenate([np.ones(wide), -back * np.exp(-np.arange(round(0.1 * rate)) / (0.02 * rate))])
    return signal, signal + np.convolve(spikes, after)[: len(signal)], true


@pytest.mark.parametrize(("rate", "wide"), [(200.0, 2), (360.0, 2), (1000.0, 5)])
def test_spikes_that_no_heart_makes_are_not_heard(rate: float, wide: int) -> None:
    signal, given, true = paced(rate, 12.0, wide)
    recording = {"signal": np.stack([given, signal], axis=1), "sampling_frequency": rate}
    recording["signal"][-200:, 0] = np.nan
    kept = recording["signal"].copy()
    made = without_spikes(recording, [0, 1], 125.0)["signal"]
    np.testing.assert_array_equal(made[:, 1], signal)
    np.testing.assert_array_equal(np.isnan(made[:, 0]), np.isnan(kept[:, 0]))
    assert np.nanmax(np.abs(made[:, 0] - signal)) < 1 and (made[:, 0] != given)[:-200].mean() < 0.1
    for start in (5, round(rate / 3), round(20.5 * rate)):  # read piece by piece it is the same
        np.testing.assert_array_equal(made[start : start + 99], np.asarray(made)[start : start + 99])
    np.testing.assert_array_equal(recording["signal"], kept)
    if rate == 200:
        for name in MODELS:
            assert nl.peak_scores(true, found(nl.load_pretrained(name), given), sampling_frequency=rate)["f1"] > 0.97


def test_what_may_be_a_wave_stays_as_it_is() -> None:
    beats = nl.synthetic_ecg(duration=60, sampling_frequency=250, muscle_noise=0.02, seed=2)[0]
    after_a_pause = np.where(np.arange(len(beats)) // 250 % 30 < 24, 0.05, 1.0) * beats
    for what, x, rate in (
        ("beats", beats, 250.0), ("twice as fast", beats[::2], 250.0), ("after a pause", after_a_pause, 250.0),
        ("an electrode that comes back slowly", paced(250.0, 12.0, back=0.6)[1], 250.0),
        ("small ones", paced(250.0, 1.0)[1], 250.0), ("noise", noise("white"), 1000.0),
        ("bursts", noise("burst"), 1000.0),
        ("at the state's rate", paced(125.0, 12.0)[1], 125.0), ("pulses", (np.arange(9000) % 200 == 9) * 1.0, 250.0),
        ("nothing", np.full(500, np.nan), 250.0),
    ):  # fmt: skip
        recording = {"signal": x, "sampling_frequency": rate}
        assert without_spikes(recording, [0], 125.0) is recording, what
