"""The house: imports that only go down, a light import, and argument names that stay."""

import ast
import functools
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import neurallib as nl

PACKAGE = Path(nl.__file__).parent
# A floor begins where a line does, lowest first. A module imports from lower floors, and of its own room (its folder,
# or the open floor where it lies in none) what stands before it.
FLOORS = """
version warn state names extras checks progress reading sequences
forks functions architectures steps tasks locks files weight_files formats processes devices recurrence.__init__
    recurrence.ahead recurrence.compiling recurrence.vectors recurrence.products recurrence.kernel recurrence.threads
    recurrence.sizes recurrence.torch_state recurrence.layer
models.__init__ models.network models.folding models.gru_forward models.gru models.gru_encoder_decoder models.attention
    models.transformer_forward models.transformer models.registry signals.__init__
    signals.normalization
    signals.conversion signals.arrays signals.plausibility signals.folders signals.manifest
    signals.sources
    signals.targets signals.augmenting signals.augmentations signals.disturbances signals.other_hearts
    signals.statistics signals.prepared signals.preparing signals.batches signals.people signals.outputs signals.peaks
    signals.event_finding
    signals.intervals signals.heart_rate signals.synthetic signals.contents signals.wfdb_headers signals.wfdb_records
    signals.edf
    signals.uneven signals.numpy_files signals.table_lines signals.tables signals.recordings
    signals.recording_parts signals.annotations signals.event_targets
    signals.dataset_sources signals.dataset_targets signals.dataset_files signals.make_dataset
plots.__init__ plots.drawing plots.predictions plots.losses
measures.__init__ measures.losses measures.auroc measures.counts measures.metrics measures.delays
    measures.by_person measures.events measures.intervals measures.sides measures.tables
    measures.ranking measures.curves measures.classes measures.values measures.denoising measures.comparing
    storage.__init__ storage.training_info storage.directories storage.preprocessing
    storage.hyperparameters storage.checkpoints
    storage.card_parts storage.model_card storage.hub_files storage.pretrained storage.hub
    storage.onnx_graph storage.onnx_networks storage.onnx_scales storage.onnx_steps
    storage.onnx_check storage.onnx_export
    transfer.__init__ transfer.freezing transfer.reuse transfer.heads
training.__init__ training.schedules training.optimization training.monitoring training.run training.placing
    training.isolation training.measuring training.seldom training.divergence training.company
    training.description training.record training.saving
    training.resuming training.tensorboard training.callbacks training.checkpointing training.replacements
    training.options training.lightning training.parts training.train prediction.__init__ prediction.stretches
    prediction.windows prediction.stream_events prediction.certainty prediction.applying prediction.sharing
    prediction.evaluation prediction.confusion prediction.testing prediction.stream_checks prediction.streaming
    prediction.long_recordings prediction.leads prediction.waves prediction.spikes prediction.r_peaks
    prediction.beat_averages prediction.hum prediction.denoised prediction.answered
    prediction.judging prediction.recordings plots.recordings plots.scores
    plots.classes
workflow.__init__ workflow.on_folders workflow.from_scratch workflow.retraining
    workflow.cross_validation
search.__init__ search.trials search.grid
__init__
examples.__init__ examples.heart_rates examples.recipes examples.unusual_beats examples.ecg_peaks examples.grid_search
    examples.train_retrain_test
    examples.stream examples.publish_model examples.train_ecg_r_peaks
    examples.train_ecg_r_peaks_stream examples.train_ecg_denoiser
    examples.transfer_learning
    examples.use_published_model examples.beats_and_heart_rate examples.emg_gestures examples.sleep_stages
    examples.denoising examples.heart_rate_from_ppg examples.beat_classes examples.fine_tuning examples.augmentations
"""
FLOOR_OF = {
    name: number for number, line in enumerate(re.split(r"\n(?! )", FLOORS.strip())) for name in line.split()
}
ORDER = list(FLOOR_OF)


def module_name(path: Path, package: Path) -> str:
    """The dotted name of a module's file within the package; a folder's own is `folder.__init__`."""
    return ".".join(path.relative_to(package).with_suffix("").parts)


