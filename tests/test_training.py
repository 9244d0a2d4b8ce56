"""Training: what comes back, what is written, and that the same seed gives the same weights."""

import copy
import json
import logging
import os
import random
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from cases import CASES, Case, make_pairs, make_state

import neurallib as nl
from neurallib.models.registry import ARCHITECTURES

QUIET = {"enable_progress_bar": False}
each_case = pytest.mark.parametrize("case", CASES, ids=str)
GRU = Case("GRUseq2seq", "binary")


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NEURALLIB_RESULTS_DIR", str(tmp_path / "results"))
    return tmp_path / "results"


def data(state: nl.State, n: int = 8, seed: int = 0) -> list:
    return make_pairs(state, [6 + i % 5 for i in range(n)], seed)


def same(a: nl.State, b: nl.State) -> bool:
    return all(torch.equal(a["weights"][name], b["weights"][name]) for name in a["weights"])


@each_case
def test_every_architecture_trains_evaluates_and_predicts_every_task(case: Case) -> None:
    state = make_state(case, learning_rate=0.02)
    before = copy.deepcopy(state)
    trained = nl.train(state, data(state), data(state, 4, 1), epochs=4, batch_size=3, **QUIET)
    assert same(state, before) and state["training_info"] == {}
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
    assert same(runs[0], runs[1]) and same(runs[0], again)
    assert not same(runs[0], runs[2])


def test_training_in_memory_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    state = make_state(GRU)
    nl.train(state, data(state), data(state, 3), epochs=1, batch_size=4, **QUIET)
    assert list(tmp_path.iterdir()) == []


def test_training_is_quiet_without_its_progress_bar(
    capfd: pytest.CaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    pytest.importorskip("pytorch_lightning")  # whose import sets its level
    state, levels = make_state(GRU), logging.getLogger("pytorch_lightning").level
    nl.train(state, data(state), data(state, 3), epochs=1, batch_size=4, **QUIET)
    assert capfd.readouterr() == ("", "")
    assert [str(w.message) for w in recwarn] == []
    assert logging.getLogger("pytorch_lightning").level == levels


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
        "last.ckpt", "best.ckpt", "tensorboard_logs", "README.md",
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


def test_tensorboard_without_a_directory_is_refused_and_without_its_package_warned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = make_state(GRU)
    with pytest.raises(ValueError, match="save=True"):
        nl.train(state, data(state), data(state, 3), epochs=1, batch_size=4, enable_tensorboard=True, **QUIET)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)  # as where the package is missing
    with pytest.warns(UserWarning, match="tensorboard is not installed"):
        trained = nl.train(
            state, data(state), data(state, 3), epochs=1, batch_size=4, save=True, enable_tensorboard=True, **QUIET
        )
    assert not (Path(trained["training_info"]["checkpoints_directory"]) / "tensorboard_logs").exists()


@pytest.mark.parametrize("kind", ["binary", "multilabel", "multiclass"])
def test_balanced_class_weights_count_valid_steps_and_are_evaluated_alike(kind: str) -> None:
    state = make_state(Case("GRUseq2seq", kind))  # type: ignore[arg-type]
    pairs = data(state)
    trained = nl.train(state, pairs, pairs, epochs=1, batch_size=3, class_weight="balanced", **QUIET)
    labels = np.concatenate([y for _, y in pairs])
    if kind == "multiclass":
        expected = len(labels) / (3 * np.bincount(labels, minlength=3))
    else:
        expected = (len(labels) - labels.sum(0)) / labels.sum(0)
    np.testing.assert_allclose(trained["training_info"]["class_weight"], np.atleast_1d(expected), rtol=1e-6)
    assert nl.evaluate(trained, pairs)["loss"] == pytest.approx(trained["training_info"]["validation_loss"], rel=1e-5)
    plain = nl.train(state, pairs, pairs, epochs=1, batch_size=3, **QUIET)
    assert not same(plain, trained)


def test_weighted_cross_entropy_is_torchs_own() -> None:
    state = make_state(Case("GRUseq2seq", "multiclass"))
    state["training_info"]["class_weight"] = [1.0, 2.0, 0.5]
    logits, y, lengths = torch.randn(2, 4, 3), torch.randint(0, 3, (2, 4)), torch.tensor([4, 2])
    mask = nl.valid_mask(lengths, 4)
    expected = torch.nn.functional.cross_entropy(logits[mask], y[mask], torch.tensor([1.0, 2.0, 0.5]))
    torch.testing.assert_close(nl.loss_function(state)(logits, y, lengths), expected)


def test_normalization_is_kept_in_the_state_and_applied_when_predicting() -> None:
    state = make_state(GRU)
    pairs = data(state)
    scaled = [((x - x.mean(0)) / x.std(0), y) for x, y in pairs]
    a = nl.train(state, pairs, pairs, epochs=1, batch_size=4, normalization="zscore", sampling_frequency=250, **QUIET)
    b = nl.train(state, scaled, scaled, epochs=1, batch_size=4, **QUIET)
    assert a["preprocessing"] == {"sampling_frequency": 250.0, "normalization": "zscore"}
    assert state["preprocessing"] == {"sampling_frequency": None, "normalization": None}
    for mine, other in zip(
        nl.predict(a, [10 * x + 3 for x, _ in pairs]), nl.predict(b, [x for x, _ in scaled]), strict=True
    ):
        np.testing.assert_allclose(mine, other, atol=1e-4)


