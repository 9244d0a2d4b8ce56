"""Scores as a table in Markdown: a row a recording, worst first, then gross and average with their intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from neurallib.measures.metrics import is_of
from neurallib.signals.arrays import kind_of

SHORT = {
    "true_positives": "TP", "false_positives": "FP", "false_negatives": "FN", "sensitivity": "Se",
    "positive_predictive_value": "PPV", "f1": "F1", "false_positives_per_hour": "FP/h", "timing_bias_ms": "bias (ms)",
    "timing_sd_ms": "SD (ms)", "snr_improvement_db": "SNR improvement (dB)", "cosine_similarity": "cosine",
}  # fmt: skip
LOW_IS_GOOD = ("false_positives_per_hour", "mae", "rmse", "ssd", "mad", "prd", "sd", "timing_sd_ms", "peaks_added")
NEAR_0_IS_GOOD = ("bias", "timing_bias_ms")


def check_result(name: str, given: Any, *more: str) -> None:
    """Raise TypeError unless it is what a function gives that scores recordings, with `more` of it."""
    if not isinstance(given, Mapping) or not {"task", "records", *more} <= set(given):
        held = f"{kind_of(given)}; expected what evaluate_recordings, class_scores or value_scores gives"
        raise TypeError(f"{name} is {held}.")


def markdown(result: Mapping[str, Any], columns: Sequence[str], measure: str) -> str:
    """The table of a result, its records ordered by `measure`."""
    rows = [["record", *(SHORT.get(name, name) for name in columns)], ["---", *["---:"] * len(columns)]]
    for record in worst_first(result["records"], measure):
        rows.append([str(record["name"]), *(_told(record.get(name)) for name in columns)])
    for kind in ("gross", "average"):
        limits = result["intervals"][kind]
        cells = [_told(result[kind].get(name)) + _between(limits.get(name)) for name in columns]
        rows.append([f"**{kind}**", *cells])
    return lines_of(rows)


def lines_of(rows: Sequence[Sequence[str]]) -> str:
    """Cells as the lines of a table."""
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def worst_first(records: Sequence[Mapping[str, Any]], measure: str) -> list[Mapping[str, Any]]:
    """Recordings from the worst to the best; those that nothing can be said of come last."""

    def key(record: Mapping[str, Any]) -> tuple[bool, float]:
        value = record[measure]
        if is_of(measure, NEAR_0_IS_GOOD):
            value = -abs(value)
        return math.isnan(value), -value if is_of(measure, LOW_IS_GOOD) else value

    return sorted(records, key=key)


def _told(value: Any) -> str:
    if value is None:
        return ""
    if math.isnan(value):
        return "nan"
    if isinstance(value, int) or value == 0:
        return str(int(value))
    return f"{value:.4f}" if abs(value) <= 1 else f"{value:.2f}" if abs(value) < 100 else f"{value:.1f}"


def _between(limits: tuple[float, float] | None) -> str:
    return "" if limits is None or any(map(math.isnan, limits)) else f" ({_told(limits[0])} to {_told(limits[1])})"
