"""What is no state is told so, wherever a state comes in, with the way out."""

import functools
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import CASES, Case, make_pairs, make_state, write_folders
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.prune import l1_unstructured

import neurallib as nl
from neurallib.architectures import ARCHITECTURES, check_state
from neurallib.state import Preprocessing

GRU = make_state(Case("GRUseq2seq", "binary"))
PAIRS = make_pairs(GRU, [5, 6])
ENTRANCES: dict[str, Callable[[Any, Path], Any]] = {
    "train": lambda state, _: nl.train(state, PAIRS, PAIRS, epochs=1, batch_size=2),
    "train_from_scratch": lambda state, path: nl.train_from_scratch(state, path, path),
    "retrain": lambda state, path: nl.retrain(state, path, path, checkpoints_directory=path),
    "evaluate": lambda state, _: nl.evaluate(state, PAIRS),
    "predict": lambda state, _: nl.predict(state, [PAIRS[0][0]]),
    "test_on_test_set": lambda state, path: nl.test_on_test_set(state, path, path),
    "test_on_single_signal": lambda state, _: nl.test_on_single_signal(state, PAIRS[0][0]),
    "loss_function": lambda state, _: nl.loss_function(state),
    "build_network": lambda state, _: nl.build_network(state),
    "state_from_network": lambda state, _: nl.state_from_network(state, nl.build_network(GRU)),
    "prepare": lambda state, _: nl.prepare(state, PAIRS),
    "save_checkpoint": lambda state, path: nl.save_checkpoint(state, path / "new"),
    "create_checkpoints_directory": lambda state, path: nl.create_checkpoints_directory(state, False, path / "new"),
    "save_model_card": lambda state, path: nl.save_model_card(state, path),
    "save_training_information_to_file": lambda state, path: nl.save_training_information_to_file(state, path),
    "freeze": lambda state, _: nl.freeze(state, "fc_out"),
    "unfreeze": lambda state, _: nl.unfreeze(state),
    "reuse_layers": lambda state, _: nl.reuse_layers(state, GRU, ["fc_out"]),
    "transfer_hparams": lambda state, _: nl.transfer_hparams(state),
}


def without(key: str) -> Any:
    return {name: value for name, value in GRU.items() if name != key}


def changed(key: str, **values: Any) -> Any:
    return {**GRU, key: {**GRU[key], **values}}  # type: ignore[literal-required]


