"""Scales in files: what comes back bitwise, what older files lack, and what files cannot mean."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import QUIET
from hub_client import Client
from hub_server import Hub

import neurallib as nl
from neurallib.signals.conversion import handed_to
from neurallib.state import new_preprocessing
from neurallib.storage.hub import load_from_hub, push_to_hub

KINDS = [("dataset", "dataset"), ("dataset", None), ("zscore", "signal"), ("robust", "dataset"), (None, "dataset")]
each_kind = pytest.mark.parametrize("kinds", KINDS, ids=str)


def trained(kinds: tuple[str | None, str | None]) -> tuple[nl.State, list[np.ndarray]]:
    rng = np.random.default_rng(0)
    xs = [rng.normal(5, 1 / 3, (30 + i, 2)) * np.exp(rng.normal()) for i in range(4)]
    pairs = [(x, 7 * x + rng.normal(size=x.shape)) for x in xs]
    state = nl.gru_seq2seq(n_features=2, hid_dim=3, n_layers=1, task="regression")
    options: dict[str, Any] = {"normalization": kinds[0], "target_normalization": kinds[1], "sampling_frequency": 100}
    options |= {"channels": ["II", "V5"], "units": ["mV", "µV"], "epochs": 1, "batch_size": 2, **QUIET}
    return nl.train(state, pairs, pairs, **options), xs


def same_answers(a: nl.State, b: nl.State, xs: list[np.ndarray]) -> bool:
    outputs = ([*nl.predict(s, xs), *nl.predict(s, xs, sampling_frequency=150.0)] for s in (a, b))
    return all(np.array_equal(one, other) for one, other in zip(*outputs, strict=True))


@each_kind
def test_a_saved_state_gives_bitwise_the_same_answers(kinds: tuple, tmp_path: Path) -> None:
    state, xs = trained(kinds)
    state["preprocessing"]["window"] = 0.25
    directory = nl.save_checkpoint(state, tmp_path / "run")
    for lost in ("nothing", "model_weights.safetensors", "preprocessing.json"):  # training_info.json tells the last
        (directory / lost).unlink(missing_ok=True)
        again = nl.load_checkpoint(directory)
        assert again["preprocessing"] == state["preprocessing"], lost
        assert same_answers(again, state, xs), lost


@each_kind
def test_a_pushed_state_gives_bitwise_the_same_answers(kinds: tuple, hub: Hub, online: Client) -> None:
    state, xs = trained(kinds)
    name = f"owner/{kinds[0]}-{kinds[1]}"
    online(push_to_hub, state, name, token="secret")
    again = online(load_from_hub, name, token="secret")
    assert again["preprocessing"] == state["preprocessing"] and same_answers(again, state, xs)


def test_a_directory_of_an_older_version_knows_what_its_training_information_tells(tmp_path: Path) -> None:
    state = nl.gru_seq2seq(n_features=1, hid_dim=3, n_layers=1, task="regression")
    directory = nl.save_checkpoint(state, tmp_path)
    (directory / "preprocessing.json").unlink()
    info = json.loads((directory / "training_info.json").read_text())
    told = {"sampling_frequency": 360, "normalization": "minmax"}
    (directory / "training_info.json").write_text(json.dumps(info | told))
    assert nl.load_checkpoint(directory)["preprocessing"] == new_preprocessing(told)


GOOD = {"normalization": "dataset", "x_shift": [0.0], "x_scale": [1.0], "target_normalization": "dataset"}
GOOD |= {"y_shift": [0.0], "y_scale": [1.0]}


@pytest.mark.parametrize(
    ("held", "words"),
    [
        ({"x_scale": [0.0]}, "x_shift and x_scale above 0"),
        ({"x_scale": [-1.0]}, "x_shift and x_scale above 0"),
        ({"x_scale": None}, "normalization='dataset' without finite x_shift"),
        ({"x_shift": [float("nan")]}, "without finite x_shift"),
        ({"x_shift": [float("inf")]}, "without finite x_shift"),
        ({"x_shift": ["0"]}, "without finite x_shift"),
        ({"y_scale": 1.0}, "target_normalization='dataset' without finite y_shift"),
        ({"y_scale": [True]}, "without finite y_shift"),
        ({"target_normalization": "signal", "y_shift": None}, "target_normalization='signal' without finite y_shift"),
    ],
)
def test_a_file_with_numbers_that_would_spoil_every_answer_is_refused(held: dict, words: str, tmp_path: Path) -> None:
    state = nl.gru_seq2seq(n_features=1, hid_dim=3, n_layers=1, task="regression")
    directory = nl.save_checkpoint(state, tmp_path)
    (directory / "preprocessing.json").write_text(json.dumps({"preprocessing": GOOD | held}))
    with pytest.raises(ValueError, match=f"preprocessing.json has .*{words}"):
        nl.load_checkpoint(directory)


LONG = '{"preprocessing": {"window": 1' + 400 * "0" + "}}"


NONE = [LONG, '{"preprocessing": [1]}', "[]", '{"preprocessing": {"x_', '{"preprocessing": "raw"}']


@pytest.mark.parametrize("text", NONE)
def test_a_file_that_is_none_is_named(text: str, tmp_path: Path) -> None:
    directory = nl.save_checkpoint(nl.gru_seq2seq(n_features=1, hid_dim=3, n_layers=1), tmp_path)
    (directory / "preprocessing.json").write_text(text)
    with pytest.raises(ValueError, match="preprocessing.json"):
        nl.load_checkpoint(directory)


@pytest.mark.parametrize(
    "held",
    [
        {"sampling_frequency": -1, "window": 0, "fold": True, "target_offset": "yes"},
        {"sampling_frequency": "fast", "window": "long", "channels": "II", "units": 3, "fold": 1.5},
        {"channels": [["II"]], "units": [None], "x_shift": 1, "flavour": "vanilla"},
        {"sampling_frequency": float("nan"), "window": float("inf"), "channels": {"a": 1}, "steps": 1},
    ],
    ids=str,
)
def test_what_a_file_cannot_mean_is_not_known(held: dict, tmp_path: Path) -> None:
    directory = nl.save_checkpoint(nl.gru_seq2seq(n_features=1, hid_dim=3, n_layers=1), tmp_path)
    (directory / "preprocessing.json").write_text(json.dumps({"preprocessing": held}))
    state = nl.load_checkpoint(directory)
    assert state["preprocessing"] == new_preprocessing()
    assert nl.predict(state, [np.ones((5, 1))], units="mV", channels=["II"])[0].shape == (5, 1)


def test_normalizations_that_a_file_names_and_nobody_knows_are_told(tmp_path: Path) -> None:
    directory = nl.save_checkpoint(nl.gru_seq2seq(n_features=1, hid_dim=3, n_layers=1, task="regression"), tmp_path)
    held = {"normalization": ["zscore"], "target_normalization": "zscore"}
    (directory / "preprocessing.json").write_text(json.dumps({"preprocessing": held}))
    with pytest.warns(UserWarning) as told:
        state = nl.load_checkpoint(directory)
    assert [str(warning.message).partition(" has ")[2] for warning in told] == [
        "normalization=['zscore'], none of minmax, zscore, robust, block, dataset: values are taken as they are.",
        "target_normalization='zscore', none of dataset, signal: values are taken as they are.",
    ]
    assert state["preprocessing"] == new_preprocessing()


def test_scales_of_another_model_are_named_when_they_are_used(tmp_path: Path) -> None:
    state = nl.gru_seq2seq(n_features=2, hid_dim=3, n_layers=1, task="regression")
    directory = nl.save_checkpoint(state, tmp_path)
    (directory / "preprocessing.json").write_text(json.dumps({"preprocessing": GOOD}))
    with pytest.raises(ValueError, match=r"x_shift=\[0.0\] and x_scale=\[1.0\]; expected 2 numbers"):
        nl.predict(nl.load_checkpoint(directory), [np.ones((5, 2))])
    (directory / "preprocessing.json").write_text(json.dumps({"preprocessing": {"channels": ["a", "b", "c"]}}))
    with pytest.raises(ValueError, match=r"'channels'\] is \['a', 'b', 'c'\]; expected one for each of 2"):
        nl.predict(nl.load_checkpoint(directory), [np.ones((5, 2))], channels=["a", "b"])


def test_a_window_beyond_all_numbers_is_as_long_as_any_signal() -> None:
    state = nl.gru_seq2seq(n_features=1, hid_dim=3, n_layers=1)
    state["preprocessing"] |= {"window": 1e308, "sampling_frequency": 1e6}
    assert (handed_to(state).window or 0) > 10**12
    assert nl.predict(state, [np.ones((5, 1))])[0].shape == (5, 1)
