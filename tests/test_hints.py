"""Errors about a wrong name tell the right one."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import QUIET, Case, data, make_state, write_folders

import neurallib as nl
from neurallib.names import did_you_mean, listing

FUNCTIONS = [name for name in nl.__all__ if inspect.isfunction(getattr(nl, name))]
SIGNATURES = {name: inspect.signature(getattr(nl, name)) for name in FUNCTIONS}
GRU = make_state(Case("GRUseq2seq", "binary"))
SIZES = {"n_features": 2, "hid_dim": 3, "n_layers": 1}


def train(**options: Any) -> Any:
    return nl.train(GRU, data(GRU), data(GRU, 2), **{"epochs": 1, "batch_size": 4, **QUIET, **options})


def on_folders(tmp_path: Path, **options: Any) -> Any:
    return nl.train_from_scratch(GRU, *write_folders(tmp_path, GRU), **QUIET, **options)


def retrained(tmp_path: Path, **options: Any) -> Any:
    return nl.retrain(GRU, *write_folders(tmp_path, GRU), checkpoints_directory=tmp_path, **QUIET, **options)


def searched(tmp_path: Path, architecture: str = "GRUseq2seq", options: Any = None, **params: Any) -> Any:
    path_x, path_y = write_folders(tmp_path, GRU)
    params = {"path_x": path_x, "path_y": path_y} | params
    return nl.grid_search(architecture, SIZES | (options or {}), params, **QUIET)


WRONG: list[tuple[Callable[[Path], Any], str]] = [
    (lambda _: nl.validate_architecture_name("GRUseq2sec"), "GRUseq2seq"),
    (lambda _: nl.validate_architecture_name("transformerED"), "TransformerED"),
    (lambda _: nl.gru_seq2seq(**SIZES, learnig_rate=0.1), "learning_rate"),
    (lambda _: nl.evaluate(GRU, data(GRU), batchsize=3), "batch_size"),
    (lambda _: nl.gru_seq2seq(**SIZES, task="regresion"), "regression"),
    (lambda _: nl.gru_seq2one(**SIZES, pooling="lst"), "last"),
    (lambda _: nl.transformer_seq2seq(n_features=1, d_model=4, nhead=1, dim_feedforward=4, task="clasification"),
     "classification"),
    (lambda _: train(normalization="min-max"), "minmax"),
    (lambda _: train(class_weight="balance"), "balanced"),
    (lambda _: train(gradient_clip=1.0), "gradient_clip_val"),
    (lambda _: train(normalisation="minmax"), "normalization"),
    (lambda _: train(patiance=3), "patience"),
    (lambda _: train(fs=3), "sampling_frequency"),
    (lambda _: nl.read_recording("a.npy", fs=3), "sampling_frequency"),
    (lambda _: nl.class_scores([0], [0], groups=["a"]), "people"),
    (lambda _: nl.split_people(["a"], groups=["a"]), "person"),
    (lambda _: nl.cross_validate(GRU, data(GRU), groups=[*"abcd"], epochs=1, batch_size=4), "people"),
    (lambda _: nl.cross_validate(GRU, data(GRU), [*"abcd"], n_splits=2, epochs=1, batch_size=4), "folds"),
    (lambda _: nl.train(GRU, data(GRU), validation_data=data(GRU), epochs=1, batch_size=4), "val_data"),
    (lambda _: nl.gru_seq2seq(**SIZES, lr=0.1), "learning_rate"),
    (lambda path: on_folders(path, sed=3), "seed"),
    (lambda path: on_folders(path, class_weights="balanced"), "class_weight"),
    (lambda path: on_folders(path, accumulate_gradient_batches=2), "accumulate_grad_batches"),
    (lambda path: retrained(path, sampling_freq=3), "sampling_frequency"),
    (lambda path: searched(path, "GRUseqtoseq"), "GRUseq2seq"),
    (lambda path: searched(path, options={"hid_dims": 3}), "hid_dim"),
    (lambda path: searched(path, epoch=3), "epochs"),
    (lambda _: nl.predict(GRU, [np.zeros((3, 2))], output="probability"), "probabilities"),
    (lambda _: nl.freeze(GRU, "gru_layer.0"), "gru_layers.0"),
    (lambda _: nl.freeze(GRU, "fc_out.weights"), "fc_out.weight"),
    (lambda _: nl.unfreeze(GRU, "fcout"), "fc_out"),
    (lambda _: nl.reuse_layers(GRU, GRU, ["gru_layers_1"]), "gru_layers.1"),
    (lambda _: nl.reuse_layers(GRU, GRU, {"fc_out": "fc_ut"}), "fc_out"),
    (lambda _: nl.freezing_plan(GRU, 1, "lastonly"), "last_only"),
    (lambda _: nl.transfer_hparams(GRU, architecture="GRUseq2on"), "GRUseq2one"),
    (lambda _: nl.evaluate({**GRU, "hparams": {**GRU["hparams"], "learnig_rate": 1}}, data(GRU)), "learning_rate"),
    (lambda _: nl.evaluate({**GRU, "wieghts": {}}, data(GRU)), "weights"),
    (lambda _: nl.GRUseq2seq, "gru_seq2seq"),
    (lambda _: nl.load_checkpoints, "load_checkpoint"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "meant"), WRONG, ids=[f"{i}-{meant}" for i, (_, meant) in enumerate(WRONG)])
def test_an_error_about_a_wrong_name_tells_the_right_one(
    call: Callable[[Path], Any], meant: str, tmp_path: Path, results: Path
) -> None:
    with pytest.raises((TypeError, ValueError, AttributeError), match=f"Did you mean .*{meant!r}"):
        call(tmp_path)
    assert not results.exists()


def has_options(signature: inspect.Signature) -> bool:
    """Two arguments and more, some of them optional; what goes on to Lightning is looked at by train."""
    given = signature.parameters.values()
    defaults = any(parameter.default is not parameter.empty for parameter in given)
    return len(given) > 1 and defaults and all(parameter.kind != parameter.VAR_KEYWORD for parameter in given)


@pytest.mark.parametrize("name", [name for name, signature in SIGNATURES.items() if has_options(signature)])
def test_a_misspelt_option_of_any_public_function_is_told(name: str) -> None:
    *_, option = SIGNATURES[name].parameters
    with pytest.raises(TypeError, match=f"{name}.. got an unexpected .* '{option}x'. Did you mean '{option}'"):
        getattr(nl, name)(**{f"{option}x": None})


def test_a_list_of_names_says_how_many_are_left_out() -> None:
    assert listing("abcd", 2) == "a, b and 2 more"
    assert listing("abc", 2) == "a, b and 1 more"
    assert listing("ab", 2) == "a, b"
    assert listing([]) == "none"
    assert listing(map(str, range(11))) == "0, 1, 2, 3, 4, 5, 6, 7 and 3 more"


def test_the_nearest_names_are_told_in_order_whatever_their_case_and_nothing_where_none_is_near() -> None:
    known = ["gru_layers.0", "gru_layers.1", "fc_out"]
    assert did_you_mean("GRU_LAYER.1", known) == " Did you mean 'gru_layers.1'?"
    assert did_you_mean("gru_layer.1", known, 2) == " Did you mean 'gru_layers.1' or 'gru_layers.0'?"
    assert did_you_mean("encoder", known) == ""
    assert did_you_mean(3, [1, 30]) == " Did you mean '30'?"


@pytest.mark.parametrize(
    ("option", "way"),
    [
        ({"max_epochs": 3}, "give epochs"),
        ({"learning_rate": 0.1}, "'learning_rate' is a hyperparameter: give it to the factory"),
        ({"hid_dim": 3}, "'hid_dim' is a hyperparameter: .*; the weights of one that is there are made for its own"),
        ({"num_classes": 3}, "replace_head changes it"),
        ({"default_root_dir": "."}, "give results_directory"),
        ({"lr": 0.1}, "no option 'lr': learning_rate is a hyperparameter: give it to the factory"),
        ({"num_workers": 2}, "no option 'num_workers': the process that trains prepares its own batches"),
        ({"criterion": abs}, "no option 'criterion': give loss="),
        ({"shuffle": False}, "no option 'shuffle': training signals come in another order each epoch"),
        ({"sampler": [0]}, "no option 'sampler': sample_weight= tells how much each signal counts"),
        ({"collate_fn": abs}, "no option 'collate_fn': signals are padded to the longest of their batch"),
        ({"min_max_norm_sig": True}, "normalization='minmax'"),
        ({"checkpoints_directory": "somewhere"}, "call retrain"),
    ],
)
def test_an_option_that_goes_by_another_name_here_is_told(option: dict[str, Any], way: str, tmp_path: Path) -> None:
    with pytest.raises((TypeError, ValueError), match=way):
        on_folders(tmp_path, **option)
