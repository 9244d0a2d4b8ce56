"""Wrong inputs get one clear error that names the argument, what came and what was expected."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import neurallib as nl

STATE = nl.gru_seq2seq(n_features=1, hid_dim=3, n_layers=1)
CLASSES = nl.gru_seq2one(n_features=2, hid_dim=3, n_layers=1, num_classes=3)
X, Y = np.zeros((9, 1), np.float32), np.zeros((9, 1), np.float32)
PAIRS = [(X, Y)] * 2
MASKED = np.ma.masked_array(np.arange(9)[:, None], mask=np.arange(9)[:, None] == 4)  # of whole numbers
LENGTHS = torch.tensor([9, 5])
LOGITS = torch.zeros(2, 9, 1)


def train(**options: Any) -> nl.State:
    return nl.train(STATE, PAIRS, PAIRS, **({"epochs": 1, "batch_size": 2, "enable_progress_bar": False} | options))


def network(x: Any, lengths: Any = None) -> Any:
    return nl.build_network(STATE)(x, lengths)


def loss(y: Any, lengths: Any = LENGTHS) -> Any:
    return nl.loss_function(STATE)(LOGITS, y, lengths)


def class_loss(y: list[float]) -> Any:
    return nl.loss_function(CLASSES)(torch.zeros(2, 3), torch.tensor(y), LENGTHS)


def step(batch: Any) -> Any:
    return nl.training_step(nl.build_network(STATE), batch, nl.loss_function(STATE))


def recording(signal: Any = X, **said: Any) -> dict[str, Any]:
    return {"name": "a", "signal": signal, "sampling_frequency": 100.0, **said}


def peaks(given: Any) -> Any:
    return nl.find_r_peaks(STATE, given)


def answer(given: Any) -> Any:
    return nl.predict_recording(STATE, given)


def picture(given: Any) -> Any:
    return nl.plot_recording(given, path="a.png")


def dataset(given: Any) -> Any:
    return nl.make_dataset([given], "data", target=nl.event_target, val=0, test=0)


TWO = np.zeros((9, 2), np.float32)
LEADS = {"channels": ["I", "II"]}

WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "single signal as a path": (lambda: nl.test_on_single_signal(STATE, "a.npy"), "X is a path or text, .a.npy"),
    "single signal as a dict": (lambda: nl.test_on_single_signal(STATE, {}), "X is a dict; expected an array"),
    "prediction of a path": (lambda: nl.plot_prediction("a.npy"), "signal holds <U5; expected an array of numbers"),
    "classes of one recording": (lambda: nl.class_scores([0, 1], [0, 1]), r"\(\); expected \[T\]: of a single"),
    "several labels": (lambda: nl.class_scores([TWO], [TWO]), r"\(9, 2\); expected \[T\]: of several labels one"),
    "factory(hidden)": (
        lambda: nl.gru_seq2seq(n_features=1, hidden=3, n_layers=1),  # type: ignore[call-arg]
        "'hidden'. Did you mean 'hid_dim'",
    ),
    "factory(sed)": (
        lambda: nl.transformer_seq2one(n_features=1, d_model=4, nhead=2, dim_feedforward=4, sed=1),  # type: ignore
        "'sed'. Did you mean 'seed'",
    ),
    "evaluate(batchsize)": (lambda: nl.evaluate(STATE, PAIRS, batchsize=1), "Did you mean 'batch_size'"),
    "predict(outputs)": (lambda: nl.predict(STATE, [X], outputs="logits"), "Did you mean 'output'"),
    "ecg(duraton)": (lambda: nl.synthetic_ecg(duraton=1, sampling_frequency=100), "Did you mean 'duration'"),
    "model_name with a null": (
        lambda: nl.create_checkpoints_directory({**STATE, "hparams": STATE["hparams"] | {"model_name": "a\0"}}, False),
        "model_name=.a"
    ),
    "class_weight of words": (lambda: train(class_weight=["a"]), r"class_weight=\['a'\]; expected 1 finite weights"),
    "class_weight=True": (lambda: train(class_weight=True), "class_weight=True; expected 1 finite"),
    "rates in a list": (lambda: train(layer_learning_rates=[0.1]), "layer_learning_rates is a list; expected rates by"),
    "a rate below 0": (lambda: train(layer_learning_rates={"fc_out": -0.1}), "learning rate=-0.1; expected"),
    "bucketing='yes'": (lambda: train(bucketing="yes"), "bucketing='yes' is a str; expected True or False"),
    "a bar by number": (lambda: nl.predict(STATE, [X], enable_progress_bar=1), "bar=1 is a int"),  # type: ignore
    "preparing with a bar by number": (
        lambda: nl.prepare(STATE, PAIRS, enable_progress_bar=1),  # type: ignore[arg-type]
        "enable_progress_bar=1 is a int",
    ),
    "a directory for all_samples": (
        lambda: nl.test_on_test_set(STATE, "x", "y", "run"),  # type: ignore[arg-type]
        "all_samples='run' is a str",
    ),
    "all_samples='no' to train": (
        lambda: nl.train_from_scratch(STATE, "x", "y", all_samples="no"),  # type: ignore[arg-type]
        "all_samples='no' is a str",
    ),
    "classification='yes'": (
        lambda: nl.train_from_scratch(STATE, "x", "y", classification="yes"),  # type: ignore[arg-type]
        "classification='yes' is a str",
    ),
    "save_predictions='dir'": (
        lambda: nl.test_on_test_set(STATE, "x", "y", save_predictions="dir"),  # type: ignore[arg-type]
        "save_predictions='dir' is a str",
    ),
    "a directory for retraining": (
        lambda: nl.create_checkpoints_directory(STATE, "results"),  # type: ignore[arg-type]
        "retraining='results' is a str",
    ),
    "a directory to be validated": (
        lambda: nl.validate_training_context("run", None, None),  # type: ignore[arg-type]
        "retraining='run' is a str",
    ),
    "retraining='no' on record": (
        lambda: nl.save_training_information(STATE, None, "Adam", "d", "t", 0.1, 1.0, None, "no"),  # type: ignore
        "retraining='no' is a str",
    ),
    "private='no'": (lambda: nl.push_to_hub(STATE, "a/b", private="no"), "private='no' is a str"),  # type: ignore
    "fused='no'": (
        lambda: nl.make_optimizer(nl.build_network(STATE), STATE["hparams"], fused="no"),  # type: ignore[arg-type]
        "fused='no' is a str",
    ),
    "burst=1": (lambda: nl.augment_noise(burst=1), "burst=1 is a int"),  # type: ignore[arg-type]
    "skip_gaps='no'": (lambda: nl.evaluate_recordings(STATE, [], skip_gaps="no"), "skip_gaps='no' is"),  # type: ignore
    "skip_flutter=0": (lambda: nl.evaluate_recordings(STATE, [], skip_flutter=0), "skip_flutter=0 is"),  # type: ignore
    "a search's bar": (
        lambda: nl.grid_search("GRUseq2seq", {}, {}, enable_progress_bar="no"),  # type: ignore[arg-type]
        "enable_progress_bar='no' is a str",
    ),
    "save='dir'": (lambda: train(save="dir"), "save='dir' is a str"),
    "dry_run='no'": (lambda: train(dry_run="no"), "dry_run='no' is a str"),
    "callbacks=3": (lambda: train(callbacks=3), "callbacks is a int; expected a list"),
    "callbacks=[print]": (lambda: train(callbacks=[print]), "callbacks holds .*print.*Callback"),
    "dataset_name=3": (lambda: train(dataset_name=3), "dataset_name=3 is a int; expected a string"),
    "results_directory=3": (lambda: train(results_directory=3), "results_directory=3 is a int; expected a path"),
    "a masked signal": (lambda: nl.predict(STATE, [MASKED]), r"signals\[0\] holds nan at \[4, 0\]; expected finite"),
    "a masked signal alone": (lambda: nl.test_on_single_signal(STATE, MASKED), r"holds nan at \[4, 0\]"),
    "a masked signal to train on": (
        lambda: nl.train(STATE, [(MASKED.astype(np.float32), Y)] * 2, PAIRS, epochs=1, batch_size=2),
        r"x of train_data\[0\] holds nan at \[4, 0\]",
    ),
    "a masked piece of a stream": (
        lambda: nl.stream_step(nl.build_network(STATE).eval(), MASKED, nl.init_stream(STATE)),
        r"chunk holds nan at \[4, 0\]",
    ),
    "network of an array": (lambda: network(X[None]), "x is a ndarray; expected a tensor"),
    "network of None": (lambda: network(None), "x is a NoneType; expected a tensor"),
    "network of float64": (lambda: network(LOGITS.double(), LENGTHS), "float64.*expected.*float32"),
    "network of int64": (lambda: network(LOGITS.long(), LENGTHS), "int64.*expected.*float32"),
    "network, float lengths": (lambda: network(LOGITS, LENGTHS.float()), "float32.*int64"),
    "network, a text for lengths": (lambda: network(LOGITS, "a"), "lengths"),
    "collate_fn of text": (lambda: nl.collate_fn("ab"), "items is a str; expected a list of pairs"),  # type: ignore
    "collate_fn of None": (lambda: nl.collate_fn(None), "items is a NoneType"),  # type: ignore[arg-type]
    "collate_fn of signals": (lambda: nl.collate_fn([X, X]), r"items\[0\] is a ndarray"),  # type: ignore
    "collate_fn, targets differ": (
        lambda: nl.collate_fn([(X, np.zeros(2)), (X, np.zeros(3))]),
        r"targets have shapes \[\(2,\), \(3,\)\]",
    ),
    "collate_fn, features differ": (lambda: nl.collate_fn([(X, Y), (np.zeros((9, 2)), Y)]), r"\(9, 2\)\].*same C"),
    "collate_fn, no step": (lambda: nl.collate_fn([(X[:0], Y[:0])]), "at least one step"),
    "make_loader(shuffle='no')": (
        lambda: nl.make_loader(nl.prepare(STATE, PAIRS), batch_size=1, shuffle="no"),  # type: ignore[arg-type]
        "shuffle='no' is a str",
    ),
    "loss of None": (lambda: loss(None), "y is a NoneType; expected a Tensor"),
    "loss of an array": (lambda: loss(np.zeros((2, 9, 1))), "y is a ndarray; expected a Tensor"),
    "loss of a percentage": (lambda: loss(LOGITS + 50), "y of the batch holds the label 50; binary .* from 0 to 1, "),
    "loss of -1 for unknown": (lambda: loss(LOGITS - 1), "holds the label -1; binary .* or nan where it is not known"),
    "loss of a class too many": (lambda: class_loss([0, 3]), "holds the label 3; multiclass .* from 0 to 2, or -1"),
    "loss of half a class": (lambda: class_loss([0.5, 1]), "holds the label 0.5; multiclass"),
    "loss, a text for lengths": (lambda: loss(LOGITS, "a"), "lengths='a'; expected a whole number for each signal"),
    "loss, one length": (lambda: loss(LOGITS, torch.tensor([9])), "one length for each of 2 signals"),
    "training_step of a part": (lambda: step({"x": LOGITS}), "batch is 'x'; expected x, y and lengths"),
    "training_step of a tuple": (lambda: step((LOGITS, LOGITS)), "batch is a tuple; expected x, y and lengths"),
    "a network on a device that is not there": (
        lambda: nl.build_network(STATE, "xpu:99"),
        "device='xpu:99' cannot be used on this machine",
    ),
    "a stream through a network in float64": (
        lambda: nl.stream_step(nl.build_network(STATE).double().eval(), X, nl.init_stream(STATE)),
        r"float64; a stream .* network\.float\(\)",
    ),
    "overlap without windows": (
        lambda: nl.train_from_scratch(STATE, "x", "y", overlap=0.5, dataset_name="d", trained_for="t"),
        "overlap=0.5 is of windows: give window_size",
    ),
    "overlap of a data set without windows": (
        lambda: nl.make_dataset([recording()], "data", target=nl.event_target, overlap=0.5, val=0, test=0),
        "overlap=0.5 is of windows: give window,",
    ),
    "a path to predict": (lambda: nl.predict(STATE, ["a.npy"]), r"x of signals\[0\] is a path or text"),
    "a path alone": (lambda: nl.test_on_single_signal(STATE, "a.npy"), "^X is a path or text"),  # type: ignore
    "recordings to predict": (lambda: nl.predict(STATE, [recording()]), "is a dict; .* predict_recording takes a rec"),
    "a recording alone": (lambda: nl.test_on_single_signal(STATE, recording()), "predict_recording"),  # type: ignore
    "three where two are expected": (lambda: nl.evaluate(STATE, [(X, Y, 1)] * 3), r"data\[0\] is a tuple of 3; exp"),
    "a metric of tensors": (
        lambda: train(metrics={"m": lambda outputs, y: (outputs > 0.5).float().mean()}),
        r"the metric 'm', given numpy arrays of shapes \(18, 1\) and \(18, 1\): .*'float'",
    ),
    "a profile in the log": (lambda: train(profiler="simple"), r"SimpleProfiler\(dirpath"),
    "a rate for training": (lambda: train(learning_rate=0.1), r"state\['hparams'\]\['learning_rate'\]"),
    "make_optimizer without a rate": (lambda: nl.make_optimizer(nl.build_network(STATE), {}), "no learning_rate"),
    "make_optimizer of a state": (
        lambda: nl.make_optimizer(STATE, STATE["hparams"]),  # type: ignore[arg-type]
        "network is a dict; expected the Network",
    ),
    "load_from_hub(None)": (lambda: nl.load_from_hub(None), "repo_id=None is a NoneType"),  # type: ignore[arg-type]
    "a page for a repository": (
        lambda: nl.load_from_hub("https://huggingface.co/owner/name"),
        "repo_id='https.*; expected a name on the hub, 'owner/name'. It is 'owner/name'",
    ),
    "a directory for a repository": (lambda: nl.load_from_hub(str(Path.cwd())), "That is a directory: load_checkpoint"),
    "a repository to retrain in a directory": (
        lambda: nl.retrain(None, "x", "y", hugging_face_model=str(Path.cwd())),
        "That is a directory: .*retrain as checkpoints_directory",
    ),
    "a name that no repository can have": (lambda: nl.push_to_hub(STATE, "me/my model"), "repo_id='me/my model'; exp"),
    "a revision by number": (lambda: nl.load_from_hub("a/b", revision=1), "revision=1 is a int"),  # type: ignore
    "a network for a repository": (
        lambda: nl.push_to_hub(nl.build_network(STATE), "a/b"),  # type: ignore[arg-type]
        "state_or_directory is a Network; expected a state: state_from_network",
    ),
    "load_from_hub of what comes along": (lambda: nl.load_from_hub("ecg_r_peaks"), r"load_pretrained\('ecg_r_peaks'\)"),
    "a model's name for a state": (lambda: nl.predict("ecg_r_peaks", [X]), r"load_pretrained\(name\)"),  # type: ignore
    "freezing_plan of text": (lambda: nl.freezing_plan("GRU", 1, "all"), "target is a name or path"),  # type: ignore
    "freezing_plan of None": (lambda: nl.freezing_plan(None, 1, "all"), "target is None"),  # type: ignore[arg-type]
    "event_target of one text": (
        lambda: nl.event_target({"sampling_frequency": 1.0}, symbols="NV"),  # type: ignore[typeddict-item]
        "symbols is one text, 'NV'",
    ),
    "interval_target of one text": (
        lambda: nl.interval_target({}, "NV"),  # type: ignore[typeddict-item]
        "classes is one text, 'NV'",
    ),
    "post_process_fn='peaks'": (
        lambda: nl.test_on_single_signal(STATE, X, post_process_fn="peaks"),  # type: ignore[arg-type]
        "post_process_fn='peaks' is no function",
    ),
    "metrics='f1'": (
        lambda: nl.save_model_card(STATE, ".", metrics="f1", measured_on="d"),  # type: ignore[arg-type]
        "metrics is a str; expected numbers by name",
    ),
    "a recording's path": (lambda: peaks("a.npz"), "a path, 'a.npz'; .* read_recording reads one"),
    "an answer for a path": (lambda: answer(Path("a.npz")), "is a path, 'a.npz'; .* read_recording reads one"),
    "a bare signal": (lambda: peaks(X), r"is a ndarray; expected a recording: {'signal': \[T, C\], 'sampling_freq"),
    "a recording with its numbers in a set": (lambda: peaks(recording({0.0})), r"set; .* np\.array\(signal\)"),
    "a picture of numbers in a set": (lambda: picture(recording({0.0})), r"set; .* np\.array\(signal\)"),
    "a recording of words": (lambda: peaks(recording(np.full((9, 1), "a"))), "holds <U1; expected .* numbers"),
    "a recording of complex numbers": (lambda: answer(recording(X * 1j)), "holds complex64; expected .* numbers"),
    "a recording that lies": (lambda: peaks(recording(X.T)), r"\(1, 9\), more channels than steps; .*signal\.T"),
    "a picture of one that lies": (lambda: picture(recording(X.T)), r"\(1, 9\), more channels.*signal\.T"),
    "an answer for one that lies": (lambda: answer(recording(X.T)), r"\(1, 9\), more channels.*signal\.T"),
    "data of one that lies": (lambda: dataset(recording(X.T)), r"of recording 'a' has shape \(1, 9\).*signal\.T"),
    "one that lies, with names": (lambda: peaks(recording(TWO.T, **LEADS)), r"and channels names 2; .*signal\.T"),
    "names of other channels": (lambda: peaks(recording(TWO, channels=["I"])), r"names 1; expected .* time first\.$"),
    "two leads to one": (lambda: answer({"signal": TWO}), "has 2 channels; expected 1: read_recording picks"),
    "two leads by name": (lambda: answer({"signal": TWO, **LEADS}), "names I, II; .*: hand those in alone"),
    "two rates": (lambda: dataset({"name": "a", "signal": X, "sampling_frequency": [100, 50]}), "one rate: scipy.sig"),
    "a task by its kind": (lambda: nl.gru_seq2seq(n_features=1, hid_dim=3, n_layers=1, task="binary"), "num_classes=1"),
    "a data set of a dict without a rate": (lambda: dataset({"name": "a", "signal": X}), "no sampling_frequency"),
    "a data set of sets": (lambda: dataset(recording({0.0})), r"set; .* np\.array\(signal\)"),
    "events as samples": (lambda: picture(recording(events=[3])), r"of a are a list; .*{'sample': \[n\], 'symbol'"),
    "beats as samples": (lambda: nl.beats(recording(events=np.arange(3))), "of a are a ndarray; expected a dict"),
    "beats that say no symbol": (lambda: nl.beats(recording(events={"sample": [3]})), "1 samples, 0 symbols"),
    "events by other names": (lambda: nl.beats(recording(events={"onset": [3.0], "text": ["N"]})), "have onset, text;"),
    "data that say no symbol": (lambda: dataset(recording(events={"sample": [3]})), "1 samples, 0 symbols"),
    "a unit too many": (lambda: picture(recording(units=["V", "V"])), r"the units of a are \['V', 'V'\]; .* list of 1"),
    "one name for two": (lambda: dataset(recording(TWO, channels="II")), "the channels of a are 'II'; .* list of 2"),
    "recordings to train on": (lambda: nl.evaluate(STATE, [recording()] * 3), "a dict; .* make_dataset makes of a rec"),
    "a folder for a file": (lambda: nl.read_recording("."), "is a folder; .* list_recordings gives those"),
    "a recording to predict": (lambda: nl.predict(STATE, recording()), "predict_recording takes a recording"),
    "a list of numbers": (lambda: nl.predict(STATE, [0.0, 1.0]), r"One signal is an array, such as np\.array"),
    "signals and targets": (
        lambda: nl.train(STATE, [X] * 3, [Y] * 3, epochs=1, batch_size=2),  # type: ignore[list-item]
        r"train_data\[0\] is a ndarray; expected a pair .* zip\(x, y\)",
    ),
    "a long wrong value": (lambda: nl.find_events(X, {"signal": list(range(99))}), "^sampling_frequency is a dict;"),
    "losses by name": (lambda: nl.plot_losses({"a": 1}, [1.0]), "train_losses is a dict; expected one"),  # type: ignore
    "a card nowhere": (lambda: nl.save_model_card(STATE, "nodir"), "nodir.* cannot be written: the folder nodir"),
    "a picture nowhere": (lambda: nl.plot_losses([1.0], [1.0], "no/a.png"), "cannot be written: the folder no "),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_input_is_named_with_what_was_expected(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    call, words = WRONG[what]
    with pytest.raises((TypeError, ValueError, FileNotFoundError), match=words):
        call()
    assert list(tmp_path.iterdir()) == []
