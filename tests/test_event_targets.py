"""Targets from the events of a recording."""

import functools
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_make_dataset import entries, make
from test_make_dataset import recording as whole

import neurallib as nl


def recording(events: list[tuple[int, str, float]], n_steps: int = 100, rate: float = 10.0) -> Any:
    sample, symbol, duration = zip(*events) if events else ((), (), ())
    marked = {"sample": np.array(sample, dtype=np.int64), "symbol": list(symbol), "duration": np.array(duration, float)}
    return {"name": "a", "signal": np.zeros((n_steps, 1)), "sampling_frequency": rate, "events": marked}


def test_event_target_marks_one_sample_a_beat_and_no_other_event() -> None:
    target = nl.event_target(recording([(3, "(AFIB", 5.0), (20, "N", 0), (40, "~", 0), (60, "V", 0)]))
    assert target.dtype == np.float32 and np.flatnonzero(target).tolist() == [20, 60]
    assert nl.event_target(recording([])).sum() == 0


def test_event_target_is_as_wide_as_the_seconds_say_and_ends_with_the_signal() -> None:
    target = nl.event_target(recording([(0, "N", 0), (50, "N", 0), (99, "N", 0)]), width=0.5)
    assert np.flatnonzero(target).tolist() == [0, 1, 2, 48, 49, 50, 51, 52, 97, 98, 99]


def test_events_in_seconds_or_of_another_rate_are_told_and_whole_floats_are_samples() -> None:
    beats = recording([(20, "N", 0), (60, "N", 0)])
    beats["events"]["sample"] = np.array([20.0, 60.0])
    assert np.flatnonzero(nl.event_target(beats)).tolist() == [20, 60]
    end = recording([(20, "N", 0), (100, "+", 0)])  # may be marked as well
    assert np.flatnonzero(nl.event_target(end)).tolist() == [20]
    for wrong in ([2.0, 6.5], [2.0, np.nan], ["2", "6"]):
        with pytest.raises(TypeError, match="the events of a are at 2.*; expected whole samples"):
            nl.event_target(beats | {"events": beats["events"] | {"sample": wrong}})
    for outside in (-1, 101):
        with pytest.raises(ValueError, match=f"1 of 2 events of a lie outside its 100 samples, the first at {outside}"):
            nl.event_target(beats | {"events": beats["events"] | {"sample": [20, outside]}})


def test_gaussian_target_has_its_top_at_the_event_and_keeps_the_higher_of_two() -> None:
    target = nl.event_target(recording([(50, "x", 0), (53, "x", 0)]), symbols=["x"], width=0.2, shape="gaussian")
    steps = np.arange(100)
    expected = np.maximum(*(np.exp(-0.5 * ((steps - at) / 2) ** 2) for at in (50, 53)))
    np.testing.assert_allclose(target, expected, atol=4e-4)


def test_interval_target_has_a_class_a_sample_and_unknown_where_nothing_is_annotated() -> None:
    stages = recording([(10, "W", 2.0), (30, "N2", 3.0), (40, "W", 1.0), (70, "?", 2.0)])
    target = nl.interval_target(stages, {"W": 0, "N1": 1, "N2": 1, "?": -1})
    expected = np.full(100, -1)
    expected[10:30], expected[30:60], expected[40:50] = 0, 1, 0
    assert target.dtype == np.int64 and (target == expected).all()
    unordered = recording([(40, "W", 1.0), (10, "W", 2.0), (30, "N2", 3.0)])
    assert (nl.interval_target(unordered, ["W", "N2"]) == expected).all()
    assert (nl.interval_target(stages, ["W"], background=1) == np.where(expected == 0, 0, 1)).all()
    binary = nl.interval_target(stages, ["W", "N2"], binary=True)
    np.testing.assert_array_equal(binary, np.where(expected < 0, np.nan, expected))
    assert binary.dtype == np.float32


