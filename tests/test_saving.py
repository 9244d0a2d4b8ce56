"""What a run leaves in its directory while it goes on: enough to be loaded, and Lightning's own checkpoints."""

import os
from pathlib import Path
from typing import Any

import forking
import pytest
import pytorch_lightning as pl
import torch
from cases import QUIET, Case, data, make_state
from pytorch_lightning.callbacks import Callback

import neurallib as nl
from neurallib.training import saving
from neurallib.training.seldom import Seldom

GRU = Case("GRUseq2seq", "binary")
KILLED = """
    import os, signal
    from cases import QUIET, Case, data, make_state
    from pytorch_lightning.callbacks import Callback
    import neurallib as nl

    class End(Callback):
        def on_train_epoch_start(self, trainer, module):
            if trainer.current_epoch == 1:
                os.kill(os.getpid(), signal.SIGKILL)

    state = make_state(Case("GRUseq2seq", "binary"))
    nl.train(state, data(state), data(state, 3), epochs=8, batch_size=4, save=True, callbacks=[End()], **QUIET)
"""


def test_a_run_that_is_killed_leaves_a_directory_that_loads_with_its_best_weights(tmp_path: Path) -> None:
    run = forking.run(["-c", KILLED], os.environ | {"NEURALLIB_RESULTS_DIR": str(tmp_path)})
    assert run.returncode == -9
    with pytest.warns(UserWarning, match="did not finish: its best weights so far are taken. It goes on with resume="):
        state = nl.load_checkpoint(next(tmp_path.glob("*/checkpoints/*")))
    info, pairs = state["training_info"], data(state, 3)
    assert info["epochs"] == 1 and info["interrupted"]
    assert nl.evaluate(state, pairs)["loss"] == pytest.approx(info["validation_loss"], rel=1e-5)


class Written(Callback):
    """Which epochs the files of a run's directory are of, when each epoch begins."""

    def __init__(self) -> None:
        self.epochs: list[tuple[int, int]] = []

    def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
        if trainer.current_epoch > 0:
            paths = [Path(module.directory) / f"{name}.ckpt" for name in ("best", "last")]
            epochs = (torch.load(path, weights_only=True)["epoch"] for path in paths)
            self.epochs.append(tuple(epochs))  # type: ignore[arg-type]


@pytest.mark.parametrize(("share", "expected"), [(1e9, [0, 1, 2]), (1e-9, [0, 0, 0])])
def test_checkpoints_are_written_at_once_and_then_when_writing_is_a_small_share(
    share: float, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "Seldom", lambda wait=0.0: Seldom(share, wait))
    state, written = make_state(GRU, learning_rate=0.01), Written()
    trained = nl.train(
        state, data(state), data(state), epochs=4, batch_size=4, save=True, callbacks=[written], **QUIET
    )
    info = trained["training_info"]
    assert info["val_losses"] == sorted(info["val_losses"], reverse=True)
    assert written.epochs == [(epoch, epoch) for epoch in expected]
    for name in ("best", "last"):
        kept = torch.load(f"{info['checkpoints_directory']}/{name}.ckpt", weights_only=True)
        assert kept["epoch"] == 3 and all(torch.equal(kept["state_dict"][k], w) for k, w in trained["weights"].items())


class Plain(pl.LightningModule):
    """A module of one's own around a network, as one who goes on with Lightning alone would write it."""

    def __init__(self, state: nl.State) -> None:
        super().__init__()
        self.network, self.loss = nl.build_network(state), nl.loss_function(state)

    def load_state_dict(self, weights: Any, *args: Any, **kwargs: Any) -> Any:
        return self.network.load_state_dict(weights)

    def configure_optimizers(self) -> Any:
        optimizer, schedule = nl.make_optimizer(self.network, {"learning_rate": 1e-12})
        return [optimizer], [schedule]

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return nl.training_step(self.network, batch, self.loss)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.loss(self.network(batch["x"], batch["lengths"]), batch["y"], batch["lengths"])


@pytest.mark.filterwarnings("ignore:.*(LeafSpec|does not have many workers)")
def test_lightnings_trainer_goes_on_from_a_checkpoint() -> None:
    state = make_state(GRU, learning_rate=0.01)
    options: Any = {"batch_size": 4, "schedule": "step", **QUIET}
    trained = nl.train(state, data(state), data(state, 3), epochs=3, save=True, **options)
    module = Plain(state)
    loader = nl.make_loader(nl.prepare(state, data(state)), batch_size=4)
    trainer = pl.Trainer(
        max_epochs=4, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0, log_every_n_steps=1,
    )  # fmt: skip
    last = f"{trained['training_info']['checkpoints_directory']}/last.ckpt"
    trainer.fit(module, loader, loader, ckpt_path=last)
    assert trainer.current_epoch == 4 and trainer.global_step == 8  # of which two are its own
    goes_on = nl.train(state, data(state), data(state, 3), epochs=4, **options)
    for name, weight in nl.state_from_network(state, module.network)["weights"].items():
        assert not torch.equal(weight, trained["weights"][name])
        torch.testing.assert_close(weight, goes_on["weights"][name], rtol=0.2, atol=0.02)
