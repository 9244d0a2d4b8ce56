"""Retraining: what is taken from the source, and what from the state that is given beside it."""

import copy
import inspect
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import QUIET, Case, data, make_state, same_weights, write_folders

import neurallib as nl
from neurallib.architectures import ARCHITECTURES
from neurallib.state import new_preprocessing

GRU = Case("GRUseq2seq", "regression")
NAMED = {"dataset_name": "made up", "trained_for": "a test", **QUIET}
each_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES)


def trained(state: nl.State, **options: Any) -> nl.State:
    return nl.train(state, data(state), data(state, 3), epochs=1, batch_size=4, save=True, **QUIET, **options)


def retrain(state: nl.State | None, source: nl.State, tmp_path: Path, **options: Any) -> nl.State:
    if not (tmp_path / "data").exists():
        for side in write_folders(tmp_path / "data", source):  # what is trained on, so that one epoch is enough to gain
            shutil.copytree(side / "train", side / "val", dirs_exist_ok=True)
    return nl.retrain(
        state, tmp_path / "data" / "x", tmp_path / "data" / "y", 3, 4, 1,
        checkpoints_directory=source["training_info"]["checkpoints_directory"], **NAMED, **options,
    )  # fmt: skip


def unmoved(a: nl.State, b: nl.State) -> set[str]:
    """The layers whose weights are bitwise the same in both; biases of zeros may stay by themselves."""
    equal = {name: torch.equal(weight, b["weights"][name]) for name, weight in a["weights"].items()}
    layers = {name.rpartition(".")[0] for name in equal}
    return {layer for layer in layers if all(equal[name] for name in equal if name.rpartition(".")[0] == layer)}


@each_architecture
def test_what_a_given_state_freezes_stays_as_it_is_in_the_source(architecture: str, tmp_path: Path) -> None:
    case = Case(architecture, "regression")
    source = trained(make_state(case))
    layer = next(iter(source["weights"])).rpartition(".")[0]
    again = retrain(nl.freeze(make_state(case, seed=7), layer), source, tmp_path)
    assert unmoved(again, source) == {layer} and again["frozen"] == [layer]
    assert nl.load_checkpoint(again["training_info"]["checkpoints_directory"])["frozen"] == [layer]


def test_what_the_source_froze_stays_frozen_unless_the_given_state_freezes_something(tmp_path: Path) -> None:
    source = trained(nl.freeze(make_state(GRU), "fc_out"))
    for state in (None, make_state(GRU, seed=7)):
        again = retrain(state, source, tmp_path)
        assert unmoved(again, source) == {"fc_out"} and again["frozen"] == ["fc_out"]
    again = retrain(nl.freeze(make_state(GRU), "gru_layers.1"), source, tmp_path)
    assert unmoved(again, source) == {"gru_layers.1"} and again["frozen"] == ["gru_layers.1"]


@pytest.mark.parametrize("given", [False, True])
def test_sampling_frequency_and_normalization_go_on(given: bool, tmp_path: Path) -> None:
    source = trained(make_state(GRU), sampling_frequency=250, normalization="zscore", target_normalization=None)
    kept = copy.deepcopy(source["preprocessing"])
    assert kept == new_preprocessing({"sampling_frequency": 250.0, "normalization": "zscore"})
    state = make_state(GRU) if given else None
    again = retrain(state, source, tmp_path)
    assert again["preprocessing"] == kept
    saved = nl.load_checkpoint(again["training_info"]["checkpoints_directory"])
    assert saved["preprocessing"] == again["preprocessing"]
    with pytest.warns(UserWarning) as told:
        other = retrain(state, source, tmp_path, sampling_frequency=100, normalization="minmax")
    assert other["preprocessing"] == new_preprocessing({"sampling_frequency": 100.0, "normalization": "minmax"})
    words = [str(warning.message) for warning in told]
    assert any("changes from 250 to 100 Hz: what it learnt at 250 Hz fits no longer" in text for text in words)
    assert any("normalization changes from 'zscore' to 'minmax'" in text for text in words)
    assert source["preprocessing"] == kept


def test_training_on_in_memory_keeps_them_too() -> None:
    source = trained(make_state(GRU), sampling_frequency=250, normalization="zscore")
    again = nl.train(source, data(source), data(source, 3), epochs=1, batch_size=4, **QUIET)
    assert again["preprocessing"] == source["preprocessing"]
    assert again["training_info"]["training_history"] == source["training_info"]
    state = make_state(GRU)
    state["preprocessing"]["sampling_frequency"] = 250.0
    with pytest.warns(UserWarning, match="changes from 250 to 100 Hz.$"):  # nothing was learnt
        nl.train(state, data(state), data(state), epochs=1, batch_size=4, sampling_frequency=100, dry_run=True, **QUIET)


@pytest.mark.filterwarnings("ignore:retraining never beat its source")
def test_hyperparameters_are_those_of_the_given_state_and_weights_those_of_the_source(tmp_path: Path) -> None:
    source = trained(make_state(GRU, learning_rate=0.01, dropout=0.0))
    given = make_state(GRU, learning_rate=1e-12, dropout=0.5, seed=7, model_name="Other")
    again = retrain(given, source, tmp_path)
    assert again["hparams"] == given["hparams"]
    for name, weight in source["weights"].items():
        torch.testing.assert_close(again["weights"][name], weight)
    assert Path(again["training_info"]["checkpoints_directory"]).parts[-3] == "Other"


