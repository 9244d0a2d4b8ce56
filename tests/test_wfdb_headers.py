"""WFDB headers written by hand: formats, names, gains and files that wfdb itself would not write."""

from pathlib import Path

import numpy as np
import pytest

from neurallib import read_recording

pytest.importorskip("wfdb", reason="wfdb is not installed (extra wfdb)")


def by_hand(folder: Path, line: str, dtype: str = "<i2", head: str = "h 1 100 1000") -> tuple[Path, np.ndarray]:
    """A record of one channel as a header's line of it says, and its digital values."""
    values = np.arange(1000) % 50 - 20
    (folder / "h.dat").write_bytes((np.diff(values, prepend=-20) if dtype == "i1" else values).astype(dtype).tobytes())
    (folder / "h.hea").write_bytes(f"{head}\nh.dat {line}\n# Gr\xf6\xdfe\n".encode("latin-1"))
    return folder / "h", values


@pytest.mark.parametrize("format_, head", [
    ("8", "h 1 100 1000"), ("8x2", "h 1 50 500"), ("16x2", "h 1 50"), ("8", "h 1 100(0) 1000"), ("8", "h 1 100/ 1000"),
])  # fmt: skip
def test_what_is_read_whole_is_right_from_anywhere_on(format_: str, head: str, tmp_path: Path) -> None:
    path, values = by_hand(tmp_path, f"{format_} 10/mV 16 0 -20 4500 0 II", "i1" if "8" in format_ else "<i2", head)
    for start in (0, 1.5, 9):
        np.testing.assert_allclose(read_recording(path, start=start)["signal"][:, 0], values[round(100 * start):] / 10)


def test_a_channel_that_was_taken_later_than_others_is_moved_and_fits_its_checksum(tmp_path: Path) -> None:
    path, values = by_hand(tmp_path, "16:5 200/mV 16 0 -20 4500 0 II")
    np.testing.assert_allclose(read_recording(path)["signal"][:, 0], np.append(values[5:], [np.nan] * 5) / 200)


@pytest.mark.parametrize("line", ["16", "16 0", "16 0/mV 16 0 -20 4500 0"])
def test_gain_that_is_not_told_is_noted_and_signals_without_a_name_are_numbered(line: str, tmp_path: Path) -> None:
    path, values = by_hand(tmp_path, line)
    read = read_recording(path)
    np.testing.assert_allclose(read["signal"][:, 0], values / 200)
    assert (read["channels"], read["units"], read["notes"][0]) == (["0"], ["mV"], "Gr\xf6\xdfe")
    assert read["notes"][1:] == ["no gain of channels 0 is told: 200 steps are taken for a unit"]


def test_names_that_are_no_ascii_are_whole(tmp_path: Path) -> None:
    path, _ = by_hand(tmp_path, "16 200/mV 16 0 -20 4500 0 D\xe9rivation")
    assert read_recording(path.with_suffix(".dat"))["channels"] == ["D\xe9rivation"]


@pytest.mark.parametrize(
    "line, head, told",
    [
        ("99 200", "h 1 100 1000", "h.hea has signals in format 99, which wfdb does not read"),
        ("16 200", "h 1 0 1000", "h.hea says '0' for its sampling frequency"),
        ("16 2O0/mV", "h 1 100 1000", "h.hea says '2O0/mV' for a gain; expected such as 200"),
        ("16 1e400", "h 1 100 1000", "h.hea says '1e400' for a gain"),
        ("16 200(5.5)/mV 16 0", "h 1 100 1000", r"h.hea says '200\(5.5\)/mV' for a gain"),
        ("16 200", "h.1 1 100 1000", "h.hea calls its record 'h.1'; expected letters, digits, - and _ as its first"),
    ],
)
def test_header_that_cannot_be_is_told_by_what_is_wrong(line: str, head: str, told: str, tmp_path: Path) -> None:
    path, _ = by_hand(tmp_path, line, head=head)
    with pytest.raises(ValueError, match=told):
        read_recording(path)


def test_signals_may_lie_in_a_mat_file_beside_the_header(tmp_path: Path) -> None:
    path, _ = by_hand(tmp_path, "16 200/mV 16 0 -20 4500 0 II")
    path.with_suffix(".dat").rename(tmp_path / "h.mat")
    path.with_suffix(".hea").write_text("h 1 100 1000\nh.mat 16 200/mV 16 0 -20 4500 0 II\n")
    assert read_recording(tmp_path / "h.mat")["channels"] == ["II"]
