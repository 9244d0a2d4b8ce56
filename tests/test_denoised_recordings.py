"""Recordings whose channels are denoised, each by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import neurallib as nl
from neurallib.prediction.beat_averages import with_beat_averages
from neurallib.prediction.hum import without_hum

RATE = 250.0
DENOISER = nl.load_pretrained("ecg_denoiser")


def recording(channels: list[str] | None, n: int | None = None) -> dict[str, Any]:
    leads = [nl.synthetic_ecg(duration=20, sampling_frequency=RATE, muscle_noise=0.2, seed=seed)[0]
             for seed in range(n or len(channels or ()))]  # fmt: skip
    units = ["mV"] * len(leads)
    return {"name": "x", "signal": np.stack(leads, axis=1), "sampling_frequency": RATE, "units": units} | (
        {"channels": channels} if channels else {}
    )


def alone(one: dict[str, Any], column: int) -> np.ndarray:
    """[T], what the denoiser says of one channel."""
    lead = {"signal": one["signal"][:, column], "sampling_frequency": RATE}
    return np.asarray(nl.predict_recording(DENOISER, lead)["output"][:, 0])


def averaged(one: dict[str, Any], column: int) -> np.ndarray:
    return with_beat_averages(one["signal"][:, column], alone(one, column), RATE)


def test_each_lead_is_denoised_by_itself_and_all_else_stays() -> None:
    given = recording(["V5", "Resp", "II"])
    before = given["signal"].copy()
    given["signal"][1000:1500, 0] = np.nan
    made = nl.denoise_recording(DENOISER, given)
    assert made["signal"].dtype == np.float32 and {**made, "signal": 0} == {**given, "signal": 0}
    for column in (0, 2):
        np.testing.assert_array_equal(made["signal"][:, column], averaged(given, column))
    assert np.isnan(made["signal"][1000:1500, 0]).all() and np.isfinite(made["signal"][1500:]).all()
    np.testing.assert_array_equal(made["signal"][:, 1], before[:, 1])
    np.testing.assert_array_equal(given["signal"][:1000], before[:1000])  # what was given is as it was


def test_beats_are_averaged_by_a_state_for_ecg_and_where_it_is_asked_for() -> None:
    given = recording(["II"])
    plain, made = alone(given, 0), averaged(given, 0)
    assert np.abs(plain - made).max() > 1e-3
    other = {**DENOISER, "postprocessing": {**DENOISER["postprocessing"], "outputs": ["lead"]}}
    for state, asked, expected in (
        (DENOISER, None, made), (DENOISER, False, plain), (other, None, plain), (other, True, made)
    ):  # fmt: skip
        found = nl.denoise_recording(state, given, average_beats=asked)["signal"][:, 0]
        np.testing.assert_array_equal(found, expected)
    clean = nl.synthetic_ecg(duration=20, sampling_frequency=RATE, muscle_noise=0, seed=0)[0]
    for names in (["II"], ["unlike any lead"]):
        one = given | {"channels": names}
        scores = nl.evaluate_recordings(DENOISER, [one], task="denoising", target=lambda _: clean)
        by_hand = nl.denoising_scores(clean, given["signal"][:, 0], made)
        assert scores["average"]["snr_improvement_db"] == pytest.approx(by_hand["snr_improvement_db"])
    with pytest.raises(TypeError, match="average_beats='no'"):
        nl.denoise_recording(DENOISER, given, average_beats="no")  # type: ignore[arg-type]


@pytest.mark.parametrize("frequencies", [(50.0,), (60.1, 110.0)])
def test_hum_as_loud_as_the_heart_is_logged_and_filtered_out_of_its_lead(
    frequencies: tuple[float, ...], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "neurallib")
    given = recording(["II", "V5"])
    clean = nl.denoise_recording(DENOISER, given)["signal"][:, 0]
    steps = np.arange(len(clean)) / RATE
    hum = sum((np.sin(2 * np.pi * each * steps) for each in frequencies), np.zeros(len(clean)))
    loud, faint = ({**given, "signal": given["signal"] + size * hum[:, None] * [1, 0]} for size in (3, 0.02))
    loud["signal"][1000:1250, 0] = np.nan
    made = nl.denoise_recording(DENOISER, loud)["signal"]
    assert f"II hums at {', '.join(f'{each:.0f}' for each in frequencies)} Hz" in caplog.text
    np.testing.assert_array_equal(made[:, 1], averaged(given, 1))
    assert np.flatnonzero(np.isnan(made[:, 0])).tolist() == list(range(1000, 1250))
    for part in (slice(200, 900), slice(1400, -200)):
        assert np.std(made[part, 0] - clean[part]) < 0.12 * np.std(clean)
    np.testing.assert_allclose(nl.denoise_recording(DENOISER, faint)["signal"][:, 0], averaged(faint, 0), atol=1e-5)


def test_hum_is_taken_out_of_the_minutes_that_have_it() -> None:
    rate, rng = 200.0, np.random.default_rng(0)
    heart, steps = rng.normal(size=60_000), np.arange(60_000)
    there = (steps >= 24_000) & (steps < 36_000)  # the third minute
    heart[30_000:30_200] = np.nan
    hum = 5 * np.sin(2 * np.pi * 50 * steps / rate) * there
    found, lines = without_hum(heart + hum, rate)
    assert lines == pytest.approx([50] * 3, abs=0.05)  # beside it, too, as far as a filter hears
    for far in (slice(0, 12_000), slice(48_000, None)):
        np.testing.assert_array_equal(found[far], heart[far])
    assert np.nanstd((found - heart)[there][400:-400]) < 0.2
    np.testing.assert_array_equal(np.isnan(found), np.isnan(heart))
    for quiet in (heart, np.zeros(500), np.full(500, 1e4), heart[:50], np.full(500, np.nan)):
        found, lines = without_hum(quiet, rate)
        assert found is quiet and not lines


@pytest.mark.parametrize(("names", "channels"), [(None, None), (["a", "b", "c"], ["b", "a"])])
def test_a_lead_without_any_value_stops_no_other(names: Any, channels: Any) -> None:
    given = recording(names, 3)
    given["signal"][:, 0] = np.nan
    made = nl.denoise_recording(DENOISER, given, channels=channels)["signal"]
    np.testing.assert_array_equal(made[:, 1], averaged(given, 1))
    assert np.isnan(made[:, 0]).all() and np.isfinite(made[:, 2]).all()
    given["signal"][:] = np.nan
    with pytest.raises(ValueError, match="holds no value"):
        nl.denoise_recording(DENOISER, given, channels=channels)
    two, by_turns = nl.gru_seq2seq(n_features=2, hid_dim=2, n_layers=1), np.indices((500, 2)).sum(axis=0) % 2
    two["preprocessing"]["sampling_frequency"] = RATE
    with pytest.raises(ValueError, match="holds no value: every step is nan, or infinite, in some channel"):
        nl.predict_recording(two, {"signal": np.where(by_turns, np.nan, 0.0), "sampling_frequency": RATE})


@pytest.mark.parametrize(
    ("names", "channels", "wanted"),
    [(["a", "b"], 1, [1]), (["a", "b"], "b", [1]), (["a", "b"], ["b", "a"], [0, 1]),
     (None, None, [0, 1]), (["Resp", "ECG"], None, [1])],
)  # fmt: skip
def test_channels_are_those_asked_for_else_leads_else_all(names: Any, channels: Any, wanted: list[int]) -> None:
    given = recording(names, 2)
    made = nl.denoise_recording(DENOISER, given, channels=channels)["signal"]
    changed = [column for column in (0, 1) if not np.array_equal(made[:, column], given["signal"][:, column])]
    assert changed == wanted


def test_a_column_of_times_stays_as_it_is() -> None:
    given = recording(None, 2)
    given["signal"][:, 0] = np.arange(len(given["signal"])) / RATE
    made = nl.denoise_recording(DENOISER, given)["signal"]
    np.testing.assert_array_equal(made[:, 0], given["signal"][:, 0])
    np.testing.assert_array_equal(made[:, 1], averaged(given, 1))


def test_a_state_that_names_its_channel_is_asked_for_it_alone() -> None:
    state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1, task="regression")
    state["preprocessing"] |= {"sampling_frequency": RATE, "channels": ["EMG"], "units": ["mV"]}
    given = recording(["II", "EMG"])
    made = nl.denoise_recording(state, given)["signal"]
    np.testing.assert_array_equal(made[:, 0], given["signal"][:, 0])
    state["preprocessing"]["channels"] = None
    assert not np.isclose(nl.denoise_recording(state, given)["signal"], given["signal"]).all(axis=0).any()
    state["preprocessing"]["channels"] = ["EMG"]
    asked = given | {"signal": given["signal"][:, 1:], "channels": ["EMG"], "units": ["mV"]}
    np.testing.assert_array_equal(made[:, 1:], nl.predict_recording(state, asked)["output"])
    nameless = {"name": "a", "signal": asked["signal"], "sampling_frequency": RATE}
    assert nl.evaluate_recordings(state, [nameless], target=lambda one: one["signal"])["gross"]["ssd"] > 0


def test_what_cannot_be_denoised_is_told() -> None:
    given = recording(["Resp", "PPG"])
    with pytest.raises(ValueError, match=r"Resp, PPG: none has a name of an ECG lead; channels= picks"):
        nl.denoise_recording(DENOISER, given)
    for channels in ("Rsp", ["Rsp"]):
        with pytest.raises(ValueError, match="channels='Rsp'.*Did you mean 'Resp'"):
            nl.denoise_recording(DENOISER, given, channels=channels)
    for channels in ([], [None], True):
        with pytest.raises(TypeError, match=r"channels=(\[.*\]|True); expected a list of some names"):
            nl.denoise_recording(DENOISER, given, channels=channels)
    two = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1, task="regression", n_outputs=2)
    for state in (nl.load_pretrained("ecg_r_peaks"), two):
        with pytest.raises(ValueError, match=r"one feature and one output, and this one has 1 and [12]\."):
            nl.denoise_recording(state, given)


@pytest.mark.parametrize(("unit", "factor"), [("uV", 1e3), ("V", 1e-3)])
def test_what_is_converted_to_the_units_of_a_state_comes_back_in_its_own(unit: str, factor: float) -> None:
    given = recording(["II"])
    other = {**given, "signal": factor * given["signal"], "units": [unit]}
    known: Any = {**DENOISER, "preprocessing": {**DENOISER["preprocessing"], "units": ["mV"]}}
    made = nl.denoise_recording(known, other)
    assert made["units"] == [unit]
    expected = nl.denoise_recording(known, given)["signal"]
    np.testing.assert_allclose(made["signal"] / factor, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("channel", "output", "told"),
    [("PPG", "ECG (mV)", ("ECG", "mV")), ("PPG", "ECG", ("ECG", "")), ("PPG", "clean PPG", None), ("II", "ECG", None)],
)
def test_another_quantity_than_a_channel_has_its_own_name_and_unit(channel: str, output: str, told: Any) -> None:
    preprocessing = {**DENOISER["preprocessing"], "channels": [channel], "units": ["a.u."]}
    state: Any = {**DENOISER, "preprocessing": preprocessing, "postprocessing": {"outputs": [output], "events": {}}}
    given = {**recording([channel, "Resp"]), "units": ["a.u.", "L"]}
    made = nl.denoise_recording(state, given)
    name, unit = told or (channel, "a.u.")
    assert (made["channels"], made["units"]) == ([name, "Resp"], [unit, "L"])
    assert (given["channels"], given["units"]) == ([channel, "Resp"], ["a.u.", "L"])


def test_spikes_that_no_heart_makes_are_told_and_leave_the_waves_around_them_alone() -> None:
    clean = nl.synthetic_ecg(duration=20, sampling_frequency=360, muscle_noise=0.05, seed=1)[0]
    given = {"signal": np.stack([clean, clean], axis=1), "sampling_frequency": 360.0, "channels": ["II", "V5"]}
    given["signal"][100::170, 0] += 12.0
    with pytest.warns(UserWarning, match="^II has spikes") as told:
        made = nl.denoise_recording(DENOISER, given)["signal"]
    assert len(told) == 1
    assert np.abs(made[:, 0] - made[:, 1]).max() < 0.25 and np.abs(made[:, 0] - made[:, 1]).mean() < 0.02


def test_a_recording_of_a_second_is_told() -> None:
    short = recording(["II"])
    with pytest.warns(UserWarning, match="the recording lasts 1 s: .* from 2 s on"):
        nl.denoise_recording(DENOISER, {**short, "signal": short["signal"][:250]})
    nl.denoise_recording(DENOISER, {**short, "signal": short["signal"][:500]})
