"""What fuzz_files.py mutates: whole files of every format that the library reads, and how a user would read each."""

from __future__ import annotations

import csv
import datetime
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from fuzz_runs import read_run, write_run

import neurallib as nl

WEIGHTS = ("model_weights.safetensors", "model_weights.pth", "best.ckpt")  # of which the first that is there is read
COMMIT, REPO = "0123456789abcdef0123456789abcdef01234567", "owner/model"


class Format(NamedTuple):
    """One kind of files, in a folder of its own."""

    write: Callable[[Path], None]
    names: tuple[str, ...]  # of the files that are mutated
    read: Callable[[Path, str], None]  # the folder, and which of them is mutated


def write_arrays(folder: Path) -> None:
    rng = np.random.default_rng(0)
    np.save(folder / "0.npy", rng.standard_normal((50, 2)).astype(np.float32))
    np.save(folder / "large.npy", np.asfortranarray(rng.standard_normal((150_000, 1))))


def read_arrays(folder: Path, name: str) -> None:
    for side in "xy":
        (folder / side / "train").mkdir(parents=True)
        shutil.copy(folder / name, folder / side / "train" / name)
    for window_size in (25, None):
        x, y = nl.open_folder(folder / "x", folder / "y", "train", window_size=window_size)[0]
        _ = float(np.nansum(x)), float(np.nansum(y))  # all of it


def model() -> nl.State:
    state = nl.gru_seq2seq(n_features=1, hid_dim=[4, 3], n_layers=2, bidirectional=True, model_name="Model")
    state["preprocessing"].update(sampling_frequency=360.0, normalization="dataset", x_shift=[0.1], x_scale=[2.0])
    state["postprocessing"].update(outputs=["R-peak"], events={"threshold": 0.5})
    state = nl.save_training_information(state, None, "Adam", "data", "peaks", 0.1, 1.0, None, False, epochs=2)
    return nl.freeze(state, "fc_out")


def write_checkpoint(folder: Path) -> None:
    nl.save_checkpoint(state := model(), folder)
    torch.save({"state_dict": state["weights"], "epoch": 1}, folder / "best.ckpt")


def read_checkpoint(folder: Path, name: str) -> None:
    for other in set(WEIGHTS) - {name} if name in WEIGHTS else ():
        (folder / other).unlink()
    state = nl.load_checkpoint(folder)
    nl.get_hparams_from_checkpoints(folder)
    nl.predict(state, [np.zeros((5, state["hparams"]["n_features"]), np.float32)])


def write_carries(folder: Path) -> None:
    for name, options in CARRIES.items():
        state = streamed(name)
        _, carry = nl.stream_step(nl.build_network(state).eval(), np.ones((30, 1)), nl.init_stream(state, **options))
        torch.save(carry, folder / name)


CARRIES: dict[str, dict[str, Any]] = {"forward.pt": {}, "both.pt": {"look_ahead": 0.05}}


def streamed(name: str) -> nl.State:
    state = nl.gru_seq2seq(n_features=1, hid_dim=[4, 3], n_layers=2, bidirectional=name == "both.pt")
    state["preprocessing"].update(sampling_frequency=100.0, normalization="dataset", x_shift=[0.1], x_scale=[2.0])
    state["postprocessing"].update(events={"threshold": 0.4, "smoothing": 0.05})
    return state


def read_carry(folder: Path, name: str) -> None:
    network = nl.build_network(streamed(name)).eval()
    try:
        carry = torch.load(folder / name, weights_only=True)
    except Exception as error:
        raise ValueError(f"torch does not load {name}") from error
    try:
        for chunk in (np.ones((7, 1)), np.zeros((1, 1)), None):
            _, carry = nl.stream_step(network, chunk, carry)
    except (TypeError, ValueError) as error:
        told = "carry" in str(error) or "has ended" in str(error)
        raise ValueError(f"{name}: {error}" if told else str(error)) from error


def write_records(folder: Path) -> None:
    import wfdb

    ramp = np.stack([np.linspace(-1, 1, 500), np.cos(np.arange(500) / 9)], 1)
    for name, fmt, gain in (("r1", "212", 500), ("s1", "16", 5000), ("s2", "16", 5000), ("r8", "80", 100)):
        wfdb.wrsamp(
            name, fs=100, units=["mV", "mV"], sig_name=["MLII", "V1"], p_signal=ramp, fmt=[fmt] * 2,
            adc_gain=[gain] * 2, baseline=[0, 0], write_dir=str(folder), comments=["71 F"],
        )  # fmt: skip
    wfdb.wrann(
        "r1", "atr", np.array([10, 100, 200, 300, 450]), symbol=["+", "N", "V", "~", "/"],
        aux_note=["(N", "", "", "", ""], write_dir=str(folder),
    )  # fmt: skip
    (folder / "v_layout.hea").write_text("v_layout 2 100 0\n~ 0 200 16 0 0 0 0 MLII\n~ 0 200 16 0 0 0 0 V1\n")
    (folder / "m1.hea").write_text("m1/2 2 100 1000\ns1 500\ns2 500\n")
    (folder / "v1.hea").write_text("v1/4 2 100 1100\nv_layout 0\ns1 500\n~ 100\ns2 500\n")


