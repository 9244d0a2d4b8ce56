"""Runs a benchmark and keeps what it told in benchmarks/results/NAME.json, from which the README's figures are written.

Run `python benchmarks/keep.py bench_recurrence.py --quick` for that benchmark with its own options; `--as NAME` before
it keeps another machine's run beside the first. The file has the commit, the date, the machine, the command and the
JSON line that the benchmark ends with. What takes time is measured on a machine that does nothing else: where others
keep it busy this stops, unless `--busy` says that the figures are none of time. Then `python benchmarks/figures.py`.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import timing

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
MOST_LOAD = 0.5  # processes that want to run, before the benchmark does


def main(argv: list[str] | None = None) -> Path | None:
    """Run, show what is told as it comes, and keep the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--as", dest="name", help="of the file [what the benchmark calls itself]")
    parser.add_argument("--busy", action="store_true", help="also beside other work, which the file then says")
    parser.add_argument("--folder", type=Path, default=RESULTS, help="where the file goes [benchmarks/results]")
    parser.add_argument("script", help="file of benchmarks/, such as bench_recurrence.py")
    parser.add_argument("options", nargs=argparse.REMAINDER, help="those of the benchmark")
    given = parser.parse_args(argv)
    load = os.getloadavg()[0]
    if load > MOST_LOAD and not given.busy:
        parser.error(f"the machine is busy (load {load:.2f}, expected {MOST_LOAD} at the most): wait, or give --busy")
    about = {"date": datetime.date.today().isoformat(), "commit": commit(), "machine": machine() | {"load": load}}
    told = last_line([sys.executable, str(HERE / given.script), *given.options])
    if told is None:
        parser.error(f"{given.script} did not end with a line of JSON; nothing is kept")
    about |= {"command": shlex.join(["python", f"benchmarks/{given.script}", *given.options]), "told": told}
    given.folder.mkdir(parents=True, exist_ok=True)
    path: Path = given.folder / f"{given.name or told['benchmark']}.json"
    rows = json.dumps(about).replace("}, {", "},\n {")  # a line each
    path.write_text(rows + "\n", encoding="utf-8")
    timing.say(f"kept in {path}")
    return path


def last_line(command: list[str]) -> Any:
    """What the command's last line says in JSON; None where it does not. All lines are shown as they come."""
    line = ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for text in process.stdout or ():
            line = text.strip() or line
            timing.say(text.rstrip("\n"))
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if process.returncode == 0 and isinstance(found, dict) and "benchmark" in found else None


def commit() -> str:
    """That of the sources, with a + where they differ from it."""
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=HERE, text=True).strip()
    status = ["git", "status", "--porcelain", "-uno", "../neurallib", "."]
    changed = subprocess.check_output(status, cwd=HERE, text=True)
    return head + ("+" if any("results/" not in line for line in changed.splitlines()) else "")


def machine() -> dict[str, Any]:
    """What it is measured on."""
    return {"processor": timing.processor(), "cores": os.cpu_count(), "system": platform.system()}


if __name__ == "__main__":
    main()
