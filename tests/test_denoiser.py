"""The denoiser that comes along, its recipe in small, and its benchmark."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import neurallib as nl
from neurallib.examples import train_ecg_denoiser

BENCHMARK = Path(__file__).parent.parent / "benchmarks" / "bench_denoising.py"
QUIET: dict[str, Any] = {"baseline_wander": 0.0, "muscle_noise": 0.0, "mains_hum": 0.0}


def records(folder: Path, seconds: float = 65) -> None:
    """Two records of ECG that DS1 has names for, and two of noise."""
    wfdb = pytest.importorskip("wfdb", reason="reads records")
    said: dict[str, Any] = {"fs": 360, "units": ["mV", "mV"], "sig_name": ["MLII", "V1"], "fmt": ["16", "16"]}
    rng = np.random.default_rng(0)
    for seed, name in enumerate(("101", "106", "bw", "ma")):
        signal, beats = nl.synthetic_ecg(duration=seconds, sampling_frequency=360, seed=seed, **QUIET)
        two = np.stack([signal, -signal], axis=1) if name.isdigit() else rng.standard_normal((len(signal), 2))
        place = folder / ("ecg" if name.isdigit() else "noise")
        place.mkdir(exist_ok=True)
        wfdb.wrsamp(name, p_signal=two.astype(float), write_dir=str(place), **said)
        wfdb.wrann(name, "atr", beats, ["N"] * len(beats), write_dir=str(place))


@pytest.mark.filterwarnings("ignore:the best model is no better than a constant")  # after an epoch of some pieces
@pytest.mark.filterwarnings("ignore:the original NeuralLib takes signals as they are")
def test_the_recipe_goes_on_where_it_was_stopped_and_its_folds_are_benchmarked(tmp_path: Path) -> None:
    records(tmp_path)
    folders = ["--records", str(tmp_path / "ecg"), "--noise", str(tmp_path / "noise"), "--out", str(tmp_path / "out")]
    options = [*folders, "--epochs", "1", "--fold-epochs", "1", "--threads", "1"]
    measured = train_ecg_denoiser.main(options)
    assert {record["name"] for record in measured[6]["records"]} == {"101", "106"}
    state = nl.load_checkpoint(tmp_path / "out" / "ecg_denoiser")
    for key in ("steps", "fold", "normalization", "target_normalization", "window", "sampling_frequency"):
        assert state["preprocessing"][key] == nl.load_pretrained("ecg_denoiser")["preprocessing"][key], key
    written = (tmp_path / "out" / "denoiser_fold_0" / "model_weights.safetensors").stat().st_mtime_ns
    again = train_ecg_denoiser.main(options)
    assert again[6]["average"] == pytest.approx(measured[6]["average"], nan_ok=True)
    assert (tmp_path / "out" / "denoiser_fold_0" / "model_weights.safetensors").stat().st_mtime_ns == written

    folds = [str(tmp_path / "out" / f"denoiser_fold_{fold}") for fold in (0, 1)]
    result = benchmark(tmp_path, "--cross-validated", *folds)
    rows = {(row["noise"], row["method"]): row for row in result["rows"]}
    assert rows["ma", "none"]["snr_improvement_db"] == pytest.approx(0, abs=1e-3)
    assert rows["em (simulated)", "none"]["snr_after_db"] == pytest.approx(6, abs=0.1)
    assert rows["ma", "best Butterworth"]["snr_improvement_db"] > 3
    assert 0 <= rows["ma", "neurallib"]["peaks_f1"] <= 1
    for fold in (0, 1):  # a state is asked for the record alone that it never met
        with pytest.raises(subprocess.CalledProcessError) as error:
            benchmark(tmp_path, "--cross-validated", folds[fold])
        assert "expected one that was not" in error.value.stderr


def benchmark(folder: Path, *options: str) -> dict[str, Any]:
    """The JSON line of the benchmark on the records of a folder."""
    run = subprocess.run(
        [sys.executable, str(BENCHMARK), "--data", str(folder / "ecg"), "--noise", str(folder / "noise"),
         "--snr", "6", "--minutes", "0.3", "--kinds", "ma", "em", *options],
        capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": str(Path(nl.__file__).parent.parent)},
    )  # fmt: skip
    told: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return told


def test_clean_is_what_holds_hardly_anything_but_ecg() -> None:
    rate = train_ecg_denoiser.SAMPLING_FREQUENCY
    clean, _ = nl.synthetic_ecg(duration=20, sampling_frequency=rate, seed=1, **QUIET)
    clean, t = clean - clean.mean(), np.arange(len(clean)) / rate
    assert train_ecg_denoiser.is_clean(clean) and train_ecg_denoiser.is_clean(-1000 * clean)
    muscles = 0.05 * np.random.default_rng(0).standard_normal(len(clean))
    artefact = 12 * np.exp(-(((t - 10) / 0.2) ** 2))
    for noise in (muscles, 0.3 * np.sin(2 * np.pi * 0.8 * t), artefact):
        assert not train_ecg_denoiser.is_clean(clean + noise)
    assert not train_ecg_denoiser.is_clean(0 * clean)
    slow, _ = nl.synthetic_ecg(duration=41, sampling_frequency=rate, seed=2, **QUIET)
    recording = {"signal": np.stack([slow, 2 * np.roll(slow, 9)], axis=1), "sampling_frequency": float(rate)}
    pieces = train_ecg_denoiser.clean_pieces(recording)
    assert [piece.shape for piece in pieces] == [(20 * rate, 1)] * 6, "of both leads, and of one in between"
    noisy = np.stack([slow, slow + 0.2 * np.random.default_rng(0).standard_normal(len(slow))], axis=1)
    assert len(train_ecg_denoiser.clean_pieces(recording | {"signal": noisy})) == 2


def test_a_decibel_is_worth_the_same_in_loud_noise_and_in_little_and_in_any_unit() -> None:
    y = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 500, 1)))
    error, lengths = torch.ones_like(y), torch.tensor([500])
    loud, quiet = (
        [float(train_ecg_denoiser.decibels(y + size * error, y, lengths)) for size in (a, a / 2)] for a in (2.0, 0.5)
    )
    assert loud[0] - loud[1] == pytest.approx(quiet[0] - quiet[1], abs=0.05)
    scaled = float(train_ecg_denoiser.decibels(1000 * (y + error), 1000 * y, lengths))
    assert scaled == pytest.approx(float(train_ecg_denoiser.decibels(y + error, y, lengths)), abs=1e-5)


def test_what_is_learnt_is_the_signal_before_its_noise() -> None:
    rng = np.random.default_rng(0)
    noise = {name: rng.standard_normal((20_000, 2)) for name in ("bw", "ma")}
    augment = train_ecg_denoiser.augmentation(noise)
    piece = np.sin(np.arange(3600) / 7)[:, None]
    pairs = [augment(piece, piece, np.random.default_rng(seed)) for seed in range(60)]
    clean = [np.array_equal(x, y) for x, y in pairs]
    assert 0 < sum(clean) < 40, "clean ECG is among the inputs, and not alone"
    assert all(np.abs(y).max() < 2.1 for _, y in pairs) and max(np.abs(x).max() for x, _ in pairs) > 3
    assert np.mean([(x * y).sum() > 0 for x, y in pairs]) > 0.9, "upside down both or none"


def noisy_and_clean(rate: float, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Synthetic ECG [T, 1] in mV with the noise of muscles and a baseline that wanders, and the same without."""
    ecg: dict[str, Any] = {"duration": 60, "sampling_frequency": rate, "heart_rate": 70, "seed": seed}
    clean, _ = nl.synthetic_ecg(**ecg, **QUIET)
    clean = clean - clean.mean()
    added = np.random.default_rng(seed).standard_normal(len(clean)) * noise
    added += 0.3 * np.sin(2 * np.pi * 0.17 * np.arange(len(clean)) / rate)
    return (clean + added)[:, None], clean[:, None]


