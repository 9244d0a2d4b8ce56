"""Runs that were stopped: resumed, they end with what they would have ended with, bit by bit."""

import datetime
import json
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import forking
import numpy as np
import pytest
import torch
from cases import FEW, QUIET, Case, make_state, write_folders
from pytorch_lightning.callbacks import Callback, LearningRateFinder, StochasticWeightAveraging
from stopping import GRU, Stop, assert_same, run, stopped

import neurallib as nl


@pytest.fixture(autouse=True)
def reset() -> Iterator[None]:
    Stop.at, Stop.steps = None, 0
    yield
    Stop.at = None


@pytest.mark.parametrize("at", [(0, 2), (1, 0), (4, 3)])
@pytest.mark.parametrize("every", [None, 1, 2, datetime.timedelta(0)])
def test_a_run_that_was_stopped_ends_as_if_it_had_not_been(at: tuple[int, int], every: Any, tmp_path: Path) -> None:
    whole, Stop.steps = run(tmp_path / "whole"), 0
    directory = stopped(at, tmp_path / "parts", checkpoint_every=every)
    again = run(tmp_path / "parts", resume=directory, checkpoint_every=every)
    assert_same(again, whole)
    assert again["training_info"]["checkpoints_directory"] == str(directory.resolve())
    assert_same(nl.load_checkpoint(directory), again)
    assert nl.find_unfinished(tmp_path / "parts") == []
    if every is not None:  # nothing but what the stop undid is done twice
        assert Stop.steps <= 5 * 4 + (every if isinstance(every, int) else 1)


@pytest.mark.parametrize("case", FEW, ids=str)
def test_every_architecture_and_task_goes_on(case: Case, tmp_path: Path) -> None:
    state = make_state(case, dropout=0.2)
    whole = run(tmp_path / "whole", state, augment=None)
    directory = stopped((2, 1), tmp_path / "parts", state, augment=None, checkpoint_every=1)
    assert_same(run(tmp_path / "parts", state, augment=None, checkpoint_every=1, resume=directory), whole)


@pytest.mark.parametrize(
    "options",
    [
        {"schedule": "plateau", "optimizer": "sgd"},
        {"monitor": ("m", "max"), "metrics": {"m": lambda *_: 1}, "schedule": "plateau", "epochs": 8, "patience": 8},
        {"schedule": "step", "accumulate_grad_batches": 2},
        {"bucketing": True, "sample_weight": [1, 2, 0, 1, 3, 1, 1]},
        {"monitor": "f1", "metrics": {"sharp": lambda outputs, y: float(np.ptp(outputs))}},
        {"max_steps": 11},
        {"patience": 1, "schedule": None},
        {"optimizer": lambda network, hparams: torch.optim.RMSprop(network.parameters(), hparams["learning_rate"])},
        {
            "schedule": lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5),
            "optimizer": lambda network, hparams: torch.optim.SGD(network.parameters(), hparams["learning_rate"]),
        },
    ],
    ids=lambda options: "-".join(options),
)
def test_whatever_a_run_is_asked_for_it_goes_on_with(options: dict[str, Any], tmp_path: Path) -> None:
    options = {"checkpoint_every": 1} | options
    whole = run(tmp_path / "whole", **options)
    directory = stopped((1, 2), tmp_path / "parts", **options)
    assert_same(run(tmp_path / "parts", resume=directory, **options), whole)


def test_a_function_goes_on_with_the_same_code_alone(tmp_path: Path) -> None:
    def functions(rate: float, gamma: float) -> dict[str, Any]:
        return {
            "optimizer": lambda network, hparams: torch.optim.SGD(network.parameters(), rate),
            "schedule": lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma),
        }

    directory = stopped((1, 0), tmp_path, **functions(0.1, 0.5))
    for name, others in (("optimizer", functions(0.2, 0.5)), ("schedule", functions(0.1, 0.6))):
        with pytest.raises(ValueError, match=f"other things than it began with: options.{name} was [^,]*, is [^,]*$"):
            run(tmp_path, resume=directory, **others)


def drawn(outputs: np.ndarray, y: np.ndarray) -> float:
    return random.random() + float(np.random.random())


def test_who_draws_from_the_global_generators_goes_on_drawing(tmp_path: Path) -> None:
    options: dict[str, Any] = {"metrics": {"drawn": drawn}, "checkpoint_every": 1}
    random.seed(1), np.random.seed(1)
    whole = run(tmp_path / "whole", **options)
    random.seed(1), np.random.seed(1)
    directory = stopped((1, 2), tmp_path / "parts", **options)
    random.seed(2), np.random.seed(2)
    assert_same(run(tmp_path / "parts", resume=directory, **options), whole)


