"""Files of every format that there was are read; those of a later one are refused by one clear error."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from kept_files import KEPT, QUIET, RATE, TOLD, write_dataset

import neurallib as nl
from neurallib.architectures import ARCHITECTURES
from neurallib.formats import CHECKPOINT, DATASET, STREAM
from neurallib.signals.normalization import TARGET_NORMALIZATIONS

FORMATS = sorted(KEPT.glob("format_*"))
DIRECTORIES = sorted(path.parent for path in KEPT.glob("*/*/hparams.yaml"))
MODELS = [path for path in DIRECTORIES if (path / "answers.npz").is_file() and path.name != "stream"]
NEWEST = [path for path in DIRECTORIES if path.parent.name == f"format_{CHECKPOINT}"]

each_format = pytest.mark.parametrize("kept", FORMATS, ids=lambda path: path.name)


def answers(directory: Path) -> dict[str, np.ndarray]:
    with np.load(directory / "answers.npz") as held:
        return dict(held)


def numbered(directory: Path, name: str, key: str, number: Any) -> Path:
    """The directory, whose file says that it is of a format."""
    held = json.loads((directory / name).read_text())
    (directory / name).write_text(json.dumps(held | {key: number}))
    return directory


@pytest.mark.parametrize("kept", MODELS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_a_directory_of_any_format_answers_as_it_did_when_it_was_written(kept: Path) -> None:
    state, held = nl.load_checkpoint(kept), answers(kept)
    signals, targets, outputs = (
        [held[f"{side}_{i}"] for i in range(2) if f"{side}_{i}" in held] for side in ("x", "y", "output")
    )
    for output, expected in zip(nl.predict(state, signals), outputs, strict=True):
        np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-6)
    loss = nl.evaluate(state, list(zip(signals, targets, strict=True)))["loss"]
    np.testing.assert_allclose(loss, held["loss"], rtol=1e-5)


@pytest.mark.parametrize("kept", DIRECTORIES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_a_format_is_of_the_files_and_no_part_of_a_state(kept: Path, tmp_path: Path) -> None:
    number = json.loads((kept / "training_info.json").read_text()).get("checkpoint_format", 1)
    assert kept.parent.name in (f"format_{number}", "original")
    state = nl.load_checkpoint(kept)
    assert "checkpoint_format" not in state["training_info"]
    again = json.loads((nl.save_checkpoint(state, tmp_path) / "training_info.json").read_text())
    assert again["checkpoint_format"] == CHECKPOINT


def test_every_format_is_kept_and_the_newest_with_all_that_a_state_can_hold() -> None:
    assert [path.name for path in FORMATS] == [f"format_{number}" for number in range(1, CHECKPOINT + 1)]
    states = [nl.load_checkpoint(path) for path in NEWEST]
    assert {state["architecture"] for state in states} == set(ARCHITECTURES)
    before = [state["preprocessing"] for state in states]
    assert {known["target_normalization"] for known in before} == {None, *TARGET_NORMALIZATIONS}
    for name in nl.State.__annotations__:
        assert any(state[name] for state in states), name  # type: ignore[literal-required]
    for name in before[0]:
        assert any(known[name] is not None for known in before), name  # type: ignore[literal-required]
    for name in ("outputs", "events"):
        assert any(state["postprocessing"][name] for state in states), name  # type: ignore[literal-required]


@each_format
def test_lightnings_checkpoints_of_any_format_hold_the_same_weights(kept: Path, tmp_path: Path) -> None:
    state = nl.load_checkpoint(kept / "run")
    copy = Path(shutil.copytree(kept / "run", tmp_path / "run"))
    for path in copy.glob("model_weights.*"):
        path.unlink()
    again = nl.load_checkpoint(copy)
    assert all(torch.equal(again["weights"][name], weight) for name, weight in state["weights"].items())


@each_format
def test_a_run_of_any_format_is_retrained_on_a_data_set_of_its_time(kept: Path, results: Path) -> None:
    before = nl.load_checkpoint(kept / "retraining")
    after = nl.retrain(
        None, kept / "dataset/x", kept / "dataset/y", batch_size=2, epochs=1,
        checkpoints_directory=kept / "retraining", **TOLD, **QUIET,
    )  # fmt: skip
    history = after["training_info"]["training_history"]
    assert history == before["training_info"] and history["training_history"]["retraining"] is False
    assert after["preprocessing"] == before["preprocessing"]
    assert after["preprocessing"]["sampling_frequency"] == RATE and after["preprocessing"]["window"] == 3.0


@each_format
def test_a_data_set_of_any_format_says_what_its_signals_are_and_is_gone_on_with(kept: Path, tmp_path: Path) -> None:
    dataset = Path(shutil.copytree(kept / "dataset", tmp_path / "dataset"))
    state = nl.gru_seq2seq(n_features=1, hid_dim=2, n_layers=1)
    state = nl.train_from_scratch(state, dataset / "x", dataset / "y", epochs=1, dry_run=True, **TOLD, **QUIET)
    known = state["preprocessing"]
    assert (known["sampling_frequency"], known["channels"], known["units"]) == (RATE, ["MLII"], ["mV"])
    before = {path.relative_to(dataset): path.read_bytes() for path in dataset.rglob("*.npy")}
    write_dataset(dataset)
    assert {path.relative_to(dataset): path.read_bytes() for path in dataset.rglob("*.npy")} == before
    assert json.loads((dataset / "manifest.json").read_text())["format"] == DATASET


@each_format
def test_a_stream_of_any_format_goes_on(kept: Path) -> None:
    network = nl.build_network(nl.load_checkpoint(kept / "stream")).eval()
    carry, held = torch.load(kept / "stream/carry.pt", weights_only=True), answers(kept / "stream")
    output, carry = nl.stream_step(network, held["chunk"], carry)
    np.testing.assert_allclose(output, held["output"], rtol=1e-5, atol=1e-6)
    assert carry["events"]["found"][0].tolist() == held["found"].tolist()


@pytest.mark.parametrize(
    "read",
    [
        nl.load_checkpoint,
        nl.get_weights_and_info_from_checkpoints,
        nl.get_hparams_from_checkpoints,
        lambda path: nl.retrain(None, path, path, epochs=1, checkpoints_directory=path),
        lambda path: nl.push_to_hub(path, "owner/name"),
    ],
    ids=["load", "weights", "hparams", "retrain", "push"],
)
def test_a_directory_of_a_later_format_is_refused_with_the_way_out(read: Callable[[Path], Any], tmp_path: Path) -> None:
    directory = nl.save_checkpoint(nl.gru_seq2seq(n_features=1, hid_dim=2, n_layers=1), tmp_path / "later")
    numbered(directory, "training_info.json", "checkpoint_format", CHECKPOINT + 1)
    with pytest.raises(ValueError) as error:
        read(directory)
    told = f"{directory / 'training_info.json'} is of format {CHECKPOINT + 1}, which a later version"
    assert told in str(error.value)
    assert f"reads formats 1 to {CHECKPOINT}" in str(error.value) and "pip install --upgrade" in str(error.value)


def test_a_data_set_of_a_later_format_is_refused(tmp_path: Path) -> None:
    dataset = numbered(Path(shutil.copytree(FORMATS[-1] / "dataset", tmp_path / "d")), "manifest.json", "format", 99)
    state = nl.gru_seq2seq(n_features=1, hid_dim=2, n_layers=1)
    goes_on = partial(write_dataset, dataset)
    for use in (goes_on, partial(nl.train_from_scratch, state, dataset / "x", dataset / "y", epochs=1, **TOLD)):
        with pytest.raises(ValueError, match=r"manifest\.json is of format 99.*Upgrade"):
            use()  # type: ignore[operator]


def test_a_stream_of_a_later_format_is_refused() -> None:
    state = nl.gru_seq2seq(n_features=1, hid_dim=2, n_layers=1)
    carry = nl.init_stream(state) | {"format": STREAM + 1}
    with pytest.raises(ValueError, match=rf"carry is of format {STREAM + 1}.*Upgrade"):
        nl.stream_step(nl.build_network(state).eval(), np.zeros((3, 1)), carry)


@pytest.mark.parametrize("number", [0, -1, 1.5, "2", True, None, [], "9" * 500], ids=str)
def test_a_format_that_is_no_number_is_refused_by_name(number: Any, tmp_path: Path) -> None:
    directory = nl.save_checkpoint(nl.gru_seq2seq(n_features=1, hid_dim=2, n_layers=1), tmp_path / "odd")
    numbered(directory, "training_info.json", "checkpoint_format", number)
    with pytest.raises(ValueError, match=r"training_info\.json has the format .*whole number from 1") as error:
        nl.load_checkpoint(directory)
    assert len(str(error.value)) < 400
