"""The public names: their signatures, which stay, and a docstring for each that says everything of it."""

import builtins
import doctest
import inspect
import re
from typing import Any

import pytest
from documentation import Entry, sections

import neurallib as nl

# Every public function and type, without annotations, or with its fields: what is changed here is changed for users.
SIGNATURES = """
Architecture(factory, weight_shapes, forward, seq2one, sizes, stack, optional, per_layer, implied, new, unwritten,
    file_defaults, complete, unused)
Batch(x, y, lengths)
Network(weights, hparams, forward)
Recording(name, person, signal, sampling_frequency, channels, units, events, source, start_time, notes)
SignalFolder(pieces)
State(architecture, hparams, weights, preprocessing, postprocessing, frozen, training_info)
TrialResult(trial, status, hparams, validation_loss, best_epoch, epochs, n_weights, training_time,
    checkpoints_directory, error)
beats(recording)
augment_channels(*, dropout=0.1, rotation=0)
augment_crop(n_steps)
augment_dropout(sampling_frequency, *, duration=(0.3, 2.5))
augment_hum(sampling_frequency, *, frequencies=(50.0, 60.0), snr=(4.0, 30.0), reference='beats')
augment_lead(turn=(-60.0, 60.0), *, mix=1.0)
augment_motion(sampling_frequency, *, snr=(-6.0, 18.0), reference='beats')
augment_noise(noise=None, *, snr=(-6.0, 18.0), reference='beats', speed=(1.0, 1.0), burst=False)
augment_pacing(sampling_frequency, size=(0.1, 2.0), *, ventricular=(0.02, 0.07), atrial=(0.12, 0.22))
augment_resampling(sampling_frequency, rate)
augment_rhythm(sampling_frequency, factor=(0.4, 2.5), *, irregularity=(0.8, 1.25), kept=0.12)
augment_scale(factor=(0.5, 2.0), *, drift=None, inversion=0.0)
augment_stretch(factor=(0.8, 1.25))
build_network(state, device='cpu')
choose_threshold(curves, *, measure='f1', recall=0.0, specificity=0.0, precision=0.0)
class_scores(true, found, *, people=None, names=None, n_bootstrap=1000, seed=42, threshold=0.5)
collate_fn(items)
compare_recordings(a, b, *, n_resamples=10000, seed=42)
compose_augmentations(*parts)
confusion_matrix(state, data, *, batch_size=32, gpu_id=None, enable_progress_bar=False, sampling_frequency=None,
    channels=None, units=None, threshold=0.5)
configure_device(gpu_id=None)
create_checkpoints_directory(state, retraining, results_directory=None)
cross_validate(state, data, people, *, folds=5, epochs, batch_size, val=0.15, labels=None, seed=42, gpu_id=None,
    enable_progress_bar=True, **training_options)
denoise_recording(state, recording, *, channels=None, average_beats=None, gpu_id=None, enable_progress_bar=False)
evaluate(state, data, *, batch_size=32, gpu_id=None, memory_budget=134217728, enable_progress_bar=False,
    sampling_frequency=None, channels=None, units=None, threshold=0.5)
denoising_scores(clean, noisy, denoised, *, peaks=None, sampling_frequency=None, tolerance=0.15)
evaluate_recordings(model, recordings, *, task=None, target=None, tolerance=0.15,
    tolerances=(0.025, 0.05, 0.075, 0.1, 0.125, 0.15), skip_start=0.0, skip_flutter=True, skip_gaps=True, skip=None,
    names=None, interval_options=None, n_bootstrap=1000, seed=42, gpu_id=None, enable_progress_bar=False)
find_events(output, sampling_frequency, *, threshold=0.5, min_distance=0.2, smoothing=0.0, delay=0.0)
find_intervals(output, sampling_frequency=None, *, threshold=0.5, smoothing=0.0, min_duration=0.0, names=None)
find_unfinished(results_directory=None)
find_r_peaks(state, recording, *, threshold=None, min_distance=None, smoothing=None, snap=None, polarity='auto',
    doubt=None, channel=None, gpu_id=None, enable_progress_bar=False)
event_target(recording, *, symbols=None, width=0.0, shape='window')
export_onnx(state, path, *, stateful=False, int8=False, signals=None)
flip_valid(x, lengths)
freeze(state, patterns)
freezing_plan(target, reuse_n_layers, strategy, depth=None)
get_hparams_from_checkpoints(checkpoints_directory)
get_hparams_from_hugging(hugging_face_model)
get_weights_and_info_from_checkpoints(prev_checkpoints_dir)
get_weights_and_info_from_hugging(hugging_face_model, local_dir=None)
grid_search(architecture, hparams_options, train_params, *, executor=None, on_error='skip', threads_per_trial=None,
    enable_progress_bar=True)
gru_encoder_decoder(*, n_features, enc_hid_dim, dec_hid_dim, enc_layers=1, dec_layers=1, dropout=0.0,
    learning_rate=0.003, bidirectional=False, fc_out_bool=True, n_outputs=None, model_name='GRUED', fold=1,
    steps=None, seed=42)
gru_seq2one(*, n_features, hid_dim, n_layers, dropout=0.0, learning_rate=0.003, bidirectional=False,
    bidir_per_layer=None, task='classification', num_classes=1, multi_label=False, fc_out_bool=True, n_outputs=None,
    pooling='final', model_name='GRUseq2one', fold=1, steps=None, seed=42)
gru_seq2seq(*, n_features, hid_dim, n_layers, dropout=0.0, learning_rate=0.003, bidirectional=False,
    bidir_per_layer=None, task='classification', num_classes=1, multi_label=False, fc_out_bool=True, n_outputs=None,
    model_name='GRUseq2seq', fold=1, steps=None, residual=False, seed=42)
interval_scores(true, found, *, names=None, sampling_frequency=None, duration=None, iou=None, tolerance=None,
    min_distance=0.0, max_duration=None)
interval_target(recording, classes, *, background=None, binary=False)
label_target(recording, classes, *, least=0.5, background=None, binary=False)
list_architectures()
list_pretrained()
list_production_models(
    collection='novabiosignals/neurallib-deep-learning-models-for-biosignals-processing-6813ee129bc1bba8210b6948')
list_recordings(directory)
load_checkpoint(directory, *, task=None, multi_label=False)
load_pretrained(name)
load_from_hub(repo_id, *, revision=None, token=None, local_dir=None)
loss_function(state)
make_dataset(recordings, directory, *, target, window=None, overlap=0.0, each_window=False, sampling_frequency=None,
    channels=None, units=None, val=None, test=None, person=None, seed=42, read_options=None, n_workers=1,
    enable_progress_bar=True)
make_loader(data, *, batch_size, shuffle=False, bucketing=False, seed=42, rank=0, world_size=1)
make_optimizer(network, hparams, *, layer_learning_rates=None, fused=True, optimizer='adam', schedule='step',
    n_steps=None)
match_peaks(true, found, tolerance)
open_folder(path_x, path_y, part, *, all_samples=True, samples=None, window_size=None, overlap=0.0)
peak_labels(peaks, n_steps, half_width=0)
peak_scores(true, found, *, sampling_frequency, tolerance=0.15)
plot_agreement(result, *, path=None)
plot_confusion(table, *, names=None, path=None)
plot_curves(curves, *, threshold=None, path=None)
plot_losses(train_losses, val_losses, path=None, *, history=None)
plot_prediction(signal, prediction=None, *, sampling_frequency=None, true_peaks=None, found_peaks=None, threshold=0.5,
    title=None, signal_label='signal', prediction_label='probability', output_names=None, target=None, path=None)
plot_record_scores(result, *, measure=None, path=None)
plot_recording(recording, output=None, *, true=None, found=None, start=0.0, stop=None, seconds_per_row=30.0,
    names=None, target=None, path=None)
post_process_peaks_binary(output, threshold=0.5, filter_peaks=False, min_distance=40)
predict(state, signals, *, batch_size=32, output='probabilities', gpu_id=None, enable_progress_bar=False,
    sampling_frequency=None, channels=None, units=None)
init_stream(state, *, batch_size=1, look_ahead=None, sampling_frequency=None, channels=None, units=None)
iter_predict(state, signals, *, batch_size=32, output='probabilities', gpu_id=None, sampling_frequency=None,
    channels=None, units=None)
predict_recording(state, recording, *, window=None, overlap=None, output='probabilities', path=None, gpu_id=None,
    enable_progress_bar=False)
prepare(state, data, name='data', *, memory_budget=1073741824, enable_progress_bar=False)
push_to_hub(state_or_directory, repo_id, *, token=None, private=True, revision=None, commit_message=None, license=None,
    datasets=None, base_model=None, description=None)
read_recording(path, *, channels=None, start=0.0, stop=None, sampling_frequency=None, units=None, annotator=None,
    time=None, labels=None, lazy=None)
retrain(state, path_x, path_y, patience=10, batch_size=8, epochs=100, gpu_id=None, all_samples=False, samples=None,
    dataset_name=None, trained_for=None, classification=None, enable_tensorboard=False, checkpoints_directory=None,
    hugging_face_model=None, window_size=None, overlap=0.0, *, seed=42, normalization='auto',
    target_normalization='auto', sampling_frequency=None, channels=None, units=None, outputs=None, class_weight=None,
    sample_weight=None, loss=None, metrics=None, monitor='loss', optimizer='adam', schedule='cosine', augment=None,
    layer_learning_rates=None, bucketing=False, memory_budget=1073741824, results_directory=None, resume=False,
    checkpoint_every=None, enable_progress_bar=True, dry_run=False, callbacks=(), loggers=(), devices=None,
    num_nodes=1, strategy='auto', **trainer_options)
replace_head(state, *, task=None, num_classes=None, multi_label=None, n_outputs=None, seed=42)
reuse_layers(target, source, layers)
rr_intervals(peaks, sampling_frequency, *, gaps=None, max_gap=None)
save_checkpoint(state, directory)
save_model_card(state, directory, *, metrics=None, measured_on=None, intervals=None, limits=None, license=None,
    datasets=None, base_model=None, description=None)
save_training_information(state, trainer, optimizer, train_dataset_name, trained_for, val_loss, total_training_time,
    gpu_model, retraining, prev_training_history=None, **more)
save_training_information_to_file(state, directory)
split_people(recordings, *, person=None, val=None, test=None, folds=None, labels=None, seed=42)
state_from_network(state, network)
stream_step(network, chunk, carry)
synthetic_ecg(*, duration, sampling_frequency, seed, heart_rate=60.0, heart_rate_std=3.0, lf_hf_ratio=0.5,
    ectopic_fraction=0.0, amplitude=1.1, amplitude_variation=0.05, morphology_variation=0.1, baseline_wander=0.1,
    muscle_noise=0.02, mains_hum=0.01, mains_frequency=50.0)
test_on_single_signal(state, X, checkpoints_dir=None, gpu_id=None, post_process_fn=None, sampling_frequency=None,
    channels=None, units=None)
test_on_test_set(state, path_x, path_y, all_samples=True, samples=None, checkpoints_dir=None, gpu_id=None,
    save_predictions=False, post_process_fn=None, batch_size=32, enable_progress_bar=False, sampling_frequency=None,
    channels=None, units=None)
threshold_curves(state, data, *, batch_size=32, gpu_id=None, enable_progress_bar=False, sampling_frequency=None,
    channels=None, units=None)
train(state, train_data, val_data, *, epochs, batch_size, patience=None, seed=42, gpu_id=None, normalization='auto',
    target_normalization='auto', sampling_frequency=None, channels=None, units=None, outputs=None, class_weight=None,
    sample_weight=None, loss=None, metrics=None, monitor='loss', optimizer='adam', schedule='cosine', augment=None,
    layer_learning_rates=None, bucketing=False, memory_budget=1073741824, save=False, results_directory=None,
    resume=False, checkpoint_every=None,
    dataset_name=None, trained_for=None, enable_tensorboard=False, enable_progress_bar=True, dry_run=False,
    callbacks=(), loggers=(), devices=None, num_nodes=1, strategy='auto', **trainer_options)
train_from_scratch(state, path_x, path_y, patience=10, batch_size=8, epochs=100, gpu_id=None, all_samples=False,
    samples=None, dataset_name=None, trained_for=None, classification=None, enable_tensorboard=False, window_size=None,
    overlap=0.0, *, seed=42, normalization='auto', target_normalization='auto', sampling_frequency=None, channels=None,
    units=None, outputs=None, class_weight=None, sample_weight=None, loss=None, metrics=None, monitor='loss',
    optimizer='adam', schedule='cosine', augment=None, layer_learning_rates=None, bucketing=False,
    memory_budget=1073741824, results_directory=None, resume=False, checkpoint_every=None, enable_progress_bar=True,
    dry_run=False, callbacks=(), loggers=(), devices=None, num_nodes=1, strategy='auto', **trainer_options)
training_step(network, batch, loss)
transfer_hparams(source, reuse_n_layers=None, extra_hid_dims=(), *, architecture=None, bidir_per_layer=None,
    dropout=0.0, task='classification', num_classes=1, multi_label=False, fc_out_bool=True, learning_rate=0.001,
    model_name=None, **more)
transformer_encoder_decoder(*, n_features, d_model, nhead, num_encoder_layers=1, num_decoder_layers=1, dim_feedforward,
    dropout=0.0, learning_rate=0.001, n_outputs=None, model_name='TransformerED', fold=1, steps=None, seed=42)
transformer_seq2one(*, n_features, d_model, nhead, num_encoder_layers=1, dim_feedforward, dropout=0.0,
    learning_rate=0.001, num_classes=1, task='classification', multi_label=False, n_outputs=None,
    model_name='Transformerseq2one', fold=1, steps=None, seed=42)
transformer_seq2seq(*, n_features, d_model, nhead, num_encoder_layers=1, num_decoder_layers=1, dim_feedforward,
    dropout=0.0, learning_rate=0.001, task='regression', num_classes=1, multi_label=False, n_outputs=None,
    model_name='Transformerseq2seq', fold=1, steps=None, seed=42)
unfreeze(state, patterns='*')
valid_mask(lengths, n_steps)
validate_architecture_name(name)
validate_training_context(retraining, checkpoints_directory, hugging_face_model)
value_scores(true, found, *, people=None, names=None, n_bootstrap=1000, seed=42)
"""
PINNED = {row.partition("(")[0]: row for row in re.split(r"\n(?! )", SIGNATURES.strip())}
VALUES = {"__version__", "ARCHITECTURES"}  # of the public names the ones that are neither
RAISES_NOTHING = {"list_architectures", "list_pretrained"}  # which take nothing
RAISES_NOTHING |= {"flip_valid", "valid_mask"}  # in the compiled forward pass, where nothing can be looked at
NEEDS_THE_HUB = {
    "get_hparams_from_hugging", "get_weights_and_info_from_hugging", "list_production_models", "load_from_hub",
    "push_to_hub",
}  # fmt: skip
ELSEWHERE = re.compile(r"\b(as for|as in|those of|same as) `(?!state`)|^as `", re.IGNORECASE)
FUNCTIONS = [name for name in PINNED if not isinstance(getattr(nl, name), type)]


