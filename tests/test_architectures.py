"""Facts that hold for every architecture and task, found through the registry."""

import copy
import pickle

import numpy as np
import pytest
import torch
from cases import CASES, SIZES, Case, make_batch, make_state
from hypothesis import given, settings
from hypothesis import strategies as st

import neurallib as nl
from neurallib.models.registry import ARCHITECTURES, check_weights, state_from_files

each_case = pytest.mark.parametrize("case", CASES, ids=str)
each_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES)
LENGTHS = [9, 1, 5, 12]


def gradients(network: nl.Network, batch: nl.Batch, loss: object) -> dict[str, torch.Tensor]:
    network.zero_grad()
    nl.training_step(network, batch, loss).backward()
    return {name: parameter.grad.clone() for name, parameter in network.named_parameters()}


def alone(batch: nl.Batch, i: int, seq2one: bool) -> nl.Batch:
    n = int(batch["lengths"][i])
    y = batch["y"][i : i + 1] if seq2one else batch["y"][i : i + 1, :n]
    return nl.Batch(x=batch["x"][i : i + 1, :n], y=y, lengths=batch["lengths"][i : i + 1])


@each_case
def test_padding_changes_neither_output_nor_loss_nor_gradient(case: Case) -> None:
    state = make_state(case)
    network, loss = nl.build_network(state).eval(), nl.loss_function(state)
    seq2one = ARCHITECTURES[case.architecture].seq2one
    batch = make_batch(state, LENGTHS)
    padded = dict(batch, x=torch.nn.functional.pad(batch["x"], (0, 0, 0, 7), value=99.0))
    if not seq2one:
        padded["y"] = torch.cat([batch["y"], torch.ones_like(batch["y"][:, :7])], dim=1)
    output = network(padded["x"], padded["lengths"])
    weights = torch.tensor([1.0 if seq2one else float(n) for n in LENGTHS])
    total = None
    for i, n in enumerate(LENGTHS):
        one = alone(batch, i, seq2one)
        expected = network(one["x"], one["lengths"])[0]
        got = output[i] if seq2one else output[i, :n]
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)
        assert seq2one or not output[i, n:].any()
        share = {name: g * weights[i] / weights.sum() for name, g in gradients(network, one, loss).items()}
        total = share if total is None else {name: total[name] + share[name] for name in total}
    for name, gradient in gradients(network, padded, loss).items():
        torch.testing.assert_close(gradient, total[name], rtol=1e-4, atol=1e-6, msg=lambda text: f"{name}: {text}")


@each_case
def test_loss_of_a_batch_is_the_mean_over_valid_steps(case: Case) -> None:
    state = make_state(case)
    loss, batch = nl.loss_function(state), make_batch(state, LENGTHS)
    logits = torch.randn(nl.build_network(state).eval()(batch["x"], batch["lengths"]).shape)
    seq2one = ARCHITECTURES[case.architecture].seq2one
    mask = torch.ones(len(LENGTHS), dtype=torch.bool) if seq2one else nl.valid_mask(batch["lengths"], max(LENGTHS))
    reference = {
        "regression": torch.nn.functional.mse_loss,
        "multiclass": torch.nn.functional.cross_entropy,
    }.get(case.kind, torch.nn.functional.binary_cross_entropy_with_logits)
    expected = reference(logits[mask], batch["y"][mask])
    torch.testing.assert_close(loss(logits, batch["y"], batch["lengths"]), expected)


@each_case
def test_a_network_in_float64_is_taught_by_targets_in_float32(case: Case) -> None:
    state = make_state(case)
    network, loss, batch = nl.build_network(state).eval(), nl.loss_function(state), make_batch(state, LENGTHS)
    expected = nl.training_step(network, batch, loss)
    in_double = nl.Batch(x=batch["x"].double(), y=batch["y"], lengths=batch["lengths"])
    torch.testing.assert_close(nl.training_step(network.double(), in_double, loss), expected)


