"""Pieces of recordings in a data set: how short one may be, when each is, whose and in which part, and by whom."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurallib as nl
from neurallib.files import MAX_JSON
from neurallib.signals import manifest
from neurallib.signals.dataset_sources import stamps_of

RATE = 250.0


def recording(name: str, signal: np.ndarray | None = None) -> Any:
    signal = np.random.default_rng(ord(name)).standard_normal((5000, 1)) if signal is None else signal
    return {"name": name, "signal": signal, "sampling_frequency": RATE}


def made(directory: Path, *recordings: Any, **options: Any) -> dict[str, Any]:
    """What the manifest says, of recordings whose target is a number."""
    given = {"target": lambda recording: 1.0, "enable_progress_bar": False} | options
    root = nl.make_dataset([*recordings, *map(recording, "bcd")], directory, **given)
    entries = json.loads((root / "manifest.json").read_text())["recordings"]
    for entry in entries.values():
        folders = {path.parent.name for name in entry["files"] for path in root.rglob(f"x/*/{name}")}
        assert folders == {entry["part"]}, "files lie in the part that the manifest says, and nowhere else"
    return entries


@pytest.mark.parametrize("rate", [None, 125.0])
def test_a_piece_of_less_than_a_second_is_left_out_and_each_is_told_by_its_seconds(
    rate: float | None, tmp_path: Path
) -> None:
    signal = np.random.default_rng(0).standard_normal((5000, 1))
    for low, high in ((1000, 1150), (1350, 1500), (1800, 2000)):  # pieces of 4, 0.8, 1.2 and 12 s
        signal[low:high] = np.nan
    entry = made(tmp_path, recording("a", signal), sampling_frequency=rate)["a"]
    assert list(entry["files"].values()) == [[0, 4], [6, 7.2], [8, 20]]
    windows = made(tmp_path, recording("a", signal), sampling_frequency=rate, window=4, overlap=0.5)["a"]
    assert list(windows["files"].values()) == [[0, 4], [8, 12], [10, 14], [12, 16], [14, 18], [16, 20]]
    whole = made(tmp_path, recording("a", signal[:200]), sampling_frequency=rate)["a"]
    assert list(whole["files"].values()) == [[0, 0.8]], "all there is of a recording is no piece"


def test_each_window_says_where_in_the_recording_it_begins(tmp_path: Path) -> None:
    signal, asked = np.random.default_rng(0).standard_normal((5000, 1)), []
    signal[1000:1250] = np.nan

    def target(recording: Any) -> float:
        if recording["name"] == "a":
            asked.append((recording["onset"], recording["start_time"]))
        return 1.0

    given = recording("a", signal) | {"start_time": "2024-05-01T23:59:58"}
    entry = made(tmp_path, given, target=target, window=4, sampling_frequency=50.0, each_window=True)["a"]
    assert [onset for onset, _ in asked] == [start for start, _ in entry["files"].values()] == [0, 5, 9, 13]
    assert asked[1][1] == "2024-05-02T00:00:03"


def test_who_is_in_another_part_or_has_another_name_is_made_again(tmp_path: Path) -> None:
    one = made(tmp_path, recording("a"), val=["a"], test=["b"])
    other = made(tmp_path, recording("a"), val=["b"], test=["a"])
    assert [[said[name]["part"] for name in "ab"] for said in (one, other)] == [["val", "test"], ["test", "val"]]
    for who in ("p", "q"):
        people = {"a": who, "b": "b", "c": "c", "d": "d"}
        assert made(tmp_path, recording("a"), val=["b"], test=[who], person=people)["a"]["person"] == who


def test_a_file_that_has_become_somebody_elses_is_theirs(tmp_path: Path) -> None:
    for who in ("p", "q"):
        np.savez(tmp_path / "a.npz", **recording("a"), person=who)
        root = nl.make_dataset([tmp_path / "a.npz"], tmp_path, target={"a": 1.0}, val=0, test=0)
        assert json.loads((root / "manifest.json").read_text())["recordings"]["a"]["person"] == who


def n_events(recording: Any) -> float:
    return float(len(recording["events"]["sample"]))


def test_what_is_read_with_other_options_is_made_again(tmp_path: Path) -> None:
    rows = "".join(f"{i / 100},{i % 7},{i // 100 % 2},{i // 50 % 2}\n" for i in range(400))
    (tmp_path / "a.csv").write_text(f"time,ecg,slow,fast\n{rows}")
    for labels, n in ((["slow"], 4), (["fast"], 8)):
        given: dict[str, Any] = {"channels": ["ecg"], "read_options": {"labels": labels}, "val": 0, "test": 0}
        root = nl.make_dataset([tmp_path / "a.csv"], tmp_path, target=n_events, **given)
        assert np.load(root / "y" / "train" / "a.npy") == n


def test_windows_that_overlap_by_nearly_all_begin_at_each_sample(tmp_path: Path) -> None:
    short = recording("a", np.arange(20.0)[:, None])
    root = nl.make_dataset([short], tmp_path, target=n_events, window=0.02, overlap=0.95, val=0, test=0)
    assert len(list(root.glob("x/train/*"))) == 16


def test_a_recording_of_several_files_has_changed_where_one_of_them_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamps, listdir = [], os.listdir
    for changed in ("r1.hea", "r1.dat", "r1.atr", "r10.dat"):
        (tmp_path / changed).write_text("changed")
        folders: list[Any] = []
        monkeypatch.setattr(os, "listdir", lambda folder, told=folders: (told.append(folder), listdir(folder))[1])
        both = stamps_of({"a": tmp_path / "r1", "b": tmp_path / "r1.hea"})
        assert folders == [tmp_path], "once for all that lie there: thousands of recordings would take minutes"
        assert both["a"] == both["b"]
        stamps.append(both["a"])
    assert len({*stamps[:3]}) == 3 and stamps[2] == stamps[3]


def test_beats_that_drift_away_from_their_signal_are_told(tmp_path: Path) -> None:
    """As those of a device whose clock is 300 ppm off, with noise and lost samples; not those that stay, that are late
    from some moment on, nor some at random."""
    signal, beats = nl.synthetic_ecg(duration=700, sampling_frequency=100, seed=1)
    chance = np.sort(np.random.default_rng(0).integers(0, len(signal), len(beats)))
    jump = np.where(beats < 35_000, beats, beats + 30)
    events = {"stays": beats, "late": np.rint(beats * (1 + 3e-4)), "jump": jump, "chance": chance}
    known = {"signal": signal[:, None], "sampling_frequency": 100}
    marked = {name: {"sample": at, "symbol": ["N"] * len(at)} for name, at in events.items()}
    given: Any = {name: known | {"events": each} for name, each in marked.items()}
    noise = np.random.default_rng(1).standard_normal((20_000, 1))
    given["late"]["signal"] = np.concatenate([signal[:30_000, None], noise, signal[50_000:, None]])
    given["late"]["signal"][500::1000] = np.nan
    with pytest.warns(UserWarning, match=r"1 of 4 recordings drift away from .*: late \((29|30)\d ppm late\)"):
        nl.make_dataset(given, tmp_path, target=nl.event_target, val=0, test=0, enable_progress_bar=False)


def test_a_data_set_of_weeks_in_short_windows_can_be_read_and_gone_on_with(tmp_path: Path) -> None:
    """Its manifest is larger than any other file of its kind: with a line for each number it was one of 150 nights."""
    entry = made(tmp_path, recording("a"))["a"]
    entry["files"] = {f"a_{i:06d}.npy": [10.0 * i, 10.0 * i + 10] for i in range(500_000)}
    manifest.write_manifest(tmp_path, {"a": entry}, ["a", "b"])
    assert (tmp_path / "manifest.json").stat().st_size > MAX_JSON
    assert manifest.entries_in(tmp_path) == {"a": entry, "b": None}


def test_channels_that_share_a_name_are_refused_in_another_order(tmp_path: Path) -> None:
    one, other = (recording(name, np.ones((5000, 3))) for name in "ab")
    one["channels"], other["channels"] = ["C3", "C3", "C4"], ["C4", "C3", "C3"]
    with pytest.raises(ValueError, match="'b' has the channels C4, C3, C3, 'a' has C3, C3, C4. Say which"):
        nl.make_dataset([one, other], tmp_path, target=lambda recording: 1.0, val=0, test=0)


def test_a_recording_that_gave_no_file_has_no_say_in_what_the_others_share(tmp_path: Path) -> None:
    lost = recording("e", np.full((5000, 1), np.nan)) | {"sampling_frequency": 100.0}
    with pytest.warns(UserWarning, match="recordings gave no file"):
        nl.make_dataset([recording("a"), lost], tmp_path, target=lambda recording: 1.0, val=0, test=0)
    folder = nl.open_folder(tmp_path / "x", tmp_path / "y", "train")
    assert manifest.said_of(folder, {"sampling_frequency": None}) == {"sampling_frequency": RATE}


def test_outputs_are_called_what_all_of_a_folder_are(monkeypatch: pytest.MonkeyPatch) -> None:
    for told, expected in (("aa", ["a"]), ("ab", []), ("", [])):
        entries = {tmp: [{"outputs": [name]}] for tmp, name in enumerate(told)}
        monkeypatch.setattr(manifest, "_entries_of", lambda data, entries=entries: entries)
        assert manifest.outputs_said(None, 1) == expected


def test_a_class_that_is_not_known_keeps_the_others_classes_at_another_rate(tmp_path: Path) -> None:
    classes = np.where(np.arange(5000) % 1000 < 100, np.nan, np.arange(5000) // 1000 % 2)
    target = {"a": classes, **{name: np.zeros(5000) for name in "bcd"}}
    entry = made(tmp_path, recording("a"), target=target, sampling_frequency=np.int64(100))["a"]
    assert entry["sampling_frequency"] == 100
    y = np.load(tmp_path / "y" / entry["part"] / "a.npy")
    assert set(y[np.isfinite(y)]) == {0, 1} and 195 <= np.isnan(y).sum() <= 205


def test_a_class_of_each_sample_is_taken_of_the_piece_that_it_is_of(tmp_path: Path) -> None:
    """Also where the signal is resampled, gaps are left out, and windows cut and asked about one by one."""
    signal, truth = np.random.default_rng(0).standard_normal((5000, 1)), np.arange(5000) // 125  # of half a second
    signal[1000:1250] = np.nan
    for rate in (250, 50, 1000):
        for i, options in enumerate(({}, {"window": 2}, {"window": 2, "each_window": True})):
            directory = tmp_path / f"{rate}-{i}"
            given: Any = {"a": truth} | {name: 0 for name in "bcd"}
            if options.get("each_window"):
                given = lambda recording: recording.get("truth", truth)
            a = recording("a", signal) | {"truth": truth, "level": truth / 3, "weeks": np.arange(3)}
            entry = made(directory, a, target=given, sampling_frequency=rate, **options)["a"]
            for file, (start, stop) in entry["files"].items():
                y = np.load(directory / "y" / entry["part"] / file)
                end = 4 if start < 4 else 20  # of the piece, beyond which no sample is taken
                at = np.minimum(start + np.arange(round((stop - start) * rate)) / rate, end - 1 / RATE)
                expected = truth[np.rint(at * RATE).astype(int)]
                assert len(y) == len(expected) and y[0] == expected[0] and y[-1] == expected[-1]
                assert (y != expected).mean() < 0.001, "but in the middle of two samples"
        level = lambda r: r.get("level", np.zeros(1)).mean() + len(r.get("weeks", "012")) - 3
        entry = made(directory, a, target=level, sampling_frequency=rate, window=2, each_window=True)["a"]
        for file, (start, stop) in entry["files"].items():
            expected = truth[int(start * RATE) : int(stop * RATE)].mean() / 3
            assert abs(np.load(directory / "y" / entry["part"] / file) - expected) < 0.01


def test_a_target_of_each_sample_or_that_rounding_changes_is_nothing_to_tell_of_windows(tmp_path: Path) -> None:
    signal = np.random.default_rng(0).standard_normal((5000, 1))
    targets: tuple[Any, ...] = lambda r: r["signal"] > r["signal"].mean(), lambda r: 0.1 + 1e-9 * r["signal"].mean()
    for i, target in enumerate(targets):
        made(tmp_path / str(i), recording("a", signal), target=target, window=2)


def test_a_resampled_signal_goes_on_at_its_ends_and_keeps_its_offset(tmp_path: Path) -> None:
    signal = 1000 + np.linspace(0, 1, 5000)[:, None]
    entry = made(tmp_path, recording("a", signal), sampling_frequency=125)["a"]
    x = np.load(tmp_path / "x" / entry["part"] / "a.npy")
    np.testing.assert_allclose(x, signal[::2], atol=0.02)
    entry = made(tmp_path, recording("a", signal), sampling_frequency=249)["a"]
    assert len(np.load(tmp_path / "x" / entry["part"] / "a.npy")) == 20 * 249 and entry["sampling_frequency"] == 249


def test_a_beat_of_the_last_sample_is_that_of_the_last_one_at_another_rate(tmp_path: Path) -> None:
    beats = {"sample": np.array([100, 4999]), "symbol": ["N", "N"], "duration": np.zeros(2)}
    given = recording("a") | {"events": beats}
    beat = lambda recording: nl.event_target(recording) if recording["name"] == "a" else np.zeros(2500)
    entry = made(tmp_path, given, sampling_frequency=125, target=beat)["a"]
    y = np.load(tmp_path / "y" / entry["part"] / "a.npy")
    assert np.flatnonzero(y).tolist() == [50, 2499]


def ended(recording: Any) -> float:
    os._exit(1)


def test_a_process_that_ends_says_what_its_script_may_lack(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="a worker of n_workers=2 ended .* under `if __name__ == "):
        made(tmp_path, target=ended, n_workers=2)


def test_names_that_are_one_file_where_case_makes_no_difference_are_refused(tmp_path: Path) -> None:
    both = recording("a"), recording("A")
    assert len(made(tmp_path / "tells", *both)) == 5
    with pytest.raises(ValueError, match="recordings has the name '.a'; expected one that a file can have"):
        made(tmp_path / "hidden", both[0] | {"name": ".a"})
    (tmp_path / "one" / "X").mkdir(parents=True)  # as a file system says that takes it for x
    with pytest.raises(ValueError, match="recordings has 'a' and 'A', whose files would be the same in .*one"):
        made(tmp_path / "one", *both)


ECG = nl.synthetic_ecg(duration=20, sampling_frequency=RATE, seed=1)[0][:, None].astype(np.float64)
STATE = nl.gru_seq2seq(n_features=1, hid_dim=2, n_layers=1)
STATE["preprocessing"]["sampling_frequency"] = RATE


def marked(value: float, start: int, stop: int) -> np.ndarray:
    signal = ECG.copy()
    signal[start:stop] = value
    return signal


@pytest.mark.parametrize("value, n", [(-163.84, 90), (-9999.0, 3000), (5.0, 8), (1e5, 1)])
def test_marks_of_lost_samples_spikes_and_rails_are_told_wherever_signals_enter(
    value: float, n: int, tmp_path: Path
) -> None:
    signal = marked(value, 1000, 1000 + n)
    there = recording("a", np.where(np.arange(5000)[:, None] < 4900, signal, np.nan)) | {"channels": ["II"]}
    told = f"II is {value:.6g} in {n} sample.* of a, far from all else.*isclose"
    with pytest.warns(UserWarning, match=told):
        nl.predict_recording(STATE, there)
    with pytest.warns(UserWarning, match=f"channel 0 is {value:.6g} in {2 * n} samples of .*1., .*2., far from"):
        nl.prepare(STATE, [(x, np.zeros((len(x), 1))) for x in (ECG, signal, signal)])
    pairs = [(x, (ECG > 0.5).astype(float)) for x in (ECG, signal)]
    with pytest.warns(UserWarning, match="far from all else: .* padding") as warned:  # once, of training and validation
        nl.train(STATE, pairs, pairs, epochs=1, batch_size=1, dry_run=True)
    assert len(warned) == 1
    with pytest.warns(UserWarning, match=f"0 is {value:.6g} in {n} sample.* of a, far from") as warned:
        made(tmp_path, recording("a", signal), sampling_frequency=100)
    assert sum("far from" in str(each.message) for each in warned) == 1


@pytest.mark.parametrize(
    "signal",
    [
        ECG,
        marked(np.nan, 1000, 1500),
        marked(0.0, 1000, 1500),  # a lead that is off, within its range
        np.clip(ECG, -0.2, 0.5),
        np.maximum(-np.exp(5 * ECG / ECG.max()), -20.0),  # cut off where it goes down, and hardly goes up
        marked(5.0, 1000, 1007),  # a spike no larger than those of pacemakers
        np.repeat([0, 1, 2, 1, 128], 1000)[:, None],  # codes
        np.full((5000, 1), 3.0),
        np.where(np.arange(5000) % 10 == 0, 60 + ECG[:, 0], 0)[:, None],  # as steps a minute: mostly at rest
    ],
)
def test_signals_without_such_values_are_taken_in_silence(signal: np.ndarray, recwarn: pytest.WarningsRecorder) -> None:
    nl.predict_recording(STATE, recording("a", signal))
    assert [str(each.message) for each in recwarn] == []


def test_a_glance_at_a_channel_of_two_levels_hides_no_rail() -> None:
    steps = np.arange(600)
    signal = np.where((steps % 3 == 0) & (steps % 9 > 0), 1.0, -1.0) + steps * 1e-4  # of every third most are up
    signal[300:310] = 3.3
    with pytest.warns(UserWarning, match="channel 0 is 3.3 in 10 samples"):
        nl.prepare(STATE, [(signal[:, None], np.zeros((len(signal), 1)))])
