"""A small log in which liking can be learned: each user likes one of two genres, and some items please nobody."""

from dataclasses import dataclass

import numpy as np

from genrec.data.interactions import Interactions
from genrec.domain import History, HistoryEntry, Item
from genrec.scoring.scorer import Scorer


@dataclass(frozen=True, eq=False)
class World:
    interactions: Interactions
    items: list[Item]
    vectors: np.ndarray

    def history(self, user):
        rows = range(*self.interactions.rows_of(user).indices(len(self.interactions)))
        log = self.interactions
        entries = [HistoryEntry(self.items[log.item[row]], log.timestamp[row], value=log.value[row]) for row in rows]
        return History(str(log.user_ids[user]), tuple(entries))


def make_world(seed=0, users=80, items=40, events=2400, shuffle=False):
    rng = np.random.default_rng(seed)
    genre = np.arange(items) % 2
    quality = rng.normal(0, 0.5, items)
    taste = rng.integers(0, 2, users)
    user, item = rng.integers(0, users, events), rng.integers(0, items, events)
    score = np.where(taste[user] == genre[item], 1.5, -1.5) + quality[item] + rng.normal(0, 0.5, events)
    value = np.where(score > 0, 5.0, 2.0)
    if shuffle:
        value = rng.permutation(value)
    log = Interactions.from_columns(
        np.array([f"u{n}" for n in range(users)], dtype=object),
        np.array([f"i{n}" for n in range(items)], dtype=object),
        user,
        item,
        np.sort(rng.uniform(0, 1e6, events)),
        value,
    )
    catalogue = [Item(f"i{n}", f"title {n}", {"genres": (f"g{genre[n]}",)}) for n in range(items)]
    vectors = rng.normal(size=(items, 8)) * 0.3
    vectors[:, 0] += genre
    return World(log, catalogue, vectors.astype(np.float32))


def retrieval_scorer(store, settings):
    """A scorer whose heads have seen nothing: its order is that of retrieval."""
    items = list(store.all_items())
    vectors = np.random.default_rng(0).normal(size=(len(items), 8)).astype(np.float32)
    return Scorer.of_log(store.interactions(), items, vectors, settings=settings)
