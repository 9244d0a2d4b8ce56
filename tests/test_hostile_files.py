"""Files of others: nothing in them runs, no size that they tell is believed, and what is wrong is told by its name."""

import io
import json
import os
import pickle
import random
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from cases import Case, make_state
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

import neurallib as nl
from neurallib.files import MAX_DEPTH, read_json, read_yaml
from neurallib.weight_files import read_weights
from neurallib.signals.arrays import array_shape, read_array

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import fuzz_files  # noqa: E402

GRU = Case("GRUseq2seq", "binary")
HERE = [name for name in fuzz_files.NAMES if not name.startswith("hub/")]  # which needs a process in offline mode


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return nl.save_checkpoint(make_state(GRU), tmp_path / "run")


def npy(head: str, data: bytes = b"") -> bytes:
    text = head.encode("latin-1")
    return b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text + data


HEADS = {
    "7 TB": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1750000000000, 1), }\n", bytes(400)),
    "below 0": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 1), }\n", bytes(400)),
    "of 400 digits": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (%s,), }\n" % ("9" * 400), bytes(400)),
    "deep": npy("{'descr': '<f4', 'fortran_order': False, 'shape': %s, }\n" % ("(" * 3000), bytes(400)),
    "no Python": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (5 5), }\n", bytes(400)),
    "no text": npy("{'descr': '\xff\0', 'fortran_order': False, 'shape': (5,), }\n", bytes(400)),
    "open": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (5,", bytes(400)),
    "a set": npy("{1, 2}\n", bytes(400)),
    "complex": npy("{'descr': '<c16', 'fortran_order': False, 'shape': (5,), }\n", bytes(400)),
    "fields": npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (5,), }\n", bytes(400)),
    "of no kind": npy("{'descr': ',,', 'fortran_order': False, 'shape': (5,), }\n", bytes(400)),
}


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("kind", HEADS)
def test_a_head_of_an_array_that_cannot_be_is_refused_by_the_files_name(
    kind: str, large: bool, tmp_path: Path
) -> None:
    path = tmp_path / "0.npy"
    path.write_bytes(HEADS[kind] + bytes(large << 20))
    for read in (read_array, array_shape):
        with pytest.raises(ValueError, match="0.npy cannot be read as numbers"):
            read(path)


@pytest.mark.parametrize("read", [read_array, array_shape, read_json, read_yaml])
def test_pipes_and_devices_are_neither_waited_for_nor_read(read: Callable[[Path], Any], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "0.npy")
    (tmp_path / "1.npy").symlink_to("/dev/zero")
    (tmp_path / "2.npy").mkdir()
    for name in ("0.npy", "1.npy", "2.npy"):
        with pytest.raises(ValueError, match=f"{name} .*no regular file"):
            read(tmp_path / name)


def laughs(line: str) -> str:
    """A few lines, each nine times the line above."""
    lines = [line.format(new=chr(98 + i), old=", ".join([f"*{chr(97 + i)}"] * 9)) for i in range(12)]
    return "\n".join(["a: &a {x: 1}", *lines])


YAML = {
    "aliases": laughs("{new}: &{new} [{old}]"),
    "merged aliases": laughs("{new}: &{new} {{<<: [{old}]}}"),
    "an alias of itself": "a: &a [*a]",
    "a deep list": "a: " + "[" * 100_000,
    "deep lines": "- " * 100_000 + "a",
    "400 digits": "hid_dim: " + "9" * 400,
    "5,000 digits": "hid_dim: " + "9" * 5000,
    "a name of 400 digits": "hid_dim: {" + "9" * 400 + ": 1}",
    "400 digits in a pair": "hid_dim: !!pairs [a: " + "9" * 400 + "]",
    "hexadecimals": "hid_dim: 0x" + "f" * 10_000,
    "no date": "a: 2001-13-45",
    "no timestamp": "a: !!timestamp x",
    "numbers for names": "1: 2",
    "a long text": f"model_name: {'x' * 300_000}",
    "a call": "a: !!python/object/apply:os.system ['touch ran']",
}


