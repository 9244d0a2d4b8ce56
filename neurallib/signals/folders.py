"""Folders of .npy files as sequences of (signal, target) pairs, read when they are asked for; windows of long ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, SupportsIndex, overload

import numpy as np
from torch.utils.data import ConcatDataset, Subset

from neurallib.checks import as_path, boolean, integer, number, text
from neurallib.names import hinted, listing
from neurallib.signals.arrays import array_shape, read_array
from neurallib.state import Pair
from neurallib.warn import warn


class _Piece(NamedTuple):
    """One item of a folder: a pair of files, and the steps of them that it holds."""

    path_x: Path
    path_y: Path
    axis: int  # of time, in x
    start: int
    stop: int
    window: bool  # False: all of it
    target_axis: int | None  # of time, in y; None where one target stands for the whole signal


class SignalFolder(Sequence[Pair]):
    """Pairs (x, y) of a data folder, memory-mapped; made by `open_folder`.

    A sequence: it has a length, an item is a pair of arrays, a slice is a SignalFolder again.

    Parameters
    ----------
    pieces : list
        Of each item its two files and which steps of them it holds, as `open_folder` finds them.

    Attributes
    ----------
    names : list of str
        File names in natural order, those of windows with their steps: "3.npy[0:5400]".
    paths_x, paths_y : list of Path
        The files of each item's signal and target.
    window : int or None
        The steps of the windows that long signals are cut into; None where every signal is whole.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import neurallib as nl, numpy as np
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for side in ("x", "y"):
    ...         (Path(root) / side / "test").mkdir(parents=True)
    ...         for i in range(10):
    ...             np.save(Path(root) / side / "test" / f"{i}.npy", np.zeros((100, 1)))
    ...     folder = nl.open_folder(f"{root}/x", f"{root}/y", "test")
    ...     x, y = folder[0]
    >>> isinstance(folder[:3], nl.SignalFolder), folder[:3].names, x.shape
    (True, ['0.npy', '1.npy', '2.npy'], (100, 1))
    """

    def __init__(self, pieces: list[_Piece]) -> None:
        self._pieces = pieces
        self._last: dict[int, tuple[Path, np.ndarray]] = {}
        self.names = [
            f"{piece.path_x.name}[{piece.start}:{piece.stop}]" if piece.window else piece.path_x.name
            for piece in pieces
        ]
        self.paths_x = [piece.path_x for piece in pieces]
        self.paths_y = [piece.path_y for piece in pieces]
        self.window = max((piece.stop - piece.start for piece in pieces if piece.window), default=None)

    def __len__(self) -> int:
        return len(self._pieces)

    @overload
    def __getitem__(self, i: SupportsIndex) -> Pair: ...
    @overload
    def __getitem__(self, i: slice) -> SignalFolder: ...
    def __getitem__(self, i: SupportsIndex | slice) -> Pair | SignalFolder:
        if isinstance(i, slice):
            return SignalFolder(self._pieces[i])
        piece = self._pieces[i]
        x, y = self._read(0, piece.path_x), self._read(1, piece.path_y)
        if piece.window:
            steps = slice(piece.start, piece.stop)
            x = x[steps] if piece.axis == 0 else x[:, steps]
            if piece.target_axis is not None:
                y = y[steps] if piece.target_axis == 0 else y[:, steps]
        return x, y

    def _read(self, side: int, path: Path) -> np.ndarray:
        """A file's array; the last one of each side is kept, because the next window is mostly of the same file."""
        last, array = self._last.get(side, (None, None))
        if last != path or array is None:
            self._last[side] = path, array = path, read_array(path)
        return array

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_last": {}}


