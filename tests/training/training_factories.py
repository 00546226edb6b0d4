"""A small log with two tastes, its positions, and what retrieval proposes for them: enough to make examples of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from genrec.data.interactions import FloatArray, Interactions
from genrec.domain import Candidates, History, Item
from genrec.fitting.holdout import HeldOutPositions, Index, hold_out
from genrec.retrieval.hybrid import HybridRetriever
from genrec.retrieval.tuning import fit_hybrid
from genrec.settings import Settings
from genrec.training.examples import ExampleSettings, SlateSource
from genrec.training.pools import TrainingPools

SETTINGS = Settings(retrieval={"retrievers": ("covisit", "popular"), "pool": 30, "candidates": 8})


def log_of(rows: list[tuple[str, str, float]], items: list[str], values: list[float] | None = None) -> Interactions:
    """Events (user, item, time) over a catalogue."""
    users = sorted({user for user, _, _ in rows})
    return Interactions.from_columns(
        np.array(users, dtype=object),
        np.array(items, dtype=object),
        np.array([users.index(user) for user, _, _ in rows]),
        np.array([items.index(item) for _, item, _ in rows]),
        np.array([time for _, _, time in rows]),
        None if values is None else np.array(values),
    )


@dataclass(frozen=True, eq=False)
class LearningWorld:
    log: Interactions
    items: list[Item]

    @cached_property
    def positions(self) -> HeldOutPositions:
        return hold_out(self.log, 4.0, per_user=3)

    @cached_property
    def blend(self) -> HybridRetriever:
        return fit_hybrid(self.positions.rest, self.items, settings=SETTINGS, tune=False)

    def teacher(self, history: History, candidates: Candidates, now: float) -> FloatArray:
        """A second stage that turns retrieval's order by the number of the item."""
        del history, now
        return np.array([-float(int(candidate.item.id[1:]) % 17) for candidate in candidates.items])

    def pools(self, rows: Index | None = None, **options: object) -> TrainingPools:
        chosen = self.positions.train if rows is None else rows
        return TrainingPools.collect(self.positions, chosen, self.items, self.blend, self.teacher, size=30, **options)  # type: ignore[arg-type]

    def source(self, seed: int = 0, **options: object) -> SlateSource:
        settings = ExampleSettings(**{"candidates": 8, **options})  # type: ignore[arg-type]
        return SlateSource(self.positions, self.items, self._pools, settings, liked=4.0, seed=seed)

    @cached_property
    def _pools(self) -> TrainingPools:
        return self.pools()


def make_training_world(seed: int = 0, users: int = 60, items: int = 60) -> LearningWorld:
    """Each user likes items of one parity: 25 distinct items each, rated 5 or 2."""
    rng = np.random.default_rng(seed)
    rows, values = [], []
    for user in range(users):
        for place, item in enumerate(rng.permutation(items)[:25]):
            rows.append((f"u{user:03}", f"i{item}", float(100 * place + user)))
            values.append(5.0 if (item + user) % 2 else 2.0)
    catalogue = [Item(f"i{n}", f"title {n}", {"genres": (f"g{n % 2}",), "year": "1999"}) for n in range(items)]
    return LearningWorld(log_of(rows, [item.id for item in catalogue], values), catalogue)
