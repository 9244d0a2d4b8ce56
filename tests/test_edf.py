"""EDF, EDF+ and BDF files, written by edfio and, where it has no words for them, by hand."""

import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.signal import resample_poly

from neurallib import list_recordings, read_recording
from neurallib.signals import contents
from neurallib.signals.conversion import resampled

edfio = pytest.importorskip("edfio", reason="edfio is not installed (extra edf)")
ECG, RESP = np.sin(np.arange(2000) / 15), 5 * np.cos(np.arange(200) / 15)


def write(path: Path, **more: Any) -> Path:
    """20 s of ECG at 100 Hz in mV and of respiration at 10 Hz in no unit."""
    kind, signal = (edfio.Bdf, edfio.BdfSignal) if path.suffix == ".bdf" else (edfio.Edf, edfio.EdfSignal)
    signals = [
        signal(ECG, 100, label="ECG II", physical_dimension="mV", physical_range=(-1.5, 2), prefiltering="HP:0.5Hz"),
        signal(RESP, 10, label="Resp"),
    ]
    kind(signals, **{"data_record_duration": 1} | more).write(path)
    return path


def patch(path: Path, *pairs: tuple[bytes, bytes]) -> Path:
    content = path.read_bytes()
    for old, new in pairs:
        assert content.count(old) == 1 and len(old) == len(new), old
        content = content.replace(old, new)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("ending, places", [("edf", 1e-4), ("bdf", 1e-6)])
def test_channels_come_in_their_physical_units_at_their_own_rate(tmp_path: Path, ending: str, places: float) -> None:
    path = write(tmp_path / f"night.{ending}")
    read = read_recording(path, channels=["ECG II"])
    np.testing.assert_allclose(read["signal"][:, 0], ECG, atol=places)
    assert (read["name"], read["units"], read["sampling_frequency"]) == ("night", ["mV"], 100)
    assert read["source"] == str(path) and any("HP:0.5Hz" in note for note in read["notes"])
    slow = read_recording(path, channels=["Resp"], start=10, stop=12.5, lazy=True)
    assert slow["signal"].shape == (25, 1) and slow["units"] == [""]
    np.testing.assert_allclose(slow["signal"][3:7, 0], RESP[103:107], atol=10 * places)
    with pytest.raises(ValueError, match=r"night.* different rates: 100 Hz .*, 10 Hz .Resp.; ask.*frequency=100\."):
        read_recording(path)


@pytest.mark.parametrize("n_records", [20, 600])
def test_the_status_of_a_bdf_file_is_no_signal_and_its_triggers_are_events(tmp_path: Path, n_records: int) -> None:
    n = 100 * n_records
    status = np.full(n, 9 << 20) - (1 << 24)  # bits 20 and 23: what the amplifier says of itself
    status[200:210] += 5
    status[210:350] += 65281
    status[25_000:26_000] += 3  # over more records than are read at once
    status[-50:] += 7
    whole = (-(1 << 23), (1 << 23) - 1)
    ranges = {"physical_range": whole, "digital_range": whole}
    ecg = edfio.BdfSignal(np.resize(ECG, n), 100, label="A1")
    signals = [ecg, edfio.BdfSignal(status, 100, label="Status", **ranges)]
    path, short = tmp_path / "a.bdf", n_records == 20
    beat = [edfio.EdfAnnotation(3, None, "beat")] if short else []
    edfio.Bdf(signals, data_record_duration=1, annotations=beat).write(path)
    if short:  # the last record begins 5 s later
        patch(path, (b"+19\x14\x14", b"+24\x14\x14"), (b"BDF+C", b"BDF+D"))
    read = read_recording(path, stop=None if short else 300)
    assert read["channels"] == ["A1"] and read["signal"].shape[1] == 1
    assert read["events"]["sample"].tolist() == [200, 210, *([300, 2450] if short else [25_000])]
    assert read["events"]["symbol"] == ["5", "65281", *(["beat", "7"] if short else ["3"])]
    np.testing.assert_allclose(read["events"]["duration"], [0.1, 1.4, *([0, 0.5] if short else [10])])
    edfio.Edf([edfio.EdfSignal(ECG, 100, label="Status")]).write(tmp_path / "a.edf")
    assert read_recording(tmp_path / "a.edf")["channels"] == ["Status"]