@hinted
def open_folder(
    path_x: str | Path,
    path_y: str | Path,
    part: str,
    *,
    all_samples: bool = True,
    samples: int | None = None,
    window_size: int | None = None,
    overlap: float = 0.0,
) -> SignalFolder:
    """Open one part of a data folder; signals are read when they are asked for.

    Parameters
    ----------
    path_x, path_y : path
        Folders of signals and of targets, each with a folder `part`, whose .npy files are paired by name.
    part : str
        "train", "val" or "test".
    all_samples : bool
        All files, in natural order (2.npy before 10.npy); False: the first `samples` of them.
    samples : int, optional
        How many files with all_samples=False; by default, and with a warning where there are fewer, all.
    window_size : int, optional
        Cut signals longer than this many samples into windows; only a window is read, not its recording. A target as
        long as its signal is cut with it, any other stands for every window. By default signals are whole.
    overlap : float
        The share of a window that the next one repeats, in [0, 1).

    Returns
    -------
    SignalFolder
        A sequence of (x, y) arrays as they stand in the files, with `names`.

    Raises
    ------
    FileNotFoundError
        If a folder is missing or empty.
    TypeError
        If an argument is of another type, such as a float for `samples`.
    ValueError
        If files are not paired or, cut into windows, cannot be read as signals with targets, each named; or an argument
        is out of its range.

    See Also
    --------
    train, evaluate, predict : take what it returns.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import neurallib as nl, numpy as np
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for side in ("x", "y"):
    ...         (Path(root) / side / "train").mkdir(parents=True)
    ...         np.save(Path(root) / side / "train" / "1.npy", np.zeros((1000, 1)))
    ...     folder = nl.open_folder(f"{root}/x", f"{root}/y", "train", window_size=400, overlap=0.5)
    ...     shapes = [x.shape for x, y in folder]
    >>> folder.names
    ['1.npy[0:400]', '1.npy[200:600]', '1.npy[400:800]', '1.npy[600:1000]']
    >>> shapes
    [(400, 1), (400, 1), (400, 1), (400, 1)]
    """
    text("part", part)
    boolean("all_samples", all_samples)
    if number("overlap", overlap, 0, 1, high_open=True) and window_size is None:
        raise ValueError(f"overlap={overlap!r} is of windows: give window_size, or leave it out.")
    folders = [_part_folder(path, part, name) for path, name in ((path_x, "path_x"), (path_y, "path_y"))]
    files = [  # hidden ones are a system's, such as the ._ files of macOS
        {path.name: path for path in folder.glob("[!.]*") if path.suffix.lower() == ".npy"} for folder in folders
    ]
    for folder, found in zip(folders, files, strict=True):
        if not found:
            others = listing(sorted(path.name for path in folder.iterdir()))
            raise FileNotFoundError(f"no .npy file in {folder}; it holds: {others}.")
    lonely = sorted(files[0].keys() ^ files[1].keys(), key=natural)
    if lonely:
        sides = [f"{name} ({'no target in path_y' if name in files[0] else 'no signal in path_x'})" for name in lonely]
        raise ValueError(f"files of {folders[0]} and {folders[1]} do not pair up: {listing(sides)}.")
    names = sorted(files[0], key=natural)
    if all_samples and samples is not None:
        warn(f"samples={samples} is for all_samples=False: all {len(names)} files are used.")
    if not all_samples and samples is not None:
        if integer("samples", samples) > len(names):
            warn(f"samples={samples}, but {folders[0]} holds {len(names)} files: all are used.")
        names = names[:samples]
    if window_size is not None:
        integer("window_size", window_size)
    return SignalFolder(
        [piece for name in names for piece in _cut(files[0][name], files[1][name], window_size, overlap)]
    )


def as_folder(data: Any) -> Any:
    """What torch's Subset, such as random_split makes, and ConcatDataset make of opened folders, as one that knows its
    files; other data as they are."""
    if isinstance(data, Subset) and isinstance(whole := as_folder(data.dataset), SignalFolder):
        return SignalFolder([whole._pieces[i] for i in data.indices])
    if isinstance(data, ConcatDataset):
        parts = [as_folder(part) for part in data.datasets]
        if all(isinstance(part, SignalFolder) for part in parts):
            return SignalFolder([piece for part in parts for piece in part._pieces])
    return data


def cut_windows(n_steps: int, window_size: int | None, overlap: float = 0.0) -> list[tuple[int, int]]:
    """Windows (start, stop) that cover `n_steps`, all of `window_size` but the last, which ends with the signal."""
    integer("n_steps", n_steps, minimum=0)
    number("overlap", overlap, 0, 1, high_open=True)
    if window_size is not None:
        integer("window_size", window_size)
    if window_size is None or n_steps <= window_size:
        return [(0, n_steps)]
    stride = max(1, round(window_size * (1 - overlap)))
    starts = range(0, n_steps - window_size + stride, stride)
    return [(start, min(start + window_size, n_steps)) for start in starts if start < n_steps]


def _cut(path_x: Path, path_y: Path, window_size: int | None, overlap: float) -> list[_Piece]:
    if window_size is None:
        return [_Piece(path_x, path_y, 0, 0, 0, False, None)]
    x, y = array_shape(path_x), array_shape(path_y)
    if len(x) not in (1, 2):
        raise ValueError(f"{path_x} has shape {x}; expected [time] or [time, features].")
    # The axis that the target shares is time; without one, a recording is longer than it has channels. An axis that
    # fits one window may as well be channels, as many as a target of the whole signal has values.
    shared = [axis for axis in range(len(x)) if x[axis] > window_size and x[axis] in y]
    axis = shared[0] if len(shared) == 1 else int(np.argmax(x))
    n_steps = x[axis]
    target_axis = y.index(n_steps) if n_steps in y else None
    windows = cut_windows(n_steps, window_size, overlap)
    if target_axis is None and len(windows) > 1 and window_size > 1 and window_size in y:
        # It would pass for the target of every window.
        raise ValueError(
            f"{path_y} has shape {y}, as long as a window, but {path_x} has {n_steps} steps; expected one target "
            "for each step or one for the whole signal."
        )
    return [_Piece(path_x, path_y, axis, *window, len(windows) > 1, target_axis) for window in windows]


def _part_folder(path: str | Path, part: str, argument: str) -> Path:
    home = as_path(argument, path)
    folder = home / part
    if not folder.is_dir():
        there = sorted(entry.name for entry in home.iterdir()) if home.is_dir() else None
        found = f"{home} holds: {listing(there)}" if there is not None else f"{home} is no directory"
        raise FileNotFoundError(f"{argument} has no folder {part!r}: {folder} is missing; {found}.")
    return folder


def natural(name: str) -> list[tuple[bool, int, str]]:
    """Sorts numbers within names by their value: 2.npy before 10.npy."""
    pieces = filter(None, re.split(r"(\d+)", name))
    return [(not piece.isdecimal(), int(piece) if piece.isdecimal() else 0, piece) for piece in pieces]
