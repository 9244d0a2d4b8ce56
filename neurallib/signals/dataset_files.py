"""The files of one recording of a data set: pieces without gaps, resampled, with their targets."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from neurallib.forks import end_with_parent
from neurallib.progress import progress
from neurallib.signals.annotations import beats_in, looked_for, symbols_of, unwanted
from neurallib.signals.arrays import array_shape, bridged, joined, write_array
from neurallib.signals.conversion import ratio_of
from neurallib.signals.dataset_sources import First, as_signal, at_rate, cut_recording, like_first, read_source
from neurallib.signals.dataset_targets import (
    Place, Target, TargetChannels, has_labels, outputs_of, target_of, window_of,
)  # fmt: skip
from neurallib.signals.plausibility import drift_of, far_values
from neurallib.signals.recording_parts import runs_where
from neurallib.signals.recordings import Recording

LEAST = 1.0  # seconds: a shorter piece between two gaps is left out


class Job(NamedTuple):
    """What is needed to make the files of one recording, in this process or another."""

    root: Path
    name: str
    source: Any
    person: str
    part: str
    target: Target
    settings: dict[str, Any]  # all that makes a difference, the recording's stamp too
    reading: dict[str, Any]
    first: First


def make_files(job: Job) -> dict[str, Any]:
    """Write the files of a recording; what the manifest says of it."""
    recording = read_source(job.name, job.source, job.reading, job.settings["sampling_frequency"])
    recording = like_first(recording, job.name, job.first, asked=job.reading.get("channels") is not None)
    own, rate = recording["sampling_frequency"], job.settings["sampling_frequency"] or recording["sampling_frequency"]
    recording["signal"] = signal = as_signal(recording["signal"], job.name)
    n_inputs = signal.shape[1] - (len(job.target.outputs) if isinstance(job.target, TargetChannels) else 0)
    files: dict[str, list[float]] = {}
    one_label, mixed = job.settings["window"] is not None and not job.settings["each_window"], False
    longest = int(min(job.settings["bridged"], (job.settings["window"] or np.inf) / 2) * own)
    there = runs_where(signal, lambda rows: np.isfinite(rows).all(axis=1)).tolist()
    stretches = joined(there, longest)
    if 2 * sum(b - a for a, b in there) < sum(b - a for a, b in stretches):
        stretches = there  # mostly lines, as of a channel that has every fourth value
    with looked_for() as looked:
        for start, stop in stretches:
            if len(stretches) > 1 and stop - start < LEAST * own:
                continue
            piece = cut_recording(cast(Recording, {**recording, "name": job.name, "onset": 0.0}), start, stop)
            lost = ~np.isfinite(piece["signal"][:, n_inputs:])  # of a target that is a channel: it is not known there
            piece = at_rate({**piece, "signal": bridged(piece["signal"])}, rate)
            if lost.any():
                rows = (np.arange(len(piece["signal"])) / float(ratio_of(rate, own))).astype(np.int64)
                piece["signal"][:, n_inputs:][lost[np.minimum(rows, len(lost) - 1)]] = np.nan
            place = Place(start, stop, ratio_of(rate, own), len(signal))
            a = -1
            for a, b, y in _windows(job, piece, place):
                single = len(stretches) == 1 and job.settings["window"] is None
                file = f"{job.name}.npy" if single else f"{job.name}_{len(files):05d}.npy"
                write_array(job.root / "x" / job.part / file, piece["signal"][a:b, :n_inputs], synced=False)
                write_array(job.root / "y" / job.part / file, y, synced=False)  # is_made looks
                files[file] = [start / own + a / rate, start / own + b / rate]
            if one_label and a >= 0 and not mixed:  # the last, whose onset is its own
                mixed = has_labels(job.target, piece, window_of(piece, a, b, place), y)
    source = recording["source"]
    return {
        "source": None if source is None else os.fspath(source),
        "person": job.person,
        "part": job.part,
        "sampling_frequency": rate,
        "channels": recording["channels"][:n_inputs],
        "units": recording["units"][:n_inputs],
        "target": job.settings["target"],
        "outputs": outputs_of(job.target) if files else None,
        "window": job.settings["window"],
        "mixed": mixed,  # its windows have one label, and it has several
        "unwanted": list(unwanted(looked)),  # what is annotated in place of what is looked for
        "symbols": sorted(symbols_of(looked)),
        "far": [[*key, n] for key, n in far_values(signal, recording["channels"], job.name).items()],
        "drift": drift_of(signal, beats_in(recording), own),
        "says_person": recording["person"],
        "made_from": job.settings,
        "missing": {} if files else _missing(recording),
        "files": files,
    }


def made(jobs: list[Job], n_workers: int, bar: bool) -> Iterator[tuple[Job, dict[str, Any]]]:
    """What the manifest says of each recording, whose files are then written, by one process or several."""
    if n_workers == 1 or len(jobs) < 2:
        for job in progress(jobs, bar, "recordings", unit="recording"):
            yield job, make_files(job)
        return
    import multiprocessing
    from concurrent.futures import BrokenExecutor, ProcessPoolExecutor

    context = multiprocessing.get_context("spawn")  # a fork after torch has used threads hangs
    with ProcessPoolExecutor(min(n_workers, len(jobs)), context, initializer=end_with_parent) as pool:
        try:
            futures = [(job, pool.submit(make_files, job)) for job in jobs]
            for job, future in progress(futures, bar, "recordings", unit="recording"):
                yield job, future.result()
        except BrokenExecutor as error:
            raise RuntimeError(
                f"a worker of n_workers={n_workers} ended before its recording was made. Each of them imports the "
                "script that calls make_dataset, which has to do so under `if __name__ == \"__main__\":`; or else it "
                "was killed, as for want of memory. What is made is kept: call make_dataset again."
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _missing(recording: Recording) -> dict[str, float]:
    """The share of its values that each channel lacks, which lacks some."""
    shares = np.isnan(recording["signal"]).mean(axis=0).tolist()
    return {channel: share for channel, share in zip(recording["channels"], shares, strict=True) if share}


def is_made(job: Job, entry: Any) -> bool:
    """Whether a recording's files are there and whole, which those of a power cut need not be, and would be the same.
    """
    if not entry or [entry["made_from"], entry["person"], entry["part"]] != [job.settings, job.person, job.part]:
        return False
    with contextlib.suppress(FileNotFoundError, ValueError):
        for side, file in itertools.product("xy", entry["files"]):
            array_shape(job.root / side / job.part / file)
        return True
    return False


def _windows(job: Job, piece: Recording, place: Place) -> Iterator[tuple[int, int, np.ndarray]]:
    """From, to, and the target of each file that a piece without gaps gives."""
    n_steps, rate = len(piece["signal"]), piece["sampling_frequency"]
    window, whole = job.settings["window"], None
    size = n_steps if window is None else max(1, round(window * rate))
    stride = max(1, round(size * (1 - job.settings["overlap"])))
    starts = range(0, n_steps - size + 1, stride)
    for start in starts:
        stop = start + size
        if job.settings["each_window"]:
            part = window_of(piece, start, stop, place)
            y = target_of(job.target, job.name, part, place._replace(first=start))
        else:
            if whole is None:
                whole = target_of(job.target, job.name, piece, place._replace(n_windows=len(starts)))
            y = whole[start:stop] if whole.ndim and len(whole) == n_steps else whole
        # What is no class has an axis of outputs, as training expects it.
        yield start, stop, y[..., None] if y.dtype.kind == "f" and y.shape in ((), (size,)) else y