def test_offsets_come_through_another_rate_as_they_were() -> None:
    """Where a rate is brought to another as it is read, and where it is for a state."""
    x = np.tile([1000.0, 0.0], (300, 1))
    np.testing.assert_allclose(contents._filtered(x[:, :1], Fraction(25, 36)), x[:209, 0], atol=1e-9)
    np.testing.assert_allclose(resampled(x, Fraction(25, 36)), x[:209], atol=1e-9)
    wave = np.sin(np.arange(300)[:, None] / 9).astype(np.float32) + np.float32(2e5)  # as exactly as of a double
    kept = [contents.Contents(["a"], ["uV"], [360.0], [300], lambda _, low, high, own=own: own[low:high], [])
            for own in (wave, wave.astype(np.float64))]  # fmt: skip
    np.testing.assert_array_equal(*(contents.at_one_rate(one, 250.0).read([0], 0, 200) for one in kept))


@pytest.mark.parametrize("rate, n_steps", [(250.01, 900_000), (249.9989, 900_036)])
def test_a_clock_that_is_a_little_off_keeps_its_events_on_the_signal(
    rate: float, n_steps: int, tmp_path: Path
) -> None:
    """As brought to the rate of another device: 1 in 25,000 is 9 samples an hour. Of less than a filter makes up for,
    events go along with the signal."""
    peaks = np.array([1_000, 450_000, 898_000, 900_035])
    signal = np.zeros((900_036, 1), np.float32)
    signal[peaks] = 1
    events = {"sample": peaks, "symbol": ["N"] * 4, "duration": np.array([0, 450_000, 0, 0]) / rate}
    np.savez(tmp_path / "a.npz", signal=signal, sampling_frequency=rate, **events)
    read = read_recording(tmp_path / "a.npz", sampling_frequency=250)
    assert len(read["signal"]) == n_steps
    for sample in read["events"]["sample"]:
        assert np.argmax(read["signal"][sample - 100 : sample + 100]) == 100
    assert read["events"]["duration"][1] * 250 == pytest.approx(450_000 * n_steps / 900_036, abs=0.5)


@pytest.mark.parametrize("rate", [100, 10, 40, 16, 250])
def test_channels_of_different_rates_come_at_one_that_is_asked_for(tmp_path: Path, rate: float) -> None:
    path = write(tmp_path / "night.edf")
    read = read_recording(path, sampling_frequency=rate)
    assert read["signal"].shape == (20 * rate, 2) and read["sampling_frequency"] == rate
    assert (read["channels"], read["units"]) == (["ECG II", "Resp"], ["mV", ""])
    times = np.arange(20 * rate) / rate
    inner = (times > 2) & (times < 18)
    for column, true, places in ((0, np.sin(times * 100 / 15), 0.02), (1, 5 * np.cos(times * 10 / 15), 0.02)):
        np.testing.assert_allclose(read["signal"][inner, column], true[inner], atol=places * true.max())
    part = read_recording(path, sampling_frequency=rate, channels=["Resp", "ECG II"], start=7.5, stop=12, lazy=True)
    begin, end = round(7.5 * rate), 12 * rate
    np.testing.assert_allclose(part["signal"][:], read["signal"][begin:end, ::-1], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(part["signal"][33:37], part["signal"][:][33:37], rtol=1e-6, atol=1e-6)
    with pytest.raises(ValueError, match="sampling_frequency: 100 Hz for 1e-09 Hz, too far from it"):
        read_recording(path, sampling_frequency=1e-9)
    with pytest.raises(ValueError, match=r"has no channel 'ii'; .* Is it 'ECG II'\? A tuple .*: \('ii', 'ECG II'\)"):
        read_recording(path, channels=["ii"])


def test_annotations_have_their_durations_and_the_header_who_and_when(tmp_path: Path) -> None:
    path = write(
        tmp_path / "n.edf",
        annotations=[edfio.EdfAnnotation(3, 2.5, " apnea"), edfio.EdfAnnotation(7.25, None, "lights off \u00e4")],
        patient=edfio.Patient(code="MCH-0234567", sex="F"),
        recording=edfio.Recording(startdate=datetime.date(2002, 3, 5)),
        starttime=datetime.time(22, 15, 3, 250000),
    )
    read = read_recording(path, channels=["ECG II"])
    np.testing.assert_allclose(read["signal"][:, 0], ECG, atol=1e-4)  # though the first data record begins at 0.25 s
    assert read["events"]["symbol"] == ["apnea", "lights off \u00e4"]
    assert read["events"]["sample"].tolist() == [300, 725] and read["events"]["duration"].tolist() == [2.5, 0]
    assert (read["person"], read["start_time"]) == ("MCH-0234567", "2002-03-05T22:15:03.250000")
    later = read_recording(path, channels=["ECG II"], start=4)
    assert later["events"]["sample"].tolist() == [0, 325] and later["events"]["duration"].tolist() == [1.5, 0]
    assert later["start_time"] == "2002-03-05T22:15:07.250000"
    assert read_recording(path, channels=["ECG II"], start=5.5)["events"]["symbol"] == ["lights off \u00e4"]


def test_anonymous_file_says_no_person_and_one_without_a_code_a_name(tmp_path: Path) -> None:
    path = write(tmp_path / "x.edf", annotations=[])
    assert read_recording(path, channels=[0])["person"] is None
    write(path, annotations=[], patient=edfio.Patient(name="Harry"))
    assert read_recording(path, channels=[0])["person"] == "Harry"
    patch(path, (b"EDF+C", b"     "))
    assert read_recording(path, channels=[0])["person"] is None  # plain EDF has any text there


@pytest.mark.parametrize("ending", ["edf", "bdf"])
def test_gaps_of_a_discontinuous_file_are_nan(tmp_path: Path, ending: str) -> None:
    """Data records 12 to 19 begin 5 s later: the onsets in the file are moved, and its annotation with them."""
    path = write(tmp_path / f"gap.{ending}", annotations=[edfio.EdfAnnotation(13.5, None, "beat")])
    kind = ending.upper().encode()
    moved = [(b"+%d\x14\x14" % i, b"+%d\x14\x14" % (i + 5)) for i in range(19, 11, -1)]
    patch(path, *moved, (b"+13.5\x14beat", b"+18.5\x14beat"), (kind + b"+C", kind + b"+D"))
    read = read_recording(path, channels=["ECG II"])
    expected = np.concatenate([ECG[:1200], np.full(500, np.nan), ECG[1200:]])
    np.testing.assert_allclose(read["signal"][:, 0], expected, atol=1e-4)
    assert read["events"]["sample"].tolist() == [1850]
    back = write(tmp_path / f"back.{ending}", annotations=[])
    with pytest.raises(ValueError, match=f"back.{ending} goes back in time: data record 12 begins at 2 s"):
        read_recording(patch(back, (b"+12\x14\x14", b"+02\x14\x14")))
    part = read_recording(path, channels=["ECG II"], start=11.55, stop=17.45)["signal"][:, 0]
    np.testing.assert_allclose(part, expected[1155:1745], atol=1e-4)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"+20\x14\x14", b"\0\0\0\0\0"))
    with pytest.raises(ValueError, match="has gaps, but 1 data records do not say when they begin"):
        read_recording(path)
    path.write_bytes(whole.replace(b"+24\x14\x14", b"\0\0\0\0\0").replace(b"+23\x14\x14", b"\0\0\0\0\0"))
    with pytest.warns(UserWarning, match="its last 2 data records do not say when they begin: left out"):
        padded = read_recording(path, channels=["ECG II"])["signal"][:, 0]
    np.testing.assert_allclose(padded, expected[:-200], atol=1e-4)
    path.write_bytes(whole)
    both = read_recording(path, sampling_frequency=20)["signal"]
    assert np.flatnonzero(np.isnan(both[:, 0])).tolist() == list(range(240, 340))
    assert np.flatnonzero(np.isnan(both[:, 1])).tolist() == list(range(239, 340))  # between two samples of 10 Hz
    np.testing.assert_allclose(both[20:220, 0], ECG[100:1100:5], atol=0.02)