@pytest.mark.parametrize("kind", YAML)
def test_yaml_that_blows_up_or_calls_is_refused(
    kind: str, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (saved / "hparams.yaml").write_text(YAML[kind])
    for read in (nl.load_checkpoint, nl.get_hparams_from_checkpoints):
        with pytest.raises(ValueError, match="hparams.yaml") as told:
            read(saved)
        assert len(str(told.value)) < 5000
    assert not (tmp_path / "ran").exists()


def test_yaml_may_say_the_same_twice(tmp_path: Path) -> None:
    path = tmp_path / "hparams.yaml"
    path.write_text(yaml.safe_dump({"hid_dim": (sizes := [8, 4]), "again": sizes}))
    assert "&id001" in path.read_text() and read_yaml(path) == {"hid_dim": [8, 4], "again": [8, 4]}


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' * 100_000, '{"a": ' + "9" * 400 + "}", "[1]"])
@pytest.mark.parametrize("name", ["training_info.json", "preprocessing.json"])
def test_json_that_is_deep_or_long_is_refused(name: str, text: str, saved: Path) -> None:
    (saved / name).write_text(text)
    with pytest.raises(ValueError, match=name):
        nl.load_checkpoint(saved)


@pytest.mark.parametrize("deeper", [-5, 5])
def test_a_history_may_be_long_as_long_as_it_can_be_copied(deeper: int, saved: Path) -> None:
    info: dict[str, Any] = json.loads((saved / "training_info.json").read_text()) | {"validation_loss": 0.1}
    history = info
    for _ in range(MAX_DEPTH + deeper):
        history = info | {"training_history": history, "frozen": []}
    (saved / "training_info.json").write_text(json.dumps(history))
    if deeper > 0:
        with pytest.raises(ValueError, match="training_info.json .*deep"):
            nl.load_checkpoint(saved)
    else:
        nl.predict(nl.load_checkpoint(saved), [np.zeros((5, 2))])


PROMISES = {
    "n_layers": {"n_layers": 10**9, "bidir_per_layer": None},
    "layers in a list": {"n_layers": 10**9, "dropout": 0.5},
    "units": {"hid_dim": 10**5},
    "units beyond float64's whole numbers": {"hid_dim": 10**300},
    "features": {"n_features": 10**12},
}


@pytest.mark.parametrize("kind", PROMISES)
def test_hyperparameters_that_promise_more_than_the_weights_hold_are_refused(kind: str, saved: Path) -> None:
    hparams = yaml.safe_load((saved / "hparams.yaml").read_text()) | PROMISES[kind]
    (saved / "hparams.yaml").write_text(yaml.safe_dump({k: v for k, v in hparams.items() if v is not None}))
    with pytest.raises(ValueError, match="hparams.yaml"):
        nl.load_checkpoint(saved)


def changed_weight(state: nl.State, change: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, torch.Tensor]:
    return state["weights"] | {"fc_out.bias": change(state["weights"]["fc_out.bias"])}


CHANGES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "nan": lambda weight: weight * torch.nan,
    "infinite": lambda weight: weight + torch.inf,
    "beyond float32": lambda weight: weight.double() + 1e300,
    "complex": lambda weight: weight.to(torch.complex64),
    "integers": lambda weight: weight.long(),
    "booleans": lambda weight: weight > 0,
}


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("kind", CHANGES)
def test_weights_that_are_no_finite_numbers_are_refused_by_name(kind: str, suffix: str, saved: Path) -> None:
    weights = changed_weight(nl.load_checkpoint(saved), CHANGES[kind])
    for path in saved.glob("model_weights.*"):
        path.unlink()
    path = saved / f"model_weights{suffix}"
    try:
        save_file(weights, path) if suffix == ".safetensors" else torch.save(weights, path)
    except KeyError:
        pytest.skip("this safetensors knows no complex numbers")
    with pytest.raises(ValueError, match=rf"{path.name}: fc_out.bias holds"):
        nl.load_checkpoint(saved)


FORMS: dict[str, Callable[[torch.Tensor], Any]] = {
    "one number a billion times": lambda weight: torch.zeros(1).expand(10**9, 100),
    "sparse": lambda weight: weight[None].to_sparse(),
    "of no device": lambda weight: torch.empty(10**9, 100, device="meta"),
    "a class": lambda weight: "fc_out.bias",
}


@pytest.mark.parametrize("kind", FORMS)
def test_tensors_that_are_larger_than_their_file_are_refused(kind: str, saved: Path) -> None:
    weights = changed_weight(nl.load_checkpoint(saved), FORMS[kind])
    (saved / "model_weights.safetensors").unlink()
    torch.save(weights, saved / "model_weights.pth")
    with pytest.raises(ValueError, match="model_weights.pth (promises|holds)"):
        read_weights(saved / "model_weights.pth")


@pytest.mark.parametrize("name", ["model_weights.pth", "best.ckpt"])
def test_an_archive_that_inflates_is_refused_before_it_does(name: str, saved: Path) -> None:
    content = io.BytesIO()
    torch.save({"fc_out.bias": torch.zeros(10**7)}, content)
    for path in saved.glob("model_weights.*"):
        path.unlink()
    with (
        zipfile.ZipFile(content) as stored,
        zipfile.ZipFile(saved / name, "w", zipfile.ZIP_DEFLATED) as deflated,
    ):
        for entry in stored.namelist():
            deflated.writestr(entry, stored.read(entry))
    assert (saved / name).stat().st_size < 10**5
    with pytest.raises(ValueError, match=f"{name} .*compressed"):
        nl.load_checkpoint(saved)


class Runs:
    def __reduce__(self) -> Any:
        return os.system, ("touch ran",)


@pytest.mark.parametrize("name", ["model_weights.pth", "best.ckpt", "0.npy"])
@pytest.mark.parametrize("raw", [False, True])
def test_nothing_that_is_pickled_runs(
    name: str, raw: bool, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for path in saved.glob("model_weights.*"):
        path.unlink()
    if raw:
        (saved / name).write_bytes(pickle.dumps({"state_dict": Runs()}))
    elif name == "0.npy":
        np.save(saved / name, np.array([Runs()], dtype=object), allow_pickle=True)
    else:
        torch.save({"state_dict": {"fc_out.bias": Runs()}}, saved / name)
    with pytest.raises(ValueError, match=name):
        read_array(saved / name) if name == "0.npy" else nl.load_checkpoint(saved)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("frozen", "told"), [([1], r"frozen=\[1\]"), (["fc_uot"], "fc_uot"), ([["fc_out"]], "frozen=")]
)
def test_what_is_frozen_is_named_or_refused(frozen: list[Any], told: str, saved: Path) -> None:
    info = json.loads((saved / "training_info.json").read_text()) | {"frozen": frozen}
    (saved / "training_info.json").write_text(json.dumps(info))
    with pytest.raises(ValueError, match=told) as error:
        nl.load_checkpoint(saved)
    assert "training_info.json" in str(error.value)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    pytest.importorskip("wfdb", reason="wfdb is not installed (extra wfdb)")
    pytest.importorskip("edfio", reason="edfio is not installed (extra edf)")
    return fuzz_files.write_files(tmp_path_factory.mktemp("whole"))


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32), name=st.sampled_from(HERE))
@pytest.mark.filterwarnings("ignore")
def test_a_mutated_file_loads_or_is_refused_by_name(
    seed: int, name: str, whole: dict[str, bytes], tmp_path: Path
) -> None:
    assert fuzz_files.judge_mutated(tmp_path, name, whole, random.Random(seed)) in ("loads", "refused")


@pytest.mark.filterwarnings("ignore")
def test_whole_files_load_whoever_reads_them(whole: dict[str, bytes], tmp_path: Path) -> None:
    for name in HERE:
        assert fuzz_files.judge_mutated(tmp_path, name, whole, None) == "loads", name