def fields_of(thing: Any) -> list[str]:
    """The names that a TypedDict or NamedTuple declares; none of any other type, and of a function."""
    return list(thing.__annotations__) if isinstance(thing, type) else []


def signature(thing: Any) -> str:
    """What the table says of a function or type."""
    if fields := fields_of(thing):
        return f"({', '.join(fields)})"
    given = inspect.signature(thing).parameters.values()
    return str(inspect.Signature([parameter.replace(annotation=inspect.Parameter.empty) for parameter in given]))


def of_its_own(section: list[Entry]) -> bool:
    """Whether every entry has a text that does not send the reader to another docstring instead."""
    return bool(section) and all(entry.text and not ELSEWHERE.search(entry.text) for entry in section)


def test_every_public_name_is_pinned() -> None:
    assert set(PINNED) == set(nl.__all__) - VALUES


@pytest.mark.parametrize("name", PINNED)
def test_public_signatures_stay(name: str) -> None:
    assert name + signature(getattr(nl, name)).replace(" ", "") == re.sub(r"\s", "", PINNED[name])


@pytest.mark.parametrize("name", [name for name in nl.__all__ if name != "__version__"])
def test_everything_public_is_there_and_says_what_it_does(name: str) -> None:
    assert inspect.getdoc(getattr(nl, name))


