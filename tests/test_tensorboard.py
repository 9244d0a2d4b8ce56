"""TensorBoard: the event files, read back with TensorBoard's own reader."""

from pathlib import Path

import pytest
from cases import Case, make_pairs, make_state
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata, plugin_data_pb2

import neurallib as nl


@pytest.mark.parametrize(
    ("case", "metrics"),
    [
        (Case("GRUseq2seq", "binary"), {"accuracy", "f1", "auroc"}),
        (Case("GRUseq2one", "multiclass"), {"accuracy", "f1", "auroc"}),
        (Case("GRUED", "regression"), {"mse", "mae", "pearson"}),
    ],
    ids=str,
)
def test_the_event_files_hold_the_run(
    case: Case, metrics: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEURALLIB_RESULTS_DIR", str(tmp_path))
    state = make_state(case)
    pairs = make_pairs(state, [6, 9, 8, 7])
    trained = nl.train(
        state, pairs, pairs, epochs=3, batch_size=2, save=True, enable_tensorboard=True, enable_progress_bar=False
    )
    info = trained["training_info"]
    logs = Path(info["checkpoints_directory"]) / "tensorboard_logs" / "version_0"
    events = EventAccumulator(str(logs), size_guidance={"images": 0}).Reload()

    def values(tag: str) -> list[float]:
        return [event.value for event in events.Scalars(tag)]

    assert len(values("train_loss")) == 6  # a step
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
