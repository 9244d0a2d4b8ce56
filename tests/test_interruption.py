"""Training that is interrupted: Ctrl-C keeps the best weights so far."""

import os
import signal
import subprocess
from pathlib import Path

import forking
from cases import QUIET, Case, data, make_state

import neurallib as nl

GRU = Case("GRUseq2seq", "binary")
INTERRUPTED = """
    import os, signal, sys, threading, time
    import numpy as np
    import neurallib as nl
    from pytorch_lightning.callbacks import Callback

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job's children start with it ignored

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
    environment = os.environ | {"NEURALLIB_RESULTS_DIR": str(results), "PYTHONWARNINGS": "default"}  # which are read
    return forking.run(["-c", script], environment, timeout=120)


def test_ctrl_c_keeps_and_saves_the_best_weights_so_far(tmp_path: Path) -> None:
    run = run_interrupted(INTERRUPTED, tmp_path)
    assert run.stdout == "True 3 3 True True", run.stderr
    assert "interrupted in epoch 4: the best weights so far (epoch 3) are kept" in run.stderr


def test_ctrl_c_before_there_are_weights_to_keep_is_ctrl_c(tmp_path: Path) -> None:
    run = run_interrupted(INTERRUPTED.replace("current_epoch == 3", "current_epoch == 0"), tmp_path)
    assert run.returncode != 0 and run.stdout == ""
    assert run.stderr.rstrip().endswith("KeyboardInterrupt")


def test_signal_module_is_left_as_it_was() -> None:
    before = signal.getsignal(signal.SIGINT)
    state = make_state(GRU)
    nl.train(state, data(state), data(state, 3), epochs=1, batch_size=4, **QUIET)
    assert signal.getsignal(signal.SIGINT) is before