def read_record(folder: Path, name: str) -> None:
    stem = name.rpartition(".")[0]
    read_one(folder / {"s1": "v1", "v_layout": "v1"}.get(stem, stem))


def read_one(path: Path, **options: Any) -> None:
    """A recording and a part of it; and of one that is long no more than that part."""
    nl.list_recordings(path.parent)
    for more in ({}, {"channels": [0], "start": 0.5, "stop": 1.5, "lazy": True}):
        signal = nl.read_recording(path, **options, **more)["signal"]
        np.nansum(np.asarray(signal[: 1 << 16]))


def write_edf(folder: Path) -> None:
    import edfio

    values = np.sin(np.arange(500) / 15)
    for name, kind, one in (("n.edf", edfio.Edf, edfio.EdfSignal), ("b.bdf", edfio.Bdf, edfio.BdfSignal)):
        signals = [one(values, 100, label=label, physical_dimension="mV") for label in ("ECG", "Resp")]
        told = [edfio.EdfAnnotation(1, 0.5, "apnea"), edfio.EdfAnnotation(2.25, None, "lights off")]
        kind(
            signals, data_record_duration=1, annotations=told, patient=edfio.Patient(code="X1", sex="F"),
            recording=edfio.Recording(startdate=datetime.date(2002, 3, 5)), starttime=datetime.time(22, 15, 3),
        ).write(folder / name)  # fmt: skip
    content = (folder / "n.edf").read_bytes().replace(b"EDF+C", b"EDF+D")
    later = content.replace(b"+3\x14\x14", b"+7\x14\x14").replace(b"+4\x14\x14", b"+8\x14\x14")
    (folder / "gaps.edf").write_bytes(later)
    edfio.Edf([edfio.EdfSignal(values, 100, label="ECG")], data_record_duration=1).write(folder / "plain.edf")
    edfio.Edf([], annotations=[edfio.EdfAnnotation(0, 2, "Sleep stage W")]).write(folder / "stages.edf")


def read_edf(folder: Path, name: str) -> None:
    if name == "stages.edf":
        read_one(folder / "plain.edf", annotator=folder / name)
    else:
        read_one(folder / name)


def write_tables(folder: Path) -> None:
    rng = np.random.default_rng(0)
    values, times = rng.standard_normal((200, 2)).round(3), np.arange(200) / 100
    rows = [[f"{time:.2f}", *row, "rest" if time < 1 else "move"] for time, row in zip(times, values, strict=True)]
    for name, separator in (("clock.csv", ","), ("clock.txt", "\t")):
        with open(folder / name, "w", newline="") as file:
            csv.writer(file, delimiter=separator).writerows([["time", "left (mV)", "right (mV)", "label"], *rows])
    moments = [f"2020-01-01T10:00:{time:06.3f}" for time in times]
    lines = [f"{at};{str(a).replace('.', ',')};{b}" for at, (a, b) in zip(moments, values, strict=True)]
    (folder / "dates.csv").write_text("\n".join(["timestamp;a;b", *lines]))
    np.savetxt(folder / "bare.txt", values)
    np.save(folder / "signal.npy", values)
    beats: dict[str, Any] = {"sample": np.array([10, 50]), "symbol": np.array(["N", "V"]), "duration": np.zeros(2)}
    np.savez(
        folder / "night.npz", signal=values, sampling_frequency=100.0, channels=np.array(["a", "b"]), person="p1",
        units=np.array(["mV", "mV"]), start_time="2020-01-01T10:00:00", **beats,
    )  # fmt: skip


def read_table(folder: Path, name: str) -> None:
    options: dict[str, Any] = {"labels": "label"} if name.startswith("clock") else {}
    if name in ("bare.txt", "signal.npy"):
        options = {"sampling_frequency": 100.0}
    read_one(folder / name, **options)


def write_dataset(folder: Path) -> None:
    nl.make_dataset(recordings(), folder / "made", target=nl.event_target, enable_progress_bar=False)


