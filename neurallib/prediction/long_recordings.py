"""Recordings of any length: read, applied and answered window by window, in memory that does not grow with them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from neurallib.architectures import check_state
from neurallib.checks import as_path, boolean, choice, number
from neurallib.devices import configure_device
from neurallib.files import atomic_write
from neurallib.models.registry import build_network
from neurallib.names import hinted
from neurallib.prediction.applying import applied
from neurallib.prediction.stream_events import event_settings, events_of
from neurallib.prediction.streaming import init_stream, stream_step
from neurallib.prediction.stretches import gaps_between, picked_rows, segments_of, signal_of
from neurallib.prediction.windows import Window, cut, mapped_back, silenced, without_holes
from neurallib.progress import progress
from neurallib.sequences import pad
from neurallib.signals.arrays import BRIDGED, bridged, joined, write_array
from neurallib.signals.batches import MAX_PADDED_STEPS, cut_batches
from neurallib.signals.conversion import Handed
from neurallib.signals.normalization import OWN, as_input, as_inputs, target_scale
from neurallib.signals.plausibility import spread_of, tell_size
from neurallib.signals.recording_parts import as_recording
from neurallib.state import State, new_postprocessing
from neurallib.steps import warm_up
from neurallib.tasks import EVENTS_OF_ONE, Task, activate, describe

OVERLAP = 0.2  # of a window, so that each step's answer comes from one that hears what is around it
MINUTE, OVERLAP_OF_MINUTE = 60.0, 0.1  # the windows of a state that was trained on whole signals
_STEPS = 100_000  # of a batch of windows
_LOOKED_AT = 8  # windows, of a recording that may be in another unit


class Answers(NamedTuple):
    """Each window of a recording with its answer, in the order of time; and what is told beside them."""

    parts: Iterator[tuple[Window, np.ndarray]]
    n_steps: int
    told: dict[str, Any]


@hinted
def predict_recording(
    state: State,
    recording: Mapping[str, Any],
    *,
    window: float | None = None,
    overlap: float | None = None,
    output: str = "probabilities",
    path: str | Path | None = None,
    gpu_id: int | None = None,
    enable_progress_bar: bool = False,
) -> dict[str, Any]:
    """What a state says of a recording of any length, at the recording's own rate, in bounded memory.

    The signal is taken in windows, as the state was trained; each step has the answer of the window in whose middle it
    lies. A GRU of one direction that normalizes nothing by itself, at its own rate, goes on from piece to piece
    instead, which is one pass over everything. Where the recording says its rate, channels and units and the state
    knows its own, it is resampled and mapped back, channels are picked by their names and units converted.

    Parameters
    ----------
    state : State
        Stays as it is.
    recording : dict
        "signal" [T, C] (or [T]), an array or what can be sliced like one, read piece by piece; nan where there is no
        value. "sampling_frequency" (Hz), "channels" and "units" where they are known.
    window : float, optional
        Seconds (steps where no rate is known); by default what the state was trained on: its windows, or the length of
        most of its signals where each is normalized by itself, or has one output, or the state is no GRU; else a
        minute.
    overlap : float, optional
        The share of a window that the next one repeats, in [0, 1); by default a fifth, or a tenth of a minute, and
        none of a state with one output a signal: its windows follow each other, as the epochs of a night do.
    output : str
        "probabilities" (of a regression: its values), "logits", or of a binary state "events": what `find_events` has
        of the probabilities, by `state["postprocessing"]["events"]`, and nothing else is held.
    path : path, optional
        Write the output there, as a .npy file, instead of holding it in memory.
    gpu_id : int, optional
        Which GPU; by default one where there is one, else the CPU.
    enable_progress_bar : bool
        Show the progress.

    Returns
    -------
    dict
        "output": float32 [T, K], nan in gaps, memory-mapped where a path was given; of a state with one output a signal
        [n, K], one a window, of which the last ends with the recording; or "events": int64 [n], samples of the
        recording. "gaps": int64 [n, 2], the samples from and to which there is no value. "windows": int64 [n, 2], the
        samples of each window. "sampling_frequency": Hz, the recording's. "outputs": names of the K, or None.

    Raises
    ------
    TypeError, ValueError
        If an argument is wrong, a channel is missing, units do not convert, the recording has no value at all, or one
        of recording and state alone says its rate.

    See Also
    --------
    predict : signals that fit into memory.
    find_intervals : takes what this gives, of windows too.

    Notes
    -----
    Where values are missing for no more than half a second, such as lost packets, the network hears a straight line
    between those around them; across longer gaps nothing is heard. Outputs are nan in both. A warning tells of values
    far from all else, such as -32768 for lost samples.

    Windows hear nothing from beyond their ends, but that causal steps begin before them. On 30 minutes through a
    bidirectional GRU of three layers, its weights made three times as large so that it hears from far, that differed
    from one pass over everything by 2e-4 at the most (`python benchmarks/bench_long_recording.py`); a model that hears
    from further needs a larger overlap.

    Examples
    --------
    >>> import neurallib as nl, numpy as np
    >>> state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1)
    >>> state["preprocessing"]["sampling_frequency"] = 100.0
    >>> signal, _ = nl.synthetic_ecg(duration=90, sampling_frequency=250, seed=1)
    >>> signal[5000:5100] = np.nan
    >>> answer = nl.predict_recording(state, {"signal": signal, "sampling_frequency": 250.0})
    >>> answer["output"].shape, answer["gaps"]
    ((22500, 1), array([[5000, 5100]]))
    """
    state = check_state(state)
    choice("output", output, ("probabilities", "logits", "events"))
    boolean("enable_progress_bar", enable_progress_bar)
    file = None if path is None else as_path("path", path)
    if file is not None and file.suffix != ".npy":
        raise ValueError(f"path={str(path)!r} ends in {file.suffix!r}; expected .npy.")
    task = describe(state)
    if output == "events" and (task.kind != "binary" or task.seq2one or path is not None):
        what = "and a path, where nothing is written" if path is not None else f"of a {task}"
        way = f"; of one of several labels {EVENTS_OF_ONE}" if task.kind == "multilabel" and not task.seq2one else ""
        raise ValueError(f"output='events' {what}; expected a seq2seq binary state, and no path{way}.")
    recording = as_recording(recording, rated=state["preprocessing"]["sampling_frequency"] is not None)
    parts, n_steps, told = answers_of(
        state, recording, gpu_id, enable_progress_bar, window=window, overlap=overlap, raw=output == "logits"
    )
    if output == "events":
        rate = recording.get("sampling_frequency")
        (events,) = events_of(without_holes(parts, n_steps, 1), n_steps, event_settings(state), rate)
        return {"events": events} | told
    values: np.ndarray
    if task.seq2one:
        values = np.concatenate([rows for _, rows in parts])
        if file is not None:
            write_array(file, values)
            values = np.load(file, mmap_mode="r")
    elif file is None:
        values = np.full((n_steps, task.n_outputs), np.nan, np.float32)
        for own, rows in parts:
            values[own.low : own.high] = rows
    else:
        values = _written(file, parts, n_steps, task.n_outputs)
    return {"output": values} | told


def answers_of(
    state: State, recording: Mapping[str, Any], gpu_id: int | None, bar: bool, *, window: float | None = None,
    overlap: float | None = None, raw: bool = False,
) -> Answers:  # fmt: skip
    """What `predict_recording` hands over, as it is computed; `raw` for logits, `bar` to show the progress."""
    signal, handed = signal_of(state, recording)
    device, task = configure_device(gpu_id), describe(state)
    steps, stride = _steps(state, window, overlap, handed)
    goes_on = window is None and overlap is None and handed.goes_on
    size, hop = (max(1, round(n / float(handed.conversion.rate))) for n in (steps, stride))
    size, hop = (_STEPS // 2, _STEPS // 2) if goes_on else (size, hop)
    rate = recording.get("sampling_frequency") or 0.0
    there = segments_of(recording, handed)
    longest = min(int(BRIDGED * rate), size // 2)
    segments = joined(there, longest)
    windows = [own for a, b in segments for own in cut(a, b, size, hop)]
    if (known := state["preprocessing"])["normalization"] == "dataset":
        some = (picked_rows(signal, own.start, own.stop, handed) for own in windows[:: -(-len(windows) // _LOOKED_AT)])
        inputs = (as_input(handed.conversion.converted(bridged(rows)), known)[0] for rows in some)
        tell_size([spread_of(x, known) for x in inputs], set())
    if goes_on:
        parts = _going_on(state, signal, windows, segments, longest, handed, device, raw)
    else:
        parts = _answers(state, task, signal, windows, handed, device, raw)
    gaps = gaps_between(there, len(signal))
    if len(segments) < len(there) and not task.seq2one:
        parts = silenced(parts, gaps)
    told = {
        "gaps": gaps,
        "windows": np.array([[own.start, own.stop] for own in windows], dtype=np.int64),
        "sampling_frequency": recording.get("sampling_frequency"),
        "outputs": state["postprocessing"]["outputs"],
    }
    counted = zip(progress(windows, bar, "predicting", unit="window"), parts, strict=True)
    return Answers((part for _, part in counted), len(signal), told)


def _steps(state: State, window: float | None, overlap: float | None, handed: Handed) -> tuple[int, int]:
    """The steps of a window, and from one to the next, at the state's rate."""
    if overlap is None and describe(state).seq2one:
        overlap = 0.0  # nothing is put together of its windows: they are as those that it learnt on
    share = OVERLAP if overlap is None else number("overlap", overlap, 0, 1, high_open=True)
    rate = state["preprocessing"]["sampling_frequency"]
    if window is not None:
        steps = max(1, round(number("window", window, 0, low_open=True) * (rate or 1)))
    elif handed.window is not None:
        steps = handed.window
    else:
        steps = round(MINUTE * (rate or 360.0))
        learnt = state["training_info"].get("train_steps")
        by_signal = state["architecture"] != "GRUseq2seq" or state["preprocessing"]["normalization"] in OWN
        if by_signal and isinstance(learnt, int) and learnt > 0:
            steps = min(learnt, MAX_PADDED_STEPS)  # each by itself, as the signals that it learnt on
        else:
            share = OVERLAP_OF_MINUTE if overlap is None else share
    return steps, max(1, round(steps * (1 - share)))


