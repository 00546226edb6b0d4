"""How often an item is chosen, beside all others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal

import numpy as np

from genrec.domain import Fact, History, Item
from genrec.facts.knowledge import Knowledge

HEAD, BODY = 1 / 3, 2 / 3
"""The most chosen items, which share a third of all events, are very popular; the next third is popular."""
NEW = 0.05
"""New is what was first chosen in the last twentieth of the log, or never."""


class Popularity:
    """By the share of all events that is about items chosen more often."""

    name: ClassVar[str] = "popularity"
    about: ClassVar[Literal["candidates", "history"]] = "candidates"

    def find(self, known: Knowledge, history: History, items: Sequence[Item]) -> Sequence[Sequence[Fact]]:
        """See `FactKind.find`."""
        return [(Fact(self.name, bucket),) for bucket in popularity_of(known, (item.id for item in items))]


def popularity_of(known: Knowledge, item_ids: Iterable[str]) -> list[str]:
    """Bucket of each item."""
    s, item = known.statistics, known.positions(item_ids)
    before = known.share_before[item]
    new = (s.count[item] == 0) | ((s.first[item] >= s.newest - NEW * s.span) & (before >= HEAD))
    names = np.where(before < HEAD, "very popular", np.where(before < BODY, "popular", "little known"))
    return [str(bucket) for bucket in np.where(new, "new", names)]
