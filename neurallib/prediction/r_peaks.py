"""R-peaks of a recording: a state's events, moved to the extremum of the signal."""

from __future__ import annotations

import numpy as np

from neurallib.architectures import check_state
from neurallib.checks import boolean, choice, number, seconds
from neurallib.names import hinted, listing
from neurallib.prediction.certainty import sure_events
from neurallib.prediction.leads import events_of_leads
from neurallib.prediction.long_recordings import answers_of
from neurallib.prediction.spikes import without_spikes
from neurallib.prediction.stream_events import event_settings
from neurallib.prediction.waves import beside_neighbours, levels
from neurallib.prediction.windows import without_holes
from neurallib.signals.recording_parts import (
    Recording, as_recording, column_of, ecg_leads, n_channels_of, of_channel, signals_of, with_values,
)  # fmt: skip
from neurallib.state import State
from neurallib.tasks import EVENTS_OF_ONE, R_PEAK, describe
from neurallib.warn import warn

SNAP = 0.05  # seconds
SHORTEST = 1.0  # seconds: in half a second models of windows find a beat as often where there is none
_SPREADS = 1.5  # SD of the bell by which places count, from the event to as far as it may be moved
_FAR = 0.4  # of as far as they may be moved, in the middle: from there on events are perhaps of no extremum
_BESIDE = 2  # samples on either side that are lower than a top
_CLEARLY = 1.5  # times as large is the deflection of a beat that goes the other way than the others of its recording
POLARITIES = ("auto", "positive", "negative")