def test_file_that_is_cut_or_was_not_closed(tmp_path: Path) -> None:
    path = write(tmp_path / "cut.edf")
    content = path.read_bytes()
    path.write_bytes(content[:-300])
    with pytest.raises(ValueError, match=r"cut\.edf is cut: its header tells of 20 data records, and 18 are there"):
        read_recording(path)
    path.write_bytes(content[:236] + b"-1      " + content[244:-300])
    assert read_recording(path, channels=[0])["signal"].shape == (1800, 1)
    path.write_bytes(content[:236] + b"0       " + content[244:])
    with pytest.warns(UserWarning, match=r"cut\.edf may not .*: its header tells of 0 data records, and 20 are there"):
        assert read_recording(path, channels=[0])["signal"].shape == (2000, 1)
    path.write_bytes(content[:244] + b"0       " + content[252:])
    with pytest.raises(ValueError, match=r"cut\.edf: a data record lasts 0 s; expected more than 0"):
        read_recording(path)
    path.write_bytes(content[:100])
    with pytest.raises(ValueError, match=r"cannot read the header of .*cut\.edf: it ends after 100 bytes"):
        read_recording(path)
    path.write_bytes(content[:252] + b"1   " + content[256:])
    with pytest.raises(ValueError, match=r"header of .*cut\.edf: it says \d+ bytes for 1 channels; expected 256,"):
        read_recording(path)


