"""What is handed in against what a state was trained on: its sampling frequency, its channels by name, its units."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import QUIET
from signal_files import write

import neurallib as nl
from neurallib.signals.conversion import unit_factor

Waves = tuple[np.ndarray, np.ndarray, list[float]]
RATE = 360.0


def state_at(frequency: float | None, *, per_step: bool = True, **hparams: Any) -> nl.State:
    factory = nl.gru_seq2seq if per_step else nl.gru_seq2one
    state = factory(**({"n_features": 1, "hid_dim": 3, "n_layers": 1, "bidirectional": True} | hparams))
    state["preprocessing"]["sampling_frequency"] = frequency
    return state


def recording(frequency: float) -> Waves:
    """Eight seconds with narrow waves at known moments, sampled at a frequency."""
    at = [0.8 * i + 0.5 + 0.05 * (i % 3) for i in range(9)]
    t = np.arange(round(8 * frequency)) / frequency
    x = sum(np.exp(-0.5 * ((t - moment) / 0.012) ** 2) for moment in at)
    return np.asarray(x)[:, None], t, at


@pytest.fixture(scope="module")
def detector() -> nl.State:
    """A network by hand that says yes where a sample at 360 Hz is high: one unit, whose gates are open."""
    state = state_at(RATE, hid_dim=1, bidirectional=False)
    state["weights"] = {name: torch.zeros_like(weight) for name, weight in state["weights"].items()}
    state["weights"]["gru_layers.0.weight_ih_l0"][2] = 4.0
    state["weights"]["gru_layers.0.bias_ih_l0"][:] = torch.tensor([-9.0, -9.0, -2.0])
    state["weights"]["fc_out.weight"][:] = 8.0
    return state


@pytest.mark.parametrize("frequency", [1000.0, 250, 128.0, 360.0, 499.9])
def test_answers_are_at_the_steps_that_were_handed_in_and_peaks_where_they_lie(
    frequency: float, detector: nl.State
) -> None:
    x, t, at = recording(frequency)
    (output,) = nl.predict(detector, [x], sampling_frequency=frequency)
    assert output.shape == x.shape
    found = t[nl.post_process_peaks_binary(output, filter_peaks=True, min_distance=int(0.4 * frequency))]
    np.testing.assert_allclose(found, at, atol=0.01)
    for other in (
        nl.test_on_single_signal(detector, x, sampling_frequency=frequency),
        next(nl.iter_predict(detector, iter([x]), sampling_frequency=frequency)),
    ):
        np.testing.assert_allclose(other, output, rtol=1e-4, atol=1e-6)


def test_a_record_of_another_rate_is_as_good_as_one_of_its_own(detector: nl.State, tmp_path: Path) -> None:
    measured = {}
    for frequency in (RATE, 1000.0):
        x, t, at = recording(frequency)
        y = (np.abs(t[:, None] - at).min(axis=1, keepdims=True) < 0.013).astype(float)
        measured[frequency] = nl.evaluate(detector, [(x, y)], sampling_frequency=frequency)
    assert measured[1000]["f1"] == pytest.approx(measured[RATE]["f1"], abs=0.06) and measured[RATE]["f1"] > 0.85
    assert measured[1000]["loss"] == pytest.approx(measured[RATE]["loss"], rel=0.2)
    folder = write(tmp_path, {"1.npy": x}, {"1.npy": y}, "test")
    predictions, loss = nl.test_on_test_set(detector, *folder[:2], sampling_frequency=1000)
    assert predictions[0].shape == y.shape and loss == pytest.approx(measured[1000]["loss"], rel=1e-5)
    table = nl.confusion_matrix(detector, [(x, y)], sampling_frequency=1000)
    assert (table[0, 0] + table[1, 1]) / table.sum() == pytest.approx(measured[1000]["accuracy"])


def smooth(n: int, frequency: float) -> np.ndarray:
    t = np.arange(n) / frequency
    return np.asarray(np.sin(2 * np.pi * 1.5 * t) + 0.3 * np.sin(2 * np.pi * 6 * t + 1))[:, None]


@pytest.mark.parametrize("normalization", [None, "zscore"])
@pytest.mark.parametrize("frequency", [1000.0, 300.0, 90.0])
def test_a_regression_is_mapped_back_in_its_own_units(normalization: str | None, frequency: float) -> None:
    """A network that hands on what it sees, whatever it is divided by, gives the signal back."""
    state = nl.gru_seq2seq(n_features=1, hid_dim=1, n_layers=1, task="regression")
    weights = {name: torch.zeros_like(weight) for name, weight in state["weights"].items()}
    weights["gru_layers.0.weight_ih_l0"][2] = 0.01  # tanh is a line so near to 0
    weights["gru_layers.0.bias_ih_l0"][1] = -20.0
    weights["fc_out.weight"][:] = 100.0
    state["weights"] = weights
    state["preprocessing"] |= {"sampling_frequency": RATE, "normalization": normalization}
    if normalization is not None:
        scale = {"target_normalization": "signal", "target_offset": True, "y_shift": [0.0], "y_scale": [1.0]}
        state["preprocessing"] |= scale  # type: ignore[typeddict-item]
    x = 5 * smooth(int(4 * frequency), frequency) + (0 if normalization is None else 1000)
    (output,) = nl.predict(state, [x], sampling_frequency=frequency)
    assert output.shape == x.shape
    np.testing.assert_allclose(output[20:-20], x[20:-20], atol=0.15)


@pytest.mark.parametrize("hparams", [{}, {"num_classes": 3}, {"task": "regression"}], ids=str)
@pytest.mark.parametrize("per_step", [True, False])
@pytest.mark.parametrize("frequency", [1000.0, 361.0])  # the second leaves short signals as long as they are
def test_lengths_are_their_own_in_any_batch_and_window(
    hparams: dict[str, Any], per_step: bool, frequency: float
) -> None:
    state = state_at(RATE, per_step=per_step, **hparams)
    xs = [smooth(n, frequency) for n in (1, 2, 3, 100, 700, 1001, 998)]
    k = hparams.get("num_classes", 1)
    for window in (None, 0.5):
        state["preprocessing"]["window"] = window
        alone, together = (nl.predict(state, xs, batch_size=size, sampling_frequency=frequency) for size in (1, 7))
        for x, one, other in zip(xs, alone, together, strict=True):
            assert one.shape == ((len(x), k) if per_step else (k,))
            np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-5)
            if k == 3:
                np.testing.assert_allclose(one.sum(axis=-1), 1, rtol=1e-5)


def test_the_states_own_frequency_changes_nothing_and_an_unknown_one_is_refused() -> None:
    xs = [smooth(200, RATE)]
    known, unknown = state_at(RATE), state_at(None)
    assert np.array_equal(*(nl.predict(known, xs, sampling_frequency=rate)[0] for rate in (None, 360)))
    calls = [
        lambda rate: nl.predict(unknown, xs, sampling_frequency=rate),
        lambda rate: nl.iter_predict(unknown, xs, sampling_frequency=rate),
        lambda rate: nl.evaluate(unknown, [(xs[0], np.ones((200, 1)))], sampling_frequency=rate),
        lambda rate: nl.test_on_single_signal(unknown, xs[0], sampling_frequency=rate),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="sampling_frequency=1000, but the state does not know at which frequency"):
            call(1000)
    for wrong, error in ((0, ValueError), (-5.0, ValueError), (float("nan"), ValueError), ("fast", TypeError)):
        with pytest.raises(error, match="sampling_frequency"):
            nl.predict(known, xs, sampling_frequency=wrong)  # type: ignore[arg-type]
    for far in (1e12, 1e-9):
        with pytest.raises(ValueError, match="for 360 Hz, too far from it to be resampled"):
            nl.predict(known, xs, sampling_frequency=far)


def leads() -> nl.State:
    state = state_at(None, n_features=2)
    state["preprocessing"] |= {"channels": ["II", "V5"], "units": ["mV", "mV"]}
    return state


def test_a_rate_that_leaves_nothing_of_what_a_state_looks_for_is_told(recwarn: pytest.WarningsRecorder) -> None:
    state = nl.load_pretrained("ecg_r_peaks")
    signal = np.random.default_rng(0).standard_normal((2000, 1))
    for rate, told, n in ((50.0, 0, 250), (16.0, 0, 80), (15.0, 1, 80), (0.25, 1, 4), (2000.0, 0, 2000)):
        recwarn.clear()
        nl.find_r_peaks(state, {"signal": signal[:n], "channels": ["II"], "units": ["mV"], "sampling_frequency": rate})
        assert sum("Is it given in Hz" in str(warning.message) for warning in recwarn) == told, rate


def test_channels_are_picked_by_their_names_and_a_missing_one_is_named(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "neurallib")
    state, x = leads(), np.random.default_rng(0).normal(size=(40, 3))
    (expected,) = nl.predict(state, [x[:, [2, 0]]])
    assert np.array_equal(nl.predict(state, [x[:, [2, 0]]], channels=["II", "V5"])[0], expected)
    names = ["V5", "I", "II"]
    np.testing.assert_allclose(nl.predict(state, [x, x], channels=names)[1], expected, rtol=1e-5)
    assert caplog.messages == ["channels are V5, I, II: II, V5 are picked."]
    assert np.array_equal(nl.test_on_single_signal(state, x, channels=names), expected)
    y = np.ones((40, 1))
    assert nl.evaluate(state, [(x, y)], channels=names)["loss"] == nl.evaluate(state, [(x[:, [2, 0]], y)])["loss"]
    with pytest.raises(ValueError, match="channels lacks V5: the state was trained on II, V5, given are II, I"):
        nl.predict(state, [x[:, :2]], channels=["II", "I"])
    with pytest.raises(ValueError, match=r"has shape \(40, 3\); expected \(T, 2\)"):
        nl.predict(state, [x], channels=["II", "V5"])


def test_a_state_without_names_takes_channels_in_their_order_and_no_others() -> None:
    state, x = state_at(None, n_features=2), np.ones((9, 2))
    assert np.array_equal(nl.predict(state, [x], channels=["a", "b"])[0], nl.predict(state, [x])[0])
    with pytest.raises(ValueError, match="channels names a, b, c; the state takes 2 and knows no names"):
        nl.predict(state, [np.ones((9, 3))], channels=["a", "b", "c"])


@pytest.mark.parametrize(
    ("given", "known", "factor"),
    [
        ("µV", "mV", 1e-3), ("μV", "mV", 1e-3), ("uV", "mV", 1e-3), ("V", "mV", 1e3), ("mV", "uV", 1e3),
        ("millivolts", "V", 1e-3), ("Microvolt", "mV", 1e-3), ("nV", "uV", 1e-3), ("g", "m/s2", 9.80665),
        ("mmHg", "kPa", 0.133322387415), ("uS", "S", 1e-6),
    ],
)  # fmt: skip
def test_units_are_converted(given: str, known: str, factor: float, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "neurallib")
    state, x = state_at(None), np.random.default_rng(0).normal(size=(40, 1))
    state["preprocessing"]["units"] = [known]
    (expected,) = nl.predict(state, [factor * x])
    np.testing.assert_allclose(nl.predict(state, [x], units=given)[0], expected, rtol=1e-5)
    assert caplog.messages == [f"units are {given}: converted to {known}."]
    assert np.array_equal(nl.predict(state, [factor * x], units=[f" {known}"])[0], expected)
    assert np.array_equal(nl.predict(state, [factor * x])[0], expected)


def test_units_go_with_their_channels() -> None:
    state, x = leads(), np.random.default_rng(0).normal(size=(40, 3))
    (output,) = nl.predict(state, [x], channels=["V5", "I", "II"], units=["V", "uV", "mV"])
    np.testing.assert_allclose(output, nl.predict(state, [x[:, [2, 0]] * [1, 1000]])[0], rtol=1e-5)


def test_units_that_measure_other_things_are_refused() -> None:
    state, x = leads(), np.ones((9, 2))
    for unit in ("mmHg", "g", "bpm", "MV2"):
        with pytest.raises(ValueError, match=f"units='{unit}'; the state was trained on 'mV', and nothing converts"):
            nl.predict(state, [x], units=["mV", unit])
    expected = nl.predict(state, [x])[0]
    assert np.array_equal(nl.predict(state, [x], units=["mV", ""])[0], expected)  # a unit that is not said
    state["preprocessing"]["units"] = ["", ""]
    assert np.array_equal(nl.predict(state, [x], units=["mV", "g"])[0], expected)
    state["preprocessing"]["units"] = ["a.u.", "a.u."]
    assert nl.predict(state, [x], units="a.u.")[0].shape == (9, 1)
    with pytest.raises(ValueError, match="'a.u.', and nothing converts"):
        nl.predict(state, [x], units="mV")


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"channels": "II"}, TypeError, "channels='II'; expected a list of names"),
        ({"channels": 2}, TypeError, "channels=2; expected a list of names"),
        ({"channels": ["II", 5]}, TypeError, r"channels=\['II', 5\]; expected a list of names"),
        ({"units": ["mV"]}, ValueError, "units has 1 names; expected 2, one a channel"),
        ({"units": 1e-3}, TypeError, "units=0.001; expected a list of names"),
    ],
)
def test_wrong_names_are_refused_wherever_they_are_said(options: dict, error: type, words: str) -> None:
    state, x = leads(), np.ones((9, 2))
    pairs = [(x, np.ones((9, 1)))]
    for use in (
        lambda: nl.predict(state, [x], **options),
        lambda: nl.evaluate(state, pairs, **options),
        lambda: nl.train(state, pairs, pairs, epochs=1, batch_size=1, **QUIET, **options),
        lambda: nl.train(state_at(None, n_features=2), pairs, pairs, epochs=1, batch_size=1, **QUIET, **options),
    ):
        with pytest.raises(error, match=words):
            use()


def test_training_keeps_names_and_units_and_trains_on_in_the_states_own() -> None:
    x = np.random.default_rng(0).normal(size=(40, 2))
    pairs = [(x, (x[:, :1] > 0).astype(float))]
    options: dict[str, Any] = {"epochs": 1, "batch_size": 1, "normalization": None, **QUIET}
    first = nl.train(state_at(None, n_features=2), pairs, pairs, channels=("II", "V5"), units="mV", **options)
    assert (first["preprocessing"]["channels"], first["preprocessing"]["units"]) == (["II", "V5"], ["mV", "mV"])
    wide = [(np.column_stack([1000 * x[:, 1], x[:, 0], x[:, 0]]), pairs[0][1])]
    again = nl.train(first, wide, wide, channels=["V5", "I", "II"], units=["uV", "mV", "mV"], **options)
    same = nl.train(first, pairs, pairs, **options)
    for name, weight in same["weights"].items():
        torch.testing.assert_close(again["weights"][name], weight)
    assert again["preprocessing"] == first["preprocessing"]
    first["preprocessing"]["units"] = None
    anew = nl.train(first, wide, wide, channels=["V5", "I", "II"], units=["uV", "s", "mV"], dry_run=True, **options)
    assert anew["preprocessing"]["units"] == ["mV", "uV"]
    with pytest.raises(ValueError, match="channels has 3 names; expected 2, one a feature"):
        nl.train(state_at(None, n_features=2), wide, wide, channels=["a", "b", "c"], **options)


def test_scales_of_the_data_are_in_the_states_units() -> None:
    """A data set's scale is found after conversion, and an answer in the signal's units is in the state's."""
    state = state_at(None, task="regression")
    state["preprocessing"]["units"] = ["mV"]
    rng = np.random.default_rng(0)
    pairs = [(1000 * x, x) for x in (rng.normal(size=(30, 1)) * (1 + i) for i in range(4))]
    options: dict[str, Any] = {"epochs": 1, "batch_size": 2, "normalization": "dataset", **QUIET}
    known = nl.train(state, pairs, pairs, units="uV", **options)["preprocessing"]
    other = nl.train(state, *[[(x / 1000, y) for x, y in pairs]] * 2, **options)["preprocessing"]
    assert known["x_scale"] == pytest.approx(other["x_scale"], rel=1e-6)
    assert known["units"] == ["mV"]


