"""The first use of the kernels: what is told while they are compiled, and what killed processes have left."""

import os
import sys
from pathlib import Path

import pytest
from recurrence_cases import run_script

from neurallib.progress import progress

pytest.importorskip("numba")
import test_kernel_cache as cache  # noqa: E402
from test_kernel_cache import files, kept_and_run, triple  # noqa: E402

folder = cache.folder


def test_what_a_killed_process_left_half_written_is_swept_in_time(folder: Path) -> None:
    assert kept_and_run() == 0
    (file,) = files(folder)
    abandoned, fresh = (file.with_name(f"{file.name}.{name}.tmp") for name in ("abandoned", "fresh"))
    abandoned.write_bytes(b"half")
    os.utime(abandoned, (0, 0))
    fresh.write_bytes(b"another process is about it")
    kept_and_run(triple)
    assert fresh.is_file() and not abandoned.exists()


def test_compiling_is_told_in_the_log_and_beside_a_bar(
    folder: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    caplog.set_level("INFO", "neurallib")
    for _ in progress([1], True, "working"):
        assert kept_and_run() == 0 and kept_and_run() == 1
    assert [record.getMessage() for record in caplog.records] == ["compiling kernels (once)"]
    shown = capsys.readouterr().err
    assert "working" in shown and "compiling kernels (once)" in shown


def test_the_clock_of_a_trial_starts_when_all_is_imported_and_compiled() -> None:
    script = """
        import sys
        from pathlib import Path
        import torch
        from neurallib.search import trials
        from neurallib.recurrence import kernel
        def train(*_, **__):
            used = (kernel.forward, kernel.backward, kernel.linear)
            print("pytorch_lightning" in sys.modules, [len(one.signatures) for one in used], end="")
            raise SystemExit
        trials.train_from_scratch = train
        hparams = {"n_features": 2, "hid_dim": 3, "n_layers": 1, "dropout": 0.5}
        before = torch.get_rng_state()
        try:
            trials.run_trial(trials.Trial("digest", "GRUseq2seq", hparams, {}, 1, Path("record")))
        finally:
            assert torch.equal(before, torch.get_rng_state())
    """
    assert run_script(script) == "True [1, 1, 1]"
