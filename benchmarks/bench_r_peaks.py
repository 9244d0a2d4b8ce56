"""R-peak detectors on the MIT-BIH Arrhythmia Database: by record, gross, and on average with intervals over people.

Run `python benchmarks/bench_r_peaks.py --data DIR` with a folder of WFDB records (or with $NEURALLIB_DATA, which has
them in its `mitdb`); `--checkpoint DIR` adds a state of your own. Without records it says so and ends.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import neurallib as nl

ROOT = Path(__file__).resolve().parent.parent
SAME_PERSON = {"202": "201"}  # of the MIT-BIH Arrhythmia Database
Detector = Callable[[dict[str, Any]], np.ndarray]


def data_folder(given: Path | None, name: str) -> Path | None:
    """The folder that is given, else one of $NEURALLIB_DATA or of a `shared/data` beside or above the repository."""
    shared = [place / "shared" / "data" / name for place in (ROOT, ROOT.parent, ROOT.parent.parent)]
    named = [Path(os.environ["NEURALLIB_DATA"]) / name] if os.environ.get("NEURALLIB_DATA") else []
    return next((folder for folder in ([given] if given else [*named, *shared]) if any(folder.glob("*.hea"))), None)


def recordings(folder: Path, minutes: float | None) -> Iterator[dict[str, Any]]:
    """The records of a folder, their first channel, with all annotations."""
    for path in nl.list_recordings(folder):
        recording = nl.read_recording(path, stop=minutes and minutes * 60)
        first = {key: recording[key][:1] for key in ("channels", "units")}
        person = SAME_PERSON.get(path.name, path.name)
        yield recording | first | {"signal": recording["signal"][:, :1], "person": person}


def xqrs(recording: dict[str, Any]) -> np.ndarray:
    """XQRS of wfdb."""
    from wfdb import processing

    signal = recording["signal"][:, 0].astype(np.float64)
    return np.asarray(processing.xqrs_detect(signal, recording["sampling_frequency"], verbose=False), np.int64)


def gqrs(recording: dict[str, Any]) -> np.ndarray:
    """GQRS of wfdb, which marks where a QRS begins rather than its peak."""
    from wfdb import processing

    signal = recording["signal"][:, 0].astype(np.float64)
    return np.asarray(processing.gqrs_detect(signal, recording["sampling_frequency"]), np.int64)


def filtered_peaks(recording: dict[str, Any]) -> np.ndarray:
    """Peaks of the 5 to 30 Hz band's magnitude, above a third of the 98th percentile and 0.3 s apart."""
    from scipy.signal import butter, find_peaks, sosfiltfilt

    rate = recording["sampling_frequency"]
    band = np.abs(sosfiltfilt(butter(2, [5, 30], "band", fs=rate, output="sos"), recording["signal"][:, 0]))
    found: np.ndarray = find_peaks(band, height=np.quantile(band, 0.98) / 3, distance=round(0.3 * rate))[0]
    return found


def measured(name: str, detector: Any, folder: Path, arguments: argparse.Namespace) -> tuple[dict[str, Any], float]:
    """The scores of a detector, and the CPU seconds that it took for all records, with reading."""
    began = time.process_time()
    scores = nl.evaluate_recordings(
        detector, recordings(folder, arguments.minutes), skip_start=arguments.skip_start, n_bootstrap=2000
    )
    print(f"\n{name}\n{scores['table']}")
    if arguments.figures:
        nl.plot_record_scores(scores, path=arguments.figures / f"{name}.png")
    return scores, time.process_time() - began


def main() -> None:
    """Measure, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of WFDB records with .atr annotations")
    parser.add_argument("--checkpoint", type=Path, help="directory of a state that finds R-peaks")
    parser.add_argument("--detectors", nargs="*", default=["xqrs", "gqrs", "find_peaks"])
    parser.add_argument("--minutes", type=float, help="of each record; by default all")
    parser.add_argument("--skip-start", type=float, default=0.0, help="seconds that are not scored; EC57 allows 300")
    parser.add_argument("--figures", type=Path, help="folder for a picture a detector")
    arguments = parser.parse_args()
    folder = data_folder(arguments.data, "mitdb")
    if folder is None:
        print("skipped: no WFDB records; give --data DIR, or set NEURALLIB_DATA")
        return
    known: dict[str, Any] = {"xqrs": xqrs, "gqrs": gqrs, "find_peaks": filtered_peaks}
    detectors = {name: known[name] for name in arguments.detectors}
    if arguments.checkpoint:
        detectors["neurallib"] = nl.load_checkpoint(arguments.checkpoint)
    told: dict[str, Any] = {}
    scores: dict[str, Any] = {}
    for name, detector in detectors.items():
        scores[name], seconds = measured(name, detector, folder, arguments)
        told[name] = {kind: scores[name][kind] for kind in ("gross", "average", "tolerance_curve")}
        told[name] |= {"intervals": scores[name]["intervals"]["gross"], "cpu_seconds": seconds}
    compared = {}
    best, *others = sorted(scores, key=lambda name: -scores[name]["gross"]["f1"])
    for other in others:
        compared[f"{best} - {other}"] = nl.compare_recordings(scores[best], scores[other])["gross"]["f1"]
        print(f"gross F1, {best} - {other}: {compared[f'{best} - {other}']}")
    print(json.dumps({"benchmark": "r_peaks", "detectors": told, "gross f1": compared}))


if __name__ == "__main__":
    main()
