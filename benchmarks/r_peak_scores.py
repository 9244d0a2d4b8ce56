"""What is told of R-peak detectors: measures with intervals over people, what ours differs by, tables in Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from timing import markdown

import neurallib as nl

TOLERANCES = (0.150, 0.075, 0.050)  # seconds; the first is of all measures, the others of F1
MEASURES = ("sensitivity", "positive_predictive_value", "false_positives_per_hour", "timing_bias_ms", "timing_sd_ms")
F1 = tuple(f"f1_{1000 * tolerance:.0f}" for tolerance in TOLERANCES)
Scores = dict[float, dict[str, Any]]  # what evaluate_recordings gives, by tolerance


def scores_of(recordings: Sequence[dict[str, Any]], found: Mapping[str, np.ndarray], skip_start: float) -> Scores:
    """What `evaluate_recordings` says of what was found, at each tolerance."""
    return {
        tolerance: nl.evaluate_recordings(
            lambda recording: found[recording["name"]], recordings, tolerance=tolerance, tolerances=(),
            skip_start=skip_start, n_bootstrap=2000,
        )
        for tolerance in TOLERANCES
    }  # fmt: skip


def row_of(scores: Scores, ours: Scores | None) -> dict[str, Any]:
    """Gross measures, their "intervals", and, with ours, what ours has more, "against"."""
    whole = scores[TOLERANCES[0]]
    row: dict[str, Any] = {name: scores[each]["gross"]["f1"] for name, each in zip(F1, TOLERANCES, strict=True)}
    intervals = {name: scores[each]["intervals"]["gross"]["f1"] for name, each in zip(F1, TOLERANCES, strict=True)}
    row |= {name: whole["gross"][name] for name in MEASURES}
    row["intervals"] = intervals | {name: whole["intervals"]["gross"][name] for name in MEASURES}
    if ours is not None:
        row["against"] = {}
        for name, each in zip(F1, TOLERANCES, strict=True):
            found = nl.compare_recordings(ours[each], scores[each])["gross"]["f1"]
            row["against"][name] = {key: found[key] for key in ("difference", "low", "high", "p_value")}
    return row


def table(rows: Sequence[Mapping[str, Any]], labels: Mapping[str, str]) -> str:
    """A row a detector, measures with their 95 % intervals over people."""
    head = ["detector", "F1 within 150 ms", "75 ms", "50 ms", "sensitivity", "positive predictive value",
            "false positives an hour", "timing error (ms)", "its SD (ms)", "CPU s an hour", "records it raised on"]
    lines = [
        [labels[row["detector"]], *(with_interval(row, name, 4) for name in (*F1, *MEASURES[:2])),
         *(with_interval(row, name, 1) for name in MEASURES[2:]),
         f"{row['seconds_per_hour']:.2f}", str(len(row["raised"]))]
        for row in rows
    ]  # fmt: skip
    return markdown(head, lines)


def differences(rows: Sequence[Mapping[str, Any]], labels: Mapping[str, str]) -> str:
    """What ours has more in F1 than each other, with its 95 % interval and p, paired by person."""
    head = ["neurallib less", *(f"F1 within {1000 * tolerance:.0f} ms" for tolerance in TOLERANCES)]
    lines = [
        [labels[row["detector"]], *(difference(row["against"][name]) for name in F1)]
        for row in rows if "against" in row
    ]  # fmt: skip
    return markdown(head, lines)


def with_interval(row: Mapping[str, Any], name: str, digits: int) -> str:
    """A measure, and where it has one its interval."""
    value, (low, high) = row[name], row["intervals"][name]
    between = f" ({low:.{digits}f} to {high:.{digits}f})" if math.isfinite(low) and math.isfinite(high) else ""
    return f"{value:.{digits}f}{between}"


def difference(found: Mapping[str, float]) -> str:
    """A difference with its interval and p."""
    between = f" ({found['low']:+.4f} to {found['high']:+.4f}, p {found['p_value']:.3f})"
    return f"{found['difference']:+.4f}{between if math.isfinite(found['low']) else ''}"
