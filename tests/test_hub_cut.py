"""The connection to the hub is lost at any byte: what was asked for or an error, and never parts of two commits."""

from __future__ import annotations

import random
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cases import Case, make_state
from hub_client import Client
from hub_server import Hub

import neurallib as nl
from neurallib.storage.hub import load_from_hub, push_to_hub

GRU = Case("GRUseq2seq", "binary")
N_CUTS = 12


def version(number: int) -> nl.State:
    """A model that says in each of its files which one it is."""
    state = make_state(GRU, model_name=f"model {number}")
    state["weights"]["fc_out.bias"][:] = number
    state["preprocessing"]["sampling_frequency"] = float(number)
    state["postprocessing"]["outputs"] = [f"beat {number}"]
    return nl.save_training_information(state, None, "Adam", "a", "b", 0.1, 1.0, None, False, epochs=number)


def number_of(state: nl.State) -> int:
    told = {
        state["hparams"]["model_name"].removeprefix("model "), str(int(state["weights"]["fc_out.bias"][0])),
        f"{state['preprocessing']['sampling_frequency']:g}", str(state["postprocessing"]["outputs"])[7:-2],
        str(state["training_info"]["epochs"]),
    }  # fmt: skip
    assert len(told) == 1, f"parts of several versions: {told}"
    return int(told.pop())


def files(number: int, folder: Path) -> dict[str, bytes]:
    nl.save_checkpoint(version(number), folder / str(number))
    return {path.name: path.read_bytes() for path in (folder / str(number)).iterdir()}


