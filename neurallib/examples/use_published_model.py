"""Use a published model: list a collection, download one, predict with it, and retrain it on signals of one's own.

Run `python -m neurallib.examples.use_published_model --repo OWNER/NAME` with a repository that publish_model made.
What was downloaded once works without a connection.
"""

from __future__ import annotations

import logging

import neurallib as nl
from neurallib.examples.heart_rates import write_heart_rates
from neurallib.examples.recipes import make_parser, start

logger = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> nl.State:
    """Run the example, and return the retrained state."""
    parser = make_parser(__doc__, epochs=2)
    parser.add_argument("--repo", required=True, help="repository to pull from, OWNER/NAME")
    arguments = start(parser, argv)
    path_x, path_y = write_heart_rates(arguments.out / "heart_rates_of_others", arguments.signals, seed=1)

    state = nl.load_from_hub(arguments.repo)
    info = state["training_info"]
    logger.info("%s, trained on %s for %s", state["architecture"], info.get("train_dataset"), info.get("task"))
    test = nl.open_folder(path_x, path_y, "test")
    logger.info("as published: %s", nl.evaluate(state, test))

    # From the repository alone: architecture, weights and history.
    state = nl.retrain(
        None, path_x, path_y, patience=5, batch_size=16, epochs=arguments.epochs, all_samples=True,
        hugging_face_model=arguments.repo, dataset_name="other synthetic ECG",
        trained_for=info.get("task") or "heart rate", enable_progress_bar=not arguments.quiet,
    )  # fmt: skip
    logger.info("retrained: %s", nl.evaluate(state, test))
    logger.info("model: %s", state["training_info"]["checkpoints_directory"])
    return state


if __name__ == "__main__":
    main()
