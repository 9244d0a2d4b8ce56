"""Denoising of ECG: MIT-BIH records with noise of the NSTDB added at several SNR, ours beside filters and wavelets.

Run `python benchmarks/bench_denoising.py --records DIR --noise DIR` with folders of WFDB records (or with
$NEURALLIB_DATA, which has `mitdb` and `nstdb`). Ours is the denoiser that comes along, or `--checkpoint DIR`. It was
trained on DS1: of these records measure what `python -m neurallib.examples.train_ecg_denoiser` cross-validated, with
`--cross-validated results/denoiser_fold_0 results/denoiser_fold_1`: every record gets the state that never met its
person. Noise is taken from the last third of its records, which these states have not met either. "no averages" is ours
without the averages over beats.

Clean is what the database recorded, less its own baseline (below 0.5 Hz). "best" filters have the highest mean
improvement among all settings that are tried, chosen with hindsight for each kind of noise and each ratio. Electrode
motion is recorded (`em`) where the folder has it, else simulated. `--drnn MINUTES` trains an LSTM (drnn.py) on each
half of the people for the other. All of it takes a few minutes of one core, and twice MINUTES. Without records it says
so and ends.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import drnn
import numpy as np
from filters import butterworth, fir, medians, wavelets
from noisy_records import Noises, cleaned, data_folder, noise_of, noisy, read_noises, recordings, states_of
from timing import plain

import neurallib as nl

Recording = dict[str, Any]
Method = Callable[[Recording], Any]
Named = tuple[Method, str]  # and its settings
LEARNT = 10  # minutes of each record, by the LSTM
LOWS, HIGHS = (0.4, 0.67, 1.0, 1.5, 2.0, 3.0, 4.0), (60.0, 40.0, 30.0, 25.0, 20.0, 15.0)  # Hz
LIMITS = (0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 40.0)  # of wavelets' coefficients
HAS_WAVELETS = importlib.util.find_spec("pywt") is not None


def on_signal(function: Callable[..., np.ndarray], *settings: float) -> Method:
    """A filter as a method of recordings."""
    return lambda recording: function(recording["signal"], recording["sampling_frequency"], *settings)


def lstm(folder: Path, noises: Noises, minutes: float) -> Named:
    """The LSTM of drnn.py as a method: two of them, each trained on one half of the people and asked for the other."""
    records = list(recordings(folder, LEARNT))
    if rates := sorted({record["sampling_frequency"] for record in records} - {drnn.RATE}):
        raise ValueError(f"--drnn is for records of {drnn.RATE:g} Hz; some of {folder} have {rates}: leave it out.")
    states, told = {}, []
    for part in nl.split_people(records, folds=2, seed=3).values():
        signals = [cleaned(record) for record in part["train"]]
        network, n_steps = drnn.trained(
            signals, lambda kind, n, generator: noise_of(noises, kind, n, drnn.RATE, generator)[:, 0], minutes
        )
        states |= {record["name"]: network for record in part["val"]}
        told.append(f"{n_steps}")
    return lambda recording: drnn.denoised(states[recording["name"]], recording), f"{' and '.join(told)} steps"


def scored(pairs: list[tuple[Recording, np.ndarray]], method: Method) -> dict[str, Any]:
    """What `evaluate_recordings` says of a method's denoised signals."""
    clean = {recording["name"]: signal for recording, signal in pairs}
    with np.errstate(divide="ignore", invalid="ignore"):
        return nl.evaluate_recordings(
            method, (recording for recording, _ in pairs), task="denoising", target=lambda r: clean[r["name"]]
        )


def best(
    pairs: list[tuple[Recording, np.ndarray]], function: Callable[..., np.ndarray], settings: list[tuple[float, ...]]
) -> tuple[Method, str]:
    """The filter that improves the signals most on average, and its settings; of clean signals the mildest."""

    def improvement(values: tuple[float, ...]) -> float:
        found = on_signal(function, *values)
        each = [_error(recording["signal"], clean) / _error(found(recording), clean) for recording, clean in pairs]
        return float(np.mean(np.log(each)))

    is_clean = all(np.allclose(recording["signal"], clean, atol=1e-6) for recording, clean in pairs)
    values = settings[0] if is_clean else max(settings, key=improvement)
    return on_signal(function, *values), "-".join(f"{value:g}" for value in values)


def _error(found: np.ndarray, clean: np.ndarray) -> float:
    return float((found - clean).var()) + 1e-12


def peaks_found(pairs: list[tuple[Recording, np.ndarray]], method: Method) -> dict[str, float]:
    """How well the detector that comes along finds the annotated beats in what a method gives."""
    detector = nl.load_pretrained("ecg_r_peaks")
    scores = nl.evaluate_recordings(
        lambda r: nl.find_r_peaks(detector, r | {"signal": np.asarray(method(r), np.float32)}),
        (recording for recording, _ in pairs), n_bootstrap=1,
    )["gross"]  # fmt: skip
    return {"peaks_f1": scores["f1"], "peaks_timing_sd_ms": scores["timing_sd_ms"]}


