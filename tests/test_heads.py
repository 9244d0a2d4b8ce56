"""What stands before a model's head: features, and the same layers under another head for another task."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from cases import CASES, QUIET, TASKS, Case, data, make_batch, make_pairs, make_state, same_weights
from torch.nn.functional import linear

import neurallib as nl
from neurallib.architectures import ARCHITECTURES, hyperparameters

each_case = pytest.mark.parametrize("case", CASES, ids=str)
each_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES)


@each_case
@pytest.mark.parametrize("taught", [False, True])
def test_the_head_makes_logits_of_features(case: Case, taught: bool) -> None:
    state = make_state(case)
    batch, network = make_batch(state, [9, 4, 7]), nl.build_network(state).eval()
    target = batch["y"] if taught else None
    features = network(batch["x"], batch["lengths"], target, features=True)
    logits = network(batch["x"], batch["lengths"], target)
    assert features.shape == (*logits.shape[:-1], state["weights"]["fc_out.weight"].shape[1])
    made = linear(features, state["weights"]["fc_out.weight"], state["weights"]["fc_out.bias"])
    for i, length in enumerate(batch["lengths"]):
        some = slice(None) if logits.dim() == 2 else slice(int(length))
        torch.testing.assert_close(made[i][some], logits[i][some])


@each_architecture
def test_features_are_the_same_alone_and_within_a_padded_batch(architecture: str) -> None:
    state = make_state(Case(architecture, "regression"))
    network, batch = nl.build_network(state).eval(), make_batch(state, [9, 4, 7])
    together = network(batch["x"], batch["lengths"], features=True)
    for i, length in enumerate(batch["lengths"].tolist()):
        alone = network(batch["x"][i : i + 1, :length], features=True)[0]
        row = together[i] if together.dim() == 2 else together[i, :length]
        torch.testing.assert_close(row, alone, rtol=1e-5, atol=1e-6)
        assert together.dim() == 2 or not together[i, length:].any(), "zero beyond a length"


@each_architecture
def test_features_carry_a_gradient_to_the_layers(architecture: str) -> None:
    state = make_state(Case(architecture, "regression"))
    network, batch = nl.build_network(state), make_batch(state, [9, 4])
    network(batch["x"], batch["lengths"], features=True).square().sum().backward()
    with_gradient = {name for name, weight in network.named_parameters() if weight.grad is not None}
    assert with_gradient and not any(name.startswith("fc_out") for name in with_gradient)


def test_a_model_without_a_head_gives_its_outputs_as_features() -> None:
    state = nl.gru_seq2seq(n_features=3, hid_dim=3, n_layers=1, task="regression", fc_out_bool=False)
    x, network = torch.randn(2, 5, 3), nl.build_network(state).eval()
    assert torch.equal(network(x, features=True), network(x))
    assert nl.replace_head(state, task="classification")["weights"]["fc_out.weight"].shape == (1, 3)


def body(state: nl.State) -> dict[str, torch.Tensor]:
    return {name: weight for name, weight in state["weights"].items() if not name.startswith("fc_out.")}


@each_case
@pytest.mark.parametrize("kind", TASKS)
def test_another_head_keeps_the_layers_for_the_new_task(case: Case, kind: str) -> None:
    state = make_state(case, seed=7, model_name="Source")
    state["preprocessing"].update(sampling_frequency=250.0, normalization="zscore")
    state["frozen"] += [next(iter(state["weights"])), "fc_out"]
    before = {name: weight.clone() for name, weight in state["weights"].items()}
    words: dict[str, Any] = {} if case.architecture.endswith("ED") else TASKS[kind]
    new = nl.replace_head(state, **words, seed=3)
    made = ARCHITECTURES[case.architecture].factory(**new["hparams"], seed=3)
    assert new["hparams"] == make_state(Case(case.architecture, kind), model_name="Source")["hparams"]
    assert body(new).keys() == body(state).keys()
    for name, weight in body(state).items():
        assert torch.equal(new["weights"][name], weight) and new["weights"][name].data_ptr() != weight.data_ptr()
    for name in ("fc_out.weight", "fc_out.bias"):
        assert torch.equal(new["weights"][name], made["weights"][name]), "drawn anew, by the seed"
    assert new["preprocessing"] == state["preprocessing"] and new["frozen"] == state["frozen"][:1]
    (source,) = new["training_info"]["transfer"]["sources"]
    assert source["model_name"] == "Source" and not any(name.startswith("fc_out") for name in source["layers"])
    assert all(torch.equal(before[name], weight) for name, weight in state["weights"].items())


@each_architecture
def test_a_model_with_another_head_trains(architecture: str) -> None:
    state = make_state(Case(architecture, "regression"))
    words = {} if architecture.endswith("ED") else {"task": "classification", "num_classes": 3}
    new = nl.replace_head(state, **words)
    trained = nl.train(new, data(new), data(new, 3), epochs=1, batch_size=4, **QUIET)
    assert not same_weights(trained, new) and trained["training_info"]["transfer"]["sources"]
    assert nl.predict(trained, [make_pairs(new, [8])[0][0]])[0].shape[-1] == (2 if architecture.endswith("ED") else 3)


def test_a_model_without_a_head_gets_one() -> None:
    state = nl.gru_seq2seq(n_features=1, hid_dim=[4, 2], n_layers=2, task="regression", n_outputs=2, fc_out_bool=False)
    new = nl.replace_head(state, task="classification", num_classes=3)
    assert new["hparams"]["fc_out_bool"] and new["weights"]["fc_out.weight"].shape == (3, 2)
    assert new["training_info"]["transfer"]["sources"][0]["layers"].keys() == {"gru_layers.0", "gru_layers.1"}


def test_the_head_of_the_same_task_stays_as_large() -> None:
    state = make_state(Case("GRUseq2seq", "multilabel"))
    for words in ({}, {"task": "classification"}):
        new = nl.replace_head(state, **words, seed=1)
        assert new["hparams"] == state["hparams"]
        assert not torch.equal(new["weights"]["fc_out.weight"], state["weights"]["fc_out.weight"])
    assert nl.replace_head(state, num_classes=4)["hparams"]["multi_label"] is False
    other = nl.replace_head(make_state(Case("GRUseq2seq", "multiclass")), multi_label=True)["hparams"]
    assert other["multi_label"] is True and other["num_classes"] == 3


@each_architecture
def test_outputs_of_a_regression_are_as_many_as_are_asked_for(architecture: str) -> None:
    state = make_state(Case(architecture, "regression"))
    if "n_outputs" not in hyperparameters(ARCHITECTURES[architecture].factory):
        with pytest.raises(ValueError, match=f"{architecture} has no n_outputs"):
            nl.replace_head(state, n_outputs=5)
        return
    (output,) = nl.predict(nl.replace_head(state, n_outputs=5), [np.zeros((4, 2))])
    assert output.shape[-1] == 5


def test_an_encoder_decoder_takes_no_other_task() -> None:
    with pytest.raises(ValueError, match="GRUED has no task, num_classes"):
        nl.replace_head(make_state(Case("GRUED", "regression")), task="classification", num_classes=2)
    with pytest.raises(ValueError, match="num_classes=3 is for task='classification'"):
        nl.replace_head(make_state(Case("GRUseq2seq", "regression")), num_classes=3)


@pytest.mark.parametrize("kind", ["forward_hook", "forward_pre_hook", "full_backward_hook"])
def test_a_hook_of_a_layer_which_nothing_calls_is_told_and_that_of_the_network_is_called(kind: str) -> None:
    network, x, called = nl.build_network(make_state(Case("GRUseq2seq", "binary"))), torch.randn(1, 5, 2), []
    network = pickle.loads(pickle.dumps(copy.deepcopy(network)))
    getattr(network, f"register_{kind}")(lambda *_: called.append("network"))
    with pytest.warns(UserWarning, match="a hook of a layer is never called: .*features=True. gives what its head"):
        getattr(network.get_submodule("gru_layers.0"), f"register_{kind}")(hook=lambda *_: called.append("layer"))
    network(x.requires_grad_()).sum().backward()
    assert called == ["network"]
    with pytest.raises(NotImplementedError, match="a layer of a network cannot be called: .*features=True"):
        network.get_submodule("fc_out")(x)