WRONG: dict[str, tuple[Any, str]] = {
    "a path": (Path("results/run"), r"name or path \('results/run'\).*load_checkpoint"),
    "a hub name": ("owner/name", r"load_from_hub\('owner/name'\)"),
    "a network": (nl.build_network(GRU), "Network; .*state_from_network"),
    "a factory": (nl.gru_seq2seq, "function gru_seq2seq"),
    "a list": ([GRU], "list; expected a state"),
    "weights": (GRU["weights"], "lacks .*weights alone"),
    "hyperparameters": (GRU["hparams"], "lacks .*factory"),
    "no weights": (without("weights"), "lacks weights"),
    "no frozen": (without("frozen"), "lacks frozen"),
    "a misspelt key": ({**without("hparams"), "hparam": {}}, "lacks hparams.*Did you mean 'hparams'"),
    "a key too many": ({**GRU, "wieghts": {}}, "'wieghts'.*Did you mean 'weights'"),
    "an unknown architecture": ({**GRU, "architecture": "GRUseq2sec"}, "Did you mean 'GRUseq2seq'"),
    "a misspelt hyperparameter": (changed("hparams", learnig_rate=0.1), "'learnig_rate'.*Did you mean 'learning_rate'"),
    "hparams of a list": ({**GRU, "hparams": []}, r"\['hparams'\] is a list"),
    "an array for a weight": (changed("weights", **{"fc_out.bias": np.zeros(1)}), "fc_out.bias.*ndarray.*Tensor"),
    "weights of whole numbers": (changed("weights", **{"fc_out.bias": torch.zeros(1).long()}), "fc_out.bias.*int64"),
    "a rate in a text": (changed("preprocessing", sampling_frequency="50"), "sampling_frequency.*'50' is a str"),
    "a unit in a text": (changed("preprocessing", units="mV"), r"\['units'\] is one text, 'mV'; expected a list"),
    "a unit by number": (changed("preprocessing", units=3), r"\['units'\]=3 is a int; expected a list of names"),
    "a unit of nothing": (changed("preprocessing", units=["mV", None]), r"\['units'\]=None is a NoneType; expected"),
    "channels of none": (changed("preprocessing", channels=["I"]), r"\['channels'\] is \['I'\]; expected one .* 2"),
    "channels in a set": (changed("preprocessing", channels={"I", "II"}), r"\['channels'\]=.* is a set; expected"),
    "steps by name": (changed("preprocessing", steps=["highpass"]), r"\['steps'\] is \['highpass'\]; .* dicts"),
    "two normalizations": (changed("preprocessing", normalization=["minmax"]), "normalization.* list; expected a str"),
    "features in a text": (changed("hparams", n_features="2"), r"\['n_features'\]='2' is a str; expected an integer"),
    "a misspelt task": (changed("hparams", task="regresion"), r"\['task'\]='regresion'; .* Did you mean 'regression'"),
    "half a class": (changed("hparams", num_classes=1.5), r"\['num_classes'\]=1.5 is a float; expected an integer"),
    "labels in a text": (changed("hparams", multi_label="no"), r"\['multi_label'\]='no' is a str; expected True or"),
    "no dropout": (changed("hparams", dropout=None), r"\['dropout'\]=None is a NoneType; expected a number"),
    "a misspelt preprocessing": (changed("preprocessing", normalisation="minmax"), "Did you mean 'normalization'"),
    "a frozen nothing": ({**GRU, "frozen": ["gru_layer.0"]}, "no weight is named 'gru_layer.0'.*Did you mean 'gru_l"),
    "a frozen text": ({**GRU, "frozen": "fc_out"}, "'fc_out'; expected a list of names"),
    "a frozen number": ({**GRU, "frozen": [1]}, "names no layers"),
}


SOME = ("a path", "weights", "a misspelt hyperparameter", "a rate in a text")


@pytest.mark.parametrize(
    ("entrance", "what"), [*(("evaluate", what) for what in WRONG), *itertools.product(ENTRANCES, SOME)]
)
def test_what_is_no_state_is_told_with_the_way_out(entrance: str, what: str, tmp_path: Path) -> None:
    given, words = WRONG[what]
    with pytest.raises((TypeError, ValueError), match=f"(?s)^(state|target|source|architecture|no weight|.*).*{words}"):
        ENTRANCES[entrance](given, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("entrance", [name for name in ENTRANCES if not name.startswith(("retrain", "test_on"))])
def test_none_is_no_state(entrance: str, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="is None; .*factory.*load_checkpoint"):
        ENTRANCES[entrance](None, tmp_path)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_state_that_a_factory_makes_is_one(case: Case) -> None:
    state = make_state(case)
    assert check_state(state) is state
    assert state["preprocessing"] == dict.fromkeys(Preprocessing.__annotations__), "nothing is known, of all there is"
    assert state["postprocessing"] == {"outputs": None, "events": {}}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_state_without_any_one_hyperparameter_is_told(architecture: str) -> None:
    state = make_state(Case(architecture, "regression"))
    for name in state["hparams"]:
        rest = {key: value for key, value in state["hparams"].items() if key != name}
        with pytest.raises(ValueError, match=f"lacks {name}; {architecture}"):
            nl.build_network({**state, "hparams": rest})


def test_hyperparameters_that_make_no_network_are_told() -> None:
    with pytest.raises(ValueError, match=r"state\['hparams'\] do not make a GRUseq2seq"):
        nl.build_network(changed("hparams", n_layers="two"))


@pytest.mark.parametrize(
    ("name", "words"),
    [("GRUseq2seq", "factory 'gru_seq2seq'"), ("TransformerED", "factory 'transformer_enc"), ("evalute", "'evaluate'")],
)
def test_a_wrong_name_of_the_library_is_answered_with_the_right_one(name: str, words: str) -> None:
    with pytest.raises(AttributeError, match=f"no attribute '{name}'. Did you mean (the )?{words}"):
        getattr(nl, name)
    assert not hasattr(nl, name)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"normalisation": "minmax"}, "'normalisation'.*Did you mean 'normalization'"),
        ({"class_weights": "balanced"}, "'class_weights'.*Did you mean 'class_weight'"),
        ({"sed": 1}, "'sed'.*Did you mean 'seed'"),
        ({"patiance": 1}, "'patiance'.*Did you mean 'patience'"),
        ({"gradient_clip_value": 1}, "Did you mean 'gradient_clip_val'"),
        ({"min_max_norm_sig": True}, "original.*normalization='minmax'"),
        ({"max_epochs": 3}, "give epochs"),
    ],
)
@pytest.mark.parametrize("function", ["train", "train_from_scratch", "retrain"])
def test_a_misspelt_option_is_told_by_its_right_name(
    function: str, option: dict[str, Any], words: str, tmp_path: Path
) -> None:
    call = {
        "train": lambda: nl.train(GRU, PAIRS, PAIRS, epochs=1, batch_size=2, **option),
        "train_from_scratch": lambda: nl.train_from_scratch(GRU, tmp_path, tmp_path, **option),
        "retrain": lambda: nl.retrain(None, tmp_path, tmp_path, checkpoints_directory=tmp_path, **option),
    }[function]
    with pytest.raises(TypeError, match=words):
        call()