@pytest.mark.parametrize("name", PINNED)
def test_help_tells_of_each_parameter_in_order_and_of_no_other(name: str) -> None:
    thing, found = getattr(nl, name), sections(getattr(nl, name))
    if fields := fields_of(thing):
        parameters, documented = dict.fromkeys(fields, inspect.Parameter.empty), found.get("Attributes", [])
    else:
        stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
        given = inspect.signature(thing).parameters.values()
        parameters = {stars.get(parameter.kind, "") + parameter.name: parameter.default for parameter in given}
        documented = found.get("Parameters", [])
    assert [each for entry in documented for each in entry.names] == list(parameters)
    assert not parameters or of_its_own(documented)
    for entry in documented:
        assert entry.kind or entry.names[0].startswith("*"), f"{entry.names} has no type"
        if any(parameters[each] is None for each in entry.names):
            assert re.search(r"optional|None", entry.kind), f"{entry.names} may be left out"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_help_tells_what_is_returned(name: str) -> None:
    returned = sections(getattr(nl, name)).get("Returns", [])
    nothing = getattr(nl, name).__annotations__["return"] == "None"
    assert not returned if nothing else of_its_own(returned)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_help_tells_which_errors_are_raised_and_when(name: str) -> None:
    raised = sections(getattr(nl, name)).get("Raises", [])
    if name in RAISES_NOTHING:
        assert not raised
        return
    assert of_its_own(raised)
    for error in (each for entry in raised for each in entry.names):
        assert issubclass(getattr(builtins, error), Exception)


@pytest.mark.parametrize("name", PINNED)
def test_help_has_an_example_that_runs(name: str) -> None:
    examples = doctest.DocTestParser().get_examples(inspect.getdoc(getattr(nl, name)) or "")
    shown = [example for example in examples if re.search(rf"\bnl\.{name}\b", example.source)]
    assert shown
    assert all(example.options.get(doctest.SKIP, False) == (name in NEEDS_THE_HUB) for example in shown)
