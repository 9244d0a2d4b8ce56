"""Pictures: they show what was given, are written whole or not at all, and leave matplotlib's global state alone."""

import subprocess
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import torch
from cases import Case, data, make_state

import neurallib as nl
from neurallib.plots.predictions import plot_prediction
from neurallib.plots.losses import plot_losses


@pytest.mark.parametrize("epochs", [0, 1, 2, 40])
def test_loss_curve_is_written_after_any_number_of_epochs(epochs: int, tmp_path: Path) -> None:
    losses = list(np.linspace(1, 0.1, epochs))
    plot_losses(losses, losses, tmp_path / "loss.png")
    assert matplotlib.image.imread(tmp_path / "loss.png").std() > 0
    assert [file.name for file in tmp_path.iterdir()] == ["loss.png"]


@pytest.mark.parametrize("epochs", [1, 2, 3, 40])
def test_epochs_are_marked_by_whole_numbers(epochs: int) -> None:
    figure = plot_losses([1.0] * epochs, [2.0] * epochs)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    ticks = [tick for tick in axes.get_xticks() if 0.5 <= tick <= epochs + 0.5]
    assert ticks and all(tick == round(tick) for tick in axes.get_xticks())
    assert epochs > 3 or ticks == list(range(1, epochs + 1))


def test_loss_curve_shows_both_losses_and_the_epoch_of_the_lowest() -> None:
    train, val, lowest = plot_losses([3, 2, 1], [3, 1.5, 2]).axes[0].lines
    np.testing.assert_array_equal(train.get_xydata(), [[1, 3], [2, 2], [3, 1]])
    np.testing.assert_array_equal(val.get_xydata(), [[1, 3], [2, 1.5], [3, 2]])
    np.testing.assert_array_equal(lowest.get_xydata(), [[2, 1.5]])
    assert lowest.get_label() == "lowest: 1.5 in epoch 2"


def test_losses_over_more_than_a_decade_stand_on_a_scale_of_ones_twos_and_fives() -> None:
    axes = plot_losses([20, 1], [30, 2]).axes[0]
    axes.figure.draw_without_rendering()
    shown = [text.get_text() for text in axes.get_yticklabels()]
    assert axes.get_xlabel() == "epoch" and [line.get_marker() for line in axes.lines] == ["o"] * 3
    assert "None" in [line.get_marker() for line in plot_losses([1] * 31, [1] * 31).axes[0].lines]
    assert axes.get_yscale() == "log" and {"1", "2", "5", "10", "20"} <= set(shown)
    assert not {"3", "4", "30"} & set(shown) and len(axes.yaxis.get_minorticklocs()) == 0
    for train, val in (([10, 1], [9, 2]), ([20, 0], [30, 1]), ([], [])):
        assert plot_losses(train, val).axes[0].get_yscale() == "linear"


def test_best_epoch_is_never_one_whose_loss_is_not_finite() -> None:
    lines = plot_losses([1, 2, 3], [np.nan, 2, np.inf]).axes[0].lines
    np.testing.assert_array_equal(lines[2].get_xydata(), [[2, 2]])
    assert len(plot_losses([1], [np.nan]).axes[0].lines) == 2
    assert plot_losses([1, 2], [2, -np.inf]).axes[0].lines[2].get_xydata().tolist() == [[1, 2]]


