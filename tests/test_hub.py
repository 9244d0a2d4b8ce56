"""The hub: the real client against a small server on loopback (hub_server.py), in processes of its own."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from cases import Case, make_pairs, make_state, same_state, write_folders
from hub_client import Client
from hub_server import Hub
from huggingface_hub.errors import HfHubHTTPError
from published import DENOISER, INFO, PEAK_DETECTOR, THREE, published

import neurallib as nl
from neurallib.state import new_preprocessing
from neurallib.storage.hub import (
    get_hparams_from_hugging,
    get_weights_and_info_from_hugging,
    load_from_hub,
    push_to_hub,
)
from neurallib.storage.hub_files import _is_of, is_unreachable
from neurallib.storage.pretrained import NEURALLIB_COLLECTION, list_production_models

GRU = Case("GRUseq2seq", "regression")
PUBLISHED = [(DENOISER, [True, False]), (PEAK_DETECTOR, [True] * 3)]


@pytest.mark.parametrize(("hparams", "directions"), PUBLISHED, ids=["denoiser", "peak detector"])
def test_published_models_give_what_plain_torch_gives(
    hub: Hub, online: Client, hparams: dict[str, Any], directions: list[bool]
) -> None:
    files, stack = published(hparams, directions)
    hub.add(f"nova/{hparams['model_name']}", files)
    hub.requests.clear()
    state = online(load_from_hub, f"nova/{hparams['model_name']}")
    assert sorted(hub.downloads()) == THREE
    assert state["hparams"]["bidir_per_layer"] == directions
    made = nl.gru_seq2seq(**online(get_hparams_from_hugging, f"nova/{hparams['model_name']}"))
    assert made["hparams"] == state["hparams"] and made["weights"].keys() == state["weights"].keys()
    assert state["preprocessing"] == new_preprocessing({"sampling_frequency": 360.0})
    signals = [np.random.default_rng(n).standard_normal((n, 1)).astype(np.float32) for n in (700, 333)]
    for signal, output in zip(signals, nl.predict(state, signals, output="logits"), strict=True):
        expected = stack(torch.from_numpy(signal)[None])[0].detach().numpy()
        np.testing.assert_allclose(output, expected, rtol=0, atol=1e-6)


def test_the_parts_of_a_repository_are_downloaded_one_by_one(hub: Hub, online: Client, tmp_path: Path) -> None:
    files, stack = published(DENOISER, [True, False])
    hub.add("nova/Parts", files | {"model_weights.safetensors.index": b"", "notes/large.bin": b"0" * 99})
    hub.requests.clear()
    assert online(get_hparams_from_hugging, "nova/Parts") == DENOISER | {"bidir_per_layer": [True, False]}
    assert sorted(hub.downloads()) == THREE
    path, info = online(get_weights_and_info_from_hugging, "nova/Parts", local_dir=tmp_path)
    assert path == tmp_path / "model_weights.pth" and info == INFO | {"model_name": "ECGDenoiser"}
    weights = torch.load(path, weights_only=True)
    assert all(torch.equal(weight, weights[name]) for name, weight in stack.state_dict().items())


def test_safetensors_come_before_pth(hub: Hub, online: Client, tmp_path: Path) -> None:
    state = make_state(GRU)
    directory = nl.save_checkpoint(state, tmp_path)
    (directory / "model_weights.pth").write_bytes(b"not read")
    hub.add("nova/Both", {path.name: path.read_bytes() for path in directory.iterdir()})
    hub.requests.clear()
    assert same_state(online(load_from_hub, "nova/Both"), state)
    assert "model_weights.pth" not in hub.downloads()


class Malicious:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.trace,))


def test_pickled_code_is_never_run(hub: Hub, online: Client, tmp_path: Path) -> None:
    files, _ = published(DENOISER, [True, False])
    trace = tmp_path / "was_here"
    torch.save({"fc_out.weight": Malicious(trace)}, tmp_path / "evil.pth")
    hub.add("nova/Evil", files | {"model_weights.pth": (tmp_path / "evil.pth").read_bytes()})
    with pytest.raises(ValueError, match="model_weights.pth holds more than weights"):
        online(load_from_hub, "nova/Evil")
    assert not trace.exists()


def test_the_cache_serves_without_a_connection(hub: Hub, online: Client, offline: Client, cut_off: Client) -> None:
    files, _ = published(PEAK_DETECTOR, [True] * 3)
    hub.add("nova/Kept", files)
    state = online(load_from_hub, "nova/Kept")
    hub.requests.clear()
    for client in (offline, cut_off):
        assert same_state(client(load_from_hub, "nova/Kept"), state)
        told = client(get_hparams_from_hugging, "nova/Kept")
        assert told == PEAK_DETECTOR | {"bidir_per_layer": [True] * 3}
    assert hub.requests == []
    hub.failing = 503
    try:
        assert same_state(online(load_from_hub, "nova/Kept"), state)
    finally:
        hub.failing = 0
    hub.requests.clear()
    online(load_from_hub, "nova/Kept")
    assert hub.downloads() == []


def test_a_hub_that_is_down_or_too_busy_is_out_of_reach_and_one_that_refuses_is_not() -> None:
    for code, away in ((404, False), (403, False), (429, True), (500, True), (503, True)):
        answer: Any = SimpleNamespace(status_code=code, headers={}, request=None)
        assert is_unreachable(HfHubHTTPError("", response=answer)) is away


def test_a_newer_commit_seen_in_part_does_not_hide_the_older_one(hub: Hub, online: Client, cut_off: Client) -> None:
    state = make_state(GRU, seed=5)
    online(push_to_hub, state, "owner/Moving", token="secret", private=False)
    online(load_from_hub, "owner/Moving")
    hub.repositories["owner/Moving"].commit({"hparams.yaml": b"n_layers: 9\n"})
    assert online(get_hparams_from_hugging, "owner/Moving") == {"n_layers": 9}
    with pytest.raises(UserWarning, match="owner/Moving is read as of commit"):
        cut_off(load_from_hub, "owner/Moving")
    assert same_state(cut_off(_told, load_from_hub, "owner/Moving"), state)


def _told(function: Any, *args: Any) -> Any:
    """What a function gives that warns, in a process where a warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return function(*args)


