"""R-peaks of recordings with several leads, by the detector that comes along, which hears one."""

import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neurallib as nl
from neurallib.prediction import leads
from neurallib.signals.recording_parts import ecg_leads, signals_of

RATE = 250.0
STATE = nl.load_pretrained("ecg_r_peaks")


def heart() -> tuple[np.ndarray, np.ndarray]:
    """Signal [T] and R-peaks of 40 seconds."""
    signal, r_peaks = nl.synthetic_ecg(duration=40, sampling_frequency=RATE, seed=4)
    return signal, r_peaks


def of_leads(*columns: np.ndarray, names: tuple[str, ...] = ("II", "V5")) -> dict[str, Any]:
    return {"signal": np.stack(columns, axis=1), "sampling_frequency": RATE, "channels": list(names)}


def without(signal: np.ndarray, r_peaks: np.ndarray) -> np.ndarray:
    """The signal with a line in place of some QRS complexes."""
    signal = signal.copy()
    for peak in r_peaks:
        low, high = max(int(peak) - 20, 0), min(int(peak) + 20, len(signal) - 1)
        signal[low:high] = np.linspace(signal[low], signal[high], high - low)
    return signal


def found_of(true: np.ndarray, recording: dict[str, Any], **options: Any) -> float:
    found = nl.find_r_peaks(STATE, recording, **options)
    return nl.peak_scores(true, found, sampling_frequency=RATE, tolerance=0.05)["f1"]


def test_a_beat_that_one_lead_shows_is_found() -> None:
    signal, r_peaks = heart()
    recording = of_leads(without(signal, r_peaks[4::9]), without(signal, r_peaks[8::9]))
    assert found_of(r_peaks, recording) == 1
    for lead in ("II", 1):
        assert found_of(r_peaks, recording, channel=lead) < 0.97


@pytest.mark.parametrize("off", ["flat", "nan", "noise"])
@pytest.mark.parametrize("place", [0, 1])
def test_a_lead_that_is_off_takes_no_beat_away(off: str, place: int) -> None:
    signal, r_peaks = heart()
    nothing = {
        "flat": np.full(len(signal), 3.3), "nan": np.full(len(signal), np.nan),
        "noise": 0.01 * np.random.default_rng(0).standard_normal(len(signal)),
    }[off]  # fmt: skip
    assert found_of(r_peaks, of_leads(*((nothing, signal) if place == 0 else (signal, nothing)))) == 1


@pytest.mark.parametrize("kind", ["white", "wander"])
@pytest.mark.parametrize("n_bad", [3, 11])
def test_many_leads_without_beats_do_not_outvote_the_one_that_has_them(kind: str, n_bad: int) -> None:
    signal, r_peaks = heart()
    bad = np.random.default_rng(0).standard_normal((n_bad, len(signal)))
    bad = bad.cumsum(axis=1) if kind == "wander" else bad
    names = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")[: n_bad + 1]
    for columns in ((signal, *bad), (*bad, signal)):
        found = nl.find_r_peaks(STATE, of_leads(*columns, names=names))
        assert nl.peak_scores(r_peaks, found, sampling_frequency=RATE, tolerance=0.012)["f1"] == 1, "and their places"


def test_a_state_of_streams_hears_several_leads_too() -> None:
    signal, r_peaks = heart()
    state, recording = nl.load_pretrained("ecg_r_peaks_stream"), of_leads(without(signal, r_peaks[4::9]), signal)
    for missing, options in ((0, {}), (4, {"channel": "II"})):
        found = nl.find_r_peaks(state, recording, **options)
        scores = nl.peak_scores(r_peaks, found, sampling_frequency=RATE, tolerance=0.05)
        assert scores["true_positives"] == len(r_peaks) - missing and scores["false_positives"] == 0


def test_a_lead_that_is_noisy_in_a_pause_does_not_beat_for_the_others() -> None:
    signal, r_peaks = heart()
    pause = signal.copy()
    pause[3000:9000] = signal[3000]
    noisy = pause + 0.05 * np.random.default_rng(0).standard_normal(len(pause))
    columns = (*[pause] * 5, noisy)
    found = nl.find_r_peaks(STATE, of_leads(*columns, names=("I", "II", "III", "V1", "V2", "V3")))
    assert ((found > 3100) & (found < 8900)).sum() == 0


def test_places_are_no_nearer_than_the_least_distance() -> None:
    signal, r_peaks = heart()
    other = np.roll(signal, 22)  # 88 ms later
    for distance in (0.2, 0.3, 1.5):
        found = nl.find_r_peaks(STATE, of_leads(signal, other), min_distance=distance, snap=0)
        assert np.diff(found).min() >= distance * RATE
    moved = leads._moved(np.array([0, 10, 20]), np.array([8, 8, 21]), np.full(3, True), 10)
    assert moved.tolist() == [0, 10, 21], "two events that would meet in one stay where they are"


