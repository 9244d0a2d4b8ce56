"""The original NeuralLib's world: what it computes from our files, and what a warning says that it cannot."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from cases import QUIET, Case, data, make_pairs, make_state, write_folders
from torch import Tensor, nn

import neurallib as nl
from neurallib.storage.hyperparameters import warn_of_the_original

READABLE = [
    Case(name, kind)
    for name in ("GRUseq2seq", "GRUseq2one")
    for kind in ("binary", "multilabel", "multiclass", "regression")
]


class Theirs(nn.Module):
    """What the original makes of a directory's three files and computes with them, for one signal at a time."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.name = json.loads((directory / "training_info.json").read_text())["architecture"]
        self.said = self._keywords(**yaml.safe_load((directory / "hparams.yaml").read_text()))
        weights = torch.load(directory / "model_weights.pth", weights_only=True)
        self.gru_layers = nn.ModuleList()
        n_in = self.said["n_features"]
        for i in range(self.said["n_layers"]):
            hidden = self.said["hid_dim"] if isinstance(self.said["hid_dim"], int) else self.said["hid_dim"][i]
            both = f"gru_layers.{i}.weight_ih_l0_reverse" in weights  # whatever the file says
            self.gru_layers.append(nn.GRU(n_in, hidden, bidirectional=both, batch_first=True))
            n_in = hidden * (1 + both)
        classes = self.said["num_classes"] if self.said["task"] == "classification" else self.said["n_features"]
        if self.said["task"] == "classification" or self.said["fc_out_bool"]:
            self.fc_out = nn.Linear(n_in, classes)
        self.load_state_dict(weights)

    @staticmethod
    def _keywords(
        *, model_name: str, n_features: int, hid_dim: Any, n_layers: int, dropout: Any, learning_rate: float,
        bidirectional: bool = False, bidir_per_layer: Any = None, task: str = "classification", num_classes: Any = 1,
        multi_label: bool = False, fc_out_bool: bool = True,
    ) -> dict[str, Any]:  # fmt: skip
        """Any other word in the file would end its loading."""
        return dict(locals())

    def forward(self, x: Tensor) -> Tensor:
        y = x[None]
        for gru in self.gru_layers:
            y = gru(y)[0]
        y = y[:, -1] if self.name == "GRUseq2one" else y
        y = self.fc_out(y) if hasattr(self, "fc_out") else y
        softmax = self.said["task"] == "classification" and not self.said["multi_label"]
        return y.softmax(-1)[0] if softmax else y[0]


@pytest.mark.parametrize("case", READABLE, ids=str)
def test_the_original_computes_the_same_from_our_files(case: Case, tmp_path: Path) -> None:
    pooling = {"pooling": "last"} if case.architecture == "GRUseq2one" else {}
    state = make_state(case, seed=3, **pooling)
    theirs = Theirs(nl.save_checkpoint(state, tmp_path))
    for x, _ in make_pairs(state, [9, 14]):
        with torch.no_grad():
            output = theirs(torch.from_numpy(x))
        output = output.sigmoid() if case.kind in ("binary", "multilabel") else output
        np.testing.assert_allclose(nl.predict(state, [x])[0], output.numpy(), atol=1e-6)


def test_a_binary_model_is_the_same_whatever_it_says_of_labels(tmp_path: Path) -> None:
    states = [make_state(Case("GRUseq2seq", "binary"), multi_label=said) for said in (False, True)]
    assert states[0]["hparams"] == states[1]["hparams"]
    directory = nl.save_checkpoint(states[0], tmp_path)
    assert nl.get_hparams_from_checkpoints(directory) == states[0]["hparams"]
    text = (directory / "hparams.yaml").read_text()
    assert "multi_label: true" in text
    (directory / "hparams.yaml").write_text(text.replace("multi_label: true", "multi_label: false"))
    assert nl.load_checkpoint(directory)["hparams"] == states[0]["hparams"]


def told(state: nl.State) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_the_original(state)
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize("case", READABLE, ids=str)
def test_nothing_is_told_of_what_the_original_reads(case: Case) -> None:
    pooling = {"pooling": "last"} if case.architecture == "GRUseq2one" else {}
    assert told(make_state(case, **pooling)) == []