def _answers(
    state: State, task: Task, signal: Any, windows: list[Window], handed: Handed, device: torch.device, raw: bool
) -> Iterator[tuple[Window, np.ndarray]]:
    """Each window with its answer for the steps that are its own, in the order of time."""
    apply, known, rate = applied(state, device), state["preprocessing"], float(handed.conversion.rate)
    warm = warm_up(known["steps"], known["sampling_frequency"])
    lengths_there = [math.ceil((window.stop - window.start) * rate) for window in windows]
    for places in cut_batches(range(len(windows)), lengths_there, len(windows), _STEPS):
        some = [windows[place] for place in places]
        given: list[tuple[np.ndarray, int]] = []
        for window in some:
            begin, before = window.begin(warm, handed.conversion.rate)
            rows = bridged(picked_rows(signal, begin, window.stop, handed))
            given.append((handed.conversion.converted(rows), before))
        made = as_inputs(given, known)
        scales = [None if raw or task.kind != "regression" else target_scale(own, known) for _, own in made]
        padded, lengths = pad([torch.from_numpy(values) for values, _ in made])
        logits = apply(padded, lengths)
        outputs = (logits if raw else activate(logits, task.kind)).cpu().numpy()
        for window, row, n, scale in zip(some, outputs, lengths.tolist(), scales, strict=True):
            if task.seq2one:
                yield window, (row if scale is None else scale.undo(row).astype(np.float32))[None]
                continue
            row = row[:n] if scale is None else scale.undo(row[:n])
            row = mapped_back(row, window.stop - window.start, handed.conversion.rate, task)
            yield window, row[window.low - window.start : window.high - window.start].astype(np.float32)


