"""One forward pass, one decoded token: the log-probabilities of all labels at that position order the slate.

As in FIRST (Reddy et al. 2024) and LlamaRec (Yue et al. 2023). Candidates stand in a seeded random label order; the
scores are averaged over `orders` such orders, which share their prefix up to the first candidate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np

from genrec.domain import RankedItem, Ranking
from genrec.llm.base import LanguageModel
from genrec.prompting.rendered import RenderedPrompt, Tokenizer
from genrec.prompting.template import OutputKind, Template
from genrec.ranking.base import RankingTask
from genrec.ranking.labels import by_score, label_orders, render_task, require_output
from genrec.settings import RankingSettings


class SinglePassRanker:
    """See the module."""

    name: ClassVar[str] = "single_pass"
    reads: ClassVar[OutputKind] = "ranking"
    default_template: ClassVar[str] = "rank/listwise"

    def __init__(
        self, model: LanguageModel, template: Template, tokenizer: Tokenizer, settings: RankingSettings
    ) -> None:
        require_output(template, self.reads, self.name)
        self._model, self._template, self._tokenizer = model, template, tokenizer
        self._orders = settings.orders
        self.template = template.ref

    def render(self, task: RankingTask) -> RenderedPrompt:
        """The prompt under the first label order."""
        return self._prompts(task)[0]

    def _prompts(self, task: RankingTask) -> list[RenderedPrompt]:
        orders = label_orders(len(task.candidates.items), self._orders, task.seed)
        return [render_task(self._template, self._tokenizer, self._model, task, order) for order in orders]

    async def rank(
        self, task: RankingTask, k: int | None = None, on_item: Callable[[RankedItem], None] | None = None
    ) -> Ranking:
        """Orders the slate by the mean log-probability of each candidate's label."""
        if not task.candidates.items:
            return Ranking((), self.name)
        prompts = self._prompts(task)
        # The set of labels is the same under every order; only who carries which label changes.
        labels = sorted(prompts[0].label_ids)
        column = {label: position for position, label in enumerate(labels)}
        log_probs = await self._model.score_tokens(
            [prompt.prefix for prompt in prompts], labels, cache_salt=task.cache_salt
        )
        scores = np.mean(
            [
                row[[column[label] for label in prompt.label_ids]]
                for prompt, row in zip(prompts, log_probs, strict=True)
            ],
            axis=0,
        )
        return by_score(scores, task, k, on_item, self.name, prompts)
