"""What retraining begins with: a model from a directory or the hub, and what a state beside it changes of it."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from neurallib.architectures import ARCHITECTURES
from neurallib.models.registry import check_weights
from neurallib.state import Postprocessing, Preprocessing, State, changed, new_postprocessing, new_preprocessing
from neurallib.storage.checkpoints import load_checkpoint
from neurallib.tasks import task_kind
from neurallib.warn import warn
from neurallib.workflow.on_folders import PathLike

_ARGUMENTS = ("sampling_frequency", "channels", "units", "normalization", "target_normalization")  # of retrain


def source_of(state: State | None, checkpoints_directory: PathLike | None, hugging_face_model: str | None) -> State:
    """What retraining begins with: the source, under what a state beside it says; ValueError if they contradict each
    other."""
    source = _source(checkpoints_directory, hugging_face_model)
    return source if state is None else _with_hparams_of(state, source)


def _source(checkpoints_directory: PathLike | None, hugging_face_model: str | None) -> State:
    if checkpoints_directory is not None:
        return load_checkpoint(checkpoints_directory)
    from neurallib.storage.hub import load_from_hub

    return load_from_hub(str(hugging_face_model))


def _with_hparams_of(state: State, source: State) -> State:
    """The source's weights and history under another state's hyperparameters, which must fit the weights."""
    of_state, of_source = (
        f"{each['architecture']} for {'regression' if task_kind(each['hparams']) == 'regression' else 'classification'}"
        for each in (state, source)
    )
    if of_state != of_source:
        way = "train_from_scratch(reuse_layers(state, load_checkpoint(...), layers), ...) begins with its layers"
        raise ValueError(f"state is a {of_state}, its source a {of_source}: {way}.")
    merged = changed(
        source,
        hparams=dict(state["hparams"]),
        frozen=list(state["frozen"] or source["frozen"]),
        preprocessing=_preprocessing_of(state, source),
        postprocessing=_postprocessing_of(state, source),
    )
    check_weights(merged, "the source's weights")
    for name in ARCHITECTURES[state["architecture"]].implied:
        said, layers = merged["hparams"][name], merged["hparams"]["bidir_per_layer"]
        if said != source["hparams"][name] and said not in layers:
            raise ValueError(
                f"state['hparams'][{name!r}]={said}, its source's is {source['hparams'][name]}: the weights are "
                f"of bidir_per_layer={layers}."
            )
    return merged


def _preprocessing_of(state: State, source: State) -> Preprocessing:
    """The source's preprocessing, and the state's where the source says nothing."""
    known, own = copy.deepcopy((dict[str, Any](source["preprocessing"]), dict[str, Any](state["preprocessing"])))
    for name, said in own.items():
        if known[name] is None and name != "residual":  # without which nothing was added
            known[name] = said
        elif said is not None and not np.array_equal(known[name], said):
            way = "Leave it None in the state" + "; what is to change is an argument of retrain" * (name in _ARGUMENTS)
            raise ValueError(
                f"state['preprocessing'][{name!r}]={repr(said)[:80]}, its source's is {repr(known[name])[:80]}: the "
                f"weights learnt with that. {way}."
            )
    return new_preprocessing(known)


def _postprocessing_of(state: State, source: State) -> Postprocessing:
    """The source's postprocessing, and the state's where it says something; a warning tells where both do."""
    known, own = copy.deepcopy((dict[str, Any](source["postprocessing"]), dict[str, Any](state["postprocessing"])))
    for name, said in own.items():
        if said and known[name] and said != known[name]:
            warn(f"{name} of the state are taken, {repr(said)[:80]}; its source's are {repr(known[name])[:80]}.")
    return new_postprocessing(known | {name: said for name, said in own.items() if said})
