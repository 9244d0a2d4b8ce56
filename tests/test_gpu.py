"""What a GPU computes is what a CPU computes: run where there is one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import CASES, QUIET, Case, data, make_batch, make_state
from stopping import run, stopped

import neurallib as nl

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
each_case = pytest.mark.parametrize("case", CASES, ids=str)


def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)


def trained(case: Case, **options: Any) -> nl.State:
    state = make_state(case, dropout=0.0, learning_rate=1e-2, seed=0)
    return nl.train(state, data(state), data(state, seed=1), epochs=3, batch_size=4, seed=0, **QUIET, **options)


@each_case
def test_training_learns_the_same(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    found = trained(case)
    assert found["training_info"]["gpu_model"] == torch.cuda.get_device_name(0)
    assert all(weight.device.type == "cpu" for weight in found["weights"].values())
    on_cpu(monkeypatch)
    expected = trained(case)
    assert expected["training_info"]["gpu_model"] is None
    for key in ("train_losses", "val_losses"):
        np.testing.assert_allclose(found["training_info"][key], expected["training_info"][key], rtol=2e-3, atol=1e-4)


@each_case
def test_gradients_are_the_same(case: Case) -> None:
    state, gradients = make_state(case, dropout=0.0, seed=0), []
    for device in ("cuda", "cpu"):
        network = nl.build_network(state, torch.device(device))
        batch = {name: part.to(device) for name, part in make_batch(state, [9, 4, 1]).items()}
        target = batch["y"].float() if case.architecture.endswith("ED") else None
        (network(batch["x"], batch["lengths"], target) ** 2).sum().backward()
        gradients.append({name: weight.grad.cpu() for name, weight in network.named_parameters()})
    for name, expected in gradients[1].items():  # cuDNN multiplies in TF32, of 10 bits
        atol = 5e-3 * float(expected.abs().max()) + 1e-5
        torch.testing.assert_close(gradients[0][name], expected, rtol=0, atol=atol)


@each_case
def test_answers_are_the_same(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    state = make_state(case)
    signals = [x for x, _ in data(state)]
    found = nl.predict(state, signals)
    on_cpu(monkeypatch)
    for one, other in zip(found, nl.predict(state, signals), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_dropout_learns_too() -> None:
    state = make_state(Case("GRUseq2seq", "binary"), dropout=0.3)
    info = nl.train(state, data(state), data(state, seed=1), epochs=3, batch_size=4, **QUIET)["training_info"]
    assert np.isfinite(info["train_losses"]).all()


@pytest.mark.parametrize("precision", ["16-mixed", "bf16-mixed"])
@pytest.mark.parametrize("architecture", ["GRUseq2seq", "Transformerseq2seq"])
def test_half_precision_learns(architecture: str, precision: str) -> None:
    losses = trained(Case(architecture, "binary"), precision=precision)["training_info"]["train_losses"]
    assert losses[-1] < losses[0]


def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", seed=0)
    stopped((2, 1), tmp_path / "parts", seed=0)
    found = run(tmp_path / "parts", seed=0, resume=True)
    assert len(found["training_info"]["train_losses"]) == 5
    for name, weight in whole["weights"].items():
        torch.testing.assert_close(found["weights"][name], weight, rtol=1e-3, atol=1e-4)


def test_models_that_come_along_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    signal, _ = nl.synthetic_ecg(duration=60, sampling_frequency=250, seed=1)
    recording = {"signal": signal[:, None], "sampling_frequency": 250.0, "channels": ["II"], "units": ["mV"]}
    detectors = [nl.load_pretrained(name) for name in ("ecg_r_peaks", "ecg_r_peaks_stream")]
    denoiser = nl.load_pretrained("ecg_denoiser")
    peaks = [nl.find_r_peaks(state, recording) for state in detectors]
    clean = nl.predict_recording(denoiser, recording)["output"]
    on_cpu(monkeypatch)
    for state, found in zip(detectors, peaks, strict=True):
        assert np.array_equal(found, nl.find_r_peaks(state, recording))
    np.testing.assert_allclose(clean, nl.predict_recording(denoiser, recording)["output"], rtol=0, atol=1e-3)
