"""Programs that are forked behave as those that Python starts, but for the time that imports take."""

import os
import re
import signal
from pathlib import Path

import forking


def test_a_fork_has_imported_what_takes_seconds_and_nothing_that_reads_settings() -> None:
    run = forking.run(["-c", "import sys; print(*sys.modules)"], check=True)
    there = set(run.stdout.split())
    assert set(forking.PRELOADED) <= there | {"onnx", "wfdb"} and not {"huggingface_hub", "numba"} & there


def test_a_program_is_told_what_python_would_tell_it(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("said = 'beside'")
    (tmp_path / "script.py").write_text(
        "import os, sys, warnings, torch, beside\n"
        "warnings.warn('a warning')\n"
        "print(__name__, sys.argv[1:], os.environ['GIVEN'], 'HOME' in os.environ)\n"
        "print(torch.get_num_threads(), beside.said)\n"
        "sys.exit('the end')\n"
    )
    given = {"GIVEN": "told", "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}
    run = forking.run([tmp_path / "script.py", "a b", "2"], given)
    assert run.stdout == "__main__ ['a b', '2'] told False\n1 beside\n" and run.returncode == 1
    assert "UserWarning: a warning" in run.stderr and "the end\n" in run.stderr
    failed = forking.run([tmp_path / "script.py"], given | {"PYTHONWARNINGS": "error"})
    assert failed.returncode == 1 and re.search(r"UserWarning:\s+a warning", failed.stderr)


def test_a_program_ends_as_one_of_its_own_would() -> None:
    assert forking.run(["-c", "import sys; sys.exit(3)"]).returncode == 3
    ended = forking.run(["-c", "raise KeyboardInterrupt"])
    assert ended.returncode == -signal.SIGINT and ended.stderr.endswith("KeyboardInterrupt\n")
    last = forking.run(["-c", "import atexit; atexit.register(print, 'last'); print('first')"])
    assert (last.stdout, last.returncode) == ("first\nlast\n", 0)
    program = forking.Program(["-c", "import time; time.sleep(100)"], os.environ)
    assert program.poll() is None
    program.kill()
    assert program.wait(60) == -signal.SIGKILL
