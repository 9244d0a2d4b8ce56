"""Evaluation and prediction: the same numbers whatever the batches, and metrics against their definitions."""

import functools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import CASES, Case, make_pairs, make_state

import neurallib as nl
from neurallib.models.registry import ARCHITECTURES

LENGTHS = [9, 3, 12, 1, 7, 7, 2]
each_case = pytest.mark.parametrize("case", CASES, ids=str)


@each_case
def test_batches_of_any_size_give_the_same_numbers(case: Case) -> None:
    state = make_state(case)
    pairs = make_pairs(state, LENGTHS)
    one, three, all_at_once = (nl.evaluate(state, pairs, batch_size=n) for n in (1, 3, 100))
    assert one.keys() == three.keys()
    for name, value in one.items():
        assert three[name] == pytest.approx(value, rel=1e-4, nan_ok=True)
        assert all_at_once[name] == pytest.approx(value, rel=1e-4, nan_ok=True)
    signals = [x for x, _ in pairs]
    for a, b in zip(nl.predict(state, signals, batch_size=1), nl.predict(state, signals, batch_size=4), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@each_case
def test_predictions_are_the_activated_logits_without_padding(case: Case) -> None:
    state = make_state(case)
    signals = [x for x, _ in make_pairs(state, LENGTHS)]
    before = [x.copy() for x in signals]
    network = nl.build_network(state).eval()
    for x, raw, output in zip(
        signals, nl.predict(state, signals, output="logits"), nl.predict(state, signals), strict=True
    ):
        logits = network(torch.from_numpy(x)[None])[0].detach()
        np.testing.assert_allclose(raw, logits, rtol=1e-4, atol=1e-6)
        expected = {"regression": logits, "multiclass": logits.softmax(-1)}.get(case.kind, logits.sigmoid())
        np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-6)
        assert output.dtype == np.float32
    assert all(np.array_equal(a, b) for a, b in zip(signals, before, strict=True))


def columns(state: nl.State, pairs: list) -> tuple[np.ndarray, np.ndarray]:
    """All valid steps (or signals) one below the other: outputs [N, K] and targets [N, ...]."""
    outputs = nl.predict(state, [x for x, _ in pairs])
    stack = np.stack if ARCHITECTURES[state["architecture"]].seq2one else np.concatenate
    return stack(outputs).astype(np.float64), stack([y for _, y in pairs]).astype(np.float64)


def rank_auroc(score: np.ndarray, truth: np.ndarray) -> float:
    """The share of pairs, one with and one without the class, that the score puts in order; ties count half."""
    with_class, without = score[truth == 1][:, None], score[truth == 0][None]
    return float((with_class > without).mean() + 0.5 * (with_class == without).mean())


def f1(found: np.ndarray, truth: np.ndarray) -> float:
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))


@each_case
def test_metrics_follow_their_definitions(case: Case) -> None:
    state = make_state(case)
    pairs = make_pairs(state, [20, 11, 30] * 5)
    got = nl.evaluate(state, pairs)
    outputs, y = columns(state, pairs)
    if case.kind == "regression":
        y = y.reshape(outputs.shape)
        expected = {"mse": ((outputs - y) ** 2).mean(), "mae": np.abs(outputs - y).mean()}
        expected["pearson"] = np.mean([np.corrcoef(outputs[:, k], y[:, k])[0, 1] for k in range(y.shape[1])])
        assert got["loss"] == pytest.approx(got["mse"], rel=1e-5)
    elif case.kind == "multiclass":
        found, y = outputs.argmax(1), y.reshape(-1)
        expected = {
            "accuracy": (found == y).mean(),
            "f1_macro": np.mean([f1(found == k, y == k) for k in range(3)]),
            "auroc": np.mean([rank_auroc(outputs[:, k], y == k) for k in range(3)]),
        }
    else:
        y = y.reshape(outputs.shape)
        found = outputs > 0.5
        both = [False, True] if case.kind == "binary" else [True]
        expected = {
            "accuracy": (found == (y == 1)).mean(),
            "f1_macro": np.mean([f1(found[:, k] == b, (y[:, k] == 1) == b) for b in both for k in range(y.shape[1])]),
            "auroc": np.mean([rank_auroc(outputs[:, k], y[:, k]) for k in range(y.shape[1])]),
        }
    for name, value in expected.items():
        assert got[name] == pytest.approx(value, rel=1e-3, abs=1e-4, nan_ok=True), name