def at_once(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """The call without huggingface_hub's pauses between its tries."""
    import time

    sleep, time.sleep = time.sleep, lambda seconds: None
    try:
        return function(*args, **options)
    finally:
        time.sleep = sleep


def cuts(total: int, boundaries: set[int]) -> list[int]:
    """Bytes after which to cut: some at random, and where one answer ends and the next begins."""
    rng = random.Random(total)
    ends = sorted(boundaries)
    return sorted({0, *rng.sample(range(total), N_CUTS), *rng.sample(ends, min(len(ends), N_CUTS))})


@pytest.fixture(autouse=True)
def cut(hub: Hub) -> Any:
    yield lambda at: setattr(hub, "last", None if at is None else hub.sent + at)
    hub.last = hub.last_taken = hub.failing_from = None
    hub.failing = 0


def answered(hub: Hub, call: Callable[[], Any]) -> tuple[int, set[int]]:
    """How many bytes answer a call, and where each request of it began."""
    start, n = hub.sent, len(hub.requests)
    positions: set[int] = set()
    hub.requests = _Noting(hub, start, positions, hub.requests)
    call()
    assert len(hub.requests) > n
    hub.requests = list(hub.requests)
    return hub.sent - start, positions


class _Noting(list):
    def __init__(self, hub: Hub, start: int, positions: set[int], before: list[Any]) -> None:
        super().__init__(before)
        self._told = hub, start, positions

    def append(self, request: Any) -> None:
        hub, start, positions = self._told
        positions.add(hub.sent - start)
        super().append(request)


def of_any_commit(repo_id: str) -> Any:
    """What is loaded without a word of the commit that it is of, where the newest is not whole."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".* is read as of commit")
        return load_from_hub(repo_id)


def test_a_pull_into_the_cache_that_is_cut_at_any_byte(
    hub: Hub, online: Client, offline: Client, home: Path, cut: Any, tmp_path: Path
) -> None:
    repository = hub.add("owner/Cut", files(1, tmp_path))
    online(load_from_hub, "owner/Cut")
    shutil.copytree(home / "hub", tmp_path / "hub", symlinks=True)
    repository.commit(files(2, tmp_path))
    refused = 0
    for at in cuts(*answered(hub, lambda: online(load_from_hub, "owner/Cut"))):
        shutil.rmtree(home / "hub")
        shutil.copytree(tmp_path / "hub", home / "hub", symlinks=True)
        cut(at)
        try:
            assert number_of(online(at_once, load_from_hub, "owner/Cut")) in (1, 2)
        except ConnectionError as error:
            refused += 1
            assert "owner/Cut" in str(error)
        cut(None)
        assert number_of(offline(of_any_commit, "owner/Cut")) in (1, 2)
        assert number_of(online(load_from_hub, "owner/Cut")) == 2
        assert number_of(offline(load_from_hub, "owner/Cut")) == 2
        assert not list((home / "hub").rglob("*.incomplete"))
    assert refused > 2


@pytest.mark.parametrize("noted", [True, False])
def test_a_pull_into_a_directory_that_is_cut_at_any_byte(
    noted: bool, hub: Hub, online: Client, offline: Client, home: Path, cut: Any, tmp_path: Path
) -> None:
    name, local, kept = f"owner/Local-{noted}", tmp_path / "local", tmp_path / "kept"
    repository = hub.add(name, files(1, tmp_path))
    repository.branches["v1"] = repository.branches["main"]
    online(load_from_hub, name, local_dir=kept)
    if not noted:  # a copy that somebody made by hand
        shutil.rmtree(kept / ".cache")
    repository.branches["v2"] = repository.commit(files(2, tmp_path))
    for at in cuts(*answered(hub, lambda: online(load_from_hub, name, local_dir=tmp_path / "whole"))):
        shutil.rmtree(local, ignore_errors=True)
        shutil.copytree(kept, local)
        cut(at)
        try:
            assert number_of(online(at_once, load_from_hub, name, local_dir=local)) in (1, 2)
        except ConnectionError as error:
            assert name in str(error)
        cut(None)
        for revision, expected in (("v1", {1}), ("v2", {2}), (None, {1, 2})):
            try:
                assert number_of(offline(load_from_hub, name, revision=revision, local_dir=local)) in expected
            except ConnectionError as error:
                assert name in str(error)
        assert number_of(online(load_from_hub, name, local_dir=local)) == 2
        assert number_of(offline(load_from_hub, name, local_dir=local)) == 2


@pytest.mark.parametrize("status", [404, 503])
def test_a_hub_that_fails_at_any_request_gives_no_parts_of_two_versions(
    status: int, hub: Hub, online: Client, tmp_path: Path
) -> None:
    name, kept = f"owner/Failing-{status}", tmp_path / "kept"
    repository = hub.add(name, files(1, tmp_path))
    online(load_from_hub, name, local_dir=kept)
    repository.commit(files(2, tmp_path))
    for n in range(10):
        shutil.copytree(kept, local := tmp_path / f"local {n}")
        hub.failing, hub.failing_from = status, len(hub.requests) + n
        try:
            assert number_of(online(at_once, load_from_hub, name, local_dir=local)) in (1, 2)
        except (ConnectionError, FileNotFoundError) as error:
            assert name in str(error)
        hub.failing = 0
        assert number_of(online(load_from_hub, name, local_dir=local)) == 2


def test_a_file_that_is_not_what_its_note_says_is_of_no_revision(
    hub: Hub, online: Client, offline: Client, tmp_path: Path
) -> None:
    hub.add("owner/Killed", files(1, tmp_path))
    online(load_from_hub, "owner/Killed", local_dir=tmp_path / "local")
    for name in ("hparams.yaml", "model_weights.safetensors"):  # as one leaves who is killed before the note is written
        whole = (tmp_path / "local" / name).read_bytes()
        (tmp_path / "local" / name).write_bytes(files(2, tmp_path)[name])
        with pytest.raises(ConnectionError, match=f"lacks {name}"):
            offline(load_from_hub, "owner/Killed", local_dir=tmp_path / "local")
        (tmp_path / "local" / name).write_bytes(whole)
    assert number_of(offline(load_from_hub, "owner/Killed", local_dir=tmp_path / "local")) == 1


@pytest.mark.parametrize("lacks", ["hparams.yaml", "preprocessing.json"])
def test_a_directory_and_the_cache_never_stand_in_for_each_others_files(
    lacks: str, hub: Hub, online: Client, offline: Client, tmp_path: Path
) -> None:
    repository = hub.add(f"owner/Both-{lacks}", files(1, tmp_path))
    online(load_from_hub, f"owner/Both-{lacks}", local_dir=tmp_path / "local")
    repository.commit(files(2, tmp_path))
    online(load_from_hub, f"owner/Both-{lacks}")
    (tmp_path / "local" / lacks).unlink()
    state = offline(load_from_hub, f"owner/Both-{lacks}", local_dir=tmp_path / "local")
    told = (state["hparams"]["model_name"], state["training_info"]["epochs"], state["postprocessing"]["outputs"])
    assert told == (("model 2", 2, ["beat 2"]) if lacks == "hparams.yaml" else ("model 1", 1, None))


@pytest.mark.nightly
@pytest.mark.parametrize("way", ["last", "last_taken"])
def test_a_push_that_is_cut_at_any_byte_leaves_the_old_model_or_the_new_one(
    way: str, hub: Hub, online: Client
) -> None:
    name, counted = f"owner/Pushed-{way}", {"last": "sent", "last_taken": "taken"}[way]
    online(push_to_hub, version(1), name, token="secret")
    repository = hub.repositories[name]
    old, before = repository.branches["main"], getattr(hub, counted)
    online(push_to_hub, version(2), name, token="secret")
    for at in cuts(getattr(hub, counted) - before, set()):
        repository.branches["main"] = old
        hub.stored.clear()
        setattr(hub, way, getattr(hub, counted) + at)
        try:
            online(at_once, push_to_hub, version(2), name, token="secret")
        except ConnectionError as error:
            assert name in str(error)
        setattr(hub, way, None)
        assert number_of(online(load_from_hub, name, token="secret")) in (1, 2)
        online(push_to_hub, version(2), name, token="secret")
        assert number_of(online(load_from_hub, name, token="secret")) == 2
