"""A loss, metrics, loggers and a monitor of one's own: what each is given, and what follows it."""

import csv
import math
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import CASES, FEW, QUIET, Case, data, make_pairs, make_state, names_in, same_weights, write_folders
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import CSVLogger

import neurallib as nl
from neurallib.training.monitoring import way

GRU = Case("GRUseq2seq", "binary")
each_case = pytest.mark.parametrize("case", CASES, ids=str)


def trained(state: nl.State | None = None, **options: Any) -> nl.State:
    state = make_state(GRU, learning_rate=0.01) if state is None else state
    return nl.train(state, data(state), data(state, 3), **{"epochs": 4, "batch_size": 4} | QUIET | options)


def scripted(*values: float) -> Callable[[Any, Any], float]:
    """A metric that gives these values one after the other; the first is that of the trial before training."""
    left = iter([math.nan, *values])
    return lambda outputs, y: next(left)


@pytest.mark.parametrize("case", FEW, ids=str)
def test_the_tasks_own_loss_given_as_a_function_trains_the_same(case: Case) -> None:
    state = make_state(case, learning_rate=0.01)
    as_it_comes: dict[str, Any] = {"target_normalization": None} if case.kind == "regression" else {}
    plain = trained(state, epochs=2, **as_it_comes)
    own = trained(state, epochs=2, loss=nl.loss_function(state), **as_it_comes)
    for name, weight in own["weights"].items():
        torch.testing.assert_close(weight, plain["weights"][name], rtol=1e-4, atol=1e-5)
    for losses in ("train_losses", "val_losses"):
        assert own["training_info"][losses] == pytest.approx(plain["training_info"][losses], rel=1e-5)
    assert own["training_info"]["loss"] == "neurallib.measures.losses.loss_function.<locals>.loss"
    assert plain["training_info"]["loss"] is None


