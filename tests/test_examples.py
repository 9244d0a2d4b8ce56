"""The examples, run with small settings."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hub_client import Client
from hub_server import running_hub

import neurallib as nl
from neurallib.examples import (
    ecg_peaks,
    grid_search,
    publish_model,
    stream,
    train_ecg_r_peaks,
    train_retrain_test,
    transfer_learning,
    use_published_model,
)

SMALL = ["--signals", "8", "--epochs", "1"]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("NEURALLIB_RESULTS_DIR", "set again by the examples, and taken back after")
    yield


def test_ecg_peaks_leaves_model_and_picture(tmp_path: Path) -> None:
    scores = ecg_peaks.main(["--out", str(tmp_path), *SMALL, "--retrain-epochs", "1"])
    assert {"sensitivity", "positive_predictive_value", "f1"} <= scores.keys()
    first, second = sorted(
        (tmp_path / "ecg_peaks" / "checkpoints").iterdir(), key=lambda path: "retraining" in path.name
    )
    assert (second / "ecg_peaks.png").read_bytes().startswith(b"\x89PNG")
    history = nl.load_checkpoint(second)["training_info"]["training_history"]
    assert history["checkpoints_directory"] == str(first)


@pytest.mark.filterwarnings("ignore:retraining never beat its source")  # of eight signals and one epoch
def test_train_retrain_test_measures_and_saves_predictions(tmp_path: Path) -> None:
    measured = train_retrain_test.main(["--out", str(tmp_path), *SMALL])
    assert np.isfinite(measured["mse"])
    assert len(list(tmp_path.glob("HeartRate/checkpoints/*_retraining_*/predictions/*.npy"))) == 2


def test_grid_search_ranks_its_trials_and_repeats_none(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="2 of 12 combinations cannot be and are skipped"):
        first = grid_search.main(["--out", str(tmp_path), *SMALL])
        again = grid_search.main(["--out", str(tmp_path), *SMALL, "--workers", "2"])
    assert [trial["status"] for trial in first] == ["finished"] * 10
    assert again == first


@pytest.mark.filterwarnings("ignore:the best model is no better than a constant")  # after an epoch of 15 pieces
@pytest.mark.filterwarnings("ignore:the original NeuralLib takes signals as they are")
def test_the_recipe_of_the_model_that_comes_along_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    wfdb = pytest.importorskip("wfdb", reason="reads records")
    said: dict[str, Any] = {"fs": 360, "units": ["mV", "mV"], "sig_name": ["MLII", "V1"], "fmt": ["16", "16"]}
    rng = np.random.default_rng(0)
    for seed, name in enumerate(("101", "106", "bw", "ma")):
        signal, beats = nl.synthetic_ecg(duration=65, sampling_frequency=360, seed=seed)
        two = np.stack([signal, -signal], axis=1) if name.isdigit() else rng.standard_normal((len(signal), 2))
        wfdb.wrsamp(name, p_signal=two.astype(float), write_dir=str(tmp_path), **said)
        wfdb.wrann(name, "atr", beats, ["V" if i % 9 == 4 else "N" for i in range(len(beats))], write_dir=str(tmp_path))
    folders = ["--records", str(tmp_path), "--noise", str(tmp_path), "--out", str(tmp_path / "out")]
    epochs = ["--epochs", "1", "--fold-epochs", "1", "--threads", "1"]
    measured = train_ecg_r_peaks.main([*folders, *epochs])
    assert {record["name"] for record in measured["records"]} == {"101", "106"}
    state = nl.load_checkpoint(tmp_path / "out" / "ecg_r_peaks")
    for key in ("steps", "fold", "normalization", "window", "sampling_frequency"):
        assert state["preprocessing"][key] == nl.load_pretrained("ecg_r_peaks")["preprocessing"][key], key
    written = (tmp_path / "out" / "fold_0" / "model_weights.safetensors").stat().st_mtime_ns
    again = train_ecg_r_peaks.main([*folders, *epochs])
    assert again["gross"]["f1"] == pytest.approx(measured["gross"]["f1"], nan_ok=True)
    assert (tmp_path / "out" / "fold_0" / "model_weights.safetensors").stat().st_mtime_ns == written


def test_transfer_learning_compares_three_ways_in_one_plot(tmp_path: Path) -> None:
    scores = transfer_learning.main(["--out", str(tmp_path), *SMALL])
    assert {name: len(values) for name, values in scores.items()} == dict.fromkeys(
        ("frozen", "fine-tuned", "from scratch"), 3
    )
    assert all(0 <= value <= 1 for values in scores.values() for value in values)
    assert (tmp_path / "transfer_learning.png").read_bytes().startswith(b"\x89PNG")


def test_stream_finds_beats_as_they_come_and_goes_on_from_a_file(tmp_path: Path) -> None:
    scores = stream.main(["--out", str(tmp_path), "--signals", "64", "--epochs", "8", "--minutes", "0.5"])
    assert scores["f1"] > 0.9, "of a synthetic recording"
    assert 0.25 < scores["delay"] < 0.6
    assert (tmp_path / "carry.pt").exists()


@pytest.mark.filterwarnings("ignore:retraining never beat its source")  # of eight signals and one epoch
def test_a_model_is_published_and_used_from_its_repository(tmp_path: Path) -> None:
    assert Path(publish_model.main(["--out", str(tmp_path), *SMALL])).name == "README.md"
    with running_hub() as hub:
        hub.users["secret"] = "owner"
        client = Client(hub.address, tmp_path / "home", HF_TOKEN="secret")
        try:
            url = client(publish_model.main, ["--out", str(tmp_path), *SMALL, "--repo", "owner/HeartRate"])
            assert url.endswith("owner/HeartRate")
            arguments = ["--out", str(tmp_path), *SMALL, "--repo", "owner/HeartRate"]
            state = client(use_published_model.main, arguments)
        finally:
            client.close()
    assert state["training_info"]["training_history"]["train_dataset"] == "synthetic ECG"


@pytest.mark.parametrize(
    ("example", "option"), [(grid_search, "--workers"), (publish_model, "--repo"), (use_published_model, "--repo")]
)
def test_help_tells_every_option(example: Any, option: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit, match="0"):
        example.main(["--help"])
    shown = capsys.readouterr().out
    assert option in shown and "--signals" in shown and example.__doc__.split("\n")[0] in shown
