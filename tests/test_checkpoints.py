"""Checkpoint directories: what is written is read again, whole or not at all, and what is broken is named."""

import json
import multiprocessing
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from cases import CASES, SIZES, Case, as_loaded, make_state, same_state
from torch import nn

import neurallib as nl
from neurallib.files import atomic_write
from neurallib.models.registry import ARCHITECTURES
from neurallib.weight_files import read_weights

GRU = Case("GRUseq2seq", "regression")
WEIGHTS = ("model_weights.safetensors", "model_weights.pth")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return nl.save_checkpoint(make_state(GRU), tmp_path / "saved")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_untrained_state_comes_back_bitwise(case: Case, tmp_path: Path) -> None:
    state = make_state(case, seed=9)
    state["preprocessing"].update(sampling_frequency=360.0, normalization="zscore")
    state["frozen"].append("fc_out")
    directory = nl.save_checkpoint(state, tmp_path / "a")
    assert same_state(nl.load_checkpoint(directory), as_loaded(state, directory))


def test_the_original_reads_the_files(saved: Path) -> None:
    """As the original does: torch.load of the .pth into plain modules, the hyperparameters as its keywords."""
    hparams = yaml.safe_load((saved / "hparams.yaml").read_text())
    keywords = "model_name n_features hid_dim n_layers dropout learning_rate bidirectional bidir_per_layer task "
    assert set(hparams) == set((keywords + "num_classes multi_label fc_out_bool").split())
    stack = nn.ModuleDict({"gru_layers": nn.ModuleList()})
    n_in = hparams["n_features"]
    for hidden, both in zip(hparams["hid_dim"], hparams["bidir_per_layer"], strict=True):
        stack["gru_layers"].append(nn.GRU(n_in, hidden, bidirectional=both, batch_first=True))
        n_in = hidden * (1 + both)
    stack["fc_out"] = nn.Linear(n_in, hparams["n_features"])
    stack.load_state_dict(torch.load(saved / "model_weights.pth", weights_only=True))
    x = torch.randn(2, 9, 2)
    y = x
    for gru in stack["gru_layers"]:
        y = gru(y)[0]
    torch.testing.assert_close(nl.build_network(nl.load_checkpoint(saved)).eval()(x), stack["fc_out"](y))


def test_a_seq2one_that_the_original_knows_writes_no_pooling(tmp_path: Path) -> None:
    for pooling in ("last", "final", "mean"):
        state = nl.gru_seq2one(n_features=1, hid_dim=2, n_layers=1, pooling=pooling)
        directory = nl.save_checkpoint(state, tmp_path / pooling)
        assert ("pooling" in yaml.safe_load((directory / "hparams.yaml").read_text())) == (pooling == "mean")
        assert nl.load_checkpoint(directory)["hparams"]["pooling"] == pooling


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_directories_are_named_for_the_model_and_never_shared(architecture: str, results: Path) -> None:
    state = make_state(Case(architecture, "regression"), model_name="Detector", learning_rate=0.01)
    made = [nl.create_checkpoints_directory(state, retraining) for retraining in (False, False, True)]
    assert len(set(made)) == 3 and all(path.parent == results / "Detector" / "checkpoints" for path in made)
    sizes = {
        "GRUseq2seq": "6-4hid_2l",
        "GRUseq2one": "5hid_2l",
        "GRUED": "3-6hid_2-2l",
        "Transformerseq2seq": "8d_2h_2-1l_16ff",
        "Transformerseq2one": "8d_2h_2l_16ff",
        "TransformerED": "8d_2h_1-2l_16ff",
    }[architecture]
    stamp = r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d(-\d+)?"
    assert re.fullmatch(f"{architecture}_{sizes}_lr0.01_drop0.0_{stamp}", made[0].name)
    assert re.fullmatch(f"{architecture}_{sizes}_lr0.01_drop0.0_retraining_{stamp}", made[2].name)


def _make_many(_: int) -> list[str]:
    state = make_state(GRU)
    return [str(nl.create_checkpoints_directory(state, False)) for _ in range(5)]


def test_processes_that_start_in_the_same_second_get_their_own_directories() -> None:
    with multiprocessing.get_context("fork").Pool(3) as pool:
        made = [path for paths in pool.map(_make_many, range(3)) for path in paths]
    assert len(set(made)) == 15


def test_a_model_name_that_leaves_the_results_directory_is_refused() -> None:
    for name in ("../elsewhere", "a/b", ".."):
        with pytest.raises(ValueError, match="model_name"):
            nl.create_checkpoints_directory(make_state(GRU, model_name=name), False)


def test_the_newest_version_of_the_logs_holds_the_hyperparameters(tmp_path: Path) -> None:
    for logs, number in (("tensorboard_logs", 9), ("lightning_logs", 10), ("tensorboard_logs", 2)):
        directory = tmp_path / logs / f"version_{number}"
        directory.mkdir(parents=True)
        (directory / "hparams.yaml").write_text(f"n_layers: {number}\nnum_classes: NA\n")
    (tmp_path / "lightning_logs" / "version_11").mkdir()  # a run that was killed before it wrote
    assert nl.get_hparams_from_checkpoints(tmp_path) == {"n_layers": 10, "num_classes": "NA"}


