"""How a user rates, and whether they choose what is well known, little known, or known to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from genrec.domain import Fact, History, Item
from genrec.facts.base import ENOUGH, HISTORY
from genrec.facts.kinds.popularity import popularity_of
from genrec.facts.knowledge import Knowledge, ratings_of

MOSTLY, RARELY = 0.7, 0.3
"""Shares of high ratings; from RARELY on, repeated choices are a habit."""
PREFERS = 0.5
"""Share of choices in one bucket of popularity, where a third is to be expected."""


class Habits:
    """Several may hold at once."""

    name: ClassVar[str] = "habits"
    about: ClassVar[Literal["candidates", "history"]] = "history"

    def find(self, known: Knowledge, history: History, items: Sequence[Item]) -> Sequence[Sequence[Fact]]:
        """See `FactKind.find`."""
        entries = history.entries[-HISTORY:]
        values = ratings_of(history)
        found = []
        if len(values) >= ENOUGH:
            liked = float((values >= known.statistics.liked).mean())
            found.append("high ratings" if liked >= MOSTLY else "low ratings" if liked <= RARELY else "mixed ratings")
        if len(entries) >= ENOUGH:
            buckets = popularity_of(known, (entry.item.id for entry in entries))
            unknown = buckets.count("little known") + buckets.count("new")
            found += ["well known"] * (buckets.count("very popular") >= PREFERS * len(buckets))
            found += ["little known"] * (unknown >= PREFERS * len(buckets))
            distinct = len({entry.item.id for entry in entries})
            found += ["returns"] * (len(entries) - distinct >= RARELY * len(entries))
        return [tuple(Fact(self.name, bucket) for bucket in found)]
