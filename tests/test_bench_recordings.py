"""Benchmarks on recordings: they run on any folder of annotated records, and say why where there is none."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import forking
import numpy as np
import pytest

import neurallib as nl

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
PEERS: dict[str, Any] = importlib.import_module("r_peak_detectors").PEERS
sys.path.remove(str(BENCHMARKS))


@pytest.fixture
def noisy_records(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("noisy_records")


def run(script: str, *options: str) -> "subprocess.CompletedProcess[str]":
    return forking.run([BENCHMARKS / script, *options], os.environ | {"NEURALLIB_DATA": ""})


def told(script: str, *options: str) -> str:
    done = run(script, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def write(folder: Path, name: str, signal: np.ndarray, beats: Any = (), rate: float = 360, unit: str = "mV") -> None:
    """A WFDB record of one channel [T], or of several [T, C], with its beats where there are any."""
    wfdb = pytest.importorskip("wfdb", reason="reads records")
    folder.mkdir(exist_ok=True)
    gain = 2000.0 if unit == "mV" else 2.0
    values = np.asarray(signal, float).reshape(len(signal), -1)
    n = values.shape[1]
    ways: dict[str, Any] = {"fmt": ["16"] * n, "adc_gain": [gain] * n, "baseline": [0] * n, "write_dir": str(folder)}
    wfdb.wrsamp(name, rate, [unit] * n, ["MLII", "V1", "V2"][:n], values, **ways)
    if len(beats):
        wfdb.wrann(name, "atr", np.asarray(beats), ["N"] * len(beats), write_dir=str(folder))


def write_ecg(folder: Path, *names: str, seconds: float = 60) -> Path:
    """Records of synthetic ECG."""
    for seed, name in enumerate(names):
        write(folder, name, *nl.synthetic_ecg(duration=seconds, sampling_frequency=360, seed=seed))
    return folder


@pytest.mark.parametrize("script", ["bench_r_peaks.py", "bench_denoising.py"])
def test_without_records_a_benchmark_is_skipped_and_says_so(script: str, tmp_path: Path) -> None:
    assert told(script, "--data", str(tmp_path)).startswith("skipped: no WFDB records")


def test_ours_and_others_are_compared_clean_and_in_noise(tmp_path: Path) -> None:
    ecg, noise = write_ecg(tmp_path / "ecg", "0", "1", "2"), tmp_path / "noise"
    write(noise, "ma", np.random.default_rng(0).standard_normal(360 * 120))
    options = ["--records", str(ecg), "--noise", str(noise), "--kinds", "clean", "ma", "em", "bw", "--by-record"]
    options += ["--snr", "18", "-6", "--minutes", "0.5", "--detectors", "neurallib", "find_peaks"]
    lines = told("bench_r_peaks.py", *options).splitlines()
    result = json.loads(lines[-1])
    assert result["benchmark"] == "r_peaks" and result["people"] == 3 and result["ours"] == "new to these"
    assert any(line.startswith("bw is skipped: no noise record bw") for line in lines)
    rows = {(row["kind"], row["snr"], row["detector"]): row for row in result["rows"]}
    levels = [("clean", None), ("ma", 18), ("ma", -6), ("em (simulated)", 18), ("em (simulated)", -6)]
    detectors = ("neurallib", "neurallib, all leads", "find_peaks")
    assert list(rows) == [(*level, name) for level in levels for name in detectors]
    assert all(row["hours"] == pytest.approx((3 if row["snr"] is None else 1.5) / 60, rel=0.01)
               and row["seconds_per_hour"] > 0 and row["raised"] == {} for row in rows.values())  # fmt: skip
    assert rows["clean", None, "neurallib"]["f1_50"] > 0.98 and rows["clean", None, "find_peaks"]["sensitivity"] > 0.9
    ahead = []
    for level in levels:  # of records with one lead
        assert rows[(*level, "neurallib")]["f1_50"] == rows[(*level, "neurallib, all leads")]["f1_50"]
        ours, other = rows[(*level, "neurallib")], rows[(*level, "find_peaks")]
        for name in ("f1_150", "f1_75", "f1_50"):
            ahead.append(other["against"][name]["difference"])
            assert ahead[-1] == pytest.approx(ours[name] - other[name], abs=1e-5)
            assert ours["intervals"][name][0] <= ours[name] <= ours["intervals"][name][1]
    assert max(ahead) > 0.01
    assert rows["ma", -6, "find_peaks"]["f1_150"] < rows["ma", 18, "find_peaks"]["f1_150"]
    titles = [line for line in lines if line.startswith("### ")]
    assert len(titles) == 5
    assert titles[2].startswith("### ma at -6 dB, ")
    assert titles[2].endswith("; neurallib, new to these; trained with this noise")
    by_record = [line.split(" ")[1] for line in lines if line.startswith(("| 0 ", "| 1 ", "| 2 "))]
    assert {name: by_record.count(name) for name in by_record} == dict.fromkeys("012", 15)


def test_ours_is_given_all_leads_too(tmp_path: Path) -> None:
    signal, beats = nl.synthetic_ecg(duration=60, sampling_frequency=360, seed=0)
    first = signal.copy()
    first[3600:14400] = 0.0
    write(tmp_path, "0", np.stack([first, signal], axis=1), beats)
    options = ["--records", str(tmp_path), "--kinds", "clean", "--detectors", "neurallib"]
    rows = json.loads(told("bench_r_peaks.py", *options).splitlines()[-1])["rows"]
    assert {row["detector"]: row["sensitivity"] == 1 for row in rows} == {
        "neurallib": False, "neurallib, all leads": True
    }  # fmt: skip


def test_a_peer_that_raises_has_found_nothing_and_the_table_says_so(tmp_path: Path) -> None:
    if PEERS["sleepecg"].missing():
        pytest.skip("sleepecg is not installed (extra bench)")
    write_ecg(tmp_path, "0")
    write(tmp_path, "flat", np.zeros(360 * 60), [1000, 2000])
    options = ["--records", str(tmp_path), "--kinds", "clean", "--detectors", "find_peaks", "sleepecg"]
    lines = told("bench_r_peaks.py", *options).splitlines()
    row = next(row for row in json.loads(lines[-1])["rows"] if row["detector"] == "sleepecg")
    assert list(row["raised"]) == ["flat"] and "against" not in row
    n_beats = len(nl.synthetic_ecg(duration=60, sampling_frequency=360, seed=0)[1])
    assert row["sensitivity"] == pytest.approx(n_beats / (n_beats + 2), abs=0.02)
    assert next(line for line in lines if line.startswith("| SleepECG ")).endswith("| 1 |")
    assert any(line.startswith("SleepECG raised on flat: ValueError") for line in lines)


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_finds_the_beats_of_a_lead_with_a_gap(name: str) -> None:
    if missing := PEERS[name].missing():
        pytest.skip(f"{' and '.join(missing)} is not installed (extra bench)")
    signal, beats = nl.synthetic_ecg(duration=60, sampling_frequency=360, seed=3)
    leads = np.stack([signal, np.random.default_rng(0).standard_normal(len(signal))], axis=1)
    leads[7200:9000] = np.nan
    recording = {"name": "0", "signal": leads, "sampling_frequency": 360.0,
                 "events": {"sample": beats, "symbol": ["N"] * len(beats)}}  # fmt: skip
    before = leads.copy()
    scores = nl.evaluate_recordings(PEERS[name], [recording])["gross"]
    assert scores["f1"] > 0.9 and np.array_equal(leads, before, equal_nan=True)
    assert scores["timing_sd_ms"] < 10 and abs(scores["timing_bias_ms"]) < (60 if name == "gqrs" else 15)


def shipped(folder: Path, dataset: str) -> Path:
    """The detector that comes along, as if it had been trained on something else."""
    state = nl.load_pretrained("ecg_r_peaks")
    state["training_info"]["train_dataset"] = dataset
    return nl.save_checkpoint(state, folder)


def test_a_record_gets_the_state_that_never_met_its_person(tmp_path: Path, noisy_records: Any) -> None:
    folds = [shipped(tmp_path / "a", "mitdb 101 201; nstdb bw ma"), shipped(tmp_path / "b", "mitdb 106; nstdb bw ma")]
    state_for = noisy_records.states_of("ecg_r_peaks", None, folds)
    trained = {name: state_for(name)["training_info"]["train_dataset"] for name in ("101", "106", "202", "e0103")}
    assert trained["106"] == trained["e0103"] == "mitdb 101 201; nstdb bw ma"
    assert trained["101"] == trained["202"] == "mitdb 106; nstdb bw ma", "201 and 202 are one person"
    only = noisy_records.states_of("ecg_r_peaks", None, folds[:1])
    with pytest.raises(ValueError, match="every state of --cross-validated was trained on 202"):
        only("202")
    held_out = nl.load_checkpoint(shipped(tmp_path / "c", "mitdb 202; nstdb bw ma of which two thirds"))
    assert noisy_records.has_met(held_out, "201") and not noisy_records.has_met(held_out, "20")
    assert noisy_records.has_met_noise(state_for("101")) and not noisy_records.has_met_noise(held_out)


def test_the_tables_say_what_ours_was_trained_on(tmp_path: Path) -> None:
    ecg, noise = write_ecg(tmp_path / "ecg", "101", "other", seconds=30), tmp_path / "noise"
    write(noise, "ma", np.random.default_rng(0).standard_normal(360 * 120))
    options = ["--records", str(ecg), "--noise", str(noise), "--kinds", "ma", "--snr", "6", "--detectors", "neurallib"]

    def said(*more: str) -> tuple[str, dict[str, Any]]:
        lines = told("bench_r_peaks.py", *options, *more).splitlines()
        return next(line for line in lines if line.startswith("### ")), json.loads(lines[-1])

    title, result = said()
    assert title.endswith("; neurallib, trained on 1 of these; trained with this noise") and result["noise_met"]
    learnt = {"a": "mitdb 101; nstdb bw ma of which two thirds", "b": "mitdb 106"}
    folds = [str(shipped(tmp_path / name, dataset)) for name, dataset in learnt.items()]
    title, result = said("--cross-validated", *folds)
    assert title.endswith("; neurallib, cross-validated") and result["ours"] == "cross-validated"
    assert not result["noise_met"]


def test_noise_has_the_records_rate_and_the_ratio_that_is_asked_for(tmp_path: Path, noisy_records: Any) -> None:
    ecg, noise = tmp_path / "ecg", tmp_path / "noise"
    for name, rate, unit in (("0", 180, "mV"), ("1", 360, "uV")):
        signal, beats = nl.synthetic_ecg(duration=20, sampling_frequency=rate, seed=1)
        write(ecg, name, signal * (1000 if unit == "uV" else 1), beats, rate, unit)
    write(noise, "ma", np.sin(np.arange(360 * 120) * 2 * np.pi * 12 / 360))
    _, noises = noisy_records.read_noises(noise)
    assert [recording["units"] for recording in noisy_records.recordings(ecg, None)] == [["mV"], ["mV"]]
    for recording, clean in noisy_records.noisy(ecg, noises, "ma", -6, 1):
        added = recording["signal"].astype(float) - clean
        assert 10 * np.log10(clean.var() / added.var()) == pytest.approx(-6, abs=0.05)
        spectrum = np.abs(np.fft.rfft(added[:, 0]))
        assert spectrum.argmax() * recording["sampling_frequency"] / len(added) == pytest.approx(12, abs=0.2)
        assert 0.3 < np.ptp(clean) < 5, "mV"
    write(ecg, "2", np.stack([signal, 0.1 * signal], axis=1), beats, 360)
    write(noise, "ma", np.stack([np.sin(np.arange(360 * 120) * 2 * np.pi * f / 360) for f in (12, 30)], axis=1))
    _, noises = noisy_records.read_noises(noise)
    *_, (recording, clean) = noisy_records.noisy(ecg, noises, "ma", 6, 1, all_leads=True)
    added = recording["signal"].astype(float) - clean
    np.testing.assert_allclose(10 * np.log10(clean.var(axis=0) / added.var(axis=0)), [6, 6], atol=0.05)
    found = np.abs(np.fft.rfft(added, axis=0)).argmax(axis=0) * 360 / len(added)
    np.testing.assert_allclose(sorted(found), [12, 30], atol=0.2)
    with pytest.raises(ValueError, match="mixed noise needs the noise record 'bw', which is not there"):
        noisy_records.noisy(ecg, noises, "mixed", 6, 1)
