"""Recordings, carries, manifests and records of others: what they name stays in its folder, what they tell is looked at
before it is believed, and what is wrong is told by its name."""

import copy
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import Case, make_state
from hub_client import Client

import neurallib as nl
from neurallib.storage.hub import _write_repository, load_from_hub

GRU = Case("GRUseq2seq", "binary")


@pytest.fixture
def record(tmp_path: Path) -> Path:
    wfdb = pytest.importorskip("wfdb", reason="wfdb is not installed (extra wfdb)")
    folder = tmp_path / "records"
    folder.mkdir()
    for name in ("r1", "s1"):
        wfdb.wrsamp(
            name, fs=100, units=["mV"], sig_name=["II"], p_signal=np.linspace(-1, 1, 500)[:, None], fmt=["16"],
            adc_gain=[5000], baseline=[0], write_dir=str(folder),
        )  # fmt: skip
    (folder / "m1.hea").write_text("m1/2 1 100 1000\ns1 500\ns1 500\n")
    return folder / "r1"


def edited(path: Path, old: str, new: str) -> Path:
    content = path.read_bytes()
    assert old.encode() in content
    path.write_bytes(content.replace(old.encode(), new.encode()))
    return path


@pytest.mark.parametrize("name", ["../secret.dat", "/etc/passwd", "x" * 300, "..", "a\0b"])
@pytest.mark.parametrize("whose", ["r1", "s1"])
@pytest.mark.filterwarnings("ignore")
def test_a_header_reads_no_file_of_another_folder(whose: str, name: str, record: Path) -> None:
    (record.parent.parent / "secret.dat").write_bytes(bytes(1000))
    edited(record.with_name(f"{whose}.hea"), f"{whose}.dat", name)
    with pytest.raises(ValueError, match=rf"{whose}.hea names .*; expected a file beside it"):
        nl.read_recording(record.with_name("r1" if whose == "r1" else "m1"))


@pytest.mark.parametrize("name", ["../r1", "/etc/r1"])
@pytest.mark.filterwarnings("ignore")
def test_a_record_of_several_pieces_has_none_in_another_folder(name: str, record: Path) -> None:
    with pytest.raises(ValueError, match="m1.hea names .*; expected a file beside it"):
        nl.read_recording(edited(record.with_name("m1.hea"), "s1 500", f"{name} 500"))


@pytest.mark.parametrize("line", ["~ 0", "~ 0 200(0) 16", "~ 0 200/", "", "~"])
@pytest.mark.filterwarnings("ignore")
def test_a_layout_that_says_too_little_is_named_also_when_signals_are_read_later(line: str, record: Path) -> None:
    layout = record.with_name("v_layout.hea")
    layout.write_text(f"v_layout 2 100 0\n~ 0 200 16 0 0 0 0 II\n{line}\n")
    record.with_name("v1.hea").write_text("v1/3 2 100 1000\nv_layout 0\ns1 500\ns1 500\n")
    try:
        read = nl.read_recording(record.with_name("v1"), lazy=True)["signal"][:]
        assert np.isfinite(read[:, 0]).all()
    except ValueError as error:
        assert str(record.parent) in str(error)