def test_the_runs_before_are_drawn_before_and_what_tells_no_losses_is_left_out() -> None:
    first = {"train_losses": [4, 3], "val_losses": [5, 4]}
    empty = {"train_losses": ["lost"], "val_losses": [[1]], "training_history": first}
    second = {"train_losses": [2.0], "val_losses": [0.1], "training_history": empty}
    figure = plot_losses([1, 0.5], [0.9, 0.7], history=second)
    curves = [line.get_xydata().tolist() for line in figure.axes[0].lines if line.get_linestyle() == "-"]
    assert curves[:4] == [[[1, 4], [2, 3]], [[1, 5], [2, 4]], [[3, 2]], [[3, 0.1]]]
    assert curves[4:6] == [[[4, 1], [5, 0.5]], [[4, 0.9], [5, 0.7]]]
    ends = [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_linestyle() == ":"]
    assert figure.axes[0].get_xlabel() == "epoch of 3 runs"
    assert figure.axes[0].lines[-1].get_xydata().tolist() == [[5, 0.7]]
    one_sided = plot_losses([1], [1], history={"train_losses": [2, 1]}).axes[0]
    assert one_sided.lines[0].get_xydata().tolist() == [[1, 2], [2, 1]]
    assert ends == [2.5, 3.5] and figure.axes[0].get_xlim() == (0.5, 5.5)
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == [
        "training", "validation", "lowest: 0.7 in epoch 2 of run 3",
    ]  # fmt: skip
    with pytest.raises(TypeError, match="history is a list; expected a mapping"):
        plot_losses([1], [1], history=[first])  # type: ignore[arg-type]


def test_validation_may_be_an_epoch_behind() -> None:
    assert plot_losses([2, 1], [3]).axes[0].get_xlim() == (0.5, 2.5)


def test_prediction_shows_signal_peaks_and_output_in_seconds(tmp_path: Path) -> None:
    signal, output = np.sin(np.arange(500) / 10), np.linspace(0, 1, 500)
    figure = plot_prediction(
        signal, output, sampling_frequency=100, true_peaks=[100, 200], found_peaks=np.array([101]), title="a title",
        signal_label="ECG (mV)", path=tmp_path / "p.png",
    )  # fmt: skip
    top, bottom = figure.axes
    line, true, found = top.lines
    np.testing.assert_array_equal(line.get_ydata(), signal)
    np.testing.assert_allclose(true.get_xydata(), [[1, signal[100]], [2, signal[200]]])
    np.testing.assert_allclose(found.get_xydata(), [[1.01, signal[101]]])
    np.testing.assert_array_equal(bottom.lines[0].get_ydata(), output)
    assert (bottom.get_xlabel(), top.get_ylabel()) == ("time (s)", "ECG (mV)")
    assert [text.get_text() for text in top.get_legend().get_texts()] == ["true (2)", "found (1)"]
    assert matplotlib.image.imread(tmp_path / "p.png").shape[2] == 4


def test_lines_of_a_prediction_are_told_apart_by_name_colour_and_threshold() -> None:
    output = np.stack([np.linspace(0, 1, 50), np.full(50, 0.5)], axis=1)
    for threshold in (0.3, 0.0, None):
        figure = plot_prediction(
            np.zeros(50), output, sampling_frequency=10, true_peaks=[3], found_peaks=[4], threshold=threshold,
            output_names=["apnoea", "arousal"], title="a night", prediction_label="P",
        )  # fmt: skip
        top, bottom = figure.axes
        first, second, *others = bottom.lines
        named = dict(zip(bottom.get_legend().get_lines(), bottom.get_legend().get_texts(), strict=True))
        told = {text.get_text(): line.get_color() for line, text in named.items()}
        assert told == {"apnoea": first.get_color(), "arousal": second.get_color()} and len(set(told.values())) == 2
        assert [list(line.get_ydata()) for line in others] == [[threshold] * 2] * (threshold is not None)
        assert bottom.get_ylabel() == "P" and top.get_title(loc="left") == "a night"
    _, true, found = top.lines
    assert true.get_markerfacecolor() == "none" and true.get_markersize() > found.get_markersize(), "a point in a ring"
    assert top.get_xlim() == bottom.get_xlim() and -0.2 < bottom.get_xlim()[0] < 0 and 4.9 < bottom.get_xlim()[1] < 5.1
    for wide in ([0, 2], [-1, 1]):
        for shown in ({"prediction": wide}, {"prediction": [0, 1], "target": wide}):
            bottom = plot_prediction(np.zeros(2), **shown).axes[1]  # type: ignore[arg-type]
            low, high = bottom.get_ylim()
            assert low <= wide[0] and high >= wide[1]
            assert bottom.get_ylabel() == "output" and len(bottom.lines) == len(shown), "no threshold of probabilities"
    assert len(plot_prediction(np.zeros(2), [36, 39], threshold=38).axes[1].lines) == 2
    unknown = plot_prediction(np.zeros(2), [0.2, 0.3], target=[np.nan, np.nan]).axes[1]
    assert unknown.get_ylabel() == "probability" and len(unknown.lines) == 3
    for peaks in ({"true_peaks": [1]}, {"found_peaks": [1]}):
        assert plot_prediction(np.zeros(5), **peaks).axes[0].get_legend() is not None  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="output_names=.*; expected 2, one for each column"):
        plot_prediction(np.zeros(50), output, output_names=["apnoea"])
    colours = [line.get_color() for line in plot_prediction(np.zeros((5, 8))).axes[0].lines]
    assert len(set(colours)) == 6 and colours[6:] == colours[:2]


