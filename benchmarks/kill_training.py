"""Trainings that are killed: N times, at random moments and inside writes, then resumed until they end.

Each is trained in a child that gets SIGKILL after a random time, or at one of its writes: before the bytes are synced,
with half of them, between them and the new name, after it; or whose disk is full for a while. After each the directory
has to load (once it has weights), nothing half written may bear a final name, the files of another run must be as they
were, and the run, resumed, and killed again now and then, has to end bit by bit as one that nobody disturbed.

    python benchmarks/kill_training.py 200 --seed 1
"""

from __future__ import annotations

import argparse
import collections
import errno
import hashlib
import json
import os
import random
import shutil
import signal
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import neurallib as nl

CALLS = ("fsync", "chmod", "replace")  # of a write, in their order
HARMS = ("time", "before", "half", "after", "full")
VARIANTS: list[dict[str, Any]] = [
    {"checkpoint_every": 1, "patience": 5},
    {"schedule": "plateau", "optimizer": "adamw"},
    {"accumulate_grad_batches": 2, "checkpoint_every": 2, "schedule": "step"},
    {"bucketing": True, "monitor": "f1", "enable_tensorboard": True},
]
UNTOLD = {"training_time", "finished", "checkpoints_directory"}


def louder(x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """What is drawn anew each epoch."""
    return x * generator.uniform(0.5, 2), y


def train(results: Path, variant: int, resume: Path | bool = False) -> nl.State:
    """The run that is killed."""
    rng = np.random.default_rng(0)
    signals = [rng.standard_normal((int(n), 1)).astype(np.float32) for n in rng.integers(8, 20, 10)]
    pairs = [(x, (x > 0).astype(np.float32)) for x in signals]
    state = nl.gru_seq2seq(n_features=1, hid_dim=5, n_layers=2, dropout=0.2)
    return nl.train(
        state, pairs[:7], pairs[7:], epochs=6, batch_size=2, augment=louder, results_directory=results, resume=resume,
        save=True, enable_progress_bar=False, **VARIANTS[variant],
    )  # fmt: skip


def in_a_child(work: Callable[[], object], kill_after: float | None = None) -> int:
    """The exit status of a fork that does the work; below 0 the signal that ended it."""
    if (pid := os.fork()) == 0:
        status = 1
        warnings.simplefilter("ignore")
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def harm(kind: str, at: int) -> Callable[[], None]:
    """Let this process end, or its disk be full, at one of the calls that its writes make; what mends it again."""
    counted, whole = 0, {name: getattr(os, name) for name in CALLS}

    def harmed(name: str) -> Callable[..., Any]:
        call = whole[name]

        def instead(*arguments: Any, **more: Any) -> Any:
            nonlocal counted
            counted += 1
            if kind == "full" and at <= counted < at + 4:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if counted != at or kind == "full":
                return call(*arguments, **more)
            if kind == "half" and name == "fsync":
                os.truncate(arguments[0], os.fstat(arguments[0]).st_size // 2)
            if kind == "after":
                call(*arguments, **more)
            os.kill(os.getpid(), signal.SIGKILL)

        return instead

    def mend() -> None:
        for name, call in whole.items():
            setattr(os, name, call)

    for name in CALLS:
        setattr(os, name, harmed(name))
    return mend


def disturbed(results: Path, variant: int, resume: Path | bool, rng: random.Random, seconds: float) -> tuple[str, int]:
    """Train in a child to which something happens; what, and how it ended."""
    kind = rng.choice(HARMS)
    if kind == "time":
        return kind, in_a_child(lambda: train(results, variant, resume), rng.uniform(0, seconds))
    at = rng.randint(1, 60)

    def work() -> None:
        mend = harm(kind, at)
        try:
            train(results, variant, resume)
        except OSError as error:  # which hands the trained state out
            mend()
            nl.load_checkpoint(nl.save_checkpoint(error.state, results / "kept"))  # type: ignore[attr-defined]
            os.kill(os.getpid(), signal.SIGKILL)

    return kind, in_a_child(work)


def check(directory: Path) -> None:
    """Raise unless every file of a directory is whole and, with weights, the directory loads."""
    for path in directory.rglob("*"):
        if path.suffix in (".json",):
            json.loads(path.read_text())
        if path.suffix == ".ckpt":
            torch.load(path, weights_only=True)
    if any(directory.glob("*.ckpt")) and (directory / "best.ckpt").is_file():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            nl.predict(nl.load_checkpoint(directory), [np.zeros((30, 1), np.float32)])


def told(directory: Path) -> tuple[bytes, dict[str, Any]]:
    """What a finished run is compared by."""
    info = json.loads((directory / "training_info.json").read_text())
    weights = (directory / "model_weights.safetensors").read_bytes()
    return weights, {name: value for name, value in info.items() if name not in UNTOLD}


def digest(folder: Path) -> str:
    """Of all that lies in a folder."""
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        whole.update(str(path).encode() + (path.read_bytes() if path.is_file() else b""))
    return whole.hexdigest()


def one(root: Path, wholes: list[Path], seconds: float, rng: random.Random) -> collections.Counter[str]:
    """Disturb one training until it ends, and raise AssertionError where something is lost."""
    counted: collections.Counter[str] = collections.Counter()
    variant, results = rng.randrange(len(VARIANTS)), root / "results"
    before = [digest(whole) for whole in wholes]
    finished = False
    while not finished:
        unfinished = nl.find_unfinished(results)
        assert len(unfinished) <= 1, unfinished
        resume: Any = Path(unfinished[0]["directory"]) if unfinished else True
        if counted["disturbed"] == 0 or rng.random() < 0.3:
            kind, status = disturbed(results, variant, resume, rng, seconds)
            counted.update(["disturbed", kind if status else "nothing"])
        else:
            status = in_a_child(lambda: train(results, variant, resume))
        assert status in (0, -signal.SIGKILL), f"a training ended with {status}"
        for directory in results.glob("*/checkpoints/*"):
            check(directory)
        finished = status == 0
    directories = [path for path in results.glob("*/checkpoints/*") if (path / "model_weights.safetensors").is_file()]
    assert told(directories[0]) == told(next(wholes[variant].glob("*/checkpoints/*"))), "it ended with something else"
    for path in directories[0].glob(".*.writing"):  # of the dead: the next who writes sweeps what is not young
        os.utime(path, (0, 0))
    nl.save_checkpoint(nl.load_checkpoint(directories[0]), directories[0])
    assert not list(directories[0].glob(".*.writing")), "what the dead have left is not swept"
    assert [digest(whole) for whole in wholes] == before, "another run was touched"
    shutil.rmtree(results)
    return counted


def main() -> None:
    """Print what happened as one JSON line; the exit status tells whether anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("n", type=int, nargs="?", default=200, help="trainings [200]")
    parser.add_argument("--seed", type=int, default=0, help="of where they are killed [0]")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # a fork has no other
    counted: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as root:
        wholes = [Path(root) / f"whole_{variant}" for variant in range(len(VARIANTS))]
        warnings.simplefilter("ignore")
        train(Path(root) / "warm", 0)  # imports and kernels, which every fork has then
        began = time.perf_counter()
        for variant, whole in enumerate(wholes):
            assert in_a_child(lambda variant=variant, whole=whole: train(whole, variant)) == 0  # type: ignore[misc]
        seconds = (time.perf_counter() - began) / len(wholes)
        for i in range(arguments.n):
            folder = Path(root) / f"run_{i}"
            folder.mkdir()
            try:
                counted += one(folder, wholes, seconds, random.Random(f"{arguments.seed} {i}"))
            except AssertionError as error:
                raise SystemExit(f"training {i} of seed {arguments.seed}: {error}") from error
    print(json.dumps({"benchmark": "kill_training", "trainings": arguments.n, **dict(sorted(counted.items()))}))


if __name__ == "__main__":
    main()