@pytest.mark.parametrize("rate", [180.0, 250.0, 500.0])
@pytest.mark.parametrize("noise", [0.05, 0.3])
def test_noise_is_taken_off_at_any_rate(rate: float, noise: float) -> None:
    noisy, clean = noisy_and_clean(rate, noise, seed=int(rate))
    answer = nl.predict_recording(nl.load_pretrained("ecg_denoiser"), {"signal": noisy, "sampling_frequency": rate})
    assert nl.denoising_scores(clean, noisy, answer["output"])["snr_improvement_db"] > 5


def test_the_answer_is_the_same_in_mv_and_uv_and_hardly_another_upside_down() -> None:
    noisy, clean = noisy_and_clean(360.0, 0.1, seed=4)
    state = nl.load_pretrained("ecg_denoiser")

    def denoised(signal: np.ndarray, unit: str = "mV") -> np.ndarray:
        recording = {"signal": signal, "sampling_frequency": 360.0, "channels": ["II"], "units": [unit]}
        output: np.ndarray = nl.predict_recording(state, recording)["output"]
        return output

    found = denoised(noisy)
    assert np.abs(denoised(1000 * noisy, "uV") / 1000 - found).max() < 1e-3
    assert nl.denoising_scores(-clean, -noisy, denoised(-noisy))["snr_improvement_db"] > 5


def test_clean_ecg_stays_as_it_is() -> None:
    clean, _ = nl.synthetic_ecg(duration=60, sampling_frequency=360, seed=2, **QUIET)
    clean = (clean - clean.mean())[:, None]
    answer = nl.predict_recording(nl.load_pretrained("ecg_denoiser"), {"signal": clean, "sampling_frequency": 360.0})
    error = answer["output"] - clean
    assert 10 * np.log10(clean.var() / error.var()) > 15
