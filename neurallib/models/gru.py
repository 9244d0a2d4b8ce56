"""GRUs with one output per step or per signal: the factories of their states."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from neurallib.checks import boolean, choice, integer, is_list, number, per_layer, text
from neurallib.models.folding import check_fold, check_residual
from neurallib.models.gru_forward import gru_weight_shapes
from neurallib.models.network import draw_weights, size
from neurallib.names import helped_by, hinted
from neurallib.state import Hparams, State, Steps, new_state
from neurallib.tasks import check_outputs, check_task
from neurallib.tasks import n_outputs as count_outputs
from neurallib.warn import warn

POOLINGS = ("final", "last", "mean", "max")


@hinted
def gru_seq2seq(
    *,
    n_features: int,
    hid_dim: int | Sequence[int],
    n_layers: int,
    dropout: float | Sequence[float] = 0.0,
    learning_rate: float = 3e-3,
    bidirectional: bool = False,
    bidir_per_layer: Sequence[bool] | None = None,
    task: str = "classification",
    num_classes: int | None = 1,
    multi_label: bool = False,
    fc_out_bool: bool = True,
    n_outputs: int | None = None,
    model_name: str = "GRUseq2seq",
    fold: int = 1,
    steps: Steps | None = None,
    residual: bool = False,
    seed: int = 42,
) -> State:
    """GRU that maps a signal [T, n_features] to one output per time step, [T, K].

    Parameters
    ----------
    n_features : int
        C, the channels of a signal.
    hid_dim : int or sequence of int
        H, the hidden units of every layer, or of each of n_layers.
    n_layers : int
        How many GRU layers stand on each other.
    dropout : float or sequence of float
        Dropout after every layer, or after each, in [0, 1).
    learning_rate : float
        The optimizer's learning rate, above 0, which its schedule changes.
    bidirectional : bool
        Whether the layers read the signal in both directions, which makes their outputs twice as wide. In one direction
        an output hears nothing of what comes after, as a forecast must not, if normalization is "dataset" or None.
    bidir_per_layer : sequence of bool, optional
        The same for each layer; overrides `bidirectional`. Too short, its last value is repeated; too long, it is cut;
        either with a warning.
    task : str
        "classification" or "regression".
    num_classes : int or None
        K of a classification; 1 is binary. Of a regression leave this out, or give None.
    multi_label : bool
        Whether classes may hold together, each its own yes or no, rather than exclude each other.
    fc_out_bool : bool
        Whether a linear layer makes the outputs. Without it they are the last layer's own. That is for regression: a
        classification keeps the linear layer, with a warning.
    n_outputs : int, optional
        K of a regression; by default n_features.
    model_name : str
        Names the model's results directory.
    fold : int
        How many consecutive samples the network takes for the features of one step: it has so many fewer steps, and
        gives the outputs of all of them at once. Kept in `preprocessing["fold"]`.
    steps : sequence of dict, optional
        Filters that each signal, or window, goes through before it is normalized, in this order, each a dict with its
        "name" and its parameters (Hz, s): "highpass" and "lowpass" (frequency), "band" (low, high), "local_gain" (low,
        high, duration: the band divided by its own RMS over 2 s), "slew_limit" (factor, duration: before filters that a
        spike would ring in, no change from one sample to the next is larger than 30 times the RMS of those of the last
        2 s), "rectify" (absolute values, between a "band" and a "lowpass" for the envelope of EMG). One with "beside":
        True leaves the signal as it is and adds its result as further features of the network. They are Butterworth
        filters of "order" 2, applied forwards and backwards on a signal that is continued at its "ends" turned over
        ("odd", for what drifts) or mirrored ("even", for what has peaks); with "causal": True forwards alone, and the
        RMS is of the past (exponentially), so that streams can go through them. Kept in `preprocessing["steps"]`.
    residual : bool
        Whether outputs are added to the signal, as it comes out of the steps and is normalized: a denoiser then learns
        what to change. For a regression with as many outputs as features. Kept in `preprocessing["residual"]`.
    seed : int
        Where the weights are drawn from; the global random state stays as it is.

    Returns
    -------
    State
        An untrained state. Its weights have torch's names: `gru_layers.{i}`, an nn.GRU of one layer each, and `fc_out`.

    Raises
    ------
    TypeError
        If a hyperparameter is of another type, such as a float for `n_layers`.
    ValueError
        If one is out of its range, a list has not n_layers values, or two do not go together, such as multi_label=True
        with a regression.

    See Also
    --------
    gru_seq2one : one output per signal.
    train : learn from signals in memory.
    train_from_scratch : learn from folders of files.

    Examples
    --------
    >>> import neurallib as nl
    >>> state = nl.gru_seq2seq(n_features=1, hid_dim=[32, 64], n_layers=2, bidirectional=True)
    >>> state["weights"]["gru_layers.1.weight_ih_l0"].shape
    torch.Size([192, 64])
    """
    hparams = _check_gru(dict(locals()))
    shapes = gru_weight_shapes(check_fold(fold, False, hparams, steps))
    return new_state("GRUseq2seq", hparams, draw_weights(shapes, seed), fold, steps, check_residual(residual, hparams))


@hinted
@helped_by(gru_seq2seq)
def gru_seq2one(
    *,
    n_features: int,
    hid_dim: int | Sequence[int],
    n_layers: int,
    dropout: float | Sequence[float] = 0.0,
    learning_rate: float = 3e-3,
    bidirectional: bool = False,
    bidir_per_layer: Sequence[bool] | None = None,
    task: str = "classification",
    num_classes: int | None = 1,
    multi_label: bool = False,
    fc_out_bool: bool = True,
    n_outputs: int | None = None,
    pooling: str = "final",
    model_name: str = "GRUseq2one",
    fold: int = 1,
    steps: Steps | None = None,
    seed: int = 42,
) -> State:
    """GRU that maps a signal [T, n_features] to one output, [K].

    Parameters
    ----------
    bidirectional : bool
        Whether the layers read the signal in both directions, which makes their outputs twice as wide.
    pooling : str
        What the last layer hands on: "final", the state of each direction after its last step; "last", the output at
        the last valid step, where a reverse direction has seen one step only (the original's, and what a file without
        `pooling` means); "mean" or "max" over the valid steps.
    fold : int
        How many consecutive samples the network takes for the features of one step: it has so many fewer steps. Kept in
        `preprocessing["fold"]`.
    (the rest as `gru_seq2seq` has it)

    Returns
    -------
    State
        An untrained state. Its weights have torch's names: `gru_layers.{i}`, an nn.GRU of one layer each, and `fc_out`.

    Raises
    ------
    TypeError
        If a hyperparameter is of another type, such as a float for `n_layers`.
    ValueError
        If one is out of its range, a list has not n_layers values, or two do not go together, such as multi_label=True
        with a regression.

    See Also
    --------
    gru_seq2seq : one output per time step.
    train : learn from signals in memory.
    train_from_scratch : learn from folders of files.

    Examples
    --------
    >>> import neurallib as nl
    >>> state = nl.gru_seq2one(n_features=2, hid_dim=16, n_layers=1, bidirectional=True, num_classes=5, pooling="mean")
    >>> state["weights"]["fc_out.weight"].shape
    torch.Size([5, 32])
    """
    choice("pooling", pooling, POOLINGS)
    hparams = _check_gru(dict(locals()))
    shapes = gru_weight_shapes(check_fold(fold, True, hparams, steps))
    return new_state("GRUseq2one", hparams, draw_weights(shapes, seed), fold, steps)


def _check_gru(given: dict[str, Any]) -> Hparams:
    """The hyperparameters of a seq2seq or seq2one GRU in the order of their table, each checked."""
    n_layers = size("n_layers", given["n_layers"])
    hparams: Hparams = {
        "model_name": text("model_name", given["model_name"]),
        "n_features": integer("n_features", given["n_features"]),
        "hid_dim": _each("hid_dim", given["hid_dim"], n_layers, integer),
        "n_layers": n_layers,
        "dropout": _each(
            "dropout", given["dropout"], n_layers, lambda name, value: number(name, value, 0, 1, high_open=True)
        ),
        "learning_rate": number("learning_rate", given["learning_rate"], 0, low_open=True),
        "bidirectional": boolean("bidirectional", given["bidirectional"]),
        "bidir_per_layer": _fit_bidir(given["bidir_per_layer"], given["bidirectional"], n_layers),
        **check_task(given["task"], given["num_classes"], given["multi_label"]),
        "fc_out_bool": boolean("fc_out_bool", given["fc_out_bool"]),
    }
    hparams |= check_outputs(given["n_outputs"], hparams)
    if "pooling" in given:
        hparams["pooling"] = given["pooling"]
    if not hparams["fc_out_bool"]:
        width = per_layer("hid_dim", hparams["hid_dim"], n_layers)[-1] * (1 + hparams["bidir_per_layer"][-1])
        if hparams["task"] == "classification":
            warn("fc_out_bool=False is for regression; classification keeps fc_out.")
            hparams["fc_out_bool"] = True
        elif width != (k := count_outputs(check_fold(given["fold"], "pooling" in given, hparams, given["steps"]))):
            raise ValueError(
                f"fc_out_bool=False makes the last layer the output: it has {width} units, expected {k}, as many as "
                "outputs (n_outputs, by default n_features)."
            )
    return hparams


def _each(name: str, value: Any, n_layers: int, check: Any) -> Any:
    """`value` with every entry checked; one stays one, a list becomes a list of n_layers."""
    entries = [check(name, entry) for entry in per_layer(name, value, n_layers)]
    return entries if is_list(value) else entries[0]


def _fit_bidir(given: Iterable[bool] | None, bidirectional: bool, n_layers: int) -> list[bool]:
    if given is None:
        return [bidirectional] * n_layers
    if not is_list(given) or not given:
        raise ValueError(f"bidir_per_layer={given!r}; expected a list of True or False, one for each layer.")
    values = [boolean("bidir_per_layer", bool(value) if value in (0, 1) else value) for value in given]
    if len(values) != n_layers:
        repair = "its last value is repeated" if len(values) < n_layers else "it is cut"
        warn(f"bidir_per_layer has {len(values)} values for n_layers={n_layers}: {repair}.")
    return (values + values[-1:] * n_layers)[:n_layers]
