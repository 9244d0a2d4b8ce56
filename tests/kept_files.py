"""Files as a format of the library writes them, small, with what they answer: tests/kept/format_N is read for ever.

    PYTHONPATH=. python tests/kept_files.py tests/kept/format_N     # once, by the version that begins to write format N

format_1, of which no file says a number, is of commit d43e257; original is as the original NeuralLib writes it. A
directory of models holds what `save_checkpoint` or a run wrote but for pictures, and answers.npz: signals x_0, x_1,
targets y_0, y_1, what `predict` gave for them, output_0, output_1, and the loss of `evaluate`.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from published import PEAK_DETECTOR, published

import neurallib as nl

KEPT = Path(__file__).parent / "kept"
NOT_KEPT = ("*.png", "README.md", "lightning_logs")
RATE, QUIET = 50.0, {"enable_progress_bar": False}
TOLD: dict[str, Any] = {"dataset_name": "made up", "trained_for": "a test"}
GRU: dict[str, Any] = {"n_features": 2, "hid_dim": [3, 2], "n_layers": 2}
TRANSFORMER: dict[str, Any] = {"n_features": 2, "d_model": 4, "nhead": 1, "dim_feedforward": 4}
REGRESSION: dict[str, Any] = {"task": "regression", "n_outputs": 1}
STEPS = [{"name": "highpass", "frequency": 1.0}, {"name": "band", "low": 5.0, "high": 15.0, "beside": True}]


def models() -> dict[str, tuple[nl.State, dict[str, Any]]]:
    """Every architecture and all that a state holds beside its weights: how each begins, and how it is trained."""
    classes = {"task": "classification", "num_classes": 3}
    events = nl.gru_seq2seq(**GRU, bidir_per_layer=[True, False], steps=STEPS)
    events["postprocessing"]["events"] = {"threshold": 0.6, "min_distance": 0.1}
    ecg = {"channels": ["MLII", "V5"], "units": "mV", "sampling_frequency": RATE}
    folding = nl.freeze(nl.gru_seq2seq(**GRU, **classes, fold=2), "gru_layers.0")
    return {
        "gru_seq2seq_events_steps": (events, ecg | {"normalization": "zscore"}),
        "gru_seq2seq_fold_frozen": (folding, {"normalization": "dataset", "outputs": ["low", "middle", "high"]}),
        "gru_seq2one": (
            nl.gru_seq2one(**GRU, **REGRESSION, pooling="mean", bidirectional=True),
            {"normalization": "robust", "target_normalization": "dataset", "outputs": ["heart rate (bpm)"]},
        ),
        "gru_encoder_decoder": (
            nl.gru_encoder_decoder(n_features=2, enc_hid_dim=2, dec_hid_dim=3),
            {"normalization": "zscore", "target_normalization": "signal"},
        ),
        "transformer_seq2seq": (
            nl.transformer_seq2seq(**TRANSFORMER, **classes, multi_label=True),
            {"normalization": "minmax", "class_weight": "balanced"},
        ),
        "transformer_seq2one": (
            nl.transformer_seq2one(**TRANSFORMER, num_classes=1), ecg | {"normalization": None, "monitor": "f1"}
        ),
        "transformer_encoder_decoder": (
            nl.transformer_encoder_decoder(**TRANSFORMER, n_outputs=1),
            {"normalization": "dataset", "target_normalization": "dataset"},
        ),
        "gru_seq2seq_residual": (
            nl.gru_seq2seq(**GRU, task="regression", residual=True),
            {"normalization": "zscore", "target_normalization": "signal"},
        ),
        "untrained": (nl.gru_seq2seq(n_features=2, hid_dim=3, n_layers=1), {}),
    }  # fmt: skip


def pairs_of(state: nl.State, n: int, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Signals [T, 2] of about a second, with targets of the state's task."""
    rng, hparams, pairs = np.random.default_rng(seed), state["hparams"], []
    for i in range(n):
        x = (3 * rng.standard_normal((48 + 2 * i, hparams["n_features"])) + 1).astype(np.float32)
        k = hparams.get("n_outputs") or hparams.get("num_classes") or hparams["n_features"]
        y: np.ndarray = x[:, [0] * k]
        if hparams.get("task") == "classification":
            y = (y > np.arange(k)).astype(np.float32)
            if k > 1 and not hparams["multi_label"]:
                y = y.sum(axis=1).astype(np.int64) % k
        pairs.append((x, y[i] if "one" in state["architecture"] else y))
    return pairs