def test_the_signal_has_twice_the_height_of_the_output_below_it() -> None:
    figure = plot_prediction(np.zeros(50), np.zeros(50))
    figure.draw_without_rendering()
    top, bottom = (axes.get_position() for axes in figure.axes)
    assert top.y0 > bottom.y1 and top.height == pytest.approx(2 * bottom.height, rel=0.05)
    assert (top.x0, top.x1) == pytest.approx((bottom.x0, bottom.x1))


def test_without_prediction_there_is_one_panel_in_samples() -> None:
    (axes,) = plot_prediction(np.zeros((50, 3)), found_peaks=[]).axes
    assert axes.get_xlabel() == "samples" and len(axes.lines) == 4
    spikes = np.zeros(10_001)
    spikes[[3, 5004]] = 1, -1  # of many samples to a column of pixels each column's ends are drawn
    assert [(x, y) for x, y in plot_prediction(spikes).axes[0].lines[0].get_xydata() if y] == [(0, 1), (5000, -1)]


def test_tensors_that_need_gradients_are_drawn() -> None:
    signal = torch.randn(20, 1, requires_grad=True)
    assert len(plot_prediction(signal, signal.sigmoid()).axes) == 2
    half = plot_prediction(signal.bfloat16(), (signal > 0).numpy()).axes
    np.testing.assert_allclose(half[0].lines[0].get_ydata(), signal.detach().numpy()[:, 0], rtol=0.01)


@pytest.mark.parametrize("ending", ["pdf", "svg", "PNG"])
def test_ending_names_the_kind_of_picture(ending: str, tmp_path: Path) -> None:
    plot_losses([1], [1], tmp_path / f"loss.{ending}")
    start = (tmp_path / f"loss.{ending}").read_bytes()[:5]
    assert start == {"pdf": b"%PDF-", "svg": b"<?xml", "PNG": b"\x89PNG\r"}[ending]


def test_a_picture_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    def half(self: Figure, path: Path, **_: object) -> None:
        Path(path).write_bytes(b"half")
        raise OSError("disk full")

    (tmp_path / "loss.png").write_bytes(b"old")
    monkeypatch.setattr(Figure, "savefig", half)
    with pytest.raises(OSError, match="disk full"):
        plot_losses([1], [1], tmp_path / "loss.png")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("loss.png", b"old")]


def test_drawing_needs_no_pyplot() -> None:
    code = (
        "import sys; from neurallib.plots.losses import plot_losses; assert 'matplotlib' not in sys.modules; "
        "plot_losses([1], [1]); assert 'matplotlib.pyplot' not in sys.modules"
    )
    root = str(Path(__file__).parent.parent)
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