def test_what_is_to_be_unknown_takes_over_from_all_that_it_lies_over() -> None:
    night = recording([(0, "N1", 3.0), (20, "Artefact", 5.0), (30, "N2", 3.0), (60, "N2", 3.0), (60, "Artefact", 1.0)])
    target = nl.interval_target(night, {"N1": 0, "N2": 1, "Artefact": -1})
    assert target.tolist() == [0] * 20 + [-1] * 50 + [1] * 20 + [-1] * 10


def test_label_is_the_class_of_most_of_the_time_or_unknown() -> None:
    window = recording([(0, "W", 3.0), (30, "N2", 6.0)])
    assert nl.label_target(window, ["W", "N2"]) == 1 and nl.label_target(window, ["W", "N2"]).shape == ()
    assert nl.label_target(window, ["W", "N2"], least=0.7) == -1
    assert nl.label_target(window, ["W", "N2"], least=0.6) == 1
    assert np.isnan(nl.label_target(recording([]), ["W", "N2"], least=0, binary=True))
    assert nl.label_target(window, ["W", "N2"], binary=True).dtype == np.float32


def test_one_symbol_of_a_binary_target_is_the_yes_and_numbers_are_their_texts() -> None:
    marked = recording([(10, "seizure", 1.0)], n_steps=30)
    target = nl.interval_target(marked, ["seizure"], background=0, binary=True)
    assert np.flatnonzero(target).tolist() == list(range(10, 20))
    assert nl.label_target(marked, ["seizure"], least=0.3, background=0, binary=True) == 0
    assert nl.label_target(recording([(0, "seizure", 2.0)], n_steps=30), {"seizure": 1}, background=0) == 1
    assert set(nl.interval_target(recording([(0, "2", 3.0), (30, "0", 3.0)]), range(3))[:60]) == {0, 2}


def test_targets_that_say_nothing_are_told() -> None:
    with pytest.warns(UserWarning, match="events of a recording are Fist: none of them is one of classes, fist, rest"):
        nl.interval_target(recording([(0, "Fist", 1.0)]), ["fist", "rest"])
    with pytest.warns(UserWarning, match="events of a recording are breath: none of them is one of symbols, Breath, V"):
        nl.event_target(recording([(0, "breath", 0)]), symbols=["Breath", "V"])
    with pytest.raises(ValueError, match="background=0 is the class of seizure as well"):
        nl.interval_target(recording([]), ["seizure"], background=0)
    with pytest.raises(ValueError, match="the 2 events of a that are of classes have no duration"):
        nl.label_target(recording([(0, "W", 0), (30, "N1", 0)]), ["W", "N1"])
    with pytest.raises(ValueError, match="the 2 events of a are breath, no symbols of beats; expected 'N' of a beat"):
        nl.event_target(recording([(0, "breath", 0), (30, "breath", 0)]), width=0.1)
    with pytest.raises(ValueError, match="are breath, no symbols of beats"):
        nl.evaluate_recordings(lambda r: [1, 2], [recording([(0, "breath", 0)])])
    assert len(nl.beats(recording([(0, "breath", 5.0), (3, "~", 0), (6, "(AFIB", 0)]))) == 0
    with pytest.warns(UserWarning, match="events of a recording are A, S: none of them is a beat; interval_target"):
        assert not nl.event_target(recording([(0, "A", 5.0), (60, "S", 3.0)])).any()


def test_what_lasts_is_no_beat_whatever_it_is_called() -> None:
    """Stages, seizures and apnoeas; a table may say that a beat takes a few samples."""
    marked = recording([(0, "N", 5.0), (20, "N", 0), (30, "S", 2.5), (70, "V", 0.1), (80, "A", 2.0)])
    assert nl.beats(marked).tolist() == [20, 70, 80]
    assert np.flatnonzero(nl.event_target(marked)).tolist() == [20, 70, 80]
    told = nl.evaluate_recordings(lambda r: [20, 70, 80], [marked])
    assert told["gross"]["f1"] == 1
    assert nl.plot_recording(marked).legends[0].get_texts()[0].get_text() == "true (3)"


