"""What the system knows of a slate, as facts in named buckets: for prompts that say it in words, and for reasons.

Everything comes from the statistics of items and from the catalogue, so it is as old as they are, and knows of a log
what they were fitted on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import chain
from typing import Any, Self, overload

from genrec.data.interactions import Interactions
from genrec.data.item_statistics import ItemStatistics
from genrec.data.labels import rated_rows
from genrec.domain import Candidates, Fact, History, Item
from genrec.facts.base import FACTS, FactKind
from genrec.facts.knowledge import Knowledge
from genrec.prompting.phrases import KINDS
from genrec.retrieval.retrievers.covisit import CovisitRetriever


class FactExtractor:
    """Makes facts from the statistics of a log whose items are `item_ids`; `catalogue` gives its items, `covisit` what
    stood near what, None where no retriever knows it: nothing is then said of transitions.

    All are asked for when a fact is first read.
    """

    def __init__(
        self,
        statistics: Callable[[], ItemStatistics],
        item_ids: Sequence[str],
        catalogue: Callable[[], Iterable[Item]],
        covisit: Callable[[], CovisitRetriever | None],
    ) -> None:
        self._known = Knowledge(statistics, item_ids, catalogue, covisit)

    @classmethod
    def of_log(cls, interactions: Interactions, items: Sequence[Item], liked: float) -> Self:
        """From statistics of this log, which are fitted when evidence is first read."""

        def fit() -> ItemStatistics:
            return ItemStatistics.fit(interactions, rated_rows(interactions, liked), liked)

        ids = interactions.item_ids.tolist()
        return cls(fit, ids, lambda: items, cache(lambda: CovisitRetriever.fit(interactions, items)))

    def attached(self, history: History, candidates: Candidates) -> tuple[History, Candidates]:
        """The same with evidence. It is found when it is first read, as few templates ask for it."""
        slate = _Slate(self, history, candidates)
        items = tuple(
            replace(candidate, evidence=_Lazy(slate, place)) for place, candidate in enumerate(candidates.items)
        )
        return replace(history, evidence=_Lazy(slate, None)), replace(candidates, items=items)

    def of_candidates(self, history: History, candidates: Candidates) -> list[tuple[Fact, ...]]:
        """Facts of each candidate, at most one of a kind."""
        if not candidates.items:
            return []
        items = [candidate.item for candidate in candidates.items]
        columns = [kind.find(self._known, history, items) for kind in self._kinds("candidates")]
        return [tuple(chain.from_iterable(facts)) for facts in zip(*columns, strict=True)]

    def of_history(self, history: History) -> tuple[Fact, ...]:
        """Facts of the user."""
        found = (kind.find(self._known, history, ()) for kind in self._kinds("history"))
        return tuple(fact for (facts,) in found for fact in facts)

    @staticmethod
    def _kinds(about: str) -> list[FactKind]:
        return [FACTS.find(name)() for name in KINDS[about]]


@dataclass(frozen=True, eq=False)
class _Slate:
    """One slate, whose evidence is found at once."""

    maker: FactExtractor
    history: History
    candidates: Candidates

    @cached_property
    def of_candidates(self) -> list[tuple[Fact, ...]]:
        return self.maker.of_candidates(self.history, self.candidates)

    @cached_property
    def of_history(self) -> tuple[Fact, ...]:
        return self.maker.of_history(self.history)


class _Lazy(Sequence[Fact]):
    """The evidence of one candidate (`place`) or of the history (None), found when it is first read."""

    def __init__(self, slate: _Slate, place: int | None) -> None:
        self._slate, self._place = slate, place

    @property
    def _facts(self) -> tuple[Fact, ...]:
        return self._slate.of_history if self._place is None else self._slate.of_candidates[self._place]

    @overload
    def __getitem__(self, index: int) -> Fact: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Fact]: ...
    def __getitem__(self, index: int | slice) -> Fact | Sequence[Fact]:
        return self._facts[index]

    def __len__(self) -> int:
        return len(self._facts)

    def __iter__(self) -> Iterator[Fact]:
        return iter(self._facts)

    def __eq__(self, other: object) -> bool:
        return tuple(self) == tuple(other) if isinstance(other, Sequence) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._facts)

    def __repr__(self) -> str:
        return repr(self._facts)

    def __reduce__(self) -> tuple[Any, ...]:
        return tuple, (self._facts,)  # a copy has the facts, not the statistics behind them