def test_scale_that_is_none_and_annotation_beyond_the_end_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.edf")
    content = path.read_bytes()
    for low in ("2", "nan"):
        path.write_bytes(content.replace(b"-1.5    ", low.ljust(8).encode()))
        told = rf"a\.edf: channel 'ECG II' maps -32768..32767 to {low}..2, which is no scale"
        with pytest.raises(ValueError, match=told):
            read_recording(path, lazy=True, sampling_frequency=10)
    assert read_recording(path, channels=["Resp"])["signal"].shape == (200, 1)
    write(path, annotations=[edfio.EdfAnnotation(25, None, "late")])
    with pytest.raises(ValueError, match=r"a\.edf lasts 20 s, but 1 of its 1 events come later"):
        read_recording(path, channels=[0])


def test_units_that_are_no_ascii_are_read(tmp_path: Path) -> None:
    path = patch(write(tmp_path / "u.edf"), (b"mV      ", "\u00b5V      ".encode("latin-1")))
    assert read_recording(path, channels=[0])["units"] == ["\u00b5V"]
    np.testing.assert_allclose(read_recording(path, channels=[0], units="mV")["signal"][:, 0], ECG / 1000, atol=1e-6)
    patch(path, ("\u00b5V      ".encode("latin-1"), "\u00b5V     ".encode()))
    assert read_recording(path, channels=[0])["units"] == ["\u00b5V"]


def test_annotations_of_a_file_of_their_own_are_no_recording_but_annotate_one(tmp_path: Path) -> None:
    night = write(tmp_path / "SC4001-PSG.edf")
    stages = [edfio.EdfAnnotation(0, 10, "Sleep stage W"), edfio.EdfAnnotation(10, 30, "Sleep stage 2")]
    hypnogram = tmp_path / "SC4001-Hypnogram.edf"
    edfio.Edf([], annotations=stages).write(hypnogram)
    content = hypnogram.read_bytes()
    hypnogram.write_bytes(content[:236] + b"-1      " + content[244:])  # that was not closed
    early = tmp_path / "early.edf"  # its clock starts three seconds before that of the recording
    edfio.Edf([], annotations=stages, starttime=datetime.time(21, 59, 57)).write(early)
    write(night, starttime=datetime.time(22))
    content = early.read_bytes()
    early.write_bytes(content[:168] + content[168:184].replace(b".", b"/") + content[184:])
    assert read_recording(night, channels=[0], annotator=early)["events"]["sample"].tolist() == [0, 700]
    early.write_bytes(content[:168] + b"01.01.8500.00.00" + content[184:])  # as writers have it by default
    with pytest.raises(ValueError, match="by the start times of their headers .*early.edf ends .* s before .* begins"):
        read_recording(night, channels=[0], annotator=early)
    early.unlink()
    write(night)
    assert list_recordings(tmp_path) == [night]
    events = read_recording(night, channels=[0], annotator=hypnogram)["events"]
    assert events["symbol"] == ["Sleep stage W", "Sleep stage 2"] and events["duration"].tolist() == [10, 10]
    edfio.Edf([], annotations=[edfio.EdfAnnotation(0, None, "lights off")]).write(hypnogram)
    assert read_recording(night, channels=[0], annotator=hypnogram)["events"]["sample"].tolist() == [0]
    with pytest.raises(ValueError, match="holds no signal, only annotations"):
        read_recording(hypnogram)
    (tmp_path / "stages.csv").write_text("0,W")
    with pytest.raises(ValueError, match=r"stages\.csv is no EDF\+ or BDF\+ file; expected one .* of a table give"):
        read_recording(night, annotator=tmp_path / "stages.csv")


def test_missing_edfio_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "n.edf")
    monkeypatch.setitem(__import__("sys").modules, "edfio", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'neurallib\[edf\]'"):
        read_recording(path)


def test_what_lasts_less_than_a_sample_ends_no_earlier_than_it_begins() -> None:
    found = contents.events_between([(0.106, "blink", 0.001), (0.15, "blink", 1.0)], 100.0, 0, 20)
    assert found["sample"].tolist() == [11, 15] and found["duration"].tolist() == pytest.approx([0, 0.05])


def test_an_event_may_lie_on_the_last_sample_or_just_behind_it() -> None:
    one = contents.Contents(["a"], ["mV"], [100.0], [1000], lambda *_: np.zeros((0, 1)), [(10.005, "end", 0.0)])
    contents.check_events(one, 10.0, "a file")
    with pytest.raises(ValueError, match="a file lasts 10 s, but 1 of its 1 events come later"):
        contents.check_events(one._replace(events=[(10.02, "end", 0.0)]), 10.0, "a file")


def test_a_rate_is_filtered_to_as_scipy_does_away_from_the_ends() -> None:
    x = np.random.default_rng(0).standard_normal(2000)
    for ratio in (Fraction(3, 7), Fraction(8, 5)):
        theirs = resample_poly(x, ratio.numerator, ratio.denominator)
        np.testing.assert_allclose(contents._filtered(x[:, None], ratio)[100:-100], theirs[100:-100], atol=0.005)
