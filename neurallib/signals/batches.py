"""Batches: which signals go together, in which order, and how they are padded."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from neurallib.checks import as_seed, boolean, integer
from neurallib.names import hinted
from neurallib.sequences import pad
from neurallib.signals.arrays import as_array, kind_of
from neurallib.signals.prepared import PreparedData
from neurallib.state import Batch


def collate_fn(items: Sequence[tuple[Any, Any]]) -> Batch:
    """Pad signals and targets with zeros to one batch, in the order given.

    Parameters
    ----------
    items : sequence of (x, y)
        x: [T_i, C] (or [T_i]); y: as long as x, or one target [K] or [] for the whole signal. Arrays or Tensors.

    Returns
    -------
    Batch
        x [B, T, C] float32, y [B, T, ...] or [B, ...] (float32, or int64 where all are integers), lengths [B] int64.

    Raises
    ------
    TypeError
        If `items` is no sequence of pairs, or one holds no real numbers.
    ValueError
        If there is no item, a signal has no step, or signals differ in C or targets in shape.

    See Also
    --------
    make_loader : batches of all signals, epoch by epoch.

    Examples
    --------
    >>> import neurallib as nl, numpy as np
    >>> batch = nl.collate_fn([(np.ones((3, 2)), np.ones(3)), (np.ones((5, 2)), np.ones(5))])
    >>> batch["x"].shape, batch["lengths"]
    (torch.Size([2, 5, 2]), tensor([3, 5]))
    >>> batch["y"]
    tensor([[1., 1., 1., 0., 0.],
            [1., 1., 1., 1., 1.]])
    """
    if not isinstance(items, Sequence) or isinstance(items, str):
        raise TypeError(f"items is a {type(items).__name__}; expected a list of pairs (signal, target).")
    if len(items) == 0:
        raise ValueError("items is empty; expected at least one pair (signal, target).")
    for i, item in enumerate(items):
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            raise TypeError(f"items[{i}] is {kind_of(item)}; expected a pair (signal, target).")
    xs = [x[:, None] if x.dim() == 1 else x for x in (_tensor(x).float() for x, _ in items)]
    ys = [_tensor(y) for _, y in items]
    if any(x.dim() != 2 or len(x) == 0 or x.shape[1] != xs[0].shape[1] for x in xs):
        shapes = [tuple(x.shape) for x in xs]
        raise ValueError(f"signals have shapes {shapes}; expected (T, C) each, at least one step, and the same C.")
    x, lengths = pad(xs)
    per_step = all(y.dim() and len(y) == len(x) for x, y in zip(xs, ys, strict=True))
    if len({y.shape[per_step:] for y in ys}) > 1:
        raise ValueError(f"targets have shapes {[tuple(y.shape) for y in ys]}; expected the same for every signal.")
    return Batch(x=x, y=pad(ys)[0] if per_step else torch.stack(ys), lengths=lengths)


MAX_PADDED_STEPS = 200_000  # of a batch; beyond them memory grows and nothing runs faster


def cut_batches(
    places: Sequence[int], lengths: Sequence[int], batch_size: int, most: int | None = None
) -> list[list[int]]:
    """Places of signals cut in their order into batches of at most `batch_size` signals, and of `most` steps (by
    default MAX_PADDED_STEPS) with their padding; a signal that is longer is a batch by itself."""
    most = MAX_PADDED_STEPS if most is None else most
    batches: list[list[int]] = []
    longest = 0
    for place in places:
        longest = max(longest, lengths[place])
        if not batches or len(batches[-1]) == batch_size or longest * (len(batches[-1]) + 1) > most:
            batches.append([])
            longest = lengths[place]
        batches[-1].append(place)
    return batches


class BatchOrder:
    """The places of the signals of each batch, epoch by epoch, by the options of `make_loader`: a batch sampler.

    For `bucketing` they are sorted by length (ties, and neighbours within a tenth of it, in drawn order), cut into
    batches of at most MAX_PADDED_STEPS, and the batches shuffled.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        batch_size: int,
        *,
        shuffle: bool,
        bucketing: bool,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self._lengths = np.asarray(lengths)
        self._shuffle, self._bucketing = shuffle, bucketing
        self._seed, self._rank, self._world_size = seed, rank, world_size
        self.epoch = 0  # whose order comes next; each pass is one epoch on
        # How many signals each batch holds is the same in every epoch, because Lightning asks for the number once.
        places = range(len(lengths))
        if bucketing:
            sizes = [len(batch) for batch in cut_batches(sorted(places, key=lengths.__getitem__), lengths, batch_size)]
        else:
            sizes = [len(places[i : i + batch_size]) for i in range(0, len(places), batch_size)]
        self._ends = np.cumsum(sizes)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self._ends) // self._world_size)

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng((self._seed, self.epoch))
        self.epoch += 1
        order = np.arange(len(self._lengths))
        if self._shuffle:
            order = rng.permutation(order)
        if self._bucketing:
            wobble = rng.uniform(0.95, 1.05, len(order)) if self._shuffle else 1.0
            order = order[np.argsort(self._lengths[order] * wobble, kind="stable")]
        batches = [batch.tolist() for batch in np.split(order, self._ends[:-1])]
        if self._shuffle and self._bucketing:
            batches = [batches[i] for i in rng.permutation(len(batches))]
        for i in range(self._rank, len(self) * self._world_size, self._world_size):
            yield batches[i % len(batches)]


