"""Grid search: every combination once, best first, whatever fails or stops it."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import SIZES, Case, make_state, write_folders
from searching import OPTIONS, leaderboard, n_runs, search

import neurallib as nl
from neurallib.models.registry import ARCHITECTURES
from neurallib.search.trials import make_trials


def test_every_combination_is_trained_and_the_best_comes_first(params: dict[str, Any], results: Path) -> None:
    found = search(params)
    told = {(trial["hparams"]["hid_dim"], trial["hparams"]["learning_rate"]) for trial in found}
    assert told == {(3, 0.01), (3, 0.001), (5, 0.01), (5, 0.001)}
    losses = [trial["validation_loss"] for trial in found]
    assert losses == sorted(losses)
    for trial in found:
        state = nl.load_checkpoint(trial["checkpoints_directory"])
        info = state["training_info"]
        assert info["validation_loss"] == trial["validation_loss"] and trial["best_epoch"] == info["best_epoch"]
        assert {name: state["hparams"][name] for name in OPTIONS} == trial["hparams"]
        assert trial["n_weights"] == sum(weight.numel() for weight in state["weights"].values())
    rows = leaderboard(results)
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4"]
    assert [float(row["validation_loss"]) for row in rows] == losses
    assert [row["hid_dim"] for row in rows] == [str(trial["hparams"]["hid_dim"]) for trial in found]
    assert "n_layers" not in rows[0]  # it does not vary


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_can_be_searched(architecture: str, tmp_path: Path) -> None:
    state = make_state(Case(architecture, "regression"))
    path_x, path_y = write_folders(tmp_path / "data", state)
    # a sequence stands for options, so a list of one size a layer is one option among others
    sizes = {name: [value] if isinstance(value, list) else value for name, value in SIZES[architecture].items()}
    task = {} if architecture.endswith("ED") else {"task": "regression"}
    options = {"n_features": 2, **sizes, **task, "learning_rate": np.array([0.01, 0.001])}
    found = nl.grid_search(
        architecture, options,
        {"path_x": path_x, "path_y": path_y, "epochs": 1, "batch_size": 4, "patience": None, "samples": 2,
         "dataset_name": "made up", "trained_for": "half of it"},
        enable_progress_bar=False,
    )  # fmt: skip
    assert [trial["status"] for trial in found] == ["finished"] * 2


def test_combinations_that_cannot_be_are_counted_and_skipped_with_the_reason(
    params: dict[str, Any], results: Path
) -> None:
    options = OPTIONS | {"learning_rate": 0.01, "n_layers": [1, 2], "hid_dim": [3, [3, 4], [3, 4, 5]]}
    with pytest.warns(UserWarning, match=r"3 of 6 combinations cannot be.*hid_dim=\[3, 4, 5\] has 3 values") as caught:
        found = search(params, options)
    assert sum("cannot be" in str(warning.message) for warning in caught) == 1
    assert {str(trial["hparams"]["hid_dim"]) for trial in found} == {"3", "[3, 4]"} and len(found) == 3
    rows = leaderboard(results)
    assert [row["status"] for row in rows] == ["finished"] * 3 + ["impossible"] * 3
    assert all("expected n_layers=" in row["error"] for row in rows[3:])


def test_the_same_model_in_other_words_is_one_trial(params: dict[str, Any], results: Path) -> None:
    options = OPTIONS | {"learning_rate": 0.01, "hid_dim": [3, 3, np.array([3])]}
    assert len(search(params, options)) == 1
    found = search(params, options | {"bidirectional": [False, True]})
    assert {trial["hparams"]["bidirectional"] for trial in found} == {False, True} and n_runs(results) == 2
    search(params, options | {"bidir_per_layer": [[True]]})
    search(params | {"overlap": 0.0, "bucketing": False, "memory_budget": 2**20}, options | {"seed": 42})
    assert n_runs(results) == 2


def test_whatever_makes_another_model_makes_another_trial(params: dict[str, Any], tmp_path: Path) -> None:
    """Also what the model's hyperparameters do not tell, such as its seed and what stands before and beside it."""
    plain = {"n_features": 2, "hid_dim": 3, "n_layers": 1, "task": "regression", "n_outputs": 2}
    highpass = [{"name": "highpass", "frequency": 0.5}]
    others = [{"seed": 1}, {"seed": 0}, {"fold": 2}, {"residual": True}, {"steps": highpass}, {"learning_rate": 0.5}]
    asked = [plain, *(plain | other for other in others), plain | {"seed": 42, "fold": 1, "residual": False}]
    combinations = [(each, nl.gru_seq2seq(**each)["hparams"]) for each in asked]  # type: ignore[arg-type]
    trials = make_trials("GRUseq2seq", combinations, params, 1, tmp_path)
    assert len({trial.digest for trial in trials}) == len(trials) == 1 + len(others)