@pytest.mark.parametrize("binary, background", [(False, 0), (False, 1), (True, 0)])
def test_a_list_of_classes_that_holds_the_background_is_told(binary: bool, background: int) -> None:
    """Two kinds of apnoea beside nothing: the first had been the background, and was lost."""
    marked = recording([(10, "OA", 1.0), (50, "CA", 1.0)])
    told = rf"background={background} is the class of one of CA, OA .*; expected \{{'OA': 1, 'CA': 2\}}, or \{{'OA': 0"
    for call in (nl.interval_target, nl.label_target):
        with pytest.raises(ValueError, match=told.replace("CA, OA", "OA, CA")):
            call(marked, ["OA", "CA"], background=background, binary=binary)
    assert nl.interval_target(marked, {"OA": 0, "CA": 1}, background=0).sum() == 10
    assert nl.interval_target(marked, ["OA", "CA"], background=2)[[0, 10, 50]].tolist() == [2, 0, 1]


@pytest.mark.parametrize(
    "call, told",
    [
        (lambda r: nl.event_target(r, shape="box"), "shape='box'"),
        (lambda r: nl.event_target(r, width=-1), "width=-1"),
        (lambda r: nl.label_target(r, ["N"], least=2), "least=2"),
        (lambda r: nl.interval_target(r, []), "classes is empty"),
    ],
)
def test_wrong_options_are_named(call: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        call(recording([]))


def made(directory: Path, target: Any, signal: Any = None, **more: Any) -> list[tuple[str, np.ndarray]]:
    """The targets that a data set of three recordings of 1000 samples at 100 Hz gets, by file."""
    signal = np.arange(1000.0)[:, None] if signal is None else signal
    recordings = [{"name": name, "signal": signal, "sampling_frequency": 100.0} | more.pop(name, {}) for name in "abc"]
    nl.make_dataset(recordings, directory, target=target, enable_progress_bar=False, **more)
    return [(path.name, np.load(path)) for path in sorted(directory.glob("y/*/*"), key=lambda path: path.name)]


def test_classes_of_every_sample_are_cut_and_resampled_with_the_recording(tmp_path: Path) -> None:
    classes = np.arange(1000) // 300
    by_name, signal = dict.fromkeys("abc", classes), np.arange(1000.0)[:, None]
    slower = made(tmp_path / "slower", by_name, sampling_frequency=50, window=2)
    assert (np.concatenate([y for name, y in slower if name[0] == "a"]) == classes[::2]).all()
    own = made(tmp_path / "own", lambda recording: classes, sampling_frequency=50, window=2, each_window=True)
    assert all((one == other).all() for (_, one), (_, other) in zip(slower, own, strict=True))
    signal[440:500] = np.nan
    gaps = made(tmp_path / "gaps", dict.fromkeys("abc", classes + 0.5), signal)
    assert (gaps[0][1][:, 0] == classes[:440] + 0.5).all() and (gaps[1][1][:, 0] == classes[500:] + 0.5).all()


def test_lost_samples_are_bridged_as_predict_recording_hears_them(tmp_path: Path) -> None:
    one = whole("e")
    one["signal"] = np.stack([np.arange(5000.0), np.ones(5000)], axis=1)
    one["signal"][100:225, 0] = one["signal"][3000:3126, 0] = np.nan
    others = [{**whole(name), "signal": one["signal"]} for name in "abc"]
    for given in (one, *others):
        given["channels"], given["units"] = ["flow", "SpO2"], ["", ""]
    made = make([one, *others], tmp_path / "data")
    entry = entries(made)["e"]
    assert list(entry["files"].values()) == [[0, 12], [12.504, 20]]
    x = np.load(made / "x" / entry["part"] / "e_00000.npy")
    np.testing.assert_allclose(x[:, 0], np.arange(3000), rtol=1e-6)
    heard = nl.predict_recording(nl.gru_seq2seq(n_features=2, hid_dim=1, n_layers=1), {"signal": one["signal"]})
    assert heard["gaps"].tolist() == [[100, 225], [3000, 3126]]
    short = make([one, *others], tmp_path / "short", window=0.6)
    assert entries(short)["e"]["files"]["e_00000.npy"] == pytest.approx([0.9, 1.5])


@pytest.mark.parametrize(
    "target, told",
    [
        (np.linspace(0, 1, 1000), r"'a' has shape \(1000,\), beside 500 samples; .* was resampled"),
        (np.linspace(0, 1, 999), r"\(999,\), beside 500 samples; expected .* is of 1000 samples before"),
        (np.zeros((999, 2)), r"\(999, 2\), beside 500 samples; expected"),
        (np.array([0, 1, 1, 0, 1]), r"\(5,\), .* A target for each window: each_window=True"),
    ],
)
def test_target_of_another_length_is_refused_and_not_written_beside_each_window(
    target: Any, told: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=told):
        made(tmp_path, lambda recording: target, window=2, sampling_frequency=50)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="errors have no notes")