@hinted
def find_r_peaks(
    state: State,
    recording: Recording,
    *,
    threshold: float | None = None,
    min_distance: float | None = None,
    smoothing: float | None = None,
    snap: float | None = None,
    polarity: str = "auto",
    doubt: float | None = None,
    channel: str | int | None = None,
    gpu_id: int | None = None,
    enable_progress_bar: bool = False,
) -> np.ndarray:
    """The R-peaks of a recording, by a binary seq2seq state.

    Parameters
    ----------
    state : State
        Gives the probability of an R-peak at each step; stays as it is.
    recording : dict
        A signal with its frequency and channels, in the form that `read_recording` gives.
    threshold, min_distance, smoothing : float, optional
        How probabilities become events, see `find_events`: by default as `state["postprocessing"]["events"]` says, else
        0.5, 0.2 s and none.
    snap : float, optional
        Seconds; an event is moved to an extremum of the signal that is no farther away, and a near one counts more than
        a far one. 0 leaves it. By default as the state's events say; else 0.05, unless the state's output has a name
        other than "R-peak", or most events lie where no extremum is, as at the feet of a pulse, of which a warning
        tells.
    polarity : str
        Which extremum: "positive" the highest, "negative" the lowest; "auto" that of the larger deflection from the
        baseline, decided for the recording and otherwise for a beat whose other one is half as large again.
    doubt : float, optional
        From 0 to 2: how much the state may be undecided, within 14 s, for each step that it takes for one of a beat.
        Events amid more are left out with a warning: half a minute of noise alone has 1.7 to 2, noisy ECG seldom 1.5 of
        the models that come along; others are less sure. Left out without one are events whose waves, in each lead, are
        less than a 16th of those of the 31 events about them (their median), noise in a pause, and with one those no
        larger than a step of the signal's numbers, as a flat line's last digit. 2 leaves none out. By default as the
        state's events say; where they say nothing all events stay, and a warning tells where a tenth of the recording
        has more than 1.7.
    channel : str or int, optional
        Whose extremum, by its name or number; by default the state's first channel, else the recording's. A state of
        one feature that names no channel hears this one alone. Left out, one whose output is "R-peak", such as
        "ecg_r_peaks", hears all channels that have names of ECG leads ("II", "V5", "ECG 1"), which takes as many times
        as long; where none has, the first that does not only rise, as times do, with a warning.
    gpu_id : int, optional
        Which GPU; by default one where there is one, else the CPU.
    enable_progress_bar : bool
        Show the progress.

    Returns
    -------
    np.ndarray
        int64 [n], ascending samples of the recording's own rate.

    Raises
    ------
    TypeError
        If `state` or `recording` is none, or another argument of another type.
    ValueError
        If the state gives no single probability a step, the recording does not fit it, or an argument is out of its
        range.

    See Also
    --------
    find_events : the events of probabilities.
    rr_intervals : the heart rate between the peaks.

    Notes
    -----
    A warning tells where a state of R-peaks, by its own settings, finds none, fewer than 30 a minute, or nearly as many
    as its `min_distance` lets be: a lead that is off, or a wrong sampling frequency.

    Of several leads the mean of their logits decides, each from -6 to 6. A lead has the more weight the less undecided
    it is for each beat that it sees within some 4 to 8 s: one that is noisy for a while has little. One that sees no
    beat for a second around which another is sure of some is off, and has hardly any. The extremum is that of lead II
    where it agrees with nearly all that was found, else of the first lead that does.

    Of a recording of 190 Hz or more, spikes no wider than 8 ms and half as high again as all about them, such as those
    of a pacemaker that captures nothing, are not heard: a state that says "R-peak" and names no channel, as those that
    come along, has a straight line there.

    The extremum is looked for in the signal averaged over some 20 ms, against which noise of single samples does not
    count. Up or down is told by how far the signal goes from its baseline within `snap`; how far it goes is then
    weighed with a bell around the event, of which `snap` is 1.5 SD: a sharp wave is met at its top, on a broad or noisy
    one an event hardly moves. Of 22 records of the MIT-BIH
    Arrhythmia Database, with their beats moved at random by 11 ms (SD), a beat is then 3.1 ms away from its annotation
    on average (8.8 ms where it is not moved).

    Examples
    --------
    >>> import neurallib as nl
    >>> signal, r_peaks = nl.synthetic_ecg(duration=20, sampling_frequency=250, seed=1)
    >>> recording = {"signal": signal[:, None], "sampling_frequency": 250.0, "channels": ["II"], "units": ["mV"]}
    >>> found = nl.find_r_peaks(nl.load_pretrained("ecg_r_peaks"), recording)
    >>> nl.peak_scores(r_peaks, found, sampling_frequency=250)["f1"]
    1.0
    """
    task = describe(check_state(state))
    if task.kind != "binary" or task.seq2one:
        kind = f"{task.kind}, one output a {'signal' if task.seq2one else 'step'}"
        way = f", or of one of several labels {EVENTS_OF_ONE}" if task.kind == "multilabel" and not task.seq2one else ""
        raise ValueError(f"this state is for {kind}; expected a binary classification of each step{way}.")
    recording = as_recording(recording)
    boolean("enable_progress_bar", enable_progress_bar)
    said = state["postprocessing"]["events"]
    asked = snap is not None or "snap" in said
    beats = R_PEAK in (state["postprocessing"]["outputs"] or (R_PEAK,))
    own = said.get("snap", SNAP if beats else 0)
    snap = seconds("snap", own if snap is None else snap)
    if (doubt := said.get("doubt") if doubt is None else doubt) is not None:
        number("doubt", doubt, 0, 2)
    elif not beats:  # what is as sure as a heart beats is nothing to hold other events against
        doubt = 2.0
    choice("polarity", polarity, POLARITIES)
    if beats and (length := len(recording["signal"]) / recording["sampling_frequency"]) < SHORTEST:
        warn(f"the recording lasts {length:.2g} s: R-peaks are told from noise by their neighbours, from 2 s on.")
    known = state["preprocessing"]["channels"]
    column = column_of(recording, channel, known)
    given = {"threshold": threshold, "min_distance": min_distance, "smoothing": smoothing}
    chosen = {name: value for name, value in given.items() if value is not None}
    settings, beats = event_settings(state) | chosen, beats and not chosen and doubt == said.get("doubt")
    is_of_any_lead = task.n_features == 1 and known is None
    leads = _leads(state, recording) if is_of_any_lead and channel is None else []
    if is_of_any_lead and R_PEAK in (state["postprocessing"]["outputs"] or ()):
        recording = without_spikes(recording, leads or [column], state["preprocessing"]["sampling_frequency"])
    if len(leads) > 1:
        found, column = events_of_leads(state, recording, leads, settings, doubt, gpu_id, beats, enable_progress_bar)
    else:
        if is_of_any_lead:
            recording, column = of_channel(recording, leads[0] if leads else column), 0
        leads = [column]
        if column not in signals_of(recording):
            warn("the channel does nothing but rise, as times and counters do: what is found in it is no event.")
        rate = float(recording["sampling_frequency"])
        parts, n_steps, _ = answers_of(state, recording, gpu_id, enable_progress_bar)
        (found,) = sure_events(without_holes(parts, n_steps, 1), n_steps, settings, rate, doubt, beats=beats)
    if doubt is not None and doubt < 2:
        found = beside_neighbours(recording, found, [column, *(lead for lead in leads if lead != column)])
    return snapped(recording, found, snap, polarity, column, asked)


