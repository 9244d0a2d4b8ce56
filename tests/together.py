"""Processes that train or answer together, started in each of the ways in which users start them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

from forking import Program

SCRIPT, TORCHRUN, SRUN = "as a script", "by torchrun", "by srun"
PREAMBLE = """
import os, signal, sys, threading, time
import torch
from cases import Case, make_pairs, make_state
import neurallib as nl
RANK = int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", os.environ.get("LOCAL_RANK", 0))))
def tell(text):
    with open(os.path.join(os.environ["TOLD"], str(RANK)), "w") as file:
        file.write(text)
"""


def start(directory: Path, body: str, n: int, how: str, **environment: str) -> list[Program]:
    """Start a script that begins with PREAMBLE; as srun does it, without srun: each process with Slurm's variables."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "told").mkdir()
    script = directory / "script.py"
    script.write_text(PREAMBLE + textwrap.dedent(body))
    foreign = {"RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "NEURALLIB_LAUNCHER"}
    env = {name: value for name, value in os.environ.items() if name not in foreign and not name.startswith("SLURM")}
    env |= {
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]), "OMP_NUM_THREADS": "1",
        "NEURALLIB_RESULTS_DIR": str(directory / "results"), "TOLD": str(directory / "told"), **environment,
    }  # fmt: skip
    errors = directory / "stderr"
    if how == TORCHRUN:
        torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n}"]
        return [Program([*torchrun, script], env, stderr=errors)]
    if how == SCRIPT:
        return [Program([script], env, stderr=errors)]
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    job = {"SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "job", "SLURM_NTASKS": str(n), "SLURM_NTASKS_PER_NODE": str(n)}
    job |= {"SLURM_NODEID": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    tasks = [{"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)} for rank in range(n)]
    return [Program([script], env | job | task, stderr=directory / f"stderr{rank}") for rank, task in enumerate(tasks)]


def codes(processes: list[Program], seconds: float) -> list[int | None]:
    """How each process ended within so many seconds; None of one that did not, which is killed."""
    until, found = time.monotonic() + seconds, []
    for process in processes:
        try:
            found.append(process.wait(max(0.0, until - time.monotonic())))
        except subprocess.TimeoutExpired:
            found.append(None)
    for process in processes:
        process.kill()
        process.wait()
    return found


def told(directory: Path) -> dict[int, str]:
    """What each process has told, by rank."""
    return {int(path.name): path.read_text() for path in sorted((directory / "told").iterdir())}


def errors(directory: Path) -> str:
    """What all processes wrote to the screen."""
    return "\n".join(path.read_text() for path in sorted(directory.glob("stderr*")))


def await_told(directory: Path, n: int, seconds: float = 120) -> None:
    """Wait until so many processes have told something."""
    until = time.monotonic() + seconds
    while len(list((directory / "told").iterdir())) < n:
        assert time.monotonic() < until, errors(directory)
        time.sleep(0.05)
