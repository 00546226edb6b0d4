"""Which events examples are made of: the last liked ones of each user, held out of what retrieval is fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genrec.data.interactions import Interactions
from genrec.data.labels import event_labels
from genrec.data.splits import validation_mask
from genrec.domain import History, Item
from genrec.errors import DataError

Index = npt.NDArray[np.int64]

ENOUGH = 6_000
"""So many examples are wanted: where users are few, each gives more of them."""
ENOUGH_VALIDATION = 1_000
MOST_PER_USER = 20
MOST_VALIDATION = 5_000


@dataclass(frozen=True, eq=False)
class HeldOutPositions:
    """A log, what is left of it to fit on, and the rows (in the whole log) of the events that are to be foreseen.

    `train` [P] are rows of training users, `validation` [V] of validation users, up to a few each: the last one of each
    user in a seeded random order, then the one before it, and so on. From the earliest held-out row of a user on, none
    of their events is in `rest`.
    """

    whole: Interactions
    rest: Interactions
    train: Index
    validation: Index

    def request(self, row: int, items: Sequence[Item]) -> tuple[History, float]:
        """What the user of a row had done before it (all of it, held out or not), and the time of the request."""
        user = int(self.whole.user[row])
        history = self.whole.history(user, items)
        before = row - self.whole.rows_of(user).start
        return History(history.user_id, history.entries[:before]), float(self.whole.timestamp[row])

    def later(self, row: int) -> slice:
        """Rows of what the user did after a row."""
        return slice(row + 1, self.whole.rows_of(int(self.whole.user[row])).stop)


def hold_out(
    interactions: Interactions,
    liked: float,
    *,
    per_user: int | None = None,
    most: int = 10_000,
    validation_fraction: float = 0.2,
    seed: int = 0,
) -> HeldOutPositions:
    """Holds out the last `per_user` liked events of each training user, and the last of each validation user.

    An event counts if it is liked (`data.labels.event_labels`), does not say no to its item, is not the first of its
    user, and is about an item new to them, as retrieval does not propose what was seen. Without `per_user` each user
    gives as many as make ENOUGH examples, and validation users more than one if they are so few that ENOUGH_VALIDATION
    are not reached; at most MOST_PER_USER, and a third of their events, so that enough is left to fit on. `most` bounds
    the training positions; users are drawn with the seed. DataError if there are none.
    """
    mask = validation_mask(interactions.user_ids, validation_fraction)
    fresh = _fresh(interactions) & (event_labels(interactions.value, liked) > 0)
    no = interactions.noes
    keep = np.ones(len(interactions), dtype=np.bool_)
    order = np.random.default_rng(seed).permutation(interactions.n_users)
    some = np.diff(interactions.indptr) > 1

    def last(users: npt.NDArray[np.integer], each: int, most: int) -> Index:
        found: list[tuple[int, int]] = []
        for user in users:
            if len(found) >= most:
                break
            rows = interactions.rows_of(int(user))
            third = max(1, (rows.stop - rows.start) // 3)
            chosen = rows.start + np.flatnonzero(fresh[rows])[-min(each, third) :]
            chosen = chosen[~no[chosen]]  # afterwards, so that many noes do not push the others far into the past
            if len(chosen):
                keep[chosen[0] : rows.stop] = False
                found += enumerate(chosen[::-1].tolist())
        return np.array([row for _, row in sorted(found, key=lambda pair: pair[0])], dtype=np.int64)

    def share(users: npt.NDArray[np.integer], enough: int) -> int:
        return min(MOST_PER_USER, -(-enough // max(1, len(users))))

    training, validating = order[(some & ~mask)[order]], order[(some & mask)[order]]
    train = last(training, per_user or share(training, ENOUGH), most)
    validation = last(validating, share(validating, ENOUGH_VALIDATION), MOST_VALIDATION)
    if not len(train) or not keep.any():
        raise DataError("no user has a liked event behind another one", "import more events to learn from")
    return HeldOutPositions(interactions, interactions.select(keep), train[:most], validation)


def _fresh(interactions: Interactions) -> npt.NDArray[np.bool_]:
    """Rows [n] that are the first of their user about their item, and not their first at all."""
    keys = interactions.user.astype(np.int64) * interactions.n_items + interactions.item
    fresh = np.zeros(len(keys), dtype=np.bool_)
    fresh[np.unique(keys, return_index=True)[1]] = True
    fresh[interactions.indptr[:-1][np.diff(interactions.indptr) > 0]] = False
    return fresh
