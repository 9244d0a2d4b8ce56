"""A new architecture is one entry in ARCHITECTURES: the whole library works on it, and no other line knows of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import write_folders
from torch import Tensor

import neurallib as nl
from neurallib.architectures import ARCHITECTURES, Architecture, Shape
from neurallib.state import Hparams, State, Weights, new_state
from neurallib.tasks import check_task, n_outputs

QUIET: dict[str, Any] = {"enable_progress_bar": False}


def mean_filter(
    *,
    n_features: int,
    width: int | list[int],
    n_layers: int = 2,
    tap: int | None = None,
    learning_rate: float = 1e-2,
    task: str = "classification",
    num_classes: int | None = 1,
    multi_label: bool = False,
    model_name: str = "MeanFilter",
    seed: int = 42,
) -> State:
    """Layers that see each step beside the mean of the whole signal; one output a signal. One name is a wrapper's."""
    hparams = {
        "model_name": model_name, "n_features": n_features, "width": width, "n_layers": n_layers,
        "learning_rate": learning_rate, **check_task(task, num_classes, multi_label),
    }  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    weights = {
        name: torch.rand(shape.size, generator=generator) * shape.bound
        for name, shape in mean_filter_shapes(hparams).items()
    }
    return new_state("MeanFilter", hparams, weights)


def mean_filter_shapes(hparams: Hparams) -> dict[str, Shape]:
    widths = hparams["width"] if isinstance(hparams["width"], list) else [hparams["width"]] * hparams["n_layers"]
    sizes = [hparams["n_features"], *widths]
    shapes = {f"filters.{i}.weight": Shape((sizes[i + 1], sizes[i]), 0.5) for i in range(len(widths))}
    return shapes | {"model.head.weight": Shape((n_outputs(hparams), sizes[-1]), 0.5)}


def mean_filter_forward(
    weights: Weights, hparams: Hparams, x: Tensor, lengths: Tensor, target: Tensor | None, training: bool
) -> Tensor:
    for i in range(hparams["n_layers"]):
        x = (x @ weights[f"filters.{i}.weight"].T).tanh()  # zeros of the padding stay zeros
    return (x.sum(1) / lengths[:, None]) @ weights["model.head.weight"].T


def filters(hparams: Hparams) -> list[list[str]]:
    return [[f"filters.{i}"] for i in range(hparams["n_layers"])]


@pytest.fixture
def seventh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[State]:
    monkeypatch.setenv("NEURALLIB_RESULTS_DIR", str(tmp_path / "results"))
    entry = Architecture(
        mean_filter, mean_filter_shapes, mean_filter_forward, seq2one=True, stack=filters, per_layer=("width",),
        sizes=lambda hparams: f"{hparams['width']}wide", optional=("tap",),
    )  # fmt: skip
    monkeypatch.setitem(ARCHITECTURES, "MeanFilter", entry)
    yield mean_filter(n_features=2, width=4)


def run(state: State, tmp_path: Path, **options: Any) -> State:
    path_x, path_y = (tmp_path / "data" / side for side in "xy")
    if not path_x.exists():
        write_folders(tmp_path / "data", state)
    named = {"dataset_name": "made up", "trained_for": "a test"}
    return nl.train_from_scratch(state, path_x, path_y, 3, 4, 2, **named, **QUIET, **options)


def test_it_is_listed_and_its_task_is_described(seventh: State) -> None:
    assert "MeanFilter" in nl.list_architectures()
    nl.validate_architecture_name("MeanFilter")
    assert nl.predict(seventh, [np.zeros((9, 2))])[0].shape == (1,)


def test_it_trains_is_saved_loads_retrains_and_is_tested(seventh: State, tmp_path: Path) -> None:
    trained = run(seventh, tmp_path, enable_tensorboard=True)
    directory = Path(trained["training_info"]["checkpoints_directory"])
    assert directory.name.startswith("MeanFilter_4wide_lr0.01_drop0.0_")
    loaded = nl.load_checkpoint(directory)
    assert loaded["hparams"] == trained["hparams"]
    assert all(torch.equal(loaded["weights"][name], weight) for name, weight in trained["weights"].items())
    again = nl.retrain(
        None, tmp_path / "data/x", tmp_path / "data/y", 3, 4, 1, checkpoints_directory=directory,
        dataset_name="made up", trained_for="a test", **QUIET,
    )  # fmt: skip
    assert again["training_info"]["training_history"]["epochs"] == 2
    predictions, loss = nl.test_on_test_set(again, tmp_path / "data/x", tmp_path / "data/y")
    assert len(predictions) == 6 and loss > 0
    assert "# [1]" in (directory / "README.md").read_text(), "the card tells of one output a signal"


def test_its_layers_freeze_by_plan_and_are_reused(seventh: State, tmp_path: Path) -> None:
    plan = nl.freezing_plan(seventh, 2, "last_only")
    assert plan == ["filters.0"]
    frozen = nl.freeze(nl.reuse_layers(seventh, mean_filter(n_features=2, width=4, seed=1), ["filters.0"]), plan)
    trained = run(frozen, tmp_path)
    assert torch.equal(trained["weights"]["filters.0.weight"], frozen["weights"]["filters.0.weight"])
    assert not torch.equal(trained["weights"]["filters.1.weight"], frozen["weights"]["filters.1.weight"])


def test_it_is_searched_and_one_width_is_the_same_trial_as_a_list_of_it(seventh: State, tmp_path: Path) -> None:
    path_x, path_y = write_folders(tmp_path / "data", seventh)
    parameters = {
        "path_x": path_x, "path_y": path_y, "epochs": 1, "batch_size": 4, "dataset_name": "d", "trained_for": "t"
    }  # fmt: skip
    options = {"n_features": 2, "width": [3, [3, 3], [4, 5]]}
    results = nl.grid_search("MeanFilter", options, parameters, **QUIET)
    assert len(results) == 2 and {result["status"] for result in results} == {"finished"}


def test_what_is_wrong_with_its_hyperparameters_is_told(seventh: State) -> None:
    with pytest.raises(ValueError, match="MeanFilter has no hyperparameter 'widht'. Did you mean 'width'"):
        nl.evaluate({**seventh, "hparams": {**seventh["hparams"], "widht": 3}}, [(np.zeros((3, 2)), np.zeros(1))])


def test_directories_of_an_entry_without_sizes_are_named_by_all_whole_numbers() -> None:
    entry = Architecture(mean_filter, mean_filter_shapes, mean_filter_forward, seq2one=True, stack=filters)
    hparams = mean_filter(n_features=2, width=4, multi_label=True, num_classes=3)["hparams"]
    assert entry.sizes(hparams) == "2n_features_4width_2n_layers_3num_classes"
