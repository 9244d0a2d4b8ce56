"""WFDB records: small ones written here, and the real ones where they are at hand."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurallib import list_records, read_record, split_records

pytest.importorskip("wfdb", reason="wfdb is not installed (extra wfdb)")
DATA = Path(__file__).parent.parent.parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no recordings in {DATA}")


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """Two channels, 10 s at 100 Hz: a ramp in mV and its tenth in uV; four beats and two other annotations."""
    import wfdb

    ramp = np.linspace(-1, 1, 1000)
    wfdb.wrsamp(
        "r1", fs=100, units=["mV", "uV"], sig_name=["MLII", "V1"], p_signal=np.stack([ramp, 100 * ramp], 1),
        fmt=["16", "16"], adc_gain=[10000, 100], baseline=[0, 0], write_dir=str(tmp_path),
    )  # fmt: skip
    wfdb.wrann(
        "r1", "atr", np.array([10, 100, 200, 300, 650, 900]), symbol=["+", "N", "V", "~", "Q", "/"],
        write_dir=str(tmp_path),
    )  # fmt: skip
    return tmp_path / "r1"


def test_signal_comes_in_millivolts_with_the_beats_and_their_kinds(record: Path) -> None:
    read = read_record(record)
    ramp = np.linspace(-1, 1, 1000)
    np.testing.assert_allclose(read.signal, np.stack([ramp, 0.1 * ramp], 1), atol=1e-4)
    assert read.signal.dtype == np.float32 and read.beats.dtype == np.int64
    assert (read.name, read.channels, read.sampling_frequency) == ("r1", ["MLII", "V1"], 100)
    assert (read.beats.tolist(), read.symbols) == ([100, 200, 650, 900], ["N", "V", "Q", "/"])


def test_one_channel_and_the_first_minutes_can_be_asked_for(record: Path) -> None:
    read = read_record(record.with_suffix(".hea"), channel=1, minutes=5 / 60)
    assert read.signal.shape == (500, 1) and read.channels == ["V1"]
    assert read.beats.tolist() == [100, 200]
    assert len(read_record(record, minutes=100).signal) == 1000
    assert len(read_record(record, minutes=1e-6).signal) == 1


def test_without_annotator_there_are_no_beats(record: Path) -> None:
    record.with_suffix(".atr").unlink()
    assert read_record(record, annotator=None).beats.shape == (0,)


@pytest.mark.parametrize("ending", ["hea", "dat", "atr"])
def test_missing_file_is_named(record: Path, ending: str) -> None:
    record.with_suffix(f".{ending}").unlink()
    with pytest.raises(FileNotFoundError, match=rf"r1\.{ending} is missing"):
        read_record(record)


@pytest.mark.parametrize(("ending", "told"), [("hea", "hea"), ("dat", "hea"), ("atr", "atr")])
def test_broken_file_is_named(record: Path, ending: str, told: str) -> None:
    record.with_suffix(f".{ending}").write_bytes(b"x")
    with pytest.raises(ValueError, match=rf"cannot read .*r1\.{told}"):
        read_record(record)


def test_channel_that_is_not_there_or_no_voltage_is_named(record: Path) -> None:
    for channel in (2, 3):
        with pytest.raises(ValueError, match=f"channel={channel}; r1 has 2: MLII, V1"):
            read_record(record, channel=channel)
    header = record.with_suffix(".hea")
    header.write_text(header.read_text().replace("/uV", "/mmHg"))
    with pytest.raises(ValueError, match="channel 'V1' of r1 is in 'mmHg'"):
        read_record(record)
    assert read_record(record, channel=0).channels == ["MLII"]
    with pytest.raises(ValueError, match="minutes=0"):
        read_record(record, minutes=0)


@pytest.mark.parametrize(("unit", "scale"), [("V", 1000), ("mV", 1), ("uV", 0.001), ("\u00b5V", 0.001)])
def test_every_unit_of_voltage_becomes_millivolts(record: Path, unit: str, scale: float) -> None:
    header = record.with_suffix(".hea")
    header.write_text(header.read_text().replace("/mV", f"/{unit}"))
    np.testing.assert_allclose(read_record(record).signal[:, 0], scale * np.linspace(-1, 1, 1000), atol=1e-4 * scale)


def test_gain_of_zero_counts_as_two_hundred(record: Path) -> None:
    header = record.with_suffix(".hea")
    header.write_text(re.sub(r" 10000[.\d]*\(0\)/mV", " 0(0)/mV", header.read_text()))
    assert " 0(0)/mV" in header.read_text()
    read = read_record(record, channel=0)
    assert read.signal.max() == pytest.approx(10000 / 200, rel=1e-3)


def test_missing_wfdb_names_the_extra(record: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "wfdb", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install neurallib\[wfdb\]"):
        read_record(record)


def test_records_of_a_folder_are_listed_and_a_folder_without_is_named(record: Path, tmp_path: Path) -> None:
    assert list_records(record.parent) == ["r1"]
    with pytest.raises(FileNotFoundError, match="nowhere, which is no folder"):
        list_records(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"empty\.$"):
        list_records(tmp_path / "empty")


@given(st.sets(st.integers(3, 40).map(str), min_size=1), st.integers(0, 99), st.floats(0.01, 0.4), st.floats(0.01, 0.4))
def test_split_gives_every_record_once_and_no_person_to_two_parts(
    others: set[str], seed: int, val: float, test: float
) -> None:
    names = sorted(others | {"1", "201", "202"})
    parts = split_records(names, val=val, test=test, seed=seed)
    assert sorted(sum(parts.values(), [])) == names
    assert all(parts.values()) and list(parts) == ["train", "val", "test"]
    assert any({"201", "202"} <= set(part) for part in parts.values())
    assert parts == split_records(names[::-1], val=val, test=test, seed=seed)


def test_split_has_the_shares_asked_for_and_depends_on_the_seed() -> None:
    names = [f"{i}" for i in range(40)]
    parts = split_records(names, val=0.2, test=0.3, seed=1)
    assert [len(part) for part in parts.values()] == [20, 8, 12]
    assert parts != split_records(names, val=0.2, test=0.3, seed=2)


@pytest.mark.parametrize(
    "names, shares, message",
    [
        (["1", "201", "202"], {}, "2 people; expected at least 3"),
        (["1", "2", "3"], {"val": 0.5, "test": 0.5}, "leave nothing for training"),
        (["1", "2", "3"], {"val": 0.6, "test": 0.7}, "leave nothing for training"),
        (["1", "2", "3"], {"test": 0.0}, "test=0.0"),
        (["1", "2", "2", "3"], {}, "names holds 2 twice"),
    ],
)
def test_split_that_cannot_be_is_named(names: list[str], shares: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        split_records(names, **shares)


@needs_data
def test_mit_bih_record_is_read_with_all_its_beats() -> None:
    read = read_record(DATA / "mitdb" / "101", minutes=30.1)
    assert read.signal.shape == (650000, 2) and read.sampling_frequency == 360
    assert {kind: read.symbols.count(kind) for kind in "NAQ"} == {"N": 1860, "A": 3, "Q": 2}
    r = read.beats[5:-5]
    nearby = np.stack([read.signal[r + shift, 0] for shift in range(-40, 41)])
    assert np.median(np.abs(nearby.argmax(0) - 40)) <= 3  # annotations stand on the R waves


@needs_data
def test_uncalibrated_noise_record_is_read() -> None:
    read = read_record(DATA / "nstdb" / "bw", minutes=1, annotator=None)
    assert read.signal.shape == (21600, 2) and 0.05 < read.signal.std() < 5
    with pytest.raises(FileNotFoundError, match=r"bw\.atr is missing"):
        read_record(DATA / "nstdb" / "bw")
