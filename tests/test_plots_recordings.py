"""Pictures of recordings: rows of a strip chart, bands of classes, and records worst first."""

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

import neurallib as nl
from neurallib.measures.tables import worst_first

RATE = 100.0


def recording(seconds: float = 95) -> dict:
    t = np.arange(round(seconds * RATE)) / RATE
    events = {"sample": np.array([150, 3200, 4000]), "symbol": ["N", "V", "+"]}
    signal = np.stack([np.sin(t), np.cos(t)], axis=1).astype(np.float32)
    return {"name": "r", "signal": signal, "sampling_frequency": RATE, "channels": ["MLII", "V5"],
            "units": ["mV", "mV"], "events": events}  # fmt: skip


def marks(figure, name: str) -> list[list[float]]:
    """The times of a kind of mark, row by row."""
    return [[float(x) for line in axes.lines if line.get_label() == name for x in line.get_xdata()]
            for axes in figure.axes]  # fmt: skip


def test_rows_follow_each_other_with_channels_and_beats_at_their_times(tmp_path: Path) -> None:
    figure = nl.plot_recording(recording(), found=[151, 3000, 9400], path=tmp_path / "r.png")
    assert [axes.get_ylabel().strip() for axes in figure.axes] == ["0:00:00", "0:00:30", "0:01:00", "0:01:30"]
    np.testing.assert_allclose(sum(marks(figure, "true"), []), [1.5, 2.0])  # "+" is no beat
    assert [len(row) for row in marks(figure, "true")] == [1, 1, 0, 0]
    np.testing.assert_allclose(sum(marks(figure, "found"), []), [1.51, 0.0, 4.0])  # 3000 begins the second row
    heights = [y for line in figure.axes[0].lines if line.get_label() == "true" for y in line.get_ydata()]
    assert all(-1 < y < 0 for y in heights)  # on the first channel
    labels = [text.get_text() for text in figure.axes[0].texts]
    assert labels == ["MLII (2 mV high)", "V5 (2 mV high)"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["true (2)", "found (3)"]
    assert matplotlib.image.imread(tmp_path / "r.png").std() > 0


def test_a_window_is_shown_alone_and_the_first_channel_stands_highest() -> None:
    figure = nl.plot_recording(recording(), start=30, stop=50, seconds_per_row=10)
    assert [axes.get_ylabel().strip() for axes in figure.axes] == ["0:00:30", "0:00:40"]
    first, second = figure.axes[0].lines[0], figure.axes[0].lines[-1]
    assert len(first.get_xdata()) == 1000
    assert min(first.get_ydata()) > max(second.get_ydata())
    assert marks(figure, "true") == [[2.0], []]
    assert [axes.xaxis.get_major_ticks()[0].tick1line.get_visible() for axes in figure.axes] == [False, True]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["true (1)"], "those that are shown"
    assert len(nl.plot_recording(recording(), start=90, stop=1000).axes[0].lines[0].get_xdata()) == 500


def test_output_of_a_window_is_that_of_its_time() -> None:
    """Of each kind, in rows that do not begin where the recording does."""
    probability, classes = np.linspace(0, 1, 9500), np.repeat([1, 0, 1], [4500, 1500, 3500])
    figure = nl.plot_recording(recording(), probability, target=probability**2, start=40, stop=65, seconds_per_row=10)
    assert [[len(line.get_xdata()) for line in axes.lines] for axes in figure.axes] == [[1000] * 4] * 2 + [[500] * 4]
    for first, axes in zip((4000, 5000, 6000), figure.axes, strict=True):
        levels, part = axes.lines[-1].get_ydata(), probability[first : first + 1000]
        bottom, height = -3 + 0.04, 0.42  # beneath two channels and the target
        np.testing.assert_allclose(levels, bottom + height * part[: len(levels)])
        assert axes.get_xlim() == (0, 10) and axes.get_ylim() == (-3, 0)
    assert axes.lines[-1].get_color() != axes.lines[-2].get_color(), "output and target"
    figure = nl.plot_recording(recording(), classes, start=40, stop=70, seconds_per_row=30, true=[4100, 6999])
    bands = figure.axes[0].collections
    colours = [tuple(band.get_facecolor()[0]) for band in bands]
    assert [band.get_paths()[0].get_extents().x0 for band in bands] == [5, 0] and colours[0] != colours[1]
    shown = figure.legends[0]
    patches = [tuple(handle.get_facecolor()) for handle in shown.legend_handles[1:]]
    assert patches == colours, "the legend has the colours of the bands"
    assert marks(figure, "true") == [[1.0, 29.99]] and shown.get_texts()[0].get_text() == "true (2)"
    yes = nl.plot_recording(recording(), classes > 0, stop=20)
    assert len(yes.axes[0].collections) == 1
    for values in (probability[:, None], np.stack([1 + probability, -probability], axis=1)):  # which are 1 together
        assert not nl.plot_recording(recording(), values).axes[0].collections
    short = {"signal": np.zeros((116, 1)), "sampling_frequency": RATE}
    assert len(nl.plot_recording(short, seconds_per_row=0.29).axes) == 4


def test_a_flat_channel_and_gaps_are_drawn_as_such() -> None:
    signal = np.stack([np.full(3000, 5.0), np.sin(np.arange(3000) / 50) * np.arange(3000) / 3000], axis=1)
    signal[100:200] = np.nan
    one = {"name": "flat", "signal": signal, "sampling_frequency": RATE}
    (axes,) = nl.plot_recording(one, np.full(3000, 2.0), found=[]).axes
    flat, wave, output = axes.lines
    assert np.nanmax(flat.get_ydata()) == np.nanmin(flat.get_ydata()) == pytest.approx(-0.5)
    assert np.isnan(flat.get_ydata()[100:200]).all() and 0.9 < np.ptp(wave.get_ydata()[200:]) < 1
    assert len(set(output.get_ydata())) == 1 and -2.5 < output.get_ydata()[0] < -2
    assert [text.get_text() for text in axes.texts] == ["channel 0", "channel 1", "output (0 high)"]
    assert [text.get_text() for text in axes.figure.legends[0].get_texts()] == ["found (0)"]
    places = [text.get_position()[1] for text in axes.texts]
    assert places == [-0.5, -1.5, -2.25]
    hours = nl.plot_recording({"signal": np.zeros((400_000, 1)), "sampling_frequency": RATE}, start=3669.6, stop=3734.6)
    assert [each.get_ylabel().strip() for each in hours.axes] == ["1:01:10", "1:01:40", "1:02:10"]


def test_only_what_is_shown_is_read() -> None:
    class Lazy:
        shape = (10**9, 1)

        def __len__(self) -> int:
            return 10**9

        def __getitem__(self, part: slice) -> np.ndarray:
            assert part.stop - part.start <= 3000
            return np.zeros((part.stop - part.start, 1))

    figure = nl.plot_recording({"signal": Lazy(), "sampling_frequency": RATE}, start=5000, stop=5060)
    assert len(figure.axes) == 2


def test_classes_are_bands_of_runs_with_their_names_and_target_beside_output() -> None:
    classes = np.repeat([0, 2, -1, 1], [2000, 1500, 500, 5500])
    probabilities = 0.97 * np.eye(3)[classes.clip(0)]  # as of few digits
    probabilities[classes < 0, 2] = np.nan
    figure = nl.plot_recording(recording(), probabilities, target=classes, names=["W", "N1", "N2"])
    first, second = (axes.collections for axes in figure.axes[:2])
    spans = [[path.get_extents().x0 for path in band.get_paths()] for band in first]
    assert spans == [[0.0], [20.0], [0.0], [20.0]]  # target, then output: W, then N2
    assert [path.get_extents().x0 for path in second[0].get_paths()] == [10.0]  # N1; the unknown is blank
    assert second[3].get_paths()[0].get_extents().x1 == pytest.approx(5), "in the output too"
    assert [text.get_position()[1] for text in figure.axes[0].texts] == pytest.approx([-0.5, -1.5, -2.15, -2.45])
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names[-3:] == ["W", "N1", "N2"] and [t.get_text() for t in figure.axes[0].texts][2:] == ["target", "output"]


def test_labels_that_may_hold_together_and_values_are_curves_that_share_the_scale_of_their_target() -> None:
    labels = np.stack([np.linspace(0, 1, 9500), np.full(9500, 0.5)], axis=1)
    figure = nl.plot_recording(recording(), labels, target=labels > 0.4, names=["apnoea", "arousal"])
    assert len(figure.axes[0].collections) == 0
    told = [text.get_text() for text in figure.axes[0].texts][2:]
    assert told == ["target apnoea", "output apnoea", "target arousal", "output arousal"]
    with pytest.raises(ValueError, match="names has 1; expected 2, one for each output"):
        nl.plot_recording(recording(), labels, names=["apnoea"])
    pressure = np.linspace(80, 100, 9500)
    options = {"stop": 20, "seconds_per_row": 20, "names": ["pressure (mmHg)"]}
    figure = nl.plot_recording(recording(), pressure, target=pressure + 20, **options)
    target, output = (line.get_ydata() for line in figure.axes[0].lines[-2:])
    assert target.max() - target.min() == pytest.approx(output.max() - output.min())
    assert target.max() - target.min() < 0.42 / 4  # of a height of both together
    assert figure.axes[0].texts[-1].get_text() == "output pressure (mmHg) (24 high)"


def test_what_is_predicted_of_a_recording_is_shown_as_it_is_given() -> None:
    """With its names, and of one output a window in the steps of each."""
    windows = np.array([[0, 1500], [1500, 3000], [3200, 4000]])
    rates = np.array([[60.0, 12], [70, 14], [90, 18]], np.float32)
    answer = {"output": rates, "windows": windows, "outputs": ["heart rate (bpm)", "breathing rate (1/min)"]}
    figure = nl.plot_recording(recording(40), answer, seconds_per_row=40)
    assert "output heart rate (bpm) (30 high)" in [text.get_text() for text in figure.axes[0].texts]
    heart = figure.axes[0].lines[3].get_ydata()
    assert [len(set(heart[a:b])) for a, b in windows] == [1, 1, 1] and np.isnan(heart[3000:3200]).all()
    classes = {"output": np.eye(2, dtype=np.float32)[[0, 1, 0]], "windows": windows, "outputs": ["rest", "stress"]}
    figure = nl.plot_recording(recording(40), classes)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["true (2)", "rest", "stress"]
    with pytest.raises(TypeError, match="output is a dict of output, windows, outputs; expected an array, such as its"):
        nl.find_events(classes, RATE)


def test_the_one_name_of_a_band_of_yes_and_no_is_that_of_yes() -> None:
    for output in (np.zeros(9500, int), np.arange(9500) // 5000):
        figure = nl.plot_recording(recording(), output, names=["artefact"])
        named = [text.get_text() for text in figure.legends[0].get_texts()][1:]
        assert named == ["no", "artefact"][: output.max() + 1]


def test_records_are_drawn_worst_first(tmp_path: Path) -> None:
    rows = {"a": 0.9, "b": 0.5, "c": 0.7}
    true = np.arange(100, 2000, 100)
    recordings = [
        {"name": name, "signal": np.zeros((2000, 1)), "sampling_frequency": RATE,
         "events": {"sample": true, "symbol": ["N"] * len(true)}} for name in rows
    ]  # fmt: skip
    result = nl.evaluate_recordings(lambda r: true[: int(rows[r["name"]] * len(true))], recordings)
    axes = nl.plot_record_scores(result, path=tmp_path / "scores.png").axes[0]
    assert matplotlib.image.imread(tmp_path / "scores.png").std() > 0 and axes.get_xlabel() == "f1"
    assert axes.get_ylim()[0] > axes.get_ylim()[1], "the worst stands highest"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b", "c", "a", "average", "gross"]
    np.testing.assert_allclose(axes.lines[0].get_xdata(), sorted(row["f1"] for row in result["records"]))
    for k, kind in enumerate(("average", "gross")):
        interval, point = axes.lines[1 + 2 * k : 3 + 2 * k]
        assert [*interval.get_xdata(), *point.get_xdata()] == [*result["intervals"][kind]["f1"], result[kind]["f1"]]
        assert {*interval.get_ydata(), *point.get_ydata()} == {3 + k}
    told = {name: value for name, value in result.items() if name != "sums"}  # as one keeps it in JSON
    assert nl.plot_record_scores(told, measure="false_positives_per_hour").axes[0].get_xlabel().startswith("false")


def test_each_task_has_its_usual_measure() -> None:
    usual = {"events": "f1", "intervals": "f1", "classes": "cohen_kappa", "denoising": "snr_improvement_db",
             "regression": "mae heart rate (bpm)"}  # fmt: skip
    for task, measure in usual.items():
        told = {"accuracy": 0.5, measure: 0.25}
        result = {"task": task, "records": [{"name": "a", **told}], "average": told, "gross": {"accuracy": 0.5},
                  "intervals": {"average": dict.fromkeys(told, (0, 1))}}  # fmt: skip
        axes = nl.plot_record_scores(result).axes[0]
        assert axes.get_xlabel() == measure
        assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "average"], "it has no gross one"


def test_the_worst_has_the_most_of_an_error_and_the_least_of_all_else() -> None:
    errors = "false_positives_per_hour rmse ssd mad prd timing_sd_ms peaks_added".split()
    for measure in [*errors, "f1", "accuracy", "cohen_kappa", "snr_improvement_db", "cosine_similarity", "peaks_kept"]:
        records = [{"name": str(value), measure: value} for value in (2.0, np.nan, 3.0, 1.0)]
        order = [record["name"] for record in worst_first(records, measure)]
        assert order == (["3.0", "2.0", "1.0"] if measure in errors else ["1.0", "2.0", "3.0"]) + ["nan"]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"output": np.zeros(5)}, "output has shape .5,.; expected 9500 steps"),
        ({"output": np.zeros(9501)}, "output has shape .9501,.; expected 9500 steps"),
        ({"found": [9500]}, "found holds 9500; expected samples from 0 to 9499"),
        ({"seconds_per_row": 0.5}, "95 s make 190 rows of 0.5 s; expected 120 at the most"),
        ({"start": 100}, "from start=100 to stop=None there is nothing"),
        ({"output": np.arange(9500) % 3, "names": ["a"]}, "names has 1; expected 3"),
        ({"names": "beat"}, "names is one text, 'beat'; expected a list of names"),
        ({"path": "r.xyz"}, "ends in '.xyz'"),
    ],
)
def test_what_cannot_be_shown_is_named(options: dict, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        nl.plot_recording(recording(), **options)
    scores = nl.class_scores([[0, 1]], [[0, 1]])
    with pytest.raises(TypeError, match="result is a dict of 'sensitivity', .*; expected what evaluate_recordings"):
        nl.plot_record_scores(nl.peak_scores([1], [1], sampling_frequency=1))
    with pytest.raises(ValueError, match="measure='f2'; expected one of 'accuracy'"):
        nl.plot_record_scores(scores, measure="f2")
    with pytest.raises(ValueError, match=r"measure=\['f1'\]; expected one of 'accuracy'"):
        nl.plot_record_scores(scores, measure=["f1"])  # type: ignore[arg-type]


def test_the_axis_tells_of_rows_and_their_times_where_there_are_some() -> None:
    rows = "seconds of a row, which begins in r at the time on its left"
    for stop, told, clocks in ((20, "seconds of r", [""]), (40, rows, None)):
        axes = nl.plot_recording(recording(), stop=stop).axes
        assert axes[-1].get_xlabel() == told
        assert [each.get_ylabel().strip() for each in axes] == (clocks or ["0:00:00", "0:00:30"])
    (later,) = nl.plot_recording(recording(), start=30, stop=50).axes
    assert later.get_ylabel().strip() == "0:00:30" and later.get_xlabel() == rows


def test_one_word_is_the_unit_of_all_channels_and_the_name_of_one() -> None:
    figure = nl.plot_recording({**recording(), "units": "mV"}, stop=20)
    assert [text.get_text() for text in figure.axes[0].texts] == ["MLII (2 mV high)", "V5 (2 mV high)"]
    one = {"signal": recording()["signal"][:, :1], "sampling_frequency": RATE, "channels": "II", "units": "mV"}
    assert [text.get_text() for text in nl.plot_recording(one, stop=20).axes[0].texts] == ["II (2 mV high)"]
