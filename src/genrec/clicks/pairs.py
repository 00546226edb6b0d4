"""(history, item) pairs as the click network reads them: histories, their signals, and the plain features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from genrec.clicks.features import FEATURES, pair_features
from genrec.clicks.histories import Histories, Index, as_of
from genrec.clicks.labels import Rows, event_labels
from genrec.clicks.statistics import ItemSide, Statistics
from genrec.data.interactions import IntArray, Interactions

Floats = npt.NDArray[np.float32]
_CHUNK = 4096


@dataclass(frozen=True, eq=False)
class Pairs:
    """R (history, item) pairs: `query` [R] is the row of `histories`, `features` [R, F], `signal` [Q, H, 2].

    The signal of an event is its residual (how much more than the item's mean it was valued) and its label.
    """

    histories: Histories
    signal: Floats
    query: Index
    item: IntArray
    features: Floats

    def __len__(self) -> int:
        return len(self.query)

    def batch(self, vectors: Floats, rows: Index) -> tuple[npt.NDArray[Any], ...]:
        """What the network reads of some pairs: history vectors, signals, mask, query rows, item vectors, features."""
        queries, query = np.unique(self.query[rows], return_inverse=True)
        item = self.histories.item[queries]
        mask = self.histories.mask[queries]
        return vectors[item], self.signal[queries], mask, query, vectors[self.item[rows]], self.features[rows]

    @classmethod
    def joined(cls, parts: list[Pairs]) -> Pairs:
        """All pairs of all parts, in order."""
        starts = np.cumsum([0, *(len(part.histories) for part in parts)])
        return cls(
            Histories.joined([part.histories for part in parts]),
            np.concatenate([part.signal for part in parts]),
            np.concatenate([part.query + start for part, start in zip(parts, starts[:-1], strict=True)]),
            np.concatenate([part.item for part in parts]),
            np.concatenate([part.features for part in parts]),
        )


def pairs_of(statistics: Statistics, side: ItemSide, h: Histories, query: Index, item: IntArray) -> Pairs:
    """Pairs of `query` [R], rows of the histories, and `item` [R], positions of items."""
    label = event_labels(h.value, statistics.liked) * h.mask
    residual = statistics.residual(h.item, h.value) * h.mask
    signal = np.stack([residual, label], axis=-1).astype(np.float32)
    return Pairs(h, signal, query, item, pair_features(statistics, side, h, query, item))


def describe(statistics: Statistics, side: ItemSide, interactions: Interactions, rows: Rows, length: int) -> Pairs:
    """Pairs of labelled rows; rows of one user and moment share their history."""
    keys = np.stack([rows.user.astype(np.float64), rows.now], axis=1)
    _, first, query = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    query = query.reshape(-1)
    h = as_of(interactions, rows.user[first], rows.now[first], length)
    order = np.argsort(query, kind="stable")
    table = np.zeros((len(rows), len(FEATURES)), dtype=np.float32)
    signal = []
    starts = np.searchsorted(query[order], np.arange(0, len(h) + _CHUNK, _CHUNK))
    for number, queries in enumerate(chunks(len(h), _CHUNK)):
        mine = order[starts[number] : starts[number + 1]]
        part = pairs_of(statistics, side, h.take(queries), query[mine] - queries[0], rows.item[mine])
        table[mine] = part.features
        signal.append(part.signal)
    return Pairs(h, np.concatenate(signal), query, rows.item, table)


def chunks(n: int, size: int) -> list[Index]:
    """The numbers 0 to n - 1 in pieces of `size`."""
    return [np.arange(start, min(start + size, n)) for start in range(0, n, size)]
