"""Publish a trained model on the Hugging Face hub, with a model card that holds what it measured.

Run `python -m neurallib.examples.publish_model --repo OWNER/NAME`, logged in with `hf auth login`. Without `--repo` the
checkpoint directory and its card are made and nothing leaves the machine.
"""

from __future__ import annotations

import logging

import neurallib as nl
from neurallib.examples import train_retrain_test
from neurallib.examples.recipes import make_parser, start

logger = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> str:
    """Run the example, and return where the model is: the repository's address, or the card's path."""
    parser = make_parser(__doc__, epochs=15)
    parser.add_argument("--repo", help="repository to push to, OWNER/NAME")
    arguments = start(parser, argv)
    options = {"--out": arguments.out, "--signals": arguments.signals, "--epochs": arguments.epochs}
    words = [str(word) for option in options.items() for word in option]
    measured = train_retrain_test.main(words + ["--quiet"] * arguments.quiet)
    runs = arguments.out / "HeartRate" / "checkpoints"
    directory = max(runs.iterdir(), key=lambda path: path.stat().st_mtime)
    state = nl.load_checkpoint(directory)
    card = nl.save_model_card(
        state, directory, metrics=measured, measured_on="synthetic ECG, test part", license="mit",
        description="Heart rate of ECG, learnt from synthetic signals: an example of a card.",
    )  # fmt: skip
    logger.info("model card: %s", card)
    if arguments.repo is None:
        return str(card)
    url = nl.push_to_hub(directory, arguments.repo, private=True)
    logger.info("published: %s", url)
    return url


if __name__ == "__main__":
    main()
