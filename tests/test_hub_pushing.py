"""Pushing to the hub: what comes back, what others can read of it, and what is never published."""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from cases import FEW, Case, make_state, same_state
from hub_client import Client
from hub_server import Hub
from huggingface_hub import ModelCard
from published import INFO, THREE, Stack
from torch import nn

import neurallib as nl
from neurallib.storage.hub import load_from_hub, push_to_hub
from neurallib.storage.model_card import save_model_card

GRU = Case("GRUseq2seq", "regression")


def trained(**info: Any) -> nl.State:
    state = make_state(GRU, seed=4, model_name="Model")
    state["preprocessing"].update(sampling_frequency=250.0, normalization="zscore")
    history = {"epochs": 9, "validation_loss": 0.7, "checkpoints_directory": "/home/someone/first"}
    return nl.save_training_information(
        state, None, "Adam", "mine", "denoising", 0.5, 2.0, None, True, history, epochs=2,
        train_losses=[2.0, 1.0], val_losses=[0.9, 0.5], checkpoints_directory="/home/someone/second", **info,
    )  # fmt: skip


@pytest.mark.parametrize("case", FEW, ids=str)
def test_what_is_pushed_comes_back(hub: Hub, online: Client, case: Case) -> None:
    state = make_state(case, seed=3)
    state["preprocessing"].update(sampling_frequency=250.0, normalization="minmax")
    state["frozen"].append("fc_out")
    url = online(push_to_hub, state, f"owner/{case}", token="secret")
    assert url == f"{hub.address}/owner/{case}" and hub.repositories[f"owner/{case}"].private
    assert same_state(online(load_from_hub, f"owner/{case}", token="secret"), state)


def test_a_pushed_repository_can_be_read_by_the_original(hub: Hub, online: Client) -> None:
    state = trained()
    online(push_to_hub, state, "owner/Readable", token="secret", private=False, commit_message="first")
    repository = hub.repositories["owner/Readable"]
    files = repository.files()
    card = ["README.md", "loss_plot.png"]
    assert sorted(set(files) - {".gitattributes"}) == sorted(
        [*THREE, *card, "model_weights.safetensors", "preprocessing.json"]
    )
    assert repository.messages[-1] == "first" and not repository.private and len(repository.messages) == 2
    hparams = yaml.safe_load(files["hparams.yaml"])
    keywords = "model_name n_features hid_dim n_layers dropout learning_rate bidirectional bidir_per_layer task "
    assert set(hparams) == set((keywords + "num_classes multi_label fc_out_bool").split())
    info = json.loads(files["training_info.json"])
    assert set(INFO) - {"biosignal"} <= set(info)
    stack = Stack(hparams | {"fc_out_bool": False}, hparams["bidir_per_layer"])
    stack.fc_out = nn.Linear(4, 2)
    stack.load_state_dict(torch.load(io.BytesIO(files["model_weights.pth"]), weights_only=True))
    x = torch.randn(1, 50, 2)
    torch.testing.assert_close(nl.build_network(state).eval()(x), stack(x))


def test_nothing_of_this_machine_is_published(hub: Hub, online: Client, tmp_path: Path) -> None:
    state = nl.reuse_layers(make_state(GRU), trained(), ["gru_layers.0"])
    state["training_info"] |= trained()["training_info"]
    directory = nl.save_checkpoint(state, tmp_path / "private_place")
    save_model_card(state, directory)
    online(push_to_hub, directory, "owner/Clean", token="secret")
    for name, content in hub.repositories["owner/Clean"].files().items():
        assert b"private_place" not in content and b"/home/someone" not in content, name
    info = online(load_from_hub, "owner/Clean", token="secret")["training_info"]
    assert info["training_history"] == {"epochs": 9, "validation_loss": 0.7}


def test_a_directory_is_pushed_with_its_own_card_and_plot(hub: Hub, online: Client, tmp_path: Path) -> None:
    directory = nl.save_checkpoint(trained(), tmp_path)
    (directory / "loss_plot.png").write_bytes(b"my plot")
    path = save_model_card(trained(), directory, metrics={"mse": 0.25}, measured_on="my test part")
    path.write_text(path.read_text() + "\nA note by hand.\n")
    (directory / "last.ckpt").write_bytes(b"large and private")
    online(push_to_hub, str(directory), "owner/Whole", token="secret", revision="v2")
    files = hub.repositories["owner/Whole"].files("v2")
    assert files["loss_plot.png"] == b"my plot" and "last.ckpt" not in files
    card = files["README.md"].decode()
    assert "A note by hand." in card and "| mse | 0.25 |" in card and 'load_from_hub("owner/Whole")' in card
    assert list(hub.repositories["owner/Whole"].files()) == [".gitattributes"]
    assert online(load_from_hub, "owner/Whole", revision="v2", token="secret")["training_info"]["epochs"] == 2


