"""Every writer beside training, harmed at every step of its writes: afterwards each file is the old one or the new one,
whole; nothing else was touched; and what cannot be written is told by its name and its cause."""

import csv
import json
import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from cases import Case, make_state, write_folders
from forking import forking
from harm import ENDED, HARMS, harmed
from searching import OPTIONS, search

import neurallib as nl

GRU = Case("GRUseq2seq", "binary")


def a_state(seed: int) -> nl.State:
    return make_state(GRU, seed=seed, model_name=f"model {seed}")


def checkpoint(root: Path, seed: int) -> None:
    nl.save_checkpoint(a_state(seed), root)


def card(root: Path, seed: int) -> None:
    nl.save_model_card(a_state(seed), root)


def picture(root: Path, seed: int) -> None:
    nl.plot_losses([1.0, 0.5], [1.0, float(seed)], root / "loss_plot.png")


def exported(root: Path, seed: int) -> None:
    pytest.importorskip("onnxruntime", reason="pip install neurallib[onnx]")
    nl.export_onnx(a_state(seed), root / "model.onnx")


def predicted(root: Path, seed: int) -> None:
    signal = np.random.default_rng(0).standard_normal((300, 2))
    nl.predict_recording(a_state(seed), {"signal": signal}, path=root / "answer.npy")


def saved_predictions(root: Path, seed: int) -> None:
    home = root.parent
    if not (home / "data").exists():
        write_folders(home / "data", a_state(0), n=2)
    directory = nl.save_checkpoint(a_state(seed), home / "run")
    if not (directory / "predictions").exists():
        (directory / "predictions").symlink_to(root)
    data = home / "data"
    nl.test_on_test_set(None, data / "x", data / "y", checkpoints_dir=directory, save_predictions=True)


def dataset(root: Path, seed: int) -> None:
    recordings = []
    for name in "abc":
        signal, peaks = nl.synthetic_ecg(duration=3, sampling_frequency=100, seed=seed + ord(name))
        beats = {"sample": peaks, "symbol": ["N"] * len(peaks), "duration": np.zeros(len(peaks))}
        recordings.append(
            {"name": name, "person": name, "signal": signal[:, None], "sampling_frequency": 100.0, "channels": ["II"],
             "units": ["mV"], "events": beats, "source": None, "start_time": None, "notes": []}
        )  # fmt: skip
    nl.make_dataset(recordings, root, target=nl.event_target, enable_progress_bar=False)


def searched(root: Path, seed: int) -> None:
    results = root.parent.parent
    if not (results / "data").exists():
        write_folders(results / "data", a_state(0), n=2)
    params = {
        "path_x": results / "data/x", "path_y": results / "data/y", "epochs": 1, "batch_size": 4, "patience": None,
        "dataset_name": "made up", "trained_for": "sign detection", "results_directory": results,
    }  # fmt: skip
    search(params, OPTIONS | {"hid_dim": 2 + seed, "learning_rate": 0.01})


class Writer(NamedTuple):
    write: Callable[[Path, int], None]  # into a folder; the seed makes the content another
    folder: str = "out"
    dispensable: bool = False  # a warning, no error
    same_bytes: bool = True  # each time that the same is written; else it is whole if it can be read


WRITERS = {
    "save_checkpoint": Writer(checkpoint),
    "save_model_card": Writer(card),
    "plot_losses": Writer(picture),
    "export_onnx": Writer(exported),
    "predict_recording": Writer(predicted),
    "test_on_test_set": Writer(saved_predictions, dispensable=True),
    "make_dataset": Writer(dataset),
    "grid_search": Writer(searched, "GRUseq2seq/grid_search", dispensable=True, same_bytes=False),
}
LONG = WRITERS.keys() - {"save_checkpoint", "save_model_card"}
PLACES = [pytest.param(name, marks=[pytest.mark.nightly] * (name in LONG)) for name in WRITERS]


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def can_be_read(name: str, content: bytes) -> bool:
    if name.endswith(".json"):
        return isinstance(json.loads(content), dict)
    rows = list(csv.reader(content.decode().splitlines()))
    return content.endswith(b"\n") and all(len(row) == len(rows[0]) for row in rows)


