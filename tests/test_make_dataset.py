"""Data sets from recordings: parts by person, targets, gaps, going on after a stop; and training on them."""

import functools
import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurallib as nl

RATE = 250.0


def recording(name: str, seconds: float = 20, person: str | None = None, **more: Any) -> Any:
    signal, r_peaks = nl.synthetic_ecg(duration=seconds, sampling_frequency=RATE, seed=sum(map(ord, name)))
    beats = {"sample": r_peaks, "symbol": ["N"] * len(r_peaks), "duration": np.zeros(len(r_peaks))}
    given = {
        "name": name, "person": person, "signal": signal[:, None], "sampling_frequency": RATE, "channels": ["MLII"],
        "units": ["mV"], "events": beats, "source": None, "start_time": None, "notes": [],
    }  # fmt: skip
    return given | more


def make(recordings: Any, directory: Path, **more: Any) -> Path:
    return nl.make_dataset(recordings, directory, **{"target": nl.event_target, "enable_progress_bar": False} | more)


def entries(made: Path) -> dict[str, Any]:
    return json.loads((made / "manifest.json").read_text())["recordings"]


def files(made: Path) -> dict[str, int]:
    """Every file below x and y, and when it was written."""
    return {str(path.relative_to(made)): path.stat().st_mtime_ns for side in "xy" for path in made.rglob(f"{side}/*/*")}


FOUR = [recording(name) for name in "abcd"]


def test_each_recording_is_a_signal_and_its_target_and_the_manifest_says_what_they_are(tmp_path: Path) -> None:
    made = make(FOUR, tmp_path / "data")
    said = entries(made)
    assert made == tmp_path / "data" and list(said) == ["a", "b", "c", "d"]
    for each in FOUR:
        entry = said[each["name"]]
        x, y = (np.load(made / side / entry["part"] / f"{each['name']}.npy") for side in "xy")
        np.testing.assert_array_equal(x, each["signal"].astype(np.float32))
        assert np.flatnonzero(y).tolist() == each["events"]["sample"].tolist()
        assert entry["files"] == {f"{each['name']}.npy": [0.0, 20.0]} and entry["person"] == each["name"]
        assert (entry["sampling_frequency"], entry["channels"], entry["units"]) == (RATE, ["MLII"], ["mV"])
        assert "event_target" in entry["target"]
    assert {entry["part"] for entry in said.values()} == {"train", "val", "test"}


def test_no_person_is_in_two_parts_whoever_says_who_is_who(tmp_path: Path) -> None:
    twelve = [recording(f"r{i}", 3, person=f"p{i // 3}") for i in range(12)]
    for i, more in enumerate(({}, {"person": lambda name: int(name[1:]) % 4})):
        parts: dict[str, set[str]] = {}
        for entry in entries(make(twelve, tmp_path / f"{i}", **more)).values():
            parts.setdefault(entry["person"], set()).add(entry["part"])
        assert len(parts) == 4 and all(len(part) == 1 for part in parts.values())


def test_windows_are_of_equal_length_and_their_targets_are_cut_with_them(tmp_path: Path) -> None:
    made = make(FOUR, tmp_path, window=6, overlap=0.5)
    entry = entries(made)["a"]
    assert list(entry["files"].values()) == [[0, 6], [3, 9], [6, 12], [9, 15], [12, 18]]
    for file, (start, stop) in entry["files"].items():
        x, y = (np.load(made / side / entry["part"] / file) for side in "xy")
        np.testing.assert_array_equal(x, FOUR[0]["signal"][int(start * RATE) : int(stop * RATE)].astype(np.float32))
        inside = FOUR[0]["events"]["sample"] - start * RATE
        assert np.flatnonzero(y).tolist() == inside[(inside >= 0) & (inside < 1500)].tolist()


def test_resampling_takes_the_events_with_it(tmp_path: Path) -> None:
    made = make(FOUR, tmp_path, sampling_frequency=125)
    entry = entries(made)["a"]
    x, y = (np.load(made / side / entry["part"] / "a.npy") for side in "xy")
    assert x.shape == (2500, 1) and entry["sampling_frequency"] == 125
    assert np.flatnonzero(y).tolist() == np.rint(FOUR[0]["events"]["sample"] / 2).tolist()
    assert np.corrcoef(x[:, 0], FOUR[0]["signal"][::2, 0])[0, 1] > 0.99


