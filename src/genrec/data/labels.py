"""Labels of scoring: what counts as liked in ratings, and what was clicked of what was shown."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genrec.data.histories import Index
from genrec.data.interactions import FloatArray, IntArray, Interactions
from genrec.data.store import Exposure

ENOUGH_CLICKS = 200
"""Exposures say what P(click) is once this many of their items were clicked; before that they say too little."""


@dataclass(frozen=True, eq=False)
class Rows:
    """R labelled rows in order of time: `user` [R] (-1: unknown), `item` [R], `now` [R], `label` [R] in {0, 1}."""

    user: IntArray
    item: IntArray
    now: FloatArray
    label: FloatArray

    def __len__(self) -> int:
        return len(self.label)

    @property
    def has_both(self) -> bool:
        """Whether there are rows of both labels."""
        return bool(len(self)) and bool(self.label.min() < self.label.max())

    def take(self, rows: Index | slice | npt.NDArray[np.bool_]) -> Rows:
        """The given rows."""
        return Rows(self.user[rows], self.item[rows], self.now[rows], self.label[rows])

    def in_time(self) -> Rows:
        """The same rows, sorted stably by time."""
        return self.take(np.argsort(self.now, kind="stable"))


def rated_rows(interactions: Interactions, liked: float) -> Rows:
    """Events with a value, 1 where it is at least `liked`; no rows where the log is not a rated one.

    A log counts as rated if most of its events carry a value, and some of them are below `liked` and some not.
    """
    rated = ~np.isnan(interactions.value)
    log = interactions.select(rated if len(rated) and rated.mean() > 0.5 else np.zeros_like(rated))
    rows = Rows(log.user, log.item, log.timestamp, (log.value >= liked).astype(np.float64)).in_time()
    return rows if rows.has_both else rows.take(slice(0))


def shown_rows(interactions: Interactions, exposures: Iterable[tuple[Exposure, Collection[str]]]) -> Rows:
    """Shown items, 1 where they were clicked; no rows below ENOUGH_CLICKS. `exposures` come with clicked item ids."""
    user_of = {user: position for position, user in enumerate(interactions.user_ids)}
    item_of = {item: position for position, item in enumerate(interactions.item_ids)}
    found = [
        (user_of.get(exposure.user_id, -1), item_of[item], exposure.timestamp, float(item in clicked))
        for exposure, clicked in exposures
        for item in exposure.item_ids
        if item in item_of
    ]
    user, item, now, label = np.array(found, dtype=np.float64).reshape(-1, 4).T
    rows = Rows(user.astype(np.int32), item.astype(np.int32), now, label).in_time()
    return rows if label.sum() >= ENOUGH_CLICKS else rows.take(slice(0))


def event_labels(value: FloatArray, liked: float) -> FloatArray:
    """Labels of events by their values, any shape: 1 from `liked` on and where there is no value, else 0."""
    return np.where(np.isnan(value), 1.0, value >= liked).astype(np.float64)