def test_a_lead_may_be_off_for_a_while() -> None:
    signal, r_peaks = heart()
    second, third = signal.copy(), 0.5 * signal
    second[1000:4000], third[5000:8000] = 1.0, np.nan
    assert found_of(r_peaks, of_leads(second, third)) == 1
    assert found_of(r_peaks, of_leads(second, third), channel=0) < 0.9


@pytest.mark.parametrize("seconds", [2, 4, 8, 12])
@pytest.mark.parametrize("off", ["flat", "rail", "noise", "hum"])
@pytest.mark.filterwarnings("ignore:.* far from all else")
def test_beats_that_one_lead_shows_stay_while_others_are_off(off: str, seconds: float) -> None:
    signal, r_peaks = heart()
    n, rng = round(seconds * RATE), np.random.default_rng(0)
    hum = 0.05 * np.sin(2 * np.pi * 50 / RATE * np.arange(n))
    line = {"flat": 0.0, "rail": 5.0, "noise": 0.02 * rng.standard_normal(n), "hum": hum}[off]
    for n_off in (1, 2):
        for start in (2000, 5100, 6900):
            others = [signal.copy() for _ in range(n_off)]
            for other in others:
                other[start : start + n] = line
            found = nl.find_r_peaks(STATE, of_leads(*others, 0.7 * signal, names=("I", "II", "V5")[: n_off + 1]))
            there, all_there = (((x > start) & (x < start + n)).sum() for x in (found, r_peaks))
            assert abs(there - all_there) <= 1


