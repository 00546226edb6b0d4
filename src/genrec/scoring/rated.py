"""Rated rows as the like head reads them, described block by block by statistics of the time before each block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from genrec.data.histories import HistoryBatch, Index, as_of
from genrec.data.interactions import FloatArray, IntArray, Interactions
from genrec.data.item_statistics import ItemStatistics
from genrec.data.labels import Rows
from genrec.scoring.features import PAIR_FEATURES, Floats, pair_features, signals
from genrec.scoring.item_texts import ItemTexts
from genrec.text.encoders import Progress

BLOCKS = 8
"""Training rows are cut into this many blocks by time."""
FEWEST_ROWS = 200
"""With fewer rated rows there is no like head."""
MAX_ROWS = 200_000
"""The newest rated rows that are learned from."""
_CHUNK = 4096


@dataclass(frozen=True, eq=False)
class RatedPairs:
    """R rated rows: `query` [R] is the row of histories with signals [Q, H, 2]; `pairs` [R, F], `label` [R]."""

    histories: HistoryBatch
    signal: Floats
    query: Index
    item: IntArray
    pairs: Floats
    label: FloatArray

    def __len__(self) -> int:
        return len(self.label)

    @classmethod
    def joined(cls, parts: Sequence[RatedPairs]) -> RatedPairs:
        """All rows of all parts, in order."""
        starts = np.cumsum([0, *(len(part.histories) for part in parts)])
        return cls(
            HistoryBatch.joined([part.histories for part in parts]),
            np.concatenate([part.signal for part in parts]),
            np.concatenate([part.query + start for part, start in zip(parts, starts[:-1], strict=True)]),
            np.concatenate([part.item for part in parts]),
            np.concatenate([part.pairs for part in parts]),
            np.concatenate([part.label for part in parts]),
        )

    @classmethod
    def of(
        cls, statistics: ItemStatistics, texts: ItemTexts, interactions: Interactions, rows: Rows, length: int
    ) -> RatedPairs:
        """Labelled rows with what their users had done before; rows of one user and moment share their history."""
        keys = np.stack([rows.user.astype(np.float64), rows.now], axis=1)
        _, first, query = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        query = query.reshape(-1)
        h = as_of(interactions, rows.user[first], rows.now[first], length)
        pairs = np.zeros((len(rows), len(PAIR_FEATURES)), dtype=np.float32)
        order = np.argsort(query, kind="stable")
        starts = np.searchsorted(query[order], np.arange(0, len(h) + _CHUNK, _CHUNK))
        for start, mine in zip(range(0, len(h), _CHUNK), np.split(order, starts[1:-1]), strict=True):
            part = h.take(np.arange(start, min(start + _CHUNK, len(h))))
            pairs[mine] = pair_features(statistics, texts, part, query[mine] - start, rows.item[mine])
        return cls(h, signals(statistics, h), query, rows.item, pairs, rows.label)


def rated_pairs(
    interactions: Interactions,
    rated: Rows,
    rates: Rows,
    texts: ItemTexts,
    liked: float,
    length: int,
    validation_fraction: float = 0.1,
    progress: Progress | None = None,
) -> Iterator[RatedPairs]:
    """The newest rated rows by blocks in order of time, the last of them for calibration; none where they are too few.

    `rates` are the rows that rates of items are counted in. The first block has nothing before it that could describe
    it, and is left out. Rows of one moment stay together.
    """
    rated = rated.take(slice(max(0, len(rated) - MAX_ROWS), None))
    if len(rated) < FEWEST_ROWS:
        return
    cut = 1 - validation_fraction
    edges = [rated.now[int(len(rated) * share)] for share in (*np.linspace(0, cut, BLOCKS + 1)[1:-1], cut)]
    of_row = np.searchsorted(np.unique(edges), rated.now, "right")
    blocks = [rated.take(of_row == block) for block in np.unique(of_row)]
    if len(blocks) < 3 or not blocks[-1].has_both:
        return
    for number, block in enumerate(blocks[1:], start=1):
        if progress:
            progress("features of rated rows", number, len(blocks) - 1)
        statistics = ItemStatistics.fit(interactions, rates, liked, until=float(block.now[0]))
        yield RatedPairs.of(statistics, texts, interactions, block, length)
