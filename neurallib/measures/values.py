"""Values such as heart rates, ages and blood pressures, scored by person: `value_scores`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from neurallib.checks import names_of
from neurallib.measures.by_person import Measures, Scored, summary, with_own
from neurallib.measures.classes import class_scores
from neurallib.measures.sides import Sides, as_sides, in_order
from neurallib.measures.tables import markdown
from neurallib.names import helped_by, hinted, listing
from neurallib.signals.arrays import as_numbers
from neurallib.signals.folders import SignalFolder

_N_SUMS = 7  # of an output: how many; errors, their sizes and squares; true values, their squares, and error by value
_FEW = 16  # numbers of a recording that may as well be its outputs as its steps


@hinted
@helped_by(class_scores)
def value_scores(
    true: Sequence[ArrayLike],
    found: Sequence[ArrayLike],
    *,
    people: Sequence[str] | SignalFolder | None = None,
    names: Sequence[str] | None = None,
    n_bootstrap: int = 1000,
    seed: int = 42,
) -> dict[str, Any]:
    """How near found values are to the true ones: by person, of all values, and on average over people.

    Parameters
    ----------
    true, found : sequence of array-like
        Of each recording the values [T] or [T, K], in the same units; or, as a state with one output a signal predicts,
        one for each recording: with K `names` [N, K], with `people` also [N] or [N, 1]. nan is not known, and left out.
    names : sequence of str, optional
        Of the outputs [K], such as the state's; by default their numbers.
    (the rest as `class_scores` has it)

    Returns
    -------
    dict
        "records", a dict a person with its "name", "person", "values" (how many) and measures; "gross", the measures of
        all values together; "average", their means over people; "intervals" of both, {measure: (low, high)}; "names";
        "table", a text in Markdown; "task" and "sums", for `compare_recordings`, and "pairs", the true and found values
        of each recording, float64 [T, K] each, for `plot_agreement`. Measures are "mae" and "rmse"; "bias",
        the mean of found minus true, and "sd", its standard deviation (of n - 1); "agreement_low" and "agreement_high",
        the limits of agreement, bias -+ 1.96 sd [1]_; "r2" and "pearson". Of more than one output the name of each is
        behind them. nan is what the data do not tell, such as r2 where all true values are the same.

    Raises
    ------
    TypeError
        If values are no numbers.
    ValueError
        If shapes do not fit each other or the names, no value is known, or it cannot be told whether numbers are
        outputs or steps.

    See Also
    --------
    evaluate : the measures of a state on data.
    plot_agreement : a picture of them.
    compare_recordings : whether one model is better than another.

    References
    ----------
    .. [1] Bland, Altman, Statistical methods for assessing agreement between two methods of clinical measurement,
       Lancet 327:307-310, 1986. Where people have several values each, `sd` is of what is between and within people.

    Examples
    --------
    >>> import neurallib as nl
    >>> rates = nl.value_scores([60, 64, 80, 90], [62, 66, 79, 93], people=["ann", "ann", "ben", "ben"])
    >>> rates["gross"]["mae"], rates["gross"]["bias"], rates["records"][0]["mae"]
    (2.0, 1.5, 2.0)
    """
    sides = as_sides(true, found, people)
    names = None if names is None else names_of("names", names)
    pairs = _columns(sides, names)
    k = pairs[0][0].shape[1]
    told = [str(i) for i in range(k)] if names is None else names
    if len(told) != k or len(set(told)) < k:
        raise ValueError(f"names is {listing(told)}; expected {k} different ones, one for each output.")
    everyone, place = in_order(sides.people)
    sums = np.zeros((len(everyone), k, _N_SUMS))
    np.add.at(sums, place, np.stack([_sums(*pair) for pair in pairs]))
    if not sums[:, :, 0].sum():
        raise ValueError("no value is known on both sides; expected one at least.")
    flat = sums.reshape(len(everyone), -1)
    own = value_measures(flat, told)
    n_values = sums[:, :, 0].sum(axis=1)
    rows = [{"name": who, "person": who, "values": int(n)} for who, n in zip(everyone, n_values, strict=True)]
    scored = Scored(flat, own, everyone)
    result: dict[str, Any] = {"task": "values", "records": with_own(rows, own)}
    result |= summary(scored, lambda some: value_measures(some, told), n_bootstrap, seed)
    result |= {"names": told, "sums": flat, "pairs": pairs}
    result["table"] = markdown(result, ["values", *own], next(iter(own)))
    return result


def value_measures(sums: np.ndarray, names: Sequence[str]) -> Measures:
    """The measures of sums, flat in the last axis [..., K * 7]."""
    by_output = np.asarray(sums).reshape(*np.shape(sums)[:-1], len(names), _N_SUMS)
    found: Measures = {}
    for i, name in enumerate(names):
        of_one = _measures(*np.moveaxis(by_output[..., i, :], -1, 0))
        found |= of_one if len(names) == 1 else {f"{measure}_{name}": value for measure, value in of_one.items()}
    return found


def _measures(
    n: np.ndarray, e: np.ndarray, size: np.ndarray, ee: np.ndarray, t: np.ndarray, tt: np.ndarray, te: np.ndarray
) -> Measures:
    with np.errstate(invalid="ignore", divide="ignore"):
        errors, truths, both = ee - e**2 / n, tt - t**2 / n, te - t * e / n  # about their means
        founds = truths + 2 * both + errors
        varied = truths > 1e-12 * tt  # by more than rounding
        bias, sd = e / n, np.where(n > 1, np.sqrt(np.maximum(errors, 0) / (n - 1)), np.nan)
        pearson = (truths + both) / np.sqrt(truths * founds)
        return {
            "mae": size / n,
            "rmse": np.sqrt(ee / n),
            "bias": bias,
            "sd": sd,
            "agreement_low": bias - 1.96 * sd,
            "agreement_high": bias + 1.96 * sd,
            "r2": np.where(varied, 1 - ee / truths, np.nan),
            "pearson": np.where(varied & (founds > 1e-12 * (tt + 2 * te + ee)), pearson, np.nan),
        }


def _sums(true: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Of values [T, K] the sums [K, 7] over those that are known."""
    known = ~np.isnan(true + found)
    t, e = np.where(known, true, 0), np.where(known, found - true, 0)
    return np.stack([part.sum(axis=0) for part in (known, e, np.abs(e), e * e, t, t * t, t * e)], axis=-1)


