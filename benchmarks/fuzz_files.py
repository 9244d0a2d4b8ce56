"""Files that went wrong: real ones of every kind that is read, mutated N times, each read in a child with limits.

Every one must load or give a ValueError (FileNotFoundError where a name went) that names the file. Anything else is
told and kept: another error, one without a name, a child that ends, takes longer than the limit or more memory.

    python benchmarks/fuzz_files.py 10000 --seed 1 --keep findings
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import io
import json
import multiprocessing
import os
import random
import re
import resource
import shutil
import tempfile
import time
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from fuzz_formats import FORMATS, offline

CHUNK = 2000  # files of one child
START = "the start"
SECONDS, MEGABYTES = 10, 200  # for one file, beyond what the child has when it begins
NAMES = tuple(f"{kind}/{name}" for kind, form in FORMATS.items() for name in form.names)
WORDS = [
    b"[", b"{", b"}", b"]", b"(", b",", b":", b"-", b"\n", b"\0", b"\xff", b"'", b'"', b"&a ", b"*a", b"<<: *a\n",
    b"!!set ", b"nan", b"NaN", b"1e999", b"-1", b"null", b"true", b"9" * 400, b"[" * 300, b"0x7fffffffffffffff",
    b"1000000000", b"F64", b"I8", b"<c16", b"|O", b"<M8[s]", b"../", b"\x80\x02", b"PK\3\4",
    b"/dev/zero", b"~", b" 0 ", b"100000000000", b";", b"\t", b"+1e300\x14\x14\0", b"-1e9\x1599\x14a\x14", b"EDF+D",
    b"(AFIB", b"2001-13-45", b"/0 ", b"inf", b"\xb5V", b"99999999",
]  # fmt: skip


def write_files(root: Path) -> dict[str, bytes]:
    """What is mutated: files as the library, or who else makes them, writes them."""
    for kind, form in FORMATS.items():
        (root / kind).mkdir()
        form.write(root / kind)
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def mutated(content: bytes, rng: random.Random, other: bytes) -> bytes:
    """The content after a few changes, most of them in its first bytes, where heads are; of an archive mostly
    those of one of its files, so that checksums hold."""
    if content[:2] == b"PK" and rng.random() < 0.7 and zipfile.is_zipfile(io.BytesIO(content)):
        return rezipped(content, rng, other)
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


def rezipped(content: bytes, rng: random.Random, other: bytes) -> bytes:
    """An archive of which one file is mutated."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(made, "w") as new:
        chosen = rng.choice(old.namelist())
        for name in old.namelist():
            new.writestr(name, mutated(old.read(name), rng, other) if name == chosen else old.read(name))
    return made.getvalue()


def judge(root: Path, path: str) -> str:
    """What comes of reading the folder of a file: "loads", "refused", or what must not be."""
    kind, _, name = path.partition("/")
    file = root / path
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            FORMATS[kind].read(root / kind, name)
    except (ValueError, TypeError, OSError) as error:
        told = str(error)
        if isinstance(error, OSError) and not isinstance(error, (FileNotFoundError, ConnectionError)):
            return f"raw: {type(error).__name__}: {told[:200]}"
        if len(told) > 10_000:
            return f"an error of {len(told)} characters"
        named = file.name in told or str(file.with_suffix("")) in told or f"{root / kind}/" in told
        return "refused" if named else f"unnamed: {type(error).__name__}: {told[:200]}"
    except BaseException as error:
        return f"raw: {type(error).__name__}: {str(error)[:200]}"
    return "loads"


def judge_mutated(root: Path, path: str, whole: dict[str, bytes], rng: random.Random | None) -> str:
    """The same where that file is mutated (None: left as it is) and no other."""
    siblings = [other for other in whole if other.startswith(f"{path.partition('/')[0]}/")]
    content = whole[path] if rng is None else mutated(whole[path], rng, whole[rng.choice(siblings)])
    return judge_content(root, path, whole, content)


def judge_content(root: Path, path: str, whole: dict[str, bytes], content: bytes) -> str:
    """The same where that file holds something else, and the others of its kind are whole."""
    kind = path.partition("/")[0]
    shutil.rmtree(root / kind, ignore_errors=True)
    for other in whole:
        if other.startswith(f"{kind}/"):
            (root / other).parent.mkdir(parents=True, exist_ok=True)
            (root / other).write_bytes(content if other == path else whole[other])
    return judge(root, path)


def work(pipe: Any, folder: Path, names: tuple[str, ...], seeds: range) -> None:
    """Mutate and judge, and tell of each what came of it."""
    offline(folder)
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = write_files(folder)
    for path in NAMES:  # what is imported when first needed
        if (found := judge_mutated(folder, path, whole, None)) != "loads":
            raise RuntimeError(f"{path}, which is whole: {found}")
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
            at = _listen(here, int(child.pid or 0), at, counts, findings)
            child.kill()
            child.join()
    return counts, findings


def _listen(pipe: Any, pid: int, at: int, counts: collections.Counter[str], findings: list[tuple[Any, ...]]) -> int:
    """Take in what a child tells until it is done, ends or says nothing more; where the next one begins."""
    current, limit = (at, START), 120.0
    while True:
        what = f"no answer in {limit:g} s"
        try:
            told = pipe.recv() if _answers(pipe, pid, limit) else (*current, what, 0)
        except EOFError:
            if current[1] == START:
                raise RuntimeError("a child ended before it read a file; what it said stands above.") from None
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


def _answers(pipe: Any, pid: int, limit: float) -> bool:
    """Whether the child says something before it has worked for so many seconds, or waited for twenty times as many: on
    a busy machine it has not the core to itself."""
    began, worked = time.monotonic(), _worked(pid)
    while not pipe.poll(1.0):
        if _worked(pid) - worked > limit or time.monotonic() - began > 20 * limit:
            return False
    return True


def _worked(pid: int) -> float:
    """Seconds of processor time that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("n", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=FORMATS, nargs="*", default=list(FORMATS))
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no more after these")
    parser.add_argument("--keep", type=Path, help="write what must not be, one line each, into this file")
    options = parser.parse_args()
    names = tuple(name for name in NAMES if name.partition("/")[0] in options.only)
    counts: collections.Counter[str] = collections.Counter()
    findings: list[tuple[Any, ...]] = []
    began, done = time.monotonic(), 0
    while done < options.n and time.monotonic() - began < options.minutes * 60:
        more, found = fuzz(min(CHUNK, options.n - done), options.seed + done, names)
        counts, findings, done = counts + more, findings + found, min(done + CHUNK, options.n)
    for what, count in sorted(counts.items()):
        print(f"{count:8d} {what}")
    kinds = collections.Counter((name, re.sub(r"\d+|\W{3,}|/\S+", "*", what)[:90]) for _, name, what in findings)
    for (name, what), count in kinds.most_common(60):
        print(f"{count:8d} {name} {what}")
    if options.keep is not None:
        options.keep.write_text("".join(json.dumps(finding) + "\n" for finding in findings))
    print(f"{done} files, {len(findings)} findings")


if __name__ == "__main__":
    main()
