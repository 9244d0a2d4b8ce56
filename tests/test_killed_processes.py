"""Processes that train together and lose one, however it goes: all others end with an error, and none waits for it."""

import contextlib
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
    from neurallib.training import company

    def harm():
        if WHERE == "failing":
            raise RuntimeError("only here")
        os.kill(os.getpid(), signal.SIGKILL)

    class Harm(Callback):
        def on_train_start(self, trainer, module):
            tell(str(os.getpid()))
            if RANK == VICTIM and WHERE == "compiling":
                threading.Timer(1.0, harm).start()
        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            if RANK == VICTIM and WHERE in ("step", "failing") and trainer.current_epoch == 1:
                harm()

    VICTIM, WHERE, N = int(os.environ["VICTIM"]), os.environ["WHERE"], int(os.environ["N"])
    company.GRACE = 3
    if RANK == VICTIM and WHERE in ("compiling", "terminated"):  # the others wait for it, or have compiled already
        os.environ["NUMBA_CACHE_DIR"] = os.path.join(os.environ["TOLD"], os.pardir, "kernels")
    if RANK == VICTIM and WHERE == "saving":
        from neurallib.training import saving
        saving.write_checkpoint = lambda *_: harm()
    if WHERE == "starting" and RANK == 1:
        tell(str(os.getpid()))
        time.sleep(3)
    state = make_state(Case("GRUseq2seq", "binary"))
    pairs = make_pairs(state, [20, 30, 25, 9, 12])
    try:
        nl.train(state, pairs, pairs[:2], epochs=3, batch_size=1, save=True, enable_progress_bar=False, devices=N,
                 callbacks=[Harm()])
    except RuntimeError:
        if WHERE == "failing" and RANK == VICTIM:
            time.sleep(200)  # it is not gone, but goes on with something else
        raise
"""


def training(directory: Path, where: str, victim: int, n: int, how: str) -> list:
    return start(directory, TRAINING, n, how, VICTIM=str(victim), WHERE=where, N=str(n))


def is_there(pid: int) -> bool:
    with contextlib.suppress(OSError):
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3]
    return False


def ends(pid: int, seconds: float = MINUTE) -> bool:
    until = time.monotonic() + seconds
    while is_there(pid) and time.monotonic() < until:
        time.sleep(0.1)
    if is_there(pid):
        os.kill(pid, signal.SIGKILL)
        return False
    return True


@pytest.mark.parametrize(
    ("where", "victim", "n"),
    [pytest.param("step", 1, 3, marks=pytest.mark.nightly), ("step", 1, 2), ("compiling", 0, 2), ("saving", 0, 2)],
)
def test_where_one_is_killed_all_others_end_with_an_error(where: str, victim: int, n: int, tmp_path: Path) -> None:
    processes = training(tmp_path, where, victim, n, SRUN)
    await_told(tmp_path, n)
    assert processes[victim].wait(120) == -signal.SIGKILL
    others = [process for rank, process in enumerate(processes) if rank != victim]
    assert codes(others, MINUTE) == [1] * (n - 1)
    words = "saving the trained state: one of them ended" if where == "saving" else f"process {victim} has ended"
    assert words in errors(tmp_path)
    if where == "step":  # after an epoch
        (run,) = (tmp_path / "results").glob("*/checkpoints/*")
        with pytest.warns(UserWarning, match="did not finish"):
            assert nl.load_checkpoint(run)["training_info"]["interrupted"]


def test_one_that_failed_and_goes_on_with_something_else_keeps_nobody(tmp_path: Path) -> None:
    processes = training(tmp_path, "failing", 1, 2, SRUN)
    await_told(tmp_path, 2)
    assert codes(processes[:1], 2 * MINUTE) == [1]
    assert processes[1].poll() is None
    codes(processes[1:], 0)


@pytest.mark.nightly
def test_sigterm_while_one_compiles_kernels_ends_all(tmp_path: Path) -> None:
    processes = training(tmp_path, "terminated", 1, 2, SRUN)
    await_told(tmp_path, 2)
    time.sleep(1.5)
    for process in processes:  # as a scheduler does
        process.send_signal(signal.SIGTERM)
    assert not {0, None} & set(codes(processes, MINUTE)), errors(tmp_path)


@pytest.mark.nightly
def test_processes_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    (main,) = training(tmp_path, "starting", -1, 2, SCRIPT)
    await_told(tmp_path, 1)
    main.kill()
    main.wait()
    assert ends(int(told(tmp_path)[1]))
