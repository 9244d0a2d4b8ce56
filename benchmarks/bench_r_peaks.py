"""R-peak detectors on annotated records, clean and in noise: ours beside every one that is installed (extra `bench`).

Run `python benchmarks/bench_r_peaks.py --records DIR --noise DIR` with folders of WFDB records and of noise records (or
with $NEURALLIB_DATA, which has `mitdb` and `nstdb`). Ours is the detector that comes along, or `--checkpoint DIR`. It
was trained on DS1: of these records measure what `python -m neurallib.examples.train_ecg_r_peaks` cross-validated, with
`--cross-validated results/fold_0 results/fold_1`: every record gets the state that never met its person.

Record by record all detectors take turns, each given the first lead in mV, ours once more all leads, and their CPU
seconds are counted, after a first minute that is not. Clean is what was recorded, all of it; noisy is `--minutes` of
each record, made as `benchmarks/noisy_records.py` says. A peer that raises on a record has found nothing in it.
Without records it says so and ends.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import noisy_records
import numpy as np
import torch
from r_peak_detectors import PEERS, Detector, Recording
from r_peak_scores import TOLERANCES, differences, row_of, scores_of, table
from timing import plain, say

import neurallib as nl

OURS, ALL = "neurallib", "neurallib, all leads"


class Condition(NamedTuple):
    """A kind of noise at a level, and the records of it."""

    kind: str
    snr: float | None
    recordings: Iterable[Recording]


class Run(NamedTuple):
    """What a detector found, by record, in how many CPU seconds, and what it raised."""

    found: dict[str, np.ndarray]
    seconds: list[float]
    raised: dict[str, str]


def conditions(arguments: argparse.Namespace, folder: Path, noises: noisy_records.Noises) -> Iterator[Condition]:
    """Clean records as they are, then each kind of noise at each level."""
    for kind in arguments.kinds:
        if kind == "clean":
            yield Condition(kind, None, noisy_records.recordings(folder, arguments.clean_minutes, True))
        elif missing := noisy_records.absent(noises, kind):
            say(f"{kind} is skipped: no noise record {' or '.join(missing)}; give --noise DIR, or set NEURALLIB_DATA")
        else:
            said = f"{kind} (simulated)" if kind == "em" and noises["em"] is None else kind
            for snr in arguments.snr:
                pairs = noisy_records.noisy(folder, noises, kind, snr, arguments.minutes, True)
                yield Condition(said, snr, [recording for recording, _ in pairs])


def detectors_of(names: Sequence[str], state_for: Callable[[str], nl.State]) -> dict[str, Detector]:
    """Those that are asked for and installed, ours first; what is not installed is said."""
    chosen: dict[str, Detector] = {}
    if OURS in names:
        chosen[OURS] = lambda recording: nl.find_r_peaks(state_for(recording["name"]), recording, channel=0)
        chosen[ALL] = lambda recording: nl.find_r_peaks(state_for(recording["name"]), recording)
    for name, peer in PEERS.items():
        if name in names and (missing := peer.missing()):
            say(f"{peer.label} is skipped: {' and '.join(missing)} is not installed (extra bench)")
        elif name in names:
            chosen[name] = peer
    return chosen


def met(state_for: Callable[[str], nl.State], names: Sequence[str], cross_validated: bool) -> tuple[str, bool]:
    """What is said of ours beside every figure: which of the records it has met, and whether the noise."""
    states = [state_for(name) for name in names]
    n_met = sum(noisy_records.has_met(state, name) for state, name in zip(states, names, strict=True))
    trained = f"trained on {'' if n_met == len(names) else f'{n_met} of '}these"
    said = "cross-validated" if cross_validated else trained if n_met else "new to these"
    return said, any(noisy_records.has_met_noise(state) for state in states)


def in_turn(recordings: Iterable[Recording], detectors: dict[str, Detector]) -> tuple[list[Recording], dict[str, Run]]:
    """The records, and what each detector made of them."""
    kept, runs = [], {name: Run({}, [], {}) for name in detectors}
    for recording in recordings:
        kept.append(recording)
        for name, detector in detectors.items():
            began = time.process_time()
            try:
                found = detector(recording)
            except Exception as error:
                if name in (OURS, ALL):
                    raise
                found = np.zeros(0, np.int64)
                runs[name].raised[recording["name"]] = repr(error)
            runs[name].seconds.append(time.process_time() - began)
            runs[name].found[recording["name"]] = found
    return kept, runs


def measured(
    condition: Condition, detectors: dict[str, Detector], arguments: argparse.Namespace
) -> list[dict[str, Any]]:
    """A row a detector."""
    recordings, runs = in_turn(condition.recordings, detectors)
    hours = sum(len(recording["signal"]) / recording["sampling_frequency"] for recording in recordings) / 3600
    scores = {name: scores_of(recordings, run.found, arguments.skip_start) for name, run in runs.items()}
    about = {"kind": condition.kind, "snr": condition.snr, "hours": hours}
    rows = []
    for name, run in runs.items():
        taken = {"detector": name, "raised": run.raised, "seconds_per_hour": sum(run.seconds) / hours}
        rows.append(about | taken | row_of(scores[name], None if name in (OURS, ALL) else scores.get(OURS)))
        whole = scores[name][TOLERANCES[0]]
        if arguments.by_record:
            say(f"\n{name}, {condition.kind}\n\n{whole['table']}")
        if arguments.figures:
            path = f"{condition.kind}_{condition.snr}_{name}.png".replace(" ", "_")
            nl.plot_record_scores(whole, path=arguments.figures / path)
    return rows


def tell(rows: Sequence[dict[str, Any]], labels: dict[str, str], noise_met: bool) -> None:
    """The tables of a condition."""
    kind, snr, hours = (rows[0][name] for name in ("kind", "snr", "hours"))
    said = f"; {labels[OURS]}" if any(row["detector"] == OURS for row in rows) else ""
    if said and noise_met and kind in ("bw", "ma", "mixed"):
        said += "; trained with this noise"
    say(f"\n### {kind}{'' if snr is None else f' at {snr:g} dB'}, {hours:.2f} h{said}\n\n{table(rows, labels)}\n")
    if any("against" in row for row in rows):
        say(f"{OURS} less each other, paired by person\n\n{differences(rows, labels)}\n")
    for row in rows:
        for record, error in row["raised"].items():
            say(f"{labels[row['detector']]} raised on {record}: {error}")


def parsed() -> argparse.Namespace:
    """The arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", "--data", type=Path, help="folder of WFDB records with .atr annotations")
    parser.add_argument("--noise", type=Path, help="folder of noise records: bw, ma, em")
    parser.add_argument("--checkpoint", type=Path, help="directory of a state that finds R-peaks [what comes along]")
    parser.add_argument("--cross-validated", type=Path, nargs="+", help="directories of states, used where not trained")
    parser.add_argument("--detectors", nargs="*", choices=[OURS, *PEERS], default=[OURS, *PEERS], help="[all]")
    parser.add_argument("--kinds", nargs="*", choices=["clean", "bw", "ma", "em", "mixed"],
                        default=["clean", "ma", "em"], help="of noise [clean ma em]")  # fmt: skip
    parser.add_argument("--snr", nargs="*", type=float, default=[18.0, 12.0, 6.0, 0.0, -6.0], help="dB")
    parser.add_argument("--minutes", type=float, default=5.0, help="of each record, in noise [5]")
    parser.add_argument("--clean-minutes", type=float, help="of each record, clean [all]")
    parser.add_argument("--skip-start", type=float, default=0.0, help="seconds that are not scored; EC57 allows 300")
    parser.add_argument("--by-record", action="store_true", help="tell each record's measures too")
    parser.add_argument("--figures", type=Path, help="folder for a picture a detector")
    return parser.parse_args()


