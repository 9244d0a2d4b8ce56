"""Runs of several processes that were killed: resumed by as many they end the same, by others to float error."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
from cases import QUIET, Case, make_pairs, make_state
from stopping import assert_same
from together import SCRIPT, SRUN, codes, errors, start

import neurallib as nl

RUN = """
    from pathlib import Path
    from pytorch_lightning.callbacks import Callback
    import test_resuming_processes as tests

    class Stop(Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            if f"{trainer.current_epoch} {batch_idx}" == os.environ["AT"] and trainer.global_rank == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    n, every = int(os.environ["N"]), int(os.environ["EVERY"]) or None
    results, dropout = Path(os.environ["RESULTS"]), float(os.environ["DROPOUT"])
    tests.run(results, n, dropout, checkpoint_every=every, callbacks=[Stop()])
"""


def run(results: Path, n_processes: int, dropout: float, **options: Any) -> nl.State:
    """Four signals a step, however many processes share them."""
    state = make_state(Case("GRUseq2seq", "binary"), dropout=dropout)
    pairs = make_pairs(state, [6, 9, 8, 5, 12, 7, 10, 9, 11, 6, 7, 8, 9, 5, 4, 8])
    return nl.train(
        state, pairs, make_pairs(state, [7, 9, 11], seed=3), epochs=4, batch_size=4 // n_processes, save=True,
        results_directory=results, resume=True, devices=n_processes, **(QUIET | options),
    )  # fmt: skip


def run_in_processes(
    results: Path, *, at: str = "", n: int = 2, dropout: float = 0.0, every: int = 0
) -> tuple[bool, str]:
    """Whether all came to their end, and what they said."""
    told = {"AT": at, "N": str(n), "DROPOUT": str(dropout), "EVERY": str(every), "RESULTS": str(results)}
    place = Path(tempfile.mkdtemp(dir=results.parent))
    ended = codes(start(place, RUN, n, SRUN if n > 1 else SCRIPT, **told), 180)
    assert None not in ended, errors(place)
    return not any(ended), errors(place)


def only_state(results: Path) -> nl.State:
    (directory,) = results.glob("*/checkpoints/*")
    return nl.load_checkpoint(directory)


def test_as_many_processes_end_bit_by_bit_with_the_same(tmp_path: Path) -> None:
    assert run_in_processes(tmp_path / "whole", dropout=0.3, every=1)[0]
    assert not run_in_processes(tmp_path / "parts", dropout=0.3, every=1, at="2 1")[0]
    (one,) = nl.find_unfinished(tmp_path / "parts")
    ended, said = run_in_processes(tmp_path / "parts", dropout=0.3, every=1)
    assert ended, said
    assert_same(only_state(tmp_path / "parts"), only_state(tmp_path / "whole"))


def test_another_number_of_processes_goes_on_along_the_same_curve(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", 1, 0.0)["training_info"]
    assert not run_in_processes(tmp_path / "parts", at="2 1")[0]
    assert len(nl.find_unfinished(tmp_path / "parts")) == 1
    ended, said = run_in_processes(tmp_path / "parts", n=1)
    assert ended, said
    info = only_state(tmp_path / "parts")["training_info"]
    for name in ("train_losses", "val_losses"):
        assert info[name] == pytest.approx(whole[name], rel=1e-4), name


def test_within_an_epoch_another_number_of_processes_is_refused(tmp_path: Path) -> None:
    assert not run_in_processes(tmp_path / "parts", at="1 2", every=1)[0]
    ended, said = run_in_processes(tmp_path / "parts", n=1, every=1)
    assert not ended and "lies within an epoch that 2 processes share, here are 1" in said