def _leads(state: State, recording: Recording) -> list[int]:
    """The ECG leads of a recording, for a state that says that it finds R-peaks."""
    if R_PEAK not in (state["postprocessing"]["outputs"] or ()):
        return []
    units, n = state["preprocessing"]["units"], n_channels_of(recording["signal"])
    leads = ecg_leads(recording, units[0] if units else None)
    if n > 1 and not leads:
        names = recording.get("channels")
        said = "have no names" if names is None else f"are {listing(map(str, names))}: none has a name of an ECG lead"
        leads = with_values(recording, signals_of(recording) or range(n))[:1]
        which = f"channel {leads[0]}" if leads[0] else "the first"
        warn(f"the {n} channels {said}, and {which} is taken. find_r_peaks(..., channel=) picks another.")
    return leads


def snapped(
    recording: Recording, events: np.ndarray, snap: float, polarity: str, column: int, asked: bool = True
) -> np.ndarray:
    """Events at the extremum of one channel within `snap` seconds, up or down by the larger of the two; how far it is
    counts by a bell: a sharp wave is met at its top, and on a broad one an event hardly moves. Where nobody asked for
    it, events that are of no extremum stay."""
    rate = float(recording["sampling_frequency"])
    reach = int(snap * rate + 1e-6)
    if reach == 0 or len(events) == 0:
        return events
    bell = np.exp(-0.5 * (_SPREADS * np.arange(-reach, reach + 1) / (snap * rate)) ** 2)
    sides = []
    for level in levels(recording, events, reach, column):
        sides.append((*_highest(level, bell), *_highest(-level, bell)))
    up, to_up, up_top, down, to_down, down_top = (np.concatenate(side) for side in zip(*sides, strict=True))
    told = np.isfinite(up)
    negative = np.full(len(events), polarity == "negative")
    if polarity == "auto" and told.any():
        falls = np.median(down[told]) > np.median(up[told])
        negative = up < _CLEARLY * down if falls else down > _CLEARLY * up
    moves = np.where(negative, to_down, to_up) - np.where(told, reach, 0)
    far = float(np.median(moves[told])) / reach if told.any() else 0.0
    if not asked and abs(far) > _FAR and np.where(negative, down_top, up_top)[told].mean() < 0.5:
        where = "before" if far > 0 else "after"
        warn(
            f"most of what was found lies on no extremum of the signal but some {abs(far) * snap:.2g} s or more "
            f"{where} one: it is not moved there. snap=0 says that this is right, snap= in seconds moves it."
        )
        return events
    return np.unique(events + moves)


def _highest(level: np.ndarray, bell: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How high each row goes, -inf where it has no value; where it is highest when places count by a bell, of several
    equal ones the middle; and whether it goes down from there to either side."""
    known = np.isfinite(level)
    level = np.where(known, level, -np.inf)
    damped = np.where(known, level * bell, -np.inf)
    highest = known & (damped == damped.max(axis=1, keepdims=True))
    order = np.cumsum(highest, axis=1)
    place = ((order == (order[:, -1:] + 1) // 2) & highest).argmax(axis=1)
    beside = np.pad(level, ((0, 0), (_BESIDE, _BESIDE)), constant_values=np.inf)
    row = np.arange(len(level))
    top = np.maximum(beside[row, place], beside[row, place + 2 * _BESIDE]) <= level[row, place]
    return level.max(axis=1), place, top
