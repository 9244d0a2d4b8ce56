"""preprocessing.json: what stands before a state's network and behind it, as a file."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neurallib.checks import is_list
from neurallib.files import read_json, write_json
from neurallib.names import listing
from neurallib.signals.normalization import NORMALIZATIONS, TARGET_NORMALIZATIONS
from neurallib.state import Postprocessing, Preprocessing, State, new_postprocessing, new_preprocessing
from neurallib.warn import warn

PREPROCESSING = "preprocessing.json"


def write_preprocessing(state: State, directory: Path) -> None:
    """Write the file into a checkpoint directory."""
    write_json(directory / PREPROCESSING, {name: state[name] for name in ("preprocessing", "postprocessing")})


def read_preprocessing(
    directory: Path, info: Mapping[str, Any], info_path: Path
) -> tuple[Preprocessing, Postprocessing]:
    """What the directory's preprocessing.json holds; in one of the original or of an older version, what its training
    information tells, and nothing of outputs."""
    path = directory / PREPROCESSING
    if not path.is_file():
        return known_preprocessing(info, info_path), new_postprocessing()
    whole = read_json(path)
    held = whole.get("preprocessing", {})
    if not isinstance(held, Mapping):
        raise ValueError(f"{path} has preprocessing={held!r}; expected names with values.")
    return known_preprocessing(held, path), _known_postprocessing(whole.get("postprocessing", {}), path)


def _known_postprocessing(held: Any, path: Path) -> Postprocessing:
    outputs, events = (held.get(name) if isinstance(held, Mapping) else None for name in ("outputs", "events"))
    if (outputs is not None and not is_list(outputs)) or not isinstance(events or {}, Mapping):
        raise ValueError(f"{path} has postprocessing={held!r}; expected a list of outputs' names, and events by name.")
    return new_postprocessing({"outputs": outputs, "events": events or {}})


def known_preprocessing(held: Mapping[str, Any], source: Path) -> Preprocessing:
    """The preprocessing of a file, None for what it does not tell or cannot mean: published files hold "NA". ValueError
    where a normalization is without its numbers, which outputs would be wrong without."""
    known: dict[str, Any] = {}
    for name in ("sampling_frequency", "window"):
        known[name] = float(held[name]) if _is_number(held.get(name)) and held[name] > 0 else None
    fold = held.get("fold")
    for name in ("target_offset", "residual"):
        known[name] = held[name] if isinstance(held.get(name), bool) else None
    known["fold"] = fold if isinstance(fold, int) and fold > 1 else None
    for name in ("steps", "x_shift", "x_scale", "y_shift", "y_scale"):
        known[name] = list(held[name]) if is_list(held.get(name)) else None
    for name in ("channels", "units"):
        texts = is_list(held.get(name)) and all(isinstance(entry, str) for entry in held[name])
        known[name] = list(held[name]) if texts else None
    kinds = (("normalization", "x", NORMALIZATIONS), ("target_normalization", "y", TARGET_NORMALIZATIONS))
    for name, side, there in kinds:
        given = held.get(name)
        if given not in (None, *there):
            warn(f"{source} has {name}={given!r}, none of {listing(there)}: values are taken as they are.")
        known[name] = given if given in there else None
        if known[name] == "dataset" or (side == "y" and known[name] is not None):
            numbers = known[f"{side}_shift"], known[f"{side}_scale"]
            finite = all(isinstance(values, list) and all(map(_is_number, values)) for values in numbers)
            if not finite or not all(scale > 0 for scale in numbers[1]):
                raise ValueError(
                    f"{source} has {name}={known[name]!r} without finite {side}_shift and {side}_scale above 0."
                )
    return new_preprocessing(known)


def _is_number(value: Any) -> bool:
    if isinstance(value, int) and not isinstance(value, bool):
        return abs(value) <= sys.float_info.max
    return isinstance(value, float) and math.isfinite(value)
