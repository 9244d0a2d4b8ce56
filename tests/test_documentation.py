"""What is documented runs: the examples of docstrings, the README's Python, and the commands that it names."""

import ast
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from cases import Case, make_state
from documentation import PACKAGE, Block, Example, blocks, documented, run_blocks, run_examples
from hub_client import Client
from hub_server import running_hub
from published import PEAK_DETECTOR, published

import neurallib as nl
from neurallib.storage.pretrained import NEURALLIB_COLLECTION

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
EXTRAS = {"numba": "fast", "wfdb": "wfdb", "edfio": "edf", "distributed": "cluster", "onnx": "onnx"}
EXAMPLES = documented()
FOLDERS = {path.parent.name: ast.get_docstring(ast.parse(path.read_text())) or ""
           for path in PACKAGE.glob("*/__init__.py")}  # fmt: skip


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Whoever tries what is documented: with a token of the hub, which holds the models that are named there."""
    with running_hub() as hub:
        hub.users["secret"] = "me"
        hub.collections[NEURALLIB_COLLECTION] = [("model", "marianaagdias/ECGPeakDetector")]
        hub.add("marianaagdias/ECGPeakDetector", published(PEAK_DETECTOR, [True] * 3)[0])
        client = Client(hub.address, tmp_path_factory.mktemp("home"), HF_TOKEN="secret")
        yield client
        client.close()


def skip_without_extra(told: str) -> None:
    for package, extra in EXTRAS.items():
        if "ModuleNotFoundError" in told and package in told and importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed (extra {extra})")


@pytest.mark.parametrize("example", [e for e in EXAMPLES if not e.asks_the_hub], ids=str)
def test_the_examples_of_a_docstring_run(example: Example, tmp_path: Path) -> None:
    try:
        told = run_examples(example, tmp_path)
    except ModuleNotFoundError as error:
        skip_without_extra(f"ModuleNotFoundError {error}")
        raise
    skip_without_extra(told)
    assert not told, told


@pytest.mark.parametrize("example", [e for e in EXAMPLES if e.asks_the_hub], ids=str)
def test_the_examples_that_ask_the_hub_run_on_one(example: Example, reader: Client, tmp_path: Path) -> None:
    nl.save_checkpoint(make_state(Case("GRUseq2seq", "binary")), tmp_path / "results/RPeaks/checkpoints/GRUseq2seq_...")
    assert (told := reader(run_examples, example, tmp_path)) == "", told


def test_the_readmes_python_runs_in_reading_order(reader: Client, tmp_path: Path) -> None:
    code = blocks(README, "python")
    assert len(code) >= 3
    reader(run_blocks, code, tmp_path)


@pytest.mark.parametrize("folder", sorted(FOLDERS))
def test_the_python_of_a_folders_docstring_runs(folder: str, reader: Client, tmp_path: Path) -> None:
    code = blocks(FOLDERS[folder], "python")
    try:
        reader(run_blocks, [Block("the map", "import neurallib as nl"), *code], tmp_path)
    except ModuleNotFoundError as error:
        skip_without_extra(f"ModuleNotFoundError {error}")
        raise


def test_the_readme_links_to_every_folder_that_has_more_to_say() -> None:
    telling = {folder for folder, text in FOLDERS.items() if "\n---" in text}
    assert telling and telling == set(re.findall(r"\(neurallib/(\w+)/__init__\.py\)", README))


@pytest.mark.parametrize("folder", sorted(FOLDERS))
def test_what_a_folders_docstring_names_is_there(folder: str) -> None:
    assert missing(FOLDERS[folder]) == []


@pytest.mark.parametrize("document", [path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("**/*.md"))
                                      if ".venv" not in path.parts and "results" not in path.parts])  # fmt: skip
def test_what_documents_name_is_there(document: str) -> None:
    assert missing((ROOT / document).read_text()) == []


def missing(text: str) -> list[str]:
    """Of the modules behind `-m`, files of the repository and names behind `nl.` that a text names, those not there."""
    modules = set(re.findall(r"\b(neurallib\.examples\.[a-z_]+)", text))
    names = set(re.findall(r"\bnl\.(\w+)", text))
    files = set(re.findall(r"(?<![\w/.])((?:benchmarks|docs|tests|neurallib)/[\w/.-]*\w)", text))
    return [
        *(name for name in modules if not importlib.util.find_spec(name)),
        *(f"nl.{name}" for name in names if not hasattr(nl, name)),
        *(name for name in files if not (ROOT / name).exists() and not (PACKAGE.parent / name).exists()),
    ]


# Of NeuralLib's public modules, each class and function; methods with their class's instance.
THEIRS = """
GRUseq2seq GRUseq2one GRUED Transformerseq2seq Transformerseq2one TransformerED model.train_from_scratch model.retrain
model.test_on_test_set model.test_on_single_signal model.create_checkpoints_directory model.save_training_information
model.save_training_information_to_file model.efficiency_metrics model.configure_optimizers model.training_step
train_architecture_from_scratch retrain_architecture run_grid_search get_weights_and_info_from_checkpoints
get_weights_and_info_from_hugging get_hparams_from_checkpoints get_hparams_from_hugging validate_training_context
list_architectures get_valid_architectures validate_architecture_name post_process_peaks_binary create_readme
upload_production_model ProductionModel predict list_production_models build_tl_arch_config build_pretrained_layer_map
build_freeze_phase TLModel inject_weights freeze_layers unfreeze_layers train_tl TLFactory configure_tl_model
load_production_model DatasetSequence validate_dataset collate_fn calculate_class_weights configure_device list_gpus
configure_seed LossPlotCallback save_predictions save_predictions_with_filename save_model_results
"""


def test_the_readme_says_what_every_call_of_the_original_is_here() -> None:
    section = README.partition("## From NeuralLib\n")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| (`.*`) \| (.*) \|$", section, re.MULTILINE))
    told = " ".join(rows)
    assert [name for name in THEIRS.split() if not re.search(rf"(?<![\w]){re.escape(name)}\(", told)] == []
    for theirs, ours in rows.items():
        names = re.findall(r"\bnl\.(\w+)", ours)
        assert names and all(hasattr(nl, name) for name in names), theirs


def test_the_readme_names_every_example_and_benchmark() -> None:
    parts = {"__init__", "heart_rates", "recipes", "unusual_beats"}  # of examples
    examples = {path.stem for path in (PACKAGE / "examples").glob("*.py")} - parts
    assert examples <= set(re.findall(r"neurallib\.examples\.(\w+)", README))
    assert {path.name for path in (ROOT / "benchmarks").glob("bench_*.py")} <= set(re.findall(r"\w+\.py", README))
