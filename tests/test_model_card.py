"""Model cards: what they say is what the state holds, and their code runs as it stands."""

from __future__ import annotations

import contextlib
import io
import os
import re
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cases import CASES, Case, make_pairs, make_state
from hub_client import Client
from hub_server import running_hub
from huggingface_hub import ModelCard

import neurallib as nl
from neurallib.storage.hub import push_to_hub
from neurallib.storage.model_card import for_repository, save_model_card

GRU = Case("GRUseq2seq", "binary")


def trained(**changes: object) -> nl.State:
    state = make_state(GRU, model_name="PeakFinder")
    state["preprocessing"].update(sampling_frequency=360.0, normalization="zscore")
    first = {"train_dataset": "old|data", "task": "two\nlines", "epochs": 9, "validation_loss": 0.7}
    second = {"train_dataset": "new data", "task": "peak detection", "epochs": 3, "validation_loss": 0.123456789}
    state["training_info"].update(second | {"training_history": first, "biosignal": "ECG"} | changes)
    return state


def written(state: nl.State, directory: Path, **options: object) -> str:
    (directory / "README.md").unlink(missing_ok=True)  # of the model before, which would be told
    return save_model_card(state, nl.save_checkpoint(state, directory), **options).read_text()  # type: ignore[arg-type]


def run(card: str) -> tuple[str, str]:
    """What the card's code prints, and what the card says it does."""
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {})
    return printed.getvalue().strip(), code.rpartition("# ")[2].strip()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_code_of_a_directory_runs_as_it_stands(case: Case, tmp_path: Path) -> None:
    printed, said = run(written(make_state(case), tmp_path / 'a "quoted" name \U0001fac0'))
    assert [int(n) for n in re.findall(r"\d+", printed)] == [int(n) for n in re.findall(r"\d+", said)]


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text here")
def test_a_directory_whose_name_is_no_text_has_a_card(tmp_path: Path) -> None:
    assert "/run_?" in written(make_state(GRU), tmp_path / os.fsdecode(b"run_\xff"))


@pytest.fixture
def client_of_a_hub(tmp_path: Path) -> Iterator[Client]:
    with running_hub() as hub:
        hub.users["secret"] = "owner"
        client = Client(hub.address, tmp_path / "home", HF_TOKEN="secret")
        yield client
        client.close()


def test_the_code_of_a_repository_runs_as_it_stands(client_of_a_hub: Client, tmp_path: Path) -> None:
    directory = nl.save_checkpoint(trained(), tmp_path / "private_place")
    save_model_card(trained(), directory)
    printed, said = client_of_a_hub(_push_and_run, directory)
    assert printed == "(500, 1)" and said == "[500, 1]"


def _push_and_run(directory: Path) -> tuple[str, str]:
    from huggingface_hub import hf_hub_download

    push_to_hub(directory, "owner/Model")
    return run(Path(hf_hub_download("owner/Model", "README.md")).read_text())


def test_metadata_is_what_the_hub_reads(tmp_path: Path) -> None:
    state = make_state(GRU)
    results = nl.evaluate(state, make_pairs(state, [20, 30]))
    data = ModelCard(written(state, tmp_path, metrics=results, measured_on="MIT-BIH, DS1")).data
    assert (data.library_name, data.pipeline_tag) == ("neurallib", "other")
    assert data.tags == ["biosignals", "time-series", "time-series-classification", "GRUseq2seq"]
    assert set(data.metrics) == {"roc_auc" if name == "auroc" else name for name in results}  # the hub's name for auroc
    found = {result.metric_name: result.metric_value for result in data.eval_results}
    assert found == results
    assert {result.metric_type for result in data.eval_results} == set(data.metrics)
    assert {(r.dataset_name, r.dataset_type) for r in data.eval_results} == {("MIT-BIH, DS1", "mit-bih-ds1")}
    assert "ECG" in ModelCard(written(trained(), tmp_path)).data.tags


def test_a_metric_that_is_not_defined_stays_out_of_the_index(tmp_path: Path) -> None:
    card = written(make_state(GRU), tmp_path, metrics={"accuracy": 1.0, "auroc": float("nan")}, measured_on="one class")
    assert [result.metric_name for result in ModelCard(card).data.eval_results] == ["accuracy"]
    assert "| auroc | nan |" in card and "| accuracy | 1 |" in card


def test_metrics_need_the_data_that_they_were_measured_on(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="measured_on is missing"):
        save_model_card(trained(), tmp_path, metrics={"loss": 1.0})
    assert list(tmp_path.iterdir()) == []


