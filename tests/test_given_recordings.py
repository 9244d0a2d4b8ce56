"""Recordings as they come: what an array is made of, what is named how, and what is no recording."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

import neurallib as nl
from neurallib.prediction.windows import held_over
from neurallib.signals.manifest import said_of

pd = pytest.importorskip("pandas", reason="comes with the extra wfdb")
RATE = 250.0
STATE = nl.load_pretrained("ecg_r_peaks")
DENOISER = nl.load_pretrained("ecg_denoiser")
SIGNAL, R_PEAKS = nl.synthetic_ecg(duration=20, sampling_frequency=RATE, seed=1)
SIGNAL = SIGNAL[:, None].astype(np.float64)
NOISE = np.random.default_rng(0).standard_normal(SIGNAL.shape)
PLAIN = nl.find_r_peaks(STATE, {"signal": SIGNAL, "sampling_frequency": RATE})


@pytest.mark.parametrize(
    "signal",
    [
        SIGNAL.tolist(),
        torch.from_numpy(SIGNAL).requires_grad_(),
        torch.from_numpy(SIGNAL).bfloat16(),
        pd.DataFrame({"II": SIGNAL[:, 0]}),
        pd.Series(SIGNAL[:, 0]),
        SIGNAL.astype(object),
        np.asfortranarray(SIGNAL),
    ],
    ids="list tensor bfloat16 frame series object fortran".split(),
)  # fmt: skip
def test_a_signal_may_be_whatever_numbers_are_kept_in(signal: Any) -> None:
    given = {"signal": signal, "sampling_frequency": np.array(RATE)}
    assert np.abs(nl.find_r_peaks(STATE, given) - PLAIN).max() <= 1
    answer = nl.predict_recording(DENOISER, given)["output"]
    expected = nl.predict_recording(DENOISER, {"signal": SIGNAL, "sampling_frequency": RATE})["output"]
    np.testing.assert_allclose(answer, expected, atol=0.03)
    assert given["signal"] is signal, "what was handed in stays as it is"


def test_columns_of_a_frame_are_the_channels() -> None:
    frame = pd.DataFrame({"time": np.arange(len(SIGNAL)) / RATE, "noise": NOISE[:, 0], "II": SIGNAL[:, 0]})
    given = {"signal": frame, "sampling_frequency": RATE}
    assert nl.find_r_peaks(STATE, given).tolist() == PLAIN.tolist()
    assert nl.find_r_peaks(STATE, given, channel="II").tolist() == PLAIN.tolist()
    named = given | {"channels": ["II", "a", "b"]}
    with pytest.warns(UserWarning, match="does nothing but rise"):
        assert nl.find_r_peaks(STATE, named).tolist() != PLAIN.tolist(), "names that are given go first"
    with pytest.warns(UserWarning, match="beats cannot be told"), pytest.warns(UserWarning, match="channel 1 is taken"):
        nl.find_r_peaks(STATE, given | {"signal": frame.set_axis([0, 1, 2], axis=1)})  # not the times


def test_names_units_and_the_rate_may_be_arrays() -> None:
    given = {"signal": np.hstack([SIGNAL, SIGNAL]), "sampling_frequency": RATE, "channels": np.array(["II", "V1"]),
             "units": np.array(["mV", "mV"])}  # fmt: skip
    given["sampling_frequency"] = np.array([[RATE]])  # as of MATLAB
    assert np.abs(nl.find_r_peaks(STATE, given) - PLAIN).max() <= 1


@pytest.mark.parametrize("numbers", [[0, 1], np.arange(2), tuple(np.arange(2))], ids=["list", "array", "tuple"])
def test_channels_may_be_called_by_numbers(numbers: Any) -> None:
    given = {"signal": np.hstack([SIGNAL, NOISE]), "sampling_frequency": RATE, "channels": numbers}
    with pytest.warns(UserWarning, match="the 2 channels are 0, 1: none has a name of an ECG lead"):
        assert nl.find_r_peaks(STATE, given).tolist() == PLAIN.tolist()
    assert nl.find_r_peaks(STATE, given, channel="0").tolist() == PLAIN.tolist()


def test_a_unit_that_is_not_known_may_be_none() -> None:
    given = {"signal": np.hstack([SIGNAL, SIGNAL]), "sampling_frequency": RATE, "channels": ["II", "V1"]}
    for units in ([None, None], ["mV", None], (None, "uV")):
        assert nl.find_r_peaks(STATE, given | {"units": units}, channel=0).tolist() == PLAIN.tolist()
        assert len(nl.find_r_peaks(STATE, given | {"units": units})) == len(PLAIN)


@pytest.mark.parametrize("name", ["Ableitung I", "Abl. II", "Derivación I", "Dérivation V5", "ECG LL-RA", "POL EKG"])
def test_leads_have_names_in_other_languages(name: str) -> None:
    given = {"signal": np.hstack([NOISE, SIGNAL]), "sampling_frequency": RATE, "channels": ["Resp", name]}
    assert nl.find_r_peaks(STATE, given).tolist() == PLAIN.tolist()


@pytest.mark.parametrize("key", ["fs", "sampling_rate", "Hz", "sfreq"])
def test_a_rate_by_another_name_is_pointed_at(key: str) -> None:
    for function in (nl.find_r_peaks, nl.predict_recording):
        with pytest.raises(ValueError, match=f"no sampling_frequency; it has signal, {key}. Is '{key}' its sampling_f"):
            function(STATE, {"signal": SIGNAL, key: RATE})  # type: ignore[operator]


@pytest.mark.parametrize(
    "signal, words",
    [
        (np.array([["a"]] * 9, dtype=object), "the signal of recording is no array of numbers"),
        ([[0.0], [1.0, 2.0]], "the signal of recording is no array of numbers"),
        ({"x": 1}, "is a dict; expected an array"),
        (csr_matrix(SIGNAL), r"is a csr_matrix; expected an array \[T, C\]: signal\.toarray\(\)"),
    ],
)
def test_what_holds_no_numbers_is_named(signal: Any, words: str) -> None:
    for function in (nl.find_r_peaks, nl.predict_recording):
        with pytest.raises(TypeError, match=words):
            function(STATE, {"signal": signal, "sampling_frequency": RATE})  # type: ignore[operator]


@pytest.mark.parametrize("option", [{"min_distance": 200}, {"snap": 40}, {"smoothing": 60}])
def test_milliseconds_in_place_of_seconds_are_told(option: dict[str, float]) -> None:
    (name, value), = option.items()  # fmt: skip
    with pytest.warns(UserWarning, match=rf"{name}={value}: it is in seconds; {value} ms are {value / 1000:g}\."):
        nl.find_r_peaks(STATE, {"signal": SIGNAL, "sampling_frequency": RATE}, **option)  # type: ignore[arg-type]
    with pytest.warns(UserWarning, match="tolerance=150: it is in seconds"):
        nl.peak_scores(R_PEAKS, PLAIN, sampling_frequency=RATE, tolerance=150)
    events = {"sample": R_PEAKS, "symbol": ["N"] * len(R_PEAKS)}
    given = {"signal": SIGNAL, "sampling_frequency": RATE, "events": events}
    with pytest.warns(UserWarning, match="tolerances=150: it is in seconds"):
        nl.evaluate_recordings(lambda recording: PLAIN, [given], tolerances=[150], n_bootstrap=1)


def test_half_a_second_is_too_short_to_tell_beats_from_noise() -> None:
    with pytest.warns(UserWarning, match=r"lasts 0\.5 s: R-peaks are told from noise by their neighbours, from 2 s on"):
        nl.find_r_peaks(STATE, {"signal": SIGNAL[:125], "sampling_frequency": RATE})


def test_a_folder_in_place_of_recordings_is_told(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=re.escape(f"recordings is a path, {str(tmp_path)!r}; expected recordings")):
        nl.evaluate_recordings(STATE, str(tmp_path))  # type: ignore[arg-type]


@pytest.mark.parametrize("index", ["", "Sample #", "index"])
def test_a_column_that_counts_the_lines_is_no_channel(index: str, tmp_path: Path) -> None:
    pd.DataFrame({"value": SIGNAL[:, 0]}).to_csv(tmp_path / "a.csv", index_label=index or None)
    recording = nl.read_recording(tmp_path / "a.csv", sampling_frequency=RATE)
    assert recording["channels"] == ["value"]
    assert nl.find_r_peaks(STATE, recording).tolist() == PLAIN.tolist()
    pd.DataFrame({"n": range(0, 18, 2), "value": range(9)}).to_csv(tmp_path / "b.csv", index=False)
    assert nl.read_recording(tmp_path / "b.csv", sampling_frequency=RATE)["channels"] == ["n", "value"], "by twos"
    pd.DataFrame({"n": range(9)}).to_csv(tmp_path / "b.csv", index=False)
    assert nl.read_recording(tmp_path / "b.csv", sampling_frequency=RATE)["channels"] == ["n"], "it is all there is"


def test_lost_samples_take_no_beat_away_and_add_none() -> None:
    signal, r_peaks = nl.synthetic_ecg(duration=60, sampling_frequency=250, seed=1)
    state = nl.load_pretrained("ecg_r_peaks")
    for every, lost in ((10, 1), (125, 5), (400, 24), (700, 75)):
        given = signal[:, None].astype(float)
        given[np.arange(len(given)) % every < lost] = np.nan
        found = nl.find_r_peaks(state, {"signal": given, "sampling_frequency": 250})
        there = r_peaks[~np.isnan(given[r_peaks, 0])] if lost > 25 else r_peaks
        hidden = np.isin(found, np.flatnonzero(np.isnan(given[:, 0]))) & (lost > 25)
        assert nl.peak_scores(there, found[~hidden], sampling_frequency=250)["f1"] > 0.98, (every, lost)


def test_a_recording_of_some_beats_has_no_others() -> None:
    signal, r_peaks = nl.synthetic_ecg(duration=30, sampling_frequency=250, seed=1)
    state = nl.load_pretrained("ecg_r_peaks")
    for start in range(0, 7000, 500):
        inside = r_peaks[(r_peaks >= start) & (r_peaks < start + 500)] - start
        found = nl.find_r_peaks(state, {"signal": signal[start : start + 500], "sampling_frequency": 250})
        clear = [peak for peak in inside if 20 < peak < 480]
        hits = [np.abs(inside - peak).min() <= 25 for peak in found]
        assert all(hits) and all(np.abs(found - peak).min() <= 25 for peak in clear), start


@pytest.mark.parametrize("name", ["ecg_r_peaks", "ecg_r_peaks_stream"])
@pytest.mark.parametrize("n_leads", [1, 2])
def test_lost_samples_make_no_second_beat_of_one(name: str, n_leads: int) -> None:
    lost = np.hstack([SIGNAL, -SIGNAL])[:, :n_leads].copy()
    given = {"signal": lost, "sampling_frequency": RATE, "channels": ["II", "V1"][:n_leads]}
    state = nl.load_pretrained(name)
    whole = nl.find_r_peaks(state, given | {"signal": lost.copy()})
    lost[np.random.default_rng(0).random(len(lost)) < 0.1] = np.nan
    found = nl.find_r_peaks(state, given)
    assert nl.peak_scores(whole, found, sampling_frequency=RATE, tolerance=0.05)["f1"] == 1


def test_what_goes_on_behind_a_short_gap_is_held_however_rows_are_cut() -> None:
    rng = np.random.default_rng(1)
    values = np.where(rng.random((200, 2)) < 0.6, np.nan, rng.random((200, 2)))
    expected = values.copy()
    for k in (0, 1):
        for t in range(200):
            near = [s for s in range(max(0, t - 3), t) if np.isfinite(values[s, k])]
            if np.isnan(values[t, k]) and near:
                expected[t, k] = values[near[-1], k]
    for cuts in ([], [1, 2, 3, 50], [100, 100, 199]):
        held = np.concatenate(list(held_over(np.split(values, cuts), 3)))
        np.testing.assert_allclose(held, expected, rtol=1e-5)
        filled = np.isnan(values) & np.isfinite(held)
        assert (held[filled] < expected[filled]).all(), "where an event is highest stays where it was"


def of_two(name: str, channels: Any = ("C3", "C4"), units: Any = "mV") -> dict[str, Any]:
    """A recording whose channels are 1, 2 and so on by their numbers from 3, in mV, as it says them."""
    said = {"channels": list(channels), "units": units} if channels else {"units": units}
    values = [float(each[-1]) - 2 for each in channels] if channels else [1.0, 2.0]
    return {"name": name, "signal": np.tile(values, (300, 1)), "sampling_frequency": 100.0} | said


def dataset(directory: Path, *recordings: Any, **more: Any) -> tuple[dict[str, Any], np.ndarray]:
    """What is said of a data set, and the first row of each of its signals."""
    options: dict[str, Any] = {"target": lambda recording: 1.0, "val": 0, "test": 0} | more
    made = nl.make_dataset(recordings, directory, enable_progress_bar=False, **options)
    said = said_of(nl.open_folder(made / "x", made / "y", "train"), dict.fromkeys(("channels", "units")))
    return said, np.array([np.load(path)[0] for path in sorted(made.glob("x/train/*"))])


def test_data_set_has_the_channels_of_its_first_recording_in_its_order_and_units(tmp_path: Path) -> None:
    said, rows = dataset(tmp_path / "order", of_two("a", ["C3", "C4", "C5"]), of_two("b", ["C4", "C5", "C3"]))
    assert said["channels"] == ["C3", "C4", "C5"] and (rows == [1, 2, 3]).all()
    said, rows = dataset(tmp_path / "units", of_two("a"), of_two("b", units="uV"), of_two("c", units=["V", "mV"]))
    assert said["units"] == ["mV", "mV"] and np.allclose(rows, [[1, 2], [1e-3, 2e-3], [1e3, 2]])
    both = [("EEG C3", "C3"), ("EEG C4", "C4")]
    said, rows = dataset(tmp_path / "names", of_two("a"), of_two("b", ["EEG C4", "EEG C3"]), channels=both)
    assert said["channels"] == ["EEG C3", "EEG C4"] and (rows == [1, 2]).all()
    said, rows = dataset(tmp_path / "none", of_two("a", None), of_two("b", None))
    assert said["channels"] == ["0", "1"] and (rows == [1, 2]).all()


def test_files_are_as_the_first_of_them_and_made_again_with_another_first(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    units = ["mV", "mV"]
    for each in (of_two("b", ["C4", "C3"], units), of_two("c", units=units)):
        np.savez(folder / each["name"], **each)
    assert dataset(tmp_path / "data", *nl.list_recordings(folder))[1].tolist() == [[2, 1], [2, 1]]
    np.savez(folder / "a", **of_two("a", units=units))
    said, rows = dataset(tmp_path / "data", *nl.list_recordings(folder))
    assert said["channels"] == ["C3", "C4"] and (rows == [1, 2]).all() and len(rows) == 3


@pytest.mark.parametrize(
    "others, told",
    [
        ([of_two("b", ["C3", "O4"])], "'b' has the channels C3, O4, 'a' has C3, C4. Say which with channels="),
        ([of_two("b", None)], "'b' has the channels 0, 1, 'a' has C3, C4. Say which with channels="),
        ([of_two("b", units="g")], "'b' has a channel in 'g'; nothing converts it to 'mV'. 'a', the first, has mV, mV"),
    ],
)
def test_recordings_that_are_not_alike_are_named(others: list[Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=told.replace("(", r"\(")):
        dataset(tmp_path, of_two("a"), *others)


def test_units_that_some_recordings_do_not_say_are_not_made_up(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="1 of 2 recordings say no unit where others do: b.* units= says which"):
        said, rows = dataset(tmp_path / "some", of_two("a", units="uV"), of_two("b", units=["", "uV"]))
    assert said["units"] is None and (rows == [1, 2]).all()
    with pytest.raises(ValueError, match="units of channel 'C3' differ: uV in 'b', mV in 'c'. Say which with units="):
        dataset(tmp_path / "differ", of_two("a", units=""), of_two("b", units="uV"), of_two("c"))
    said, rows = dataset(tmp_path / "said", of_two("a", units=""), of_two("b", units="uV"), units="uV")
    assert said["units"] == ["uV", "uV"] and (rows == [1, 2]).all()


@pytest.mark.parametrize(
    "change", [{"channels": ["O3", "C4"]}, {"units": ["mV", "V"]}, {"label": 2.0}, {"signal": np.ones((300, 2))}]
)
def test_whatever_a_recording_in_memory_says_otherwise_is_made_again(change: Any, tmp_path: Path) -> None:
    given: Any = {"target": by_label, "channels": [("C3", "O3"), "C4"]}
    recordings = [of_two(name) | {"label": 1.0} for name in "ab"]
    dataset(tmp_path, *recordings, **given)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("y/*/*")}
    dataset(tmp_path, recordings[0], recordings[1] | change, **given)
    after = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("y/*/*")}
    assert [name for name in after if after[name] != before[name]] == ["b.npy"]


def by_label(recording: Any) -> float:
    return float(recording["label"])


def test_corrected_labels_by_name_are_written_and_those_of_others_kept(tmp_path: Path) -> None:
    labels = {name: np.zeros(5000) for name in "ab"}
    recordings = [{"name": name, "signal": np.zeros((5000, 1)), "sampling_frequency": 100.0} for name in "ab"]
    dataset(tmp_path, *recordings, target=labels)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("y/*/*")}
    labels["b"][1000:4000] = 1
    dataset(tmp_path, *recordings, target=labels)
    after = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("y/*/*")}
    assert [name for name in after if after[name] != before[name]] == ["b.npy"]
    assert np.load(tmp_path / "y/train/b.npy").sum() == 3000


def test_targets_and_persons_stand_in_a_table_by_the_names_of_recordings(tmp_path: Path) -> None:
    table = pd.DataFrame({"age": [60, 70, 80], "MI": [0, 1, 1], "who": [7.0, 8.0, 7.0]}, index=["c", "b", "a"])
    for target, expected in ((table["age"], [80, 70, 60]), (table[["age", "MI"]], [[80, 1], [70, 1], [60, 0]])):
        more = {"target": target, "person": table["who"], "val": ["8"]}
        dataset(tmp_path, *map(of_two, "abc"), **more)
        y = {path.stem: np.load(path).tolist() for path in tmp_path.glob("y/*/*")}
        assert [y[name] for name in "abc"] == expected and [path.stem for path in tmp_path.glob("x/val/*")] == ["b"]
    np.save(tmp_path / "d.npy", np.ones((300, 2)))
    with pytest.raises(ValueError, match="recordings holds d twice"):
        nl.make_dataset(pd.Series([str(tmp_path / "d.npy")] * 2), tmp_path / "paths", target=by_label)
    with pytest.raises(TypeError, match="target is a list; expected .* a mapping from names"):
        dataset(tmp_path, *map(of_two, "abc"), target=table["age"].reset_index(drop=True))