class WeightedBatch(Batch):
    """A batch whose signals count differently in the loss."""

    weight: Tensor  # [B] float32


class _Draws:
    """The batches of an order as a loader asks for them: of each signal the epoch and its place in the data."""

    def __init__(self, order: BatchOrder, places: Sequence[int]) -> None:
        self._order, self._places = order, places
        self._skip = 0

    def set_epoch(self, epoch: int, skip: int = 0) -> None:
        """Choose the epoch that comes next, and how many of its batches have been already."""
        self._order.set_epoch(epoch)
        self._skip = skip

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch, skip, self._skip = self._order.epoch, self._skip, 0
        for batch in itertools.islice(self._order, skip, None):
            yield [(epoch, self._places[i]) for i in batch]


class _Drawn(Dataset[Any]):
    """Prepared data as training sees them: by the epoch and the place of a signal, with its weight where it has one."""

    def __init__(self, data: PreparedData) -> None:
        self._data = data
        # They count by their ratios; around 1 they are farthest from what float32 cannot hold.
        self._weights = None if data.weights is None else data.weights / data.weights[data.weights > 0].mean()

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, draw: tuple[int, int]) -> Any:
        epoch, place = draw
        x, y = self._data.drawn(place, epoch)
        return (x, y) if self._weights is None else (x, y, self._weights[place])


def _collate_weighed(items: Sequence[tuple[Any, Any, float]]) -> WeightedBatch:
    batch = collate_fn([(x, y) for x, y, _ in items])
    return WeightedBatch(**batch, weight=torch.tensor([weight for *_, weight in items], dtype=torch.float32))


@hinted
def make_loader(
    data: PreparedData,
    *,
    batch_size: int,
    shuffle: bool = False,
    bucketing: bool = False,
    seed: int = 42,
    rank: int = 0,
    world_size: int = 1,
) -> DataLoader[Batch]:
    """Batches of prepared data, for Lightning or a loop of one's own; each pass over it is one epoch.

    Parameters
    ----------
    data : PreparedData
        From `prepare`.
    batch_size : int
        Signals a batch; the last may be smaller.
    shuffle : bool
        Another order each epoch, drawn from `seed` and the epoch alone; False: the order of the data.
    bucketing : bool
        Put signals of similar length together, which saves padding; which ones, and in which order, is drawn with
        `shuffle`.
    seed : int
        Where the orders are drawn from.
    rank, world_size : int
        Which of how many processes this is: each has its own batches, all equally many (the first ones twice where
        they do not divide).

    Returns
    -------
    DataLoader
        Of `Batch`. Draws nothing from the global random state.

    Raises
    ------
    TypeError
        If `data` was not made by `prepare`, or `batch_size`, `seed`, `rank` or `world_size` is no integer.
    ValueError
        If `batch_size` or `world_size` is below 1, `seed` below 0, or `rank` not from 0 to world_size - 1.

    See Also
    --------
    prepare : signals and targets checked and shaped.
    training_step : the loss of a batch.

    Examples
    --------
    >>> import neurallib as nl, numpy as np
    >>> state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1)
    >>> data = nl.prepare(state, [(np.zeros((n, 1)), np.zeros((n, 1))) for n in (5, 9, 6, 8)])
    >>> [batch["lengths"].tolist() for batch in nl.make_loader(data, batch_size=2)]
    [[5, 9], [6, 8]]
    >>> [batch["lengths"].tolist() for batch in nl.make_loader(data, batch_size=2, bucketing=True)]
    [[5, 6], [8, 9]]
    """
    if not isinstance(data, PreparedData):
        raise TypeError(f"data is a {type(data).__name__}; expected what prepare(state, data) gives: checked signals.")
    if integer("rank", rank, minimum=0) >= integer("world_size", world_size):
        raise ValueError(f"rank={rank}; expected less than world_size={world_size}.")
    # A signal that weighs nothing is left out: a batch of such alone would be an optimizer step all the same.
    places = range(len(data)) if data.weights is None else np.flatnonzero(data.weights).tolist()
    order = BatchOrder(
        [data.lengths[i] for i in places],
        integer("batch_size", batch_size),
        shuffle=boolean("shuffle", shuffle),
        bucketing=boolean("bucketing", bucketing),
        seed=as_seed(seed),
        rank=rank,
        world_size=world_size,
    )
    # DataLoader draws a number for its workers, from the global generator unless it is given another.
    own: Any = {"generator": torch.Generator(), "collate_fn": collate_fn if data.weights is None else _collate_weighed}
    return DataLoader(_Drawn(data), batch_sampler=_Draws(order, places), **own)


def _tensor(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value.float() if value.is_floating_point() else value.long()
    array = as_array(value)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"an item holds {array.dtype}; expected floating-point or integer numbers.")
    # A copy, because torch takes neither memory-mapped arrays in silence nor those of another byte order or reversed.
    return torch.from_numpy(np.array(array, dtype=np.float32 if array.dtype.kind == "f" else np.int64, order="C"))