def test_the_card_says_what_the_model_is_for_and_how_it_came_about(tmp_path: Path) -> None:
    card = written(trained(), tmp_path)
    assert "# PeakFinder\n" in card
    for fact in (
        "**Trained for:** peak detection\n",
        "**Trained on:** new data\n",
        "**Sampling frequency:** 360 Hz",
        "**Normalization:** zscore of each signal",
        "**Output:** the probability of one class, at each sample; what it means is not recorded\n",
        "**Channels:** not recorded, nor their units\n",
        "It learnt from new data:",
        "**Licence:** not stated\n",
        "hid_dim:\n- 6\n- 4\n",
        "| 1 | old\\|data | two lines | 9 | 0.7 |\n| 2 | new data | peak detection | 3 | 0.123457 |\n",
    ):
        assert fact in card
    assert "loss_plot" not in card


def test_results_have_their_intervals_and_a_card_its_limits_and_licence(tmp_path: Path) -> None:
    options = {"metrics": {"f1": 0.99, "recall": 0.5}, "measured_on": "DS1", "license": np.str_("cc-by-4.0")}
    intervals = {"f1": np.array([0.981, 0.995]), "recall": (float("nan"), float("nan")), "other": (0.0, 1.0)}
    card = written(trained(), tmp_path, **options, intervals=intervals, limits="Not for newborns.")
    assert "| metric | value | 95 % interval |\n| --- | --- | --- |\n| f1 | 0.99 | 0.981 to 0.995 |\n" in card
    assert "| recall | 0.5 |  |\n" in card and "0 to 1" not in card
    assert "not for diagnosis" in card and "- Not for newborns.\n" in card and "**Licence:** cc-by-4.0\n" in card
    assert ModelCard(card).data.license == "cc-by-4.0"
    for of_others in (None, {"other": (0.0, 1.0)}):
        one = {"metrics": {"f1": 0.99}, "measured_on": "DS1", "intervals": of_others}
        assert "95 %" not in written(trained(), tmp_path, **one)
    wrong_ones = {"limits": 3, "license": 3, "intervals": [0.1], "datasets": "mitdb", "base_model": 3, "description": 3}
    for name, wrong in wrong_ones.items():
        with pytest.raises(TypeError, match=name):
            save_model_card(trained(), tmp_path, **{name: wrong})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"metrics\['f1'\] is a str_"):
        save_model_card(trained(), tmp_path, metrics={"f1": np.str_("0.9")}, measured_on="DS1")  # type: ignore
    whole = {"metrics": {"task": "events", "gross": {"f1": 0.9}}, "intervals": {"gross": {"f1": (0.8, 1.0)}}}
    for name, given in whole.items():  # of evaluate_recordings
        with pytest.raises(TypeError, match=rf"{name}\['.*'\] is a .*give result\['gross'\]"):
            save_model_card(trained(), tmp_path, **{name: given}, measured_on="DS1")  # type: ignore[arg-type]


def test_data_base_model_and_description_are_said_and_listed(tmp_path: Path) -> None:
    told = {"datasets": ["mitdb", "nst|db"], "base_model": "someone/Peaks", "description": "Finds R-peaks\nof adults."}
    card = written(trained(), tmp_path, **told)
    assert "# PeakFinder\n\nFinds R-peaks\nof adults.\n\n- **Trained for:**" in card
    assert "- **Datasets:** mitdb, nst\\|db\n- **Base model:** someone/Peaks\n" in card
    assert (ModelCard(card).data.datasets, ModelCard(card).data.base_model) == (["mitdb", "nst|db"], "someone/Peaks")
    plain = ModelCard(written(trained(), tmp_path))
    assert "Datasets" not in plain.text and (plain.data.datasets, plain.data.base_model) == (None, None)
    with pytest.raises(ValueError, match=r"datasets\[1\] is empty"):
        save_model_card(trained(), tmp_path, datasets=["mitdb", " "])


def test_a_model_of_both_directions_is_said_not_to_be_for_streams(tmp_path: Path) -> None:
    for both in (True, False):
        state = nl.gru_seq2seq(n_features=1, hid_dim=2, n_layers=1, bidirectional=both)
        assert ("it is not for streams" in written(state, tmp_path / str(both))) == both


def test_the_code_turns_outputs_into_answers(tmp_path: Path) -> None:
    state = trained()
    state["postprocessing"].update(outputs=["R-peak"], events={"threshold": 0.3, "snap": 0.05})
    assert "events = nl.find_events(output[:, 0], 360, threshold=0.3)  # samples\n" in written(state, tmp_path)
    state["postprocessing"]["events"]["delay"] = 0.1
    card = written(state, tmp_path)
    assert "events = nl.find_events(output[:, 0], 360, threshold=0.3, delay=0.1)  # samples\n" in card
    state["postprocessing"]["events"] |= {"min_distance": 0.25, "smoothing": 0.05, "delay": 0.0}
    assert "360, threshold=0.3, min_distance=0.25, smoothing=0.05, delay=0)  # samples\n" in written(state, tmp_path)
    labels = make_state(Case("GRUseq2seq", "multilabel"))
    assert "# samples, of 0; your signal's Hz in place of 250\n" in written(labels, tmp_path)
    classes = make_state(Case("GRUseq2seq", "multiclass"))
    names = ["wake", 'a "deep" sleep', "rem"]
    classes["postprocessing"]["outputs"] = names
    assert f"intervals = nl.find_intervals(output, 250, names={names})" in written(classes, tmp_path)
    one = make_state(Case("GRUseq2one", "multiclass"))
    one["postprocessing"]["outputs"] = names
    assert f"answer = {names}[output.argmax()]\n" in (card := written(one, tmp_path))
    run(card)
    assert "find_" not in written(make_state(Case("GRUseq2seq", "regression")), tmp_path)


