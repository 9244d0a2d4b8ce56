"""A directory that held another model: nothing in it tells of that one without a word."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from cases import QUIET, Case, data, make_state, same_weights

import neurallib as nl
from neurallib.storage.hub import _write_repository

GRU = Case("GRUseq2seq", "binary")
OTHER = "held other weights: its README.md, loss_plot.png may tell of those. save_model_card"


def trained(**options: Any) -> nl.State:
    state = make_state(GRU)
    return nl.train(state, data(state), data(state, 3), epochs=1, batch_size=4, **QUIET, **options)


def contents(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.fixture
def run() -> Path:
    return Path(trained(save=True)["training_info"]["checkpoints_directory"])


@pytest.mark.parametrize("killed", [False, True])
def test_a_runs_directory_takes_no_other_model(killed: bool, run: Path) -> None:
    if killed:  # before its first epoch ended
        for path in (*run.glob("model_weights.*"), *run.glob("*.ckpt")):
            path.unlink()
    before = contents(run)
    with pytest.raises(ValueError, match=f"{run.name} is of a run with other weights .*run.json.* another directory"):
        nl.save_checkpoint(make_state(GRU, seed=7), run)
    assert contents(run) == before


def test_a_runs_own_model_is_saved_again_with_what_was_changed_of_it(run: Path) -> None:
    state = nl.load_checkpoint(run)
    before = contents(run)
    state["postprocessing"]["events"] = {"threshold": 0.25}
    state["hparams"]["learning_rate"] = 0.5
    nl.save_checkpoint(state, run)
    assert nl.load_checkpoint(run)["postprocessing"]["events"] == {"threshold": 0.25}
    assert nl.get_hparams_from_checkpoints(run)["learning_rate"] == 0.5
    changed = {path.name for path, content in contents(run).items() if before.get(path) != content}
    assert changed - {"model_weights.pth"} == {"preprocessing.json", "hparams.yaml"}  # torch.save is not bytewise


def test_what_a_run_could_not_write_can_be_saved_into_its_directory(run: Path) -> None:
    state = nl.load_checkpoint(run)
    for path in (*run.glob("model_weights.*"), *run.glob("*.ckpt")):
        path.unlink()
    assert same_weights(nl.load_checkpoint(nl.save_checkpoint(state, run)), state)


def test_a_card_and_a_plot_of_other_weights_are_told(run: Path) -> None:
    (run / "run.json").unlink()
    card = (run / "README.md").read_bytes()
    with pytest.warns(UserWarning, match=OTHER):
        nl.save_checkpoint(make_state(GRU, seed=7), run)
    assert (run / "README.md").read_bytes() == card
    (run / "model_weights.safetensors").write_bytes(b"broken")
    with pytest.warns(UserWarning, match=OTHER):
        nl.save_checkpoint(make_state(GRU), run)


def test_a_card_that_was_there_before_the_weights_is_nobody_elses(tmp_path: Path) -> None:
    state = make_state(GRU)
    nl.save_model_card(state, tmp_path)
    nl.save_checkpoint(state, tmp_path)


def test_a_card_of_other_weights_is_not_published(run: Path, tmp_path: Path) -> None:
    places = [tmp_path / str(i) for i in range(4)]
    for place in places:
        place.mkdir()
    _write_repository(run, places[0])
    other = nl.save_checkpoint(make_state(GRU, seed=7), tmp_path / "other")
    card = Path(shutil.copy(run / "README.md", other))
    with pytest.raises(ValueError, match="README.md was written for other weights .* its line weights_sha256"):
        _write_repository(other, places[1])
    assert list(places[1].iterdir()) == []
    card.write_text(re.sub("weights_sha256.*\n", "", card.read_text()))
    _write_repository(other, places[2])
    nl.save_model_card(nl.load_checkpoint(other), other)
    _write_repository(other, places[3])
