"""The event log as columns: what retrievers, the click scorer and the evaluation are fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from genrec.data.event_types import NEUTRAL, EventTypes
from genrec.data.ratings import NONE, RatingScale, polarities
from genrec.domain import History, HistoryEntry, Item

IntArray = npt.NDArray[np.int32]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

EARLIEST_CLOCK = 1e8
"""Smaller timestamps (before March 1973) are positions in a sequence, not seconds since the epoch."""


@dataclass(frozen=True, eq=False)
class Interactions:
    """n events of U users over I items, sorted stably by (user, timestamp, order of arrival).

    `user_ids` [U] and `item_ids` [I] are arrays of text; `item_ids` holds the WHOLE catalogue, in the order of the
    store, touched or not. `user` [n] and `item` [n] are positions in them, `event_type` [n] in `event_types`.
    `value` [n] is how the item was liked on `scale`, NaN where an event does not say (see `RatingScale.values`);
    `raw` [n] is the number that came with it, whatever it means.
    `indptr` [U + 1]: the events of user u are rows indptr[u] to indptr[u + 1].
    """

    user_ids: npt.NDArray[np.object_]
    item_ids: npt.NDArray[np.object_]
    user: IntArray
    item: IntArray
    timestamp: FloatArray
    value: FloatArray
    indptr: npt.NDArray[np.int64]
    event_type: IntArray
    event_types: tuple[str, ...]
    raw: FloatArray
    scale: RatingScale = NONE

    @classmethod
    def from_columns(
        cls,
        user_ids: npt.NDArray[np.object_],
        item_ids: npt.NDArray[np.object_],
        user: npt.NDArray[Any],
        item: npt.NDArray[Any],
        timestamp: npt.NDArray[Any],
        value: npt.NDArray[Any] | None = None,
        event_type: npt.NDArray[Any] | None = None,
        event_types: tuple[str, ...] = ("interaction",),
        scale: RatingScale | None = None,
    ) -> Interactions:
        """Sorts rows that stand in order of arrival. Without `event_type` all are of the first of `event_types`.

        Without `scale` all values are ratings, on the scale on which they are seen.
        """
        order = np.lexsort((timestamp, user))
        user = user[order].astype(np.int32)
        values = np.full(len(user), np.nan) if value is None else value[order].astype(np.float64)
        return cls(
            user_ids,
            item_ids,
            user,
            item[order].astype(np.int32),
            timestamp[order].astype(np.float64),
            values,
            _row_pointers(user, len(user_ids)),
            np.zeros(len(user), np.int32) if event_type is None else event_type[order].astype(np.int32),
            event_types,
            values,
            _seen(values) if scale is None else scale,
        )

    def __len__(self) -> int:
        return len(self.user)

    @property
    def n_users(self) -> int:
        """Number of users, with or without events."""
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        """Number of items in the catalogue."""
        return len(self.item_ids)

    @cached_property
    def noes(self) -> BoolArray:
        """Which events [n] say no to their items: dislikes, skips, and ratings that are low for scale and user."""
        return self.scale.noes(self.value, self.user)

    def positive(self) -> Interactions:
        """Without the events that say no."""
        return self.select(~self.noes) if self.noes.any() else self

    def as_meant(self, types: EventTypes, scale: RatingScale) -> Interactions:
        """Raw events as they are meant: types by their known names, values on `scale`, without what was only shown."""
        names = tuple(types.named(name) for name in self.event_types)
        value, keep = self.raw.copy(), np.ones(len(self), dtype=np.bool_)
        for kind, name in enumerate(names):
            rows = self.event_type == kind
            value[rows] = scale.values(name, self.raw[rows])
            keep[rows] = polarities(name, self.raw[rows]) != NEUTRAL
        meant = replace(self, value=value, event_types=names, scale=scale)
        return meant if keep.all() else meant.select(keep)

    def rows_of(self, user: int) -> slice:
        """Rows of one user, oldest first."""
        return slice(int(self.indptr[user]), int(self.indptr[user + 1]))

    def history(self, user: int, items: Sequence[Item]) -> History:
        """What one user did, as the store's `history` gives it. `items` is the catalogue in the order of `item_ids`."""
        rows = self.rows_of(user)
        columns = (self.item[rows], self.timestamp[rows], self.event_type[rows], self.raw[rows])
        return History(
            str(self.user_ids[user]),
            tuple(
                HistoryEntry(items[item], timestamp, self.event_types[kind], None if np.isnan(value) else value)
                for item, timestamp, kind, value in zip(*(column.tolist() for column in columns), strict=True)
            ),
        )

    def select(self, keep: BoolArray) -> Interactions:
        """The rows where `keep` [n] holds; users and items keep their positions."""
        user = self.user[keep]
        return replace(
            self,
            user=user,
            item=self.item[keep],
            timestamp=self.timestamp[keep],
            value=self.value[keep],
            raw=self.raw[keep],
            event_type=self.event_type[keep],
            indptr=_row_pointers(user, self.n_users),
        )


def _seen(value: FloatArray) -> RatingScale:
    known = value[~np.isnan(value)]
    return RatingScale.of(float(known.min()), float(known.max())) if len(known) else NONE


def _row_pointers(sorted_user: IntArray, n_users: int) -> npt.NDArray[np.int64]:
    return np.concatenate(([0], np.cumsum(np.bincount(sorted_user, minlength=n_users)))).astype(np.int64)
