"""What an edit does to the order that users see: how far lists agree, how often the top changes, what moves most."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genrec.errors import DataError
from genrec.evaluation import significance
from genrec.reranking.validity import agreement

MOVERS = 10


@dataclass(frozen=True, slots=True)
class Mover:
    """An item, in how many of the users' slates it is, and how many places it went up on average (below 0: down)."""

    item_id: str
    slates: int
    places: float


@dataclass(frozen=True, slots=True)
class RankChanges:
    """How the same slates of several users are ordered by two templates.

    `tau` is Kendall's tau-b between the two orders, averaged over users, with its bootstrap interval. `top_1` and
    `top_k` are shares of users with another item on top, and with other items among the first k; `replaced` is the mean
    share of the first k that others have taken. `movers` are the items with the largest sum of places moved in one
    direction.
    """

    users: int
    k: int
    tau: float | None
    tau_ci: tuple[float, float] | None
    top_1: float
    top_k: float
    replaced: float
    movers: tuple[Mover, ...]


def rank_changes(before: Sequence[Sequence[str]], after: Sequence[Sequence[str]], k: int = 10) -> RankChanges:
    """Compares two orders of item ids, best first, of the same slate for each user. Slates without items are left out.

    DataError if no user has a slate.
    """
    pairs = [(old, new) for old, new in zip(before, after, strict=True) if old or new]
    if not pairs:
        raise DataError("no user has anything to rank", "look at the candidates: genrec eval retrieval")
    taus, replaced = [], []
    moved: dict[str, list[int]] = defaultdict(list)
    for old, new in pairs:
        place = {item: rank for rank, item in enumerate(new)}
        shared = [item for item in old if item in place]
        taus.append(agreement([float(old.index(item)) for item in shared], [float(place[item]) for item in shared]))
        replaced.append(len(set(old[:k]) - set(new[:k])) / max(1, len(old[:k])))
        for rank, item in enumerate(old):
            if item in place:
                moved[item].append(rank - place[item])
    known = np.array([tau for tau in taus if tau is not None])
    ends = significance.interval(significance.bootstrap_means(known[:, None])) if len(known) else None
    most = sorted(moved.items(), key=lambda one: (-abs(sum(one[1])), one[0]))[:MOVERS]
    return RankChanges(
        users=len(pairs),
        k=k,
        tau=round(float(known.mean()), 6) if len(known) else None,
        tau_ci=None if ends is None else (round(float(ends[0][0]), 6), round(float(ends[1][0]), 6)),
        top_1=_share([old[:1] != new[:1] for old, new in pairs]),
        top_k=_share([share > 0 for share in replaced]),
        replaced=round(float(np.mean(replaced)), 6),
        movers=tuple(Mover(item, len(by), round(float(np.mean(by)), 2)) for item, by in most if sum(by)),
    )


def _share(which: Sequence[bool]) -> float:
    return round(float(np.mean(which)), 6)
