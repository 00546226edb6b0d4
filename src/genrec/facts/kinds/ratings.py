"""Whether others rate a candidate above or below the mean that this user gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np

from genrec.data.item_statistics import PRIOR
from genrec.domain import Fact, History, Item
from genrec.facts.base import ENOUGH
from genrec.facts.knowledge import Knowledge, ratings_of

GAP = 0.3
"""How far, in standard deviations, others' mean is from the user's."""


class Ratings:
    """Both means are shrunk towards that of all ratings by `PRIOR` events."""

    name: ClassVar[str] = "ratings"
    about: ClassVar[Literal["candidates", "history"]] = "candidates"

    def find(self, known: Knowledge, history: History, items: Sequence[Item]) -> Sequence[Sequence[Fact]]:
        """See `FactKind.find`."""
        values = ratings_of(history)
        if len(values) < ENOUGH:
            return [()] * len(items)
        s, item = known.statistics, known.positions(one.id for one in items)
        own = np.clip((values - s.value_mean) / s.value_scale, -3, 3).sum() / (len(values) + PRIOR)
        gap = s.deviation[item] - own
        names = np.where(gap >= GAP, "above", np.where(gap <= -GAP, "below", ""))
        enough = s.count[item] >= ENOUGH
        return [(Fact(self.name, str(name)),) if name else () for name in np.where(enough, names, "")]