def test_a_loss_of_ones_own_is_weighed_by_known_steps_whatever_the_batches() -> None:
    state = make_state(Case("GRUseq2seq", "regression"), learning_rate=0.1)
    pairs = make_pairs(state, [20, 90, 30, 25])
    pairs[1][1][10:] = np.nan

    def absolute(logits: torch.Tensor, y: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        valid = (torch.arange(y.shape[1]) < lengths[:, None])[..., None] & ~y.isnan()
        return (logits - y)[valid].abs().mean()

    options: dict[str, Any] = {"optimizer": "sgd", "schedule": None, "loss": absolute, "epochs": 1, **QUIET}
    whole = nl.train(state, pairs, pairs, batch_size=4, **options)
    parts = nl.train(state, pairs, pairs, batch_size=1, accumulate_grad_batches=4, **options)
    for name, weight in whole["weights"].items():
        assert not torch.equal(weight, state["weights"][name])
        torch.testing.assert_close(parts["weights"][name], weight, rtol=1e-4, atol=1e-6)
    told = [each["training_info"] for each in (whole, parts)]
    for losses in ("train_losses", "val_losses"):
        assert told[0][losses] == pytest.approx(told[1][losses], rel=1e-5)


def test_the_loss_that_is_told_is_the_one_given() -> None:
    state = make_state(GRU, learning_rate=0.01)
    own = nl.loss_function(state)
    info = trained(loss=lambda logits, y, lengths: 3 * own(logits, y, lengths))["training_info"]
    plain = trained()["training_info"]
    assert info["val_losses"][0] == pytest.approx(3 * plain["val_losses"][0], rel=0.02)
    assert info["validation_loss"] == min(info["val_losses"])


@each_case
def test_metrics_get_all_known_steps_in_their_own_units(case: Case) -> None:
    state = make_state(case, learning_rate=0.01)
    pairs = [(x, 40 + 10 * y if case.kind == "regression" else y) for x, y in make_pairs(state, [7, 12, 9])]
    if case.kind == "binary" and case.architecture == "GRUseq2seq":
        pairs[1][1][3:5] = np.nan

    def own(outputs: np.ndarray, y: np.ndarray) -> float:
        assert outputs.ndim == 2 and len(outputs) == len(y) and not np.isnan(y).any()
        if case.kind == "regression":
            return float(np.mean((outputs - y) ** 2))
        return float(np.mean(outputs.argmax(1) == y if case.kind == "multiclass" else (outputs > 0.5) == y))

    state = nl.train(state, pairs, pairs, epochs=3, batch_size=2, metrics={"own": own}, **QUIET)
    told = state["training_info"]["val_metrics"]
    same = "mse" if case.kind == "regression" else "accuracy"
    assert len(told["own"]) == 3 and told["own"] == pytest.approx(told[same], rel=1e-4)
    best = state["training_info"]["best_epoch"] - 1
    assert told["own"][best] == pytest.approx(nl.evaluate(state, pairs)[same], rel=1e-3)


class Seen(Callback):
    def __init__(self) -> None:
        self.values: list[float] = []

    def on_validation_epoch_end(self, trainer: Any, module: Any) -> None:
        self.values.append(float(trainer.callback_metrics["val_own"]))


def test_callbacks_see_the_metrics_of_ones_own() -> None:
    seen = Seen()
    trained(metrics={"own": scripted(0.1, 0.2, 0.3, 0.4)}, callbacks=[seen])
    assert seen.values == pytest.approx([0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize(
    ("way", "values", "best", "epochs"),
    [
        ("max", [0.1, 0.9, 0.2, 0.8, 0.9, 1.0], 2, 5),  # patience 3
        ("min", [0.1, 0.1, 0.2, 0.8, 0.9, 1.0], 1, 4),
        ("max", [math.nan, 0.2, math.nan, 0.3, 0.1, 0.1], 4, 6),
    ],
)
def test_weights_checkpoints_and_patience_follow_what_is_monitored(
    way: str, values: list[float], best: int, epochs: int
) -> None:
    options: dict[str, Any] = {"epochs": 6, "schedule": None}
    state = trained(metrics={"own": scripted(*values)}, monitor=("own", way), patience=3, save=True, **options)
    info = state["training_info"]
    assert (info["best_epoch"], info["epochs"]) == (best, epochs)
    assert info["monitor"] == {"name": "own", "mode": way, "value": values[best - 1]}
    assert info["val_metrics"]["own"] == [None if math.isnan(value) else value for value in values[:epochs]]
    assert info["validation_loss"] == info["val_losses"][best - 1] == pytest.approx(
        nl.evaluate(state, data(state, 3))["loss"], rel=1e-5
    )
    assert same_weights(state, trained(metrics={"own": scripted(*range(6))}, monitor=("own", "max"), schedule=None,
                                       epochs=best))  # fmt: skip
    kept = torch.load(f"{info['checkpoints_directory']}/best.ckpt", weights_only=True)
    assert kept["epoch"] == best - 1
    assert all(torch.equal(kept["state_dict"][name], weight) for name, weight in state["weights"].items())


def test_a_plateau_looks_at_what_is_monitored() -> None:
    rates = []

    class Rates(Callback):
        def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    rising = scripted(*range(1, 10))
    trained(metrics={"own": rising}, monitor=("own", "max"), schedule="plateau", epochs=9, callbacks=[Rates()])
    assert rates == [0.01] * 9
    rates.clear()
    rising = scripted(*range(1, 10))
    trained(metrics={"own": rising}, monitor=("own", "min"), schedule="plateau", epochs=9, callbacks=[Rates()])
    assert rates == pytest.approx([0.01] * 7 + [0.001] * 2)


@pytest.mark.parametrize(("name", "pick"), [("f1", max), ("val_auroc", max), ("calibration_error", min)])
def test_a_measure_that_evaluate_gives_can_be_monitored(name: str, pick: Callable) -> None:
    state = trained(monitor=name, epochs=6)
    info, name = state["training_info"], name.removeprefix("val_")
    values = info["val_metrics"][name]
    assert info["best_epoch"] == values.index(pick(values)) + 1 and info["monitor"]["value"] == pick(values)
    assert nl.evaluate(state, data(state, 3))[name] == pytest.approx(pick(values), abs=1e-6)


@each_case
def test_of_every_measure_the_better_way_is_known_but_of_baselines(case: Case) -> None:
    state = make_state(case)
    ways = {name: way(name) for name in nl.evaluate(state, data(state))}
    assert {name for name, way in ways.items() if way is None} == {name for name in ways if "baseline" in name}
    lower = {name for name, way in ways.items() if way == "min"}
    assert lower == {name for name in ways if name.startswith(("loss", "mse", "mae", "calibration"))}


def test_nothing_to_choose_by_is_told() -> None:
    with pytest.raises(RuntimeError, match="no weights to choose: no validation own was finite.*the labels that own"):
        trained(metrics={"own": scripted(*[math.nan] * 4)}, monitor=("own", "max"))


def test_what_validation_data_cannot_tell_is_named_before_training() -> None:
    state = make_state(GRU)
    pairs = [(x, np.zeros_like(y)) for x, y in data(state)]
    for dry_run in (True, False):
        with pytest.raises(ValueError, match="monitor='auroc': val_data lacks labels that auroc needs, which would be"):
            nl.train(state, data(state), pairs, epochs=9, batch_size=4, monitor="auroc", dry_run=dry_run, **QUIET)


def test_a_measure_that_no_epoch_changes_chooses_nothing_and_that_is_told(recwarn: pytest.WarningsRecorder) -> None:
    """As F1 where a rare class is never found, or is not among the validation data."""
    for values, told in (((0.0,) * 4, "0"), ((0.0, math.nan, math.nan, math.nan), "0 or nan")):
        with pytest.warns(UserWarning, match=f"monitor='own' was {told} in each of 4 epochs, .* those of epoch 1,"):
            trained(metrics={"own": scripted(*values)}, monitor=("own", "max"))
    recwarn.clear()
    trained(metrics={"own": scripted(0.0, 0.0, 0.0, 0.1)}, monitor=("own", "max"))
    trained(metrics={"own": scripted(0.0)}, monitor=("own", "max"), epochs=1)
    assert [str(each.message) for each in recwarn if "tells none" in str(each.message)] == []


def test_retraining_is_compared_with_its_source_by_what_is_monitored() -> None:
    source = trained()
    with pytest.warns(UserWarning, match=r"its highest validation own is 0.5 \(epoch 1\), the source's 0.9"):
        state = trained(source, epochs=2, metrics={"own": scripted(0.5, 0.4, 0.9)}, monitor=("own", "max"))
    assert same_weights(state, source) and state["training_info"]["monitor"]["value"] == 0.9
    state = trained(source, epochs=2, metrics={"own": scripted(0.5, 0.4, 0.3)}, monitor=("own", "max"))
    assert not same_weights(state, source) and state["training_info"]["best_epoch"] == 1


def number(logits: Any, y: Any, lengths: Any) -> float:
    return 1.0


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"loss": "mae"}, TypeError, r"loss is a str; expected a function \(logits, y, lengths\)"),
        ({"loss": torch.nn.BCEWithLogitsLoss()}, TypeError, r"loss=.*LogitsLoss takes \(input.*lengths\) -> scalar"),
        ({"loss": lambda a, y: (a - y).mean()}, TypeError, r"loss=.*> takes \(a, y\); expected .* beyond a length"),
        ({"loss": number}, TypeError, "the function loss gave a float; expected a scalar Tensor"),
        ({"loss": lambda a, y, n: (a - y) ** 2}, TypeError, r"the function loss gave a Tensor of shape \(2, 7, 1\)"),
        ({"loss": lambda a, y, n: (a.detach() - y).sum()}, TypeError, "with a gradient by the logits"),
        ({"loss": number, "class_weight": 2.0}, ValueError, "class_weight weighs the library's losses"),
        ({"metrics": [number]}, TypeError, "metrics is a list; expected functions"),
        ({"metrics": {"own": 3}}, TypeError, r"metrics\['own'\] is a int; expected functions"),
        ({"metrics": {"f1": number}}, ValueError, r"metrics\['f1'\] has the name of a measure that there is"),
        ({"metrics": {"own": lambda outputs: 0}}, TypeError, r"metric 'own', given numpy arrays of shapes \(21, 1\)"),
        ({"metrics": {"own": lambda outputs, y: "good"}}, TypeError, "the metric 'own' gave a str; expected a number"),
        ({"monitor": "aroc"}, ValueError, r"monitor='aroc'; there is loss, accuracy, .* Did you mean 'auroc'\?"),
        ({"monitor": "baseline_accuracy"}, ValueError, "monitor='baseline_accuracy'; there is loss"),
        ({"monitor": 3}, TypeError, "monitor=3; expected a measure's name"),
        ({"monitor": "own", "metrics": {"own": lambda a, y: 0}}, ValueError, r"which way is better: give \('own', 'ma"),
        ({"monitor": ("f1", "up")}, ValueError, "the way of monitor='up'; expected one of 'max', 'min'"),
        ({"monitor": ("f1", "min")}, ValueError, r"would choose the worst: of 'f1' 'max' is better"),
        ({"loggers": True}, TypeError, "loggers is a bool; expected a list of Lightning's loggers"),
        ({"loggers": ["csv"]}, TypeError, r"loggers is \['csv'\]"),
    ],
    ids=names_in,
)
def test_what_cannot_be_gone_by_is_told_before_training(
    options: dict, error: type, words: str, results: Path
) -> None:
    for dry_run in (True, False):
        with pytest.raises(error, match=words):
            trained(save=True, dry_run=dry_run, **options)
    assert not results.exists()


