"""Numbers that go wrong: training stops, says where, and keeps the last good weights."""

import os
import re
import signal
from pathlib import Path
from typing import Any

import forking
import numpy as np
import pytest
import torch
from cases import QUIET, Case, data, make_state, same_weights
from pytorch_lightning.callbacks import Callback

import neurallib as nl

GRU = Case("GRUseq2seq", "binary")


class Break(Callback):
    """Makes a weight infinite before a batch of an epoch."""

    def __init__(self, epoch: int, batch: int = 1) -> None:
        self.at, self.steps = (epoch, batch), 0

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
        self.steps += 1
        if (trainer.current_epoch, batch_idx) == self.at:
            with torch.no_grad():
                next(iter(module.network.parameters())).fill_(torch.nan)


def run(state: nl.State, epochs: int, *callbacks: Callback, **options: Any) -> nl.State:
    given = {"epochs": epochs, "batch_size": 3, "schedule": None, **QUIET, **options}
    return nl.train(state, data(state), data(state, 3), callbacks=callbacks, **given)


@pytest.mark.parametrize("options", [{}, {"accumulate_grad_batches": 2}], ids=str)
def test_a_loss_that_is_nan_stops_training_and_keeps_the_best_weights_before(options: dict[str, Any]) -> None:
    state, broken = make_state(GRU, learning_rate=0.01), Break(2)
    with pytest.warns(UserWarning, match="training diverged") as told:
        trained = run(state, 9, broken, **options)
    assert broken.steps == 2 * 3 + 2  # not one step more
    assert same_weights(trained, run(state, 2, **options))
    info = trained["training_info"]
    assert len(info["val_losses"]) == 2 and not info["interrupted"] and info["status"] == "diverged"
    step = 8 if not options else 5
    message = next(str(one.message) for one in told if "diverged" in str(one.message))
    assert f"the loss of step {step} (epoch 3) is nan, its gradient norm nan" in message
    assert info["diverged"] in message and "best weights before (epoch 2) are kept" in message
    names = re.findall(r"train_data\[(\d)\]", message)
    order = nl.make_loader(nl.prepare(state, data(state)), batch_size=3, shuffle=True)
    order.batch_sampler.set_epoch(2)  # type: ignore[union-attr]
    assert [int(name) for name in names] == [place for _, place in list(order.batch_sampler)[1]]  # type: ignore


def test_a_loss_that_is_nan_in_the_first_epoch_is_an_error_that_says_where() -> None:
    state = nl.freeze(make_state(GRU), "gru_layers.0")
    with pytest.raises(RuntimeError, match=r"diverged: no validation loss.* The loss of step 1 \(epoch 1\) is nan"):
        run(state, 3, Break(0, 0))


def test_a_run_that_diverged_leaves_a_directory_with_the_best_weights() -> None:
    state = make_state(GRU, learning_rate=0.01)
    with pytest.warns(UserWarning, match="training diverged"):
        trained = run(state, 9, Break(2), save=True)
    loaded = nl.load_checkpoint(trained["training_info"]["checkpoints_directory"])
    assert same_weights(loaded, trained) and "step 8" in loaded["training_info"]["diverged"]


def test_weights_whose_validation_loss_is_not_finite_are_none_to_keep() -> None:
    """Whatever else of them is best."""
    state, own = make_state(GRU, learning_rate=0.01), iter([0, 0.9, 0.5])  # of the trial and of two epochs
    losses, known = iter([torch.inf, 0]), nl.loss_function(state)

    def loss(logits: torch.Tensor, y: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        return known(logits, y, lengths) + (0 if torch.is_grad_enabled() else next(losses))

    trained = run(state, 2, loss=loss, metrics={"own": lambda *_: next(own)}, monitor=("own", "max"))
    info = trained["training_info"]
    assert info["best_epoch"] == 2 and info["monitor"]["value"] == 0.5 and np.isfinite(info["validation_loss"])


class Stop(Callback):
    def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
        trainer.should_stop = True


@pytest.mark.parametrize("how", ["max_steps", "a stop"])
def test_what_there_is_is_kept_when_a_run_ends_within_its_first_epoch(how: str) -> None:
    state = make_state(GRU, learning_rate=0.01)
    trained = run(state, 3, **{"max_steps": 1}) if how == "max_steps" else run(state, 3, Stop())
    info = trained["training_info"]
    assert not same_weights(trained, state) and len(info["val_losses"]) == info["best_epoch"] == 1
    assert nl.evaluate(trained, data(state, 3))["loss"] == pytest.approx(info["validation_loss"], rel=1e-5)


TERMINATED = """
    import os, signal
    from cases import QUIET, Case, data, make_state
    from pytorch_lightning.callbacks import Callback
    import neurallib as nl

    class End(Callback):
        def on_train_batch_start(self, trainer, *args):
            if trainer.current_epoch == 2:
                os.kill(os.getpid(), signal.SIGTERM)

    state = make_state(Case("GRUseq2seq", "binary"), learning_rate=0.01)
    nl.train(state, data(state), data(state, 3), epochs=8, batch_size=4, schedule=None, save=True, callbacks=[End()],
             **QUIET)
"""


def test_sigterm_saves_all_that_there_is_and_ends_with_its_code(tmp_path: Path) -> None:
    ended = forking.run(["-c", TERMINATED], os.environ | {"NEURALLIB_RESULTS_DIR": str(tmp_path)})
    assert ended.returncode in (-signal.SIGTERM, 128 + signal.SIGTERM), ended.stderr
    with pytest.warns(UserWarning, match="did not finish"):
        state = nl.load_checkpoint(next(tmp_path.glob("*/checkpoints/*")))
    info = state["training_info"]
    assert info["epochs"] == 2 and info["interrupted"] and np.isfinite(info["val_losses"]).all()
    expected = make_state(GRU, learning_rate=0.01)
    trained = nl.train(
        expected, data(expected), data(expected, 3), epochs=2, batch_size=4, schedule=None, **QUIET
    )
    assert same_weights(state, trained)
