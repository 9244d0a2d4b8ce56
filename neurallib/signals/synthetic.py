"""Synthetic ECG with known R-peaks, for tests, examples and training: rhythm, waves, and noise of known level."""

from __future__ import annotations

import numpy as np

from neurallib.checks import as_seed, number
from neurallib.names import hinted

# P, Q, R, S, T. Positions and widths [rad] at 60 beats a minute as in the authors' ECGSYN (PhysioNet), where their
# five events come from; heights relative to R are our own: a lead II with a P and T wave of usual size.
POSITIONS = np.deg2rad([-70.0, -15.0, 0.0, 15.0, 100.0])
WIDTHS = np.array([0.25, 0.1, 0.1, 0.1, 0.4])
HEIGHTS = np.array([0.12, -0.12, 1.0, -0.22, 0.27])
# A ventricular ectopic beat: no P wave, a wide QRS, a T wave that opposes it.
ECTOPIC_POSITIONS = np.deg2rad([-70.0, -60.0, 0.0, 60.0, 115.0])
ECTOPIC_WIDTHS = np.array([0.25, 0.2, 0.27, 0.25, 0.4])
ECTOPIC_HEIGHTS = np.array([0.0, -0.1, 1.25, -0.3, -0.35])

MAYER_FREQUENCY, RESPIRATORY_FREQUENCY = 0.1, 0.25  # Hz, of the two oscillations of the heart rate
RELAXATION_TIME = 1.0  # s, with which the model's z returns to its baseline