def test_gaps_are_left_out_and_masked_values_are_gaps(tmp_path: Path) -> None:
    whole = FOUR[0]
    gap, masked = whole["signal"].copy(), np.ma.masked_array(whole["signal"], False)
    gap[1000:1250] = np.nan
    masked[1000:1250] = np.ma.masked
    for i, signal in enumerate((gap, masked)):
        made = make([whole | {"signal": signal}, *FOUR[1:]], tmp_path / f"{i}")
        entry = entries(made)["a"]
        assert entry["files"] == {"a_00000.npy": [0, 4], "a_00001.npy": [5, 20]}
        x, y = (np.load(made / side / entry["part"] / "a_00001.npy") for side in "xy")
        np.testing.assert_array_equal(x, whole["signal"][1250:].astype(np.float32))
        at = whole["events"]["sample"] - 1250
        assert np.flatnonzero(y).tolist() == at[at >= 0].tolist()


def test_one_label_is_that_of_a_recording_or_of_each_window(tmp_path: Path) -> None:
    stages = {"sample": np.array([0, 2500]), "symbol": ["W", "N2"], "duration": np.array([10.0, 10.0])}
    nights = [recording(name, events=stages) for name in "abcd"]
    label = functools.partial(nl.label_target, classes=["W", "N2"])
    made = make(nights, tmp_path / "windows", target=label, window=5, each_window=True)
    entry = entries(made)["a"]
    assert [int(np.load(made / "y" / entry["part"] / file)) for file in entry["files"]] == [0, 0, 1, 1]
    given = {name: night | {"name": "1"} for name, night in zip("abcd", nights, strict=True)}
    for target in ({"a": 0, "b": 1, "c": 2, "d": 3}, lambda night: "abcd".index(night["name"])):  # as it is given
        made = make(given, tmp_path / "names", target=target, window=5)
        for name, entry in entries(made).items():
            assert {int(np.load(made / "y" / entry["part"] / file)) for file in entry["files"]} == {"abcd".index(name)}


def test_what_is_there_is_not_made_again_and_what_changed_or_is_not_wanted_is(tmp_path: Path) -> None:
    first = files(make(FOUR, tmp_path, window=5))
    assert len(first) == 2 * 4 * 4 and files(make(FOUR, tmp_path, window=5)) == first
    part = entries(tmp_path)["b"]["part"]
    (tmp_path / "x" / part / "b_00001.npy").unlink()
    again = files(make(FOUR, tmp_path, window=5))
    assert again.keys() == first.keys()
    assert {name[-11] for name in first if again[name] != first[name]} == {"b"}
    assert files(make(FOUR, tmp_path, window=5, target=functools.partial(nl.event_target, width=0.1))) != again
    assert len(files(make(FOUR[:3], tmp_path, window=10))) == 2 * 3 * 2
    assert list(entries(tmp_path)) == ["a", "b", "c"]


def test_recording_that_changed_is_made_again(tmp_path: Path) -> None:
    louder = FOUR[0] | {"signal": 2 * FOUR[0]["signal"]}
    first, second = files(make(FOUR, tmp_path / "m")), files(make([louder, *FOUR[1:]], tmp_path / "m"))
    assert [name[-5] for name in first if first[name] != second[name]] == ["a", "a"]
    (tmp_path / "files").mkdir()
    for each in FOUR:
        np.savez(tmp_path / "files" / each["name"], signal=each["signal"], sampling_frequency=RATE, **each["events"])
    first = files(make(tmp_path / "files", tmp_path / "f"))
    np.savez(tmp_path / "files" / "a", signal=louder["signal"], sampling_frequency=RATE, **louder["events"])
    second = files(make(tmp_path / "files", tmp_path / "f"))
    assert [name[-5] for name in first if first[name] != second[name]] == ["a", "a"]


def test_parts_can_be_said(tmp_path: Path) -> None:
    parts = {name: entry["part"] for name, entry in entries(make(FOUR, tmp_path, val=["a"], test=0)).items()}
    assert parts == {"a": "val", "b": "train", "c": "train", "d": "train"}


def test_run_that_was_stopped_leaves_whole_files_and_goes_on(tmp_path: Path) -> None:
    def stops(recording: Any) -> np.ndarray:
        if recording["name"] == "c" and not (tmp_path / "again").exists():
            raise KeyboardInterrupt
        return nl.event_target(recording)

    with pytest.raises(KeyboardInterrupt):
        make(FOUR, tmp_path / "data", target=stops)
    before = files(tmp_path / "data")
    assert len(before) == 4
    assert [name for name, entry in entries(tmp_path / "data").items() if entry] == ["a", "b"]
    (tmp_path / "data/x/train/c.npy").touch()  # what a run that is killed may leave
    os.truncate(part := next(tmp_path.glob("data/x/*/a.npy")), 1000)  # and a power cut
    (tmp_path / "again").touch()
    after = files(make(FOUR, tmp_path / "data", target=stops))
    assert len(after) == 8 and len(np.load(part)) == 20 * RATE
    assert {Path(name).stem for name in before if after[name] != before[name]} == {"a"}


