"""The tests that meet a faulty line: which they are, by one run of the suite, and how they run in a fork."""

import ast
import contextlib
import functools
import importlib
import json
import os
import re
import signal
import sys
import traceback
import types
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")  # a process with threads forks badly

import coverage  # noqa: E402
import pytest  # noqa: E402

HEAVY = """numpy torch pytorch_lightning torchmetrics numba scipy.signal scipy.stats matplotlib.pyplot huggingface_hub
    safetensors.torch torch.utils.tensorboard hypothesis yaml tqdm wfdb""".split()  # imported once, not in every fork

COVERAGE = "[run]\nsource = neurallib\ndata_file = {}\nparallel = true\ncontext = ${{TEST_BEGUN-}}\n"
FAULT_OF_OURS = 70


class Plugin:
    """Runs the named tests alone, in their order; a test that hangs ends the process.

    Told beside the copy of the tree: the test begun last, and at the end how long each took and which failed.
    """

    def __init__(self, seconds: dict[str, float], beside: Path) -> None:
        self.seconds, self.beside = seconds, beside
        self.failed: list[str] = []
        self.durations: dict[str, float] = defaultdict(float)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        by_name = {item.nodeid: item for item in items}
        items[:] = [by_name[name] for name in self.seconds or by_name if name in by_name]

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        (self.beside / "last").write_text(nodeid)
        os.environ["TEST_BEGUN"] = nodeid  # names the lines of processes that the test starts
        signal.alarm(30 + int(10 * self.seconds.get(nodeid, 60)))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.durations[report.nodeid] += report.duration
        self.failed += [report.nodeid] * report.failed

    def pytest_sessionfinish(self) -> None:
        (self.beside / "told.json").write_text(json.dumps({"durations": self.durations, "failed": self.failed}))


def fork_tests(checkout: Path, seconds: dict[str, float], *options: str) -> int:
    """Fork a process group that runs the tests (none: all) on a copy of the tree; gives its process id."""
    (checkout.parent / "last").write_text("before any test")
    if pid := os.fork():
        return pid
    code = FAULT_OF_OURS
    try:
        os.setsid()
        signal.alarm(120)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which a background process lacks
        log = os.open(checkout.parent / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1), os.dup2(log, 2)
        os.chdir(checkout)
        os.environ["PYTHONPATH"] = sys.path[0] = str(checkout)
        sys.argv, sys.modules["__main__"] = ["pytest"], types.ModuleType("__main__")  # which spawn would run again
        sys.modules["torch"].set_num_threads(1)
        files = sorted({test.split("::")[0] for test in seconds})
        # what this process has imported already is not rewritten, which is no fault of the suite's
        forked = ("-W", "ignore::pytest.PytestAssertRewriteWarning", "-p", "no:cacheprovider", "--hypothesis-seed=0")
        options = ("-q", *forked, *options, *files)
        status = int(pytest.main([*options], [Plugin(seconds, checkout.parent)]))
        package = sys.modules.get("neurallib")  # is missing where its import is what failed
        if package is None or str(package.__file__).startswith(f"{checkout}/"):
            code = status
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def wait() -> tuple[int, int]:
    """Wait for a group to end: its process id, and its exit status, negative for a signal."""
    pid, status = os.waitpid(-1, 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)  # what its tests have left behind
    if os.waitstatus_to_exitcode(status) == FAULT_OF_OURS:
        raise RuntimeError("The tests did not run on the copy of the tree; its log says why.")
    return pid, os.waitstatus_to_exitcode(status)


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))


def own_lines(node: Any) -> range:
    """The lines of a statement without those of the statements in it."""
    first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", ()))])
    inner = getattr(node, "body", None)
    return range(first, max(node.lineno + 1, inner[0].lineno if inner else node.end_lineno + 1))