def test_what_the_original_has_no_words_for_is_told_at_once(tmp_path: Path) -> None:
    words = "the original NeuralLib "
    state = make_state(Case("GRUseq2one", "binary"), pooling="mean")
    state["preprocessing"]["normalization"] = "zscore"
    cannot = words + "cannot read this model: it has no pooling='mean', normalization='zscore'."
    assert told(state) == [cannot]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nl.save_checkpoint(state, tmp_path)  # most who save know no original
    state = make_state(Case("GRUseq2seq", "binary"))
    state["preprocessing"]["normalization"] = "minmax"
    takes = words + "takes signals as they are with this model: it has no normalization='minmax'."
    assert told(state) == [takes]
    final = words + "cannot read this model: it has no pooling='final'."
    for both, lost in (([False, True], final), ([True, False], "")):
        state = make_state(Case("GRUseq2one", "binary"), pooling="final", bidir_per_layer=both)
        assert "".join(told(state)) == lost
    for name in ("GRUED", "Transformerseq2seq", "Transformerseq2one", "TransformerED"):
        (text,) = told(make_state(Case(name, "regression")))
        assert text == words + f"cannot read this model: it has no {name} of these layers."
    for name in nl.ARCHITECTURES:
        more = {"pooling": "last"} if name == "GRUseq2one" else {}
        (text,) = told(make_state(Case(name, "regression"), n_outputs=3, **more))
        assert "n_outputs=3" in text


@pytest.mark.parametrize(
    "name, value",
    [
        ("window", 10.0),
        ("steps", [{"name": "highpass", "frequency": 0.5}]),
        ("fold", 2),
        ("residual", True),
        ("target_normalization", None),
    ],
)
def test_whatever_stands_before_a_network_is_told_to_who_goes_on_with_the_original(
    name: str, value: object
) -> None:
    options = {name: value} if name in ("steps", "fold", "residual") else {}
    state = nl.gru_seq2seq(n_features=1, hid_dim=2, n_layers=1, task="regression", **options)  # type: ignore[arg-type]
    state["preprocessing"]["sampling_frequency"] = 100.0
    if name == "window":
        state["preprocessing"]["window"] = 10.0
    if name == "target_normalization":
        state["preprocessing"] |= {name: "dataset", "y_shift": [1.0], "y_scale": [2.0]}  # type: ignore[typeddict-item]
    with pytest.warns(UserWarning, match=f"takes signals as they are with this model: it has no {name}="):
        warn_of_the_original(state)


@pytest.mark.parametrize("tensorboard", [False, True])
def test_a_run_leaves_its_hyperparameters_where_the_original_looks_for_them(tensorboard: bool) -> None:
    """In the newest version of lightning_logs, or of tensorboard_logs where there is no such folder."""
    state = nl.gru_seq2one(n_features=2, hid_dim=3, n_layers=1, task="regression")
    trained = nl.train(
        state, data(state), data(state, 3), epochs=1, batch_size=4, save=True, enable_tensorboard=tensorboard, **QUIET
    )
    directory = Path(trained["training_info"]["checkpoints_directory"])
    paths = list(directory.glob("*_logs/version_*/hparams.yaml"))
    assert len(paths) == 1 + tensorboard and directory / "lightning_logs/version_0/hparams.yaml" in paths
    for path in [directory / "hparams.yaml", *paths]:
        assert Theirs._keywords(**yaml.safe_load(path.read_text())).keys() <= state["hparams"].keys() - {"pooling"}
        assert yaml.safe_load(path.read_text()) == yaml.safe_load((directory / "hparams.yaml").read_text())


