"""What is shipped: an sdist of every tracked file, a wheel of the whole package, and metadata that agree with it."""

import configparser
import importlib.util
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

import neurallib as nl

ROOT = Path(__file__).parent.parent
# What a used checkout holds beside the tracked files, in places that MANIFEST.in takes in and in others.
LEFT_BEHIND = [
    "neurallib/__pycache__/state.cpython-311.pyc",
    "neurallib/recurrence/__pycache__/kernel.forward-59.py311.nbi",
    "neurallib/recurrence/__pycache__/kernel.forward-59.py311.1.nbc",
    "tests/__pycache__/cases.cpython-311.pyc",
    "results/peaks/checkpoints/model_weights.pth",
    "build/lib/neurallib/gone.py",
    ".venv/pyvenv.cfg",
    ".hypothesis/examples/1",
    "lightning_logs/version_0/hparams.yaml",
]


def shipped() -> list[str]:
    """What an sdist holds but for its metadata: what git tracks, or what the sdist unpacked here says of itself."""
    if (ROOT / ".git").exists():
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    else:
        lists = list(ROOT.glob("neurallib.egg-info/SOURCES.txt"))
        if not lists:
            pytest.skip("neither a git checkout nor an unpacked sdist: there is no list of files to compare with")
        listed = lists[0].read_text()
    return sorted(name for name in listed.splitlines() if not name.startswith("neurallib.egg-info/"))


def build(kind: str, source: Path, to: Path) -> Path:
    """An sdist or a wheel of a folder, without a network."""
    code = f"from setuptools import build_meta; build_meta.build_{kind}({str(to)!r})"
    run = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return next(to.glob("*.tar.gz" if kind == "sdist" else "*.whl"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist of a used checkout. The package's files come from where it is installed if they are not beside this."""
    pytest.importorskip("setuptools", minversion="70.1", reason="setuptools makes sdist and wheel")
    root = tmp_path_factory.mktemp("checkout")
    for name in LEFT_BEHIND:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("left behind")
    for name in shipped():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        there = ROOT / name
        shutil.copy(there if there.exists() else Path(nl.__file__).parent.parent / name, root / name)
    return build("sdist", root, tmp_path_factory.mktemp("sdist"))


def test_an_sdist_holds_every_tracked_file_and_nothing_that_was_left_behind(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        held = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    assert sorted(name for name in held - {"PKG-INFO"} if not name.startswith("neurallib.egg-info/")) == shipped()


def test_a_wheel_holds_the_whole_package_and_nothing_else(sdist: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    wheel = build("wheel", next((tmp_path / "unpacked").iterdir()), tmp_path)
    held, info = zipfile.ZipFile(wheel).namelist(), f"neurallib-{nl.__version__}.dist-info/"
    assert sorted(name for name in held if not name.startswith(info)) == [
        name for name in shipped() if name.startswith("neurallib/")
    ]
    assert "neurallib/py.typed" in held
    assert any(name.startswith(info) and name.endswith("LICENSE") for name in held)


def settings() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def requirements() -> list[str]:
    """What setup.cfg requires, extras included."""
    lists = [settings()["options"]["install_requires"], *settings()["options.extras_require"].values()]
    return [line for text in lists for line in text.split("\n") if line]


def test_every_requirement_names_its_lowest_version_and_is_tested_at_a_pinned_one() -> None:
    pinned = {line.partition("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    for requirement in requirements():
        name, bound = re.fullmatch(r"([\w-]+)(?:>=([\d.]+))?", requirement).groups()  # type: ignore[union-attr]
        assert name.lower() in pinned, f"constraints.txt does not pin {name}"
        assert bound or name.startswith("types-"), f"setup.cfg gives {name} no lowest version"


@pytest.mark.parametrize("marker", ["main job", "tests"])
def test_the_commands_of_the_readme_name_extras_and_modules_that_are_there(marker: str) -> None:
    readme = (ROOT / "README.md").read_text()
    found = re.search(rf"<!-- {marker} -->\n```bash\n(.*)\n```", readme)
    assert found, f"README.md has no command under <!-- {marker} -->"
    parts = re.fullmatch(
        r"python3 -m venv \.venv && \.venv/bin/pip install -q -c constraints\.txt '\.\[([\w,]+)\]' && "
        r"\.venv/bin/python -m ([\w.]+) .*",
        found[1],
    )
    assert parts, f"'{found[1]}' is not 'make an environment && install && run'"
    assert set(parts[1].split(",")) <= settings()["options.extras_require"].keys()
    assert importlib.util.find_spec(parts[2]), parts[2]


def test_the_citation_names_this_version_and_licence() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    metadata = settings()["metadata"]
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == nl.__version__
    assert citation["title"].split(":")[0] == metadata["name"]
    assert citation["license"] == metadata["license"]
    assert [author["name"] for author in citation["authors"]] == [metadata["author"]]
    assert ", ".join(citation["keywords"]) == metadata["keywords"]