@pytest.mark.parametrize("option", [{"windowsize": 3}, {"dataset": "x"}])
def test_an_option_of_the_folders_is_told_where_they_are_trained_on(option: dict[str, Any], tmp_path: Path) -> None:
    right = {"windowsize": "window_size", "dataset": "dataset_name"}[next(iter(option))]
    with pytest.raises(TypeError, match=f"Did you mean '{right}'"):
        nl.train_from_scratch(GRU, tmp_path, tmp_path, **option)


def test_an_empty_path_is_not_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nl.save_checkpoint(GRU, tmp_path)
    monkeypatch.chdir(tmp_path)
    for call in (
        lambda: nl.load_checkpoint(""),
        lambda: nl.save_checkpoint(GRU, " "),
        lambda: nl.get_hparams_from_checkpoints(""),
        lambda: nl.get_weights_and_info_from_checkpoints(""),
        lambda: nl.open_folder("", "y", "train"),
        lambda: nl.create_checkpoints_directory(GRU, False, ""),
        lambda: nl.retrain(None, "x", "y", checkpoints_directory=""),
        lambda: nl.test_on_test_set(None, "x", "y", checkpoints_dir=""),
    ):
        with pytest.raises(ValueError, match="is empty|needs weights"):
            call()
    monkeypatch.setenv("NEURALLIB_RESULTS_DIR", "")  # says nothing, as where there is no such variable
    assert nl.create_checkpoints_directory(GRU, False).parts[0] == "results"


def test_a_path_may_begin_in_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, here = tmp_path / "home", tmp_path / "here"
    here.mkdir()
    write_folders(home / "data", GRU)
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("NEURALLIB_RESULTS_DIR", "~/results")
    assert nl.create_checkpoints_directory(GRU, False).is_relative_to(home / "results")
    nl.save_checkpoint(GRU, "~/run")
    more: dict[str, Any] = {"checkpoints_dir": "~/run", "save_predictions": True}
    assert len(nl.test_on_test_set(None, "~/data/x", "~/data/y", **more)[0]) == 6
    assert (home / "run" / "predictions" / "1.npy").is_file()
    nl.plot_losses([1.0], [1.0], path="~/losses.png")
    results = nl.grid_search(
        "GRUseq2seq", {"n_features": 2, "hid_dim": 2, "n_layers": 1}, enable_progress_bar=False,
        train_params={"path_x": "~/data/x", "path_y": "~/data/y", "epochs": 1, "batch_size": 4, "dataset_name": "d",
                      "trained_for": "t"},
    )  # fmt: skip
    assert [result["status"] for result in results] == ["finished"] and list(here.iterdir()) == []