def modules(package: Path) -> dict[str, Path]:
    return {module_name(path, package): path for path in sorted(package.rglob("*.py"))}


@functools.cache
def parsed(text: str) -> ast.Module:
    return ast.parse(text)


@functools.cache
def names_imported(text: str) -> list[tuple[int, str]]:
    """What a module imports, anywhere in it and in whatever form, each with the dots before it."""
    found = []
    for node in ast.walk(parsed(text)):
        if isinstance(node, ast.Import):
            found += [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [(node.level, ".".join(filter(None, [node.module, alias.name]))) for alias in node.names]
    return found


def imported(path: Path, package: Path, known: dict[str, Path]) -> Iterator[str]:
    """The modules of the package that a module imports."""
    here = ["neurallib", *module_name(path, package).split(".")]
    for level, name in names_imported(path.read_text()):
        top, *parts = [*here[:-level], *name.split(".")] if level else name.split(".")
        if top == "neurallib":  # the longest part of the name that is a module; else what the map hands on
            found = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
            inner = (m for f in found for m in (f, f"{f}.__init__") if m in known)
            yield next(inner, "__init__")


def room(name: str) -> str:
    return name.rpartition(".")[0]


def wrong_imports(package: Path) -> list[str]:
    """Every import that does not go down, and every module without a place."""
    known = modules(package)
    wrong = [f"{name} has no floor" for name in known if name not in FLOOR_OF]
    for name, path in known.items():
        for other in imported(path, package, known) if name in FLOOR_OF else ():
            down = FLOOR_OF.get(other, len(FLOOR_OF)) < FLOOR_OF[name]
            beside = FLOOR_OF.get(other) == FLOOR_OF[name] and room(other) == room(name)
            if not down and not (beside and ORDER.index(other) < ORDER.index(name)):
                wrong.append(f"{name} imports {other}")
    return wrong


@functools.cache
def imported_at_once(text: str) -> set[str]:
    """The packages that a module imports as soon as it is imported itself."""
    found = set()
    waiting = list(parsed(text).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.expr)) or is_for_types_alone(node):
            continue
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").split(".")[0])
    return found


def heavy_imports(package: Path, heavy: str) -> set[str]:
    """The modules that import a package as soon as they are imported themselves."""
    return {name for name, path in modules(package).items() if heavy in imported_at_once(path.read_text())}


def is_for_types_alone(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def test_every_module_has_a_floor() -> None:
    assert set(FLOOR_OF) == set(modules(PACKAGE))


def test_imports_only_go_down() -> None:
    assert wrong_imports(PACKAGE) == []


@pytest.mark.parametrize(
    "place, line, told",
    [
        ("files.py", "from neurallib.training.train import train", "files imports training.train"),
        ("files.py", "import neurallib.training.train", "files imports training.train"),
        ("files.py", "from neurallib import plots", "files imports plots.__init__"),
        ("files.py", "from neurallib import train", "files imports __init__"),
        ("files.py", "def f() -> None:\n    from . import plots", "files imports plots.__init__"),
        ("tasks.py", "from .plots.losses import plot_losses", "tasks imports plots.losses"),
        ("rooms/low.py", "from neurallib.plots.losses import plot_losses", "rooms.low has no floor"),
    ],
)
def test_a_wrong_import_is_seen(place: str, line: str, told: str, tmp_path: Path) -> None:
    copy = tmp_path / "neurallib"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    file = copy / place
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"{file.read_text() if file.exists() else ''}\n{line}\n")
    assert told in wrong_imports(copy)


HEAVY = {
    "pytorch_lightning": {
        "training.lightning", "training.callbacks", "training.checkpointing", "training.replacements",
        "training.options",
    },
    "numba": {"recurrence.compiling", "recurrence.kernel", "recurrence.products", "recurrence.vectors"},
    "llvmlite": {"recurrence.compiling", "recurrence.vectors"},
    "torchmetrics": set(),
    "matplotlib": set(),
    "scipy": set(),
    "huggingface_hub": set(),
    "tensorboard": set(),
    "wfdb": set(),
    "edfio": set(),
    "onnx": set(),
    "onnxruntime": set(),
    "tqdm": set(),
}


