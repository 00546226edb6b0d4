"""What a ranker is: it reads a slate with a language model and orders it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

from genrec.domain import Candidates, History, RankedItem, Ranking, TemplateRef
from genrec.prompting.rendered import RenderedPrompt


@dataclass(frozen=True, slots=True)
class RankingTask:
    """What a ranker gets: the user's history, the slate, and what the caller said.

    `request` is free text ("something light for tonight"), `context` named facts ({"time": "Friday evening"}); both
    are data, never instructions. `seed` fixes label orders. `cache_salt` keeps tenants' cached prefixes apart.
    """

    history: History
    candidates: Candidates
    request: str | None = None
    context: Mapping[str, str] | None = None
    seed: int = 0
    cache_salt: str | None = None


class Ranker(Protocol):
    """One alternative is one module of `genrec.ranking` with a class `Ranker`."""

    name: ClassVar[str]
    default_template: ClassVar[str]

    @property
    def template(self) -> TemplateRef:
        """The template it renders."""

    def render(self, task: RankingTask) -> RenderedPrompt:
        """The prompt as the model will read it (for previews and provenance)."""

    async def rank(
        self, task: RankingTask, k: int | None = None, on_item: Callable[[RankedItem], None] | None = None
    ) -> Ranking:
        """Orders the slate; yields all of it, or its first k. An empty slate is an empty ranking.

        `on_item` is called with each item of the ranking in order, as soon as its place is fixed.
        """
