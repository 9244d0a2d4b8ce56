"""Recordings without their noise, by a state that gives a signal for a signal."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from neurallib.architectures import check_state
from neurallib.checks import as_list, boolean, is_list
from neurallib.names import hinted, listing
from neurallib.prediction.beat_averages import with_beat_averages
from neurallib.prediction.hum import without_hum
from neurallib.prediction.long_recordings import predict_recording
from neurallib.prediction.spikes import without_spikes
from neurallib.signals.conversion import unit_factor
from neurallib.signals.recording_parts import (
    Recording, as_recording, column_of, ecg_leads, is_ecg_lead, n_channels_of, of_channel, of_each, rows_of,
    signal_rows, signals_of, with_values,
)  # fmt: skip
from neurallib.state import State
from neurallib.tasks import describe
from neurallib.warn import warn

_log = logging.getLogger(__name__)
SHORTEST = 2.0  # seconds: of 30 pieces of 1 s with muscle noise at 6 dB two came out noisier, of such of 2 s none
ECG = "ECG"  # what a state calls its output that any lead may be asked for


@hinted
def denoise_recording(
    state: State,
    recording: Recording,
    *,
    channels: Sequence[str | int] | str | int | None = None,
    average_beats: bool | None = None,
    gpu_id: int | None = None,
    enable_progress_bar: bool = False,
) -> Recording:
    """A recording whose channels are what a denoiser makes of each by itself; all else is as it was.

    Parameters
    ----------
    state : State
        A seq2seq regression of one feature and one output, such as "ecg_denoiser"; stays as it is.
    recording : dict
        A signal with its frequency and channels, in the form that `read_recording` gives; stays as it is.
    channels : str, int or sequence of them, optional
        Which, by their names or numbers; by default those that the state names, else all but times and counters. Of a
        recording whose channels have names a state whose output is "ECG" takes those of ECG leads ("II", "V5", "ECG 1")
        and leaves the others.
    average_beats : bool, optional
        Whether beats get back what all that are alike lost, and count less by what makes one of them other than those
        in much noise (below); by default of a state whose output is "ECG".
    gpu_id : int, optional
        Which GPU; by default one where there is one, else the CPU.
    enable_progress_bar : bool
        Show the progress, of one channel after the other.

    Returns
    -------
    dict
        The recording with another "signal", float32 [T, C] in the units that it came in, nan in gaps; a channel without
        any value stays so. Where the state's output is another quantity than its channel, as of one that makes ECG of
        PPG, the channel has its name and unit: "ECG (mV)" of `outputs`.

    Raises
    ------
    TypeError, ValueError
        If `state` gives no signal for a signal, the recording does not fit it, or it has no channel of that name; where
        none is the name of an ECG lead, `channels` is to say which are.

    See Also
    --------
    predict_recording : one channel, also piece by piece into a file.
    plot_recording : the recording as a picture.

    Notes
    -----
    A denoiser draws what it takes for the signal: where there is noise alone it may draw beats, of which nothing tells
    any more that they are none. Find R-peaks in the recording as it was. "ecg_denoiser" takes the offset off as well.

    Of a state whose output is "ECG" a minute of a lead in which mains hum has over half the power of all else above
    1 Hz goes through a notch at its frequency first, as the log tells: "ecg_denoiser" learnt of less, and left it in.

    Of such a state spikes no wider than its step and half as high again as all about them, as of a pacemaker, are taken
    out first, with a warning, of a recording of one and a half times its rate or more; smaller ones it hears.

    Beats are averaged over those of up to a hundred on either side that are alike (correlation above 0.7; at least 4,
    the nearest 60), frequency by frequency with Wiener's filter: of the mean of what was taken off them as much is put
    back as is above its standard error, and what sets a beat apart from their mean counts by its share of that and of
    the noise. Waves that the state takes for noise but which are in every beat come back so. Where single beats matter,
    such as alternans of T waves, leave it out, or look at much noise with care.

    Examples
    --------
    >>> import neurallib as nl
    >>> signal, _ = nl.synthetic_ecg(duration=20, sampling_frequency=250, seed=1)
    >>> recording = {"signal": signal[:, None], "sampling_frequency": 250.0, "channels": ["II"], "units": ["mV"]}
    >>> nl.denoise_recording(nl.load_pretrained("ecg_denoiser"), recording)["signal"].shape
    (5000, 1)
    """
    task = describe(check_state(state))
    if task.kind != "regression" or task.seq2one or task.n_features != 1 or task.n_outputs != 1:
        sizes = f"this one has {task.n_features} and {task.n_outputs}"
        raise ValueError(
            f"this state is a {task}; expected a seq2seq regression of one feature and one output, and {sizes}."
        )
    outputs = state["postprocessing"]["outputs"] or ()
    averages = ECG in outputs if average_beats is None else boolean("average_beats", average_beats)
    recording = as_recording(recording)
    if ECG in outputs and (length := len(recording["signal"]) / recording["sampling_frequency"]) < SHORTEST:
        warn(f"the recording lasts {length:.2g} s: waves are told from noise by what is around them, from 2 s on.")
    signal = signal_rows(recording["signal"], 0, len(recording["signal"])).astype(np.float32)
    names, units = (of_each(recording, key, [""] * signal.shape[1]) for key in ("channels", "units"))
    other = _other_quantity(state)
    for column in with_values(recording, _columns(state, recording, channels)):
        lead, rate = of_channel(recording, column), float(recording["sampling_frequency"])
        noisy, hum, which = signal[:, column], list[float](), names[column] or f"channel {column}"
        if ECG in outputs:
            spiky, lead = lead, without_spikes(lead, [0], state["preprocessing"]["sampling_frequency"])
            if lead is not spiky:
                noisy = rows_of(lead, 0, len(noisy))[:, 0]
                told = "has spikes narrower and higher than any wave of a heart, as of a pacemaker"
                warn(f"{which} {told}: they are taken out, and to be seen in the recording as it was alone.")
            noisy, hum = without_hum(noisy, rate)
        if hum:
            _log.info("%s hums at %s Hz: filtered out first.", which, listing(map(str, sorted(set(map(round, hum))))))
            lead = {**lead, "signal": noisy[:, None]}
        answer = predict_recording(state, lead, gpu_id=gpu_id, enable_progress_bar=enable_progress_bar)
        denoised = answer["output"][:, 0]
        if other is not None:
            names[column], units[column] = other
        elif known := state["preprocessing"]["units"]:  # which the recording's were converted to
            denoised = denoised * np.float32(unit_factor(known[0], units[column]) or 1)
        if averages:
            denoised = with_beat_averages(noisy, denoised, rate)
        signal[:, column] = denoised
    return {**recording, "signal": signal} | ({} if other is None else {"channels": names, "units": units})


def _other_quantity(state: State) -> tuple[str, str] | None:
    """Name and unit of a state's output that is not its channel without noise."""
    channels, outputs = state["preprocessing"]["channels"], state["postprocessing"]["outputs"]
    if not channels or not outputs:
        return None
    name, _, unit = outputs[0].removesuffix(")").partition(" (")
    is_same = channels[0].lower() in name.lower() or name == ECG and is_ecg_lead(channels[0])
    return None if is_same else (name, unit)


def _columns(state: State, recording: Recording, channels: Sequence[str | int] | str | int | None) -> list[int]:
    known = state["preprocessing"]
    if channels is not None:
        asked = [channels] if isinstance(channels, (str, int)) else as_list(channels)
        if isinstance(channels, bool) or not is_list(asked) or not asked or None in asked:
            raise TypeError(f"channels={channels!r}; expected a list of some names or numbers, such as ['II', 'V5'].")
        return [column_of(recording, channel, argument="channels") for channel in asked]
    if known["channels"]:
        return [column_of(recording, None, known["channels"])]
    names = recording.get("channels")
    if not names or ECG not in (state["postprocessing"]["outputs"] or ()):
        return signals_of(recording) or list(range(n_channels_of(recording["signal"])))
    if leads := ecg_leads(recording, known["units"][0] if known["units"] else None):
        return leads
    raise ValueError(f"channels are {listing(map(str, names))}: none has a name of an ECG lead; channels= picks some.")