@pytest.mark.filterwarnings("ignore")
def test_signals_of_a_segment_that_are_a_pipe_are_not_waited_for(record: Path) -> None:
    record.with_name("s1.dat").unlink()
    os.mkfifo(record.with_name("s1.dat"))
    with pytest.raises(FileNotFoundError, match="s1.dat is missing"):
        nl.read_recording(record.with_name("m1"))


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        ("1 0 500", "r1.hea says '0' for its sampling"), ("1 100 90000000000", r"signals of .*r1.hea \(cut off"),
        ("1 -5 500", "r1.hea says '-5' for its sampling frequency"), ("1 1e2 500", "r1.hea says '1e2' for its sampl"),
        ("1 nan", "'nan' for its sampling frequency"), ("1 100 0", "r1.hea says that there are 0 samples"),
        ("2 100 500", "r1.hea tells of 2 signals and describes 1: cut"), ("0 100 500", "tells of 0 signals and descr"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore")
def test_a_header_of_impossible_numbers_is_refused(numbers: str, told: str, record: Path) -> None:
    with pytest.raises(ValueError, match=told):
        nl.read_recording(edited(record.with_suffix(".hea"), "1 100 500", numbers))


@pytest.mark.filterwarnings("ignore")
def test_a_header_of_annotations_alone_or_of_pieces_of_pieces_says_so(record: Path) -> None:
    record.with_suffix(".hea").write_text("r1 0 100 500\n")
    with pytest.raises(ValueError, match="r1.hea names no signal; .*: annotations alone are the annotator= of"):
        nl.read_recording(record)
    record.with_name("m2.hea").write_text("m2/2 1 100 2000\nm1 1000\nm1 1000\n")
    with pytest.raises(ValueError, match="m1.hea is a piece of a record and has pieces itself"):
        nl.read_recording(record.with_name("m2"))


@pytest.mark.filterwarnings("ignore")
def test_annotations_that_no_one_knows_are_refused(record: Path) -> None:
    record.with_suffix(".atr").write_bytes(((45 << 10) + 10).to_bytes(2, "little") * 3 + bytes(2))
    with pytest.raises(ValueError, match="r1.atr"):
        nl.read_recording(record)


def test_an_archive_that_inflates_or_has_a_head_of_no_python_is_refused(tmp_path: Path) -> None:
    path, content = tmp_path / "night.npz", io.BytesIO()
    np.save(content, np.zeros(2 << 24))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("signal.npy", content.getvalue())
    with pytest.raises(ValueError, match="night.npz .*bytes inflate to"):
        nl.read_recording(path, sampling_frequency=100)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("signal.npy", content.getvalue()[:2000].replace(b"'shape': (", b"'shape': ((", 1))
    with pytest.raises(ValueError, match="night.npz cannot be read"):
        nl.read_recording(path, sampling_frequency=100)
    np.savez(path, signal=np.zeros(100), sampling_frequency=1e300)
    with pytest.raises(ValueError, match="night.npz says 1e.300 Hz"):
        nl.read_recording(path)
    np.savez(path, signal=np.zeros(100), sampling_frequency=100, sample=[np.nan], symbol=["N"], duration=[0.0])
    with pytest.raises(ValueError, match="night.npz has 'N' at nan s"):
        nl.read_recording(path)


def test_a_file_that_cannot_be_read_says_what_it_is(tmp_path: Path) -> None:
    np.savez(tmp_path / "cut.npz", signal=np.zeros(1000), sampling_frequency=100)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "cut.npz").read_bytes()[:500])
    (tmp_path / "link.npz").symlink_to(tmp_path / "gone.npz")
    (tmp_path / "eeg.set").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
    for path, told in (
        (tmp_path / "cut.npz", "cut.npz cannot be read .*: File is not a zip file"),
        (tmp_path / "link.npz", "link.npz is a link to .*gone.npz, which is missing"),
        (tmp_path / "eeg.set", "eeg.set is no table.*: {'signal': .T, C., 'sampling_frequency': Hz} is a recording"),
        ("https://physionet.org/a.npz", "path='https://physionet.org/a.npz' is an address"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=told):
            nl.read_recording(path)
    (tmp_path / "walking").mkdir()
    for file in ("cut.npz", "link.npz"):
        (tmp_path / file).unlink()
    with pytest.raises(FileNotFoundError, match="whose folders, walking, are not looked into"):
        nl.list_recordings(tmp_path)


def test_a_clock_that_leaps_years_is_no_grid_of_billions_of_samples(tmp_path: Path) -> None:
    path = tmp_path / "walk.csv"
    path.write_text("time,x\n" + "".join(f"{i / 100},{i}\n" for i in range(500)) + "100000000,1\n")
    with pytest.raises(ValueError, match="time column of .*walk.csv spans 1e.08 s, 1e.10 samples"):
        nl.read_recording(path)


def carried() -> tuple[Any, dict[str, Any]]:
    state = nl.gru_seq2seq(n_features=1, hid_dim=[4, 3], n_layers=2)
    state["preprocessing"].update(sampling_frequency=100.0, normalization="dataset", x_shift=[0.1], x_scale=[2.0])
    state["postprocessing"].update(events={"threshold": 0.4, "smoothing": 0.05})
    network = nl.build_network(state).eval()
    return network, nl.stream_step(network, np.ones((30, 1)), nl.init_stream(state))[1]


CARRIES: dict[str, Callable[[Any], Any]] = {
    "kind": lambda carry: "binry",
    "fold": lambda carry: 0,
    "n_outputs": lambda carry: 2,
    "n_samples": lambda carry: -1,
    "n_answered": lambda carry: 31.0,
    "look_ahead": lambda carry: 5,
    "ended": lambda carry: None,
    "hidden": lambda carry: carry["hidden"][::-1],
    "kept": lambda carry: torch.zeros(1, 0, 2),
    "x_scale": lambda carry: torch.zeros(2, 2, dtype=torch.float64),
    "y_scale": lambda carry: [1.0],
    "events": lambda carry: carry["events"] | {"waiting": [{**carry["events"]["waiting"][0], "start": 10**30}]},
}


@pytest.mark.parametrize("name", CARRIES)
def test_a_carry_that_no_stream_has_is_refused_by_the_name_of_what_is_wrong(name: str) -> None:
    network, carry = carried()
    assert carry.keys() - {"format"} == CARRIES.keys()  # tests/test_kept_files.py has that of later versions
    for wrong in (carry | {name: CARRIES[name](copy.deepcopy(carry))}, {k: v for k, v in carry.items() if k != name}):
        with pytest.raises(ValueError, match=rf"(?s)carry\['{name}'\] is .*, which no stream of this network has"):
            nl.stream_step(network, np.ones((3, 1)), wrong)
    with pytest.raises(TypeError, match="carry is a list"):
        nl.stream_step(network, np.ones((3, 1)), [carry])  # type: ignore[arg-type]


def a_dataset(root: Path) -> Path:
    signal, peaks = nl.synthetic_ecg(duration=3, sampling_frequency=100, seed=1)
    beats: Any = {"sample": peaks, "symbol": ["N"] * len(peaks), "duration": np.zeros(len(peaks))}
    recordings = [
        {"name": name, "person": name, "signal": signal[:, None], "sampling_frequency": 100.0, "channels": ["II"],
         "units": ["mV"], "events": beats, "source": None, "start_time": None, "notes": []}
        for name in "abc"
    ]  # fmt: skip
    return nl.make_dataset(recordings, root, target=nl.event_target, enable_progress_bar=False)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"files": {"../../../secret.npy": [0, 3]}}, "says of 'a'"), ({"files": ["a.npy"]}, "says of 'a'"),
        ({"part": "../train"}, "says of 'a'"), ({"sampling_frequency": "100"}, "says of 'a'"),
        ({"made_from": None}, "says of 'a'"), ({"channels": [1]}, "says of 'a'"), (None, "no recordings by name"),
    ],
)  # fmt: skip
def test_a_manifest_that_make_dataset_did_not_write_is_refused(change: Any, told: str, tmp_path: Path) -> None:
    file = a_dataset(tmp_path / "made") / "manifest.json"
    said = json.loads(file.read_text())
    if change is None:
        said["recordings"] = ["a"]
    else:
        said["recordings"]["a"] |= change
    file.write_text(json.dumps(said))
    with pytest.raises(ValueError, match=f"manifest.json .*{told}|manifest.json {told}"):
        a_dataset(tmp_path / "made")
    state = nl.gru_seq2seq(n_features=1, hid_dim=2, n_layers=1)
    with pytest.raises(ValueError, match="manifest.json"):
        told = {"dataset_name": "made", "trained_for": "nothing", "dry_run": True}
        nl.train_from_scratch(state, tmp_path / "made/x", tmp_path / "made/y", **told)


