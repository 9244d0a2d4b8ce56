"""Files that went wrong: real ones of every kind that is read, mutated N times, each read in a child with limits.

Every one must load or give a ValueError (FileNotFoundError where a name went) that names the file. Anything else is
told and kept: another error, one without a name, a child that ends, takes longer than the limit or more memory.

    python benchmarks/fuzz_files.py 10000 --seed 1 --keep findings
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import multiprocessing
import random
import resource
import shutil
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

import neurallib as nl

SECONDS, MEGABYTES = 10, 200  # for one file, beyond what the child has when it begins
NAMES = (
    "0.npy", "large.npy", "model_weights.safetensors", "model_weights.pth", "best.ckpt", "hparams.yaml",
    "training_info.json", "preprocessing.json",
)  # fmt: skip
WEIGHTS = NAMES[2:5]
WORDS = [
    b"[", b"{", b"}", b"]", b"(", b",", b":", b"-", b"\n", b"\0", b"\xff", b"'", b'"', b"&a ", b"*a", b"<<: *a\n",
    b"!!set ", b"nan", b"NaN", b"1e999", b"-1", b"null", b"true", b"9" * 400, b"[" * 300, b"0x7fffffffffffffff",
    b"1000000000", b"F64", b"I8", b"<c16", b"|O", b"<M8[s]", b"../", b"\x80\x02", b"PK\3\4",
]  # fmt: skip


def write_files(folder: Path) -> dict[str, bytes]:
    """What is mutated: files as the library writes them."""
    state = nl.gru_seq2seq(n_features=1, hid_dim=[4, 3], n_layers=2, bidirectional=True)
    state["preprocessing"].update(sampling_frequency=360.0, normalization="dataset", x_shift=[0.1], x_scale=[2.0])
    state["postprocessing"].update(outputs=["R-peak"], events={"threshold": 0.5})
    state = nl.freeze(
        nl.save_training_information(state, None, "Adam", "data", "peaks", 0.1, 1.0, None, False, epochs=2), "fc_out"
    )
    nl.save_checkpoint(state, folder)
    torch.save({"state_dict": state["weights"], "epoch": 1}, folder / "best.ckpt")
    rng = np.random.default_rng(0)
    np.save(folder / "0.npy", rng.standard_normal((50, 2)).astype(np.float32))
    np.save(folder / "large.npy", np.asfortranarray(rng.standard_normal((150_000, 1))))
    return {name: (folder / name).read_bytes() for name in NAMES}


def mutated(content: bytes, rng: random.Random, other: bytes) -> bytes:
    """The content after a few changes, most of them in its first bytes, where heads are."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        reach = len(changed) if rng.random() < 0.5 else min(len(changed), 300)
        at = rng.randrange(reach + 1)
        kind = rng.randrange(7)
        if kind == 0 and changed:
            changed[min(at, len(changed) - 1)] ^= 1 << rng.randrange(8)
        elif kind == 1 and changed:
            changed[min(at, len(changed) - 1)] = rng.randrange(256)
        elif kind == 2:
            changed[at:at] = rng.choice(WORDS)
        elif kind == 3:
            word = rng.choice(WORDS)
            changed[at : at + len(word)] = word
        elif kind == 4:
            del changed[at : at + rng.choice((1, 2, 8, 100, len(changed)))]
        elif kind == 5:
            changed[at:at] = changed[at : at + rng.randrange(1, 64)] * rng.choice((1, 2, 50))
        else:
            start = rng.randrange(len(other) + 1)
            changed[at:at] = other[start : start + rng.randrange(1, 200)]
    return bytes(changed)


def read(folder: Path, name: str) -> None:
    """Read a folder of which one file is mutated, as a user would."""
    if name.endswith(".npy"):
        for window_size in (25, None):
            x, y = nl.open_folder(folder / "data/x", folder / "data/y", "train", window_size=window_size)[0]
            _ = float(np.nansum(x)), float(np.nansum(y))  # all of it
        return
    state = nl.load_checkpoint(folder)
    nl.get_hparams_from_checkpoints(folder)
    nl.predict(state, [np.zeros((5, state["hparams"]["n_features"]), np.float32)])


