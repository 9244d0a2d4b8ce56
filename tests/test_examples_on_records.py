"""The examples that learn from annotated records, in small, on records that are written here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurallib as nl
from neurallib.examples import beat_classes, fine_tuning


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEURALLIB_RESULTS_DIR", "set again by the examples, and taken back after")


def annotated_records(folder: Path, n: int) -> None:
    """Records of ECG of as many people, with beats of all classes."""
    wfdb = pytest.importorskip("wfdb", reason="reads records")
    for i in range(n):
        signal, beats = nl.synthetic_ecg(duration=70, sampling_frequency=360, seed=i)
        said: dict[str, Any] = {"fs": 360, "units": ["mV"], "sig_name": ["MLII"], "fmt": ["16"]}
        wfdb.wrsamp(f"{i}", p_signal=signal[:, None].astype(float), write_dir=str(folder), **said)
        symbols = np.resize(["N", "N", "A", "V"], len(beats)).tolist()
        wfdb.wrann(f"{i}", "atr", np.asarray(beats), symbols, write_dir=str(folder))


def test_classes_of_beats_are_learnt_in_three_ways_from_some_people_and_measured_on_others(tmp_path: Path) -> None:
    annotated_records(tmp_path, 4)
    small = ["--epochs", "1", "--people", "2", "--seeds", "2", "--quiet", "--out", str(tmp_path / "out")]
    scores = beat_classes.main(["--records", str(tmp_path), *small])
    assert scores.keys() == {"frozen", "fine-tuned", "from scratch"}
    assert all(len(values) == 2 and all(0 <= value <= 1 for value in values) for values in scores.values())


def test_parts_share_no_person_and_both_have_every_class(tmp_path: Path) -> None:
    annotated_records(tmp_path, 4)
    records = [beat_classes.beats_of(nl.read_recording(path), 125) for path in nl.list_recordings(tmp_path)]
    learnt, others = beat_classes.parts(records, 2, seed=0)
    assert not {record.person for record in learnt} & {record.person for record in others}
    assert len(learnt) == len(others) == 2
    x, y = beat_classes.windows_of(learnt[0], 125)[0]
    assert x.shape == (1250, 1) and set(np.unique(y)) == {-1, 0, 1, 2}
    with pytest.raises(ValueError, match="no 4 of 4 people"):
        beat_classes.parts(records, 4, seed=0)


@pytest.mark.filterwarnings("ignore:no R-peak is found")  # from scratch in eight epochs
def test_a_detector_is_fine_tuned_with_a_minute_a_person(tmp_path: Path) -> None:
    annotated_records(tmp_path, 3)
    small = ["--epochs", "8", "--people", "2", "--seeds", "1", "--quiet", "--out", str(tmp_path / "out")]
    scores = fine_tuning.main(["--records", str(tmp_path), *small])
    assert scores.keys() == {"as it comes", "frozen", "fine-tuned", "from scratch"}
    assert scores["fine-tuned"][0] > 0.8, "some steps are enough for a detector that knows beats at their own speed"


def test_fast_recordings_keep_their_beats_where_they_are(tmp_path: Path) -> None:
    annotated_records(tmp_path, 1)
    recording = nl.read_recording(tmp_path / "0")
    quick = fine_tuning.fast(recording)
    assert quick["sampling_frequency"] == 1080 and np.array_equal(nl.beats(quick), nl.beats(recording))
    end = fine_tuning.part(quick, 10)
    kept = nl.beats(quick)[nl.beats(quick) >= len(quick["signal"]) - 10_800]
    assert np.array_equal(nl.beats(end), kept - (len(quick["signal"]) - 10_800))
