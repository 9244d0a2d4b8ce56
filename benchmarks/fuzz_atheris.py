"""The files of fuzz_files.py, changed by a fuzzer that sees which lines each one reaches; ends at the first finding.

Needs `pip install atheris`, and takes libFuzzer's options:

    python benchmarks/fuzz_atheris.py -max_total_time=600 -rss_limit_mb=2000 -timeout=60
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["neurallib", "wfdb", "edfio"]):
    import neurallib  # noqa: F401

    import fuzz_files

NAMES = [name for name in fuzz_files.NAMES if not name.startswith("search/")]  # which trains


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        root, corpus = Path(home) / "files", Path(home) / "corpus"
        root.mkdir()
        corpus.mkdir()
        fuzz_files.offline(root)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            whole = fuzz_files.write_files(root)
        for i, name in enumerate(NAMES):  # the first byte says which file it is
            if len(whole[name]) < 1 << 16:
                (corpus / str(i)).write_bytes(bytes([i]) + whole[name])

        def one(content: bytes) -> None:
            if not content or content[0] >= len(NAMES):
                return
            found = fuzz_files.judge_content(root, name := NAMES[content[0]], whole, content[1:])
            if found not in ("loads", "refused"):
                raise RuntimeError(f"{name}: {found}")

        atheris.Setup([*sys.argv, str(corpus)], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