def test_a_failed_trial_is_reported_and_stops_nothing(params: dict[str, Any], results: Path) -> None:
    options = OPTIONS | {"hid_dim": 3, "learning_rate": [1e38, 0.01]}
    with pytest.warns(UserWarning, match=r"trial learning_rate=1e\+38 failed: training diverged"):
        found = search(params | {"epochs": 3, "batch_size": 1}, options)
    assert [trial["status"] for trial in found] == ["finished", "failed"]
    assert found[1]["error"].startswith("RuntimeError: training diverged") and leaderboard(results)[1]["error"]
    with pytest.raises(RuntimeError, match="diverged"):
        search(params | {"epochs": 3, "batch_size": 1}, options, on_error="raise")


def test_what_is_finished_is_not_repeated(params: dict[str, Any], results: Path) -> None:
    first = search(params)
    assert search(params) == first and n_runs(results) == 4
    wider = search(params, OPTIONS | {"hid_dim": [3, 5, 4]})
    assert len(wider) == 6 and n_runs(results) == 6  # only the new ones
    search(params | {"epochs": 3}, OPTIONS | {"hid_dim": 3, "learning_rate": 0.01})
    assert n_runs(results) == 7  # another training is another trial
    np.save(params["path_x"] / "train" / "1.npy", np.zeros((7, 2), np.float32))
    search(params, OPTIONS | {"hid_dim": 3, "learning_rate": 0.01})
    assert n_runs(results) == 8  # so is other data


def test_results_may_be_moved_and_broken_ones_are_made_again(params: dict[str, Any], tmp_path: Path) -> None:
    options = OPTIONS | {"learning_rate": 0.01}
    before = search(params | {"results_directory": tmp_path / "a"}, options)
    (tmp_path / "a").rename(tmp_path / "b")
    moved = search(params | {"results_directory": tmp_path / "b"}, options)
    assert [trial["trial"] for trial in moved] == [trial["trial"] for trial in before] and n_runs(tmp_path / "b") == 2
    directory = Path(moved[0]["checkpoints_directory"])
    assert (tmp_path / "b") in directory.parents and nl.load_checkpoint(directory)
    for name in ("model_weights.safetensors", "model_weights.pth", "best.ckpt", "last.ckpt"):
        (directory / name).unlink()
    (tmp_path / "b" / "GRUseq2seq" / "grid_search" / f"{moved[1]['trial']}.json").write_text("{}")
    with pytest.warns(UserWarning, match="is no record of a trial.*counts as not done"):
        again = search(params | {"results_directory": tmp_path / "b"}, options)
    assert len(again) == 2 and n_runs(tmp_path / "b") == 4


def test_the_leaderboard_keeps_what_earlier_searches_found(params: dict[str, Any], results: Path) -> None:
    search(params)
    (found,) = search(params, OPTIONS | {"hid_dim": 4, "learning_rate": 0.01})
    rows = leaderboard(results)
    assert [(row["rank"], row["status"]) for row in rows] == [("1", "finished")] + [("", "earlier")] * 4
    assert rows[0]["trial"] == found["trial"] and json.loads(rows[1]["hparams"])["hid_dim"] in (3, 5)


