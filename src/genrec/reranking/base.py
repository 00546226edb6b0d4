"""The interface of re-rankers: a scored list in, another order or fewer items out, each change with its reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

from genrec.artifacts.alternatives import Alternatives
from genrec.data.interactions import FloatArray
from genrec.domain import Candidate, Candidates, DroppedItem, History, Ranking
from genrec.errors import SettingsError
from genrec.settings import Policy, Settings


@dataclass(frozen=True, slots=True)
class ScoredItem:
    """A candidate with what is known of it: see `genrec.domain.RecommendedItem` for the fields."""

    candidate: Candidate
    p_click: float
    p_like: float | None = None
    value: float = 0.0
    llm_score: float | None = None
    moved: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Id of the item."""
        return self.candidate.item.id


@dataclass(frozen=True)
class Ranked:
    """A list, best first, and what the stages so far made of it.

    `dropped` are the items that a stage left out. `agreement` is that of the language model's order with P(click)
    without it. `fallback` says why the language model took no (or not its full) part; None if it did. `utilities` are
    the scores by item id of a list that was drawn at random (see `genrec.reranking.exploration`), None of any other.
    """

    items: tuple[ScoredItem, ...]
    dropped: tuple[DroppedItem, ...] = ()
    agreement: float | None = None
    fallback: str | None = None
    utilities: Mapping[str, float] | None = None

    def without(self, reasons: Mapping[str, str], stage: str) -> Ranked:
        """The list without the items of these ids, dropped for these reasons."""
        gone = tuple(DroppedItem(one.id, reasons[one.id], stage) for one in self.items if one.id in reasons)
        return replace(
            self, items=tuple(one for one in self.items if one.id not in reasons), dropped=self.dropped + gone
        )

    def reordered(self, items: Sequence[ScoredItem], why: str) -> Ranked:
        """The same items in another order; `moved` of those whose place changed says why."""
        place = {one.id: number for number, one in enumerate(self.items, start=1)}
        moved = (
            one if place[one.id] == new else replace(one, moved=(*one.moved, f"{why}: from {place[one.id]} to {new}"))
            for new, one in enumerate(items, start=1)
        )
        return replace(self, items=tuple(moved))


@dataclass(frozen=True, eq=False)
class RerankContext:
    """What stages know of the request beside the list.

    `candidates` are the slate as the language model read it, `p_click` [n] P(click) of it without the model, `best` the
    highest P(click) in the whole pool. `ranking` is what the model said, if it was read. `evidence` gives P(click) [n]
    again from the model's scores [n]. `is_logged`: the list is kept as an exposure under `request_id`.
    """

    request_id: str
    k: int
    policy: Policy
    settings: Settings
    candidates: Candidates
    p_click: FloatArray
    best: float
    history: History
    ranking: Ranking | None = None
    evidence: Callable[[FloatArray], FloatArray] | None = None
    is_logged: bool = False
    query: str | None = None


class Reranker(Protocol):
    """One stage of re-ranking. It is made without arguments, keeps no state between lists, and never adds an item."""

    name: ClassVar[str]

    def rerank(self, ranked: Ranked, context: RerankContext) -> Ranked:
        """The list with items moved (see `Ranked.reordered`) or left out (see `Ranked.without`).

        Behind `exploration` a stage may only leave items out, for what they are and not for where they stand:
        otherwise the logged odds would be wrong. A stage that does more is a SettingsError.
        """


RERANKERS: Alternatives[Any] = Alternatives("re-ranker", "genrec.reranking", Reranker, error=SettingsError)


def by_score(items: Iterable[ScoredItem], score: Callable[[ScoredItem], float]) -> list[ScoredItem]:
    """Highest score first; of equal ones what retrieval prefers, then by id: the order before decides nothing."""
    return sorted(items, key=lambda one: (-score(one), -one.candidate.score, one.id))