@hinted
def synthetic_ecg(
    *,
    duration: float,
    sampling_frequency: float,
    seed: int,
    heart_rate: float = 60.0,
    heart_rate_std: float = 3.0,
    lf_hf_ratio: float = 0.5,
    ectopic_fraction: float = 0.0,
    amplitude: float = 1.1,
    amplitude_variation: float = 0.05,
    morphology_variation: float = 0.1,
    baseline_wander: float = 0.1,
    muscle_noise: float = 0.02,
    mains_hum: float = 0.01,
    mains_frequency: float = 50.0,
) -> tuple[np.ndarray, np.ndarray]:
    """One lead of ECG from the dynamical model of McSharry et al., with the place of each R-peak.

    The same seed gives the same heart at every noise level: with the three noises at 0 it is the clean signal.

    Parameters
    ----------
    duration : float
        Seconds.
    sampling_frequency : float
        Hz, at least 50.
    seed : int
        For all that is random; the global random state stays as it is.
    heart_rate, heart_rate_std : float
        Mean, from 20 to 200, and standard deviation of the rate, at most a fifth of the mean: beats a minute.
    lf_hf_ratio : float
        Power of the rate's Mayer waves (0.1 Hz) over that of its respiratory arrhythmia (0.25 Hz).
    ectopic_fraction : float
        Share of the beats, in [0, 0.5], that come early, wide and followed by a pause, as ventricular ectopic beats.
    amplitude : float
        Height of the R wave over the line between beats, mV.
    amplitude_variation : float
        Relative standard deviation of the height from beat to beat, in [0, 0.5], half of its power with the
        respiration.
    morphology_variation : float
        Relative standard deviation from seed to seed of every wave's height, width and distance from R, in [0, 0.3].
    baseline_wander, muscle_noise, mains_hum : float
        Levels, mV root mean square: noise of 0.05 to 0.5 Hz; noise of 20 to 150 Hz that comes and goes; a sine.
        What lies at or above half the sampling frequency is left out, as a recorder's anti-aliasing filter does.
    mains_frequency : float
        Hz, of the hum: 50 or 60.

    Returns
    -------
    signal : np.ndarray
        float32 [T], mV, T = round(duration * sampling_frequency).
    r_peaks : np.ndarray
        int64 [n], ascending: the samples nearest to where the heart's phase passes R, which is the top of the clean
        signal's R wave to within 4 ms at the default variation.

    Raises
    ------
    TypeError
        If an argument is no number, or `seed` no integer.
    ValueError
        If one is out of its range, or `duration` shorter than one sample.

    See Also
    --------
    peak_labels : the target of a model that is to find the R-peaks.
    plot_prediction : a picture of the signal and its peaks.

    Notes
    -----
    The model is a phase that turns once a beat, theta' = omega(t), and a voltage that its five Gaussian events drive
    and that relaxes to a baseline. We give each event by its height in mV and solve what is linear exactly, with a
    recursive filter in place of Runge-Kutta steps. From ECGSYN we take that the events move and widen in phase as
    the heart beats faster: QRS keeps its duration, P and T follow the root of the interval (Bazett).

    References
    ----------
    P. E. McSharry, G. D. Clifford, L. Tarassenko, L. A. Smith, "A dynamical model for generating synthetic
    electrocardiogram signals", IEEE Transactions on Biomedical Engineering 50(3):289-294, 2003.

    Examples
    --------
    >>> import neurallib as nl
    >>> signal, r_peaks = nl.synthetic_ecg(duration=10, sampling_frequency=360, heart_rate=72, seed=1)
    >>> signal.shape, len(r_peaks)
    ((3600,), 12)
    """
    number("duration", duration, 0, low_open=True)
    number("sampling_frequency", sampling_frequency, 50)
    number("heart_rate", heart_rate, 20, 200)
    number("heart_rate_std", heart_rate_std, 0, heart_rate / 5)
    number("lf_hf_ratio", lf_hf_ratio, 0)
    number("ectopic_fraction", ectopic_fraction, 0, 0.5)
    number("amplitude", amplitude, 0, low_open=True)
    number("amplitude_variation", amplitude_variation, 0, 0.5)
    number("morphology_variation", morphology_variation, 0, 0.3)
    number("baseline_wander", baseline_wander, 0)
    number("muscle_noise", muscle_noise, 0)
    number("mains_hum", mains_hum, 0)
    number("mains_frequency", mains_frequency, 0, low_open=True)
    as_seed(seed)
    n_samples = round(duration * sampling_frequency)
    if n_samples < 1:
        raise ValueError(f"duration={duration} s is less than one sample at {sampling_frequency} Hz.")

    # One generator each, so that no setting changes what another one draws.
    rhythm, kinds, shape, beats, wander, muscle, hum = np.random.default_rng(seed).spawn(7)
    r_times, ectopic = _r_times(
        rhythm, kinds, n_samples / sampling_frequency, heart_rate, heart_rate_std, lf_hf_ratio, ectopic_fraction
    )
    heights = amplitude * (1 + amplitude_variation * _beat_variation(beats, r_times))
    times = np.arange(n_samples) / sampling_frequency
    signal = _voltage(shape, times, r_times, ectopic, heights, morphology_variation)
    signal += baseline_wander * _band_noise(wander, n_samples, sampling_frequency, 0.05, 0.5)
    envelope = np.exp(0.5 * _band_noise(muscle, n_samples, sampling_frequency, 0.05, 0.3))
    signal += muscle_noise * _unit_rms(envelope * _band_noise(muscle, n_samples, sampling_frequency, 20, 150))
    if mains_frequency < sampling_frequency / 2:
        signal += mains_hum * np.sqrt(2) * np.sin(2 * np.pi * (mains_frequency * times + hum.random()))
    r_peaks = np.rint(r_times * sampling_frequency).astype(np.int64)
    return signal.astype(np.float32), r_peaks[(r_peaks >= 0) & (r_peaks < n_samples)]


def _r_times(
    rhythm: np.random.Generator,
    kinds: np.random.Generator,
    duration: float,
    heart_rate: float,
    heart_rate_std: float,
    lf_hf_ratio: float,
    ectopic_fraction: float,
) -> tuple[np.ndarray, np.ndarray]:
    """When each beat's R comes [n] in s, two beats and more beyond both ends, and which beats are ectopic [n] bool."""
    margin = 4 * 60 / heart_rate
    step = 0.05
    # Long enough for the spectrum to have its two peaks, however short the signal is.
    n_steps = int(np.ceil(max(duration + 2 * margin, 400.0) / step))
    frequency = np.fft.rfftfreq(n_steps, step)
    power = lf_hf_ratio * _bump(frequency, MAYER_FREQUENCY) + _bump(frequency, RESPIRATORY_FREQUENCY)
    phases = np.exp(2j * np.pi * rhythm.random(len(frequency)))
    interval = 60 / heart_rate * (1 + heart_rate_std / heart_rate * _unit_rms(np.fft.irfft(np.sqrt(power) * phases)))
    phase = rhythm.random() + np.concatenate([[0.0], np.cumsum(step / np.maximum(interval, 0.25))])
    r_times = np.interp(np.arange(1, int(phase[-1])), phase, np.arange(len(phase)) * step) - margin
    r_times = r_times[r_times < duration + margin]

    ectopic = kinds.random(len(r_times)) < ectopic_fraction
    ectopic[1:] &= ~ectopic[:-1]
    ectopic[[0, -1]] = False
    early = kinds.uniform(0.25, 0.4, len(r_times)) * np.diff(r_times, prepend=r_times[0])
    return np.where(ectopic, r_times - early, r_times), ectopic