def recordings() -> list[nl.Recording]:
    made = []
    for name in "abc":
        signal, peaks = nl.synthetic_ecg(duration=3, sampling_frequency=100, seed=ord(name))
        events: Any = {"sample": peaks, "symbol": ["N"] * len(peaks), "duration": np.zeros(len(peaks))}
        made.append(
            nl.Recording(
                name=name, person=name, signal=signal[:, None], sampling_frequency=100.0, channels=["II"], units=["mV"],
                events=events, source=None, start_time=None, notes=[],
            )  # fmt: skip
        )
    return made


def read_dataset(folder: Path, name: str) -> None:
    state = nl.gru_seq2seq(n_features=1, hid_dim=2, n_layers=1)
    nl.train_from_scratch(state, folder / "made/x", folder / "made/y", dry_run=True, enable_progress_bar=False)
    nl.make_dataset(recordings(), folder / "made", target=nl.event_target, enable_progress_bar=False)


def write_search(folder: Path) -> None:
    for side in "xy":
        for part in ("train", "val"):
            (folder / side / part).mkdir(parents=True)
            np.save(folder / side / part / "0.npy", np.ones((20, 1), np.float32))
    for hid_dim in (2, 1):
        search(folder, hid_dim)
    records = sorted(folder.glob("results/GRUseq2seq/grid_search/*.json"), key=lambda path: path.stat().st_mtime_ns)
    records[0].rename(records[0].with_name("earlier.json"))


def search(folder: Path, hid_dim: int) -> None:
    nl.grid_search(
        "GRUseq2seq", {"n_features": 1, "hid_dim": hid_dim, "n_layers": 1},
        {"path_x": str(folder / "x"), "path_y": str(folder / "y"), "epochs": 1, "dataset_name": "ones",
         "trained_for": "nothing", "normalization": None, "results_directory": str(folder / "results")},
        enable_progress_bar=False,
    )  # fmt: skip


def read_search(folder: Path, name: str) -> None:
    search(folder, 1)


def write_hub(folder: Path) -> None:
    """A cache and a local directory of huggingface_hub, as it leaves them; it runs in offline mode."""
    repository, local = folder / "hub/models--owner--model", folder / "local"
    notes = local / ".cache/huggingface/download"
    for path in (repository / "refs", notes):
        path.mkdir(parents=True)
    (repository / "refs/main").write_text(COMMIT)
    for directory in (repository / "snapshots" / COMMIT, local):
        nl.save_checkpoint(model(), directory)
    for path in list(local.glob("*.*")):
        (notes / f"{path.name}.metadata").write_text(f"{COMMIT}\n{'0' * 40}\n1700000000.0\n")
    (local / ".cache/huggingface/revisions.json").write_text(f'{{"{REPO}@main": "{COMMIT}"}}\n')


def read_hub(folder: Path, name: str) -> None:
    nl.load_from_hub(REPO, **({"local_dir": folder / "local"} if name.startswith("local") else {}))


def offline(folder: Path) -> None:
    """Settle where huggingface_hub looks, before anything imports it."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(folder / "hub/hub"), "HF_HUB_DISABLE_TELEMETRY": "1"}


FORMATS = {
    "arrays": Format(write_arrays, ("0.npy", "large.npy"), read_arrays),
    "checkpoint": Format(
        write_checkpoint, (*WEIGHTS, "hparams.yaml", "training_info.json", "preprocessing.json"), read_checkpoint
    ),
    "run": Format(write_run, ("run/run.json", "run/last.ckpt", "run/training_info.json"), read_run),
    "carry": Format(write_carries, tuple(CARRIES), read_carry),
    "wfdb": Format(
        write_records, ("r1.hea", "r1.dat", "r1.atr", "r8.hea", "m1.hea", "v1.hea", "s1.hea", "v_layout.hea"),
        read_record,
    ),
    "edf": Format(write_edf, ("n.edf", "b.bdf", "gaps.edf", "plain.edf", "stages.edf"), read_edf),
    "tables": Format(
        write_tables, ("clock.csv", "clock.txt", "dates.csv", "bare.txt", "signal.npy", "night.npz"), read_table
    ),
    "dataset": Format(write_dataset, ("made/manifest.json",), read_dataset),
    "search": Format(write_search, ("results/GRUseq2seq/grid_search/earlier.json",), read_search),
    "hub": Format(
        write_hub,
        ("hub/models--owner--model/refs/main", f"hub/models--owner--model/snapshots/{COMMIT}/training_info.json",
         "local/.cache/huggingface/revisions.json", "local/.cache/huggingface/download/hparams.yaml.metadata"),
        read_hub,
    ),
}  # fmt: skip