@pytest.mark.parametrize("seed", [-1, 2**64, 2**80])
def test_a_seed_that_no_generator_takes_is_told(seed: int) -> None:
    for call in (
        lambda: nl.gru_seq2seq(n_features=1, hid_dim=2, n_layers=1, seed=seed),
        lambda: nl.train(GRU, PAIRS, PAIRS, epochs=1, batch_size=2, seed=seed),
        lambda: nl.synthetic_ecg(duration=2, sampling_frequency=100, seed=seed),
    ):
        with pytest.raises(ValueError, match="seed=.*expected an integer of at least 0 and at most"):
            call()


def test_weights_that_are_not_finite_go_no_further_than_the_loop_that_made_them(tmp_path: Path) -> None:
    network = nl.build_network(GRU)
    with torch.no_grad():
        network.fc_out.bias.fill_(torch.nan)
    with pytest.raises(ValueError, match="the network, whose training may have diverged: fc_out.bias holds nan"):
        nl.state_from_network(GRU, network)
    diverged = changed("weights", **{"fc_out.bias": torch.tensor([torch.inf])})
    for call in (nl.save_checkpoint, nl.export_onnx):
        with pytest.raises(ValueError, match="the state's weights: fc_out.bias holds nan or infinite"):
            call(diverged, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rename", [functools.partial(l1_unstructured, name="weight", amount=0.3), weight_norm])
def test_a_network_whose_parameters_were_renamed_does_not_answer_without_them(rename: Any) -> None:
    state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1)
    network = nl.build_network(state).eval()
    rename(network.fc_out)
    for call in (
        lambda: network(torch.zeros(1, 5, 1)),
        lambda: nl.stream_step(network, np.zeros((5, 1)), nl.init_stream(state)),
    ):
        with pytest.raises(ValueError, match="network has no parameter fc_out.weight, and has fc_out.*weight.*orig"):
            call()


@pytest.mark.parametrize("architecture", ["GRUED", "TransformerED"])
@pytest.mark.parametrize("shape", [(2, 5, 2), (2, 7, 2), (2, 6, 3), (1, 6, 2)])
def test_an_encoder_decoder_tells_of_a_target_that_does_not_fit(architecture: str, shape: tuple[int, ...]) -> None:
    network = nl.build_network(make_state(Case(architecture, "regression")))
    with pytest.raises(ValueError, match=r"target has shape .*expects \(2, 6, 2\)"):
        network(torch.zeros(2, 6, 2), torch.tensor([6, 4]), torch.zeros(shape))


@pytest.mark.parametrize(
    ("kind", "logits", "y"),
    [
        ("multilabel", (2, 6, 3), (2, 3, 6)),
        ("multilabel", (2, 6, 3), (2, 6)),
        ("binary", (2, 6, 1), (2, 5, 1)),
        ("multiclass", (2, 6, 3), (2, 6, 3)),
        ("regression", (2, 6, 3), (2, 6, 3)),
    ],
)
def test_a_loss_tells_of_a_target_that_does_not_fit(kind: Any, logits: tuple[int, ...], y: tuple[int, ...]) -> None:
    loss = nl.loss_function(make_state(Case("GRUseq2seq", kind)))
    with pytest.raises(ValueError, match=f"seq2seq {kind} expects"):
        loss(torch.zeros(logits), torch.zeros(y), torch.tensor([6, 4]))


def test_make_loader_tells_of_data_that_are_not_prepared() -> None:
    with pytest.raises(TypeError, match=r"list; expected what prepare\(state, data\) gives"):
        nl.make_loader(PAIRS, batch_size=2)  # type: ignore[arg-type]