def rows_of(
    pairs: list[tuple[Recording, np.ndarray]], networks: dict[str, Named], what: dict[str, Any], peaks: bool
) -> Iterable[dict[str, Any]]:
    """A row a method."""
    bands: list[tuple[float, ...]] = [(low, high) for low in LOWS for high in HIGHS]
    limits: list[tuple[float, ...]] = [(limit,) for limit in LIMITS]
    methods: dict[str, Named] = {
        "none": (lambda recording: recording["signal"], ""),
        "medians": (on_signal(medians), "200, 600 ms"),
        **({"best wavelet threshold": best(pairs, wavelets, limits)} if HAS_WAVELETS else {}),
        "best FIR": best(pairs, fir, bands),
        "best Butterworth": best(pairs, butterworth, bands),
        **networks,
    }
    for name, (method, settings) in methods.items():
        began = time.process_time()
        scores = scored(pairs, method)
        seconds = time.process_time() - began
        row = what | {"method": name, "settings": settings, **scores["average"]}
        row |= {"interval": scores["intervals"]["average"]["snr_improvement_db"], "cpu_seconds": seconds}
        if peaks and name in ("none", "best Butterworth", "neurallib"):
            row |= peaks_found(pairs, method)
        yield row


def main() -> None:
    """Measure, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", "--data", type=Path, dest="data", help="folder of WFDB records")
    parser.add_argument("--noise", type=Path, help="folder of noise records")
    parser.add_argument("--checkpoint", type=Path, help="directory of a state that denoises [what comes along]")
    parser.add_argument("--cross-validated", type=Path, nargs="+", help="directories of states, used where not trained")
    parser.add_argument("--kinds", nargs="*", default=["bw", "ma", "em", "mixed", "clean"], help="of noise")
    parser.add_argument("--snr", nargs="*", type=float, default=[-6.0, 0.0, 6.0, 12.0, 18.0], help="dB")
    parser.add_argument("--minutes", type=float, default=1.0, help="of each record [1]")
    parser.add_argument("--drnn", type=float, default=0.0, metavar="MINUTES", help="of CPU, to train an LSTM for twice")
    parser.add_argument("--without-peaks", action="store_true", help="do not look for R-peaks, which takes long")
    arguments = parser.parse_args()
    folder, noises = data_folder(arguments.data, "mitdb"), data_folder(arguments.noise, "nstdb")
    if folder is None or noises is None:
        print("skipped: no WFDB records; give --data DIR and --noise DIR, or set NEURALLIB_DATA")
        return
    if not HAS_WAVELETS:
        print("wavelets are skipped: PyWavelets is not installed (extra bench)")
    learnt, records = read_noises(noises)
    state_for = states_of("ecg_denoiser", arguments.checkpoint, arguments.cross_validated)

    def ours(recording: Recording, average_beats: bool = True) -> Any:
        state = state_for(recording["name"])
        return nl.denoise_recording(state, recording, average_beats=average_beats)["signal"]

    networks = {"DRNN-like LSTM": lstm(folder, learnt, arguments.drnn)} if arguments.drnn else {}
    networks["neurallib"] = ours, ""
    networks["neurallib, no averages"] = partial(ours, average_beats=False), ""
    rows: list[dict[str, Any]] = []
    print("\n".join(table_head()))
    for kind in arguments.kinds:
        said = f"{kind} (simulated)" if kind == "em" and records["em"] is None else kind
        for snr in arguments.snr if kind != "clean" else [math.inf]:
            pairs = noisy(folder, records, kind, snr if math.isfinite(snr) else 0.0, arguments.minutes)
            for row in rows_of(pairs, networks, {"noise": said, "snr": snr}, not arguments.without_peaks):
                rows.append(row)
                print(table_line(row), flush=True)
    told = {"benchmark": "denoising", "minutes": arguments.minutes, "rows": plain(rows)}
    print(json.dumps(told))


COLUMNS = ("snr_after_db", "ssd", "mad", "prd", "cosine_similarity", "peaks_f1", "peaks_timing_sd_ms", "cpu_seconds")


def table_head() -> list[str]:
    """The head of the table in Markdown."""
    names = ["noise", "SNR (dB)", "method", "improvement (dB)", *(name.replace("_", " ") for name in COLUMNS)]
    return [f"| {' | '.join(names)} |", "| --- " * len(names) + "|"]


def table_line(row: dict[str, Any]) -> str:
    """A row of it; the improvement with its 95 % interval over people."""
    low, high = row["interval"]
    improved = f"{row['snr_improvement_db']:+.2f} ({low:+.2f} to {high:+.2f})" if math.isfinite(row["snr"]) else ""
    values = " | ".join(f"{row[name]:.4g}" if name in row else "" for name in COLUMNS)
    method = f"{row['method']} {row['settings']}".strip()
    return f"| {row['noise']} | {row['snr']:g} | {method} | {improved} | {values} |"


if __name__ == "__main__":
    main()
