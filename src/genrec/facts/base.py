"""What a kind of fact is: something that the system knows of items or of a user, in named buckets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, Protocol

from genrec.artifacts.alternatives import Alternatives
from genrec.domain import Fact, History, Item
from genrec.facts.knowledge import Knowledge

HISTORY = 50
"""So many of the newest events of a history are looked at."""
ENOUGH = 5
"""Nothing is said of fewer events."""


class FactKind(Protocol):
    """One alternative is one module of `genrec.facts.kinds`; what its buckets are called is in `prompting.phrases`."""

    name: ClassVar[str]
    about: ClassVar[Literal["candidates", "history"]]

    def find(self, known: Knowledge, history: History, items: Sequence[Item]) -> Sequence[Sequence[Fact]]:
        """Facts of each of the candidates `items`, at most one each; of a kind about the history one entry, its own."""


FACTS: Alternatives[FactKind] = Alternatives("kind of fact", "genrec.facts.kinds", FactKind)
