"""Options of training: Lightning's, the library's own, and wrong ones named before anything happens."""

import logging
import os
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import QUIET, Case, data, make_state, same_weights
from pytorch_lightning.callbacks import Callback, EarlyStopping, LambdaCallback, LearningRateMonitor, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger

import neurallib as nl
from neurallib.tasks import TaskKind

GRU = Case("GRUseq2seq", "binary")


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


@pytest.mark.parametrize("callbacks", [
    [LambdaCallback(on_validation_epoch_end=print), EarlyStopping("logged by that")],
    [LearningRateMonitor(), EarlyStopping("lr-Adam")],
    [EarlyStopping("may not be there", strict=False)],
    [ModelCheckpoint(monitor="step"), EarlyStopping("val_own")],
])  # fmt: skip
def test_callbacks_that_go_by_what_others_log_or_what_may_be_missing_are_taken(callbacks: Any) -> None:
    state = make_state(GRU)
    nl.train(
        state, data(state), data(state, 3), callbacks=callbacks, loggers=[CSVLogger("logs")], dry_run=True, epochs=1,
        batch_size=2, metrics={"own": lambda outputs, y: 1.0}, **QUIET,
    )  # fmt: skip


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
        ({"class_weight": {0: 1.0}}, TypeError, "is a mapping; expected the one weight of what is yes"),
        ({"strategy": "ddp_spawn"}, ValueError, "'ddp_spawn' leaves the weights in processes that end"),
        ({"gradient_clip": 1.0}, TypeError, "Did you mean 'gradient_clip_val'"),
        ({"max_epochs": 3}, TypeError, "'max_epochs' is set by this library: give epochs"),
        ({"limit_test_batches": 3}, TypeError, "'limit_test_batches' is set .*: training tests nothing; evaluate does"),
        ({"logger": True}, TypeError, "enable_tensorboard"),
        ({"weight_decay": 0.1}, TypeError, "no option 'weight_decay': give optimizer="),
        ({"early_stopping": True}, TypeError, "give patience"),
        ({"limit_train_batches": 0}, ValueError, "limit_train_batches=0: there would be nothing to train on"),
        ({"limit_val_batches": 0.0}, ValueError, "limit_val_batches=0.0: weights are chosen by validation"),
        ({"max_steps": 0}, ValueError, "max_steps=0"),
        ({"max_steps": -5}, ValueError, "max_steps=-5; expected"),
        ({"max_steps": None}, TypeError, "max_steps=None is a NoneType"),
        ({"max_time": "a night"}, ValueError, "max_time='a night'; expected a datetime.timedelta above 0"),
        ({"max_time": {}}, ValueError, "max_time={}; expected"),
        ({"max_time": {"minutes": -1}}, ValueError, "max_time={'minutes': -1}; expected"),
        ({"max_time": {"hour": 1}}, ValueError, "max_time={'hour': 1}; expected .*'hour' is an invalid keyword"),
        ({"callbacks": [LearningRateMonitor()]}, ValueError, "LearningRateMonitor, which needs a logger: give logg"),
        ({"callbacks": [EarlyStopping("val_los")]}, ValueError, "monitor='val_los'; there is .* mean 'val_loss'"),
        ({"callbacks": [ModelCheckpoint(monitor="loss")]}, ValueError, "ModelCheckpoint with monitor='loss'; there is"),
        ({"max_time": 3600}, TypeError, "max_time=3600 is a int; expected a datetime.timedelta"),
        ({"precision": object()}, ValueError, "Lightning's Trainer: Precision .* invalid"),
        ({"plugins": [3]}, TypeError, "plugins holds 3; expected"),
        ({"precision": "bf17"}, ValueError, "Precision 'bf17' is invalid"),
        ({"strategy": "ddpp"}, ValueError, "ddpp"),
        ({"accumulate_grad_batches": 0}, ValueError, "accumulate_grad_batches=0"),
        ({"gradient_clip_val": -1.0}, ValueError, "gradient_clip_val=-1.0"),
        ({"layer_learning_rates": {"fc": 1.0}}, ValueError, "fc, where no weight .* of gru_layers.0.*, fc_out"),
    ],
)
@pytest.mark.parametrize("dry_run", [True, False])
def test_a_wrong_argument_is_named_before_training(
    options: dict, error: type, words: str, dry_run: bool, results: Path
) -> None:
    state, given = make_state(GRU), {"epochs": 1, "batch_size": 2, "save": True, "dry_run": dry_run} | options
    with pytest.raises(error, match=words):
        nl.train(state, data(state), data(state, 3), **given, **QUIET)
    assert not results.exists()