def test_hidden_files_of_others_stay_in_a_data_set(tmp_path: Path) -> None:
    made = a_dataset(tmp_path / "made")
    (made / "x/train/.gitkeep").write_text("mine")
    a_dataset(tmp_path / "made")
    assert (made / "x/train/.gitkeep").read_text() == "mine"


def test_a_repository_has_what_is_listed_and_nothing_else_of_a_directory(tmp_path: Path) -> None:
    directory = nl.save_checkpoint(make_state(GRU), tmp_path / "run")
    nl.save_model_card(make_state(GRU), directory)
    for name in ("token", ".netrc", "id_rsa", ".env", "key.pem", "last.ckpt", "patients.csv", ".git/config"):
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text("hf_secret")
    (tmp_path / "push").mkdir()
    _write_repository(directory, tmp_path / "push")
    assert sorted(path.name for path in (tmp_path / "push").rglob("*")) == [
        "README.md", "hparams.yaml", "model_weights.pth", "model_weights.safetensors", "preprocessing.json",
        "training_info.json",
    ]  # fmt: skip
    assert not any(b"hf_secret" in path.read_bytes() for path in (tmp_path / "push").iterdir())


OTHER = b"../../models--owner--other/snapshots/1"


@pytest.mark.parametrize("content", [b"../../elsewhere", b"/tmp", b"\xff\xfe", b"", OTHER])
def test_a_cache_names_no_commit_of_another_folder(content: bytes, offline: Client, home: Path) -> None:
    repository, other = home / "hub/models--owner--cached", home / "hub/models--owner--other/snapshots/1"
    for folder in (other, home / "hub/models--owner--cached/elsewhere"):
        nl.save_checkpoint(make_state(GRU), folder)
    (repository / "refs").mkdir(parents=True, exist_ok=True)
    (repository / "snapshots").mkdir(exist_ok=True)
    (repository / "refs/main").write_bytes(content)
    with pytest.raises((ValueError, ConnectionError), match="models--owner--cached|owner/cached"):
        offline(load_from_hub, "owner/cached")