def test_lightnings_options_and_callbacks_are_passed_through() -> None:
    from pytorch_lightning.callbacks import Callback

    seen = []

    class Spy(Callback):
        def on_train_start(self, trainer, module) -> None:  # type: ignore[no-untyped-def]
            seen.append((trainer.precision, trainer.gradient_clip_val, trainer.accumulate_grad_batches))

    state = make_state(GRU)
    nl.train(
        state, data(state), data(state, 3), epochs=1, batch_size=2, callbacks=[Spy()], precision="bf16-mixed",
        gradient_clip_val=0.5, accumulate_grad_batches=2, **QUIET,
    )  # fmt: skip
    assert seen == [("bf16-mixed", 0.5, 2)]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"epochs": 0}, ValueError, "epochs=0"),
        ({"batch_size": 2.5}, TypeError, "batch_size=2.5"),
        ({"patience": 0}, ValueError, "patience=0"),
        ({"seed": -1}, ValueError, "seed=-1"),
        ({"gpu_id": 99}, ValueError, "gpu_id=99; GPUs on this machine"),
        ({"normalization": "min-max"}, ValueError, "Did you mean 'minmax'"),
        ({"sampling_frequency": 0}, ValueError, "sampling_frequency=0"),
        ({"class_weight": "balance"}, ValueError, "Did you mean 'balanced'"),
        ({"class_weight": [1.0, 2.0]}, ValueError, "expected 1 finite weights"),
        ({"class_weight": {0: 1.0}}, TypeError, "is a mapping; expected a list of 1 weights"),
        ({"strategy": "ddp_spawn"}, ValueError, "'ddp_spawn' leaves the weights in processes that end"),
        ({"gradient_clip": 1.0}, TypeError, "Did you mean 'gradient_clip_val'"),
        ({"max_epochs": 3}, TypeError, "'max_epochs' is set by this library: give epochs"),
        ({"logger": True}, TypeError, "enable_tensorboard"),
    ],
)
def test_a_wrong_argument_is_named_before_training(options: dict, error: type, words: str, results: Path) -> None:
    state = make_state(GRU)
    with pytest.raises(error, match=words):
        nl.train(
            state, data(state), data(state, 3), **({"epochs": 1, "batch_size": 2, "save": True} | options), **QUIET
        )
    assert not results.exists()


def test_a_dry_run_checks_everything_and_writes_nothing(results: Path) -> None:
    state = make_state(GRU)
    options = {"epochs": 1, "batch_size": 4, "save": True, "dry_run": True, **QUIET}
    assert same(nl.train(state, data(state), data(state, 3), **options), state)
    with pytest.raises(ValueError, match=r"x of val_data\[0\]"):
        nl.train(state, data(state), [(np.zeros((3, 7)), np.zeros((3, 1)))], **options)
    assert not results.exists()


@pytest.mark.parametrize("precision", ["bf16-true", "64-true"])
def test_the_state_stays_float32_under_other_precisions(precision: str) -> None:
    state = make_state(GRU)
    trained = nl.train(state, data(state), data(state, 3), epochs=1, batch_size=4, precision=precision, **QUIET)
    assert {weight.dtype for weight in trained["weights"].values()} == {torch.float32}
    assert np.isfinite(nl.evaluate(trained, data(state, 3))["loss"])


def test_a_default_dtype_of_double_changes_no_model() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        double = make_state(GRU)
    finally:
        torch.set_default_dtype(torch.float32)
    assert same(double, make_state(GRU)) and double["weights"]["fc_out.bias"].dtype == torch.float32


def test_options_of_lightning_change_no_global_setting() -> None:
    state = make_state(GRU)
    nl.train(
        state, data(state), data(state, 3), epochs=1, batch_size=4, deterministic=True, benchmark=True, **QUIET
    )  # fmt: skip
    assert not torch.are_deterministic_algorithms_enabled() and not torch.backends.cudnn.benchmark
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ


def test_a_trained_state_shares_nothing_with_its_source() -> None:
    state = make_state(GRU)
    trained = nl.train(state, data(state), data(state, 3), epochs=1, batch_size=4, **QUIET)
    trained["hparams"]["hid_dim"][0] = 99
    trained["frozen"].append("fc_out")
    assert state["hparams"]["hid_dim"] == [6, 4] and state["frozen"] == []


def test_class_weights_of_one_sided_labels_warn_and_stay_finite() -> None:
    state = make_state(GRU)
    pairs = [(x, np.ones_like(y)) for x, y in data(state)]
    with pytest.warns(UserWarning, match=r"every step of the training data is of class \[0\]"):
        trained = nl.train(state, pairs, pairs, epochs=1, batch_size=4, class_weight="balanced", **QUIET)
    assert trained["training_info"]["class_weight"] == [1.0]
    with pytest.warns(UserWarning, match=r"trained with class_weight=\[1.0\]; this run weighs all alike"):
        nl.train(trained, pairs, pairs, epochs=1, batch_size=4, **QUIET)


