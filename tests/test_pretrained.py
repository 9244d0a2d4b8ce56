"""Models that come along: they load without a network, and find what they are for."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurallib as nl
from neurallib.storage.pretrained import DIRECTORY

RECORDS = Path(__file__).parent.parent.parent / "shared" / "data" / "mitdb"
FILES = {
    "README.md", "hparams.yaml", "model_weights.safetensors", "picture.png", "preprocessing.json", "training_info.json"
}  # fmt: skip
each_model = pytest.mark.parametrize("name", nl.list_pretrained())


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a model that comes along asked the network")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)


def test_models_are_small_and_hold_nothing_but_what_they_are() -> None:
    assert "ecg_r_peaks" in nl.list_pretrained()
    files = [path for path in DIRECTORY.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 2_000_000
    for name in nl.list_pretrained():
        assert {path.name for path in (DIRECTORY / name).iterdir()} == FILES
        info = json.loads((DIRECTORY / name / "training_info.json").read_text())
        assert info.get("checkpoints_directory") is None


def test_models_load_from_a_copy_of_the_package_in_an_empty_folder(tmp_path: Path) -> None:
    shutil.copytree(
        DIRECTORY.parent, tmp_path / "there" / "neurallib", ignore=shutil.ignore_patterns("__pycache__", "*.nb[ic]")
    )
    code = "import neurallib as nl; print(nl.__file__, len(list(map(nl.load_pretrained, nl.list_pretrained()))))"
    (tmp_path / "empty").mkdir()
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "empty", capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "there"), "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(str(tmp_path)) and run.stdout.endswith(f" {len(nl.list_pretrained())}\n")
    assert not list((tmp_path / "empty").iterdir())


@each_model
def test_a_card_tells_licence_data_results_and_limits(name: str) -> None:
    card = (DIRECTORY / name / "README.md").read_text()
    for word in ("ODC-By", "10.13026", "seed", "neurallib.examples.train_", "Not for", "MIT"):
        assert word in card, word
    state = nl.load_pretrained(name)
    assert str(state["training_info"]["seed"]) in card and "checkpoints_directory" not in state["training_info"]


@each_model
def test_a_card_shows_its_picture_and_its_code_runs_as_it_stands(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    card = (DIRECTORY / name / "README.md").read_text()
    assert "](picture.png)" in card and (DIRECTORY / name / "picture.png").read_bytes().startswith(b"\x89PNG")
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    known: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), known)
    answer = known["denoised"]["signal"] if "denoised" in known else known.get("peaks", known.get("beat"))
    assert np.isfinite(answer).all() and np.size(answer) and len(known["signal"]) in (2500, 5000)


def test_a_wrong_name_is_told() -> None:
    with pytest.raises(ValueError, match="Did you mean 'ecg_r_peaks'"):
        nl.load_pretrained("ecg_rpeaks")


@pytest.mark.parametrize("rate", [200, 250, 360, 500, 1000])
@pytest.mark.parametrize(("unit", "factor"), [("mV", 1.0), ("uV", 1000.0)])
def test_r_peaks_are_found_in_one_line_at_any_rate_and_in_any_unit(rate: int, unit: str, factor: float) -> None:
    signal, true = nl.synthetic_ecg(duration=60, sampling_frequency=rate, heart_rate=75, muscle_noise=0.05, seed=rate)
    other = np.random.default_rng(0).standard_normal(len(signal))
    recording = {
        "signal": np.stack([factor * signal, other], axis=1), "sampling_frequency": float(rate),
        "channels": ["II", "V5"], "units": [unit, unit],
    }  # fmt: skip
    found = nl.find_r_peaks(nl.load_pretrained("ecg_r_peaks"), recording)
    scores = nl.peak_scores(true, found, sampling_frequency=rate, tolerance=0.05)
    assert scores["f1"] > 0.99 and scores["mean_absolute_error_ms"] < 6
    upside_down = recording | {"signal": -recording["signal"]}
    assert abs(len(nl.find_r_peaks(nl.load_pretrained("ecg_r_peaks"), upside_down)) - len(true)) <= 1


def test_the_code_of_a_card_runs(capsys: pytest.CaptureFixture) -> None:
    card = (DIRECTORY / "ecg_r_peaks_stream" / "README.md").read_text()
    exec(card.partition("```python\n")[2].partition("```")[0], {})
    assert len(capsys.readouterr().out.splitlines()) >= 10


@pytest.mark.parametrize("factor", [1, -1000], ids=["mV", "uV, upside down"])
def test_beats_of_a_stream_are_those_of_one_pass_and_known_within_a_fifth_of_a_second(factor: int) -> None:
    state, rate, size = nl.load_pretrained("ecg_r_peaks_stream"), 125, 5
    signal, true = nl.synthetic_ecg(duration=30, sampling_frequency=rate, heart_rate=75, muscle_noise=0.05, seed=1)
    signal = factor * signal[:, None]
    network, carry = nl.build_network(state).eval(), nl.init_stream(state)
    found, late = list[int](), list[float]()
    for first in range(0, len(signal), size):
        _, carry = nl.stream_step(network, signal[first : first + size], carry)
        known = carry["events"]["found"][0].tolist()
        found, late = found + known, late + [(carry["n_samples"] - beat) / rate for beat in known]
    assert max(late) <= 0.2 + size / rate
    scores = nl.peak_scores(true, found, sampling_frequency=rate, tolerance=0.05)
    assert scores["sensitivity"] > 0.97 and scores["positive_predictive_value"] > 0.98
    found += nl.stream_step(network, None, carry)[1]["events"]["found"][0].tolist()
    recording = {"signal": signal, "sampling_frequency": float(rate)}
    assert nl.predict_recording(state, recording, output="events")["events"].tolist() == found


def test_a_stream_whose_missing_samples_are_held_beats_on_behind_them_and_not_in_them() -> None:
    state, rate = nl.load_pretrained("ecg_r_peaks_stream"), 125
    signal, true = nl.synthetic_ecg(duration=60, sampling_frequency=rate, heart_rate=75, muscle_noise=0.05, seed=1)
    signal, off = 200 * signal[:, None] + 1024, slice(2000, 4500)  # in counts, off for 20 s
    network = nl.build_network(state).eval()
    with pytest.raises(ValueError, match=r"chunk holds nan at \[0, 0\]; expected a number: the last one before it"):
        nl.stream_step(network, np.full((5, 1), np.nan), nl.init_stream(state))
    signal[off] = signal[off.start - 1]
    events, carry = list[int](), nl.init_stream(state)
    for chunk in [*np.split(signal, 60), None]:
        carry = nl.stream_step(network, chunk, carry)[1]
        events += carry["events"]["found"][0].tolist()
    found = np.array(events)
    assert ((found > off.start + 10) & (found < off.stop - 5)).sum() == 0
    there = true[(true < off.start - 10) | (true > off.stop + 10)]
    assert np.mean([np.abs(found - beat).min() <= 6 for beat in there]) > 0.97


@pytest.mark.skipif(not RECORDS.is_dir(), reason="the MIT-BIH Arrhythmia Database is not there")
def test_r_peaks_of_a_record_are_those_of_its_annotations() -> None:
    pytest.importorskip("wfdb", reason="reads records")
    recording = nl.read_recording(RECORDS / "100" if (RECORDS / "100.hea").exists() else RECORDS / "119", stop=300)
    beats = recording["events"]["sample"][[symbol in "NLRAV" for symbol in recording["events"]["symbol"]]]
    found = nl.find_r_peaks(nl.load_pretrained("ecg_r_peaks"), recording)
    assert nl.peak_scores(beats, found, sampling_frequency=360)["f1"] > 0.995
