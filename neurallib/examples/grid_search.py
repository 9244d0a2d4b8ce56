"""Grid search: which size of network and learning rate read the heart rate off an ECG best.

Run `python -m neurallib.examples.grid_search`, on two processes with `--workers 2`; see `--help`. What is finished is
not repeated when it runs again. `tensorboard --logdir results/HeartRate`, tab HPARAMS, compares the trials.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch

import neurallib as nl
from neurallib.examples.heart_rates import SAMPLING_FREQUENCY, write_heart_rates
from neurallib.examples.recipes import make_parser, start

logger = logging.getLogger(__name__)

OPTIONS: dict[str, Any] = {  # a list holds options, anything else is the only one
    "n_features": 1, "hid_dim": [8, 16, [16, 8]], "n_layers": [1, 2], "bidirectional": True, "task": "regression",
    "pooling": "mean", "learning_rate": [0.01, 0.003], "model_name": "HeartRate",
}  # fmt: skip


def main(argv: list[str] | None = None) -> list[nl.TrialResult]:
    """Run the example, and return the results, best first."""
    parser = make_parser(__doc__, epochs=10)
    parser.add_argument("--workers", type=int, default=0, help="processes that train; 0: this one [0]")
    arguments = start(parser, argv)
    data = arguments.out / f"heart_rates_{arguments.signals}"
    if not data.exists():  # files written anew would make new trials
        write_heart_rates(data, arguments.signals)
    train_params: dict[str, Any] = {
        "path_x": data / "x", "path_y": data / "y", "patience": 5, "batch_size": 16, "epochs": arguments.epochs,
        "all_samples": True, "dataset_name": "synthetic ECG", "trained_for": "mean heart rate in beats a second",
        "normalization": "zscore", "sampling_frequency": SAMPLING_FREQUENCY, "enable_tensorboard": True,
    }  # fmt: skip

    with contextlib.ExitStack() as stack:
        # Any executor will do; with Dask, distributed.Client(...).get_executor() runs the trials on a cluster.
        spawning = multiprocessing.get_context("spawn")
        executor = stack.enter_context(ProcessPoolExecutor(arguments.workers, spawning)) if arguments.workers else None
        results = nl.grid_search(
            "GRUseq2one", OPTIONS, train_params, executor=executor,
            threads_per_trial=max(1, torch.get_num_threads() // max(1, arguments.workers)),
            enable_progress_bar=not arguments.quiet,
        )  # fmt: skip

    for rank, trial in enumerate(results, 1):
        varied = {name: trial["hparams"][name] for name in ("hid_dim", "n_layers", "learning_rate")}
        logger.info("%2d. %s  %.5f  %s", rank, trial["status"], trial["validation_loss"], varied)
    best = nl.load_checkpoint(str(results[0]["checkpoints_directory"]))
    measured = nl.evaluate(best, nl.open_folder(data / "x", data / "y", "test"))
    logger.info("the best on the test part: %s", {name: round(value, 4) for name, value in measured.items()})
    logger.info("leaderboard: %s", arguments.out / "HeartRate" / "grid_search" / "leaderboard.csv")
    return results


if __name__ == "__main__":
    main()