def test_a_local_directory_serves_too(hub: Hub, online: Client, cut_off: Client, tmp_path: Path) -> None:
    files, _ = published(DENOISER, [True, False])
    hub.add("nova/Local", files)
    state = online(load_from_hub, "nova/Local", local_dir=tmp_path)
    assert sorted(path.name for path in tmp_path.glob("*.*") if path.is_file()) == THREE
    assert same_state(cut_off(load_from_hub, "nova/Local", local_dir=tmp_path), state)


def test_a_local_directory_never_stands_in_for_another_revision(
    hub: Hub, online: Client, offline: Client, tmp_path: Path
) -> None:
    repository = hub.add("nova/Either", published(DENOISER, [True, False], epochs=1)[0])
    old = repository.branches["v1"] = repository.branches["main"]
    new = repository.branches["v2"] = repository.commit(published(DENOISER, [True, False], epochs=2)[0])
    online(load_from_hub, "nova/Either", revision="v1", local_dir=tmp_path)
    for revision in ("v1", old):
        info = offline(load_from_hub, "nova/Either", revision=revision, local_dir=tmp_path)["training_info"]
        assert info["epochs"] == 1
    for revision in ("v2", new, None):
        with pytest.raises(ConnectionError, match="HF_HUB_OFFLINE is set, and .* lacks training_info.json"):
            offline(load_from_hub, "nova/Either", revision=revision, local_dir=tmp_path)
    online(load_from_hub, "nova/Either", local_dir=tmp_path)
    assert offline(load_from_hub, "nova/Either", local_dir=tmp_path)["training_info"]["epochs"] == 2
    with pytest.raises(ConnectionError, match="lacks training_info.json"):
        offline(load_from_hub, "nova/Either", revision="v1", local_dir=tmp_path)