def test_a_card_says_whose_data_and_licence_it_is_of(hub: Hub, online: Client, tmp_path: Path) -> None:
    said = {"license": "mit", "datasets": ["mitdb"], "base_model": "owner/Base", "description": "Finds beats."}
    online(push_to_hub, trained(), "owner/Said", token="secret\n", **said)  # as a file holds it
    card = ModelCard(hub.repositories["owner/Said"].files()["README.md"].decode())
    assert (card.data.license, card.data.datasets, card.data.base_model) == ("mit", ["mitdb"], "owner/Base")
    assert "Finds beats." in card.text
    directory = nl.save_checkpoint(trained(), tmp_path)
    save_model_card(trained(), directory)
    with pytest.raises(ValueError, match=r"README\.md is there .* give license, datasets to save_model_card"):
        online(push_to_hub, directory, "owner/Unsaid", token="secret", license="mit", datasets=["mitdb"])
    assert "owner/Unsaid" not in hub.repositories


def test_a_model_without_a_plot_does_not_keep_the_one_before_its(hub: Hub, online: Client) -> None:
    online(push_to_hub, trained(), "owner/Replaced", token="secret")
    assert "loss_plot.png" in hub.repositories["owner/Replaced"].files()
    online(push_to_hub, make_state(GRU), "owner/Replaced", token="secret")
    assert "loss_plot.png" not in hub.repositories["owner/Replaced"].files()


def test_a_model_that_the_original_cannot_read_is_told(hub: Hub, online: Client) -> None:
    for pooling, bidirectional, readable in (("final", False, True), ("last", True, True), ("mean", False, False)):
        state = nl.gru_seq2one(n_features=1, hid_dim=2, n_layers=1, bidirectional=bidirectional, pooling=pooling)
        told = online(_warnings_of_pushing, state, f"owner/{pooling}")
        assert [word for word in told if "original" in word] == (
            [] if readable else ["the original NeuralLib cannot read this model: it has no pooling='mean'."]
        )
        hparams = yaml.safe_load(hub.repositories[f"owner/{pooling}"].files()["hparams.yaml"])
        assert ("pooling" not in hparams) == readable
        assert same_state(online(load_from_hub, f"owner/{pooling}", token="secret"), state)


def _warnings_of_pushing(state: nl.State, repo_id: str) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        push_to_hub(state, repo_id, token="secret")
    return [str(warning.message) for warning in caught]


def test_pushing_again_replaces_the_model(hub: Hub, online: Client) -> None:
    first, second = make_state(GRU, seed=1), make_state(GRU, seed=2)
    for state in (first, second):
        online(push_to_hub, state, "owner/Again", token="secret")
        assert same_state(online(load_from_hub, "owner/Again", token="secret"), state)


def test_pushing_into_a_public_repository_that_should_be_private_warns(hub: Hub, online: Client) -> None:
    hub.add("owner/Public", {"notes.txt": b"public"})
    url, messages = online(_push_with_warnings, make_state(GRU), "owner/Public")
    assert "owner/Public is there already and is public: what is pushed is public too." in messages
    assert "notes.txt" in hub.repositories["owner/Public"].files()


def _push_with_warnings(state: nl.State, repo_id: str) -> tuple[str, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        url = push_to_hub(state, repo_id, token="secret")
    return url, [str(warning.message) for warning in caught]


@pytest.mark.parametrize(("repo_id", "token"), [("owner/New", None), ("owner/New", "wrong"), ("nova/New", "secret")])
def test_pushing_without_permission_is_refused(hub: Hub, online: Client, repo_id: str, token: str | None) -> None:
    with pytest.raises(PermissionError, match=f"not write to repository '{repo_id}': give token="):
        online(push_to_hub, make_state(GRU), repo_id, token=token)
    assert repo_id not in hub.repositories


def test_a_directory_that_cannot_be_read_is_not_pushed(hub: Hub, online: Client, tmp_path: Path) -> None:
    directory = nl.save_checkpoint(make_state(GRU), tmp_path)
    (directory / "hparams.yaml").unlink()
    with pytest.raises(FileNotFoundError, match="has no hparams.yaml"):
        online(push_to_hub, directory, "owner/Broken", token="secret")
    assert "owner/Broken" not in hub.repositories