def test_metrics_of_one_output_are_those_of_the_column() -> None:
    state = make_state(Case("GRUED", "regression"), n_features=1)
    pairs = make_pairs(state, [20, 11, 30, 1])
    outputs, y = (side[:, 0] for side in columns(state, pairs))
    for batch_size in (1, 4):
        got = nl.evaluate(state, pairs, batch_size=batch_size)
        assert got["mse"] == pytest.approx(((outputs - y) ** 2).mean(), rel=1e-3)
        assert got["mae"] == pytest.approx(np.abs(outputs - y).mean(), rel=1e-3)
        assert got["pearson"] == pytest.approx(np.corrcoef(outputs, y)[0, 1], rel=1e-3)


def test_auroc_of_one_class_alone_is_nan_not_a_number_that_misleads() -> None:
    state = make_state(Case("GRUseq2seq", "binary"))
    measured = nl.evaluate(state, [(x, np.zeros_like(y)) for x, y in make_pairs(state, LENGTHS)])
    assert math.isnan(measured["auroc"]) and not math.isnan(measured["accuracy"])


def test_evaluation_leaves_grad_mode_and_generators_alone() -> None:
    state = make_state(Case("GRUseq2seq", "binary"), dropout=0.5)
    before = torch.get_rng_state()
    first = nl.evaluate(state, make_pairs(state, LENGTHS))
    assert first == nl.evaluate(state, make_pairs(state, LENGTHS))
    assert torch.equal(before, torch.get_rng_state()) and torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize(
    ("options", "words"), [({"output": "probs"}, "output='probs'"), ({"batch_size": 0}, "batch_size=0")]
)
def test_a_wrong_option_is_named(options: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        nl.predict(make_state(Case("GRUseq2seq", "binary")), [np.zeros((3, 2))], **options)


def test_what_changed_within_a_state_is_noticed_at_the_next_call() -> None:
    state, x = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1, task="regression"), np.arange(20.0)[:, None]
    (before,) = nl.predict(state, [x])
    state["weights"]["fc_out.bias"] += 1
    np.testing.assert_allclose(nl.predict(state, [x])[0], before + 1, rtol=1e-5)
    state["preprocessing"]["normalization"] = "zscore"
    (normalized,) = nl.predict(state, [x])
    assert np.abs(normalized - before - 1).max() > 1e-3
    state["preprocessing"]["fold"] = 2
    with pytest.raises(ValueError, match="do not match the hyperparameters"):
        nl.predict(state, [x])
    state["preprocessing"]["fold"] = None
    state["hparams"]["hid_dim"] = [5]
    with pytest.raises(ValueError, match="do not match the hyperparameters"):
        nl.predict(state, [x])
    state["hparams"]["hid_dim"] = [4]
    np.testing.assert_array_equal(nl.predict(state, [x])[0], normalized)
    state["weights"]["fc_out.bias"].data = torch.zeros(2)
    with pytest.raises(ValueError, match=r"fc_out.bias \(2,\) \(expected \(1,\)\)"):
        nl.predict(state, [x])


def made_folder(directory: Path, order: str, unit: str, rate: float) -> Path:
    """Recordings of channels A, B and C, in an order, a unit and at a rate of their own, which are the same signals."""
    t, size = np.arange(round(20 * rate)) / rate, {"mV": 1, "uV": 1000}[unit]
    waves = {name: np.sin(2 * np.pi * (i + 1) * t) + i for i, name in enumerate("ABC")}
    recordings = [
        {"name": name, "signal": (k + 1) * size * np.stack([waves[channel] for channel in order], 1),
         "sampling_frequency": rate, "channels": list(order), "units": [unit] * 3,
         "events": {"sample": [0], "symbol": [["rest", "fist"][k % 2]], "duration": [20.0]}}
        for k, name in enumerate("abcd")
    ]  # fmt: skip
    target = functools.partial(nl.interval_target, classes=["rest", "fist"])
    options: dict[str, Any] = {"window": 5, "val": ["b"], "test": ["a", "d"], "enable_progress_bar": False}
    return nl.make_dataset(recordings, directory, target=target, **options)