@pytest.mark.parametrize(
    "arguments, settings, message",
    [
        ((np.zeros(0),), {}, r"signal has shape \(0,\)"),
        ((np.zeros((2, 3, 4)),), {}, r"signal has shape \(2, 3, 4\)"),
        ((np.zeros(5), np.zeros(4)), {}, "prediction has 4 steps; expected 5"),
        ((np.zeros(5),), {"true_peaks": [5]}, "true_peaks holds 5; expected samples from 0 to 4"),
        ((np.zeros(5),), {"found_peaks": [1.5]}, "found_peaks has dtype float64; expected whole numbers of samples"),
        ((np.zeros(5),), {"found_peaks": {"sample": [1]}}, "found_peaks is a dict of sample; .*, such as its 'sample'"),
        ((np.zeros(5), np.zeros(5)), {"output_names": "beat"}, "output_names is one text, 'beat'"),
        (({"signal": np.zeros(5)},), {}, "signal is a dict; expected an array: plot_recording takes a recording"),
        ((np.zeros(5),), {"sampling_frequency": 0}, "sampling_frequency=0"),
        ((np.zeros(5),), {"path": "picture.xyz"}, "ends in '.xyz'; expected one of"),
    ],
)
def test_what_cannot_be_drawn_is_named(arguments: tuple, settings: dict, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        plot_prediction(*arguments, **settings)
    with pytest.raises(ValueError, match="val_losses has shape"):
        plot_losses([1], [[1]])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="train_losses is a list; expected one number an epoch"):
        plot_losses(["lost"], [1])  # type: ignore[list-item]


def test_a_target_stands_alone_where_there_is_no_prediction_and_peaks_may_be_whole_floats() -> None:
    figure = plot_prediction(np.zeros(5), target=[0, 1, 1, np.nan, 0], output_names=["beat"], true_peaks=[1.0, 2.0])
    assert len(figure.axes) == 2
    assert [text.get_text() for text in figure.axes[1].get_legend().get_texts()] == ["beat"]
    np.testing.assert_array_equal(figure.axes[1].lines[0].get_ydata(), [0, 1, 1, np.nan, 0])
    assert figure.axes[0].lines[1].get_xdata().tolist() == [1, 2]


def test_a_target_stands_behind_the_prediction_and_is_as_long() -> None:
    signal, prediction = np.zeros(50), np.linspace(0, 1, 100).reshape(50, 2)
    target = 1 - prediction
    target[10] = np.nan
    figure = plot_prediction(signal, prediction, target=target, threshold=None)
    lines = figure.axes[1].lines
    assert len(lines) == 4
    for k in range(2):
        np.testing.assert_array_equal(lines[k].get_ydata(), prediction[:, k])
        np.testing.assert_array_equal(lines[2 + k].get_ydata(), target[:, k])
        assert lines[2 + k].get_zorder() < lines[k].get_zorder() and lines[2 + k].get_color() == lines[k].get_color()
    with pytest.raises(ValueError, match="target has 49 steps; expected 50"):
        plot_prediction(signal, prediction, target=target[1:])


@pytest.mark.filterwarnings("ignore:the best model is no better than a constant")
@pytest.mark.filterwarnings("ignore:retraining never beat its source")
def test_the_picture_of_a_run_shows_the_runs_before_it(tmp_path: Path, unpainted: pytest.MonkeyPatch) -> None:
    unpainted.undo()
    state = make_state(Case("GRUseq2seq", "binary"))
    pairs = data(state)
    for _ in range(2):
        state = nl.train(state, pairs, pairs, epochs=2, batch_size=4, save=True, results_directory=tmp_path)
    info = state["training_info"]
    losses = info["train_losses"], info["val_losses"]
    drawn = Path(info["checkpoints_directory"], "loss_plot.png").read_bytes()
    plot_losses(*losses, tmp_path / "all.png", history=info["training_history"])
    plot_losses(*losses, tmp_path / "last.png")
    assert drawn == (tmp_path / "all.png").read_bytes() != (tmp_path / "last.png").read_bytes()
