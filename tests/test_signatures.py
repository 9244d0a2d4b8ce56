"""The public names: argument names that stay, and a text for each."""

import inspect

import pytest

import neurallib as nl

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


@pytest.mark.parametrize("name", SIGNATURES)
def test_public_argument_names_stay(name: str) -> None:
    expected = SIGNATURES[name].split()
    assert list(inspect.signature(getattr(nl, name)).parameters)[: len(expected)] == expected


@pytest.mark.parametrize("name", [name for name in nl.__all__ if name != "__version__"])
def test_everything_public_is_there_and_says_what_it_does(name: str) -> None:
    assert inspect.getdoc(getattr(nl, name))