@pytest.mark.filterwarnings("ignore:the weights that callbacks left")
@pytest.mark.parametrize("at", [(1, 2), (3, 0), (4, 2)])
def test_averaged_weights_go_on_being_averaged(at: tuple[int, int], tmp_path: Path) -> None:
    def callbacks() -> list[Callback]:
        return [Stop(), StochasticWeightAveraging(swa_lrs=0.01, swa_epoch_start=2)]

    whole = run(tmp_path / "whole", callbacks=callbacks(), schedule="step")
    directory = stopped(at, tmp_path / "parts", callbacks=callbacks(), schedule="step")
    assert_same(run(tmp_path / "parts", callbacks=callbacks(), schedule="step", resume=directory), whole)


def test_a_rate_that_was_found_is_not_looked_for_again(tmp_path: Path) -> None:
    def callbacks() -> list[Callback]:
        return [Stop(), LearningRateFinder(min_lr=1e-4, max_lr=1.0, num_training_steps=20)]

    whole = run(tmp_path / "whole", callbacks=callbacks())
    directory = stopped((1, 2), tmp_path / "parts", callbacks=callbacks())
    assert_same(run(tmp_path / "parts", callbacks=callbacks(), resume=directory), whole)


def test_a_run_that_is_stopped_again_and_again_ends_the_same(tmp_path: Path) -> None:
    whole, resume = run(tmp_path / "whole"), {}
    for at in ((0, 1), (0, 3), (1, 2), (3, 3), (4, 0)):
        Stop.at = at
        with pytest.raises(RuntimeError, match="stopped"):
            run(tmp_path / "parts", checkpoint_every=1, **resume)
        resume = {"resume": nl.find_unfinished(tmp_path / "parts")[0]["directory"]}
    assert_same(run(tmp_path / "parts", checkpoint_every=1, **resume), whole)


def test_retraining_goes_on(tmp_path: Path) -> None:
    source = nl.save_checkpoint(run(tmp_path / "source"), tmp_path / "source" / "saved")
    path_x, path_y = write_folders(tmp_path, make_state(GRU))
    options: dict[str, Any] = {
        "checkpoints_directory": source, "epochs": 4, "batch_size": 1, "dataset_name": "a", "trained_for": "b",
        "callbacks": [Stop()], **QUIET,
    }  # fmt: skip
    whole = nl.retrain(None, path_x, path_y, results_directory=tmp_path / "whole", **options)
    Stop.at = (2, 1)
    with pytest.raises(RuntimeError, match="stopped"):
        nl.retrain(None, path_x, path_y, results_directory=tmp_path / "parts", **options)
    directory = nl.find_unfinished(tmp_path / "parts")[0]["directory"]
    assert_same(nl.retrain(None, path_x, path_y, resume=directory, **options), whole)


