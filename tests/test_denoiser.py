"""The denoiser that comes along, its recipe in small, and its benchmark."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import forking
import numpy as np
import pytest
import torch
from stopping import Stop

import neurallib as nl
from neurallib.examples import recipes, train_ecg_denoiser, unusual_beats

BENCHMARK = Path(__file__).parent.parent / "benchmarks" / "bench_denoising.py"
sys.path.insert(0, str(BENCHMARK.parent))
import bench_denoising  # noqa: E402
import drnn  # noqa: E402

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


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore:the best model is no better than a constant")  # after an epoch of some pieces
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
    result = benchmark(tmp_path, "--cross-validated", *folds, "--drnn", "0.02")
    rows = {(row["noise"], row["method"]): row for row in result["rows"]}
    assert rows["ma", "none"]["snr_improvement_db"] == pytest.approx(0, abs=1e-3)
    assert rows["em (simulated)", "none"]["snr_after_db"] == pytest.approx(6, abs=0.1)
    assert rows["ma", "best Butterworth"]["snr_improvement_db"] > 3
    assert 0 <= rows["ma", "neurallib"]["peaks_f1"] <= 1
    assert re.fullmatch(r"\d+ and \d+ steps", rows["ma", "DRNN-like LSTM"]["settings"])
    for fold in (0, 1):  # a state is asked for the record alone that it never met
        with pytest.raises(subprocess.CalledProcessError) as error:
            benchmark(tmp_path, "--cross-validated", folds[fold])
        assert "expected one that was not" in error.value.stderr


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore:the best model is no better than a constant")
def test_the_recipe_goes_on_within_a_training_that_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records(tmp_path)
    monkeypatch.setattr(nl, "train", partial(nl.train, callbacks=[Stop()], checkpoint_every=1))
    options = ["--records", str(tmp_path / "ecg"), "--noise", str(tmp_path / "noise"), "--threads", "1", "--folds", "0",
               "--epochs", "3", "--out"]  # fmt: skip
    Stop.at, Stop.steps = None, 0
    train_ecg_denoiser.main([*options, str(tmp_path / "whole")])
    n_steps = Stop.steps
    Stop.at, Stop.steps = (2, 0), 0
    with pytest.raises(RuntimeError, match="stopped"):
        train_ecg_denoiser.main([*options, str(tmp_path / "out")])
    assert Stop.steps >= 4
    train_ecg_denoiser.main([*options, str(tmp_path / "out")])
    assert Stop.steps <= n_steps + 1, "what was trained is not trained again"
    whole, state = (nl.load_checkpoint(tmp_path / out / "ecg_denoiser") for out in ("whole", "out"))
    for name, weight in whole["weights"].items():
        assert torch.equal(weight, state["weights"][name]), name
    told = json.loads((tmp_path / "out" / "ecg_denoiser" / "training_info.json").read_text())
    assert told.get("checkpoints_directory") is None, "what is shipped tells no place of this machine"


def benchmark(folder: Path, *options: str) -> dict[str, Any]:
    """The JSON line of the benchmark on the records of a folder."""
    run = forking.run(
        [BENCHMARK, "--records", folder / "ecg", "--noise", folder / "noise", "--snr", "6", "--minutes", "0.3",
         "--kinds", "ma", "em", *options], check=True,
    )  # fmt: skip
    told: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return told


def test_the_lstm_of_the_benchmark_learns_and_answers_for_each_sample_once() -> None:
    rng = np.random.default_rng(0)
    for n_steps in (700, 1024, 1030):
        signal = rng.standard_normal((n_steps, 1)) * 1000
        same = drnn.denoised(lambda x: x, {"signal": signal})
        np.testing.assert_allclose(same, signal, rtol=1e-4, atol=1e-2)
    recorded = {"bw": rng.standard_normal((2000, 2)).cumsum(0), "ma": rng.standard_normal((2000, 2))}
    noises = {name: {"signal": signal, "sampling_frequency": drnn.RATE} for name, signal in recorded.items()}
    noises |= {"em": None}

    def noise(kind: str, n_steps: int, generator: np.random.Generator) -> np.ndarray:
        return bench_denoising.noise_of(noises, kind, n_steps, drnn.RATE, generator)[:, 0]

    ecg = nl.synthetic_ecg(duration=20, sampling_frequency=drnn.RATE, seed=1, **QUIET)[0][:, None].astype(float)
    x, y = (torch.from_numpy(part) for part in drnn.batch([ecg], noise, np.random.default_rng(1)))
    errors = []
    for minutes in (0.0, 0.1):
        network, n_steps = drnn.trained([ecg], noise, minutes)
        errors.append(float(torch.nn.functional.mse_loss(network(x), y).detach()))
    assert n_steps > 0 and errors[1] < errors[0]


def test_what_the_benchmark_takes_for_clean_has_no_step_at_its_ends() -> None:
    whole, _ = nl.synthetic_ecg(duration=30, sampling_frequency=360, seed=1, **QUIET)
    peak = 3600 + int(whole[3600:3960].argmax())
    signal = whole[:, None].astype(float)
    expected = bench_denoising.cleaned({"signal": signal, "sampling_frequency": 360.0})[:peak]
    found = bench_denoising.cleaned({"signal": signal[:peak], "sampling_frequency": 360.0})
    assert np.abs(found - expected).max() < 0.2 * np.ptp(whole)


def other_shapes(x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return recipes.other_shapes(x, generator, 16, 0.8, (0.3, 3.0)), y


@pytest.mark.parametrize(
    "change",
    [other_shapes, unusual_beats.other_beats, unusual_beats.wide_waves, unusual_beats.ventricular_beats,
     unusual_beats.flutter],
)  # fmt: skip
def test_other_hearts_are_learnt_from_at_the_same_size_and_rhythm(change: Any) -> None:
    signal, beats = nl.synthetic_ecg(duration=6, sampling_frequency=180, seed=1, **QUIET)
    x = (signal - signal.mean())[:, None].astype(float)
    for seed in range(20):
        other, _ = change(x, x, np.random.default_rng(seed))
        assert other.shape == x.shape and np.isfinite(other).all()
        assert 0.02 < np.abs(other).max() / np.abs(x).max() < 4
        assert np.corrcoef(other[:, 0], x[:, 0])[0, 1] < 0.9999, "it is another signal"
        assert not change(0 * x, x, np.random.default_rng(seed))[0].any()


def test_in_flutter_no_beat_stands_out_and_the_rest_stays() -> None:
    x = nl.synthetic_ecg(duration=20, sampling_frequency=180, seed=1, **QUIET)[0][:, None].astype(float)
    for seed in range(10):
        fluttering = unusual_beats.flutter(x, x, np.random.default_rng(seed))[0][:, 0]
        stretch = np.flatnonzero(fluttering != x[:, 0])[60:-60]  # without what fades
        assert 0 < len(stretch) <= 12 * 180 and np.ptp(stretch) == len(stretch) - 1
        power = np.abs(np.fft.rfft(fluttering[stretch] - fluttering[stretch].mean())) ** 2
        frequency = np.fft.rfftfreq(len(stretch), 1 / 180)
        assert power[(frequency > 0.8) & (frequency < 26)].sum() > 0.9 * power.sum()
        assert np.abs(np.diff(fluttering[stretch])).max() < 0.5 * np.abs(fluttering).max(), "no QRS"


def test_ventricular_beats_are_of_one_shape_and_wide() -> None:
    x = np.zeros((1800, 1))
    x[90::180] = 1
    changed = [unusual_beats.ventricular_beats(x, x, np.random.default_rng(seed))[0][:, 0] for seed in range(20)]
    kept = [np.mean(one == x[:, 0]) for one in changed]
    assert max(kept) > 0.5, "most of some signals stays"
    beats = [np.flatnonzero(np.abs(one - x[:, 0]) > 0.2) for one in changed]
    assert np.mean([np.ptp(places[places < places[0] + 180]) for places in beats]) > 0.1 * 180


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
    augment = train_ecg_denoiser.augmentation(noise, {})
    piece = np.sin(np.arange(3600) / 7)[:, None]
    pairs = [augment(piece, piece, np.random.default_rng(seed)) for seed in range(60)]
    clean = [np.array_equal(x, y) for x, y in pairs]
    assert 0 < sum(clean) < 40, "clean ECG is among the inputs, and not alone"
    rough = [[np.abs(np.diff(part[:, 0])).max() / np.abs(part).max() for part in pair] for pair in pairs]
    assert max(y for _, y in rough) < 0.7 and max(x for x, _ in rough) > 0.8, "what is to be found has no noise"
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
