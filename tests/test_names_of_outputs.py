"""Names of classes and quantities: in the state, through its files, and wherever an output is told of."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import CASES, QUIET, Case, as_loaded, data, make_pairs, make_state, same_state, write_folders

import neurallib as nl
from neurallib.tasks import describe

CLASSES = Case("GRUseq2seq", "multiclass")
STAGES = ["wake", "light (N1, N2)", "macro"]


def named(case: Case, names: Any) -> nl.State:
    state = make_state(case)
    return nl.State(**(state | {"postprocessing": {"outputs": names, "events": {}}}))


@pytest.mark.parametrize("case", [case for case in CASES if case.kind != "binary"], ids=str)
def test_measures_of_one_output_have_its_name(case: Case) -> None:
    plain = make_state(case)
    names = [f"no. {i} (mV)" for i in range(describe(plain).n_outputs)]
    pairs = make_pairs(plain, [9, 20, 15])
    got, numbered = nl.evaluate(named(case, names), pairs), nl.evaluate(plain, pairs)
    expected = {}
    for key, value in numbered.items():
        head, _, last = key.rpartition("_")
        expected[f"{head}_{names[int(last)]}" if last.isdigit() else key] = value
    assert got == pytest.approx(expected, nan_ok=True) and len(got) > len(names) + 2


def test_names_may_be_an_array_and_travel_as_a_list(tmp_path: Path) -> None:
    state = nl.gru_seq2seq(n_features=2, hid_dim=3, n_layers=1, num_classes=3, model_name=np.str_("stages"))
    pairs = make_pairs(make_state(CLASSES), [9, 6])
    names = {"outputs": np.array(STAGES), "channels": np.array(["C3", "C4"]), "units": np.array(["uV", "uV"])}
    trained = nl.train(state, pairs, pairs, epochs=1, batch_size=2, **names, **QUIET)
    loaded = nl.load_checkpoint(nl.save_checkpoint(trained, tmp_path / "stages"))
    assert loaded["postprocessing"]["outputs"] == STAGES and loaded["hparams"]["model_name"] == "stages"
    assert [loaded["preprocessing"][key] for key in ("channels", "units")] == [["C3", "C4"], ["uV", "uV"]]
    turned = [x[:, ::-1] for x, _ in pairs]
    got = nl.predict(loaded, turned, channels=np.array(["C4", "C3"]))
    assert np.array_equal(got[0], nl.predict(loaded, [pairs[0][0]])[0])


def test_a_person_without_a_kind_of_beat_is_nothing_to_tell() -> None:
    beats = {"sample": [2, 5, 7], "symbol": ["N", "+", "(AFIB"], "duration": [0.0] * 3}
    given: Any = {"name": "a", "signal": np.zeros((9, 1)), "sampling_frequency": 1.0, "events": beats}
    assert not nl.event_target(given, symbols=["V"]).any()
    with pytest.warns(UserWarning, match=r"are \(AFIB, \+, N: none of them is one of symbols, PVC"):
        nl.event_target(given, symbols=["PVC"])
    for name in ("PVC", "pvc"):
        beats["symbol"][1] = name
        with pytest.warns(UserWarning, match=rf"are \(AFIB, N, {name}: none of them is one of symbols, V"):
            nl.event_target(given, symbols=["V"])


def test_a_class_does_not_take_the_place_of_a_mean_of_all() -> None:
    pairs = make_pairs(make_state(CLASSES), [30, 20])
    assert nl.evaluate(named(CLASSES, STAGES), pairs)["f1_macro"] == nl.evaluate(make_state(CLASSES), pairs)["f1_macro"]


def test_names_go_through_files_training_and_the_card(tmp_path: Path) -> None:
    state = named(CLASSES, STAGES)
    state["postprocessing"]["events"] = {"threshold": 0.4}
    pairs = make_pairs(state, [9, 20])
    trained = nl.train(state, pairs, pairs, epochs=1, batch_size=2, enable_progress_bar=False)
    directory = nl.save_checkpoint(trained, tmp_path)
    loaded = nl.load_checkpoint(directory)
    assert loaded["postprocessing"] == {"outputs": STAGES, "events": {"threshold": 0.4}}
    assert same_state(loaded, as_loaded(trained, directory))
    held = json.loads((directory / "preprocessing.json").read_text())
    assert held["postprocessing"] == loaded["postprocessing"] and held["preprocessing"] == loaded["preprocessing"]
    assert "at each sample: wake, light (N1, N2), macro\n" in nl.save_model_card(loaded, directory).read_text()


def test_states_and_files_of_older_versions_have_no_names(tmp_path: Path) -> None:
    state = make_state(CLASSES)
    old = {name: value for name, value in state.items() if name != "postprocessing"}
    (output,) = nl.predict(old, [np.zeros((5, 2))])  # type: ignore[arg-type]
    assert output.shape == (5, 3) and "postprocessing" not in old
    directory = nl.save_checkpoint(old, tmp_path)  # type: ignore[arg-type]
    for content in ({"preprocessing": dict(state["preprocessing"])}, None):
        path = directory / "preprocessing.json"
        path.unlink() if content is None else path.write_text(json.dumps(content))
        assert nl.load_checkpoint(directory)["postprocessing"] == {"outputs": None, "events": {}}


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (["a", "b"], ValueError, r"outputs=\['a', 'b'\]; seq2seq multiclass expects a list of 3 different names"),
        (["a", "b", "b"], ValueError, "3 different names"),
        (["a", "b", " "], ValueError, "3 different names"),
        (["a", "b", 3], TypeError, "3 different names"),
        ("abc", TypeError, "outputs'. is one text, 'abc'; expected a list"),
    ],
)
def test_names_that_do_not_fit_are_refused(given: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        nl.evaluate(named(CLASSES, given), make_pairs(make_state(CLASSES), [9]))


def test_what_is_no_postprocessing_is_refused(tmp_path: Path) -> None:
    state = make_state(CLASSES)
    with pytest.raises(ValueError, match="postprocessing.* has 'output'. Did you mean 'outputs'"):
        nl.predict({**state, "postprocessing": {"output": STAGES}}, [np.zeros((5, 2))])  # type: ignore[typeddict-item]
    with pytest.raises(TypeError, match="postprocessing.* is a list; expected a dict"):
        nl.predict({**state, "postprocessing": STAGES}, [np.zeros((5, 2))])  # type: ignore[typeddict-item]
    directory = nl.save_checkpoint(state, tmp_path)
    (directory / "preprocessing.json").write_text(json.dumps({"postprocessing": {"outputs": "abc"}}))
    with pytest.raises(ValueError, match="preprocessing.json has postprocessing=.*expected a list of outputs' names"):
        nl.load_checkpoint(directory)


def test_a_legend_names_the_lines_of_a_prediction() -> None:
    figure = nl.plot_prediction(np.zeros(9), np.zeros((9, 3)), output_names=STAGES)
    legend = figure.axes[1].get_legend()
    assert legend is not None and [text.get_text() for text in legend.get_texts()] == STAGES
    with pytest.raises(ValueError, match="expected 2, one for each column"):
        nl.plot_prediction(np.zeros(9), np.zeros((9, 2)), output_names=STAGES)


def test_training_names_outputs_and_training_on_keeps_the_names(tmp_path: Path) -> None:
    state = make_state(CLASSES)
    path_x, path_y = write_folders(tmp_path / "data", state)
    told: dict[str, Any] = {"dataset_name": "made up", "trained_for": "sleep stages", "epochs": 1, **QUIET}
    trained = nl.train_from_scratch(state, path_x, path_y, outputs=STAGES, **told)
    assert trained["postprocessing"] == {"outputs": STAGES, "events": {}} and state["postprocessing"]["outputs"] is None
    directory = trained["training_info"]["checkpoints_directory"]
    assert nl.load_checkpoint(directory)["postprocessing"]["outputs"] == STAGES
    on = nl.retrain(None, path_x, path_y, checkpoints_directory=directory, **told)
    assert on["postprocessing"]["outputs"] == STAGES
    with pytest.warns(UserWarning, match=r"outputs change from \['wake', .* to \['W', 'N', 'R'\]"):
        renamed = nl.retrain(None, path_x, path_y, checkpoints_directory=directory, outputs=("W", "N", "R"), **told)
    assert renamed["postprocessing"]["outputs"] == ["W", "N", "R"] and "f1_N" in nl.evaluate(renamed, data(state))


@pytest.mark.parametrize(("target", "n_classes", "names"), [
    (partial(nl.event_target, symbols=["breath"]), 1, ["breath"]),
    (partial(nl.event_target, symbols=["QRS"]), 1, None),  # an R-peak
    (partial(nl.interval_target, classes={"in": 1}, background=0), 1, ["in"]),
    (partial(nl.interval_target, classes=["out", "in"], binary=True), 1, ["in"]),
    (partial(nl.interval_target, classes=["out", "in"]), 2, ["out", "in"]),
    (partial(nl.interval_target, classes={"out": 2, "in": 1}, background=0), 3, ["background", "in", "out"]),
    (partial(nl.interval_target, classes={"out": 1, "in": 1}, background=0), 1, None),
])  # fmt: skip
def test_a_data_set_tells_what_its_target_calls_the_outputs(
    target: Any, n_classes: int, names: Any, tmp_path: Path
) -> None:
    events = {"sample": np.array([5, 20, 20, 50]), "symbol": ["QRS", "breath", "in", "out"], "duration": [0, 0, 30, 40]}
    noise = np.random.default_rng(0).standard_normal((3, 100, 1))
    recordings = {f"{i}": {"signal": x, "sampling_frequency": 1.0, "events": events} for i, x in enumerate(noise)}
    made = nl.make_dataset(recordings, tmp_path / "made", target=target, **QUIET)
    parts = [nl.open_folder(made / "x", made / "y", part) for part in ("train", "val")]
    state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1, num_classes=n_classes)
    trained = nl.train(state, *parts, epochs=1, batch_size=1, dry_run=True, **QUIET)
    assert trained["postprocessing"]["outputs"] == names
    if names and n_classes > 1:  # which had been learnt, or measured, as another
        with pytest.raises(ValueError, match=r"outputs=.*; train_data has them in another order, \['"):
            nl.train(state, *parts, outputs=names[::-1], epochs=1, batch_size=1, dry_run=True, **QUIET)
        trained["postprocessing"]["outputs"] = names[::-1]
        with pytest.raises(ValueError, match="the state's outputs=.*; data has them in another order"):
            nl.evaluate(trained, parts[0])
        assert len(nl.predict(trained, parts[0])) == 1
        more = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1, num_classes=n_classes + 1)
        with pytest.raises(ValueError, match="train_data has them in another order"):
            nl.train(more, *parts, outputs=["none", *names], epochs=1, batch_size=1, dry_run=True, **QUIET)


def test_classes_in_another_order_than_those_of_the_state_are_told() -> None:
    stages = {"sample": [0, 500], "symbol": ["a", "b"], "duration": [5.0, 5.0]}
    r = {"name": "r", "signal": np.zeros((1000, 1)), "sampling_frequency": 100.0, "events": stages}
    state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1, num_classes=2)
    state["preprocessing"]["sampling_frequency"] = 100.0
    state["postprocessing"]["outputs"] = ["a", "b"]
    score = partial(nl.evaluate_recordings, recordings=[r], task="classes")
    assert score(state, names=["a", "b"])["names"] == score(state)["names"] == ["a", "b"]
    with pytest.raises(ValueError, match=r"names=\['b', 'a'\]; the state has them in another order, \['a', 'b'\]"):
        score(state, names=["b", "a"])
    with pytest.raises(ValueError, match=r"the classes of target=\['b', 'a'\]; the state has them in another order"):
        score(state, target=partial(nl.interval_target, classes={"b": 0, "a": 1}))
    binary = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1, num_classes=1)
    binary["preprocessing"]["sampling_frequency"] = 100.0
    binary["postprocessing"]["outputs"] = ["b"]
    assert score(binary, names=["a", "b"])["names"] == ["a", "b"]
    assert score(binary, target=partial(nl.interval_target, classes=["b"], background=0, binary=True))["gross"]
    with pytest.raises(ValueError, match=r"names=\['b', 'a'\]; the state has them in another order"):
        score(binary, names=["b", "a"])


@pytest.mark.parametrize("names", [["wake", "sleep"], ["a", "b", "b"], "abc", [1, 2, 3]], ids=str)
def test_names_that_do_not_fit_the_task_are_told_before_training(names: Any, results: Path) -> None:
    state = make_state(CLASSES)
    with pytest.raises((TypeError, ValueError), match="outputs=.*expects a list of 3 different names"):
        nl.train(state, data(state), data(state), epochs=1, batch_size=2, outputs=names, save=True, **QUIET)
    assert not results.exists()