def test_a_dry_run_checks_everything_and_writes_nothing(results: Path) -> None:
    state = make_state(GRU)
    options = {"epochs": 1, "batch_size": 4, "save": True, "dry_run": True, **QUIET}
    assert same_weights(nl.train(state, data(state), data(state, 3), **options), state)
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
    assert same_weights(double, make_state(GRU)) and double["weights"]["fc_out.bias"].dtype == torch.float32


def test_options_of_lightning_change_no_global_setting() -> None:
    state = make_state(GRU)
    for option in ("deterministic", "benchmark"):
        nl.train(state, data(state), data(state, 3), epochs=1, batch_size=4, **{option: True}, **QUIET)
    assert not torch.are_deterministic_algorithms_enabled() and not torch.backends.cudnn.benchmark
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ


@pytest.mark.parametrize("generator", [np.random.MT19937, np.random.PCG64, np.random.SFC64])
def test_generators_and_settings_are_as_they_were_whatever_callbacks_do_with_them(generator: Any) -> None:
    class Draws(Callback):
        def on_train_start(self, *_: Any) -> None:
            random.random(), np.random.random(), torch.rand(1)
            torch.use_deterministic_algorithms(False)

        def on_fit_end(self, *_: Any) -> None:
            torch.set_default_dtype(torch.float64)
            torch.set_default_device("meta")
            torch.set_float32_matmul_precision("medium")
            torch.set_num_threads(defaults()[3] + 1)
            torch.set_grad_enabled(False)

    def defaults() -> list[Any]:
        told = torch.get_default_dtype(), torch.get_default_device(), torch.get_float32_matmul_precision()
        return [*told, torch.get_num_threads(), torch.is_grad_enabled()]

    def drawing(optimizer: Any) -> Any:
        random.random(), np.random.random(), torch.rand(1)
        return torch.optim.lr_scheduler.StepLR(optimizer, 1)

    state, logger, numpy = make_state(GRU), logging.getLogger("pytorch_lightning"), np.random.get_bit_generator()
    level, were = logger.level, defaults()
    torch.use_deterministic_algorithms(True, warn_only=True)
    logger.setLevel(logging.ERROR)
    try:
        np.random.set_bit_generator(generator(5))
        before = random.getstate(), str(np.random.get_state(legacy=False)), torch.get_rng_state()
        nl.train(
            state, data(state), data(state, 3), epochs=1, batch_size=4, callbacks=[Draws()], schedule=drawing, **QUIET
        )
        after = random.getstate(), str(np.random.get_state(legacy=False)), torch.get_rng_state()
        assert defaults() == were
        assert before[:2] == after[:2] and torch.equal(before[2], after[2])
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled() and logger.level == logging.ERROR
    finally:
        np.random.set_bit_generator(numpy)
        logger.setLevel(level)
        torch.use_deterministic_algorithms(False)


def test_numbers_of_numpy_are_numbers() -> None:
    state = make_state(GRU)
    trained = nl.train(state, data(state), data(state, 3), epochs=np.int64(1), batch_size=np.int32(4), **QUIET)
    assert trained["training_info"]["epochs"] == 1


def test_the_progress_bar_on_a_cpu_shows_the_loss_of_each_step_and_of_validation() -> None:
    from pytorch_lightning.callbacks import Callback

    shown = []

    class Spy(Callback):
        def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx) -> None:  # type: ignore
            bar = trainer.progress_bar_metrics
            shown.append((bar["train_loss"] == pytest.approx(float(outputs["loss"])), "val_loss" in bar))

    state = make_state(GRU)
    nl.train(state, data(state), data(state, 3), epochs=2, batch_size=4, callbacks=[Spy()])
    assert shown == [(True, False)] * 2 + [(True, True)] * 2


@pytest.mark.parametrize("precision", ["bf16-true", "16-true", "64-true"])
@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_measures_are_taken_in_whatever_precision_is_trained_in(precision: str, kind: TaskKind) -> None:
    state = make_state(Case("GRUseq2seq", kind))
    measure = "mae" if kind == "regression" else "auroc"
    told = nl.train(
        state, data(state), data(state, 3), epochs=1, batch_size=4, monitor=measure, precision=precision, **QUIET,
        metrics={"own": lambda outputs, y: float(np.abs(outputs - y).mean()),
                 "fine": lambda outputs, _: float((outputs.view(np.int32) & 0xFFFF > 0).any())},  # than bfloat16
    )["training_info"]  # fmt: skip
    values = [told["val_metrics"][name][0] for name in (measure, "own")]
    assert all(0 < value < 2 for value in values) and told["val_metrics"]["fine"] == [1]
