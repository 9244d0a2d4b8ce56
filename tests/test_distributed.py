"""Training in two processes: each sees its own half of the signals, and both end with the same model."""

import json
import os
import sys
import textwrap
from pathlib import Path
from typing import Any

import forking
import pytest

DISTRIBUTED = """
    import json, os
    from cases import Case, make_state
    from pytorch_lightning.loggers import Logger
    from watching import Watch, marked
    import neurallib as nl

    class Counting(Logger):
        name = version = "counting"
        n_rows = 0

        def log_hyperparams(self, *args, **kwargs):
            pass

        def log_metrics(self, metrics, step=None):
            self.n_rows += 1

    state = make_state(Case("GRUseq2seq", "binary"))
    train, val = marked(state, [8] * 8), marked(state, [8] * 3, first=100)
    watch, logger = Watch(), Counting()
    trained = nl.train(state, train, val, epochs=3, batch_size=2, save=True, enable_progress_bar=False,
                       accelerator="cpu", devices=2, callbacks=[watch], loggers=[logger], normalization=None)
    info = trained["training_info"]
    told = {
        "weights": sum(float(weight.double().sum()) for weight in trained["weights"].values()),
        "train": watch.orders(), "validated": watch.validated, "val_losses": info["val_losses"],
        "directory": info["checkpoints_directory"], "schedule": info["schedule"],
        "logged": logger.n_rows,
    }
    with open(os.environ["REPORT"] + os.environ.get("LOCAL_RANK", "0"), "w") as file:
        json.dump(told, file)
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each process of one run tells."""
    directory = tmp_path_factory.mktemp("distributed")
    script = directory / "distributed.py"
    script.write_text(textwrap.dedent(DISTRIBUTED))
    environment = {name: value for name, value in os.environ.items() if name not in ("LOCAL_RANK", "RANK")}
    environment |= {
        "NEURALLIB_RESULTS_DIR": str(directory / "results"), "REPORT": str(directory / "rank"),
        "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
    }  # fmt: skip
    forking.run([script], environment, timeout=180, check=True)
    return [json.loads((directory / f"rank{rank}").read_text()) for rank in (0, 1)]


def test_two_processes_train_one_model_into_one_directory(told: list[dict[str, Any]]) -> None:
    for name in ("weights", "val_losses", "directory"):
        assert told[0][name] == told[1][name]
    assert told[0]["logged"] > 0 == told[1]["logged"]
    assert len(list(Path(told[0]["directory"]).parent.iterdir())) == 1


def test_the_rate_falls_to_nothing_over_the_steps_that_processes_take_together(told: list[dict[str, Any]]) -> None:
    """Eight signals in batches of two are two steps of two processes."""
    assert [each["schedule"] for each in told] == ["WarmUpCosine(n_steps=6, n_warm_up=0)"] * 2


def test_two_processes_share_each_epoch_and_validate_on_everything(told: list[dict[str, Any]]) -> None:
    halves = [tuple(told[rank]["train"][epoch]) for epoch in range(3) for rank in (0, 1)]
    for first, second in zip(halves[::2], halves[1::2], strict=True):
        assert len(first) == len(second) == 4 and sorted(first + second) == list(range(8))
    assert len({*halves}) == 6  # another order, and another half, each epoch
    assert [sorted(signals) for rank in (0, 1) for signals in told[rank]["validated"]] == [[100, 101, 102]] * 6
