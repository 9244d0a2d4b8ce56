"""What can be resumed, by whom, and with what: all else is refused with the difference."""

import datetime
import functools
import json
import os
import subprocess
import sys
import textwrap
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import QUIET, data, make_state, names_in, write_folders
from stopping import GRU, Stop, assert_same, louder, run, stopped

import neurallib as nl
from neurallib.functions import described
from neurallib.locks import held
from neurallib.storage.directories import LOCK


@pytest.fixture(autouse=True)
def reset() -> Iterator[None]:
    Stop.at, Stop.steps = None, 0
    yield
    Stop.at = None


def test_a_cosine_has_no_more_epochs(tmp_path: Path) -> None:
    directory = run(tmp_path, epochs=2)["training_info"]["checkpoints_directory"]
    with pytest.raises(ValueError, match="epochs=2, over which schedule='cosine' .* no going on to epochs=3"):
        run(tmp_path, epochs=3, resume=directory)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"seed": 7, "patience": None}, "options.patience was 4, is null.* options.seed was 42, is 7"),
        ({"epochs": 4, "batch_size": 3}, "options.epochs was 5, is 4.* options.signals_a_step was 2, is 3"),
        ({"augment": functools.partial(louder, factor=2.5)}, "options.augment was"),
        ({"augment": None, "callbacks": [], "dataset_name": "b", "trained_for": "b", "layer_learning_rates": {"*": 1}},
         r"augment was.*callbacks was.*dataset_name was.*trained_for was.*layer_learning_rates.\* was nothing, is 1"),
        ({"optimizer": "adamw", "class_weight": 2.0, "sample_weight": [1] * 6 + [2], "gradient_clip_val": 1.0},
         'optimizer was "adam", is "adamw".*class_weight was.*sample_weight was.*gradient_clip_val was nothing'),
        ({"bucketing": True, "loss": nl.loss_function(make_state(GRU)), "metrics": {"m": np.vdot}, "schedule": None,
          "monitor": "f1"}, "bucketing was.*loss was.*monitor.name was.*schedule was.*metrics.m was"),
        ({"state": make_state(GRU, dropout=0.2)}, "model.hparams.dropout was 0.3, is 0.2"),
        ({"state": nl.freeze(make_state(GRU, dropout=0.3, seed=1), "fc_out")}, "model.frozen was.*model.weights was"),
        ({"normalization": "minmax"}, "model.preprocessing.normalization was"),
    ],
    ids=names_in,
)
def test_a_run_goes_on_with_what_it_began_with_alone(options: dict[str, Any], told: str, tmp_path: Path) -> None:
    directory = stopped((1, 0), tmp_path)
    before = {path: path.stat().st_mtime_ns for path in directory.iterdir() if path.name != LOCK}
    with pytest.raises(ValueError, match=told.replace("(", r"\(")):
        run(tmp_path, resume=directory, **options)
    assert {path: path.stat().st_mtime_ns for path in directory.iterdir() if path.name != LOCK} == before


def test_other_data_are_named_with_their_sizes_and_checksums(tmp_path: Path) -> None:
    state, (path_x, path_y) = make_state(GRU), write_folders(tmp_path, make_state(GRU))
    options: dict[str, Any] = {
        "epochs": 3, "batch_size": 1, "dataset_name": "a", "trained_for": "b", "callbacks": [Stop()],
        "results_directory": tmp_path / "results", **QUIET,
    }  # fmt: skip
    Stop.at = (1, 1)
    with pytest.raises(RuntimeError, match="stopped"):
        nl.train_from_scratch(state, path_x, path_y, **options)
    directory = nl.find_unfinished(tmp_path / "results")[0]["directory"]
    for file in (first := [sorted((path_x / part).iterdir())[0] for part in ("train", "val")]):
        x = np.load(file)
        np.save(file, np.where(np.arange(len(x))[:, None] == 3, x + 1e-3, x))
    with pytest.raises(ValueError, match="train/{0.name} was .*, is .*checksum.*first.val/{1.name} was".format(*first)):
        nl.train_from_scratch(state, path_x, path_y, resume=directory, **options)


def test_another_version_of_a_library_is_told(tmp_path: Path) -> None:
    directory = stopped((1, 0), tmp_path)
    began = json.loads((directory / "run.json").read_text())
    (directory / "run.json").write_text(json.dumps(began | {"versions": began["versions"] | {"torch": "2.5.0"}}))
    with pytest.raises(ValueError, match='versions.torch was "2.5.0", is '):
        run(tmp_path, resume=directory)
    stopped((1, 0), tmp_path, seed=1)  # another run, of which there is nothing to tell
    with pytest.warns(UserWarning, match=f'{directory} is .*torch was "2.5.0", .*: another run begins') as told:
        again = run(tmp_path, resume=True)
    assert sum("another run begins" in str(warning.message) for warning in told) == 1
    assert again["training_info"]["checkpoints_directory"] != str(directory.resolve())


