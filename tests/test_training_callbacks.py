"""Callbacks that change what a run is: what they leave is measured and handed over, or they are refused."""

import warnings
from typing import Any

import pytest
import torch
from cases import QUIET, Case, data, make_state, same_weights
from pytorch_lightning.callbacks import (
    BatchSizeFinder,
    Callback,
    EarlyStopping,
    LearningRateFinder,
    ModelCheckpoint,
    ModelPruning,
    StochasticWeightAveraging,
    WeightAveraging,
)
from torch.optim.swa_utils import get_ema_avg_fn

import neurallib as nl

GRU = Case("GRUseq2seq", "binary")


def trained(*callbacks: Callback, state: nl.State | None = None, **options: Any) -> nl.State:
    state = state or make_state(GRU, learning_rate=0.01)
    given = {"epochs": 4, "batch_size": 4, "callbacks": callbacks} | QUIET | options
    return nl.train(state, data(state), data(state, 3), **given)


def measured(state: nl.State) -> float:
    return nl.evaluate(state, data(state, 3))["loss"]


def test_averaged_weights_of_the_end_are_measured_and_handed_over() -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="the weights that callbacks left")
        averaged = trained(StochasticWeightAveraging(swa_lrs=0.05, swa_epoch_start=1), save=True)
    assert not same_weights(averaged, trained())
    info = averaged["training_info"]
    assert info["validation_loss"] == pytest.approx(measured(averaged), rel=1e-5)
    assert info["weights_of"] == "callbacks at the end of training" and info["callbacks"] == [
        "StochasticWeightAveraging"
    ]
    assert info["epochs"] == len(info["val_losses"]) == 4 and "SWALR" in info["schedule"]
    best = torch.load(f"{info['checkpoints_directory']}/best.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(best[name], weight) for name, weight in averaged["weights"].items())


def test_weights_that_a_callback_loads_in_the_end_are_worse_and_it_is_told() -> None:
    state = make_state(GRU, learning_rate=0.01)

    class Loads(Callback):
        def on_train_end(self, trainer: Any, module: Any) -> None:
            module.load_state_dict(state["weights"])

    with pytest.warns(UserWarning, match="the weights that callbacks left, .*; those of epoch 4 had"):
        same = trained(Loads(), state=state)
    assert same_weights(same, state)
    assert same["training_info"]["validation_loss"] == pytest.approx(measured(same), rel=1e-5)


def test_averaging_that_never_came_to_its_end_is_told() -> None:
    swa = StochasticWeightAveraging(swa_lrs=0.05, swa_epoch_start=1)
    with pytest.warns(UserWarning, match="which this run did not reach: the best epoch's weights are kept, not avera"):
        state = trained(swa, max_steps=4)
    assert state["training_info"]["weights_of"] == "the best epoch"


def test_weights_that_are_averaged_all_along_are_those_measured_each_epoch() -> None:
    averaged = trained(WeightAveraging(avg_fn=get_ema_avg_fn(0.9)), save=True)
    info = averaged["training_info"]
    assert not same_weights(averaged, trained())
    assert info["validation_loss"] == info["val_losses"][info["best_epoch"] - 1]
    assert info["validation_loss"] == pytest.approx(measured(averaged), rel=1e-5)
    best = torch.load(f"{info['checkpoints_directory']}/best.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(best[name], weight) for name, weight in averaged["weights"].items())


def test_weights_that_are_averaged_all_along_do_not_take_the_place_of_better_ones() -> None:
    values = iter([0, 3, 2, 1, 0, 9])  # of the trial, of each epoch, and of what is not to be measured once more
    averaged = trained(
        WeightAveraging(avg_fn=get_ema_avg_fn(0.9)), metrics={"own": lambda *_: next(values)}, monitor=("own", "max")
    )
    info = averaged["training_info"]
    assert info["best_epoch"] == 1 and info["weights_of"] == "the best epoch" and next(values) == 9


def test_what_callbacks_leave_is_measured_on_as_many_batches_as_epochs_are() -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="the weights that callbacks left")
        averaged = trained(
            StochasticWeightAveraging(swa_lrs=0.05, swa_epoch_start=1), limit_val_batches=1, batch_size=2
        )
    info = averaged["training_info"]
    assert info["weights_of"] == "callbacks at the end of training"
    of_first = nl.evaluate(averaged, data(averaged, 3)[:2])["loss"]
    assert info["validation_loss"] == pytest.approx(of_first, rel=1e-5) != measured(averaged)


class Rates(Callback):
    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        self.seen.append(trainer.optimizers[0].param_groups[0]["lr"])


def test_a_sweep_of_learning_rates_is_no_training_and_the_rate_that_ran_is_told() -> None:
    rates, losses = Rates(), Losses()
    finder = LearningRateFinder(min_lr=1e-4, max_lr=1.0, num_training_steps=30)
    state = trained(finder, rates, losses, epochs=4, batch_size=1, schedule="step")
    info = state["training_info"]
    assert info["epochs"] == len(info["val_losses"]) == len(info["train_losses"]) == 4
    assert len(losses.seen) == 4 and len(rates.seen) == 32
    assert info["learning_rate"] == state["hparams"]["learning_rate"] == pytest.approx(rates.seen[0])
    assert info["learning_rate"] != 0.01 and f"lr: {info['learning_rate']}" in info["optimizer"]


@pytest.mark.parametrize(
    ("callback", "options", "words"),
    [
        (BatchSizeFinder(), {}, "batch_size is what the run trains with"),
        (ModelPruning("l1_unstructured"), {}, "renames weights"),
        (LearningRateFinder(), {"layer_learning_rates": {"fc_out": 0.1}}, "it sets one rate"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_callbacks_that_cannot_do_here_what_they_are_for_are_refused(
    callback: Callback, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        trained(callback, **options)


class Losses(Callback):
    """What a callback sees of an epoch when its validation ends."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_validation_epoch_end(self, trainer: Any, module: Any) -> None:
        self.seen.append(float(trainer.callback_metrics["val_loss"]))


def test_callbacks_see_this_epochs_validation_loss_from_the_first_epoch_on() -> None:
    losses = Losses()
    assert losses.seen == pytest.approx(trained(losses)["training_info"]["val_losses"])
    assert len(losses.seen) == 4


def test_callbacks_see_the_loss_of_each_step() -> None:
    seen = []

    class Spy(Callback):
        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            seen.append(float(trainer.callback_metrics["train_loss"]) == float(outputs["loss"]))

    trained(Spy())
    assert seen == [True] * 8


def test_callbacks_of_ones_own_stop_and_save_by_the_validation_loss(tmp_path: Any) -> None:
    stopping = EarlyStopping("val_loss", patience=1, min_delta=10.0)
    saving = ModelCheckpoint(tmp_path, filename="mine-{epoch}", monitor="val_loss", save_top_k=-1)
    info = trained(stopping, saving)["training_info"]
    assert info["epochs"] == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine-epoch=0.ckpt", "mine-epoch=1.ckpt"]


def test_steps_after_the_last_validation_are_a_last_epoch() -> None:
    """Eight signals in batches of two are four steps; the second epoch has two."""
    state = trained(max_steps=6, batch_size=2)
    info = state["training_info"]
    assert len(info["val_losses"]) == len(info["train_losses"]) == info["epochs"] == 2
    assert info["validation_loss"] == min(info["val_losses"]) == pytest.approx(measured(state), rel=1e-5)
    assert info["best_epoch"] == 2 and info["trainer_options"] == {"max_steps": 6}


def test_an_epoch_that_ends_at_its_first_steps_is_measured() -> None:
    state = trained(max_steps=1, batch_size=2)
    assert state["training_info"]["validation_loss"] == pytest.approx(measured(state), rel=1e-5)


def test_an_optimizer_that_a_callback_put_in_is_the_one_told() -> None:
    class Swap(Callback):
        def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
            if trainer.current_epoch == 2:
                trainer.optimizers = [torch.optim.SGD(module.network.parameters(), lr=0.5)]

    told = trained(Swap())["training_info"]["optimizer"]
    assert told.startswith("Adam") and "; SGD" in told and told.endswith("from epoch 3 on")
