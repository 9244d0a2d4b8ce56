"""Train a model that reads the heart rate off an ECG, retrain it, test it, and read its history.

Run `python -m neurallib.examples.train_retrain_test`; see `--help`.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

import neurallib as nl
from neurallib.examples.heart_rates import SAMPLING_FREQUENCY, write_heart_rates
from neurallib.examples.recipes import make_parser, start

logger = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> dict[str, float]:
    """Run the example, and return what `evaluate` measured on the test part."""
    arguments = start(make_parser(__doc__, epochs=15), argv)
    path_x, path_y = write_heart_rates(arguments.out / "heart_rates", arguments.signals)
    options: dict[str, Any] = {
        "path_x": path_x, "path_y": path_y, "patience": 5, "batch_size": 16, "all_samples": True,
        "dataset_name": "synthetic ECG", "trained_for": "mean heart rate in beats a second", "normalization": "zscore",
        "sampling_frequency": SAMPLING_FREQUENCY, "enable_progress_bar": not arguments.quiet,
    }  # fmt: skip

    # One output a signal: the mean of the last layer's outputs, through a linear layer.
    state = nl.gru_seq2one(
        n_features=1, hid_dim=16, n_layers=2, bidirectional=True, task="regression", pooling="mean",
        learning_rate=0.01, model_name="HeartRate",
    )  # fmt: skip
    state = nl.train_from_scratch(state, epochs=arguments.epochs, **options)
    logger.info("trained: mean squared error %.4f", state["training_info"]["validation_loss"])

    # state=None: the architecture and its hyperparameters come from the checkpoint directory.
    directory = state["training_info"]["checkpoints_directory"]
    state = nl.retrain(None, epochs=max(1, arguments.epochs // 3), checkpoints_directory=directory, **options)
    history = state["training_info"]["training_history"]
    logger.info("retrained: %.4f, before: %.4f", state["training_info"]["validation_loss"], history["validation_loss"])

    predictions, loss = nl.test_on_test_set(state, path_x, path_y, save_predictions=True)
    measured = nl.evaluate(state, nl.open_folder(path_x, path_y, "test"))
    logger.info("test: loss %.4f, %s", loss, {name: round(value, 4) for name, value in measured.items()})

    signal, rate = nl.open_folder(path_x, path_y, "test")[0]
    found = nl.test_on_single_signal(state, np.asarray(signal))
    logger.info("first test signal: %.0f beats a minute, found %.0f", 60 * rate[0], 60 * found[0])
    logger.info("model, loss curve and predictions: %s", state["training_info"]["checkpoints_directory"])
    return measured


if __name__ == "__main__":
    main()
