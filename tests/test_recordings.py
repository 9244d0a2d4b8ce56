"""Recordings as tables and arrays, lazily read signals, and what is asked for that is not there."""

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurallib as nl
from neurallib import list_recordings, read_recording

X = np.stack([np.sin(np.arange(1000) / 15), np.cos(np.arange(1000) / 9)], 1)


def csv(path: Path, columns: Any, header: str = "", separator: str = ",", form: str = "%.6f") -> Path:
    np.savetxt(path, np.column_stack(columns), form, separator, header=header, comments="", encoding="utf-8")
    return path


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", "  "])
@pytest.mark.parametrize("header", [True, False])
def test_table_is_read_with_its_separator_names_and_units(tmp_path: Path, separator: str, header: bool) -> None:
    names = separator.join(["ECG(mV)", "acc[g]"]) if header else ""
    read = read_recording(csv(tmp_path / "a.csv", [X], names, separator), sampling_frequency=100)
    np.testing.assert_allclose(read["signal"], X, atol=1e-6)
    assert (read["channels"], read["units"]) == ((["ECG", "acc"], ["mV", "g"]) if header else (["0", "1"], ["", ""]))
    assert read["sampling_frequency"] == 100 and read["signal"].dtype == np.float32


def test_single_column_comments_and_lines_before_the_names_are_read_over(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("# from a device\n0.5\n1.5\n2.5\n")
    assert read_recording(tmp_path / "a.txt", sampling_frequency=10)["signal"][:, 0].tolist() == [0.5, 1.5, 2.5]
    rows = "\n".join(f"{a};{b}" for a, b in X.round(3)).replace(".", ",")
    (tmp_path / "b.csv").write_text(f"Exported by a program\n\nleft;right\n{rows}\n")
    read = read_recording(tmp_path / "b.csv", sampling_frequency=10)
    assert read["channels"] == ["left", "right"]
    np.testing.assert_allclose(read["signal"], X.round(3), atol=1e-6)


def test_missing_values_are_nan_and_a_cut_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2\n,4\n5,NA\n7,8\n")
    read = read_recording(tmp_path / "a.csv", sampling_frequency=10)
    np.testing.assert_array_equal(read["signal"], [[1, 2], [np.nan, 4], [5, np.nan], [7, 8]])
    (tmp_path / "a.csv").write_text("a,b\n1,2\n3,4\n5\n")
    with pytest.raises(ValueError, match=r"a\.csv cannot be read \(cut off\?\)"):
        read_recording(tmp_path / "a.csv", sampling_frequency=10)


@pytest.mark.parametrize(
    "name, scale", [("time_sec", 1), ("Time (s)", 1), ("timestamp_ms", 1e3), ("seconds_elapsed", 1), ("t [us]", 1e6)]
)
def test_time_column_tells_the_rate_and_is_no_channel(tmp_path: Path, name: str, scale: float) -> None:
    times = np.arange(1000) / 250
    read = read_recording(csv(tmp_path / "a.csv", [times * scale, X], f"{name},a,b"))
    assert read["sampling_frequency"] == 250 and read["channels"] == ["a", "b"]
    np.testing.assert_allclose(read["signal"], X, atol=1e-6)


def test_time_column_without_a_name_is_one_that_goes_up_all_the_time(tmp_path: Path) -> None:
    path = csv(tmp_path / "a.csv", [np.arange(1000) / 50, X])
    assert read_recording(path)["sampling_frequency"] == 50
    assert read_recording(path, sampling_frequency=50)["channels"] == ["0", "1", "2"]
    with pytest.raises(ValueError, match="a.csv has no time column that is known as one: give sampling_frequency"):
        read_recording(csv(path, [X]))


def test_clock_of_whole_milliseconds_is_even(tmp_path: Path) -> None:
    read = read_recording(csv(tmp_path / "a.csv", [np.round(np.arange(1000) / 360, 3), X], "time,a,b"))
    assert read["sampling_frequency"] == pytest.approx(360, rel=1e-4)
    np.testing.assert_allclose(read["signal"], X, atol=1e-6)


def test_uneven_samples_are_interpolated_by_their_times_and_gaps_are_nan(tmp_path: Path) -> None:
    times = np.arange(2000) / 100 + np.random.default_rng(0).uniform(-0.003, 0.003, 2000)
    times = np.delete(times, np.r_[300, 700:900])  # one lost sample, and two seconds
    read = read_recording(csv(tmp_path / "a.csv", [times, np.sin(times)], "time,a"), sampling_frequency=100)
    signal, truth = read["signal"][:, 0], np.sin(times[0] + np.arange(2000) / 100)
    gap = np.isnan(signal)
    assert 198 <= gap.sum() <= 202 and gap[702:898].all() and not gap[:698].any() and not gap[902:].any()
    np.testing.assert_allclose(signal[~gap], truth[: len(signal)][~gap], atol=1e-3)
    even = csv(tmp_path / "b.csv", [np.r_[0:5, 7:12], np.ones(10)], "time,a")
    assert np.isnan(read_recording(even)["signal"][:, 0]).tolist() == [False] * 12  # two lost samples
    even = csv(tmp_path / "b.csv", [np.r_[0:5, 9:12], np.ones(8)], "time,a")
    assert np.isnan(read_recording(even)["signal"][:, 0]).tolist() == [False] * 5 + [True] * 4 + [False] * 3


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("rate, tick", [(200, 10), (2000, 1), (1926, 1), (1500, 1), (360, 10), (100, 1000)])
def test_rows_that_share_a_time_are_spread_evenly(tmp_path: Path, rate: int, tick: int) -> None:
    k = np.arange(37, 3037)  # the first packet is cut
    truth = np.sin(2 * np.pi * 0.35 * k)
    columns = [k * 1000 // (rate * tick) * tick, truth, k // 1000]
    path = csv(tmp_path / "a.csv", columns, "time_ms,emg,label", form="%.9g")
    for told in (None, rate):
        read = read_recording(path, sampling_frequency=told, labels="label")
        assert read["sampling_frequency"] == rate and len(read["signal"]) in (2999, 3000)
        assert np.abs(read["events"]["sample"] - [0, 963, 1963, 2963]).max() <= 1
        off = np.abs(read["signal"][:2999, 0] - truth[:2999]).max()
        assert off < (1e-6 if 1000 % (rate * tick) == 0 or rate * tick % 1000 == 0 else 0.1)


def test_packets_that_are_lost_are_gaps_and_those_that_come_late_are_spread_to_the_next(tmp_path: Path) -> None:
    k = np.delete(np.arange(4000), np.r_[1000:1020, 2000:2200])
    read = read_recording(csv(tmp_path / "a.csv", [k // 20 * 100, np.sin(k / 9)], "time_ms,a"))
    gap = np.isnan(read["signal"][:, 0])
    assert read["sampling_frequency"] == 200 and np.flatnonzero(~gap).tolist() == k.tolist()
    np.testing.assert_allclose(read["signal"][k, 0], np.sin(k / 9), atol=1e-6)
    late = np.arange(400) * 50 + np.random.default_rng(0).integers(-10, 10, 400)
    read = read_recording(csv(tmp_path / "a.csv", [np.repeat(late, 10), np.sin(np.arange(4000) / 99)], "time_ms,a"))
    assert read["sampling_frequency"] == pytest.approx(200, rel=1e-3) and not np.isnan(read["signal"]).any()


@pytest.mark.parametrize("told", [None, 100])
def test_moments_that_are_told_again_are_left_out_and_many_are_told(tmp_path: Path, told: int | None) -> None:
    rng = np.random.default_rng(0)
    for n in (1, 30, 80):
        again = np.sort(np.r_[np.arange(1000), rng.integers(0, 500, n)]) * 10
        path = csv(tmp_path / "a.csv", [again, rng.standard_normal(1000 + n)], "time_ms,a")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            read = read_recording(path, sampling_frequency=told)
        assert read["sampling_frequency"] == 100 and len(read["signal"]) == 1000
        assert [str(each.message)[:16] for each in caught] == (["80 of 1080 rows "] if n == 80 else [])
    path = csv(tmp_path / "a.csv", np.repeat([np.arange(500) * 10, [np.nan, *again[:499]]], 2, axis=1), "time_ms,a")
    with pytest.warns(UserWarning, match=r"500 of 1000 rows of .*a\.csv are left out"):
        assert len(read_recording(path, sampling_frequency=told)["signal"]) == 500, "each row is there twice"


def test_clocks_that_tell_the_date_tell_the_start(tmp_path: Path) -> None:
    since_1970 = 1_700_000_000_000 + np.arange(1000) * 10
    read = read_recording(csv(tmp_path / "a.csv", [since_1970, X], "timestamp,a,b", form="%.3f"))
    assert read["sampling_frequency"] == 100 and read["start_time"] == "2023-11-14T22:13:20+00:00"
    since_switched_on = csv(tmp_path / "on.csv", [since_1970 - 1_699_800_000_000, X], "time (ms),a,b", form="%.3f")
    assert read_recording(since_switched_on)["start_time"] is None
    rows = [f"2024-02-29 10:00:{i / 10:06.3f}Z,{i}" for i in range(100)]
    (tmp_path / "b.csv").write_text("\n".join(["Date,a", *rows]) + "\n")
    read = read_recording(tmp_path / "b.csv")
    assert read["sampling_frequency"] == 10 and read["start_time"] == "2024-02-29T10:00:00.000"
    assert read["signal"][:, 0].tolist() == list(range(100))


def test_time_that_goes_back_is_refused_and_the_clock_can_be_named(tmp_path: Path) -> None:
    path = csv(tmp_path / "a.csv", [np.r_[0:10, 5:10], np.ones(15)], "time,a")
    with pytest.raises(ValueError, match=r"the time column of .*a\.csv goes back, or says nothing, at sample 10"):
        read_recording(path)
    read = read_recording(csv(path, [np.arange(1000) * 4, X], "tick,a,b"), time=("tick", "ms"))
    assert read["sampling_frequency"] == 250 and read["channels"] == ["a", "b"]


@pytest.mark.parametrize("rest, fist, two", [("rest", "fist", ["rest", "fist"]), ("0.00", "1.0e+00", ["0", "1"])])
def test_runs_of_a_label_column_are_events(tmp_path: Path, rest: str, fist: str, two: list[str]) -> None:
    (tmp_path / "emg.txt").write_text("".join(f"{2 * i},{-i},{rest if i < 60 else fist}\n" for i in range(100)))
    read = read_recording(tmp_path / "emg.txt", sampling_frequency=200, labels=2)
    assert read["channels"] == ["0", "1"] and read["events"]["symbol"] == two and [*read["events"]["sample"]] == [0, 60]
    assert read["events"]["duration"].tolist() == pytest.approx([0.3, 0.2])


@pytest.mark.parametrize("yes, no", [("1", "0"), ("True", "False"), ("1.0e+00", "")])
def test_several_label_columns_are_events_by_their_names_and_no_channels(tmp_path: Path, yes: str, no: str) -> None:
    flexion, extension = np.arange(100) // 25 % 2, np.arange(100) // 40 == 1
    rows = (f"{i},{yes if a else no},{yes if b else no},7\n" for i, (a, b) in enumerate(zip(flexion, extension)))
    (tmp_path / "a.csv").write_text("emg,flexion,extension,stage\n" + "".join(rows))
    read = read_recording(tmp_path / "a.csv", sampling_frequency=10, labels=["flexion", "extension"])
    assert read["channels"] == ["emg", "stage"]
    assert read["events"]["symbol"] == ["flexion", "extension", "flexion"]
    assert read["events"]["sample"].tolist() == [25, 40, 75]
    for name, truth in (("flexion", flexion), ("extension", extension)):
        assert nl.interval_target(read, {name: 1}, background=0).tolist() == truth.tolist()
    with pytest.raises(ValueError, match=r"'stage' of .*a\.csv holds '7'; several labels are columns of 0 and 1"):
        read_recording(tmp_path / "a.csv", sampling_frequency=10, channels="emg", labels=["flexion", "stage"])
    read = read_recording(tmp_path / "a.csv", sampling_frequency=10, channels="emg", labels=[("gesture", "stage")])
    assert read["events"]["symbol"] == ["7"], "the first of several names that is there"


def test_columns_of_text_are_skipped_where_channels_are_asked_for_and_else_named(tmp_path: Path) -> None:
    rows = [f"{i},P01,{i / 100:.2f},{i % 7},{i % 5},{'ok' if i < 300 else 'LOST'}\n" for i in range(400)]
    (tmp_path / "a.csv").write_text(",subject,time,emg,acc,note\n" + "".join(rows))
    numbers = [[i % 5, i % 7] for i in range(400)]
    for channels in (["emg"], [1], "emg"):  # what counts the lines has no number
        read = read_recording(tmp_path / "a.csv", channels=channels)
        assert read["sampling_frequency"] == 100 and read["channels"] == ["emg"]
        assert read["signal"][:, 0].tolist() == [i % 7 for i in range(400)]
    read = read_recording(tmp_path / "a.csv", channels=["acc", "emg"], labels="note")
    assert read["signal"].tolist() == numbers and read["events"]["symbol"] == ["ok", "LOST"]
    (tmp_path / "a.csv").write_text(",subject,time,emg,acc,note\n" + "".join(rows[:9] + ["9,P01,0.09,,NA,\n"]))
    for channels, held in ((None, r"'subject' \('P01'\), 'note' \('ok'\)"), (["emg", "note"], r"'note' \('ok'\)")):
        with pytest.raises(ValueError, match=rf"a\.csv holds text in {held}; expected numbers: channels= .*labels="):
            read_recording(tmp_path / "a.csv", channels=channels)
    (tmp_path / "b.csv").write_text("P01,0.5\n" * 9)
    with pytest.raises(ValueError, match=r"b\.csv has no time column that is known as one"):
        read_recording(tmp_path / "b.csv")


@pytest.mark.parametrize("array", [X, X.T, X[:, 0], (100 * X).astype(np.int16), np.tile(X, (100, 1))])
def test_npy_is_read_with_the_rate_that_is_given(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ValueError, match=r"a\.npy does not say its sampling frequency"):
        read_recording(tmp_path / "a.npy")
    read = read_recording(tmp_path / "a.npy", sampling_frequency=100, start=1, stop=2.5)
    expected = array.T if array.shape[0] == 2 else array.reshape(len(array), -1)
    np.testing.assert_array_equal(read["signal"], expected[100:250].astype(np.float32))


def test_npz_says_what_it_holds(tmp_path: Path) -> None:
    said = {"channels": ["a", "b"], "units": ["mV", "uV"], "person": "anna", "sample": [5, 50], "symbol": ["N", "V"]}
    np.savez(tmp_path / "a.npz", signal=X, sampling_frequency=100, **said)
    read = read_recording(tmp_path / "a.npz", units="mV")
    np.testing.assert_allclose(read["signal"], X * [1, 0.001], rtol=1e-6)
    assert (read["person"], read["channels"], read["units"]) == ("anna", ["a", "b"], ["mV", "mV"])
    assert read["events"]["sample"].tolist() == [5, 50] and read["events"]["symbol"] == ["N", "V"]
    half = read_recording(tmp_path / "a.npz", sampling_frequency=50, start=0.3)
    assert half["sampling_frequency"] == 50 and half["events"]["sample"].tolist() == [10]
    assert len(half["signal"]) == len(X) // 2 - 15


def test_lazy_signal_is_sliced_as_an_array_and_travels_to_other_processes(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((200_000, 2))
    np.save(tmp_path / "a.npy", x)
    read = read_recording(tmp_path / "a.npy", sampling_frequency=100, lazy=True)
    lazy, x = read["signal"], x.astype(np.float32)
    assert (lazy.shape, lazy.dtype, lazy.ndim, len(lazy)) == (x.shape, x.dtype, 2, len(x))
    for key in (slice(5, 9), slice(-3, None), slice(9, 5), slice(0, 100, 7), slice(9, 2, -1), 7, -1, np.int64(3)):
        np.testing.assert_array_equal(lazy[key], x[key])
    for key in ((slice(5, 9), 1), (3, [0]), (slice(None), [1, 0]), ..., [1, 5]):
        np.testing.assert_array_equal(lazy[key], x[key])
    with pytest.raises(IndexError):
        lazy[200_000]
    np.testing.assert_array_equal(np.asarray(lazy), x)
    assert len(pickle.dumps(lazy)) < 2000
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(lazy))[10:20], x[10:20])


def test_long_recordings_are_lazy_and_short_ones_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "a.npy", X)
    assert isinstance(read_recording(tmp_path / "a.npy", sampling_frequency=1)["signal"], np.ndarray)
    monkeypatch.setattr("neurallib.signals.recordings.LONG", 1000)
    assert not isinstance(read_recording(tmp_path / "a.npy", sampling_frequency=1)["signal"], np.ndarray)


def test_channels_are_picked_by_name_by_number_or_by_the_first_name_that_is_there(tmp_path: Path) -> None:
    path = csv(tmp_path / "a.csv", [X, X], "II,V1,V2,V2")
    found_by = ((["V1"], ["V1"]), ("II", ["II"]), ([1, 0], ["V1", "II"]), ([("MLII", "II"), 3], ["MLII", "V2"]),
                (np.array(["V1"]), ["V1"]))  # fmt: skip
    for asked, found in found_by:
        assert read_recording(path, sampling_frequency=1, channels=asked)["channels"] == found
    for asked, told in (
        (["MLII"], r"a\.csv has no channel 'MLII'; there are 4: II, V1, V2, V2\. Did you mean 'II'"),
        ([("I", "III")], "has no channel 'I' or 'III'"),
        (["V2"], "has 2 channels named 'V2'; ask for one by its number: 2, 3"),
        ([4], "has no channel 4"),
    ):
        with pytest.raises(ValueError, match=told):
            read_recording(path, sampling_frequency=1, channels=asked)
    for asked in ([], [True], [1.5], 2.5):
        with pytest.raises(TypeError, match="channels"):
            read_recording(path, sampling_frequency=1, channels=asked)


def test_what_is_no_recording_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("These recordings were made in 2 rooms.\nThey are short.\n")
    (tmp_path / "blob.bin").write_bytes(bytes(range(256)))
    (tmp_path / "empty.csv").touch()
    np.save(tmp_path / "names.npy", np.array(["a", "b"]))
    for name, told in (
        ("notes.txt", r"notes\.txt is no table of numbers"),
        ("blob.bin", r"blob\.bin is no text, nor any other recording"),
        ("empty.csv", r"empty\.csv is empty"),
        ("names.npy", r"names\.npy"),
    ):
        with pytest.raises(ValueError, match=told):
            read_recording(tmp_path / name, sampling_frequency=1)
    with pytest.raises(FileNotFoundError, match=r"note\.txt is missing.* Did you mean 'notes\.txt'"):
        read_recording(tmp_path / "note.txt")
    np.save(tmp_path / "a.npy", X)
    for options, told in (
        ({"start": 20}, "start=20, but .*lasts 10 s"),
        ({"start": 3, "stop": 3}, "stop=3"),
        ({"units": ["mV"]}, "units has 1 names; expected 2"),
    ):
        with pytest.raises(ValueError, match=told):
            read_recording(tmp_path / "a.npy", sampling_frequency=100, **options)


def test_folder_lists_its_recordings_in_natural_order_and_one_without_is_named(tmp_path: Path) -> None:
    for name in ("b10.csv", "b9.csv"):
        csv(tmp_path / name, [X])
    (tmp_path / "README.txt").write_text("Made in 2024.\n")
    (tmp_path / "._b9.csv").write_bytes(b"\0\5\x16\7")
    assert [path.name for path in list_recordings(tmp_path)] == ["b9.csv", "b10.csv"]
    np.save(tmp_path / "a.npy", X)
    csv(tmp_path / "labels.csv", [X[:400]])  # which may tell of it
    with pytest.warns(UserWarning, match="^b10.csv, b9.csv of .* are left out, as tables beside recordings"):
        assert [path.name for path in list_recordings(tmp_path)] == ["a.npy"]
    (tmp_path / "empty").mkdir()
    for name, told in (("nowhere", "nowhere, which is no folder"), ("empty", r"empty\.$")):
        with pytest.raises(FileNotFoundError, match=told):
            list_recordings(tmp_path / name)
