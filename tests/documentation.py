"""What is documented, as programs that run: examples of docstrings, and blocks of code of a Markdown file; and as the
sections of a docstring."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import os
import re
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from cases import Case, data, make_state, write_folders

import neurallib as nl

PACKAGE = Path(nl.__file__).parent
HUB = "https://huggingface.co"


class Example(NamedTuple):
    """The examples of one docstring."""

    module: str
    name: str  # within the module; "" of its own docstring
    asks_the_hub: bool

    def __str__(self) -> str:
        return f"{self.module}.{self.name}".rstrip(".")


class Block(NamedTuple):
    """A block of code, with the heading that it stands under."""

    heading: str
    code: str


def documented() -> list[Example]:
    """Every docstring of the package that shows examples; nothing is imported to find them."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(["neurallib", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__")
        waiting: list[tuple[str, Any]] = [("", ast.parse(path.read_text()))]
        while waiting:
            name, node = waiting.pop(0)
            text = ast.get_docstring(node) or ""
            if ">>>" in text:
                found.append(Example(module, name, "# doctest: +SKIP" in text))
            inner = (part for part in node.body if isinstance(part, (ast.FunctionDef, ast.ClassDef)))
            waiting += [(f"{name}.{part.name}".lstrip("."), part) for part in inner]
    return found


def run_examples(example: Example, directory: Path) -> str:
    """Run the examples of a docstring in a directory, those too that are marked to be skipped because they ask the hub.

    Returns
    -------
    str
        What went wrong, as doctest tells it; nothing where nothing did.
    """
    module = importlib.import_module(example.module)
    (test,) = (test for test in doctest.DocTestFinder().find(module) if test.name == str(example))
    for line in test.examples:
        line.options.pop(doctest.SKIP, None)
        line.want = line.want.replace(HUB, os.environ.get("HF_ENDPOINT", HUB))
    told: list[str] = []
    before = Path.cwd()
    os.chdir(directory)
    try:
        results = doctest.DocTestRunner().run(test, out=told.append)
    finally:
        os.chdir(before)
    assert results.attempted == len(test.examples)
    return "".join(told) if results.failed else ""


def blocks(markdown: str, language: str) -> list[Block]:
    """The blocks of code in a language, in reading order."""
    found, heading = [], ""
    pattern = r"^(?:#+ (?P<heading>[^\n]*)|```(?P<language>\w+)\n(?P<code>.*?)^```)$"
    for part in re.finditer(pattern, markdown, re.MULTILINE | re.DOTALL):
        heading = part["heading"] or heading
        if part["language"] == language:
            found.append(Block(heading, part["code"]))
    return found


def write_what_is_named(directory: Path) -> dict[str, Any]:
    """What documentation takes for granted: folders `data`, `more` and `recordings`, and the values of some names.

    Validation asks for the opposite of what is trained, so that training soon stops by its patience.

    Returns
    -------
    dict
        pairs: signals [T, 1] of different lengths with a target [T, 1] each; signal: one of the signals.
    """
    state = make_state(Case("GRUseq2seq", "binary"), n_features=1)
    for name in ("data", "more"):
        _, path_y = write_folders(directory / name, state)
        for path in (path_y / "val").iterdir():
            np.save(path, 1 - np.load(path))
    (directory / "recordings").mkdir()
    for seed, name in enumerate(("anna", "ben", "cleo", "dora")):
        signal, r_peaks = nl.synthetic_ecg(duration=10, sampling_frequency=250, seed=seed)
        said = {"sampling_frequency": 250, "channels": ["II"], "units": ["mV"], "sample": r_peaks}
        np.savez(directory / "recordings" / name, signal=signal, symbol=["N"] * len(r_peaks), **said)
    pairs = data(state)
    return {"pairs": pairs, "signal": pairs[0][0]}


def run_blocks(code: list[Block], directory: Path) -> None:
    """Run blocks in one namespace, one after the other, in a directory that holds what they take for granted."""
    names = write_what_is_named(directory)
    os.environ.pop("NEURALLIB_RESULTS_DIR", None)
    os.chdir(directory)
    warnings.filterwarnings("ignore", "dataset_name and trained_for left out")  # as the shortest call does
    for block in code:
        exec(compile(block.code, f"<under '{block.heading}'>", "exec"), names)


class Entry(NamedTuple):
    """An entry of a section: `names : kind` and the indented text below it."""

    names: list[str]
    kind: str
    text: str


def sections(thing: Any) -> dict[str, list[Entry]]:
    """The sections of a docstring in NumPy style; what stands before the first is ""."""
    title, found = "", {"": [""]}
    lines = (inspect.getdoc(thing) or "").splitlines()
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if below and set(below) == {"-"}:
            assert len(below) == len(line), f"{line} is underlined by {below}"
            title, found[line] = line, []
        elif not (line and set(line) == {"-"}):
            found[title].append(line)
    return {title: _entries(body) for title, body in found.items()}


def _entries(lines: list[str]) -> list[Entry]:
    entries: list[Entry] = []
    for line in lines:
        if line.startswith(" ") and entries:
            names, kind, text = entries[-1]
            entries[-1] = Entry(names, kind, f"{text} {line.strip()}".strip())
        elif line:
            names, _, kind = line.partition(" : ")
            entries.append(Entry(names.split(", "), kind, ""))
    return entries