def test_the_card_names_the_model_that_layers_came_from(tmp_path: Path) -> None:
    state = nl.reuse_layers(make_state(GRU, model_name="Other"), trained(), ["gru_layers.0"])
    card = written(state, tmp_path)
    fact = (
        r"\*\*Layers of PeakFinder:\*\* \d+% of the weights started as its gru_layers.0; it was trained on new data for"
    )
    assert re.search(fact, card) and "as they came" in card and "## Training" not in card


def test_the_loss_plot_is_shown_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "loss_plot.png").write_bytes(struct.pack("8B", *b"\x89PNG\r\n\x1a\n"))
    assert "![Loss by epoch](loss_plot.png)" in written(trained(), tmp_path)


def test_what_is_not_known_is_said_to_be_unknown(tmp_path: Path) -> None:
    untrained = written(make_state(GRU), tmp_path)
    assert "**Trained for:** nothing yet: the weights are as they came" in untrained and "## Training" not in untrained
    assert "**Sampling frequency:** not recorded\n" in untrained and "**Normalization:** not recorded\n" in untrained
    assert "**Trained on:** not recorded\n" in written(trained(train_dataset=None), tmp_path)


def test_the_card_tells_every_scale_that_travels(tmp_path: Path) -> None:
    state = make_state(Case("GRUseq2seq", "regression"))
    numbers = {"x_shift": [0.1234567, 2.0], "x_scale": [3.0, 4.0], "y_shift": [5.0, 6.0], "y_scale": [7.0, 8.0]}
    known = {"normalization": "dataset", "target_normalization": "dataset", "window": 400.0, "units": ["mV", "uV"]}
    state["preprocessing"].update(known | numbers)  # type: ignore[typeddict-item]
    card = written(state, tmp_path)
    for fact in (
        "**Normalization:** each channel by shift 0.1235, 2 and scale 3, 4 of the training data, which `predict` ap",
        "**Targets:** by shift 5, 6 and scale 7, 8 of the training data, which `predict` undoes\n",
        "**Window:** 400 samples: longer signals are taken in windows that overlap by half\n",
        "**Channels:** channel 0 (mV), channel 1 (uV)\n",
    ):
        assert fact in card
    one_way = make_state(Case("GRUseq2seq", "regression"), bidir_per_layer=[False, False])
    state |= {"hparams": one_way["hparams"], "weights": one_way["weights"]}  # type: ignore[typeddict-item]
    assert "**Window:** 400 samples: longer signals are heard in one pass\n" in written(state, tmp_path)
    named = {"target_normalization": "signal", "normalization": "robust", "sampling_frequency": 200.0, "units": None}
    state["preprocessing"].update(named | {"channels": ["II", "V5"]})  # type: ignore[typeddict-item]
    card = written(state, tmp_path)
    for fact in (
        "**Normalization:** robust of each signal, which `predict` applies\n",
        "**Targets:** by what their signals are normalized with, which `predict` undoes\n",
        "**Window:** 400 s: longer signals",
        "**Channels:** II (unit not recorded), V5 (unit not recorded)\n",
        "**Sampling frequency:** 200 Hz; with `sampling_frequency` given, `predict` resamples others\n",
    ):
        assert fact in card
    bare = written(make_state(GRU), tmp_path)
    assert not any(word in bare for word in ("**Targets:**", "**Window:**"))


def test_moving_a_card_to_a_repository_changes_its_loading_alone(tmp_path: Path) -> None:
    card = written(trained(), tmp_path) + "\nBy hand: see `load_checkpoint`.\n"
    moved = for_repository(card, "owner/name")
    differing = [(a, b) for a, b in zip(card.splitlines(), moved.splitlines(), strict=True) if a != b]
    assert [b for _, b in differing] == ['state = nl.load_from_hub("owner/name")']


def test_a_card_of_version_0_1_gets_code_that_runs_when_it_is_pushed() -> None:
    old = 'from neurallib.checkpoints import load_checkpoint\n\nstate = load_checkpoint("a")\n'
    moved = for_repository(old, "owner/name")
    assert "import neurallib as nl\n" in moved and 'state = nl.load_from_hub("owner/name")\n' in moved
    assert "neurallib.checkpoints" not in moved
