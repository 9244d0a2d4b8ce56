"""Files of one's own: what lies elsewhere or is private is not published, what was half written is not read."""

import contextlib
import errno
import json
import os
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest
import torch
from cases import Case, make_state, same_weights

import neurallib as nl
from neurallib.files import atomic_write, sweep
from neurallib.search.trials import TrialResult, write_leaderboard
from neurallib.storage.hub import _write_repository
from neurallib.weight_files import different_weights

GRU = Case("GRUseq2seq", "binary")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return nl.save_checkpoint(make_state(GRU), tmp_path / "run")


@pytest.mark.parametrize("name", ["model_weights.safetensors", "README.md", "loss_plot.png", "training_info.json"])
def test_what_lies_elsewhere_is_not_published(name: str, saved: Path, tmp_path: Path) -> None:
    (tmp_path / "push").mkdir()
    secret = tmp_path / "secret"
    (saved / name).rename(secret) if (saved / name).exists() else secret.write_text("mine")
    (saved / name).symlink_to(secret)
    with pytest.raises(ValueError, match=f"{name} is a link to .*secret, outside"):
        _write_repository(saved, tmp_path / "push")
    assert list((tmp_path / "push").iterdir()) == []


def test_what_a_link_finds_in_the_directory_itself_is_published(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "push").mkdir()
    (saved / "model_weights.safetensors").rename(saved / "weights.safetensors")
    (saved / "model_weights.safetensors").symlink_to("weights.safetensors")
    _write_repository(saved, tmp_path / "push")
    assert same_weights(nl.load_checkpoint(tmp_path / "push"), nl.load_checkpoint(saved))


def test_training_information_of_ones_own_is_not_published(tmp_path: Path) -> None:
    state = nl.train(
        make_state(GRU), *[[(np.ones((9, 2)), np.ones((9, 1)))] * 2] * 2, epochs=1, batch_size=2, patience=1,
        enable_progress_bar=False,
    )  # fmt: skip
    info = state["training_info"]
    own = {**info, "patient": "X", "training_history": {**info, "token": "Y"}}
    with pytest.warns(UserWarning, match="training_info holds patient, token of your own: not published"):
        _write_repository({**state, "training_info": own}, tmp_path)
    there = json.loads((tmp_path / "training_info.json").read_text())
    assert there.keys() >= info.keys() - {"checkpoints_directory"}
    assert "token" not in there["training_history"]


def test_a_record_whose_model_lies_outside_the_results_counts_as_not_done(saved: Path, tmp_path: Path) -> None:
    search = tmp_path / "results" / "model" / "grid_search"
    search.mkdir(parents=True)
    record = dict.fromkeys(TrialResult.__annotations__, None) | {"trial": "a", "hparams": {}, "status": "finished"}
    (search / "a.json").write_text(json.dumps(record | {"checkpoints_directory": str(saved)}))
    with pytest.warns(UserWarning, match="a.json is no record of a trial .*outside"):
        write_leaderboard(search / "leaderboard.csv", [], [])


def test_what_a_killed_process_was_writing_is_swept_and_never_read(saved: Path) -> None:
    left = saved / ".best.abcd.writing"
    left.write_bytes(b"half")
    with atomic_write(saved / "notes.json") as live:
        for path in (left, live):
            os.utime(path, (0, 0))
        sweep(saved)
        assert live.exists() and not left.exists()
    young = saved / ".last.abcd.writing"
    young.write_bytes(b"just made, and not locked yet")
    sweep(saved)
    assert young.exists() and not list(saved.glob("*.ckpt"))


def test_two_files_of_weights_that_disagree_are_told_with_the_newer(tmp_path: Path) -> None:
    one, other = (nl.save_checkpoint(make_state(GRU, seed=seed), tmp_path / str(seed)) for seed in (0, 1))
    shutil.copy(other / "model_weights.pth", one)
    os.utime(one / "model_weights.safetensors", (0, 0))
    with pytest.raises(ValueError, match="weights.pth and model_weights.safetensors do not hold the same .* newer"):
        nl.load_checkpoint(one)
    (one / "model_weights.safetensors").unlink()
    assert same_weights(nl.load_checkpoint(one), nl.load_checkpoint(other))


def test_weights_are_the_same_by_their_names_and_numbers_whatever_holds_them() -> None:
    whole, half = {"a": torch.ones(2), "b": torch.ones(1)}, {"a": torch.ones(2).half(), "b": torch.ones(1).half()}
    assert different_weights(whole, half) == [] and different_weights(whole, whole | {"a": torch.zeros(2)}) == ["a"]
    assert different_weights({"a": whole["a"]}, whole) == different_weights(whole, {"a": whole["a"]}) == ["b"]


def test_a_file_is_synced_before_it_takes_its_place_and_its_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the system can do that: some folders cannot be synced, and what fails otherwise is told."""
    replace = os.replace
    for failing, told in ((None, False), (errno.EINVAL, False), (errno.EIO, True)):
        done: list[str] = []

        def fsync(descriptor: int, done: list[str] = done, failing: int | None = failing) -> None:
            done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
            if failing and done[-1] == "folder":
                raise OSError(failing, "cannot")

        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(os, "replace", lambda *paths, done=done: (done.append("place"), replace(*paths)))
        with pytest.raises(OSError) if told else contextlib.nullcontext():
            with atomic_write(tmp_path / "a") as temporary:
                temporary.write_text("a")
        assert done == ["file", "place", "folder"]


def test_a_card_of_other_weights_does_not_go_along(saved: Path, tmp_path: Path) -> None:
    nl.save_model_card(make_state(GRU, seed=7), saved)
    with pytest.raises(ValueError, match="README.md was written for other weights than those beside it"):
        _write_repository(saved, tmp_path)