SIZES = {
    "V": {"V volt volts": 1, "fV": 1e-15, "pV picovolt": 1e-12, "nV nanovolts": 1e-9, "uV µV μV microvolts": 1e-6,
          "mV millivolt Millivolts": 1e-3, "kV kilovolt": 1e3, "MV megavolt": 1e6},
    "Pa": {"Pa": 1, "mmHg": 133.322387415, "cmH2O": 98.0665, "kPa": 1e3},
    "m/s2": {"m/s2 m/s^2 m/s² m/s**2 m/(s^2)": 1, "g G": 9.80665, "mg": 9.80665e-3},
    "S": {"S siemens": 1, "uS microsiemens": 1e-6}, "T": {"T tesla": 1, "uT": 1e-6}, "A": {"A ampere": 1, "nA": 1e-9},
    "Ohm": {"Ohm ohm Ohms ohms Ω": 1, "kOhm": 1e3}, "rad/s": {"rad/s": 1, "deg/s °/s dps": 0.017453292519943295},
    "Hz": {"Hz": 1, "1/min bpm rpm brpm": 1 / 60, "kHz": 1e3}, "°C": {"°C degC Celsius celsius": 1},
    "%": {"% percent": 1}, "N": {"N newton": 1, "mN": 1e-3},
    "L": {"L l liters litre": 1, "mL ml": 1e-3}, "L/s": {"L/s l/s": 1, "L/min l/min lpm": 1 / 60, "mL/s": 1e-3},
}  # fmt: skip


@pytest.mark.parametrize("base", SIZES)
def test_each_unit_is_as_large_as_it_is_defined(base: str) -> None:
    for names, size in SIZES[base].items():
        for name in names.split():
            assert unit_factor(name, base) == pytest.approx(size, rel=1e-12), name
            assert unit_factor(base, name) == pytest.approx(1 / size, rel=1e-12), name
            other = "Pa" if base == "V" else "V"
            assert unit_factor(name, other) is None and unit_factor(name, "") == 1