def test_a_directory_is_loaded_by_its_own_hyperparameters_before_those_of_its_logs(saved: Path) -> None:
    logs = saved / "tensorboard_logs" / "version_0"
    logs.mkdir(parents=True)
    (logs / "hparams.yaml").write_text((saved / "hparams.yaml").read_text().replace("dropout: 0.0", "dropout: 0.5"))
    assert nl.get_hparams_from_checkpoints(saved)["dropout"] == nl.load_checkpoint(saved)["hparams"]["dropout"] == 0.0
    (saved / "hparams.yaml").unlink()
    assert nl.get_hparams_from_checkpoints(saved)["dropout"] == nl.load_checkpoint(saved)["hparams"]["dropout"] == 0.5


def test_what_is_missing_is_named_and_what_is_there_is_listed(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "model.zip").write_bytes(b"PK")
    for path, words in (
        (tmp_path / "nowhere", "nowhere does not exist"),
        *((name, f"{name} does not exist: load_pretrained.* load_from_hub") for name in ("ecg_r_peaks", "owner/name")),
        (saved / "hparams.yaml", "hparams.yaml is a file; give its directory, .*saved.$"),
        (tmp_path / "model.zip", "model.zip is a file; expected one that save_ch"),
    ):
        with pytest.raises(FileNotFoundError, match=words):
            nl.load_checkpoint(path)
    for name in WEIGHTS:
        (saved / name).unlink()
    with pytest.raises(FileNotFoundError, match="has no weights.*holds: hparams.yaml, preprocessing.json, train"):
        nl.load_checkpoint(saved)
    (saved / "hparams.yaml").unlink()
    with pytest.raises(FileNotFoundError, match="has no hparams.yaml.*holds: preprocessing.json, training_info.json"):
        nl.get_hparams_from_checkpoints(saved)
    (saved / "training_info.json").unlink()
    with pytest.raises(FileNotFoundError, match="has no training_info.json.*holds: preprocessing.json"):
        nl.get_weights_and_info_from_checkpoints(saved)


@pytest.mark.parametrize("name", [*WEIGHTS, "training_info.json", "hparams.yaml", "preprocessing.json"])
@pytest.mark.parametrize("share", [0.0, 0.6])
def test_a_file_that_is_cut_off_is_named(name: str, share: float, saved: Path) -> None:
    if name.endswith(".pth"):
        (saved / "model_weights.safetensors").unlink()
    os.truncate(saved / name, int(share * (saved / name).stat().st_size))
    with pytest.raises(ValueError, match=name):
        nl.load_checkpoint(saved)


def test_files_that_hold_something_else_are_named(saved: Path) -> None:
    (saved / "hparams.yaml").write_text("- a\n- list\n")
    with pytest.raises(ValueError, match="hparams.yaml holds a list"):
        nl.load_checkpoint(saved)
    (saved / "hparams.yaml").write_text("!!python/object/apply:os.getcwd []\n")
    with pytest.raises(ValueError, match="hparams.yaml is not valid YAML"):
        nl.load_checkpoint(saved)
    (saved / "training_info.json").write_text('{"epochs": 3}')
    with pytest.raises(ValueError, match="names no architecture"):
        nl.load_checkpoint(saved)


class Malicious:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("was_here"),))