def test_a_run_may_go_on_on_another_machine(tmp_path: Path) -> None:
    directory = stopped((1, 0), tmp_path)
    began = json.loads((directory / "run.json").read_text())
    (directory / "run.json").write_text(json.dumps(began | {"machine": began["machine"] | {"processor": "abacus"}}))
    run(tmp_path, resume=directory)


def test_what_cannot_be_resumed_is_named(tmp_path: Path) -> None:
    saved = nl.save_checkpoint(make_state(GRU), tmp_path / "saved")
    with pytest.raises(ValueError, match="saved has no run.json: .*retrain"):
        run(tmp_path, resume=saved)
    with pytest.raises(FileNotFoundError, match="resume: directory yes does not exist: find_unfinished"):
        run(tmp_path, resume="yes")
    with pytest.raises(TypeError, match="resume=None is a NoneType; expected True, False or a run"):
        run(tmp_path, resume=None)
    directory = stopped((2, 0), tmp_path)
    (directory / "last.ckpt").write_bytes((directory / "last.ckpt").read_bytes()[:1000])
    with pytest.raises(ValueError, match="last.ckpt cannot be read"):
        run(tmp_path, resume=directory)
    torch.save({"state_dict": {}}, directory / "last.ckpt")
    with pytest.raises(ValueError, match="last.ckpt is no checkpoint that a run can be resumed from"):
        run(tmp_path, resume=directory)
    (directory / "training_info.json").unlink()
    with pytest.raises(FileNotFoundError, match="has no training_info.json; it holds: .*run.json"):
        run(tmp_path, resume=directory)


def test_a_dry_run_tells_what_does_not_fit(tmp_path: Path) -> None:
    directory = stopped((1, 0), tmp_path)
    with pytest.raises(ValueError, match="options.seed was 42, is 1"):
        run(tmp_path, resume=directory, seed=1, dry_run=True)
    run(tmp_path, resume=directory, dry_run=True, accelerator="cpu")  # which it would choose as well
    assert len(nl.find_unfinished(tmp_path)) == 1


