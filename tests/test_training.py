"""Training: what comes back, what is written, and that the same seed gives the same weights."""

import copy
import json
import logging
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from cases import AS_IT_COMES, CASES, QUIET, Case, data, make_state, same_weights
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import CSVLogger

import neurallib as nl
from neurallib.models.registry import ARCHITECTURES
from neurallib.state import new_preprocessing

each_case = pytest.mark.parametrize("case", CASES, ids=str)
GRU = Case("GRUseq2seq", "binary")


@each_case
def test_every_architecture_trains_evaluates_and_predicts_every_task(case: Case) -> None:
    state = make_state(case, learning_rate=0.02)
    before = copy.deepcopy(state)
    trained = nl.train(state, data(state), data(state, 4, 1), epochs=4, batch_size=3, **QUIET)
    assert same_weights(state, before) and state["training_info"] == {}
    info = trained["training_info"]
    assert len(info["train_losses"]) == len(info["val_losses"]) == info["epochs"] == 4
    assert info["train_losses"][-1] < info["train_losses"][0]
    measured = nl.evaluate(trained, data(state, 4, 1))
    assert measured["loss"] == pytest.approx(info["validation_loss"], rel=1e-5)
    assert info["validation_loss"] == min(info["val_losses"])
    assert info["val_losses"][info["best_epoch"] - 1] == info["validation_loss"]
    outputs = nl.predict(trained, [x for x, _ in data(state, 4, 1)])
    k = outputs[0].shape[-1]
    for (x, _), output in zip(data(state, 4, 1), outputs, strict=True):
        assert output.shape == ((k,) if ARCHITECTURES[case.architecture].seq2one else (len(x), k))
        if case.kind != "regression":
            assert output.min() >= 0 and output.max() <= 1
        if case.kind == "multiclass":
            np.testing.assert_allclose(output.sum(-1), 1, rtol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_same_seed_gives_bitwise_the_same_weights_and_leaves_the_global_generators(architecture: str) -> None:
    state = make_state(Case(architecture, "regression"), dropout=0.2)
    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    runs = [nl.train(state, data(state), data(state, 3), epochs=2, batch_size=3, seed=s, **QUIET) for s in (1, 1, 2)]
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1]) and before[2] == random.getstate()
    torch.manual_seed(99)
    again = nl.train(state, data(state), data(state, 3), epochs=2, batch_size=3, seed=1, **QUIET)
    assert same_weights(runs[0], runs[1]) and same_weights(runs[0], again)
    assert not same_weights(runs[0], runs[2])


def test_training_in_memory_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    state = make_state(GRU)
    nl.train(state, data(state), data(state, 3), epochs=1, batch_size=4, **QUIET)
    assert list(tmp_path.iterdir()) == []