@pytest.mark.parametrize("package", HEAVY)
def test_heavy_packages_are_imported_at_the_top_of_their_own_files_alone(package: str) -> None:
    assert heavy_imports(PACKAGE, package) <= HEAVY[package]


def test_a_heavy_import_in_a_folder_is_seen(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "low.py").write_text("try:\n    import pytorch_lightning\nexcept ImportError: ...\n")
    (tmp_path / "models" / "late.py").write_text("def f():\n    import pytorch_lightning\n")
    assert heavy_imports(tmp_path, "pytorch_lightning") == {"models.low"}


def test_importing_neurallib_loads_nothing_heavy_and_writes_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, torch, numpy; before = set(sys.modules); import neurallib; "
        "heavy = set('pytorch_lightning matplotlib huggingface_hub tensorboard numba scipy torchmetrics wfdb edfio '"
        "'onnx onnxruntime tqdm sympy torch._dynamo torch._inductor'.split());"
        "found = heavy & (set(sys.modules) - before); sys.exit(str(found) if found else 0)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(PACKAGE.parent), "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert list(tmp_path.iterdir()) == []


def lines_of_code(path: Path) -> Iterator[tuple[str, int]]:
    """Each function with its lines from `def` on, without its docstring, comments and blank lines."""
    text = path.read_text().splitlines()
    for node in ast.walk(parsed(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body[0]
            said = set(range(body.lineno, (body.end_lineno or 0) + 1)) if ast.get_docstring(node) is not None else set()
            lines = (i for i in range(node.lineno, (node.end_lineno or 0) + 1) if i not in said)
            yield node.name, sum(bool(text[i - 1].split("#")[0].strip()) for i in lines)


def test_no_function_is_longer_than_a_screen() -> None:
    kernels = {"recurrence.kernel", "recurrence.products", "recurrence.vectors"}
    long = [
        f"{name}.{function}: {size}"
        for name, path in modules(PACKAGE).items()
        for function, size in lines_of_code(path)
        if size > 60 and name not in kernels
    ]
    assert long == []


@pytest.mark.parametrize("folder", ["neurallib", "tests", "benchmarks"])
def test_every_file_fits_one_sitting(folder: str) -> None:
    place = PACKAGE if folder == "neurallib" else Path(__file__).parent.parent / folder
    sizes = {str(path.relative_to(place)): len(path.read_text().splitlines()) for path in place.rglob("*.py")}
    assert {path: size for path, size in sizes.items() if size > 300} == {}


def names_used(text: str) -> set[str]:
    """What a script or a block of code takes from the package: modules, and attributes of the name it is given."""
    used = set()
    for node in ast.walk(parsed(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "neurallib":
            used |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            used |= {alias.name for alias in node.names if alias.name.startswith("neurallib.")}
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "nl":
            used.add(f"nl.{node.attr}")
    return used


def inner(used: set[str]) -> list[str]:
    """Of these the ones that are not for everyone: names outside the map, and modules beside the examples."""
    public = {f"nl.{name}" for name in nl.__all__}
    return sorted(name for name in used - public if not name.startswith("neurallib.examples"))


ROOT = Path(__file__).parent.parent
SCRIPTS = [*(PACKAGE / "examples").glob("*.py"), *(ROOT / "benchmarks").glob("*.py")]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_examples_and_benchmarks_use_public_names_alone(path: Path) -> None:
    assert inner(names_used(path.read_text())) == []


def test_code_in_the_readme_and_in_cards_uses_public_names_alone(tmp_path: Path) -> None:
    state = nl.gru_seq2seq(n_features=1, hid_dim=2, n_layers=1)
    for text in ((ROOT / "README.md").read_text(), nl.save_model_card(state, tmp_path).read_text()):
        blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
        assert blocks and [inner(names_used(block)) for block in blocks] == [[]] * len(blocks)


def test_tests_are_named_alike_in_every_run(request: pytest.FixtureRequest) -> None:
    """A name that holds an address is another in each process: a run could not be shared among several."""
    assert [item.nodeid for item in request.session.items if " at 0x" in item.nodeid] == []
