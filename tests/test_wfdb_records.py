"""WFDB records: small ones written here, and the real ones where they are at hand."""

import re
import warnings
from pathlib import Path

import numpy as np
import pytest

from neurallib import beats, list_recordings, read_recording, split_people

wfdb = pytest.importorskip("wfdb", reason="wfdb is not installed (extra wfdb)")
DATA = Path(__file__).parent.parent.parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no recordings in {DATA}")
writes_all = pytest.mark.skipif(wfdb.__version__ < "4.2", reason="wfdb before 4.2 reads such records, but writes none")
RAMP = np.linspace(-1, 1, 1000)


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """Two channels, 10 s at 100 Hz: a ramp in mV and its tenth in uV; four beats, two rhythms and a note."""
    wfdb.wrsamp(
        "r1", fs=100, units=["mV", "uV"], sig_name=["MLII", "V1"], p_signal=np.stack([RAMP, 100 * RAMP], 1),
        fmt=["16", "16"], adc_gain=[10000, 100], baseline=[0, 0], write_dir=str(tmp_path), comments=["71 F"],
    )  # fmt: skip
    wfdb.wrann(
        "r1", "atr", np.array([10, 100, 200, 300, 500, 650, 900]), symbol=["+", "N", "V", "~", "+", "Q", "/"],
        aux_note=["(N", "", "", "", "(AFIB", "", ""], write_dir=str(tmp_path),
    )  # fmt: skip
    return tmp_path / "r1"


def edited(record: Path, old: str, new: str) -> Path:
    header = record.with_suffix(".hea")
    assert old in header.read_text()
    header.write_text(header.read_text().replace(old, new), encoding="utf-8")
    return record


def test_signal_comes_in_its_own_units_with_all_events(record: Path) -> None:
    read = read_recording(record)
    np.testing.assert_allclose(read["signal"], np.stack([RAMP, 100 * RAMP], 1), atol=1e-2)
    assert read["signal"].dtype == np.float32 and read["events"]["sample"].dtype == np.int64
    assert (read["name"], read["channels"], read["units"]) == ("r1", ["MLII", "V1"], ["mV", "uV"])
    assert (read["sampling_frequency"], read["person"], read["notes"]) == (100, None, ["71 F"])
    assert read["events"]["sample"].tolist() == [10, 100, 200, 300, 500, 650, 900]
    assert read["events"]["symbol"] == ["(N", "N", "V", "~", "(AFIB", "Q", "/"]
    assert read["events"]["duration"].tolist() == [4.9, 0, 0, 0, 5.0, 0, 0]  # a rhythm lasts until the next one
    assert beats(read).tolist() == [100, 200, 650, 900]


def test_only_the_asked_seconds_and_channels_are_there_with_the_rhythm_that_went_on(record: Path) -> None:
    read = read_recording(record.with_suffix(".hea"), channels=["V1"], start=5.5, stop=7, units="mV")
    np.testing.assert_allclose(read["signal"][:, 0], 0.1 * RAMP[550:700], atol=1e-4)
    assert (read["channels"], read["units"]) == (["V1"], ["mV"])
    assert (read["events"]["sample"].tolist(), read["events"]["symbol"]) == ([0, 100], ["(AFIB", "Q"])
    assert read["events"]["duration"].tolist() == [1.5, 0]
    assert len(read_recording(record, stop=6000)["signal"]) == 1000
    assert len(read_recording(record, stop=1e-6)["signal"]) == 1


def test_without_annotations_there_are_no_events_but_those_asked_for_have_to_be_there(record: Path) -> None:
    record.with_suffix(".atr").rename(record.with_suffix(".qrs"))
    assert read_recording(record)["events"]["symbol"] == []
    for annotator in ("qrs", ".qrs"):
        assert len(beats(read_recording(record, annotator=annotator))) == 4
    with pytest.raises(FileNotFoundError, match=r"r1\.atr is missing"):
        read_recording(record, annotator="atr")
    (record.parent / "other").mkdir()
    wfdb.wrann("me", "qrs", np.array([77]), symbol=["N"], write_dir=str(record.parent / "other"))
    assert beats(read_recording(record, annotator=record.parent / "other" / "me.qrs")).tolist() == [77]
    with pytest.raises(ValueError, match="^annotator is empty; expected a path"):
        read_recording(record, annotator="")