def _bump(frequency: np.ndarray, centre: float) -> np.ndarray:
    """A unit of power around a frequency, 0.01 Hz wide, as in the paper."""
    return np.exp(-((frequency - centre) ** 2) / (2 * 0.01**2))


def _beat_variation(generator: np.random.Generator, r_times: np.ndarray) -> np.ndarray:
    """A number a beat [n] of unit variance: half respiration, half chance; cut at three standard deviations."""
    breath = np.sin(2 * np.pi * (RESPIRATORY_FREQUENCY * r_times + generator.random()))
    chance = np.clip(generator.standard_normal(len(r_times)), -3, 3)
    return np.asarray(breath + np.sqrt(0.5) * chance)


def _voltage(
    shape: np.random.Generator,
    times: np.ndarray,
    r_times: np.ndarray,
    ectopic: np.ndarray,
    heights: np.ndarray,
    variation: float,
) -> np.ndarray:
    """The model's z [T] in mV: the five events of every beat, along the heart's phase, and the relaxation."""
    from scipy.interpolate import PchipInterpolator

    # In beats: R of beat k is at k. Monotone and smooth, so the phase never turns back and omega never jumps.
    course = PchipInterpolator(r_times, np.arange(len(r_times), dtype=float))
    phase = course(times)
    rate = course(r_times, 1)  # of each beat, Hz

    personal = 1 + variation * np.clip(shape.standard_normal((3, 5)), -2, 2)
    wave_heights = np.where(ectopic[:, None], ECTOPIC_HEIGHTS, HEIGHTS) * heights[:, None]  # [n, 5]
    wave_heights[:, [0, 1, 3, 4]] *= personal[0, [0, 1, 3, 4]]
    stretch = np.stack([np.sqrt(rate), rate, rate, rate, np.sqrt(rate)], axis=1)
    positions = np.where(ectopic[:, None], ECTOPIC_POSITIONS, POSITIONS) * stretch * personal[1]
    widths = np.where(ectopic[:, None], ECTOPIC_WIDTHS, WIDTHS) * stretch * personal[2]

    events = np.zeros(len(times))
    nearest = np.rint(phase).astype(np.int64)
    for neighbour in (-1, 0, 1):
        beat = nearest + neighbour
        angle = 2 * np.pi * (phase - beat)
        for wave in range(5):
            distance = (angle - positions[beat, wave]) / widths[beat, wave]
            events += wave_heights[beat, wave] * np.exp(-0.5 * distance**2)
    return np.asarray(events - _relaxation(events, times[1] - times[0] if len(times) > 1 else 1.0))


def _relaxation(events: np.ndarray, step: float) -> np.ndarray:
    """What the relaxation takes away, [T]: u of u' = (events - u) / tau, exact where events are straight lines.

    The model is z' = events' - z / tau; so z = events - u. It starts in the steady state of the first seconds.
    """
    from scipy.signal import lfilter

    decay = np.exp(-step / RELAXATION_TIME)
    ramp = RELAXATION_TIME / step * (1 - decay)
    start = events[: max(1, round(3 * RELAXATION_TIME / step))].mean()
    b, a = [1 - ramp, ramp - decay], [1, -decay]
    u, _ = lfilter(b, a, events, zi=[start - b[0] * events[0]])
    return np.asarray(u)


def _band_noise(
    generator: np.random.Generator, n_samples: int, sampling_frequency: float, low: float, high: float
) -> np.ndarray:
    """Gaussian noise [T] between two frequencies in Hz, of root mean square 1 (all zero where nothing fits)."""
    # Made longer than needed: a short signal must not be one whole period of its own noise.
    n_long = max(2 * n_samples, int(np.ceil(40 * sampling_frequency)))
    spectrum = np.fft.rfft(generator.standard_normal(n_long))
    frequency = np.fft.rfftfreq(n_long, 1 / sampling_frequency)
    spectrum[(frequency < low) | (frequency > high)] = 0
    return _unit_rms(np.fft.irfft(spectrum, n_long)[:n_samples])


def _unit_rms(values: np.ndarray) -> np.ndarray:
    scale = np.sqrt(np.mean(values**2))
    return values / scale if scale > 0 else values
