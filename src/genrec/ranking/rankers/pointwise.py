"""Yes or no after each candidate, all of them behind one shared prefix: the default for small models.

The score of a candidate is log P(yes) - log P(no) at the position after it. A candidate is read alone, so its score
does not depend on the others nor on their order, there is no label to bind, and any number of candidates fits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from genrec.domain import RankedItem, Ranking
from genrec.prompting.rendered import RenderedPrompt, Tokenizer
from genrec.prompting.template import OutputKind, Template
from genrec.ranking.base import RankingTask
from genrec.ranking.labels import by_score, render_task, require_output
from genrec.settings import RankingSettings

if TYPE_CHECKING:
    from genrec.llm.base import LanguageModel


class PointwiseRanker:
    """See the module."""

    name: ClassVar[str] = "pointwise"
    reads: ClassVar[OutputKind] = "yes_no"
    default_template: ClassVar[str] = "rank/pointwise"

    def __init__(
        self, model: LanguageModel, template: Template, tokenizer: Tokenizer, settings: RankingSettings
    ) -> None:
        require_output(template, self.reads, self.name)
        self._model, self._template, self._tokenizer = model, template, tokenizer
        self.template = template.ref

    def render(self, task: RankingTask) -> RenderedPrompt:
        """One prefix and one tail for each candidate."""
        return render_task(self._template, self._tokenizer, self._model, task)

    async def rank(
        self, task: RankingTask, k: int | None = None, on_item: Callable[[RankedItem], None] | None = None
    ) -> Ranking:
        """Orders the slate by log-odds of yes."""
        if not task.candidates.items:
            return Ranking((), self.name)
        prompt = self.render(task)
        log_probs = await self._model.score_tokens(prompt.prompts(), prompt.label_ids, cache_salt=task.cache_salt)
        return by_score(log_probs[:, 0] - log_probs[:, 1], task, k, on_item, self.name, [prompt])
