"""k labels generated one after another under a constraint: never one twice, only those of the slate.

What the model can emit is closed over the slate, so there is nothing to parse and nothing to repair. The score of the
item at rank r is the DCG discount 1 / log2(r + 1): the generated order is what the model says, its log-probabilities
at different steps are not comparable.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

from genrec.domain import RankedItem, Ranking
from genrec.llm.base import LanguageModel
from genrec.prompting.rendered import RenderedPrompt, Tokenizer
from genrec.prompting.template import OutputKind, Template
from genrec.ranking.base import RankingTask
from genrec.ranking.labels import dropped_in_words, label_orders, render_task, require_output, usage_of
from genrec.settings import RankingSettings


class ListwiseRanker:
    """See the module."""

    name: ClassVar[str] = "listwise"
    reads: ClassVar[OutputKind] = "ranking"
    default_template: ClassVar[str] = "rank/listwise"

    def __init__(
        self, model: LanguageModel, template: Template, tokenizer: Tokenizer, settings: RankingSettings
    ) -> None:
        require_output(template, self.reads, self.name)
        self._model, self._template, self._tokenizer = model, template, tokenizer
        self.template = template.ref

    def render(self, task: RankingTask) -> RenderedPrompt:
        """The prompt under the label order of the task's seed."""
        order = label_orders(len(task.candidates.items), 1, task.seed)[0]
        return render_task(self._template, self._tokenizer, self._model, task, order)

    async def rank(
        self, task: RankingTask, k: int | None = None, on_item: Callable[[RankedItem], None] | None = None
    ) -> Ranking:
        """The generated order; with `k` only as far as asked for."""
        if not task.candidates.items:
            return Ranking((), self.name)
        prompt = self.render(task)
        count = len(prompt.label_ids) if k is None else min(k, len(prompt.label_ids))
        ranked: list[RankedItem] = []
        async for choice in self._model.generate_labels(
            prompt.prefix, prompt.label_ids, count, seed=task.seed, cache_salt=task.cache_salt
        ):
            item = RankedItem(task.candidates.items[choice.label].item.id, 1 / math.log2(len(ranked) + 2))
            ranked.append(item)
            if on_item is not None:
                on_item(item)
        return Ranking(tuple(ranked), self.name, usage_of([prompt], len(ranked)), dropped_in_words(prompt))