@pytest.mark.parametrize("pooling", ["last", "final", "mean"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_hyperparameters_of_a_directory_make_the_network_that_was_saved(
    pooling: str, bidirectional: bool, tmp_path: Path
) -> None:
    state = nl.gru_seq2one(n_features=2, hid_dim=3, n_layers=2, bidirectional=bidirectional, pooling=pooling)
    made = nl.gru_seq2one(**nl.get_hparams_from_checkpoints(nl.save_checkpoint(state, tmp_path)))
    assert made["hparams"] == state["hparams"]


def of_transfer_learning(state: nl.State, directory: Path) -> Path:
    """The state as the original's TLModel leaves it: no hyperparameters, and the inner model's name before weights."""
    (directory / "lightning_logs/version_0").mkdir(parents=True)
    (directory / "lightning_logs/version_0/hparams.yaml").write_text("{}\n")
    info = {"architecture": state["architecture"], "model_name": "Transferred", "learning_rate": 0.01, "epochs": 3}
    (directory / "training_info.json").write_text(json.dumps(info | {"validation_loss": 0.5}))
    weights = {f"model.{name}": weight for name, weight in state["weights"].items()}
    torch.save(weights, directory / "model_weights.pth")
    return directory


@pytest.mark.parametrize("case", READABLE, ids=str)
def test_a_directory_of_their_transfer_learning_loads_once_its_task_is_said(case: Case, tmp_path: Path) -> None:
    state = make_state(case, seed=5, **({"pooling": "last"} if case.architecture == "GRUseq2one" else {}))
    directory = of_transfer_learning(state, tmp_path)
    with pytest.raises(ValueError, match=r"holds no hyperparameters.*load_checkpoint\(directory, task='"):
        nl.load_checkpoint(directory)
    loaded = nl.load_checkpoint(
        directory, task="regression" if case.kind == "regression" else "classification",
        multi_label=case.kind == "multilabel",
    )  # fmt: skip
    assert (loaded["hparams"]["model_name"], loaded["hparams"]["learning_rate"]) == ("Transferred", 0.01)
    assert nl.get_hparams_from_checkpoints(directory) == {}
    x = make_pairs(state, [9])[0][0]
    np.testing.assert_array_equal(nl.predict(loaded, [x])[0], nl.predict(state, [x])[0])


def test_sizes_that_weights_do_not_say_are_named(tmp_path: Path) -> None:
    directory = of_transfer_learning(make_state(Case("Transformerseq2one", "binary")), tmp_path)
    with pytest.raises(ValueError, match="do not make a Transformerseq2one.*'nhead'"):
        nl.load_checkpoint(directory, task="classification")


def test_a_task_that_the_files_contradict_is_refused(tmp_path: Path) -> None:
    directory = nl.save_checkpoint(make_state(Case("GRUseq2seq", "regression")), tmp_path)
    assert nl.load_checkpoint(directory, task="regression")["hparams"]["task"] == "regression"
    with pytest.raises(ValueError, match="task='clasification'; expected one of .* Did you mean 'classification'"):
        nl.load_checkpoint(directory, task="clasification")
    with pytest.raises(ValueError, match="task='classification'; .*hparams.yaml says 'regression'"):
        nl.load_checkpoint(directory, task="classification")


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "network.", "module._orig_mod.network."])
def test_prefixes_of_wrappers_come_off(prefix: str, tmp_path: Path) -> None:
    state = make_state(Case("GRUED", "regression"))
    directory = nl.save_checkpoint(state, tmp_path)
    (directory / "model_weights.safetensors").unlink()
    weights = {f"{prefix}{name}": weight for name, weight in state["weights"].items()}
    torch.save(weights | {"n_averaged": torch.tensor(3)}, directory / "model_weights.pth")
    loaded = nl.load_checkpoint(directory)["weights"]
    assert loaded.keys() == state["weights"].keys()
    assert all(torch.equal(loaded[name], weight) for name, weight in state["weights"].items())


def test_a_network_within_a_wrapper_gives_a_state() -> None:
    state = make_state(Case("GRUseq2seq", "binary"))
    wrapped = torch.optim.swa_utils.AveragedModel(nl.build_network(state))
    again = nl.state_from_network(state, torch.compile(wrapped, backend="eager"))  # type: ignore[arg-type]
    assert all(torch.equal(again["weights"][name], weight) for name, weight in state["weights"].items())


def test_training_information_is_told_by_the_trainer_and_the_optimizer_of_a_loop() -> None:
    class Trainer:
        current_epoch = 7

    state = make_state(Case("GRUseq2seq", "binary"))
    optimizer, _ = nl.make_optimizer(nl.build_network(state), {**state["hparams"], "learning_rate": 0.25})
    optimizer.param_groups[0]["lr"] = 1e-9  # what a schedule leaves at the end
    info = nl.save_training_information(
        state, Trainer(), optimizer, "mine", "peaks", 0.5, 2.0, None, False, batch_size=4
    )["training_info"]  # fmt: skip
    assert (info["epochs"], info["learning_rate"], info["optimizer"]) == (7, 0.25, str(optimizer))
    assert (info["efficiency_params"], info["batch_size"]) == (sum(w.numel() for w in state["weights"].values()), 4)
    with pytest.raises(TypeError, match="trainer is a str; expected Lightning's Trainer, or None"):
        nl.save_training_information(state, "Adam", optimizer, "mine", "peaks", 0.5, 2.0, None, False)


def test_a_sequence_transformer_does_regression_unless_told_as_theirs_does() -> None:
    state = nl.transformer_seq2seq(n_features=2, d_model=4, nhead=1, dim_feedforward=4)
    assert state["hparams"]["task"] == "regression" and state["weights"]["fc_out.bias"].shape == (2,)


def test_classification_left_as_the_original_has_it_is_no_error(tmp_path: Path) -> None:
    options: dict[str, Any] = {"dataset_name": "made up", "trained_for": "a test", "dry_run": True, **QUIET}
    for kind in ("binary", "regression"):
        state = make_state(Case("GRUseq2seq", kind))
        folders = write_folders(tmp_path / kind, state)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            nl.train_from_scratch(state, *folders, classification=False, **options)
        words = ["classification=False; this state's task is 'classification', which is what it is trained for."]
        assert [str(warning.message) for warning in caught] == (words if kind == "binary" else [])
    with pytest.raises(ValueError, match="classification=True; this state's task is 'regression'"):
        nl.train_from_scratch(state, *folders, classification=True, **options)