def test_the_newest_unfinished_run_of_the_same_is_found_by_itself(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole")
    other = stopped((1, 0), tmp_path / "parts", seed=1)
    assert_same(run(tmp_path / "parts", resume=True), whole)  # there is none: it begins
    older = stopped((1, 0), tmp_path / "more")
    for path in older.iterdir():
        os.utime(path, (0, 0))
    stopped((3, 0), tmp_path / "more")
    assert_same(run(tmp_path / "more", resume=True), whole)
    assert [one["directory"] for one in nl.find_unfinished(tmp_path / "more")] == [str(older)]
    assert [one["directory"] for one in nl.find_unfinished(tmp_path / "parts")] == [str(other)]


def test_unfinished_runs_are_listed(tmp_path: Path) -> None:
    assert nl.find_unfinished(tmp_path) == []
    run(tmp_path)
    directory = stopped((2, 1), tmp_path)
    (one,) = nl.find_unfinished(tmp_path)
    assert one["directory"] == str(directory) and one["model_name"] == "GRUseq2seq"
    assert (one["epochs"], one["of_epochs"]) == (2, 5)
    assert (one["status"], one["error"]) == ("failed", "RuntimeError: stopped")
    (directory / "run.json").write_text("{")
    assert nl.find_unfinished(tmp_path) == []


def test_a_run_that_another_process_trains_is_not_taken_from_it(tmp_path: Path) -> None:
    directory = stopped((1, 0), tmp_path)
    script = f"""
        import sys, time
        from pathlib import Path
        from neurallib.locks import held
        with held(Path({str(directory / LOCK)!r})):
            sys.stdout.write("held\\n"); sys.stdout.flush(); time.sleep(100)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(RuntimeError, match=f"is trained in by process {other.pid} on .* since"):
            run(tmp_path, resume=directory)
        assert nl.find_unfinished(tmp_path) == []
        with pytest.warns(UserWarning, match=f"has not finished, it is trained by process {other.pid}"):
            nl.load_checkpoint(directory)
        beside = run(tmp_path, resume=True)
        assert beside["training_info"]["checkpoints_directory"] != str(directory.resolve())
        other.kill()
    assert len(nl.find_unfinished(tmp_path)) == 1  # a dead process keeps nothing
    run(tmp_path, resume=directory)


def test_a_lock_that_is_given_back_while_one_waits_is_taken(tmp_path: Path) -> None:
    with held(tmp_path / "lock"):
        pass
    with held(tmp_path / "lock"), pytest.raises(BlockingIOError), held(tmp_path / "lock", wait=False):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_unfinished_directory_gives_its_best_weights_and_says_so(tmp_path: Path) -> None:
    finished = run(tmp_path, epochs=2, schedule="step")
    directory = Path(finished["training_info"]["checkpoints_directory"])
    Stop.at = (4, 0)
    with pytest.raises(RuntimeError, match="stopped"):
        run(tmp_path, epochs=5, schedule="step", resume=directory)
    best = torch.load(directory / "best.ckpt", weights_only=True)
    with pytest.warns(UserWarning, match="did not finish .RuntimeError: stopped.: its best"):
        state = nl.load_checkpoint(directory)
    assert state["training_info"]["best_epoch"] == best["epoch"] + 1 and state["training_info"]["status"] == "failed"
    with pytest.warns(UserWarning, match="did not finish"):
        path, _ = nl.get_weights_and_info_from_checkpoints(directory)
    for name, weight in torch.load(path, weights_only=True).items():
        assert torch.equal(weight, best["state_dict"][name]) and torch.equal(weight, state["weights"][name])


@pytest.mark.parametrize("every", [0, -1, 1.5, "1", datetime.timedelta(-1)])
def test_a_wrong_checkpoint_every_is_told(every: Any) -> None:
    state = make_state(GRU)
    with pytest.raises((TypeError, ValueError), match="checkpoint_every="):
        nl.train(state, data(state), data(state), epochs=1, batch_size=2, checkpoint_every=every, **QUIET)
    with pytest.raises(ValueError, match="checkpoint_every needs save=True"):
        nl.train(state, data(state), data(state), epochs=1, batch_size=2, checkpoint_every=1, **QUIET)


@pytest.mark.parametrize("content", ["{}", "[]", '{"options": {"epochs": "5"}}', '{"options": {"epochs": 5}}', "{"])
def test_a_beginning_that_was_not_written_here_is_named(content: str, tmp_path: Path) -> None:
    directory = stopped((2, 0), tmp_path)
    (directory / "run.json").write_text(content)
    with pytest.raises(ValueError, match="run.json"):
        run(tmp_path, resume=directory)
    assert nl.find_unfinished(tmp_path) == []


TOLD = """
import collections, functools, re
import numpy as np
import own
from neurallib.functions import described

LIMIT, NAMES, PATTERN = 0.5, {"a": np.zeros(5000), "b": {"x", "y", "z"}}, re.compile("a+")
holds_itself = [LIMIT]
holds_itself += [holds_itself, holds_itself]
generator = np.random.default_rng()

class Kept:
    factor = 2
    def scaled(self, x):
        return self.factor * x

kept = Kept()

def even(n):
    return n == 0 or odd(n - 1)

def odd(n):
    return n != 0 and even(n - 1)

def helper(x):
    return [x > LIMIT for _ in range(3)]

def function(x):
    inner = lambda y: helper(y) and own.fix(y) and NAMES["a"] is not None
    return inner(x), even(2), kept.scaled(x), PATTERN.match("a"), holds_itself, generator.random(), np.mean(x)
"""


def told(change: tuple[str, str] = ("", ""), fix: int = 1, follows: bool = True) -> str:
    """The function in words, after a change of its module or of one that this imports."""
    own, script = types.ModuleType("own"), {"__name__": "script"}
    exec(f"def fix(x):\n    return {fix}", own.__dict__)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "own", own)
        exec(TOLD.replace(*change), script)
        return described(script["function"], follows)


@pytest.mark.nightly
def test_function_is_told_otherwise_with_whatever_it_uses_of_its_module() -> None:
    first = told()
    assert told() == first == told(("import own", "import own, sys\nunused = 1"))
    changes = [
        ("LIMIT, NAMES, PATTERN = 0.5", "LIMIT, NAMES, PATTERN = 0.6"), ("np.zeros(5000)", "np.ones(5000)"),
        ("range(3)", "range(4)"), ('"z"', '"w"'), ("a+", "a*"), ("factor = 2", "factor = 3"), ("n != 0", "n != 1"),
        ("self.factor * x", "self.factor + x"),
    ]  # fmt: skip
    others = [told(change) for change in changes] + [told(fix=2)]
    assert len({first, *others}) == 1 + len(others)
    assert {told(change, follows=False) for change in changes} == {told(follows=False)}  # a run that counts goes on


@pytest.mark.nightly
def test_function_is_told_alike_in_every_process(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("def fix(x):\n    return 1\n")
    (tmp_path / "script.py").write_text(f"{TOLD}\nprint(described(function, True))")
    said = set()
    for seed in "12":
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True,
                              env=environment)  # fmt: skip
        assert done.returncode == 0, done.stderr
        said.add(done.stdout)
    assert len(said) == 1
