"""The examples that learn from annotated records, in small, on records that are written here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import neurallib as nl
from neurallib.examples import (
    beat_classes,
    denoising,
    ecg_peaks,
    emg_gestures,
    fine_tuning,
    heart_rate_from_ppg,
    heart_rates,
    recipes,
    sleep_stages,
    transfer_learning,
)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEURALLIB_RESULTS_DIR", "set again by the examples, and taken back after")


def annotated_records(folder: Path, n: int) -> None:
    """Records of ECG of as many people, with beats of all classes."""
    wfdb = pytest.importorskip("wfdb", reason="reads records")
    for i in range(n):
        signal, beats = nl.synthetic_ecg(duration=70, sampling_frequency=360, seed=i)
        said: dict[str, Any] = {"fs": 360, "units": ["mV"], "sig_name": ["MLII"], "fmt": ["16"]}
        wfdb.wrsamp(f"{i}", p_signal=signal[:, None].astype(float), write_dir=str(folder), **said)
        symbols = np.resize(["N", "N", "A", "V"], len(beats)).tolist()
        wfdb.wrann(f"{i}", "atr", np.asarray(beats), symbols, write_dir=str(folder))


def test_classes_of_beats_are_learnt_in_three_ways_from_some_people_and_measured_on_others(tmp_path: Path) -> None:
    annotated_records(tmp_path, 4)
    small = ["--epochs", "1", "--people", "2", "--seeds", "2", "--quiet", "--out", str(tmp_path / "out")]
    scores = beat_classes.main(["--records", str(tmp_path), *small])
    assert scores.keys() == {"frozen", "fine-tuned", "from scratch"}
    assert all(len(values) == 2 and all(0 <= value <= 1 for value in values) for values in scores.values())


def test_parts_share_no_person_and_both_have_every_class(tmp_path: Path) -> None:
    annotated_records(tmp_path, 4)
    records = [beat_classes.beats_of(nl.read_recording(path), 125) for path in nl.list_recordings(tmp_path)]
    learnt, others = beat_classes.parts(records, 2, seed=0)
    assert not {record.person for record in learnt} & {record.person for record in others}
    assert len(learnt) == len(others) == 2
    x, y = beat_classes.windows_of(learnt[0], 125)[0]
    assert x.shape == (1250, 1) and set(np.unique(y)) == {-1, 0, 1, 2}
    with pytest.raises(ValueError, match="no 4 of 4 people"):
        beat_classes.parts(records, 4, seed=0)


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore:no R-peak is found")  # from scratch in eight epochs
def test_a_detector_is_fine_tuned_with_a_minute_a_person(tmp_path: Path) -> None:
    annotated_records(tmp_path, 3)
    small = ["--epochs", "8", "--people", "2", "--seeds", "1", "--quiet", "--out", str(tmp_path / "out")]
    scores = fine_tuning.main(["--records", str(tmp_path), *small])
    assert scores.keys() == {"as it comes", "frozen", "fine-tuned", "from scratch"}
    assert scores["fine-tuned"][0] > 0.8, "some steps are enough for a detector that knows beats at their own speed"


def test_fast_recordings_keep_their_beats_where_they_are(tmp_path: Path) -> None:
    annotated_records(tmp_path, 1)
    recording = nl.read_recording(tmp_path / "0")
    quick = fine_tuning.fast(recording)
    assert quick["sampling_frequency"] == 1080 and np.array_equal(nl.beats(quick), nl.beats(recording))
    end = fine_tuning.part(quick, 10)
    kept = nl.beats(quick)[nl.beats(quick) >= len(quick["signal"]) - 10_800]
    assert np.array_equal(nl.beats(end), kept - (len(quick["signal"]) - 10_800))


STILL: dict[str, Any] = {"baseline_wander": 0.0, "muscle_noise": 0.0, "mains_hum": 0.0}


def ecg(name: str = "a", seconds: float = 75, rate: float = 360.0) -> dict[str, Any]:
    """A recording without noise, of two leads and beats of all kinds, of nobody who has a name."""
    signal, beats = nl.synthetic_ecg(duration=seconds, sampling_frequency=rate, heart_rate=70, seed=0, **STILL)
    events = {"sample": beats, "symbol": np.resize(["N", "A", "+", "V", "/"], len(beats)).tolist()}
    return {"name": name, "person": None, "signal": np.stack([signal, -signal], axis=1), "sampling_frequency": rate,
            "channels": ["II", "V1"], "units": ["mV", "mV"], "events": events}  # fmt: skip


def test_beats_have_their_class_at_the_models_rate_and_what_is_no_beat_of_one_has_none() -> None:
    recording = ecg()
    record = beat_classes.beats_of(recording, 125)  # type: ignore[arg-type]
    kept = np.isin(recording["events"]["symbol"], ["N", "A", "V"])
    np.testing.assert_allclose(record.steps, recording["events"]["sample"][kept] * 125 / 360, atol=0.51)
    assert record.classes[:6].tolist() == [0, 1, 2] * 2 and (record.name, record.person) == ("a", "a")
    windows = beat_classes.windows_of(record, 125)
    x, labels = (np.concatenate(side) for side in zip(*windows, strict=True))
    assert [len(window) for window, _ in windows] == [1250] * 7 and np.array_equal(x, record.signal[:8750])
    inside = [(step, which) for step, which in zip(record.steps, record.classes, strict=True) if 20 < step < 8730]
    for step, which in inside:
        assert abs(np.abs(x[step - 20 : step + 21, 0]).argmax() - 20) <= 1
        assert (labels[step - 8 : step + 9] == which).all() and labels[step - 9] == labels[step + 9] == -1


def test_probabilities_of_a_beat_are_those_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    record = beat_classes.beats_of(ecg(), 125)  # type: ignore[arg-type]
    ramp = np.arange(3.0 * len(record.signal)).reshape(-1, 3)
    monkeypatch.setattr(nl, "predict_recording", lambda *_, **__: {"output": ramp})
    found = beat_classes.found({}, record, 125)  # type: ignore[typeddict-item]
    np.testing.assert_allclose(found[1:-1], ramp[record.steps[1:-1]])


def test_labels_of_a_minute_lie_around_its_beats_at_the_detectors_rate() -> None:
    recording, detector = fine_tuning.fast(ecg()), nl.load_pretrained("ecg_r_peaks")  # type: ignore[arg-type]
    windows = fine_tuning.windows_of(recording, detector)
    assert len(windows) == 2, "of 25 s, which were 75"
    rate = detector["preprocessing"]["sampling_frequency"] or 0.0
    beats = nl.beats(recording) / recording["sampling_frequency"] * rate
    for k, (x, labels) in enumerate(windows):
        assert x.shape == labels.shape == (10 * rate, 1)
        edges = np.flatnonzero(np.diff(labels[:, 0], prepend=0, append=0))
        middles = (edges[::2] + edges[1::2] - 1) / 2 + k * len(x)
        inside = beats[(beats >= k * len(x)) & (beats < (k + 1) * len(x))]
        widths, whole = edges[1::2] - edges[::2], slice(1, -1)
        assert len(middles) in (len(inside), len(inside) + 1), "a label may reach over an edge of its window"
        near = np.abs(middles[whole, None] - beats).min(axis=1)
        assert near.max() <= 1 and set(widths[whole]) == {1 + 2 * round(0.02 * rate)}


def test_what_learns_with_frozen_layers_has_those_of_the_detector_and_from_scratch_has_none() -> None:
    detector = nl.load_pretrained("ecg_r_peaks")
    ways = fine_tuning.ways(detector, seed=1)
    for name, state in ways.items():
        kept = [torch.equal(state["weights"][one], weight) for one, weight in detector["weights"].items()]
        assert not any(kept) if name == "from scratch" else all(kept), name
        assert bool(state["frozen"]) == (name == "frozen") and state["preprocessing"]["fold"] == 2
    assert not any(name.startswith("fc_out") for name in ways["frozen"]["frozen"])
    ways = beat_classes.ways(detector, seed=1)
    layer, head = "gru_layers.0.weight_ih_l0", "fc_out.weight"
    for name, state in ways.items():
        same = torch.equal(state["weights"][layer], detector["weights"][layer])
        assert same == (name != "from scratch") and bool(state["frozen"]) == (name == "frozen")
        assert state["hparams"]["num_classes"] == 3 and len(state["weights"][head]) == 3 * 2  # fold


def test_signals_cut_from_recordings_have_their_beats_and_parts_people_of_their_own() -> None:
    recordings = [ecg(name) for name in "abcde"]
    people: dict[str, set[str]] = {}
    for part, name, signal, peaks in ecg_peaks.recorded_examples(recordings, seed=0):  # type: ignore[arg-type]
        people.setdefault(part, set()).add(name.split("_")[0])
        assert len(signal) == 125 * {"train": 5, "val": 5, "test": 10}[part]
        assert all(abs(np.abs(signal[p - 12 : p + 13]).argmax() - 12) <= 1 for p in peaks if 12 <= p < len(signal) - 12)
    assert set.union(*people.values()) == set("abcde") and sum(map(len, people.values())) == 5
    labels = nl.peak_labels(np.array([100, 300]), 400, ecg_peaks.LABEL_HALF_WIDTH)
    assert ecg_peaks.find_r_peaks(0.9 * labels[:, None]).tolist() == [100, 300]


def test_noise_is_mixed_in_at_the_ratios_that_are_said_and_recorded_at_any_rate(tmp_path: Path) -> None:
    noise = denoising.synthetic_noise(60)
    for noisy, clean in denoising.mixed(8, noise, seed=0):
        ratio = 20 * np.log10(clean.std() / (noisy - clean).std())
        assert noisy.shape == clean.shape == (8 * 125, 1) and -3.01 < ratio < 9.01
        assert np.abs(np.diff(clean[:, 0], 2)).mean() < np.abs(np.diff(noisy[:, 0], 2)).mean()
    tone = np.sin(2 * np.pi * 7 * np.arange(5000) / 500)
    np.savez(tmp_path / "noise.npz", signal=np.stack([tone, 0 * tone], axis=1), sampling_frequency=500)
    expected = np.sin(2 * np.pi * 7 * np.arange(1250) / 125)
    np.testing.assert_allclose(denoising.recorded_noise(tmp_path / "noise.npz")[50:-50], expected[50:-50], atol=0.01)


def test_rates_are_those_of_the_beats_that_a_signal_shows(tmp_path: Path) -> None:
    x, y = heart_rates.write_heart_rates(tmp_path / "rates", 8)
    assert [len(list((x / part).iterdir())) for part in ("train", "val", "test")] == [8, 2, 2]
    detector = nl.load_pretrained("ecg_r_peaks")
    for path in sorted(x.rglob("*.npy")):
        peaks = nl.find_r_peaks(detector, {"signal": np.load(path), "sampling_frequency": 100.0})
        assert np.load(y / path.relative_to(x))[0] == pytest.approx(100 / np.diff(peaks).mean(), rel=0.04)
    assert heart_rate_from_ppg.rate_of(np.array([0, 64, 128])) == 60
    assert np.isnan(heart_rate_from_ppg.rate_of(np.array([64])))


def test_features_of_a_night_are_the_power_of_each_band_in_whole_epochs() -> None:
    t = np.arange(75 * 64) / 64
    eeg = np.where(t < 30, np.sin(2 * np.pi * 10 * t), np.sin(2 * np.pi * 1 * t))
    events = {"sample": np.array([0, 30 * 64]), "symbol": ["Sleep stage W", "Sleep stage ?"], "duration": [30.0, 30.0]}
    night: Any = {"name": "n", "signal": eeg[:, None], "sampling_frequency": 64.0, "events": events}
    features = sleep_stages.features(night)
    assert features.shape == (2, 6) and features.argmax(axis=1).tolist() == [3, 0]
    louder = sleep_stages.features(night | {"signal": 10 * eeg[:, None]})
    assert (louder - features).max() == pytest.approx(np.log(100), rel=1e-3)
    assert sleep_stages.stages(night)[:2].tolist() == [0, -1]


def test_a_table_tells_the_percent_of_each_true_gesture() -> None:
    confusion = np.zeros((8, 8), int)
    confusion[1, :2] = 1, 3
    rows = [line.split() for line in emg_gestures.table(confusion).splitlines()]
    assert rows[2] == ["flexion", "25", "75", *["0"] * 6] and rows[1] == ["rest", *["0"] * 8]
    assert [len(name) <= 4 for name in rows[0]] == [True] * 8


def test_what_recipes_share(tmp_path: Path) -> None:
    t = np.arange(3600) / 360
    signal = np.stack([np.sin(2 * np.pi * 5 * t) + 3, np.cos(2 * np.pi * 5 * t)], axis=1)
    gap = signal.copy()
    gap[100:103] = np.nan
    at = np.arange(1250) / 125
    for values in (signal, gap):
        found = recipes.resampled({"signal": values, "sampling_frequency": 360.0}, 125)  # type: ignore[typeddict-item]
        expected = np.stack([np.sin(10 * np.pi * at) + 3, np.cos(10 * np.pi * at)], axis=1)
        assert found.dtype == np.float32 and np.median(np.abs(found - expected)) < 0.01
        np.testing.assert_allclose(found[50:-50], expected[50:-50], atol=0.02 if values is signal else 2)
    high = recipes.high_passed(signal, 360)
    np.testing.assert_allclose(high[720:-720], (signal - [3, 0])[720:-720], atol=0.05)
    noise = {"bw": np.arange(30), "ma": np.arange(10)}
    for name, record in noise.items():
        parts = recipes.heard(noise)[name], recipes.kept(noise)[name]
        assert np.array_equal(np.concatenate(parts), record) and len(parts[0]) == round(len(record) * 2 / 3)
    pulse = recipes.smooth(np.eye(1, 101, 50)[0], 3.0)
    assert pulse.sum() == pytest.approx(1) and pulse.argmax() == 50
    assert np.sqrt(pulse @ (np.arange(101) - 50) ** 2) == pytest.approx(3, rel=0.01)
    assert recipes.over_seeds([0.5, 0.25, 0.75]) == "0.500 (0.250 to 0.750; 3 seeds)"


def test_a_denoisers_signals_are_of_the_same_heart_with_and_without_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(5):
        noisy, clean, peaks = transfer_learning.noisy_ecg(seed)
        assert noisy.shape == clean.shape == (500, 1) and np.corrcoef(noisy[:, 0], clean[:, 0])[0, 1] > 0.2
        assert np.abs(np.diff(clean[:, 0], 2)).mean() < np.abs(np.diff(noisy[:, 0], 2)).mean()
        _, labels = transfer_learning.with_labels(seed)
        assert (labels[peaks] == 1).all() and labels.sum() <= 7 * len(peaks)
    test = [(x, peaks) for x, _, peaks in map(transfer_learning.noisy_ecg, range(3))]
    for size, f1 in ((1.0, 1.0), (0.0, 0.0)):
        answers = [size * nl.peak_labels(peaks, 500, 3)[:, None] for _, peaks in test]
        monkeypatch.setattr(nl, "predict", lambda *_, answers=answers: answers)
        assert transfer_learning.f1({}, test) == f1  # type: ignore[typeddict-item]
