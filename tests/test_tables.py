"""Tables as recorders write them: units in a row of their own, quotes, clocks of the day, a rate before the numbers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurallib as nl
from neurallib.signals.uneven import on_a_grid

T = np.arange(500) / 250
ECG = np.sin(T)


def written(path: Path, head: str, rows: list[str]) -> Path:
    path.write_text(head + "".join(f"{row}\n" for row in rows))
    return path


@pytest.mark.parametrize(
    "head, rows",
    [
        ("time,ECG\ns,mV\n", [f"{t:.3f},{v:.4f}" for t, v in zip(T, ECG, strict=True)]),
        ("'Elapsed time','ECG'\n'hh:mm:ss.mmm','mV'\n",
         [f"'{int(t // 60) + 59}:{t % 60:06.3f}',{v:.4f}" for t, v in zip(T, ECG, strict=True)]),
        ("time (ms);ECG (mV)\n", [f"{1000 * t:.0f};{v:.4f}" for t, v in zip(T, ECG, strict=True)]),
        ('"Time","ECG [mV]"\n', [f"23:59:{t:06.3f},{v:.4f}" for t, v in zip(T, ECG, strict=True)]),
        ("date,time,ECG (mV)\n", [f"2024-05-31,{'23:59:59' if t < 1 else '0:00:00'}.{1000 * (t % 1):03.0f},{v:.4f}"
                                  for t, v in zip(T, ECG, strict=True)]),
        ("sensor timestamp [ns];ECG [mV]\n", [f"{1e9 * t:.0f};{v:.4f}" for t, v in zip(T, ECG, strict=True)]),
        ("\ttime\tECG (mV)\n", [f"{i}\t{t:.3f}\t{v:.4f}" for i, (t, v) in enumerate(zip(T, ECG, strict=True))]),
        ("time,ECG (mV)\n", [f"{t:.3f},{v:.4f}," for t, v in zip(T, ECG, strict=True)]),
    ],
    ids=["a row of units", "PhysioNet", "units with names", "clock of the day", "midnight", "clock of a sensor",
         "first name empty", "lines end with a separator"],
)  # fmt: skip
def test_names_units_and_clocks_are_read_however_they_are_written(head: str, rows: list[str], tmp_path: Path) -> None:
    read = nl.read_recording(written(tmp_path / "a.csv", head, rows))
    assert (read["sampling_frequency"], read["channels"], read["units"]) == (250, ["ECG"], ["mV"])
    np.testing.assert_allclose(read["signal"][:, 0], ECG, atol=1e-4)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252", "utf-16", "utf-16-be"])
def test_text_may_be_as_excel_writes_it(encoding: str, tmp_path: Path) -> None:
    rows = "".join(f"{t:.3f}\t{v:.4f}\n" for t, v in zip(T, ECG, strict=True))
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    (tmp_path / "a.txt").write_text(f"{mark}time\tBrustwand für EKG (µV)\n{rows}", encoding=encoding)
    read = nl.read_recording(tmp_path / "a.txt")
    assert (read["channels"], read["units"], len(read["signal"])) == (["Brustwand für EKG"], ["µV"], 500)


def test_a_title_above_the_names_is_no_name_and_names_are_no_units(tmp_path: Path) -> None:
    rows = [f"{t:.3f},{v:.4f}" for t, v in zip(T, ECG, strict=True)]
    for title in ("Recording 5,\n", "Recording 5,of Anna\n"):
        read = nl.read_recording(written(tmp_path / "a.csv", f"{title}time,ECG\n", rows))
        assert (read["channels"], read["units"]) == (["ECG"], [""])
    assert nl.read_recording(written(tmp_path / "a.csv", "Recording 5,\ntime,mV\n", rows))["channels"] == ["mV"]
    assert nl.read_recording(written(tmp_path / "a.csv", "time,ECG\n# Anna, Berta\n", rows))["channels"] == ["ECG"]
    clock = [f"0:00:{t:06.3f},{v:.4f}" for t, v in zip(T, ECG, strict=True)]  # a row of units, if of unknown ones
    assert nl.read_recording(written(tmp_path / "a.csv", "time,ECG\nhh:mm:ss,adu\n", clock))["channels"][0][:3] == "ECG"


def test_a_row_of_units_of_whatever_is_measured_names_no_channel(tmp_path: Path) -> None:
    rows = [f"{1000 * t:.0f}\t5\t{v:.4f}\t9.81\t33\t" for t, v in zip(T, ECG, strict=True)]
    whole, blank = "ms\tkOhms\ta.u.\tm/(s^2)\tDegrees Celsius\t", "[ms]\t\t[%]\t[g]\t[bpm]\t"
    for eda, units in (("EDA", whole), ("EDA (uS)", blank)):
        head = f"sep=\t\nTime\t{eda}\tPPG\tACC\tTemp\t\n{units}\n"
        read = nl.read_recording(written(tmp_path / "a.csv", head, rows))
        assert (read["sampling_frequency"], read["channels"]) == (250, ["EDA", "PPG", "ACC", "Temp"])
        assert read["units"] == [unit.strip("[]") or "uS" for unit in units.split("\t")[1:5]]


@pytest.mark.parametrize("separator", [",", "\t"])
@pytest.mark.parametrize("missing", ["", "nan"])
def test_a_signal_may_begin_or_end_with_missing_values(separator: str, missing: str, tmp_path: Path) -> None:
    there = [f"{i}{separator}{-i}" for i in range(300)]
    for blank in (slice(0, 150), slice(290, 300), slice(0, 300, 7)):
        rows, truth = there.copy(), np.arange(300.0)
        truth[blank] = np.nan
        rows[blank] = [missing + separator + missing] * len(rows[blank])
        read = nl.read_recording(written(tmp_path / "a.csv", f"a{separator}b\n", rows), sampling_frequency=10)
        assert read["channels"] == ["a", "b"]
        np.testing.assert_array_equal(read["signal"], np.stack([truth, -truth], axis=1))


@pytest.mark.parametrize("late", [0, 0.003], ids=["in rows of others", "in rows of its own"])
@pytest.mark.parametrize("joined", [True, False], ids=["joined", "one below the other"])
def test_channels_of_several_rates_in_one_table_are_each_read_at_their_own(
    late: float, joined: bool, tmp_path: Path
) -> None:
    fast = {t: f"{np.sin(t):.5f}" for t in np.arange(2000) / 50}
    slow = {t + late: f"{t:.2f}" for t in np.arange(80) / 2}
    if joined:
        rows = [(t, fast.get(t, ""), slow.get(t, "")) for t in sorted({*fast, *slow})]
    else:
        rows = sorted([*((t, v, "") for t, v in fast.items()), *((t, "", v) for t, v in slow.items())])
    rows = [(t, *values, 1 if i in (300, 600, 900) else "") for i, (t, *values) in enumerate(rows)]
    path = written(tmp_path / "a.csv", "time,PPG,EDA,mark\n", [",".join(map(str, row)) for row in rows])
    read, times = nl.read_recording(path), np.arange(2000) / 50
    assert (read["sampling_frequency"], read["signal"].shape) == (50, (2000, 3))
    np.testing.assert_allclose(read["signal"][:, 0], np.sin(times), atol=1e-4)
    np.testing.assert_allclose(read["signal"][1:1975, 1], times[1:1975] - late, atol=1e-3)
    assert np.isfinite(read["signal"][:, 2]).sum() <= 3, "marks are no signal to interpolate"
    for name, rate in (("PPG", 50), ("EDA", 2)):
        read = nl.read_recording(path, channels=name)
        assert read["sampling_frequency"] == rate and not np.isnan(read["signal"]).any()


def test_a_value_that_is_marked_as_missing_stays_so_in_rows_of_an_even_clock(tmp_path: Path) -> None:
    rows = [f"{t:.3f},{'' if i % 50 == 7 else f'{v:.4f}'},{v:.4f}" for i, (t, v) in enumerate(zip(T, ECG, strict=True))]
    read = nl.read_recording(written(tmp_path / "a.csv", "time,a,b\n", rows))
    assert np.flatnonzero(np.isnan(read["signal"][:, 0])).tolist() == list(range(7, 500, 50))


def test_a_lower_rate_is_filtered_down_to(tmp_path: Path) -> None:
    times = np.arange(5000) / 500
    rows = [f"{t:.3f},{np.sin(2 * np.pi * 1.2 * t) + np.sin(2 * np.pi * 50 * t):.5f}" for t in times]
    path = written(tmp_path / "a.csv", "time,PPG\n", rows[:2000] + rows[2500:])
    read = nl.read_recording(path, sampling_frequency=48)  # 50 Hz would look like 2
    there = np.isfinite(read["signal"][:, 0])
    assert (read["sampling_frequency"], len(there)) == (48, 480) and (~there).sum() in range(46, 53)
    off = read["signal"][:, 0] - np.sin(2 * np.pi * 1.2 * np.arange(480) / 48)
    assert np.sqrt(np.mean(off[there] ** 2)) < 0.05
    told = written(tmp_path / "ACC.csv", "1544027337.0\n32.0\n", [f"{i}" for i in range(320)])
    read = nl.read_recording(told, sampling_frequency=16)
    assert len(read["signal"]) == 160 and read["signal"][80, 0] == pytest.approx(160, abs=0.1)
    for wanted, rate in ((50, 50), (45, 90), (20, 60)):  # of a clock that runs a little fast it is the same rate
        assert on_a_grid(np.zeros((500, 1)), np.arange(500) / 50.3, wanted, "a.csv")[1] == rate
    assert on_a_grid(np.zeros((2000, 1)), np.arange(2000) / 256.4, None, "a.csv")[1] == 256.4
    paused = np.arange(500) / 50 + 0.208 * (np.arange(500) // 100)  # each time for no whole number of samples
    assert on_a_grid(np.zeros((500, 1)), paused, None, "a.csv")[1] == 50


def test_a_clock_that_is_not_known_is_told_with_what_it_holds(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "time,ECG\n", [f"05/31/2024 13:59:{t:06.3f},{v:.4f}" for t, v in zip(T, ECG)])
    with pytest.raises(ValueError, match=r"a\.csv .* time column holds '05/31/2024 13:59:00.000'; expected numbers"):
        nl.read_recording(path)


def test_a_rate_before_the_numbers_is_that_of_the_recording(tmp_path: Path) -> None:
    path = written(tmp_path / "ACC.csv", "1544027337.0, 1544027337.0\n32.0, 32.0\n", [f"{v:.4f}, 1" for v in ECG])
    read = nl.read_recording(path)
    assert (read["sampling_frequency"], read["signal"].shape) == (32, (500, 2))
    assert read["start_time"].startswith("2018-12-05T16:28:57") and np.abs(read["signal"]).max() <= 1
    numbers = written(tmp_path / "a.csv", "64.0\n32.0\n", ["1"] * 9)
    assert nl.read_recording(numbers, sampling_frequency=1)["signal"].max() == 64


def test_what_counts_the_lines_is_neither_channel_nor_clock(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "", [f"{i},{v:.4f}" for i, v in enumerate(ECG)])
    assert nl.read_recording(path, sampling_frequency=250)["signal"].shape == (500, 1)
    with pytest.raises(ValueError, match="no time column that is known as one: give sampling_frequency"):
        nl.read_recording(path)
    quoted = written(tmp_path / "b.csv", "'sample #','MLII'\n", [f"{i},{v:.4f}" for i, v in enumerate(ECG)])
    assert nl.read_recording(quoted, sampling_frequency=250, channels=["MLII"])["signal"].shape == (500, 1)


def test_a_clock_that_perhaps_counts_no_seconds_is_told(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "time,ECG\n", [f"{4 * i},{v:.4f}" for i, v in enumerate(ECG)])
    with pytest.warns(UserWarning, match=r"read as 0\.25 Hz: 'time' says no unit .* Is it time=\('time', 'ms'\)"):
        nl.read_recording(path)
    assert nl.read_recording(path, time=("time", "ms"))["sampling_frequency"] == 250
    assert nl.read_recording(path, time=("time", "s"))["sampling_frequency"] == 0.25
    for name, step in (("time", 300), ("time", 60), ("seconds", 4)):  # as of glucose; a name that says its unit
        path = written(tmp_path / "b.csv", f"{name},mg/dl\n", [f"{step * i},{v:.4f}" for i, v in enumerate(ECG)])
        assert nl.read_recording(path)["sampling_frequency"] == pytest.approx(1 / step, rel=1e-3)


@pytest.mark.parametrize("rounded", [np.rint, np.floor])
@pytest.mark.parametrize("rate", [1024, 1025])
def test_whole_milliseconds_of_a_rate_beyond_a_thousand_lose_no_row(rate: int, rounded: Any, tmp_path: Path) -> None:
    k, values = np.arange(20 * rate), np.random.default_rng(0).standard_normal(20 * rate)
    rows = [f"{1000 * t:.0f},{v:.4f}" for t, v in zip(rounded(1000 * k / rate) / 1000, values, strict=True)]
    read = nl.read_recording(written(tmp_path / "a.csv", "time (ms),ECG\n", rows))
    assert read["sampling_frequency"] == rate
    np.testing.assert_allclose(read["signal"][:, 0], values, atol=1e-4)
    read = nl.read_recording(written(tmp_path / "a.csv", "time (ms),ECG\n", rows[:9000] + rows[12_000:]))
    assert (read["sampling_frequency"], len(read["signal"])) == (rate, len(k)), "behind a gap it goes on"
    assert np.isnan(read["signal"][:, 0]).sum() in range(2995, 3002)


def test_an_archive_has_events_in_samples_and_one_rate(tmp_path: Path) -> None:
    said = {"signal": ECG, "sample": [10.0, 20.0], "symbol": ["N", "N"]}
    for rate in ([250], [[250.0]], 250):
        np.savez(tmp_path / "a.npz", **said, sampling_frequency=rate)
        read = nl.read_recording(tmp_path / "a.npz")
        assert read["sampling_frequency"] == 250 and read["events"]["sample"].tolist() == [10, 20]
        np.savez(tmp_path / "a.npz", ecg=ECG, fs=rate)  # the only array but for a number
        assert nl.read_recording(tmp_path / "a.npz")["signal"].shape == (len(ECG), 1)
    np.savez_compressed(tmp_path / "a.npz", **said | {"signal": np.zeros(500_000)}, duration=[1.5, 0], fs=250)
    assert nl.read_recording(tmp_path / "a.npz")["events"]["duration"].tolist() == [1.5, 0]
    np.savez(tmp_path / "a.npz", **{**said, "sample": [0.5, 1.0]}, sampling_frequency=250)
    with pytest.raises(ValueError, match="a.npz has an event at sample 0.5; expected whole samples"):
        nl.read_recording(tmp_path / "a.npz")
    for rate, told in (([250, 100], 2), ("250", 1)):
        np.savez(tmp_path / "a.npz", **said, sampling_frequency=rate)
        with pytest.raises(ValueError, match=f"a.npz says {told} sampling frequencies .*; expected one, in Hz"):
            nl.read_recording(tmp_path / "a.npz")


@pytest.mark.parametrize("text, told", [
    ("1,2,3,4\n5,6,7,8\n", "has more columns than lines, 4 and 2; expected a line a sample, .* its transpose"),
    ("5,6,7,8\n", "has more columns than lines, 4 and 1"),
    ('{"ecg": [1.5, 2.5, 3.5], "fs": 250}', "is no table of numbers"), ("[1.5, 2.5, 3.5]", "is no table of numbers"),
])  # fmt: skip
def test_a_channel_a_line_and_json_are_no_table_of_a_line_a_sample(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"a.csv {told}"):
        nl.read_recording(written(tmp_path / "a.csv", text, []), sampling_frequency=250)