def rows(directory: Path) -> list[dict[str, str]]:
    with open(directory / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("tensorboard", [False, True])
def test_loggers_are_told_every_step_and_every_validation(tensorboard: bool, tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, name="mine")
    more = {"save": True, "enable_tensorboard": True} if tensorboard else {}
    info = trained(loggers=[logger], metrics={"own": scripted(1, 2, 3, 4)}, **more)["training_info"]
    told = rows(tmp_path / "mine" / "version_0")
    assert len([row for row in told if row["train_loss"]]) == 8
    epochs = [row for row in told if row["val_loss"]]
    assert [float(row["val_loss"]) for row in epochs] == pytest.approx(info["val_losses"])
    assert [float(row["train_loss_epoch"]) for row in epochs] == pytest.approx(info["train_losses"])
    assert [float(row["val_own"]) for row in epochs] == [1, 2, 3, 4] == info["val_metrics"]["own"]
    assert [float(row["val_f1"]) for row in epochs] == pytest.approx(info["val_metrics"]["f1"])
    assert [float(row["lr-Adam"]) for row in epochs][0] == 0.01
    assert info["loggers"] == ["CSVLogger"]


def test_each_fold_logs_by_itself(tmp_path: Path) -> None:
    state = make_state(GRU)
    nl.cross_validate(
        state, data(state), list("aabbccdd"), folds=2, epochs=1, batch_size=4, loggers=[CSVLogger(tmp_path, name="cv")],
        optimizer="adamw", schedule="step", **QUIET,
    )  # fmt: skip
    for fold in (0, 1):
        (row,) = (row for row in rows(tmp_path / "cv" / f"version_{fold}") if row["val_loss"])
        assert float(row["val_f1"]) >= 0


@pytest.mark.filterwarnings("ignore:retraining never beat its source")
def test_folders_take_the_same_options(tmp_path: Path) -> None:
    state = make_state(GRU, learning_rate=0.01)
    paths = write_folders(tmp_path / "data", state)
    options: dict[str, Any] = {
        "dataset_name": "made up", "trained_for": "signs", "epochs": 2, "optimizer": "sgd", "schedule": None,
        "monitor": "auroc", "loss": nl.loss_function(state), "metrics": {"own": lambda outputs, y: len(y)}, **QUIET,
    }  # fmt: skip
    first = nl.train_from_scratch(state, *paths, **options)
    directory = first["training_info"]["checkpoints_directory"]
    again = nl.retrain(None, *paths, checkpoints_directory=directory, **options)
    for info in (first["training_info"], again["training_info"]):
        assert info["monitor"]["name"] == "auroc" and info["schedule"] == "none" and "SGD" in info["optimizer"]
        assert info["val_metrics"]["own"] == [49, 49] and info["loss"].endswith("loss")


def test_epochs_are_the_bound_of_steps_and_minutes() -> None:
    with pytest.warns(UserWarning, match="max_time ended training at [0-9]* of 100000 epochs.$"):  # nothing to resume
        long = trained(epochs=10**5, schedule=None, max_time=timedelta(seconds=1))["training_info"]
    short = trained(epochs=2, schedule=None, max_time={"hours": 1})["training_info"]
    assert 0 < long["epochs"] < 10**5 and long["trainer_options"] == {"max_time": "0:00:01"} and short["epochs"] == 2
    infos = [trained(epochs=3, max_steps=steps, patience=3)["training_info"] for steps in (1, 4, 100)]
    assert [info["epochs"] for info in infos] == [1, 2, 3]
