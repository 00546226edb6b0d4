"""Whether an item is chosen more of late, or less."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np

from genrec.domain import Fact, History, Item
from genrec.facts.base import ENOUGH
from genrec.facts.knowledge import Knowledge

RISING, FADING = 1.5, 0.5
"""The share of an item's choices that is recent, against that of all items."""


class Recency:
    """trend = (recent / count of the item) / (recent / count of all items)."""

    name: ClassVar[str] = "recency"
    about: ClassVar[Literal["candidates", "history"]] = "candidates"

    def find(self, known: Knowledge, history: History, items: Sequence[Item]) -> Sequence[Sequence[Fact]]:
        """See `FactKind.find`."""
        s, item = known.statistics, known.positions(one.id for one in items)
        everything = max(float(s.recent.sum()) / max(float(s.count.sum()), 1.0), 1e-12)
        trend = s.recent[item] / np.maximum(s.count[item], 1) / everything
        names = np.where(trend >= RISING, "rising", np.where(trend <= FADING, "fading", ""))
        enough = s.count[item] >= ENOUGH
        return [(Fact(self.name, str(name)),) if name else () for name in np.where(enough, names, "")]