@pytest.mark.parametrize(
    ("options", "change", "error", "words"),
    [
        ({"hid_dims": 3}, {}, TypeError, "no hyperparameter 'hid_dims'. Did you mean 'hid_dim'"),
        ({"hid_dim": []}, {}, ValueError, r"hparams_options\['hid_dim'\] is empty"),
        ({"hid_dim": [[1, 2]]}, {}, ValueError, "none of the 2 combinations .* can be: hid_dim"),
        ({"model_name": ["a", "b"]}, {}, ValueError, "expected one name"),
        ({"learning_rate": object()}, {}, TypeError, r"hparams_options\['learning_rate'\]: .* is a object"),
        ({}, {"callbacks": [object()]}, TypeError, r"train_params\['callbacks'\]: .* plain values"),
        ({}, {"epoch": 3}, TypeError, "unknown option 'epoch'"),
        ({}, {"path_x": "nowhere"}, FileNotFoundError, "nowhere"),
        ({}, {"dataset_name": ""}, ValueError, "dataset_name is empty"),
        ({}, {"normalization": "zscor"}, ValueError, "Did you mean 'zscore'"),
        ({}, {"batch_size": 0}, ValueError, "batch_size=0"),
        ({}, {3: 4}, TypeError, r"train_params=\{.*3: 4\} is a dict; expected a mapping of names"),
        ({}, {"resume": "run"}, TypeError, "resume in train_params='run' is a str; expected True or False"),
        ({}, {"dry_run": True}, TypeError, "train_params holds dry_run, which the search gives"),
        ({}, {"layer_learning_rates": {"gru": 0.1}}, ValueError, "layer_learning_rates names gru"),
        ({"n_features": 1}, {}, ValueError, r"x of train/1.npy has shape \(7, 2\); expected \(T, 1\)"),
    ],
)
def test_a_wrong_argument_is_named_before_training(
    options: dict, change: dict, error: type, words: str, params: dict[str, Any], results: Path
) -> None:
    with pytest.raises(error, match=words):
        search(params | change, OPTIONS | options)
    for name, more in (("on_error", {"on_error": "stop"}), ("threads_per_trial", {"threads_per_trial": 0})):
        with pytest.raises(ValueError, match=name):
            search(params, **more)
    with pytest.raises(TypeError, match="path_y"):
        search({"path_x": params["path_x"]})
    with pytest.raises(ValueError, match="Did you mean 'GRUseq2seq'"):
        nl.grid_search("GRUseq2se", OPTIONS, params)
    with pytest.raises(TypeError, match="hparams_options=.* is a list; expected a mapping"):
        search(params, [OPTIONS])  # type: ignore[arg-type]
        search(params, executor=4)
    assert not results.exists()


def test_tensorboard_compares_the_trials(params: dict[str, Any], results: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import metadata

    options = OPTIONS | {"hid_dim": [3, [5]], "learning_rate": 0.01}
    found = search(params | {"enable_tensorboard": True}, options)
    compared = {}
    for trial in found:
        logs = Path(trial["checkpoints_directory"]) / "tensorboard_logs" / "version_0"
        events = EventAccumulator(str(logs)).Reload()
        start = metadata.parse_session_start_info_plugin_data(
            events.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
        )
        assert start.hparams["hid_dim"].string_value in ("3", "5")  # of one type, or the tab could not sort the column
        assert start.hparams["learning_rate"].number_value == 0.01
        compared[told := start.hparams["hid_dim"].string_value] = events.Scalars("best/val_loss")[0].value
        assert compared[told] == pytest.approx(trial["validation_loss"])
    assert len(compared) == 2


def test_the_progress_bar_shows_trials_and_the_best(
    params: dict[str, Any], capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    found = nl.grid_search("GRUseq2seq", OPTIONS, params)
    shown = capsys.readouterr().err
    best = found[0]
    assert "4/4" in shown and f"best {best['validation_loss']:.4g}: hid_dim={best['hparams']['hid_dim']}" in shown