def test_a_revision_is_a_branch_or_a_commit(hub: Hub, online: Client, offline: Client) -> None:
    old, _ = published(DENOISER, [True, False], epochs=1)
    new, _ = published(DENOISER, [True, False], epochs=2)
    repository = hub.add("nova/Revised", old)
    first = repository.branches["main"]
    repository.branches["release/1"] = first
    repository.commit(new)
    epochs = {revision: online(_epochs, "nova/Revised", revision) for revision in (None, first, "release/1")}
    assert epochs == {None: 2, first: 1, "release/1": 1}
    assert epochs == {revision: offline(_epochs, "nova/Revised", revision) for revision in epochs}
    with pytest.raises(FileNotFoundError, match="repository 'nova/Revised' has no revision 'absent'"):
        online(load_from_hub, "nova/Revised", revision="absent")


def test_all_files_are_of_one_commit_when_somebody_pushes_in_between(hub: Hub, online: Client) -> None:
    old, stack = published(DENOISER, [True, False], epochs=1)
    new, _ = published(DENOISER | {"learning_rate": 0.1}, [True, False], epochs=2)
    repository = hub.add("nova/Moving", old)
    hub.meanwhile = lambda: repository.commit(new)
    state = online(load_from_hub, "nova/Moving")
    assert repository.files() == new
    assert (state["training_info"]["epochs"], state["hparams"]["learning_rate"]) == (1, 0.005)
    assert all(torch.equal(state["weights"][name], weight) for name, weight in stack.state_dict().items())


def _epochs(repo_id: str, revision: str | None) -> int:
    return load_from_hub(repo_id, revision=revision)["training_info"]["epochs"]


@pytest.mark.parametrize("name", THREE)
def test_a_repository_without_a_file_says_which_and_what_is_there(hub: Hub, online: Client, name: str) -> None:
    files, _ = published(DENOISER, [True, False])
    del files[name]
    hub.add("nova/Lacking", files)
    lacking = "model_weights.safetensors or model_weights.pth" if name == "model_weights.pth" else name
    words = f"'nova/Lacking' lacks {lacking}; it holds: {', '.join(sorted(files))}"
    with pytest.raises(FileNotFoundError, match=words):
        online(load_from_hub, "nova/Lacking")


def test_each_refusal_has_one_clear_error(hub: Hub, online: Client, offline: Client, cut_off: Client) -> None:
    files, _ = published(DENOISER, [True, False])
    hub.add("owner/Private", files, private=True)
    hub.add("nova/Gated", files, gated=True)
    with pytest.raises(FileNotFoundError, match="shows no repository 'nova/Nothing': check the name"):
        online(load_from_hub, "nova/Nothing")
    with pytest.raises(FileNotFoundError, match="no repository 'owner/Private': .*if it is private, give token="):
        online(load_from_hub, "owner/Private")
    assert online(load_from_hub, "owner/Private", token="secret")["architecture"] == "GRUseq2seq"
    with pytest.raises(PermissionError, match="refuses this token for repository 'owner/Private'"):
        online(load_from_hub, "owner/Private", token="wrong")
    with pytest.raises(PermissionError, match="'nova/Gated' is gated: ask for access"):
        online(load_from_hub, "nova/Gated")
    with pytest.raises(ValueError, match="nova/a/b"):
        online(load_from_hub, "nova/a/b")
    with pytest.raises(ConnectionError, match="HF_HUB_OFFLINE is set, and the cache .* lacks training_info.json, hpa"):
        offline(load_from_hub, "nova/Gated")
    with pytest.raises(ConnectionError, match=r"http://127.0.0.1:9 cannot be reached \(.*lacks training_info.json"):
        cut_off(load_from_hub, "nova/Gated")
    with pytest.raises(ConnectionError, match="cannot be reached"):
        cut_off(push_to_hub, make_state(GRU), "owner/New", token="secret")
    with pytest.raises(ConnectionError, match="HF_HUB_OFFLINE is set: no collection"):
        offline(list_production_models)


