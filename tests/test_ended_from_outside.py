"""Runs that a scheduler's SIGTERM stops while they validate, and such as `max_time` or `max_steps` end: what they go on
with, and what is said of them."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import make_state
from pytorch_lightning.callbacks import timer
from stopping import GRU, Stop, assert_same, run

import neurallib as nl

EPOCH = 4  # batches


class Outside(Stop):
    """Has SIGTERM come in a hook of an epoch, once; each batch takes a second of `now`."""

    told: tuple[str, int] | None = None
    now = 0.0

    def on_train_batch_end(self, *_: Any) -> None:
        Outside.now += 1

    def __getattribute__(self, name: str) -> Any:
        if Outside.told is None or name != Outside.told[0]:
            return super().__getattribute__(name)

        def hook(trainer: Any, *_: Any) -> None:
            if Outside.told is not None and trainer.current_epoch == Outside.told[1]:
                Outside.told = None
                os.kill(os.getpid(), signal.SIGTERM)

        return hook


@pytest.fixture(autouse=True)
def reset() -> Iterator[None]:
    Stop.at, Outside.told, Outside.now = None, None, 0.0
    yield
    Outside.told = None


def trained(results: Path, resume: Any = False, **options: Any) -> nl.State:
    return run(results, callbacks=[Outside()], resume=resume, **{"epochs": 3, "batch_size": 2, **options})


@pytest.mark.parametrize("hook", ["start", "epoch_start", "batch_start", "batch_end", "epoch_end", "end"])
@pytest.mark.parametrize("epoch", [0, 1])
def test_a_validation_that_sigterm_stops_is_done_again(
    hook: str, epoch: int, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"accumulate_grad_batches": 3, "patience": 9 if epoch else None}
    whole = trained(tmp_path / "whole", **options)
    Stop.steps, Outside.told = 0, (f"on_validation_{hook}", epoch)
    with pytest.raises(SystemExit):
        trained(tmp_path / "parts", **options)
    assert_same(trained(tmp_path / "parts", True, **options), whole)
    assert Stop.steps == 3 * EPOCH  # no batch is trained on twice
    assert len(nl.find_unfinished(tmp_path / "parts")) == 0


def clocked(seconds: int, monkeypatch: pytest.MonkeyPatch, results: Path, **options: Any) -> nl.State:
    """A run that so many batches are within the time of."""
    Outside.now = 0.0
    monkeypatch.setattr(timer, "time", type("Clock", (), {"monotonic": staticmethod(lambda: Outside.now)}))
    return trained(results, max_time={"seconds": seconds}, **options)


@pytest.mark.parametrize(
    ("seconds", "schedule"), [(3, "cosine"), (EPOCH, "cosine"), (EPOCH, "plateau"), (EPOCH + 1, "plateau")]
)
def test_a_run_that_is_out_of_time_goes_on(
    seconds: int, schedule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trained(tmp_path / "whole", schedule=schedule)
    options: dict[str, Any] = {"schedule": schedule, "results": tmp_path / "parts"}
    with pytest.warns(UserWarning, match=f"max_time ended training at {seconds // EPOCH} of 3 epochs; resume= goes on"):
        first = clocked(seconds, monkeypatch, **options)
    assert first["training_info"]["status"] == "out of time"
    (one,) = nl.find_unfinished(tmp_path / "parts")
    assert one["status"] == "out of time"
    Stop.steps = 0
    with pytest.warns(UserWarning, match=f"max_time ended training at {2 * seconds // EPOCH} of 3 epochs"):
        clocked(seconds, monkeypatch, resume=True, **options)  # as the same job, which has its time once more
    assert Stop.steps == seconds
    again = trained(tmp_path / "parts", Path(one["directory"]), schedule=schedule)
    assert_same(again, whole)
    best = torch.load(Path(one["directory"]) / "best.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(best[name], weight) for name, weight in again["weights"].items())
    assert nl.find_unfinished(tmp_path / "parts") == []


@pytest.mark.filterwarnings("ignore:max_time ended training")
def test_a_part_of_an_epoch_that_was_best_leaves_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {EPOCH: 1.0, EPOCH + 2: 2.0}
    options: dict[str, Any] = {"monitor": ("m", "max"), "metrics": {"m": lambda *_: values.get(int(Outside.now), 0.0)}}
    part = clocked(EPOCH + 2, monkeypatch, tmp_path, **options)["training_info"]
    again = trained(tmp_path, True, **options)
    assert part["best_epoch"] == 2 and again["training_info"]["best_epoch"] == 1
    best = torch.load(Path(part["checkpoints_directory"]) / "best.ckpt", weights_only=True)
    assert best["epoch"] == 0 and best["global_step"] == EPOCH
    assert all(torch.equal(best["state_dict"][name], weight) for name, weight in again["weights"].items())


def test_time_that_is_enough_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seconds in (3 * EPOCH, 100):  # over with the last epoch
        info = clocked(seconds, monkeypatch, tmp_path)["training_info"]
        assert info["status"] == "finished"
    options: dict[str, Any] = {"patience": 1, "schedule": None, "epochs": 30}
    early = trained(tmp_path, state=make_state(GRU, learning_rate=1.0), **options)["training_info"]["epochs"]
    again = clocked(early * EPOCH, monkeypatch, tmp_path, state=make_state(GRU, learning_rate=1.0), **options)
    assert early < 30 and again["training_info"]["status"] == "finished"


def test_more_steps_are_as_if_they_had_been_asked_for(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", schedule="step", patience=9)
    short = trained(tmp_path / "parts", schedule="step", patience=9, max_steps=2)
    assert short["training_info"]["status"] == "finished" and short["training_info"]["epochs"] == 1
    directory = Path(short["training_info"]["checkpoints_directory"])
    assert_same(trained(tmp_path / "parts", directory, schedule="step", patience=9, max_steps=2), short)
    more = trained(tmp_path / "parts", directory, schedule="step", patience=9, max_steps=6)
    assert more["training_info"]["epochs"] == 2
    again = trained(tmp_path / "parts", directory, schedule="step", patience=9)
    assert_same(again, whole)
    with pytest.raises(ValueError, match="max_steps was nothing, is "):
        trained(tmp_path / "parts", directory, schedule="step", patience=9, max_steps=6)


def test_a_cosine_that_came_down_over_max_steps_has_no_more(tmp_path: Path) -> None:
    directory = Path(trained(tmp_path, max_steps=6)["training_info"]["checkpoints_directory"])
    with pytest.raises(ValueError, match="max_steps=6, over which schedule='cosine' .* no going on to max_steps=inf"):
        trained(tmp_path, directory)
