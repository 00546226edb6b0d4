"""Train and test: global temporal (the default) and leave-one-out. A split of the training part is the validation."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genrec.data.interactions import BoolArray, FloatArray, IntArray, Interactions
from genrec.errors import DataError


@dataclass(frozen=True, eq=False)
class Split:
    """`train` may be fitted on and is what test users have as history; `users` [m] are the test users.

    `targets` has, for each test user, the positions of the items to be found (without those in the history).
    `now` [m] is the time of each request. `leaks` says that `train` has events later than some request.
    """

    name: str
    train: Interactions
    users: IntArray
    targets: tuple[IntArray, ...]
    now: FloatArray
    leaks: bool

    def restrict(self, user_ids: Sequence[str]) -> Split:
        """Only the given test users, in the order of the split; ids that are no test users are ignored."""
        wanted = set(user_ids)
        keep = [row for row, user in enumerate(self.users) if self.train.user_ids[user] in wanted]
        return Split(
            self.name,
            self.train,
            self.users[keep],
            tuple(self.targets[row] for row in keep),
            self.now[keep],
            self.leaks,
        )


def leave_one_out(interactions: Interactions) -> Split:
    """Holds out the last event of every user that says no to nothing, if there is one before it.

    What the user did after it is left out. Leaks across users: others' later events are known.
    """
    last = last_positive(interactions)
    last = last[last > interactions.indptr[interactions.user[last]]]
    keep = np.ones(len(interactions), dtype=np.bool_)
    for row in last:
        keep[row : interactions.indptr[interactions.user[row] + 1]] = False
    return _split("leave-one-out", interactions, keep, last, leaks=True)


def temporal(interactions: Interactions, test_fraction: float = 0.1) -> Split:
    """Holds out the latest `test_fraction` of all events, at one point in time for everyone.

    What says no to its item (a dislike, a low rating) is held out too, but is nothing to be found. Test users are
    those with events on both sides. The request is made at the point in time itself.
    """
    if len(interactions) < 10:
        raise DataError("a temporal split needs at least 10 events", "import more data, or use --split leave-one-out")
    cut = float(np.quantile(interactions.timestamp, 1 - test_fraction, method="higher"))
    keep = interactions.timestamp < cut
    if not keep.any():
        raise DataError("all events have the same timestamp", "use --split leave-one-out, or bring timestamps")
    return _split("temporal", interactions, keep, np.flatnonzero(~keep & ~interactions.noes), leaks=False, now=cut)


def last_positive(interactions: Interactions) -> npt.NDArray[np.int64]:
    """Row of the last event of each user that says no to nothing; users without one are left out."""
    rows = np.flatnonzero(~interactions.noes)
    user = interactions.user[rows]
    last: npt.NDArray[np.int64] = rows[np.append(user[1:] != user[:-1], True)[: len(rows)]]
    return last


def by_name(name: str, interactions: Interactions) -> Split:
    """The split of that name: 'temporal' or 'leave-one-out'."""
    splits = {"temporal": temporal, "leave-one-out": leave_one_out}
    if name not in splits:
        raise DataError(f"there is no split {name!r}", f"choose one of: {', '.join(splits)}")
    return splits[name](interactions)


def validation_mask(user_ids: Iterable[str], fraction: float = 0.2, seed: int = 0) -> BoolArray:
    """Which users [U] are for validation: about `fraction` of them.

    Decided by a hash of seed and id alone, so a user stays on their side whatever the log has beside. Adapters never
    learn from these users; the weight of the language model is learned on them only.
    """
    key = f"genrec validation {seed}".encode()
    hashes = (hashlib.blake2b(str(user).encode(), digest_size=8, key=key).digest() for user in user_ids)
    return np.array([int.from_bytes(digest, "big") < fraction * 2**64 for digest in hashes], dtype=np.bool_)


def _split(
    name: str,
    interactions: Interactions,
    keep: npt.NDArray[np.bool_],
    held_out: npt.NDArray[np.int64],
    *,
    leaks: bool,
    now: float | None = None,
) -> Split:
    train = interactions.select(keep)
    users, targets, times = [], [], []
    rows_of_user = np.split(held_out, np.flatnonzero(np.diff(interactions.user[held_out])) + 1)
    for rows in rows_of_user:
        if not len(rows):
            continue
        user = int(interactions.user[rows[0]])
        seen = train.item[train.rows_of(user)]
        target = np.unique(interactions.item[rows])
        target = target[~np.isin(target, seen)]
        if len(seen) and len(target):
            users.append(user)
            targets.append(target)
            times.append(now if now is not None else float(interactions.timestamp[rows[0]]))
    return Split(name, train, np.array(users, dtype=np.int32), tuple(targets), np.array(times, dtype=np.float64), leaks)