def write_answers(directory: Path) -> None:
    """answers.npz, of the state that is read from the directory."""
    state = nl.load_checkpoint(directory)
    pairs = pairs_of(state, 2, 2)
    signals, targets = zip(*pairs, strict=True)
    sides = {"x": signals, "y": targets, "output": nl.predict(state, signals)}
    named = {f"{side}_{i}": values for side, each in sides.items() for i, values in enumerate(each)}
    np.savez_compressed(directory / "answers.npz", loss=nl.evaluate(state, pairs)["loss"], **named)


def write_models(root: Path) -> None:
    for name, (state, options) in models().items():
        parts = pairs_of(state, 6), pairs_of(state, 4, 1)
        if options:
            state = nl.train(state, *parts, epochs=2, batch_size=3, **TOLD, **options, **QUIET)
        write_answers(nl.save_checkpoint(state, root / name))


def write_run(root: Path, scratch: Path) -> None:
    """A run on folders and its retraining, whose directory is kept with Lightning's checkpoints."""
    state = nl.gru_seq2seq(n_features=1, hid_dim=3, n_layers=1, model_name="kept")
    write_dataset(scratch / "data")
    path_x, path_y = scratch / "data/x", scratch / "data/y"
    options: dict[str, Any] = {"epochs": 2, "batch_size": 4, **TOLD, **QUIET}
    first = nl.train_from_scratch(state, path_x, path_y, normalization="dataset", results_directory=scratch, **options)
    source = first["training_info"]["checkpoints_directory"]
    again = nl.retrain(None, path_x, path_y, checkpoints_directory=source, results_directory=scratch, **options)
    for name, trained in (("run", first), ("retraining", again)):
        made = trained["training_info"]["checkpoints_directory"]
        write_answers(Path(shutil.copytree(made, root / name, ignore=shutil.ignore_patterns(*NOT_KEPT))))


def write_original(root: Path) -> None:
    """What the original writes, with what plain torch gives for it."""
    hparams = PEAK_DETECTOR | {"hid_dim": [3, 2, 2]}
    files, stack = published(hparams, [True] * 3)
    directory = root / "gru_seq2seq"
    directory.mkdir(parents=True)
    for name, content in files.items():
        (directory / name).write_bytes(content)
    x, y = pairs_of(nl.load_checkpoint(directory), 1, 2)[0]
    with torch.no_grad():
        output = stack(torch.from_numpy(x)[None])[0].sigmoid().numpy()
    loss = -np.mean(y * np.log(output) + (1 - y) * np.log(1 - output))
    np.savez_compressed(directory / "answers.npz", x_0=x, y_0=y, output_0=output, loss=loss)


def recordings() -> list[dict[str, Any]]:
    """Of four people, for `make_dataset`."""
    made = []
    for i in range(4):
        signal, peaks = nl.synthetic_ecg(duration=6.0, sampling_frequency=RATE, seed=i)
        events = {"sample": peaks, "symbol": ["N"] * len(peaks), "duration": np.zeros(len(peaks))}
        made.append({
            "name": f"r{i}", "person": f"p{i}", "signal": signal[:, None], "sampling_frequency": RATE,
            "channels": ["MLII"], "units": ["mV"], "events": events, "source": None,
        })  # fmt: skip
    return made


def write_dataset(directory: Path) -> Path:
    target = partial(nl.event_target, width=0.1)
    return nl.make_dataset(recordings(), directory, target=target, window=3.0, seed=1, **QUIET)


def write_stream(root: Path) -> None:
    """The carry of a stream halfway, with the model; what comes then, and the answers to it."""
    state = nl.load_checkpoint(root / "run")
    state["postprocessing"]["events"] = {"threshold": 0.5, "min_distance": 0.2}
    directory = nl.save_checkpoint(state, root / "stream")
    network = nl.build_network(state).eval()
    signal = nl.synthetic_ecg(duration=4.0, sampling_frequency=RATE, seed=7)[0][:, None]
    _, carry = nl.stream_step(network, signal[:90], nl.init_stream(state))
    torch.save(carry, directory / "carry.pt")
    output, carry = nl.stream_step(network, signal[90:], carry)
    found = carry["events"]["found"][0].numpy()
    np.savez_compressed(directory / "answers.npz", chunk=signal[90:], output=output, found=found)


def main(root: Path) -> None:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scratch, made = Path(folder), Path(folder) / "made"
        made.mkdir()
        write_models(made)
        write_run(made, scratch)
        write_stream(made)
        write_dataset(made / "dataset")
        if not (KEPT / "original").is_dir():
            write_original(KEPT / "original")
        for path in made.rglob("*.json"):  # of another machine
            path.write_text(path.read_text().replace(folder, "/elsewhere"))
        shutil.copytree(made, root)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