class Suite:
    """Which tests run what and for how long, by one run of all of them on a copy of the tree."""

    def __init__(self, texts: dict[str, str], checkout: Path) -> None:
        self.texts, self.checkout = texts, checkout
        told, covered = checkout.parent / "suite.json", checkout.parent / "coverage"
        for module in HEAVY:
            importlib.import_module(module)
        if not told.exists():
            (checkout.parent / "coveragerc").write_text(COVERAGE.format(covered))
            config = os.environ["COVERAGE_PROCESS_START"] = str(checkout.parent / "coveragerc")
            options = (f"--cov-config={config}", "--cov-context=test", "--cov-report=", "-m", "not slow")
            fork_tests(checkout, {}, "--cov=neurallib", *options)
            if wait()[1] not in (0, 1):
                raise RuntimeError(f"The suite did not run to its end: {checkout.parent / 'log'}")
            del os.environ["COVERAGE_PROCESS_START"]
            (checkout.parent / "told.json").rename(told)
        suite = json.loads(told.read_text())
        self.failed: list[str] = suite["failed"]
        self.seconds = {test: s for test, s in suite["durations"].items() if test not in self.failed}
        self.data = coverage.CoverageData(str(covered))
        self.data.read()

    @functools.cache
    def runs(self, file: str) -> dict[int, set[str]]:
        """The tests that run each line. A process that one of them starts may serve the later ones of its file."""
        lines: dict[int, set[str]] = {}
        for line, contexts in self.data.contexts_by_lineno(str(self.checkout / file)).items():
            own = {name.rpartition("|")[0] for name in contexts if name.endswith(("|setup", "|run", "|teardown"))}
            starting = {name.split("::")[0] for name in contexts if name in self.seconds}
            lines[line] = own | {test for test in self.seconds if test.split("::")[0] in starting}
        return lines

    def on(self, file: str, lines: Iterable[int]) -> set[str]:
        return {test for line in lines for test in self.runs(file).get(line, ())}

    def naming(self, names: set[str]) -> set[str]:
        """The tests of files that say a name: for lines that run in processes of their own alone."""
        files = {test.split("::")[0] for test in self.seconds}
        saying = {file for file in files if names & words(f"{file} {(self.checkout / file).read_text()}")}
        return {test for test in self.seconds if test.split("::")[0] in saying}

    def related(self, file: str, line: int, last: int) -> set[str]:
        statements = [n for n in ast.walk(ast.parse(self.texts[file])) if isinstance(n, (ast.stmt, ast.ExceptHandler))]
        inner: Any = max((n for n in statements if line in own_lines(n)), key=lambda n: n.lineno)
        around = [n for n in statements if n.lineno <= line <= (n.end_lineno or 0)]
        functions = {n.name for n in around if isinstance(n, ast.FunctionDef)}
        tests = self.on(file, {*own_lines(inner), *range(line, last + 1)})
        if isinstance(inner, (ast.FunctionDef, ast.ClassDef)):  # runs at import, and matters where it is called
            tests |= self.on(file, range(inner.body[0].lineno, (inner.end_lineno or 0) + 1))
        elif not functions:  # likewise, where its names stand
            names = {n.id for n in ast.walk(inner) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
            for other, text in self.texts.items():
                tests |= self.on(other, (n for n, code in enumerate(text.splitlines(), 1) if names & words(code)))
        return tests or self.naming(functions) or self.naming({Path(file).stem})

    def choose(self, file: str, line: int, last: int, seconds: float) -> tuple[dict[str, float], int]:
        """What to run, in order, and how many tests are left out.

        The cheap are taken first, and other functions before many parameters of one; they run file by file.
        """
        variants: Counter[str] = Counter()
        ranked, spent = list[tuple[float, str]](), 0.0
        for cost, test in sorted((self.seconds[t], t) for t in self.related(file, line, last) if t in self.seconds):
            variants[test.split("[")[0]] += 1
            ranked.append((cost * variants[test.split("[")[0]], test))
        kept: dict[str, dict[str, float]] = defaultdict(dict)
        for _, test in sorted(ranked):
            spent += self.seconds[test]
            if spent <= seconds or not kept:
                kept[test.split("::")[0]][test] = self.seconds[test]
        files = sorted(kept.values(), key=lambda tests: sum(tests.values()) / len(tests))
        chosen = {test: cost for tests in files for test, cost in tests.items()}
        return chosen, len(ranked) - len(chosen)