@each_architecture
def test_seed_alone_decides_the_weights_and_the_global_generators_stay(architecture: str) -> None:
    before, legacy = torch.get_rng_state(), np.random.get_state()[1].copy()
    case = Case(architecture, "regression")
    a, c = make_state(case, seed=3), make_state(case, seed=4)
    with torch.device("meta"):  # as torch.set_default_device
        b = make_state(case, seed=3)
    assert all(torch.equal(a["weights"][name], b["weights"][name]) for name in a["weights"])
    assert not all(torch.equal(a["weights"][name], c["weights"][name]) for name in a["weights"])
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(legacy, np.random.get_state()[1])


@each_case
def test_state_and_network_share_no_memory(case: Case) -> None:
    state = make_state(case)
    kept = copy.deepcopy(state)
    network = nl.build_network(state)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)
    changed = nl.state_from_network(state, network)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)
    for name, weight in kept["weights"].items():
        assert torch.equal(state["weights"][name], weight)
        torch.testing.assert_close(changed["weights"][name], weight + 1)
    assert {k: v for k, v in state.items() if k != "weights"} == {k: v for k, v in kept.items() if k != "weights"}


@each_case
def test_state_survives_pickling(case: Case) -> None:
    state = make_state(case)
    back = pickle.loads(pickle.dumps(state))
    x = torch.randn(1, 6, 2)
    assert torch.equal(nl.build_network(back).eval()(x), nl.build_network(state).eval()(x))


@each_case
def test_network_names_its_weights_as_the_state_does(case: Case) -> None:
    state = make_state(case)
    assert list(nl.build_network(state).state_dict()) == list(state["weights"])


@each_case
def test_a_few_signals_are_learnt_by_heart(case: Case) -> None:
    state = make_state(case)
    network, loss = nl.build_network(state), nl.loss_function(state)
    batch = make_batch(state, [12, 10, 12, 9])
    optimizer = torch.optim.Adam(network.parameters(), lr=0.03)
    torch.set_num_threads(1)  # two wait for each other longer than they compute
    losses = []
    for _ in range(150):
        optimizer.zero_grad()
        value = nl.training_step(network, batch, loss)
        value.backward()
        optimizer.step()
        losses.append(value.item())
    assert min(losses[-5:]) < 0.45 * losses[0]


@each_architecture
def test_dropout_acts_in_training_alone(architecture: str) -> None:
    state = make_state(Case(architecture, "regression"), dropout=0.5)
    network, x = nl.build_network(state), torch.randn(1, 8, 2)
    target = x.clone()
    assert not torch.equal(network(x, None, target), network(x, None, target))
    network.eval()
    assert torch.equal(network(x, None, target), network(x, None, target))


@pytest.mark.parametrize("architecture", ["GRUED", "TransformerED"])
def test_encoder_decoders_predict_from_the_signal_alone(architecture: str) -> None:
    network = nl.build_network(make_state(Case(architecture, "regression"))).eval()
    x, lengths = torch.randn(2, 7, 2), torch.tensor([7, 4])
    generated = network(x, lengths)
    taught = network(x, lengths, generated)
    torch.testing.assert_close(generated, taught, rtol=1e-5, atol=1e-6)
    other = network(x, lengths, torch.randn(2, 7, 2))
    torch.testing.assert_close(other[:, 0], generated[:, 0], rtol=1e-5, atol=1e-6)  # nothing has been read yet
    assert not torch.allclose(other[0, 1:], generated[0, 1:])
    nudged = x.clone()
    nudged[0, -1] += 1
    assert not torch.allclose(network(nudged, lengths)[0], generated[0])


@each_architecture
def test_frozen_weights_get_no_gradient(architecture: str) -> None:
    state = make_state(Case(architecture, "regression"))
    first = next(iter(state["weights"])).rsplit(".", 1)[0]
    network = nl.build_network(dict(state, frozen=[first]))
    learning = {name: parameter.requires_grad for name, parameter in network.named_parameters()}
    assert learning == {name: not name.startswith(first + ".") for name in state["weights"]}