class Place:
    """A folder that holds what was written first and something that belongs to somebody else."""

    def __init__(self, name: str, home: Path) -> None:
        self.writer, self.root = WRITERS[name], home / WRITERS[name].folder
        self.root.mkdir(parents=True)
        self.writer.write(self.root, 1)
        self.old = contents(self.root)
        with harmed(self.root) as harm:
            self.writer.write(self.root, 2)
        self.steps, self.new = harm.steps, contents(self.root)
        self.mine = {".keep": b"mine", "notes.md": b"mine"}

    def restore(self) -> None:
        for name in contents(self.root).keys() - self.old.keys():
            (self.root / name).unlink()
        for name, content in (self.old | self.mine).items():
            (self.root / name).parent.mkdir(exist_ok=True)
            (self.root / name).write_bytes(content)

    def check(self) -> set[str]:
        """Raise unless each file is old or new, whole, and others' are as they were; the temporary ones."""
        there = contents(self.root)
        left = {name for name in there if re.fullmatch(r"\..*\.writing", Path(name).name)}
        assert {name: there[name] for name in self.mine} == self.mine
        for name in there.keys() - left - self.mine.keys():
            if self.writer.same_bytes:
                partly = name == "manifest.json" and can_be_read(name, there[name])  # of what is finished so far
                assert partly or there[name] in (self.old.get(name), self.new.get(name)), name
            else:
                assert can_be_read(name, there[name]), name
        return left


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(request.param, tmp_path)


@pytest.mark.parametrize("place", PLACES, indirect=True)
@pytest.mark.filterwarnings("ignore")
def test_a_write_that_fails_at_any_step_is_told_by_name_and_cause_and_leaves_what_was_there(place: Place) -> None:
    assert {step.what for step in place.steps} == set(HARMS)
    for at, step in enumerate(place.steps):
        for kind in HARMS[step.what]:
            if kind == "end":
                continue
            place.restore()
            with warnings.catch_warnings(record=True) as caught, harmed(place.root, at, kind):
                warnings.simplefilter("always")
                try:
                    place.writer.write(place.root, 2)
                    told = [str(one.message) for one in caught if "is not written" in str(one.message)]
                    assert bool(told) == (kind != "short") and (place.writer.dispensable or kind == "short")
                except OSError as error:
                    assert not place.writer.dispensable and error.errno == kind
                    told = [str(error)]
            if kind != "short":
                name = Path(step.path).name
                target = name.split(".")[1] if step.what in ("make", "write", "sync") else name
                assert os.strerror(kind) in told[0], (step, told)
                assert str(place.root) in told[0] or step.what == "sync folder" or target in told[0], (step, told)
                assert ".writing" not in told[0]
            assert place.check() == set(), (step, kind)


def ended(name: str, home: Path, at: int) -> None:
    place = WRITERS[name]
    with harmed(home / place.folder, at, "end"):
        place.write(home / place.folder, 2)


@pytest.mark.parametrize("place", PLACES, indirect=True)
@pytest.mark.filterwarnings("ignore")
def test_a_process_that_ends_at_any_step_leaves_whole_files_and_what_it_was_writing_is_swept(
    place: Place, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    name = request.node.callspec.params["place"]
    ends = {step.what: at for at, step in enumerate(place.steps) if "end" in HARMS[step.what]}  # the last of each
    for again, (what, at) in enumerate(ends.items()):
        place.restore()
        child = forking().Process(target=ended, args=(name, tmp_path, at))
        child.start()
        child.join(120)
        assert child.exitcode == ENDED, what
        left = place.check()
        assert len(left) == (what != "sync folder")
        for path in left:
            os.utime(place.root / path, (0, 0))
        from neurallib.files import _swept

        _swept.cache_clear()  # as in the next process
        seed = 1 + again % 2  # what was there is asked for again, or what was being written
        place.writer.write(place.root, seed)
        assert place.check() == set()
        if place.writer.same_bytes:
            assert contents(place.root) == (place.old if seed == 1 else place.new) | place.mine
