"""Which states can be run on a stream, and on which signals."""

from __future__ import annotations

from collections.abc import Sequence

from neurallib.checks import seconds
from neurallib.models.registry import check_weights
from neurallib.names import listing
from neurallib.signals.conversion import conversion
from neurallib.signals.normalization import OWN, check_normalization
from neurallib.state import State
from neurallib.steps import are_causal
from neurallib.tasks import describe

NEAR = 0.05  # of a rate: as far as another is taken for it


def check_streamable(state: State, look_ahead: float | None) -> None:
    """Raise ValueError, with the way out, unless the state can answer without what comes after."""
    check_weights(state)
    known, name = state["preprocessing"], state["architecture"]
    check_normalization(known, describe(state))
    if name != "GRUseq2seq":
        raise ValueError(f"a stream needs an output for each sample and a memory of the past: gru_seq2seq, not {name}.")
    if not are_causal(known["steps"]):
        raise ValueError(
            f"preprocessing['steps']={known['steps']!r} hears what comes after, which a stream does not have: train "
            "with 'causal': True in each step, as load_pretrained(\"ecg_r_peaks_stream\") was."
        )
    if known["residual"]:
        raise ValueError(
            "preprocessing['residual'], outputs added to the signal, is not done to a stream: train with "
            "residual=False, or take what export_onnx(..., stateful=True) writes."
        )
    if known["normalization"] in OWN:
        raise ValueError(
            f"the state normalizes each signal or window by all of it ({known['normalization']!r}), which a stream "
            "does not have: train with normalization='dataset'."
        )
    both = any(state["hparams"]["bidir_per_layer"])
    if both and look_ahead is None:
        raise ValueError(
            "the state reads signals in both directions: give look_ahead, the seconds that it may hear before it "
            "answers, or train with bidirectional=False."
        )
    if look_ahead is not None:
        if not both:
            raise ValueError(f"look_ahead={look_ahead!r} is for a state in both directions; this one answers at once.")
        if known["sampling_frequency"] is None:
            raise ValueError("look_ahead is in seconds, and state['preprocessing']['sampling_frequency'] is None.")
        if round(seconds("look_ahead", look_ahead) * known["sampling_frequency"]) < 1:
            rate = known["sampling_frequency"]
            raise ValueError(f"look_ahead={look_ahead!r} s is less than a sample at {rate:g} Hz.")


def check_said(
    state: State,
    sampling_frequency: float | None,
    channels: Sequence[str] | None,
    units: Sequence[str] | str | None,
) -> None:
    """Raise ValueError where signals of which this is said are none of the state's; says how they become its own."""
    known, n_features = state["preprocessing"], describe(state).n_features
    made = conversion(known, n_features, sampling_frequency, channels, units, tell=False)
    if made.columns is not None:
        own = listing(known["channels"] or ())
        raise ValueError(f"channels are {listing(channels or ())}: hand in {own}, chunk[..., {made.columns}].")
    if made.factors is not None:
        own, given = listing(known["units"] or ()), units if isinstance(units, str) else listing(units or ())
        raise ValueError(f"units are {given}: hand in {own}, chunk * {made.factors.tolist()}.")
    if (rate := sampling_frequency) is None or (own_rate := known["sampling_frequency"]) is None:
        return
    if not _is_near(rate, own_rate):
        n = round(rate / own_rate)
        means = f"means of {n} samples ({rate / max(n, 1):g} Hz), chunk.reshape(-1, {n}, {n_features}).mean(axis=1)"
        way = means if n > 1 and _is_near(rate / n, own_rate) else f"resampled by the device, or train at {rate:g} Hz"
        raise ValueError(
            f"sampling_frequency={rate:g}, and a stream is not resampled: hand in {own_rate:g} Hz, within 5 %, {way}."
        )


def _is_near(rate: float, own: float) -> bool:
    return abs(rate - own) <= NEAR * own
