"""What layers of `ecg_r_peaks` are worth to who has few labels: two examples on real records, over several seeds.

Run `python benchmarks/bench_transfer.py --records DIR` with the MIT-BIH Arrhythmia Database (or with $NEURALLIB_DATA,
which has it in its `mitdb`); 10 minutes on two cores. `neurallib.examples.fine_tuning` adapts the detector to beats
three times as fast, `neurallib.examples.beat_classes` tells three kinds of beats apart on its layers; each as it is in
the example, on people that were not learnt from. Without records it says so and ends.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import timing
from bench_r_peaks import data_folder

from neurallib.examples import beat_classes, fine_tuning
from neurallib.examples.recipes import over_seeds


def main() -> None:
    """Measure, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, help="folder of WFDB records with .atr annotations")
    parser.add_argument("--seeds", type=int, default=3, help="each with other people and weights [3]")
    parser.add_argument("--epochs", type=int, help="of each training [those of the examples]")
    arguments = parser.parse_args()
    folder = data_folder(arguments.records, "mitdb")
    if folder is None:
        timing.say("skipped: no WFDB records; give --records DIR, or set NEURALLIB_DATA")
        return
    words = ["--records", str(folder), "--seeds", str(arguments.seeds), "--quiet"]
    words += [] if arguments.epochs is None else ["--epochs", str(arguments.epochs)]
    rows = [
        {"example": example.__name__.rpartition(".")[2], "way": way, "F1": over_seeds(values), "F1 by seed": values}
        for example in (fine_tuning, beat_classes)
        for way, values in example.main(words).items()
    ]
    timing.report(rows, benchmark="transfer", seeds=arguments.seeds)


if __name__ == "__main__":
    main()
