"""The functions over directories, from folders of .npy files to checkpoint directories and back."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from cases import FEW, Case, make_pairs, make_state, write_folders

import neurallib as nl
from neurallib.models.registry import ARCHITECTURES

GRU = Case("GRUseq2seq", "binary")
NAMED = {"dataset_name": "made up", "trained_for": "sign detection", "enable_progress_bar": False}


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.mark.filterwarnings("ignore:retraining never beat its source")  # one epoch on a few signals may not
@pytest.mark.parametrize("case", FEW, ids=str)
def test_train_retrain_and_test_work_for_every_architecture_and_task(case: Case, tmp_path: Path) -> None:
    state = make_state(case)
    folders = write_folders(tmp_path, state)
    trained = nl.train_from_scratch(state, *folders, 3, 4, 2, all_samples=True, **NAMED)
    directory = Path(trained["training_info"]["checkpoints_directory"])
    before = contents(directory)
    again = nl.retrain(None, *folders, 3, 4, 1, all_samples=True, checkpoints_directory=directory, **NAMED)
    assert contents(directory) == before
    assert again["training_info"]["retraining"] and not trained["training_info"]["retraining"]
    told = json.loads(before["training_info.json"])
    assert told.pop("checkpoint_format") == 2 and again["training_info"]["training_history"] == told
    predictions, loss = nl.test_on_test_set(again, *folders, save_predictions=True)
    pairs = make_pairs(state, [7 + j % 4 for j in range(6)], seed=2)
    one_by_one = [nl.evaluate(again, [pair])["loss"] for pair in pairs]
    assert loss == pytest.approx(np.mean(one_by_one), rel=1e-4)
    written = Path(again["training_info"]["checkpoints_directory"]) / "predictions"
    for i, (prediction, (x, _)) in enumerate(zip(predictions, pairs, strict=True)):
        assert np.array_equal(np.load(written / f"{i + 1}.npy"), prediction)
        np.testing.assert_allclose(nl.test_on_single_signal(again, x), prediction, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_saved_state_comes_back_bitwise(architecture: str, tmp_path: Path) -> None:
    state = make_state(Case(architecture, "regression"))
    pairs = make_pairs(state, [6, 8, 5])
    trained = nl.train(state, pairs, pairs, epochs=1, batch_size=2, normalization="minmax", sampling_frequency=100,
                       save=True, enable_progress_bar=False)  # fmt: skip
    back = nl.load_checkpoint(trained["training_info"]["checkpoints_directory"])
    assert all(torch.equal(back["weights"][name], weight) for name, weight in trained["weights"].items())
    assert {k: v for k, v in back.items() if k != "weights"} == {k: v for k, v in trained.items() if k != "weights"}


def test_history_nests_over_several_retrainings(tmp_path: Path) -> None:
    state = make_state(GRU)
    folders = write_folders(tmp_path, state)
    run = nl.train_from_scratch(state, *folders, 3, 4, 1, all_samples=True, **NAMED)
    directories = [run["training_info"]["checkpoints_directory"]]
    for _ in range(2):
        run = nl.retrain(None, *folders, 3, 4, 1, all_samples=True, checkpoints_directory=directories[-1], **NAMED)
        directories.append(run["training_info"]["checkpoints_directory"])
    info = run["training_info"]
    assert len(set(directories)) == 3
    assert "_retraining_" in Path(directories[-1]).name
    assert info["training_history"]["checkpoints_directory"] == directories[1]
    assert info["training_history"]["training_history"]["checkpoints_directory"] == directories[0]
    assert "training_history" not in info["training_history"]["training_history"]


@pytest.mark.filterwarnings("ignore:retraining never beat its source")
def test_retraining_starts_from_the_sources_weights_under_the_given_hyperparameters(tmp_path: Path) -> None:
    state = make_state(GRU)
    folders = write_folders(tmp_path, state)
    run = nl.train_from_scratch(state, *folders, 3, 4, 1, all_samples=True, **NAMED)
    slow = make_state(GRU, learning_rate=1e-12, seed=7)
    source = run["training_info"]["checkpoints_directory"]
    again = nl.retrain(slow, *folders, 3, 4, 1, all_samples=True, checkpoints_directory=source, **NAMED)
    for name, weight in run["weights"].items():
        torch.testing.assert_close(again["weights"][name], weight)
    assert again["hparams"]["learning_rate"] == 1e-12
    for other, options in ((Case("GRUseq2one", "binary"), {}), (Case("GRUseq2seq", "regression"), {"n_outputs": 1})):
        words = f"state is a {other.architecture} for .*, its source a GRUseq2seq for classification: .*reuse_layers"
        with pytest.raises(ValueError, match=words):
            nl.retrain(make_state(other, **options), *folders, 3, 4, 1, checkpoints_directory=source, **NAMED)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"dataset_name": ""}, ValueError, "dataset_name is empty"),
        ({"trained_for": 3}, TypeError, "trained_for=3"),
        ({"checkpoints_directory": "somewhere"}, ValueError, "scratch"),
        ({"hugging_face_model": "some/one"}, ValueError, "scratch"),
        ({"all_samples": False, "samples": 0}, ValueError, "samples=0"),
        ({"path_x": "nowhere"}, FileNotFoundError, "nowhere"),
        ({"patience": -1}, ValueError, "patience=-1"),
    ],
)
def test_a_wrong_argument_is_named_and_nothing_is_written(
    change: dict, error: type, words: str, tmp_path: Path, results: Path
) -> None:
    state = make_state(GRU)
    path_x, path_y = write_folders(tmp_path, state)
    arguments = {
        "path_x": path_x, "path_y": path_y, "patience": 3, "batch_size": 4, "epochs": 1, "all_samples": True, **NAMED
    }  # fmt: skip
    with pytest.raises(error, match=words):
        nl.train_from_scratch(state, **(arguments | change))
    assert not results.exists()


def test_a_bad_file_stops_before_training_and_is_named(tmp_path: Path, results: Path) -> None:
    state = make_state(GRU)
    path_x, path_y = write_folders(tmp_path, state)
    spoilt = np.load(path_x / "val" / "3.npy")
    spoilt[2, 1] = np.nan
    np.save(path_x / "val" / "3.npy", spoilt)
    with pytest.raises(ValueError, match="x of val/3.npy"):
        nl.train_from_scratch(state, path_x, path_y, 3, 4, 1, all_samples=True, **NAMED)
    assert not results.exists()


def test_retraining_needs_a_source_and_a_trained_state_is_no_scratch(tmp_path: Path) -> None:
    state = make_state(GRU)
    folders = write_folders(tmp_path, state)
    with pytest.raises(ValueError, match="checkpoints_directory"):
        nl.retrain(None, *folders, 3, 4, 1, all_samples=True, **NAMED)
    run = nl.train_from_scratch(state, *folders, 3, 4, 1, samples=2, **NAMED)
    assert run["training_info"]["n_train_signals"] == 2
    with pytest.raises(ValueError, match="trained already: go on by train.state, open_folder"):
        nl.train_from_scratch(run, *folders, 3, 4, 1, all_samples=True, **NAMED)


def test_single_signals_of_every_form_give_the_same(tmp_path: Path) -> None:
    state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1)
    signal = np.random.default_rng(0).standard_normal(20).astype(np.float32)
    expected = nl.test_on_single_signal(state, signal[:, None])
    assert expected.shape == (20, 1)
    for form in (signal, torch.from_numpy(signal)):
        assert np.array_equal(nl.test_on_single_signal(state, form), expected)
    signal = signal[:, None]
    assert np.array_equal(nl.test_on_single_signal(state, torch.from_numpy(signal)), expected)
    batch = nl.test_on_single_signal(state, np.stack([signal, signal]))
    assert batch.shape == (2, 20, 1)
    np.testing.assert_allclose(batch[1], expected, rtol=1e-5)
    directory = nl.save_checkpoint(state, tmp_path / "saved")
    assert np.array_equal(nl.test_on_single_signal(None, signal, checkpoints_dir=directory), expected)
    doubled = nl.test_on_single_signal(state, signal, post_process_fn=lambda output: 2 * output)
    assert np.array_equal(doubled, 2 * expected)
    batch = np.stack([signal, signal])
    assert nl.test_on_single_signal(state, batch, post_process_fn=lambda output: output.shape) == [(20, 1)] * 2
    with pytest.raises(ValueError, match="X has shape"):
        nl.test_on_single_signal(state, np.zeros((1, 1, 1, 1)))
    with pytest.raises(ValueError, match="checkpoints_dir"):
        nl.test_on_single_signal(None, signal)


def test_predictions_are_in_file_order_and_post_processed(tmp_path: Path) -> None:
    state = make_state(GRU)
    path_x, path_y = write_folders(tmp_path, state, n=12)
    shutil.rmtree(path_x / "train")
    lengths = nl.test_on_test_set(state, path_x, path_y, post_process_fn=len)[0]
    assert lengths == [7 + j % 4 for j in range(12)]
    assert (
        nl.test_on_test_set(state, path_x, path_y, all_samples=False, samples=3, post_process_fn=len)[0] == lengths[:3]
    )
    with pytest.raises(ValueError, match="save_predictions=True needs"):
        nl.test_on_test_set(state, path_x, path_y, save_predictions=True)
    directory = nl.save_checkpoint(state, tmp_path / "saved")
    with pytest.raises(TypeError, match="post_process_fn returns something else"):
        nl.test_on_test_set(
            None, path_x, path_y, checkpoints_dir=directory, save_predictions=True, post_process_fn=lambda _: {}
        )
    assert not (directory / "predictions").exists()
    state["training_info"]["checkpoints_directory"] = str(tmp_path / "gone")
    with pytest.raises(FileNotFoundError, match="gone does not exist"):
        nl.test_on_test_set(state, path_x, path_y, save_predictions=True)
