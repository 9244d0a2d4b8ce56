"""Denoising of ECG: MIT-BIH records with recorded noise of the NSTDB added at several SNR, filters against a state.

Run `python benchmarks/bench_denoising.py --data DIR --noise DIR` with folders of WFDB records (or with $NEURALLIB_DATA,
which has `mitdb` and `nstdb`); `--checkpoint DIR` adds a state that gives the clean signal for a noisy one. Clean is
what the database recorded, less its own baseline (below 0.5 Hz). Without records it says so and ends.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from bench_r_peaks import data_folder, recordings, xqrs

import neurallib as nl

Signals = dict[str, np.ndarray]


def high_passed(signal: np.ndarray, rate: float, cutoff: float) -> np.ndarray:
    """Without what is slower than `cutoff` Hz, without a delay."""
    from scipy.signal import butter, sosfiltfilt

    return np.asarray(sosfiltfilt(butter(2, cutoff, "high", fs=rate, output="sos"), signal, axis=0))


def band_passed(signal: np.ndarray, rate: float) -> np.ndarray:
    """0.67 to 40 Hz."""
    from scipy.signal import butter, sosfiltfilt

    return np.asarray(sosfiltfilt(butter(2, [0.67, 40], "band", fs=rate, output="sos"), signal, axis=0))


def median_filtered(signal: np.ndarray, rate: float) -> np.ndarray:
    """Less the baseline that medians over 200 and 600 ms leave (de Chazal et al., 2004)."""
    from scipy.ndimage import median_filter

    baseline = signal
    for seconds in (0.2, 0.6):
        baseline = median_filter(baseline, (2 * round(seconds * rate / 2) + 1, 1))
    return signal - baseline


def noisy(folder: Path, noise: np.ndarray, snr: float, minutes: float) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """Each record with noise of the given SNR in dB, from a place of its own, and what it was without."""
    rng = np.random.default_rng(0)
    for recording in recordings(folder, minutes):
        clean = high_passed(np.nan_to_num(recording["signal"]), recording["sampling_frequency"], 0.5)
        start = rng.integers(0, len(noise) - len(clean) + 1)
        added = noise[start : start + len(clean)]
        added = added - added.mean()
        gain = np.sqrt(clean.var() / added.var() / 10 ** (snr / 10))
        yield recording | {"signal": (clean + gain * added).astype(np.float32)}, clean


def main() -> None:
    """Measure, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of WFDB records")
    parser.add_argument("--noise", type=Path, help="folder of noise records")
    parser.add_argument("--checkpoint", type=Path, help="directory of a state that denoises")
    parser.add_argument("--kinds", nargs="*", default=["bw", "ma"], help="names of noise records")
    parser.add_argument("--snr", nargs="*", type=float, default=[0.0, 6.0, 12.0], help="dB")
    parser.add_argument("--minutes", type=float, default=5.0, help="of each record")
    parser.add_argument("--peaks", action="store_true", help="also which R-peaks XQRS still finds; takes long")
    arguments = parser.parse_args()
    folder, noises = data_folder(arguments.data, "mitdb"), data_folder(arguments.noise, "nstdb")
    if folder is None or noises is None:
        print("skipped: no WFDB records; give --data DIR and --noise DIR, or set NEURALLIB_DATA")
        return
    import wfdb

    methods: dict[str, Callable[[dict[str, Any]], Any]] = {
        "none": lambda r: r["signal"],
        "high-pass 0.67 Hz": lambda r: high_passed(r["signal"], r["sampling_frequency"], 0.67),
        "band-pass 0.67-40 Hz": lambda r: band_passed(r["signal"], r["sampling_frequency"]),
        "medians 200, 600 ms": lambda r: median_filtered(r["signal"], r["sampling_frequency"]),
    }
    if arguments.checkpoint:
        state = nl.load_checkpoint(arguments.checkpoint)
        methods["neurallib"] = lambda r: nl.predict_recording(state, r)
    rows = []
    for kind in arguments.kinds:
        noise = wfdb.rdrecord(str(noises / kind)).p_signal[:, :1]
        for snr in arguments.snr:
            pairs = list(noisy(folder, noise, snr, arguments.minutes))
            clean: Signals = {recording["name"]: signal for recording, signal in pairs}
            for name, method in methods.items():
                began = time.process_time()
                scores = nl.evaluate_recordings(
                    method, (recording for recording, _ in pairs), task="denoising", target=lambda r: clean[r["name"]]
                )
                row = {"noise": kind, "snr": snr, "method": name, **scores["average"]}
                row |= {"interval": scores["intervals"]["average"]["snr_improvement_db"]}
                if arguments.peaks:
                    row |= peaks_kept(pairs, method)
                rows.append(row | {"cpu_seconds": time.process_time() - began})
    print(table(rows))
    print(json.dumps({"benchmark": "denoising", "minutes": arguments.minutes, "rows": rows}))


def peaks_kept(pairs: list[tuple[dict[str, Any], np.ndarray]], method: Callable[..., Any]) -> dict[str, float]:
    """The mean share of the clean signals' R-peaks that are found in the denoised ones, and of those that are added."""
    told = []
    for recording, clean in pairs:
        answer = method(recording)
        found = np.asarray(answer["output"] if isinstance(answer, dict) else answer)
        rate = recording["sampling_frequency"]
        told.append(
            nl.denoising_scores(
                clean, recording["signal"], found, sampling_frequency=rate,
                peaks=lambda signal, rate=rate: xqrs({"signal": signal[:, None], "sampling_frequency": rate}),
            )
        )  # fmt: skip
    return {name: float(np.nanmean([scores[name] for scores in told])) for name in ("peaks_kept", "peaks_added")}


def table(rows: list[dict[str, Any]]) -> str:
    """Rows as Markdown; the improvement with its 95 % interval over people."""
    names = ["rmse", "ssd", "mad", "prd", "cosine_similarity"] + (["peaks_kept"] if "peaks_kept" in rows[0] else [])
    head = ["noise", "SNR (dB)", "method", "improvement (dB)", *names]
    lines = [f"| {' | '.join(head)} |", "| --- " * len(head) + "|"]
    for row in rows:
        low, high = row["interval"]
        improved = f"{row['snr_improvement_db']:.2f} ({low:.2f} to {high:.2f})"
        values = " | ".join(f"{row[name]:.3f}" for name in names)
        lines.append(f"| {row['noise']} | {row['snr']:g} | {row['method']} | {improved} | {values} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