def test_pickled_code_is_never_run(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (saved / "model_weights.safetensors").unlink()
    torch.save({"fc_out.weight": Malicious()}, saved / "model_weights.pth")
    with pytest.raises(ValueError, match="model_weights.pth holds more than weights"):
        nl.load_checkpoint(saved)
    assert not (tmp_path / "was_here").exists()


def test_weights_of_another_model_are_listed_against_the_expected(saved: Path, tmp_path: Path) -> None:
    other = nl.save_checkpoint(make_state(GRU, hid_dim=[6, 5]), tmp_path / "other")
    (saved / "model_weights.safetensors").write_bytes((other / "model_weights.safetensors").read_bytes())
    words = r"safetensors do not match.*Of another size: gru_layers.1.weight_ih_l0 \(15, 12\) \(expected \(12, 12\)\)"
    with pytest.raises(ValueError, match=words):
        nl.load_checkpoint(saved)


def test_a_lightning_checkpoint_is_converted_and_the_best_comes_before_the_last(saved: Path) -> None:
    best, last = make_state(GRU, seed=1), make_state(GRU, seed=2)
    (saved / "model_weights.safetensors").unlink()
    (saved / "model_weights.pth").unlink()
    torch.save({"state_dict": last["weights"], "epoch": 3}, saved / "last.ckpt")
    torch.save({"state_dict": best["weights"], "epoch": 1}, saved / "zbest.ckpt")
    before = sorted(saved.iterdir())
    assert same_state(nl.load_checkpoint(saved), as_loaded(best, saved))
    assert sorted(saved.iterdir()) == before  # loading writes nothing
    path, info = nl.get_weights_and_info_from_checkpoints(saved)
    assert path == saved / "model_weights.pth" and info == json.loads((saved / "training_info.json").read_text())
    assert all(torch.equal(weight, best["weights"][name]) for name, weight in read_weights(path).items())
    assert same_state(nl.load_checkpoint(saved), as_loaded(best, saved))


def test_unused_entries_of_the_originals_transformers_are_left_out(tmp_path: Path) -> None:
    state = make_state(Case("TransformerED", "regression"))
    directory = nl.save_checkpoint(state, tmp_path / "a")
    (directory / "model_weights.safetensors").unlink()
    extra = {"pos_encoder.pe": torch.zeros(5000, 1, 8), "encoder_layer.norm1.bias": torch.zeros(8)}
    torch.save(state["weights"] | extra, directory / "model_weights.pth")
    assert same_state(nl.load_checkpoint(directory), as_loaded(state, directory))


@pytest.mark.parametrize("of_the_original", [False, True])
def test_preprocessing_that_is_not_known_is_left_out_with_a_warning(of_the_original: bool, saved: Path) -> None:
    info = json.loads((saved / "training_info.json").read_text())
    (saved / "training_info.json").write_text(json.dumps(info | {"normalization": "NA", "frozen": "NA"}))
    if of_the_original:
        (saved / "preprocessing.json").unlink()
    else:
        (saved / "preprocessing.json").write_text('{"preprocessing": {"normalization": "NA"}}')
    with pytest.warns(UserWarning, match="normalization='NA', none of minmax, zscore"):
        state = nl.load_checkpoint(saved)
    assert state["preprocessing"]["normalization"] is None and state["frozen"] == []


def test_hyperparameters_that_the_architecture_does_not_know_are_left_out_with_a_warning(saved: Path) -> None:
    with open(saved / "hparams.yaml", "a") as file:
        file.write("flavour: vanilla\n")
    with pytest.warns(UserWarning, match="GRUseq2seq has no hyperparameter flavour"):
        assert "flavour" not in nl.load_checkpoint(saved)["hparams"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "notes.json"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_write(path) as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    with atomic_write(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    import os

    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_saving_does_not_alias_or_change_the_state(tmp_path: Path) -> None:
    state = make_state(GRU)
    directory = nl.save_checkpoint(state, tmp_path / "a")
    state["weights"]["fc_out.bias"].add_(1)
    assert not same_state(nl.load_checkpoint(directory), as_loaded(state, directory))


def test_where_weights_come_from_is_checked() -> None:
    nl.validate_training_context(False, None, None)
    nl.validate_training_context(False, "", "")
    nl.validate_training_context(True, "directory", None)
    nl.validate_training_context(True, None, "owner/name")
    with pytest.raises(ValueError, match="scratch takes no weights, but 'directory'"):
        nl.validate_training_context(False, "directory", None)
    with pytest.raises(ValueError, match="scratch takes no weights, but 'owner/name'"):
        nl.validate_training_context(False, None, "owner/name")
    with pytest.raises(ValueError, match="give checkpoints_directory or hugging_face_model"):
        nl.validate_training_context(True, None, None)
    with pytest.warns(UserWarning, match="local files"):
        nl.validate_training_context(True, "directory", "owner/name")


def test_numbers_of_numpy_and_torch_are_told_as_numbers(saved: Path) -> None:
    state = make_state(GRU)
    state["training_info"].update(a=np.float32(0.5), b=np.int64(3), c=torch.tensor(2.0), d=saved)
    path = nl.save_training_information_to_file(state, saved)
    told = json.loads(path.read_text())
    assert [told[name] for name in "abcd"] == [0.5, 3, 2.0, str(saved)]
    for wrong, what in (({1, 2}, "a set"), (torch.ones(2), "a Tensor")):
        state["training_info"]["e"] = wrong
        for save, to in ((nl.save_training_information_to_file, saved), (nl.save_checkpoint, saved / "new")):
            with pytest.raises(TypeError, match=f"is {what}, which JSON cannot hold"):
                save(state, to)
    assert json.loads(path.read_text()) == told and not (saved / "new").exists()


def test_training_information_has_the_originals_names() -> None:
    state = make_state(GRU)
    given: dict = {
        "trainer": None, "optimizer": "Adam", "train_dataset_name": "mine", "trained_for": "denoising", "val_loss": 0.5,
        "total_training_time": 2.0, "gpu_model": None, "retraining": True, "prev_training_history": {"epochs": 1},
    }  # fmt: skip
    told = nl.save_training_information(state, **given, epochs=3)
    assert state["training_info"] == {}
    with pytest.raises(TypeError, match="prev_training_history is a list; expected a dict"):
        nl.save_training_information(state, **given | {"prev_training_history": [{}]})
    info = told["training_info"]
    assert (info["task"], info["train_dataset"], info["training_history"]) == ("denoising", "mine", {"epochs": 1})
    assert SIZES["GRUseq2seq"]["n_layers"] == 2 and info["model_name"] == "GRUseq2seq"
    assert (info["epochs"], info["optimizer"], info["learning_rate"]) == (3, "Adam", state["hparams"]["learning_rate"])