def test_the_models_of_a_collection_are_listed(hub: Hub, online: Client) -> None:
    hub.collections[NEURALLIB_COLLECTION] = [("model", "nova/ECGDenoiser"), ("dataset", "nova/ECG"), ("model", "a/b")]
    assert online(list_production_models) == ["nova/ECGDenoiser", "a/b"]
    with pytest.raises(FileNotFoundError, match="shows no collection 'nova/none-0'"):
        online(list_production_models, "nova/none-0")


def test_retraining_from_a_repository_alone_keeps_its_history(hub: Hub, online: Client, tmp_path: Path) -> None:
    hparams = DENOISER | {"hid_dim": [3, 1]}
    files, _ = published(hparams, [True, False])
    hub.add("nova/Retrained", files)
    pairs = make_pairs(nl.gru_seq2seq(n_features=1, hid_dim=2, n_layers=1, task="regression"), [20, 30])
    for part in ("train", "val"):
        for side, place in (("x", 0), ("y", 1)):
            (tmp_path / side / part).mkdir(parents=True)
            for i, pair in enumerate(pairs):
                np.save(tmp_path / side / part / f"{i}.npy", pair[place])
    state = online(_retrain, tmp_path, "nova/Retrained")
    assert state["training_info"]["training_history"] == INFO | {"model_name": "ECGDenoiser"}
    assert state["hparams"]["bidir_per_layer"] == [True, False] and state["hparams"]["learning_rate"] == 0.005
    assert state["preprocessing"]["sampling_frequency"] == 360.0


def test_local_files_come_before_a_repository(hub: Hub, online: Client, tmp_path: Path) -> None:
    local, published_one = (nl.gru_seq2seq(n_features=2, hid_dim=3, n_layers=1, learning_rate=1e-12, seed=seed)
                            for seed in (1, 2))  # fmt: skip
    directory = nl.save_checkpoint(local, tmp_path / "local")
    saved = nl.save_checkpoint(published_one, tmp_path / "published")
    hub.add("nova/Published", {path.name: path.read_bytes() for path in saved.iterdir()})
    write_folders(tmp_path, local)
    hub.requests.clear()
    state, told = online(_with_warnings, _retrain, tmp_path, "nova/Published", checkpoints_directory=directory)
    assert any("both checkpoints_directory and hugging_face_model" in words for words in told)
    assert hub.requests == []
    for name, weight in state["weights"].items():
        torch.testing.assert_close(weight, local["weights"][name])


def _with_warnings(function: Any, *args: Any, **kwargs: Any) -> tuple[Any, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = function(*args, **kwargs)
    return result, [str(warning.message) for warning in caught]


def _retrain(folder: Path, repo_id: str, **options: Any) -> nl.State:
    import os

    os.environ["NEURALLIB_RESULTS_DIR"] = str(folder / "results")
    return nl.retrain(
        None, folder / "x", folder / "y", patience=1, batch_size=2, epochs=1, all_samples=True, dataset_name="more",
        trained_for="denoising", hugging_face_model=repo_id, enable_progress_bar=False, **options,
    )  # fmt: skip


def test_a_file_beside_is_of_a_revision_as_far_as_its_notes_say(tmp_path: Path) -> None:
    file, note = tmp_path / "f", tmp_path / ".cache/huggingface/download/f.metadata"
    file.write_text("whole")
    assert _is_of(tmp_path, "f", "o/r", None) and not _is_of(tmp_path, "f", "o/r", "v1"), "a copy without notes"
    note.parent.mkdir(parents=True)
    note.write_text("c1\n" + hashlib.sha1(b"blob 5\0whole").hexdigest() + "\n")
    assert [_is_of(tmp_path, "f", "o/r", revision) for revision in (None, "c1", "v1")] == [True, True, False]
    file.write_text("other")
    assert not _is_of(tmp_path, "f", "o/r", None), "another file than the one that was noted"