def test_more_epochs_are_as_if_they_had_been_asked_for(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", epochs=7, schedule="step")
    short = run(tmp_path / "parts", epochs=3, schedule="step")
    directory = short["training_info"]["checkpoints_directory"]
    assert_same(run(tmp_path / "parts", epochs=7, schedule="step", resume=directory), whole)
    assert_same(run(tmp_path / "parts", epochs=7, schedule="step", resume=directory), whole)  # nothing is left to do


def test_a_run_that_stopped_early_would_have_stopped_there_whatever_it_was_asked_for(tmp_path: Path) -> None:
    options: dict[str, Any] = {"patience": 1, "schedule": None, "state": make_state(GRU, learning_rate=1.0)}
    short = run(tmp_path, epochs=30, **options)
    assert short["training_info"]["epochs"] < 30
    again = run(tmp_path, epochs=40, resume=short["training_info"]["checkpoints_directory"], **options)
    assert_same(again, short)


TERMINATED = """
    import os, signal
    from pathlib import Path
    from pytorch_lightning.callbacks import Callback
    import stopping as tests

    class Terminate(tests.Stop):
        def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
            if (trainer.current_epoch, batch_idx) == (2, 1):
                os.kill(os.getpid(), signal.SIGTERM)

    Terminate.__qualname__ = "Stop"
    tests.run(Path(os.environ["RESULTS"]), callbacks=[Terminate()])
"""


def test_sigterm_leaves_what_goes_on_from_the_very_step(tmp_path: Path) -> None:
    child = forking.run(["-c", TERMINATED], os.environ | {"RESULTS": str(tmp_path / "parts")}, timeout=120)
    assert child.returncode == 128 + signal.SIGTERM, child.stderr
    again = run(tmp_path / "parts", resume=True)
    assert Stop.steps == 2 * 4 + 2  # of five epochs of four steps
    assert_same(again, run(tmp_path / "whole"))


def test_the_logs_go_on_in_one_curve(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    directory = stopped((2, 2), tmp_path, enable_tensorboard=True, checkpoint_every=3)
    run(tmp_path, enable_tensorboard=True, checkpoint_every=3, resume=directory)
    assert [path.name for path in (directory / "tensorboard_logs").iterdir()] == ["version_0"]
    logs = EventAccumulator(str(directory / "tensorboard_logs" / "version_0"))
    logs.Reload()
    assert [event.step for event in logs.Scalars("train_loss")] == list(range(20))
    assert len(logs.Scalars("val_loss")) == len(logs.Scalars("lr-Adam")) == 5


def test_the_time_of_all_parts_is_told_and_the_best_weights_are_there_where_no_later_ones_are_better(
    tmp_path: Path,
) -> None:
    options: dict[str, Any] = {"monitor": ("m", "max"), "metrics": {"m": lambda *_: 1}, "patience": None}
    directory = stopped((3, 1), tmp_path, checkpoint_every=1, **options)
    last = torch.load(directory / "last.ckpt", weights_only=True)
    last["neurallib"]["recorder"]["seconds"] = 1e6
    torch.save(last, directory / "last.ckpt")
    (directory / "best.ckpt").unlink()  # as where the run was killed before it was written
    state = run(tmp_path, resume=directory, checkpoint_every=1, **options)
    assert 1e6 < state["training_info"]["training_time"] < 2e6 and state["training_info"]["best_epoch"] == 1
    best = torch.load(directory / "best.ckpt", weights_only=True)
    assert best["epoch"] == 0 and best["global_step"] == 4
    assert all(torch.equal(best["state_dict"][name], weight) for name, weight in state["weights"].items())


def test_a_trial_that_was_stopped_goes_on(tmp_path: Path) -> None:
    path_x, path_y = write_folders(tmp_path, make_state(GRU))
    params: dict[str, Any] = {
        "path_x": str(path_x), "path_y": str(path_y), "epochs": 3, "batch_size": 1, "dataset_name": "a",
        "trained_for": "b", "results_directory": str(tmp_path / "results"),
    }  # fmt: skip
    grid = {"n_features": 2, "hid_dim": 3, "n_layers": 1, "learning_rate": [0.01, 0.02]}
    script = f"""
        import os, signal
        import neurallib as nl
        from neurallib.training.saving import Saving
        last = Saving.last
        def end(self, checkpoint):
            last(self, checkpoint)
            os.kill(os.getpid(), signal.SIGKILL)
        Saving.last = end
        nl.grid_search("GRUseq2seq", {grid!r}, {params!r}, enable_progress_bar=False)
    """
    child = forking.run(["-c", script])
    assert child.returncode == -signal.SIGKILL, child.stderr
    (one,) = nl.find_unfinished(tmp_path / "results")
    results = nl.grid_search("GRUseq2seq", grid, params, enable_progress_bar=False)
    assert [result["status"] for result in results] == ["finished"] * 2
    directories = {str(path) for path in Path(one["directory"]).parent.iterdir()}
    assert len(directories) == 2 and one["directory"] in directories


@pytest.mark.nightly
@pytest.mark.parametrize("times", [5, 40])
def test_trainings_that_are_killed_anywhere_lose_nothing(times: int) -> None:
    script = Path(__file__).parent.parent / "benchmarks" / "kill_training.py"
    child = forking.run([script, str(times), "--seed", "1"])
    assert child.returncode == 0, child.stderr
    assert json.loads(child.stdout.splitlines()[-1])["disturbed"] >= times


@pytest.mark.parametrize("lost", ["random", "recorder", "train_total", "optimizer_states", "state", "lr_schedulers"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_checkpoint_that_lacks_something_is_named(optimizer: str, lost: str, tmp_path: Path) -> None:
    options = {"schedule": "step", "optimizer": optimizer}
    directory = stopped((2, 0), tmp_path, **options)
    checkpoint = torch.load(directory / "last.ckpt", weights_only=True)
    part = {"state": checkpoint["optimizer_states"][0]}.get(lost, checkpoint)
    if lost in part:
        part[lost] = {}
    else:
        del checkpoint["neurallib"][lost]
    torch.save(checkpoint, directory / "last.ckpt")
    with pytest.raises(ValueError, match=f"last.ckpt is no checkpoint that a run can be resumed from: .*{lost}"):
        run(tmp_path, resume=directory, **options)
