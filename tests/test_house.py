"""The house: imports that only go down, a light import, and argument names that stay."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import neurallib as nl

PACKAGE = Path(nl.__file__).parent
FLOORS = """
    version state checks tasks devices sequences
    vectors products kernel recurrence scan network gru gru_encoder_decoder attention transformer registry
    losses metrics normalization data targets preparing batches optimization
    files training_info postprocess plots tensorboard checkpoints model_card hub_errors hub lightning training
    evaluation freezing transfer workflow trials search synthetic records
    __init__ examples
""".split()

SIGNATURES = {
    "build_network": "state device",
    "state_from_network": "state network",
    "loss_function": "state",
    "training_step": "network batch loss",
    "make_optimizer": "network hparams",
    "train": "state train_data val_data epochs batch_size patience",
    "evaluate": "state data",
    "predict": "state signals",
    "open_folder": "path_x path_y part",
    "grid_search": "architecture hparams_options train_params executor on_error",
    "train_from_scratch": "state path_x path_y patience batch_size epochs gpu_id all_samples samples dataset_name "
    "trained_for classification enable_tensorboard",
    "retrain": "state path_x path_y patience batch_size epochs gpu_id all_samples samples dataset_name trained_for "
    "classification enable_tensorboard checkpoints_directory hugging_face_model",
    "test_on_test_set": "state path_x path_y all_samples samples checkpoints_dir gpu_id save_predictions "
    "post_process_fn",
    "test_on_single_signal": "state X checkpoints_dir gpu_id post_process_fn",
    "create_checkpoints_directory": "state retraining",
    "save_training_information_to_file": "state directory",
    "save_checkpoint": "state directory",
    "load_checkpoint": "directory",
    "get_weights_and_info_from_checkpoints": "prev_checkpoints_dir",
    "get_hparams_from_checkpoints": "checkpoints_directory",
    "get_weights_and_info_from_hugging": "hugging_face_model local_dir",
    "get_hparams_from_hugging": "hugging_face_model",
    "load_from_hub": "repo_id revision token local_dir",
    "push_to_hub": "state_or_directory repo_id token private revision commit_message",
    "list_production_models": "collection",
    "validate_training_context": "retraining checkpoints_directory hugging_face_model",
    "configure_device": "gpu_id",
    "collate_fn": "items",
    "list_architectures": "",
    "validate_architecture_name": "name",
    "post_process_peaks_binary": "output threshold filter_peaks min_distance",
}


def modules_imported_by(path: Path) -> set[str]:
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "neurallib":
            parts = node.module.split(".")
            imported |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            imported |= {name.split(".")[1] for name in (a.name for a in node.names) if name.startswith("neurallib.")}
    return imported


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_only_go_down(path: Path) -> None:
    floor = "examples" if path.parent != PACKAGE else path.stem
    assert floor in FLOORS, f"give {floor} a place in the house"
    if floor != "examples":
        above = [name for name in modules_imported_by(path) if FLOORS.index(name) >= FLOORS.index(floor)]
        assert above == []


@pytest.mark.parametrize("package", ["pytorch_lightning", "huggingface_hub", "numba", "wfdb", "torchmetrics"])
def test_heavy_packages_are_imported_at_the_top_of_their_own_files_alone(package: str) -> None:
    importing = []
    for path in PACKAGE.glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, (ast.Import, ast.ImportFrom)) and package in ast.unparse(node):
                importing.append(path.name)
    allowed = {"pytorch_lightning": {"lightning.py"}, "numba": {"kernel.py", "products.py", "vectors.py"}}
    assert set(importing) <= allowed.get(package, set())


def test_importing_neurallib_loads_nothing_heavy_and_writes_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, torch, numpy; before = set(sys.modules); import neurallib; "
        "heavy = set('pytorch_lightning matplotlib huggingface_hub tensorboard numba scipy torchmetrics'.split());"
        "found = heavy & (set(sys.modules) - before); sys.exit(str(found) if found else 0)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(PACKAGE.parent), "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", SIGNATURES)
def test_public_argument_names_stay(name: str) -> None:
    expected = SIGNATURES[name].split()
    assert list(inspect.signature(getattr(nl, name)).parameters)[: len(expected)] == expected


@pytest.mark.parametrize("name", [name for name in nl.__all__ if name != "__version__"])
def test_everything_public_is_there_and_says_what_it_does(name: str) -> None:
    assert inspect.getdoc(getattr(nl, name))