def main() -> None:
    """Measure, and tell."""
    arguments = parsed()
    folder = noisy_records.data_folder(arguments.records, "mitdb")
    if folder is None:
        say("skipped: no WFDB records; give --records DIR, or set NEURALLIB_DATA")
        return
    torch.set_num_threads(1)
    state_for = noisy_records.states_of("ecg_r_peaks", arguments.checkpoint, arguments.cross_validated)
    first = list(noisy_records.recordings(folder, 1.0))
    ours, noise_met = met(state_for, [recording["name"] for recording in first], bool(arguments.cross_validated))
    labels = {OURS: f"{OURS}, {ours}", ALL: f"{ALL}, {ours}"} | {name: peer.label for name, peer in PEERS.items()}
    detectors = detectors_of(arguments.detectors, state_for)
    in_turn(first[:1], detectors)  # imports and compiles
    _, noises = noisy_records.read_noises(noisy_records.data_folder(arguments.noise, "nstdb"))
    rows: list[dict[str, Any]] = []
    for condition in conditions(arguments, folder, noises):
        rows += (now := measured(condition, detectors, arguments))
        tell(now, labels, noise_met)
    told = {"benchmark": "r_peaks", "records": len(first), "people": len({each["person"] for each in first})}
    told |= {"ours": ours, "noise_met": noise_met, "minutes": arguments.minutes, "labels": labels, "rows": plain(rows)}
    told["versions"] = sorted({peer.version() for name, peer in PEERS.items() if name in detectors})
    say(json.dumps(told))


if __name__ == "__main__":
    main()
