"""Histories of many queries as padded columns: what every feature and the attention of the model read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from genrec.data.interactions import BoolArray, FloatArray, IntArray, Interactions

Index = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Histories:
    """The newest H events of Q queries, oldest first and right-aligned: column H - 1 is the newest.

    `item`, `timestamp` and `value` are [Q, H] (value NaN where there is none), `mask` [Q, H] says where there is an
    event, `now` [Q] is the time of each query.
    """

    item: IntArray
    timestamp: FloatArray
    value: FloatArray
    mask: BoolArray
    now: FloatArray

    def __len__(self) -> int:
        return len(self.now)

    def take(self, rows: Index) -> Histories:
        """The given queries."""
        return Histories(self.item[rows], self.timestamp[rows], self.value[rows], self.mask[rows], self.now[rows])

    @classmethod
    def joined(cls, parts: Sequence[Histories]) -> Histories:
        """All queries of all parts, in order."""
        names = ("item", "timestamp", "value", "mask", "now")
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def spans(interactions: Interactions, user: IntArray, now: FloatArray) -> tuple[Index, Index]:
    """First row and row after the last [Q] of the events of `user` [Q] strictly before `now` [Q].

    Strictly: an event never sees itself, nor others of the same moment. A user of -1 has no events.
    """
    moments, moment_of = np.unique(interactions.timestamp, return_inverse=True)
    stride = len(moments) + 1
    keys = interactions.user.astype(np.int64) * stride + moment_of
    end = np.searchsorted(keys, user.astype(np.int64) * stride + np.searchsorted(moments, now, "left"), "left")
    return np.where(user >= 0, interactions.indptr[np.maximum(user, 0)], end), end


def as_of(interactions: Interactions, user: IntArray, now: FloatArray, length: int) -> Histories:
    """Histories of `user` [Q] as of `now` [Q], see `spans`. Time grows with log(n) for each query."""
    start, end = spans(interactions, user, now)
    rows = end[:, None] - length + np.arange(length)
    mask = rows >= start[:, None]
    if not len(interactions):
        empty = np.zeros(rows.shape)
        return Histories(empty.astype(np.int32), empty, np.full(rows.shape, np.nan), np.zeros_like(mask), now)
    rows = np.where(mask, rows, 0)
    return Histories(
        np.where(mask, interactions.item[rows], 0).astype(np.int32),
        np.where(mask, interactions.timestamp[rows], 0.0),
        np.where(mask, interactions.value[rows], np.nan),
        mask,
        now,
    )


def single(item: IntArray, timestamp: FloatArray, value: FloatArray, now: float, length: int) -> Histories:
    """One query from its columns [n], oldest first; the newest `length` of them count."""
    n = min(len(item), length)

    def pad(column: npt.NDArray[Any], fill: float) -> npt.NDArray[Any]:
        row = np.full((1, length), fill, dtype=column.dtype)
        if n:
            row[0, length - n :] = column[-n:]
        return row

    mask = np.arange(length)[None, :] >= length - n
    return Histories(
        pad(item.astype(np.int32), 0), pad(timestamp, 0.0), pad(value, np.nan), mask, np.array([now], dtype=np.float64)
    )
