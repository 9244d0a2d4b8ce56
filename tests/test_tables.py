"""Tables as recorders write them: units in a row of their own, quotes, clocks of the day, a rate before the numbers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurallib as nl

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
    ],
    ids=["a row of units", "PhysioNet", "units with names", "clock of the day"],
)  # fmt: skip
def test_names_units_and_clocks_are_read_however_they_are_written(head: str, rows: list[str], tmp_path: Path) -> None:
    read = nl.read_recording(written(tmp_path / "a.csv", head, rows))
    assert (read["sampling_frequency"], read["channels"], read["units"]) == (250, ["ECG"], ["mV"])
    np.testing.assert_allclose(read["signal"][:, 0], ECG, atol=1e-4)


def test_a_title_above_the_names_is_no_name_and_names_are_no_units(tmp_path: Path) -> None:
    rows = [f"{t:.3f},{v:.4f}" for t, v in zip(T, ECG, strict=True)]
    for title in ("Recording 5,\n", "Recording 5,of Anna\n"):
        read = nl.read_recording(written(tmp_path / "a.csv", f"{title}time,ECG\n", rows))
        assert (read["channels"], read["units"]) == (["ECG"], [""])


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
    np.savez(tmp_path / "a.npz", **{**said, "sample": [0.5, 1.0]}, sampling_frequency=250)
    with pytest.raises(ValueError, match="a.npz has an event at sample 0.5; expected whole samples"):
        nl.read_recording(tmp_path / "a.npz")
    for rate, told in (([250, 100], 2), ("250", 1)):
        np.savez(tmp_path / "a.npz", **said, sampling_frequency=rate)
        with pytest.raises(ValueError, match=f"a.npz says {told} sampling frequencies .*; expected one, in Hz"):
            nl.read_recording(tmp_path / "a.npz")