def judge(folder: Path, name: str) -> str:
    """What came of it: "loads", "refused", or what must not be."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read(folder, name)
    except (ValueError, TypeError, FileNotFoundError) as error:
        told = str(error)
        if len(told) > 10_000:
            return f"an error of {len(told)} characters"
        return "refused" if name in told else f"unnamed: {type(error).__name__}: {told[:200]}"
    except BaseException as error:
        return f"raw: {type(error).__name__}: {str(error)[:200]}"
    return "loads"


def judge_mutated(folder: Path, name: str, whole: dict[str, bytes], rng: random.Random) -> str:
    """The same of a folder in which that file is mutated and no other."""
    content = mutated(whole[name], rng, rng.choice(list(whole.values())))
    for other in NAMES:  # weights are looked for in an order, of which the first that is there is read
        (folder / other).unlink(missing_ok=True)
        if other not in WEIGHTS or other == (name if name in WEIGHTS else WEIGHTS[0]):
            (folder / other).write_bytes(content if other == name else whole[other])
    shutil.rmtree(folder / "data", ignore_errors=True)
    for side in "xy" if name.endswith(".npy") else "":
        (folder / "data" / side / "train").mkdir(parents=True)
        shutil.copy(folder / name, folder / "data" / side / "train" / name)
    return judge(folder, name)


def work(pipe: Any, folder: Path, names: tuple[str, ...], seeds: range) -> None:
    """Mutate and judge, and tell of each what came of it."""
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = write_files(folder)
    judge(folder, NAMES[-1])  # what is imported when first needed
    limit = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 + 2**33  # of addresses: no single giant
    with contextlib.suppress(ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (max(limit, 2**35), resource.RLIM_INFINITY))
    for seed in seeds:
        rng = random.Random(seed)
        name = rng.choice(names)
        pipe.send((seed, name, None, 0))
        before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
        found = judge_mutated(folder, name, whole, rng)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        if grown > MEGABYTES:
            found = f"{grown:.0f} MB"
        pipe.send((seed, name, found, time.monotonic() - began))
    pipe.send(None)


def fuzz(n: int, seed: int, names: tuple[str, ...] = NAMES) -> tuple[collections.Counter[str], list[tuple[Any, ...]]]:
    """Counts of what came of n mutated files, and what must not be: (seed, name, what)."""
    counts: collections.Counter[str] = collections.Counter()
    findings: list[tuple[Any, ...]] = []
    at, end, context = seed, seed + n, multiprocessing.get_context("spawn")
    while at < end:
        with tempfile.TemporaryDirectory() as folder:
            here, there = context.Pipe(False)
            child = context.Process(target=work, args=(there, Path(folder), names, range(at, end)))
            child.start()
            there.close()
            at = _listen(here, at, counts, findings)
            child.kill()
            child.join()
    return counts, findings


def _listen(pipe: Any, at: int, counts: collections.Counter[str], findings: list[tuple[Any, ...]]) -> int:
    """Take in what a child tells until it is done, ends or says nothing more; where the next one begins."""
    current, limit = (at, "the start"), 120.0
    while True:
        what = f"no answer in {limit:g} s"
        try:
            told = pipe.recv() if pipe.poll(limit) else (*current, what, 0)
        except EOFError:
            told = (*current, "the process ended", 0)
        if told is None:
            return current[0] + 1
        seed, name, found, _ = told
        current, limit = (seed, name), float(SECONDS)
        if found is None:
            continue
        counts[f"{name}: {found if found in ('loads', 'refused') else 'WRONG'}"] += 1
        if found not in ("loads", "refused"):
            findings.append((seed, name, found))
            if found in (what, "the process ended"):
                return int(seed) + 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("n", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=NAMES, nargs="*", default=NAMES)
    parser.add_argument("--keep", type=Path, help="write what must not be, one line each, into this file")
    options = parser.parse_args()
    counts, findings = fuzz(options.n, options.seed, tuple(options.only))
    for what, count in sorted(counts.items()):
        print(f"{count:8d} {what}")
    for finding in findings[:50]:
        print(*finding)
    if options.keep is not None:
        options.keep.write_text("".join(json.dumps(finding) + "\n" for finding in findings))
    print(f"{options.n} files, {len(findings)} findings")


if __name__ == "__main__":
    main()