def part_of(made: Path, part: str = "test") -> nl.SignalFolder:
    return nl.open_folder(made / "x", made / "y", part)


def knowing(**known: Any) -> nl.State:
    state = nl.gru_seq2seq(n_features=3, hid_dim=4, n_layers=1, num_classes=2)
    return {**state, "preprocessing": {**state["preprocessing"], **known}}  # type: ignore[typeddict-item]


STATE = knowing(channels=[*"ABC"], units=["mV"] * 3, sampling_frequency=100.0)


def all_tests(state: nl.State, folder: Any, paths: tuple[Path, Path], **said: Any) -> dict[str, Any]:
    """What every function that tests a state says of a folder."""
    return {
        "evaluate": list(nl.evaluate(state, folder, **said).values()),
        "predict": nl.predict(state, folder, **said),
        "iter_predict": list(nl.iter_predict(state, folder, **said)),
        "confusion_matrix": nl.confusion_matrix(state, folder, **said),
        "test_on_test_set": nl.test_on_test_set(state, *paths, **said)[0],
    }


def assert_alike(one: dict[str, Any], other: dict[str, Any], rtol: float = 1e-5) -> None:
    for name, values in one.items():
        np.testing.assert_allclose(other[name], values, rtol=rtol, atol=1e-6, err_msg=name)


@pytest.mark.filterwarnings("ignore:channels are B, C, A", "ignore:units are uV, uV, uV")
def test_testing_takes_from_a_folders_manifest_what_training_does(tmp_path: Path) -> None:
    own = made_folder(tmp_path / "own", "ABC", "mV", 100)
    other = made_folder(tmp_path / "other", "BCA", "uV", 100)
    expected = all_tests(STATE, part_of(own), (own / "x", own / "y"))
    assert_alike(expected, all_tests(STATE, part_of(other), (other / "x", other / "y")))
    prepared = [nl.prepare(STATE, part_of(made))[0][0] for made in (own, other)]
    torch.testing.assert_close(*prepared)
    faster = made_folder(tmp_path / "faster", "BCA", "uV", 200)
    told = all_tests(STATE, part_of(faster), (faster / "x", faster / "y"))
    assert_alike(told, all_tests(STATE, list(part_of(faster)), (faster / "x", faster / "y"), sampling_frequency=200.0,
                                 channels=[*"BCA"], units="uV"))  # fmt: skip
    assert len(told["predict"][0]) == 1000 and told["confusion_matrix"].sum() == 8000
    np.testing.assert_allclose(told["predict"][0][100:-100:2], expected["predict"][0][50:-50], atol=0.02)
    with pytest.raises(ValueError, match="^data are of 200 Hz, as the manifest of their folder says; expected 100 Hz"):
        nl.prepare(STATE, part_of(faster))


def test_what_is_told_of_a_folder_goes_before_its_manifest(tmp_path: Path) -> None:
    made = made_folder(tmp_path, "BCA", "uV", 200)
    said: dict[str, Any] = {"sampling_frequency": 100.0, "channels": [*"ABC"], "units": "mV"}
    paths = made / "x", made / "y"
    as_told = all_tests(STATE, part_of(made), paths, **said)
    assert_alike(as_told, all_tests(knowing(), list(part_of(made)), paths))


def test_a_state_that_knows_nothing_takes_a_made_folder_as_it_comes(tmp_path: Path) -> None:
    made = made_folder(tmp_path, "BCA", "uV", 200)
    assert nl.evaluate(knowing(), part_of(made)) == nl.evaluate(knowing(), list(part_of(made)))
    with pytest.raises(ValueError, match="the state does not know at which frequency"):
        nl.evaluate(knowing(), part_of(made), sampling_frequency=200.0)


def test_what_does_not_fit_a_made_folder_is_refused_unless_it_is_told_otherwise(tmp_path: Path) -> None:
    folder = part_of(made_folder(tmp_path, "BCA", "uV", 100))
    state = knowing(channels=[*"ABD"])
    with pytest.raises(ValueError, match="channels lacks D: the state was trained on A, B, D, given are B, C, A"):
        nl.evaluate(state, folder)
    assert nl.evaluate(state, folder, channels=[*"ABD"]) == nl.evaluate(state, list(folder))
