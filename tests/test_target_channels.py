"""Data sets whose target is a channel of the recordings themselves."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurallib as nl

RATE = 100.0


def recording(seed: int, **more: Any) -> Any:
    """A pulse, the pressure that it stands for, and a channel of something else."""
    rng, phase = np.random.default_rng(seed), np.arange(1200) / RATE * 2 * np.pi
    pulse = np.sin(phase * rng.uniform(0.9, 1.4)) + 0.3 * np.sin(phase * 0.2)
    signal = np.stack([pulse, 90 + 20 * pulse, rng.standard_normal(1200)], axis=1)
    given = {"name": f"r{seed}", "signal": signal, "sampling_frequency": RATE, "channels": ["PLETH", "ABP", "II"],
             "units": ["NU", "mmHg", "mV"]}  # fmt: skip
    return given | more


def make(directory: Path, recordings: Any = None, **more: Any) -> tuple[Path, dict[str, Any]]:
    recordings = [recording(seed) for seed in range(6)] if recordings is None else recordings
    made = nl.make_dataset(recordings, directory, **{"target": "ABP", "enable_progress_bar": False} | more)
    return made, json.loads((made / "manifest.json").read_text())["recordings"]


@pytest.mark.parametrize("channels", [None, ["II"], "PLETH"])
def test_a_channel_is_the_target_and_by_default_all_others_are_the_signal(tmp_path: Path, channels: Any) -> None:
    made, said = make(tmp_path, channels=channels)
    names = ["PLETH", "II"] if channels is None else [channels] if isinstance(channels, str) else channels
    for seed, entry in enumerate(said.values()):
        x, y = (np.load(made / side / entry["part"] / f"r{seed}.npy") for side in "xy")
        whole = recording(seed)
        columns = [whole["channels"].index(name) for name in names]
        np.testing.assert_allclose(x, whole["signal"][:, columns], rtol=1e-6)
        np.testing.assert_allclose(y, whole["signal"][:, [1]], rtol=1e-6)
        assert (entry["channels"], entry["outputs"]) == (names, ["ABP (mmHg)"])
        assert entry["target"] == "channels ABP (mmHg)"


@pytest.mark.parametrize("each_window", [False, True])
def test_it_is_cut_at_gaps_of_either_and_resampled_with_the_signal(tmp_path: Path, each_window: bool) -> None:
    torn = recording(0)["signal"]
    torn[600:700, 1] = torn[300:400, 0] = np.nan
    rows = [recording(0, signal=torn), *(recording(seed) for seed in (1, 2, 3))]
    made, said = make(tmp_path, rows, channels="PLETH", window=1, sampling_frequency=50, each_window=each_window)
    assert [start for start, _ in said["r0"]["files"].values()] == [0, 1, 2, 4, 5, 7, 8, 9, 10, 11]
    for entry in said.values():
        for file in entry["files"]:
            x, y = (np.load(made / side / entry["part"] / file) for side in "xy")
            assert x.shape == y.shape == (50, 1)
            np.testing.assert_allclose(y, 90 + 20 * x, atol=3)  # the same filter has both, but for ends


def test_what_is_lost_of_it_for_a_moment_is_not_known(tmp_path: Path) -> None:
    torn = recording(0)["signal"]
    torn[600:610, 1] = torn[300:310, 0] = np.nan
    before = torn.copy()
    rows = [recording(0, signal=torn), *(recording(seed) for seed in (1, 2, 3))]
    made, said = make(tmp_path, rows, channels="PLETH", sampling_frequency=50)
    x, y = (np.load(made / side / said["r0"]["part"] / "r0.npy") for side in "xy")
    assert np.isfinite(x).all() and np.flatnonzero(np.isnan(y)).tolist() == [300, 301, 302, 303, 304]
    np.testing.assert_array_equal(torn, before)


def test_another_name_and_another_unit_are_made_the_first_ones(tmp_path: Path) -> None:
    pressures = {"channels": ["PLETH", "ART", "II"], "units": ["NU", "kPa", "mV"]}
    rows = [recording(0), recording(1, **pressures), recording(2), recording(3)]
    made, said = make(tmp_path, rows, target=[("ABP", "ART")], channels=["PLETH"])
    assert {tuple(entry["outputs"]) for entry in said.values()} == {("ABP (mmHg)",)}
    y = np.load(made / "y" / said["r1"]["part"] / "r1.npy")
    np.testing.assert_allclose(y, recording(1)["signal"][:, [1]] * 7.500617, rtol=1e-4)


@pytest.mark.parametrize("units", ["uV", ["uV"]])
def test_units_that_are_asked_for_are_those_of_the_signal(tmp_path: Path, units: Any) -> None:
    made, said = make(tmp_path, channels=["II"], units=units)
    x, y = (np.load(made / side / said["r0"]["part"] / "r0.npy") for side in "xy")
    np.testing.assert_allclose(x, recording(0)["signal"][:, [2]] * 1000, rtol=1e-4)
    np.testing.assert_allclose(y, recording(0)["signal"][:, [1]], rtol=1e-6)
    assert said["r0"]["units"] == ["uV"]


def test_what_is_trained_on_it_names_its_outputs(tmp_path: Path) -> None:
    made, _ = make(tmp_path / "data", channels=["PLETH"])
    state = nl.gru_seq2seq(n_features=1, hid_dim=8, n_layers=1, task="regression", learning_rate=0.02)
    options = {"dataset_name": "pressures", "trained_for": "pressure", "enable_progress_bar": False}
    options |= {"results_directory": tmp_path, "epochs": 30}
    found = nl.train_from_scratch(state, made / "x", made / "y", **options)
    assert found["postprocessing"]["outputs"] == ["ABP (mmHg)"]
    answer = nl.predict_recording(found, recording(9))
    assert np.abs(answer["output"][100:, 0] - recording(9)["signal"][100:, 1]).mean() < 4
    named = nl.train_from_scratch(state, made / "x", made / "y", outputs=["pressure (mmHg)"], **options | {"epochs": 1})
    assert named["postprocessing"]["outputs"] == ["pressure (mmHg)"]


def test_a_target_of_another_rate_is_brought_to_one_with_the_signal_where_that_is_asked_for(tmp_path: Path) -> None:
    edfio = pytest.importorskip("edfio")
    for i in range(4):
        rng = np.random.default_rng(i)
        signals = [edfio.EdfSignal(rng.standard_normal(10 * rate), rate, label=label, physical_dimension="mV")
                   for rate, label in ((100, "PLETH"), (50, "ABP"))]  # fmt: skip
        edfio.Edf(signals).write(tmp_path / f"{i}.edf")
    with pytest.raises(ValueError, match=r"100 Hz \(PLETH\), 50 Hz \(ABP\); .*sampling_frequency=100"):
        make(tmp_path / "data", tmp_path, channels="PLETH")
    made, said = make(tmp_path / "data", tmp_path, channels="PLETH", sampling_frequency=25)
    assert {entry["sampling_frequency"] for entry in said.values()} == {25}
    recording = nl.read_recording(tmp_path / "0.edf", sampling_frequency=25)
    x, y = (np.load(made / side / said["0"]["part"] / "0.npy") for side in "xy")
    np.testing.assert_array_equal(np.hstack([x, y]), recording["signal"])
