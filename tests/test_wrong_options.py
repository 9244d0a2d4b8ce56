"""Wrong options get the same one clear error, before any work; what is unusual and right is taken."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import QUIET

import neurallib as nl
from neurallib.measures.curves import curves_of

STATE = nl.gru_seq2seq(n_features=1, hid_dim=3, n_layers=1)
RECORDING = {"name": "a", "signal": np.zeros((9, 1), np.float32), "sampling_frequency": 100.0}


def read(**options: Any) -> dict[str, Any]:
    with open("a.csv", "w") as file:
        file.write("left (mV),right (uV)\n" + "1,2\n" * 9)
    try:
        return dict(nl.read_recording("a.csv", sampling_frequency=10, **options))
    finally:
        Path("a.csv").unlink()


def scored(**options: Any) -> dict[str, Any]:
    def never(recording: Any) -> Any:
        raise AssertionError("before any work")

    return nl.evaluate_recordings(never, [RECORDING], **options)  # type: ignore[list-item]


def made(recordings: Any = (RECORDING,), directory: str = "data", target: Any = lambda _: 1, **options: Any) -> Path:
    return nl.make_dataset(recordings, directory, target=target, val=0, test=0, **QUIET, **options)


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "units by number": (lambda: read(units=[3, 4]), r"units=\[3, 4\]; expected a list of names"),
    "units by name": (lambda: read(units={"left": "V"}), "units={'left': 'V'}; expected a list of names"),
    "a channel of no name": (lambda: read(channels=[[]]), r"channels asks for \[\]; expected a name"),
    "a GPU for a function": (lambda: scored(gpu_id=0), "gpu_id=0 says where a state runs, and model is a function"),
    "no draws": (lambda: scored(n_bootstrap=0), "n_bootstrap=0; expected"),
    "a token in bytes": (lambda: nl.load_from_hub("a/b", token=b"t"), "^token is a bytes"),  # type: ignore
    "a token by number": (lambda: nl.push_to_hub(STATE, "a/b", token=7), "^token is a int; "),  # type: ignore
    "a table of names": (lambda: nl.load_from_hub(np.array(["a", "b"])), "repo_id.* is a ndarray"),  # type: ignore
    "no name": (lambda: nl.get_hparams_from_hugging(""), "hugging_face_model is empty"),
    "a message by number": (lambda: nl.push_to_hub(STATE, "a/b", commit_message=3), "message=3 is"),  # type: ignore
    "a collection's page": (lambda: nl.list_production_models("https://hub/a/b"), "collection='https.*; expected 'own"),
    "a data set for a file": (lambda: made(directory=__file__), "^directory='.*' is a file; expected a folder"),
    "a data set in a file": (lambda: made(directory=f"{__file__}/a/b"), "^directory='.*/a/b' is in '.*py', which is a"),
    "a state in a file": (lambda: nl.save_checkpoint(STATE, f"{__file__}/a"), "^directory='.*/a' is in '.*', which is"),
    "a name too long": (lambda: nl.save_checkpoint(STATE, "ä" * 128), "^directory='äää.* of 256 bytes is too long"),
    "a path too long": (lambda: nl.save_checkpoint(STATE, "a/" * 2100), "^directory='a/a.* of 4199 bytes is too long"),
    "a card in a file": (lambda: nl.save_model_card(STATE, __file__), "cannot be written: .*py is no folder"),
    "results in a file": (lambda: nl.find_unfinished(__file__), "^results_directory='.*' is a file; expected a folder"),
    "a copy of the hub's in a file": (lambda: nl.load_from_hub("a/b", local_dir=__file__), "^local_dir='.*' is a file"),
    "beats for a target": (lambda: made(target=nl.beats), "^target=beats gives the samples of beats; expected what"),
    "targets of some": (lambda: made(target={"b": 1}), "target has nothing for 'a'; expected a value for every"),
    "a target of two": (lambda: made(target=lambda recording, name: 1), "target=<lambda> is no function of a reco"),
    "a list of options": (lambda: made(read_options=["lazy"]), r"read_options=\['lazy'\]; expected options of"),
    "a rate of another world": (lambda: made(sampling_frequency=1e12), "100 Hz for 1e\\+12 Hz, too far from it"),
    "a name for no file": (lambda: made({"a\0": RECORDING}), r"the name 'a\\x00'; expected one that a file can"),
    "a name by number": (lambda: made({7: RECORDING}), "the name 7; expected one that a file can"),
    "a function of two": (
        lambda: nl.test_on_single_signal(STATE, np.zeros(9), post_process_fn=np.interp),
        r"post_process_fn=interp is no function of a prediction \[T, K\]: missing a required argument",
    ),
    "peaks of one": (
        lambda: nl.denoising_scores(*[np.arange(9.0)] * 3, peaks=[3], sampling_frequency=9),  # type: ignore[arg-type]
        r"^peaks=\[3\]; expected two, ",
    ),
    "lengths in a list": (lambda: nl.valid_mask([3, 1], 3), r"^lengths=\[3, 1\]; expected a tensor"),  # type: ignore
    "a batch in a list": (lambda: nl.flip_valid([[1]], torch.tensor([1])), r"^x=\[\[1\]\]; expected"),  # type: ignore
    "lengths flipped": (lambda: nl.flip_valid(torch.ones(1, 2), 2), "^lengths=2; expected"),  # type: ignore
    "rates in an array": (
        lambda: nl.make_optimizer(torch.nn.Linear(1, 1), {"learning_rate": 1}, layer_learning_rates=np.ones(2)),
        "^layer_learning_rates is a ndarray",
    ),
    "a clock of a number": (lambda: read(time=1.5), "^time asks for 1.5; expected a name"),
    "a clock of nothing": (lambda: read(time=()), r"^time asks for \(\)"),
    "labels of no column": (lambda: read(labels="stage"), r"a\.csv has no column labels='stage'; there are 2: left"),
    "a list of devices": (lambda: nl.build_network(STATE, device=["cpu"]), "^device=.'cpu'.; expected"),  # type: ignore
    "a head of an array": (lambda: nl.replace_head(STATE, task=np.ones(2)), "^task="),  # type: ignore[arg-type]
    "options by number": (lambda: made(read_options={1: None}), "read_options"),
    "devices in an array": (
        lambda: nl.train(STATE, [(np.ones((9, 1)),) * 2], [(np.ones((9, 1)),) * 2], epochs=1, batch_size=1,
                         devices=np.ones(2), **QUIET),  # type: ignore[arg-type]
        "^devices=",
    ),
    "a repository too long": (lambda: nl.load_from_hub("a" * 5000), "^repo_id='aaa.*expected a name on the hub"),
    "a source in an array": (lambda: nl.retrain(None, "x", "y", checkpoints_directory=np.ones(2)), "^checkpoints.dire"),
    "a seed of words": (lambda: scored(seed="a"), "seed='a' is a str"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_option_is_named_before_any_work(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    call, words = WRONG[what]
    with pytest.raises((TypeError, ValueError, FileNotFoundError), match=words):
        call()
    assert list(tmp_path.iterdir()) == []


def test_channels_whose_unit_is_not_asked_for_keep_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for units in ([None, "mV"], ["", "mV"], np.array(["mV", "mV"])):
        found = read(units=units)
        assert found["units"] == ["mV", "mV"] and type(found["units"][1]) is str
        np.testing.assert_allclose(found["signal"][0], [1, 0.002])


@pytest.mark.parametrize("x_scales", [
    {"normalization": "zscore"}, {"normalization": "dataset", "x_shift": [0.2], "x_scale": [0.3]},
])  # fmt: skip
def test_values_on_a_scale_of_their_own_are_told_to_be_no_denoised_signal(x_scales: dict[str, Any]) -> None:
    state = nl.gru_seq2seq(n_features=1, hid_dim=3, n_layers=1, task="regression")
    scales = x_scales | {"target_normalization": "dataset", "y_shift": [60.0], "y_scale": [9.0]}
    scales["sampling_frequency"] = 100.0
    state = {**state, "preprocessing": state["preprocessing"] | scales}  # type: ignore[typeddict-item]
    with pytest.warns(UserWarning, match="targets on a scale of their own, as of rates or pressures"):
        nl.evaluate_recordings(state, [RECORDING], target=lambda recording: recording["signal"])
    if x_scales["normalization"] == "dataset":
        state["preprocessing"] |= {"y_shift": [2.0], "y_scale": [0.4]}  # as of a signal, whatever wanders beneath it
        nl.evaluate_recordings(state, [RECORDING], target=lambda recording: recording["signal"])


def test_more_weights_than_there_is_memory_for_are_refused_before_one_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    def rand(*size: Any, **options: Any) -> Any:
        raise AssertionError("drawn")

    monkeypatch.setattr(torch, "rand", rand)
    with pytest.raises(ValueError, match=r"more weights than this machine holds: .*weight_hh_l0, is \(6000000000, 20"):
        nl.gru_seq2seq(n_features=1, hid_dim=2 * 10**9, n_layers=1)


def test_curves_are_taken_as_a_file_keeps_them_and_told_where_they_were_changed() -> None:
    scores = nl.class_scores([[0, 0, 1, 0, 1, 1]], [[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]], names=["apnoea"])
    curves = dict(curves_of(scores))
    kept = json.loads(json.dumps(curves, default=np.ndarray.tolist))
    assert nl.choose_threshold(kept) == nl.choose_threshold(curves) == 0.25
    assert nl.plot_curves(kept).axes[0].get_legend().get_texts()[0].get_text() == "0.889  apnoea"
    one = kept["curves"]["apnoea"]
    for wrong, told in (
        ({"names": ["apnea"]}, "has no 'apnea'"),
        ({"names": 3}, "names=3 is a int"),
        ({"kind": "yes"}, "kind='yes'; expected one of"),
        ({"curves": {"apnoea": one | {"f1": [0.5]}}}, r"have shapes \(1,\), \(\d,\)"),
        ({"curves": {"apnoea": {name: one[name] for name in one if name != "auroc"}}}, "has no 'auroc'"),
        ({"calibration": []}, "'list' object has no attribute 'items'"),
    ):
        for call in (nl.choose_threshold, nl.plot_curves):
            with pytest.raises(ValueError, match=f"curves is not what threshold_curves gives, .*: .*{told}"):
                call({**kept, **wrong})
