"""Where a package of an extra is not installed, the error is the command that installs it, and nothing is written."""

from __future__ import annotations

import configparser
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurallib as nl
from neurallib.examples import ecg_peaks, sleep_stages

PACKAGE = Path(nl.__file__).parent
SETTINGS = configparser.ConfigParser()
SETTINGS.read(PACKAGE.parent / "setup.cfg")


def said_by(script: str) -> str:
    """What a program of its own prints and says on stderr."""
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def wfdb_record() -> str:
    Path("one.hea").write_text("one 1 100 200\none.dat 16 200 16 0 0 0 0 II\n")
    np.zeros(200, "<i2").tofile("one.dat")
    return "one"


def edf_file() -> str:
    Path("one.edf").write_bytes(b"0".ljust(256))
    return "one.edf"


def dataset(record: str) -> Any:
    return nl.make_dataset([record], "data", target=nl.event_target)


def exported(_: str) -> Any:
    return nl.export_onnx(nl.gru_seq2seq(n_features=1, hid_dim=2, n_layers=1), "one.onnx")


NEEDING: dict[str, tuple[str, str, Callable[[], str], Callable[[str], Any]]] = {
    "a WFDB record": ("wfdb", "wfdb", wfdb_record, nl.read_recording),
    "a data set of WFDB records": ("wfdb", "wfdb", wfdb_record, dataset),
    "an EDF file": ("edfio", "edf", edf_file, nl.read_recording),
    "an ONNX file": ("onnx", "onnx", str, exported),
    "an ONNX file, of its other package": ("onnxruntime", "onnx", str, exported),
}


@pytest.mark.parametrize("what", NEEDING)
def test_the_error_is_the_command_that_installs_what_is_missing_and_nothing_is_written(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, extra, prepared, call = NEEDING[what]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, package, None)
    given = prepared()
    there = sorted(tmp_path.iterdir())
    with pytest.raises(ModuleNotFoundError) as caught:
        call(given)
    assert shlex.split(str(caught.value).rpartition(": ")[2]) == ["pip", "install", f"neurallib[{extra}]"]
    assert package in str(caught.value) and caught.value.name == package
    assert sorted(tmp_path.iterdir()) == there


def test_every_command_that_installs_an_extra_is_in_quotes_and_names_one_that_there_is() -> None:
    if not SETTINGS.has_section("options.extras_require"):
        pytest.skip("beside the sources alone")
    told = [found for path in PACKAGE.rglob("*.py")
            for found in re.findall(r"pip install (.?neurallib\[.*?\].?)", path.read_text())]  # fmt: skip
    assert told and {re.sub(r"\[.*\]", "[]", found) for found in told} == {"'neurallib[]'"}
    named = {extra for found in told for extra in re.findall(r"\[(\w+)\]", found)}
    assert named <= set(SETTINGS["options.extras_require"])


def test_an_example_that_cannot_read_its_records_leaves_what_an_earlier_run_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wfdb", None)
    monkeypatch.setenv("NEURALLIB_RESULTS_DIR", "set again by the example, and taken back after")
    monkeypatch.chdir(tmp_path)
    wfdb_record()
    (made := tmp_path / "out" / "ecg_peaks_data" / "x").mkdir(parents=True)
    with pytest.raises(ModuleNotFoundError):
        ecg_peaks.main(["--records", ".", "--out", "out"])
    assert made.is_dir()


def test_an_example_ends_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "edfio", None)
    monkeypatch.setenv("NEURALLIB_RESULTS_DIR", "set again by the example, and taken back after")
    with pytest.raises(SystemExit, match=r"pip install 'neurallib\[edf\]'"):
        sleep_stages.main(["--out", str(tmp_path)])


def test_without_numba_a_gru_runs_and_says_once_what_would_make_it_faster() -> None:
    script = """
        import sys, warnings
        sys.modules["numba"] = None
        import numpy as np, neurallib as nl
        state = nl.gru_seq2seq(n_features=1, hid_dim=2, n_layers=1)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            outputs = [nl.predict(state, [np.ones((5, 1))])[0] for _ in range(2)]
        print(*(word.message for word in caught), np.shape(outputs), end="")
    """
    told = "numba is not installed: GRUs on the CPU run up to 100 times slower. pip install 'neurallib[fast]' (2, 5, 1)"
    assert said_by(script) == told


def test_an_example_tells_where_it_cannot_write_before_it_trains(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    command = [sys.executable, "-m", "neurallib.examples.denoising", "--out", str(tmp_path / "file")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode and "FileExistsError" in done.stderr and "is scaled" not in done.stderr


def test_an_example_says_nothing_for_other_packages() -> None:
    script = """
        import logging
        from neurallib.examples.recipes import speak
        speak(False)
        for name in ("httpx", "matplotlib.font_manager", "neurallib.training", "__main__"):
            logging.getLogger(name).info("%s says", name)
        logging.getLogger("httpx").warning("a warning")
    """
    assert said_by(script).splitlines() == ["neurallib.training says", "__main__ says", "a warning"]
