"""The outputs of a regression: as many as are asked for, in every architecture and through every file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import N_FEATURES, QUIET, Case, as_loaded, make_batch, make_pairs, make_state, same_state, write_folders

import neurallib as nl
from neurallib.models.registry import ARCHITECTURES, state_from_files
from neurallib.tasks import describe

each = pytest.mark.parametrize("architecture", ARCHITECTURES)
each_number = pytest.mark.parametrize("k", [1, 3])
LENGTHS = [9, 4, 12, 7]


def regression(architecture: str, k: int | None, **hparams: Any) -> nl.State:
    return make_state(Case(architecture, "regression"), n_outputs=k, **hparams)


@each
@each_number
def test_a_regression_has_as_many_outputs_as_it_is_asked_for(architecture: str, k: int) -> None:
    state = regression(architecture, k)
    assert describe(state).n_outputs == k
    pairs, seq2one = make_pairs(state, LENGTHS), ARCHITECTURES[architecture].seq2one
    trained = nl.train(state, pairs, pairs, epochs=1, batch_size=2, **QUIET)
    assert nl.evaluate(trained, pairs)["mse"] > 0
    shapes = [output.shape for output in nl.predict(trained, [x for x, _ in pairs])]
    assert shapes == [(k,) if seq2one else (n, k) for n in LENGTHS]
    if k == 1:  # one value may come without an axis of its own
        flat = [(x, y[0] if seq2one else y[:, 0]) for x, y in pairs]
        assert nl.evaluate(trained, flat) == nl.evaluate(trained, pairs)


@each
@each_number
@pytest.mark.filterwarnings("ignore:retraining never beat its source")
def test_its_number_of_outputs_goes_through_files_and_folders(architecture: str, k: int, tmp_path: Path) -> None:
    state = regression(architecture, k)
    path_x, path_y = write_folders(tmp_path / "data", state)
    options = {"epochs": 1, "batch_size": 2, "dataset_name": "d", "trained_for": "t", **QUIET}
    trained = nl.train(state, *(nl.open_folder(path_x, path_y, part) for part in ("train", "val")), **QUIET, **{
        name: options[name] for name in ("epochs", "batch_size")
    })  # fmt: skip
    directory = nl.save_checkpoint(trained, tmp_path / "saved")
    loaded = nl.load_checkpoint(directory)
    assert same_state(loaded, as_loaded(trained, directory))
    assert nl.get_hparams_from_checkpoints(directory)["n_outputs"] == k
    again = nl.retrain(None, path_x, path_y, checkpoints_directory=directory, results_directory=tmp_path, **options)
    assert again["hparams"] == state["hparams"]
    assert f"**Output:** {k} value" in nl.save_model_card(loaded, directory).read_text()
    predictions, loss = nl.test_on_test_set(again, path_x, path_y)
    assert predictions[0].shape[-1] == k and np.isfinite(loss)


@each
def test_as_many_outputs_as_features_are_not_written_down(architecture: str, tmp_path: Path) -> None:
    state, plain = regression(architecture, N_FEATURES), regression(architecture, None)
    assert "n_outputs" not in state["hparams"] and same_state(state, plain)
    directory = nl.save_checkpoint(state, tmp_path)
    assert "n_outputs" not in (directory / "hparams.yaml").read_text() + (directory / "training_info.json").read_text()


@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if not name.endswith("ED")])
def test_outputs_of_a_classification_are_its_classes(architecture: str) -> None:
    case = Case(architecture, "multiclass")
    assert make_state(case, n_outputs=3)["hparams"] == make_state(case)["hparams"]
    with pytest.raises(ValueError, match="n_outputs=2 is for task='regression'; .* num_classes=3 outputs"):
        make_state(case, n_outputs=2)
    with pytest.raises(ValueError, match="n_outputs=0; expected an integer of at least 1"):
        regression(architecture, 0)


@pytest.mark.parametrize("architecture", ["GRUED", "TransformerED"])
def test_an_encoder_decoder_learns_by_the_outputs_that_it_will_read(architecture: str) -> None:
    state = regression(architecture, 3)
    network, batch = nl.build_network(state).eval(), make_batch(state, LENGTHS)
    with torch.no_grad():
        generated = network(batch["x"], batch["lengths"])
        taught = network(batch["x"], batch["lengths"], generated)
    torch.testing.assert_close(taught, generated, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("architecture", ["GRUED", "TransformerED"])
def test_an_encoder_decoder_reads_targets_that_are_not_known_as_zeros(architecture: str) -> None:
    network, x = nl.build_network(regression(architecture, None)).eval(), torch.randn(2, 6, N_FEATURES)
    known = torch.randn_like(x)
    known[0, 2:4], known[1, 1, 0] = 0, 0
    unknown = known.masked_fill(known == 0, torch.nan)
    torch.testing.assert_close(network(x, None, unknown), network(x, None, known))


def test_without_an_output_layer_the_last_layer_is_as_wide_as_the_outputs() -> None:
    sizes = {"n_features": 2, "task": "regression", "fc_out_bool": False, "n_layers": 1, "n_outputs": 3}
    assert nl.predict(nl.gru_seq2seq(hid_dim=3, **sizes), [np.zeros((5, 2))])[0].shape == (5, 3)
    with pytest.raises(ValueError, match="it has 2 units, expected 3"):
        nl.gru_seq2seq(hid_dim=2, **sizes)
    with pytest.raises(ValueError, match="dec_hid_dim=2; expected 3"):
        nl.gru_encoder_decoder(n_features=2, enc_hid_dim=2, dec_hid_dim=2, fc_out_bool=False, n_outputs=3)
    made = nl.gru_encoder_decoder(n_features=2, enc_hid_dim=2, dec_hid_dim=3, fc_out_bool=False, n_outputs=3)
    assert nl.predict(made, [np.zeros((5, 2))])[0].shape == (5, 3)
    both = nl.gru_seq2seq(hid_dim=2, bidirectional=True, **sizes | {"n_outputs": 4})
    assert nl.predict(both, [np.zeros((5, 2))])[0].shape == (5, 4)
    folded = [  # which makes the outputs of all its samples at once, and those of a signal once
        nl.gru_seq2seq(hid_dim=6, fold=2, **sizes), nl.gru_seq2one(hid_dim=3, fold=2, **sizes),
        nl.gru_encoder_decoder(n_features=2, enc_hid_dim=2, dec_hid_dim=6, fc_out_bool=False, n_outputs=3, fold=2),
    ]  # fmt: skip
    assert [nl.predict(state, [np.zeros((5, 2))])[0].shape for state in folded] == [(5, 3), (3,), (5, 3)]
    with pytest.raises(ValueError, match="it has 3 units, expected 6"):
        nl.gru_seq2seq(hid_dim=3, fold=2, **sizes)
    with pytest.warns(UserWarning, match="classification keeps fc_out"):
        kept = nl.gru_seq2seq(n_features=2, hid_dim=3, n_layers=1, fc_out_bool=False)
    assert kept["hparams"]["fc_out_bool"] and "fc_out.weight" in kept["weights"]


@pytest.mark.parametrize("known", [{"fc_out_bool": False, "n_outputs": 3}, {"n_outputs": 3}, {}], ids=str)
def test_sizes_that_a_file_leaves_out_are_read_off_its_weights(known: dict[str, Any]) -> None:
    sizes = {"n_features": 2, "hid_dim": [4, 3], "n_layers": 2, "task": "regression"}
    for bidirectional in ([False, False], [True, False]):
        state = nl.gru_seq2seq(**sizes, **known, bidir_per_layer=bidirectional)
        back = state_from_files("GRUseq2seq", {"task": "regression"}, state["weights"])
        for name in ("n_features", "hid_dim", "n_layers", "n_outputs", "fc_out_bool", "bidir_per_layer"):
            assert back["hparams"].get(name) == state["hparams"].get(name), name
    classes = nl.gru_seq2seq(n_features=2, hid_dim=4, n_layers=1, num_classes=3)
    back = state_from_files("GRUseq2seq", {"dropout": 0.25, "num_classes": 3}, classes["weights"])
    assert back["hparams"]["num_classes"] == 3 and back["hparams"]["dropout"] == 0.25
    told = state_from_files("GRUseq2seq", {"hid_dim": 4}, classes["weights"])
    assert told["hparams"]["hid_dim"] == 4, "what a file says stays as it says it"


def test_a_target_of_another_number_of_values_is_told_of_n_outputs() -> None:
    with pytest.raises(ValueError, match=r"has shape \(1,\).*expects \(2,\).*n_outputs=2 says how many"):
        nl.evaluate(regression("GRUseq2one", None), [(np.zeros((9, 2)), np.array([120.0]))])


def test_a_new_model_on_old_layers_may_have_other_outputs() -> None:
    source = make_state(Case("GRUseq2seq", "binary"))
    hparams = nl.transfer_hparams(source, 1, [4], task="regression", n_outputs=5)
    state = nl.reuse_layers(nl.gru_seq2seq(**hparams), source, ["gru_layers.0"])
    assert nl.predict(state, [np.zeros((6, 2))])[0].shape == (6, 5)