@writes_all
def test_annotations_that_count_on_a_clock_of_their_own_come_on_that_of_the_signal(record: Path) -> None:
    wfdb.wrann("r1", "atr", np.array([1000, 5000]), symbol=["N", "N"], fs=1000, write_dir=str(record.parent))
    assert beats(read_recording(record)).tolist() == [100, 500]


def test_a_beat_with_a_note_stays_one_and_flutter_lasts_until_its_end(record: Path) -> None:
    marked = {"symbol": ["N", "[", "]"], "aux_note": ["seen twice", "", ""], "write_dir": str(record.parent)}
    wfdb.wrann("r1", "atr", np.array([100, 200, 500]), **marked)
    events = read_recording(record)["events"]
    assert events["symbol"] == ["N", "[", "]"] and events["duration"].tolist() == [0, 3, 0]


def test_annotation_beyond_the_end_is_refused_unless_the_end_is_asked_for(record: Path) -> None:
    wfdb.wrann("r1", "atr", np.array([1000, 1400]), symbol=["N", "V"], write_dir=str(record.parent))
    with pytest.raises(ValueError, match=r"r1 lasts 10 s, but 1 of its 2 events come later, the first \('V'\) at 14 s"):
        read_recording(record)
    assert beats(read_recording(record, stop=10)).tolist() == []


@pytest.mark.parametrize("ending", ["hea", "dat"])
def test_missing_file_is_named(record: Path, ending: str) -> None:
    record.with_suffix(f".{ending}").unlink()
    with pytest.raises(FileNotFoundError, match=rf"r1\.{ending} is missing"):
        read_recording(record)


@pytest.mark.parametrize(("ending", "told"), [("hea", "hea"), ("dat", "hea"), ("atr", "atr")])
def test_broken_file_is_named(record: Path, ending: str, told: str) -> None:
    record.with_suffix(f".{ending}").write_bytes(b"x")
    with pytest.raises(ValueError, match=rf"cannot read .*r1\.{told}"):
        read_recording(record, lazy=True)


def test_cut_signal_file_is_told_when_it_is_opened_also_lazily(record: Path) -> None:
    data = record.with_suffix(".dat")
    data.write_bytes(data.read_bytes()[:3001])
    with pytest.raises(ValueError, match=r"cannot read the signals of .*r1\.hea \(cut off\?\)"):
        read_recording(record, lazy=True)


def test_a_file_of_other_channels_that_is_cut_is_told_where_they_are_asked_for(record: Path) -> None:
    record.with_name("r2.dat").write_bytes(record.with_suffix(".dat").read_bytes()[:1000])
    header = re.sub(r"r1\.dat (16 100\D)", r"r2.dat \1", record.with_suffix(".hea").read_text())
    record.with_suffix(".hea").write_text(header)
    with pytest.raises(ValueError, match=r"cannot read the signals of .*r1\.hea \(cut off\?\)"):
        read_recording(record, lazy=True)
    assert read_recording(record, lazy=True, channels=["MLII"], stop=5)["signal"].shape == (500, 1)


def test_header_without_a_length_takes_that_of_its_file(record: Path) -> None:
    assert len(read_recording(edited(record, "r1 2 100 1000", "r1 2 100"))["signal"]) == 1000


@pytest.mark.parametrize(("unit", "scale"), [("V", 1000), ("mV", 1), ("uV", 0.001), ("\u00b5V", 0.001)])
def test_every_unit_of_voltage_becomes_the_one_asked_for(record: Path, unit: str, scale: float) -> None:
    read = read_recording(edited(record, "/mV", f"/{unit}"), units="mV")
    np.testing.assert_allclose(read["signal"][:, 0], scale * RAMP, atol=1e-4 * scale)


def test_gain_of_zero_counts_as_two_hundred(record: Path) -> None:
    header = record.with_suffix(".hea")
    header.write_text(re.sub(r" 10000[.\d]*\(0\)/mV", " 0(0)/mV", header.read_text()))
    assert " 0(0)/mV" in header.read_text()
    assert read_recording(record)["signal"][:, 0].max() == pytest.approx(10000 / 200, rel=1e-3)


