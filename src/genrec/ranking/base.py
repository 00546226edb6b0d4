"""What a ranker is: it reads a slate with a language model and orders it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from genrec.artifacts.alternatives import Alternatives
from genrec.domain import Candidates, History, RankedItem, Ranking, TemplateRef
from genrec.prompting.rendered import RenderedPrompt, Tokenizer

if TYPE_CHECKING:
    from genrec.llm.base import LanguageModel
    from genrec.prompting.template import OutputKind, Template
    from genrec.settings import RankingSettings


@dataclass(frozen=True, slots=True)
class RankingTask:
    """What a ranker gets: the user's history, the slate, and what the caller said.

    `query` is free text ("something light for tonight"), `context` named facts ({"time": "Friday evening"}); both
    are data, never instructions. `seed` fixes label orders. `cache_salt` keeps tenants' cached prefixes apart.
    """

    history: History
    candidates: Candidates
    query: str | None = None
    context: Mapping[str, str] | None = None
    seed: int = 0
    cache_salt: str | None = None


class Ranker(Protocol):
    """What orders slates."""

    @property
    def name(self) -> str:
        """For provenance and figures."""

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


class RankerClass(Ranker, Protocol):
    """What a class must have to be named in the settings: one alternative is one module of `genrec.ranking.rankers`."""

    name: ClassVar[str]
    reads: ClassVar[OutputKind]
    """Kind of output of the templates that it renders."""
    default_template: ClassVar[str]

    def __init__(
        self, model: LanguageModel, template: Template, tokenizer: Tokenizer, settings: RankingSettings
    ) -> None:
        """TemplateError if the output of the template is not what it reads."""


RANKERS: Alternatives[RankerClass] = Alternatives("ranker", "genrec.ranking.rankers", RankerClass)


class DelegatingRanker:
    """A ranker that is another one, `inner`, but for what a subclass changes."""

    def __init__(self, inner: Ranker) -> None:
        self.inner = inner

    @property
    def name(self) -> str:
        """Of the inner ranker."""
        return self.inner.name

    @property
    def template(self) -> TemplateRef:
        """Of the inner ranker."""
        return self.inner.template

    def render(self, task: RankingTask) -> RenderedPrompt:
        """See `Ranker.render`."""
        return self.inner.render(task)

    async def rank(
        self, task: RankingTask, k: int | None = None, on_item: Callable[[RankedItem], None] | None = None
    ) -> Ranking:
        """See `Ranker.rank`."""
        return await self.inner.rank(task, k, on_item)