BAD_HPARAMS = [
    ("GRUseq2seq", {"n_features": 0}, ValueError, "n_features=0"),
    ("GRUseq2seq", {"n_features": 1.5}, TypeError, "n_features=1.5"),
    ("GRUseq2seq", {"hid_dim": [4]}, ValueError, "hid_dim=.*1 values.*n_layers=2"),
    ("GRUseq2seq", {"hid_dim": [4, -1]}, ValueError, "hid_dim=-1"),
    ("GRUseq2seq", {"dropout": [0.1, 0.1, 0.1]}, ValueError, "dropout=.*3 values"),
    ("GRUseq2seq", {"dropout": 1.0}, ValueError, "dropout=1.0"),
    ("GRUseq2seq", {"learning_rate": 0}, ValueError, "learning_rate=0"),
    ("GRUseq2seq", {"learning_rate": float("nan")}, ValueError, "learning_rate=nan"),
    ("GRUseq2seq", {"task": ["regression", "classification"]}, ValueError, "a model has one: .* replace_head"),
    ("GRUseq2seq", {"task": "classify"}, ValueError, "Did you mean 'classification'"),
    ("GRUseq2seq", {"task": "regression", "num_classes": 4}, ValueError, "num_classes=4"),
    ("GRUseq2seq", {"task": "regression", "multi_label": True}, ValueError, "multi_label"),
    ("GRUseq2seq", {"num_classes": 0}, ValueError, "num_classes=0"),
    ("GRUseq2seq", {"task": "regression", "fc_out_bool": False}, ValueError, "fc_out_bool=False"),
    ("GRUseq2seq", {"bidirectional": "yes"}, TypeError, "bidirectional='yes'"),
    ("GRUseq2seq", {"seed": -1}, ValueError, "seed=-1"),
    ("GRUseq2seq", {"model_name": " "}, ValueError, "model_name"),
    ("GRUseq2one", {"pooling": "median"}, ValueError, "pooling='median'"),
    ("GRUED", {"enc_layers": 0}, ValueError, "enc_layers=0"),
    ("GRUED", {"fc_out_bool": False}, ValueError, "dec_hid_dim"),
    ("Transformerseq2seq", {"nhead": 3}, ValueError, "nhead"),
    ("Transformerseq2one", {"dim_feedforward": 0}, ValueError, "dim_feedforward=0"),
    ("TransformerED", {"num_decoder_layers": -1}, ValueError, "num_decoder_layers=-1"),
]