def test_an_error_of_a_function_says_which_recording_it_was_given(tmp_path: Path) -> None:
    with pytest.raises(KeyError) as told:
        made(tmp_path, lambda recording: {"a": 0}[recording["name"]])
    assert told.value.__notes__ == ["target was given 'b'."]


def test_one_for_all_is_a_number_or_a_vector_of_outputs(tmp_path: Path) -> None:
    for i, target in enumerate((3, np.array([0.5, 2.0, 1.0]), np.ones((1, 200)), np.array([0, 1, 1]))):
        files = made(tmp_path / f"{i}", lambda recording, target=target: target, window=2)
        assert len(files) == 15 and all((y == target).all() for _, y in files)


def test_one_label_of_a_recording_that_has_several_is_told(tmp_path: Path) -> None:
    events = lambda *symbols: {"events": recording([(300 * i, name, 3.0) for i, name in enumerate(symbols)])["events"]}
    label = functools.partial(nl.label_target, classes=["W", "N2"], least=0.1)
    given: dict[str, Any] = {"a": events("W", "N2"), "b": events(*"WWWW"), "c": events("W", "?", "W"), "window": 2}
    given["a"]["signal"] = np.where(np.arange(1000) // 100 == 6, np.nan, 1.0)[:, None]  # behind a gap it has none
    for i, target in enumerate((label, lambda part: [1.0, len(set(part["events"]["symbol"]))],
                                lambda part: float(part["onset"] > 3 and part["name"] != "b"))):  # fmt: skip
        with pytest.warns(UserWarning, match="2 of 3 recordings have several labels or .*: a, c. With each_window="):
            made(tmp_path / f"{i}", target, **given)
    made(tmp_path / "each", label, **given, each_window=True)
    made(tmp_path / "files", label, **given | {"window": None})
    rare = functools.partial(nl.label_target, classes=["seizure"], background=0, binary=True)
    with pytest.warns(UserWarning, match="1 of 3 recordings have several labels or values, .*: b"):
        made(tmp_path / "rare", rare, b={"events": recording([(300, "seizure", 3.0)])["events"]}, window=2)


def test_classes_are_whole_numbers_and_those_of_a_binary_target_no_and_yes() -> None:
    marked = recording([(10, "W", 1.0), (30, "N2", 1.0)])
    for target in (nl.interval_target, nl.label_target):
        for wrong in (1.5, "1", -2):
            with pytest.raises((TypeError, ValueError), match="the class of 'W'=.*; expected an integer of at least"):
                target(marked, {"W": wrong})
        with pytest.raises(TypeError, match="background=0.5 is a float; expected an integer"):
            target(marked, ["N2"], background=0.5)
        with pytest.raises(ValueError, match="the class of 'N2'=2; expected an integer of at least -1 and at most 1"):
            target(marked, {"W": 1, "N2": 2}, background=0, binary=True)


def test_what_is_no_recording_or_says_nothing_of_events_is_told() -> None:
    targets = (nl.beats, nl.event_target, lambda given: nl.interval_target(given, ["W"]),
               lambda given: nl.label_target(given, ["W"]))  # fmt: skip
    for target in targets:
        with pytest.raises(TypeError, match="recording is a path, 'a.npz'; .*read_recording reads one"):
            target("a.npz")
        with pytest.raises(ValueError, match="a has no 'events'; expected them, {} where nothing is marked"):
            target({name: value for name, value in recording([]).items() if name != "events"})
        target(recording([]) | {"events": {}})


def test_a_width_that_looks_like_milliseconds_is_told() -> None:
    with pytest.warns(UserWarning, match="width=50: it is in seconds; 50 ms are 0.05"):
        nl.event_target(recording([(20, "N", 0)]), width=50)


def test_recordings_without_what_is_looked_for_are_told_at_once(tmp_path: Path) -> None:
    signal = np.r_[np.arange(500.0), np.full(20, np.nan), np.arange(480.0)][:, None]  # a piece before and one behind

    def others(*symbols: str) -> dict[str, Any]:
        return {"events": recording([(100 + 600 * i, symbol, 1.0) for i, symbol in enumerate(symbols)])["events"]}

    seizures = functools.partial(nl.interval_target, classes=["seizure"], background=0, binary=True)
    label = functools.partial(nl.label_target, classes=["seizure"], background=0, binary=True)
    for i, (target, each_window) in enumerate([(seizures, False), (seizures, True), (label, True)]):
        given = {"a": others("cough", "seizure"), "b": others("blink"), "c": others("blink"), "signal": signal}
        for _ in range(2):  # also where all is there already
            with pytest.warns(UserWarning, match="the events of b, c are blink: none of them is one of cl") as told:
                made(tmp_path / f"{i}", target, window=2, each_window=each_window, **given)
            assert len(told) == 1
    with pytest.warns(UserWarning, match="the events of b, c are blink and others: none of them is one of cl") as told:
        made(tmp_path / "others", seizures, **given | {"c": others("tic")})
    assert len(told) == 1
    recordings = [{"name": name, "signal": np.zeros((1000, 1)), "sampling_frequency": 100.0} | given[name]
                  for name in "abc"]  # fmt: skip
    with pytest.warns(UserWarning, match="the events of b, c are blink: none of them is one of classes, sei") as told:
        nl.evaluate_recordings(seizures, recordings, task="classes", target=seizures, names=["no", "seizure"])
    assert len(told) == 1
    made(tmp_path / "usual", seizures, **given | {"b": others("cough"), "c": others("cough")})  # as without an apnoea
    usual = [one | {"events": recording([(9, "cough", 1)])["events"]} for one in recordings[1:]]
    nl.evaluate_recordings(seizures, [recordings[0], *usual], task="classes", target=seizures, names=["no", "seizure"])
    with warnings.catch_warnings(record=True) as shown:  # and in a loop of one's own as Python shows them
        warnings.simplefilter("default")
        list(map(seizures, recordings))
    assert [str(one.message)[:38] for one in shown] == ["the events of a recording are blink: n"]


@pytest.mark.parametrize("target, none", [(nl.event_target, "that nothing is there will be learnt"), (
    functools.partial(nl.label_target, classes=["N"]), "so nothing of them is known: leave them out")])  # fmt: skip
def test_recordings_in_which_nothing_is_marked_are_told(tmp_path: Path, target: Any, none: str) -> None:
    """And not of the windows without an event that others of a recording have."""
    events = {"a": [(20, "N", 1), (900, "~", 0)], "b": [], "c": [(900, "~", 0)]}
    given = {name: {"events": recording(marked)["events"]} for name, marked in events.items()}
    both = f"events of b are none[:,] {none}|events of c are ~: none of them is"
    with pytest.warns(UserWarning, match=both) as told:
        made(tmp_path / "made", target, np.arange(1000.0)[:, None], window=2, each_window=True, **given)
    assert sum("are none" in str(each.message) for each in told) == 1
    assert len(told) == 2 and not nl.event_target({**recording([]), "events": {}}).any()  # nor in a loop of one's own
