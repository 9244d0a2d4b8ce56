"""Functional plain-PyTorch library for sequence models on biosignals: ECG, EEG, EMG, PPG, respiration.

A model state is a plain dict: factories make one, `train` and `retrain` give a new one, `evaluate` and `predict` read
one, checkpoints and the hub store one. This is the map; `help(nl.train)` and each of the others tells parameters,
units, errors and an example, and `help("neurallib.training")`, like `signals`, `models`, `measures`, `prediction`,
`storage` and `search`, what needs more words. Whole jobs to copy: `python -m neurallib.examples.NAME`.

Models
------
A factory makes a state: a dict of architecture, hyperparameters, weights and scales.
    gru_seq2seq, gru_seq2one, gru_encoder_decoder, transformer_seq2seq, transformer_seq2one,
    transformer_encoder_decoder, list_architectures, validate_architecture_name, list_pretrained, load_pretrained

Training in memory
------------------
On arrays, pairs, torch Datasets.
    train, cross_validate, split_people

Training on folders
-------------------
Each run has a directory.
    train_from_scratch, retrain, find_unfinished, grid_search, validate_training_context, create_checkpoints_directory,
    save_training_information, save_training_information_to_file

Predicting and measuring
------------------------
    predict, iter_predict, predict_recording, evaluate, confusion_matrix, threshold_curves, choose_threshold,
    evaluate_recordings, compare_recordings, test_on_test_set, test_on_single_signal

From outputs to answers
-----------------------
    find_r_peaks, denoise_recording, find_events, find_intervals, rr_intervals, post_process_peaks_binary

Scores of what was found
------------------------
    match_peaks, peak_scores, interval_scores, class_scores, value_scores, denoising_scores

Recordings and data sets
------------------------
WFDB (extra `wfdb`), EDF and BDF (extra `edf`), CSV, .npy, .npz.
    read_recording, list_recordings, make_dataset, beats, event_target, interval_target, label_target, peak_labels,
    synthetic_ecg, open_folder

Augmentation
------------
For `augment=` of training.
    augment_noise, augment_motion, augment_hum, augment_scale, augment_stretch, augment_dropout, augment_crop,
    augment_channels, augment_rhythm, augment_lead, augment_pacing, augment_resampling, compose_augmentations

Files and the Hugging Face hub
------------------------------
    save_checkpoint, load_checkpoint, save_model_card, load_from_hub, push_to_hub, list_production_models,
    get_weights_and_info_from_checkpoints, get_hparams_from_checkpoints, get_weights_and_info_from_hugging,
    get_hparams_from_hugging

Streams and devices
-------------------
    init_stream, stream_step, export_onnx, configure_device

Transfer learning
-----------------
    reuse_layers, transfer_hparams, replace_head, freeze, unfreeze, freezing_plan

Pictures
--------
    plot_recording, plot_prediction, plot_losses, plot_record_scores, plot_confusion, plot_curves, plot_agreement

A loop of your own
------------------
    build_network, state_from_network, loss_function, training_step, make_optimizer, prepare, make_loader, collate_fn,
    valid_mask, flip_valid

Types
-----
    State, Batch, Recording, SignalFolder, TrialResult, Network, Architecture, ARCHITECTURES
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from neurallib.names import did_you_mean
from neurallib.sequences import flip_valid, valid_mask
from neurallib.state import Batch, State
from neurallib.architectures import ARCHITECTURES, Architecture, list_architectures, validate_architecture_name
from neurallib.devices import configure_device
from neurallib.models.network import Network
from neurallib.models.gru import gru_seq2one, gru_seq2seq
from neurallib.models.gru_encoder_decoder import gru_encoder_decoder
from neurallib.models.transformer import transformer_encoder_decoder, transformer_seq2one, transformer_seq2seq
from neurallib.models.registry import build_network, state_from_network
from neurallib.measures.losses import loss_function
from neurallib.signals.folders import SignalFolder, open_folder
from neurallib.signals.preparing import prepare
from neurallib.signals.batches import collate_fn, make_loader
from neurallib.training.optimization import make_optimizer, training_step
from neurallib.storage.training_info import save_training_information, save_training_information_to_file
from neurallib.storage.directories import create_checkpoints_directory
from neurallib.storage.hyperparameters import get_hparams_from_checkpoints
from neurallib.storage.checkpoints import get_weights_and_info_from_checkpoints, load_checkpoint, save_checkpoint
from neurallib.training.train import train
from neurallib.prediction.evaluation import evaluate, iter_predict, predict
from neurallib.version import __version__

if TYPE_CHECKING:
    from neurallib.signals.augmentations import (
        augment_channels,
        augment_crop,
        augment_dropout,
        augment_scale,
        augment_stretch,
        compose_augmentations,
    )
    from neurallib.signals.disturbances import augment_hum, augment_motion, augment_noise
    from neurallib.signals.other_hearts import augment_lead, augment_pacing, augment_resampling, augment_rhythm
    from neurallib.storage.pretrained import list_pretrained, list_production_models, load_pretrained
    from neurallib.storage.model_card import save_model_card
    from neurallib.storage.hub import (
        get_hparams_from_hugging,
        get_weights_and_info_from_hugging,
        load_from_hub,
        push_to_hub,
    )
    from neurallib.storage.onnx_export import export_onnx
    from neurallib.transfer.freezing import freeze, freezing_plan, unfreeze
    from neurallib.transfer.reuse import reuse_layers, transfer_hparams
    from neurallib.transfer.heads import replace_head
    from neurallib.prediction.confusion import confusion_matrix, threshold_curves
    from neurallib.prediction.long_recordings import predict_recording
    from neurallib.prediction.streaming import init_stream, stream_step
    from neurallib.signals.peaks import peak_labels
    from neurallib.signals.event_finding import find_events, post_process_peaks_binary
    from neurallib.signals.intervals import find_intervals
    from neurallib.signals.heart_rate import rr_intervals
    from neurallib.prediction.denoised import denoise_recording
    from neurallib.prediction.r_peaks import find_r_peaks
    from neurallib.signals.people import split_people
    from neurallib.signals.synthetic import synthetic_ecg
    from neurallib.signals.recordings import Recording, list_recordings, read_recording
    from neurallib.signals.event_targets import beats, event_target, interval_target, label_target
    from neurallib.signals.make_dataset import make_dataset
    from neurallib.measures.events import match_peaks, peak_scores
    from neurallib.measures.intervals import interval_scores
    from neurallib.measures.curves import choose_threshold
    from neurallib.measures.classes import class_scores
    from neurallib.measures.values import value_scores
    from neurallib.measures.denoising import denoising_scores
    from neurallib.measures.comparing import compare_recordings
    from neurallib.prediction.recordings import evaluate_recordings
    from neurallib.plots.recordings import plot_recording
    from neurallib.plots.scores import plot_agreement, plot_record_scores
    from neurallib.plots.classes import plot_confusion, plot_curves
    from neurallib.plots.predictions import plot_prediction
    from neurallib.plots.losses import plot_losses
    from neurallib.prediction.testing import test_on_single_signal, test_on_test_set
    from neurallib.training.resuming import find_unfinished
    from neurallib.workflow.on_folders import validate_training_context
    from neurallib.workflow.from_scratch import train_from_scratch
    from neurallib.workflow.retraining import retrain
    from neurallib.workflow.cross_validation import cross_validate
    from neurallib.search.trials import TrialResult
    from neurallib.search.grid import grid_search

# Of these the modules are imported when a name is first asked for: a process that trains does not wait for them.
_LATER = {
    "signals.augmentations": (
        "augment_channels augment_crop augment_dropout augment_scale augment_stretch compose_augmentations"
    ),
    "signals.disturbances": "augment_hum augment_motion augment_noise",
    "signals.other_hearts": "augment_lead augment_pacing augment_resampling augment_rhythm",
    "storage.pretrained": "list_pretrained list_production_models load_pretrained",
    "storage.model_card": "save_model_card",
    "storage.hub": "get_hparams_from_hugging get_weights_and_info_from_hugging load_from_hub push_to_hub",
    "storage.onnx_export": "export_onnx",
    "transfer.freezing": "freeze freezing_plan unfreeze",
    "transfer.reuse": "reuse_layers transfer_hparams",
    "transfer.heads": "replace_head",
    "prediction.confusion": "confusion_matrix threshold_curves",
    "prediction.long_recordings": "predict_recording",
    "prediction.streaming": "init_stream stream_step",
    "signals.peaks": "peak_labels",
    "signals.event_finding": "find_events post_process_peaks_binary",
    "signals.intervals": "find_intervals",
    "signals.heart_rate": "rr_intervals",
    "prediction.r_peaks": "find_r_peaks",
    "prediction.denoised": "denoise_recording",
    "signals.people": "split_people",
    "signals.synthetic": "synthetic_ecg",
    "signals.recordings": "Recording list_recordings read_recording",
    "signals.event_targets": "beats event_target interval_target label_target",
    "signals.make_dataset": "make_dataset",
    "measures.events": "match_peaks peak_scores",
    "measures.intervals": "interval_scores",
    "measures.curves": "choose_threshold",
    "measures.classes": "class_scores",
    "measures.values": "value_scores",
    "measures.denoising": "denoising_scores",
    "measures.comparing": "compare_recordings",
    "prediction.recordings": "evaluate_recordings",
    "plots.recordings": "plot_recording",
    "plots.scores": "plot_agreement plot_record_scores",
    "plots.classes": "plot_confusion plot_curves",
    "plots.predictions": "plot_prediction",
    "plots.losses": "plot_losses",
    "prediction.testing": "test_on_single_signal test_on_test_set",
    "workflow.on_folders": "validate_training_context",
    "training.resuming": "find_unfinished",
    "workflow.from_scratch": "train_from_scratch",
    "workflow.retraining": "retrain",
    "workflow.cross_validation": "cross_validate",
    "search.trials": "TrialResult",
    "search.grid": "grid_search",
}
_MODULE_OF = {name: f"neurallib.{module}" for module, names in _LATER.items() for name in names.split()}

__all__ = [
    "__version__", "ARCHITECTURES", "Architecture", "Batch", "Network", "Recording", "SignalFolder", "State",
    "TrialResult", "beats", "augment_channels", "augment_crop", "augment_dropout", "augment_hum", "augment_lead",
    "augment_motion", "augment_noise", "augment_pacing", "augment_resampling", "augment_rhythm", "augment_scale",
    "augment_stretch", "build_network", "choose_threshold", "class_scores", "collate_fn", "compare_recordings",
    "compose_augmentations", "configure_device", "confusion_matrix", "create_checkpoints_directory",
    "cross_validate", "denoise_recording", "denoising_scores", "evaluate", "evaluate_recordings", "event_target",
    "export_onnx", "find_events", "find_intervals", "find_r_peaks", "find_unfinished", "flip_valid", "freeze",
    "freezing_plan", "get_hparams_from_checkpoints", "get_hparams_from_hugging",
    "get_weights_and_info_from_checkpoints", "get_weights_and_info_from_hugging", "grid_search",
    "gru_encoder_decoder", "gru_seq2one", "gru_seq2seq", "init_stream", "interval_scores", "interval_target",
    "iter_predict", "label_target", "list_architectures", "list_pretrained", "list_production_models",
    "list_recordings", "load_checkpoint", "load_from_hub", "load_pretrained", "loss_function", "make_dataset",
    "make_loader", "make_optimizer", "match_peaks", "open_folder", "peak_labels", "peak_scores", "plot_agreement",
    "plot_confusion", "plot_curves", "plot_losses", "plot_prediction", "plot_record_scores", "plot_recording",
    "post_process_peaks_binary", "predict", "predict_recording", "prepare", "push_to_hub", "read_recording",
    "replace_head", "retrain", "reuse_layers", "rr_intervals", "save_checkpoint", "save_model_card",
    "save_training_information", "save_training_information_to_file", "split_people", "state_from_network",
    "stream_step", "synthetic_ecg", "test_on_single_signal", "test_on_test_set", "threshold_curves", "train",
    "train_from_scratch", "training_step", "transfer_hparams", "transformer_encoder_decoder", "transformer_seq2one",
    "transformer_seq2seq", "unfreeze", "valid_mask", "validate_architecture_name", "validate_training_context",
    "value_scores",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        value = globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
        return value
    known = {architecture: entry.factory.__name__ for architecture, entry in ARCHITECTURES.items()}
    hint = f" Did you mean the factory {known[name]!r}?" if name in known else did_you_mean(name, __all__)
    raise AttributeError(f"module 'neurallib' has no attribute {name!r}.{hint}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
