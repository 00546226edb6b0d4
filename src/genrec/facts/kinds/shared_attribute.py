"""The rarest metadata value that a candidate shares with the history, and the newest title that has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from genrec.domain import Fact, History, Item
from genrec.facts.base import ENOUGH, HISTORY
from genrec.facts.knowledge import Knowledge, Value, taken, values_of

RARE = 0.05
"""A value that more of the catalogue shares says nothing."""


class SharedAttribute:
    """Same director, same artist, or any other value that is rare in the catalogue."""

    name: ClassVar[str] = "shared_attribute"
    about: ClassVar[Literal["candidates", "history"]] = "candidates"

    def find(self, known: Knowledge, history: History, items: Sequence[Item]) -> Sequence[Sequence[Fact]]:
        """See `FactKind.find`."""
        titles: dict[Value, str] = {}
        for entry in taken(known.statistics, history.entries[-HISTORY:]):
            titles |= dict.fromkeys(values_of(entry.item), entry.item.title)
        own = {entry.item.id for entry in history.entries}
        return [() if item.id in own else self._of(known, titles, item) for item in items]

    def _of(self, known: Knowledge, titles: dict[Value, str], item: Item) -> tuple[Fact, ...]:
        most = max(ENOUGH, RARE * known.items_counted)
        shared = [value for value in values_of(item) if value in titles and known.value_counts[value] <= most]
        rarest = min(shared, key=lambda value: known.value_counts[value], default=None)
        return (Fact(self.name, "same", titles[rarest], rarest[0]),) if rarest else ()
