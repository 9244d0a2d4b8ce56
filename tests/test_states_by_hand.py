"""States that a hand has changed, and new ones made of others: checked, made plain, and sharing nothing."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import Case, make_state

import neurallib as nl
from neurallib.architectures import check_state

GRU = make_state(Case("GRUseq2seq", "binary"))
BY_HAND: list[tuple[str, Any, str]] = [
    ("preprocessing", {"sampling_frequency": 0}, "sampling_frequency'.=0; expected"),
    ("preprocessing", {"window": 0.0}, "window'.=0.0; expected"),
    ("preprocessing", {"channels": "II"}, "channels'. is one text, 'II'; expected a list"),
    ("preprocessing", {"units": "mV"}, "units'. is one text, 'mV'; expected a list"),
    ("preprocessing", {"windw": 1.0}, "has 'windw'. Did you mean 'window'"),
    ("postprocessing", {"output": ["a"]}, "has 'output'. Did you mean 'outputs'"),
    ("postprocessing", {"outputs": "R-peak"}, "outputs'. is one text, 'R-peak'; expected a list"),
    ("postprocessing", {"events": [0.5]}, "events'. is .0.5.; expected a dict"),
    ("hparams", {"bidir_per_layer": None}, "bidir_per_layer'.=None is a NoneType; expected a list of True or False"),
    ("hparams", {"bidir_per_layer": [-1, -1]}, "a value of .*bidir_per_layer'.=-1 is a int; expected True or False"),
    ("hparams", {"model_name": None}, "model_name'.=None is a NoneType; expected a string"),
    ("hparams", {"learning_rate": "0.1"}, "learning_rate'.='0.1' is a str; expected a number"),
    ("hparams", {"fc_out_bool": 1}, "fc_out_bool'.=1 is a int; expected True or False"),
    ("training_info", [], "training_info'. is a list; expected a dict"),
    ("frozen", "fc_out", "frozen'. is 'fc_out'; expected a list of names"),
    ("frozen", ["fc_uot"], "no weight is named 'fc_uot'.*fc_out"),
    ("weights", {"fc_out.bias": GRU["weights"]["fc_out.bias"].to_sparse()}, "expected floating-point numbers, dense"),
    ("weights", {"fc_out.bias": GRU["weights"]["fc_out.bias"].to("meta")}, "expected floating-point numbers, dense"),
    ("weights", {"fc_out.bias": GRU["weights"]["fc_out.bias"].int()}, "expected floating-point numbers, dense"),
]


@pytest.mark.parametrize(("key", "value", "told"), BY_HAND)
def test_what_a_hand_put_into_a_state_is_told_where_it_cannot_be(key: str, value: Any, told: str) -> None:
    known: Any = GRU[key]  # type: ignore[literal-required]
    with pytest.raises((TypeError, ValueError), match=told):
        check_state({**GRU, key: {**known, **value} if isinstance(value, dict) else value})


def test_weights_that_a_hand_put_in_are_made_plain_beside_the_state() -> None:
    name, weight = "fc_out.bias", GRU["weights"]["fc_out.bias"]
    learning = weight.clone().requires_grad_()
    for given in (weight.double(), learning, weight.bfloat16(), learning.double()):
        state = {**GRU, "weights": {**GRU["weights"], name: given}}
        made = check_state(state)["weights"][name]
        assert made.dtype == torch.float32 and not made.requires_grad
        torch.testing.assert_close(made, weight, rtol=0.01, atol=0)
        assert state["weights"][name] is given
    old = {key: value for key, value in GRU.items() if key != "postprocessing"}
    for partial in (old, {**GRU, "postprocessing": {}}, {**GRU, "preprocessing": {}}, types.MappingProxyType(GRU)):
        checked = check_state(partial)
        assert checked["preprocessing"] == GRU["preprocessing"] and checked["postprocessing"] == GRU["postprocessing"]


def test_hyperparameters_that_make_no_network_are_named_and_not_saved(tmp_path: Path) -> None:
    for wrong, told in (({"hid_dim": 0}, "do not make a GRU"), ({"hid_dim": 5}, "do not match the hyperparameters")):
        state: Any = {**GRU, "hparams": {**GRU["hparams"], **wrong}}
        for use in (nl.build_network, nl.transfer_hparams, lambda state: nl.save_checkpoint(state, tmp_path / "run")):
            with pytest.raises(ValueError, match=told):
                use(state)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda n: nl.gru_seq2seq(n_features=1, hid_dim=3, n_layers=n), "^n_layers=.*at most 1000"),
        (lambda n: nl.gru_encoder_decoder(n_features=1, enc_hid_dim=3, dec_hid_dim=3, dec_layers=n), "^dec_layers=.*0"),
        (lambda n: nl.transformer_seq2one(
            n_features=1, d_model=4, nhead=1, dim_feedforward=4, num_encoder_layers=n), "^num_encoder_layers=.*1000"),
        (lambda n: nl.gru_seq2one(n_features=1, hid_dim=n, n_layers=1), "weights.* gru_layers.0.weight_hh_l0, is"),
    ],
)  # fmt: skip
def test_sizes_that_no_machine_holds_are_told_at_once(make: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        make(10**12)


def changeable(value: Any) -> set[int]:
    """What can be changed in place of a value, by where it is."""
    if isinstance(value, torch.Tensor):
        return {value.untyped_storage().data_ptr()}
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return {id(value)}.union(*map(changeable, inner)) if isinstance(value, (dict, list)) else set()


def test_a_new_state_shares_nothing_that_can_be_changed_with_the_one_it_was_made_of() -> None:
    steps = [{"name": "highpass", "frequency": 0.5}]
    state = make_state(Case("GRUseq2seq", "binary"), steps=steps)
    state["frozen"], state["training_info"] = ["gru_layers.0"], {"val_losses": [1.0]}
    state["postprocessing"] = {"outputs": ["R-peak"], "events": {"threshold": 0.5}}
    network = nl.build_network(state)
    network.gru_layers.get_submodule("1").weight_ih_l0.data = torch.ones(12, 12).T  # laid out otherwise
    made = {
        "freeze": nl.freeze(state, "fc_out"), "unfreeze": nl.unfreeze(state),
        "reuse_layers": nl.reuse_layers(state, GRU, ["gru_layers.1"]), "replace_head": nl.replace_head(state),
        "state_from_network": nl.state_from_network(state, network),
    }  # fmt: skip
    for name, new in made.items():
        assert not changeable(new) & changeable(state), name
        assert all(not weight.requires_grad and weight.is_contiguous() for weight in new["weights"].values()), name
    assert not changeable(made["state_from_network"]) & changeable(dict(network.named_parameters()))
    assert not changeable(state) & changeable(steps)
