"""Slates of real users and real titles on which attacks are tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genrec.data.store import Store
from genrec.domain import Candidate, Candidates, History
from genrec.errors import DataError
from genrec.evaluation.injection.schema import Slates
from genrec.ranking.base import RankingTask


@dataclass(frozen=True, eq=False)
class PlainSlate:
    """What is ranked before anything is attacked: a history, a slate, and the seed of its label orders."""

    user_id: str
    task: RankingTask


def draw_slates(store: Store, spec: Slates, users: Sequence[str] | None = None) -> list[PlainSlate]:
    """Slates of a seeded sample of the users (of the given ones) with enough events, one for each user.

    Candidates are drawn by popularity from what the user has not touched. DataError where there are no such users, or
    too few items.
    """
    log, items = store.interactions(), list(store.all_items())
    events = np.diff(log.indptr)
    enough = np.flatnonzero(events >= spec.history)
    if users is not None:
        wanted = set(users)
        enough = np.array([user for user in enough if str(log.user_ids[user]) in wanted], dtype=np.int64)
    if not len(enough):
        raise DataError(f"no user has {spec.history} events", "lower slates.history in the suite, or import more data")
    generator = np.random.default_rng(spec.seed)
    chosen = np.sort(generator.choice(enough, min(spec.users, len(enough)), replace=False))
    popularity = np.bincount(log.item, minlength=log.n_items).astype(np.float64)
    slates = []
    for number, user in enumerate(chosen.tolist()):
        weight = popularity.copy()
        weight[log.item[log.rows_of(user)]] = 0
        if np.count_nonzero(weight) < spec.candidates:
            raise DataError(
                f"the catalogue has no {spec.candidates} items that a user has not touched",
                "lower slates.candidates in the suite, or import more data",
            )
        drawn = generator.choice(log.n_items, spec.candidates, replace=False, p=weight / weight.sum())
        history = log.history(user, items)
        task = RankingTask(
            History(history.user_id, history.entries[-spec.history :]),
            Candidates(tuple(Candidate(items[item], -float(place)) for place, item in enumerate(drawn.tolist()))),
            seed=number,
        )
        slates.append(PlainSlate(str(log.user_ids[user]), task))
    return slates