@pytest.mark.parametrize(("architecture", "hparams", "error", "words"), BAD_HPARAMS)
def test_a_wrong_hyperparameter_is_named(architecture: str, hparams: dict, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        ARCHITECTURES[architecture].factory(**({"n_features": 2} | SIZES[architecture] | hparams))


def test_bidir_per_layer_is_repeated_when_short_and_cut_when_long() -> None:
    sizes = {"n_features": 1, "hid_dim": 3, "n_layers": 3}
    with pytest.warns(UserWarning, match="last value is repeated"):
        state = nl.gru_seq2seq(**sizes, bidir_per_layer=[True, False])
    assert state["hparams"]["bidir_per_layer"] == [True, False, False]
    with pytest.warns(UserWarning, match="last value is repeated"):
        assert nl.gru_seq2seq(**sizes, bidir_per_layer=[0, 1])["hparams"]["bidir_per_layer"] == [False, True, True]
    with pytest.raises(ValueError, match=r"bidir_per_layer=\[\]; expected a list"):
        nl.gru_seq2seq(**sizes, bidir_per_layer=[])
    with pytest.warns(UserWarning, match="cut"):
        state = nl.gru_seq2seq(**sizes, bidir_per_layer=[True, False, True, True])
    assert state["hparams"]["bidir_per_layer"] == [True, False, True]


def test_architecture_names_are_validated() -> None:
    assert nl.list_architectures() == list(ARCHITECTURES)
    nl.validate_architecture_name("GRUseq2seq")
    with pytest.raises(ValueError, match="Did you mean 'GRUseq2seq'.*|.*GRUED"):
        nl.validate_architecture_name("GRUseqseq")
    with pytest.raises(TypeError, match="class Network.*GRUseq2seq"):
        nl.validate_architecture_name(nl.Network)  # type: ignore[arg-type]


@each_architecture
def test_weights_that_do_not_match_are_listed_on_both_sides(architecture: str) -> None:
    state = make_state(Case(architecture, "regression"))
    weights = dict(state["weights"])
    name = list(weights)[0]
    weights["no.such.weight"] = weights.pop(name)
    with pytest.raises(ValueError, match=f"Missing: {name}.*Not expected: no.such.weight"):
        nl.build_network(dict(state, weights=weights))


@each_case
def test_a_state_read_from_files_is_the_state_that_was_written(case: Case) -> None:
    state = make_state(case)
    back = state_from_files(state["architecture"], state["hparams"], state["weights"])
    assert back["hparams"] == state["hparams"]
    check_weights(back)
    assert all(torch.equal(back["weights"][name], weight) for name, weight in state["weights"].items())
    other, x = {**state, "weights": dict(reversed(state["weights"].items()))}, torch.randn(2, 5, 2)
    assert torch.equal(*(nl.build_network(each).eval()(x) for each in (state, other))), "whatever order they stand in"


def test_what_published_files_leave_out_is_inferred() -> None:
    hparams = {
        "bidirectional": True, "dropout": 0, "hid_dim": [4, 1], "learning_rate": 0.005, "model_name": "Denoiser",
        "multi_label": False, "n_features": 1, "n_layers": 2, "num_classes": "NA", "task": "regression",
        "fc_out_bool": False,
    }  # fmt: skip
    made = nl.gru_seq2seq(**dict(hparams, bidir_per_layer=[True, False]))
    back = state_from_files("GRUseq2seq", hparams, made["weights"])
    assert back["hparams"]["bidir_per_layer"] == [True, False]
    one = nl.gru_seq2one(n_features=1, hid_dim=3, n_layers=1, pooling="last")
    without = {name: value for name, value in one["hparams"].items() if name != "pooling"}
    assert state_from_files("GRUseq2one", without, one["weights"])["hparams"]["pooling"] == "last"


@each_architecture
def test_input_of_a_wrong_shape_or_length_is_refused(architecture: str) -> None:
    network = nl.build_network(make_state(Case(architecture, "regression")))
    for x in (torch.zeros(2, 5), torch.zeros(2, 5, 3), torch.zeros(0, 5, 2), torch.zeros(2, 0, 2)):
        with pytest.raises(ValueError, match="x has shape"):
            network(x)
    with pytest.raises(ValueError, match="lengths=.*between 1 and 5"):
        network(torch.zeros(2, 5, 2), torch.tensor([6, 1]))
    with pytest.raises(ValueError, match="lengths has shape"):
        network(torch.zeros(2, 5, 2), torch.tensor([5]))


lengths_of_batches = st.lists(st.integers(1, 9), min_size=1, max_size=5)


@given(lengths_of_batches)
@settings(max_examples=30)
def test_flip_reverses_each_signal_within_its_length_and_undoes_itself(lengths: list[int]) -> None:
    x = torch.randn(len(lengths), max(lengths), 2)
    flipped = nl.flip_valid(x, torch.tensor(lengths))
    for row, mirrored, n in zip(x, flipped, lengths, strict=True):
        assert torch.equal(mirrored[:n], row[:n].flip(0))
        assert torch.equal(mirrored[n:], row[n:])
    assert torch.equal(nl.flip_valid(flipped, torch.tensor(lengths)), x)


@given(lengths_of_batches)
@settings(max_examples=30)
def test_mask_counts_the_valid_steps(lengths: list[int]) -> None:
    mask = nl.valid_mask(torch.tensor(lengths), max(lengths))
    assert mask.sum(1).tolist() == lengths
    assert all(row[:n].all() for row, n in zip(mask, lengths, strict=True))