def _going_on(
    state: State,
    signal: Any,
    windows: list[Window],
    segments: list[tuple[int, int]],
    longest: int,
    handed: Handed,
    device: torch.device,
    raw: bool,
) -> Iterator[tuple[Window, np.ndarray]]:
    """Each piece with its answers; the last of a stretch ends its stream."""
    network = build_network(state, device).eval()
    quiet: State = {**state, "postprocessing": new_postprocessing()}  # events are nobody's matter here
    unchanged = {"kind": "regression", "y_scale": None} if raw else {}  # logits are handed on as they are
    starts, ends = {a for a, _ in segments}, {b for _, b in segments}
    for own in windows:
        if own.low in starts:
            carry, at = init_stream(quiet) | unchanged, own.low
        first = max(own.origin, own.low - longest)  # a piece may end where values are missing
        there = bridged(picked_rows(signal, first, own.high + longest, handed))[own.low - first :][: own.high - own.low]
        output, carry = stream_step(network, handed.conversion.converted(there), carry)
        if own.high in ends:
            rest, carry = stream_step(network, None, carry)
            output = np.concatenate([output, rest])
        yield own._replace(low=at, high=at + len(output)), output
        at += len(output)


def _written(path: Path, parts: Iterable[tuple[Window, np.ndarray]], n_steps: int, k: int) -> np.ndarray:
    """The output as a .npy file, written row after row, and mapped."""
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        np.lib.format.write_array_header_2_0(
            file, {"descr": "<f4", "fortran_order": False, "shape": (n_steps, k)}
        )
        for rows in without_holes(parts, n_steps, k):
            file.write(np.ascontiguousarray(rows, "<f4").tobytes())
    mapped: np.ndarray = np.load(path, mmap_mode="r")
    return mapped
