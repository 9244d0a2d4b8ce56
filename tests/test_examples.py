"""The examples, run with small settings."""

import importlib
import json
import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import forking
import numpy as np
import pytest
from hub_client import Client
from hub_server import running_hub

import neurallib as nl
from neurallib import examples
from neurallib.examples import (
    augmentations,
    beats_and_heart_rate,
    denoising,
    ecg_peaks,
    emg_gestures,
    grid_search,
    heart_rate_from_ppg,
    publish_model,
    sleep_stages,
    stream,
    train_ecg_r_peaks,
    train_ecg_r_peaks_stream,
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


def test_augmentations_are_drawn_with_all_that_there_are(tmp_path: Path) -> None:
    found = augmentations.main(["--out", str(tmp_path)])
    as_it_is, _ = found.pop("as it is")
    assert len(found) >= len([name for name in nl.__all__ if name.startswith("augment_")]) - 1  # less that of channels
    for name, (x, y) in found.items():
        assert len(x) == len(y) and not np.array_equal(x, as_it_is), name
    assert found["another heart rate"][1].sum() == nl.peak_labels(augmentations.synthetic()[1], 1500, 0).sum()
    assert (tmp_path / "augmentations.png").read_bytes().startswith(b"\x89PNG")


def test_grid_search_ranks_its_trials_and_repeats_none(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="2 of 12 combinations cannot be and are skipped"):
        first = grid_search.main(["--out", str(tmp_path), *SMALL])
        again = grid_search.main(["--out", str(tmp_path), *SMALL, "--workers", "2"])
    assert [trial["status"] for trial in first] == ["finished"] * 10
    assert again == first
    assert (tmp_path / "HeartRate" / "grid_search" / "leaderboard.csv").is_file()  # where it says


def records(tmp_path: Path) -> list[str]:
    """Two short records and two of noise, and the arguments of a recipe that name them and where to write."""
    wfdb = pytest.importorskip("wfdb", reason="reads records")
    said: dict[str, Any] = {"fs": 360, "units": ["mV", "mV"], "sig_name": ["MLII", "V1"], "fmt": ["16", "16"]}
    rng = np.random.default_rng(0)
    for seed, record in enumerate(("101", "106", "bw", "ma")):
        signal, beats = nl.synthetic_ecg(duration=65, sampling_frequency=360, seed=seed)
        two = np.stack([signal, -signal], axis=1) if record.isdigit() else rng.standard_normal((len(signal), 2))
        wfdb.wrsamp(record, p_signal=two.astype(float), write_dir=str(tmp_path), **said)
        symbols = ["V" if i % 9 == 4 else "N" for i in range(len(beats))]
        wfdb.wrann(record, "atr", beats, symbols, write_dir=str(tmp_path))
    return ["--records", str(tmp_path), "--noise", str(tmp_path), "--out", str(tmp_path / "out"), "--threads", "1"]


@pytest.mark.filterwarnings("ignore:the best model is no better than a constant")  # after an epoch of 15 pieces
@pytest.mark.filterwarnings("ignore:in .* told from noise")
@pytest.mark.filterwarnings("ignore:no R-peak is found")
@pytest.mark.parametrize(
    ("recipe", "name", "fold"),
    [
        (train_ecg_r_peaks, "ecg_r_peaks", "fold_0"),
        pytest.param(train_ecg_r_peaks_stream, "ecg_r_peaks_stream", "stream_fold_0", marks=pytest.mark.nightly),
    ],
    ids=["whole", "stream"],
)
def test_the_recipe_of_a_model_that_comes_along_goes_on_where_it_was_stopped(
    recipe: Any, name: str, fold: str, tmp_path: Path
) -> None:
    folders = records(tmp_path)
    epochs = ["--epochs", "1", "--fold-epochs", "1"]
    measured = recipe.main([*folders, *epochs])
    assert {record["name"] for record in measured["records"]} == {"101", "106"}
    state = nl.load_checkpoint(tmp_path / "out" / name)
    for key in ("steps", "fold", "normalization", "window", "sampling_frequency"):
        assert state["preprocessing"][key] == nl.load_pretrained(name)["preprocessing"][key], key
    written = (tmp_path / "out" / fold / "model_weights.safetensors").stat().st_mtime_ns
    again = recipe.main([*folders, *epochs])
    assert again["gross"]["f1"] == pytest.approx(measured["gross"]["f1"], nan_ok=True)
    assert (tmp_path / "out" / fold / "model_weights.safetensors").stat().st_mtime_ns == written


def test_the_recipe_for_streams_moves_labels_as_late_as_its_state_takes_off() -> None:
    y = np.zeros((500, 1))
    y[200:215] = 1
    _, late = train_ecg_r_peaks_stream.later(y, y)
    assert np.isnan(late[:11]).all() and np.flatnonzero(late == 1).tolist() == list(range(211, 226))
    delay = nl.load_pretrained("ecg_r_peaks_stream")["postprocessing"]["events"]["delay"]
    assert 0 <= delay - train_ecg_r_peaks_stream.DELAY < 0.01


def test_labels_of_the_recipe_lie_around_their_beats_and_its_pieces_are_of_both_leads_and_between() -> None:
    signal, beats = nl.synthetic_ecg(duration=85, sampling_frequency=360, seed=0)
    noise = np.random.default_rng(0).standard_normal(len(signal))
    events = {"sample": beats, "symbol": ["V", *"N" * (len(beats) - 1)]}
    two: Any = {"name": "a", "signal": np.stack([signal, noise], axis=1), "sampling_frequency": 360.0, "events": events}
    record = train_ecg_r_peaks.recorded(two)
    steps = np.arange(len(record.labels))
    for beat in beats[1:-1] * 125 / 360:
        near = np.abs(steps - beat) < 15
        weights = record.labels[near, 0]
        assert weights @ steps[near] / weights.sum() == pytest.approx(beat, abs=0.05)
        assert weights.sum() == pytest.approx(2 * 0.06 * 125, abs=0.1)
    pieces = train_ecg_r_peaks.pieces([record])
    assert len(pieces) == 4 * 2 + 1  # the first has an abnormal beat
    shares = []
    for i, (x, _) in enumerate(pieces):
        start = 2500 * max(0, (i - 1) // 2)
        share, rest, *_ = np.linalg.lstsq(record.signal[start : start + 2500], x, rcond=None)
        assert rest.sum() < 1e-4 * len(x)
        shares.append(np.count_nonzero(np.abs(share) > 1e-3))
    assert shares == [1, 2, 2, 1, 1, 1, 2, 1, 1]


@pytest.mark.nightly
def test_the_recipe_goes_on_within_a_training_that_was_killed(tmp_path: Path) -> None:
    command = ["-m", train_ecg_r_peaks.__name__, *records(tmp_path), "--folds", "0", "--epochs", "25"]
    runs = tmp_path / "out" / "runs" / "ecg_r_peaks" / "checkpoints"
    child = forking.Program(command)
    while child.poll() is None and not list(runs.glob("*/last.ckpt")):
        time.sleep(0.05)
    child.kill()
    assert child.wait() < 0, "it had come to its end"
    (run,) = runs.iterdir()
    assert nl.find_unfinished(tmp_path / "out" / "runs")[0]["directory"] == str(run)
    forking.run(command, check=True)
    assert list(runs.iterdir()) == [run]
    info = nl.load_checkpoint(tmp_path / "out" / "ecg_r_peaks")["training_info"]
    assert len(info["val_losses"]) == 25


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


def test_beats_of_a_file_are_found_by_a_model_that_was_trained_before(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])  # as in a program of its own
    level = logging.root.level
    try:
        trained = beats_and_heart_rate.main(["--out", str(tmp_path), "--signals", "32", "--epochs", "6", "--quiet"])
    finally:
        logging.root.setLevel(level)
    assert trained["f1"] > 0.9 and abs(trained["bpm"] - 75) < 5
    assert capsys.readouterr() == ("", "")
    signal, r_peaks = nl.synthetic_ecg(duration=20, sampling_frequency=250, heart_rate=60, seed=5)
    np.savez(tmp_path / "ecg.npz", signal=1000 * signal, sampling_frequency=250, units=["uV"], channels=["II"])
    (model,) = (tmp_path / "Beats" / "checkpoints").iterdir()
    told = beats_and_heart_rate.main(
        ["--out", str(tmp_path), "--recording", str(tmp_path / "ecg.npz"), "--checkpoint", str(model)]
    )
    assert "f1" not in told and abs(told["beats"] - len(r_peaks)) <= 1
    rows = np.genfromtxt(tmp_path / "beats_and_heart_rate" / "beats.csv", delimiter=",", names=True)
    assert len(rows) == told["beats"] and np.nanmedian(rows["bpm"]) == pytest.approx(told["bpm"], abs=0.1)
    assert (tmp_path / "beats_and_heart_rate" / "beats.png").is_file()


def test_emg_gestures_are_told_by_session_and_by_person(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data, rng = tmp_path / "data", np.random.default_rng(0)
    for session in ("a-1", "a-2", "a-3", "b-1", "b-2", "b-3"):
        (data / session).mkdir(parents=True)
        for gesture in range(8):
            told = np.repeat([0, gesture], 400)
            emg = rng.normal(0, 2 + 20 * (told[:, None] > 0) * (np.arange(8) == gesture), (800, 8))
            table = np.column_stack([np.clip(np.rint(emg), -128, 127), told])
            np.savetxt(data / session / f"{gesture}.txt", table, fmt="%d", delimiter=",")
    caplog.set_level("INFO")
    measured = emg_gestures.main(["--out", str(tmp_path / "out"), "--data", str(data), "--epochs", "15"])
    assert list(measured) == ["by session", "by person"]
    assert all(told["cohen_kappa"] > 0.5 for told in measured.values())
    manifest = json.loads((tmp_path / "out" / "emg_gestures" / "by_person" / "manifest.json").read_text())
    sessions = {(part["part"], part["person"]) for part in manifest["recordings"].values()}
    assert sessions == {("train", "a-1"), ("train", "a-2"), ("val", "a-3"), *(("test", f"b-{i}") for i in (1, 2, 3))}
    assert "stream of" in caplog.text


def test_emg_gestures_end_where_data_are_missing(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=f"in {tmp_path / 'none'}: say with --data where they are"):
        emg_gestures.main(["--out", str(tmp_path), "--data", str(tmp_path / "none")])


@pytest.mark.filterwarnings("ignore:the model does no better than a constant")
def test_sleep_stages_are_scored_by_person_without_unknown_epochs(tmp_path: Path) -> None:
    pytest.importorskip("edfio", reason="edfio is not installed (extra edf)")
    scores = sleep_stages.main(["--out", str(tmp_path), "--signals", "8", "--epochs", "15"])
    (record,) = scores["records"]  # one of four people, with two nights of 120 epochs
    assert 190 < record["steps"] < 240 == 2 * 120
    assert record["cohen_kappa"] > 0.5


def test_denoising_measures_before_and_after(tmp_path: Path) -> None:
    scores = denoising.main(["--out", str(tmp_path), "--signals", "16", "--epochs", "4"])
    assert -3 < scores["snr_before_db"] < 9
    assert scores["snr_after_db"] > scores["snr_before_db"]
    assert (tmp_path / "denoising.png").read_bytes().startswith(b"\x89PNG")


def test_heart_rate_from_ppg_leaves_gaps_out(tmp_path: Path) -> None:
    scores = heart_rate_from_ppg.main(["--out", str(tmp_path), "--signals", "8", "--epochs", "4"])
    assert np.isfinite(scores["mae"])
    rows = np.genfromtxt(tmp_path / "heart_rate_from_ppg.csv", delimiter=",", names=True)
    for first, last in ((60, 75), (180, 240)):
        assert not ((rows["from_seconds"] < last) & (rows["to_seconds"] > first)).any()
    assert rows["to_seconds"].max() == 300 and rows["from_seconds"].min() == 0


ALL = sorted(path.stem for path in Path(examples.__path__[0]).glob("*.py") if "def main(" in path.read_text())
RECIPES = [name for name in ALL if name.startswith("train_ecg_")]


@pytest.mark.parametrize("name", ALL)
def test_help_tells_what_an_example_does_and_every_option(name: str, capsys: pytest.CaptureFixture) -> None:
    example = importlib.import_module(f"neurallib.examples.{name}")
    with pytest.raises(SystemExit, match="0"):
        example.main(["--help"])
    shown = capsys.readouterr().out
    assert example.__doc__.split("\n")[0] in shown and "--out" in shown
    assert "--quiet" in shown


NEEDED = {"emg_gestures": "--data", "use_published_model": "--repo", "fine_tuning": "--records",
          "beat_classes": "--records"} | dict.fromkeys(RECIPES, "--records mitdb --noise")  # fmt: skip


def test_the_readme_tells_what_an_example_needs() -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    for name, needed in NEEDED.items():
        assert re.search(rf"neurallib\.examples\.{name}[^|\n]*{needed}\b", readme), name