def test_files_that_are_of_no_recording_are_left_alone_and_named(tmp_path: Path) -> None:
    (tmp_path / "x/train").mkdir(parents=True)
    (tmp_path / "x/train/mine.npy").touch()
    with pytest.raises(ValueError, match=r"holds x/train/mine\.npy and no manifest\.json"):
        make(FOUR, tmp_path)
    make(FOUR, tmp_path / "data")
    (tmp_path / "data/y/val/mine.npy").touch()
    with pytest.raises(ValueError, match=r"mine\.npy is of no recording that make_dataset wrote"):
        make(FOUR, tmp_path / "data")
    assert (tmp_path / "data/y/val/mine.npy").exists()


def beats_unforked(recording: Any) -> np.ndarray:
    alone = multiprocessing.parent_process() is None
    assert alone or multiprocessing.get_start_method() != "fork", "which hangs after torch has used threads"
    return nl.event_target(recording, width=0.1)


def test_processes_make_the_same_files_and_are_not_forked(tmp_path: Path) -> None:
    alone = make(FOUR, tmp_path / "1", window=5, target=beats_unforked)
    together = make(FOUR, tmp_path / "2", window=5, target=beats_unforked, n_workers=2)
    assert files(alone).keys() == files(together).keys() and entries(alone) == entries(together)
    for name in files(alone):
        assert (alone / name).read_bytes() == (together / name).read_bytes()


def folder_of_records(folder: Path) -> Path:
    """WFDB records of 8 people, 250 Hz; the second channel is called otherwise in half of them."""
    wfdb = pytest.importorskip("wfdb", reason="wfdb is not installed (extra wfdb)")
    folder.mkdir()
    for i in range(8):
        signal, r_peaks = nl.synthetic_ecg(duration=30, sampling_frequency=RATE, seed=i)
        names = ["V1", "MLII"] if i % 2 else ["II", "V1"]
        both = np.stack([0 * signal, signal][:: 1 if i % 2 else -1], 1).astype(float)
        wfdb.wrsamp(f"r{i}", RATE, ["mV", "mV"], names, both, fmt=["16", "16"], write_dir=str(folder))
        wfdb.wrann(f"r{i}", "atr", r_peaks, ["N"] * len(r_peaks), write_dir=str(folder))
    return folder


def test_what_is_made_of_records_trains_without_another_word(tmp_path: Path) -> None:
    made = make(
        folder_of_records(tmp_path / "records"), tmp_path / "data", window=5, sampling_frequency=125, val=0.25,
        target=functools.partial(nl.event_target, width=0.08), channels=[("MLII", "II")], units="uV",
    )  # fmt: skip
    state = nl.gru_seq2seq(n_features=1, hid_dim=16, n_layers=1, bidirectional=True, learning_rate=0.01)
    state = nl.train_from_scratch(
        state, made / "x", made / "y", epochs=24, dataset_name="records", trained_for="R-peaks",
        enable_progress_bar=False, results_directory=tmp_path,
    )  # fmt: skip
    known = state["preprocessing"]
    assert (known["sampling_frequency"], known["window"], known["units"]) == (125, 5, ["uV"])
    assert known["channels"] == ["MLII"]
    measured = nl.evaluate(state, nl.open_folder(made / "x", made / "y", "test"))
    assert measured["f1"] > 0.8
    read = nl.read_recording(tmp_path / "records" / "r0", channels=[("MLII", "II")])
    assert nl.predict_recording(state, read)["output"].shape == (7500, 1)


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("maker", [nl.label_target, nl.interval_target])
def test_targets_of_every_kind_train_without_a_warning(tmp_path: Path, maker: Any, binary: bool) -> None:
    stages = {"sample": np.arange(0, 5000, 1250), "symbol": ["W", "N2"] * 2, "duration": np.full(4, 5.0)}
    one_a_window = maker is nl.label_target
    made = make(
        [recording(name, events=stages) for name in "abcd"], tmp_path / "data", window=5, each_window=one_a_window,
        target=functools.partial(maker, classes=["W", "N2"], binary=binary), sampling_frequency=50,
    )  # fmt: skip
    factory = nl.gru_seq2one if one_a_window else nl.gru_seq2seq
    state = factory(n_features=1, hid_dim=2, n_layers=1, num_classes=1 if binary else 2)
    nl.train_from_scratch(
        state, made / "x", made / "y", epochs=1, dataset_name="nights", trained_for="stages",
        enable_progress_bar=False, results_directory=tmp_path,
    )  # fmt: skip


