"""What an evaluation holds out: the plain splits, and those for items or users of which little is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from genrec.data.interactions import EARLIEST_CLOCK, FloatArray, IntArray, Interactions
from genrec.data.splits import Split, by_name, last_positive, validation_mask
from genrec.errors import DataError

COLD_USER_SEED = 1
"""Which users `cold-users` of leave-one-out holds out: others than those on whom settings are chosen."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """A split, and the part of the log that may be fitted on, which for cold users is less than what is known of them.

    `split.train` is what is known of the test users at the time of the request. `validation` is the kind of the split
    to choose settings on within `fit_on`. `trained_on` names the training part (see the cards of adapters) with which
    `fit_on` agrees; None if it agrees with none.
    """

    split: Split
    fit_on: Interactions
    validation: str
    trained_on: str | None


def held_out(name: str, interactions: Interactions, *, of: str = "temporal", at_most: int | None = None) -> HeldOut:
    """The split of that name; `of` and `at_most` are for the cold ones. DataError if there is none of that name.

    temporal, leave-one-out: see `genrec.data.splits`.
    cold-items: the targets of the split `of` with at most `at_most` events in the training part (default 5).
    cold-users: users with at most `at_most` events (default 0) in the training part of the temporal split; their last
    event is to be found, and all earlier ones are known at the request, though nothing is fitted on those after the
    split. `of: leave-one-out`, for logs without a clock: a fifth of the users, none of whose events are fitted on.
    """
    if name in ("temporal", "leave-one-out"):
        split = by_name(name, interactions)
        return HeldOut(split, split.train, name, name)
    if name not in COLD:
        raise DataError(f"there is no split {name!r}", f"choose one of: {', '.join(NAMES)}")
    return COLD[name](interactions, of, at_most)


def cold_items(interactions: Interactions, of: str, at_most: int | None) -> HeldOut:
    """See `held_out`."""
    split = by_name(of, interactions)
    few = 5 if at_most is None else at_most
    cold = np.bincount(split.train.item, minlength=split.train.n_items) <= few
    targets = [target[cold[target]] for target in split.targets]
    rows = np.array([row for row, target in enumerate(targets) if len(target)], dtype=np.int64)
    chosen = replace(
        split,
        name="cold-items",
        users=split.users[rows],
        targets=tuple(targets[row] for row in rows),
        now=split.now[rows],
    )
    return HeldOut(chosen, split.train, of, of)


def cold_users(interactions: Interactions, of: str, at_most: int | None) -> HeldOut:
    """See `held_out`."""
    counts = np.diff(interactions.indptr)
    if of == "temporal":
        train = by_name(of, interactions).train
        known, trained_on = np.diff(train.indptr), of
        chosen = (known <= (at_most or 0)) & (counts > known)
    else:
        chosen = validation_mask(interactions.user_ids, fraction=0.2, seed=COLD_USER_SEED) & (counts > 0)
        train, trained_on = interactions.select(~chosen[interactions.user]), None
        known = np.diff(train.indptr)
    last = last_positive(interactions)
    last = last[chosen[interactions.user[last]]]
    last = last[last >= interactions.indptr[interactions.user[last]] + known[interactions.user[last]]]
    users = interactions.user[last]
    # Training events of a user come before all others of theirs.
    place = np.arange(len(interactions)) - interactions.indptr[interactions.user]
    keep = chosen[interactions.user] | (place < known[interactions.user])
    for row in last:
        keep[row : interactions.indptr[interactions.user[row] + 1]] = False
    given = interactions.select(keep)
    new = [
        item not in given.item[given.rows_of(user)] for user, item in zip(users, interactions.item[last], strict=True)
    ]
    users, last = users[new], last[new]
    split = Split(
        "cold-users",
        given,
        users,
        tuple(interactions.item[row : row + 1] for row in last),
        interactions.timestamp[last],
        leaks=of != "temporal",
    )
    return HeldOut(split, train, of, trained_on)


COLD: Mapping[str, Callable[[Interactions, str, int | None], HeldOut]] = {
    "cold-items": cold_items,
    "cold-users": cold_users,
}
NAMES = ("temporal", "leave-one-out", *COLD)
"""Splits that `held_out` knows."""


def request_times(interactions: Interactions, split: Split) -> FloatArray | None:
    """When each test user did the first thing that is held out [m], in seconds; None where the log has no clock.

    `interactions` is the whole log, `split` any split of it. For requests by time of day: a temporal split asks for
    everybody at one moment, and what users did next says when they would have asked.
    """
    if float(interactions.timestamp.min(initial=np.inf)) < EARLIEST_CLOCK:
        return None
    users = split.users
    known = split.train.indptr[users + 1] - split.train.indptr[users]
    times: FloatArray = interactions.timestamp[interactions.indptr[users] + known]
    return times


def hours(times: FloatArray) -> IntArray:
    """Hour of the day [m], 0 to 23 in UTC."""
    return (times // 3600 % 24).astype(np.int32)
