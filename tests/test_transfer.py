"""Transfer learning: whose weights are where, what learns and what stays, and what the state remembers of it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import Case, make_pairs, make_state

import neurallib as nl
from neurallib.models.registry import ARCHITECTURES
from neurallib.state import new_preprocessing

QUIET = {"epochs": 2, "batch_size": 2, "enable_progress_bar": False}


def models() -> tuple[nl.State, nl.State]:
    source = nl.gru_seq2seq(n_features=2, hid_dim=[6, 4], n_layers=2, task="regression", model_name="Denoiser", seed=1)
    hparams = nl.transfer_hparams(source, 1, [5], bidir_per_layer=[False, True])
    return nl.gru_seq2seq(**hparams, seed=2), source


def test_reused_layers_have_the_sources_weights_and_the_others_their_own() -> None:
    target, source = models()
    state = nl.reuse_layers(target, source, ["gru_layers.0"])
    for name, weight in state["weights"].items():
        origin = source if name.startswith("gru_layers.0.") else target
        assert torch.equal(weight, origin["weights"][name])
        assert weight.data_ptr() != origin["weights"][name].data_ptr()
    told = state["training_info"]["transfer"]
    reused = sum(w.numel() for name, w in target["weights"].items() if name.startswith("gru_layers.0."))
    assert told["share"] == pytest.approx(reused / sum(w.numel() for w in target["weights"].values()))
    assert told["sources"][0]["model_name"] == "Denoiser"


def test_history_of_both_sides_is_kept() -> None:
    target, source = models()
    runs = [make_pairs(state, [6, 8]) for state in (target, source)]
    target = nl.train(nl.train(target, runs[0], runs[0], dataset_name="A", **QUIET), runs[0], runs[0], **QUIET)
    source = nl.train(source, runs[1], runs[1], dataset_name="B", **QUIET)
    first = nl.reuse_layers(target, source, ["gru_layers.0"])["training_info"]["transfer"]
    assert first["rest"]["training_history"]["train_dataset"] == "A"
    again = nl.reuse_layers(source, nl.reuse_layers(target, source, ["gru_layers.0"]), ["gru_layers.0"])
    assert again["training_info"]["transfer"]["sources"][0]["transfer"] == first


def test_an_earlier_source_keeps_the_weights_that_a_later_one_left() -> None:
    shape = {"n_features": 2, "hid_dim": 3, "n_layers": 2}
    target, first, second = (nl.gru_seq2seq(**shape, seed=i, model_name=f"model {i}") for i in range(3))
    once = nl.reuse_layers(target, first, ["gru_layers.0", "gru_layers.1", "fc_out"])
    twice = nl.reuse_layers(once, second, ["gru_layers.1", "fc_out.bias"])
    told = twice["training_info"]["transfer"]["sources"]
    assert [(source["model_name"], source["layers"]) for source in told] == [
        ("model 1", {"gru_layers.0": "gru_layers.0", "fc_out.weight": "fc_out.weight"}),
        ("model 2", {"gru_layers.1": "gru_layers.1", "fc_out.bias": "fc_out.bias"}),
    ]
    for name, weight in twice["weights"].items():
        later = name.startswith("gru_layers.1.") or name == "fc_out.bias"
        assert torch.equal(weight, (second if later else first)["weights"][name])
    assert sum(source["share"] for source in told) == pytest.approx(1)
    assert told[0]["share"] == pytest.approx((2 * 9 + 3 * 9 + 18 + 3) / (2 * 9 + 3 * 9 + 18 + 2 * 27 + 18 + 4))
    thrice = nl.reuse_layers(twice, target, ["gru_layers.0", "fc_out.weight"])["training_info"]["transfer"]
    assert [source["model_name"] for source in thrice["sources"]] == ["model 2", "model 0"]


@pytest.mark.parametrize(
    ("own", "theirs", "expected"),
    [
        ((None, None), (360.0, "zscore"), (360.0, "zscore")),
        ((100.0, "minmax"), (None, None), (100.0, "minmax")),
        ((100.0, None), (None, "zscore"), (100.0, "zscore")),
        ((None, None), (None, None), (None, None)),
    ],
)
def test_preprocessing_is_the_targets_and_where_it_has_none_the_sources(
    own: tuple, theirs: tuple, expected: tuple
) -> None:
    target, source = models()
    for state, values in ((target, own), (source, theirs)):
        state["preprocessing"] = {"sampling_frequency": values[0], "normalization": values[1]}
    got = nl.reuse_layers(target, source, ["gru_layers.0"])["preprocessing"]
    assert (got["sampling_frequency"], got["normalization"]) == expected


@pytest.mark.parametrize("name, value", [("channels", ["II", "V1"]), ("units", ["mV", "V"]), ("window", 5.0)])
def test_all_that_the_sources_layers_have_seen_of_signals_goes_along(name: str, value: object) -> None:
    target, source = models()
    source["preprocessing"][name] = value  # type: ignore[literal-required]
    assert nl.reuse_layers(target, source, ["gru_layers.0"])["preprocessing"][name] == value  # type: ignore


def test_preprocessing_that_differs_stays_the_targets_with_a_warning_of_each() -> None:
    target, source = models()
    target["preprocessing"].update(sampling_frequency=100.0, normalization="minmax")
    source["preprocessing"].update(sampling_frequency=360.0, normalization="zscore")
    with pytest.warns(UserWarning) as told:
        got = nl.reuse_layers(target, source, ["gru_layers.0"])["preprocessing"]
    assert got == new_preprocessing({"sampling_frequency": 100.0, "normalization": "minmax"})
    assert [str(warning.message) for warning in told] == [
        "the target's sampling_frequency is 100.0, the source's layers learnt with 360.0.",
        "the target's normalization is 'minmax', the source's layers learnt with 'zscore'.",
    ]


def test_what_is_told_of_a_source_stays_when_the_source_is_told_otherwise() -> None:
    target, source = models()
    source["training_info"]["training_history"] = {"train_dataset": "A"}
    told = nl.reuse_layers(target, source, ["gru_layers.0"])["training_info"]["transfer"]["sources"][0]
    source["training_info"]["training_history"]["train_dataset"] = "B"
    assert told["training_history"] == {"train_dataset": "A"}


def test_a_transferred_pooling_is_the_sources() -> None:
    source = nl.gru_seq2one(n_features=1, hid_dim=4, n_layers=1, pooling="mean")
    assert nl.transfer_hparams(source)["pooling"] == "mean"
    assert nl.transfer_hparams(source, pooling="max")["pooling"] == "max"


def test_layers_that_read_filtered_and_folded_signals_go_on_with_such() -> None:
    steps = [{"name": "highpass", "frequency": 0.5, "beside": True}]
    source = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=2, fold=2, steps=steps, seed=1)
    source["preprocessing"]["sampling_frequency"] = 100.0
    hparams = nl.transfer_hparams(source, architecture="GRUseq2one", num_classes=3)
    state = nl.reuse_layers(nl.gru_seq2one(**hparams), source, "gru_layers.*")
    assert state["preprocessing"]["fold"] == 2 and state["preprocessing"]["steps"] == steps
    assert nl.predict(state, [np.ones((9, 1))])[0].shape == (3,)
    assert nl.transfer_hparams(source, fold=3)["fold"] == 3

    other = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=2)
    assert "fold" not in nl.transfer_hparams(other) and "steps" not in nl.transfer_hparams(other)
    with pytest.raises(ValueError, match="First layers read what fold= and steps= of a factory make"):
        nl.reuse_layers(other, source, "gru_layers.0")
    above = nl.reuse_layers(other, source, "gru_layers.1")
    assert nl.predict(above, [np.ones((9, 1))])[0].shape == (9, 1)


def test_layers_can_change_their_place() -> None:
    source = nl.gru_seq2seq(n_features=4, hid_dim=4, n_layers=2, seed=1)
    state = nl.reuse_layers(
        nl.gru_seq2seq(n_features=4, hid_dim=4, n_layers=2, seed=2), source, {"gru_layers.1": "gru_layers.0"}
    )
    assert torch.equal(state["weights"]["gru_layers.1.weight_hh_l0"], source["weights"]["gru_layers.0.weight_hh_l0"])


def test_what_does_not_fit_is_listed_on_both_sides() -> None:
    target, source = models()
    with pytest.raises(ValueError, match=r"target has no 'gru_layer.0', but gru_layers.0.*Did you mean 'gru_layers.0'"):
        nl.reuse_layers(target, source, ["gru_layer.0"])
    with pytest.raises(ValueError, match="Only in the target: gru_layers.1.weight_ih_l0_reverse"):
        nl.reuse_layers(target, source, ["gru_layers.1"])
    with pytest.raises(ValueError, match=r"fc_out.weight \(1, 10\) \(source: fc_out.weight \(2, 4\)\)"):
        nl.reuse_layers(target, source, ["fc_out"])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_frozen_weights_stay_bitwise_through_training_and_the_others_learn(architecture: str) -> None:
    state = make_state(Case(architecture, "regression"), dropout=0.1)
    layer = next(iter(state["weights"])).rsplit(".", 1)[0]
    frozen = nl.freeze(state, layer)
    assert state["frozen"] == []
    trained = nl.train(frozen, make_pairs(state, [6, 8]), make_pairs(state, [5]), **QUIET)
    for name, weight in trained["weights"].items():
        assert torch.equal(weight, state["weights"][name]) == name.startswith(layer + ".") or not weight.any()
    optimizer, _ = nl.make_optimizer(nl.build_network(frozen), state["hparams"])
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    n_frozen = sum(name.startswith(layer + ".") for name in state["weights"])
    assert len(held) == len(state["weights"]) - n_frozen
    assert nl.unfreeze(frozen)["frozen"] == []


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_dropout_of_a_frozen_layer_is_off_in_training(architecture: str) -> None:
    state = make_state(Case(architecture, "regression"), dropout=0.5)
    x = torch.randn(2, 9, 2)
    layers = [name for name in state["weights"] if not name.startswith("fc_out")]
    for frozen, same in ((nl.freeze(state, layers), True), (state, False)):
        network = nl.build_network(frozen).train()
        assert torch.equal(network(x, None, x), network(x, None, x)) == same


def test_frozen_weights_stay_bitwise_in_half_precision() -> None:
    state = nl.freeze(make_state(Case("GRUseq2seq", "regression")), "gru_layers.0")
    pairs = make_pairs(state, [6, 8])
    trained = nl.train(state, pairs, pairs, precision="bf16-true", **QUIET)
    kept = [torch.equal(weight, state["weights"][name]) for name, weight in trained["weights"].items()]
    assert kept == [name.startswith("gru_layers.0.") for name in state["weights"]]


def test_wrong_sizes_and_directions_of_new_layers_are_named() -> None:
    _, source = models()
    wrong_ones: list[tuple[dict[str, Any], str]] = [
        ({"extra_hid_dims": ["a"]}, "an entry of extra_hid_dims='a' is a str"),
        ({"extra_hid_dims": [0]}, "an entry of extra_hid_dims=0; expected"),
        ({"extra_hid_dims": 5}, "extra_hid_dims=5 is a int; expected a list"),
        ({"bidir_per_layer": True}, "bidir_per_layer=True is a bool; expected a list of True or False"),
    ]  # fmt: skip
    for wrong, told in wrong_ones:
        with pytest.raises((TypeError, ValueError), match=told):
            nl.transfer_hparams(source, 1, **wrong)
    assert nl.transfer_hparams(source, 1, np.array([5]))["hid_dim"][1:] == [5]  # type: ignore[arg-type]


def test_a_text_of_numpy_names_a_layer_too() -> None:
    for name in np.array(["fc_out"]):
        assert nl.freeze(models()[0], name)["frozen"] == ["fc_out"]


def test_what_names_no_layers_is_refused() -> None:
    target, source = models()
    for wrong in (0, None, [0], np.array("gru_layers.0"), torch.tensor(0)):
        with pytest.raises(TypeError, match="names no layers; expected a name such as 'gru_layers.0'"):
            nl.freeze(target, wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="names no layers"):
            nl.reuse_layers(target, source, wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="names no layers"):
        nl.reuse_layers(target, source, {"gru_layers.0": ["gru_layers.0"]})  # type: ignore[dict-item]
    with pytest.raises(TypeError, match=r"source is a name or path \('checkpoints'\); .* load_checkpoint"):
        nl.reuse_layers(target, "checkpoints", ["gru_layers.0"])  # type: ignore[arg-type]


def test_freezing_names_what_there_is() -> None:
    target, _ = models()
    with pytest.raises(ValueError, match="no weight is named 'gru_layer.0'.*Did you mean 'gru_layers.0'"):
        nl.freeze(target, "gru_layer.0")
    with pytest.raises(ValueError, match="every weight is frozen"):
        nl.make_optimizer(nl.build_network(nl.freeze(target, "*")), target["hparams"])


@pytest.mark.parametrize(
    ("strategy", "options", "frozen"),
    [
        ("all", {}, []),
        ("last_only", {}, ["gru_layers.0", "gru_layers.1"]),
        ("gradual", {"depth": 2}, ["gru_layers.0"]),
        ("gradual", {}, ["gru_layers.0", "gru_layers.1"]),
        ("gradual", {"depth": 0}, ["gru_layers.0", "gru_layers.1", "gru_layers.2"]),
        ("gradual", {"depth": 3}, []),
        ("new_only", {}, ["gru_layers.0", "gru_layers.1", "gru_layers.2"]),
    ],
)
def test_the_four_strategies_of_the_original(strategy: str, options: dict, frozen: list[str]) -> None:
    state = nl.gru_seq2seq(n_features=1, hid_dim=3, n_layers=4)
    assert nl.freezing_plan(state, 3, strategy, **options) == frozen


def test_a_transferred_model_trains_and_remembers_where_its_layers_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEURALLIB_RESULTS_DIR", str(tmp_path))
    target, source = models()
    state = nl.freeze(nl.reuse_layers(target, source, ["gru_layers.0"]), nl.freezing_plan(target, 1, "new_only"))
    untrained = nl.load_checkpoint(nl.save_checkpoint(state, tmp_path / "untrained"))["training_info"]
    assert untrained["transfer"] == state["training_info"]["transfer"] and "architecture" not in untrained
    trained = nl.train(state, make_pairs(state, [6, 8]), make_pairs(state, [5]), save=True, **QUIET)
    info = trained["training_info"]
    assert info["transfer"] == state["training_info"]["transfer"]
    assert not info["retraining"] and "training_history" not in info
    back = nl.load_checkpoint(info["checkpoints_directory"])
    assert back["training_info"]["transfer"] == info["transfer"] and back["frozen"] == state["frozen"]


def test_layers_learn_at_their_own_rates() -> None:
    state = nl.gru_seq2seq(n_features=2, hid_dim=3, n_layers=2, learning_rate=1e-2)
    rates = {"gru_layers.0": 1e-4, "*.bias*": 1e-3}
    optimizer, _ = nl.make_optimizer(nl.build_network(state), state["hparams"], layer_learning_rates=rates)
    sizes = {group["lr"]: sum(p.numel() for p in group["params"]) for group in optimizer.param_groups}
    count = {name: weight.numel() for name, weight in state["weights"].items()}
    first = sum(n for name, n in count.items() if name.startswith("gru_layers.0"))
    biases = sum(n for name, n in count.items() if "bias" in name and not name.startswith("gru_layers.0"))
    assert [group["name"] for group in optimizer.param_groups] == ["gru_layers.0", "others", "*.bias*"]
    assert sizes == {1e-4: first, 1e-3: biases, 1e-2: sum(count.values()) - first - biases}
    pairs = make_pairs(state, [6, 8])
    slow = nl.train(state, pairs, pairs, layer_learning_rates={"gru_layers.0": 1e-12}, **QUIET)
    for name, weight in slow["weights"].items():
        assert torch.allclose(weight, state["weights"][name], atol=1e-8) == name.startswith("gru_layers.0.")
    with pytest.raises(ValueError, match="layer_learning_rates names gru_layers.7"):
        nl.train(state, pairs, pairs, layer_learning_rates={"gru_layers.7": 1.0}, **QUIET)
