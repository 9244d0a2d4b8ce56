"""What cannot be written: what does not matter is told and ends nothing; a checkpoint is an error that hands the
trained state out, after all else was saved. So is a warning where warnings are errors."""

import builtins
import errno
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forking
import numpy as np
import pytest
from cases import QUIET, Case, data, make_state, same_weights, write_folders

import neurallib as nl
from neurallib import files

GRU = Case("GRUseq2seq", "binary")


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have the disk be full for files of some names, from their nth write on."""
    replace = os.replace

    def fill(*names: str, after: int = 0, for_writes: float = float("inf")) -> None:
        seen: dict[str, int] = dict.fromkeys(names, 0)

        def full_replace(source: Any, target: Any) -> None:
            name = Path(target).name
            if name in seen:
                seen[name] += 1
                if after < seen[name] <= after + for_writes:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(source), None, str(target))
            replace(source, target)

        monkeypatch.setattr(files.os, "replace", full_replace)

    return fill


def run(**options: Any) -> nl.State:
    state = make_state(GRU)
    return nl.train(state, data(state), data(state, 3), epochs=3, batch_size=4, **({"save": True} | QUIET | options))


@pytest.mark.parametrize("name", ["loss_plot.png", "README.md"])
def test_a_plot_or_card_that_cannot_be_written_is_told_and_ends_nothing(name: str, full: Callable[..., None]) -> None:
    full(name)
    with pytest.warns(UserWarning, match=f"{name} is not written: No space left on device"):
        trained = run()
    loaded = nl.load_checkpoint(trained["training_info"]["checkpoints_directory"])
    assert same_weights(loaded, trained) and len(trained["training_info"]["val_losses"]) == 3


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_logs_that_cannot_be_written_are_told_and_end_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from tensorboard.summary.writer.record_writer import RecordWriter

    whole, written = RecordWriter.write, []

    def write(self: Any, content: bytes) -> None:
        written.append(content)
        if len(written) > 8:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        whole(self, content)

    monkeypatch.setattr(RecordWriter, "write", write)
    with pytest.warns(UserWarning) as told:
        trained = run(enable_tensorboard=True)
    assert any(re.match("the logs are not written .*No space", str(one.message)) for one in told)
    assert len(trained["training_info"]["val_losses"]) == 3


@pytest.mark.filterwarnings("ignore:.*is not written")
@pytest.mark.filterwarnings("ignore:.*is not written")
@pytest.mark.parametrize("name", ["model_weights.safetensors", "hparams.yaml", "training_info.json"])
def test_a_checkpoint_that_cannot_be_written_is_an_error_with_the_trained_state(
    name: str, full: Callable[..., None], tmp_path: Path
) -> None:
    expected = run()
    full(name, after=1 if name != "model_weights.safetensors" else 0)
    with pytest.raises(OSError, match=f"No space left on device.*{name}") as error:
        run()
    state = error.value.state  # type: ignore[attr-defined]
    assert same_weights(state, expected) and error.value.errno == errno.ENOSPC
    directory = Path(state["training_info"]["checkpoints_directory"])
    assert {"best.ckpt", "last.ckpt", "loss_plot.png", "README.md"} <= {path.name for path in directory.iterdir()}
    full()
    nl.load_checkpoint(nl.save_checkpoint(state, tmp_path / "elsewhere"))


@pytest.mark.filterwarnings("ignore:.*is not written")
def test_a_disk_that_is_full_for_a_while_loses_nothing(full: Callable[..., None]) -> None:
    full("best.ckpt", "last.ckpt", "training_info.json", for_writes=1)
    with pytest.warns(UserWarning, match="best.ckpt is not written: No space left on device. Training goes on."):
        trained = run()
    directory = Path(trained["training_info"]["checkpoints_directory"])
    assert (directory / "best.ckpt").is_file() and (directory / "last.ckpt").is_file()
    assert same_weights(nl.load_checkpoint(directory), trained)


@pytest.mark.filterwarnings("ignore:.*is not written")
def test_a_best_checkpoint_that_is_never_written_is_told_after_the_weights_were(full: Callable[..., None]) -> None:
    full("best.ckpt")
    with pytest.raises(OSError, match="best.ckpt") as error:
        run()
    state = error.value.state  # type: ignore[attr-defined]
    assert same_weights(nl.load_checkpoint(state["training_info"]["checkpoints_directory"]), state)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("save", [False, True])
def test_a_warning_that_is_an_error_hands_out_the_trained_state(save: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurallib.training.record.constant_loss", lambda *_: 0.0)
    with pytest.raises(UserWarning, match="the best model is no better than a constant") as warning:
        run(save=save)
    state = warning.value.state  # type: ignore[attr-defined]
    assert state["training_info"]["epochs"] == 3
    if save:
        assert same_weights(nl.load_checkpoint(state["training_info"]["checkpoints_directory"]), state)
        assert nl.find_unfinished() == []


def test_predictions_that_cannot_be_written_are_returned(full: Callable[..., None], tmp_path: Path) -> None:
    state = make_state(GRU)
    path_x, path_y = write_folders(tmp_path, state)
    names = sorted(path.name for path in (path_x / "test").iterdir())
    directory = nl.save_checkpoint(state, tmp_path / "run")
    full(names[0])
    with pytest.warns(UserWarning, match=f"predictions/{names[0]} is not written"):
        outputs, _ = nl.test_on_test_set(None, path_x, path_y, checkpoints_dir=directory, save_predictions=True)
    assert len(outputs) == len(names) and len(list((directory / "predictions").iterdir())) == len(names) - 1


def test_a_write_that_fails_names_its_file_and_reads_that_fail_theirs(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="out.bin") as error, files.atomic_write(tmp_path / "out.bin") as temporary:
        with open(temporary, "wb"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
    assert error.value.errno == errno.EIO and error.value.filename == str(tmp_path / "out.bin")
    with pytest.raises(FileNotFoundError, match="missing.bin"), files.atomic_write(tmp_path / "out.bin"):
        builtins.open(tmp_path / "missing.bin")
    assert list(tmp_path.iterdir()) == []


LIMITED = """
    import resource, sys
    import numpy as np
    import neurallib as nl

    rng = np.random.default_rng(0)
    pairs = [(x := rng.standard_normal((20, 1)).astype(np.float32), (x > 0).astype(np.float32)) for _ in range(6)]
    state = nl.gru_seq2seq(n_features=1, hid_dim=24, n_layers=1)
    nl.train(state, pairs, pairs, epochs=1, batch_size=3, enable_progress_bar=False)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6_000, resource.RLIM_INFINITY))
    try:
        nl.train(state, pairs, pairs, epochs=2, batch_size=3, save=True, enable_progress_bar=False)
    except OSError as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        saved = nl.save_checkpoint(error.state, sys.argv[1])
        sys.stdout.write(f"{error.strerror} {error.filename}")
        directory = error.state["training_info"]["checkpoints_directory"]
        assert not [path for path in __import__("pathlib").Path(directory).iterdir() if path.name.startswith(".")]
"""


def test_files_that_really_cannot_grow_lose_no_training(tmp_path: Path) -> None:
    environment = os.environ | {"NEURALLIB_RESULTS_DIR": str(tmp_path), "PYTHONWARNINGS": "default"}  # read below
    run = forking.run(["-c", LIMITED, str(tmp_path / "saved")], environment)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("File too large ") and "model_weights.safetensors" in run.stdout
    assert "best.ckpt is not written: File too large. Training goes on." in run.stderr
    assert len(nl.load_checkpoint(tmp_path / "saved")["training_info"]["val_losses"]) == 2
    assert np.isfinite(nl.load_checkpoint(tmp_path / "saved")["training_info"]["val_losses"]).all()