def test_channels_that_are_no_voltage_keep_their_units(tmp_path: Path) -> None:
    wfdb.wrsamp(
        "p", fs=125, units=["NU", "mmHg"], sig_name=["PLETH", "ABP"], p_signal=np.c_[RAMP, 80 + RAMP],
        fmt=["16", "16"], write_dir=str(tmp_path),
    )  # fmt: skip
    assert read_recording(tmp_path / "p")["units"] == ["NU", "mmHg"]
    kilopascal = read_recording(tmp_path / "p", channels=["ABP"], units="kPa")["signal"][:, 0]
    np.testing.assert_allclose(kilopascal, (80 + RAMP) * 0.133322, rtol=1e-3)
    with pytest.raises(ValueError, match="p has a channel in 'NU'; nothing converts it to 'mV'"):
        read_recording(tmp_path / "p", units="mV")


@writes_all
def test_channels_of_unequal_rates_come_at_their_own_rate_or_are_refused(tmp_path: Path) -> None:
    fast = np.zeros(2500)
    fast[101::200] = 1.0
    wfdb.wrsamp(
        "f", fs=125, units=["mV", "mV"], sig_name=["ECG", "RESP"], e_p_signal=[fast, np.sin(np.arange(1250) / 60)],
        fmt=["16", "16"], samps_per_frame=[2, 1], write_dir=str(tmp_path),
    )  # fmt: skip
    wfdb.wrann("f", "atr", np.array([50, 150]), symbol=["N", "N"], write_dir=str(tmp_path))
    with pytest.raises(ValueError, match=r"different rates: 250 Hz \(ECG\), 125 Hz \(RESP\)"):
        read_recording(tmp_path / "f")
    ecg = read_recording(tmp_path / "f", channels=["ECG"])
    assert ecg["sampling_frequency"] == 250 and beats(ecg).tolist() == [100, 300]  # annotations count frames
    np.testing.assert_allclose(ecg["signal"][:, 0], fast, atol=1e-4)
    assert read_recording(tmp_path / "f", channels=["RESP"])["signal"].shape == (1250, 1)
    both = read_recording(tmp_path / "f", sampling_frequency=250)
    np.testing.assert_allclose(both["signal"][:2490, 1], np.sin(np.arange(2490) / 120), atol=0.01)
    odd = read_recording(tmp_path / "f", channels=["ECG"], lazy=True)["signal"][101:303]
    np.testing.assert_allclose(odd[:, 0], fast[101:303], atol=1e-4)


def segments(folder: Path) -> None:
    """Two records of their own, in mV and in uV, joined without and with a gap; the second has one channel more."""
    both = np.stack([100 * RAMP[400:], RAMP[400:]], 1)
    wfdb.wrsamp(
        "s1", fs=100, units=["mV"], sig_name=["II"], p_signal=0.1 * RAMP[:400, None], fmt=["16"], write_dir=str(folder)
    )
    wfdb.wrsamp("s2", fs=100, units=["uV", "mV"], sig_name=["II", "V"], p_signal=both, fmt=["16"] * 2,
                write_dir=str(folder))  # fmt: skip
    (folder / "layout.hea").write_text("layout 2 100 0\n~ 0 200/mV 16 0 0 0 0 V\n~ 0 200/mV 16 0 0 0 0 II\n")
    (folder / "gap.hea").write_text("gap/4 2 100 1200\nlayout 0\ns1 400\n~ 200\ns2 600\n")
    (folder / "whole.hea").write_text("whole/2 1 100 800\ns1 400\ns1 400\n")