@pytest.mark.parametrize(
    "change, error, told",
    [
        ({"recordings": []}, ValueError, "recordings is empty"),
        ({"recordings": FOUR[0]}, TypeError, "recordings is one recording"),
        ({"recordings": [*FOUR, FOUR[0]]}, ValueError, "recordings holds a twice"),
        ({"recordings": {"a/b": FOUR[0]}}, ValueError, "recordings has the name 'a/b'"),
        ({"target": "beats"}, ValueError, "'a' has no channel 'beats'; there are 1: MLII"),
        ({"target": ["MLII"]}, ValueError, "'MLII'. is all that 'a' has; .* lambda recording: recording.'signal'"),
        ({"target": "MLII", "channels": [0]}, ValueError, "target='MLII', but channels has 'MLII' as well; expected"),
        ({"target": 1}, TypeError, "target is a int"),
        ({"target": {"a": 1}}, ValueError, "target has nothing for"),
        ({"target": lambda recording: ["N"]}, ValueError, "expected numbers: of names that may hold together"),
        ({"target": lambda recording: np.arange(9) * 20}, ValueError, "'a' is 9 ascending samples .* event_target"),
        ({"target": lambda recording: nl.beats(recording)[:3]}, ValueError, "'a' is 3 ascending samples .* event_t"),
        ({"window": 0}, ValueError, "window=0"),
        ({"each_window": True}, ValueError, "each_window=True, but there is no window"),
        ({"each_window": True, "window": 5, "target": dict.fromkeys("abcd", 0)}, ValueError, "target says one of each"),
        ({"channels": ["V5"]}, ValueError, "has no channel 'V5'; there are 1: MLII"),
        ({"window": 30}, ValueError, "no recording has 30 s without gaps: "),
        ({"read_options": {"stop": 2}}, ValueError, "read_options has stop; recordings in memory are read already"),
        ({"n_workers": 0}, ValueError, "n_workers=0"),
    ],
)
def test_wrong_arguments_are_named(tmp_path: Path, change: dict[str, Any], error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        make(**{"recordings": FOUR, "directory": tmp_path} | change)


def test_recordings_that_differ_or_are_too_short_are_told(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="1 of 4 recordings gave no file, being too short or all gaps: e"):
        make([*FOUR[:3], recording("e", 2)], tmp_path / "1", window=5)
    sparse = recording("e")
    sparse["signal"] = np.where(np.arange(len(sparse["signal"]))[:, None] % 4, np.nan, sparse["signal"])
    with pytest.warns(UserWarning, match=r"or all gaps: e \(of MLII 75% are missing\)"):
        make([*FOUR[:3], sparse], tmp_path / "3")
    slow = recording("e", sampling_frequency=100.0)
    with pytest.raises(ValueError, match="100 Hz with 1 channels, 250 Hz with 1 channels. Give sampling_frequency"):
        make([*FOUR[:3], slow], tmp_path / "2")
    assert len(entries(make([*FOUR[:3], slow], tmp_path / "2", sampling_frequency=100))) == 4


def test_recording_in_memory_needs_its_signal_and_rate_alone(tmp_path: Path) -> None:
    signal = np.random.default_rng(0).standard_normal((300, 2)).astype(np.float32)
    bare = {f"{i}": {"signal": signal + i, "sampling_frequency": 100, "units": "mV"} for i in range(3)}
    whole = {
        name: {**each, "channels": ["0", "1"], "units": ["mV", "mV"], "person": None, "source": None,
               "events": {"sample": np.zeros(0, int), "symbol": [], "duration": np.zeros(0)}}
        for name, each in bare.items()
    }  # fmt: skip
    target = dict.fromkeys(bare, 1.0)
    made = [nl.make_dataset(given, tmp_path / name, target=target, enable_progress_bar=False)
            for name, given in (("bare", bare), ("whole", whole))]  # fmt: skip
    files = [sorted(path.relative_to(folder) for path in folder.rglob("*.npy")) for folder in made]
    assert files[0] == files[1] and len(files[0]) == 6
    assert (made[0] / "manifest.json").read_text() == (made[1] / "manifest.json").read_text()
    for file in files[0]:
        assert np.array_equal(np.load(made[0] / file), np.load(made[1] / file))
