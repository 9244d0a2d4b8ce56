"""A process that is killed while several train together: all others end with an error, and none waits for it."""

import os
import signal
import time
from pathlib import Path

import pytest
from together import SCRIPT, SRUN, await_told, codes, errors, start, told

import neurallib as nl

pytest.importorskip("numba")
MINUTE = 60

TRAINING = """
    from pytorch_lightning.callbacks import Callback

    class Harm(Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            if trainer.current_epoch == 1 and RANK == VICTIM and WHERE == "step":
                os.kill(os.getpid(), signal.SIGKILL)
        def on_before_zero_grad(self, trainer, module, optimizer): ...
        def on_train_start(self, trainer, module):
            tell(str(os.getpid()))
            if RANK == VICTIM and WHERE == "compiling":
                threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGKILL)).start()

    VICTIM, WHERE, N = int(os.environ["VICTIM"]), os.environ["WHERE"], int(os.environ["N"])
    if WHERE == "saving" and RANK == VICTIM:
        from neurallib.training import train
        train.save_checkpoint = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    state = make_state(Case("GRUseq2seq", "binary"))
    pairs = make_pairs(state, [20, 30, 25, 9, 12])
    nl.train(state, pairs, pairs[:2], epochs=3, batch_size=1, save=True, enable_progress_bar=False, devices=N,
             callbacks=[Harm()])
    tell("ended well")
"""


@pytest.mark.parametrize(
    ("where", "victim", "n"), [("step", 1, 3), ("step", 0, 2), ("compiling", 0, 2), ("compiling", 1, 3), ("saving", 0, 2)]
)
def test_where_a_process_is_killed_all_others_end_with_an_error(
    where: str, victim: int, n: int, tmp_path: Path
) -> None:
    kernels = {"NUMBA_CACHE_DIR": str(tmp_path / "kernels")} if where == "compiling" else {}
    processes = start(tmp_path, TRAINING, n, SRUN, VICTIM=str(victim), WHERE=where, N=str(n), **kernels)
    await_told(tmp_path, n)
    assert processes[victim].wait(120) == -signal.SIGKILL
    began = time.monotonic()
    others = [process for rank, process in enumerate(processes) if rank != victim]
    found = codes(others, MINUTE)
    print(where, victim, n, found, time.monotonic() - began)
    print(errors(tmp_path)[-3000:])
    assert None not in found and 0 not in found
