"""Detectors of R-peaks that others made, each as its makers use it, and which of them are installed (extra `bench`)."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Recording = dict[str, Any]
Detector = Callable[[Recording], np.ndarray]


class Peer(NamedTuple):
    """A detector: of a lead [T] in mV and its rate in Hz to samples; what it is called, and which packages it needs."""

    function: Callable[[np.ndarray, float], Any]
    label: str
    packages: dict[str, str]  # distribution: module; the first is the detector's own

    def missing(self) -> list[str]:
        """The distributions that are not installed."""
        return [name for name, module in self.packages.items() if importlib.util.find_spec(module) is None]

    def version(self) -> str:
        """The detector's package with its version."""
        name = next(iter(self.packages))
        return f"{name} {importlib.metadata.version(name)}"

    def __call__(self, recording: Recording) -> np.ndarray:
        """The samples of a recording's first lead that are taken for R-peaks, ascending, int64 [n]."""
        signal = without_gaps(np.asarray(recording["signal"])[:, 0].astype(np.float64))
        with warnings.catch_warnings():  # of their imports, and of flat stretches: not what is measured
            warnings.simplefilter("ignore")
            found = np.asarray(self.function(signal, float(recording["sampling_frequency"])))
        samples = np.unique(found.astype(np.int64))
        return samples[(samples >= 0) & (samples < len(signal))]


def without_gaps(signal: np.ndarray) -> np.ndarray:
    """A lead with straight lines where a record marks no value, which is not scored."""
    known = ~np.isnan(signal)
    if known.all() or not known.any():
        return np.nan_to_num(signal)
    return np.interp(np.arange(len(signal)), np.flatnonzero(known), signal[known])


def xqrs(signal: np.ndarray, rate: float) -> Any:
    """XQRS of wfdb."""
    from wfdb import processing

    return processing.xqrs_detect(signal, rate, verbose=False)


def gqrs(signal: np.ndarray, rate: float) -> Any:
    """GQRS of wfdb, which marks where a QRS begins rather than its peak."""
    from wfdb import processing

    return processing.gqrs_detect(signal, rate)


def fastnvg(signal: np.ndarray, rate: float) -> Any:
    """FastNVG, on visibility graphs; takes whole rates alone (Emrich et al., EUSIPCO 2023)."""
    from vg_beat_detectors import FastNVG

    return FastNVG(sampling_frequency=round(rate)).find_peaks(signal)


def pan_tompkins(signal: np.ndarray, rate: float) -> Any:
    """Pan and Tompkins as SleepECG has it."""
    from sleepecg import detect_heartbeats

    return detect_heartbeats(signal, rate)


def neurokit(signal: np.ndarray, rate: float) -> Any:
    """NeuroKit2's own method, after its own cleaning."""
    import neurokit2

    cleaned = neurokit2.ecg_clean(signal, sampling_rate=rate, method="neurokit")
    return neurokit2.ecg_peaks(cleaned, sampling_rate=rate, method="neurokit")[1]["ECG_R_Peaks"]


def hamilton(signal: np.ndarray, rate: float) -> Any:
    """Hamilton of BioSPPy, filtered before and corrected after as its `ecg.ecg` does it."""
    from biosppy.signals import ecg, tools

    band = {"ftype": "FIR", "band": "bandpass", "order": int(1.5 * rate), "frequency": [0.67, 45]}
    filtered = tools.filter_signal(signal=signal, sampling_rate=rate, **band)["signal"]
    filtered = filtered - filtered.mean()
    found = ecg.hamilton_segmenter(signal=filtered, sampling_rate=rate)["rpeaks"]
    return ecg.correct_rpeaks(signal=filtered, rpeaks=found, sampling_rate=rate, tol=0.05)["rpeaks"]


def find_peaks(signal: np.ndarray, rate: float) -> Any:
    """Peaks of the 5 to 30 Hz band's magnitude, above a third of the 98th percentile and 0.3 s apart."""
    from scipy import signal as scipy_signal

    sections = scipy_signal.butter(2, [5, 30], "band", fs=rate, output="sos")
    band = np.abs(scipy_signal.sosfiltfilt(sections, signal))
    return scipy_signal.find_peaks(band, height=np.quantile(band, 0.98) / 3, distance=round(0.3 * rate))[0]


PEERS = {
    "xqrs": Peer(xqrs, "XQRS of wfdb", {"wfdb": "wfdb"}),
    "gqrs": Peer(gqrs, "GQRS of wfdb", {"wfdb": "wfdb"}),
    "fastnvg": Peer(fastnvg, "FastNVG of vg-beat-detectors", {"vg-beat-detectors": "vg_beat_detectors"}),
    "sleepecg": Peer(pan_tompkins, "SleepECG", {"sleepecg": "sleepecg"}),
    "neurokit": Peer(neurokit, "NeuroKit2", {"neurokit2": "neurokit2"}),
    # biosppy 2.2 imports peakutils and does not require it
    "hamilton": Peer(hamilton, "Hamilton of BioSPPy", {"biosppy": "biosppy", "PeakUtils": "peakutils"}),
    "find_peaks": Peer(find_peaks, "band-pass and `find_peaks` of SciPy", {"scipy": "scipy"}),
}
