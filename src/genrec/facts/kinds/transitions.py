"""The title of the history with which a candidate goes most, and how often."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from genrec.domain import Fact, History, Item
from genrec.facts.base import HISTORY
from genrec.facts.knowledge import Knowledge, taken

OFTEN, SOMETIMES = 0.1, 0.05
"""How often the candidate stood near the title (`Knowledge.together`), for each choice of the title."""
DOUBT = 20.0
"""So many choices without the candidate are added, so that one person is not often."""


class Transitions:
    """rate = times near each other / (choices of the title + DOUBT); the title with the highest rate is named."""

    name: ClassVar[str] = "transitions"
    about: ClassVar[Literal["candidates", "history"]] = "candidates"

    def find(self, known: Knowledge, history: History, items: Sequence[Item]) -> Sequence[Sequence[Fact]]:
        """See `FactKind.find`."""
        titles = {entry.item.id: entry.item.title for entry in taken(known.statistics, history.entries[-HISTORY:])}
        if not titles:
            return [()] * len(items)
        past, named = known.positions(titles), list(titles.values())
        often = known.together(past, known.positions(item.id for item in items))
        rate = often / (known.statistics.count[past] + DOUBT)[:, None]
        return [
            (Fact(self.name, _frequency(share), named[row]),) if share else ()
            for row, share in zip(rate.argmax(axis=0).tolist(), rate.max(axis=0).tolist(), strict=True)
        ]


def _frequency(share: float) -> str:
    return "often" if share >= OFTEN else "sometimes" if share >= SOMETIMES else "rarely"
