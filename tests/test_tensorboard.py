"""TensorBoard: the event files, read back with TensorBoard's own reader."""

from pathlib import Path

import numpy as np
import pytest
import torch
from cases import AS_IT_COMES, QUIET, Case, make_batch, make_pairs, make_state, names_in
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata, plugin_data_pb2

import neurallib as nl
from neurallib.tasks import describe, n_outputs
from neurallib.training.tensorboard import show_predictions


@pytest.mark.parametrize(
    ("case", "metrics"),
    [
        (Case("GRUseq2seq", "binary"), {"accuracy", "f1", "f1_macro", "auroc", "baseline_accuracy"}),
        (Case("GRUseq2one", "multiclass"), {"accuracy", "f1_macro", "f1_2", "auroc"}),
        (Case("GRUED", "regression"), {"mse", "mae", "pearson", "r2_1", "baseline_mse"}),
    ],
    ids=names_in,
)
def test_the_event_files_hold_the_run(
    case: Case, metrics: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEURALLIB_RESULTS_DIR", str(tmp_path))
    state = make_state(case, learning_rate=0.001)
    pairs = make_pairs(state, [6, 9, 8, 7, 5, 6])
    trained = nl.train(
        state, pairs, pairs, epochs=3, batch_size=2, schedule="step", save=True, enable_tensorboard=True, **QUIET
    )
    info = trained["training_info"]
    logs = Path(info["checkpoints_directory"]) / "tensorboard_logs" / "version_0"
    events = EventAccumulator(str(logs), size_guidance={"images": 0}).Reload()

    def values(tag: str) -> list[float]:
        return [event.value for event in events.Scalars(tag)]

    assert len(values("train_loss")) == 9  # a step
    assert values("train_loss_epoch") == pytest.approx(info["train_losses"])
    assert values("val_loss") == pytest.approx(info["val_losses"])
    assert values("lr-Adam") == pytest.approx([1e-3] * 3)
    assert values("size/weights") == [info["efficiency_params"]]
    measured = nl.evaluate(trained, pairs)
    for name in metrics:
        assert len(values(f"val_{name}")) == 3
        assert values(f"val_{name}")[info["best_epoch"] - 1] == pytest.approx(measured[name], rel=1e-3, nan_ok=True)
        assert values(f"best/val_{name}")[0] == pytest.approx(measured[name], rel=1e-3, nan_ok=True)
    assert values("best/val_loss") == pytest.approx([info["validation_loss"]])
    assert sorted(events.Tags()["images"]) == ["predictions/0", "predictions/1"]
    for tag in events.Tags()["images"]:  # seldom, but of the first epoch and of the last
        drawn = [event.step for event in events.Images(tag)]
        assert drawn == sorted(drawn) and {0, 2} <= set(drawn)
    start = metadata.parse_session_start_info_plugin_data(
        events.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    )
    assert isinstance(start, plugin_data_pb2.SessionStartInfo)
    assert start.hparams["learning_rate"].number_value == 1e-3
    assert set(start.hparams) == set(state["hparams"])


class Figures(list):
    """A writer that keeps what it is given."""

    def add_figure(self, tag: str, figure: Figure, step: int) -> None:
        self.append((tag, figure, step))


@pytest.mark.parametrize(
    ("case", "label", "threshold"),
    [
        (Case("GRUseq2seq", "binary"), "probability", True),
        (Case("GRUseq2seq", "multilabel"), "probability", True),
        (Case("GRUseq2seq", "multiclass"), "probability", False),
        (Case("GRUseq2seq", "regression"), "prediction", False),
    ],
    ids=str,
)
def test_examples_show_the_valid_steps_of_two_signals_and_what_the_output_is(
    case: Case, label: str, threshold: bool
) -> None:
    state, figures = make_state(case), Figures()
    x, y, lengths = make_batch(state, [6, 9, 4]).values()
    outputs = torch.rand(3, 9, n_outputs(state["hparams"]))
    show_predictions(figures, describe(state), 100.0, x, y, lengths, outputs, 7)
    assert [(tag, step) for tag, _, step in figures] == [("predictions/0", 7), ("predictions/1", 7)]
    for i, (_, figure, _) in enumerate(figures):
        top, bottom = figure.axes
        n = int(lengths[i])
        assert [line.get_ydata().tolist() for line in top.lines] == x[i, :n].T.tolist()
        curves = [line.get_ydata().tolist() for line in bottom.lines if len(line.get_xdata()) == n]
        k = outputs.shape[2]
        wanted = torch.nn.functional.one_hot(y[i, :n], k).float() if case.kind == "multiclass" else y[i, :n]
        assert curves == [*outputs[i, :n].T.tolist(), *wanted.T.tolist()], "the target stands behind the outputs"
        assert top.lines[0].get_xdata()[1] == 0.01 and bottom.get_ylabel() == label
        assert [line.get_ydata()[0] for line in bottom.lines[len(curves) :]] == [0.5] * threshold


def test_the_title_says_the_one_output_of_a_signal_and_its_target() -> None:
    for kind, label in (("binary", "probability"), ("regression", "prediction")):
        state, figures = make_state(Case("GRUseq2one", kind)), Figures()
        x, _, lengths = make_batch(state, [6, 9]).values()
        outputs, y = torch.tensor([[0.25], [0.123456]]), torch.tensor([[1.0], [0.0]])
        show_predictions(figures, describe(state), None, x, y, lengths, outputs, 0)
        titles = [axes.get_title(loc="left") for _, figure, _ in figures for axes in figure.axes]
        assert titles == [f"{label} 0.25, target 1", f"{label} 0.123, target 0"]


def test_the_examples_are_the_first_signals_of_the_validation_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from neurallib.training import tensorboard

    shown: list[torch.Tensor] = []
    monkeypatch.setattr(tensorboard, "show_predictions", lambda *arguments: shown.append(arguments[3]))
    state = make_state(Case("GRUseq2seq", "binary"))
    pairs = make_pairs(state, [6, 9, 8, 7])
    nl.train(
        state, pairs, pairs, epochs=2, batch_size=2, save=True, enable_tensorboard=True, enable_progress_bar=False,
        results_directory=tmp_path, **AS_IT_COMES,
    )  # fmt: skip
    assert len(shown) == 2
    for x in shown:
        np.testing.assert_array_equal(x[0, :6].numpy(), pairs[0][0])