def test_the_sources_weights_come_back_where_no_epoch_beats_them(tmp_path: Path) -> None:
    source = trained(make_state(GRU))
    with pytest.warns(UserWarning, match="retraining never beat its source: .* The source's weights are what comes"):
        again = retrain(make_state(GRU, learning_rate=1e3, dropout=0.5, seed=7), source, tmp_path)
    assert same_weights(again, source) and again["training_info"]["best_epoch"] == 0
    info, folder = again["training_info"], tmp_path / "data"
    measured = nl.evaluate(again, nl.open_folder(folder / "x", folder / "y", "val"))["loss"]
    assert info["validation_loss"] == pytest.approx(measured, rel=1e-6)
    assert info["validation_loss"] <= min(info["val_losses"])
    assert same_weights(nl.load_checkpoint(info["checkpoints_directory"]), source)


def test_retraining_that_beats_its_source_keeps_what_it_learnt(tmp_path: Path) -> None:
    source = trained(make_state(GRU, learning_rate=1e-12))
    again = retrain(make_state(GRU, learning_rate=0.01), source, tmp_path)
    assert not same_weights(again, source) and again["training_info"]["best_epoch"] == 1


def test_a_first_training_is_measured_against_nothing_and_so_is_one_that_validates_on_a_part() -> None:
    state = make_state(GRU, learning_rate=1e3)
    first = nl.train(state, data(state), data(state, 3), epochs=1, batch_size=4, **QUIET)
    assert not same_weights(first, state)
    hard = [(x, y + 100 * (i == 0)) for i, (x, y) in enumerate(data(state, 3))]  # of which epochs see the first
    options: dict[str, Any] = {"epochs": 1, "batch_size": 1, "limit_val_batches": 1, **QUIET}
    assert nl.train(first, data(state), hard, **options)["training_info"]["best_epoch"] == 1


def test_what_a_given_state_says_is_taken_where_its_source_says_nothing(tmp_path: Path) -> None:
    source = trained(make_state(GRU), normalization=None, target_normalization=None)
    steps = [{"name": "highpass", "frequency": 0.5}]
    state = nl.load_checkpoint(source["training_info"]["checkpoints_directory"])
    state["preprocessing"].update(normalization="minmax", sampling_frequency=250, steps=steps)
    state["postprocessing"]["outputs"] = ["a", "b"]
    kept = copy.deepcopy(state)
    again = retrain(state, source, tmp_path)
    assert again["preprocessing"] == state["preprocessing"] == kept["preprocessing"]
    assert again["postprocessing"] == kept["postprocessing"]
    assert again["preprocessing"]["steps"] is not steps


@pytest.mark.parametrize(
    ("name", "said"),
    [("normalization", "minmax"), ("sampling_frequency", 100.0), ("residual", True), ("x_scale", [3, 3])],
)
def test_a_given_state_that_contradicts_its_source_is_refused(name: str, said: Any, tmp_path: Path) -> None:
    way = "; what is to change is an argument of retrain" if name in inspect.signature(nl.retrain).parameters else ""
    source = trained(make_state(GRU), normalization="dataset", sampling_frequency=250)
    state = copy.deepcopy(source)
    assert retrain(state, source, tmp_path)["preprocessing"] == source["preprocessing"]
    state["preprocessing"][name] = said  # type: ignore[literal-required]
    with pytest.raises(ValueError, match=rf"state\['preprocessing'\]\['{name}'\]=.*, its source's .* state{way}."):
        retrain(state, source, tmp_path)


def test_events_of_a_given_state_come_before_its_sources_with_a_warning(tmp_path: Path) -> None:
    source = trained(make_state(Case("GRUseq2seq", "binary")))
    directory = source["training_info"]["checkpoints_directory"]
    source["postprocessing"]["events"] = {"threshold": 0.5}
    nl.save_checkpoint(source, directory)
    state = nl.load_checkpoint(directory)
    state["postprocessing"]["events"] = {"threshold": 0.25}
    with pytest.warns(UserWarning, match="events of the state are taken, {'threshold': 0.25}; its source's are .*0.5"):
        again = retrain(state, source, tmp_path)
    assert again["postprocessing"]["events"] == {"threshold": 0.25}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n_layers": 3, "hid_dim": 4, "dropout": 0.0}, r"bidir_per_layer=\[False, False\] has 2 values; .*n_layers=3"),
        ({"bidirectional": True}, r"\['bidirectional'\]=True, its source's is False: .*bidir_per_layer=\[False, "),
    ],
)
def test_hyperparameters_that_the_sources_weights_do_not_have_are_told(
    changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    source = trained(make_state(GRU, bidir_per_layer=[False, False]))
    with pytest.raises(ValueError, match=words):
        retrain({**source, "hparams": source["hparams"] | changes}, source, tmp_path)