def test_training_is_quiet_without_its_progress_bar(
    capfd: pytest.CaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    pytest.importorskip("pytorch_lightning")  # whose import sets its level
    state, levels = make_state(GRU, learning_rate=0.03), logging.getLogger("pytorch_lightning").level
    nl.train(state, data(state), data(state, 3), epochs=5, batch_size=4, **QUIET)
    assert capfd.readouterr() == ("", "")
    assert [str(w.message) for w in recwarn if "no better than a constant" not in str(w.message)] == []
    assert logging.getLogger("pytorch_lightning").level == levels


@pytest.mark.parametrize("terminal", [True, False])
def test_the_progress_bar_is_drawn_on_a_terminal_and_not_into_a_log_file_which_has_epochs(
    terminal: bool, capsys: pytest.CaptureFixture, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:  # fmt: skip
    caplog.set_level("INFO", "neurallib")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    state = make_state(GRU)
    loggers = [CSVLogger(tmp_path, version="a text"), CSVLogger(tmp_path, version=0)]
    trained = nl.train(state, data(state), data(state, 3), epochs=3, batch_size=4, loggers=loggers)
    shown = capsys.readouterr().err
    assert "epoch 1" in shown if terminal else shown == ""
    losses = trained["training_info"]["val_losses"]
    for epoch in (1, 3):  # the others once in ten seconds
        assert (f"epoch {epoch} of 3: " in caplog.text) != terminal
        assert (f"val_loss {losses[epoch - 1]:.4g}" in caplog.text) != terminal


def test_early_stopping_ends_training_and_the_best_weights_come_back() -> None:
    state = make_state(GRU, learning_rate=0.5)
    train, val = data(state, 4), [(x, 1 - y) for x, y in data(state, 4)]
    trained = nl.train(state, train, val, epochs=30, batch_size=4, patience=2, **QUIET)
    info = trained["training_info"]
    assert info["epochs"] == info["best_epoch"] + 2 < 30
    assert nl.evaluate(trained, val)["loss"] == pytest.approx(min(info["val_losses"]), rel=1e-5)


def test_a_saved_run_leaves_the_whole_checkpoint_directory(results: Path) -> None:
    state = make_state(GRU)
    trained = nl.train(
        state, data(state), data(state, 3), epochs=2, batch_size=4, save=True, enable_tensorboard=True, **QUIET
    )
    directory = Path(trained["training_info"]["checkpoints_directory"])
    assert directory.parent == results / "GRUseq2seq" / "checkpoints"
    names = {path.name for path in directory.iterdir()}
    assert {
        "model_weights.safetensors", "model_weights.pth", "hparams.yaml", "training_info.json", "loss_plot.png",
        "last.ckpt", "best.ckpt", "tensorboard_logs", "README.md", "preprocessing.json",
    } <= names  # fmt: skip
    logged = yaml.safe_load((directory / "tensorboard_logs" / "version_0" / "hparams.yaml").read_text())
    assert logged == state["hparams"] == nl.get_hparams_from_checkpoints(directory)
    info = json.loads((directory / "training_info.json").read_text())
    assert {
        "architecture", "model_name", "train_dataset", "task", "gpu_model", "epochs", "optimizer", "learning_rate",
        "validation_loss", "training_time", "retraining", "efficiency_params", "efficiency_flops", "best_epoch", "seed",
    } <= info.keys()  # fmt: skip
    assert info["efficiency_params"] == sum(w.numel() for w in state["weights"].values())
    pth = torch.load(directory / "model_weights.pth", weights_only=True)
    assert all(torch.equal(pth[name], weight) for name, weight in trained["weights"].items())
    best = torch.load(directory / "best.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(best[name], weight) for name, weight in trained["weights"].items())


def test_normalization_is_kept_in_the_state_and_applied_when_predicting() -> None:
    state = make_state(GRU)
    pairs = data(state)
    scaled = [((x - x.mean(0)) / x.std(0), y) for x, y in pairs]
    a = nl.train(state, pairs, pairs, epochs=1, batch_size=4, normalization="zscore", sampling_frequency=250, **QUIET)
    b = nl.train(state, scaled, scaled, epochs=1, batch_size=4, **AS_IT_COMES, **QUIET)
    assert a["preprocessing"] == new_preprocessing({"sampling_frequency": 250.0, "normalization": "zscore"})
    assert state["preprocessing"] == b["preprocessing"] == new_preprocessing()
    for mine, other in zip(
        nl.predict(a, [10 * x + 3 for x, _ in pairs]), nl.predict(b, [x for x, _ in scaled]), strict=True
    ):
        np.testing.assert_allclose(mine, other, atol=1e-4)


def test_a_trained_state_shares_nothing_with_its_source() -> None:
    state = make_state(GRU)
    trained = nl.train(state, data(state), data(state, 3), epochs=1, batch_size=4, **QUIET)
    trained["hparams"]["hid_dim"][0] = 99
    trained["frozen"].append("fc_out")
    assert state["hparams"]["hid_dim"] == [6, 4] and state["frozen"] == []


def test_training_that_ends_before_a_validation_says_so() -> None:
    class Stop(Callback):
        def on_train_start(self, trainer: Any, module: Any) -> None:
            trainer.should_stop = True

    state = make_state(GRU)
    with pytest.raises(RuntimeError, match="ended before its first validation, so there are no"):
        nl.train(state, data(state), data(state, 3), epochs=1, batch_size=2, callbacks=[Stop()], **QUIET)


def test_training_that_diverges_says_so() -> None:
    state = make_state(Case("GRUseq2seq", "regression"), learning_rate=1e38)
    with pytest.raises(RuntimeError, match="training diverged: no validation loss was finite"):
        nl.train(state, data(state), data(state, 3), epochs=2, batch_size=1, **QUIET)