def _columns(sides: Sides, names: Sequence[str] | None) -> list[tuple[np.ndarray, np.ndarray]]:
    """True and found values of each recording, float64 [T, K]."""
    numbers = [
        (as_numbers(t, f"true of {which}", gaps=True), as_numbers(f, f"found of {which}", gaps=True))
        for t, f, which in zip(*sides[:3], strict=True)
    ]
    k = 1 if names is None else len(names)
    shapes = {side.shape for pair in numbers for side in pair}
    n = next(iter(shapes))[0] if len(shapes) == 1 and len(min(shapes)) == 1 else 1
    if names is None and len(numbers) > 1 and 1 < n <= _FEW:
        expected = f"with names= they are taken for outputs, [{n}, 1] for steps"
        raise ValueError(f"each recording has {n} numbers, which may be {n} outputs or {n} steps of one; {expected}.")
    whole = shapes == {(k,)}  # one value of each output
    pairs = []
    for (t, f), which in zip(numbers, sides.which, strict=True):
        both = [np.atleast_1d(one).astype(np.float64) for one in (t, f)]
        both = [one.reshape(1, -1) if whole else one[:, None] if one.ndim == 1 else one for one in both]
        if both[0].shape != both[1].shape or both[0].ndim != 2 or t.ndim == 0:
            one = "; with people= one value for each recording" if t.ndim == 0 else ""
            raise ValueError(f"{which} has true {t.shape} and found {f.shape}; expected both [T] or [T, K]{one}.")
        pairs.append((both[0], both[1]))
    if len({one.shape[1] for one, _ in pairs}) > 1:
        raise ValueError("recordings have different numbers of outputs; expected the same K of all.")
    return pairs
