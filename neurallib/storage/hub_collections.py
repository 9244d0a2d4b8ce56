"""Models that are published together on the Hugging Face hub, by their names."""

from __future__ import annotations

import re

from neurallib.checks import text
from neurallib.storage.hub_errors import plain_errors

NEURALLIB_COLLECTION = (
    "novabiosignals/neurallib-deep-learning-models-for-biosignals-processing-6813ee129bc1bba8210b6948"
)


def list_production_models(collection: str = NEURALLIB_COLLECTION) -> list[str]:
    """The models in a collection on the hub, by default the published NeuralLib ones.

    Parameters
    ----------
    collection : str
        "owner/title-and-number", the end of the address of the collection's page.

    Returns
    -------
    list of str
        Their names, "owner/name", for `load_from_hub`.

    Raises
    ------
    FileNotFoundError
        If there is no such collection.
    TypeError, ValueError
        If it is no name of one.
    PermissionError
        If it is not for everyone.
    ConnectionError
        If the hub cannot be reached.

    See Also
    --------
    load_from_hub : one of them as a state.
    list_pretrained : models that come along, without a network.

    Examples
    --------
    >>> import neurallib as nl
    >>> names = nl.list_production_models()  # doctest: +SKIP
    """
    from huggingface_hub import get_collection

    if not re.fullmatch(r"[\w.-]+/[\w.-]+", text("collection", collection)):
        raise ValueError(f"collection={collection!r}; expected 'owner/title-and-number', the end of its address.")
    with plain_errors(f"collection {collection!r}"):
        return [item.item_id for item in get_collection(collection).items if item.item_type == "model"]
