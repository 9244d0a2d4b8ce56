"""How much nearer to the clean signal a denoised one is: `denoising_scores`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from neurallib.checks import is_list, number
from neurallib.measures.by_person import Measures
from neurallib.measures.events import peak_scores
from neurallib.names import hinted
from neurallib.signals.outputs import as_values

Peaks = tuple[ArrayLike, ArrayLike] | Callable[[np.ndarray], ArrayLike]


@hinted
def denoising_scores(
    clean: ArrayLike,
    noisy: ArrayLike,
    denoised: ArrayLike,
    *,
    peaks: Peaks | None = None,
    sampling_frequency: float | None = None,
    tolerance: float = 0.150,
) -> dict[str, float]:
    """How much nearer to the clean signal the denoised one is than the noisy one.

    Parameters
    ----------
    clean, noisy, denoised : array-like
        [T] or [T, C] each; measures are means over channels. Steps where one of the three is nan are left out.
    peaks : (samples, samples) or function, optional
        The R-peaks of the clean signal and those that were found in the denoised one, or what finds them in a signal
        [T] (of the first channel).
    sampling_frequency : float, optional
        Hz; needed with `peaks`.
    tolerance : float
        Seconds that a peak may be away from itself.

    Returns
    -------
    dict of str to float
        "snr_before_db", "snr_after_db" and "snr_improvement_db": 10 log10 of the clean signal's power over the error's,
        both about their means; "rmse"; "ssd", the sum of squared differences; "mad", the largest absolute difference;
        "prd", 100 sqrt(ssd / sum((denoised - mean(clean))^2)); "cosine_similarity". With peaks "peaks_kept", the share
        of the clean signal's that the denoised one has, and "peaks_added", the share of the denoised one's that the
        clean one has not. Without an error an SNR is inf; nan is what cannot be told, such as 0 / 0.

    Raises
    ------
    TypeError
        If a signal does not hold numbers.
    ValueError
        If shapes differ, no step has all three values, or peaks are given without a sampling frequency.

    See Also
    --------
    evaluate_recordings : of a state or function on recordings.

    Notes
    -----
    As the DeepFilter benchmark defines them, of one signal each: its prd refers to the denoised signal about the clean
    one's mean, its snr (of its digital filters) takes means off the signal and off the noise, so that a constant offset
    counts in rmse, ssd and mad alone. "ssd" grows with the length: that benchmark takes 512 samples at 360 Hz.

    References
    ----------
    Romero, Pinol, Vazquez-Seisdedos, DeepFilter: An ECG baseline wander removal filter using deep learning techniques,
    Biomedical Signal Processing and Control 70:102992, 2021.

    Examples
    --------
    >>> import numpy as np
    >>> import neurallib as nl
    >>> clean = np.sin(np.arange(1000) / 20)
    >>> noise = np.cos(np.arange(1000))
    >>> scores = nl.denoising_scores(clean, clean + 0.5 * noise, clean + 0.05 * noise)
    >>> round(scores["snr_improvement_db"], 3), round(scores["mad"], 3)
    (20.0, 0.05)
    """
    y, x, found = as_columns("clean", clean), as_columns("noisy", noisy), as_columns("denoised", denoised)
    if not y.shape == x.shape == found.shape:
        raise ValueError(f"clean has shape {y.shape}, noisy {x.shape}, denoised {found.shape}; expected the same.")
    told = denoising_measures(denoising_sums(y, x, found))
    error = np.where(np.isnan(x), np.nan, np.abs(found - y))
    measures = {name: float(np.mean(values)) for name, values in told.items()}
    measures["mad"] = float(np.mean(np.fmax.reduce(error, axis=0)))
    if peaks is None:
        return measures
    if sampling_frequency is None:
        raise ValueError("peaks are given without a sampling_frequency; expected both, since tolerance is in seconds.")
    number("sampling_frequency", sampling_frequency, 0, low_open=True)
    pair = (peaks(y[:, 0]), peaks(found[:, 0])) if callable(peaks) else peaks
    if not (is_list(pair) or isinstance(pair, np.ndarray) and pair.ndim > 0) or len(pair) != 2:
        raise TypeError(f"peaks={pair!r:.60}; expected two, the samples of the clean and of the denoised signal.")
    kept, there = pair
    scores = peak_scores(kept, there, sampling_frequency=sampling_frequency, tolerance=tolerance)
    added = 1 - scores["positive_predictive_value"]
    return measures | {"peaks_kept": scores["sensitivity"], "peaks_added": added}


def as_columns(name: str, given: Any) -> np.ndarray:
    """A signal as float64 [T, C]."""
    values = as_values(given, name).astype(np.float64)
    if values.ndim not in (1, 2) or values.size == 0:
        raise ValueError(f"{name} has shape {values.shape}; expected [T] or [T, C], neither of them 0.")
    return values[:, None] if values.ndim == 1 else values


def denoising_sums(clean: np.ndarray, noisy: np.ndarray, denoised: np.ndarray) -> np.ndarray:
    """Of signals [T, C] the sums over the steps of each channel, [C, 9]: how many; the squares of the error, of error
    and noise about their means, of the clean signal about its mean, and of the denoised one about that of the
    clean; the products of the two, and the squares of each."""
    rows = []
    for y, x, found in zip(clean.T, noisy.T, denoised.T, strict=True):
        known = ~np.isnan(y + x + found)
        if not known.any():
            raise ValueError("no step has a clean, a noisy and a denoised value; expected one at least.")
        y, x, found = y[known], x[known], found[known]
        before, after, mean = x - y, found - y, y.mean()
        sums = [known.sum(), _power(after), _power(after - after.mean()), _power(before - before.mean())]
        rows.append([*sums, _power(y - mean), _power(found - mean), float(y @ found), _power(y), _power(found)])
    return np.array(rows, np.float64)


def denoising_measures(sums: np.ndarray) -> Measures:
    """What sums [..., 9] tell."""
    n, ssd, after, before, clean, about, product, y, found = np.moveaxis(np.asarray(sums), -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        snr_before, snr_after = 10 * np.log10(clean / before), 10 * np.log10(clean / after)
        return {
            "snr_before_db": snr_before,
            "snr_after_db": snr_after,
            "snr_improvement_db": 10 * np.log10(before / after),
            "rmse": np.sqrt(ssd / n),
            "ssd": ssd,
            "prd": 100 * np.sqrt(ssd / about),
            "cosine_similarity": product / np.sqrt(y * found),
        }


def _power(values: np.ndarray) -> float:
    return float(values @ values)
