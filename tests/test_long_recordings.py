"""Recordings of any length: window by window what one pass gives, on their own clock, gaps left out, memory bounded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import CASES, Case, make_state

import neurallib as nl
import neurallib.prediction.long_recordings as long_recordings
from neurallib.architectures import ARCHITECTURES
from neurallib.tasks import describe

GRU = Case("GRUseq2seq", "binary")
RNG = np.random.default_rng(0)


def known(case: Case = GRU, **preprocessing: Any) -> nl.State:
    state = make_state(case)
    state["preprocessing"].update({"sampling_frequency": 50.0, **preprocessing})
    return state


def recording(n_steps: int = 1000, **more: Any) -> dict[str, Any]:
    return {"signal": RNG.standard_normal((n_steps, 2)), "sampling_frequency": 50.0, **more}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_recording_that_fits_a_window_is_what_predict_gives(case: Case) -> None:
    state, given = known(case, normalization="zscore"), recording(40)
    answer = nl.predict_recording(state, given, window=2.0)
    expected = nl.predict(state, [given["signal"]])[0]
    np.testing.assert_allclose(answer["output"], expected if expected.ndim == 2 else expected[None], rtol=1e-5)
    assert answer["windows"].tolist() == [[0, 40]] and answer["gaps"].shape == (0, 2)


@pytest.mark.parametrize("normalization", [None, "zscore", "minmax"])
def test_each_step_has_the_answer_of_the_window_in_whose_middle_it_lies(normalization: str | None) -> None:
    state, given = known(normalization=normalization), recording(230)
    answer = nl.predict_recording(state, given, window=2.0, overlap=0.5)
    starts = [0, 50, 100, 130]
    assert answer["windows"].tolist() == [[start, start + 100] for start in starts]
    by_window = nl.predict(state, [given["signal"][start : start + 100] for start in starts])
    for step in range(230):
        distances = [abs(step + 0.5 - (start + 50)) for start in starts]
        near = {i for i, d in enumerate(distances) if d <= min(distances) + 0.5}
        values = [by_window[i][step - starts[i]] for i in near]
        assert any(np.allclose(answer["output"][step], value, rtol=1e-5) for value in values), step


def test_the_state_says_the_window_in_seconds() -> None:
    state = known(window=3.0)
    assert nl.predict_recording(state, recording(400))["windows"][0].tolist() == [0, 150]
    state["preprocessing"].update(sampling_frequency=None, window=120.0)
    assert nl.predict_recording(state, {"signal": np.ones((400, 2))})["windows"][0].tolist() == [0, 120]


@pytest.mark.parametrize("fold", [1, 3])
@pytest.mark.parametrize("normalization", [None, "dataset"])
@pytest.mark.parametrize("output", ["probabilities", "logits"])
def test_a_gru_of_one_direction_goes_on_as_in_one_pass(
    output: str, normalization: str | None, fold: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long_recordings, "_STEPS", 70)  # pieces of 35
    state = nl.gru_seq2seq(n_features=2, hid_dim=8, n_layers=2, num_classes=3, fold=fold)
    numbers = {"x_shift": [0.1, 0.2], "x_scale": [1.5, 0.5]} if normalization else {}
    state["preprocessing"].update(sampling_frequency=50.0, normalization=normalization, window=2.0, **numbers)
    given = recording(500)
    given["signal"][200:230] = np.nan
    answer = nl.predict_recording(state, given, output=output)["output"]
    for a, b in ((0, 200), (230, 500)):
        (whole,) = nl.predict({**state, "preprocessing": {**state["preprocessing"], "window": None}},
                              [given["signal"][a:b]], output=output)  # fmt: skip
        np.testing.assert_allclose(answer[a:b], whole, rtol=1e-5, atol=1e-6)
    assert np.isnan(answer[200:230]).all()


@pytest.mark.parametrize("one_way", [True, False])
def test_a_short_gap_is_heard_as_a_straight_line_and_not_answered(
    one_way: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long_recordings, "_STEPS", 140)
    state = nl.gru_seq2seq(n_features=2, hid_dim=8, n_layers=1, num_classes=3, bidirectional=not one_way)
    state["preprocessing"].update(sampling_frequency=50.0, window=2.0)
    given = recording(500)
    given["signal"][225, 0] = 9.0  # far from what came before the gap, in which a piece ends
    line = given | {"signal": given["signal"].copy()}
    for start, stop in ((0, 3), (120, 121), (200, 225), (300, 326)):
        given["signal"][start:stop, 0] = np.nan
    given["signal"][120, 0] = np.inf
    line["signal"][120, 0] = (line["signal"][119, 0] + line["signal"][121, 0]) / 2
    line["signal"][199:226, 0] = np.linspace(line["signal"][199, 0], line["signal"][225, 0], 27)
    for rows in ((0, 3), (300, 326)):  # at an end, and more than half a second: nothing is heard of them
        line["signal"][slice(*rows)] = np.nan
    answer, expected = (nl.predict_recording(state, one) for one in (given, line))
    silent = np.isnan(answer["output"]).all(axis=1)
    assert answer["gaps"].tolist() == [[0, 3], [120, 121], [200, 225], [300, 326]]
    assert np.flatnonzero(silent).tolist() == [0, 1, 2, 120, *range(200, 225), *range(300, 326)]
    np.testing.assert_allclose(answer["output"][~silent], expected["output"][~silent], atol=1e-6 if one_way else 5e-4)


def test_a_gap_as_long_as_a_window_is_none_to_bridge_and_one_output_a_window_is_told_across_a_short_one() -> None:
    given = recording(500)
    given["signal"][160:180] = np.nan  # where the third of the windows that overlap has its own steps from
    answer = nl.predict_recording(known(), given, window=0.3)
    low, high = answer["windows"].T
    assert np.isnan(answer["output"]).sum() == 20 and ((high <= 160) | (low >= 180)).all()
    state = known(Case("GRUseq2one", "multiclass"), window=2.0)
    answer = nl.predict_recording(state, given, overlap=0.2)
    assert np.isfinite(answer["output"]).all() and answer["gaps"].tolist() == [[160, 180]]


def test_a_state_of_signals_normalized_by_themselves_takes_windows_of_their_length() -> None:
    state = make_state(GRU)
    pairs = [(RNG.standard_normal((n, 2)), RNG.random((n, 1)) > 0.5) for n in (90, 100, 130)]
    options: dict[str, Any] = {"epochs": 1, "batch_size": 2, "sampling_frequency": 50.0, "enable_progress_bar": False}
    trained = nl.train(state, pairs, pairs, normalization="zscore", **options)
    assert nl.predict_recording(trained, recording(400))["windows"][0].tolist() == [0, 100]
    trained["training_info"]["train_steps"] = 10**6  # of which memory would not hold many
    assert nl.predict_recording(trained, recording(210_000))["windows"][0].tolist() == [0, 200_000]
    trained = nl.train(state, pairs, pairs, normalization=None, **options)
    assert nl.predict_recording(trained, recording(400))["windows"].tolist() == [[0, 400]]
    for name in ("Transformerseq2seq", "GRUseq2one"):  # what is no GRU of each step knows no longer ones
        of_one = [(x, y[0] if name.endswith("one") else y) for x, y in pairs]
        trained = nl.train(make_state(Case(name, "binary")), of_one, of_one, normalization=None, **options)
        assert nl.predict_recording(trained, recording(400))["windows"][0].tolist() == [0, 100]


def test_windows_with_what_they_hear_of_their_neighbours_come_near_one_pass() -> None:
    state, given = known(), recording(3000)
    whole = nl.predict(state, [given["signal"]])[0]
    errors = [
        np.abs(nl.predict_recording(state, given, window=4.0, overlap=share)["output"] - whole).max()
        for share in (0.0, 0.2, 0.5)
    ]
    assert errors[2] < errors[1] < errors[0] and errors[2] < 1e-3


@pytest.mark.parametrize("kind", ["binary", "regression"])
@pytest.mark.parametrize("rate", [100.0, 125.0, 20.0])
def test_another_rate_is_resampled_and_mapped_back_to_the_recordings_own(kind: Any, rate: float) -> None:
    state = known(Case("GRUseq2seq", kind), window=4.0)
    given = recording(int(30 * rate), sampling_frequency=rate)
    wave = np.sin(2 * np.pi * np.arange(len(given["signal"])) / rate)
    given["signal"] = np.stack([wave, wave**2], 1)
    answer = nl.predict_recording(state, given, overlap=0.5)
    at_own = np.sin(2 * np.pi * np.arange(30 * 50) / 50)
    own = nl.predict(state, [np.stack([at_own, at_own**2], 1)])[0]
    assert len(answer["output"]) == int(30 * rate)
    times = np.arange(len(answer["output"])) / rate
    inner = (times > 2) & (times < 28)
    for k in range(answer["output"].shape[1]):
        expected = np.interp(times, np.arange(len(own)) / 50, own[:, k])
        np.testing.assert_allclose(answer["output"][inner, k], expected[inner], atol=0.02)


def test_a_rate_that_the_state_does_not_know_is_refused() -> None:
    state = make_state(GRU)
    with pytest.raises(ValueError, match="sampling_frequency=50.*does not know"):
        nl.predict_recording(state, recording())


def test_gaps_are_left_out_and_marked() -> None:
    state, given = known(), recording(900)
    given["signal"][300:350, 0] = np.nan
    given["signal"][880:, 1] = np.nan
    answer = nl.predict_recording(state, given, window=4.0)
    assert answer["gaps"].tolist() == [[300, 350], [880, 900]]
    assert np.array_equal(np.isnan(answer["output"][:, 0]), np.isnan(given["signal"]).any(axis=1))
    for a, b in ((0, 300), (350, 880)):
        alone = nl.predict_recording(state, {**given, "signal": given["signal"][a:b]}, window=4.0)["output"]
        np.testing.assert_allclose(answer["output"][a:b], alone, rtol=1e-5, atol=1e-7)


def test_a_recording_without_a_value_and_a_wrong_one_are_told() -> None:
    state, given = known(), recording()
    for wrong, error, words in (
        ({**given, "signal": np.full((100, 2), np.nan)}, ValueError, "or infinite, in channel 0, channel 1"),
        ({**given, "signal": np.ones((9, 2)) * [1, np.nan], "channels": ["C3", "C4"]}, ValueError, "in C4"),
        ({**given, "signal": np.ones((100, 3))}, ValueError, "3 channels; expected 2"),
        ({**given, "signal": np.ones((0, 2))}, ValueError, r"shape \(0, 2\)"),
        (given["signal"], TypeError, "ndarray; expected a recording: {'signal'"),
        ({"x": 1}, ValueError, "recording has no signal, sampling_frequency; it has x"),
        ({}, ValueError, "no signal, sampling_frequency; it has none"),
        ({**given, "signal": None}, ValueError, "recording has no signal"),
        ({"sampling_frequency": 50.0, "fs": 50.0}, ValueError, r"has no signal; it has sampling_frequency, fs\.$"),
        ({"signal": given["signal"], "fs": 50.0}, ValueError, "no sampling_frequency; .* Is 'fs' its sampling_freq"),
        ({**given, "sampling_frequency": None}, ValueError, "recording has no sampling_frequency"),
        ({**given, "sampling_frequency": "50"}, TypeError, "the sampling_frequency of recording='50' is a str"),
    ):
        with pytest.raises(error, match=words):
            nl.predict_recording(state, wrong)  # type: ignore[arg-type]
    for option, words in (({"window": 0}, "window=0"), ({"overlap": 1.0}, "overlap=1"), ({"output": "x"}, "output=")):
        with pytest.raises(ValueError, match=words):
            nl.predict_recording(state, given, **option)


def test_channels_are_picked_by_name_and_units_converted() -> None:
    state = known(channels=["I", "V5"], units=["mV", "mV"])
    signal = RNG.standard_normal((200, 3))
    given = {"signal": 1000 * signal, "sampling_frequency": 50.0, "channels": ["V5", "aVF", "I"], "units": ["uV"] * 3}
    answer = nl.predict_recording(state, given, window=10.0)
    expected = nl.predict(state, [signal[:, [2, 0]]])[0]
    np.testing.assert_allclose(answer["output"], expected, rtol=1e-4)
    with pytest.raises(ValueError, match="lacks I"):
        nl.predict_recording(state, {**given, "channels": ["V5", "aVF", "II"]})


def test_one_output_a_signal_is_one_a_window(tmp_path: Path) -> None:
    state = known(Case("GRUseq2one", "multiclass"), window=2.0, normalization="zscore")
    given = recording(450)
    answer = nl.predict_recording(state, given)
    assert answer["windows"].tolist() == [[0, 100], [100, 200], [200, 300], [300, 400], [350, 450]]
    written = nl.predict_recording(state, given, path=tmp_path / "output.npy")["output"]
    assert [path.name for path in tmp_path.iterdir()] == ["output.npy"]
    np.testing.assert_array_equal(np.load(tmp_path / "output.npy"), answer["output"])
    np.testing.assert_array_equal(np.asarray(isinstance(written, np.memmap) and written), answer["output"])
    with pytest.raises(ValueError, match="ends in '.txt'; expected .npy"):
        nl.predict_recording(state, given, path=tmp_path / "output.txt")
    expected = nl.predict(state, [given["signal"][a:b] for a, b in answer["windows"]])
    np.testing.assert_allclose(answer["output"], np.stack(expected), rtol=1e-5)


@pytest.mark.parametrize("offset", [True, False])
def test_a_regression_answers_in_its_own_units(offset: bool) -> None:
    scaled = {"target_normalization": "signal", "target_offset": offset, "y_shift": [0.1, 0.2], "y_scale": [2.0, 3.0]}
    state = known(Case("GRUseq2seq", "regression"), normalization="zscore", window=4.0, **scaled)
    given = recording(200)
    answers = [
        nl.predict_recording(state, {**given, "signal": factor * given["signal"]})["output"] for factor in (1.0, 7.0)
    ]
    np.testing.assert_allclose(answers[1], 7 * answers[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(answers[0], nl.predict(state, [given["signal"]])[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if not name.endswith("2one")])
def test_a_file_holds_what_memory_would(architecture: str, tmp_path: Path) -> None:
    state = known(Case(architecture, "regression"), window=1.0)
    given = recording(180)
    given["signal"][60:70] = given["signal"][175:] = np.nan
    held = nl.predict_recording(state, given)["output"]
    written = nl.predict_recording(state, given, path=tmp_path / "output.npy")["output"]
    assert isinstance(written, np.memmap) and [path.name for path in tmp_path.iterdir()] == ["output.npy"]
    np.testing.assert_array_equal(held, written)
    assert held.shape == (180, describe(state).n_outputs)
    with pytest.raises(ValueError, match="ends in '.txt'; expected .npy"):
        nl.predict_recording(state, given, path=tmp_path / "output.txt")


@pytest.mark.parametrize("bidirectional", [True, False])
def test_events_alone_are_those_of_the_output(bidirectional: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_recordings, "_STEPS", 400)
    state = nl.gru_seq2seq(n_features=2, hid_dim=8, n_layers=1, bidirectional=bidirectional, seed=3)
    state["preprocessing"].update(sampling_frequency=50.0)
    given = recording(2000)
    given["signal"][700:730] = np.nan
    output = nl.predict_recording(state, given)["output"]
    settings = {"threshold": float(np.nanquantile(output, 0.9)), "min_distance": 0.1, "smoothing": 0.06}
    state["postprocessing"]["events"] = settings
    answer = nl.predict_recording(state, given, output="events")
    expected = [a + nl.find_events(output[a:b], 50.0, **settings) for a, b in ((0, 700), (730, 2000))]
    given["signal"][[500, 1203, 1600]] = np.nan  # gaps that are shorter than two events may be apart
    held = nl.predict_recording(state, given)["output"]
    np.testing.assert_array_equal(
        nl.predict_recording(state, given, output="events")["events"], nl.find_events(held, 50.0, **settings)
    )
    assert "output" not in answer and len(answer["events"]) > 10
    np.testing.assert_array_equal(answer["events"], np.concatenate(expected))
    for wrong, options in ((known(Case("GRUseq2seq", "regression")), {}), (state, {"path": "events.npy"})):
        with pytest.raises(ValueError, match="output='events'"):
            nl.predict_recording(wrong, given, output="events", **options)


PEAK = """
import sys, resource, numpy as np, neurallib as nl
state = nl.gru_seq2seq(n_features=1, hid_dim=8, n_layers=1, bidirectional=True)
state["preprocessing"].update(sampling_frequency=100.0, window=10.0)
class Lazy:
    shape = (int(sys.argv[1]), 1)
    def __len__(self): return self.shape[0]
    def __getitem__(self, part): return np.ones((len(range(*part.indices(self.shape[0]))), 1), np.float32)
nl.predict_recording(state, {"signal": Lazy(), "sampling_frequency": 100.0}, path=sys.argv[2])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_memory_does_not_grow_with_the_recording(tmp_path: Path) -> None:
    peaks = [
        int(subprocess.check_output([sys.executable, "-c", PEAK, str(n), str(tmp_path / "output.npy")]))
        for n in (200_000, 2_000_000)
    ]
    assert peaks[1] - peaks[0] < 30, peaks  # MB; the signal alone is 7 MB more, its output as much