def test_numbers_of_numpy_are_numbers() -> None:
    state = make_state(GRU)
    trained = nl.train(state, data(state), data(state, 3), epochs=np.int64(1), batch_size=np.int32(4), **QUIET)
    assert trained["training_info"]["epochs"] == 1


def test_training_that_ends_before_a_validation_says_so() -> None:
    state = make_state(GRU)
    with pytest.raises(RuntimeError, match="ended before its first validation"):
        nl.train(state, data(state), data(state, 3), epochs=1, batch_size=2, limit_val_batches=0, **QUIET)


def test_training_that_diverges_says_so() -> None:
    state = make_state(Case("GRUseq2seq", "regression"), learning_rate=1e38)
    with pytest.raises(RuntimeError, match="diverged in its first epoch"):
        nl.train(state, data(state), data(state, 3), epochs=2, batch_size=1, **QUIET)


INTERRUPTED = """
    import os, signal, sys, threading, time
    import numpy as np
    import neurallib as nl
    from pytorch_lightning.callbacks import Callback

    class Interrupt(Callback):
        def on_train_batch_end(self, trainer, *args):
            if trainer.current_epoch == 3:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(1)

    rng = np.random.default_rng(0)
    pairs = [(x := rng.standard_normal((8, 1)).astype(np.float32), (x > 0).astype(np.float32)) for _ in range(6)]
    state = nl.gru_seq2seq(n_features=1, hid_dim=3, n_layers=1)
    trained = nl.train(state, pairs, pairs, epochs=50, batch_size=2, save=True, callbacks=[Interrupt()],
                       enable_progress_bar=False)
    info = trained["training_info"]
    saved = nl.load_checkpoint(info["checkpoints_directory"])
    same = all((saved["weights"][name] == weight).all() for name, weight in trained["weights"].items())
    handled = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    sys.stdout.write(f"{info['interrupted']} {info['epochs']} {info['best_epoch']} {bool(same)} {handled}")
"""


def run_interrupted(script: str, results: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env=os.environ | {"NEURALLIB_RESULTS_DIR": str(results)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_sigterm_ends_the_program_and_leaves_lightnings_checkpoints(tmp_path: Path) -> None:
    run = run_interrupted(INTERRUPTED.replace("SIGINT)\n", "SIGTERM)\n", 1), tmp_path)
    assert run.returncode != 0 and run.stdout == ""
    assert len(list(tmp_path.glob("GRUseq2seq/checkpoints/*/best.ckpt"))) == 1


def test_ctrl_c_keeps_and_saves_the_best_weights_so_far(tmp_path: Path) -> None:
    run = run_interrupted(INTERRUPTED, tmp_path)
    assert run.stdout == "True 3 3 True True", run.stderr
    assert "the best weights so far (epoch 3) are kept" in run.stderr


DISTRIBUTED = """
    import sys
    import numpy as np
    import neurallib as nl
    rng = np.random.default_rng(0)
    pairs = [(x := rng.standard_normal((8, 1)).astype(np.float32), (x > 0).astype(np.float32)) for _ in range(7)]
    state = nl.gru_seq2seq(n_features=1, hid_dim=3, n_layers=1)
    trained = nl.train(state, pairs, pairs, epochs=2, batch_size=2, save=True, enable_progress_bar=False,
                       accelerator="cpu", devices=2, strategy="ddp")
    import os
    info = trained["training_info"]
    digest = sum(float(w.double().sum()) for w in trained["weights"].values())
    with open(os.environ["REPORT"] + os.environ.get("LOCAL_RANK", "0"), "w") as file:
        file.write(f"{digest} {info['validation_loss']} {info['checkpoints_directory']}")
"""


def test_two_processes_train_one_model_into_one_directory(tmp_path: Path) -> None:
    script = tmp_path / "distributed.py"
    script.write_text(textwrap.dedent(DISTRIBUTED))
    environment = {name: value for name, value in os.environ.items() if name not in ("LOCAL_RANK", "RANK")}
    subprocess.run(
        [sys.executable, str(script)],
        env=environment | {
            "NEURALLIB_RESULTS_DIR": str(tmp_path / "results"), "REPORT": str(tmp_path / "rank"),
            "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path),
        },
        capture_output=True, text=True, timeout=180, check=True,
    )  # fmt: skip
    first, second = (tmp_path / "rank0").read_text(), (tmp_path / "rank1").read_text()
    assert first == second
    assert len(list((tmp_path / "results" / "GRUseq2seq" / "checkpoints").iterdir())) == 1


def test_signal_module_is_left_as_it_was() -> None:
    before = signal.getsignal(signal.SIGINT)
    state = make_state(GRU)
    nl.train(state, data(state), data(state, 3), epochs=1, batch_size=4, **QUIET)
    assert signal.getsignal(signal.SIGINT) is before