def test_what_is_asked_for_that_such_a_file_has_not_is_told(record: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", signal=np.zeros(50), sampling_frequency=10)
    (tmp_path / "a.csv").write_text("ecg\n" + "0\n" * 50)
    for path, asked in (
        (record, {"time": "t"}), (tmp_path / "a.npz", {"labels": "stage"}), (tmp_path / "a.csv", {"annotator": "atr"}),
    ):  # fmt: skip
        told = f"{next(iter(asked))}=.* is not for .*{path.name}: annotator= is for WFDB and EDF"
        with pytest.raises(ValueError, match=told):
            nl.read_recording(path, sampling_frequency=10, **asked)


def test_events_of_an_archive_that_are_not_as_many_are_told(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", signal=np.zeros(50), sampling_frequency=10, sample=[1, 2], symbol=["N"])
    with pytest.raises(ValueError, match="a.npz has events of 2 samples, 1 symbols and 2 durations; expected as many"):
        nl.read_recording(tmp_path / "a.npz")


@pytest.mark.parametrize(("step", "unit"), [(10, "ms"), (4000, "us"), (4_000_000, "ns")])
def test_the_unit_of_time_that_is_asked_about_makes_a_rate(step: int, unit: str, tmp_path: Path) -> None:
    rows = [f"{step * i},{i % 7}" for i in range(200)]
    (tmp_path / "a.csv").write_text("\n".join(["time,ecg", *rows]))
    with pytest.warns(UserWarning, match=rf"Is it time=\('time', '{unit}'\)\?"):
        nl.read_recording(tmp_path / "a.csv")
    assert 50 < nl.read_recording(tmp_path / "a.csv", time=("time", unit))["sampling_frequency"] < 300