@pytest.mark.parametrize("n_leads", [1, 2])
def test_one_bar_shows_how_far_all_leads_are_heard(
    n_leads: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    signal, _ = heart()
    recording, state = of_leads(*[signal] * n_leads, names=("II", "V5")[:n_leads]), nl.load_pretrained("ecg_r_peaks")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    quiet = nl.find_r_peaks(state, recording)
    assert "predicting" not in capsys.readouterr().err
    np.testing.assert_array_equal(nl.find_r_peaks(state, recording, enable_progress_bar=True), quiet)
    shown = capsys.readouterr().err
    assert "predicting" in shown and shown.count(" 0%|") == 1
    with pytest.raises(TypeError, match="enable_progress_bar='yes'"):
        nl.find_r_peaks(state, recording, enable_progress_bar="yes")  # type: ignore[arg-type]


def test_channels_that_are_no_leads_are_not_heard() -> None:
    signal, r_peaks = heart()
    pulse = np.roll(np.abs(signal), 70)
    alone = nl.find_r_peaks(STATE, of_leads(signal, names=("ECG II",)))
    for columns, names in (
        ((pulse, signal), ("PLETH", "ECG II")),
        ((signal, pulse, pulse), ("ECG II", "Resp", "ABP")),
    ):
        assert np.array_equal(nl.find_r_peaks(STATE, of_leads(*columns, names=names)), alone)
    mixed = of_leads(signal, pulse) | {"units": ["mV", "mmHg"]}
    volts = STATE | {"preprocessing": STATE["preprocessing"] | {"units": ["mV"]}}
    assert np.array_equal(nl.find_r_peaks(volts, mixed), alone)


def test_where_no_name_is_that_of_a_lead_the_first_channel_is_taken_with_a_word() -> None:
    signal, _ = heart()
    recording = of_leads(signal, -signal, names=("a", "b"))
    alone = nl.find_r_peaks(STATE, of_leads(signal, names=("a",)))
    with pytest.warns(UserWarning, match="2 channels are a, b: none has a name of an ECG lead, and the first is taken"):
        assert np.array_equal(nl.find_r_peaks(STATE, recording), alone)
    assert np.array_equal(nl.find_r_peaks(STATE, recording, channel="a"), alone)
    del recording["channels"]
    with pytest.warns(UserWarning, match=r"2 channels have no names, and the first is taken. find_r_peaks\(.*channel="):
        assert np.array_equal(nl.find_r_peaks(STATE, recording), alone)
    recording["signal"] = np.stack([np.full(len(signal), np.nan), signal], axis=1)
    with pytest.warns(UserWarning, match="2 channels have no names, and channel 1 is taken"):
        assert np.array_equal(nl.find_r_peaks(STATE, recording), alone)


def test_a_column_of_times_is_no_lead() -> None:
    signal, _ = heart()
    times = np.arange(len(signal)) / RATE
    given = {"signal": np.stack([times, signal], axis=1), "sampling_frequency": RATE}
    with pytest.warns(UserWarning, match="2 channels have no names, and channel 1 is taken"):
        found = nl.find_r_peaks(STATE, given)
    assert np.array_equal(found, nl.find_r_peaks(STATE, given, channel=1))
    for asked in ((given, 0), ({**given, "signal": times}, None)):
        with pytest.warns(UserWarning, match="does nothing but rise, as times and counters do"):
            nl.find_r_peaks(STATE, asked[0], channel=asked[1])


def test_a_state_that_does_not_say_that_it_finds_r_peaks_hears_the_first_channel() -> None:
    signal, _ = heart()
    other = STATE | {"postprocessing": STATE["postprocessing"] | {"outputs": ["pulse"]}}
    recording = of_leads(np.roll(signal, 40), signal, names=("PLETH", "II"))
    assert np.array_equal(nl.find_r_peaks(other, recording), nl.find_r_peaks(STATE, recording, channel=0))


@pytest.mark.parametrize("channels", ["II", 3])
def test_names_that_are_no_list_are_told(channels: Any) -> None:
    with pytest.raises(TypeError, match=f"channels={channels!r}; expected a list of names"):
        nl.find_r_peaks(STATE, of_leads(heart()[0], names=()) | {"channels": channels})


def test_peaks_are_those_of_the_first_lead_where_none_is_lead_two() -> None:
    signal, r_peaks = heart()
    for lag in (-8, 8):
        other = np.roll(signal, lag)
        for first, second, true in ((signal, other, r_peaks), (other, signal, r_peaks + lag)):
            found = nl.find_r_peaks(STATE, of_leads(first, second, names=("V1", "V5")))
            assert nl.peak_scores(true, found, sampling_frequency=RATE, tolerance=0.01)["f1"] == 1


@pytest.mark.parametrize(
    "name",
    "II MLII ML2 DII D2 lead-2 "
    "Lead_II ECG_II MDC_ECG_LEAD_II II_(mV) Ableitung_II Derivación_II".split(),
)  # fmt: skip
def test_peaks_are_those_of_lead_two_wherever_it_is(name: str) -> None:
    signal, r_peaks = heart()
    names = ("I", "III", "ECG2", name)
    others = [np.roll(signal, 8)] * 3
    assert ecg_leads(of_leads(*others, signal, names=names)) == [3, 0, 1, 2]
    found = nl.find_r_peaks(STATE, of_leads(*others, signal, names=names))
    assert nl.peak_scores(r_peaks, found, sampling_frequency=RATE, tolerance=0.01)["f1"] == 1


@pytest.mark.parametrize(
    "name, is_one",
    [
        (name, True)
        for name in "MLII i aVR V5 ECG ECG2 ekg Lead_III ECG_V2 vx DII LeadII lead-2 II_(mV) ECG1-ECG2 Ch1_ECG".split()
    ] + [
        (name, False)
        for name in "PLETH EEG_C3-A2 EOG ABP Resp 0 ch1 VI av SpO2 ECG_Rate ECG_R_Peaks EKG_Off EEG_ECG V".split()
    ],
)  # fmt: skip
def test_leads_are_known_by_their_names(name: str, is_one: bool) -> None:
    assert bool(ecg_leads(of_leads(np.zeros(9), names=(name.replace("_", " "),)))) is is_one


PROBABILITIES = st.lists(st.sampled_from([np.nan, 0.0, 0.001, 0.2, 0.6, 0.9, 1.0]), min_size=30, max_size=30)


@given(PROBABILITIES, PROBABILITIES, st.lists(st.integers(0, 30), max_size=5), st.integers(1, 12))
def test_leads_vote_as_in_a_loop_over_steps_however_their_rows_are_cut(
    one: list[float], other: list[float], cuts: list[int], size: int
) -> None:
    p = np.array([one, other])

    def weight(lead: int, t: int) -> float:
        block = t // size
        near = [q for q in p[lead, max(0, (block - 1) * size) : (block + 2) * size] if np.isfinite(q)]
        undecided = np.mean([1 - abs(2 * q - 1) for q in near])
        return float(((undecided + 1e-4) / (np.mean(near) + 1e-3) + 0.1) ** -2)

    def hearing(lead: int, t: int) -> float:
        reach = max(1, round(size / 4))
        near = p[:, max(0, t - reach) : t + reach + 1]
        sure = [sum(max(2 * q - 1, 0) for q in row if np.isfinite(q)) for row in near]
        share = [part / (2 * reach + 1) + 0.01 for part in sure]
        return min(share[lead] / (0.5 * max(share)), 1) ** 2

    def vote(t: int) -> float:
        told = [lead for lead in (0, 1) if np.isfinite(p[lead, t])]
        if not told:
            return np.nan
        logits = [6 * np.sign(q - 0.5) if q in (0, 1) else np.clip(np.log(q / (1 - q)), -6, 6) for q in p[told, t]]
        weights = [weight(lead, t) * hearing(lead, t) for lead in told]
        return float(1 / (1 + np.exp(-np.average(logits, weights=weights))))

    rows = [iter(np.split(p[0][:, None], sorted(cuts))), iter([p[1][:, None]])]
    found = np.concatenate(list(leads.together(rows, size / 4)))
    np.testing.assert_allclose(found[:, 0], [vote(t) for t in range(30)], rtol=1e-6)
    np.testing.assert_array_equal(found[:, 1:], p.T)


def test_what_does_nothing_but_rise_is_no_signal_where_it_is_long_enough_to_tell() -> None:
    rises = np.arange(100.0)
    signal = np.column_stack([rises, np.zeros(100), rises // 2, np.sin(rises)])
    assert signals_of({"signal": signal}) == [1, 2, 3] and signals_of({"signal": signal[:49]}) == [0, 1, 2, 3]