def test_segments_are_joined_by_name_in_the_record_s_units_and_gaps_are_nan(tmp_path: Path) -> None:
    segments(tmp_path)
    read = read_recording(tmp_path / "gap")
    assert read["channels"] == ["V", "II"] and read["signal"].shape == (1200, 2)
    assert np.isnan(read["signal"][:600, 0]).all() and np.isnan(read["signal"][400:600]).all()
    np.testing.assert_allclose(read["signal"][np.r_[:400, 600:1200], 1], 0.1 * RAMP, atol=1e-3)
    np.testing.assert_allclose(read["signal"][600:, 0], RAMP[400:], atol=1e-3)
    part = read_recording(tmp_path / "gap", start=3.9, stop=6.1, lazy=True)["signal"]
    np.testing.assert_array_equal(np.asarray(part), read["signal"][390:610])
    assert read_recording(tmp_path / "whole")["signal"].shape == (800, 1)
    two = np.stack([RAMP[:400], RAMP[:400]], 1)
    for name, fs, sig_name in (("s3", 100, ["V", "II"]), ("s4", 50, ["II", "V"])):
        wfdb.wrsamp(name, fs, ["uV", "mV"], sig_name, p_signal=two, fmt=["16"] * 2, write_dir=str(tmp_path))
        (tmp_path / "odd.hea").write_text(f"odd/2 2 100 1000\ns2 600\n{name} 400\n")
        with pytest.raises(ValueError, match=f"{name}.hea has .* at {fs} Hz where its record has II.* at 100 Hz"):
            read_recording(tmp_path / "odd")


def test_a_folder_lists_records_without_the_segments_of_others_and_without_files_of_macos(tmp_path: Path) -> None:
    segments(tmp_path)
    (tmp_path / "._gap.hea").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X")
    assert list_recordings(tmp_path) == [tmp_path / "gap", tmp_path / "whole"]
    with pytest.raises(ValueError, match=r"what macOS keeps about a file, not the file: read gap\.hea"):
        read_recording(tmp_path / "._gap.hea")


def test_signal_that_does_not_fit_the_checksum_of_its_header_is_told(record: Path) -> None:
    data = bytearray(record.with_suffix(".dat").read_bytes())
    data[1001] ^= 0x40
    record.with_suffix(".dat").write_bytes(data)
    with pytest.warns(UserWarning, match=(words := "channel 'MLII' of .*r1 does not fit the checksum")):
        read_recording(record)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        pytest.raises(UserWarning, read_recording, record).match(words)


def test_start_time_is_that_of_the_first_sample_that_is_read(record: Path) -> None:
    edited(record, "r1 2 100 1000", "r1 2 100 1000 23:59:58 01/05/2002")
    assert read_recording(record)["start_time"] == "2002-05-01T23:59:58"
    assert read_recording(record, start=2.5)["start_time"] == "2002-05-02T00:00:00.500000"


def test_missing_wfdb_names_the_extra(record: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "wfdb", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'neurallib\[wfdb\]'"):
        read_recording(record)


@pytest.mark.parametrize(
    "name, rate, person",
    [("202", 360, "201"), ("118e_6", 360, "118"), ("105", 360, None), ("202", 250, None), ("202", 500, None)],
)
def test_records_of_mit_bih_say_who_they_are_of(tmp_path: Path, name: str, rate: int, person: str | None) -> None:
    wfdb.wrsamp(name, rate, ["mV"], ["MLII"], RAMP[:, None], fmt=["16"], write_dir=str(tmp_path))
    assert read_recording(tmp_path / name)["person"] == person


@needs_data
def test_mit_bih_record_is_read_with_all_its_beats() -> None:
    read = read_recording(DATA / "mitdb" / "101")
    assert read["signal"].shape == (650000, 2) and read["sampling_frequency"] == 360
    assert {kind: read["events"]["symbol"].count(kind) for kind in "NAQ"} == {"N": 1860, "A": 3, "Q": 2}
    r = beats(read)[5:-5]
    nearby = np.stack([read["signal"][r + shift, 0] for shift in range(-40, 41)])
    assert np.median(np.abs(nearby.argmax(0) - 40)) <= 3  # annotations stand on the R waves


@needs_data
def test_every_record_at_hand_is_read_and_no_person_is_in_two_parts() -> None:
    paths = [*list_recordings(DATA / "mitdb"), *list_recordings(DATA / "nstdb")]
    read = [read_recording(path, channels=[0], stop=60) for path in paths]
    assert len(read) == 24 and {len(each["signal"]) for each in read} == {21600}
    assert all(0.05 < each["signal"].std() < 5 for each in read)
    parts = split_people(read[:22])
    assert sorted(each["name"] for part in parts.values() for each in part) == [each["name"] for each in read[:22]]
