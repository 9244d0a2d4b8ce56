"""Batch invariance: an optimizer step does not know into how many parts, or processes, its signals were cut."""

import json
from typing import Any

import pytest
import torch
from cases import CASES, QUIET, Case, make_pairs, make_state
from pytorch_lightning.callbacks import Callback
from together import SRUN, codes, errors, start, told

import neurallib as nl

GRU = Case("GRUseq2seq", "binary")
LENGTHS = [20, 400, 30, 25, 8, 50]  # six signals: the last group of steps of four is not complete
each_case = pytest.mark.parametrize("case", CASES, ids=str)


class Gradients(Callback):
    """The gradient of every optimizer step, as the optimizer gets it."""

    def __init__(self) -> None:
        self.steps: list[dict[str, torch.Tensor]] = []

    def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: Any) -> None:
        parameters = module.network.named_parameters()
        self.steps.append({name: p.grad.clone() for name, p in parameters if p.grad is not None})


def gradients(state: nl.State, pairs: list, **options: Any) -> tuple[list[dict[str, torch.Tensor]], dict[str, Any]]:
    seen = Gradients()
    trained = nl.train(state, pairs, pairs[:2], epochs=1, callbacks=[seen], **(QUIET | options))
    return seen.steps, trained["training_info"]


@each_case
def test_accumulated_gradients_are_those_of_one_batch(case: Case) -> None:
    state = make_state(case, learning_rate=1e-12)
    pairs = make_pairs(state, LENGTHS)
    weight = [3.0, 0.5, 1.0] if case.kind == "multiclass" else None
    whole, told = gradients(state, pairs, batch_size=4, class_weight=weight)
    for batch_size in (1, 2):
        options = {"batch_size": batch_size, "accumulate_grad_batches": 4 // batch_size, "class_weight": weight}
        parts, told_of_parts = gradients(state, pairs, **options)
        assert len(parts) == len(whole) == 2
        for one, other in zip(whole, parts, strict=True):
            for name, gradient in one.items():
                scale = max(float(gradient.abs().max()), 1e-3)
                torch.testing.assert_close(other[name] / scale, gradient / scale, rtol=1e-5, atol=1e-5)
        assert told_of_parts["train_losses"] == pytest.approx(told["train_losses"], rel=1e-5)


def test_gradients_are_clipped_as_those_of_one_batch() -> None:
    state = make_state(GRU, learning_rate=0.01)
    pairs = make_pairs(state, LENGTHS)
    whole, parts = (
        nl.train(state, pairs, pairs, epochs=2, gradient_clip_val=0.01, gradient_clip_algorithm="value", **QUIET, **cut)
        for cut in ({"batch_size": 4}, {"batch_size": 2, "accumulate_grad_batches": 2})
    )
    for name, weight in whole["weights"].items():
        torch.testing.assert_close(parts["weights"][name], weight, rtol=1e-5, atol=1e-5)


def test_the_number_of_parts_may_change_from_epoch_to_epoch() -> None:
    from pytorch_lightning.callbacks import GradientAccumulationScheduler

    state = make_state(GRU)
    pairs, seen = make_pairs(state, LENGTHS), Gradients()
    scheduler = GradientAccumulationScheduler({0: 1, 1: 3})
    nl.train(state, pairs, pairs[:2], epochs=2, batch_size=2, callbacks=[scheduler, seen], **QUIET)
    assert len(seen.steps) == 3 + 1


def test_the_training_loss_is_that_of_the_valid_steps_whatever_the_batches() -> None:
    state = make_state(Case("GRUseq2seq", "regression"), learning_rate=1e-12)
    pairs = [(x, y + (3 if len(x) > 100 else 0)) for x, y in make_pairs(state, LENGTHS)]
    for batch_size in (1, 2, 3, 6):
        info = nl.train(state, pairs, pairs, epochs=1, batch_size=batch_size, **QUIET)["training_info"]
        assert info["train_losses"] == pytest.approx(info["val_losses"], rel=1e-5)


PROCESSES = """
    import json
    from test_batch_invariance import gradients
    found = {}
    for n in (8, 6, 5):
        state = make_state(Case("GRUseq2seq", "binary"), learning_rate=1e-12)
        pairs = make_pairs(state, [20, 400, 30, 25, 8, 50, 300, 9][:n])
        for parts in (1, 2):
            steps, info = gradients(state, pairs, batch_size=2 // parts, accelerator="cpu", devices=2, strategy="ddp",
                                    accumulate_grad_batches=parts)
            steps = [{name: gradient.tolist() for name, gradient in step.items()} for step in steps]
            found[f"{n} {parts}"] = steps, info["train_losses"]
    steps, info = gradients(state, pairs, batch_size=1, accelerator="cpu", devices=2, strategy="ddp",
                            accumulate_grad_batches=2, sample_weight=[3.0, 0.0, 1.0, 0.1, 2.0])
    steps = [{name: gradient.tolist() for name, gradient in step.items()} for step in steps]
    found["weighed"] = steps, info["train_losses"]
    tell(json.dumps(found))
"""


@pytest.fixture(scope="module")
def of_processes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes tells, for so many signals in so many parts."""
    directory = tmp_path_factory.mktemp("processes")
    assert codes(start(directory / "two", PROCESSES, 2, SRUN), 240) == [0, 0], errors(directory / "two")
    return [json.loads(text) for text in told(directory / "two").values()]


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("n", [8, 6, 5])  # batches of two: 4, 3 and 3, of which two processes share none or two of one
def test_two_processes_give_the_gradients_and_losses_of_one(
    of_processes: list[dict[str, Any]], n: int, parts: int
) -> None:
    state = make_state(GRU, learning_rate=1e-12)
    pairs = make_pairs(state, [20, 400, 30, 25, 8, 50, 300, 9][:n])
    same_in_processes(of_processes, f"{n} {parts}", *gradients(state, pairs, batch_size=4))


def test_two_processes_weigh_signals_as_one_does(of_processes: list[dict[str, Any]]) -> None:
    state = make_state(GRU, learning_rate=1e-12)
    pairs, weight = make_pairs(state, LENGTHS[:5]), [3.0, 0.0, 1.0, 0.1, 2.0]
    same_in_processes(of_processes, "weighed", *gradients(state, pairs, batch_size=4, sample_weight=weight))


def same_in_processes(of_processes: list, what: str, whole: list, info: dict[str, Any]) -> None:
    for found in of_processes:
        steps, losses = found[what]
        assert len(steps) == len(whole)
        for one, other in zip(whole, steps, strict=True):
            for name, gradient in one.items():
                torch.testing.assert_close(torch.tensor(other[name]), gradient, rtol=1e-5, atol=1e-6)
        assert losses == pytest.approx(info["train_losses"], rel=1e-5)
